"""Numbers recorded from Keras 3.15.1 (tests/golden), leaf by leaf, on both backends.

The tables below name what nncore has, ``golden/not-yet.txt`` what it has not; together they are the whole recording.
Tolerances are those at which Keras's own backends agree: 1e-6 for values, 2e-6 for gradients, 1e-5 for optimizers
and whole fits, as |error| / (1 + |expected|).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from oracles import error

from nncore import activations, backends, constraints, layers, losses, metrics, optimizers, regularizers
from nncore.backends import Epoch, Memory
from nncore.builder import Builder
from nncore.compiler import FlatVectors, plan
from nncore.layers import (
    ELU,
    Activation,
    BatchNormalization,
    Dense,
    Embedding,
    Flatten,
    GroupNormalization,
    Input,
    Layer,
    LayerNormalization,
    LeakyReLU,
    Normalization,
    Permute,
    PReLU,
    ReLU,
    RepeatVector,
    Rescaling,
    Reshape,
    RMSNormalization,
    Softmax,
    TimeDistributed,
    UnitNormalization,
)
from nncore.models import Sequential
from nncore.optimizers import SGD, Adam, AdamW, schedules
from nncore.program import Buffer, Shape
from nncore.variables import Variable

FOLDER = Path(__file__).parent / "golden"
GOLDEN: dict[str, Any] = json.loads((FOLDER / "keras-3.15.1.json").read_text())

ACTIVATIONS = tuple(GOLDEN["activations"])
LOSSES = {
    "MeanSquaredError": [0], "MeanAbsoluteError": [0], "MeanAbsolutePercentageError": [0, 1],
    "MeanSquaredLogarithmicError": [0], "CosineSimilarity": [0, 1], "Huber": [0, 1], "LogCosh": [0, 1],
    "Hinge": [0, 1], "SquaredHinge": [0], "CategoricalHinge": [0], "KLDivergence": [0, 1], "Poisson": [0],
    "BinaryCrossentropy": [0, 1, 2, 3], "BinaryFocalCrossentropy": [0, 1, 2],
    "CategoricalCrossentropy": [0, 1, 2, 3, 4, 5], "CategoricalFocalCrossentropy": [0, 1],
    "SparseCategoricalCrossentropy": [0, 1, 2, 3], "Dice": [0, 1], "Tversky": [0],
    "CategoricalGeneralizedCrossEntropy": [0],
}  # fmt: skip
METRICS = (
    "Mean", "Accuracy", "BinaryAccuracy", "CategoricalAccuracy", "SparseCategoricalAccuracy", "TopKCategoricalAccuracy",
    "SparseTopKCategoricalAccuracy", "MeanSquaredError", "RootMeanSquaredError", "MeanAbsoluteError", "R2Score",
    "BinaryCrossentropy", "CategoricalCrossentropy", "SparseCategoricalCrossentropy", "Precision", "Recall",
    "TruePositives", "FalsePositives", "TrueNegatives", "FalseNegatives", "AUC", "AUC#PR", "AUC#10",
    "PrecisionAtRecall", "SensitivityAtSpecificity", "F1Score", "FBetaScore", "MeanIoU", "Precision#topk",
    "Recall#class", "CosineSimilarity", "LogCoshError", "KLDivergence", "Poisson", "Hinge",
)  # fmt: skip
OPTIMIZERS = {
    "SGD": [0, 1, 2, 3, 4, 5, 6, 7], "Adam": [0, 1, 2, 3, 4, 5, 6], "AdamW": [0], "Adamax": [0], "Nadam": [0],
    "RMSprop": [0, 1, 2, 3], "Adagrad": [0, 1], "Adadelta": [0, 1], "Adafactor": [0], "Ftrl": [0, 1], "Lion": [0],
    "Lamb": [0], "Muon": [0],
}  # fmt: skip
SCHEDULES = {
    "ExponentialDecay(.1,10,.5)": schedules.ExponentialDecay(0.1, 10, 0.5),
    "ExponentialDecay(.1,10,.5,staircase)": schedules.ExponentialDecay(0.1, 10, 0.5, staircase=True),
    "PiecewiseConstantDecay([5,20],[1.,.5,.1])": schedules.PiecewiseConstantDecay([5, 20], [1.0, 0.5, 0.1]),
    "PolynomialDecay(.1,10,.01,2.)": schedules.PolynomialDecay(0.1, 10, 0.01, 2.0),
    "PolynomialDecay(.1,10,.01,1.,cycle)": schedules.PolynomialDecay(0.1, 10, 0.01, 1.0, cycle=True),
    "InverseTimeDecay(.1,10,.5)": schedules.InverseTimeDecay(0.1, 10, 0.5),
    "InverseTimeDecay(.1,10,.5,staircase)": schedules.InverseTimeDecay(0.1, 10, 0.5, staircase=True),
    "CosineDecay(.1,20,.1)": schedules.CosineDecay(0.1, 20, 0.1),
    "CosineDecay(0.,20,warmup_target=.1,warmup_steps=10)": schedules.CosineDecay(
        0.0, 20, warmup_target=0.1, warmup_steps=10
    ),
    "CosineDecayRestarts(.1,10)": schedules.CosineDecayRestarts(0.1, 10),
    "CosineDecayRestarts(.1,10,1.,.5,.1)": schedules.CosineDecayRestarts(0.1, 10, 1.0, 0.5, 0.1),
}
REGULARIZERS: dict[str, regularizers.Regularizer] = {
    "L1()": regularizers.L1(),
    "L2()": regularizers.L2(),
    "L1L2()": regularizers.L1L2(),
    "L1L2(.1,.2)": regularizers.L1L2(0.1, 0.2),
    "OrthogonalRegularizer()": regularizers.OrthogonalRegularizer(),
}
CONSTRAINTS: dict[str, constraints.Constraint] = {
    "MaxNorm()": constraints.MaxNorm(),
    "MaxNorm(1.,axis=1)": constraints.MaxNorm(1.0, axis=1),
    "NonNeg()": constraints.NonNeg(),
    "UnitNorm()": constraints.UnitNorm(),
    "MinMaxNorm(.5,1.,.5)": constraints.MinMaxNorm(0.5, 1.0, 0.5),
}
LAYERS: dict[str, Callable[[], Layer]] = {
    "Dense(3,tanh)": lambda: Dense(3, activation="tanh"),
    "Dense(3) on 3-D": lambda: Dense(3),
    "Dense(2,no bias,l2)": lambda: Dense(2, use_bias=False, kernel_regularizer="l2"),
    "ReLU(2,.1,.2)": lambda: ReLU(0.5, 0.1, 0.2),
    "Softmax()": lambda: Softmax(),
    "LeakyReLU()": lambda: LeakyReLU(),
    "ELU(.5)": lambda: ELU(0.5),
    "PReLU()": lambda: PReLU(),
    "PReLU(shared_axes=[1])": lambda: PReLU(shared_axes=[1]),
    "Rescaling(2,1)": lambda: Rescaling(2.0, 1.0),
    "BatchNormalization()": lambda: BatchNormalization(),
    "BatchNormalization(momentum=.9,eps=1e-5) 4-D": lambda: BatchNormalization(momentum=0.9, epsilon=1e-5),
    "BatchNormalization(scale=False,center=False)": lambda: BatchNormalization(scale=False),  # as it was recorded
    "LayerNormalization()": lambda: LayerNormalization(),
    "LayerNormalization(axis=[1,2])": lambda: LayerNormalization(axis=[1, 2]),
    "GroupNormalization(2)": lambda: GroupNormalization(2),
    "RMSNormalization()": lambda: RMSNormalization(),
    "UnitNormalization()": lambda: UnitNormalization(),
    "Normalization()": lambda: Normalization(),
    "Embedding(5,3)": lambda: Embedding(5, 3),
    "Flatten()": lambda: Flatten(),
    "Reshape((3,-1))": lambda: Reshape((3, -1)),
    "Permute((2,1))": lambda: Permute((2, 1)),
    "RepeatVector(2)": lambda: RepeatVector(2),
    "TimeDistributed(Dense(2))": lambda: TimeDistributed(Dense(2)),
}
FITS: dict[str, dict[str, Any]] = {
    "clf/sgd": {"optimizer": "sgd"},
    "clf/sgd_mom_nest": {"optimizer": SGD(0.1, momentum=0.9, nesterov=True)},
    "clf/adam": {"optimizer": "adam"},
    "clf/adamw": {"optimizer": AdamW(0.01)},
    "clf/rmsprop": {"optimizer": "RMSprop"},
    "clf/nadam": {"optimizer": "nadam"},
    "clf/adagrad": {"optimizer": "adagrad"},
    "clf/sparse": {
        "layers": [("tanh", 5), ("softmax", 3)], "y": "y_int", "optimizer": SGD(0.1),
        "loss": "sparse_categorical_crossentropy", "metrics": ["acc"],
        "fit": {"epochs": 2, "batch_size": 7},
    },
    "clf/class_weight": {
        "layers": [("softmax", 3)], "y": "y_int", "optimizer": SGD(0.1), "loss": "sparse_categorical_crossentropy",
        "fit": {"epochs": 2, "batch_size": 7, "class_weight": {0: 1.0, 1: 2.0, 2: 0.5}},
    },
    "bin/bce": {
        "layers": [("relu", 4), ("sigmoid", 1)], "y": "y_one", "optimizer": Adam(0.01), "loss": "binary_crossentropy",
        "metrics": ["accuracy", "AUC"],
        "fit": {"epochs": 2, "batch_size": 8},
    },
    "reg/mse_l2_bn": {
        "stack": lambda: [Dense(4, "relu", kernel_regularizer=regularizers.L2(0.01)), BatchNormalization(), Dense(1)],
        "y": "y_reg", "optimizer": SGD(0.05), "loss": "mse", "metrics": ["mae"],
        "fit": {"epochs": 2, "batch_size": 8},
    },
    "reg/schedule_maxnorm": {
        "stack": lambda: [Dense(4, "gelu", kernel_constraint=constraints.MaxNorm(0.5)), Dense(1)],
        "y": "y_reg", "optimizer": SGD(schedules.ExponentialDecay(0.1, 2, 0.5)), "loss": "mae", "metrics": None,
        "fit": {"epochs": 2, "batch_size": 8},
    },
}  # fmt: skip

NOT_YET = (FOLDER / "not-yet.txt").read_text().splitlines()
"""What was recorded of things that nncore does not have."""

EXCEPTED = (
    "optimizers/ScheduleFreeAdamW/", "layers/Conv", "layers/DepthwiseConv", "layers/SeparableConv", "layers/MaxPooling",
    "layers/AveragePooling", "layers/GlobalAveragePooling", "layers/GlobalMaxPooling", "layers/ZeroPadding",
    "layers/UpSampling", "layers/Cropping", "layers/SimpleRNN", "layers/LSTM", "layers/GRU", "layers/Bidirectional",
    "fits/conv",
)  # fmt: skip
"""The kinds of these things: how their names begin."""

INPUTS = {"kw", "x", "y_true", "y_pred", "sample_weight", "weights", "train_target", "w0"}
"""Keys of a case that the recording put in; all others came out."""


def recorded() -> Iterator[str]:
    """``group/case`` of everything that was recorded, apart from its inputs."""
    for group, cases in GOLDEN.items():
        if group in ("meta", "fit_data") or cases is None:
            continue
        for name, case in cases.items():
            if name in ("_inputs", "w"):
                continue
            if isinstance(case, list) and case and isinstance(case[0], dict):
                yield from (f"{group}/{name}/{i}" for i in range(len(case)))
            else:
                yield f"{group}/{name}"


def covered() -> list[str]:
    """``group/case`` of everything that is tested here."""
    return [
        *(f"activations/{name}" for name in ACTIVATIONS),
        *(f"losses/{name}/{i}" for name, cases in LOSSES.items() for i in cases),
        *(f"metrics/{name}" for name in METRICS),
        *(f"optimizers/{name}/{i}" for name, cases in OPTIMIZERS.items() for i in cases),
        *(f"schedules/{name}" for name in SCHEDULES),
        *(f"regularizers/{name}" for name in REGULARIZERS),
        *(f"constraints/{name}" for name in CONSTRAINTS),
        *(f"layers/{name}" for name in LAYERS),
        *(f"fits/{name}" for name in FITS),
    ]


def test_all_of_the_recording_is_tested_or_listed() -> None:
    listed = covered() + NOT_YET
    assert len(set(listed)) == len(listed)
    assert sorted(listed) == sorted(recorded())


def test_what_is_missing_is_excepted() -> None:
    """Nothing but what models of feed-forward layers do without.

    Convolutions, pooling, padding and resizing work on images and sequences, and the fit ``conv`` is of a model of
    them. Recurrent layers, and the wrapper ``Bidirectional``, run over the steps of sequences. ``ScheduleFreeAdamW``
    keeps two sets of weights, one for training and one for predictions, which a model here has no place for (and
    Keras's own backends disagree on it).
    """
    assert [name for name in NOT_YET if not name.startswith(EXCEPTED)] == []


HOMES: dict[str, Any] = {
    "activations": activations, "losses": losses, "metrics": metrics, "optimizers": optimizers, "layers": layers,
    "schedules": schedules, "regularizers": regularizers, "constraints": constraints,
}  # fmt: skip


def test_nothing_that_exists_is_listed_as_missing() -> None:
    """A class that arrives must leave the list, unless some of its recorded arguments are still missing."""
    tested = {"/".join(name.split("/")[:2]).split("(")[0].split("#")[0] for name in covered()}
    for name in NOT_YET:
        group, kind = name.split("/")[:2]
        kind = kind.split("(")[0].split("#")[0].removesuffix("_approx")
        if group in HOMES:
            assert f"{group}/{kind}" in tested or not hasattr(HOMES[group], kind), name


def agree(case: dict[str, Any], results: dict[str, Any], tolerance: float | dict[str, float]) -> None:
    """Every leaf that came out of a case against its result."""
    assert set(results) == set(case) - INPUTS
    for key, result in results.items():
        allowed = tolerance[key] if isinstance(tolerance, dict) else tolerance
        assert error(result, np.array(case[key], np.float64)) <= allowed, key


def array(values: Any) -> np.ndarray:
    return np.array(values, np.float32)


# Activations.


class Applied(Layer):
    """A function of nncore.activations with arguments, as a layer."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return activations.output_shape(self.function, input_shape)

    def lower(self, b: Builder, x: Buffer) -> Buffer:
        return activations.lower(self.function, b, x)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation(name: str, backend: str) -> None:
    """On an array, and in a program; by its name where it has no arguments."""
    case = GOLDEN["activations"][name]
    x, kw = array(case["x"]), case.get("kw", {})
    samples = x if x.ndim == 2 else x[None, :]
    shape = np.shape(case["y"])
    function = getattr(activations, "relu" if kw else name.removesuffix("_big").removesuffix("_approx"))
    if name == "gelu_approx":
        kw = {"approximate": True}
    agree(case, {"y": function(samples, **kw).reshape(shape)}, 1e-6)
    layer = Applied(partial(function, **kw)) if kw else Activation(function.__name__.upper())
    model = Sequential([Input(samples.shape[1:]), layer])
    agree(case, {"y": model.predict(samples, verbose=0).reshape(shape)}, 1e-6)


# Losses.

LOSS_CASES = [(name, i) for name, cases in LOSSES.items() for i in cases]


@pytest.mark.parametrize("name, i", LOSS_CASES)
def test_loss(name: str, i: int) -> None:
    case = GOLDEN["losses"][name][i]
    cls, kw = getattr(losses, name), case["kw"]
    t, p = array(case["y_true"]), array(case["y_pred"])
    results = {
        "default": cls(**kw)(t, p),
        "none": cls(reduction=None, **kw)(t, p),
        "sum": cls(reduction="sum", **kw)(t, p),
    }
    if "sample_weight" in case:
        w = array(case["sample_weight"])
        results["weighted"] = cls(**kw)(t, p, sample_weight=w)
        mean = cls(reduction="mean_with_sample_weight", **kw)
        results["weighted_mean_with_sample_weight"] = mean(t, p, sample_weight=w)
    agree(case, results, 1e-6)


@pytest.mark.parametrize("name, i", LOSS_CASES)
def test_loss_in_a_program(name: str, i: int, backend: str) -> None:
    """The loss of a model whose predictions are its inputs, over the batch by every reduction and row by row."""
    case = GOLDEN["losses"][name][i]
    t, p = array(case["y_true"]), array(case["y_pred"])

    def model(reduction: str) -> Sequential:
        made = Sequential([Input(p.shape[1:]), Activation("linear")])
        made.compile("sgd", getattr(losses, name)(reduction=reduction, **case["kw"]))
        return made

    mean = model("sum_over_batch_size")
    rows = [mean.test_on_batch(p[r : r + 1], t[r : r + 1]) for r in range(len(p))]
    results = {"default": mean.evaluate(p, t, verbose=0), "sum": model("sum").evaluate(p, t, verbose=0)}
    results["none"] = rows if np.ndim(case["none"]) else results["default"]
    if "sample_weight" in case:
        w = array(case["sample_weight"])
        results["weighted"] = mean.evaluate(p, t, sample_weight=w, verbose=0)
        weighted = model("mean_with_sample_weight").evaluate(p, t, sample_weight=w, verbose=0)
        results["weighted_mean_with_sample_weight"] = weighted
    agree(case, results, 1e-6)


# Metrics.


def metric_data(case: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Targets and predictions of both updates, and the weights: the second update has the first two rows again."""
    t, p = array(case["y_true"]), array(case["y_pred"])
    w = np.array([1.0, 0.0, 2.0, 0.5], np.float32)
    return (
        np.concatenate([t, t[:2]]),
        np.concatenate([p, p[:2, ::-1] if p.ndim > 1 else p[:2]]),
        np.concatenate([w, w[2:]]),
    )


def new_metric(name: str) -> metrics.Metric:
    return getattr(metrics, name.split("#")[0])(**GOLDEN["metrics"][name]["kw"])  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", METRICS)
def test_metric(name: str) -> None:
    case = GOLDEN["metrics"][name]
    results = {}
    for key, weighted in (("result", False), ("weighted", True)):
        metric = new_metric(name)
        if name == "Mean":
            metric.update_state([1.0, 2.0, 3.0, 4.0], sample_weight=[1.0, 0.0, 2.0, 0.5] if weighted else None)
            metric.update_state([10.0])
        else:
            t, p, w = metric_data(case)
            for cut in (slice(0, 4), slice(4, 6)):
                metric.update_state(t[cut], p[cut], sample_weight=w[cut] if weighted else None)
        results[key] = metric.result()
    agree(case, results, 1e-6)


@pytest.mark.parametrize("name", [name for name in METRICS if name != "Mean"])
def test_metric_in_a_program(name: str, backend: str) -> None:
    """The metric of a model whose predictions are its inputs, once without the samples' weights and once with them."""
    case = GOLDEN["metrics"][name]
    t, p, w = metric_data(case)
    if p.ndim == 1:
        t, p = t[:, None], p[:, None]
    model = Sequential([Input(p.shape[1:]), Activation("linear")])
    plain, weighted = new_metric(name), new_metric(name)
    loss = "sparse_categorical_crossentropy" if t.ndim < p.ndim else "mse"
    model.compile("sgd", loss, metrics=[plain], weighted_metrics=[weighted])
    found = model.evaluate(p, t, sample_weight=w, batch_size=4, verbose=0, return_dict=True)

    agree(case, {"result": found[plain.name], "weighted": found[f"weighted_{plain.name}"]}, 1e-6)
    agree(case, {"result": plain.result(), "weighted": weighted.result()}, 1e-6)


# Optimizers.


def traces(steps: Callable[[list[np.ndarray]], list[np.ndarray]]) -> list[list[np.ndarray]]:
    """The parameters after each step on the recorded gradients."""
    return [steps([array(g) for g in grads]) for grads in GOLDEN["optimizers"]["_inputs"]["grads"]]


def start_parameters() -> list[Variable]:
    values = GOLDEN["optimizers"]["_inputs"]["p0"]
    return [Variable(value, name) for value, name in zip(values, ("kernel", "bias"), strict=True)]


def agree_on_traces(
    case: dict[str, Any], trace: list[list[np.ndarray]], last: list[np.ndarray], iterations: int
) -> None:
    assert set(case) == {"kw", "trace", "iterations", "after_finalize"}
    assert iterations == case["iterations"]
    for step, (values, expected) in enumerate(zip(trace, case["trace"], strict=True)):
        for value, want in zip(values, expected, strict=True):
            assert error(value, want) <= 1e-5, step
    for value, want in zip(last, case["after_finalize"], strict=True):
        assert error(value, want) <= 1e-5


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule(name: str) -> None:
    case, schedule = GOLDEN["schedules"][name], SCHEDULES[name]
    for rates in (schedule.rates(np.array(case["steps"], np.float64)), [schedule(k) for k in case["steps"]]):
        assert error(rates, np.array(case["lr"])) <= 1e-7


OPTIMIZER_CASES = [(name, i) for name, cases in OPTIMIZERS.items() for i in cases]


@pytest.mark.parametrize("name, i", OPTIMIZER_CASES)
def test_optimizer_on_variables(name: str, i: int) -> None:
    case = GOLDEN["optimizers"][name][i]
    optimizer = getattr(optimizers, name)(**case["kw"])
    variables = start_parameters()

    def step(grads: list[np.ndarray]) -> list[np.ndarray]:
        optimizer.apply(grads, variables)
        return [v.numpy() for v in variables]

    trace = traces(step)
    optimizer.finalize_variable_values(variables)
    agree_on_traces(case, trace, [v.numpy() for v in variables], optimizer.iterations)


@pytest.mark.parametrize("name, i", OPTIMIZER_CASES)
def test_optimizer_in_a_program(name: str, i: int, backend: str) -> None:
    """The optimizer's instruction over the flat vectors, as training programs end in it."""
    case = GOLDEN["optimizers"][name][i]
    optimizer = getattr(optimizers, name)(**case["kw"])
    variables = start_parameters()
    flat = FlatVectors(variables)
    b = Builder("update", training=True)
    optimizer.lower(b, variables)
    program = b.finish()
    executable = backends.current().load(program, plan(program, flat.offsets, 1))
    memory = Memory(flat, optimizer.ensure_state(variables), np.zeros(0))
    done = 0

    def step(grads: list[np.ndarray]) -> list[np.ndarray]:
        nonlocal done
        for v, g in zip(variables, grads, strict=True):
            start = flat.offsets[v.path]
            flat.gradient[start : start + v.size] = g.reshape(-1)
        executable.run(memory, Epoch(1, step=done, rates=optimizer.rates(done, 1)), 0, 1)
        done += 1
        optimizer.steps = done
        return [v.numpy() for v in variables]

    trace = traces(step)
    optimizer.finalize_variable_values(variables)
    agree_on_traces(case, trace, [v.numpy() for v in variables], optimizer.iterations)


# Regularizers and constraints.


def kernel_model(w: np.ndarray, **held: Any) -> Sequential:
    """A layer with the kernel w."""
    model = Sequential([Input((len(w),)), Dense(w.shape[1], use_bias=False, **held)])
    model.set_weights([w])
    model.compile(SGD(0.0), "mse")
    return model


@pytest.mark.parametrize("name", REGULARIZERS)
def test_regularizer(name: str, backend: str) -> None:
    """On an array, and as the loss of a model that makes no mistake."""
    w, want = array(GOLDEN["regularizers"]["w"]), GOLDEN["regularizers"][name]
    assert error(REGULARIZERS[name](w), want) <= 1e-6
    model = kernel_model(w, kernel_regularizer=REGULARIZERS[name])
    assert error(model.evaluate(np.zeros((3, 3)), np.zeros((3, 4)), verbose=0), want) <= 1e-6


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_constraint(name: str, backend: str) -> None:
    """On an array, and on a weight after an update that changes nothing."""
    w, want = array(GOLDEN["constraints"]["w"]), array(GOLDEN["constraints"][name])
    assert error(CONSTRAINTS[name](w), want) <= 1e-6
    model = kernel_model(w, kernel_constraint=CONSTRAINTS[name])
    model.train_on_batch(np.zeros((3, 3)), np.zeros((3, 4)))
    assert error(model.get_weights()[0], want) <= 1e-6


# Layers.


@pytest.mark.parametrize("name", LAYERS)
def test_layer(name: str, backend: str) -> None:
    """Predictions; then one step of SGD(1) on the mean squared error: what the weights lost is their gradient."""
    case = GOLDEN["layers"][name]
    x = array(case["x"])
    weights = [array(w["value"]) for w in case["weights"]]
    model = Sequential([Input(x.shape[1:]), LAYERS[name]()])
    recorded_weights = [(w["name"].rpartition("/")[2], w["shape"]) for w in case["weights"]]
    assert [(v.name, list(v.shape)) for v in model.weights] == recorded_weights
    model.set_weights(weights)
    y = model.predict(x, verbose=0)
    if "train_target" not in case:  # a layer that is not made to be trained through
        agree(case, {"y": y}, 1e-6)
        return
    target = array(case["train_target"])
    model.compile(SGD(learning_rate=1.0), loss="mse")
    loss = model.train_on_batch(x, target)
    delta = [before - after for before, after in zip(weights, model.get_weights(), strict=True)]
    assert set(case) - INPUTS == {"y", "loss", "delta"} | (set() if name.startswith("Embedding") else {"dx"})
    assert error(y, case["y"]) <= 1e-6
    assert error(loss, case["loss"]) <= 1e-6
    for got, want in zip(delta, case["delta"], strict=True):
        assert error(got, want) <= 2e-6
    if "dx" in case:
        assert error(input_gradient(LAYERS[name](), x, target, weights), case["dx"]) <= 2e-6


def input_gradient(layer: Layer, x: np.ndarray, target: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
    """The gradient in x: the samples are the rows of a kernel, which a batch of one-hot rows picks."""
    source = Dense(x[0].size, use_bias=False, name="source")
    model = Sequential([Input((len(x),)), source, Reshape(x.shape[1:]), layer])
    model.set_weights([x.reshape(len(x), -1), *weights])
    model.compile(SGD(1.0), "mse")
    model.train_on_batch(np.eye(len(x)), target)
    return (x.reshape(len(x), -1) - source.kernel.numpy()).reshape(x.shape)


# Fits.

DATA = {
    "y_reg": array(GOLDEN["fit_data"]["y_reg"]),
    "y_int": np.array(GOLDEN["fit_data"]["y_int"]),
    "y_hot": np.eye(3, dtype=np.float32)[GOLDEN["fit_data"]["y_int"]],
    "y_one": (np.array(GOLDEN["fit_data"]["y_int"]) == 1).astype(np.float32),
}


@pytest.mark.parametrize("name", FITS)
def test_fit(name: str, backend: str) -> None:
    case, setting = GOLDEN["fits"][name], FITS[name]
    x, y = array(GOLDEN["fit_data"]["X"]), DATA[setting.get("y", "y_hot")]
    dense = setting.get("layers", [("relu", 5), ("softmax", 3)])
    stack = setting.get("stack", lambda: [Dense(units, activation=activation) for activation, units in dense])
    model = Sequential([Input((6,)), *stack()])
    model.set_weights([array(w) for w in case["w0"]])
    optimizer = setting["optimizer"]
    fresh = optimizer if isinstance(optimizer, str) else type(optimizer).from_config(optimizer.get_config())
    model.compile(fresh, setting.get("loss", "categorical_crossentropy"), metrics=setting.get("metrics", ["accuracy"]))
    how = setting.get("fit", {"epochs": 3, "batch_size": 8, "validation_split": 0.2})
    history = model.fit(x, y, shuffle=False, verbose=0, **how).history
    scores = model.evaluate(x, y, verbose=0, return_dict=True)

    without = setting.get("without", ())
    assert set(case) - INPUTS == {"history", "history_keys", "evaluate", "w", "predict"}
    assert list(history) == [key for key in case["history_keys"] if key not in without]
    assert list(scores) == [key for key in case["evaluate"] if key not in without]
    for key, values in history.items():
        assert error(values, case["history"][key]) <= 1e-5, key
    for key, value in scores.items():
        assert error(value, case["evaluate"][key]) <= 1e-5, key
    for got, want in zip(model.get_weights(), case["w"], strict=True):
        assert error(got, want) <= 1e-5
    assert error(model.predict(x[:3], verbose=0), case["predict"]) <= 1e-5
