"""``.safetensors``: arrays behind a header that says where they are, by the package of that name.

Arrays stand under their names, in whole models and in files of weights alone. The configuration and metadata of a model
are one JSON text, ``"nncore"`` in the header's ``__metadata__``. The package checks that names, shapes and places fit
the file before it reads an array; there are no checksums, so that a flipped bit of a value is not found.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore.saving import files
from nncore.saving.files import Contents

TEXT = "nncore"


def safetensors() -> Any:
    """The package; ``ImportError`` where it is missing."""
    try:
        import safetensors
        import safetensors.numpy
    except ImportError:
        raise ImportError(
            "Files in safetensors need that package: pip install 'nncore[safetensors]'. A name that ends in .npz needs "
            "nothing."
        ) from None
    return safetensors


def write(path: str, contents: Contents) -> None:
    """Write ``contents`` into a new file. Equal contents make equal files."""
    described = contents.config is not None or contents.metadata
    metadata = {TEXT: files.as_text(contents)} if described else None
    arrays = {name: np.asarray(array, order="C") for name, array in contents.arrays.items()}
    whole = safetensors().numpy.save(arrays, metadata)  # save_file would make a file of its own choice, for one user
    with open(path, "xb") as file:
        file.write(whole)


def read(path: str, arrays: bool = True) -> Contents:
    """What is in a file; without its ``arrays``, config and metadata alone."""
    package = safetensors()
    with package.safe_open(path, framework="numpy") as file:
        found = {name: file.get_tensor(name) for name in (file.keys() if arrays else ())}
        text = (file.metadata() or {}).get(TEXT)
    return Contents(found) if text is None else files.from_text(found, text)
