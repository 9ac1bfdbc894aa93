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

    def __init__(self, name: str | None = "root_mean_squared_error", dtype: str | None = None) -> None:
        super().__init__(losses.MeanSquaredError(), name, dtype)

    def result(self) -> Any:
        return np.sqrt(super().result())


class MeanAbsoluteError(LossMean):
    """The mean of |y_pred - y_true|."""

    def __init__(self, name: str | None = "mean_absolute_error", dtype: str | None = None) -> None:
        super().__init__(losses.MeanAbsoluteError(), name, dtype)


class BinaryCrossentropy(LossMean):
    """The mean binary cross-entropy of probabilities."""

    def __init__(self, name: str | None = "binary_crossentropy", dtype: str | None = None) -> None:
        super().__init__(losses.BinaryCrossentropy(), name, dtype)


class CategoricalCrossentropy(LossMean):
    """The mean cross-entropy of probabilities, for one-hot targets."""

    def __init__(self, name: str | None = "categorical_crossentropy", dtype: str | None = None) -> None:
        super().__init__(losses.CategoricalCrossentropy(), name, dtype)


class SparseCategoricalCrossentropy(LossMean):
    """The mean cross-entropy of probabilities, for integer labels."""

    def __init__(self, name: str | None = "sparse_categorical_crossentropy", dtype: str | None = None) -> None:
        super().__init__(losses.SparseCategoricalCrossentropy(), name, dtype)
