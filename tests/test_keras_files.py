"""Files of Keras's, read and written: ``.keras``, ``.weights.h5`` and ``.h5``, and (``-m peers``) Keras itself on them.

The files in ``golden/`` are Keras's: see ``golden/make_keras_files.py``.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from activation_table import NAMES
from test_gradients import HIDDEN, NORMS

from nncore import constraints, initializers, layers, losses, metrics, optimizers, regularizers
from nncore.layers import BatchNormalization, Dense, Dropout, Embedding, Flatten, Input
from nncore.models import Sequential, load_model
from nncore.optimizers import schedules
from nncore.optimizers.schedules import LearningRateSchedule as Schedule
from nncore.saving import read_metadata
from nncore.utils import set_random_seed

GOLDEN = Path(__file__).parent / "golden"

X = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
Y = np.random.default_rng(1).random((12, 2)).astype(np.float32)


def example() -> Sequential:
    inner = Sequential([Dense(3), BatchNormalization()], name="inner")
    return Sequential([Input((3,)), Dense(4, "relu", name="mine"), Dropout(0.5), inner, Dense(2, name="y")])


def trained(optimizer: Any = "adam", epochs: int = 1) -> Sequential:
    set_random_seed(0)
    model = example()
    model.compile(optimizer, "mse", metrics=["mae"])
    model.fit(X, Y, batch_size=4, epochs=epochs, verbose=0)
    return model


def same(a: list[Any], b: list[Any]) -> bool:
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def state(model: Any) -> list[Any]:
    return [v.numpy() for v in model.optimizer.variables]


def tree(path: Path) -> dict[str, Any]:
    """All groups and arrays of a file in HDF5, the shapes of these, and attributes that say what they are."""
    raw: Any = path
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            raw = io.BytesIO(archive.read("model.weights.h5"))
    found = {}

    def keep(name: str, item: Any) -> None:
        shape = item.shape if isinstance(item, h5py.Dataset) else "group"
        listed = {key: np.asarray(value).tolist() for key, value in item.attrs.items()}
        found[name] = shape, {k: v for k, v in listed.items() if k in ("name", "layer_names", "weight_names")}

    with h5py.File(raw) as file:
        file.visititems(keep)
    return found


# Without Keras.


@pytest.mark.parametrize("name", ["m.keras", "m.h5", "m.hdf5"])
@pytest.mark.parametrize("steps", [None, 2])
def test_there_and_back(name: str, steps: int | None, tmp_path: Path) -> None:
    """To the bit, the optimizer in the middle of an accumulation included."""
    one = trained(optimizers.Adam(0.1 / 3, use_ema=True, gradient_accumulation_steps=steps), epochs=3)
    one.save(tmp_path / name, metadata={"columns": ["a", "b"], "keras_version": "mine"})
    two = load_model(tmp_path / name)
    assert same(one.get_weights(), two.get_weights())
    assert same(state(one), state(two))
    assert two.optimizer.steps == 9
    assert two.optimizer._learning_rate == 0.1 / 3
    found = read_metadata(tmp_path / name)
    assert (found["columns"], found["keras_version"]) == (["a", "b"], "mine")
    for model in (one, two):
        set_random_seed(3)
        model.fit(X, Y, batch_size=4, verbose=0)
    assert same(one.get_weights(), two.get_weights())


def test_an_archive_is_as_keras_writes_it(tmp_path: Path) -> None:
    trained().save(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        assert archive.namelist() == ["metadata.json", "config.json", "model.weights.h5"]
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        assert set(json.loads(archive.read("config.json"))) == {
            "module", "class_name", "config", "registered_name", "build_config", "compile_config",
        }  # fmt: skip
        assert json.loads(archive.read("metadata.json"))["keras_version"] == "3.15.1"


@pytest.mark.parametrize("name", ["m.keras", "m.h5"])
def test_a_model_that_was_never_trained(name: str, tmp_path: Path) -> None:
    for model in (example(), Sequential([Dense(3)])):
        model.save(tmp_path / name)
        again = load_model(tmp_path / name)
        assert (again.built, again.compiled) == (model.built, False)
        assert same(again.get_weights(), model.get_weights())


@pytest.mark.parametrize("name", ["w.weights.h5", "w.h5", "m.keras", "m.h5"])
def test_weights_out_of_any_file(name: str, tmp_path: Path) -> None:
    one, two = trained(), example()
    if name.startswith("w"):
        one.save_weights(tmp_path / name)
    else:
        one.save(tmp_path / name)
    two.load_weights(tmp_path / name)
    assert same(one.get_weights(), two.get_weights())


def test_long_lists_of_names(tmp_path: Path) -> None:
    """HDF5 holds 64 KB in an attribute."""
    name = "n" * 200
    model = Sequential([Input((1,)), *(Dense(1, name=f"{name}{i}") for i in range(400))])
    model.compile("sgd", "mse")
    model.save(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5") as file:
        assert {"layer_names0", "layer_names1"} <= set(file["model_weights"].attrs)
    assert same(load_model(tmp_path / "m.h5").get_weights(), model.get_weights())


# With Keras.


@pytest.fixture(scope="module")
def keras() -> Any:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras as library

    return library


keras_runs = pytest.mark.filterwarnings(
    "error",
    "ignore:__array__ implementation doesn't accept:DeprecationWarning",  # torch's
    "ignore:Layer .* mask",
)
"""Marks tests in which Keras must not warn of anything, such as an optimizer's variables that it skips."""


