"""Layers against overfitting: noise in training only, and penalties of outputs."""

from __future__ import annotations

from typing import Any

from nncore.arguments import at_least_zero, fraction, is_integer
from nncore.builder import Builder
from nncore.layers.base import Layer
from nncore.program import Buffer
from nncore.regularizers import L1L2


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


class ActivityRegularization(Layer):
    """The values pass unchanged; l1 sum |x| + l2 sum x², divided by the rows of the batch, is added to the loss.

    Args:
        l1: A number of at least 0.
        l2: The same.
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.l1 = at_least_zero("ActivityRegularization", "l1", l1)
        self.l2 = at_least_zero("ActivityRegularization", "l2", l2)
        self.activity_regularizer = L1L2(self.l1, self.l2)

    def lower(self, b: Builder, x: Buffer) -> Buffer:
        return x

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "l1": self.l1, "l2": self.l2}
        del config["activity_regularizer"]
        return config
