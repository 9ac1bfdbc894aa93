"""Data in batches, and steps: generators, iterables and data sets train like the arrays they were cut from."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from oracles import labels, one_hot, same_bits, uniform

from nncore import random, utils
from nncore.callbacks import Callback, LambdaCallback
from nncore.errors import DataError
from nncore.layers import Dense, Dropout, Input
from nncore.models import Sequential
from nncore.optimizers import Adam

ROWS, BATCH = 42, 8
X, Y = uniform(ROWS, 5), one_hot(ROWS, 3)
WEIGHT = np.linspace(0, 2, ROWS)
STEPS = -(-ROWS // BATCH)
QUIET: dict[str, Any] = {"verbose": 0}


class Seeded(Sequential):
    """Every ``fit`` draws from one seed."""

    def fit(self, *args: Any, **how: Any) -> Any:
        random.set_seed(6)
        return super().fit(*args, **how)


def network(built: bool = True) -> Sequential:
    """With dropout and Adam: what is out of step by one shows in the weights."""
    random.set_seed(5)
    start = [Input((5,))] if built else []
    model = Seeded([*start, Dense(7, activation="relu"), Dropout(0.3), Dense(3, activation="softmax")])
    model.compile(Adam(0.01), "categorical_crossentropy", metrics=["accuracy"])
    return model


def cut(*arrays: Any, start: int = 0, stop: int = STEPS) -> Iterator[tuple[Any, ...]]:
    """Batches of arrays, in order."""
    for i in range(start, stop):
        yield tuple(a[i * BATCH : (i + 1) * BATCH] for a in arrays)


def forever(*arrays: Any) -> Iterator[tuple[Any, ...]]:
    while True:
        yield from cut(*arrays)


class Batches(utils.PyDataset):
    """A data set of batches that notes what it is asked."""

    def __init__(self, *arrays: Any, **how: Any) -> None:
        super().__init__(**how)
        self.batches = list(cut(*arrays))
        self.asked: list[int] = []
        self.events: list[str] = []
        self.threads: set[str] = set()

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> Any:
        self.asked.append(index)
        self.threads.add(threading.current_thread().name)
        return self.batches[index]

    def on_epoch_begin(self) -> None:
        self.events.append("begin")

    def on_epoch_end(self) -> None:
        self.events.append("end")


class Anew:
    """An iterable of batches, such as a DataLoader."""

    def __init__(self, *arrays: Any) -> None:
        self._arrays = arrays

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return cut(*self._arrays)


KINDS = {
    "a generator": (lambda *arrays: forever(*arrays), {"steps_per_epoch": STEPS}),
    "an iterable": (lambda *arrays: Anew(*arrays), {}),
    "a data set": (lambda *arrays: Batches(*arrays), {}),
    "a data set of threads": (lambda *arrays: Batches(*arrays, workers=3, max_queue_size=2), {}),
}


def agrees(one: Sequential, two: Sequential) -> None:
    assert all(same_bits(a, b) for a, b in zip(one.get_weights(), two.get_weights(), strict=True))
    assert same_bits(one.optimizer.state, two.optimizer.state)
    assert one.optimizer.iterations == two.optimizer.iterations
    assert one.history.history == two.history.history
    assert one.history.epoch == two.history.epoch


# Training.


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_batches_train_like_arrays(kind: str, weighted: bool, backend: str) -> None:
    """The last batch is smaller, sample weights are among them, validation as well: the same bits throughout."""
    make, steps = KINDS[kind]
    weight = (WEIGHT,) if weighted else ()
    one, two = network(), network()
    one.fit(
        X, Y, BATCH, 3, shuffle=False, validation_data=(X, Y, *weight), sample_weight=WEIGHT if weighted else None,
        validation_batch_size=BATCH, **QUIET,
    )  # fmt: skip
    validation_steps = {"validation_steps": STEPS} if steps else {}
    two.fit(
        make(X, Y, *weight), epochs=3, shuffle=False, validation_data=make(X, Y, *weight), **steps, **validation_steps,
        **QUIET,
    )  # fmt: skip
    agrees(one, two)


def test_a_model_is_built_from_the_first_batch(backend: str) -> None:
    one, two = network(built=False), network(built=False)
    one.fit(X, Y, BATCH, shuffle=False, **QUIET)
    two.fit(cut(X, Y), **QUIET)
    agrees(one, two)


def test_batches_of_any_size(backend: str) -> None:
    """A larger batch than any before, a smaller one, one of one row: each is one step of its size.

    Without dropout, whose seed is another in train_on_batch.
    """
    sizes = [3, 11, 1, 8, 19]
    ends = np.cumsum(sizes)
    batches = [(X[e - n : e], Y[e - n : e]) for n, e in zip(sizes, ends, strict=True)]
    plain_one, plain_two = (Seeded([Input((5,)), Dense(3, activation="softmax")]) for _ in range(2))
    plain_two.set_weights(plain_one.get_weights())
    for model in (plain_one, plain_two):
        model.compile(Adam(0.01), "categorical_crossentropy")
    history = plain_one.fit(iter(batches), **QUIET).history
    losses = [plain_two.train_on_batch(*batch) for batch in batches]
    assert history["loss"][0] == pytest.approx(np.dot(losses, sizes) / sum(sizes), rel=1e-6)
    assert all(same_bits(a, b) for a, b in zip(plain_one.get_weights(), plain_two.get_weights(), strict=True))


def test_lists_and_arrays_as_batches(backend: str) -> None:
    one, two = network(), network()
    one.fit(([x, y] for x, y in cut(X, Y)), **QUIET)
    two.fit(((x.tolist(), y.tolist()) for x, y in cut(X, Y)), **QUIET)
    agrees(one, two)


def test_class_weight_of_a_data_set(backend: str) -> None:
    y = labels(ROWS, 3)
    one, two = network(), network()
    for model in (one, two):
        model.compile(Adam(0.01), "sparse_categorical_crossentropy")
    one.fit(X, y, BATCH, shuffle=False, class_weight={0: 2.0, 2: 0.5}, **QUIET)
    two.fit(Batches(X, y), shuffle=False, class_weight={0: 2.0, 2: 0.5}, **QUIET)
    agrees(one, two)


def test_a_data_set_is_told_of_epochs(backend: str) -> None:
    data = Batches(X, Y)
    network().fit(data, epochs=2, shuffle=False, **QUIET)
    assert data.events == ["begin", "end"] * 2
    assert data.asked == [0, *range(STEPS), *range(STEPS)]  # the first to see what they are like


def test_a_data_set_is_shuffled_by_batches(backend: str) -> None:
    orders = []
    for _ in range(2):
        data = Batches(X, Y)
        network().fit(data, epochs=3, **QUIET)
        asked = data.asked[1:]
        orders.append([asked[i * STEPS : (i + 1) * STEPS] for i in range(3)])
    assert orders[0] == orders[1]  # by the seed
    assert all(sorted(order) == list(range(STEPS)) for order in orders[0])
    assert len({tuple(order) for order in orders[0]}) > 1


def test_threads_make_batches_ahead(backend: str) -> None:
    class Slow(Batches):
        def __getitem__(self, index: int) -> Any:
            time.sleep(0.001 * (STEPS - index))  # the first takes longest, and still comes first
            return super().__getitem__(index)

    data = Slow(X, Y, workers=2, use_multiprocessing=True, max_queue_size=4)
    one, two = network(), network()
    one.fit(data, shuffle=False, **QUIET)
    two.fit(X, Y, BATCH, shuffle=False, **QUIET)
    agrees(one, two)
    assert len(data.threads) > 1


def test_threads_end_with_the_training() -> None:
    before = threading.active_count()
    model = network()
    stop = LambdaCallback(on_train_batch_end=lambda batch, logs: setattr(model, "stop_training", True))
    model.fit(Batches(X, Y, workers=2), callbacks=stop, **QUIET)
    assert model.optimizer.iterations == 1
    assert threading.active_count() == before


def test_an_error_in_a_thread_ends_training() -> None:
    class Broken(Batches):
        def __getitem__(self, index: int) -> Any:
            if index == 3:
                raise OSError("the disk is gone")
            return super().__getitem__(index)

    before = threading.active_count()
    with pytest.raises(OSError, match="the disk is gone"):
        network().fit(Broken(X, Y, workers=2), shuffle=False, **QUIET)
    assert threading.active_count() == before


def test_a_data_set_without_end(backend: str) -> None:
    class Endless(utils.Sequence):
        num_batches = None

        def __getitem__(self, index: int) -> Any:
            return next(cut(X, Y, start=index % STEPS))

    one, two = network(), network()
    one.fit(Endless(), epochs=2, steps_per_epoch=STEPS, **QUIET)
    two.fit(X, Y, BATCH, 2, shuffle=False, **QUIET)
    agrees(one, two)
    with pytest.raises(ValueError, match="Say how many steps: Endless has no end"):
        network().fit(Endless(), **QUIET)


def test_hooks_see_batches(backend: str) -> None:
    """Hooks change nothing; steps are not known before an iterator's end."""
    events: list[Any] = []

    class Look(Callback):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            events.append(batch)

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            events.append(logs["loss"])

    look = Look()
    one, two = network(), network()
    one.fit(X, Y, BATCH, shuffle=False, callbacks=Look(), **QUIET)
    two.fit(cut(X, Y), callbacks=look, **QUIET)
    assert events[: 2 * STEPS] == events[2 * STEPS :]
    assert events[::2] == [*range(STEPS), *range(STEPS)]
    assert look.params["steps"] is None
    agrees(one, two)


