"""Models of scikit-learn, PyTorch and Keras as models of nncore, and back: the same predictions.

scikit-learn is always there; what needs PyTorch or Keras runs by ``-m peers``.
"""

from __future__ import annotations

import os
import sys
from collections import OrderedDict
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from networks import network
from oracles import error, uniform
from sklearn import neural_network, preprocessing
from sklearn.pipeline import Pipeline, make_pipeline
from test_onnx import STACKS, with_trained_weights

import nncore
from nncore import layers, random
from nncore.convert import from_keras, from_sklearn, from_torch, modules, to_torch
from nncore.convert.torch import FROM
from nncore.datasets import digits
from nncore.layers import Activation, Dense, Embedding, Flatten, Input, Lambda, Layer
from nncore.models import Sequential, model_from_json
from nncore.saving.chains import as_sequential, moved

Array = np.ndarray[Any, Any]
peers = pytest.mark.peers
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

TOLERANCE = 1e-6
"""Of |difference| / (1 + |value|), for each layer: some 10 roundings of float32."""


def check(model: Sequential, x: Array, expected: Any) -> None:
    """The predictions of another library, to the tolerance."""
    assert error(model.predict(x, verbose=0), expected) <= TOLERANCE * max(len(model._steps()), 1)


def refused(call: Callable[[], Any], *parts: str) -> None:
    with pytest.raises(ValueError) as caught:
        call()
    for part in parts:
        assert part in str(caught.value)


# From scikit-learn.

X = uniform(60, 5, low=-3, high=3)
LABELS = np.arange(60) % 3


def fitted(cls: Any, y: Array, **arguments: Any) -> Any:
    return cls(**{"hidden_layer_sizes": (7, 4), "max_iter": 5, "random_state": 0, **arguments}).fit(X, y)


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
def test_classifier(activation: str) -> None:
    theirs = fitted(neural_network.MLPClassifier, LABELS, activation=activation)
    model = from_sklearn(theirs)
    assert [layer.units for layer in model.layers] == [7, 4, 3]
    check(model, X, theirs.predict_proba(X))
    assert np.array_equal(theirs.classes_[model.predict(X, verbose=0).argmax(axis=1)], theirs.predict(X))


def test_classifier_of_two_classes_and_of_labels() -> None:
    two = fitted(neural_network.MLPClassifier, LABELS > 0)
    check(from_sklearn(two), X, two.predict_proba(X)[:, 1:])
    several = fitted(neural_network.MLPClassifier, np.stack([LABELS > 0, X[:, 0] > 0], axis=1))
    check(from_sklearn(several), X, several.predict_proba(X))


@pytest.mark.parametrize("outputs", [1, 3])
def test_regressor(outputs: int) -> None:
    y = uniform(60, outputs)
    theirs = fitted(neural_network.MLPRegressor, y[:, 0] if outputs == 1 else y, hidden_layer_sizes=())
    check(from_sklearn(theirs), X, theirs.predict(X).reshape(60, outputs))


SCALERS: dict[str, Callable[[], Any]] = {
    "standard": preprocessing.StandardScaler,
    "without mean": lambda: preprocessing.StandardScaler(with_mean=False),
    "without deviation": lambda: preprocessing.StandardScaler(with_std=False),
    "min and max": lambda: preprocessing.MinMaxScaler((-1, 2)),
    "max": preprocessing.MaxAbsScaler,
    "robust": preprocessing.RobustScaler,
    "robust without either": lambda: preprocessing.RobustScaler(with_centering=False, with_scaling=False),
}


@pytest.mark.parametrize("name", SCALERS)
def test_pipelines(name: str) -> None:
    """A feature that is always the same, too."""
    x = X * [1, 10, 0.1, 3, 0] + [5, 0, 1, -20, 2]
    last = neural_network.MLPClassifier((6,), max_iter=3, random_state=0)
    theirs = make_pipeline(SCALERS[name](), last).fit(x, LABELS)
    check(from_sklearn(theirs), x, theirs.predict_proba(x))
    more = Pipeline([("none", "passthrough"), ("first", SCALERS[name]()), ("second", SCALERS[name]()), ("net", last)])
    check(from_sklearn(more.fit(x, LABELS)), x, more.predict_proba(x))


