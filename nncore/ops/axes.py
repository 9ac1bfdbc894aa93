"""Axes exchanged, repeated and summed. What is a matter of the shape alone is a view and needs no op."""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore.ops.base import Call, Emit, Gradients, gradient, op

Array = np.ndarray[Any, Any]


@op("mabc -> mbac")
def swap(y: Array, x: Array) -> None:
    """y[m,b,a,c] = x[m,a,b,c]: a and b, one or more neighbouring axes each, change places"""
    y[...] = x.swapaxes(1, 2)


@gradient("swap")
def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
    return emit("swap", d_outputs[0])


@op("mk -> mnk", "n")
def repeat(y: Array, x: Array, *, n: float) -> None:
    """y[m,n,k] = x[m,k], n times; the attribute n is the extent of the new axis"""
    y[...] = x[:, None]


@gradient("repeat")
def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
    return emit("sum_steps", d_outputs[0])


@op("mnk -> mk")
def sum_steps(y: Array, x: Array) -> None:
    """y[m,k] = sum_n x[m,n,k], in the order of n"""
    y[...] = 0
    for n in range(x.shape[1]):
        y += x[:, n]


@gradient("sum_steps")
def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
    (x,) = call.inputs
    assert x is not None
    n = x.shape[-2]
    assert n is not None
    return emit("repeat", d_outputs[0], n=n)
