"""The command ``nncore``: train the network of the first example on a data set or a CSV file, and see how it does."""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import nncore
from nncore import console, optimizers, plot, shades
from nncore.callbacks import Callback, History, Logs
from nncore.errors import did_you_mean
from nncore.layers import Dense, Flatten, Input, Rescaling
from nncore.models import Sequential
from nncore.problem import CSV_RECIPE, IMAGES, Problem, load_images, load_table

Array = np.ndarray[Any, Any]

PICTURE = "training.png"
HIDDEN = 64
"""Units of the hidden layer of the example."""
GAP = 1
"""Columns between images drawn next to each other."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line ``argv`` (by default the process's) and returns its exit code.

    0: done; 1: the request cannot be met, and the error stream says why; 2: the command line is wrong; 130: Ctrl-C.
    """
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.command is None:
        parser.print_help(sys.stderr)
        return 2
    try:
        arguments.run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("\nnncore: interrupted.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of the output, such as "head", has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, OSError, ImportError) as error:
        print(f"nncore: error: {error}", file=sys.stderr)
        return 1
    return 0


# The command line


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nncore",
        description="Neural networks on the CPU: Keras's Sequential API over compiled SIMD kernels.",
        epilog="""\
examples:
  nncore train digits                learn handwritten digits, in seconds
  nncore train FILE.csv --target Y   learn to predict the column Y of a table
  nncore train --help                everything that train can be told
  nncore info                        instruction sets compiled, supported, used

environment:
  NNCORE_BACKEND   native (default) or numpy
  NNCORE_ISA       the instruction set to use, one of those "nncore info" lists
  NNCORE_HOME      folder for downloaded data sets (default: ~/.cache/nncore)
""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"nncore {nncore.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    _add_train(commands)
    info = commands.add_parser(
        "info",
        help="print the configuration",
        description="Prints the version, the backend, and the instruction sets compiled, supported and chosen.",
    )
    info.set_defaults(run=_info)
    return parser


def _add_train(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    train = commands.add_parser(
        "train",
        help="train a network and show what it has learned",
        usage="nncore train DATA [--target COLUMN] [options]",
        description=f"""\
Trains a network of fully connected layers (ReLU inside; softmax at the end, or
a single number) and prints its structure, the progress, how it does on data it
has not seen, the speed, and a few predictions. Writes the curves of the
training to {PICTURE} where matplotlib is installed.""",
        epilog=f"""\
data:
  digits           1,797 handwritten digits, 8x8; comes with nncore
  fashion-mnist    70,000 pictures of clothes, 28x28; downloaded once (31 MB)
  mnist            70,000 handwritten digits, 28x28; downloaded once (12 MB)
  FILE.csv         a table of your own. Its first line names the columns; all
                   but the target hold numbers, which are standardised. A target
                   of texts or whole numbers is classified; a target of other
                   numbers is predicted as a number (regression).
  Of digits and of a CSV file a fifth is held out to test on; the others have
  test images of their own.

examples:
  nncore train digits
  nncore train digits --layers 128,64,10 --epochs 50 --seed 1
  nncore train fashion-mnist --layers 256,128,10
  nncore train iris.csv --target species
  nncore train houses.csv --target price --regression
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


# info


def _info(arguments: argparse.Namespace) -> None:
    nncore.show_config()


# train


def _train(arguments: argparse.Namespace) -> None:
    _check_arguments(arguments)
    if arguments.backend:
        nncore.set_backend(arguments.backend)
    nncore.get_backend()  # a backend that is not there is an error before anything is read
    nncore.utils.set_random_seed(arguments.seed)
    optimizer = optimizers.get(arguments.optimizer)
    if arguments.learning_rate is not None:
        optimizer.learning_rate = arguments.learning_rate
    if arguments.data in IMAGES:
        problem = load_images(arguments.data)
    else:
        problem = load_table(Path(arguments.data), arguments.target, arguments.regression, arguments.seed)
    layers = arguments.layers or [HIDDEN, problem.outputs]
    _check_outputs(layers[-1], problem)

    model = _build(problem, layers)
    model.compile(
        loss="sparse_categorical_crossentropy" if problem.classes else "mean_squared_error",
        optimizer=optimizer,
        metrics=["accuracy" if problem.classes else "mean_absolute_error"],
    )
    if not arguments.quiet:
        console.write(f"{problem.title}\n")
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
    outputs = model.predict(problem.x_test, verbose=0)
    _report(problem, outputs, len(history.epoch) * len(problem.x_train), watch.seconds, arguments.quiet)
    _write_picture(history)


def _check_arguments(arguments: argparse.Namespace) -> None:
    """Ends the process with a usage error (exit code 2) where arguments do not fit each other."""
    error = arguments.parser.error
    if arguments.data in IMAGES:
        if arguments.target or arguments.regression:
            error(f"--target and --regression are for CSV files; {arguments.data} has its classes")
    elif not (Path(arguments.data).suffix or os.sep in arguments.data or Path(arguments.data).exists()):
        hint = did_you_mean(arguments.data, IMAGES)
        error(f"unknown data: {arguments.data!r}.{hint} There are {', '.join(IMAGES)}, and CSV files")
    elif not arguments.target:
        error("--target is required for a CSV file: the name of the column to predict")
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
    model = Sequential([Input(problem.x_train.shape[1:])])
    if problem.full_pixel is not None:
        model.add(Flatten())
        model.add(Rescaling(1 / problem.full_pixel))
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


# What is printed after training


def _report(problem: Problem, outputs: Array, samples: int, seconds: float, quiet: bool) -> None:
    if problem.classes:
        right = int((outputs.argmax(1) == problem.y_test).sum())
        n = len(problem.y_test)
        results = [("Test accuracy", f"{100 * right / n:.2f} % ({right:,} of {n:,} right)")]
    else:
        true, predicted = _in_units(problem, problem.y_test), _in_units(problem, outputs[:, 0])
        results = [
            ("Test MAE", f"{np.abs(predicted - true).mean():.4g}"),
            ("Test R²", f"{_r2(true, predicted):.4f}"),
        ]
    results += [
        ("Speed", f"{samples / seconds:,.0f} samples/s ({samples:,} in {seconds:.2f} s)"),
        ("Backend", nncore.config_summary()),
    ]
    console.write("\n" + "".join(f"{name:<15}{value}\n" for name, value in results))
    if not quiet:
        console.write("\n" + "\n".join(_predictions(problem, outputs)) + "\n\n")


def _in_units(problem: Problem, y: Array) -> Array:
    """Numbers of the model in the units of the file."""
    return problem.target_mean + problem.target_scale * y.astype(np.float64)


def _r2(true: Array, predicted: Array) -> float:
    """The coefficient of determination; NaN where the true values do not vary."""
    total = ((true - true.mean()) ** 2).sum()
    return float(1 - ((true - predicted) ** 2).sum() / total) if total > 0 else math.nan


def _predictions(problem: Problem, outputs: Array) -> list[str]:
    """A few of the test data with what is predicted and what is true; a wrong one among them, if there is one."""
    if problem.classes is None:
        true, predicted = _in_units(problem, problem.y_test), _in_units(problem, outputs[:, 0])
        return [f"predicted {predicted[i]:.5g}, true {true[i]:.5g}" for i in _spread(5, len(true))]
    caption = partial(_caption, problem.classes)
    if problem.full_pixel is None:
        return [", ".join(caption(outputs[i], problem.y_test[i])) for i in _choose(5, outputs, problem.y_test)]
    longest = max(problem.classes, key=len)
    width = max(len(shades.draw(problem.x_test[0], problem.full_pixel)[0]), len(f"predicted {longest} (100 %)"))
    fit = (console.columns() + GAP) // (width + GAP)
    return shades.side_by_side(
        [
            [*shades.draw(problem.x_test[i], problem.full_pixel), *caption(outputs[i], problem.y_test[i])]
            for i in _choose(min(max(fit, 1), 4), outputs, problem.y_test)
        ],
        GAP,
    )


def _caption(classes: Sequence[str], probabilities: Array, true: int) -> tuple[str, str]:
    predicted = int(probabilities.argmax())
    return (
        f"predicted {classes[predicted]} ({100 * probabilities[predicted]:.0f} %)",
        f"true {classes[true]}" + ("" if predicted == true else ", wrong"),
    )


def _choose(n: int, outputs: Array, y: Array) -> list[int]:
    """n rows spread over the test data; if all of them are right, the last gives way to the first wrong one."""
    right = outputs.argmax(1) == y
    chosen = _spread(n, len(y))
    if right[chosen].all() and not right.all():
        chosen[-1] = int(right.argmin())
    return chosen


def _spread(n: int, rows: int) -> list[int]:
    return [i * (rows - 1) // max(n - 1, 1) for i in range(n)] if n < rows else list(range(rows))


def _write_picture(history: History) -> None:
    try:
        plot.history(history, PICTURE)
    except (ImportError, OSError) as error:
        print(f"No {PICTURE}: {error}", file=sys.stderr)
    else:
        console.write(f"Curves of the training: {PICTURE}\n")
