"""Losses of classes: p[m,n] against targets t[m,n] or a label a row, one value a row, and their gradients in p.

The cross-entropies here take probabilities, clip them to [EPSILON, 1 - EPSILON] and have no gradient where they clip;
models that end in softmax or sigmoid use the exact forms of ops/softmax.py instead. See ops/losses.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore.ops.base import op
from nncore.ops.losses import clip, through_losses, where_positive

Array = np.ndarray[Any, Any]


@op("mn, mn -> m")
def binary_cross_entropy(loss: Array, p: Array, t: Array) -> None:
    """loss[m] = -mean_n (t log q + (1 - t) log(1 - q)), q = p clipped"""
    q, _ = clip(p)
    np.mean(-(t * np.log(q) + (1 - t) * np.log(1 - q)), axis=1, out=loss)


@op("mn, mn, m -> mn")
def binary_cross_entropy_grad(dp: Array, p: Array, t: Array, dloss: Array) -> None:
    """dp = (q - t) / (q (1 - q)) (dloss / n) where p was not clipped, else 0; dp may be p"""
    q, outside = clip(p)
    np.multiply(np.where(outside, 0, (q - t) / (q * (1 - q))), (dloss / p.shape[1])[:, None], out=dp)


@op("mn, mn -> m")
def cross_entropy(loss: Array, p: Array, t: Array) -> None:
    """loss[m] = -sum_n t log q, q = p / sum_n p, clipped"""
    q, _ = clip(p / np.sum(p, axis=1, keepdims=True))
    np.sum(-(t * np.log(q)), axis=1, out=loss)


@op("mn, mn, m -> mn")
def cross_entropy_grad(dp: Array, p: Array, t: Array, dloss: Array) -> None:
    """dq = -t / q where q was not clipped, else 0; dp = (dq - sum_n dq q) / sum_n p dloss; dp may be p"""
    total = np.sum(p, axis=1, keepdims=True)
    q, outside = clip(p / total)
    dq = np.where(outside, 0, -t / q)
    dp[...] = (dq - np.sum(dq * q, axis=1, keepdims=True)) / total * dloss[:, None]


@op("mn, m -> m", in1="int32")
def sparse_cross_entropy(loss: Array, p: Array, label: Array) -> None:
    """loss[m] = -log q[label[m]], q = p / sum_n p, clipped; 0 <= label < n"""
    q, _ = clip(p / np.sum(p, axis=1, keepdims=True))
    loss[...] = -np.log(np.take_along_axis(q, label[:, None], axis=1)[:, 0])


@op("mn, m, m -> mn", in1="int32")
def sparse_cross_entropy_grad(dp: Array, p: Array, label: Array, dloss: Array) -> None:
    """dp = (dq onehot(label) - dq q) / sum_n p dloss; q is q[label], dq = -1 / q where it was not clipped, else 0

    dp may be p.
    """
    total = np.sum(p, axis=1, keepdims=True)
    q, outside = clip(np.take_along_axis(p, label[:, None], axis=1) / total)
    dq = np.where(outside, 0, -1 / q)
    dp[...] = -(dq * q) / total * dloss[:, None]
    np.put_along_axis(dp, label[:, None], (dq - dq * q) / total * dloss[:, None], axis=1)


def _power_slope(x: Array, gamma: float) -> Array:
    """The derivative of x^gamma"""
    slope: Array = gamma * np.power(x, gamma - 1) if gamma else np.zeros_like(x)
    return slope


def _misses(p: Array, t: Array) -> Array:
    """How far p is from its target: max(1 - (t p + (1 - t)(1 - p)), 0)"""
    misses: Array = np.maximum(1 - (t * p + (1 - t) * (1 - p)), 0)
    return misses


@op("mn, mn -> m", "gamma", "one", "zero")
def binary_focal_cross_entropy(
    loss: Array, p: Array, t: Array, *, gamma: float, one: float, zero: float
) -> None:  # fmt: skip
    """loss[m] = mean_n w x^gamma c: w = t one + (1 - t) zero, x = max(1 - (t p + (1 - t)(1 - p)), 0), c as in
    binary_cross_entropy"""
    q, _ = clip(p)
    cost = -(t * np.log(q) + (1 - t) * np.log(1 - q))
    np.mean((t * one + (1 - t) * zero) * (np.power(_misses(p, t), gamma) * cost), axis=1, out=loss)


@op("mn, mn, m -> mn", "gamma", "one", "zero")
def binary_focal_cross_entropy_grad(
    dp: Array, p: Array, t: Array, dloss: Array, *, gamma: float, one: float, zero: float
) -> None:
    """dp = w (x^gamma dc + (1 - 2 t) gamma x^(gamma - 1) c) (dloss / n), dc as in binary_cross_entropy_grad

    dp may be p.
    """
    q, outside = clip(p)
    cost, x = -(t * np.log(q) + (1 - t) * np.log(1 - q)), _misses(p, t)
    d_cost = np.where(outside, 0, (q - t) / (q * (1 - q)))
    slope = np.power(x, gamma) * d_cost + (1 - 2 * t) * (_power_slope(x, gamma) * cost)
    np.multiply((t * one + (1 - t) * zero) * slope, (dloss / p.shape[1])[:, None], out=dp)


@op("mn, mn -> m", "gamma", "alpha")
def focal_cross_entropy(loss: Array, p: Array, t: Array, *, gamma: float, alpha: float) -> None:
    """loss[m] = -sum_n alpha (1 - q)^gamma t log q, q = p / sum_n p, clipped"""
    q, _ = clip(p / np.sum(p, axis=1, keepdims=True))
    np.sum(alpha * np.power(1 - q, gamma) * -(t * np.log(q)), axis=1, out=loss)


@op("mn, mn, m -> mn", "gamma", "alpha")
def focal_cross_entropy_grad(dp: Array, p: Array, t: Array, dloss: Array, *, gamma: float, alpha: float) -> None:
    """dq = alpha t (gamma (1 - q)^(gamma - 1) log q - (1 - q)^gamma / q) where q was not clipped, else 0;
    dp = (dq - sum_n dq q) / sum_n p dloss; dp may be p"""
    total = np.sum(p, axis=1, keepdims=True)
    q, outside = clip(p / total)
    slope = _power_slope(1 - q, gamma) * np.log(q) - np.power(1 - q, gamma) / q
    dq = np.where(outside, 0, alpha * t * slope)
    dp[...] = (dq - np.sum(dq * q, axis=1, keepdims=True)) / total * dloss[:, None]


def _at_label(p: Array, label: Array) -> Array:
    """p of each row's label; NaN below 0, which has no power"""
    chosen = np.take_along_axis(p, label[:, None], axis=1)
    return np.where(chosen < 0, np.nan, chosen)


