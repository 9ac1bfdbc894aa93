"""``BackupAndRestore``: training that is killed and started again ends with the bits of one that was left alone."""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from killed import results
from oracles import FUSED_ISAS, ISAS, on_isa

import nncore
from nncore import backends
from nncore.callbacks import (
    BackupAndRestore,
    Callback,
    CallbackList,
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
    SwapEMAWeights,
    TensorBoard,
)
from nncore.initializers import Constant
from nncore.layers import BatchNormalization, Dense, Dropout, Input
from nncore.metrics import Metric
from nncore.models import Sequential, load_model
from nncore.optimizers import SGD, Adam
from nncore.optimizers.schedules import CosineDecay
from nncore.utils import PyDataset, set_random_seed

RNG = np.random.default_rng(0)
X = RNG.normal(size=(320, 8)).astype(np.float32)
Y = (X.sum(1) + RNG.normal(size=320) > 0).astype(np.int64)
ARRAYS: dict[str, Any] = {"x": X, "y": Y, "batch_size": 16, "validation_split": 0.2}
"""16 batches in an epoch."""

Make = Callable[[], Sequential]
Others = Callable[[], list[Callback]]


def network(optimizer: Any = "adam", metrics: Any = ("accuracy", "auc")) -> Sequential:
    set_random_seed(3)
    layers = [Input((8,)), Dense(16, "relu"), BatchNormalization(), Dropout(0.3), Dense(1, "sigmoid")]
    model = Sequential(layers)
    model.compile(optimizer, "binary_crossentropy", metrics=list(metrics))
    return model


class Interrupt(Callback):
    """Ctrl-C before the callbacks after this one see the end of an epoch, or after ``batch`` batches of it."""

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


INTERRUPTS = ((0, None), (2, 9), (2, None), (3, 0), (5, 15))
"""Where a training of 7 epochs is broken off, one after the other, before it is let through."""


def digest(model: Sequential) -> list[Any]:
    """All that must be the same bits: weights, the optimizer's state and steps, history, and what is drawn next."""
    optimizer = model.optimizer
    weights = [w.tobytes() for w in model.get_weights()]
    history = {name: [np.asarray(v).tobytes() for v in values] for name, values in model.history.history.items()}
    rate, seed = float(optimizer.learning_rate), nncore.random.draw_seed()
    return [weights, optimizer.state.tobytes(), optimizer.steps, rate, history, model.history.epoch, seed]


def run(make: Make, others: Others, *more: Callback, **how: Any) -> Sequential:
    """Train a new model with callbacks ``others()`` and ``more``; what ``fit`` takes anew each time is a function."""
    model = make()
    given = {name: value() if callable(value) else value for name, value in how.items()}
    model.fit(**{"epochs": 7, "verbose": 0, **given}, callbacks=[*more[:1], *others(), *more[1:]])
    return model


def nothing() -> list[Callback]:
    return []


def check(make: Make, others: Others, backup: BackupAndRestore, interrupts: Any = INTERRUPTS, **how: Any) -> Sequential:
    """Training with interruptions is that which was left alone."""
    alone = digest(run(make, others, **how))
    for where in interrupts:
        with pytest.raises(KeyboardInterrupt):
            run(make, others, backup, Interrupt(*where), **how)
        assert os.listdir(backup.backup_dir) == ["latest.npz"]
    model = run(make, others, backup, **how)
    assert digest(model) == alone
    assert not os.path.exists(backup.backup_dir)
    return model


# What training is made of.


@pytest.mark.parametrize("save_freq", ["epoch", 1, 7, 40])
def test_arrays(save_freq: Any, tmp_path: Path, backend: str) -> None:
    """Dropout, moving statistics, row order, validation, a falling rate, and the best weights remembered."""

    def others() -> list[Callback]:
        return [ReduceLROnPlateau(patience=0, cooldown=1), EarlyStopping(patience=50, restore_best_weights=True)]

    check(network, others, BackupAndRestore(tmp_path / "b", save_freq), **ARRAYS)


