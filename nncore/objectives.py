"""What ``nncore.losses`` was called before Keras 2."""

import sys

from nncore import losses

sys.modules[__name__] = losses
