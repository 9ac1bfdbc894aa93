"""Models made from models: clones, and what a JSON text describes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nncore.layers.base import Layer
from nncore.layers.core import InputLayer
from nncore.serialization import deserialize_keras_object


def clone_model(
    model: Any, input_tensors: Any = None, clone_function: Callable[[Layer], Layer] | None = None,
    call_function: Any = None, recursive: bool = False,
) -> Any:  # fmt: skip
    """A model of equal layers under the same names, with fresh weights.

    Args:
        model: A ``Sequential``.
        input_tensors: An ``Input`` to take the place of the model's, or ``None``.
        clone_function: Makes the new layer of an old one; by default from its config.
        call_function: Must be ``None``.
        recursive: Whether ``clone_function`` is asked for the layers of models inside too, instead of for the models.

    Raises:
        ValueError: for what is not a model, and for arguments outside of these.
    """
    if not hasattr(model, "layers"):
        raise ValueError(f"clone_model takes a Sequential. Received: {model!r}.")
    if call_function is not None:
        raise ValueError(f"clone_model: call_function must be None. Received: {call_function!r}.")
    if input_tensors is not None and not isinstance(input_tensors, InputLayer):
        raise ValueError(f"clone_model: input_tensors must be an Input or None. Received: {input_tensors!r}.")

    def clone(layer: Layer) -> Layer:
        if recursive and hasattr(layer, "layers"):
            inner: Layer = _model_of(layer, list(map(clone, layer.layers)))
            return inner
        copy = _again(layer) if clone_function is None else clone_function(layer)
        if not isinstance(copy, Layer):
            raise ValueError(f"clone_model: clone_function must return a layer. Received: {copy!r} for {layer!r}.")
        return copy

    first = model.input_layer if input_tensors is None else input_tensors
    layers = [*([] if first is None else [_again(first)]), *map(clone, model.layers)]
    return _model_of(model, layers)


def _model_of(model: Any, layers: list[Layer]) -> Any:
    return type(model)(layers, trainable=model.trainable, name=model.name)


def _again(layer: Layer) -> Layer:
    return type(layer).from_config(layer.get_config())


def model_from_json(json_string: str, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The ``Sequential`` that its ``to_json``, nncore's or Keras's, described, compiled if it was, with fresh weights.

    Args:
        json_string: The JSON text.
        custom_objects: Classes and functions of your own by name.

    Raises:
        ValueError: for other JSON, and for what nncore does not know.
    """
    import json

    whole = json.loads(json_string)
    if not isinstance(whole, dict) or not isinstance(whole.get("config"), dict) or "layers" not in whole["config"]:
        raise ValueError("model_from_json takes what Sequential.to_json gave. Received other JSON.")
    return deserialize_keras_object(whole, custom_objects, family="models")
