"""``nncore.sklearn``: scikit-learn's own checks, its perceptrons' results, and its tools around ours."""

from __future__ import annotations

import copy
import inspect
import pickle
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import sklearn.neural_network as theirs
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning, NotFittedError
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.estimator_checks import estimator_checks_generator
from threadpoolctl import threadpool_limits

import nncore
from nncore import random
from nncore.backends import set_backend
from nncore.callbacks import Callback, LambdaCallback
from nncore.convert import from_sklearn
from nncore.layers import BatchNormalization, Dense, Dropout, Input
from nncore.losses import CategoricalCrossentropy
from nncore.models import Sequential
from nncore.sklearn import MLPClassifier, MLPRegressor, SKLearnClassifier, SKLearnRegressor
from nncore.sklearn.objective import Objective, PoissonDeviance
from nncore.sklearn.scores import accuracy, r2

Array = np.ndarray[Any, Any]

pytestmark = pytest.mark.filterwarnings("ignore:Stochastic Optimizer:sklearn.exceptions.ConvergenceWarning")

PAIRS = {"classifier": (theirs.MLPClassifier, MLPClassifier), "regressor": (theirs.MLPRegressor, MLPRegressor)}


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """scikit-learn's products are too small for several: its threads would wait for each other."""
    with threadpool_limits(1, user_api="blas"):
        yield


@pytest.fixture(scope="module")
def digits() -> tuple[Array, Array]:
    x, y = load_digits(return_X_y=True)
    return x / 16, y


def classifier_model(X: Array, y: Array, units: int = 32, rate: float = 0.0) -> Sequential:
    several = not np.all(y.sum(axis=1) == 1)
    hidden = [Dense(units, activation="relu"), *([Dropout(rate)] if rate else [])]
    model = Sequential([*hidden, Dense(y.shape[1], activation="sigmoid" if several else "softmax")])
    model.compile("adam", "binary_crossentropy" if several else "categorical_crossentropy")
    return model


def regressor_model(X: Array, y: Array, units: int = 32) -> Sequential:
    return Sequential([Input(X.shape[1:]), Dense(units, activation="relu"), Dense(y.shape[1])])


# scikit-learn's checks.

ESTIMATORS = [
    MLPClassifier(), MLPRegressor(), MLPClassifier(solver="lbfgs", alpha=0.1), MLPRegressor(solver="lbfgs"),
    SKLearnClassifier(classifier_model, fit_kwargs={"epochs": 60}),
    SKLearnRegressor(regressor_model, fit_kwargs={"epochs": 60}),
]  # fmt: skip
INAPPLICABLE = ("check_array_api_input", "check_classifiers_multilabel_output_format_decision_function")
"""They skip themselves: array API arrays have to be switched on, and there is no ``decision_function``."""


def checks() -> Iterator[Any]:
    for number, estimator in enumerate(ESTIMATORS):
        for made, check in estimator_checks_generator(estimator):
            assert isinstance(check, partial)
            name = check.func.__name__
            if name not in INAPPLICABLE:
                yield pytest.param(made, check, id=f"{type(estimator).__name__}-{number}-{name}")


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("estimator, check", list(checks()))
def test_scikit_learn_s_check(estimator: Any, check: Any) -> None:
    if check.func.__name__ == "check_methods_subset_invariance":
        set_backend("native")  # BLAS, under the NumPy backend, rounds a row by the batch that it is in
    check(estimator)


# The same results as scikit-learn.


def assert_same_fit(a: Any, b: Any, tolerance: float = 1e-5) -> None:
    """The fits of scikit-learn's estimator and ours; theirs is of float64, ours of float32."""
    np.testing.assert_allclose(b.loss_curve_, a.loss_curve_, rtol=tolerance, atol=tolerance)
    for found, expected in zip(b.coefs_ + b.intercepts_, a.coefs_ + a.intercepts_, strict=True):
        np.testing.assert_allclose(found, expected, atol=tolerance, rtol=0)
    for name in ("n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert getattr(b, name) == getattr(a, name), name
    assert b.loss_ == pytest.approx(a.loss_, abs=tolerance)
    assert b.best_loss_ == (None if a.best_loss_ is None else pytest.approx(a.best_loss_, abs=tolerance))


def targets_of(kind: str, y: Array, x: Array) -> Array:
    if kind == "binary":
        return y > 4
    if kind == "names":
        return np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])[y]
    if kind == "labels":
        return np.eye(10, dtype=int)[y] | np.eye(10, dtype=int)[9 - y]
    if kind == "outputs":
        return x[:, 10:13]
    return y / 3