def test_what_scikit_learn_has_that_is_not_taken() -> None:
    net = neural_network.MLPClassifier((6,), max_iter=1)
    refused(lambda: from_sklearn(net), "from_sklearn: layer 0, 'estimator' (MLPClassifier)", "isn't fitted")
    refused(lambda: from_sklearn(preprocessing.StandardScaler()), "(StandardScaler)", "MLPClassifier or MLPRegressor")
    refused(lambda: from_sklearn("net"), "(str)", "MLPClassifier or MLPRegressor")
    refused(lambda: from_sklearn(Pipeline([("none", "passthrough")])), "(Pipeline)", "MLPClassifier or MLPRegressor")
    poly = make_pipeline(preprocessing.PolynomialFeatures(), net).fit(X, LABELS)
    refused(lambda: from_sklearn(poly), "layer 0, 'polynomialfeatures' (PolynomialFeatures)", "no such step")
    clipped = make_pipeline(preprocessing.MinMaxScaler(clip=True), net).fit(X, LABELS)
    refused(lambda: from_sklearn(clipped), "layer 0, 'minmaxscaler' (MinMaxScaler)", "clip=True")
    unfitted = Pipeline([("scaler", preprocessing.StandardScaler()), ("net", net)])
    refused(lambda: from_sklearn(unfitted), "layer 0, 'scaler' (StandardScaler)", "isn't fitted")


# From PyTorch: what is in a state_dict.


def state(*sizes: int, bias: bool = True) -> dict[str, Array]:
    """Of Linear layers one after the other, with activations between."""
    entries = {}
    for i, (k, n) in enumerate(pairwise(sizes)):
        entries[f"{2 * i}.weight"] = uniform(n, k)
        if bias:
            entries[f"{2 * i}.bias"] = uniform(n, seed=1)
    return entries


def by_hand(entries: dict[str, Array], x: Array, hidden: Any, last: Any) -> Array:
    y = x.astype(np.float64)
    paths = sorted({key.partition(".")[0] for key in entries}, key=int)
    for path in paths:
        y = y @ entries[f"{path}.weight"].T + entries.get(f"{path}.bias", 0)
        y = last(y) if path == paths[-1] else hidden(y)
    return y


@pytest.mark.parametrize("bias", [True, False])
def test_state_dict(bias: bool) -> None:
    given = state(5, 8, 6, 3, bias=bias)
    model = from_torch(given, activation="tanh", output_activation="softmax")
    assert [layer.activation.__name__ for layer in model.layers] == ["tanh", "tanh", "softmax"]
    check(model, X, by_hand(given, X, np.tanh, lambda y: np.exp(y) / np.exp(y).sum(1, keepdims=True)))
    listed = from_torch(OrderedDict(given), activation=["tanh", "tanh", None])
    check(listed, X, by_hand(given, X, np.tanh, lambda y: y))
    check(from_torch(state(5, 2)), X, by_hand(state(5, 2), X, None, lambda y: y))
    sequences = uniform(4, 3, 5)
    check(from_torch(given, (3, 5), activation="tanh"), sequences, by_hand(given, sequences, np.tanh, lambda y: y))


def test_state_dicts_that_say_too_little() -> None:
    refused(lambda: from_torch(state(5, 8, 3)), "a state_dict does not say which activation", "activation='relu'")
    refused(lambda: from_torch({}), "the state_dict is empty")
    refused(lambda: from_torch({"0.weight": np.ones(3)}), "'0.weight' of shape (3,)", "Give the module itself")
    refused(lambda: from_torch({"1.running_mean": np.ones(3)}), "'1.running_mean'", "Give the module itself")
    refused(lambda: from_torch({"epoch": 3}), "'epoch'")
    refused(lambda: from_torch({"0.bias": np.ones(3)}), "'0'", "a bias without a weight")
    refused(lambda: from_torch({"0.weight": np.ones((2, 3)), "0.bias": np.ones(3)}), "'0'", "of as many outputs")
    apart = {**state(5, 8), "9.weight": np.ones((2, 7))}
    refused(lambda: from_torch(apart, activation="relu"), "'0' with 8 outputs", "'9' with 7 inputs")
    refused(lambda: from_torch(state(5, 8, 3), activation=["relu"]), "one for each of the 2 layers")
    refused(lambda: from_torch(state(5, 8, 3), activation="rlu"), "Did you mean 'relu'?")
    refused(lambda: from_torch(3), "takes a torch.nn.Sequential", "Received: 3")
    refused(lambda: from_torch(object(), activation="relu"), "for a state_dict")


# From PyTorch: modules.


@pytest.fixture(scope="module")
def torch() -> Any:
    import torch as library

    library.set_num_threads(1)
    return library


