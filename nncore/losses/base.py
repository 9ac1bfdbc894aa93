"""``Loss``: the base of all losses, how its values become one number, and what it appends to a program.

A loss defines ``value`` once: the ops from targets and predictions to one value a row. ``call`` runs them on arrays,
``lower`` appends them to a program.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from nncore import ops
from nncore.arguments import float32_name
from nncore.builder import Builder
from nncore.losses import custom
from nncore.names import snake_case
from nncore.ops.losses import MEAN, SUM, WEIGHTED_MEAN
from nncore.program import Buffer, Shape
from nncore.serialization import construct, deserialize_keras_object, serialize_keras_object
from nncore.tracing import NotTraceable, Symbol, function_name

Array = np.ndarray[Any, Any]
Emit = Callable[..., tuple[Any, ...]]
"""``emit(op, *inputs, **attributes) -> outputs``: appends an op to a program, or runs it on arrays."""

REDUCTIONS = {
    "sum_over_batch_size": MEAN, "mean": MEAN, "sum": SUM, "mean_with_sample_weight": WEIGHTED_MEAN,
    "none": None, None: None,
}  # fmt: skip
"""The names of reductions, and what they mean to the op that weighs rows; ``None``: one value a row."""


class Loss:
    """Base of all losses.

    Args:
        name: Shown in error messages.
        reduction: ``"sum_over_batch_size"`` (also called ``"mean"``): the sum over the batch divided by its length;
            ``"sum"``; ``"mean_with_sample_weight"``: divided by the sum of the weights; ``"none"`` or ``None``: one
            value a row, which no model can be trained on.
        dtype: ``None`` or ``"float32"``.

    Attributes:
        target: What ``y`` holds: ``"same"``, values in the shape of the predictions; ``"labels"``, one integer a row;
            ``"any"``: it is taken as it is, a vector beside one output as a column.
        probabilities: Whether ``y`` must lie in [0, 1].
        op: The op that computes one value a row.
        axis: The axis of the predictions that is one row.
        of_batch: Whether there is one value a batch, which then stands in every row of it.
    """

    target = "same"
    probabilities = False
    op = ""
    axis = -1
    of_batch = False

    def __init__(
        self, name: str | None = None, reduction: str | None = "sum_over_batch_size", dtype: str | None = None
    ) -> None:
        if reduction not in REDUCTIONS:
            raise ValueError(
                f"{type(self).__name__}: reduction must be one of {tuple(REDUCTIONS)}. "
                f"Received: reduction={reduction!r}."
            )
        float32_name(type(self).__name__, dtype)
        self.reduction = reduction
        self.name = name or snake_case(type(self).__name__)
        if self.calls:
            self.target = "any"

    # What a loss defines.

    def attributes(self) -> dict[str, float]:
        """The op's attributes."""
        return {}

    def value(self, emit: Emit, y_true: Any, y_pred: Any) -> Any:
        """One value a row, the last axis of ``y_pred`` being one."""
        return emit(self.op, y_pred, y_true, **self.attributes())[0]

    def mask(self, emit: Emit, y_true: Any) -> Any | None:
        """1 for rows that count and 0 for those that do not; ``None`` where all do."""
        return None

    # In a program.

    def lower(self, b: Builder, target: Buffer, prediction: Buffer) -> Buffer:
        """Append the loss to a program; returns one value a row. ``prediction`` keeps its meaning for metrics."""
        return self.lower_value(b, target, prediction)

    def lower_value(self, b: Builder, target: Buffer, prediction: Buffer) -> Buffer:
        """The same, from the predictions as they are, whatever computed them."""
        if self.calls:
            name = getattr(self, "function_name", type(self).__name__)
            return custom.append(b, name, self.call, getattr(self, "backward", None), target, prediction)
        if self.target == "same":
            target = last_axis(b, target, self.axis)
        return self.value(b.emit, target, last_axis(b, prediction, self.axis))  # type: ignore[no-any-return]

    def weigh(
        self, b: Builder, target: Buffer, rows: Buffer, weight: Buffer | None, mask: Buffer | None = None
    ) -> Buffer | None:
        """Append the reduction: the weights with which the mean over ``rows`` is the loss of the batch.

        ``weight`` and ``mask`` have the shape of ``rows``, and may be absent; without weights to give, ``None``.
        """
        own = self.mask(b.emit, target)
        if own is not None:
            mask = own if mask is None else b.emit("multiply", own, mask)[0]
        kind = REDUCTIONS[self.reduction]
        if mask is None and (kind == MEAN or (kind == WEIGHTED_MEAN and weight is None)):
            return weight
        assert kind is not None
        return b.emit("weigh_rows", weight, mask, rows, reduction=kind)[0]

    # Shapes.

    def target_shape(self, prediction: Shape) -> Shape:
        """The shape of targets for predictions of a shape."""
        return self.rows_shape(prediction) if self.target == "labels" else prediction

    def rows_shape(self, prediction: Shape) -> Shape:
        """The shape of the loss's values for predictions of a shape."""
        if self.calls:
            return prediction[:1]
        return without_axis(self.name, prediction, self.axis)

    @property
    def calls(self) -> bool:
        """Whether a subclass defined ``call``: the function of targets and predictions that it is then."""
        for cls in type(self).__mro__:
            if {"value", "lower", "lower_value", "op"} & set(vars(cls)):
                return False
            if "call" in vars(cls):
                return True
        return False

    # On arrays.

    def call(self, y_true: Array, y_pred: Array) -> Array:
        """One value a row, for arrays whose shapes fit.

        A subclass may define it, in place of ``value``, for a loss of its own: ``y_true`` comes as it is (in a model of
        one output a vector as a column), and it returns one value a sample, or several, whose mean counts, or one for
        the batch. Made of operators, NumPy functions, layers and activations that programs have ops for (see
        :class:`nncore.tracing.Symbol`), it becomes these ops. Else, and always where the class defines ``backward``, it
        is called with arrays, batch by batch; training then needs ``backward(self, y_true, y_pred)``, the slope of each
        sample's value in its predictions.
        """
        if y_pred.ndim == 1:  # a vector is one row
            return self.call(y_true[None], y_pred[None])[0]  # type: ignore[no-any-return]
        if self.target == "same":
            y_true = np.moveaxis(y_true, self.axis, -1)
        return self.value(ops.evaluate, y_true, np.moveaxis(y_pred, self.axis, -1))  # type: ignore[no-any-return]

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        if isinstance(y_pred, Symbol):
            return self._of_symbols(y_true, y_pred, sample_weight)
        p = ops.as_real(y_pred)
        t = fit_target(self.name, self.target, np.asarray(y_true), p.shape, self.axis)
        return self._reduce(self.call(t, p), sample_weight, self.mask(ops.evaluate, t))

    def _of_symbols(self, y_true: Any, y_pred: Symbol, sample_weight: Any) -> Symbol:
        """As part of a loss that a user writes: one value a row, or their mean over the batch."""
        kind, b = REDUCTIONS[self.reduction], y_pred.b
        if kind not in (None, MEAN) or sample_weight is not None or self.calls or not isinstance(y_true, Symbol):
            raise NotTraceable(f"{self.name} with these arguments has no ops.")
        fits = self.target == "same" and y_true.shape == y_pred.shape and not y_true.total and not y_pred.total
        if not fits or self.mask(b.emit, y_true.buffer) is not None:
            raise NotTraceable(f"{self.name} of {y_true!r} and {y_pred!r} has no ops.")
        rows = Symbol(b, self.lower_value(b, y_true.buffer, y_pred.buffer))
        return rows if kind is None else rows.mean()

    def _reduce(self, values: Array, sample_weight: Any, mask: Array | None = None) -> Any:
        kind, real = REDUCTIONS[self.reduction], values.dtype.type
        weight = None if sample_weight is None else np.asarray(sample_weight, real)
        if mask is not None:
            kept = mask.sum()
            share = mask * (real(mask.size / kept if kept else 0) if kind == MEAN else real(1))
            weight = share if weight is None else _of_rank(weight, share) * share
        if weight is not None:
            weight = _of_rank(weight, values)
            values = values * weight
        if kind is None or values.ndim == 0:
            return values
        total = real(np.sum(values))
        if kind == SUM:
            return total
        count = float(np.sum(weight)) if kind == WEIGHTED_MEAN and weight is not None else values.size
        return real(total / count if count else 0)

    # Configuration.

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal loss."""
        return {"name": self.name, "reduction": self.reduction}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Loss:
        """The loss that ``config`` describes."""
        return construct(cls, config)


class LossFunctionWrapper(Loss):
    """A loss that is a function of targets and predictions; see :meth:`Loss.call` for what it may be.

    Args:
        fn: ``fn(y_true, y_pred, **kwargs)``. Where it is no formula, its attribute ``backward(y_true, y_pred)`` gives
            the slope of each sample's value in its predictions.
        reduction, name, dtype: As for all losses.
        kwargs: Passed on to ``fn``.
    """

    def __init__(
        self, fn: Callable[..., Any], reduction: str | None = "sum_over_batch_size", name: str | None = None,
        dtype: str | None = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        if not callable(fn):
            raise ValueError(f"LossFunctionWrapper: fn must be a function of y_true and y_pred. Received: fn={fn!r}.")
        self.function_name = function_name(fn)
        super().__init__(name or self.function_name, reduction, dtype)
        self.fn = fn
        self.kwargs = kwargs
        if hasattr(fn, "backward"):
            self.backward = fn.backward

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return self.fn(y_true, y_pred, **self.kwargs)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "fn": serialize_keras_object(self.fn), **self.kwargs}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Loss:
        return cls(**{**config, "fn": deserialize_keras_object(config["fn"], family="losses")})


class RowLoss(Loss):
    """Base of the losses that come with nncore: one op, and the order of arguments that they have."""

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str | None = None, dtype: str | None = None
    ) -> None:
        super().__init__(name, reduction, dtype)


def without_axis(owner: str, shape: Shape, axis: int) -> Shape:
    """``shape`` without one of its axes.

    Raises:
        ValueError: where it has no such axis.
    """
    if not -len(shape) <= axis < len(shape):
        raise ValueError(f"{owner}: axis must be one of the {len(shape)} of the predictions. Received: axis={axis}.")
    axis %= len(shape)
    return shape[:axis] + shape[axis + 1 :]


def last_axis(b: Builder, buffer: Buffer, axis: int) -> Buffer:
    """The buffer with ``axis`` moved to the end."""
    shape = buffer.shape
    axis %= len(shape)
    if axis == len(shape) - 1:
        return buffer
    if axis == 0:
        raise ValueError("A model is trained on losses of single samples: axis must not be 0, the batch's.")
    before, size, after = shape[:axis], shape[axis], shape[axis + 1 :]
    (moved,) = b.emit("swap", b.view(buffer, (*before, size, prod(n for n in after if n is not None), 1)))
    return b.view(moved, (*before, *after, size))


def _of_rank(weight: Array, values: Array) -> Array:
    """Weights as they multiply ``values``: a trailing axis of 1 comes or goes, and one a sample counts for its rows."""
    if weight.ndim == values.ndim + 1 and weight.shape[-1] == 1:
        weight = weight[..., 0]
    if weight.shape == values.shape[: weight.ndim]:
        weight = weight.reshape(weight.shape + (1,) * (values.ndim - weight.ndim))
    return weight


def fit_target(owner: str, target: str, y: Array, prediction: tuple[int, ...], axis: int = -1) -> Array:
    """``y`` in the shape that predictions of shape ``prediction`` are compared with; a trailing 1 comes or goes.

    Raises:
        ValueError: where it cannot be.
    """
    wanted = without_axis(owner, prediction, axis) if target == "labels" else prediction
    if y.shape == wanted or target == "any":
        return y
    if y.shape == (*wanted, 1) or (*y.shape, 1) == wanted:
        return y.reshape([n or 0 for n in wanted])
    raise ValueError(
        f"{owner}: y_true must have shape {wanted} for predictions of shape {prediction}. Received: {y.shape}."
    )
