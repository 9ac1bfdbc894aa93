"""Objects to configs in Keras's form and back: every public class, Keras's own configs, and classes of the user's."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nncore import activations, initializers, layers, losses, metrics, optimizers, saving, serialization, utils
from nncore.initializers import Initializer
from nncore.layers import Dense, Input, Layer
from nncore.losses import Loss
from nncore.metrics import Mean, Metric
from nncore.models import Sequential, clone_model, model_from_json
from nncore.names import reset_names
from nncore.optimizers import SGD, schedules
from nncore.optimizers.schedules import LearningRateSchedule
from nncore.saving import (
    custom_object_scope,
    deserialize_keras_object,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
    serialize_keras_object,
)
from nncore.serialization import FAMILIES

GOLDEN = json.loads((Path(__file__).parent / "golden" / "keras-configs.json").read_text())
"""What Keras 3.15.1 writes."""

BASES = (
    "Layer", "Loss", "Metric", "Optimizer", "LearningRateSchedule", "Initializer", "Regularizer", "Constraint",
)  # fmt: skip
"""Classes that are there to be subclassed."""


def public_classes() -> dict[str, type]:
    """Every public class that has a config, by family and name."""
    found = {}
    for family in FAMILIES:
        module = sys.modules.get(f"nncore.{family}")
        for name, thing in vars(module).items() if module else ():
            listed = getattr(module, "__all__", [name])
            if isinstance(thing, type) and hasattr(thing, "get_config") and name in listed and name[0].isupper():
                found[f"{family}.{name}"] = thing
    return {key: cls for key, cls in found.items() if cls.__name__ not in BASES and "Sequential" not in key}


CLASSES = public_classes()


def arguments(cls: type) -> dict[str, Any]:
    """The required arguments of a class."""
    parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]  # type: ignore[misc]
    needed = [p for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    if cls.__name__ == "InputLayer":
        return {"shape": (4,)}
    known = {**GOLDEN["arguments"], "fn": losses.mean_squared_error, "function": activations.relu}
    known["layer"] = layers.Dense(3, name="inner")
    return {p.name: known[p.name] for p in needed}


def through_json(thing: Any) -> Any:
    return deserialize_keras_object(json.loads(json.dumps(serialize_keras_object(thing))))


def test_there_are_classes() -> None:
    assert {"layers.Dense", "losses.MeanSquaredError", "metrics.Mean", "optimizers.Adam"} <= set(CLASSES)
    assert {"optimizers.schedules.CosineDecay", "initializers.GlorotUniform"} <= set(CLASSES)


@pytest.mark.parametrize("key", CLASSES)
def test_every_class_goes_there_and_back(key: str) -> None:
    made = CLASSES[key](**arguments(CLASSES[key]))
    again = through_json(made)
    assert type(again) is CLASSES[key]
    assert again.get_config() == made.get_config()
    config = serialize_keras_object(made)
    assert config["registered_name"] is None
    assert config["module"] == f"keras.{key.rpartition('.')[0]}"


@pytest.mark.parametrize("key", CLASSES)
def test_no_argument_gets_lost_on_the_way(key: str) -> None:
    """Every number and switch of a config, changed, is changed in the object made of it."""
    cls, changed = CLASSES[key], 0
    config = cls(**arguments(cls)).get_config()
    for name, value in config.items():
        other = (not value) if isinstance(value, bool) else 0.25 if isinstance(value, float) else value
        if other is value or (cls.__name__ == "CosineDecayRestarts" and name == "t_mul"):
            continue
        try:
            made = cls.from_config({**config, name: other})
        except ValueError:
            continue  # not all arguments go with one another
        changed += 1
        assert made.get_config()[name] == other, name
    assert changed or not any(isinstance(v, bool | float) for v in config.values())


def comparable(config: Any) -> Any:
    """A config with dtypes as names and without what nncore may leave out."""
    if isinstance(config, Mapping):
        if config.get("class_name") == "DTypePolicy":
            return config["config"]["name"]
        return {k: comparable(v) for k, v in config.items() if k not in ("build_config", "shared_object_id")}
    return [comparable(v) for v in config] if isinstance(config, list) else config


def check_against_keras(own: Any, keras: Any, where: str = "") -> None:
    """Whatever ``own`` says, Keras says too."""
    if isinstance(own, dict) and isinstance(keras, dict):
        for name, value in own.items():
            assert name in keras, f"{where}.{name}: {value!r} is not in Keras's config"
            check_against_keras(value, keras[name], f"{where}.{name}")
    elif isinstance(own, list) and isinstance(keras, list) and len(own) == len(keras):
        for i, pair in enumerate(zip(own, keras, strict=True)):
            check_against_keras(*pair, f"{where}[{i}]")
    elif isinstance(own, float) and isinstance(keras, float):
        assert np.float32(own) == np.float32(keras), f"{where}: {own!r}, Keras has {keras!r}"
    else:
        assert own == keras, f"{where}: {own!r}, Keras has {keras!r}"


DIFFERENT = {
    "initializers.Identity": "Keras's config forgets the gain",
    "initializers.IdentityInitializer": "Keras's config forgets the gain",
    "metrics.CosineSimilarity": "Keras's config forgets the axis",
}
"""Classes whose configs cannot be Keras's, and why."""


