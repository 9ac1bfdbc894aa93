"""What nncore costs before it computes: the import over NumPy's, building a model, the first step of training."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.harness import SIDES, Worker, core
from benchmarks.peers import IMPORTED, PEERS

CALLS = 1000
PEER_ROUNDS = 3
_CHILD = """
import os, sys, time
if {core} is not None: os.sched_setaffinity(0, {{{core}}})
sys.path.insert(0, {path!r})
def resident():
    with open("/proc/self/statm") as file: return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
before, cpu, start = resident(), time.process_time(), time.perf_counter()
import {module}
print(time.perf_counter() - start, time.process_time() - cpu, resident() - before)
"""


def imports(peers: Sequence[str], rounds: int) -> dict[str, dict[str, float]]:
    """What importing a module costs, each time in a new process; what it imports is counted as its own.

    ``numpy`` and ``nncore`` take turns with the peers. Milliseconds by the clock (best, median) and on the core (best),
    and 10⁶ bytes of resident memory.
    """
    modules = ["numpy", "nncore"]
    for peer in peers:
        distribution = PEERS[peer][0]
        module = IMPORTED.get(distribution, distribution)
        modules += [] if module in modules else [module]
    taken: dict[str, list[tuple[float, float, float]]] = {module: [] for module in modules}
    with tempfile.TemporaryDirectory() as bytecode:
        for number in range(rounds + 1):
            for module in modules if number <= PEER_ROUNDS else modules[:2]:
                figures = _import(module, bytecode)
                if number:  # the first round compiles and warms the files
                    taken[module].append(figures)
    return {
        module: {
            "best_ms": 1e3 * min(seconds for seconds, _, _ in runs),
            "median_ms": 1e3 * median(seconds for seconds, _, _ in runs),
            "cpu_ms": 1e3 * min(cpu for _, cpu, _ in runs),
            "megabytes": median(size for _, _, size in runs) / 1e6,
        }
        for module, runs in taken.items()
    }


def _import(module: str, bytecode: str) -> tuple[float, float, float]:
    """Seconds by the clock and on the core, and bytes; compiled Python lies in the folder ``bytecode``."""
    code = _CHILD.format(core=core(), path=str(Path(__file__).parent.parent), module=module)
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": bytecode, "KERAS_BACKEND": "jax"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    seconds, cpu, size = done.stdout.split()
    return float(seconds), float(cpu), float(size)


def first_steps(rounds: int) -> dict[str, float]:
    """Microseconds on the core of the first build, compile, fit and predict of a process and of later ones."""
    found = []
    for _ in range(rounds):
        with Worker(SIDES[0], core()) as worker:
            found.append(worker.ask("call", __name__, "_first_steps"))
    return {name: median(run[name] for run in found) for name in found[0]}


def _first_steps() -> dict[str, float]:
    """In a process that has done nothing yet: the README's model, ``fit`` of one batch of 32, again and again."""
    import numpy as np

    from nncore.layers import Dense
    from nncore.models import Sequential

    rng = np.random.default_rng(0)
    x = rng.standard_normal((32, 100), np.float32)
    y = np.eye(10, dtype=np.float32)[rng.integers(0, 10, 32)]
    taken: dict[str, list[float]] = {"build": [], "compile": [], "fit": [], "predict": []}

    def timed(name: str, do: Any) -> None:
        start = time.process_time()
        do()
        taken[name].append(1e6 * (time.process_time() - start))

    models: list[Any] = []

    def build() -> None:
        model = Sequential()
        model.add(Dense(units=64, activation="relu", input_dim=100))
        model.add(Dense(units=10, activation="softmax"))
        models.append(model)

    def compile_last() -> None:
        models[-1].compile(loss="categorical_crossentropy", optimizer="sgd", metrics=["accuracy"])

    for _ in range(20):
        timed("build", build)
        timed("compile", compile_last)
    for _ in range(CALLS):
        timed("fit", lambda: models[0].fit(x, y, batch_size=32, epochs=1, verbose=0))
    for _ in range(CALLS):
        timed("predict", lambda: models[0].predict(x, verbose=0))
    return {
        **{f"{name}, first": runs[0] for name, runs in taken.items()},
        **{f"{name}, later": median(runs[-min(100, len(runs) // 2) :]) for name, runs in taken.items()},
        **_steps_of_one_fit(models[1], x, y),
    }


def _steps_of_one_fit(model: Any, x: Any, y: Any) -> dict[str, float]:
    """The first and the later steps within one ``fit`` of a model that has done nothing yet, by a batch callback."""
    import numpy as np

    from nncore.callbacks import Callback

    taken: list[float] = []

    class Clock(Callback):  # type: ignore[misc]
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            self.start = time.process_time()

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            taken.append(1e6 * (time.process_time() - self.start))

    model.fit(np.tile(x, (CALLS, 1)), np.tile(y, (CALLS, 1)), batch_size=32, verbose=0, callbacks=[Clock()])
    return {"step of one fit, first": taken[0], "step of one fit, later": median(taken[-100:])}


def measure(peers: Sequence[str], quick: bool) -> dict[str, Any]:
    """All of it, as plain data."""
    return {"imports": imports(peers, 3 if quick else 15), "first_steps_us": first_steps(1 if quick else 5)}
