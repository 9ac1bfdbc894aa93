"""Layers that learn from data before training, by ``adapt``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import inf, prod
from typing import Any

import numpy as np

from nncore.builder import Builder
from nncore.data import CHUNK, as_array
from nncore.errors import DataError
from nncore.layers.base import Array, Layer
from nncore.layers.normalization import axis_argument, lower_at, sample_axes, sizes
from nncore.program import Buffer, Shape
from nncore.variables import Variable

LEAST_DEVIATION = 1e-7
"""What ``Normalization`` divides by at least."""


@dataclass(frozen=True)
class Moments:
    """Mean and variance of ``count`` values, in each place of an array."""

    count: int
    mean: Array
    variance: Array

    def merged(self, other: Moments) -> Moments:
        """Those of the values of both: Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm", 1979."""
        count = self.count + other.count
        share = other.count / max(count, 1)
        apart = other.mean - self.mean
        variance = self.variance + (other.variance - self.variance) * share + apart * apart * (share * (1 - share))
        return Moments(count, self.mean + apart * share, variance)


NO_VALUES = Moments(0, np.zeros(()), np.zeros(()))


class Normalization(Layer):
    """``(x - mean) / max(sqrt(variance), 1e-7)``: features brought to mean 0 and variance 1, each on its own.

    ``mean`` and ``variance`` are given, or found by :meth:`adapt`; before that they are 0 and 1. Unless they are given,
    they are weights, which training does not change; a third weight, ``count``, is always 0.

    Args:
        axis: The axes that have a mean and a variance for each of their places: an integer, or a tuple of them;
            ``None`` for one mean and one variance of all values.
        mean: A number, or an array that broadcasts to the shape of those axes. Give both or neither.
        variance: The same, at least 0.
        invert: Whether to undo it: ``x max(sqrt(variance), 1e-7) + mean``.

    Raises:
        ValueError: for anything above that does not hold.
    """

    supports_masking = True

    def __init__(
        self, axis: Any = -1, mean: Any = None, variance: Any = None, invert: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        found = [] if axis is None or axis in ((), []) else axis_argument("Normalization", axis)
        self.axis = (found,) if isinstance(found, int) else tuple(found)
        if (mean is None) != (variance is None):
            raise ValueError(
                "Normalization: give both mean and variance, or neither. "
                f"Received: mean={mean!r}, variance={variance!r}."
            )
        self.input_mean = _numbers("mean", mean)
        self.input_variance = _numbers("variance", variance)
        if self.input_variance is not None and (self.input_variance < 0).any():
            raise ValueError(f"Normalization: variance must be at least 0. Received: variance={variance!r}.")
        if self.input_mean is not None and self.input_variance is not None:
            self.input_mean, self.input_variance = _of_one_shape(self.input_mean, self.input_variance)
        self.invert = bool(invert)
        self.mean: Variable | None = None
        self.variance: Variable | None = None

    def _places(self, shape: Shape) -> list[int]:
        """The axes of inputs of ``shape`` whose places have statistics of their own."""
        return sample_axes("Normalization", self.axis, shape) if self.axis else []

    def build(self, input_shape: Shape) -> None:
        shape = sizes(input_shape, self._places(input_shape))
        if self.input_mean is None or self.input_variance is None:
            self.mean = self.add_weight(shape, "zeros", name="mean", trainable=False)
            self.variance = self.add_weight(shape, "ones", name="variance", trainable=False)
            self.add_weight((), "zeros", name="count", trainable=False, dtype="int64")
            return
        try:
            mean, variance = np.broadcast_to(self.input_mean, shape), np.broadcast_to(self.input_variance, shape)
        except ValueError:
            raise ValueError(
                f"Normalization: mean and variance must broadcast to {shape}, the shape of the axes {self.axis} of "
                f"inputs of shape {input_shape}. Received: mean of shape {self.input_mean.shape} and variance of shape "
                f"{self.input_variance.shape}."
            ) from None
        self.mean = self.add_constant(mean, name="mean")
        self.variance = self.add_constant(variance, name="variance")

    def adapt(self, data: Any) -> None:
        """Set mean and variance to those of all of ``data``, whatever they were before.

        They are computed in float64: the mean, and the variance of a population.

        Args:
            data: An array, batch axis first; or a list, a generator or another iterable of such arrays, or of tuples
                that begin with one. A layer that is not built yet is built for the first.

        Raises:
            DataError: for data that is empty, holds NaN or infinities, or does not fit the axes.
            ValueError: where mean and variance were given.
        """
        if self.input_mean is not None:
            raise ValueError(f"{self.name}.adapt: mean and variance were given to the layer and stay as they are.")
        total = NO_VALUES
        for batch in _batches(data):
            x = as_array("adapt: data", batch)
            if not self.built:
                self.build_for((None, *x.shape[1:]))
            total = total.merged(self._moments(x))
        if total.count == 0:
            raise DataError("adapt: data must have at least one batch. Received: none.")
        if not (np.isfinite(total.mean).all() and np.isfinite(total.variance).all()):
            raise DataError("adapt: data must be finite. Received: NaN or infinite values.")
        assert self.mean is not None
        assert self.variance is not None
        self.mean.assign(total.mean)
        self.variance.assign(total.variance)

    def _moments(self, x: Array) -> Moments:
        """The statistics of an array, a few rows at a time."""
        assert self.input_shape is not None
        places = self._places(self.input_shape)
        if x.ndim != len(self.input_shape) or any(x.shape[a] != self.input_shape[a] for a in places):
            raise DataError(
                f"adapt: data must fit inputs of shape {self.input_shape}, for which {self.name!r} was built, in the "
                f"number of axes and along {self.axis}. Received: data of shape {x.shape}."
            )
        others = tuple(a for a in range(x.ndim) if a not in places)
        rows = max(1, CHUNK // prod(x.shape[1:]))
        total = NO_VALUES
        for first in range(0, len(x), rows):
            part = x[first : first + rows].astype(np.float64)
            with np.errstate(invalid="ignore", over="ignore"):
                moments = Moments(part.size // prod(part.shape[a] for a in places), part.mean(others), part.var(others))
                total = total.merged(moments)
        return total

    def lower(self, b: Builder, x: Buffer) -> Buffer:
        assert self.mean is not None
        assert self.variance is not None
        mean, variance = (b.view(b.parameter(v), (v.size,)) for v in (self.mean, self.variance))

        def normalize(x: Buffer) -> Buffer:
            if self.invert:
                (scale,) = b.emit("clip", *b.emit("sqrt", variance), low=LEAST_DEVIATION, high=inf)
                return b.emit("affine", x, None, scale, mean)[0]
            (scale,) = b.emit("inverse_deviation", variance, None, epsilon=0.0, least=LEAST_DEVIATION)
            return b.emit("affine", x, mean, scale, None)[0]

        return lower_at(b, x, self._places(x.shape), normalize)

    def get_config(self) -> dict[str, Any]:
        mean = variance = None
        if self.input_mean is not None and self.input_variance is not None:  # of one shape, as Keras wants them
            mean, variance = (v.tolist() for v in np.broadcast_arrays(self.input_mean, self.input_variance))
        axis = list(self.axis) if self.axis else None
        return {**super().get_config(), "axis": axis, "mean": mean, "variance": variance, "invert": self.invert}


def _numbers(argument: str, value: Any) -> Array | None:
    """An argument that is a finite number or an array of such, or ``None``."""
    if value is None:
        return None
    try:
        found = np.asarray(value, np.float32)
    except (TypeError, ValueError):
        found = np.array(np.nan)
    if not np.isfinite(found).all():
        raise ValueError(
            f"Normalization: {argument} must be a finite number, or an array of such. Received: {argument}={value!r}."
        )
    return found


def _of_one_shape(mean: Array, variance: Array) -> tuple[Array, Array]:
    """Mean and variance in the same shape, as Keras wants them in configs."""
    try:
        mean, variance = np.broadcast_arrays(mean, variance)
    except ValueError:
        raise ValueError(
            "Normalization: mean and variance must broadcast to one another. "
            f"Received: shapes {mean.shape} and {variance.shape}."
        ) from None
    return mean, variance


def _batches(data: Any) -> Iterator[Any]:
    """The arrays in ``data``: itself, also as nested lists of numbers, or what its batches begin with."""
    first = data[0] if isinstance(data, list | tuple) and data else None
    numbers = isinstance(data, list | tuple) and not (isinstance(first, tuple) or hasattr(first, "__array__"))
    if numbers or hasattr(data, "__array__"):
        yield data
        return
    if isinstance(data, str | Mapping) or not (isinstance(data, Iterable) or hasattr(data, "__getitem__")):
        raise DataError(f"adapt: data must be an array, or an iterable of arrays. Received: {data!r:.60}.")
    # What can be counted and indexed need not end when it is iterated over.
    counted = hasattr(data, "__getitem__") and hasattr(data, "__len__")
    for batch in (data[i] for i in range(len(data))) if counted else data:
        yield batch[0] if isinstance(batch, tuple) else batch
