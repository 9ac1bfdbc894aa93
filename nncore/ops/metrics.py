"""Sums over a batch that are added to a running float64 total, which outlives the batch. None has a gradient.

Rows are added one after the other, in order, in float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore.ops.base import op

Array = np.ndarray[Any, Any]


@op("m, m? -> ()", out0="float64")
def add_rows(total: Array, value: Array, weight: Array | None) -> None:
    """total += sum_m value[m] weight[m]; the product is rounded to the values' type"""
    total += np.sum(value if weight is None else value * weight, dtype=np.float64)


@op("mn, mn -> ()", "threshold", out0="float64")
def add_binary_matches(total: Array, p: Array, t: Array, *, threshold: float) -> None:
    """total += sum_m mean_n ((p > threshold) == t)"""
    total += np.count_nonzero((p > threshold) == t) / p.shape[1]


@op("mn, mn -> ()", out0="float64")
def add_categorical_matches(total: Array, p: Array, t: Array) -> None:
    """total += number of rows with argmax p == argmax t; the first of equals wins, NaN counts as the largest"""
    total += np.count_nonzero(np.argmax(p, axis=1) == np.argmax(t, axis=1))


@op("mn, m -> ()", in1="int32", out0="float64")
def add_sparse_matches(total: Array, p: Array, label: Array) -> None:
    """total += number of rows with argmax p == label; the first of equals wins, NaN counts as the largest"""
    total += np.count_nonzero(np.argmax(p, axis=1) == label)
