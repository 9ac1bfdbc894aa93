"""Same seed, same bits: run to run, for any number of threads, a row alone or in any batch, under AVX2 and AVX-512."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from oracles import FUSED_ISAS, ISAS, labels, on_isa, one_hot, random_problem, relative, same_bits, tight_plan, uniform

import nncore
from nncore import backends, kernels, random
from nncore.callbacks import LambdaCallback
from nncore.compiler import fuse
from nncore.layers import Activation, Dense, Dropout, Flatten, Input, Layer, ReLU, Rescaling, Reshape, Softmax
from nncore.models import Sequential
from nncore.optimizers import SGD, Adam
from nncore.utils import set_random_seed


@pytest.fixture
def _threads() -> Iterator[None]:
    before = nncore.get_num_threads()
    yield
    nncore.set_num_threads(before)


def example(dropout: float = 0.0) -> Sequential:
    layers: list[Layer] = [
        Dense(64, activation="relu", input_dim=100),
        Dropout(dropout),
        Dense(10, activation="softmax"),
    ]
    model = Sequential(layers)
    model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"])
    return model


def bits(model: Sequential, history: dict[str, list[float]]) -> str:
    """A digest of all weights and of everything in the history."""
    digest = hashlib.sha256(repr(sorted(history.items())).encode())
    for weight in model.get_weights():
        digest.update(weight.tobytes())
    return digest.hexdigest()


X, Y = uniform(1000, 100, seed=1), one_hot(1000, 10, seed=1)


def example_run(seed: int, dropout: float = 0.0, **kwargs: Any) -> tuple[Sequential, dict[str, list[float]]]:
    """The README's example: seed, build, fit."""
    set_random_seed(seed)
    model = example(dropout)
    return model, model.fit(X, Y, epochs=3, batch_size=32, validation_split=0.1, verbose=0, **kwargs).history


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_same_seed_same_bits(dropout: float, backend: str) -> None:
    first, second = example_run(5, dropout), example_run(5, dropout)
    assert bits(*first) == bits(*second)
    assert bits(*example_run(6, dropout)) != bits(*first)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_both_backends_draw_one_loss_curve(dropout: float) -> None:
    """From the same weights, in the same row order, with the same dropout masks."""
    runs = []
    for name in backends.NAMES:
        backends.set_backend(name)
        runs.append(example_run(5, dropout))
    (native, native_curve), (reference, curve) = runs
    assert list(native_curve) == list(curve)
    for key in curve:
        assert native_curve[key] == pytest.approx(curve[key], rel=1e-5, abs=1e-12), key
    for got, want in zip(native.get_weights(), reference.get_weights(), strict=True):
        assert relative(got, want) < 1e-5


def test_backends_see_the_same_row_order() -> None:
    """With one input a row the weights after one epoch of a decaying rate tell each row's place."""
    weights = []
    for name in backends.NAMES:
        backends.set_backend(name)
        set_random_seed(3)
        model = Sequential([Input((40,)), Dense(1, use_bias=False, kernel_initializer="zeros")])
        model.compile(SGD(1.0), "mse")

        def slower(batch: int, logs: Any, model: Sequential = model) -> None:
            model.optimizer.learning_rate = 1 / (2 + batch)

        model.fit(
            np.eye(40), np.ones(40), batch_size=1, callbacks=LambdaCallback(on_train_batch_begin=slower), verbose=0
        )
        weights.append(model.get_weights()[0])
    assert same_bits(*weights)
    assert len(np.unique(weights[0])) == 40


def test_the_seed_is_all_that_counts() -> None:
    """Not NumPy's global generator, nor what ran before."""
    first = bits(*example_run(5, 0.3))
    np.random.seed(9)  # noqa: NPY002
    example().fit(X, Y, verbose=0)
    assert bits(*example_run(5, 0.3)) == first


def test_numpy_s_generator_is_left_alone() -> None:
    np.random.seed(4)  # noqa: NPY002
    want = np.random.random(3)  # noqa: NPY002
    np.random.seed(4)  # noqa: NPY002
    random.set_seed(5)  # utils.set_random_seed, as Keras's, seeds NumPy's too
    example(0.3).fit(X, Y, verbose=0)
    assert same_bits(np.random.random(3), want)  # noqa: NPY002


# A row alone and in any batch.

