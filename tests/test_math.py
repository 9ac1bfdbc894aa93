"""exp, log, log1p, tanh and sigmoid of the kernels against float64, over the whole range of float32.

tanh and sigmoid are ops; the others are reached through ops whose other steps are exact, or nearly, at these operands.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from activation_table import ACTIVATIONS
from oracles import FUSED_ISAS, ISAS

from nncore import _native, ops

Array = np.ndarray[Any, Any]

SCRATCH = np.zeros(_native.SCRATCH_BYTES + 63, np.uint8)
TINY = float(np.finfo(np.float32).tiny)


def floats(low: float, high: float, count: int) -> Array:
    """About ``count`` floats of [low, high], spread evenly over all that there are, ends included."""

    def place(x: float) -> int:
        bits = int(np.array(x, np.float32).view(np.int32))
        return bits if bits >= 0 else -(bits & 0x7FFFFFFF)

    first, last = place(low), place(high)
    places = np.append(np.arange(first, last, max((last - first) // count, 1)), last)
    size = np.abs(places).astype(np.int32).view(np.float32)
    return np.where(places < 0, -size, size).astype(np.float32)


def unary(op: str, x: Array, isa: str) -> Array:
    y = np.full_like(x, np.nan)
    _native.call(op, [y], [x], ["real"] * 2, [x.size] * 2, [x.size], isa=isa, scratch=SCRATCH)
    return y


def tanh(x: Array, isa: str) -> Array:
    return unary("tanh", x, isa)


def sigmoid(x: Array, isa: str) -> Array:
    return unary("sigmoid", x, isa)


def exp(x: Array, isa: str) -> Array:
    """By the softmax of (0, x): at x < -17.4 its second value is exp(x) divided by 1."""
    z = np.stack([np.zeros_like(x), x], axis=1)
    p = np.full_like(z, np.nan)
    _native.call("softmax", [p], [z], ["real"] * 2, [z.size] * 2, list(z.shape), isa=isa, scratch=SCRATCH)
    return p[:, 1]


def minus_log(x: Array, isa: str) -> Array:
    """By the cross-entropy of the label 0 in (x, 1 - x), where their sum is exactly 1, and x at least EPSILON."""
    p = np.stack([x, 1 - x], axis=1)
    loss, label = np.full_like(x, np.nan), np.zeros(x.size, np.int32)
    _native.call(
        "sparse_cross_entropy", [loss], [p, label], ["real", "real", "int32"], [x.size, p.size, x.size],
        list(p.shape), isa=isa, scratch=SCRATCH,
    )  # fmt: skip
    return loss


def softplus(x: Array, isa: str) -> Array:
    """log(1 + exp(x)), x <= 0, by the binary cross-entropy of the logit x against 0."""
    z, zeros = x[:, None], np.zeros_like(x)[:, None]
    p, loss = np.full_like(z, np.nan), np.full_like(x, np.nan)
    _native.call(
        "sigmoid_binary_cross_entropy", [p, loss], [z, zeros], ["real"] * 4, [x.size] * 4, [x.size, 1],
        isa=isa, scratch=SCRATCH,
    )  # fmt: skip
    return loss


def exact_sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


FUNCTIONS: dict[str, tuple[Any, Any, list[tuple[float, float]], float]] = {
    # The kernel, the exact function, the ranges, and the largest error in ulp with a fused multiply-add.
    "tanh": (tanh, np.tanh, [(-3.4e38, 3.4e38), (-10, 10)], 2),
    "sigmoid": (sigmoid, exact_sigmoid, [(-3.4e38, 3.4e38), (-88, 88)], 2),
    "exp": (exp, np.exp, [(-1e30, -17.4), (-104, -17.4)], 2),
    # The sum 1 + exp(x) and the quotient by it are rounded once each: 0.5 and 0.5 of larger ulp.
    "exp of softmax": (exp, exact_sigmoid, [(-17.4, 0)], 3),
    "log": (minus_log, lambda x: -np.log(x), [(1.0000001e-7, 0.9999998), (0.5, 0.9999998)], 2),
    # An error of exp(x) is at most as large in log(1 + exp(x)).
    "softplus": (softplus, lambda x: np.log1p(np.exp(x)), [(-3.4e38, 0), (-88, 0)], 3),
}


def check(name: str, isa: str, count: int) -> None:
    kernel, exact, ranges, most = FUNCTIONS[name]
    most += 0 if isa in FUSED_ISAS else 0.5  # a product that is rounded before it is added
    for low, high in ranges:
        x = floats(low, high, count)
        if name == "log":
            x = x[(x + (1 - x) == 1) & ((1 - x).astype(np.float64) == 1 - x.astype(np.float64))]
        got, want = kernel(x, isa).astype(np.float64), exact(x.astype(np.float64))
        ulp = 2.0 ** (np.floor(np.log2(np.maximum(np.abs(want), TINY))) - 23)
        error = np.where((np.abs(want) < TINY) & (got == 0), 0, np.abs(got - want) / ulp)
        worst = int(np.argmax(error))
        assert error[worst] <= most, f"{name}({x[worst]!r}): {error[worst]:.3f} ulp on {isa}"


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_error(name: str, isa: str) -> None:
    check(name, isa, 2_000_000)


def power(x: Array, exponent: float, isa: str) -> Array:
    """By the gradient of the generalized cross-entropy at the only label, for dloss = -1."""
    p, label, dloss = x[:, None], np.zeros(x.size, np.int32), np.full_like(x, -1)
    dp = np.full_like(p, np.nan)
    _native.call(
        "generalized_cross_entropy_grad", [dp], [p, label, dloss], ["real", "real", "int32", "real"], [x.size] * 4,
        list(p.shape), [exponent + 1], isa=isa, scratch=SCRATCH,
    )  # fmt: skip
    return dp[:, 0]


EXPONENTS = (-1.0, -0.5, 0.125, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0)


@pytest.mark.parametrize("isa", ISAS)
def test_power(isa: str) -> None:
    """Within 2 ulp over all positive floats, where the power is finite and not next to a denormal."""
    x = floats(TINY, 3.4e38, 200_000)
    for exponent in EXPONENTS:
        got = power(x, exponent, isa).astype(np.float64)
        with np.errstate(over="ignore", under="ignore"):
            want = np.power(x.astype(np.float64), exponent)
        ulp = 2.0 ** (np.floor(np.log2(np.clip(want, TINY, 3e38))) - 23)
        inside = (want >= 1.001 * TINY) & (want < float(np.finfo(np.float32).max))
        error = np.where(inside, np.abs(np.where(inside, got - want, 0)) / ulp, 0)
        assert error.max() <= 2, f"{x[error.argmax()]!r} to the {exponent}: {error.max():.3f} ulp on {isa}"
        np.testing.assert_array_equal(got[want > 3.5e38], np.inf)
        np.testing.assert_array_equal(got[want < TINY * 0.999], 0)


def test_powers_agree() -> None:
    x = floats(TINY, 3.4e38, 100_003)
    for exponent in EXPONENTS:
        results = [power(x, exponent, isa).view(np.uint32) for isa in FUSED_ISAS]
        assert all((result == results[0]).all() for result in results)


@pytest.mark.parametrize("isa", ISAS)
def test_limits_of_powers(isa: str) -> None:
    nan, inf = np.nan, np.inf
    x = np.array([0.0, -0.0, 1.0, inf, nan, -1.0, -inf, 1e-30], np.float32)
    for exponent, want in [
        (2.0, [0, 0, 1, inf, nan, nan, nan, 0]), (-0.5, [inf, inf, 1, 0, nan, nan, nan, 1e15]), (0.0, [1] * 8),
    ]:  # fmt: skip
        np.testing.assert_allclose(power(x, exponent, isa), np.array(want, np.float32), rtol=1e-6)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_instruction_sets_agree(name: str) -> None:
    kernel, _, ranges, _ = FUNCTIONS[name]
    for low, high in ranges:
        x = floats(low, high, 200_003)
        results = [kernel(x, isa).view(np.uint32) for isa in FUSED_ISAS]
        assert all((result == results[0]).all() for result in results)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("place", range(16))
def test_limits(place: int, isa: str) -> None:
    """NaN, ±inf, ±0, saturation and underflow, in every lane of a vector."""
    nan, inf = np.nan, np.inf
    x = np.array([nan, inf, -inf, 0.0, -0.0, 9.02, -9.02, 17.4, -87.4, 88.7, -3e38, 3e38, 1e-30, -1e-30], np.float32)
    moved = np.concatenate([np.full(place, 0.5, np.float32), x])
    want_tanh = [nan, 1, -1, 0.0, -0.0, 1, -1, 1, -1, 1, -1, 1, x[12], x[13]]
    want_sigmoid = [nan, 1, 0, 0.5, 0.5, nan, nan, 1, 0, 1, 0, 1, 0.5, 0.5]
    found_tanh, found_sigmoid = (f(moved, isa)[place:] for f in (tanh, sigmoid))
    np.testing.assert_array_equal(found_tanh, np.array(want_tanh, np.float32))
    np.testing.assert_array_equal(np.signbit(found_tanh[3:5]), [False, True])
    known = ~np.isnan(want_sigmoid) | np.isnan(x)
    np.testing.assert_array_equal(found_sigmoid[known], np.array(want_sigmoid, np.float32)[known])
    np.testing.assert_array_equal(exp(np.array([-87.4, -104, -inf], np.float32), isa), [0, 0, 0])
    assert exp(np.array([-87.3], np.float32), isa)[0] > 0


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
def test_saturates_without_a_step_back(name: str, isa: str) -> None:
    """Never beyond the limit, and non-decreasing on a grid coarser than the error, up to the saturated ends."""
    x = np.arange(-100, 100, 2.0**-7, dtype=np.float32)
    y = FUNCTIONS[name][0](x, isa)
    low = {"tanh": -1, "sigmoid": 0}[name]
    assert y.min() == low
    assert y.max() == 1
    above = np.diff(y.astype(np.float64))
    assert (above >= -2.0 * np.spacing(np.abs(y[1:]))).all()


def activation_kernel(op: str, x: Array, attributes: list[float], isa: str) -> Array:
    """An activation, or the gradient of one for a dy of 1."""
    y, inputs = np.full_like(x, np.nan), [np.ones_like(x), x] if op.endswith("_grad") else [x]
    _native.call(
        op, [y], inputs, ["real"] * (1 + len(inputs)), [x.size] * (1 + len(inputs)), [x.size], attributes, isa=isa,
        scratch=SCRATCH,
    )  # fmt: skip
    return y


FLUSHED = 128 * TINY
"""What is lost where a factor of x would be denormal and is 0: as much times |x|, which is below 128 there."""


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_error_of_an_activation(name: str, isa: str) -> None:
    """Value and gradient against their definitions in float64, at floats of all sizes."""
    row = ACTIVATIONS[name]
    for attributes in row.attributes:
        for place, op in enumerate((name, f"{name}_grad")):
            if place and ops.get(op).body.__code__.co_varnames[2] == "y":
                continue  # a product of what is given
            for low, high in ((-3e38, 3e38), (-20, 20)):
                x = floats(low, high, 150_000)
                x = x[np.abs(x) >= TINY]
                wide, want = x.astype(np.float64), np.empty(x.size)
                with np.errstate(all="ignore"):
                    ops.get(op).body(want, *([np.ones(x.size)] if place else []), wide, **attributes)
                got = activation_kernel(op, x, list(attributes.values()), isa).astype(np.float64)
                size = np.maximum(np.abs(want), max(row.floor[place], TINY))
                beyond = np.isinf(got) & (np.abs(want) > np.finfo(np.float32).max)
                with np.errstate(all="ignore"):
                    error = np.abs(got - want)
                    ulps = np.where(beyond | (error <= FLUSHED), 0, error / 2.0 ** (np.floor(np.log2(size)) - 23))
                worst = int(np.argmax(ulps))
                most = row.ulps[place] + (0 if isa in FUSED_ISAS else 0.5)
                assert ulps[worst] <= most, f"{op}({x[worst]!r}, {attributes}): {ulps[worst]:.3f} ulp on {isa}"
