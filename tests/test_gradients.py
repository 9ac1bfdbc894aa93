"""Finite differences in float64: every layer with every loss, through whole training programs on the reference backend.

The gradient rules are shared by both backends, so only something that knows none of them can check them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from activation_table import NAMES
from oracles import Problem, Run, tight_plan

from nncore import layers as all_layers
from nncore import losses, random
from nncore.backends.numpy import NumpyBackend
from nncore.layers import (
    ELU,
    Activation,
    ActivityRegularization,
    AlphaDropout,
    BatchNormalization,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GaussianDropout,
    GaussianNoise,
    GroupNormalization,
    Identity,
    InputLayer,
    Lambda,
    Layer,
    LayerNormalization,
    LeakyReLU,
    Masking,
    Normalization,
    Permute,
    PReLU,
    ReLU,
    RepeatVector,
    Rescaling,
    Reshape,
    RMSNormalization,
    Softmax,
    SpatialDropout1D,
    SpatialDropout2D,
    SpatialDropout3D,
    TimeDistributed,
    UnitNormalization,
)
from nncore.layers.base import elements
from nncore.losses import Loss
from nncore.optimizers import SGD
from nncore.regularizers import L1, L1L2, L2, OrthogonalRegularizer

Stack = Callable[[], list[Layer]]

HIDDEN: dict[str, Stack] = {
    "nothing": list,
    "Dense": lambda: [Dense(4)],
    "Dense without bias": lambda: [Dense(4, use_bias=False)],
    "Dense relu": lambda: [Dense(4, "relu"), Dense(3, "relu")],
    "Dense tanh": lambda: [Dense(4, "tanh"), Dense(3, "tanh")],
    "Dense sigmoid": lambda: [Dense(4, "sigmoid"), Dense(3, "sigmoid")],
    "Dense softmax": lambda: [Dense(4, "softmax")],
    "Activation": lambda: [
        Dense(4),
        Activation("tanh"),
        Activation("sigmoid"),
        Activation("linear"),
        Activation("relu"),
    ],
    "ReLU": lambda: [Dense(4), ReLU()],
    "ReLU with all": lambda: [Dense(5), ReLU(max_value=0.5, negative_slope=0.3, threshold=0.1)],
    "ReLU that leaks": lambda: [Dense(5), ReLU(negative_slope=0.2)],
    "LeakyReLU": lambda: [Dense(5), LeakyReLU()],
    "ELU": lambda: [Dense(5), ELU(0.7)],
    "PReLU": lambda: [Dense(5), PReLU(alpha_regularizer="l2")],
    "PReLU of axes": lambda: [
        Dense(12),
        Reshape((2, 3, 2)),
        PReLU(shared_axes=2),
        PReLU(shared_axes=[1, 3]),
        PReLU(shared_axes=[1, 2, 3]),
        Flatten(),
    ],
    "Softmax": lambda: [Dense(4), Softmax()],
    "Softmax of axes": lambda: [
        Dense(12),
        Reshape((2, 3, 2)),
        Softmax(2),
        Rescaling(5.0),
        Softmax([1, 3]),
        Rescaling(5.0),
        Softmax((-1, 1)),
        Flatten(),
    ],
    "of rows": lambda: [Dense(8, "glu"), Rescaling(5.0), Activation("log_softmax"), Activation("sparsemax")],
    "Dropout": lambda: [Dense(8), Dropout(0.4)],
    "Lambda": lambda: [Dense(4), Lambda(lambda x: x * x - 1)],
    "Masking": lambda: [Dense(2, "relu"), Masking(), Dense(4, "tanh")],
    "two Dropouts": lambda: [Dense(6, "tanh"), Dropout(0.2), Dense(5), Dropout(0.6, seed=3)],
    "noise": lambda: [Dense(5), GaussianNoise(0.3), Dense(4, "tanh"), GaussianDropout(0.4), AlphaDropout(0.3)],
    "SpatialDropouts": lambda: [
        Dense(12),
        Reshape((3, 4)),
        SpatialDropout1D(0.3),
        Reshape((1, 3, 4)),
        SpatialDropout2D(0.3, "channels_first"),
        Reshape((3, 1, 2, 2)),
        SpatialDropout3D(0.3),
        Flatten(),
    ],
    "noise shapes": lambda: [
        Dense(12),
        Reshape((3, 2, 2)),
        Dropout(0.3, (None, 1, None, 1)),
        Dropout(0.3, (1, None, 1, None)),
        AlphaDropout(0.3, (None, None, 1, 1)),
        AlphaDropout(0.3, (1, 1, None, None)),
        Flatten(),
    ],
    "Rescaling": lambda: [Dense(4), Rescaling(-1.5, 0.5)],
    "Reshape": lambda: [Dense(6), Reshape((3, 2)), Dense(2, "tanh"), Flatten()],
    "Permute": lambda: [
        Dense(12),
        Reshape((2, 3, 2)),
        Permute((3, 1, 2)),
        Dense(2, "tanh"),
        Permute((2, 3, 1)),
        Flatten(),
    ],
    "TimeDistributed": lambda: [
        Dense(4),
        RepeatVector(3),
        TimeDistributed(Dense(2, "tanh")),
        TimeDistributed(LayerNormalization()),
        Flatten(),
    ],
    "RepeatVector": lambda: [Dense(4), RepeatVector(3), Dense(2, "tanh"), Flatten()],
    "Identity": lambda: [Identity(), Dense(4), Identity()],
    "Flatten channels first": lambda: [
        Dense(12),
        Reshape((2, 3, 2)),
        Dense(3),
        Flatten("channels_first"),
        Dense(3, "tanh"),
    ],
    "penalties of weights": lambda: [
        Dense(4, "tanh", kernel_regularizer=L1L2(0.1, 0.2), bias_regularizer=L2(0.3)),
        Dense(3, kernel_regularizer=OrthogonalRegularizer(0.5), trainable=True),
        Dense(4, "tanh", kernel_regularizer=OrthogonalRegularizer(0.5, "columns")),
    ],
    "penalties of outputs": lambda: [
        Dense(4, activity_regularizer=L1(0.1)),
        ActivityRegularization(0.05, 0.1),
        Dense(3, "sigmoid", activity_regularizer="l2"),
    ],
    "penalties of frozen weights": lambda: [
        Dense(4, "tanh", trainable=False, kernel_regularizer=L2(0.3)),
        Dense(3, kernel_regularizer=L2(0.3)),
    ],
    "BatchNormalization": lambda: [Dense(3), BatchNormalization()],
    "LayerNormalization": lambda: [Dense(3), LayerNormalization()],
    "GroupNormalization": lambda: [Dense(4), Reshape((1, 4)), GroupNormalization(2), Flatten()],
    "RMSNormalization": lambda: [Dense(3), RMSNormalization()],
    "UnitNormalization": lambda: [Dense(3), UnitNormalization()],
    "Normalization": lambda: [Dense(3), Normalization(mean=[1.0, 2.0, 3.0], variance=2.0)],
    "frozen": lambda: [Dense(4, "tanh"), Dense(4, trainable=False), Dense(3, "tanh")],
    "frozen first": lambda: [Dense(4, "tanh", trainable=False), Dense(3, "tanh")],
}

HEADS: dict[str, tuple[Stack, Loss, str]] = {
    "mse": (lambda: [Dense(3)], losses.MeanSquaredError(), "values"),
    "mae": (lambda: [Dense(3)], losses.MeanAbsoluteError(), "values"),
    "mse of probabilities": (lambda: [Dense(3, "softmax")], losses.MeanSquaredError(), "values"),
    "cce fused": (lambda: [Dense(3, "softmax")], losses.CategoricalCrossentropy(), "one_hot"),
    "cce smoothed": (lambda: [Dense(3, "softmax")], losses.CategoricalCrossentropy(label_smoothing=0.2), "one_hot"),
    "cce logits": (lambda: [Dense(3)], losses.CategoricalCrossentropy(from_logits=True), "one_hot"),
    "cce unnormalised": (lambda: [Dense(3, "sigmoid")], losses.CategoricalCrossentropy(), "one_hot"),
    "cce of soft targets": (lambda: [Dense(3, "softmax")], losses.CategoricalCrossentropy(), "positive"),
    "cce and a penalty": (
        lambda: [Dense(3, "softmax", activity_regularizer=L2(0.5))], losses.CategoricalCrossentropy(), "one_hot",
    ),
    "scce fused": (lambda: [Dense(3, "softmax")], losses.SparseCategoricalCrossentropy(), "labels"),
    "scce logits": (lambda: [Dense(3)], losses.SparseCategoricalCrossentropy(from_logits=True), "labels"),
    "scce probabilities": (
        lambda: [Dense(3, "softmax"), Rescaling(0.5, 0.1)], losses.SparseCategoricalCrossentropy(), "labels",
    ),
    "bce fused": (lambda: [Dense(3), Activation("sigmoid")], losses.BinaryCrossentropy(), "binary"),
    "bce and a penalty": (
        lambda: [Dense(3), Activation("sigmoid", activity_regularizer=L1(0.5))], losses.BinaryCrossentropy(), "binary",
    ),
    "bce smoothed": (lambda: [Dense(1, "sigmoid")], losses.BinaryCrossentropy(label_smoothing=0.1), "binary"),
    "bce logits": (lambda: [Dense(2)], losses.BinaryCrossentropy(from_logits=True), "binary"),
    "bce probabilities": (lambda: [Dense(3, "softmax")], losses.BinaryCrossentropy(), "binary"),
}  # fmt: skip


MORE_HEADS: dict[str, tuple[Stack, Loss, str]] = {
    "mape": (lambda: [Dense(3)], losses.MeanAbsolutePercentageError(), "values"),
    "msle": (lambda: [Dense(3, "sigmoid")], losses.MeanSquaredLogarithmicError(), "positive"),
    "cosine": (lambda: [Dense(3)], losses.CosineSimilarity(), "values"),
    "huber": (lambda: [Dense(3)], losses.Huber(0.8), "values"),
    "log cosh": (lambda: [Dense(3)], losses.LogCosh(), "values"),
    "hinge of 0 and 1": (lambda: [Dense(3)], losses.Hinge(), "binary"),
    "hinge of values": (lambda: [Dense(3)], losses.Hinge(), "values"),
    "squared hinge": (lambda: [Dense(3)], losses.SquaredHinge(), "binary"),
    "categorical hinge": (lambda: [Dense(3)], losses.CategoricalHinge(), "one_hot"),
    "kld": (lambda: [Dense(3, "softmax")], losses.KLDivergence(), "positive"),
    "poisson": (lambda: [Dense(3, "sigmoid")], losses.Poisson(), "positive"),
    "bfc": (lambda: [Dense(3, "sigmoid")], losses.BinaryFocalCrossentropy(), "binary"),
    "bfc balanced": (
        lambda: [Dense(3)], losses.BinaryFocalCrossentropy(True, 0.3, 1.5, True, label_smoothing=0.1), "binary",
    ),
    "cfc": (lambda: [Dense(3, "softmax")], losses.CategoricalFocalCrossentropy(0.5, 3.0), "one_hot"),
    "cfc logits": (
        lambda: [Dense(3)], losses.CategoricalFocalCrossentropy(from_logits=True, label_smoothing=0.1), "one_hot",
    ),
    "gce": (lambda: [Dense(3, "softmax")], losses.CategoricalGeneralizedCrossEntropy(0.3), "labels"),
    "scce that ignores": (lambda: [Dense(3, "softmax")], losses.SparseCategoricalCrossentropy(False, 1), "labels"),
    "scce logits that ignores": (lambda: [Dense(3)], losses.SparseCategoricalCrossentropy(True, 0, "sum"), "labels"),
    "dice of the batch": (lambda: [Dense(3, "sigmoid")], losses.Dice(), "binary"),
    "dice of rows": (lambda: [Dense(3, "sigmoid")], losses.Dice(axis=-1), "binary"),
    "tversky": (lambda: [Dense(3, "sigmoid")], losses.Tversky(0.3, 0.9), "binary"),
    "mse summed": (lambda: [Dense(3)], losses.MeanSquaredError("sum"), "values"),
    "scce by weights": (
        lambda: [Dense(3, "softmax")], losses.SparseCategoricalCrossentropy(False, 2, "mean_with_sample_weight"),
        "labels",
    ),
    "bce by weights": (
        lambda: [Dense(2, "sigmoid")], losses.BinaryCrossentropy(reduction="mean_with_sample_weight"), "binary",
    ),
}  # fmt: skip
"""Heads whose losses are on the other side of the predictions from all hidden layers: each is tried with one."""

ALL_HEADS = HEADS | MORE_HEADS


def make(hidden: Stack, head: Stack, loss: Loss, kind: str, sample: tuple[int, ...], weighted: bool) -> Problem:
    """A batch of 5 samples for layers that end in ``head``."""
    random.set_seed(3)
    rng = np.random.default_rng(len(sample) + weighted)
    layers = [*hidden(), *head()]
    leading = (5, *sample[:-1])
    units = next(layer.units for layer in reversed(layers) if isinstance(layer, Dense))
    y = {
        "values": lambda: rng.normal(size=(*leading, units)),
        "one_hot": lambda: np.eye(units)[rng.integers(0, units, leading)],
        "positive": lambda: rng.uniform(0, 1, (*leading, units)),
        "labels": lambda: rng.integers(0, units, leading),
        "binary": lambda: rng.integers(0, 2, (*leading, units)),
    }[kind]()
    weight = rng.uniform(0.2, 2, 5) if weighted else None
    problem = Problem(layers, rng.normal(size=(5, *sample)), y, loss, [], SGD(0.0), weight, 5)
    for layer in layers:  # biases of 0 would sit on the kinks that dropped values fall on
        for v in layer.weights:
            v.assign(v.value + rng.uniform(-0.3, 0.3, v.shape))
    problem.flat.adopt()
    return problem


def check(problem: Problem) -> None:
    """Central differences of the loss in every trainable weight against the program's gradient vector."""
    program = problem.program()
    at = tight_plan(program, problem.flat, problem.batch)
    start = problem.start(program, at, np.float64)
    count = len(problem.x) * elements(problem.loss.rows_shape(problem.output_shape))

    def run(index: int | None = None, change: float = 0.0) -> Run:
        once = problem.start(program, at, np.float64)
        once.flat.parameter[...] = start.flat.parameter
        if index is not None:
            once.flat.parameter[index] += change
        return once.run(NumpyBackend(np.float64), problem.epoch(), 0, 1)

    gradient = run().flat.gradient
    scale = np.abs(gradient).max()
    assert scale > 1e-4
    h = 1e-5
    trained = [
        problem.flat.offsets[v.path] + i for layer in problem.layers for v in layer.trainable_weights
        for i in range(v.size)
    ]  # fmt: skip
    for index in trained:
        slope = (run(index, h).totals[0] - run(index, -h).totals[0]) / (2 * h) / count
        assert abs(slope - gradient[index]) <= 1e-6 * scale, index


