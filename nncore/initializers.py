"""Initial values of weights, under Keras's names.

An initializer is called with a shape and returns a new float32 array. The random ones draw their seed when they are
made, so one instance called twice gives the same values.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import numpy as np

from nncore.arguments import at_least_zero, count, finite
from nncore.errors import unknown_name
from nncore.names import snake_case
from nncore.random import draw_seed
from nncore.serialization import construct, deserialize_keras_object, get_registered_object, serialize_keras_object

Array = np.ndarray[Any, Any]
T = TypeVar("T", bound="Initializer")

_TRUNCATED_STDDEV = 0.87962566103423978
"""Standard deviation of a standard normal distribution cut off at ±2."""


class Initializer:
    """Base of all initializers. A subclass defines ``__call__`` and, where it has arguments, ``get_config``."""

    def __call__(self, shape: Any, dtype: Any = None) -> Array:
        """A new array of ``shape``; ``dtype=None`` means float32."""
        raise NotImplementedError(f"{type(self).__name__} must define __call__(shape, dtype=None).")

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal initializer, as JSON-able values."""
        return {}

    @classmethod
    def from_config(cls: type[T], config: Mapping[str, Any]) -> T:
        """The initializer that ``config`` describes."""
        return construct(cls, config)

    def clone(self: T) -> T:
        """A new initializer of the same arguments; without a seed it draws one of its own."""
        return self.from_config(self.get_config())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.get_config().items())})"


class Zeros(Initializer):
    """All 0."""

    def __call__(self, shape: Any, dtype: Any = None) -> Array:
        return np.zeros(_shape(self, shape), _dtype(dtype))


class Ones(Initializer):
    """All 1."""

    def __call__(self, shape: Any, dtype: Any = None) -> Array:
        return np.ones(_shape(self, shape), _dtype(dtype))


class Constant(Initializer):
    """All ``value``: a number, or an array that broadcasts to the shape asked for."""

    def __init__(self, value: Any = 0.0) -> None:
        array = np.asarray(value)
        if array.dtype.kind not in "biuf":
            raise ValueError(f"Constant: value must be a number or an array of numbers. Received: value={value!r}.")
        self.value: Any = value if np.isscalar(value) else array.copy()

    def __call__(self, shape: Any, dtype: Any = None) -> Array:
        dims = _shape(self, shape)
        try:
            return np.broadcast_to(np.asarray(self.value, _dtype(dtype)), dims).copy()
        except ValueError:
            raise ValueError(
                f"Constant: a value of shape {np.shape(self.value)} does not fit a weight of shape {dims}."
            ) from None

    def get_config(self) -> dict[str, Any]:
        return {"value": self.value.tolist() if isinstance(self.value, np.ndarray | np.generic) else self.value}


class Identity(Initializer):
    """The identity matrix times ``gain``; for two-dimensional shapes only."""

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = finite(type(self).__name__, "gain", gain)

    def __call__(self, shape: Any, dtype: Any = None) -> Array:
        dims = _shape(self, shape)
        if len(dims) != 2:
            raise ValueError(f"Identity: the shape must have two dimensions. Received: shape={dims}.")
        return np.asarray(self.gain * np.eye(*dims), _dtype(dtype))

    def get_config(self) -> dict[str, Any]:
        return {"gain": self.gain}


class _Random(Initializer):
    """Base of the random ones: ``_draw`` makes float64 values, so every dtype rounds the same numbers."""

    def __init__(self, seed: int | None = None) -> None:
        self._seed_argument = None if seed is None else count(type(self).__name__, "seed", seed)
        self.seed = draw_seed() if self._seed_argument is None else self._seed_argument

    def __call__(self, shape: Any, dtype: Any = None) -> Array:
        dims, kind = _shape(self, shape), _dtype(dtype)
        if kind.kind != "f":
            raise ValueError(f"{type(self).__name__}: dtype must be a float type. Received: dtype={dtype!r}.")
        rng = np.random.Generator(np.random.PCG64(self.seed))
        return self._draw(rng, dims).astype(kind)

    def _draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        return {"seed": self._seed_argument}