STACKS: dict[str, tuple[tuple[int, ...], list[Layer]]] = {
    "example": ((100,), [Dense(64, activation="relu"), Dense(10, activation="softmax")]),
    "digits": ((8, 8), [Flatten(), Rescaling(1 / 16), Dense(33, activation="tanh"), Dense(10), Softmax()]),
    "narrow": ((3,), [Dense(1, activation="sigmoid")]),
    "one input": ((1,), [Dense(7, activation="tanh"), Dense(1)]),
    "wide": ((17,), [Dense(257, activation="sigmoid"), Dense(65, use_bias=False), Dense(129, activation="softmax")]),
    "deep": ((300,), [Dense(600), ReLU(1.0, 0.1, 0.05), Dense(20, activation="relu"), Dense(3, activation="softmax")]),
    "rows": ((5, 6), [Dense(9, activation="relu"), Dense(4, activation="softmax")]),
    "reshaped": ((12,), [Dense(12, activation="tanh"), Reshape((4, 3)), Dense(5), Activation("softmax"), Flatten()]),
}


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", STACKS)
def test_a_row_is_the_same_alone_and_in_any_batch(name: str, isa: str) -> None:
    backends.in_force = on_isa(isa)
    shape, stack = STACKS[name]
    set_random_seed(1)
    model = Sequential([Input(shape), *(type(layer).from_config(layer.get_config()) for layer in stack)])
    x = uniform(70, *shape, seed=2, low=-2, high=2)
    whole = model.predict(x, batch_size=70, verbose=0)
    alone = np.concatenate([model.predict(x[i : i + 1], verbose=0) for i in range(70)])
    assert same_bits(alone, whole)
    for batch in (1, 2, 3, 4, 5, 7, 8, 9, 13, 16, 17, 31, 32, 33, 64, 69):
        assert same_bits(model.predict(x, batch_size=batch, verbose=0), whole), batch
    order = np.random.default_rng(0).permutation(70)
    assert same_bits(model.predict(x[order], verbose=0), whole[order])
    assert same_bits(model.predict(x.astype(np.float64), batch_size=9, verbose=0), whole)
    assert same_bits(np.concatenate([model(x[i : i + 11]) for i in range(0, 70, 11)]), whole)


def test_predictions_under_every_fused_isa() -> None:
    for shape, stack in STACKS.values():
        set_random_seed(1)
        model = Sequential([Input(shape), *(type(layer).from_config(layer.get_config()) for layer in stack)])
        x = uniform(37, *shape, seed=2, low=-3, high=3)
        found = []
        for isa in FUSED_ISAS:
            backends.in_force = on_isa(isa)
            found.append(model.predict(x, verbose=0))
        assert all(same_bits(p, found[0]) for p in found)


# Instruction sets, over whole fits.


def fit_of(number: int) -> tuple[Sequential, dict[str, list[float]]]:
    """One of a few fits that differ in everything."""
    set_random_seed(number)
    loss, optimizer, layers, y = [
        ("categorical_crossentropy", "sgd", [Dense(64, "relu"), Dense(10, "softmax")], one_hot(300, 10)),
        (
            "sparse_categorical_crossentropy",
            Adam(0.01),
            [Dense(33, "tanh"), Dropout(0.2), Dense(7, "softmax")],
            labels(300, 7),
        ),
        (
            "binary_crossentropy",
            SGD(0.1, 0.9, True),
            [Dense(17, "sigmoid"), Dense(3, "sigmoid")],
            labels(900, 2).reshape(300, 3),
        ),
        ("mae", SGD(0.05, 0.5), [Dense(5), ReLU(2.0, 0.1), Dense(2)], uniform(300, 2)),
    ][number]
    model = Sequential([Input((29,)), *layers])
    model.compile(
        optimizer, loss, metrics=["accuracy", "mse"] if loss != "sparse_categorical_crossentropy" else ["accuracy"]
    )
    weight = np.linspace(0.1, 2, 300)
    history = model.fit(
        uniform(300, 29, seed=4), y, epochs=3, batch_size=23, sample_weight=weight, validation_split=0.2, verbose=0
    )
    return model, history.history


@pytest.mark.parametrize("number", range(4))
def test_fits_under_every_fused_isa(number: int) -> None:
    found = []
    for isa in FUSED_ISAS:
        backends.in_force = on_isa(isa)
        found.append(bits(*fit_of(number)))
    assert len(set(found)) == min(1, len(FUSED_ISAS))


