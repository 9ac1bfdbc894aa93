"""The table of ``docs/interop.md``: each thing that a cell says is looked at, with a model that was trained."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from oracles import FUSED_ISAS, on_isa

import nncore
from nncore import backends
from nncore.layers import BatchNormalization, Dense, Input
from nncore.models import Sequential, load_model
from nncore.saving import read_metadata
from nncore.utils import set_random_seed

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
"""Of Keras's own variables."""

DOC = Path(__file__).parent.parent / "docs" / "interop.md"

X = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
Y = np.arange(40) % 3


def trained(names: tuple[str, ...] = ("first", "norm", "last")) -> Sequential:
    set_random_seed(3)
    first, norm, last = names
    model = Sequential(
        [Input((8,)), Dense(16, "relu", name=first), BatchNormalization(name=norm), Dense(3, "softmax", name=last)]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], on_nan="stop")
    model.fit(X, Y, epochs=2, verbose=0)
    return model


class Case(NamedTuple):
    """A model that went into a format, and what came out of it."""

    before: Any
    after: Any
    predict: Callable[[Any], Any]
    path: Path


# What comes out of each format.


def _own(path: Path) -> Case:
    model = trained()
    if path.name.endswith(".weights.h5"):
        after: Any = emptied()
        model.save_weights(path)
        after.load_weights(path)
        return Case(model, None, lambda x: after.predict(x, verbose=0), path)
    model.save(path, metadata={"mine": [1, 2]})
    after = load_model(path)
    return Case(model, after, lambda x: after.predict(x, verbose=0), path)


