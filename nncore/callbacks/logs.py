"""Callbacks that write the logs into files."""

from __future__ import annotations

import os
from typing import Any

from nncore.callbacks.base import Callback, Logs


class CSVLogger(Callback):
    """Writes the logs of each epoch as a line of a CSV file, which holds whole lines at any moment.

    The columns are ``epoch`` and the logs of the first epoch, sorted; where there are no validation values among them,
    a ``val_`` column of each follows. A value that is missing later is ``NA``. Where training is resumed
    (``BackupAndRestore``), the file holds again what it held then.

    Args:
        filename: The file.
        separator: Between values.
        append: Go on after what the file holds, without a second header; else it is overwritten when training begins.

    Raises:
        OSError: when training begins, where the file cannot be written.
    """

    def __init__(self, filename: Any, separator: str = ",", append: bool = False) -> None:
        self.filename = os.fspath(filename)
        self.separator = separator
        self.append = append
        self.keys: list[str] | None = None
        self._start = 0  # bytes in the file when training began
        self._written = ""  # and what it has got since

    def get_state(self) -> dict[str, Any]:
        return {"keys": self.keys, "start": self._start, "written": self._written}

    def set_state(self, state: dict[str, Any]) -> None:
        self.keys, self._written = state["keys"], state["written"]
        with open(self.filename, "r+b", buffering=0) as file:
            self._start = min(state["start"], file.seek(0, os.SEEK_END))  # unless the file has become shorter
            file.seek(self._start)
            file.truncate()
            file.write(self._written.encode())

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.keys = None
        with open(self.filename, "a" if self.append else "w", encoding="utf-8") as file:
            self._start, self._written = file.tell(), ""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        import csv
        from io import StringIO

        logs = logs or {}
        text = StringIO(newline="")
        writer = csv.writer(text, delimiter=self.separator, lineterminator="\n")
        if self.keys is None:
            names = sorted(logs)
            self.keys = names if any(k.startswith("val_") for k in names) else [*names, *(f"val_{k}" for k in names)]
            if not self._start:
                writer.writerow(["epoch", *self.keys])
        writer.writerow([epoch, *(logs.get(key, "NA") for key in self.keys)])
        with open(self.filename, "ab", buffering=0) as file:
            file.write(text.getvalue().encode())
        self._written += text.getvalue()
