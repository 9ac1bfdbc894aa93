"""What ``mnist`` and ``fashion_mnist`` share: where their files may lie, and how they become arrays."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from nncore.datasets import idx
from nncore.datasets.download import Remote, cache_folder, download

Array = np.ndarray[Any, Any]
Split = tuple[tuple[Array, Array], tuple[Array, Array]]
"""``(x_train, y_train), (x_test, y_test)``"""

CLASSES = 10
ARRAYS = ("x_train", "y_train", "x_test", "y_test")
"""The names of the arrays in an ``.npz`` file of Keras's layout."""


@dataclass(frozen=True)
class ImageSet:
    """A data set in the four files of MNIST: 28×28 grey images and their classes 0 to 9, to train and to test."""

    name: str
    """The name of its cache folder."""
    files: tuple[Remote, Remote, Remote, Remote]
    """Training images, training labels, test images, test labels."""
    mirrors: tuple[str, ...]
    """URLs of the folders it can be downloaded from, best first."""
    package: tuple[str, Path] | None = None
    """The Debian package that has it, and the folder that package installs."""

    def load(self, path: str | PathLike[str] | None = None) -> Split:
        """The arrays: from ``path`` when given, else the cache folder, the Debian package, or a download."""
        if path is not None:
            return self._read(Path(path))
        folders = [cache_folder(self.name)] + ([self.package[1]] if self.package else [])
        for folder in folders:
            if all(_find(folder, remote) for remote in self.files):
                return self._read(folder)
        self._download(folders[0])
        return self._read(folders[0])

    def _download(self, folder: Path) -> None:
        try:
            for remote in self.files:
                if not _find(folder, remote):
                    download(remote, self.mirrors, folder)
        except OSError as error:
            package = f", or install the Debian package {self.package[0]}" if self.package else ""
            raise OSError(
                f"{self.name} is not on this machine and could not be downloaded.\n{error}\n"
                f"Put {', '.join(remote.name for remote in self.files)} into {folder}, "
                f"or into a folder of your own and pass it as load_data(path=...){package}."
            ) from error

    def _read(self, path: Path) -> Split:
        if not path.exists():
            raise FileNotFoundError(
                f"{self.name}: there is no file or folder {path}. "
                "Leave path out to use the cache folder or to download the data set."
            )
        x_train, y_train, x_test, y_test = self._read_idx(path) if path.is_dir() else _read_npz(path)
        _check(path, "training", x_train, y_train)
        _check(path, "test", x_test, y_test)
        return (x_train, y_train), (x_test, y_test)

    def _read_idx(self, folder: Path) -> list[Array]:
        found = [_find(folder, remote) for remote in self.files]
        missing = [remote.name for remote, file in zip(self.files, found, strict=True) if file is None]
        if missing:
            raise FileNotFoundError(
                f"{self.name}: {folder} lacks {', '.join(missing)} (they may also lie there uncompressed, without .gz)."
            )
        return [idx.read(file, ndim) for file, ndim in zip(found, (3, 1, 3, 1), strict=True) if file is not None]


def _find(folder: Path, remote: Remote) -> Path | None:
    """The file in ``folder``, as distributed or uncompressed."""
    for name in (remote.name, remote.name.removesuffix(".gz")):
        if (folder / name).is_file():
            return folder / name
    return None


def _read_npz(path: Path) -> list[Array]:
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            return [file[name] for name in ARRAYS]
    except (AttributeError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"{path} must be a folder of IDX files, or an .npz file with the arrays {', '.join(ARRAYS)}. "
            f"Received: {error}"
        ) from error


def _check(path: Path, part: str, x: Array, y: Array) -> None:
    """Raises ``ValueError`` unless x and y are images and labels of one length."""
    if x.ndim != 3 or x.shape[1:] != (28, 28) or x.dtype != np.uint8 or not len(x):
        raise ValueError(
            f"{path}: the {part} images must be uint8 of shape (n, 28, 28). Received: {x.dtype} of shape {x.shape}."
        )
    if y.shape != x.shape[:1] or not np.issubdtype(y.dtype, np.integer):
        raise ValueError(
            f"{path}: each of the {len(x)} {part} images needs one integer label. "
            f"Received: {y.dtype} of shape {y.shape}."
        )
    wrong = np.flatnonzero((y < 0) | (y >= CLASSES))
    if wrong.size:
        raise ValueError(
            f"{path}: the {part} labels must be 0 to {CLASSES - 1}. Received: {y[wrong[0]]} at row {wrong[0]}."
        )
