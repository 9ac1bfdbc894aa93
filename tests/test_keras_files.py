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
from networks import network
from test_gradients import HIDDEN, NORMS

import nncore
from nncore import constraints, initializers, layers, losses, metrics, optimizers, regularizers
from nncore.layers import BatchNormalization, Dense, Dropout, Embedding, Flatten, Input, Layer
from nncore.models import Sequential, clone_model, load_model
from nncore.optimizers import schedules
from nncore.optimizers.schedules import LearningRateSchedule as Schedule
from nncore.saving import read_metadata, register_keras_serializable
from nncore.saving.keras_2 import modern
from nncore.utils import set_random_seed

GOLDEN = Path(__file__).parent / "golden"
CLASSIFIER = GOLDEN / "keras-classifier.keras"

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


@pytest.fixture(scope="module")
def keras() -> Any:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras as library

    return library


keras_runs = pytest.mark.filterwarnings(
    "error",
    "ignore:__array__ implementation doesn't accept:DeprecationWarning",  # torch's
    "ignore:Layer .* mask",
    "ignore:(?s).*softmax over axis",
)
"""Marks tests in which Keras must not warn of anything, such as an optimizer's variables that it skips."""


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


# Files that Keras wrote.


RECORDED = json.loads((GOLDEN / "keras-files.json").read_text())
FILES = ["keras-classifier.keras", "keras-classifier.h5", "keras-chain.keras", "keras-chain.h5"]


@pytest.mark.parametrize("name", FILES)
def test_models_that_keras_wrote(name: str, backend: str) -> None:
    """They predict and score as in Keras, and train on as there, from the optimizer's state."""
    recorded, x, y = RECORDED[name.partition(".")[0].removeprefix("keras-")], RECORDED["x"], RECORDED["y"]
    model = load_model(GOLDEN / name)
    assert np.allclose(model.predict(x, verbose=0), recorded["predictions"], rtol=1e-6, atol=1e-6)
    assert np.allclose(model.evaluate(x, y, verbose=0), recorded["evaluated"], rtol=1e-6)
    assert model.optimizer.steps == 3
    model.fit(x, y, batch_size=4, shuffle=False, verbose=0)
    for weight, want in zip(model.get_weights(), recorded["weights"], strict=True):
        assert np.allclose(weight, want, rtol=1e-5, atol=1e-6)  # of Keras's powers of beta in float32


def test_what_is_in_them() -> None:
    model = load_model(GOLDEN / "keras-classifier.keras")
    kinds = ["Normalization", "Dense", "PReLU", "Sequential", "Dropout", "Dense"]
    assert [type(layer).__name__ for layer in model.layers] == kinds
    dense = model.get_layer("mine")
    assert (dense.activation.__name__, dense.kernel_regularizer.l2) == ("gelu", pytest.approx(0.01))
    assert isinstance(model.layers[-1].kernel_constraint, constraints.MaxNorm)
    assert (model.loss.name, model.loss.label_smoothing) == ("categorical_crossentropy", 0.1)
    optimizer = model.optimizer
    assert (type(optimizer), optimizer.use_ema, optimizer.iterations) == (optimizers.RMSprop, True, 1)
    assert set(read_metadata(GOLDEN / "keras-classifier.keras")) == {"keras_version", "date_saved"}
    chain = load_model(GOLDEN / "keras-chain.keras")
    assert (chain.name, [layer.name for layer in chain.layers][-1]) == ("chain", "out")
    assert isinstance(chain.optimizer._learning_rate, schedules.ExponentialDecay)


@pytest.mark.parametrize("name", FILES)
def test_without_what_was_compiled(name: str) -> None:
    model = load_model(GOLDEN / name, compile=False)
    assert not model.compiled
    assert same(model.get_weights(), load_model(GOLDEN / name).get_weights())


