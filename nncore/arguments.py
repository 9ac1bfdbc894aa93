"""Checks of arguments that several public methods share: each returns the value in its plain form, or raises."""

from __future__ import annotations

from typing import Any

import numpy as np


def is_integer(value: Any) -> bool:
    """Whether ``value`` is a whole number: an int or one of NumPy's, no bool."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether ``value`` is a real number: an int, a float or one of NumPy's, no bool."""
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def integers(value: Any) -> list[int] | None:
    """A whole number, or a list or tuple of them, as a list of ints; ``None`` for anything else."""
    given = value if isinstance(value, list | tuple) else [value]
    return [int(n) for n in given] if all(is_integer(n) for n in given) else None


def positive_int(owner: str, argument: str, value: Any) -> int:
    """``value`` as an int of at least 1; ``ValueError`` for anything else."""
    if not is_integer(value) or value < 1:
        raise ValueError(f"{owner}: {argument} must be a positive integer. Received: {argument}={value!r}.")
    return int(value)


def count(owner: str, argument: str, value: Any) -> int:
    """``value`` as an int of at least 0; ``ValueError`` for anything else."""
    if not is_integer(value) or value < 0:
        raise ValueError(f"{owner}: {argument} must be an integer of at least 0. Received: {argument}={value!r}.")
    return int(value)


def finite(owner: str, argument: str, value: Any) -> float:
    """``value`` as a finite float; ``ValueError`` for anything else."""
    if not is_number(value) or not np.isfinite(value):
        raise ValueError(f"{owner}: {argument} must be a finite number. Received: {argument}={value!r}.")
    return float(value)


def at_least_zero(owner: str, argument: str, value: Any) -> float:
    """``value`` as a finite float of at least 0; ``ValueError`` for anything else."""
    if not is_number(value) or not 0 <= value < np.inf:
        raise ValueError(f"{owner}: {argument} must be a number of at least 0. Received: {argument}={value!r}.")
    return float(value)


def above_zero(owner: str, argument: str, value: Any) -> float:
    """``value`` as a finite float above 0; ``ValueError`` for anything else."""
    if not is_number(value) or not 0 < value < np.inf:
        raise ValueError(f"{owner}: {argument} must be a number above 0. Received: {argument}={value!r}.")
    return float(value)


def fraction(owner: str, argument: str, value: Any, below_one: bool = False) -> float:
    """``value`` as a float in [0, 1], or [0, 1) where ``below_one``; ``ValueError`` for anything else."""
    if not is_number(value) or not 0 <= value <= 1 or (below_one and value == 1):
        interval = "[0, 1)" if below_one else "[0, 1]"
        raise ValueError(f"{owner}: {argument} must be a number in {interval}. Received: {argument}={value!r}.")
    return float(value)


def must_be_none(owner: str, **arguments: Any) -> None:
    """Raise ``ValueError`` where one of Keras's arguments that nncore has no use for is not ``None``."""
    for argument, value in arguments.items():
        if value is not None:
            raise ValueError(
                f"{owner}: {argument} must be None: nncore has no such thing. Received: {argument}={value!r}."
            )


def data_format(owner: str, value: Any) -> str:
    """``"channels_last"``, also for ``None``, or ``"channels_first"``; ``ValueError`` for anything else."""
    if value not in (None, "channels_last", "channels_first"):
        raise ValueError(
            f"{owner}: data_format must be 'channels_last', 'channels_first' or None. Received: data_format={value!r}."
        )
    return value or "channels_last"


def float32_name(owner: str, dtype: Any) -> None:
    """Raise ``ValueError`` unless ``dtype`` is ``None`` or float32, the only type nncore computes in."""
    if dtype is not None and str(dtype) != "float32":
        raise ValueError(f"{owner}: dtype must be 'float32' or None. Received: dtype={dtype!r}.")