def distance(a: Any, b: Any) -> float:
    """The largest |a - b| / (1 + |b|)."""
    return max([float(np.max(np.abs(x - y) / (1 + np.abs(y)))) for x, y in zip(a, b, strict=True)] or [0.0])


def keras_state(model: Any) -> list[Any]:
    return [np.asarray(v.value.detach().cpu()) for v in model.optimizer.variables]


def predictions(model: Any, x: Any) -> list[Any]:
    return [model.predict(x, verbose=0)]


def both_ways(
    keras: Any, model: Sequential, folder: Path, x: Any = X, y: Any = Y, random: bool = False, rounding: float = 1e-6
) -> None:
    """A model trained here is trained on in Keras, and then here again; each time both train on alike.

    Weights are handed over to the bit. ``rounding`` is what predictions may differ by: what sums of Keras's own differ.
    """
    settings = {"batch_size": 4, "shuffle": False, "verbose": 0}
    model.fit(x, y, **settings)
    model.save(folder / "one.keras")
    theirs = keras.models.load_model(folder / "one.keras")
    assert same(theirs.get_weights(), model.get_weights())
    assert same(keras_state(theirs), state(model))
    assert distance(predictions(theirs, x), predictions(model, x)) <= rounding
    theirs.fit(x, y, **settings)
    if not random:
        model.fit(x, y, **settings)
        assert distance(theirs.get_weights(), model.get_weights()) <= 1e-5  # of Keras's powers of beta in float32
    theirs.save(folder / "two.keras")
    again = load_model(folder / "two.keras")
    assert same(again.get_weights(), theirs.get_weights())
    assert distance(state(again), keras_state(theirs)) <= 1e-6  # Nadam's product is computed, not read
    assert again.optimizer.steps == int(theirs.optimizer._iterations)
    assert distance(predictions(again, x), predictions(theirs, x)) <= rounding
    assert again.get_compile_config()["loss"] == model.get_compile_config()["loss"]
    if not random:
        for one in (again, theirs):
            one.fit(x, y, **settings)
        assert distance(again.get_weights(), theirs.get_weights()) <= 1e-5
    assert tree(folder / "one.keras") == tree(folder / "two.keras")


NOT_KERAS_S = ("of rows", "Lambda", "of other axes")
"""A ``Lambda``'s function is in no file. Keras 3.15 does not know the shape that ``glu`` gives, its ``sparsemax`` gives
rows that do not sum to 1, and its ``RMSNormalization`` of another axis normalizes along the last."""

STACKS = {
    **{name: stack for name, stack in {**HIDDEN, **NORMS}.items() if name not in NOT_KERAS_S},
    "of rows": lambda: [Dense(8, "softmax"), layers.Activation("log_softmax")],
    "UnitNormalization of axes": lambda: [
        Dense(4), layers.Reshape((2, 2)), layers.UnitNormalization(axis=[1, 2]), Flatten(),
    ],
    "models inside": lambda: [
        Dense(3), Sequential([Dense(4), Sequential([BatchNormalization(), Dense(2)]), Dropout(0.0)], name="inner"),
        Dense(2),
    ],
}  # fmt: skip
"""Every layer."""

