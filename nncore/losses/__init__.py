"""Losses: on arrays, by name, and as what a training program ends in.

Called on arrays they return Keras's numbers: ``loss(y_true, y_pred, sample_weight=None)``. In a model that ends in
softmax or sigmoid the cross-entropies are computed from the logits instead: exact, with gradient ``p - t``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nncore.errors import unknown_name
from nncore.losses.base import REDUCTIONS, Loss, LossFunctionWrapper, fit_target
from nncore.losses.classification import (
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    CategoricalGeneralizedCrossEntropy,
    CategoricalHinge,
    Hinge,
    KLDivergence,
    SparseCategoricalCrossentropy,
    SquaredHinge,
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_generalized_cross_entropy,
    categorical_hinge,
    hinge,
    kl_divergence,
    sparse_categorical_crossentropy,
    squared_hinge,
)
from nncore.losses.overlap import Dice, Tversky, dice, tversky
from nncore.losses.regression import (
    CosineSimilarity,
    Huber,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
    cosine_similarity,
    huber,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    poisson,
)
from nncore.old_homes import open_old_homes as _open_old_homes
from nncore.program import Shape
from nncore.serialization import (
    custom_object_scope,
    deserialize_keras_object,
    get_registered_object,
    serialize_keras_object,
)

_PAIRS: tuple[tuple[type[Loss], Callable[..., Any]], ...] = (
    (MeanSquaredError, mean_squared_error),
    (MeanAbsoluteError, mean_absolute_error),
    (MeanAbsolutePercentageError, mean_absolute_percentage_error),
    (MeanSquaredLogarithmicError, mean_squared_logarithmic_error),
    (CosineSimilarity, cosine_similarity),
    (Huber, huber),
    (LogCosh, log_cosh),
    (Hinge, hinge),
    (SquaredHinge, squared_hinge),
    (CategoricalHinge, categorical_hinge),
    (KLDivergence, kl_divergence),
    (Poisson, poisson),
    (BinaryCrossentropy, binary_crossentropy),
    (BinaryFocalCrossentropy, binary_focal_crossentropy),
    (CategoricalCrossentropy, categorical_crossentropy),
    (CategoricalFocalCrossentropy, categorical_focal_crossentropy),
    (SparseCategoricalCrossentropy, sparse_categorical_crossentropy),
    (CategoricalGeneralizedCrossEntropy, categorical_generalized_cross_entropy),
    (Dice, dice),
    (Tversky, tversky),
)
CLASSES: dict[str, type[Loss]] = {function.__name__: cls for cls, function in _PAIRS}
FUNCTIONS: dict[str, Callable[..., Any]] = {function.__name__: function for _, function in _PAIRS}
ALIASES = {
    "mse": "mean_squared_error",
    "mae": "mean_absolute_error",
    "mape": "mean_absolute_percentage_error",
    "msle": "mean_squared_logarithmic_error",
    "bce": "binary_crossentropy",
    "kld": "kl_divergence",
    "logcosh": "log_cosh",
    "huber_loss": "huber",
}

_BY_NAME: dict[str, type[Loss]] = {
    **CLASSES,
    **{cls.__name__.lower(): cls for cls in CLASSES.values()},
    **{alias: CLASSES[name] for alias, name in ALIASES.items()},
}
"""Classes by every name they have, in lower case."""

BY_SHAPE = ("crossentropy", "ce")
"""Names of a model's loss, in any case, whose meaning depends on the shapes of targets and predictions."""


def get(identifier: Any) -> Loss:
    """The loss of a name (in any case), function, class, config or instance.

    Any function of ``y_true`` and ``y_pred`` will do: see :class:`LossFunctionWrapper`.

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
        if identifier.lower() in _BY_NAME:
            return _BY_NAME[identifier.lower()]()
    if isinstance(identifier, dict):
        return get(deserialize_keras_object({"config": {}, **identifier}, family="losses"))
    for name, function in FUNCTIONS.items():
        if identifier is function:
            return CLASSES[name]()
    if callable(identifier) and not isinstance(identifier, type):
        return LossFunctionWrapper(identifier)
    raise unknown_name("loss", identifier, [*CLASSES, *ALIASES])


def resolve(y_shape: Shape, p_shape: Shape) -> Loss:
    """The cross-entropy for targets and predictions of these shapes: see :func:`kind_by_shape`."""
    return CLASSES[f"{kind_by_shape(y_shape, p_shape)}_crossentropy"]()


def kind_by_shape(y_shape: Shape, p_shape: Shape) -> str:
    """What classes are, by the shapes of targets and predictions.

    ``"binary"`` for one prediction a row; ``"sparse_categorical"`` for one target a row; else ``"categorical"``.
    """
    if p_shape[-1] == 1:
        return "binary"
    return "sparse_categorical" if len(y_shape) < len(p_shape) or y_shape[-1] == 1 else "categorical"


def serialize(loss: Loss) -> dict[str, Any]:
    """A loss as a JSON-able config."""
    config: dict[str, Any] = serialize_keras_object(loss)
    return config


def deserialize(name: Any, custom_objects: dict[str, Any] | None = None) -> Loss:
    """The loss that ``serialize`` described, or of a name."""
    with custom_object_scope(custom_objects):
        return get(name)


__all__ = [
    "ALIASES", "BY_SHAPE", "CLASSES", "FUNCTIONS", "REDUCTIONS", "BinaryCrossentropy", "BinaryFocalCrossentropy",
    "CategoricalCrossentropy", "CategoricalFocalCrossentropy", "CategoricalGeneralizedCrossEntropy", "CategoricalHinge",
    "CosineSimilarity", "Dice", "Hinge", "Huber", "KLDivergence", "LogCosh", "Loss",
    "LossFunctionWrapper", "MeanAbsoluteError",
    "MeanAbsolutePercentageError", "MeanSquaredError", "MeanSquaredLogarithmicError", "Poisson",
    "SparseCategoricalCrossentropy", "SquaredHinge", "Tversky", "binary_crossentropy", "binary_focal_crossentropy",
    "categorical_crossentropy", "categorical_focal_crossentropy", "categorical_generalized_cross_entropy",
    "categorical_hinge", "cosine_similarity", "deserialize", "dice", "fit_target", "get", "hinge", "huber",
    "kind_by_shape", "kl_divergence", "log_cosh", "mean_absolute_error", "mean_absolute_percentage_error",
    "mean_squared_error", "mean_squared_logarithmic_error", "poisson", "resolve", "serialize",
    "sparse_categorical_crossentropy", "squared_hinge", "tversky",
]  # fmt: skip

SHORT: dict[str, Callable[..., Any]] = {short: FUNCTIONS[name] for short, name in ALIASES.items()}
SHORT |= {name.upper(): function for name, function in SHORT.items()}
"""The functions by the short names that older versions had in the module too."""

_open_old_homes("losses", SHORT)