class RandomNormal(_Random):
    """Normal distribution of the given ``mean`` and standard deviation."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        super().__init__(seed)
        self.mean = finite(type(self).__name__, "mean", mean)
        self.stddev = at_least_zero(type(self).__name__, "stddev", stddev)

    def _draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        return self.mean + self.stddev * rng.standard_normal(shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mean": self.mean, "stddev": self.stddev}


class TruncatedNormal(RandomNormal):
    """Normal distribution whose draws beyond two ``stddev`` from the mean are drawn again.

    The values' own standard deviation is therefore 0.8796 ``stddev``.
    """

    def _draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        return self.mean + self.stddev * _truncated_normal(rng, shape)


class RandomUniform(_Random):
    """Uniform distribution between ``minval`` and ``maxval``."""

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None) -> None:
        super().__init__(seed)
        self.minval = finite(type(self).__name__, "minval", minval)
        self.maxval = finite(type(self).__name__, "maxval", maxval)
        if self.minval > self.maxval:
            raise ValueError(
                f"RandomUniform: minval must not exceed maxval. Received: minval={minval!r}, maxval={maxval!r}."
            )

    def _draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        return rng.uniform(self.minval, self.maxval, shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "minval": self.minval, "maxval": self.maxval}


class VarianceScaling(_Random):
    """Mean 0 and variance ``scale / n``, where n follows from the weight's shape.

    Args:
        scale: Positive number.
        mode: What n is: ``"fan_in"`` (inputs of a unit), ``"fan_out"`` (outputs) or ``"fan_avg"`` (their mean); at
            least 1.
        distribution: ``"truncated_normal"`` (cut off at two standard deviations, then scaled so that the variance
            holds), ``"untruncated_normal"`` or ``"uniform"`` (between ±√(3 scale / n)); ``"normal"`` is the first.
        seed: Non-negative integer, or ``None`` to draw one now.
        input_axes, output_axes: The axes of the shape whose sizes multiply to fan in and fan out, both or neither. By
            default fan in is the last but one, fan out the last, each times all axes before them (a convolution's
            window).

    Raises:
        ValueError: for arguments outside of these.
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
        input_axes: Iterable[int] | None = None,
        output_axes: Iterable[int] | None = None,
    ) -> None:
        super().__init__(seed)
        self.scale = finite(type(self).__name__, "scale", scale)
        if self.scale <= 0:
            raise ValueError(f"{type(self).__name__}: scale must be positive. Received: scale={scale!r}.")
        if mode not in ("fan_in", "fan_out", "fan_avg"):
            raise unknown_name(f"{type(self).__name__} mode", mode, ("fan_in", "fan_out", "fan_avg"))
        if distribution == "normal":
            distribution = "truncated_normal"
        if distribution not in ("truncated_normal", "untruncated_normal", "uniform"):
            known = ("truncated_normal", "untruncated_normal", "uniform", "normal")
            raise unknown_name(f"{type(self).__name__} distribution", distribution, known)
        if (input_axes is None) != (output_axes is None):
            raise ValueError(
                f"{type(self).__name__}: input_axes and output_axes are given together or not at all. "
                f"Received: input_axes={input_axes!r}, output_axes={output_axes!r}."
            )
        self.mode = mode
        self.distribution = distribution
        self.input_axes = _axes(self, "input_axes", input_axes)
        self.output_axes = _axes(self, "output_axes", output_axes)

    def _draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        fan_in, fan_out = self._fans(shape)
        n = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1.0, n)
        if self.distribution == "uniform":
            limit = math.sqrt(3 * variance)
            return rng.uniform(-limit, limit, shape)
        if self.distribution == "untruncated_normal":
            return math.sqrt(variance) * rng.standard_normal(shape)
        return math.sqrt(variance) / _TRUNCATED_STDDEV * _truncated_normal(rng, shape)

    def _fans(self, shape: tuple[int, ...]) -> tuple[int, int]:
        if self.input_axes is None or self.output_axes is None:
            return fans(shape)
        try:
            return math.prod(shape[a] for a in self.input_axes), math.prod(shape[a] for a in self.output_axes)
        except IndexError:
            raise ValueError(
                f"{type(self).__name__}: input_axes={self.input_axes} and output_axes={self.output_axes} must be axes "
                f"of the weight. Received: shape={shape}."
            ) from None

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "scale": self.scale,
            "mode": self.mode,
            "distribution": self.distribution,
            "input_axes": self.input_axes,
            "output_axes": self.output_axes,
        }


