"""What the file of a trained model says of its data: enough to predict from other data of the same form."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nncore.datasets.table import Schema
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