MODULES: dict[str, tuple[Callable[[Any], list[Any]], tuple[int, ...]]] = {
    "Linear": (lambda nn: [nn.Linear(5, 3), nn.Linear(3, 2, bias=False)], (5,)),
    "Linear of sequences": (lambda nn: [nn.Linear(5, 3)], (2, 5)),
    "Embedding": (lambda nn: [nn.Embedding(9, 4, padding_idx=0), nn.Linear(4, 2)], (3,)),
    "BatchNorm1d": (lambda nn: [nn.BatchNorm1d(5, eps=0.01), nn.BatchNorm1d(5, affine=False, momentum=None)], (5,)),
    "BatchNorm1d of sequences": (lambda nn: [nn.BatchNorm1d(5, momentum=0.3)], (5, 3)),
    "BatchNorm2d": (lambda nn: [nn.BatchNorm2d(4)], (4, 3, 2)),
    "BatchNorm3d": (lambda nn: [nn.BatchNorm3d(4)], (4, 3, 2, 2)),
    "SyncBatchNorm": (lambda nn: [nn.SyncBatchNorm(4)], (4, 3)),
    "InstanceNorm1d": (lambda nn: [nn.InstanceNorm1d(4), nn.InstanceNorm1d(4, affine=True)], (4, 3)),
    "InstanceNorm2d": (lambda nn: [nn.InstanceNorm2d(4, affine=True, track_running_stats=True)], (4, 3, 2)),
    "InstanceNorm3d": (lambda nn: [nn.InstanceNorm3d(4, eps=0.1)], (4, 3, 2, 2)),
    "LayerNorm": (lambda nn: [nn.LayerNorm(5), nn.LayerNorm(5, bias=False)], (5,)),
    "LayerNorm of two axes": (lambda nn: [nn.LayerNorm((3, 5)), nn.LayerNorm(5, elementwise_affine=False)], (3, 5)),
    "RMSNorm": (lambda nn: [nn.RMSNorm(5), nn.RMSNorm((2, 5), 0.1), nn.RMSNorm(5, elementwise_affine=False)], (2, 5)),
    "GroupNorm": (lambda nn: [nn.GroupNorm(2, 6)], (6,)),
    "GroupNorm of pictures": (lambda nn: [nn.GroupNorm(3, 6), nn.GroupNorm(1, 6, affine=False)], (6, 2, 3)),
    "Dropout": (lambda nn: [nn.Dropout(0.3), nn.AlphaDropout(0.3), nn.Dropout1d(0.5)], (5,)),
    "Dropout1d": (lambda nn: [nn.Dropout1d(0.3), nn.FeatureAlphaDropout(0.1)], (5, 3)),
    "Dropout2d": (lambda nn: [nn.Dropout2d(0.3)], (5, 3, 2)),
    "Dropout3d": (lambda nn: [nn.Dropout3d(0.3)], (5, 3, 2, 2)),
    "AlphaDropout": (lambda nn: [nn.AlphaDropout(0.3)], (5,)),
    "FeatureAlphaDropout": (lambda nn: [nn.FeatureAlphaDropout(0.3)], (5, 2)),
    "Identity": (lambda nn: [nn.Identity()], (5, 2)),
    "Flatten": (lambda nn: [nn.Flatten(), nn.Linear(12, 2)], (3, 2, 2)),
    "Flatten of some": (lambda nn: [nn.Flatten(2), nn.Flatten(1, -2)], (3, 2, 2, 2)),
    "Unflatten": (lambda nn: [nn.Unflatten(1, (2, 3)), nn.Unflatten(-1, (3, -1))], (6,)),
    "PReLU": (lambda nn: [nn.PReLU(), nn.PReLU(5, 0.1)], (5,)),
    "PReLU of channels": (lambda nn: [nn.PReLU(init=-0.5), nn.PReLU(4)], (4, 3, 2)),
    "LeakyReLU": (lambda nn: [nn.LeakyReLU(), nn.LeakyReLU(0.3)], (5,)),
    "ELU": (lambda nn: [nn.ELU(), nn.ELU(0.5)], (5,)),
    "CELU": (lambda nn: [nn.CELU(), nn.CELU(0.5)], (5,)),
    "GELU": (lambda nn: [nn.GELU(), nn.GELU("tanh")], (5,)),
    "Softplus": (lambda nn: [nn.Softplus(), nn.Softplus(3.0, 25)], (5,)),
    "Hardtanh": (lambda nn: [nn.Hardtanh(-2, 1.5), nn.Hardtanh(), nn.Hardtanh(0, 0.5)], (5,)),
    "Hardshrink": (lambda nn: [nn.Hardshrink(), nn.Hardshrink(0.9), nn.Hardshrink(0)], (5,)),
    "Softshrink": (lambda nn: [nn.Softshrink(), nn.Softshrink(0.9)], (5,)),
    "Threshold": (lambda nn: [nn.Threshold(-1, -2.5), nn.Threshold(0.5, 3)], (5,)),
    "Softmax": (lambda nn: [nn.Softmax(1), nn.Linear(4, 4), nn.Softmax(-1)], (3, 4)),
    "Softmax2d": (lambda nn: [nn.Softmax2d()], (3, 4, 2)),
    "Softmin": (lambda nn: [nn.Softmin(1)], (3, 4)),
    "LogSoftmax": (lambda nn: [nn.LogSoftmax(1), nn.LogSoftmax(-1)], (3, 4)),
    "GLU": (lambda nn: [nn.GLU(1), nn.GLU()], (4, 6)),
    "nested": (
        lambda nn: [nn.Sequential(nn.Linear(5, 4), nn.Sequential(nn.ReLU(), nn.Linear(4, 3))), nn.Sequential()],
        (5,),
    ),
    **{
        name: (lambda nn, name=name: [getattr(nn, name)()], (5,))
        for name in (
            "ReLU", "ReLU6", "SELU", "SiLU", "Mish", "Softsign", "Sigmoid", "LogSigmoid", "Tanh", "Tanhshrink",
            "Hardsigmoid", "Hardswish",
        )
    },
}  # fmt: skip
"""Rows of what torch.nn has: its layers, and the shape of a sample."""


