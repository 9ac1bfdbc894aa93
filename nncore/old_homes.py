"""Where Keras's older versions had things: ``from nncore.layers.advanced_activations import LeakyReLU`` works as well.

The old modules are other names of the ones of today; none is imported for it.
"""

from __future__ import annotations

import sys

HOMES = {
    "layers.advanced_activations": "layers",
    "layers.convolutional": "layers",
    "layers.embeddings": "layers",
    "layers.merge": "layers",
    "layers.noise": "layers",
    "layers.normalization": "layers",
    "layers.pooling": "layers",
    "layers.recurrent": "layers",
    "layers.wrappers": "layers",
    "objectives": "losses",
    "optimizers.legacy": "optimizers",
    "utils.data_utils": "utils",
    "utils.generic_utils": "utils",
    "utils.np_utils": "utils",
}
"""Modules of the past, and those of today that hold their names. A module of today's is not among the former."""


def open_old_homes() -> None:
    """Make the old modules importable, and attributes of their parents."""
    for old, new in HOMES.items():
        module = sys.modules[f"nncore.{new}"]
        found = sys.modules.setdefault(f"nncore.{old}", module)
        parent, _, name = f"nncore.{old}".rpartition(".")
        if not hasattr(sys.modules[parent], name):
            setattr(sys.modules[parent], name, found)
