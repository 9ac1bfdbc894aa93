"""The table of cases: for every op the shapes to try, how to make its inputs, and how close a kernel must come.

Where every intermediate result is exact, or rounded as in the definition, a kernel must give the definition's values:
``ulps`` is 0. Sums are made so by operands on a coarse grid, whose sums and products are exact in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
from activation_table import ACTIVATIONS

from nncore.ops import Step, get, letters_of
from nncore.ops.losses import EPSILON
from nncore.ops.normalization import UNIT_LIMIT

Array = np.ndarray[Any, Any]
Dims = Mapping[str, int]
Maker = Callable[[np.random.Generator, tuple[int, ...], Dims], "Array | None"]
"""``make(rng, shape, dims)``: one input in the shape of its term; None leaves an optional one out."""

SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-30, -1e-30, 3e38, -3e38], np.float32)

# Around the lanes of every instruction set (4, 8, 16), the 64 elements that dropout draws together, and primes.
ELEMENTS = [{"m": m} for m in (0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 127, 128, 129, 997)]
PARAMETERS = [{"p": d["m"]} for d in ELEMENTS]
ROWS = [
    {"m": m, "n": n}
    for m, n in [
        *product((0, 1, 5, 17), (1, 3, 10, 17)),
        *((m, 10) for m in (2, 3, 4, 7, 8, 9, 15, 16, 31, 32, 33, 64, 70)),
        *((3, n) for n in (2, 4, 5, 7, 8, 9, 13, 15, 16, 31, 32, 33, 47, 48, 49, 100, 127, 257, 1000)),
        *((m, 1) for m in (15, 16, 31, 33, 70)),
    ]
]
COUNTED = [
    {**d, "t": 2 + (d["m"] + 7 * d["n"]) % 40, "c": d["n"] if i % 2 else 1}
    for i, d in enumerate(d for d in ROWS if d["n"] <= 100)
]
PRODUCTS = [
    {"m": m, "k": k, "n": n}
    for m, k, n in [
        *((m, 5, 10) for m in (0, 1, 2, 3, 4, 6, 7, 8, 13, 16, 17, 31, 70)),
        *((5, k, 10) for k in (1, 2, 16, 100, 127, 255, 256, 257, 600)),
        *((5, 7, n) for n in (1, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 257)),
        *((1, 64, n) for n in (1, 10, 64, 129)),
        (17, 33, 97),
        (33, 300, 70),
    ]
]
GLU = [{"m": d["m"], "c": 2, "h": d["n"]} for d in ROWS]
SWAPS = [
    {"m": m, "a": a, "b": b, "c": c}
    for m, a, b, c in [
        *((m, 3, 5, 1) for m in (0, 1, 2, 7)),
        *((2, a, b, 1) for a, b in product((1, 4, 9, 16, 17), (1, 8, 15, 33))),
        *((3, 5, 4, c) for c in (2, 3, 8, 16, 33)),
        (1, 64, 48, 1),
        (2, 0, 3, 1),
    ]
]
STEPS = [
    {"m": m, "n": n, "k": k}
    for m, n, k in [
        *((m, 3, 5) for m in (0, 1, 2, 17)),
        *((3, n, 7) for n in (1, 2, 5, 16)),
        *((3, 4, k) for k in (1, 4, 8, 15, 16, 17, 33)),
    ]
]

MATRICES = [
    {"l": leading, "a": rows, "b": columns}
    for leading, rows, columns in [
        *((1, rows, columns) for rows, columns in [(1, 1), (1, 5), (5, 1), (7, 10), (16, 16), (17, 33), (100, 3)]),
        (2, 3, 17), (9, 5, 4), (3, 17, 31),
    ]
]  # fmt: skip
BLOCKS = [
    {"m": m, "b": b, "c": c}
    for m, b, c in [
        *((1, b, c) for b in (1, 4, 17) for c in (1, 3, 16, 17, 63, 64, 65, 130)),
        *((m, 5, 3) for m in (0, 2, 7)),
        *((m, b, 1) for m in (2, 17) for b in (1, 15, 16, 33)),
    ]
]

# As the rows, by columns: around the vectors of a strip, and around the blocks of rows that are summed.
CHANNELS = [
    {"m": m, "c": c}
    for m, c in [
        *product((0, 1, 2, 5, 17), (1, 3, 10, 17)),
        *((3, c) for c in (2, 4, 8, 15, 16, 31, 32, 33, 48, 49, 63, 64, 65, 100, 127, 128, 129, 257)),
        *((m, 5) for m in (128, 255, 256, 257, 512, 600)),
    ]
]
LONG_COLUMNS = [*ROWS, {"m": 257, "n": 5}, {"m": 600, "n": 20}]


def with_special(make: Maker) -> Maker:
    """The maker with every fourth element, at random, replaced by one of SPECIAL."""

    def made(rng: np.random.Generator, shape: tuple[int, ...], dims: Dims) -> Array | None:
        x = make(rng, shape, dims)
        if x is None:
            return None
        return np.where(rng.random(shape) < 0.25, rng.choice(SPECIAL, shape), x).astype(np.float32)

    return made


def with_special_rows(make: Maker) -> Maker:
    """The maker with NaN, inf or -inf in one place of every third row, and in all of a few."""

    def made(rng: np.random.Generator, shape: tuple[int, ...], dims: Dims) -> Array | None:
        x = make(rng, shape, dims)
        assert x is not None
        for i in range(0, shape[0], 3):
            x[i, rng.integers(shape[1])] = (np.nan, np.inf, -np.inf)[i // 3 % 3]
        x[4::7] = -np.inf
        return x

    return made


def real(rng: np.random.Generator, shape: tuple[int, ...], dims: Dims) -> Array:
    """Any values of about 1."""
    return rng.normal(0, 2, shape).astype(np.float32)


def grid(rng: np.random.Generator, shape: tuple[int, ...], dims: Dims) -> Array:
    """Multiples of 1/8: sums of up to thousands of products of two are exact."""
    return (rng.integers(-24, 25, shape) / 8).astype(np.float32)


def activated(rng: np.random.Generator, shape: tuple[int, ...], dims: Dims) -> Array:
    """Outputs of an activation: multiples of 1/64 in [-1, 1], among them 0 and ±1."""
    return np.clip(rng.integers(-80, 81, shape) / 64, -1, 1).astype(np.float32)


def logit(rng: np.random.Generator, shape: tuple[int, ...], dims: Dims) -> Array:
    """Multiples of 2^-10, whose differences are exact; every fifth row is far apart, up to where exp underflows."""
    z = rng.integers(-(2**13), 2**13, shape) / 2**10
    z[::5] *= 13
    return z.astype(np.float32)


def probability(rng: np.random.Generator, shape: tuple[int, ...], dims: Dims) -> Array:
    """Multiples of 1/64 in [0, 1], many of them 0 or 1; no row is all zeros."""
    p = np.clip(rng.integers(-8, 73, shape) / 64, 0, 1)
    p[..., 0] = np.where(p.sum(axis=-1) == 0, 0.5, p[..., 0])
    return p.astype(np.float32)


def limit(rng: np.random.Generator, shape: tuple[int, ...], dims: Dims) -> Array:
    """Probabilities at, next to and beyond the limits to which the losses clip."""
    low, high = np.float32(EPSILON), np.float32(1) - np.float32(EPSILON)
    below, above = np.nextafter([low, high], np.float32(0)), np.nextafter([low, high], np.float32(1))
    return rng.choice(np.array([0, low, high, 1, *below, *above], np.float32), shape)


def distribution(rng: np.random.Generator, shape: tuple[int, ...], dims: Dims) -> Array:
    """Targets of a row: one-hot, or in every third row any multiples of 1/8, or in every seventh row zeros."""
    t = np.zeros(shape)
    if t.size:
        t[np.arange(shape[0]), rng.integers(0, shape[1], shape[0])] = 1
        t[::3] = rng.integers(0, 9, t[::3].shape) / 8
        t[::7] = 0
    return t.astype(np.float32)


def binary(rng: np.random.Generator, shape: tuple[int, ...], dims: Dims) -> Array:
    """Targets of a value: 0 or 1, and some 1/4."""
    return rng.choice([0, 1, 0, 1, 0.25], shape).astype(np.float32)


def signs(rng: np.random.Generator, shape: tuple[int, ...], dims: Dims) -> Array:
    """Targets of a hinge: -1 or 1, and some 1/2."""
    return rng.choice([-1, 1, -1, 1, 0.5], shape).astype(np.float32)


def bits(rng: np.random.Generator, shape: tuple[int, ...], dims: Dims) -> Array:
    """0 or 1 alone."""
    return rng.integers(0, 2, shape).astype(np.float32)


def bits_but_one(rng: np.random.Generator, shape: tuple[int, ...], dims: Dims) -> Array:
    """0 or 1, and in the last place 1/4."""
    values = bits(rng, shape, dims)
    values[-1:] = 0.25
    return values


def amount(rng: np.random.Generator, shape: tuple[int, ...], dims: Dims) -> Array:
    """Multiples of 1/64 of at least 1/64, and some 0."""
    return (np.maximum(rng.integers(-8, 193, shape), 0) / 64).astype(np.float32)


def label(rng: np.random.Generator, shape: tuple[int, ...], dims: Dims) -> Array:
    return rng.integers(0, dims["n"], shape).astype(np.int32)


def few(rng: np.random.Generator, shape: tuple[int, ...], dims: Dims) -> Array:
    """Labels of few classes, and some that are none."""
    return rng.choice([0, 1, 2, 3, -1, 255, -(2**31), 2**31 - 2], shape).astype(np.int32)


def row_number(rng: np.random.Generator, shape: tuple[int, ...], dims: Dims) -> Array:
    """Rows of a table of k, and some that are none."""
    return rng.integers(-1, dims["k"] + 1, shape).astype(np.int32)


def weight(rng: np.random.Generator, shape: tuple[int, ...], dims: Dims) -> Array:
    """Sample weights, some 0."""
    return np.maximum(rng.normal(1, 1, shape), 0).astype(np.float32)


def squares(rng: np.random.Generator, shape: tuple[int, ...], dims: Dims) -> Array:
    """A running mean of squares."""
    return np.square(real(rng, shape, dims))


def positive(rng: np.random.Generator, shape: tuple[int, ...], dims: Dims) -> Array:
    """A norm, or several."""
    return (0.01 + np.square(rng.normal(0, 1, shape))).astype(np.float32)


def endless(rng: np.random.Generator, shape: tuple[int, ...], dims: Dims) -> Array:
    """A norm that is no number, or too large for one."""
    return np.where(dims["m"] % 2, np.inf, np.nan * np.ones(shape)).astype(np.float32)


def zero(rng: np.random.Generator, shape: tuple[int, ...], dims: Dims) -> Array:
    """Nothing."""
    return np.zeros(shape, np.float32)


def halves(rng: np.random.Generator, shape: tuple[int, ...], dims: Dims) -> Array:
    """Powers of 2, by which values stay on a grid."""
    return rng.choice([0.5, 1, 2], shape).astype(np.float32)


def minute(rng: np.random.Generator, shape: tuple[int, ...], dims: Dims) -> Array:
    """Rows of zeros, of values whose squares vanish, and of such that do not."""
    return (grid(rng, shape, dims) * rng.choice([0, 1e-25, 1e-5], (*shape[:1], 1))).astype(np.float32)


def limited(rng: np.random.Generator, shape: tuple[int, ...], dims: Dims) -> Array:
    """Factors of ``unit_norm``, some at its limit."""
    return rng.choice([UNIT_LIMIT, 0.5, 2], shape).astype(np.float32)


def class_number(rng: np.random.Generator, shape: tuple[int, ...], dims: Dims) -> Array:
    """Classes as real numbers."""
    return rng.integers(0, dims["n"], shape).astype(np.float32)


def class_id(rng: np.random.Generator, shape: tuple[int, ...], dims: Dims) -> Array:
    """int32 classes, some of them out of range."""
    return rng.integers(-2, 7, shape).astype(np.int32)


def weight64(rng: np.random.Generator, shape: tuple[int, ...], dims: Dims) -> Array:
    """Weights in float64."""
    return rng.uniform(0, 2, shape)


def ascending(rng: np.random.Generator, shape: tuple[int, ...], dims: Dims) -> Array:
    """float64 thresholds in [0, 1], some equal, and inf at last."""
    return np.append(np.sort(rng.integers(0, 65, shape[0] - 1) / 64), np.inf)


def tiny(rng: np.random.Generator, shape: tuple[int, ...], dims: Dims) -> Array:
    """Values about 1e-9."""
    return rng.choice([-2e-9, 0.0, 5e-10, 1e-9, 2e-9], shape).astype(np.float32)


def probability_of_row(rng: np.random.Generator, shape: tuple[int, ...], dims: Dims) -> Array:
    """Multiples of 1/64 in [0, 1]."""
    return (rng.integers(0, 65, shape) / 64).astype(np.float32)


def spread_out(rng: np.random.Generator, shape: tuple[int, ...], dims: Dims) -> Array:
    """Rows that vary: 0, 1, 2, … in some order, and noise."""
    return (rng.permuted(np.broadcast_to(np.arange(shape[1]), shape), axis=1) + rng.normal(0, 0.1, shape)).astype(
        np.float32
    )


def absent(rng: np.random.Generator, shape: tuple[int, ...], dims: Dims) -> None:
    return None


def source(rng: np.random.Generator, shape: tuple[int, ...], dims: Dims) -> Array:
    """More rows than the batch takes; see ``step_of``."""
    return real(rng, (SOURCE_ROWS, shape[1]), dims)


SOURCE_ROWS = 211
STORED = 700
"""Values of the sparse matrix: a few a row, some of them for one place."""


def row_starts(rng: np.random.Generator, shape: tuple[int, ...], dims: Dims) -> Array:
    """Of a sparse matrix: some rows are empty, and the first value is not the first row's."""
    cuts = np.sort(rng.integers(3, STORED, SOURCE_ROWS + 1))
    return (cuts * (dims["n"] > 0)).astype(np.int64)[:, None]


