"""The native backend: runs a program on the compiled kernels of ``nncore._native``, a whole epoch without Python."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from nncore import ops
from nncore.backends.base import Array, Epoch, Memory, Poll, Predictor, call_of
from nncore.backends.extension import load_native
from nncore.compiler import LOSS_TOTAL, FlatVectors, Plan, empty
from nncore.program import CALLERS, PYTHON, Instruction, Program

_COSTS = {
    "dropout": 0.5, "gather": 0.15, "gather_csr": 0.1, "repeat": 0.15, "sum_steps": 0.15,
    "sgd": 0.15, "sgd_momentum": 0.25, "adam": 0.5,
    "adam_amsgrad": 0.6, "adamax": 0.5, "nadam": 0.5, "rmsprop": 0.45, "rmsprop_momentum": 0.5, "rmsprop_centered": 0.5,
    "rmsprop_centered_momentum": 0.6, "adagrad": 0.45, "adadelta": 0.6, "ftrl": 0.75, "lion": 0.4, "lamb": 0.45,
    "row_squares": 0.2, "column_squares": 0.2, "factored": 0.45, "unfactored": 0.4, "norm": 0.1, "clip_norm": 0.15,
    "decay": 0.15, "average": 0.2,
    "penalty": 0.1, "penalty_grad": 0.15, "limit_norm": 0.2,
    "spatial_dropout": 0.3, "batch_dropout": 0.3, "gaussian_noise": 1.5, "gaussian_dropout": 1.5,
}  # fmt: skip
_MATRIX_COST, _OTHER_COST = 0.012, 0.3
"""Nanoseconds for each of the product of an instruction's extents, on one thread: what a run's number of threads is
chosen by. Measured with AVX-512 at 3.7 GHz; matrix products are the ops with three letters."""

_CALL_COST = 20e3
"""Nanoseconds of a user's function, as little as is known of it."""

_REHEARSED = 1e6
"""Nanoseconds of a training step from which on it does not matter what the first one finds."""

_REGIONS = ("parameter", "frozen", "gradient", "state", "total", "workspace")
"""The memories of ``Code.run``, in order; the caller's arrays come after them."""


