"""``nncore train``: the network of the first example on a data set or a CSV file, and how it does."""

from __future__ import annotations

import argparse
import math
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import nncore
from nncore import console, optimizers
from nncore.callbacks import Callback, Logs
from nncore.cli import results, tasks
from nncore.cli.places import check_place, check_suffix, in_words
from nncore.errors import did_you_mean
from nncore.layers import Dense, Input
from nncore.models import Sequential
from nncore.problem import CSV_RECIPE, IMAGES, Problem, load_images, load_table
from nncore.saving import save_model
from nncore.saving.files import MODELS

HIDDEN = 64
"""Units of the hidden layer of the example."""
FOR_TABLES = ("target", "regression", "drop", "categorical", "impute")
"""The options that are for CSV files alone."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command."""
    train = commands.add_parser(
        "train",
        help="train a network and show what it has learned",
        usage="nncore train DATA [--target COLUMN] [options]",
        description=f"""\
Trains a network of fully connected layers (ReLU inside; softmax at the end, or
a single number) and prints its structure, the progress, how it does on data it
has not seen, the speed, and a few predictions. Writes the curves of the
training to {results.PICTURE} where matplotlib is installed.""",
        epilog=f"""\
data:
  digits           1,797 handwritten digits, 8x8; comes with nncore
  fashion-mnist    70,000 pictures of clothes, 28x28; downloaded once (31 MB)
  mnist            70,000 handwritten digits, 28x28; downloaded once (12 MB)
  FILE.csv         a table of your own. Its first line names the columns.
                   Numbers are standardised. A column of texts is one of
                   categories: each is a feature of its own, 0 or 1. A target
                   of texts or whole numbers is classified; a target of other
                   numbers is predicted as a number (regression).
  Of digits and of a CSV file a fifth is held out to test on; the others have
  test images of their own.

examples:
  nncore train digits
  nncore train digits --layers 128,64,10 --epochs 50 --seed 1
  nncore train fashion-mnist --layers 256,128,10
  nncore train iris.csv --target species
  nncore train houses.csv --target price --regression --save houses.npz
  nncore train people.csv --target income --drop id --impute mean
  nncore train digits --backend numpy      the same, computed by NumPy

defaults of --epochs and --batch-size:
{_recipes()}
""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    train.add_argument("data", metavar="DATA", help="digits, fashion-mnist, mnist or FILE.csv")
    train.add_argument("--target", metavar="COLUMN", help="column of the CSV file to predict; required for a CSV file")
    train.add_argument("--regression", action="store_true", help="predict whole numbers as numbers, not as classes")
    train.add_argument(
        "--drop", metavar="COLUMN", action="append", default=[], help="leave a column of the CSV file out; repeatable"
    )
    train.add_argument(
        "--categorical", metavar="COLUMN", action="append", default=[],
        help="numbers in this column are codes of categories, of classes in the target; repeatable",
    )  # fmt: skip
    train.add_argument(
        "--impute", choices=("mean",),
        help="let missing numbers count as the mean of their column, missing texts as the most frequent one "
        "(default: a missing value is an error)",
    )  # fmt: skip
    train.add_argument(
        "--save", metavar="FILE", dest="save",
        help=f"write the trained model into this file, {in_words(MODELS)}, for nncore predict and load_model",
    )  # fmt: skip
    train.add_argument(
        "--layers", metavar="N,N,...", type=_layers,
        help=f"units of each layer, in the last one for each class (default: {HIDDEN}, and one for each class)",
    )  # fmt: skip
    train.add_argument("--epochs", metavar="N", type=_positive, help="passes over the training data (default: below)")
    train.add_argument("--batch-size", metavar="N", type=_positive, help="samples in a step (default: below)")
    train.add_argument("--optimizer", metavar="NAME", default="adam", help="adam or sgd (default: adam)")
    train.add_argument(
        "--learning-rate", metavar="RATE", type=float,
        help="size of the optimizer's steps (default: its own, 0.001 for adam and 0.01 for sgd)",
    )  # fmt: skip
    train.add_argument("--seed", metavar="N", type=_seed, default=0, help="the same seed, the same result (default: 0)")
    train.add_argument(
        "--backend", choices=("native", "numpy"),
        help="compiled kernels, or NumPy (default: NNCORE_BACKEND, or else native)",
    )  # fmt: skip
    train.add_argument("--quiet", action="store_true", help="print nothing but the results")
    train.set_defaults(run=_train, parser=train)


def _recipes() -> str:
    rows = [(name, recipe) for name, (*_, recipe) in IMAGES.items()] + [("CSV files", CSV_RECIPE)]
    return "\n".join(f"  {name:<16} {r.epochs:>3} epochs of batches of {r.batch_size:>3}" for name, r in rows)


def _positive(text: str) -> int:
    value = int(text) if text.isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be a positive integer. Received: {text}")
    return value


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"must be an integer from 0 to 4294967295. Received: {text}")
    return int(text)


def _layers(text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise argparse.ArgumentTypeError(f"must be positive integers with commas between, as 64,10. Received: {text}")
    return [int(part) for part in parts]


# train


def _train(arguments: argparse.Namespace) -> None:
    _check_arguments(arguments)
    if arguments.save:
        check_suffix("--save", arguments.save, MODELS)
        check_place("--save", arguments.save)
    if arguments.backend:
        nncore.set_backend(arguments.backend)
    nncore.get_backend()  # a backend that is not there is an error before anything is read
    nncore.utils.set_random_seed(arguments.seed)
    optimizer = optimizers.get(arguments.optimizer)
    if arguments.learning_rate is not None:
        optimizer.learning_rate = arguments.learning_rate
    problem = _load(arguments)
    layers = arguments.layers or [HIDDEN, problem.outputs]
    _check_outputs(layers[-1], problem)

    model = _build(problem, layers)
    model.compile(
        loss="sparse_categorical_crossentropy" if problem.classes else "mean_squared_error",
        optimizer=optimizer,
        metrics=["accuracy" if problem.classes else "mean_absolute_error"],
    )
    if arguments.save:
        _rehearse(model, arguments.save)
    if not arguments.quiet:
        console.write(f"{problem.title}\n{_categories(problem)}")
        model.summary()
    watch = Stopwatch()
    history = model.fit(
        problem.x_train,
        problem.y_train,
        epochs=arguments.epochs or problem.recipe.epochs,
        batch_size=arguments.batch_size or problem.recipe.batch_size,
        validation_data=(problem.x_test, problem.y_test),
        callbacks=[watch],
        verbose=0 if arguments.quiet else 1,
    )
    for layer in problem.after:
        model.add(layer)
    outputs = model.predict(problem.x_test, verbose=0)
    scores = results.of_test(problem, outputs)
    samples = len(history.epoch) * len(problem.x_train)
    speed = f"{samples / watch.seconds:,.0f} samples/s ({samples:,} in {watch.seconds:.2f} s)"
    console.write("\n" + results.table([*scores, ("Speed", speed), ("Backend", nncore.config_summary())]))
    if not arguments.quiet:
        console.write("\n" + "\n".join(results.examples(problem, outputs)) + "\n\n")
    results.write_picture(history)
    if arguments.save:
        save_model(model, arguments.save, metadata=tasks.described(arguments.data, problem, dict(scores)))
        console.write(f"The model: {arguments.save}\n")


def _categories(problem: Problem) -> str:
    """A line that says which columns are categories, if any are."""
    features = problem.schema.features if problem.schema else ()
    found = [f"{feature.name!r} ({feature.width})" for feature in features if feature.kind == "texts"]
    return f"Columns of categories: {', '.join(found)}\n" if found else ""


def _rehearse(model: Sequential, path: str) -> None:
    """Saves the untrained model in the same folder for a moment: what is missing shows now, not after training."""
    folder, name = os.path.split(os.path.realpath(path))
    with tempfile.TemporaryDirectory(prefix=".nncore-", dir=folder) as moment:
        save_model(model, os.path.join(moment, name))


def _load(arguments: argparse.Namespace) -> Problem:
    if arguments.data in IMAGES:
        return load_images(arguments.data)
    return load_table(
        Path(arguments.data), arguments.target, arguments.regression, arguments.seed, arguments.drop,
        arguments.categorical, arguments.impute is not None,
    )  # fmt: skip


def _check_arguments(arguments: argparse.Namespace) -> None:
    """Ends the process with a usage error (exit code 2) where arguments do not fit each other."""
    error = arguments.parser.error
    if arguments.data in IMAGES:
        given = [f"--{name}" for name in FOR_TABLES if getattr(arguments, name)]
        if given:
            error(f"{given[0]} is for CSV files; {arguments.data} has its classes")
    elif not (Path(arguments.data).suffix or os.sep in arguments.data or Path(arguments.data).exists()):
        hint = did_you_mean(arguments.data, IMAGES)
        error(f"unknown data: {arguments.data!r}.{hint} There are {', '.join(IMAGES)}, and CSV files")
    elif not arguments.target:
        error("--target is required for a CSV file: the name of the column to predict")
    if arguments.regression and arguments.target in arguments.categorical:
        error("--regression and --categorical of the target contradict each other")
    if arguments.learning_rate is not None and not 0 < arguments.learning_rate < math.inf:
        error(f"argument --learning-rate: must be a positive number. Received: {arguments.learning_rate}")


def _check_outputs(units: int, problem: Problem) -> None:
    if units != problem.outputs:
        needs = f"{problem.outputs} classes" if problem.classes else "a single number to predict"
        raise ValueError(
            f"--layers: the last layer must have {problem.outputs} units, for {needs}. Received: {units}. "
            f"Write --layers {HIDDEN},{problem.outputs}."
        )


def _build(problem: Problem, layers: Sequence[int]) -> Sequential:
    model = Sequential([Input(problem.x_train.shape[1:]), *problem.before])
    for units in layers[:-1]:
        model.add(Dense(units, activation="relu"))
    model.add(Dense(layers[-1], activation="softmax" if problem.classes else None))
    return model


class Stopwatch(Callback):
    """The seconds spent in training, without the validation after each epoch."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._started: float | None = None

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._started = time.perf_counter()

    def on_test_begin(self, logs: Logs | None = None) -> None:
        self._stop()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._started is not None:
            self.seconds += time.perf_counter() - self._started
            self._started = None
