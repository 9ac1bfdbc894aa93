"""The shape of the house: which module may import which, which header may include which, and what an import brings."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import FunctionType, ModuleType

import pytest
from oracles import ISAS, listed_kernels

from nncore import _native, ops

pytestmark = pytest.mark.tree

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "nncore"
SRC = ROOT / "src"

_MODULES = """# what stands on nothing
version
errors
old_homes
arguments
names
console
threads
random
allowance
program
variables
sparse
data
serialization
# what can be computed
ops.base
ops.eager
ops.activations
ops.arithmetic
ops.axes
ops.counts
ops.data
ops.embedding
ops.expressions
ops.losses
ops.masking
ops.classification
ops.metrics
ops.normalization
ops.optim
ops.order
ops.penalties
ops.linear
ops.overlap
ops.random
ops.regression
ops.row_activations
ops.softmax
ops.upkeep
ops.layerwise
ops
# what models are made of
builder
axes
interpreter
families
regularizers
constraints
tracing
initializers
activations
layers.base
layers.activations
layers.core
layers.embedding
layers.function
layers.masking
layers.normalization
layers.preprocessing
layers.regularization
layers.reshaping
layers.wrappers
layers
losses.custom
losses.base
losses.classification
losses.overlap
losses.regression
losses
objectives
metrics.base
metrics.means
metrics.accuracy
metrics.confusion
metrics.auc
metrics.fscore
metrics.iou
metrics.regression
metrics.of_losses
metrics.functions
metrics
optimizers.schedules
optimizers.base
optimizers.adam
optimizers.sgd
optimizers.squares
optimizers.lion
optimizers.layerwise
optimizers
# what makes programs of them, and runs these
compiler.autodiff
compiler.fuse
compiler.lower
compiler.plan
compiler
backends.base
backends.extension
backends.native
backends.numpy
backends
kernels
# what people use
saving.files
saving.names
progress
callbacks.base
callbacks.monitors
callbacks.checkpoint
callbacks.backup
callbacks.logs
callbacks.rates
callbacks.averages
callbacks.tensorboard
callbacks
summary
sources
guard
training
resume
loops
running
saving.archives
saving.npz
saving.safetensors
saving.hdf5
saving.chains
saving.keras_2
saving.compiled
saving.keras
saving.legacy
saving.state
saving.weights
saving.whole
saving
export.reasons
export.onnx
export.c.functions
export.c.memory
export.c
export
copies
models
gradients
convert.place
convert.keras
convert.modules
convert.sklearn
convert.torch
convert
backend
utils
preprocessing.sequence
preprocessing.text
preprocessing
shades
plot
datasets.download
datasets.idx
datasets.image_set
datasets.digits
datasets.fashion_mnist
datasets.mnist
datasets.columns
datasets.schema
datasets.table
datasets
problem
# what other libraries call
sklearn.classes
sklearn.lbfgs
sklearn.objective
sklearn.rows
sklearn.scores
sklearn.stopping
sklearn.perceptron
sklearn.mlp
sklearn.wrappers
sklearn
wrappers
"""

_COMMANDS = "places tasks results train predict info convert"

ORDER = [f"nncore.{name}" for name in _MODULES.splitlines() if name and not name.startswith("#")]
ORDER += ["nncore", *(f"nncore.cli.{name}" for name in _COMMANDS.split()), "nncore.cli", "nncore.__main__"]
"""Every module after all that it imports."""

_SOURCES = """\
kernels/activations.def
ops.def
nncore.h
vec.h
kernels/loops.h
kernels/math.h
kernels/activations.h
kernels/axes.h
kernels/data.h
kernels/elementwise.h
kernels/embedding.h
kernels/expressions.h
kernels/gemm.h
kernels/losses.h
kernels/masking.h
kernels/classification.h
kernels/metrics.h
kernels/normalization.h
kernels/counts.h
kernels/optim.h
kernels/upkeep.h
kernels/layerwise.h
kernels/penalties.h
kernels/overlap.h
kernels/random.h
kernels/regression.h
kernels/order.h
kernels/row_activations.h
kernels/softmax.h
probe.h
kernels/all.h
isa/baseline.c
isa/avx2.c
isa/avx512.c
isa/neon.c
cpu.h
denormals.h
runtime.h
threads.h
dispatch.pxi
executor.pxi
kernels.pxi
_native.pyx
"""

INCLUDES = _SOURCES.splitlines()
"""Every file of src after all that it includes."""


# Python.


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def for_types_only(tree: ast.Module) -> set[ast.AST]:
    """Everything under ``if TYPE_CHECKING:``, which no program runs."""
    blocks = [n for n in ast.walk(tree) if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.unparse(n.test)]
    return {inner for block in blocks for statement in block.body for inner in ast.walk(statement)}


def imports(name: str) -> Iterator[str]:
    """The modules of nncore that a module imports, at its top or inside functions."""
    tree = ast.parse(MODULES[name].read_text())
    unseen = for_types_only(tree)
    for node in ast.walk(tree):
        if node in unseen:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.partition(".")[0] == "nncore")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: a relative import"
            if (node.module or "").partition(".")[0] == "nncore":
                for alias in node.names:
                    whole = f"{node.module}.{alias.name}"
                    yield whole if whole in MODULES else str(node.module)


def test_every_module_has_its_place() -> None:
    assert sorted(ORDER) == sorted(MODULES)


@pytest.mark.parametrize("name", ORDER)
def test_imports_run_one_way(name: str) -> None:
    earlier = ORDER[: ORDER.index(name)]
    own_parts = [other for other in ORDER if other.startswith(f"{name}.")] if MODULES[name].stem == "__init__" else []
    for other in imports(name):
        if other != "nncore._native":
            assert other in earlier or other in own_parts, f"{name} imports {other}"


def test_the_order_is_the_documented_one() -> None:
    levels = [
        ["errors"], ["program"], ["ops"], ["builder"], ["layers", "losses", "optimizers", "metrics"], ["compiler"],
        ["backends"], ["training"], ["models"],
    ]  # fmt: skip
    places = [[ORDER.index(f"nncore.{name}") for name in level] for level in levels]
    assert all(max(below) < min(above) for below, above in pairwise(places))
    assert ORDER.index("nncore") > max(places[-1])


def test_one_module_imports_the_extension() -> None:
    found = [
        name
        for name, path in MODULES.items()
        if re.search(r"import(_module)?\W+(nncore\.)?_native\b", path.read_text())
    ]
    assert found == ["nncore.backends.extension"]


@pytest.mark.parametrize("folder", ["layers", "optimizers", "losses", "metrics"])
def test_what_lowers_knows_no_backend(folder: str) -> None:
    place = PACKAGE / folder
    for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
        assert not [n for n in imports(module_name(path)) if "backends" in n or "compiler" in n], path


def public_modules() -> list[ModuleType]:
    return [importlib.import_module(name) for name in MODULES if name != "nncore.__main__"]


def test_public_lists_are_true() -> None:
    """Every name in ``__all__`` is there, once, and is no private one; what is imported from the package is in it."""
    for module in public_modules():
        names = getattr(module, "__all__", None)
        if names is not None:
            assert len(set(names)) == len(names), module
            assert not [n for n in names if n.startswith("_") and n != "__version__"], module
            assert not [n for n in names if not hasattr(module, n)], module


def test_keras_s_modules_are_there() -> None:
    import nncore

    wanted = "models layers activations losses metrics optimizers initializers callbacks utils datasets backend"
    for name in wanted.split():
        assert getattr(nncore, name).__name__ == f"nncore.{name}"
        assert name in nncore.__all__


def test_every_public_thing_is_documented() -> None:
    for module in public_modules():
        assert module.__doc__, module
        for name, thing in vars(module).items():
            if (
                isinstance(thing, type | FunctionType)
                and not name.startswith("_")
                and thing.__module__ == module.__name__
            ):
                assert thing.__doc__, f"{module.__name__}.{name}"


def test_an_import_brings_nothing_but_numpy_and_what_numpy_brings() -> None:
    """Also none of NumPy's own optional parts, and nothing that takes long to load."""
    script = """
import sys, numpy
before = set(sys.modules)
import nncore
added = {name for name in set(sys.modules) - before if not name.startswith("nncore")}
print(sorted(name for name in added if name.partition(".")[0] not in sys.stdlib_module_names))
print(sorted(added & {"numpy.random", "numpy.ma", "argparse", "difflib", "json", "shutil", "subprocess", "urllib"}))
"""
    command = [sys.executable, "-W", "error", "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n[]\n", "")


