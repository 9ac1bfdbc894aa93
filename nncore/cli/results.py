"""What ``nncore train`` and ``nncore predict`` say of predictions: scores, a few of them, a picture."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from nncore import console, plot, shades
from nncore.callbacks import History
from nncore.problem import Problem

Array = np.ndarray[Any, Any]

PICTURE = "training.png"
GAP = 1
"""Columns between images drawn next to each other."""


Rows = list[tuple[str, str]]
"""Names and what they are."""


def of_classes(classes: Array, truth: Array) -> Rows:
    """How often classes predicted are the true ones."""
    right, n = int((classes == truth).sum()), len(truth)
    return [("accuracy", f"{100 * right / n:.2f} % ({right:,} of {n:,} right)")]


def of_numbers(numbers: Array, truth: Array) -> Rows:
    """How far numbers predicted are from the true ones."""
    return [("MAE", f"{np.abs(numbers - truth).mean():.4g}"), ("R²", f"{r2(truth, numbers):.4f}")]


def r2(truth: Array, numbers: Array) -> float:
    """The coefficient of determination; NaN where the true values do not vary."""
    total = ((truth - truth.mean()) ** 2).sum()
    return float(1 - ((truth - numbers) ** 2).sum() / total) if total > 0 else math.nan


def table(rows: Rows) -> str:
    """Lines of names and what they are."""
    return "".join(f"{name:<15}{value}\n" for name, value in rows)


def of_test(problem: Problem, outputs: Array) -> Rows:
    """How a trained model does on what was held out."""
    if problem.classes:
        scores = of_classes(outputs.argmax(1), problem.y_test)
    else:
        assert problem.truth is not None
        scores = of_numbers(problem.numbers(outputs), problem.truth)
    return [(f"Test {name}", value) for name, value in scores]


def examples(problem: Problem, outputs: Array) -> list[str]:
    """A few of the test data with what is predicted and what is true; a wrong one among them, if there is one."""
    if problem.classes is None:
        assert problem.truth is not None
        truth, numbers = problem.truth, problem.numbers(outputs)
        return [f"predicted {numbers[i]:.5g}, true {truth[i]:.5g}" for i in _spread(5, len(truth))]
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


def write_picture(history: History) -> None:
    """Draw the curves of a training, where matplotlib is there."""
    try:
        plot.history(history, PICTURE)
    except (ImportError, OSError) as error:
        print(f"No {PICTURE}: {error}", file=sys.stderr)
    else:
        console.write(f"Curves of the training: {PICTURE}\n")
