"""Files that are damaged or hostile: mutants of good ones, and what must hold when they are read.

    python tests/fuzz.py FOLDER SUFFIX FIRST COUNT

makes mutants number ``FIRST`` and on of the good files of a suffix, reads each with ``load_model``, ``read_metadata``
or ``load_weights``, and prints how many there were and what became of them. A mutant is a function of its number and
the good file. It lies in ``FOLDER`` while it is read: after a crash it is there to be looked at. That is why this runs
in a process of its own, which has little more memory than it needs.
"""

from __future__ import annotations

import faulthandler
import io
import json
import re
import resource
import struct
import sys
import tempfile
import tracemalloc
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from nncore.allowance import BESIDES
from nncore.layers import BatchNormalization, Dense, Dropout, Embedding, Flatten, Input, Normalization
from nncore.models import Sequential, load_model
from nncore.optimizers import SGD, schedules
from nncore.regularizers import L2
from nncore.saving import files, read_metadata
from nncore.utils import set_random_seed

SECONDS = 20
"""For one file, on a machine that is busy."""

ROOM = 2**29
"""Bytes of address space beyond those that a process has when it begins."""


# Good files.


def dense() -> Sequential:
    inner = Sequential([Dropout(0.5), Dense(2, "softmax", kernel_initializer="he_normal")], name="inner")
    layers = [Input((3,)), Normalization(mean=0.0, variance=1.0), Dense(3, "relu", kernel_regularizer=L2(0.1))]
    model = Sequential([*layers, BatchNormalization(), inner])
    model.compile(SGD(schedules.CosineDecay(0.1, 9), 0.9), "crossentropy", metrics=["accuracy", "auc"])
    return model


def words() -> Sequential:
    model = Sequential([Input((2,), dtype="int32"), Embedding(4, 2), Flatten(), Dense(1)])
    model.compile("sgd", "mse")
    return model


def good_files(suffix: str) -> list[tuple[Callable[[Path], Any], bytes]]:
    """Files of a suffix, each with what reads it."""
    set_random_seed(0)
    one, two = dense(), words()
    one.fit(np.random.default_rng(0).random((8, 3)), np.eye(2)[np.arange(8) % 2], verbose=0)
    found: list[tuple[Callable[[Path], Any], bytes]] = []

    def keep(write: Callable[[Path], Any], read: Callable[[Path], Any]) -> None:
        write(path)
        found.append((read, path.read_bytes()))

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"good{suffix}"
        if suffix in files.MODELS:
            keep(one.save, load_model)
            keep(two.save, load_model)
            keep(one.save, read_metadata)
        if suffix in files.WEIGHTS:
            keep(one.save_weights, one.load_weights)
            keep(two.save_weights, two.load_weights)
        if suffix == ".npz":
            arrays = files.read("fuzz", str(path), files.WEIGHTS).arrays
            keep(lambda p: np.savez_compressed(p, **arrays), two.load_weights)
    return found


# Mutants.

NUMBERS = [0, 1, -1, 2, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**63, 2**64 - 1, 10**12, 10**30]
VALUES: list[Any] = [
    *NUMBERS, None, True, "", "x", "Dense", "nncore", "float64", [], {}, [[]], [10**9] * 3, 1e308, float("nan"), -0.5,
    {"class_name": "Dense", "config": {"units": 10**9}}, {"class_name": "function", "config": "load_model"},
    {"class_name": "__numpy__", "config": {"value": [1], "dtype": "S999999999"}},
    {"module": "keras.layers", "class_name": "RepeatVector", "config": {"n": 10**9}, "registered_name": None},
    {"module": "keras.metrics", "class_name": "MeanIoU", "config": {"num_classes": 10**6}, "registered_name": None},
    {"module": "keras.metrics", "class_name": "AUC", "config": {"num_thresholds": 10**7}, "registered_name": None},
    {"module": "keras.layers", "class_name": "Embedding", "config": {"input_dim": 10**9, "output_dim": 64}},
]  # fmt: skip
NAMES = [
    "units", "batch_shape", "build_input_shape", "class_name", "config", "layers", "module", "registered_name", "steps",
    "num_thresholds", "num_classes", "axis", "mean", "variance", "n", "target_shape", "input_dim", "output_dim",
]  # fmt: skip


