"""Tables as samples: how columns become features and a target, to be kept, so that other files are read alike."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from nncore.datasets.columns import LARGEST, Cell, Column, Kind, Numbers, Texts
from nncore.errors import did_you_mean, unknown_name

Array = np.ndarray[Any, Any]

MOST_CATEGORIES = 1000
"""Of a column: each is a feature."""


@dataclass(frozen=True)
class NumberFeature:
    """A column of numbers: one feature, ``(number - shift) / unit``, computed in float64."""

    name: str
    shift: float = 0.0
    unit: float = 1.0
    """0 and 1, but for numbers that float32 can't tell apart or square."""
    fill: float | None = None
    """What a missing value counts as; ``None``: there must be none."""

    kind: ClassVar[Kind] = "numbers"
    width: ClassVar[int] = 1

    def encode(self, path: str | Path, column: Column, out: Array) -> None:
        """The feature of every row, into ``out`` of shape (rows, 1)."""
        assert isinstance(column, Numbers)
        values = column.values
        if column.missing:
            values = np.where(np.isnan(values), self._filling(path, column.missing), values)
        values = (values - self.shift) / self.unit
        if not (np.abs(values) <= LARGEST).all():
            raise ValueError(f"{path}, column {self.name!r}: its numbers must be like those the model was trained on.")
        out[:, 0] = values

    def _filling(self, path: str | Path, missing: Cell) -> float:
        if self.fill is None:
            raise missing_value(path, self.name, missing)
        return self.fill


@dataclass(frozen=True)
class CategoryFeature:
    """A column of texts: a feature for each, which is 1 in the rows that have it, and 0 in the others."""

    name: str
    categories: tuple[str, ...]
    fill: str | None = None
    """What a missing value counts as; ``None``: there must be none."""

    kind: ClassVar[Kind] = "texts"

    @property
    def width(self) -> int:
        return len(self.categories)

    def encode(self, path: str | Path, column: Column, out: Array) -> None:
        """The features of every row, into ``out`` of shape (rows, categories)."""
        assert isinstance(column, Texts)
        places = {category: i for i, category in enumerate(self.categories)}
        for cell in sorted(column.firsts, key=lambda cell: cell.line):
            if cell.text not in places:
                raise ValueError(
                    f"{path}, line {cell.line}, column {self.name!r}: unknown category {cell.text!r}."
                    f"{did_you_mean(cell.text, self.categories)} The model was trained on {listed(self.categories)}."
                )
        if column.missing and self.fill is None:
            raise missing_value(path, self.name, column.missing)
        found = [places[text] for text in column.values]
        found.append(0 if self.fill is None else places[self.fill])  # code -1, which is missing
        out[:] = 0
        out[np.arange(len(out)), np.array(found, np.intp)[column.codes]] = 1


Feature = NumberFeature | CategoryFeature


@dataclass(frozen=True)
class Schema:
    """What a model's samples are made of, and what its predictions mean."""

    target: str
    """The column to predict."""
    features: tuple[Feature, ...]
    classes: tuple[str, ...] | None = None
    """What the classes 0, 1, ... are called, in order; ``None``: the target is a number."""
    shift: float = 0.0
    unit: float = 1.0
    """A number predicted is ``shift + unit * output``, computed in float64."""

    @property
    def width(self) -> int:
        """Features of a sample."""
        return sum(feature.width for feature in self.features)

    def choose(self, names: Sequence[str]) -> dict[str, Kind | None]:
        """The columns to read of a file to predict: by name, and the target where it is there.

        Raises:
            ValueError: where one is not there.
        """
        there = set(names)
        absent = [feature.name for feature in self.features if feature.name not in there]
        if absent:
            raise ValueError(
                f"there must be a column {absent[0]!r}, which the model was trained on"
                f"{f' (and {len(absent) - 1} more that are not there)' if absent[1:] else ''}. "
                f"Received: {listed(names)}.{did_you_mean(absent[0], names)}"
            )
        wanted: dict[str, Kind | None] = {feature.name: feature.kind for feature in self.features}
        if self.target in names:
            wanted[self.target] = "texts" if self.classes else "numbers"
        return wanted

    def samples(self, path: str | Path, columns: Mapping[str, Column]) -> Array:
        """The features of every row, (rows, width), float32.

        Raises:
            ValueError: for a missing value that nothing is to stand for, and an unknown category.
        """
        x = np.empty((_rows(columns), self.width), np.float32)
        place = 0
        for feature in self.features:
            feature.encode(path, columns[feature.name], x[:, place : place + feature.width])
            place += feature.width
        return x

    def truth(self, columns: Mapping[str, Column]) -> Array | None:
        """What the target says: numbers, NaN where missing; or classes, -1 where missing and one more for others."""
        column = columns.get(self.target)
        if column is None or isinstance(column, Numbers):
            return None if column is None else column.values
        assert self.classes is not None
        places = {name: i for i, name in enumerate(self.classes)}
        found = [places.get(text, places.get(_whole(text), len(places))) for text in column.values]
        return np.array([*found, -1], np.intp)[column.codes]

    def numbers(self, outputs: Array) -> Array:
        """A model's outputs (rows, 1) as numbers in the file's units, (rows,)."""
        if (self.shift, self.unit) == (0, 1):
            return outputs[:, 0]
        return self.shift + self.unit * outputs[:, 0].astype(np.float64)

    def to_config(self) -> dict[str, Any]:
        """It as JSON-able values."""
        features = [{"kind": feature.kind, **asdict(feature)} for feature in self.features]
        return {**asdict(self), "features": features}

    @classmethod
    def from_config(cls, config: Any) -> Schema:
        """What ``to_config`` gave.

        Raises:
            ValueError: where it is something else.
        """
        try:
            features = [_feature(**entry) for entry in config["features"]]
            classes = None if config["classes"] is None else _texts(config["classes"])
            schema = cls(
                str(config["target"]), tuple(features), classes, _finite(config["shift"]), _positive(config["unit"])
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"what the model says of its table is damaged ({error!r})") from error
        return schema