FEW_VALUES = ("GroupNormalization", "TimeDistributed", "of two axes", "LayerNormalization", "of the input")
"""What divides by deviations of two or three values, which may be small."""


@pytest.mark.peers
@keras_runs
@pytest.mark.parametrize("name", STACKS)
def test_every_layer(name: str, keras: Any, tmp_path: Path) -> None:
    set_random_seed(0)
    model = Sequential([Input((3,)), *STACKS[name](), Flatten(), Dense(2)])
    model.compile(optimizers.Adam(0.01, epsilon=1e-3), "mse")
    random = any("Drop" in kind or "Noise" in kind for kind in (type(layer).__name__ for layer in model.layers))
    both_ways(keras, model, tmp_path, random=random, rounding=1e-5 if name in FEW_VALUES else 1e-6)


OPTIMIZERS: dict[str, Callable[..., Any]] = {
    "SGD": lambda **k: optimizers.SGD(0.05, **k),
    "momentum": lambda **k: optimizers.SGD(0.05, momentum=0.9, **k),
    "nesterov": lambda **k: optimizers.SGD(0.05, momentum=0.8, nesterov=True, **k),
    "Adam": lambda **k: optimizers.Adam(0.01, **k),
    "amsgrad": lambda **k: optimizers.Adam(0.01, amsgrad=True, **k),
    "AdamW": lambda **k: optimizers.AdamW(0.01, **k),
    "Adamax": lambda **k: optimizers.Adamax(0.01, **k),
    "Nadam": lambda **k: optimizers.Nadam(0.01, **k),
    "RMSprop": lambda **k: optimizers.RMSprop(0.01, **k),
    "RMSprop with all": lambda **k: optimizers.RMSprop(0.01, momentum=0.5, centered=True, **k),
    "Adagrad": lambda **k: optimizers.Adagrad(0.01, **k),
    "Adadelta": lambda **k: optimizers.Adadelta(0.01, **k),
    "Adafactor": lambda **k: optimizers.Adafactor(0.01, **k),
    "Ftrl": lambda **k: optimizers.Ftrl(0.01, l1_regularization_strength=0.01, beta=0.1, **k),
    "Lion": lambda **k: optimizers.Lion(0.01, **k),
    "Lamb": lambda **k: optimizers.Lamb(0.01, **k),
    "Muon": lambda **k: optimizers.Muon(0.01, **k),
}
SHARED: dict[str, dict[str, Any]] = {
    "alone": {},
    "clipnorm": {"clipnorm": 0.2},
    "decay": {"weight_decay": 0.1},
    "mean": {"use_ema": True, "ema_overwrite_frequency": 2},
    "accumulated": {"gradient_accumulation_steps": 2},
    "all": {"global_clipnorm": 0.3, "use_ema": True, "gradient_accumulation_steps": 5, "loss_scale_factor": 8.0},
}


def test_every_optimizer_is_listed() -> None:
    assert {type(make()) for make in OPTIMIZERS.values()} == set(optimizers._CLASSES.values())


@pytest.mark.peers
@keras_runs
@pytest.mark.parametrize("shared", SHARED)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer(name: str, shared: str, keras: Any, tmp_path: Path) -> None:
    set_random_seed(0)
    model = Sequential([Input((3,)), Dense(4, "tanh"), BatchNormalization(), Dense(2)])
    model.compile(OPTIMIZERS[name](**SHARED[shared]), "mse")
    both_ways(keras, model, tmp_path)


HOT = np.eye(3, dtype=np.float32)[np.arange(12) % 3]
LABELS = np.arange(12) % 3


def classifier(loss: Any, metric: Any = None, optimizer: Any = "sgd") -> Sequential:
    set_random_seed(0)
    model = Sequential([Input((3,)), Dense(5, "tanh"), Dense(3, "softmax")])
    model.compile(optimizer, loss, metrics=None if metric is None else [metric])
    return model


def scores_alike(keras: Any, model: Sequential, path: Path, y: Any) -> None:
    """Keras, and nncore from what Keras makes of the file, give the same scores."""
    want = model.evaluate(X, y, verbose=0, return_dict=True)
    model.save(path)
    theirs = keras.models.load_model(path)
    found = theirs.evaluate(X, y, verbose=0, return_dict=True)
    assert set(found) == set(want)
    assert all(np.allclose(found[name], want[name], rtol=1e-5, atol=1e-5) for name in want)
    theirs.save(path)
    again = load_model(path)
    assert all(map(np.array_equal, again.evaluate(X, y, verbose=0, return_dict=True).values(), want.values()))


