"""``SwapEMAWeights``: evaluations and predictions with the running means of the weights, as in Keras 3.15.1."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nncore.callbacks import Callback, EarlyStopping, LambdaCallback, ModelCheckpoint, SwapEMAWeights
from nncore.layers import Dense, Input
from nncore.models import Sequential
from nncore.optimizers import SGD

X = np.array([[0.5, -1.0], [1.0, 0.25], [-0.75, 0.5], [0.125, 1.5]], np.float32)
Y = np.array([[1.0], [0.0], [-1.0], [2.0]], np.float32)
HOW: dict[str, Any] = {"batch_size": 2, "shuffle": False, "verbose": 0}


def example(use_ema: bool = True) -> Sequential:
    model = Sequential([Input((2,)), Dense(1, kernel_initializer="ones")])
    model.compile(SGD(0.1, use_ema=use_ema, ema_momentum=0.9), "mse")
    return model


def weights(model: Sequential) -> np.ndarray:
    return np.concatenate([np.ravel(w) for w in model.get_weights()])


def after_batches(model: Sequential) -> np.ndarray:
    """Train without ``fit``, which ends with the means; returns these."""
    for i in (0, 2, 0):
        model.train_on_batch(X[i : i + 2], Y[i : i + 2])
    means = np.concatenate([mean.ravel() for _, mean in model.optimizer.running_means()])
    assert np.abs(means - weights(model)).max() > 0.01
    return means


def with_weights(values: np.ndarray) -> Sequential:
    model = example()
    model.set_weights([values[:2].reshape(2, 1), values[2:]])
    return model


# Keras's numbers, of the same model and data: the losses of the validations, the weights that a callback after this one
# sees at the end of the epochs, and those at the end of fit.
LOSSES = [1.0143498182296753, 1.007297158241272, 0.9961303472518921]
TRAINED = [
    [1.0119922161102295, 0.8768750429153442, 0.01562498789280653],
    [1.0148262977600098, 0.79524827003479, 0.03882964700460434],
    [1.0113776922225952, 0.739430844783783, 0.062481366097927094],
]
MEANS = [
    [0.9561992287635803, 0.8245625495910645, 0.024062497541308403],
    [0.9619604349136353, 0.8113366365432739, 0.02575559727847576],
    [0.9660084247589111, 0.7886390089988708, 0.030573677271604538],
]


@pytest.mark.parametrize("on_epoch, seen", [(False, TRAINED), (True, MEANS)])
def test_it_is_keras_s(on_epoch: bool, seen: list[list[float]], backend: str) -> None:
    model, found = example(), []
    spy = LambdaCallback(on_epoch_end=lambda epoch, logs: found.append(weights(model)))
    callbacks: list[Callback] = [SwapEMAWeights(on_epoch), spy]
    history = model.fit(X, Y, epochs=3, validation_data=(X, Y), callbacks=callbacks, **HOW).history
    # A few roundings of float32, near 1.
    np.testing.assert_allclose(history["val_loss"], LOSSES, rtol=1e-6)
    np.testing.assert_allclose(found, seen, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(weights(model), MEANS[-1], rtol=1e-6, atol=1e-7)
    plain = example().fit(X, Y, epochs=3, **HOW)
    assert history["loss"] == plain.history["loss"]
    assert weights(model).tolist() == weights(plain.model).tolist()


def test_training_that_stops_early_ends_with_the_means(backend: str) -> None:
    model = example()
    stopping = EarlyStopping("loss", min_delta=9, patience=1)
    model.fit(X, Y, epochs=9, callbacks=[SwapEMAWeights(swap_on_epoch=True), stopping], **HOW)
    assert stopping.stopped_epoch == 1
    np.testing.assert_allclose(weights(model), MEANS[1], rtol=1e-6, atol=1e-7)
    model.fit(X, Y, epochs=1, callbacks=SwapEMAWeights(swap_on_epoch=True), **HOW)
    plain = example()
    plain.fit(X, Y, epochs=2, **HOW)
    plain.fit(X, Y, epochs=1, **HOW)
    assert weights(model).tolist() == weights(plain).tolist()


def test_checkpoints_after_it_save_the_means(tmp_path: Any) -> None:
    checkpoint = ModelCheckpoint(tmp_path / "{epoch}.npz", save_weights_only=True)
    example().fit(X, Y, epochs=3, callbacks=[SwapEMAWeights(swap_on_epoch=True), checkpoint], **HOW)
    for epoch, means in enumerate(MEANS, 1):
        model = example()
        model.load_weights(tmp_path / f"{epoch}.npz")
        np.testing.assert_allclose(weights(model), means, rtol=1e-6, atol=1e-7)


def test_evaluate_and_predict_use_the_means_and_bring_the_weights_back(backend: str) -> None:
    model = example()
    means = after_batches(model)
    own, averaged = weights(model), with_weights(means)
    swap = SwapEMAWeights()
    for _ in range(2):
        assert model.evaluate(X, Y, verbose=0, callbacks=swap) == averaged.evaluate(X, Y, verbose=0)
        np.testing.assert_array_equal(model.predict(X, verbose=0, callbacks=[swap]), averaged.predict(X, verbose=0))
        np.testing.assert_array_equal(weights(model), own)
        assert np.concatenate([m.ravel() for _, m in model.optimizer.running_means()]).tolist() == means.tolist()


def test_a_copy_predicts_with_its_means(backend: str) -> None:
    model = example()
    averaged = with_weights(after_batches(model))
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(
        copy.predict(X, verbose=0, callbacks=SwapEMAWeights()), averaged.predict(X, verbose=0)
    )
    np.testing.assert_array_equal(weights(copy), weights(model))


def test_frozen_weights_stay() -> None:
    model = Sequential([Input((2,)), Dense(2, trainable=False), Dense(1, kernel_initializer="ones")])
    model.compile(SGD(0.1, use_ema=True), "mse")
    frozen = model.layers[0].kernel.value.copy()
    seen: list[Any] = []
    spy = LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(model.layers[0].kernel.value.copy()))
    model.fit(X, Y, epochs=2, callbacks=[SwapEMAWeights(True), spy], **HOW)
    assert [v.tolist() for v in seen] == [frozen.tolist()] * 2


def test_before_the_first_step_there_are_no_means() -> None:
    model = example()
    assert model.optimizer.running_means() == []
    assert model.evaluate(X, Y, verbose=0, callbacks=SwapEMAWeights()) == model.evaluate(X, Y, verbose=0)
    plain = model.predict(X, verbose=0)
    np.testing.assert_array_equal(model.predict(X, verbose=0, callbacks=[SwapEMAWeights()]), plain)
    assert weights(model).tolist() == [1, 1, 0]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_errors_bring_the_weights_back(error: type[BaseException]) -> None:
    def fail(*_: Any) -> None:
        raise error

    model = example()
    after_batches(model)
    own = weights(model)
    for run, hook in (
        (lambda hooks: model.evaluate(X, Y, verbose=0, callbacks=hooks), "on_test_batch_end"),
        (lambda hooks: model.predict(X, verbose=0, callbacks=hooks), "on_predict_batch_end"),
    ):
        with pytest.raises(error):
            run([SwapEMAWeights(), LambdaCallback(**{hook: fail})])
        np.testing.assert_array_equal(weights(model), own)
    model = example()
    with pytest.raises(error):
        model.fit(X, Y, callbacks=[SwapEMAWeights(True), LambdaCallback(on_epoch_end=fail)], **HOW)
    np.testing.assert_allclose(weights(model), TRAINED[0], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    "run",
    [
        lambda model: model.fit(X, Y, verbose=0, callbacks=SwapEMAWeights()),
        lambda model: model.evaluate(X, Y, verbose=0, callbacks=SwapEMAWeights()),
        lambda model: model.predict(X, verbose=0, callbacks=SwapEMAWeights()),
    ],
)
def test_an_optimizer_without_means_is_refused_before_anything_happens(run: Callable[[Sequential], Any]) -> None:
    model = example(use_ema=False)
    with pytest.raises(ValueError, match=r"SwapEMAWeights: the optimizer must .* use_ema=True\. Received: optimizer=<"):
        run(model)
    assert model.optimizer.steps == 0
    uncompiled = Sequential([Input((2,)), Dense(1)])
    with pytest.raises(ValueError, match="Received: optimizer=None"):
        uncompiled.predict(X, verbose=0, callbacks=SwapEMAWeights())
