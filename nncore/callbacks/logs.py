"""Callbacks that write the logs into files."""

from __future__ import annotations

import os
from typing import Any

from nncore.callbacks.base import Callback, Logs


class CSVLogger(Callback):
    """Writes the logs of each epoch as a line of a CSV file, which holds whole lines at any moment.

    The columns are ``epoch`` and the logs of the first epoch, sorted; where there are no validation values among them,
    a ``val_`` column of each follows. A value that is missing later is ``NA``.

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
        self._header = True

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.keys = None
        with open(self.filename, "a" if self.append else "w", encoding="utf-8") as file:
            self._header = file.tell() == 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        import csv
        from io import StringIO

        logs = logs or {}
        text = StringIO(newline="")
        writer = csv.writer(text, delimiter=self.separator, lineterminator="\n")
        if self.keys is None:
            names = sorted(logs)
            self.keys = names if any(k.startswith("val_") for k in names) else [*names, *(f"val_{k}" for k in names)]
            if self._header:
                writer.writerow(["epoch", *self.keys])
        writer.writerow([epoch, *(logs.get(key, "NA") for key in self.keys)])
        with open(self.filename, "ab", buffering=0) as file:
            file.write(text.getvalue().encode())
