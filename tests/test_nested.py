"""Models inside models, parts of models, and layers and models called on arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from oracles import error

from nncore import backends
from nncore.layers import Activation, Dense, Dropout, Flatten, Input, Layer, Rescaling, Softmax
from nncore.models import Sequential
from nncore.optimizers import SGD
from nncore.utils import clear_session, set_random_seed
from nncore.variables import Tensor

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(20, 6)).astype(np.float32), RNG.normal(size=(20, 2)).astype(np.float32)


def same(a: list[Any], b: list[Any]) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def layers() -> list[Layer]:
    return [
        Dense(5, "tanh", name="a"),
        Dense(4, "relu", name="b"),
        Dropout(0.2, name="r"),
        Dense(3, name="c"),
        Dense(2, name="d"),
    ]


def test_a_nested_model_is_the_flat_one(backend: str) -> None:
    """The same instructions, weights and bits."""
    set_random_seed(1)
    flat = Sequential([Input((6,)), *layers()])
    set_random_seed(1)
    a, b, drop, c, d = layers()
    nested = Sequential([Input((6,)), a, Sequential([b, Sequential([drop, c])]), d])
    results = []
    for model in (flat, nested):
        model.compile(SGD(0.1, momentum=0.5), "mse", metrics=["mae"])
        set_random_seed(2)
        history = model.fit(X, Y, batch_size=8, epochs=2, verbose=0).history
        results.append((history, str(model.program), [v.key for v in model.weights]))
    assert results[0] == results[1]
    assert same(flat.get_weights(), nested.get_weights())
    assert np.array_equal(flat.predict(X, verbose=0), nested.predict(X, verbose=0))
    assert nested.count_params() == flat.count_params()


def test_layers_of_one_name_in_different_models(backend: str) -> None:
    def inner(name: str) -> Sequential:
        return Sequential([Dense(4, "tanh", name="same"), Dense(4, name="other")], name=name)

    model = Sequential([Input((4,)), Dense(4, name="same"), inner("one"), inner("two")])
    assert [v.key for v in model.weights[::2]] == [
        "same/kernel", "one/same/kernel", "other/kernel", "two/same/kernel", "two/other/kernel",
    ]  # fmt: skip
    model.compile("adam", "mse")
    before = model.get_weights()
    model.fit(X[:, :4], X[:, :4], verbose=0)
    assert not any(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    x = X[:, :4]
    alone = [layer.predict(x, verbose=0) for layer in [model.layers[1]]]
    assert np.array_equal(alone[0], model.layers[1](x))


def test_a_probability_model_around_a_trained_one(backend: str) -> None:
    """TensorFlow's beginners' tutorial: train on logits, then wrap."""
    model = Sequential([Input((6,)), Dense(3)])
    model.compile("adam", "mse")
    model.fit(X, RNG.normal(size=(20, 3)), verbose=0)
    wrapped = Sequential([model, Softmax()])
    logits = model(X).numpy()
    p = np.exp(logits - logits.max(1, keepdims=True))
    assert np.allclose(wrapped(X).numpy(), p / p.sum(1, keepdims=True), rtol=1e-6)
    # Trained on by itself, the inner model changes the outer one, whose vectors take the weights back.
    wrapped.predict(X, verbose=0)
    model.fit(X, RNG.normal(size=(20, 3)), verbose=0)
    assert np.array_equal(wrapped.layers[0].predict(X, verbose=0), model.predict(X, verbose=0))
    logits = model.predict(X, verbose=0)
    assert np.allclose(np.log(wrapped.predict(X, verbose=0)) - logits, -np.log(np.exp(logits).sum(1, keepdims=True)), atol=1e-5)  # fmt: skip  # noqa: E501


def test_a_part_of_a_model_shares_its_weights(backend: str) -> None:
    model = Sequential([Input((6,)), Dense(4, "tanh"), Dense(3), Dense(2)])
    model.compile("sgd", "mse")
    features = Sequential(model.layers[:-1])
    assert features.input_shape == (None, 6)
    assert features.weights == model.weights[:4]
    before = features.predict(X, verbose=0)
    model.fit(X, Y, verbose=0)
    after = features.predict(X, verbose=0)
    assert not np.array_equal(before, after)
    assert np.allclose(after @ model.weights[4].value + model.weights[5].value, model.predict(X, verbose=0), atol=1e-6)


def test_models_are_added_like_layers() -> None:
    model = Sequential([Input((6,))])
    model.add(Sequential([Dense(3), Activation("tanh")]))
    assert (model.built, model.output_shape) == (True, (None, 3))
    model.add(Dense(2))
    assert isinstance(model, Layer)
    assert [layer.name for layer in model.layers] == ["sequential_1", "dense_1"]
    with pytest.raises(ValueError, match="names of their own"):
        model.add(Sequential([Dense(3)], name="dense_1"))
    with pytest.raises(ValueError, match=r"inner: the Input has shape \(3,\)"):
        model.add(Sequential([Input((3,)), Dense(3)], name="inner"))
    assert len(model.layers) == 2


def test_what_changes_inside_is_seen_outside(backend: str) -> None:
    inner = Sequential([Dense(4), Dense(3)])
    model = Sequential([Input((6,)), inner])
    assert model.predict(X, verbose=0).shape == model.predict(X[:1], verbose=0).repeat(20, 0).shape == (20, 3)
    inner.pop()
    assert model.output_shape == (None, 4)
    assert np.array_equal(model.predict(X, verbose=0), inner.predict(X, verbose=0))
    assert model.predict(X[:1], verbose=0).shape == (1, 4)
    inner.add(Dense(2))
    assert model.predict(X[:1], verbose=0).shape == (1, 2)


def test_an_unbuilt_model_inside_is_built_with_the_outer_one() -> None:
    model = Sequential([Flatten(), Sequential([Dense(3), Sequential([Dense(2)])])])
    assert not model.built
    assert model.predict(X.reshape(20, 2, 3), verbose=0).shape == (20, 2)
    assert model.layers[1].input_shape == (None, 6)


def test_trainable_goes_down() -> None:
    inner = Sequential([Dense(3), Dense(2)])
    model = Sequential([Input((6,)), Dense(4), inner])
    inner.trainable = False
    assert [v.trainable for v in model.weights] == [True] * 2 + [False] * 4
    model.compile("sgd", "mse")
    before = model.get_weights()
    model.fit(X, Y, verbose=0)
    after = model.get_weights()
    assert not np.array_equal(before[0], after[0])
    assert same(before[2:], after[2:])
    model.trainable = True
    assert all(v.trainable for v in model.weights)
    assert not Sequential([Input((6,)), Dense(4)], trainable=False).trainable_weights


def test_layers_and_models_on_arrays(backend: str) -> None:
    layer = Dense(3, "relu")
    out = layer(X)
    assert isinstance(out, Tensor)
    assert type(out.numpy()) is np.ndarray
    assert layer.built
    assert (layer.input_shape, layer.output_shape) == ((None, 6), (None, 3))
    model = Sequential([layer, Dropout(0.5), Rescaling(2.0)])
    assert error(model(X).numpy(), 2 * out) <= 1e-6  # sums of six products: compiled, and by NumPy
    assert model(X).shape == (20, 3)
    assert np.argmax(model(X)[:5], axis=1).shape == (5,)
    dropped = model(X, training=True).numpy()
    assert np.sum(dropped == 0) > np.sum(model(X) == 0)
    assert np.array_equal(Softmax()([[1.0, 1.0]]).numpy(), [[0.5, 0.5]])
    backends.set_backend("numpy")
    assert np.array_equal(model(X), 2 * layer(X))


def test_names_start_over_with_the_session() -> None:
    assert [Dense(1).name, Dense(1).name] == ["dense", "dense_1"]
    clear_session()
    assert [Dense(1).name, Sequential().name] == ["dense", "sequential"]


def test_summary_expands_models_inside() -> None:
    inner = Sequential([Dense(3, name="b"), Sequential([Dense(2, name="c")], name="deep")], name="inner")
    model = Sequential([Input((6,)), Dense(4, name="a"), inner], name="outer")
    texts: list[str] = []
    model.summary(print_fn=texts.append)
    model.summary(print_fn=texts.append, expand_nested=True)
    names = [[line.split("│")[1].strip() for line in text.splitlines() if line.startswith("│")] for text in texts]
    assert names[0] == ["a (Dense)", "inner (Sequential)"]
    assert names[1] == ["a (Dense)", "inner (Sequential)", "└ b (Dense)", "└ deep (Sequential)", "└ c (Dense)"]
    rows = [line for line in texts[1].splitlines() if line.startswith("│")]
    assert [line.index("└") for line in rows[2:]] == [5, 5, 8]
    assert all(" Total params: 51 (204.00 B)\n" in text for text in texts)
