"""Random networks, trained: native against the NumPy backend, and (``-m peers``, with Keras installed) against Keras.

A number that fails is run again, alone, by ``python -m pytest "tests/test_differential.py" -k "[123]"``.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from networks import Network, network
from oracles import error

import nncore
from nncore import backends, random

TOLERANCE = 1e-4
"""Of |difference| / (1 + |value|), after a few epochs: what a step's rounding, some 1e-7, may have grown to."""


def trained(drawn: Network, library: Any, weights: list[np.ndarray], fit: dict[str, Any]) -> dict[str, Any]:
    """What a network has become: its history, weights, predictions and scores."""
    library.utils.clear_session()  # metrics are named anew
    model = drawn.model(library)
    model.set_weights(weights)
    history = model.fit(drawn.x, drawn.y, verbose=0, **fit)
    return {
        **{f"history {name}": values for name, values in history.history.items()},
        **{f"weight {i}": values for i, values in enumerate(model.get_weights())},
        "predictions": model.predict(drawn.x[:5], verbose=0),
        **{f"score {k}": v for k, v in model.evaluate(drawn.x, drawn.y, verbose=0, return_dict=True).items()},
    }


def compare(drawn: Network, one: dict[str, Any], other: dict[str, Any]) -> None:
    assert list(one) == list(other), drawn
    for name, values in one.items():
        assert error(values, other[name]) <= TOLERANCE, f"{name}\n{drawn}"


def start(drawn: Network) -> list[np.ndarray]:
    """Initial weights: those drawn at first, and small random ones where zeros would hide something."""
    random.set_seed(drawn.number)
    weights = drawn.model(nncore).get_weights()
    rng = np.random.default_rng(drawn.number)
    return [w + rng.uniform(0.01, 0.2, w.shape).astype(np.float32) if not np.any(w) else w for w in weights]


@pytest.mark.parametrize("number", range(500))
def test_backends_train_alike(number: int) -> None:
    drawn = network(number)
    weights = start(drawn)

    def run(backend: str) -> dict[str, Any]:
        backends.set_backend(backend)
        random.set_seed(number)
        return trained(drawn, nncore, weights, drawn.fit)

    before = backends.get_backend()
    try:
        compare(drawn, run("native"), run("numpy"))
    finally:
        backends.set_backend(before)


@pytest.fixture(scope="module")
def keras() -> Any:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras as library

    return library


@pytest.mark.peers
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("number", range(150))
def test_keras_trains_alike(number: int, keras: Any) -> None:
    """Networks without randomness, rows in order: Keras's numbers."""
    drawn = network(number, noise=False)
    fit: dict[str, Any] = {**drawn.fit, "shuffle": False}
    weights = start(drawn)
    compare(drawn, trained(drawn, nncore, weights, fit), trained(drawn, keras, weights, fit))
