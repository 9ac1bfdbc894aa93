"""What the command line trains on: data divided into a part to train on and a part to test on, ready for a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nncore.datasets import digits, fashion_mnist, mnist
from nncore.datasets.table import read_csv

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
    full_pixel: float | None = None
    """The largest value of a pixel; ``None``: the features are not pixels."""
    target_mean: float = 0.0
    target_scale: float = 1.0
    """A number to predict is ``target_mean + target_scale * y``."""

    @property
    def outputs(self) -> int:
        return len(self.classes) if self.classes else 1


def load_images(name: str) -> Problem:
    """A data set of ``IMAGES``, divided as it comes."""
    load, full_pixel, classes, recipe = IMAGES[name]
    (x_train, y_train), (x_test, y_test) = load()
    title = _title(name, len(x_train), len(x_test), f"images of {x_train.shape[1]}×{x_train.shape[2]}", classes)
    return Problem(title, x_train, y_train, x_test, y_test, recipe, classes, full_pixel)


def load_table(path: Path, target: str, regression: bool, seed: int) -> Problem:
    """A CSV file with a fifth of its lines held out, features (and a target that is a number) standardised.

    Raises:
        ValueError: as ``read_csv``, and for fewer than 5 lines.
        OSError: the file cannot be read.
    """
    table = read_csv(path, target, regression)
    train, test = hold_out_a_fifth(table.y, stratify=table.classes is not None, seed=seed)
    if not len(test):
        raise ValueError(f"{path} must have at least 5 lines of data. Received: {len(table.y)}.")
    x = standardised(table.x, train)
    mean, scale = (0.0, 1.0) if table.classes else _mean_and_scale(table.y[train])
    y = table.y if table.classes else ((table.y - mean) / scale).astype(np.float32)
    what = f"lines of {x.shape[1]} numbers"
    otherwise = f"{target!r} is a number, here in standard deviations from its mean"
    title = _title(path.name, len(train), len(test), what, table.classes, otherwise)
    return Problem(
        title, x[train], y[train], x[test], y[test], CSV_RECIPE, table.classes,
        target_mean=float(mean), target_scale=float(scale),
    )  # fmt: skip


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


def _mean_and_scale(columns: Array) -> tuple[Array, Array]:
    """The mean and the standard deviation of each column, 1 for a column that does not vary."""
    varies = columns.max(0) > columns.min(0)  # rounding may give a column of one value a deviation above 0
    return columns.mean(0), np.where(varies, columns.std(0), 1.0)


def standardised(x: Array, train: Array) -> Array:
    """x in float32, every column with mean 0 and standard deviation 1 over the training rows."""
    mean, scale = _mean_and_scale(x[train])
    return ((x - mean) / scale).astype(np.float32)