@pytest.mark.parametrize("name", FILES)
def test_weights_of_them(name: str) -> None:
    one = load_model(GOLDEN / name)
    two = clone_model(one)
    two.load_weights(GOLDEN / name)
    assert same(one.get_weights(), two.get_weights())


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_what_is_written_is_laid_out_as_keras_does(suffix: str, tmp_path: Path) -> None:
    golden, own = GOLDEN / f"keras-classifier{suffix}", tmp_path / f"own{suffix}"
    load_model(golden).save(own)
    if suffix == ".keras":
        assert tree(own) == tree(golden)
    else:
        assert by_layer(own) == by_layer(golden)
    again = load_model(own)
    assert same(again.get_weights(), load_model(golden).get_weights())
    assert same(state(again), state(load_model(golden)))


def by_layer(path: Path) -> list[Any]:
    """The layers that a ``.h5`` lists, with the shapes and last names of their weights. (Keras's longer names say which
    model a layer was in when it was built.)"""
    with h5py.File(path) as file:
        root = file["model_weights"]
        return [
            (name, [(weight.split("/")[-1], root[name][weight].shape) for weight in root[name].attrs["weight_names"]])
            for name in [*root.attrs["layer_names"], "top_level_model_weights"]
        ]


# Keras 2.


def of_keras_2(config: dict[str, Any], **more: Any) -> dict[str, Any]:
    """What the configs of layers of Keras 2 have in common, without a module."""
    return {"trainable": True, "dtype": "float32", **config, **more}


GLOROT = {"class_name": "GlorotUniform", "config": {"seed": None}}
ZEROS, ONES = ({"class_name": name, "config": {}} for name in ("Zeros", "Ones"))
DENSE = {"activation": "linear", "use_bias": True, "kernel_initializer": GLOROT, "bias_initializer": ZEROS, **{
    f"{what}_{kind}": None for what in ("kernel", "bias", "activity") for kind in ("regularizer", "constraint")
    if (what, kind) != ("activity", "constraint")
}}  # fmt: skip
NORMALIZATION = {
    "axis": [1], "momentum": 0.99, "epsilon": 0.001, "center": True, "scale": True, "beta_initializer": ZEROS,
    "gamma_initializer": ONES, "moving_mean_initializer": ZEROS, "moving_variance_initializer": ONES,
    "beta_regularizer": None, "gamma_regularizer": None, "beta_constraint": None, "gamma_constraint": None,
}  # fmt: skip
LAYERS_2 = [
    {"class_name": "InputLayer", "config": {
        "batch_input_shape": [None, 4], "dtype": "float32", "sparse": False, "ragged": False, "name": "d1_input",
    }},
    {"class_name": "Dense", "config": of_keras_2(DENSE, name="d1", units=3, batch_input_shape=[None, 4])},
    {"class_name": "LeakyReLU", "config": of_keras_2({"name": "leaky", "alpha": 0.25})},
    {"class_name": "Sequential", "config": {"name": "inner", "layers": [
        {"class_name": "BatchNormalization", "config": of_keras_2(NORMALIZATION, name="bn")},
        {"class_name": "Dense", "config": of_keras_2(DENSE, name="d2", units=3, trainable=False)},
    ]}},
    {"class_name": "Dropout", "config": of_keras_2({"name": "drop", "rate": 0.5, "noise_shape": None, "seed": None})},
    {"class_name": "Dense", "config": of_keras_2({**DENSE, "activation": "softmax"}, name="d3", units=2)},
]  # fmt: skip
TRAINING_2 = {
    "loss": {"class_name": "SparseCategoricalCrossentropy", "config": {
        "reduction": "auto", "name": "sparse_categorical_crossentropy", "from_logits": False,
    }},
    "metrics": [[{"class_name": "MeanMetricWrapper", "config": {
        "name": "accuracy", "dtype": "float32", "fn": "sparse_categorical_accuracy",
    }}]],
    "weighted_metrics": None, "loss_weights": None, "sample_weight_mode": None,
    "optimizer_config": {"class_name": "Adam", "config": {
        "name": "Adam", "learning_rate": 0.002, "decay": 0.0, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-07,
        "amsgrad": False,
    }},
}  # fmt: skip
WEIGHTS_2: dict[str, dict[str, tuple[int, ...]]] = {
    "d1": {"d1/kernel:0": (4, 3), "d1/bias:0": (3,)},
    "leaky": {},
    "inner": {
        "bn/gamma:0": (3,), "bn/beta:0": (3,), "bn/moving_mean:0": (3,), "bn/moving_variance:0": (3,),
        "d2/kernel:0": (3, 3), "d2/bias:0": (3,),
    },
    "drop": {},
    "d3": {"d3/kernel:0": (3, 2), "d3/bias:0": (2,)},
}  # fmt: skip
"""A model as TensorFlow's Keras 2 describes it, and the weights in its file: in each layer the trainable ones first."""


