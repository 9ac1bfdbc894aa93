"""Activations of the values along an axis, and those with a weight a column.

Sums over a row are those of the softmax (see there). What makes a row NaN altogether is the same too: NaN, +inf, or
nothing but -inf. Rows do not touch one another.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore.ops.activations import sigmoid_and_slope, weigh
from nncore.ops.base import Call, Emit, Gradients, gradient, op

Array = np.ndarray[Any, Any]


@op("mn -> mn")
def log_softmax(y: Array, z: Array) -> None:
    """y = z - max z - log(sum exp(z - max z)); y may be z"""
    shifted = z - np.max(z, axis=1, keepdims=True)
    np.subtract(shifted, np.log(np.sum(np.exp(shifted), axis=1, keepdims=True)), out=y)


@gradient("log_softmax")
def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
    return emit("log_softmax_grad", d_outputs[0], call.outputs[0])


@op("mn, mn -> mn")
def log_softmax_grad(dz: Array, dy: Array, y: Array) -> None:
    """dz = dy - exp(y) sum_n dy; y is the output of log_softmax; dz may be dy or y"""
    np.subtract(dy, np.exp(y) * np.sum(dy, axis=1, keepdims=True), out=dz)


@op("mn -> mn")
def sparsemax(p: Array, z: Array) -> None:
    """p = max(z - t, 0), t such that sum_n p = 1: the distribution nearest to z (Martins and Astudillo 2016).

    By sorting: the k largest are those with 1 + k z_k > z_1 + … + z_k, and t is their sum less 1, over k. The kernel
    finds t by Newton's method on that equation. p may be z.
    """
    shifted = z - np.max(z, axis=1, keepdims=True)
    largest = -np.sort(-shifted, axis=1)
    sums = np.cumsum(largest, axis=1)
    k = np.sum(1 + np.arange(1, z.shape[1] + 1, dtype=z.dtype) * largest > sums, axis=1, keepdims=True)
    t = (np.take_along_axis(sums, k - 1, axis=1) - 1) / k.astype(z.dtype)
    np.maximum(shifted - t, 0, out=p)
    p[np.isnan(shifted).any(axis=1)] = np.nan


@gradient("sparsemax")
def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
    return emit("sparsemax_grad", d_outputs[0], call.outputs[0])


@op("mn, mn -> mn")
def sparsemax_grad(dz: Array, dp: Array, p: Array) -> None:
    """dz = dp less its mean over the elements with p > 0, there, else 0; dz may be dp or p"""
    support = p > 0
    mean = np.sum(np.where(support, dp, 0), axis=1, keepdims=True) / np.sum(
        support, axis=1, keepdims=True, dtype=p.dtype
    )
    dz[...] = np.where(support, dp - mean, 0)


@op("mch -> mh")
def glu(y: Array, x: Array) -> None:
    """y[m,h] = x[m,0,h] sigmoid(x[m,1,h]); c is 2 (Dauphin et al. 2017)"""
    np.multiply(x[:, 0], sigmoid_and_slope(x[:, 1])[0], out=y)


@gradient("glu")
def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
    return emit("glu_grad", d_outputs[0], call.inputs[0])


@op("mh, mch -> mch")
def glu_grad(dx: Array, dy: Array, x: Array) -> None:
    """dx[m,0,h] = dy sigmoid(x[m,1,h]), dx[m,1,h] = dy x[m,0,h] sigmoid'(x[m,1,h])"""
    share, slope = sigmoid_and_slope(x[:, 1])
    dx[:, 1] = dy * (x[:, 0] * slope)
    dx[:, 0] = dy * share


@op("mn, n -> mn")
def prelu(y: Array, x: Array, alpha: Array) -> None:
    """y = x where x > 0, else alpha x, 0 where alpha is 0; y may be x (He et al. 2015)"""
    y[...] = np.where(x > 0, x, weigh(alpha, x))


@gradient("prelu")
def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
    x, alpha = call.inputs
    (dy,) = d_outputs
    dx = emit("prelu_grad", dy, x, alpha)[0] if call.wanted[0] else None
    if not call.wanted[1]:
        return dx, None
    (below,) = emit("general_relu", x, negative_slope=1.0, max_value=0.0, threshold=0.0)  # min(x, 0)
    return dx, emit("bias_grad", emit("multiply", dy, below)[0])[0]


@op("mn, mn, n -> mn")
def prelu_grad(dx: Array, dy: Array, x: Array, alpha: Array) -> None:
    """dx = dy where x > 0, alpha dy where x < 0, else 0; dx may be dy or x"""
    np.multiply(dy, np.where(x > 0, 1, np.where(x < 0, alpha, 0)).astype(x.dtype), out=dx)
