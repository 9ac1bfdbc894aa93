"""Losses of classes: cross-entropies of probabilities or logits, their focal forms, and hinges."""

from __future__ import annotations

from typing import Any

from nncore.arguments import at_least_zero, fraction, is_integer, is_number
from nncore.builder import Builder
from nncore.losses.base import Array, Emit, RowLoss
from nncore.program import Buffer


class _Crossentropy(RowLoss):
    """A cross-entropy: from probabilities, or exactly from the logits of ``activation``."""

    activation = "softmax"
    logits_op = ""

    def __init__(
        self, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1,
        reduction: str | None = "sum_over_batch_size", name: str | None = None, dtype: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(reduction, name, dtype)
        kind = type(self).__name__
        if not is_integer(axis):
            raise ValueError(f"{kind}: axis must be an integer. Received: axis={axis!r}.")
        self.from_logits = bool(from_logits)
        self.label_smoothing = fraction(kind, "label_smoothing", label_smoothing)
        self.axis = int(axis)

    def _smoothed(self, emit: Emit, target: Any, classes: int) -> Any:
        """The targets with their share of the uniform distribution."""
        if not self.label_smoothing:
            return target
        return emit("scale_shift", target, **self._smoothing(classes))[0]

    def _smoothing(self, classes: int) -> dict[str, float]:
        """How targets are smoothed, as the attributes of scale_shift."""
        return {"scale": 1 - self.label_smoothing, "offset": self.label_smoothing / classes}

    def value(self, emit: Emit, y_true: Any, y_pred: Any) -> Any:
        y_true = self._smoothed(emit, y_true, y_pred.shape[-1])
        if self.from_logits:
            return emit(self.logits_op, y_pred, y_true)[1]
        return emit(self.op, y_pred, y_true, **self.attributes())[0]

    def lower(self, b: Builder, target: Buffer, prediction: Buffer) -> Buffer:
        producer = b.producer(prediction)
        last = self.axis in (-1, len(prediction.shape) - 1)
        if self.from_logits or not last or producer is None or producer.op != self.activation or not self.logits_op:
            return self.lower_value(b, target, prediction)
        classes = prediction.shape[-1]
        (logits,) = producer.inputs
        assert classes is not None
        assert logits is not None
        target = self._smoothed(b.emit, target, classes)
        if b.is_read(prediction):  # a penalty of the probabilities has a gradient of its own
            return b.emit(self.logits_op, b.buffers[logits], target)[1]
        # The activation and the loss become one op that starts from the logits and yields the probabilities too.
        b.instructions.remove(producer)
        rows = b.declare("workspace", "loss", prediction.shape[:-1])
        return b.emit_to(self.logits_op, (prediction, rows), b.buffers[logits], target)[1]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "from_logits": self.from_logits,
            "label_smoothing": self.label_smoothing,
            "axis": self.axis,
        }


class BinaryCrossentropy(_Crossentropy):
    """-mean (t log p + (1 - t) log(1 - p)) over the last axis, for targets in [0, 1].

    Probabilities are clipped to [1e-7, 1 - 1e-7].

    Args:
        from_logits: Whether ``y_pred`` holds logits.
        label_smoothing: In [0, 1]: moves targets towards 1/2 by that share.
        axis: The axis of the mean.
    """

    probabilities = True
    activation = "sigmoid"
    op = "binary_cross_entropy"
    logits_op = "sigmoid_binary_cross_entropy"

    def _smoothing(self, classes: int) -> dict[str, float]:
        return super()._smoothing(2)


class CategoricalCrossentropy(_Crossentropy):
    """-sum y_true log y_pred over the last axis, for targets that are distributions (one-hot).

    Probabilities are normalised to sum 1 and clipped to [1e-7, 1 - 1e-7].

    Args:
        from_logits: Whether ``y_pred`` holds logits.
        label_smoothing: In [0, 1]: mixes that share of the uniform distribution into the targets.
        axis: The axis of the classes.
    """

    op = "cross_entropy"
    logits_op = "softmax_cross_entropy"


