"""The matrix products: every element is one chain of multiply-adds in order, whatever the shape, table or share."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import Any

import numpy as np
import pytest
from oracles import FUSED_ISAS, ISAS, same_bits

from nncore import _native
from nncore.ops import get, letters_of

Array = np.ndarray[Any, Any]
Dims = tuple[int, int, int]

FENCE = 67
"""Reals before and after an output, and bytes after the scratch; odd, so that outputs are aligned to no vector."""

LANES = _native.config()["lanes"]


def cut(sizes: Iterable[int]) -> list[int]:
    """Each size, one less and one more, from 1 on."""
    return sorted({s + d for s in sizes for d in (-1, 0, 1)} - {0, -1})


def shapes(isa: str) -> list[Dims]:
    """m, k, n around every edge of the driver: lanes, tiles, panels, blocks, and where it packs or streams."""
    lanes = LANES[isa]
    widths = cut(lanes * vecs for vecs in (1, 2, 3, 4, 5, 8, 9))
    heights = [*range(1, 19), 31, 32, 33, 47, 97]
    depths = [1, 2, 3, 7, 16, 17, 100, 127]
    return [
        *((m, 5, n) for m in (1, 2, 3, 4, 7) for n in widths),
        *((m, 11, n) for m in heights for n in (1, lanes - 1, 2 * lanes + 1, 4 * lanes, 67)),
        *((m, k, n) for m in (1, 5, 13) for k in depths for n in (lanes + 1, 3 * lanes)),
        *((3, k, 2 * lanes + 1) for k in (255, 256, 257, 511, 513, 769)),
        *((m, 3, lanes + 1) for m in (255, 256, 257, 513)),  # row blocks
        *product((1, 4, 5), (33,), (2047, 2048, 2049)),  # few rows: b streams
        *product((63, 64), (257,), (16 * 4 * lanes, 16 * 4 * lanes + 1)),  # many rows of a wide b: it is packed
        *((7, k, n) for k in (255, 256, 300) for n in (4 * 4 * lanes - 1, 4 * 4 * lanes + 1)),  # so is a's transpose
        (300, 300, 300),
    ]


EMPTY: list[Dims] = [(0, 3, 5), (2, 0, 5), (2, 3, 0), (0, 0, 0), (0, 300, 40), (40, 0, 40)]


def call(op: str, isa: str, *inputs: Array | None, dims: Dims, state: Array | None = None, parts: int = 1) -> Array:
    """The output of a kernel; asserts that it wrote all of that, and nothing around it or around the scratch."""
    definition = get(op)
    sizes = dict(zip("mkn", dims, strict=True))
    shape = tuple(sizes[letter] for letter in letters_of(definition.outputs[0]))
    memory = np.full(2 * FENCE + int(np.prod(shape)), np.nan, np.float32)
    out = memory[FENCE : memory.size - FENCE].reshape(shape)
    operands: list[Array | None] = list(inputs)
    if state is not None:
        out[...] = state
        operands.append(out)
    scratch = np.full(parts * _native.SCRATCH_BYTES + 63 + FENCE, 0xFF, np.uint8)  # reals of these bytes are NaN
    start = -scratch.ctypes.data % 64
    kept = [None if x is None else x.copy() for x in inputs]
    _native.call(
        op, [out], operands, ["real"] * (1 + len(operands)),
        [None if x is None else x.size for x in (out, *operands)], [sizes[letter] for letter in definition.letters],
        isa=isa, parts=parts, rates=np.array([0.125]), scratch=scratch,
    )  # fmt: skip
    assert np.isnan(np.concatenate([memory[:FENCE], memory[memory.size - FENCE :]])).all(), (op, isa, dims, parts)
    around = np.concatenate([scratch[:start], scratch[start + parts * _native.SCRATCH_BYTES :]])
    assert (around == 0xFF).all(), (op, isa, dims, parts)
    assert all(a is None or same_bits(a, b) for a, b in zip(kept, inputs, strict=True)), (op, isa, dims, parts)
    return out


def few_bits(*shape: int, seed: int = 0) -> Array:
    """Reals of 12 significant bits in (-2, 2): a product of two is exact, the sums of products are not."""
    generator = np.random.default_rng([seed, *shape])
    return (generator.integers(-(2**11) + 1, 2**11, shape) * 2.0 ** generator.integers(-14, -9, shape)).astype(
        np.float32
    )


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32)


def chain(start: Array | None, a: Array, b: Array) -> Array:
    """start + a b, rounded to float32 after every multiply-add, in the order of the depth.

    For products of ``few_bits`` the sum of two in float64 is exact, so it is rounded once, as a fused one.
    """
    total = np.zeros((len(a), b.shape[1]), np.float32)
    if start is not None:
        total[...] = start
    for s in range(len(b)):
        total = (total.astype(np.float64) + a[:, s, None].astype(np.float64) * b[s].astype(np.float64)).astype(
            np.float32
        )
    return total


def operands(dims: Dims, make: Any) -> dict[str, Array]:
    m, k, n = dims
    return {"x": make(m, k, seed=1), "w": make(k, n, seed=2), "b": make(n, seed=3), "dy": make(m, n, seed=4)}


def run(op: str, isa: str, dims: Dims, v: dict[str, Array], parts: int = 1) -> Array:
    """One of the plain products of these operands."""
    inputs: dict[str, tuple[Array | None, ...]] = {
        "dense": (v["x"], v["w"], v["b"]),
        "dense_no_bias": (v["x"], v["w"], None),
        "dense_grad_x": (v["dy"], v["w"]),
        "dense_grad_w": (v["x"], v["dy"]),
        "bias_grad": (v["dy"],),
    }
    return call(op.removesuffix("_no_bias"), isa, *inputs[op], dims=dims, parts=parts)


def factors(op: str, v: dict[str, Array]) -> tuple[Array | None, Array, Array]:
    """What a product sums: its start, a and b."""
    ones = np.ones((1, len(v["dy"])), np.float32)
    return {
        "dense": (v["b"], v["x"], v["w"]),
        "dense_no_bias": (None, v["x"], v["w"]),
        "dense_grad_x": (None, v["dy"], v["w"].T),
        "dense_grad_w": (None, v["x"].T, v["dy"]),
        "bias_grad": (None, ones, v["dy"]),
    }[op]


PLAIN = ("dense", "dense_no_bias", "dense_grad_x", "dense_grad_w", "bias_grad")


@pytest.mark.parametrize("op", PLAIN)
@pytest.mark.parametrize("isa", ISAS)
def test_one_chain_in_order(isa: str, op: str) -> None:
    for dims in shapes(isa) + EMPTY:
        v = operands(dims, few_bits)
        got = run(op, isa, dims, v)
        assert same_bits(got, chain(*factors(op, v)).reshape(got.shape)), dims


@pytest.mark.parametrize("op", PLAIN)
@pytest.mark.parametrize("isa", ISAS)
def test_error_bound(isa: str, op: str) -> None:
    """|error| <= gamma (|start| + |a| |b|), gamma = s u / (1 - s u) for s roundings of unit u: Higham's (3.5).

    N. J. Higham, "Accuracy and Stability of Numerical Algorithms", 2nd edition, section 3.1: s is the depth, and one
    more for the start.
    """
    for dims in [(1, 1, 1), (5, 17, 33), (33, 100, 64), (70, 300, 130), (2, 2000, 3), (600, 7, 5)]:
        v = operands(dims, normal)
        start, a, b = (np.float64(0) if x is None else x.astype(np.float64) for x in factors(op, v))
        roundings = (len(b) + 1) * 2.0**-24
        bound = roundings / (1 - roundings) * (np.abs(start) + np.abs(a) @ np.abs(b))
        got = run(op, isa, dims, v).astype(np.float64)
        assert np.all(np.abs(got - (start + a @ b)) <= bound), dims


@pytest.mark.parametrize("op", PLAIN)
def test_instruction_sets_agree(op: str) -> None:
    for dims in [
        (1, 40, 65),
        (13, 300, 70),
        (64, 33, 1100),
        (4, 50, 2100),
        (33, 270, 290),
        (1, 520, 520),
        (7, 1030, 40),
    ]:
        v = operands(dims, normal)
        first, *others = (run(op, isa, dims, v) for isa in FUSED_ISAS)
        assert all(same_bits(first, other) for other in others), dims


@pytest.mark.parametrize("op", PLAIN)
@pytest.mark.parametrize("isa", ISAS)
def test_any_number_of_parts(isa: str, op: str) -> None:
    for dims in [(1, 40, 65), (13, 30, 70), (3, 20, 5), (64, 33, 1100), (4, 50, 2100), (33, 270, 290), (0, 3, 4)]:
        v = operands(dims, normal)
        whole = run(op, isa, dims, v)
        for parts in (2, 3, 4, 5):
            assert same_bits(run(op, isa, dims, v, parts), whole), (dims, parts)


@pytest.mark.parametrize("isa", ISAS)
def test_a_row_alone(isa: str) -> None:
    """A row has the same bits alone and wherever it stands in a batch of any size."""
    for k, n in [(30, 64), (300, 70), (17, 2050), (100, 10), (520, 520)]:
        v = operands((300, k, n), normal)
        for op, name in [("dense", "x"), ("dense_grad_x", "dy")]:
            whole = run(op, isa, (300, k, n), v)
            for first, rows in [(0, 1), (299, 1), (7, 2), (50, 3), (1, 4), (80, 7), (33, 33), (11, 65), (2, 257)]:
                batch = v | {name: np.ascontiguousarray(v[name][first : first + rows])}
                assert same_bits(run(op, isa, (rows, k, n), batch), whole[first : first + rows]), (op, k, n, rows)


FINISHED_SHAPES: list[Dims] = [(1, 3, 5), (5, 300, 17), (33, 20, 130), (3, 600, 64), (0, 2, 3), (9, 0, 11), (70, 64, 1)]


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
@pytest.mark.parametrize("isa", ISAS)
def test_fused_activations_are_their_parts(isa: str, activation: str) -> None:
    for dims in FINISHED_SHAPES:
        m, k, n = dims
        v = operands(dims, normal)
        for bias in (v["b"], None):
            plain = call("dense", isa, v["x"], v["w"], bias, dims=dims)
            expected = call(activation, isa, plain, dims=(plain.size, 0, 0)) if plain.size else plain
            fused = call(f"dense_{activation}", isa, v["x"], v["w"], bias, dims=dims)
            assert same_bits(fused, expected.reshape(m, n)), dims
        y = np.maximum(v["x"], 0) if activation == "relu" else np.tanh(v["x"])
        plain = call("dense_grad_x", isa, v["dy"], v["w"], dims=dims)
        expected = call(f"{activation}_grad", isa, plain, y, dims=(plain.size, 0, 0)) if plain.size else plain
        fused = call(f"dense_grad_x_{activation}", isa, v["dy"], v["w"], y, dims=dims)
        assert same_bits(fused, expected.reshape(m, k)), dims


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("isa", ISAS)
def test_fused_updates_are_their_parts(isa: str, parts: int) -> None:
    for dims in [*FINISHED_SHAPES, (256, 70, 290), (200, 300, 40), (255, 3, 1100)]:
        _, k, n = dims
        v = operands(dims, normal)
        w, b = normal(k, n, seed=9), normal(n, seed=10)
        dw, db = (run(op, isa, dims, v) for op in ("dense_grad_w", "bias_grad"))
        rate = np.float32(0.125)
        got = call("dense_grad_w_sgd", isa, v["x"], v["dy"], dims=dims, state=w, parts=parts)
        assert same_bits(got, w - rate * dw), dims
        assert same_bits(call("bias_grad_sgd", isa, v["dy"], dims=dims, state=b, parts=parts), b - rate * db), dims


@pytest.mark.parametrize("isa", ISAS)
def test_special_values_stay_in_their_row_and_column(isa: str) -> None:
    """What fills a tile or a vector up is never added: inf times such a zero would be NaN."""
    for dims in [(5, 7, 11), (7, 20, 67), (66, 5, 1100)]:
        m, k, n = dims
        clean = operands(dims, normal)
        for value in (np.inf, -np.inf, np.nan):
            v = {name: array.copy() for name, array in clean.items()}
            v["x"][m - 1, k - 1] = value
            v["w"][0, n - 1] = value
            y, before = (run("dense", isa, dims, u) for u in (v, clean))
            assert same_bits(y[:-1, :-1], before[:-1, :-1])
            with np.errstate(invalid="ignore"):
                expected = v["x"].astype(np.float64) @ v["w"].astype(np.float64) + v["b"]
            for got, want in [(y[-1], expected[-1]), (y[:, -1], expected[:, -1])]:
                np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
                np.testing.assert_array_equal(got[np.isinf(want)], want[np.isinf(want)])


@pytest.mark.parametrize("isa", ISAS)
def test_denormals_are_flushed_and_the_mode_restored(isa: str) -> None:
    tiny = np.full((3, 1), 1e-30, np.float32)
    got = call("dense", isa, tiny, np.full((1, 5), 1e-10, np.float32), None, dims=(3, 1, 5))
    assert (got == 0).all()
    got = call(
        "dense", isa, np.full((3, 1), 1e-40, np.float32), np.full((1, 5), 1e30, np.float32), None, dims=(3, 1, 5)
    )
    assert (got == 0).all()
    assert (tiny * np.float32(1e-10) > 0).all()
