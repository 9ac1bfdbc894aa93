"""``Sequential`` without training: building, weights, predictions, configs."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from activation_table import ACTIVATIONS
from oracles import one_hot, relative, same_bits, uniform

import nncore
from nncore import backend as keras_backend
from nncore.layers import (
    Activation,
    AlphaDropout,
    BatchNormalization,
    Dense,
    Dropout,
    Flatten,
    GaussianDropout,
    GaussianNoise,
    GroupNormalization,
    Identity,
    Input,
    InputLayer,
    Layer,
    LayerNormalization,
    Normalization,
    Permute,
    ReLU,
    RepeatVector,
    Rescaling,
    Reshape,
    RMSNormalization,
    Softmax,
    SpatialDropout1D,
    TimeDistributed,
    UnitNormalization,
)
from nncore.losses import BinaryCrossentropy, CategoricalCrossentropy
from nncore.metrics import BinaryAccuracy
from nncore.models import Sequential, model_from_json
from nncore.optimizers import SGD, Adam
from nncore.variables import Variable

pytestmark = pytest.mark.usefixtures("seed")


def example(first: dict[str, Any] | None = None) -> Sequential:
    """A small network of the example's kind."""
    return Sequential([Dense(8, activation="relu", **(first or {"input_dim": 5})), Dense(3, activation="softmax")])


def by_hand(model: Sequential, x: np.ndarray) -> np.ndarray:
    """The example's predictions in plain float64."""
    w1, b1, w2, b2 = (w.astype(np.float64) for w in model.get_weights())
    z = np.maximum(x @ w1 + b1, 0) @ w2 + b2
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


# Building.


def test_the_readme_s_way() -> None:
    model = Sequential()
    model.add(Dense(units=64, activation="relu", input_dim=100))
    assert model.built
    model.add(Dense(units=10, activation="softmax"))
    assert [layer.name for layer in model.layers] == ["dense", "dense_1"]
    names = ["dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias"]
    assert [v.path for v in model.weights] == [f"sequential/{name}" for name in names]
    assert [v.shape for v in model.weights] == [(100, 64), (64,), (64, 10), (10,)]
    assert model.input_shape == (None, 100)
    assert model.output_shape == (None, 10)
    assert model.count_params() == 7114
    assert model.name == "sequential"


@pytest.mark.parametrize(
    "first",
    [
        {"input_dim": 5}, {"input_shape": (5,)}, {"input_shape": [5]}, {"input_shape": 5}, {"input_dim": np.int64(5)},
    ],
)  # fmt: skip
def test_first_layer_says_the_shape(first: dict[str, Any]) -> None:
    assert example(first).input_shape == (None, 5)


@pytest.mark.parametrize("make", [
    lambda: Input((5,)), lambda: Input(shape=[5]), lambda: Input(5), lambda: Input(batch_shape=(None, 5)),
    lambda: InputLayer((5,)), lambda: Input((5,), dtype="float32", name="x"),
])  # fmt: skip
def test_input_says_the_shape(make: Any) -> None:
    model = Sequential([make(), Dense(3)])
    assert model.built
    assert model.input_shape == (None, 5)
    assert [type(layer) for layer in model.layers] == [Dense]


def test_deferred_build() -> None:
    model = Sequential([Dense(4), Dense(2)])
    assert not model.built
    assert model.weights == []
    with pytest.raises(AttributeError, match="isn't built"):
        _ = model.output_shape
    model.build((None, 6))
    assert [v.shape for v in model.weights] == [(6, 4), (4,), (4, 2), (2,)]
    model.build((None, 6))  # a second time changes nothing
    assert model.count_params() == 38


@pytest.mark.parametrize("method", ["predict", "predict_on_batch", "__call__", "fit", "evaluate", "train_on_batch"])
def test_data_builds_a_deferred_model(method: str, backend: str) -> None:
    model = Sequential([Dense(4), Dense(2)])
    x = uniform(6, 3)
    if method in ("fit", "evaluate", "train_on_batch"):
        model.compile("sgd", "mse")
        quiet = {} if method == "train_on_batch" else {"verbose": 0}
        getattr(model, method)(x, uniform(6, 2), **quiet)
    else:
        assert getattr(model, method)(x).shape == (6, 2)
    assert model.input_shape == (None, 3)
    assert model.weights[0].shape == (3, 4)


