"""Axes of a batch in another order: what ``numpy.transpose`` and ``numpy.moveaxis`` are to arrays."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from nncore.builder import Builder
from nncore.program import Buffer, Shape


def permute(b: Builder, x: Buffer, order: Sequence[int]) -> Buffer:
    """Append the exchanges of axes after which axis i of the result is axis ``order[i]`` of x; the first stays.

    Every exchange moves the longest block that comes next to its place. Where only axes of length 1 move, it is a view.
    """
    result: Shape = tuple(x.shape[axis] for axis in order)
    left = [axis for axis in range(1, len(order)) if x.shape[axis] != 1]
    wanted = [axis for axis in order if axis in left]
    done: list[int] = []

    def size(axes: Sequence[int]) -> int:
        return prod(x.shape[axis] or 0 for axis in axes)

    y = x
    while left != wanted:
        if left[0] == wanted[0]:
            done.append(left.pop(0))
            wanted.pop(0)
            continue
        at, count = left.index(wanted[0]), 1
        while left[at : at + count + 1] == wanted[: count + 1]:
            count += 1
        before, block, after = left[:at], left[at : at + count], left[at + count :]
        shape = (x.shape[0], size(done), size(before), size(block), size(after))
        (y,) = b.emit("swap", b.view(y, shape))
        left = [*block, *before, *after]
    return b.view(y, result)


def to_end(b: Builder, x: Buffer, axes: int | Sequence[int]) -> Buffer:
    """x with ``axes``, in their order, moved behind all others; negative ones count from the end."""
    return permute(b, x, _end_order(len(x.shape), axes))


def from_end(b: Builder, y: Buffer, axes: int | Sequence[int]) -> Buffer:
    """The inverse of ``to_end``."""
    order = _end_order(len(y.shape), axes)
    return permute(b, y, [order.index(axis) for axis in range(len(order))])


def _end_order(rank: int, axes: int | Sequence[int]) -> list[int]:
    moved = [axis % rank for axis in ([axes] if isinstance(axes, int) else axes)]
    return [axis for axis in range(rank) if axis not in moved] + moved
