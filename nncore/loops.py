"""The loops of ``fit``, ``evaluate`` and ``predict``, over arrays, a whole epoch at once, or batch after batch."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from nncore.backends import Epoch, Executable, Poll
from nncore.callbacks import CallbackList, TerminateOnNaN
from nncore.compiler import LOSS_TOTAL
from nncore.data import Data, Samples
from nncore.errors import DataError, NonFiniteError
from nncore.guard import Guard, Setting, diagnose, failure
from nncore.metrics import Score
from nncore.ops import Shuffle
from nncore.sources import Batch, Source, place
from nncore.training import Logs, Machine, Trainer, one_pass

if TYPE_CHECKING:
    from nncore.resume import Backups

Array = np.ndarray[Any, Any]
Stopped = Callable[[], bool]
"""Whether a callback wants a loop to end."""


class ArrayFeed:
    """Arrays under a program: a run takes as many batches as it is asked for, without coming back to Python.

    A pass goes through all rows once. Where an epoch of training has fewer batches, the next one goes on with the pass.

    Args:
        trainer, machine: Whose program it is.
        mode: ``"train"`` or ``"evaluate"``.
        data: The arrays.
        batch: Rows in a batch.
        steps: Batches in an epoch; ``None``: a pass.

    Attributes:
        whole: Whether a run may have more than one batch.
        steps: Batches in the epoch at hand, or ``None`` where only its end will tell.
        memory: What the runs work on.
    """

    whole = True

    def __init__(
        self, trainer: Trainer, machine: Machine, mode: str, data: Data, batch: int, steps: int | None = None
    ) -> None:
        self._executable, self._resolved = trainer.executable(machine, mode, data, min(batch, len(data)))
        self.memory = trainer.memory(machine, self._executable.plan, data)
        self.memory.workspace = self._executable.workspace()
        self._trainer, self.machine = trainer, machine
        self._anew = mode == "evaluate"
        self._batch = self._executable.plan.batch
        self._rows = len(data)
        self._data = data
        self._seed = 0
        self._order: Shuffle | None = None
        self._shuffle: Any = False
        self._generator: np.random.Generator | None = None
        self._pass = -(-len(data) // self._batch)
        self._wanted = steps
        self._start = 0  # the place in the pass of the epoch's first batch
        self._next = self._pass  # and of the next epoch's
        self.steps = min(steps or self._pass, self._pass)

    def seed(self, seed: int, shuffle: Any) -> None:
        """Let random ops and row orders be functions of ``seed``; ``shuffle`` is what ``fit`` takes."""
        self._seed, self._shuffle = seed, shuffle
        self._generator = np.random.Generator(np.random.PCG64(seed))

    def begin(self) -> bool:
        """Start an epoch; whether there are batches for it."""
        if self._anew:
            self._seed = one_pass(self._executable.program, self._rows).seed
        if self._anew or self._next >= self._pass:
            self._next = 0
            if self._generator is not None:
                self._order = _order(self._generator, self._rows, self._shuffle, self._batch)
        self._start = self._next
        self.steps = min(self._wanted or self._pass, self._pass - self._start)
        self._next += self.steps
        self._trainer.begin(self._executable.plan, self.memory, self._resolved)
        self.memory.done[0] = self._start
        return True

    def fetch(self, i: int) -> bool:
        """Get batch ``i`` of the epoch ready for ``run``; whether there is one."""
        return i < self.steps

    def run(
        self, first: int, last: int, step: int = 0, rates: Array | None = None, poll: Poll | None = None,
        watch: bool = False,
    ) -> None:  # fmt: skip
        """Run batches ``first`` to ``last`` of the epoch; ``step`` is the training step of the first of them."""
        _, _, epoch, at = self.setting(first, step, rates, watch)
        report = None if poll is None else lambda done: poll(done - self._start)
        self._executable.run(self.memory, epoch, at, at + last - first, report)

    def setting(self, i: int, step: int, rates: Array | None, watch: bool = False) -> Setting:
        """What runs batch ``i`` of the epoch and those after it."""
        at = self._start + i
        epoch = Epoch(self._rows, self._order, max(0, step - at), self._seed, rates, watch)
        return self._executable, self.memory, epoch, at

    def mark(self) -> None:
        """Remember the batch that was fetched, for ``setting``."""

    def rewind(self, done: int) -> None:
        """Take the batches from number ``done`` on as not yet run."""
        self.memory.done[0] = self._start + done

    def loss(self) -> float:
        """The total of the loss."""
        return float(self.memory.totals[self._executable.plan.offsets[LOSS_TOTAL]])

    @property
    def done(self) -> int:
        """Batches of the epoch that are finished."""
        return int(self.memory.done[0]) - self._start

    def logs(self, done: int) -> Logs:
        """Loss and metrics as means over the epoch's first ``done`` batches."""
        rows = min((self._start + done) * self._batch, self._rows) - self._start * self._batch
        return self._trainer.logs(self.machine, self._executable.plan, self.memory, self._resolved, rows)

    def end(self) -> None:
        """End the epoch: say so where there was less data than wanted."""
        if self._wanted is not None and self.done == self.steps < self._wanted:
            warn_of_too_little("the arrays have", self.done, self._wanted)

    def describe(self) -> dict[str, Any]:
        """What tells it from feeds of other data, as JSON-able values."""
        return {
            "rows": self._rows, "batch_size": self._batch, "steps": self._wanted,
            "shuffle": "batch" if self._shuffle == "batch" else bool(self._shuffle), **self._data.fingerprint(),
        }  # fmt: skip

    def get_state(self, inside: bool) -> dict[str, Any]:
        """What decides how it goes on, ``inside`` an epoch or between two."""
        order = None if self._order is None else [self._order.key, self._order.block]
        state = {
            "seed": self._seed, "order": order, "generator": place(self._generator), "start": self._start,
            "next": self._next,
        }  # fmt: skip
        return {**state, "done": self.done, **self._trainer.sums(self.memory, self._resolved)} if inside else state

    def set_state(self, state: Mapping[str, Any], inside: bool) -> None:
        """Go on as another feed of the same data did; ``inside`` an epoch, that takes the place of ``begin``."""
        self._seed = state["seed"]
        self._order = None if state["order"] is None else Shuffle(*state["order"])
        if self._generator is not None:
            self._generator.bit_generator.state = state["generator"]
        self._start, self._next = state["start"], state["next"]
        if inside:
            self.steps = self._next - self._start
            self._trainer.begin(self._executable.plan, self.memory, self._resolved)
            self._trainer.set_sums(self.memory, self._resolved, state)
            self.memory.done[0] = self._start + state["done"]

    def close(self) -> None:
        """End the last epoch, whatever ended it."""


