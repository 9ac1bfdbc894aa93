"""Many threads at once, with and without a GIL: a shared model predicts, others learn, and all bits are as alone."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from nncore import kernels
from nncore.layers import BatchNormalization, Dense, Dropout
from nncore.models import Sequential
from nncore.training import KEPT

THREADS = 8
ROWS = 300
X = np.random.default_rng(0).normal(size=(ROWS, 20)).astype(np.float32)
Y = np.random.default_rng(1).integers(0, 4, ROWS)


@pytest.fixture(autouse=True)
def _switch_often() -> Iterator[None]:
    """Where there is a GIL, threads change places as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def at_once(*jobs: Callable[[], Any]) -> list[Any]:
    """What the jobs return, each in a thread of its own, all started together; the first error is raised."""
    results: list[Any] = [None] * len(jobs)
    errors: list[BaseException] = []
    start = threading.Barrier(len(jobs))

    def run(i: int) -> None:
        start.wait()
        try:
            results[i] = jobs[i]()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
        assert not thread.is_alive()
    if errors:
        raise errors[0]
    return results


def make(seed: int, *, built: bool = True, width: int = 32) -> Sequential:
    """A model whose weights and order of rows depend on ``seed`` and on no other model."""
    first = {"input_dim": X.shape[1]} if built else {}
    model = Sequential(
        [
            Dense(width + seed, activation="relu", kernel_initializer=_uniform(seed), **first),
            BatchNormalization(),
            Dropout(0.0),
            Dense(4, activation="softmax", kernel_initializer=_uniform(seed + 1)),
        ]
    )
    model.compile(("sgd", "adam", "rmsprop")[seed % 3], "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def _uniform(seed: int) -> Any:
    from nncore.initializers import RandomUniform

    return RandomUniform(seed=seed)


def learn(seed: int) -> tuple[bytes, ...]:
    """The bits of a model of its own, made, trained, evaluated and used here."""
    model = make(seed)
    history = model.fit(X, Y, epochs=4, batch_size=32, shuffle=False, verbose=0).history
    scores = np.array([*history["loss"], *history["accuracy"], *model.evaluate(X, Y, verbose=0)])
    return (scores.tobytes(), model.predict(X, verbose=0).tobytes(), *(w.tobytes() for w in model.get_weights()))


def test_models_of_their_own_learn_side_by_side(backend: str) -> None:
    alone = [learn(seed) for seed in range(THREADS)]
    assert len(set(alone)) == THREADS
    for _ in range(3):
        assert at_once(*(lambda seed=seed: learn(seed) for seed in range(THREADS))) == alone


def test_one_model_predicts_for_all_while_others_learn(backend: str) -> None:
    """In batches of more sizes than a model keeps programs for, so that some are dropped while they are in use."""
    shared = make(1)
    sizes = [None, *range(1, 2 * KEPT)]

    def bits(size: int | None) -> bytes:
        return shared.predict(X, batch_size=size, verbose=0).tobytes()

    def one_by_one() -> bytes:
        return b"".join(shared.predict(X[i : i + 1], verbose=0).tobytes() for i in range(ROWS))

    right, rows, alone = {size: bits(size) for size in sizes}, one_by_one(), learn(5)

    def predict(which: int) -> bool:
        chosen = [sizes[(7 * which + 3 * i) % len(sizes)] for i in range(40)]
        same = [bits(size) == right[size] for size in chosen]
        return all(same) and all(bits(None) == right[None] for _ in range(20)) and one_by_one() == rows

    jobs = [lambda which=which: predict(which) for which in range(THREADS)]
    results = at_once(*jobs, lambda: learn(5), lambda: learn(5))
    assert results == [True] * THREADS + [alone] * 2


def test_a_model_that_nobody_has_used_yet(backend: str) -> None:
    """All threads at once build it, give it its memory and load its program: they must end up with one and the same."""
    for seed in range(20):
        model = make(seed, built=False)
        twin = make(seed, built=False)
        twin.build((None, X.shape[1]))
        right = twin.predict(X, verbose=0).tobytes()
        found = at_once(*(lambda m=model: m.predict(X, verbose=0).tobytes() for _ in range(THREADS)))
        assert found == [right] * THREADS
        assert len(model.weights) == len(twin.weights)
        model.set_weights([w + 1 for w in twin.get_weights()])
        twin.set_weights(model.get_weights())
        assert model.predict(X, verbose=0).tobytes() == twin.predict(X, verbose=0).tobytes() != right


def test_models_that_are_wide_enough_for_a_team() -> None:
    """One of the callers has the helpers at a time; who has not works alone, with the same bits."""
    model = make(2, width=700)
    x = np.tile(X, (10, 1))
    right = model.predict(x, verbose=0).tobytes()

    def predict() -> bool:
        return {model.predict(x, verbose=0).tobytes() for _ in range(10)} == {right}

    assert all(at_once(*[predict] * THREADS))


def test_kernels_on_arrays() -> None:
    w = np.random.default_rng(2).normal(size=(20, 33)).astype(np.float32)
    right = kernels.call("dense", X, w, None).tobytes()

    def call() -> bool:
        return {kernels.call("dense", X, w, None, parts=1 + i % 4).tobytes() for i in range(50)} == {right}

    assert all(at_once(*[call] * THREADS))
