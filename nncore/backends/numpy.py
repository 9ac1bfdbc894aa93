"""The reference backend: runs a program by the NumPy definitions of its ops."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from nncore import ops
from nncore.backends.base import Array, Epoch, Memory, Poll, call_of
from nncore.compiler import LOSS_TOTAL, FlatVectors, Plan, empty
from nncore.program import PYTHON, Instruction, Program

Run = Callable[[ops.Step], None]


class NumpyExecutable:
    """A program over NumPy views of the planned memory. ``real`` is the float type of the workspace."""

    def __init__(self, program: Program, plan: Plan, real: Any = np.float32) -> None:
        self.program = program
        self.plan = plan
        self._real = np.dtype(real)

    def workspace(self) -> Array:
        """Fresh memory for intermediate results."""
        return empty(self.plan.workspace, self._real)

    def run(self, memory: Memory, epoch: Epoch, first: int, last: int, poll: Poll | None = None) -> None:
        """Run batches ``first`` to ``last`` of an epoch."""
        if memory.workspace is None:
            memory = replace(memory, workspace=self.workspace())
        batch = self.plan.batch
        bound: dict[int, list[Run]] = {}
        for i in range(first, last):
            start, stop = i * batch, min((i + 1) * batch, epoch.count)
            moving = any(b.kind in ("input", "output") for b in self.program.buffers.values())
            if moving or stop - start not in bound:
                bound[stop - start] = [
                    _when(instruction, self._bind(at, memory, slice(start, stop)))
                    for at, instruction in enumerate(self.program.instructions)
                ]
            step = self._step(epoch, i, first)
            with np.errstate(all="ignore"):
                for instruction in bound[stop - start]:
                    instruction(step)
            memory.done[0] = i + 1
            if epoch.watch and not np.isfinite(memory.totals[self.plan.offsets[LOSS_TOTAL]]):
                return
            if poll is not None:
                poll(i + 1)

    def walk(self, memory: Memory, epoch: Epoch, i: int) -> Iterator[Instruction]:
        """Run batch ``i``, whose rates are the first of the epoch's, an instruction each time one is asked for."""
        step = self._step(epoch, i, i)
        rows = slice(i * self.plan.batch, min((i + 1) * self.plan.batch, epoch.count))
        for at, instruction in enumerate(self.program.instructions):
            with np.errstate(all="ignore"):
                _when(instruction, self._bind(at, memory, rows))(step)
            yield instruction

    def _step(self, epoch: Epoch, i: int, first: int) -> ops.Step:
        """The step of batch ``i`` in a run from batch ``first`` on."""
        start, stop = i * self.plan.batch, min((i + 1) * self.plan.batch, epoch.count)
        rows: Any = slice(start, stop)
        if epoch.shuffle is not None:
            rows = epoch.shuffle.rows(epoch.count, start, stop)
        rates = np.zeros(1) if epoch.rates is None else epoch.rates[i - first]
        return ops.Step(rows, epoch.step + i, epoch.seed, rates)

    def predictor(self, flat: FlatVectors) -> None:
        """There is no shorter way to a prediction than ``run``."""

    def _bind(self, at: int, memory: Memory, rows: slice) -> Run:
        """Instruction ``at`` as a call on views of memory."""
        instruction = self.program.instructions[at]
        if instruction.op == PYTHON:
            call = call_of(self.program, self.plan, at, memory, rows)
            return lambda step: call()
        op = ops.get(instruction.op)
        dims = {letter: dim.at(rows.stop - rows.start) for letter, dim in instruction.dims.items()}
        operands: list[Array | None] = []
        for term, name in zip(op.outputs + op.inputs, instruction.operands, strict=True):
            if name is None:
                operands.append(None)
                continue
            buffer = self.program.buffers[name]
            if buffer.kind in ("source", "pool"):
                source = memory.arrays[name]
                operands.append(source if source.ndim == 2 else source.reshape(len(source), -1))
            else:
                shape = tuple(dims[letter] for letter in ops.letters_of(term))
                operands.append(memory.locate(self.program, self.plan, name, rows).reshape(shape))
        attributes = dict(instruction.attributes)
        if op.step:
            return lambda step: op.body(*operands, **attributes, step=step)
        return lambda step: op.body(*operands, **attributes)


def _when(instruction: Instruction, run: Run) -> Run:
    """What an instruction does at steps at which it may not run."""
    rate = instruction.when
    return run if rate is None else lambda step: run(step) if step.rates[rate] else None


class NumpyBackend:
    """Every op by its NumPy definition: slower, and what the compiled kernels are checked against."""

    name = "numpy"

    def __init__(self, real: Any = np.float32) -> None:
        self._real = real

    def load(self, program: Program, plan: Plan) -> NumpyExecutable:
        """Bind a program to its plan."""
        return NumpyExecutable(program, plan, self._real)
