"""Metrics: running values over batches, standalone or inside ``fit``, ``evaluate`` and their programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nncore import losses
from nncore.errors import unknown_name
from nncore.losses import (
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_hinge,
    hinge,
    huber,
    kl_divergence,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    poisson,
    sparse_categorical_crossentropy,
    squared_hinge,
)
from nncore.metrics.accuracy import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
)
from nncore.metrics.auc import AUC
from nncore.metrics.base import Metric, Score, scores
from nncore.metrics.confusion import (
    FalseNegatives,
    FalsePositives,
    Precision,
    PrecisionAtRecall,
    Recall,
    RecallAtPrecision,
    SensitivityAtSpecificity,
    SpecificityAtSensitivity,
    TrueNegatives,
    TruePositives,
)
from nncore.metrics.fscore import F1Score, FBetaScore
from nncore.metrics.functions import (
    binary_accuracy,
    categorical_accuracy,
    concordance_correlation,
    pearson_correlation,
    sparse_categorical_accuracy,
    sparse_top_k_categorical_accuracy,
    top_k_categorical_accuracy,
)
from nncore.metrics.iou import BinaryIoU, IoU, MeanIoU, OneHotIoU, OneHotMeanIoU
from nncore.metrics.means import LossMean, Mean, MeanMetricWrapper, Sum
from nncore.metrics.of_losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    CategoricalHinge,
    CosineSimilarity,
    Hinge,
    KLDivergence,
    LogCoshError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
    RootMeanSquaredError,
    SparseCategoricalCrossentropy,
    SquaredHinge,
)
from nncore.metrics.regression import ConcordanceCorrelation, PearsonCorrelation, R2Score
from nncore.names import snake_case
from nncore.old_homes import open_old_homes as _open_old_homes
from nncore.program import Shape
from nncore.serialization import deserialize_keras_object, get_registered_object, serialize_keras_object
from nncore.tracing import function_name

_CLASSES: tuple[type[Metric], ...] = (
    CategoricalHinge, CosineSimilarity, Hinge, KLDivergence, LogCoshError, MeanAbsolutePercentageError,
    MeanSquaredLogarithmicError, Poisson, SquaredHinge,
    AUC, Accuracy, BinaryAccuracy, BinaryCrossentropy, BinaryIoU, CategoricalAccuracy, CategoricalCrossentropy,
    ConcordanceCorrelation, F1Score, FBetaScore, FalseNegatives, FalsePositives, IoU, MeanAbsoluteError, MeanIoU,
    MeanSquaredError, OneHotIoU, OneHotMeanIoU, PearsonCorrelation, Precision, PrecisionAtRecall, R2Score, Recall,
    RecallAtPrecision, RootMeanSquaredError, SensitivityAtSpecificity, SparseCategoricalAccuracy,
    SparseCategoricalCrossentropy, SparseTopKCategoricalAccuracy, SpecificityAtSensitivity, TopKCategoricalAccuracy,
    TrueNegatives, TruePositives,
)  # fmt: skip
_ALIASES = {"mse": "mean_squared_error", "mae": "mean_absolute_error", "bce": "binary_crossentropy",
    "mape": "mean_absolute_percentage_error", "msle": "mean_squared_logarithmic_error",
}  # fmt: skip
_BY_NAME: dict[str, type[Metric]] = {snake_case(cls.__name__): cls for cls in _CLASSES}
_BY_NAME |= {alias: _BY_NAME[name] for alias, name in _ALIASES.items()}
_NAMES = {**_BY_NAME, **{cls.__name__.lower(): cls for cls in _CLASSES}}
"""The metrics by all names, in lower case."""

_FUNCTIONS: tuple[Callable[..., Any], ...] = (
    binary_accuracy, categorical_accuracy, concordance_correlation, pearson_correlation, sparse_categorical_accuracy,
    sparse_top_k_categorical_accuracy, top_k_categorical_accuracy,
)  # fmt: skip
"""Functions that have the name of the metric that is their mean; the losses' are ``losses.FUNCTIONS``."""

_ACCURACY = ("accuracy", "acc")
BY_SHAPE = (*_ACCURACY, *losses.BY_SHAPE)
"""Names whose meaning depends on the shapes of targets and predictions."""

