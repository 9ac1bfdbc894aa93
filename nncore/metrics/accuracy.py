"""Metrics that are the share of predictions that are right."""

from __future__ import annotations

from typing import Any

from nncore.arguments import fraction
from nncore.metrics.means import OpMean


class BinaryAccuracy(OpMean):
    """The share of predictions on the right side of a threshold: ``(y_pred > threshold) == y_true``.

    Args:
        name: The key under which it is reported.
        dtype: ``None`` or ``"float32"``.
        threshold: By default 0.5; a prediction equal to it counts as 0.
    """

    op = "binary_matches"
    better = "max"
    elementwise = True

    def __init__(self, name: str | None = "binary_accuracy", dtype: str | None = None, threshold: float = 0.5) -> None:
        super().__init__(name, dtype)
        self.threshold = fraction("BinaryAccuracy", "threshold", threshold)

    def attributes(self) -> dict[str, float]:
        return {"threshold": self.threshold}

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "threshold": self.threshold}


class CategoricalAccuracy(OpMean):
    """The share of rows whose largest prediction stands where the largest target stands."""

    op = "categorical_matches"
    better = "max"

    def __init__(self, name: str | None = "categorical_accuracy", dtype: str | None = None) -> None:
        super().__init__(name, dtype)


class SparseCategoricalAccuracy(OpMean):
    """The share of rows whose largest prediction stands at the label."""

    op = "sparse_matches"
    target = "labels"
    better = "max"

    def __init__(self, name: str | None = "sparse_categorical_accuracy", dtype: str | None = None) -> None:
        super().__init__(name, dtype)
