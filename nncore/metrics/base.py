"""``Metric``: the base of all metrics, what its state is, and how a program and arrays update the same state.

A metric's state is its variables: float64 sums over all rows so far. ``lower`` appends the ops that add a batch to
them; programs run these, and ``update_state`` runs them on arrays. ``result`` is computed from the sums.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np

from nncore import allowance, initializers, ops
from nncore.arguments import float32_name
from nncore.builder import Builder
from nncore.interpreter import interpret
from nncore.losses import fit_target
from nncore.names import snake_case
from nncore.program import Buffer, Function, Shape
from nncore.serialization import construct
from nncore.variables import Variable

Array = np.ndarray[Any, Any]


class Metric:
    """Base of all metrics.

    A subclass makes its variables with ``add_variable`` and defines ``result``, and either ``update_state``, called
    with arrays batch by batch, or ``lower``, whose ops become part of compiled programs.

    Args:
        dtype: ``None`` or ``"float32"``, the type of predictions and targets.
        name: The key under which ``History`` and ``evaluate`` report it.

    Attributes:
        target: What ``y`` holds: ``"same"``, values in the shape of the predictions; ``"labels"``, one integer a row;
            ``"any"``: it is taken as it is.
        better: ``"max"`` or ``"min"``: which way is better; ``None``: not known.
        elementwise: Whether each prediction counts by itself: a vector of them is then one a row, and there may be a
            weight for each. Otherwise a vector is one row.
        takes_mask: Whether rows that the mask of the predictions hides do not count.
    """

    target = "same"
    better: str | None = None
    elementwise = False
    takes_mask = False

    def __init__(self, dtype: str | None = None, name: str | None = None) -> None:
        float32_name(type(self).__name__, dtype)
        self.name = name or snake_case(type(self).__name__)
        if self.calls:
            self.target = "any"
        self._variables: list[Variable] = []

    # State.

    def add_variable(
        self, shape: Sequence[int] = (), initializer: Any = "zeros", dtype: str | None = None,
        aggregation: str = "sum", name: str | None = None,
    ) -> Variable:  # fmt: skip
        """A part of the state.

        Args:
            shape: Its shape.
            initializer: What it starts as; ``reset_state`` makes it 0.
            dtype: By default float64, in which long sums stay exact.
            aggregation: Taken for Keras's sake; without effect.
            name: Its name inside the metric.
        """
        dims = tuple(int(n) for n in shape)
        allowance.take(8 * prod(dims), f"the state of the metric {self.name!r}")
        initial = initializers.get(initializer or "zeros")(dims)  # type: ignore[misc]
        variable = Variable(initial, name or f"variable_{len(self._variables)}", False, dtype or "float64")
        variable.path = f"{self.name}/{variable.name}"
        self._variables.append(variable)
        return variable

    def add_weight(
        self, shape: Sequence[int] = (), initializer: Any = "zeros", dtype: str | None = None, name: str | None = None
    ) -> Variable:
        """The same as ``add_variable``."""
        return self.add_variable(shape, initializer, dtype, name=name)

    @property
    def variables(self) -> list[Variable]:
        """The state: this metric's variables, then those of the metrics it keeps in attributes."""
        inner = [value for value in vars(self).values() if isinstance(value, Metric)]
        return self._variables + [v for metric in inner for v in metric.variables]

    def reset_state(self) -> None:
        """Forget all batches."""
        for variable in self.variables:
            variable.value[...] = 0

    def result(self) -> Any:
        """The value over all batches since the last reset: a number, an array, or a dict of numbers."""
        raise NotImplementedError(f"{type(self).__name__} must define result().")

    # Programs.

    def build(self, prediction: Shape) -> None:
        """Make the variables whose shape depends on the predictions'; ``ValueError`` where these do not suit."""

    def lower(self, b: Builder, target: Buffer, prediction: Buffer, weight: Buffer | None) -> None:
        """Append what adds a batch to the variables: ``b.total`` gives the buffer of each.

        ``weight`` holds one value a row of the predictions; ``None``: all weigh 1.
        """
        raise NotImplementedError(f"{type(self).__name__} must define update_state() or lower().")

    def append(self, b: Builder, target: Buffer, prediction: Buffer, weight: Buffer | None) -> None:
        """Append the metric to a program: by ``lower``, or by ``update_state`` where a subclass defines that."""
        if not self.calls:
            self.lower(b, target, prediction, weight)
            return

        def body(outputs: Sequence[Array], inputs: Sequence[Array | None]) -> None:
            self.update_state(*inputs[:2], **({} if inputs[2] is None else {"sample_weight": inputs[2]}))

        b.call(Function(type(self).__name__, body), [], target, prediction, weight)

    @property
    def calls(self) -> bool:
        """Whether ``update_state`` was defined by a class further down than ``lower``: it keeps the state itself."""
        for cls in type(self).__mro__:
            if "update_state" in vars(cls) or "lower" in vars(cls):
                return cls is not Metric and "lower" not in vars(cls)
        return False

    def absorb(self, totals: Mapping[str, Array], rows: int) -> None:
        """Add to the variables what ``lower`` summed up, by their names, over so many rows of predictions."""
        for variable in self._variables:
            if variable.name in totals:
                variable.value[...] += totals[variable.name].reshape(variable.shape)

    # Arrays.

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take in a batch.

        Args:
            y_true: Targets, as ``target`` says.
            y_pred: Predictions.
            sample_weight: One weight a row, or a shape that can be broadcast to that.

        Raises:
            ValueError: where the shapes do not fit.
        """
        p = ops.as_real(y_pred)
        if p.ndim < 2:
            p = p.reshape((-1, 1) if self.elementwise else (1, -1))
        y = fit_target(self.name, self.target, self._as_rows(np.asarray(y_true), p), p.shape)
        y = y.astype(np.int32 if self.target == "labels" else np.float32)
        self.build((None, *p.shape[1:]))
        weight = None if sample_weight is None else ops.as_real(sample_weight)
        if weight is not None and self.elementwise and weight.shape == p.shape and y.shape == p.shape:
            y, p = y[..., None], p[..., None]
        weight = None if weight is None else fit_weight(self.name, weight, p.shape[:-1])
        b = Builder(self.name, training=False)
        arrays = {"y_true": y, "y_pred": p, **({} if weight is None else {"sample_weight": weight})}
        buffers = {
            name: b.declare("input", name, (None, *a.shape[1:]), "int32" if a.dtype == np.int32 else "real")
            for name, a in arrays.items()
        }
        self.lower(b, buffers["y_true"], buffers["y_pred"], buffers.get("sample_weight"))
        totals = {
            name: np.zeros(buffer.per_row) if buffer.initial is None else np.array(buffer.initial)
            for name, buffer in b.buffers.items()
            if buffer.kind == "total" and buffer.base is None
        }
        interpret(b, arrays | totals, buffers["y_pred"])
        self.absorb({name.removeprefix("total/"): total for name, total in totals.items()}, prod(p.shape[:-1]))

    def _as_rows(self, y: Array, p: Array) -> Array:
        """A vector of targets as one row, where the predictions are one."""
        return y.reshape(p.shape) if y.ndim == 1 and p.shape == (1, len(y)) and self.target == "same" else y

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """``update_state``, then ``result``."""
        self.update_state(*args, **kwargs)
        return self.result()

    # Configs.

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal metric."""
        return {"name": self.name, "dtype": "float32"}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Metric:
        """The metric that ``config`` describes."""
        return construct(cls, config)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


