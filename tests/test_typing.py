"""Types: the stubs of the extension are what it has, and a user's script is checked strictly against the package."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import nncore
from nncore import _native, metrics

PACKAGE = Path(nncore.__file__).parent
STUBS = ast.parse((PACKAGE / "_native.pyi").read_text())
Function = ast.FunctionDef


def named(body: list[ast.stmt]) -> dict[str, ast.stmt]:
    """What statements define, but for what is private."""
    found = {node.name: node for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    found |= {node.target.id: node for node in body if isinstance(node, ast.AnnAssign) and node.simple}
    return {name: node for name, node in found.items() if not name.startswith("_")}


def defined(owner: Any) -> dict[str, Any]:
    """What a module or class defines itself, but for what is private or imported."""
    return {
        name: value
        for name, value in vars(owner).items()
        if not name.startswith("_")
        and not isinstance(value, ModuleType)
        and getattr(value, "__module__", None) in (None, "nncore._native")
        and not inspect.isbuiltin(value)
    }


def parameters(stub: Function) -> list[tuple[str, bool, bool]]:
    """Name, whether by keyword only, and whether it has a default."""
    positional = [*stub.args.posonlyargs, *stub.args.args]
    bare = len(positional) - len(stub.args.defaults)
    return [
        *((a.arg, False, i >= bare) for i, a in enumerate(positional)),
        *((a.arg, True, d is not None) for a, d in zip(stub.args.kwonlyargs, stub.args.kw_defaults, strict=True)),
    ]


def real_parameters(function: Any) -> list[tuple[str, bool, bool]]:
    return [
        (name, p.kind is p.KEYWORD_ONLY, p.default is not p.empty)
        for name, p in inspect.signature(function).parameters.items()
    ]


def test_the_stubs_name_what_the_extension_has() -> None:
    assert set(named(STUBS.body)) == set(defined(_native))
    for name, stub in named(STUBS.body).items():
        if isinstance(stub, ast.ClassDef):
            assert set(named(stub.body)) == set(defined(getattr(_native, name))), name


def test_the_stubs_have_its_parameters() -> None:
    functions = {name: stub for name, stub in named(STUBS.body).items() if isinstance(stub, Function)}
    assert len(functions) > 5
    for name, stub in functions.items():
        assert parameters(stub) == real_parameters(getattr(_native, name)), name
    for owner in (node for node in STUBS.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")):
        for name, method in named(owner.body).items():
            assert isinstance(method, Function)
            assert parameters(method) == real_parameters(vars(getattr(_native, owner.name))[name]), name


def test_the_defaults_are_its_own() -> None:
    """A stub's default is spelled out: it must be the one that is used."""
    for name, stub in named(STUBS.body).items():
        if isinstance(stub, Function):
            real = inspect.signature(getattr(_native, name)).parameters
            positional = stub.args.args[len(stub.args.args) - len(stub.args.defaults) :]
            pairs = [*zip(positional, stub.args.defaults), *zip(stub.args.kwonlyargs, stub.args.kw_defaults)]  # noqa: B905
            for argument, default in pairs:
                assert default is not None
                assert ast.literal_eval(default) == real[argument.arg].default, (name, argument.arg)


