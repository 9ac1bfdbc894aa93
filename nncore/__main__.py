"""``python -m nncore``: the same as the command ``nncore``."""

import sys

from nncore.cli import main

sys.exit(main())