@pytest.mark.parametrize(
    "how",
    [
        {"shuffle": "batch"}, {"shuffle": False}, {"steps_per_epoch": 11}, {"steps_per_epoch": 16, "batch_size": 100},
        {"class_weight": {0: 2.0, 1: 0.5}, "validation_freq": [1, 4]}, {"batch_size": 24, "validation_freq": 3},
        {"shuffle": np.bool_(True), "validation_freq": np.int64(2), "batch_size": np.int64(16)},
    ],
)  # fmt: skip
@pytest.mark.parametrize("save_freq", ["epoch", 5])
@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_ways_of_fit(how: dict[str, Any], save_freq: Any, tmp_path: Path) -> None:
    check(network, nothing, BackupAndRestore(tmp_path / "b", save_freq), [(1, None), (4, 2)], **ARRAYS | how)


OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "schedule": lambda: SGD(CosineDecay(0.1, 100), momentum=0.9),
    "accumulation": lambda: Adam(0.01, gradient_accumulation_steps=3),
    "means": lambda: Adam(0.0123456789, use_ema=True, ema_overwrite_frequency=5),
    "decay": lambda: nncore.optimizers.AdamW(0.01, weight_decay=0.1, global_clipnorm=1.0),
    "layerwise": lambda: nncore.optimizers.Adafactor(0.01),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("save_freq", ["epoch", 7])
def test_optimizers(name: str, save_freq: Any, tmp_path: Path) -> None:
    backup = BackupAndRestore(tmp_path / "b", save_freq)
    check(lambda: network(OPTIMIZERS[name]()), nothing, backup, [(1, None), (4, 9)], **ARRAYS)


@pytest.mark.parametrize("save_freq", ["epoch", 7])
@pytest.mark.parametrize("swap_on_epoch", [False, True])
def test_running_means(swap_on_epoch: bool, save_freq: Any, tmp_path: Path) -> None:
    """At the ends of epochs the means stand in the weights' place: the weights themselves are kept too."""

    def others() -> list[Callback]:
        return [SwapEMAWeights(swap_on_epoch), LearningRateScheduler(lambda epoch, rate: rate * 0.9)]

    check(lambda: network(Adam(0.01, use_ema=True)), others, BackupAndRestore(tmp_path / "b", save_freq), **ARRAYS)


class Kept(Metric):
    """A metric that keeps its state itself: the largest prediction."""

    def __init__(self, name: str = "largest") -> None:
        super().__init__(name=name)
        self.largest = self.add_variable(name="largest")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.largest.assign(np.maximum(self.largest.value, np.max(y_pred)))

    def result(self) -> Any:
        return float(self.largest.value)


def test_a_metric_that_keeps_its_state(tmp_path: Path) -> None:
    backup = BackupAndRestore(tmp_path / "b", 5)
    model = check(lambda: network(metrics=[Kept()]), nothing, backup, **ARRAYS)
    assert len(set(model.history.history["largest"])) == 7


class AlwaysOn(Dropout):
    """Random in evaluation too, so that each validation draws a seed from the stream that all share."""

    def lower(self, b: Any, x: Any) -> Any:
        training, b.training = b.training, True
        try:
            return super().lower(b, x)
        finally:
            b.training = training


def test_validation_that_draws(tmp_path: Path) -> None:
    def make() -> Sequential:
        set_random_seed(3)
        model = Sequential([Input((8,)), Dense(16, "relu"), AlwaysOn(0.5), Dense(1, "sigmoid")])
        model.compile("adam", "binary_crossentropy")
        return model

    check(make, nothing, BackupAndRestore(tmp_path / "b", 7), **ARRAYS)


def test_unseeded(tmp_path: Path) -> None:
    """Without a seed the first backup, from before the first batch, decides how training goes on."""

    def make() -> Sequential:
        model = Sequential([Input((8,)), Dense(16, "relu"), Dropout(0.3), Dense(1, "sigmoid")])
        model.compile("adam", "binary_crossentropy")
        return model

    first = BackupAndRestore(tmp_path / "b", 10_000)
    with pytest.raises(KeyboardInterrupt):
        run(make, nothing, first, Interrupt(0, 3), **ARRAYS)
    kept = (tmp_path / "b" / "latest.npz").read_bytes()
    weights = []
    for _ in range(2):
        (tmp_path / "b").mkdir(exist_ok=True)
        (tmp_path / "b" / "latest.npz").write_bytes(kept)
        weights.append([w.tobytes() for w in run(make, nothing, first, **ARRAYS).get_weights()])
    assert weights[0] == weights[1]