def with_statistics(torch: Any, module: Any) -> Any:
    """The module with weights and running statistics that are nowhere 0 or 1, in eval()."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            if tensor.is_floating_point():
                tensor.copy_(torch.rand_like(tensor) + 0.2 if "var" in name else tensor + torch.rand_like(tensor) - 0.5)
    return module.eval()


def theirs(torch: Any, module: Any, x: Array) -> Array:
    with torch.no_grad():
        return module(torch.from_numpy(x)).numpy()


@peers
@pytest.mark.parametrize("name", MODULES)
def test_modules(name: str, torch: Any) -> None:
    """There, and back again."""
    make, shape = MODULES[name]
    module = with_statistics(torch, torch.nn.Sequential(*make(torch.nn)))
    x = uniform(9, *shape, low=-3, high=3)
    if name == "Embedding":
        x = np.random.default_rng(0).integers(0, 9, (9, *shape))
    expected = theirs(torch, module, x)
    model = from_torch(module, shape)
    check(model, x, expected)
    again = to_torch(model)
    assert not again.training
    assert error(theirs(torch, again, x), expected) <= TOLERANCE * len(model.layers)
    check(model_from_json_with_weights(model), x, expected)


def model_from_json_with_weights(model: Sequential) -> Sequential:
    """A model made from the config of another, which must hold all that it is."""
    copy = model_from_json(model.to_json())
    copy.set_weights(model.get_weights())
    return copy


def test_every_module_that_is_taken_has_a_row() -> None:
    assert set(FROM) <= set(MODULES)


@peers
def test_training_arguments_are_kept(torch: Any) -> None:
    nn = torch.nn
    model = from_torch(nn.Sequential(nn.BatchNorm1d(4, momentum=0.3), nn.Dropout2d(0.4), nn.Dropout1d(0.1)), (4, 3, 2))
    assert model.layers[0].momentum == pytest.approx(0.7)
    assert (model.layers[1].rate, model.layers[1].noise_shape) == (0.4, (None, None, 1, 1))
    back = to_torch(from_torch(nn.Sequential(nn.BatchNorm1d(4, momentum=0.3), nn.Dropout1d(0.1)), (4, 3)))
    assert back[0].momentum == pytest.approx(0.3)
    assert isinstance(back[1], nn.Dropout1d)


@peers
def test_the_shape_of_a_sample_is_found(torch: Any) -> None:
    nn = torch.nn
    for module, shape in [
        (nn.Linear(5, 2), (5,)),
        (nn.Sequential(nn.Dropout(0.1), nn.Tanh(), nn.Linear(5, 2)), (5,)),
        (nn.BatchNorm1d(5), (5,)),
        (nn.Sequential(nn.LayerNorm((2, 5))), (2, 5)),
        (nn.RMSNorm(5), (5,)),
    ]:
        assert from_torch(module).input_shape == (None, *shape)
    refused(lambda: from_torch(nn.Sequential(nn.Flatten(), nn.Linear(4, 2))), "give input_shape", "'0' (Flatten)")
    refused(lambda: from_torch(nn.Embedding(4, 2)), "give input_shape", "(Embedding)")
    refused(lambda: from_torch(nn.ReLU()), "give input_shape", "no layer tells it")


@peers
@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_other_types(dtype: str, torch: Any) -> None:
    module = torch.nn.Linear(5, 3).to(getattr(torch, dtype))
    model = from_torch(module)
    assert np.array_equal(model.get_weights()[0], module.weight.detach().float().numpy().T)


@peers
def test_modules_that_are_not_taken(torch: Any) -> None:
    nn = torch.nn

    class Own(nn.Linear):
        def forward(self, x: Any) -> Any:
            return super().forward(x) + 1

    class Net(nn.Module):
        def forward(self, x: Any) -> Any:
            return x

    class Named(nn.Sequential):
        pass

    assert len(from_torch(Named(nn.Linear(5, 3), nn.ReLU())).layers) == 2
    first = nn.Linear(5, 5)
    hooked = nn.Linear(5, 5)
    hooked.register_forward_hook(lambda module, args, output: output * 2)
    for part, *words in [
        (nn.Conv1d(5, 2, 3), "layer 1, '1' (Conv1d)", "nncore has no such layer"),
        (nn.RReLU(), "(RReLU)", "nncore has no such layer"),
        (Own(5, 3), "(Own)", "a forward() of its own"),
        (Net(), "(Net)", "a forward() of its own"),
        (nn.Sequential(nn.ReLU(), nn.GRU(5, 2)), "layer 2, '1.1' (GRU)"),
        (nn.BatchNorm1d(5, track_running_stats=False), "track_running_stats is False"),
        (nn.Embedding(4, 2), "(Embedding)", "must be the first layer"),
        (nn.Softmax(), "(Softmax)", "say which dim"),
        (nn.Softmax(0), "(Softmax)", "not 0"),
        (nn.Flatten(0), "flattens the batch"),
        (nn.Unflatten(0, (1, -1)), "unflattens the batch"),
        (nn.Softplus(threshold=1), "its threshold, 1"),
        (nn.CELU(-1.0), "alpha must be above 0"),
        (nn.LeakyReLU(-0.1), "negative_slope"),
        (nn.GLU(), "must be even"),
        (nn.InstanceNorm1d(5), "(batch, channels, …)"),
        (nn.Linear(4, 2), "(Linear)"),
        (first, "it shares weights with '0'"),
        (hooked, "it has forward hooks"),
    ]:
        refused(lambda part=part: from_torch(nn.Sequential(first, part)), "from_torch: layer ", *words)
    refused(lambda: from_torch(nn.Embedding(4, 2, max_norm=1.0), (3,)), "max_norm=1.0")
    refused(lambda: from_torch(Net(), (3,)), "a forward() of its own")
    refused(lambda: from_torch(nn.Sequential()), "takes a torch.nn.Sequential of layers")
    refused(lambda: from_torch(first, activation="relu"), "are for a state_dict")


@peers
def test_state_dict_of_torch(torch: Any) -> None:
    nn = torch.nn
    module = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3), nn.Sigmoid()).eval()
    model = from_torch(module.state_dict(), activation="tanh", output_activation="sigmoid")
    check(model, X, theirs(torch, module, X))
    refused(lambda: from_torch(nn.BatchNorm1d(3).state_dict()), "Give the module itself")


# To PyTorch.

PORTABLE = [name for name in STACKS if "Lambda" not in name and "of the user" not in name]


@peers
@pytest.mark.parametrize("name", PORTABLE)
def test_layers_to_torch(name: str, torch: Any) -> None:
    random.set_seed(7)
    stack, shape = STACKS[name]
    model = with_trained_weights(Sequential([Input(shape), *stack()]))
    x = uniform(9, *shape, low=-3, high=3)
    check(model, x, theirs(torch, to_torch(model), x))


@peers
@pytest.mark.parametrize("number", range(60))
def test_random_networks_to_torch(number: int, torch: Any, tmp_path: Any) -> None:
    """Saved and loaded by torch, too."""
    random.set_seed(number)
    drawn = network(number)
    model = with_trained_weights(drawn.model(nncore))
    x = drawn.x.astype(np.int64) if drawn.x.dtype.kind == "i" else drawn.x
    torch.save(to_torch(model), tmp_path / "model.pt")
    module = torch.load(tmp_path / "model.pt", weights_only=False)
    assert error(theirs(torch, module, x), model.predict(x, verbose=0)) <= 3 * TOLERANCE * len(model.layers), drawn


@peers
def test_embedding_to_torch(torch: Any) -> None:
    model = Sequential([Input((3,), dtype="int32"), Embedding(9, 4, mask_zero=True), Flatten(), Dense(2)])
    x = np.random.default_rng(0).integers(0, 9, (9, 3))
    check(model, x, theirs(torch, to_torch(model), x))


def test_every_layer_has_its_modules() -> None:
    missing = set(layers.__all__) - modules._OF_TRAINING - set(vars(modules._Modules))
    assert missing == {"Input", "Layer"}


@peers
def test_models_that_are_not_taken(torch: Any) -> None:
    class Own(Layer):
        """A formula."""

        def call(self, x: Any) -> Any:
            return x * 2

    for layer, *words in [
        (Own(name="own"), "layer 1, 'own' (Own)", "a layer of your own"),
        (Lambda(lambda x: x * 2), "(Lambda)", "a function of your own"),
        (Activation(lambda x: x * 2), "(Activation)", "a function of your own"),
        (Dense(3, lambda x: x * 2), "(Dense)", "a function of your own"),
    ]:
        model = Sequential([Input((3,)), Dense(3), layer])
        refused(lambda model=model: to_torch(model), "to_torch: layer 1, ", *words)
    refused(lambda: to_torch(Sequential([Dense(3)])), "isn't built")


def test_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match="pip install torch"):
        to_torch(Sequential([Input((3,)), Dense(2)]))


# From Keras: chains.


def entry(name: str, *sources: str, calls: int = 1, kwargs: Any = None) -> dict[str, Any]:
    """A layer in the config of a functional model."""
    tensors = [{"class_name": "__keras_tensor__", "config": {"keras_history": [s, 0, 0]}} for s in sources]
    nodes = [{"args": tensors, "kwargs": kwargs or {}}] * calls
    return {"class_name": "Dense", "name": name, "config": {"name": name}, "inbound_nodes": nodes}


START = {"class_name": "InputLayer", "name": "in", "config": {"name": "in"}, "inbound_nodes": []}


def functional(*entries: Any, ends: Any = ("c", 0, 0), name: str = "net") -> dict[str, Any]:
    config = {"name": name, "layers": [START, *entries], "input_layers": ["in", 0, 0], "output_layers": list(ends)}
    return {"class_name": "Functional", "name": name, "config": config}


def names(config: dict[str, Any]) -> list[Any]:
    """Of the layers of a ``Sequential``, and inside it."""
    assert config["class_name"] == "Sequential"
    return [names(e) if e["class_name"] == "Sequential" else e["config"]["name"] for e in config["config"]["layers"]]


def test_chains() -> None:
    """In any order, with the ends in lists or alone, one inside another, and as Keras 2 wrote them."""
    a, b, c = entry("a", "in"), entry("b", "a", kwargs={"mask": None}), entry("c", "b")
    assert names(as_sequential(functional(c, a, b))) == ["in", "a", "b", "c"]
    assert names(as_sequential(functional(a, b, c, ends=[["c", 0, 0]]))) == ["in", "a", "b", "c"]
    inside = {**functional(a, b, ends=("b", 0, 0), name="b"), "inbound_nodes": b["inbound_nodes"]}
    assert names(as_sequential(functional(a, inside, c))) == ["in", "a", ["in", "a", "b"], "c"]
    around = {"class_name": "Sequential", "config": {"name": "around", "layers": [START, inside]}}
    assert names(as_sequential(around)) == ["in", ["in", "a", "b"]]
    older = {**entry("c"), "inbound_nodes": [[["a", 0, 0, {"mask": None}]]]}
    assert names(as_sequential(functional(a, older))) == ["in", "a", "c"]
    assert as_sequential(a) is a


def test_places_of_weights_in_chains() -> None:
    """Files count classes as they stand in the file, and call a functional model one."""
    inner = {**functional(entry("d", "in"), entry("e", "d"), ends=("e", 0, 0), name="c"), "inbound_nodes": []}
    other = {"class_name": "Sequential", "name": "b", "config": {"name": "b", "layers": [START, entry("f")]}}
    b, c = (
        {**part, "inbound_nodes": entry("", source)["inbound_nodes"]} for part, source in ((other, "a"), (inner, "b"))
    )
    model = functional(c, b, entry("a", "in"))
    old = ["layers/dense/vars/0", "layers/sequential/layers/dense/vars/1", "layers/functional/layers/dense_1/vars/0"]
    new = ["layers/dense/vars/0", "layers/sequential/layers/dense/vars/1", "layers/sequential_1/layers/dense_1/vars/0"]
    arrays = {name: name for name in [*old, "optimizer/vars/0"]}
    assert moved(model, arrays) == dict(zip([*new, "optimizer/vars/0"], arrays, strict=True))
    assert moved(as_sequential(model), arrays) == arrays


@peers
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_files_of_functional_models(suffix: str, keras: Any, tmp_path: Any) -> None:
    k, x = keras.layers, uniform(9, 4)

    def inside(layer: Any) -> Any:
        given = keras.Input((4,))
        return keras.Model(given, k.Dense(4, "tanh")(layer(given)))

    given = keras.Input((4,))
    mixed = keras.Sequential([keras.Input((4,)), k.Dense(4, "relu"), inside(k.LayerNormalization())])
    model = keras.Model(given, k.Dense(2)(inside(k.BatchNormalization())(mixed(k.Dense(4)(given)))))
    model.save(tmp_path / f"model{suffix}")
    check(nncore.models.load_model(tmp_path / f"model{suffix}"), x, model.predict(x, verbose=0))


@pytest.mark.parametrize(
    "config, words",
    [
        (functional(entry("a", "in"), entry("b", "in"), entry("c", "a")), "'b' leads aside"),
        (functional(entry("a", "in"), entry("b", "a"), entry("c", "b"), ends=("b", 0, 0)), "'c' leads aside"),
        (functional(entry("a", "in"), entry("c", "a", "in")), "'c' is called with the outputs of 2 layers"),
        (functional(entry("a", "in"), entry("c", "a", calls=2)), "'c' is called 2 times"),
        (functional(entry("a", "in"), entry("c", "a", kwargs={"training": True})), "'c' is called with training"),
        (
            functional(entry("a", "in"), {**entry("c"), "inbound_nodes": [[["a", 0, 0, {"training": True}]]]}),
            "'c' is called with training",
        ),
        (functional(entry("a", "in"), ends=[["a", 0, 0], ["in", 0, 0]]), "one input and one output"),
        (functional(entry("a", "c"), entry("c", "a")), "'c' is called again"),
    ],
)  # fmt: skip
def test_models_that_are_no_chain(config: dict[str, Any], words: str) -> None:
    refused(lambda: as_sequential(config), "the functional model 'net' is no chain: ", words)


def test_what_is_no_model_of_keras() -> None:
    refused(lambda: from_keras("model.keras"), "takes a built model of Keras", "'model.keras'")


# From Keras: models.


@pytest.fixture(scope="module")
def keras() -> Any:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras as library

    return library


OTHERWISE = ("sparsemax", "of rows", "of other axes", "LayerNormalization axis", "LayerNormalization axes")
"""Stacks that Keras has otherwise: sparsemax, and on PyTorch normalization of axes that are not the last."""


@peers
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", [n for n in PORTABLE if n.removesuffix(" of three axes") not in OTHERWISE])
def test_layers_of_keras(name: str, keras: Any) -> None:
    random.set_seed(7)
    stack, shape = STACKS[name]
    ours = with_trained_weights(Sequential([Input(shape), *stack()]))
    model = keras.models.model_from_json(ours.to_json())
    model.set_weights(ours.get_weights())
    x = uniform(9, *shape, low=-3, high=3)
    made = from_keras(model)
    assert [layer.name for layer in made.layers] == [layer.name for layer in model.layers]
    check(made, x, model.predict(x, verbose=0))


@peers
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("number", range(60))
def test_random_networks_of_keras(number: int, keras: Any) -> None:
    keras.utils.set_random_seed(number)
    drawn = network(number, noise=False)
    model = drawn.model(keras)
    made = from_keras(model)
    expected = model.predict(drawn.x, verbose=0)
    assert error(made.predict(drawn.x, verbose=0), expected) <= 3 * TOLERANCE * len(made.layers), drawn


@peers
@pytest.mark.filterwarnings("default")
def test_functional_models_of_keras(keras: Any) -> None:
    """Nested in one another, an Embedding first."""
    x = np.random.default_rng(0).integers(0, 9, (9, 4)).astype("int32")
    ids = keras.Input((4,), dtype="int32")
    inner_input = keras.Input((4, 3))
    inner = keras.Model(inner_input, keras.layers.LayerNormalization()(keras.layers.Dense(6, "gelu")(inner_input)))
    y = keras.layers.Embedding(9, 3)(ids)
    y = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3), keras.layers.Dropout(0.3)])(inner(y))
    model = keras.Model(ids, keras.layers.Softmax()(y))
    made = from_keras(model)
    assert made.input_layer is not None
    assert made.input_layer.dtype == "int32"
    check(made, x, model.predict(x, verbose=0))


@peers
@pytest.mark.filterwarnings("default")
def test_adapted_normalization(keras: Any) -> None:
    normalization = keras.layers.Normalization()
    normalization.adapt(X * 3 + 1)
    model = keras.Sequential([keras.Input((5,)), normalization, keras.layers.Dense(2)])
    check(from_keras(model), X, model.predict(X, verbose=0))


@peers
@pytest.mark.filterwarnings("default")
def test_models_of_keras_that_are_not_taken(keras: Any) -> None:
    k = keras.layers

    def of(*parts: Any, shape: tuple[int, ...] = (4, 3)) -> Any:
        return keras.Sequential([keras.Input(shape), *parts])

    class Own(k.Layer):
        def call(self, x: Any) -> Any:
            return x

    class Net(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = k.Dense(2)

        def call(self, x: Any) -> Any:
            return self.dense(x)

    net = Net()
    net(X)
    a = keras.Input((3,))
    for model, *words in [
        (of(k.Dense(3), k.Conv1D(2, 2, name="conv")), "layer 1, 'conv' (Conv1D)", "Conv1D"),
        (of(Own(name="own")), "layer 0, 'own' (Own)", "Own"),
        (of(k.Dense(3, "sparsemax")), "layer 0", "(Dense)", "sparsemax"),
        (of(k.TimeDistributed(k.Dense(3, "sparsemax"))), "(TimeDistributed)", "sparsemax"),
        (of(k.Lambda(lambda x: x * 2)), "(Lambda)", "lambda"),
        (of(k.Dense(3, dtype="mixed_bfloat16")), "(Dense)", "mixed_bfloat16"),
        (of(k.Dense(3, activation=lambda x: x)), "(Dense)", "lambda"),
        (of(keras.Sequential([k.ReLU(), k.LSTM(3)], name="inside")), "'inside' (Sequential)", "layer 1, 'lstm' (LSTM)"),
        (of(k.Dense(3), shape=(None, 3)), "input_shape=(None, None, 3)"),
        (keras.Model(a, k.Add()([a, k.Dense(3)(a)])), "is no chain: 'add' is called with the outputs of 2"),
        (keras.Model([a, keras.Input((3,))], k.Dense(2)(a)), "one input"),
        (of(k.RMSNormalization(axis=1)), "layer 0", "of other axes than the last", "[1]"),
        (of(k.Dense(3), k.Embedding(3, 2)), "(Embedding)", "must be the first layer"),
        (net, "must be a Sequential or a functional model"),
        (keras.Sequential([k.Dense(3)]), "takes a built model"),
    ]:  # fmt: skip
        refused(lambda model=model: from_keras(model), "from_keras", *words)


@peers
@pytest.mark.filterwarnings("default")
def test_custom_objects(keras: Any) -> None:
    class Double(Layer):
        """Twice."""

        def call(self, x: Any) -> Any:
            return x * 2

    class Theirs(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return x * 2

    Theirs.__name__ = "Double"
    model = keras.Sequential([keras.Input((5,)), Theirs(), keras.layers.Dense(2)])
    check(from_keras(model, custom_objects={"Double": Double}), X, model.predict(X, verbose=0))


# All of them on the same data.


@peers
@pytest.mark.filterwarnings("default")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_models_trained_elsewhere_on_the_same_data(keras: Any, torch: Any) -> None:
    """Keras, PyTorch and scikit-learn train on the digits; nncore predicts what each of them does, and is right."""
    (x, y), (x_test, y_test) = digits.load_data()
    x, x_test = (a.reshape(len(a), 64).astype("float32") / 16 for a in (x, x_test))
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [
            keras.Input((64,)), keras.layers.Dense(32, "relu"), keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.1), keras.layers.Dense(10, "softmax"),
        ]
    )  # fmt: skip
    network.compile("adam", "sparse_categorical_crossentropy")
    network.fit(x, y, epochs=6, verbose=0)
    nn = torch.nn
    module = nn.Sequential(nn.Linear(64, 32), nn.BatchNorm1d(32), nn.GELU(), nn.Dropout(0.1), nn.Linear(32, 10))
    optimizer, targets = torch.optim.Adam(module.parameters(), 0.01), torch.from_numpy(y.astype("int64"))
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(torch.from_numpy(x)), targets).backward()
        optimizer.step()
    module = nn.Sequential(*module, nn.Softmax(-1)).eval()
    pipeline = make_pipeline(
        preprocessing.MinMaxScaler(), neural_network.MLPClassifier((32,), max_iter=20, random_state=0)
    ).fit(x, y)
    for model, expected in [
        (from_keras(network), network.predict(x_test, verbose=0)),
        (from_torch(module), theirs(torch, module, x_test)),
        (from_sklearn(pipeline), pipeline.predict_proba(x_test)),
    ]:
        check(model, x_test, expected)
        assert (model.predict(x_test, verbose=0).argmax(axis=1) == y_test).mean() > 0.9
