"""Keras's optimizers."""

from __future__ import annotations

from typing import Any

from nncore.errors import unknown_name
from nncore.optimizers import schedules
from nncore.optimizers.adam import Adam
from nncore.optimizers.base import Optimizer
from nncore.optimizers.sgd import SGD

__all__ = ["SGD", "Adam", "Optimizer", "deserialize", "get", "schedules", "serialize"]

_CLASSES: dict[str, type[Optimizer]] = {"sgd": SGD, "adam": Adam}


def get(identifier: Any) -> Optimizer:
    """The optimizer of a name (in any case), class, config or instance.

    Raises:
        ValueError: for one nncore does not know (the known names are listed).
    """
    if isinstance(identifier, Optimizer):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, Optimizer):
        return identifier()
    if isinstance(identifier, str) and identifier.lower() in _CLASSES:
        return _CLASSES[identifier.lower()]()
    if isinstance(identifier, dict) and str(identifier.get("class_name")).lower() in _CLASSES:
        return _CLASSES[identifier["class_name"].lower()].from_config(dict(identifier.get("config", {})))
    raise unknown_name("optimizer", identifier, _CLASSES)


def serialize(optimizer: Optimizer) -> dict[str, Any]:
    """An optimizer as a JSON-able config."""
    return {"class_name": type(optimizer).__name__, "config": optimizer.get_config()}


def deserialize(config: Any) -> Optimizer:
    """The optimizer that ``serialize`` described."""
    return get(config)
