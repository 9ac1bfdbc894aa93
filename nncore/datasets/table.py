"""CSV files as features and a target, every cell checked: what cannot be trained on is named by line and column."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nncore.errors import unknown_name

Array = np.ndarray[Any, Any]

DELIMITERS = ",;\t|"
MISSING = frozenset(("", "?", "na", "n/a", "nan", "none", "null"))
"""What a cell without a value may say, in any case."""


@dataclass(frozen=True)
class Table:
    """The rows of a CSV file."""

    x: Array
    """(rows, features), float64."""
    y: Array
    """(rows,): the class of every row as an integer, or the number to predict as float64."""
    features: tuple[str, ...]
    """The names of the columns of x."""
    classes: tuple[str, ...] | None
    """What the classes 0, 1, ... are called in the file, in order; ``None`` where y holds numbers to predict."""


def read_csv(path: Path, target: str, regression: bool = False) -> Table:
    """The CSV file ``path``, whose first line names the columns; ``target`` is the column to predict.

    Columns are separated by commas, semicolons, tabs or bars, whichever the first line has most of. All columns but the
    target must be numeric. A target of texts or of whole numbers is a class; other numbers, and with ``regression`` all
    numbers, are to be predicted as numbers.

    Raises:
        ValueError: a cell is missing or of the wrong kind, a line has too few or too many cells, a column is unknown,
            or the target does not vary; the message names line and column.
        OSError: the file cannot be read.
    """
    header, lines, rows = _read_cells(path)
    if target not in header:
        raise ValueError(f"{path}: {unknown_name('target column', target, header)}")
    columns = dict(zip(header, zip(*rows, strict=True), strict=True))
    for name, cells in columns.items():
        for line, cell in zip(lines, cells, strict=True):
            if cell.lower() in MISSING:
                what = f" ({cell!r})" if cell else ""
                raise ValueError(
                    f"{path}, line {line}, column {name!r}: the value is missing{what}. "
                    "Fill it in, or remove the line or the column."
                )
    answers = columns.pop(target)
    if not columns:
        raise ValueError(f"{path}: there must be a column besides the target {target!r} to predict it from.")
    if len(set(answers)) == 1:
        raise ValueError(f"{path}, column {target!r}: the target must vary. Received: {answers[0]!r} in every line.")
    x = np.column_stack([_features(path, name, lines, cells) for name, cells in columns.items()])
    y, classes = _target(path, target, lines, answers, regression)
    return Table(x, y, tuple(columns), classes)


def _read_cells(path: Path) -> tuple[list[str], list[int], list[list[str]]]:
    """The column names, and of each row its line in the file and its cells."""
    lines, rows = [], []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            reader = csv.reader(file, delimiter=max(DELIMITERS, key=first.count), skipinitialspace=True, strict=True)
            header = [name.strip() for name in next(reader, [])]
            _check_header(path, header)
            for cells in reader:
                if not cells:
                    continue
                if len(cells) != len(header):
                    raise ValueError(
                        f"{path}, line {reader.line_num}: there must be {len(header)} cells, one for each column. "
                        f"Received: {len(cells)}."
                    )
                lines.append(reader.line_num)
                rows.append([cell.strip() for cell in cells])
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: not a line of a CSV file: {error}.") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} must be text in UTF-8. Received: {error}. Save it as UTF-8.") from error
    if not rows:
        raise ValueError(f"{path} must have lines of data after its first line.")
    return header, lines, rows


def _check_header(path: Path, header: list[str]) -> None:
    if not header:
        raise ValueError(f"{path} is empty: its first line must name the columns.")
    if all(_is_number(name) for name in header):
        raise ValueError(f"{path}: the first line must name the columns. Received: {', '.join(header[:5])}.")
    if "" in header:
        raise ValueError(
            f"{path}: every column must have a name. Received: none for column {header.index('') + 1} "
            "(pandas writes such a column for its index: to_csv(..., index=False))."
        )
    repeated = next((name for i, name in enumerate(header) if name in header[:i]), None)
    if repeated is not None:
        raise ValueError(f"{path}: every column must have a name of its own. Received: {repeated!r} twice.")


def _features(path: Path, name: str, lines: Sequence[int], cells: Sequence[str]) -> Array:
    for line, cell in zip(lines, cells, strict=True):
        if not _is_number(cell):
            raise ValueError(
                f"{path}, column {name!r}: features must be finite numbers. Received: {cell!r} in line {line}. "
                "Remove the column, or write it as numbers."
            )
    return np.array([float(cell) for cell in cells])


def _target(
    path: Path, name: str, lines: Sequence[int], cells: Sequence[str], regression: bool
) -> tuple[Array, tuple[str, ...] | None]:
    """The target as numbers to predict, or as classes with their names."""
    text = next(((line, cell) for line, cell in zip(lines, cells, strict=True) if not _is_number(cell)), None)
    if regression and text:
        raise ValueError(
            f"{path}, column {name!r}: the target of a regression must be finite numbers. "
            f"Received: {text[1]!r} in line {text[0]}."
        )
    if text:
        names, y = np.unique(np.array(cells), return_inverse=True)
        classes = tuple(map(str, names))
    else:
        numbers = np.array([float(cell) for cell in cells])
        if regression or (numbers != np.floor(numbers)).any():
            return numbers, None
        values, y = np.unique(numbers, return_inverse=True)
        classes = tuple(f"{value:.0f}" for value in values)
    if 2 * len(classes) > len(cells):
        raise ValueError(
            f"{path}, column {name!r}: {len(classes)} different values in {len(cells)} lines are too many classes. "
            + ("Choose another target." if text else "To predict it as a number, ask for a regression.")
        )
    return y, classes


def _is_number(cell: str) -> bool:
    try:
        return bool(np.isfinite(float(cell)))
    except ValueError:
        return False
