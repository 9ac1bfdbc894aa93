"""Callbacks: what happens at the events of ``fit``, ``evaluate`` and ``predict``, under Keras's names."""

from nncore.callbacks.averages import SwapEMAWeights
from nncore.callbacks.backup import BackupAndRestore
from nncore.callbacks.base import (
    HOOKS,
    Callback,
    CallbackList,
    History,
    LambdaCallback,
    Logs,
    ProgbarLogger,
    TerminateOnNaN,
    plain_logs,
)
from nncore.callbacks.checkpoint import ModelCheckpoint
from nncore.callbacks.logs import CSVLogger
from nncore.callbacks.monitors import EarlyStopping
from nncore.callbacks.rates import LearningRateScheduler, ReduceLROnPlateau
from nncore.callbacks.tensorboard import TensorBoard
from nncore.old_homes import open_old_homes as _open_old_homes

__all__ = [
    "HOOKS", "BackupAndRestore", "CSVLogger", "Callback", "CallbackList", "EarlyStopping", "History", "LambdaCallback",
    "LearningRateScheduler", "Logs", "ModelCheckpoint", "ProgbarLogger", "ReduceLROnPlateau", "SwapEMAWeights",
    "TensorBoard", "TerminateOnNaN", "plain_logs",
]  # fmt: skip

_open_old_homes("callbacks", {})
