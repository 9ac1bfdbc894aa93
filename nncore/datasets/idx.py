"""The IDX format of the MNIST family: a big-endian header (type, sizes), then the array's bytes.

http://yann.lecun.com/exdb/mnist/ describes it under "FILE FORMATS FOR THE MNIST DATABASE".
"""

from __future__ import annotations

import gzip
import io
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

UINT8 = 0x08
"""The one element type the MNIST family uses."""
MAX_DEFLATE_RATIO = 1032
"""No byte of a gzip file stands for more bytes than this (https://zlib.net/zlib_tech.html)."""


def read(path: Path, ndim: int) -> Array:
    """The ``ndim``-dimensional uint8 array in the IDX file ``path``, which may be gzip-compressed.

    The header is checked against the file before the array is allocated. Raises ``ValueError`` for a file that is
    damaged, cut short, too long or not IDX, ``OSError`` for one that cannot be read.
    """
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        try:
            array = _read_array(
                gzip.GzipFile(fileobj=file) if packed else file,
                ndim,
                most=path.stat().st_size * (MAX_DEFLATE_RATIO if packed else 1),
            )
        except (EOFError, zlib.error, gzip.BadGzipFile, ValueError) as error:
            raise ValueError(f"{path} is not a whole IDX file: {error}. Put an intact copy in its place.") from error
    return array


def _read_array(stream: io.BufferedIOBase, ndim: int, most: int) -> Array:
    header = stream.read(4 + 4 * ndim)
    if header[:4] != bytes([0, 0, UINT8, ndim]):
        received = header[:4].hex(" ") or "nothing"
        raise ValueError(f"it must begin with the bytes 00 00 08 {ndim:02x}. Received: {received}")
    if len(header) < 4 + 4 * ndim:
        raise ValueError("it ends within its header")
    shape = tuple(int(size) for size in np.frombuffer(header, ">u4", offset=4))
    size = math.prod(shape)
    promise = f"its header promises {' × '.join(map(str, shape))} = {size:,} bytes"
    if size > most:
        raise ValueError(f"{promise}, more than it can hold")
    array = np.empty(size, np.uint8)
    received_bytes = stream.readinto(array.data)
    if received_bytes < size:
        raise ValueError(f"{promise}, it holds {received_bytes:,}")
    if stream.read(1):
        raise ValueError(f"{promise}, it holds more")
    return array.reshape(shape)
