"""Elementwise activations. Every body and kernel may write its output over any one of its inputs.

NaN stays NaN everywhere, except that a gradient is 0 where its mask says so. Limits at ±inf are exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore.ops.base import Call, Emit, Gradients, gradient, op

Array = np.ndarray[Any, Any]


@op("m -> m")
def relu(y: Array, x: Array) -> None:
    """y = max(x, 0); NaN stays NaN, -0.0 stays -0.0"""
    y[...] = np.where(x < 0, 0, x)


@gradient("relu")
def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
    return emit("relu_grad", d_outputs[0], call.outputs[0])


@op("m, m -> m")
def relu_grad(dx: Array, dy: Array, y: Array) -> None:
    """dx = dy where y > 0, else 0; y is the output of relu"""
    positive = y > 0
    dx[...] = np.where(positive, dy, 0)


@op("m -> m", "negative_slope", "max_value", "threshold")
def general_relu(y: Array, x: Array, *, negative_slope: float, max_value: float, threshold: float) -> None:
    """y = min(x, max_value) where x > threshold, else negative_slope (x - threshold); NaN stays NaN.

    ``max_value`` is inf where there is none. With a ``negative_slope`` of 0, y is 0 below the threshold, also at -inf.
    """
    below = negative_slope * (x - threshold) if negative_slope else 0
    y[...] = np.where(x <= threshold, below, np.minimum(x, max_value))


@gradient("general_relu")
def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
    return emit("general_relu_grad", d_outputs[0], call.inputs[0], **call.attributes)


@op("m, m -> m", "negative_slope", "max_value", "threshold")
def general_relu_grad(
    dx: Array, dy: Array, x: Array, *, negative_slope: float, max_value: float, threshold: float
) -> None:
    """dx = dy where threshold < x < max_value, negative_slope dy where x <= threshold, else 0"""
    slope = np.where(x > threshold, np.where(x < max_value, 1, 0), negative_slope).astype(x.dtype)
    np.multiply(dy, slope, out=dx)


@op("m -> m")
def tanh(y: Array, x: Array) -> None:
    """y = tanh(x); ±1 at ±inf, -0.0 at -0.0"""
    np.tanh(x, out=y)


@gradient("tanh")
def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
    return emit("tanh_grad", d_outputs[0], call.outputs[0])


@op("m, m -> m")
def tanh_grad(dx: Array, dy: Array, y: Array) -> None:
    """dx = dy (1 - y²); y is the output of tanh"""
    np.multiply(dy, 1 - y * y, out=dx)


@op("m -> m")
def sigmoid(y: Array, x: Array) -> None:
    """y = 1 / (1 + exp(-x)), by exp(-|x|) so that nothing overflows; 0 at -inf, 1 at inf"""
    e = np.exp(-np.abs(x))
    np.divide(np.where(x < 0, e, 1), 1 + e, out=y)


@gradient("sigmoid")
def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
    return emit("sigmoid_grad", d_outputs[0], call.outputs[0])


@op("m, m -> m")
def sigmoid_grad(dx: Array, dy: Array, y: Array) -> None:
    """dx = dy (y (1 - y)); y is the output of sigmoid"""
    np.multiply(dy, y * (1 - y), out=dx)


@op("m -> m", "scale", "offset")
def scale_shift(y: Array, x: Array, *, scale: float, offset: float) -> None:
    """y = x scale + offset"""
    np.multiply(x, scale, out=y)
    y += offset


@gradient("scale_shift")
def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
    return emit("scale_shift", d_outputs[0], scale=call.attributes["scale"], offset=0.0)


@op("m, m -> m")
def add(y: Array, a: Array, b: Array) -> None:
    """y = a + b"""
    np.add(a, b, out=y)


@gradient("add")
def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
    return d_outputs[0], d_outputs[0]


@op("m, m -> m")
def multiply(y: Array, a: Array, b: Array) -> None:
    """y = a b"""
    np.multiply(a, b, out=y)


@gradient("multiply")
def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
    a, b = call.inputs
    da = emit("multiply", d_outputs[0], b)[0] if call.wanted[0] else None
    db = emit("multiply", d_outputs[0], a)[0] if call.wanted[1] else None
    return da, db
