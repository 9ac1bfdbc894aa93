"""What may be allocated while a file is loaded: no more than the file itself gives reason for.

A config says which layers there are and how large they are; it may be damaged, or made to fill the memory. Inside
``of_file`` weights begin as zeros, which the file's arrays then take the place of, and are refused where they are more
than these. What no file holds, such as the state of metrics, may take ``BESIDES`` bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

BESIDES = 2**24
"""Bytes for what no file holds."""


@dataclass
class _Allowance:
    values: int  # of the file's arrays that no weight has been made for
    besides: int  # bytes
    at_once: int  # bytes


_current: ContextVar[_Allowance | None] = ContextVar("allowance", default=None)


@contextmanager
def of_file(values: int) -> Iterator[None]:
    """Inside, in this thread, all weights together may have so many values."""
    token = _current.set(_Allowance(values, BESIDES, BESIDES + 4 * values))
    try:
        yield
    finally:
        _current.reset(token)


def zeros(shape: Sequence[int], name: str) -> np.ndarray[Any, Any] | None:
    """A weight to be loaded, as a view of one zero; ``None`` where no file is loaded.

    Raises:
        ValueError: where the file has fewer values than that.
    """
    allowance = _current.get()
    if allowance is None:
        return None
    size = prod(shape)
    if size > allowance.values:
        raise ValueError(
            f"the weight {name!r} of shape {tuple(shape)} has {size:,} values, and the file's arrays hold only "
            f"{allowance.values:,} for it"
        )
    allowance.values -= size
    return np.broadcast_to(np.float32(0), tuple(shape))


def take(size: int, what: str) -> None:
    """Ask for so many bytes for what no file holds; ``ValueError`` where a file is loaded, and there are fewer left."""
    allowance = _current.get()
    if allowance is not None:
        allowance.besides -= _checked(size, allowance.besides, what)


def borrow(size: int, what: str) -> None:
    """The same for what is given back at once."""
    allowance = _current.get()
    if allowance is not None:
        _checked(size, allowance.at_once, what)


def _checked(size: int, left: int, what: str) -> int:
    if size > left:
        raise ValueError(f"{what} takes {size:,} bytes of memory, for which the file gives no reason")
    return size
