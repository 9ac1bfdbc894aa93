"""Keras's layers."""

from nncore.layers.activations import Activation, ReLU, Softmax
from nncore.layers.base import Layer
from nncore.layers.core import Dense, Input, InputLayer
from nncore.layers.regularization import ActivityRegularization, Dropout
from nncore.layers.reshaping import Flatten, Identity, Permute, RepeatVector, Rescaling, Reshape

__all__ = [
    "Activation", "ActivityRegularization", "Dense", "Dropout", "Flatten", "Identity", "Input", "InputLayer", "Layer",
    "Permute", "ReLU", "RepeatVector", "Rescaling", "Reshape", "Softmax",
]  # fmt: skip
