"""Metrics: running means over batches, standalone or inside ``fit``, ``evaluate`` and their programs.

A metric has one op with a value a row; its result is the weighted mean of those values, finished by ``finish``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore import losses, ops
from nncore.arguments import float32_name, fraction
from nncore.builder import Builder
from nncore.errors import unknown_name
from nncore.losses import fit_target
from nncore.names import snake_case
from nncore.program import Buffer, Shape

Array = np.ndarray[Any, Any]


class Metric:
    """Base of all metrics.

    Args:
        name: The key under which ``History`` and ``evaluate`` report it.
        dtype: ``None`` or ``"float32"``.

    Attributes:
        target: What ``y`` holds: ``"same"``, values in the shape of the predictions, or ``"labels"``, one integer
            a row.
        better: ``"max"`` or ``"min"``: which way is better; ``None``: not known.
    """

    target = "same"
    better: str | None = None

    def __init__(self, name: str | None = None, dtype: str | None = None) -> None:
        float32_name(type(self).__name__, dtype)
        self.name = name or snake_case(type(self).__name__)
        self.total = 0.0
        self.count = 0.0

    def rows(self, y_true: Array, y_pred: Array) -> Array:
        """One value a row, for arrays whose shapes fit."""
        raise NotImplementedError(f"{type(self).__name__} must define rows().")

    def lower(self, b: Builder, target: Buffer, prediction: Buffer) -> Buffer:
        """Append the metric to a program; returns one value a row."""
        raise NotImplementedError(f"{type(self).__name__} must define lower().")

    def finish(self, mean: float) -> float:
        """The result, from the mean of all rows' values."""
        return mean

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take in a batch; ``sample_weight`` holds one weight a row."""
        p = ops.as_real(y_pred)
        values = self.rows(fit_target(self.name, self.target, np.asarray(y_true), p.shape), p)
        self._add(values, sample_weight)

    def _add(self, values: Array, sample_weight: Any) -> None:
        if sample_weight is None:
            self.total += float(np.sum(values, dtype=np.float64))
            self.count += values.size
            return
        weight = np.asarray(sample_weight, np.float64)
        weight = np.broadcast_to(weight.reshape(weight.shape + (1,) * (values.ndim - weight.ndim)), values.shape)
        self.total += float(np.sum(values * weight))
        self.count += float(np.sum(weight))

    def result(self) -> np.float32:
        """The value over all batches since the last reset; 0 before the first."""
        return np.float32(self.finish(self.total / self.count if self.count else 0.0))

    def reset_state(self) -> None:
        """Forget all batches."""
        self.total = self.count = 0.0

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> np.float32:
        self.update_state(y_true, y_pred, sample_weight)
        return self.result()

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal metric."""
        return {"name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Metric:
        """The metric that ``config`` describes."""
        return cls(**config)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


class Mean(Metric):
    """The mean of values: ``update_state(values, sample_weight=None)``."""

    def update_state(self, values: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        array = ops.as_real(values)
        while array.ndim > 1:
            array = array.mean(axis=-1)
        self._add(np.atleast_1d(array), sample_weight)

    def __call__(self, values: Any, sample_weight: Any = None) -> np.float32:  # type: ignore[override]
        self.update_state(values, sample_weight)
        return self.result()


class _OpMetric(Metric):
    """A metric whose rows are one op of predictions and targets."""

    op = ""

    def attributes(self) -> dict[str, float]:
        """The op's attributes."""
        return {}

    def rows(self, y_true: Array, y_pred: Array) -> Array:
        return ops.evaluate(self.op, y_pred, y_true, **self.attributes())[0]

    def lower(self, b: Builder, target: Buffer, prediction: Buffer) -> Buffer:
        return b.emit(self.op, prediction, target, **self.attributes())[0]


class BinaryAccuracy(_OpMetric):
    """The share of predictions on the right side of a threshold: ``(y_pred > threshold) == y_true``.

    Args:
        threshold: By default 0.5; a prediction equal to it counts as 0.
    """

    op = "binary_matches"
    better = "max"

    def __init__(self, name: str | None = None, dtype: str | None = None, threshold: float = 0.5) -> None:
        super().__init__(name, dtype)
        self.threshold = fraction("BinaryAccuracy", "threshold", threshold)

    def attributes(self) -> dict[str, float]:
        return {"threshold": self.threshold}

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "threshold": self.threshold}


class CategoricalAccuracy(_OpMetric):
    """The share of rows whose largest prediction stands where the largest target stands."""

    op = "categorical_matches"
    better = "max"


class SparseCategoricalAccuracy(_OpMetric):
    """The share of rows whose largest prediction stands at the label."""

    op = "sparse_matches"
    target = "labels"
    better = "max"


class _LossMetric(Metric):
    """The mean of a loss over rows."""

    better = "min"

    def __init__(self, loss: losses.Loss, name: str | None, dtype: str | None) -> None:
        super().__init__(name or loss.name, dtype)
        self.loss = loss
        self.target = loss.target

    def rows(self, y_true: Array, y_pred: Array) -> Array:
        return self.loss.call(y_true, y_pred)

    def lower(self, b: Builder, target: Buffer, prediction: Buffer) -> Buffer:
        # Loss.lower may start from the logits; metrics see predictions, as Keras's do.
        return b.emit(self.loss.op, prediction, target)[0]


class MeanSquaredError(_LossMetric):
    """The mean of (y_pred - y_true)²."""

    def __init__(self, name: str | None = None, dtype: str | None = None) -> None:
        super().__init__(losses.MeanSquaredError(), name, dtype)


class RootMeanSquaredError(MeanSquaredError):
    """The square root of the mean of (y_pred - y_true)²."""

    def __init__(self, name: str | None = "root_mean_squared_error", dtype: str | None = None) -> None:
        super().__init__(name, dtype)

    def finish(self, mean: float) -> float:
        return float(mean**0.5)


class MeanAbsoluteError(_LossMetric):
    """The mean of |y_pred - y_true|."""

    def __init__(self, name: str | None = None, dtype: str | None = None) -> None:
        super().__init__(losses.MeanAbsoluteError(), name, dtype)


class BinaryCrossentropy(_LossMetric):
    """The mean binary cross-entropy of probabilities."""

    def __init__(self, name: str | None = None, dtype: str | None = None) -> None:
        super().__init__(losses.BinaryCrossentropy(), name, dtype)


class CategoricalCrossentropy(_LossMetric):
    """The mean cross-entropy of probabilities, for one-hot targets."""

    def __init__(self, name: str | None = None, dtype: str | None = None) -> None:
        super().__init__(losses.CategoricalCrossentropy(), name, dtype)


class SparseCategoricalCrossentropy(_LossMetric):
    """The mean cross-entropy of probabilities, for integer labels."""

    def __init__(self, name: str | None = None, dtype: str | None = None) -> None:
        super().__init__(losses.SparseCategoricalCrossentropy(), name, dtype)


_CLASSES: tuple[type[Metric], ...] = (
    BinaryAccuracy, BinaryCrossentropy, CategoricalAccuracy, CategoricalCrossentropy, MeanAbsoluteError,
    MeanSquaredError, RootMeanSquaredError, SparseCategoricalAccuracy, SparseCategoricalCrossentropy,
)  # fmt: skip
_BY_NAME: dict[str, type[Metric]] = {
    **{snake_case(cls.__name__): cls for cls in _CLASSES},
    **{cls.__name__: cls for cls in _CLASSES},
    "mse": MeanSquaredError, "MSE": MeanSquaredError, "mae": MeanAbsoluteError, "MAE": MeanAbsoluteError,
    "bce": BinaryCrossentropy, "BCE": BinaryCrossentropy,
}  # fmt: skip
_ACCURACY = ("accuracy", "acc")


def check(identifier: Any) -> None:
    """Raise ``ValueError`` where ``get`` would not know a metric; the known names are listed."""
    if isinstance(identifier, Metric) or (isinstance(identifier, type) and issubclass(identifier, Metric)):
        return
    if isinstance(identifier, str) and (identifier in _BY_NAME or identifier.lower() in _ACCURACY):
        return
    if identifier in losses.FUNCTIONS.values():
        return
    raise unknown_name("metric", identifier, [*_BY_NAME, *_ACCURACY])


def get(identifier: Any, y_shape: Shape = (None, 1), p_shape: Shape = (None, 1)) -> Metric:
    """The metric of a name, class, loss function or instance.

    ``"accuracy"`` and ``"acc"`` mean, by the shapes of targets and predictions: binary accuracy for one prediction a
    row; sparse categorical accuracy for one target a row; else categorical accuracy. A metric given as a string is
    named as typed.
    """
    check(identifier)
    if isinstance(identifier, Metric):
        return identifier
    if isinstance(identifier, str):
        if identifier.lower() in _ACCURACY:
            return _accuracy(y_shape, p_shape)(name=identifier)
        return _BY_NAME[identifier](name=identifier)
    if isinstance(identifier, type):
        return identifier()  # type: ignore[no-any-return]
    return _BY_NAME[identifier.__name__]()


def _accuracy(y_shape: Shape, p_shape: Shape) -> type[Metric]:
    if p_shape[-1] == 1:
        return BinaryAccuracy
    if len(y_shape) < len(p_shape) or y_shape[-1] == 1:
        return SparseCategoricalAccuracy
    return CategoricalAccuracy


def serialize(metric: Any) -> Any:
    """A metric as a JSON-able value: its name as typed, or a config."""
    if isinstance(metric, str):
        return metric
    found = get(metric)
    return {"class_name": type(found).__name__, "config": found.get_config()}


def deserialize(config: Any) -> Any:
    """What ``serialize`` described, as ``compile`` takes it."""
    if isinstance(config, dict):
        if config.get("class_name") not in _BY_NAME:
            raise unknown_name("metric", config.get("class_name"), _BY_NAME)
        return _BY_NAME[config["class_name"]].from_config(dict(config.get("config", {})))
    return config