SCRIPT = '''
"""Trains, evaluates, saves and loads: what a user writes, with types."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import nncore
from nncore import activations, losses, metrics, regularizers
from nncore.callbacks import Callback, EarlyStopping, ModelCheckpoint
from nncore.datasets import digits
from nncore.initializers import HeNormal
from nncore.layers import BatchNormalization, Dense, Dropout, Input, Layer
from nncore.models import Sequential, load_model
from nncore.optimizers import Adam
from nncore.optimizers.schedules import CosineDecay
from nncore.utils import set_random_seed, to_categorical


class Scale(Layer):
    def __init__(self, factor: float, name: str | None = None) -> None:
        super().__init__(name=name)
        self.factor = factor

    def call(self, x: Any) -> Any:
        return self.factor * x


class Watch(Callback):
    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        print(epoch, logs)


def make(classes: int) -> Sequential:
    model = Sequential([Input((64,)), Dense(64, activation="relu", kernel_initializer=HeNormal())])
    model.add(BatchNormalization())
    model.add(Dropout(0.2))
    model.add(Dense(classes, activation=activations.softmax, kernel_regularizer=regularizers.L2(1e-4)))
    model.compile(
        optimizer=Adam(learning_rate=CosineDecay(1e-3, 100)),
        loss=losses.CategoricalCrossentropy(label_smoothing=0.1),
        metrics=["accuracy", metrics.TopKCategoricalAccuracy(k=2)],
    )
    return model


def main(folder: Path) -> float:
    set_random_seed(0)
    (x, y), (x_test, y_test) = digits.load_data()
    model = make(10)
    history = model.fit(
        x.reshape(-1, 64) / 16, to_categorical(y, 10), epochs=2, batch_size=32, validation_split=0.1, verbose=0,
        callbacks=[EarlyStopping(), ModelCheckpoint(folder / "best.weights.npz", save_weights_only=True), Watch()],
    )
    losses_seen: list[float] = history.history["loss"]
    model.save(folder / "model.npz")
    again = load_model(folder / "model.npz")
    predictions: npt.NDArray[np.float32] = again.predict(x_test.reshape(-1, 64) / 16, verbose=0)
    weights: list[npt.NDArray[np.float32]] = model.get_weights()
    print(nncore.__version__, nncore.get_backend(), losses_seen, len(weights), model.count_params(), len(y_test))
    return float(predictions.sum())


print(main(Path(".")))
'''


def every_public_name() -> str:
    """A script that imports each of them."""
    lines = []
    for found in pkgutil.walk_packages(nncore.__path__, "nncore."):
        if not found.name.rpartition(".")[2].startswith("_"):
            names = getattr(importlib.import_module(found.name), "__all__", ())
            lines += [f"from {found.name} import {name} as name_{len(lines) + i}" for i, name in enumerate(names)]
    lines += [f"from nncore import {name} as own_{name}" for name in nncore.__all__]
    return "\n".join(lines) + "\n"


WRONG = {
    "Dense('64')": "arg-type",
    "Dense()": "call-arg",
    "Sequential(Dense(64))": "arg-type",
    "Sequential().comple()": "attr-defined",
    "Sequential().fit(epochs='3')": "arg-type",
    "nncore.set_num_threads('2')": "arg-type",
    "nncore.get_num_threads() + 'threads'": "operator",
    "Sequential().count_params().upper()": "attr-defined",
    "nncore.__version__ + 1": "operator",
    "nncore.layers.Danse(3)": "attr-defined",
}


def mypy(folder: Path, script: str) -> tuple[int, str]:
    """Exit status and report of a strict check of a script in ``folder``, which holds nothing else.

    An installed wheel is found by its ``py.typed``; a checkout must be named.
    """
    checkout = "" if PACKAGE.parent.name == "site-packages" else str(PACKAGE.parent)
    (folder / "script.py").write_text(script)
    (folder / "mypy.ini").write_text("[mypy]\nstrict = True\n[mypy-nncore.*]\nignore_errors = True\n")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-color-output", f"--cache-dir={folder / 'cache'}", "script.py"],
        cwd=folder, env={"PATH": "", "MYPYPATH": checkout}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all, whose cache keeps what was read."""
    return tmp_path_factory.mktemp("typed")


def test_a_script_of_a_user_passes(folder: Path) -> None:
    assert mypy(folder, SCRIPT) == (0, "Success: no issues found in 1 source file\n")


def test_every_public_name_is_known(folder: Path) -> None:
    """Also those that are imported when they are first used."""
    script = every_public_name()
    assert script.count("\n") > 400
    assert mypy(folder, script) == (0, "Success: no issues found in 1 source file\n")


def test_the_metrics_that_have_names_are_public() -> None:
    assert {cls.__name__ for cls in metrics._CLASSES} <= set(metrics.__all__)
    assert {function.__name__ for function in metrics._FUNCTIONS} <= set(metrics.__all__)


def test_the_script_runs(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-W", "error", "-c", SCRIPT], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2].startswith(nncore.__version__)


def test_wrong_uses_are_found(folder: Path) -> None:
    header = "import nncore\nfrom nncore.layers import Dense\nfrom nncore.models import Sequential\n\n"
    status, report = mypy(folder, header + "\n".join(WRONG) + "\n")
    assert status == 1
    found = re.findall(r"^script\.py:(\d+): error: .*\[([\w-]+)\]$", report, re.MULTILINE)
    first = header.count("\n") + 1
    assert found == [(str(first + i), code) for i, code in enumerate(WRONG.values())], report
