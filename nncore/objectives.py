"""What ``nncore.losses`` was called before Keras 2."""

import sys

from nncore import losses
from nncore.losses import *  # noqa: F403 - for type checkers, to which the next line says nothing

sys.modules[__name__] = losses