class BatchFeed:
    """Batches of a source under programs that fit them: each is run by itself. They may differ in size.

    Args:
        trainer, machine, mode, steps: As for ``ArrayFeed``; an epoch without ``steps`` is a pass of the source.
        source: Where the batches come from.
        prepare: ``prepare(batch, i)``: batch ``i`` of an epoch as checked arrays.
    """

    whole = False

    def __init__(
        self, trainer: Trainer, machine: Machine, mode: str, source: Source, prepare: Callable[[Batch, int], Data],
        steps: int | None = None,
    ) -> None:  # fmt: skip
        first = source.peek()
        if first is None:
            raise DataError("x must hand over at least one batch. Received: none.")
        data = prepare(first, 0)
        executable, self._resolved = trainer.executable(machine, mode, data, len(data))
        self._plan = executable.plan
        self.memory = trainer.memory(machine, self._plan, data)
        self._trainer, self.machine, self._mode = trainer, machine, mode
        self._source, self._prepare = source, prepare
        self._loaded: dict[Any, tuple[Executable, list[Score], Array]] = {}
        self._anew = mode == "evaluate" or steps is None
        self._wanted = steps
        self._seed = 0
        self._ready: Data | None = None
        self._marked: Data | None = None
        self._used: int | None = None  # batches used of the pass; None: there is none
        self._rows = self._finished = 0
        self.steps: int | None = steps or source.length

    def seed(self, seed: int, shuffle: Any) -> None:
        """Let random ops and the order of a data set's batches be functions of ``seed``."""
        self._seed = seed
        if shuffle:
            self._source.generator = np.random.Generator(np.random.PCG64(seed))

    def begin(self) -> bool:
        """Start an epoch; whether there are batches for it."""
        self._rows = self._finished = 0
        self._trainer.begin(self._plan, self.memory, self._resolved)
        self.memory.done[0] = 0
        self._source.epoch_begins()
        if self._used is None or (self._anew and self._source.renews) or self._used == self._source.length:
            self._source.open()
            self._used = 0
        if not self.fetch(0):
            warn_of_too_little("the data has", 0, self._wanted)
            return False
        return True

    def fetch(self, i: int) -> bool:
        """Get batch ``i`` of the epoch ready for ``run``; whether there is one."""
        if self._ready is None and (self._wanted is None or i < self._wanted):
            batch = self._source.take()
            if batch is None:
                self._used = None
            else:
                self._ready = self._prepare(batch, i)
                self._used = (self._used or 0) + 1
        return self._ready is not None

    def run(
        self, first: int, last: int, step: int = 0, rates: Array | None = None, poll: Poll | None = None,
        watch: bool = False,
    ) -> None:  # fmt: skip
        """Run the batch that was fetched; ``step`` is its training step."""
        assert self._ready is not None
        assert last == first + 1
        data, self._ready = self._ready, None
        executable, memory, epoch, _ = self._setting(data, step, rates)
        memory.done[0] = 0
        try:
            executable.run(memory, epoch, 0, 1)
        finally:
            if memory.done[0]:
                self._finished += 1
                self._rows += len(data)

    def setting(self, i: int, step: int, rates: Array | None, watch: bool = False) -> Setting | None:
        """What runs batch ``i`` of the epoch, the one that was marked."""
        return None if self._marked is None else self._setting(self._marked, step, rates)

    def _setting(self, data: Data, step: int, rates: Array | None) -> Setting:
        executable, self._resolved, workspace = self._load(data)
        epoch = Epoch(len(data), step=step, seed=self._seed, rates=rates)
        if self._mode == "evaluate":
            epoch = one_pass(executable.program, len(data))
        return executable, replace(self.memory, arrays=data.arrays(), workspace=workspace), epoch, 0

    def mark(self) -> None:
        """Remember the batch that was fetched, for ``setting``."""
        self._marked = self._ready

    def rewind(self, done: int) -> None:
        """Count the batches from number ``done`` on as not yet run."""
        self._finished = done

    def loss(self) -> float:
        """The total of the loss."""
        return float(self.memory.totals[self._plan.offsets[LOSS_TOTAL]])

    def _load(self, data: Data) -> tuple[Executable, list[Score], Array]:
        """The program for ``data``, for batches of at least as many rows, its metrics and its workspace."""
        assert data.y is not None
        weights = None if data.sample_weight is None else data.sample_weight.shape[1:]
        key = (data.y.shape[1:], weights, type(data.x))
        if key not in self._loaded or self._loaded[key][0].plan.batch < len(data):
            executable, resolved = self._trainer.executable(self.machine, self._mode, data, len(data))
            if executable.plan.totals != self._plan.totals:
                raise DataError(
                    "All batches must suit the same metrics, and have sample weights or none: one does not as those "
                    "before it do."
                )
            self._loaded[key] = executable, resolved, executable.workspace()
        return self._loaded[key]

    @property
    def done(self) -> int:
        """Batches of the epoch that are finished."""
        return self._finished

    def logs(self, done: int) -> Logs:
        """Loss and metrics as means over the batches of the epoch."""
        return self._trainer.logs(self.machine, self._plan, self.memory, self._resolved, self._rows)

    def end(self) -> None:
        """End the epoch: say so where there was less data than wanted."""
        if self._used is None and self._wanted is not None and self.done < self._wanted:
            warn_of_too_little("the data has", self.done, self._wanted)
        self._source.epoch_ends()

    def describe(self) -> dict[str, Any]:
        """As that of ``ArrayFeed``."""
        return {"batches": self._source.length, "steps": self._wanted, "shuffle": self._source.generator is not None}

    def get_state(self, inside: bool) -> dict[str, Any]:
        """What decides how it goes on, ``inside`` an epoch or between two."""
        renewed = (self._anew and self._source.renews) or self._used == self._source.length
        goes_on = self._used is not None and (inside or not renewed)
        used = self._used if goes_on else None
        state = {"seed": self._seed, "used": used, "source": self._source.get_state(goes_on)}
        if not inside:
            return state
        sums = self._trainer.sums(self.memory, self._resolved)
        return {**state, "rows": self._rows, "finished": self._finished, **sums}

    def set_state(self, state: Mapping[str, Any], inside: bool) -> None:
        """Go on as another feed of the same data did; ``inside`` an epoch, that takes the place of ``begin``."""
        self._seed, self._used = state["seed"], state["used"]
        if inside:
            self._source.epoch_begins()
        self._source.set_state(state["source"])
        if inside:
            self._rows, self._finished = state["rows"], state["finished"]
            self._trainer.begin(self._plan, self.memory, self._resolved)
            self._trainer.set_sums(self.memory, self._resolved, state)

    def close(self) -> None:
        """Let go of the source, whatever ended the last epoch."""
        self._source.close()


