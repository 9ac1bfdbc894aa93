"""Where files are to be written: whether they can be is found out before the work that makes them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping

from nncore.saving import files


def check_place(option: str, path: str, formats: Mapping[str, str] | None = None) -> None:
    """Checks that a file ``path`` of one of ``formats`` (``None``: of any name) can be written.

    Raises:
        ValueError: for another suffix.
        OSError: where it can't be.
        ImportError: where its format needs a package that is missing.
    """
    if formats is not None:
        files.path_of(option, path, formats)
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


def suffixes(formats: Mapping[str, str]) -> str:
    """The suffixes in words: ``".npz, .keras or .h5"``."""
    *some, last = formats
    return f"{', '.join(some)} or {last}" if some else last