def put_weights_2(group: Any) -> dict[str, Any]:
    """Write the weights as Keras 2 does; returns them by name."""
    rng, values = np.random.default_rng(0), {}
    group.attrs["layer_names"] = [name.encode() for name in WEIGHTS_2]
    group.attrs["backend"], group.attrs["keras_version"] = b"tensorflow", b"2.4.0"
    for layer, weights in WEIGHTS_2.items():
        inner = group.create_group(layer)
        inner.attrs["weight_names"] = [name.encode() for name in weights]
        for name, shape in weights.items():
            values[name] = inner[name] = rng.random(shape).astype(np.float32) + 0.1
    return values


def file_of_keras_2(path: Path, config: Any = None, training: Any = TRAINING_2, steps: int = 0) -> dict[str, Any]:
    """Write a whole model; returns the weights by name."""
    with h5py.File(path, "w") as file:
        described = {"name": "two", "layers": LAYERS_2} if config is None else config
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": described}).encode()
        file.attrs["training_config"] = json.dumps(training).encode()
        file.attrs["backend"], file.attrs["keras_version"] = b"tensorflow", b"2.4.0"
        values = put_weights_2(file.create_group("model_weights"))
        state = file.create_group("optimizer_weights")
        state.attrs["weight_names"] = [b"Adam/iter:0", b"Adam/d1/kernel/m:0"]
        state["Adam/iter:0"], state["Adam/d1/kernel/m:0"] = np.int64(steps), np.zeros((4, 3), np.float32)
        return values


def predicted_2(w: dict[str, Any], x: Any) -> Any:
    """What that model computes."""
    x = x @ w["d1/kernel:0"] + w["d1/bias:0"]
    x = np.where(x > 0, x, 0.25 * x)
    x = (x - w["bn/moving_mean:0"]) / np.sqrt(w["bn/moving_variance:0"] + 0.001) * w["bn/gamma:0"] + w["bn/beta:0"]
    x = (x @ w["d2/kernel:0"] + w["d2/bias:0"]) @ w["d3/kernel:0"] + w["d3/bias:0"]
    return np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)


X_2 = np.random.default_rng(2).normal(size=(6, 4))


def test_a_model_of_keras_2(tmp_path: Path) -> None:
    weights = file_of_keras_2(tmp_path / "m.h5")
    model = load_model(tmp_path / "m.h5")
    assert np.allclose(model.predict(X_2, verbose=0), predicted_2(weights, X_2), rtol=1e-5)
    assert [v.trainable for v in model.layers[2].layers[1].weights] == [False, False]
    assert (model.optimizer.learning_rate, model.optimizer.steps) == (pytest.approx(0.002), 0)
    assert set(model.evaluate(X_2, np.arange(6) % 2, verbose=0, return_dict=True)) == {"loss", "accuracy"}
    model.save(tmp_path / "again.h5")
    assert same(load_model(tmp_path / "again.h5").get_weights(), model.get_weights())


def test_the_state_of_keras_2_is_not_read(tmp_path: Path) -> None:
    file_of_keras_2(tmp_path / "m.h5", steps=7)
    with pytest.warns(UserWarning, match="the optimizer's state in the file is that of Keras 2"):
        assert load_model(tmp_path / "m.h5").optimizer.steps == 0


@pytest.mark.parametrize("name", ["w.h5", "w.hdf5", "w.weights.h5"])
def test_weights_of_keras_2(name: str, tmp_path: Path) -> None:
    with h5py.File(tmp_path / name, "w") as file:
        weights = put_weights_2(file)
    file_of_keras_2(tmp_path / "m.h5")
    model = load_model(tmp_path / "m.h5")
    model.set_weights([w * 0 for w in model.get_weights()])
    model.load_weights(tmp_path / name)
    assert np.allclose(model.predict(X_2, verbose=0), predicted_2(weights, X_2), rtol=1e-5)


