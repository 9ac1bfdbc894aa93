"""``Optimizer``: one op over a model's flat parameter vector, and the rates it needs at each step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from nncore import ops
from nncore.arguments import at_least_zero
from nncore.builder import Builder
from nncore.errors import did_you_mean
from nncore.optimizers.schedules import LearningRateSchedule
from nncore.optimizers.schedules import get as get_schedule
from nncore.optimizers.schedules import serialize as serialize_schedule
from nncore.program import Buffer
from nncore.variables import Variable

Array = np.ndarray[Any, Any]
O = TypeVar("O", bound="Optimizer")  # noqa: E741


class Optimizer:
    """Base of all optimizers.

    Args:
        learning_rate: A number of at least 0, or a schedule of ``nncore.optimizers.schedules``. A number may be set at
            any time; the next epoch uses it, and in a batch hook the next batch.
        name: Shown in configs.

    Attributes:
        slots: Names of the vectors it keeps besides the parameters, each as long as they are.
        iterations: Training steps so far.
    """

    slots: tuple[str, ...] = ()

    def __init__(self, learning_rate: Any = 0.001, name: str | None = None, **unknown: Any) -> None:
        kind = type(self).__name__
        if unknown:
            first = next(iter(unknown))
            known = [*type(self).__init__.__code__.co_varnames, "name"]
            hint = " Did you mean 'learning_rate'?" if first == "lr" else did_you_mean(first, known)
            raise ValueError(f"{kind}: unknown argument {first!r}.{hint} Received: {unknown!r}.")
        self.iterations = 0
        self._learning_rate: float | LearningRateSchedule = 0.0
        self.learning_rate = learning_rate
        self.name = name or kind.lower()
        self.state: Array = np.zeros(0, np.float32)
        self._variables: list[Variable] = []

    @property
    def learning_rate(self) -> float:
        """The rate of the next step."""
        rate = self._learning_rate
        return rate(self.iterations) if isinstance(rate, LearningRateSchedule) else rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        value = get_schedule(value)
        if isinstance(value, LearningRateSchedule):
            self._learning_rate = value
            return
        if isinstance(self._learning_rate, LearningRateSchedule):
            raise TypeError(
                f"{type(self).__name__}: a learning rate that is a schedule can only be replaced by another schedule. "
                f"Received: learning_rate={value!r} over {type(self._learning_rate).__name__}. To set numbers, make "
                "the optimizer with a number."
            )
        self._learning_rate = at_least_zero(type(self).__name__, "learning_rate", value)

    def learning_rates(self, first: int, count: int) -> Array:
        """float64 ``(count,)``: the learning rate at each of the steps from ``first`` on."""
        rate = self._learning_rate
        if isinstance(rate, LearningRateSchedule):
            return rate.rates(np.arange(first, first + count, dtype=np.float64))
        return np.broadcast_to(np.float64(rate), (count,))

    # What subclasses define.

    def lower(self, b: Builder, parameters: Buffer, gradients: Buffer, slots: Sequence[Buffer]) -> None:
        """Append one step over the flat vectors to a program."""
        raise NotImplementedError(f"{type(self).__name__} must define lower().")

    def rates(self, first: int, count: int) -> Array:
        """float64 ``(count, r)``: what ``step.rates`` holds at the steps from ``first`` on, counted from 0."""
        return self.learning_rates(first, count)[:, None]

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal optimizer."""
        rate = self._learning_rate
        if isinstance(rate, LearningRateSchedule):
            return {"name": self.name, "learning_rate": serialize_schedule(rate)}
        return {"name": self.name, "learning_rate": float(np.float32(rate))}

    @classmethod
    def from_config(cls: type[O], config: dict[str, Any]) -> O:
        """The optimizer that ``config`` describes."""
        return cls(**config)

    # What they inherit.

    def ensure_state(self, size: int) -> Array:
        """The slots for ``size`` parameters as one flat vector, zeros at first."""
        if self.state.size != size * len(self.slots):
            self.state = np.zeros(size * len(self.slots), np.float32)
            self.iterations = 0
        return self.state

    def build(self, variables: Sequence[Variable]) -> None:
        """Keep slots for ``variables``, for use without a model."""
        self._variables = list(variables)
        self.ensure_state(sum(v.size for v in variables))

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Variable] | None = None) -> None:
        """One step on variables outside a model, by the NumPy definition of the optimizer's op.

        Raises:
            ValueError: where the gradients do not fit the variables; nothing changes then.
        """
        if trainable_variables is not None and not self._variables:
            self.build(trainable_variables)
        variables = self._variables if trainable_variables is None else list(trainable_variables)
        if [id(v) for v in variables] != [id(v) for v in self._variables]:
            raise ValueError(f"{type(self).__name__}.apply: the variables differ from those it was built for.")
        arrays = [np.asarray(g, np.float32) for g in grads]
        if [a.shape for a in arrays] != [v.shape for v in variables]:
            raise ValueError(
                f"{type(self).__name__}.apply: gradients must have the shapes {[v.shape for v in variables]}. "
                f"Received: {[a.shape for a in arrays]}."
            )
        flat = np.concatenate([v.value.reshape(-1) for v in variables])
        self._step(flat, np.concatenate([a.reshape(-1) for a in arrays]))
        offset = 0
        for variable in variables:
            variable.assign(flat[offset : offset + variable.size].reshape(variable.shape))
            offset += variable.size

    def apply_gradients(self, grads_and_variables: Any) -> None:
        """``apply`` for pairs of gradient and variable."""
        pairs = list(grads_and_variables)
        self.apply([g for g, _ in pairs], [v for _, v in pairs])

    def _step(self, flat: Array, gradients: Array) -> None:
        size = flat.size
        memory = {"parameters": flat, "gradients": gradients}
        memory |= {name: self.state[i * size : (i + 1) * size] for i, name in enumerate(self.slots)}
        b = Builder("optimizer", training=True)
        vectors = {name: b.declare("workspace", name, (size,)) for name in memory}
        self.lower(b, vectors["parameters"], vectors["gradients"], [vectors[name] for name in self.slots])
        step = ops.Step(rows=None, number=self.iterations, seed=0, rates=self.rates(self.iterations, 1)[0])
        for instruction in b.instructions:
            operands = [memory[name] for name in instruction.operands if name is not None]
            ops.get(instruction.op).body(*operands, **instruction.attributes, step=step)
        self.iterations += 1

    def finalize_variable_values(self, trainable_variables: Sequence[Variable]) -> None:
        """Called when training ends; for optimizers that average weights."""

    @property
    def variables(self) -> list[Array]:
        """The step count, the learning rate unless it is a schedule, and the slots, vector by vector."""
        size = self.state.size // max(1, len(self.slots))
        slots = [self.state[i * size : (i + 1) * size] for i in range(len(self.slots))]
        scheduled = isinstance(self._learning_rate, LearningRateSchedule)
        rate = [] if scheduled else [np.asarray(self.learning_rate, np.float32)]
        return [np.asarray(self.iterations), *rate, *slots]

    def count_params(self, parameters: int) -> int:
        """Values it keeps for so many parameters: those of ``variables``."""
        return len(self.variables) - len(self.slots) + len(self.slots) * parameters
