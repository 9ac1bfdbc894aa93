"""Activation functions: on arrays, by name, and as what layers lower to.

Each function takes anything ``np.asarray`` takes and returns a float array; ``get`` finds one by name.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

import numpy as np

from nncore import ops
from nncore.builder import Builder
from nncore.errors import unknown_name
from nncore.program import Buffer
from nncore.serialization import (
    custom_object_scope,
    deserialize_keras_object,
    get_registered_object,
    serialize_keras_object,
)

Array = np.ndarray[Any, Any]
Activation = Callable[..., Any]

__all__ = ["deserialize", "get", "linear", "relu", "serialize", "sigmoid", "softmax", "tanh"]


def linear(x: Any) -> Array:
    """f(x) = x"""
    return ops.as_real(x)


def relu(x: Any, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Array:
    """min(x, max_value) where x > threshold, else negative_slope (x - threshold); by default max(x, 0)."""
    op, attributes = relu_op(negative_slope, max_value, threshold)
    return ops.evaluate(op, x, **attributes)[0]


def relu_op(negative_slope: float, max_value: float | None, threshold: float) -> tuple[str, dict[str, float]]:
    """The op of a relu, and its attributes: the plain one where nothing is set."""
    if negative_slope == 0 and max_value is None and threshold == 0:
        return "relu", {}
    limit = inf if max_value is None else max_value
    return "general_relu", {"negative_slope": negative_slope, "max_value": limit, "threshold": threshold}


def sigmoid(x: Any) -> Array:
    """1 / (1 + exp(-x))"""
    return ops.evaluate("sigmoid", x)[0]


def softmax(x: Any, axis: int = -1) -> Array:
    """exp(x - max) / sum exp(x - max) along ``axis``."""
    array = ops.as_real(x)
    if array.ndim < 2:
        raise ValueError(f"softmax: x must have at least 2 axes. Received: shape {array.shape}.")
    return np.moveaxis(ops.evaluate("softmax", np.moveaxis(array, axis, -1))[0], -1, axis)


def tanh(x: Any) -> Array:
    """(exp(x) - exp(-x)) / (exp(x) + exp(-x))"""
    return ops.evaluate("tanh", x)[0]


_OPS: dict[Activation, str] = {relu: "relu", sigmoid: "sigmoid", softmax: "softmax", tanh: "tanh"}
_NAMES: dict[str, Activation] = {f.__name__: f for f in (linear, relu, sigmoid, softmax, tanh)}


def get(identifier: Any) -> Activation:
    """The activation of a name, or the function itself; ``None`` means ``linear``.

    Raises:
        ValueError: for an unknown name (the known ones are listed).
    """
    if identifier is None:
        return linear
    if isinstance(identifier, str):
        own = get_registered_object(identifier)
        if own is not None:
            return get(own)
        if identifier.lower() in _NAMES:
            return _NAMES[identifier.lower()]
        raise unknown_name("activation", identifier, _NAMES)
    if isinstance(identifier, dict):
        return deserialize(identifier)
    if callable(identifier) and identifier in _NAMES.values():
        return identifier  # type: ignore[no-any-return]
    raise unknown_name("activation", identifier, _NAMES)


def serialize(activation: Activation) -> Any:
    """The name of an activation; a config for a function of your own."""
    own = _NAMES.get(activation.__name__) is not activation
    return serialize_keras_object(activation) if own else activation.__name__


def deserialize(config: Any, custom_objects: dict[str, Any] | None = None) -> Activation:
    """The activation that ``serialize`` described."""
    with custom_object_scope(custom_objects):
        return get(deserialize_keras_object(config, family="activations"))


def lower(activation: Activation, b: Builder, x: Buffer) -> Buffer:
    """Append an activation to a program."""
    if activation is linear:
        return x
    return b.emit(_OPS[activation], x)[0]