def test_an_archive_with_words_of_keras_2(tmp_path: Path) -> None:
    """As TensorFlow's Keras 2.13 to 2.15 write them into ``.keras``."""
    model = trained()
    model.save(tmp_path / "m.keras")

    def older(config: dict[str, Any]) -> None:
        inputs = config["config"]["layers"][0]["config"]
        inputs["batch_input_shape"] = inputs.pop("batch_shape")
        config["config"]["layers"][3]["config"]["layers"][-1]["config"]["axis"] = [1]
        config["compile_config"]["optimizer"]["config"].update(jit_compile=True, is_legacy_optimizer=False)

    path = changed(tmp_path / "old.keras", older, tmp_path / "m.keras")
    again = load_model(path)
    assert same(again.get_weights(), model.get_weights())
    assert same(state(again), state(model))


@pytest.mark.parametrize(
    "optimizer, check",
    [
        (
            {"class_name": "SGD", "config": {"lr": 0.5, "decay": 0.1, "momentum": 0.9, "nesterov": True}},
            lambda o: np.allclose(o.learning_rates(0, 3), 0.5 / (1 + 0.1 * np.arange(3))) and o.nesterov,
        ),
        (
            {"class_name": "Custom>RMSprop", "config": {
                "name": "RMSprop", "weight_decay": None, "jit_compile": True, "is_legacy_optimizer": False,
                "learning_rate": 0.01, "rho": 0.8, "momentum": 0.0, "epsilon": 1e-07, "centered": False,
            }},
            lambda o: (type(o), o.rho) == (optimizers.RMSprop, 0.8),
        ),
        (
            {"class_name": "Adagrad", "config": {"lr": 0.01, "epsilon": None, "decay": 0.0}},
            lambda o: o.epsilon == 1e-7,
        ),
        (
            {"class_name": "Adam", "config": {"name": "Adam", "learning_rate": {
                "class_name": "ExponentialDecay",
                "config": {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5, "staircase": False,
                           "name": None},
            }, "decay": 0.0}},
            lambda o: isinstance(o._learning_rate, schedules.ExponentialDecay),
        ),
    ],
)  # fmt: skip
def test_optimizers_of_keras_2(optimizer: dict[str, Any], check: Callable[[Any], bool], tmp_path: Path) -> None:
    file_of_keras_2(tmp_path / "m.h5", training={**TRAINING_2, "loss": "mse", "optimizer_config": optimizer})
    assert check(load_model(tmp_path / "m.h5").optimizer)


def test_the_oldest_models(tmp_path: Path) -> None:
    """Once the config of a model was the list of its layers, the first of which knew the input, and initializers had a
    dtype. Keras 3 reads neither."""
    text = json.dumps(LAYERS_2[1:]).replace('{"seed": null}', '{"seed": null, "dtype": "float32"}')
    config = json.loads(text.replace('"config": {}', '"config": {"dtype": "float32"}'))
    weights = file_of_keras_2(tmp_path / "m.h5", config=config)
    model = load_model(tmp_path / "m.h5")
    assert np.allclose(model.predict(X_2, verbose=0), predicted_2(weights, X_2), rtol=1e-5)


def test_configs_of_keras_3_stay_as_they_are() -> None:
    configs = json.loads((GOLDEN / "keras-configs.json").read_text())
    for name, config in configs["classes"].items():
        if not name.endswith(".Identity"):  # the layer has a dtype, which means nothing, and initializers had one
            assert modern(config) == config, name


@pytest.mark.peers
@pytest.mark.filterwarnings("default")
def test_keras_3_reads_it_alike(keras: Any, tmp_path: Path) -> None:
    """The model above is one that Keras 3 takes for one of Keras 2."""
    weights = file_of_keras_2(tmp_path / "m.h5")
    theirs = keras.models.load_model(tmp_path / "m.h5", compile=False)
    assert np.allclose(theirs.predict(X_2, verbose=0), predicted_2(weights, X_2), rtol=1e-5)


