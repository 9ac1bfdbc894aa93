"""The caller's data, checked once before anything is trained: shapes, dtypes, finite values, label ranges."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from nncore.errors import DataError
from nncore.program import Shape
from nncore.sparse import Sparse, from_scipy

Array = np.ndarray[Any, Any]

Samples = Array | Sparse

CHUNK = 1 << 18
"""Values looked at together: a megabyte of them stays in the cache for a second look, and takes little memory."""


@dataclass(frozen=True, eq=False)
class Data:
    """Samples with what belongs to them, one row each."""

    x: Samples
    y: Array | None = None
    sample_weight: Array | None = None

    def __len__(self) -> int:
        return len(self.x)

    def rows(self, start: int, stop: int) -> Data:
        """The samples from ``start`` to ``stop``, as views."""
        cut = slice(start, stop)
        return Data(
            self.x[cut],
            None if self.y is None else self.y[cut],
            None if self.sample_weight is None else self.sample_weight[cut],
        )

    def fingerprint(self) -> dict[str, list[int]]:
        """For each of the arrays the shape of a row, and a checksum of up to 256 rows from all over it, or 4 MB: other
        data is told from it."""
        from zlib import crc32

        found = {}
        for name, array in self.arrays().items():
            rows = min(256, max(1, 2**22 // max(1, array[:1].nbytes)))
            found[name] = [*array.shape[1:], crc32(array[:: -(-len(array) // rows)].tobytes())]
        return found

    def arrays(self) -> dict[str, Array]:
        """The arrays under the names that programs give them."""
        given = {"x": self.x, "y": self.y, "sample_weight": self.sample_weight}
        return {key: a for name, part in given.items() if part is not None for key, a in named(name, part).items()}


def named(name: str, part: Samples) -> dict[str, Array]:
    """An array, or those of a sparse matrix, under the names that programs give them."""
    if not isinstance(part, Sparse):
        return {f"{name}_rows": flat_rows(part)}
    parts = {f"{name}_rows": part.starts, f"{name}_values": part.values, f"{name}_columns": part.columns}
    return {key: array.reshape(-1, 1) for key, array in parts.items()}


def as_samples(name: str, value: Any) -> Samples:
    """``value`` as an array, or as a sparse matrix where it is one; ``DataError`` for anything else."""
    return from_scipy(name, value) if hasattr(value, "tocsr") else as_array(name, value)


def as_array(name: str, value: Any) -> Array:
    """``value`` as an array that kernels read where it lies, converted only where they cannot.

    Raises:
        DataError: for what is no array of real numbers, or has no rows.
    """
    if value is None:
        raise DataError(f"{name} is required. Received: {name}=None.")
    if hasattr(value, "tocsr"):
        raise DataError(f"{name} must be a dense array. Received: a sparse {type(value).__name__}; use its toarray().")
    if hasattr(value, "iloc") and hasattr(value, "columns"):
        value = _from_frame(name, value)
    elif hasattr(value, "detach"):
        value = value.detach().cpu()
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"{name} must be an array of numbers with rows of one length. {error}") from None
    if array.ndim == 0:
        raise DataError(f"{name} must be an array with one row a sample. Received: {value!r:.60}.")
    if array.dtype.kind == "O":
        array = _from_objects(name, array)
    if array.dtype.kind not in "fiub":
        raise DataError(f"{name} must hold real numbers. Received: dtype {array.dtype}.")
    if array.size == 0:
        raise DataError(f"{name} must not be empty. Received: shape {array.shape}.")
    if array.dtype.kind == "f" and array.dtype.itemsize not in (4, 8):
        array = array.astype(np.float32)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if array.ndim > 2 and not array.flags.c_contiguous:
        array = np.ascontiguousarray(array)
    return array


def _from_frame(name: str, frame: Any) -> Array:
    """A frame of pandas as an array, of the dtype that all its columns fit into."""
    dtypes = list(frame.dtypes)
    if all(isinstance(dtype, np.dtype) and dtype.kind in "fiub" for dtype in dtypes) and dtypes:
        array: Array = frame.to_numpy(np.result_type(*dtypes))
        return array
    columns = [_from_column(name, label, frame.iloc[:, i]) for i, label in enumerate(frame.columns)]
    return np.stack(columns, axis=1) if columns else np.empty((len(frame), 0))


def _from_column(name: str, label: Any, column: Any) -> Array:
    """A column as float64, what is missing as NaN; ``DataError`` names the column that holds no numbers."""
    kind = getattr(column.dtype, "kind", "O")
    found = f"dtype {column.dtype}"
    if kind in "fiub" or (kind == "O" and not any(isinstance(item, str) for item in column)):
        try:
            array: Array = column.to_numpy(np.float64, na_value=np.nan)
            return array
        except (TypeError, ValueError) as error:
            found = str(error)
    elif kind == "O":
        row, item = next((i, item) for i, item in enumerate(column) if isinstance(item, str))
        found = f"{item!r:.40} in row {row}"
    raise DataError(
        f"{name} must hold numbers in all columns. Received: {found} of the column {label!r}. Encode it as numbers, or "
        "drop it."
    )


def _from_objects(name: str, array: Array) -> Array:
    """An object array, such as a frame of mixed columns gives, as float64."""
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError):
        for index, item in np.ndenumerate(array):
            if isinstance(item, str) or not np.isscalar(item):
                where = f"row {index[0]}" + (f", column {index[1]}" if len(index) > 1 else "")
                raise DataError(
                    f"{name} must hold real numbers in rows of one length. Received: {item!r:.60} at {where}."
                ) from None
        raise DataError(f"{name} must hold real numbers. Received: dtype object.") from None


def flat_rows(array: Samples) -> Array:
    """The array with one axis of rows and one of values, as programs read it; ``DataError`` for what is sparse."""
    if isinstance(array, Sparse):
        raise DataError("Gradients in x need a dense x. Received: a sparse one; pass x.toarray().")
    return array if array.ndim == 2 else array.reshape(len(array), -1)


def fit_samples(name: str, array: Samples, shape: Shape) -> Samples:
    """``array`` in the shape that a model takes; one-feature models also take a vector.

    Raises:
        DataError: where it does not fit.
    """
    wanted = shape[1:]
    if array.shape[1:] == wanted:
        return array
    if not isinstance(array, Sparse):
        if wanted == (1,) and array.ndim == 1:
            return array.reshape(-1, 1)
        if array.shape[1:] == (*wanted, 1):
            return array.reshape(array.shape[:-1])
    hint = ""
    if array.ndim == 1 and wanted == (len(array),):
        hint = f" For one sample, pass {name}[None, :]."
    elif len(wanted) == 1 and array.ndim == 2:
        raise DataError(f"{name} has {array.shape[1]} features, the model expects {wanted[0]}.")
    elif len(wanted) == 1 and array.ndim > 2 and np.prod(array.shape[1:]) == wanted[0]:
        hint = " Add a Flatten layer, or reshape it."
    raise DataError(f"{name} must have shape {_spell(shape)}. Received: {array.shape}.{hint}")


def _spell(shape: Shape) -> str:
    return "(" + ", ".join(["rows", *(str(n) for n in shape[1:])]) + ("," if len(shape) == 1 else "") + ")"


def check_lengths(**arrays: Samples | None) -> None:
    """Raise ``DataError`` where the arrays do not have as many rows as the first."""
    present = [(name, array) for name, array in arrays.items() if array is not None]
    first, reference = present[0]
    for name, array in present[1:]:
        if len(array) != len(reference):
            raise DataError(
                f"{first} and {name} must have as many rows. Received: {len(reference)} rows in {first}, "
                f"{len(array)} in {name}."
            )


def _chunks(array: Array) -> Iterator[tuple[int, Array]]:
    rows = max(1, CHUNK // max(1, int(np.prod(array.shape[1:]))))
    for start in range(0, len(array), rows):
        yield start, array[start : start + rows]


def _refuse(name: str, array: Array, bad: Callable[[Array], Array], what: str) -> None:
    """Raise ``DataError`` naming the first value for which ``bad`` holds."""
    for start, chunk in _chunks(array):
        found = np.argwhere(bad(chunk))
        if len(found):
            place = [int(i) for i in found[0]]
            value = chunk[tuple(place)]
            place[0] += start
            where = f"row {place[0]}"
            if len(place) == 2:
                where += f", column {place[1]}"
            elif len(place) > 2:
                where += f", position {tuple(place[1:])}"
            raise DataError(f"{name} {what} Received: {value} in {where}.")


def check_finite(name: str, array: Samples) -> None:
    """Raise ``DataError`` naming row and column of the first value that is NaN or infinite as float32."""
    if isinstance(array, Sparse):
        part = array.stored()
        try:
            check_finite(name, array.values[part])
        except DataError:
            bad = ~(np.abs(array.values[part]) <= np.finfo(np.float32).max)
            i = part.start + int(np.argmax(bad))
            row, column = array.place(i)
            raise DataError(
                f"{name} must be finite in float32; compile(check_finite=False) turns this check off. "
                f"Received: {array.values[i]} in row {row}, column {column}."
            ) from None
        return
    if array.dtype.kind != "f":
        return
    limit = np.finfo(np.float32).max
    for _, chunk in _chunks(array):
        if not (np.min(chunk) >= -limit and np.max(chunk) <= limit):  # NaN is neither
            advice = "must be finite in float32; compile(check_finite=False) turns this check off."
            _refuse(name, array, lambda a: ~(np.abs(a) <= limit), advice)


def check_labels(name: str, array: Array, classes: int, ignored: int | None = None) -> None:
    """Raise ``DataError`` naming the row of the first label that is no integer in [0, classes), nor ``ignored``."""
    low, high = np.min(array), np.max(array)
    whole = array.dtype.kind != "f" or not np.any(array != np.floor(array))
    if low >= 0 and high < classes and whole:
        return
    what = f"must hold integer labels in [0, {classes}), one for each of the last layer's {classes} outputs."

    def bad(a: Array) -> Array:
        good: Array = (a >= 0) & (a < classes) & (a == np.floor(a))
        return ~good if ignored is None else ~(good | (a == ignored))

    _refuse(name, array, bad, what)


def check_ids(name: str, array: Array, count: int) -> None:
    """Raise ``DataError`` naming the row of the first id that, its fraction cut, is not in [0, count)."""
    if np.min(array) > -1 and np.max(array) < count:  # NaN is neither
        return
    what = f"must hold integers in [0, {count}), the Embedding's input_dim."
    _refuse(name, array, lambda a: ~((a > -1) & (a < count)), what)


def check_probabilities(name: str, array: Array, loss: str) -> None:
    """Raise ``DataError`` naming the first target outside [0, 1], which is what ``loss`` takes."""
    if np.min(array) < 0 or np.max(array) > 1:
        what = f"must lie in [0, 1] for {loss} (labels 0 and 1, or probabilities)."
        _refuse(name, array, lambda a: (a < 0) | (a > 1), what)
