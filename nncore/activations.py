"""Activation functions: on arrays, by name, and as what layers lower to.

Each function takes anything ``np.asarray`` takes and returns a float array; ``get`` finds one by name. In a layer the
same function appends its op to the layer's program: it is called with a :class:`nncore.tracing.Symbol`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf, prod
from typing import Any

import numpy as np

from nncore import axes, ops
from nncore.arguments import at_least_zero, integers
from nncore.builder import Builder
from nncore.errors import unknown_name
from nncore.program import Buffer, Shape
from nncore.serialization import (
    custom_object_scope,
    deserialize_keras_object,
    get_registered_object,
    serialize_keras_object,
)
from nncore.tracing import NotTraceable, Symbol, call, function_name, trace, trial

Array = np.ndarray[Any, Any]
Activation = Callable[..., Any]

__all__ = [
    "celu", "deserialize", "elu", "exponential", "gelu", "get", "glu", "hard_shrink", "hard_sigmoid", "hard_silu",
    "hard_swish", "hard_tanh", "leaky_relu", "linear", "log_sigmoid", "log_softmax", "mish", "relu", "relu6", "selu",
    "serialize", "sigmoid", "silu", "soft_shrink", "softmax", "softplus", "softsign", "sparse_plus", "sparse_sigmoid",
    "sparsemax", "squareplus", "swish", "tanh", "tanh_shrink", "threshold",
]  # fmt: skip


def _apply(op: str, x: Any, **attributes: float) -> Any:
    """The output of an op of one input: an array by its definition, a symbol for a symbol."""
    if isinstance(x, Symbol):
        if x.total:
            raise NotTraceable(f"{op} of a mean or sum over the batch is not known until the batch is over.")
        return x.emit(op, **attributes)
    return ops.evaluate(op, x, **attributes)[0]


# Of every element.


def linear(x: Any) -> Any:
    """f(x) = x"""
    return x if isinstance(x, Symbol) else ops.as_real(x)


def relu(x: Any, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Any:
    """min(x, max_value) where x > threshold, else negative_slope (x - threshold); by default max(x, 0)."""
    if negative_slope == 0 and max_value is None and threshold == 0:
        return _apply("relu", x)
    limit = inf if max_value is None else max_value
    return _apply("general_relu", x, negative_slope=negative_slope, max_value=limit, threshold=threshold)


def leaky_relu(x: Any, negative_slope: float = 0.2) -> Any:
    """x where x > 0, else negative_slope x (Maas et al. 2013)."""
    return relu(x, negative_slope)


def relu6(x: Any) -> Any:
    """min(max(x, 0), 6)"""
    return relu(x, max_value=6.0)


def elu(x: Any, alpha: float = 1.0) -> Any:
    """x where x > 0, else alpha (exp(x) - 1) (Clevert et al. 2016)."""
    return _apply("elu", x, alpha=alpha, scale=1.0, rate=1.0)


def celu(x: Any, alpha: float = 1.0) -> Any:
    """max(x, 0) + alpha (exp(min(x, 0) / alpha) - 1) (Barron 2017); alpha is not 0."""
    if alpha == 0:
        raise ValueError("celu: alpha must not be 0, by which x is divided. Received: alpha=0.")
    return _apply("elu", x, alpha=alpha, scale=1.0, rate=1 / alpha)


SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def selu(x: Any) -> Any:
    """1.0507… x where x > 0, else 1.0507… 1.6733… (exp(x) - 1) (Klambauer et al. 2017)."""
    return _apply("elu", x, alpha=SELU_SCALE * SELU_ALPHA, scale=SELU_SCALE, rate=1.0)


def exponential(x: Any) -> Any:
    """exp(x)"""
    return _apply("exponential", x)


def softplus(x: Any) -> Any:
    """log(1 + exp(x))"""
    return _apply("softplus", x)


def softsign(x: Any) -> Any:
    """x / (1 + |x|)"""
    return _apply("softsign", x)


def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x))"""
    return _apply("sigmoid", x)


def log_sigmoid(x: Any) -> Any:
    """log(1 / (1 + exp(-x)))"""
    return _apply("log_sigmoid", x)


def silu(x: Any) -> Any:
    """x sigmoid(x), also called swish (Elfwing et al. 2018)."""
    return _apply("silu", x)


