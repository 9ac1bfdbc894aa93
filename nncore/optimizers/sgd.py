"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nncore.arguments import fraction
from nncore.builder import Builder
from nncore.optimizers.base import Optimizer
from nncore.program import Buffer


class SGD(Optimizer):
    """w -= learning_rate g; with momentum: v = momentum v - learning_rate g, then w += v.

    Args:
        learning_rate: A number, by default 0.01, or a schedule.
        momentum: In [0, 1], by default 0.
        nesterov: Whether to look ahead: w += momentum v - learning_rate g, with the new v.

    Source: Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML 2013.
    """

    def __init__(self, learning_rate: Any = 0.01, momentum: float = 0.0, nesterov: bool = False, **kwargs: Any) -> None:
        super().__init__(learning_rate, **kwargs)
        self.momentum = fraction("SGD", "momentum", momentum)
        self.nesterov = bool(nesterov)
        self.slots = ("momentum",) if self.momentum else ()

    def lower(self, b: Builder, parameters: Buffer, gradients: Buffer, slots: Sequence[Buffer]) -> None:
        if not self.momentum:
            b.emit_to("sgd", (parameters,), parameters, gradients)
            return
        (v,) = slots
        attributes = {"momentum": self.momentum, "nesterov": float(self.nesterov)}
        b.emit_to("sgd_momentum", (parameters, v), parameters, v, gradients, **attributes)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "momentum": self.momentum, "nesterov": self.nesterov}