@pytest.mark.parametrize("save_freq", ["epoch", 7])
def test_the_same_model_again(save_freq: Any, tmp_path: Path) -> None:
    """As after Ctrl-C in a notebook: model and callbacks are those that were broken off."""

    def others() -> list[Callback]:
        return [ReduceLROnPlateau(patience=0), EarlyStopping(patience=50, restore_best_weights=True), Counting()]

    alone = digest(run(network, others, **ARRAYS))
    model, kept = network(), [BackupAndRestore(tmp_path / "b", save_freq), *others()]
    for where in INTERRUPTS:
        with pytest.raises(KeyboardInterrupt):
            model.fit(**ARRAYS, epochs=7, callbacks=[*kept, Interrupt(*where)], verbose=0)
    model.fit(**ARRAYS, epochs=7, callbacks=kept, verbose=0)
    assert digest(model) == alone


# Data that hands over batches.


class Batches(PyDataset):
    """Batches of different sizes, which count how often each was made."""

    made: dict[int, int] = {}  # noqa: RUF012

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> Any:
        self.made[index] = self.made.get(index, 0) + 1
        return X[index * 20 : index * 20 + 10 + index], Y[index * 20 : index * 20 + 10 + index]


class Reshuffling(PyDataset):
    """Data that changes from epoch to epoch by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.rng = np.random.default_rng(4)
        self.order = np.arange(len(X))

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> Any:
        rows = self.order[index * 32 : index * 32 + 32]
        return X[rows], Y[rows]

    def on_epoch_end(self) -> None:
        self.rng.shuffle(self.order)

    def get_state(self) -> dict[str, Any]:
        return {"rng": self.rng.bit_generator.state, "order": self.order}

    def set_state(self, state: dict[str, Any]) -> None:
        self.rng.bit_generator.state, self.order = state["rng"], state["order"]


def generator() -> Iterator[Any]:
    """Random batches without an end, the same each time that it is made."""
    rng = np.random.default_rng(8)
    while True:
        rows = rng.integers(0, len(X), 16)
        yield X[rows], Y[rows]


SOURCES: dict[str, dict[str, Any]] = {
    "data set": {"x": lambda: Batches()},
    "data set in threads": {"x": lambda: Batches(workers=2)},
    "data set that changes": {"x": lambda: Reshuffling(), "validation_data": lambda: Reshuffling()},
    "data set in part": {"x": lambda: Batches(), "steps_per_epoch": 7},
    "generator": {"x": lambda: generator(), "steps_per_epoch": 7},
    "list": {"x": lambda: IterableBatches()},
    "validation by a generator": {
        **ARRAYS, "validation_split": 0.0, "validation_data": lambda: generator(), "validation_steps": 3,
    },
}  # fmt: skip


class IterableBatches:
    """An iterable that is gone through anew in each epoch."""

    def __iter__(self) -> Iterator[Any]:
        for i in range(9):
            yield X[i * 16 : i * 16 + 16], Y[i * 16 : i * 16 + 16]


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("save_freq", ["epoch", 4])
def test_batches(name: str, save_freq: Any, tmp_path: Path) -> None:
    """Those that were used are left out; of an iterator, all that were used in earlier epochs."""
    check(network, nothing, BackupAndRestore(tmp_path / "b", save_freq), [(1, None), (4, 5)], **SOURCES[name])


def test_batches_of_a_data_set_are_not_made_in_vain(tmp_path: Path) -> None:
    backup = BackupAndRestore(tmp_path / "b", 4)
    with pytest.raises(KeyboardInterrupt):
        run(network, nothing, backup, Interrupt(0, 9), x=Batches(), epochs=1)
    Batches.made.clear()
    run(network, nothing, backup, x=Batches(), epochs=1)
    assert sum(Batches.made.values()) == 1 + 10 - 8  # one to see what they are like


def test_an_iterator_that_is_too_short(tmp_path: Path) -> None:
    backup = BackupAndRestore(tmp_path / "b")
    with pytest.raises(KeyboardInterrupt):
        run(network, nothing, backup, Interrupt(3), x=generator, steps_per_epoch=7)
    short = iter([(X[:16], Y[:16])] * 5)
    with pytest.raises(nncore.errors.DataError, match=r"at least the 21 batches that training had used.*Received: 5"):
        run(network, nothing, backup, x=short, steps_per_epoch=7)


# Callbacks.


class Counting(Callback):
    """One of the user's, which takes part."""

    def __init__(self) -> None:
        self.sums = np.zeros(3, np.float32)
        self.seen: list[dict[str, Any]] = []

    def get_state(self) -> dict[str, Any]:
        return {"sums": self.sums, "seen": self.seen, "rest": [None, True, "text", np.float64(0.1), (1, 2)]}

    def set_state(self, state: dict[str, Any]) -> None:
        assert state["rest"] == [None, True, "text", 0.1, [1, 2]]
        self.sums, self.seen = state["sums"], state["seen"]

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.sums += np.float32(logs["loss"])
        self.seen.append({"epoch": epoch, "loss": logs["loss"]})
        logs["counted"] = self.sums.copy()


