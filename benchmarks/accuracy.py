"""Time to accuracy: seconds of training until Fashion-MNIST's test images are classified well enough."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np

from benchmarks import peers
from benchmarks.harness import SIDES, Worker, core
from benchmarks.workloads import BACKENDS, Array, Fit, build_compiled

WORK = Fit((784, 256, 128, 10), batch=96, optimizer="adam", steps=625, epochs=1)
"""625 batches of 96 are all 60,000 images: no side has a batch that is smaller than the others."""
GOAL = 0.87
EPOCHS = 20
"""Epochs after which a side gives up."""


def measure(sides: Sequence[str], quick: bool) -> dict[str, Any]:
    """Seconds and epochs to ``GOAL``, for each side that trains; the sides take turns in which they train to the end."""
    taken: dict[str, list[Any]] = {side: [] for side in sides}
    for _ in range(1 if quick else 3):
        for side in sides:
            with Worker(side, core()) as worker:
                taken[side].append(worker.ask("call", __name__, "train", side))
    found = {
        side: {
            "seconds": median(run["seconds"] for run in runs),
            "seconds_best": min(run["seconds"] for run in runs),
            "epochs": runs[0]["epochs"],
            "epoch_seconds_best": min(min(run["epoch_seconds"]) for run in runs),
            "accuracies": runs[0]["accuracies"],
            "reached": all(run["reached"] for run in runs),
        }
        for side, runs in taken.items()
        if runs[0] is not None
    }
    return {"work": WORK.name, "goal": GOAL, "sides": found}


def data() -> tuple[Array, Array, Array, Array]:
    """Images with values from 0 to 1 and one-hot classes to train on; images and classes to test on."""
    from nncore.datasets import fashion_mnist

    (x, y), (x_test, y_test) = fashion_mnist.load_data()

    def flat(images: Array) -> Array:
        return images.reshape(len(images), -1).astype(np.float32) / np.float32(255)

    return flat(x), np.eye(10, dtype=np.float32)[y], flat(x_test), y_test


class _Nncore:
    """nncore as a network of :mod:`benchmarks.peers`."""

    def __init__(self, work: Fit, x: Array, y: Array) -> None:
        self._x, self._y, self._batch, self._model = x, y, work.batch, build_compiled(work)

    def train(self, epochs: int, shuffle: bool) -> None:
        self._model.fit(self._x, self._y, batch_size=self._batch, epochs=epochs, shuffle=shuffle, verbose=0)

    def weights(self) -> list[Array]:
        arrays: list[Array] = self._model.get_weights()
        return arrays


def train(side: str) -> dict[str, Any] | None:
    """Train one epoch after the other; only the training is timed, and the same NumPy code judges all sides.

    Whatever happens once, such as compiling, happens before the clock starts, in an epoch that is then thrown away.
    """
    import nncore

    x, y, x_test, labels = data()
    make: Any = _Nncore
    if side in BACKENDS:
        nncore.set_backend(BACKENDS[side])
        nncore.utils.set_random_seed(0)
    else:

        def make(work: Fit, x: Array, y: Array) -> peers.Network | None:
            return peers.network(side, work, x, y)

    warm = make(WORK, x, y)
    if warm is None:
        return None
    warm.train(1, shuffle=True)
    network = make(WORK, x, y)
    accuracies: list[float] = []
    taken: list[float] = []
    for _ in range(EPOCHS):
        start = time.perf_counter()
        network.train(1, shuffle=True)
        taken.append(time.perf_counter() - start)
        accuracies.append(accuracy(network.weights(), x_test, labels))
        if accuracies[-1] >= GOAL:
            break
    return {
        "seconds": sum(taken), "epochs": len(taken), "epoch_seconds": taken, "accuracies": accuracies,
        "reached": accuracies[-1] >= GOAL,
    }  # fmt: skip


def accuracy(weights: Sequence[Array], x: Array, labels: Array) -> float:
    """The share of rows whose largest output is the label's."""
    a = x
    for i in range(0, len(weights), 2):
        a = a @ weights[i] + weights[i + 1]
        if i + 2 < len(weights):
            a = np.maximum(a, 0)
    return float((a.argmax(axis=1) == labels).mean())
