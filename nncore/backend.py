"""Keras's ``backend`` module, as far as nncore has it: types, constants, and what losses and metrics are made of.

The functions are NumPy's under Keras's names. They take arrays and, where programs have ops for them, the symbols that
formulas are made with: see :mod:`nncore.tracing`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore.activations import relu, sigmoid, softmax, softplus
from nncore.names import reset_names
from nncore.ops.losses import EPSILON
from nncore.tracing import NotTraceable, Symbol
from nncore.variables import Variable

__all__ = [
    "Variable", "abs", "argmax", "binary_crossentropy", "cast", "cast_to_floatx", "clear_session", "clip", "dot",
    "epsilon", "equal", "eval", "exp", "flatten", "floatx", "get_value", "greater", "greater_equal",
    "image_data_format", "int_shape", "less", "less_equal", "log", "max", "maximum", "mean", "min", "minimum", "ndim",
    "not_equal", "pow", "relu", "round", "set_value", "shape", "sigmoid", "sign", "softmax", "softplus", "sqrt",
    "square", "sum", "tanh", "variable",
]  # fmt: skip


def epsilon() -> float:
    """How far probabilities are kept from 0 and 1 before a logarithm: 1e-7."""
    return EPSILON


def floatx() -> str:
    """The float type of weights: ``"float32"``."""
    return "float32"


def image_data_format() -> str:
    """``"channels_last"``."""
    return "channels_last"


def clear_session(free_memory: bool = True) -> None:
    """Start the automatic names of layers and models over: ``dense``, ``dense_1``, … The argument has no effect."""
    reset_names()


# Variables.


def variable(value: Any, dtype: Any = None, name: str | None = None) -> Variable:
    """A variable that holds ``value``."""
    return Variable(value, name or "variable", dtype=dtype)


def get_value(x: Any) -> Any:
    """The values of a variable, or of a learning rate, as a copy."""
    return x.numpy() if hasattr(x, "numpy") else x


def set_value(x: Any, value: Any) -> None:
    """Set a variable, or the optimizer's learning rate: ``set_value(model.optimizer.lr, 0.01)``."""
    x.assign(value)


def shape(x: Any) -> tuple[int | None, ...]:
    """The shape; of a symbol with ``None`` first, which stands for the batch."""
    return tuple(x.shape)


def ndim(x: Any) -> int:
    """The number of axes."""
    return len(shape(x))


eval = get_value
int_shape = shape

# Of every element.

abs = np.abs
dot = np.matmul
equal, not_equal = np.equal, np.not_equal
exp, log, sqrt, square, tanh, sign = np.exp, np.log, np.sqrt, np.square, np.tanh, np.sign
greater, greater_equal, less, less_equal = np.greater, np.greater_equal, np.less, np.less_equal
maximum, minimum = np.maximum, np.minimum
pow = np.power


def clip(x: Any, min_value: float, max_value: float) -> Any:
    """min(max(x, min_value), max_value)"""
    return np.clip(x, min_value, max_value)


def round(x: Any) -> Any:
    """The nearest integers, even ones where two are as near."""
    return np.round(x)


def cast(x: Any, dtype: Any) -> Any:
    """The values as another type. In programs all are float32."""
    if not isinstance(x, Symbol):
        return np.asarray(x).astype(dtype)
    if np.dtype(dtype).kind != "f":
        raise NotTraceable(f"There is no op that makes {dtype} of floats.")
    return x


def cast_to_floatx(x: Any) -> Any:
    """The values as float32."""
    return cast(x, floatx())


def binary_crossentropy(target: Any, output: Any, from_logits: bool = False) -> Any:
    """-(target log p + (1 - target) log(1 - p)), p being ``output``, kept by epsilon from 0 and 1, or its sigmoid."""
    if from_logits:
        return softplus(output) - target * output
    p = np.clip(output, EPSILON, 1 - EPSILON)
    return -(target * np.log(p) + (1 - target) * np.log(1 - p))


# Of the values along an axis, or of all.


def _along(function: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    axis = tuple(axis) if isinstance(axis, list) else axis
    return function(x, axis=axis, keepdims=True) if keepdims else function(x, axis=axis)


def sum(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The sum along an axis, several, or all."""
    return _along(np.sum, x, axis, keepdims)


def mean(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The mean along an axis, several, or all."""
    return _along(np.mean, x, axis, keepdims)


def max(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The largest along an axis, several, or all."""
    return _along(np.max, x, axis, keepdims)


def min(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The smallest along an axis, several, or all."""
    return _along(np.min, x, axis, keepdims)


def argmax(x: Any, axis: int = -1) -> Any:
    """Where the largest is along an axis."""
    return np.argmax(x, axis=axis)


def flatten(x: Any) -> Any:
    """All values in one row."""
    return np.reshape(x, -1)
