"""``.npz``: NumPy's own archives, for which nothing else is needed. Nothing in them is ever unpickled.

The arrays stand under their names. Configuration and metadata are one JSON text, as the bytes ``model.json``. What
``numpy.savez`` and ``savez_compressed`` write is read too.

An archive is a zip file of ``.npy`` files, and its checksums tell where a bit was flipped. Both formats are read here
with more care than NumPy takes: what an entry says of its size must fit the file, and what an array says of its shape
must fit its entry, before there is memory for it.
"""

from __future__ import annotations

import os
import re
import zipfile
from typing import Any

import numpy as np

from nncore.saving import archives, files
from nncore.saving.files import Array, Contents

TEXT = "model.json"

_HEADER = re.compile(
    rb"\{'descr': ?'([<>|=][biuf][0-9]{1,2})', ?'fortran_order': ?(False|True), ?"
    rb"'shape': ?\(((?:[0-9]{1,19}(?:, ?[0-9]{1,19})*,?)?)\),? ?\} *\n?"
)
"""As NumPy writes it, and its like; there is one way to read a text, so that long ones take no longer."""


def write(path: str, contents: Contents) -> None:
    """Write ``contents`` into a new file. Equal contents make equal files."""
    arrays: dict[str, Any] = dict(contents.arrays)
    if contents.config is not None or contents.metadata:
        arrays[TEXT] = np.frombuffer(files.as_text(contents).encode(), np.uint8)
    with open(path, "xb") as raw, zipfile.ZipFile(raw, "w") as archive:
        for name, array in arrays.items():
            _write_array(archive, name, np.asarray(array, order="C"))


def _write_array(archive: zipfile.ZipFile, name: str, array: Array) -> None:
    entry = zipfile.ZipInfo(f"{name}.npy")  # of 1980, whenever it is written
    entry.file_size = array.nbytes + 1024  # whether it takes 64 bits is known from that
    with archive.open(entry, "w") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        if array.size:
            values = array.reshape(-1).view(np.uint8).data
            for start in range(0, len(values), archives.CHUNK):
                file.write(values[start : start + archives.CHUNK])


def read(path: str, arrays: bool = True) -> Contents:
    """What is in a file; without its ``arrays``, config and metadata alone."""
    with archives.opened(path) as archive:
        _check_names(archive.namelist())
        entries = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
        if TEXT in entries:
            files.check_text(TEXT, entries[TEXT].file_size, os.path.getsize(path))
        found = {name: _read_array(archive, entry) for name, entry in entries.items() if arrays or name == TEXT}
    text = found.pop(TEXT, None)
    return Contents(found) if text is None else files.from_text(found, text.tobytes())


def _check_names(names: list[str]) -> None:
    for name in names:
        if not name.endswith(".npy"):
            raise ValueError(f"{name!r} in it is no array")


def _read_array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Array:
    """The array of an entry."""
    with archive.open(entry) as file:
        magic = file.read(8)
        width = {b"\x01\x00": 2, b"\x02\x00": 4, b"\x03\x00": 4}.get(magic[6:])
        if magic[:6] != b"\x93NUMPY" or width is None:
            raise ValueError(f"{entry.filename!r} is no array")
        length = int.from_bytes(file.read(width), "little")
        found = _HEADER.fullmatch(file.read(min(length, 10_000)))
        if found is None:
            raise ValueError(f"{entry.filename!r} is no array of real numbers")
        dtype, columns_first = np.dtype(found[1].decode()), found[2] == b"True"
        shape = tuple(int(n) for n in found[3].split(b",") if n.strip())
        files.check_size(entry.filename, shape, dtype, entry.file_size - 8 - width - length)
        values = np.empty(shape[::-1] if columns_first else shape, dtype)
        archives.fill(file, values.reshape(-1).view(np.uint8).data)
    return values.T if columns_first else values
