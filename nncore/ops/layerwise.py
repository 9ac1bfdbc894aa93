"""Steps of the optimizers that look at a weight as a whole: at its norm, its rows and columns, its singular values.

Each is over the span of one weight; inputs called ``*_in`` are the outputs of that name.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore.ops.base import Step, op

Array = np.ndarray[Any, Any]


@op("m, m, m -> m, m, m", "beta_1", "beta_2", "epsilon", step=True)
def lamb(
    m: Array, v: Array, u: Array, m_in: Array, v_in: Array, g: Array,
    *, beta_1: float, beta_2: float, epsilon: float, step: Step,
) -> None:  # fmt: skip
    """m += (g - m)(1 - beta_1); v += (g² - v)(1 - beta_2); u = rates[1] m / (sqrt(rates[2] v) + epsilon)"""
    real = u.dtype.type
    m += (g - m) * real(1 - beta_1)
    v += (g * g - v) * real(1 - beta_2)
    u[...] = m * real(step.rates[1]) / (np.sqrt(v * real(step.rates[2])) + real(epsilon))


@op("m, m, (), () -> m", step=True)
def lamb_step(w: Array, w_in: Array, u: Array, w_norm: Array, u_norm: Array, *, step: Step) -> None:
    """w -= (rate w_norm / u_norm) u, or rate u where either norm is not above 0"""
    rate = w.dtype.type(step.rates[0])
    w -= (rate * (w_norm / u_norm) if w_norm > 0 and u_norm > 0 else rate) * u


@op("lab, la -> la", "epsilon", step=True)
def row_squares(r: Array, g: Array, r_in: Array, *, epsilon: float, step: Step) -> None:
    """r[l,a] = p r + (1 - p) mean_b(g[l,a,b]² + epsilon), p = rates[1]"""
    p = step.rates[1]
    r *= r.dtype.type(p)
    r += r.dtype.type(1 - p) * np.mean(g * g + g.dtype.type(epsilon), axis=2)


@op("lab, lb -> lb", "epsilon", step=True)
def column_squares(c: Array, g: Array, c_in: Array, *, epsilon: float, step: Step) -> None:
    """c[l,b] = p c + (1 - p) mean_a(g[l,a,b]² + epsilon), summed in the order of a, p = rates[1]"""
    p = step.rates[1]
    c *= c.dtype.type(p)
    c += c.dtype.type(1 - p) * np.mean(g * g + g.dtype.type(epsilon), axis=1)


@op("lab, la, lb -> lab, lab")
def factored(v: Array, u: Array, g: Array, r: Array, c: Array) -> None:
    """v[l,a,b] = r[l,a] / mean_a(r[l,a]) c[l,b]; u = g / sqrt(v)"""
    np.multiply((r / np.mean(r, axis=1, keepdims=True))[:, :, None], c[:, None, :], out=v)
    np.divide(g, np.sqrt(v), out=u)


@op("m, m -> m, m", "epsilon", step=True)
def unfactored(v: Array, u: Array, v_in: Array, g: Array, *, epsilon: float, step: Step) -> None:
    """v = p v + (1 - p)(g² + epsilon), p = rates[1]; u = g / sqrt(v)"""
    real, p = v.dtype.type, step.rates[1]
    v *= real(p)
    v += real(1 - p) * (g * g + real(epsilon))
    np.divide(g, np.sqrt(v), out=u)


@op("m, m, (), () -> m", "epsilon", "threshold", step=True)
def adafactor_step(
    w: Array, w_in: Array, u: Array, w_norm: Array, u_norm: Array, *, epsilon: float, threshold: float, step: Step
) -> None:
    """w -= rate max(epsilon, rms(w)) u / max(1, rms(u) / threshold), the root mean squares from the norms"""
    real = w.dtype.type
    root = np.sqrt(real(w.size))
    scale = real(step.rates[0]) * np.maximum(real(epsilon), w_norm / root)
    w -= scale / np.maximum(real(1), u_norm / root / real(threshold)) * u


@op("m, m -> m, m", "momentum", "nesterov")
def muon_momentum(m: Array, u: Array, m_in: Array, g: Array, *, momentum: float, nesterov: float) -> None:
    """m = momentum m + g; u = m, or momentum m + g with the new m where nesterov"""
    m *= m.dtype.type(momentum)
    m += g
    u[...] = m * m.dtype.type(momentum) + g if nesterov else m


@op("m, () -> m", "epsilon")
def normalized(y: Array, x: Array, norm: Array, *, epsilon: float) -> None:
    """y = x / (norm + epsilon)"""
    np.divide(x, norm + x.dtype.type(epsilon), out=y)


@op("m, m -> m", "alpha", "beta")
def weighted_sum(y: Array, a: Array, b: Array, *, alpha: float, beta: float) -> None:
    """y = alpha a + beta b"""
    np.add(y.dtype.type(alpha) * a, y.dtype.type(beta) * b, out=y)


@op("m, m -> m", "scale", step=True)
def muon_step(w: Array, w_in: Array, u: Array, *, scale: float, step: Step) -> None:
    """w -= (scale rates[1]) u"""
    w -= w.dtype.type(scale * step.rates[1]) * u
