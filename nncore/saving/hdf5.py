"""``.weights.h5``: weights in HDF5, in the layout of Keras 3, by h5py."""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore.saving.files import Contents


def h5py() -> Any:
    """The package; ``ImportError`` where it is missing."""
    try:
        import h5py
    except ImportError:
        raise ImportError(
            "Files in HDF5 need h5py: pip install 'nncore[keras]'. A name that ends in .npz needs nothing."
        ) from None
    return h5py


def write(path: str, contents: Contents) -> None:
    """Write the arrays into a new file."""
    with h5py().File(path, "x") as file:
        for name, array in contents.arrays.items():
            file.create_dataset(name, data=array)


def read(path: str) -> Contents:
    """The arrays of a file."""
    arrays: dict[str, Any] = {}

    def keep(name: str, item: Any) -> None:
        if isinstance(item, h5py().Dataset):
            arrays[name] = np.asarray(item)

    with h5py().File(path, "r") as file:
        if "layer_names" in file.attrs:
            raise ValueError("it is in the layout of Keras 2, which names weights by layer")
        file.visititems(keep)
    return Contents(arrays)
