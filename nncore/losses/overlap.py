"""Losses of how much two sets overlap, as segmentation uses them: of the whole batch, or of some axes of it."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from nncore import ops
from nncore.arguments import finite, is_integer
from nncore.builder import Builder
from nncore.losses.base import Array, RowLoss, last_axis
from nncore.program import Buffer, Shape


class _Overlap(RowLoss):
    """1 - scale I / (truth T + guess P + both I + 1e-7), of the sums I of y_true y_pred, T of y_true and P of y_pred.

    With ``axis=None`` the sums are over the whole batch, whose loss is then one number.
    """

    op = "overlap"

    def __init__(
        self, axis: int | Sequence[int] | None, reduction: str | None, name: str | None, dtype: str | None
    ) -> None:
        super().__init__(reduction, name, dtype)
        axes: Any = axis if axis is None or isinstance(axis, list | tuple) else [axis]
        if axes is not None and not (axes and all(map(is_integer, axes))):
            raise ValueError(
                f"{type(self).__name__}: axis must be None, an integer or a list of them. Received: axis={axis!r}."
            )
        self.of_batch = axes is None
        self.axes = None if axes is None else [int(a) for a in axes]

    def _summed(self, rank: int) -> list[int]:
        """The axes of predictions that are summed over, in order."""
        if self.axes is None:
            return list(range(rank))
        summed = sorted({a % rank for a in self.axes if -rank <= a < rank})
        if len(summed) != len(self.axes):
            raise ValueError(
                f"{self.name}: axis must name different ones of the {rank} axes of the predictions. "
                f"Received: axis={self.axes!r}."
            )
        return summed

    def rows_shape(self, prediction: Shape) -> Shape:
        summed = self._summed(len(prediction))
        return tuple(n for i, n in enumerate(prediction) if i not in summed or i == 0)

    def lower_value(self, b: Builder, target: Buffer, prediction: Buffer) -> Buffer:
        rank = len(prediction.shape)
        summed = self._summed(rank)
        if len(summed) == rank:
            return b.emit("batch_overlap", _flat(b, prediction), _flat(b, target), **self.attributes())[0]
        if summed[0] == 0:
            raise ValueError(
                f"{self.name}: a model is trained on axis=None, the whole batch, or on axes other than 0, the batch's. "
                f"Received: axis={self.axes!r}."
            )
        arranged = (_arranged(b, buffer, summed) for buffer in (prediction, target))
        return b.emit(self.op, *arranged, **self.attributes())[0]

    def weigh(
        self, b: Builder, target: Buffer, rows: Buffer, weight: Buffer | None, mask: Buffer | None = None
    ) -> Buffer | None:
        # The loss of a whole batch stands in every row of it: without weights, its sum is its mean.
        if self.axes is None and weight is None and mask is None:
            return None
        return super().weigh(b, target, rows, weight, mask)

    def call(self, y_true: Array, y_pred: Array) -> Array:
        summed = self._summed(y_pred.ndim)
        kept = [i for i in range(y_pred.ndim) if i not in summed]
        shape = tuple(y_pred.shape[i] for i in kept)
        rows = [np.transpose(a, kept + summed).reshape(prod(shape), -1) for a in (y_pred, y_true)]
        values: Array = ops.evaluate(self.op, *rows, **self.attributes())[0]
        return values.reshape(shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axes}


def _flat(b: Builder, buffer: Buffer) -> Buffer:
    """The buffer with one axis of samples and one of values."""
    return b.view(buffer, (None, buffer.per_row))


def _arranged(b: Builder, buffer: Buffer, summed: Sequence[int]) -> Buffer:
    """The buffer with the axes ``summed``, none of them the first, as one at the end."""
    rank = len(buffer.shape)
    for done, axis in enumerate(reversed(summed)):
        if axis != rank - 1 - done:
            buffer = last_axis(b, buffer, axis)
    kept, ends = buffer.shape[: rank - len(summed)], buffer.shape[rank - len(summed) :]
    return b.view(buffer, (*kept, prod(n for n in ends if n is not None)))


class Dice(_Overlap):
    """1 - 2 I / (T + P + 1e-7), of the sums I of y_true y_pred, T of y_true and P of y_pred.

    Args:
        axis: The axes that the sums are over; by default all, so that a batch has one loss.
    """

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str | None = None,
        axis: int | Sequence[int] | None = None, dtype: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(axis, reduction, name, dtype)

    def attributes(self) -> dict[str, float]:
        return {"scale": 2.0, "truth": 1.0, "guess": 1.0, "both": 0.0}


class Tversky(_Overlap):
    """1 - I / (I + alpha (T - I) + beta (P - I) + 1e-7), of the sums I of y_true y_pred, T of y_true and P of y_pred.

    Salehi et al., "Tversky loss function for image segmentation using 3D fully convolutional deep networks", 2017.

    Args:
        alpha: What is in y_true and not in y_pred weighs so much.
        beta: What is in y_pred and not in y_true weighs so much.
        axis: The axes that the sums are over; by default all, so that a batch has one loss.
    """

    def __init__(
        self, alpha: float = 0.5, beta: float = 0.5, reduction: str | None = "sum_over_batch_size",
        name: str | None = None, axis: int | Sequence[int] | None = None, dtype: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(axis, reduction, name, dtype)
        self.alpha, self.beta = finite("Tversky", "alpha", alpha), finite("Tversky", "beta", beta)

    def attributes(self) -> dict[str, float]:
        return {"scale": 1.0, "truth": self.alpha, "guess": self.beta, "both": 1 - self.alpha - self.beta}

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "alpha": self.alpha, "beta": self.beta}


def dice(y_true: Any, y_pred: Any, axis: int | Sequence[int] | None = None) -> Any:
    """1 - 2 I / (T + P + 1e-7): one value, or one for each place of the axes not in ``axis``. See :class:`Dice`."""
    return Dice(None, axis=axis)(y_true, y_pred)


def tversky(
    y_true: Any, y_pred: Any, alpha: float = 0.5, beta: float = 0.5, axis: int | Sequence[int] | None = None
) -> Any:
    """How little y_true and y_pred overlap: one value, or one for each place of the axes not in ``axis``. See
    :class:`Tversky`."""
    return Tversky(alpha, beta, None, axis=axis)(y_true, y_pred)