def stored(rng: np.random.Generator, shape: tuple[int, ...], dims: Dims) -> Array:
    return real(rng, (STORED, 1), dims)


def stored_columns(rng: np.random.Generator, shape: tuple[int, ...], dims: Dims) -> Array:
    return rng.integers(0, max(1, dims["n"]), (STORED, 1)).astype(np.int32)


@dataclass(frozen=True)
class Case:
    """How to try one op."""

    op: str
    shapes: list[dict[str, int]]
    inputs: tuple[tuple[Maker, ...], ...]
    """One or more sets of makers, one maker an input."""
    attributes: tuple[dict[str, float], ...] = ({},)
    ulps: float = 0
    """The largest error against the definition in float32, in units of 2^-23 of the larger of the value and ``scale``.
    Both sides' errors are in it: see ``why``."""
    why: str = ""
    scale: Callable[..., Any] = field(default=lambda *inputs: 0)
    """``scale(*inputs)``: the size of what was added up, where more than the result's; it broadcasts to the outputs."""
    aliases: tuple[tuple[int, int], ...] = ()
    """(output, input) that may be the same array, one pair at a time."""
    rows_meet: bool = False
    """Whether a row's values depend on the rows beside it."""
    state: tuple[tuple[int, int], ...] = ()
    """(output, input) that are the same array always; input -1: none, but the output is read as well."""