@pytest.mark.parametrize("save_freq", ["epoch", 7])
def test_callbacks_of_the_user(save_freq: Any, tmp_path: Path) -> None:
    model = check(network, lambda: [Counting()], BackupAndRestore(tmp_path / "b", save_freq), **ARRAYS)
    assert np.shape(model.history.history["counted"]) == (7, 3)


def test_hooks_of_batches(tmp_path: Path) -> None:
    """Each batch by itself gives the same bits as whole epochs, and those after a backup are not seen twice."""
    seen: list[int] = []
    hook = LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch))
    check(network, lambda: [hook], BackupAndRestore(tmp_path / "b", 7), [(1, 14)], epochs=2, **ARRAYS)
    assert seen == [*range(16), *range(16), *range(16), *range(14), *range(12, 16)]


def test_what_cannot_be_kept(tmp_path: Path) -> None:
    counting = Counting()
    counting.seen = [{"what": object()}]
    with pytest.raises(
        TypeError, match=r"what get_state\(\) returns must be numbers, .* at backup/callbacks/0/seen/0/what"
    ):
        run(network, lambda: [counting], BackupAndRestore(tmp_path / "b"), **ARRAYS)


def test_batches_run_without_python() -> None:
    """Backups inside epochs ask for no hooks of batches."""
    assert not CallbackList([BackupAndRestore("b", 5), BackupAndRestore("b")]).has_train_batch_hooks
    assert CallbackList().keeper is None


@pytest.mark.parametrize("save_freq", ["epoch", 7])
@pytest.mark.parametrize("append", [False, True])
def test_files(save_freq: Any, append: bool, tmp_path: Path) -> None:
    """The log has each line once, after what was in the file before; the best model is the best of all epochs."""
    log, best = tmp_path / "log.csv", tmp_path / "best-{epoch}.npz"
    if append:
        log.write_text("before\n")

    def others() -> list[Callback]:
        checkpoint = ModelCheckpoint(best, "loss", save_best_only=True, save_weights_only=True)
        return [CSVLogger(log, append=append), checkpoint, Late()]

    class Late(Callback):
        """Ctrl-C after the files have been written."""

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if epoch in late:
                late.remove(epoch)
                raise KeyboardInterrupt

    late: list[int] = []
    run(network, others, **ARRAYS)
    files = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for path in files:
        path.unlink()
    if append:
        log.write_text("before\n")
    late = [0, 1, 4, 6]
    backup = BackupAndRestore(tmp_path / "b", save_freq)
    for _ in range(4):
        with pytest.raises(KeyboardInterrupt):
            run(network, others, backup, **ARRAYS)
    run(network, others, backup, **ARRAYS)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == files


def test_a_log_that_is_gone(tmp_path: Path) -> None:
    """It begins with what was written in this training."""
    log = tmp_path / "log.csv"
    log.write_text("before\n")
    backup = BackupAndRestore(tmp_path / "b")
    with pytest.raises(KeyboardInterrupt):
        run(network, lambda: [CSVLogger(log, append=True)], backup, Interrupt(2), **ARRAYS)
    log.unlink()
    run(network, lambda: [CSVLogger(log, append=True)], backup, **ARRAYS)
    assert [line.split(",")[0] for line in log.read_text().splitlines()] == [str(i) for i in range(7)]