# Steps.


def ran_out() -> Any:
    return pytest.warns(UserWarning, match="Your input ran out of data")


def test_an_iterator_that_ends_ends_training(backend: str) -> None:
    one, two = network(), network()
    with ran_out():
        history = one.fit(cut(X, Y), epochs=4, **QUIET)
    assert history.epoch == [0]
    two.fit(X, Y, BATCH, shuffle=False, **QUIET)
    agrees(one, two)


def test_an_iterator_that_ends_inside_an_epoch(backend: str) -> None:
    model = network()
    with ran_out() as caught:
        history = model.fit(cut(X, Y), epochs=4, steps_per_epoch=4, **QUIET)
    assert history.epoch == [0, 1]
    assert model.optimizer.iterations == STEPS
    assert [str(w.message).split(":")[1][:40] for w in caught] == [
        " the data has 2 batches of the 4 that st", " the data has 0 batches of the 4 that st"
    ]  # fmt: skip


def test_steps_of_an_iterator_go_on(backend: str) -> None:
    """Three epochs of two batches are one of six."""
    one, two = network(), network()
    one.fit(cut(X, Y), epochs=3, steps_per_epoch=2, **QUIET)
    two.fit(X, Y, BATCH, shuffle=False, **QUIET)
    assert all(same_bits(a, b) for a, b in zip(one.get_weights(), two.get_weights(), strict=True))
    assert one.history.epoch == [0, 1, 2]


