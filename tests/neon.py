"""The kernels of aarch64 on any machine: cross-compiled, run by an emulator, and called like those of the extension."""

from __future__ import annotations

import ctypes
import platform
import re
import struct
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nncore import _native

Array = np.ndarray[Any, Any]

HERE = Path(__file__).parent
SRC = HERE.parent / "src"

TABLES = ("neon", "generic")
"""NEON's kernels, and those that any machine without a table of its own gets."""

COMPILER, EMULATOR = (["cc"], []) if platform.machine() == "aarch64" else (["aarch64-linux-gnu-gcc"], ["qemu-aarch64"])

DTYPES = ("f4", "f8", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "b1")
"""Those that gather reads, in the order of ``nn_dtype``."""


def build(folder: Path) -> Path:
    """The program of tests/neon.c, with the flags of setup.py; warnings are errors.

    Generic C is not optimized: it gives the same bits, and takes ten times as long to compile otherwise.
    """
    named = re.search(r"^CFLAGS = \[(.*)\]$", (HERE.parent / "setup.py").read_text(), re.MULTILINE)
    assert named
    flags = [*re.findall(r'"(.*?)"', named[1]), "-Wall", "-Wextra", "-Werror", "-static", f"-I{SRC}"]
    program = folder / "neon"
    jobs = [
        subprocess.Popen(
            [*COMPILER, *flags, level, "-c", str(SRC / "isa" / f"{isa}.c"), "-o", str(folder / f"{isa}.o")]
        )
        for isa, level in (("neon", "-O3"), ("baseline", "-O0"))
    ]
    assert [job.wait() for job in jobs] == [0, 0]
    objects = [str(folder / "neon.o"), str(folder / "baseline.o")]
    subprocess.run([*COMPILER, *flags, str(HERE / "neon.c"), *objects, "-o", str(program), "-lm"], check=True)
    return program


class Machine:
    """A running program, and ``call``, which stands in for ``nncore._native.call`` where ``isa`` is one of TABLES."""

    def __init__(self, program: Path) -> None:
        self.process = subprocess.Popen([*EMULATOR, str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.native: Callable[..., None] = _native.call

    def close(self) -> None:
        """End it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        assert self.process.wait() == 0

    def call(
        self, op: str, outputs: list[Any], inputs: list[Any], dtypes: list[str], sizes: list[int], dims: list[int],
        attributes: Sequence[float] = (), *, rows: Any = None, first: int = 0, number: int = 0, seed: int = 0,
        rates: Any = None, isa: str | None = None, parts: int = 1, scratch: Any = None,
    ) -> None:  # fmt: skip
        """Run a kernel; memory around the operands goes along, so that what is written there is seen."""
        if isa not in TABLES:
            self.native(
                op, outputs, inputs, dtypes, sizes, dims, attributes, rows=rows, first=first, number=number, seed=seed,
                rates=rates, isa=isa, parts=parts, scratch=scratch,
            )  # fmt: skip
            return
        memories: dict[int, Array] = {}

        def place(array: Array) -> tuple[int, int]:
            """Which memory an array lies in, and where there."""
            root = array
            while isinstance(root.base, np.ndarray):
                root = root.base
            memories[root.ctypes.data] = root
            return list(memories).index(root.ctypes.data), array.ctypes.data - root.ctypes.data

        operands = b""
        for array, dtype in zip((*outputs, *inputs), dtypes, strict=True):
            if array is None:
                operands += struct.pack("<7q", -1, *[0] * 6)
            elif dtype == "any":
                size = array.shape[0] * abs(array.strides[0])
                kind = DTYPES.index(array.dtype.str[1:])
                operands += struct.pack("<7q", *place(array), 1, *array.strides, kind, size)
            else:
                operands += struct.pack("<7q", *place(array), *[0] * 5)
        which = [-1 if array is None else place(np.ascontiguousarray(array))[0] for array in (rows, rates)]
        head = struct.pack(
            "<8q2Q4q6d", TABLES.index(isa), _native.OP_INDEX[op], parts, len(memories), len(dtypes), *which, first,
            number, seed, *dims, *[0] * (4 - len(dims)), *attributes, *[0] * (6 - len(attributes)),
        )  # fmt: skip
        extents = b"".join(struct.pack("<2q", root.nbytes, at % 64) for at, root in memories.items())
        before = [ctypes.string_at(at, root.nbytes) for at, root in memories.items()]
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(b"".join([head, extents, *before, operands]))
        self.process.stdin.flush()
        for old, (at, root) in zip(before, memories.items(), strict=True):
            new = self.process.stdout.read(root.nbytes)
            assert len(new) == root.nbytes, f"{op}: the program ended with {self.process.wait()}"
            if new != old:
                ctypes.memmove(at, new, len(new))
