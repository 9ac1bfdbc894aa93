"""Names of files: which formats they say, and whether a file can be written there, before the work that makes it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection

from nncore.export import FORMATS
from nncore.saving.files import MODELS, WEIGHTS

EXPORTS = tuple(FORMATS.values())
"""What the names of files for other programs end in."""


def is_of(path: str, suffixes: Collection[str]) -> bool:
    """Whether a file's name ends in one of ``suffixes``. Of .h5 and .weights.h5, the longer counts."""
    fitting = [suffix for suffix in (*MODELS, *WEIGHTS, *EXPORTS) if path.endswith(suffix)]
    return bool(fitting) and max(fitting, key=len) in suffixes


def check_suffix(option: str, path: str, suffixes: Collection[str]) -> None:
    """Raises ``ValueError`` unless a file's name ends in one of ``suffixes``."""
    if not is_of(path, suffixes):
        raise ValueError(f"{option}: the file's name must end in {in_words(suffixes)}. Received: {path!r}.")


def check_place(option: str, path: str) -> None:
    """Raises ``OSError`` unless a file can be written there."""
    folder = os.path.dirname(os.path.realpath(path))
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{option}: there is no folder {folder!r} for {path!r}. Make it first.")
    if os.path.isdir(path):
        raise IsADirectoryError(f"{option}: {path!r} is a folder. Name a file in it.")
    if os.path.exists(path) and not os.access(path, os.W_OK):
        raise PermissionError(f"{option}: {path!r} is read-only. Name another file.")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(f"{option}: the folder {folder!r} must be one to write into. Received: {error}.") from error


def in_words(suffixes: Collection[str]) -> str:
    """The suffixes: ``".npz, .keras or .h5"``."""
    *some, last = suffixes
    return f"{', '.join(some)} or {last}" if some else last
