"""README.md is true: its code runs, prints what it says, and its table of places names files that exist.

A ``text`` block after code is what that code prints. Times are not compared, nor is what depends on the machine; a line
with ``…`` alone stands for any lines.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from nncore import cli
from nncore.backend import clear_session

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)

MAIN_COMMAND = "pip install . && nncore train digits"
TEST_COMMAND = 'pip install -e ".[test]" && python -m pytest'
SETS_UP = ("pip install", "python -m pytest")
"""What .ci/run runs in fresh environments, and no test can."""

VARYING = (
    (r"\d+m?s \d+[mun]?s/step", "TIME"),
    (r"^Speed .*$", "SPEED"),
    (r"^Backend .*$", "BACKEND"),
)


def comparable(text: str) -> list[str]:
    """The lines of a text, without what differs from run to run and from machine to machine."""
    for pattern, name in VARYING:
        text = re.sub(pattern, name, text, flags=re.MULTILINE)
    return [line.rstrip() for line in text.strip("\n").split("\n")]


def matches(expected: Sequence[str], printed: Sequence[str]) -> bool:
    """Whether the lines are the same, where the line ``…`` stands for any number of them."""
    if not expected:
        return not printed
    if expected[0] == "…":
        return any(matches(expected[1:], printed[i:]) for i in range(len(printed) + 1))
    return bool(printed) and expected[0] == printed[0] and matches(expected[1:], printed[1:])


def run(language: str, code: str, names: dict[str, Any]) -> str:
    """What a block prints. Commands of the shell are run in this process, but for those that set up an environment."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        if language == "python":
            exec(compile(code, "README.md", "exec"), names)
        else:
            assert language == "sh", f"README.md has a block of the language {language!r}"
            for command in re.split(r"&&|\n", code.strip()):
                program, *arguments = shlex.split(command)
                if program == "nncore":
                    assert cli.main(arguments) == 0
                else:
                    assert command.strip().startswith(SETS_UP), command
            clear_session()  # a command is a process of its own
    return out.getvalue()


def test_every_block_runs_and_prints_what_the_readme_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "88")
    names: dict[str, Any] = {"__name__": "README"}
    compared = 0
    printed = ""
    for language, text in BLOCKS:
        if language == "text":
            expected, received = comparable(text), comparable(printed)
            assert matches(expected, received), "\n".join(["README.md says:", *expected, "It printed:", *received])
            compared += 1
        else:
            printed = run(language, text, names)
    assert compared >= 5


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


def test_the_two_commands_stand_alone_in_their_blocks_and_are_what_ci_runs() -> None:
    commands = [text.strip() for language, text in BLOCKS if language == "sh"]
    assert commands == [MAIN_COMMAND, TEST_COMMAND]
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for start in ("pip install . && ", "pip install -e "):
        assert f"readme_command '{start}'" in ci


def test_the_places_it_names_exist() -> None:
    sections = [README.split(f"## {title}\n")[1].split("\n## ")[0] for title in ("How it works", "Where things are")]
    named = re.findall(r"`([\w./]+(?:/|\.py|\.h|\.c|\.pxi|\.md))`", "".join(sections))
    assert len(named) > 25
    assert [
        name for name in named if not any((ROOT / folder / name).exists() for folder in ("", "nncore", "src"))
    ] == []
