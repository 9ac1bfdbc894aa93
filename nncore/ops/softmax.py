"""Softmax over the last axis, and the cross-entropies that are computed from logits.

Sums over a row use one fixed tree in the compiled kernels: 16 partial sums, element j going to sum j mod 16 in order,
then sums i and i + 8, i + 4, i + 2, i + 1 pairwise. A row's bits do not depend on the vector width.

Rows have at least one element. A logit of -inf has the probability 0; a row with NaN or +inf, or of -inf only, becomes
NaN altogether. Rows do not touch one another.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore.ops.base import Call, Emit, Gradients, gradient, op
from nncore.ops.losses import loss_scale
from nncore.ops.metrics import categorical_matches, sparse_matches

Array = np.ndarray[Any, Any]


def _log_sum_exp(z: Array) -> tuple[Array, Array, Array]:
    """exp(z - max), its row sums and z - max, for rows z[m,n]."""
    shifted = z - np.max(z, axis=1, keepdims=True)
    e = np.exp(shifted)
    return e, np.sum(e, axis=1, keepdims=True), shifted


@op("mn -> mn")
def softmax(p: Array, z: Array) -> None:
    """p = exp(z - max z) / sum exp(z - max z); p may be z"""
    e, total, _ = _log_sum_exp(z)
    np.divide(e, total, out=p)


@gradient("softmax")
def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
    return emit("softmax_grad", d_outputs[0], call.outputs[0])


@op("mn, mn -> mn")
def softmax_grad(dz: Array, dp: Array, p: Array) -> None:
    """dz = p (dp - sum_n dp p); dz may be dp"""
    np.multiply(p, dp - np.sum(dp * p, axis=1, keepdims=True), out=dz)


@op("mn, mn -> mn, m")
def softmax_cross_entropy(p: Array, loss: Array, z: Array, t: Array) -> None:
    """p = softmax(z); loss[m] = log(sum exp(z - max z)) sum_n t - sum_n t (z - max z); p may be z.

    Exact for any logits. Where t is 0 the term of the last sum is 0, also for z = -inf.
    """
    e, total, shifted = _log_sum_exp(z)
    products = np.multiply(t, shifted, out=np.zeros_like(shifted), where=t != 0)
    np.subtract(np.log(total[:, 0]) * np.sum(t, axis=1), np.sum(products, axis=1), out=loss)
    np.divide(e, total, out=p)


@gradient("softmax_cross_entropy")
def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
    if d_outputs[0] is not None:
        raise ValueError("softmax_cross_entropy: the gradient flows through the loss only, not through p.")
    return *emit("softmax_cross_entropy_grad", call.outputs[0], call.inputs[1], d_outputs[1]), None


@op("mn, mn, m -> mn")
def softmax_cross_entropy_grad(dz: Array, p: Array, t: Array, dloss: Array) -> None:
    """dz = (p sum_n t - t) dloss, which is (p - t) dloss for targets that sum to 1; dz may be p"""
    np.multiply(p * np.sum(t, axis=1, keepdims=True) - t, dloss[:, None], out=dz)


@op("mn, m -> mn, m", in1="int32")
def sparse_softmax_cross_entropy(p: Array, loss: Array, z: Array, label: Array) -> None:
    """p = softmax(z); loss[m] = log sum exp(z - max z) - (z - max z)[label[m]]; 0 <= label < n; p may be z"""
    e, total, shifted = _log_sum_exp(z)
    loss[...] = np.log(total[:, 0]) - np.take_along_axis(shifted, label[:, None], axis=1)[:, 0]
    np.divide(e, total, out=p)


@gradient("sparse_softmax_cross_entropy")
def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
    if d_outputs[0] is not None:
        raise ValueError("sparse_softmax_cross_entropy: the gradient flows through the loss only, not through p.")
    return *emit("sparse_softmax_cross_entropy_grad", call.outputs[0], call.inputs[1], d_outputs[1]), None


@op("mn, m, m -> mn", in1="int32")
def sparse_softmax_cross_entropy_grad(dz: Array, p: Array, label: Array, dloss: Array) -> None:
    """dz = (p - onehot(label)) dloss; dz may be p"""
    t = np.zeros_like(p)
    np.put_along_axis(t, label[:, None], 1, axis=1)
    np.multiply(p - t, dloss[:, None], out=dz)


@op("mn, mn -> mn, m")
def sigmoid_binary_cross_entropy(p: Array, loss: Array, z: Array, t: Array) -> None:
    """p = sigmoid(z); loss[m] = mean_n (max(z, 0) - z t + log(1 + exp(-|z|))): exact for any logits; p may be z"""
    e = np.exp(-np.abs(z))
    terms = np.maximum(z, 0) - z * t + np.log1p(e)
    np.divide(np.where(z < 0, e, 1), 1 + e, out=p)
    np.mean(terms, axis=1, out=loss)


@gradient("sigmoid_binary_cross_entropy")
def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
    if d_outputs[0] is not None:
        raise ValueError("sigmoid_binary_cross_entropy: the gradient flows through the loss only, not through p.")
    return *emit("sigmoid_binary_cross_entropy_grad", call.outputs[0], call.inputs[1], d_outputs[1]), None


@op("mn, mn, m -> mn")
def sigmoid_binary_cross_entropy_grad(dz: Array, p: Array, t: Array, dloss: Array) -> None:
    """dz = (p - t) (dloss / n); dz may be p"""
    np.multiply(p - t, (dloss / p.shape[1])[:, None], out=dz)


# Fused forms, written by the compiler (nncore/compiler/fuse.py): all that a training step wants of its logits. Each is
# bit for bit its parts. p is not kept; match may be absent.


@op("mn, mn, m? -> mn, m, m?")
def softmax_cross_entropy_train(
    dz: Array, loss: Array, match: Array | None, z: Array, t: Array, weight: Array | None
) -> None:
    """p, loss = softmax_cross_entropy(z, t); match = categorical_matches(p, t); dz is its gradient; dz may be z"""
    p, dloss = np.empty_like(z), np.empty_like(loss)
    softmax_cross_entropy(p, loss, z, t)
    if match is not None:
        categorical_matches(match, p, t)
    loss_scale(dloss, weight, loss)
    softmax_cross_entropy_grad(dz, p, t, dloss)


@op("mn, m, m? -> mn, m, m?", in1="int32")
def sparse_softmax_cross_entropy_train(
    dz: Array, loss: Array, match: Array | None, z: Array, label: Array, weight: Array | None
) -> None:
    """p, loss = sparse_softmax_cross_entropy(z, label); match = sparse_matches(p, label); dz is its gradient

    dz may be z.
    """
    p, dloss = np.empty_like(z), np.empty_like(loss)
    sparse_softmax_cross_entropy(p, loss, z, label)
    if match is not None:
        sparse_matches(match, p, label)
    loss_scale(dloss, weight, loss)
    sparse_softmax_cross_entropy_grad(dz, p, label, dloss)
