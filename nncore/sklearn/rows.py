"""Rows for training: checked weights, and one batch of them in an order of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_array, column_or_1d

from nncore.arguments import is_number

Array = np.ndarray[Any, Any]


def plain_targets(y: Any) -> Array:
    """Checked targets as a dense array, one column as a vector, which a warning tells of."""
    dense: Array = y.toarray() if hasattr(y, "toarray") else y
    if dense.ndim == 2 and dense.shape[1] == 1:
        dense = column_or_1d(dense, warn=True)
    return dense


def weights_of(owner: str, rows: int, sample_weight: Any, by_class: Array | None = None) -> Array | None:
    """float32 ``(rows,)``: each row's weight, times that of its class where given; ``None`` where all weigh 1.

    Raises:
        ValueError: unless there is one weight a row, each finite and at least 0, and one above 0.
    """
    weight = by_class
    if sample_weight is not None:
        given = np.full(rows, sample_weight) if is_number(sample_weight) else sample_weight
        weight = check_array(given, ensure_2d=False, dtype=np.float32, input_name="sample_weight", copy=True)
        if weight.shape != (rows,):
            raise ValueError(
                f"{owner}: sample_weight must have shape ({rows},), one weight a row of X. Received: {weight.shape}."
            )
        weight = weight if by_class is None else weight * by_class
    if weight is not None and (weight.min() < 0 or weight.max() == 0):
        raise ValueError(
            f"{owner}: the weights of rows (sample_weight times class_weight) must be at least 0, and not all zero. "
            f"Received: weights from {weight.min()} to {weight.max()}."
        )
    return weight


def one_batch(x: Any, y: Array, weight: Array | None) -> tuple[Array, Array, Array | None]:
    """Rows that are one batch, in the order of their bytes; equal ones are one row that weighs as much as they all.

    Neither changes the loss of the batch, and what training does is then, to the last bit, no matter of their order,
    nor of whether a row is there twice or weighs twice as much. A sparse ``x`` becomes what a batch of it is: dense.
    """
    x = np.ascontiguousarray(x.toarray() if hasattr(x, "toarray") else x, np.float32)
    if weight is not None:
        kept = weight > 0
        x, y, weight = x[kept], y[kept], weight[kept]
    columns = np.concatenate([x.view(np.uint8).reshape(len(x), -1), _bytes(y)], axis=1)
    keys = np.ascontiguousarray(columns).view(np.dtype((np.void, columns.shape[1])))[:, 0]
    _, first, place = np.unique(keys, return_index=True, return_inverse=True)
    if weight is not None or len(first) < len(x):
        weight = np.bincount(place, weights=weight, minlength=len(first)).astype(np.float32)
    return x[first], y[first], weight


def _bytes(array: Array) -> Array:
    return np.ascontiguousarray(array).view(np.uint8).reshape(len(array), -1)
