"""Adam."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nncore.arguments import at_least_zero, fraction
from nncore.builder import Builder
from nncore.optimizers.base import Array, Optimizer
from nncore.program import Buffer


class Adam(Optimizer):
    """m += (g - m)(1 - beta_1); v += (g² - v)(1 - beta_2); w -= α m / (√v + epsilon).

    α = learning_rate √(1 - beta_2ᵗ) / (1 - beta_1ᵗ) at step t.

    Args:
        learning_rate: A number, by default 0.001, or a schedule.
        beta_1: Decay of the mean of gradients, in [0, 1).
        beta_2: Decay of the mean of their squares, in [0, 1).
        epsilon: At least 0, by default 1e-7; added to √v before bias correction (the paper's "epsilon hat").

    Source: Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015.
    """

    slots = ("momentum", "velocity")

    def __init__(
        self, learning_rate: Any = 0.001, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7,
        **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(learning_rate, **kwargs)
        self.beta_1 = fraction("Adam", "beta_1", beta_1, below_one=True)
        self.beta_2 = fraction("Adam", "beta_2", beta_2, below_one=True)
        self.epsilon = at_least_zero("Adam", "epsilon", epsilon)

    def lower(self, b: Builder, parameters: Buffer, gradients: Buffer, slots: Sequence[Buffer]) -> None:
        m, v = slots
        attributes = {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
        b.emit_to("adam", (parameters, m, v), parameters, m, v, gradients, **attributes)

    def rates(self, first: int, count: int) -> Array:
        t = np.arange(first + 1, first + count + 1, dtype=np.float64)
        correction = np.sqrt(1 - self.beta_2**t) / (1 - self.beta_1**t)
        return (self.learning_rates(first, count) * correction)[:, None]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
