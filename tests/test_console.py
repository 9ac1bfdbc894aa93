"""Output goes to whatever ``sys.stdout`` is now, and a missing or narrow one is no error."""

from __future__ import annotations

import io
import os
import pty
import sys

import pytest

from nncore import console


def stream(encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="")


def written(stream: io.TextIOWrapper) -> str:
    return stream.buffer.getvalue().decode(stream.encoding)  # type: ignore[attr-defined]


def test_write_looks_stdout_up_and_flushes(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("one", "two"):
        monkeypatch.setattr(sys, "stdout", out := stream("utf-8"))
        console.write(text)
        assert written(out) == text


@pytest.mark.parametrize(
    "encoding, expected",
    [
        ("utf-8", "┏━┳┓│x│└─┴┘ a… é"),
        ("ascii", "+=++|x|+-++ a. ?"),
        ("latin-1", "+=++|x|+-++ a. é"),
        ("cp437", "+=++|x|+-++ a. é"),
    ],
)
def test_write_falls_back_where_the_encoding_lacks_a_character(
    encoding: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", out := stream(encoding))
    console.write("┏━┳┓│x│└─┴┘ a… é")
    assert written(out) == expected


def test_encodable_keeps_what_the_encoding_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", stream("cp437"))
    assert console.encodable("│─┌") == "│─┌"


def test_write_survives_no_stdout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    console.write("text")
    assert console.encodable("━") == "━"
    assert not console.is_terminal()
    assert not console.is_notebook()


def test_write_survives_a_closed_stdout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", out := stream("utf-8"))
    out.close()
    console.write("text")
    assert not console.is_terminal()


def test_write_survives_a_reader_that_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Pipe(io.StringIO):
        def flush(self) -> None:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Pipe())
    console.write("text")


def test_other_errors_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "stdout", Full())
    with pytest.raises(OSError, match="No space left"):
        console.write("text")


def test_streams_without_encoding_take_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", out := io.StringIO())
    console.write("━")
    assert out.getvalue() == "━"


def test_an_object_that_only_writes_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    class Writer:
        text = ""

        def write(self, text: str) -> None:
            self.text += text

    monkeypatch.setattr(sys, "stdout", out := Writer())
    console.write("━")
    assert out.text == "━"
    assert not console.is_terminal()


def test_a_terminal_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not console.is_terminal()  # captured
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        assert console.is_terminal()
    os.close(leader)


def test_a_notebook_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})
    assert not console.is_notebook()
    monkeypatch.setattr(sys, "stdout", cell())
    assert console.is_notebook()


def test_columns_follow_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "123")
    assert console.columns() == 123


@pytest.mark.parametrize("text, expected", [("", 0), ("abc", 3), ("━━", 2), ("数字", 4), ("e\u0301", 1), ("Ａ", 2)])
def test_width(text: str, expected: int) -> None:
    assert console.width(text) == expected
