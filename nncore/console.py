"""Text for whatever ``sys.stdout`` is at the moment: a terminal, a file, a narrow encoding, or nothing at all."""

from __future__ import annotations

import sys

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
        if hasattr(stream, "flush"):
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
    return not getattr(stream, "closed", False) and hasattr(stream, "isatty") and stream.isatty()


def is_notebook() -> bool:
    """Whether ``sys.stdout`` is the output of a Jupyter cell, which obeys carriage returns but has no columns."""
    return type(sys.stdout).__module__.partition(".")[0] == "ipykernel"


def columns() -> int:
    """Columns of the terminal; 80 where there is none."""
    import shutil  # takes longer to load than the rest of this module, and is seldom needed

    return shutil.get_terminal_size().columns


def width(text: str) -> int:
    """Columns that ``text`` takes: East Asian wide characters take two, combining marks none."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)
