"""nncore.plot: the curves and the image grid hold what they should, and nothing outside the figure changes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from nncore import plot
from nncore.datasets import digits
from nncore.layers import Dense, Flatten, Input, Rescaling
from nncore.models import Sequential

CURVES = {
    "accuracy": [0.5, 0.7, 0.8, 0.9],
    "loss": [2.0, 1.0, 0.5, 0.25],
    "val_accuracy": [0.4, 0.6, 0.7, 0.8],
    "val_loss": [2.1, 1.2, 0.8, 0.75],
}


class Answers:
    """A model whose answers are given."""

    def __init__(self, outputs: object) -> None:
        self.outputs = np.asarray(outputs, np.float32)

    def predict(self, x: np.ndarray, verbose: int) -> np.ndarray:
        assert verbose == 0
        self.seen = x
        return self.outputs[: len(x)]


def sure_of(classes: list[int], n_classes: int = 3, probability: float = 0.8) -> Answers:
    outputs = np.full((len(classes), n_classes), (1 - probability) / (n_classes - 1))
    outputs[np.arange(len(classes)), classes] = probability
    return Answers(outputs)


def images(n: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, *(shape or (5, 5))), np.uint8)


# Curves


def test_history_draws_a_panel_for_the_loss_and_each_metric() -> None:
    figure = plot.history(CURVES)
    assert isinstance(figure, Figure)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["loss", "accuracy"]
    for axes, name in zip(figure.axes, ("loss", "accuracy"), strict=True):
        training, validation = axes.get_lines()
        assert training.get_linestyle() == "-"
        assert validation.get_linestyle() != "-"
        assert training.get_color() != validation.get_color()
        for line, key in ((training, name), (validation, f"val_{name}")):
            assert list(line.get_xdata()) == [1, 2, 3, 4]
            assert list(line.get_ydata()) == CURVES[key]
        assert [text.get_text() for text in axes.get_legend().get_texts()] == [
            f"training, last {CURVES[name][-1]:.4g}",
            f"validation, last {CURVES['val_' + name][-1]:.4g}",
        ]


def test_history_takes_what_fit_returns_and_counts_from_its_first_epoch() -> None:
    recorded = SimpleNamespace(history={"loss": [3.0, 2.0]}, epoch=[4, 5])
    axes = plot.history(recorded).axes[0]
    assert list(axes.get_lines()[0].get_xdata()) == [5, 6]
    assert axes.get_legend() is None


@pytest.mark.parametrize("n", [1, 2, 5, 9, 10, 17, 31, 100, 150, 999, 1000])
def test_epoch_ticks_are_whole_few_and_never_outside(n: int) -> None:
    axes = plot.history({"loss": np.linspace(2, 1, n).tolist()}).axes[0]
    ticks = list(axes.get_xticks())
    assert all(tick == int(tick) for tick in ticks)
    assert ticks[0] == 1
    assert ticks == sorted(set(ticks))
    assert ticks[-1] <= n
    assert min(n, 3) <= len(ticks) <= 10


def test_one_epoch_is_visible() -> None:
    (line,) = plot.history({"loss": [1.0]}).axes[0].get_lines()
    assert line.get_marker() == "o"


def test_axes_are_linear_whatever_the_values() -> None:
    axes = plot.history({"loss": [1e6, 1.0, 1e-6]}).axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("linear", "linear")


def test_a_loss_that_became_nan_is_drawn_as_far_as_it_goes(tmp_path: Path) -> None:
    plot.history({"loss": [2.0, float("nan"), float("inf")]}, tmp_path / "nan.png")
    assert (tmp_path / "nan.png").stat().st_size > 0


@pytest.mark.parametrize("n, grid", [(1, (1, 1)), (2, (1, 2)), (3, (1, 3)), (4, (2, 2)), (5, (2, 3)), (7, (3, 3))])
def test_panels_fill_a_grid(n: int, grid: tuple[int, int]) -> None:
    figure = plot.history({f"metric_{i}": [1.0, 2.0] for i in range(n)})
    assert len(figure.axes) == n
    assert figure.axes[0].get_subplotspec().get_gridspec().get_geometry() == grid


@pytest.mark.parametrize(
    "curves, received",
    [
        ({}, "no curves"),
        ({"loss": []}, "loss 0"),
        ({"loss": [1.0, 2.0], "val_loss": [1.0]}, "loss 2, val_loss 1"),
    ],
)
def test_curves_that_cannot_be_drawn_are_refused(curves: dict, received: str) -> None:
    message = rf"plot\.history: every curve needs one value for each epoch\. Received: {received}\."
    with pytest.raises(ValueError, match=message):
        plot.history(curves)


# Predictions


def test_rows_of_images_share_one_grey_scale_and_have_names() -> None:
    dark, bright = np.zeros((12, 4, 4)), np.full((12, 16), 2.0)
    figure = plot.images({"given": dark, "drawn": bright}, columns=5)
    assert len(figure.axes) == 10
    assert [axes.get_ylabel() for axes in figure.axes] == ["given", "", "", "", "", "drawn", "", "", "", ""]
    assert {axes.images[0].get_clim() for axes in figure.axes} == {(0.0, 2.0)}


@pytest.mark.parametrize(
    "rows, columns, message",
    [
        ({}, 3, "there must be a row and a column"),
        ({"a": np.zeros((3, 4, 4))}, 0, "there must be a row and a column. Received: 1 rows and columns=0"),
        ({"a": np.zeros((3, 4, 4)), "b": np.zeros((2, 4, 4))}, 3, "as many images, not 0. Received: {'a': 3, 'b': 2}"),
        ({"a": np.zeros((0, 4, 4))}, 3, "as many images, not 0. Received: {'a': 0}"),
        ({"a": np.zeros((3, 5))}, 3, "plot.images: x must be images"),
    ],
)
def test_rows_of_images_that_cannot_be_drawn_are_refused(rows: dict, columns: int, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        plot.images(rows, columns=columns)


def texts(figure: Figure) -> list[tuple[str, str]]:
    return [(axes.get_title(), axes.get_xlabel()) for axes in figure.axes]


def is_marked(axes: object) -> bool:
    colours = {axes.title.get_color(), axes.xaxis.label.get_color()}
    frames = {spine.get_linewidth() for spine in axes.spines.values()}
    return colours == {plot.WRONG} and min(frames) > 2


def test_predictions_name_both_classes_and_mark_the_wrong_ones() -> None:
    figure = plot.predictions(sure_of([0, 1, 2, 1]), images(4), np.array([0, 1, 1, 1]))
    assert texts(figure) == [
        ("0 (80 %)", "true: 0"), ("1 (80 %)", "true: 1"), ("2 (80 %)", "true: 1"), ("1 (80 %)", "true: 1"),
    ]  # fmt: skip
    assert [is_marked(axes) for axes in figure.axes] == [False, False, True, False]
    assert figure.get_suptitle() == "3 of 4 predicted right"


def test_predictions_use_class_names() -> None:
    figure = plot.predictions(sure_of([2]), images(1), [0], class_names=["cat", "dog", "owl"])
    assert texts(figure) == [("owl (80 %)", "true: cat")]


@pytest.mark.parametrize("y", [[1, 0, 2], [[1], [0], [2]], np.eye(3)[[1, 0, 2]], np.array([1.0, 0.0, 2.0])])
def test_predictions_take_integer_and_one_hot_classes(y: object) -> None:
    figure = plot.predictions(sure_of([1, 0, 2]), images(3), y)
    assert [label for _, label in texts(figure)] == ["true: 1", "true: 0", "true: 2"]


@pytest.mark.parametrize(
    "shape, drawn", [((5, 7), (5, 7)), ((25,), (5, 5)), ((5, 7, 1), (5, 7)), ((5, 7, 3), (5, 7, 3))]
)
def test_predictions_draw_every_shape_of_image(shape: tuple, drawn: tuple) -> None:
    x = images(2, *shape)
    model = sure_of([0, 1])
    figure = plot.predictions(model, x, [0, 1])
    shown = [axes.get_images()[0].get_array() for axes in figure.axes]
    np.testing.assert_array_equal(np.stack(shown), x.reshape(2, *drawn))
    np.testing.assert_array_equal(model.seen, x)


def test_images_share_one_grey_scale() -> None:
    x = np.stack([np.full((4, 4), 10.0), np.full((4, 4), 90.0)])
    figure = plot.predictions(sure_of([0, 1]), x, [0, 1])
    assert [axes.get_images()[0].get_clim() for axes in figure.axes] == [(10, 90)] * 2


@pytest.mark.parametrize("n, expected", [(1, 1), (5, 5), (6, 6), (50, 6)])
def test_predictions_draw_the_first_rows_times_columns(n: int, expected: int) -> None:
    model = sure_of([i % 3 for i in range(n)])
    figure = plot.predictions(model, images(n), [i % 3 for i in range(n)], rows=2, columns=3)
    assert len(figure.axes) == len(model.seen) == expected
    assert figure.get_suptitle() == f"{expected} of {expected} predicted right"


def test_a_single_output_is_the_probability_of_class_1() -> None:
    figure = plot.predictions(Answers([[0.9], [0.2], [0.5]]), images(3), [1, 1, 0])
    assert texts(figure) == [("1 (90 %)", "true: 1"), ("0 (80 %)", "true: 1"), ("0 (50 %)", "true: 0")]


def test_outputs_that_are_no_probabilities_get_no_percentage() -> None:
    figure = plot.predictions(Answers([[-1.0, 4.0]]), images(1), [1])
    assert texts(figure) == [("1", "true: 1")]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"x": images(2, 7)}, r"x must be images .* Received: shape \(2, 7\)"),
        ({"x": images(2, 5, 5, 2)}, r"Received: shape \(2, 5, 5, 2\)"),
        ({"y": [0]}, "x and y must be of one length, not 0. Received: 2 and 1"),
        ({"x": images(0), "y": []}, "Received: 0 and 0"),
        ({"rows": 0}, "rows and columns must be at least 1. Received: 0 and 6"),
        ({"columns": -1}, "Received: 4 and -1"),
        ({"class_names": ["cat"]}, "every class needs a name. Received: 1 for 2 classes"),
        ({"model": Answers(np.zeros((2, 3, 3)))}, r"the model must give \(n, classes\). Received: shape \(2, 3, 3\)"),
    ],
)
def test_predictions_refuse_what_they_cannot_draw(change: dict, message: str) -> None:
    arguments = {"model": sure_of([0, 1]), "x": images(2), "y": [0, 1], **change}
    with pytest.raises(ValueError, match=rf"plot\.predictions: .*{message}"):
        plot.predictions(**arguments)


def test_a_trained_model_and_its_history_are_drawn() -> None:
    (x_train, y_train), (x_test, y_test) = digits.load_data()
    model = Sequential([Input((8, 8)), Flatten(), Rescaling(1 / 16), Dense(10, activation="softmax")])
    model.compile(loss="sparse_categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
    history = model.fit(x_train, y_train, epochs=3, initial_epoch=1, validation_split=0.2, verbose=0)
    for axes, name in zip(plot.history(history).axes, ("loss", "accuracy"), strict=True):
        for line, key in zip(axes.get_lines(), (name, f"val_{name}"), strict=True):
            assert list(line.get_xdata()) == [2, 3]
            assert list(line.get_ydata()) == history.history[key]
    figure = plot.predictions(model, x_test, y_test, rows=2, columns=4)
    probabilities = model.predict(x_test[:8], verbose=0)
    assert texts(figure) == [
        (f"{p.argmax()} ({100 * p.max():.0f} %)", f"true: {t}") for p, t in zip(probabilities, y_test[:8], strict=True)
    ]


# Files, and what must stay as it was


@pytest.mark.parametrize("suffix, head", [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_a_path_is_written_in_the_format_of_its_suffix(suffix: str, head: bytes, tmp_path: Path) -> None:
    plot.history(CURVES, tmp_path / f"h.{suffix}")
    plot.predictions(sure_of([0, 1]), images(2), [0, 1], path=str(tmp_path / f"p.{suffix}"))
    assert (tmp_path / f"h.{suffix}").read_bytes().startswith(head)
    assert (tmp_path / f"p.{suffix}").read_bytes().startswith(head)


def test_settings_and_backend_stay_as_they_were() -> None:
    before = dict(matplotlib.rcParams)
    plot.history(CURVES)
    plot.predictions(sure_of([0, 1]), images(2), [0, 1])
    assert dict(matplotlib.rcParams) == before


def test_pyplot_is_never_imported_and_matplotlib_only_when_drawing() -> None:
    code = (
        "import sys; from nncore import plot; assert 'matplotlib' not in sys.modules; plot.history({'loss': [1.0]});"
        "assert 'matplotlib' in sys.modules; assert 'matplotlib.pyplot' not in sys.modules"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'nncore\.plot needs matplotlib\. .* pip install "nncore\[plot\]"'):
        plot.history(CURVES)
    with pytest.raises(ImportError, match=r'pip install "nncore\[plot\]"'):
        plot.predictions(sure_of([0]), images(1), [0])
