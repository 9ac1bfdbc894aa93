"""Steps of sequences that do not count, known by what they hold."""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore.ops.base import Call, Emit, Gradients, gradient, op

Array = np.ndarray[Any, Any]


@op("mn -> mn, m", "value")
def mask_steps(y: Array, mask: Array, x: Array, *, value: float) -> None:
    """mask[m] = 0 where every x[m,n] is ``value``, else 1; y = x where the mask is 1, else 0; NaN is no value"""
    kept = np.any(x != x.dtype.type(value), axis=-1)
    mask[...] = kept
    y[...] = np.where(kept[:, None], x, 0)


@gradient("mask_steps")
def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
    dy = d_outputs[0]
    return (None if dy is None else emit("multiply", dy, emit("spread", call.outputs[1], dy)[0])[0],)
