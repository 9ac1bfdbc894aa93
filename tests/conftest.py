"""What every test starts from: fresh automatic names, no seed, and the backend that was in force."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from nncore import backends, random
from nncore.names import reset_names

# A shell's background jobs ignore it: tests of Ctrl-C would hang.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """Names count from the start, and neither seed nor backend outlives a test."""
    reset_names()
    backend, state = backends.in_force, random._state
    yield
    backends.in_force, random._state = backend, state
    reset_names()


@pytest.fixture(params=backends.NAMES)
def backend(request: pytest.FixtureRequest) -> str:
    """Runs the test once on each backend."""
    backends.set_backend(request.param)
    return request.param


@pytest.fixture
def seed() -> int:
    """Makes initial weights, row orders and dropout a function of this number."""
    random.set_seed(1234)
    return 1234


@pytest.fixture
def folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the command, which writes files to the current folder and looks at the width of the terminal."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
