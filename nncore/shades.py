"""Images drawn in characters, for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import numpy as np

from nncore import console

Array = np.ndarray[Any, Any]

BLOCKS = " ░▒▓█"
ASCII = " .+#@"
WIDE = 16
"""Images of up to this many pixels a row get two characters a pixel, wider ones one character for two pixels."""


def draw(image: Array, largest: float) -> list[str]:
    """The lines that show the grey image (h, w), whose values lie in 0 (left blank) to ``largest`` (full).

    A character is about twice as high as wide. So a pixel of a small image takes two characters, and in a larger one
    two pixels, one above the other, share one.
    """
    shades = np.array(list(BLOCKS if console.encodable(BLOCKS) == BLOCKS else ASCII))
    if image.shape[1] <= WIDE:
        image = image.repeat(2, axis=1)
    else:
        image = np.pad(image, ((0, len(image) % 2), (0, 0)))
        image = image.reshape(-1, 2, image.shape[1]).mean(1)
    level = np.rint(image / largest * (len(shades) - 1)).astype(int)
    return ["".join(row) for row in shades[level.clip(0, len(shades) - 1)]]


def side_by_side(cells: Sequence[Sequence[str]], gap: int) -> list[str]:
    """The lines of the ``cells``, each a list of lines, set next to each other ``gap`` columns apart."""
    widths = [max(map(console.width, cell)) for cell in cells]
    return [
        (" " * gap)
        .join(line + " " * (width - console.width(line)) for line, width in zip(row, widths, strict=True))
        .rstrip()
        for row in zip_longest(*cells, fillvalue="")
    ]
