"""Layers against overfitting: noise in training only, and penalties of outputs."""

from __future__ import annotations

from math import prod
from typing import Any

from nncore import axes
from nncore.arguments import at_least_zero, fraction, is_integer
from nncore.arguments import data_format as valid_data_format
from nncore.builder import Builder
from nncore.layers.base import Layer
from nncore.ops.random import DRAWS
from nncore.program import Buffer, Shape
from nncore.regularizers import L1L2

_SELU_LIMIT = -1.6732632423543772 * 1.0507009873554805
"""The limit of ``selu`` at -inf: minus alpha times scale."""


class _Noise(Layer):
    """A layer that draws in training and passes its values unchanged in inference.

    A draw is a function of the seed, the training step, the layer and the element: the same on every backend, for any
    number of threads.
    """

    supports_masking = True

    def __init__(self, seed: int | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if seed is not None and (not is_integer(seed) or not 0 <= seed < 2**32):
            raise ValueError(
                f"{type(self).__name__}: seed must be an integer in [0, 2**32) or None. Received: seed={seed!r}."
            )
        self.seed = None if seed is None else int(seed)

    def _draw(self, b: Builder, op: str, x: Buffer, **attributes: float) -> tuple[Buffer, ...]:
        """Append an op that draws, with a stream of its own."""
        stream = sum(i.op in DRAWS for i in b.instructions)
        return b.emit(op, x, **attributes, stream=stream, seed=self.seed or 0)


class _Dropping(_Noise):
    """A layer that draws which values to keep, one draw for all along the axes where ``noise_shape`` is 1."""

    rate: float

    def __init__(self, noise_shape: Any, seed: int | None, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        self.noise_shape = _noise_shape(type(self).__name__, noise_shape)

    def _shared(self, shape: Shape) -> list[int]:
        """The axes of an input along which one draw serves all."""
        noise = self.noise_shape
        if noise is None:
            return []
        if len(noise) != len(shape) or any(n not in (None, 1, have) for n, have in zip(noise, shape, strict=True)):
            raise ValueError(
                f"{type(self).__name__} {self.name!r}: noise_shape must have None, 1 or the input's size for each axis "
                f"of its input, of shape {shape}, batch first. Received: noise_shape={noise}."
            )
        return [axis for axis, n in enumerate(noise) if n == 1 and shape[axis] != 1]

    def _drop(self, b: Builder, x: Buffer) -> Buffer:
        """x with dropped values, the others scaled by 1 / (1 - rate), finished."""
        shared = self._shared(x.shape)
        if not shared:
            y, mask = self._draw(b, "dropout", x, rate=self.rate)
            return self._finish(b, y, mask)
        own = [axis for axis in range(1, len(x.shape)) if axis not in shared]
        if 0 in shared:
            moved = axes.to_end(b, x, own)
            k = prod(x.shape[axis] or 0 for axis in own)
            y, mask = self._draw(b, "batch_dropout", b.view(moved, (None, moved.per_row // k, k)), rate=self.rate)
            return axes.from_end(b, b.view(self._finish(b, y, mask), moved.shape), own)
        at, end = shared[0], shared[-1] + 1
        together = len(shared) == end - at
        moved = x if together else axes.to_end(b, x, shared)
        n = prod(x.shape[axis] or 0 for axis in shared)
        k = prod(size or 0 for size in x.shape[end:]) if together else 1
        y, mask = self._draw(b, "spatial_dropout", b.view(moved, (None, x.per_row // (n * k), n, k)), rate=self.rate)
        y = b.view(self._finish(b, y, mask), moved.shape)
        return y if together else axes.from_end(b, y, shared)

    def _finish(self, b: Builder, y: Buffer, mask: Buffer) -> Buffer:
        """What becomes of the values after the draw."""
        return y


class Dropout(_Dropping):
    """In training, zeroes each value with probability ``rate`` and scales the others by 1 / (1 - rate).

    The draw is a function of the seed, the training step, the layer and the element: the same on every backend, for any
    number of threads. In inference the values pass unchanged.

    Source: Srivastava et al., "Dropout", JMLR 15 (2014).

    Args:
        rate: Probability in [0, 1].
        noise_shape: ``None``, or the shape of the draws, batch first: 1 for an axis along which values are dropped
            together, else ``None`` or its size.
        seed: Integer in [0, 2**32), exclusive-or'ed into the seed of the run; ``None`` is 0.
    """

    def __init__(self, rate: float, noise_shape: Any = None, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(noise_shape, seed, **kwargs)
        self.rate = fraction(type(self).__name__, "rate", rate)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        self._shared(input_shape)
        return input_shape

    def lower(self, b: Builder, x: Buffer) -> Buffer:
        if not b.training or self.rate == 0:
            return x
        return self._drop(b, x)

    def get_config(self) -> dict[str, Any]:
        shape = None if self.noise_shape is None else list(self.noise_shape)
        return {**super().get_config(), "rate": self.rate, "noise_shape": shape, "seed": self.seed}


class _SpatialDropout(Dropout):
    """Dropout of whole feature maps: one draw for each sample and channel."""

    spatial = 1

    def __init__(self, rate: float, data_format: str | None = None, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(rate, seed=seed, **kwargs)
        self.data_format = valid_data_format(type(self).__name__, data_format)

    def _shared(self, shape: Shape) -> list[int]:
        if len(shape) != self.spatial + 2:
            raise ValueError(
                f"{type(self).__name__} {self.name!r}: needs inputs of {self.spatial + 2} axes. Received: {shape}."
            )
        first = 1 if self.data_format == "channels_last" else 2
        return [axis for axis in range(first, first + self.spatial) if shape[axis] != 1]

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "data_format": self.data_format}
        del config["noise_shape"], config["trainable"]  # which Keras does not take here
        return config


class SpatialDropout1D(_SpatialDropout):
    """Dropout of whole channels of ``(batch, steps, channels)``: see :class:`Dropout`.

    Source: Tompson et al., "Efficient object localization using convolutional networks", CVPR 2015.

    Args:
        rate: Probability in [0, 1].
        seed: See :class:`Dropout`.
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(rate, None, seed, **kwargs)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["data_format"]
        return config


class SpatialDropout2D(_SpatialDropout):
    """Dropout of whole channels of ``(batch, rows, columns, channels)``: see :class:`SpatialDropout1D`.

    Args:
        rate: Probability in [0, 1].
        data_format: ``"channels_last"``, the default, or ``"channels_first"``: ``(batch, channels, rows, columns)``.
        seed: See :class:`Dropout`.
    """

    spatial = 2


class SpatialDropout3D(_SpatialDropout):
    """Dropout of whole channels of inputs of three axes and channels: see :class:`SpatialDropout2D`."""

    spatial = 3


class AlphaDropout(_Dropping):
    """Dropout for ``selu``: in training, dropped values become ``selu``'s limit, and mean and variance are kept.

    ``a (x kept + l (1 - kept)) + b`` with l = -1.7581, a = 1 / sqrt((1 - rate) (1 + rate l²)) and b = -a l rate.

    Source: Klambauer et al., "Self-normalizing neural networks", NeurIPS 2017.

    Args:
        rate: Probability in [0, 1).
        noise_shape, seed: See :class:`Dropout`.
    """

    def __init__(self, rate: float, noise_shape: Any = None, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(noise_shape, seed, **kwargs)
        self.rate = fraction("AlphaDropout", "rate", rate, below_one=True)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        self._shared(input_shape)
        return input_shape

    def lower(self, b: Builder, x: Buffer) -> Buffer:
        if not b.training or self.rate == 0:
            return x
        return self._drop(b, x)

    def _finish(self, b: Builder, y: Buffer, mask: Buffer) -> Buffer:
        a = ((1 - self.rate) * (1 + self.rate * _SELU_LIMIT**2)) ** -0.5
        scale = a * (1 - self.rate)  # what is kept has been scaled by 1 / (1 - rate), and so has the mask
        (y,) = b.emit("scale_shift", y, scale=scale, offset=0.0)
        offset = a * _SELU_LIMIT * (1 - self.rate)
        (rest,) = b.emit("scale_shift", mask, scale=-scale * _SELU_LIMIT, offset=offset)
        if len(mask.shape) == 1:
            return b.emit("row_add", y, rest)[0]
        n = y.shape[-2]
        if len(mask.shape) < len(y.shape) and n is not None:
            (rest,) = b.emit("repeat", rest, n=n)
        return b.emit("add", y, rest)[0]

    def get_config(self) -> dict[str, Any]:
        shape = None if self.noise_shape is None else list(self.noise_shape)
        return {**super().get_config(), "rate": self.rate, "noise_shape": shape, "seed": self.seed}


class GaussianNoise(_Noise):
    """In training, adds normal noise of mean 0.

    Args:
        stddev: Standard deviation of the noise, in [0, 1].
        seed: See :class:`Dropout`.
    """

    def __init__(self, stddev: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        self.stddev = fraction("GaussianNoise", "stddev", stddev)

    def lower(self, b: Builder, x: Buffer) -> Buffer:
        if not b.training or self.stddev == 0:
            return x
        return self._draw(b, "gaussian_noise", x, stddev=self.stddev)[0]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "stddev": self.stddev, "seed": self.seed}


class GaussianDropout(_Noise):
    """In training, multiplies by normal noise of mean 1 and standard deviation sqrt(rate / (1 - rate)).

    Source: Srivastava et al., "Dropout", JMLR 15 (2014).

    Args:
        rate: In [0, 1): the noise has the variance of :class:`Dropout` at this rate.
        seed: See :class:`Dropout`.
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        self.rate = fraction("GaussianDropout", "rate", rate, below_one=True)

    def lower(self, b: Builder, x: Buffer) -> Buffer:
        if not b.training or self.rate == 0:
            return x
        return self._draw(b, "gaussian_dropout", x, stddev=(self.rate / (1 - self.rate)) ** 0.5)[0]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


def _noise_shape(owner: str, value: Any) -> tuple[int | None, ...] | None:
    """``noise_shape`` as a tuple of positive ints and ``None``."""
    if value is None:
        return None
    entries = tuple(value) if isinstance(value, list | tuple) else (0,)
    if not all(n is None or (is_integer(n) and n > 0) for n in entries):
        raise ValueError(
            f"{owner}: noise_shape must be None, or hold a positive integer or None for each axis, batch first. "
            f"Received: noise_shape={value!r}."
        )
    return tuple(None if n is None else int(n) for n in entries)


class ActivityRegularization(Layer):
    """The values pass unchanged; l1 sum |x| + l2 sum x², divided by the rows of the batch, is added to the loss.

    Args:
        l1: A number of at least 0.
        l2: The same.
    """

    supports_masking = True

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.l1 = at_least_zero("ActivityRegularization", "l1", l1)
        self.l2 = at_least_zero("ActivityRegularization", "l2", l2)
        self.activity_regularizer = L1L2(self.l1, self.l2)

    def lower(self, b: Builder, x: Buffer) -> Buffer:
        return x

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "l1": self.l1, "l2": self.l2}
        del config["activity_regularizer"]
        return config
