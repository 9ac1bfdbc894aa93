"""Elementwise activations and their gradients. Every body and kernel may write its output over any one of its inputs.

NaN stays NaN everywhere, except that a gradient is 0 where its mask says so. Limits at ±inf are exact. Definitions are
written so that float32 loses no more than a few units in the last place: sigmoids and logarithms of 1 + exp(x) through
exp(-|x|), and nothing near 1 is subtracted from 1.
"""

from __future__ import annotations

from collections.abc import Callable
from math import erfc, pi, sqrt
from typing import Any

import numpy as np

from nncore.ops.base import Call, Emit, Gradients, gradient, op

Array = np.ndarray[Any, Any]


def activation(*attributes: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register the decorated body as the op of its name, y[m] from x[m]."""
    return op("m -> m", *attributes)


def derivative(*attributes: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register the decorated body, ``f_grad``, as an op and as the gradient of f: dx[m] from dy[m] and x[m] or y[m].

    It gets what its third parameter is called: ``x``, the input of f, or ``y``, its output.
    """

    def register(body: Callable[..., None]) -> Callable[..., None]:
        name, operand = body.__name__, body.__code__.co_varnames[2]

        @gradient(name.removesuffix("_grad"))
        def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
            known = {"x": call.inputs, "y": call.outputs}[operand][0]
            return emit(name, d_outputs[0], known, **call.attributes)

        return op("m, m -> m", *attributes)(body)

    return register


def weigh(share: Array, x: Array) -> Array:
    """share x, and 0 where the share is 0, also for an infinite x."""
    return np.multiply(share, x, out=np.zeros_like(x), where=share != 0)


# Piecewise linear.


@activation()
def relu(y: Array, x: Array) -> None:
    """y = max(x, 0); NaN stays NaN, -0.0 stays -0.0"""
    y[...] = np.where(x < 0, 0, x)


@derivative()
def relu_grad(dx: Array, dy: Array, y: Array) -> None:
    """dx = dy where y > 0, else 0; y is the output of relu"""
    positive = y > 0
    dx[...] = np.where(positive, dy, 0)


@activation("negative_slope", "max_value", "threshold")
def general_relu(y: Array, x: Array, *, negative_slope: float, max_value: float, threshold: float) -> None:
    """y = min(x, max_value) where x > threshold, else negative_slope (x - threshold); NaN stays NaN.

    ``max_value`` is inf where there is none; where there is one, y is at least 0 above the threshold. With a
    ``negative_slope`` of 0, y is 0 below the threshold, also at -inf.
    """
    below = negative_slope * (x - threshold) if negative_slope else 0
    above = np.clip(x, 0, max_value) if max_value < np.inf else x
    y[...] = np.where(x <= threshold, below, above)


@derivative("negative_slope", "max_value", "threshold")
def general_relu_grad(
    dx: Array, dy: Array, x: Array, *, negative_slope: float, max_value: float, threshold: float
) -> None:
    """dx = dy above the threshold where nothing is cut off, negative_slope dy where x <= threshold, else 0"""
    cut = (max_value < np.inf) & ((x <= 0) | (x >= max_value))
    slope = np.where(x > threshold, np.where(cut, 0, 1), negative_slope).astype(x.dtype)
    np.multiply(dy, slope, out=dx)


@activation()
def hard_tanh(y: Array, x: Array) -> None:
    """y = min(max(x, -1), 1)"""
    np.clip(x, -1, 1, out=y)


@derivative()
def hard_tanh_grad(dx: Array, dy: Array, x: Array) -> None:
    """dx = dy where -1 < x < 1, else 0"""
    dx[...] = np.where(np.abs(x) < 1, dy, 0)


@activation()
def hard_sigmoid(y: Array, x: Array) -> None:
    """y = min(max(x + 3, 0), 6) / 6"""
    np.divide(np.clip(x + 3, 0, 6), 6, out=y)


@derivative()
def hard_sigmoid_grad(dx: Array, dy: Array, x: Array) -> None:
    """dx = dy / 6 where -3 < x < 3, else 0"""
    dx[...] = np.where(np.abs(x) < 3, dy / 6, 0)


@activation()
def hard_silu(y: Array, x: Array) -> None:
    """y = x hard_sigmoid(x); 0 at -inf"""
    y[...] = weigh(np.clip(x + 3, 0, 6) / 6, x)


@derivative()
def hard_silu_grad(dx: Array, dy: Array, x: Array) -> None:
    """dx = dy (x / 3 + 1/2) where -3 < x < 3, dy above, 0 below"""
    slope = np.where(np.abs(x) < 3, x / 3 + 0.5, np.where(x > 0, 1, 0).astype(x.dtype))
    np.multiply(dy, slope, out=dx)


@activation("threshold")
def hard_shrink(y: Array, x: Array, *, threshold: float) -> None:
    """y = x where |x| > threshold, else 0"""
    y[...] = np.where(np.abs(x) <= threshold, 0, x)


@derivative("threshold")
def hard_shrink_grad(dx: Array, dy: Array, x: Array, *, threshold: float) -> None:
    """dx = dy where |x| > threshold, else 0"""
    dx[...] = np.where(np.abs(x) > threshold, dy, 0)


@activation("threshold")
def soft_shrink(y: Array, x: Array, *, threshold: float) -> None:
    """y = x - min(max(x, -threshold), threshold): nearer to 0 by the threshold; threshold >= 0"""
    np.subtract(x, np.clip(x, -threshold, threshold), out=y)


@derivative("threshold")
def soft_shrink_grad(dx: Array, dy: Array, x: Array, *, threshold: float) -> None:
    """dx = dy where |x| > threshold, else 0"""
    dx[...] = np.where(np.abs(x) > threshold, dy, 0)


@activation("threshold", "default_value")
def threshold(y: Array, x: Array, *, threshold: float, default_value: float) -> None:
    """y = x where x > threshold, else default_value; NaN stays NaN"""
    y[...] = np.where(x <= threshold, default_value, x)


@derivative("threshold", "default_value")
def threshold_grad(dx: Array, dy: Array, x: Array, *, threshold: float, default_value: float) -> None:
    """dx = dy where x > threshold, else 0"""
    dx[...] = np.where(x > threshold, dy, 0)


@activation()
def sparse_sigmoid(y: Array, x: Array) -> None:
    """y = min(max(x + 1, 0), 2) / 2"""
    np.divide(np.clip(x + 1, 0, 2), 2, out=y)


@derivative()
def sparse_sigmoid_grad(dx: Array, dy: Array, x: Array) -> None:
    """dx = dy / 2 where -1 < x < 1, else 0"""
    dx[...] = np.where(np.abs(x) < 1, dy / 2, 0)


@activation()
def sparse_plus(y: Array, x: Array) -> None:
    """y = 0 where x <= -1, x where x >= 1, (x + 1)² / 4 between: the integral of sparse_sigmoid"""
    t = np.clip(x + 1, 0, 2)
    y[...] = np.where(x >= 1, x, t * t / 4)


@derivative()
def sparse_plus_grad(dx: Array, dy: Array, x: Array) -> None:
    """dx = dy min(max(x + 1, 0), 2) / 2"""
    np.multiply(dy, np.clip(x + 1, 0, 2) / 2, out=dx)


# Of exp, and what saturates.


@activation()
def tanh(y: Array, x: Array) -> None:
    """y = tanh(x); ±1 at ±inf, -0.0 at -0.0"""
    np.tanh(x, out=y)


@derivative()
def tanh_grad(dx: Array, dy: Array, y: Array) -> None:
    """dx = dy (1 - y²); y is the output of tanh"""
    np.multiply(dy, 1 - y * y, out=dx)


@activation()
def tanh_shrink(y: Array, x: Array) -> None:
    """y = x - tanh(x)"""
    np.subtract(x, np.tanh(x), out=y)


@derivative()
def tanh_shrink_grad(dx: Array, dy: Array, x: Array) -> None:
    """dx = dy tanh(x)²"""
    np.multiply(dy, np.square(np.tanh(x)), out=dx)


@activation()
def sigmoid(y: Array, x: Array) -> None:
    """y = 1 / (1 + exp(-x)), by exp(-|x|) so that nothing overflows; 0 at -inf, 1 at inf"""
    y[...] = _sigmoid(x)


def _sigmoid(x: Array) -> Array:
    return sigmoid_and_slope(x)[0]


def sigmoid_and_slope(x: Array) -> tuple[Array, Array]:
    """sigmoid(x) and its derivative."""
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e), e / np.square(1 + e)


