"""Keras's layers."""

from nncore.layers.activations import Activation, ReLU, Softmax
from nncore.layers.base import Layer
from nncore.layers.core import Dense, Input, InputLayer
from nncore.layers.regularization import Dropout
from nncore.layers.reshaping import Flatten, Rescaling, Reshape

__all__ = [
    "Activation", "Dense", "Dropout", "Flatten", "Input", "InputLayer", "Layer", "ReLU", "Rescaling", "Reshape",
    "Softmax",
]  # fmt: skip
