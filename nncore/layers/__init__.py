"""Keras's layers."""

from nncore.layers import core as _core
from nncore.layers.activations import ELU, Activation, LeakyReLU, PReLU, ReLU, Softmax
from nncore.layers.base import Layer
from nncore.layers.core import Dense, Input, InputLayer
from nncore.layers.embedding import Embedding
from nncore.layers.function import Lambda
from nncore.layers.masking import Masking
from nncore.layers.normalization import (
    BatchNormalization,
    GroupNormalization,
    LayerNormalization,
    RMSNormalization,
    UnitNormalization,
)
from nncore.layers.preprocessing import Normalization
from nncore.layers.regularization import (
    ActivityRegularization,
    AlphaDropout,
    Dropout,
    GaussianDropout,
    GaussianNoise,
    SpatialDropout1D,
    SpatialDropout2D,
    SpatialDropout3D,
)
from nncore.layers.reshaping import Flatten, Identity, Permute, RepeatVector, Rescaling, Reshape
from nncore.layers.wrappers import TimeDistributed
from nncore.old_homes import lend as _lend
from nncore.old_homes import open_old_homes as _open_old_homes

__all__ = [
    "ELU", "Activation", "ActivityRegularization", "AlphaDropout", "BatchNormalization", "Dense", "Dropout",
    "Embedding", "Flatten", "GaussianDropout", "GaussianNoise", "GroupNormalization", "Identity", "Input",
    "InputLayer", "Lambda", "Layer", "LayerNormalization", "LeakyReLU", "Masking", "Normalization", "PReLU", "Permute",
    "RMSNormalization", "ReLU", "RepeatVector", "Rescaling", "Reshape", "Softmax", "SpatialDropout1D",
    "SpatialDropout2D", "SpatialDropout3D", "TimeDistributed", "UnitNormalization",
]  # fmt: skip

_open_old_homes("layers", {})
_lend(_core, {name: globals()[name] for name in __all__})
