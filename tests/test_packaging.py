"""What is shipped: the source archive, the modules of the wheel, the version; and what an import brings along."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import nncore

ROOT = Path(__file__).parent.parent
FOLDERS = ("src", "nncore", "tests", "benchmarks", "examples", ".ci", ".github")
FILES = (".gitignore", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md", "pyproject.toml", "setup.py")


def sources(root: Path) -> set[str]:
    """The files of a checkout that somebody wrote, relative to it."""
    found = [path for folder in FOLDERS for path in (root / folder).rglob("*")] + [root / name for name in FILES]
    return {
        path.relative_to(root).as_posix()
        for path in found
        if path.is_file() and "__pycache__" not in path.parts and path.suffix not in (".so", ".pyd")
    }


def everything(root: Path) -> set[str]:
    """All files outside ``build/``, relative to ``root``."""
    names = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    return {name for name in names if not name.startswith("build/")}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the sources, with what building in place and running would have left in it."""
    for name in sources(ROOT):
        (tmp_path / "nncore" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, tmp_path / "nncore" / name)
    root = tmp_path / "nncore"
    (root / "nncore/_native.cpython-399-x86_64-linux-gnu.so").write_bytes(b"built in place")
    (root / "nncore/__pycache__").mkdir()
    (root / "nncore/__pycache__/models.cpython-399.pyc").write_bytes(b"bytecode")
    return root


def python(folder: Path, *arguments: str) -> str:
    """What a process in ``folder`` prints; an error if it fails or warns."""
    done = subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.tree
def test_the_source_archive_holds_every_source_and_nothing_else(checkout: Path) -> None:
    before = everything(checkout)
    code = "from setuptools import build_meta; print(build_meta.build_sdist('build/dist'))"
    name = python(checkout, "-c", code).split()[-1]
    with tarfile.open(checkout / "build/dist" / name) as archive:
        members = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    assert members - {"PKG-INFO", "setup.cfg"} == sources(ROOT)
    assert everything(checkout) == before


@pytest.mark.tree
def test_the_wheel_holds_every_module_and_the_data_and_no_module_that_is_gone(checkout: Path) -> None:
    before = everything(checkout)
    gone = checkout / "build/lib/nncore/gone.py"
    gone.parent.mkdir(parents=True)
    gone.write_text("a module of an older build\n")
    python(checkout, "setup.py", "-q", "build_py", "--build-lib", "build/lib")
    built = {path.relative_to(checkout / "build/lib").as_posix() for path in (checkout / "build/lib").rglob("*.*")}
    copies = {"nncore/export/c/math.h", "nncore/export/c/activations.def"}  # of what is written for the kernels
    assert built == {name for name in sources(ROOT) if name.startswith("nncore/")} | copies
    assert {"nncore/py.typed", "nncore/datasets/digits.npz", "nncore/datasets/digits.md"} <= built
    code = """
import os
os.environ["NNCORE_BACKEND"] = "numpy"
import nncore
from nncore.layers import Dense, Input
nncore.Sequential([Input((3,)), Dense(2, "gelu")]).export("model.c")
print(nncore.__file__)
"""
    assert Path(python(checkout / "build/lib", "-c", code).strip()).is_relative_to(checkout / "build/lib")
    assert "nn_normal(" in (checkout / "build/lib/model.c").read_text()
    assert everything(checkout) == before


@pytest.mark.tree
def test_all_sources_lie_where_the_archive_looks() -> None:
    """A new top-level folder must be named in setup.py and here."""
    ignored = {"build", "dist", "docs", ".git"}
    environments = {path.parent.name for path in ROOT.glob("*/pyvenv.cfg")}
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and any(path.rglob("*"))}
    caches = {name for name in folders if name.endswith("_cache") or name in ("__pycache__", ".idea", ".vscode")}
    assert folders - ignored - environments - caches == set(FOLDERS)


def versions() -> Iterator[str]:
    """The version, wherever it is written."""
    yield re.findall(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[0]
    yield re.findall(r"^## \[(\d.*?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[0]


def test_the_version_is_the_same_everywhere() -> None:
    assert set(versions()) == {nncore.__version__}


def test_importing_nncore_is_silent_and_imports_numpy_and_the_standard_library_only() -> None:
    code = """
import sys, numpy
before = set(sys.modules)
import nncore
added = {name.partition(".")[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)
print(sorted(name for name in added if not name.startswith(("cython_runtime", "_cython_"))))
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("['nncore']\n", "")
