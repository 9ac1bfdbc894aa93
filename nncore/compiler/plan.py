"""Memory, planned before the run: a model's flat vectors, and where each buffer of a program lives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nncore.program import Buffer, Program
from nncore.variables import Variable, aligned

Array = np.ndarray[Any, Any]

WHOLE_VECTORS = ("parameters", "gradients")
"""Buffers that are a whole flat vector, for optimizers; the others of their kinds are single weights in it."""


def empty(size: int, dtype: Any) -> Array:
    """An uninitialised vector that starts at a multiple of 64 bytes."""
    item = np.dtype(dtype).itemsize
    raw = np.empty(size * item + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size * item].view(dtype)


class FlatVectors:
    """A model's weights as two flat vectors, of trainable parameters and of frozen ones, and the gradients.

    Each weight starts at a cache line; the elements between are zero and stay zero. Weights are views into the vectors.

    Attributes:
        trained: The variables of the first vector, in its order.
        moves: ``Variable.moves`` when all weights were last known to live here.
    """

    def __init__(self, variables: Sequence[Variable]) -> None:
        self.offsets: dict[str, int] = {}
        sizes = {"parameter": 0, "frozen": 0}
        for variable in variables:
            kind = "parameter" if variable.trainable else "frozen"
            self.offsets[variable.key] = sizes[kind]
            sizes[kind] += aligned(variable.size)
        self.parameter, self.frozen = (empty(sizes[kind], np.float32) for kind in ("parameter", "frozen"))
        self.gradient = empty(sizes["parameter"], np.float32)
        for vector in (self.parameter, self.frozen, self.gradient):
            vector[...] = 0
        self.trained = [v for v in variables if v.trainable]
        self._views = [(v, self._view(v)) for v in variables]
        self.moves = -1
        self._trainable = [v.trainable for v in variables]
        self.adopt()

    def _view(self, variable: Variable) -> Array:
        vector = self.parameter if variable.trainable else self.frozen
        offset = self.offsets[variable.key]
        return vector[offset : offset + variable.size].reshape(variable.shape)

    def adopt(self) -> None:
        """Make sure that every weight lives here: another model that shares a layer may have moved it."""
        moves = Variable.moves  # read first: where another thread moves a weight meanwhile, the next call looks again
        if self.moves == moves:
            return
        for variable, view in self._views:
            if variable.value is not view:
                variable.move_to(view)
                moves += 1
        self.moves = moves

    def holds(self, variables: Sequence[Variable]) -> bool:
        """Whether these are the vectors of exactly these variables, trainable as they are now."""
        return (
            [id(v) for v, _ in self._views] == [id(v) for v in variables]
            and self._trainable == [v.trainable for v in variables]
            and list(self.offsets) == [v.key for v in variables]
        )


class Plan(NamedTuple):
    """Where every buffer lives for batches of up to ``batch`` rows.

    ``offsets`` counts elements from the start of the memory of the buffer's kind. Buffers of kind ``source``, ``input``
    and ``output`` have none: they are arrays of the caller.
    """

    batch: int
    offsets: Mapping[str, int]
    workspace: int
    totals: Mapping[str, slice]
    """Where each total lies in their memory."""
    initial: Array
    """What the memory of the totals holds before the first batch."""


def plan(program: Program, flat: Mapping[str, int], batch: int) -> Plan:
    """The memory plan of a program over flat vectors with the given ``offsets``."""
    offsets, workspace = _plan_workspace(program, batch)
    totals: dict[str, slice] = {}
    initial: list[float] = []
    for name, buffer in program.buffers.items():
        if buffer.base is not None:
            continue
        if name in WHOLE_VECTORS:
            offsets[name] = 0
        elif buffer.kind in ("parameter", "frozen"):
            offsets[name] = flat[name]
        elif buffer.kind == "gradient":
            offsets[name] = flat[name.removeprefix("d_")]
        elif buffer.kind == "state":
            offsets[name] = 0
        elif buffer.kind == "total":
            offsets[name] = len(initial)
            initial += buffer.initial or [0.0] * buffer.per_row
            totals[name] = slice(offsets[name], len(initial))
    for name in program.buffers:
        root, start = program.root(name).name, program.start(name)
        if root in offsets:
            offsets[name] = offsets[root] + start
    return Plan(batch, offsets, workspace, totals, np.array(initial))


def _lifetimes(program: Program) -> dict[str, tuple[Buffer, int, int]]:
    """First and last instruction that touches each workspace buffer, views counted with the buffer they share."""
    lives: dict[str, tuple[Buffer, int, int]] = {}
    for i, instruction in enumerate(program.instructions):
        for name in instruction.operands:
            if name is None:
                continue
            root = program.root(name)
            if root.kind == "workspace":
                first = lives[root.name][1] if root.name in lives else i
                lives[root.name] = (root, first, i)
    return lives


def _plan_workspace(program: Program, batch: int) -> tuple[dict[str, int], int]:
    """Offsets of workspace buffers, and the length of the workspace.

    The largest first, each at the lowest place that is free while it lives: the "greedy by size" of Pisarchyk and Lee,
    "Efficient memory management for deep neural net inference", 2020.
    """
    placed: list[tuple[int, int, int, int]] = []  # start, end, first, last
    offsets: dict[str, int] = {}
    for root, first, last in _by_size(_lifetimes(program).values(), batch):
        size = aligned(root.size(batch))
        start = 0
        for other_start, other_end, other_first, other_last in sorted(placed):
            if other_first <= last and first <= other_last and other_start < start + size and start < other_end:
                start = other_end
        offsets[root.name] = start
        placed.append((start, start + size, first, last))
    return offsets, max((end for _, end, _, _ in placed), default=0)


def _by_size(lives: Iterable[tuple[Buffer, int, int]], batch: int) -> list[tuple[Buffer, int, int]]:
    return sorted(lives, key=lambda life: -life[0].size(batch))
