"""README.md is true: its code runs, prints what it says, and its table of places names files that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from documents import ROOT, blocks, check, comparable, matches

README = ROOT / "README.md"

MAIN_COMMAND = "pip install . && nncore train digits"
TEST_COMMAND = 'pip install -e ".[test]" && python -m pytest'


def test_every_block_runs_and_prints_what_the_readme_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "88")
    assert check(README) >= 5


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        ("a\nb", "a\nb", True),
        ("a\nb", "a\nc", False),
        ("a\nb", "a", False),
        ("a", "a\nb", False),
        ("a\n…", "a\nb\nc", True),
        ("a\n…\nc", "a\nb\nb\nc", True),
        ("a\n…\nc", "a\nb", False),
        ("12/12 0s 3us/step - loss: 0.5", "12/12 1s 25ms/step - loss: 0.5", True),
        ("12/12 0s 3us/step - loss: 0.5", "12/12 0s 3us/step - loss: 0.6", False),
    ],
)
def test_the_comparison_can_tell(expected: str, printed: str, same: bool) -> None:
    assert matches(comparable(expected), comparable(printed)) is same


@pytest.mark.tree
def test_the_two_commands_stand_alone_in_their_blocks_and_are_what_ci_runs() -> None:
    commands = [text.strip() for language, text in blocks(README) if language == "sh"]
    assert commands == [MAIN_COMMAND, TEST_COMMAND]
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for start in ("pip install . && ", "pip install -e "):
        assert f"readme_command '{start}'" in ci


@pytest.mark.tree
def test_the_places_it_names_exist() -> None:
    sections = [
        README.read_text(encoding="utf-8").split(f"## {title}\n")[1].split("\n## ")[0]
        for title in ("How it works", "Where things are")
    ]
    named = re.findall(r"`([\w./]+(?:/|\.py|\.h|\.c|\.pxi|\.md))`", "".join(sections))
    assert len(named) > 25
    assert [
        name for name in named if not any((ROOT / folder / name).exists() for folder in ("", "nncore", "src"))
    ] == []
