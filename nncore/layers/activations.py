"""Activations as layers of their own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from nncore import activations, axes, constraints, initializers, regularizers
from nncore.arguments import at_least_zero, finite, integers, is_integer
from nncore.builder import Builder
from nncore.layers.base import Layer
from nncore.program import Buffer, Shape
from nncore.variables import Variable


class Activation(Layer):
    """An activation of ``nncore.activations``, by name or function, on every element or along the last axis."""

    supports_masking = True

    def __init__(self, activation: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activation = activations.get(activation)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return activations.output_shape(self.activation, input_shape)

    def lower(self, b: Builder, x: Buffer) -> Buffer:
        return activations.lower(self.activation, b, x)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "activation": activations.serialize(self.activation)}


class ReLU(Layer):
    """min(x, max_value) where x > threshold, else negative_slope (x - threshold).

    Args:
        max_value: Upper limit, at least 0, or ``None``.
        negative_slope: Slope below the threshold, at least 0.
        threshold: At least 0.
    """

    supports_masking = True

    def __init__(
        self, max_value: float | None = None, negative_slope: float = 0.0, threshold: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.max_value = None if max_value is None else at_least_zero("ReLU", "max_value", max_value)
        self.negative_slope = at_least_zero("ReLU", "negative_slope", negative_slope)
        self.threshold = at_least_zero("ReLU", "threshold", threshold)

    def lower(self, b: Builder, x: Buffer) -> Buffer:
        slope, limits = self.negative_slope, (self.max_value, self.threshold)
        return activations.lower(lambda values: activations.relu(values, slope, *limits), b, x)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "max_value": self.max_value,
            "negative_slope": self.negative_slope,
            "threshold": self.threshold,
        }


class LeakyReLU(Layer):
    """x where x > 0, else negative_slope x (Maas et al. 2013).

    Args:
        negative_slope: At least 0. Keras 2 called it ``alpha``, which goes too.
    """

    supports_masking = True

    def __init__(self, negative_slope: float = 0.3, **kwargs: Any) -> None:
        slope = kwargs.pop("alpha", negative_slope)
        super().__init__(**kwargs)
        self.negative_slope = at_least_zero("LeakyReLU", "negative_slope", slope)

    def lower(self, b: Builder, x: Buffer) -> Buffer:
        return activations.lower(partial(activations.leaky_relu, negative_slope=self.negative_slope), b, x)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "negative_slope": self.negative_slope}


class ELU(Layer):
    """x where x > 0, else alpha (exp(x) - 1) (Clevert et al. 2016).

    Args:
        alpha: What is left of x far below 0, but for its sign.
    """

    supports_masking = True

    def __init__(self, alpha: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.alpha = finite("ELU", "alpha", alpha)

    def lower(self, b: Builder, x: Buffer) -> Buffer:
        return activations.lower(partial(activations.elu, alpha=self.alpha), b, x)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "alpha": self.alpha}


class PReLU(Layer):
    """x where x > 0, else alpha x, with trained ``alpha`` (He et al. 2015).

    ``alpha`` has the shape of a sample, and length 1 along shared axes. At x = 0 no gradient flows back.

    Args:
        alpha_initializer: How alpha starts.
        alpha_regularizer: A regularizer whose penalty of alpha is added to the loss, by name or object.
        alpha_constraint: What holds alpha after each update, by name or object.
        shared_axes: The axis or axes, counted from 1, along which one alpha serves all values.
    """

    supports_masking = True

    def __init__(
        self, alpha_initializer: Any = "Zeros", alpha_regularizer: Any = None, alpha_constraint: Any = None,
        shared_axes: int | Sequence[int] | None = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(**kwargs)
        self.alpha_initializer = initializers.get(alpha_initializer)
        self.alpha_regularizer = regularizers.get(alpha_regularizer)
        self.alpha_constraint = constraints.get(alpha_constraint)
        shared = [] if shared_axes is None else integers(shared_axes)
        if shared is None or not all(a > 0 for a in shared):
            raise ValueError(
                f"PReLU: shared_axes must hold axes of a sample, counted from 1. Received: shared_axes={shared_axes!r}."
            )
        self.shared_axes = None if shared_axes is None else shared
        self.alpha: Variable | None = None

    def build(self, input_shape: Shape) -> None:
        shared = self.shared_axes or []
        if any(axis >= len(input_shape) for axis in shared):
            raise ValueError(
                f"PReLU {self.name!r}: shared_axes must hold axes of a sample, counted from 1. "
                f"Received: shared_axes={shared} for inputs of shape {input_shape}."
            )
        shape = [1 if axis in shared else n or 0 for axis, n in enumerate(input_shape)][1:]
        self.alpha = self.add_weight(
            shape, self.alpha_initializer, name="alpha",
            regularizer=self.alpha_regularizer, constraint=self.alpha_constraint,
        )  # fmt: skip

    def lower(self, b: Builder, x: Buffer) -> Buffer:
        assert self.alpha is not None
        alpha = b.parameter(self.alpha)
        own = [axis for axis in range(1, len(x.shape)) if axis not in (self.shared_axes or [])]
        last = axes.to_end(b, x, own)
        rows = b.view(last, (*last.shape[: len(x.shape) - len(own)], self.alpha.size))
        (y,) = b.emit("prelu", rows, b.view(alpha, (self.alpha.size,)))
        return axes.from_end(b, b.view(y, last.shape), own)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "alpha_initializer": initializers.serialize(self.alpha_initializer),
            "alpha_regularizer": regularizers.serialize(self.alpha_regularizer),
            "alpha_constraint": constraints.serialize(self.alpha_constraint),
            "shared_axes": self.shared_axes,
        }


class Softmax(Layer):
    """exp(x - max) / sum exp(x - max) along an axis, or over several axes together.

    Args:
        axis: An axis of the inputs, or a list of them, not 0, that of the batch.
    """

    def __init__(self, axis: int | Sequence[int] = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        given = integers(axis)
        if not given or 0 in given:
            raise ValueError(
                f"Softmax: axis must be an axis of the inputs, not 0, or a list of them. Received: axis={axis!r}."
            )
        self.axis: int | list[int] = given[0] if is_integer(axis) else given

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return activations.output_shape(partial(activations.softmax, axis=self.axis), input_shape)

    def lower(self, b: Builder, x: Buffer) -> Buffer:
        if b.mask is not None:
            raise ValueError(
                f"Softmax {self.name!r}: takes no inputs with a mask, which would hide values from its sum. Use "
                "Activation('softmax') or Dense(…, 'softmax'), which hand the mask on."
            )
        return activations.lower(partial(activations.softmax, axis=self.axis), b, x)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis}
