"""Tables as samples: how columns become features and a target, to be kept, so that other files are read alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from nncore.datasets.columns import LARGEST, Cell, Column, Kind, Numbers, Texts
from nncore.errors import did_you_mean

Array = np.ndarray[Any, Any]


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
        x = np.empty((rows_of(columns), self.width), np.float32)
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
            _texts([str(config["target"]), *(feature.name for feature in features)])
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


def missing_value(path: str | Path, name: str, cell: Cell, fix: str = "") -> ValueError:
    """The error for a cell without a value."""
    what = f" ({cell.text!r})" if cell.text else ""
    fix = fix or "Fill it in, remove the line or the column, or train with --impute mean"
    return ValueError(f"{path}, line {cell.line}, column {name!r}: the value is missing{what}. {fix}.")


def listed(names: Sequence[str], most: int = 8) -> str:
    """The first few of some names."""
    return ", ".join(map(repr, names[:most])) + (f" and {len(names) - most:,} more" if len(names) > most else "")


def rows_of(columns: Mapping[str, Column]) -> int:
    """How many each of some columns has."""
    column = next(iter(columns.values()))
    return len(column.values if isinstance(column, Numbers) else column.codes)


def _whole(text: str) -> str:
    """A whole number as classes are called: ``"1"`` for ``"1.0"``."""
    try:
        return f"{float(text):.0f}" if float(text).is_integer() else text
    except ValueError:
        return text
