"""Elementwise arithmetic. Every body and kernel may write its output over any one of its inputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore.ops.base import Call, Emit, Gradients, gradient, op

Array = np.ndarray[Any, Any]


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
