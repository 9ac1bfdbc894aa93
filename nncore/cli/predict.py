"""``nncore predict``: what a model says of the lines of a CSV file, or of the test images of a data set."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, TextIO

import numpy as np

import nncore
from nncore.cli import results
from nncore.cli.places import check_place
from nncore.cli.tasks import Task, task_of
from nncore.datasets.columns import Kind, read_columns
from nncore.datasets.schema import NumberFeature, Schema
from nncore.models import Sequential
from nncore.problem import IMAGES, load_images
from nncore.saving import load_model, read_metadata
from nncore.saving.files import replace_file

Array = np.ndarray[Any, Any]


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command."""
    predict = commands.add_parser(
        "predict",
        help="predict from new data with a saved model",
        usage="nncore predict MODEL DATA [options]",
        description="""\
Prints what a saved model predicts for every line of a CSV file, as CSV: the
class and its probability, or the number in the units of the training file.""",
        epilog="""\
data:
  FILE.csv         The columns that the model was trained on, found by name, in
                   any order; others don't count. "-" is the standard input.
                   If the target is there too, the score is printed to the
                   error stream (with --output, to the standard output); lines
                   without a value in it don't count.
                   A category that the model has not seen is an error, and so
                   is a missing value, unless it was trained with --impute.
  digits, fashion-mnist, mnist
                   the test images of the data set
  For a model that was not saved by "nncore train", all columns of the file are
  its inputs, in their order, as numbers; what it computes is printed as it is.

output:
  classes          prediction,probability and with --probabilities a column for
                   each class, such as probability:setosa
  a number         prediction
  other models     prediction, or output_0,output_1,... if there are several

examples:
  nncore train iris.csv --target species --save iris.npz
  nncore predict iris.npz new.csv
  nncore predict iris.npz new.csv --probabilities --output answers.csv
  cat new.csv | nncore predict iris.npz -
""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    predict.add_argument("model", metavar="MODEL", help='a model that "nncore train --save" or model.save wrote')
    predict.add_argument("data", metavar="DATA", help="FILE.csv, -, or a data set")
    predict.add_argument(
        "--output", metavar="FILE", help="write the predictions into this file (replaced if it is there)"
    )
    predict.add_argument("--probabilities", action="store_true", help="print the probability of every class, too")
    predict.add_argument(
        "--drop", metavar="COLUMN", action="append", default=[],
        help="leave a column out, for a model that was not saved by nncore train; repeatable",
    )  # fmt: skip
    predict.add_argument(
        "--backend", choices=("native", "numpy"),
        help="compiled kernels, or NumPy (default: NNCORE_BACKEND, or else native)",
    )  # fmt: skip
    predict.set_defaults(run=_predict)


@dataclass(frozen=True)
class Given:
    """What to predict from."""

    x: Array
    truth: Array | None = None
    """The classes, -1 where missing, or numbers, NaN where missing; ``None``: not known."""


def _predict(arguments: argparse.Namespace) -> None:
    if arguments.output:
        check_place("--output", arguments.output)
    if arguments.backend:
        nncore.set_backend(arguments.backend)
    model = load_model(arguments.model, compile=False)
    task = task_of(arguments.model, read_metadata(arguments.model))
    if task is not None:
        task.check(arguments.model, model)
    classes = None if task is None else task.classes
    if arguments.probabilities and not classes:
        raise ValueError(f"--probabilities: {arguments.model} must predict classes.")
    given = _given(arguments, model, task)
    outputs = model.predict(given.x, verbose=0)
    if classes:
        lines = _class_lines(classes, outputs, arguments.probabilities)
    elif task is not None and task.schema is not None:
        lines = _number_lines(task.schema.numbers(outputs)[:, None])
    else:
        lines = _number_lines(outputs.reshape(len(outputs), -1))
    _write(lines, arguments.output)
    if task is not None and given.truth is not None:
        text = results.table(_scores(task, outputs, given.truth))
        (sys.stdout if arguments.output else sys.stderr).write(text)


def _given(arguments: argparse.Namespace, model: Sequential, task: Task | None) -> Given:
    path = arguments.data
    if not model.built:
        raise ValueError(f"{arguments.model}: the model must be built, with an Input or by build, when it is saved.")
    if path in IMAGES:
        problem = load_images(path)
        return Given(problem.x_test, problem.y_test if task is not None and task.data == path else None)
    if task is not None and task.schema is not None:
        if arguments.drop:
            raise ValueError("--drop: columns that the model was not trained on don't count as it is. Leave it away.")
        columns = read_columns(path, task.schema.choose)
        return Given(task.schema.samples(path, columns), task.schema.truth(columns))
    return Given(_as_they_are(path, arguments.drop, model.input_shape[1:]))


def _as_they_are(path: str, drop: Collection[str], shape: Sequence[int | None]) -> Array:
    """All columns of a file as samples of ``shape``."""

    def choose(names: list[str]) -> dict[str, Kind | None]:
        kept = [name for name in names if name not in drop]
        if None not in shape and len(kept) != prod(size or 0 for size in shape):
            raise ValueError(
                f"there must be {prod(size or 0 for size in shape)} columns, one for each input of the model. "
                f"Received: {len(kept)}. --drop COLUMN leaves one out."
            )
        return dict.fromkeys(kept, "numbers")

    columns = read_columns(path, choose)
    samples = Schema(target="", features=tuple(map(NumberFeature, columns))).samples(path, columns)
    return samples.reshape(-1, *(size or samples.shape[1] for size in shape))


def _class_lines(classes: Sequence[str], outputs: Array, all_of_them: bool) -> Iterator[Sequence[str]]:
    yield ["prediction", "probability", *(f"probability:{name}" for name in classes if all_of_them)]
    columns = [map(classes.__getitem__, outputs.argmax(1).tolist()), map(str, outputs.max(1))]
    yield from zip(*columns, *(map(str, column) for column in outputs.T if all_of_them), strict=True)


def _number_lines(outputs: Array) -> Iterator[Sequence[str]]:
    width = outputs.shape[1]
    yield ["prediction"] if width == 1 else [f"output_{i}" for i in range(width)]
    yield from zip(*(map(str, column) for column in outputs.T), strict=True)


def _write(lines: Iterator[Sequence[str]], path: str | None) -> None:
    def write(file: TextIO) -> None:
        csv.writer(file, lineterminator="\n").writerows(lines)

    def write_to(beside: str) -> None:
        with open(beside, "x", encoding="utf-8", newline="") as file:
            write(file)

    if path is None:
        write(sys.stdout)
    else:
        replace_file(path, write_to)


def _scores(task: Task, outputs: Array, truth: Array) -> results.Rows:
    """How good the predictions are, where the truth is known."""
    if task.classes:
        known = truth >= 0
        found = results.of_classes(outputs[known].argmax(1), truth[known]) if known.any() else []
    else:
        assert task.schema is not None
        known = ~np.isnan(truth)
        found = results.of_numbers(task.schema.numbers(outputs[known]), truth[known]) if known.any() else []
    return [(name[0].upper() + name[1:], value) for name, value in found]
