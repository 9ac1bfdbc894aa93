"""Callbacks: hooks, their order and logs, and the semantics of Keras's EarlyStopping, History and bar."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from nncore import callbacks
from nncore.callbacks import (
    HOOKS,
    Callback,
    CallbackList,
    EarlyStopping,
    History,
    LambdaCallback,
    ProgbarLogger,
    TerminateOnNaN,
)


@dataclass
class Metric:
    name: str
    better: str | None


@dataclass
class Model:
    """As much of a model as callbacks need; its one weight is the number of epochs it was trained for."""

    metrics: list[Metric] = field(default_factory=list)
    stop_training: bool = False
    history: Any = None
    weight: np.ndarray = field(default_factory=lambda: np.zeros(1))

    @property
    def metrics_names(self) -> list[str]:
        return ["loss", *(metric.name for metric in self.metrics)]

    def get_weights(self) -> list[np.ndarray]:
        return [self.weight]

    def set_weights(self, weights: list[np.ndarray]) -> None:
        self.weight[...] = weights[0]


def train(callback: Any, model: Model, epochs: list[dict[str, float]], initial_epoch: int = 0) -> list[int]:
    """The events of ``fit`` for epochs with these logs; returns the epochs that ran."""
    calls = CallbackList(callback, add_history=True, model=model, verbose=0, epochs=len(epochs), steps=1)
    ran = []
    model.stop_training = False
    calls.on_train_begin()
    for epoch, logs in enumerate(epochs, initial_epoch):
        calls.on_epoch_begin(epoch)
        model.weight += 1
        calls.on_epoch_end(epoch, logs)
        ran.append(epoch)
        if model.stop_training:
            break
    calls.on_train_end()
    return ran


def losses(*values: float, name: str = "val_loss") -> list[dict[str, float]]:
    return [{name: v} for v in values]


# The list.


def test_hooks_are_those_of_keras() -> None:
    assert set(HOOKS) == {
        "on_train_begin", "on_train_end", "on_epoch_begin", "on_epoch_end", "on_batch_begin", "on_batch_end",
        "on_train_batch_begin", "on_train_batch_end", "on_test_begin", "on_test_end", "on_test_batch_begin",
        "on_test_batch_end", "on_predict_begin", "on_predict_end", "on_predict_batch_begin", "on_predict_batch_end",
    }  # fmt: skip


@pytest.mark.parametrize("hook", HOOKS)
def test_list_calls_every_callback_in_order_with_one_dict(hook: str) -> None:
    seen: list[tuple[str, tuple[Any, ...]]] = []

    def recorder(tag: str) -> Callback:
        def record(*args: Any) -> None:
            seen.append((tag, args))
            args[-1][tag] = 1.0

        return LambdaCallback(**{hook: record})

    where = () if hook.count("_") == 2 and "epoch" not in hook and "on_batch" not in hook else (3,)
    getattr(CallbackList([recorder("a"), recorder("b")]), hook)(*where, {"z": np.float32(0.5), "y": 2})
    assert [tag for tag, _ in seen] == ["a", "b"]
    assert all(args[:-1] == where for _, args in seen)
    assert seen[0][1][-1] is seen[1][1][-1]
    assert seen[0][1][-1] == {"y": 2.0, "z": 0.5, "a": 1.0, "b": 1.0}


def test_hooks_get_an_empty_dict_where_there_are_no_logs() -> None:
    seen: list[Any] = []
    CallbackList(LambdaCallback(on_train_begin=seen.append)).on_train_begin()
    assert seen == [{}]


def test_every_hook_of_callback_can_be_called_with_and_without_logs() -> None:
    calls = CallbackList([Callback(), Callback()])
    for hook in HOOKS:
        where = () if hook.count("_") == 2 and "epoch" not in hook and "on_batch" not in hook else (0,)
        assert getattr(calls, hook)(*where) is None
        assert getattr(calls, hook)(*where, {"loss": 1.0}) is None
        assert getattr(Callback(), hook)(*where) is None


def test_train_batch_hooks_call_their_aliases() -> None:
    class Old(Callback):
        def __init__(self) -> None:  # forgets super().__init__(), as many do
            self.seen: list[tuple[str, int, Any]] = []

        def on_batch_begin(self, batch: int, logs: Any = None) -> None:
            self.seen.append(("begin", batch, logs))

        def on_batch_end(self, batch: int, logs: Any = None) -> None:
            self.seen.append(("end", batch, logs))

    old = Old()
    calls = CallbackList(old, model=Model(), epochs=1)
    calls.on_train_batch_begin(4)
    calls.on_train_batch_end(4, {"loss": 1})
    assert old.seen == [("begin", 4, {}), ("end", 4, {"loss": 1.0})]
    assert isinstance(old.model, Model)
    assert old.params == {"epochs": 1}


def test_logs_become_sorted_floats() -> None:
    array = np.ones(3)
    got = callbacks.plain_logs({"loss": np.float32(0.1), "acc": np.array(1), "m": {"b": 2, "a": 1}, "outputs": array})
    assert list(got) == ["acc", "loss", "a", "b", "outputs"]
    assert {k: type(v) for k, v in got.items()} == {
        "acc": float, "loss": float, "a": float, "b": float, "outputs": np.ndarray,
    }  # fmt: skip
    assert got["outputs"] is array
    assert callbacks.plain_logs(None) == {}
    assert callbacks.plain_logs({"note": "text"}) == {"note": "text"}


def test_defaults_come_after_the_users() -> None:
    mine = Callback()
    calls = CallbackList([mine], add_history=True, add_progbar=True)
    assert [type(c) for c in calls.callbacks] == [Callback, History, ProgbarLogger]
    assert calls.callbacks[0] is mine
    own = [ProgbarLogger(), History()]
    assert CallbackList(own, add_history=True, add_progbar=True).callbacks == own


def test_history_sees_what_callbacks_add_to_the_logs() -> None:
    model = Model()
    train(LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(learning_rate=0.1 / (epoch + 1))), model,
          losses(3, 2, name="loss"))  # fmt: skip
    assert model.history.history == {"loss": [3.0, 2.0], "learning_rate": [0.1, 0.05]}


def test_lists_are_flattened_and_single_callbacks_taken() -> None:
    a, b, c = Callback(), Callback(), Callback()
    assert CallbackList(a).callbacks == [a]
    assert CallbackList([a, (b, [c])]).callbacks == [a, b, c]
    assert CallbackList(CallbackList([a, b])).callbacks == [a, b]
    assert CallbackList(None).callbacks == CallbackList([]).callbacks == []
    calls = CallbackList(a)
    calls.append(b)
    assert calls.callbacks == [a, b]


@pytest.mark.parametrize(
    "given, message",
    [
        (EarlyStopping, r"instances of nncore\.callbacks\.Callback\. Make one: EarlyStopping\(\)\. Received: <class"),
        (print, r"instances of nncore\.callbacks\.Callback\. Received: <built-in function print>\."),
        ("history", "Received: 'history'"),
        ([Callback(), 5], r"Received: 5\."),
    ],
)
def test_other_objects_are_refused(given: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        CallbackList(given)


def test_model_and_params_reach_every_callback() -> None:
    a, model = Callback(), Model()
    calls = CallbackList([a], add_history=True, model=model, verbose=0, epochs=2, steps=3)
    assert a.model is model
    assert calls.model is model
    assert model.history is calls.callbacks[1]
    assert a.params == calls.params == {"verbose": 0, "epochs": 2, "steps": 3}


BATCH_HOOKS = {
    "has_train_batch_hooks": ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end"),
    "has_test_batch_hooks": ("on_test_batch_begin", "on_test_batch_end"),
    "has_predict_batch_hooks": ("on_predict_batch_begin", "on_predict_batch_end"),
}


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("kind", ["class", "subclass", "instance", "lambda"])
def test_list_knows_who_overrides_batch_hooks(hook: str, kind: str) -> None:
    callback: Callback
    if kind == "lambda":
        callback = LambdaCallback(**{hook: lambda *args: None})
    elif kind == "instance":
        callback = Callback()
        setattr(callback, hook, lambda *args: None)
    else:
        cls = type("Mine", (Callback,), {hook: lambda self, *args: None})
        callback = (type("Sub", (cls,), {}) if kind == "subclass" else cls)()
    calls = CallbackList([Callback(), callback], add_history=True, add_progbar=True)
    for name, hooks in BATCH_HOOKS.items():
        assert getattr(calls, name) is (hook in hooks), name


def test_own_callbacks_of_epochs_need_no_batch_hooks() -> None:
    calls = CallbackList(EarlyStopping(), add_history=True, add_progbar=True)
    assert not any(getattr(calls, name) for name in BATCH_HOOKS)
    assert CallbackList(TerminateOnNaN()).has_train_batch_hooks


# History.


def test_history_keeps_epochs_and_values() -> None:
    model = Model()
    history = History()
    train([history], model, [{"loss": 3.0}, {"loss": 2.0, "val_loss": 5.0}], initial_epoch=2)
    assert history.history == {"loss": [3.0, 2.0], "val_loss": [5.0]}
    assert history.epoch == [2, 3]
    assert model.history is history
    assert history.params == {"verbose": 0, "epochs": 2, "steps": 1}


# LambdaCallback.


def test_lambda_refuses_misspelled_hooks_and_values() -> None:
    with pytest.raises(ValueError, match=r"'on_epoch_ends'\. Did you mean 'on_epoch_end'\?"):
        LambdaCallback(on_epoch_ends=print)
    with pytest.raises(ValueError, match=r"LambdaCallback: on_test_end must be a function\. Received: on_test_end=3\."):
        LambdaCallback(on_test_end=3)  # type: ignore[arg-type]


# TerminateOnNaN.


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_terminate_on_nan(loss: float, capsys: pytest.CaptureFixture[str]) -> None:
    model = Model()
    calls = CallbackList(TerminateOnNaN(), model=model)
    calls.on_train_batch_end(0, {"loss": 1.0})
    calls.on_train_batch_end(1, {})
    assert not model.stop_training
    calls.on_train_batch_end(2, {"loss": np.float32(loss)})
    assert model.stop_training
    assert capsys.readouterr().out == "Batch 2: Invalid loss, terminating training\n"


def test_terminate_on_nan_raises_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    model = Model()
    calls = CallbackList(TerminateOnNaN(raise_error=True), model=model)
    with pytest.raises(RuntimeError, match="The loss is nan after batch 7"):
        calls.on_train_batch_end(7, {"loss": math.nan})
    assert not model.stop_training
    assert capsys.readouterr().out == ""


# EarlyStopping. Expected epochs were recorded from Keras 3.15.1 with the same logs.

STOPPING: list[tuple[dict[str, Any], list[float], int, int, float | None, int]] = [
    # arguments, values, epochs run, stopped_epoch, best, best_epoch
    ({}, [3, 2, 1, 1, 0], 4, 3, 1, 2),
    ({}, [3, 4, 1], 2, 1, 3, 0),
    ({"patience": 1}, [3, 2, 2, 1], 3, 2, 2, 1),
    ({"patience": 2}, [3, 2, 2, 1, 1, 1, 0], 6, 5, 1, 3),
    ({"patience": 3}, [3, 2, 2, 2], 4, 0, 2, 1),
    ({"min_delta": 0.5, "patience": 2}, [3, 2.6, 2.4, 2.0, 1.95, 1.8], 5, 4, 2.4, 2),
    ({"min_delta": -0.5, "patience": 1}, [3, 2.5, 2.0], 2, 1, 3, 0),
    ({"mode": "max"}, [1, 2, 2, 3], 3, 2, 2, 1),
    ({"mode": "max", "min_delta": 1, "patience": 2}, [1, 2, 2.5, 3], 4, 0, 2.5, 2),
    ({"mode": "min", "baseline": 1.5, "patience": 2}, [3, 2.5, 2, 1.8], 4, 0, 1.8, 3),
    ({"mode": "min", "baseline": 1.5, "patience": 2}, [3, 2.5, 2.6, 1], 3, 2, 2.5, 1),
    ({"mode": "min", "baseline": 1.5, "patience": 2}, [3, 1, 2, 2, 0], 4, 3, 1, 1),
    ({"start_from_epoch": 3}, [1, 5, 5, 4, 3, 3, 2], 6, 5, 3, 4),
    ({"start_from_epoch": 9}, [1, 5, 6], 3, 0, None, 0),
]


@pytest.mark.parametrize("arguments, values, ran, stopped_epoch, best, best_epoch", STOPPING)
def test_early_stopping(
    arguments: dict[str, Any], values: list[float], ran: int, stopped_epoch: int, best: float | None, best_epoch: int
) -> None:
    model = Model()
    stopping = EarlyStopping(**arguments)
    assert len(train(stopping, model, losses(*values))) == ran
    assert (stopping.stopped_epoch, stopping.best, stopping.best_epoch) == (stopped_epoch, best, best_epoch)
    assert model.weight == ran  # nothing restored unless asked for


def test_early_stopping_starts_anew_with_every_training() -> None:
    model = Model()
    stopping = EarlyStopping(patience=1, restore_best_weights=True)
    assert len(train(stopping, model, losses(1, 2, 0))) == 2
    assert len(train(stopping, model, losses(9, 8, 7))) == 3
    assert (stopping.stopped_epoch, stopping.best, stopping.wait) == (0, 7, 0)


STOPPED = "Epoch {}: early stopping\n"
RESTORED = "Restoring model weights from the end of the best epoch: {}.\n"


@pytest.mark.parametrize(
    "values, arguments, weight, printed",
    [
        ([3, 1, 2, 2], {"patience": 2}, 2, STOPPED.format(4) + RESTORED.format(2)),
        ([3, 1, 2], {"patience": 5}, 2, RESTORED.format(2)),
        ([3, 2, 1], {}, 3, RESTORED.format(3)),
        ([3, 4], {"baseline": 1}, 1, STOPPED.format(2) + RESTORED.format(1)),
        ([3, 4], {"start_from_epoch": 5}, 2, ""),
    ],
)
def test_early_stopping_restores_the_best_weights(
    values: list[float], arguments: dict[str, Any], weight: int, printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = Model()
    train(EarlyStopping(restore_best_weights=True, verbose=1, **arguments), model, losses(*values))
    assert model.weight == weight
    assert capsys.readouterr().out == printed


def test_early_stopping_is_silent_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    train(EarlyStopping(restore_best_weights=True), Model(), losses(1, 2))
    assert capsys.readouterr().out == ""


def test_nan_never_improves() -> None:
    nan = math.nan
    stopping = EarlyStopping(patience=2)
    assert len(train(stopping, Model(), losses(nan, 3, nan, nan, 1))) == 4
    assert (stopping.best, stopping.best_epoch) == (3, 1)
    assert len(train(EarlyStopping(), Model(), losses(nan, nan, 1))) == 2  # never at the first epoch
    stopping = EarlyStopping(patience=2, restore_best_weights=True)
    model = Model()
    assert len(train(stopping, model, losses(nan, nan, nan))) == 2
    assert stopping.best is None
    assert model.weight == 1


@pytest.mark.parametrize(
    "monitor, values, ran",
    [
        ("loss", [3, 2, 1, 0], 4),
        ("val_loss", [0, 1, 2], 2),
        ("accuracy", [0, 1, 2], 3),
        ("val_accuracy", [2, 1, 3], 2),
        ("val_mae", [0, 1, 2], 2),
    ],
)
def test_early_stopping_asks_the_metric_which_way_is_better(monitor: str, values: list[float], ran: int) -> None:
    model = Model(metrics=[Metric("accuracy", "max"), Metric("mae", "min")])
    assert len(train(EarlyStopping(monitor), model, losses(*values, name=monitor))) == ran


@pytest.mark.parametrize("metrics", [[], [Metric("other", "max")], [Metric("odd", None)]])
def test_unknown_direction_is_an_error_before_the_first_epoch(metrics: list[Metric]) -> None:
    model = Model(metrics=metrics)
    with pytest.raises(ValueError, match=r"'val_odd' gets better up or down is not known\. Pass mode='max'"):
        train(EarlyStopping("val_odd"), model, losses(1, name="val_odd"))
    assert model.weight == 0


def test_missing_monitor_warns_and_goes_on() -> None:
    with pytest.warns(UserWarning, match="Early stopping") as caught:
        assert len(train(EarlyStopping(), Model(), [{"loss": 1.0, "accuracy": 0.5}] * 2)) == 2
    text = (
        "Early stopping conditioned on metric `val_loss` which is not available. Available metrics are: accuracy,loss"
    )
    assert [str(w.message) for w in caught] == [text, text]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"mode": "maximum"}, r"Unknown EarlyStopping mode: 'maximum'\. Did you mean 'max'\?"),
        ({"patience": -1}, r"patience must be an integer of at least 0\. Received: patience=-1\."),
        ({"patience": 1.5}, r"patience must be an integer of at least 0\. Received: patience=1\.5\."),
        ({"start_from_epoch": None}, "start_from_epoch must be an integer of at least 0"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EarlyStopping(**arguments)


# ProgbarLogger: what it prints where the output is no terminal. The drawing itself is tested with the bar.


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the time that bars see."""
    now = [0.0]
    real = callbacks.base.Progbar
    monkeypatch.setattr(callbacks.base, "Progbar", lambda *args, **kwargs: real(*args, clock=lambda: now[0], **kwargs))

    def set_time(t: float) -> None:
        now[0] = t

    return set_time