def of_bytes(data: bytes, rng: np.random.Generator) -> bytes:
    """Other bytes: flipped, overwritten, cut, moved, repeated, or with a number of note somewhere."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        size = max(1, len(out))
        at, length = int(rng.integers(size)), int(min(rng.geometric(0.05), size))
        kind = rng.integers(8)
        if kind == 0 and out:
            out[at % len(out)] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            out[at : at + length] = rng.bytes(length)
        elif kind == 2:
            out[at : at + length] = bytes([int(rng.choice([0, 255, 32, 127]))]) * length
        elif kind == 3:
            del out[at : at + length]
        elif kind == 4:
            out[at:at] = out[int(rng.integers(size)) :][:length]
        elif kind == 5:
            del out[at:]
        elif kind == 6:
            width = int(rng.choice([1, 2, 4, 8]))
            number = NUMBERS[rng.integers(len(NUMBERS))] % 2 ** (8 * width)
            out[at : at + width] = number.to_bytes(width, "little")
        else:
            digits = list(re.finditer(rb"[0-9]+", bytes(out)))
            if digits:
                found = digits[rng.integers(len(digits))]
                out[found.start() : found.end()] = str(NUMBERS[rng.integers(len(NUMBERS))]).encode()
    return bytes(out)


def of_json(text: bytes, rng: np.random.Generator) -> bytes:
    """Another text of JSON: values that are replaced, removed, added, or taken from elsewhere; or other bytes."""
    try:
        tree = json.loads(text)
    except ValueError:  # it was changed before
        return of_bytes(text, rng)
    if rng.random() < 0.2:
        return of_bytes(text, rng)
    for _ in range(int(rng.integers(1, 4))):
        places: list[tuple[Any, Any]] = []

        def visit(node: Any, places: list[tuple[Any, Any]] = places) -> None:
            for key in node if isinstance(node, dict) else range(len(node) if isinstance(node, list) else 0):
                places.append((node, key))
                visit(node[key])

        visit(tree)
        if not places:
            break
        node, key = places[rng.integers(len(places))]
        kind = rng.integers(6)
        if kind == 0:
            del node[key]
        elif kind == 1:
            other, its = places[rng.integers(len(places))]
            node[key] = json.loads(json.dumps(other[its]))
        elif kind == 2 and isinstance(node, list):
            node[key:key] = node[:]
        elif kind == 3 and isinstance(node, dict):
            node[str(rng.choice(NAMES))] = deepcopy(VALUES[rng.integers(len(VALUES))])
        else:
            node[key] = deepcopy(VALUES[rng.integers(len(VALUES))])
    return json.dumps(tree).encode()


def of_zip(data: bytes, rng: np.random.Generator) -> bytes:
    """Another archive, whose sizes and checksums are right: with one entry changed, renamed, left out or compressed."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        entries = {info.filename: file.read(info) for info in file.infolist()}
    texts = [name for name in entries if "json" in name]
    name = str(rng.choice(texts if texts and rng.random() < 0.6 else sorted(entries)))
    kind = rng.integers(20)
    if kind == 0:
        del entries[name]
    elif kind == 1:
        entries[of_bytes(name.encode(), rng).decode("latin-1").replace("\0", "") or "x"] = entries.pop(name)
    elif name.endswith(".h5") and rng.random() < 0.5:
        entries[name] = of_hdf5(entries[name], rng)
    elif "json" in name:
        at = entries[name].index(b"{")  # behind the header of an array
        text = of_json(entries[name][at:], rng) if name.endswith(".json") else of_json(_in_array(entries[name]), rng)
        entries[name] = text if name.endswith(".json") else _as_array(text)
    else:
        entries[name] = of_bytes(entries[name], rng)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED if rng.random() < 0.2 else zipfile.ZIP_STORED) as file:
        for entry, content in entries.items():
            file.writestr(entry, content)
    return out.getvalue()


