"""The documents in docs/: their code runs and prints what they say, and the reference is that of the docstrings."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
from documents import ROOT, check

DOCS = ROOT / "docs"
PAGES = sorted(path.name for path in DOCS.glob("*.md"))


@pytest.fixture
def reference() -> ModuleType:
    """The script that makes the reference."""
    spec = importlib.util.spec_from_file_location("reference", DOCS / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def compiles(name: str) -> bool:
    """Whether a page runs a compiler."""
    return bool(re.search(r"^cc ", (DOCS / name).read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.tree) if compiles(n) else n for n in PAGES])
def test_every_block_runs_and_prints_what_the_page_says(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "88")
    check(DOCS / name)


@pytest.mark.peers
@pytest.mark.filterwarnings("default")
def test_blocks_with_other_libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    assert check(DOCS / "interop.md", peers=True) > check(DOCS / "interop.md")


def test_the_pages_are_there() -> None:
    assert {"README.md", "how-it-works.md", "coming-from-keras.md", "write-your-own.md", "command-line.md"} <= set(
        PAGES
    )


def test_the_reference_is_up_to_date(reference: ModuleType) -> None:
    """Repeat ``python docs/reference.py`` after a change of a docstring."""
    written = {path.name: path.read_text(encoding="utf-8") for path in (DOCS / "reference").glob("*.md")}
    assert sorted(written) == sorted(reference.pages())
    for name, text in reference.pages().items():
        assert written[name] == text, name


def test_links_lead_somewhere() -> None:
    for path in [ROOT / "README.md", *DOCS.rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path.name}: {target}"
