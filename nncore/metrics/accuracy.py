"""Metrics that are the share of predictions that are right."""

from __future__ import annotations

from typing import Any

from nncore.arguments import fraction, positive_int
from nncore.builder import Builder
from nncore.metrics.means import OpMean
from nncore.program import Buffer


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


class Accuracy(OpMean):
    """The share of predictions that equal their targets, as numbers."""

    op = "equal_matches"
    better = "max"
    elementwise = True

    def __init__(self, name: str | None = "accuracy", dtype: str | None = None) -> None:
        super().__init__(name, dtype)


class TopKCategoricalAccuracy(OpMean):
    """The share of rows whose largest target stands where one of the k largest predictions stands.

    A prediction that equals the k-th largest is among them. For targets of one value a class.

    Args:
        k: How many.
        name: The key under which it is reported.
        dtype: ``None`` or ``"float32"``.
    """

    op = "top_k_matches"
    better = "max"

    def __init__(self, k: int = 5, name: str | None = "top_k_categorical_accuracy", dtype: str | None = None) -> None:
        super().__init__(name, dtype)
        self.k = positive_int(type(self).__name__, "k", k)

    def attributes(self) -> dict[str, float]:
        return {"k": self.k}

    def values(self, b: Builder, target: Buffer, prediction: Buffer) -> Buffer:
        return super().values(b, b.emit("argmax", target)[0], prediction)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "k": self.k}


class SparseTopKCategoricalAccuracy(OpMean):
    """The share of rows whose label stands where one of the k largest predictions stands.

    A prediction that equals the k-th largest is among them.

    Args:
        k: How many.
        name: The key under which it is reported.
        dtype: ``None`` or ``"float32"``.
        from_sorted_ids: Whether predictions are the classes themselves, the likeliest first.
    """

    target = "labels"
    better = "max"

    def __init__(
        self, k: int = 5, name: str | None = "sparse_top_k_categorical_accuracy", dtype: str | None = None,
        from_sorted_ids: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(name, dtype)
        self.k = positive_int(type(self).__name__, "k", k)
        self.from_sorted_ids = bool(from_sorted_ids)
        self.op = "listed_matches" if self.from_sorted_ids else "top_k_matches"

    def attributes(self) -> dict[str, float]:
        return {"k": self.k}

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "k": self.k}
        return {**config, "from_sorted_ids": True} if self.from_sorted_ids else config
