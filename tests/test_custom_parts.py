"""Activations, losses and metrics written in Python: as ops where they are made of them, else called with arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from oracles import error, labels, one_hot, same_bits, uniform

import nncore
from nncore import backends, losses, metrics, random
from nncore.layers import Activation, Dense, Input
from nncore.models import Sequential

X, Y = uniform(70, 6, seed=1), uniform(70, 3, seed=2)


def compiled(loss: Any, scored: Any = None, activation: Any = "tanh", last: Any = None, **how: Any) -> Sequential:
    random.set_seed(3)
    made = Sequential([Input((6,)), Dense(5, activation), Dense(3, last)])
    made.compile("sgd", loss, metrics=scored, **how)
    return made


def after_training(made: Sequential, y: Any = Y, **how: Any) -> list[Any]:
    """History, weights and scores after two epochs with batches that do not divide the rows."""
    random.set_seed(4)
    history = made.fit(X, y, epochs=2, batch_size=16, verbose=0, **how).history
    return [*history.values(), *made.get_weights(), made.evaluate(X, y, verbose=0)]


def agree(a: list[Any], b: list[Any], tolerance: float = 1e-6) -> None:
    assert len(a) == len(b)
    for x, y in zip(a, b, strict=True):
        assert error(x, y) <= tolerance


def calls(made: Sequential) -> list[str]:
    return [i.function.name for i in made.program.instructions if i.function is not None]


# Activations.


def cube(x: Any) -> Any:
    return x**3


class PythonCube:
    """x³ with a backward of its own."""

    def __call__(self, x: Any) -> Any:
        return np.float_power(x, 3)

    def backward(self, dy: Any, x: Any, y: Any) -> Any:
        return 3 * x * x * dy


def test_activations_that_are_formulas(backend: str) -> None:
    made = compiled("mse", activation=cube)
    assert calls(made) == []
    agree(after_training(made), after_training(compiled("mse", activation=PythonCube())), 1e-5)
    for formula, name in [(lambda x: nncore.activations.relu(x), "relu"), (lambda x: np.tanh(x), "tanh")]:
        agree(after_training(compiled("mse", activation=formula)), after_training(compiled("mse", activation=name)))


def test_activations_that_are_called(backend: str) -> None:
    made = compiled("mse", activation=PythonCube())
    assert calls(made) == ["PythonCube", "PythonCube.backward"]
    assert max(nncore.check_gradients(made, X[:4].astype(np.float64), Y[:4]).values()) <= 1e-6
    layer = Sequential([Input((6,)), Activation(PythonCube())])
    assert error(layer.predict(X, verbose=0), X**3) <= 1e-6


def test_an_activation_without_gradient() -> None:
    made = compiled("mse", activation=lambda x: np.float_power(x, 3))
    with pytest.raises(ValueError, match="<lambda> runs in Python and has no backward"):
        made.fit(X, Y, verbose=0)


# Losses.


def squared(y_true: Any, y_pred: Any) -> Any:
    return np.mean(np.square(y_pred - y_true), axis=-1)


def squared_everywhere(y_true: Any, y_pred: Any) -> Any:
    return np.mean((y_pred - y_true) ** 2)


def squared_values(y_true: Any, y_pred: Any) -> Any:
    return (y_pred - y_true) ** 2


class Squared(losses.Loss):
    def call(self, y_true: Any, y_pred: Any) -> Any:
        return np.mean(np.square(y_pred - y_true), axis=-1)


class PythonSquared(losses.Loss):
    """The same, with a gradient of its own and NumPy that programs have no op for."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return np.mean(np.float_power(y_pred - y_true, 2), axis=-1)

    def backward(self, y_true: Any, y_pred: Any) -> Any:
        return 2 * (y_pred - y_true) / y_pred.shape[-1]


