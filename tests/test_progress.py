"""The bar: Keras's lines byte for byte, drawn in place without smearing, once where there is no terminal."""

from __future__ import annotations

import fcntl
import io
import itertools
import math
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nncore.progress import (
    Progbar,
    Snapshot,
    bar_line,
    epoch_line,
    format_per_unit,
    format_remaining,
    format_value,
    plain,
    visible_width,
)

BOLD, GREEN, GREY, END = "\x1b[1m", "\x1b[32m", "\x1b[37m", "\x1b[0m"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Screen:
    """What a terminal of so many columns shows: characters, \\b, \\r, \\n, wrapping; colours are dropped."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.rows: list[list[str]] = [[]]
        self.column = 0

    def feed(self, text: str) -> Screen:
        for c in re.sub(r"\x1b\[\d+m", "", text):
            if c == "\b":
                self.column = max(0, min(self.column, self.columns - 1) - 1)
            elif c == "\r":
                self.column = 0
            elif c == "\n":
                self.rows.append([])
                self.column = 0
            else:
                if self.column == self.columns:
                    self.rows.append([])
                    self.column = 0
                row = self.rows[-1]
                row.extend(" " * (self.column + 1 - len(row)))
                row[self.column] = c
                self.column += 1
        return self

    @property
    def lines(self) -> list[str]:
        return ["".join(row).rstrip() for row in self.rows]


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def to_terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Terminal]:
    """Makes ``sys.stdout`` a terminal of 200 columns; to be called in the test, since pytest sets stdout before it."""

    def switch() -> Terminal:
        monkeypatch.setenv("COLUMNS", "200")
        monkeypatch.setattr(sys, "stdout", out := Terminal())
        return out

    return switch


# The pieces.


@pytest.mark.parametrize(
    "seconds, expected",
    [
        (0, "0s"),
        (0.99, "0s"),
        (59.9, "59s"),
        (60, "60s"),
        (60.5, "1:00"),
        (65, "1:05"),
        (3600, "60:00"),
        (3601, "1:00:01"),
        (3605 + 600, "1:10:05"),
        (360000, "100:00:00"),
    ],
)
def test_format_remaining(seconds: float, expected: str) -> None:
    assert format_remaining(seconds) == expected


@pytest.mark.parametrize(
    "seconds, expected",
    [
        (0, "0s/step"),
        (1, "1s/step"),
        (12.6, "13s/step"),
        (0.9996, "1000ms/step"),
        (0.021, "21ms/step"),
        (0.001, "1ms/step"),
        (0.00099, "990us/step"),
        (8.5e-6, "8us/step"),
        (1e-7, "0us/step"),
    ],
)
def test_format_per_unit(seconds: float, expected: str) -> None:
    assert format_per_unit(seconds) == expected


def test_format_per_unit_names_the_unit() -> None:
    assert format_per_unit(0.5, "sample") == "500ms/sample"


@pytest.mark.parametrize(
    "value, expected",
    [
        (0.1875, "0.1875"),
        (2.33256, "2.3326"),
        (-2.5, "-2.5000"),
        (0.001, "1.0000e-03"),
        (0.0010001, "0.0010"),
        (-0.0005, "-5.0000e-04"),
        (0, "0.0000e+00"),
        (math.nan, "nan"),
        (math.inf, "inf"),
        (123456.789, "123456.7890"),
    ],
)
def test_format_value(value: float, expected: str) -> None:
    assert format_value(value) == expected


# The lines.


def snapshot(current: int = 1, target: int | None = 4, **changes: Any) -> Snapshot:
    values = (("accuracy", 0.1875), ("loss", 2.33256))
    return Snapshot(current, target, **{"elapsed": 0.021, "per_unit": 0.021, "values": values, **changes})


def test_bar_line_is_keras() -> None:
    assert bar_line(snapshot()) == (
        "\x1b[1m1/4\x1b[0m \x1b[32m━━━━━\x1b[0m\x1b[37m━━━━━━━━━━━━━━━\x1b[0m \x1b[1m0s\x1b[0m 21ms/step"
        " - accuracy: 0.1875 - loss: 2.3326"
    )


@pytest.mark.parametrize(
    "current, target, count, done",
    [(0, 4, "0/4", 0), (1, 1000, "   1/1000", 0), (50, 1000, "  50/1000", 1), (999, 1000, " 999/1000", 19),
     (1000, 1000, "1000/1000", 20), (7, 4, "7/4", 20)],
)  # fmt: skip
def test_bar_grows_with_the_count(current: int, target: int, count: str, done: int) -> None:
    green = f"{GREEN}{'━' * done}{END}" if done else ""
    expected = f"{BOLD}{count}{END} {green}{GREY}{'━' * (20 - done)}{END} {BOLD}9s{END} 1s/step"
    assert bar_line(snapshot(current, target, values=(), elapsed=9, per_unit=1, final=True)) == expected


def test_running_line_shows_the_time_left_and_the_last_one_the_time_taken() -> None:
    running = snapshot(1, 101, elapsed=2, per_unit=2, values=())
    assert plain(bar_line(running)) == f"  1/101 {'━' * 20} 3:20 2s/step"
    final = snapshot(101, 101, elapsed=202.4, per_unit=2, values=(), final=True)
    assert plain(bar_line(final)) == f"101/101 {'━' * 20} 202s 2s/step"


@pytest.mark.parametrize("target", [None, 0])
def test_line_of_unknown_length(target: int | None) -> None:
    line = bar_line(snapshot(12, target, values=(("loss", 1.0),)))
    assert line == f"     12/Unknown {BOLD}0s{END} 21ms/step - loss: 1.0000"


def test_epoch_line_is_keras_with_negative_values_mended() -> None:
    values = (("accuracy", 0.1067), ("loss", 2.3182), ("val_loss", -2.5))
    assert epoch_line(snapshot(7, 125, elapsed=3.6, per_unit=0.029, values=values)) == (
        "  7/125 - 4s - 29ms/step - accuracy: 0.1067 - loss: 2.3182 - val_loss: -2.5000"
    )


@pytest.mark.parametrize(
    "columns, expected",
    [
        (200, f"1/4 {'━' * 20} 0s 21ms/step - accuracy: 0.1875 - loss: 2.3326"),
        (71, f"1/4 {'━' * 20} 0s 21ms/step - accuracy: 0.1875 - loss: 2.3326"),
        (70, f"1/4 {'━' * 20} 0s 21ms/step - accuracy: 0.1875"),
        (56, f"1/4 {'━' * 20} 0s 21ms/step - accuracy: 0.1875"),
        (55, f"1/4 {'━' * 20} 0s 21ms/step"),
        (37, f"1/4 {'━' * 20} 0s 21ms/step"),
        (36, f"1/4 {'━' * 19} 0s 21ms/step"),
        (20, f"1/4 {'━' * 3} 0s 21ms/step"),
        (17, "1/4  0s 21ms/step"),
        (16, "1/4  0s 21ms/ste"),
        (2, "1/"),
        (0, ""),
    ],
)
def test_line_fits_the_columns_it_has(columns: int, expected: str) -> None:
    line = bar_line(snapshot(), columns=columns)
    assert plain(line) == expected
    assert visible_width(line) <= columns


def test_wide_characters_count_twice() -> None:
    assert plain(bar_line(snapshot(values=(("精度", 0.5),)), columns=51)) == f"1/4 {'━' * 20} 0s 21ms/step"
    assert plain(bar_line(snapshot(values=(("精度", 0.5),)), columns=52)).endswith(" - 精度: 0.5000")


# The bar on a terminal.


def test_redrawing_on_a_terminal_is_keras(to_terminal: Callable[[], Terminal], clock: Clock) -> None:
    terminal = to_terminal()
    bar = Progbar(4, stateless_metrics=(), clock=clock)
    clock.now += 0.021
    bar.update(1, [("accuracy", 0.1875), ("loss", 2.3326)], finalize=False)
    first = (
        "\r\x1b[1m1/4\x1b[0m \x1b[32m━━━━━\x1b[0m\x1b[37m━━━━━━━━━━━━━━━\x1b[0m \x1b[1m0s\x1b[0m 21ms/step"
        " - accuracy: 0.1875 - loss: 2.3326"
    )
    assert terminal.getvalue() == first
    clock.now += 0.2
    bar.update(2, [("accuracy", 0.5), ("loss", 1.0)], finalize=False)
    second = (
        "\b" * 71 + "\r\x1b[1m2/4\x1b[0m \x1b[32m━━━━━━━━━━\x1b[0m\x1b[37m━━━━━━━━━━\x1b[0m \x1b[1m0s\x1b[0m 200ms/step"
        " - accuracy: 0.5000 - loss: 1.0000"
    )
    assert terminal.getvalue() == first + second
    clock.now += 0.004
    bar.update(4, [("accuracy", 0.5), ("loss", 1e-4)], finalize=True)
    third = (
        "\b" * 72 + "\r\x1b[1m4/4\x1b[0m \x1b[32m━━━━━━━━━━━━━━━━━━━━\x1b[0m\x1b[37m\x1b[0m \x1b[1m0s\x1b[0m 68ms/step"
        " - accuracy: 0.5000 - loss: 1.0000e-04\n"
    )
    assert terminal.getvalue() == first + second + third


def test_a_shorter_line_is_padded(to_terminal: Callable[[], Terminal], clock: Clock) -> None:
    terminal = to_terminal()
    bar = Progbar(100, stateless_metrics=(), clock=clock)
    clock.now += 0.5
    bar.update(1, [("loss", 123456.0)], finalize=False)
    before = len(terminal.getvalue())
    clock.now += 0.5
    bar.update(2, [("loss", 1.0)], finalize=False)
    line = terminal.getvalue()[before:]
    assert line.endswith(" - loss: 1.0000     ")
    assert Screen(200).feed(terminal.getvalue()).lines == [f"  2/100 {'━' * 20} 49s 500ms/step - loss: 1.0000"]


def test_draws_ten_times_a_second_and_always_at_the_end(to_terminal: Callable[[], Terminal], clock: Clock) -> None:
    terminal = to_terminal()
    bar = Progbar(1000, stateless_metrics=(), clock=clock)
    drawn = []
    for step in range(1, 1001):
        clock.now += 0.001
        before = terminal.tell()
        bar.update(step, finalize=step == 1000)
        if terminal.tell() > before:
            drawn.append(step)
    assert drawn[0] == 1
    assert drawn[-1] == 1000
    assert len(drawn) <= 11
    assert all(b - a >= 100 for a, b in itertools.pairwise(drawn[:-1]))


def test_the_interval_can_be_chosen(to_terminal: Callable[[], Terminal], clock: Clock) -> None:
    terminal = to_terminal()
    bar = Progbar(10, interval=0, clock=clock)
    for step in range(1, 11):
        bar.update(step)
    assert terminal.getvalue().count("\r") == 10


def test_time_per_step_leaves_the_first_step_out(to_terminal: Callable[[], Terminal], clock: Clock) -> None:
    terminal = to_terminal()
    bar = Progbar(10, interval=0, clock=clock)
    clock.now += 5
    bar.update(1)
    clock.now += 0.25
    bar.update(2)
    shown = [plain(part).split()[-1] for part in terminal.getvalue().split("\r")[1:]]
    assert [s.strip("\b") for s in shown] == ["5s/step", "250ms/step"]


def test_time_of_a_single_step(to_terminal: Callable[[], Terminal], clock: Clock) -> None:
    terminal = to_terminal()
    bar = Progbar(1, clock=clock)
    clock.now += 2
    bar.update(1, finalize=False)
    bar.update(1, finalize=True)
    assert plain(terminal.getvalue()).endswith(" 2s 2s/step\n")


def test_values_are_averaged_over_steps_unless_stateful(to_terminal: Callable[[], Terminal], clock: Clock) -> None:
    terminal = to_terminal()
    bar = Progbar(100, interval=0, stateful_metrics=["b"], clock=clock)
    bar.update(1, [("a", 1.0), ("b", 1.0)])
    bar.update(4, [("a", np.float32(3.0)), ("b", np.array([3.0, 5.0]))])
    assert terminal.getvalue().endswith(" - a: 2.5000 - b: 4.0000")
    bar.add(1, [("a", 5.0)])
    assert terminal.getvalue().endswith(" - a: 3.0000 - b: 4.0000")
    bar.update(100, [("a", 7.0)])
    assert terminal.getvalue().endswith(" - a: 7.0000 - b: 4.0000\n")


def test_only_stateless_metrics_are_averaged(to_terminal: Callable[[], Terminal], clock: Clock) -> None:
    terminal = to_terminal()
    bar = Progbar(100, interval=0, stateless_metrics=["b"], clock=clock)
    bar.update(1, [("a", 1.0), ("b", 1.0)])
    bar.update(2, [("a", 3.0), ("b", 3.0)])
    assert terminal.getvalue().endswith(" - a: 3.0000 - b: 2.0000")


def test_both_kinds_of_metrics_are_refused() -> None:
    with pytest.raises(ValueError, match="stateful_metrics or stateless_metrics, not both"):
        Progbar(1, stateful_metrics=["a"], stateless_metrics=["b"])


def test_add_finishes_at_the_target(to_terminal: Callable[[], Terminal], clock: Clock) -> None:
    terminal = to_terminal()
    bar = Progbar(3, clock=clock)
    for _ in range(3):
        clock.now += 1
        bar.add(1)
    assert terminal.getvalue().endswith("\n")
    assert Screen(80).feed(terminal.getvalue()).lines == [f"3/3 {'━' * 20} 3s 1s/step", ""]


def test_a_left_line_ends(to_terminal: Callable[[], Terminal], clock: Clock) -> None:
    terminal = to_terminal()
    bar = Progbar(3, clock=clock)
    bar.leave()
    assert terminal.getvalue() == ""
    bar.update(1)
    bar.leave()
    bar.leave()
    assert terminal.getvalue().count("\n") == 1
    bar.update(3)
    bar.leave()
    assert terminal.getvalue().count("\n") == 2


@pytest.mark.parametrize("columns", [80, 60, 40, 30, 20, 10, 2])
@pytest.mark.parametrize("target", [7, 12345, None])
def test_lines_never_smear(columns: int, target: int | None, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(sys, "stdout", out := Terminal())
    rng = np.random.default_rng(columns)
    screen, seen = Screen(columns), 0
    for _ in range(3):  # epochs
        bar = Progbar(target, interval=0, stateless_metrics=(), clock=clock)
        start = len(screen.rows)
        for step in (1, 2, 5, 6):
            clock.now += rng.choice([1e-5, 0.3, 90, 5000])
            values = [
                (name, float(rng.choice([0.1, 1e-9, 123456.7]))) for name in ("accuracy", "loss", "top_k_accuracy")
            ]
            bar.update(step, values, finalize=False)
            screen.feed(out.getvalue()[seen:])
            seen = len(out.getvalue())
            assert len(screen.rows) == start  # one row, however often it is drawn
        bar.update(7, [*values, ("val_accuracy", 0.5)], finalize=True)
        screen.feed(out.getvalue()[seen:])
        seen = len(out.getvalue())
        last = out.getvalue()[out.getvalue().rindex("\r") + 1 :]
        whole = plain(last).rstrip()
        assert "val_accuracy: 0.5000" in whole
        shown = "".join("".join(row) for row in screen.rows[start - 1 :]).rstrip()
        assert shown == whole  # the last line is there once and in full
        assert screen.lines[-1] == ""


# Elsewhere.


def test_one_plain_line_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    bar = Progbar(4, stateless_metrics=(), clock=clock)
    for step in (1, 2, 4):
        clock.now += 0.5
        bar.update(step, [("accuracy", 0.1875), ("loss", 2.3326)], finalize=step == 4)
    assert capsys.readouterr().out == f"4/4 {'━' * 20} 2s 333ms/step - accuracy: 0.1875 - loss: 2.3326\n"


def test_a_notebook_redraws_whole_lines(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    cell = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})
    monkeypatch.setattr(sys, "stdout", out := cell())
    Progbar(4, clock=clock).update(1, [("loss", 1.0)])
    assert plain(out.getvalue()) == f"\r1/4 {'━' * 20} 0s 0s/step - loss: 1.0000"


@pytest.mark.parametrize("verbose, expected", [(0, ""), (2, "4/4 - 3s - 667ms/step - loss: 1.0000\n"), (3, "")])
def test_other_manners(verbose: int, expected: str, to_terminal: Callable[[], Terminal], clock: Clock) -> None:
    terminal = to_terminal()
    bar = Progbar(4, verbose=verbose, clock=clock)
    clock.now += 1
    bar.update(1, [("loss", 3.0)])
    clock.now += 2
    bar.update(4, [("loss", 1.0)])
    assert terminal.getvalue() == expected


def test_output_is_redirected_while_it_runs(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    bar = Progbar(2, clock=clock)
    monkeypatch.setattr(sys, "stdout", first := Terminal())
    bar.update(1)
    monkeypatch.setattr(sys, "stdout", second := io.StringIO())
    bar.update(2)
    assert "\r" in first.getvalue()
    assert second.getvalue() == f"2/2 {'━' * 20} 0s 0s/step\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_narrow_encodings_get_equals_signs(encoding: str, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", out)
    Progbar(2, clock=clock).update(2)
    assert out.buffer.getvalue() == b"2/2 ==================== 0s 0s/step\n"  # type: ignore[attr-defined]


@pytest.mark.parametrize("closed", [False, True])
def test_no_stdout_is_no_error(closed: bool, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    stream = io.StringIO() if closed else None
    if stream is not None:
        stream.close()
    monkeypatch.setattr(sys, "stdout", stream)
    for verbose in (1, 2):
        bar = Progbar(2, verbose=verbose, clock=clock)
        bar.update(1)
        bar.update(2)
        bar.leave()


PROGRAM = """
import time
from nncore.progress import Progbar
for epoch in range(2):
    now = 0.0
    bar = Progbar(60, stateless_metrics=(), interval=0, clock=lambda: now)
    for step in range(1, 61):
        now += 0.01
        bar.update(step, [("accuracy", 0.5), ("loss", 1 / step), ("precision", 0.25)], finalize=False)
    bar.update(60, [("accuracy", 0.5), ("loss", 0.5), ("precision", 0.25), ("val_loss", 0.75)], finalize=True)
"""


@pytest.mark.parametrize("columns", [80, 40])
def test_a_real_terminal(columns: int) -> None:
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    env = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")} | {"PYTHONIOENCODING": "utf-8"}
    child = subprocess.Popen([sys.executable, "-c", PROGRAM], stdin=follower, stdout=follower, env=env)
    os.close(follower)
    output = b""
    while True:
        try:
            chunk = os.read(leader, 65536)
        except OSError:  # the child has gone
            break
        if not chunk:
            break
        output += chunk
    os.close(leader)
    assert child.wait() == 0
    text = output.decode()
    assert text.count("\r\x1b[1m") > 20  # it is drawn again and again
    line = f"60/60 {'━' * 20} 1s 10ms/step - accuracy: 0.5000 - loss: 0.5000 - precision: 0.2500 - val_loss: 0.7500"
    rows = [line[i : i + columns].rstrip() for i in range(0, len(line), columns)]
    assert Screen(columns).feed(text).lines == [*rows, *rows, ""]
