"""Which backend and which instruction set runs: chosen by name or by the environment, never silently another."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from oracles import ISAS, labels, on_isa, relative, same_bits, uniform

import nncore
from nncore import backends
from nncore.layers import Dense, Input
from nncore.models import Sequential

pytestmark = pytest.mark.usefixtures("seed")


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A fresh process that sees these variables of nncore's, and no others."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("NNCORE_")}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**kept, **environment}, check=False
    )


WITHOUT_EXTENSION = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name == "nncore._native":
            raise ModuleNotFoundError("No module named 'nncore._native'", name=name)
sys.meta_path.insert(0, Missing())
import numpy as np, nncore
from nncore.models import Sequential
from nncore.layers import Dense
model = Sequential([Dense(2, input_dim=3)])
"""


def test_native_is_the_default() -> None:
    assert python("import nncore; print(nncore.get_backend())").stdout == "native\n"
    assert python("import nncore; print(nncore.get_backend())", NNCORE_BACKEND="").stdout == "native\n"


def test_the_environment_chooses() -> None:
    ran = python("import nncore; print(nncore.get_backend(), nncore.config_summary())", NNCORE_BACKEND="numpy")
    assert ran.stdout == "numpy numpy\n"
    wrong = python("import nncore; nncore.get_backend()", NNCORE_BACKEND="nummpy")
    assert "Unknown backend: 'nummpy'. Did you mean 'numpy'?" in wrong.stderr


def test_without_the_extension_numpy_runs_when_asked_for() -> None:
    code = WITHOUT_EXTENSION + "print(model.predict(np.ones((1, 3)), verbose=0).shape)"
    ran = python(code, NNCORE_BACKEND="numpy")
    assert (ran.stdout, ran.stderr) == ("(1, 2)\n", "")
    ran = python(
        WITHOUT_EXTENSION + "nncore.set_backend('numpy'); print(model(np.ones((1, 3))).shape); nncore.show_config()"
    )
    assert ran.stdout.startswith("(1, 2)\n")
    assert "the extension is not built" in ran.stdout


@pytest.mark.parametrize("use", ["model.predict(np.ones((1, 3)), verbose=0)", "nncore.set_backend('native')"])
def test_without_the_extension_native_is_an_error(use: str) -> None:
    """It says how to build it, and how to do without; nothing falls back by itself."""
    ran = python(WITHOUT_EXTENSION + use)
    assert ran.returncode == 1
    for part in ("MissingExtensionError", "pip install -e .", "NNCORE_BACKEND=numpy", 'nncore.set_backend("numpy")'):
        assert part in ran.stderr


@pytest.mark.parametrize("isa", ISAS)
def test_the_environment_chooses_the_instruction_set(isa: str) -> None:
    ran = python("import nncore; print(nncore.config_summary()); nncore.show_config()", NNCORE_ISA=isa)
    lines = ran.stdout.splitlines()
    assert lines[0].startswith(f"native ({isa}")
    assert any(line.split()[:2] == ["chosen", isa] for line in lines)
    assert any(line.split()[0] == "supported" and isa in line for line in lines)


def test_an_impossible_instruction_set_is_an_error() -> None:
    """Nothing else runs in its place; what there is, is listed."""
    ran = python("import nncore; nncore.set_backend('native')", NNCORE_ISA=f"{ISAS[0]}0")
    assert ran.returncode == 1
    for part in ("ImportError", "is not among the compiled ones", f"Did you mean '{ISAS[0]}'?", "Compiled: "):
        assert part in ran.stderr
    backends.in_force = on_isa("avx1024")
    model = Sequential([Dense(1, input_dim=1)])  # a model needs no backend …
    with pytest.raises(ImportError, match="'avx1024' is not among the compiled ones"):
        model.predict(np.ones((1, 1)), verbose=0)  # … until it runs


def test_a_model_may_go_from_one_backend_to_another() -> None:
    """Weights, the optimizer's state and the step count belong to the model, not to what runs it."""
    x, y = uniform(60, 5), labels(60, 3)

    def model() -> Sequential:
        made = Sequential([Input((5,)), Dense(8, activation="tanh"), Dense(3, activation="softmax")])
        made.compile("adam", "sparse_categorical_crossentropy")
        return made

    one, other = model(), model()
    other.set_weights(one.get_weights())
    how: dict[str, Any] = {"epochs": 2, "batch_size": 7, "shuffle": False, "verbose": 0}
    nncore.set_backend("numpy")
    for _ in range(3):
        one.fit(x, y, **how)
    for name in ("native", "numpy", "native"):
        nncore.set_backend(name)
        assert nncore.get_backend() == name
        other.fit(x, y, **how)
    assert other.optimizer.iterations == one.optimizer.iterations == 54
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        assert relative(b, a) < 1e-5
    native = other.predict(x, verbose=0)
    nncore.set_backend("numpy")
    assert relative(other.predict(x, verbose=0), native) < 1e-6
    nncore.set_backend("native")
    assert same_bits(other.predict(x, verbose=0), native)


def test_an_unknown_backend_leaves_the_one_in_force() -> None:
    nncore.set_backend("numpy")
    with pytest.raises(ValueError, match="Unknown backend: 'cuda'"):
        nncore.set_backend("cuda")
    assert nncore.get_backend() == "numpy"
