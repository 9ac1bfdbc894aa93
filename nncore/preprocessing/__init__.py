"""Keras 2's ``preprocessing``: texts and sequences of numbers, made ready for a model."""

from nncore.preprocessing import sequence, text

__all__ = ["sequence", "text"]
