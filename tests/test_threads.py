"""Threads: the same bits for any number, limits that are obeyed, fork, and no work while idle."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nncore
from nncore import backends, threads
from nncore.layers import Dense, Dropout
from nncore.models import Sequential

WIDE = 256
"""Wide enough that a batch is worth several threads."""


@pytest.fixture(autouse=True)
def restore() -> Iterator[None]:
    before, backend = nncore.get_num_threads(), nncore.get_backend()
    nncore.set_backend("native")
    yield
    nncore.set_num_threads(before)
    nncore.set_backend(backend)


def train(count: int, batch: int = 128, optimizer: str = "adam", rows: int = 700) -> tuple[Any, ...]:
    """Weights, history and predictions of a model trained on up to ``count`` threads."""
    nncore.set_num_threads(count)
    nncore.utils.set_random_seed(3)
    model = Sequential(
        [
            Dense(WIDE, activation="relu", input_dim=WIDE),
            Dropout(0.2),
            Dense(WIDE, activation="tanh"),
            Dense(WIDE, activation="sigmoid"),
            Dense(7, activation="softmax"),
        ]
    )
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    generator = np.random.default_rng(0)
    x = generator.normal(size=(rows, WIDE)).astype(np.float32)
    y = generator.integers(0, 7, rows)
    history = model.fit(x, y, batch_size=batch, epochs=2, verbose=0, validation_split=0.1)
    weights = np.concatenate([w.ravel() for w in model.get_weights()])
    return weights, history.history, model.predict(x, verbose=0)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("batch", [96, 700])
def test_same_bits_for_any_number(optimizer: str, batch: int) -> None:
    weights, history, predictions = train(1, batch, optimizer)
    for count in (2, 3, 5, 16):
        others = train(count, batch, optimizer)
        np.testing.assert_array_equal(others[0], weights)
        assert others[1] == history
        np.testing.assert_array_equal(others[2], predictions)


def test_several_callers_at_once() -> None:
    """One caller gets the team, the others work alone; all get the same bits."""
    expected = train(1)[0]
    nncore.set_num_threads(2)
    model = Sequential([Dense(WIDE, input_dim=WIDE), Dense(WIDE)])
    x = np.random.default_rng(1).normal(size=(512, WIDE)).astype(np.float32)
    right = model.predict(x, verbose=0)
    wrong: list[int] = []

    def predict(which: int) -> None:
        same = [np.array_equal(model.predict(x, verbose=0), right) for _ in range(20)]
        wrong.extend([which] * same.count(False))

    callers = [threading.Thread(target=predict, args=(i,)) for i in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(timeout=60)
        assert not caller.is_alive()
    assert wrong == []
    np.testing.assert_array_equal(train(2)[0], expected)


def _weights_of_child(queue: Any) -> None:
    queue.put(train(2)[0])


def test_fork_between_fits() -> None:
    """Parent trains, forks; the child trains with helpers of its own, the parent goes on."""
    expected = train(2)[0]
    context = multiprocessing.get_context("fork")
    for _ in range(3):
        queue = context.Queue()
        child = context.Process(target=_weights_of_child, args=(queue,))
        child.start()
        received = queue.get(timeout=60)
        child.join(timeout=60)
        assert child.exitcode == 0
        np.testing.assert_array_equal(received, expected)
    np.testing.assert_array_equal(train(2)[0], expected)


def _predict(model: Sequential, x: Any) -> Any:
    return model.predict(x, verbose=0).sum()


def test_pool_of_processes() -> None:
    train(2)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        results = pool.map_async(_run_train, range(4)).get(timeout=120)
    assert len(set(results)) == 1


def _run_train(_: int) -> bytes:
    return bytes(train(2)[0].tobytes()[:64])


def test_idle_team_uses_no_cpu() -> None:
    train(2)
    time.sleep(0.05)
    before = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - before < 0.01


def test_ctrl_c_stops_a_team() -> None:
    """A signal is seen within 100 ms, with the team at work, and the team can be used afterwards."""
    code = f"""
import signal, sys, threading, time
import numpy as np, nncore
from nncore.models import Sequential
from nncore.layers import Dense
nncore.set_num_threads(2)
model = Sequential([Dense(512, activation="relu", input_dim={WIDE}), Dense(512, activation="relu"), Dense(3)])
model.compile("adam", "mse")
x = np.random.default_rng(0).normal(size=(4096, {WIDE})).astype("f")
y = np.zeros((4096, 3), "f")
model.fit(x, y, batch_size=512, verbose=0)
sent = []
def send():
    sent.append(time.perf_counter())
    signal.raise_signal(signal.SIGINT)
