"""What the command line trains on: data divided into a part to train on and a part to test on, ready for a model."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nncore.datasets import digits, fashion_mnist, mnist
from nncore.datasets.columns import read_columns
from nncore.datasets.schema import Schema
from nncore.datasets.table import check_columns, find_schema, mean_and_scale, read_target, training_choice
from nncore.layers import Flatten, Layer, Normalization, Rescaling

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Recipe:
    """How long to train where the command line does not say."""

    epochs: int
    batch_size: int


IMAGES = {
    "digits": (digits.load_data, 16.0, tuple("0123456789"), Recipe(epochs=30, batch_size=32)),
    "fashion-mnist": (fashion_mnist.load_data, 255.0, fashion_mnist.CLASS_NAMES, Recipe(epochs=15, batch_size=128)),
    "mnist": (mnist.load_data, 255.0, tuple("0123456789"), Recipe(epochs=10, batch_size=128)),
}
"""Loader, value of a full pixel, names of the classes, recipe."""
CSV_RECIPE = Recipe(epochs=50, batch_size=16)


@dataclass(frozen=True)
class Problem:
    """Data to train on and data held out, ready for a model."""

    title: str
    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array
    recipe: Recipe
    classes: Sequence[str] | None = None
    """The names of the classes; ``None``: the target is a number."""
    before: tuple[Layer, ...] = ()
    """The layers that bring samples into the range in which networks learn."""
    after: tuple[Layer, ...] = ()
    """Those that bring what was learnt into the units of the target, once it is learnt."""
    full_pixel: float | None = None
    """The largest value of a pixel; ``None``: the features are not pixels."""
    schema: Schema | None = None
    """How the samples were made of a table; ``None``: they are no table."""
    truth: Array | None = None
    """What a target that is a number is in the test part, in the file's units."""

    @property
    def outputs(self) -> int:
        return len(self.classes) if self.classes else 1

    def numbers(self, outputs: Array) -> Array:
        """What the outputs of a trained model, its layers ``after`` included, are in the file's units."""
        assert self.schema is not None
        return self.schema.numbers(outputs)


def load_images(name: str) -> Problem:
    """A data set of ``IMAGES``, divided as it comes."""
    load, full_pixel, classes, recipe = IMAGES[name]
    (x_train, y_train), (x_test, y_test) = load()
    title = _title(name, len(x_train), len(x_test), f"images of {x_train.shape[1]}×{x_train.shape[2]}", classes)
    before = Flatten(), Rescaling(1 / full_pixel)
    return Problem(title, x_train, y_train, x_test, y_test, recipe, classes, before, full_pixel=full_pixel)


def load_table(
    path: Path,
    target: str,
    regression: bool = False,
    seed: int = 0,
    drop: Collection[str] = (),
    categorical: Collection[str] = (),
    impute: bool = False,
) -> Problem:
    """A CSV file with a fifth of its lines held out. Layers standardise its numbers, as they are in the others.

    A target that is a number is standardised here, and a layer after the others undoes it.

    Raises:
        ValueError: for what can't be trained on, such as a missing value, and for fewer than 5 lines.
        OSError: the file cannot be read.
    """
    columns = read_columns(path, lambda names: training_choice(names, target, drop, categorical))
    check_columns(path, columns, target, impute)
    y, classes = read_target(path, target, columns.pop(target), regression)
    train, test = hold_out_a_fifth(y, stratify=classes is not None, seed=seed)
    if not len(test):
        raise ValueError(f"{path} must have at least 5 lines of data. Received: {len(y)}.")
    schema = find_schema(path, columns, target, classes, y, train, impute)
    x = schema.samples(path, columns)
    x_train, x_test = x[train], x[test]
    del x, columns
    what = f"lines of {schema.width} number{'s' if schema.width > 1 else ''}"
    otherwise = f"{target!r} is a number, here in standard deviations from its mean"
    title = _title(path.name, len(train), len(test), what, classes, otherwise)
    before = (standardisation(schema, x_train),)
    if classes:
        return Problem(title, x_train, y[train], x_test, y[test], CSV_RECIPE, classes, before, schema=schema)
    inner = (y - schema.shift) / schema.unit
    mean, scale = mean_and_scale(inner[train])
    inner = ((inner - mean) / scale).astype(np.float32)
    after = (Normalization(mean=mean, variance=scale**2, invert=True),)
    return Problem(
        title, x_train, inner[train], x_test, inner[test], CSV_RECIPE, None, before, after, schema=schema,
        truth=y[test],
    )  # fmt: skip


def standardisation(schema: Schema, x: Array) -> Normalization:
    """The layer that gives the numbers among the features mean 0 and deviation 1 over ``x``; categories stay 0 or 1."""
    means, variances = np.zeros(schema.width), np.ones(schema.width)
    place = 0
    for feature in schema.features:
        if feature.kind == "numbers":
            means[place], scale = mean_and_scale(x[:, place])
            variances[place] = scale**2
        place += feature.width
    return Normalization(mean=means, variance=variances)


def _title(name: str, n_train: int, n_test: int, what: str, classes: Sequence[str] | None, otherwise: str = "") -> str:
    answer = f"{len(classes)} classes" if classes else otherwise
    return f"{name}: {n_train:,} {what} to train on, {n_test:,} to test on; {answer}"


def hold_out_a_fifth(y: Array, stratify: bool, seed: int) -> tuple[Array, Array]:
    """The rows to train on and the rows to test on, drawn at random; stratified: a fifth of each class."""
    order = np.random.default_rng(seed).permutation(len(y))
    if stratify:
        order = order[np.argsort(y[order], kind="stable")]
    test = np.zeros(len(y), bool)
    test[order[4::5]] = True
    return np.flatnonzero(~test), np.flatnonzero(test)
