"""Every kernel, on every instruction set that this machine has, against the NumPy definition of its op."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases import CASES, Array, Case, Dims, make_inputs, shape_of, step_of
from oracles import FUSED_ISAS, ISAS, listed_kernels

from nncore import _native
from nncore.ops import OPS, Op, get
from nncore.ops.random import random_words

FENCE = 67
"""Elements before and after every operand; odd, so that no operand is aligned to a vector."""

PARTS = (2, 3, 4, 5)
SCRATCH = np.zeros(max(PARTS) * _native.SCRATCH_BYTES + 63, np.uint8)

NUMPY_DTYPES = {"real": np.float32, "float64": np.float64, "int32": np.int32, "int64": np.int64}


def fenced(values: Array) -> Array:
    """A copy of an array in the middle of memory that is NaN, or the least integer."""
    poison = np.nan if values.dtype.kind == "f" else np.iinfo(values.dtype).min
    memory = np.full(values.size + 2 * FENCE, poison, values.dtype)
    inside = memory[FENCE : FENCE + values.size].reshape(values.shape)
    inside[...] = values
    return inside


def fence_is_whole(array: Array) -> bool:
    """Whether nothing was written around a fenced array."""
    memory = array
    while memory.base is not None:
        memory = memory.base
    around = np.concatenate([memory[:FENCE], memory[len(memory) - FENCE :]])
    return bool(np.isnan(around).all() if around.dtype.kind == "f" else (around == np.iinfo(around.dtype).min).all())


def same(a: Array, b: Array) -> bool:
    """Bit for bit the same, any NaN being one."""
    bits = {4: np.uint32, 8: np.uint64}[a.dtype.itemsize]
    both_nan = np.isnan(a) & np.isnan(b) if a.dtype.kind == "f" else np.zeros(a.shape, bool)
    return bool(((np.ascontiguousarray(a).view(bits) == np.ascontiguousarray(b).view(bits)) | both_nan).all())


def operand_dtype(op: Op, name: str) -> str:
    return op.dtypes.get(name, "real")


def make_outputs(op: Op, dims: Dims, state: dict[int, Array]) -> list[Array]:
    """Fenced outputs full of NaN, except those that are state."""
    outputs = []
    for i, term in enumerate(op.outputs):
        dtype = NUMPY_DTYPES[operand_dtype(op, f"out{i}")]
        poison = np.nan if np.dtype(dtype).kind == "f" else np.iinfo(dtype).min
        outputs.append(state[i] if i in state else fenced(np.full(shape_of(term, dims), poison, dtype)))
    return outputs


class Run:
    """One call of an op, by kernel or by definition, on fresh copies of the inputs."""

    def __init__(self, case: Case, dims: Dims, inputs: list[Array | None], attributes: dict[str, float]) -> None:
        self.case, self.op, self.dims = case, get(case.op), dims
        self.attributes = attributes | {name: float(dims[name]) for name in self.op.attributes if name in dims}
        self.originals = inputs
        self.step = step_of(case.op, dims)

    def _operands(self, alias: tuple[int, int] | None) -> tuple[list[Array], list[Array | None]]:
        inputs = [None if x is None else fenced(x) for x in self.originals]
        state = {}
        for output, i in (*self.case.state, *([alias] if alias else [])):
            shared = fenced(np.full(shape_of(self.op.outputs[output], self.dims), 2.5)) if i < 0 else inputs[i]
            assert shared is not None
            state[output] = shared
        return make_outputs(self.op, self.dims, state), inputs

    def define(self) -> list[Array]:
        """The outputs by the op's definition."""
        outputs, inputs = self._operands(None)
        extra: dict[str, Any] = {"step": self.step} if self.op.step else {}
        with np.errstate(all="ignore"):
            self.op.body(*outputs, *inputs, **self.attributes, **extra)
        return outputs

    def kernel(self, isa: str, parts: int = 1, alias: tuple[int, int] | None = None) -> list[Array]:
        """The outputs by the kernel; asserts that it wrote its outputs and nothing else."""
        op, dims, step = self.op, self.dims, self.step
        outputs, inputs = self._operands(alias)
        names = [f"out{i}" for i in range(len(outputs))] + [f"in{i}" for i in range(len(inputs))]
        sizes = [int(np.prod(shape_of(t, dims))) for t in (*op.outputs, *op.inputs)]
        rows = {"first": step.rows.start} if isinstance(step.rows, slice) else {"rows": step.rows}
        _native.call(
            op.name, outputs, inputs, [operand_dtype(op, n) for n in names], sizes,
            [dims[letter] for letter in op.letters], [self.attributes[a] for a in op.attributes],
            **rows, number=step.number, seed=step.seed, rates=step.rates, isa=isa, parts=parts, scratch=SCRATCH,
        )  # fmt: skip
        for array in (*outputs, *inputs):
            assert array is None or fence_is_whole(array), f"{self} wrote outside an operand"
        for original, array in zip(self.originals, inputs, strict=True):
            if array is not None and not any(array is output for output in outputs):
                assert same(original, array), f"{self} wrote into an input"
        return outputs

    def __repr__(self) -> str:
        return f"{self.op.name} {self.dims} {self.attributes}"


