"""``.h5``: whole models, or weights alone, as Keras 2 has them and Keras 3 reads and writes them still.

A whole model has its config in attributes of the file, and two groups, ``model_weights`` and ``optimizer_weights``.
Weights alone stand at the root as they do in ``model_weights``. What Keras has no place for is in an attribute more.

Keras 3 does not get a state out of ``optimizer_weights``, not even its own: it builds the optimizer for no weights, and
then cannot train. So nncore writes it into a group that Keras does not look for, and there training begins anew.
"""

from __future__ import annotations

import json
import os
from typing import Any

from nncore.saving import hdf5
from nncore.saving.chains import as_sequential
from nncore.saving.compiled import as_training_config, of_training_config
from nncore.saving.files import Contents
from nncore.saving.keras_2 import modern

METADATA = "metadata"
STATE = ("optimizer_state", "optimizer_weights")
"""Groups of the optimizer's variables, nncore's and Keras's."""


def write(path: str, contents: Contents) -> None:
    """Write ``contents`` into a new file."""
    hdf5.create(path, lambda file: _put(file, contents))


def _put(file: Any, contents: Contents) -> None:
    config, texts = contents.config, {METADATA: contents.metadata}
    if config is None:
        hdf5.put_layers(file, contents.by_layer)
        return
    texts["model_config"] = {key: config[key] for key in ("class_name", "config")}
    if config.get("compile_config"):
        texts["training_config"] = as_training_config(config["compile_config"])
    for name, value in texts.items():
        file.attrs[name] = json.dumps(value)
    file.attrs["backend"], file.attrs["keras_version"] = "nncore", hdf5.KERAS_VERSION
    hdf5.put_layers(file.create_group("model_weights"), contents.by_layer)
    state = {contents.names.get(n, n): a for n, a in contents.arrays.items() if n.startswith("optimizer/")}
    if state:
        hdf5.put_listed(file.create_group(STATE[0]), state)


def read(path: str, arrays: bool = True) -> Contents:
    """What is in a file; without its ``arrays``, config and metadata alone."""
    with hdf5.opened(path) as file:
        texts = {name: json.loads(hdf5.value_of(file, name)) for name in ("model_config", "training_config", METADATA)
                 if name in file.attrs}  # fmt: skip
        if not arrays:
            return Contents({}, texts.get("model_config"), texts.get(METADATA, {}))
        found = hdf5.Items(file, os.path.getsize(path))
        contents = hdf5.weights(found)
        if "model_config" not in texts:
            return contents
        state = next((hdf5.listed(found, place) for place in STATE if place in found.groups), {})
        if _version(file).startswith(("1.", "2")):
            state = {name: array for name, array in state.items() if "iter" in name}  # the rest is in another order
    config = as_sequential(modern(_full(texts["model_config"])))
    if "training_config" in texts:
        config["compile_config"] = of_training_config(modern(texts["training_config"]))
    variables = {}
    for i, (name, array) in enumerate(state.items()):
        variables[name if name.startswith("optimizer/resting/") else f"optimizer/vars/{i}"] = array
    return Contents(variables, config, texts.get(METADATA, {}), by_layer=contents.by_layer)


def _version(file: Any) -> str:
    return str(hdf5.value_of(file, "keras_version")) if "keras_version" in file.attrs else "2"


def _full(config: Any) -> dict[str, Any]:
    """The config of a model; before Keras 2.3 that of a ``Sequential`` was the list of its layers."""
    inner = config["config"]
    return {**config, "module": "keras", "config": {"layers": inner} if isinstance(inner, list) else dict(inner)}