def _onnx(path: Path) -> Case:
    import onnxruntime

    model = trained()
    model.export(path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return Case(model, None, lambda x: session.run(None, {"x": x})[0], path)


def _c(path: Path) -> Case:
    model = trained()
    model.export(path, prefix="m")
    compiler = shutil.which("gcc") or shutil.which("clang")
    assert compiler is not None
    program = path.with_suffix("")
    flags = ["-std=c99", "-O2", "-DNNCORE_MAIN", f"-DNNCORE_FMA={int(bool(FUSED_ISAS))}", "-fno-math-errno"]
    subprocess.run([compiler, *flags, path, "-lm", "-o", program], check=True)

    def predict(x: Any) -> Any:
        text = "\n".join(" ".join(value.hex() for value in row.tolist()) for row in x)
        done = subprocess.run([program], input=text, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ValueError(done.stderr)
        return np.array([line.split() for line in done.stdout.splitlines()], np.float32)

    return Case(model, None, predict, path)


def _torch(path: Path) -> Case:
    from nncore.convert import from_torch, to_torch

    model = trained()
    after = from_torch(to_torch(model))
    return Case(model, after, lambda x: after.predict(x, verbose=0), path)


def _keras(path: Path) -> Case:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras

    from nncore.convert import from_keras

    model = trained()
    model.save(path.with_suffix(".keras"))
    theirs = keras.models.load_model(path.with_suffix(".keras"))
    after = from_keras(theirs)
    return Case(model, after, lambda x: after.predict(x, verbose=0), path)


def _sklearn(path: Path) -> Case:
    from sklearn.neural_network import MLPClassifier

    from nncore.convert import from_sklearn

    theirs = MLPClassifier((16,), tol=1.0, random_state=0).fit(X, Y)
    after = from_sklearn(theirs)
    return Case(theirs, after, lambda x: after.predict(x, verbose=0), path)


MAKERS = {".onnx": _onnx, ".c": _c, "PyTorch": _torch, "Keras": _keras, "scikit-learn": _sklearn}
MARKS = {".onnx": [], ".c": [pytest.mark.tree], "PyTorch": [pytest.mark.peers], "Keras": [pytest.mark.peers]}


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Case]:
    @cache
    def make(form: str) -> Case:
        folder = tmp_path_factory.mktemp("interop")
        return MAKERS.get(form, _own)(folder / (f"m{form}" if form.startswith(".") else form))

    return make


# What cells say. "Lost" is that it is not kept.


def _predictions(it: Case, bound: float) -> None:
    before = it.before.predict_proba(X) if hasattr(it.before, "predict_proba") else it.before.predict(X, verbose=0)
    assert np.ptp(before) > 0.1
    assert np.abs(it.predict(X) - before).max() <= bound


def _any_batch(it: Case) -> bool:
    try:
        return all(it.predict(X[:n].reshape(-1, 8)).shape == (n, 3) for n in (1, 7)) and it.path.suffix != ".c"
    except ValueError:
        return False


def _layers(it: Case) -> bool:
    if it.after is None:
        return False
    kinds = [type(layer).__name__ for layer in it.after.layers]
    wanted = ["Dense"] * 2 if it.path.name == "scikit-learn" else ["Dense", "BatchNormalization", "Dense"]
    return [kind for kind in kinds if kind not in ("Activation", "Softmax")] == wanted


def _names(it: Case) -> bool:
    return it.after is not None and [layer.name for layer in it.after.layers] == ["first", "norm", "last"]


def _loss_and_metrics(it: Case) -> bool:
    if it.after is None or not it.after.compiled:
        return False
    return bool(it.after.evaluate(X, Y, verbose=0) == it.before.evaluate(X, Y, verbose=0))


def _optimizer(it: Case) -> bool:
    if it.after is None or it.after.optimizer is None:
        return False
    assert it.after.optimizer.steps == it.before.optimizer.steps > 0
    pairs = list(zip(it.before.optimizer.variables, it.after.optimizer.variables, strict=True))
    return len(pairs) > 8 and all(np.array_equal(a.value, b.value) for a, b in pairs)


def _settings(it: Case) -> bool:
    return bool(it.after._trainer.on_nan == "stop")


def _metadata(it: Case) -> bool:
    try:
        return read_metadata(it.path).get("mine") == [1, 2]
    except (ValueError, OSError):
        return False


def _history(it: Case) -> bool:
    return it.before.history is None or it.after.history is not None


SAID: dict[str, Callable[[Case], Any]] = {
    "predictions to the bit": lambda it: _predictions(it, 0.0) is None,
    "predictions to 1e-6": lambda it: _predictions(it, 1e-6) is None,
    "any batch": _any_batch,
    "layers": _layers,
    "names": _names,
    "loss and metrics": _loss_and_metrics,
    "optimizer to the bit": _optimizer,
    "optimizer": _optimizer,
    "settings of nncore": _settings,
    "metadata": _metadata,
    "history": _history,
}


def rows() -> list[list[str]]:
    table = DOC.read_text().split("## At a glance")[1].split("\n\n")[1]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def phrases(cell: str) -> list[str]:
    return [phrase.strip("` ") for phrase in cell.split(",") if phrase.strip()]


def cells(*columns: int) -> list[Any]:
    """Every phrase of some columns, under its format."""
    return [
        pytest.param(
            form, column, phrase, id=f"{form}-{phrase}",
            marks=pytest.mark.peers if phrase == "Keras" else MARKS.get(form, []),
        )
        for form, *row in ([row[0].strip("`"), *row[1:]] for row in rows())
        for column in columns
        for phrase in phrases(row[column - 1])
    ]  # fmt: skip


@pytest.mark.parametrize(("form", "column", "phrase"), cells(3, 4))
def test_what_is_kept_and_lost(form: str, column: int, phrase: str, case: Callable[[str], Case]) -> None:
    if form == ".c":  # whose bits are the kernels'
        backends.in_force = on_isa(FUSED_ISAS[0] if FUSED_ISAS else "baseline")
    assert bool(SAID[phrase](case(form))) is (column == 3)


@pytest.mark.parametrize(("form", "column", "phrase"), cells(1))
def test_what_writes(form: str, column: int, phrase: str, tmp_path: Path) -> None:
    """The method makes a file, or an object of the other library; no other method does."""
    model = trained()
    if phrase.startswith("."):  # through a file that the library reads
        model.save(tmp_path / f"m{phrase}")
        assert (tmp_path / f"m{phrase}").is_file()
        return
    if form == "PyTorch":
        assert type(nncore.convert.to_torch(model)).__module__.startswith("torch")
        return
    path = tmp_path / f"m{form}"
    for method in ("save", "save_weights", "export"):
        path.unlink(missing_ok=True)
        said = method in phrases(rows_by_form()[form][1])
        if method == "export" and not said:
            with pytest.raises(ValueError, match="export: "):
                model.export(path)
        elif method == "save" and form == ".weights.h5":  # which is a ".h5" file as well, as in Keras
            model.save(path)
        elif said:
            getattr(model, method)(path)
            assert path.is_file()
        else:
            with pytest.raises(ValueError, match="must end in"):
                getattr(model, method)(path)


def rows_by_form() -> dict[str, list[str]]:
    return {row[0].strip("`"): row for row in rows()}


@pytest.mark.parametrize(("form", "column", "phrase"), cells(2))
def test_what_reads(form: str, column: int, phrase: str, tmp_path: Path, case: Callable[[str], Case]) -> None:
    if phrase == "load_model":
        assert _layers(case(form))
    elif phrase in ("load_weights", "Keras"):
        model, path = trained(), tmp_path / f"m{form}"
        whole = "save" in phrases(rows_by_form()[form][1])
        model.save(path) if whole else model.save_weights(path)
        other = emptied() if phrase == "load_weights" else keras_model(path, model if whole else None)
        if not whole or phrase == "load_weights":
            other.load_weights(path)
        bound = 0.0 if phrase == "load_weights" else 1e-6
        assert np.abs(other.predict(X, verbose=0) - model.predict(X, verbose=0)).max() <= bound
    else:
        _predictions(case(form), 1e-6)


def emptied() -> Sequential:
    """A model like the trained one, of other names, whose weights are zeros."""
    model = trained(("a", "b", "c"))
    model.set_weights([np.zeros_like(w) for w in model.get_weights()])
    return model


def keras_model(path: Path, whole: Any) -> Any:
    """Keras's model in a file; where that has weights alone, one of the same layers."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras

    if whole is not None:
        return keras.models.load_model(path)
    return keras.Sequential(
        [keras.Input((8,)), keras.layers.Dense(16, "relu"), keras.layers.BatchNormalization(),
         keras.layers.Dense(3, "softmax")]
    )  # fmt: skip
