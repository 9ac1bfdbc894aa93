"""Models of other libraries as models of nncore, and back: the same predictions, with the weights they have.

Where something cannot be converted, a ``ValueError`` names the layer and says why.
"""

from nncore.convert.keras import from_keras
from nncore.convert.modules import to_torch
from nncore.convert.sklearn import from_sklearn
from nncore.convert.torch import from_torch

__all__ = ["from_keras", "from_sklearn", "from_torch", "to_torch"]
