"""Optimizer steps over a model's flat parameter vector, in place: each one pass over memory.

``step.rates[0]`` is the learning rate, with whatever bias correction the optimizer folds into it; what follows it an op
says, where anything does. Inputs called ``*_in`` are the outputs of that name.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore.ops.base import Step, op

Array = np.ndarray[Any, Any]


@op("p, p -> p", step=True)
def sgd(w: Array, w_in: Array, g: Array, *, step: Step) -> None:
    """w -= rate g; w_in is w"""
    w -= w.dtype.type(step.rates[0]) * g


@op("p, p, p -> p, p", "momentum", "nesterov", step=True)
def sgd_momentum(
    w: Array, v: Array, w_in: Array, v_in: Array, g: Array, *, momentum: float, nesterov: float, step: Step
) -> None:
    """v = momentum v - rate g; w += v, or momentum v - rate g with the new v where nesterov; w_in is w, v_in is v"""
    momentum, rate = w.dtype.type(momentum), w.dtype.type(step.rates[0])
    v *= momentum
    v -= rate * g
    w += momentum * v - rate * g if nesterov else v


@op("p, p, p, p -> p, p, p", "beta_1", "beta_2", "epsilon", step=True)
def adam(
    w: Array, m: Array, v: Array, w_in: Array, m_in: Array, v_in: Array, g: Array,
    *, beta_1: float, beta_2: float, epsilon: float, step: Step,
) -> None:  # fmt: skip
    """m += (g - m)(1 - beta_1); v += (g² - v)(1 - beta_2); w -= m rate / (sqrt(v) + epsilon); *_in are the outputs.

    ``rate`` carries the bias correction lr sqrt(1 - beta_2^t) / (1 - beta_1^t): Kingma and Ba, "Adam", ICLR 2015,
    the "epsilon hat" form of section 2.
    """
    real = w.dtype.type
    m += (g - m) * real(1 - beta_1)
    v += (g * g - v) * real(1 - beta_2)
    w -= m * real(step.rates[0]) / (np.sqrt(v) + real(epsilon))


@op("p, p, p, p, p -> p, p, p, p", "beta_1", "beta_2", "epsilon", step=True)
def adam_amsgrad(
    w: Array, m: Array, v: Array, top: Array, w_in: Array, m_in: Array, v_in: Array, top_in: Array, g: Array,
    *, beta_1: float, beta_2: float, epsilon: float, step: Step,
) -> None:  # fmt: skip
    """adam with top = max(top, v) in v's place in the quotient"""
    real = w.dtype.type
    m += (g - m) * real(1 - beta_1)
    v += (g * g - v) * real(1 - beta_2)
    np.maximum(top, v, out=top)
    w -= m * real(step.rates[0]) / (np.sqrt(top) + real(epsilon))


@op("p, p, p, p -> p, p, p", "beta_1", "beta_2", "epsilon", step=True)
def adamax(
    w: Array, m: Array, u: Array, w_in: Array, m_in: Array, u_in: Array, g: Array,
    *, beta_1: float, beta_2: float, epsilon: float, step: Step,
) -> None:  # fmt: skip
    """m += (g - m)(1 - beta_1); u = max(beta_2 u, |g|); w -= m rate / (u + epsilon); rate is lr / (1 - beta_1^t)"""
    real = w.dtype.type
    m += (g - m) * real(1 - beta_1)
    np.maximum(u * real(beta_2), np.abs(g), out=u)
    w -= m * real(step.rates[0]) / (u + real(epsilon))


@op("p, p, p, p -> p, p, p", "beta_1", "beta_2", "epsilon", step=True)
def nadam(
    w: Array, m: Array, v: Array, w_in: Array, m_in: Array, v_in: Array, g: Array,
    *, beta_1: float, beta_2: float, epsilon: float, step: Step,
) -> None:  # fmt: skip
    """m and v as in adam; w -= (rates[0] m + rates[1] g) / (sqrt(rates[2] v) + epsilon)"""
    real = w.dtype.type
    of_m, of_g, of_v = (real(rate) for rate in step.rates[:3])
    m += (g - m) * real(1 - beta_1)
    v += (g * g - v) * real(1 - beta_2)
    w -= (of_m * m + of_g * g) / (np.sqrt(of_v * v) + real(epsilon))


def _squares(v: Array, g: Array, rho: float) -> None:
    """v = rho v + (1 - rho) g²"""
    v *= v.dtype.type(rho)
    v += v.dtype.type(1 - rho) * (g * g)


def _variance(v: Array, a: Array, g: Array, rho: float) -> Array:
    """v = rho v + (1 - rho) g²; a = rho a + (1 - rho) g; returns v - a²"""
    _squares(v, g, rho)
    a *= a.dtype.type(rho)
    a += a.dtype.type(1 - rho) * g
    variance: Array = v - a * a
    return variance


def _roll(w: Array, s: Array, momentum: float, increment: Array) -> None:
    """s = momentum s + increment; w -= s"""
    s *= s.dtype.type(momentum)
    s += increment
    w -= s


