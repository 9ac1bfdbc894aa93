"""``BackupAndRestore``: training that is killed goes on where it was, to the bit."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from nncore.arguments import is_integer
from nncore.callbacks.base import Callback
from nncore.version import __version__

FORMATS = {".npz": "npz"}


class BackupAndRestore(Callback):
    """Keeps backups of a training; the same ``fit`` of a process that is started again goes on from the last one.

    Killed at whatever moment and resumed, training ends with the bits that it would have ended with: weights, the
    optimizer's state, ``History``, the files of ``CSVLogger`` and ``ModelCheckpoint``, and the stream of
    ``utils.set_random_seed``. A backup also holds what other callbacks remember (see ``Callback.get_state``), the order
    of the rows and the draws of dropout, and is whole at any moment. ``KeyboardInterrupt`` and errors leave it, too.

    Run the same script again: the model is made and ``fit`` called as before. ``epochs`` and ``verbose`` may differ;
    where something else does, an error says what. The backup goes before ``initial_epoch``.

    Of data that hands over batches, those that were used in the epoch at hand are left out; of an iterator, which must
    start from its beginning again, all that were used. Data that changes from epoch to epoch by itself has to say so in
    ``PyDataset.get_state``; that is not known of other iterables.

    Args:
        backup_dir: A folder of this training's own, made where it is missing.
        save_freq: ``"epoch"``, or a number of batches: backups are then made after so many, also inside epochs.
        double_checkpoint: Keep the backup before the last one too, for the case that the last one is damaged.
        delete_checkpoint: Delete the backup when training has ended.

    Raises:
        ValueError: for arguments outside of these; when training begins, where the backup is of another training, or
            is damaged.
        OSError: where a backup cannot be written; the one before is there still.
    """

    keeps_backups = True

    def __init__(
        self, backup_dir: Any, save_freq: Any = "epoch", double_checkpoint: bool = False, delete_checkpoint: bool = True
    ) -> None:
        self.backup_dir = os.fspath(backup_dir)
        if not self.backup_dir:
            raise ValueError(f"BackupAndRestore: backup_dir must name a folder. Received: backup_dir={backup_dir!r}.")
        if save_freq != "epoch" and (not is_integer(save_freq) or save_freq < 1):
            raise ValueError(
                "BackupAndRestore: save_freq must be 'epoch' or a positive number of batches. "
                f"Received: save_freq={save_freq!r}."
            )
        self.save_freq = save_freq
        self.double_checkpoint = bool(double_checkpoint)
        self.delete_checkpoint = bool(delete_checkpoint)
        self._latest = os.path.join(self.backup_dir, "latest.npz")
        self._previous = os.path.join(self.backup_dir, "previous.npz")

    @property
    def batches(self) -> int | None:
        """Batches from one backup to the next; ``None``: backups are made after epochs."""
        return None if self.save_freq == "epoch" else int(self.save_freq)

    def keep(self, state: dict[str, Any]) -> None:
        """Write a state: numbers, strings, ``None``, arrays, and lists and dicts of them."""
        from nncore.saving import files

        os.makedirs(self.backup_dir, exist_ok=True)
        arrays: dict[str, Any] = {}
        own = {"file_version": files.FILE_VERSION, "version": __version__}
        metadata = {"nncore": own, "backup": _pack(state, "backup", arrays)}
        if self.double_checkpoint and os.path.exists(self._latest):
            os.replace(self._latest, self._previous)
        files.write("BackupAndRestore", self._latest, files.Contents(arrays, metadata=metadata), FORMATS)

    def load(self) -> dict[str, Any] | None:
        """The last state that was kept; ``None`` where there is none."""
        there = self._there()
        if not there:
            return None
        try:
            return _state_of(there[0])
        except ValueError as error:
            if there == [self._latest, self._previous]:
                warnings.warn(f"{error} Going on from {self._previous!r}.", stacklevel=2)
                return _state_of(self._previous)
            raise ValueError(f"{error} Delete it to begin anew.") from error

    def _there(self) -> list[str]:
        return [path for path in (self._latest, self._previous) if os.path.exists(path)]

    def finish(self) -> None:
        """Training has ended: delete the backup, unless it is to stay."""
        if not self.delete_checkpoint:
            return
        for path in self._there():
            os.remove(path)
        if os.path.isdir(self.backup_dir) and not os.listdir(self.backup_dir):
            os.rmdir(self.backup_dir)


def _state_of(path: str) -> dict[str, Any]:
    """The state in a file; ``ValueError`` where it is damaged, of a newer version, or holds something else."""
    from nncore.saving import files

    contents = files.read("BackupAndRestore", path, FORMATS)
    if "backup" not in contents.metadata:
        raise ValueError(f"BackupAndRestore: {path!r} is no backup of a training.")
    state: dict[str, Any] = _unpack(contents.metadata["backup"], contents.arrays)
    return state


_ARRAY, _FLOATS = "__array__", "__floats__"
"""The keys of what stands in JSON for an array, and for a list of floats that is kept as one."""

_PLAIN = {str, int, float, bool, type(None)}


def _pack(value: Any, path: str, arrays: dict[str, Any]) -> Any:
    """``value``, which is found at ``path``, for JSON; its arrays are moved into ``arrays``, by number."""

    def moved(key: str, array: Any) -> dict[str, str]:
        name = str(len(arrays))
        arrays[name] = array
        return {key: name}

    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return moved(_ARRAY, value)
    if isinstance(value, np.bool_ | np.integer | np.floating):
        return value.item()
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, list | tuple):
        kinds = set(map(type, value))
        if kinds == {float}:  # a long history is written in no time so
            return moved(_FLOATS, np.array(value))
        return value if kinds <= _PLAIN else [_pack(inner, f"{path}/{i}", arrays) for i, inner in enumerate(value)]
    if isinstance(value, dict) and all(isinstance(key, str) and key not in (_ARRAY, _FLOATS) for key in value):
        return {key: _pack(inner, f"{path}/{key}", arrays) for key, inner in value.items()}
    raise TypeError(
        "BackupAndRestore: logs and what get_state() returns must be numbers, strings, None, arrays, and lists and "
        f"dicts of them by name. Received: {value!r} at {path}."
    )


def _unpack(value: Any, arrays: Mapping[str, Any]) -> Any:
    """What ``_pack`` was given."""
    if isinstance(value, dict):
        if value.keys() == {_ARRAY}:
            return arrays[value[_ARRAY]]
        if value.keys() == {_FLOATS}:
            return arrays[value[_FLOATS]].tolist()
        return {key: _unpack(inner, arrays) for key, inner in value.items()}
    return [_unpack(inner, arrays) for inner in value] if isinstance(value, list) else value
