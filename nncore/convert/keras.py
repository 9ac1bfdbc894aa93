"""From Keras: models of one layer after the other, by their configs and weights. It needs no Keras itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nncore.convert.place import append, place
from nncore.layers import Input, Layer, RMSNormalization
from nncore.layers.normalization import sample_axes
from nncore.models import Sequential
from nncore.saving.chains import as_sequential
from nncore.serialization import deserialize_keras_object

Config = Mapping[str, Any]


def from_keras(model: Any, custom_objects: Mapping[str, Any] | None = None) -> Sequential:
    """The model that predicts what a model of Keras 3 does, with the names of its layers and their weights.

    What it was compiled with is not asked for; ``compile`` the result to train it.

    Args:
        model: A built ``keras.Sequential``, or a functional ``keras.Model`` whose layers are one after the other; also
            with such models inside.
        custom_objects: Layers and functions written for nncore, to stand for those of your own, by their names.

    Raises:
        ValueError: for a layer that nncore does not have, or has otherwise, named with the reason, and for a model that
            is no chain of layers.
    """
    if not getattr(model, "built", False) or not hasattr(model, "layers"):
        raise ValueError(f"from_keras takes a built model of Keras. Received: {model!r}.")
    entries = _entries(model)
    made = Sequential([_input(model, entries)], name=model.name)
    theirs = {layer.name: layer for layer in model.layers}
    for index, entry in enumerate(_without_input(entries)):
        layer = theirs[entry["config"]["name"]]
        with place("from_keras", index, layer.name, type(layer).__name__):
            append(made, _layer(entry, custom_objects))
            _refuse_other_axes(made.layers[-1])
            made.layers[-1].set_weights(layer.get_weights())
    return made


def _entries(model: Any) -> list[Config]:
    """The configs of the layers in the order in which they follow one another, that of an ``Input`` first."""
    try:
        config: Config = model.get_config()
    except NotImplementedError:
        config = {}
    if "layers" not in config:
        raise ValueError(
            f"from_keras: {model.name!r} ({type(model).__name__}) must be a Sequential or a functional model, whose "
            "config lists its layers. Convert the parts that are, and write the rest for nncore."
        )
    kind = "Functional" if "input_layers" in config else "Sequential"
    try:
        found: list[Config] = as_sequential({"class_name": kind, "config": config})["config"]["layers"]
    except ValueError as why:
        raise ValueError(f"from_keras: {why}.") from None
    return found


def _without_input(entries: Sequence[Config]) -> list[Config]:
    return [entry for entry in entries if entry["class_name"] != "InputLayer"]


def _input(model: Any, entries: Sequence[Config]) -> Layer:
    """What the model takes, with the name and dtype of its ``Input`` where there is one."""
    shape = model.input_shape
    if not isinstance(shape, tuple) or not shape or not all(isinstance(n, int) for n in shape[1:]):
        raise ValueError(
            "from_keras: the model must have one input, whose shape is known but for the batch. "
            f"Received: {model.name!r} with input_shape={shape!r}."
        )
    given: Config = next((e["config"] for e in entries if e["class_name"] == "InputLayer"), {})
    return Input(shape[1:], dtype=given.get("dtype"), name=given.get("name"))


def _layer(entry: Config, custom_objects: Mapping[str, Any] | None) -> Layer:
    """The layer or model of a config, with fresh weights."""
    config = entry["config"]
    if entry["class_name"] == "Sequential":
        inside = Sequential(name=config["name"])
        for index, part in enumerate(_without_input(config["layers"])):
            with place(config["name"], index, part["config"]["name"], part["class_name"]):
                inside.add(_layer(part, custom_objects))
        return inside
    if _names_sparsemax(config):
        raise ValueError("sparsemax is another function in Keras, which takes off too much where several values stay.")
    made: Layer = deserialize_keras_object({**entry, "build_config": None}, custom_objects, family="layers")
    return made


def _names_sparsemax(config: Any) -> bool:
    if not isinstance(config, Mapping):
        return False
    return config.get("activation") == "sparsemax" or any(map(_names_sparsemax, config.values()))


def _refuse_other_axes(layer: Layer) -> None:
    """Keras broadcasts the scale of ``RMSNormalization`` along the last axes, whichever are normalized."""
    for part in [layer, *layer._inner_layers()]:
        if isinstance(part, RMSNormalization) and part.input_shape is not None:
            rank = len(part.input_shape)
            at = sample_axes("RMSNormalization", part.axis, part.input_shape)
            if at != list(range(rank - len(at), rank)):
                raise ValueError(f"RMSNormalization of other axes than the last is another function in Keras: {at}.")
