"""What users write in Python, as part of a program: its ops where it is made of them, else a call of Python.

A function is first called with a :class:`Symbol` for each array. Operators, NumPy functions, layers and activations
that have ops append these, with gradients, and it all runs as compiled kernels. Where the function needs the values
themselves it becomes one instruction that calls it with arrays, batch by batch; gradients then come from ``backward``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from nncore import allowance, axes, ops
from nncore.arguments import is_integer, is_number
from nncore.builder import Builder
from nncore.program import Buffer, Function, Shape
from nncore.variables import Variable

Array = np.ndarray[Any, Any]


class NotTraceable(TypeError):
    """A formula needs values, or an operation that programs do not have."""


class Symbol(NDArrayOperatorsMixin):
    """A value that a program will compute. Formulas over it append ops.

    It takes part in ``+ - * / **`` and ``abs``, ``@`` with a weight matrix, and the NumPy functions of the same
    meaning, ``np.square, sqrt, exp, log, tanh, maximum, minimum, clip``, ``np.sum`` and ``np.mean`` over one axis of a
    sample and, at the end of a loss, ``np.mean`` over all axes. Other operands are symbols of its shape, numbers, and
    weights along its last axis.

    Args:
        b: The program under construction.
        buffer: Where the value lies.
        total: Whether it stands for the mean or sum over the whole batch, row by row still.

    Attributes:
        shape: The shape, batch axis (``None``) first.
    """

    def __init__(self, b: Builder, buffer: Buffer, total: bool = False) -> None:
        self.b = b
        self.buffer = buffer
        self.total = total

    @property
    def shape(self) -> Shape:
        """The shape, batch axis (``None``) first."""
        return self.buffer.shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    def sum(self, axis: Any = None) -> Symbol:
        """The sum over an axis of a sample, or over everything."""
        return _row_sum(self, axis, mean=False)

    def mean(self, axis: Any = None) -> Symbol:
        """The mean over an axis of a sample, or over everything."""
        return _row_sum(self, axis, mean=True)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        raise NotTraceable("The values of a symbol are not known while a program is made.")

    def __bool__(self) -> bool:
        raise NotTraceable("Whether a symbol is true is not known while a program is made.")

    __hash__ = object.__hash__

    def __len__(self) -> int:
        raise NotTraceable("The number of rows is not known while a program is made.")

    def __iter__(self) -> Any:
        raise NotTraceable("The rows of a symbol are not known while a program is made.")

    def __getitem__(self, index: Any) -> Any:
        raise NotTraceable("The elements of a symbol are not known while a program is made.")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__" or kwargs or ufunc not in _UFUNCS:
            raise NotTraceable(f"np.{ufunc.__name__} has no op.")
        return _UFUNCS[ufunc](*inputs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function not in _FUNCTIONS:
            raise NotTraceable(f"np.{function.__name__} has no op.")
        return _FUNCTIONS[function](*args, **kwargs)

    def __repr__(self) -> str:
        return f"<Symbol {self.buffer.name} shape={self.shape}>"

    def emit(self, op: str, *others: Buffer, **attributes: float) -> Symbol:
        """Append an op of this and other operands."""
        return Symbol(self.b, self.b.emit(op, self.buffer, *others, **attributes)[0], self.total)


# Formulas.


def _unary(op: str, **attributes: float) -> Callable[[Symbol], Symbol]:
    def apply(x: Symbol) -> Symbol:
        if x.total and op != "scale_shift":
            raise NotTraceable("A mean or sum over the batch is not known until the batch is over.")
        return x.emit(op, **attributes)

    return apply


def _scale_shift(x: Symbol, scale: float, offset: float) -> Symbol:
    return x.emit("scale_shift", scale=float(scale), offset=float(offset))


def _binary(
    op: str, with_number: Callable[[Symbol, float, bool], Symbol], with_row: Callable[[Symbol, Symbol, bool], Symbol]
) -> Callable[[Any, Any], Symbol]:
    """``op`` of two symbols; of one and a number, and of one and a weight of its last axis, by the functions given.

    These get the symbol, the other operand, and whether the symbol is the second of the two.
    """

    def apply(a: Any, c: Any) -> Symbol:
        x, other, swapped = (a, c, False) if isinstance(a, Symbol) else (c, a, True)
        if isinstance(other, np.ndarray) and other.ndim == 0:
            other = other[()]
        if is_number(other):
            return with_number(x, float(other), swapped)
        if isinstance(other, Variable):
            rows, weight = _as_rows(x, other)
            found = with_row(rows, weight, swapped)
            return Symbol(x.b, x.b.view(found.buffer, x.shape), x.total)
        if isinstance(other, Symbol) and other.shape == x.shape and other.total == x.total:
            if x.total and op not in ("add", "subtract"):
                raise NotTraceable("A mean or sum over the batch is not known until the batch is over.")
            return x.emit(op, other.buffer)
        raise NotTraceable(f"{op} of {a!r} and {c!r} has no op.")

    return apply


def _as_rows(x: Symbol, variable: Variable) -> tuple[Symbol, Symbol]:
    """x in a shape whose last axis is that of a weight vector, or 1 for a single weight, and the weight."""
    weight = x.b.parameter(variable)
    if variable.size == 1:
        weight = x.b.view(weight, (1,))
        if x.shape[-1:] != (1,):
            x = Symbol(x.b, x.b.view(x.buffer, (*x.shape, 1)), x.total)
    elif variable.shape != x.shape[-1:]:
        raise NotTraceable(f"A weight of shape {variable.shape} does not lie along the last axis of {x!r}.")
    return x, Symbol(x.b, weight)


def _no_number(x: Symbol, number: float, swapped: bool) -> Symbol:
    raise NotTraceable("This operation with a number has no op.")


def _no_row(x: Symbol, weight: Symbol, swapped: bool) -> Symbol:
    raise NotTraceable("This operation with a weight has no op.")


def _subtract_number(x: Symbol, number: float, swapped: bool) -> Symbol:
    return _scale_shift(x, -1, number) if swapped else _scale_shift(x, 1, -number)


def _subtract_row(x: Symbol, weight: Symbol, swapped: bool) -> Symbol:
    if swapped:
        return _scale_shift(x, -1, 0).emit("row_add", weight.buffer)
    return x.emit("row_add", _scale_shift(weight, -1, 0).buffer)


def _divide_number(x: Symbol, number: float, swapped: bool) -> Symbol:
    if swapped:
        return _unary("quotient_of", numerator=number)(x)
    if number == 0:
        raise NotTraceable("A division by 0.")
    return _scale_shift(x, 1 / number, 0)


def _divide_row(x: Symbol, weight: Symbol, swapped: bool) -> Symbol:
    if swapped:
        return _unary("quotient_of", numerator=1.0)(x).emit("row_multiply", weight.buffer)
    return x.emit("row_multiply", weight.emit("quotient_of", numerator=1.0).buffer)


def _power(x: Any, exponent: Any) -> Symbol:
    if not isinstance(x, Symbol) or not is_number(exponent) or x.total:
        raise NotTraceable("Only a power with a constant exponent has ops.")
    if exponent == 0.5:
        return x.emit("sqrt")
    if exponent != int(exponent) or not 0 < abs(exponent) <= 8:
        raise NotTraceable(f"The power {exponent} has no op.")
    result = x
    for _ in range(abs(int(exponent)) - 1):
        result = result.emit("multiply", x.buffer)
    return result if exponent > 0 else result.emit("quotient_of", numerator=1.0)


def _matmul(x: Any, weight: Any) -> Symbol:
    if not isinstance(x, Symbol) or not isinstance(weight, Variable) or weight.ndim != 2 or x.total:
        raise NotTraceable("Only the product of a value and a weight matrix has an op.")
    b = x.b
    return Symbol(b, b.emit("dense", x.buffer, b.parameter(weight), None)[0])


def _clip(x: Any, a_min: Any = None, a_max: Any = None, **others: Any) -> Symbol:
    low, high = others.pop("min", a_min), others.pop("max", a_max)
    limits = [-np.inf if low is None else low, np.inf if high is None else high]
    if others or not isinstance(x, Symbol) or not all(is_number(n) for n in limits):
        raise NotTraceable("np.clip has an op for limits that are numbers.")
    return _unary("clip", low=float(limits[0]), high=float(limits[1]))(x)


def _row_sum(x: Any, axis: Any = None, mean: bool = False, **others: Any) -> Symbol:
    if others or not isinstance(x, Symbol) or x.total:
        raise NotTraceable("A sum with these arguments has no op.")
    if axis is None:  # over the batch too: what is left of that is done by the reduction of the loss
        if not mean:
            raise NotTraceable("A sum over the batch has no op; a mean has.")
        found = _row_sum(x, -1, mean) if x.ndim > 1 else x
        while found.ndim > 1:
            found = _row_sum(found, -1, mean)
        return Symbol(x.b, found.buffer, total=True)
    if not is_integer(axis) or not -x.ndim < axis < x.ndim or axis == 0:
        raise NotTraceable("Sums have ops over one axis of a sample.")
    moved = Symbol(x.b, axes.to_end(x.b, x.buffer, int(axis)))
    found, last = moved.emit("row_sum"), moved.shape[-1]
    assert last is not None
    return _scale_shift(found, 1 / last, 0) if mean else found


def _limit(low: bool) -> Callable[[Symbol, float, bool], Symbol]:
    def apply(x: Symbol, number: float, swapped: bool) -> Symbol:
        return _clip(x, number, None) if low else _clip(x, None, number)

    return apply


_UFUNCS: dict[Any, Callable[..., Symbol]] = {
    np.add: _binary(
        "add", lambda x, number, _: _scale_shift(x, 1, number), lambda x, w, _: x.emit("row_add", w.buffer)
    ),
    np.subtract: _binary("subtract", _subtract_number, _subtract_row),
    np.multiply: _binary(
        "multiply", lambda x, number, _: _scale_shift(x, number, 0), lambda x, w, _: x.emit("row_multiply", w.buffer)
    ),
    np.divide: _binary("divide", _divide_number, _divide_row),
    np.maximum: _binary("maximum", _limit(True), _no_row),
    np.minimum: _binary("minimum", _limit(False), _no_row),
    np.power: _power,
    np.matmul: _matmul,
    np.negative: _unary("scale_shift", scale=-1.0, offset=0.0),
    np.positive: lambda x: x,
    np.square: lambda x: _power(x, 2),
    np.reciprocal: _unary("quotient_of", numerator=1.0),
    np.absolute: _unary("absolute"),
    np.sqrt: _unary("sqrt"),
    np.exp: _unary("exponential"),
    np.log: _unary("log"),
    np.tanh: _unary("tanh"),
}
_FUNCTIONS: dict[Any, Callable[..., Symbol]] = {
    np.clip: _clip,
    np.dot: _matmul,
    np.mean: lambda x, axis=None, **others: _row_sum(x, axis, mean=True, **others),
    np.sum: lambda x, axis=None, **others: _row_sum(x, axis, **others),
}


# Functions in programs.


def trace(b: Builder, function: Callable[..., Any], *operands: Buffer) -> Symbol | None:
    """Append what ``function`` does with symbols of the operands; ``None``, with nothing appended, where it cannot."""
    kept, penalties = len(b.instructions), len(b.penalties)
    try:
        result = function(*(Symbol(b, operand) for operand in operands))
    except (TypeError, AttributeError, IndexError):  # it needs values (NotTraceable is a TypeError)
        result = None
    if isinstance(result, Symbol):
        return result
    del b.instructions[kept:], b.penalties[penalties:]
    return None


def function_name(function: Callable[..., Any]) -> str:
    """What a function is called in programs and errors: its name, or that of its class."""
    return str(getattr(function, "__name__", type(function).__name__))


def trial(name: str, function: Callable[..., Any], *shapes: Shape) -> Shape:
    """The shape of what ``function`` returns for arrays of these shapes, found by calling it with one row of zeros.

    Raises:
        ValueError: where that is not one row a sample.
    """
    whole = [[1 if n is None else n for n in shape] for shape in shapes]
    allowance.borrow(4 * sum(map(prod, whole)), f"a trial of {name}")
    zeros = [np.zeros(shape, np.float32) for shape in whole]
    with np.errstate(all="ignore"):
        found = np.shape(function(*zeros))
    if len(found) < 1 or found[0] != 1:
        received = " and ".join(str(z.shape) for z in zeros)
        raise ValueError(
            f"{name} must return one row a sample. Received: shape {found} for arrays of shape {received}."
        )
    return (None, *found[1:])


def call(
    b: Builder, name: str, function: Callable[..., Any], shape: Shape, inputs: Sequence[Buffer],
    weights: Sequence[Variable] = (), backward: Callable[..., Any] | None = None,
) -> Buffer:  # fmt: skip
    """Append a call of ``function(*inputs)`` with arrays, which returns one of ``shape``.

    ``backward(dy, *inputs, y)`` returns the gradient in the first input, followed by those in the trainable
    ``weights``, which both functions find in their variables.
    """
    parameters = [b.parameter(v) for v in weights]

    def forward(outputs: Sequence[Array], arrays: Sequence[Array]) -> None:
        with _lent(weights, arrays[len(inputs) :]):
            _write(name, outputs[:1], [function(*arrays[: len(inputs)])])

    def rule(emit: ops.Emit, applied: ops.Call, d_outputs: ops.Gradients) -> ops.Gradients:
        assert backward is not None
        given = [*applied.inputs[: len(inputs)], applied.outputs[0]]
        trained = [i for i, v in enumerate(weights) if v.trainable]
        shapes = [inputs[0].shape, *(weights[i].shape for i in trained)]
        found = b.call(Function(f"{name}.backward", backward_body), shapes, d_outputs[0], *given, *parameters)
        places = {len(inputs) + i: d for i, d in zip(trained, found[1:], strict=True)}
        return [found[0] if i == 0 else places.get(i) for i in range(len(applied.inputs))]

    def backward_body(outputs: Sequence[Array], arrays: Sequence[Array]) -> None:
        assert backward is not None
        own = 1 + len(inputs) + 1
        with _lent(weights, arrays[own:]):
            found = backward(*arrays[:own])
        _write(f"{name}.backward", outputs, list(found) if isinstance(found, tuple | list) else [found])

    body = Function(name, forward, rule if backward is not None else None)
    return b.call(body, [shape], *inputs, *parameters)[0]


def _write(name: str, outputs: Sequence[Array], results: Sequence[Any]) -> None:
    """What a user's function returned, into the places for it; ``ValueError`` where the shapes differ."""
    if len(results) != len(outputs):
        raise ValueError(
            f"{name} must return {len(outputs)} arrays: the gradient in the input, and one for each trainable weight. "
            f"Received: {len(results)}."
        )
    for output, result in zip(outputs, results, strict=True):
        array = np.asarray(result)
        if array.shape != output.shape:
            raise ValueError(f"{name} must return an array of shape {output.shape}. Received: {array.shape}.")
        output[...] = array


class _lent:
    """While it lasts, variables have the values that a program hands over: where these are copies, the copies."""

    def __init__(self, variables: Sequence[Variable], arrays: Sequence[Array]) -> None:
        self._swaps = [
            (v, v.value, a) for v, a in zip(variables, arrays, strict=True) if not np.may_share_memory(v.value, a)
        ]

    def __enter__(self) -> None:
        for variable, _, array in self._swaps:
            variable.value = array

    def __exit__(self, *error: object) -> None:
        for variable, value, _ in self._swaps:
            variable.value = value