LOSSES = [*losses.CLASSES, *losses.ALIASES, "MSE", "MeanSquaredError", "meansquarederror"]
IN_H5 = [loss for loss in LOSSES if loss != "categorical_generalized_cross_entropy"]  # not found by Keras


@pytest.mark.parametrize("name, loss", [*(("m.keras", loss) for loss in LOSSES), *(("m.h5", loss) for loss in IN_H5)])
@pytest.mark.peers
@keras_runs
def test_every_loss(name: str, loss: str, keras: Any, tmp_path: Path) -> None:
    y = LABELS if loss.startswith("sparse") or "generalized" in loss else HOT
    scores_alike(keras, classifier(loss), tmp_path / name, y)
    scores_alike(keras, classifier(losses.get(loss)), tmp_path / name, y)


METRICS: dict[str, dict[str, Any]] = {
    "FBetaScore": {"beta": 2.0},
    "IoU": {"num_classes": 3, "target_class_ids": [0, 2], "sparse_y_pred": False},
    "MeanIoU": {"num_classes": 3, "sparse_y_pred": False},
    "BinaryIoU": {"threshold": 0.3},
    "OneHotIoU": {"num_classes": 3, "target_class_ids": [0, 2]},
    "OneHotMeanIoU": {"num_classes": 3},
    "PrecisionAtRecall": {"recall": 0.4, "num_thresholds": 20},
    "RecallAtPrecision": {"precision": 0.4, "num_thresholds": 20},
    "SensitivityAtSpecificity": {"specificity": 0.4, "num_thresholds": 20},
    "SpecificityAtSensitivity": {"sensitivity": 0.4, "num_thresholds": 20},
    "AUC": {"num_thresholds": 20, "curve": "PR"},
    "TopKCategoricalAccuracy": {"k": 2},
    "SparseTopKCategoricalAccuracy": {"k": 2},
}


@pytest.mark.parametrize("name", ["m.keras", "m.h5"])
@pytest.mark.parametrize("metric", [cls.__name__ for cls in metrics._CLASSES])
@pytest.mark.peers
@keras_runs
def test_every_metric(name: str, metric: str, keras: Any, tmp_path: Path) -> None:
    sparse = metric.startswith("Sparse") or metric in ("IoU", "MeanIoU")
    loss, y = ("sparse_categorical_crossentropy", LABELS) if sparse else ("categorical_crossentropy", HOT)
    made = getattr(metrics, metric)(**METRICS.get(metric, {}))
    scores_alike(keras, classifier(loss, made), tmp_path / name, y)


@pytest.mark.parametrize("name", ["m.keras", "m.h5"])
@pytest.mark.parametrize("metric", ["acc", "accuracy", "mse", "MAE", "meansquarederror", "AUC", "auc", "Recall"])
@pytest.mark.peers
@keras_runs
def test_names_of_metrics(name: str, metric: str, keras: Any, tmp_path: Path) -> None:
    model = classifier("crossentropy", metric)
    model.evaluate(X, HOT, verbose=0)
    model.save(tmp_path / name)
    theirs = keras.models.load_model(tmp_path / name)
    found, want = (m.evaluate(X, HOT, verbose=0) for m in (theirs, model))
    assert np.allclose(found, want, rtol=1e-5)


SCHEDULES = {
    "exponential": lambda: schedules.ExponentialDecay(0.1, 2, 0.5, staircase=True),
    "inverse time": lambda: schedules.InverseTimeDecay(0.1, 2, 0.5),
    "piecewise": lambda: schedules.PiecewiseConstantDecay([1, 4], [0.1, 0.05, 0.01]),
    "polynomial": lambda: schedules.PolynomialDecay(0.1, 5, power=2.0, cycle=True),
    "cosine": lambda: schedules.CosineDecay(0.01, 5, alpha=0.1, warmup_target=0.1, warmup_steps=2),
    "restarts": lambda: schedules.CosineDecayRestarts(0.1, 3, t_mul=2.0, m_mul=0.5),
}


def test_every_schedule_is_listed() -> None:
    listed = {type(make()) for make in SCHEDULES.values()}
    assert {cls for name in schedules.__all__ if isinstance(cls := getattr(schedules, name), type)} == listed | {
        Schedule
    }