# Ops.


def test_every_op_has_its_kernel() -> None:
    """src/ops.def, nncore.ops and the compiled table name the same ops; the table has the order of the file."""
    listed = listed_kernels()
    assert len(set(listed)) == len(listed)
    assert set(listed) == set(ops.OPS)
    assert {name: i for i, name in enumerate(listed)} == _native.OP_INDEX


# C and Cython.


def source_files() -> set[str]:
    return {path.relative_to(SRC).as_posix() for path in SRC.rglob("*") if path.is_file() and path.suffix != ".md"}


def included(name: str) -> Iterator[str]:
    """The files of src that a file includes."""
    path = SRC / name
    pattern = r'^\s*(?:#include|include|cdef extern from) "([\w./]+)"'
    for other in re.findall(pattern, path.read_text(), re.MULTILINE):
        found = [folder / other for folder in (path.parent, SRC) if (folder / other).is_file()]
        assert found, f"{name} includes {other}, which is not there"
        yield found[0].resolve().relative_to(SRC).as_posix()


def test_every_source_has_its_place() -> None:
    assert sorted(INCLUDES) == sorted(source_files())


@pytest.mark.parametrize("name", INCLUDES)
def test_includes_run_one_way(name: str) -> None:
    earlier = INCLUDES[: INCLUDES.index(name)]
    for other in included(name):
        assert other in earlier, f"{name} includes {other}"


