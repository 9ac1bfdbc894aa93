"""Keras's public utilities."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from nncore import random as seeds
from nncore.arguments import count, is_integer, is_number, positive_int
from nncore.backend import clear_session
from nncore.errors import unknown_name
from nncore.old_homes import open_old_homes as _open_old_homes
from nncore.progress import Progbar
from nncore.saving import (
    CustomObjectScope,
    custom_object_scope,
    deserialize_keras_object,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
    serialize_keras_object,
)
from nncore.sources import PyDataset, Sequence

__all__ = [
    "CustomObjectScope", "Progbar", "PyDataset", "Sequence", "clear_session", "custom_object_scope",
    "deserialize_keras_object", "get_custom_objects", "get_registered_name", "get_registered_object", "normalize",
    "pad_sequences", "register_keras_serializable", "serialize_keras_object", "set_random_seed", "to_categorical",
]  # fmt: skip

Array = np.ndarray[Any, Any]


def set_random_seed(seed: int) -> None:
    """Seed everything random: Python's ``random``, NumPy's global generator and nncore.

    Args:
        seed: Integer in [0, 2³²), which is what NumPy takes.

    Raises:
        ValueError: for anything else; nothing is seeded then.
    """
    import random

    value = count("set_random_seed", "seed", seed)
    if value >= 2**32:
        raise ValueError(f"set_random_seed: seed must be below 2**32. Received: seed={seed!r}.")
    random.seed(value)
    np.random.seed(value)  # noqa: NPY002
    seeds.set_seed(value)


def to_categorical(x: Any, num_classes: int | None = None, dtype: Any = None) -> Array:
    """One-hot rows for integer labels.

    Args:
        x: Labels from 0 on, of any shape; a last axis of length 1 is dropped.
        num_classes: Length of a row; by default the largest label plus 1.
        dtype: The type of the result, by default float64.

    Returns:
        An array of shape ``x.shape + (num_classes,)``.

    Raises:
        ValueError: for labels that are no integers, negative or too large, naming the first one; and for no labels
            where ``num_classes`` is not given.
    """
    labels = np.asarray(x)
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    if labels.size and labels.dtype.kind not in "biuf":
        raise ValueError(f"to_categorical: labels must be integers. Received: dtype {labels.dtype}.")
    if labels.dtype.kind == "f":
        _refuse(labels, ~(np.floor(labels) == labels), "to_categorical: labels must be integers")
    if num_classes is None:
        if not labels.size:
            raise ValueError("to_categorical: without labels their number of classes is not known. Give num_classes.")
        _refuse(labels, (labels < 0) | (labels == np.inf), "to_categorical: labels must be integers from 0 on")
        num_classes = int(labels.max()) + 1
    classes = positive_int("to_categorical", "num_classes", num_classes)
    outside = (labels < 0) | (labels >= classes)
    _refuse(labels, outside, f"to_categorical: labels must be in [0, {classes}) for num_classes={classes}")
    result = np.zeros((labels.size, classes), np.float64 if dtype is None else dtype)
    result[np.arange(labels.size), labels.ravel().astype(np.intp)] = 1
    return result.reshape((*labels.shape, classes))


def normalize(x: Any, axis: int = -1, order: float = 2) -> Array:
    """``x`` divided by its norm along an axis; where that is 0, by 1.

    Args:
        x: Numbers of any shape.
        axis: The axis along which norms are taken.
        order: Which norm: Σ|x|^order to the power 1/order, or the largest |x| for infinity.

    Returns:
        An array of the shape of ``x``: of its dtype where that is a float type, else float64.

    Raises:
        ValueError: for values that are not numbers, an axis that ``x`` does not have, and an order that is not
            positive.
    """
    array = np.asarray(x)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"normalize: x must hold real numbers. Received: dtype {array.dtype}.")
    values = array if array.dtype.kind == "f" else array.astype(np.float64)
    if not is_number(order) or not order > 0:
        raise ValueError(f"normalize: order must be a positive number. Received: order={order!r}.")
    if not is_integer(axis) or not -values.ndim <= axis < values.ndim:
        raise ValueError(f"normalize: axis must be an axis of x, which has {values.ndim}. Received: axis={axis!r}.")
    norms = np.linalg.norm(values, ord=order, axis=axis, keepdims=True)
    return values / np.where(norms == 0, values.dtype.type(1), norms)


def pad_sequences(
    sequences: Iterable[Any],
    maxlen: int | None = None,
    dtype: Any = "int32",
    padding: str = "pre",
    truncating: str = "pre",
    value: Any = 0.0,
) -> Array:
    """Sequences of different lengths as one array.

    Args:
        sequences: Sequences whose items all have one shape.
        maxlen: Length of a row; by default that of the longest sequence.
        dtype: Dtype of the result; ``object`` for strings of any length.
        padding: Where shorter sequences are filled up: ``"pre"``, before, or ``"post"``, after them.
        truncating: Where longer sequences lose items: ``"pre"``, the first ones, or ``"post"``, the last ones.
        value: What they are filled up with.

    Returns:
        An array of shape ``(sequences, maxlen) + shape of an item``.

    Raises:
        ValueError: for arguments outside of these, and for items of different shapes, naming the sequence.
    """
    for argument, given in (("padding", padding), ("truncating", truncating)):
        if given not in ("pre", "post"):
            raise unknown_name(f"{argument} of pad_sequences", given, ("pre", "post"))
    rows = _rows(sequences)
    length = max(map(len, rows), default=0) if maxlen is None else count("pad_sequences", "maxlen", maxlen)
    kind = np.dtype(dtype)
    if isinstance(value, str) and kind.kind not in "OUS":
        raise ValueError(f"pad_sequences: value={value!r} does not fit dtype={kind.name!r}. Give dtype=object.")
    item_shape: tuple[int, ...] | None = None
    for i, row in enumerate(rows):
        if not len(row):
            continue
        shape = np.shape(row)[1:]
        item_shape = shape if item_shape is None else item_shape
        if shape != item_shape:
            raise ValueError(
                f"pad_sequences: the items of all sequences must have one shape, here {item_shape}. "
                f"Received: items of shape {shape} in sequence {i}."
            )
    result = np.full((len(rows), length, *(item_shape or ())), value, kind)
    for i, row in enumerate(rows):
        kept = row[:length] if truncating == "post" else row[max(0, len(row) - length) :]
        if len(kept):
            place = slice(0, len(kept)) if padding == "post" else slice(length - len(kept), length)
            result[i, place] = np.asarray(kept, kind)
    return result


def _rows(sequences: Iterable[Any]) -> list[Any]:
    if not hasattr(sequences, "__iter__"):
        raise ValueError(f"pad_sequences: sequences must be a list of sequences. Received: {sequences!r}.")
    rows = list(sequences)
    for i, row in enumerate(rows):
        if not hasattr(row, "__len__"):
            raise ValueError(f"pad_sequences: sequences must be a list of sequences. Received: {row!r} at index {i}.")
    return rows


def _refuse(labels: Array, bad: Any, requirement: str) -> None:
    """Raise ``ValueError`` that names the first of the ``bad`` labels."""
    found = np.argwhere(bad)
    if not len(found):
        return
    index = tuple(int(i) for i in found[0])
    place = "" if not index else f" at index {index[0] if len(index) == 1 else index}"
    raise ValueError(f"{requirement}. Received: {labels[index]}{place}.")


_open_old_homes("utils", {})
