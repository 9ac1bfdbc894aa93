"""Sparse samples: matrices of mostly zeros, made dense batch by batch where they are used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nncore.errors import DataError

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Sparse:
    """A matrix by its stored values, row after row (CSR): those of row i are ``values[starts[i] : starts[i + 1]]``.

    Values stored for one place add up, the others are 0.
    """

    values: Array
    columns: Array
    """The column of each value: int32 or int64."""
    starts: Array
    """int32 or int64, one more than there are rows."""
    width: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self), self.width

    @property
    def ndim(self) -> int:
        """2."""
        return 2

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, rows: slice) -> Sparse:
        """Consecutive rows, as views."""
        start, stop, _ = rows.indices(len(self))
        return Sparse(self.values, self.columns, self.starts[start : max(start, stop) + 1], self.width)

    def place(self, i: int) -> tuple[int, int]:
        """Row and column of the value at ``i``."""
        return int(np.searchsorted(self.starts, i, side="right")) - 1, int(self.columns[i])

    def stored(self) -> slice:
        """Where the values of these rows are."""
        return slice(int(self.starts[0]), int(self.starts[-1]))


def from_scipy(name: str, matrix: Any) -> Sparse:
    """Any sparse matrix or array of SciPy with two axes, by duck's typing: what has ``tocsr``.

    Raises:
        DataError: where it is not whole, holds no real numbers, or has no rows.
    """
    if len(matrix.shape) != 2:
        raise DataError(f"{name} must have two axes where it is sparse. Received: shape {tuple(matrix.shape)}.")
    csr = matrix.tocsr()
    values, columns, starts = (np.asarray(a) for a in (csr.data, csr.indices, csr.indptr))
    rows, width = csr.shape
    if values.dtype.kind not in "fiub":
        raise DataError(f"{name} must hold real numbers. Received: dtype {values.dtype}.")
    if rows == 0 or width == 0:
        raise DataError(f"{name} must not be empty. Received: shape {(rows, width)}.")
    if values.dtype.kind == "f" and values.dtype.itemsize not in (4, 8):
        values = values.astype(np.float32)
    columns, starts = (a if a.dtype in (np.int32, np.int64) else a.astype(np.int64) for a in (columns, starts))
    in_order = len(starts) == rows + 1 and starts[0] >= 0 and bool((starts[1:] >= starts[:-1]).all())
    if not in_order or starts[-1] > min(len(values), len(columns)):
        raise DataError(f"{name} must be a whole sparse matrix. Received: row starts that do not fit its values.")
    used = columns[: int(starts[-1])]
    if used.size and not 0 <= int(used.min()) <= int(used.max()) < width:
        raise DataError(f"{name} must be a whole sparse matrix. Received: columns outside [0, {width}).")
    return Sparse(values, columns, starts, width)
