"""Documents that are true: their code runs and prints what they say.

A ``text`` block after code is what that code prints. Times are not compared, nor is what depends on the machine; a line
with ``…`` alone stands for any lines. Blocks that say ``python peers`` need another library, and run where tests so
marked do.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nncore import cli
from nncore.backend import clear_session

ROOT = Path(__file__).parent.parent

SETS_UP = ("pip install", "python -m pytest")
"""What .ci/run runs in fresh environments, and no test can."""

VARYING = (
    (r"\d+m?s \d+[mun]?s/step", "TIME"),
    (r"^Speed .*$", "SPEED"),
    (r"^Backend .*$", "BACKEND"),
    (r"^(\d+\.\d)\d+$", r"\1"),  # a prediction alone in a line: its last digits are those of the instruction set
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


def blocks(path: Path) -> list[tuple[str, str]]:
    """The language, and what is said behind it, and the text of every fenced block."""
    return re.findall(r"^```([\w ]*)\n(.*?)^```$", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def run(name: str, language: str, code: str, names: dict[str, Any]) -> str:
    """What a block prints. nncore's commands are run in this process, those that set up an environment not at all."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        if language == "python":
            exec(compile(code, name, "exec"), names)
        else:
            assert language == "sh", f"{name} has a block of the language {language!r}"
            for command in re.split(r"&&|\n", code.strip()):
                program, *arguments = shlex.split(command)
                if program == "nncore":
                    assert cli.main(arguments) == 0
                elif program == "cc" or program.startswith("./"):
                    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
                    assert (done.returncode, done.stderr) == (0, ""), command
                    print(done.stdout, end="")
                else:
                    assert command.strip().startswith(SETS_UP), command
            clear_session()  # a command is a process of its own
    return out.getvalue()


def check(path: Path, peers: bool = False) -> int:
    """Run a document's code, in one namespace, against what it says is printed; returns the number of comparisons.

    ``peers``: also the blocks that need another library, with what they print.
    """
    names: dict[str, Any] = {"__name__": path.name}
    compared, printed = 0, ""
    runs = True
    clear_session()
    for language, text in blocks(path):
        if language != "text":
            language, _, need = language.partition(" ")
            runs = peers or need != "peers"
            printed = run(path.name, language, text, names) if runs else ""
        elif runs:
            expected, received = comparable(text), comparable(printed)
            assert matches(expected, received), "\n".join([f"{path.name} says:", *expected, "It printed:", *received])
            compared += 1
    return compared
