"""Regularizers and constraints: by hand, in training on both backends, as configs, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from oracles import error, one_hot, relative, same_bits, uniform

from nncore import constraints, regularizers
from nncore.layers import Activation, ActivityRegularization, Dense, Dropout, Input, Reshape
from nncore.models import Sequential
from nncore.optimizers import SGD, Adam
from nncore.regularizers import L1, L1L2, L2, OrthogonalRegularizer
from nncore.variables import Variable

pytestmark = pytest.mark.usefixtures("seed")

W = uniform(5, 4, low=-3, high=3)


def by_formula(regularizer: Any, w: np.ndarray) -> float:
    """The penalty in float64."""
    w = np.asarray(w, np.float64)
    if isinstance(regularizer, OrthogonalRegularizer):
        rows = w if regularizer.mode == "rows" else w.T
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        pairs = [abs(a @ b) for i, a in enumerate(rows) for b in rows[:i]]
        return regularizer.factor * float(np.mean(pairs)) if pairs else 0.0
    l1, l2 = getattr(regularizer, "l1", 0.0), getattr(regularizer, "l2", 0.0)
    return float(l1 * np.abs(w).sum() + l2 * np.square(w).sum())


REGULARIZERS = [
    L1(),
    L2(0.3),
    L1L2(0.1, 0.2),
    L1L2(),
    OrthogonalRegularizer(0.5),
    OrthogonalRegularizer(mode="columns"),
]


@pytest.mark.parametrize("regularizer", REGULARIZERS, ids=repr)
def test_penalty_of_an_array(regularizer: Any) -> None:
    value = regularizer(W)
    assert isinstance(value, np.float32)
    assert value == pytest.approx(by_formula(regularizer, W), rel=1e-6)
    assert regularizer(Variable(W)) == value
    model = Sequential([Input((5,)), Dense(4, use_bias=False, kernel_regularizer=regularizer)])
    model.set_weights([W])
    assert [float(v) for v in model.losses] == [float(value)]


def test_orthogonal_rows_have_no_penalty() -> None:
    assert OrthogonalRegularizer()(np.diag([1.0, -2.0, 3.0])) == 0
    assert OrthogonalRegularizer()(np.ones((1, 4))) == 0


def test_large_weights_are_summed_exactly_enough() -> None:
    """A million equal values: a plain running sum in float32 would be off by a percent."""
    w = np.full((1000, 1000), 0.1, np.float32)
    model = Sequential([Input((1000,)), Dense(1000, use_bias=False, kernel_regularizer=L1L2(1e-6, 1e-5))])
    model.set_weights([w])
    model.compile("sgd", "mse")
    loss = model.evaluate(np.zeros((1, 1000)), np.zeros((1, 1000)), verbose=0)
    assert loss == pytest.approx(by_formula(L1L2(1e-6, 1e-5), w), rel=1e-6)


@pytest.mark.parametrize("weighted", [False, True])
def test_training_by_hand(weighted: bool, backend: str) -> None:
    """Losses and weights of every epoch against float64, with a tail batch, L1, L2 and a penalty of the outputs."""
    x, y = uniform(20, 3), uniform(20, 2)
    weight = uniform(20, low=0, high=2) if weighted else np.ones(20, np.float32)
    layer = Dense(2, "linear", kernel_regularizer=L1L2(0.01, 0.02), bias_regularizer="l2", activity_regularizer=L2(0.1))
    model = Sequential([Input((3,)), layer])
    model.set_weights([uniform(3, 2), uniform(2)])
    model.compile(SGD(0.1), "mse")
    w, bias = (v.astype(np.float64) for v in model.get_weights())
    losses = []
    for _ in range(3):
        total = 0.0
        for start in range(0, 20, 8):
            xs, ys, ws = x[start : start + 8], y[start : start + 8], weight[start : start + 8]
            p = xs @ w + bias
            activity = 0.1 * np.square(p).sum() / len(xs)
            fixed = 0.01 * np.abs(w).sum() + 0.02 * np.square(w).sum() + 0.01 * np.square(bias).sum()
            total += len(xs) * ((np.square(p - ys).mean(axis=1) * ws).mean() + fixed + activity)
            dp = (p - ys) * ws[:, None] / len(xs) + 0.2 * p / len(xs)
            dw, db = xs.T @ dp + 0.01 * np.sign(w) + 0.04 * w, dp.sum(axis=0) + 0.02 * bias
            w, bias = w - 0.1 * dw, bias - 0.1 * db
        losses.append(total / 20)
    given = {"sample_weight": weight} if weighted else {}
    history = model.fit(x, y, batch_size=8, epochs=3, shuffle=False, verbose=0, **given)
    assert error(history.history["loss"], losses) < 1e-6
    for got, want in zip(model.get_weights(), (w, bias), strict=True):
        assert error(got, want) < 1e-6


@pytest.mark.parametrize("mode", ["rows", "columns"])
def test_training_towards_orthogonality(mode: str, backend: str) -> None:
    """A step goes down the slope of the penalty, found by central differences of its formula."""
    regularizer = OrthogonalRegularizer(2.0, mode)
    model = Sequential([Input((5,)), Dense(4, use_bias=False, kernel_regularizer=regularizer)])
    model.set_weights([W])
    model.compile(SGD(1.0), "mse")
    loss = model.train_on_batch(np.zeros((2, 5)), np.zeros((2, 4)))
    assert loss == pytest.approx(by_formula(regularizer, W), rel=1e-5)
    slope = np.zeros_like(W)
    for at in np.ndindex(*W.shape):
        above, below = (by_formula(regularizer, W + np.where(at_is(at), h, 0)) for h in (1e-5, -1e-5))
        slope[at] = (above - below) / 2e-5
    assert error(W - model.get_weights()[0], slope) < 1e-6


def test_a_scaled_loss_scales_its_penalties(backend: str) -> None:
    """The optimizer takes the scale back: a power of two changes no bit."""
    x, y = uniform(8, 3), uniform(8, 2)
    after = []
    for scale in (None, 1024.0):
        model = Sequential([Input((3,)), Dense(2, kernel_regularizer="l2", activity_regularizer="l1")])
        model.set_weights([uniform(3, 2), uniform(2)])
        model.compile(SGD(0.1, loss_scale_factor=scale), "mse")
        model.train_on_batch(x, y)
        after.append(model.get_weights())
    assert all(same_bits(a, b) for a, b in zip(*after, strict=True))


def at_is(at: tuple[int, ...]) -> np.ndarray:
    mask = np.zeros(W.shape, bool)
    mask[at] = True
    return mask


def test_evaluate_and_single_batches_include_penalties(backend: str) -> None:
    model = Sequential(
        [Input((3,)), Dense(4, "tanh", kernel_regularizer="l1"), ActivityRegularization(0.1, 0.2), Dense(2)]
    )
    model.compile(SGD(0.0), "mse", metrics=["mse"])
    x, y = uniform(10, 3), uniform(10, 2)
    hidden = np.tanh(x @ model.get_weights()[0])
    penalty = 0.01 * np.abs(model.get_weights()[0]).sum()
    penalty += (0.1 * np.abs(hidden).sum() + 0.2 * np.square(hidden).sum()) / 10
    for scores in (
        model.evaluate(x, y, batch_size=10, verbose=0), model.test_on_batch(x, y), model.train_on_batch(x, y),
        [v[0] for v in model.fit(x, y, batch_size=10, verbose=0).history.values()],
    ):  # fmt: skip
        loss, plain = scores
        assert loss == pytest.approx(plain + penalty, rel=1e-5)


def test_samples_of_several_rows(backend: str) -> None:
    """The loss is the mean over steps; a penalty is added to it once a batch."""
    model = Sequential([Input((6,)), Reshape((3, 2)), Dense(2, kernel_regularizer=L2(0.5), activity_regularizer="l2")])
    model.compile("sgd", "mse")
    x, y = uniform(10, 6), uniform(10, 3, 2)
    w, bias = model.get_weights()
    p = x.reshape(10, 3, 2) @ w + bias
    want = np.square(p - y).mean() + 0.5 * np.square(w).sum() + 0.01 * np.square(p).sum() / 10
    assert model.evaluate(x, y, batch_size=5, verbose=0) == pytest.approx(want, rel=1e-5)


@pytest.mark.parametrize("head", ["softmax", "sigmoid"])
def test_a_penalty_of_probabilities(head: str, backend: str) -> None:
    """The loss still starts from the logits: exact where the probabilities are 0 and 1."""
    loss = {"softmax": "categorical_crossentropy", "sigmoid": "binary_crossentropy"}[head]
    model = Sequential([Input((3,)), Dense(3, head, use_bias=False, activity_regularizer=L2(0.5))])
    model.set_weights([np.diag([60.0, 60.0, 60.0])])
    model.compile(SGD(1.0), loss)
    x, y = np.array([[1.0, -1.0, -1.0]]), np.array([[0.0, 1.0, 0.0]])
    share = {"softmax": 120.0, "sigmoid": 40.0}[head]
    assert model.evaluate(x, y, verbose=0) == pytest.approx(share + 0.5, rel=1e-5)
    plain = Sequential([Input((3,)), Dense(3, head, use_bias=False)])
    plain.set_weights(model.get_weights())
    plain.compile(SGD(1.0), loss)
    for m in (model, plain):
        m.train_on_batch(x, y)
    # Saturated probabilities have no slope: the penalty moves nothing, the loss as much as alone.
    assert error(model.get_weights()[0], plain.get_weights()[0]) < 1e-6


def test_frozen_weights_have_no_penalty(backend: str) -> None:
    model = Sequential([Input((3,)), Dense(2, kernel_regularizer=L2(1.0), kernel_constraint="non_neg")])
    x, y = uniform(6, 3), uniform(6, 2)
    model.compile("sgd", "mse")
    with_penalty = model.evaluate(x, y, verbose=0)
    penalty = np.square(model.get_weights()[0]).sum()
    model.layers[0].trainable = False
    model.compile("sgd", "mse")
    assert model.losses == []
    assert model.evaluate(x, y, verbose=0) == pytest.approx(with_penalty - penalty, rel=1e-5)
    before = model.get_weights()
    model.fit(x, y, verbose=0)
    assert all(same_bits(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_regularizers_change_nothing_else() -> None:
    """Without any, a program is what it was; with some, predictions are."""
    some = {"kernel_regularizer": "l2", "activity_regularizer": "l1", "kernel_constraint": "max_norm"}
    plain, held = (Sequential([Input((3,)), Dense(4, "relu", name="a", **kw), Dense(2, name="b")]) for kw in ({}, some))
    assert str(plain.program) == str(held.program)
    plain.compile("sgd", "mse")
    assert "dense_grad_w_sgd" in [i.op for i in plain.program.instructions]


# Constraints.


def held(w: np.ndarray, axis: Any, goal: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    norm = np.sqrt(np.square(w.astype(np.float64)).sum(axis=axis, keepdims=True))
    return w * goal(norm) / (1e-7 + norm)


CONSTRAINTS: list[tuple[Any, Callable[[np.ndarray], np.ndarray]]] = [
    (constraints.NonNeg(), lambda w: np.maximum(w, 0)),
    (constraints.MaxNorm(), lambda w: held(w, 0, lambda n: np.minimum(n, 2))),
    (constraints.MaxNorm(0.5, axis=1), lambda w: held(w, 1, lambda n: np.minimum(n, 0.5))),
    (constraints.MaxNorm(1.5, axis=-1), lambda w: held(w, -1, lambda n: np.minimum(n, 1.5))),
    (constraints.MaxNorm(1, axis=[0, 1]), lambda w: held(w, (0, 1), lambda n: np.minimum(n, 1))),
    (constraints.MaxNorm(0), lambda w: w * 0),
    (constraints.UnitNorm(), lambda w: held(w, 0, lambda n: 1.0)),
    (constraints.UnitNorm(axis=[-1]), lambda w: held(w, 1, lambda n: 1.0)),
    (constraints.MinMaxNorm(2, 3), lambda w: held(w, 0, lambda n: np.clip(n, 2, 3))),
    (
        constraints.MinMaxNorm(0.5, 1.0, 0.25, axis=1),
        lambda w: held(w, 1, lambda n: 0.25 * np.clip(n, 0.5, 1) + 0.75 * n),
    ),
]


def test_a_running_mean_is_of_weights_before_their_constraints() -> None:
    """Keras's order: the mean takes w = 1 - 0.1 · 20 = -1, then w becomes 0; the mean has the last word."""
    variable = Variable(np.array([1.0]))
    variable.constraint = constraints.NonNeg()
    optimizer = SGD(0.1, use_ema=True, ema_momentum=0.5)
    optimizer.apply([np.array([20.0])], [variable])
    assert variable.numpy() == 0
    optimizer.finalize_variable_values([variable])
    assert variable.numpy() == -1


