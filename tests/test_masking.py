"""Masks: what layers make of them, and that masked steps do not count, number for number with Keras 3.15.1."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from oracles import error, same_bits

from nncore import layers, losses, metrics
from nncore.layers import (
    Activation,
    BatchNormalization,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GroupNormalization,
    Input,
    Layer,
    LayerNormalization,
    LeakyReLU,
    Masking,
    Permute,
    ReLU,
    RepeatVector,
    Rescaling,
    Reshape,
    RMSNormalization,
    Softmax,
    TimeDistributed,
    UnitNormalization,
)
from nncore.models import Sequential
from nncore.optimizers import SGD

pytestmark = pytest.mark.usefixtures("seed")


def spread(*shape: int) -> np.ndarray:
    return np.sin(1.0 + 7.0 * np.arange(np.prod(shape))).reshape(shape).astype(np.float32)


IDS = np.array([[1, 0, 3], [0, 0, 0], [2, 1, 0], [3, 3, 3], [0, 1, 2], [2, 0, 0], [1, 2, 3]], np.int32)
X = np.where(IDS[..., None] == 0, np.float32(-1), spread(7, 3, 2))
X[0, 0, 1] = -1  # which masks no step
WEIGHT = np.abs(spread(7, 3)) + np.float32(0.1)
LABELS = np.arange(21).reshape(7, 3) % 4
VALUES = spread(7, 3, 2)
BINARY = (spread(7, 3, 4) > 0).astype(np.float32)


def ids() -> Layer:
    return Embedding(4, 3, mask_zero=True)


def steps() -> Layer:
    return Masking(-1.0)


SCCE = losses.SparseCategoricalCrossentropy
Made = tuple[Layer, list[Layer], Any, np.ndarray, dict[str, Any], bool]

# Two epochs of SGD(0.2) in batches of 4 from weights that spread() gives: what Keras's history was, what evaluate said
# afterwards, and the sum of the absolute values of each weight. Losses and weights are those of all its backends. In
# training its JAX backend loses the mask before metrics see it, so theirs are those of the torch backend; this changes
# sample weights where they lie, so weighted means behind a mean loss are those of the JAX backend, in evaluate alone.
RECORDED: dict[str, tuple[Callable[[], Made], dict[str, list[float]], dict[str, float], list[float]]] = {
    "ids": (
        lambda: (ids(), [Dense(4, "tanh"), LayerNormalization(), Dropout(0.0), Dense(2)], "mse", VALUES,
                 {"metrics": ["mae", metrics.RootMeanSquaredError()]}, False),
        {"loss": [8.1896982, 1.6894152], "mae": [2.7015574, 1.0399498],
         "root_mean_squared_error": [2.7888708, 1.1509777]},
        {"loss": 0.66010493, "mae": 0.7290079, "root_mean_squared_error": 0.73865193},
        [9.6081085, 10.057828, 3.1276984, 1.4218093, 1.1056123, 2.4218025, 1.6096337],
    ),
    "weighted ids": (
        lambda: (ids(), [Dense(4), ReLU(), Dense(2)], "mse", VALUES,
                 {"metrics": ["mae"], "weighted_metrics": ["mae", metrics.RootMeanSquaredError()]}, True),
        {"loss": [1.538222, 0.52042633], "mae": [1.1187584, 0.6196422],
         "root_mean_squared_error": [1.3146942, 1.0044391]},
        {"loss": 0.33755714, "mae": 0.56503099, "root_mean_squared_error": 0.74395126, "weighted_mae": 0.48698208},
        [7.8767605, 8.0033617, 2.2064738, 4.8566241, 1.4275377],
    ),
    "steps": (
        lambda: (steps(), [Rescaling(0.5), Dense(4, "softmax")], "sparse_categorical_crossentropy", LABELS,
                 {"metrics": ["accuracy"]}, False),
        {"accuracy": [0.15384616, 0.15384616], "loss": [1.5350598, 1.4772753]},
        {"accuracy": 0.15384616, "loss": 1.4353268},
        [5.3700247, 2.4722657],
    ),
    "weighted steps": (
        lambda: (steps(), [Dense(5), LeakyReLU(), GroupNormalization(1), UnitNormalization(), Dense(4, "softmax")],
                 SCCE(reduction="mean_with_sample_weight"), LABELS,
                 {"metrics": ["accuracy"], "weighted_metrics": ["accuracy"]}, True),
        {"accuracy": [0.15384616, 0.23076922], "loss": [1.5025963, 1.4027396],
         "weighted_accuracy": [0.17270452, 0.2902087]},
        {"accuracy": 0.38461539, "loss": 1.3474089, "weighted_accuracy": 0.44596538},
        [6.5869613, 3.1579242, 3.2146239, 3.1193259, 13.281673, 2.472266],
    ),
    "steps with labels to ignore": (
        lambda: (steps(), [Dense(4, "softmax")], SCCE(ignore_class=1), LABELS, {}, False),
        {"loss": [1.627494, 1.4830881]},
        {"loss": 1.3790286},
        [5.4856672, 2.4722657],
    ),
    "a sum of steps": (
        lambda: (steps(), [Dense(4, "sigmoid")], losses.BinaryCrossentropy(reduction="sum"), BINARY,
                 {"metrics": ["binary_accuracy", metrics.Recall(name="recall")]}, False),
        {"binary_accuracy": [0.67307693, 0.67307693], "loss": [4.3340225, 4.2971334], "recall": [0.90697676] * 2},
        {"binary_accuracy": 0.67307693, "loss": 4.2672896, "recall": 0.90697676},
        [4.9103246, 2.3521595],
    ),
    "a dropped mask": (
        lambda: (steps(), [Dense(4), Reshape((3, 4)), Dense(2)], "mse", VALUES, {"metrics": ["mae"]}, False),
        {"loss": [1.7530819, 0.26007175], "mae": [1.1418641, 0.40886402]},
        {"loss": 0.30650735, "mae": 0.37975597},
        [5.2900858, 2.3292658, 4.8099923, 1.3648667],
    ),
}  # fmt: skip


def model_of(first: Layer, rest: list[Layer]) -> tuple[Sequential, np.ndarray]:
    """The model with the weights that all start from, and its samples."""
    known = isinstance(first, Embedding)
    model = Sequential([Input((3,), dtype="int32") if known else Input((3, 2)), first, *rest])
    model.set_weights([spread(*w.shape) for w in model.get_weights()])
    return model, IDS if known else X


@pytest.mark.filterwarnings("ignore:Layer 'reshape")
@pytest.mark.parametrize("name", RECORDED)
def test_as_in_keras(name: str, backend: str) -> None:
    make, history, scores, weights = RECORDED[name]
    first, rest, loss, y, scored, weighted = make()
    model, x = model_of(first, rest)
    model.compile(SGD(0.2), loss, **scored)
    how = {"sample_weight": WEIGHT if weighted else None, "batch_size": 4, "verbose": 0}
    found = model.fit(x, y, epochs=2, shuffle=False, **how).history
    assert set(history) <= set(found)
    for key, values in history.items():
        assert error(found[key], values) <= 1e-5, key
    evaluated = model.evaluate(x, y, return_dict=True, **how)
    assert set(evaluated) == set(scores)
    for key, value in scores.items():
        assert error(evaluated[key], value) <= 1e-5, key
    assert error([np.abs(w).sum() for w in model.get_weights()], weights) <= 1e-5


def test_masked_steps_are_zero(backend: str) -> None:
    model, _ = model_of(steps(), [])
    assert same_bits(model.predict(X, verbose=0), np.where(IDS[..., None] == 0, np.float32(0), X))
    assert same_bits(model(X), model.predict(X, verbose=0))
    nan = X.copy()
    nan[1, 1] = [np.nan, -1]
    assert np.isnan(model.predict(nan, verbose=0)[1, 1, 0])


@pytest.mark.parametrize("make", [ids, steps])
def test_what_masked_targets_are_does_not_matter(make: Callable[[], Layer], backend: str) -> None:
    model, x = model_of(make(), [Dense(4, "tanh"), Dense(2)])
    model.compile(SGD(0.2), "mse", metrics=["mae"])
    other = np.where(IDS[..., None] == 0, np.float32(9), VALUES)
    start = model.get_weights()
    ends = []
    for y in (VALUES, other):
        model.set_weights(start)
        ends.append([model.train_on_batch(x, y), *model.get_weights()])
    assert all(same_bits(a, b) for a, b in zip(*ends, strict=True))


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "mean_with_sample_weight"])
def test_a_batch_without_a_step(reduction: str, backend: str) -> None:
    model, x = model_of(ids(), [Dense(2)])
    model.compile(SGD(0.2), losses.MeanSquaredError(reduction), metrics=["mae"])
    before = model.get_weights()
    assert model.train_on_batch(np.zeros_like(x), VALUES) == [0.0, 0.0]
    assert all(same_bits(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_samples_of_one_axis(backend: str) -> None:
    """Without steps, the mask is one of samples."""
    x = np.array([[0, 0], [1, 2], [0, 3]], np.float32)
    model = Sequential([Input((2,)), Masking(), Dense(1)])
    model.compile(SGD(0.1), "mse")
    y = np.array([[9.0], [1.0], [2.0]])
    assert error(model.evaluate(x, y, verbose=0), np.mean((model.predict(x, verbose=0)[1:] - y[1:]) ** 2)) < 1e-6


DROPS: dict[str, Callable[[], list[Layer]]] = {
    "flatten": lambda: [Flatten(), Dense(2)],
    "reshape": lambda: [Reshape((3, 2))],
    "permute": lambda: [Permute((2, 1))],
    "rms_normalization": lambda: [RMSNormalization()],
    "repeat_vector": lambda: [Flatten(), RepeatVector(3)],
    "own": lambda: [Own(name="own")],
}


class Own(Layer):
    def call(self, inputs: Any) -> Any:
        return Softmax()(inputs) * 2.0


@pytest.mark.parametrize("name", DROPS)
def test_layers_that_drop_the_mask_say_so(name: str) -> None:
    model, _ = model_of(steps(), DROPS[name]())
    model.compile("sgd", "mse")
    y = np.zeros((7, *model.output_shape[1:]))
    with pytest.warns(UserWarning, match=f"Layer '{'flatten' if name == 'repeat_vector' else name}.*drops the mask"):
        found = model.test_on_batch(X, y)
    assert error(found, np.mean(model.predict(X, verbose=0) ** 2)) < 1e-6


def test_a_layer_of_ones_own_hands_the_mask_on(backend: str) -> None:
    layer = Own()
    layer.supports_masking = True
    model, _ = model_of(steps(), [layer])
    model.compile("sgd", "mse")
    y, kept = np.zeros((7, 3, 2)), IDS != 0
    assert error(model.test_on_batch(X, y), np.mean(model.predict(X, verbose=0)[kept] ** 2)) < 1e-6


def test_every_step_by_itself(backend: str) -> None:
    ends = []
    for layer in (Dense(4, "tanh"), TimeDistributed(Dense(4, "tanh"))):
        model, _ = model_of(steps(), [layer, Dense(2)])
        model.compile("sgd", "mse", metrics=["mae"])
        ends.append([*model.train_on_batch(X, VALUES), *model.get_weights()])
    assert all(same_bits(a, b) for a, b in zip(*ends, strict=True))


def test_which_layers_hand_the_mask_on() -> None:
    """All but these, as in Keras; Embedding where ids may mean no step; and Softmax, which refuses masks."""
    dropping = {"Flatten", "InputLayer", "Lambda", "Layer", "Permute", "RMSNormalization", "RepeatVector", "Reshape"}
    classes = {name: cls for name, cls in vars(layers).items() if isinstance(cls, type) and issubclass(cls, Layer)}
    assert {name for name, cls in classes.items() if not cls.supports_masking} == dropping | {"Embedding", "Softmax"}
    assert Embedding(2, 2, mask_zero=True).supports_masking
    assert not Embedding(2, 2).supports_masking


def test_gradient_in_inputs() -> None:
    """Masked steps have none."""
    model, _ = model_of(Masking(-1.0), [Dense(4, "tanh"), Dense(2)])
    model.compile("sgd", "mse")
    found = model.input_gradient(X, VALUES)
    assert np.all(found[IDS == 0] == 0)
    assert np.all(np.any(found[IDS != 0] != 0, axis=-1))


def test_no_mask_no_change() -> None:
    """Without mask_zero the program is the one it was."""
    model, _ = model_of(Embedding(4, 3), [Dense(2)])
    model.compile("sgd", "mse")
    assert not {"known_labels", "mask_steps", "weigh_rows"} & {i.op for i in model.program.instructions}


def test_configs() -> None:
    for layer in (Masking(2.5, name="m"), Embedding(3, 2, mask_zero=True)):
        assert type(layer).from_config(layer.get_config()).get_config() == layer.get_config()
    assert Masking().get_config()["mask_value"] == 0.0
    assert Embedding(3, 2, mask_zero=True).get_config()["mask_zero"] is True


@pytest.mark.parametrize("value", ["0", None, np.inf, np.nan])
def test_bad_values(value: Any) -> None:
    with pytest.raises(ValueError, match="Masking: mask_value must be a finite number"):
        Masking(value)
    assert value is None or isinstance(value, str | float)


REFUSED: dict[str, tuple[list[Layer], Any, str]] = {
    "softmax": ([Softmax()], "mse", "takes no inputs with a mask"),
    "batch": ([BatchNormalization()], "mse", "is not trained on inputs with a mask"),
    "dice": ([Dense(2, "sigmoid")], losses.Dice(), "need a loss of one value for each of the mask"),
    "axis": ([Dense(2)], losses.CosineSimilarity(axis=1), r"mask of shape \(None, 3\)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_takes_no_mask(name: str) -> None:
    stack, loss, part = REFUSED[name]
    model, _ = model_of(steps(), stack)
    model.compile("sgd", loss)
    with pytest.raises(ValueError, match=part):
        model.train_on_batch(X, np.abs(VALUES))
    assert model.optimizer.iterations == 0


def test_batch_normalization_that_is_not_trained(backend: str) -> None:
    model, _ = model_of(steps(), [BatchNormalization(trainable=False), Activation("tanh"), Dense(2)])
    model.compile(SGD(0.1), "mse")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(model.train_on_batch(X, VALUES))


def test_masking_needs_steps() -> None:
    with pytest.raises(ValueError, match=r"needs inputs of shape \(batch, …, k\)"):
        Masking()(np.zeros(3))
    assert Masking()(np.zeros((3, 1))).shape == (3, 1)