class _Preset(VarianceScaling):
    """A ``VarianceScaling`` of fixed scale, mode and distribution."""

    _scaling: tuple[float, str, str]

    def __init__(
        self,
        seed: int | None = None,
        input_axes: Iterable[int] | None = None,
        output_axes: Iterable[int] | None = None,
    ) -> None:
        super().__init__(*self._scaling, seed, input_axes, output_axes)

    def get_config(self) -> dict[str, Any]:
        return {"seed": self._seed_argument, "input_axes": self.input_axes, "output_axes": self.output_axes}


class GlorotUniform(_Preset):
    """Uniform between ±√(6 / (fan_in + fan_out)): Glorot and Bengio, AISTATS 2010. The default of Keras's layers."""

    _scaling = (1.0, "fan_avg", "uniform")


class GlorotNormal(_Preset):
    """Truncated normal of variance 2 / (fan_in + fan_out): Glorot and Bengio, AISTATS 2010."""

    _scaling = (1.0, "fan_avg", "truncated_normal")


class HeUniform(_Preset):
    """Uniform between ±√(6 / fan_in): He, Zhang, Ren and Sun, ICCV 2015. For layers with ReLU."""

    _scaling = (2.0, "fan_in", "uniform")


class HeNormal(_Preset):
    """Truncated normal of variance 2 / fan_in: He, Zhang, Ren and Sun, ICCV 2015. For layers with ReLU."""

    _scaling = (2.0, "fan_in", "truncated_normal")


class LecunUniform(_Preset):
    """Uniform between ±√(3 / fan_in): LeCun, Bottou, Orr and Müller, "Efficient BackProp", 1998."""

    _scaling = (1.0, "fan_in", "uniform")


class LecunNormal(_Preset):
    """Truncated normal of variance 1 / fan_in: LeCun, Bottou, Orr and Müller, "Efficient BackProp", 1998. For SELU."""

    _scaling = (1.0, "fan_in", "truncated_normal")


class Orthogonal(_Random):
    """A random matrix with orthonormal columns (rows, where it is wide) times ``gain``.

    Saxe, McClelland and Ganguli, 2013. Axes before the last are taken together as the rows; the shape needs two
    dimensions or more.
    """

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        super().__init__(seed)
        self.gain = finite(type(self).__name__, "gain", gain)

    def _draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        if len(shape) < 2:
            raise ValueError(f"Orthogonal: the shape must have two dimensions or more. Received: shape={shape}.")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
        q *= np.where(np.diag(r) < 0, -1.0, 1.0)  # makes the draw uniform over orthogonal matrices
        return self.gain * (q.T if rows < columns else q).reshape(shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "gain": self.gain}


class _Given(Constant):
    """An array that stands for itself: what ``get`` makes of one."""

    @property
    def stands_for(self) -> Constant:
        """What a config says in its place."""
        return Constant(self.value)

    def __call__(self, shape: Any, dtype: Any = None) -> Array:
        dims = _shape(self, shape)
        if dims != np.shape(self.value):
            raise ValueError(
                f"An array given as initializer must have the weight's shape, {dims}. Received: {np.shape(self.value)}."
            )
        return super().__call__(shape, dtype)


