"""The row order: a permutation for every number of rows, and no order more likely than another that tests can tell.

The statistics are chi-square sums over many keys. Keys are fixed, so the tests are: they pass or fail for good.
"""

from __future__ import annotations

from itertools import permutations
from math import factorial, sqrt

import numpy as np
import pytest
from oracles import ISAS, on_isa, random_problem, tight_plan

from nncore import _native
from nncore.ops import Shuffle
from nncore.ops.order import permute, split_mix

Array = np.ndarray

SIZES = [*range(1, 301), 499, 1009, 1023, 1024, 1025, 4099, 2**16 - 1, 2**16, 2**16 + 1]
KNOWN = {10: [0, 8, 9, 3, 2, 6, 4, 1, 7, 5], 10**6: [667766, 734088, 213836, 147049]}
LIMIT = 5.0
"""Standard deviations; the statistics below are a few hundred."""


def kernel_rows(shuffle: Shuffle, count: int, start: int, stop: int, isa: str | None = None) -> Array:
    """``Shuffle.rows`` by the kernel."""
    rows = np.full(stop - start, -1)
    _native.call(
        "row_order", [rows], [], ["int64"], [len(rows)], [len(rows)], [count, shuffle.block], first=start,
        seed=shuffle.key, isa=isa,
    )  # fmt: skip
    return rows


def excess(observed: Array, expected: float, freedom: int) -> float:
    """Pearson's chi-square of counts that are all expected alike, in standard deviations from its mean."""
    chi_square = float(np.sum((observed - expected) ** 2 / expected))
    return (chi_square - freedom) / sqrt(2 * freedom)


def orders(count: int, keys: int) -> Array:
    """The orders of ``count`` rows by the keys 0, 1, 2, …"""
    return np.array([kernel_rows(Shuffle(key, count), count, 0, count) for key in range(keys)])


@pytest.mark.parametrize("isa", ISAS)
def test_every_row_once(isa: str) -> None:
    for count in (*SIZES, 10**6):
        rows = kernel_rows(Shuffle(7, count), count, 0, count, isa)
        assert np.array_equal(np.sort(rows), np.arange(count)), count
        if count <= 2000:
            assert np.array_equal(rows, Shuffle(7, count).rows(count, 0, count)), count


@pytest.mark.parametrize("isa", ISAS)
def test_any_part_of_an_order_is_the_whole_s(isa: str) -> None:
    for count, start, stop in [(1000, 0, 1), (1000, 999, 1000), (1000, 321, 453), (2**40 + 7, 2**39 + 5, 2**39 + 70)]:
        shuffle = Shuffle(2**64 - 1, count)
        want = [shuffle.rows(count, at, at + 1)[0] for at in range(start, stop)]
        assert np.array_equal(kernel_rows(shuffle, count, start, stop, isa), want)
        assert np.array_equal(shuffle.rows(count, start, stop), want)


@pytest.mark.parametrize("isa", ISAS)
def test_blocks_keep_their_rows(isa: str) -> None:
    """The last one is shorter; no two are in the same order."""
    shuffle, found = Shuffle(5, 70), []
    for start in range(0, 500, 70):
        stop = min(start + 70, 500)
        rows = shuffle.rows(500, start, stop)
        assert np.array_equal(np.sort(rows), np.arange(start, stop))
        assert np.array_equal(kernel_rows(shuffle, 500, start, stop, isa), rows)
        found.append(rows - start)
    assert len({rows.tobytes() for rows in found}) == len(found)


def test_blocks_that_cut_batches_are_refused() -> None:
    problem = next(p for p in map(random_problem, range(20)) if 1 < p.batch < len(p.x) - 1)
    batch, rows = problem.batch, len(problem.x)
    program = problem.program()
    run = problem.start(program, tight_plan(program, problem.flat, batch))
    with pytest.raises(ValueError, match=f"of {batch} rows, or all {rows} rows. Received: blocks of {batch + 1}"):
        run.run(on_isa(None), problem.epoch(Shuffle(1, batch + 1)))


def test_split_mix() -> None:
    """The first numbers for the seed 1234567, as the algorithm's authors' program prints them."""
    first = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert [split_mix(1234567, i) for i in range(4)] == first


def test_known_orders() -> None:
    """A seed's order is part of what stays the same; a change of the definition shows here."""
    assert permute(np.arange(10), 10, 1).tolist() == KNOWN[10]
    assert permute(np.arange(500_000, 500_004), 10**6, 1).tolist() == KNOWN[10**6]


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_all_orders_of_a_few_rows_are_equally_likely(count: int) -> None:
    keys = 400 * factorial(count)
    names = {order: i for i, order in enumerate(permutations(range(count)))}
    found = np.bincount([names[tuple(order)] for order in orders(count, keys).tolist()], minlength=len(names))
    assert abs(excess(found, 400, len(names) - 1)) < LIMIT


@pytest.mark.parametrize("count", [7, 16, 25, 64, 65, 101, 256, 1000])
def test_nothing_stands_out_over_many_keys(count: int) -> None:
    """Neither where a position's row is, nor how far it is from another position's, nor from another key's."""
    keys = 20_000 if count < 300 else 4_000
    found = orders(count, keys)
    images = np.zeros((count, count))
    np.add.at(images, (np.arange(count), found), 1)
    assert abs(excess(images, keys / count, (count - 1) ** 2)) < LIMIT
    for apart in (1, 2, round(sqrt(count))):
        steps = np.bincount(((np.roll(found, -apart, axis=1) - found) % count).ravel(), minlength=count)
        assert steps[0] == 0
        assert abs(excess(steps[1:], keys * count / (count - 1), count - 2)) < LIMIT, apart
    between = np.bincount(((found[1:] - found[:-1]) % count).ravel(), minlength=count)
    assert abs(excess(between, keys - 1, count - 1)) < LIMIT


def test_a_large_order_looks_random() -> None:
    """Neighbours, and two keys that differ in one bit, are as far apart as chance has them."""
    count = 10**6
    rows = kernel_rows(Shuffle(1, count), count, 0, count)
    for other in (np.roll(rows, -1), np.roll(rows, -1000), kernel_rows(Shuffle(1 + 2**63, count), count, 0, count)):
        correlation = np.corrcoef(rows, other)[0, 1]
        assert abs(correlation) < LIMIT / sqrt(count)
        distances = np.bincount((other - rows) % count // 1000, minlength=1000)
        assert abs(excess(distances, count / 1000, 999)) < LIMIT
    spread = np.histogram2d(np.arange(count), rows, bins=100)[0]
    assert abs(excess(spread, count / 100**2, 99**2)) < LIMIT
