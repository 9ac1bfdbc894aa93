"""nncore: neural networks on the CPU. Keras's ``Sequential`` API over compiled SIMD kernels; NumPy is all it needs.

from nncore.models import Sequential
from nncore.layers import Dense

model = Sequential([Dense(64, activation="relu", input_dim=100), Dense(10, activation="softmax")])
model.compile(loss="categorical_crossentropy", optimizer="sgd", metrics=["accuracy"])
model.fit(x_train, y_train, epochs=5, batch_size=32)
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING, Any

from nncore import activations, constraints, initializers, layers, models, regularizers
from nncore.layers import Input
from nncore.models import Sequential
from nncore.variables import Variable
from nncore.version import __version__

if TYPE_CHECKING:
    from nncore import (
        backend,
        callbacks,
        convert,
        datasets,
        gradients,
        kernels,
        losses,
        metrics,
        optimizers,
        plot,
        preprocessing,
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
    from nncore.gradients import check_gradients

__all__ = [
    "Input", "Sequential", "Variable", "__version__", "activations", "backend", "callbacks", "check_gradients",
    "config_summary", "constraints", "convert", "datasets", "get_backend", "get_num_threads", "gradients",
    "initializers", "kernels", "layers", "losses", "metrics", "models", "optimizers", "plot", "preprocessing",
    "regularizers", "saving", "set_backend", "set_num_threads", "show_config", "utils",
]  # fmt: skip

_ON_DEMAND = (
    "backend", "callbacks", "convert", "datasets", "gradients", "kernels", "losses", "metrics", "optimizers", "plot",
    "preprocessing", "saving", "sklearn", "utils", "wrappers",
)  # fmt: skip
"""Modules that are imported when they are first used: a program that only predicts needs none of them."""

_HOMES = {"check_gradients": "gradients"} | dict.fromkeys(
    ("config_summary", "get_backend", "get_num_threads", "set_backend", "set_num_threads", "show_config"), "backends"
)
"""Functions of such modules."""


def __getattr__(name: str) -> Any:
    if name in _ON_DEMAND:
        return _import_module(f"nncore.{name}")
    if name in _HOMES:
        return getattr(_import_module(f"nncore.{_HOMES[name]}"), name)
    if name == "Model":
        return models.__getattr__(name)  # says that there is none
    raise AttributeError(f"module 'nncore' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
