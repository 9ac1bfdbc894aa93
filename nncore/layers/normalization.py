"""Layers that normalize: channels over a batch, or the values of a sample among themselves."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from nncore import axes, constraints, initializers, regularizers
from nncore.arguments import at_least_zero, fraction, is_integer
from nncore.builder import Builder
from nncore.layers.base import Layer
from nncore.program import Buffer, Shape
from nncore.variables import Variable


def axis_argument(owner: str, axis: Any) -> int | list[int]:
    """``axis`` as an int, or as a list of different ints; ``ValueError`` for anything else."""
    if is_integer(axis):
        return int(axis)
    found = list(axis) if isinstance(axis, list | tuple) else []
    if not found or not all(is_integer(a) for a in found):
        raise ValueError(f"{owner}: axis must be an integer, or a list of integers. Received: axis={axis!r}.")
    return [int(a) for a in found]


def sample_axes(owner: str, axis: int | Sequence[int], shape: Shape) -> list[int]:
    """The axes of inputs of ``shape`` that ``axis`` names, counted from the front and in order.

    Raises ``ValueError`` where there is no such axis, one is named twice, or the batch axis is among them.
    """
    wanted = [axis] if isinstance(axis, int) else list(axis)
    found = sorted({a + len(shape) if a < 0 else a for a in wanted})
    if len(found) != len(wanted) or not all(0 < a < len(shape) for a in found):
        raise ValueError(
            f"{owner}: axis must name different axes of inputs of shape {shape}, without the batch axis: from 1 to "
            f"{len(shape) - 1}, or from {1 - len(shape)} to -1. Received: axis={axis!r}."
        )
    return found


def sizes(shape: Shape, of: Sequence[int]) -> tuple[int, ...]:
    """The extents of axes of a sample."""
    return tuple(shape[a] or 0 for a in of)


def lower_at(b: Builder, x: Buffer, at: Sequence[int], lower: Any) -> Buffer:
    """What ``lower(x)`` makes of x with the axes ``at`` behind all others, as one; the axes go back to their places."""
    moved = axes.to_end(b, x, at)
    lead = moved.shape[: len(moved.shape) - len(at)]
    flat = b.view(moved, (*lead, prod(sizes(x.shape, at))))
    return axes.from_end(b, b.view(lower(flat), moved.shape), at)


class _Scaled(Layer):
    """What layers with a trainable ``gamma`` and ``beta`` share."""

    supports_masking = True

    def __init__(
        self, epsilon: float, center: bool, scale: bool, beta_initializer: Any, gamma_initializer: Any,
        beta_regularizer: Any, gamma_regularizer: Any, beta_constraint: Any, gamma_constraint: Any, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(**kwargs)
        self.epsilon = at_least_zero(type(self).__name__, "epsilon", epsilon)
        self.center = bool(center)
        self.scale = bool(scale)
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)
        self.gamma: Variable | None = None
        self.beta: Variable | None = None

    def _add_gamma_and_beta(self, shape: tuple[int, ...]) -> None:
        if self.scale:
            self.gamma = self.add_weight(
                shape, self.gamma_initializer, name="gamma", regularizer=self.gamma_regularizer,
                constraint=self.gamma_constraint,
            )  # fmt: skip
        if self.center:
            self.beta = self.add_weight(
                shape, self.beta_initializer, name="beta", regularizer=self.beta_regularizer,
                constraint=self.beta_constraint,
            )  # fmt: skip

    def _gamma_and_beta(self, b: Builder) -> tuple[Buffer | None, Buffer | None]:
        """Their buffers as vectors; ``None`` for one that is not there."""
        gamma, beta = (None if v is None else b.view(b.parameter(v), (v.size,)) for v in (self.gamma, self.beta))
        return gamma, beta

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "epsilon": self.epsilon,
            "center": self.center,
            "scale": self.scale,
            "beta_initializer": initializers.serialize(self.beta_initializer),
            "gamma_initializer": initializers.serialize(self.gamma_initializer),
            "beta_regularizer": regularizers.serialize(self.beta_regularizer),
            "gamma_regularizer": regularizers.serialize(self.gamma_regularizer),
            "beta_constraint": constraints.serialize(self.beta_constraint),
            "gamma_constraint": constraints.serialize(self.gamma_constraint),
        }


class BatchNormalization(_Scaled):
    """``gamma (x - mean) / sqrt(variance + epsilon) + beta``, channel by channel.

    In training, ``mean`` and (biased) ``variance`` are those of the batch, over all axes but ``axis``, and

        moving = momentum moving + (1 - momentum) batch

    follows them at the end of each step. In inference, and also in training where the layer is not ``trainable``, they
    are the moving ones, which then stay as they are. One value a channel has the variance 0.

    Weights, each of shape ``(channels,)``: ``gamma`` and ``beta``; ``moving_mean`` and ``moving_variance``, which no
    optimizer changes.

    Source: Ioffe and Szegedy, "Batch normalization", ICML 2015.

    Args:
        axis: The axis of the channels.
        momentum: In [0, 1].
        epsilon: At least 0.
        center: Whether to add ``beta``.
        scale: Whether to multiply by ``gamma``.
        beta_initializer: How ``beta`` starts.
        gamma_initializer: How ``gamma`` starts.
        moving_mean_initializer: How the moving mean starts.
        moving_variance_initializer: How the moving variance starts.
        beta_regularizer: A regularizer whose penalty of ``beta`` is added to the loss, by name or object.
        gamma_regularizer: The same for ``gamma``.
        beta_constraint: What holds ``beta`` after each update, by name or object.
        gamma_constraint: The same for ``gamma``.
        renorm: ``False``: batch renormalization is not there; nor are its ``renorm_clipping`` and ``renorm_momentum``.
        synchronized: ``False``: there is one batch, on one machine.

    Raises:
        ValueError: for anything above that does not hold.
    """

    def __init__(
        self, axis: int = -1, momentum: float = 0.99, epsilon: float = 0.001, center: bool = True, scale: bool = True,
        beta_initializer: Any = "zeros", gamma_initializer: Any = "ones", moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones", beta_regularizer: Any = None, gamma_regularizer: Any = None,
        beta_constraint: Any = None, gamma_constraint: Any = None, renorm: bool = False, renorm_clipping: Any = None,
        renorm_momentum: float = 0.99, synchronized: bool = False, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            epsilon, center, scale, beta_initializer, gamma_initializer, beta_regularizer, gamma_regularizer,
            beta_constraint, gamma_constraint, **kwargs,
        )  # fmt: skip
        if not is_integer(axis):
            raise ValueError(f"BatchNormalization: axis must be an integer. Received: axis={axis!r}.")
        if renorm or renorm_clipping is not None or renorm_momentum != 0.99:
            raise ValueError(
                "BatchNormalization: batch renormalization is not there: leave renorm, renorm_clipping and "
                f"renorm_momentum at their defaults. Received: renorm={renorm!r}, renorm_clipping={renorm_clipping!r}, "
                f"renorm_momentum={renorm_momentum!r}."
            )
        if synchronized:
            raise ValueError(
                "BatchNormalization: synchronized must be False: a batch is on one machine. "
                f"Received: synchronized={synchronized!r}."
            )
        self.axis = int(axis)
        self.momentum = fraction("BatchNormalization", "momentum", momentum)
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)
        self.moving_mean: Variable | None = None
        self.moving_variance: Variable | None = None

    def build(self, input_shape: Shape) -> None:
        channels = sizes(input_shape, sample_axes("BatchNormalization", self.axis, input_shape))
        self._add_gamma_and_beta(channels)
        self.moving_mean = self.add_weight(
            channels, self.moving_mean_initializer, name="moving_mean", trainable=False
        )  # fmt: skip
        self.moving_variance = self.add_weight(
            channels, self.moving_variance_initializer, name="moving_variance", trainable=False
        )

    def lower(self, b: Builder, x: Buffer) -> Buffer:
        assert self.moving_mean is not None
        assert self.moving_variance is not None
        if b.mask is not None and b.training and self.trainable:
            raise ValueError(
                f"BatchNormalization {self.name!r}: is not trained on inputs with a mask. Take a layer that normalizes "
                "each step by itself, such as LayerNormalization, or set trainable=False."
            )
        gamma, beta = self._gamma_and_beta(b)
        moving_mean, moving_variance = b.parameter(self.moving_mean), b.parameter(self.moving_variance)

        def by_the_batch(x: Buffer) -> Buffer:
            y, mean, variance = b.emit("batch_norm", x, gamma, beta, epsilon=self.epsilon)
            for moving, value in ((moving_mean, mean), (moving_variance, variance)):
                b.emit_to("moving_average", (moving,), moving, value, momentum=self.momentum)
            return y

        def by_what_moved(x: Buffer) -> Buffer:
            (factor,) = b.emit("inverse_deviation", moving_variance, gamma, epsilon=self.epsilon, least=0.0)
            return b.emit("affine", x, moving_mean, factor, beta)[0]

        lower = by_the_batch if b.training and self.trainable else by_what_moved
        return lower_at(b, x, sample_axes("BatchNormalization", self.axis, x.shape), lower)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "axis": self.axis,
            "momentum": self.momentum,
            "moving_mean_initializer": initializers.serialize(self.moving_mean_initializer),
            "moving_variance_initializer": initializers.serialize(self.moving_variance_initializer),
            "renorm": False,
            "renorm_clipping": None,
            "renorm_momentum": 0.99,
            "synchronized": False,
        }


class LayerNormalization(_Scaled):
    """``gamma (x - mean) / sqrt(variance + epsilon) + beta``, by mean and biased variance of the values along axes.

    ``gamma`` and ``beta`` have the shape of those axes, in their order in a sample.

    Source: Ba, Kiros and Hinton, "Layer normalization", 2016.

    Args:
        axis: The axes that are normalized together: an integer, or a list of them.
        epsilon: At least 0.
        center: Whether to add ``beta``.
        scale: Whether to multiply by ``gamma``.
        beta_initializer: How ``beta`` starts.
        gamma_initializer: How ``gamma`` starts.
        beta_regularizer: A regularizer whose penalty of ``beta`` is added to the loss, by name or object.
        gamma_regularizer: The same for ``gamma``.
        beta_constraint: What holds ``beta`` after each update, by name or object.
        gamma_constraint: The same for ``gamma``.

    Raises:
        ValueError: for anything above that does not hold.
    """

    def __init__(
        self, axis: Any = -1, epsilon: float = 0.001, center: bool = True, scale: bool = True,
        beta_initializer: Any = "zeros", gamma_initializer: Any = "ones", beta_regularizer: Any = None,
        gamma_regularizer: Any = None, beta_constraint: Any = None, gamma_constraint: Any = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            epsilon, center, scale, beta_initializer, gamma_initializer, beta_regularizer, gamma_regularizer,
            beta_constraint, gamma_constraint, **kwargs,
        )  # fmt: skip
        self.axis = axis_argument("LayerNormalization", axis)

    def build(self, input_shape: Shape) -> None:
        self._add_gamma_and_beta(sizes(input_shape, sample_axes("LayerNormalization", self.axis, input_shape)))

    def lower(self, b: Builder, x: Buffer) -> Buffer:
        gamma, beta = self._gamma_and_beta(b)
        at = sample_axes("LayerNormalization", self.axis, x.shape)
        return lower_at(b, x, at, lambda x: b.emit("layer_norm", x, gamma, beta, epsilon=self.epsilon)[0])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis}


class GroupNormalization(_Scaled):
    """``gamma (x - mean) / sqrt(variance + epsilon) + beta``, by the statistics of groups of channels in a sample.

    A group is a run of ``channels / groups`` neighbouring channels, at all places of the sample; ``gamma`` and ``beta``
    are ``(channels,)``.

    Source: Wu and He, "Group normalization", ECCV 2018.

    Args:
        groups: Divides the number of channels; -1 for as many as there are (instance normalization).
        axis: The axis of the channels.
        epsilon: At least 0.
        center: Whether to add ``beta``.
        scale: Whether to multiply by ``gamma``.
        beta_initializer: How ``beta`` starts.
        gamma_initializer: How ``gamma`` starts.
        beta_regularizer: A regularizer whose penalty of ``beta`` is added to the loss, by name or object.
        gamma_regularizer: The same for ``gamma``.
        beta_constraint: What holds ``beta`` after each update, by name or object.
        gamma_constraint: The same for ``gamma``.

    Raises:
        ValueError: for anything above that does not hold.
    """

    def __init__(
        self, groups: int = 32, axis: int = -1, epsilon: float = 0.001, center: bool = True, scale: bool = True,
        beta_initializer: Any = "zeros", gamma_initializer: Any = "ones", beta_regularizer: Any = None,
        gamma_regularizer: Any = None, beta_constraint: Any = None, gamma_constraint: Any = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            epsilon, center, scale, beta_initializer, gamma_initializer, beta_regularizer, gamma_regularizer,
            beta_constraint, gamma_constraint, **kwargs,
        )  # fmt: skip
        if not is_integer(groups) or not (groups > 0 or groups == -1):
            raise ValueError(
                f"GroupNormalization: groups must be a positive integer, or -1. Received: groups={groups!r}."
            )
        if not is_integer(axis):
            raise ValueError(f"GroupNormalization: axis must be an integer. Received: axis={axis!r}.")
        self.groups = int(groups)
        self.axis = int(axis)

    def build(self, input_shape: Shape) -> None:
        channels = sizes(input_shape, sample_axes("GroupNormalization", self.axis, input_shape))
        if channels[0] % self.groups:
            raise ValueError(
                f"GroupNormalization: groups must divide the number of channels, {channels[0]} on axis {self.axis} of "
                f"inputs of shape {input_shape}. Received: groups={self.groups}."
            )
        self._add_gamma_and_beta(channels)

    def lower(self, b: Builder, x: Buffer) -> Buffer:
        (axis,) = sample_axes("GroupNormalization", self.axis, x.shape)
        (channels,) = sizes(x.shape, [axis])
        groups = channels if self.groups == -1 else self.groups
        before, after = prod(sizes(x.shape, range(1, axis))), prod(sizes(x.shape, range(axis + 1, len(x.shape))))
        # A group's values: the places before the channels' axis, its channels, and the places after it.
        y = lower_at(
            b, b.view(x, (None, before, groups, channels // groups * after)), [1, 3],
            lambda x: b.emit("layer_norm", x, None, None, epsilon=self.epsilon)[0],
        )  # fmt: skip
        gamma, beta = self._gamma_and_beta(b)
        y = b.view(y, x.shape)
        if gamma is None and beta is None:
            return y
        return lower_at(b, y, [axis], lambda y: b.emit("affine", y, None, gamma, beta)[0])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "groups": self.groups, "axis": self.axis}


class RMSNormalization(Layer):
    """``scale x / sqrt(mean(x²) + epsilon)``, with the mean square of the values along axes.

    ``scale`` starts as ones and has the shape of those axes, in their order in a sample.

    Source: Zhang and Sennrich, "Root mean square layer normalization", NeurIPS 2019.

    Args:
        axis: The axes that are normalized together: an integer, or a list of them.
        epsilon: At least 0.

    Raises:
        ValueError: for anything above that does not hold.
    """

    def __init__(self, axis: Any = -1, epsilon: float = 1e-6, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis_argument("RMSNormalization", axis)
        self.epsilon = at_least_zero("RMSNormalization", "epsilon", epsilon)
        self.scale: Variable | None = None

    def build(self, input_shape: Shape) -> None:
        at = sample_axes("RMSNormalization", self.axis, input_shape)
        self.scale = self.add_weight(sizes(input_shape, at), "ones", name="scale")

    def lower(self, b: Builder, x: Buffer) -> Buffer:
        assert self.scale is not None
        scale = b.view(b.parameter(self.scale), (self.scale.size,))
        at = sample_axes("RMSNormalization", self.axis, x.shape)
        return lower_at(b, x, at, lambda x: b.emit("rms_norm", x, scale, epsilon=self.epsilon)[0])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis, "epsilon": self.epsilon}


class UnitNormalization(Layer):
    """``x / sqrt(sum(x²))``, with the sum of the squares of the values along axes: vectors of length 1.

    A vector shorter than 1e-12, zeros for one, is multiplied by 1e12 instead.

    Args:
        axis: The axes whose values make a vector: an integer, or a list of them.

    Raises:
        ValueError: for anything else, the batch axis included.
    """

    supports_masking = True

    def __init__(self, axis: Any = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis_argument("UnitNormalization", axis)

    def build(self, input_shape: Shape) -> None:
        sample_axes("UnitNormalization", self.axis, input_shape)

    def lower(self, b: Builder, x: Buffer) -> Buffer:
        at = sample_axes("UnitNormalization", self.axis, x.shape)
        return lower_at(b, x, at, lambda x: b.emit("unit_norm", x)[0])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis}
