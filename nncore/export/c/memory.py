"""A prediction program before it is written in C: what is known is constant, and what can be is done in place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from nncore import ops
from nncore.program import Program

Array = np.ndarray[Any, Any]

EXACT = ("add", "clip", "divide", "inverse_deviation", "multiply", "quotient_of", "scale_shift", "sqrt", "subtract")
"""Ops whose definitions round as their kernels do: once an operation."""


def folded(program: Program, values: dict[str, Array]) -> Program:
    """The program without what depends on weights alone, which becomes weights: their ``values`` are added."""
    written = [name for instruction in program.instructions for name in instruction.outputs]
    buffers, kept = dict(program.buffers), []
    for instruction in program.instructions:
        given = [None if name is None else _value(program, values, name) for name in instruction.inputs]
        known = all(a is not None or n is None for a, n in zip(given, instruction.inputs, strict=True))
        made = instruction.outputs[0]
        fresh = made is not None and program.buffers[made].kind == "workspace" and written.count(made) == 1
        if known and made is not None and fresh and instruction.op in EXACT:
            (result,) = ops.evaluate(instruction.op, *given, **instruction.attributes)
            values[made] = np.where(np.abs(result) < np.finfo(np.float32).tiny, np.float32(0), result)
            buffers[made] = replace(buffers[made], kind="frozen")
        else:
            kept.append(instruction)
    return Program.of(program.name, buffers.values(), kept)


def _value(program: Program, values: Mapping[str, Array], name: str) -> Array | None:
    """What a buffer holds where that depends on weights alone."""
    root, buffer = program.root(name).name, program.buffers[name]
    if root not in values:
        return None
    start = program.start(name)
    return values[root].reshape(-1)[start : start + buffer.per_row].reshape([n or 0 for n in buffer.shape])


def in_place(program: Program) -> Program:
    """The program with outputs written over inputs of their shape that nothing needs any more."""
    last: dict[str, int] = {}
    for at, instruction in enumerate(program.instructions):
        last |= {program.root(name).name: at for name in instruction.operands if name is not None}
    written: set[str] = set()
    for at, instruction in enumerate(program.instructions):
        op, given, made = ops.get(instruction.op), instruction.inputs[0], instruction.outputs[0]
        if given is not None and made is not None and op.inputs[0] == op.outputs[0] and not op.step:
            root, output = program.root(given), program.buffers[made]
            fits = root.kind == output.kind == "workspace" and root.per_row == output.per_row
            if fits and output.base is None and made not in written and last[root.name] == at:
                last[root.name] = last[made]
                program = replace(program, buffers={**program.buffers, made: replace(output, base=given)})
        written.update(name for name in instruction.outputs if name is not None)
    return program
