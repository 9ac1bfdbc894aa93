"""Text for whatever ``sys.stdout`` is at the moment: a terminal, a file, a narrow encoding, or nothing at all."""

from __future__ import annotations

import shutil
import sys
import unicodedata

_ASCII = str.maketrans(
    {
        **dict.fromkeys("━═", "="),
        **dict.fromkeys("─", "-"),
        **dict.fromkeys("┃│", "|"),
        **dict.fromkeys("┏┳┓┡╇┩├┼┤└┴┘", "+"),
        "…": ".",
    }
)


def write(text: str) -> None:
    """Write to ``sys.stdout`` and flush. Where there is none, or it is closed, the text is dropped."""
    stream = sys.stdout
    if stream is None or getattr(stream, "closed", False):
        return
    try:
        stream.write(encodable(text))
        stream.flush()
    except BrokenPipeError:  # the reader has gone: training goes on without it
        pass


def encodable(text: str) -> str:
    """``text``, or an ASCII likeness of it where the encoding of ``sys.stdout`` lacks one of its characters."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_ASCII).encode(encoding, "replace").decode(encoding)
    return text


def is_terminal() -> bool:
    """Whether ``sys.stdout`` is a terminal."""
    stream = sys.stdout
    return stream is not None and not getattr(stream, "closed", False) and bool(stream.isatty())


def is_notebook() -> bool:
    """Whether ``sys.stdout`` is the output of a Jupyter cell, which obeys carriage returns but has no columns."""
    return type(sys.stdout).__module__.partition(".")[0] == "ipykernel"


def columns() -> int:
    """Columns of the terminal; 80 where there is none."""
    return shutil.get_terminal_size().columns


def width(text: str) -> int:
    """Columns that ``text`` takes: East Asian wide characters take two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(_width(c) for c in text)


def _width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