@pytest.mark.parametrize("key", sorted(set(CLASSES) & set(GOLDEN["classes"]) - set(DIFFERENT)))
def test_configs_are_keras_s(key: str) -> None:
    """Keys and values of a default object; Keras's config, with all its keys, makes an equal object."""
    reset_names()
    keras = comparable(GOLDEN["classes"][key])
    own = comparable(json.loads(json.dumps(serialize_keras_object(CLASSES[key](**arguments(CLASSES[key]))))))
    if key.startswith("optimizers."):
        keras["module"], keras["registered_name"] = own["module"], None  # Keras names its backend's class here
    check_against_keras(own, keras, key)
    again = deserialize_keras_object(GOLDEN["classes"][key])
    check_against_keras(comparable(json.loads(json.dumps(serialize_keras_object(again)))), own, key)


@pytest.mark.parametrize("name", GOLDEN["models"])
def test_models_that_keras_wrote(name: str) -> None:
    text = json.dumps(GOLDEN["models"][name])
    model = model_from_json(text)
    assert model.name == name
    assert model.built is (name != "unbuilt")
    assert model.compiled is (name != "unbuilt")
    own, keras = (comparable(json.loads(t)) for t in (model.to_json(), text))
    for config in (own, keras):
        compiled = config.get("compile_config")
        if compiled:
            compiled["optimizer"] |= {"module": None, "registered_name": None}
            compiled["jit_compile"] = None
    check_against_keras(own, keras, name)
    assert model_from_json(model.to_json()).to_json() == model.to_json()


# What is the user's own.


class Twice(Layer):
    """A layer at the top of a module: configs find it there."""

    def call(self, inputs: Any) -> Any:
        return 2 * inputs


def locals_of_a_user() -> dict[str, Any]:
    class Thirds(LearningRateSchedule):
        def __call__(self, step: Any) -> float:
            return 1 / (3 + step)

        def get_config(self) -> dict[str, Any]:
            return {}

    class Halves(Initializer):
        def __call__(self, shape: Any, dtype: Any = None) -> Any:
            return np.full(shape, 0.5, dtype or "float32")

    class Plus(Layer):
        def __init__(self, amount: float = 1.0, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.amount = amount

        def call(self, inputs: Any) -> Any:
            return inputs + self.amount

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "amount": self.amount}

    class Own(losses.MeanSquaredError):
        pass

    class Score(metrics.MeanSquaredError):
        pass

    return {c.__name__: c for c in (Thirds, Halves, Plus, Own, Score)}


def own_model(own: dict[str, Any]) -> Sequential:
    model = Sequential([Input((3,)), Dense(2, kernel_initializer=own["Halves"]()), own["Plus"](4.0)])
    model.compile(SGD(own["Thirds"]()), own["Own"](), metrics=[own["Score"](), "mae"])
    return model


def check_own(model: Sequential, own: dict[str, Any]) -> None:
    assert type(model.layers[1]) is own["Plus"]
    assert np.array_equal(model.predict(np.ones((2, 3)), verbose=0), np.full((2, 2), 5.5))
    assert type(model.optimizer._learning_rate) is own["Thirds"]
    assert type(model.loss) is own["Own"]
    model.evaluate(np.ones((2, 3)), np.ones((2, 2)), verbose=0)
    assert type(model.metrics[0]) is own["Score"]


def test_custom_objects_are_found_everywhere() -> None:
    own = locals_of_a_user()
    text = own_model(own).to_json()
    check_own(model_from_json(text, custom_objects=own), own)
    with custom_object_scope(own):
        check_own(model_from_json(text), own)
        assert type(model_from_json(text).layers[1]) is own["Plus"]
        assert type(initializers.get("Halves")) is own["Halves"]
        assert type(Dense(2, kernel_initializer="Halves").kernel_initializer) is own["Halves"]
        assert type(losses.get("Own")) is own["Own"]
        assert type(metrics.get("Score")) is own["Score"]
    with pytest.raises(ValueError, match=r"Unknown .*: '(Halves|Plus)'"):
        model_from_json(text)


