"""Mistakes, one a row: each raises at once, says what must hold, what it got and what to do, and changes nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from oracles import labels, one_hot, same_bits, uniform

import nncore
from nncore import losses, metrics
from nncore.callbacks import Callback, EarlyStopping
from nncore.errors import DataError
from nncore.layers import (
    ELU,
    Activation,
    Dense,
    Dropout,
    Flatten,
    Input,
    Layer,
    LeakyReLU,
    PReLU,
    ReLU,
    Rescaling,
    Reshape,
    Softmax,
)
from nncore.losses import BinaryCrossentropy, CategoricalCrossentropy, MeanSquaredError, SparseCategoricalCrossentropy
from nncore.metrics import BinaryAccuracy
from nncore.models import Sequential, model_from_json
from nncore.optimizers import SGD, Adam

pytestmark = pytest.mark.usefixtures("seed")

Use = Callable[[Sequential], Any]

X, Y, LABELS = uniform(12, 4), one_hot(12, 3), labels(12, 3)
NAN = X.copy()
NAN[7, 2] = np.nan
INFINITE = X.astype(np.float64)
INFINITE[3, 1] = -np.inf
HUGE = X.astype(np.float64)
HUGE[9, 0] = 1e39
DEEP = np.zeros((5, 2, 3, 4))
DEEP[4, 1, 2, 3] = np.nan


def network(head: int = 3, activation: str = "softmax") -> Sequential:
    return Sequential([Input((4,)), Dense(5, activation="relu"), Dense(head, activation=activation)])


def trained(
    loss: Any = "categorical_crossentropy", metrics: Any = ("accuracy",), head: int = 3, **kwargs: Any
) -> Sequential:
    """A model with weights, an optimizer with state, and a history."""
    model = network(head, "softmax" if head > 1 else "sigmoid")
    model.compile(Adam(0.01), loss, metrics=list(metrics), **kwargs)
    y = LABELS if loss == "sparse_categorical_crossentropy" else Y if head == 3 else (LABELS > 0) * 1.0
    model.fit(X, y, epochs=2, verbose=0)
    return model


def snapshot(model: Sequential) -> dict[str, Any]:
    """All that a refused call must leave as it was."""
    return {
        "weights": [w.tobytes() for w in model.get_weights()],
        "layers": [layer.name for layer in model.layers],
        "optimizer": id(model.optimizer),
        "state": None if model.optimizer is None else model.optimizer.state.tobytes(),
        "iterations": None if model.optimizer is None else model.optimizer.iterations,
        "history": id(model.history),
        "values": None if model.history is None else {k: list(v) for k, v in model.history.history.items()},
    }


def refuses(model: Sequential, use: Use, error: type[Exception], *parts: str) -> str:
    """``use`` raises an ``error`` whose message, returned here, has all ``parts``; the model is left as it was."""
    before = snapshot(model)
    with pytest.raises(error) as caught:
        use(model)
    message = str(caught.value)
    for part in parts:
        assert part in message, message
    assert len(message.partition("Known names: ")[0]) < 600, "a message must not show all the data"
    assert snapshot(model) == before
    return message


# Data that does not fit the model: fit, evaluate and the single-batch methods say the same.

DATA: dict[str, tuple[Any, Any, tuple[str, ...]]] = {
    "too few features": (uniform(12, 3), Y, ("x has 3 features", "the model expects 4")),
    "too many features": (uniform(12, 5), Y, ("x has 5 features", "the model expects 4")),
    "a vector": (uniform(12), Y, ("x must have shape (rows, 4)", "Received: (12,)")),
    "one sample without its axis": (
        uniform(4),
        Y[:4],
        ("x must have shape (rows, 4)", "For one sample, pass x[None, :]"),
    ),
    "images without Flatten": (
        uniform(12, 2, 2),
        Y,
        ("x must have shape (rows, 4)", "(12, 2, 2)", "Add a Flatten layer"),
    ),
    "too many axes": (uniform(12, 4, 4), Y, ("x must have shape (rows, 4)", "Received: (12, 4, 4)")),
    "fewer targets": (X, Y[:11], ("x and y must have as many rows", "12 rows in x", "11 in y")),
    "more targets": (X[:5], Y, ("x and y must have as many rows", "5 rows in x", "12 in y")),
    "targets too wide": (X, one_hot(12, 4), ("y must have shape (rows, 3)", "'dense_1'", "Received: (12, 4)")),
    "targets too narrow": (X, one_hot(12, 2), ("y must have shape (rows, 3)", "Received: (12, 2)")),
    "integer labels": (
        X,
        LABELS,
        (
            "y must have shape (rows, 3)",
            "categorical_crossentropy",
            "Received: (12,)",
            "For integer labels use sparse_categorical_crossentropy, or utils.to_categorical(y)",
        ),
    ),
    "integer labels, two axes": (
        X,
        LABELS[:, None],
        ("y must have shape (rows, 3)", "Received: (12, 1)", "use sparse_"),
    ),
    "NaN in x": (NAN, Y, ("x must be finite", "nan in row 7, column 2", "check_finite=False")),
    "infinity in x": (INFINITE, Y, ("x must be finite", "-inf in row 3, column 1", "check_finite=False")),
    "too large for float32": (HUGE, Y, ("x must be finite in float32", "1e+39 in row 9, column 0")),
    "NaN in y": (X, np.where(np.arange(36).reshape(12, 3) == 16, np.nan, Y), ("y must be finite", "row 5, column 1")),
    "no x": (None, Y, ("x is required", "Received: x=None")),
    "no y": (X, None, ("y is required", "Received: y=None")),
    "no rows": (X[:0], Y[:0], ("x must not be empty", "Received: shape (0, 4)")),
    "empty lists": ([], [], ("x must not be empty", "Received: shape (0,)")),
    "a number": (3.0, Y, ("x must be an array with one row a sample", "Received: 3.0")),
    "text": (np.array([["a"] * 4] * 12), Y, ("x must hold real numbers", "dtype <U1")),
    "text among numbers": ([[1, 2, 3, 4], [1, 2, "three", 4]], Y[:2], ("x must hold real numbers",)),
    "objects": (
        np.array([[1, 2, 3, 4], [1, 2, "three", 4]], object),
        Y[:2],
        ("x must hold real numbers", "'three'", "row 1, column 2"),
    ),
    "None among numbers": ([[1, 2, 3, 4], [1, None, 3, 4]], Y[:2], ("x must be finite", "nan in row 1, column 1")),
    "complex numbers": (X.astype(complex), Y, ("x must hold real numbers", "dtype complex128")),
    "dates": (np.zeros((12, 4), "M8[s]"), Y, ("x must hold real numbers", "datetime64")),
    "rows of several lengths": ([[1, 2, 3, 4], [1, 2, 3]], Y[:2], ("x must", "rows of one length")),
    "a dict": ({"a": X}, Y, ("x must be an array with one row a sample", "{'a':")),
    "a function": (len, Y, ("x must be an array with one row a sample", "<built-in function len>")),
    "text as y": (X, ["cat"] * 12, ("y must hold real numbers", "dtype <U3")),
}


@pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch", "test_on_batch"])
@pytest.mark.parametrize("case", DATA)
def test_data(case: str, method: str) -> None:
    x, y, parts = DATA[case]
    quiet = {"verbose": 0} if method in ("fit", "evaluate") else {}
    refuses(trained(), lambda model: getattr(model, method)(x, y, **quiet), DataError, *parts)


@pytest.mark.parametrize("case", DATA)
def test_validation_data(case: str) -> None:
    """The same of validation data, before the first epoch."""
    x, y, parts = DATA[case]
    use = lambda model: model.fit(X, Y, validation_data=(x, y), verbose=0)  # noqa: E731
    message = refuses(trained(), use, DataError, "validation ").replace("validation ", "")
    for part in parts:
        assert part in message, message


PASSES_PREDICT = ("too large for float32", "more targets", "None among numbers")
OF_SAMPLES = [
    case
    for case, (x, y, _) in DATA.items()
    if x is not X and y is not None and "in x" not in case and case not in PASSES_PREDICT
]


@pytest.mark.parametrize("method", ["predict", "predict_on_batch", "__call__"])
@pytest.mark.parametrize("case", OF_SAMPLES)
def test_samples_of_predict(case: str, method: str) -> None:
    """NaN and infinities pass: predicting them is no mistake."""
    x, _, parts = DATA[case]
    quiet = {"verbose": 0} if method == "predict" else {}
    refuses(trained(), lambda model: getattr(model, method)(x, **quiet), DataError, *parts)


def test_nan_passes_through_predict(backend: str) -> None:
    p = trained().predict(NAN, verbose=0)
    assert np.isnan(p[7]).all()
    assert not np.isnan(np.delete(p, 7, axis=0)).any()


def test_position_in_samples_of_several_axes() -> None:
    model = Sequential([Input((2, 3, 4)), Flatten(), Dense(1)])
    model.compile("sgd", "mse")
    refuses(model, lambda m: m.fit(DEEP, np.zeros(5), verbose=0), DataError, "nan in row 4, position (1, 2, 3)")


def test_row_of_a_large_array() -> None:
    """The check goes through the data in pieces; the row is that of the whole."""
    x = np.zeros((600_000, 4), np.float32)
    x[543_210, 3] = np.inf
    model = trained()
    refuses(model, lambda m: m.fit(x, np.zeros((600_000, 3)), verbose=0), DataError, "inf in row 543210, column 3")
    model.evaluate(x[:543_210], np.zeros((543_210, 3)), verbose=0)


# Targets, for losses of another kind.

SPARSE = "sparse_categorical_crossentropy"
WRONG_LABELS = {
    "one-hot": (
        Y,
        ("y must have shape (rows)", SPARSE, "Received: (12, 3)", "use categorical_crossentropy, or pass y.argmax(-1)"),
    ),
    "too large": (
        np.where(np.arange(12) == 8, 3, LABELS),
        ("y must hold integer labels in [0, 3)", "Received: 3 in row 8"),
    ),
    "negative": (np.where(np.arange(12) == 2, -1, LABELS), ("integer labels in [0, 3)", "Received: -1 in row 2")),
    "fractions": (np.where(np.arange(12) == 4, 0.5, LABELS), ("integer labels in [0, 3)", "Received: 0.5 in row 4")),
    "NaN": (np.where(np.arange(12) == 6, np.nan, LABELS), ("y must be finite", "row 6")),
    "huge": (LABELS.astype(np.uint64) + 2**63, ("integer labels in [0, 3)", "in row 0")),
    "in two axes": (np.where(np.arange(12) == 8, 3, LABELS)[:, None], ("Received: 3 in row 8",)),
}


@pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch", "test_on_batch"])
@pytest.mark.parametrize("case", WRONG_LABELS)
def test_labels(case: str, method: str, backend: str) -> None:
    y, parts = WRONG_LABELS[case]
    quiet = {"verbose": 0} if method in ("fit", "evaluate") else {}
    refuses(trained(SPARSE), lambda model: getattr(model, method)(X, y, **quiet), DataError, *parts)


def test_labels_are_checked_though_nan_is_let_through() -> None:
    y = np.where(np.arange(12) == 6, np.nan, LABELS)
    refuses(trained(SPARSE, check_finite=False), lambda m: m.fit(X, y, verbose=0), DataError, "Received: nan in row 6")


@pytest.mark.parametrize(
    "y, where", [(LABELS, "2 in row"), (LABELS - 1.0, "-1.0 in row"), (LABELS * 0.7, "1.4 in row")]
)
def test_binary_targets(y: Any, where: str) -> None:
    model = trained("binary_crossentropy", head=1)
    refuses(model, lambda m: m.fit(X, y, verbose=0), DataError, "y must lie in [0, 1] for binary_crossentropy", where)


@pytest.mark.parametrize("loss", ["mse", "mae", "binary_crossentropy"])
def test_vector_of_targets_for_several_outputs(loss: str) -> None:
    """NumPy would broadcast (N,) against (N, 3) where N is 3; nothing here does."""
    model = network()
    model.compile("sgd", loss)
    for rows in (12, 3):
        y = np.zeros(rows)
        refuses(
            model,
            lambda m, y=y: m.fit(X[: len(y)], y, verbose=0),
            DataError,
            "y must have shape (rows, 3)",
            f"Received: ({rows},)",
        )


@pytest.mark.parametrize("loss", ["categorical_crossentropy", SPARSE])
def test_softmax_of_one_output(loss: str) -> None:
    model = network(1, "softmax")
    parts = (
        "needs at least 2 outputs",
        "'dense_1'",
        "activation='sigmoid' with loss='binary_crossentropy', or 2 units",
    )
    refuses(model, lambda m: m.compile("sgd", loss), ValueError, *parts)
    late = Sequential([Dense(1, activation="softmax")])
    late.compile("sgd", loss)
    with pytest.raises(ValueError, match="needs at least 2 outputs"):
        late.fit(X, np.ones(12), verbose=0)


def test_metric_that_does_not_fit() -> None:
    model = trained(SPARSE, metrics=["mse"][:0])
    model.compile(Adam(), SPARSE, metrics=["mse"])
    refuses(model, lambda m: m.fit(X, LABELS, verbose=0), DataError, "The metric 'mse' needs y of shape", "Received:")


# Arguments of the methods.

ARGUMENTS: dict[str, tuple[Use, type[Exception], tuple[str, ...]]] = {
    **{
        f"fit batch_size={value!r}": (
            lambda m, value=value: m.fit(X, Y, batch_size=value, verbose=0),
            ValueError,
            ("fit: batch_size must be a positive integer", f"Received: batch_size={value!r}"),
        )
        for value in (-1, 0, 2.5, "32", True, np.float32(4))
    },
    **{
        f"fit epochs={value!r}": (
            lambda m, value=value: m.fit(X, Y, epochs=value, verbose=0),
            ValueError,
            ("fit: epochs must be an integer of at least 0", f"Received: epochs={value!r}"),
        )
        for value in (-1, 1.5, "3", None, True)
    },
    **{
        f"fit validation_split={value!r}": (
            lambda m, value=value: m.fit(X, Y, validation_split=value, verbose=0),
            ValueError,
            ("fit: validation_split must be", "[0, 1)", f"validation_split={value!r}"),
        )
        for value in (1.5, 1, -0.1, "0.1", np.nan)
    },
    "fit validation_split wrong beside validation_data": (
        lambda m: m.fit(X, Y, validation_split=1.5, validation_data=(X, Y), verbose=0),
        ValueError,
        ("validation_split",),
    ),
    "fit validation_split leaves nothing to train": (
        lambda m: m.fit(X, Y, validation_split=0.99, verbose=0),
        DataError,
        ("validation_split=0.99 of 12 rows leaves 0 for training and 12 for validation", "Use another share"),
    ),
    "fit validation_split of one row": (
        lambda m: m.fit(X[:1], Y[:1], validation_split=0.5, verbose=0),
        DataError,
        ("leaves 0 for training and 1",),
    ),
    "fit initial_epoch": (
        lambda m: m.fit(X, Y, initial_epoch=-1, verbose=0),
        ValueError,
        ("initial_epoch must be an integer of at least 0",),
    ),
    "fit verbose": (
        lambda m: m.fit(X, Y, verbose=3),
        ValueError,
        ("fit: verbose must be 0, 1, 2 or 'auto'", "verbose=3"),
    ),
    "fit shuffle": (
        lambda m: m.fit(X, Y, shuffle="yes", verbose=0),
        ValueError,
        ("shuffle must be True, False or 'batch'", "'yes'"),
    ),
    "fit shuffle array": (
        lambda m: m.fit(X, Y, shuffle=np.arange(3), verbose=0),
        ValueError,
        ("shuffle must be True",),
    ),
    "fit validation_batch_size": (
        lambda m: m.fit(X, Y, validation_batch_size=-4, verbose=0),
        ValueError,
        ("validation_batch_size must be a positive",),
    ),
    "fit validation_batch_size 0": (
        lambda m: m.fit(X, Y, validation_batch_size=0, verbose=0),
        ValueError,
        ("validation_batch_size must be a positive",),
    ),
    "fit validation_freq 0": (
        lambda m: m.fit(X, Y, validation_freq=0, verbose=0),
        ValueError,
        ("validation_freq must be a positive integer", "=0"),
    ),
    "fit validation_freq": (
        lambda m: m.fit(X, Y, validation_freq=1.5, verbose=0),
        ValueError,
        ("validation_freq must be a positive integer",),
    ),
    "fit steps_per_epoch": (
        lambda m: m.fit(X, Y, steps_per_epoch=0, verbose=0),
        ValueError,
        ("fit: steps_per_epoch must be a positive integer", "=0"),
    ),
    "fit validation_steps": (
        lambda m: m.fit(X, Y, validation_data=(X, Y), validation_steps=1.5, verbose=0),
        ValueError,
        ("fit: validation_steps must be a positive integer", "=1.5"),
    ),
    "fit validation_data": (
        lambda m: m.fit(X, Y, validation_data=X, verbose=0),
        ValueError,
        ("validation_data must be (x, y)", "ndarray"),
    ),
    "fit validation_data of four": (
        lambda m: m.fit(X, Y, validation_data=(X, Y, None, None), verbose=0),
        ValueError,
        ("validation_data must be (x, y)",),
    ),
    "fit callbacks": (
        lambda m: m.fit(X, Y, callbacks=[print], verbose=0),
        TypeError,
        ("callbacks must be instances of", "Callback"),
    ),
    "fit callbacks, a class": (
        lambda m: m.fit(X, Y, callbacks=Callback, verbose=0),
        TypeError,
        ("Make one: Callback()",),
    ),
    "fit both weights": (
        lambda m: m.fit(X, Y, sample_weight=np.ones(12), class_weight={0: 1.0}, verbose=0),
        DataError,
        ("either sample_weight or class_weight, not both",),
    ),
    "fit sample_weight too short": (
        lambda m: m.fit(X, Y, sample_weight=np.ones(11), verbose=0),
        DataError,
        ("x and sample_weight must have as many rows", "12 rows in x", "11 in sample_weight"),
    ),
    "fit sample_weight too wide": (
        lambda m: m.fit(X, Y, sample_weight=np.ones((12, 3)), verbose=0),
        DataError,
        ("sample_weight must have shape (12,)", "Received: (12, 3)"),
    ),
    "fit sample_weight NaN": (
        lambda m: m.fit(X, Y, sample_weight=NAN[:, 2], verbose=0),
        DataError,
        ("sample_weight must be finite", "row 7"),
    ),
    "fit sample_weight text": (
        lambda m: m.fit(X, Y, sample_weight=["1"] * 12, verbose=0),
        DataError,
        ("sample_weight must hold real numbers",),
    ),
    "fit class_weight list": (
        lambda m: m.fit(X, Y, class_weight=[1.0, 2.0], verbose=0),
        DataError,
        ("class_weight must be a dict", "[1.0, 2.0]"),
    ),
    "fit class_weight of no class": (
        lambda m: m.fit(X, Y, class_weight={3: 1.0}, verbose=0),
        DataError,
        ("integer classes in [0, 3)", "the class 3"),
    ),
    "fit class_weight of a name": (
        lambda m: m.fit(X, Y, class_weight={"cat": 1.0}, verbose=0),
        DataError,
        ("integer classes in [0, 3)", "'cat'"),
    ),
    "fit class_weight negative": (
        lambda m: m.fit(X, Y, class_weight={1: -2.0}, verbose=0),
        DataError,
        ("weights of at least 0", "1: -2.0"),
    ),
    "fit class_weight NaN": (
        lambda m: m.fit(X, Y, class_weight={1: np.nan}, verbose=0),
        DataError,
        ("finite weights",),
    ),
    "evaluate batch_size": (
        lambda m: m.evaluate(X, Y, batch_size=0, verbose=0),
        ValueError,
        ("evaluate: batch_size must be a positive",),
    ),
    "evaluate steps": (
        lambda m: m.evaluate(X, Y, steps=-2, verbose=0),
        ValueError,
        ("evaluate: steps must be a positive integer", "=-2"),
    ),
    "evaluate verbose": (lambda m: m.evaluate(X, Y, verbose="loud"), ValueError, ("verbose must be", "'loud'")),
    "predict batch_size": (
        lambda m: m.predict(X, batch_size=1.5, verbose=0),
        ValueError,
        ("predict: batch_size must be a positive", "=1.5"),
    ),
    "predict steps": (
        lambda m: m.predict(X, steps="2", verbose=0),
        ValueError,
        ("predict: steps must be a positive integer", "='2'"),
    ),
    "predict steps with out": (
        lambda m: m.predict(X, 4, steps=2, out=np.empty((12, 3), "f"), verbose=0),
        ValueError,
        ("predict: out must be None where steps leaves rows out", "steps=2"),
    ),
    "predict out of another shape": (
        lambda m: m.predict(X, out=np.empty((12, 2), "f"), verbose=0),
        ValueError,
        ("out must be a float32 array of shape (12, 3)", "(12, 2)"),
    ),
    "predict out of another type": (
        lambda m: m.predict(X, out=np.empty((12, 3)), verbose=0),
        ValueError,
        ("out must be a float32", "float64"),
    ),
    "weights: too few": (
        lambda m: m.set_weights(m.get_weights()[:3]),
        ValueError,
        ("has 4 weights", "Received a list of 3"),
    ),
    "weights: another shape in the last": (
        lambda m: m.set_weights([*m.get_weights()[:3], np.zeros(4)]),
        ValueError,
        ("dense_1/bias'", "has shape (3,)", "Received a value of shape (4,)"),
    ),
    "weights: text": (
        lambda m: m.set_weights([*m.get_weights()[:3], ["a", "b", "c"]]),
        ValueError,
        ("dense_1/bias'", "takes numbers"),
    ),
    "weights of a layer": (
        lambda m: m.layers[0].set_weights([np.zeros((5, 4)), np.zeros(5)]),
        ValueError,
        ("dense/kernel'", "(4, 5)", "(5, 4)"),
    ),
    "compile: unknown loss": (
        lambda m: m.compile("sgd", "categorical_crossentrpy"),
        ValueError,
        (
            "Unknown loss: 'categorical_crossentrpy'",
            "Did you mean 'categorical_crossentropy'?",
            "Known names: ",
            "mean_squared_error",
        ),
    ),
    "compile: unknown metric": (
        lambda m: m.compile("sgd", "mse", metrics=["acuracy"]),
        ValueError,
        ("Unknown metric: 'acuracy'", "Did you mean 'accuracy'?", "Known names: "),
    ),
    "compile: unknown metric of another kind": (
        lambda m: m.compile("sgd", "mse", metrics=[3]),
        ValueError,
        ("Unknown metric: 3",),
    ),
    "compile: unknown optimizer": (
        lambda m: m.compile("sdg", "mse"),
        ValueError,
        ("Unknown optimizer: 'sdg'", "Did you mean 'sgd'?", "adam"),
    ),
    "compile: no loss": (lambda m: m.compile("sgd"), ValueError, ("compile needs a loss", "loss='mse'", "Known names")),
    "compile: reduction": (
        lambda m: m.compile("sgd", MeanSquaredError(reduction="none")),
        ValueError,
        ("must reduce a batch to one number", "'sum_over_batch_size'", "reduction='none'"),
    ),
    "compile: loss_weights": (
        lambda m: m.compile("sgd", "mse", loss_weights=[1.0]),
        ValueError,
        ("loss_weights", "None"),
    ),
    "compile: losses": (
        lambda m: m.compile("sgd", ["mse", "mae"]),
        ValueError,
        ("a Sequential has one output and takes one loss", "loss=['mse', 'mae']"),
    ),
    "compile: no loss in a list": (lambda m: m.compile("sgd", []), ValueError, ("takes one loss", "loss=[]")),
    **{
        f"compile: {argument} of outputs": (
            lambda m, given={argument: {"dense": "mse"}}: m.compile("sgd", **{"loss": "mse", **given}),
            ValueError,
            (f"compile: {argument} must not be a dict of outputs", f"Received: {argument}={{'dense': 'mse'}}"),
        )
        for argument in ("loss", "metrics", "weighted_metrics")
    },
    "compile: weighted_metrics": (
        lambda m: m.compile("sgd", "mse", weighted_metrics=["maee"]),
        ValueError,
        ("Unknown metric: 'maee'",),
    ),
    "add: text": (lambda m: m.add("dense"), ValueError, ("Sequential.add takes a layer", "'dense' (of type str)")),
    "add: a class": (lambda m: m.add(Dense), ValueError, ("takes a layer", "Make one: Dense(…)")),
    "add: a name twice": (
        lambda m: m.add(Dense(1, name="dense")),
        ValueError,
        ("names of their own", "second layer called 'dense'"),
    ),
    "add: a second Input": (lambda m: m.add(Input((4,))), ValueError, ("an Input must come first, and only once",)),
    "build: another shape": (
        lambda m: m.build((None, 9)),
        ValueError,
        ("Input has shape (4,)", "build(input_shape=(None, 9))"),
    ),
    "get_layer: unknown": (
        lambda m: m.get_layer("dense_11"),
        ValueError,
        ("Unknown layer: 'dense_11'", "Did you mean 'dense_1'?"),
    ),
}


@pytest.mark.parametrize("case", ARGUMENTS)
def test_arguments(case: str) -> None:
    use, error, parts = ARGUMENTS[case]
    refuses(trained(), use, error, *parts)


def test_direction_of_a_metric_that_nobody_knows() -> None:
    model = trained(metrics=["mse"])
    before = [w.tobytes() for w in model.get_weights()]
    with pytest.raises(ValueError, match="Pass mode='max' where larger is better"):
        model.fit(X, Y, callbacks=EarlyStopping("val_something"), verbose=0)
    assert [w.tobytes() for w in model.get_weights()] == before


@pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch", "test_on_batch"])
def test_before_compile(method: str) -> None:
    refuses(
        network(), lambda m: getattr(m, method)(X, Y), ValueError, f"{method} needs a compiled model", "model.compile("
    )


def test_models_without_layers_or_shape() -> None:
    empty, unbuilt = Sequential(), Sequential([Dense(2)])
    refuses(empty, lambda m: m.build((None, 4)), ValueError, "has no layers", "Call model.add(layer)")
    refuses(empty, lambda m: m.predict(X, verbose=0), ValueError, "has no layers")
    refuses(empty, lambda m: m.pop(), ValueError, "no layers to remove")
    refuses(empty, lambda m: m.count_params(), ValueError, "isn't built", "build(input_shape)")
    refuses(unbuilt, lambda m: m.count_params(), ValueError, "isn't built", "build(input_shape)")
    refuses(unbuilt, lambda m: m.layers[0].count_params(), ValueError, "isn't built")
    refuses(unbuilt, lambda m: m.build(), ValueError, "give input_shape, such as (None, 100)")
    refuses(unbuilt, lambda m: m.input_shape, AttributeError, "isn't built")
    refuses(unbuilt, lambda m: m.program, ValueError, "isn't built")
    refuses(unbuilt, lambda m: m.set_weights([np.zeros(2)]), ValueError, "has 0 weights", "Received a list of 1")


def test_add_after_a_shape_that_does_not_fit() -> None:
    model = Sequential([Input((4,)), Dense(6)])
    refuses(model, lambda m: m.add(Reshape((4,))), ValueError, "has 6 values, which do not fill target_shape=(4,)")
    with pytest.raises(ValueError, match=r"was built for inputs of shape \(None, 4\)"):
        Sequential([Input((5,)), model.layers[0]])


# Arguments of layers, losses, metrics and optimizers.

MAKERS: dict[str, tuple[Callable[[], Any], tuple[str, ...]]] = {
    **{
        f"Dense({value!r})": (
            lambda value=value: Dense(value),
            ("Dense: units must be a positive integer", f"Received: units={value!r}"),
        )
        for value in (0, -3, 3.0, "3", None, True, np.float64(2))
    },
    "Dense activation": (
        lambda: Dense(1, activation="rleu"),
        ("Unknown activation: 'rleu'", "Did you mean 'relu'?", "Known names: ", "softmax"),
    ),
    "Dense activation of another kind": (lambda: Dense(1, activation=3), ("Unknown activation: 3",)),
    "Dense activation that is a class": (lambda: Dense(1, activation=Dense), ("Unknown activation", "Known names")),
    "Dense initializer": (
        lambda: Dense(1, kernel_initializer="glorot"),
        ("Unknown initializer: 'glorot'", "glorot_normal", "glorot_uniform"),
    ),
    "Dense bias initializer": (
        lambda: Dense(1, bias_initializer="zero_s"),
        ("Unknown initializer: 'zero_s'", "Did you mean 'zeros'?"),
    ),
    "Dense unknown argument": (
        lambda: Dense(1, activaton="relu"),
        ("Dense: unknown argument 'activaton'", "Did you mean 'activation'?"),
    ),
    "Dense batch_input_shape": (
        lambda: Dense(1, batch_input_shape=4),
        ("batch_input_shape must be a tuple with the batch axis first", "batch_input_shape=4"),
    ),
    "Dense batch_input_shape of no size": (
        lambda: Dense(1, batch_input_shape=(None, 0)),
        ("must hold the positive sizes of one sample", "(0,)"),
    ),
    "Dense name": (lambda: Dense(1, name="a/b"), ("name must be a non-empty string without '/'", "'a/b'")),
    "Dense empty name": (lambda: Dense(1, name=""), ("name must be a non-empty string",)),
    "Dense dtype": (lambda: Dense(1, dtype="float64"), ("dtype must be 'float32' or None", "'float64'")),
    "Dense input_dim": (lambda: Dense(1, input_dim=0), ("Dense: input_dim must be a positive integer", "input_dim=0")),
    "Dense input_shape": (lambda: Dense(1, input_shape=(0,)), ("shape must hold the positive sizes", "(0,)")),
    "Dense input_shape with the batch": (
        lambda: Dense(1, input_shape=(None, 3)),
        ("without the batch axis", "(None, 3)"),
    ),
    "Input without": (lambda: Input(), ("Input: shape is required", "Input((100,))")),
    "Input batch": (lambda: Input((None, 4)), ("without the batch axis", "(None, 4)")),
    "Input of text": (lambda: Input("ab"), ("Input: shape must",)),
    "Input negative": (lambda: Input((-2,)), ("Input: shape must hold the positive sizes", "(-2,)")),
    "Input complex": (lambda: Input((3,), dtype="complex64"), ("dtype must be one of float16, float32", "'complex64'")),
    "Input text": (lambda: Input((3,), dtype=str), ("dtype must be one of float16, float32", "<class 'str'>")),
    "Input dtype": (lambda: Input((3,), dtype=[1]), ("dtype must be one of float16, float32", "[1]")),
    "Input both shapes": (lambda: Input((3,), batch_shape=(None, 3)), ("either shape, or batch_shape",)),
    "Input batch_shape": (lambda: Input(batch_shape=(8, 3)), ("batch_shape with None first", "(8, 3)")),
    "Activation": (lambda: Activation("tahn"), ("Unknown activation: 'tahn'", "Did you mean 'tanh'?")),
    **{
        f"Dropout({value!r})": (
            lambda value=value: Dropout(value),
            ("Dropout: rate must be", "[0, 1]", f"rate={value!r}"),
        )
        for value in (-0.1, 1.5, "half", None, True, np.nan)
    },
    "Dropout seed": (lambda: Dropout(0.5, seed=-1), ("Dropout: seed must be", "seed=-1")),
    "ReLU max_value": (lambda: ReLU(max_value=-1), ("ReLU: max_value must be", "max_value=-1")),
    "ReLU negative_slope": (lambda: ReLU(negative_slope=-0.1), ("ReLU: negative_slope must be", "negative_slope=-0.1")),
    "ReLU threshold": (lambda: ReLU(threshold=None), ("ReLU: threshold must be", "threshold=None")),
    **{
        f"Softmax({axis!r})": (lambda axis=axis: Softmax(axis), ("Softmax: axis must be an axis", f"axis={axis!r}"))
        for axis in (0, 1.0, "last", None, [], [1, 0])
    },
    "Softmax axis": (
        lambda: Sequential([Input((3,)), Softmax(2)]),
        ("softmax: axis must be an axis of x", "axis=2", "(None, 3)"),
    ),
    "Softmax axis of the batch": (
        lambda: Sequential([Input((3,)), Softmax(-2)]),
        ("not that of the batch", "axis=-2", "(None, 3)"),
    ),
    "Softmax axis twice": (lambda: Sequential([Input((3,)), Softmax([1, -1])]), ("softmax: axis must", "axis=[1, -1]")),
    "glu": (lambda: Sequential([Input((3,)), Activation("glu")]), ("glu: the length of the axis", "(None, 3)")),
    "Dense glu": (lambda: Sequential([Input((3,)), Dense(5, "glu")]), ("glu: the length of the axis", "(None, 5)")),
    "threshold": (
        lambda: Sequential([Input((3,)), Activation("threshold")]),
        ("threshold", "needs", "'threshold' and 'default_value'"),
    ),
    **{
        f"LeakyReLU({value!r})": (
            lambda value=value: LeakyReLU(value),
            ("LeakyReLU: negative_slope must be", f"negative_slope={value!r}"),
        )
        for value in (-0.1, None, "steep", np.nan)
    },
    "LeakyReLU alpha": (lambda: LeakyReLU(alpha=-1), ("LeakyReLU: negative_slope must be", "negative_slope=-1")),
    "ELU": (lambda: ELU("1"), ("ELU: alpha must be a finite number", "alpha='1'")),
    "ELU infinite": (lambda: ELU(np.inf), ("ELU: alpha must be a finite number", "alpha=inf")),
    "PReLU regularizer": (lambda: PReLU(alpha_regularizer="l3"), ("Unknown regularizer: 'l3'",)),
    "PReLU constraint": (lambda: PReLU(alpha_constraint="max"), ("Unknown constraint: 'max'",)),
    "PReLU initializer": (lambda: PReLU("zeroes"), ("Unknown initializer: 'zeroes'",)),
    **{
        f"PReLU({axes!r})": (
            lambda axes=axes: PReLU(shared_axes=axes),
            ("PReLU: shared_axes must hold axes", f"shared_axes={axes!r}"),
        )
        for axes in (0, [-1], [1.0], "all")
    },
    "PReLU axis": (
        lambda: Sequential([Input((3,)), PReLU(shared_axes=[2])]),
        ("shared_axes must hold axes", "[2]", "(None, 3)"),
    ),
    "Reshape": (lambda: Reshape((2, -1, -1)), ("Reshape: target_shape", "one of which may be -1", "(2, -1, -1)")),
    "Reshape zero": (lambda: Reshape((0,)), ("Reshape: target_shape must hold positive integers", "(0,)")),
    "Reshape fractions": (lambda: Reshape((1.5,)), ("Reshape: target_shape must hold positive integers",)),
    "Rescaling": (lambda: Rescaling("2"), ("Rescaling: scale must be a finite number", "scale='2'")),
    "Rescaling infinite": (lambda: Rescaling(1.0, np.inf), ("Rescaling: offset must be a finite number", "offset=inf")),
    "SGD misspelled": (lambda: SGD(momentun=0.1), ("unknown argument 'momentun'", "Did you mean 'momentum'?")),
    **{
        f"SGD({value!r})": (lambda value=value: SGD(value), ("SGD: learning_rate must be", f"learning_rate={value!r}"))
        for value in (-0.1, np.nan, np.inf, "fast", None, True)
    },
    **{
        f"SGD(momentum={value!r})": (
            lambda value=value: SGD(momentum=value),
            ("SGD: momentum must be", f"momentum={value!r}"),
        )
        for value in (-0.1, 1.5, "0.9", True, np.nan)
    },
    "Adam beta_1": (lambda: Adam(beta_1=1.0), ("Adam: beta_1 must be a number in [0, 1)", "beta_1=1.0")),
    "Adam beta_2": (lambda: Adam(beta_2=-1), ("Adam: beta_2 must be a number in [0, 1)", "beta_2=-1")),
    "Adam epsilon": (lambda: Adam(epsilon=-1e-7), ("Adam: epsilon must be a", "epsilon=-1e-07")),
    "loss reduction": (lambda: MeanSquaredError(reduction="avg"), ("reduction must be one of", "reduction='avg'")),
    "loss dtype": (lambda: MeanSquaredError(dtype="float16"), ("dtype must be 'float32' or None",)),
    "loss smoothing": (
        lambda: CategoricalCrossentropy(label_smoothing=1.5),
        ("label_smoothing must be", "[0, 1]", "1.5"),
    ),
    "loss axis": (lambda: BinaryCrossentropy(axis=0.5), ("axis must be an integer", "axis=0.5")),
    "loss ignore_class": (
        lambda: SparseCategoricalCrossentropy(ignore_class=0.5),
        ("ignore_class must be None or an integer", "ignore_class=0.5"),
    ),
    **{
        f"{name} {argument}={value!r}": (
            lambda name=name, given={argument: value}: getattr(losses, name)(**given),
            (f"{name}: {argument} must ", f"Received: {argument}={value!r}."),
        )
        for name, argument, values in (
            ("Huber", "delta", (0, -1.0, np.inf, np.nan, "1", None, True)),
            ("BinaryFocalCrossentropy", "alpha", (-0.1, 1.5, np.nan, "a", None)),
            ("BinaryFocalCrossentropy", "gamma", (-1, np.inf, np.nan, "2")),
            ("BinaryFocalCrossentropy", "label_smoothing", (-0.1, 2)),
            ("CategoricalFocalCrossentropy", "alpha", (-1, np.inf, [0.25, 0.75], None)),
            ("CategoricalFocalCrossentropy", "gamma", (-0.5, np.nan, None)),
            ("CategoricalFocalCrossentropy", "axis", (1.5, None)),
            ("CategoricalGeneralizedCrossEntropy", "q", (0, 1, -0.5, np.nan, "0.5", None)),
            ("CosineSimilarity", "axis", (0.5, None, (1,), True)),
            ("SparseCategoricalCrossentropy", "ignore_class", (2**31, "0", True)),
            ("Dice", "axis", (0.5, "1", (), [1, 0.5])),
            ("Tversky", "axis", (1.0, (None,))),
            ("Tversky", "alpha", (np.nan, np.inf, "1", None)),
            ("Tversky", "beta", (-np.inf, [0.5])),
        )
        for value in values
    },
    **{
        f"{name} axes={axes!r}": (
            lambda name=name, axes=axes: getattr(losses, name)(axis=axes)(np.zeros((4, 3)), np.zeros((4, 3))),
            ("axis must name different ones of the 2 axes of the predictions", f"Received: axis={list(axes)!r}"),
        )
        for name in ("Dice", "Tversky")
        for axes in ((2,), (1, 1), (1, -1), (-3,))
    },
    "metric label_smoothing": (
        lambda: metrics.BinaryCrossentropy(label_smoothing=1.5),
        ("BinaryCrossentropy: label_smoothing must be", "label_smoothing=1.5"),
    ),
    "metric axis": (
        lambda: metrics.SparseCategoricalCrossentropy(axis=1),
        ("SparseCategoricalCrossentropy: axis must be -1", "axis=1"),
    ),
    "metric axis of another kind": (
        lambda: metrics.CategoricalCrossentropy(axis="last"),
        ("CategoricalCrossentropy: axis must be an integer", "axis='last'"),
    ),
    "metric axis of vectors": (
        lambda: metrics.CosineSimilarity(axis=0.5),
        ("CosineSimilarity: axis must be an integer", "axis=0.5"),
    ),
    "metric ignore_class": (
        lambda: metrics.SparseCategoricalCrossentropy(ignore_class="a"),
        ("ignore_class must be None or an integer", "ignore_class='a'"),
    ),
    "metric function threshold": (
        lambda: metrics.binary_accuracy([1], [0.5], threshold=2),
        ("BinaryAccuracy: threshold must be", "threshold=2"),
    ),
    "metric function k": (lambda: metrics.top_k_categorical_accuracy([[1]], [[1]], 0), ("k must be a positive", "k=0")),
    "metric function shapes": (
        lambda: metrics.categorical_accuracy(np.zeros((4, 3)), np.zeros((4, 2))),
        ("categorical_accuracy: y_true must have shape (4, 2)", "Received: (4, 3)"),
    ),
    "loss on arrays": (
        lambda: MeanSquaredError()(np.zeros((4, 3)), np.zeros((4, 2))),
        ("y_true must have shape (4, 2)", "Received: (4, 3)"),
    ),
    "metric threshold": (
        lambda: BinaryAccuracy(threshold=2),
        ("BinaryAccuracy: threshold must be", "[0, 1]", "threshold=2"),
    ),
    "metric on arrays": (
        lambda: BinaryAccuracy()(np.zeros((4, 3)), np.zeros((4, 2))),
        ("y_true must have shape (4, 2)", "(4, 3)"),
    ),
    "backend": (
        lambda: nncore.set_backend("nativ"),
        ("Unknown backend: 'nativ'", "Did you mean 'native'?", "native, numpy"),
    ),
    "seed": (lambda: nncore.utils.set_random_seed(-1), ("seed must be a", "-1")),
    "from_config": (
        lambda: Sequential.from_config({"layers": [{"class_name": "Conv2D", "config": {}}]}),
        ("Unknown layer class: 'Conv2D'", "Known names: "),
    ),
    "from_json": (lambda: model_from_json('{"class_name": "Model"}'), ("model_from_json takes what",)),
}


@pytest.mark.parametrize("case", MAKERS)
def test_makers(case: str) -> None:
    make, parts = MAKERS[case]
    with pytest.raises(ValueError) as caught:
        make()
    for part in parts:
        assert part in str(caught.value), str(caught.value)


def test_a_refused_learning_rate_is_not_taken() -> None:
    optimizer = SGD(0.5)
    with pytest.raises(ValueError, match="learning_rate must be"):
        optimizer.learning_rate = -1
    assert optimizer.learning_rate == 0.5


PLAIN: list[Callable[[], Any]] = [
    lambda: SGD(1),
    lambda: SGD(0),
    lambda: SGD(lr=1),
    lambda: SGD(np.float32(0.1), momentum=1),
    lambda: Adam(np.float64(0.1), np.float32(0.5)),
    lambda: Dense(np.int64(3)),
    lambda: Dropout(0),
    lambda: Dropout(np.float32(1)),
    lambda: ReLU(np.float32(6), 0, np.int32(1)),
    lambda: Rescaling(1, np.float32(2)),
]


@pytest.mark.parametrize("make", PLAIN)
def test_plain_numbers_of_any_type_are_taken(make: Callable[[], Any]) -> None:
    make()


def test_a_variable_refuses_other_shapes() -> None:
    variable = network().weights[0]
    with pytest.raises(
        ValueError, match=re.escape("dense/kernel: the shape must stay (4, 5). Received a value of shape (5, 4)")
    ):
        variable.assign(np.zeros((5, 4)))
    with pytest.raises(TypeError, match=r"Use assign\(\)"):
        np.add(1, 1, out=variable)


def test_a_layer_without_lower_says_so() -> None:
    class Empty(Layer):
        pass

    with pytest.raises(NotImplementedError, match=r"Empty must define call\(\) or lower\(\)"):
        Sequential([Input((2,)), Empty()]).predict(np.zeros((1, 2)), verbose=0)


def test_what_is_refused_at_compile_keeps_the_old_one() -> None:
    model = trained()
    for wrong in ({"optimizer": "sdg", "loss": "mse"}, {"loss": "msee"}, {"loss": "mse", "metrics": ["maee"]}):
        refuses(model, lambda m, wrong=wrong: m.compile(**{"optimizer": "sgd", **wrong}), ValueError, "Did you mean")
    again = model.fit(X, Y, epochs=1, verbose=0)
    assert list(again.history) == ["accuracy", "loss"]


def test_the_caller_s_arrays_are_never_written() -> None:
    x, y, w = X.astype(np.float64), Y.copy(), np.linspace(0, 1, 12)
    copies = [a.copy() for a in (x, y, w)]
    model = trained()
    model.fit(x, y, sample_weight=w, validation_split=0.25, epochs=2, verbose=0)
    model.evaluate(x, y, sample_weight=w, verbose=0)
    model.predict(x, verbose=0)
    assert all(same_bits(a, b) for a, b in zip((x, y, w), copies, strict=True))
