"""``ModelCheckpoint``: models, or their weights, in files while they train."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np

from nncore import console
from nncore.arguments import finite, is_integer
from nncore.callbacks.base import Logs
from nncore.callbacks.monitors import Monitoring
from nncore.serialization import serialize_keras_object


class ModelCheckpoint(Monitoring):
    """Saves the model at the end of epochs, or after so many batches.

    A file is whole at any moment. For training that goes on to the bit after a kill, see ``BackupAndRestore``.

    Args:
        filepath: Where to; ``{epoch:02d}``, ``{batch}`` and names of the logs, ``{val_loss:.2f}``, are filled in,
            epochs and batches counted from 1. Its suffix says how: see ``save_model`` and ``save_weights``. Folders are
            made.
        monitor: A name in the logs, for ``save_best_only``.
        verbose: 1 prints what it does.
        save_best_only: Save only where the monitored value is better than before.
        save_weights_only: Save the weights alone, instead of the model with what ``compile`` chose and the optimizer's
            state.
        mode: ``"min"``: smaller is better; ``"max"``: larger; ``"auto"``: known from the metric.
        save_freq: ``"epoch"``, or a number of batches, which makes training return to Python after each one.
        initial_value_threshold: The value to improve on at first.

    Attributes:
        best: The best value so far.

    Raises:
        ValueError: for arguments outside of these; when training begins, where ``mode="auto"`` and the metric's
            direction is not known, and where the model has a part that no config can describe, such as a lambda.
        KeyError: where the name of a file asks for what is not in the logs.
        OSError: where a file cannot be written.
    """

    def __init__(
        self, filepath: Any, monitor: str = "val_loss", verbose: int = 0, save_best_only: bool = False,
        save_weights_only: bool = False, mode: str = "auto", save_freq: Any = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:  # fmt: skip
        from nncore.saving import files

        super().__init__(monitor, 0.0, mode)
        self.save_weights_only = bool(save_weights_only)
        formats = files.WEIGHTS if save_weights_only else files.MODELS
        self.filepath = files.path_of("ModelCheckpoint", filepath, formats)
        if save_freq != "epoch" and (not is_integer(save_freq) or save_freq < 1):
            raise ValueError(
                "ModelCheckpoint: save_freq must be 'epoch' or a positive number of batches. "
                f"Received: save_freq={save_freq!r}."
            )
        self.verbose = verbose
        self.save_best_only = bool(save_best_only)
        self.save_freq = save_freq
        threshold = initial_value_threshold
        self.best = None if threshold is None else finite("ModelCheckpoint", "initial_value_threshold", threshold)
        self._epoch = 0
        self._waiting = 0
        if save_freq != "epoch":
            # Only then is it a hook of batches: others cost no time.
            self.on_train_batch_end = self._after_batch  # type: ignore[method-assign]

    def get_state(self) -> dict[str, Any]:
        return {"best": self.best, "epoch": self._epoch, "waiting": self._waiting}

    def set_state(self, state: dict[str, Any]) -> None:
        self.best, self._epoch, self._waiting = state["best"], state["epoch"], state["waiting"]

    def on_train_begin(self, logs: Logs | None = None) -> None:
        if self.save_best_only:
            super().on_train_begin(logs)
        if not self.save_weights_only:
            serialize_keras_object(self.model)  # whose errors should come now

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._epoch = epoch

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.save_freq == "epoch":
            self._save(epoch, None, logs or {})

    def _after_batch(self, batch: int, logs: Logs | None = None) -> None:
        self._waiting += 1
        if self._waiting >= self.save_freq:
            self._waiting = 0
            self._save(self._epoch, batch, logs or {})

    def _save(self, epoch: int, batch: int | None, logs: Logs) -> None:
        path = self._path(epoch, batch, logs)
        if not self._wanted(epoch, logs, path):
            return
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        save = self.model.save_weights if self.save_weights_only else self.model.save
        save(path, overwrite=True)
        self._say(epoch, f"finished saving model to {path}")

    def _path(self, epoch: int, batch: int | None, logs: Logs) -> str:
        values = {"epoch": epoch + 1, **({} if batch is None else {"batch": batch + 1}), **logs}
        try:
            return self.filepath.format(**values)
        except KeyError as missing:
            raise KeyError(
                f"ModelCheckpoint: filepath {self.filepath!r} asks for {missing}, and there are {', '.join(values)}."
            ) from None

    def _wanted(self, epoch: int, logs: Logs, path: str) -> bool:
        if not self.save_best_only:
            self._say(epoch, f"saving model to {path}")
            return True
        value = logs.get(self.monitor)
        if value is None:
            warnings.warn(f"Can save best model only with {self.monitor} available.", stacklevel=2)
            return True
        if np.ndim(value):
            warnings.warn(
                f"Can save best model only when `monitor` is a scalar value. Received: {value}. "
                "Falling back to `save_best_only=False`.",
                stacklevel=2,
            )
            return True
        best = "None" if self.best is None else f"{self.best:.5f}"
        if not self._improves(value, self.best):
            self._say(epoch, f"{self.monitor} did not improve from {best}")
            return False
        self._say(epoch, f"{self.monitor} improved from {best} to {value:.5f}, saving model to {path}")
        self.best = value
        return True

    def _say(self, epoch: int, what: str) -> None:
        if self.verbose > 0:
            console.write(f"\nEpoch {epoch + 1}: {what}\n")