def test_processes_under_every_fused_isa() -> None:
    """NNCORE_ISA chooses; the bits are those of this process's fits."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import test_determinism as t\n"
        "from nncore import backends\n"
        "print(backends.config_summary(), *(t.bits(*t.fit_of(i)) for i in range(4)))\n"
    )
    digests = set()
    for isa in FUSED_ISAS:
        environment = {**os.environ, "NNCORE_ISA": isa, "NNCORE_BACKEND": "native"}
        command = [sys.executable, "-W", "error", "-c", script, str(Path(__file__).parent)]
        ran = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
        *summary, a, b, c, d = ran.stdout.split()
        assert f"({isa}" in " ".join(summary)
        digests.add((a, b, c, d))
    if FUSED_ISAS:
        backends.in_force = on_isa(FUSED_ISAS[0])
        assert digests == {tuple(bits(*fit_of(i)) for i in range(4))}


# Threads.


@pytest.mark.usefixtures("_threads")
@pytest.mark.parametrize("isa", ISAS)
def test_any_number_of_threads(isa: str) -> None:
    """A network large enough that every count from 1 to 7 gets its threads."""
    backends.in_force = on_isa(isa)
    x, y = uniform(200, 300, seed=5), labels(200, 10, seed=5)
    found, predictions = [], []
    for threads in (1, 2, 3, 4, 7):
        nncore.set_num_threads(threads)
        set_random_seed(9)
        model = Sequential(
            [
                Input((300,)),
                Dense(257, "relu"),
                Dropout(0.2),
                Dense(300, "tanh"),
                Dense(130, "sigmoid"),
                Dense(10, "softmax"),
            ]
        )
        model.compile(Adam(0.001), "sparse_categorical_crossentropy", metrics=["accuracy"])
        history = model.fit(x, y, batch_size=96, epochs=2, validation_split=0.1, verbose=0).history
        found.append(bits(model, history))
        predictions.append(model.predict(x, batch_size=199, verbose=0))
    assert len(set(found)) == 1
    assert all(same_bits(p, predictions[0]) for p in predictions)


@pytest.mark.usefixtures("_threads")
def test_threads_on_random_models() -> None:
    """Also where most instructions are too small to share."""
    for number in range(0, 60, 4):
        problem = random_problem(number)
        program = fuse(problem.program())
        at = tight_plan(program, problem.flat, problem.batch)
        ends = []
        for threads in (1, 3):
            nncore.set_num_threads(threads)
            run = problem.start(program, at).run(on_isa(None), problem.epoch())
            ends.append(np.concatenate([run.flat.parameter, run.flat.gradient, run.state, run.totals.view("f")]))
        assert same_bits(*ends)


# The caller's floating point.


def test_denormals_are_the_caller_s_again(backend: str) -> None:
    tiny = np.float32(1e-40)

    def denormals_work() -> bool:
        return bool(np.multiply(tiny, np.float32(0.5)) != 0)

    assert denormals_work()
    inside: list[bool] = []
    model = example()
    look = LambdaCallback(on_train_batch_end=lambda batch, logs: inside.append(denormals_work()))
    model.fit(X[:64], Y[:64], verbose=0, callbacks=look)
    assert inside == [True, True]
    model.predict(X[:3], verbose=0)
    model(X[:1])
    assert denormals_work()


# One chain of multiply-adds.


def fused_multiply_add(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """a b + c of float32 values, rounded once: the sum rounded to odd in float64, which float32 then rounds right."""
    product, term = a.astype(np.float64) * b, c.astype(np.float64)  # the product is exact
    total = product + term
    back = total - product
    rest = (product - (total - back)) + (term - back)
    even = (total.view(np.int64) & 1) == 0
    odd = np.where((rest != 0) & even, np.nextafter(total, np.where(rest > 0, np.inf, -np.inf)), total)
    return odd.astype(np.float32)


def rounded_twice(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """a b + c, the product rounded too: what an instruction set without fused multiply-add does."""
    return a * b + c


@pytest.mark.parametrize("depth", [1, 2, 31, 255, 256, 257, 513, 1030])
@pytest.mark.parametrize("isa", ISAS)
def test_products_are_summed_in_order(isa: str, depth: int) -> None:
    """b, then k = 0, 1, …: whatever the tile and the block of the depth, for all matrix products."""
    step = fused_multiply_add if isa in FUSED_ISAS else rounded_twice
    rows, cols = 5, 19
    x, w, b = uniform(rows, depth, seed=1), uniform(depth, cols, seed=2), uniform(cols, seed=3)
    start = np.broadcast_to(b, (rows, cols))
    sums = {"bias": start, "none": np.zeros((rows, cols), np.float32)}
    total = np.zeros((1, cols), np.float32)
    for k in range(depth):
        sums = {name: step(x[:, k : k + 1], w[k : k + 1], sum_) for name, sum_ in sums.items()}
        total = total + w[k : k + 1]
    columns = np.ascontiguousarray(x.T), np.ascontiguousarray(w.T)
    assert same_bits(kernels.call("dense", x, w, b, isa=isa), sums["bias"])
    assert same_bits(kernels.call("dense", x, w, None, isa=isa), sums["none"])
    assert same_bits(kernels.call("dense_grad_x", x, columns[1], isa=isa), sums["none"])
    assert same_bits(kernels.call("dense_grad_w", columns[0], w, isa=isa), sums["none"])
    assert same_bits(kernels.call("bias_grad", w, isa=isa), total[0])
