"""Whole models in files: architecture, weights, how they are trained, and how far that has come."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from nncore import backends
from nncore.saving import files
from nncore.saving.files import MODELS, Contents
from nncore.saving.names import named_variables
from nncore.saving.weights import first_of, matching
from nncore.serialization import deserialize_keras_object, serialize_keras_object
from nncore.version import __version__

FILE_VERSION = 1
"""Goes up when older versions of nncore could not read a file rightly."""


def save_model(
    model: Any, filepath: Any, overwrite: bool = True, zipped: Any = None, *, metadata: Mapping[str, Any] | None = None
) -> None:
    """Write a whole model into a file: its layers, weights, what ``compile`` chose, and the optimizer's state.

    Args:
        model: A ``Sequential``.
        filepath: Its name ends in ``.npz``.
        overwrite: Whether a file that is there may be replaced.
        zipped: Must be ``None`` or ``True``: a model is one file.
        metadata: What else the file is to hold, JSON-able values by name; ``read_metadata`` returns it.

    Raises:
        ValueError: for another name, and a model with parts that no config can describe, such as a lambda.
        FileExistsError: where a file is there and may not be replaced.
        ImportError: where the format needs a package that is missing.
        OSError: where the file cannot be written; what was there before is there still.
    """
    path = files.path_of("save_model", filepath, MODELS)
    if zipped not in (None, True):
        raise ValueError(f"save_model: zipped must be None or True. Received: zipped={zipped!r}.")
    if not overwrite and os.path.exists(path):
        raise FileExistsError(f"save_model: {path!r} is there already, and overwrite=False.")
    files.write(path, contents_of(model, metadata or {}), MODELS)


def load_model(filepath: Any, custom_objects: Mapping[str, Any] | None = None, compile: bool = True,
               safe_mode: bool = True) -> Any:  # fmt: skip
    """The model in a file that nncore or Keras wrote. No code from the file is run.

    Args:
        filepath: A file of one of the formats of ``save_model``.
        custom_objects: Classes and functions of your own by name.
        compile: Whether to compile it as it was, with the optimizer's state.
        safe_mode: Without effect: code, such as a lambda's, is never read from a file.

    Raises:
        ValueError: where the file is damaged, holds weights alone, or a layer nncore does not know.
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

    Raises:
        ValueError, FileNotFoundError, ImportError: as ``load_model``.
    """
    path = files.path_of("read_metadata", filepath, MODELS)
    return dict(files.read("read_metadata", path, MODELS).metadata)


def contents_of(model: Any, metadata: Mapping[str, Any]) -> Contents:
    """What a file of a whole model holds."""
    arrays = {name: variable.value for name, variable in named_variables(model)}
    optimizer = model.optimizer
    own: dict[str, Any] = {
        "file_version": FILE_VERSION, "version": __version__, "numpy": np.__version__,
        "backend": backends.config_summary(),
        "input_shape": model.input_shape if model.built else None,
        "output_shape": model.output_shape if model.built else None,
    }  # fmt: skip
    if optimizer is not None and optimizer.built:
        arrays |= {f"optimizer/vars/{i}": variable.value for i, variable in enumerate(optimizer.variables)}
        own["steps"] = optimizer.steps
        if isinstance(optimizer._learning_rate, float):
            own["learning_rate"] = optimizer._learning_rate  # Keras's variable has it as float32
    if model.history is not None and model.history.epoch:
        own["epochs"] = len(model.history.epoch)
        own["metrics"] = {name: float(values[-1]) for name, values in model.history.history.items() if values}
    return Contents(arrays, serialize_keras_object(model), {**metadata, "nncore": own})


def model_of(contents: Contents, path: str, custom_objects: Mapping[str, Any] | None, compile: bool) -> Any:
    """The model that ``contents`` describe."""
    config = dict(contents.config or {})
    if not compile:
        config.pop("compile_config", None)
    own = contents.metadata.get("nncore", {})
    if own.get("file_version", 1) > FILE_VERSION:
        raise ValueError(
            f"load_model: {path!r} is of version {own['file_version']}, written by nncore {own.get('version')}. "
            f"This is nncore {__version__}, which reads up to version {FILE_VERSION}: upgrade it."
        )
    model = deserialize_keras_object(config, custom_objects, family="models")
    arrays = dict(contents.arrays)
    state = [arrays.pop(name) for name in [f"optimizer/vars/{i}" for i in range(len(arrays))] if name in arrays]
    found, problems = matching(model, arrays)
    if problems:
        raise ValueError(f"load_model: {path!r} does not hold together: {first_of(problems)}.")
    optimizer = model.optimizer
    if optimizer is not None and state:
        optimizer.build(model.trainable_variables)
        optimizer.set_weights(state)
        optimizer.steps = own.get("steps", optimizer.steps)
        if "learning_rate" in own:
            optimizer.learning_rate = own["learning_rate"]
    for variable, array in found:
        variable.assign(array)
    return model
