"""What users' own formulas are made of: arithmetic of values, and of the rows of a batch.

Elementwise bodies and kernels may write their output over any one of their inputs. NaN stays NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore.ops.base import Call, Emit, Gradients, gradient, op

Array = np.ndarray[Any, Any]


@op("m, m -> m")
def subtract(y: Array, a: Array, b: Array) -> None:
    """y = a - b"""
    np.subtract(a, b, out=y)


@gradient("subtract")
def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
    (d,) = d_outputs
    return (d if call.wanted[0] else None), (_scaled(emit, d, -1.0) if call.wanted[1] else None)


def _scaled(emit: Emit, d: Any, scale: float) -> Any:
    """d scale"""
    return emit("scale_shift", d, scale=scale, offset=0.0)[0]


@op("m, m -> m")
def divide(y: Array, a: Array, b: Array) -> None:
    """y = a / b"""
    np.divide(a, b, out=y)


@gradient("divide")
def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
    """da = d / b, db = -da y"""
    (da,) = emit("divide", d_outputs[0], call.inputs[1])
    db = _scaled(emit, emit("multiply", da, call.outputs[0])[0], -1.0) if call.wanted[1] else None
    return (da if call.wanted[0] else None), db


@op("m -> m", "numerator")
def quotient_of(y: Array, x: Array, *, numerator: float) -> None:
    """y = numerator / x"""
    np.divide(x.dtype.type(numerator), x, out=y)


@gradient("quotient_of")
def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
    """dx = -(d / x) y"""
    (ratio,) = emit("divide", d_outputs[0], call.inputs[0])
    return (_scaled(emit, emit("multiply", ratio, call.outputs[0])[0], -1.0),)


@op("m -> m", "low", "high")
def clip(y: Array, x: Array, *, low: float, high: float) -> None:
    """y = min(max(x, low), high); either limit may be infinite"""
    np.clip(x, low, high, out=y)


@gradient("clip")
def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
    return emit("clip_grad", d_outputs[0], call.inputs[0], **call.attributes)


@op("m, m -> m", "low", "high")
def clip_grad(dx: Array, dy: Array, x: Array, *, low: float, high: float) -> None:
    """dx = dy where low <= x <= high, else 0"""
    np.copyto(dx, np.where((x >= x.dtype.type(low)) & (x <= x.dtype.type(high)), dy, 0))


@op("m, m -> m")
def maximum(y: Array, a: Array, b: Array) -> None:
    """y = max(a, b)"""
    np.maximum(a, b, out=y)


@op("m, m -> m")
def minimum(y: Array, a: Array, b: Array) -> None:
    """y = min(a, b)"""
    np.minimum(a, b, out=y)


@op("m, m, m -> m", "or_equal")
def where_larger(y: Array, d: Array, a: Array, b: Array, *, or_equal: float) -> None:
    """y = d where a > b, or a = b and or_equal is not 0; else 0"""
    np.copyto(y, np.where((a >= b) if or_equal else (a > b), d, 0))


@gradient("maximum")
def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
    """The larger one has it; a where they are equal."""
    a, b = call.inputs
    (d,) = d_outputs
    to_a = emit("where_larger", d, a, b, or_equal=1.0)[0] if call.wanted[0] else None
    to_b = emit("where_larger", d, b, a, or_equal=0.0)[0] if call.wanted[1] else None
    return to_a, to_b


@gradient("minimum")
def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
    """The smaller one has it; a where they are equal."""
    a, b = call.inputs
    (d,) = d_outputs
    to_a = emit("where_larger", d, b, a, or_equal=1.0)[0] if call.wanted[0] else None
    to_b = emit("where_larger", d, a, b, or_equal=0.0)[0] if call.wanted[1] else None
    return to_a, to_b


@op("m -> m")
def sqrt(y: Array, x: Array) -> None:
    """y = √x; NaN below 0"""
    np.sqrt(x, out=y)


@gradient("sqrt")
def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
    """dx = d / 2 / y"""
    return emit("divide", _scaled(emit, d_outputs[0], 0.5), call.outputs[0])


@op("m -> m")
def log(y: Array, x: Array) -> None:
    """y = ln x; -inf at 0, NaN below"""
    np.log(x, out=y)


@gradient("log")
def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
    """dx = d / x"""
    return emit("divide", d_outputs[0], call.inputs[0])


@op("m -> m")
def absolute(y: Array, x: Array) -> None:
    """y = |x|"""
    np.absolute(x, out=y)


@gradient("absolute")
def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
    return emit("absolute_grad", d_outputs[0], call.inputs[0])


@op("m, m -> m")
def absolute_grad(dx: Array, dy: Array, x: Array) -> None:
    """dx = dy sign(x), with sign(0) = 0"""
    np.multiply(dy, np.sign(x), out=dx)


@op("mn, n -> mn")
def row_add(y: Array, x: Array, b: Array) -> None:
    """y[m,n] = x[m,n] + b[n]; y may be x"""
    np.add(x, b, out=y)


@gradient("row_add")
def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
    (d,) = d_outputs
    return (d if call.wanted[0] else None), (emit("bias_grad", d)[0] if call.wanted[1] else None)


@op("mn, n -> mn")
def row_multiply(y: Array, x: Array, s: Array) -> None:
    """y[m,n] = x[m,n] s[n]; y may be x"""
    np.multiply(x, s, out=y)


@gradient("row_multiply")
def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
    """dx = d s; ds = sum_m d x"""
    x, s = call.inputs
    (d,) = d_outputs
    dx = emit("row_multiply", d, s)[0] if call.wanted[0] else None
    ds = emit("bias_grad", emit("multiply", d, x)[0])[0] if call.wanted[1] else None
    return dx, ds


@op("mn -> m")
def row_sum(y: Array, x: Array) -> None:
    """y[m] = sum_n x[m,n]"""
    np.sum(x, axis=1, out=y)


@gradient("row_sum")
def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
    return emit("spread", d_outputs[0], call.inputs[0])
