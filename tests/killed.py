"""A training for ``test_resume.py`` to kill: ``python killed.py FOLDER SAVE_FREQ``, and with ``each`` what follows.

All that it ends with is written to ``FOLDER/result.npz``, in one piece. ``SAVE_FREQ`` is JSON; with ``null`` there are
no backups. ``python killed.py FOLDER SAVE_FREQ each`` forks processes that are killed before their first operation on a
file in the folder, before their second, and so on, and then one each to end the training; it prints a line of JSON.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

import nncore
from nncore import backends, models
from nncore.callbacks import (
    BackupAndRestore,
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    ModelCheckpoint,
    ReduceLROnPlateau,
)
from nncore.layers import BatchNormalization, Dense, Dropout, Input

BATCHES = 16
"""In an epoch."""


def train(folder: Path, save_freq: Any, epochs: int) -> None:
    """The whole script, as a user would write it; it says ``ready`` when training begins."""
    nncore.utils.set_random_seed(5)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(640, 16)).astype("float32")
    y = (x @ rng.normal(size=16) + rng.normal(size=640) > 0).astype(int)
    model = models.Sequential(
        [Input((16,)), Dense(32, "relu"), BatchNormalization(), Dropout(0.3), Dense(1, "sigmoid")]
    )
    model.compile("adam", "binary_crossentropy", metrics=["accuracy", "auc"])
    callbacks = [
        LambdaCallback(on_train_begin=lambda logs: print("ready", flush=True)),
        ReduceLROnPlateau(patience=1, factor=0.5),
        EarlyStopping(patience=30, restore_best_weights=True),
        CSVLogger(folder / "log.csv"),
        ModelCheckpoint(folder / "best.npz", save_best_only=True),
    ]
    if save_freq is not None:
        callbacks.append(BackupAndRestore(folder / "backup", save_freq, double_checkpoint=save_freq == "epoch"))
    model.fit(x, y, epochs=epochs, batch_size=32, validation_split=0.2, callbacks=callbacks, verbose=0)
    best = models.load_model(folder / "best.npz")
    results = {f"weight_{i}": value for i, value in enumerate([*model.get_weights(), *best.get_weights()])}
    results |= {"state": model.optimizer.state, "steps": model.optimizer.steps, "best_state": best.optimizer.state}
    results |= {"rate": float(model.optimizer.learning_rate), "scores": model.evaluate(x, y, verbose=0)}
    results |= {"epochs": model.history.epoch, "next_seed": nncore.random.draw_seed(), **model.history.history}
    np.savez(folder / "part.npz", **results)
    os.rename(folder / "part.npz", folder / "result.npz")


def results(folder: Path) -> dict[str, bytes]:
    """All that a training ended with, and its log."""
    with np.load(folder / "result.npz") as file:
        found = {name: array.tobytes() for name, array in file.items()}
    assert not (folder / "backup").exists()
    return found | {"log": (folder / "log.csv").read_bytes()}


def kill_before(number: int, folder: Path) -> None:
    """Let this process be killed before its operation of that number, from 1, on files in the folder."""
    left = itertools.count(number - 1, -1)

    def watch(event: str, given: tuple[Any, ...]) -> None:
        of_files = event in ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.listdir", "os.chmod")
        if of_files and str(folder) in str(given[0]) and next(left) == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


def in_fork(folder: Path, save_freq: Any, number: int | None) -> int:
    """Train in a process of its own; its status."""
    process = os.fork()
    if process:
        return os.waitpid(process, 0)[1]
    if number is not None:
        kill_before(number, folder)
    train(folder, save_freq, epochs=2)
    os._exit(0)


def kill_before_each(folder: Path, save_freq: Any) -> dict[str, Any]:
    """Kill trainings before each of their operations on files; which of them ended otherwise than one left alone."""
    for module in ("numpy.random", "nncore.running", "nncore.resume", "nncore.saving.npz"):
        import_module(module)  # once for all of them
    backends.current()
    assert in_fork(folder, None, None) == 0
    alone, others = results(folder), []
    for number in itertools.count(1):
        shutil.rmtree(folder)
        folder.mkdir()
        status = in_fork(folder, save_freq, number)
        if status == 0:
            return {"kills": number - 1, "others": others}
        assert status == signal.SIGKILL
        assert in_fork(folder, save_freq, None) == 0
        if results(folder) != alone:
            others.append(number)
    raise AssertionError


if __name__ == "__main__":
    where, freq = Path(sys.argv[1]), json.loads(sys.argv[2])
    if sys.argv[3:] == ["each"]:
        print(json.dumps(kill_before_each(where, freq)))
    else:
        train(where, freq, epochs=40)