# What cannot be read.


def changed(path: Path, change: Callable[[dict[str, Any]], Any], good: Path = CLASSIFIER) -> Path:
    """A file in which ``change`` has changed the config."""
    with zipfile.ZipFile(good) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(parts["config.json"])
    change(config)
    parts["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return path


def put(config: dict[str, Any], *path: Any, value: Any) -> None:
    """Set what is at the end of a path."""
    for key in path[:-1]:
        config = config[key]
    config[path[-1]] = value


SEED = {"module": "keras.random", "class_name": "SeedGenerator", "config": {"seed": 1, "name": "seed_generator"}}


@pytest.mark.parametrize(
    "path, value",
    [
        (("config", "layers", 0, "config", "batch_shape"), [12, 4]),
        (("config", "build_input_shape"), [12, 4]),
        (("config", "layers", 2, "build_config", "input_shape"), [12, 4]),
        (("config", "layers", 2, "config", "kernel_initializer", "config", "seed"), SEED),
        (("compile_config", "loss"), ["categorical_crossentropy"]),
        (("compile_config", "loss"), {"dense_1": "categorical_crossentropy"}),
        (("compile_config", "loss_weights"), 1.0),
        (("compile_config", "loss_weights"), {"dense_1": 1.0}),
        (("compile_config", "metrics"), [["accuracy"]]),
        (("compile_config", "metrics"), {"dense_1": ["accuracy"]}),
        (("compile_config", "steps_per_execution"), 4),
    ],
)
def test_what_keras_may_say_as_well(path: tuple[Any, ...], value: Any, tmp_path: Path) -> None:
    """Rows of a batch, generators of seeds, dicts and lists of outputs, though there is one."""
    model = load_model(changed(tmp_path / "m.keras", lambda config: put(config, *path, value=value)))
    x, y = RECORDED["x"], RECORDED["y"]
    assert np.allclose(model.predict(x, verbose=0), RECORDED["classifier"]["predictions"], rtol=1e-6, atol=1e-6)
    assert model.optimizer.steps == 3
    assert "accuracy" in model.evaluate(x, y, verbose=0, return_dict=True)


def test_compiled_without_a_loss(tmp_path: Path) -> None:
    path = changed(tmp_path / "m.keras", lambda config: put(config, "compile_config", "loss", value=None))
    with pytest.warns(UserWarning, match="was compiled without a loss, and is not compiled here"):
        assert not load_model(path).compiled
    assert not load_model(path, compile=False).compiled


@pytest.mark.parametrize(
    "change, message",
    [
        (
            lambda c: c["config"]["layers"][2].update(class_name="Conv1D"),
            r"Layer 1, 'mine' of class 'Conv1D': Unknown layer class: 'Conv1D'",
        ),
        (
            lambda c: c["config"]["layers"][4]["config"]["layers"][2].update(class_name="LSTM"),
            r"Layer 3, 'inner' of class 'Sequential': Layer 1, 'batch_normalization' of class 'LSTM': Unknown layer",
        ),
        (
            lambda c: c["config"]["layers"][2]["config"].update(units=6),
            r"the weight 'dense_1/kernel' of shape \(4, 3\) has 12 values, and the file's arrays hold only 10",
        ),
        (lambda c: c["config"]["layers"].pop(), "is no weight of the model"),
        (
            lambda c: c["config"]["layers"][2]["config"]["dtype"]["config"].update(name="mixed_bfloat16"),
            "Layer 1, 'mine' of class 'Dense': Dense: dtype must be 'float32'",
        ),
        (
            lambda c: c["compile_config"]["optimizer"].update(class_name="Mine"),
            "it cannot be compiled as it was, which compile=False leaves out: Unknown optimizer: 'Mine'",
        ),
        (lambda c: c["compile_config"].update(loss="mine"), "Unknown loss: 'mine'"),
        (lambda c: c.update(class_name="Mine", registered_name="Custom>Mine"), "Unknown model class: 'Mine'"),
        (lambda c: c["config"].pop("layers"), "layers"),
        (lambda c: c.clear(), "describes no model"),
    ],
)
def test_models_that_are_not_nncore_s(change: Callable[[Any], Any], message: str, tmp_path: Path) -> None:
    path = changed(tmp_path / "m.keras", change)
    with pytest.raises(ValueError, match=f"load_model: .*m.keras.*{message}"):
        load_model(path)


W = "layers/dense/vars/0"
"""The first weight of a file, in whose place something else is put."""


def in_a_layout_of_others(file: h5py.File) -> Any:
    layout = h5py.VirtualLayout((3, 4), "f4")
    layout[:] = h5py.VirtualSource("elsewhere.h5", "x", (3, 4))
    return file.create_virtual_dataset(W, layout)


@pytest.mark.parametrize(
    "put, message",
    [
        (lambda f: f.__setitem__(W, h5py.ExternalLink("elsewhere.h5", "x")), f"there is no '{W}'"),
        (lambda f: f.__setitem__(W, h5py.SoftLink("/layers/dense_1/vars/0")), f"there is no '{W}'"),
        (in_a_layout_of_others, f"the values of '{W}' are in another file"),
        (
            lambda f: f.create_dataset(W, (3, 4), "f4", external=[("elsewhere", 0, 48)]),
            f"the values of '{W}' are in another file",
        ),
        (lambda f: f.create_dataset(W, (10**6, 10**6), "f4"), "times the file's size"),
        (lambda f: f.create_dataset(W, (10**9,), "f4", chunks=(10**6,), compression="gzip"), "times the file's size"),
        (lambda f: f.create_dataset(W, data=["text"]), "holds no numbers that nncore has"),
        (
            lambda f: f.create_dataset(W, data=np.zeros((3, 4), "u2")).attrs.create("dtype", "bfloat16"),
            "holds no numbers that nncore has: bfloat16",
        ),
    ],
)
def test_files_that_lead_elsewhere(put: Callable[[h5py.File], Any], message: str, tmp_path: Path) -> None:
    """Links, arrays in other files and without end, and what are no numbers."""
    path, model = tmp_path / "w.weights.h5", example()
    model.save_weights(path)
    (tmp_path / "elsewhere").write_bytes(bytes(48))
    with h5py.File(tmp_path / "elsewhere.h5", "w") as file:
        file["x"] = np.zeros((3, 4), np.float32)
    with h5py.File(path, "r+") as file:
        del file[W]
        put(file)
    before = model.get_weights()
    with pytest.raises(ValueError, match=message):
        model.load_weights(path)
    assert same(model.get_weights(), before)


@pytest.mark.parametrize("name", FILES)
def test_files_that_are_cut(name: str, tmp_path: Path) -> None:
    whole, path, model = (GOLDEN / name).read_bytes(), tmp_path / name, example()
    before = model.get_weights()
    for cut in (0, 10, len(whole) // 3, len(whole) - 100):
        path.write_bytes(whole[:cut])
        for call in (load_model, read_metadata, model.load_weights):
            with pytest.raises(ValueError, match="is damaged, or is no file of"):
                call(path)
    assert same(model.get_weights(), before)


def test_a_state_of_other_weights(tmp_path: Path) -> None:
    """As Keras leaves it where layers were frozen after training, and nothing was compiled."""
    path = changed(tmp_path / "m.keras", lambda c: c["config"]["layers"][2]["config"].update(trainable=False))
    with pytest.warns(UserWarning, match="or of other weights than those that are trainable"):
        model = load_model(path)
    assert model.optimizer.steps == 0


# With Keras.


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
"""What divides differences of two or three values by their deviation, some 1/30 at least: an ulp becomes 30 of them."""


@pytest.mark.peers
@keras_runs
@pytest.mark.parametrize("name", STACKS)
def test_every_layer(name: str, keras: Any, tmp_path: Path) -> None:
    set_random_seed(0)
    model = Sequential([Input((3,)), *STACKS[name](), Flatten(), Dense(2)])
    model.compile(optimizers.Adam(0.01, epsilon=1e-3), "mse")
    random = any("Drop" in kind or "Noise" in kind for kind in (type(layer).__name__ for layer in model.layers))
    both_ways(keras, model, tmp_path, random=random, rounding=3e-5 if name in FEW_VALUES else 1e-6)


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


NOT_IN_H5 = ("noise shapes",)
"""Keras 3.15 cannot write these itself: it copies a config that holds a module of Python's."""


@pytest.mark.peers
@keras_runs
@pytest.mark.parametrize("name", [name for name in STACKS if name not in NOT_IN_H5])
def test_every_layer_in_h5(name: str, keras: Any, tmp_path: Path) -> None:
    set_random_seed(0)
    model = Sequential([Input((3,)), *STACKS[name](), Flatten(), Dense(2)])
    model.compile("adam", "mse", metrics=["mae"])
    rounding = 3e-5 if name in FEW_VALUES else 1e-6
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "one.h5")
    theirs = keras.models.load_model(tmp_path / "one.h5")
    assert same(theirs.get_weights(), model.get_weights())
    assert distance(predictions(theirs, X), predictions(model, X)) <= rounding
    theirs.fit(X, Y, verbose=0)
    theirs.save(tmp_path / "two.h5")
    again = load_model(tmp_path / "two.h5")
    assert same(again.get_weights(), theirs.get_weights())
    assert same(state(again)[2:], keras_state(theirs)[2:])
    assert distance(predictions(again, X), predictions(theirs, X)) <= rounding


@pytest.mark.peers
@keras_runs
def test_keras_gets_no_state_out_of_h5(keras: Any, tmp_path: Path) -> None:
    """Its own files leave an optimizer that cannot train. With nncore's, training begins anew; see ``legacy.py``."""
    trained().save(tmp_path / "m.h5")
    theirs = keras.models.load_model(tmp_path / "m.h5")
    theirs.fit(X, Y, verbose=0)
    theirs.save(tmp_path / "m.h5")
    lost = keras.models.load_model(tmp_path / "m.h5")
    with pytest.raises(ValueError, match="Unknown variable"):
        lost.fit(X, Y, verbose=0)
    assert load_model(tmp_path / "m.h5").optimizer.steps == 1


@pytest.mark.peers
@keras_runs
@pytest.mark.parametrize("name", ["w.weights.h5", "w.h5", "m.keras"])
def test_weights_alone(name: str, keras: Any, tmp_path: Path) -> None:
    model, path = trained(), tmp_path / name
    if name == "m.keras":
        model.save(path)
    else:
        model.save_weights(path)
    theirs = keras.models.model_from_json(json.dumps({**json.loads(model.to_json()), "compile_config": None}))
    theirs.load_weights(path)
    assert same(theirs.get_weights(), model.get_weights())
    theirs.compile("adam", "mse")
    theirs.fit(X, Y, verbose=0)
    if name == "w.weights.h5":  # Keras writes weights alone in this layout only; the optimizer's are among them
        theirs.save_weights(path)
    else:
        theirs.save(path)
    assert not same(theirs.get_weights(), model.get_weights())
    model.load_weights(path)
    assert same(theirs.get_weights(), model.get_weights())


@pytest.mark.peers
@keras_runs
@pytest.mark.parametrize("name", ["m.keras", "m.h5"])
def test_before_the_first_step(name: str, keras: Any, tmp_path: Path) -> None:
    """Compiled and not trained; neither side warns."""
    model = example()
    model.compile("adam", "mse")
    model.save(tmp_path / name)
    theirs = keras.models.load_model(tmp_path / name)
    assert same(theirs.get_weights(), model.get_weights())
    fresh = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2)])
    fresh.compile("adam", "mse")
    for one in (theirs, fresh):
        one.save(tmp_path / name)
        again = load_model(tmp_path / name)
        assert same(again.get_weights(), one.get_weights())
        assert again.optimizer.steps == 0
        again.fit(X, Y, verbose=0)


