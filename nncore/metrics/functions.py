"""Functions of targets and predictions whose mean is a metric: one value a row, of what class it is right about."""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore import ops
from nncore.losses import fit_target
from nncore.metrics.accuracy import BinaryAccuracy, CategoricalAccuracy, SparseCategoricalAccuracy
from nncore.metrics.accuracy import SparseTopKCategoricalAccuracy as SparseTopK
from nncore.metrics.base import Array
from nncore.metrics.means import OpMean
from nncore.metrics.regression import ConcordanceCorrelation, PearsonCorrelation


def binary_accuracy(y_true: Any, y_pred: Any, threshold: float = 0.5) -> Array:
    """1 where ``(y_pred > threshold) == y_true``, else 0: one value a prediction. See :class:`BinaryAccuracy`."""
    metric, p = BinaryAccuracy(threshold=threshold), ops.as_real(y_pred)
    y = fit_target(metric.name, "same", np.asarray(y_true), p.shape)
    return _values(metric, y[..., None], p[..., None])


def categorical_accuracy(y_true: Any, y_pred: Any) -> Array:
    """1 where the largest prediction stands where the largest target stands, else 0: one value a row."""
    return _values(CategoricalAccuracy(), y_true, y_pred)


def sparse_categorical_accuracy(y_true: Any, y_pred: Any) -> Array:
    """1 where the largest prediction stands at the label, else 0: one value a row."""
    return _values(SparseCategoricalAccuracy(), y_true, y_pred)


def top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> Array:
    """1 where the largest target stands where one of the k largest predictions stands, else 0: one value a row."""
    p = ops.as_real(y_pred)
    y = fit_target("top_k_categorical_accuracy", "same", np.asarray(y_true), p.shape)
    return _values(SparseTopK(k), np.argmax(y, axis=-1), p)


def sparse_top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5, from_sorted_ids: bool = False) -> Array:
    """1 where the label stands where one of the k largest predictions stands, else 0: one value a row.

    With ``from_sorted_ids`` the predictions are the classes themselves, the likeliest first.
    """
    return _values(SparseTopK(k, from_sorted_ids=from_sorted_ids), y_true, y_pred)


def pearson_correlation(y_true: Any, y_pred: Any, axis: int = -1) -> Array:
    """The correlation along the last axis: one value a row. See :class:`PearsonCorrelation`."""
    return _values(PearsonCorrelation(axis=axis), y_true, y_pred)


def concordance_correlation(y_true: Any, y_pred: Any, axis: int = -1) -> Array:
    """The concordance along the last axis: one value a row. See :class:`ConcordanceCorrelation`."""
    return _values(ConcordanceCorrelation(axis=axis), y_true, y_pred)


def _values(metric: OpMean, y_true: Any, y_pred: Any) -> Array:
    """What the metric is the mean of."""
    p = ops.as_real(y_pred)
    y = fit_target(metric.name, metric.target, np.asarray(y_true), p.shape)
    y = y.astype(np.int32 if metric.target == "labels" else p.dtype)
    found: Array = ops.evaluate(metric.op, np.atleast_2d(p), y[None] if p.ndim == 1 else y, **metric.attributes())[0]
    return found[0] if p.ndim == 1 else found