def gelu(x: Any, approximate: bool = False) -> Any:
    """x (1 + erf(x / √2)) / 2 (Hendrycks and Gimpel 2016).

    With ``approximate``, x (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2.
    """
    return _apply("gelu_tanh" if approximate else "gelu", x)


def mish(x: Any) -> Any:
    """x tanh(log(1 + exp(x))) (Misra 2019)."""
    return _apply("mish", x)


def tanh(x: Any) -> Any:
    """(exp(x) - exp(-x)) / (exp(x) + exp(-x))"""
    return _apply("tanh", x)


def hard_sigmoid(x: Any) -> Any:
    """min(max(x + 3, 0), 6) / 6"""
    return _apply("hard_sigmoid", x)


def hard_silu(x: Any) -> Any:
    """x hard_sigmoid(x), also called hard_swish (Howard et al. 2019)."""
    return _apply("hard_silu", x)


def hard_tanh(x: Any) -> Any:
    """min(max(x, -1), 1)"""
    return _apply("hard_tanh", x)


def tanh_shrink(x: Any) -> Any:
    """x - tanh(x)"""
    return _apply("tanh_shrink", x)


def hard_shrink(x: Any, threshold: float = 0.5) -> Any:
    """x where |x| > threshold, else 0; threshold is at least 0."""
    return _apply("hard_shrink", x, threshold=at_least_zero("hard_shrink", "threshold", threshold))


def soft_shrink(x: Any, threshold: float = 0.5) -> Any:
    """x, nearer to 0 by the threshold: x - min(max(x, -threshold), threshold); threshold is at least 0."""
    return _apply("soft_shrink", x, threshold=at_least_zero("soft_shrink", "threshold", threshold))


def threshold(x: Any, threshold: float, default_value: float) -> Any:
    """x where x > threshold, else default_value."""
    return _apply("threshold", x, threshold=threshold, default_value=default_value)


def squareplus(x: Any, b: float = 4) -> Any:
    """(x + √(x² + b)) / 2 (Barron 2021); b is at least 0."""
    return _apply("squareplus", x, b=at_least_zero("squareplus", "b", b))


def sparse_plus(x: Any) -> Any:
    """0 where x <= -1, x where x >= 1, (x + 1)² / 4 between."""
    return _apply("sparse_plus", x)


def sparse_sigmoid(x: Any) -> Any:
    """min(max((x + 1) / 2, 0), 1)"""
    return _apply("sparse_sigmoid", x)


swish = silu
hard_swish = hard_silu


# Of the values along an axis.


def softmax(x: Any, axis: int | Sequence[int] = -1) -> Any:
    """exp(x - max) / sum exp(x - max) along ``axis``, or over several axes together."""
    return _along("softmax", x, axis)


def log_softmax(x: Any, axis: int | Sequence[int] = -1) -> Any:
    """x - max - log sum exp(x - max) along ``axis``: the logarithm of softmax."""
    return _along("log_softmax", x, axis)


def sparsemax(x: Any, axis: int | Sequence[int] = -1) -> Any:
    """max(x - t, 0) along ``axis``, t such that the sum is 1 (Martins and Astudillo 2016)."""
    return _along("sparsemax", x, axis)


