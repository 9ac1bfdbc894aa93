"""Sequences of different lengths as arrays."""

from nncore.utils import pad_sequences

__all__ = ["pad_sequences"]