WAYS: dict[str, dict[str, Any]] = {
    "adam": {"solver": "adam", "alpha": 0.1},
    "nesterov": {"solver": "sgd", "alpha": 1.0, "learning_rate_init": 0.01},
    "momentum": {"solver": "sgd", "nesterovs_momentum": False, "activation": "logistic", "learning_rate_init": 0.05},
    "plain": {"solver": "sgd", "momentum": 0.0, "activation": "tanh", "alpha": 0.0},
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.1, "power_t": 0.2},
    "linear": {"hidden_layer_sizes": (), "alpha": 0.5},
}


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["names", "binary", "labels", "one", "outputs", "poisson"])
def test_a_fit_is_scikit_learn_s(kind: str, way: str, weighted: bool, digits: tuple[Array, Array]) -> None:
    """From the same weights, over the same rows in the same order: each epoch's loss, and all weights."""
    x, y = digits[0][:330], digits[1][:330]  # 6 batches, the last one smaller
    weight = np.random.default_rng(0).uniform(0, 2, 330).astype(np.float32) if weighted else None
    arguments: dict[str, Any] = {"hidden_layer_sizes": (20, 10), "random_state": 3, "batch_size": 60, "max_iter": 7}
    arguments |= {"shuffle": False, **WAYS[way], **({"loss": "poisson"} if kind == "poisson" else {})}
    if kind == "poisson":
        arguments["learning_rate_init"] = 0.001  # it diverges else
    their, our = PAIRS["classifier" if kind in ("names", "binary", "labels") else "regressor"]
    given = targets_of(kind, y, x)
    a, b = (E(**arguments).fit(x, given, sample_weight=weight) for E in (their, our))
    assert_same_fit(a, b)
    if hasattr(a, "classes_"):
        assert np.array_equal(a.classes_, b.classes_)
        np.testing.assert_allclose(b.predict_proba(x), a.predict_proba(x), atol=1e-5)
        np.testing.assert_allclose(b.predict_log_proba(x), a.predict_log_proba(x), atol=1e-4)
        assert (a.predict(x) != b.predict(x)).mean() < 0.01
        assert a.predict(x).dtype == b.predict(x).dtype
    else:
        np.testing.assert_allclose(b.predict(x), a.predict(x), rtol=1e-4, atol=1e-5)
    assert b.score(x, given) == pytest.approx(a.score(x, given), abs=0.01)


@pytest.mark.parametrize("estimator", ["classifier", "regressor"])
def test_arguments_and_attributes_are_scikit_learn_s(estimator: str, digits: tuple[Array, Array]) -> None:
    """The same arguments in the same order with the same defaults, others behind them; no attribute is missing."""
    theirs_, ours = PAIRS[estimator]
    expected, found = (list(inspect.signature(E).parameters.values()) for E in (theirs_, ours))
    plain = [(p.name, p.default, p.kind) for p in found]
    assert plain[: len(expected)] == [(p.name, p.default, p.kind) for p in expected]
    assert all(p.kind is inspect.Parameter.KEYWORD_ONLY for p in found[len(expected) :])
    for early_stopping in (False, True):
        a, b = (E(max_iter=2, early_stopping=early_stopping).fit(*digits) for E in (theirs_, ours))
        fitted = {name for name in vars(a) if name.endswith("_") and not name.startswith("_")}
        assert fitted <= set(dir(b))
        for name in fitted - {"coefs_", "intercepts_", "classes_"}:
            assert (getattr(a, name) is None) is (getattr(b, name) is None), name


def test_it_starts_from_the_weights_that_scikit_learn_draws(digits: tuple[Array, Array]) -> None:
    x, y = digits
    for activation in ("relu", "logistic"):
        arguments = {"solver": "sgd", "learning_rate_init": 1e-30, "max_iter": 1, "random_state": 5}
        a, b = (E(activation=activation, **arguments).fit(x, y) for E in PAIRS["classifier"])
        for found, expected in zip(b.coefs_ + b.intercepts_, a.coefs_ + a.intercepts_, strict=True):
            assert np.array_equal(found, expected.astype(np.float32))


@pytest.mark.parametrize("estimator", ["classifier", "regressor"])
@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("kind", ["classes", "binary"])
def test_early_stopping_is_scikit_learn_s(
    estimator: str, weighted: bool, kind: str, digits: tuple[Array, Array]
) -> None:
    x, y = digits
    y = y > 4 if kind == "binary" else y
    weight = np.random.default_rng(0).uniform(0, 2, len(y)).astype(np.float32) if weighted else None
    arguments = {"early_stopping": True, "n_iter_no_change": 2, "tol": 0.002, "shuffle": False, "random_state": 0}
    arguments["activation"] = "tanh"  # without kinks, from which roundings grow
    a, b = (
        E(learning_rate_init=0.003, **arguments).fit(x, y.astype(int), sample_weight=weight) for E in PAIRS[estimator]
    )
    assert_same_fit(a, b, 1e-3)  # dozens of epochs, in which roundings grow
    assert b.n_iter_ < b.max_iter
    np.testing.assert_allclose(b.validation_scores_, a.validation_scores_, atol=0.006)  # one image of 180
    assert b.best_validation_score_ == pytest.approx(a.best_validation_score_, abs=0.006)
    assert b.best_loss_ is None


def test_early_stopping_keeps_the_best_weights(digits: tuple[Array, Array]) -> None:
    x, y = digits
    held = (x[:300], y[:300])
    best: list[list[Array]] = []

    def remember(epoch: int, logs: Any) -> None:
        scores = e.validation_scores_
        if scores[-1] > max([-np.inf, *scores[:-1]]):
            best[:] = [[w.copy() for w in e.model_.get_weights()]]

    e = MLPClassifier(
        early_stopping=True, validation_data=held, callbacks=[LambdaCallback(on_epoch_end=remember)], random_state=0,
        n_iter_no_change=5, learning_rate_init=0.01,
    )  # fmt: skip
    e.fit(x[300:], y[300:])
    assert e.score(*held) == e.best_validation_score_ == max(e.validation_scores_)
    assert all(np.array_equal(found, w) for found, w in zip(e.model_.get_weights(), best[0], strict=True))


def test_it_stops_where_the_loss_does_not_improve(digits: tuple[Array, Array]) -> None:
    x, y = digits[0][:200], digits[1][:200]
    arguments = {"tol": 0.01, "n_iter_no_change": 3, "learning_rate_init": 0.02, "random_state": 0, "shuffle": False}
    a, b = (E(batch_size=50, **arguments).fit(x, y) for E in PAIRS["classifier"])
    assert a.n_iter_ == b.n_iter_ < 200
    best = np.minimum.accumulate(b.loss_curve_)
    improves = b.loss_curve_[1:] <= best[:-1] - 0.01
    assert not improves[-4:].any()
    assert improves[-5]


