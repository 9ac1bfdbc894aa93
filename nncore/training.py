"""Running models: programs and their executables on the backend in force, and what ``compile`` chose."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from threading import RLock
from typing import Any

import numpy as np

from nncore import backends, losses, metrics, random
from nncore.backends import Epoch, Executable, Memory
from nncore.compiler import (
    LOSS_TOTAL,
    UPDATE_ROWS,
    FlatVectors,
    Plan,
    fuse,
    lower_evaluate,
    lower_input_gradient,
    lower_predict,
    lower_train,
    lower_vjp,
    plan,
)
from nncore.data import (
    Data,
    Samples,
    as_array,
    as_samples,
    check_finite,
    check_ids,
    check_labels,
    check_lengths,
    check_probabilities,
    fit_samples,
    flat_rows,
    named,
)
from nncore.errors import DataError
from nncore.layers import Embedding
from nncore.layers.base import Layer, elements
from nncore.losses import Loss
from nncore.metrics import Score
from nncore.optimizers import Optimizer
from nncore.program import Program, Shape
from nncore.sparse import Sparse

Array = np.ndarray[Any, Any]
Logs = dict[str, Any]

PREDICT_BATCH = 256
"""Rows predicted at a time where the caller does not say: no bit depends on it."""

KEPT = 16
"""Executables a model keeps: one for each program and batch size, the oldest dropped first."""


class Machine:
    """The flat weights of a stack of layers, its programs, and their executables on the backend in force.

    Args:
        layers: Built layers, the input's first.
        x_shape: Shape of the samples, batch axis first.

    Attributes:
        short: The backend's shorter way to predictions, for as long as ``short_on`` is in force.
        short_on: The backend it is for; ``None`` before the first prediction.
    """

    backends = backends
    """For ``Sequential.predict``, which asks which one is in force, and imports nothing for it."""

    def __init__(self, layers: Sequence[Layer], x_shape: Shape) -> None:
        self.layers = tuple(layers)
        self.x_shape = x_shape
        self.output_shape = layers[-1].output_shape or x_shape
        self.flat = FlatVectors([v for layer in layers for v in layer.stored])
        self.programs: dict[Any, Program] = {}
        self._executables: dict[Any, Executable] = {}
        self._loading = RLock()
        self.short: backends.Predictor = _no_short
        self.short_on: backends.Backend | None = None

    def holds(self, layers: Sequence[Layer]) -> bool:
        """Whether this is still the machine of these layers."""
        stored = [v for layer in layers for v in layer.stored]
        return self.layers == tuple(layers) and self.flat.holds(stored)

    def program(self, key: Any, lower: Callable[[], Program], batch: int = 1) -> Program:
        """The program kept under ``key``, lowered and fused at the first call, for batches of up to ``batch`` rows."""
        updates = batch <= UPDATE_ROWS
        if (key, updates) not in self.programs:
            self.programs[key, updates] = fuse(lower(), updates)
        return self.programs[key, updates]

    def executable(self, key: Any, lower: Callable[[], Program], batch: int) -> Executable:
        """The program kept under ``key``, loaded for batches of up to ``batch`` rows."""
        backend = backends.current()
        where = (backend, key, batch)
        executable = self._executables.get(where)
        if executable is None:
            with self._loading:
                executable = self._executables.get(where) or self._load(where, lower)
        self.flat.adopt()
        return executable

    def _load(self, where: tuple[backends.Backend, Any, int], lower: Callable[[], Program]) -> Executable:
        """A new executable, kept in place of the oldest."""
        backend, key, batch = where
        program = self.program(key, lower, batch)
        executable = backend.load(program, plan(program, self.flat.offsets, batch))
        while len(self._executables) >= KEPT:
            del self._executables[next(iter(self._executables))]
        self._executables[where] = executable
        return executable

    def check_ids(self, name: str, x: Samples) -> None:
        """Raise ``DataError`` where the first layer takes integers and has nothing for one of x."""
        first = self.layers[0]
        if not isinstance(first, Embedding):
            return
        if isinstance(x, Sparse):
            raise DataError(f"{name} must be an array for an Embedding, not a sparse matrix. Use its toarray().")
        check_ids(name, x, first.input_dim)

    def predict(self, x: Samples, batch: int, out: Array | None = None) -> Array:
        """Predictions for samples whose shape fits, in ``out`` or a new float32 array."""
        executable, memory = self.prediction(x, batch, out)
        executable.run(memory, one_pass(executable.program, len(x)), 0, -(-len(x) // batch))
        return memory.arrays["predictions"]

    def prediction(self, x: Samples, batch: int, out: Array | None = None) -> tuple[Executable, Memory]:
        """What predicts ``x`` in batches of ``batch`` rows, into the array ``"predictions"`` of the memory."""
        self.check_ids("x", x)
        sparse = isinstance(x, Sparse)
        direct = (
            not self.layers[0].takes_integers
            and not isinstance(x, Sparse)
            and x.dtype == np.float32
            and x.flags.c_contiguous
        )
        executable = self.executable(
            ("predict", direct, sparse), lambda: lower_predict(self.layers, self.x_shape, direct, sparse), batch
        )
        if direct and batch == PREDICT_BATCH:
            self.short = executable.predictor(self.flat) or _no_short
            self.short_on = backends.current()
        if out is None:
            out = np.empty((len(x), *(n for n in self.output_shape[1:] if n is not None)), np.float32)
        arrays: dict[str, Any] = {"x": x} if direct else named("x", x)
        return executable, Memory(self.flat, np.empty(0, np.float32), np.empty(0), {**arrays, "predictions": out})

    def vjp(self, x: Samples, dy: Samples) -> Array:
        """The gradient in x of the sum of all predictions' products with ``dy``."""
        return self.gradient("vjp", lambda: lower_vjp(self.layers, self.x_shape), {"x_rows": x, "dy_rows": dy})

    def gradient(self, key: Any, lower: Callable[[], Program], sources: dict[str, Samples]) -> Array:
        """What a program that ends in ``dx`` gives for these arrays of one row a sample."""
        x = sources["x_rows"]
        executable = self.executable(key, lower, min(len(x), PREDICT_BATCH))
        dx = np.empty(x.shape, np.float32)
        arrays = {name: flat_rows(array) for name, array in sources.items()}
        totals = np.array(executable.plan.initial)
        memory = Memory(self.flat, np.empty(0, np.float32), totals, {**arrays, "dx": dx})
        executable.run(memory, one_pass(executable.program, len(x)), 0, -(-len(x) // executable.plan.batch))
        return dx


class Trainer:
    """What ``compile`` chose: it checks data, keeps the programs to train and evaluate, and reads the scores.

    Args:
        loss: The loss; ``None``: the cross-entropy that suits the first data.
        metrics: Names, functions, classes or instances; ``"accuracy"`` is resolved when the targets are known.
        optimizer: The optimizer.
        finite: Whether to refuse NaN and infinities in the data.
        weighted_metrics: Metrics for which sample weights count.
        on_nan: What ``fit`` does where the loss becomes NaN or infinite: one of ``guard.MODES``.

    Attributes:
        chosen: The loss; ``None`` until the first data chose it.
        scores: The metrics as the last data resolved them.
    """

    def __init__(
        self, loss: Loss | None, metrics: Sequence[Any], optimizer: Optimizer, finite: bool,
        weighted_metrics: Sequence[Any] = (), on_nan: str = "raise",
    ) -> None:  # fmt: skip
        self.chosen = loss
        self.metrics = list(metrics)
        self.weighted_metrics = list(weighted_metrics)
        self.optimizer = optimizer
        self.finite = finite
        self.on_nan = on_nan
        self.scores: list[Score] = []
        self._resolved: dict[tuple[Shape, Shape], list[Score]] = {}
        self._seed = random.draw_seed()

    @property
    def loss(self) -> Loss:
        """The loss; ``ValueError`` where data is still to choose it."""
        if self.chosen is None:
            raise ValueError(
                "The loss 'crossentropy' is chosen by the shape of the first y: call fit, evaluate or a method for "
                "single batches first, or name it: 'binary_', 'categorical_' or 'sparse_categorical_crossentropy'."
            )
        return self.chosen

    # Data.

    def prepare(
        self, machine: Machine, x: Any, y: Any, sample_weight: Any = None, class_weight: Any = None, prefix: str = ""
    ) -> Data:
        """The caller's data as arrays that fit the model; raises ``DataError`` before anything else happens."""
        if self.chosen is not None:
            return self._prepare(machine, x, y, sample_weight, class_weight, prefix)
        self.chosen = losses.resolve(as_array(f"{prefix}y", y).shape, machine.output_shape)
        try:
            return self._prepare(machine, x, y, sample_weight, class_weight, prefix)
        except Exception:
            self.chosen = None  # what is refused chooses nothing
            raise

    def _prepare(self, machine: Machine, x: Any, y: Any, sample_weight: Any, class_weight: Any, prefix: str) -> Data:
        xs = as_samples(f"{prefix}x", x)
        ys = as_array(f"{prefix}y", y)
        check_lengths(**{f"{prefix}x": xs, f"{prefix}y": ys})
        xs = fit_samples(f"{prefix}x", xs, machine.x_shape)
        machine.check_ids(f"{prefix}x", xs)
        ys = self._fit_targets(f"{prefix}y", ys, machine)
        if self.finite:
            check_finite(f"{prefix}x", xs)
            check_finite(f"{prefix}y", ys)
        self._check_range(f"{prefix}y", ys, machine)
        if sample_weight is not None and class_weight is not None:
            raise DataError(
                "Give either sample_weight or class_weight, not both: multiply them into one sample_weight."
            )
        weight = None
        if sample_weight is not None:
            weight = as_array(f"{prefix}sample_weight", sample_weight)
            check_lengths(**{f"{prefix}x": xs, f"{prefix}sample_weight": weight})
            weight = self._fit_weights(f"{prefix}sample_weight", weight, machine)
            check_finite(f"{prefix}sample_weight", weight)
        if class_weight is not None:
            weight = self._class_weights(ys, class_weight, machine)
        self.resolve_metrics((None, *ys.shape[1:]), machine)
        return Data(xs, ys, weight)

    def _fit_targets(self, name: str, y: Array, machine: Machine) -> Array:
        """``y`` in the shape that the loss compares with the predictions."""
        last, p = machine.layers[-1].name, machine.output_shape
        if self.loss.target == "any":
            return y.reshape(-1, 1) if y.ndim == 1 and p == (None, 1) else y
        labels = self.loss.target == "labels"
        wanted = self.loss.target_shape(p)[1:]
        if y.shape[1:] == wanted:
            return y
        if y.shape[1:] == (*wanted, 1) or (*y.shape[1:], 1) == wanted:
            return y.reshape(len(y), *(n for n in wanted if n is not None))
        hint = ""
        if labels and y.shape[1:] == p[1:]:
            hint = " For one-hot targets use categorical_crossentropy, or pass y.argmax(-1)."
        elif not labels and y.shape[1:] in (p[1:-1], (*p[1:-1], 1)) and "crossentropy" in self.loss.name:
            hint = " For integer labels use sparse_categorical_crossentropy, or utils.to_categorical(y)."
        shape = ", ".join(["rows", *(str(n) for n in wanted)])
        raise DataError(
            f"{name} must have shape ({shape}) for {self.loss.name}, since the last layer {last!r} gives {p}. "
            f"Received: {y.shape}.{hint}"
        )

    def _fit_weights(self, name: str, weight: Array, machine: Machine) -> Array:
        """``weight`` as one weight a sample, or a value of its loss: leading axes of the values of the loss."""
        rows = (len(weight), *self.loss.rows_shape(machine.output_shape)[1:])
        if weight.ndim > 1 and weight.shape[-1] == 1 and weight.shape != rows:
            weight = weight[..., 0]
        if weight.shape == rows[: weight.ndim]:
            return weight
        if len(rows) == 1:
            wanted = f"({len(weight)},), one weight a row"
        else:
            wanted = f"({len(weight)},), one weight a row, or {rows}, one a value of the loss"
        raise DataError(f"{name} must have shape {wanted}. Received: {weight.shape}.")

    def _check_range(self, name: str, y: Array, machine: Machine) -> None:
        classes = machine.output_shape[self.loss.axis]
        if self.loss.target == "labels" and classes is not None:
            check_labels(name, y, classes, getattr(self.loss, "ignore_class", None))
        elif self.loss.probabilities:
            check_probabilities(name, y, self.loss.name)

    def _class_weights(self, y: Array, class_weight: Any, machine: Machine) -> Array:
        """The weight of each row's class; classes that are not named weigh 1."""
        classes = machine.output_shape[-1]
        assert classes is not None
        classes = max(classes, 2)
        if not isinstance(class_weight, dict):
            raise DataError(f"class_weight must be a dict of class to weight. Received: {class_weight!r}.")
        table = np.ones(classes, np.float32)
        for label, weight in class_weight.items():
            if not isinstance(label, int | np.integer) or not 0 <= label < classes:
                raise DataError(
                    f"class_weight must name integer classes in [0, {classes}). Received: the class {label!r}."
                )
            if not isinstance(weight, int | float | np.number) or not 0 <= weight < np.inf:
                raise DataError(
                    f"class_weight must hold finite weights of at least 0. Received: {label!r}: {weight!r}."
                )
            table[label] = weight
        if y.ndim > 2 or (y.ndim == 2 and self.loss.target == "labels"):
            raise DataError(f"class_weight needs one target a row. Received: y of shape {y.shape}.")
        labels = np.argmax(y, axis=1) if y.ndim == 2 and y.shape[1] > 1 else np.round(y.reshape(-1)).astype(np.int64)
        if labels.min() < 0 or labels.max() >= classes:
            raise DataError(f"class_weight needs classes in [0, {classes}). Received: y from {y.min()} to {y.max()}.")
        weights: Array = table[labels]
        return weights

    def resolve_metrics(self, y_shape: Shape, machine: Machine) -> list[Score]:
        """The metrics for targets and predictions of these shapes, by unique names."""
        p = machine.output_shape
        if (y_shape, p) in self._resolved:
            return self._resolved[y_shape, p]
        resolved = metrics.scores(
            [metrics.resolve(m, y_shape, p) for m in self.metrics],
            [metrics.resolve(m, y_shape, p) for m in self.weighted_metrics],
        )
        for _, metric, _ in resolved:
            if metric.target == "any":
                continue
            wanted = p[1:-1] if metric.target == "labels" else p[1:]
            have, want = (int(np.prod([n for n in s if n is not None])) for s in (y_shape[1:], wanted))
            if have != want:
                raise DataError(
                    f"The metric {metric.name!r} needs y of shape {('rows', *wanted)} for predictions of shape {p}. "
                    f"Received: {('rows', *y_shape[1:])}."
                )
            metric.build(p)
        self._resolved[y_shape, p] = resolved
        return resolved

    # Programs.

    def program(self, machine: Machine, mode: str, y_shape: Shape | None = None, weighted: bool = False) -> Program:
        """The ``"train"`` or ``"evaluate"`` program for targets of a shape, by default the one the loss asks for."""
        if y_shape is None:
            y_shape = self.loss.target_shape(machine.output_shape)
        return machine.program(*self._lowering(machine, mode, y_shape, (None,) if weighted else None)[:2])

    def _lowering(
        self, machine: Machine, mode: str, y_shape: Shape, weights: Shape | None, sparse: bool = False
    ) -> tuple[Any, Callable[[], Program], list[Score]]:
        """The key under which a program is kept, what lowers it, and its metrics."""
        resolved = self.resolve_metrics(y_shape, machine)

        def lower() -> Program:
            plain, counted = ([s.metric for s in resolved if s.weighted is wanted] for wanted in (False, True))
            scored = (machine.layers, machine.x_shape, self.loss, plain, weights is not None)
            shape = weights or (None,)
            if mode == "train":
                return lower_train(*scored, self.optimizer, counted, weights=shape, y=y_shape, sparse=sparse)
            return lower_evaluate(*scored, counted, weights=shape, y=y_shape, sparse=sparse)

        return (mode, y_shape, weights, sparse, self), lower, resolved

    def executable(self, machine: Machine, mode: str, data: Data, batch: int) -> tuple[Executable, list[Score]]:
        """The program for ``data``, loaded for batches of ``batch`` rows, and its metrics."""
        assert data.y is not None
        y_shape: Shape = (None, *data.y.shape[1:])
        weights = None if data.sample_weight is None else (None, *data.sample_weight.shape[1:])
        key, lower, resolved = self._lowering(machine, mode, y_shape, weights, isinstance(data.x, Sparse))
        self.scores = resolved
        return machine.executable(key, lower, batch), resolved

    def memory(self, machine: Machine, plan: Plan, data: Data) -> Memory:
        """The weights, the optimizer's state, totals as they begin, and the arrays of ``data``."""
        state = self.optimizer.ensure_state(machine.flat.trained)
        return Memory(machine.flat, state, plan.initial.copy(), data.arrays())

    def begin(self, plan: Plan, memory: Memory, resolved: Sequence[Score]) -> None:
        """Start the totals over, and the metrics that keep their state themselves."""
        memory.totals[...] = plan.initial
        for score in resolved:
            if score.metric.calls:
                score.metric.reset_state()

    def sums(self, memory: Memory, resolved: Sequence[Score]) -> dict[str, Any]:
        """What ``begin`` starts over, as it is now."""
        own = [[v.value for v in score.metric.variables] for score in resolved if score.metric.calls]
        return {"totals": memory.totals, "metrics": own}

    def set_sums(self, memory: Memory, resolved: Sequence[Score], sums: Mapping[str, Any]) -> None:
        """Go on with what ``sums`` gave."""
        memory.totals[...] = sums["totals"]
        own = [score.metric.variables for score in resolved if score.metric.calls]
        for variables, values in zip(own, sums["metrics"], strict=True):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)

    def logs(self, machine: Machine, plan: Plan, memory: Memory, resolved: Sequence[Score], rows: int) -> Logs:
        """Loss and metrics over the first ``rows`` samples, in the order of ``compile``."""
        counted = rows * elements(self.loss.rows_shape(machine.output_shape))
        values = rows * elements(machine.output_shape[:-1])
        logs: Logs = {"loss": float(memory.totals[plan.totals[LOSS_TOTAL]][0]) / max(1, counted)}
        for name, metric, _ in resolved:
            own = f"total/{name}/"
            totals = {n.removeprefix(own): memory.totals[at] for n, at in plan.totals.items() if n.startswith(own)}
            if totals:  # a metric that keeps its state itself has none
                metric.reset_state()
                metric.absorb(totals, values)
            logs |= _named_results(name, metric.result())
        return logs

    # Single batches.

    def input_gradient(self, machine: Machine, data: Data) -> Array:
        """The gradient in x of each sample's loss, times its weight."""
        assert data.y is not None
        if self.loss.of_batch:
            raise ValueError(
                f"input_gradient needs a loss of each sample, but {self.loss.name} is one of a whole batch."
            )
        weight = np.ones(len(data), np.float32) if data.sample_weight is None else data.sample_weight
        shape, y_shape = (None, *weight.shape[1:]), (None, *data.y.shape[1:])
        return machine.gradient(
            ("input_gradient", self, shape, y_shape),
            lambda: lower_input_gradient(machine.layers, machine.x_shape, self.loss, shape, y_shape),
            {"x_rows": data.x, "y_rows": data.y, "weight_rows": weight},
        )  # fmt: skip

    def train_on_batch(self, machine: Machine, data: Data) -> Logs:
        """One step on all of ``data``; loss and metrics before it."""
        executable, resolved = self.executable(machine, "train", data, len(data))
        memory = self.memory(machine, executable.plan, data)
        self.begin(executable.plan, memory, resolved)
        step = self.optimizer.steps
        epoch = Epoch(len(data), step=step, seed=self._seed, rates=self.optimizer.rates(step, 1))
        try:
            executable.run(memory, epoch, 0, 1)
        finally:
            self.optimizer.steps = step + int(memory.done[0])
        return self.logs(machine, executable.plan, memory, resolved, len(data))

    def test_on_batch(self, machine: Machine, data: Data) -> Logs:
        """Loss and metrics of ``data`` as one batch."""
        executable, resolved = self.executable(machine, "evaluate", data, len(data))
        memory = self.memory(machine, executable.plan, data)
        self.begin(executable.plan, memory, resolved)
        executable.run(memory, one_pass(executable.program, len(data)), 0, 1)
        return self.logs(machine, executable.plan, memory, resolved, len(data))


def _named_results(name: str, result: Any) -> Logs:
    """What a metric says, by name: a number, an array of several, or a dict of its own names."""
    if isinstance(result, dict):
        return {key: value for part, found in result.items() for key, value in _named_results(part, found).items()}
    array = np.asarray(result)
    return {name: float(array.reshape(())) if array.size == 1 else np.array(array)}


def one_pass(program: Program, count: int) -> Epoch:
    """All rows as they lie; what is random outside training, as a layer may wish, is drawn anew each time."""
    return Epoch(count, seed=random.draw_seed() if program.draws else 0)


def _no_short(x: Any, out: Any) -> None:
    """The predictor of a backend that has no shorter way than a run."""
