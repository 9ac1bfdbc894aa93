"""Layers that change the shape or the scale of their input, without weights."""

from __future__ import annotations

from math import prod
from typing import Any

from nncore.arguments import finite, is_integer
from nncore.builder import Builder
from nncore.layers.base import Layer, elements
from nncore.program import Buffer, Shape


class Flatten(Layer):
    """``(batch, a, b, …)`` to ``(batch, a·b·…)``, row-major; ``(batch,)`` to ``(batch, 1)``."""

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (None, elements(input_shape))

    def lower(self, b: Builder, x: Buffer) -> Buffer:
        return b.view(x, self.compute_output_shape(x.shape))


class Reshape(Layer):
    """Gives each sample the shape ``target_shape``, row-major; one entry may be -1, to be worked out.

    Args:
        target_shape: Shape of one sample, without the batch axis.
    """

    def __init__(self, target_shape: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        shape = tuple(target_shape) if isinstance(target_shape, list | tuple) else (target_shape,)
        if not all(is_integer(n) for n in shape) or any(n < -1 or n == 0 for n in shape) or shape.count(-1) > 1:
            raise ValueError(
                "Reshape: target_shape must hold positive integers, one of which may be -1. "
                f"Received: target_shape={target_shape!r}."
            )
        self.target_shape = tuple(int(n) for n in shape)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        total, known = elements(input_shape), prod(n for n in self.target_shape if n != -1)
        if (total % known if -1 in self.target_shape else total != known) != 0:
            raise ValueError(
                f"Reshape {self.name!r}: a sample of shape {input_shape[1:]} has {total} values, which do not fill "
                f"target_shape={self.target_shape}."
            )
        return (None, *(total // known if n == -1 else n for n in self.target_shape))

    def lower(self, b: Builder, x: Buffer) -> Buffer:
        return b.view(x, self.compute_output_shape(x.shape))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "target_shape": list(self.target_shape)}


class Rescaling(Layer):
    """``x * scale + offset``: ``Rescaling(1 / 255)`` brings 8-bit pixels into [0, 1].

    Args:
        scale: A finite number.
        offset: A finite number, by default 0.
    """

    def __init__(self, scale: float, offset: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale = finite("Rescaling", "scale", scale)
        self.offset = finite("Rescaling", "offset", offset)

    def lower(self, b: Builder, x: Buffer) -> Buffer:
        return b.emit("scale_shift", x, scale=self.scale, offset=self.offset)[0]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.scale, "offset": self.offset}
