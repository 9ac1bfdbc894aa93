"""Keras's optimizers."""

from __future__ import annotations

from typing import Any

from nncore.errors import unknown_name
from nncore.old_homes import open_old_homes as _open_old_homes
from nncore.optimizers import schedules
from nncore.optimizers.adam import Adam, Adamax, AdamW, Nadam
from nncore.optimizers.base import Optimizer
from nncore.optimizers.layerwise import Adafactor, Lamb, Muon
from nncore.optimizers.lion import Lion
from nncore.optimizers.sgd import SGD
from nncore.optimizers.squares import Adadelta, Adagrad, Ftrl, RMSprop
from nncore.serialization import (
    custom_object_scope,
    deserialize_keras_object,
    get_registered_object,
    serialize_keras_object,
)

__all__ = [
    "SGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "Ftrl", "Lamb", "Lion", "Muon", "Nadam",
    "Optimizer", "RMSprop", "deserialize", "get", "schedules", "serialize",
]  # fmt: skip

_CLASSES: dict[str, type[Optimizer]] = {
    kind.__name__.lower(): kind
    for kind in (
        SGD, Adam, AdamW, Adamax, Nadam, RMSprop, Adagrad, Adadelta, Adafactor, Ftrl, Lion, Lamb, Muon,
    )
}  # fmt: skip


def get(identifier: Any) -> Optimizer:
    """The optimizer of a name (in any case), class, config or instance.

    Raises:
        ValueError: for one nncore does not know (the known names are listed).
    """
    if isinstance(identifier, Optimizer):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, Optimizer):
        return identifier()
    if isinstance(identifier, str):
        own = get_registered_object(identifier)
        if own is not None:
            return get(own)
        if identifier.lower() in _CLASSES:
            return _CLASSES[identifier.lower()]()
    if isinstance(identifier, dict):
        own = _CLASSES.get(str(identifier.get("class_name")).lower())
        if own is not None and not get_registered_object(str(identifier["class_name"])):
            identifier = {**identifier, "class_name": own.__name__}  # configs of Keras 2 have any case
        return get(deserialize_keras_object({"config": {}, **identifier}, family="optimizers"))
    raise unknown_name("optimizer", identifier, _CLASSES)


def serialize(optimizer: Optimizer) -> dict[str, Any]:
    """An optimizer as a JSON-able config."""
    config: dict[str, Any] = serialize_keras_object(optimizer)
    return config


def deserialize(config: Any, custom_objects: dict[str, Any] | None = None) -> Optimizer:
    """The optimizer that ``serialize`` described."""
    with custom_object_scope(custom_objects):
        return get(config)


_open_old_homes("optimizers", {})
