"""``compile``, ``fit``, ``evaluate`` and the single-batch methods, against a network written out by hand."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from oracles import labels, one_hot, relative, same_bits, uniform

import nncore
from nncore import losses, metrics, random
from nncore.callbacks import Callback, EarlyStopping, History, LambdaCallback, TerminateOnNaN
from nncore.layers import Activation, Dense, Dropout, Flatten, Input, Reshape, Softmax
from nncore.models import Sequential
from nncore.optimizers import SGD, Adam

pytestmark = pytest.mark.usefixtures("seed")

Array = np.ndarray[Any, Any]

N, K, H, C = 43, 6, 7, 3
X = uniform(N, K, seed=1, low=-2, high=2)
T = one_hot(N, C, seed=2)
LABELS = labels(N, C, seed=2)
WEIGHTS = uniform(N, seed=3, low=0, high=3)


def network() -> Sequential:
    return Sequential([Input((K,)), Dense(H, activation="tanh"), Dense(C, activation="softmax")])


@dataclass
class Hand:
    """The same network in float64: plain gradient descent on weighted cross-entropy, formulas written out."""

    w: list[Array]
    rate: float
    loss: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)

    @staticmethod
    def of(model: Sequential, rate: float) -> Hand:
        return Hand([w.astype(np.float64) for w in model.get_weights()], rate)

    def forward(self, x: Array) -> tuple[Array, Array]:
        w1, b1, w2, b2 = self.w
        h = np.tanh(x @ w1 + b1)
        z = h @ w2 + b2
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return h, e / e.sum(axis=1, keepdims=True)

    def score(self, x: Array, t: Array, weight: Array | None = None) -> tuple[float, float]:
        """Weighted loss over the number of rows, and the unweighted accuracy."""
        _, p = self.forward(x.astype(np.float64))
        rows = -np.sum(t * np.log(p), axis=1) * (1 if weight is None else weight)
        return float(rows.mean()), float(np.mean(p.argmax(1) == t.argmax(1)))

    def step(self, x: Array, t: Array, weight: Array | None) -> None:
        x = x.astype(np.float64)
        h, p = self.forward(x)
        dz = (p - t) * (1 if weight is None else weight[:, None]) / len(x)
        dh = dz @ self.w[2].T * (1 - h * h)
        for w, g in zip(self.w, (x.T @ dh, dh.sum(0), h.T @ dz, dz.sum(0)), strict=True):
            w -= self.rate * g

    def fit(self, x: Array, t: Array, epochs: int, batch: int, weight: Array | None = None) -> Hand:
        for _ in range(epochs):
            loss = right = 0.0
            for start in range(0, len(x), batch):
                cut = slice(start, start + batch)
                w = None if weight is None else weight[cut]
                scores = self.score(x[cut], t[cut], w)
                loss, right = loss + scores[0] * len(x[cut]), right + scores[1] * len(x[cut])
                self.step(x[cut], t[cut], w)
            self.loss.append(loss / len(x))
            self.accuracy.append(right / len(x))
        return self

    def agrees(self, model: Sequential, history: dict[str, list[float]] | None = None) -> None:
        for got, want in zip(model.get_weights(), self.w, strict=True):
            assert relative(got, want) < 1e-5
        if history is not None:
            assert history["loss"] == pytest.approx(self.loss, rel=1e-5)
            assert history["accuracy"] == pytest.approx(self.accuracy, abs=1e-12)


def compiled(model: Sequential | None = None, rate: float = 0.2, **kwargs: Any) -> Sequential:
    chosen = network() if model is None else model
    chosen.compile(SGD(rate), **{"loss": "categorical_crossentropy", "metrics": ["accuracy"], **kwargs})
    return chosen


QUIET: dict[str, Any] = {"shuffle": False, "verbose": 0}


# fit.


@pytest.mark.parametrize("batch", [1, 5, 8, 42, 43, 44, 1000, None])
def test_fit_by_hand(batch: int | None, backend: str) -> None:
    """All batch sizes, tails included; None is 32."""
    model = compiled()
    hand = Hand.of(model, 0.2)
    history = model.fit(X, T, batch_size=batch, epochs=3, **QUIET)
    hand.fit(X, T, 3, batch or 32).agrees(model, history.history)
    assert list(history.history) == ["accuracy", "loss"]
    assert history.epoch == [0, 1, 2]
    assert history.params == {"verbose": 0, "epochs": 3, "steps": math.ceil(N / min(batch or 32, N))}
    assert history.model is model
    assert model.history is history
    assert model.optimizer.iterations == 3 * history.params["steps"]


def test_sample_weight_divides_by_the_number_of_rows(backend: str) -> None:
    model = compiled()
    hand = Hand.of(model, 0.2)
    history = model.fit(X, T, batch_size=8, epochs=2, sample_weight=WEIGHTS, **QUIET).history
    hand.fit(X, T, 2, 8, WEIGHTS).agrees(model, history)


@pytest.mark.parametrize("weight", [WEIGHTS.tolist(), WEIGHTS[:, None], WEIGHTS.astype(np.float64)[::-1][::-1]])
def test_kinds_of_sample_weight(weight: Any, backend: str) -> None:
    one, two = compiled(), compiled()
    two.set_weights(one.get_weights())
    one.fit(X, T, sample_weight=WEIGHTS, **QUIET)
    two.fit(X, T, sample_weight=weight, **QUIET)
    assert all(same_bits(a, b) for a, b in zip(one.get_weights(), two.get_weights(), strict=True))


def test_integer_and_boolean_sample_weight(backend: str) -> None:
    model = compiled()
    hand = Hand.of(model, 0.2)
    keep = LABELS > 0
    model.fit(X, T, sample_weight=keep, **QUIET)
    hand.fit(X, T, 1, 32, keep.astype(float))
    model.fit(X, T, sample_weight=keep.astype(np.int8) * 2, **QUIET)
    hand.fit(X, T, 1, 32, keep * 2.0).agrees(model)


@pytest.mark.parametrize("sparse", [False, True])
def test_class_weight(sparse: bool, backend: str) -> None:
    """By the label, or where the one is; classes that are not named weigh 1."""
    model = compiled(loss="sparse_categorical_crossentropy" if sparse else "categorical_crossentropy")
    hand = Hand.of(model, 0.2)
    table = np.array([1.0, 2.5, 0.0])
    y = LABELS if sparse else T
    history = model.fit(X, y, epochs=2, batch_size=8, class_weight={1: 2.5, np.int64(2): 0}, **QUIET).history
    hand.fit(X, T, 2, 8, table[LABELS]).agrees(model, history)


def test_class_weight_of_two_classes_and_one_output(backend: str) -> None:
    y = (LABELS == 1).astype(float)
    models = [Sequential([Input((K,)), Dense(1, activation="sigmoid")]) for _ in range(2)]
    models[1].set_weights(models[0].get_weights())
    for model in models:
        compiled(model, loss="binary_crossentropy")
    models[0].fit(X, y, class_weight={0: 0.5, 1: 3.0}, **QUIET)
    models[1].fit(X, y, sample_weight=np.where(y == 1, 3.0, 0.5), **QUIET)
    assert all(same_bits(a, b) for a, b in zip(models[0].get_weights(), models[1].get_weights(), strict=True))


@pytest.mark.parametrize("shuffle", [False, True])
def test_validation_split_takes_the_last_rows_before_shuffling(shuffle: bool, backend: str) -> None:
    """int(N (1 - s)) rows train; the rest are evaluated, in training's batch size, after each epoch."""
    model = compiled()
    cut = int(N * (1 - 0.3))
    assert cut == 30
    seen: list[tuple[float, float]] = []

    class Score(Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            seen.append(Hand.of(model, 0).score(X[cut:], T[cut:]))

    x = X.copy()
    hand = Hand.of(model, 0.2)
    history = model.fit(
        x, T, validation_split=0.3, epochs=2, batch_size=cut, shuffle=shuffle, verbose=0, callbacks=Score()
    )
    hand.fit(X[:cut], T[:cut], 2, cut).agrees(model)  # one batch an epoch: its order matters to rounding only
    assert history.history["val_loss"] == pytest.approx([loss for loss, _ in seen], rel=1e-5)
    assert history.history["val_accuracy"] == pytest.approx([right for _, right in seen])
    assert list(history.history) == ["accuracy", "loss", "val_accuracy", "val_loss"]
    assert np.array_equal(x, X)


@pytest.mark.parametrize("share, rows", [(0.5, 21), (0.1, 38), (0.01, 42), (0.97, 1)])
def test_validation_split_sizes(share: float, rows: int) -> None:
    model = compiled()
    assert model.fit(X, T, validation_split=share, batch_size=1, verbose=0).params["steps"] == rows


def test_validation_split_cuts_weights_too(backend: str) -> None:
    one, two = compiled(), compiled()
    two.set_weights(one.get_weights())
    histories = [
        one.fit(X, T, sample_weight=WEIGHTS, validation_split=0.25, batch_size=9, **QUIET),
        two.fit(
            X[:32],
            T[:32],
            sample_weight=WEIGHTS[:32],
            validation_data=(X[32:], T[32:], WEIGHTS[32:]),
            batch_size=9,
            **QUIET,
        ),
    ]
    assert histories[0].history == histories[1].history
    assert histories[0].history["val_loss"][0] == pytest.approx(
        Hand.of(one, 0).score(X[32:], T[32:], WEIGHTS[32:])[0], rel=1e-5
    )


@pytest.mark.parametrize("as_list", [False, True])
def test_validation_data(as_list: bool, backend: str) -> None:
    model = compiled()
    vx, vt = uniform(11, K, seed=9), one_hot(11, C, seed=9)
    pair = [vx.tolist(), vt.tolist()] if as_list else (vx, vt)
    hand = Hand.of(model, 0.2)
    history = model.fit(X, T, validation_data=pair, validation_split=0.5, batch_size=8, **QUIET).history
    hand.fit(X, T, 1, 8).agrees(model)  # validation_data wins: nothing is split off
    assert history["val_loss"] == pytest.approx([hand.score(vx, vt)[0]], rel=1e-5)


def test_validation_batch_size_and_frequency(backend: str) -> None:
    steps: list[int] = []

    class Steps(Callback):
        def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
            steps.append(batch)

    model = compiled()
    history = model.fit(
        X, T, validation_split=0.3, validation_batch_size=4, validation_freq=2, epochs=5, callbacks=[Steps()], **QUIET
    )
    assert steps == [0, 1, 2, 3] * 2
    assert [len(history.history[key]) for key in ("loss", "val_loss")] == [5, 2]
    history = model.fit(X, T, validation_split=0.3, validation_freq=[1, 4, 9], epochs=4, callbacks=[Steps()], **QUIET)
    assert [len(history.history[key]) for key in ("loss", "val_loss")] == [4, 2]


def test_initial_epoch() -> None:
    model = compiled()
    epochs: list[int] = []
    history = model.fit(
        X,
        T,
        initial_epoch=2,
        epochs=4,
        callbacks=LambdaCallback(on_epoch_begin=lambda e, logs: epochs.append(e)),
        **QUIET,
    )
    assert epochs == history.epoch == [2, 3]
    assert len(history.history["loss"]) == 2
    assert model.optimizer.iterations == 4
    for none in ({"epochs": 0}, {"initial_epoch": 3, "epochs": 3}, {"initial_epoch": 5, "epochs": 3}):
        before = model.get_weights()
        history = model.fit(X, T, **none, **QUIET)
        assert (history.history, history.epoch) == ({}, [])
        assert all(same_bits(a, b) for a, b in zip(before, model.get_weights(), strict=True))


# Row order: with one input for each row, a step changes exactly the weights of its rows.


class Rows(Callback):
    """The rows of every batch."""

    def __init__(self) -> None:
        self.epochs: list[list[set[int]]] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epochs.append([])

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.before = self.model.get_weights()[0]

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        changed = np.flatnonzero(self.model.get_weights()[0] != self.before)
        self.epochs[-1].append({int(i) for i in changed})


def orders(shuffle: Any, rows: int = 23, batch: int = 5, epochs: int = 3) -> list[list[set[int]]]:
    model = Sequential([Input((rows,)), Dense(1, use_bias=False, kernel_initializer="zeros")])
    model.compile(SGD(0.01), "mse")
    watch = Rows()
    model.fit(np.eye(rows), np.ones(rows), batch_size=batch, epochs=epochs, shuffle=shuffle, verbose=0, callbacks=watch)
    return watch.epochs


IN_ORDER = [set(range(start, min(start + 5, 23))) for start in range(0, 23, 5)]


def test_shuffle_off(backend: str) -> None:
    assert orders(False) == [IN_ORDER] * 3


def test_shuffle_within_batches(backend: str) -> None:
    assert orders("batch") == [IN_ORDER] * 3


def test_shuffle(backend: str) -> None:
    epochs = orders(True)
    for batches in epochs:
        assert [len(b) for b in batches] == [5, 5, 5, 5, 3]
        assert sorted(i for b in batches for i in b) == list(range(23))
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
    assert orders(True) != epochs  # another fit, another order


def test_seed_gives_the_row_order(backend: str) -> None:
    nncore.utils.set_random_seed(5)
    first = orders(True)
    nncore.utils.set_random_seed(5)
    assert orders(True) == first
    nncore.utils.set_random_seed(6)
    assert orders(True) != first


def test_both_backends_draw_one_order() -> None:
    found = []
    for name in ("native", "numpy"):
        nncore.set_backend(name)
        nncore.utils.set_random_seed(5)
        found.append(orders(True))
    assert found[0] == found[1]


@pytest.mark.parametrize("shuffle", [True, "batch"])
def test_the_order_does_not_depend_on_batch_hooks(shuffle: Any, backend: str) -> None:
    """They make every batch a run of its own."""
    x, y = np.random.default_rng(0).normal(size=(2, 23, 1))
    found = []
    for callbacks in ([], [Rows()]):
        nncore.utils.set_random_seed(5)
        model = Sequential([Input((1,)), Dense(1)])
        model.compile(SGD(0.1), "mse")
        model.fit(x, y, batch_size=5, epochs=3, shuffle=shuffle, verbose=0, callbacks=callbacks)
        found.append(np.concatenate([w.ravel() for w in model.get_weights()]))
    assert same_bits(*found)


# Losses and metrics.


@pytest.mark.parametrize("y", [
    T, T.astype(np.float64), T.astype(np.int64), T.astype(bool), T.astype(np.uint8), T.tolist(), np.asfortranarray(T),
    T[::-1][::-1], np.repeat(T, 2, axis=1)[:, ::2],
])  # fmt: skip
def test_kinds_of_one_hot_targets(y: Any, backend: str) -> None:
    model = compiled()
    hand = Hand.of(model, 0.2)
    hand.fit(X, T, 1, 16).agrees(model, model.fit(X, y, batch_size=16, **QUIET).history)


@pytest.mark.parametrize("y", [
    LABELS, LABELS[:, None], LABELS.astype(np.int32), LABELS.astype(np.uint8), LABELS.astype(np.float64),
    LABELS.astype(np.float32), LABELS.tolist(), LABELS.astype(object), np.repeat(LABELS, 3)[::3],
])  # fmt: skip
def test_kinds_of_labels(y: Any, backend: str) -> None:
    model = compiled(loss="sparse_categorical_crossentropy")
    hand = Hand.of(model, 0.2)
    hand.fit(X, T, 1, 16).agrees(model, model.fit(X, y, batch_size=16, **QUIET).history)


@pytest.mark.parametrize("x", [
    X.astype(np.float64), X.tolist(), np.asfortranarray(X), np.repeat(X, 2, axis=1)[:, ::2], X[::-1][::-1],
    X[:, :, None], X.astype(object),
])  # fmt: skip
def test_kinds_of_samples(x: Any, backend: str) -> None:
    model = compiled()
    hand = Hand.of(model, 0.2)
    hand.fit(X, T, 1, 16).agrees(model, model.fit(x, T, batch_size=16, **QUIET).history)


@pytest.mark.parametrize(
    "dtype", [np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32, np.uint64, np.int64, bool]
)
def test_samples_of_integers(dtype: Any, backend: str) -> None:
    x = (np.abs(X) * 2).astype(dtype)
    model = compiled()
    hand = Hand.of(model, 0.2)
    hand.fit(x, T, 1, 16).agrees(model, model.fit(x, T, batch_size=16, **QUIET).history)


def test_memory_map(tmp_path: Any, backend: str) -> None:
    np.save(tmp_path / "x.npy", X)
    model = compiled()
    hand = Hand.of(model, 0.2)
    model.fit(np.load(tmp_path / "x.npy", mmap_mode="r"), T, batch_size=16, **QUIET)
    hand.fit(X, T, 1, 16).agrees(model)


@pytest.mark.parametrize(
    "loss",
    ["categorical_crossentropy", losses.categorical_crossentropy, losses.CategoricalCrossentropy,
     losses.CategoricalCrossentropy(), "CategoricalCrossentropy"],
)  # fmt: skip
def test_ways_to_name_a_loss(loss: Any) -> None:
    model = compiled(loss=loss)
    hand = Hand.of(model, 0.2)
    model.fit(X, T, **QUIET)
    hand.fit(X, T, 1, 32).agrees(model)
    assert isinstance(model.loss, losses.CategoricalCrossentropy)


@pytest.mark.parametrize("head", [
    lambda: [Dense(C), Activation("softmax")], lambda: [Dense(C), Softmax()],
    lambda: [Dense(C, activation="softmax"), Reshape((C,))], lambda: [Dense(C, activation="softmax"), Dropout(0.0)],
])  # fmt: skip
def test_softmax_in_any_form(head: Any, backend: str) -> None:
    model = compiled(Sequential([Input((K,)), Dense(H, activation="tanh"), *head()]))
    hand = Hand.of(model, 0.2)
    hand.fit(X, T, 2, 8).agrees(model, model.fit(X, T, batch_size=8, epochs=2, **QUIET).history)


def test_logits(backend: str) -> None:
    model = compiled(
        Sequential([Input((K,)), Dense(H, activation="tanh"), Dense(C)]),
        loss=losses.CategoricalCrossentropy(from_logits=True),
    )
    hand = Hand.of(model, 0.2)
    hand.fit(X, T, 2, 8).agrees(model, model.fit(X, T, batch_size=8, epochs=2, **QUIET).history)


def test_accuracy_by_shape(backend: str) -> None:
    p1 = np.array([0.5, 0.2, 0.7, 0.50001, 1, 0, 0.6, 0.4, 0.9])
    one = Sequential([Input((1,)), Activation("linear")])
    one.compile("sgd", "binary_crossentropy", metrics=["accuracy", "acc", "ACC"])
    y = np.array([1, 0, 1, 1, 0, 0, 1, 1, 1])
    scores = one.evaluate(p1, y, verbose=0, return_dict=True)
    assert scores["accuracy"] == scores["acc"] == scores["ACC"] == pytest.approx(np.mean((p1 > 0.5) == y))
    assert [type(m) for m in one.metrics] == [metrics.BinaryAccuracy] * 3

    p = np.array([[0.2, 0.5, 0.5], [0.9, 0.9, 0.1], [0.1, 0.2, 0.7], [0.4, 0.3, 0.3]])  # ties: the first wins
    three = Sequential([Input((3,)), Activation("linear")])
    for y3, loss, kind in (
        (np.array([1, 0, 2, 1]), "sparse_categorical_crossentropy", metrics.SparseCategoricalAccuracy),
        (np.array([[1], [0], [2], [1]]), "sparse_categorical_crossentropy", metrics.SparseCategoricalAccuracy),
        (np.eye(3)[[1, 0, 2, 1]], "categorical_crossentropy", metrics.CategoricalAccuracy),
    ):
        three.compile("sgd", loss, metrics=["accuracy"])
        assert three.evaluate(p, y3, verbose=0)[1] == 0.75
        assert [type(m) for m in three.metrics] == [kind]


def test_metric_names_and_order(backend: str) -> None:
    """A string is reported as typed, an instance under its name, a function under its own; doubles get a number."""
    model = network()
    chosen = ["mse", "MeanSquaredError", metrics.MeanSquaredError(), metrics.MeanAbsoluteError(name="mine"),
              losses.mean_absolute_error, metrics.CategoricalAccuracy, "acc", "mse"]  # fmt: skip
    model.compile("sgd", "categorical_crossentropy", metrics=chosen)
    names = [
        "loss", "mse", "MeanSquaredError", "mean_squared_error", "mine", "mean_absolute_error", "categorical_accuracy",
        "acc", "mse_1",
    ]  # fmt: skip
    values = model.evaluate(X, T, verbose=0)
    scores = model.evaluate(X, T, verbose=0, return_dict=True)
    assert list(scores) == sorted(names)
    assert values == [scores[name] for name in names]
    assert model.metrics_names == names
    p = model.predict(X, verbose=0).astype(np.float64)
    assert scores["mse"] == scores["mse_1"] == pytest.approx(np.mean((p - T) ** 2), rel=1e-5)
    assert scores["mine"] == pytest.approx(np.mean(np.abs(p - T)), rel=1e-5)
    history = model.fit(X, T, verbose=0, validation_split=0.1).history
    assert list(history) == sorted([*names, *(f"val_{name}" for name in names)])


def test_metrics_alone_or_in_a_tuple() -> None:
    for given in ("accuracy", ("accuracy",), ["accuracy"]):
        assert list(compiled(metrics=given).fit(X, T, verbose=0).history) == ["accuracy", "loss"]
    for given in (None, [], ()):
        assert list(compiled(metrics=given).fit(X, T, verbose=0).history) == ["loss"]


@pytest.mark.parametrize("weighted", [False, True])
def test_samples_of_several_rows(weighted: bool, backend: str) -> None:
    """Losses and metrics are means over all rows of all samples; a sample's weight counts for each of its rows."""
    x, t = uniform(10, 4, 3), np.eye(2)[labels(40, 2)].reshape(10, 4, 2)
    w = np.linspace(0, 2, 10) if weighted else None
    model = Sequential([Input((4, 3)), Dense(2, activation="softmax")])
    model.compile(SGD(1.0), "categorical_crossentropy", metrics=["accuracy", "mse"])
    p = model.predict(x, verbose=0).astype(np.float64)
    rows = -np.log(np.sum(p * t, axis=-1))
    each = np.ones((10, 1)) if w is None else w[:, None]
    scores = model.evaluate(x, t, sample_weight=w, batch_size=4, verbose=0, return_dict=True)
    assert scores["loss"] == pytest.approx(np.mean(rows * each), rel=1e-5)
    assert scores["accuracy"] == pytest.approx(np.mean(p.argmax(-1) == t.argmax(-1)))
    assert scores["mse"] == pytest.approx(np.mean((p - t) ** 2), rel=1e-5)
    before = [v.astype(np.float64) for v in model.get_weights()]
    assert model.train_on_batch(x, t, sample_weight=w)[0] == pytest.approx(scores["loss"], rel=1e-5)
    dz = (p - t) * each[:, :, None] / 40
    assert relative(before[0] - model.get_weights()[0], np.einsum("bti,bto->io", x, dz)) < 1e-4
    assert relative(before[1] - model.get_weights()[1], dz.sum((0, 1))) < 1e-4


def test_labels_of_several_rows(backend: str) -> None:
    x, y = uniform(10, 4, 3), labels(40, 5).reshape(10, 4)
    model = Sequential([Input((4, 3)), Dense(5, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    p = model.predict(x, verbose=0).astype(np.float64)
    for target in (y, y[:, :, None]):
        loss, right = model.evaluate(x, target, batch_size=3, verbose=0)
        assert loss == pytest.approx(-np.mean(np.log(np.take_along_axis(p, y[..., None], -1))), rel=1e-5)
        assert right == pytest.approx(np.mean(p.argmax(-1) == y))


@pytest.mark.parametrize("loss, value", [("mse", lambda e: e**2), ("mae", np.abs)])
@pytest.mark.parametrize("y_shape", [(N,), (N, 1)])
def test_regression(loss: str, value: Any, y_shape: tuple[int, ...], backend: str) -> None:
    """A vector of targets for one output is one target a row, not a matrix of differences."""
    y = uniform(*y_shape, seed=4)
    model = Sequential([Input((K,)), Dense(1)])
    model.compile(SGD(0.1), loss, metrics=["mae", "root_mean_squared_error"])
    e = model.predict(X, verbose=0).astype(np.float64) - y.reshape(N, 1)
    scores = model.evaluate(X, y, verbose=0)
    assert scores == pytest.approx([np.mean(value(e)), np.mean(np.abs(e)), np.sqrt(np.mean(e**2))], rel=1e-5)
    before = model.get_weights()
    slope = 2 * e if loss == "mse" else np.sign(e)
    model.train_on_batch(X, y)
    assert relative(before[0] - model.get_weights()[0], 0.1 * X.T.astype(float) @ slope / N) < 1e-4


def test_one_feature(backend: str) -> None:
    """y = 3 x + 1 from vectors."""
    x = np.linspace(-1, 1, 50)
    model = Sequential([Dense(1)])
    model.compile(SGD(0.5), "mse")
    model.fit(x, 3 * x + 1, epochs=30, verbose=0)
    kernel, bias = model.get_weights()
    assert kernel[0, 0] == pytest.approx(3, abs=1e-3)
    assert bias[0] == pytest.approx(1, abs=1e-3)
    assert model.predict([0.5], verbose=0) == pytest.approx(2.5, abs=1e-3)


def test_nan_goes_through_on_request(backend: str) -> None:
    x = X.copy()
    x[5, 2] = np.nan
    model = compiled(check_finite=False, on_nan="ignore")
    history = model.fit(x, T, **QUIET).history
    assert math.isnan(history["loss"][0])
    assert np.isnan(model.get_weights()[0]).any()


# evaluate and single batches.


def test_evaluate(backend: str) -> None:
    model = compiled(metrics=None)
    hand = Hand.of(model, 0.2)
    loss = model.evaluate(X, T, verbose=0)
    assert isinstance(loss, float)
    assert loss == pytest.approx(hand.score(X, T)[0], rel=1e-5)
    for batch in (1, 7, 43, 99):
        assert model.evaluate(X, T, batch_size=batch, verbose=0) == pytest.approx(loss, rel=1e-6)
        weighted = model.evaluate(X, T, batch_size=batch, sample_weight=WEIGHTS, verbose=0)
        assert weighted == pytest.approx(hand.score(X, T, WEIGHTS)[0], rel=1e-5)
    assert model.evaluate(X, T, verbose=0, return_dict=True) == {"loss": pytest.approx(loss)}
    hand.agrees(model)
    assert model.optimizer.iterations == 0
    assert model.history is None


def test_train_on_batch(backend: str) -> None:
    """One step on all rows, whatever their number; returns loss and metrics from before it."""
    model = compiled()
    hand = Hand.of(model, 0.2)
    for i, rows in enumerate((N, 5, 1, 40)):
        want = hand.score(X[:rows], T[:rows])
        assert model.train_on_batch(X[:rows], T[:rows]) == pytest.approx(list(want), rel=1e-5)
        hand.step(X[:rows], T[:rows], None)
        assert model.optimizer.iterations == i + 1
    want = hand.score(X, T, WEIGHTS)
    got = model.train_on_batch(X, T, sample_weight=WEIGHTS, return_dict=True)
    assert got == {"accuracy": pytest.approx(want[1]), "loss": pytest.approx(want[0], rel=1e-5)}
    assert list(got) == ["accuracy", "loss"]
    hand.step(X, T, WEIGHTS)
    table = np.array([1.0, 3.0, 0.5])
    model.train_on_batch(X, T, class_weight={1: 3.0, 2: 0.5})
    hand.step(X, T, table[LABELS])
    hand.agrees(model)
    assert model.history is None


def test_test_on_batch(backend: str) -> None:
    model = compiled()
    hand = Hand.of(model, 0.2)
    assert model.test_on_batch(X, T) == pytest.approx(list(hand.score(X, T)), rel=1e-5)
    weighted = model.test_on_batch(X, T, sample_weight=WEIGHTS, return_dict=True)
    assert weighted["loss"] == pytest.approx(hand.score(X, T, WEIGHTS)[0], rel=1e-5)
    hand.agrees(model)
    alone = compiled(metrics=None)
    assert isinstance(alone.test_on_batch(X, T), float)
    assert isinstance(alone.train_on_batch(X, T), float)


# Optimizers.


def adam_by_hand(model: Sequential, x: Array, t: Array, steps: int, rate: float) -> Hand:
    hand = Hand.of(model, 1.0)
    m, v = ([np.zeros_like(w) for w in hand.w] for _ in range(2))
    for step in range(1, steps + 1):
        before = [w.copy() for w in hand.w]
        hand.step(x, t, None)
        for i, (w, old) in enumerate(zip(hand.w, before, strict=True)):
            g = old - w
            m[i] = 0.9 * m[i] + 0.1 * g
            v[i] = 0.999 * v[i] + 0.001 * g * g
            alpha = rate * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
            w[...] = old - alpha * m[i] / (np.sqrt(v[i]) + 1e-7)
    return hand


def test_adam_keeps_its_state_from_fit_to_fit(backend: str) -> None:
    model = network()
    model.compile(Adam(0.01), "categorical_crossentropy")
    hand = adam_by_hand(model, X, T, 5, 0.01)
    model.fit(X, T, batch_size=N, epochs=2, **QUIET)
    model.train_on_batch(X, T)
    model.fit(X, T, batch_size=N, epochs=2, **QUIET)
    for got, want in zip(model.get_weights(), hand.w, strict=True):
        assert relative(got, want) < 1e-5
    assert model.optimizer.iterations == 5


def test_compile_starts_a_new_optimizer(backend: str) -> None:
    model = network()
    model.compile("adam", "categorical_crossentropy")
    model.fit(X, T, verbose=0)
    start = model.get_weights()
    model.compile("adam", "categorical_crossentropy")
    assert model.optimizer.iterations == 0
    assert model.history is not None
    other = network()
    other.set_weights(start)
    other.compile("adam", "categorical_crossentropy")
    for m in (model, other):
        m.fit(X, T, **QUIET)
    assert all(same_bits(a, b) for a, b in zip(model.get_weights(), other.get_weights(), strict=True))


@pytest.mark.parametrize("name", ["sgd", "SGD", "Adam", "adam", "ADAM", SGD, Adam])
def test_ways_to_name_an_optimizer(name: Any) -> None:
    model = network()
    model.compile(name, "mse")
    assert type(model.optimizer).__name__.lower() == getattr(name, "__name__", name).lower()


def test_learning_rate_may_change_at_any_time(backend: str) -> None:
    model = compiled(rate=0.3)
    hand = Hand.of(model, 0.3)
    rates = [0.3, 0.1, 0.01]

    def change(epoch: int, logs: Any) -> None:
        model.optimizer.learning_rate = rates[epoch]

    model.fit(X, T, epochs=3, batch_size=8, callbacks=LambdaCallback(on_epoch_begin=change), **QUIET)
    for rate in rates:
        hand.rate = rate
        hand.fit(X, T, 1, 8)
    hand.agrees(model)

    def halve(batch: int, logs: Any) -> None:
        model.optimizer.learning_rate = 0.1 / 2**batch

    model.fit(X, T, batch_size=8, callbacks=LambdaCallback(on_train_batch_begin=halve), **QUIET)
    for i, start in enumerate(range(0, N, 8)):
        hand.rate = 0.1 / 2**i
        hand.step(X[start : start + 8], T[start : start + 8], None)
    hand.agrees(model)


# Callbacks.


class Journal(Callback):
    """Every event, with its logs."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []

    def note(self, name: str, *args: Any) -> None:
        *rest, logs = args
        self.events.append((name, *rest, sorted(logs)))

    def names(self) -> list[Any]:
        return [event[:-1] if len(event) > 2 else event[0] for event in self.events]


for _hook in nncore.callbacks.HOOKS:
    if not _hook.startswith("on_batch"):

        def _method(self: Any, *args: Any, _name: str = _hook, logs: Any = None) -> None:
            given = args if args and isinstance(args[-1], dict) else (*args, logs or {})
            self.note(_name, *given)

        setattr(Journal, _hook, _method)


def test_order_of_events_and_their_logs(backend: str) -> None:
    model, journal = compiled(), Journal()
    model.fit(X, T, batch_size=20, validation_split=0.25, epochs=2, callbacks=[journal], **QUIET)
    train = [event for b in range(2) for event in (("on_train_batch_begin", b), ("on_train_batch_end", b))]
    test = ["on_test_begin", ("on_test_batch_begin", 0), ("on_test_batch_end", 0), "on_test_end"]
    assert journal.names() == [
        "on_train_begin",
        ("on_epoch_begin", 0), *train, *test, ("on_epoch_end", 0),
        ("on_epoch_begin", 1), *train, *test, ("on_epoch_end", 1),
        "on_train_end",
    ]  # fmt: skip
    logs = {event[:-1] if len(event) > 2 else event[0]: event[-1] for event in journal.events}
    scores = ["accuracy", "loss"]
    assert logs["on_train_batch_begin", 0] == logs["on_epoch_begin", 0] == logs["on_train_begin"] == []
    assert logs["on_train_batch_end", 1] == logs["on_test_batch_end", 0] == logs["on_test_end"] == scores
    assert logs["on_epoch_end", 1] == logs["on_train_end"] == [*scores, "val_accuracy", "val_loss"]


def test_events_of_evaluate_and_predict(backend: str) -> None:
    model, journal = compiled(), Journal()
    model.evaluate(X, T, batch_size=30, callbacks=journal, verbose=0)
    test = [e for b in range(2) for e in (("on_test_batch_begin", b), ("on_test_batch_end", b))]
    assert journal.names() == ["on_test_begin", *test, "on_test_end"]
    journal.events.clear()
    p = model.predict(X, batch_size=30, callbacks=[journal], verbose=0)
    assert journal.names() == [
        "on_predict_begin",
        *(e for b in range(2) for e in (("on_predict_batch_begin", b), ("on_predict_batch_end", b))), "on_predict_end",
    ]  # fmt: skip
    assert same_bits(p, model.predict(X, batch_size=30, verbose=0))
    outputs: list[Array] = []
    model.predict(
        X, batch_size=30, verbose=0,
        callbacks=LambdaCallback(on_predict_batch_end=lambda batch, logs: outputs.append(logs["outputs"].copy())),
    )  # fmt: skip
    assert same_bits(np.concatenate(outputs), p)


def test_batch_hooks_change_nothing_and_see_running_means(backend: str) -> None:
    """The epoch runs batch by batch then, and gives the same bits."""
    one, two = compiled(), compiled()
    two.set_weights(one.get_weights())
    seen: list[dict[str, float]] = []
    watch = LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(dict(logs)))
    histories = []
    for model, callbacks in ((one, None), (two, watch)):
        random.set_seed(3)
        histories.append(model.fit(X, T, batch_size=8, epochs=2, verbose=0, callbacks=callbacks).history)
    assert histories[0] == histories[1]
    assert all(same_bits(a, b) for a, b in zip(one.get_weights(), two.get_weights(), strict=True))
    assert len(seen) == 12
    assert seen[5]["loss"] == histories[0]["loss"][0]
    assert seen[11]["accuracy"] == histories[0]["accuracy"][1]
    assert all(type(value) is float for logs in seen for value in logs.values())

    model = compiled()
    hand = Hand.of(model, 0.2)
    seen.clear()
    model.fit(X, T, batch_size=8, callbacks=watch, **QUIET)
    total = 0.0
    for i, start in enumerate(range(0, N, 8)):
        cut = slice(start, start + 8)
        total += hand.score(X[cut], T[cut])[0] * len(X[cut])
        hand.step(X[cut], T[cut], None)
        assert seen[i]["loss"] == pytest.approx(total / min(start + 8, N), rel=1e-5)


def test_stop_after_an_epoch(backend: str) -> None:
    model = compiled()

    def stop(epoch: int, logs: Any) -> None:
        model.stop_training = epoch == 1

    history = model.fit(X, T, epochs=9, callbacks=LambdaCallback(on_epoch_end=stop), **QUIET)
    assert history.epoch == [0, 1]
    assert model.optimizer.iterations == 4
    assert model.fit(X, T, epochs=3, **QUIET).epoch == [0, 1, 2]  # the wish does not outlive the fit


def test_stop_after_a_batch(backend: str) -> None:
    """The epoch ends there, with the means so far."""
    model = compiled()
    hand = Hand.of(model, 0.2)

    def stop(batch: int, logs: Any) -> None:
        model.stop_training = batch == 2

    history = model.fit(
        X, T, epochs=9, batch_size=8, validation_data=(X, T), callbacks=LambdaCallback(on_train_batch_end=stop), **QUIET
    )
    hand.fit(X[:24], T[:24], 1, 8)
    hand.agrees(model)
    assert history.history["loss"] == pytest.approx(hand.loss, rel=1e-5)
    assert history.history["val_loss"] == pytest.approx([hand.score(X, T)[0]], rel=1e-5)
    assert model.optimizer.iterations == 3


def test_early_stopping(backend: str) -> None:
    """With a rate that makes things worse; the metric itself says that accuracy is better up."""
    model = compiled(rate=50.0)
    stop = EarlyStopping(monitor="val_accuracy", patience=2, restore_best_weights=True)
    history = model.fit(X, T, validation_split=0.2, epochs=50, callbacks=stop, **QUIET)
    values = history.history["val_accuracy"]
    assert len(values) < 50
    assert stop.stopped_epoch == len(values) - 1
    assert stop.best_epoch == int(np.argmax(values)) == len(values) - 3
    assert model.evaluate(X[34:], T[34:], verbose=0)[1] == pytest.approx(max(values))


def test_early_stopping_on_what_is_not_there() -> None:
    model = compiled()
    with pytest.warns(UserWarning, match=r"conditioned on metric `val_loss` which is not available"):
        assert len(model.fit(X, T, epochs=2, callbacks=EarlyStopping(), **QUIET).epoch) == 2


def test_terminate_on_nan(backend: str, capsys: pytest.CaptureFixture[str]) -> None:
    x = X.copy()
    x[20] = np.nan
    model = compiled(check_finite=False)
    history = model.fit(x, T, batch_size=8, epochs=4, callbacks=TerminateOnNaN(), **QUIET)
    assert history.epoch == [0]
    assert model.optimizer.iterations == 3
    assert "Batch 2: Invalid loss" in capsys.readouterr().out


def test_own_history_object() -> None:
    history = History()
    model = compiled()
    assert model.fit(X, T, callbacks=[history], **QUIET) is history
    assert model.history is history
    assert list(history.history) == ["accuracy", "loss"]


def test_callbacks_that_add_to_the_logs() -> None:
    def note(epoch: int, logs: dict[str, float]) -> None:
        logs["learning_rate"] = 0.5

    history = compiled().fit(X, T, epochs=2, callbacks=[[LambdaCallback(on_epoch_end=note)]], **QUIET).history
    assert history["learning_rate"] == [0.5, 0.5]


def test_model_may_be_used_in_callbacks(backend: str) -> None:
    """Predictions and evaluations in the middle of training change nothing."""
    one, two = compiled(), compiled()
    two.set_weights(one.get_weights())

    def look(*_: Any) -> None:
        two.predict(X, verbose=0)
        two.evaluate(X, T, verbose=0)
        two.test_on_batch(X[:3], T[:3])

    one.fit(X, T, batch_size=8, epochs=2, **QUIET)
    hooks = LambdaCallback(on_epoch_begin=look, on_train_batch_end=look, on_epoch_end=look)
    two.fit(X, T, batch_size=8, epochs=2, callbacks=hooks, **QUIET)
    assert all(same_bits(a, b) for a, b in zip(one.get_weights(), two.get_weights(), strict=True))


# What is printed.


def test_verbose(capsys: pytest.CaptureFixture[str], backend: str) -> None:
    model = compiled()
    model.fit(X, T, verbose=0)
    model.evaluate(X, T, verbose=0)
    model.predict(X, verbose=0)
    assert capsys.readouterr() == ("", "")
    model.fit(X, T, epochs=2, verbose=2, validation_split=0.2)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Epoch 1/2"
    assert lines[2] == "Epoch 2/2"
    for line in (lines[1], lines[3]):
        assert line.startswith("2/2 - 0s - ")
        parts = [part.split(":")[0] for part in line.split(" - ")[3:]]
        assert parts == ["accuracy", "loss", "val_accuracy", "val_loss"]
    for verbose in (1, "auto"):
        model.fit(X, T, epochs=1, verbose=verbose)
        out = capsys.readouterr().out
        assert "Epoch" not in out
        assert "2/2" in out
        assert "━" in out
        assert "loss: " in out
    model.evaluate(X, T)
    assert "accuracy: " in capsys.readouterr().out
    model.predict(X)
    assert "2/2" in capsys.readouterr().out


# Learning.


@pytest.mark.parametrize("optimizer", [SGD(0.5), SGD(0.1, momentum=0.9), Adam(0.02)])
def test_a_network_learns(optimizer: Any, backend: str) -> None:
    """Two noisy spirals are not separable by a line."""
    rng = np.random.default_rng(0)
    turn = rng.uniform(0.5, 2.5, 400)
    side = rng.integers(0, 2, 400)
    angle = turn * 2.5 + side * np.pi
    x = np.stack([turn * np.cos(angle), turn * np.sin(angle)], 1) + rng.normal(0, 0.05, (400, 2))
    random.set_seed(2)
    model = Sequential([Input((2,)), Dense(32, "relu"), Dense(32, "relu"), Dense(1, "sigmoid")])
    model.compile(type(optimizer).from_config(optimizer.get_config()), "binary_crossentropy", metrics=["accuracy"])
    history = model.fit(x, side, epochs=60, batch_size=20, verbose=0).history
    assert history["accuracy"][-1] > 0.97
    assert history["loss"][-1] < 0.5 * history["loss"][0]


def test_dropout_acts_in_training_only(backend: str) -> None:
    model = Sequential([Input((200,)), Dropout(0.25), Flatten()])
    model.compile(SGD(0.0), "mse")
    ones = np.ones((50, 200))
    assert np.all(model.predict(ones, verbose=0) == 1)
    assert model.evaluate(ones, ones, verbose=0) == 0
    # a kept value is 4/3, a dropped one 0: the squared errors are 1/9 and 1
    assert model.train_on_batch(ones, ones) == pytest.approx(0.75 / 9 + 0.25, abs=0.02)


@pytest.mark.parametrize("batch", [1, 2, 15, 16, 17, 32, 64])
@pytest.mark.parametrize("rows", [1, 2, 15, 16, 17, 33])
def test_rows_and_batches_of_every_size(rows: int, batch: int, backend: str) -> None:
    model = compiled()
    hand = Hand.of(model, 0.2)
    history = model.fit(X[:rows], T[:rows], batch_size=batch, epochs=2, **QUIET).history
    hand.fit(X[:rows], T[:rows], 2, batch).agrees(model, history)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_getting_ready_to_train_changes_nothing(optimizer: str, backend: str) -> None:
    """The rehearsal of a step is on memory of its own: not even a denormal weight is touched."""
    model = network()
    model.set_weights([np.full(w.shape, 1e-40, np.float32) for w in model.get_weights()])
    model.compile(optimizer, "categorical_crossentropy", metrics=["accuracy"])
    before = model.get_weights()
    model.fit(X, T, epochs=0, verbose=0)
    assert model.optimizer is not None
    assert model.optimizer.iterations == 0
    assert not model.optimizer.state.any()
    assert all(same_bits(new, old) for new, old in zip(model.get_weights(), before, strict=True))
