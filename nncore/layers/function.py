"""``Lambda``: a layer that is a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nncore.arguments import must_be_none
from nncore.layers.base import Layer, sample_shape
from nncore.program import Shape
from nncore.serialization import deserialize_keras_object, serialize_keras_object


class Lambda(Layer):
    """``function(inputs)``.

    Like the ``call`` of a layer of your own, see :meth:`Layer.call`, the function becomes ops where it is a formula;
    else it is called with arrays, and its gradient is that of its attribute ``backward(dy, x, y)``.

    Args:
        function: A function of the inputs, batch axis first.
        output_shape: Shape of one sample of the outputs; by default found by a trial.
        mask: Must be ``None``.
        arguments: A dict of further arguments of the function.

    Raises:
        ValueError: for anything above that does not hold.
    """

    def __init__(
        self, function: Callable[..., Any], output_shape: Any = None, mask: None = None,
        arguments: dict[str, Any] | None = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(**kwargs)
        must_be_none("Lambda", mask=mask)
        if not callable(function):
            raise ValueError(f"Lambda: function must be a function of the inputs. Received: function={function!r}.")
        if arguments is not None and not isinstance(arguments, dict):
            raise ValueError(f"Lambda: arguments must be a dict or None. Received: arguments={arguments!r}.")
        self.function = function
        self.arguments = dict(arguments or {})
        self._sample_shape = None if output_shape is None else sample_shape("Lambda", output_shape)
        if hasattr(function, "backward"):
            self.backward = function.backward

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return self.function(inputs, **self.arguments)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        if self._sample_shape is not None:
            return (*input_shape[:1], *self._sample_shape)
        return super().compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "function": serialize_keras_object(self.function)}
        if self._sample_shape is not None:
            config["output_shape"] = list(self._sample_shape)
        return {**config, "arguments": self.arguments} if self.arguments else config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Lambda:
        return super().from_config(
            {**config, "function": deserialize_keras_object(config["function"], family="activations")}
        )