class NativeExecutable:
    """A program whose operands are resolved to addresses, for kernels of one instruction set."""

    def __init__(self, native: Any, program: Program, plan: Plan, isa: str | None) -> None:
        self.program = program
        self.plan = plan
        self._arrays = [n for n, b in program.buffers.items() if b.kind in CALLERS and not b.base]
        instructions = [self._template(instruction) for instruction in program.instructions]
        kinds = [program.buffers[name].kind for name in self._arrays]
        self._code = native.Code(instructions, kinds, plan.batch, self._sizes(), _first_update(program), isa)
        self._calls = any(instruction.op == PYTHON for instruction in program.instructions)
        if (
            program.name == "train"
            and not self._calls
            and "pool" not in kinds
            and self._code.cost_of(plan.batch) < _REHEARSED
        ):
            self._rehearse()

    def _template(self, instruction: Instruction) -> tuple[Any, ...]:
        """An instruction as ``Code`` takes it."""
        if instruction.op == PYTHON:
            return PYTHON, [], [], [], _CALL_COST, -1
        op = ops.get(instruction.op)
        operands = [None if name is None else self._address(name) for name in instruction.operands]
        dims = [(instruction.dims[letter].size, instruction.dims[letter].batched) for letter in op.letters]
        cost = _COSTS.get(op.name, _MATRIX_COST if len(dims) == 3 else _OTHER_COST)
        attributes = [instruction.attributes[name] for name in op.attributes]
        when = -1 if instruction.when is None else instruction.when
        return instruction.op, operands, dims, attributes, cost, when

    def _address(self, name: str) -> tuple[int, int]:
        """Region and byte offset of a buffer; for the caller's arrays, which one."""
        root = self.program.root(name)
        if root.name in self._arrays:
            return len(_REGIONS), self._arrays.index(root.name)
        item = 8 if root.kind == "total" else 4
        return _REGIONS.index(root.kind), self.plan.offsets[name] * item

    def _sizes(self) -> list[int]:
        """Bytes that each memory must have."""
        sizes = dict.fromkeys(_REGIONS, 0)
        for name, buffer in self.program.buffers.items():
            if buffer.kind in sizes:
                item = 8 if buffer.kind == "total" else 4
                end = (self.plan.offsets[name] + buffer.size(self.plan.batch)) * item
                sizes[buffer.kind] = max(sizes[buffer.kind], end)
        return list(sizes.values())

    def _rehearse(self) -> None:
        """Run a batch of zeros on memory of its own: the first step then finds pages, caches and threads ready."""
        batch, buffers = self.plan.batch, self.program.buffers
        memories = [np.zeros(size, np.uint8) for size in self._sizes()]
        arrays = [np.zeros((batch, buffers[name].size(1)), np.float32) for name in self._arrays]
        self._code.run(memories, arrays, batch, None, 0, 0, np.zeros((1, 8)), 0, 1, np.zeros(1, np.int64))

    def workspace(self) -> Array:
        """Fresh memory for intermediate results, its pages laid out now and not in the first step."""
        workspace = empty(self.plan.workspace, np.float32)
        workspace[...] = 0
        return workspace

    def run(self, memory: Memory, epoch: Epoch, first: int, last: int, poll: Poll | None = None) -> None:
        """Run batches ``first`` to ``last`` of an epoch, without the GIL."""
        if self._calls and memory.workspace is None:
            memory = replace(memory, workspace=self.workspace())
        flat = memory.flat
        memories = [flat.parameter, flat.frozen, flat.gradient, memory.state, memory.totals, memory.workspace]
        arrays = [memory.arrays[name] for name in self._arrays]
        self._code.run(
            memories,
            arrays,
            epoch.count,
            epoch.shuffle and (epoch.shuffle.key, epoch.shuffle.block),
            epoch.step,
            epoch.seed,
            epoch.rates,
            first,
            last,
            memory.done,
            poll,
            self._caller(memory, epoch.count) if self._calls else None,
            self.plan.offsets[LOSS_TOTAL] * 8 if epoch.watch else -1,
        )

    def _caller(self, memory: Memory, count: int) -> Callable[[int, int], None]:
        """What the run calls for instruction ``at`` of batch ``i`` where that is a user's function."""
        batch, bound = self.plan.batch, memory.calls
        moving = any(b.kind in ("input", "output") for b in self.program.buffers.values())

        def call(at: int, i: int) -> None:
            start, stop = i * batch, min((i + 1) * batch, count)
            key = (id(self), at, stop - start)
            if moving or key not in bound:
                bound[key] = call_of(self.program, self.plan, at, memory, slice(start, stop))
            with np.errstate(all="ignore"):
                bound[key]()

        return call

    def predictor(self, flat: FlatVectors) -> Predictor | None:
        """A function of (x, out) for float32 samples in C order, which answers ``None`` to anything else."""
        x, y = self.program.buffers["x"], self.program.buffers["predictions"]
        if x.kind != "input" or self._calls or self.program.draws:
            return None
        memories = [flat.parameter, flat.frozen, None, None, None, None]
        found: Predictor = self._code.predictor(memories, x.shape[1:], y.shape[1:])
        return found


def _first_update(program: Program) -> int:
    """The index of the first instruction after which a batch is finished, once begun; totals do not count.

    Weights that plain SGD updates one by one may be left half updated: each is whole, and there is no state to match.
    """
    for i, instruction in enumerate(program.instructions):
        if instruction.op.endswith("_sgd"):
            continue
        if any(name is not None and program.root(name).kind in ("parameter", "frozen", "state")
               for name in instruction.outputs):  # fmt: skip
            return i
    return len(program.instructions)


class NativeBackend:
    """The compiled kernels. ``isa`` names an instruction set; ``None`` is the best one of this CPU."""

    name = "native"

    def __init__(self, isa: str | None = None) -> None:
        self._native = load_native()
        self._isa = isa

    def load(self, program: Program, plan: Plan) -> NativeExecutable:
        """Bind a program to its plan."""
        return NativeExecutable(self._native, program, plan, self._isa)