@derivative()
def sigmoid_grad(dx: Array, dy: Array, y: Array) -> None:
    """dx = dy (y (1 - y)); y is the output of sigmoid"""
    np.multiply(dy, y * (1 - y), out=dx)


@activation()
def silu(y: Array, x: Array) -> None:
    """y = x sigmoid(x); 0 at -inf (Elfwing et al. 2018)"""
    y[...] = weigh(_sigmoid(x), x)


@derivative()
def silu_grad(dx: Array, dy: Array, x: Array) -> None:
    """dx = dy (sigmoid(x) + x sigmoid'(x))"""
    share, slope = sigmoid_and_slope(x)
    np.multiply(dy, share + weigh(slope, x), out=dx)


_normal_tail = np.frompyfunc(lambda x: erfc(x / sqrt(2)) / 2, 1, 1)


def _normal(x: Array) -> tuple[Array, Array]:
    """Distribution and density of the standard normal distribution at x."""
    wide = x.astype(np.float64)
    return _normal_tail(-wide).astype(x.dtype), (np.exp(-wide * wide / 2) / sqrt(2 * pi)).astype(x.dtype)


@activation()
def gelu(y: Array, x: Array) -> None:
    """y = x (1 + erf(x / √2)) / 2, x by the normal distribution; 0 at -inf (Hendrycks and Gimpel 2016)"""
    y[...] = weigh(_normal(x)[0], x)


