"""Intersection over union of classes, from a matrix of how often each class was predicted for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nncore import ops
from nncore.arguments import count, float32_name, fraction, is_integer, positive_int
from nncore.builder import Builder
from nncore.metrics.base import Metric
from nncore.program import Buffer

EPSILON = 1e-7


class IoU(Metric):
    """The mean over some classes of true positives / (true positives + false positives + false negatives).

    Classes that neither targets nor predictions have do not count in the mean. What is no class, being negative or
    not below ``num_classes``, is left out.

    Args:
        num_classes: The number of classes.
        target_class_ids: The classes to take the mean over.
        name: The key under which it is reported.
        dtype: ``None``: sample weights are rounded towards 0, as in Keras; ``"float32"``: they count as they are.
        ignore_class: A class whose targets are left out.
        sparse_y_true: Whether targets are classes; else each row of their last axis is one-hot, or scores.
        sparse_y_pred: Whether predictions are classes, rounded towards 0; else of each row the largest wins.
        axis: -1.
    """

    better = "max"

    def __init__(
        self, num_classes: int, target_class_ids: Sequence[int], name: str | None = None, dtype: str | None = None,
        ignore_class: int | None = None, sparse_y_true: bool = True, sparse_y_pred: bool = True, axis: int = -1,
    ) -> None:  # fmt: skip
        kind = type(self).__name__
        self.dtype = "int32" if dtype in (None, "int", "int32", "int64") else dtype
        float32_name(kind, None if self.dtype == "int32" else dtype)
        super().__init__(None, name)
        self.num_classes = positive_int(kind, "num_classes", num_classes)
        self.total_cm = self.add_variable((self.num_classes, self.num_classes), name="total_confusion_matrix")
        self.target_class_ids = [count(kind, "target_class_ids", i) for i in target_class_ids]
        if not self.target_class_ids or max(self.target_class_ids) >= self.num_classes:
            raise ValueError(
                f"{kind}: target_class_ids must be classes in [0, {self.num_classes}). "
                f"Received: target_class_ids={target_class_ids!r}."
            )
        if ignore_class is not None and not is_integer(ignore_class):
            raise ValueError(
                f"{kind}: ignore_class must be an integer or None. Received: ignore_class={ignore_class!r}."
            )
        if axis != -1:
            raise ValueError(f"{kind}: axis must be -1, the last one. Received: axis={axis!r}.")
        self.ignore_class = None if ignore_class is None else int(ignore_class)
        self.sparse_y_true, self.sparse_y_pred = bool(sparse_y_true), bool(sparse_y_pred)
        self.elementwise = self.sparse_y_pred
        self.target = "labels" if self.sparse_y_true and not self.sparse_y_pred else "same"

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        if not self.sparse_y_true and self.sparse_y_pred:
            (y_true,) = ops.evaluate("argmax", y_true)
        super().update_state(y_true, y_pred, sample_weight)

    def predicted(self, b: Builder, prediction: Buffer) -> Buffer:
        """Append what makes classes of predictions."""
        return b.emit("as_labels" if self.sparse_y_pred else "argmax", prediction)[0]

    def lower(self, b: Builder, target: Buffer, prediction: Buffer, weight: Buffer | None) -> None:
        if self.target == "same":
            (target,) = b.emit("as_labels" if self.sparse_y_pred else "argmax", target)
        if weight is not None and self.sparse_y_pred:
            (weight,) = b.emit("spread", weight, prediction)
        ignored = -1 if self.ignore_class is None else self.ignore_class
        b.emit_to(
            "add_pairs", (b.total(self.total_cm),), target, self.predicted(b, prediction), weight,
            c=self.num_classes, ignore=ignored, whole=self.dtype == "int32",
        )  # fmt: skip

    def result(self) -> Any:
        matrix = self.total_cm.value
        hits = np.diag(matrix)
        union = (matrix.sum(axis=0) + matrix.sum(axis=1) - hits)[self.target_class_ids]
        there = union > 1e-9
        shares = np.where(there, hits[self.target_class_ids] / (union + EPSILON), 0)
        return np.sum(shares) / (np.count_nonzero(there) + EPSILON)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(), "dtype": self.dtype, "num_classes": self.num_classes,
            "target_class_ids": self.target_class_ids, "ignore_class": self.ignore_class,
            "sparse_y_true": self.sparse_y_true, "sparse_y_pred": self.sparse_y_pred, "axis": -1,
        }  # fmt: skip

    def _config_without(self, *names: str) -> dict[str, Any]:
        return {name: value for name, value in IoU.get_config(self).items() if name not in names}


class BinaryIoU(IoU):
    """``IoU`` of two classes, 1 where the prediction is at least ``threshold``.

    Args:
        target_class_ids: The classes to take the mean over, by default both.
        threshold: In [0, 1].
        name, dtype: As for ``IoU``.
    """

    def __init__(
        self, target_class_ids: Sequence[int] = (0, 1), threshold: float = 0.5, name: str | None = None,
        dtype: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(2, target_class_ids, name, dtype)
        self.threshold = fraction("BinaryIoU", "threshold", threshold)

    def predicted(self, b: Builder, prediction: Buffer) -> Buffer:
        # To reach the threshold is to exceed the next smaller number.
        least = float(np.nextafter(np.float32(self.threshold), np.float32(-1)))
        return super().predicted(b, b.emit("exceeds", prediction, threshold=least)[0])

    def get_config(self) -> dict[str, Any]:
        config = self._config_without("num_classes", "ignore_class", "sparse_y_true", "sparse_y_pred", "axis")
        return {**config, "threshold": self.threshold}


class MeanIoU(IoU):
    """``IoU`` of all classes.

    Args:
        num_classes: The number of classes.
        name, dtype, ignore_class, sparse_y_true, sparse_y_pred, axis: As for ``IoU``.
    """

    def __init__(
        self, num_classes: int, name: str | None = None, dtype: str | None = None, ignore_class: int | None = None,
        sparse_y_true: bool = True, sparse_y_pred: bool = True, axis: int = -1,
    ) -> None:  # fmt: skip
        classes = positive_int(type(self).__name__, "num_classes", num_classes)
        super().__init__(classes, range(classes), name, dtype, ignore_class, sparse_y_true, sparse_y_pred, axis)

    def get_config(self) -> dict[str, Any]:
        return self._config_without("target_class_ids")


class OneHotIoU(IoU):
    """``IoU`` of targets that are one-hot, and predictions of one score a class.

    Args:
        num_classes, target_class_ids, name, dtype, ignore_class, axis: As for ``IoU``.
        sparse_y_pred: Whether predictions are classes.
    """

    def __init__(
        self, num_classes: int, target_class_ids: Sequence[int], name: str | None = None, dtype: str | None = None,
        ignore_class: int | None = None, sparse_y_pred: bool = False, axis: int = -1,
    ) -> None:  # fmt: skip
        super().__init__(num_classes, target_class_ids, name, dtype, ignore_class, False, sparse_y_pred, axis)

    def get_config(self) -> dict[str, Any]:
        return self._config_without("sparse_y_true")


class OneHotMeanIoU(MeanIoU):
    """``IoU`` of all classes, for targets that are one-hot and predictions of one score a class.

    Args:
        num_classes, name, dtype, ignore_class, axis: As for ``IoU``.
        sparse_y_pred: Whether predictions are classes.
    """

    def __init__(
        self, num_classes: int, name: str | None = None, dtype: str | None = None, ignore_class: int | None = None,
        sparse_y_pred: bool = False, axis: int = -1,
    ) -> None:  # fmt: skip
        super().__init__(num_classes, name, dtype, ignore_class, False, sparse_y_pred, axis)

    def get_config(self) -> dict[str, Any]:
        return self._config_without("sparse_y_true", "target_class_ids")
