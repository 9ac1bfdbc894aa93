"""Learning rates as functions of the training step: ``SGD(ExponentialDecay(0.1, decay_steps=1000, decay_rate=0.96))``.

k is the step, counted from 0 over the life of the optimizer. An epoch's rates are computed before it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from nncore.arguments import at_least_zero, count, finite, fraction, is_number
from nncore.errors import unknown_name
from nncore.serialization import construct, deserialize_keras_object, serialize_keras_object

Array = np.ndarray[Any, Any]
S = TypeVar("S", bound="LearningRateSchedule")

__all__ = [
    "CosineDecay", "CosineDecayRestarts", "ExponentialDecay", "InverseTimeDecay", "LearningRateSchedule",
    "PiecewiseConstantDecay", "PolynomialDecay", "deserialize", "get", "serialize",
]  # fmt: skip


class Rate(float):
    """The learning rate of an optimizer: a float, to which a value may be assigned as to a variable of Keras's.

    Args:
        value: The rate.
        assign: What sets the optimizer's.
    """

    def __new__(cls, value: float, assign: Callable[[Any], None]) -> Rate:
        """The float; ``assign`` is what sets another one."""
        made = super().__new__(cls, value)
        made._assign = assign
        return made

    _assign: Callable[[Any], None]

    def assign(self, value: Any) -> None:
        """Set the optimizer's rate. This one stays what it was."""
        self._assign(value)

    def numpy(self) -> np.float64:
        """The same value, as NumPy has it."""
        return np.float64(self)

    def __reduce__(self) -> tuple[type[float], tuple[float]]:
        return float, (float(self),)


