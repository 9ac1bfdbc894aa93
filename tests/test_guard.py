"""A loss or weights that become NaN or infinite: training ends, the last finite weights come back, the cause too."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from oracles import one_hot, same_bits, uniform

from nncore import guard, random
from nncore.callbacks import Callback, LambdaCallback, TerminateOnNaN
from nncore.errors import NonFiniteError
from nncore.layers import Dense, Dropout, Input
from nncore.models import Sequential
from nncore.optimizers import SGD, Adam

ROWS, BATCH = 42, 8
STEPS = -(-ROWS // BATCH)
X, Y = uniform(ROWS, 5), one_hot(ROWS, 3)
QUIET: dict[str, Any] = {"verbose": 0}


class Seeded(Sequential):
    """Every ``fit`` draws from one seed."""

    def fit(self, *args: Any, **how: Any) -> Any:
        random.set_seed(6)
        return super().fit(*args, **how)


def diverging(on_nan: str = "raise") -> Sequential:
    """A regression that goes astray in a few steps; momentum and dropout show what is out of step by one."""
    random.set_seed(5)
    model = Seeded([Input((5,), name="in"), Dense(7, activation="relu", name="hidden"), Dropout(0.1),
                    Dense(3, name="last")])  # fmt: skip
    model.compile(SGD(30.0, momentum=0.9), "mse", metrics=["mae"], on_nan=on_nan)
    return model


def cut(*arrays: Any) -> Iterator[tuple[Any, ...]]:
    for start in range(0, len(arrays[0]), BATCH):
        yield tuple(a[start : start + BATCH] for a in arrays)


class Anew:
    """An iterable of the batches of ``X`` and ``Y``."""

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return cut(X, Y)


def finite(model: Sequential) -> bool:
    return all(np.isfinite(w).all() for w in model.get_weights())


def agrees_after(model: Sequential, steps: int) -> None:
    """The model is, bit for bit, one that has done so many steps."""
    assert model.optimizer.iterations == steps
    other = diverging("ignore")
    stop = LambdaCallback(
        on_epoch_begin=lambda epoch, logs: setattr(other, "stop_training", steps == 0),
        on_train_batch_end=lambda batch, logs: setattr(
            other, "stop_training", other.optimizer.iterations == steps
        ),
    )  # fmt: skip
    if steps:
        other.fit(X, Y, BATCH, 99, shuffle=False, callbacks=stop, **QUIET)
    assert all(same_bits(a, b) for a, b in zip(model.get_weights(), other.get_weights(), strict=True))
    assert same_bits(model.optimizer.state, other.optimizer.state)


PATHS: dict[str, Any] = {
    "whole epochs": lambda model, **how: model.fit(X, Y, BATCH, 99, shuffle=False, **how, **QUIET),
    "parts of a pass": lambda model, **how: model.fit(
        X, Y, BATCH, 99, shuffle=False, steps_per_epoch=3, **how, **QUIET
    ),
    "batch hooks": lambda model, callbacks=(), **how: model.fit(
        X, Y, BATCH, 99, shuffle=False,
        callbacks=[*callbacks, LambdaCallback(on_train_batch_end=lambda batch, logs: None)], **how, **QUIET,
    ),
    "batches": lambda model, **how: model.fit(Anew(), epochs=99, **how, **QUIET),
}  # fmt: skip


@pytest.mark.parametrize("interval", [0.0, 9.0])
@pytest.mark.parametrize("path", PATHS)
def test_raise(path: str, interval: float, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On all ways through training, with copies as often as may be and with one an epoch: the same weights."""
    monkeypatch.setattr(guard, "INTERVAL", interval)
    model = diverging()
    with pytest.raises(NonFiniteError) as caught:
        PATHS[path](model)
    error = caught.value
    assert finite(model)
    assert model.optimizer.iterations > 6
    agrees_after(model, model.optimizer.iterations)
    steps = 3 if path == "parts of a pass" else STEPS
    assert error.epoch * steps + error.batch in (model.optimizer.iterations, model.optimizer.iterations + 1)
    assert model.history.epoch == [*range(error.epoch)]
    assert error.layer is None  # the outputs are as large as 1e20, the square of that is beyond float32
    for part in (
        f"in epoch {error.epoch + 1}, batch {error.batch + 1} (from 1)", "the loss", "Restored the weights",
        "lower learning rate", "clipnorm", "on_nan='ignore'",
    ):  # fmt: skip
        assert part in str(error)
    assert isinstance(error, ArithmeticError)


