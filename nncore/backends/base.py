"""What a backend is: it loads a program over planned memory and runs it over the batches of an epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import numpy as np

from nncore.compiler import FlatVectors, Plan
from nncore.ops import Shuffle
from nncore.program import Program

Array = np.ndarray[Any, Any]


class Vectors(Protocol):
    """The weights of a model and their gradients: its ``FlatVectors``, or copies of them."""

    parameter: Array
    frozen: Array
    gradient: Array


@dataclass(eq=False)
class Memory:
    """The arrays that a run reads and writes."""

    flat: Vectors
    state: Array
    """The optimizer's slots, one after the other."""
    totals: Array
    """float64 sums over the batches run so far, where ``Plan.totals`` says; first they are ``Plan.initial``."""
    arrays: Mapping[str, Array] = field(default_factory=dict)
    """The caller's arrays by buffer name: sources and inputs with one row a sample, and outputs."""
    done: Array = field(default_factory=lambda: np.zeros(1, np.int64))
    """int64[1]: batches finished, kept true while a run goes on and when it is stopped."""
    workspace: Array | None = None
    """From ``Executable.workspace()``: the same one for every run of a loop. ``None``: the executable finds its own."""

    calls: dict[Any, Callable[[], None]] = field(default_factory=dict)
    """Users' functions bound to this memory, as executables keep them."""

    def locate(self, program: Program, plan: Plan, name: str, rows: slice) -> Array:
        """The values of a buffer in a batch of these rows, as a view in the buffer's shape."""
        root, buffer = program.root(name), program.buffers[name]
        count = rows.stop - rows.start
        shape = tuple(count if n is None else n for n in buffer.shape)
        if root.kind in ("input", "output"):
            return self.arrays[root.name][rows].reshape(shape)
        vector = {
            "parameter": self.flat.parameter,
            "frozen": self.flat.frozen,
            "gradient": self.flat.gradient,
            "state": self.state,
            "total": self.totals,
            "workspace": self.workspace,
        }[root.kind]
        assert vector is not None
        start, size = plan.offsets[name], buffer.size(count)
        view: Array = vector[start : start + size]
        if root.dtype == "int32":
            view = view.view(np.int32)[:size]
        return view.reshape(shape)


def call_of(program: Program, plan: Plan, at: int, memory: Memory, rows: slice) -> Callable[[], None]:
    """Instruction ``at``, a call of a user's function, on views of memory for a batch of these rows."""
    instruction = program.instructions[at]
    assert instruction.function is not None
    outputs, inputs = (
        [None if name is None else memory.locate(program, plan, name, rows) for name in names]
        for names in (instruction.outputs, instruction.inputs)
    )
    for array in inputs:
        if array is not None:
            array.flags.writeable = False
    return partial(instruction.function.body, outputs, inputs)


@dataclass(frozen=True, eq=False)
class Epoch:
    """How many rows run, in which order, and what changes from batch to batch."""

    count: int
    """Rows in all."""
    shuffle: Shuffle | None = None
    """The order they run in; ``None``: from first to last. Its blocks are whole batches, or all rows."""
    step: int = 0
    """The training step of batch 0."""
    seed: int = 0
    """The 64-bit key of random ops."""
    rates: Array | None = None
    """float64 ``(batches, r)``: the optimizer's rates at each batch of the run."""
    watch: bool = False
    """Whether to stop after a batch at whose end the loss's total is NaN or infinite."""


Poll = Callable[[int], None]
"""Called now and then during a run with the number of batches finished; what it raises stops the run."""


Predictor = Callable[[Any, Any], Any]
"""``predictor(x, out)``: predictions in ``out`` or a new array, or ``None`` where x or out needs the longer way."""


class Executable(Protocol):
    """A program bound to a memory plan."""

    program: Program
    plan: Plan

    def workspace(self) -> Array:
        """Fresh memory for intermediate results."""

    def run(self, memory: Memory, epoch: Epoch, first: int, last: int, poll: Poll | None = None) -> None:
        """Run batches ``first`` to ``last`` (exclusive) of an epoch, of ``plan.batch`` rows each but for the tail."""

    def predictor(self, flat: FlatVectors) -> Predictor | None:
        """A shorter way to predictions, where there is one."""


class Backend(Protocol):
    """A way to run programs."""

    name: str

    def load(self, program: Program, plan: Plan) -> Executable:
        """Bind a program to its plan."""
