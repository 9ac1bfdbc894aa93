"""NumPy by hand: every array allocated once, operations in place, all weights in one vector for the optimizer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from benchmarks import workloads
from benchmarks.workloads import EPSILON, RATES, Array, Predict, initial_weights


def _views(flat: Array, sizes: Sequence[int]) -> list[tuple[Array, Array]]:
    """Kernel and bias of each layer in a flat vector."""
    found, at = [], 0
    for k, n in pairwise(sizes):
        found.append((flat[at : at + k * n].reshape(k, n), flat[at + k * n : at + k * n + n]))
        at += k * n + n
    return found


class Fit:
    """A network and its training loop."""

    def __init__(self, work: workloads.Fit, x: Array, y: Array) -> None:
        sizes, batch = work.sizes, work.batch
        self._work, self._x, self._y = work, x, y
        self._flat = np.concatenate([np.ravel(w) for w in initial_weights(sizes)])
        self._gradient = np.empty_like(self._flat)
        self._scratch = np.empty_like(self._flat)
        self._m, self._v = np.zeros_like(self._flat), np.zeros_like(self._flat)
        self._layers = list(zip(_views(self._flat, sizes), _views(self._gradient, sizes), strict=True))
        self._a = [np.empty((batch, n), np.float32) for n in sizes]
        self._d = [np.empty((batch, n), np.float32) for n in sizes]
        self._targets = np.empty((batch, sizes[-1]), np.float32)
        self._rng = np.random.default_rng(0)
        self._step = 0
        self.loss = 0.0

    def train(self, epochs: int, shuffle: bool) -> None:
        batch, count = self._work.batch, len(self._x)
        for _ in range(epochs):
            order = self._rng.permutation(count) if shuffle else np.arange(count)
            self.loss = 0.0
            for start in range(0, count, batch):
                rows = order[start : start + batch]
                np.take(self._x, rows, axis=0, out=self._a[0], mode="clip")
                np.take(self._y, rows, axis=0, out=self._targets, mode="clip")
                self._gradients()
                self._update()

    def _gradients(self) -> None:
        a, d, last = self._a, self._d, len(self._layers) - 1
        for i, ((w, b), _) in enumerate(self._layers):
            np.matmul(a[i], w, out=a[i + 1])
            a[i + 1] += b
            if i < last:
                np.maximum(a[i + 1], 0, out=a[i + 1])
        p = a[-1]
        p -= p.max(axis=1, keepdims=True)
        np.exp(p, out=p)
        p /= p.sum(axis=1, keepdims=True)
        self.loss -= float(np.log(np.einsum("ij,ij->i", p, self._targets)).sum())
        np.subtract(p, self._targets, out=d[-1])
        d[-1] *= np.float32(1 / len(p))
        for i in range(last, -1, -1):
            (w, _), (dw, db) = self._layers[i]
            np.matmul(a[i].T, d[i + 1], out=dw)
            np.sum(d[i + 1], axis=0, out=db)
            if i:
                np.matmul(d[i + 1], w.T, out=d[i])
                d[i] *= a[i] > 0

    def _update(self) -> None:
        self._step += 1
        rate, g, scratch = RATES[self._work.optimizer], self._gradient, self._scratch
        if self._work.optimizer == "sgd":
            g *= np.float32(rate)
            self._flat -= g
            return
        np.multiply(g, g, out=scratch)
        scratch -= self._v
        scratch *= np.float32(0.001)
        self._v += scratch
        g -= self._m
        g *= np.float32(0.1)
        self._m += g
        np.sqrt(self._v, out=scratch)
        scratch += np.float32(EPSILON)
        np.divide(self._m, scratch, out=scratch)
        scratch *= np.float32(rate * (1 - 0.999**self._step) ** 0.5 / (1 - 0.9**self._step))
        self._flat -= scratch

    def weights(self) -> list[Array]:
        return [array for layer, _ in self._layers for array in layer]


def predictor(work: Predict) -> Callable[[], Array]:
    """The forward pass; into arrays that exist where the workload says so."""
    x, weights = work.data(), initial_weights(work.sizes)
    *hidden, (w_last, b_last) = list(zip(weights[::2], weights[1::2], strict=True))
    outputs: list[Array | None] = [np.empty((work.batch, n), np.float32) if work.out else None for n in work.sizes[1:]]

    def once() -> Array:
        a = x
        for (w, b), out in zip(hidden, outputs, strict=False):
            a = np.matmul(a, w, out=out)
            a += b
            np.maximum(a, 0, out=a)
        p = np.matmul(a, w_last, out=outputs[-1])
        p += b_last
        p -= p.max(axis=1, keepdims=True)
        np.exp(p, out=p)
        p /= p.sum(axis=1, keepdims=True)
        return p

    return once
