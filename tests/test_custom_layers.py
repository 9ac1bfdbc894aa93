"""Layers written in Python: made of ops where they can be, else called with arrays; both inside programs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from oracles import error, labels, same_bits, uniform

from nncore import activations, backends, random
from nncore.builder import Builder
from nncore.layers import Dense, Dropout, Input, Layer
from nncore.models import Sequential, model_from_json
from nncore.program import PYTHON
from nncore.tracing import NotTraceable, Symbol

X, Y = uniform(70, 6, seed=1), labels(70, 3)


class Affine(Layer):
    """x * scale + shift, from operators."""

    def build(self, input_shape: Any) -> None:
        self.scale = self.add_weight((input_shape[-1],), "glorot_normal", name="scale")
        self.shift = self.add_weight((input_shape[-1],), "zeros", name="shift")

    def call(self, x: Any) -> Any:
        return x * self.scale + self.shift


class PythonAffine(Affine):
    """The same, with its own backward."""

    def backward(self, dy: Any, x: Any, y: Any) -> Any:
        return dy * self.scale, (dy * x).sum(0), dy.sum(0)


class Cube(Layer):
    """x³ by a NumPy function that programs have no op for."""

    def call(self, x: Any) -> Any:
        return np.float_power(x, 3)

    def backward(self, dy: Any, x: Any, y: Any) -> Any:
        return 3 * x * x * dy


class NoBackward(Layer):
    def call(self, x: Any) -> Any:
        return np.sort(x, axis=-1)


class Residual(Layer):
    """Other layers inside, one of which acts in training only."""

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.parts = [Dense(units, "relu"), Dense(units)]
        self.dropout = Dropout(0.5)

    def call(self, x: Any, training: bool | None = None) -> Any:
        first, second = self.parts
        return x + second(self.dropout(first(x), training=training))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


def model(*layers: Layer, seed: int = 3) -> Sequential:
    random.set_seed(seed)
    made = Sequential([Input((6,)), Dense(5, "tanh", name="first"), *layers, Dense(3, "softmax", name="last")])
    made.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return made


def trained(layer: Layer) -> Sequential:
    made = model(layer)
    random.set_seed(4)
    made.fit(X, Y, epochs=3, batch_size=16, verbose=0)
    return made


def calls(made: Sequential) -> list[str]:
    return [i.function.name for i in made.program.instructions if i.function is not None]


def test_formulas_become_ops() -> None:
    made = model(Affine(name="affine"))
    assert calls(made) == []
    assert {"row_multiply", "row_add"} <= {i.op for i in made.program.instructions}


def test_backward_makes_calls() -> None:
    made = model(PythonAffine(name="affine"))
    assert calls(made) == ["PythonAffine", "PythonAffine.backward"]
    assert "affine/PythonAffine[batch, 5] = PythonAffine(first/y, affine/scale, affine/shift)" in str(made.program)
    assert [i.op for i in made.program.instructions].count(PYTHON) == 2


def test_ops_and_calls_train_alike(backend: str) -> None:
    ops, python = trained(Affine(name="affine")), trained(PythonAffine(name="affine"))
    for a, b in zip(ops.get_weights(), python.get_weights(), strict=True):
        assert error(a, b) <= 1e-6
    assert ops.count_params() == python.count_params() == 35 + 10 + 18
    assert error(ops.predict(X, verbose=0), python.predict(X, verbose=0)) <= 1e-6


@pytest.mark.parametrize("layer", [PythonAffine, Cube])
def test_backends_agree_on_calls(layer: type[Layer]) -> None:
    results = []
    for name in ("native", "numpy"):
        backends.set_backend(name)
        made = trained(layer(name="own"))
        results.append([*made.get_weights(), made.predict(X[:7], verbose=0), *made.evaluate(X, Y, verbose=0)])
    backends.set_backend("native")
    for a, b in zip(*results, strict=True):
        assert error(a, b) <= 1e-5


def test_no_bit_depends_on_threads_or_on_how_the_steps_are_run() -> None:
    before = backends.get_num_threads()
    weights = []
    for threads in (1, 2):
        backends.set_num_threads(threads)
        weights.append(np.concatenate([w.reshape(-1) for w in trained(PythonAffine()).get_weights()]))
    backends.set_num_threads(before)
    assert same_bits(*weights)


def test_layers_inside_a_layer(backend: str) -> None:
    random.set_seed(4)
    made = model(Residual(5, name="residual"))
    names = [v.path.split("/")[-1] for v in made.get_layer("residual").weights]
    assert names == ["kernel", "bias", "kernel", "bias"]
    assert made.count_params() == 35 + 2 * 30 + 18
    before = made.get_weights()
    loss = made.evaluate(X, Y, verbose=0)[0]
    random.set_seed(5)
    history = made.fit(X, Y, epochs=20, batch_size=16, verbose=0).history
    assert history["loss"][-1] < loss
    assert all(np.any(a != b) for a, b in zip(before, made.get_weights(), strict=True))
    first = made.predict(X, verbose=0)
    assert same_bits(first, made.predict(X, verbose=0))  # no dropout outside training


def test_layers_inside_a_frozen_layer_are_frozen() -> None:
    layer = Residual(5)
    made = model(layer)
    layer.trainable = False
    made.compile("sgd", "sparse_categorical_crossentropy")
    before = layer.get_weights()
    made.fit(X, Y, verbose=0)
    assert all(same_bits(a, b) for a, b in zip(before, layer.get_weights(), strict=True))
    assert layer.trainable_weights == []


def test_dropout_in_predictions(backend: str) -> None:
    """A subclass that is always in training: each prediction draws anew, and a seed repeats them all."""

    class Always(Dropout):
        def call(self, inputs: Any) -> Any:
            return super().call(inputs, training=True)

    made = Sequential([Input((50,)), Always(0.4)])
    ones = np.ones((40, 50), np.float32)
    random.set_seed(1)
    first, second = made.predict(ones, verbose=0), made.predict(ones, verbose=0)
    random.set_seed(1)
    assert same_bits(first, made.predict(ones, verbose=0))
    assert not same_bits(first, second)
    assert abs((first == 0).mean() - 0.4) < 0.05
    assert set(np.unique(first)) == {np.float32(0), np.float32(1 / 0.6)}


def test_without_backward_it_can_come_first_only(backend: str) -> None:
    made = Sequential([Input((6,)), NoBackward(), Dense(3, "softmax")])
    made.compile("sgd", "sparse_categorical_crossentropy")
    assert np.isfinite(made.fit(X, Y, verbose=0).history["loss"][0])
    kernel, bias = made.get_weights()
    logits = np.sort(X, axis=1) @ kernel + bias
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert error(made.predict(X, verbose=0), expected) <= 1e-5
    later = model(NoBackward(name="sorting"))
    with pytest.raises(ValueError, match="NoBackward runs in Python and has no backward, but a gradient has to pass"):
        later.fit(X, Y, verbose=0)


class Wrong(Layer):
    """Returns what its arguments say."""

    def __init__(self, forward: Any = None, gradient: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.forward, self.gradient = forward, gradient

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def call(self, x: Any) -> Any:
        return np.array(x) if self.forward is None else self.forward(x)

    def backward(self, dy: Any, x: Any, y: Any) -> Any:
        return dy if self.gradient is None else self.gradient(dy)


def raise_key_error(x: Any) -> Any:
    raise KeyError("mine")


def write(x: Any) -> Any:
    x[...] = 0
    return x


@pytest.mark.parametrize(
    "wrong, kind, message",
    [
        (
            {"forward": lambda x: x[:, :2]},
            ValueError,
            r"Wrong must return an array of shape \(16, 5\). Received: \(16, 2",
        ),
        ({"gradient": lambda dy: dy[:3]}, ValueError, r"Wrong.backward must return an array of shape \(16, 5\)"),
        ({"gradient": lambda dy: (dy, dy)}, ValueError, "Wrong.backward must return 1 arrays.* Received: 2"),
        ({"forward": raise_key_error}, KeyError, "mine"),
        ({"gradient": raise_key_error}, KeyError, "mine"),
        ({"forward": write}, ValueError, "read-only"),
    ],
)
def test_errors_leave_the_weights(wrong: dict[str, Any], kind: type[Exception], message: str, backend: str) -> None:
    """Whatever a layer does, no weight, moment or step count changes in the batch in which it goes wrong."""
    layer = Wrong()
    made = model(layer)
    made.compile("sgd", "sparse_categorical_crossentropy")
    made.fit(X, Y, batch_size=16, verbose=0)
    before, steps = made.get_weights(), made.optimizer.iterations
    for name, value in wrong.items():
        setattr(layer, name, value)
    with pytest.raises(kind, match=message):
        made.fit(X, Y, batch_size=16, verbose=0, shuffle=False)
    assert made.optimizer.iterations == steps
    assert all(same_bits(a, b) for a, b in zip(before, made.get_weights(), strict=True))
    layer.forward = layer.gradient = None
    made.fit(X, Y, batch_size=16, verbose=0)
    assert made.optimizer.iterations == steps + 5


def test_a_layer_on_arrays() -> None:
    x = uniform(4, 5)
    dense = Dense(3, "relu")
    y = dense(x)
    assert error(y, np.maximum(x @ dense.kernel.numpy() + dense.bias.numpy(), 0)) <= 1e-6
    assert error(Cube()(x), x**3) <= 1e-6
    assert same_bits(Dropout(0.5)(x), x)
    random.set_seed(2)
    dropped = Dropout(0.5)(np.ones((100, 50)), training=True)
    assert 0.4 < (dropped == 0).mean() < 0.6
    with pytest.raises(ValueError, match="a layer takes an array with one row a sample"):
        dense(1.0)
    with pytest.raises(ValueError, match=r"was built for inputs of shape \(None, 5\). Received: \(None, 6\)"):
        dense(uniform(4, 6))


def test_shapes_come_from_a_trial() -> None:
    class Halves(Layer):
        def call(self, x: Any) -> Any:
            return x[:, ::2]

    class Total(Layer):
        def call(self, x: Any) -> Any:
            return np.array(3.0)

    made = Sequential([Input((6,)), Halves()])
    assert made.output_shape == (None, 3)
    assert same_bits(made.predict(X, verbose=0), np.ascontiguousarray(X[:, ::2]))
    with pytest.raises(ValueError, match=r"Total\.call must return one row a sample"):
        Sequential([Input((6,)), Total()])


def test_configs() -> None:
    made = model(Residual(5, name="residual"))
    again = model_from_json(made.to_json(), custom_objects={"Residual": Residual})
    assert [layer.name for layer in again.layers] == [layer.name for layer in made.layers]
    assert again.count_params() == made.count_params()


def test_neither_call_nor_lower() -> None:
    with pytest.raises(NotImplementedError, match=r"must define call\(\) or lower\(\)"):
        Sequential([Input((3,)), Layer()]).predict(uniform(2, 3), verbose=0)


class Activated(Layer):
    """Activations as parts of a formula."""

    def call(self, x: Any) -> Any:
        return activations.gelu(x) + activations.softmax(np.exp(activations.relu(x, 0.1, 2.0)))


def test_activations_in_formulas_become_ops(backend: str) -> None:
    layer = Activated()
    model = Sequential([Input((6,)), layer])
    want = layer(X)
    assert error(model.predict(X, verbose=0), want) <= 1e-6
    found = [i.op for i in model.program.instructions]
    assert found == ["gelu", "general_relu", "exponential", "softmax", "add"]


def test_an_activation_of_the_mean_of_a_batch_is_no_op() -> None:
    b = Builder("trial", training=False)
    x = Symbol(b, b.declare("input", "x", (None, 3)))
    with pytest.raises(NotTraceable, match="until the batch is over"):
        activations.relu(np.mean(x))
