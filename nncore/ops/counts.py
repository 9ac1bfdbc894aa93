"""Sums over a batch that metrics keep: weights counted by thresholds and by classes, products by columns.

All totals are float64, and values are added to them one after the other, rows in order. None has a gradient.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore.ops.base import op

Array = np.ndarray[Any, Any]

NOT_KEPT = -1e10
"""What ``keep_top_k`` makes of a value that is not among the largest."""


@op(
    "mn, mn, mn?, n?, t -> ct, ct", "c", "even", "least",
    out0="float64", out1="float64", in3="float64", in4="float64",
)  # fmt: skip
def add_confusion(
    positives: Array, negatives: Array, p: Array, t: Array, weight: Array | None, column_weight: Array | None,
    thresholds: Array, *, c: float, even: float, least: float,
) -> None:  # fmt: skip
    """positives[c,i] += weight[m,n] column_weight[n] where t != 0, else negatives[c,i], for i thresholds below p

    The first t - 1 thresholds ascend, the last is not looked at. With ``even`` they are spaced evenly over [0, 1], and
    i is ceil(p (t - 2)), p limited to [0, 1], but at least ``least``. No threshold is below NaN. c is n, or 1: all
    columns count as one.
    """
    if even:
        below = np.maximum(np.ceil(np.clip(p, 0, 1) * p.dtype.type(len(thresholds) - 2)), least)
        below = np.where(np.isnan(p), 0, below).astype(np.int64)
    else:
        below = np.where(np.isnan(p), 0, np.searchsorted(thresholds[:-1].astype(p.dtype), p))
    values = np.ones_like(p) if weight is None else weight
    if column_weight is not None:
        values = values * column_weight.astype(p.dtype)
    at = below + (np.arange(p.shape[1]) * len(thresholds) if c > 1 else 0)
    for total, chosen in ((positives, t != 0), (negatives, t == 0)):
        np.add.at(total.reshape(-1), at[chosen], values[chosen].astype(np.float64))


@op("m, m, m? -> cc", "c", "ignore", "whole", out0="float64", in0="int32", in1="int32")
def add_pairs(
    total: Array, label: Array, predicted: Array, weight: Array | None, *, c: float, ignore: float, whole: float
) -> None:
    """total[label,predicted] += weight[m]; labels outside of [0, c) and the label ``ignore`` are left out

    With ``whole`` the weights are rounded towards 0.
    """
    kept = (label >= 0) & (label < c) & (predicted >= 0) & (predicted < c) & (label != ignore)
    values = np.ones(len(label)) if weight is None else weight.astype(np.float64)
    np.add.at(
        total.reshape(int(c), int(c)), (label[kept], predicted[kept]), (np.trunc(values) if whole else values)[kept]
    )


@op("mn, mn?, m? -> n", out0="float64")
def add_products(total: Array, x: Array, y: Array | None, weight: Array | None) -> None:
    """total[n] += sum_m x y weight[m], the products in float64"""
    products = x.astype(np.float64)
    if y is not None:
        products = products * y
    if weight is not None:
        products = products * weight[:, None]
    total[...] = np.cumsum(np.concatenate([total[None], products]), axis=0)[-1]


@op("mn -> m", out0="int32")
def argmax(index: Array, x: Array) -> None:
    """index[m] = where the row is largest; the first of equals wins, NaN counts as the largest"""
    index[...] = np.argmax(x, axis=1)


@op("m -> m", out0="int32")
def as_labels(label: Array, x: Array) -> None:
    """label = x rounded towards 0; -1 for NaN and what is no int32"""
    fits = (x >= -(2.0**31)) & (x < 2.0**31)
    label[...] = np.where(fits, np.trunc(np.where(fits, x, 0)), -1)


@op("mn -> m", "index")
def column(y: Array, x: Array, *, index: float) -> None:
    """y[m] = x[m,index]"""
    y[...] = x[:, int(index)]


@op("m -> m", "threshold")
def exceeds(y: Array, x: Array, *, threshold: float) -> None:
    """y = 1 where x > threshold, else 0; y may be x"""
    y[...] = x > y.dtype.type(threshold)


@op("mn -> mn")
def row_maxima(y: Array, x: Array) -> None:
    """y = 1 where x is the largest of its row and |x| > 1e-9, else 0; all 0 in a row with NaN"""
    y[...] = (x >= np.max(x, axis=1, keepdims=True)) & (np.abs(x) > x.dtype.type(1e-9))


@op("mn -> mn", "k")
def keep_top_k(y: Array, x: Array, *, k: float) -> None:
    """y = x for the k largest of a row, the first of equals first, and NOT_KEPT for all others and NaN"""
    order = np.argsort(-x, axis=1, kind="stable")[:, : int(k)]
    kept = np.zeros(x.shape, bool)
    np.put_along_axis(kept, order, True, axis=1)
    y[...] = np.where(kept & ~np.isnan(x), x, y.dtype.type(NOT_KEPT))


@op("mn, mn -> m")
def pearson(r: Array, p: Array, t: Array) -> None:
    """r[m] = mean_n (p - mean p) / std p (t - mean t) / std t; NaN where a row does not vary"""
    a, b = p - np.mean(p, axis=1, keepdims=True), t - np.mean(t, axis=1, keepdims=True)
    a, b = (v / np.sqrt(np.mean(v * v, axis=1, keepdims=True)) for v in (a, b))
    np.mean(a * b, axis=1, out=r)


@op("mn, mn -> m")
def concordance(r: Array, p: Array, t: Array) -> None:
    """r[m] = 2 mean_n (t - mean p) (p - mean p) / (var p + var t + (mean t - mean p)² + 1e-7)"""
    p_mean, t_mean = np.mean(p, axis=1, keepdims=True), np.mean(t, axis=1, keepdims=True)
    spread = np.mean((p - p_mean) ** 2, axis=1) + np.mean((t - t_mean) ** 2, axis=1) + (t_mean - p_mean)[:, 0] ** 2
    r[...] = 2 * np.mean((t - p_mean) * (p - p_mean), axis=1) / (spread + r.dtype.type(1e-7))