def test_custom_objects_of_from_config() -> None:
    own = locals_of_a_user()
    model = own_model(own)
    again = Sequential.from_config(model.get_config(), custom_objects=own)
    assert type(again.layers[0].kernel_initializer) is own["Halves"]
    sgd = optimizers.deserialize(optimizers.serialize(model.optimizer), custom_objects=own)
    assert type(sgd._learning_rate) is own["Thirds"]
    assert type(losses.deserialize(losses.serialize(model.loss), own)) is own["Own"]
    assert type(schedules.deserialize(schedules.serialize(own["Thirds"]()), own)) is own["Thirds"]


def test_classes_of_imported_modules_are_found() -> None:
    config = serialize_keras_object(Twice())
    assert config["module"] == __name__
    assert config["registered_name"] == "Twice"
    assert type(deserialize_keras_object(config)) is Twice


def test_no_module_is_imported_and_no_foreign_class_made() -> None:
    for module, name in (("turtle", "Turtle"), ("subprocess", "Popen"), ("os", "system"), ("pathlib", "Path")):
        config = {"module": module, "class_name": name, "config": {}, "registered_name": name}
        with pytest.raises(ValueError, match=f"Unknown .*'{name}'"):
            deserialize_keras_object(config)
    assert "turtle" not in sys.modules
    with pytest.raises(ValueError, match="Unknown activation: 'unknown_name'"):
        activations.deserialize({"class_name": "function", "config": "unknown_name"})


@pytest.fixture
def registry() -> Iterator[dict[str, Any]]:
    """The registered objects, as they were afterwards."""
    objects = get_custom_objects()
    before = dict(objects)
    yield objects
    objects.clear()
    objects.update(before)


def test_registered_classes(registry: dict[str, Any]) -> None:
    @register_keras_serializable("mine")
    class Plus(Layer):
        def call(self, inputs: Any) -> Any:
            return inputs + 1

    @register_keras_serializable(name="other")
    def named(x: Any) -> Any:
        return x

    assert get_registered_name(Plus) == "mine>Plus"
    assert get_registered_object("mine>Plus") is Plus
    assert registry["Custom>other"] is named
    assert get_registered_name(Dense) == "Dense"
    config = serialize_keras_object(Plus())
    assert config["registered_name"] == "mine>Plus"
    assert type(deserialize_keras_object({**config, "module": None})) is Plus
    assert serialize_keras_object(named)["config"] == "Custom>other"
    assert deserialize_keras_object(serialize_keras_object(named)) is named
    text = Sequential([Input((2,)), Plus()]).to_json()
    assert np.array_equal(model_from_json(text).predict(np.zeros((1, 2)), verbose=0), np.ones((1, 2)))


def test_scopes_add_up_and_end() -> None:
    with custom_object_scope({"a": 1}):
        with utils.CustomObjectScope({"b": 2}):
            assert (get_registered_object("a"), get_registered_object("b")) == (1, 2)
        assert get_registered_object("b") is None
    assert get_registered_object("a", {"a": 3}) == 3
    assert get_registered_object("a", None, {"a": 4}) == 4
    assert get_registered_object("a") is None


def test_a_class_needs_a_config() -> None:
    with pytest.raises(ValueError, match="needs a get_config method"):
        register_keras_serializable()(int)
    with pytest.raises(ValueError, match="needs a get_config method"):
        serialize_keras_object(object())
    with pytest.raises(ValueError, match=r"A lambda has no name.*Received: <function"):
        serialize_keras_object(lambda x: x)
    with pytest.raises(ValueError, match="A lambda is not read from a config"):
        deserialize_keras_object({"class_name": "__lambda__", "config": {"value": []}})


def test_an_activation_that_keras_saved_as_a_lambda_is_refused() -> None:
    """Keras leaves a config without a name; it must not become ``linear``."""
    with pytest.raises(ValueError, match="a lambda is not: define it with def"):
        Dense.from_config({"units": 3, "activation": {"value": ["4wEAAA", None, None]}})


def test_plain_values() -> None:
    things = {"a": [1, 2.5, None, True, "x"], "n": np.float32(0.5), "t": (1, 2), "b": b"xy", "z": np.arange(3)}
    config = json.loads(json.dumps(serialize_keras_object(things)))
    assert config["t"] == [1, 2]
    again = deserialize_keras_object(config)
    assert again["z"].dtype == np.int64
    assert np.array_equal(again.pop("z"), np.arange(3))
    assert again == {"a": [1, 2.5, None, True, "x"], "n": 0.5, "t": [1, 2], "b": b"xy"}