for _ in range(5):
    timer = threading.Timer(0.2, send)
    timer.start()
    try:
        model.fit(x, y, batch_size=512, epochs=10**6, verbose=0)
    except KeyboardInterrupt:
        late = time.perf_counter() - sent[-1]
        assert late < 0.1, late
    timer.join()
model.fit(x, y, batch_size=512, verbose=0)
assert np.isfinite(model.predict(x, verbose=0)).all()
print("stopped")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "stopped\n", done.stderr


def test_a_thread_of_the_program_may_have_a_limit_of_its_own() -> None:
    before, seen = nncore.get_num_threads(), []
    with backends.own_num_threads(before + 2):
        with backends.own_num_threads(1):
            seen.append(nncore.get_num_threads())
        seen.append(nncore.get_num_threads())
        other = threading.Thread(target=lambda: seen.append(nncore.get_num_threads()))
        other.start()
        other.join()
    assert [*seen, nncore.get_num_threads()] == [1, before + 2, before, before]


def test_set_num_threads() -> None:
    nncore.set_num_threads(3)
    assert nncore.get_num_threads() == 3
    for wrong in (0, -1, 1.5, True, "2", None):
        with pytest.raises(ValueError, match="set_num_threads: threads must be a positive integer"):
            nncore.set_num_threads(wrong)  # type: ignore[arg-type]
    assert nncore.get_num_threads() == 3


def _default(monkeypatch: pytest.MonkeyPatch, cores: int, quota: str | None, **environment: str) -> int:
    for name in ("NNCORE_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(threads, "_cores", lambda: cores)
    folder = Path(os.environ["PYTEST_TMP"])
    (folder / "cpu.max").unlink(missing_ok=True)
    if quota is not None:
        (folder / "cpu.max").write_text(quota)
    monkeypatch.setattr(threads, "CGROUPS", str(folder))
    return threads.default_threads()


@pytest.mark.parametrize(
    "expected, cores, quota, environment",
    [
        (8, 8, None, {}),
        (8, 8, "max 100000", {}),
        (2, 8, "250000 100000", {}),
        (1, 8, "50000 100000", {}),
        (4, 8, None, {"OMP_NUM_THREADS": "4"}),
        (4, 8, None, {"OMP_NUM_THREADS": "4,2"}),
        (3, 8, None, {"OMP_NUM_THREADS": "4", "NNCORE_NUM_THREADS": "3"}),
        (8, 8, None, {"NNCORE_NUM_THREADS": "100"}),
        (8, 8, None, {"NNCORE_NUM_THREADS": ""}),
    ],
)
def test_default_threads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, expected: int, cores: int, quota: str | None,
    environment: dict[str, str],
) -> None:  # fmt: skip
    monkeypatch.setenv("PYTEST_TMP", str(tmp_path))
    assert _default(monkeypatch, cores, quota, **environment) == expected


def test_older_cgroups(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("300000\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    monkeypatch.setattr(threads, "CGROUPS", str(tmp_path))
    assert threads._quota() == 3
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("-1\n")
    assert threads._quota() is None


def test_hyper_threads_count_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for cpu, siblings in enumerate(["0-1", "0-1", "2-3", "2-3"]):
        folder = tmp_path / f"cpu{cpu}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(siblings + "\n")
    monkeypatch.setattr(threads, "CPUS", str(tmp_path))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 7}, raising=False)
    assert threads._cores() == 3  # {0, 1}, {2}, and 7, of which nothing is known


@pytest.mark.parametrize("value", ["0", "-2", "many"])
def test_bad_environment(value: str) -> None:
    environment = {**os.environ, "NNCORE_NUM_THREADS": value}
    done = subprocess.run(
        [sys.executable, "-c", "import nncore; nncore.get_num_threads()"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert f"NNCORE_NUM_THREADS must be a positive integer. Received: '{value}'" in done.stderr


def test_threadpoolctl_limits_apply() -> None:
    code = """
import threadpoolctl, nncore
nncore.set_num_threads(5)
with threadpoolctl.threadpool_limits(2):
    assert nncore.get_num_threads() == 2
assert nncore.get_num_threads() == 5
print([found["num_threads"] for found in threadpoolctl.threadpool_info() if found["user_api"] == "nncore"])
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert done.stdout == "[5]\n", done.stderr


def test_under_joblib() -> None:
    """joblib's default workers each train with the threads that joblib leaves them."""
    import joblib

    train(2)
    results = joblib.Parallel(n_jobs=2)(joblib.delayed(_run_train)(i) for i in range(4))
    assert len(set(results)) == 1
