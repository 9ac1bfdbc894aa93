"""Gradients in the inputs: against finite differences, and against what rows and batches must not change."""

from __future__ import annotations

import numpy as np
import pytest
from oracles import error, labels, one_hot, same_bits, uniform

from nncore import backends, random
from nncore.errors import DataError
from nncore.layers import Dense, Dropout, Flatten, Input, Reshape
from nncore.models import Sequential

SHAPES = {"vectors": (6,), "rows": (4, 3)}
LOSSES = {
    "sparse_categorical_crossentropy": ("softmax", labels(9, 3)),
    "categorical_crossentropy": ("softmax", one_hot(9, 3)),
    "mse": (None, uniform(9, 3, seed=5)),
    "mae": ("tanh", 3 + uniform(9, 3, seed=6)),
    "binary_crossentropy": ("sigmoid", one_hot(9, 3)),
}


def model(shape: tuple[int, ...], activation: str | None, loss: str) -> Sequential:
    random.set_seed(2)
    hidden = [Dense(5, "tanh"), Dropout(0.5), Flatten(), Dense(7, "sigmoid")]
    made = Sequential([Input(shape), *hidden, Dense(3, activation)])
    made.compile("sgd", loss)
    return made


def slopes(made: Sequential, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Central differences of each sample's loss: float32 all the way, so good to 1e-3 of the largest."""
    step, found = 1e-2, np.zeros(x.shape)
    for at in np.ndindex(*x.shape[1:]):
        for sign in (1, -1):
            moved = x.copy()
            moved[(slice(None), *at)] += sign * step
            rows = [made.test_on_batch(moved[i : i + 1], y[i : i + 1]) for i in range(len(x))]
            found[(slice(None), *at)] += sign * np.array(rows) / (2 * step)
    return found


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("loss", LOSSES)
def test_input_gradient(loss: str, shape: str, backend: str) -> None:
    activation, y = LOSSES[loss]
    made = model(SHAPES[shape], activation, loss)
    x = uniform(9, *SHAPES[shape], seed=3)
    found = made.input_gradient(x, y)
    assert found.dtype == np.float32
    assert found.shape == x.shape
    expected = slopes(made, x, y)
    assert np.abs(found - expected).max() <= 2e-3 * np.abs(expected).max()


def test_rows_stand_alone() -> None:
    """The same bits alone and among 600, and in any float type, as native promises; weights scale rows."""
    backends.set_backend("native")
    made = model((6,), "softmax", "sparse_categorical_crossentropy")
    x, y = uniform(600, 6), labels(600, 3)
    whole = made.input_gradient(x, y)
    assert same_bits(whole[311:312], made.input_gradient(x[311:312], y[311:312]))
    assert same_bits(whole, made.input_gradient(x.astype(np.float64), y))
    weight = np.linspace(0, 2, 600)
    assert error(made.input_gradient(x, y, sample_weight=weight), whole * weight[:, None]) <= 1e-6


def test_vjp_is_the_input_gradient_of_a_sum(backend: str) -> None:
    made = model((6,), None, "mse")
    x, y = uniform(9, 6), uniform(9, 3, seed=8)
    dy = 2 * (made.predict(x, verbose=0) - y) / 3
    assert error(made.vjp(x, dy), made.input_gradient(x, y)) <= 1e-6
    rows = [made.vjp(x, np.repeat(np.eye(3)[i : i + 1], 9, 0)) for i in range(3)]
    assert error(np.einsum("mi,imk->mk", dy, np.stack(rows)), made.vjp(x, dy)) <= 1e-6


def test_nothing_is_changed() -> None:
    made = model((6,), "softmax", "sparse_categorical_crossentropy")
    x, y = uniform(9, 6), labels(9, 3)
    made.fit(x, y, verbose=0)
    before, predictions, steps = made.get_weights(), made.predict(x, verbose=0), made.optimizer.iterations
    made.input_gradient(x, y)
    made.vjp(x, np.ones((9, 3)))
    assert all(same_bits(a, b) for a, b in zip(before, made.get_weights(), strict=True))
    assert same_bits(predictions, made.predict(x, verbose=0))
    assert made.optimizer.iterations == steps


def test_vjp_needs_no_compile_and_no_weights(backend: str) -> None:
    made = Sequential([Input((6,)), Reshape((2, 3))])
    x, dy = uniform(4, 6), uniform(4, 2, 3, seed=1)
    assert same_bits(made.vjp(x, dy), dy.reshape(4, 6))


def test_bad_input() -> None:
    made = model((6,), "softmax", "mse")
    x = uniform(4, 6)
    with pytest.raises(DataError, match="x has 5 features, the model expects 6"):
        made.vjp(uniform(4, 5), np.ones((4, 3)))
    with pytest.raises(DataError, match="dy has 2 features, the model expects 3"):
        made.vjp(x, np.ones((4, 2)))
    with pytest.raises(DataError, match="x and dy must have as many rows"):
        made.vjp(x, np.ones((3, 3)))
    with pytest.raises(DataError, match="y must have shape"):
        made.input_gradient(x, np.ones((4, 2)))
    with pytest.raises(ValueError, match="input_gradient needs a compiled model"):
        Sequential([Input((6,)), Dense(2)]).input_gradient(x, np.ones((4, 2)))
