"""The command line: what it prints, where it ends, and every way to get it wrong."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import nncore
from nncore import cli, problem, shades
from nncore.callbacks import History
from nncore.cli import results as results_of
from nncore.datasets import digits, fashion_mnist

ROOT = Path(nncore.__file__).parent.parent
OPTIONS = (
    "--target", "--regression", "--drop", "--categorical", "--impute", "--save", "--layers", "--epochs", "--batch-size",
    "--optimizer", "--learning-rate", "--seed", "--backend", "--quiet",
)  # fmt: skip


pytestmark = pytest.mark.usefixtures("folder_of_its_own")


def environment(**changes: str) -> dict[str, str]:
    """That of a process which finds this nncore from any folder."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8", **changes}


def run_process(*argv: str, **changes: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "nncore", *argv]
    return subprocess.run(command, capture_output=True, encoding="utf-8", env=environment(**changes))


def iris_like(path: Path, n: int = 90) -> Path:
    """Three clusters of four measurements, easy to tell apart; the second column does not vary."""
    rng = np.random.default_rng(3)
    kind = rng.integers(0, 3, n)
    x = rng.normal(size=(n, 4)) + 6 * np.eye(4)[[0, 2, 3]][kind] + 100
    x[:, 1] = 7
    lines = ["width,depth,height,length,kind"]
    lines += [
        ",".join(f"{v:.4f}" for v in row) + "," + ("ash", "birch", "cedar")[k] for row, k in zip(x, kind, strict=True)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def line_like(path: Path, n: int = 300) -> Path:
    """A number that depends on two features, far from 0 and with a large spread."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(n, 2))
    price = 200_000 + 30_000 * x[:, 0] - 20_000 * x[:, 1] + rng.normal(scale=500, size=n)
    lines = ["size;age;price"] + [f"{a:.5f};{b:.5f};{p:.2f}" for (a, b), p in zip(x, price, strict=True)]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def results(out: str) -> dict[str, str]:
    return dict(re.findall(r"^(Test accuracy|Test MAE|Test R²|Speed|Backend)\s+(.*)$", out, re.MULTILINE))


def accuracy(out: str) -> float:
    return float(results(out)["Test accuracy"].split(" ")[0])


# Training


def test_train_digits_with_the_default_settings(tmp_path: Path) -> None:
    started = time.monotonic()
    run = run_process("train", "digits")
    seconds = time.monotonic() - started
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith("digits: 1,442 images of 8×8 to train on, 355 to test on; 10 classes\n")
    assert 'Model: "sequential"' in run.stdout
    assert "Total params: 4,810" in run.stdout
    assert "Epoch 30/30" in run.stdout
    found = results(run.stdout)
    assert accuracy(run.stdout) >= 95
    right = re.fullmatch(r"(\d+\.\d\d) % \((\d+) of 355 right\)", found["Test accuracy"])
    assert float(right[1]) == pytest.approx(100 * int(right[2]) / 355, abs=0.005)
    assert re.fullmatch(r"[\d,]+ samples/s \(43,260 in \d+\.\d\d s\)", found["Speed"])
    assert found["Backend"] == nncore.config_summary()
    assert run.stdout.endswith("Curves of the training: training.png\n")
    assert (tmp_path / "training.png").read_bytes().startswith(b"\x89PNG")
    assert seconds < 15


def test_the_speed_is_that_of_training(capsys: pytest.CaptureFixture[str]) -> None:
    started = time.perf_counter()
    cli.main(["train", "digits", "--epochs", "2", "--quiet"])
    whole = time.perf_counter() - started
    rate, samples, seconds = re.fullmatch(
        r"([\d,]+) samples/s \(([\d,]+) in (\S+) s\)", results(capsys.readouterr().out)["Speed"]
    ).groups()
    assert int(samples.replace(",", "")) == 2 * 1442
    assert 0 <= float(seconds) < whole
    assert float(rate.replace(",", "")) > 2 * 1442 / whole


def test_the_same_seed_gives_the_same_result_and_another_seed_another(capsys: pytest.CaptureFixture[str]) -> None:
    def losses(*options: str) -> list[str]:
        assert cli.main(["train", "digits", "--epochs", "2", *options]) == 0
        return re.findall(r"loss: ([\d.]+)", capsys.readouterr().out)

    assert losses() == losses("--seed", "0") != losses("--seed", "1")
    assert len(losses()) == 4


def test_options_reach_the_model(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}

    def fit(model: nncore.Sequential, x: np.ndarray, y: np.ndarray, **options: object) -> History:
        seen.update(options, optimizer=model.optimizer, layers=model.layers)
        return original(model, x, y, **options)

    original = nncore.Sequential.fit
    monkeypatch.setattr(nncore.Sequential, "fit", fit)
    options = "--layers 20,12,10 --epochs 3 --batch-size 100 --optimizer sgd --learning-rate 0.5 --backend numpy"
    assert cli.main(["train", "digits", *options.split()]) == 0
    assert (seen["epochs"], seen["batch_size"], seen["verbose"]) == (3, 100, 1)
    assert type(seen["optimizer"]).__name__ == "SGD"
    assert float(seen["optimizer"].learning_rate) == pytest.approx(0.5)
    assert [layer.units for layer in seen["layers"] if hasattr(layer, "units")] == [20, 12, 10]
    out = capsys.readouterr().out
    assert results(out)["Backend"] == "numpy"
    assert "Epoch 3/3" in out


def test_quiet_prints_the_results_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "digits", "--epochs", "1", "--quiet"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        "", "Test accuracy", "Speed", "Backend", "Curves of the training: training.png",
    ]  # fmt: skip


def test_both_backends_learn_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    def figures(backend: str) -> list[float]:
        assert cli.main(["train", "digits", "--epochs", "3", "--backend", backend]) == 0
        return [float(value) for value in re.findall(r"loss: ([\d.]+)", capsys.readouterr().out)]

    assert figures("native") == pytest.approx(figures("numpy"), abs=1.1e-4)


def test_fashion_mnist_uses_its_test_images_and_class_names(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On images made up here: each class is a bright row of its own."""

    def load() -> object:
        y = np.arange(600) % 10
        x = np.random.default_rng(0).integers(0, 60, (600, 28, 28), np.uint8)
        x[np.arange(600), 2 * y + 3] = 255
        return (x[:500], y[:500].astype(np.uint8)), (x[500:], y[500:].astype(np.uint8))

    _, full, names, recipe = problem.IMAGES["fashion-mnist"]
    monkeypatch.setitem(problem.IMAGES, "fashion-mnist", (load, full, names, recipe))
    assert cli.main(["train", "fashion-mnist", "--layers", "32,10", "--batch-size", "25"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("fashion-mnist: 500 images of 28×28 to train on, 100 to test on; 10 classes\n")
    assert accuracy(out) == 100
    assert re.search(r"predicted T-shirt/top \(\d+ %\) +predicted Ankle boot \(\d+ %\)", out)
    assert re.search(r"true T-shirt/top +true Ankle boot", out)
    assert names == fashion_mnist.CLASS_NAMES


def test_digits_are_drawn_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "digits", "--epochs", "30"]) == 0
    lines = capsys.readouterr().out.splitlines()
    captions = next(i for i, line in enumerate(lines) if line.startswith("predicted "))
    predicted = re.findall(r"predicted (\d) \((\d+) %\)", lines[captions])
    true = re.findall(r"true (\d)(, wrong)?", lines[captions + 1])
    assert len(predicted) == len(true) == 4
    for (guess, percent), (label, wrong) in zip(predicted, true, strict=True):
        assert (guess != label) == bool(wrong)
        assert 0 <= int(percent) <= 100
    (_, _), (x_test, y_test) = digits.load_data()
    assert [int(label) for label, _ in true[:3]] == y_test[[0, 118, 236]].tolist()
    drawn = lines[captions - 8 : captions]
    assert [line[:16].ljust(16) for line in drawn] == shades.draw(x_test[0], 16)
    assert max(map(len, lines[captions - 8 : captions + 2])) <= 80


@pytest.mark.parametrize("columns, count", [("20", 1), ("40", 2), ("60", 3), ("300", 4)])
def test_as_many_images_as_the_terminal_has_room_for(
    columns: str, count: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert cli.main(["train", "digits", "--epochs", "1"]) == 0
    captions = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("predicted "))
    assert captions.count("predicted") == count


def test_what_is_shown_is_spread_over_the_test_data_with_a_wrong_one_if_there_is_any() -> None:
    outputs = np.eye(3)[[0, 1, 2, 0, 1]]
    assert results_of._choose(3, outputs, np.array([0, 1, 2, 0, 1])) == [0, 2, 4]
    assert results_of._choose(3, outputs, np.array([0, 1, 2, 1, 1])) == [0, 2, 3]
    assert results_of._choose(3, outputs, np.array([0, 2, 0, 1, 1])) == [0, 2, 4]
    assert results_of._choose(9, outputs, np.array([0, 1, 2, 0, 2])) == [0, 1, 2, 3, 4]
    assert results_of._choose(1, outputs, np.array([0, 1, 2, 0, 2])) == [4]
    assert results_of._choose(1, outputs, np.array([0, 1, 2, 0, 1])) == [0]


def test_without_matplotlib_it_says_how_to_get_the_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert cli.main(["train", "digits", "--epochs", "1"]) == 0
    out, err = capsys.readouterr()
    assert "Test accuracy" in out
    assert err == 'No training.png: nncore.plot needs matplotlib. Install it with: pip install "nncore[plot]"\n'
    assert not (tmp_path / "training.png").exists()


def test_a_picture_that_cannot_be_written_is_said_and_is_no_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "training.png").mkdir()
    assert cli.main(["train", "digits", "--epochs", "1"]) == 0
    out, err = capsys.readouterr()
    assert "Test accuracy" in out
    assert err.startswith("No training.png: ")


