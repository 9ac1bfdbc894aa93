"""Constraints: what weights are held in after each update.

Called on an array one returns the array held in it; in a model it lowers to ops that change the weight in place.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any, TypeVar

import numpy as np

from nncore import axes
from nncore.arguments import at_least_zero, fraction, is_integer
from nncore.builder import Builder
from nncore.families import Family
from nncore.interpreter import interpret
from nncore.old_homes import open_old_homes as _open_old_homes
from nncore.program import Buffer
from nncore.serialization import construct

Array = np.ndarray[Any, Any]
C = TypeVar("C", bound="Constraint")

__all__ = [
    "Constraint", "MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm", "deserialize", "get", "max_norm",
    "min_max_norm", "non_neg", "serialize", "unit_norm",
]  # fmt: skip


class Constraint:
    """Base of all constraints. A subclass defines ``lower`` and, where it has arguments, ``get_config``."""

    def lower(self, b: Builder, w: Buffer) -> None:
        """Append the ops that change ``w`` in place."""
        raise NotImplementedError(f"{type(self).__name__} must define lower().")

    def __call__(self, w: Any) -> Array:
        """The array held in the constraint, as a new one."""
        b, values = Builder("constraint", training=True), np.array(w, np.float32)
        held = b.declare("input", "w", values.shape)
        self.lower(b, held)
        return interpret(b, {"w": values}, held)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal constraint, as JSON-able values."""
        return {}

    @classmethod
    def from_config(cls: type[C], config: Mapping[str, Any]) -> C:
        """The constraint that ``config`` describes."""
        return construct(cls, config)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.get_config().items())})"


class NonNeg(Constraint):
    """Values of at least 0: max(w, 0)."""

    def lower(self, b: Builder, w: Buffer) -> None:
        flat = b.view(w, (w.per_row,))
        b.emit_to("relu", (flat,), flat)


class _Norm(Constraint):
    """Norms along axes, moved into an interval: a value w becomes w goal / (1e-7 + norm)."""

    limits = (0.0, 0.0, 1.0)  # least, most, and the share of the way that a norm is moved

    def __init__(self, axis: Any) -> None:
        kind = type(self).__name__
        listed = axis if isinstance(axis, list | tuple) else [axis]
        if not listed or not all(is_integer(n) for n in listed) or len(set(listed)) < len(listed):
            raise ValueError(
                f"{kind}: axis must be an integer or a list of different integers. Received: axis={axis!r}."
            )
        self.axis = [int(n) for n in listed] if isinstance(axis, list | tuple) else int(axis)

    def lower(self, b: Builder, w: Buffer) -> None:
        reduced = self._axes(w)
        shape = [n or 0 for n in w.shape]
        least, most, rate = self.limits
        attributes = {"least": least, "most": most, "rate": rate}
        first, end = reduced[0], reduced[-1] + 1
        if len(reduced) == end - first:
            block = b.view(w, (prod(shape[:first]), prod(shape[first:end]), prod(shape[end:])))
            b.emit_to("limit_norm", (block,), block, **attributes)
            return
        moved = [axis + 1 for axis in reduced]
        y = axes.to_end(b, b.view(w, (1, *shape)), moved)
        size = prod(shape[axis] for axis in reduced)
        block = b.view(y, (prod(shape) // size, size, 1))
        b.emit_to("limit_norm", (block,), block, **attributes)
        b.emit_to("scale_shift", (w,), b.view(axes.from_end(b, y, moved), w.shape), scale=1.0, offset=0.0)

    def _axes(self, w: Buffer) -> list[int]:
        """The axes of w along which norms are taken, in order."""
        rank = len(w.shape)
        listed = self.axis if isinstance(self.axis, list) else [self.axis]
        found = {axis + rank if axis < 0 else axis for axis in listed}
        if len(found) < len(listed) or not all(0 <= axis < rank for axis in found):
            raise ValueError(
                f"{type(self).__name__}: axis must name different axes of the weight {w.name!r}, of shape {w.shape}. "
                f"Received: axis={self.axis!r}."
            )
        return sorted(found)


class MaxNorm(_Norm):
    """Norms of at most ``max_value``, along ``axis``.

    Source: Srivastava et al., "Dropout", JMLR 15 (2014).

    Args:
        max_value: A number of at least 0, by default 2.
        axis: An axis of the weight, or a list of them: by default 0, the inputs of each unit of a Dense kernel; of a
            Conv2D kernel those of each filter are ``[0, 1, 2]``.
    """

    def __init__(self, max_value: float = 2, axis: Any = 0) -> None:
        super().__init__(axis)
        self.max_value = at_least_zero("MaxNorm", "max_value", max_value)
        self.limits = (0.0, self.max_value, 1.0)

    def get_config(self) -> dict[str, Any]:
        return {"max_value": self.max_value, "axis": self.axis}


class UnitNorm(_Norm):
    """Norms of 1, along ``axis``: see :class:`MaxNorm`."""

    limits = (1.0, 1.0, 1.0)

    def __init__(self, axis: Any = 0) -> None:
        super().__init__(axis)

    def get_config(self) -> dict[str, Any]:
        return {"axis": self.axis}


class MinMaxNorm(_Norm):
    """Norms moved into [min_value, max_value], along ``axis``.

    Args:
        min_value: A number of at least 0.
        max_value: A number of at least ``min_value``.
        rate: In [0, 1]: a norm becomes rate (the norm in the interval) + (1 - rate) (the norm as it was).
        axis: See :class:`MaxNorm`.
    """

    def __init__(self, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0, axis: Any = 0) -> None:
        super().__init__(axis)
        self.min_value = at_least_zero("MinMaxNorm", "min_value", min_value)
        self.max_value = at_least_zero("MinMaxNorm", "max_value", max_value)
        if self.max_value < self.min_value:
            raise ValueError(
                "MinMaxNorm: max_value must be at least min_value. "
                f"Received: min_value={min_value!r}, max_value={max_value!r}."
            )
        self.rate = fraction("MinMaxNorm", "rate", rate)
        self.limits = (self.min_value, self.max_value, self.rate)

    def get_config(self) -> dict[str, Any]:
        return {"min_value": self.min_value, "max_value": self.max_value, "rate": self.rate, "axis": self.axis}


max_norm, non_neg, unit_norm, min_max_norm = MaxNorm, NonNeg, UnitNorm, MinMaxNorm

_FAMILY: Family[Constraint] = Family("constraint", Constraint, (MaxNorm, NonNeg, UnitNorm, MinMaxNorm), {})

get = _FAMILY.get
serialize = _FAMILY.serialize
deserialize = _FAMILY.deserialize

_open_old_homes("constraints", {"maxnorm": max_norm, "nonneg": non_neg, "unitnorm": unit_norm})
