"""Zip files that nobody vouches for: entries are checked before one is read, and read no further than they say."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from nncore.saving.files import EXPANSION

CHUNK = 2**18
"""Bytes read or written at a time, which caches hold. ``ZipExtFile.read()`` without it takes what an entry says."""


@contextmanager
def opened(path: str) -> Iterator[zipfile.ZipFile]:
    """An archive, open to be read; ``ValueError`` where its entries cannot be what they say."""
    with open(path, "rb") as raw, zipfile.ZipFile(raw) as archive:
        _check(archive.infolist(), os.fstat(raw.fileno()).st_size)
        yield archive


def _check(entries: list[zipfile.ZipInfo], size: int) -> None:
    if len({entry.filename for entry in entries}) != len(entries):
        raise ValueError("it has two entries of one name")
    for entry in entries:
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or entry.flag_bits & 1:
            raise ValueError(f"{entry.filename!r} is encrypted, or compressed in a way that is not usual")
        if entry.compress_type == zipfile.ZIP_STORED and entry.file_size != entry.compress_size:
            raise ValueError(f"{entry.filename!r} has two sizes")
    if sum(entry.compress_size for entry in entries) > size:
        raise ValueError("its entries take more bytes than the file has")
    if sum(entry.file_size for entry in entries) > EXPANSION * size:
        raise ValueError(f"it holds more than {EXPANSION} times its own size: write it without compression")


def content(archive: zipfile.ZipFile, name: str) -> bytearray:
    """The bytes of an entry; ``KeyError`` where there is none of that name."""
    values = bytearray(archive.getinfo(name).file_size)
    with archive.open(name) as file:
        fill(file, memoryview(values))
    return values


def fill(file: IO[bytes], values: memoryview) -> None:
    """Read ``values`` to the end of an entry, where its checksum is looked at; ``ValueError`` where it comes early."""
    at = 0
    while part := file.read(CHUNK):
        values[at : at + len(part)] = part
        at += len(part)
    if at != len(values):
        raise ValueError("an entry ends too early")
