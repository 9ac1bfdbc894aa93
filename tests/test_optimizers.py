"""Optimizers: what they share (decay, clipping, accumulation, running means), their state, and their arguments.

That each update is Keras's is in test_golden.py; that both backends agree, in test_lockstep.py.
"""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from oracles import Problem, error, on_isa, same_bits, tight_plan, uniform

from nncore import losses, optimizers
from nncore.callbacks import Callback
from nncore.compiler import fuse
from nncore.layers import Dense, Input
from nncore.models import Sequential
from nncore.optimizers import (
    SGD,
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Ftrl,
    Lamb,
    Lion,
    Muon,
    Nadam,
    Optimizer,
    RMSprop,
    schedules,
)
from nncore.variables import Variable

KINDS = (SGD, Adam, AdamW, Adamax, Nadam, RMSprop, Adagrad, Adadelta, Adafactor, Ftrl, Lion, Lamb, Muon)

X, Y = uniform(20, 3, seed=1), uniform(20, 2, seed=2)


def model_of(optimizer: Any, layers: int = 1) -> Sequential:
    model = Sequential([Input((3,)), *(Dense(2) for _ in range(layers))])
    model.set_weights([uniform(*w.shape, seed=i) for i, w in enumerate(model.weights)])
    model.compile(optimizer, "mse")
    return model


def fit(model: Sequential, epochs: int = 1, batch: int = 8, callbacks: Any = None, rows: int = 20) -> None:
    """In order; 20 rows are two batches of 8 and one of 4."""
    model.fit(X[:rows], Y[:rows], batch_size=batch, epochs=epochs, shuffle=False, verbose=0, callbacks=callbacks)