class _Function(Initializer):
    """A function ``f(shape, dtype=None)``, whose result is checked: what ``get`` makes of one."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    @property
    def stands_for(self) -> Callable[..., Any]:
        """What a config says in its place."""
        return self.function

    def __call__(self, shape: Any, dtype: Any = None) -> Array:
        dims, kind = _shape(self, shape), _dtype(dtype)
        values = np.array(self.function(dims, dtype=kind.name), kind)
        if values.shape != dims:
            raise ValueError(
                f"The initializer function {_function_name(self.function)!r} must return an array of the shape it is "
                f"called with, {dims}. Received: shape {values.shape}."
            )
        return values

    def clone(self) -> _Function:
        return self

    def __repr__(self) -> str:
        return f"initializer function {_function_name(self.function)!r}"


zeros = Zeros
ones = Ones
constant = Constant
identity = IdentityInitializer = Identity
random_normal = RandomNormal
truncated_normal = TruncatedNormal
random_uniform = RandomUniform
variance_scaling = VarianceScaling
glorot_uniform = GlorotUniform
glorot_normal = GlorotNormal
he_uniform = HeUniform
he_normal = HeNormal
lecun_uniform = LecunUniform
lecun_normal = LecunNormal
orthogonal = OrthogonalInitializer = Orthogonal

_CLASSES: tuple[type[Initializer], ...] = (
    Zeros, Ones, Constant, Identity, RandomNormal, TruncatedNormal, RandomUniform, VarianceScaling, GlorotUniform,
    GlorotNormal, HeUniform, HeNormal, LecunUniform, LecunNormal, Orthogonal,
)  # fmt: skip

_NAMES: dict[str, type[Initializer]] = {
    **{c.__name__: c for c in _CLASSES},
    **{snake_case(c.__name__): c for c in _CLASSES},
    "zero": Zeros,
    "one": Ones,
    "normal": RandomNormal,
    "uniform": RandomUniform,
    "IdentityInitializer": Identity,
    "OrthogonalInitializer": Orthogonal,
}
_BY_LOWER = {name.lower(): cls for name, cls in _NAMES.items()}


def get(identifier: Any) -> Initializer | None:
    """The initializer that ``identifier`` names or is.

    Args:
        identifier: A name in any case (``"glorot_uniform"``, ``"GlorotUniform"``), an initializer (returned as it is)
            or its class, a function ``f(shape, dtype=None)``, an array to copy, a config as ``serialize`` makes, or
            ``None``.

    Raises:
        ValueError: for anything else, and for names nncore does not know.
    """
    if identifier is None or isinstance(identifier, Initializer):
        return identifier
    if isinstance(identifier, str):
        own = get_registered_object(identifier)
        if own is not None:
            return get(own)
        if identifier.lower() not in _BY_LOWER:
            raise unknown_name("initializer", identifier, _NAMES)
        return _BY_LOWER[identifier.lower()]()
    if isinstance(identifier, Mapping):
        return deserialize(identifier)
    if isinstance(identifier, type):
        return get(identifier())
    if hasattr(identifier, "__array__"):
        return _Given(identifier)
    if callable(identifier):
        return _Function(identifier)
    raise ValueError(
        "An initializer must be a name, an Initializer, a function f(shape, dtype=None) or an array. "
        f"Received: {identifier!r}."
    )


def serialize(initializer: Any) -> dict[str, Any] | None:
    """An initializer (anything ``get`` takes) as a JSON-able config in Keras's form; ``None`` stays ``None``."""
    config: dict[str, Any] | None = serialize_keras_object(get(initializer))
    return config


def deserialize(config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Initializer | None:
    """The initializer that a config describes, as made by ``serialize`` or by Keras.

    Args:
        config: ``{"class_name": …, "config": {…}}``; other keys are ignored.
        custom_objects: Classes and functions by name, beside nncore's own.

    Raises:
        ValueError: for a config without a class name, or one that is not known.
    """
    if not isinstance(config, Mapping) or not isinstance(config.get("class_name"), str):
        raise ValueError(f"An initializer's config must hold 'class_name' and 'config'. Received: {config!r}.")
    return get(deserialize_keras_object({"config": {}, **config}, custom_objects, family="initializers"))


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """(fan in, fan out) of a weight: a vector counts as both, a kernel's window multiplies both."""
    if not shape:
        return 1, 1
    if len(shape) == 1:
        return shape[0], shape[0]
    window = math.prod(shape[:-2])
    return shape[-2] * window, shape[-1] * window


def _truncated_normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Standard normal values, those outside of ±2 drawn again until none is."""
    values = rng.standard_normal(math.prod(shape))
    outside = np.flatnonzero(np.abs(values) > 2)
    while outside.size:
        values[outside] = rng.standard_normal(outside.size)
        outside = outside[np.abs(values[outside]) > 2]
    return values.reshape(shape)


def _shape(owner: Initializer, shape: Any) -> tuple[int, ...]:
    try:
        dims = tuple(operator.index(n) for n in shape) if np.iterable(shape) else (operator.index(shape),)
    except TypeError:
        dims = (-1,)
    if any(n < 0 for n in dims):
        raise ValueError(f"{owner!r}: the shape must be a tuple of non-negative integers. Received: shape={shape!r}.")
    return dims


def _dtype(dtype: Any) -> np.dtype[Any]:
    return np.dtype(np.float32 if dtype is None else dtype)


def _axes(owner: Initializer, argument: str, axes: Iterable[int] | None) -> list[int] | None:
    if axes is None:
        return None
    try:
        return [operator.index(a) for a in axes]
    except TypeError:
        raise ValueError(
            f"{type(owner).__name__}: {argument} must be a list of axes. Received: {argument}={axes!r}."
        ) from None


def _function_name(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__name__", type(function).__name__))
