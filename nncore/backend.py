"""Keras's ``backend`` module, as far as nncore has it: types and constants."""

from __future__ import annotations

from nncore.names import reset_names
from nncore.ops.losses import EPSILON
from nncore.variables import Variable

__all__ = ["Variable", "clear_session", "epsilon", "floatx", "image_data_format"]


def epsilon() -> float:
    """How far probabilities are kept from 0 and 1 before a logarithm: 1e-7."""
    return EPSILON


def floatx() -> str:
    """The float type of weights: ``"float32"``."""
    return "float32"


def image_data_format() -> str:
    """``"channels_last"``."""
    return "channels_last"


def clear_session(free_memory: bool = True) -> None:
    """Start the automatic names of layers and models over: ``dense``, ``dense_1``, … The argument has no effect."""
    reset_names()
