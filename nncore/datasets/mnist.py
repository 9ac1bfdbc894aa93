"""MNIST: 70,000 handwritten digits of 28×28 grey pixels."""

from __future__ import annotations

from os import PathLike

from nncore.datasets.download import Remote
from nncore.datasets.image_set import ImageSet, Split

MNIST = ImageSet(
    name="mnist",
    files=(
        Remote(
            "train-images-idx3-ubyte.gz",
            9_912_422,
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        ),
        Remote(
            "train-labels-idx1-ubyte.gz",
            28_881,
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        ),
        Remote(
            "t10k-images-idx3-ubyte.gz",
            1_648_877,
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        ),
        Remote(
            "t10k-labels-idx1-ubyte.gz",
            4_542,
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
    ),
    mirrors=(
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
    ),
)


def load_data(path: str | PathLike[str] | None = None) -> Split:
    """MNIST as ``(x_train, y_train), (x_test, y_test)``.

    Args:
        path: A folder with the four IDX files (``.gz`` or unpacked), or an ``.npz`` file of Keras's layout. By default
            the cache folder ``$NNCORE_HOME/datasets/mnist`` (``~/.cache/nncore/datasets/mnist``); what it lacks is
            downloaded into it once, 12 MB, and checked by SHA-256.

    Returns:
        x_train (60000, 28, 28) and x_test (10000, 28, 28), uint8, 0 (paper) to 255 (ink); y_train (60000,) and
        y_test (10000,), uint8 classes 0 to 9.

    Raises:
        ValueError: a file is damaged or is something else.
        OSError: the files are not there and could not be downloaded; the message says what to put where.

    Source: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, Gradient-Based Learning Applied to Document Recognition,
    Proceedings of the IEEE 86(11), 1998.
    """
    return MNIST.load(path)
