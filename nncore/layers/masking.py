"""``Masking``: steps of sequences that do not count."""

from __future__ import annotations

from typing import Any

from nncore.arguments import finite
from nncore.builder import Builder
from nncore.layers.base import Layer
from nncore.program import Buffer


class Masking(Layer):
    """Masks the steps whose values, those along the last axis, are all ``mask_value``, and makes them 0.

    The mask, 0 for such a step and 1 for others, has the shape of the inputs without their last axis. Layers whose
    ``supports_masking`` is ``True`` hand it on, others drop it with a warning. Where it comes out of the last layer,
    masked steps count neither in the loss, whose mean is then over the others alone, nor in metrics that are means of
    one value a step.

    Args:
        mask_value: What a masked step holds.
    """

    supports_masking = True

    def __init__(self, mask_value: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mask_value = finite("Masking", "mask_value", mask_value)

    def lower(self, b: Builder, x: Buffer) -> Buffer:
        if len(x.shape) < 2:
            raise ValueError(f"Masking {self.name!r}: needs inputs of shape (batch, …, k). Received: {x.shape}.")
        y, b.mask = b.emit("mask_steps", x, value=self.mask_value)
        return y

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mask_value": self.mask_value}