@derivative()
def gelu_grad(dx: Array, dy: Array, x: Array) -> None:
    """dx = dy (F(x) + x f(x)), F and f the distribution and the density"""
    below, density = _normal(x)
    np.multiply(dy, below + weigh(density, x), out=dx)


GELU_LINEAR, GELU_CUBIC = 2 * sqrt(2 / pi), 2 * sqrt(2 / pi) * 0.044715


@activation()
def gelu_tanh(y: Array, x: Array) -> None:
    """y = x (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2, which is x sigmoid of twice that argument; 0 at -inf"""
    y[...] = weigh(_sigmoid(x * (GELU_LINEAR + GELU_CUBIC * x * x)), x)


@derivative()
def gelu_tanh_grad(dx: Array, dy: Array, x: Array) -> None:
    """dx = dy (sigmoid(u) + x u' sigmoid'(u)), u the argument of gelu_tanh's sigmoid"""
    u, du = x * (GELU_LINEAR + GELU_CUBIC * x * x), GELU_LINEAR + 3 * GELU_CUBIC * x * x
    share, slope = sigmoid_and_slope(u)
    np.multiply(dy, share + weigh(slope, x * du), out=dx)


@activation()
def mish(y: Array, x: Array) -> None:
    """y = x tanh(log(1 + exp(x))); 0 at -inf (Misra 2019)"""
    y[...] = weigh(_tanh_of_softplus(x)[0], x)


def _tanh_of_softplus(x: Array) -> tuple[Array, Array]:
    """tanh(log(1 + exp(x))) and its derivative; of e = exp(-|x|) both are quotients of polynomials."""
    e = np.exp(-np.abs(x))
    below, above = e * (e + 2), 1 + 2 * e  # (exp(x) + 1)² - 1, exp(2x) times, and without that factor
    total = np.where(x < 0, below + 2, above + 2 * e * e)
    return np.where(x < 0, below, above) / total, 4 * (1 + e) * np.where(x < 0, e, e * e) / np.square(total)


