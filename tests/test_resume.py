"""``BackupAndRestore``: training that is killed and started again ends with the bits of one that was left alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nncore
from nncore.callbacks import (
    BackupAndRestore,
    Callback,
    EarlyStopping,
    ReduceLROnPlateau,
)
from nncore.layers import BatchNormalization, Dense, Dropout, Input
from nncore.models import Sequential
from nncore.utils import set_random_seed

FREQUENCIES = ("epoch", 1, 7, 40)
"""``save_freq``: an epoch has 16 batches."""

RNG = np.random.default_rng(0)
X = RNG.normal(size=(320, 8)).astype(np.float32)
Y = (X.sum(1) + RNG.normal(size=320) > 0).astype(np.int64)


def network(optimizer: Any = "adam", **how: Any) -> Sequential:
    set_random_seed(3)
    model = Sequential([
        Input((8,)), Dense(16, "relu"), BatchNormalization(), Dropout(0.3), Dense(1, "sigmoid")
    ])  # fmt: skip
    model.compile(optimizer, "binary_crossentropy", **{"metrics": ["accuracy", "auc"], **how})
    return model


class Interrupt(Callback):
    """Ctrl-C in an epoch, before the callbacks after it see its end, or before a batch."""

    def __init__(self, epoch: int, batch: int | None = None) -> None:
        self.epoch, self.batch, self.now = epoch, batch, -1
        if batch is not None:
            self.on_train_batch_begin = self._before_batch  # type: ignore[method-assign]

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.now = epoch

    def _before_batch(self, batch: int, logs: Any = None) -> None:
        if (self.now, batch) == (self.epoch, self.batch):
            raise KeyboardInterrupt

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.batch is None and epoch == self.epoch:
            raise KeyboardInterrupt


INTERRUPTS = [Interrupt(0), Interrupt(2, 9), Interrupt(2), Interrupt(3, 0), Interrupt(5, 15)]
"""Where training is broken off, one after the other, before it is let through."""


def digest(model: Sequential) -> list[Any]:
    """All that must be the same bits: weights, the optimizer's state and steps, history, and what is drawn next."""
    optimizer = model.optimizer
    return [
        [w.tobytes() for w in model.get_weights()], optimizer.state.tobytes(), optimizer.steps,
        float(optimizer.learning_rate), repr(model.history.history), model.history.epoch, nncore.random.draw_seed(),
    ]  # fmt: skip


def check(make: Any, others: Any, backup: BackupAndRestore, interrupts: Any = INTERRUPTS, **how: Any) -> Sequential:
    """Training by ``make``'s model and ``others()``, callbacks, is the same left alone and with interruptions.

    ``how`` holds what ``fit`` takes; what it takes anew each time is a function.
    """

    def run(*more: Callback) -> Sequential:
        model = make()
        given = {name: value() if callable(value) else value for name, value in how.items()}
        model.fit(**{"epochs": 7, "verbose": 0, **given}, callbacks=[*more[:1], *others(), *more[1:]])
        return model

    alone = digest(run())
    for interrupt in interrupts:
        with pytest.raises(KeyboardInterrupt):
            run(backup, interrupt)
        assert os.path.exists(os.path.join(backup.backup_dir, "latest.npz"))
    model = run(backup)
    assert digest(model) == alone
    assert not os.path.exists(backup.backup_dir)
    return model


ARRAYS: dict[str, Any] = {"x": X, "y": Y, "batch_size": 16, "validation_split": 0.2}


@pytest.mark.parametrize("save_freq", FREQUENCIES)
def test_arrays(save_freq: Any, tmp_path: Path, backend: str) -> None:
    """With dropout, moving statistics, row order, validation, a falling rate, and the best weights remembered."""

    def others() -> list[Callback]:
        return [ReduceLROnPlateau(patience=0, cooldown=1), EarlyStopping(patience=50, restore_best_weights=True)]

    check(network, others, BackupAndRestore(tmp_path / "b", save_freq), **ARRAYS)
