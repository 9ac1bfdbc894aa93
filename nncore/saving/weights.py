"""Weights in files: those of a model, without the model."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nncore.saving import files
from nncore.saving.files import WEIGHTS, Contents
from nncore.saving.names import named_variables
from nncore.variables import Variable

Array = np.ndarray[Any, Any]


def save_weights(model: Any, filepath: Any, overwrite: bool = True, max_shard_size: Any = None) -> None:
    """Write all weights of a model into a file.

    Args:
        model: A built model.
        filepath: Its name ends in ``.npz``, in ``.weights.h5`` (any ``.h5`` or ``.hdf5``), which needs h5py, or in
            ``.safetensors``, which needs safetensors.
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
    arrays = {name: variable.value for name, variable in named_variables(model)}
    files.write("save_weights", path, Contents(arrays), WEIGHTS)


def load_weights(model: Any, filepath: Any, skip_mismatch: bool = False) -> None:
    """Read all weights of a model from a file that nncore or Keras wrote.

    Args:
        model: A built model of the same layers.
        filepath: As for ``save_weights``.
        skip_mismatch: Leave weights alone that the file lacks, or has in another shape, with a warning.

    Raises:
        ValueError: where the file is damaged or does not fit the model; nothing has changed then.
        FileNotFoundError: where there is no such file.
        ImportError: where h5py is needed and missing.
    """
    path = files.path_of("load_weights", filepath, WEIGHTS)
    if not model.built:
        raise ValueError(f"load_weights: {model.name!r} isn't built and has no weights yet. Call build(input_shape).")
    arrays = files.read("load_weights", path, WEIGHTS).arrays
    found, problems = matching(model, {n: a for n, a in arrays.items() if not n.startswith("optimizer/")})
    if problems:
        message = f"load_weights: {path!r} does not fit {model.name!r}: {first_of(problems)}."
        if not skip_mismatch:
            raise ValueError(f"{message} Nothing has changed. skip_mismatch=True loads what fits.")
        warnings.warn(message, stacklevel=3)
    for variable, array in found:
        variable.assign(array)


def matching(model: Any, arrays: Mapping[str, Array]) -> tuple[list[tuple[Variable, Array]], list[str]]:
    """The weights of a model with their arrays, and what does not fit."""
    rest = dict(arrays)
    found, problems = [], []
    for name, variable in named_variables(model):
        array = rest.pop(name, None)
        if array is None:
            problems.append(f"there is no {name!r} for {variable.path!r}")
        elif array.shape != variable.shape:
            problems.append(f"{name!r} has shape {array.shape}, and {variable.path!r} has {variable.shape}")
        elif array.dtype.kind not in ("biu" if variable.value.dtype.kind == "i" else "biuf"):
            problems.append(f"{name!r} holds {array.dtype}, and {variable.path!r} holds {variable.dtype}")
        else:
            found.append((variable, array))
    return found, [*problems, *(f"{name!r} is no weight of the model" for name in rest)]


def first_of(problems: Sequence[str]) -> str:
    """The first of several problems, and how many more there are."""
    return problems[0] + (f" (and {len(problems) - 1} more)" if len(problems) > 1 else "")
