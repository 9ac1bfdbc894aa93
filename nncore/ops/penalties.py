"""Penalties that are added to the loss, and limits that weights are held in after each update.

A penalty is one number for all values, summed in float64 of sums of 1024 values each; one share computes it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore.ops.base import Call, Emit, Gradients, gradient, op

Array = np.ndarray[Any, Any]

NORM_EPSILON = 1e-7
"""Added to a norm before a division by it."""


@op("m -> ()", "l1", "l2")
def penalty(penalty: Array, x: Array, *, l1: float, l2: float) -> None:
    """penalty = l1 sum_m |x| + l2 sum_m x²; a part whose factor is 0 is left out"""
    real = x.dtype.type
    total = real(0)
    if l1:
        total += real(l1) * real(np.sum(np.abs(x), dtype=np.float64))
    if l2:
        total += real(l2) * real(np.sum(np.square(x), dtype=np.float64))
    penalty[...] = total


@gradient("penalty")
def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
    return emit("penalty_grad", d_outputs[0], call.inputs[0], **call.attributes)


@op("(), m -> m", "l1", "l2")
def penalty_grad(dx: Array, d: Array, x: Array, *, l1: float, l2: float) -> None:
    """dx = d l1 sign(x) + d 2 l2 x, with sign(0) = 0; a part whose factor is 0 is left out; dx may be x"""
    real = x.dtype.type
    straight = d * real(l1) * np.sign(x) if l1 else real(0)
    np.add(straight, d * real(2 * l2) * x if l2 else real(0), out=dx)


@op("(), mn -> ()")
def per_sample(y: Array, penalty: Array, x: Array) -> None:
    """y = penalty / m, 0 where m is 0: the penalty of a batch of m outputs; only the shape of x is used"""
    y[...] = penalty / len(x) if len(x) else 0


@gradient("per_sample")
def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
    return emit("per_sample", d_outputs[0], call.inputs[1])[0], None


@op("-> ()", "value")
def constant(y: Array, *, value: float) -> None:
    """y = value"""
    y[...] = value


@op("m, () -> ()", out0="float64")
def add_penalty(total: Array, loss: Array, penalty: Array) -> None:
    """total += m penalty: what it adds to the sum of m losses, so that their mean grows by it"""
    total += len(loss) * np.float64(penalty)


@op("kn -> kn")
def off_diagonal(y: Array, x: Array) -> None:
    """y[k,n] = x[k,n], 0 where k = n; y may be x"""
    np.copyto(y, x)
    np.fill_diagonal(y, 0)


@gradient("off_diagonal")
def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
    return emit("off_diagonal", d_outputs[0])


@op("mbc -> mbc", "least", "most", "rate")
def limit_norm(w: Array, w_in: Array, *, least: float, most: float, rate: float) -> None:
    """w = w_in (goal / (NORM_EPSILON + norm)), norm[m,c] = sqrt(sum_b w²) and goal = norm moved into [least, most].

    It moves all the way where rate is 1, else to rate clipped + (1 - rate) norm. w_in is w. The squares are summed in
    the order of b, or where c is 1 as a row's 16 partial sums.
    """
    real = w.dtype.type
    norm = np.sqrt(np.sum(np.square(w), axis=1, keepdims=True))
    goal = np.clip(norm, real(least), real(most))
    if rate != 1:
        goal = real(rate) * goal + real(1 - rate) * norm
    w *= goal / (real(NORM_EPSILON) + norm)