def test_steps_of_tensorboard(tmp_path: Path) -> None:
    boards = [TensorBoard(tmp_path / "logs", update_freq=5) for _ in range(3)]
    with pytest.raises(KeyboardInterrupt):
        run(network, lambda: boards[:1], BackupAndRestore(tmp_path / "b", 7), Interrupt(3, 9), **ARRAYS)
    run(network, lambda: boards[1:2], BackupAndRestore(tmp_path / "b", 7), **ARRAYS)
    assert boards[1].get_state() == {"batches": 7 * 16}


@pytest.mark.parametrize("save_freq", ["epoch", 7])
def test_after_the_end(save_freq: Any, tmp_path: Path) -> None:
    """Broken off when training has stopped early, and before the best weights came back: it stays stopped."""
    ends: list[Any] = []

    def others(*more: Callback) -> list[Callback]:
        stopping = EarlyStopping("loss", patience=2, min_delta=1.0, restore_best_weights=True)
        return [*more, stopping, LambdaCallback(on_train_end=ends.append)]

    def fail(logs: Any) -> None:
        raise KeyboardInterrupt

    alone = digest(run(network, others, **ARRAYS))
    backup = BackupAndRestore(tmp_path / "b", save_freq)
    with pytest.raises(KeyboardInterrupt):
        run(network, lambda: others(LambdaCallback(on_train_end=fail)), backup, **ARRAYS)
    model = run(network, others, backup, **ARRAYS)
    assert model.history.epoch == [0, 1, 2]
    assert model.stop_training
    assert digest(model) == alone
    assert ends[0] == ends[1]


# Which training it is.


def changed(**given: Any) -> dict[str, Any]:
    return {**ARRAYS, **given}


def wider() -> Sequential:
    set_random_seed(3)
    model = Sequential([Input((8,)), Dense(17, "relu"), BatchNormalization(), Dropout(0.3), Dense(1, "sigmoid")])
    model.compile("adam", "binary_crossentropy", metrics=["accuracy", "auc"])
    return model


def deeper() -> Sequential:
    model = network()
    model.add(Dense(1, "sigmoid"))
    return model


@pytest.mark.parametrize(
    "make, others, how, message",
    [
        (wider, nothing, ARRAYS, "layers.0.config.units is 17 and was 16"),
        (deeper, nothing, ARRAYS, "layers.4.class_name is 'Dense' and was not there"),
        (lambda: network("sgd"), nothing, ARRAYS, "optimizer.class_name is 'SGD' and was 'Adam'"),
        (lambda: network(Adam(beta_1=0.8)), nothing, ARRAYS, "optimizer.config.beta_1 is 0.8 and was 0.9"),
        (lambda: network(metrics=["accuracy"]), nothing, ARRAYS, "metrics.auc.class_name is not there and was 'AUC'"),
        (network, lambda: [EarlyStopping()], ARRAYS, "callbacks.0 is 'EarlyStopping' and was 'History'"),
        (network, nothing, changed(batch_size=32), "data.batch_size is 32 and was 16"),
        (network, nothing, changed(validation_split=0.5), "data.rows is 160 and was 256"),
        (network, nothing, changed(x=X + 1), r"data.x_rows.1 is \d+ and was \d+"),
        (network, nothing, changed(shuffle=False), "data.shuffle is False and was True"),
        (network, nothing, changed(class_weight={0: 2.0}), r"data.sample_weight_rows\S* is \d+ and was not there"),
        (network, nothing, changed(validation_freq=2), "validation.freq is 2 and was 1"),
        (network, nothing, {"x": Batches()}, r"data.rows is not there and was 256"),
    ],
)
def test_another_training(make: Make, others: Others, how: dict[str, Any], message: str, tmp_path: Path) -> None:
    """What differs is named, nothing has changed, and the backup is there still."""
    backup = BackupAndRestore(tmp_path / "b")
    with pytest.raises(KeyboardInterrupt):
        run(network, nothing, backup, Interrupt(2), **ARRAYS)
    kept = (tmp_path / "b" / "latest.npz").read_bytes()
    begun: list[Any] = []
    model = make()
    before = [w.tobytes() for w in model.get_weights()]
    watch = LambdaCallback(on_train_begin=begun.append)
    with pytest.raises(
        ValueError, match=rf"BackupAndRestore: the backup in '.*' must be of the same .*{message}\. Del"
    ):
        model.fit(**how, callbacks=[backup, watch, *others()], verbose=0)
    assert begun == []
    assert before == [w.tobytes() for w in model.get_weights()]
    assert (tmp_path / "b" / "latest.npz").read_bytes() == kept


