"""``check_gradients``: whether a model's gradients, a user's ``backward`` among them, are those of its loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from nncore import losses
from nncore.arguments import positive_int
from nncore.backends import Epoch, Memory
from nncore.backends.base import Vectors
from nncore.backends.numpy import NumpyBackend
from nncore.compiler import lower_input_gradient, lower_train, plan
from nncore.data import Data, flat_rows
from nncore.errors import GradientError
from nncore.layers import Input
from nncore.layers.base import Layer, elements
from nncore.models import Sequential
from nncore.optimizers import SGD
from nncore.program import Program, Shape
from nncore.training import Machine, Trainer

Array = np.ndarray[Any, Any]

_STEP = 1e-5
"""How far a value is moved to either side: in float64, the differences are then good to about 1e-9."""


def check_gradients(
    model_or_layer: Sequential | Layer, x: Any, y: Any = None, *, sample_weight: Any = None, samples: int = 20,
    tolerance: float = 1e-5, seed: int = 0,
) -> dict[str, float]:  # fmt: skip
    """Compare gradients with central finite differences, in float64, by the ops' NumPy definitions.

    Of every trainable weight and, where ``x`` holds floats, of the input, up to ``samples`` elements are compared:
    those of weights as layers act in training (what is random keeps its draws), those of the input as in inference.

    Args:
        model_or_layer: A compiled model, whose loss is taken; or a layer, built if it is not, whose outputs are
            compared with ``y`` by the mean squared error.
        x: A batch of samples; a few rows are enough.
        y: Their targets; for a layer, by default random ones.
        sample_weight: One weight a row.
        samples: Elements of each array to compare, drawn at random.
        tolerance: Largest error that is accepted, relative to the largest gradient in the array.
        seed: What the draws of elements and targets depend on.

    Returns:
        The largest relative error of each weight, by its path, and of the input, by the name ``"x"``.

    Raises:
        GradientError: where an error is above the tolerance; it names the element and both values.
        ValueError: where the model is not compiled, or something in it has no gradient.
    """
    rng = np.random.default_rng([seed, 1])  # not the stream that x may be drawn from
    count = positive_int("check_gradients", "samples", samples)
    model, trainer = _subject(model_or_layer, x)
    if y is None and not isinstance(model_or_layer, Sequential):
        y = rng.normal(size=(len(np.asarray(x)), *(n or 1 for n in model.output_shape[1:])))
    machine, data = model.prepare(trainer, x, y, sample_weight)
    found = {}
    checks = [*_weights(machine, trainer, data), *_inputs(machine, trainer, data)]
    for name, values, gradient, objective in checks:
        chosen = rng.permutation(values.size)[:count]
        found[name] = _compare(name, values, gradient, objective, np.sort(chosen), tolerance)
    return found


Check = tuple[str, Array, Array, Callable[[], float]]
"""A name, the values to move, their gradient, and what it should be the gradient of."""


def _subject(subject: Sequential | Layer, x: Any) -> tuple[Sequential, Trainer]:
    """A model to check, and what it was compiled with."""
    if not isinstance(subject, Sequential):
        model = Sequential([Input(np.shape(x)[1:]), subject])
        model.compile(SGD(0.0), losses.MeanSquaredError(), check_finite=False)
    else:
        model = subject
    return model, model.trainer("check_gradients")


@dataclass
class _Copies:
    """A model's weights and gradients in float64."""

    parameter: Array
    frozen: Array
    gradient: Array

    @staticmethod
    def of(vectors: Vectors) -> _Copies:
        """The copies of ``vectors``."""
        return _Copies(*(v.astype(np.float64) for v in (vectors.parameter, vectors.frozen, vectors.gradient)))


class _Run:
    """A program on float64 copies of a model's weights."""

    def __init__(self, machine: Machine, program: Program, arrays: dict[str, Array]) -> None:
        flat = machine.flat
        self.flat, self._start = _Copies.of(flat), _Copies.of(flat)
        self.moved = self.flat.parameter.copy()
        rows = len(next(iter(arrays.values())))
        at = plan(program, flat.offsets, rows)
        self._executable = NumpyBackend(np.float64).load(program, at)
        self._epoch = Epoch(rows, seed=1, rates=np.zeros((1, 8)))
        state, totals = np.zeros(_state_size(program)), np.zeros(max(1, _totals_size(program)))
        self._memory = Memory(self.flat, state, totals, arrays, workspace=np.zeros(at.workspace))

    def __call__(self) -> float:
        """Run one batch from the start; returns the first total."""
        self.flat.parameter[...] = self.moved
        self.flat.frozen[...] = self._start.frozen
        self._memory.totals[...] = 0
        self._executable.run(self._memory, self._epoch, 0, 1)
        return float(self._memory.totals[0])


