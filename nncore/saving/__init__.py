"""Keras's ``saving``: objects as configs and back, models and weights in files."""

from nncore.saving.weights import load_weights, save_weights
from nncore.saving.whole import load_model, read_metadata, save_model
from nncore.serialization import (
    CustomObjectScope,
    custom_object_scope,
    deserialize_keras_object,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
    serialize_keras_object,
)

__all__ = [
    "CustomObjectScope", "custom_object_scope", "deserialize_keras_object", "get_custom_objects", "get_registered_name",
    "get_registered_object", "load_model", "load_weights", "read_metadata", "register_keras_serializable", "save_model",
    "save_weights", "serialize_keras_object",
]  # fmt: skip