def test_vector_builds_a_model_of_one_feature() -> None:
    model = Sequential([Dense(2)])
    assert model.predict(np.arange(4.0), verbose=0).shape == (4, 2)
    assert model.input_shape == (None, 1)


def test_add_and_pop_keep_the_other_weights() -> None:
    model = Sequential([Input((4,)), Dense(5), Dense(6)])
    first = model.layers[0].get_weights()
    popped = model.pop()
    assert popped.units == 6
    assert model.output_shape == (None, 5)
    model.add(Dense(2, name="head"))
    assert model.output_shape == (None, 2)
    assert all(same_bits(a, b) for a, b in zip(first, model.layers[0].get_weights(), strict=True))
    model.add(popped.__class__(1), rebuild=False)
    assert not model.built
    model.build()
    assert model.output_shape == (None, 1)


def test_pop_to_the_input_and_add_again() -> None:
    model = Sequential([Dense(3, input_dim=2)])
    model.pop()
    assert model.layers == []
    assert not model.built
    model.add(Dense(7))
    assert model.built
    assert model.weights[0].shape == (2, 7)


def test_a_failed_add_leaves_the_model_as_it_was() -> None:
    model = Sequential([Input((4,)), Dense(6)])
    before = model.get_weights()
    with pytest.raises(ValueError, match="do not fill"):
        model.add(Reshape((5,)))
    assert len(model.layers) == 1
    assert all(same_bits(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert model.predict(np.ones((2, 4)), verbose=0).shape == (2, 6)


def test_automatic_names() -> None:
    layers = [Dense(1), ReLU(), Softmax(), InputLayer((1,)), Dropout(0.1), Rescaling(1.0), Dense(1), Dense(1, name="x")]
    names = [layer.name for layer in layers]
    assert names == ["dense", "re_lu", "softmax", "input_layer", "dropout", "rescaling", "dense_1", "x"]
    assert [Sequential().name, Sequential().name, Sequential(name="mine").name] == [
        "sequential",
        "sequential_1",
        "mine",
    ]
    keras_backend.clear_session()
    assert Dense(1).name == "dense"


# Weights.


def test_variables() -> None:
    model = example()
    kernel = model.weights[0]
    assert isinstance(kernel, nncore.Variable)
    assert (kernel.name, kernel.path, kernel.dtype) == ("kernel", "sequential/dense/kernel", "float32")
    assert (kernel.shape, kernel.ndim, kernel.size, len(kernel)) == ((5, 8), 2, 40, 5)
    assert model.layers[0].kernel is kernel
    assert model.layers[0].bias is model.weights[1]
    values = kernel.numpy()
    values[...] = 7
    assert not np.any(kernel.numpy() == 7)
    kernel.assign(values)
    assert np.all(model.get_weights()[0] == 7)
    assert np.array_equal(kernel + 1, np.full((5, 8), 8.0))
    assert np.array_equal(np.asarray(kernel), values)


def test_initial_weights() -> None:
    model = Sequential([Input((300,)), Dense(200), Dense(4, use_bias=False, kernel_initializer="ones")])
    kernel, bias, ones = model.get_weights()
    limit = np.sqrt(6 / 500)
    assert np.abs(kernel).max() <= limit
    assert kernel.std() == pytest.approx(limit / np.sqrt(3), rel=0.02)
    assert np.all(bias == 0)
    assert np.all(ones == 1)


def test_get_and_set_weights(backend: str) -> None:
    model, other = example(), example()
    x = uniform(7, 5)
    assert not same_bits(model.predict(x, verbose=0), other.predict(x, verbose=0))
    other.set_weights(model.get_weights())
    assert same_bits(model.predict(x, verbose=0), other.predict(x, verbose=0))
    other.layers[1].set_weights([np.zeros((8, 3)), [0, 0, 0]])
    assert np.allclose(other.predict(x, verbose=0), 1 / 3)
    copies = model.get_weights()
    copies[0][...] = 0
    assert np.any(model.get_weights()[0] != 0)


def test_weights_keep_their_identity(backend: str) -> None:
    """A variable is the same object, and shows the values in force, whatever the model does."""
    model = Sequential([Input((4,)), Dense(5, activation="tanh")])
    variables = list(model.weights)
    x, y = uniform(20, 4), uniform(20, 2)
    model.add(Dense(2))
    model.compile(SGD(0.1), "mse")
    for _ in range(2):
        before = variables[0].numpy()
        model.fit(x, y, epochs=2, verbose=0)
        assert model.weights[0] is variables[0]
        assert not same_bits(variables[0].numpy(), before)
        assert same_bits(variables[0].numpy(), model.get_weights()[0])
    model.pop()
    model.add(Dense(2, name="other"))
    assert model.weights[:2] == variables
    variables[0].assign(np.zeros((4, 5)))
    variables[1].assign(np.zeros(5))
    assert np.all(model.predict(x, verbose=0) == 0)


def test_a_shared_layer_stays_shared(backend: str) -> None:
    """Two models over one layer: each sees what the other trained, in any order."""
    shared = Dense(6, activation="tanh")
    one = Sequential([Input((4,)), shared, Dense(2)])
    two = Sequential([Input((4,)), shared, Dense(3)])
    x = uniform(32, 4)
    for model in (one, two):
        model.compile(SGD(0.1), "mse")
    separate = [v for model in (one, two) for v in model.layers[1].weights]
    for model, other, y in [(one, two, uniform(32, 2)), (two, one, uniform(32, 3))] * 2:
        before, untouched = shared.get_weights(), other.layers[1].get_weights()
        model.fit(x, y, verbose=0)
        assert not same_bits(shared.get_weights()[0], before[0])
        assert all(same_bits(a, b) for a, b in zip(other.layers[1].get_weights(), untouched, strict=True))
        for either in (one, two):
            hidden = np.tanh(x.astype(np.float64) @ shared.kernel.numpy() + shared.bias.numpy())
            last = either.layers[1]
            assert relative(either.predict(x, verbose=0), hidden @ last.kernel.numpy() + last.bias.numpy()) < 1e-5
    assert len({id(v) for v in separate}) == 4


def test_trainable(backend: str) -> None:
    model = example()
    frozen, x, y = model.layers[0], uniform(30, 5), one_hot(30, 3)
    frozen.trainable = False
    assert model.trainable_weights == model.layers[1].weights
    assert model.non_trainable_weights == frozen.weights
    model.compile(Adam(0.1), "categorical_crossentropy")
    before = model.get_weights()
    model.fit(x, y, verbose=0)
    changed = [not same_bits(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert changed == [False, False, True, True]
    frozen.trainable = True
    model.compile(Adam(0.1), "categorical_crossentropy")
    model.fit(x, y, verbose=0)
    assert not same_bits(before[0], model.get_weights()[0])
    model.trainable = False
    assert model.trainable_weights == []
    before = model.get_weights()
    model.compile("sgd", "categorical_crossentropy")
    model.fit(x, y, verbose=0)  # nothing to train: runs, and changes nothing
    assert all(same_bits(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert Sequential([Dense(1, input_dim=2)], trainable=False).trainable_weights == []


def test_get_layer() -> None:
    model = example()
    assert model.get_layer("dense_1") is model.layers[1]
    assert model.get_layer(index=0) is model.layers[0]
    assert model.get_layer(index=-1) is model.layers[1]
    for wrong in ({"name": "dense_2"}, {"index": 2}, {}, {"name": "dense", "index": 0}):
        with pytest.raises(ValueError):
            model.get_layer(**wrong)


# Predictions.


def test_predictions_by_hand(backend: str) -> None:
    model = example()
    x = uniform(70, 5, low=-3, high=3)
    p = model.predict(x, verbose=0)
    assert p.dtype == np.float32
    assert p.shape == (70, 3)
    assert relative(p, by_hand(model, x.astype(np.float64))) < 2e-6
    assert same_bits(p, model.predict_on_batch(x))
    assert same_bits(p, model(x))
    assert same_bits(p, model.predict(x, batch_size=7, verbose=0)) or backend == "numpy"


def test_predict_needs_no_compile(backend: str) -> None:
    assert example().predict(uniform(3, 5), verbose=0).shape == (3, 3)


LAYERS: dict[str, tuple[list[Layer], Any]] = {}


def layer_case(name: str, layers: list[Layer], expected: Any) -> None:
    LAYERS[name] = (layers, expected)


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def normed(x: np.ndarray, axis: int | tuple[int, ...], epsilon: float) -> np.ndarray:
    return (x - x.mean(axis, keepdims=True)) / np.sqrt(x.var(axis, keepdims=True) + epsilon)


layer_case("relu", [Activation("relu")], relu)
layer_case("tanh", [Activation("tanh")], np.tanh)
layer_case("sigmoid", [Activation("sigmoid")], sigmoid)
layer_case("softmax", [Activation("softmax")], softmax)
layer_case("linear", [Activation("linear")], lambda x: x)
layer_case("none", [Activation(None)], lambda x: x)
layer_case("function", [Activation(nncore.activations.tanh)], np.tanh)
for op, row in ACTIVATIONS.items():
    if row.name is not None and row.name not in ("relu", "tanh", "sigmoid"):
        layer_case(op, [Activation(op)], partial(row.value, **row.attributes[0]))
layer_case("ReLU", [ReLU()], relu)
layer_case("ReLU max", [ReLU(max_value=1.0)], lambda x: np.clip(x, 0, 1))
layer_case("ReLU slope", [ReLU(negative_slope=0.5)], lambda x: np.where(x > 0, x, 0.5 * x))
layer_case("ReLU threshold", [ReLU(threshold=0.5)], lambda x: np.where(x > 0.5, x, 0))
layer_case(
    "ReLU all", [ReLU(1.0, 0.1, 0.5)], lambda x: np.where(x > 0.5, np.minimum(x, 1), 0.1 * (x - 0.5))
)  # fmt: skip
layer_case("Softmax", [Softmax()], softmax)
layer_case("Dropout", [Dropout(0.9)], lambda x: x)
layer_case("noise", [AlphaDropout(0.5), GaussianDropout(0.5), GaussianNoise(0.5), SpatialDropout1D(0.5)], lambda x: x)
layer_case("Flatten", [Flatten()], lambda x: x.reshape(len(x), -1))
layer_case("Reshape", [Reshape((4, 3))], lambda x: x.reshape(len(x), 4, 3))
layer_case("Reshape -1", [Reshape((2, -1))], lambda x: x.reshape(len(x), 2, -1))
layer_case("Reshape to vectors", [Reshape(12)], lambda x: x.reshape(len(x), 12))
layer_case("Flatten channels first", [Flatten("channels_first")], lambda x: x.swapaxes(1, 2).reshape(len(x), -1))
layer_case("Identity", [Identity()], lambda x: x)
layer_case("Permute", [Permute((2, 1))], lambda x: x.swapaxes(1, 2))
layer_case("Permute to the same", [Permute((1, 2))], lambda x: x)
layer_case("Permute twice", [Permute((2, 1)), ReLU(), Permute([2, 1])], relu)
layer_case(
    "Permute three axes", [Reshape((3, 2, 2)), Permute((3, 1, 2))],
    lambda x: x.reshape(len(x), 3, 2, 2).transpose(0, 3, 1, 2),
)  # fmt: skip
layer_case("Permute an axis of 1", [Reshape((1, 12, 1)), Permute((2, 3, 1))], lambda x: x.reshape(len(x), 12, 1, 1))
layer_case("TimeDistributed", [TimeDistributed(Activation("tanh"))], np.tanh)
layer_case("RepeatVector", [Flatten(), RepeatVector(3)], lambda x: np.repeat(x.reshape(len(x), 1, 12), 3, axis=1))
layer_case("Rescaling", [Rescaling(0.5, 2.0)], lambda x: x * 0.5 + 2)
layer_case("BatchNormalization", [BatchNormalization(epsilon=0.25)], lambda x: x / np.sqrt(1.25))
layer_case("LayerNormalization", [LayerNormalization(epsilon=0.5)], lambda x: normed(x, 2, 0.5))
layer_case("LayerNormalization axis", [LayerNormalization(axis=1, epsilon=0.5)], lambda x: normed(x, 1, 0.5))
layer_case("LayerNormalization axes", [LayerNormalization(axis=[-1, 1], epsilon=0.5)], lambda x: normed(x, (1, 2), 0.5))
layer_case(
    "GroupNormalization", [GroupNormalization(2, epsilon=0.5)],
    lambda x: normed(x.reshape(len(x), 3, 2, 2), (1, 3), 0.5).reshape(x.shape),
)  # fmt: skip
layer_case("GroupNormalization of one", [GroupNormalization(1, epsilon=0.5)], lambda x: normed(x, (1, 2), 0.5))
layer_case("GroupNormalization of all", [GroupNormalization(-1, epsilon=0.5)], lambda x: normed(x, 1, 0.5))
layer_case("GroupNormalization axis", [GroupNormalization(3, axis=1, epsilon=0.5)], lambda x: normed(x, 2, 0.5))
layer_case(
    "RMSNormalization", [RMSNormalization(epsilon=0.5)], lambda x: x / np.sqrt((x * x).mean(2, keepdims=True) + 0.5)
)
layer_case("UnitNormalization", [UnitNormalization()], lambda x: x / np.linalg.norm(x, axis=2, keepdims=True))
layer_case(
    "UnitNormalization axes", [UnitNormalization([1, 2])], lambda x: x / np.linalg.norm(x, axis=(1, 2), keepdims=True)
)  # fmt: skip
layer_case("Normalization", [Normalization()], lambda x: x)
layer_case("Normalization given", [Normalization(mean=[1, 2, 3, 4], variance=4)], lambda x: (x - [1, 2, 3, 4]) / 2)
layer_case(
    "Normalization axes", [Normalization(axis=(1, 2), mean=np.eye(3, 4), variance=np.eye(3, 4) + 1)],
    lambda x: (x - np.eye(3, 4)) / np.sqrt(np.eye(3, 4) + 1),
)  # fmt: skip
layer_case("Normalization of all", [Normalization(axis=None, mean=2.0, variance=9.0)], lambda x: (x - 2) / 3)
layer_case("Normalization inverted", [Normalization(mean=2.0, variance=9.0, invert=True)], lambda x: x * 3 + 2)
layer_case("views of views", [Reshape((2, 6)), Flatten(), Reshape((12, 1)), Flatten()], lambda x: x.reshape(len(x), -1))
layer_case("chain", [Flatten(), Rescaling(3.0), ReLU(), Reshape((3, 4))], lambda x: relu(3 * x).reshape(len(x), 3, 4))


@pytest.mark.parametrize("name", LAYERS)
def test_layers_of_three_axes(name: str, backend: str) -> None:
    layers, expected = LAYERS[name]
    x = uniform(9, 3, 4, low=-3, high=3)
    model = Sequential([Input((3, 4)), *(type(layer).from_config(layer.get_config()) for layer in layers)])
    want = expected(x.astype(np.float64))
    p = model.predict(x, batch_size=4, verbose=0)
    assert model.output_shape == (None, *want.shape[1:])
    assert relative(p, want) < 1e-6


def test_dense_on_three_axes(backend: str) -> None:
    model = Sequential([Input((3, 4)), Dense(5, activation="tanh"), Dense(2, activation="softmax")])
    x = uniform(6, 3, 4)
    w1, b1, w2, b2 = (w.astype(np.float64) for w in model.get_weights())
    assert model.output_shape == (None, 3, 2)
    assert relative(model.predict(x, batch_size=4, verbose=0), softmax(np.tanh(x @ w1 + b1) @ w2 + b2)) < 2e-6


def test_flatten_of_vectors() -> None:
    model = Sequential([Input(()), Flatten()])
    assert model.output_shape == (None, 1)
    assert np.array_equal(model.predict(np.arange(3.0), verbose=0), [[0], [1], [2]])


X = uniform(10, 4, low=0, high=9)
KINDS: dict[str, Any] = {
    "float64": X.astype(np.float64),
    "float16": np.round(X).astype(np.float16),
    "int64": X.astype(np.int64),
    "int32": X.astype(np.int32),
    "int16": X.astype(np.int16),
    "int8": X.astype(np.int8),
    "uint8": X.astype(np.uint8),
    "uint16": X.astype(np.uint16),
    "uint32": X.astype(np.uint32),
    "uint64": X.astype(np.uint64),
    "bool": X > 4,
    "list": X.astype(np.float64).tolist(),
    "list of ints": X.astype(int).tolist(),
    "list of bools": (X > 4).tolist(),
    "list of rows": list(X),
    "tuple": tuple(map(tuple, X.astype(np.float64).tolist())),
    "objects": X.astype(object),
    "F order": np.asfortranarray(X),
    "strided": np.repeat(np.repeat(X, 3, 0), 2, 1)[::3, ::2],
    "reversed": X[::-1, ::-1],
    "one row for all": np.broadcast_to(X[:1], X.shape),
    "one column for all": np.broadcast_to(X[:, :1], X.shape),
    "other byte order": X.astype(">f4"),
    "other byte order ints": X.astype(">i4"),
    "unaligned": np.frombuffer(b"\0" + X.tobytes(), np.uint8)[1:].view(np.float32).reshape(X.shape),
    "read-only": X.copy(),
    "an axis too many": X[:, :, None],
    "a matrix": np.ascontiguousarray(X).view(np.ndarray),
}
KINDS["read-only"].setflags(write=False)


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_data(kind: str, backend: str) -> None:
    """Whatever holds the numbers: the same predictions as for float32 in C order, bit for bit."""
    model = Sequential([Input((4,)), Dense(6, activation="relu"), Dense(3)])
    data = KINDS[kind]
    plain = np.ascontiguousarray(np.asarray(data, np.float64).reshape(10, 4), np.float32)
    for batch_size in (3, 10, 99):
        want = model.predict(plain, batch_size=batch_size, verbose=0)
        assert same_bits(model.predict(data, batch_size=batch_size, verbose=0), want)
    assert same_bits(model.predict_on_batch(data), model.predict_on_batch(plain))


def test_memory_map(tmp_path: Any, backend: str) -> None:
    x = uniform(50, 4)
    np.save(tmp_path / "x.npy", x)
    model = Sequential([Input((4,)), Dense(3)])
    assert same_bits(model.predict(np.load(tmp_path / "x.npy", mmap_mode="r"), verbose=0), model.predict(x, verbose=0))


class Frame:
    """Like a table of another library: all it has is ``__array__``."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(X, dtype)


def test_anything_with_array() -> None:
    model = Sequential([Input((4,)), Dense(3)])
    assert same_bits(model.predict(Frame(), verbose=0), model.predict(X, verbose=0))


@pytest.mark.parametrize("rows", [1, 2, 5, 6, 7, 12])
def test_out(rows: int, backend: str) -> None:
    model, x = example(), uniform(rows, 5)
    want = model.predict(x, batch_size=6, verbose=0)
    fence = np.full((rows + 2, 3), 9.0, np.float32)
    out = fence[1:-1]
    assert model.predict(x, batch_size=6, verbose=0, out=out) is out
    assert same_bits(out, want)
    assert np.all(fence[[0, -1]] == 9)
    for wrong in (np.empty((rows, 3)), np.empty((rows + 1, 3), "f"), np.empty((3, rows), "f").T[:rows], [1.0]):
        if isinstance(wrong, np.ndarray) and wrong.flags.c_contiguous and wrong.dtype == "f" and len(wrong) == rows:
            continue
        with pytest.raises(ValueError, match="out must be a float32 array"):
            model.predict(x, verbose=0, out=wrong)


def test_predictions_of_layers_that_only_pass_on(backend: str) -> None:
    """The result is an array of its own, not the caller's."""
    model = Sequential([Input((4,)), Dropout(0.5)])
    x = uniform(5, 4)
    p = model.predict(x, verbose=0)
    assert same_bits(p, x)
    p[...] = 0
    assert np.any(x != 0)


def test_short_calls_in_any_order() -> None:
    """What a call leaves bound for the next one never shows: other rows, other arrays, weights elsewhere, a backend."""
    nncore.set_backend("native")  # which gives a row the same bits in every batch
    first, last = Dense(64, activation="relu", input_dim=20), Dense(10, activation="softmax")
    model, x = Sequential([first, last]), uniform(600, 20)
    want = model.predict(x, verbose=0)
    out = np.empty((600, 10), np.float32)
    for count in (1, 3, 1, 256, 257, 600, 2, 300, 1, 511, 1):
        for start in (0, 17):
            some = x[start : start + count]
            assert same_bits(model.predict(some, verbose=0), want[start : start + count])
            given = out[: len(some)]
            given[...] = np.nan
            assert model.predict(some, verbose=0, out=given) is given
            assert same_bits(given, want[start : start + count])
    other = Sequential([first, Dense(5)])
    other.predict(x[:1], verbose=0)  # now the first layer lives there
    assert same_bits(model.predict(x[:1], verbose=0), want[:1])
    first.set_weights([2 * v for v in first.get_weights()])
    doubled = model.predict(x, batch_size=7, verbose=0)
    assert not same_bits(doubled, want)
    assert same_bits(model.predict(x[:1], verbose=0), doubled[:1])
    nncore.set_backend("numpy")
    assert relative(model.predict(x[:1], verbose=0), doubled[:1]) < 1e-5
    nncore.set_backend("native")
    assert same_bits(model.predict(x[:1], verbose=0), doubled[:1])


def in_threads(work: Callable[[int], None]) -> None:
    """Run ``work(i)`` for i < 8, each in a thread of its own, at once."""
    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_many_threads_on_short_calls() -> None:
    nncore.set_backend("native")  # which gives a row the same bits in every batch
    model = Sequential([Input((20,)), Dense(64, activation="tanh"), Dense(10, activation="softmax")])
    x = uniform(8, 20)
    want = model.predict(x, verbose=0)
    wrong: list[int] = []

    def work(i: int) -> None:
        given = np.empty((1, 10), np.float32)
        for rows in [slice(0, 1 + i), slice(i, i + 1)] * 500:
            if not same_bits(model.predict(x[rows], verbose=0), want[rows]):
                wrong.append(i)
            if not same_bits(model.predict(x[i : i + 1], verbose=0, out=given), want[i : i + 1]):
                wrong.append(i)

    in_threads(work)
    assert wrong == []


def test_many_threads_on_one_model() -> None:
    model = Sequential([Input((20,)), Dense(64, activation="tanh"), Dense(10, activation="softmax")])
    xs = [uniform(100 + i, 20, seed=i) for i in range(8)]
    wants = [model.predict(x, batch_size=7 + i, verbose=0) for i, x in enumerate(xs)]
    wrong: list[int] = []

    def work(i: int) -> None:
        predictions = [model.predict(xs[i], batch_size=7 + i, verbose=0) for _ in range(30)]
        wrong.extend(i for p in predictions if not same_bits(p, wants[i]))

    in_threads(work)
    assert wrong == []


# Configs.


def all_kinds() -> Sequential:
    return Sequential(
        [
            Input((2, 3), name="entry"),
            Flatten(),
            Rescaling(2.0, offset=-1.0),
            Dense(6, "relu", kernel_initializer="he_normal", bias_initializer=nncore.initializers.Constant(0.5)),
            Dropout(0.25, seed=7),
            Dense(4, use_bias=False, trainable=False),
            ReLU(3.0, 0.1, 0.2),
            Activation("tanh"),
            Reshape((2, -1)),
            Softmax(),
        ],
        name="everything",
    )


def test_config_makes_an_equal_model() -> None:
    model = all_kinds()
    config = model.get_config()
    assert json.loads(json.dumps(config)) == config
    assert [entry["class_name"] for entry in config["layers"]] == [
        "InputLayer", "Flatten", "Rescaling", "Dense", "Dropout", "Dense", "ReLU", "Activation", "Reshape", "Softmax",
    ]  # fmt: skip
    again = Sequential.from_config(config)
    assert again.get_config() == config
    assert again.name == "everything"
    assert again.built
    again.set_weights(model.get_weights())
    x = uniform(4, 2, 3)
    assert same_bits(again.predict(x, verbose=0), model.predict(x, verbose=0))
    assert [v.trainable for v in again.weights] == [True, True, False]


def test_config_of_a_model_without_input() -> None:
    model = Sequential.from_config(Sequential([Dense(3), Dense(2)]).get_config())
    assert not model.built
    assert model.predict(uniform(2, 4), verbose=0).shape == (2, 2)


def test_config_knows_custom_layers() -> None:
    class Double(Layer):
        def lower(self, b: Any, x: Any) -> Any:
            return b.emit("add", x, x)[0]

    x = uniform(3, 4)
    config = Sequential([Input((4,)), Double()]).get_config()
    model = Sequential.from_config(config, custom_objects={"Double": Double})
    assert np.array_equal(model.predict(x, verbose=0), 2 * x)
    with pytest.raises(ValueError, match=r"Unknown layer class: 'Dens'\. Did you mean 'Dense'"):
        Sequential.from_config({"name": "m", "layers": [{"class_name": "Dens", "config": {}}]})


@pytest.mark.parametrize(
    "loss", ["mse", CategoricalCrossentropy(label_smoothing=0.1), BinaryCrossentropy(from_logits=True)]
)
def test_json_makes_an_equal_compiled_model(loss: Any) -> None:
    model = example()
    optimizer = SGD(0.5, momentum=0.75, nesterov=True)
    model.compile(optimizer, loss, metrics=["accuracy", BinaryAccuracy(threshold=0.25, name="quarter")])
    text = model.to_json(indent=1)
    again = model_from_json(text)
    assert again.to_json(indent=1) == text
    assert again.compiled
    assert again.optimizer.get_config() == optimizer.get_config()
    again.set_weights(model.get_weights())
    x, y = uniform(12, 5), one_hot(12, 3)
    histories = [m.fit(x, y, shuffle=False, epochs=2, verbose=0).history for m in (model, again)]
    assert histories[0] == histories[1]
    assert list(histories[0]) == ["accuracy", "loss", "quarter"]


def test_json_of_what_is_not_compiled() -> None:
    model = model_from_json(example().to_json())
    assert not model.compiled
    assert model.built
    with pytest.raises(ValueError, match=r"takes what Sequential\.to_json gave"):
        model_from_json("[]")


# Pictures.


def test_summary(capsys: pytest.CaptureFixture[str]) -> None:
    texts: list[str] = []
    model = example()
    model.summary(print_fn=texts.append)
    assert len(texts) == 1
    for part in ('Model: "sequential"', "dense (Dense)", "(None, 8)", "dense_1 (Dense)", "Total params: 75 (300.00 B)"):
        assert part in texts[0]
    model.summary()
    assert capsys.readouterr().out == texts[0]
    model.compile("adam", "categorical_crossentropy")
    model.fit(uniform(4, 5), one_hot(4, 3), verbose=0)
    model.summary()
    assert "Optimizer params: 152 (612.00 B)" in capsys.readouterr().out


def test_summary_of_what_is_not_built() -> None:
    texts: list[str] = []
    Sequential([Dense(3)]).summary(print_fn=texts.append)
    assert "0 (unbuilt)" in texts[0]


def test_summary_counts_what_is_frozen() -> None:
    texts: list[str] = []
    model = example()
    model.layers[0].trainable = False
    model.summary(print_fn=texts.append, show_trainable=True)
    assert "Trainable params: 27 " in texts[0]
    assert "Non-trainable params: 48 " in texts[0]


def test_program_is_readable() -> None:
    model = example()
    assert str(model.program).splitlines()[0] == "program predict"
    model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"])
    assert str(model.program).splitlines() == [
        "program train",
        "  0  x[batch, 5] = gather(x_rows)   # m=batch n=5",
        "  1  dense/y[batch, 8] = dense_relu(x, dense/kernel, dense/bias)   # m=batch k=5 n=8",
        "  2  dense_1/y[batch, 3] = dense(dense/y, dense_1/kernel, dense_1/bias)   # m=batch k=8 n=3",
        "  3  y[batch, 3] = gather(y_rows)   # m=batch n=3",
        "  4  dense_1/dz[batch, 3], loss[batch], accuracy/match[batch] = "
        "softmax_cross_entropy_train(dense_1/y, y, -)   # m=batch n=3",
        "  5  total/loss[] = add_rows(loss, -)   # m=batch",
        "  6  total/accuracy/total[] = add_rows(accuracy/match, -)   # m=batch",
        "  7  dense_1/dx[batch, 8] = dense_grad_x_relu(dense_1/dz, dense_1/kernel, dense/y)   # m=batch n=3 k=8",
        "  8  dense_1/kernel[8, 3] = dense_grad_w_sgd(dense/y, dense_1/dz, dense_1/kernel)   # m=batch k=8 n=3",
        "  9  dense_1/bias[3] = bias_grad_sgd(dense_1/dz, dense_1/bias)   # m=batch n=3",
        " 10  dense/kernel[5, 8] = dense_grad_w_sgd(x, dense_1/dx, dense/kernel)   # m=batch k=5 n=8",
        " 11  dense/bias[8] = bias_grad_sgd(dense_1/dx, dense/bias)   # m=batch n=8",
    ]


def test_repr() -> None:
    assert repr(Sequential()) == "<Sequential name=sequential, built=False>"
    assert repr(Dense(2)) == "<Dense name=dense, built=False>"
    assert "dense/kernel" in repr(Variable(np.zeros(2), "dense/kernel"))