def fit_weight(owner: str, weight: Array, rows: tuple[int, ...]) -> Array:
    """``weight`` with one value a row; ``ValueError`` where it cannot be."""
    if weight.ndim == len(rows) + 1 and weight.shape[-1] == 1:
        weight = weight[..., 0]
    try:
        spread = np.broadcast_to(weight.reshape(weight.shape + (1,) * (len(rows) - weight.ndim)), rows)
    except ValueError:
        raise ValueError(
            f"{owner}: sample_weight must hold one weight a row, in shape {rows} or fewer axes. "
            f"Received: {weight.shape}."
        ) from None
    return np.ascontiguousarray(spread)


class Score(NamedTuple):
    """A metric of a compiled model."""

    name: str
    """The key under which it is reported."""
    metric: Metric
    weighted: bool
    """Whether sample weights count."""


def scores(metrics: Sequence[Metric], weighted: Sequence[Metric] = ()) -> list[Score]:
    """The metrics and weighted metrics of a model, by unique names.

    What has a name that is taken gets a number; of the weighted ones, it is first called ``weighted_`` and its name.
    """
    taken = ["loss"]
    found = []
    for metric, counts in [*((m, False) for m in metrics), *((m, True) for m in weighted)]:
        stem = f"weighted_{metric.name}" if counts and metric.name in taken else metric.name
        name, number = stem, 1
        while name in taken:
            name, number = f"{stem}_{number}", number + 1
        taken.append(name)
        found.append(Score(name, metric, counts))
    return found