@pytest.mark.peers
@keras_runs
def test_frozen_after_training(keras: Any, tmp_path: Path) -> None:
    """Keras gets the state of the weights that are trainable now; nncore finds that of the others as well."""
    model = trained()
    model.get_layer("mine").trainable = False
    model.save(tmp_path / "m.keras")
    theirs = keras.models.load_model(tmp_path / "m.keras")
    assert int(theirs.optimizer.iterations) == 3
    assert np.any(keras_state(theirs)[2])
    again = load_model(tmp_path / "m.keras")
    for one in (model, again):
        one.get_layer("mine").trainable = True
        set_random_seed(1)
        one.fit(X, Y, verbose=0)
    assert same(again.get_weights(), model.get_weights())


@pytest.mark.peers
@keras_runs
@pytest.mark.parametrize("name", ["m.keras", "m.h5"])
def test_layers_of_one_s_own(name: str, keras: Any, tmp_path: Path) -> None:
    """A layer is known by the name it is registered under, in either library."""

    def scale(base: Any, register: Any) -> Any:
        class Scale(base):  # type: ignore[misc]
            def __init__(self, power: int = 1, **kwargs: Any) -> None:
                super().__init__(**kwargs)
                self.power = power

            def build(self, input_shape: Any) -> None:
                self.factor = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="factor")

            def call(self, inputs: Any) -> Any:
                return inputs * self.factor * self.power

            def get_config(self) -> dict[str, Any]:
                return {**super().get_config(), "power": self.power}

        return register("KerasFiles")(Scale)

    ours = scale(Layer, register_keras_serializable)
    scale(keras.layers.Layer, keras.saving.register_keras_serializable)
    set_random_seed(0)
    model = Sequential([Input((3,)), Dense(4), ours(power=2), Dense(2)])
    model.compile("adam", "mse")
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / name)
    theirs = keras.models.load_model(tmp_path / name)
    assert distance(predictions(theirs, X), predictions(model, X)) <= 1e-6
    theirs.save(tmp_path / name)
    again = load_model(tmp_path / name)
    assert (type(again.layers[1]), again.layers[1].power) == (ours, 2)
    assert same(predictions(again, X), predictions(model, X))


