"""Metrics that are sums and means: of values given, and of one value a row of predictions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from nncore import ops
from nncore.builder import Builder
from nncore.losses import Loss
from nncore.losses.custom import formula
from nncore.metrics.base import Array, Metric, fit_weight
from nncore.program import Buffer
from nncore.serialization import deserialize_keras_object, serialize_keras_object


def _samplewise(owner: str, values: Array, sample_weight: Any, reduce: Callable[..., Any]) -> tuple[Array, Any]:
    """Values times weights, and the weights (``None``: all 1), reduced over all axes but the first."""
    weight = None
    if sample_weight is not None:
        weight = ops.as_real(sample_weight)
        if values.ndim == weight.ndim + 1 and values.shape[-1] == 1:
            values = values[..., 0]
        elif weight.ndim == values.ndim + 1 and weight.shape[-1] == 1:
            weight = weight[..., 0]
        values = reduce(values, axis=tuple(range(weight.ndim, values.ndim)))
        weight = fit_weight(owner, weight, values.shape)
        values = values * weight
        weight = reduce(weight, axis=tuple(range(1, weight.ndim)))
    return reduce(values, axis=tuple(range(1, values.ndim))), weight


class Sum(Metric):
    """The sum of values: ``update_state(values, sample_weight=None)``, each times its weight."""

    def __init__(self, name: str | None = "sum", dtype: str | None = None) -> None:
        super().__init__(dtype, name)
        self.total = self.add_variable(name="total")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        found, _ = _samplewise(self.name, ops.as_real(values), sample_weight, np.sum)
        self.total.assign_add(np.sum(found, dtype=np.float64))

    def result(self) -> Any:
        return np.float64(self.total.value)


class Mean(Metric):
    """The mean of values: ``update_state(values, sample_weight=None)``.

    Values of more than one axis are averaged over all but the first. With weights it is Σ weight·value / Σ weight; 0
    before the first value.
    """

    def __init__(self, name: str | None = "mean", dtype: str | None = None) -> None:
        super().__init__(dtype, name)
        self.total = self.add_variable(name="total")
        self.count = self.add_variable(name="count")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        found, weight = _samplewise(self.name, ops.as_real(values), sample_weight, np.mean)
        self.total.assign_add(np.sum(found, dtype=np.float64))
        self.count.assign_add(np.size(found) if weight is None else np.sum(weight, dtype=np.float64))

    def result(self) -> Any:
        return np.float64(self.total.value / self.count.value if self.count.value else 0.0)


class RowMean(Mean):
    """Base of metrics that are the mean of one value a row of predictions."""

    takes_mask = True
    update_state = Metric.update_state  # type: ignore[assignment]

    def values(self, b: Builder, target: Buffer, prediction: Buffer) -> Buffer:
        """Append what computes one value a row."""
        raise NotImplementedError(f"{type(self).__name__} must define values().")

    def lower(self, b: Builder, target: Buffer, prediction: Buffer, weight: Buffer | None) -> None:
        self.add(b, self.values(b, target, prediction), weight)

    def add(self, b: Builder, values: Buffer, weight: Buffer | None) -> None:
        """Append what adds one value a row to the mean."""
        b.emit_to("add_rows", (b.total(self.total),), values, weight)
        if weight is not None:
            b.emit_to("add_rows", (b.total(self.count),), weight, None)

    def absorb(self, totals: Mapping[str, Array], rows: int) -> None:
        super().absorb(totals, rows)
        if self.count.name not in totals:  # rows that all weigh 1 need no op to be counted
            self.count.value[...] += rows


class OpMean(RowMean):
    """The mean of an op of predictions and targets.

    Attributes:
        op: The op, with one value a row.
    """

    op = ""

    def attributes(self) -> dict[str, float]:
        """The op's attributes."""
        return {}

    def values(self, b: Builder, target: Buffer, prediction: Buffer) -> Buffer:
        return b.emit(self.op, prediction, target, **self.attributes())[0]


class LossMean(RowMean):
    """The mean of a loss over rows."""

    better = "min"

    def __init__(self, loss: Loss, name: str | None, dtype: str | None) -> None:
        super().__init__(name, dtype)
        self.loss = loss
        self.target = loss.target

    def values(self, b: Builder, target: Buffer, prediction: Buffer) -> Buffer:
        # Loss.lower may start from the logits; metrics see predictions, as Keras's do.
        return self.loss.lower_value(b, target, prediction)

    def lower(self, b: Builder, target: Buffer, prediction: Buffer, weight: Buffer | None) -> None:
        mask = None if weight is None else self.loss.mask(b.emit, target)
        if mask is not None:
            (weight,) = b.emit("multiply", weight, mask)
        super().lower(b, target, prediction, weight)


class MeanMetricWrapper(RowMean):
    """The mean of a function of targets and predictions.

    In a program the function becomes ops where it is a formula that gives one value a row, else it is called with
    arrays.

    Args:
        fn: ``fn(y_true, y_pred, **kwargs)``: values with one row a sample.
        name: By default the function's name.
        dtype: ``None`` or ``"float32"``.
        kwargs: Passed on to ``fn``.
    """

    def __init__(
        self, fn: Callable[..., Any], name: str | None = None, dtype: str | None = None, **kwargs: Any
    ) -> None:
        if not callable(fn):
            raise ValueError(f"MeanMetricWrapper: fn must be a function of y_true and y_pred. Received: fn={fn!r}.")
        super().__init__(name or getattr(fn, "__name__", None) or "mean_metric_wrapper", dtype)
        self.fn = fn
        self.kwargs = kwargs

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        Mean.update_state(self, self.fn(np.asarray(y_true), np.asarray(y_pred), **self.kwargs), sample_weight)

    def append(self, b: Builder, target: Buffer, prediction: Buffer, weight: Buffer | None) -> None:
        found = formula(b, partial(self.fn, **self.kwargs), target, prediction)
        if found is None or found.total or found.shape != prediction.shape[:-1]:
            super().append(b, target, prediction, weight)
        else:
            self.add(b, found.buffer, weight)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "fn": serialize_keras_object(self.fn), **self.kwargs}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Metric:
        return cls(**{**config, "fn": deserialize_keras_object(config["fn"], family="metrics")})
