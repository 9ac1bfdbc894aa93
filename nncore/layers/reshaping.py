"""Layers that change the shape, the order of axes, or the scale of their input, without weights."""

from __future__ import annotations

from math import prod
from typing import Any

from nncore import axes
from nncore.arguments import data_format as valid_data_format
from nncore.arguments import finite, is_integer, positive_int
from nncore.builder import Builder
from nncore.layers.base import Layer, elements
from nncore.program import Buffer, Shape


class Identity(Layer):
    """The values pass unchanged."""

    supports_masking = True

    def lower(self, b: Builder, x: Buffer) -> Buffer:
        return x


class Flatten(Layer):
    """``(batch, a, b, …)`` to ``(batch, a·b·…)``, row-major; ``(batch,)`` to ``(batch, 1)``.

    Args:
        data_format: ``"channels_last"``, the default, or ``"channels_first"``: the first axis of a sample goes behind
            the others before, so that both formats of a picture give the same row.
    """

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = valid_data_format("Flatten", data_format)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (None, elements(input_shape))

    def lower(self, b: Builder, x: Buffer) -> Buffer:
        if self.data_format == "channels_first" and len(x.shape) > 2:
            x = axes.to_end(b, x, 1)
        return b.view(x, self.compute_output_shape(x.shape))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "data_format": self.data_format}


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


class Permute(Layer):
    """The axes of a sample in another order: axis i of the output is axis ``dims[i - 1]`` of the input.

    Args:
        dims: The axes of a sample, counted from 1, each once: ``(2, 1)`` transposes matrices.
    """

    def __init__(self, dims: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        order = tuple(dims) if isinstance(dims, list | tuple) else (dims,)
        if not all(is_integer(n) for n in order) or sorted(order) != list(range(1, len(order) + 1)):
            raise ValueError(
                "Permute: dims must hold the axes of a sample, counted from 1, each once, such as (2, 1). "
                f"Received: dims={dims!r}."
            )
        self.dims = tuple(int(n) for n in order)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != len(self.dims) + 1:
            raise ValueError(
                f"Permute {self.name!r}: dims={self.dims} needs samples of {len(self.dims)} axes. "
                f"Received: inputs of shape {input_shape}."
            )
        return (None, *(input_shape[axis] for axis in self.dims))

    def lower(self, b: Builder, x: Buffer) -> Buffer:
        return axes.permute(b, x, (0, *self.dims))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "dims": list(self.dims)}


class RepeatVector(Layer):
    """``(batch, features)`` to ``(batch, n, features)``: each sample n times.

    Args:
        n: A positive integer.
    """

    def __init__(self, n: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.n = positive_int("RepeatVector", "n", n)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != 2:
            raise ValueError(
                f"RepeatVector {self.name!r}: needs inputs of shape (batch, features). Received: {input_shape}."
            )
        return (None, self.n, input_shape[1])

    def lower(self, b: Builder, x: Buffer) -> Buffer:
        return b.emit("repeat", x, n=self.n)[0]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "n": self.n}


class Rescaling(Layer):
    """``x * scale + offset``: ``Rescaling(1 / 255)`` brings 8-bit pixels into [0, 1].

    Args:
        scale: A finite number.
        offset: A finite number, by default 0.
    """

    supports_masking = True

    def __init__(self, scale: float, offset: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale = finite("Rescaling", "scale", scale)
        self.offset = finite("Rescaling", "offset", offset)

    def lower(self, b: Builder, x: Buffer) -> Buffer:
        return b.emit("scale_shift", x, scale=self.scale, offset=self.offset)[0]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.scale, "offset": self.offset}