@pytest.mark.peers
@keras_runs
@pytest.mark.parametrize("name", ["m.keras", "m.h5"])
@pytest.mark.parametrize("how", ["batch_size", "called", "fitted"])
def test_inputs_of_keras_s(how: str, name: str, keras: Any, tmp_path: Path) -> None:
    """Models that know the rows of a batch, or learnt of their input from data."""
    known = [keras.layers.Input((3,), batch_size=4)] if how == "batch_size" else []
    theirs = keras.Sequential([*known, keras.layers.Dense(4, "relu"), keras.layers.Dense(2)])
    theirs.compile("adam", "mean_squared_error", metrics=[keras.losses.Huber(0.5)])
    if how == "called":
        theirs(X)
    else:
        theirs.fit(X, Y, batch_size=4, verbose=0)
    theirs.save(tmp_path / name)
    model = load_model(tmp_path / name)
    assert distance([model.predict(X, verbose=0)], [theirs.predict(X, batch_size=4, verbose=0)]) <= 1e-6
    assert model.optimizer.steps == (0 if how == "called" else 3)


@pytest.mark.peers
@keras_runs
@pytest.mark.parametrize("number", range(60))
def test_random_networks(number: int, keras: Any, tmp_path: Path) -> None:
    """Those on which both libraries train alike, through files."""
    drawn = network(number, noise=False)
    model = drawn.model(nncore)
    model.fit(drawn.x, drawn.y, verbose=0, **drawn.fit)
    model.save(tmp_path / "one.keras")
    theirs = keras.models.load_model(tmp_path / "one.keras")
    assert same(theirs.get_weights(), model.get_weights()), drawn
    assert same(keras_state(theirs), state(model)), drawn
    assert distance(predictions(theirs, drawn.x), predictions(model, drawn.x)) <= 3e-5, drawn  # see FEW_VALUES
    theirs.save(tmp_path / "two.keras")
    again = load_model(tmp_path / "two.keras")
    assert same(predictions(again, drawn.x), predictions(model, drawn.x)), drawn
    assert again.optimizer.steps == model.optimizer.steps
