"""Keras on JAX: ``fit``, whose steps XLA compiles; ``predict_on_batch``, its shortest way to predictions."""

from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "jax"
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from benchmarks import workloads
from benchmarks.workloads import EPSILON, RATES, Array, Predict, initial_weights


def _model(sizes: Sequence[int]) -> Any:
    hidden = [keras.layers.Dense(units, activation="relu") for units in sizes[1:-1]]
    last = keras.layers.Dense(sizes[-1], activation="softmax")
    model = keras.Sequential([keras.Input((sizes[0],)), *hidden, last])
    model.set_weights(initial_weights(sizes))
    return model


class Fit:
    """A network and its training loop."""

    def __init__(self, work: workloads.Fit, x: Array, y: Array) -> None:
        self._x, self._y, self._batch = x, y, work.batch
        rate = RATES[work.optimizer]
        adam = work.optimizer == "adam"
        self._model = _model(work.sizes)
        self._model.compile(
            loss="categorical_crossentropy",
            optimizer=keras.optimizers.Adam(rate, epsilon=EPSILON) if adam else keras.optimizers.SGD(rate),
            metrics=["accuracy"],
        )

    def train(self, epochs: int, shuffle: bool) -> None:
        self._model.fit(self._x, self._y, batch_size=self._batch, epochs=epochs, shuffle=shuffle, verbose=0)

    def weights(self) -> list[Array]:
        arrays: list[Array] = self._model.get_weights()
        return arrays


def predictor(work: Predict) -> Callable[[], Array] | None:
    """The compiled forward pass, from array to array."""
    if work.out:
        return None
    x, model = work.data(), _model(work.sizes)
    return lambda: np.asarray(model.predict_on_batch(x))