def _state_size(program: Program) -> int:
    return sum(buffer.per_row for buffer in program.buffers.values() if buffer.kind == "state" and buffer.base is None)


def _totals_size(program: Program) -> int:
    return sum(buffer.per_row for buffer in program.buffers.values() if buffer.kind == "total" and buffer.base is None)


def _sources(data: Data, x: Array) -> dict[str, Array]:
    assert data.y is not None
    arrays = {"x_rows": x, "y_rows": flat_rows(data.y)}
    if data.sample_weight is not None:
        arrays["sample_weight_rows"] = flat_rows(data.sample_weight)
    return arrays


def _weights(machine: Machine, trainer: Trainer, data: Data) -> list[Check]:
    """The trainable weights, against the loss of the batch in training."""
    weighted = data.sample_weight is not None
    weights, y = _shapes(data)
    program = lower_train(
        machine.layers, machine.x_shape, trainer.loss, [], weighted, SGD(0.0), weights=weights, y=y
    )  # fmt: skip
    run = _Run(machine, program, _sources(data, flat_rows(data.x)))
    run()
    gradient = run.flat.gradient.copy()
    rows = len(data) * elements(trainer.loss.rows_shape(machine.output_shape))
    checks = []
    for variable in (v for layer in machine.layers for v in layer.trainable_weights):
        at = machine.flat.offsets[variable.key]
        place = slice(at, at + variable.size)
        values, slopes = (a[place].reshape(variable.shape) for a in (run.moved, gradient))
        checks.append((variable.path, values, slopes, lambda: run() / rows))
    return checks


def _inputs(machine: Machine, trainer: Trainer, data: Data) -> list[Check]:
    """The input, against the sum of the samples' losses in inference."""
    if flat_rows(data.x).dtype.kind != "f":
        return []
    x = flat_rows(data.x).astype(np.float64)
    lowered = lower_input_gradient(machine.layers, machine.x_shape, trainer.loss, *_shapes(data))
    dx = np.zeros((len(x), *(n or 1 for n in machine.x_shape[1:])))
    weight = data.sample_weight if data.sample_weight is not None else np.ones(len(x))
    assert data.y is not None
    arrays = {"x_rows": x, "y_rows": flat_rows(data.y), "weight_rows": flat_rows(weight), "dx": dx}
    run = _Run(machine, lowered, arrays)
    run()
    return [("x", x, dx.reshape(x.shape).copy(), run)]


def _shapes(data: Data) -> tuple[Shape, Shape]:
    """The shapes of weights and targets, as programs are lowered for them."""
    assert data.y is not None
    weights = (None,) if data.sample_weight is None else (None, *data.sample_weight.shape[1:])
    return weights, (None, *data.y.shape[1:])


def _compare(
    name: str, values: Array, gradient: Array, objective: Callable[[], float], chosen: Array, tolerance: float
) -> float:
    """The largest error among the chosen elements, relative to the largest gradient."""
    flat, slopes = values.reshape(-1), gradient.reshape(-1)
    scale = max(float(np.abs(slopes).max(initial=0)), 1e-3)
    worst = 0.0
    for i in chosen.tolist():
        middle = flat[i]
        flat[i] = middle + _STEP
        above = objective()
        flat[i] = middle - _STEP
        slope = (above - objective()) / (2 * _STEP)
        flat[i] = middle
        error = float(abs(slope - slopes[i]) / scale)
        if not error <= tolerance:
            at = tuple(int(n) for n in np.unravel_index(i, values.shape))
            raise GradientError(
                f"check_gradients: the gradient of {name!r} at {at} is {slopes[i]:.6g}, by finite differences "
                f"{slope:.6g}: an error of {error:.1e} of the largest, above tolerance={tolerance:g}. Look at the "
                "backward of that layer or of one that comes after it (a value next to a kink, such as relu's, can do "
                "the same: try another x or seed)."
            )
        worst = max(worst, error)
    return worst
