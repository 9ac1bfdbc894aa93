"""Tables to train on: which columns are used and how, what is to be predicted, and the schema that is found of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nncore.datasets.columns import Column, Kind, Numbers, Texts, is_number
from nncore.datasets.schema import CategoryFeature, Feature, NumberFeature, Schema, missing_value, rows_of
from nncore.errors import unknown_name

Array = np.ndarray[Any, Any]

MOST_CATEGORIES = 1000
"""Of a column: each is a feature."""


def training_choice(
    names: Sequence[str], target: str, drop: Collection[str] = (), categorical: Collection[str] = ()
) -> dict[str, Kind | None]:
    """The columns to train on.

    Args:
        names: All columns of the file.
        target: The one to predict.
        drop: Those to leave out.
        categorical: Those that are categories, or classes, also where they look like numbers.

    Raises:
        ValueError: for a name that is not there, and where nothing is left to predict the target from.
    """
    if target not in names:
        raise unknown_name("target column", target, names)
    for option, given in (("--drop", drop), ("--categorical", categorical)):
        for name in given:
            if name not in names:
                raise unknown_name(f"column of {option}", name, names)
    if target in drop:
        raise ValueError(f"--drop: the column must not be the target. Received: {target!r}.")
    if "" in names:
        raise ValueError(
            f"every column must have a name. Received: none for column {list(names).index('') + 1} "
            "(pandas writes such a column for its index: to_csv(..., index=False))."
        )
    wanted: dict[str, Kind | None] = {
        name: "texts" if name in categorical else None for name in names if name not in drop
    }
    if len(wanted) < 2:
        raise ValueError(f"there must be a column besides the target {target!r} to predict it from.")
    return wanted


def check_columns(path: str | Path, columns: Mapping[str, Column], target: str, impute: bool) -> None:
    """Checks what can't be mended later: values that are missing, and texts that are no categories.

    Args:
        path: The file, for errors.
        columns: What was read, the target included.
        target: Its name.
        impute: Whether values may be missing in the other columns.

    Raises:
        ValueError: for the first value that is missing and may not, a column with too many categories, and one that is
            texts though most of it are numbers.
    """
    gaps = [(c.missing.line, name, c.missing) for name, c in columns.items() if c.missing and not impute]
    cell = columns[target].missing
    if impute and cell:
        raise missing_value(path, target, cell, "Fill it in, or remove the line")
    if gaps:
        _, name, cell = min(gaps, key=lambda gap: gap[0])
        raise missing_value(path, name, cell)
    for name, column in columns.items():
        if isinstance(column, Texts):
            _check_numbers(path, name, column)
            if name != target:
                _check_categories(path, name, column)


def _check_numbers(path: str | Path, name: str, column: Texts) -> None:
    """Checks that what makes a column one of texts is no mistake among numbers."""
    cell = column.no_number
    if cell and 2 * sum(is_number(value.replace(",", ".")) for value in column.values) > len(column.values):
        raise ValueError(
            f"{path}, line {cell.line}, column {name!r}: {cell.text!r} is no number, and most others in it are. Mend "
            f"it (a decimal comma must be a point), or take them all for categories: --categorical {name!r}."
        )


def _check_categories(path: str | Path, name: str, column: Texts) -> None:
    rows, texts, cell = len(column.codes), len(column.values), column.no_number
    if texts > MOST_CATEGORIES or 2 * texts > rows:
        raise ValueError(
            f"{path}, column {name!r}: {texts:,} different texts in {rows:,} lines are too many categories"
            + (f" ({cell.text!r} in line {cell.line} is no number). Mend the cell" if cell else ". Mend them")
            + f", or leave the column out: --drop {name!r}."
        )


def read_target(
    path: str | Path, name: str, column: Column, regression: bool = False
) -> tuple[Array, tuple[str, ...] | None]:
    """The target as numbers to predict, or as classes with their names.

    Texts and whole numbers are classes; other numbers, and with ``regression`` all numbers, are to be predicted as
    numbers.

    Raises:
        ValueError: where it doesn't vary, for too many classes, for a regression of texts.
    """
    rows = rows_of({name: column})
    if isinstance(column, Texts):
        if regression and column.no_number:
            raise ValueError(
                f"{path}, column {name!r}: the target of a regression must be finite numbers. "
                f"Received: {column.no_number.text!r} in line {column.no_number.line}."
            )
        y, classes = column.codes, column.values
    else:
        values, y = np.unique(column.values, return_inverse=True)
        if len(values) > 1 and (regression or (values != np.floor(values)).any()):
            return column.values, None
        classes = tuple(f"{value:.0f}" for value in values)
    if len(classes) == 1:
        raise ValueError(f"{path}, column {name!r}: the target must vary. Received: {classes[0]!r} in every line.")
    if 2 * len(classes) > rows:
        raise ValueError(
            f"{path}, column {name!r}: {len(classes)} different values in {rows} lines are too many classes. "
            + ("Choose another target." if isinstance(column, Texts) else "To predict it as a number: --regression.")
        )
    return y, classes


def find_schema(
    path: str | Path, columns: Mapping[str, Column], target: str, classes: tuple[str, ...] | None, y: Array,
    train: Array, impute: bool,
) -> Schema:  # fmt: skip
    """How samples are made of ``columns`` (those of the features), as the rows ``train`` of them have it.

    Args:
        path: The file, for errors.
        columns: What was read.
        target, classes, y: What ``read_target`` found.
        train: The rows to train on; nothing is learnt from the others, but which categories there are.
        impute: Whether a missing number counts as the mean of its column, a text as the most frequent one.

    Raises:
        ValueError: for a column without any value.
    """
    features = tuple(_feature_of(path, name, column, train, impute) for name, column in columns.items())
    shift, unit = (0.0, 1.0) if classes else _kept_out(y[train])
    return Schema(target, features, classes, shift, unit)


def _feature_of(path: str | Path, name: str, column: Column, train: Array, impute: bool) -> Feature:
    if isinstance(column, Numbers):
        values = column.values[train]
        values = values[~np.isnan(values)]
        _check_any(path, name, values)
        return NumberFeature(name, *_kept_out(values), fill=float(values.mean()) if impute else None)
    codes = column.codes[train]
    codes = codes[codes >= 0]
    _check_any(path, name, codes)
    most_frequent = column.values[int(np.bincount(codes).argmax())]
    return CategoryFeature(name, column.values, most_frequent if impute else None)


def _check_any(path: str | Path, name: str, values: Array) -> None:
    if not len(values):
        raise ValueError(
            f"{path}, column {name!r}: no line to train on has a value. Leave the column out: --drop {name!r}."
        )


def mean_and_scale(values: Array) -> tuple[float, float]:
    """Mean and standard deviation, 1 where the values do not vary."""
    varies = values.max() > values.min()  # rounding may give a column of one value a deviation above 0
    scale = float(values.std(dtype=np.float64)) if varies else 0.0  # which underflows where values are below 1e-160
    return float(values.mean(dtype=np.float64)), scale or 1.0


def _kept_out(values: Array) -> tuple[float, float]:
    """Shift and unit of a column: 0 and 1 where a model computes with its numbers in float32 as they are, else more."""
    mean, scale = mean_and_scale(values)
    fine = 1e-6 <= scale <= 1e15 and abs(mean) <= 1000 * scale
    return (0.0, 1.0) if fine else (mean, scale)