def test_output_that_cannot_show_blocks_is_drawn_in_ascii() -> None:
    run = run_process("train", "digits", "--epochs", "1", PYTHONIOENCODING="ascii")
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.isascii()
    assert re.search(r"[#@]{4}", run.stdout)


# CSV files


def test_train_csv_classifies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", str(iris_like(tmp_path / "trees.csv")), "--target", "kind"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith("trees.csv: 72 lines of 4 numbers to train on, 18 to test on; 3 classes\n")
    assert accuracy(out) >= 95
    assert (
        len(re.findall(r"^predicted (?:ash|birch|cedar) \(\d+ %\), true (?:ash|birch|cedar)", out, re.MULTILINE)) == 5
    )


def test_train_csv_predicts_a_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", str(line_like(tmp_path / "houses.csv")), "--target", "price"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "240 lines of 2 numbers to train on, 60 to test on; 'price' is a number, here in standard" in out
    found = results(out)
    assert float(found["Test R²"]) > 0.98
    assert 0 < float(found["Test MAE"]) < 5000
    pairs = re.findall(r"^predicted (\S+), true (\S+)$", out, re.MULTILINE)
    assert len(pairs) == 5
    for predicted, true in pairs:
        assert abs(float(predicted) - float(true)) < 25_000
        assert 50_000 < float(true) < 350_000