class SparseCategoricalCrossentropy(_Crossentropy):
    """-log y_pred[label], for integer labels in [0, classes).

    Args:
        from_logits: Whether ``y_pred`` holds logits.
        ignore_class: A label, which need not be a class, whose rows have the loss 0 and do not count in the mean.
        axis: The axis of the classes.
    """

    target = "labels"
    op = "sparse_cross_entropy"
    logits_op = "sparse_softmax_cross_entropy"

    def __init__(
        self, from_logits: bool = False, ignore_class: int | None = None, reduction: str | None = "sum_over_batch_size",
        axis: int = -1, name: str | None = None, dtype: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(from_logits, 0.0, axis, reduction, name, dtype)
        if ignore_class is not None and (not is_integer(ignore_class) or not -(2**31) <= ignore_class < 2**31):
            raise ValueError(
                "SparseCategoricalCrossentropy: ignore_class must be None or an integer of 32 bits. "
                f"Received: ignore_class={ignore_class!r}."
            )
        self.ignore_class = None if ignore_class is None else int(ignore_class)

    def mask(self, emit: Emit, y_true: Any) -> Any | None:
        if self.ignore_class is None:
            return None
        return emit("known_labels", y_true, ignored=float(self.ignore_class))[1]

    def value(self, emit: Emit, y_true: Any, y_pred: Any) -> Any:
        if self.ignore_class is None:
            return super().value(emit, y_true, y_pred)
        known, mask = emit("known_labels", y_true, ignored=float(self.ignore_class))
        return emit("multiply", super().value(emit, known, y_pred), mask)[0]

    def lower(self, b: Builder, target: Buffer, prediction: Buffer) -> Buffer:
        if self.ignore_class is None:
            return super().lower(b, target, prediction)
        known, mask = b.emit("known_labels", target, ignored=float(self.ignore_class))
        return b.emit("multiply", super().lower(b, known, prediction), mask)[0]

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "ignore_class": self.ignore_class}
        del config["label_smoothing"]
        if self.axis == -1:  # Keras's config has no axis: one that is its default needs none
            del config["axis"]
        return config