def _each(inputs: Iterable[Maker]) -> tuple[tuple[Maker, ...], ...]:
    """Inputs as they are, and with special values."""
    plain = tuple(inputs)
    return plain, tuple(with_special(m) for m in plain)


def _first_special(*inputs: Maker) -> tuple[tuple[Maker, ...], ...]:
    """Inputs as they are, and with special values in rows of the first."""
    return inputs, (with_special_rows(inputs[0]), *inputs[1:])


CLIP_ATTRIBUTES = ({"low": -1.0, "high": 0.5}, {"low": -np.inf, "high": 1.0}, {"low": 0.25, "high": np.inf})
BETAS = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}
FOCUS = (
    {"gamma": 2.0, "one": 1.0, "zero": 1.0}, {"gamma": 0.0, "one": 0.25, "zero": 0.75},
    {"gamma": 1.5, "one": 0.5, "zero": 0.5},
)  # fmt: skip
SETS = (
    {"scale": 2.0, "truth": 1.0, "guess": 1.0, "both": 0.0}, {"scale": 1.0, "truth": 0.3, "guess": 0.7, "both": 0.0},
    {"scale": 1.0, "truth": 0.25, "guess": 0.5, "both": 0.25},
)  # fmt: skip
SET = "sums by their weights, and the quotient, all rounded"


def _union(p: Array, t: Array, axis: int | None) -> Any:
    """About the least divisor of the cases of SETS"""
    return 0.25 * (np.sum(np.abs(p), axis=axis) + np.sum(t, axis=axis)) + EPSILON


def activation_cases() -> Iterator[Case]:
    """The cases of the activations' ops and their gradients."""
    for name, row in ACTIVATIONS.items():
        known = get(f"{name}_grad").body.__code__.co_varnames[2]  # what the gradient takes: the input or the output
        given = [[real], [real, real if known == "x" else activated]]
        for op, makers, ulps, floor in zip((name, f"{name}_grad"), given, row.apart, row.floor, strict=True):
            scale = {} if floor == 0 else {"scale": _floor(floor, op != name)}
            aliases = tuple((0, i) for i in range(len(makers)))
            yield Case(
                op, ELEMENTS, _each(makers), row.attributes, ulps, "see activation_table", aliases=aliases, **scale
            )


def _floor(floor: float, gradient: bool) -> Callable[..., Any]:
    """The scale of errors: the floor, for a gradient that of its dy."""
    return lambda *inputs: np.abs(inputs[0]) * floor if gradient else floor


LOG = "the logarithms of either side, 1 ulp each, and sums of n terms in different orders"