Feed = ArrayFeed | BatchFeed


def warn_of_too_little(what: str, done: int, wanted: int | None) -> None:
    """Keras's warning, and how to mend it."""
    asked = "of a new epoch" if wanted is None else f"of the {wanted} that steps ask for"
    warnings.warn(
        f"Your input ran out of data: {what} {done} batches {asked}. An iterator must have steps_per_epoch * epochs "
        "batches; for data that starts anew each epoch pass arrays, an iterable, or a PyDataset.",
        stacklevel=5,
    )


def fit(
    trainer: Trainer, feed: Feed, validation: Feed | None, callbacks: CallbackList, *, epochs: int,
    initial_epoch: int, validation_freq: Any, stopped: Stopped, stopped_evaluating: Stopped,
) -> None:  # fmt: skip
    """The epoch loop of training."""
    logs: Logs = {}
    guard = Guard(feed.memory, feed.loss, trainer.on_nan != "ignore" and not callbacks.has(TerminateOnNaN))
    backups = _backups(trainer, feed, validation, callbacks, validation_freq)
    numbers = range(initial_epoch, epochs)
    with _in_order(callbacks, feed, validation):
        callbacks.on_train_begin()
        if backups is not None:
            numbers = backups.resume(numbers)
            logs = backups.logs
        for number in numbers:
            broken_off = backups if backups is not None and backups.inside else None
            if broken_off is None and not feed.begin():
                break
            callbacks.on_epoch_begin(number)
            if broken_off is not None:
                broken_off.enter()
            trained = _train(trainer, feed, callbacks, stopped, guard, number, backups)
            if guard.trips():
                error = _recover(trainer, feed, callbacks, guard, number)
                if trainer.on_nan == "raise":
                    raise error
                warnings.warn(str(error), RuntimeWarning, stacklevel=3)
                callbacks.model.stop_training = True
                break
            logs = trained
            feed.end()
            if validation is not None and _due(number, validation_freq) and validation.begin():
                scores = _evaluate(validation, callbacks, stopped_evaluating)
                logs |= {f"val_{name}": value for name, value in scores.items()}
            callbacks.on_epoch_end(number, logs)
            if backups is not None:
                backups.epoch_done(number, logs)
            if stopped():
                break
        trainer.optimizer.finalize_variable_values()
        callbacks.on_train_end(logs)
        if backups is not None:
            backups.finish()


