"""Callbacks: what happens at the events of ``fit``, ``evaluate`` and ``predict``, under Keras's names."""

from __future__ import annotations

import inspect
import math
import os
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from nncore import console
from nncore.arguments import at_least_zero, count, finite, fraction
from nncore.errors import unknown_name
from nncore.progress import Progbar

Logs = dict[str, Any]
Hook = Callable[..., Any]


class Callback:
    """Base of all callbacks: override the hooks you need.

    A callback that overrides a hook of single batches (``on_train_batch_*``, ``on_batch_*``, …) makes training return
    to Python between batches, which costs time; hooks of epochs cost nothing.

    ``logs`` is a dict of the loss and metrics so far. ``self.model`` is the model, whose ``stop_training = True`` ends
    training after the batch or epoch; ``self.params`` holds ``verbose``, ``epochs`` and ``steps``.
    """

    params: dict[str, Any] | None = None
    _model: Any = None

    @property
    def model(self) -> Any:
        """The model at work."""
        return self._model

    def set_params(self, params: dict[str, Any]) -> None:
        """Receive ``verbose``, ``epochs`` and ``steps``."""
        self.params = params

    def set_model(self, model: Any) -> None:
        """Receive the model."""
        self._model = model

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Before the first epoch."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """After the last epoch, with its logs."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Before epoch ``epoch``, counted from 0."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """After epoch ``epoch`` and its validation, whose results are prefixed ``val_``."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before training on batch ``batch`` of the epoch, counted from 0."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After training on a batch, with the means over the epoch so far."""
        self.on_batch_end(batch, logs)

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Another name of ``on_train_batch_begin``."""

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Another name of ``on_train_batch_end``."""

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Before an evaluation, or a validation during training."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """After an evaluation or validation, with its results."""

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a batch of an evaluation."""

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a batch of an evaluation, with the means so far."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Before a prediction."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """After a prediction."""

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a batch of a prediction."""

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a batch of a prediction, with ``{"outputs": …}``."""


HOOKS = tuple(name for name in vars(Callback) if name.startswith("on_"))
"""The names of all hooks."""