@pytest.mark.parametrize("constraint, want", CONSTRAINTS, ids=lambda c: repr(c) if hasattr(c, "get_config") else "")
def test_constraint_of_an_array(constraint: Any, want: Any) -> None:
    before = W.copy()
    assert relative(constraint(W), want(W), 1e-6) < 1e-6
    assert same_bits(W, before)
    assert relative(constraint(Variable(W)), want(W), 1e-6) < 1e-6


@pytest.mark.parametrize("axis", [0, 1, 2, 3, [0, 1, 2], [0, 2], [1, 3], [3, 0], [-1, 1], [0, 1, 2, 3]])
def test_any_axes_of_a_kernel(axis: Any) -> None:
    w = uniform(3, 4, 5, 6, low=-2, high=2)
    axes = tuple(axis) if isinstance(axis, list) else axis
    assert relative(constraints.MaxNorm(0.7, axis)(w), held(w, axes, lambda n: np.minimum(n, 0.7))) < 1e-6


@pytest.mark.parametrize("constraint, want", CONSTRAINTS, ids=lambda c: repr(c) if hasattr(c, "get_config") else "")
@pytest.mark.parametrize("optimizer", [lambda: SGD(0.3), lambda: Adam(0.05)], ids=["sgd", "adam"])
def test_weights_are_held_after_each_update(constraint: Any, want: Any, optimizer: Any, backend: str) -> None:
    """A step with the constraint is a step without, and then the constraint; the other weights know nothing of it."""
    x, y = uniform(16, 5), uniform(16, 3)
    stack = lambda **kw: [Input((5,)), Dense(4, "tanh", **kw), Dense(3, name="head")]  # noqa: E731
    free, bound = Sequential(stack()), Sequential(stack(kernel_constraint=constraint))
    bound.set_weights(free.get_weights())
    for model in (free, bound):
        model.compile(optimizer(), "mse")
        model.train_on_batch(x, y)
    assert relative(bound.get_weights()[0], want(free.get_weights()[0]), 1e-6) < 2e-6
    for a, b in zip(free.get_weights()[1:], bound.get_weights()[1:], strict=True):
        assert relative(a, b) < 1e-6
    bound.fit(x, y, epochs=2, batch_size=7, verbose=0)
    w = bound.get_weights()[0]
    if not isinstance(constraint, constraints.MinMaxNorm):
        assert relative(constraint(w), w, 1e-6) < 1e-6


