"""To PyTorch: layers as modules, by a table with a row for each kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from nncore import activations, layers
from nncore.convert.place import place
from nncore.layers.normalization import sample_axes, sizes
from nncore.layers.preprocessing import LEAST_DEVIATION
from nncore.ops.normalization import UNIT_LIMIT
from nncore.program import Shape

Array = np.ndarray[Any, Any]


def to_torch(model: Any) -> Any:
    """The ``torch.nn.Sequential`` that predicts what a model does, in ``eval()``, with copies of its weights.

    It is made of torch.nn's own layers and, where there is none, as for ``Rescaling`` and ``Permute``, of formulas as
    ``torch.fx`` modules: torch alone can save and load it. Layers that act in training only, and that torch.nn lacks,
    become ``Identity``.

    Args:
        model: A built ``Sequential``.

    Raises:
        ValueError: where the model is not built, and for a layer or function of your own, named with the reason.
        ImportError: where torch is missing.
    """
    try:
        import torch
    except ImportError:
        raise ImportError("to_torch needs PyTorch: pip install torch.") from None
    if not model.built:
        raise ValueError(f"to_torch: {model.name!r} isn't built and has no weights yet. Call build(input_shape).")
    found = _Modules(torch)
    parts: list[Any] = []
    for index, layer in enumerate(model._steps()):
        with place("to_torch", index, layer.name, type(layer).__name__):
            parts += found.of(layer, layer.input_shape)
    return torch.nn.Sequential(*parts).eval()


class _Modules:
    """The modules of layers: a method for each class of ``nncore.layers``, of its name, or one that several share."""

    def __init__(self, torch: Any) -> None:
        self.torch = torch
        self.nn = torch.nn

    def of(self, layer: Any, shape: Shape) -> list[Any]:
        """The modules, one after the other, that do what a layer does with inputs of a shape."""
        name = type(layer).__name__
        if getattr(layers, name, None) is not type(layer):
            raise ValueError("it is a layer of your own.")
        if name in _OF_TRAINING:
            return [self.nn.Identity()]
        made = getattr(self, name)(layer, shape)
        return made if isinstance(made, list) else [made]

    def formula(self, function: Callable[[Any], Any]) -> Any:
        """A function of a tensor as a module."""
        return self.torch.fx.symbolic_trace(function)

    def tensor(self, value: Any) -> Any:
        """A copy of an array or weight."""
        return self.torch.from_numpy(np.array(value, np.float32, order="C"))

    def filled(self, module: Any, **values: Any) -> Any:
        """A module with its parameters and buffers overwritten, but where the value is ``None``."""
        state = {name: self.tensor(value) for name, value in values.items() if value is not None}
        module.load_state_dict({**module.state_dict(), **state})
        return module

    def at(self, axes: Sequence[int], last: bool, shape: Shape, module: Any) -> list[Any]:
        """A module that acts on ``axes``, where it finds them behind the others or, not ``last``, behind the batch."""
        others = [a for a in range(1, len(shape)) if a not in axes]
        order = [0, *others, *axes] if last else [0, *axes, *others]
        if order == sorted(order):
            return [module]
        back = [order.index(a) for a in range(len(order))]
        return [self.formula(lambda x: x.permute(order)), module, self.formula(lambda x: x.permute(back))]

    # Weights.

    def Dense(self, layer: Any, shape: Shape) -> list[Any]:
        module = self.nn.Linear(layer.kernel.shape[0], layer.units, bias=layer.use_bias)
        weights = self.filled(module, weight=layer.kernel.value.T, bias=layer.bias)
        return [weights, *self.activation(layer.activation, (*shape[:-1], layer.units))]

    def Embedding(self, layer: Any, shape: Shape) -> Any:
        return self.filled(self.nn.Embedding(layer.input_dim, layer.output_dim), weight=layer.embeddings)

    def TimeDistributed(self, layer: Any, shape: Shape) -> list[Any]:
        return self.of(layer.layer, shape)

    # Normalization.

    def BatchNormalization(self, layer: Any, shape: Shape) -> list[Any]:
        axes = sample_axes("BatchNormalization", layer.axis, shape)
        if len(shape) > 5:
            raise ValueError(f"torch.nn normalizes inputs of up to 5 axes. Received: {shape}.")
        cls = getattr(self.nn, f"BatchNorm{max(len(shape) - 2, 1)}d")
        affine = layer.center or layer.scale
        module = cls(layer.moving_mean.size, layer.epsilon, momentum=1 - layer.momentum, affine=affine)
        self.filled(
            module, weight=layer.gamma, bias=layer.beta, running_mean=layer.moving_mean,
            running_var=layer.moving_variance,
        )  # fmt: skip
        return self.at(axes, False, shape, module)

    def LayerNormalization(self, layer: Any, shape: Shape) -> list[Any]:
        axes = sample_axes("LayerNormalization", layer.axis, shape)
        affine = layer.center or layer.scale
        module = self.nn.LayerNorm(sizes(shape, axes), layer.epsilon, elementwise_affine=affine, bias=layer.center)
        return self.at(axes, True, shape, self.filled(module, weight=layer.gamma, bias=layer.beta))

    def RMSNormalization(self, layer: Any, shape: Shape) -> list[Any]:
        axes = sample_axes("RMSNormalization", layer.axis, shape)
        module = self.nn.RMSNorm(sizes(shape, axes), layer.epsilon)
        return self.at(axes, True, shape, self.filled(module, weight=layer.scale))

    def GroupNormalization(self, layer: Any, shape: Shape) -> list[Any]:
        axes = sample_axes("GroupNormalization", layer.axis, shape)
        (channels,) = sizes(shape, axes)
        groups = channels if layer.groups == -1 else layer.groups
        module = self.nn.GroupNorm(groups, channels, layer.epsilon, affine=layer.center or layer.scale)
        return self.at(axes, False, shape, self.filled(module, weight=layer.gamma, bias=layer.beta))

    def UnitNormalization(self, layer: Any, shape: Shape) -> Any:
        axes = sample_axes("UnitNormalization", layer.axis, shape)
        return self.formula(lambda x: x * (1 / (x * x).sum(axes, keepdim=True).sqrt()).clamp(max=UNIT_LIMIT))

    def Normalization(self, layer: Any, shape: Shape) -> Any:
        places = layer._places(shape)
        along = [n if a in places else 1 for a, n in enumerate(shape)]
        mean = self.tensor(layer.mean).reshape(along)
        deviation = self.tensor(np.maximum(np.sqrt(layer.variance.value), LEAST_DEVIATION)).reshape(along)
        if layer.invert:
            return self.formula(lambda x: x * deviation + mean)
        return self.formula(lambda x: (x - mean) / deviation)

    # Of training only.

    def Dropout(self, layer: Any, shape: Shape) -> Any:
        kinds = {(None, None, *[1] * d): f"Dropout{d}d" for d in (1, 2, 3)} | {None: "Dropout"}
        kind = kinds.get(layer.noise_shape)
        return self.nn.Identity() if kind is None else getattr(self.nn, kind)(layer.rate)

    def AlphaDropout(self, layer: Any, shape: Shape) -> Any:
        return self.nn.AlphaDropout(layer.rate) if layer.noise_shape is None else self.nn.Identity()

    # Shapes and scale.

    def Flatten(self, layer: Any, shape: Shape) -> list[Any]:
        if len(shape) == 1:
            return [self.formula(lambda x: x.unsqueeze(1))]
        first = layer.data_format == "channels_first" and len(shape) > 2
        return [*([self.formula(lambda x: x.movedim(1, -1))] if first else []), self.nn.Flatten()]

    def Reshape(self, layer: Any, shape: Shape) -> list[Any]:
        target = layer.compute_output_shape(shape)[1:]
        if len(shape) == 1:
            return [self.formula(lambda x: x.reshape(x.shape[0], *target))]
        flat = [self.nn.Flatten()] if len(shape) > 2 or len(target) == 1 else []
        return flat if len(target) == 1 else [*flat, self.nn.Unflatten(1, target)]

    def Permute(self, layer: Any, shape: Shape) -> Any:
        return self.formula(lambda x: x.permute(0, *layer.dims))

    def RepeatVector(self, layer: Any, shape: Shape) -> Any:
        return self.formula(lambda x: x.unsqueeze(1).repeat(1, layer.n, 1))

    def Rescaling(self, layer: Any, shape: Shape) -> Any:
        return self.formula(lambda x: x * layer.scale + layer.offset)

    def Masking(self, layer: Any, shape: Shape) -> Any:
        return self.formula(lambda x: self.torch.where((x != layer.mask_value).any(-1, True), x, 0.0))

    # Activations.

    def Activation(self, layer: Any, shape: Shape) -> list[Any]:
        return self.activation(layer.activation, shape) or [self.nn.Identity()]

    def activation(self, function: Any, shape: Shape) -> list[Any]:
        """The module of an activation; none where it is ``linear``."""
        name = _name_of(function)
        if name == "linear":
            return []
        if name in _MODULES:
            return [getattr(self.nn, _MODULES[name])()]
        nn = self.nn
        rows: dict[str, Callable[[], Any]] = {
            "leaky_relu": lambda: nn.LeakyReLU(0.2),
            "softmax": lambda: nn.Softmax(-1),
            "log_softmax": lambda: nn.LogSoftmax(-1),
            "glu": lambda: nn.GLU(-1),
            "exponential": lambda: self.formula(lambda x: x.exp()),
            "sparse_sigmoid": lambda: self.formula(lambda x: ((x + 1) / 2).clamp(0, 1)),
            "sparse_plus": lambda: self.formula(lambda x: ((x + 1) / 2).clamp(0, 1).square() + (x - 1).clamp(0)),
            "squareplus": lambda: self.formula(lambda x: self._squareplus(x)),
            "sparsemax": lambda: self.formula(lambda x: self._sparsemax(x, shape[-1] or 0)),
        }
        if name not in rows:
            raise ValueError("its activation is a function of your own.")
        return [rows[name]()]

    def _squareplus(self, x: Any) -> Any:
        half = ((x * x + 4).sqrt() + x.abs()) / 2
        return self.torch.where(x < 0, 1 / half, half)

    def _sparsemax(self, x: Any, n: int) -> Any:
        """By sorting, as the op's definition."""
        shifted = x - x.amax(-1, True)
        largest = self.torch.sort(shifted, -1, True)[0]
        counts = self.torch.arange(1, n + 1, dtype=self.torch.float32)
        support = (largest * counts + 1 > largest.cumsum(-1)).to(self.torch.float32)
        t = ((largest * support).sum(-1, True) - 1) / support.sum(-1, True)
        return (shifted - t).clamp(0)

    def Lambda(self, layer: Any, shape: Shape) -> Any:
        """An activation with arguments."""
        nn, given = self.nn, layer.arguments
        rows: dict[str | None, Callable[[], Any]] = {
            "relu": lambda: self._relu(**given),
            "leaky_relu": lambda: nn.LeakyReLU(given["negative_slope"]),
            "elu": lambda: nn.ELU(given["alpha"]),
            "celu": lambda: nn.CELU(given["alpha"]),
            "gelu": lambda: nn.GELU("tanh" if given["approximate"] else "none"),
            "hard_shrink": lambda: nn.Hardshrink(given["threshold"]),
            "soft_shrink": lambda: nn.Softshrink(given["threshold"]),
            "threshold": lambda: nn.Threshold(given["threshold"], given["default_value"]),
            "softmax": lambda: self._softmax(given["axis"]),
            "log_softmax": lambda: nn.LogSoftmax(given["axis"]),
            "glu": lambda: nn.GLU(given["axis"]),
        }
        name = _name_of(layer.function)
        if name is not None and not given:
            return self.activation(layer.function, shape) or [nn.Identity()]
        if name not in rows:
            raise ValueError("it calls a function of your own.")
        return rows[name]()

    def ReLU(self, layer: Any, shape: Shape) -> Any:
        return self._relu(layer.negative_slope, layer.max_value, layer.threshold)

    def _relu(self, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Any:
        nn = self.nn
        if threshold == 0 and max_value is None:
            return nn.LeakyReLU(negative_slope) if negative_slope else nn.ReLU()
        if threshold == 0 and negative_slope == 0:
            return nn.ReLU6() if max_value == 6 else nn.Hardtanh(0, max_value)
        if max_value is None and negative_slope == 0:
            return nn.Threshold(threshold, 0)
        return self.formula(
            lambda x: self.torch.where(x > threshold, x.clamp(0, max_value), (x - threshold) * negative_slope)
        )

    def LeakyReLU(self, layer: Any, shape: Shape) -> Any:
        return self.nn.LeakyReLU(layer.negative_slope)

    def ELU(self, layer: Any, shape: Shape) -> Any:
        return self.nn.ELU(layer.alpha)

    def PReLU(self, layer: Any, shape: Shape) -> Any:
        alpha = layer.alpha
        if prod(alpha.shape[1:]) == 1:  # one for all, or for each channel
            return self.filled(self.nn.PReLU(alpha.size), weight=alpha.value.reshape(-1))
        slope = self.tensor(alpha)
        return self.formula(lambda x: self.torch.where(x > 0, x, x * slope))

    def Softmax(self, layer: Any, shape: Shape) -> Any:
        return self._softmax(layer.axis)

    def _softmax(self, axis: Any) -> Any:
        if isinstance(axis, int):
            return self.nn.Softmax(axis)

        def over_several(x: Any) -> Any:
            e = (x - x.amax(axis, True)).exp()
            return e / e.sum(axis, True)

        return self.formula(over_several)


_OF_TRAINING = {
    "ActivityRegularization", "GaussianDropout", "GaussianNoise", "Identity", "InputLayer", "SpatialDropout1D",
    "SpatialDropout2D", "SpatialDropout3D",
}  # fmt: skip
"""Layers that hand on their inputs in inference, and that torch.nn has no module for but Identity."""

_MODULES = {
    "relu": "ReLU", "relu6": "ReLU6", "elu": "ELU", "celu": "CELU", "selu": "SELU", "softplus": "Softplus",
    "softsign": "Softsign", "silu": "SiLU", "gelu": "GELU", "mish": "Mish", "sigmoid": "Sigmoid",
    "log_sigmoid": "LogSigmoid", "tanh": "Tanh", "hard_sigmoid": "Hardsigmoid", "hard_silu": "Hardswish",
    "hard_tanh": "Hardtanh", "tanh_shrink": "Tanhshrink", "hard_shrink": "Hardshrink", "soft_shrink": "Softshrink",
}  # fmt: skip
"""Activations that are modules with the same default arguments."""


def _name_of(function: Any) -> str | None:
    """The name of a function of ``nncore.activations``; ``None`` for another one."""
    name = getattr(function, "__name__", "")
    return name if name in activations.__all__ and getattr(activations, name) is function else None
