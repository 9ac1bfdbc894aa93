"""What the file of a trained model says of its data: enough to predict from other data of the same form."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nncore.datasets.schema import Schema
from nncore.models import Sequential
from nncore.problem import IMAGES, Problem

KEY = "task"
"""Where it stands in the metadata of the file."""


@dataclass(frozen=True)
class Task:
    """What a model was trained for."""

    data: str
    """What it was trained on: a data set, or the name of a file."""
    classes: tuple[str, ...] | None
    """What its classes are called; ``None``: it predicts a number."""
    schema: Schema | None
    """How samples are made of a table; ``None``: it was trained on images."""
    scores: Mapping[str, str]
    """How it did on what was held out."""

    def check(self, path: str, model: Sequential) -> None:
        """Checks that it is one for ``model``, both of the file ``path``; ``ValueError`` where it isn't."""
        inputs = model.input_shape[1:] if self.schema is None else (self.schema.width,)
        outputs = (len(self.classes) if self.classes else 1,)
        if (model.input_shape[1:], model.output_shape[1:]) != (inputs, outputs):
            raise ValueError(
                f"{path}: its model must have inputs of shape {inputs} and outputs of shape {outputs}, as it says of "
                f"its data. Received: {model.input_shape[1:]} and {model.output_shape[1:]}. Make it anew: train --save."
            )


def described(data: str, problem: Problem, scores: Mapping[str, str]) -> dict[str, Any]:
    """The metadata of a model trained on ``problem``."""
    return {
        KEY: {
            "data": os.path.basename(data),
            "classes": None if problem.classes is None else list(problem.classes),
            "schema": None if problem.schema is None else problem.schema.to_config(),
            "scores": dict(scores),
        }
    }


def task_of(path: str, metadata: Mapping[str, Any]) -> Task | None:
    """What the file ``path`` with ``metadata`` says; ``None``: it was saved by something else than ``nncore train``.

    Raises:
        ValueError: where it says something that can't be.
    """
    if KEY not in metadata:
        return None
    try:
        given = metadata[KEY]
        schema = None if given["schema"] is None else Schema.from_config(given["schema"])
        if schema is None and given["data"] not in IMAGES:
            raise ValueError(f"unknown data {given['data']!r}")
        classes = schema.classes if schema else tuple(map(str, given["classes"]))
        scores = {str(name): str(value) for name, value in given["scores"].items()}
        return Task(str(given["data"]), classes, schema, scores)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: what it says of its data is damaged ({error!r}).") from error
