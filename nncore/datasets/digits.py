"""Handwritten digits, bundled with nncore: 1,797 images of 8×8 pixels. Source, licence and making: ``digits.md``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nncore.datasets.image_set import Split


def load_data() -> Split:
    """The digits as ``(x_train, y_train), (x_test, y_test)``; nothing is downloaded.

    Returns:
        x_train (1442, 8, 8) and x_test (355, 8, 8), uint8, 0 (paper) to 16 (ink); y_train (1442,) and y_test (355,),
        uint8 classes 0 to 9. The division is fixed: every fifth image of each class is test.

    Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits (test set), UCI Machine Learning
    Repository, 1998, doi 10.24432/C50P49, CC BY 4.0.
    """
    with np.load(Path(__file__).with_name("digits.npz"), allow_pickle=False) as file:
        return (file["x_train"], file["y_train"]), (file["x_test"], file["y_test"])
