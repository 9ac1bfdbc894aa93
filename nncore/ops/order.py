"""The row order of an epoch: a permutation as a function of a key, computed row by row where it is needed.

A table of n shuffled indices costs memory that grows with n, and misses of the cache. A cipher on 0 … n - 1 does not:
Black and Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002. A row is a point of a grid with sides of about
√n. In each round one coordinate moves, round its side of the grid, by a hash of the other: that can be undone, so no
two rows meet. What comes to lie beyond n, in the grid's last row, goes through the rounds again until it does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isqrt
from typing import Any

import numpy as np

from nncore.ops.base import Step, op

Array = np.ndarray[Any, Any]

ROUNDS = 8
"""Six leave a bias that a million pairs of neighbours show; tests/test_order.py looks for it."""
SMALL, SMALL_ROUNDS = 64, 24
"""Below so many rows, a grid with sides of a few takes more rounds until all orders are equally likely."""

_MASK = 2**64 - 1


@dataclass(frozen=True)
class Shuffle:
    """An order of rows: each block of ``block`` neighbours, from the first row on, is permuted in itself."""

    key: int
    """64 bits. Blocks get keys of their own from it."""
    block: int
    """At least the number of all rows, to mix them all."""

    def rows(self, count: int, start: int, stop: int) -> Array:
        """The rows at positions ``start`` to ``stop``, all of one block, of an order of ``count`` rows, as int64."""
        number = start // self.block
        first = number * self.block
        size = min(self.block, count - first)
        return first + permute(np.arange(start - first, stop - first), size, split_mix(self.key, number))


def permute(positions: Array, count: int, key: int) -> Array:
    """Where a permutation of 0 … count - 1, 0 < count < 2⁵², has these positions, as int64."""
    rows = _mix(positions, count, key)
    while len(beyond := np.flatnonzero(rows >= count)):
        rows[beyond] = _mix(rows[beyond], count, key)
    return rows


def _mix(rows: Array, count: int, key: int) -> Array:
    """All rounds once."""
    rights = isqrt(count - 1) + 1
    lefts = -(-count // rights)
    left, right = (x.astype(np.uint64) for x in np.divmod(rows, rights))
    for left_key, right_key in _round_keys(count, key):
        left = (left + _distance(right, left_key, lefts)) % np.uint64(lefts)
        right = (right + _distance(left, right_key, rights)) % np.uint64(rights)
    return (left * np.uint64(rights) + right).astype(np.int64)


def _distance(x: Array, key: int, side: int) -> Array:
    """A hash of x in [0, side): product and shift (Lemire, "Fast random integer generation in an interval", 2019)."""
    low, half = np.uint64(2**32 - 1), np.uint64(32)
    hashed = (x ^ np.uint64(key)) * np.uint64(0xD2511F53)
    hashed = ((hashed ^ hashed >> half) & low) * np.uint64(0xCD9E8D57)
    return (hashed & low) * np.uint64(side) >> half


def _round_keys(count: int, key: int) -> Iterator[tuple[int, int]]:
    """Two keys of 32 bits for each pair of rounds."""
    for i in range((SMALL_ROUNDS if count < SMALL else ROUNDS) // 2):
        both = split_mix(key, i)
        yield both & (2**32 - 1), both >> 32


def split_mix(seed: int, i: int) -> int:
    """Number i of SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014)."""
    z = (seed + (i + 1) * 0x9E3779B97F4A7C15) & _MASK
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & _MASK
    return z ^ z >> 31


@op("-> m", "count", "block", step=True, out0="int64")
def row_order(rows: Array, *, count: float, block: float, step: Step) -> None:
    """rows = those at the positions of the slice step.rows in a Shuffle(step.seed, block) of count rows"""
    rows[...] = Shuffle(step.seed, int(block)).rows(int(count), step.rows.start, step.rows.start + len(rows))
