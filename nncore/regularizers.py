"""Regularizers: penalties of weights and outputs that are added to the loss.

Called on an array one returns its penalty; in a model it lowers to ops, whose gradients are those of the penalty.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

from nncore import axes
from nncore.arguments import at_least_zero
from nncore.builder import Builder
from nncore.families import Family
from nncore.interpreter import interpret
from nncore.program import Buffer
from nncore.serialization import construct

R = TypeVar("R", bound="Regularizer")

_UNIT_LIMIT = 1e12
"""The most that a vector is multiplied by to make its norm 1."""

__all__ = [
    "L1", "L1L2", "L2", "OrthogonalRegularizer", "Regularizer", "deserialize", "get", "l1", "l1_l2", "l2",
    "orthogonal_regularizer", "serialize",
]  # fmt: skip


class Regularizer:
    """Base of all regularizers. A subclass defines ``lower`` and, where it has arguments, ``get_config``."""

    def lower(self, b: Builder, x: Buffer) -> Buffer:
        """Append the penalty of ``x`` to a program; returns a buffer of shape ``()``."""
        raise NotImplementedError(f"{type(self).__name__} must define lower().")

    def __call__(self, x: Any) -> np.float32:
        """The penalty of an array."""
        b, values = Builder("penalty", training=True), np.asarray(x, np.float32)
        result = self.lower(b, b.declare("input", "x", values.shape))
        return np.float32(interpret(b, {"x": values}, result))

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal regularizer, as JSON-able values."""
        return {}

    @classmethod
    def from_config(cls: type[R], config: Mapping[str, Any]) -> R:
        """The regularizer that ``config`` describes."""
        return construct(cls, config)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.get_config().items())})"


class L1L2(Regularizer):
    """l1 sum |x| + l2 sum x².

    Args:
        l1: A number of at least 0; ``None`` is 0.
        l2: The same.
    """

    def __init__(self, l1: float | None = 0.0, l2: float | None = 0.0) -> None:
        self.l1 = at_least_zero("L1L2", "l1", 0.0 if l1 is None else l1)
        self.l2 = at_least_zero("L1L2", "l2", 0.0 if l2 is None else l2)

    def lower(self, b: Builder, x: Buffer) -> Buffer:
        return b.emit("penalty", _with_rows(b, x), l1=self.l1, l2=self.l2)[0]

    def get_config(self) -> dict[str, Any]:
        return {"l1": self.l1, "l2": self.l2}


class L1(Regularizer):
    """l1 sum |x|.

    Args:
        l1: A number of at least 0, by default (and for ``None``) 0.01.
    """

    def __init__(self, l1: float | None = 0.01) -> None:
        self.l1 = at_least_zero("L1", "l1", 0.01 if l1 is None else l1)

    def lower(self, b: Builder, x: Buffer) -> Buffer:
        return b.emit("penalty", _with_rows(b, x), l1=self.l1, l2=0)[0]

    def get_config(self) -> dict[str, Any]:
        return {"l1": self.l1}


class L2(Regularizer):
    """l2 sum x².

    Args:
        l2: A number of at least 0, by default (and for ``None``) 0.01.
    """

    def __init__(self, l2: float | None = 0.01) -> None:
        self.l2 = at_least_zero("L2", "l2", 0.01 if l2 is None else l2)

    def lower(self, b: Builder, x: Buffer) -> Buffer:
        return b.emit("penalty", _with_rows(b, x), l1=0, l2=self.l2)[0]

    def get_config(self) -> dict[str, Any]:
        return {"l2": self.l2}


class OrthogonalRegularizer(Regularizer):
    """factor times the mean of |a · b| over all pairs of different rows a and b of a matrix, scaled to norm 1.

    A matrix of one row has no pairs, and the penalty 0.

    Args:
        factor: A number of at least 0, by default 0.01.
        mode: ``"rows"``, or ``"columns"`` for those of the columns.
    """

    def __init__(self, factor: float = 0.01, mode: str = "rows") -> None:
        self.factor = at_least_zero("OrthogonalRegularizer", "factor", factor)
        if mode not in ("rows", "columns"):
            raise ValueError(f"OrthogonalRegularizer: mode must be 'rows' or 'columns'. Received: mode={mode!r}.")
        self.mode = mode

    def lower(self, b: Builder, x: Buffer) -> Buffer:
        if len(x.shape) != 2 or x.batched:
            raise ValueError(f"OrthogonalRegularizer: needs a matrix of weights. Received: shape {x.shape}.")
        rows = _transposed(b, x) if self.mode == "columns" else x
        count = rows.shape[0] or 0
        (squares,) = b.emit("row_sum", b.emit("multiply", rows, rows)[0])
        (inverse,) = b.emit("quotient_of", b.emit("sqrt", squares)[0], numerator=1.0)
        (inverse,) = b.emit("clip", inverse, low=0.0, high=_UNIT_LIMIT)
        (unit,) = b.emit("row_multiply", _transposed(b, rows), inverse)
        (products,) = b.emit("dense", _transposed(b, unit), unit, None)
        (different,) = b.emit("off_diagonal", products)
        pairs = max(1, count * (count - 1))
        return b.emit("penalty", different, l1=self.factor / pairs, l2=0)[0]

    def get_config(self) -> dict[str, Any]:
        return {"factor": self.factor, "mode": self.mode}


def _with_rows(b: Builder, x: Buffer) -> Buffer:
    """x with at least one axis."""
    return x if x.shape else b.view(x, (1,))


def _transposed(b: Builder, x: Buffer) -> Buffer:
    """The transpose of a matrix."""
    rows, columns = x.shape
    return b.view(axes.permute(b, b.view(x, (1, rows, columns)), (0, 2, 1)), (columns, rows))


l1, l2, l1_l2, orthogonal_regularizer = L1, L2, L1L2, OrthogonalRegularizer

_FAMILY: Family[Regularizer] = Family(
    "regularizer", Regularizer, (L1, L2, L1L2, OrthogonalRegularizer), {"l1_l2": L1L2}
)  # fmt: skip

get = _FAMILY.get
serialize = _FAMILY.serialize
deserialize = _FAMILY.deserialize