def test_mae_and_r2_are_those_of_the_predictions() -> None:
    truth = np.array([10.0, 12.0, 14.0])
    assert results_of.of_numbers(np.array([10.0, 12.0, 12.0]), truth) == [("MAE", "0.6667"), ("R²", "0.5000")]
    assert np.isnan(results_of.r2(np.ones(3), truth))


def test_regression_of_whole_numbers_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "\n".join(f"{i},{3 * i}" for i in range(100))
    (tmp_path / "w.csv").write_text("x,y\n" + rows)
    assert cli.main(["train", "w.csv", "--target", "y", "--regression", "--layers", "16,1"]) == 0
    assert float(results(capsys.readouterr().out)["Test R²"]) > 0.9
    assert cli.main(["train", "w.csv", "--target", "y"]) == 1
    assert "100 different values in 100 lines are too many classes" in capsys.readouterr().err


@pytest.mark.parametrize("n", [5, 6, 9, 10, 99, 100])
@pytest.mark.parametrize("stratify", [True, False])
def test_a_fifth_is_held_out(n: int, stratify: bool) -> None:
    y = np.arange(n) % 3
    train, test = problem.hold_out_a_fifth(y, stratify, seed=5)
    assert sorted([*train, *test]) == list(range(n))
    assert len(test) == n // 5
    again = problem.hold_out_a_fifth(y, stratify, seed=5)
    np.testing.assert_array_equal(test, again[1])