PAIRS = [
    *((hidden, head) for hidden in HIDDEN for head in ("mse", "cce fused", "bce fused")),
    *((hidden, head) for hidden in ("nothing", "Dense tanh", "Dropout") for head in HEADS),
]
"""Every layer with a few losses, and every loss with a few layers: a rule knows nothing of what stands further on."""


@pytest.mark.parametrize("hidden, head", sorted(set(PAIRS)))
def test_layer_and_loss(hidden: str, head: str) -> None:
    check(make(HIDDEN[hidden], *HEADS[head], sample=(3,), weighted=False))


@pytest.mark.parametrize("name", NAMES)
def test_activation(name: str) -> None:
    check(make(lambda: [Dense(9), Activation(name)], *HEADS["mse"], sample=(3,), weighted=False))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("head", ALL_HEADS)
def test_sample_weights(head: str, weighted: bool) -> None:
    check(make(HIDDEN["Dense tanh"], *ALL_HEADS[head], sample=(3,), weighted=weighted))


NORMS: dict[str, Stack] = {
    "of the input": lambda: [BatchNormalization(scale=False), Dense(3), LayerNormalization(center=False)],
    "one behind the other": lambda: [Dense(3), BatchNormalization(), BatchNormalization(center=False), Dense(2)],
    "of a middle axis": lambda: [Dense(4), Reshape((2, 2)), BatchNormalization(axis=1), Dense(2, "tanh"), Flatten()],
    "frozen": lambda: [Dense(3), BatchNormalization(trainable=False)],
    "of two axes": lambda: [Dense(8), Reshape((2, 2, 2)), LayerNormalization(axis=[1, 3]), Dense(2), Flatten()],
    "of other axes": lambda: [
        Dense(4), Reshape((2, 2)), RMSNormalization(axis=1, epsilon=0.1), UnitNormalization(axis=[1, 2]), Flatten(),
    ],
    "of groups": lambda: [Dense(8), Reshape((2, 4)), GroupNormalization(2, epsilon=0.1), Flatten()],
    "of each channel": lambda: [Dense(8), Reshape((2, 4)), GroupNormalization(-1, axis=1, scale=False), Flatten()],
    "by what is given": lambda: [
        Dense(2), Normalization(axis=None, mean=1.0, variance=0.25, invert=True), Dense(2, "tanh"), Normalization(),
    ],
}  # fmt: skip