def gradients(weights: list[np.ndarray], x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    """Of the mean squared error of one dense layer, in float64."""
    kernel, bias = (w.astype(np.float64) for w in weights)
    d = 2 * (x @ kernel + bias - y) / y.size
    return [x.T @ d, d.sum(axis=0)]


def by_hand(optimizer: Optimizer, epochs: int = 1, batch: int = 8) -> list[np.ndarray]:
    """What ``fit`` must do to the weights of one dense layer, batch by batch on variables of its own."""
    variables = [Variable(w.value, w.name) for w in model_of("sgd").weights]
    for _ in range(epochs):
        for at in range(0, len(X), batch):
            rows = slice(at, at + batch)
            scale = optimizer.loss_scale_factor or 1
            found = gradients([v.value for v in variables], X[rows], Y[rows])
            optimizer.apply([scale * g for g in found], variables)
    optimizer.finalize_variable_values(variables)
    return [v.numpy() for v in variables]


SHARED: dict[str, dict[str, Any]] = {
    "nothing": {},
    "decay": {"weight_decay": 0.3},
    "clipnorm": {"clipnorm": 0.1},
    "clipvalue": {"clipvalue": 0.05},
    "global_clipnorm": {"global_clipnorm": 0.1, "weight_decay": 0.1},
    "accumulation": {"gradient_accumulation_steps": 2},
    "accumulation of more than an epoch": {"gradient_accumulation_steps": 4, "weight_decay": 0.1, "clipnorm": 0.1},
    "a running mean": {"use_ema": True, "ema_momentum": 0.6},
    "one that takes over": {"use_ema": True, "ema_momentum": 0.6, "ema_overwrite_frequency": 2},
    "both": {"use_ema": True, "ema_momentum": 0.6, "ema_overwrite_frequency": 3, "gradient_accumulation_steps": 2},
    "loss scaling": {"loss_scale_factor": 16.0},
    "clipping by 0 is none": {"clipvalue": 0},
}


@pytest.mark.parametrize("shared", SHARED)
@pytest.mark.parametrize("kind, settings", [(SGD, {"learning_rate": 0.2}), (Adam, {"learning_rate": 0.05})])
def test_fit_is_apply_batch_by_batch(kind: Any, settings: dict[str, Any], shared: str, backend: str) -> None:
    """Over tails of epochs and several fits, in one go, with a hook after each batch, and by single batches."""
    optimizer = kind(**settings, **SHARED[shared])
    model, other, third = (model_of(kind.from_config(optimizer.get_config())) for _ in range(3))
    want = by_hand(optimizer, 2)
    fit(model, 2)
    fit(other, 2, callbacks=[Callback(), Each()])
    for _ in range(2):
        for at in range(0, 20, 8):
            third.train_on_batch(X[at : at + 8], Y[at : at + 8])
    third.optimizer.finalize_variable_values()
    assert same_bits(model.get_weights()[0], other.get_weights()[0])
    assert same_bits(model.get_weights()[0], third.get_weights()[0])
    assert max(map(error, model.get_weights(), want)) <= 2e-6  # sums of 8 terms in float32, 6 steps
    assert model.optimizer.iterations == optimizer.iterations == 6 // (optimizer.gradient_accumulation_steps or 1)
    assert model.optimizer.steps == 6


class Each(Callback):
    """Has a hook for every batch."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        assert np.isfinite(logs["loss"])


def test_state_goes_on_in_the_next_fit(backend: str) -> None:
    """Three batches an epoch and accumulation of two: the update in the middle joins two fits."""
    settings = {"learning_rate": 0.05, "gradient_accumulation_steps": 2, "use_ema": True, "ema_momentum": 0.5}
    model = model_of(Adam(**settings))
    fit(model)
    fit(model)
    variables = [Variable(w.value, w.name) for w in model_of("sgd").weights]
    optimizer = Adam(**settings)
    for _ in range(2):
        for at in range(0, 20, 8):
            rows = slice(at, at + 8)
            optimizer.apply(gradients([v.value for v in variables], X[rows], Y[rows]), variables)
        optimizer.finalize_variable_values(variables)
    assert max(map(error, model.get_weights(), [v.value for v in variables])) <= 2e-6  # as above
    assert (model.optimizer.steps, model.optimizer.iterations) == (6, 3)


def test_accumulated_batches_are_a_large_one() -> None:
    """The mean of the gradients of batches of equal size is that of all of their rows."""
    parts, whole = model_of(SGD(0.5, gradient_accumulation_steps=4)), model_of(SGD(0.5))
    fit(parts, 3, 4, rows=16)
    fit(whole, 3, 16, rows=16)
    assert max(map(error, parts.get_weights(), whole.get_weights())) <= 1e-6  # sums of 16 terms in another order


def test_a_schedule_counts_steps_and_adam_counts_changes() -> None:
    optimizer = Adam(schedules.PiecewiseConstantDecay([1], [0.1, 0.2]), gradient_accumulation_steps=2)
    alpha = [np.sqrt(1 - 0.999**t) / (1 - 0.9**t) for t in (1.0, 2.0)]
    rates = optimizer.rates(0, 4)
    assert rates[:, 0] == pytest.approx([0.1 * alpha[0], 0.1 * alpha[0], 0.2 * alpha[1], 0.2 * alpha[1]])
    assert rates[:, 1].tolist() == [0, 1, 0, 1]


def test_only_plain_sgd_is_fused() -> None:
    """Where something else happens to gradients or weights, the bits are those of the program as it is lowered."""
    for name, shared in SHARED.items():
        problem = Problem(
            [Dense(5, "relu"), Dense(2)], X, Y, losses.MeanSquaredError(), [], SGD(0.1, **shared), None, 8
        )
        plain = problem.program()
        program = fuse(plain)
        assert ("dense_grad_w_sgd" in [i.op for i in program.instructions]) == (
            name in ("nothing", "clipping by 0 is none")
        ), name
        runs = [
            problem.start(p, tight_plan(p, problem.flat, 8)).run(on_isa(None), problem.epoch())
            for p in (plain, program)
        ]
        assert same_bits(runs[0].flat.parameter, runs[1].flat.parameter), name


def test_programs_say_when() -> None:
    text = str(model_of(SGD(0.1, gradient_accumulation_steps=2, use_ema=True, ema_overwrite_frequency=3)).program)
    assert [line.split("   #")[0].split(maxsplit=1)[1] for line in text.splitlines()[-5:]] == [
        "gradient_accumulator[32] = add(gradient_accumulator, gradients)",
        "gradients[32], gradient_accumulator[32] = accumulated(gradients, gradient_accumulator, count=2) if rates[1]",
        "parameters[32] = sgd(parameters, gradients) if rates[1]",
        "average[32] = average(average, parameters, rate=2)",
        "parameters[32] = scale_shift(average, scale=1, offset=0) if rates[3]",
    ]


def test_some_weights_do_not_decay(backend: str) -> None:
    """By name, which is searched for a pattern, and as variables; only the weights themselves count."""
    model = model_of("sgd", layers=2)
    before = model.get_weights()
    optimizer = SGD(0.5, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_list=[model.weights[0]], var_names=["^bi"])
    model.compile(optimizer, "mse")
    model.train_on_batch(np.zeros((2, 3)), model.predict(np.zeros((2, 3)), verbose=0))
    after = [a / b for a, b in zip(model.get_weights(), before, strict=True)]
    for share, ratio in zip((1, 1, 0.75, 1), after, strict=True):
        assert error(ratio, np.full_like(ratio, share)) <= 1e-6  # the loss is 0 to an ulp
    with pytest.raises(ValueError, match="must be called before training begins"):
        optimizer.exclude_from_weight_decay(var_names=["kernel"])


def test_nothing_stays_between_the_gradients() -> None:
    """A gradient that is not finite spoils weights, but not what lies between them: new weights train again."""
    model = model_of(SGD(0.1, global_clipnorm=1.0))
    start = model.get_weights()
    model.train_on_batch(np.full((2, 3), 1e30), np.zeros((2, 2)))
    assert np.isnan(model.get_weights()[0]).all()
    model.set_weights(start)
    model.train_on_batch(X, Y)
    assert np.isfinite(model.get_weights()[0]).all()


@pytest.mark.parametrize("shape", [(4, 4), (2, 7), (7, 2), (1, 5), (5, 1)])
def test_muon_makes_orthogonal(shape: tuple[int, int], backend: str) -> None:
    """The update of a random matrix has singular values between 0.6 and 1.3, whatever those of the gradient."""
    model = Sequential([Input((shape[0],)), Dense(shape[1], use_bias=False)])
    optimizer = Muon(1.0, weight_decay=0, rms_rate=None, ns_steps=6)
    model.compile(optimizer, "mse")
    before = model.get_weights()[0]
    model.train_on_batch(uniform(30, shape[0], seed=3), uniform(30, shape[1], seed=4))
    values = np.linalg.svd(before - model.get_weights()[0], compute_uv=False)
    assert (values > 0.6).all()
    assert (values < 1.3).all()


def test_muon_on_either_side() -> None:
    """A matrix and its transpose take transposed steps."""
    wide, tall = Variable(uniform(3, 7), "wide"), Variable(uniform(3, 7).T, "tall")
    g = uniform(3, 7, seed=5)
    Muon(0.1).apply([g, g.T], [wide, tall])
    assert error(tall.value, wide.value.T) <= 1e-6  # products summed in another order, times 3.4 for each iteration


def test_muon_leaves_weights_to_adam() -> None:
    """Vectors, embeddings, and those of a layer that is excluded."""
    weights = [Variable(np.ones(s), n) for n, s in [("k", (2, 3)), ("embedding", (2, 3)), ("b", 3), ("out", (3, 2))]]
    muon, adam = Muon(0.1, exclude_layers=["^out"], adam_lr_ratio=0.5), AdamW(0.05, weight_decay=0.008)
    grads = [uniform(*v.shape) for v in weights]
    twins = [Variable(v.value, v.name) for v in weights]
    muon.apply(grads, weights)
    adam.apply(grads, twins)
    assert [same_bits(v.value, t.value) for v, t in zip(weights, twins, strict=True)] == [False, True, True, True]
    assert [v.name for v in muon.variables[2:]] == [
        "k_momentum", "embedding_momentum", "embedding_velocity", "b_momentum", "b_velocity", "out_momentum",
        "out_velocity",
    ]  # fmt: skip


# State.


def test_variables_have_keras_s_order() -> None:
    weights = [Variable(np.ones((2, 3)), "kernel"), Variable(np.ones(3), "bias")]

    def names(optimizer: Optimizer) -> list[str]:
        optimizer.build(weights)
        assert all(v.path == f"{optimizer.name}/{v.name}" for v in optimizer.variables if v.name != "variable")
        return [v.name for v in optimizer.variables]

    first = ["iteration", "learning_rate"]
    assert names(SGD()) == first
    assert names(Adam(amsgrad=True)) == [
        *first, "kernel_momentum", "kernel_velocity", "bias_momentum", "bias_velocity", "kernel_velocity_hat",
        "bias_velocity_hat",
    ]  # fmt: skip
    assert names(RMSprop(momentum=0.5, centered=True, use_ema=True, gradient_accumulation_steps=2)) == [
        *first, "kernel_average", "bias_average", "kernel_gradient_accumulator", "bias_gradient_accumulator",
        "kernel_velocity", "bias_velocity", "kernel_momentum", "bias_momentum", "kernel_average_gradient",
        "bias_average_gradient",
    ]  # fmt: skip
    assert names(Nadam(schedules.ExponentialDecay(0.1, 1, 0.5))) == [
        "iteration", "kernel_momentum", "kernel_velocity", "bias_momentum", "bias_velocity", "variable",
    ]  # fmt: skip
    factored = Adafactor()
    factored.build(weights)
    assert [v.shape for v in factored.variables[2:]] == [(2,), (3,), (2, 3), (), (), (3,)]


def test_variables_are_the_state() -> None:
    """What is assigned to one, the optimizer has; set_weights brings a copy to where the original is."""
    one, two = ([Variable(uniform(2, 3), "kernel"), Variable(uniform(3), "bias")] for _ in range(2))
    optimizer, other = Adam(0.1), Adam(0.3)
    optimizer.apply([uniform(2, 3, seed=1), uniform(3, seed=2)], one)
    other.build(two)
    for a, b in zip(one, two, strict=True):
        b.assign(a.value)
    other.set_weights([v.value for v in optimizer.variables])
    assert (other.iterations, other.learning_rate) == (1, pytest.approx(0.1))
    for o, variables in ((optimizer, one), (other, two)):
        o.learning_rate = 0.2
        o.apply([uniform(2, 3, seed=3), uniform(3, seed=4)], variables)
    assert same_bits(one[0].value, two[0].value)
    with pytest.raises(ValueError, match=r"Adam\.set_weights: the values must have the shapes"):
        other.set_weights([1, 0.1])
    with pytest.raises(ValueError, match=r"Adam\.set_weights: call build\(variables\) first"):
        Adam().set_weights([1, 0.1])


COPIES: dict[str, Callable[[Any], Any]] = {"pickle": lambda o: pickle.loads(pickle.dumps(o)), "deepcopy": copy.deepcopy}


@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize("kind", KINDS)
def test_copies_go_on_where_they_were_made(kind: Any, way: str) -> None:
    optimizer = kind(0.05, use_ema=True, gradient_accumulation_steps=2, clipnorm=1.0)
    one = [Variable(uniform(2, 3), "kernel"), Variable(uniform(3), "bias")]
    grads = [[uniform(2, 3, seed=i), uniform(3, seed=i)] for i in range(6)]
    for g in grads[:3]:
        optimizer.apply(g, one)
    other = COPIES[way](optimizer)
    assert len(pickle.dumps(optimizer)) < 4000
    two = [Variable(v.value, v.name) for v in one]
    for g in grads[3:]:
        optimizer.apply(g, one)
        other.apply(g, two)
    assert (optimizer.steps, other.steps) == (6, 6)
    assert all(same_bits(a.value, b.value) for a, b in zip(one, two, strict=True))
    assert all(same_bits(a.value, b.value) for a, b in zip(optimizer.variables, other.variables, strict=True))


def test_weights_keep_their_state_while_others_are_frozen_and_while_they_are(backend: str) -> None:
    model, optimizer = model_of("sgd", layers=2), Adam(0.1)
    model.compile(optimizer, "mse")
    fit(model)
    state = {v.name: v.numpy() for v in optimizer.variables[2:]}
    model.layers[0].trainable = False
    model.compile(optimizer, "mse")
    model.evaluate(X, Y, verbose=0)
    assert optimizer.iterations == 3
    kept = {v.name: v.value for v in optimizer.variables[2:]}
    assert len(kept) == 4
    assert all(same_bits(state[name], value) for name, value in kept.items())
    fit(model)
    model.layers[0].trainable = True
    model.compile(optimizer, "mse")
    model.evaluate(X, Y, verbose=0)
    again = {v.name: v.value for v in optimizer.variables[2:]}
    assert optimizer.iterations == 6
    assert list(again) == list(state)
    assert [name in kept for name in state if not same_bits(state[name], again[name])] == [True] * 4


def test_another_model_starts_anew() -> None:
    optimizer = Adagrad(0.1)
    fit(model_of(optimizer))
    other = model_of(optimizer)
    other.evaluate(X, Y, verbose=0)
    assert optimizer.iterations == 0
    assert all((v.value == np.float32(0.1)).all() for v in optimizer.variables[2:])


def test_a_model_without_trainable_weights() -> None:
    model = model_of("adam")
    fit(model)
    model.layers[0].trainable = False
    model.compile(model.optimizer, "mse")
    before = model.get_weights()
    fit(model)
    assert all(map(same_bits, model.get_weights(), before))


def test_weights_that_it_does_not_train_have_no_mean() -> None:
    optimizer = SGD(use_ema=True)
    optimizer.apply([np.ones(2)], [Variable(np.ones(2))])
    with pytest.raises(ValueError, match="these are not the weights it trained"):
        optimizer.finalize_variable_values([Variable(np.ones(2))])


# Arguments.

SETTINGS: dict[Any, dict[str, Any]] = {
    SGD: {"momentum": 0.5, "nesterov": True},
    Adam: {"beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3, "amsgrad": True},
    AdamW: {"beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3, "amsgrad": True},
    Adamax: {"beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3},
    Nadam: {"beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3},
    RMSprop: {"rho": 0.8, "momentum": 0.5, "epsilon": 1e-3, "centered": True},
    Adagrad: {"initial_accumulator_value": 0.2, "epsilon": 1e-3},
    Adadelta: {"rho": 0.8, "epsilon": 1e-3},
    Adafactor: {
        "beta_2_decay": -0.7, "epsilon_1": 1e-20, "epsilon_2": 0.01, "clip_threshold": 2.0, "relative_step": False,
    },
    Ftrl: {
        "learning_rate_power": -0.7, "initial_accumulator_value": 0.2, "l1_regularization_strength": 0.1,
        "l2_regularization_strength": 0.2, "l2_shrinkage_regularization_strength": 0.3, "beta": 0.4,
    },
    Lion: {"beta_1": 0.8, "beta_2": 0.9},
    Lamb: {"beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3},
    Muon: {
        "adam_beta_1": 0.8, "adam_beta_2": 0.9, "adam_weight_decay": 0.1, "epsilon": 1e-3, "exclude_layers": ["out"],
        "exclude_embeddings": False, "muon_a": 3.0, "muon_b": -4.0, "muon_c": 2.0, "adam_lr_ratio": 0.5,
        "momentum": 0.5, "ns_steps": 3, "nesterov": False, "rms_rate": None,
    },
}  # fmt: skip
COMMON = {
    "name": "mine", "learning_rate": 0.25, "weight_decay": 0.1, "clipnorm": 1.5, "clipvalue": None,
    "global_clipnorm": None, "use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 3,
    "loss_scale_factor": 2.0, "gradient_accumulation_steps": 2,
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_configs(kind: Any) -> None:
    """Every argument comes back, through JSON too, by any way that leads to an optimizer."""
    config = {**COMMON, **SETTINGS[kind]}
    optimizer = kind(**config)
    assert optimizer.get_config() == config
    serialized = json.loads(json.dumps(optimizers.serialize(optimizer)))
    for other in (kind.from_config(config), optimizers.get(serialized), optimizers.deserialize(serialized)):
        assert type(other) is kind
        assert other.get_config() == config
    plain = kind()
    assert plain.get_config() == kind.from_config(plain.get_config()).get_config()
    assert all(plain.get_config()[name] != value for name, value in SETTINGS[kind].items())
    for identifier in (kind, kind.__name__, kind.__name__.upper(), kind.__name__.lower()):
        assert type(optimizers.get(identifier)) is kind
    assert optimizers.get(optimizer) is optimizer


def test_learning_rates_by_other_names() -> None:
    assert SGD(lr=0.5).learning_rate == 0.5
    assert RMSprop(lr=1).learning_rate == 1
    assert optimizers.get("RMSProp").learning_rate == 0.001
    with pytest.warns(UserWarning, match="SGD: decay is ignored"):
        SGD(decay=0.1)


def test_a_learning_rate_can_be_a_function(backend: str) -> None:
    """It is called once a step."""
    calls: list[int] = []

    def rate() -> float:
        calls.append(1)
        return 1.0 / len(calls)

    model, other = model_of(SGD(rate, weight_decay=0.5)), model_of(SGD(schedules.InverseTimeDecay(1.0, 1, 1.0)))
    fit(model, 2)
    assert len(calls) == 6
    calls.clear()
    model = model_of(SGD(rate))
    fit(model, 2)
    fit(other, 2)
    assert max(map(error, model.get_weights(), other.get_weights())) <= 1e-6  # rates of an ulp's difference
    optimizer = SGD(rate)
    assert [v.name for v in optimizer.variables] == ["iteration"]
    optimizer.learning_rate = 0.5
    assert optimizer.learning_rate == 0.5
    with pytest.raises(ValueError, match=r"SGD: what learning_rate\(\) gives must be a number of at least 0"):
        fit(model_of(SGD(lambda: -1.0)))


BAD: dict[str, tuple[Callable[[], Any], str]] = {
    **{
        f"{kind.__name__} {name}={value!r}": (
            lambda kind=kind, name=name, value=value: kind(**{name: value}),
            f"{kind.__name__}: {name} must be .*Received: {name}={value!r}",
        )
        for kind, name, values in [
            (Adam, "learning_rate", (-1, np.nan, "fast", None)),
            (Adam, "weight_decay", (-0.1, "yes", True)),
            (Adam, "clipnorm", (-1.0, np.inf)),
            (Adam, "clipvalue", (-1.0, "1")),
            (Adam, "global_clipnorm", (-1.0, np.nan)),
            (Adam, "ema_momentum", (-0.1, 1.1)),
            (Adam, "ema_overwrite_frequency", (0, 1.5)),
            (Adam, "loss_scale_factor", (0, -2.0)),
            (Adam, "gradient_accumulation_steps", (1, 0, 2.0)),
            (AdamW, "weight_decay", (None, -1)),
            (Adamax, "beta_1", (1.0,)),
            (Nadam, "beta_2", (1.0, -0.5)),
            (RMSprop, "rho", (-0.1, 2)),
            (RMSprop, "momentum", (-1, 1.5)),
            (RMSprop, "epsilon", (-1e-7,)),
            (Adagrad, "initial_accumulator_value", (-0.1,)),
            (Adagrad, "epsilon", (-1,)),
            (Adadelta, "rho", (1.5,)),
            (Adadelta, "epsilon", (-1,)),
            (Adafactor, "beta_2_decay", (0.5, "a")),
            (Adafactor, "epsilon_1", (-1,)),
            (Adafactor, "epsilon_2", (-1,)),
            (Adafactor, "clip_threshold", (0,)),
            (Ftrl, "learning_rate_power", (0.5, None)),
            (Ftrl, "initial_accumulator_value", (-1,)),
            (Ftrl, "l1_regularization_strength", (-1,)),
            (Ftrl, "l2_regularization_strength", (-1,)),
            (Ftrl, "l2_shrinkage_regularization_strength", (-1,)),
            (Ftrl, "beta", (-1,)),
            (Lion, "beta_1", (0, 1.5)),
            (Lion, "beta_2", (-1,)),
            (Lamb, "beta_1", (1,)),
            (Lamb, "epsilon", (-1,)),
            (Muon, "adam_beta_1", (1,)),
            (Muon, "adam_beta_2", (-1,)),
            (Muon, "adam_weight_decay", (-1,)),
            (Muon, "epsilon", (-1,)),
            (Muon, "exclude_layers", ("out", [1])),
            (Muon, "muon_a", (np.inf,)),
            (Muon, "muon_b", ("b",)),
            (Muon, "muon_c", (None,)),
            (Muon, "adam_lr_ratio", (-1,)),
            (Muon, "momentum", (2,)),
            (Muon, "ns_steps", (-1, 2.5)),
            (Muon, "rms_rate", (-1,)),
        ]
        for value in values
    },
    "two clips": (
        lambda: SGD(clipnorm=1.0, clipvalue=0),
        "SGD: give one of clipnorm, clipvalue and global_clipnorm. Received: clipnorm=1.0, clipvalue=0",
    ),
    "misspelled": (lambda: RMSprop(rhoo=0.9), "RMSprop: unknown argument 'rhoo'. Did you mean 'rho'?"),
    "of the base": (lambda: Lion(weight_decai=0.9), "unknown argument 'weight_decai'. Did you mean 'weight_decay'?"),
    "a class for a rate": (lambda: SGD(schedules.CosineDecay), "SGD: learning_rate must be"),
    "unknown": (lambda: optimizers.get("adamm"), "Unknown optimizer: 'adamm'. Did you mean 'adam"),
    "apply before build": (lambda: SGD().apply([np.ones(2)]), r"SGD.apply: call build\(variables\) first"),
    "gradients of another shape": (
        lambda: SGD().apply([np.ones(2)], [Variable(np.ones(3))]),
        r"SGD.apply: gradients must have the shapes \[\(3,\)\]. Received: \[\(2,\)\]",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments(case: str) -> None:
    make, message = BAD[case]
    with pytest.raises(ValueError, match=message.replace("[1]", r"\[1\]").replace("?", r"\?")):
        make()


def test_refused_variables_change_nothing() -> None:
    optimizer, weight = SGD(1.0), Variable(np.ones(2))
    assert optimizer.apply_gradients([(np.ones(2), weight)]) == 1
    optimizer.apply([])
    with pytest.raises(ValueError, match="the variables differ from those it was built for"):
        optimizer.apply([np.ones(2)], [Variable(np.ones(2))])
    assert (optimizer.steps, weight.value.tolist()) == (1, [0, 0])


def test_variables_of_one_name_and_of_no_axis() -> None:
    """Names need not be unique outside a model."""
    variables = [Variable(1.0), Variable(np.ones(2)), Variable(1.0)]
    for optimizer in (SGD(0.5, clipnorm=1.0, weight_decay=0.5), Lamb(0.5), Adafactor(0.5), Muon(0.5)):
        optimizer.apply([np.float32(0.5), np.ones(2), np.float32(-0.5)], variables)
    assert all(np.isfinite(v.value).all() for v in variables)
