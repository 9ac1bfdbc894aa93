"""How it is timed: each side in a process of its own, on one thread and one core, the sides taking turns."""

from __future__ import annotations

import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from benchmarks.workloads import Fit, Product, Task, prepare

Array = np.ndarray[Any, Any]

SIDES = ("native", "numpy")
"""The side that is measured, then those it is compared with."""

THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
           "NUMEXPR_NUM_THREADS", "NNCORE_NUM_THREADS")  # fmt: skip
"""What libraries read their number of threads from, when they are imported."""

PROBE_SECONDS = 0.02
READ_SIZES = {"16 KiB": 1 << 14, "512 KiB": 1 << 19, "8 MiB": 1 << 23, "256 MiB": 1 << 28}


class WrongResultError(RuntimeError):
    """Two sides computed different things: their times cannot be compared."""


@dataclass
class Timing:
    """Seconds of one unit of a workload, run by run."""

    seconds: list[float] = field(default_factory=list)

    @property
    def best(self) -> float:
        return min(self.seconds)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


@dataclass
class Measurement:
    """A workload timed on all sides, with the core's peak in the same minutes."""

    work: Fit | Product
    error: float
    """The largest disagreement of a side with the first one."""
    timings: Mapping[str, Timing]
    peak: float = 0.0
    """The core's multiply-adds in registers, GFLOP/s: the best of the probes between the runs."""

    @property
    def gflops(self) -> float:
        """Of the first side, at its best."""
        return self.work.flops / self.timings[SIDES[0]].best / 1e9

    @property
    def share(self) -> float:
        """Of the peak."""
        return self.gflops / self.peak

    def ratio(self, side: str) -> float:
        """How many times as long a side takes as the first one, best against best."""
        return self.timings[side].best / self.timings[SIDES[0]].best

    def paired_ratio(self, side: str) -> float:
        """The same turn by turn, the median: load that lasts longer than a turn hits both and cancels."""
        pairs = zip(self.timings[side].seconds, self.timings[SIDES[0]].seconds, strict=True)
        return statistics.median(other / first for other, first in pairs)


# One side, in its process


class Side:
    """What a process does when asked: the methods are called by name over a pipe."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._work: Fit | Product | None = None
        self._task: Task | None = None

    def prepare(self, work: Fit | Product) -> tuple[list[Array], list[Array]]:
        """Make a workload ready; returns what it computes."""
        self._work, self._task = work, prepare(self._name, work)
        result = self._task.result()
        self._task.run()  # whatever happens once, such as touching new memory, has happened now
        return result

    def time(self) -> float:
        """Seconds of one unit, over one run."""
        assert self._work is not None
        assert self._task is not None
        start = time.perf_counter()
        self._task.run()
        return (time.perf_counter() - start) / self._work.units

    def peak(self) -> float:
        """GFLOP/s of multiply-adds in registers."""
        from nncore import _native

        return float(_native.peak_gflops(PROBE_SECONDS))

    def reads(self) -> dict[str, float]:
        """10⁹ bytes a second read from arrays of several sizes."""
        from nncore import _native

        return {
            label: float(_native.read_gbytes(np.ones(size // 4, np.float32), 5 * PROBE_SECONDS))
            for label, size in READ_SIZES.items()
        }

    def isa(self) -> str:
        """The instruction set of the compiled kernels."""
        from nncore import _native

        return str(_native.config()["chosen"])

    def configuration(self) -> str:
        """What the side runs on, in a few words."""
        import nncore

        nncore.set_backend(self._name)
        return nncore.config_summary()


def _serve(pipe: Connection, name: str, cpu: int | None) -> None:
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})
    side = Side(name)
    while (request := pipe.recv()) is not None:
        method, arguments = request
        try:
            pipe.send((True, getattr(side, method)(*arguments)))
        except Exception as error:
            pipe.send((False, f"{type(error).__name__}: {error}"))


class Worker:
    """A :class:`Side` in a process of its own, which ends with the ``with`` block."""

    def __init__(self, name: str, cpu: int | None) -> None:
        context = multiprocessing.get_context("spawn")
        self.name = name
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, name, cpu), daemon=True)
        self._process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        """The number of the process."""
        assert self._process.pid is not None
        return self._process.pid

    def ask(self, method: str, *arguments: Any) -> Any:
        """What the side's method returns."""
        self._pipe.send((method, arguments))
        fine, answer = self._pipe.recv()
        if not fine:
            raise RuntimeError(f"The side {self.name!r} failed in {method}: {answer}")
        return answer

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._pipe.send(None)
        else:
            self._process.terminate()
        self._process.join()
        self._pipe.close()