class CallbackList(Callback):
    """Calls every callback of a list, in order: the user's, then ``History``, then ``ProgbarLogger``.

    Each event's logs reach the callbacks as one dict of Python floats, sorted by name; what one callback adds to it,
    the next ones see.

    Args:
        callbacks: A callback, a list of them (lists inside are flattened), or ``None``.
        add_history: Append a ``History`` unless there is one.
        add_progbar: Append a ``ProgbarLogger`` unless there is one.
        model: The model at work.
        **params: What ``Callback.params`` will hold.

    Raises:
        TypeError: for what is not an instance of ``Callback``.
    """

    def __init__(
        self,
        callbacks: Any = None,
        add_history: bool = False,
        add_progbar: bool = False,
        model: Any = None,
        **params: Any,
    ) -> None:
        self.callbacks = _flatten(callbacks)
        if add_history and self._find(History) is None:
            self.callbacks.append(History())
        if add_progbar and self._find(ProgbarLogger) is None:
            self.callbacks.append(ProgbarLogger())
        self.set_model(model)
        self.set_params(params)

    def _find(self, kind: type[Callback]) -> Callback | None:
        found = [c for c in self.callbacks if isinstance(c, kind)]
        return found[-1] if found else None

    def has(self, kind: type[Callback]) -> bool:
        """Whether a callback of this kind is there."""
        return self._find(kind) is not None

    def append(self, callback: Callback) -> None:
        """Add a callback at the end."""
        self.callbacks.extend(_flatten(callback))

    def set_params(self, params: dict[str, Any]) -> None:
        self.params = params
        if params:
            for callback in self.callbacks:
                callback.set_params(params)

    def set_model(self, model: Any) -> None:
        if model is None:
            return
        self._model = model
        history = self._find(History)
        if history is not None:
            model.history = history
        for callback in self.callbacks:
            callback.set_model(model)

    @property
    def has_train_batch_hooks(self) -> bool:
        """Whether a callback wants to be called at every batch of training."""
        return self._overrides("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")

    @property
    def has_test_batch_hooks(self) -> bool:
        """Whether a callback wants to be called at every batch of an evaluation."""
        return self._overrides("on_test_batch_begin", "on_test_batch_end")

    @property
    def has_predict_batch_hooks(self) -> bool:
        """Whether a callback wants to be called at every batch of a prediction."""
        return self._overrides("on_predict_batch_begin", "on_predict_batch_end")

    def _overrides(self, *hooks: str) -> bool:
        return any(
            getattr(getattr(callback, hook), "__func__", None) is not getattr(Callback, hook)
            for callback in self.callbacks
            for hook in hooks
        )

    def progress(self, steps_done: int, logs: Mapping[str, Any] | None = None) -> None:
        """Tell the progress bar how many batches are done, with the means so far. Cheap; no hook is called."""
        for callback in self.callbacks:
            if isinstance(callback, ProgbarLogger):
                callback.progress(steps_done, logs)

    def break_off(self) -> None:
        """End the progress bar's line where it is, so that an error or Ctrl-C is reported on a line of its own."""
        for callback in self.callbacks:
            if isinstance(callback, ProgbarLogger):
                callback.break_off()

    def _call(self, hook: str, *where: int, logs: Mapping[str, Any] | None) -> None:
        values = plain_logs(logs)
        for callback in self.callbacks:
            getattr(callback, hook)(*where, values)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._call("on_train_begin", logs=logs)

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._call("on_train_end", logs=logs)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._call("on_epoch_begin", epoch, logs=logs)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._call("on_epoch_end", epoch, logs=logs)

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        self._call("on_train_batch_begin", batch, logs=logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._call("on_train_batch_end", batch, logs=logs)

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        self._call("on_batch_begin", batch, logs=logs)

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._call("on_batch_end", batch, logs=logs)

    def on_test_begin(self, logs: Logs | None = None) -> None:
        self._call("on_test_begin", logs=logs)

    def on_test_end(self, logs: Logs | None = None) -> None:
        self._call("on_test_end", logs=logs)

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        self._call("on_test_batch_begin", batch, logs=logs)

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._call("on_test_batch_end", batch, logs=logs)

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        self._call("on_predict_begin", logs=logs)

    def on_predict_end(self, logs: Logs | None = None) -> None:
        self._call("on_predict_end", logs=logs)

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        self._call("on_predict_batch_begin", batch, logs=logs)

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._call("on_predict_batch_end", batch, logs=logs)


def plain_logs(logs: Mapping[str, Any] | None) -> Logs:
    """A new dict of ``logs``, sorted by name: dicts inside are opened, numbers become Python floats."""
    result: Logs = {}
    for name, value in sorted((logs or {}).items()):
        if isinstance(value, Mapping):
            result.update(plain_logs(value))
        elif isinstance(value, float | int | np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
            result[name] = float(value)
        else:
            result[name] = value
    return result


def _flatten(callbacks: Any) -> list[Callback]:
    if callbacks is None:
        return []
    if isinstance(callbacks, CallbackList):
        return list(callbacks.callbacks)
    if isinstance(callbacks, Callback):
        return [callbacks]
    if isinstance(callbacks, list | tuple):
        return [callback for item in callbacks for callback in _flatten(item)]
    hint = f" Make one: {callbacks.__name__}()." if isinstance(callbacks, type) else ""
    raise TypeError(f"callbacks must be instances of nncore.callbacks.Callback.{hint} Received: {callbacks!r}.")


class History(Callback):
    """Records the logs of every epoch; ``fit`` returns it.

    Attributes:
        history: For every name in the logs, a list of its values, one an epoch.
        epoch: The numbers of the epochs, from 0.
    """

    def __init__(self) -> None:
        self.history: dict[str, list[Any]] = {}
        self.epoch: list[int] = []

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.epoch = []

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)
        if self.model is not None:
            self.model.history = self


class ProgbarLogger(Callback):
    """Prints progress, loss and metrics in the manner of ``verbose``: 0 nothing, 1 a bar, 2 a line an epoch.

    It overrides no hook of single batches: whoever runs the batches calls ``progress`` now and then.
    """

    def __init__(self) -> None:
        self.verbose = 1
        self.epochs = 1
        self.target: int | None = None
        self._bar: Progbar | None = None
        self._done = 0
        self._in_fit = False
        self._validating = False

    def set_params(self, params: dict[str, Any]) -> None:
        self.params = params
        verbose = params.get("verbose", 1)
        self.verbose = 1 if verbose == "auto" else int(verbose)
        self.epochs = params.get("epochs") or 1
        self.target = params.get("steps")

    def progress(self, steps_done: int, logs: Mapping[str, Any] | None = None) -> None:
        """Show that ``steps_done`` batches are done, with the means so far.

        The bar redraws at most ten times a second, so calling it more often costs little. Call it with the final count
        at the end of an epoch. It does nothing while ``fit`` validates.
        """
        if self._bar is None or self._validating:
            return
        self._done = steps_done
        if self.verbose == 1:
            self._bar.update(steps_done, _shown(logs), finalize=False)

    def break_off(self) -> None:
        """Forget the loop at work, and end the line of its bar."""
        self._in_fit = self._validating = False
        if self._bar is not None:
            self._bar.leave()
            self._bar = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._in_fit = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        self.break_off()

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        if self.verbose and self.epochs > 1:
            console.write(f"Epoch {epoch + 1}/{self.epochs}\n")
        self._open()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._close(logs)

    def on_test_begin(self, logs: Logs | None = None) -> None:
        self._validating = self._in_fit
        if not self._in_fit:
            self._open()

    def on_test_end(self, logs: Logs | None = None) -> None:
        self._validating = False
        if not self._in_fit:
            self._close(logs)

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        self._open()

    def on_predict_end(self, logs: Logs | None = None) -> None:
        self._close(None)

    def _open(self) -> None:
        self._done = 0
        self._bar = Progbar(self.target, verbose=self.verbose, stateless_metrics=())

    def _close(self, logs: Mapping[str, Any] | None) -> None:
        if self._bar is None:
            return
        done = self._done or self.target or 0
        if self._bar.target is None:
            self._bar.target = self.target = done
        self._bar.update(done, _shown(logs), finalize=True)
        self._bar = None


def _shown(logs: Mapping[str, Any] | None) -> list[tuple[str, float]]:
    return [(name, value) for name, value in plain_logs(logs).items() if isinstance(value, float)]


class LambdaCallback(Callback):
    """A callback of functions: ``LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs))``.

    Args:
        on_epoch_begin, on_epoch_end: Functions of (epoch, logs).
        on_train_begin, on_train_end: Functions of (logs).
        on_train_batch_begin, on_train_batch_end: Functions of (batch, logs).
        **kwargs: Functions for the other hooks of ``Callback``.

    Raises:
        ValueError: for a hook that does not exist, or what is not a function.
    """

    def __init__(
        self,
        on_epoch_begin: Hook | None = None,
        on_epoch_end: Hook | None = None,
        on_train_begin: Hook | None = None,
        on_train_end: Hook | None = None,
        on_train_batch_begin: Hook | None = None,
        on_train_batch_end: Hook | None = None,
        **kwargs: Hook | None,
    ) -> None:
        hooks = {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
            **kwargs,
        }
        for name, function in hooks.items():
            if name not in HOOKS:
                raise unknown_name("hook of LambdaCallback", name, HOOKS)
            if function is None:
                continue
            if not callable(function):
                raise ValueError(f"LambdaCallback: {name} must be a function. Received: {name}={function!r}.")
            setattr(self, name, function)


class TerminateOnNaN(Callback):
    """Stops training when the loss of a batch is NaN or infinite, and leaves the weights as they are then.

    It takes the place of what ``compile(on_nan=…)`` chose.

    Args:
        raise_error: Raise ``RuntimeError`` at once instead of ending training in order.
    """

    def __init__(self, raise_error: bool = False) -> None:
        self.raise_error = raise_error

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        loss = (logs or {}).get("loss")
        if loss is None or math.isfinite(loss):
            return
        if self.raise_error:
            raise RuntimeError(f"The loss is {loss} after batch {batch}: training was terminated at once.")
        console.write(f"Batch {batch}: Invalid loss, terminating training\n")
        self.model.stop_training = True


class _Monitoring(Callback):
    """A callback that watches one value of the logs of each epoch.

    Args:
        monitor: A name in the logs.
        min_delta: Least change that counts as an improvement, at least 0.
        mode: ``"min"``, ``"max"`` or ``"auto"``.
    """

    purpose = ""
    """What is conditioned on the value, for the warning where it is missing."""

    def __init__(self, monitor: str, min_delta: float, mode: str) -> None:
        if mode not in ("auto", "min", "max"):
            raise unknown_name(f"{type(self).__name__} mode", mode, ("auto", "min", "max"))
        self.monitor = monitor
        self.mode = mode
        self.min_delta = min_delta
        self._sign = 1

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._sign = self._direction()

    def _monitored(self, logs: Logs) -> float | None:
        value: float | None = logs.get(self.monitor)
        if value is None:
            warnings.warn(
                f"{self.purpose} conditioned on metric `{self.monitor}` which is not available. "
                f"Available metrics are: {','.join(logs)}",
                stacklevel=2,
            )
        return value

    def _improves(self, value: float, reference: float | None) -> bool:
        if math.isnan(value):
            return False
        if reference is None:
            return True
        return self._sign * value - self.min_delta > self._sign * reference

    def _direction(self) -> int:
        """1 where larger values are better, -1 where smaller ones are, as the metric of that name says."""
        if self.mode != "auto":
            return 1 if self.mode == "max" else -1
        name = self.monitor.removeprefix("val_")
        if name == "loss":
            return -1
        reported = getattr(self.model, "metrics_names", None) or ()
        for known, metric in zip(reported[1:], getattr(self.model, "metrics", None) or (), strict=False):
            if known == name and metric.better is not None:
                return 1 if metric.better == "max" else -1
        raise ValueError(
            f"{type(self).__name__}: whether {self.monitor!r} gets better up or down is not known. "
            "Pass mode='max' where larger is better, mode='min' where smaller is."
        )


class EarlyStopping(_Monitoring):
    """Stops training when a monitored value has stopped improving.

    A value improves if it is better than the best so far by more than ``min_delta``; NaN never does.

    Args:
        monitor: A name in the logs.
        min_delta: Least change that counts as an improvement; its sign is ignored.
        patience: Epochs without improvement after which training stops; 0 stops at the first, 1 too.
        verbose: 1 prints what it does.
        mode: ``"min"``: smaller is better; ``"max"``: larger; ``"auto"``: known from the metric.
        baseline: If given, epochs count against ``patience`` until the value has improved on it.
        restore_best_weights: At the end of training, stopped early or not, go back to the weights of the best epoch.
        start_from_epoch: Epochs to let pass before watching.

    Attributes:
        best: The best value so far.
        best_epoch: Its epoch, from 0.
        stopped_epoch: The epoch at which training was stopped, from 0; 0 where it was not.
        wait: Epochs since the last improvement.

    Raises:
        ValueError: for arguments outside of these; when training begins, where ``mode="auto"`` and the metric's
            direction is not known.
    """

    purpose = "Early stopping"

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, abs(finite("EarlyStopping", "min_delta", min_delta)), mode)
        self.patience = count("EarlyStopping", "patience", patience)
        self.verbose = verbose
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = count("EarlyStopping", "start_from_epoch", start_from_epoch)
        self._forget()

    def _forget(self) -> None:
        self.wait = 0
        self.stopped_epoch = 0
        self.best: float | None = None
        self.best_epoch = 0
        self.best_weights: list[Any] | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._forget()
        super().on_train_begin(logs)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        current = self._monitored(logs or {})
        if current is None or epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            self._remember(epoch)
        self.wait += 1
        if self._improves(current, self.best):
            self.best = current
            self._remember(epoch)
            if self._improves(current, self.baseline):
                self.wait = 0
        elif self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.stopped_epoch > 0 and self.verbose > 0:
            console.write(f"Epoch {self.stopped_epoch + 1}: early stopping\n")
        if self.best_weights is None:
            return
        if self.verbose > 0:
            console.write(f"Restoring model weights from the end of the best epoch: {self.best_epoch + 1}.\n")
        self.model.set_weights(self.best_weights)

    def _remember(self, epoch: int) -> None:
        self.best_epoch = epoch
        if self.restore_best_weights:
            self.best_weights = [np.array(w) for w in self.model.get_weights()]


