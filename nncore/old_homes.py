"""What Keras's older versions had elsewhere: ``from nncore.layers.advanced_activations import LeakyReLU`` works too.

The old modules are other names of the ones of today; none is imported for it. (``nncore.objectives`` is a file, since
``nncore.losses`` is not there from the start.) Of what is gone, errors say what takes its place.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

HOMES = {
    "callbacks.callbacks": "callbacks",
    "layers.advanced_activations": "layers",
    "layers.convolutional": "layers",
    "layers.embeddings": "layers",
    "layers.merge": "layers",
    "layers.noise": "layers",
    "layers.normalization": "layers",
    "layers.pooling": "layers",
    "layers.recurrent": "layers",
    "layers.wrappers": "layers",
    "optimizers.legacy": "optimizers",
    "utils.data_utils": "utils",
    "utils.generic_utils": "utils",
    "utils.np_utils": "utils",
}
"""Modules of the past, and those of today that hold their names. A module of today's is not among the former."""

GONE = {
    "evaluate_generator": "evaluate(), which takes generators",
    "fit_generator": "fit(), which takes generators",
    "predict_classes": "predict(x).argmax(axis=-1), or predict(x) > 0.5 where there is one output",
    "predict_generator": "predict(), which takes generators",
    "predict_proba": "predict(x)",
}
"""Methods that models had, and what to call instead."""


class Gone:
    """An attribute that is there no more: ``AttributeError`` says what is."""

    def __init__(self, name: str, instead: str) -> None:
        self.message = f"Sequential has no {name}. Use {instead}."

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        raise AttributeError(self.message)


def open_old_homes(home: str, names: Mapping[str, Any]) -> None:
    """What a module calls at its end: its old modules become importable, and ``names`` its own, unless it has them.

    Args:
        home: Its name without ``nncore.``.
        names: What older versions called things of it.
    """
    module = sys.modules[f"nncore.{home}"]
    lend(module, names)
    for old, new in HOMES.items():
        if new == home:
            found = sys.modules.setdefault(f"nncore.{old}", module)
            parent, _, name = f"nncore.{old}".rpartition(".")
            if not hasattr(sys.modules[parent], name):
                setattr(sys.modules[parent], name, found)


def lend(module: Any, names: Mapping[str, Any]) -> None:
    """Give a module further names, unless it has them."""
    vars(module).update({name: thing for name, thing in names.items() if name not in vars(module)})


def say_what_is_gone(model: type) -> None:
    """Let the methods of the past say what to call instead."""
    for name, instead in GONE.items():
        setattr(model, name, Gone(name, instead))
