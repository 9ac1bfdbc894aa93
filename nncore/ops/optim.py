"""Optimizer steps over a model's flat parameter vector, in place: each one pass over memory.

``step.rates[0]`` is the learning rate, with whatever bias correction the optimizer folds into it.
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
