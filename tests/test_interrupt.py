"""Ctrl-C and exceptions in the middle of training: it stops at once, and what was done so far is whole and stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from oracles import labels, one_hot, same_bits, uniform

import nncore
from nncore import random
from nncore.callbacks import Callback, LambdaCallback
from nncore.layers import BatchNormalization, Dense, Dropout, Input
from nncore.models import Sequential
from nncore.optimizers import Adam

LIMIT = 0.1
"""Seconds from Ctrl-C to the end of ``fit``."""


@pytest.fixture(params=[1, max(2, os.cpu_count() or 1)])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """The native backend on one thread, and on as many as there are cores."""
    nncore.set_backend("native")
    before = nncore.get_num_threads()
    nncore.set_num_threads(request.param)
    yield request.param
    nncore.set_num_threads(before)


def network(inputs: int, *units: int) -> Sequential:
    """A classifier with moving statistics, dropout and Adam: what is out of step by one would show in its weights."""
    random.set_seed(8)
    hidden = [layer for n in units for layer in (Dense(n, activation="relu"), BatchNormalization(), Dropout(0.1))]
    model = Sequential([Input((inputs,)), *hidden, Dense(10, activation="softmax")])
    model.compile(Adam(0.001), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def same_rows(rows: int, width: int) -> np.ndarray:
    """One row of samples as often as wanted, without the memory."""
    return np.broadcast_to(uniform(1, width), (rows, width))


class CtrlC:
    """Ctrl-C in some seconds from ``start``, and how long it took to come out of a call."""

    def __init__(self, after: float) -> None:
        self._after = after
        self._sent: list[float] = []
        self._thread = threading.Thread(target=self._send)

    def _send(self) -> None:
        time.sleep(self._after)
        self._sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    def start(self) -> None:
        """Count the seconds from now on."""
        if self._thread.ident is None:
            self._thread.start()

    def took(self, call: Callable[[], Any]) -> float:
        """Make the call; seconds from the signal until it came back with KeyboardInterrupt."""
        with pytest.raises(KeyboardInterrupt):
            call()
        back = time.perf_counter()
        self._thread.join()
        return back - self._sent[0]


def interrupted(call: Callable[[], Any], after: float) -> float:
    """Make the call, send Ctrl-C ``after`` so many seconds; seconds until it came back with KeyboardInterrupt."""
    ctrl_c = CtrlC(after)
    ctrl_c.start()
    return ctrl_c.took(call)


def interrupted_fit(model: Sequential, after: float, *data: Any, **how: Any) -> float:
    """The same of an endless ``fit``, counted from the second epoch on: the first one is over then."""
    ctrl_c = CtrlC(after)
    begin = LambdaCallback(on_epoch_begin=lambda epoch, logs: ctrl_c.start() if epoch == 1 else None)
    return ctrl_c.took(lambda: model.fit(*data, epochs=10**6, verbose=0, callbacks=begin, **how))


def soon(latency: Callable[[], float]) -> bool:
    """Whether it is below the limit, at the second or third time if the machine was busy."""
    return any(latency() < LIMIT for _ in range(3))


def recorded(model: Sequential, steps: int) -> None:
    """The history holds every epoch that was over; the very last step may have been the last of one more."""
    done = model.optimizer.iterations
    assert len(model.history.epoch) in (done // steps, (done - 1) // steps)


SIZES: dict[str, tuple[tuple[int, ...], int, int]] = {
    "tiny steps": ((20, 16), 400, 32),
    "the example": ((100, 64), 3200, 32),
    "middling steps": ((784, 512, 512), 3000, 128),
    "one batch an epoch": ((784, 256), 4000, 4000),
}
"""Inputs and units; rows; batch size."""


@pytest.mark.parametrize("size", SIZES)
def test_fit_stops_at_once_and_is_whole(size: str, threads: int) -> None:
    """The weights are, bit for bit, those of so many steps as the optimizer counts; no step is half done."""
    units, rows, batch = SIZES[size]
    x, y = uniform(rows, units[0]), labels(rows, 10)
    latencies = []
    for after in (0.1, 0.15, 0.2):
        model = network(*units)
        latencies.append(interrupted_fit(model, after, x, y, batch_size=batch))
    assert sorted(latencies)[1] < LIMIT  # the middle one of three: a busy machine may be late once

    steps = -(-rows // batch)
    done = model.optimizer.iterations
    assert done >= steps
    history = model.history
    recorded(model, steps)
    assert all(len(values) == len(history.epoch) for values in history.history.values())

    again = network(*units)

    class Stop(Callback):
        def on_train_batch_end(self, number: int, logs: Any = None) -> None:
            again.stop_training = again.optimizer.iterations == done

    again.fit(x, y, batch_size=batch, epochs=10**6, verbose=0, callbacks=Stop())
    assert again.optimizer.iterations == done
    assert all(same_bits(a, b) for a, b in zip(model.get_weights(), again.get_weights(), strict=True))
    assert same_bits(model.optimizer.state, again.optimizer.state)
    for key, values in history.history.items():
        assert values == again.history.history[key][: len(values)]

    before = model.get_weights()
    assert np.isfinite(model.predict(x[:5], verbose=0)).all()
    assert len(model.fit(x, y, batch_size=batch, epochs=1, verbose=0).epoch) == 1
    assert model.optimizer.iterations == done + steps
    assert not same_bits(before[0], model.get_weights()[0])


def test_a_single_long_instruction_is_broken_off() -> None:
    """A batch whose products take far longer than the limit, on one thread: the weights stay as they were."""
    nncore.set_backend("native")
    before = nncore.get_num_threads()
    nncore.set_num_threads(1)
    model = network(2048, 2048)
    x, y = same_rows(8192, 2048), np.zeros(8192)
    weights = model.get_weights()
    try:
        assert soon(lambda: interrupted(lambda: model.fit(x, y, batch_size=8192, epochs=99, verbose=0), 0.25))
    finally:
        nncore.set_num_threads(before)
    assert model.optimizer.iterations == 0
    assert all(same_bits(a, b) for a, b in zip(weights, model.get_weights(), strict=True))


def test_fit_on_numpy() -> None:
    nncore.set_backend("numpy")
    model = network(50, 40)
    x, y = uniform(500, 50), labels(500, 10)
    assert soon(lambda: interrupted_fit(model, 0.2, x, y))
    assert model.optimizer.iterations >= 16
    assert np.isfinite(model.predict(x, verbose=0)).all()
    model.fit(x, y, verbose=0)


def test_fit_with_batch_hooks() -> None:
    model = network(50, 40)
    seen: list[int] = []
    look = LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch))
    x, y = uniform(500, 50), labels(500, 10)
    assert interrupted(lambda: model.fit(x, y, epochs=10**6, verbose=0, callbacks=look), 0.2) < LIMIT
    assert model.optimizer.iterations in (len(seen), len(seen) + 1)


def test_validation_is_interrupted_too() -> None:
    model = network(784, 128)
    x, y = uniform(32, 784), labels(32, 10)
    many = same_rows(200_000, 784)
    how = {"epochs": 10**6, "validation_data": (many, np.zeros(200_000)), "verbose": 0}
    assert soon(lambda: interrupted(lambda: model.fit(x, y, **how), 0.5))
    assert model.optimizer.iterations >= 1


@pytest.mark.parametrize("method", ["predict", "evaluate"])
def test_predict_and_evaluate(method: str, threads: int) -> None:
    model = network(784, 256)
    x, y = same_rows(1_000_000, 784), np.zeros(1_000_000)
    model.compile("sgd", "sparse_categorical_crossentropy", check_finite=False)
    rest = (y,) if method == "evaluate" else ()
    assert soon(lambda: interrupted(lambda: getattr(model, method)(x, *rest, verbose=0), 0.3))
    assert np.isfinite(model.predict(x[:5], verbose=0)).all()


CHILD = """
import sys, time
sys.path.insert(0, sys.argv[1])
import test_interrupt as t
model = t.network(200, 100)
x, y = t.uniform(3200, 200), t.labels(3200, 10)
print("ready", flush=True)
try:
    model.fit(x, y, epochs=10**6, verbose=0)
