"""How many threads models may use. Results have the same bits for any number."""

from __future__ import annotations

import os
import sys
from typing import Any

from nncore.version import __version__

CGROUPS = "/sys/fs/cgroup"
CPUS = "/sys/devices/system/cpu"


def default_threads() -> int:
    """The threads that a run may use unless it is told otherwise.

    ``NNCORE_NUM_THREADS``, or ``OMP_NUM_THREADS``, where set; but never more than the cores that the process may run on
    (hyper-threads of one core count once: they share its multiply-add units) or than its cgroup's CPU quota.
    """
    limits = [_cores(), _quota()]
    for name in ("NNCORE_NUM_THREADS", "OMP_NUM_THREADS"):
        text = os.environ.get(name, "").split(",")[0].strip()  # OpenMP takes a list, one entry a nesting level
        if text:
            if not text.isdecimal() or int(text) < 1:
                raise ValueError(f"The environment variable {name} must be a positive integer. Received: {text!r}.")
            limits.append(int(text))
            break
    return max(1, min(limit for limit in limits if limit is not None))


def _cores() -> int:
    """Physical cores in the process's affinity mask."""
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    return len({_siblings(cpu) for cpu in os.sched_getaffinity(0)})


def _read(path: str) -> str:
    with open(path) as file:
        return file.read().strip()


def _siblings(cpu: int) -> str:
    """The hyper-threads that share a core with ``cpu``, as the system lists them."""
    try:
        return _read(f"{CPUS}/cpu{cpu}/topology/thread_siblings_list")
    except OSError:
        return str(cpu)


def _quota() -> int | None:
    """Whole CPUs that the cgroup may use, or ``None`` where there is no limit."""
    try:
        quota, period = _read(f"{CGROUPS}/cpu.max").split()[:2]
    except (OSError, ValueError):
        try:
            quota = _read(f"{CGROUPS}/cpu/cpu.cfs_quota_us")
            period = _read(f"{CGROUPS}/cpu/cpu.cfs_period_us")
        except OSError:
            return None
    if quota in ("max", "-1"):
        return None
    return max(1, int(quota) // int(period))


_registered = False


def obey_threadpoolctl(native: Any) -> None:
    """Let threadpoolctl's limits apply to the extension ``native`` too, where the program has imported it."""
    global _registered
    if _registered or "threadpoolctl" not in sys.modules:
        return
    _registered = True
    from threadpoolctl import LibController, register

    class NncoreController(LibController):  # type: ignore[misc]
        """Finds the extension by the function that only it exports."""

        user_api = "nncore"
        internal_api = "nncore"
        filename_prefixes = ("_native",)
        check_symbols = ("nncore_threads",)

        def get_num_threads(self) -> int:
            return int(native.get_num_threads())

        def set_num_threads(self, num_threads: int) -> None:
            native.set_num_threads(num_threads)

        def get_version(self) -> str:
            return __version__

        def set_additional_attributes(self) -> None:
            """There are none."""

    register(NncoreController)
