"""Training that was broken off goes on where it was: what its state is, and whether it is the same training."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any
from zlib import crc32

from nncore import random
from nncore.arguments import is_integer
from nncore.callbacks import Callback, CallbackList
from nncore.saving.names import named_variables
from nncore.serialization import serialize_keras_object
from nncore.training import Logs, Trainer

State = dict[str, Any]
"""Numbers, strings, ``None``, arrays, and lists and dicts of them, by name."""


class Backups:
    """The backups of a ``fit``, and how it goes on from the last one.

    A state is taken where no hook is under way, and holds all that decides how training goes on: weights, the
    optimizer's variables, row order and random draws, the sums of an epoch, and what callbacks remember.

    Args:
        keeper: The ``BackupAndRestore`` that keeps them.
        trainer, feed, validation, callbacks, validation_freq: Those of ``loops.fit``.

    Attributes:
        logs: Of the last epoch that ended.

    Raises:
        ValueError: where the backup that is there is of another training; nothing has changed then.
    """

    def __init__(
        self, keeper: Any, trainer: Trainer, feed: Any, validation: Any, callbacks: CallbackList, validation_freq: Any
    ) -> None:
        self.logs: Logs = {}
        self._keeper = keeper
        self._optimizer = trainer.optimizer
        self._feed, self._validation = feed, validation
        self._callbacks = [c for c in callbacks.callbacks if type(c).get_state is not Callback.get_state]
        self._model = callbacks.model
        self._weights = dict(named_variables(self._model))
        self._setup = self._set_up(trainer, validation_freq)
        self._waiting = 0  # batches since the last backup
        found = keeper.load()
        self._found: State | None = found if found is not None and self._suits(found) else None

    # Whether it is the same training.

    def _set_up(self, trainer: Trainer, validation_freq: Any) -> dict[str, Any]:
        """What tells this training from others, by path: ``"layers.0.config.units": 16``."""
        freq = int(validation_freq) if is_integer(validation_freq) else sorted(map(int, validation_freq))
        optimizer = _described(self._optimizer)
        if isinstance(optimizer.get("config", {}).get("learning_rate"), float):
            del optimizer["config"]["learning_rate"]  # callbacks set it
        setup = {
            "layers": [_described(layer) for layer in self._model.layers],
            "weights": {name: list(variable.shape) for name, variable in self._weights.items()},
            "loss": _described(trainer.loss),
            "optimizer": {**optimizer, "variables": [list(v.shape) for v in self._optimizer.variables]},
            "metrics": {score.name: _described(score.metric) for score in trainer.scores},
            "data": self._feed.describe(),
            "validation": self._validation and {**self._validation.describe(), "freq": freq},
            "callbacks": [type(callback).__name__ for callback in self._callbacks],
        }
        return dict(_leaves("", json.loads(json.dumps(setup))))

    def _suits(self, found: State) -> bool:
        """Whether a backup is of this training; that of another one is refused, unless it had not begun."""
        kept = found["setup"]
        for path in [*kept, *self._setup]:
            was, now = (repr(leaves[path]) if path in leaves else "not there" for leaves in (kept, self._setup))
            if was == now:
                continue
            if not found["begun"]:
                return False
            raise ValueError(
                f"BackupAndRestore: the backup in {self._keeper.backup_dir!r} must be of the same training. "
                f"Received: {path} is {now} and was {was}. Delete it to begin anew, or choose another backup_dir."
            )
        return True

    # How training goes on.

    def resume(self, epochs: range) -> range:
        """Go on from the backup, if there is one; the epochs that are to run, the first of them perhaps ``inside``."""
        found = self._found
        if found is None or (not found["begun"] and found["epoch"] != epochs.start):
            self._found = None
            self._keep(epochs.start, None, begun=False)
            return epochs
        self.logs = found["logs"]
        left = range(found["epoch"], found["epoch"] if found["stopped"] else epochs.stop)
        if found["batch"] is None or not left:
            self.enter()
        return left

    @property
    def inside(self) -> bool:
        """Whether the next epoch was broken off inside: then ``enter`` takes the place of its beginning."""
        return self._found is not None

    def enter(self) -> None:
        """Set everything to what it was."""
        found, self._found = self._found, None
        assert found is not None
        for name, variable in self._weights.items():
            variable.assign(found["weights"][name])
        for variable, value in zip(self._optimizer.variables, found["optimizer"], strict=True):
            variable.assign(value)
        if found["rate"] is not None:
            self._optimizer.learning_rate = found["rate"]  # among the variables it has less digits
        self._feed.set_state(found["feed"], found["batch"] is not None)
        if self._validation is not None:
            self._validation.set_state(found["validation"], False)
        for callback, remembered in zip(self._callbacks, found["callbacks"], strict=True):
            callback.set_state(remembered)
        if found["random"] is not None:
            random.set_seed(found["random"])
        self._model.stop_training = found["stopped"]

    # What is kept, and when.

    @property
    def due(self) -> int:
        """Batches until the next backup inside an epoch."""
        batches = self._keeper.batches
        return sys.maxsize if batches is None else batches - self._waiting

    def is_due(self, count: int) -> bool:
        """Whether a backup is due after so many more batches."""
        self._waiting += count
        if self.due > 0:
            return False
        self._waiting = 0
        return True

    def keep_inside(self, epoch: int, batch: int) -> None:
        """Keep the state after so many batches of an epoch."""
        self._keep(epoch, batch)

    def epoch_done(self, epoch: int, logs: Logs) -> None:
        """Keep the state after an epoch, where that is wanted."""
        self.logs = logs
        if self._keeper.batches is None:
            self._keep(epoch + 1, None)

    def finish(self) -> None:
        """Training has ended."""
        self._keeper.finish()

    def _keep(self, epoch: int, batch: int | None, begun: bool = True) -> None:
        rate = self._optimizer._learning_rate
        self._keeper.keep({
            "setup": self._setup, "begun": begun, "epoch": epoch, "batch": batch, "logs": self.logs,
            "stopped": bool(self._model.stop_training), "random": random.position(),
            "weights": {name: variable.value for name, variable in self._weights.items()},
            "optimizer": [variable.value for variable in self._optimizer.variables],
            "rate": rate if isinstance(rate, float) else None,
            "feed": self._feed.get_state(batch is not None),
            "validation": self._validation and self._validation.get_state(False),
            "callbacks": [callback.get_state() for callback in self._callbacks],
        })  # fmt: skip


def _described(thing: Any) -> dict[str, Any]:
    """A layer, loss, optimizer or metric as a config; by its class alone where it has none."""
    try:
        config = serialize_keras_object(thing)
        json.dumps(config)
    except Exception:
        config = None
    if not isinstance(config, dict):
        return {"class_name": type(thing).__name__}
    return {"class_name": config["class_name"], "config": _plain(config["config"])}


def _plain(value: Any) -> Any:
    """What matters in a config: names do not, nor what weights began with; of long lists the checksum is enough."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items() if key != "name" and "initializer" not in key}
    if not isinstance(value, list | tuple):
        return value
    return [_plain(inner) for inner in value] if len(value) <= 16 else [len(value), crc32(json.dumps(value).encode())]


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """What is in nested dicts and lists, by path."""
    inside = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else None
    if inside is None:
        yield path, value
        return
    for key, inner in inside:
        yield from _leaves(f"{path}.{key}" if path else str(key), inner)