class BinaryFocalCrossentropy(_Crossentropy):
    """mean w (1 - p_t)^gamma (-t log p - (1 - t) log(1 - p)) over the last axis, p_t = t p + (1 - t)(1 - p).

    Sure and right predictions count for little. Probabilities are clipped to [1e-7, 1 - 1e-7] in the logarithms. Lin
    et al., "Focal loss for dense object detection", 2018.

    Args:
        apply_class_balancing: Whether w is ``t alpha + (1 - t)(1 - alpha)`` instead of 1.
        alpha: In [0, 1]: the weight of targets 1.
        gamma: A number of at least 0: how much easy rows are weighed down.
        from_logits: Whether ``y_pred`` holds logits; the sigmoid comes first then.
        label_smoothing: In [0, 1]: moves targets towards 1/2 by that share.
        axis: The axis of the mean.
    """

    probabilities = True
    activation = "sigmoid"
    op = "binary_focal_cross_entropy"

    def __init__(
        self, apply_class_balancing: bool = False, alpha: float = 0.25, gamma: float = 2.0, from_logits: bool = False,
        label_smoothing: float = 0.0, axis: int = -1, reduction: str | None = "sum_over_batch_size",
        name: str | None = None, dtype: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(from_logits, label_smoothing, axis, reduction, name, dtype)
        self.apply_class_balancing = bool(apply_class_balancing)
        self.alpha = fraction("BinaryFocalCrossentropy", "alpha", alpha)
        self.gamma = at_least_zero("BinaryFocalCrossentropy", "gamma", gamma)

    def attributes(self) -> dict[str, float]:
        one, zero = (self.alpha, 1 - self.alpha) if self.apply_class_balancing else (1.0, 1.0)
        return {"gamma": self.gamma, "one": one, "zero": zero}

    def _smoothing(self, classes: int) -> dict[str, float]:
        return super()._smoothing(2)

    def value(self, emit: Emit, y_true: Any, y_pred: Any) -> Any:
        return _focal(self, emit, self._smoothed(emit, y_true, 2), y_pred)

    def get_config(self) -> dict[str, Any]:
        own = {"apply_class_balancing": self.apply_class_balancing, "alpha": self.alpha, "gamma": self.gamma}
        return {**super().get_config(), **own}


class CategoricalFocalCrossentropy(_Crossentropy):
    """-sum alpha (1 - p)^gamma y_true log p over the last axis, for targets that are distributions (one-hot).

    Probabilities are normalised to sum 1 and clipped to [1e-7, 1 - 1e-7].

    Args:
        alpha: A number of at least 0: the weight of every class.
        gamma: A number of at least 0: how much easy rows are weighed down.
        from_logits: Whether ``y_pred`` holds logits; the softmax comes first then.
        label_smoothing: In [0, 1]: mixes that share of the uniform distribution into the targets.
        axis: The axis of the classes.
    """

    op = "focal_cross_entropy"

    def __init__(
        self, alpha: float = 0.25, gamma: float = 2.0, from_logits: bool = False, label_smoothing: float = 0.0,
        axis: int = -1, reduction: str | None = "sum_over_batch_size", name: str | None = None,
        dtype: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(from_logits, label_smoothing, axis, reduction, name, dtype)
        self.alpha = at_least_zero("CategoricalFocalCrossentropy", "alpha", alpha)
        self.gamma = at_least_zero("CategoricalFocalCrossentropy", "gamma", gamma)

    def attributes(self) -> dict[str, float]:
        return {"gamma": self.gamma, "alpha": self.alpha}

    def value(self, emit: Emit, y_true: Any, y_pred: Any) -> Any:
        return _focal(self, emit, self._smoothed(emit, y_true, y_pred.shape[-1]), y_pred)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "alpha": self.alpha, "gamma": self.gamma}


def _focal(loss: _Crossentropy, emit: Emit, y_true: Any, y_pred: Any) -> Any:
    """The value of a focal loss, whose logits become probabilities first."""
    if loss.from_logits:
        (y_pred,) = emit(loss.activation, y_pred)
    return emit(loss.op, y_pred, y_true, **loss.attributes())[0]


class CategoricalGeneralizedCrossEntropy(RowLoss):
    """(1 - y_pred[label]^q) / q, for integer labels in [0, classes): the nearer q to 1, the less a wrong label tells.

    Zhang and Sabuncu, "Generalized cross entropy loss for training deep neural networks with noisy labels", 2018.

    Args:
        q: Between 0, where it is the cross-entropy, and 1, where it is the mean absolute error.
    """

    target = "labels"
    op = "generalized_cross_entropy"

    def __init__(
        self, q: float = 0.5, reduction: str | None = "sum_over_batch_size", name: str | None = None,
        dtype: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(reduction, name, dtype)
        if not is_number(q) or not 0 < q < 1:
            raise ValueError(f"CategoricalGeneralizedCrossEntropy: q must lie between 0 and 1. Received: q={q!r}.")
        self.q = float(q)

    def attributes(self) -> dict[str, float]:
        return {"q": self.q}

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "q": self.q}


class KLDivergence(RowLoss):
    """sum y_true log(y_true / y_pred) over the last axis, both clipped to [1e-7, 1]."""

    op = "kl_divergence"


class _SignedHinge(RowLoss):
    """A hinge of targets -1 and 1; where all the targets of a batch are 0 or 1, 0 means -1."""

    def value(self, emit: Emit, y_true: Any, y_pred: Any) -> Any:
        (signs,) = emit("hinge_targets", y_true)
        return emit(self.op, y_pred, signs)[0]


class Hinge(_SignedHinge):
    """mean max(1 - y_true y_pred, 0) over the last axis, for targets -1 and 1.

    Where all the targets of a batch are 0 or 1, they are taken for -1 and 1.
    """

    op = "hinge"


class SquaredHinge(_SignedHinge):
    """mean max(1 - y_true y_pred, 0)² over the last axis, for targets -1 and 1.

    Where all the targets of a batch are 0 or 1, they are taken for -1 and 1.
    """

    op = "squared_hinge"


class CategoricalHinge(RowLoss):
    """max(n - p + 1, 0) of p = sum y_true y_pred and n = max (1 - y_true) y_pred over the last axis, for one-hot
    targets."""

    op = "categorical_hinge"


def binary_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Array:
    """-mean (t log p + (1 - t) log(1 - p)): one value a row. See :class:`BinaryCrossentropy`."""
    return BinaryCrossentropy(from_logits, label_smoothing, axis, None)(y_true, y_pred)  # type: ignore[no-any-return]


def categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Array:
    """-sum y_true log y_pred over the last axis: one value a row. See :class:`CategoricalCrossentropy`."""
    return CategoricalCrossentropy(from_logits, label_smoothing, axis, None)(y_true, y_pred)  # type: ignore[no-any-return]


def sparse_categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, ignore_class: int | None = None, axis: int = -1
) -> Array:
    """-log y_pred[label]: one value a row. See :class:`SparseCategoricalCrossentropy`."""
    loss = SparseCategoricalCrossentropy(from_logits, ignore_class, None, axis)
    return loss(y_true, y_pred)  # type: ignore[no-any-return]


