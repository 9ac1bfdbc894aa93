"""Callbacks that set the learning rate, and the one that writes the logs to a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nncore.callbacks import Callback, CSVLogger, LearningRateScheduler, ReduceLROnPlateau
from nncore.layers import Dense, Input
from nncore.models import Sequential
from nncore.optimizers import SGD, schedules


class Told(Callback):
    """Puts given values into the logs, as a metric would."""

    def __init__(self, values: list[float], name: str = "val_loss") -> None:
        self.values, self.name = values, name

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        assert logs is not None
        logs[self.name] = self.values[epoch]


def fitted(callbacks: list[Callback], epochs: int, optimizer: Any = None, **how: Any) -> Any:
    x, y = np.ones((4, 2), np.float32), np.ones((4, 1), np.float32)
    model = Sequential([Input((2,)), Dense(1)])
    model.compile(SGD(1.0) if optimizer is None else optimizer, "mse", metrics=["mae"])
    return model.fit(x, y, epochs=epochs, verbose=0, callbacks=callbacks, **how)


def rates(values: list[float], name: str = "val_loss", **arguments: Any) -> list[float]:
    callbacks = [Told(values, name), ReduceLROnPlateau(monitor=name, **arguments)]
    return [float(f"{rate:.6g}") for rate in fitted(callbacks, len(values)).history["learning_rate"]]


def test_the_rate_falls_on_a_plateau() -> None:
    """The logs of an epoch have the rate that it ran with."""
    assert rates([3, 2, 2, 2, 2, 2], factor=0.5, patience=2) == [1, 1, 1, 1, 0.5, 0.5]
    assert rates([3, 2, 1, 0.5, 0.2], factor=0.5, patience=1) == [1] * 5


def test_a_small_improvement_is_none() -> None:
    assert rates([1, 0.99, 0.98, 0.97], factor=0.1, patience=2, min_delta=0.1) == [1, 1, 1, 0.1]
    assert rates([1, float("nan"), float("nan"), 1], factor=0.1, patience=2) == [1, 1, 1, 0.1]


def test_cooldown_and_least_rate() -> None:
    flat = [1.0] * 9
    assert rates(flat, factor=0.5, patience=1) == [1, 1, 0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625, 0.0078125]
    assert rates(flat, factor=0.5, patience=1, cooldown=2) == [1, 1, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125, 0.0625]
    assert rates(flat, factor=0.1, patience=1, min_lr=0.05) == [1, 1, 0.1, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05]


def test_more_can_be_better() -> None:
    values = [0.5, 0.6, 0.7, 0.8]
    assert rates(values, "score", mode="max", patience=1) == [1] * 4
    assert rates(values, "score", mode="min", patience=1) == [1, 1, 0.1, 0.01]
    with pytest.raises(ValueError, match="ReduceLROnPlateau: whether 'score' gets better up or down"):
        rates(values, "score")


def test_each_fit_starts_anew() -> None:
    callback = ReduceLROnPlateau(monitor="loss", patience=1, mode="max")
    fitted([callback], 3)
    assert callback.best is not None
    callback.set_model(Sequential([Input((2,)), Dense(1)]))
    callback.model.compile(SGD(1.0), "mse")
    callback.on_train_begin()
    assert (callback.best, callback.wait, callback.cooldown_counter) == (None, 0, 0)


def test_a_missing_value_is_a_warning() -> None:
    with pytest.warns(UserWarning, match="Learning rate reduction is conditioned on metric `val_loss`"):
        fitted([ReduceLROnPlateau()], 1)


def test_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    fitted([Told([1, 1]), ReduceLROnPlateau(patience=1, factor=0.5, verbose=1)], 2)
    assert capsys.readouterr().out == "Epoch 2: ReduceLROnPlateau reducing learning rate to 0.5.\n"
    fitted([LearningRateScheduler(lambda epoch: 0.25, verbose=1)], 1)
    assert capsys.readouterr().out == "Epoch 1: LearningRateScheduler setting learning rate to 0.25.\n"


def test_a_function_sets_the_rate() -> None:
    by_epoch = fitted([LearningRateScheduler(lambda epoch: 1 / (1 + epoch))], 3).history["learning_rate"]
    assert by_epoch == [1, 1 / 2, 1 / 3]
    by_rate = fitted([LearningRateScheduler(lambda epoch, rate: rate / 2)], 3).history["learning_rate"]
    assert by_rate == [1 / 2, 1 / 4, 1 / 8]


def test_an_error_in_the_function_is_its_own() -> None:
    def wrong(epoch: int, rate: float) -> float:
        raise TypeError("mine")

    with pytest.raises(TypeError, match="mine"):
        fitted([LearningRateScheduler(wrong)], 1)


@pytest.mark.parametrize("callback", [ReduceLROnPlateau(monitor="loss"), LearningRateScheduler(lambda epoch: 0.1)])
def test_not_over_a_schedule(callback: Callback) -> None:
    """Found before the first step."""
    optimizer = SGD(schedules.ExponentialDecay(0.1, 10, 0.5))
    with pytest.raises(TypeError, match="is a schedule can only be replaced"):
        fitted([callback], 1, optimizer)
    assert optimizer.iterations == 0


@pytest.mark.parametrize("rate", [-1, float("nan"), None, "fast"])
def test_a_rate_that_is_none(rate: Any) -> None:
    with pytest.raises(ValueError, match=r"the rate of epoch 0 must be a number of at least 0\. Received"):
        fitted([LearningRateScheduler(lambda epoch: rate)], 1)


BAD: list[tuple[Callable[[], Any], str]] = [
    (lambda: ReduceLROnPlateau(factor=1.0), r"factor must be a number in \[0, 1\)"),
    (lambda: ReduceLROnPlateau(patience=-1), "patience must be an integer of at least 0"),
    (lambda: ReduceLROnPlateau(mode="up"), "ReduceLROnPlateau mode"),
    (lambda: ReduceLROnPlateau(min_delta=-1), "min_delta"),
    (lambda: ReduceLROnPlateau(cooldown=1.5), "cooldown"),
    (lambda: ReduceLROnPlateau(min_lr=-1), "min_lr"),
]


@pytest.mark.parametrize("make, message", BAD)
def test_bad_arguments(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


# The file.


def test_a_line_an_epoch(tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    history = fitted([CSVLogger(file)], 2, SGD(0.1), validation_split=0.5).history
    lines = file.read_text().splitlines()
    assert lines[0] == "epoch,loss,mae,val_loss,val_mae"
    for epoch, line in enumerate(lines[1:]):
        number, *values = line.split(",")
        assert number == str(epoch)
        assert [float(v) for v in values] == [history[k][epoch] for k in ("loss", "mae", "val_loss", "val_mae")]
    assert len(lines) == 3


def test_columns_for_values_that_come_later(tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    fitted([CSVLogger(file)], 2, SGD(0.1), validation_split=0.5, validation_freq=2)
    header, first, second = file.read_text().splitlines()
    assert header == "epoch,loss,mae,val_loss,val_mae"
    assert first.split(",")[3:] == ["NA", "NA"]
    assert "NA" not in second


def test_overwritten_or_gone_on_with(tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    fitted([CSVLogger(file, separator=";")], 1)
    fitted([CSVLogger(file, separator=";", append=True)], 2)
    assert [line.split(";")[0] for line in file.read_text().splitlines()] == ["epoch", "0", "0", "1"]
    fitted([CSVLogger(str(file))], 1)
    assert [line.split(",")[0] for line in file.read_text().splitlines()] == ["epoch", "0"]


def test_whole_lines_at_any_moment(tmp_path: Path) -> None:
    """Also where training is broken off: what was written is there."""
    file = tmp_path / "log.csv"

    class Stop(Callback):
        def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
            assert file.read_text().endswith("\n")
            if epoch == 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fitted([CSVLogger(file), Stop()], 5)
    assert [line.split(",")[0] for line in file.read_text().splitlines()] == ["epoch", "0", "1"]


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    optimizer = SGD(0.1)
    with pytest.raises(OSError, match="no such folder"):
        fitted([CSVLogger(tmp_path / "no such folder" / "log.csv")], 1, optimizer)
    assert optimizer.iterations == 0