except KeyboardInterrupt:
    print(time.time(), model.optimizer.iterations, len(model.history.epoch), flush=True)
if sys.argv[2] == "again":
    model.fit(x, y, epochs=10**6, verbose=1)
"""


def child(again: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, str(Path(__file__).parent), again]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_signal_from_another_process() -> None:
    """As a terminal sends it: caught once, and fatal the second time, in the way of Python programs."""
    with child("again") as process:
        try:
            assert process.stdout.readline() == "ready\n"
            time.sleep(0.4)
            sent = time.time()
            process.send_signal(signal.SIGINT)
            stopped, iterations, epochs = process.stdout.readline().split()
            assert float(stopped) - sent < LIMIT
            assert int(epochs) in (int(iterations) // 100, int(iterations) // 100 - 1)
            assert int(epochs) > 0
            time.sleep(0.4)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == -signal.SIGINT
    assert errors.rstrip().endswith("KeyboardInterrupt")


STRESS = """
import os, signal, sys, threading, time
sys.path.insert(0, sys.argv[1])
import nncore
import test_interrupt as t
nncore.set_backend("native")
nncore.set_num_threads(4)
model = t.network(300, 200, 100)
x, y = t.uniform(640, 300), t.labels(640, 10)
for i in range(25):
    timer = threading.Timer(0.002 + 0.003 * i, os.kill, (os.getpid(), signal.SIGINT))
    try:
        timer.start()
        model.fit(x, y, batch_size=256, epochs=10**6, verbose=0)
    except KeyboardInterrupt:
        pass
    timer.join()
