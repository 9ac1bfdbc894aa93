"""Every example runs as a person would run it, and does what it says."""

from __future__ import annotations

import gzip
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import nncore

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(name: str, folder: Path) -> str:
    path = os.pathsep.join([str(Path(nncore.__file__).parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8", "NNCORE_HOME": str(folder / "home")}
    command = [sys.executable, str(EXAMPLES / f"{name}.py")]
    process = subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8", env=environment)
    assert process.returncode == 0, process.stderr
    return process.stdout


def percent(pattern: str, out: str) -> float:
    return float(re.search(pattern + r" ([\d.]+)%", out)[1])


def test_every_example_is_tested() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {
        "first_steps", "digits", "fashion_mnist", "breast_cancer", "diabetes", "multi_label", "autoencoder",
        "scikit_learn",
    }  # fmt: skip


def test_first_steps(tmp_path: Path) -> None:
    out = run("first_steps", tmp_path)
    assert "Epoch 5/5" in out
    assert percent("accuracy", out) > 95
    predicted, true = (re.findall(r"\d", part) for part in re.search(r"predicted (\[.*\]) true (\[.*\])", out).groups())
    assert len(predicted) == len(true) == 10
    assert sum(p == t for p, t in zip(predicted, true, strict=True)) >= 8


def test_digits(tmp_path: Path) -> None:
    out = run("digits", tmp_path)
    accuracy = percent("Test accuracy:", out)
    assert accuracy >= 95
    wrong = re.findall(r"^Image \d+: (\d) taken for (\d) ", out, re.MULTILINE)
    assert len(wrong) == round(355 * (1 - accuracy / 100))
    assert all(true != guess for true, guess in wrong)


@pytest.fixture
def cached_fashion_mnist(tmp_path: Path) -> None:
    """A data set of bright rows in the place of Fashion-MNIST."""
    folder = tmp_path / "home" / "datasets" / "fashion-mnist"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for part, n in (("train", 1000), ("t10k", 100)):
        labels = (np.arange(n) % 10).astype(np.uint8)
        images = rng.integers(0, 60, (n, 28, 28), np.uint8)
        images[np.arange(n), 2 * labels + 3] = 255
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            content = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
            (folder / f"{part}-{kind}-ubyte.gz").write_bytes(gzip.compress(content, 1))


@pytest.mark.usefixtures("cached_fashion_mnist")
def test_fashion_mnist(tmp_path: Path) -> None:
    out = run("fashion_mnist", tmp_path)
    assert percent("Test accuracy:", out) == 100
    for name in ("curves", "predictions"):
        assert (tmp_path / f"fashion_mnist_{name}.png").read_bytes().startswith(b"\x89PNG")


def test_breast_cancer(tmp_path: Path) -> None:
    out = run("breast_cancer", tmp_path)
    assert percent("Test accuracy:", out) >= 94
    assert float(re.search(r"area under the curve: ([\d.]+)", out)[1]) >= 0.98
    assert percent("Malignant samples found:", out) >= 85
    stopped, best = map(int, re.search(r"Stopped after (\d+) epochs; the best was epoch (\d+)", out).groups())
    assert stopped == best + 20


def test_diabetes(tmp_path: Path) -> None:
    out = run("diabetes", tmp_path)
    errors = [float(e) for e in re.findall(r"off by ([\d.]+) on average", out)]
    assert len(errors) == 2
    assert errors[0] <= errors[1] + 2


def test_multi_label(tmp_path: Path) -> None:
    out = run("multi_label", tmp_path)
    assert "f1_score" in out
    assert percent("all five right:", out) >= 65
    assert len(re.findall(r"^A signal of .*: found .+$", out, re.MULTILINE)) == 3


def test_scikit_learn(tmp_path: Path) -> None:
    out = run("scikit_learn", tmp_path)
    assert percent("Perceptron, cross-validated:", out) >= 94
    assert percent("Test accuracy:", out) >= 93
    assert (tmp_path / "wines.joblib").exists()


def test_autoencoder(tmp_path: Path) -> None:
    out = run("autoencoder", tmp_path)
    first, last = map(float, re.search(r"pixel: ([\d.]+) after one epoch, ([\d.]+) at the end", out).groups())
    assert last < 0.1 < first
    assert (tmp_path / "autoencoder.png").read_bytes().startswith(b"\x89PNG")