def test_an_adaptive_rate_is_scikit_learn_s(digits: tuple[Array, Array], capsys: pytest.CaptureFixture[str]) -> None:
    x, y = digits[0][:200], digits[1][:200]
    arguments = {"solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 1e-5, "tol": 0.1}
    arguments |= {"n_iter_no_change": 2, "random_state": 0, "shuffle": False, "verbose": True, "batch_size": 50}
    said = []
    for E in PAIRS["classifier"]:
        E(**arguments).fit(x, y)
        said.append([line.split(", loss")[0] for line in capsys.readouterr().out.splitlines()])
    assert said[0] == said[1]
    assert "Learning rate too small" in said[1][-1]


def test_an_epoch_too_few_is_warned_of(digits: tuple[Array, Array]) -> None:
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(2\) reached"):
        MLPClassifier(max_iter=2).fit(*digits)


@pytest.mark.parametrize("estimator", ["classifier", "regressor"])
def test_warm_start_goes_on(estimator: str, digits: tuple[Array, Array]) -> None:
    x, y = digits[0][:330], digits[1][:330]
    arguments = {"warm_start": True, "max_iter": 3, "shuffle": False, "random_state": 0, "batch_size": 60}
    a, b = (E(**arguments).fit(x, y).set_params(alpha=1.0, max_iter=2).fit(x, y) for E in PAIRS[estimator])
    assert_same_fit(a, b)
    assert len(b.loss_curve_) == 5
    with pytest.raises(ValueError, match="must stay as it was built"):
        b.set_params(hidden_layer_sizes=(7,)).fit(x, y)


@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("estimator", ["classifier", "regressor"])
def test_partial_fit_is_scikit_learn_s(estimator: str, solver: str, digits: tuple[Array, Array]) -> None:
    x, y = digits[0][:330], digits[1][:330]
    pair = [E(solver=solver, shuffle=False, random_state=0, batch_size=60) for E in PAIRS[estimator]]
    for part in (slice(0, 100), slice(100, 200), slice(200, 330)):
        first = {"classes": np.arange(12)} if estimator == "classifier" and part.start == 0 else {}
        for e in pair:
            e.partial_fit(x[part], y[part], **first)
    assert_same_fit(*pair)
    assert pair[1].n_iter_ == 1
    again = pickle.loads(pickle.dumps(pair[1]))  # with the optimizer's state
    for e in (pair[1], again):
        e.partial_fit(x, y)
    assert all(np.array_equal(p, q) for p, q in zip(pair[1].coefs_, again.coefs_, strict=True))


def test_partial_fit_knows_its_classes(digits: tuple[Array, Array]) -> None:
    x, y = digits
    for e in (MLPClassifier(), SKLearnClassifier(classifier_model)):
        with pytest.raises(ValueError, match="classes must be passed on the first call to partial_fit"):
            e.partial_fit(x, y)
        e.partial_fit(x[:50], y[:50] % 3, classes=[0, 1, 2])
        with pytest.raises(ValueError, match="classes must be those of the first call"):
            e.partial_fit(x, y, classes=[0, 1])
        with pytest.raises(ValueError, match=r"classes not in `self.classes_`: \[3 4 5 6 7 8 9\]"):
            e.partial_fit(x, y)
        several = clone(e).partial_fit(x[:50], targets_of("labels", y[:50], x), classes=np.arange(10))
        assert several.predict(x).shape == (len(x), 10)
    assert not hasattr(MLPClassifier(solver="lbfgs"), "partial_fit")
    with pytest.raises(ValueError, match="partial_fit does not support early_stopping"):
        MLPRegressor(early_stopping=True).partial_fit(x, y)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("kind", ["names", "binary", "labels", "one", "poisson"])
def test_lbfgs_finds_as_good_weights(kind: str, weighted: bool, digits: tuple[Array, Array]) -> None:
    x, y = digits[0][:300], digits[1][:300]
    weight = np.random.default_rng(0).uniform(0, 2, 300).astype(np.float32) if weighted else None
    arguments: dict[str, Any] = {"solver": "lbfgs", "random_state": 1, "hidden_layer_sizes": (30,), "alpha": 1.0}
    their, our = PAIRS["classifier" if kind in ("names", "binary", "labels") else "regressor"]
    if kind == "poisson":
        arguments["loss"] = "poisson"
    a, b = (E(**arguments, max_iter=5).fit(x, targets_of(kind, y, x), weight) for E in (their, our))
    assert b.n_iter_ == 5
    assert b.loss_ == pytest.approx(a.loss_, rel=1e-3)
    a, b = (E(**arguments, max_iter=150).fit(x, targets_of(kind, y, x), weight) for E in (their, our))
    assert b.loss_ < a.loss_ * 1.1  # different ways down, to different valleys


def test_lbfgs_says_where_it_does_not_converge(digits: tuple[Array, Array], capsys: pytest.CaptureFixture[str]) -> None:
    x, y = digits
    with pytest.warns(ConvergenceWarning, match="lbfgs failed to converge after 3 iterations"):
        MLPRegressor(solver="lbfgs", max_iter=3, verbose=True).fit(x, y)
    assert capsys.readouterr().out.count("loss = ") == 3
    for own in ({"dropout": 0.5}, {"callbacks": Callback()}, {"validation_data": (x, y)}):
        with pytest.raises(ValueError, match=f"{next(iter(own))} needs solver='adam' or 'sgd'"):
            MLPRegressor(solver="lbfgs", **own).fit(x, y)


def test_several_outputs_by_lbfgs(digits: tuple[Array, Array]) -> None:
    """The loss that is made least is that of all outputs together: scikit-learn's gradients are its."""
    x, y = digits[0][:300], digits[0][:300, 10:13]
    e = MLPRegressor(solver="lbfgs", alpha=0.0, max_iter=300, random_state=0, tol=1e-3).fit(x, y)
    assert e.loss_ == pytest.approx(((e.predict(x) - y) ** 2).mean() / 2, rel=1e-3)
    assert e.loss_ < 1e-3


def test_digits_are_learned_as_well(digits: tuple[Array, Array]) -> None:
    x, x_test, y, y_test = train_test_split(*digits, random_state=0)
    scores = [
        [E((100,), random_state=i).fit(x, y).score(x_test, y_test) for i in range(3)] for E in PAIRS["classifier"]
    ]
    assert np.mean(scores[1]) > 0.965
    assert abs(np.mean(scores[0]) - np.mean(scores[1])) < 0.01  # a score's standard error is 0.006


def test_a_regressor_learns_as_well() -> None:
    x, y = load_diabetes(return_X_y=True)
    x, y = StandardScaler().fit_transform(x), (y - y.mean()) / y.std()
    x, x_test, y, y_test = train_test_split(x, y, random_state=0)
    arguments = {"alpha": 5.0, "learning_rate_init": 0.01, "early_stopping": True}
    scores = [
        [E(random_state=i, **arguments).fit(x, y).score(x_test, y_test) for i in range(5)] for E in PAIRS["regressor"]
    ]
    assert np.mean(scores[1]) > 0.3
    assert abs(np.mean(scores[0]) - np.mean(scores[1])) < 0.06


# Rows and weights.


@pytest.mark.filterwarnings("ignore:Got `batch_size`:UserWarning")
def test_one_batch_is_the_same_in_any_order(digits: tuple[Array, Array]) -> None:
    x, y = digits[0][:150], digits[1][:150]
    order = np.random.default_rng(0).permutation(150)
    weight = np.random.default_rng(0).integers(0, 4, 150)
    repeated = np.repeat(np.arange(150), weight)
    for E, solver in ((MLPClassifier, "adam"), (MLPRegressor, "sgd"), (MLPClassifier, "lbfgs")):
        e = E(solver=solver, random_state=0, max_iter=20, batch_size=1000)
        found = [
            clone(e).fit(*given).coefs_
            for given in (
                (x, y, weight), (x[order], y[order], weight[order]), (x[repeated], y[repeated]),
                (scipy.sparse.csc_array(x), y, weight.tolist()),
            )
        ]  # fmt: skip
        for other in found[1:]:
            assert all(np.array_equal(p, q) for p, q in zip(found[0], other, strict=True))


def test_class_weight_is_a_weight_of_rows(digits: tuple[Array, Array]) -> None:
    x, names = digits[0][:400], targets_of("names", digits[1][:400], digits[0])
    own = np.random.default_rng(0).uniform(0, 2, 400)
    for class_weight in ("balanced", {"one": 5.0, "two": 0.0}):
        weight = compute_sample_weight(class_weight, names)
        for E in (MLPClassifier, partial(SKLearnClassifier, classifier_model, fit_kwargs={"epochs": 3})):
            arguments = {"class_weight": class_weight}
            ours = E is MLPClassifier
            a = E(random_state=0, **({**arguments, "max_iter": 5} if ours else {}))
            b = E(random_state=0, **({"max_iter": 5} if ours else {}))
            a.fit(x, names, sample_weight=own, **({} if ours else arguments))
            b.fit(x, names, sample_weight=own.astype(np.float32) * weight.astype(np.float32))
            assert np.array_equal(a.predict_proba(x), b.predict_proba(x))


def test_a_batch_without_weight_changes_nothing(digits: tuple[Array, Array]) -> None:
    x, y = digits[0][:120], digits[1][:120]
    weight = np.repeat([1.0, 0.0], 60)
    arguments = {"solver": "sgd", "shuffle": False, "batch_size": 60, "momentum": 0.0, "random_state": 0}
    a = MLPClassifier(**arguments, max_iter=4, alpha=1.0).fit(x, y, weight)
    b = MLPClassifier(**arguments, max_iter=4, alpha=1.0).partial_fit(x[:60], y[:60], classes=np.unique(y))
    for _ in range(3):
        b.partial_fit(x[:60], y[:60])
    for p, q in zip(a.coefs_, b.coefs_, strict=True):
        np.testing.assert_allclose(p, q, atol=1e-6)


def test_sparse_samples_are_as_good_as_dense_ones(digits: tuple[Array, Array]) -> None:
    x, y = digits
    for kind in (scipy.sparse.csr_matrix, scipy.sparse.csc_array):
        for E in (MLPClassifier, MLPRegressor):
            a, b = (E(random_state=0, max_iter=3).fit(given, y) for given in (x, kind(x)))
            assert np.array_equal(a.predict(x), b.predict(kind(x)))
            assert all(np.array_equal(p, q) for p, q in zip(a.coefs_, b.coefs_, strict=True))
    many = scipy.sparse.csr_array(targets_of("labels", y, x))
    e = MLPClassifier(random_state=0, max_iter=3).fit(x, many)
    assert np.array_equal(e.predict(x), MLPClassifier(random_state=0, max_iter=3).fit(x, many.toarray()).predict(x))


# Purity.


@pytest.mark.parametrize(
    "made",
    [
        partial(MLPClassifier, dropout=0.3, max_iter=4),
        partial(SKLearnClassifier, classifier_model, model_kwargs={"rate": 0.5}),
        partial(
            SKLearnClassifier, Sequential([Dense(9, activation="gelu"), Dropout(0.5), Dense(10, activation="softmax")])
        ),
    ],
)
def test_a_fit_is_a_function_of_random_state_and_data(made: Any, digits: tuple[Array, Array]) -> None:
    x, y = digits
    random.set_seed(11)
    try:
        before, numpys = random._state, np.random.get_state()[1].copy()  # noqa: NPY002
        first = made(random_state=0).fit(x, y)
        assert random._state == before
        assert np.array_equal(np.random.get_state()[1], numpys)  # noqa: NPY002
        random.set_seed(12)
        again, other = made(random_state=0).fit(x, y), made(random_state=1).fit(x, y)
        assert np.array_equal(first.predict_proba(x), again.predict_proba(x))
        assert not np.array_equal(first.predict_proba(x), other.predict_proba(x))
        state = np.random.RandomState(3)
        one, two = made(random_state=state).fit(x, y), made(random_state=state).fit(x, y)
        assert not np.array_equal(one.predict_proba(x), two.predict_proba(x))
    finally:
        random._state = None


def test_n_threads_is_for_its_own_runs(digits: tuple[Array, Array]) -> None:
    before = nncore.get_num_threads()
    inside = []
    look = LambdaCallback(on_epoch_end=lambda epoch, logs: inside.append(nncore.get_num_threads()))
    many, one = (
        MLPClassifier(random_state=0, max_iter=2, n_threads=n, callbacks=look).fit(*digits) for n in (before + 3, 1)
    )
    assert inside == [before + 3] * 2 + [1] * 2
    assert nncore.get_num_threads() == before
    assert np.array_equal(many.predict_proba(digits[0]), one.predict_proba(digits[0]))


def test_fits_in_threads_are_those_of_one(digits: tuple[Array, Array]) -> None:
    x, y = digits
    made = [
        *(MLPClassifier(dropout=0.2, max_iter=3, random_state=i, n_threads=1 + i % 2) for i in range(4)),
        *(SKLearnClassifier(classifier_model, model_kwargs={"rate": 0.5}, random_state=i) for i in range(4)),
    ]
    expected = [clone(e).fit(x, y).predict_proba(x) for e in made]
    found = joblib.Parallel(n_jobs=4, backend="threading")(joblib.delayed(clone(e).fit)(x, y) for e in made)
    for e, p in zip(found, expected, strict=True):
        assert np.array_equal(e.predict_proba(x), p)


def test_one_fit_runs_all_epochs(digits: tuple[Array, Array], monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    fit = Sequential.fit
    monkeypatch.setattr(
        Sequential, "fit", lambda *args, **kwargs: calls.append(kwargs["epochs"]) or fit(*args, **kwargs)
    )
    MLPClassifier(max_iter=30).fit(*digits)
    assert calls == [30]


def test_an_interrupt_keeps_what_there_is(digits: tuple[Array, Array]) -> None:
    def interrupt(epoch: int, logs: Any) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.warns(UserWarning, match="Training interrupted by user"):
        e = MLPClassifier(callbacks=LambdaCallback(on_epoch_end=interrupt)).fit(*digits)
    assert e.n_iter_ == 3
    assert e.score(*digits) > 0.5


# scikit-learn's tools.


def kinds() -> list[Any]:
    return [
        MLPClassifier((16,), max_iter=5, random_state=0),
        MLPRegressor(hidden_layer_sizes=(16,), max_iter=5, random_state=0),
        SKLearnClassifier(classifier_model, fit_kwargs={"epochs": 5}, random_state=0),
        SKLearnRegressor(regressor_model, fit_kwargs={"epochs": 5}, random_state=0),
    ]


@pytest.mark.parametrize("estimator", kinds(), ids=lambda e: type(e).__name__)
def test_copies_and_files(estimator: Any, tmp_path: Path, digits: tuple[Array, Array]) -> None:
    x, y = digits
    with pytest.raises(NotFittedError):
        estimator.predict(x)
    e = clone(estimator).fit(x, y)
    joblib.dump(e, tmp_path / "e.joblib")
    for other in (
        pickle.loads(pickle.dumps(e)),
        copy.deepcopy(e),
        joblib.load(tmp_path / "e.joblib"),
        clone(e).fit(x, y),
    ):
        assert np.array_equal(other.predict(x), e.predict(x))
        assert other.get_params().keys() == e.get_params().keys()
    assert isinstance(e.model_, Sequential)


def test_searches_and_pipelines(digits: tuple[Array, Array]) -> None:
    x, y = digits[0][:600], digits[1][:600]
    search = [
        (
            MLPClassifier(max_iter=20, batch_size=20, random_state=0),
            {"alpha": [1e-4, 1.0], "hidden_layer_sizes": [(8,), (16, 8)]},
        ),
        (
            SKLearnClassifier(classifier_model, fit_kwargs={"epochs": 30}, random_state=0),
            {"model_kwargs": [{"units": 2}, {"units": 30}]},
        ),
    ]
    for estimator, grid in search:
        one, two = (GridSearchCV(estimator, grid, cv=2, n_jobs=jobs).fit(x, y) for jobs in (1, 2))
        assert np.array_equal(one.cv_results_["mean_test_score"], two.cv_results_["mean_test_score"])
        assert one.best_score_ > 0.6
    pipeline = make_pipeline(StandardScaler(), MLPRegressor(learning_rate_init=0.01, random_state=0))
    assert cross_val_score(pipeline, x, y, cv=3).min() > 0.5
    assert GridSearchCV(pipeline, {"mlpregressor__alpha": [1.0]}, cv=2).fit(x, y).best_score_ > 0.5
    weighted = GridSearchCV(estimator, grid, cv=2).fit(x, y, sample_weight=np.ones(600))
    assert weighted.best_params_ == one.best_params_


@pytest.mark.parametrize("estimator", kinds(), ids=lambda e: type(e).__name__)
def test_feature_names(estimator: Any, digits: tuple[Array, Array]) -> None:
    frame = pd.DataFrame(digits[0], columns=[f"pixel {i}" for i in range(64)])
    e = clone(estimator).fit(frame, digits[1])
    assert list(e.feature_names_in_) == list(frame.columns)
    assert e.n_features_in_ == 64
    assert e.predict(frame).shape == (len(frame),)
    with pytest.raises(ValueError, match="feature names should match"):
        e.predict(frame[frame.columns[::-1]])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        e.predict(digits[0])


# What nncore adds.


def test_of_one_class_all_are(digits: tuple[Array, Array]) -> None:
    x = digits[0]
    e = MLPClassifier(solver="sgd", learning_rate_init=1e-30, max_iter=1, random_state=0).fit(x, ["it"] * len(x))
    assert (e.model_.predict(x, verbose=0) > 0.5).any()  # some outputs of the untrained network say otherwise
    assert list(np.unique(e.predict(x))) == ["it"]
    assert np.array_equal(e.predict_proba(x), np.ones((len(x), 1)))


def test_activations_and_dropout_layer_by_layer(digits: tuple[Array, Array]) -> None:
    e = MLPClassifier((20, 10), activation=["gelu", "silu"], dropout=[0.1, 0.0], max_iter=30, random_state=0).fit(
        *digits
    )
    layers = e.model_.get_config()["layers"]
    assert [entry["class_name"] for entry in layers] == ["InputLayer", "Dense", "Dropout", "Dense", "Dense"]
    assert [layers[i]["config"]["activation"] for i in (1, 3, 4)] == ["gelu", "silu", "softmax"]
    assert e.score(*digits) > 0.9
    assert (
        MLPRegressor(hidden_layer_sizes=(20,), activation="mish", dropout=0.1, learning_rate_init=0.01)
        .fit(*digits)
        .score(*digits)
        > 0.5
    )


@pytest.mark.parametrize("loss", ["categorical_focal_crossentropy", CategoricalCrossentropy(label_smoothing=0.1)])
def test_losses_of_nncore(loss: Any, digits: tuple[Array, Array]) -> None:
    x, y = digits
    assert MLPClassifier(loss=loss, max_iter=30, random_state=0).fit(x, y).score(x, y) > 0.95
    e = MLPRegressor("mae", max_iter=50, random_state=0, alpha=0.0, shuffle=False).fit(x, y)
    assert e.score(x, y) > 0.7
    e.partial_fit(x[:200], y[:200])
    before = clone(e).set_params(max_iter=1, random_state=0, solver="sgd", learning_rate_init=1e-30).fit(x, y)
    assert before.loss_ == pytest.approx(np.abs(before.predict(x) - y).mean(), rel=1e-5)


def test_scores_are_scikit_learn_s() -> None:
    rng = np.random.default_rng(0)
    for weight in (None, rng.uniform(0, 2, 50).astype(np.float32)):
        for shape in ((50,), (50, 3)):
            t, p = rng.integers(0, 2, (2, *shape))
            assert accuracy(t, p, weight) == pytest.approx(accuracy_score(t, p, sample_weight=weight), abs=1e-12)
        t, p = rng.normal(size=(2, 50, 3)).astype(np.float32)
        t[:, 1], t[:, 2], p[:, 2] = 5, 7, 7
        for columns in (slice(0, 1), slice(0, 3)):
            expected = r2_score(t[:, columns], p[:, columns], sample_weight=weight)
            assert r2(t[:, columns], p[:, columns], weight) == pytest.approx(expected, abs=1e-6)


def test_validation_data_is_scored_alone(digits: tuple[Array, Array]) -> None:
    x, y = digits
    e = MLPClassifier(max_iter=5, validation_data=(x[:100], y[:100]), random_state=0).fit(x[100:], y[100:])
    plain = MLPClassifier(max_iter=5, random_state=0).fit(x[100:], y[100:])
    assert len(e.validation_scores_) == 5
    assert e.validation_scores_[-1] == e.score(x[:100], y[:100])
    assert e.loss_curve_ == plain.loss_curve_
    assert (plain.validation_scores_, plain.best_validation_score_) == (None, None)


def test_a_pipeline_becomes_a_model(digits: tuple[Array, Array]) -> None:
    x, y = digits
    for estimator in kinds():
        with pytest.raises(ValueError, match="it isn't fitted"):
            from_sklearn(estimator)
        model = from_sklearn(estimator.fit(x, y))
        outputs = getattr(estimator, "predict_proba", estimator.predict)(x)
        assert np.array_equal(model.predict(x, verbose=0).reshape(outputs.shape), outputs)
        pipeline = make_pipeline(StandardScaler(), clone(estimator)).fit(x, y)
        outputs = getattr(pipeline, "predict_proba", pipeline.predict)(x)
        found = from_sklearn(pipeline).predict(x, verbose=0).reshape(outputs.shape)
        np.testing.assert_allclose(found, outputs, atol=1e-4)


def test_the_model_is_an_ordinary_one(digits: tuple[Array, Array]) -> None:
    x, y = digits
    e = MLPClassifier((30,), max_iter=20, random_state=0).fit(x, y)
    assert np.array_equal(e.model_.predict(x, verbose=0), e.predict_proba(x))
    assert [w.shape for w in e.model_.get_weights()] == [(64, 30), (30,), (30, 10), (10,)]
    e.coefs_[1][...] = 0  # its own arrays
    e.intercepts_[1][...] = np.arange(10)
    assert (e.predict(x) == 9).all()
    config = e.model_.get_compile_config()
    assert config["loss"]["config"]["factor"] == 1.0


def test_the_objective_has_a_config() -> None:
    made = Objective.from_config(Objective(CategoricalCrossentropy(label_smoothing=0.5), 2.0).get_config())
    assert (made.factor, made.inner.label_smoothing) == (2.0, 0.5)  # type: ignore[attr-defined]


def test_the_deviance_of_a_poisson_distribution() -> None:
    from sklearn.metrics import mean_poisson_deviance

    y, p = np.array([[0.0], [1.0], [3.0]]), np.array([[0.5], [2.0], [3.0]])
    assert PoissonDeviance()(y, p) == pytest.approx(mean_poisson_deviance(y, p) / 2, rel=1e-6)


# Wrappers.


def test_keras_s_home_of_the_wrappers() -> None:
    assert nncore.wrappers.SKLearnClassifier is SKLearnClassifier
    assert nncore.wrappers.SKLearnRegressor is SKLearnRegressor


def test_the_function_is_called_as_keras_calls_it(digits: tuple[Array, Array]) -> None:
    seen = []

    def made(X: Array, y: Array, size: int) -> Sequential:
        seen.append((X.shape, y.shape, size))
        return classifier_model(X, y, size)

    SKLearnClassifier(made, model_kwargs={"size": 4}).fit(digits[0], targets_of("names", digits[1], digits[0]))
    SKLearnClassifier(made, model_kwargs={"size": 4}).fit(digits[0], digits[1] > 4)
    SKLearnRegressor(made, model_kwargs={"size": 4}).fit(digits[0], digits[0][:, 0])
    assert seen == [((1797, 64), (1797, n), 4) for n in (10, 2, 1)]


@pytest.mark.parametrize(
    "units, last, loss",
    [(10, "softmax", "categorical_crossentropy"), (10, "softmax", "sparse_categorical_crossentropy"),
     (10, "linear", nncore.losses.SparseCategoricalCrossentropy(from_logits=True)), (10, "softmax", None),
     (1, "sigmoid", None), (1, "sigmoid", "binary_crossentropy"), (2, "softmax", None),
     (1, "linear", nncore.losses.BinaryCrossentropy(from_logits=True))],
)  # fmt: skip
def test_targets_are_what_the_model_takes(units: int, last: str, loss: Any, digits: tuple[Array, Array]) -> None:
    x, y = digits
    names = targets_of("names", y, x) if units == 10 else np.where(y > 4, "many", "few")
    model = Sequential([Dense(30, activation="relu"), Dense(units, activation=last)])
    if loss is not None:
        model.compile("adam", loss, metrics=["accuracy"])
    e = SKLearnClassifier(model, fit_kwargs={"epochs": 30}, random_state=0).fit(x, names)
    assert e.score(x, names) > 0.9
    assert not model.built  # a copy was trained
    p = e.predict_proba(x)
    assert p.shape == (len(x), len(e.classes_))
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)
    assert np.array_equal(e.classes_[p.argmax(axis=1)], e.predict(x))
    np.testing.assert_allclose(np.exp(e.predict_log_proba(x)), p, atol=1e-6)
    assert list(e.history_) == (["loss"] if loss is None else ["accuracy", "loss"])


def test_several_labels_and_outputs(digits: tuple[Array, Array]) -> None:
    x, y = digits
    many = targets_of("labels", y, x)
    e = SKLearnClassifier(classifier_model, fit_kwargs={"epochs": 30}, random_state=0).fit(x, many)
    assert (e.predict(x) == many).mean() > 0.95
    assert e.predict_proba(x).shape == many.shape
    r = SKLearnRegressor(regressor_model, fit_kwargs={"epochs": 30}, random_state=0).fit(x, x[:, 10:13])
    assert r.score(x, x[:, 10:13]) > 0.8
    with pytest.raises(ValueError, match="y must have shape"):
        r.set_params(warm_start=True).fit(x, x[:, 0])


def test_models_keep_what_they_were_compiled_with(digits: tuple[Array, Array]) -> None:
    x, y = digits
    model = Sequential([Input((64,)), Dense(20), BatchNormalization(), Dense(10, activation="softmax")])
    model.compile(
        nncore.optimizers.SGD(0.05, momentum=0.9), lambda t, p: -np.sum(t * np.log(p), axis=-1), on_nan="stop"
    )
    before = model.get_weights()
    model.optimizer.steps = 5  # type: ignore[union-attr]
    e = SKLearnClassifier(model, fit_kwargs={"epochs": 5}, random_state=0).fit(x, y)
    assert all(np.array_equal(p, q) for p, q in zip(model.get_weights(), before, strict=True))
    assert e.model_.trainer("").on_nan == "stop"
    assert (e.model_.optimizer.momentum, e.model_.optimizer.steps) == (0.9, 5 * 57)
    assert e.score(x, y) > 0.9


def test_warm_start_of_a_wrapper(digits: tuple[Array, Array]) -> None:
    x, y = digits
    model = Sequential([Input((64,)), Dense(10, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    e = SKLearnClassifier(model, warm_start=True, random_state=0, fit_kwargs={"shuffle": False}).fit(x, y)
    e.fit(x, y)
    model.fit(x, y, epochs=2, shuffle=False, verbose=0)
    assert np.array_equal(e.predict_proba(x), model.predict(x, verbose=0))
    e.partial_fit(x, y, epochs=7)
    assert len(e.history_["loss"]) == 1


def test_arguments_of_fit(digits: tuple[Array, Array]) -> None:
    x, y = digits
    names = targets_of("names", y, x)
    e = SKLearnClassifier(classifier_model, fit_kwargs={"epochs": 2}, random_state=0)
    e.fit(x, names, epochs=3, validation_data=(x[:100], names[:100]))
    assert len(e.history_["val_loss"]) == 3
    assert e.fit_kwargs == {"epochs": 2}
    images = x.reshape(-1, 8, 8)
    flat = Sequential([nncore.layers.Flatten(), Dense(10, activation="softmax")])
    assert SKLearnClassifier(flat, fit_kwargs={"epochs": 20}, random_state=0).fit(images, y).score(images, y) > 0.9


# Bad input.


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"hidden_layer_sizes": (5, 0)}, "hidden_layer_sizes must be a positive integer"),
        ({"hidden_layer_sizes": -1}, "hidden_layer_sizes must be a positive integer"),
        ({"activation": "ramp"}, "Unknown activation"),
        ({"activation": ["relu", "relu"]}, "one for each of the 1 hidden layers"),
        ({"solver": "adm"}, "Did you mean 'adam'"),
        ({"learning_rate": "falling"}, "Known names: adaptive, constant, invscaling"),
        ({"alpha": -1}, "alpha must be a number of at least 0"),
        ({"batch_size": 0}, "batch_size must be a positive integer"),
        ({"learning_rate_init": 0}, "learning_rate_init must be a number above 0"),
        ({"max_iter": 0}, "max_iter must be a positive integer"),
        ({"momentum": 2}, r"momentum must be a number in \[0, 1\]"),
        ({"beta_1": 1.0}, r"beta_1 must be a number in \[0, 1\)"),
        ({"epsilon": 0.0}, "epsilon must be a number above 0"),
        ({"shuffle": "yes"}, "shuffle must be True or False"),
        ({"n_iter_no_change": 0}, "n_iter_no_change must be a positive integer"),
        ({"dropout": 1.0}, r"dropout must be a number in \[0, 1\)"),
        ({"n_threads": 0}, "n_threads must be a positive integer"),
        ({"validation_data": 3}, "validation_data must be"),
        ({"early_stopping": True, "validation_fraction": 0.001}, "at least 2 rows"),
        ({"loss": "los"}, "Unknown loss"),
    ],
)
def test_arguments_that_do_not_hold(arguments: dict[str, Any], message: str, digits: tuple[Array, Array]) -> None:
    for E in (MLPClassifier, MLPRegressor):
        e = E(**arguments)
        with pytest.raises(ValueError, match=message):
            e.fit(digits[0][:300], digits[1][:300] / (1 if E is MLPClassifier else 2))
        assert not hasattr(e, "coefs_") or message == "at least 2 rows"  # of the split of these rows