BAR = "━" * 20


def test_fit_prints_an_epoch_line_and_a_bar(capsys: pytest.CaptureFixture[str], clock: Callable[[float], None]) -> None:
    calls = CallbackList(add_progbar=True, verbose="auto", epochs=2, steps=4)
    calls.on_train_begin()
    for epoch in range(2):
        clock(0)
        calls.on_epoch_begin(epoch)
        clock(1)
        calls.progress(1, {"loss": 9.0, "accuracy": 0.0})
        clock(4)
        calls.progress(4, {"loss": 2.3182, "accuracy": np.float32(0.25)})
        calls.on_test_begin()
        calls.progress(2, {"loss": 7.0})  # a validation's progress is no progress of the epoch
        calls.on_test_end({"loss": 2.4})
        calls.on_epoch_end(epoch, {"loss": 2.3182, "accuracy": 0.25, "val_loss": 2.4})
    calls.on_train_end()
    line = f"4/4 {BAR} 4s 1s/step - accuracy: 0.2500 - loss: 2.3182 - val_loss: 2.4000\n"
    assert capsys.readouterr().out == f"Epoch 1/2\n{line}Epoch 2/2\n{line}"


def test_one_epoch_has_no_epoch_line(capsys: pytest.CaptureFixture[str], clock: Callable[[float], None]) -> None:
    calls = CallbackList(add_progbar=True, verbose=2, epochs=1, steps=10)
    calls.on_train_begin()
    calls.on_epoch_begin(0)
    clock(2)
    calls.progress(10, {"loss": 1.0})
    calls.on_epoch_end(0, {"loss": -2.5, "accuracy": 0.5})
    calls.on_train_end()
    assert capsys.readouterr().out == "10/10 - 2s - 200ms/step - accuracy: 0.5000 - loss: -2.5000\n"


