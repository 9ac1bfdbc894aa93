"""What losses share: how their values are clipped, weighed and averaged, and how labels and targets become theirs.

The losses themselves are in ops/regression.py, ops/classification.py and ops/overlap.py: ops of predictions p[m,n] and
targets t[m,n], one value a row. Sums over n use the tree of ops/softmax.py. Targets get no gradient. NaN in a row makes
its loss and the gradient that it reaches NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore.ops.base import Call, Emit, Gradients, gradient, op

Array = np.ndarray[Any, Any]

EPSILON = 1e-7
"""Keras's ``backend.epsilon()``: how far probabilities are kept from 0 and 1 before a logarithm."""

MEAN, SUM, WEIGHTED_MEAN = 0.0, 1.0, 2.0
"""The reductions of ``weigh_rows``."""


def clip(p: Array, high: float = 1 - EPSILON) -> tuple[Array, Array]:
    """p clipped into [EPSILON, high], and where it was outside."""
    low, top = p.dtype.type(EPSILON), p.dtype.type(high)
    return np.clip(p, low, top), (p < low) | (p > top)


def where_positive(x: Array, y: Array) -> Array:
    """y where x > 0, else 0; NaN where x is"""
    return np.where(x > 0, y, np.where(x <= 0, 0, x))


def through_losses(*names: str) -> None:
    """Register ``name``_grad as the gradient of each loss in its predictions; targets get none."""
    for name in names:
        _through_loss(name)


def _through_loss(name: str) -> None:
    @gradient(name)
    def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
        return *emit(f"{name}_grad", *call.inputs, d_outputs[0], **call.attributes), None


@op("m -> m")
def hinge_targets(y: Array, t: Array) -> None:
    """y = 2 t - 1 where all of t is 0 or 1, else t; y may be t"""
    np.copyto(y, 2 * t - 1 if np.all((t == 0) | (t == 1)) else t)


@op("m -> m, m", "ignored", in0="int32", out0="int32")
def known_labels(known: Array, mask: Array, label: Array, *, ignored: float) -> None:
    """known = 0 and mask = 0 where label is ``ignored``, else known = label and mask = 1; known may be label"""
    mask[...] = label != int(ignored)
    np.copyto(known, np.where(mask == 0, 0, label))


@op("m?, m?, m -> m", "reduction")
def weigh_rows(y: Array, weight: Array | None, mask: Array | None, rows: Array, *, reduction: float) -> None:
    """y = w f, w = weight mask (1 where absent): the weights with which the mean over the rows is their reduction

    f is m for SUM, m / sum_m w for WEIGHTED_MEAN and m / sum_m mask for MEAN, and 0 where it would be divided by 0. The
    sums are taken in float64, in row order; only the shape of ``rows`` is used.
    """
    m = rows.shape[0]
    w = np.ones_like(rows) if weight is None else weight
    w = w if mask is None else w * mask
    divisor = {SUM: np.ones(1), MEAN: np.ones(m) if mask is None else mask, WEIGHTED_MEAN: w}[reduction]
    total = np.cumsum(divisor, dtype=np.float64)[-1:].sum()  # np.sum would not add in order
    np.multiply(w, y.dtype.type(m / total if total else 0), out=y)


@op("m?, m -> m")
def loss_scale(dloss: Array, weight: Array | None, loss: Array) -> None:
    """dloss[m] = weight[m] / m, or 1 / m without weights: the gradient of the batch's loss in each row's loss"""
    np.divide(1 if weight is None else weight, loss.shape[0], out=dloss)


@op("m, mn -> mn")
def spread(y: Array, weight: Array, like: Array) -> None:
    """y[m,n] = weight[m]: a weight per sample becomes one per value; only the shape of ``like`` is used"""
    y[...] = weight[:, None]