@op("p, p, p -> p, p", "rho", "epsilon", step=True)
def rmsprop(w: Array, v: Array, w_in: Array, v_in: Array, g: Array, *, rho: float, epsilon: float, step: Step) -> None:
    """v = rho v + (1 - rho) g²; w -= rate g / sqrt(v + epsilon)"""
    real = w.dtype.type
    _squares(v, g, rho)
    w -= real(step.rates[0]) * g / np.sqrt(v + real(epsilon))


@op("p, p, p, p -> p, p, p", "rho", "epsilon", "momentum", step=True)
def rmsprop_momentum(
    w: Array, v: Array, s: Array, w_in: Array, v_in: Array, s_in: Array, g: Array,
    *, rho: float, epsilon: float, momentum: float, step: Step,
) -> None:  # fmt: skip
    """v as in rmsprop; s = momentum s + rate g / sqrt(v + epsilon); w -= s"""
    real = w.dtype.type
    _squares(v, g, rho)
    _roll(w, s, momentum, real(step.rates[0]) * g / np.sqrt(v + real(epsilon)))


@op("p, p, p, p -> p, p, p", "rho", "epsilon", step=True)
def rmsprop_centered(
    w: Array, v: Array, a: Array, w_in: Array, v_in: Array, a_in: Array, g: Array,
    *, rho: float, epsilon: float, step: Step,
) -> None:  # fmt: skip
    """v as in rmsprop; a = rho a + (1 - rho) g; w -= rate g / sqrt(v - a² + epsilon)"""
    real = w.dtype.type
    w -= real(step.rates[0]) * g / np.sqrt(_variance(v, a, g, rho) + real(epsilon))


@op("p, p, p, p, p -> p, p, p, p", "rho", "epsilon", "momentum", step=True)
def rmsprop_centered_momentum(
    w: Array, v: Array, s: Array, a: Array, w_in: Array, v_in: Array, s_in: Array, a_in: Array, g: Array,
    *, rho: float, epsilon: float, momentum: float, step: Step,
) -> None:  # fmt: skip
    """v and a as in rmsprop_centered; s = momentum s + rate g / sqrt(v - a² + epsilon); w -= s"""
    real = w.dtype.type
    _roll(w, s, momentum, real(step.rates[0]) * g / np.sqrt(_variance(v, a, g, rho) + real(epsilon)))


@op("p, p, p -> p, p", "epsilon", step=True)
def adagrad(w: Array, a: Array, w_in: Array, a_in: Array, g: Array, *, epsilon: float, step: Step) -> None:
    """a += g²; w -= rate g / sqrt(a + epsilon)"""
    real = w.dtype.type
    a += g * g
    w -= real(step.rates[0]) * g / np.sqrt(a + real(epsilon))


@op("p, p, p, p -> p, p, p", "rho", "epsilon", step=True)
def adadelta(
    w: Array, a: Array, d: Array, w_in: Array, a_in: Array, d_in: Array, g: Array,
    *, rho: float, epsilon: float, step: Step,
) -> None:  # fmt: skip
    """a = rho a + (1 - rho) g²; x = sqrt(d + epsilon) g / sqrt(a + epsilon); d = rho d + (1 - rho) x²; w -= rate x"""
    real = w.dtype.type
    _squares(a, g, rho)
    x = np.sqrt(d + real(epsilon)) * g / np.sqrt(a + real(epsilon))
    _squares(d, x, rho)
    w -= real(step.rates[0]) * x


@op("p, p, p -> p, p", "beta_1", "beta_2", step=True)
def lion(w: Array, m: Array, w_in: Array, m_in: Array, g: Array, *, beta_1: float, beta_2: float, step: Step) -> None:
    """w -= rate sign(beta_1 m + (1 - beta_1) g); m = beta_2 m + (1 - beta_2) g"""
    real = w.dtype.type
    w -= real(step.rates[0]) * np.sign(m * real(beta_1) + g * real(1 - beta_1))
    m *= real(beta_2)
    m += g * real(1 - beta_2)


def _power(x: Array, exponent: float) -> Array:
    """x^exponent of x >= 0, exponent >= 0"""
    power: Array = np.sqrt(x) if exponent == 0.5 else np.power(x, x.dtype.type(exponent))
    return power


@op("p, p, p, p -> p, p, p", "power", "l1", "l2", "shrinkage", "beta", step=True)
def ftrl(
    w: Array, n: Array, z: Array, w_in: Array, n_in: Array, z_in: Array, g: Array,
    *, power: float, l1: float, l2: float, shrinkage: float, beta: float, step: Step,
) -> None:  # fmt: skip
    """n += g²; z += g + 2 shrinkage w - (n^power - n_in^power) / rate w; then
    w = (clip(z, -l1, l1) - z) / ((n^power + beta) / rate + 2 l2)
    """
    real = w.dtype.type
    rate = real(step.rates[0])
    before = _power(n, power)
    n += g * g
    after = _power(n, power)
    z += g + real(2 * shrinkage) * w - (after - before) / rate * w
    w[...] = (np.clip(z, real(-l1), real(l1)) - z) / ((after + real(beta)) / rate + real(2 * l2))
