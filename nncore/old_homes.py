"""What Keras's older versions had elsewhere: ``from nncore.layers.advanced_activations import LeakyReLU`` works too.

The old modules are other names of the ones of today; none is imported for it. Of what is gone, errors say what takes
its place.
"""

from __future__ import annotations

import sys
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
    "objectives": "losses",
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


def open_old_homes() -> None:
    """Make the old modules importable, and attributes of their parents; the same for old names in modules of today."""
    for old, new in HOMES.items():
        module = sys.modules[f"nncore.{new}"]
        found = sys.modules.setdefault(f"nncore.{old}", module)
        parent, _, name = f"nncore.{old}".rpartition(".")
        if not hasattr(sys.modules[parent], name):
            setattr(sys.modules[parent], name, found)
    models, layers, losses, metrics, constraints = (
        sys.modules[f"nncore.{name}"] for name in ("models", "layers", "losses", "metrics", "constraints")
    )
    _lend(sys.modules["nncore.layers.core"], {name: getattr(layers, name) for name in layers.__all__})
    short = {short: losses.FUNCTIONS[name] for short, name in losses.ALIASES.items()}
    short |= {name.upper(): function for name, function in short.items()}
    _lend(losses, short)
    _lend(metrics, short)
    _lend(
        constraints,
        {name.replace("_", ""): getattr(constraints, name) for name in ("max_norm", "non_neg", "unit_norm")},
    )
    for name, instead in GONE.items():
        setattr(models.Sequential, name, Gone(name, instead))
    vars(models)["__getattr__"] = _no_model


def _lend(module: Any, names: dict[str, Any]) -> None:
    """Give a module further names, unless it has them."""
    vars(module).update({name: thing for name, thing in names.items() if name not in vars(module)})


def _no_model(name: str) -> Any:
    """What ``nncore.models`` says of ``Model``: an ImportError, since only its message reaches those who import it."""
    if name == "Model":
        raise ImportError(
            "nncore has no Model: there is no functional API. Build a Sequential of layers, models inside among them, "
            "or a Layer of your own with other layers in its call()."
        )
    raise AttributeError(f"module 'nncore.models' has no attribute {name!r}")
