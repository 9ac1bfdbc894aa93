"""Metrics that are the mean of a loss."""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore import losses
from nncore.metrics.means import LossMean


class MeanSquaredError(LossMean):
    """The mean of (y_pred - y_true)²."""

    def __init__(self, name: str | None = "mean_squared_error", dtype: str | None = None) -> None:
        super().__init__(losses.MeanSquaredError(), name, dtype)


class RootMeanSquaredError(LossMean):
    """The square root of the mean of (y_pred - y_true)²."""

    elementwise = True
    takes_mask = False  # nor does Keras's

    def __init__(self, name: str | None = "root_mean_squared_error", dtype: str | None = None) -> None:
        super().__init__(losses.MeanSquaredError(), name, dtype)

    def result(self) -> Any:
        return np.sqrt(super().result())


class MeanAbsoluteError(LossMean):
    """The mean of |y_pred - y_true|."""

    def __init__(self, name: str | None = "mean_absolute_error", dtype: str | None = None) -> None:
        super().__init__(losses.MeanAbsoluteError(), name, dtype)


class MeanAbsolutePercentageError(LossMean):
    """100 times the mean of |y_pred - y_true| / max(|y_true|, 1e-7)."""

    def __init__(self, name: str | None = "mean_absolute_percentage_error", dtype: str | None = None) -> None:
        super().__init__(losses.MeanAbsolutePercentageError(), name, dtype)


class MeanSquaredLogarithmicError(LossMean):
    """The mean of (log(1 + y_pred) - log(1 + y_true))²."""

    def __init__(self, name: str | None = "mean_squared_logarithmic_error", dtype: str | None = None) -> None:
        super().__init__(losses.MeanSquaredLogarithmicError(), name, dtype)


class LogCoshError(LossMean):
    """The mean of log cosh(y_pred - y_true)."""

    def __init__(self, name: str | None = "logcosh", dtype: str | None = None) -> None:
        super().__init__(losses.LogCosh(), name, dtype)


class KLDivergence(LossMean):
    """The mean over rows of Σ y_true log(y_true / y_pred)."""

    def __init__(self, name: str | None = "kl_divergence", dtype: str | None = None) -> None:
        super().__init__(losses.KLDivergence(), name, dtype)


class Poisson(LossMean):
    """The mean of y_pred - y_true log y_pred."""

    def __init__(self, name: str | None = "poisson", dtype: str | None = None) -> None:
        super().__init__(losses.Poisson(), name, dtype)


class Hinge(LossMean):
    """The mean of max(1 - y_true y_pred, 0), targets being -1 and 1, or 0 and 1."""

    def __init__(self, name: str | None = "hinge", dtype: str | None = None) -> None:
        super().__init__(losses.Hinge(), name, dtype)


class SquaredHinge(LossMean):
    """The mean of max(1 - y_true y_pred, 0)², targets being -1 and 1, or 0 and 1."""

    def __init__(self, name: str | None = "squared_hinge", dtype: str | None = None) -> None:
        super().__init__(losses.SquaredHinge(), name, dtype)


class CategoricalHinge(LossMean):
    """The mean over rows of max(1 + the largest wrong prediction - the right one, 0)."""

    def __init__(self, name: str | None = "categorical_hinge", dtype: str | None = None) -> None:
        super().__init__(losses.CategoricalHinge(), name, dtype)


class CosineSimilarity(LossMean):
    """The mean over rows of the cosine of the angle between y_true and y_pred: 1 where they point the same way.

    Args:
        name: The key under which it is reported.
        dtype: ``None`` or ``"float32"``.
        axis: The axis of the vectors.
    """

    better = "max"

    def __init__(self, name: str | None = "cosine_similarity", dtype: str | None = None, axis: int = -1) -> None:
        super().__init__(losses.CosineSimilarity(axis), name, dtype)
        self.axis = axis

    def result(self) -> Any:
        return -super().result()  # the loss is least where the similarity is greatest

    def get_config(self) -> dict[str, Any]:
        # Keras's config has no axis: one that is its default needs none.
        return {**super().get_config(), **({} if self.axis == -1 else {"axis": self.axis})}


class BinaryCrossentropy(LossMean):
    """The mean binary cross-entropy.

    Args:
        name: The key under which it is reported.
        dtype: ``None`` or ``"float32"``.
        from_logits: Whether predictions are logits.
        label_smoothing: In [0, 1]: moves targets towards 1/2 by that share.
    """

    def __init__(
        self, name: str | None = "binary_crossentropy", dtype: str | None = None, from_logits: bool = False,
        label_smoothing: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(losses.BinaryCrossentropy(from_logits, label_smoothing), name, dtype)
        self.from_logits, self.label_smoothing = bool(from_logits), float(label_smoothing)

    def get_config(self) -> dict[str, Any]:
        own = {"from_logits": self.from_logits, "label_smoothing": self.label_smoothing}
        return {**super().get_config(), **own}


class CategoricalCrossentropy(LossMean):
    """The mean cross-entropy, for one-hot targets.

    Args:
        name: The key under which it is reported.
        dtype: ``None`` or ``"float32"``.
        from_logits: Whether predictions are logits.
        label_smoothing: In [0, 1]: mixes that share of the uniform distribution into the targets.
        axis: The axis of the classes.
    """

    def __init__(
        self, name: str | None = "categorical_crossentropy", dtype: str | None = None, from_logits: bool = False,
        label_smoothing: float = 0.0, axis: int = -1,
    ) -> None:  # fmt: skip
        super().__init__(losses.CategoricalCrossentropy(from_logits, label_smoothing, axis), name, dtype)
        self.from_logits, self.label_smoothing, self.axis = bool(from_logits), float(label_smoothing), axis

    def get_config(self) -> dict[str, Any]:
        own = {"from_logits": self.from_logits, "label_smoothing": self.label_smoothing, "axis": self.axis}
        return {**super().get_config(), **own}


class SparseCategoricalCrossentropy(LossMean):
    """The mean cross-entropy, for integer labels.

    Args:
        name: The key under which it is reported.
        dtype: ``None`` or ``"float32"``.
        from_logits: Whether predictions are logits.
        ignore_class: A label whose rows have the value 0; with weights they do not count in the mean either.
        axis: -1.
    """

    def __init__(
        self, name: str | None = "sparse_categorical_crossentropy", dtype: str | None = None,
        from_logits: bool = False, ignore_class: int | None = None, axis: int = -1,
    ) -> None:  # fmt: skip
        if axis != -1:
            raise ValueError(f"SparseCategoricalCrossentropy: axis must be -1, the last one. Received: axis={axis!r}.")
        super().__init__(losses.SparseCategoricalCrossentropy(from_logits, ignore_class), name, dtype)
        self.from_logits, self.ignore_class = bool(from_logits), ignore_class

    def get_config(self) -> dict[str, Any]:
        own = {"from_logits": self.from_logits, "ignore_class": self.ignore_class, "axis": -1}
        return {**super().get_config(), **own}
