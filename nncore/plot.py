"""Pictures of training and of predictions; needs matplotlib: ``pip install "nncore[plot]"``.

Every function returns a ``matplotlib.figure.Figure`` of its own and, given a ``path``, writes it there. pyplot, the
backend and the global settings are not touched.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from nncore.callbacks import History
    from nncore.models import Sequential

Array = np.ndarray[Any, Any]
Curves = Mapping[str, Sequence[float]]

INK = "#333333"
FAINT = "#d9d9d9"
TRAINING = "#1b6ca8"
VALIDATION = "#d95f02"
WRONG = "#c1121f"
DPI = 150


def history(h: History | Curves, path: str | PathLike[str] | None = None) -> Figure:
    """Draws what ``fit`` recorded: a panel for the loss and one for each metric, over the epochs counted from 1.

    Args:
        h: What ``fit`` returned, or its ``history``: ``{"loss": [...], "val_loss": [...], ...}``. A curve ``val_x`` is
            drawn dashed into the panel of ``x``.
        path: Where to write the picture, in the format its suffix names (``.png``, ``.svg``, ``.pdf``, ...).

    Raises:
        ValueError: there is nothing to draw, or the curves differ in length.
        ImportError: matplotlib is missing.
    """
    curves: Curves = h if isinstance(h, Mapping) else h.history
    n_epochs = _one_length(curves)
    first = 1 if isinstance(h, Mapping) else h.epoch[0] + 1
    epochs = range(first, first + n_epochs)

    names = sorted({name.removeprefix("val_") for name in curves}, key=lambda name: (name != "loss", name))
    columns = 2 if len(names) == 4 else min(len(names), 3)
    rows = math.ceil(len(names) / columns)
    figure = _new_figure(4.6 * columns, 3.3 * rows)
    for index, name in enumerate(names):
        axes = figure.add_subplot(rows, columns, index + 1)
        if name in curves:
            _draw_curve(axes, epochs, curves[name], "training", "-", TRAINING)
        if f"val_{name}" in curves:
            _draw_curve(axes, epochs, curves[f"val_{name}"], "validation", (0, (4, 1.5)), VALIDATION)
            axes.legend(frameon=False, labelcolor=INK, fontsize=9)
        _style_panel(axes, name, epochs)
    return _written(figure, path)


def predictions(
    model: Sequential,
    x: Array,
    y: Array,
    rows: int = 4,
    columns: int = 6,
    class_names: Sequence[str] | None = None,
    path: str | PathLike[str] | None = None,
) -> Figure:
    """Draws the first ``rows * columns`` images of ``x``, each with what the model predicts and what is true.

    Above an image stand the predicted class and its probability (where the model's outputs are probabilities), below it
    the true class. A wrong prediction is framed and written in red.

    Args:
        model: A classifier: one output for each class, or a single output, the probability of class 1.
        x: Images (n, h, w), (n, h, w, 1), (n, h, w, 3) with colours in 0..1 or uint8, or flattened squares (n, h*h); as
            the model takes them.
        y: True classes, integers (n,) or (n, 1), or one-hot (n, classes).
        class_names: Names to write instead of the class numbers.
        path: Where to write the picture, in the format its suffix names.

    Raises:
        ValueError: x are not images, x and y differ in length, or a class has no name.
        ImportError: matplotlib is missing.
    """
    if rows < 1 or columns < 1:
        raise ValueError(f"plot.predictions: rows and columns must be at least 1. Received: {rows} and {columns}.")
    if len(x) != len(y) or not len(x):
        raise ValueError(f"plot.predictions: x and y must be of one length, not 0. Received: {len(x)} and {len(y)}.")
    x, y = np.asarray(x[: rows * columns]), np.asarray(y[: rows * columns])
    images = _as_images(x)
    true = y.argmax(1) if y.ndim == 2 and y.shape[1] > 1 else y.reshape(len(y)).astype(int)
    predicted, probability = _decide(np.asarray(model.predict(x, verbose=0)))
    names = _class_names(class_names, max(predicted.max(), true.max()) + 1)

    columns = min(columns, len(x))
    rows = math.ceil(len(x) / columns)
    width = 1.5
    height = (width - 0.1) * min(images.shape[1] / images.shape[2], 4) + 0.5
    figure = _new_figure(width * columns, height * rows + 0.4)
    for i, image in enumerate(images):
        axes = figure.add_subplot(rows, columns, i + 1)
        axes.imshow(image, cmap="gray_r", vmin=images.min(), vmax=images.max(), interpolation="nearest")
        right = predicted[i] == true[i]
        percent = f" ({100 * probability[i]:.0f} %)" if probability is not None else ""
        axes.set_title(
            names[predicted[i]] + percent, fontsize=9, pad=4, color=INK if right else WRONG,
            fontweight="normal" if right else "bold",
        )  # fmt: skip
        axes.set_xlabel(f"true: {names[true[i]]}", fontsize=8, labelpad=3, color="#777777" if right else WRONG)
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set(color=FAINT if right else WRONG, linewidth=0.8 if right else 2.2)
    n_right = int((predicted == true).sum())
    figure.suptitle(f"{n_right} of {len(x)} predicted right", fontsize=11, color=INK)
    return _written(figure, path)


def images(rows: Mapping[str, Array], columns: int = 10, path: str | PathLike[str] | None = None) -> Figure:
    """Draws rows of images below one another, such as what an autoencoder was given and what it gave back.

    Args:
        rows: A name for each row, and its images as :func:`predictions` takes them; all rows share one scale of grey.
        columns: How many images of each row to draw, at most.
        path: Where to write the picture, in the format its suffix names.

    Raises:
        ValueError: there are no rows, x are not images, or the rows differ in length.
        ImportError: matplotlib is missing.
    """
    if columns < 1 or not rows:
        raise ValueError(
            f"plot.images: there must be a row and a column. Received: {len(rows)} rows and columns={columns}."
        )
    lengths = {name: len(x) for name, x in rows.items()}
    if len(set(lengths.values())) != 1 or 0 in lengths.values():
        raise ValueError(f"plot.images: the rows must have as many images, not 0. Received: {lengths}.")
    drawn = {name: _as_images(np.asarray(x[:columns]), "plot.images") for name, x in rows.items()}
    low, high = min(x.min() for x in drawn.values()), max(x.max() for x in drawn.values())
    columns = min(columns, next(iter(lengths.values())))
    figure = _new_figure(1.1 * columns + 1, 1.2 * len(drawn))
    for r, (name, pictures) in enumerate(drawn.items()):
        for i, picture in enumerate(pictures):
            axes = figure.add_subplot(len(drawn), columns, r * columns + i + 1)
            axes.imshow(picture, cmap="gray_r", vmin=low, vmax=high, interpolation="nearest")
            axes.set_xticks([])
            axes.set_yticks([])
            for spine in axes.spines.values():
                spine.set(color=FAINT, linewidth=0.8)
            if i == 0:
                axes.set_ylabel(name, fontsize=9, color=INK)
    return _written(figure, path)


def _new_figure(width: float, height: float) -> Figure:
    try:
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ImportError as error:
        raise ImportError('nncore.plot needs matplotlib. Install it with: pip install "nncore[plot]"') from error
    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08, wspace=0.03)
    return Figure(figsize=(width, height), layout=layout, facecolor="white")


def _written(figure: Figure, path: str | PathLike[str] | None) -> Figure:
    if path is not None:
        figure.savefig(path, dpi=DPI)
    return figure


def _one_length(curves: Curves) -> int:
    """The number of epochs, which all curves must share."""
    lengths = {name: len(values) for name, values in curves.items()}
    if len(set(lengths.values())) != 1 or 0 in lengths.values():
        received = ", ".join(f"{name} {length}" for name, length in lengths.items()) or "no curves"
        raise ValueError(f"plot.history: every curve needs one value for each epoch. Received: {received}.")
    return next(iter(lengths.values()))


def _draw_curve(
    axes: Axes,
    epochs: range,
    values: Sequence[float],
    label: str,
    style: str | tuple[int, tuple[float, ...]],
    colour: str,
) -> None:
    axes.plot(
        epochs, values, label=f"{label}, last {values[-1]:.4g}", color=colour, linestyle=style, linewidth=1.8,
        marker="o" if len(epochs) <= 30 else None, markersize=3.5, clip_on=False, zorder=3,
    )  # fmt: skip


def _style_panel(axes: Axes, name: str, epochs: range) -> None:
    axes.set_title(name.replace("_", " "), loc="left", color=INK, fontsize=11, fontweight="bold", pad=10)
    axes.set_xlabel("epoch", color=INK, fontsize=9)
    margin = 0.5 if len(epochs) == 1 else 0.02 * len(epochs)
    axes.set_xlim(epochs[0] - margin, epochs[-1] + margin)
    axes.set_xticks(_epoch_ticks(epochs))
    axes.grid(axis="y", color=FAINT, linewidth=0.7)
    axes.tick_params(colors=INK, labelsize=9, length=0)
    for side, spine in axes.spines.items():
        spine.set(visible=side == "bottom", color=INK, linewidth=0.8)


def _epoch_ticks(epochs: range) -> list[int]:
    """The first epoch and about eight round ones after it."""
    at_least = (len(epochs) - 1) / 8
    power = 10 ** max(0, math.floor(math.log10(max(at_least, 1))))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= at_least)
    return [epochs[0]] + [e for e in epochs if e % step == 0 and e - epochs[0] >= step / 2]


def _as_images(x: Array, owner: str = "plot.predictions") -> Array:
    if x.ndim == 2:
        side = math.isqrt(x.shape[1])
        if side * side == x.shape[1]:
            return x.reshape(-1, side, side)
    elif x.ndim == 4 and x.shape[3] == 1:
        return x[..., 0]
    elif x.ndim == 3 or (x.ndim == 4 and x.shape[3] == 3):
        return x
    raise ValueError(
        f"{owner}: x must be images (n, h, w), (n, h, w, 1) or (n, h, w, 3), or flattened squares (n, h*h). "
        f"Received: shape {x.shape}."
    )


def _decide(outputs: Array) -> tuple[Array, Array | None]:
    """The predicted class of every row and its probability, or ``None`` where the outputs are not probabilities."""
    if outputs.ndim != 2:
        raise ValueError(f"plot.predictions: the model must give (n, classes). Received: shape {outputs.shape}.")
    if outputs.shape[1] == 1:
        outputs = np.hstack([1 - outputs, outputs])
    predicted = outputs.argmax(1)
    if outputs.min() < 0 or outputs.max() > 1:
        return predicted, None
    return predicted, outputs.max(1)


def _class_names(names: Sequence[str] | None, classes: int) -> Sequence[str]:
    if names is None:
        return [str(c) for c in range(classes)]
    if len(names) < classes:
        raise ValueError(f"plot.predictions: every class needs a name. Received: {len(names)} for {classes} classes.")
    return names
