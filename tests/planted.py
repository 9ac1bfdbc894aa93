"""Kernels with faults that can be switched on: the sources patched, compiled for the baseline, and called by ctypes.

A fault replaces an expression of a header by ``PLANTED(number, right, wrong)``, so that one compilation has them all.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sysconfig
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nncore import _native

SRC = Path(__file__).parent.parent / "src"

ISA = "baseline"

SWITCH = """
extern int planted_fault;
#define PLANTED(number, right, wrong) (planted_fault == (number) ? (wrong) : (right))
"""


@dataclass(frozen=True)
class Patch:
    """An expression of a file of src, and what a fault makes of it.

    Where ``right`` is more than an expression, ``wrong`` is all of the new text, with ``PLANTED(right, wrong)`` in it.
    """

    file: str
    right: str
    wrong: str

    def planted(self, number: int) -> str:
        """The text that can be either, as ``planted_fault`` says."""
        if "PLANTED(" in self.wrong:
            return self.wrong.replace("PLANTED(", f"PLANTED({number}, ")
        return f"PLANTED({number}, {self.right}, {self.wrong})"


class _Instr(ctypes.Structure):
    _fields_ = (
        ("operand", ctypes.c_void_p * 10),
        ("dim", ctypes.c_int64 * 4),
        ("attribute", ctypes.c_double * 6),
        ("scratch", ctypes.c_void_p),
    )


class _Step(ctypes.Structure):
    _fields_ = (
        ("rows", ctypes.c_void_p),
        ("first", ctypes.c_int64),
        ("next_rows", ctypes.c_void_p),
        ("ahead", ctypes.c_int64),
        ("number", ctypes.c_uint64),
        ("seed", ctypes.c_uint64),
        ("rates", ctypes.c_void_p),
    )


class _Source(ctypes.Structure):
    _fields_ = (
        ("base", ctypes.c_void_p),
        ("row_stride", ctypes.c_int64),
        ("column_stride", ctypes.c_int64),
        ("dtype", ctypes.c_int),
        ("size", ctypes.c_int64),
    )


_Kernel = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int)


class _Table(ctypes.Structure):
    _fields_ = (
        ("isa", ctypes.c_char_p),
        ("lanes", ctypes.c_int),
        ("kernel", ctypes.c_void_p * len(_native.OP_INDEX)),
    )


def compiler() -> list[str]:
    """The C compiler that extensions are built with."""
    named = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    for command in (named.split(), ["cc"], ["gcc"], ["clang"]):
        if shutil.which(command[0]):
            return command[:1]
    raise FileNotFoundError("These tests compile kernels: install gcc or clang, or name a C compiler in CC.")


def build(folder: Path, faults: Sequence[Sequence[Patch]]) -> ctypes.CDLL:
    """The kernels of ISA with fault 1, 2, … switchable by ``planted_fault``; 0 is none."""
    shutil.copytree(SRC, folder / "src")
    for number, patches in enumerate(faults, 1):
        for patch in patches:
            path = folder / "src" / patch.file
            text = path.read_text()
            assert text.count(patch.right) == 1, (
                f"{patch.file}: {patch.right!r} is there {text.count(patch.right)} times"
            )
            path.write_text(text.replace(patch.right, patch.planted(number)))
    (folder / "switch.h").write_text(SWITCH)
    (folder / "planted.c").write_text(f'int planted_fault;\n#include "src/isa/{ISA}.c"\n')
    library = folder / "planted.so"
    command = [
        *compiler(), "-std=c11", "-O0", "-ffp-contract=off", "-fno-math-errno", "-shared", "-fPIC", "-w",
        "-include", str(folder / "switch.h"), str(folder / "planted.c"), "-o", str(library), "-lm",
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, text=True)
    return ctypes.CDLL(str(library))


def caller(library: ctypes.CDLL) -> Callable[..., None]:
    """A stand-in for ``nncore._native.call`` that runs ISA's kernels from the library."""
    table = _Table.in_dll(library, f"nn_table_{ISA}")
    original = _native.call

    def call(
        op: str, outputs: list[Any], inputs: list[Any], dtypes: list[str], sizes: list[int], dims: list[int],
        attributes: Sequence[float] = (), *, rows: Any = None, first: int = 0, number: int = 0, seed: int = 0,
        rates: Any = None, isa: str | None = None, parts: int = 1, scratch: Any = None,
    ) -> None:  # fmt: skip
        if isa != ISA:
            original(
                op, outputs, inputs, dtypes, sizes, dims, attributes, rows=rows, first=first, number=number, seed=seed,
                rates=rates, isa=isa, parts=parts, scratch=scratch,
            )  # fmt: skip
            return
        instr, kept = _Instr(), []
        for i, (array, dtype) in enumerate(zip((*outputs, *inputs), dtypes, strict=True)):
            if array is None:
                continue
            if dtype == "any":
                assert array.dtype == np.float32
                kept.append(_Source(array.ctypes.data, *array.strides, 0, array.nbytes))
                instr.operand[i] = ctypes.addressof(kept[-1])
            else:
                instr.operand[i] = array.ctypes.data
        instr.dim[: len(dims)] = dims
        instr.attribute[: len(attributes)] = attributes
        memory = np.zeros(parts * _native.SCRATCH_BYTES + 63, np.uint8)
        instr.scratch = -(-memory.ctypes.data // 64) * 64
        step = _Step(
            None if rows is None else rows.ctypes.data,
            first,
            None,
            0,
            number,
            seed,
            None if rates is None else rates.ctypes.data,
        )
        kernel = _Kernel(table.kernel[_native.OP_INDEX[op]])
        for part in range(parts):
            kernel(ctypes.addressof(instr), ctypes.addressof(step), part, parts)

    return call
