"""Layers that act in training only."""

from __future__ import annotations

from typing import Any

from nncore.arguments import fraction, is_integer
from nncore.builder import Builder
from nncore.layers.base import Layer
from nncore.program import Buffer


class Dropout(Layer):
    """In training, zeroes each value with probability ``rate`` and scales the others by 1 / (1 - rate).

    The draw is a function of the seed, the training step, the layer and the element: the same on every backend, for any
    number of threads. In inference the values pass unchanged.

    Source: Srivastava et al., "Dropout", JMLR 15 (2014).

    Args:
        rate: Probability in [0, 1].
        seed: Integer in [0, 2**32), exclusive-or'ed into the seed of the run; ``None`` is 0.
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = fraction("Dropout", "rate", rate)
        if seed is not None and (not is_integer(seed) or not 0 <= seed < 2**32):
            raise ValueError(f"Dropout: seed must be an integer in [0, 2**32) or None. Received: seed={seed!r}.")
        self.seed = None if seed is None else int(seed)

    def lower(self, b: Builder, x: Buffer) -> Buffer:
        if not b.training or self.rate == 0:
            return x
        stream = sum(i.op == "dropout" for i in b.instructions)
        return b.emit("dropout", x, rate=self.rate, stream=stream, seed=self.seed or 0)[0]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}