def test_kernels_are_written_once() -> None:
    """No instruction set, no intrinsic and no allocation in them: vec.h alone knows the first two."""
    for name in source_files():
        text = (SRC / name).read_text()
        if name.startswith("kernels/"):
            assert not re.search(r"VEC_(AVX|NEON|BASELINE)|__AVX|__SSE|__ARM|malloc|calloc|alloca", text), name
        if name not in ("vec.h", "denormals.h"):
            assert not re.search(r"\b_mm\d*_|\bv(ld|st|fma|add)\w*q_f32|immintrin|arm_neon", text), name


def test_an_isa_is_a_few_lines() -> None:
    for name in ("baseline", "avx2", "avx512", "neon"):
        lines = (SRC / "isa" / f"{name}.c").read_text().splitlines()
        assert len(lines) <= 20
        assert '#include "../kernels/all.h"' in lines
    assert set(ISAS) <= {"baseline", "avx2", "avx512", "neon"}


def test_nothing_changes_arithmetic_behind_our_back() -> None:
    """No fast-math in what is shipped, and fused multiply-adds only where they are written."""
    build = (ROOT / "setup.py").read_text()
    assert "-ffp-contract=off" in build
    for flag in ("fast-math", "-Ofast", "-march=native", "-mtune=native"):
        assert flag not in build
        assert not [name for name in source_files() if flag in (SRC / name).read_text()]


def test_the_extension_declares_that_it_needs_no_gil() -> None:
    """By the directive that has Cython say so to interpreters without one."""
    first = (SRC / "_native.pyx").read_text().splitlines()[0]
    assert "freethreading_compatible=True" in first
