"""Fashion-MNIST: 70,000 pictures of clothes, 28×28 grey pixels, in the files of MNIST."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from nncore.datasets.download import Remote
from nncore.datasets.image_set import ImageSet, Split

CLASS_NAMES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
"""What the classes 0 to 9 are."""

FASHION_MNIST = ImageSet(
    name="fashion-mnist",
    files=(
        Remote(
            "train-images-idx3-ubyte.gz",
            26_421_880,
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        ),
        Remote(
            "train-labels-idx1-ubyte.gz",
            29_515,
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        ),
        Remote(
            "t10k-images-idx3-ubyte.gz",
            4_422_102,
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        ),
        Remote(
            "t10k-labels-idx1-ubyte.gz",
            5_148,
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
    ),
    mirrors=(
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ),
    package=("dataset-fashion-mnist", Path("/usr/share/datasets/fashion-mnist")),
)


def load_data(path: str | PathLike[str] | None = None) -> Split:
    """Fashion-MNIST as ``(x_train, y_train), (x_test, y_test)``.

    Args:
        path: A folder with the four IDX files (``.gz`` or unpacked), or an ``.npz`` file of Keras's layout. By default
            the cache folder ``$NNCORE_HOME/datasets/fashion-mnist`` (``~/.cache/nncore/datasets/fashion-mnist``), then
            the Debian package ``dataset-fashion-mnist``; else the files are downloaded once into the cache folder,
            31 MB, and checked by SHA-256.

    Returns:
        x_train (60000, 28, 28) and x_test (10000, 28, 28), uint8, 0 to 255; y_train (60000,) and y_test (10000,), uint8
        classes 0 to 9, named by ``CLASS_NAMES``.

    Raises:
        ValueError: a file is damaged or is something else.
        OSError: the files are not there and could not be downloaded; the message says what to put where.

    Source: H. Xiao, K. Rasul, R. Vollgraf, Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning
    Algorithms, 2017, arXiv:1708.07747; MIT licence.
    """
    return FASHION_MNIST.load(path)
