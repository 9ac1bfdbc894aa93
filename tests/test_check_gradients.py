"""``check_gradients``: right gradients pass, wrong ones are named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from oracles import labels, one_hot, same_bits, uniform
from test_custom_layers import Affine, Cube, PythonAffine, Residual

import nncore
from nncore import random
from nncore.errors import DataError, GradientError
from nncore.layers import Dense, Dropout, Flatten, Input, Layer
from nncore.models import Sequential

X = uniform(5, 4, seed=9).astype(np.float64)
LOSSES = {
    "sparse_categorical_crossentropy": ("softmax", labels(5, 3)),
    "categorical_crossentropy": ("softmax", one_hot(5, 3)),
    "binary_crossentropy": ("sigmoid", one_hot(5, 3)),
    "mse": (None, uniform(5, 3, seed=1)),
}


def model(*layers: Layer, loss: str = "mse", activation: str | None = None) -> Sequential:
    random.set_seed(1)
    made = Sequential([Input((4,)), Dense(6, "tanh"), *layers, Dense(3, activation)])
    made.compile("sgd", loss)
    return made


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
def test_right_gradients_pass(loss: str, weighted: bool) -> None:
    activation, y = LOSSES[loss]
    made = model(PythonAffine(name="affine"), Dropout(0.4), Cube(), loss=loss, activation=activation)
    weight = np.linspace(0.5, 2, 5) if weighted else None
    before, flat = made.get_weights(), made.predict(X, verbose=0)
    errors = nncore.check_gradients(made, X, y, sample_weight=weight)
    assert list(errors) == [*(v.path for v in made.weights), "x"]
    assert all(0 <= e <= 1e-6 for e in errors.values())
    assert max(errors.values()) > 0
    assert all(same_bits(a, b) for a, b in zip(before, made.get_weights(), strict=True))
    assert same_bits(flat, made.predict(X, verbose=0))
    assert made.optimizer.iterations == 0


@pytest.mark.parametrize("layer", [Affine, PythonAffine, Cube, lambda: Residual(4), lambda: Dense(3, "tanh"), Flatten])
def test_a_layer_alone(layer: Any) -> None:
    random.set_seed(1)
    made = layer()
    errors = nncore.check_gradients(made, X)
    assert len(errors) == len(made.weights) + 1
    assert max(errors.values()) <= 1e-6


class WrongWeight(PythonAffine):
    def backward(self, dy: Any, x: Any, y: Any) -> Any:
        return dy * self.scale, (dy * x).mean(0), dy.sum(0)


class WrongInput(Cube):
    def backward(self, dy: Any, x: Any, y: Any) -> Any:
        return np.where(np.arange(dy.shape[-1]) == 2, 2.9, 3.0) * x * x * dy


def test_a_wrong_gradient_is_named() -> None:
    with pytest.raises(GradientError, match=r"the gradient of '[\w/]*wrong/scale' at \(\d,\) is .* by finite"):
        nncore.check_gradients(model(WrongWeight(name="wrong")), X, uniform(5, 3))
    with pytest.raises(GradientError, match=r"the gradient of 'x' at \(\d, 2\) is"):
        nncore.check_gradients(WrongInput(), X)
    # … before the layer too
    with pytest.raises(GradientError, match=r"the gradient of '.*/dense.*/kernel' at"):
        nncore.check_gradients(model(WrongInput()), X, uniform(5, 3))


def test_a_gradient_that_is_nan_is_wrong() -> None:
    class Nan(Cube):
        def backward(self, dy: Any, x: Any, y: Any) -> Any:
            return dy * np.nan

    with pytest.raises(GradientError, match="is nan, by finite differences"):
        nncore.check_gradients(Nan(), X)


def test_frozen_weights_are_left_out() -> None:
    made = model()
    made.layers[0].trainable = False
    made.compile("sgd", "mse")
    names = list(nncore.check_gradients(made, X, uniform(5, 3)))
    assert names == [*(v.path for v in made.layers[1].weights), "x"]


def test_integers_are_not_moved() -> None:
    assert "x" not in nncore.check_gradients(model(), np.arange(20).reshape(5, 4), uniform(5, 3))


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="check_gradients needs a compiled model"):
        nncore.check_gradients(Sequential([Input((4,)), Dense(2)]), X, X)
    with pytest.raises(ValueError, match="samples must be a positive integer"):
        nncore.check_gradients(model(), X, uniform(5, 3), samples=0)
    with pytest.raises(DataError, match="x has 3 features, the model expects 4"):
        nncore.check_gradients(model(), X[:, :3], uniform(5, 3))
