"""Learning-rate schedules: in training, in configs, and what they refuse. Their values: test_golden.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from oracles import same_bits

from nncore.callbacks import LambdaCallback
from nncore.layers import Dense, Input
from nncore.models import Sequential
from nncore.optimizers import SGD, Adam, Optimizer, get, schedules, serialize
from nncore.optimizers.schedules import LearningRateSchedule
from nncore.variables import Variable


class Halves(LearningRateSchedule):
    """A schedule of a user's own."""

    def __call__(self, step: Any) -> float:
        return 0.1 if step < 3 else 0.05

    def get_config(self) -> dict[str, Any]:
        return {}


ALL: list[LearningRateSchedule] = [
    schedules.ExponentialDecay(0.1, 7, 0.9, staircase=True),
    schedules.InverseTimeDecay(0.1, 7, 0.9),
    schedules.PiecewiseConstantDecay([2, 5], [0.1, 0.05, 0.01]),
    schedules.PolynomialDecay(0.1, 9, power=2.0, cycle=True),
    schedules.CosineDecay(0.01, 9, 0.1, warmup_target=0.1, warmup_steps=4),
    schedules.CosineDecayRestarts(0.1, 3, 1.5, 0.8),
]


def trained(optimizer: Optimizer, callbacks: Any = None, epochs: int = 2) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 5)).astype(np.float32), rng.normal(size=(40, 2)).astype(np.float32)
    model = Sequential([Input((5,)), Dense(4, activation="tanh"), Dense(2)])
    model.set_weights([np.random.default_rng(1).normal(size=w.shape) for w in model.get_weights()])
    model.compile(optimizer, "mse")
    model.fit(x, y, batch_size=8, epochs=epochs, shuffle=False, verbose=0, callbacks=callbacks)
    return [np.array(w) for w in model.get_weights()]


@pytest.mark.parametrize("make", [SGD, Adam])
@pytest.mark.parametrize("schedule", [*ALL, Halves()], ids=lambda s: type(s).__name__)
def test_a_whole_epoch_takes_each_step_at_its_rate(schedule: LearningRateSchedule, make: Callable[..., Any]) -> None:
    """As if somebody had set the rate before each step."""
    by_hand = make(0.0)

    def set_rate(*_: Any) -> None:
        by_hand.learning_rate = schedule(by_hand.iterations)

    expected = trained(by_hand, [LambdaCallback(on_train_batch_begin=set_rate)])
    got = trained(make(schedule))
    assert all(same_bits(a, b) for a, b in zip(got, expected, strict=True))


@pytest.mark.parametrize("schedule", ALL, ids=lambda s: type(s).__name__)
def test_configs(schedule: LearningRateSchedule) -> None:
    steps = np.arange(30, dtype=np.float64)
    for copy in (
        type(schedule).from_config(schedule.get_config()),
        schedules.deserialize(schedules.serialize(schedule)),
        get(serialize(SGD(schedule)))._learning_rate,
    ):
        assert copy.get_config() == schedule.get_config()
        assert same_bits(copy.rates(steps), schedule.rates(steps))


def test_custom_objects() -> None:
    config = {**schedules.serialize(Halves()), "module": "a module that is not imported"}
    assert isinstance(schedules.deserialize(config, {"Halves": Halves}), Halves)
    with pytest.raises(ValueError, match=r"Halves.*ExponentialDecay"):
        schedules.deserialize(config)


def test_the_current_rate() -> None:
    optimizer = SGD(schedules.PiecewiseConstantDecay([2], [0.5, 0.25]))
    assert optimizer.learning_rate == 0.5
    trained(optimizer, epochs=1)
    assert (optimizer.iterations, optimizer.learning_rate) == (5, 0.25)


def test_a_number_does_not_replace_a_schedule() -> None:
    optimizer = Adam(Halves())
    with pytest.raises(TypeError, match=r"schedule.*Received: learning_rate=0.3"):
        optimizer.learning_rate = 0.3
    assert optimizer.learning_rate == 0.1
    optimizer.learning_rate = ALL[0]
    assert optimizer.learning_rate == ALL[0](0)