def test_data_that_does_not_fit(digits: tuple[Array, Array]) -> None:
    x, y = digits
    for weight, message in (
        (np.ones(3), "one weight a row"),
        (-np.ones(len(x)), "must be at least 0"),
        (0.0, "not all zero"),
    ):
        for E in (MLPClassifier, MLPRegressor):
            with pytest.raises(ValueError, match=message):
                E().fit(x, y, sample_weight=weight)
    for E in (MLPClassifier, SKLearnClassifier):
        made = E() if E is MLPClassifier else E(classifier_model)
        given = {"class_weight": {11: 2.0}}
        with pytest.raises(ValueError, match=r"class_weight for \[11\]"):
            made.fit(x, y, **given) if E is SKLearnClassifier else made.set_params(**given).fit(x, y)
    with pytest.raises(ValueError, match="class_weight='balanced' needs all rows"):
        MLPClassifier(class_weight="balanced").partial_fit(x, y, classes=range(10))
    with pytest.raises(ValueError, match="y must be finite in float32"):
        MLPRegressor().fit(x, y * 1e300)
    with pytest.raises(ValueError, match="too large for dtype"):
        MLPClassifier().fit(x * 1e300, y)
    with pytest.raises(ValueError, match="non-finite parameter weights"):
        MLPRegressor(solver="sgd", learning_rate_init=1e6).fit(x, y)
    with pytest.raises(ValueError, match="y must be at least 0 for loss='poisson'"):
        MLPRegressor("poisson").fit(x, -y)
    with pytest.raises(ValueError, match="0 and 1 in shape"):
        MLPClassifier().fit(x, np.stack([y, y], axis=1))
    with pytest.warns(DataConversionWarning):
        MLPClassifier(max_iter=1).fit(x, y[:, None])
    with pytest.warns(UserWarning, match="It is going to be clipped"):
        MLPClassifier(max_iter=1, batch_size=10**6).fit(x, y)


def test_models_that_do_not_fit(digits: tuple[Array, Array]) -> None:
    x, y = digits
    three = Sequential([Dense(3, activation="softmax")])
    for given, message in (
        (three, "must give 10 outputs a row"),
        (3, "must be a Sequential, or a function"),
        (lambda X, y: 3, "must return a Sequential"),
    ):
        with pytest.raises(ValueError, match=message):
            SKLearnClassifier(given).fit(x, y)
    with pytest.raises(ValueError, match="must give 1 outputs a row"):
        SKLearnRegressor(three).fit(x, y)
    with pytest.raises(ValueError, match="at least 2 classes"):
        SKLearnClassifier(classifier_model).fit(x, np.zeros(len(x), int))


def test_the_extra_is_named_where_it_is_missing() -> None:
    script = """
import sys
sys.modules["sklearn"] = None
import nncore
try:
    nncore.sklearn
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "pip install 'nncore[sklearn]'" in done.stdout