@op("mn, m -> m", "q", in1="int32")
def generalized_cross_entropy(loss: Array, p: Array, label: Array, *, q: float) -> None:
    """loss[m] = (1 - p[label[m]]^q) / q; 0 <= label < n"""
    loss[...] = (1 - np.power(_at_label(p, label)[:, 0], q)) / q


@op("mn, m, m -> mn", "q", in1="int32")
def generalized_cross_entropy_grad(dp: Array, p: Array, label: Array, dloss: Array, *, q: float) -> None:
    """dp = -p^(q - 1) dloss at the label, else 0; dp may be p"""
    slope = -np.power(_at_label(p, label), q - 1) * dloss[:, None]
    dp[...] = 0
    np.put_along_axis(dp, label[:, None], slope, axis=1)


@op("mn, mn -> m")
def kl_divergence(loss: Array, p: Array, t: Array) -> None:
    """loss[m] = sum_n u log(u / q), u and q are t and p clipped to [EPSILON, 1]"""
    (u, _), (q, _) = clip(t, 1), clip(p, 1)
    np.sum(u * np.log(u / q), axis=1, out=loss)


@op("mn, mn, m -> mn")
def kl_divergence_grad(dp: Array, p: Array, t: Array, dloss: Array) -> None:
    """dp = -u / q dloss where p was not clipped, else 0; dp may be p"""
    (u, _), (q, outside) = clip(t, 1), clip(p, 1)
    np.multiply(np.where(outside, 0, -(u / q)), dloss[:, None], out=dp)


@op("mn, mn -> m")
def hinge(loss: Array, p: Array, t: Array) -> None:
    """loss[m] = mean_n max(1 - t p, 0)"""
    np.mean(np.maximum(1 - t * p, 0), axis=1, out=loss)


@op("mn, mn, m -> mn")
def hinge_grad(dp: Array, p: Array, t: Array, dloss: Array) -> None:
    """dp = -t (dloss / n) where t p < 1, else 0; dp may be p"""
    np.multiply(where_positive(1 - t * p, -t), (dloss / p.shape[1])[:, None], out=dp)


@op("mn, mn -> m")
def squared_hinge(loss: Array, p: Array, t: Array) -> None:
    """loss[m] = mean_n max(1 - t p, 0)²"""
    np.mean(np.maximum(1 - t * p, 0) ** 2, axis=1, out=loss)


@op("mn, mn, m -> mn")
def squared_hinge_grad(dp: Array, p: Array, t: Array, dloss: Array) -> None:
    """dp = -t max(1 - t p, 0) (2 dloss / n); dp may be p"""
    np.multiply(-t * np.maximum(1 - t * p, 0), (2 * dloss / p.shape[1])[:, None], out=dp)


def _margin(p: Array, t: Array) -> tuple[Array, Array]:
    """max_n (1 - t) p - sum_n t p + 1, and the share of each place in the maximum: equals share it evenly."""
    wrong = (1 - t) * p
    top = np.max(wrong, axis=1, keepdims=True)
    largest = (wrong == top).astype(p.dtype)
    share = largest / np.sum(largest, axis=1, keepdims=True)
    return top - np.sum(t * p, axis=1, keepdims=True) + 1, share


@op("mn, mn -> m")
def categorical_hinge(loss: Array, p: Array, t: Array) -> None:
    """loss[m] = max(max_n (1 - t) p - sum_n t p + 1, 0)"""
    np.maximum(_margin(p, t)[0][:, 0], 0, out=loss)


@op("mn, mn, m -> mn")
def categorical_hinge_grad(dp: Array, p: Array, t: Array, dloss: Array) -> None:
    """dp = ((1 - t) share - t) dloss where the loss is above 0, else 0; dp may be p

    share is 1 / k at the k places of max_n (1 - t) p, else 0.
    """
    margin, share = _margin(p, t)
    np.multiply(where_positive(margin, (1 - t) * share - t), dloss[:, None], out=dp)


through_losses(
    "binary_cross_entropy", "cross_entropy", "sparse_cross_entropy", "binary_focal_cross_entropy",
    "focal_cross_entropy", "generalized_cross_entropy", "kl_divergence", "hinge", "squared_hinge", "categorical_hinge",
)  # fmt: skip