def test_a_rate_that_is_none() -> None:
    class Wrong(Halves):
        def __init__(self, value: Any) -> None:
            self.value = value

        def __call__(self, step: Any) -> Any:
            return 0.1 if step < 3 else self.value

    for value in (float("nan"), None, -1.0):
        with pytest.raises(ValueError, match=rf"Wrong.*finite number of at least 0.*Received: {value} at step 3"):
            trained(SGD(Wrong(value)))
    with pytest.raises(ValueError, match=r"ExponentialDecay.*Received: .*inf.* at step 4"):
        trained(SGD(schedules.ExponentialDecay(0.1, 1, 1e100)), epochs=1)


def test_a_call_of_ones_own_counts() -> None:
    class WarmedUp(schedules.ExponentialDecay):
        def __call__(self, step: Any) -> float:
            return 0.01 if step < 2 else super().__call__(step)

    optimizer = SGD(WarmedUp(0.1, 10, 0.5))
    assert optimizer.learning_rates(0, 3).tolist() == [0.01, 0.01, schedules.ExponentialDecay(0.1, 10, 0.5)(2)]


def test_variables() -> None:
    """A schedule is no variable."""
    for optimizer, values in [(Adam(), 2), (Adam(Halves()), 1)]:
        weight = Variable(np.zeros(3), "weight")
        optimizer.build([weight])
        assert [v.size for v in optimizer.variables] == [1] * values + [3, 3]


def test_a_restart_begins_at_its_step() -> None:
    """Also where the logarithm of the number of steps is not exact."""
    for t_mul in (1.0, 1.1, 1.5, 2.0, 3.0):
        schedule = schedules.CosineDecayRestarts(1.0, 10, t_mul)
        start = 0.0
        for period in range(12):
            assert schedule(start) == pytest.approx(1.0, abs=1e-9)
            assert schedule(start + 5 * t_mul**period) == pytest.approx(0.5, abs=1e-6)
            start += 10 * t_mul**period


BAD: list[tuple[Callable[[], Any], str]] = [
    (lambda: schedules.ExponentialDecay(-1, 10, 0.5), "initial_learning_rate must be a number of at least 0"),
    (lambda: schedules.ExponentialDecay(0.1, 0, 0.5), "decay_steps must be above 0"),
    (lambda: schedules.ExponentialDecay(0.1, 10, "0.5"), "decay_rate must be a number"),
    (lambda: schedules.InverseTimeDecay(0.1, -3, 0.5), "InverseTimeDecay: decay_steps"),
    (lambda: schedules.PolynomialDecay(0.1, 10, end_learning_rate=-1), "end_learning_rate"),
    (lambda: schedules.PolynomialDecay(0.1, 10, power=float("nan")), "power"),
    (lambda: schedules.PiecewiseConstantDecay([1, 2], [0.1, 0.2]), "one more value than boundaries"),
    (lambda: schedules.PiecewiseConstantDecay([], [0.1]), "at least one boundary"),
    (lambda: schedules.PiecewiseConstantDecay([2, 1], [0.1, 0.2, 0.3]), "boundaries must increase"),
    (lambda: schedules.CosineDecay(0.1, 10, alpha=1.5), r"alpha must be a number in \[0, 1\]"),
    (lambda: schedules.CosineDecay(0.1, 10, warmup_target=-1), "warmup_target"),
    (lambda: schedules.CosineDecay(0.1, 10, warmup_steps=1.5), "warmup_steps must be an integer of at least 0"),
    (lambda: schedules.CosineDecayRestarts(0.1, 0), "first_decay_steps must be above 0"),
    (lambda: schedules.CosineDecayRestarts(0.1, 10, t_mul=0.5), "t_mul must be at least 1"),
    (lambda: SGD("fast"), "learning_rate must be a number of at least 0"),
]


@pytest.mark.parametrize("make, message", BAD)
def test_bad_arguments(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert "Received:" in str(caught.value)
