"""Copies by pickle, copy and joblib: what is trained on in the copy gives the bits of the original."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from typing import Any

import joblib
import numpy as np
import pytest

from nncore import losses, metrics
from nncore.layers import Dense, Dropout, Input, Layer
from nncore.models import Sequential
from nncore.optimizers import SGD, Adam, Optimizer
from nncore.optimizers.schedules import ExponentialDecay
from nncore.utils import set_random_seed

Copy = Callable[[Any], Any]


def by_joblib(thing: Any) -> Any:
    file = BytesIO()
    joblib.dump(thing, file)
    file.seek(0)
    return joblib.load(file)


WAYS: dict[str, Copy] = {
    "pickle": lambda thing: pickle.loads(pickle.dumps(thing)),
    "oldest pickle": lambda thing: pickle.loads(pickle.dumps(thing, protocol=0)),
    "deepcopy": copy.deepcopy,
    "joblib": by_joblib,
}

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(50, 6)).astype(np.float32), RNG.normal(size=(50, 2)).astype(np.float32)

OPTIMIZERS: dict[str, Callable[[], Optimizer]] = {
    "sgd": lambda: SGD(0.1),
    "momentum": lambda: SGD(0.05, momentum=0.9, nesterov=True),
    "adam": lambda: Adam(0.01),
    "schedule": lambda: Adam(ExponentialDecay(0.1, 5, 0.5)),
}


def make(optimizer: Optimizer) -> Sequential:
    inner = Sequential([Dense(7, "relu"), Dropout(0.3)], name="inner")
    model = Sequential([Input((6,)), Dense(5, "tanh"), inner, Dense(4, trainable=False), Dense(2)])
    model.compile(optimizer, "mse", metrics=["mae"])
    return model


def same(a: list[Any], b: list[Any]) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_goes_on_with_the_same_bits(way: str, optimizer: str, backend: str) -> None:
    """After two epochs and a copy: the same seed, the same bits, by fit and by train_on_batch."""
    set_random_seed(1)
    model = make(OPTIMIZERS[optimizer]())
    model.fit(X, Y, batch_size=16, epochs=2, verbose=0)
    twin = WAYS[way](model)
    assert same(twin.get_weights(), model.get_weights())
    assert twin.optimizer.iterations == model.optimizer.iterations == 8
    assert same(twin.optimizer.variables, model.optimizer.variables)
    assert twin.history.history == model.history.history
    results = []
    for one in (model, twin):
        set_random_seed(2)
        losses = one.fit(X, Y, batch_size=16, epochs=2, validation_split=0.2, verbose=0).history
        results.append((losses, one.train_on_batch(X[:9], Y[:9]), one.evaluate(X, Y, verbose=0)))
    assert results[0] == results[1]
    assert same(twin.get_weights(), model.get_weights())
    assert same(twin.optimizer.variables, model.optimizer.variables)
    assert np.array_equal(twin.predict(X, verbose=0), model.predict(X, verbose=0))


@pytest.mark.parametrize("way", WAYS)
def test_copies_share_nothing(way: str) -> None:
    model = make(Adam())
    model.fit(X, Y, verbose=0)
    before, optimizer = model.get_weights(), [np.copy(v) for v in model.optimizer.variables]
    twin = WAYS[way](model)
    twin.fit(X, Y, epochs=2, verbose=0)
    assert not same(twin.get_weights(), before)
    assert same(model.get_weights(), before)
    assert same(model.optimizer.variables, optimizer)
    assert twin.layers[1].layers[0].kernel is twin.weights[2]
    assert twin.optimizer.iterations == 3 * model.optimizer.iterations


@pytest.mark.parametrize("way", WAYS)
def test_models_at_every_stage(way: str) -> None:
    for model in (Sequential(), Sequential([Dense(2)]), Sequential([Input((6,)), Dense(2)])):
        twin = WAYS[way](model)
        assert (twin.name, twin.built, twin.compiled) == (model.name, model.built, False)
    twin.compile("sgd", "mse")
    assert WAYS[way](twin).fit(X, Y, verbose=0).history["loss"]


class Scaled(Layer):
    def build(self, input_shape: Any) -> None:
        self.scale = self.add_weight((1,), "ones", name="scale")

    def call(self, inputs: Any) -> Any:
        return inputs * self.scale


@pytest.mark.parametrize("way", WAYS)
def test_parts(way: str) -> None:
    layer = Dense(3, "relu")
    layer.build_for((None, 6))
    twin = WAYS[way](layer)
    assert same(twin.get_weights(), layer.get_weights())
    assert twin.get_config() == layer.get_config()
    assert np.array_equal(twin(X), layer(X))
    own = Scaled()
    assert np.array_equal(WAYS[way](own)(X), own(X))
    optimizer = Adam(0.5)
    optimizer.build([layer.kernel])
    optimizer.apply([np.ones((6, 3))])
    again = WAYS[way](optimizer)
    assert again.get_config() == optimizer.get_config()
    assert same(again.variables, optimizer.variables)
    again.apply([np.ones((6, 3))], twin.weights[:1])
    assert (again.iterations, optimizer.iterations) == (2, 1)
    mean = metrics.Mean()
    mean.update_state([1, 2, 3])
    assert WAYS[way](mean).result() == 2
    assert WAYS[way](losses.MeanSquaredError()).get_config() == losses.MeanSquaredError().get_config()


def test_a_pickle_is_read_by_another_process() -> None:
    model = make(Adam())
    model.fit(X, Y, verbose=0)
    script = (
        "import pickle, sys; x, m = pickle.load(sys.stdin.buffer); sys.stdout.buffer.write(m.predict(x, verbose=0))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], input=pickle.dumps((X, model)), capture_output=True, check=True
    )
    assert done.stdout == model.predict(X, verbose=0).tobytes()


def test_a_copy_of_weights_is_as_small_as_they_are() -> None:
    """A weight is a view into its model's flat vector: the others do not travel with it."""
    model = Sequential([Input((1000,)), Dense(1000), Dense(2, name="small")])
    model.predict(np.zeros((1, 1000)), verbose=0)
    assert len(pickle.dumps(model.get_layer("small").bias)) < 2000
    assert len(pickle.dumps(model)) < 4.2e6