def test_silent_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    calls = CallbackList(add_progbar=True, verbose=0, epochs=3, steps=1)
    calls.on_train_begin()
    calls.on_epoch_begin(0)
    calls.progress(1, {"loss": 1.0})
    calls.on_epoch_end(0, {"loss": 1.0})
    calls.on_train_end()
    assert capsys.readouterr().out == ""


def test_evaluate_and_predict_print_a_bar(capsys: pytest.CaptureFixture[str], clock: Callable[[float], None]) -> None:
    calls = CallbackList(add_progbar=True, verbose=1, epochs=1, steps=3)
    clock(0)
    calls.on_test_begin()
    clock(0.0021)
    calls.progress(3, {"loss": 0.5})
    calls.on_test_end({"loss": 0.5})
    clock(0)
    calls.on_predict_begin()
    clock(0.0000021)
    calls.progress(3)
    calls.on_predict_end({"outputs": np.ones(3)})
    assert capsys.readouterr().out == f"3/3 {BAR} 0s 700us/step - loss: 0.5000\n3/3 {BAR} 0s 1us/step\n"


def test_an_unknown_number_of_steps_is_learnt(
    capsys: pytest.CaptureFixture[str], clock: Callable[[float], None]
) -> None:
    calls = CallbackList(add_progbar=True, verbose=1, epochs=2, steps=None)
    calls.on_train_begin()
    for epoch in range(2):
        clock(0)
        calls.on_epoch_begin(epoch)
        clock(7)
        calls.progress(7, {"loss": 1.0})
        calls.on_epoch_end(epoch, {"loss": 1.0})
    line = f"7/7 {BAR} 7s 1s/step - loss: 1.0000\n"
    assert capsys.readouterr().out == f"Epoch 1/2\n{line}Epoch 2/2\n{line}"