def test_the_held_out_fifth_is_drawn_by_seed_and_fair_to_the_classes() -> None:
    y = np.repeat([0, 1, 2], [100, 50, 10])
    _, test = problem.hold_out_a_fifth(y, True, seed=0)
    assert np.bincount(y[test]).tolist() == [20, 10, 2]
    assert problem.hold_out_a_fifth(y, True, seed=1)[1].tolist() != test.tolist()


GOOD_ROWS = "".join(f"{i},{i % 7},{'xy'[i % 2]}\n" for i in range(20))
BAD_CSV = {
    "empty": ("", "is empty: its first line must name the columns"),
    "no data": ("a,b,kind\n", "must have lines of data after its first line"),
    "no header": ("1,2,3\n4,5,6\n", "the first line must name the columns. Received: 1, 2, 3."),
    "nameless column": (",b,kind\n" + GOOD_ROWS, r"Received: none for column 1 \(pandas .* index=False"),
    "two of a name": ("a,a,kind\n" + GOOD_ROWS, "every column must have a name of its own. Received: 'a' twice"),
    "no such target": ("a,b,kinds\n" + GOOD_ROWS, "Unknown target column: 'kind'. Did you mean 'kinds'"),
    "missing": ("a,b,kind\n1,2,x\n3,,y\n", "line 3, column 'b': the value is missing. Fill it in"),
    "missing as NA": ("a,b,kind\n1,2,x\nNA,4,y\n", r"line 3, column 'a': the value is missing \('NA'\)"),
    "missing as nan": ("a,b,kind\nnan,2,x\n3,4,y\n", r"line 2, column 'a': the value is missing \('nan'\)"),
    "missing target": ("a,b,kind\n1,2,x\n3,4,?\n", r"line 3, column 'kind': the value is missing \('\?'\)"),
    "text feature": ("a,b,kind\n1,2,x\n3,Paris,y\n", "'b': 2 different texts .*'Paris' in line 3 is no number.*--drop"),
    "infinite feature": ("a,b,kind\n1,2,x\ninf,4,y\n", "line 3, column 'a': 'inf', must be a finite number"),
    "short line": ("a,b,kind\n1,2,x\n3,4\n", "line 3: there must be 3 cells, one for each column. Received: 2"),
    "long line": ("a,b,kind\n1,2,x\n3,4,y,5\n", "line 3: there must be 3 cells, one for each column. Received: 4"),
    "open quote": ('a,b,kind\n1,2,"x\n', "line 2: not a line of a CSV file"),
    "one column": ("kind\nx\ny\n", "there must be a column besides the target 'kind'"),
    "one class": ("a,b,kind\n1,2,x\n3,4,x\n", "column 'kind': the target must vary. Received: 'x' in every line"),
    "all different": ("a,b,kind\n1,2,x\n3,4,y\n5,6,z\n", "3 different values in 3 lines are too many classes. Choose"),
    "few lines": ("a,b,kind\n1,2,x\n3,4,y\n5,6,x\n7,8,y\n", "must have at least 5 lines of data. Received: 4"),
}  # fmt: skip