def _in_array(data: bytes) -> bytes:
    values: bytes = np.load(io.BytesIO(data)).tobytes()
    return values


def _as_array(text: bytes) -> bytes:
    out = io.BytesIO()
    np.save(out, np.frombuffer(text, np.uint8))
    return out.getvalue()


def of_safetensors(data: bytes, rng: np.random.Generator) -> bytes:
    """Another header whose length is right; in it, the text of a model may be another text of JSON."""
    (length,) = struct.unpack("<Q", data[:8])
    header = data[8 : 8 + length]
    whole = json.loads(header)
    if "__metadata__" in whole and rng.random() < 0.7:
        text = whole["__metadata__"]["nncore"].encode()
        whole["__metadata__"]["nncore"] = of_json(text, rng).decode("latin-1")
        header = json.dumps(whole).encode()
    else:
        header = of_json(header, rng)
    return struct.pack("<Q", len(header)) + header + data[8 + length :]


def of_hdf5(data: bytes, rng: np.random.Generator) -> bytes:
    """Another file that the library has written: with other texts, shapes, types, links, or lists of names."""
    whole = io.BytesIO(data)
    with h5py.File(whole, "r+") as file:
        items: list[Any] = [file]
        file.visititems(lambda _, item: items.append(item))
        for _ in range(int(rng.integers(1, 3))):
            item = items[rng.integers(len(items))] if rng.random() < 0.7 else file
            if not item or not item.name:  # it was deleted
                continue
            names = sorted(item.attrs)
            texts = [name for name in names if isinstance(item.attrs[name], str) and item.attrs[name][:1] == "{"]
            if texts:
                name = str(rng.choice(texts))
                item.attrs[name] = of_json(item.attrs[name].encode(), rng).decode("latin-1").replace("\0", "")
            elif names and rng.random() < 0.5:
                item.attrs[str(rng.choice(names))] = ATTRIBUTES[rng.integers(len(ATTRIBUTES))]
            elif item.name != "/":
                with suppress(KeyError, RuntimeError):  # what was reached through a loop cannot be deleted
                    name = item.name
                    del file[name]
                    REPLACEMENTS[rng.integers(len(REPLACEMENTS))](file, name)
    return whole.getvalue()


ATTRIBUTES: list[Any] = [
    0, "x", b"dense", b"\xff", [b"\xff"], [b"dense", b"dense"], ["../../x"], np.zeros(1000), np.zeros((0,)), [b""],
    "bfloat16",
]  # fmt: skip
REPLACEMENTS: list[Callable[[Any, str], Any]] = [
    lambda file, name: None,
    lambda file, name: file.create_group(name),
    lambda file, name: file.create_dataset(name, (10**12,), "f4", chunks=(10**6,)),
    lambda file, name: file.create_dataset(name, (2**30, 2**30), "f4"),
    lambda file, name: file.create_dataset(name, (3,), "f4", chunks=(2**29,), maxshape=(None,)),
    lambda file, name: file.create_dataset(name, (3, 3), "f4", maxshape=(None, 3)),
    lambda file, name: file.create_dataset(name, data=np.zeros(10**5, "f4"), compression="gzip"),
    lambda file, name: file.create_dataset(name, (10**6,), "f4", external=[("/dev/zero", 0, 4 * 10**6)]),
    lambda file, name: file.create_dataset(name, data=["x" * 100], dtype=h5py.string_dtype()),
    lambda file, name: file.create_dataset(name, data=np.zeros(3, [("x", "f4"), ("y", "O", (2,))][:1])),
    lambda file, name: file.create_dataset(name, data=h5py.Empty("f4")),
    lambda file, name: file.create_dataset(name, data=np.zeros((3, 3), "c8")),
    lambda file, name: file.create_dataset(name, data=np.zeros((3, 3), "f2")),
    lambda file, name: file.create_virtual_dataset(name, _elsewhere()),
    lambda file, name: file.__setitem__(name, h5py.SoftLink(name)),
    lambda file, name: file.__setitem__(name, h5py.ExternalLink("/etc/passwd", "/")),
    lambda file, name: file.__setitem__(name, file),
]


