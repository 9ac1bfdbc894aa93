"""``Embedding``: a vector for each integer."""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore import constraints, initializers, regularizers
from nncore.arguments import is_integer, must_be_none, positive_int
from nncore.builder import Builder
from nncore.data import as_array, check_ids
from nncore.layers.base import Layer
from nncore.program import Buffer, Shape
from nncore.variables import Tensor, Variable


class Embedding(Layer):
    """The vectors of integers: ``(batch, …)`` to ``(batch, …, output_dim)``. It must be the first layer of a model.

    Ids are read as they are, floats cut to integers. One outside [0, input_dim) is refused before anything runs, a
    negative one too.

    Args:
        input_dim: How many integers there are: ids lie in [0, input_dim).
        output_dim: The length of a vector.
        embeddings_initializer: How the vectors start.
        embeddings_regularizer: A regularizer whose penalty of the vectors is added to the loss.
        embeddings_constraint: What holds the vectors after each update.
        mask_zero: Whether the id 0 stands for a step that does not count: see :class:`~nncore.layers.Masking`.
        weights: The vectors to start with, ``(input_dim, output_dim)`` alone or in a list.
        input_length: The number of ids in a sample, where they are in one row: ``input_shape=(input_length,)``.
        lora_rank, lora_alpha, quantization_config: Must be ``None``.
    """

    takes_integers = True

    def __init__(
        self, input_dim: int, output_dim: int, embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None, embeddings_constraint: Any = None, mask_zero: bool = False,
        weights: Any = None, lora_rank: None = None, lora_alpha: None = None, quantization_config: None = None,
        *, input_length: Any = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        if is_integer(input_length):
            kwargs.setdefault("input_shape", (input_length,))
        super().__init__(**kwargs)
        must_be_none("Embedding", lora_rank=lora_rank, lora_alpha=lora_alpha, quantization_config=quantization_config)
        self.input_dim = positive_int("Embedding", "input_dim", input_dim)
        self.output_dim = positive_int("Embedding", "output_dim", output_dim)
        self.mask_zero = self.supports_masking = bool(mask_zero)
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        self.embeddings_regularizer = regularizers.get(embeddings_regularizer)
        self.embeddings_constraint = constraints.get(embeddings_constraint)
        self.embeddings: Variable | None = None
        self._start = self.embeddings_initializer
        if weights is not None:
            self._start = initializers.get(np.asarray(weights[0] if isinstance(weights, list) else weights, np.float32))

    def build(self, input_shape: Shape) -> None:
        self.embeddings = self.add_weight(
            (self.input_dim, self.output_dim), self._start, name="embeddings",
            regularizer=self.embeddings_regularizer, constraint=self.embeddings_constraint,
        )  # fmt: skip

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape, self.output_dim)

    def lower(self, b: Builder, x: Buffer) -> Buffer:
        assert self.embeddings is not None
        if x.dtype != "int32":
            raise ValueError(f"Embedding {self.name!r} must be the first layer of a model: it takes integers.")
        if self.mask_zero:
            _, b.mask = b.emit("known_labels", x, ignored=0.0)
        return b.emit("embedding", x, b.parameter(self.embeddings))[0]

    def _eager(self, inputs: Any, training: bool | None) -> Tensor:
        ids = as_array("inputs", inputs)
        check_ids("inputs", ids, self.input_dim)
        return super()._eager(ids, training)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "input_dim": self.input_dim,
            "output_dim": self.output_dim,
            "embeddings_initializer": initializers.serialize(self.embeddings_initializer),
            "embeddings_regularizer": regularizers.serialize(self.embeddings_regularizer),
            "embeddings_constraint": constraints.serialize(self.embeddings_constraint),
            "mask_zero": self.mask_zero,
        }
