"""Losses: on arrays, by name, and as what a training program ends in.

Called on arrays they return Keras's numbers: ``loss(y_true, y_pred, sample_weight=None)``. In a model that ends in
softmax or sigmoid the cross-entropies are computed from the logits instead: exact, with gradient ``p - t``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nncore import ops
from nncore.arguments import float32_name, fraction
from nncore.builder import Builder
from nncore.errors import unknown_name
from nncore.names import snake_case
from nncore.program import Buffer
from nncore.serialization import (
    construct,
    custom_object_scope,
    deserialize_keras_object,
    get_registered_object,
    serialize_keras_object,
)

Array = np.ndarray[Any, Any]

REDUCTIONS = ("sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none", None)


class Loss:
    """Base of all losses.

    Args:
        reduction: ``"sum_over_batch_size"`` (also called ``"mean"``): the sum over the batch divided by its length;
            ``"sum"``; ``"mean_with_sample_weight"``: divided by the sum of the weights; ``"none"`` or ``None``: one
            value a sample. ``fit`` uses the first.
        name: Shown in error messages.
        dtype: ``None`` or ``"float32"``.

    Attributes:
        target: What ``y`` holds: ``"same"``, values in the shape of the predictions, or ``"labels"``, one integer
            a row.
        op: The op that computes one value a row.
    """

    target = "same"
    op = ""

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str | None = None, dtype: str | None = None
    ) -> None:
        if reduction not in REDUCTIONS:
            raise ValueError(
                f"{type(self).__name__}: reduction must be one of {REDUCTIONS}. Received: reduction={reduction!r}."
            )
        float32_name(type(self).__name__, dtype)
        self.reduction = reduction
        self.name = name or snake_case(type(self).__name__)

    def lower(self, b: Builder, target: Buffer, prediction: Buffer) -> Buffer:
        """Append the loss to a program; returns one value a row. ``prediction`` keeps its meaning for metrics."""
        return b.emit(self.op, prediction, target)[0]

    def call(self, y_true: Array, y_pred: Array) -> Array:
        """One value a row, for arrays whose shapes fit."""
        return ops.evaluate(self.op, y_pred, y_true)[0]

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        p = ops.as_real(y_pred)
        values = self.call(fit_target(self.name, self.target, np.asarray(y_true), p.shape), p)
        return self._reduce(values, sample_weight)

    def _reduce(self, values: Array, sample_weight: Any) -> Any:
        weight = None if sample_weight is None else np.asarray(sample_weight, values.dtype)
        if weight is not None:
            if weight.ndim > 0 and weight.shape[0] == 1 and values.shape[0] != 1:
                weight = weight.reshape(())
            weight = np.broadcast_to(weight.reshape(weight.shape + (1,) * (values.ndim - weight.ndim)), values.shape)
            values = values * weight
        if self.reduction in ("none", None):
            return values
        total = values.dtype.type(np.sum(values))
        if self.reduction == "sum":
            return total
        if self.reduction == "mean_with_sample_weight" and weight is not None:
            count = float(np.sum(weight))
            return values.dtype.type(total / count if count else 0)
        return values.dtype.type(total / values.size)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal loss."""
        return {"name": self.name, "reduction": self.reduction}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Loss:
        """The loss that ``config`` describes."""
        return construct(cls, config)


class MeanSquaredError(Loss):
    """mean (y_pred - y_true)² over the last axis."""

    op = "mean_squared_error"


class MeanAbsoluteError(Loss):
    """mean |y_pred - y_true| over the last axis."""

    op = "mean_absolute_error"


