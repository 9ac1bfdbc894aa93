"""The table of elementwise activations. Each row is an op of that name, with ``…_grad`` beside it; all tests follow.

A row is tried as a kernel on every instruction set against its definition (test_kernels, by cases.py), over all floats
against float64 (test_math), against its formula and finite differences (test_ops), in a layer (test_models), through a
whole training program (test_gradients), and in random models on both backends (oracles.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import erf, pi
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Attributes = dict[str, float]


@dataclass(frozen=True)
class Row:
    """What tests need to know of an activation. Pairs are for the value and for the gradient."""

    value: Callable[..., Array]
    """``value(x, **attributes)`` in float64, by a formula that shares nothing with the definition."""
    ulps: tuple[float, float]
    """The largest error of a kernel with fused multiply-add, in units in the last place; half a unit more without."""
    apart: tuple[float, float] = (0, 0)
    """The same against the definition in float32, whose own errors are in it. 0 where both do the same operations; 1
    where these may end in a denormal, which kernels flush."""
    floor: tuple[float, float] = (0, 0)
    """What errors are relative to where the result is smaller: there it is a difference of larger values."""
    kinks: Callable[..., Sequence[float]] = lambda **attributes: ()
    """Where there is no derivative, given the attributes."""
    attributes: tuple[Attributes, ...] = ({},)
    name: str | None = ""
    """The name of the activation with default arguments: by default that of the op; ``None``: there is none."""


RELU = tuple(
    {"negative_slope": s, "max_value": c, "threshold": t}
    for s, c, t in [(0.0, 6.0, 0.0), (0.3, np.inf, 0.0), (0.1, 2.0, -0.5), (0.0, np.inf, 1.0)]
)
ELU = tuple({"alpha": a, "scale": s, "rate": r} for a, s, r in [(1.0, 1.0, 1.0), (1.76, 1.05, 1.0), (0.5, 1.0, 2.0)])
THRESHOLDS = ({"threshold": 0.5}, {"threshold": 0.0}, {"threshold": 1.7})


def general_relu(x: Array, negative_slope: float, max_value: float, threshold: float) -> Array:
    kept = np.where(x > threshold, x, 0)
    kept = np.clip(kept, 0, max_value) if max_value < np.inf else kept
    return kept - negative_slope * np.maximum(threshold - x, 0)


def log_of_1_plus(x: Array) -> Array:
    return np.log(1 + np.exp(x))


ACTIVATIONS: dict[str, Row] = {
    # Piecewise linear.
    "relu": Row(lambda x: np.maximum(x, 0), (0, 0), kinks=lambda: [0]),
    "general_relu": Row(
        general_relu, (1.5, 1), floor=(1, 0), attributes=RELU, name=None,
        kinks=lambda negative_slope, max_value, threshold: [threshold, 0, max_value],
    ),
    "hard_tanh": Row(lambda x: np.minimum(np.maximum(x, -1), 1), (0, 0), kinks=lambda: [-1, 1]),
    "hard_sigmoid": Row(lambda x: np.minimum(np.maximum(x + 3, 0), 6) / 6, (1.5, 0.5), kinks=lambda: [-3, 3]),
    "hard_silu": Row(
        lambda x: x * np.minimum(np.maximum(x + 3, 0), 6) / 6, (2, 2), floor=(0, 1 / 8), kinks=lambda: [-3, 3]
    ),
    "hard_shrink": Row(
        lambda x, threshold: x * (np.abs(x) > threshold), (0, 0), attributes=THRESHOLDS,
        kinks=lambda threshold: [-threshold, threshold],
    ),
    "soft_shrink": Row(
        lambda x, threshold: np.sign(x) * np.maximum(np.abs(x) - threshold, 0), (0.5, 0), attributes=THRESHOLDS,
        kinks=lambda threshold: [-threshold, threshold], floor=(1, 0),
    ),
    "threshold": Row(
        lambda x, threshold, default_value: np.where(x > threshold, x, default_value), (0, 0), name=None,
        attributes=({"threshold": 0.5, "default_value": -2.0},), kinks=lambda threshold, default_value: [threshold],
    ),
    "sparse_sigmoid": Row(lambda x: np.clip((x + 1) / 2, 0, 1), (0.5, 0), kinks=lambda: [-1, 1]),
    "sparse_plus": Row(
        lambda x: np.where(x <= -1, 0, np.where(x < 1, (x + 1) ** 2 / 4, x)), (2, 0.5), kinks=lambda: [-1, 1]
    ),
    # Of exp, and what saturates.
    "tanh": Row(np.tanh, (2, 0), (5, 0)),
    "tanh_shrink": Row(lambda x: x - np.tanh(x), (6, 4), (12, 10), floor=(1 / 8, 0)),
    "sigmoid": Row(lambda x: 1 / (1 + np.exp(-x)), (2, 0), (5, 0)),
    "silu": Row(lambda x: x / (1 + np.exp(-x)), (2, 3), (6, 8), floor=(0, 1 / 8)),
    "gelu": Row(
        lambda x: x / 2 * (1 + np.vectorize(erf, otypes=[float])(x / np.sqrt(2))), (5.5, 4), (6, 6), floor=(0, 1 / 8)
    ),
    "gelu_tanh": Row(
        lambda x: x / 2 * (1 + np.tanh(np.sqrt(2 / pi) * (x + 0.044715 * x**3))), (3, 5), (8, 10), (1 / 8, 1 / 8),
        name=None,
    ),
    "mish": Row(lambda x: x * np.tanh(log_of_1_plus(x)), (3, 5), (8, 10), floor=(0, 1 / 8)),
    "elu": Row(
        lambda x, alpha, scale, rate: np.where(x > 0, scale * x, alpha * (np.exp(rate * np.minimum(x, 0)) - 1)),
        (3, 3), (6, 6), floor=(0, 1 / 8), attributes=ELU, kinks=lambda **attributes: [0],
    ),
    "exponential": Row(np.exp, (1.5, 0), (4, 0)),
    "softplus": Row(log_of_1_plus, (2, 2), (5, 5)),
    "log_sigmoid": Row(lambda x: -log_of_1_plus(-x), (2, 2), (5, 5)),
    # Algebraic.
    "softsign": Row(lambda x: x / (1 + np.abs(x)), (1.5, 3.5), (0, 1)),
    "squareplus": Row(
        lambda x, b: (x + np.sqrt(x * x + b)) / 2, (3, 5), (1, 1), attributes=({"b": 4.0}, {"b": 0.25})
    ),
}  # fmt: skip

NAMES = [op if row.name == "" else row.name for op, row in ACTIVATIONS.items() if row.name is not None]
"""Activations by name, one a row: what layers are tried with."""
