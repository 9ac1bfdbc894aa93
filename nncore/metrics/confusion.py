"""Metrics that count true and false positives and negatives, at one threshold or at many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nncore import allowance
from nncore.arguments import count, fraction, is_number, positive_int
from nncore.builder import Builder
from nncore.metrics.base import Array, Metric
from nncore.ops.counts import NOT_KEPT
from nncore.program import Buffer, Shape


def ratio(a: Any, b: Any) -> Array:
    """a / b, and 0 where b is 0."""
    none = b == 0
    found: Array = np.where(none, 0, a / np.where(none, 1, b))
    return found


def evenly_spaced(thresholds: Sequence[float]) -> bool:
    """Whether thresholds are 0, 1 / n, 2 / n, … 1, but for rounding."""
    size = len(thresholds)
    return size > 2 and np.allclose(thresholds, np.arange(size) / (size - 1), atol=1e-7)


def checked_thresholds(owner: str, thresholds: Any) -> list[float]:
    """One threshold or several, as a list; ``ValueError`` for what is not in [0, 1]."""
    listed = list(thresholds) if isinstance(thresholds, list | tuple | np.ndarray) else [thresholds]
    if not listed or not all(is_number(t) and 0 <= t <= 1 for t in listed):
        raise ValueError(
            f"{owner}: thresholds must be a number in [0, 1] or a list of them. Received: thresholds={thresholds!r}."
        )
    return [float(t) for t in listed]


class Confusion(Metric):
    """Base of the metrics that are computed from counts at thresholds.

    A prediction is positive at a threshold that it exceeds, a target where it is not 0. Each prediction counts by
    itself, the columns of a row together unless ``columns`` says otherwise. Thresholds spaced evenly over [0, 1] need
    no search: which ones p exceeds follows from ceil(p (thresholds - 1)), computed in float32, as in Keras; predictions
    outside of [0, 1] then count as 0 and 1.

    Args:
        thresholds: Ascending or not.
        even: Whether they are spaced evenly.
        top_k: If given, of each row only the k largest predictions can be positive.
        class_id: If given, the only column that counts.
        name, dtype: As for every metric.

    Attributes:
        positives: The state: the weight of positive targets whose prediction exceeds 0, 1, 2, … thresholds.
        negatives: The same of negative targets.
        columns: Columns that are counted apart; 1: all together.
    """

    better: str | None = "max"

    def __init__(
        self, thresholds: Sequence[float], even: bool, top_k: Any, class_id: Any, name: str | None, dtype: str | None
    ) -> None:
        super().__init__(dtype, name)
        kind = type(self).__name__
        self.thresholds = list(thresholds)
        self.top_k = None if top_k is None else positive_int(kind, "top_k", top_k)
        self.class_id = None if class_id is None else count(kind, "class_id", class_id)
        self.elementwise = self.top_k is None and self.class_id is None
        self._column_weights: list[float] | None = None
        self.columns = 1
        self._even = even
        order = np.argsort(self.thresholds, kind="stable")
        self._place = None if np.all(order[1:] > order[:-1]) else np.argsort(order, kind="stable")
        self._least = 1 if even and self.thresholds[0] < 0 else 0
        self._add_counts()

    def _add_counts(self) -> None:
        size = len(self.thresholds) + 1
        shape = (size,) if self.columns == 1 else (self.columns, size)
        self.positives = self.add_variable(shape, name="positives")
        self.negatives = self.add_variable(shape, name="negatives")

    def build(self, prediction: Shape) -> None:
        last = prediction[-1] or 0
        for argument, value, most in (("top_k", self.top_k, last), ("class_id", self.class_id, last - 1)):
            if value is not None and value > most:
                raise ValueError(
                    f"{type(self).__name__}: {argument} must be at most {most} for {last} predictions a row. "
                    f"Received: {argument}={value}."
                )

    def scores(self, b: Builder, prediction: Buffer) -> Buffer:
        """Append what turns predictions into what is compared with the thresholds."""
        return prediction if self.top_k is None else b.emit("keep_top_k", prediction, k=self.top_k)[0]

    def lower(self, b: Builder, target: Buffer, prediction: Buffer, weight: Buffer | None) -> None:
        p, t = self.scores(b, prediction), target
        if self.class_id is not None:
            p, t = (b.view(b.emit("column", x, index=self.class_id)[0], (*x.shape[:-1], 1)) for x in (p, t))
        if weight is not None:
            (weight,) = b.emit("spread", weight, p)
        order = sorted(self.thresholds)
        thresholds = b.constant("thresholds", [*order, 0.0])
        columns = None if self._column_weights is None else b.constant("label_weights", self._column_weights)
        b.emit_to(
            "add_confusion", (b.total(self.positives), b.total(self.negatives)), p, t, weight, columns, thresholds,
            c=self.columns, even=self._even, least=self._least,
        )  # fmt: skip

    def _at_thresholds(self, counts: Array) -> tuple[Array, Array]:
        """What exceeds each threshold, and what does not; thresholds last."""
        above = np.cumsum(counts[..., ::-1], axis=-1)
        positive: Array = above[..., -2::-1]
        if self._place is not None:
            positive = positive[..., self._place]
        return positive, above[..., -1:] - positive

    @property
    def true_positives(self) -> Array:
        """Positive targets with positive predictions, at each threshold."""
        return self._at_thresholds(self.positives.value)[0]

    @property
    def false_negatives(self) -> Array:
        """Positive targets with negative predictions, at each threshold."""
        return self._at_thresholds(self.positives.value)[1]

    @property
    def false_positives(self) -> Array:
        """Negative targets with positive predictions, at each threshold."""
        return self._at_thresholds(self.negatives.value)[0]

    @property
    def true_negatives(self) -> Array:
        """Negative targets with negative predictions, at each threshold."""
        return self._at_thresholds(self.negatives.value)[1]

    def recalls(self) -> Array:
        """True positives of the positive targets, at each threshold."""
        positive, negative = self._at_thresholds(self.positives.value)
        return ratio(positive, positive + negative)

    def precisions(self) -> Array:
        """True positives of the positive predictions, at each threshold."""
        true, false = self.true_positives, self.false_positives
        return ratio(true, true + false)

    def specificities(self) -> Array:
        """True negatives of the negative targets, at each threshold."""
        positive, negative = self._at_thresholds(self.negatives.value)
        return ratio(negative, positive + negative)


class _AtThresholds(Confusion):
    """Base of the metrics with one value a threshold: a number where there is one threshold, else an array."""

    def __init__(
        self, thresholds: Any, top_k: Any = None, class_id: Any = None, name: str | None = None,
        dtype: str | None = None,
    ) -> None:  # fmt: skip
        if thresholds is None:
            chosen = [0.5 if top_k is None else NOT_KEPT]
        else:
            chosen = checked_thresholds(type(self).__name__, thresholds)
        super().__init__(chosen, evenly_spaced(chosen), top_k, class_id, name, dtype)
        self.init_thresholds = thresholds

    def values(self) -> Array:
        """The value at each threshold."""
        raise NotImplementedError(f"{type(self).__name__} must define values().")

    def result(self) -> Any:
        found = self.values()
        return found[0] if len(self.thresholds) == 1 else found

    def get_config(self) -> dict[str, Any]:
        thresholds = self.init_thresholds
        listed = list(thresholds) if isinstance(thresholds, tuple | np.ndarray) else thresholds
        return {**super().get_config(), "thresholds": listed}


class _Count(_AtThresholds):
    better = None

    def __init__(self, thresholds: Any = None, name: str | None = None, dtype: str | None = None) -> None:
        super().__init__(thresholds, name=name, dtype=dtype)


class TruePositives(_Count):
    """The number, or weight, of targets that are not 0 and whose prediction exceeds the threshold.

    Args:
        thresholds: A number in [0, 1] or a list of them; by default 0.5.
        name: The key under which it is reported.
        dtype: ``None`` or ``"float32"``.
    """

    def values(self) -> Array:
        return self.true_positives


class TrueNegatives(_Count):
    """The number, or weight, of targets that are 0 and whose prediction does not exceed the threshold.

    Args:
        thresholds: A number in [0, 1] or a list of them; by default 0.5.
        name: The key under which it is reported.
        dtype: ``None`` or ``"float32"``.
    """

    def values(self) -> Array:
        return self.true_negatives


class FalsePositives(_Count):
    """The number, or weight, of targets that are 0 and whose prediction exceeds the threshold.

    Args:
        thresholds: A number in [0, 1] or a list of them; by default 0.5.
        name: The key under which it is reported.
        dtype: ``None`` or ``"float32"``.
    """

    def values(self) -> Array:
        return self.false_positives


class FalseNegatives(_Count):
    """The number, or weight, of targets that are not 0 and whose prediction does not exceed the threshold.

    Args:
        thresholds: A number in [0, 1] or a list of them; by default 0.5.
        name: The key under which it is reported.
        dtype: ``None`` or ``"float32"``.
    """

    def values(self) -> Array:
        return self.false_negatives


class _Share(_AtThresholds):
    def __init__(
        self, thresholds: Any = None, top_k: int | None = None, class_id: int | None = None, name: str | None = None,
        dtype: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(thresholds, top_k, class_id, name, dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "top_k": self.top_k, "class_id": self.class_id}


class Precision(_Share):
    """True positives / (true positives + false positives), 0 where nothing is positive.

    Args:
        thresholds: A number in [0, 1] or a list of them; by default 0.5, with ``top_k`` none.
        top_k: If given, of each row only the k largest predictions can be positive.
        class_id: If given, the only column that counts.
        name: The key under which it is reported.
        dtype: ``None`` or ``"float32"``.
    """

    def values(self) -> Array:
        return self.precisions()


class Recall(_Share):
    """True positives / (true positives + false negatives), 0 where no target is positive.

    Args:
        thresholds: A number in [0, 1] or a list of them; by default 0.5, with ``top_k`` none.
        top_k: If given, of each row only the k largest predictions can be positive.
        class_id: If given, the only column that counts.
        name: The key under which it is reported.
        dtype: ``None`` or ``"float32"``.
    """

    def values(self) -> Array:
        return self.recalls()


class _BestAt(Confusion):
    """The best of one value among the thresholds at which another is at least ``argument``.

    Attributes:
        argument: The argument's name.
        bounded, wanted: Names of the methods that give the value that is bounded, and of the one whose best counts.
    """

    argument = ""
    bounded = ""
    wanted = ""

    def __init__(self, least: Any, num_thresholds: Any, class_id: Any, name: str | None, dtype: str | None) -> None:
        kind = type(self).__name__
        self._bound = fraction(kind, self.argument, least)
        setattr(self, self.argument, self._bound)
        self.num_thresholds = positive_int(kind, "num_thresholds", num_thresholds)
        size = self.num_thresholds
        allowance.take(100 * size, f"{kind}.num_thresholds")
        thresholds = [0.5] if size == 1 else [i / (size - 1) for i in range(size)]
        super().__init__(thresholds, size > 1, None, class_id, name, dtype)

    def result(self) -> Any:
        fits = getattr(self, self.bounded)() >= self._bound
        return np.max(np.where(fits, getattr(self, self.wanted)(), 0), initial=0.0)

    def get_config(self) -> dict[str, Any]:
        own = {"num_thresholds": self.num_thresholds, self.argument: self._bound, "class_id": self.class_id}
        return {**super().get_config(), **own}


class SensitivityAtSpecificity(_BestAt):
    """The best recall among the thresholds at which the share of true negatives is at least ``specificity``.

    Args:
        specificity: In [0, 1].
        num_thresholds: Thresholds to try, spaced evenly over [0, 1]; 1 is 0.5 alone.
        class_id: If given, the only column that counts.
        name: The key under which it is reported.
        dtype: ``None`` or ``"float32"``.
    """

    argument, bounded, wanted = "specificity", "specificities", "recalls"

    def __init__(
        self, specificity: float, num_thresholds: int = 200, class_id: int | None = None, name: str | None = None,
        dtype: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(specificity, num_thresholds, class_id, name, dtype)


class SpecificityAtSensitivity(_BestAt):
    """The best share of true negatives among the thresholds at which recall is at least ``sensitivity``.

    Args:
        sensitivity: In [0, 1].
        num_thresholds: Thresholds to try, spaced evenly over [0, 1]; 1 is 0.5 alone.
        class_id: If given, the only column that counts.
        name: The key under which it is reported.
        dtype: ``None`` or ``"float32"``.
    """

    argument, bounded, wanted = "sensitivity", "recalls", "specificities"

    def __init__(
        self, sensitivity: float, num_thresholds: int = 200, class_id: int | None = None, name: str | None = None,
        dtype: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(sensitivity, num_thresholds, class_id, name, dtype)


class PrecisionAtRecall(_BestAt):
    """The best precision among the thresholds at which recall is at least ``recall``.

    Args:
        recall: In [0, 1].
        num_thresholds: Thresholds to try, spaced evenly over [0, 1]; 1 is 0.5 alone.
        class_id: If given, the only column that counts.
        name: The key under which it is reported.
        dtype: ``None`` or ``"float32"``.
    """

    argument, bounded, wanted = "recall", "recalls", "precisions"

    def __init__(
        self, recall: float, num_thresholds: int = 200, class_id: int | None = None, name: str | None = None,
        dtype: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(recall, num_thresholds, class_id, name, dtype)


class RecallAtPrecision(_BestAt):
    """The best recall among the thresholds at which precision is at least ``precision``.

    Args:
        precision: In [0, 1].
        num_thresholds: Thresholds to try, spaced evenly over [0, 1]; 1 is 0.5 alone.
        class_id: If given, the only column that counts.
        name: The key under which it is reported.
        dtype: ``None`` or ``"float32"``.
    """

    argument, bounded, wanted = "precision", "precisions", "recalls"

    def __init__(
        self, precision: float, num_thresholds: int = 200, class_id: int | None = None, name: str | None = None,
        dtype: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(precision, num_thresholds, class_id, name, dtype)