def test_settings_of_keras_s_that_nncore_lacks_are_not_ignored_where_they_are_in_use() -> None:
    config = Dense(3).get_config()
    assert Dense.from_config({**config, "lora_rank": None, "quantization_config": None}).units == 3
    with pytest.raises(ValueError, match="lora_rank"):
        Dense.from_config({**config, "lora_rank": 4})
    with pytest.raises(ValueError, match="Mean: the config does not fit its arguments"):
        Mean.from_config({"nmae": "x"})


def test_the_old_form_is_read() -> None:
    """What version 0.1.0 wrote."""
    layers = [{"class_name": "InputLayer", "config": {"batch_shape": [None, 4]}}]
    layers += [{"class_name": "Dense", "config": {"units": 2, "name": "d"}}]
    whole = {"class_name": "Sequential", "config": {"name": "m", "trainable": True, "layers": layers}}
    compiled = {"optimizer": {"class_name": "Adam", "config": {"learning_rate": 0.5}}, "loss": {"class_name": "MeanSquaredError", "config": {}}}  # fmt: skip  # noqa: E501
    model = model_from_json(json.dumps({**whole, "compile_config": {**compiled, "metrics": ["mae"]}}))
    assert model.optimizer.learning_rate == 0.5
    assert isinstance(model.loss, losses.MeanSquaredError)


def test_names_are_public_where_keras_has_them() -> None:
    for name in serialization.__all__:
        assert getattr(utils, name) is getattr(saving, name)
    for base, family in ((Layer, "layers"), (Loss, "losses"), (Metric, "metrics")):
        assert getattr(sys.modules[f"nncore.{family}"], base.__name__) is base


# Clones and parts of configs.


def example() -> Sequential:
    inner = Sequential([Dense(4, "relu"), Dense(3)], name="inner")
    return Sequential([Input((5,)), Dense(4, "tanh", name="first"), inner, Dense(2, trainable=False)])


def test_clones() -> None:
    model = example()
    copy = clone_model(model)
    assert copy.get_config() == model.get_config()
    assert not set(map(id, copy.weights)) & set(map(id, model.weights))
    assert not np.array_equal(copy.get_weights()[0], model.get_weights()[0])
    assert [v.trainable for v in copy.weights] == [v.trainable for v in model.weights]
    wide = clone_model(model, input_tensors=Input((7,)))
    assert wide.layers[0].kernel.shape == (7, 4)


def test_clones_with_a_function() -> None:
    seen = []

    def double(layer: Any) -> Any:
        seen.append(layer.name)
        config = layer.get_config()
        if isinstance(layer, Dense):
            config["units"] *= 2
        return type(layer).from_config(config)

    model = example()
    assert clone_model(model, clone_function=double, recursive=True).output_shape == (None, 4)
    assert seen == ["first", *(layer.name for layer in model.layers[1].layers), model.layers[2].name]
    seen.clear()
    clone_model(
        model, clone_function=lambda layer: seen.append(layer.name) or type(layer).from_config(layer.get_config())
    )
    assert seen == [layer.name for layer in model.layers]
    with pytest.raises(ValueError, match="clone_function must return a layer"):
        clone_model(example(), clone_function=lambda layer: None)
    with pytest.raises(ValueError, match="clone_model takes a Sequential"):
        clone_model(Dense(3))
    with pytest.raises(ValueError, match="call_function must be None"):
        clone_model(example(), call_function=print)
    with pytest.raises(ValueError, match="input_tensors must be an Input"):
        clone_model(example(), input_tensors=np.ones(3))


def test_build_and_compile_configs() -> None:
    model = Sequential([Dense(3)])
    assert model.get_build_config() is None
    assert model.get_compile_config() == {}
    model.build_from_config({"input_shape": [None, 4]})
    assert model.get_build_config() == {"input_shape": (None, 4)}
    assert model.layers[0].get_build_config() == {"input_shape": (None, 4)}
    model.compile_from_config({"optimizer": "sgd", "loss": "mse", "metrics": ["mae"]})
    config = model.get_compile_config()
    assert (config["loss"], config["metrics"]) == ("mse", ["mae"])
    assert config["optimizer"]["class_name"] == "SGD"
    again = Sequential([Dense(3)])
    again.compile_from_config(json.loads(json.dumps(config)))
    assert again.get_compile_config() == config
