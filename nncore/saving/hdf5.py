"""``.weights.h5``: weights in HDF5, in the layout of Keras 3, by h5py. That of Keras 2 is read, too.

Keras 3 names weights as nncore does, ``layers/dense_1/vars/0``. Keras 2 has a group for each layer, and says in
attributes which layers there are and what their weights are called.
"""

from __future__ import annotations

import io
import os
import re
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from math import prod
from mmap import ACCESS_READ, mmap
from typing import Any

import numpy as np

from nncore.saving.files import EXPANSION, Array, Contents

KERAS_VERSION = "3.15.1"
"""The version of Keras whose layouts are written."""

ATTRIBUTES = (
    b"model_config\0", b"training_config\0", b"metadata\0", b"keras_version\0", b"dtype\0", b"layer_names",
    b"weight_names",
)  # fmt: skip
"""What the names of the attributes that are read begin with."""

ATTRIBUTE_BYTES = 64512
"""What HDF5 holds in one attribute; longer lists go on in further ones."""


def h5py() -> Any:
    """The package; ``ImportError`` where it is missing."""
    try:
        import h5py
    except ImportError:
        raise ImportError(
            "Files in HDF5 need h5py: pip install 'nncore[keras]'. A name that ends in .npz needs nothing."
        ) from None
    return h5py


def write(path: str, contents: Contents) -> None:
    """Write the arrays into a new file, in the layout of Keras 3."""
    create(path, lambda file: put(file, contents))


def create(path: str, fill: Callable[[Any], None]) -> None:
    """Write a new file of what ``fill`` puts into it."""
    with open(path, "xb") as file:
        file.write(image(fill))


def image(fill: Callable[[Any], None]) -> memoryview:
    """The bytes of a file of what ``fill`` puts into it. (HDF5 is not at its best on a disk that is full.)"""
    whole = io.BytesIO()
    with h5py().File(whole, "w") as file:
        fill(file)
    return whole.getbuffer()


def put(file: Any, contents: Contents) -> None:
    """Write the arrays into an open file, in the layout of Keras 3."""
    for place, name in contents.names.items():
        if place not in contents.arrays:
            file.require_group(place).attrs["name"] = name
    for place, array in contents.arrays.items():
        file.create_dataset(place, data=array)


def read(path: str) -> Contents:
    """The weights in a file."""
    with opened(path) as file:
        return weights(Items(file, os.path.getsize(path)))


@contextmanager
def opened(path: str) -> Iterator[Any]:
    """A file, open to be read; ``ValueError`` where the library cannot read it in finite time."""
    library = h5py()
    with open(path, "rb") as raw:
        if os.path.getsize(path):
            with mmap(raw.fileno(), 0, access=ACCESS_READ) as data:
                _check(data)
    with library.File(path, "r") as file:
        yield file


@contextmanager
def opened_in(data: bytes | bytearray) -> Iterator[Any]:
    """The same for a file in memory."""
    _check(data)
    with h5py().File(io.BytesIO(data), "r") as file:
        yield file


def _check(data: bytes | bytearray | mmap) -> None:
    """Raise ``ValueError`` for what HDF5 1.14 and 2.0 come to grief over. Files of h5py have sizes of 64 bits."""
    if data[:8] != b"\x89HDF\r\n\x1a\n" or data[slice(9, 11) if data[8] > 1 else slice(13, 15)] != b"\x08\x08":
        raise ValueError("it is no file of HDF5 with addresses and sizes of 64 bits")
    _check_heaps(data)
    total = sum(_lengths(data))
    if total > EXPANSION * len(data):
        raise ValueError(f"its texts would take {total:,} bytes, more than {EXPANSION} times the file's size")
    for found in re.finditer(rb"FRHP\0..(..)", data, re.DOTALL):
        if found[1] != b"\0\0":
            raise ValueError("its attributes are compressed")


