"""What files of models hold, whichever their format, and how one is put in its place whole.

A format is a module with ``read(path) -> Contents`` and ``write(path, contents)``; where it is one of whole models,
``read`` takes ``arrays=False`` too. The suffix of a file's name chooses it. It is imported when it is first used.
"""

from __future__ import annotations

import errno
import os
import platform
import stat
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from math import prod
from typing import Any

import numpy as np

from nncore.version import __version__

Array = np.ndarray[Any, Any]

FILE_VERSION = 1
"""Goes up when older versions of nncore could not read a file rightly."""

EXPANSION = 16
"""How many times its own size the arrays of a file may have that is compressed: the weights of models hardly shrink."""

MODELS = {".npz": "npz", ".keras": "keras", ".h5": "legacy", ".hdf5": "legacy", ".safetensors": "safetensors"}
"""The formats of whole models: what the name of a file ends in, and the module here that reads and writes it."""

WEIGHTS = {
    ".weights.h5": "hdf5", ".h5": "legacy", ".hdf5": "legacy", ".npz": "npz", ".safetensors": "safetensors",
}  # fmt: skip
"""The formats of weights alone."""

WITH_WEIGHTS = {**WEIGHTS, ".keras": "keras"}
"""The formats that weights alone can be read from."""


@dataclass(frozen=True)
class Contents:
    """What is in a file."""

    arrays: Mapping[str, Array]
    """The weights by Keras's names, ``layers/dense_1/vars/0``, and the optimizer's variables, ``optimizer/vars/0``."""
    config: Mapping[str, Any] | None = None
    """The model as ``serialize_keras_object`` has it; ``None`` where there are weights alone."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """What else is to be known, as JSON-able values: of nncore under ``"nncore"``, of the user under other names."""
    names: Mapping[str, str] = field(default_factory=dict)
    """What the model calls what is at a place: ``layers/dense_1/vars`` is of layer ``y``, and ``optimizer/vars/3`` is
    ``adam/dense_kernel_velocity``. Only Keras's formats keep it."""
    by_layer: Mapping[str, Mapping[str, Array]] = field(default_factory=dict)
    """The weights as the layout of Keras 2 has them: by the name of the layer and their own, in each layer those that
    training changes first. What is read from that layout has them here, and in ``arrays`` those of the optimizer."""


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


def read(method: str, path: str, formats: Mapping[str, str], **how: bool) -> Contents:
    """What is in a file; of formats of whole models, with ``arrays=False`` no more than config and metadata.

    Raises:
        FileNotFoundError, IsADirectoryError, OSError: where there is none, or it cannot be read.
        ValueError: where it is damaged, of another kind, or of a newer version.
        ImportError: where its format needs a package that is missing.
    """
    if os.path.isdir(path):
        raise IsADirectoryError(f"{method}: {path!r} is a folder, not a file.")
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{method}: there is no file {path!r}.")
    with open(path, "rb"):  # what may not be read is no damage
        pass
    try:
        contents: Contents = _format(path, formats).read(path, **how)
        if not all(isinstance(name, str) for name in contents.arrays):
            raise ValueError("it has an array without a name")
        if not isinstance(contents.config, Mapping | None) or not isinstance(contents.metadata, Mapping):
            raise ValueError("its config or its metadata is none")
    except ImportError:
        raise
    except Exception as error:
        kind = "models" if formats is MODELS else "weights"
        raise ValueError(f"{method}: {path!r} is damaged, or is no file of {kind} ({say(error)}).") from error
    _check_version(method, path, contents.metadata)
    return contents


def say(error: Exception) -> str:
    """What an error says, in a few words."""
    text = str(error).rstrip(".")
    text = text if len(text) <= 500 else f"{text[:500]}…"
    return text if isinstance(error, ValueError) and text else f"{type(error).__name__}: {text}"


def _check_version(method: str, path: str, metadata: Mapping[str, Any]) -> None:
    own = metadata.get("nncore", {})
    version = own.get("file_version", 1) if isinstance(own, dict) else None
    if type(version) is not int:
        raise ValueError(f"{method}: {path!r} is damaged: its version is no integer.")
    if version > FILE_VERSION:
        raise ValueError(
            f"{method}: {path!r} is of version {version}, written by nncore {own.get('version')}. This is nncore "
            f"{__version__}, which reads up to version {FILE_VERSION}: upgrade it."
        )


# What formats have in common.


def as_text(contents: Contents) -> str:
    """Configuration and metadata as JSON."""
    import json

    return json.dumps({"config": contents.config, "metadata": contents.metadata})


def from_text(arrays: Mapping[str, Array], text: str | bytes) -> Contents:
    """The arrays with what ``as_text`` made a text of; ``ValueError`` for another text."""
    import json

    found = json.loads(text)
    config, metadata = (found.get(key) for key in ("config", "metadata")) if isinstance(found, dict) else (0, 0)
    if not isinstance(config, dict | None) or not isinstance(metadata, dict):
        raise ValueError("its text does not hold a config and metadata")
    return Contents(arrays, config, metadata)


