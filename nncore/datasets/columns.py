"""CSV files read by columns of numbers and of texts. What cannot be read is named by line and column."""

from __future__ import annotations

import csv
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal, TextIO

import numpy as np

Array = np.ndarray[Any, Any]
Kind = Literal["numbers", "texts"]

DELIMITERS = ",;\t|"
MISSING = frozenset(("", "?", "na", "n/a", "nan", "none", "null"))
"""What a cell without a value may say, in any case."""
STDIN = "-"
"""The name of the file that is what the process is given to read."""
LARGEST = float(np.finfo(np.float32).max)
"""The largest number that models can compute with."""
ROWS = 512
"""How many are looked at together: a large file isn't held as text, and what is fits into the cache."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a file."""

    line: int
    text: str


@dataclass(frozen=True)
class Numbers:
    """A column of finite numbers."""

    values: Array
    """(rows,), float64; NaN where there is none."""
    missing: Cell | None = None
    """The first without a value."""


@dataclass(frozen=True)
class Texts:
    """A column of texts."""

    codes: Array
    """(rows,), int32: which of ``values`` it is; -1 where there is none."""
    values: tuple[str, ...]
    """The different ones, sorted."""
    firsts: tuple[Cell, ...]
    """Where each stands first."""
    missing: Cell | None = None
    """The first without a value."""
    no_number: Cell | None = None
    """The first that is no number, where the cells have decided that these are texts."""


Column = Numbers | Texts
Choice = Callable[[list[str]], Mapping[str, Kind | None]]
"""From the names in a file's first line, those to read, each with its kind; ``None``: texts if a cell is no number."""


def read_columns(path: str | Path, choose: Choice) -> dict[str, Column]:
    """The columns of the CSV file ``path`` that ``choose`` wants, all of one length.

    The first line names the columns. They are separated by commas, semicolons, tabs or bars, whichever it has most of
    outside quotes. Spaces around cells don't count, nor do empty lines. A large file is read piece by piece:
    columns take 8 bytes a number and 4 a text.

    Args:
        path: The file, UTF-8; ``"-"`` is the standard input, with which all kinds must be chosen.
        choose: See ``Choice``.

    Raises:
        ValueError: for a line with too few or too many cells, a cell that is no finite number in a column of numbers, a
            file without lines of data, and text in another encoding.
        OSError: where the file cannot be read.
    """
    readers = _read(path, choose)
    late = [reader.name for reader in readers if reader.is_late]
    if late:  # a column turned out to hold texts when cells of it had been taken for numbers
        again = {reader.name: reader for reader in _read(path, lambda names: dict.fromkeys(late, "texts"))}
        readers = [reader.instead(again[reader.name]) if reader.is_late else reader for reader in readers]
    return {reader.name: reader.column() for reader in readers}


def _read(path: str | Path, choose: Choice) -> list[_Reader]:
    with _opened(path) as file:
        try:
            first = file.readline()
            lines = chain([first] if first else [], file)
            rows = csv.reader(lines, delimiter=_delimiter(first), skipinitialspace=True, strict=True)
            names = [name.strip() for name in next(rows, [])]
            _check_names(path, names)
            readers = [_Reader(path, name, kind) for name, kind in _chosen(path, names, choose).items()]
            place_of = {name: i for i, name in enumerate(names)}
            places = [place_of[reader.name] for reader in readers]
            for lines_of_rows, columns in _pieces(path, rows, len(names)):
                for reader, place in zip(readers, places, strict=True):
                    reader.add(lines_of_rows, columns[place])
        except csv.Error as error:
            raise ValueError(f"{path}, line {rows.line_num}: not a line of a CSV file: {error}.") from error
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} must be text in UTF-8. Received: {error}. Save it as UTF-8.") from error
    if not any(reader.parts or reader.is_late for reader in readers):
        raise ValueError(f"{path} must have lines of data after its first line.")
    return readers


@contextmanager
def _opened(path: str | Path) -> Iterator[TextIO]:
    if path == STDIN:
        with open(sys.stdin.fileno(), encoding="utf-8-sig", newline="", closefd=False) as file:
            yield file
        return
    with open(path, encoding="utf-8-sig", newline="") as file:
        yield file


def _delimiter(line: str) -> str:
    """The character between cells: the one that a line has most of outside quotes."""
    bare = re.sub(r'"[^"]*"', "", line)
    return max(DELIMITERS, key=bare.count)


def _check_names(path: str | Path, names: list[str]) -> None:
    if not names:
        raise ValueError(f"{path} is empty: its first line must name the columns.")
    if all(is_number(name) for name in names if name):
        raise ValueError(f"{path}: the first line must name the columns. Received: {', '.join(names[:5])}.")
    repeated = [name for name, count in Counter(names).items() if name and count > 1]
    if repeated:
        raise ValueError(f"{path}: every column must have a name of its own. Received: {repeated[0]!r} twice.")