@pytest.mark.parametrize("path", PATHS)
def test_stop(path: str, backend: str) -> None:
    """The same, but fit returns what was logged; the model can be trained on."""
    model = diverging("stop")
    ended: list[Any] = []
    look = LambdaCallback(on_train_end=lambda logs: ended.append(logs))
    with pytest.warns(RuntimeWarning, match=r"The loss became (nan|inf) in epoch .* Restored the weights"):
        history = PATHS[path](model, callbacks=[look])
    assert finite(model)
    agrees_after(model, model.optimizer.iterations)
    assert model.stop_training
    assert history.epoch
    assert all(len(values) == len(history.epoch) for values in history.history.values())
    assert math.isfinite(history.history["loss"][-1])
    assert ended == [{name: values[-1] for name, values in history.history.items()}]
    model.compile(SGD(1e-3), "mse")
    model.set_weights([w * np.float32(1e-20) for w in model.get_weights()])
    assert len(model.fit(X, Y, **QUIET).epoch) == 1


@pytest.mark.parametrize("path", PATHS)
def test_ignore(path: str, backend: str) -> None:
    """As Keras: it goes on."""
    model = diverging("ignore")
    seen: list[float] = []

    class Stop(Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            seen.append(logs["loss"])
            model.stop_training = len(seen) == 20

    PATHS[path](model, callbacks=[Stop()])
    assert len(seen) == 20
    assert math.isnan(seen[-1])
    assert not finite(model)


@pytest.mark.parametrize("on_nan", guard.MODES)
def test_terminate_on_nan_takes_the_place_of_the_guard(
    on_nan: str, backend: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = diverging(on_nan)
    history = model.fit(X, Y, BATCH, 99, shuffle=False, callbacks=TerminateOnNaN(), **QUIET)
    assert "Invalid loss, terminating training" in capsys.readouterr().out
    assert not math.isfinite(history.history["loss"][-1])
    assert not finite(model)


def test_hooks_see_the_batch_and_the_epoch_is_not_logged(backend: str) -> None:
    model = diverging()
    seen: list[tuple[str, float]] = []
    look = LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(("batch", logs["loss"])),
        on_epoch_end=lambda epoch, logs: seen.append(("epoch", logs["loss"])),
        on_train_end=lambda logs: seen.append(("end", 0.0)),
    )
    with pytest.raises(NonFiniteError):
        model.fit(X, Y, BATCH, 99, callbacks=look, **QUIET)
    assert seen[-1][0] == "batch"
    assert not math.isfinite(seen[-1][1])
    assert all(math.isfinite(loss) for _, loss in seen[:-1])


def overflowing(bad_row: int, rows: int, optimizer: Any = None) -> tuple[Sequential, Any, Any]:
    """A sample whose gradient is beyond float32 though its loss is not: the weights are infinite after its batch."""
    x, y = np.zeros((rows, 2), np.float32), np.full((rows, 1), 1e-3, np.float32)
    x[bad_row, 1], y[bad_row] = 2e38, 10.0
    model = Seeded([Input((2,)), Dense(1, use_bias=False, kernel_initializer="zeros", name="only")])
    model.compile(optimizer or SGD(0.1), "mse")
    return model, x, y


@pytest.mark.parametrize("hooks", [False, True])
@pytest.mark.parametrize("rows", [24, 40])
def test_weights_that_show_later_than_their_batch(rows: int, hooks: bool, backend: str) -> None:
    """Batch 2 spoils them: the next batch's loss shows it, or, where there is none, a look at the weights."""
    model, x, y = overflowing(17, rows)
    look = LambdaCallback(on_train_batch_end=lambda batch, logs: None) if hooks else None
    with pytest.raises(NonFiniteError) as caught:
        model.fit(x, y, BATCH, 3, shuffle=False, callbacks=look, **QUIET)
    error = caught.value
    assert (error.epoch, error.batch, error.layer) == (0, 2 if rows == 24 else 3, "only")
    assert "'only/kernel'" in str(error)
    assert ("Weights or what the optimizer keeps became infinite in epoch 1, batch 3" in str(error)) == (rows == 24)
    assert (" in batch 3. Restored" in str(error)) == (rows == 40)
    assert "Restored the weights from before batch 3 of epoch 1." in str(error)
    assert model.optimizer.iterations == 2
    assert model.get_weights()[0].tolist() == [[0.0], [0.0]]


def test_weights_that_show_later_in_batches(backend: str) -> None:
    model, x, y = overflowing(17, 40)
    with pytest.raises(NonFiniteError, match="the first value that was not finite") as caught:
        model.fit(cut(x, y), **QUIET)
    assert (caught.value.batch, caught.value.layer, model.optimizer.iterations) == (3, "only", 2)
    assert finite(model)


def test_an_optimizer_s_state_is_whole_again(backend: str) -> None:
    """Adam's mean of squares overflows where the weights do not: neither stays."""
    model, x, y = overflowing(17, 40, Adam(0.1))
    x[17, 1] = 1e25
    with pytest.raises(NonFiniteError):
        model.fit(np.concatenate([x, np.full_like(x, 3e38)]), np.concatenate([y, y]), BATCH, shuffle=False, **QUIET)
    assert finite(model)
    assert np.isfinite(model.optimizer.state).all()
    assert model.optimizer.iterations == 2


@pytest.mark.parametrize("sizes, layer", [((1e30, 1e-30, 1e38), "last"), ((1e38, 1e30, 1.0), "hidden")])
def test_the_layer_is_named(sizes: tuple[float, ...], layer: str, backend: str) -> None:
    """Samples and weights of these sizes: the first product of more than 3e38 is the layer's output."""
    model = diverging()
    scale, *weights = np.float32(sizes)
    hidden, bias, last, other = model.get_weights()
    model.set_weights([np.full_like(hidden, weights[0]), bias, np.full_like(last, weights[1]), other])
    x = np.full_like(X, scale)
    with pytest.raises(NonFiniteError, match=f"in epoch 1, batch 1 .*the output of the layer '{layer}'") as caught:
        model.fit(x, Y, **QUIET)
    assert caught.value.layer == layer


def test_huge_targets(backend: str) -> None:
    """Their squared error is infinite in float32: that is no loss to train on."""
    model = diverging()
    before = model.get_weights()
    with pytest.raises(NonFiniteError, match="The loss became inf in epoch 1, batch 1") as caught:
        model.fit(X, Y * np.float32(1e30), **QUIET)
    assert caught.value.layer is None
    assert "the first value that was not finite is the loss" in str(caught.value)
    assert all(same_bits(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_samples_that_are_let_through(backend: str) -> None:
    x = X.copy()
    x[20, 3] = np.nan
    model = diverging()
    model.compile(SGD(0.1), "mse", check_finite=False)
    with pytest.raises(
        NonFiniteError, match=r"batch 3 .*the first value that was not finite is the samples x"
    ) as caught:
        model.fit(x, Y, BATCH, shuffle=False, **QUIET)
    assert (caught.value.layer, model.optimizer.iterations) == (None, 2)


def test_weights_that_were_not_finite_before(backend: str) -> None:
    model = diverging()
    weights = model.get_weights()
    weights[0][0, 0] = np.nan
    model.set_weights(weights)
    with pytest.raises(
        NonFiniteError, match=r"The weights were not finite before, so nothing was restored\."
    ) as caught:
        model.fit(X, Y, **QUIET)
    assert caught.value.layer == "hidden"


def test_infinite_weights_on_purpose(backend: str) -> None:
    """A class that is ruled out by a bias of -inf: the loss is finite, so training goes on."""
    model = Seeded([Input((5,)), Dense(3, activation="softmax")])
    model.set_weights([model.get_weights()[0], np.array([0, 0, -np.inf], np.float32)])
    model.compile(SGD(0.1), "sparse_categorical_crossentropy")
    history = model.fit(X, np.arange(ROWS) % 2, epochs=2, **QUIET)
    assert history.epoch == [0, 1]
    assert np.isfinite(history.history["loss"]).all()


def test_a_later_epoch_and_a_callback_that_changes_weights(backend: str) -> None:
    """What a callback does before an epoch is part of what comes back."""
    model = diverging()
    model.optimizer.learning_rate = 1e-3

    class Spoil(Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 2:
                model.set_weights([np.full_like(w, 1e5) for w in model.get_weights()])
                model.optimizer.learning_rate = 1e30

    with pytest.raises(NonFiniteError) as caught:
        model.fit(X, Y, BATCH, 5, callbacks=Spoil(), **QUIET)
    assert (caught.value.epoch, model.optimizer.iterations) == (2, 2 * STEPS)
    assert all((w == 1e5).all() for w in model.get_weights())


def test_evaluation_and_validation_report_it(backend: str) -> None:
    x = X.copy()
    x[1] = np.nan
    model = diverging()
    model.compile(SGD(0.01), "mse", check_finite=False)
    assert math.isnan(model.evaluate(x, Y, **QUIET))
    assert math.isnan(model.test_on_batch(x, Y))
    history = model.fit(X, Y, validation_data=(x, Y), epochs=2, **QUIET).history
    assert np.isnan(history["val_loss"]).all()
    assert np.isfinite(history["loss"]).all()
    assert math.isnan(model.train_on_batch(x, Y))


def test_the_guard_changes_no_bit(backend: str) -> None:
    models = []
    for on_nan in guard.MODES:
        model = diverging(on_nan)
        model.optimizer.learning_rate = 0.01
        model.fit(X, Y, BATCH, 3, **QUIET)
        models.append(model)
    for other in models[1:]:
        assert all(same_bits(a, b) for a, b in zip(models[0].get_weights(), other.get_weights(), strict=True))
        assert models[0].history.history == other.history.history


def test_on_nan_is_checked() -> None:
    with pytest.raises(ValueError, match=r"Unknown compile on_nan: 'rise'\. Did you mean 'raise'"):
        diverging("rise")


@pytest.mark.parametrize("n", [0, 1, 15, 16, 17, 1000])
def test_all_finite(n: int) -> None:
    vector = np.full(n, 3e38, np.float32)
    assert guard.all_finite(vector)
    for bad in (np.nan, np.inf, -np.inf):
        for place in {0, n // 2, n - 1} if n else ():
            spoilt = vector.copy()
            spoilt[place] = bad
            assert not guard.all_finite(spoilt)
