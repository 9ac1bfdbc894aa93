"""Embedding: vectors of integers, their gradients, and the ids it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from oracles import error, relative, same_bits, uniform

from nncore.errors import DataError
from nncore.layers import Dense, Embedding, Flatten, Input
from nncore.models import Sequential
from nncore.optimizers import SGD

pytestmark = pytest.mark.usefixtures("seed")

IDS = np.array([[1, 0, 3], [3, 3, 4], [2, 1, 0], [4, 4, 4], [0, 1, 2]])


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "float32", "float64"])
def test_vectors_of_ids(dtype: str, backend: str) -> None:
    model = Sequential([Input((3,)), Embedding(5, 4)])
    assert model.output_shape == (None, 3, 4)
    table = model.get_weights()[0]
    assert np.abs(table).max() <= 0.05
    x = IDS.astype(dtype) + (0.9 if dtype.startswith("float") else 0)
    assert same_bits(model.predict(x.astype(dtype), batch_size=2, verbose=0), table[IDS])
    assert same_bits(model(x.astype(dtype)), table[IDS])


@pytest.mark.parametrize("dtype", ["int32", "uint8", np.int64, np.dtype("int16"), int, bool, "float64", None])
def test_input_of_any_real_type(dtype: Any, backend: str) -> None:
    """What it is declared to hold stands in its config; data of every type is taken all the same."""
    first = Input((3,), dtype=dtype)
    model = Sequential([first, Embedding(5, 4), Flatten(), Dense(2)])
    name = {None: "float32", int: "int32"}.get(dtype) or np.dtype(dtype).name
    assert first.get_config() == {"batch_shape": [None, 3], "dtype": name, "name": first.name}
    assert type(first).from_config(first.get_config()).dtype == name
    copy = Sequential.from_config(model.get_config())
    assert copy.input_layer.dtype == name
    copy.set_weights(model.get_weights())
    found = [m.predict(x, verbose=0) for m in (model, copy) for x in (IDS, IDS.astype("uint8"), IDS.astype("f"))]
    assert all(same_bits(y, found[0]) for y in found)
    numbers = Sequential([Input((3,), dtype=dtype), Dense(2)])
    numbers.compile("sgd", "mse")
    assert same_bits(numbers.predict(IDS + 0.5, verbose=0), numbers(IDS + 0.5))
    assert np.isfinite(numbers.train_on_batch(IDS, np.zeros((5, 2))))


def test_large_ids_are_not_rounded(backend: str) -> None:
    """Above 2**24 float32 has no odd numbers."""
    model = Sequential([Input((1,)), Embedding(2**24 + 4, 1, "zeros")])
    table = model.layers[0].embeddings.value
    table[2**24 + 1], table[2**24] = 7, 3
    x = np.array([[2**24 + 1], [2**24]])
    assert model.predict(x, verbose=0).ravel().tolist() == [7, 3]


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_a_step_by_hand(rows: int, backend: str) -> None:
    """Every vector moves by the sum of the gradients where its id stood; the others stay."""
    model = Sequential([Input((3,)), Embedding(6, 4), Flatten(), Dense(2, use_bias=False)])
    model.compile(SGD(0.5), "mse")
    x, y = IDS[:rows], uniform(rows, 2)
    table, w = (v.astype(np.float64) for v in model.get_weights())
    hidden = table[x].reshape(rows, 12)
    dp = (hidden @ w - y) / rows
    dh, want = (dp @ w.T).reshape(rows, 3, 4), table.copy()
    np.add.at(want, x, -0.5 * dh)
    model.train_on_batch(x, y)
    assert error(model.get_weights()[0], want) < 1e-7
    assert error(model.get_weights()[1], w - 0.5 * hidden.T @ dp) < 1e-7
    assert same_bits(model.get_weights()[0][5], table[5].astype(np.float32))


def test_gradients_by_differences() -> None:
    model = Sequential([Input((3,)), Embedding(5, 2), Flatten(), Dense(2, "tanh")])
    model.compile(SGD(1.0), "mse")
    y = uniform(5, 2)
    start = [np.float32(w) for w in model.get_weights()]
    start[0] = uniform(5, 2)
    slopes = np.zeros((5, 2))
    for at in np.ndindex(5, 2):
        ends = []
        for h in (1e-2, -1e-2):
            moved = start[0].copy()
            moved[at] += h
            model.set_weights([moved, *start[1:]])
            ends.append(model.test_on_batch(IDS, y))
        slopes[at] = (ends[0] - ends[1]) / 2e-2
    model.set_weights(start)
    model.train_on_batch(IDS, y)
    assert relative(start[0] - model.get_weights()[0], slopes) < 1e-3  # differences in float32


def test_learns(backend: str) -> None:
    model = Sequential([Input((1,)), Embedding(8, 4, embeddings_regularizer="l2", embeddings_constraint="max_norm"),
                        Flatten(), Dense(1)])  # fmt: skip
    model.compile(SGD(0.5), "mse")
    x = np.arange(8)[:, None]
    history = model.fit(x, np.arange(8.0) % 2, epochs=300, batch_size=3, verbose=0).history["loss"]
    assert history[-1] < 0.5 * history[0]


@pytest.mark.parametrize("bad, where", [(5, "5 in row 3, column 1"), (-1, "-1 in row 3, column 1")])
@pytest.mark.parametrize("method", ["fit", "evaluate", "predict", "train_on_batch"])
def test_ids_out_of_range(method: str, bad: int, where: str) -> None:
    model = Sequential([Input((3,)), Embedding(5, 2), Flatten(), Dense(1)])
    model.compile("sgd", "mse")
    x = IDS.copy()
    x[3, 1] = bad
    before = model.get_weights()
    given: list[Any] = [x] if method == "predict" else [x, np.zeros(5)]
    with pytest.raises(DataError, match=r"x must hold integers in \[0, 5\).*" + where):
        getattr(model, method)(*given)
    assert all(same_bits(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_weights_to_start_with() -> None:
    table = uniform(5, 2)
    for given in (table, [table]):
        assert same_bits(Sequential([Input((3,)), Embedding(5, 2, weights=given)]).get_weights()[0], table)


def test_config() -> None:
    layer = Embedding(5, 2, "ones", "l2", "max_norm", input_length=3)
    assert Embedding.from_config(layer.get_config()).get_config() == layer.get_config()


@pytest.mark.parametrize(
    "make, part",
    [
        (lambda: Embedding(0, 2), "Embedding: input_dim must be a positive integer"),
        (lambda: Embedding(2, -1), "Embedding: output_dim must be a positive integer"),
        (lambda: Embedding(2, 2, lora_rank=4), "lora_rank must be None"),
        (lambda: Embedding(2, 2, embeddings_regularizer="l7"), "Unknown regularizer"),
    ],
)
def test_mistakes(make: Any, part: str) -> None:
    with pytest.raises(ValueError, match=part):
        make()
    assert part
