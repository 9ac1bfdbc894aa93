"""Whole models in files: architecture, weights, how they are trained, and how far that has come."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from nncore import allowance, backends, random
from nncore.arguments import is_number
from nncore.saving import files
from nncore.saving.files import FILE_VERSION, MODELS, Contents
from nncore.saving.state import restore, training_state, with_chosen_loss
from nncore.saving.weights import first_of, matching, weights_of
from nncore.serialization import custom_object_scope, deserialize_keras_object, serialize_keras_object
from nncore.version import __version__


def save_model(
    model: Any, filepath: Any, overwrite: bool = True, zipped: Any = None, *, metadata: Mapping[str, Any] | None = None
) -> None:
    """Write a whole model into a file: its layers, weights, what ``compile`` chose, and the optimizer's state.

    Args:
        model: A ``Sequential``.
        filepath: Its name ends in ``.npz``, which needs nothing but NumPy; in ``.keras``, ``.h5`` or ``.hdf5``, which
            Keras reads, too; or in ``.safetensors``.
        overwrite: Whether a file that is there may be replaced.
        zipped: Must be ``None`` or ``True``: a model is one file.
        metadata: What else the file is to hold, JSON-able values by name; ``read_metadata`` returns it.

    Raises:
        ValueError: for another name, metadata that JSON cannot hold, and a model with parts that no config can
            describe, such as a lambda.
        FileExistsError: where a file is there and may not be replaced.
        ImportError: where the format needs a package that is missing.
        OSError: where the file cannot be written; what was there before is there still.
    """
    path = files.path_of("save_model", filepath, MODELS)
    if zipped not in (None, True):
        raise ValueError(f"save_model: zipped must be None or True. Received: zipped={zipped!r}.")
    if not overwrite and os.path.exists(path):
        raise FileExistsError(f"save_model: {path!r} is there already, and overwrite=False.")
    files.write("save_model", path, contents_of(model, _checked(metadata or {})), MODELS)


def load_model(filepath: Any, custom_objects: Mapping[str, Any] | None = None, compile: bool = True,
               safe_mode: bool = True) -> Any:  # fmt: skip
    """The model in a file that nncore or Keras wrote. No code from the file is run.

    Classes are nncore's own, or yours. What the file says of sizes is checked before memory is taken for it, which is
    never much more than the file has: see ``docs/saving.md``. Seeds that are drawn later do not depend on it.

    Args:
        filepath: A file of one of the formats of ``save_model``.
        custom_objects: Classes and functions of your own by name.
        compile: Whether to compile it as it was, with the optimizer's state.
        safe_mode: Without effect: code, such as a lambda's, is never read from a file.

    Raises:
        ValueError: where the file is damaged, of a newer version, holds weights alone, or a layer nncore does not know.
        FileNotFoundError: where there is no such file.
        ImportError: where the format needs a package that is missing.
    """
    path = files.path_of("load_model", filepath, MODELS)
    contents = files.read("load_model", path, MODELS)
    if contents.config is None:
        raise ValueError(f"load_model: {path!r} holds weights alone: make the model, and call its load_weights.")
    return model_of(contents, path, custom_objects, compile)


def read_metadata(filepath: Any) -> dict[str, Any]:
    """The metadata in a file of a whole model: nncore's own under ``"nncore"``, and what ``save_model`` was given.

    The arrays are not read, however large the file is.

    Raises:
        ValueError, FileNotFoundError, ImportError: as ``load_model``.
    """
    path = files.path_of("read_metadata", filepath, MODELS)
    return dict(files.read("read_metadata", path, MODELS, arrays=False).metadata)


def _checked(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """The user's metadata; ``ValueError`` where JSON cannot hold it."""
    import json

    try:
        json.dumps(dict(metadata))
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"save_model: metadata must be what JSON can hold ({error}).") from error
    if "nncore" in metadata:
        raise ValueError("save_model: the name 'nncore' in metadata is nncore's own: use another.")
    return metadata


def contents_of(model: Any, metadata: Mapping[str, Any]) -> Contents:
    """What a file of a whole model holds."""
    config = serialize_keras_object(model)
    weights = weights_of(model)
    arrays, names = weights.arrays, weights.names
    own: dict[str, Any] = {
        "file_version": FILE_VERSION, "version": __version__, "numpy": np.__version__,
        "python": ".".join(map(str, sys.version_info[:3])), "backend": backends.config_summary(),
        "input_shape": model.input_shape if model.built else None,
        "output_shape": model.output_shape if model.built else None,
    }  # fmt: skip
    if model.compiled:
        config = with_chosen_loss(model, config)
        state, state_names, of_training = training_state(model)
        arrays, names, own = {**arrays, **state}, {**names, **state_names}, own | of_training
    if model.history is not None and model.history.epoch:
        own["epochs"] = len(model.history.epoch)
        last = {name: values[-1] for name, values in model.history.history.items() if values}
        own["metrics"] = {name: float(value) for name, value in last.items() if is_number(value)}
    return Contents(arrays, config, {**metadata, "nncore": own}, names, weights.by_layer)


def model_of(contents: Contents, path: str, custom_objects: Mapping[str, Any] | None, compile: bool) -> Any:
    """The model that ``contents`` describe; ``ValueError`` where they do not hold together.

    The global stream of seeds stays where it is.
    """
    state = {name: array for name, array in contents.arrays.items() if name.startswith("optimizer/")}
    weights = [array for name, array in contents.arrays.items() if name not in state]
    weights += [array for arrays in contents.by_layer.values() for array in arrays.values()]
    try:
        with allowance.of_file(sum(array.size for array in weights)), random.seeds_from(_branch()):
            return _made(contents, state if compile else {}, custom_objects, compile)
    except Exception as error:
        raise ValueError(f"load_model: {path!r} cannot be loaded: {files.say(error)}.") from error


def _branch() -> int:
    """The seed of a stream that goes off from the global one."""
    position = random.position()
    return int.from_bytes(os.urandom(16), "little") if position is None else position ^ 2**64


def _made(contents: Contents, state: Mapping[str, Any], custom_objects: Mapping[str, Any] | None, compile: bool) -> Any:
    config = dict(contents.config or {})
    compiled = config.pop("compile_config", None)
    model = deserialize_keras_object(config, custom_objects, family="models")
    if not hasattr(model, "compile_from_config"):
        raise ValueError(f"it describes no model, but {model!r:.60}")
    found, problems = matching(model, contents)
    if problems:
        raise ValueError(first_of(problems))
    for variable, array in found:
        variable.assign(array)
    if compile and compiled:
        try:
            with custom_object_scope(custom_objects):
                model.compile_from_config(compiled)
        except ValueError as error:
            raise ValueError(f"it cannot be compiled as it was, which compile=False leaves out: {error}") from error
    if model.compiled:
        restore(model, state, contents.metadata.get("nncore", {}))
    return model
