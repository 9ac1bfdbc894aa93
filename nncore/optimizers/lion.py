"""Lion."""

from __future__ import annotations

from typing import Any

from nncore.arguments import fraction
from nncore.builder import Builder
from nncore.optimizers.base import Operands, Optimizer


class Lion(Optimizer):
    """w -= learning_rate sign(beta_1 m + (1 - beta_1) g); m = beta_2 m + (1 - beta_2) g.

    Args:
        learning_rate: A number, by default 0.001, a schedule or a function; a tenth of Adam's or less suits it.
        beta_1: The share of the momentum in the sign, in (0, 1], by default 0.9.
        beta_2: Decay of the momentum, in [0, 1], by default 0.99.
        **kwargs: See ``Optimizer``.

    Source: Chen et al., "Symbolic discovery of optimization algorithms", NeurIPS 2023.
    """

    groups = (("momentum",),)

    def __init__(self, learning_rate: Any = 0.001, beta_1: float = 0.9, beta_2: float = 0.99, **kwargs: Any) -> None:
        super().__init__(learning_rate, **kwargs)
        self.beta_1 = fraction("Lion", "beta_1", beta_1)
        self.beta_2 = fraction("Lion", "beta_2", beta_2)
        if not self.beta_1:
            raise ValueError(f"Lion: beta_1 must be a number in (0, 1]. Received: beta_1={beta_1!r}.")

    def update(self, b: Builder, at: Operands) -> None:
        m = at.slots["momentum"]
        b.emit_to("lion", (at.w, m), at.w, m, at.g, beta_1=self.beta_1, beta_2=self.beta_2)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2}
