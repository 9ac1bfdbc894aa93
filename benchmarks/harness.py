"""How it is timed: each side in a process of its own, on one thread and one core, the sides taking turns."""

from __future__ import annotations

import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from benchmarks import peers, workloads
from benchmarks.workloads import BACKENDS, Predict, Task, Work

Array = np.ndarray[Any, Any]

SIDES = ("native", "reference")
"""The side that is measured, then the one that says what is right; peers may follow."""

THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
           "NUMEXPR_NUM_THREADS", "NNCORE_NUM_THREADS")  # fmt: skip
"""What libraries read their number of threads from, when they are imported."""

HOBBLES = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "MKL_ENABLE_INSTRUCTIONS", "MKL_CBWR", "BLIS_ARCH_TYPE",
           "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "NPY_DISABLE_CPU_FEATURES")  # fmt: skip
"""What can tie a library to the kernels, or the blocks, of a lesser core than the one it runs on."""

BUDGET = 15.0
"""Seconds after which a workload gets no further round, if it had three."""
LATENCY_ROUNDS, LATENCY_CALLS = 5, 2000
"""How often, and over how many calls, the spread of single calls is taken; the calmest round counts."""

PROBE_SECONDS = 0.02
READ_SIZES = {"16 KiB": 1 << 14, "512 KiB": 1 << 19, "8 MiB": 1 << 23, "256 MiB": 1 << 28}


class WrongResultError(RuntimeError):
    """Two sides computed different things: their times cannot be compared."""


@dataclass
class Timing:
    """Seconds of one unit of a workload by one side, run by run."""

    seconds: list[float] = field(default_factory=list)
    """On the core: other programs that take it away do not count."""
    clock: list[float] = field(default_factory=list)
    """By the clock: the same where nothing else runs."""
    first: list[float] = field(default_factory=list)
    """What the first side took just before each of the runs; empty for the first side itself."""
    error: float = 0.0
    """How far the side's result is from the reference's."""
    call: tuple[float, float] | None = None
    """Median and 99th percentile of single calls, where units are calls of one sample."""

    def take(self, worker: Worker) -> float:
        """Let the side run once more; returns the seconds."""
        seconds, clock = worker.ask("time")
        self.seconds.append(seconds)
        self.clock.append(clock)
        return float(seconds)

    @property
    def best(self) -> float:
        return min(self.seconds)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def paired_ratio(self) -> float:
        """To the first side, turn by turn, the median: load that lasts longer than a turn hits both and cancels."""
        return statistics.median(own / first for own, first in zip(self.seconds, self.first, strict=True))


@dataclass
class Measurement:
    """A workload timed on the sides that do it, with the core's limits in the same minutes."""

    work: Work
    timings: Mapping[str, Timing]
    peak: float = 0.0
    """The core's multiply-adds in registers, GFLOP/s: the best of the probes between the runs."""
    bandwidth: float = float("inf")
    """10⁹ bytes a second that the core reads from an array of as many bytes as the workload moves."""
    lanes: int = 1
    """Of the vectors of the first side."""

    @property
    def error(self) -> float:
        """The largest of a side."""
        return max(timing.error for timing in self.timings.values())

    @property
    def limit(self) -> float:
        """Seconds that one unit takes at the least: its multiply-adds or its bytes, whichever take longer."""
        return max(self.work.flops / self.peak, self.work.bytes / self.bandwidth) / 1e9

    def gflops(self, side: str = SIDES[0]) -> float:
        """Of a side, at its best."""
        return self.work.flops / self.timings[side].best / 1e9

    @property
    def share(self) -> float:
        """Of the peak, by the first side."""
        return self.gflops() / self.peak

    def share_of_limit(self, side: str = SIDES[0]) -> float:
        """How much of the time of a side its limit explains."""
        return self.limit / self.timings[side].best

    def ratio(self, side: str) -> float:
        """How many times as long a side takes as the first one, best against best."""
        return self.timings[side].best / self.timings[SIDES[0]].best


# One side, in its process


