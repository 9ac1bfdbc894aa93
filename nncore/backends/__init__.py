"""Backends: ``native`` runs programs on compiled kernels, ``numpy`` by their NumPy definitions. One is in force."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager

from nncore.arguments import positive_int
from nncore.backends.base import Backend, Epoch, Executable, Memory, Poll, Predictor
from nncore.backends.extension import load_native
from nncore.errors import MissingExtensionError, unknown_name

__all__ = [
    "Backend", "Epoch", "Executable", "Memory", "Poll", "Predictor", "config_summary", "current", "get_backend",
    "get_num_threads", "load_native", "own_num_threads", "set_backend", "set_num_threads", "show_config",
]  # fmt: skip

NAMES = ("native", "numpy")

in_force: Backend | None = None
"""The backend in force; ``None`` until it is first asked for: see ``current``."""


def set_num_threads(threads: int) -> None:
    """Let models use up to ``threads`` threads; each run uses as many as its batches are worth. No bit depends on it.

    The start is what the environment variables ``NNCORE_NUM_THREADS`` or ``OMP_NUM_THREADS`` say, but no more than the
    process's cores and CPU quota.

    Raises:
        ValueError: unless it is a positive integer.
    """
    load_native().set_num_threads(positive_int("set_num_threads", "threads", threads))


@contextmanager
def own_num_threads(threads: int) -> Iterator[None]:
    """Inside, runs that this thread starts use up to ``threads`` threads; those of others are as they were."""
    native = load_native()
    before = native.set_own_threads(threads)
    try:
        yield
    finally:
        native.set_own_threads(before)


def get_num_threads() -> int:
    """The most threads that a run on the native backend uses."""
    return int(load_native().get_num_threads())


def _make(name: str) -> Backend:
    if name == "native":
        from nncore.backends.native import NativeBackend

        return NativeBackend()
    if name == "numpy":
        from nncore.backends.numpy import NumpyBackend

        return NumpyBackend()
    raise unknown_name("backend", name, NAMES)


def set_backend(name: str) -> None:
    """Run all models on ``"native"`` (compiled kernels) or ``"numpy"`` (the reference) from now on.

    The environment variable ``NNCORE_BACKEND`` chooses at the start; without it, native.

    Raises:
        ValueError: for another name.
        MissingExtensionError: where the compiled extension is not there.
    """
    global in_force
    in_force = _make(name)


def current() -> Backend:
    """The backend in force."""
    if in_force is None:
        set_backend(os.environ.get("NNCORE_BACKEND") or "native")
    assert in_force is not None
    return in_force


def get_backend() -> str:
    """The name of the backend in force, ``"native"`` or ``"numpy"``."""
    return current().name


def config_summary() -> str:
    """What models run on, in a few words, such as ``"native (avx512)"``."""
    if get_backend() == "numpy":
        return "numpy"
    return f"native ({load_native().config()['chosen']})"


def show_config() -> None:
    """Print versions, the backend in force, and which instruction sets are compiled, supported here, and chosen."""
    import sys

    import numpy

    from nncore.version import __version__

    lines = [
        f"nncore     {__version__}",
        f"python     {platform.python_version()} on {sys.platform} {platform.machine()}",
        f"numpy      {numpy.__version__}",
        f"backend    {get_backend()}",
    ]
    try:
        config = load_native().config()
        lines += [
            f"compiled   {', '.join(config['compiled'])}",
            f"supported  {', '.join(config['supported'])}",
            f"threads    {get_num_threads()}",
            f"chosen     {config['chosen']} ({config['lanes'][config['chosen']]} float32 values in a vector)",
        ]
    except MissingExtensionError:
        lines.append("compiled   nothing: the extension is not built")
    print("\n".join(lines))