def runs(case: Case) -> list[Run]:
    """Every shape, set of inputs and set of attributes of a case."""
    return [
        Run(case, dims, make_inputs(case, makers, dims), attributes)
        for dims in case.shapes
        for makers in case.inputs
        for attributes in case.attributes
    ]


def assert_close(run: Run, got: Array, want: Array) -> None:
    """Equal as values where ``ulps`` is 0, else within them, or denormals flushed; special values equal in any case."""
    if run.case.ulps == 0:
        np.testing.assert_array_equal(got, want, err_msg=str(run))
        return
    special = ~np.isfinite(want)
    np.testing.assert_array_equal(got[special], want[special], err_msg=str(run))
    with np.errstate(all="ignore"):
        scale = np.maximum(np.abs(want), np.nan_to_num(run.case.scale(*run.originals), posinf=0))
        error = np.abs(got.astype(np.float64) - want) - np.finfo(np.float32).tiny
        ulps = np.max(error / (scale * 2.0**-23), where=~special & (error > 0), initial=0)
    assert ulps <= run.case.ulps, str(run)


@pytest.mark.tree
def test_the_same_ops_everywhere() -> None:
    kernels = listed_kernels()
    assert sorted(kernels) == sorted(OPS)
    assert sorted(kernels) == sorted(CASES)
    assert kernels == list(_native.OP_INDEX)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("op", CASES)
def test_definition(op: str, isa: str) -> None:
    for run in runs(CASES[op]):
        for got, want in zip(run.kernel(isa), run.define(), strict=True):
            assert_close(run, got, want)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("op", CASES)
def test_any_number_of_parts(op: str, isa: str) -> None:
    for run in runs(CASES[op]):
        whole = run.kernel(isa)
        for parts in PARTS:
            assert all(map(same, run.kernel(isa, parts), whole)), f"{run} in {parts} parts"


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("op", [op for op, case in CASES.items() if case.aliases])
def test_in_place(op: str, isa: str) -> None:
    for run in runs(CASES[op]):
        apart = run.kernel(isa)
        for alias in run.case.aliases:
            assert all(map(same, run.kernel(isa, alias=alias), apart)), f"{run} with output, input {alias} the same"


@pytest.mark.parametrize("op", CASES)
def test_instruction_sets_agree(op: str) -> None:
    for run in runs(CASES[op]):
        results = [run.kernel(isa) for isa in FUSED_ISAS]
        for result in results[1:]:
            assert all(map(same, result, results[0])), f"{run} differs between {FUSED_ISAS}"


