"""The progress bar: Keras's lines, drawn in place on a terminal, once per epoch elsewhere.

What a line says (``Snapshot`` and the functions below it) is apart from when and where it is drawn (``Progbar``).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from nncore import console

INTERVAL = 0.1
"""Seconds between two drawings: ten a second are more than an eye follows."""

_BOLD, _GREEN, _GREY, _END = "\x1b[1m", "\x1b[32m", "\x1b[37m", "\x1b[0m"
_ESCAPES = r"\x1b\[\d+m"


class Snapshot(NamedTuple):
    """What a line of progress tells."""

    current: int
    """Units done."""
    target: int | None
    """Units in all, ``None`` where not known."""
    elapsed: float
    """Seconds since the start."""
    per_unit: float
    """Seconds a unit takes."""
    values: tuple[tuple[str, float], ...] = ()
    """Names and values to show, in order."""
    final: bool = False
    """Whether this is the last line: it shows the time taken instead of the time left."""
    unit: str = "step"


def format_remaining(seconds: float) -> str:
    """Time left: ``7s``, ``1:05`` from over a minute on, ``1:00:05`` from over an hour on."""
    whole = int(seconds)
    if seconds > 3600:
        return f"{whole // 3600}:{whole % 3600 // 60:02}:{whole % 60:02}"
    if seconds > 60:
        return f"{whole // 60}:{whole % 60:02}"
    return f"{whole}s"


def format_per_unit(seconds: float, unit: str = "step") -> str:
    """Time a unit takes, in s, ms or us: ``21ms/step``."""
    if seconds >= 1 or seconds == 0:
        return f"{seconds:.0f}s/{unit}"
    if seconds >= 1e-3:
        return f"{seconds * 1e3:.0f}ms/{unit}"
    return f"{seconds * 1e6:.0f}us/{unit}"


def format_value(value: float) -> str:
    """Four decimals, or an exponent for magnitudes of a thousandth and less."""
    return f"{value:.4f}" if abs(value) > 1e-3 else f"{value:.4e}"


def bar_line(snapshot: Snapshot, width: int = 20, columns: int | None = None) -> str:
    """The line of ``verbose=1``, with the escapes for bold and colours.

    Args:
        width: Blocks of the bar.
        columns: Columns that the line may take. Values that do not fit are left out, then the bar is shortened, last
            the times are left out. ``None`` leaves the line whole.
    """
    s = snapshot
    counted = s.target is not None and s.target > 0
    if counted and not s.final:
        seconds = format_remaining(s.per_unit * max(0, s.target - s.current))  # type: ignore[operator]
    else:
        seconds = f"{s.elapsed:.0f}s"
    times = f" {_BOLD}{seconds}{_END} {format_per_unit(s.per_unit, s.unit)}"
    if not counted:
        line = f"{s.current:7d}/Unknown{times}"
    else:
        count = f"{_BOLD}{_count(s)}{_END} "
        if columns is not None:
            width = max(0, min(width, columns - visible_width(count + times)))
        line = count + _bar(s, width) + times
    if columns is not None and visible_width(line) > columns:
        return plain(line)[:columns]
    for name, value in s.values:
        longer = f"{line} - {name}: {format_value(value)}"
        if columns is not None and visible_width(longer) > columns:
            break
        line = longer
    return line


def epoch_line(snapshot: Snapshot) -> str:
    """The line of ``verbose=2``."""
    s = snapshot
    values = "".join(f" - {name}: {format_value(value)}" for name, value in s.values)
    return f"{_count(s)} - {s.elapsed:.0f}s - {format_per_unit(s.per_unit, s.unit)}{values}"


def plain(line: str) -> str:
    """``line`` without escapes."""
    return re.sub(_ESCAPES, "", line)


def visible_width(line: str) -> int:
    """Columns that a line takes on the screen."""
    return console.width(plain(line))


def _count(s: Snapshot) -> str:
    return f"{s.current:>{len(str(s.target))}}/{s.target}"


def _bar(s: Snapshot, width: int) -> str:
    done = max(0, min(width, int(width * (s.current / s.target)))) if s.target else 0
    return (f"{_GREEN}{'━' * done}{_END}" if done else "") + f"{_GREY}{'━' * (width - done)}{_END}"


class Progbar:
    """Shows how far a loop has come, on ``sys.stdout``.

    On a terminal and in a notebook the line is redrawn in place; elsewhere it appears once, at the end, without
    escapes.

    Args:
        target: Steps in all, ``None`` where not known.
        width: Blocks of the bar.
        verbose: 0 shows nothing, 1 a bar, 2 one line at the end; others nothing.
        interval: Least seconds between two drawings. The last one is always drawn.
        stateful_metrics: Names of values to show as they are given; the others are averaged over the steps.
        stateless_metrics: Instead, the names of values to average; the others are shown as they are given.
        unit_name: What is counted.
        clock: Function that returns the time in seconds.

    Raises:
        ValueError: where both ``stateful_metrics`` and ``stateless_metrics`` are given.
    """

    def __init__(
        self,
        target: int | None,
        width: int = 20,
        verbose: int = 1,
        interval: float = INTERVAL,
        stateful_metrics: Iterable[str] | None = None,
        stateless_metrics: Iterable[str] | None = None,
        unit_name: str = "step",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if stateful_metrics is not None and stateless_metrics is not None:
            raise ValueError("Progbar: give stateful_metrics or stateless_metrics, not both.")
        self.target = target
        self.width = width
        self.verbose = verbose
        self.interval = interval
        self.unit_name = unit_name
        self._stateful = frozenset(stateful_metrics or ())
        self._stateless = None if stateless_metrics is None else frozenset(stateless_metrics)
        self._clock = clock
        self._start = clock()
        self._first_step_end: float | None = None
        self._drawn_at: float | None = None
        self._drawn_width = 0
        self._seen = 0
        self._totals: dict[str, tuple[float, float]] = {}  # name: (sum, weight)

    def update(
        self, current: int, values: Iterable[tuple[str, Any]] | None = None, finalize: bool | None = None
    ) -> None:
        """Take note of progress, and draw where it is due.

        Args:
            current: Steps done so far.
            values: Pairs (name, value of the steps since the last call).
            finalize: Whether this is the last call; ``None`` means when ``current`` reaches the target.
        """
        if finalize is None:
            finalize = self.target is not None and current >= self.target
        for name, value in values or ():
            self._record(
                name,
                value if isinstance(value, float) else float(np.mean(value)),
                max(current - self._seen, 1),
                finalize,
            )
        self._seen = current
        now = self._clock()
        per_unit = self._seconds_per_unit(current, now)
        shown = tuple((name, total / weight) for name, (total, weight) in self._totals.items())
        snapshot = Snapshot(current, self.target, now - self._start, per_unit, shown, finalize, self.unit_name)
        if self.verbose == 1:
            self._draw(snapshot, now)
        elif self.verbose == 2 and finalize and self.target:
            console.write(epoch_line(snapshot) + "\n")

    def add(self, n: int, values: Iterable[tuple[str, Any]] | None = None) -> None:
        """Take note of ``n`` more steps."""
        self.update(self._seen + n, values)

    def leave(self) -> None:
        """Leave a line that will not be finished as it is: what is printed next starts on a line of its own."""
        if self._drawn_width:
            console.write("\n")
            self._drawn_width = 0

    def _record(self, name: str, value: float, steps: int, finalize: bool) -> None:
        averaged = name in self._stateless if self._stateless is not None else name not in self._stateful
        total, weight = self._totals.get(name, (0.0, 0.0))
        if averaged and not finalize:
            self._totals[name] = (total + value * steps, weight + steps)
        else:
            self._totals[name] = (value, 1.0)

    def _seconds_per_unit(self, current: int, now: float) -> float:
        """The mean time of a step; without the first one, which is seldom like the others, once it was seen alone."""
        if current <= 0:
            return 0.0
        if self._first_step_end is not None and current > 1:
            return (now - self._first_step_end) / (current - 1)
        if current == 1:
            self._first_step_end = now
        return (now - self._start) / current

    def _draw(self, snapshot: Snapshot, now: float) -> None:
        terminal = console.is_terminal()
        if not terminal and not console.is_notebook():
            if snapshot.final:
                console.write(plain(bar_line(snapshot, self.width)) + "\n")
            return
        if not snapshot.final and self._drawn_at is not None and now - self._drawn_at < self.interval:
            return
        # A line wider than the terminal cannot be drawn over. The last one is not, so it may wrap.
        room = console.columns() - 1 if terminal and not snapshot.final else None
        line = bar_line(snapshot, self.width, room)
        width = visible_width(line)
        padding = " " * (self._drawn_width - width)
        console.write("\b" * self._drawn_width + "\r" + line + padding + ("\n" if snapshot.final else ""))
        self._drawn_at = now
        self._drawn_width = 0 if snapshot.final else width
