"""Matches a row of predictions, and sums that outlive the batch. None has a gradient.

A metric is one op with a value a row (a loss of ops/losses.py, or the matches here) and ``add_rows`` into its total.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore.ops.base import op

Array = np.ndarray[Any, Any]


@op("m, m? -> ()", out0="float64")
def add_rows(total: Array, value: Array, weight: Array | None) -> None:
    """total += sum_m value[m] weight[m], one row after the other in float64; the products are of the values' type"""
    products = value if weight is None else value * weight
    total += np.cumsum(products, dtype=np.float64)[-1:].sum()  # np.sum would not add in order


@op("mn, mn -> m", "threshold")
def binary_matches(match: Array, p: Array, t: Array, *, threshold: float) -> None:
    """match[m] = mean_n ((p > threshold) == t), the number of matches divided by n"""
    match[...] = np.count_nonzero((p > threshold) == t, axis=1) / match.dtype.type(p.shape[1])


@op("mn, mn -> m")
def categorical_matches(match: Array, p: Array, t: Array) -> None:
    """match[m] = 1 where argmax p == argmax t, else 0; the first of equals wins, NaN counts as the largest"""
    match[...] = np.argmax(p, axis=1) == np.argmax(t, axis=1)


@op("mn, m -> m", in1="int32")
def sparse_matches(match: Array, p: Array, label: Array) -> None:
    """match[m] = 1 where argmax p == label, else 0; the first of equals wins, NaN counts as the largest"""
    match[...] = np.argmax(p, axis=1) == label


@op("mn, mn -> m")
def equal_matches(match: Array, p: Array, t: Array) -> None:
    """match[m] = mean_n (p == t), the number of equal values divided by n"""
    match[...] = np.count_nonzero(p == t, axis=1) / match.dtype.type(p.shape[1])


@op("mn, m -> m", "k", in1="int32")
def top_k_matches(match: Array, p: Array, label: Array, *, k: float) -> None:
    """match[m] = 1 where fewer than k of the row are larger than p[label], else 0

    NaN counts as larger than all, and p[label] = NaN as no match; 0 <= label < n
    """
    chosen = np.take_along_axis(p, label[:, None], axis=1)
    match[...] = (np.count_nonzero(~(p <= chosen), axis=1) < k) & ~np.isnan(chosen[:, 0])


@op("mn, m -> m", "k", in1="int32")
def listed_matches(match: Array, p: Array, label: Array, *, k: float) -> None:
    """match[m] = 1 where one of the row's first k values is the label, else 0"""
    match[...] = np.any(p[:, : int(k)] == label[:, None], axis=1)