def _backups(
    trainer: Trainer, feed: Feed, validation: Feed | None, callbacks: CallbackList, validation_freq: Any
) -> Backups | None:  # fmt: skip
    """The ``Backups`` of a training where a callback keeps them, else ``None``."""
    keeper = callbacks.keeper
    if keeper is None:
        return None
    from nncore.resume import Backups

    return Backups(keeper, trainer, feed, validation, callbacks, validation_freq)


def _train(
    trainer: Trainer, feed: Feed, callbacks: CallbackList, stopped: Stopped, guard: Guard, number: int,
    backups: Backups | None,
) -> Logs:  # fmt: skip
    """Train on every batch that is not done; the optimizer's step count is right even when the run is broken off."""
    optimizer = trainer.optimizer
    i = feed.done
    first = optimizer.steps - i
    hooks = callbacks.has_train_batch_hooks

    def poll(done: int) -> None:
        callbacks.progress(done, feed.logs(done))
        guard.keep_at_times(number, done, first + done)

    def back_up(count: int) -> None:
        """Where a backup is due after so many more batches, keep it, unless weights are not finite."""
        optimizer.steps = first + i
        if backups is not None and backups.is_due(count) and (not guard.on or guard.keep(number, i, first + i)):
            backups.keep_inside(number, i)

    try:
        if feed.whole and not hooks:
            if guard.on:
                guard.begin(number, i, first + i)
            steps = feed.steps or 0
            while i < steps:
                count = steps - i if backups is None else min(backups.due, steps - i)
                feed.run(i, i + count, first + i, optimizer.rates(first + i, count), poll, guard.on)
                i += count
                if feed.done < i or (guard.on and not isfinite(feed.loss())):
                    break
                back_up(count)
            logs = feed.logs(feed.done)
            callbacks.progress(feed.done, logs)
            return logs
        while feed.fetch(i):
            if hooks:
                callbacks.on_train_batch_begin(i)
            if guard.on and guard.keep(number, i, first + i):
                feed.mark()
            feed.run(i, i + 1, first + i, optimizer.rates(first + i, 1))
            i += 1
            optimizer.steps = first + i
            logs = feed.logs(i)
            if hooks:
                callbacks.on_train_batch_end(i - 1, logs)
            callbacks.progress(i, logs)
            if stopped() or (guard.on and not isfinite(feed.loss())):
                break
            back_up(1)
        return feed.logs(i)
    finally:
        optimizer.steps = first + feed.done