@pytest.mark.parametrize("loss", [squared, squared_everywhere, squared_values, Squared(), PythonSquared()])
def test_losses_train_as_mse_does(loss: Any, backend: str) -> None:
    assert calls(compiled(loss)) == (["PythonSquared", "PythonSquared.backward"] if "Python" in str(loss) else [])
    agree(after_training(compiled(loss)), after_training(compiled("mse")), 1e-6)


@pytest.mark.parametrize("loss", [squared, squared_values, Squared(), PythonSquared()])
def test_losses_with_weights(loss: Any, backend: str) -> None:
    weight = np.linspace(0, 2, 70)
    agree(after_training(compiled(loss), sample_weight=weight), after_training(compiled("mse"), sample_weight=weight))
    made = compiled(loss)
    assert max(nncore.check_gradients(made, X[:4].astype(np.float64), Y[:4], sample_weight=weight[:4]).values()) <= 1e-6


@pytest.mark.parametrize("reduction", ["sum", "mean_with_sample_weight"])
def test_reductions(reduction: str, backend: str) -> None:
    weight = np.linspace(0.1, 2, 70)
    plain = losses.MeanSquaredError(reduction=reduction)
    for loss in (Squared(reduction=reduction), PythonSquared(reduction=reduction)):
        agree(
            after_training(compiled(loss), sample_weight=weight), after_training(compiled(plain), sample_weight=weight)
        )


def test_losses_on_arrays() -> None:
    for loss in (Squared(), PythonSquared(), losses.get(squared), losses.get(squared_values)):
        assert error(loss(Y, X[:, :3]), losses.MeanSquaredError()(Y, X[:, :3])) <= 1e-6
    none = losses.MeanSquaredError(reduction="none")
    assert error(Squared(reduction="none")(Y, X[:, :3]), none(Y, X[:, :3])) <= 1e-6


def test_targets_of_another_shape(backend: str) -> None:
    """A loss of one's own is given y as it is: labels here, and nothing like the predictions."""

    class Own(losses.Loss):
        def call(self, y_true: Any, y_pred: Any) -> Any:
            chosen = np.take_along_axis(y_pred, y_true.astype(int).reshape(-1, 1), axis=-1)[:, 0]
            return -np.log(chosen)

        def backward(self, y_true: Any, y_pred: Any) -> Any:
            found = np.zeros_like(y_pred)
            place = y_true.astype(int).reshape(-1, 1)
            np.put_along_axis(found, place, -1 / np.take_along_axis(y_pred, place, axis=-1), axis=-1)
            return found

    y = labels(70, 3)
    ours, theirs = compiled(Own(), last="softmax"), compiled("sparse_categorical_crossentropy", last="softmax")
    agree(after_training(ours, y), after_training(theirs, y), 1e-5)


def test_losses_without_gradient() -> None:
    made = compiled(lambda t, p: np.sort(np.abs(t - np.sort(p)), axis=-1).mean(axis=-1))
    assert np.isfinite(made.evaluate(X, Y, verbose=0))
    with pytest.raises(ValueError, match="<lambda> runs in Python and has no backward"):
        made.fit(X, Y, verbose=0)


