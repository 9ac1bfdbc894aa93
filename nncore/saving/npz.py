"""``.npz``: NumPy's own archives, for which nothing else is needed. Nothing in them is ever unpickled.

The arrays stand under their names. Configuration and metadata are one JSON text, as the bytes ``model.json``.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from nncore.saving.files import Contents

TEXT = "model.json"


def write(path: str, contents: Contents) -> None:
    """Write ``contents`` into a new file."""
    arrays: dict[str, Any] = dict(contents.arrays)
    if contents.config is not None or contents.metadata:
        text = json.dumps({"config": contents.config, "metadata": contents.metadata})
        arrays[TEXT] = np.frombuffer(text.encode(), np.uint8)
    with open(path, "xb") as file:
        np.savez(file, **arrays)


def read(path: str) -> Contents:
    """What is in a file."""
    with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
        arrays = dict(file)
    text = arrays.pop(TEXT, None)
    described = {} if text is None else json.loads(text.tobytes())
    return Contents(arrays, described.get("config"), described.get("metadata", {}))