def _lengths(data: bytes | bytearray | mmap) -> Iterator[int]:
    """How long the texts are said to be in the attributes that are read: the library makes room before it looks.

    An attribute has a version, the sizes of its name, type and shape, and then these, in version 1 padded to 8 bytes.
    """
    for at, end in _names(data):
        for version, head in ((1, 8), (2, 8), (3, 9)):
            name, kind, shape = struct.unpack_from("<HHH", data, at - head + 2) if at >= head else (0, 0, 0)
            if name < end - at or data[at - head] != version:
                continue
            sizes = [size + -size % 8 if version == 1 else size for size in (name, kind, shape)]
            type_, space, values = (at + sum(sizes[:i]) for i in (1, 2, 3))
            if values >= len(data) or data[type_] & 15 != 9:  # which is the class of what has any length
                continue
            axes = data[space + 1]
            first = space + (8 if data[space] == 1 else 4)
            count = prod(int.from_bytes(data[first + 8 * i : first + 8 * i + 8], "little") for i in range(axes))
            for i in range(min(count, (len(data) - values) // 16)):
                yield int.from_bytes(data[values + 16 * i : values + 16 * i + 4], "little")


def _names(data: bytes | bytearray | mmap) -> Iterator[tuple[int, int]]:
    """Where names of attributes stand, with the 0 at their end. (A pattern would take five times as long.)"""
    for stem in ATTRIBUTES:
        at = data.find(stem)
        while at >= 0:
            yield at, data.find(b"\0", at) + 1
            at = data.find(stem, at + 1)


def _check_heaps(data: bytes | bytearray | mmap) -> None:
    """Raise ``ValueError`` for a collection of texts, "GCOL", in which one takes no room: the library would go through
    it for ever."""
    start = data.find(b"GCOL\x01\0\0\0")
    while start >= 0:
        at, end = start + 16, start + int.from_bytes(data[start + 8 : start + 16], "little")
        while at + 16 <= end <= len(data):
            size = int.from_bytes(data[at + 8 : at + 16], "little")
            needed = size if data[at : at + 2] == b"\0\0" else 16 + size + -size % 8
            if not 16 <= needed <= end - at:
                raise ValueError(f"a text in it, at {at}, has an impossible size, {size:,}")
            at += needed
        start = data.find(b"GCOL\x01\0\0\0", start + 1)


def weights(found: Items) -> Contents:
    """The weights in a file, in either layout."""
    for place in ("", "model_weights"):
        if found.strings(place, "layer_names"):
            return Contents({}, by_layer=layers(found, place))
    return Contents({name: found.array(name) for name in found.arrays})


class Items:
    """What is in an open file, checked: links and arrays that lead to other files are not followed.

    Args:
        file: The file.
        size: Its bytes, compressed as it may be: the arrays, and the pieces they are read in, may take ``EXPANSION``
            times as many.
    """

    def __init__(self, file: Any, size: int) -> None:
        self.groups: dict[str, Any] = {"": file}
        self.arrays: dict[str, Any] = {}
        library = h5py()

        def keep(name: str, item: Any) -> None:
            if isinstance(item, library.Group):
                self.groups[name] = item
            elif isinstance(item, library.Dataset):
                self.arrays[name] = item

        file.visititems(keep)  # follows no links
        for name, item in self.arrays.items():
            if item.external or item.is_virtual:
                raise ValueError(f"the values of {name!r} are in another file")
            if item.dtype.kind not in "biuf" or item.shape is None or "dtype" in item.attrs:
                kind = value_of(item, "dtype") if "dtype" in item.attrs else item.dtype
                raise ValueError(f"{name!r} holds no numbers that nncore has: {kind}")
        needed, limit = sum(map(_memory, self.arrays.values())), EXPANSION * size
        if needed > limit:
            raise ValueError(f"its arrays would take {needed:,} bytes, {EXPANSION} times the file's size is {limit:,}")

    def array(self, name: str) -> Array:
        """The array of a name; ``ValueError`` where there is none."""
        if name not in self.arrays:
            raise ValueError(f"there is no array {name!r} in it")
        return np.asarray(self.arrays[name])

    def strings(self, place: str, attribute: str) -> list[str]:
        """A list in an attribute, or in several: ``layer_names``, or ``layer_names0``, ``layer_names1``, …"""
        if place not in self.groups:
            return []
        group = self.groups[place]
        if attribute in group.attrs:
            return [_text(item) for item in value_of(group, attribute)]
        parts: list[str] = []
        for i in range(len(group.attrs)):
            if f"{attribute}{i}" in group.attrs:
                parts += [_text(item) for item in value_of(group, f"{attribute}{i}")]
        return parts


def value_of(item: Any, attribute: str) -> Any:
    """The value of an attribute of a group or array; ``ValueError`` where it is neither text nor numbers."""
    low = h5py()
    kind = low.h5a.open(item.id, attribute.encode()).get_type()
    if not isinstance(kind, low.h5t.TypeStringID | low.h5t.TypeIntegerID | low.h5t.TypeFloatID) or kind.committed():
        raise ValueError(f"the attribute {attribute!r} holds neither text nor numbers")
    return item.attrs[attribute]


def _memory(item: Any) -> int:
    """The bytes that it takes to read an array; of a piece that is compressed, HDF5 makes room for the whole."""
    return int(max(item.nbytes, prod(item.chunks or (0,)) * item.dtype.itemsize))


def _text(item: Any) -> str:
    return item.decode() if isinstance(item, bytes) else str(item)


# The layout of Keras 2.


def layers(found: Items, place: str) -> dict[str, dict[str, Array]]:
    """The weights of each layer in a group, by name, in order."""
    start = f"{place}/" if place else ""
    return {name: listed(found, f"{start}{name}") for name in found.strings(place, "layer_names")}


def listed(found: Items, place: str) -> dict[str, Array]:
    """The arrays that a group lists, in that order."""
    if place not in found.groups:
        raise ValueError(f"there is no group {place!r} in it")
    return {name: found.array(f"{place}/{name}") for name in found.strings(place, "weight_names")}


def put_layers(group: Any, by_layer: Mapping[str, Mapping[str, Array]]) -> None:
    """Write the weights of each layer into a group."""
    put_strings(group, "layer_names", by_layer)
    group.attrs["backend"], group.attrs["keras_version"] = "nncore", KERAS_VERSION
    for name in sorted(by_layer):
        put_listed(group.create_group(name), by_layer[name])
    put_listed(group.create_group("top_level_model_weights"), {})


def put_listed(group: Any, arrays: Mapping[str, Array]) -> None:
    """Write arrays into a group, and their names in order."""
    put_strings(group, "weight_names", arrays)
    for name, array in arrays.items():
        group.create_dataset(name, data=array)


def put_strings(group: Any, attribute: str, strings: Iterable[str]) -> None:
    """Write a list into an attribute, or into several where it is too long for one."""
    texts = [text.encode() for text in strings]
    size = len(texts) * max(map(len, texts), default=0)
    parts = -(-size // (ATTRIBUTE_BYTES // 2)) if size > ATTRIBUTE_BYTES else 1
    for i in range(parts):
        part = texts[i * len(texts) // parts : (i + 1) * len(texts) // parts]
        group.attrs[f"{attribute}{i}" if parts > 1 else attribute] = part
