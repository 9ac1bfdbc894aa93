"""``Callback`` and the ones that need nothing else: ``History``, the progress bar, functions, the end at a NaN."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from nncore import console
from nncore.errors import unknown_name
from nncore.progress import Progbar

Logs = dict[str, Any]
Hook = Callable[..., Any]


class Callback:
    """Base of all callbacks: override the hooks you need.

    A callback that overrides a hook of single batches (``on_train_batch_*``, ``on_batch_*``, …) makes training return
    to Python between batches, which costs time; hooks of epochs cost nothing.

    A callback that remembers something from epoch to epoch can say so in ``get_state``: then a training that is resumed
    (``BackupAndRestore``) goes on with it.

    ``logs`` is a dict of the loss and metrics so far. ``self.model`` is the model, whose ``stop_training = True`` ends
    training after the batch or epoch; ``self.params`` holds ``verbose``, ``epochs`` and ``steps``.
    """

    keeps_backups = False
    """Whether it keeps what ``fit`` is resumed from."""

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

    def break_off(self) -> None:
        """After an error or Ctrl-C, in place of the hooks that would end the loop: close files, put back what was
        changed for a while."""

    def get_state(self) -> dict[str, Any]:
        """What it remembers, for a training that is resumed: numbers, strings, ``None``, arrays, lists and dicts of
        them, by name. Asked for at the ends of epochs, after all hooks, or between batches."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take back what ``get_state`` gave. Called where training is resumed, after ``on_train_begin``, and after
        ``on_epoch_begin`` where that is inside an epoch."""


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

    @property
    def keeper(self) -> Any:
        """The callback that keeps what training is resumed from, or ``None``.

        Raises:
            ValueError: where there are several.
        """
        found = [callback for callback in self.callbacks if callback.keeps_backups]
        if len(found) > 1:
            raise ValueError("fit: give one BackupAndRestore: training is resumed from one backup. Received: several.")
        return found[0] if found else None

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
        """Tell every callback that an error or Ctrl-C has ended the loop."""
        for callback in self.callbacks:
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

    def get_state(self) -> dict[str, Any]:
        return {"history": self.history, "epoch": self.epoch}

    def set_state(self, state: dict[str, Any]) -> None:
        self.history, self.epoch = state["history"], state["epoch"]

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
        """Forget the loop at work, and end the line of its bar: an error is reported on a line of its own."""
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
