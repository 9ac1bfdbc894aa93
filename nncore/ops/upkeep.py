"""What is done to gradients and weights before and after an optimizer's update.

Over whole flat vectors or the span of one weight, in place: inputs called ``*_in`` are the outputs of that name.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore.ops.base import Step, op

Array = np.ndarray[Any, Any]


@op("m, m -> m, m", "count")
def accumulated(g: Array, total: Array, g_in: Array, total_in: Array, *, count: float) -> None:
    """g = total / count, the mean of the gradients that total holds; total = 0"""
    np.divide(total, g.dtype.type(count), out=g)
    total[...] = 0


@op("m -> ()")
def norm(y: Array, x: Array) -> None:
    """y = sqrt(sum_m x²)"""
    y[...] = np.sqrt(np.sum(x * x))


@op("m, () -> m", "limit", "strict")
def clip_norm(g: Array, g_in: Array, norm: Array, *, limit: float, strict: float) -> None:
    """g limit / norm where the norm is above the limit, else g; where ``strict``, NaN if the norm is infinite"""
    scale = g.dtype.type(1) if norm <= limit else g.dtype.type(limit) / norm
    np.multiply(g_in, scale + (norm - norm) if strict else scale, out=g)


@op("m -> m", "decay", "rate", step=True)
def decay(w: Array, w_in: Array, *, decay: float, rate: float, step: Step) -> None:
    """w -= w (decay rates[rate])"""
    w -= w * w.dtype.type(decay * step.rates[int(rate)])


@op("m, m -> m", "rate", step=True)
def average(mean: Array, mean_in: Array, w: Array, *, rate: float, step: Step) -> None:
    """mean = p mean + (1 - p) w, p = rates[rate]"""
    p = step.rates[int(rate)]
    mean *= mean.dtype.type(p)
    mean += mean.dtype.type(1 - p) * w
