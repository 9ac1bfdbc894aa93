"""Formulas over symbols: each gives the values and gradients of NumPy's, as ops and not as a call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from oracles import error, uniform

import nncore
from nncore import activations, random
from nncore.layers import Dense, Input, Layer
from nncore.models import Sequential
from nncore.tracing import NotTraceable, Symbol

X = uniform(9, 4, seed=1, low=0.2, high=2.0)
Formula = Callable[[Any, Any, Any], Any]

FORMULAS: dict[str, Formula] = {
    "add": lambda x, w, s: x + w,
    "radd": lambda x, w, s: w + x,
    "add number": lambda x, w, s: 2 + x + 1.5,
    "subtract": lambda x, w, s: x - w,
    "rsubtract": lambda x, w, s: w - x,
    "subtract number": lambda x, w, s: (x - 3) + (1 - x * x),
    "multiply": lambda x, w, s: x * w,
    "rmultiply": lambda x, w, s: w * x * 3 * np.float32(0.5),
    "divide": lambda x, w, s: x / w,
    "rdivide": lambda x, w, s: w / x,
    "divide numbers": lambda x, w, s: x / 4 + 2 / x,
    "two values": lambda x, w, s: (x * x - x) / (x + 1),
    "single weight": lambda x, w, s: s * x + s - x / s,
    "powers": lambda x, w, s: x**2 + x**3 - x**-1 + x**-2 + x**0.5,
    "unary": lambda x, w, s: -x + abs(x) + +x,
    "functions": lambda x, w, s: np.sqrt(x) + np.exp(-x) + np.log(x) + np.tanh(x) + np.square(x) + np.reciprocal(x),
    "limits": lambda x, w, s: np.maximum(x, 1) + np.minimum(1.2, x) + np.clip(x, 0.5, 1.5) + np.maximum(x, x * x),
    "clip by name": lambda x, w, s: np.clip(x, a_min=0.5, a_max=None) + np.clip(x, 0.3, None),
    "negative": lambda x, w, s: np.negative(x) * np.positive(x) * np.absolute(x - 1),
    "activations": lambda x, w, s: activations.gelu(x) + activations.softmax(x) * activations.leaky_relu(x - 1),
    "normalized": lambda x, w, s: x * np.float64(2) + np.array(3.0) * x,
}  # fmt: skip


class Own(Layer):
    """A formula of the input, a weight for each feature, and a single weight."""

    def __init__(self, formula: Formula, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.formula = formula

    def build(self, input_shape: Any) -> None:
        self.each = self.add_weight((input_shape[-1],), lambda shape, dtype=None: np.linspace(0.5, 1.5, 4), name="each")
        self.single = self.add_weight((), lambda shape, dtype=None: np.array(0.7), name="single")

    def call(self, x: Any) -> Any:
        return self.formula(x, self.each, self.single)


@pytest.mark.parametrize("name", FORMULAS)
def test_formula(name: str, backend: str) -> None:
    layer = Own(FORMULAS[name])
    made = Sequential([Input((4,)), layer])
    assert not any(i.function for i in made.program.instructions), str(made.program)
    values = FORMULAS[name](X, layer.each.numpy(), layer.single.numpy())
    assert error(made.predict(X, verbose=0), values) <= 2e-6
    assert max(nncore.check_gradients(Own(FORMULAS[name]), X.astype(np.float64)).values()) <= 1e-6


def test_matrix_products(backend: str) -> None:
    class Product(Layer):
        def build(self, input_shape: Any) -> None:
            self.kernel = self.add_weight((input_shape[-1], 3), "glorot_uniform", name="kernel")

        def call(self, x: Any) -> Any:
            return x @ self.kernel + np.dot(x, self.kernel) - np.matmul(x, self.kernel)

    random.set_seed(1)
    layer = Product()
    made = Sequential([Input((4,)), layer])
    assert made.output_shape == (None, 3)
    assert not any(i.function for i in made.program.instructions)
    assert error(made.predict(X, verbose=0), X @ layer.kernel.numpy()) <= 1e-6
    assert max(nncore.check_gradients(Product(), X.astype(np.float64)).values()) <= 1e-6


def test_sums_and_means(backend: str) -> None:
    def loss(y_true: Any, y_pred: Any) -> Any:
        error = y_pred - y_true
        return np.sum(error * error, axis=-1) / 3 + 0.1 * np.mean(np.abs(error), axis=1) + error.sum(-1) * 0

    y = uniform(9, 3)
    made = Sequential([Input((4,)), Dense(3)])
    made.compile("sgd", loss)
    assert not any(i.function for i in made.program.instructions)
    p = made.predict(X, verbose=0)
    expected = np.mean((p - y) ** 2) + 0.1 * np.mean(np.abs(p - y))
    assert error(made.evaluate(X, y, verbose=0), expected) <= 1e-6


UNTRACEABLE: dict[str, Callable[[Any], Any]] = {
    "sort": lambda x: np.sort(x),
    "index": lambda x: x[:, :2],
    "length": lambda x: x * len(x),
    "if": lambda x: x if x > 0 else -x,
    "loop": lambda x: np.stack(list(x)),
    "power of itself": lambda x: x**x,
    "high power": lambda x: x**9,
    "array": lambda x: x + np.ones(4),
    "ufunc": lambda x: np.sinh(x),
    "method": lambda x: np.add.reduce(x),
    "out": lambda x: np.add(x, x, out=np.ones((9, 4))),
    "sum over the batch": lambda x: np.sum(x),
    "first axis": lambda x: np.mean(x, axis=0),
    "zero": lambda x: x / 0,
    "of a mean": lambda x: np.sqrt(np.mean(x)),
    "array limits": lambda x: np.clip(x, np.zeros(4), 1),
}  # fmt: skip


@pytest.mark.parametrize("name", UNTRACEABLE)
def test_what_has_no_ops_says_so(name: str) -> None:
    from nncore.builder import Builder

    b = Builder("trial", training=False)
    x = Symbol(b, b.declare("input", "x", (None, 4)))
    with pytest.raises(NotTraceable):
        UNTRACEABLE[name](x)


def test_a_symbol_shows_what_it_is() -> None:
    from nncore.builder import Builder

    b = Builder("trial", training=False)
    x = Symbol(b, b.declare("input", "x", (None, 4)))
    assert repr(x) == "<Symbol x shape=(None, 4)>"
    assert (x.shape, x.ndim) == ((None, 4), 2)
    assert isinstance(hash(x), int)