class _Crossentropy(Loss):
    """A cross-entropy: from probabilities, or exactly from the logits of ``activation``."""

    activation = "softmax"
    logits_op = ""

    def __init__(
        self, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1,
        reduction: str | None = "sum_over_batch_size", name: str | None = None, dtype: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(reduction, name, dtype)
        kind = type(self).__name__
        if axis != -1:
            raise ValueError(f"{kind}: axis must be -1, the last one. Received: axis={axis!r}.")
        self.from_logits = bool(from_logits)
        self.label_smoothing = fraction(kind, "label_smoothing", label_smoothing)

    def _smoothing(self, classes: int) -> dict[str, float]:
        """How targets are smoothed, as the attributes of scale_shift."""
        return {"scale": 1 - self.label_smoothing, "offset": self.label_smoothing / classes}

    def lower(self, b: Builder, target: Buffer, prediction: Buffer) -> Buffer:
        if self.label_smoothing:
            classes = prediction.shape[-1]
            assert classes is not None
            (target,) = b.emit("scale_shift", target, **self._smoothing(classes))
        if self.from_logits:
            return b.emit(self.logits_op, prediction, target)[1]
        producer = b.producer(prediction)
        if producer is None or producer.op != self.activation:
            return b.emit(self.op, prediction, target)[0]
        (logits,) = producer.inputs
        assert logits is not None
        if b.is_read(prediction):  # a penalty of the probabilities has a gradient of its own
            return b.emit(self.logits_op, b.buffers[logits], target)[1]
        # The activation and the loss become one op that starts from the logits and yields the probabilities too.
        b.instructions.remove(producer)
        rows = b.declare("workspace", "loss", prediction.shape[:-1])
        return b.emit_to(self.logits_op, (prediction, rows), b.buffers[logits], target)[1]

    def call(self, y_true: Array, y_pred: Array) -> Array:
        if self.label_smoothing:
            (y_true,) = ops.evaluate("scale_shift", y_true, **self._smoothing(y_pred.shape[-1]))
        if self.from_logits:
            return ops.evaluate(self.logits_op, y_pred, y_true)[1]
        return super().call(y_true, y_pred)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "from_logits": self.from_logits, "label_smoothing": self.label_smoothing}


class CategoricalCrossentropy(_Crossentropy):
    """-sum y_true log y_pred over the last axis, for targets that are distributions (one-hot).

    Probabilities are normalised to sum 1 and clipped to [1e-7, 1 - 1e-7].

    Args:
        from_logits: Whether ``y_pred`` holds logits.
        label_smoothing: In [0, 1]: mixes that share of the uniform distribution into the targets.
        axis: -1.
    """

    op = "cross_entropy"
    logits_op = "softmax_cross_entropy"


class SparseCategoricalCrossentropy(_Crossentropy):
    """-log y_pred[label], for integer labels in [0, classes).

    Args:
        from_logits: Whether ``y_pred`` holds logits.
        ignore_class: Not there yet: must be ``None``.
        axis: -1.
    """

    target = "labels"
    op = "sparse_cross_entropy"
    logits_op = "sparse_softmax_cross_entropy"

    def __init__(
        self, from_logits: bool = False, ignore_class: int | None = None, reduction: str | None = "sum_over_batch_size",
        axis: int = -1, name: str | None = None, dtype: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(from_logits, 0.0, axis, reduction, name, dtype)
        if ignore_class is not None:
            raise ValueError(
                "SparseCategoricalCrossentropy: ignore_class must be None; give those rows sample_weight 0 instead. "
                f"Received: ignore_class={ignore_class!r}."
            )

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "reduction": self.reduction, "from_logits": self.from_logits}


class BinaryCrossentropy(_Crossentropy):
    """-mean (t log p + (1 - t) log(1 - p)) over the last axis, for targets in [0, 1].

    Probabilities are clipped to [1e-7, 1 - 1e-7].

    Args:
        from_logits: Whether ``y_pred`` holds logits.
        label_smoothing: In [0, 1]: moves targets towards 1/2 by that share.
        axis: -1.
    """

    activation = "sigmoid"
    op = "binary_cross_entropy"
    logits_op = "sigmoid_binary_cross_entropy"

    def _smoothing(self, classes: int) -> dict[str, float]:
        return super()._smoothing(2)


def mean_squared_error(y_true: Any, y_pred: Any) -> Array:
    """mean (y_pred - y_true)² over the last axis: one value a row."""
    return MeanSquaredError("none")(y_true, y_pred)  # type: ignore[no-any-return]