def _recover(
    trainer: Trainer, feed: Feed, callbacks: CallbackList, guard: Guard, number: int
) -> NonFiniteError:  # fmt: skip
    """Restore the last finite weights, with the optimizer's state and step count; the error that tells of it.

    A whole epoch has left a copy from some batches before: those are run again, one by one, each from a new copy.
    """
    optimizer = trainer.optimizer
    shown, loss = feed.done, feed.loss()
    whole = guard.is_whole()
    batch = shown - 1
    if whole:
        guard.restore()
        if feed.whole and not callbacks.has_train_batch_hooks:
            first = guard.steps - guard.batch
            for i in range(guard.batch, shown):
                if not guard.keep(number, i, first + i):
                    break
                feed.run(i, i + 1, first + i, optimizer.rates(first + i, 1))
            guard.restore()
        batch = guard.batch
        feed.rewind(batch)
        optimizer.steps = guard.steps
    setting = feed.setting(batch, optimizer.steps, optimizer.rates(optimizer.steps, 1))
    layer, what = (None, "") if setting is None else diagnose(setting, feed.machine.layers, feed.machine.flat)
    return failure(guard, number, shown - 1 if not isfinite(loss) else batch, loss, layer, what, whole)


def evaluate(feed: Feed, callbacks: CallbackList, stopped: Stopped) -> Logs:
    """Loss and metrics of the data, in the order of ``compile``."""
    with _in_order(callbacks, feed):
        if not feed.begin():
            raise DataError("evaluate: x must hand over at least one batch. Received: none.")
        return _evaluate(feed, callbacks, stopped)


