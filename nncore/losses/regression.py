"""Losses of values: means over the last axis of what each error costs, and the angle between two vectors."""

from __future__ import annotations

from typing import Any

from nncore.arguments import above_zero, is_integer
from nncore.losses.base import Array, RowLoss


class MeanSquaredError(RowLoss):
    """mean (y_pred - y_true)² over the last axis."""

    op = "mean_squared_error"


class MeanAbsoluteError(RowLoss):
    """mean |y_pred - y_true| over the last axis."""

    op = "mean_absolute_error"


class MeanAbsolutePercentageError(RowLoss):
    """100 mean |y_pred - y_true| / max(|y_true|, 1e-7) over the last axis."""

    op = "mean_absolute_percentage_error"


class MeanSquaredLogarithmicError(RowLoss):
    """mean (log(1 + y_pred) - log(1 + y_true))² over the last axis, both first raised to at least 1e-7."""

    op = "mean_squared_logarithmic_error"


class LogCosh(RowLoss):
    """mean log(cosh(y_pred - y_true)) over the last axis: about half the square of a small error, and the size of a
    large one less log 2."""

    op = "log_cosh"


class Poisson(RowLoss):
    """mean (y_pred - y_true log(y_pred + 1e-7)) over the last axis, for counts ``y_true`` and rates ``y_pred``."""

    op = "poisson"


class Huber(RowLoss):
    """mean e²/2 where |e| <= delta, else delta |e| - delta²/2, over the last axis, for errors e = y_pred - y_true.

    Huber, "Robust estimation of a location parameter", 1964.

    Args:
        delta: A positive number: how large an error is squared.
    """

    op = "huber"

    def __init__(
        self, delta: float = 1.0, reduction: str | None = "sum_over_batch_size", name: str | None = "huber_loss",
        dtype: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(reduction, name, dtype)
        self.delta = above_zero("Huber", "delta", delta)

    def attributes(self) -> dict[str, float]:
        return {"delta": self.delta}

    def get_config(self) -> dict[str, Any]:
        # Keras's config has no delta: one that is its default needs none.
        return {**super().get_config(), **({} if self.delta == 1 else {"delta": self.delta})}


class CosineSimilarity(RowLoss):
    """-sum of the products of y_true and y_pred, each divided by its length: -1 where they point the same way.

    A vector of zeros has the loss 0.

    Args:
        axis: The axis of the vectors.
    """

    op = "cosine_similarity"

    def __init__(
        self, axis: int = -1, reduction: str | None = "sum_over_batch_size", name: str | None = None,
        dtype: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(reduction, name, dtype)
        if not is_integer(axis):
            raise ValueError(f"CosineSimilarity: axis must be an integer. Received: axis={axis!r}.")
        self.axis = int(axis)

    def get_config(self) -> dict[str, Any]:
        # Keras's config has no axis: one that is its default needs none.
        return {**super().get_config(), **({} if self.axis == -1 else {"axis": self.axis})}


def mean_squared_error(y_true: Any, y_pred: Any) -> Array:
    """mean (y_pred - y_true)² over the last axis: one value a row."""
    return MeanSquaredError(None)(y_true, y_pred)  # type: ignore[no-any-return]


def mean_absolute_error(y_true: Any, y_pred: Any) -> Array:
    """mean |y_pred - y_true| over the last axis: one value a row."""
    return MeanAbsoluteError(None)(y_true, y_pred)  # type: ignore[no-any-return]


def mean_absolute_percentage_error(y_true: Any, y_pred: Any) -> Array:
    """100 mean |y_pred - y_true| / max(|y_true|, 1e-7) over the last axis: one value a row."""
    return MeanAbsolutePercentageError(None)(y_true, y_pred)  # type: ignore[no-any-return]


def mean_squared_logarithmic_error(y_true: Any, y_pred: Any) -> Array:
    """mean (log(1 + y_pred) - log(1 + y_true))² over the last axis: one value a row."""
    return MeanSquaredLogarithmicError(None)(y_true, y_pred)  # type: ignore[no-any-return]


def log_cosh(y_true: Any, y_pred: Any) -> Array:
    """mean log(cosh(y_pred - y_true)) over the last axis: one value a row."""
    return LogCosh(None)(y_true, y_pred)  # type: ignore[no-any-return]


def poisson(y_true: Any, y_pred: Any) -> Array:
    """mean (y_pred - y_true log(y_pred + 1e-7)) over the last axis: one value a row."""
    return Poisson(None)(y_true, y_pred)  # type: ignore[no-any-return]


def huber(y_true: Any, y_pred: Any, delta: float = 1.0) -> Array:
    """mean e²/2 where |e| <= delta, else delta |e| - delta²/2, over the last axis: one value a row."""
    return Huber(delta, None)(y_true, y_pred)  # type: ignore[no-any-return]


def cosine_similarity(y_true: Any, y_pred: Any, axis: int = -1) -> Array:
    """-sum of the products of y_true and y_pred, each divided by its length: one value a row."""
    return CosineSimilarity(axis, None)(y_true, y_pred)  # type: ignore[no-any-return]
