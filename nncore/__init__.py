"""nncore: neural networks on the CPU. Keras's ``Sequential`` API over compiled SIMD kernels; NumPy is all it needs.

from nncore.models import Sequential
from nncore.layers import Dense

model = Sequential([Dense(64, activation="relu", input_dim=100), Dense(10, activation="softmax")])
model.compile(loss="categorical_crossentropy", optimizer="sgd", metrics=["accuracy"])
model.fit(x_train, y_train, epochs=5, batch_size=32)
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING, Any

from nncore import (
    activations,
    backend,
    callbacks,
    constraints,
    initializers,
    layers,
    losses,
    metrics,
    models,
    optimizers,
    regularizers,
    saving,
    utils,
)
from nncore.backends import (
    config_summary,
    get_backend,
    get_num_threads,
    set_backend,
    set_num_threads,
    show_config,
)
from nncore.layers import Input
from nncore.models import Sequential
from nncore.old_homes import open_old_homes as _open_old_homes
from nncore.variables import Variable
from nncore.version import __version__

if TYPE_CHECKING:
    from nncore import datasets, gradients, kernels, plot, preprocessing
    from nncore.gradients import check_gradients

__all__ = [
    "Input", "Sequential", "Variable", "__version__", "activations", "backend", "callbacks", "check_gradients",
    "config_summary", "constraints", "datasets", "get_backend", "get_num_threads", "gradients", "initializers",
    "kernels", "layers", "losses", "metrics", "models", "optimizers", "plot", "preprocessing", "regularizers", "saving",
    "set_backend", "set_num_threads", "show_config", "utils",
]  # fmt: skip

_ON_DEMAND = ("datasets", "gradients", "kernels", "plot", "preprocessing")
"""Modules that are imported when they are first used, since most programs need none of them."""


def __getattr__(name: str) -> Any:
    if name == "check_gradients":
        return _import_module("nncore.gradients").check_gradients
    if name == "Model":
        return getattr(models, name)  # says that there is none
    if name in _ON_DEMAND:
        return _import_module(f"nncore.{name}")
    raise AttributeError(f"module 'nncore' has no attribute {name!r}")


_open_old_homes()