def _elsewhere() -> Any:
    layout = h5py.VirtualLayout((10**6,), "f4")
    layout[:] = h5py.VirtualSource("/dev/zero", "x", (10**6,))
    return layout


STRUCTURED: dict[str, Callable[[bytes, np.random.Generator], bytes]] = {
    ".npz": of_zip, ".safetensors": of_safetensors, ".keras": of_zip, ".h5": of_hdf5, ".weights.h5": of_hdf5,
}  # fmt: skip


def mutant(suffix: str, good: bytes, rng: np.random.Generator) -> bytes:
    """A file that is not quite as ``good``."""
    structured = STRUCTURED.get(suffix)
    return of_bytes(good, rng) if structured is None or rng.random() < 0.3 else structured(good, rng)


# What must hold.


def attempt(read: Callable[[Path], Any], path: Path, most: int, thorough: bool) -> str:
    """Read a file in ``SECONDS`` and ``most`` bytes: ``"read"``, or ``"refused"`` with one clear error.

    Where it is to be ``thorough``, what was read is also used.
    """
    tracemalloc.reset_peak()
    before, used = tracemalloc.get_traced_memory()[0], _most_at_once()
    faulthandler.dump_traceback_later(SECONDS, exit=True)  # also out of a library that does not come back
    found, said = None, ""
    try:
        found = read(path)
    except ValueError as error:
        said = str(error)
    taken = tracemalloc.get_traced_memory()[1] - before
    assert taken <= most, f"it took {taken:,} bytes"
    assert _most_at_once() - used <= most + 2**23, f"it took {_most_at_once() - used:,} bytes more, by a library"
    assert not said or str(path) in said, f"an error that does not name the file: {said}"
    assert "MemoryError" not in said, f"it was let ask for memory: {said}"
    if isinstance(found, Sequential) and thorough:
        use(found)
    faulthandler.cancel_dump_traceback_later()
    return "refused" if said else "read"


def use(model: Sequential) -> None:
    """Predict and train: whatever the file said, this works or is refused; the process lives."""
    if not model.built or len(model.input_shape) != 2 or (model.input_shape[1] or 0) > 100:
        return
    x = np.zeros((2, model.input_shape[1] or 0))
    try:
        y = model.predict(x, verbose=0)
        if model.compiled:
            model.train_on_batch(x, np.zeros(y.shape))
    except Exception:
        return


def run(folder: Path, suffix: str, first: int, count: int) -> Counter[str]:
    """Read mutants, and count what became of them; an exception where one does harm."""
    good = good_files(suffix)
    path = folder / f"mutant{suffix}"
    for read, data in good:  # so that what is loaded only once is there, and the good ones are
        path.write_bytes(data)
        read(path)
    limit = _size_of_process() + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    tracemalloc.start()
    results: Counter[str] = Counter()
    for i in range(first, first + count):
        rng = np.random.default_rng([i, *suffix.encode()])
        read, data = good[i % len(good)]
        path.write_bytes(mutant(suffix, data, rng))
        try:
            most = BESIDES + 2**21 + 64 * path.stat().st_size
            results[attempt(read, path, most, thorough=rng.random() < 0.3)] += 1
        except BaseException as error:
            raise RuntimeError(f"mutant {i} of {suffix}: {type(error).__name__}: {error}") from error
    return results


def _size_of_process() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def _most_at_once() -> int:
    """The bytes that this process has had at most. (What ``getrusage`` says of it may be of the one that began it.)"""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    results = run(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    print(json.dumps({"tried": sum(results.values()), **results, "peak": _most_at_once()}))