@pytest.mark.parametrize("steps", [None, 2])
@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.peers
@keras_runs
def test_every_schedule(name: str, steps: int | None, keras: Any, tmp_path: Path) -> None:
    set_random_seed(0)
    model = Sequential([Input((3,)), Dense(4, "tanh"), Dense(2)])
    model.compile(optimizers.Adam(SCHEDULES[name](), gradient_accumulation_steps=steps), "mse")
    both_ways(keras, model, tmp_path)


def parts(family: Any, base: type) -> list[Any]:
    """An object of every class of a module of nncore, with other arguments than the usual where there are any."""
    made = {
        "Constant": {"value": 0.3}, "L1L2": {"l1": 0.1, "l2": 0.2}, "L1": {"l1": 0.3}, "L2": {"l2": 0.3},
        "OrthogonalRegularizer": {"factor": 0.1, "mode": "columns"}, "VarianceScaling": {"scale": 0.5, "seed": 3},
        "MaxNorm": {"max_value": 0.7, "axis": 1}, "MinMaxNorm": {"min_value": 0.2, "max_value": 0.7, "rate": 0.5},
        "Orthogonal": {"gain": 0.5}, "RandomNormal": {"stddev": 0.2, "seed": 1},
    }  # fmt: skip
    classes = {cls.__name__: cls for cls in vars(family).values() if isinstance(cls, type) and issubclass(cls, base)}
    public = [cls for name, cls in sorted(classes.items()) if cls is not base and not name.startswith("_")]
    return [cls(**made.get(cls.__name__, {})) for cls in public]


def same_part(one: Any, two: Any) -> None:
    """The same class and arguments, some of which Keras keeps as float32. (It loses the ``gain`` of ``Identity``.)"""
    assert type(one) is type(two)
    assert one.get_config() == {
        name: value if not isinstance(value, float) else pytest.approx(value, rel=1e-7)
        for name, value in two.get_config().items()
    }


@pytest.mark.peers
@keras_runs
@pytest.mark.parametrize("part", parts(initializers, initializers.Initializer), ids=lambda p: type(p).__name__)
def test_every_initializer(part: Any, keras: Any, tmp_path: Path) -> None:
    model = Sequential([Input((3,)), Dense(3, kernel_initializer=part), Dense(2)])
    model.compile("sgd", "mse")
    both_ways(keras, model, tmp_path)
    same_part(load_model(tmp_path / "two.keras").layers[0].kernel_initializer, part)


@pytest.mark.peers
@keras_runs
@pytest.mark.parametrize(
    "part",
    [*parts(regularizers, regularizers.Regularizer), *parts(constraints, constraints.Constraint)],
    ids=lambda p: type(p).__name__,
)
def test_every_regularizer_and_constraint(part: Any, keras: Any, tmp_path: Path) -> None:
    set_random_seed(0)
    kind = "regularizer" if isinstance(part, regularizers.Regularizer) else "constraint"
    model = Sequential([Input((3,)), Dense(4, **{f"kernel_{kind}": part}), Dense(2)])
    model.compile("sgd", "mse")
    both_ways(keras, model, tmp_path)
    same_part(getattr(load_model(tmp_path / "two.keras").layers[0], f"kernel_{kind}"), part)


@pytest.mark.peers
@keras_runs
@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("sparsemax", "glu")])
def test_every_activation(name: str, keras: Any, tmp_path: Path) -> None:
    set_random_seed(0)
    small = {"kernel_initializer": "random_normal"}  # of which exp is no large number
    model = Sequential([Input((3,)), Dense(6, **small), layers.Activation(name), Dense(4, name, **small), Dense(2)])
    model.compile(optimizers.SGD(1e-3), "mse")
    both_ways(keras, model, tmp_path)


@pytest.mark.peers
@keras_runs
@pytest.mark.parametrize("masked", [False, True])
def test_embeddings(masked: bool, keras: Any, tmp_path: Path) -> None:
    set_random_seed(0)
    ids = np.random.default_rng(0).integers(0, 7, (12, 4))
    model = Sequential([Input((4,), dtype="int32"), Embedding(7, 3, mask_zero=masked), Dense(2), Flatten(), Dense(2)])
    model.compile("adam", "mse")
    both_ways(keras, model, tmp_path, x=ids)