@pytest.mark.parametrize("hooks", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
def test_steps_of_arrays_go_on(shuffle: bool, hooks: bool, backend: str) -> None:
    """Keras: epochs of two batches each, through one pass of all rows, then through a new one."""
    look = LambdaCallback(on_train_batch_end=lambda batch, logs: None) if hooks else None
    one, two = network(), network()
    history = one.fit(X, Y, BATCH, 6, steps_per_epoch=2, shuffle=shuffle, callbacks=look, **QUIET).history
    whole = two.fit(X, Y, BATCH, 2, shuffle=shuffle, **QUIET).history
    assert all(same_bits(a, b) for a, b in zip(one.get_weights(), two.get_weights(), strict=True))
    assert one.history.epoch == [*range(6)]
    for name in ("loss", "accuracy"):
        parts, rows = np.array(history[name]).reshape(2, 3), np.array([16, 16, 10])
        assert parts @ rows / ROWS == pytest.approx(whole[name], rel=1e-6)


def test_steps_that_do_not_divide_a_pass(backend: str) -> None:
    """Keras: four batches, the last two with a warning, four of the next pass, two."""
    model = network()
    counted: list[int] = []
    look = LambdaCallback(on_epoch_end=lambda epoch, logs: counted.append(model.optimizer.iterations))
    with ran_out():
        model.fit(X, Y, BATCH, 4, steps_per_epoch=4, callbacks=look, **QUIET)
    assert counted == [4, 6, 10, 12]


@pytest.mark.parametrize("make", [lambda: (X, Y, BATCH), lambda: (Batches(X, Y),)])
def test_more_steps_than_there_are(make: Any, backend: str) -> None:
    model = network()
    with ran_out():
        history = model.fit(*make(), epochs=2, steps_per_epoch=9, shuffle=False, **QUIET)
    assert history.epoch == [0, 1]
    two = network()
    two.fit(X, Y, BATCH, 2, shuffle=False, **QUIET)
    agrees(model, two)


def test_steps_make_the_batch_size(backend: str) -> None:
    """As Keras: rows over steps, rounded up."""
    one, two = network(), network()
    one.fit(X, Y, epochs=2, steps_per_epoch=4, shuffle=False, **QUIET)
    two.fit(X, Y, 11, 2, shuffle=False, **QUIET)
    agrees(one, two)


def test_steps_of_a_data_set_go_on(backend: str) -> None:
    data = Batches(X, Y)
    network().fit(data, epochs=6, steps_per_epoch=2, shuffle=False, **QUIET)
    assert data.asked[1:] == [*range(STEPS)] * 2
    assert data.events == ["begin", "end"] * 6


def test_validation_steps_begin_anew(backend: str) -> None:
    """Each validation sees the first batches, of arrays and of a data set alike."""
    first = (X[:16], Y[:16])
    histories = []
    for data, steps in ((first, None), ((X, Y), 2), (Batches(X, Y), 2)):
        model = network()
        how = {"validation_data": data, "validation_steps": steps, "validation_batch_size": BATCH}
        histories.append(model.fit(X, Y, epochs=3, **how, **QUIET).history)
    assert histories[0] == histories[1] == histories[2]


def test_validation_split_with_steps(backend: str) -> None:
    one, two = network(), network()
    one.fit(X, Y, BATCH, 2, validation_split=0.5, validation_steps=1, **QUIET)
    two.fit(X[:21], Y[:21], BATCH, 2, validation_data=(X[21:29], Y[21:29]), **QUIET)
    agrees(one, two)


def test_validation_by_an_iterator_that_ends(backend: str) -> None:
    model = network()
    with ran_out():
        history = model.fit(X, Y, epochs=3, validation_data=cut(X, Y), **QUIET).history
    assert [len(history[name]) for name in ("loss", "val_loss")] == [3, 1]


# Evaluation and prediction.


@pytest.mark.parametrize("kind", KINDS)
def test_evaluate_and_predict_like_arrays(kind: str, backend: str) -> None:
    make, steps = KINDS[kind]
    few = {"steps": STEPS} if steps else {}
    model = network()
    assert model.evaluate(make(X, Y, WEIGHT), **few, **QUIET) == model.evaluate(
        X, Y, BATCH, sample_weight=WEIGHT, **QUIET
    )
    for arrays in ((X,), (X, Y), (X, Y, WEIGHT)):
        assert same_bits(model.predict(make(*arrays), **few, **QUIET), model.predict(X, BATCH, **QUIET))
    assert same_bits(network(built=False).predict((x for (x,) in cut(X)), **QUIET), network(False).predict(X, **QUIET))


def test_steps_of_evaluate_and_predict(backend: str) -> None:
    model = network()
    assert model.evaluate(X, Y, BATCH, steps=2, **QUIET) == model.evaluate(X[:16], Y[:16], BATCH, **QUIET)
    assert model.evaluate(X, Y, steps=4, **QUIET) == model.evaluate(X, Y, 11, **QUIET)
    assert model.evaluate(Batches(X, Y), steps=2, **QUIET) == model.evaluate(X[:16], Y[:16], BATCH, **QUIET)
    assert same_bits(model.predict(X, BATCH, steps=2, **QUIET), model.predict(X[:16], **QUIET))
    assert same_bits(model.predict(X, steps=4, **QUIET), model.predict(X, **QUIET))
    assert same_bits(model.predict(forever(X), steps=2, **QUIET), model.predict(X[:16], **QUIET))
    with ran_out():
        assert same_bits(model.predict(X, BATCH, steps=9, **QUIET), model.predict(X, **QUIET))
    with ran_out():
        assert same_bits(model.predict(cut(X), steps=9, **QUIET), model.predict(X, **QUIET))
    with ran_out():
        assert model.evaluate(X, Y, BATCH, steps=9, **QUIET) == model.evaluate(X, Y, BATCH, **QUIET)


@pytest.mark.parametrize("source", [False, True])
def test_stop_evaluating_and_predicting(source: bool, backend: str) -> None:
    """The batches done so far are the result; the wish does not outlive the call."""
    model = network()
    for method, hook in (("evaluating", "on_test_batch_end"), ("predicting", "on_predict_batch_end")):

        def stop(batch: int, logs: Any, flag: str = f"stop_{method}") -> None:
            setattr(model, flag, batch == 1)

        callback = LambdaCallback(**{hook: stop})
        if method == "evaluating":
            given = (Batches(X, Y),) if source else (X, Y, BATCH)
            assert model.evaluate(*given, callbacks=callback, **QUIET) == model.evaluate(X[:16], Y[:16], 8, **QUIET)
            assert model.evaluate(X, Y, **QUIET) != model.evaluate(X[:16], Y[:16], **QUIET)
        else:
            given = (Batches(X),) if source else (X, BATCH)
            assert same_bits(model.predict(*given, callbacks=callback, **QUIET), model.predict(X[:16], **QUIET))
            assert len(model.predict(X, **QUIET)) == ROWS


def test_hooks_of_evaluate_and_predict_see_batches(backend: str) -> None:
    model = network()
    seen: list[Any] = []
    callback = LambdaCallback(
        on_test_batch_end=lambda batch, logs: seen.append((batch, logs["loss"])),
        on_predict_batch_end=lambda batch, logs: seen.append((batch, logs["outputs"].shape)),
    )
    for arguments in ((X, Y, BATCH), (Batches(X, Y),)):
        model.evaluate(*arguments, callbacks=callback, **QUIET)
    assert seen[:STEPS] == seen[STEPS:]
    seen.clear()
    for arguments in ((X, BATCH), (Batches(X),)):
        model.predict(*arguments, callbacks=callback, **QUIET)
    assert seen[:STEPS] == seen[STEPS:] == [*((i, (8, 3)) for i in range(5)), (5, (2, 3))]


def test_progress_of_an_iterator(capsys: pytest.CaptureFixture[str]) -> None:
    """Its length shows at the end of the first epoch."""
    model = network()
    model.fit(cut(X, Y), verbose=2)
    model.evaluate(cut(X, Y), verbose=2)
    model.predict(cut(X), verbose=2)
    lines = capsys.readouterr().out.splitlines()
    assert [line[:3] for line in lines] == ["6/6"] * 3


# What is refused.

REFUSED = {
    "y": (lambda m: m.fit(cut(X, Y), Y, **QUIET), DataError, "y must be None where x hands over batches"),
    "sample_weight": (
        lambda m: m.fit(Batches(X, Y), sample_weight=WEIGHT, **QUIET), DataError,
        "sample_weight must be None where x hands over batches",
    ),
    "y of evaluate": (lambda m: m.evaluate(cut(X, Y), Y, **QUIET), DataError, "y must be None where x hands over"),
    "validation_split": (
        lambda m: m.fit(cut(X, Y), validation_split=0.2, **QUIET), ValueError, "validation_split must be 0 where x",
    ),
    "no batch": (lambda m: m.fit(iter(()), **QUIET), DataError, "x must hand over at least one batch"),
    "no batch of a data set": (lambda m: m.fit(Empty(), **QUIET), DataError, "at least one batch"),
    "no batch to evaluate": (lambda m: m.evaluate(iter(()), **QUIET), DataError, "at least one batch"),
    "no batch to predict": (lambda m: m.predict(iter(()), **QUIET), DataError, "at least one batch"),
    "no targets": (lambda m: m.fit(cut(X), **QUIET), DataError, "batch 0 y is required"),
    "four parts": (lambda m: m.fit(cut(X, Y, WEIGHT, WEIGHT), **QUIET), DataError, "Received: a tuple of 4"),
    "a dict": (lambda m: m.fit(({"a": X} for _ in "a"), **QUIET), DataError, "Received: a dict"),
    "rows": (lambda m: m.fit((row for row in X), **QUIET), DataError, "batch 0 y is required"),
    "out": (
        lambda m: m.predict(cut(X), out=np.empty((ROWS, 3), "f"), **QUIET), ValueError,
        "out must be None where x hands over batches",
    ),
    "class_weight beside weights": (
        lambda m: m.fit(cut(X, Y, WEIGHT), class_weight={0: 1.0}, **QUIET), DataError, "either sample_weight or class",
    ),
    "validation_data": (
        lambda m: m.fit(X, Y, validation_data=(X,), **QUIET), ValueError, "validation_data must be (x, y) or",
    ),
    "targets of validation": (
        lambda m: m.fit(X, Y, validation_data=cut(X), **QUIET), DataError, "validation batch 0 y is required",
    ),
}  # fmt: skip


class Empty(utils.PyDataset):
    def __len__(self) -> int:
        return 0


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    use, error, message = REFUSED[case]
    model = network()
    before = model.get_weights()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(error) as caught:
            use(model)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 600
    assert all(same_bits(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert model.optimizer.iterations == 0


def test_a_bad_batch_is_named_and_those_before_it_count() -> None:
    bad = X.copy()
    bad[3 * BATCH + 2, 1] = np.inf
    model, two = network(), network()
    with pytest.raises(DataError, match=r"batch 3 x must be finite in float32.*inf in row 2, column 1"):
        model.fit(cut(bad, Y), **QUIET)
    two.fit(X[: 3 * BATCH], Y[: 3 * BATCH], BATCH, shuffle=False, **QUIET)
    assert all(same_bits(a, b) for a, b in zip(model.get_weights(), two.get_weights(), strict=True))
    assert model.optimizer.iterations == 3


def test_a_data_set_must_be_whole() -> None:
    with pytest.raises(NotImplementedError, match=r"PyDataset must define __getitem__\(index\)"):
        utils.PyDataset()[0]
    with pytest.raises(NotImplementedError, match=r"PyDataset must define __len__\(\)"):
        network().fit(utils.PyDataset(), **QUIET)
    assert utils.Sequence is utils.PyDataset
