"""Activations as layers of their own."""

from __future__ import annotations

from typing import Any

from nncore import activations
from nncore.arguments import at_least_zero
from nncore.builder import Builder
from nncore.layers.base import Layer
from nncore.program import Buffer


class Activation(Layer):
    """An activation of ``nncore.activations``, by name or function, on every element (softmax: the last axis)."""

    def __init__(self, activation: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activation = activations.get(activation)

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

    def __init__(
        self, max_value: float | None = None, negative_slope: float = 0.0, threshold: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.max_value = None if max_value is None else at_least_zero("ReLU", "max_value", max_value)
        self.negative_slope = at_least_zero("ReLU", "negative_slope", negative_slope)
        self.threshold = at_least_zero("ReLU", "threshold", threshold)

    def lower(self, b: Builder, x: Buffer) -> Buffer:
        op, attributes = activations.relu_op(self.negative_slope, self.max_value, self.threshold)
        return b.emit(op, x, **attributes)[0]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "max_value": self.max_value,
            "negative_slope": self.negative_slope,
            "threshold": self.threshold,
        }


class Softmax(Layer):
    """Softmax over the last axis.

    Args:
        axis: ``-1``; other axes are not there yet.
    """

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if axis != -1:
            raise ValueError(f"Softmax: axis must be -1; Permute the others to the end. Received: axis={axis!r}.")
        self.axis = axis

    def lower(self, b: Builder, x: Buffer) -> Buffer:
        return b.emit("softmax", x)[0]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis}
