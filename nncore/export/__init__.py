"""Models for other programs to run: what cannot be read back, since only predicting is left."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from nncore.errors import unknown_name

FORMATS = {"onnx": ".onnx", "c": ".c"}
"""The formats: each is a module here with ``write(model, path, **options)``, and what the name of a file ends in."""


def export(model: Any, filepath: Any, format: str | None = None, **options: Any) -> None:
    """Write a model for another program to run: see ``Sequential.export``."""
    path = os.fspath(filepath)
    if not model.built:
        raise ValueError(f"export: {model.name!r} isn't built and has no weights yet. Call build(input_shape).")
    if format is None:
        format = next((name for name, suffix in FORMATS.items() if path.endswith(suffix)), None)
        if format is None:
            raise ValueError(
                f"export: say which format, one of {', '.join(map(repr, FORMATS))}, or let the file's name end in "
                f"{' or '.join(FORMATS.values())}. Received: {filepath!r}."
            )
    if format not in FORMATS:
        raise unknown_name("export format", format, list(FORMATS))
    write = import_module(f"nncore.export.{format}").write
    known = write.__code__.co_varnames[2 : write.__code__.co_argcount]
    for option in options:
        if option not in known:
            raise unknown_name(f"option of export format {format!r}", option, known)
    write(model, path, **options)
