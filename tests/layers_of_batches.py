"""Layers whose predictions are no function of a row and weights that stay: no export has a form for them."""

from __future__ import annotations

from typing import Any

from nncore.builder import Builder
from nncore.layers import Dropout, Layer
from nncore.program import Buffer


class Always(Layer):
    """Drops values in predictions, too."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.drop = Dropout(0.5)

    def call(self, x: Any) -> Any:
        return self.drop(x, training=True)


class Centered(Layer):
    """Statistics of the batch."""

    def lower(self, b: Builder, x: Buffer) -> Buffer:
        return b.emit("batch_norm", x, None, None, epsilon=0.1)[0]


class Counting(Layer):
    """A weight that predictions change."""

    def build(self, input_shape: Any) -> None:
        self.seen = self.add_weight((3,), "zeros", name="seen", trainable=False)

    def lower(self, b: Builder, x: Buffer) -> Buffer:
        seen = b.parameter(self.seen)
        b.emit_to("moving_average", (seen,), seen, seen, momentum=0.5)
        return x
