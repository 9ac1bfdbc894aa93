"""JAX: a whole epoch is one compiled ``lax.scan`` that owns its state; predictions by a compiled function."""

from __future__ import annotations

import os

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import workloads
from benchmarks.workloads import EPSILON, RATES, Array, Predict, initial_weights

Layers = list[tuple[Any, Any]]


def _initial(sizes: tuple[int, ...]) -> Layers:
    weights = [jnp.asarray(w) for w in initial_weights(sizes)]
    return list(zip(weights[::2], weights[1::2], strict=True))


def _logits(layers: Layers, x: Any) -> Any:
    for w, b in layers[:-1]:
        x = jax.nn.relu(x @ w + b)
    w, b = layers[-1]
    return x @ w + b


def _loss(layers: Layers, x: Any, y: Any) -> Any:
    return -jnp.mean(jnp.sum(y * jax.nn.log_softmax(_logits(layers, x)), axis=1))


def _update(optimizer: str, state: Any, gradients: Layers) -> Any:
    layers, m, v, step = state
    rate, step = RATES[optimizer], step + 1
    tree = jax.tree.map
    if optimizer == "sgd":
        return tree(lambda w, g: w - rate * g, layers, gradients), m, v, step
    m = tree(lambda m, g: m + (g - m) * 0.1, m, gradients)
    v = tree(lambda v, g: v + (g * g - v) * 0.001, v, gradients)
    alpha = rate * jnp.sqrt(1 - 0.999**step) / (1 - 0.9**step)
    return tree(lambda w, m, v: w - alpha * m / (jnp.sqrt(v) + EPSILON), layers, m, v), m, v, step


@partial(jax.jit, static_argnums=0, donate_argnums=1)
def _epoch(optimizer: str, state: Any, x: Any, y: Any, order: Any) -> Any:
    """All batches of an epoch; ``order`` has the rows of one in each row."""

    def step(state: Any, rows: Any) -> Any:
        loss, gradients = jax.value_and_grad(_loss)(state[0], x[rows], y[rows])
        return _update(optimizer, state, gradients), loss

    state, losses = jax.lax.scan(step, state, order)
    return state, losses.mean()


class Fit:
    """A network and its training loop."""

    def __init__(self, work: workloads.Fit, x: Array, y: Array) -> None:
        layers = _initial(work.sizes)
        self._work, self._x, self._y = work, jnp.asarray(x), jnp.asarray(y)
        adam = work.optimizer == "adam"
        moments = [jax.tree.map(jnp.zeros_like, layers) if adam else () for _ in range(2)]
        self._state: Any = (layers, *moments, jnp.zeros((), jnp.float32))
        self._rng = np.random.default_rng(0)
        self.loss = 0.0

    def train(self, epochs: int, shuffle: bool) -> None:
        count = len(self._x)
        for _ in range(epochs):
            order = self._rng.permutation(count) if shuffle else np.arange(count)
            batches = order.astype(np.int32).reshape(-1, self._work.batch)
            self._state, loss = _epoch(self._work.optimizer, self._state, self._x, self._y, batches)
            self.loss = float(loss)

    def weights(self) -> list[Array]:
        return [np.asarray(array) for layer in self._state[0] for array in layer]


def predictor(work: Predict) -> Callable[[], Array] | None:
    """The compiled forward pass, from array to array."""
    if work.out:
        return None
    x, layers = work.data(), _initial(work.sizes)

    @jax.jit
    def forward(layers: Layers, x: Any) -> Any:
        return jax.nn.softmax(_logits(layers, x))

    return lambda: np.asarray(forward(layers, x))