class LearningRateSchedule:
    """Base of all schedules. One of your own defines ``__call__(step)``, the rate at a step, and ``get_config()``."""

    name: str | None = None

    def __call__(self, step: Any) -> float:
        """The learning rate at ``step``."""
        raise NotImplementedError(f"{type(self).__name__} must define __call__(step).")

    def rates(self, steps: Array) -> Array:
        """The learning rates at all of ``steps``, float64.

        Raises:
            ValueError: where the schedule gives something else than a finite number of at least 0.
        """
        return self._checked(steps, [self(int(k)) for k in steps])

    def _checked(self, steps: Array, rates: Any) -> Array:
        for k, rate in zip(steps, rates, strict=True):
            if not is_number(rate) or not 0 <= rate < np.inf:
                raise ValueError(
                    f"{type(self).__name__}: the learning rate must be a finite number of at least 0 at every step. "
                    f"Received: {rate!r} at step {int(k)}."
                )
        return np.asarray(rates, np.float64)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal schedule."""
        raise NotImplementedError(f"{type(self).__name__} must define get_config().")

    @classmethod
    def from_config(cls: type[S], config: dict[str, Any]) -> S:
        """The schedule that ``config`` describes."""
        return construct(cls, config)


class _Formula(LearningRateSchedule):
    """A schedule that is a formula over all steps at once, as long as no subclass has a ``__call__`` of its own."""

    def formula(self, steps: Array) -> Array:
        """The rates at float64 ``steps``."""
        raise NotImplementedError

    def __call__(self, step: Any) -> float:
        return float(self.formula(np.array([step], np.float64))[0])

    def rates(self, steps: Array) -> Array:
        if type(self).__call__ is not _Formula.__call__:
            return super().rates(steps)
        with np.errstate(over="ignore"):
            return self._checked(steps, self.formula(np.asarray(steps, np.float64)))

    def _positive(self, argument: str, value: Any) -> float:
        checked = at_least_zero(type(self).__name__, argument, value)
        if checked == 0:
            raise ValueError(f"{type(self).__name__}: {argument} must be above 0. Received: {argument}={value!r}.")
        return checked

    def _number(self, argument: str, value: Any) -> float:
        return at_least_zero(type(self).__name__, argument, value)


class _Decay(_Formula):
    """A function of p = k / decay_steps, the arguments of which the subclasses explain."""

    def __init__(
        self, initial_learning_rate: float, decay_steps: float, decay_rate: float, staircase: bool = False,
        name: str | None = None,
    ) -> None:  # fmt: skip
        self.initial_learning_rate = self._number("initial_learning_rate", initial_learning_rate)
        self.decay_steps = self._positive("decay_steps", decay_steps)
        self.decay_rate = self._number("decay_rate", decay_rate)
        self.staircase = bool(staircase)
        self.name = type(self).__name__ if name is None else name

    def _p(self, steps: Array) -> Array:
        p: Array = steps / self.decay_steps
        return np.floor(p) if self.staircase else p

    def get_config(self) -> dict[str, Any]:
        return {
            "initial_learning_rate": self.initial_learning_rate, "decay_steps": self.decay_steps,
            "decay_rate": self.decay_rate, "staircase": self.staircase, "name": self.name,
        }  # fmt: skip


class ExponentialDecay(_Decay):
    """initial_learning_rate · decay_rate^p, p = k / decay_steps.

    Args:
        initial_learning_rate: At least 0.
        decay_steps: Steps in which the rate is multiplied by ``decay_rate``, above 0.
        decay_rate: At least 0.
        staircase: Whether p is rounded down.
        name: Shown in configs, by default ``"ExponentialDecay"``.
    """

    def formula(self, steps: Array) -> Array:
        rates: Array = self.initial_learning_rate * self.decay_rate ** self._p(steps)
        return rates


class InverseTimeDecay(_Decay):
    """initial_learning_rate / (1 + decay_rate p), p = k / decay_steps.

    Args:
        initial_learning_rate: At least 0.
        decay_steps: The unit of p, above 0.
        decay_rate: At least 0.
        staircase: Whether p is rounded down.
        name: Shown in configs, by default ``"InverseTimeDecay"``.
    """

    def formula(self, steps: Array) -> Array:
        rates: Array = self.initial_learning_rate / (1 + self.decay_rate * self._p(steps))
        return rates


class PiecewiseConstantDecay(_Formula):
    """values[0] for k up to and including boundaries[0], values[1] up to boundaries[1], …, then the last value.

    Args:
        boundaries: Increasing steps, at least one.
        values: Rates of at least 0, one more than there are boundaries.
        name: Shown in configs.
    """

    def __init__(self, boundaries: Sequence[float], values: Sequence[float], name: str = "PiecewiseConstant") -> None:
        self.boundaries = [finite("PiecewiseConstantDecay", "boundaries", b) for b in boundaries]
        self.values = [self._number("values", v) for v in values]
        self.name = name
        if len(self.values) != len(self.boundaries) + 1 or not self.boundaries:
            raise ValueError(
                "PiecewiseConstantDecay: there must be at least one boundary, and one more value than boundaries. "
                f"Received: boundaries={boundaries!r}, values={values!r}."
            )
        if self.boundaries != sorted(set(self.boundaries)):
            raise ValueError(f"PiecewiseConstantDecay: boundaries must increase. Received: boundaries={boundaries!r}.")

    def formula(self, steps: Array) -> Array:
        return np.array(self.values, np.float64)[np.searchsorted(self.boundaries, steps, side="left")]

    def get_config(self) -> dict[str, Any]:
        return {"boundaries": self.boundaries, "values": self.values, "name": self.name}


class PolynomialDecay(_Formula):
    """(initial_learning_rate - end_learning_rate) (1 - k / decay_steps)^power + end_learning_rate.

    Args:
        initial_learning_rate: At least 0.
        decay_steps: The step where the end is reached, above 0. Beyond it the rate stays at the end, or, with
            ``cycle``, decay_steps is multiplied by the least whole number that makes it at least k.
        end_learning_rate: At least 0, by default 0.0001.
        power: At least 0, by default 1: a straight line.
        cycle: Whether to start anew beyond ``decay_steps``.
        name: Shown in configs.
    """

    def __init__(
        self, initial_learning_rate: float, decay_steps: float, end_learning_rate: float = 0.0001, power: float = 1.0,
        cycle: bool = False, name: str = "PolynomialDecay",
    ) -> None:  # fmt: skip
        self.initial_learning_rate = self._number("initial_learning_rate", initial_learning_rate)
        self.decay_steps = self._positive("decay_steps", decay_steps)
        self.end_learning_rate = self._number("end_learning_rate", end_learning_rate)
        self.power = self._number("power", power)
        self.cycle = bool(cycle)
        self.name = name

    def formula(self, steps: Array) -> Array:
        end = self.decay_steps * np.maximum(1, np.ceil(steps / self.decay_steps)) if self.cycle else self.decay_steps
        rest: Array = 1 - np.minimum(steps, end) / end
        return (self.initial_learning_rate - self.end_learning_rate) * rest**self.power + self.end_learning_rate

    def get_config(self) -> dict[str, Any]:
        return {
            "initial_learning_rate": self.initial_learning_rate, "decay_steps": self.decay_steps,
            "end_learning_rate": self.end_learning_rate, "power": self.power, "cycle": self.cycle, "name": self.name,
        }  # fmt: skip


def _cosine(p: Array, alpha: float) -> Array:
    """From 1 at p = 0 to alpha at p = 1."""
    return (1 - alpha) * 0.5 * (1 + np.cos(np.pi * p)) + alpha


class CosineDecay(_Formula):
    """start ((1 - alpha) (1 + cos(π p)) / 2 + alpha), p = k / decay_steps, at most 1.

    With ``warmup_target`` the rate first goes in a straight line from ``initial_learning_rate`` to the target, which is
    then the start, and k is counted from the end of the warm-up.

    Args:
        initial_learning_rate: At least 0.
        decay_steps: Steps of the decay, above 0; those of the warm-up are not among them.
        alpha: The rate at the end as a share of the start, in [0, 1].
        name: Shown in configs.
        warmup_target: At least 0, or ``None`` for no warm-up.
        warmup_steps: Steps of the warm-up, at least 0; 0 is no warm-up.

    Source: Loshchilov and Hutter, "SGDR: Stochastic gradient descent with warm restarts", ICLR 2017.
    """

    def __init__(
        self, initial_learning_rate: float, decay_steps: float, alpha: float = 0.0, name: str = "CosineDecay",
        warmup_target: float | None = None, warmup_steps: int = 0,
    ) -> None:  # fmt: skip
        self.initial_learning_rate = self._number("initial_learning_rate", initial_learning_rate)
        self.decay_steps = self._positive("decay_steps", decay_steps)
        self.alpha = fraction("CosineDecay", "alpha", alpha)
        self.name = name
        self.warmup_target = None if warmup_target is None else self._number("warmup_target", warmup_target)
        self.warmup_steps = count("CosineDecay", "warmup_steps", warmup_steps)

    def formula(self, steps: Array) -> Array:
        if self.warmup_target is None:
            return self.initial_learning_rate * _cosine(np.minimum(steps / self.decay_steps, 1), self.alpha)
        p = np.clip((steps - self.warmup_steps) / self.decay_steps, 0, 1)
        done = np.minimum(steps / max(1, self.warmup_steps), 1)
        warm = self.initial_learning_rate + (self.warmup_target - self.initial_learning_rate) * done
        return np.where(steps < self.warmup_steps, warm, self.warmup_target * _cosine(p, self.alpha))

    def get_config(self) -> dict[str, Any]:
        return {
            "initial_learning_rate": self.initial_learning_rate, "decay_steps": self.decay_steps, "alpha": self.alpha,
            "name": self.name, "warmup_target": self.warmup_target, "warmup_steps": self.warmup_steps,
        }  # fmt: skip


class CosineDecayRestarts(_Formula):
    """``CosineDecay`` again and again: period i has first_decay_steps · t_mulⁱ steps and starts at m_mulⁱ.

    Args:
        initial_learning_rate: At least 0.
        first_decay_steps: Steps of the first period, above 0.
        t_mul: How many times as long each period is as the one before, at least 1; by default 2.
        m_mul: The start of each period as a multiple of the one before, at least 0; by default 1.
        alpha: The rate at the end of a period as a share of ``initial_learning_rate``, in [0, 1].
        name: Shown in configs.

    Source: Loshchilov and Hutter, "SGDR: Stochastic gradient descent with warm restarts", ICLR 2017.
    """

    def __init__(
        self, initial_learning_rate: float, first_decay_steps: float, t_mul: float = 2.0, m_mul: float = 1.0,
        alpha: float = 0.0, name: str = "SGDRDecay",
    ) -> None:  # fmt: skip
        self.initial_learning_rate = self._number("initial_learning_rate", initial_learning_rate)
        self.first_decay_steps = self._positive("first_decay_steps", first_decay_steps)
        self.t_mul = self._number("t_mul", t_mul)
        self.m_mul = self._number("m_mul", m_mul)
        self.alpha = fraction("CosineDecayRestarts", "alpha", alpha)
        self.name = name
        if self.t_mul < 1:
            raise ValueError(f"CosineDecayRestarts: t_mul must be at least 1. Received: t_mul={t_mul!r}.")

    def formula(self, steps: Array) -> Array:
        p = steps / self.first_decay_steps
        if self.t_mul == 1:
            period = np.floor(p)
            p = p - period
        else:
            period = np.floor(np.log1p(p * (self.t_mul - 1)) / np.log(self.t_mul) + 1e-9)
            p = (p - (self.t_mul**period - 1) / (self.t_mul - 1)) / self.t_mul**period
        height: Array = self.m_mul**period * 0.5 * (1 + np.cos(np.pi * p))
        return self.initial_learning_rate * ((1 - self.alpha) * height + self.alpha)

    def get_config(self) -> dict[str, Any]:
        return {
            "initial_learning_rate": self.initial_learning_rate, "first_decay_steps": self.first_decay_steps,
            "t_mul": self.t_mul, "m_mul": self.m_mul, "alpha": self.alpha, "name": self.name,
        }  # fmt: skip


def serialize(learning_rate_schedule: LearningRateSchedule) -> dict[str, Any]:
    """A schedule as a JSON-able config."""
    config: dict[str, Any] = serialize_keras_object(learning_rate_schedule)
    return config


def deserialize(config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> LearningRateSchedule:
    """The schedule that ``serialize`` described.

    Args:
        config: A dict with ``class_name`` and ``config``.
        custom_objects: Classes of your own by name.

    Raises:
        ValueError: for a class that is not known (the known names are listed).
    """
    if not isinstance(config, dict):
        raise unknown_name("learning rate schedule", config, __all__[:-3])
    made: LearningRateSchedule = deserialize_keras_object(
        {"config": {}, **config}, custom_objects, family="optimizers.schedules"
    )
    return made


def get(learning_rate: Any) -> Any:
    """A number as it is, a schedule as it is, and a schedule from its config."""
    return deserialize(learning_rate) if isinstance(learning_rate, dict) else learning_rate
