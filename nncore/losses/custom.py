"""Losses that users write: as ops where they are formulas, else as calls of Python; one value a sample either way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nncore.builder import Builder
from nncore.program import Buffer
from nncore.tracing import Symbol, call, trace

Array = np.ndarray[Any, Any]


def append(
    b: Builder, name: str, function: Callable[..., Any], backward: Callable[..., Any] | None, target: Buffer,
    prediction: Buffer,
) -> Buffer:  # fmt: skip
    """Append ``function(y_true, y_pred)`` to a program; returns one value a sample.

    ``backward(y_true, y_pred)`` gives the slope of each sample's value in its predictions, or that of the whole batch's
    one value where the function gives one.
    """
    if backward is None:
        found = formula(b, function, target, prediction)
        if found is not None:
            while found.ndim > 1:
                found = found.mean(-1)
            return found.buffer
    zeros = [np.zeros([1 if n is None else n for n in buffer.shape], np.float32) for buffer in (target, prediction)]
    with np.errstate(all="ignore"):
        of_batch = np.ndim(_per_sample(name, function(*zeros), 1, keep=True)) == 0

    def forward(p: Array, t: Array) -> Array:
        return _per_sample(name, function(t, p), len(p))

    def slope(d: Array, p: Array, t: Array, values: Array) -> Array:
        assert backward is not None
        of_each = np.asarray(backward(t, p))
        return of_each * (d.sum() if of_batch else d.reshape(-1, *[1] * (of_each.ndim - 1)))

    return call(b, name, forward, (None,), [prediction, target], backward=None if backward is None else slope)


def formula(b: Builder, function: Callable[..., Any], target: Buffer, prediction: Buffer) -> Symbol | None:
    """``trace`` of targets and predictions; ``None`` also where there are variables in it that no layer has."""
    instructions, variables = len(b.instructions), set(b.variables)
    found = trace(b, function, target, prediction)
    strange = set(b.variables) - variables
    if not strange:
        return found
    del b.instructions[instructions:]
    for key in strange:
        del b.variables[key], b.buffers[key]
    return None


def _per_sample(name: str, values: Any, rows: int, keep: bool = False) -> Array:
    """What a loss returned as one value a sample, the mean of several; one for the whole batch goes to each.

    Raises:
        ValueError: where it is neither.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name} must return an array of numbers. Received: {values!r:.60}.")
    if array.ndim and len(array) != rows:
        raise ValueError(
            f"{name} must return one value a sample, or one for all {rows}. Received: shape {array.shape}."
        )
    if array.ndim == 0:
        return array if keep else np.full(rows, array, np.float64)
    means: Array = array.reshape(rows, -1).mean(axis=1)
    return means