def core() -> int | None:
    """The core that all sides run on, one after the other; ``None`` where the system offers no choice."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    return max(os.sched_getaffinity(0))


def one_thread() -> None:
    """Let the processes started from now on compute on one thread."""
    os.environ.update(dict.fromkeys(THREADS, "1"))


# Measuring


def disagreement(a: tuple[Sequence[Array], Sequence[Array]], b: tuple[Sequence[Array], Sequence[Array]]) -> float:
    """How far the work of ``a`` lies from that of ``b``: ‖Δa - Δb‖ / ‖Δb‖, where Δ is after minus before.

    Relative to what the work changed, not to the weights: a side that does nothing is wrong by 1.
    """

    def change(result: tuple[Sequence[Array], Sequence[Array]]) -> Array:
        before, after = (np.concatenate([np.ravel(array).astype(np.float64) for array in part]) for part in result)
        return after - before

    da, db = change(a), change(b)
    if da.shape != db.shape or not np.isfinite(da).all() or not db.any():
        return float("inf")
    return float(np.linalg.norm(da - db) / np.linalg.norm(db))


def measure(work: Fit | Product, workers: Sequence[Worker], rounds: int) -> Measurement:
    """Check that all sides compute the same, then time them in turns.

    Raises:
        WrongResultError: where they differ by more than the workload tolerates.
    """
    reference, *others = [worker.ask("prepare", work) for worker in workers]
    error = max((disagreement(reference, other) for other in others), default=0.0)
    if not error <= work.tolerance:
        raise WrongResultError(
            f"{work.name}: the sides {', '.join(worker.name for worker in workers)} must agree to {work.tolerance:g}, "
            f"relative to what the work changes. Received: {error:.2g}."
        )
    measurement = Measurement(work, error, {worker.name: Timing() for worker in workers})
    for _ in range(rounds):
        measurement.peak = max(measurement.peak, workers[0].ask("peak"))
        for worker in workers:
            measurement.timings[worker.name].seconds.append(worker.ask("time"))
    measurement.peak = max(measurement.peak, workers[0].ask("peak"))
    return measurement


# The machine


def machine() -> dict[str, str]:
    """What was measured on: processor, caches, system, versions."""
    import nncore

    return {
        "processor": _processor(),
        "caches": _caches(),
        "cores": f"{os.cpu_count()} seen, {'one used' if core() is None else f'pinned to number {core()}'}",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": _blas(),
        "nncore": nncore.__version__,
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    fields = {}
    if info.exists():
        fields = {key.strip(): value.strip() for key, _, value in _pairs(info.read_text().splitlines())}
    name = fields.get("model name") or platform.processor() or platform.machine()
    if "cpu family" in fields:
        name += f" (family {fields['cpu family']}, model {fields.get('model', '?')})"
    return name


def _pairs(lines: Iterable[str]) -> Iterable[tuple[str, str, str]]:
    return (line.partition(":") for line in lines if ":" in line)


def _caches() -> str:
    found = []
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = ((folder / part).read_text().strip() for part in ("level", "type", "size"))
        if kind != "Instruction":
            found.append(f"L{level} {size.replace('K', ' KiB')}")
    return ", ".join(found) or "unknown"


def _blas() -> str:
    config: Any = np.show_config(mode="dicts")
    blas = config.get("Build Dependencies", {}).get("blas", {})
    return f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip()