ROW_BY_ROW = [
    op
    for op, case in CASES.items()
    if {"m", "n"} <= set(case.shapes[0])
    and all(t.startswith("m") for t in get(op).outputs)
    and not get(op).step
    and not case.rows_meet
]


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("op", ROW_BY_ROW)
def test_a_row_alone(op: str, isa: str) -> None:
    """A row's bits do not depend on the rows beside it."""
    case = CASES[op]
    dims = next(d for d in case.shapes if d["m"] == 17)
    for makers in case.inputs:
        inputs = make_inputs(case, makers, dims)
        whole = Run(case, dims, inputs, case.attributes[0]).kernel(isa)
        for r in (0, 3, 16):
            row = [
                x[r : r + 1] if x is not None and t.startswith("m") else x
                for x, t in zip(inputs, get(op).inputs, strict=True)
            ]
            alone = Run(case, {**dims, "m": 1}, row, case.attributes[0]).kernel(isa)
            assert all(same(a, w[r : r + 1]) for a, w in zip(alone, whole, strict=True)), (op, r)


@pytest.mark.parametrize("fault", ["last element not written", "sign", "one value too far off", "outside"])
@pytest.mark.parametrize("op", CASES)
def test_a_fault_would_be_seen(op: str, fault: str) -> None:
    """The comparison above, for this op's operands and tolerance, rejects the smallest faults of each kind."""
    case = CASES[op]
    run = next(run for run in reversed(runs(case)) if any(np.nan_to_num(y, posinf=0).any() for y in run.define()))
    got, want = run.kernel(ISAS[0]), run.define()
    at = next(i for i, y in enumerate(want) if np.nan_to_num(y, posinf=0).any())
    y, exact = got[at], want[at]
    if fault == "outside":
        assert fence_is_whole(y)
        base = y.base if y.base.base is None else y.base.base
        base[FENCE + y.size] = 0
        assert not fence_is_whole(y)
        return
    assert_close(run, y, exact)
    place = np.unravel_index(np.argmax(np.abs(np.nan_to_num(exact, posinf=0, neginf=0))), exact.shape)
    if fault == "last element not written":
        y[(-1,) * y.ndim] = np.iinfo(y.dtype).min if y.dtype.kind == "i" else 12345
    elif fault == "sign":
        y[place] = -y[place]
    elif y.dtype.kind == "i":
        y[place] += 1
    else:
        scale = np.broadcast_to(np.nan_to_num(case.scale(*run.originals)), exact.shape)[place]
        y[place] = exact[place] + (case.ulps + 1) * 2.0**-23 * max(abs(exact[place]), scale)
    with pytest.raises(AssertionError):
        assert_close(run, y, exact)


DTYPES = ["float32", "float64", "bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))]


def source_values(dtype: str, shape: tuple[int, int]) -> Array:
    """Values over the whole range of a dtype, all of which fit into an int32 where they are floats."""
    rng = np.random.default_rng(11)
    if dtype == "bool":
        return rng.random(shape) < 0.5
    if dtype.startswith("float"):
        return (rng.normal(0, 1, shape) * 10.0 ** rng.integers(-3, 9, shape)).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)