CASES = {
    case.op: case
    for case in [
        # Products of values on the grid are exact; the activations behind them are those of their own ops.
        Case("dense", PRODUCTS, ((grid, grid, grid), (grid, grid, absent))),
        Case("dense_relu", PRODUCTS, ((grid, grid, grid), (grid, grid, absent))),
        Case("dense_tanh", PRODUCTS, ((grid, grid, grid), (grid, grid, absent)), ulps=5, why="as tanh"),
        Case("dense_sigmoid", PRODUCTS, ((grid, grid, grid), (grid, grid, absent)), ulps=5, why="as sigmoid"),
        Case("dense_grad_x", PRODUCTS, ((grid, grid),)),
        Case("dense_grad_x_relu", PRODUCTS, ((grid, grid, activated),)),
        Case("dense_grad_x_tanh", PRODUCTS, ((grid, grid, activated),)),
        Case("dense_grad_x_sigmoid", PRODUCTS, ((grid, grid, activated),)),
        Case("dense_grad_w", PRODUCTS, ((grid, grid),)),
        Case("dense_grad_w_sgd", PRODUCTS, ((grid, grid, grid),), state=((0, 2),)),
        Case("bias_grad", ROWS, ((grid,),)),
        Case("bias_grad_sgd", ROWS, ((grid, grid),), state=((0, 1),)),
        *(
            Case(name, ELEMENTS, _each([real, real]), aliases=((0, 0), (0, 1)))
            for name in ("subtract", "maximum", "minimum", "absolute_grad")
        ),
        # A tiny value over a huge one would be denormal: 0 here, not in NumPy.
        Case("divide", ELEMENTS, ((real, real), (with_special(real), real)), aliases=((0, 0), (0, 1))),
        Case(
            "where_larger", ELEMENTS, _each([real, grid, grid]), ({"or_equal": 0.0}, {"or_equal": 1.0}),
            aliases=((0, 0), (0, 1), (0, 2)),
        ),
        Case("quotient_of", ELEMENTS, ((real,),), ({"numerator": 1.0}, {"numerator": -2.5}), aliases=((0, 0),)),
        Case("clip", ELEMENTS, _each([real]), CLIP_ATTRIBUTES, aliases=((0, 0),)),
        Case("clip_grad", ELEMENTS, _each([real, grid]), CLIP_ATTRIBUTES, aliases=((0, 0), (0, 1))),
        Case("sqrt", ELEMENTS, _each([squares]), aliases=((0, 0),)),
        Case("log", ELEMENTS, _each([squares]), ulps=3, why=LOG, aliases=((0, 0),)),
        Case("absolute", ELEMENTS, _each([real]), aliases=((0, 0),)),
        Case("row_add", ROWS, _each([real, real]), aliases=((0, 0),)),
        Case("row_multiply", ROWS, _each([real, real]), aliases=((0, 0),)),
        Case("row_sum", ROWS, _first_special(grid)),
        *activation_cases(),
        Case("scale_shift", ELEMENTS, _each([real]), ({"scale": 1 / 255, "offset": -0.5},), aliases=((0, 0),)),
        Case("add", ELEMENTS, _each([real, real]), aliases=((0, 0), (0, 1))),
        Case("multiply", ELEMENTS, _each([real, real]), aliases=((0, 0), (0, 1))),
        Case("swap", SWAPS, _each([real])),
        Case("repeat", STEPS, _each([real])),
        Case("sum_steps", STEPS, _each([grid])),
        Case(
            "softmax", ROWS, _first_special(logit), ulps=8, aliases=((0, 0),),
            why="exp of either side, 1 ulp and 3, the sums of them, and a quotient",
        ),
        Case(
            "log_softmax", ROWS, _first_special(logit), ulps=8, aliases=((0, 0),),
            why="as softmax; the logarithm of a sum near 1 has an absolute error", scale=lambda z: 1,
        ),
        Case(
            "log_softmax_grad", ROWS, (*_first_special(grid, grid),), ulps=6, aliases=((0, 0), (0, 1)),
            why="exp of either side, 1 ulp and 3; two terms cancel",
            scale=lambda dy, y: np.abs(np.exp(y) * dy.sum(axis=1, keepdims=True)),
        ),
        Case("sparsemax", ROWS, _first_special(grid), aliases=((0, 0),)),
        Case("sparsemax_grad", ROWS, _first_special(grid, activated), aliases=((0, 0), (0, 1))),
        Case("glu", GLU, ((real,), (with_special(real),)), ulps=5, why="sigmoid of either side: 2 ulp and 3"),
        Case(
            "glu_grad", GLU, ((real, real), (real, with_special(real))), ulps=8, aliases=((0, 1),),
            why="exp of either side, 1 ulp and 3, and quotients by 1 + exp",
        ),
        Case("prelu", ROWS, _first_special(real, grid), aliases=((0, 0),)),
        Case("prelu_grad", ROWS, _first_special(real, real, grid), aliases=((0, 0), (0, 1))),
        Case("softmax_grad", ROWS, _first_special(grid, activated), aliases=((0, 0), (0, 1))),
        Case(
            "softmax_cross_entropy", ROWS, _first_special(logit, distribution), ulps=8, aliases=((0, 0),),
            why="as softmax; the logarithm of a sum near 1 has an absolute error", scale=lambda z, t: 1,
        ),
        Case("softmax_cross_entropy_grad", ROWS, _first_special(activated, distribution, real), aliases=((0, 0),)),
        Case(
            "sparse_softmax_cross_entropy", ROWS, _first_special(logit, label), ulps=8, aliases=((0, 0),),
            why="as softmax_cross_entropy", scale=lambda z, label: 1,
        ),
        Case(
            "softmax_cross_entropy_train", ROWS,
            (*_first_special(logit, distribution, weight), (logit, distribution, absent)), ulps=8, aliases=((0, 0),),
            why="as softmax_cross_entropy", scale=lambda z, t, weight: 1,
        ),
        Case(
            "sparse_softmax_cross_entropy_train", ROWS,
            (*_first_special(logit, label, weight), (logit, label, absent)), ulps=8, aliases=((0, 0),),
            why="as softmax_cross_entropy", scale=lambda z, label, weight: 1,
        ),
        Case("sparse_softmax_cross_entropy_grad", ROWS, _first_special(activated, label, real), aliases=((0, 0),)),
        Case(
            "sigmoid_binary_cross_entropy", ROWS, _first_special(logit, binary), ulps=8, aliases=((0, 0),),
            why="sigmoid, exp and log1p of either side; z cancels", scale=lambda z, t: 1 + np.abs(z).max(initial=0),
        ),
        Case("sigmoid_binary_cross_entropy_grad", ROWS, _first_special(activated, binary, real), aliases=((0, 0),)),
        Case("mean_squared_error", ROWS, _first_special(grid, grid)),
        Case("mean_squared_error_grad", ROWS, _first_special(real, real, real), aliases=((0, 0),)),
        Case("mean_absolute_error", ROWS, _first_special(grid, grid)),
        Case("mean_absolute_error_grad", ROWS, _first_special(grid, grid, real), aliases=((0, 0),)),
        Case(
            "binary_cross_entropy", ROWS, (*_first_special(probability, binary), (limit, binary)), ulps=8, why=LOG,
        ),
        Case(
            "binary_cross_entropy_grad", ROWS, (*_first_special(probability, binary, real), (limit, binary, real)),
            aliases=((0, 0),),
        ),
        Case("cross_entropy", ROWS, _first_special(probability, distribution), ulps=8, why=LOG),
        Case(
            "cross_entropy_grad", ROWS, _first_special(probability, distribution, real), ulps=8, aliases=((0, 0),),
            why="a sum of n rounded products", scale=lambda p, t, dloss: np.abs(dloss)[:, None] * 64,
        ),
        Case("sparse_cross_entropy", ROWS, _first_special(probability, label), ulps=3, why=LOG),
        Case("sparse_cross_entropy_grad", ROWS, _first_special(probability, label, real), aliases=((0, 0),)),
        # The percentages and the parts of huber are of values on the grid; the quotients by small targets are large.
        Case(
            "mean_absolute_percentage_error", ROWS, _first_special(grid, grid), ulps=4,
            why="a quotient and a product rounded, and sums of n of them in different orders",
        ),
        Case(
            "mean_absolute_percentage_error_grad", ROWS, _first_special(grid, grid, real), aliases=((0, 0),), ulps=1,
            why="dloss 100 / n is rounded twice, in either order",
        ),
        Case(
            "mean_squared_logarithmic_error", ROWS, _first_special(real, amount), ulps=16,
            why=LOG + "; their difference is squared", scale=lambda p, t: 1,
        ),
        Case(
            "mean_squared_logarithmic_error_grad", ROWS, _first_special(real, amount, real), ulps=8,
            aliases=((0, 0),), why=LOG, scale=lambda p, t, dloss: np.abs(dloss)[:, None],
        ),
        Case("huber", ROWS, _first_special(grid, grid), ({"delta": 1.0}, {"delta": 0.25})),
        Case("huber_grad", ROWS, _first_special(grid, grid, real), ({"delta": 1.0}, {"delta": 0.3}), aliases=((0, 0),)),
        Case(
            "log_cosh", ROWS, _first_special(grid, grid), ulps=4, why="exp and log1p of either side, less log 2",
            scale=lambda p, t: 1,
        ),
        Case("log_cosh_grad", ROWS, _first_special(grid, grid, real), ulps=6, why="as tanh", aliases=((0, 0),)),
        Case(
            "poisson", ROWS, _first_special(amount, amount), ulps=8, why=LOG + "; 3 log(1e-7) is -48",
            scale=lambda p, t: 48,
        ),
        Case("poisson_grad", ROWS, _first_special(amount, amount, real), aliases=((0, 0),)),
        # The squares of values on the grid are exact, their root, the quotients and products are rounded.
        Case(
            "cosine_similarity", ROWS, _first_special(grid, grid), ulps=8, why="sums of n rounded products",
            scale=lambda p, t: 1,
        ),
        Case(
            "cosine_similarity_grad", ROWS, _first_special(grid, grid, real), ulps=8, aliases=((0, 0),),
            why="a sum of n rounded products, times 1 / |p|",
            scale=lambda p, t, dloss: (np.abs(dloss) * 1 / np.maximum(np.sqrt(np.sum(p * p, axis=1)), 1e-7))[:, None],
        ),
        Case(
            "binary_focal_cross_entropy", ROWS, (*_first_special(probability, binary), (limit, binary)), FOCUS, ulps=12,
            why=LOG + "; powers, 1.5 ulp and 1",
        ),
        Case(
            "binary_focal_cross_entropy_grad", ROWS,
            (*_first_special(probability, binary, real), (limit, binary, real)), FOCUS, ulps=12, aliases=((0, 0),),
            why="as binary_focal_cross_entropy, of two parts that cancel",
            scale=lambda p, t, dloss: 100 * np.abs(dloss)[:, None],
        ),
        Case(
            "focal_cross_entropy", ROWS, _first_special(probability, distribution),
            ({"gamma": 2.0, "alpha": 0.25}, {"gamma": 0.0, "alpha": 1.0}, {"gamma": 1.5, "alpha": 2.0}), ulps=12,
            why=LOG + "; powers, 1.5 ulp and 1",
        ),
        Case(
            "focal_cross_entropy_grad", ROWS, _first_special(probability, distribution, real),
            ({"gamma": 2.0, "alpha": 0.25}, {"gamma": 0.0, "alpha": 1.0}, {"gamma": 1.5, "alpha": 2.0}), ulps=12,
            aliases=((0, 0),), why="a sum of n rounded products", scale=lambda p, t, dloss: np.abs(dloss)[:, None] * 64,
        ),
        Case(
            "generalized_cross_entropy", ROWS, _first_special(probability, label), ({"q": 0.5}, {"q": 0.9}), ulps=4,
            why="powers of either side, 1.5 ulp and 1, less 1 and by q", scale=lambda p, label: 2,
        ),
        Case(
            "generalized_cross_entropy_grad", ROWS, _first_special(probability, label, real), ({"q": 0.5}, {"q": 0.9}),
            ulps=4, why="powers of either side, 1.5 ulp and 1", aliases=((0, 0),),
        ),
        Case(
            "kl_divergence", ROWS, _first_special(probability, probability), ulps=8,
            why=LOG + "; terms of both signs", scale=lambda p, t: 16 * np.maximum(np.sum(t, axis=1), 1),
        ),
        Case("kl_divergence_grad", ROWS, _first_special(probability, probability, real), aliases=((0, 0),)),
        Case("hinge", ROWS, _first_special(grid, signs)),
        Case("hinge_grad", ROWS, _first_special(grid, signs, real), aliases=((0, 0),)),
        Case("squared_hinge", ROWS, _first_special(grid, signs)),
        Case("squared_hinge_grad", ROWS, _first_special(grid, signs, real), aliases=((0, 0),)),
        Case("categorical_hinge", ROWS, _first_special(activated, distribution)),
        Case("categorical_hinge_grad", ROWS, _first_special(activated, distribution, real), aliases=((0, 0),)),
        # Sums of values on a coarse grid are exact; the weights by which they are multiplied are rounded.
        Case("overlap", ROWS, _first_special(probability, binary), SETS, ulps=4, why=SET, scale=lambda p, t: 2),
        Case(
            "overlap_grad", ROWS, _first_special(probability, binary, real), SETS, ulps=8, aliases=((0, 0),), why=SET,
            scale=lambda p, t, dloss: (np.abs(dloss) / _union(p, t, 1))[:, None],
        ),
        Case(
            "batch_overlap", ROWS, _first_special(probability, binary), SETS, ulps=4, why=SET, scale=lambda p, t: 2,
            rows_meet=True,
        ),
        Case(
            "batch_overlap_grad", ROWS, _first_special(probability, binary, real), SETS, ulps=8, why=SET,
            scale=lambda p, t, dloss: np.full((1, 1), np.abs(dloss).sum() / _union(p, t, None)), rows_meet=True,
        ),
        Case("hinge_targets", ELEMENTS, (*_each([bits]), (bits_but_one,), (signs,))),
        Case("known_labels", ELEMENTS, ((few,),), ({"ignored": 0.0}, {"ignored": 3.0}, {"ignored": -(2.0**31)})),
        Case(
            "weigh_rows", ELEMENTS,
            ((weight, bits, real), (weight, absent, real), (absent, bits, real), (absent, absent, real)),
            ({"reduction": 0.0}, {"reduction": 1.0}, {"reduction": 2.0}),
        ),
        Case(
            "penalty", [*ELEMENTS, {"m": 5000}], _each([grid]),
            ({"l1": 0.125, "l2": 0.0}, {"l1": 0.0, "l2": 0.25}, {"l1": 0.01, "l2": 0.003}, {"l1": 0.0, "l2": 0.0}),
        ),
        Case(
            "penalty_grad", ELEMENTS, (*_each([real, real]), (grid, grid)),
            ({"l1": 0.125, "l2": 0.0}, {"l1": 0.0, "l2": 0.25}, {"l1": 0.01, "l2": 0.003}), aliases=((0, 1),),
        ),
        Case("per_sample", ROWS, ((real, real),)),
        Case("constant", ELEMENTS[:1], ((),), ({"value": 0.1},)),
        Case("add_penalty", ELEMENTS, ((real, real),), state=((0, -1),)),
        Case("off_diagonal", [{"k": d["m"], "n": d["n"]} for d in ROWS], _first_special(real), aliases=((0, 0),)),
        Case(
            "limit_norm", BLOCKS, ((grid,), (with_special(real),)),
            ({"least": 0.0, "most": 2.0, "rate": 1.0}, {"least": 1.0, "most": 1.0, "rate": 1.0},
             {"least": 3.0, "most": 9.0, "rate": 0.3}),
            ulps=4, why="a sum of b squares in another order, its root, and the quotient by it", state=((0, 0),),
        ),
        Case(
            "batch_norm", CHANNELS, (*_first_special(grid, real, real), (grid, absent, absent)), ({"epsilon": 1e-3},),
            ulps=2, why="sums of up to 256 rounded squares in different orders; gamma and beta cancel",
            aliases=((0, 0),), scale=lambda *x: 10,
        ),
        Case(
            "batch_norm_grad_w", CHANNELS, _first_special(grid, grid, grid, squares), ({"epsilon": 1e-3},),
        ),
        Case(
            "batch_norm_grad_x", CHANNELS,
            (*_each([real, real, real, real, squares, real, real]), (real, real, absent, real, squares, real, real)),
            ({"epsilon": 1e-3},), aliases=((0, 0), (0, 1)),
        ),
        Case("moving_average", [{"c": d["m"]} for d in ELEMENTS], _each([real, real]), ({"momentum": 0.99},),
             state=((0, 0),)),
        Case(
            "inverse_deviation", [{"n": d["m"]} for d in ELEMENTS], (*_each([squares, real]), (squares, absent)),
            ({"epsilon": 1e-3, "least": 0.0}, {"epsilon": 0.0, "least": 0.5}),
        ),
        Case(
            "affine", ROWS,
            (*_each([real] * 4), (real, real, absent, absent), (real, absent, real, absent),
             (real, absent, absent, real)),
            aliases=((0, 0),),
        ),
        Case("affine_grad_scale", LONG_COLUMNS, (*_first_special(grid, grid, grid), (grid, grid, absent))),
        Case(
            "layer_norm", ROWS, (*_first_special(grid, real, real), (grid, absent, absent)), ({"epsilon": 1e-3},),
            ulps=3, why="sums of n rounded squares in different orders; gamma and beta cancel",
            aliases=((0, 0),), scale=lambda *x: 10,
        ),
        Case(
            "layer_norm_grad_x", ROWS,
            (*_first_special(grid, grid, grid, grid, activated), (grid, grid, absent, grid, activated)),
            ulps=2, why="sums of n rounded products in different orders", scale=lambda *x: 10, aliases=((0, 0), (0, 1)),
        ),
        Case(
            "rms_norm", ROWS, _first_special(grid, real), ({"epsilon": 1e-3},), aliases=((0, 0),),
            ulps=3, why="sums of n rounded squares in different orders",
        ),
        Case(
            "rms_norm_grad_x", ROWS, _first_special(grid, grid, grid, activated), aliases=((0, 0), (0, 1)),
            ulps=2, why="sums of n rounded products in different orders", scale=lambda *x: 10,
        ),
        Case(
            "row_norm_grad_w", LONG_COLUMNS, (*_first_special(grid, grid, grid, halves), (grid, grid, absent, halves)),
        ),
        Case(
            "unit_norm", ROWS, (*_first_special(grid), (minute,)), aliases=((0, 0),),
            ulps=3, why="sums of n rounded squares in different orders",
        ),
        Case("unit_norm_grad", ROWS, (*_first_special(grid, activated, grid), (grid, activated, limited)),
             aliases=((0, 0), (0, 1))),
        Case("loss_scale", ELEMENTS, ((weight, real), (absent, real))),
        Case("spread", ROWS, ((weight, real),)),
        Case("add_rows", ELEMENTS, (*_each([real, weight]), (real, absent)), state=((0, -1),)),
        Case("binary_matches", ROWS, _first_special(probability, binary), ({"threshold": 0.5}, {"threshold": 0.1})),
        Case("categorical_matches", ROWS, _first_special(activated, distribution)),
        Case("sparse_matches", ROWS, _first_special(activated, label)),
        Case("equal_matches", ROWS, _first_special(binary, binary)),
        Case("top_k_matches", ROWS, _first_special(activated, label), ({"k": 1.0}, {"k": 3.0}, {"k": 2000.0})),
        Case("listed_matches", ROWS, _first_special(class_number, label), ({"k": 1.0}, {"k": 5.0})),
        # Sums in float64 of the same values in the same order: equal to the last bit.
        Case(
            "add_confusion", COUNTED,
            (
                (probability, binary, real, weight64, ascending), (probability, binary, absent, absent, ascending),
                (with_special(real), with_special(binary), weight, absent, ascending),
                (limit, binary, absent, weight64, ascending),
            ),
            ({"even": 0.0, "least": 0.0}, {"even": 1.0, "least": 0.0},
             {"even": 1.0, "least": 1.0}),
            state=((0, -1), (1, -1)),
        ),
        Case(
            "add_pairs", [{**d, "c": c} for d in ELEMENTS for c in (1, 5)],
            ((class_id, class_id, real), (class_id, class_id, absent)),
            ({"ignore": -1.0, "whole": 0.0}, {"ignore": 2.0, "whole": 1.0}),
            state=((0, -1),),
        ),
        Case(
            "add_products", ROWS,
            ((real, real, weight), (real, absent, weight), (grid, grid, absent), (with_special(real), absent, absent)),
            state=((0, -1),),
        ),
        Case("argmax", ROWS, _first_special(activated)),
        Case("as_labels", ELEMENTS, _each([real])),
        Case("column", ROWS, _first_special(real), ({"index": 0.0},)),
        Case(
            "exceeds", ELEMENTS, _each([probability_of_row]), ({"threshold": 0.5}, {"threshold": 0.1}),
            aliases=((0, 0),),
        ),
        Case("row_maxima", ROWS, (*_first_special(activated), (tiny,))),
        Case("keep_top_k", ROWS, _first_special(activated), ({"k": 1.0}, {"k": 3.0}, {"k": 2000.0})),
        Case(
            "pearson", ROWS, _first_special(spread_out, spread_out), ulps=24,
            why="means, roots and a mean of products of either side, each in its own order of summation",
            scale=lambda p, t: 1,
        ),
        Case(
            "concordance", ROWS, _first_special(spread_out, spread_out), ulps=24, why="as pearson",
            scale=lambda p, t: 1,
        ),
        Case(
            "dropout", ELEMENTS, _each([real]), aliases=((0, 0),),
            attributes=tuple(
                {"rate": r, "stream": float(s), "seed": float(k)}
                for r, s, k in [(0.5, 0, 0), (0.1, 3, 4_000_000_000), (0.0, 1, 7), (0.999, 2**32 - 1, 1), (1.0, 2, 2)]
            ),
        ),
        *(
            Case(
                name, shapes, _each([real]), aliases=((0, 0),),
                attributes=tuple(
                    {"rate": r, "stream": float(s), "seed": float(k)}
                    for r, s, k in [(0.5, 0, 0), (0.2, 3, 4e9), (1, 2, 2)]
                ),
            )
            for name, shapes in [
                ("spatial_dropout", STEPS),
                ("batch_dropout", [{"m": d["m"], "k": d["n"]} for d in ROWS]),
            ]
        ),
        *(
            Case(
                name, ELEMENTS, _each([real]), aliases=((0, 0),),
                attributes=tuple(
                    {"stddev": r, "stream": float(s), "seed": float(k)} for r, s, k in [(0.5, 0, 0), (3.0, 3, 4e9)]
                ),
            )
            for name in ("gaussian_noise", "gaussian_dropout")
        ),
        Case(
            "row_order", ELEMENTS, ((),),
            attributes=tuple(
                {"count": float(n), "block": float(block)}
                for n, block in [(997, 997), (1025, 2000), (2**20, 2**20), (2**50 + 1, 2**50 + 1), (10_000, 1000)]
            ),
        ),
        Case("gather", ROWS, ((source,),)),
        Case("gather_int", ROWS, ((source,),)),
        Case("gather_csr", ROWS, ((row_starts, stored, stored_columns),)),
        Case("sgd", PARAMETERS, ((real, real),), state=((0, 0),)),
        Case(
            "sgd_momentum", PARAMETERS, ((real, real, real),), state=((0, 0), (1, 1)),
            attributes=({"momentum": 0.9, "nesterov": 0.0}, {"momentum": 0.9, "nesterov": 1.0}),
        ),
        *(
            Case(op, PARAMETERS, ((real, real, squares, real),), (BETAS,), state=((0, 0), (1, 1), (2, 2)))
            for op in ("adam", "adamax", "nadam")
        ),
        Case(
            "adam_amsgrad", PARAMETERS, _each([real, real, squares, squares, real]), (BETAS,),
            state=tuple((i, i) for i in range(4)),
        ),
        Case(
            "rmsprop", PARAMETERS, ((real, squares, real),), ({"rho": 0.9, "epsilon": 1e-7},), state=((0, 0), (1, 1)),
        ),
        Case(
            "rmsprop_momentum", PARAMETERS, ((real, squares, real, real),),
            ({"rho": 0.9, "epsilon": 1e-7, "momentum": 0.8},), state=((0, 0), (1, 1), (2, 2)),
        ),
        Case(
            "rmsprop_centered", PARAMETERS, _each([real, squares, real, real]), ({"rho": 0.9, "epsilon": 1e-3},),
            state=((0, 0), (1, 1), (2, 2)),
        ),
        Case(
            "rmsprop_centered_momentum", PARAMETERS, ((real, squares, real, real, real),),
            ({"rho": 0.9, "epsilon": 1e-3, "momentum": 0.8},), state=tuple((i, i) for i in range(4)),
        ),
        Case("adagrad", PARAMETERS, _each([real, squares, real]), ({"epsilon": 1e-7},), state=((0, 0), (1, 1))),
        Case(
            "adadelta", PARAMETERS, ((real, squares, squares, real),), ({"rho": 0.9, "epsilon": 1e-7},),
            state=((0, 0), (1, 1), (2, 2)),
        ),
        Case("lion", PARAMETERS, _each([real, real, real]), ({"beta_1": 0.9, "beta_2": 0.99},), state=((0, 0), (1, 1))),
        Case(
            "ftrl", PARAMETERS, ((real, squares, real, real),), state=((0, 0), (1, 1), (2, 2)),
            attributes=tuple(
                {"power": power, "l1": l1, "l2": l2, "shrinkage": shrinkage, "beta": beta}
                for power, l1, l2, shrinkage, beta in [
                    (0.5, 0.0, 0.0, 0.0, 0.0), (0.5, 1.5, 0.25, 0.125, 0.5), (1.0, 0.5, 0.0, 0.0, 0.0),
                    (0.0, 0.0, 0.25, 0.5, 0.0),
                ]
            ),
        ),
        Case("accumulated", ELEMENTS, _each([real, real]), ({"count": 3.0},), state=((0, 0), (1, 1))),
        Case("norm", ELEMENTS + [{"m": n} for n in (1023, 1024, 1025, 5000)], ((grid,), (with_special(grid),))),
        Case(
            "clip_norm", ELEMENTS, ((real, positive), (with_special(real), positive), (real, endless)),
            aliases=((0, 0),), attributes=tuple({"limit": 0.5, "strict": s} for s in (0.0, 1.0)),
        ),
        Case("decay", ELEMENTS, _each([real]), ({"decay": 0.1, "rate": 1.0},), state=((0, 0),)),
        Case("average", ELEMENTS, _each([real, real]), ({"rate": 2.0},), state=((0, 0),)),
        Case("lamb", ELEMENTS, ((real, squares, real),), (BETAS,), state=((0, 0), (1, 1))),
        Case(
            "lamb_step", ELEMENTS, state=((0, 0),),
            inputs=(
                *((with_special(real), with_special(real), w, u) for w in (positive, zero) for u in (positive, zero)),
                (real, real, endless, positive), (real, real, positive, endless),
            ),
        ),
        Case(
            "row_squares", MATRICES, ((grid, squares),), ({"epsilon": 1e-30},), state=((0, 1),), ulps=2,
            why="where all of a row is 0, a sum of n epsilons in another order",
        ),
        Case("column_squares", MATRICES, ((grid, squares),), ({"epsilon": 1e-30},), state=((0, 1),)),
        Case(
            "factored", MATRICES, ((real, squares, squares),), ulps=8,
            why="a sum of up to 100 values in another order",
        ),
        Case("unfactored", ELEMENTS, _each([squares, real]), ({"epsilon": 1e-30},), state=((0, 0),)),
        Case(
            "adafactor_step", ELEMENTS, state=((0, 0),),
            inputs=(
                (with_special(real), with_special(real), positive, positive),
                (real, real, endless, positive), (real, real, positive, endless),
            ),
            attributes=tuple({"epsilon": e, "threshold": t} for e, t in [(1e-3, 1.0), (0.5, 0.01)]),
        ),
        Case(
            "muon_momentum", ELEMENTS, _each([real, real]), state=((0, 0),),
            attributes=tuple({"momentum": 0.95, "nesterov": n} for n in (0.0, 1.0)),
        ),
        Case(
            "normalized", ELEMENTS, ((real, positive), (with_special(real), positive), (real, endless)),
            ({"epsilon": 1e-7},), aliases=((0, 0),),
        ),
        Case(
            "weighted_sum", ELEMENTS, _each([real, real]), ({"alpha": -4.775, "beta": 2.0315},),
            aliases=((0, 0), (0, 1)),
        ),
        Case("muon_step", ELEMENTS, _each([real, real]), ({"scale": 1.5},), state=((0, 0),)),
        Case("embedding", PRODUCTS, ((row_number, real), (row_number, with_special(real)))),
        Case("embedding_grad", PRODUCTS, ((grid, row_number, real),)),
        Case("mask_steps", ROWS, ((binary,), (with_special(grid),)), ({"value": 0.0}, {"value": 1.0})),
    ]
}  # fmt: skip


def shape_of(term: str, dims: Dims) -> tuple[int, ...]:
    """The shape of an operand."""
    return tuple(dims[letter] for letter in letters_of(term))


def make_inputs(case: Case, makers: tuple[Maker, ...], dims: Dims) -> list[Array | None]:
    """The inputs of a case, the same in every run."""
    rng = np.random.default_rng([list(CASES).index(case.op), case.inputs.index(makers), *dims.values()])
    return [make(rng, shape_of(t, dims), dims) for make, t in zip(makers, get(case.op).inputs, strict=True)]


def step_of(op: str, dims: Dims) -> Step:
    """The step of a case: rows in no order, or positions, a number beyond 32 bits, a 64-bit key, a rate."""
    rows: Any = np.random.default_rng(5).integers(0, SOURCE_ROWS, dims.get("m", 0))
    if op == "row_order":
        first = (997 - dims["m"]) // 2
        rows = slice(first, first + dims["m"])
    return Step(rows=rows, number=2**33 + 12345, seed=0xFEDCBA9876543210, rates=np.array([0.0123, 0.75, 0.9]))