class Side:
    """What a process does when asked: the methods are called by name over a pipe."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._work: Work | None = None
        self._task: Task | None = None

    def prepare(self, work: Work) -> tuple[Sequence[Array], Sequence[Array]] | None:
        """Make a workload ready; returns what it computes, or ``None`` where the side does not do it."""
        self._work, self._task = work, None  # the last one's memory is free before the next one asks for some
        self._task = (workloads if self._name in BACKENDS else peers).prepare(self._name, work)
        if self._task is None:
            return None
        result = self._task.result()
        self._task.run()  # whatever happens once, such as touching new memory, has happened now
        return result

    def time(self) -> tuple[float, float]:
        """Seconds of one unit, over one run: on the core, and by the clock."""
        assert self._work is not None
        assert self._task is not None
        start, start_cpu = time.perf_counter(), time.process_time()
        self._task.run()
        end, end_cpu = time.perf_counter(), time.process_time()
        return (end_cpu - start_cpu) / self._work.units, (end - start) / self._work.units

    def latency(self) -> tuple[float, float]:
        """Median and 99th percentile of the seconds of single calls."""
        assert self._task is not None
        assert self._task.once is not None
        once, clock = self._task.once, time.perf_counter_ns
        taken = np.empty(LATENCY_CALLS)
        for i in range(LATENCY_CALLS):
            start = clock()
            once()
            taken[i] = clock() - start
        median, tail = np.percentile(taken, (50, 99)) / 1e9
        return float(median), float(tail)

    def call(self, module: str, function: str, *arguments: Any) -> Any:
        """A function of another module here, in this process."""
        return getattr(import_module(module), function)(*arguments)

    def peak(self) -> float:
        """GFLOP/s of multiply-adds in registers."""
        from nncore import _native

        return float(_native.peak_gflops(PROBE_SECONDS))

    def bandwidth(self, size: int) -> float:
        """10⁹ bytes a second read from an array of ``size`` bytes again and again."""
        from nncore import _native

        return float(_native.read_gbytes(np.ones(max(256, size // 4), np.float32), 5 * PROBE_SECONDS))

    def reads(self) -> dict[str, float]:
        """The same for arrays of several sizes."""
        return {label: self.bandwidth(size) for label, size in READ_SIZES.items()}

    def isa(self) -> str:
        """The instruction set of the compiled kernels."""
        from nncore import _native

        return str(_native.config()["chosen"])

    def lanes(self) -> int:
        """The reals in a vector of it."""
        from nncore import _native

        return int(_native.config()["lanes"][self.isa()])

    def configuration(self) -> str:
        """What the side runs on, in a few words."""
        if self._name not in BACKENDS:
            return peers.configuration(self._name)
        import nncore

        nncore.set_backend(BACKENDS[self._name])
        return nncore.config_summary()


def _serve(pipe: Connection, name: str, cpu: int | None) -> None:
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})
    side = Side(name)
    with suppress(EOFError, KeyboardInterrupt, BrokenPipeError):  # whoever asked is gone
        while (request := pipe.recv()) is not None:
            method, arguments = request
            try:
                answer = (True, getattr(side, method)(*arguments))
            except Exception as error:
                answer = (False, f"{type(error).__name__}: {error}")
            pipe.send(answer)


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


@contextmanager
def any_threads() -> Iterator[None]:
    """Let nncore use all threads that it does by default, in the processes started within; those of a BLAS stay one."""
    limits = {name: os.environ.pop(name) for name in ("NNCORE_NUM_THREADS", "OMP_NUM_THREADS") if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(limits)


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


def measure(work: Work, workers: Sequence[Worker], rounds: int) -> Measurement:
    """Check that all sides compute the same, then time them in turns: first, second, first, third, first, …

    Args:
        work: The workload.
        workers: The side that is measured, the reference, and peers, of which those that do not do it are left out.
        rounds: How often each of the others has its turn; fewer, but three, where they take longer than ``BUDGET``.

    Raises:
        WrongResultError: where a side differs from the reference by more than the workload tolerates.
    """
    results = {worker.name: worker.ask("prepare", work) for worker in workers}
    first, *others = [worker for worker in workers if results[worker.name] is not None]
    timings = {worker.name: Timing() for worker in (first, *others)}
    right = results[SIDES[1]]
    for side, timing in timings.items():
        timing.error = disagreement(results[side], right)
        if not timing.error <= work.tolerance:
            raise WrongResultError(
                f"{work.name}: {side} must agree with {SIDES[1]} to {work.tolerance:g}, relative to what the work "
                f"changes. Received: {timing.error:.2g}."
            )
    measurement = Measurement(work, timings, bandwidth=first.ask("bandwidth", work.bytes), lanes=first.ask("lanes"))
    start = time.perf_counter()
    for number in range(rounds):
        if number >= 3 and time.perf_counter() - start > BUDGET:
            break
        measurement.peak = max(measurement.peak, first.ask("peak"))
        for worker in others:
            timings[worker.name].first.append(timings[first.name].take(first))
            timings[worker.name].take(worker)
    measurement.peak = max(measurement.peak, first.ask("peak"))
    if isinstance(work, Predict) and work.batch == 1:
        for worker in (first, *others):
            timings[worker.name].call = min((worker.ask("latency") for _ in range(LATENCY_ROUNDS)), key=_tail)
    return measurement


def _tail(call: tuple[float, float]) -> float:
    return call[1]


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
        **_hobbles(),
        "nncore": nncore.__version__,
        "load": _load(),
    }


def _load() -> str:
    """How busy the machine is, since other programs on it lengthen times."""
    if not hasattr(os, "getloadavg"):
        return "unknown"
    return f"{os.getloadavg()[0]:.1f} programs running on average over the last minute"


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
    name = f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip()
    kernels = _blas_kernels()
    return f"{name}, its kernels for {kernels}" if kernels else name


def _blas_kernels() -> str | None:
    """The core type whose kernels NumPy's BLAS runs, where threadpoolctl is installed and the library tells."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return None
    found = (pool.get("architecture") for pool in threadpool_info() if pool["user_api"] == "blas")
    return next((kernels for kernels in found if kernels), None)


def _hobbles() -> dict[str, str]:
    """A line for the heading where the environment keeps other libraries from the best that they have."""
    found = [f"{name}={os.environ[name]}" for name in HOBBLES if os.environ.get(name)]
    if not found:
        return {}
    return {
        "WARNING": f"{', '.join(found)} in the environment: NumPy, the reference and the peers that read this may be "
        "slower than they could be on this processor"
    }
