"""What compile takes for a loss, and weights for every value of it."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from oracles import error, same_bits, uniform

import nncore
from nncore import losses
from nncore.errors import DataError
from nncore.layers import Dense, Input
from nncore.models import Sequential, model_from_json
from nncore.optimizers import SGD

Array = np.ndarray[Any, Any]

X = uniform(20, 5)
LABELS = np.random.default_rng(1).integers(0, 3, 20)
ONE_HOT = np.eye(3, dtype=np.float32)[LABELS]
BITS = (LABELS > 0).astype(np.float32)


def network(units: int, loss: Any, activation: str = "softmax") -> Sequential:
    nncore.utils.set_random_seed(5)
    model = Sequential([Input((5,)), Dense(4, "tanh", name="a"), Dense(units, activation, name="b")])
    model.compile(SGD(0.5), loss, metrics=["accuracy"])
    return model


KINDS: list[tuple[int, str, Array, str]] = [
    (1, "sigmoid", BITS, "binary_crossentropy"),
    (1, "sigmoid", BITS[:, None], "binary_crossentropy"),
    (3, "softmax", LABELS, "sparse_categorical_crossentropy"),
    (3, "softmax", LABELS[:, None], "sparse_categorical_crossentropy"),
    (3, "softmax", ONE_HOT, "categorical_crossentropy"),
    (3, "sigmoid", ONE_HOT, "categorical_crossentropy"),
]
"""Units, activation, targets, and the cross-entropy they mean."""


@pytest.mark.parametrize("name", ["crossentropy", "CE", ["ce"]])
@pytest.mark.parametrize("units, activation, y, loss", KINDS)
def test_crossentropy_by_shape(units: int, activation: str, y: Array, loss: str, name: Any, backend: str) -> None:
    """It trains as the loss it means, to the bit."""
    one, other = network(units, name, activation), network(units, loss, activation)
    assert one.loss is None
    how: dict[str, Any] = {"epochs": 2, "batch_size": 8, "validation_split": 0.2, "shuffle": False, "verbose": 0}
    histories = [m.fit(X, y, **how).history for m in (one, other)]
    assert histories[0] == histories[1]
    assert type(one.loss) is losses.CLASSES[loss]
    assert all(same_bits(a, b) for a, b in zip(one.get_weights(), other.get_weights(), strict=True))
    assert str(one.program) == str(other.program)


@pytest.mark.parametrize("method", ["evaluate", "train_on_batch", "test_on_batch", "input_gradient", "generator"])
def test_any_method_chooses(method: str) -> None:
    one, other = network(3, "ce"), network(3, "sparse_categorical_crossentropy")
    if method == "generator":
        assert one.fit(iter([(X, LABELS)]), verbose=0).history == other.fit(iter([(X, LABELS)]), verbose=0).history
    else:
        options = {"verbose": 0} if method == "evaluate" else {}
        assert error(getattr(one, method)(X, LABELS, **options), getattr(other, method)(X, LABELS, **options)) == 0
    assert type(one.loss) is losses.SparseCategoricalCrossentropy


def test_crossentropy_is_chosen_once_and_by_data_that_fits() -> None:
    model = network(3, "crossentropy")
    with pytest.raises(DataError, match="labels"):
        model.fit(X, LABELS + 1, verbose=0)
    assert model.loss is None
    model.fit(X, ONE_HOT, verbose=0)
    with pytest.raises(DataError, match="use sparse_categorical_crossentropy"):
        model.evaluate(X, LABELS, verbose=0)
    model.compile("sgd", "crossentropy")
    model.evaluate(X, LABELS, verbose=0)


def test_crossentropy_before_data() -> None:
    model = network(3, "crossentropy")
    with pytest.raises(ValueError, match="'crossentropy' is chosen by the shape of the first y: call fit"):
        _ = model.program
    assert model.predict(X, verbose=0).shape == (20, 3)


def test_crossentropy_in_json() -> None:
    model = network(3, "Crossentropy")
    model.fit(X, LABELS, verbose=0)
    other = model_from_json(model.to_json())
    other.set_weights(model.get_weights())
    assert model.get_compile_config()["loss"] == other.get_compile_config()["loss"] == "Crossentropy"
    assert other.evaluate(X, LABELS, verbose=0) == model.evaluate(X, LABELS, verbose=0)


def test_crossentropy_of_one_output_needs_no_second() -> None:
    """Which a softmax would: the binary one is chosen."""
    model = network(1, "ce")
    model.fit(X, BITS, verbose=0)
    assert type(model.loss) is losses.BinaryCrossentropy


@pytest.mark.parametrize("given", [["mse"], ("mse",), [losses.MeanSquaredError()], losses.mean_squared_error])
def test_one_loss(given: Any) -> None:
    model = network(3, given)
    assert type(model.loss) is losses.MeanSquaredError
    assert type(model_from_json(model.to_json()).loss) is losses.MeanSquaredError


# Weights for every value.

STEPS = uniform(12, 3, 5, seed=2)
VALUES = uniform(12, 3, 2, seed=3)
CLASSES = np.random.default_rng(4).integers(0, 2, (12, 3))
WEIGHT = uniform(12, 3, seed=5, low=0, high=2)


@pytest.mark.parametrize("loss, y", [("mse", VALUES), ("huber", VALUES), ("sparse_categorical_crossentropy", CLASSES)])
@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "mean_with_sample_weight"])
def test_a_weight_for_every_step(loss: str, y: Array, reduction: str, backend: str) -> None:
    """Training on samples of 3 steps is training on the steps as samples of their own."""
    whole = Sequential([Input((3, 5)), Dense(2, "softmax")])
    flat = Sequential([Input((5,)), Dense(2, "softmax")])
    flat.set_weights(whole.get_weights())
    for model in (whole, flat):
        model.compile(SGD(0.5), type(losses.get(loss))(reduction=reduction))
    first = whole.fit(STEPS, y, sample_weight=WEIGHT, batch_size=4, epochs=2, shuffle=False, verbose=0)
    second = flat.fit(
        STEPS.reshape(36, 5), y.reshape(36, *y.shape[2:]), sample_weight=WEIGHT.ravel(), batch_size=12, epochs=2,
        shuffle=False, verbose=0,
    )  # fmt: skip
    assert error(first.history["loss"], second.history["loss"]) <= 1e-6
    for a, b in zip(whole.get_weights(), flat.get_weights(), strict=True):
        assert error(a, b) <= 1e-6  # float32: the rows are the same, and so is their order


def test_one_weight_a_sample_counts_for_all_its_steps(backend: str) -> None:
    models = [Sequential([Input((3, 5)), Dense(2)]) for _ in range(2)]
    models[1].set_weights(models[0].get_weights())
    for model, weight in zip(models, (WEIGHT[:, 0], np.repeat(WEIGHT[:, :1], 3, axis=1)), strict=True):
        model.compile(SGD(0.5), "mse")
        model.fit(STEPS, VALUES, sample_weight=weight, batch_size=5, shuffle=False, verbose=0)
    for a, b in zip(*(model.get_weights() for model in models), strict=True):
        assert error(a, b) <= 1e-6


@pytest.mark.parametrize("shape", [(12, 2), (12, 3, 2), (12, 4)])
def test_weights_of_another_shape(shape: tuple[int, ...]) -> None:
    model = Sequential([Input((3, 5)), Dense(2)])
    model.compile("sgd", "mse")
    wanted = "sample_weight must have shape (12,), one weight a row, or (12, 3), one a value of the loss."
    with pytest.raises(DataError, match=re.escape(f"{wanted} Received: {shape}.")):
        model.fit(STEPS, VALUES, sample_weight=np.ones(shape), verbose=0)
