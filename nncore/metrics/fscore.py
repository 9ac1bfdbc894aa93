"""F-scores: precision and recall in one number."""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore.arguments import is_number
from nncore.builder import Builder
from nncore.errors import unknown_name
from nncore.metrics.base import Metric
from nncore.program import Buffer, Shape

EPSILON = 1e-7
AVERAGES = (None, "micro", "macro", "weighted")


class FBetaScore(Metric):
    """(1 + beta²) precision recall / (beta² precision + recall), of each column; 1e-7 is added to every divisor.

    Targets and predictions are of shape ``(rows, classes)``.

    Args:
        average: ``None``: one score a class; ``"macro"``: their mean; ``"weighted"``: their mean by the weight of the
            classes' targets; ``"micro"``: the score of all columns' counts together.
        beta: What recall weighs against precision, above 0.
        threshold: In (0, 1]: predictions above it are positive; ``None``: the largest of each row, and all that equal
            it, unless it is 0.
        name: The key under which it is reported.
        dtype: ``None`` or ``"float32"``.
    """

    better = "max"

    def __init__(
        self, average: str | None = None, beta: float = 1.0, threshold: float | None = None,
        name: str | None = "fbeta_score", dtype: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(dtype, name)
        kind = type(self).__name__
        if average not in AVERAGES:
            raise unknown_name(f"{kind} average", average, map(str, AVERAGES))
        if not is_number(beta) or not 0 < beta < np.inf:
            raise ValueError(f"{kind}: beta must be a number above 0. Received: beta={beta!r}.")
        if threshold is not None and (not is_number(threshold) or not 0 < threshold <= 1):
            raise ValueError(
                f"{kind}: threshold must be a number in (0, 1] or None. Received: threshold={threshold!r}."
            )
        self.average = average
        self.beta = float(beta)
        self.threshold = None if threshold is None else float(threshold)

    def build(self, prediction: Shape) -> None:
        add_column_sums(self, ("true_positives", "predicted", "actual"), prediction)

    def lower(self, b: Builder, target: Buffer, prediction: Buffer, weight: Buffer | None) -> None:
        true_positives, predicted, actual = (b.total(v) for v in self._variables)
        if self.threshold is None:
            (positive,) = b.emit("row_maxima", prediction)
        else:
            (positive,) = b.emit("exceeds", prediction, threshold=self.threshold)
        b.emit_to("add_products", (true_positives,), positive, target, weight)
        b.emit_to("add_products", (predicted,), positive, None, weight)
        b.emit_to("add_products", (actual,), target, None, weight)

    def result(self) -> Any:
        sums = [v.value for v in self._variables] or [np.zeros(1)] * 3
        tp, predicted, actual = (np.sum(s) for s in sums) if self.average == "micro" else sums
        precision, recall = tp / (predicted + EPSILON), tp / (actual + EPSILON)
        score = (1 + self.beta**2) * precision * recall / (self.beta**2 * precision + recall + EPSILON)
        if self.average == "weighted":
            return np.sum(score * actual / (np.sum(actual) + EPSILON))
        return score if self.average is None else np.mean(score)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "average": self.average, "beta": self.beta, "threshold": self.threshold}


class F1Score(FBetaScore):
    """2 precision recall / (precision + recall), of each column; 1e-7 is added to every divisor.

    Targets and predictions are of shape ``(rows, classes)``.

    Args:
        average, threshold, name, dtype: As for ``FBetaScore``.
    """

    def __init__(
        self, average: str | None = None, threshold: float | None = None, name: str | None = "f1_score",
        dtype: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(average, 1.0, threshold, name, dtype)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["beta"]
        return config


def add_column_sums(metric: Metric, names: tuple[str, ...], prediction: Shape) -> None:
    """Variables with one sum a column, made for the first predictions; ``ValueError`` where those do not suit."""
    kind = type(metric).__name__
    if len(prediction) != 2:
        raise ValueError(
            f"{kind} needs targets and predictions of shape (rows, columns). Received: predictions of shape "
            f"{('rows', *prediction[1:])}."
        )
    columns = prediction[-1] or 0
    made = {v.name: v for v in metric.variables}
    if names[0] not in made:
        for name in names:
            metric.add_variable((columns,), name=name)
    elif made[names[0]].shape != (columns,):
        raise ValueError(
            f"{kind}: this metric has sums of {made[names[0]].size} columns. Received: predictions of {columns}."
        )