def _feature(kind: str, name: str, **others: Any) -> Feature:
    """The feature of a config."""
    fill = others.pop("fill")
    if kind == "texts":
        feature = CategoryFeature(str(name), _texts(others.pop("categories")), fill)
        if fill is not None and fill not in feature.categories:
            raise ValueError(f"{fill!r} is no category")
    elif kind == "numbers":
        fill = None if fill is None else _finite(fill)
        return NumberFeature(str(name), _finite(others["shift"]), _positive(others["unit"]), fill)
    else:
        raise ValueError(f"unknown kind {kind!r}")
    return feature


def _finite(value: Any) -> float:
    if not np.isfinite(value):
        raise ValueError(f"{value!r} must be finite")
    return float(value)


def _positive(value: Any) -> float:
    if not _finite(value) > 0:
        raise ValueError(f"{value!r} must be positive")
    return float(value)


def _texts(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list | tuple) or not all(isinstance(value, str) for value in values):
        raise ValueError(f"{values!r:.50} must be texts")
    if not values or len(set(values)) < len(values):
        raise ValueError(f"{values!r:.50} must be different ones")
    return tuple(values)


# What is found out from a file.


def training_choice(
    names: Sequence[str], target: str, drop: Collection[str] = (), categorical: Collection[str] = ()
) -> dict[str, Kind | None]:
    """The columns to train on.

    Args:
        names: All columns of the file.
        target: The one to predict.
        drop: Those to leave out.
        categorical: Those that are categories also where they look like numbers.

    Raises:
        ValueError: for a name that is not there, and where nothing is left to predict the target from.
    """
    if target not in names:
        raise unknown_name("target column", target, names)
    for option, given in (("--drop", drop), ("--categorical", categorical)):
        for name in given:
            if name not in names:
                raise unknown_name(f"column of {option}", name, names)
            if name == target:
                raise ValueError(f"{option}: the column must not be the target. Received: {name!r}.")
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
        ValueError: for the first value that is missing and may not, and a column with too many categories.
    """
    gaps = [(c.missing.line, name, c.missing) for name, c in columns.items() if c.missing and not impute]
    cell = columns[target].missing
    if impute and cell:
        raise missing_value(path, target, cell, "Fill it in, or remove the line")
    if gaps:
        _, name, cell = min(gaps, key=lambda gap: gap[0])
        raise missing_value(path, name, cell)
    for name, column in columns.items():
        if isinstance(column, Texts) and name != target:
            _check_categories(path, name, column)


def _check_categories(path: str | Path, name: str, column: Texts) -> None:
    rows, texts = len(column.codes), len(column.values)
    if texts > MOST_CATEGORIES or 2 * texts > rows:
        cell = column.no_number
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
    rows = _rows({name: column})
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
    return float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64)) if varies else 1.0


def _kept_out(values: Array) -> tuple[float, float]:
    """Shift and unit of a column: 0 and 1 where a model computes with its numbers in float32 as they are, else more."""
    mean, scale = mean_and_scale(values)
    fine = 1e-6 <= scale <= 1e15 and abs(mean) <= 1000 * scale
    return (0.0, 1.0) if fine else (mean, scale)


def missing_value(path: str | Path, name: str, cell: Cell, fix: str = "") -> ValueError:
    """The error for a cell without a value."""
    what = f" ({cell.text!r})" if cell.text else ""
    fix = fix or "Fill it in, remove the line or the column, or train with --impute mean"
    return ValueError(f"{path}, line {cell.line}, column {name!r}: the value is missing{what}. {fix}.")


def listed(names: Sequence[str], most: int = 8) -> str:
    """The first few of some names."""
    return ", ".join(map(repr, names[:most])) + (f" and {len(names) - most:,} more" if len(names) > most else "")


def _rows(columns: Mapping[str, Column]) -> int:
    column = next(iter(columns.values()))
    return len(column.values if isinstance(column, Numbers) else column.codes)


def _whole(text: str) -> str:
    """A whole number as classes are called: ``"1"`` for ``"1.0"``."""
    try:
        return f"{float(text):.0f}" if float(text).is_integer() else text
    except ValueError:
        return text
