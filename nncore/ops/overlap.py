"""Losses of how much p[m,n] and t[m,n] overlap, of each row or of the batch, and their gradients in p.

loss = 1 - scale I / D, D = truth T + guess P + both I + EPSILON, of the sums I of t p, T of t and P of p.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore.ops.base import op
from nncore.ops.losses import EPSILON, through_losses

Array = np.ndarray[Any, Any]


def _quotient(p: Array, t: Array, scale: float, truth: float, guess: float, both: float) -> tuple[Array, Array]:
    """scale I / D and D of each row."""
    common = np.sum(t * p, axis=1, keepdims=True)
    apart = truth * np.sum(t, axis=1, keepdims=True) + guess * np.sum(p, axis=1, keepdims=True)
    divisor = apart + both * common + EPSILON
    return scale * common / divisor, divisor


@op("mn, mn -> m", "scale", "truth", "guess", "both")
def overlap(loss: Array, p: Array, t: Array, *, scale: float, truth: float, guess: float, both: float) -> None:
    """loss[m] = 1 - scale I / D of the row"""
    np.subtract(1, _quotient(p, t, scale, truth, guess, both)[0][:, 0], out=loss)


@op("mn, mn, m -> mn", "scale", "truth", "guess", "both")
def overlap_grad(
    dp: Array, p: Array, t: Array, dloss: Array, *, scale: float, truth: float, guess: float, both: float
) -> None:
    """dp = ((guess + both t) scale I / D - scale t) / D dloss; dp may be p"""
    quotient, divisor = _quotient(p, t, scale, truth, guess, both)
    np.multiply(((guess + both * t) * quotient - scale * t) / divisor, dloss[:, None], out=dp)


@op("mn, mn -> m", "scale", "truth", "guess", "both")
def batch_overlap(loss: Array, p: Array, t: Array, *, scale: float, truth: float, guess: float, both: float) -> None:
    """loss[m] = 1 - scale I / D of all rows as one, the same in every row"""
    loss[...] = 1 - _quotient(p.reshape(1, -1), t.reshape(1, -1), scale, truth, guess, both)[0][0, 0]


@op("mn, mn, m -> mn", "scale", "truth", "guess", "both")
def batch_overlap_grad(
    dp: Array, p: Array, t: Array, dloss: Array, *, scale: float, truth: float, guess: float, both: float
) -> None:
    """dp = ((guess + both t) scale I / D - scale t) / D sum_m dloss of all rows as one; dp may be p

    The sum is taken in float64, in row order.
    """
    quotient, divisor = _quotient(p.reshape(1, -1), t.reshape(1, -1), scale, truth, guess, both)
    total = dp.dtype.type(np.cumsum(dloss, dtype=np.float64)[-1:].sum())  # np.sum would not add in order
    np.multiply(((guess + both * t) * quotient - scale * t) / divisor, total, out=dp)


through_losses("overlap", "batch_overlap")