def glu(x: Any, axis: int = -1) -> Any:
    """a sigmoid(b), a and b the two halves of x along ``axis``, whose length is even (Dauphin et al. 2017)."""
    x = x if isinstance(x, Symbol) else ops.as_real(x)
    (at,) = _axes_of("glu", x, axis)
    before, length, after = x.shape[:at], x.shape[at], x.shape[at + 1 :]
    if length % 2:
        raise ValueError(f"glu: the length of the axis must be even. Received: shape {x.shape}, axis={axis}.")
    halves = _view(x, (*(before or (1,)), 2, length // 2 * prod(after)))
    return _view(_apply("glu", halves), (*before, length // 2, *after))


def _axes_of(owner: str, x: Any, axis: int | Sequence[int]) -> list[int]:
    """``axis`` of an array or symbol as a list of axes, counted from 0; of a symbol, not the axis of the batch."""
    given, rank, first = integers(axis) or [], x.ndim, isinstance(x, Symbol)
    found = [a % rank for a in given if -rank <= a < rank]
    if not given or len(set(found)) != len(given) or (first and 0 in found):
        raise ValueError(
            f"{owner}: axis must be an axis of x, or several{', not that of the batch' if first else ''}. "
            f"Received: axis={axis!r} for shape {x.shape}."
        )
    return found


def _along(op: str, x: Any, axis: int | Sequence[int]) -> Any:
    """An op over rows, on the rows that ``axes`` make together."""
    x = x if isinstance(x, Symbol) else ops.as_real(x)
    moved = _axes_of(op, x, axis)
    last = x if moved == list(range(x.ndim - len(moved), x.ndim)) else _to_end(x, moved)
    lead, own = last.shape[: x.ndim - len(moved)], last.shape[x.ndim - len(moved) :]
    result = _view(_apply(op, _view(last, (*(lead or (1,)), prod(own)))), last.shape)
    return result if last is x else _from_end(result, moved)


def _view(x: Any, shape: Any) -> Any:
    return Symbol(x.b, x.b.view(x.buffer, shape)) if isinstance(x, Symbol) else x.reshape(shape)


def _to_end(x: Any, moved: list[int]) -> Any:
    if isinstance(x, Symbol):
        return Symbol(x.b, axes.to_end(x.b, x.buffer, moved))
    return np.moveaxis(x, moved, range(-len(moved), 0))


def _from_end(y: Any, moved: list[int]) -> Any:
    if isinstance(y, Symbol):
        return Symbol(y.b, axes.from_end(y.b, y.buffer, moved))
    return np.moveaxis(y, range(-len(moved), 0), moved)


# By name.

_NAMES: dict[str, Activation] = {
    name: globals()[name] for name in __all__ if name not in ("deserialize", "get", "serialize")
}


def get(identifier: Any) -> Activation:
    """The activation of a name, in any case, of a config, or the function itself; ``None`` means ``linear``.

    Any function of x will do. Made of operators, NumPy functions and activations that programs have ops for, it becomes
    these ops; else it is called with arrays, and its gradient is that of its attribute ``backward(dy, x, y)``.

    Raises:
        ValueError: for an unknown name (the known ones are listed), and for a config without one.
    """
    if isinstance(identifier, dict) and "config" not in identifier:  # Keras writes a lambda so
        raise ValueError(
            "An activation is read from a config that names it; a lambda is not: define it with def, and pass it in "
            f"custom_objects. Received: {identifier!r:.80}."
        )
    name = identifier.get("config") if isinstance(identifier, dict) else identifier
    if name is None:
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
    if callable(identifier) and not isinstance(identifier, type):
        return identifier  # type: ignore[no-any-return]
    raise unknown_name("activation", identifier, _NAMES)


def serialize(activation: Activation) -> Any:
    """The name of an activation; a config for a function of your own."""
    name = function_name(activation)
    return name if _NAMES.get(name) is activation else serialize_keras_object(activation)


def deserialize(config: Any, custom_objects: dict[str, Any] | None = None) -> Activation:
    """The activation that ``serialize`` described."""
    with custom_object_scope(custom_objects):
        return get(deserialize_keras_object(config, family="activations"))


# In layers.


def lower(activation: Activation, b: Builder, x: Buffer) -> Buffer:
    """Append an activation to a program."""
    if activation in _NAMES.values():
        result: Symbol = activation(Symbol(b, x))
        return result.buffer
    name, backward = function_name(activation), getattr(activation, "backward", None)
    found = trace(b, activation, x) if backward is None else None
    if found is not None and not found.total:
        return found.buffer
    return call(b, name, activation, trial(name, activation, x.shape), [x], backward=backward)


def output_shape(activation: Activation, shape: Shape) -> Shape:
    """The shape of an activation's outputs, for inputs of ``shape``, batch axis first.

    Raises:
        ValueError: where the activation does not take such inputs, or cannot be called with them alone.
    """
    if activation is threshold:
        raise ValueError(
            "threshold needs its arguments 'threshold' and 'default_value': give a function of x alone, such as "
            "lambda x: nncore.activations.threshold(x, 0.5, 0.0)."
        )
    b = Builder("shape", training=False)
    return lower(activation, b, b.declare("workspace", "x", shape)).shape
