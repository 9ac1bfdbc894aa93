"""Callbacks that set the learning rate."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from nncore import console
from nncore.arguments import at_least_zero, count, fraction
from nncore.callbacks.base import Callback, Logs
from nncore.callbacks.monitors import Monitoring


class ReduceLROnPlateau(Monitoring):
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

    def get_state(self) -> dict[str, Any]:
        return {"best": self.best, "wait": self.wait, "cooldown_counter": self.cooldown_counter}

    def set_state(self, state: dict[str, Any]) -> None:
        self.best, self.wait, self.cooldown_counter = state["best"], state["wait"], state["cooldown_counter"]

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