def with_layout(values: Array, layout: str) -> Array:
    """The same values in another place of memory: the last three are views with strides of their own."""
    if layout == "F":
        return np.asfortranarray(values)
    if layout == "unaligned":
        memory = np.zeros(values.nbytes + 1, np.uint8)
        moved = memory[1:].view(values.dtype).reshape(values.shape)
    else:
        rows, columns = {"C": (1, 1), "every third": (3, 3), "reversed": (-1, -1), "padded": (1, 2)}[layout]
        size = [n * abs(step) for n, step in zip(values.shape, (rows, columns), strict=True)]
        moved = np.zeros(size, values.dtype)[::rows, ::columns]
    moved[...] = values
    return moved


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("layout", ["C", "F", "every third", "reversed", "padded", "unaligned"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", ["gather", "gather_int"])
def test_gather_reads_any_array(op: str, dtype: str, layout: str, isa: str) -> None:
    """Every dtype and layout; rows picked in any order, more than once, or consecutive."""
    out = {"gather": "real", "gather_int": "int32"}[op]
    for n in (0, 1, 3, 4, 7, 8, 9, 16, 17, 33, 100):
        values = source_values(dtype, (23, n))
        source = with_layout(values, layout)
        for rows, first in [(np.array([22, 0, 0, 7, 13, 21, 1]), 0), (None, 5), (np.zeros(0, np.int64), 0)]:
            m = 7 if rows is None else len(rows)
            want = values[first : first + m] if rows is None else values[rows]
            got = fenced(np.zeros((m, n), NUMPY_DTYPES[out]))
            for parts in (1, 3):
                got[...] = 99
                _native.call(
                    op, [got], [source], [out, "any"], [m * n, None], [m, n],
                    rows=rows, first=first, isa=isa, parts=parts, scratch=SCRATCH,
                )  # fmt: skip
                np.testing.assert_array_equal(got, want.astype(got.dtype))
                assert fence_is_whole(got)


@pytest.mark.parametrize("isa", ISAS)
def test_signs_of_zero(isa: str) -> None:
    """relu and tanh keep the sign of a zero, and tanh the sign and value of what is too small to bend."""
    x = np.array([-0.0, 0.0, 1e-30, -1e-30], np.float32)
    for op, want in [("relu", np.array([-0.0, 0.0, 1e-30, 0.0], np.float32)), ("tanh", x)]:
        y = np.full(4, np.nan, np.float32)
        _native.call(op, [y], [x], ["real"] * 2, [4, 4], [4], isa=isa, scratch=SCRATCH)
        assert same(y, want), op


@pytest.mark.parametrize("isa", ISAS)
def test_dropout_keeps_the_element_whose_word_is_the_threshold(isa: str) -> None:
    """At a rate that is a drawn word by 2³², exactly the smaller words are dropped."""
    words = random_words(200, step=3, stream=1, seed=9)
    for e in (0, 5, 199):
        x = np.ones(200, np.float32)
        y, mask = np.full_like(x, np.nan), np.full_like(x, np.nan)
        _native.call(
            "dropout", [y, mask], [x], ["real"] * 3, [200] * 3, [200], [float(words[e]) / 2**32, 1.0, 0.0],
            number=3, seed=9, isa=isa, scratch=SCRATCH,
        )  # fmt: skip
        np.testing.assert_array_equal(mask > 0, words >= words[e])
        np.testing.assert_array_equal(y, mask)


@pytest.mark.parametrize("isa", ISAS)
def test_argmax(isa: str) -> None:
    """The first of equals wins, NaN is the largest, and a row of -inf has its largest in front."""
    nan, inf = np.nan, np.inf
    rows = [[1, 3, 3, 2], [nan, 9, nan, 9], [0, 1, nan, 2], [-inf] * 4, [-inf, -inf, inf, inf], [-5, -4, -3, -2]]
    want = [1, 0, 2, 0, 2, 3]
    for before in (0, 3, 14, 15, 16, 40):
        p = np.array([[-inf] * before + row + [-inf] * 3 for row in rows], np.float32)
        first = [i + before if before == 0 or row[i] != -inf else 0 for i, row in zip(want, rows, strict=True)]
        np.testing.assert_array_equal(np.argmax(p, axis=1), first)
        for offset in (0, 1):
            labels = np.array(first, np.int32) + np.array(offset, np.int32)
            match = np.full(len(rows), nan, np.float32)
            _native.call(
                "sparse_matches", [match], [p, labels], ["real", "real", "int32"], [6, p.size, 6], p.shape,
                isa=isa, scratch=SCRATCH,
            )  # fmt: skip
            np.testing.assert_array_equal(match, np.full(6, 1 - offset))