@derivative()
def mish_grad(dx: Array, dy: Array, x: Array) -> None:
    """dx = dy (t + x t'), t = tanh(log(1 + exp(x)))"""
    t, slope = _tanh_of_softplus(x)
    np.multiply(dy, t + weigh(slope, x), out=dx)


@activation("alpha", "scale", "rate")
def elu(y: Array, x: Array, *, alpha: float, scale: float, rate: float) -> None:
    """y = scale x where x > 0, else alpha (exp(rate x) - 1)"""
    y[...] = np.where(x > 0, scale * x, alpha * np.expm1(rate * np.minimum(x, 0)))


@derivative("alpha", "scale", "rate")
def elu_grad(dx: Array, dy: Array, x: Array, *, alpha: float, scale: float, rate: float) -> None:
    """dx = dy scale where x > 0, else dy alpha rate exp(rate x)"""
    slope = np.where(x > 0, x.dtype.type(scale), alpha * rate * np.exp(rate * np.minimum(x, 0)))
    np.multiply(dy, slope, out=dx)


@activation()
def exponential(y: Array, x: Array) -> None:
    """y = exp(x)"""
    np.exp(x, out=y)


@derivative()
def exponential_grad(dx: Array, dy: Array, y: Array) -> None:
    """dx = dy y; y is the output of exponential"""
    np.multiply(dy, y, out=dx)


@activation()
def softplus(y: Array, x: Array) -> None:
    """y = log(1 + exp(x))"""
    np.logaddexp(x, 0, out=y)


@derivative()
def softplus_grad(dx: Array, dy: Array, x: Array) -> None:
    """dx = dy sigmoid(x)"""
    np.multiply(dy, _sigmoid(x), out=dx)


@activation()
def log_sigmoid(y: Array, x: Array) -> None:
    """y = log(sigmoid(x)) = -log(1 + exp(-x))"""
    np.negative(np.logaddexp(-x, 0), out=y)


@derivative()
def log_sigmoid_grad(dx: Array, dy: Array, x: Array) -> None:
    """dx = dy sigmoid(-x)"""
    np.multiply(dy, _sigmoid(-x), out=dx)


# Algebraic. Where |x| is beyond 2^60 there is no more to x² than that.

LARGE = 2.0**60


@activation()
def softsign(y: Array, x: Array) -> None:
    """y = x / (1 + |x|); ±1 at ±inf"""
    z = np.clip(x, -LARGE, LARGE)
    np.divide(z, 1 + np.abs(z), out=y)


@derivative()
def softsign_grad(dx: Array, dy: Array, x: Array) -> None:
    """dx = dy / (1 + |x|)²"""
    z = np.clip(x, -LARGE, LARGE)
    np.divide(dy, np.square(1 + np.abs(z)), out=dx)


@activation("b")
def squareplus(y: Array, x: Array, *, b: float) -> None:
    """y = (x + √(x² + b)) / 2, b >= 0; 0 at -inf (Barron 2021)"""
    z = np.clip(x, -LARGE, LARGE)
    y[...] = _squareplus(x, np.maximum(np.abs(x), np.sqrt(z * z + b)), b)


def _squareplus(x: Array, root: Array, b: float) -> Array:
    """(x + root) / 2; below 0, where the two cancel, by their product with the other sign, which is b."""
    half = root / 2 + np.abs(x) / 2
    return np.where(x < 0, b / 4 / half, half)


@derivative("b")
def squareplus_grad(dx: Array, dy: Array, x: Array, *, b: float) -> None:
    """dx = dy squareplus(x) / √(x² + b)"""
    z = np.clip(x, -LARGE, LARGE)
    root = np.sqrt(z * z + b)
    np.multiply(dy, _squareplus(z, root, b) / root, out=dx)