def test_an_epoch_that_was_stopped_shows_the_steps_it_did(
    capsys: pytest.CaptureFixture[str], clock: Callable[[float], None]
) -> None:
    calls = CallbackList(add_progbar=True, verbose=1, epochs=1, steps=100)
    calls.on_train_begin()
    calls.on_epoch_begin(0)
    clock(2)
    calls.progress(50, {"loss": 1.0})
    calls.on_epoch_end(0, {"loss": 1.0, "note": "text"})
    assert capsys.readouterr().out == f" 50/100 {BAR} 2s 40ms/step - loss: 1.0000\n"


def test_the_end_by_an_error_reaches_every_callback() -> None:
    class File(Callback):
        open = True

        def break_off(self) -> None:
            self.open = False

    files = [File(), File()]
    CallbackList([Callback(), *files], add_history=True, add_progbar=True).break_off()
    assert [file.open for file in files] == [False, False]


@pytest.mark.parametrize("end", [CallbackList.on_train_end, CallbackList.break_off])
def test_a_broken_off_epoch_leaves_its_line(
    end: Callable[[CallbackList], None], monkeypatch: pytest.MonkeyPatch, clock: Callable[[float], None]
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdout", out := Terminal())
    calls = CallbackList(add_progbar=True, verbose=1, epochs=1, steps=100)
    calls.on_train_begin()
    calls.on_epoch_begin(0)
    calls.progress(50, {"loss": 1.0})
    assert not out.getvalue().endswith("\n")
    end(calls)
    assert out.getvalue().endswith(" - loss: 1.0000\n")
    clock(9)
    calls.progress(60, {"loss": 1.0})  # the bar is gone
    end(calls)
    assert out.getvalue().count("\n") == 1
    calls.on_test_begin()  # what comes next is an evaluation of its own
    calls.progress(100)
    calls.on_test_end()
    assert out.getvalue().count("\n") == 2


def test_progress_without_a_bar_does_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    CallbackList(add_history=True).progress(3, {"loss": 1.0})
    CallbackList(add_progbar=True, verbose=1).progress(3, {"loss": 1.0})
    assert capsys.readouterr().out == ""