def _chosen(path: str | Path, names: list[str], choose: Choice) -> Mapping[str, Kind | None]:
    try:
        return choose(names)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _pieces(path: str | Path, rows: Any, width: int) -> Iterator[tuple[list[int], list[tuple[str, ...]]]]:
    """Some rows at a time: the line of each, and their cells by column."""
    lines: list[int] = []
    cells: list[list[str]] = []
    for row in rows:
        if len(row) != width:
            if not row:
                continue
            raise ValueError(
                f"{path}, line {rows.line_num}: there must be {width} cells, one for each column. Received: {len(row)}."
            )
        lines.append(rows.line_num)
        cells.append(row)
        if len(cells) == ROWS:
            yield lines, list(zip(*cells, strict=True))
            lines, cells = [], []
    if cells:
        yield lines, list(zip(*cells, strict=True))


class _Reader:
    """Takes the cells of a column, piece by piece."""

    def __init__(self, path: str | Path, name: str, kind: Kind | None) -> None:
        self.path, self.name, self.kind = path, name, kind
        self.parts: list[Array] = []
        self.is_late = False
        """Whether it holds texts, and some have been taken for numbers."""
        self.missing: Cell | None = None
        self.no_number: Cell | None = None
        self._values: dict[str, int] = {}
        self._firsts: list[Cell] = []
        self._codes: dict[str, int] = {}  # of cells as they are written, those without a value included

    def add(self, lines: Sequence[int], cells: Sequence[str]) -> None:
        if self.is_late:
            return
        if self.kind != "texts":
            numbers = self._numbers(lines, cells)
            if numbers is not None:
                self.parts.append(numbers)
                return
            self.kind = "texts"
            if self.parts:
                self.is_late, self.parts = True, []
                return
        self.parts.append(self._texts(lines, cells))

    def _numbers(self, lines: Sequence[int], cells: Sequence[str]) -> Array | None:
        """The cells as numbers; ``None`` where one of them is none, and they may be texts."""
        values = _floats(cells)
        if values is None:
            found = [_number(cell) for cell in cells]
            if None in found:
                i = found.index(None)
                self.no_number = Cell(lines[i], cells[i].strip())
                if self.kind == "numbers":
                    raise ValueError(f"{self._place(self.no_number)}, must be a number.")
                return None
            values = np.array(found, np.float64)
        fits = np.abs(values) <= LARGEST
        if not fits.all():
            self._look_at(values, fits, lines, cells)
        return values

    def _look_at(self, values: Array, fits: Array, lines: Sequence[int], cells: Sequence[str]) -> None:
        """Numbers some of which don't fit: NaN is a missing value, another one an error."""
        missing = np.isnan(values)
        wrong = ~(fits | missing)
        if wrong.any():
            place = self._place(_cell(lines, cells, wrong))
            raise ValueError(f"{place}, must be a finite number of at most {LARGEST:.3g}.")
        self.missing = self.missing or _cell(lines, cells, missing)

    def _texts(self, lines: Sequence[int], cells: Sequence[str]) -> Array:
        codes = list(map(self._codes.get, cells))
        if None in codes:
            for line, cell in zip(lines, cells, strict=True):
                if cell not in self._codes:
                    self._codes[cell] = self._code(Cell(line, cell.strip()))
            codes = [self._codes[cell] for cell in cells]
        found = np.array(codes, np.int32)
        if self.missing is None and (found < 0).any():
            self.missing = _cell(lines, cells, found < 0)
        return found

    def _code(self, cell: Cell) -> int:
        if cell.text.lower() in MISSING:
            return -1
        if cell.text not in self._values:
            self._values[cell.text] = len(self._firsts)
            self._firsts.append(cell)
        return self._values[cell.text]

    def _place(self, cell: Cell) -> str:
        return f"{self.path}, line {cell.line}, column {self.name!r}: {cell.text!r}"

    def instead(self, other: _Reader) -> _Reader:
        """``other``, which has read the column as texts, with what made it do so."""
        other.no_number = self.no_number
        return other

    def column(self) -> Column:
        values = np.concatenate(self.parts)
        if self.kind != "texts":
            return Numbers(values, self.missing)
        order = sorted(range(len(self._firsts)), key=lambda i: self._firsts[i].text)
        place = np.empty(len(order) + 1, np.int32)
        place[order] = np.arange(len(order))
        place[-1] = -1
        firsts = tuple(self._firsts[i] for i in order)
        return Texts(place[values], tuple(cell.text for cell in firsts), firsts, self.missing, self.no_number)


def _cell(lines: Sequence[int], cells: Sequence[str], which: Array) -> Cell:
    """The first of those."""
    i = int(which.argmax())
    return Cell(lines[i], cells[i].strip())


def _floats(cells: Sequence[str]) -> Array | None:
    """The cells as numbers; ``None`` where one of them is none. (In Python's numbers there may be underscores.)"""
    try:
        values = np.fromiter(map(float, cells), np.float64, len(cells))
    except ValueError:
        return None
    return None if "_" in "".join(cells) else values


def is_number(text: str) -> bool:
    """Whether a cell can stand in a column of numbers."""
    return _number(text) is not None


def _number(cell: str) -> float | None:
    """What a cell says as a number, NaN where it has no value; ``None``: it says something else."""
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return np.nan if cell.strip().lower() in MISSING else None