def test_another_training_before_the_first_batch(tmp_path: Path) -> None:
    """Where nothing is lost by it, training just begins anew."""
    backup = BackupAndRestore(tmp_path / "b")
    with pytest.raises(KeyboardInterrupt):
        run(network, nothing, backup, Interrupt(0), **ARRAYS)
    assert digest(run(wider, nothing, backup, **ARRAYS)) == digest(run(wider, nothing, **ARRAYS))


def test_what_may_differ(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """More epochs, verbose, callbacks that remember nothing, the learning rate and the names of layers."""
    backup = BackupAndRestore(tmp_path / "b")
    with pytest.raises(KeyboardInterrupt):
        run(network, nothing, backup, Interrupt(2), **ARRAYS)

    def make() -> Sequential:
        set_random_seed(3)
        layers = [Dense(16, "relu", name="a"), BatchNormalization(name="b"), Dropout(0.3), Dense(1, "sigmoid")]
        model = Sequential([Input((8,)), *layers], name="other")
        model.compile(Adam(0.5), "binary_crossentropy", metrics=["accuracy", "auc"])
        return model

    model = run(make, lambda: [LambdaCallback()], backup, **ARRAYS, epochs=9, verbose=2)
    assert capsys.readouterr().out.count("Epoch") == 7
    assert digest(model) == digest(run(network, nothing, **ARRAYS, epochs=9))


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_arrays_in_configs(value: float, tmp_path: Path) -> None:
    """Long ones are compared, and not kept; those that weights began with do not matter."""

    def make(mean: Any, kernel: Any) -> Sequential:
        normalization = nncore.layers.Normalization(mean=mean, variance=np.ones(5000))
        model = Sequential([Input((5000,)), normalization, Dense(2, kernel_initializer=Constant(kernel))])
        model.compile("adam", "mse")
        return model

    x, y, mean = np.ones((4, 5000), np.float32), np.ones((4, 2)), np.zeros(5000)
    backup = BackupAndRestore(tmp_path / "b")
    with pytest.raises(KeyboardInterrupt):
        run(lambda: make(mean, np.zeros((5000, 2))), nothing, backup, Interrupt(2), x=x, y=y)
    assert os.path.getsize(tmp_path / "b" / "latest.npz") < 4 * 10_000 * 3 + 2 * 4 * 5000 + 20_000
    mean[1234] = value

    def again() -> Sequential:
        return run(lambda: make(mean, np.ones((5000, 2))), nothing, backup, x=x, y=y)

    if value:
        with pytest.raises(ValueError, match=r"layers.0.config.mean.1 is \d+ and was \d+"):
            again()
    else:
        assert again().history.epoch == [*range(7)]


def test_a_backup_that_stays(tmp_path: Path) -> None:
    """More epochs later are those of one longer training; fewer are none."""
    backup = BackupAndRestore(tmp_path / "b", delete_checkpoint=False)
    run(network, nothing, backup, **ARRAYS, epochs=3)
    assert os.listdir(tmp_path / "b") == ["latest.npz"]
    alone = digest(run(network, nothing, **ARRAYS, epochs=5))
    for epochs in (5, 5, 4):
        assert digest(run(network, nothing, backup, **ARRAYS, epochs=epochs)) == alone


def test_the_backup_goes_before_initial_epoch(tmp_path: Path) -> None:
    backup = BackupAndRestore(tmp_path / "b", 7)
    with pytest.raises(KeyboardInterrupt):
        run(network, nothing, backup, Interrupt(5, 9), **ARRAYS, initial_epoch=4)
    assert run(network, nothing, backup, **ARRAYS, initial_epoch=6).history.epoch == [4, 5, 6]
    with pytest.raises(KeyboardInterrupt):
        run(network, nothing, backup, Interrupt(0, 3), **ARRAYS)
    assert run(network, nothing, backup, **ARRAYS, initial_epoch=6).history.epoch == [6], "nothing had been trained"


def test_fewer_epochs_than_were_trained(tmp_path: Path) -> None:
    """Also inside an epoch: what was trained comes back, and no epoch runs."""
    backup = BackupAndRestore(tmp_path / "b", 7)
    with pytest.raises(KeyboardInterrupt):
        run(network, nothing, backup, Interrupt(3, 9), **ARRAYS)
    model = run(network, nothing, backup, **ARRAYS, epochs=2)
    assert model.history.epoch == [0, 1, 2]
    assert model.optimizer.steps == 3 * 16 + 8


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("isa", [isa for isa in ISAS if isa in FUSED_ISAS])
def test_on_another_machine(isa: str, threads: int, tmp_path: Path) -> None:
    """Any number of threads and any instruction set with fused multiply-add: the same bits."""
    before = nncore.get_num_threads()
    how = {**ARRAYS, "batch_size": 128}
    backends.in_force = on_isa(FUSED_ISAS[0])
    alone = digest(run(network, nothing, **how))
    backup = BackupAndRestore(tmp_path / "b", 3)
    with pytest.raises(KeyboardInterrupt):
        run(network, nothing, backup, Interrupt(3, 1), **how)
    try:
        nncore.set_num_threads(threads)
        backends.in_force = on_isa(isa)
        assert digest(run(network, nothing, backup, **how)) == alone
    finally:
        nncore.set_num_threads(before)


# Trouble.


def test_weights_that_are_not_finite(tmp_path: Path) -> None:
    """They are not kept; what ``on_nan`` does is the same after a resumption."""

    def make() -> Sequential:
        set_random_seed(3)
        model = Sequential([Input((8,)), Dense(4, name="a"), Dense(1, name="b")])
        model.compile(SGD(1.0), "mse")
        return model

    def trouble(*more: Callback) -> tuple[str, list[bytes]]:
        model = make()
        with pytest.raises(nncore.errors.NonFiniteError) as caught:
            model.fit(X, Y, batch_size=16, epochs=7, callbacks=list(more), verbose=0)
        return str(caught.value), [w.tobytes() for w in model.get_weights()]

    alone = trouble()
    for every in (1, 3, 2):  # also where the loss shows it in the last batch before a backup
        shutil.rmtree(tmp_path / "b", ignore_errors=True)
        assert trouble(BackupAndRestore(tmp_path / "b", every)) == alone
    with np.load(tmp_path / "b" / "latest.npz") as file:
        assert all(np.isfinite(array).all() for array in file.values())
    assert trouble(BackupAndRestore(tmp_path / "b", 2)) == alone


@pytest.mark.parametrize("damage", ["cut", "bit", "other"])
def test_a_damaged_backup(damage: str, tmp_path: Path) -> None:
    """It is refused, or with ``double_checkpoint`` the one before it takes its place, with the same bits at the end."""

    def spoil() -> None:
        path = tmp_path / "b" / "latest.npz"
        content = bytearray(path.read_bytes())
        if damage == "cut":
            content = content[: len(content) // 2]
        elif damage == "bit":
            content[len(content) // 2] ^= 1
        path.write_bytes(content)
        if damage == "other":
            network().save(path)

    for double in (False, True):
        backup = BackupAndRestore(tmp_path / "b", 7, double_checkpoint=double)
        with pytest.raises(KeyboardInterrupt):
            run(network, nothing, backup, Interrupt(3, 9), **ARRAYS)
        assert len(os.listdir(tmp_path / "b")) == 1 + double
        spoil()
        if double:
            alone = digest(run(network, nothing, **ARRAYS))
            with pytest.warns(UserWarning, match=r"latest\.npz' is .* Going on from '.*previous\.npz'"):
                model = run(network, nothing, backup, **ARRAYS)
            assert digest(model) == alone
            assert not (tmp_path / "b").exists()
        else:
            with pytest.raises(ValueError, match=r"BackupAndRestore: '.*latest\.npz' is .* Delete it to begin anew"):
                run(network, nothing, backup, **ARRAYS)
            (tmp_path / "b" / "latest.npz").unlink()


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """The error comes before the first batch."""
    (tmp_path / "file").write_text("")
    model = network()
    before = [w.tobytes() for w in model.get_weights()]
    with pytest.raises(OSError, match="file"):
        model.fit(**ARRAYS, callbacks=BackupAndRestore(tmp_path / "file" / "b"), verbose=0)
    assert before == [w.tobytes() for w in model.get_weights()]


def test_other_files_in_the_folder_stay(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    run(network, nothing, BackupAndRestore(tmp_path), **ARRAYS)
    assert os.listdir(tmp_path) == ["mine.txt"]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"backup_dir": ""}, "backup_dir must name a folder"),
        (
            {"backup_dir": "b", "save_freq": 0},
            "save_freq must be 'epoch' or a positive number of batches. Received: sa",
        ),
        ({"backup_dir": "b", "save_freq": "batch"}, "save_freq must be 'epoch'"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BackupAndRestore(**arguments)


def test_several_backups(tmp_path: Path) -> None:
    several = [BackupAndRestore(tmp_path / "a"), BackupAndRestore(tmp_path / "b")]
    with pytest.raises(ValueError, match="fit: give one BackupAndRestore"):
        network().fit(**ARRAYS, callbacks=several, verbose=0)


# Without BackupAndRestore.


def test_going_on_from_a_checkpoint(tmp_path: Path) -> None:
    """A model saved after an epoch has weights and optimizer to the bit; row order and draws are those of a new fit."""

    def make() -> Sequential:
        set_random_seed(3)
        model = Sequential([Input((8,)), Dense(16, "relu"), BatchNormalization(), Dense(1, "sigmoid")])
        model.compile(Adam(0.0123456789), "binary_crossentropy")
        return model

    how = {**ARRAYS, "shuffle": False}
    alone = run(make, lambda: [ModelCheckpoint(tmp_path / "{epoch}.npz")], **how)
    model = load_model(tmp_path / "3.npz")
    history = model.fit(**how, epochs=7, initial_epoch=3, verbose=0)
    assert history.epoch == [3, 4, 5, 6]
    assert {name: values[3:] for name, values in alone.history.history.items()} == history.history
    assert digest(model)[:4] == digest(alone)[:4]


# Killed.


def killed(folder: Path, save_freq: Any, after: float | None) -> bool:
    """Train in a new process, and kill it some seconds after training has begun; whether that was before its end."""
    command = [sys.executable, Path(__file__).parent / "killed.py", folder, json.dumps(save_freq)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        with suppress(subprocess.TimeoutExpired):
            process.wait(after)
        process.kill()  # of no effect after its end
        status = process.wait()
    assert status in (0, -signal.SIGKILL)
    return status != 0


def test_killed_at_random_moments(tmp_path: Path) -> None:
    """20 times, each in a new process; every training that came to its end is that which was left alone."""
    (tmp_path / "alone").mkdir()
    began = time.perf_counter()
    assert not killed(tmp_path / "alone", None, None)
    took = (time.perf_counter() - began) / 2  # the rest is the start
    moments, kills = random.Random(20), 0
    for number in itertools.count():
        folder = tmp_path / str(number)
        folder.mkdir()
        save_freq = ("epoch", 9)[number % 2]
        while not (folder / "result.npz").exists():
            kills += killed(folder, save_freq, moments.uniform(0, took) if kills < 20 else None)
        assert results(folder) == results(tmp_path / "alone")
        if kills == 20:
            return


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that fork")
@pytest.mark.parametrize("save_freq", ["epoch", 9])
def test_killed_before_each_operation_on_files(save_freq: Any, tmp_path: Path) -> None:
    """Of backups, logs and checkpoints: opened, moved, removed, looked at."""
    program = Path(__file__).parent / "killed.py"
    command = [sys.executable, program, tmp_path, json.dumps(save_freq), "each"]
    found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.splitlines()[-1])
    assert found["others"] == []
    assert found["kills"] > 30
