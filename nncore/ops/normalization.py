"""Normalization: of every channel over the rows of a batch, of every row over its own values, and by given factors.

``c`` channels share their ``m`` rows; a row has ``n`` values. Variances are biased: the mean of the squared deviations
from the mean that was found before them. A sum over rows takes blocks of ``ROW_BLOCK`` rows, the rows of a block in
order and then the blocks in order; a sum over a row is the tree of ``softmax`` in the compiled kernels. The statistics
of no rows at all are NaN, and NaN or ±inf spoil their own channel or row and no other.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from nncore.ops.base import Call, Emit, Gradients, gradient, op

Array = np.ndarray[Any, Any]

ROW_BLOCK = 256
"""Rows that are added up one after the other, so that the error of a sum does not grow with all of them."""

UNIT_LIMIT = 1e12
"""The largest factor of ``unit_norm``."""


def _sum_rows(terms: Array) -> Array:
    """sum_m terms[m]"""
    total = np.zeros_like(terms, shape=terms.shape[1:])
    for first in range(0, len(terms), ROW_BLOCK):
        total += np.add.reduce(terms[first : first + ROW_BLOCK], axis=0)
    return total


def _mean(terms: Array) -> Array:
    """The mean of each row, as a column."""
    return cast(Array, np.sum(terms, axis=1, keepdims=True) / terms.shape[1])


def _times(x: Array, factor: Array | None) -> Array:
    """x factor; no factor is 1"""
    return x if factor is None else x * factor


def _through_y_only(name: str, d_outputs: Gradients) -> None:
    if any(d is not None for d in d_outputs[1:]):
        raise ValueError(f"{name}: the gradient flows through y only, not through the statistics.")


# Channels over the rows of a batch.


@op("mc, c?, c? -> mc, c, c", "epsilon")
def batch_norm(
    y: Array, mean: Array, variance: Array, x: Array, gamma: Array | None, beta: Array | None, *, epsilon: float
) -> None:
    """y = (x - mean) (gamma / sqrt(variance + epsilon)) + beta, by mean and variance over the rows; y may be x"""
    mean[...] = _sum_rows(x) / len(x)
    variance[...] = _sum_rows(np.square(x - mean)) / len(x)
    factor = np.empty_like(variance)
    inverse_deviation(factor, variance, gamma, epsilon=epsilon, least=0.0)
    affine(y, x, mean, factor, beta)


@gradient("batch_norm")
def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
    _through_y_only("batch_norm", d_outputs)
    x, gamma, _ = call.inputs
    _, mean, variance = call.outputs
    dgamma, dbeta = emit("batch_norm_grad_w", d_outputs[0], x, mean, variance, **call.attributes)
    dx = None
    if call.wanted[0]:
        (dx,) = emit("batch_norm_grad_x", d_outputs[0], x, gamma, mean, variance, dgamma, dbeta, **call.attributes)
    return dx, dgamma if call.wanted[1] else None, dbeta if call.wanted[2] else None


@op("mc, mc, c, c -> c, c", "epsilon")
def batch_norm_grad_w(
    dgamma: Array, dbeta: Array, dy: Array, x: Array, mean: Array, variance: Array, *, epsilon: float
) -> None:
    """dgamma = (sum_m dy (x - mean)) / sqrt(variance + epsilon); dbeta = sum_m dy"""
    dgamma[...] = _sum_rows(dy * (x - mean)) / np.sqrt(variance + epsilon)
    dbeta[...] = _sum_rows(dy)


@op("mc, mc, c?, c, c, c, c -> mc", "epsilon")
def batch_norm_grad_x(
    dx: Array, dy: Array, x: Array, gamma: Array | None, mean: Array, variance: Array, dgamma: Array, dbeta: Array,
    *, epsilon: float,
) -> None:  # fmt: skip
    """dx = gamma / s (dy - dbeta / m - (x - mean) (dgamma / m / s)), s = sqrt(variance + epsilon); dx may be dy or x"""
    s, m = np.sqrt(variance + epsilon), len(x)
    factor = (1 if gamma is None else gamma) / s
    dx[...] = ((dy - dbeta / m) - (x - mean) * (dgamma / m / s)) * factor


@op("c, c -> c", "momentum")
def moving_average(average: Array, average_in: Array, value: Array, *, momentum: float) -> None:
    """average = average momentum + value (1 - momentum); average_in is average"""
    real = average.dtype.type
    average *= real(momentum)
    average += value * real(1 - momentum)


# By given factors, one a column.


@op("n, n? -> n", "epsilon", "least")
def inverse_deviation(
    factor: Array, variance: Array, gamma: Array | None, *, epsilon: float, least: float
) -> None:  # fmt: skip
    """factor = gamma / max(sqrt(variance + epsilon), least); no gamma is 1"""
    floor = factor.dtype.type(least)
    np.divide(1 if gamma is None else gamma, np.maximum(np.sqrt(variance + epsilon), floor), out=factor)


@gradient("inverse_deviation")
def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
    variance, _ = call.inputs
    if call.wanted[0]:
        raise ValueError("inverse_deviation: there is no gradient in variance, which follows the data.")
    return None, emit("inverse_deviation", variance, d_outputs[0], **call.attributes)[0]


@op("mn, n?, n?, n? -> mn")
def affine(y: Array, x: Array, shift: Array | None, scale: Array | None, offset: Array | None) -> None:
    """y = (x - shift) scale + offset, what is absent left out; y may be x"""
    y[...] = _times(x if shift is None else x - shift, scale)
    if offset is not None:
        y += offset


@gradient("affine")
def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
    x, shift, scale, _ = call.inputs
    (dy,) = d_outputs
    if call.wanted[1]:
        raise ValueError("affine: there is no gradient in shift; train the offset instead.")
    dx = emit("affine", dy, None, scale, None)[0] if call.wanted[0] else None
    dscale = emit("affine_grad_scale", dy, x, shift)[0] if call.wanted[2] else None
    doffset = emit("bias_grad", dy)[0] if call.wanted[3] else None
    return dx, None, dscale, doffset


@op("mn, mn, n? -> n")
def affine_grad_scale(dscale: Array, dy: Array, x: Array, shift: Array | None) -> None:
    """dscale = sum_m dy (x - shift)"""
    dscale[...] = _sum_rows(dy * (x if shift is None else x - shift))


# Rows over their own values.


@op("mn, n?, n? -> mn, m, m", "epsilon")
def layer_norm(
    y: Array, mean: Array, factor: Array, x: Array, gamma: Array | None, beta: Array | None, *, epsilon: float
) -> None:
    """y = (x - mean) factor gamma + beta; factor = 1 / sqrt(variance + epsilon), by mean and variance of the row"""
    center = _mean(x)
    apart = x - center
    inverse = 1 / np.sqrt(_mean(np.square(apart)) + epsilon)
    mean[...], factor[...] = center[:, 0], inverse[:, 0]
    affine(y, apart * inverse, None, gamma, beta)


@gradient("layer_norm")
def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
    _through_y_only("layer_norm", d_outputs)
    x, gamma, _ = call.inputs
    _, mean, factor = call.outputs
    (dy, *_) = d_outputs
    dx = emit("layer_norm_grad_x", dy, x, gamma, mean, factor)[0] if call.wanted[0] else None
    dgamma = emit("row_norm_grad_w", dy, x, mean, factor)[0] if call.wanted[1] else None
    dbeta = emit("bias_grad", dy)[0] if call.wanted[2] else None
    return dx, dgamma, dbeta


@op("mn, mn, n?, m, m -> mn")
def layer_norm_grad_x(dx: Array, dy: Array, x: Array, gamma: Array | None, mean: Array, factor: Array) -> None:
    """dx = factor (g - mean_n g - h mean_n(g h)) with g = dy gamma and h = (x - mean) factor; dx may be dy or x"""
    g, h = _times(dy, gamma), (x - mean[:, None]) * factor[:, None]
    np.multiply((g - _mean(g)) - h * _mean(g * h), factor[:, None], out=dx)


@op("mn, n -> mn, m", "epsilon")
def rms_norm(y: Array, factor: Array, x: Array, gamma: Array, *, epsilon: float) -> None:
    """y = x factor gamma; factor = 1 / sqrt(mean_n x² + epsilon)"""
    inverse = 1 / np.sqrt(_mean(np.square(x)) + epsilon)
    factor[...] = inverse[:, 0]
    np.multiply(x * inverse, gamma, out=y)


@gradient("rms_norm")
def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
    _through_y_only("rms_norm", d_outputs)
    x, gamma = call.inputs
    _, factor = call.outputs
    dx = emit("rms_norm_grad_x", d_outputs[0], x, gamma, factor)[0] if call.wanted[0] else None
    dgamma = emit("row_norm_grad_w", d_outputs[0], x, None, factor)[0] if call.wanted[1] else None
    return dx, dgamma


@op("mn, mn, n, m -> mn")
def rms_norm_grad_x(dx: Array, dy: Array, x: Array, gamma: Array, factor: Array) -> None:
    """dx = factor (g - h mean_n(g h)) with g = dy gamma and h = x factor; dx may be dy or x"""
    g, h = dy * gamma, x * factor[:, None]
    np.multiply(g - h * _mean(g * h), factor[:, None], out=dx)


@op("mn, mn, m?, m -> n")
def row_norm_grad_w(dgamma: Array, dy: Array, x: Array, mean: Array | None, factor: Array) -> None:
    """dgamma = sum_m dy ((x - mean) factor); no mean is 0"""
    apart = x if mean is None else x - mean[:, None]
    dgamma[...] = _sum_rows(dy * (apart * factor[:, None]))


@op("mn -> mn, m")
def unit_norm(y: Array, factor: Array, x: Array) -> None:
    """y = x factor; factor = min(1 / sqrt(sum_n x²), UNIT_LIMIT); a row of zeros stays zero"""
    with np.errstate(divide="ignore"):
        inverse = 1 / np.sqrt(np.sum(np.square(x), axis=1))
    np.minimum(inverse, x.dtype.type(UNIT_LIMIT), out=factor)
    np.multiply(x, factor[:, None], out=y)


@gradient("unit_norm")
def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
    _through_y_only("unit_norm", d_outputs)
    return emit("unit_norm_grad", d_outputs[0], *call.outputs)


@op("mn, mn, m -> mn")
def unit_norm_grad(dx: Array, dy: Array, y: Array, factor: Array) -> None:
    """dx = factor (dy - y sum_n(dy y)), and factor dy where factor is UNIT_LIMIT; dx may be dy or y"""
    along = np.sum(dy * y, axis=1, keepdims=True)
    limited = factor[:, None] == factor.dtype.type(UNIT_LIMIT)
    np.multiply(dy - np.where(limited, 0, y * along), factor[:, None], out=dx)
