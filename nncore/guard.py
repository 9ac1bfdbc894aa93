"""The guard of a training: it keeps the last finite weights, and finds out where NaN or infinity came from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from time import perf_counter
from typing import Any

import numpy as np

from nncore.backends import Epoch, Executable, Memory
from nncore.backends.numpy import NumpyExecutable
from nncore.compiler import FlatVectors
from nncore.errors import NonFiniteError
from nncore.layers.base import Layer

Array = np.ndarray[Any, Any]
Setting = tuple[Executable, Memory, Epoch, int]
"""What runs a batch: the executable, its memory, the epoch, and the batch's number in it."""

MODES = ("raise", "stop", "ignore")
"""What ``compile(on_nan=…)`` takes."""

INTERVAL = 0.1
"""Seconds from one copy to the next inside an epoch, at least; also a hundred times what a copy takes."""

ADVICE = (
    "Try a lower learning rate, clipnorm or clipvalue in the optimizer, or samples and targets scaled to about 1; "
    "compile(check_finite=True) names data that is not finite, and on_nan='ignore' lets training go on."
)


class Guard:
    """A copy of weights, optimizer state and totals from when they were last known to be finite.

    Args:
        memory: What is trained on.
        loss: The running total of the loss.
        on: Whether to do anything.

    Attributes:
        epoch, batch: The epoch of the copy and the batches of it that were done; ``epoch`` is ``None`` before there is
            a copy.
        steps: The optimizer's step count at the copy.
    """

    def __init__(self, memory: Memory, loss: Callable[[], float], on: bool) -> None:
        self.on = on
        self.epoch: int | None = None
        self.batch = self.steps = 0
        self._loss = loss
        live = (memory.flat.parameter, memory.flat.frozen, memory.state)
        self._watched = [a for a in live if a.size] if on else []
        self._pairs = [(np.empty_like(a), a) for a in (*self._watched, memory.totals)]
        self._at = self._took = 0.0

    def begin(self, epoch: int, batch: int, steps: int) -> None:
        """Copy what training begins with after ``batch`` batches of the epoch, mostly none: it was found to be finite
        before, or is the user's."""
        start = perf_counter()
        for kept, live in self._pairs:
            kept[...] = live
        self.epoch, self.batch, self.steps = epoch, batch, steps
        self._at = perf_counter()
        self._took = self._at - start

    def keep(self, epoch: int, batch: int, steps: int) -> bool:
        """Copy what is there after ``batch`` batches of the epoch, if it is finite; whether it is."""
        if not isfinite(self._loss()) or not all(map(all_finite, self._watched)):
            return False
        self.begin(epoch, batch, steps)
        return True

    def keep_at_times(self, epoch: int, batch: int, steps: int) -> None:
        """The same, where the last copy is old enough that copies take no more than a hundredth of the time."""
        if self.on and perf_counter() - self._at > max(INTERVAL, 100 * self._took):
            self.keep(epoch, batch, steps)

    def restore(self) -> None:
        """Copy back what was kept."""
        for kept, live in self._pairs:
            live[...] = kept

    def is_whole(self) -> bool:
        """Whether there is a copy, and it is finite."""
        return self.epoch is not None and all(all_finite(kept) for kept, _ in self._pairs[:-1])

    def trips(self) -> bool:
        """Whether the loss is not finite, or what was finite before is not so any more."""
        if not self.on:
            return False
        return not isfinite(self._loss()) or (not all(map(all_finite, self._watched)) and self.is_whole())


def all_finite(vector: Array) -> bool:
    """Whether no element is NaN or infinite."""
    return vector.size == 0 or bool(-np.inf < np.minimum.reduce(vector) and np.maximum.reduce(vector) < np.inf)


@dataclass
class _Copy:
    """Vectors of weights and gradients that may be spoilt."""

    parameter: Array
    frozen: Array
    gradient: Array


def diagnose(setting: Setting, layers: Sequence[Layer], flat: FlatVectors) -> tuple[str | None, str]:
    """The layer of the first value that is not finite when a batch is run again from the weights as they are, by the
    definitions of its instructions and on copies; and what it was, in words: none where there is no such value."""
    executable, memory, epoch, i = setting
    program, plan = executable.program, executable.plan
    own = NumpyExecutable(program, plan)
    vectors = _Copy(flat.parameter.copy(), flat.frozen.copy(), flat.gradient.copy())
    memory = replace(
        memory, flat=vectors, state=memory.state.copy(), totals=memory.totals.copy(), workspace=own.workspace(),
        calls={},
    )  # fmt: skip
    rows = slice(i * plan.batch, min((i + 1) * plan.batch, epoch.count))
    for instruction in own.walk(memory, epoch, i):
        for name in instruction.outputs:
            if name is None:
                continue
            values = memory.locate(program, plan, name, rows)
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                place = int(np.argmin(np.isfinite(values).reshape(-1)))
                return _in_words(name, program.root(name).kind, place, layers, flat)
    return None, ""


def _in_words(
    name: str, kind: str, place: int, layers: Sequence[Layer], flat: FlatVectors
) -> tuple[str | None, str]:  # fmt: skip
    """The layer of a buffer whose value at ``place`` is not finite, and what the buffer is."""
    key, what = name, "the new value of"
    if name.startswith("d_"):
        key, what = name[2:], "the gradient of"
    elif kind in ("parameter", "frozen", "gradient", "state") and name not in flat.offsets:
        trained = [v.key for layer in layers for v in layer.trainable_weights]
        key = max((k for k in trained if flat.offsets[k] <= place), key=flat.offsets.__getitem__)
    layer = next((layer.name for layer in layers if key.startswith(f"{layer.name}/")), None)
    if kind in ("parameter", "frozen", "gradient", "state"):
        return layer, f"{what} {key!r}"
    if layer is not None:
        part = key.removeprefix(f"{layer}/")
        return layer, f"the {'gradient' if part.startswith('d') else 'output'} of the layer {layer!r}"
    given = {"x": "the samples x", "y": "the targets y", "loss/sample_weight": "the sample weights"}
    return None, given.get(name, "the loss")


def failure(
    guard: Guard, epoch: int, batch: int, loss: float, layer: str | None, what: str, whole: bool
) -> NonFiniteError:  # fmt: skip
    """The error that says what happened, where, what was restored, and what to try."""
    shown = f"The loss became {loss}" if not isfinite(loss) else "Weights or what the optimizer keeps became infinite"
    where = f"in epoch {epoch + 1}, batch {batch + 1}"
    found = f"; the first value that was not finite is {what}" if what else ""
    if what and whole and (guard.epoch, guard.batch) != (epoch, batch):
        found += f" in batch {guard.batch + 1}"
    restored = "The weights were not finite before, so nothing was restored."
    if whole and guard.epoch is not None:
        restored = f"Restored the weights from before batch {guard.batch + 1} of epoch {guard.epoch + 1}."
    return NonFiniteError(f"{shown} {where} (from 1){found}. {restored} {ADVICE}", epoch, batch, layer)
