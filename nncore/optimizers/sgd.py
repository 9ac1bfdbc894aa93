"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from nncore.arguments import fraction
from nncore.builder import Builder
from nncore.optimizers.base import Operands, Optimizer


class SGD(Optimizer):
    """w -= learning_rate g; with momentum: v = momentum v - learning_rate g, then w += v.

    Args:
        learning_rate: A number, by default 0.01, a schedule or a function.
        momentum: In [0, 1], by default 0.
        nesterov: Whether to look ahead: w += momentum v - learning_rate g, with the new v.
        **kwargs: See ``Optimizer``.

    Source: Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML 2013.
    """

    def __init__(self, learning_rate: Any = 0.01, momentum: float = 0.0, nesterov: bool = False, **kwargs: Any) -> None:
        super().__init__(learning_rate, **kwargs)
        self.momentum = fraction("SGD", "momentum", momentum)
        self.nesterov = bool(nesterov)
        self.groups = (("momentum",),) if self.momentum else ()

    def update(self, b: Builder, at: Operands) -> None:
        if not self.momentum:
            b.emit_to("sgd", (at.w,), at.w, at.g)
            return
        v = at.slots["momentum"]
        b.emit_to(
            "sgd_momentum", (at.w, v), at.w, v, at.g, momentum=self.momentum, nesterov=float(self.nesterov)
        )  # fmt: skip

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "momentum": self.momentum, "nesterov": self.nesterov}