@pytest.mark.parametrize(
    "loss, message",
    [
        (lambda t, p: np.sort(p)[:2], r"must return one value a sample.* Received: shape \(1, 3\)|Received"),
        (lambda t, p: "no", "must return"),
    ],
)
def test_losses_that_return_something_else(loss: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        compiled(loss).evaluate(X[:5], Y[:5], verbose=0)


# Metrics.


def far(y_true: Any, y_pred: Any) -> Any:
    """The mean absolute error, one value a sample."""
    return np.mean(np.abs(y_pred - y_true), axis=-1)


def far_called(y_true: Any, y_pred: Any) -> Any:
    return np.mean(np.fabs(y_pred - y_true), axis=-1)


class Largest(metrics.Metric):
    """The largest error so far."""

    def __init__(self, name: str = "largest", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.value = self.add_weight(name="value", initializer="zeros")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        errors = np.abs(y_pred - y_true)
        if sample_weight is not None:
            errors = errors * np.reshape(sample_weight, (-1, 1))
        self.value.assign(np.maximum(self.value, errors.max()))

    def result(self) -> Any:
        return self.value


@pytest.mark.parametrize("metric", [far, far_called])
def test_metrics_that_are_functions(metric: Any, backend: str) -> None:
    made = compiled("mse", [metric, "mae"])
    assert calls(made) == ([] if metric is far else ["MeanMetricWrapper"])
    random.set_seed(4)
    history = made.fit(X, Y, epochs=2, batch_size=16, verbose=0, validation_data=(X[:20], Y[:20])).history
    name = metric.__name__
    assert list(history) == sorted([name, "mae", "loss", f"val_{name}", "val_mae", "val_loss"])
    for key in ("", "val_"):
        assert error(history[key + name], history[f"{key}mae"]) <= 1e-6
    assert list(made.evaluate(X, Y, verbose=0, return_dict=True)) == sorted(["loss", name, "mae"])


def test_metrics_that_keep_state(backend: str) -> None:
    made = compiled("mse", [Largest()])
    assert calls(made) == ["Largest"]
    random.set_seed(4)
    history = made.fit(X, Y, epochs=2, batch_size=16, verbose=0, validation_data=(X[:20], Y[:20])).history
    assert len(history["largest"]) == len(history["val_largest"]) == 2
    predictions = made.predict(X, verbose=0)
    assert error(made.evaluate(X, Y, verbose=0)[1], np.abs(predictions - Y).max()) <= 1e-6
    assert error(history["val_largest"][-1], np.abs(predictions - Y)[:20].max()) <= 1e-6
    assert error(made.test_on_batch(X[:3], Y[:3])[1], np.abs(predictions - Y)[:3].max()) <= 1e-6


def test_weighted_metrics_that_keep_state(backend: str) -> None:
    weight = np.linspace(0, 2, 70).astype(np.float32)
    made = compiled("mse", [Largest()], weighted_metrics=[Largest(name="heaviest")])
    errors = np.abs(made.predict(X, verbose=0) - Y)
    scores = made.evaluate(X, Y, sample_weight=weight, verbose=0, return_dict=True)
    assert error(scores["largest"], errors.max()) <= 1e-6
    assert error(scores["heaviest"], (errors * weight[:, None]).max()) <= 1e-6


def test_a_metric_that_fails_changes_nothing(backend: str) -> None:
    class Failing(Largest):
        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
            raise KeyError("mine")

    made = compiled("mse", [Failing()])
    before = made.get_weights()
    with pytest.raises(KeyError, match="mine"):
        made.fit(X, Y, verbose=0)
    assert all(same_bits(a, b) for a, b in zip(before, made.get_weights(), strict=True))
    assert made.optimizer.iterations == 0


def test_backends_agree_on_all_of_them() -> None:
    results = []
    before = backends.get_backend()
    for name in ("native", "numpy"):
        backends.set_backend(name)
        results.append(after_training(compiled(PythonSquared(), [Largest(), far_called, far], activation=PythonCube())))
    backends.set_backend(before)
    agree(*results, 1e-5)


def test_one_hot_targets_reach_a_metric_whole(backend: str) -> None:
    seen = []

    def shapes(y_true: Any, y_pred: Any) -> Any:
        seen.append((np.shape(y_true), np.shape(y_pred)))
        return np.zeros(len(np.asarray(y_pred)))

    made = compiled("categorical_crossentropy", [shapes], last="softmax")
    made.evaluate(X[:9], one_hot(9, 3), batch_size=4, verbose=0)
    assert [shape for shape in seen if isinstance(shape[0], tuple) and None not in shape[0]][-3:] == [
        ((4, 3), (4, 3)), ((4, 3), (4, 3)), ((1, 3), (1, 3)),
    ]  # fmt: skip
