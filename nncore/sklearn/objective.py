"""What scikit-learn's perceptrons minimise, as a loss: their factors, and how they share out penalties."""

from __future__ import annotations

from typing import Any

from nncore.builder import Builder
from nncore.losses import Loss
from nncore.losses.base import Emit
from nncore.metrics import Metric
from nncore.metrics.means import RowMean
from nncore.ops.losses import WEIGHTED_MEAN
from nncore.program import Buffer, Shape
from nncore.serialization import deserialize_keras_object, serialize_keras_object

_TINY = 1e-30
"""The least sum of a batch's weights, and the least rate of a Poisson distribution: its logarithm is finite."""


class Objective(Loss):
    """(Σ weight · factor · loss + penalties) / Σ weight, over the rows of a batch.

    Keras adds a penalty to the mean of the losses; scikit-learn adds it to their sum, so that it weighs less the more
    rows there are. In a batch whose weights are all 0 nothing counts.

    Args:
        loss: What each row costs.
        factor: What that is multiplied by.
    """

    def __init__(self, loss: Loss, factor: float = 1.0) -> None:
        super().__init__(f"objective_{loss.name}", "mean_with_sample_weight")
        self.inner, self.factor = loss, float(factor)
        self.target, self.probabilities, self.axis, self.of_batch = (
            loss.target, loss.probabilities, loss.axis, loss.of_batch
        )  # fmt: skip

    def lower(self, b: Builder, target: Buffer, prediction: Buffer) -> Buffer:
        return self._times_factor(b, self.inner.lower(b, target, prediction))

    def lower_value(self, b: Builder, target: Buffer, prediction: Buffer) -> Buffer:
        return self._times_factor(b, self.inner.lower_value(b, target, prediction))

    def _times_factor(self, b: Builder, rows: Buffer) -> Buffer:
        return rows if self.factor == 1 else b.emit("scale_shift", rows, scale=self.factor, offset=0.0)[0]

    def mask(self, emit: Emit, y_true: Any) -> Any | None:
        return self.inner.mask(emit, y_true)

    def weigh(
        self, b: Builder, target: Buffer, rows: Buffer, weight: Buffer | None, mask: Buffer | None = None
    ) -> Buffer | None:
        if b.penalties:
            share = None if weight is None else _share(b, weight)
            b.penalties = [_shared(b, penalty, rows, share) for penalty in b.penalties]
        return super().weigh(b, target, rows, weight, mask)

    def rows_shape(self, prediction: Shape) -> Shape:
        return self.inner.rows_shape(prediction)

    def target_shape(self, prediction: Shape) -> Shape:
        return self.inner.target_shape(prediction)

    def get_config(self) -> dict[str, Any]:
        return {"loss": serialize_keras_object(self.inner), "factor": self.factor}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Objective:
        return cls(deserialize_keras_object(config["loss"], family="losses"), config["factor"])


def _share(b: Builder, weight: Buffer) -> Buffer:
    """1 / Σ weight of the batch, shape ``(1,)``; 0 where that is 0."""
    (total,) = b.emit("bias_grad", b.view(weight, (None, 1)))
    (inverse,) = b.emit("quotient_of", b.emit("clip", total, low=_TINY, high=float("inf"))[0], numerator=1.0)
    (scaled,) = b.emit("scale_shift", total, scale=1 / _TINY, offset=0.0)
    return b.emit("multiply", inverse, b.emit("clip", scaled, low=0.0, high=1.0)[0])[0]


def _shared(b: Builder, penalty: Buffer, rows: Buffer, share: Buffer | None) -> Buffer:
    """The penalty over the sum of the weights: times ``share``, or without weights divided by the number of rows."""
    if share is None:
        return b.emit("per_sample", penalty, b.view(rows, (None, 1)))[0]
    return b.view(b.emit("multiply", b.view(penalty, (1,)), share)[0], ())


class DataTerm(RowMean):
    """The objective without its penalties, of the same rows with the same weights: a weighted metric."""

    better = "min"

    def __init__(self, objective: Objective) -> None:
        super().__init__("data_term")
        self.objective = objective
        self.target = objective.target

    def lower(self, b: Builder, target: Buffer, prediction: Buffer, weight: Buffer | None) -> None:
        rows = self.objective.lower_value(b, target, prediction)
        if weight is not None:  # so that each batch counts by its rows, as in the loss
            (weight,) = b.emit("weigh_rows", weight, None, rows, reduction=WEIGHTED_MEAN)
        b.emit_to("add_rows", (b.total(self.total),), rows, weight)

    def get_config(self) -> dict[str, Any]:
        return {"objective": serialize_keras_object(self.objective)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Metric:
        return cls(deserialize_keras_object(config["objective"], family="losses"))


class PoissonDeviance(Loss):
    """Half the deviance of Poisson distributions: Σ (y log(y / p) - y + p) over the last axis; y log y is 0 at 0."""

    def value(self, emit: Emit, y_true: Any, y_pred: Any) -> Any:
        log_y, log_p = (
            emit("log", emit("clip", of, low=_TINY, high=float("inf"))[0])[0] for of in (y_true, y_pred)
        )  # fmt: skip
        (costs,) = emit("multiply", emit("subtract", log_y, log_p)[0], y_true)
        (excess,) = emit("subtract", y_pred, y_true)
        return emit("row_sum", emit("add", costs, excess)[0])[0]
