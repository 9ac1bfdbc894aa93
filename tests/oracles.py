"""What several tests share: data, models, and executing programs over memory that shows every slip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nncore import backends
from nncore.backends import Backend, Epoch, Memory
from nncore.backends.native import NativeBackend
from nncore.compiler import FlatVectors, Plan, empty, plan
from nncore.layers import Layer
from nncore.program import Program

Array = np.ndarray[Any, Any]

ISAS: tuple[str, ...] = tuple(backends.load_native().config()["supported"])
"""The instruction sets that can run here, best first."""

FUSED_ISAS = tuple(isa for isa in ISAS if isa in ("avx2", "avx512", "neon"))
"""Those with a fused multiply-add of their own."""


def uniform(*shape: int, seed: int = 0, low: float = -1.0, high: float = 1.0) -> Array:
    """float32 values in [low, high), a function of shape and seed."""
    return np.random.default_rng([seed, *shape]).uniform(low, high, shape).astype(np.float32)


def labels(rows: int, classes: int, seed: int = 0) -> Array:
    """int64 labels in [0, classes)."""
    return np.random.default_rng([seed, rows, classes]).integers(0, classes, rows)


def one_hot(rows: int, classes: int, seed: int = 0) -> Array:
    """The labels as float32 rows."""
    return np.eye(classes, dtype=np.float32)[labels(rows, classes, seed)]


def error(actual: Any, expected: Any) -> float:
    """The largest |actual - expected| / (1 + |expected|); NaN agrees with NaN, inf with the same inf."""
    a, e = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    if a.shape != e.shape:
        raise AssertionError(f"shape {a.shape}, expected {e.shape}")
    same = (a == e) | (np.isnan(a) & np.isnan(e))
    with np.errstate(invalid="ignore"):
        apart = np.where(same, 0, np.abs(a - e) / (1 + np.abs(e)))
    return float(np.max(np.where(np.isnan(apart), np.inf, apart), initial=0))


def relative(actual: Any, expected: Any) -> float:
    """The largest |actual - expected| over the largest |expected|."""
    a, e = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    if a.shape != e.shape:
        raise AssertionError(f"shape {a.shape}, expected {e.shape}")
    return float(np.max(np.abs(a - e), initial=0) / max(np.max(np.abs(e), initial=0), 1e-30))


def same_bits(a: Any, b: Any) -> bool:
    """Whether two arrays hold the same bytes."""
    left, right = np.ascontiguousarray(a), np.ascontiguousarray(b)
    return left.shape == right.shape and left.dtype == right.dtype and left.tobytes() == right.tobytes()


def build(layers: Sequence[Layer], shape: Sequence[int]) -> tuple[int | None, ...]:
    """Build layers one after the other for samples of ``shape``; returns the shape of their outputs."""
    out: tuple[int | None, ...] = (None, *shape)
    for layer in layers:
        out = layer.build_for(out)
    return out


FENCE = 64
"""Elements left between two buffers, and before the first: more than the widest vector."""

POISON = np.float32(np.nan)


def spread(program: Program, tight: Plan) -> Plan:
    """The plan with a place of its own for every buffer of the workspace, and a fence before and after each."""
    offsets = dict(tight.offsets)
    end = FENCE
    for name, buffer in program.buffers.items():
        if buffer.kind == "workspace" and buffer.base is None:
            offsets[name] = end
            end += -(-buffer.size(tight.batch) // 16) * 16 + FENCE
    for name, buffer in program.buffers.items():
        if buffer.kind == "workspace":
            offsets[name] = offsets[program.root(name).name]
    return replace(tight, offsets=offsets, workspace=end)


def fences(program: Program, at: Plan) -> Array:
    """Which elements of the workspace of a spread plan belong to no buffer."""
    free = np.ones(at.workspace, bool)
    for name, buffer in program.buffers.items():
        if buffer.kind == "workspace":
            free[at.offsets[name] : at.offsets[name] + buffer.size(at.batch)] = False
    return free


@dataclass
class Vectors:
    """As much of ``FlatVectors`` as executors need, in any float type."""

    parameter: Array
    frozen: Array
    gradient: Array

    @staticmethod
    def copy(flat: Any, real: Any = np.float32) -> Vectors:
        """A copy of flat vectors."""
        vectors = []
        for source in (flat.parameter, flat.frozen, flat.gradient):
            target = empty(source.size, real)
            target[...] = source
            vectors.append(target)
        return Vectors(*vectors)


@dataclass
class Run:
    """A program over memory of its own: build one for each backend from the same start, run both, compare."""

    program: Program
    at: Plan
    flat: Any
    state: Array
    arrays: Mapping[str, Array]
    workspace: Array
    totals: Array

    @staticmethod
    def start(
        program: Program, at: Plan, flat: FlatVectors, state: Array, arrays: Mapping[str, Array], real: Any = np.float32
    ) -> Run:
        """Copies of weights and state, zero totals, NaN everywhere else."""
        own = Vectors.copy(flat, real)
        own.gradient[...] = np.nan
        workspace = empty(at.workspace, real)
        workspace[...] = np.nan
        kept = empty(state.size, real)
        kept[...] = state
        return Run(program, at, own, kept, arrays, workspace, np.zeros(len(at.totals)))

    def run(self, backend: Backend, epoch: Epoch, first: int = 0, last: int | None = None) -> Run:
        """Run the batches from ``first`` to ``last``, by default all of the epoch."""
        end = -(-epoch.count // self.at.batch) if last is None else last
        memory = Memory(self.flat, self.state, self.totals, self.arrays, workspace=self.workspace)
        backend.load(self.program, self.at).run(memory, epoch, first, end)
        assert memory.done[0] == end
        return self

    def buffer(self, name: str, rows: int) -> Array:
        """The values of a buffer after a batch of ``rows``, flat."""
        buffer, root = self.program.buffers[name], self.program.root(name)
        vector = {
            "parameter": self.flat.parameter,
            "frozen": self.flat.frozen,
            "gradient": self.flat.gradient,
            "state": self.state,
            "total": self.totals,
            "workspace": self.workspace,
        }[root.kind]
        start = self.at.offsets[name]
        values = vector[start : start + buffer.size(rows)]
        return values.view(np.int32)[: buffer.size(rows)] if root.dtype == "int32" else values

    def buffers(self) -> list[str]:
        """The names of all buffers that have memory here and are no view of another."""
        kinds = ("parameter", "gradient", "state", "total", "workspace")
        return [n for n, b in self.program.buffers.items() if b.kind in kinds and b.base is None]


def tight_plan(program: Program, flat: FlatVectors, batch: int) -> Plan:
    """The plan that models use."""
    return plan(program, flat.offsets, flat.parameter.size, batch)


def on_isa(isa: str | None) -> NativeBackend:
    """The native backend on one instruction set."""
    return NativeBackend(isa)