def mean_absolute_error(y_true: Any, y_pred: Any) -> Array:
    """mean |y_pred - y_true| over the last axis: one value a row."""
    return MeanAbsoluteError("none")(y_true, y_pred)  # type: ignore[no-any-return]


def categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Array:
    """-sum y_true log y_pred over the last axis: one value a row. See :class:`CategoricalCrossentropy`."""
    return CategoricalCrossentropy(from_logits, label_smoothing, axis, "none")(y_true, y_pred)  # type: ignore[no-any-return]


def sparse_categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, ignore_class: int | None = None, axis: int = -1
) -> Array:
    """-log y_pred[label]: one value a row. See :class:`SparseCategoricalCrossentropy`."""
    loss = SparseCategoricalCrossentropy(from_logits, ignore_class, "none", axis)
    return loss(y_true, y_pred)  # type: ignore[no-any-return]


def binary_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Array:
    """-mean (t log p + (1 - t) log(1 - p)): one value a row. See :class:`BinaryCrossentropy`."""
    return BinaryCrossentropy(from_logits, label_smoothing, axis, "none")(y_true, y_pred)  # type: ignore[no-any-return]


CLASSES: dict[str, type[Loss]] = {
    "mean_squared_error": MeanSquaredError,
    "mean_absolute_error": MeanAbsoluteError,
    "categorical_crossentropy": CategoricalCrossentropy,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
    "binary_crossentropy": BinaryCrossentropy,
}
FUNCTIONS: dict[str, Callable[..., Array]] = {
    f.__name__: f
    for f in (
        mean_squared_error,
        mean_absolute_error,
        categorical_crossentropy,
        sparse_categorical_crossentropy,
        binary_crossentropy,
    )
}
ALIASES = {"mse": "mean_squared_error", "mae": "mean_absolute_error", "bce": "binary_crossentropy"}

_BY_NAME: dict[str, type[Loss]] = {
    **CLASSES,
    **{cls.__name__: cls for cls in CLASSES.values()},
    **{alias: CLASSES[name] for alias, name in ALIASES.items()},
    **{alias.upper(): CLASSES[name] for alias, name in ALIASES.items()},
}


def get(identifier: Any) -> Loss:
    """The loss of a name, function, class, config or instance.

    Raises:
        ValueError: for one nncore does not know (the known names are listed).
    """
    if isinstance(identifier, Loss):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, Loss):
        return identifier()
    if isinstance(identifier, str):
        own = get_registered_object(identifier)
        if own is not None:
            return get(own)
        if identifier in _BY_NAME:
            return _BY_NAME[identifier]()
    if isinstance(identifier, dict):
        return get(deserialize_keras_object({"config": {}, **identifier}, family="losses"))
    for name, function in FUNCTIONS.items():
        if identifier is function:
            return CLASSES[name]()
    raise unknown_name("loss", identifier, [*CLASSES, *ALIASES])


def serialize(loss: Loss) -> dict[str, Any]:
    """A loss as a JSON-able config."""
    config: dict[str, Any] = serialize_keras_object(loss)
    return config


def deserialize(name: Any, custom_objects: dict[str, Any] | None = None) -> Loss:
    """The loss that ``serialize`` described, or of a name."""
    with custom_object_scope(custom_objects):
        return get(name)


def fit_target(owner: str, target: str, y: Array, prediction: tuple[int, ...]) -> Array:
    """``y`` in the shape that predictions of shape ``prediction`` are compared with; a trailing 1 comes or goes.

    Raises:
        ValueError: where it cannot be.
    """
    wanted = prediction[:-1] if target == "labels" else prediction
    if y.shape == wanted:
        return y
    if y.shape == (*wanted, 1) or (*y.shape, 1) == wanted:
        return y.reshape(wanted)
    raise ValueError(
        f"{owner}: y_true must have shape {wanted} for predictions of shape {prediction}. Received: {y.shape}."
    )