class ReduceLROnPlateau(_Monitoring):
    """Lowers the learning rate when a monitored value has stopped improving. The rate is added to the logs.

    Args:
        monitor: A name in the logs.
        factor: What the rate is multiplied by, in [0, 1).
        patience: Epochs without improvement after which it is.
        verbose: 1 prints what it does.
        mode: ``"min"``: smaller is better; ``"max"``: larger; ``"auto"``: known from the metric.
        min_delta: Least change that counts as an improvement, at least 0.
        cooldown: Epochs after a reduction that do not count.
        min_lr: The rate is not made smaller than this.

    Raises:
        ValueError: for arguments outside of these; when training begins, where ``mode="auto"`` and the metric's
            direction is not known.
        TypeError: when training begins, where the optimizer's learning rate is a schedule.
    """

    purpose = "Learning rate reduction is"

    def __init__(
        self, monitor: str = "val_loss", factor: float = 0.1, patience: int = 10, verbose: int = 0, mode: str = "auto",
        min_delta: float = 1e-4, cooldown: int = 0, min_lr: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(monitor, at_least_zero("ReduceLROnPlateau", "min_delta", min_delta), mode)
        self.factor = fraction("ReduceLROnPlateau", "factor", factor, below_one=True)
        self.patience = count("ReduceLROnPlateau", "patience", patience)
        self.verbose = verbose
        self.cooldown = count("ReduceLROnPlateau", "cooldown", cooldown)
        self.min_lr = at_least_zero("ReduceLROnPlateau", "min_lr", min_lr)
        self._forget()

    def _forget(self) -> None:
        self.best: float | None = None
        self.wait = 0
        self.cooldown_counter = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._forget()
        super().on_train_begin(logs)
        _own_rate(self.model.optimizer)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        logs = {} if logs is None else logs
        logs["learning_rate"] = float(self.model.optimizer.learning_rate)
        current = self._monitored(logs)
        if current is None:
            return
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.wait = 0
        if self._improves(current, self.best):
            self.best = current
            self.wait = 0
        elif self.cooldown_counter == 0:
            self.wait += 1
            if self.wait >= self.patience:
                self._reduce(epoch)

    def _reduce(self, epoch: int) -> None:
        optimizer = self.model.optimizer
        if optimizer.learning_rate <= self.min_lr:
            return
        optimizer.learning_rate = max(optimizer.learning_rate * self.factor, self.min_lr)
        self.cooldown_counter = self.cooldown
        self.wait = 0
        if self.verbose > 0:
            console.write(
                f"Epoch {epoch + 1}: ReduceLROnPlateau reducing learning rate to {optimizer.learning_rate}.\n"
            )


class LearningRateScheduler(Callback):
    """Sets the learning rate at the beginning of each epoch. The rate is added to the logs.

    Args:
        schedule: A function of the epoch, from 0, and the rate so far, or of the epoch alone, returning the new one.
        verbose: 1 prints what it does.

    Raises:
        TypeError: when training begins, where the optimizer's learning rate is a schedule of its own.
        ValueError: where the function returns anything but a finite number of at least 0.
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        self.schedule = schedule
        self.verbose = verbose
        self._takes_rate = _takes_two(schedule)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        _own_rate(self.model.optimizer)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        optimizer = self.model.optimizer
        rate = self.schedule(epoch, float(optimizer.learning_rate)) if self._takes_rate else self.schedule(epoch)
        optimizer.learning_rate = at_least_zero("LearningRateScheduler", f"the rate of epoch {epoch}", rate)
        if self.verbose > 0:
            console.write(f"Epoch {epoch + 1}: LearningRateScheduler setting learning rate to {rate}.\n")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if logs is not None:
            logs["learning_rate"] = float(self.model.optimizer.learning_rate)


def _own_rate(optimizer: Any) -> None:
    """Raise ``TypeError`` before training where the learning rate cannot be set, because it is a schedule."""
    optimizer.learning_rate = optimizer.learning_rate


def _takes_two(function: Callable[..., Any]) -> bool:
    """Whether a function can be called with two arguments; where it does not say, yes."""
    try:
        inspect.signature(function).bind(0, 0.0)
    except TypeError:
        return False
    except ValueError:
        return True
    return True


class CSVLogger(Callback):
    """Writes the logs of each epoch as a line of a CSV file, which holds whole lines at any moment.

    The columns are ``epoch`` and the logs of the first epoch, sorted; where there are no validation values among them,
    a ``val_`` column of each follows. A value that is missing later is ``NA``.

    Args:
        filename: The file.
        separator: Between values.
        append: Go on after what the file holds, without a second header; else it is overwritten when training begins.

    Raises:
        OSError: when training begins, where the file cannot be written.
    """

    def __init__(self, filename: Any, separator: str = ",", append: bool = False) -> None:
        self.filename = os.fspath(filename)
        self.separator = separator
        self.append = append
        self.keys: list[str] | None = None
        self._header = True

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.keys = None
        with open(self.filename, "a" if self.append else "w", encoding="utf-8") as file:
            self._header = file.tell() == 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        import csv
        from io import StringIO

        logs = logs or {}
        text = StringIO(newline="")
        writer = csv.writer(text, delimiter=self.separator, lineterminator="\n")
        if self.keys is None:
            names = sorted(logs)
            self.keys = names if any(k.startswith("val_") for k in names) else [*names, *(f"val_{k}" for k in names)]
            if self._header:
                writer.writerow(["epoch", *self.keys])
        writer.writerow([epoch, *(logs.get(key, "NA") for key in self.keys)])
        with open(self.filename, "ab", buffering=0) as file:
            file.write(text.getvalue().encode())