def binary_focal_crossentropy(
    y_true: Any, y_pred: Any, apply_class_balancing: bool = False, alpha: float = 0.25, gamma: float = 2.0,
    from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1,
) -> Array:  # fmt: skip
    """The binary cross-entropy that weighs easy rows down: one value a row. See :class:`BinaryFocalCrossentropy`."""
    how = (apply_class_balancing, alpha, gamma, from_logits, label_smoothing, axis, None)
    return BinaryFocalCrossentropy(*how)(y_true, y_pred)  # type: ignore[no-any-return]


def categorical_focal_crossentropy(
    y_true: Any, y_pred: Any, alpha: float = 0.25, gamma: float = 2.0, from_logits: bool = False,
    label_smoothing: float = 0.0, axis: int = -1,
) -> Array:  # fmt: skip
    """The cross-entropy that weighs easy rows down: one value a row. See :class:`CategoricalFocalCrossentropy`."""
    how = (alpha, gamma, from_logits, label_smoothing, axis, None)
    return CategoricalFocalCrossentropy(*how)(y_true, y_pred)  # type: ignore[no-any-return]


def categorical_generalized_cross_entropy(y_true: Any, y_pred: Any, q: float) -> Array:
    """(1 - y_pred[label]^q) / q: one value a row. See :class:`CategoricalGeneralizedCrossEntropy`."""
    return CategoricalGeneralizedCrossEntropy(q, None)(y_true, y_pred)  # type: ignore[no-any-return]


def kl_divergence(y_true: Any, y_pred: Any) -> Array:
    """sum y_true log(y_true / y_pred) over the last axis: one value a row. See :class:`KLDivergence`."""
    return KLDivergence(None)(y_true, y_pred)  # type: ignore[no-any-return]


def hinge(y_true: Any, y_pred: Any) -> Array:
    """mean max(1 - y_true y_pred, 0) over the last axis: one value a row. See :class:`Hinge`."""
    return Hinge(None)(y_true, y_pred)  # type: ignore[no-any-return]


def squared_hinge(y_true: Any, y_pred: Any) -> Array:
    """mean max(1 - y_true y_pred, 0)² over the last axis: one value a row. See :class:`SquaredHinge`."""
    return SquaredHinge(None)(y_true, y_pred)  # type: ignore[no-any-return]


def categorical_hinge(y_true: Any, y_pred: Any) -> Array:
    """max(n - p + 1, 0): one value a row. See :class:`CategoricalHinge`."""
    return CategoricalHinge(None)(y_true, y_pred)  # type: ignore[no-any-return]