__all__ = [
    "AUC", "Accuracy", "BinaryAccuracy", "BinaryCrossentropy", "BinaryIoU", "CategoricalAccuracy",
    "CategoricalCrossentropy", "CategoricalHinge", "ConcordanceCorrelation", "CosineSimilarity", "F1Score",
    "FBetaScore", "FalseNegatives", "FalsePositives", "Hinge", "IoU", "KLDivergence", "LogCoshError", "Mean",
    "MeanAbsoluteError", "MeanAbsolutePercentageError", "MeanIoU", "MeanMetricWrapper", "MeanSquaredError",
    "MeanSquaredLogarithmicError", "Metric", "OneHotIoU", "OneHotMeanIoU", "PearsonCorrelation", "Poisson",
    "Precision", "PrecisionAtRecall", "R2Score", "Recall", "RecallAtPrecision", "RootMeanSquaredError", "Score",
    "SensitivityAtSpecificity", "SparseCategoricalAccuracy", "SparseCategoricalCrossentropy",
    "SparseTopKCategoricalAccuracy", "SpecificityAtSensitivity", "SquaredHinge", "Sum", "TopKCategoricalAccuracy",
    "TrueNegatives", "TruePositives", "binary_accuracy", "binary_crossentropy", "binary_focal_crossentropy",
    "categorical_accuracy", "categorical_crossentropy", "categorical_focal_crossentropy", "categorical_hinge",
    "check", "concordance_correlation", "deserialize", "get", "hinge", "huber", "kl_divergence", "log_cosh",
    "mean_absolute_error", "mean_absolute_percentage_error", "mean_squared_error", "mean_squared_logarithmic_error",
    "pearson_correlation", "poisson", "resolve", "scores", "serialize", "sparse_categorical_accuracy",
    "sparse_categorical_crossentropy", "sparse_top_k_categorical_accuracy", "squared_hinge",
    "top_k_categorical_accuracy",
]  # fmt: skip


def check(identifier: Any) -> None:
    """Raise ``ValueError`` where ``resolve`` would not know a metric; the known names are listed."""
    if isinstance(identifier, str) and identifier.lower() in BY_SHAPE:
        return
    get(identifier)


def get(identifier: Any) -> Metric:
    """The metric of a name, class, config, instance, or function of ``metrics`` or ``losses``.

    One given as a string is named as typed.
    Any other function of targets and predictions is a metric by its mean: see :class:`MeanMetricWrapper`. Names are
    those of the classes, also in snake case, in capitals or not, and ``mse mae bce``.
    """
    if isinstance(identifier, Metric):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, Metric):
        return identifier()
    if isinstance(identifier, str):
        own = get_registered_object(identifier)
        if own is not None:
            return get(own)
        if identifier.lower() in _NAMES:
            return _make(_NAMES[identifier.lower()], identifier)
    if isinstance(identifier, dict):
        return get(deserialize(identifier))
    if callable(identifier) and identifier in _FUNCTIONS:
        return _BY_NAME[identifier.__name__]()
    for name, function in losses.FUNCTIONS.items():
        if identifier is function:
            known = name in _BY_NAME and name != "cosine_similarity"  # the loss is the negative of the metric
            return _BY_NAME[name]() if known else LossMean(losses.get(function), name, None)
    if callable(identifier) and not isinstance(identifier, type):
        return MeanMetricWrapper(identifier, function_name(identifier).strip("<>"))
    raise unknown_name("metric", identifier, [*_BY_NAME, *BY_SHAPE])


def _make(cls: type[Metric], name: str) -> Metric:
    """A metric with its default arguments; ``ValueError`` where it has none."""
    try:
        return cls(name=name)
    except TypeError:
        raise ValueError(
            f"The metric {name!r} has arguments to choose: pass an object, metrics.{cls.__name__}(...)."
        ) from None


def resolve(identifier: Any, y_shape: Shape, p_shape: Shape) -> Metric:
    """``get``, for targets and predictions of these shapes.

    ``"accuracy"`` (or ``"acc"``) and ``"crossentropy"`` (or ``"ce"``) mean what ``losses.kind_by_shape`` says.
    """
    if not isinstance(identifier, str) or identifier.lower() not in BY_SHAPE:
        return get(identifier)
    suffix = "accuracy" if identifier.lower() in _ACCURACY else "crossentropy"
    return _BY_NAME[f"{losses.kind_by_shape(y_shape, p_shape)}_{suffix}"](name=identifier)


def serialize(metric: Any) -> Any:
    """A metric as a JSON-able value: its name as typed, or a config."""
    if isinstance(metric, str):
        return metric
    return serialize_keras_object(get(metric))


def deserialize(config: Any, custom_objects: dict[str, Any] | None = None) -> Any:
    """What ``serialize`` described, as ``compile`` takes it."""
    whole = {"config": {}, **config} if isinstance(config, dict) else config
    return deserialize_keras_object(whole, custom_objects, family="metrics")


_open_old_homes("metrics", losses.SHORT)
