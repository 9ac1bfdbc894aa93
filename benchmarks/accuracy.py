"""Time to accuracy: seconds of training until Fashion-MNIST's test images are classified well enough."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from benchmarks import peers
from benchmarks.harness import Worker, core
from benchmarks.workloads import BACKENDS, Array, Fit, build_compiled

WORK = Fit((784, 256, 128, 10), batch=96, optimizer="adam", steps=625, epochs=1)
"""625 batches of 96 are all 60,000 images: no side has a batch that is smaller than the others."""
GOAL = 0.87
EPOCHS = 20
"""Epochs after which a side gives up."""


def measure(sides: Sequence[str], quick: bool) -> dict[str, Any]:
    """Seconds and epochs to ``GOAL``, for each side that trains. The sides take turns, an epoch each."""
    with ExitStack() as stack:
        workers = {side: stack.enter_context(Worker(side, core())) for side in sides}
        left = [side for side, worker in workers.items() if worker.ask("call", __name__, "begin", side)]
        found: dict[str, dict[str, Any]] = {
            side: {"epoch_seconds": [], "epoch_cpu": [], "accuracies": [], "reached": False} for side in left
        }
        for _ in range(2 if quick else EPOCHS):
            for side in tuple(left):
                seconds, cpu, reached = workers[side].ask("call", __name__, "epoch")
                record = found[side]
                record["epoch_seconds"].append(seconds)
                record["epoch_cpu"].append(cpu)
                record["accuracies"].append(reached)
                if reached >= GOAL:
                    record["reached"] = True
                    left.remove(side)
    for record in found.values():
        record["seconds"], record["cpu"] = sum(record["epoch_seconds"]), sum(record["epoch_cpu"])
        record["epochs"] = len(record["accuracies"])
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


_state: dict[str, Any] = {}
"""What a process holds between two epochs: the network and the images to test on."""


def begin(side: str) -> bool:
    """Make a side's network ready, in its process; false where the side does not train.

    Whatever happens once, such as compiling, happens here, in an epoch of a network that is then thrown away.
    """
    import nncore

    x, y, *_state["test"] = data()
    make: Any = _Nncore
    if side in BACKENDS:
        nncore.set_backend(BACKENDS[side])
        nncore.utils.set_random_seed(0)
    else:

        def make(work: Fit, x: Array, y: Array) -> peers.Network | None:
            return peers.network(side, work, x, y)

    warm = make(WORK, x, y)
    if warm is None:
        return False
    warm.train(1, shuffle=True)
    _state["network"] = make(WORK, x, y)
    return True


def epoch() -> tuple[float, float, float]:
    """Train an epoch: seconds by the clock and on the core, and the accuracy then, by the same code for all sides."""
    network = _state["network"]
    start, cpu = time.perf_counter(), time.process_time()
    network.train(1, shuffle=True)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    return seconds, cpu, accuracy(network.weights(), *_state["test"])


def accuracy(weights: Sequence[Array], x: Array, labels: Array) -> float:
    """The share of rows whose largest output is the label's."""
    a = x
    for i in range(0, len(weights), 2):
        a = a @ weights[i] + weights[i + 1]
        if i + 2 < len(weights):
            a = np.maximum(a, 0)
    return float((a.argmax(axis=1) == labels).mean())