def test_standalone_optimizers_hold_weights() -> None:
    variable = Variable([1.0, 2.0], "w", constraint=constraints.NonNeg())
    SGD(1.0).apply([[3.0, 0.5]], [variable])
    assert variable.numpy().tolist() == [0.0, 1.5]


def test_bias_constraint(backend: str) -> None:
    model = Sequential([Input((2,)), Dense(3, bias_initializer="ones", bias_constraint=constraints.MaxNorm(0.5))])
    model.compile(SGD(0.0), "mse")
    model.train_on_batch(np.zeros((1, 2)), np.zeros((1, 3)))
    assert np.linalg.norm(model.get_weights()[1]) == pytest.approx(0.5, rel=1e-6)


# Names and configs.

NAMES = {
    "l1": L1, "L1": L1, "l2": L2, "L2": L2, "l1_l2": L1L2, "l1l2": L1L2, "L1L2": L1L2,
    "orthogonal_regularizer": OrthogonalRegularizer, "OrthogonalRegularizer": OrthogonalRegularizer,
    "max_norm": constraints.MaxNorm, "MaxNorm": constraints.MaxNorm, "non_neg": constraints.NonNeg,
    "NonNeg": constraints.NonNeg, "unit_norm": constraints.UnitNorm, "UnitNorm": constraints.UnitNorm,
    "min_max_norm": constraints.MinMaxNorm, "MinMaxNorm": constraints.MinMaxNorm,
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names(name: str) -> None:
    cls = NAMES[name]
    module = regularizers if issubclass(cls, regularizers.Regularizer) else constraints
    assert type(module.get(name)) is cls
    assert type(module.get(cls)) is cls
    assert module.get(None) is None


@pytest.mark.parametrize("member", [*REGULARIZERS, *(c for c, _ in CONSTRAINTS)], ids=repr)
def test_round_trip(member: Any) -> None:
    module = regularizers if isinstance(member, regularizers.Regularizer) else constraints
    config = module.serialize(member)
    assert config["class_name"] == type(member).__name__
    assert config["module"] == module.__name__.replace("nncore", "keras")
    for again in (module.deserialize(config), module.get(config), type(member).from_config(member.get_config())):
        assert type(again) is type(member)
        assert again.get_config() == member.get_config()
    assert module.get(member) is member
    assert module.serialize(None) is None


def test_dense_round_trip() -> None:
    layer = Dense(
        3, kernel_regularizer=L1L2(0.1, 0.2), bias_regularizer="l1", activity_regularizer=L2(0.3),
        kernel_constraint=constraints.MaxNorm(3, [0]), bias_constraint="non_neg",
    )  # fmt: skip
    config = layer.get_config()
    again = Dense.from_config(config)
    assert again.get_config() == config
    assert again.kernel_regularizer.get_config() == {"l1": 0.1, "l2": 0.2}
    assert again.activity_regularizer.l2 == 0.3
    assert isinstance(again.bias_constraint, constraints.NonNeg)
    assert Dense(3).get_config()["kernel_regularizer"] is None
    assert "activity_regularizer" not in Dense(3).get_config()
    model = Sequential([Input((2,)), layer])
    assert Sequential.from_config(model.get_config()).layers[0].get_config() == config
    assert (layer.kernel.regularizer, layer.kernel.constraint) == (layer.kernel_regularizer, layer.kernel_constraint)
    own = ActivityRegularization(0.1, l2=0.2)
    assert own.get_config() == {"name": own.name, "trainable": True, "dtype": "float32", "l1": 0.1, "l2": 0.2}


def test_any_layer_takes_an_activity_regularizer(backend: str) -> None:
    for layer in (Dropout(0.5, activity_regularizer="l2"), Activation("linear", activity_regularizer=L2(0.01))):
        model = Sequential([Input((2,)), layer, Dense(2, kernel_initializer="zeros")])
        model.compile("sgd", "mse")
        assert model.evaluate(np.ones((4, 2)), np.zeros((4, 2)), verbose=0) == pytest.approx(0.02, rel=1e-6)


class Own(Dense):
    """A layer with a call of its own, and a layer inside."""

    def build(self, input_shape: Any) -> None:
        self.inner = Dense(3, "tanh", kernel_regularizer=L2(0.5), activity_regularizer=L2(0.25))
        super().build((None, 3))

    def call(self, inputs: Any) -> Any:
        return self.inner(inputs) @ self.kernel


def test_layers_inside_a_layer(backend: str) -> None:
    model = Sequential([Input((2,)), Own(2, use_bias=False, kernel_regularizer=L1(0.125))])
    x, y = uniform(4, 2), np.zeros((4, 2), np.float32)
    model.compile("sgd", "mse")
    kernel, w, bias = (v.numpy() for v in model.weights)
    hidden = np.tanh(x @ w + bias)
    want = np.square(hidden @ kernel).mean() + 0.125 * np.abs(kernel).sum() + 0.5 * np.square(w).sum()
    want += 0.25 * np.square(hidden).sum() / 4
    assert model.evaluate(x, y, verbose=0) == pytest.approx(want, rel=1e-5)


MISTAKES: dict[str, tuple[Callable[[], Any], tuple[str, ...]]] = {
    **{
        f"{cls.__name__} {argument}={value!r}": (
            lambda cls=cls, argument=argument, value=value: cls(**{argument: value}),
            (f"{cls.__name__}: {argument} must be", f"Received: {argument}={value!r}"),
        )
        for cls, argument, values in [
            (L1, "l1", (-0.1, np.nan, np.inf, "0.1", True)),
            (L2, "l2", (-1, np.nan)),
            (L1L2, "l1", (-0.1, [0.1])),
            (L1L2, "l2", (-0.1,)),
            (OrthogonalRegularizer, "factor", (-1, None)),
            (OrthogonalRegularizer, "mode", ("row", None)),
            (ActivityRegularization, "l1", (-1,)),
            (constraints.MaxNorm, "max_value", (-1, None)),
            (constraints.MaxNorm, "axis", (1.5, [], [0, 0], "0", None)),
            (constraints.UnitNorm, "axis", (True, [0, 1.0])),
            (constraints.MinMaxNorm, "min_value", (-1,)),
            (constraints.MinMaxNorm, "max_value", (-1,)),
            (constraints.MinMaxNorm, "rate", (-0.1, 1.5)),
        ]
        for value in values
    },
    "an interval upside down": (
        lambda: constraints.MinMaxNorm(2.0, 1.0),
        ("max_value must be at least min_value", "min_value=2.0, max_value=1.0"),
    ),
    "an unknown regularizer": (
        lambda: Dense(2, kernel_regularizer="l3"),
        ("Unknown regularizer: 'l3'", "Known names:", "l1_l2"),
    ),
    "an unknown constraint": (lambda: Dense(2, bias_constraint="max"), ("Unknown constraint", "MaxNorm")),
    "a regularizer as a constraint": (lambda: Dense(2, kernel_constraint=L2()), ("Unknown constraint",)),
    "a number": (lambda: Dense(2, activity_regularizer=0.1), ("Unknown regularizer: 0.1",)),
    "a config without a name": (lambda: regularizers.get({"l2": 0.1}), ("must hold 'class_name' and 'config'",)),
    "a config of something else": (
        lambda: constraints.deserialize({"class_name": "L2", "config": {}}),
        ("Unknown constraint: 'L2'",),
    ),
    "a config that does not fit": (
        lambda: regularizers.deserialize({"class_name": "L2", "config": {"l3": 1}}),
        ("L2: the config does not fit its arguments",),
    ),
    "an axis that the weight has not": (
        lambda: trained(Dense(2, kernel_constraint=constraints.MaxNorm(1, axis=2))),
        ("MaxNorm: axis must name different axes of the weight", "shape (3, 2)", "axis=2"),
    ),
    "an axis twice": (
        lambda: trained(Dense(2, kernel_constraint=constraints.UnitNorm(axis=[1, -1]))),
        ("UnitNorm: axis must name different axes", "axis=[1, -1]"),
    ),
    "an orthogonal bias": (
        lambda: trained(Dense(2, bias_regularizer=OrthogonalRegularizer())),
        ("OrthogonalRegularizer: needs a matrix of weights", "(2,)"),
    ),
    **{
        name: (lambda name=name: Dense(2, **{name: 4}), (f"Dense: {name} must be None", f"{name}=4"))
        for name in ("lora_rank", "lora_alpha", "quantization_config")
    },
}


def trained(layer: Dense) -> None:
    model = Sequential([Input((3,)), layer])
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 3)), one_hot(4, 2), verbose=0)


@pytest.mark.parametrize("title", MISTAKES)
def test_mistakes(title: str) -> None:
    make, parts = MISTAKES[title]
    with pytest.raises(ValueError) as caught:
        make()
    for part in parts:
        assert part in str(caught.value)