@pytest.mark.parametrize("norm", NORMS)
def test_norms(norm: str) -> None:
    check(make(NORMS[norm], *HEADS["mse"], sample=(3,), weighted=False))


@pytest.mark.parametrize("head", ["mse", "scce logits"])
def test_batch_norm_as_the_last_layer(head: str) -> None:
    last, loss, kind = HEADS[head]
    check(make(list, lambda: [*last(), BatchNormalization()], loss, kind, sample=(3,), weighted=True))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("head", ALL_HEADS)
def test_samples_of_several_rows(head: str, weighted: bool) -> None:
    """One target for each of the 2 rows of a sample; a sample's weight counts for both."""
    check(make(HIDDEN["Dense tanh"], *ALL_HEADS[head], sample=(2, 3), weighted=weighted))


AXES: dict[str, tuple[str | None, Loss, tuple[int, ...]]] = {
    "cosine": (None, losses.CosineSimilarity(axis=1), (2, 4, 3)),
    "cce": ("sigmoid", losses.CategoricalCrossentropy(axis=1, label_smoothing=0.1), (2, 4, 3)),
    "cce logits": (None, losses.CategoricalCrossentropy(True, axis=-2), (2, 4, 3)),
    "scce": ("sigmoid", losses.SparseCategoricalCrossentropy(axis=2), (2, 3)),
    "scce that ignores": ("sigmoid", losses.SparseCategoricalCrossentropy(ignore_class=1, axis=1), (4, 3)),
    "bce": ("sigmoid", losses.BinaryCrossentropy(axis=2), (2, 4, 3)),
    "bce of the last": ("sigmoid", losses.BinaryCrossentropy(axis=3), (2, 4, 3)),
    "cfc": ("sigmoid", losses.CategoricalFocalCrossentropy(axis=1), (2, 4, 3)),
    "dice": ("sigmoid", losses.Dice(axis=(1, 2)), (2, 4, 3)),
    "dice of ends": ("sigmoid", losses.Dice(axis=[3, 1]), (2, 4, 3)),
    "tversky": ("sigmoid", losses.Tversky(0.2, 0.7, axis=(-1, -2, -3)), (2, 4, 3)),
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("case", AXES)
def test_axes(case: str, weighted: bool) -> None:
    """Losses whose rows are not along the last axis; weights are one a value of the loss."""
    activation, loss, target = AXES[case]
    random.set_seed(3)
    rng = np.random.default_rng(5)
    y = rng.integers(0, 2, (4, *target)) if loss.target == "labels" else rng.uniform(0, 1, (4, *target))
    layers: list[Layer] = [Reshape((6,)), Dense(24, activation), Reshape((2, 4, 3))]
    weight = rng.uniform(0.2, 2, (4, *loss.rows_shape((None, 2, 4, 3))[1:])) if weighted else None
    check(Problem(layers, rng.normal(size=(4, 2, 3)), y, loss, [], SGD(0.0), weight, 4))


def test_every_layer_has_its_row() -> None:
    known = {
        cls for cls in vars(all_layers).values()
        if isinstance(cls, type) and issubclass(cls, Layer) and cls not in (Layer, InputLayer)
    }  # fmt: skip
    used = {type(layer) for stack in HIDDEN.values() for layer in stack()}
    assert known == used | {Embedding}  # takes integers: test_embedding.py


def test_every_loss_has_its_row() -> None:
    assert set(losses.CLASSES.values()) == {type(loss) for _, loss, _ in ALL_HEADS.values()}


def test_saturated_logits_keep_their_gradient() -> None:
    """Keras's other backends clip probabilities here and give no gradient; from the logits it is p - t."""
    for head, target in (("cce fused", [[0.0, 1.0, 0.0]]), ("scce fused", [1]), ("bce fused", [[0.0, 1.0, 0.0]])):
        layers, loss, _ = HEADS[head]
        problem = Problem(layers(), np.ones((1, 1)), np.array(target), loss, [], SGD(0.0), None, 1)
        dense = problem.layers[0]
        dense.set_weights([[[60.0, -60.0, -60.0]], np.zeros(3)])
        program = problem.program()
        run = problem.start(program, tight_plan(program, problem.flat, 1), np.float64)
        run.run(NumpyBackend(np.float64), problem.epoch())
        at = problem.flat.offsets[dense.kernel.path]
        p = np.array([1.0, 0.0, 0.0])
        share = 3 if head == "bce fused" else 1
        assert np.allclose(run.flat.gradient[at : at + 3], (p - [0, 1, 0]) / share, atol=1e-12)
        expected = 120.0 if head != "bce fused" else 40.0
        assert abs(run.totals[0] - expected) < 1e-6
