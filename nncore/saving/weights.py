"""Weights in files: those of a model, without the model."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nncore.saving import files
from nncore.saving.files import WEIGHTS, WITH_WEIGHTS, Contents
from nncore.saving.names import named_layers, named_variables
from nncore.variables import Variable

Array = np.ndarray[Any, Any]


def save_weights(model: Any, filepath: Any, overwrite: bool = True, max_shard_size: Any = None) -> None:
    """Write all weights of a model into a file.

    Args:
        model: A built model.
        filepath: Its name ends in ``.npz``; in ``.weights.h5``, or another ``.h5`` or ``.hdf5``, for which Keras has
            the layout of Keras 2, which need h5py; or in ``.safetensors``, which needs safetensors.
        overwrite: Whether a file that is there may be replaced.
        max_shard_size: Must be ``None``: weights go into one file.

    Raises:
        ValueError: for a model that is not built, and another name.
        FileExistsError: where a file is there and may not be replaced.
        ImportError: where h5py is needed and missing.
        OSError: where the file cannot be written; what was there before is there still.
    """
    path = files.path_of("save_weights", filepath, WEIGHTS)
    if max_shard_size is not None:
        raise ValueError(f"save_weights: max_shard_size must be None. Received: max_shard_size={max_shard_size!r}.")
    if not model.built:
        raise ValueError(f"save_weights: {model.name!r} isn't built and has no weights yet. Call build(input_shape).")
    if not overwrite and os.path.exists(path):
        raise FileExistsError(f"save_weights: {path!r} is there already, and overwrite=False.")
    files.write("save_weights", path, weights_of(model), WEIGHTS)


def load_weights(model: Any, filepath: Any, skip_mismatch: bool = False) -> None:
    """Read all weights of a model from a file that nncore or Keras wrote.

    Args:
        model: A built model of the same layers.
        filepath: As for ``save_weights``, or a whole model in any format, ``.keras`` too. Weights in the layout of
            Keras 2 go to the layers that have any in their order, whatever these are called.
        skip_mismatch: Leave weights alone that the file lacks, or has in another shape, with a warning.

    Raises:
        ValueError: where the file is damaged or does not fit the model; nothing has changed then.
        FileNotFoundError: where there is no such file.
        ImportError: where h5py is needed and missing.
    """
    path = files.path_of("load_weights", filepath, WITH_WEIGHTS)
    if not model.built:
        raise ValueError(f"load_weights: {model.name!r} isn't built and has no weights yet. Call build(input_shape).")
    found, problems = matching(model, files.read("load_weights", path, WITH_WEIGHTS))
    if problems:
        message = f"load_weights: {path!r} does not fit {model.name!r}: {first_of(problems)}."
        if not skip_mismatch:
            raise ValueError(f"{message} Nothing has changed. skip_mismatch=True loads what fits.")
        warnings.warn(message, stacklevel=3)
    values = [np.asarray(array, variable.dtype) for variable, array in found]  # where that fails, nothing has changed
    for (variable, _), value in zip(found, values, strict=True):
        variable.assign(value)


def weights_of(model: Any) -> Contents:
    """The weights of a model, as files have them."""
    return Contents(
        {name: variable.value for name, variable in named_variables(model)},
        names={f"{place}vars": layer.name for place, layer in named_layers(model)},
        by_layer={layer.name: {v.path: v.value for v in _trained_first(layer)} for layer in model.layers},
    )


def matching(model: Any, contents: Contents) -> tuple[list[tuple[Variable, Array]], list[str]]:
    """The weights of a model with their arrays, and what does not fit."""
    if contents.by_layer:
        return _matching_layers(model, contents.by_layer)
    rest = {name: array for name, array in contents.arrays.items() if not name.startswith("optimizer/")}
    found, problems = [], []
    for name, variable in named_variables(model):
        array = rest.pop(name, None)
        problem = f"there is no {name!r} for {variable.path!r}" if array is None else _misfit(name, array, variable)
        if array is None or problem:
            problems.append(problem)
        else:
            found.append((variable, array))
    return found, [*problems, *(f"{name!r} is no weight of the model" for name in rest)]


def _matching_layers(
    model: Any, by_layer: Mapping[str, Mapping[str, Array]]
) -> tuple[list[tuple[Variable, Array]], list[str]]:
    """The same for weights by layer: layers that have any match in their order, whatever their names."""
    layers = [layer for layer in model.layers if layer.weights]
    saved = [(name, arrays) for name, arrays in by_layer.items() if arrays]
    found, problems = [], []
    for layer, (layer_name, arrays) in zip(layers, saved, strict=False):
        variables = _trained_first(layer)
        if len(arrays) != len(variables):
            problems.append(f"{layer_name!r} has {len(arrays)} weights, and {layer.name!r} has {len(variables)}")
            continue
        for variable, (name, array) in zip(variables, arrays.items(), strict=True):
            problem = _misfit(name, array, variable)
            if problem:
                problems.append(problem)
            else:
                found.append((variable, array))
    if len(saved) != len(layers):
        problems.append(f"there are {len(saved)} layers with weights, and the model has {len(layers)}")
    return found, problems


def _misfit(name: str, array: Array, variable: Variable) -> str:
    """Why a variable cannot take an array; empty where it can."""
    if array.shape != variable.shape:
        return f"{name!r} has shape {array.shape}, and {variable.path!r} has {variable.shape}"
    if array.dtype.kind not in ("biu" if variable.value.dtype.kind == "i" else "biuf"):
        return f"{name!r} holds {array.dtype}, and {variable.path!r} holds {variable.dtype}"
    return ""


def _trained_first(layer: Any) -> list[Variable]:
    """The weights of a layer in the order of Keras 2: those that training changes come first."""
    return [*layer.trainable_weights, *layer.non_trainable_weights]


def first_of(problems: Sequence[str]) -> str:
    """The first of several problems, and how many more there are."""
    return problems[0] + (f" (and {len(problems) - 1} more)" if len(problems) > 1 else "")
