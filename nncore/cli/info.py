"""``nncore info``: the configuration, or what is in a file."""

from __future__ import annotations

import argparse
import math
import os
from typing import Any

import numpy as np

import nncore
from nncore import console
from nncore.cli.places import check_suffix
from nncore.cli.results import Rows, table
from nncore.cli.tasks import Task, task_of
from nncore.datasets.schema import CategoryFeature, Feature, listed
from nncore.saving import load_model
from nncore.saving.files import MODELS, WEIGHTS, Contents, read


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command."""
    info = commands.add_parser(
        "info",
        help="print the configuration, or what is in a file",
        description="""\
Prints the version, the backend, and the instruction sets compiled, supported
and chosen; or, for a file: what it is, what wrote it, what the model was
trained on and how well it did, its inputs and outputs, its layers.""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    info.add_argument("model", metavar="MODEL", nargs="?", help="a file of a model or of weights")
    info.set_defaults(run=_info)


def _info(arguments: argparse.Namespace) -> None:
    if arguments.model is None:
        nncore.show_config()
        return
    path, formats = arguments.model, {**WEIGHTS, **MODELS}
    check_suffix("info", path, formats)
    contents = read("info", path, formats)
    if contents.config is None:
        console.write(table([("File", f"{path}, weights alone, {os.path.getsize(path):,} bytes")]))
        console.write("\n" + _arrays(contents))
        return
    model = load_model(path)
    task = task_of(path, contents.metadata)
    try:
        history = _history(contents, model)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: what it says of its training is damaged ({error!r}).") from error
    rows = [("File", f"{path}, a model, {os.path.getsize(path):,} bytes"), *history]
    console.write(table(rows + (_of_task(task) if task else [])) + "\n")
    model.summary()


def _history(contents: Contents, model: Any) -> Rows:
    """What wrote a model, and how it was trained."""
    own = contents.metadata.get("nncore", {})
    rows = []
    if "version" in own:
        rows.append(("Written by", f"nncore {own['version']}, backend {own.get('backend')}, NumPy {own.get('numpy')}"))
    if model.built:
        rows += [("Input", f"{model.input_shape}"), ("Output", f"{model.output_shape}")]
    if model.optimizer is not None:
        rate = model.optimizer.learning_rate
        rows.append(("Optimizer", f"{model.optimizer.name}, learning rate {float(rate):.4g}"))
        rows.append(("Loss", getattr(model.loss, "name", str(model.loss))))
    if "epochs" in own:
        rows.append(("Trained", f"{own['epochs']:,} epochs, {own.get('steps', 0):,} steps"))
        rows.append(("Last epoch", ", ".join(f"{name} {value:.4f}" for name, value in own["metrics"].items())))
    return rows


def _of_task(task: Task) -> Rows:
    """What a model was trained for."""
    rows = [("Trained on", task.data), *task.scores.items()]
    if task.schema:
        what = f"one of {listed(task.classes)}" if task.classes else "a number"
        rows.append(("Predicts", f"{task.schema.target!r}, {what}"))
        rows.append(("From", ", ".join(_described(feature) for feature in task.schema.features)))
    return rows


def _described(feature: Feature) -> str:
    """A column, and what a missing value counts as in it."""
    if isinstance(feature, CategoryFeature):
        what, fill = f"{feature.name!r}, one of {feature.width} texts", feature.fill
    else:
        what, fill = repr(feature.name), None if feature.fill is None else f"{feature.fill:.4g}"
    return what if fill is None else f"{what} (missing: {fill})"


def _arrays(contents: Contents) -> str:
    """A line for each array."""
    rows = [(name, f"{np.dtype(array.dtype)} {array.shape}") for name, array in contents.arrays.items()]
    width = max((len(name) for name, _ in rows), default=0) + 2
    total = sum(math.prod(array.shape) for array in contents.arrays.values())
    return "".join(f"{name:<{width}}{what}\n" for name, what in rows) + f"{total:,} values\n"
