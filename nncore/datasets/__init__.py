"""Data sets, as Keras names and shapes them: ``digits`` (bundled), ``fashion_mnist`` and ``mnist``."""

from nncore.datasets import digits, fashion_mnist, mnist

__all__ = ["digits", "fashion_mnist", "mnist"]
