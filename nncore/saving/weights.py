"""Weights in files: ``.weights.h5`` in Keras's layout, by h5py, and ``.npz``, by NumPy alone.

Both hold the same arrays under the same names, Keras's: ``layers/dense_1/vars/0`` is the first weight of the model's
second ``Dense``, whatever the layer's own name; layers of models inside stand under ``layers/sequential/layers/…``.

A file is written beside its place and moved there when it is whole and on the disk: whoever looks finds the old file or
the new one. Loading looks at everything before it changes anything.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from nncore.layers.base import Layer
from nncore.names import snake_case
from nncore.variables import Variable

Array = np.ndarray[Any, Any]

H5 = (".h5", ".hdf5")
"""How the names of HDF5 files end."""


def save_weights(model: Any, filepath: Any, overwrite: bool = True, max_shard_size: Any = None) -> None:
    """Write all weights of a model into a file.

    Args:
        model: A built model.
        filepath: Its name ends in ``.weights.h5`` (any ``.h5`` or ``.hdf5``), which needs h5py, or in ``.npz``.
        overwrite: Whether a file that is there may be replaced.
        max_shard_size: Must be ``None``: weights go into one file.

    Raises:
        ValueError: for a model that is not built, and another name.
        FileExistsError: where a file is there and may not be replaced.
        ImportError: where h5py is needed and missing.
        OSError: where the file cannot be written; what was there before is there still.
    """
    path = _checked("save_weights", filepath)
    if max_shard_size is not None:
        raise ValueError(f"save_weights: max_shard_size must be None. Received: max_shard_size={max_shard_size!r}.")
    if not model.built:
        raise ValueError(f"save_weights: {model.name!r} isn't built and has no weights yet. Call build(input_shape).")
    if not overwrite and os.path.exists(path):
        raise FileExistsError(f"save_weights: {path!r} is there already, and overwrite=False.")
    arrays = {name: variable.value for name, variable in named_variables(model)}
    replace_file(path, (lambda beside: _write_h5(beside, arrays)) if path.endswith(H5) else _npz_writer(arrays))


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
    path = _checked("load_weights", filepath)
    if not model.built:
        raise ValueError(f"load_weights: {model.name!r} isn't built and has no weights yet. Call build(input_shape).")
    if not os.path.isfile(path):
        raise FileNotFoundError(f"load_weights: there is no file {path!r}.")
    try:
        arrays = _read_h5(path) if path.endswith(H5) else _read_npz(path)
    except ImportError:
        raise
    except Exception as error:
        raise ValueError(f"load_weights: {path!r} is damaged, or is no file of weights ({error}).") from error
    found, problems = [], []
    for name, variable in named_variables(model):
        array = arrays.pop(name, None)
        if array is None:
            problems.append(f"there is no {name!r} for {variable.path!r}")
        elif array.shape != variable.shape:
            problems.append(f"{name!r} has shape {array.shape}, and {variable.path!r} has {variable.shape}")
        else:
            found.append((variable, array))
    problems += [f"{name!r} is no weight of the model" for name in arrays if not name.startswith("optimizer/")]
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        message = f"load_weights: {path!r} does not fit {model.name!r}: {problems[0]}{more}."
        if not skip_mismatch:
            raise ValueError(f"{message} Nothing has changed. skip_mismatch=True loads what fits.")
        warnings.warn(message, stacklevel=3)
    for variable, array in found:
        variable.assign(array)


def named_variables(layer: Any, place: str = "") -> Iterator[tuple[str, Variable]]:
    """The variables of a model or layer with the names that files have for them."""
    for i, variable in enumerate([*layer._trained, *layer._kept]):
        yield f"{place}vars/{i}", variable
    inside: dict[str, Any] = {"layers": layer.layers} if hasattr(layer, "layers") else _parts(layer)
    for attribute, value in inside.items():
        if isinstance(value, Layer):
            yield from named_variables(value, f"{place}{attribute}/")
            continue
        counts: dict[str, int] = {}
        for part in value:
            stem = snake_case(type(part).__name__)
            count = counts[stem] = counts.get(stem, -1) + 1
            yield from named_variables(part, f"{place}{attribute}/{stem}{f'_{count}' if count else ''}/")


def _parts(layer: Any) -> dict[str, Any]:
    """The layers that a layer of the user's keeps in attributes, and its lists of them."""
    inner = set(map(id, layer._inner_layers()))
    parts = {}
    for name, value in vars(layer).items():
        if id(value) in inner:
            parts[name] = value
        elif isinstance(value, list | tuple) and any(id(item) in inner for item in value):
            parts[name] = [item for item in value if id(item) in inner]
    return parts


def replace_file(path: str, write: Callable[[str], None]) -> None:
    """Let ``write`` make a file beside ``path``, and move it there once it is on the disk."""
    folder, name = os.path.split(os.path.abspath(path))
    beside = os.path.join(folder, f".{name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        write(beside)
        _flush(beside)
        os.replace(beside, path)
    except BaseException:
        if os.path.exists(beside):
            os.remove(beside)
        raise
    _flush(folder)


def _flush(path: str) -> None:
    """Wait until a file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _checked(method: str, filepath: Any) -> str:
    path = os.fspath(filepath)
    if not isinstance(path, str) or not path.endswith((*H5, ".npz")):
        raise ValueError(f"{method}: the file's name must end in .weights.h5 or .npz. Received: {filepath!r}.")
    return path


# Formats.


def _npz_writer(arrays: Mapping[str, Array]) -> Callable[[str], None]:
    def write(path: str) -> None:
        with open(path, "xb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    return write


def _read_npz(path: str) -> dict[str, Array]:
    with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
        return dict(file)


def _h5py() -> Any:
    try:
        import h5py
    except ImportError:
        raise ImportError(
            "Files of weights in HDF5 need h5py: pip install 'nncore[keras]'. A name that ends in .npz needs nothing."
        ) from None
    return h5py


def _write_h5(path: str, arrays: Mapping[str, Array]) -> None:
    with _h5py().File(path, "x") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array)


def _read_h5(path: str) -> dict[str, Array]:
    h5py = _h5py()
    arrays: dict[str, Array] = {}

    def keep(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            arrays[name] = np.asarray(item)

    with h5py.File(path, "r") as file:
        if "layer_names" in file.attrs:
            raise ValueError("it is in the layout of Keras 2, which names weights by layer")
        file.visititems(keep)
    return arrays