print(model.optimizer.iterations)
"""


def test_a_team_of_threads_never_hangs() -> None:
    """Twenty-five interruptions of four threads, more than there may be cores."""
    command = [sys.executable, "-c", STRESS, str(Path(__file__).parent)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert int(ran.stdout) > 0


# Exceptions.


class Trouble(Exception):
    pass


HOOKS = {
    "on_train_begin": (0, 0),
    "on_epoch_begin": (6, 1),
    "on_train_batch_begin": (8, 1),
    "on_train_batch_end": (9, 1),
    "on_test_begin": (12, 1),
    "on_test_end": (12, 1),
    "on_epoch_end": (12, 1),
    "on_train_end": (18, 3),
}
"""Where trouble comes, in the second epoch of three of six steps each; steps and epochs that were done by then."""


@pytest.mark.parametrize("hook", HOOKS)
def test_exception_in_a_callback(hook: str, backend: str) -> None:
    x, t = uniform(44, 6), one_hot(44, 3)
    count = [0]

    def raise_in_time(*args: Any) -> None:
        count[0] += 1
        late = {"on_train_begin": 1, "on_train_end": 1, "on_train_batch_begin": 9, "on_train_batch_end": 9}
        if count[0] == late.get(hook, 2):
            raise Trouble(hook)

    model = Sequential([Input((6,)), Dense(3, activation="softmax")])
    model.compile(Adam(0.01), "categorical_crossentropy")
    how: dict[str, Any] = {"batch_size": 8, "epochs": 3, "validation_data": (x, t), "verbose": 0, "shuffle": False}
    with pytest.raises(Trouble, match=hook):
        model.fit(x, t, callbacks=LambdaCallback(**{hook: raise_in_time}), **how)
    steps, epochs = HOOKS[hook]
    assert model.optimizer.iterations == steps
    assert model.history.epoch == list(range(epochs))
    assert all(len(values) == epochs for values in model.history.history.values())
    before = model.get_weights()
    assert np.isfinite(model.predict(x, verbose=0)).all()

    history = model.fit(x, t, **how)
    assert history.epoch == [0, 1, 2]
    assert len(history.history["val_loss"]) == 3
    assert model.optimizer.iterations == steps + 18
    assert not same_bits(before[0], model.get_weights()[0])


def test_exception_in_predict_and_evaluate(backend: str) -> None:
    def fail(*args: Any) -> None:
        raise Trouble

    x, t = uniform(44, 6), one_hot(44, 3)
    model = Sequential([Input((6,)), Dense(3, activation="softmax")])
    model.compile("sgd", "categorical_crossentropy")
    want, loss = model.predict(x, verbose=0), model.evaluate(x, t, verbose=0)
    for hook in ("on_predict_begin", "on_predict_batch_end", "on_predict_end"):
        with pytest.raises(Trouble):
            model.predict(x, callbacks=LambdaCallback(**{hook: fail}), verbose=0)
    for hook in ("on_test_begin", "on_test_batch_end", "on_test_end"):
        with pytest.raises(Trouble):
            model.evaluate(x, t, callbacks=LambdaCallback(**{hook: fail}), verbose=0)
    assert same_bits(model.predict(x, verbose=0), want)
    assert model.evaluate(x, t, verbose=0) == loss


def test_the_line_of_a_broken_off_epoch_is_ended(capsys: pytest.CaptureFixture[str], backend: str) -> None:
    """What is printed next, such as the traceback, starts on a line of its own."""

    def fail(batch: int, logs: Any) -> None:
        if batch == 2:
            raise Trouble

    model = Sequential([Input((6,)), Dense(3, activation="softmax")])
    model.compile("sgd", "categorical_crossentropy")
    with pytest.raises(Trouble):
        model.fit(uniform(44, 6), one_hot(44, 3), batch_size=4, callbacks=LambdaCallback(on_train_batch_end=fail))
    out = capsys.readouterr().out
    assert out == "" or out.endswith("\n")
