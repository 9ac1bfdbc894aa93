"""Losses of predictions p[m,n] against targets t[m,n], one value a row. Sums over n use the tree of ops/softmax.py.

The cross-entropies here take probabilities, clip them to [EPSILON, 1 - EPSILON] and have no gradient where they clip;
models that end in softmax or sigmoid use the exact forms of ops/softmax.py instead. NaN in a row makes its loss and
the gradient that it reaches NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore.ops.base import Call, Emit, Gradients, gradient, op

Array = np.ndarray[Any, Any]

EPSILON = 1e-7
"""Keras's ``backend.epsilon()``: how far probabilities are kept from 0 and 1 before a logarithm."""


def _clip(p: Array) -> tuple[Array, Array]:
    """p clipped into [EPSILON, 1 - EPSILON], and where it was outside."""
    low, high = p.dtype.type(EPSILON), p.dtype.type(1) - p.dtype.type(EPSILON)
    return np.clip(p, low, high), (p < low) | (p > high)


@op("mn, mn -> m")
def mean_squared_error(loss: Array, p: Array, t: Array) -> None:
    """loss[m] = mean_n (p - t)²"""
    np.mean((p - t) ** 2, axis=1, out=loss)


@op("mn, mn -> m")
def mean_absolute_error(loss: Array, p: Array, t: Array) -> None:
    """loss[m] = mean_n |p - t|"""
    np.mean(np.abs(p - t), axis=1, out=loss)


@op("mn, mn -> m")
def binary_cross_entropy(loss: Array, p: Array, t: Array) -> None:
    """loss[m] = -mean_n (t log q + (1 - t) log(1 - q)), q = p clipped"""
    q, _ = _clip(p)
    np.mean(-(t * np.log(q) + (1 - t) * np.log(1 - q)), axis=1, out=loss)


@op("mn, mn -> m")
def cross_entropy(loss: Array, p: Array, t: Array) -> None:
    """loss[m] = -sum_n t log q, q = p / sum_n p, clipped"""
    q, _ = _clip(p / np.sum(p, axis=1, keepdims=True))
    np.sum(-(t * np.log(q)), axis=1, out=loss)


@op("mn, m -> m", in1="int32")
def sparse_cross_entropy(loss: Array, p: Array, label: Array) -> None:
    """loss[m] = -log q[label[m]], q = p / sum_n p, clipped; 0 <= label < n"""
    q, _ = _clip(p / np.sum(p, axis=1, keepdims=True))
    loss[...] = -np.log(np.take_along_axis(q, label[:, None], axis=1)[:, 0])


@op("mn, mn, m -> mn")
def mean_squared_error_grad(dp: Array, p: Array, t: Array, dloss: Array) -> None:
    """dp = (p - t) (2 dloss / n); dp may be p"""
    np.multiply(p - t, (2 * dloss / p.shape[1])[:, None], out=dp)


@op("mn, mn, m -> mn")
def mean_absolute_error_grad(dp: Array, p: Array, t: Array, dloss: Array) -> None:
    """dp = sign(p - t) (dloss / n), with sign(0) = 0; dp may be p"""
    np.multiply(np.sign(p - t), (dloss / p.shape[1])[:, None], out=dp)


@op("mn, mn, m -> mn")
def binary_cross_entropy_grad(dp: Array, p: Array, t: Array, dloss: Array) -> None:
    """dp = (q - t) / (q (1 - q)) (dloss / n) where p was not clipped, else 0; dp may be p"""
    q, outside = _clip(p)
    np.multiply(np.where(outside, 0, (q - t) / (q * (1 - q))), (dloss / p.shape[1])[:, None], out=dp)


@op("mn, mn, m -> mn")
def cross_entropy_grad(dp: Array, p: Array, t: Array, dloss: Array) -> None:
    """dq = -t / q where q was not clipped, else 0; dp = (dq - sum_n dq q) / sum_n p dloss; dp may be p"""
    total = np.sum(p, axis=1, keepdims=True)
    q, outside = _clip(p / total)
    dq = np.where(outside, 0, -t / q)
    dp[...] = (dq - np.sum(dq * q, axis=1, keepdims=True)) / total * dloss[:, None]


@op("mn, m, m -> mn", in1="int32")
def sparse_cross_entropy_grad(dp: Array, p: Array, label: Array, dloss: Array) -> None:
    """dp = (dq onehot(label) - dq q) / sum_n p dloss; q is q[label], dq = -1 / q where it was not clipped, else 0

    dp may be p.
    """
    total = np.sum(p, axis=1, keepdims=True)
    q, outside = _clip(np.take_along_axis(p, label[:, None], axis=1) / total)
    dq = np.where(outside, 0, -1 / q)
    dp[...] = -(dq * q) / total * dloss[:, None]
    np.put_along_axis(dp, label[:, None], (dq - dq * q) / total * dloss[:, None], axis=1)


def _through_loss(name: str) -> None:
    """Register ``name``_grad as the gradient of the loss ``name`` in its predictions; targets get none."""

    @gradient(name)
    def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
        return *emit(f"{name}_grad", *call.inputs, d_outputs[0]), None


for _name in (
    "mean_squared_error",
    "mean_absolute_error",
    "binary_cross_entropy",
    "cross_entropy",
    "sparse_cross_entropy",
):
    _through_loss(_name)


@op("m?, m -> m")
def loss_scale(dloss: Array, weight: Array | None, loss: Array) -> None:
    """dloss[m] = weight[m] / m, or 1 / m without weights: the gradient of the batch's loss in each row's loss"""
    np.divide(1 if weight is None else weight, loss.shape[0], out=dloss)


@op("m, mn -> mn")
def spread(y: Array, weight: Array, like: Array) -> None:
    """y[m,n] = weight[m]: a weight per sample becomes one per value; only the shape of ``like`` is used"""
    y[...] = weight[:, None]
