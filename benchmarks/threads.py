"""What several threads gain, where they cost, and that they cost nothing while there is nothing to do."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import harness
from benchmarks.workloads import Fit, Predict, build, build_compiled

WIDTHS = tuple(2**exponent for exponent in range(3, 12))
QUICK_WIDTHS = (8, 256)
BATCHES = (32, 256)
PREDICTED = (512, 512, 512, 10)
PREDICTED_ROWS = (1, 256, 4096)
ROUNDS, QUICK_ROUNDS = 40, 3
CALM_TURNS, PATIENCE = 10, 5.0
"""Turns without disturbance that a row waits for with each number of threads, and for how many seconds at the most."""
TURN_FLOPS = 3e8
"""About so many operations make a turn: some milliseconds, short enough that others leave both cores alone in some."""
MOST_UNITS = 500
AT_WORK, DISTURBED = 0.1, 0.02
"""Share of a turn from which on a thread that computed took part in it, and one that waited for a core disturbed it."""


def measure(quick: bool) -> dict[str, Any]:
    """All of it, as plain data, in a process of its own that may use every core that this one may."""
    with harness.any_threads(), harness.Worker(harness.SIDES[0], None) as worker:
        counts = worker.ask("call", __name__, "counts")
        effort = (QUICK_ROUNDS, 0.0) if quick else (ROUNDS, PATIENCE)
        rows = [
            worker.ask("call", __name__, "row", work, counts, *effort)
            for work in works(QUICK_WIDTHS if quick else WIDTHS)
        ]
        return {"counts": counts, "rows": rows, "idle": worker.ask("call", __name__, "idle", counts[-1], 1.0)}


def works(widths: Sequence[int]) -> list[Fit | Predict]:
    """Training of w-w-w-10 by width and batch, then predictions of one network by batch."""
    chosen: list[Fit | Predict] = []
    for width in widths:
        for batch in BATCHES:
            sizes = (width, width, width, 10)
            chosen.append(Fit(sizes, batch, "sgd", _units(Fit(sizes, batch, "sgd", 1, 1).flops), 1))
    return chosen + [Predict(PREDICTED, rows, _units(Predict(PREDICTED, rows, 1).flops)) for rows in PREDICTED_ROWS]


def _units(flops: int) -> int:
    return max(1, min(MOST_UNITS, round(TURN_FLOPS / flops)))


# In the process of its own


def counts() -> list[int]:
    """1, 2, 4, … and as many threads as nncore takes by default: the cores that the process may use."""
    import nncore

    most = nncore.get_num_threads()
    return [*(2**exponent for exponent in range(most.bit_length()) if 2**exponent < most), most]


def row(work: Fit | Predict, counts: Sequence[int], rounds: int, patience: float = 0.0) -> dict[str, Any]:
    """Microseconds of a step or a call by the clock, for each number of threads; the numbers take turns.

    A turn is calm where no thread had to wait for a core, as far as the system tells. The best of the calm turns
    counts; there are more rounds, for up to ``patience`` seconds, while there are few.
    """
    import nncore

    run = _ready(work)
    taken: dict[int, list[float]] = {count: [] for count in counts}
    calm: dict[int, list[float]] = {count: [] for count in counts}
    used = dict.fromkeys(counts, 1)
    number, began = 0, time.perf_counter()
    while number <= rounds or (min(map(len, calm.values())) < CALM_TURNS and time.perf_counter() - began < patience):
        for count in counts:
            nncore.set_num_threads(count)
            before, start = _tasks(), time.perf_counter()
            run()
            seconds = time.perf_counter() - start
            if number == 0:  # starts the threads and touches the memory
                continue
            ran, waited = _since(before)
            taken[count].append(1e6 * seconds / work.units)
            used[count] = max(used[count], sum(each > AT_WORK * seconds for each in ran))
            if sum(waited) < DISTURBED * seconds:
                calm[count].append(taken[count][-1])
        number += 1
    return {
        "name": work.name, "width": work.sizes[0], "batch": work.batch, "unit": work.unit,
        "threads": [
            {"count": count, "used": used[count], "best_us": min(calm[count] or runs), "median_us": median(runs),
             "calm": len(calm[count]), "runs_us": runs}
            for count, runs in taken.items()
        ],
    }  # fmt: skip


def _ready(work: Fit | Predict) -> Callable[[], object]:
    """One turn of a workload, through the public API."""
    gc.collect()  # the model before may be large
    if isinstance(work, Fit):
        trained, (x, y) = build_compiled(work), work.data()
        return lambda: trained.fit(x, y, batch_size=work.batch, epochs=work.epochs, verbose=0)
    model, samples = build(work.sizes), work.data()

    def predict() -> None:
        for _ in range(work.units):
            model.predict(samples, batch_size=work.batch, verbose=0)

    return predict


def _tasks() -> dict[str, tuple[float, float]]:
    """Seconds that each thread of this process has been on a core and has waited for one, where the system tells."""
    found = {}
    for task in Path("/proc/self/task").glob("*/schedstat"):
        ran, waited, _ = task.read_text().split()
        found[task.parent.name] = (int(ran) / 1e9, int(waited) / 1e9)
    return found


def _since(before: dict[str, tuple[float, float]]) -> tuple[list[float], list[float]]:
    """The same of every thread since then."""
    grown = [(now, before.get(task, (0.0, 0.0))) for task, now in _tasks().items()]
    return [now[0] - then[0] for now, then in grown], [now[1] - then[1] for now, then in grown]


def idle(threads: int, seconds: float) -> float:
    """The share of a core that the process takes for so long, from the end of work by a team of threads on."""
    import nncore

    nncore.set_num_threads(threads)
    _ready(Fit((512, 512, 512, 10), 256, "sgd", 4, 1))()
    start, cpu = time.perf_counter(), time.process_time()
    time.sleep(seconds)
    return (time.process_time() - cpu) / (time.perf_counter() - start)
