"""``nncore train --save``, ``predict``, ``info`` and ``convert``: what they print and write, and what they refuse."""

from __future__ import annotations

import csv
import io
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import nncore
from nncore import cli, problem
from nncore.backend import clear_session
from nncore.cli import results
from nncore.models import load_model
from nncore.saving import files, read_metadata
from nncore.saving.files import MODELS

ROOT = Path(nncore.__file__).parent.parent


pytestmark = pytest.mark.usefixtures("folder_of_its_own")


def process(*argv: str, **options: object) -> subprocess.CompletedProcess[str]:
    """The command as a process of its own."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-W", "error", "-m", "nncore", *argv]
    return subprocess.run(command, capture_output=True, encoding="utf-8", env=environment, **options)  # type: ignore


def houses(name: str = "houses.csv", n: int = 120, seed: int = 0, target: bool = True) -> list[list[str]]:
    """Writes a table: size (with gaps), town, built; the price follows from them. Returns its rows."""
    rng = np.random.default_rng(seed)
    size, town, built = rng.normal(100, 30, n), rng.integers(0, 3, n), rng.integers(1950, 2020, n)
    price = 2000 * size + 50_000 * town + 100 * (built - 1950)
    towns = ["Ulm", "Paris, FR", "Rome"]
    rows = [
        ["" if i % 9 == 4 else f"{size[i]:.2f}", towns[town[i]], str(built[i])]
        + ([f"{price[i]:.1f}", "dear" if price[i] > 250_000 else "cheap"] if target else [])
        for i in range(n)
    ]
    with open(name, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["size", "town", "built", *(["price", "class"] if target else [])], *rows])
    return rows


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[str, str]:
    """What a command that must succeed prints."""
    assert cli.main(list(argv)) == 0, capsys.readouterr().err
    return capsys.readouterr()


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """The one line that a command that must fail prints."""
    assert cli.main(list(argv)) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("nncore: error: ")
    assert err.count("\n") == 1
    return err


def table(text: str) -> tuple[list[str], list[list[str]]]:
    """The names of the columns of CSV text, and its rows."""
    names, *rows = csv.reader(io.StringIO(text))
    return names, rows


def train(capsys: pytest.CaptureFixture[str], *options: str) -> None:
    """Trains on ``houses``, into model.npz."""
    houses()
    run(capsys, "train", "houses.csv", "--impute", "mean", "--quiet", "--save", "model.npz", *options)


# train --save and predict


def test_a_second_process_predicts_the_same_to_the_bit() -> None:
    """The file alone is enough: the model, and how its samples are made of a table."""
    houses()
    options = "--target class --drop price --impute mean --epochs 5 --save model.npz"
    done = process("train", "houses.csv", *options.split())
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("houses.csv: 96 lines of 5 numbers to train on, 24 to test on; 2 classes\n")
    assert "\nColumns of categories: 'town' (3)\n" in done.stdout
    assert done.stdout.endswith("The model: model.npz\n")
    houses("new.csv", 50, seed=1, target=False)
    os.remove("houses.csv")
    done = process("predict", "model.npz", "new.csv", "--probabilities")
    assert (done.returncode, done.stderr) == (0, "")
    names, rows = table(done.stdout)
    assert names == ["prediction", "probability", "probability:cheap", "probability:dear"]
    model = load_model("model.npz")
    schema = cli.predict.task_of("model.npz", read_metadata("model.npz")).schema
    x = schema.samples("new.csv", cli.predict.read_columns("new.csv", schema.choose))
    expected = model.predict(x, verbose=0)
    found = np.array([[np.float32(cell) for cell in row[2:]] for row in rows])
    np.testing.assert_array_equal(found, expected)
    assert [row[0] for row in rows] == [("cheap", "dear")[i] for i in expected.argmax(1)]
    assert [np.float32(row[1]) for row in rows] == expected.max(1).tolist()


def test_train_predicts_with_the_model_it_saves(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What train says of the held-out lines is what predict says of them."""
    seen = []
    original = results.of_test
    monkeypatch.setattr(results, "of_test", lambda p, outputs: (seen.append((p, outputs)), original(p, outputs))[1])
    train(capsys, "--target", "price", "--drop", "class")
    ((trained, outputs),) = seen
    rows = houses()
    test = problem.hold_out_a_fifth(np.zeros(len(rows)), stratify=False, seed=0)[1]
    with open("test.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["size", "town", "built", "price", "class"], *(rows[i] for i in test)])
    out, err = run(capsys, "predict", "model.npz", "test.csv")
    names, predicted = table(out)
    assert names == ["prediction"]
    assert [np.float32(row[0]) for row in predicted] == outputs[:, 0].tolist()
    mae = np.abs(outputs[:, 0] - trained.truth).mean()
    assert re.fullmatch(rf"MAE +{mae:.4g}\nR² +0\.8\d+\n", err)
    assert 0 < mae < 20_000


def test_columns_in_any_order_and_others_besides(capsys: pytest.CaptureFixture[str]) -> None:
    train(capsys, "--target", "class", "--drop", "price")
    houses("new.csv", 30, seed=2, target=False)
    expected, _ = run(capsys, "predict", "model.npz", "new.csv")
    rows = houses("new.csv", 30, seed=2, target=False)
    with open("other.csv", "w", encoding="utf-8", newline="") as file:
        names = [["built", "id", "town", "size"]]
        csv.writer(file, delimiter=";").writerows(names + [[c, "x", b, a] for a, b, c in rows])
    assert run(capsys, "predict", "model.npz", "other.csv") == (expected, "")
    assert len(table(expected)[1]) == 30


def test_the_score_is_that_of_the_lines_with_a_target(capsys: pytest.CaptureFixture[str]) -> None:
    train(capsys, "--target", "class", "--drop", "price")
    rows = houses("new.csv", 40, seed=3)
    out, _ = run(capsys, "predict", "model.npz", "new.csv")
    predicted = [row[0] for row in table(out)[1]]
    truth = [row[4] for row in rows]
    for i in (0, 7):
        rows[i][4] = truth[i] = "?"
    rows[8][4] = truth[8] = "very dear"
    with open("new.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["size", "town", "built", "price", "class"], *rows])
    again, err = run(capsys, "predict", "model.npz", "new.csv")
    right = sum(a == b for a, b in zip(predicted, truth, strict=True))
    assert again == out
    assert err == f"Accuracy       {100 * right / 38:.2f} % ({right} of 38 right)\n"
    assert 30 < right < 38


def test_numbers_that_float32_cannot_hold(capsys: pytest.CaptureFixture[str]) -> None:
    """Seconds since 1970, to within some, of which float32 has every 128th."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=200)
    with open("t.csv", "w", newline="") as file:
        rows = zip(x.tolist(), (1_700_000_000 + 40 * x + 0.5).tolist(), strict=True)
        csv.writer(file).writerows([["x", "t"], *rows])
    run(capsys, "train", "t.csv", "--target", "t", "--quiet", "--save", "t.npz")
    out, err = run(capsys, "predict", "t.npz", "t.csv")
    errors = np.array([float(row[0]) for row in table(out)[1]]) - (1_700_000_000 + 40 * x + 0.5)
    assert np.abs(errors).mean() < 4
    assert float(err.split()[1]) == pytest.approx(np.abs(errors).mean(), rel=1e-3)


def test_output_goes_into_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    train(capsys, "--target", "class", "--drop", "price")
    printed, score = run(capsys, "predict", "model.npz", "houses.csv")
    Path("answers.csv").write_text("old")
    assert run(capsys, "predict", "model.npz", "houses.csv", "--output", "answers.csv") == (score, "")
    assert Path("answers.csv").read_text() == printed
    assert sorted(os.listdir()) == ["answers.csv", "houses.csv", "model.npz", "training.png"]


def test_the_standard_input(capsys: pytest.CaptureFixture[str]) -> None:
    train(capsys, "--target", "class", "--drop", "price")
    expected, _ = run(capsys, "predict", "model.npz", "houses.csv")
    with open("houses.csv", encoding="utf-8") as file:
        done = process("predict", "model.npz", "-", stdin=file)
    assert (done.returncode, done.stdout) == (0, expected)
    assert done.stderr.startswith("Accuracy ")
    done = process("predict", "model.npz", "-", input="size,built\n1,2\n")
    assert done.returncode == 1
    assert done.stderr.startswith("nncore: error: -: there must be a column 'town'")


def test_both_backends_predict_alike(capsys: pytest.CaptureFixture[str]) -> None:
    train(capsys, "--target", "price", "--drop", "class")
    native, _ = run(capsys, "predict", "model.npz", "houses.csv", "--backend", "native")
    assert nncore.get_backend() == "native"
    by_numpy, _ = run(capsys, "predict", "model.npz", "houses.csv", "--backend", "numpy")
    assert nncore.get_backend() == "numpy"
    a, b = ([float(row[0]) for row in table(text)[1]] for text in (native, by_numpy))
    np.testing.assert_allclose(a, b, rtol=1e-5)


def test_images(capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = run(capsys, "train", "digits", "--epochs", "3", "--quiet", "--save", "digits.npz")
    score = re.search(r"Test accuracy +(.*)", out)[1]
    out, err = run(capsys, "predict", "digits.npz", "digits")
    assert err == f"Accuracy       {score}\n"
    names, rows = table(out)
    assert (names, len(rows)) == (["prediction", "probability"], 355)
    (_, _), (x, _) = problem.digits.load_data()
    pixels = [f"p{i}" for i in range(64)]
    with open("pixels.csv", "w", newline="") as file:
        csv.writer(file).writerows([pixels, *x.reshape(len(x), 64).tolist()])
    assert run(capsys, "predict", "digits.npz", "pixels.csv") == (out, "")


def test_a_model_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    """All columns are its inputs, and what it computes is printed as it is."""
    model = nncore.Sequential([nncore.Input((2,)), nncore.layers.Dense(3)])
    model.save("own.npz")
    Path("x.csv").write_text("label,a,b\nq,1,2\nr,3,4.5\n")
    out, err = run(capsys, "predict", "own.npz", "x.csv", "--drop", "label")
    names, rows = table(out)
    assert (names, err) == (["output_0", "output_1", "output_2"], "")
    expected = model.predict(np.array([[1, 2], [3, 4.5]], np.float32), verbose=0)
    assert [[np.float32(cell) for cell in row] for row in rows] == expected.tolist()
    assert "there must be 2 columns, one for each input" in refused(capsys, "predict", "own.npz", "x.csv")
    assert "--probabilities: own.npz must predict classes" in refused(
        capsys, "predict", "own.npz", "x.csv", "--probabilities"
    )


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("absent.csv", None, "absent.csv"),
        ("t.csv", "size,built\n1,2\n", "t.csv: there must be a column 'town', which the model was trained on"),
        ("t.csv", "size,town,built\n1,Ulm,2\n1,Bonn,2\n", "t.csv, line 3, column 'town': unknown category 'Bonn'"),
        ("t.csv", "size,town,built\n1,Ulm,2\n1,Ulm,new\n", "t.csv, line 3, column 'built': 'new', must be a number"),
        ("t.csv", "size,town,built,price\n1,Ulm,2,many\n", "t.csv, line 2, column 'price': 'many', must be a number"),
    ],
)
def test_what_cannot_be_predicted_from(
    name: str, text: str | None, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    train(capsys, "--target", "price", "--drop", "class")
    if text is not None:
        Path(name).write_text(text)
    assert message in refused(capsys, "predict", "model.npz", name, "--output", "out.csv")
    assert not Path("out.csv").exists()


@pytest.mark.parametrize(
    "place, message",
    [
        ("model.txt", "--save: the file's name must end in .npz"),
        ("model.weights.h5", "--save: the file's name must end in .npz"),
        ("nowhere/model.npz", "--save: there is no folder"),
        ("folder.npz", "--save: 'folder.npz' is a folder"),
    ],
)
def test_a_place_to_save_is_looked_at_before_training(
    place: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkdir("folder.npz")
    assert message in refused(capsys, "train", "absent.csv", "--target", "y", "--save", place)


@pytest.mark.parametrize("damage", [None, {}, "x", {"data": "a.csv", "classes": None, "schema": None, "scores": {}}])
def test_what_a_file_says_of_its_data_is_checked(damage: object, capsys: pytest.CaptureFixture[str]) -> None:
    model = nncore.Sequential([nncore.Input((2,)), nncore.layers.Dense(3)])
    model.save("own.npz", metadata={"task": damage})
    Path("x.csv").write_text("a,b\n1,2\n")
    message = "own.npz: what it says of its data is damaged"
    assert message in refused(capsys, "predict", "own.npz", "x.csv")
    assert message in refused(capsys, "info", "own.npz")


def test_a_model_must_fit_what_its_file_says_of_its_data(capsys: pytest.CaptureFixture[str]) -> None:
    train(capsys, "--target", "class", "--drop", "price", "--epochs", "1")
    model = nncore.Sequential([nncore.Input((4,)), nncore.layers.Dense(2)])
    metadata = {key: value for key, value in read_metadata("model.npz").items() if key == "task"}
    model.save("other.npz", metadata=metadata)
    assert "other.npz: its model must have inputs of shape (5,) and outputs of shape (2,)" in refused(
        capsys, "predict", "other.npz", "houses.csv"
    )


def test_a_training_that_fails_saves_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    houses()
    Path("model.npz").write_text("the old one")
    options = "--target price --drop class --impute mean --optimizer sgd --learning-rate 1e30 --save model.npz --quiet"
    message = refused(capsys, "train", "houses.csv", *options.split())
    assert re.match("nncore: error: The loss became .* in epoch 1", message)
    assert Path("model.npz").read_text() == "the old one"


def test_dropped_and_categorical_columns(capsys: pytest.CaptureFixture[str]) -> None:
    rows = "".join(f"{i},{10 * (i % 4)},{'ab'[i % 4 > 1]}\n" for i in range(80))
    Path("t.csv").write_text("id,code,y\n" + rows)
    options = "--target y --drop id --categorical code --epochs 50 --quiet --save t.npz"
    out, _ = run(capsys, "train", "t.csv", *options.split())
    assert "100.00 %" in out
    schema = read_metadata("t.npz")["task"]["schema"]
    assert [(f["name"], f["categories"]) for f in schema["features"]] == [("code", ["0", "10", "20", "30"])]
    Path("new.csv").write_text("code\n30\n0\n")
    out, _ = run(capsys, "predict", "t.npz", "new.csv")
    assert [row[0] for row in table(out)[1]] == ["b", "a"]


def test_a_large_file_is_read_piece_by_piece() -> None:
    """300,000 lines of 10 numbers, of which the process never holds all as text."""
    line = ",".join(f"{i}.2345" for i in range(10))
    with open("big.csv", "w") as file:
        file.write(",".join("abcdefghij") + "\n")
        for _ in range(1000):
            file.write(f"{line}\n" * 300)
    code = """
import resource
from nncore.datasets.columns import read_columns
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = read_columns("big.csv", lambda names: dict.fromkeys(names))
assert sum(column.values.size for column in found.values()) == 3_000_000
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert int(done.stdout) < 60  # MB; the numbers take 24 and their pieces as much, all cells as text over 170


@pytest.mark.parametrize("suffix, package", [(".safetensors", "safetensors"), (".keras", "h5py"), (".h5", "h5py")])
def test_a_package_that_is_missing_is_noticed_before_training(
    suffix: str, package: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr(nncore.Sequential, "fit", lambda *given, **named: pytest.fail("it was trained"))
    message = refused(capsys, "train", "digits", "--save", f"model{suffix}")
    assert "pip install 'nncore[" in message
    assert os.listdir() == []


# info


def test_info_of_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    train(capsys, "--target", "class", "--drop", "price", "--epochs", "3")
    out, err = run(capsys, "info", "model.npz")
    assert err == ""
    found = dict(re.findall(r"^(\w[\w ]+?)  +(.*)$", out, re.MULTILINE))
    assert found["File"] == f"model.npz, a model, {os.path.getsize('model.npz'):,} bytes"
    assert found["Written by"].startswith(f"nncore {nncore.__version__}, backend {nncore.config_summary()}, NumPy ")
    assert (found["Input"], found["Output"]) == ("(None, 5)", "(None, 2)")
    assert found["Optimizer"] == "adam, learning rate 0.001"
    assert found["Loss"] == "sparse_categorical_crossentropy"
    assert found["Trained"] == "3 epochs, 18 steps"
    assert found["Trained on"] == "houses.csv"
    assert re.fullmatch(r"\d+\.\d\d % \(\d+ of 24 right\)", found["Test accuracy"])
    assert found["Predicts"] == "'class', one of 'cheap', 'dear'"
    assert re.fullmatch(
        r"'size' \(missing: [\d.]+\), 'town', one of 3 texts \(missing: \w+\), 'built' \(missing: [\d.]+\)",
        found["From"],
    )
    assert "Total params: 1,54" in out


def test_info_of_a_model_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    model = nncore.Sequential([nncore.layers.Dense(3)])
    model.save("unbuilt.npz")
    out, _ = run(capsys, "info", "unbuilt.npz")
    assert not re.search("^(Input|Optimizer|Trained)", out, re.MULTILINE)
    model = nncore.Sequential([nncore.Input((2,)), nncore.layers.Dense(3)])
    schedule = nncore.optimizers.schedules.ExponentialDecay(0.5, 10, 0.9)
    model.compile(nncore.optimizers.SGD(schedule), "mean_squared_error")
    model.save("scheduled.npz")
    out, _ = run(capsys, "info", "scheduled.npz")
    assert re.search(r"^Optimizer +sgd, learning rate 0\.5$", out, re.MULTILINE)
    assert "the model must be built" in refused(capsys, "predict", "unbuilt.npz", "x.csv")


@pytest.mark.parametrize(
    "own", [{"epochs": 3}, {"epochs": "x", "metrics": {}}, {"epochs": 3, "metrics": {"loss": "x"}}]
)
def test_what_a_file_says_of_its_training_is_checked(
    own: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    nncore.Sequential([nncore.Input((2,)), nncore.layers.Dense(3)]).save("own.npz")
    contents = files.read("read", "own.npz", MODELS)
    files.write("write", "own.npz", replace(contents, metadata={"nncore": own}), MODELS)
    assert "own.npz: what it says of its training is damaged" in refused(capsys, "info", "own.npz")


def test_info_of_weights(capsys: pytest.CaptureFixture[str]) -> None:
    nncore.Sequential([nncore.Input((2,)), nncore.layers.Dense(3)]).save_weights("own.weights.h5")
    out, _ = run(capsys, "info", "own.weights.h5")
    assert out.startswith(
        f"File           own.weights.h5, weights alone, {os.path.getsize('own.weights.h5'):,} bytes\n"
    )
    assert re.search(r"layers/dense/vars/0 +float32 \(2, 3\)\nlayers/dense/vars/1 +float32 \(3,\)\n9 values\n$", out)


@pytest.mark.parametrize(
    "command", [["info"], ["predict", "{}", "x.csv"], ["convert", "{}", "out.npz"]], ids=["info", "predict", "convert"]
)
def test_files_that_are_no_models(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    def argv(name: str) -> list[str]:
        return [part.format(name) for part in command] if "{}" in command else [*command, name]

    assert "there is no file 'absent.npz'" in refused(capsys, *argv("absent.npz"))
    Path("bad.npz").write_bytes(b"no archive")
    assert "'bad.npz' is damaged, or is no file of" in refused(capsys, *argv("bad.npz"))
    assert "the file's name must end in" in refused(capsys, *argv("model.txt"))
    assert not Path("out.npz").exists()


# convert


def test_convert_keeps_everything(capsys: pytest.CaptureFixture[str]) -> None:
    train(capsys, "--target", "class", "--drop", "price", "--epochs", "3")
    out, _ = run(capsys, "convert", "model.npz", "copy.npz")
    assert out == f"copy.npz: {os.path.getsize('copy.npz'):,} bytes\n"
    assert read_metadata("copy.npz") == read_metadata("model.npz")
    assert run(capsys, "predict", "copy.npz", "houses.csv") == run(capsys, "predict", "model.npz", "houses.csv")


@pytest.mark.parametrize("suffix", [suffix for suffix in MODELS if suffix != ".npz"])
def test_every_format_of_models_is_all_that_predicting_needs(suffix: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Saved as such, converted to it, and converted back: the same bits are predicted."""
    clear_session()
    train(capsys, "--target", "class", "--drop", "price", "--epochs", "3")
    expected = run(capsys, "predict", "model.npz", "houses.csv")
    run(capsys, "convert", "model.npz", f"model{suffix}")
    assert run(capsys, "predict", f"model{suffix}", "houses.csv") == expected
    run(capsys, "convert", f"model{suffix}", "back.npz")
    assert run(capsys, "predict", "back.npz", "houses.csv") == expected
    first, last = read_metadata("model.npz"), read_metadata("back.npz")
    assert last["task"] == first["task"]
    assert last["nncore"] == first["nncore"]
    clear_session()  # a command is a process of its own, and names layers from the beginning
    train(capsys, "--target", "class", "--drop", "price", "--epochs", "3", "--save", f"saved{suffix}")
    assert run(capsys, "predict", f"saved{suffix}", "houses.csv") == expected
    infos = [run(capsys, "info", name)[0].split("\n", 1)[1] for name in ("model.npz", f"saved{suffix}")]
    assert infos[0] == infos[1]


def test_convert_to_weights(capsys: pytest.CaptureFixture[str]) -> None:
    train(capsys, "--target", "class", "--drop", "price", "--epochs", "3")
    run(capsys, "convert", "model.npz", "model.weights.h5")
    model, other = load_model("model.npz"), load_model("model.npz")
    other.set_weights([np.zeros_like(w) for w in other.get_weights()])
    other.load_weights("model.weights.h5")
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    run(capsys, "convert", "model.weights.h5", "weights.npz")
    other.set_weights([np.zeros_like(w) for w in other.get_weights()])
    other.load_weights("weights.npz")
    np.testing.assert_array_equal(other.get_weights()[0], model.get_weights()[0])


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of Keras's on NumPy 2
def test_keras_predicts_what_the_command_does(capsys: pytest.CaptureFixture[str]) -> None:
    """A model of a table in Keras's format, its layers for units included; and Keras's own model on a table."""
    import keras

    train(capsys, "--target", "price", "--drop", "class", "--save", "model.keras")
    rows = [["100", "Rome", "1990"], ["60.5", "Ulm", "1955"]]
    with open("new.csv", "w", newline="") as file:
        csv.writer(file).writerows([["size", "town", "built"], *rows])
    out, _ = run(capsys, "predict", "model.keras", "new.csv")
    x = np.array([[100, 0, 1, 0, 1990], [60.5, 0, 0, 1, 1955]], np.float32)
    theirs = keras.models.load_model("model.keras")
    np.testing.assert_allclose([float(row[0]) for row in table(out)[1]], theirs.predict(x, verbose=0)[:, 0], rtol=1e-6)
    theirs.save("theirs.keras")
    run(capsys, "convert", "theirs.keras", "theirs.npz")
    with open("x.csv", "w", newline="") as file:
        csv.writer(file).writerows([list("abcde"), *x.tolist()])
    assert run(capsys, "predict", "theirs.npz", "x.csv") == (out, "")


def test_weights_alone_go_where_they_are_named_alike(capsys: pytest.CaptureFixture[str]) -> None:
    model = nncore.Sequential([nncore.Input((2,)), nncore.layers.Dense(3)])
    kernel = model.get_weights()[0]
    model.save_weights("by_place.weights.h5")
    model.save_weights("by_layer.h5")
    for source, target in [
        ("by_place.weights.h5", "a.safetensors"),
        ("a.safetensors", "b.npz"),
        ("by_layer.h5", "c.hdf5"),
    ]:
        run(capsys, "convert", source, target)
        model.set_weights([np.zeros_like(w) for w in model.get_weights()])
        model.load_weights(target)
        np.testing.assert_array_equal(model.get_weights()[0], kernel)
    for source, target in [("by_place.weights.h5", "d.h5"), ("by_layer.h5", "d.npz")]:
        assert "nothing in it says which is which" in refused(capsys, "convert", source, target)
        assert not Path(target).exists()


@pytest.mark.tree
def test_convert_to_another_program(capsys: pytest.CaptureFixture[str]) -> None:
    import onnxruntime

    train(capsys, "--target", "price", "--drop", "class", "--epochs", "3")
    run(capsys, "convert", "model.npz", "model.c")
    subprocess.run(["gcc", "-std=c99", "-c", "model.c", "-o", "model.o"], check=True)
    run(capsys, "convert", "model.npz", "model.onnx")
    x = np.array([[100, 0, 1, 0, 1990]], np.float32)
    session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: x})
    np.testing.assert_allclose(found, load_model("model.npz").predict(x, verbose=0), rtol=1e-6)
    assert "the file's name must end in" in refused(capsys, "convert", "model.onnx", "back.npz")
    run(capsys, "convert", "model.npz", "model.weights.h5")
    assert "'model.weights.h5' holds weights alone, and 'two.onnx' needs a whole model" in refused(
        capsys, "convert", "model.weights.h5", "two.onnx"
    )


def test_convert_replaces_nothing_unless_told(capsys: pytest.CaptureFixture[str]) -> None:
    nncore.Sequential([nncore.Input((2,)), nncore.layers.Dense(3)]).save("own.npz")
    Path("there.npz").write_text("precious")
    assert "'there.npz' is there already. --overwrite replaces it" in refused(capsys, "convert", "own.npz", "there.npz")
    assert Path("there.npz").read_text() == "precious"
    run(capsys, "convert", "own.npz", "there.npz", "--overwrite")
    assert load_model("there.npz").output_shape == (None, 3)


# Help


@pytest.mark.parametrize("command", ["predict", "info", "convert"])
def test_help_fits_a_terminal(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert text.startswith(f"usage: nncore {command}")
    assert text.isascii()
