"""The area under a curve that a threshold traces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nncore import allowance
from nncore.arguments import is_integer, is_number, positive_int
from nncore.builder import Builder
from nncore.errors import unknown_name
from nncore.metrics.base import Array
from nncore.metrics.confusion import Confusion, checked_thresholds, evenly_spaced, ratio
from nncore.program import Buffer, Shape

CURVES = ("ROC", "PR", "PRGAIN")
_HEIGHTS: dict[str, Callable[[Any, Any], Any]] = {
    "interpolation": lambda low, high: (low + high) / 2, "minoring": np.minimum, "majoring": np.maximum,
}  # fmt: skip
EPSILON = 1e-7


class AUC(Confusion):
    """The area under the ROC or the precision-recall curve, from counts at thresholds.

    Predictions are expected in [0, 1]: those below count as 0, those above as 1, unless ``thresholds`` are given that
    are not spaced evenly, which are compared with what is there.

    Args:
        num_thresholds: At least 2: 0 and 1, a little widened, and others spaced evenly between them.
        curve: ``"ROC"``: recall over the rate of false positives. ``"PR"``: precision over recall. ``"PRGAIN"``: their
            gains over a classifier that calls everything positive (Flach and Kull, NIPS 2015).
        summation_method: ``"interpolation"``: trapezoids, for PR the interpolation of Davis and Goadrich (ICML 2006);
            ``"minoring"`` and ``"majoring"``: rectangles of the lower and of the higher end of each step.
        name: The key under which it is reported.
        dtype: ``None`` or ``"float32"``.
        thresholds: In place of ``num_thresholds``: those between the widened 0 and 1.
        multi_label: Whether each column has a curve of its own; the result is the mean of their areas.
        num_labels: With ``multi_label``: the number of columns, by default known from the predictions.
        label_weights: Weights of the columns, in the mean of areas or, without ``multi_label``, of the counts.
        from_logits: Whether predictions are logits, of which the sigmoid is taken.
    """

    def __init__(
        self, num_thresholds: int = 200, curve: str = "ROC", summation_method: str = "interpolation",
        name: str | None = None, dtype: str | None = None, thresholds: Any = None, multi_label: bool = False,
        num_labels: int | None = None, label_weights: Any = None, from_logits: bool = False,
    ) -> None:  # fmt: skip
        self._from_thresholds = thresholds is not None
        if thresholds is None:
            if not is_integer(num_thresholds) or num_thresholds < 2:
                received = f"Received: num_thresholds={num_thresholds!r}."
                raise ValueError(f"AUC: num_thresholds must be an integer of at least 2. {received}")
            allowance.take(100 * int(num_thresholds), "AUC.num_thresholds")
            inner = [i / (num_thresholds - 1) for i in range(1, num_thresholds - 1)]
            even = True
        else:
            if num_thresholds not in (200, len(thresholds) + 2):
                raise ValueError(
                    "AUC: give num_thresholds or thresholds, not both. "
                    f"Received: num_thresholds={num_thresholds!r} and {len(thresholds)} thresholds."
                )
            inner = sorted(checked_thresholds("AUC", thresholds))
            even = evenly_spaced([0.0, *inner, 1.0])
        self.num_thresholds = len(inner) + 2
        self.curve = _one_of("curve", curve, CURVES)
        self.summation_method = _one_of("summation_method", summation_method, tuple(_HEIGHTS))
        self.multi_label = bool(multi_label)
        self.num_labels = None if num_labels is None else positive_int("AUC", "num_labels", num_labels)
        self.from_logits = bool(from_logits)
        if self.num_labels and not self.multi_label:
            raise ValueError(f"AUC: num_labels needs multi_label=True. Received: num_labels={num_labels!r}.")
        super().__init__([-EPSILON, *inner, 1 + EPSILON], even, None, None, name, dtype)
        self.label_weights = None if label_weights is None else _weights(label_weights)
        self._column_weights = None if self.multi_label else self.label_weights
        self.elementwise = not self.multi_label and self.label_weights is None
        if self.num_labels:
            self.build((None, self.num_labels))

    def build(self, prediction: Shape) -> None:
        n = prediction[-1] or 0
        for argument, size in (("num_labels", self.num_labels), ("label_weights", len(self.label_weights or [0] * n))):
            if size is not None and size != n:
                raise ValueError(f"AUC: {argument} is for {size} labels. Received: predictions of {n} a row.")
        if not self.multi_label:
            return
        if len(prediction) != 2:
            raise ValueError(f"AUC: multi_label needs predictions of shape (rows, labels). Received: {prediction}.")
        if self._variables[0].shape == (n, self.num_thresholds + 1) or (n == 1 and self.columns == 1):
            return
        if self.columns != 1:
            raise ValueError(
                f"AUC: this metric has counts of {self.columns} labels. Received: predictions of {n} a row."
            )
        self.columns = n
        self._variables.clear()
        self._add_counts()

    def scores(self, b: Builder, prediction: Buffer) -> Buffer:
        return b.emit("sigmoid", prediction)[0] if self.from_logits else prediction

    def result(self) -> Any:
        if self.curve == "PR" and self.summation_method == "interpolation":
            areas = self._interpolated()
        else:
            x, y = self._curve()
            low, high = y[..., :-1], y[..., 1:]
            areas = np.sum((x[..., :-1] - x[..., 1:]) * _HEIGHTS[self.summation_method](low, high), axis=-1)
        if not self.multi_label:
            return np.float64(areas)
        if self.label_weights is None:
            return np.mean(areas)
        return np.float64(ratio(np.sum(np.atleast_1d(areas) * self.label_weights), np.sum(self.label_weights)))

    def _curve(self) -> tuple[Array, Array]:
        """The points at the thresholds: x, which falls, and y."""
        (tp, fn), (fp, tn) = (self._at_thresholds(v.value) for v in (self.positives, self.negatives))
        if self.curve == "ROC":
            return ratio(fp, fp + tn), ratio(tp, tp + fn)
        if self.curve == "PR":
            return ratio(tp, tp + fn), ratio(tp, tp + fp)
        scale = ratio(tp + fn, tn + fp)
        recall_gain = np.where(tp == 0, 0, 1 - scale * ratio(fn, tp))
        return np.maximum(recall_gain, 0), np.where(tp == 0, 1, 1 - scale * ratio(fp, tp))

    def _interpolated(self) -> Array:
        """The area below precision over recall, with true and false positives interpolated between thresholds."""
        tp, fn = self._at_thresholds(self.positives.value)
        positive = tp + self.false_positives
        d_tp = tp[..., :-1] - tp[..., 1:]
        d_positive = np.maximum(positive[..., :-1] - positive[..., 1:], 0)
        slope = ratio(d_tp, d_positive)
        intercept = tp[..., 1:] - slope * positive[..., 1:]
        both = (positive[..., :-1] > 0) & (positive[..., 1:] > 0)
        step = np.where(both, ratio(positive[..., :-1], positive[..., 1:]), 1)
        targets = tp[..., 1:] + fn[..., 1:]
        area: Array = np.sum(ratio(slope * (d_tp + intercept * np.log(step)), targets), axis=-1)
        return area

    def get_config(self) -> dict[str, Any]:
        config = {
            **super().get_config(), "num_thresholds": self.num_thresholds, "curve": self.curve,
            "summation_method": self.summation_method, "multi_label": self.multi_label, "num_labels": self.num_labels,
            "label_weights": self.label_weights, "from_logits": self.from_logits,
        }  # fmt: skip
        return {**config, "thresholds": self.thresholds[1:-1]} if self._from_thresholds else config


def _one_of(argument: str, value: Any, known: tuple[str, ...]) -> str:
    """The known word that ``value`` is, in capitals or not."""
    for word in known:
        if isinstance(value, str) and value.lower() == word.lower():
            return word
    raise unknown_name(f"AUC {argument}", value, known)


def _weights(values: Any) -> list[float]:
    listed = list(values)
    if not listed or not all(is_number(v) and 0 <= v < np.inf for v in listed):
        raise ValueError(f"AUC: label_weights must be numbers of at least 0. Received: label_weights={values!r}.")
    return [float(v) for v in listed]
