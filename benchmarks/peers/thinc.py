"""thinc: ``begin_update``, the gradient of the loss, backpropagation and ``finish_update`` of each batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from thinc.api import SGD, Adam, Relu, Softmax, chain

from benchmarks import workloads
from benchmarks.workloads import EPSILON, RATES, Array, Predict, initial_weights


def _model(sizes: Sequence[int]) -> Any:
    widths = list(pairwise(sizes))
    layers = [*(Relu(n, k) for k, n in widths[:-1]), Softmax(widths[-1][1], widths[-1][0])]
    model = chain(*layers)
    model.initialize()
    weights = initial_weights(sizes)
    for layer, w, b in zip(layers, weights[::2], weights[1::2], strict=True):
        layer.set_param("W", np.ascontiguousarray(w.T))
        layer.set_param("b", b)
    return model


class Fit:
    """A network and its training loop."""

    def __init__(self, work: workloads.Fit, x: Array, y: Array) -> None:
        self._x, self._y, self._batch = x, y, work.batch
        self._model = _model(work.sizes)
        rate = RATES[work.optimizer]
        adam = work.optimizer == "adam"
        self._optimizer = Adam(rate, L2=0.0, eps=EPSILON, grad_clip=0.0) if adam else SGD(rate, L2=0.0, grad_clip=0.0)
        self.loss = 0.0

    def train(self, epochs: int, shuffle: bool) -> None:
        model, optimizer = self._model, self._optimizer
        for _ in range(epochs):
            self.loss = 0.0
            for x, y in model.ops.multibatch(self._batch, self._x, self._y, shuffle=shuffle):
                p, backprop = model.begin_update(x)
                self.loss -= float(np.log(np.einsum("ij,ij->i", p, y)).sum())
                backprop((p - y) / np.float32(len(y)))
                model.finish_update(optimizer)

    def weights(self) -> list[Array]:
        layers = self._model.layers
        return [array for layer in layers for array in (layer.get_param("W").T, layer.get_param("b"))]


def predictor(work: Predict) -> Callable[[], Array] | None:
    """The forward pass, from array to array."""
    if work.out:
        return None
    x, model = work.data(), _model(work.sizes)
    return lambda: np.asarray(model.predict(x))
