"""Configs of Keras 2, in the words of Keras 3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nncore import initializers, losses, metrics, optimizers
from nncore.serialization import get_registered_object

_OF_OPTIMIZERS = ("decay", "lr", "is_legacy_optimizer", "jit_compile")
"""Arguments of optimizers that Keras 3 does not have."""


def modern(value: Any) -> Any:
    """A config, or what holds configs, with all configs in it as Keras 3 would have written them. Its own stay."""
    if isinstance(value, list):
        return [modern(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    value = {key: modern(item) for key, item in value.items()}
    name, config = value.get("class_name"), value.get("config")
    if not isinstance(name, str) or not isinstance(config, dict):
        return value
    known = name.removeprefix("Custom>")
    if hasattr(optimizers, known) and not get_registered_object(name):
        return {**value, "class_name": known, "config": _of_optimizer(config)}
    return {**value, "config": _of_part(name, config)}


def _of_optimizer(config: Mapping[str, Any]) -> dict[str, Any]:
    rate, decay = config.get("learning_rate", config.get("lr")), config.get("decay")
    kept = {key: item for key, item in config.items() if key not in _OF_OPTIMIZERS}
    if config.get("epsilon", 0) is None:  # once the default
        del kept["epsilon"]
    if decay and isinstance(rate, int | float):  # lr / (1 + decay · step)
        decayed = {"initial_learning_rate": rate, "decay_steps": 1, "decay_rate": decay}
        rate = {"module": "keras.optimizers.schedules", "class_name": "InverseTimeDecay", "config": decayed}
    return {**kept, "learning_rate": rate} if rate is not None else kept


def _of_part(name: str, config: dict[str, Any]) -> dict[str, Any]:
    if hasattr(initializers, name):
        return {key: item for key, item in config.items() if key != "dtype"}
    if name == "BatchNormalization" and isinstance(config.get("axis"), list) and len(config["axis"]) == 1:
        return {**config, "axis": config["axis"][0]}
    if not hasattr(losses, name) and not hasattr(metrics, name):
        return config
    function = config.get("fn")
    if name == "MeanMetricWrapper" and isinstance(function, str):
        return {**config, "fn": {"module": "builtins", "class_name": "function", "config": function}}
    if isinstance(function, str):  # that of the class
        config = {key: item for key, item in config.items() if key != "fn"}
    return {**config, "reduction": "sum_over_batch_size"} if config.get("reduction") == "auto" else config
