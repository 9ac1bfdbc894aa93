"""Layers around other layers."""

from __future__ import annotations

from typing import Any

from nncore.builder import Builder
from nncore.layers.activations import ELU, Activation, LeakyReLU, ReLU, Softmax
from nncore.layers.base import Layer
from nncore.layers.core import Dense
from nncore.layers.normalization import LayerNormalization, RMSNormalization, UnitNormalization
from nncore.layers.regularization import Dropout, GaussianDropout, GaussianNoise
from nncore.layers.reshaping import Identity, Rescaling
from nncore.program import Buffer, Shape
from nncore.serialization import deserialize_keras_object, serialize_keras_object

_OF_ROWS = (
    Activation, Dense, Dropout, ELU, GaussianDropout, GaussianNoise, Identity, LayerNormalization, LeakyReLU,
    RMSNormalization, ReLU, Rescaling, Softmax, UnitNormalization,
)  # fmt: skip
"""Layers that do the same with every vector along the last axis, wherever it stands."""


class TimeDistributed(Layer):
    """A layer applied to every step of a sequence: ``(batch, steps, k)`` to ``(batch, steps, n)``.

    The layer must treat vectors of features one by one: ``Dense``, activations, ``LayerNormalization`` and their like
    over the last axis, dropout and noise.

    Args:
        layer: The layer, for inputs of one step, ``(batch, k)``.
        **kwargs: ``name``, ``trainable``: see :class:`Layer`.

    Raises:
        ValueError: for a layer of another kind, inputs without steps.
    """

    supports_masking = True

    def __init__(self, layer: Layer, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if type(layer) not in _OF_ROWS or getattr(layer, "axis", -1) not in (-1, [-1], (-1,)):
            names = ", ".join(sorted(cls.__name__ for cls in _OF_ROWS))
            raise ValueError(
                f"TimeDistributed: layer must act on the last axis alone: one of {names}. Received: layer={layer!r}."
            )
        self.layer = layer

    def build(self, input_shape: Shape) -> None:
        if len(input_shape) != 3:
            raise ValueError(
                f"TimeDistributed {self.name!r}: needs inputs of shape (batch, steps, k). Received: {input_shape}."
            )
        self.layer.build_for((None, input_shape[-1]))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], *self.layer.compute_output_shape((None, input_shape[-1]))[1:])

    def lower(self, b: Builder, x: Buffer) -> Buffer:
        return self.layer.append(b, x)

    def _inner_layers(self) -> list[Layer]:
        return [self.layer, *self.layer._inner_layers()]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "layer": serialize_keras_object(self.layer)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> TimeDistributed:
        return super().from_config({**config, "layer": deserialize_keras_object(config["layer"], family="layers")})
