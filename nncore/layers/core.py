"""``Input`` and ``Dense``."""

from __future__ import annotations

from typing import Any

from nncore import activations, constraints, initializers, regularizers
from nncore.arguments import must_be_none, positive_int
from nncore.builder import Builder
from nncore.layers.base import Layer, sample_shape
from nncore.program import Buffer, Shape
from nncore.variables import Variable

_REAL = (
    "float16", "float32", "float64", "bfloat16", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32",
    "uint64", "bool",
)  # fmt: skip


class InputLayer(Layer):
    """The shape of one sample; the values pass unchanged.

    Args:
        shape: Shape of one sample, without the batch axis.
        batch_size: Without effect: batches of any size are taken.
        batch_shape: The same with the batch axis first, which must be ``None``.
        dtype: What the samples are said to hold, such as ``"int32"`` before an ``Embedding``; by default ``"float32"``.
            Whatever it says, data of any real type is taken, and converted to what the first layer computes with.
        name: Unique inside a model.
    """

    def __init__(
        self, shape: Any = None, batch_size: Any = None, dtype: Any = None, *, batch_shape: Any = None,
        name: str | None = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(name=name, **kwargs)
        self.dtype = _real_name(dtype)
        if batch_shape is not None:
            if shape is not None or len(tuple(batch_shape)) < 1 or batch_shape[0] is not None:
                raise ValueError(
                    "Input: give either shape, or batch_shape with None first. "
                    f"Received: shape={shape!r}, batch_shape={batch_shape!r}."
                )
            shape = tuple(batch_shape)[1:]
        if shape is None:
            shape = self.declared_input_shape
        if shape is None:
            raise ValueError("Input: shape is required, such as Input((100,)). Received: shape=None.")
        self.declared_input_shape = sample_shape("Input", shape)

    def lower(self, b: Builder, x: Buffer) -> Buffer:
        return x

    def get_config(self) -> dict[str, Any]:
        assert self.declared_input_shape is not None
        return {"batch_shape": [None, *self.declared_input_shape], "dtype": self.dtype, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> InputLayer:
        """The input that ``config`` describes: for batches of any size, whatever Keras has noted of one."""
        shape = config.get("batch_shape")
        return super().from_config({**config, "batch_shape": [None, *shape[1:]]} if shape else config)


def _real_name(dtype: Any) -> str:
    """The name of a type of real numbers, given by name or as a type."""
    name = "float32" if dtype is None else str(getattr(dtype, "name", getattr(dtype, "__name__", dtype)))
    name = {"float": "float32", "int": "int32"}.get(name, name)
    if name not in _REAL:
        raise ValueError(f"Input: dtype must be one of {', '.join(_REAL)}. Received: dtype={dtype!r}.")
    return name


def Input(
    shape: Any = None, batch_size: Any = None, dtype: Any = None, *, batch_shape: Any = None, name: str | None = None
) -> Layer:
    """The first entry of a model: the shape of one sample. See :class:`InputLayer`."""
    return InputLayer(shape, batch_size, dtype, batch_shape=batch_shape, name=name)


class Dense(Layer):
    """``activation(x @ kernel + bias)`` on the last axis of ``x``.

    Shapes: ``(batch, …, k)`` to ``(batch, …, units)``; ``kernel`` is ``(k, units)``, ``bias`` is ``(units,)``.

    Args:
        units: Outputs, a positive integer.
        activation: A name of ``nncore.activations``, one of its functions, or ``None`` for none.
        use_bias: Whether to add a bias.
        kernel_initializer: How the kernel starts.
        bias_initializer: How the bias starts.
        kernel_regularizer: A regularizer whose penalty of the kernel is added to the loss, by name or object.
        bias_regularizer: The same for the bias.
        activity_regularizer: The same for the outputs, divided by the rows of the batch.
        kernel_constraint: What holds the kernel after each update, by name or object.
        bias_constraint: The same for the bias.
        lora_rank, lora_alpha, quantization_config: Must be ``None``.
        **kwargs: ``name``, ``trainable``, ``input_shape``, ``input_dim``: see :class:`Layer`.

    Raises:
        ValueError: for anything above that does not hold.
    """

    supports_masking = True

    def __init__(
        self, units: int, activation: Any = None, use_bias: bool = True, kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros", kernel_regularizer: Any = None, bias_regularizer: Any = None,
        activity_regularizer: Any = None, kernel_constraint: Any = None, bias_constraint: Any = None,
        lora_rank: None = None, lora_alpha: None = None, quantization_config: None = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        must_be_none("Dense", lora_rank=lora_rank, lora_alpha=lora_alpha, quantization_config=quantization_config)
        self.units = positive_int("Dense", "units", units)
        self.activation = activations.get(activation)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.kernel: Variable | None = None
        self.bias: Variable | None = None

    def build(self, input_shape: Shape) -> None:
        if len(input_shape) < 2:
            raise ValueError(f"Dense {self.name!r}: needs inputs of shape (batch, …, k). Received: {input_shape}.")
        features = input_shape[-1]
        assert features is not None
        self.kernel = self.add_weight(
            (features, self.units), self.kernel_initializer, name="kernel",
            regularizer=self.kernel_regularizer, constraint=self.kernel_constraint,
        )  # fmt: skip
        if self.use_bias:
            self.bias = self.add_weight(
                (self.units,), self.bias_initializer, name="bias",
                regularizer=self.bias_regularizer, constraint=self.bias_constraint,
            )  # fmt: skip

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return activations.output_shape(self.activation, (*input_shape[:-1], self.units))

    def lower(self, b: Builder, x: Buffer) -> Buffer:
        assert self.kernel is not None
        bias = None if self.bias is None else b.parameter(self.bias)
        (y,) = b.emit("dense", x, b.parameter(self.kernel), bias)
        return activations.lower(self.activation, b, y)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "kernel_regularizer": regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": regularizers.serialize(self.bias_regularizer),
            "kernel_constraint": constraints.serialize(self.kernel_constraint),
            "bias_constraint": constraints.serialize(self.bias_constraint),
        }
