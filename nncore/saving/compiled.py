"""What ``compile`` chose, as Keras's files have it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nncore import losses, metrics
from nncore.names import snake_case
from nncore.serialization import get_registered_object, serialize_keras_object

_SHORT = ("mse", "mae", "mape", "msle", "bce", "kld")
"""The short names that Keras has too, in small letters or capitals."""


def for_keras(compiled: Mapping[str, Any] | None) -> dict[str, Any]:
    """A ``compile_config`` with losses and metrics as lists and names that Keras takes; nncore takes more of both."""
    if not compiled:
        return {}
    chosen = {key: compiled.get(key) for key in ("metrics", "weighted_metrics")}
    listed = {key: value if value is None or isinstance(value, list) else [value] for key, value in chosen.items()}
    named = {key: value and [_metric(metric) for metric in value] for key, value in listed.items()}
    loss = compiled["loss"]
    return {**compiled, **named, "loss": [_loss(one) for one in loss] if isinstance(loss, list) else _loss(loss)}


def as_training_config(compiled: Mapping[str, Any]) -> dict[str, Any]:
    """A ``compile_config`` in the form of Keras 2, from which Keras reads no short name of a loss."""
    rest = for_keras(compiled)
    loss = rest["loss"]
    if isinstance(loss, str) and loss.lower() in losses.ALIASES:
        rest["loss"] = losses.ALIASES[loss.lower()]
    return {"optimizer_config": rest.pop("optimizer"), **rest}


def of_keras(compiled: Mapping[str, Any]) -> dict[str, Any]:
    """A ``compile_config`` of Keras's for a model of one output: what is said for each of one output is said for it."""
    chosen = {**compiled, "loss": _of_one(compiled.get("loss"))}
    for key in ("metrics", "weighted_metrics"):
        value = chosen.get(key)
        if not isinstance(value, list) or (len(value) == 1 and isinstance(value[0], list)):
            chosen[key] = _of_one(value)
    weights = chosen.get("loss_weights")
    return {**chosen, "loss_weights": None if _of_one(weights) == 1 else weights}


def _of_one(value: Any) -> Any:
    """What a list or dict of one output holds."""
    if isinstance(value, Mapping) and len(value) == 1 and "class_name" not in value:
        return next(iter(value.values()))
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def of_training_config(training: Mapping[str, Any]) -> dict[str, Any]:
    """The ``compile_config`` that says the same as one in the form of Keras 2."""
    kept = ("loss", "loss_weights", "metrics", "weighted_metrics")
    return {**{name: training.get(name) for name in kept}, "optimizer": training["optimizer_config"]}


def _loss(loss: Any) -> Any:
    if not isinstance(loss, str) or get_registered_object(loss) or loss.lower() in losses.BY_SHAPE:
        return loss
    made = losses.get(loss)
    if isinstance(made, losses.CategoricalGeneralizedCrossEntropy):  # Keras knows it by no name
        return serialize_keras_object(made)
    return _spelled(loss, next(name for name, cls in losses.CLASSES.items() if cls is type(made)), type(made))


def _metric(metric: Any) -> Any:
    if not isinstance(metric, str) or get_registered_object(metric) or metric.lower() in metrics.BY_SHAPE:
        return metric
    cls = type(metrics.get(metric))
    return _spelled(metric, snake_case(cls.__name__), cls)


def _spelled(name: str, known: str, cls: type) -> str:
    """``name`` where Keras knows it, else the name that it does know."""
    short = name.lower() in _SHORT and name in (name.lower(), name.upper())
    return name if short or name in (known, cls.__name__) else known
