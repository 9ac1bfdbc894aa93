"""From Keras: models of one layer after the other, by their configs and weights. It needs no Keras itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nncore.convert.place import append, place
from nncore.layers import Input, Layer, RMSNormalization
from nncore.layers.normalization import sample_axes
from nncore.models import Sequential
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
    config = _config_of(model)
    made = Sequential([_input(model, config)], name=model.name)
    theirs = {layer.name: layer for layer in model.layers}
    for index, entry in enumerate(chain(config)):
        layer = theirs[entry["config"]["name"]]
        with place("from_keras", index, layer.name, type(layer).__name__):
            append(made, _layer(entry, custom_objects))
            _refuse_other_axes(made.layers[-1])
            made.layers[-1].set_weights(layer.get_weights())
    return made


def _config_of(model: Any) -> Config:
    try:
        config: Config = model.get_config()
    except NotImplementedError:
        config = {}
    if "layers" not in config:
        raise ValueError(
            f"from_keras: {model.name!r} ({type(model).__name__}) must be a Sequential or a functional model, whose "
            "config lists its layers. Convert the parts that are, and write the rest for nncore."
        )
    return config


def _input(model: Any, config: Config) -> Layer:
    """What the model takes, with the name and dtype of its ``Input`` where there is one."""
    shape = model.input_shape
    if not isinstance(shape, tuple) or not shape or not all(isinstance(n, int) for n in shape[1:]):
        raise ValueError(
            "from_keras: the model must have one input, whose shape is known but for the batch. "
            f"Received: {model.name!r} with input_shape={shape!r}."
        )
    given: Config = next((e["config"] for e in config["layers"] if e["class_name"] == "InputLayer"), {})
    return Input(shape[1:], dtype=given.get("dtype"), name=given.get("name"))


def _layer(entry: Config, custom_objects: Mapping[str, Any] | None) -> Layer:
    """The layer or model of a config, with fresh weights."""
    config = entry["config"]
    if entry["class_name"] in ("Sequential", "Functional", "Model"):
        inside = Sequential(name=config["name"])
        for index, part in enumerate(chain(config)):
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


def chain(config: Config) -> list[Config]:
    """The configs of a model's layers in the order in which they follow one another, without its ``Input``.

    Args:
        config: That of a ``Sequential`` or functional model of Keras.

    Raises:
        ValueError: for a functional model whose layers are no chain from one input to one output.
    """
    entries = [entry for entry in config["layers"] if entry["class_name"] != "InputLayer"]
    if "input_layers" not in config:
        return entries
    name = config["name"]
    at, end = (_only(name, what, config[what]) for what in ("input_layers", "output_layers"))
    followers: dict[str, list[Config]] = {}
    for entry in entries:
        followers.setdefault(_source(entry), []).append(entry)
    ordered: list[Config] = []
    while at != end:
        following = followers.get(at, [])
        if len(following) != 1:
            raise ValueError(
                f"from_keras: the layers of {name!r} must follow one another. Received: {len(following)} layers behind "
                f"{at!r}."
            )
        ordered.append(following[0])
        at = following[0]["name"]
    if len(ordered) != len(entries):
        raise ValueError(f"from_keras: the layers of {name!r} must follow one another. Some lead aside.")
    return ordered


def _only(model: str, what: str, ends: Any) -> str:
    """The layer at the one end of a functional model."""
    if ends and isinstance(ends[0], str):
        return str(ends[0])
    if len(ends) != 1 or isinstance(ends, Mapping):
        raise ValueError(f"from_keras: {model!r} must have one input and one output. Received: {what}={ends!r}.")
    return str(ends[0][0])


def _source(entry: Config) -> str:
    """The layer whose output a layer of a functional model takes."""
    calls = entry["inbound_nodes"]
    if len(calls) != 1:
        raise ValueError(f"from_keras: {entry['name']!r} is called {len(calls)} times; nncore's layers run once.")
    args, kwargs = calls[0]["args"], {k: v for k, v in calls[0]["kwargs"].items() if v is not None}
    if len(args) != 1 or not isinstance(args[0], Mapping) or args[0].get("class_name") != "__keras_tensor__" or kwargs:
        raise ValueError(
            f"from_keras: {entry['name']!r} must be called with the output of one layer alone. Received: "
            f"{len(args)} arguments and {sorted(kwargs)}."
        )
    return str(args[0]["config"]["keras_history"][0])
