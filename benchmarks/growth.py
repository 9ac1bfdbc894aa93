"""How time and memory grow: with the width of the layers, with the rows, and with data that does not fit."""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.harness import SIDES, Timing, Worker, core
from benchmarks.workloads import Fit, build_compiled

WIDTHS = (64, 128, 256, 512, 1024, 2048, 4096)
ROWS = (2**10, 2**12, 2**14, 2**16, 2**18, 2**20)
MEMORY_ROWS = (2**14, 2**16, 2**18)
BATCH_FLOPS = 2e9
"""About so many operations make a run of the widths."""
SMALLEST = 2
"""The first so many sizes are what a quick run takes."""

MEMMAP_BYTES, SPARE_BYTES = 2**30, 2**26


def measure(quick: bool) -> dict[str, Any]:
    """All of it, as plain data."""
    end = SMALLEST if quick else None
    return {
        "widths": widths(WIDTHS[:end], 3 if quick else 10),
        "rows": rows(ROWS[:end], 2 if quick else 5),
        "memory": [_alone("_memory", count, dtype) for count in MEMORY_ROWS[:end] for dtype in ("float32", "float64")],
        "memmap": _alone("_memmap", MEMMAP_BYTES // (16 if quick else 1), SPARE_BYTES // (2 if quick else 1)),
    }


def _alone(function: str, *arguments: Any) -> Any:
    with Worker(SIDES[0], core()) as worker:
        return worker.ask("call", __name__, function, *arguments)


# Time


def square(width: int) -> Fit:
    """A workload whose hidden layers are all as wide as its samples."""
    sizes, batch = (width, width, width, 10), 256
    steps = max(1, round(BATCH_FLOPS / Fit(sizes, batch, "sgd", 1, 1).flops))
    return Fit(sizes, batch, "sgd", steps=min(steps, 20), epochs=max(1, steps // 20))


def widths(chosen: tuple[int, ...], rounds: int) -> list[dict[str, float]]:
    """Picoseconds of a floating-point operation in ``fit`` w-w-w-10, batch 256, SGD; the widths take turns."""
    with ExitStack() as stack:
        workers = {width: stack.enter_context(Worker(SIDES[0], core())) for width in chosen}
        works = {width: square(width) for width in chosen}
        for width, worker in workers.items():
            worker.ask("prepare", works[width])
        timings = {width: Timing() for width in chosen}
        peak = 0.0
        for _ in range(rounds):
            for width, worker in workers.items():
                peak = max(peak, worker.ask("peak"))
                timings[width].take(worker)
    return [
        {
            "width": width,
            "best_ps": 1e12 * timing.best / works[width].flops,
            "median_ps": 1e12 * timing.median / works[width].flops,
            "share_of_peak": works[width].flops / timing.best / 1e9 / peak,
        }
        for width, timing in timings.items()
    ]


def rows(chosen: tuple[int, ...], rounds: int) -> list[dict[str, float]]:
    """Nanoseconds of a row in ``fit`` 100-64-10, batch 32, SGD, for so many rows; the sizes take turns."""
    with ExitStack() as stack:
        workers = {count: stack.enter_context(Worker(SIDES[0], core())) for count in chosen}
        taken: dict[int, list[tuple[float, float]]] = {count: [] for count in chosen}
        for number in range(rounds + 1):
            for count, worker in workers.items():
                figures = worker.ask("call", __name__, "_rows", count, max(1, chosen[-1] // count // 2))
                if number:  # the first round makes the data and touches the memory
                    taken[count].append(figures)
    return [
        {
            "rows": count,
            "epoch_ns": min(1e9 * epoch / count for epoch, _ in runs),
            "call_ns": min(1e9 * call / count for _, call in runs),
        }
        for count, runs in taken.items()
    ]


_prepared: dict[int, Any] = {}


def _rows(count: int, epochs: int) -> tuple[float, float]:
    """Seconds of an epoch, the best of ``epochs``, and of all of ``fit`` divided by its epochs."""
    from nncore.callbacks import Callback

    work = Fit((100, 64, 10), 32, "sgd", steps=count // 32, epochs=epochs)
    if count not in _prepared:
        _prepared[count] = (build_compiled(work), *work.data())
    model, x, y = _prepared[count]
    taken: list[float] = []

    class Clock(Callback):  # type: ignore[misc]
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.start = time.process_time()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            taken.append(time.process_time() - self.start)

    start = time.process_time()
    model.fit(x, y, batch_size=32, epochs=epochs, verbose=0, callbacks=[Clock()])
    return min(taken), (time.process_time() - start) / epochs


# Memory


def _status(field: str) -> int:
    """Bytes, by a line of /proc/self/status such as VmRSS."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {field}.")


def _memory(count: int, dtype: str) -> dict[str, Any]:
    """Bytes that ``fit`` 100-64-10, batch 32, SGD, takes at its peak beyond the data, which is of ``dtype``."""
    work = Fit((100, 64, 10), 32, "sgd", steps=count // 32, epochs=1)
    x, y = (array.astype(dtype) for array in work.data())
    build_compiled(work).fit(x[:32], y[:32], batch_size=32, verbose=0)  # code is loaded, for a model that is gone then
    model = build_compiled(work)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here on
    before = _status("VmRSS")
    model.fit(x, y, batch_size=32, epochs=2, verbose=0)
    return {
        "rows": count, "dtype": dtype, "data_bytes": x.nbytes + y.nbytes,
        "beyond_bytes": max(0, _status("VmHWM") - before),
    }  # fmt: skip


def _memmap(size: int, spare: int) -> dict[str, Any]:
    """``fit`` on a file of ``size`` bytes mapped read-only, in an address space that may grow by ``spare`` bytes."""
    import resource

    import numpy as np

    features = 784
    count = size // (4 * features)
    work = Fit((features, 128, 10), 256, "sgd", steps=1, epochs=1)
    labels = np.random.default_rng(0).integers(0, 10, count).astype(np.int32)
    model = build_compiled(work)
    model.compile(loss="sparse_categorical_crossentropy", optimizer="sgd", metrics=["accuracy"])
    with tempfile.NamedTemporaryFile() as file:
        block = np.random.default_rng(0).standard_normal((min(count, 4096), features), np.float32)
        for start in range(0, count, len(block)):
            file.write(block[: count - start].tobytes())
        file.flush()
        x = np.memmap(file.name, np.float32, "r", shape=(count, features))
        model.fit(x[:256], labels[:256], batch_size=256, verbose=0)
        limit = _status("VmSize") + spare
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        refused = False
        try:
            x.copy()
        except MemoryError:
            refused = True
        start_time = time.process_time()
        history = model.fit(x, labels, batch_size=256, epochs=1, verbose=0)
        return {
            "memmap_bytes": x.nbytes, "spare_bytes": spare, "rows": count, "a_copy_was_refused": refused,
            "seconds": time.process_time() - start_time, "loss": float(history.history["loss"][-1]),
        }  # fmt: skip


def supported() -> bool:
    """Whether this system tells and limits memory as needed: Linux."""
    return sys.platform == "linux"
