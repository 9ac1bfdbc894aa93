"""``Optimizer``: what happens to the gradients and weights of a model at each step, as a few ops over flat vectors."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any, NamedTuple, TypeVar

import numpy as np

from nncore import ops
from nncore.arguments import above_zero, at_least_zero, fraction, is_integer, positive_int
from nncore.builder import Builder
from nncore.errors import did_you_mean
from nncore.interpreter import execute
from nncore.names import snake_case
from nncore.optimizers.schedules import LearningRateSchedule, Rate
from nncore.optimizers.schedules import get as get_schedule
from nncore.optimizers.schedules import serialize as serialize_schedule
from nncore.program import Buffer
from nncore.serialization import construct
from nncore.variables import Variable, aligned

Array = np.ndarray[Any, Any]
O = TypeVar("O", bound="Optimizer")  # noqa: E741


class Span(NamedTuple):
    """Where a weight starts in the flat vectors. It is known by its name too: variables do not travel in a pickle."""

    path: str
    key: str
    shape: tuple[int, ...]
    start: int

    @property
    def size(self) -> int:
        """The number of values."""
        return prod(self.shape)


class Operands(NamedTuple):
    """What an update works on, of one weight or, without ``span``, of all of them as one vector."""

    w: Buffer
    g: Buffer
    slots: Mapping[str, Buffer]
    span: Span | None = None


class Optimizer:
    """Base of all optimizers.

    A step is, in this order: unscale and accumulate the gradients; clip them; decay the weights; the update itself; the
    weights' running mean; their constraints, which the mean is not subject to.

    Args:
        learning_rate: A number of at least 0, a schedule of ``nncore.optimizers.schedules``, or a function of no
            arguments. A number may be set at any time; the next epoch uses it, and in a batch hook the next batch. A
            function is called once a step, for all of an epoch before it begins.
        weight_decay: Where given, w -= learning_rate · weight_decay · w before each update, for all weights but those
            of ``exclude_from_weight_decay``.
        clipnorm: Where given, each weight's gradient is scaled to have at most this norm.
        clipvalue: Where given, gradients are cut to [-clipvalue, clipvalue].
        global_clipnorm: Where given, all gradients together are scaled to have at most this norm. Only one of the three
            may be given; 0 means no clipping.
        use_ema: Whether to keep a running mean of the weights, which ``fit`` puts in their place at its end.
        ema_momentum: mean = ema_momentum · mean + (1 - ema_momentum) · w after each step, in [0, 1].
        ema_overwrite_frequency: Where given, the mean also takes the weights' place every so many steps.
        loss_scale_factor: Where given, the loss is multiplied by it before it is differentiated, and the gradients are
            divided by it.
        gradient_accumulation_steps: Where given, at least 2: weights change only every so many steps, by the mean of
            the gradients since. ``iterations`` counts these changes; schedules count steps.
        name: Shown in configs.
        lr: Another name for ``learning_rate``.

    Raises:
        ValueError: for an argument out of its range, or unknown.

    Attributes:
        slots: Names of the vectors it keeps besides the weights, each as long as they are.
        steps: Training steps so far.
        state: All slots, one after the other.
    """

    groups: tuple[tuple[str, ...], ...] = ()
    """The names of its own slots. Those of a group stand weight by weight among ``variables``, the groups one after the
    other, as in Keras's files."""

    layerwise = False
    """Whether ``update`` is given one weight at a time."""

    def __init__(
        self, learning_rate: Any = 0.001, weight_decay: float | None = None, clipnorm: float | None = None,
        clipvalue: float | None = None, global_clipnorm: float | None = None, use_ema: bool = False,
        ema_momentum: float = 0.99, ema_overwrite_frequency: int | None = None, loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None, name: str | None = None, **unknown: Any,
    ) -> None:  # fmt: skip
        kind = type(self).__name__
        if unknown.pop("decay", None) is not None:
            warnings.warn(f"{kind}: decay is ignored. Use a schedule, or weight_decay.", stacklevel=3)
        self._learning_rate: float | LearningRateSchedule | Callable[[], Any] = 0.0
        self.learning_rate = unknown.pop("lr", learning_rate)
        self._refuse(unknown)
        self.name = name or snake_case(kind)

        def optional(check: Callable[[str, str, Any], float], argument: str, value: Any) -> float | None:
            return None if value is None else check(kind, argument, value)

        self.weight_decay = optional(at_least_zero, "weight_decay", weight_decay)
        self.clipnorm = optional(at_least_zero, "clipnorm", clipnorm)
        self.clipvalue = optional(at_least_zero, "clipvalue", clipvalue)
        self.global_clipnorm = optional(at_least_zero, "global_clipnorm", global_clipnorm)
        if sum(limit is not None for limit in (clipnorm, clipvalue, global_clipnorm)) > 1:
            raise ValueError(
                f"{kind}: give one of clipnorm, clipvalue and global_clipnorm. Received: clipnorm={clipnorm!r}, "
                f"clipvalue={clipvalue!r}, global_clipnorm={global_clipnorm!r}."
            )
        self.use_ema = bool(use_ema)
        self.ema_momentum = fraction(kind, "ema_momentum", ema_momentum)
        self.ema_overwrite_frequency = (
            None if ema_overwrite_frequency is None
            else positive_int(kind, "ema_overwrite_frequency", ema_overwrite_frequency)
        )  # fmt: skip
        self.loss_scale_factor = optional(above_zero, "loss_scale_factor", loss_scale_factor)
        k = gradient_accumulation_steps
        if k is not None and (not is_integer(k) or k < 2):
            raise ValueError(
                f"{kind}: gradient_accumulation_steps must be None or an integer of at least 2. Received: "
                f"gradient_accumulation_steps={k!r}."
            )
        self.gradient_accumulation_steps = None if k is None else int(k)
        self.steps = 0
        self.state: Array = np.zeros(0, np.float32)
        self._spans: list[Span] = []
        self._variables: list[Variable] = []
        self._resting: dict[int, tuple[Variable, Array]] = {}  # the slots of weights that are frozen now
        self._undecayed: tuple[list[Variable], list[str]] = ([], [])
        self._lowered: Builder | None = None

    @classmethod
    def _refuse(cls, unknown: dict[str, Any]) -> None:
        """Raise ``ValueError`` where there are arguments that nothing takes."""
        if unknown:
            first = next(iter(unknown))
            known = {name for base in (cls, Optimizer) for name in inspect.signature(base).parameters}
            raise ValueError(
                f"{cls.__name__}: unknown argument {first!r}.{did_you_mean(first, sorted(known))} "
                f"Received: {unknown!r}."
            )

    # The learning rate, and what else changes from step to step.

    @property
    def learning_rate(self) -> Rate:
        """The rate of the next step."""
        return Rate(self.learning_rates(self.steps, 1)[0], self._set_learning_rate)

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        self._set_learning_rate(value)

    @property
    def lr(self) -> Rate:
        """Another name for ``learning_rate``."""
        return self.learning_rate

    @lr.setter
    def lr(self, value: Any) -> None:
        self._set_learning_rate(value)

    def _set_learning_rate(self, value: Any) -> None:
        value = get_schedule(value)
        if isinstance(value, LearningRateSchedule) or (callable(value) and not isinstance(value, type)):
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
        if callable(rate):
            kind = type(self).__name__
            return np.array([at_least_zero(kind, "what learning_rate() gives", rate()) for _ in range(count)])
        return np.broadcast_to(np.float64(rate), (count,))

    def rates(self, first: int, count: int) -> Array:
        """float64 ``(count, r)``: what ``step.rates`` holds at the steps from ``first`` on, counted from 0."""
        own, shared = self._rates(np.arange(first, first + count), self.learning_rates(first, count))
        if len(own) == 1 and not shared:
            return own[0][:, None]
        rates = np.empty((count, len(own) + len(shared)))
        for i, column in enumerate((*own, *shared.values())):
            rates[:, i] = column
        return rates

    def _rates(self, steps: Array, rate: Array) -> tuple[tuple[Array, ...], dict[str, Array]]:
        """The rates of the update, and by name those of what all optimizers have in common, which come after them."""
        every = self.gradient_accumulation_steps or 1
        t = (steps if every == 1 else steps // every) + 1.0
        shared: dict[str, Array] = {}
        if self._may_decay():
            shared["decay"] = rate
        if every > 1:
            shared["due"] = (steps + 1) % every == 0
        if self.use_ema:
            shared["mean"] = np.where(t == 1, 0.0, self.ema_momentum)
            if self.ema_overwrite_frequency is not None:
                shared["overwrite"] = t % self.ema_overwrite_frequency == 0
        return self.update_rates(rate, t), shared

    # What subclasses define.

    def update_rates(self, rate: Array, t: Array) -> tuple[Array, ...]:
        """The rates of ``update``, each a column, given the learning rate at each step and the number of the weights'
        change that it is part of, from 1 on."""
        return (rate,)

    def update(self, b: Builder, at: Operands) -> None:
        """Append the update of ``at.w`` by ``at.g`` to a program."""
        raise NotImplementedError(f"{type(self).__name__} must define update().")

    def initial(self, slot: str) -> float:
        """The value that a slot begins with."""
        return 0.0

    def slot_shape(self, slot: str, span: Span) -> tuple[int, ...] | None:
        """The shape of a weight's part of a slot, no larger than the weight; ``None`` where it has none."""
        return span.shape

    def decay_of(self, span: Span) -> float | None:
        """The decay of a weight."""
        return self.weight_decay

    def _may_decay(self) -> bool:
        """Whether any weight may decay."""
        return bool(self.weight_decay)

    # A step.

    @property
    def slots(self) -> tuple[str, ...]:
        """The names of all slots."""
        return tuple(slot for group in self._groups() for slot in group)

    def _groups(self) -> tuple[tuple[str, ...], ...]:
        averages = (("average",),) if self.use_ema else ()
        return averages + ((("gradient_accumulator",),) if self.gradient_accumulation_steps else ()) + self.groups

    def lower(self, b: Builder, variables: Sequence[Variable]) -> None:
        """Append one step on the flat vectors of ``variables``, which hold them one after the other, to a program."""
        spans, size = _lay_out(variables)
        every, each = self._operands(b, variables, spans, size)
        own, shared = self._rates(np.zeros(0, np.int64), np.zeros(0))
        rate = {name: len(own) + i for i, name in enumerate(shared)}
        w, g = every.w, every.g
        if self.loss_scale_factor is not None:
            b.emit_to("scale_shift", (g,), g, scale=1 / self.loss_scale_factor, offset=0.0)
        if self.gradient_accumulation_steps:
            total = every.slots["gradient_accumulator"]
            b.emit_to("add", (total,), total, g)
        with b.when(rate.get("due")):
            if self.gradient_accumulation_steps:
                b.emit_to("accumulated", (g, total), g, total, count=self.gradient_accumulation_steps)
            self._clip(b, every, each)
            if self._may_decay():
                self._decay(b, every, each, variables, rate["decay"])
            for at in each if self.layerwise else [every]:
                self.update(b, at)
        if self.use_ema:
            mean = every.slots["average"]
            b.emit_to("average", (mean,), mean, w, rate=rate["mean"])
            if "overwrite" in rate:
                with b.when(rate["overwrite"]):
                    b.emit_to("scale_shift", (w,), mean, scale=1.0, offset=0.0)
        constrain(b, variables, each)

    def _operands(
        self, b: Builder, variables: Sequence[Variable], spans: Sequence[Span], size: int
    ) -> tuple[Operands, list[Operands]]:
        """All weights as one vector, and each of them, with the gradients and slots that belong to them."""
        w, g = (b.declare(kind, f"{kind}s", (size,)) for kind in ("parameter", "gradient"))
        state = b.declare("state", "state", (len(self.slots) * size,))
        slots = {slot: b.part(state, slot, i * size, (size,)) for i, slot in enumerate(self.slots)}
        each = []
        for variable, span in zip(variables, spans, strict=True):
            known = b.variables.get(span.key) is variable
            own = {}
            for slot, whole in slots.items():
                shape = self.slot_shape(slot, span)
                if shape is not None:
                    own[slot] = b.part(whole, f"{slot}/{span.key}", span.start, shape or (1,))
            shape = span.shape or (1,)
            weight = b.buffers[span.key] if known else b.part(w, span.key, span.start, shape)
            gradient = b.buffers.get(f"d_{span.key}") if known else None
            gradient = gradient or b.part(g, f"d_{span.key}", span.start, shape)
            each.append(Operands(b.view(weight, shape), b.view(gradient, shape), own, span))
        return Operands(w, g, slots), each

    def _clip(self, b: Builder, every: Operands, each: Sequence[Operands]) -> None:
        if self.clipvalue:
            b.emit_to("clip", (every.g,), every.g, low=-self.clipvalue, high=self.clipvalue)
        elif self.clipnorm:
            for at in each:
                (norm,) = b.emit("norm", at.g)
                b.emit_to("clip_norm", (at.g,), at.g, norm, limit=self.clipnorm, strict=0)
        elif self.global_clipnorm:
            # Weight by weight: NaN must not get between the gradients, where no later step would overwrite it.
            (norm,) = b.emit("norm", every.g)
            for at in each:
                b.emit_to("clip_norm", (at.g,), at.g, norm, limit=self.global_clipnorm, strict=1)

    def _decay(
        self, b: Builder, every: Operands, each: Sequence[Operands], variables: Sequence[Variable], rate: int
    ) -> None:
        decays = [self.decay_of(at.span) if at.span and self._decays(v) else None
                  for v, at in zip(variables, each, strict=True)]  # fmt: skip
        same = len(set(decays)) == 1
        for decay, at in [(decays[0], every)] if same else zip(decays, each, strict=True):
            if decay:
                b.emit_to("decay", (at.w,), at.w, decay=decay, rate=rate)

    def _decays(self, variable: Variable) -> bool:
        kept, patterns = self._undecayed
        return not any(variable is v for v in kept) and not any(re.search(p, variable.name) for p in patterns)

    def exclude_from_weight_decay(
        self, var_list: Sequence[Variable] | None = None, var_names: Sequence[str] | None = None
    ) -> None:
        """Let weights not decay: those of ``var_list``, and those in whose name one of ``var_names`` is found.

        Raises:
            ValueError: once the optimizer has been built.
        """
        if self.built:
            raise ValueError(
                f"{type(self).__name__}: exclude_from_weight_decay must be called before training begins or build is "
                "called."
            )
        self._undecayed = list(var_list or ()), list(var_names or ())

    # State.

    @property
    def built(self) -> bool:
        """Whether it knows the weights that it trains."""
        return bool(self._spans)

    @property
    def iterations(self) -> int:
        """How often the weights have changed: the training steps, over ``gradient_accumulation_steps`` where given."""
        return self.steps // (self.gradient_accumulation_steps or 1)

    @iterations.setter
    def iterations(self, value: int) -> None:
        self.steps = int(value) * (self.gradient_accumulation_steps or 1)

    def ensure_state(self, variables: Sequence[Variable]) -> Array:
        """The slots of ``variables`` as one flat vector.

        Weights that it has trained before keep theirs, also over a time in which they were frozen; where there is none
        such, training begins anew.
        """
        if not variables or [id(v) for v in variables] == [id(v) for v in self._variables]:
            return self.state
        (spans, size), slots = _lay_out(variables), self.slots
        old = self.state.reshape(max(1, len(slots)), -1)
        parts = [old[:, span.start : span.start + span.size] for span in self._spans]
        if self._spans and not self._variables:  # a copy, or out of a pickle
            kept: dict[Any, Array] = {(s.key, s.shape): part for s, part in zip(self._spans, parts, strict=True)}
            found = [kept.get((span.key, span.shape)) for span in spans]
        else:
            own = zip(self._variables, parts, strict=True)
            known = self._resting | {id(v): (v, part.copy()) for v, part in own}
            found = [known[id(v)][1] if id(v) in known else None for v in variables]
            self._resting = {key: rest for key, rest in known.items() if key not in map(id, variables)}
        if self._spans or self.state.size != size * len(slots):  # else the state of these weights was put there
            new = np.empty((len(slots), size), np.float32)
            for i, slot in enumerate(slots):
                new[i] = self.initial(slot)
                for span, part in zip(spans, found, strict=True):
                    if part is not None:
                        new[i, span.start : span.start + span.size] = part[i]
            self.state = new.reshape(-1)
        if self._spans and all(part is None for part in found):
            self.steps, self._resting = 0, {}
        self._variables, self._spans, self._lowered = list(variables), spans, None
        return self.state

    def state_for(self, variables: Sequence[Variable]) -> tuple[list[Variable], list[tuple[Variable, Array]]]:
        """What its ``variables`` were if it trained these weights next, and the slots, ``(slots, values)``, that others
        left. It stays as it is."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.ensure_state(variables)
        resting = dict(other._resting)
        if not variables:
            slots = other.state.reshape(max(1, len(other.slots)), -1)
            for variable, span in zip(other._variables, other._spans, strict=False):
                resting[id(variable)] = variable, slots[:, span.start : span.start + span.size]
            other._spans = []
        return other.variables, list(resting.values())

    def rest(self, slots: Sequence[tuple[Variable, Array]]) -> None:
        """Keep the slots of weights that are frozen now; ``ValueError`` where they are not ``(slots, values)``."""
        for variable, array in slots:
            if array.shape != (len(self.slots), variable.size):
                raise ValueError(
                    f"{type(self).__name__}: the slots of {variable.path!r} must have the shape "
                    f"{(len(self.slots), variable.size)}. Received: {array.shape}."
                )
        self._resting |= {id(v): (v, np.array(array, np.float32)) for v, array in slots}

    def __getstate__(self) -> dict[str, Any]:
        """Without the variables, which belong to the model: it finds them again by their names."""
        return {**self.__dict__, "_variables": [], "_resting": {}, "_lowered": None}

    @property
    def variables(self) -> list[Variable]:
        """The step count, the learning rate if it is a number, and the slots, in the order of Keras's files.

        Their values are those of the optimizer: ``assign`` changes it.
        """
        kept: list[Variable] = [_Number(self, "iteration", np.int64(self.steps), "steps")]
        if not callable(self._learning_rate):
            kept.append(_Number(self, "learning_rate", np.float32(self._learning_rate), "learning_rate"))
        matrix = self.state.reshape(max(1, len(self.slots)), -1)
        row = {slot: i for i, slot in enumerate(self.slots)}
        for group in self._groups():
            for span in self._spans:
                for slot in group:
                    shape = self.slot_shape(slot, span)
                    if shape is not None:
                        name = f"{span.path.replace('/', '_')}_{slot}"
                        values = matrix[row[slot], span.start : span.start + prod(shape)].reshape(shape)
                        kept.append(_view(values, name, f"{self.name}/{name}"))
        return kept

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Set all ``variables``; nothing changes where their number or a shape differs (``ValueError``)."""
        variables, kind = self.variables, type(self).__name__
        if not self.built:
            raise ValueError(f"{kind}.set_weights: call build(variables) first, or train a step.")
        shapes = [np.shape(value) for value in weights]
        if shapes != [v.shape for v in variables]:
            raise ValueError(
                f"{kind}.set_weights: the values must have the shapes {[v.shape for v in variables]}. "
                f"Received: {shapes}."
            )
        for variable, value in zip(variables, weights, strict=True):
            variable.assign(value)

    # Use without a model.

    def build(self, variables: Sequence[Variable]) -> None:
        """Keep slots for ``variables``, for use without a model."""
        self.ensure_state(list(variables))

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Variable] | None = None) -> None:
        """One step on variables outside a model, by the NumPy definitions of the optimizer's ops.

        Raises:
            ValueError: where the gradients do not fit the variables; nothing changes then.
        """
        kind = type(self).__name__
        if not len(grads):
            return
        if not self._variables:
            if trainable_variables is None:
                raise ValueError(f"{kind}.apply: call build(variables) first, or pass the variables.")
            self.build(trainable_variables)
        variables = self._variables if trainable_variables is None else list(trainable_variables)
        if [id(v) for v in variables] != [id(v) for v in self._variables]:
            raise ValueError(f"{kind}.apply: the variables differ from those it was built for.")
        arrays = [np.asarray(g, np.float32) for g in grads]
        if [a.shape for a in arrays] != [v.shape for v in variables]:
            raise ValueError(
                f"{kind}.apply: gradients must have the shapes {[v.shape for v in variables]}. "
                f"Received: {[a.shape for a in arrays]}."
            )
        size = _lay_out(variables)[1]
        w, g = np.zeros((2, size), np.float32)
        for variable, gradient, span in zip(variables, arrays, self._spans, strict=True):
            part = slice(span.start, span.start + span.size)
            w[part], g[part] = variable.value.reshape(-1), gradient.reshape(-1)
        if self._lowered is None:
            self._lowered = Builder("optimizer", training=True)
            self.lower(self._lowered, variables)
        step = ops.Step(rows=None, number=self.steps, seed=0, rates=self.rates(self.steps, 1)[0])
        execute(self._lowered, {"parameters": w, "gradients": g, "state": self.state}, step)
        self.steps += 1
        for variable, span in zip(variables, self._spans, strict=True):
            variable.assign(w[span.start : span.start + span.size].reshape(span.shape))

    def apply_gradients(self, grads_and_vars: Any) -> int:
        """``apply`` for pairs of gradient and variable; returns the number of steps so far."""
        pairs = list(grads_and_vars)
        self.apply([g for g, _ in pairs], [v for _, v in pairs])
        return self.steps

    def finalize_variable_values(self, var_list: Sequence[Variable] | None = None) -> None:
        """Put the running means in the weights' place, where it keeps any; ``fit`` calls it when training ends.

        ``var_list`` is by default all that it trains. Before the first step nothing changes.
        """
        if not self.use_ema or not self.steps:
            return
        pairs = self.running_means()
        means = {id(v): mean for v, mean in pairs}
        variables = [v for v, _ in pairs] if var_list is None else var_list
        if not all(id(v) in means for v in variables):
            raise ValueError(f"{type(self).__name__}.finalize_variable_values: these are not the weights it trained.")
        for variable in variables:
            variable.assign(means[id(variable)])

    def running_means(self) -> list[tuple[Variable, Array]]:
        """Each weight that it trains with its running mean, a view; nothing before the first step, or where it keeps
        none."""
        if not self.use_ema or not self.steps:
            return []
        means = self.state.reshape(len(self.slots), -1)[self.slots.index("average")]
        return [
            (variable, means[span.start : span.start + span.size].reshape(span.shape))
            for variable, span in zip(self._variables, self._spans, strict=True)
        ]

    # Configs.

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal optimizer."""
        rate: Any = self._learning_rate
        if isinstance(rate, LearningRateSchedule):
            rate = serialize_schedule(rate)
        elif not callable(rate):
            rate = float(np.float32(rate))
        return {
            "name": self.name, "learning_rate": rate, "weight_decay": self.weight_decay, "clipnorm": self.clipnorm,
            "global_clipnorm": self.global_clipnorm, "clipvalue": self.clipvalue, "use_ema": self.use_ema,
            "ema_momentum": self.ema_momentum, "ema_overwrite_frequency": self.ema_overwrite_frequency,
            "loss_scale_factor": self.loss_scale_factor,
            "gradient_accumulation_steps": self.gradient_accumulation_steps,
        }  # fmt: skip

    @classmethod
    def from_config(cls: type[O], config: dict[str, Any]) -> O:
        """The optimizer that ``config`` describes."""
        return construct(cls, config)


def constrain(b: Builder, variables: Sequence[Variable], each: Sequence[Operands]) -> None:
    """Append the constraints of the weights that have one."""
    for variable, at in zip(variables, each, strict=True):
        constraint = getattr(variable, "constraint", None)
        if constraint is not None:
            constraint.lower(b, at.w)


def _lay_out(variables: Sequence[Variable]) -> tuple[list[Span], int]:
    """Where the variables lie in flat vectors that hold them one after the other, and the length of these."""
    spans, size = [], 0
    for variable in variables:
        spans.append(Span(variable.path, variable.key, variable.shape, size))
        size += aligned(variable.size)
    return spans, size


def _view(values: Array, name: str, path: str) -> Variable:
    """A variable that lives in ``values``."""
    variable = Variable(0.0, name, trainable=False)
    variable.value, variable.path = values, path
    return variable


class _Number(Variable):
    """A number of an optimizer among its variables; what is assigned to it, the optimizer has."""

    def __init__(self, optimizer: Optimizer, name: str, value: Any, attribute: str) -> None:
        super().__init__(0.0, name, trainable=False)
        self.value, self.path = np.array(value), f"{optimizer.name}/{name}"
        self._owner, self._attribute = optimizer, attribute

    def assign(self, value: Any) -> Variable:
        """Set the number."""
        super().assign(value)
        setattr(self._owner, self._attribute, self.value.item())
        return self