@pytest.mark.parametrize("text, message", BAD_CSV.values(), ids=BAD_CSV)
def test_csv_errors_name_the_place(text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.csv").write_text(text)
    assert cli.main(["train", "t.csv", "--target", "kind"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("nncore: error: t.csv")
    assert re.search(message, err), err
    assert "Traceback" not in err


def test_a_regression_needs_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.csv").write_text("a,y\n1,2.5\n2,many\n")
    assert cli.main(["train", "t.csv", "--target", "y", "--regression"]) == 1
    assert "column 'y': the target of a regression must be finite numbers. Received: 'many' in line 3" in (
        capsys.readouterr().err
    )


def test_a_csv_file_in_another_encoding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.csv").write_bytes("größe,y\n1,2\n".encode("latin-1"))
    assert cli.main(["train", "t.csv", "--target", "y"]) == 1
    assert re.search(r"t\.csv must be text in UTF-8\. .* Save it as UTF-8", capsys.readouterr().err)


@pytest.mark.parametrize("make", [None, Path.mkdir], ids=["absent", "folder"])
def test_a_csv_file_that_cannot_be_read(make: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if make:
        make(tmp_path / "t.csv")
    assert cli.main(["train", "t.csv", "--target", "y"]) == 1
    assert re.match(r"nncore: error: .*t\.csv", capsys.readouterr().err)


# Errors


@pytest.mark.parametrize(
    "options, message",
    [
        (["--layers", "64"], "--layers: the last .* 10 units, for 10 classes. Received: 64. Write --layers 64,10."),
        (["--layers", "64,3"], "the last layer must have 10 units, for 10 classes. Received: 3"),
        (["--optimizer", "adm"], "'adm'.* Did you mean 'adam'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said_before_training(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["train", "digits", *options]) == 1
    out, err = capsys.readouterr()
    assert (out, err.startswith("nncore: error: ")) == ("", True)
    assert re.search(message, err), err


def test_the_last_layer_of_a_regression_is_a_single_unit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line_like(tmp_path / "h.csv", 20)
    assert cli.main(["train", "h.csv", "--target", "price", "--layers", "8,2"]) == 1
    assert "the last layer must have 1 units, for a single number to predict. Received: 2" in capsys.readouterr().err


def test_data_that_cannot_be_had_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def load() -> None:
        raise OSError("mnist is not on this machine and could not be downloaded.")

    monkeypatch.setitem(problem.IMAGES, "mnist", (load, *problem.IMAGES["mnist"][1:]))
    assert cli.main(["train", "mnist"]) == 1
    assert capsys.readouterr().err == "nncore: error: mnist is not on this machine and could not be downloaded.\n"


@pytest.mark.parametrize(
    "argv, message",
    [
        (["trian"], "invalid choice: 'trian'"),
        (["train"], "the following arguments are required: DATA"),
        (["train", "digts"], "'digts'. Did you mean 'digits'? There are digits, fashion-mnist, mnist, and CSV"),
        (["train", "x.csv"], "--target is required for a CSV file"),
        (["train", "digits", "--target", "y"], "--target is for CSV files; digits has its classes"),
        (["train", "digits", "--regression"], "--regression is for CSV files"),
        (["train", "digits", "--drop", "y"], "--drop is for CSV files"),
        (["train", "digits", "--categorical", "y"], "--categorical is for CSV files"),
        (["train", "digits", "--impute", "mean"], "--impute is for CSV files"),
        (["train", "x.csv", "--target", "y", "--regression", "--categorical", "y"], "contradict each other"),
        (["train", "digits", "--layers", "64,x"], "--layers: must be positive integers with commas between"),
        (["train", "digits", "--layers", "64,0"], "--layers: must be positive integers"),
        (["train", "digits", "--layers", ""], "--layers: must be positive integers"),
        (["train", "digits", "--epochs", "0"], "--epochs: must be a positive integer. Received: 0"),
        (["train", "digits", "--epochs", "1.5"], "--epochs: must be a positive integer. Received: 1.5"),
        (["train", "digits", "--batch-size", "-3"], "--batch-size: must be a positive integer. Received: -3"),
        (["train", "digits", "--seed", "-1"], "--seed: must be an integer from 0 to 4294967295. Received: -1"),
        (["train", "digits", "--seed", "4294967296"], "--seed: must be an integer from 0 to 4294967295"),
        (["train", "digits", "--learning-rate", "0"], "--learning-rate: must be a positive number. Received: 0.0"),
        (["train", "digits", "--learning-rate", "nan"], "--learning-rate: must be a positive number"),
        (["train", "digits", "--learning-rate", "fast"], "--learning-rate: invalid float value: 'fast'"),
        (["train", "digits", "--backend", "gpu"], "--backend: invalid choice: 'gpu'"),
        (["train", "digits", "--no-such-option"], "unrecognized arguments: --no-such-option"),
    ],
)  # fmt: skip
def test_a_wrong_command_line_ends_with_2(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(argv)
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("usage: nncore")
    assert message in err


@pytest.mark.parametrize(
    "error, message",
    [
        (MemoryError(), "there is not enough memory."),
        (MemoryError("Unable to allocate 9 TiB"), "Unable to allocate 9 TiB"),
    ],
)
def test_data_that_memory_cannot_hold(
    error: MemoryError, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def load() -> None:
        raise error

    monkeypatch.setitem(problem.IMAGES, "mnist", (load, *problem.IMAGES["mnist"][1:]))
    assert cli.main(["train", "mnist"]) == 1
    assert capsys.readouterr().err == f"nncore: error: {message}\n"


def test_no_command_prints_the_help_and_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "nncore train digits" in err


def test_ctrl_c_ends_with_130_and_a_short_line() -> None:
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "nncore", "train", "digits", "--epochs", "1000000"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
        env=environment(),
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        while "Epoch 3/" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err == "\nnncore: interrupted.\n"


def test_a_reader_that_goes_away_ends_it_quietly() -> None:
    run = subprocess.run(
        ["bash", "-o", "pipefail", "-c", '"$0" -m nncore train digits --epochs 3 | head -n 1', sys.executable],
        capture_output=True, encoding="utf-8", env=environment(),
    )  # fmt: skip
    assert run.stdout.startswith("digits: 1,442 images")
    assert run.stderr == ""


def test_a_missing_extension_is_a_clear_error() -> None:
    code = (
        "import sys; sys.modules['nncore._native'] = None; from nncore.cli import main;"
        "sys.exit(main(['train', 'digits', '--epochs', '1']))"
    )
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, capture_output=True, encoding="utf-8", env=environment(NNCORE_BACKEND=""))
    assert run.returncode == 1
    assert run.stderr.startswith("nncore: error: nncore's compiled extension is missing")
    assert "Traceback" not in run.stderr


# Help, version, info


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"nncore {nncore.__version__}\n"


def help_of(*argv: str) -> str:
    run = run_process(*argv, "--help", COLUMNS="80", NO_COLOR="1")
    assert (run.returncode, run.stderr) == (0, "")
    return run.stdout


def test_help_shows_the_way_in() -> None:
    text = help_of()
    for part in (
        "usage: nncore",
        "train",
        "info",
        "nncore train digits",
        "--version",
        "NNCORE_BACKEND",
        "NNCORE_ISA",
        "NNCORE_HOME",
    ):
        assert part in text
    assert max(map(len, text.splitlines())) <= 80


def test_help_of_train_names_every_option_and_default() -> None:
    text = help_of("train")
    options = text.partition("\noptions:\n")[2].partition("\n\n")[0]
    entries = {re.search("--[a-z-]+", entry)[0]: " ".join(entry.split()) for entry in re.split(r"\n(?=  -)", options)}
    assert set(entries) == {"--help", *OPTIONS}
    for option in set(OPTIONS) - {"--target", "--regression", "--drop", "--categorical", "--save", "--quiet"}:
        assert "(default: " in entries[option], option
    recipes = {name: recipe for name, (*_, recipe) in problem.IMAGES.items()} | {"CSV files": problem.CSV_RECIPE}
    for name, recipe in recipes.items():
        assert re.search(rf"^  {name} +{recipe.epochs} epochs of batches of +{recipe.batch_size}$", text, re.MULTILINE)
    assert "nncore train iris.csv --target species" in text
    assert max(map(len, text.splitlines())) <= 80
    assert text.startswith("usage: nncore train DATA")
    assert text.isascii()


def test_info_prints_the_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    nncore.show_config()
    expected = capsys.readouterr().out
    assert cli.main(["info"]) == 0
    assert capsys.readouterr().out == expected
    assert nncore.get_backend() in expected


def test_python_m_nncore_is_the_command() -> None:
    run = run_process("--version")
    assert (run.returncode, run.stdout) == (0, f"nncore {nncore.__version__}\n")
    assert run_process("train", "digits", "--epochs", "0").returncode == 2
    assert run_process("train", "absent.csv", "--target", "y").returncode == 1


# Images in characters


def test_a_small_image_has_two_characters_a_pixel() -> None:
    image = np.array([[0, 4], [8, 16]], np.uint8)
    assert shades.draw(image, 16) == ["  ░░", "▒▒██"]


def test_a_wide_image_has_two_pixels_a_character() -> None:
    image = np.zeros((3, 20), np.uint8)
    image[0, 0] = image[1, 0] = image[2, 19] = 200
    assert shades.draw(image, 200) == ["█" + " " * 19, " " * 19 + "▒"]


def test_values_outside_are_drawn_as_the_nearest_shade() -> None:
    assert shades.draw(np.array([[-5.0, 99.0]]), 1.0) == ["  ██"]


def test_side_by_side_pads_every_cell_to_its_width() -> None:
    assert shades.side_by_side([["ab", "c"], ["d", "efg", "h"]], 2) == ["ab  d", "c   efg", "    h"]