def check_size(name: str, shape: Sequence[int], dtype: np.dtype[Any], there: int) -> None:
    """Raise ``ValueError`` where an array is not one of numbers, or does not take the bytes that are ``there`` for it.

    To be asked before memory is allocated for it.
    """
    if dtype.kind not in "biuf":
        raise ValueError(f"{name!r} holds no real numbers, but {dtype}")
    size = prod(shape) * dtype.itemsize
    if size != there:
        raise ValueError(f"{name!r} of shape {tuple(shape)} takes {size:,} bytes, and there are {there:,}")


def check_text(name: str, size: int, file: int) -> None:
    """Raise ``ValueError`` where a long text in an archive is larger than the whole file: Python needs some 30 times
    its bytes for what it says."""
    if size > max(file, 2**20):
        raise ValueError(f"{name!r} in it is compressed from {size:,} bytes: write the file without compression")


# Writing.


def write(method: str, path: str, contents: Contents, formats: Mapping[str, str]) -> None:
    """Put a file in its place, whole: whoever looks finds what was there before, or the new one.

    Raises:
        OSError: where it cannot be written; what was there before is there still.
        ImportError: where the format needs a package that is missing.
    """
    chosen = _format(path, formats)
    try:
        replace_file(path, lambda beside: chosen.write(beside, contents))
    except (ImportError, MemoryError, ValueError):
        raise
    except Exception as error:  # h5py's and safetensors' own errors of full disks among them
        number = error.errno if isinstance(error, OSError) and error.errno else errno.EIO
        reason = error.strerror if isinstance(error, OSError) and error.strerror else say(error)
        raise OSError(number, f"{method}: {path!r} cannot be written, and is as it was: {reason}") from error


def _format(path: str, formats: Mapping[str, str]) -> Any:
    suffix = next(s for s in formats if path.endswith(s))
    return import_module(f"nncore.saving.{formats[suffix]}")


_PROCESS = os.urandom(4).hex()
"""Tells this process from an earlier one of the same number."""


def replace_file(path: str, write: Callable[[str], None]) -> None:
    """Let ``write`` make a file beside ``path``, and move it there once it is on the disk.

    Where ``path`` is a symbolic link, the file that it leads to is replaced. The new file has the permissions of the
    old one. A process that is killed while it writes leaves a hidden file behind, which the next one to write the same
    file on this machine removes.
    """
    path = os.path.realpath(path)
    folder, name = os.path.split(path)
    mode = _mode_of(path, folder)
    stem = f".{name[:40]}.{_machine()}."
    _remove_leftovers(folder, stem)
    beside = os.path.join(folder, f"{stem}{os.getpid()}.{_PROCESS}.{os.urandom(4).hex()}")
    try:
        write(beside)
        if mode is not None:
            os.chmod(beside, mode)
        _flush(beside, os.O_RDWR)
        os.replace(beside, path)
    except BaseException:
        if os.path.exists(beside):
            os.remove(beside)
        raise
    with suppress(OSError):  # the new file is there; not every system can flush a folder
        _flush(folder, os.O_RDONLY)


def _mode_of(path: str, folder: str) -> int | None:
    """The permissions of the file that is there, or ``None``; ``OSError`` where none can be written."""
    if os.path.isdir(path):
        raise IsADirectoryError(errno.EISDIR, "it is a folder", path)
    if not os.path.isdir(folder):
        raise FileNotFoundError(errno.ENOENT, f"there is no folder {folder!r}", path)
    if not os.path.exists(path):
        return None
    if not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, "it is read-only", path)
    return stat.S_IMODE(os.stat(path).st_mode)


def _machine() -> str:
    """What tells this machine from others that write in the same folder."""
    return "".join(c for c in platform.node() if c.isalnum())[:40] or "here"


def _remove_leftovers(folder: str, stem: str) -> None:
    """Remove the files of processes of this machine that were killed while they wrote."""
    if os.name != "posix":  # elsewhere nothing tells whether a process lives
        return
    names: list[str] = []
    with suppress(OSError):  # a folder may be one to write into, and not to list
        names = os.listdir(folder)
    for name in names:
        if name.startswith(stem) and name.count(".", len(stem)) == 2:
            process, which, _ = name[len(stem) :].split(".")
            if process.isdigit() and not _lives(int(process), which):
                with suppress(OSError):
                    os.remove(os.path.join(folder, name))


def _lives(process: int, which: str) -> bool:
    if process == os.getpid():
        return which == _PROCESS
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def _flush(path: str, flags: int) -> None:
    """Wait until a file or folder is on the disk."""
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
