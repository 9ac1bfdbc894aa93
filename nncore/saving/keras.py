"""``.keras``: Keras's archives of whole models, a zip file of two JSON texts and the weights in HDF5.

What Keras has no place for stands in ``metadata.json``, whose contents it does not look at.
"""

from __future__ import annotations

import json
import os
import time
import zipfile
from typing import Any

from nncore.saving import archives, hdf5
from nncore.saving.chains import as_sequential, moved
from nncore.saving.compiled import for_keras
from nncore.saving.files import Contents, check_text
from nncore.saving.keras_2 import modern

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"


def write(path: str, contents: Contents) -> None:
    """Write ``contents`` into a new file."""
    weights = hdf5.image(lambda file: hdf5.put(file, contents))
    described = {
        "keras_version": hdf5.KERAS_VERSION, "date_saved": time.strftime("%Y-%m-%d@%H:%M:%S"),
        "metadata": contents.metadata,
    }  # fmt: skip
    config = {**(contents.config or {})}
    config["compile_config"] = for_keras(config.get("compile_config"))
    with zipfile.ZipFile(path, "x") as archive:
        archive.writestr(METADATA, json.dumps(described))
        archive.writestr(CONFIG, json.dumps(config))
        archive.writestr(WEIGHTS, weights)


def read(path: str, arrays: bool = True) -> Contents:
    """What is in a file; without its ``arrays``, config and metadata alone."""
    hdf5.h5py()
    size = os.path.getsize(path)
    with archives.opened(path) as archive:
        config = modern(_text(archive, CONFIG, size))
        described = _text(archive, METADATA, size) if METADATA in archive.namelist() else {}
        metadata = {**described, **described.pop("metadata", {})}
        if not arrays:
            return Contents({}, as_sequential(config), metadata)
        with hdf5.opened_in(archives.content(archive, WEIGHTS)) as file:
            found = hdf5.weights(hdf5.Items(file, size)).arrays
    return Contents(moved(config, found), as_sequential(config), metadata)


def _text(archive: zipfile.ZipFile, name: str, size: int) -> Any:
    """What a text in an archive of ``size`` bytes says."""
    check_text(name, archive.getinfo(name).file_size, size)
    return json.loads(archives.content(archive, name))
