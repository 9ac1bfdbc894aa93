"""What files of models hold, whichever their format, and how one is put in its place whole.

A format is a module with ``read(path) -> Contents`` and ``write(path, contents)``; the suffix of a file's name chooses
it. It is imported when it is first used.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

MODELS = {".npz": "npz"}
"""The formats of whole models: what the name of a file ends in, and the module here that reads and writes it."""

WEIGHTS = {".weights.h5": "hdf5", ".h5": "hdf5", ".hdf5": "hdf5", ".npz": "npz"}
"""The formats of weights alone."""


@dataclass(frozen=True)
class Contents:
    """What is in a file."""

    arrays: Mapping[str, Array]
    """The weights by Keras's names, ``layers/dense_1/vars/0``, and the optimizer's variables, ``optimizer/vars/0``."""
    config: Mapping[str, Any] | None = None
    """The model as ``serialize_keras_object`` has it; ``None`` where there are weights alone."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """What else is to be known, as JSON-able values: of nncore under ``"nncore"``, of the user under other names."""


def path_of(method: str, filepath: Any, formats: Mapping[str, str]) -> str:
    """``filepath`` as a string; ``ValueError`` where its suffix is none of ``formats``."""
    path = os.fspath(filepath)
    if not isinstance(path, str) or not path.endswith(tuple(formats)):
        *some, last = formats
        raise ValueError(
            f"{method}: the file's name must end in {', '.join(some) + ' or ' if some else ''}{last}. "
            f"Received: {filepath!r}."
        )
    return path


def read(method: str, path: str, formats: Mapping[str, str]) -> Contents:
    """What is in a file.

    Raises:
        FileNotFoundError: where there is none.
        OSError: where it cannot be read.
        ValueError: where it is damaged, or of another kind.
        ImportError: where its format needs a package that is missing.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{method}: there is no file {path!r}.")
    with open(path, "rb"):  # what may not be read is no damage
        pass
    try:
        contents: Contents = _format(path, formats).read(path)
    except ImportError:
        raise
    except Exception as error:
        kind = "models" if formats is MODELS else "weights"
        raise ValueError(f"{method}: {path!r} is damaged, or is no file of {kind} ({error}).") from error
    return contents


def write(path: str, contents: Contents, formats: Mapping[str, str]) -> None:
    """Put a file in its place, whole: whoever looks finds what was there before, or the new one."""
    chosen = _format(path, formats)
    replace_file(path, lambda beside: chosen.write(beside, contents))


def _format(path: str, formats: Mapping[str, str]) -> Any:
    suffix = next(s for s in formats if path.endswith(s))
    return import_module(f"nncore.saving.{formats[suffix]}")


def replace_file(path: str, write: Callable[[str], None]) -> None:
    """Let ``write`` make a file beside ``path``, and move it there once it is on the disk."""
    folder, name = os.path.split(os.path.abspath(path))
    beside = os.path.join(folder, f".{name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        write(beside)
        _flush(beside)
        os.replace(beside, path)
    except BaseException:
        if os.path.exists(beside):
            os.remove(beside)
        raise
    _flush(folder)


def _flush(path: str) -> None:
    """Wait until a file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
