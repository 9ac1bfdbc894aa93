"""Callbacks that watch a value: the base of them, and ``EarlyStopping``."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from nncore import console
from nncore.arguments import count, finite
from nncore.callbacks.base import Callback, Logs
from nncore.errors import unknown_name


class Monitoring(Callback):
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


_REMEMBERED = ("wait", "stopped_epoch", "best", "best_epoch", "best_weights")


class EarlyStopping(Monitoring):
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

    def get_state(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _REMEMBERED}

    def set_state(self, state: dict[str, Any]) -> None:
        for name in _REMEMBERED:
            setattr(self, name, state[name])

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
