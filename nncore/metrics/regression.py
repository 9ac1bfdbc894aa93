"""Metrics of numbers that are not the mean of a loss: R² and correlations."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from nncore.arguments import count
from nncore.builder import Builder
from nncore.errors import unknown_name
from nncore.metrics.base import Array, Metric
from nncore.metrics.fscore import add_column_sums
from nncore.metrics.means import OpMean
from nncore.program import Buffer, Shape

AGGREGATIONS = ("uniform_average", "variance_weighted_average", None)
_SUMS = ("sum", "squared_sum", "residual", "count")


class R2Score(Metric):
    """1 - Σ (y_true - y_pred)² / Σ (y_true - mean y_true)², of each column; 0 for a column that does not vary.

    Targets and predictions are of shape ``(rows, columns)``.

    Args:
        class_aggregation: ``"uniform_average"``: the mean over the columns; ``"variance_weighted_average"``: their mean
            by the targets' variance; ``None``: one value a column.
        num_regressors: p in the adjusted score 1 - (1 - R²)(n - 1) / (n - p - 1), n being the number of targets; by
            default 0, the plain score.
        name: The key under which it is reported.
        dtype: ``None`` or ``"float32"``.
    """

    better = "max"

    def __init__(
        self, class_aggregation: str | None = "uniform_average", num_regressors: int = 0, name: str | None = "r2_score",
        dtype: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(dtype, name)
        if class_aggregation not in AGGREGATIONS:
            raise unknown_name("R2Score class_aggregation", class_aggregation, map(str, AGGREGATIONS))
        self.class_aggregation = class_aggregation
        self.num_regressors = count("R2Score", "num_regressors", num_regressors)
        self.num_samples = self.add_variable(name="num_samples")

    def build(self, prediction: Shape) -> None:
        add_column_sums(self, _SUMS, prediction)

    def lower(self, b: Builder, target: Buffer, prediction: Buffer, weight: Buffer | None) -> None:
        total, squares, residual = (b.total(v) for v in self._variables[1:4])
        (error,) = b.emit("subtract", target, prediction)
        b.emit_to("add_products", (total,), target, None, weight)
        b.emit_to("add_products", (squares,), target, target, weight)
        b.emit_to("add_products", (residual,), error, error, weight)
        if weight is not None:
            (weight,) = b.emit("spread", weight, target)
            b.emit_to("add_products", (b.total(self._variables[4]),), weight, None, None)

    def absorb(self, totals: Mapping[str, Array], rows: int) -> None:
        super().absorb(totals, rows)
        if "count" not in totals:  # rows that all weigh 1 need no op to be counted
            self._variables[-1].value[...] += rows
        self.num_samples.value[...] += rows * self._variables[-1].size

    def result(self) -> Any:
        if len(self._variables) == 1:
            return np.float64(0.0)
        total, squares, residual, counted = (v.value for v in self._variables[1:])
        with np.errstate(divide="ignore", invalid="ignore"):
            variance = squares - total * total / counted
            score = 1 - residual / variance
            score = np.where(np.isinf(score), 0, score)
            found: Any = score
            if self.class_aggregation == "uniform_average":
                found = np.mean(score)
            elif self.class_aggregation is not None:
                found = np.sum(variance * score) / np.sum(variance)
        return self._adjusted(found)

    def _adjusted(self, score: Any) -> Any:
        """The score for the number of regressors."""
        n, p = float(self.num_samples.value), self.num_regressors
        if p == 0:
            return score
        if n - p - 1 <= 0:
            warnings.warn(
                f"R2Score: {p} regressors need more than {p + 1} targets for an adjusted score; this is the plain one.",
                stacklevel=3,
            )
            return score
        return 1 - (1 - score) * (n - 1) / (n - p - 1)

    def get_config(self) -> dict[str, Any]:
        own = {"class_aggregation": self.class_aggregation, "num_regressors": self.num_regressors}
        return {**super().get_config(), **own}


class _Correlation(OpMean):
    """A correlation along the last axis."""

    better = "max"

    def __init__(self, name: str | None, dtype: str | None, axis: int) -> None:
        super().__init__(name, dtype)
        if axis != -1:
            raise ValueError(f"{type(self).__name__}: axis must be -1, the last one. Received: axis={axis!r}.")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": -1}


class PearsonCorrelation(_Correlation):
    """The mean over rows of the correlation of predictions and targets along the last axis; NaN where one is constant.

    Args:
        name: The key under which it is reported.
        dtype: ``None`` or ``"float32"``.
        axis: -1.
    """

    op = "pearson"

    def __init__(self, name: str | None = "pearson_correlation", dtype: str | None = None, axis: int = -1) -> None:
        super().__init__(name, dtype, axis)


class ConcordanceCorrelation(_Correlation):
    """The mean over rows of 2 cov / (var y_true + var y_pred + (mean y_true - mean y_pred)² + 1e-7) (Lin 1989).

    Args:
        name: The key under which it is reported.
        dtype: ``None`` or ``"float32"``.
        axis: -1.
    """

    op = "concordance"

    def __init__(self, name: str | None = "concordance_correlation", dtype: str | None = None, axis: int = -1) -> None:
        super().__init__(name, dtype, axis)