def _evaluate(feed: Feed, callbacks: CallbackList, stopped: Stopped) -> Logs:
    """The same, of an epoch that has begun."""
    hooks = callbacks.has_test_batch_hooks
    callbacks.on_test_begin()
    if feed.whole and not hooks:
        i = feed.steps or 0
        feed.run(0, i, poll=lambda done: callbacks.progress(done, feed.logs(done)))
        callbacks.progress(i, feed.logs(i))
    else:
        i = 0
        while feed.fetch(i):
            if hooks:
                callbacks.on_test_batch_begin(i)
            feed.run(i, i + 1)
            i += 1
            if hooks:
                callbacks.on_test_batch_end(i - 1, feed.logs(i))
            callbacks.progress(i, feed.logs(i))
            if stopped():
                break
    feed.end()
    callbacks.on_test_end(feed.logs(i))
    return feed.logs(i)


def predict(
    machine: Machine, x: Samples, batch: int, steps: int, callbacks: CallbackList, out: Array | None, stopped: Stopped
) -> Array:
    """Predictions for the first ``steps`` batches of samples whose shape fits."""
    executable, memory = machine.prediction(x, batch, out)
    memory.workspace = executable.workspace()
    epoch = one_pass(executable.program, len(x))
    predictions = memory.arrays["predictions"]
    with _in_order(callbacks):
        callbacks.on_predict_begin()
        done = steps
        if callbacks.has_predict_batch_hooks:
            for i in range(steps):
                callbacks.on_predict_batch_begin(i)
                executable.run(memory, epoch, i, i + 1)
                callbacks.on_predict_batch_end(i, {"outputs": predictions[i * batch : (i + 1) * batch]})
                callbacks.progress(i + 1)
                if stopped():
                    done = i + 1
                    break
        else:
            executable.run(memory, epoch, 0, steps, callbacks.progress)
            callbacks.progress(steps)
        callbacks.on_predict_end()
    return predictions[: done * batch]


def predict_batches(
    machine: Machine, source: Source, prepare: Callable[[Batch, int], Samples], steps: int | None,
    callbacks: CallbackList, stopped: Stopped,
) -> Array:  # fmt: skip
    """Predictions for the batches of a source, one after the other."""
    found: list[Array] = []
    size = 0
    try:
        with _in_order(callbacks):
            callbacks.on_predict_begin()
            source.epoch_begins()
            source.open()
            while steps is None or len(found) < steps:
                batch = source.take()
                if batch is None:
                    break
                x = prepare(batch, len(found))
                size = max(size, len(x))
                callbacks.on_predict_batch_begin(len(found))
                found.append(machine.predict(x, size))
                callbacks.on_predict_batch_end(len(found) - 1, {"outputs": found[-1]})
                callbacks.progress(len(found))
                if stopped():
                    break
            source.epoch_ends()
            callbacks.on_predict_end()
    finally:
        source.close()
    if not found:
        raise DataError("predict: x must hand over at least one batch. Received: none.")
    if steps is not None and len(found) < steps and not stopped():
        warn_of_too_little("the data has", len(found), steps)
    return np.concatenate(found)


@contextmanager
def _in_order(callbacks: CallbackList, *feeds: Feed | None) -> Iterator[None]:
    """Whatever ends the loop inside before its time, an error or Ctrl-C, finds the cursor at the start of a line, and
    the feeds closed."""
    try:
        yield
    except BaseException:
        callbacks.break_off()
        raise
    finally:
        for feed in feeds:
            if feed is not None:
                feed.close()


def _order(generator: np.random.Generator, count: int, shuffle: Any, batch: int) -> Shuffle | None:
    """The row order of an epoch: all rows permuted, each batch's rows, or ``None`` for the order they have."""
    if not shuffle:
        return None
    return Shuffle(int(generator.integers(2**64, dtype=np.uint64)), batch if shuffle == "batch" else count)


def _due(epoch: int, frequency: Any) -> bool:
    """Whether to validate after this epoch: every ``frequency``-th, or those a list names, counted from 1."""
    if isinstance(frequency, int | np.integer):
        return (epoch + 1) % int(frequency) == 0
    return epoch + 1 in frequency
