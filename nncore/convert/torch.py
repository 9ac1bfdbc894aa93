"""From PyTorch: modules of ``torch.nn`` as layers, by a table with a row for each kind. It needs no torch itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from nncore import activations
from nncore.convert.place import append, place
from nncore.layers import (
    ELU,
    Activation,
    AlphaDropout,
    BatchNormalization,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GroupNormalization,
    Identity,
    Input,
    Lambda,
    Layer,
    LayerNormalization,
    LeakyReLU,
    PReLU,
    ReLU,
    Rescaling,
    Reshape,
    RMSNormalization,
    Softmax,
)
from nncore.models import Sequential
from nncore.program import Shape

Array = np.ndarray[Any, Any]
Made = tuple[list[Layer], list[Any]]
"""Layers, and the weights of the first one as tensors, ``None`` for one that is not there."""


def from_torch(
    module: Any, input_shape: Sequence[int] | int | None = None, *, activation: Any = None,
    output_activation: Any = None,
) -> Sequential:  # fmt: skip
    """The model that predicts what a PyTorch module does in ``eval()``, with its weights.

    Args:
        module: A ``torch.nn.Sequential``, also with others inside, a single layer, or a ``state_dict`` of ``Linear``
            layers one after the other.
        input_shape: Shape of one sample. It may be left out where the first layer that has a size takes vectors:
            ``Linear``, ``BatchNorm1d``, ``LayerNorm``, ``RMSNorm``.
        activation: For a ``state_dict``, which does not say what is between its layers: the activation behind each but
            the last, or a list of one for each.
        output_activation: For a ``state_dict``, the activation behind the last layer.

    Raises:
        ValueError: for a layer that nncore does not have, named with the reason, and for anything above that does not
            hold.
    """
    if isinstance(module, Mapping):
        return _from_state(module, input_shape, activation, output_activation)
    if activation is not None or output_activation is not None:
        raise ValueError(
            "from_torch: activation and output_activation are for a state_dict; a module has its own. "
            f"Received: activation={activation!r}, output_activation={output_activation!r}."
        )
    parts = list(_flat(module, "")) if hasattr(module, "_modules") else []
    if not parts:
        raise ValueError(f"from_torch takes a torch.nn.Sequential of layers, or a state_dict. Received: {module!r}.")
    if input_shape is None:
        input_shape = _sample_shape(parts)
    integers = _kind(parts[0][1]) == "Embedding"
    model = Sequential([Input(input_shape, dtype="int32" if integers else None)])
    seen: dict[int, str] = {}
    for index, (path, part) in enumerate(parts):
        with place("from_torch", index, path, type(part).__name__):
            _refuse_sharing(part, path, seen)
            _add(model, *_converted(part, model.output_shape if model.layers else model.input_shape))
    return model


def _flat(module: Any, path: str) -> Iterator[tuple[str, Any]]:
    """The layers of a module with the names they have in it, those of Sequentials inside in their place."""
    if _kind(module) != "Sequential":
        yield path or type(module).__name__, module
        return
    for name, part in module._modules.items():
        yield from _flat(part, f"{path}.{name}" if path else name)


def _kind(module: Any) -> str | None:
    """The class of torch.nn that a module behaves as; ``None`` for one with a ``forward`` of its own."""
    for cls in type(module).__mro__:
        if cls.__module__.startswith("torch.nn.modules."):
            return cls.__name__
        if "forward" in vars(cls):
            return None
    return None


def _refuse_sharing(part: Any, path: str, seen: dict[int, str]) -> None:
    for parameter in part.parameters():
        if id(parameter) in seen:
            raise ValueError(f"it shares weights with {seen[id(parameter)]!r}, and nncore's layers have their own.")
        seen[id(parameter)] = path


def _converted(part: Any, shape: Shape) -> Made:
    kind = _kind(part)
    if kind is None:
        raise ValueError(
            "it has a forward() of its own. Give its layers in a torch.nn.Sequential, or those that are one after the "
            "other in its state_dict()."
        )
    if kind not in FROM:
        raise ValueError("nncore has no such layer.")
    if part._forward_hooks or part._forward_pre_hooks:
        raise ValueError("it has forward hooks, and what they do is not known. Remove them.")
    made = FROM[kind](part, shape)
    return made if isinstance(made, tuple) else (made if isinstance(made, list) else [made], [])


def _add(model: Sequential, made: Sequence[Layer], weights: Sequence[Any]) -> None:
    for layer in made:
        append(model, layer)
    if weights:
        arrays = [_array(w) for w in weights if w is not None]
        made[0].set_weights([a.reshape(v.shape) for a, v in zip(arrays, made[0].weights, strict=True)])


def _array(tensor: Any) -> Array:
    """A tensor, or what NumPy takes, as a float32 array."""
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu().float().numpy()
    return np.asarray(tensor, np.float32)


def _sample_shape(parts: Sequence[tuple[str, Any]]) -> tuple[int, ...]:
    """The shape of a sample as the first layer with a size tells it."""
    for path, part in parts:
        kind = _kind(part)
        if kind in SIZES:
            return tuple(SIZES[kind](part))
        if kind not in OF_ANY_SHAPE:
            raise ValueError(
                f"from_torch: give input_shape, the shape of one sample: {path!r} ({type(part).__name__}), which comes "
                "first, takes several."
            )
    raise ValueError("from_torch: give input_shape, the shape of one sample: no layer tells it.")


def _from_state(
    state: Mapping[str, Any], input_shape: Sequence[int] | int | None, activation: Any, output_activation: Any
) -> Sequential:
    groups: dict[str, dict[str, Array]] = {}
    for key, value in state.items():
        path, _, leaf = str(key).rpartition(".")
        if leaf not in ("weight", "bias") or np.ndim(value) != (2 if leaf == "weight" else 1):
            raise ValueError(
                "from_torch: a state_dict must hold the weights, of two axes, and biases of Linear layers. "
                f"Received: {key!r} of shape {tuple(np.shape(value))}. Give the module itself, whose layers say more."
            )
        groups.setdefault(path, {})[leaf] = _array(value)
    for path, group in groups.items():
        if "weight" not in group or len(group.get("bias", group["weight"])) != len(group["weight"]):
            raise ValueError(f"from_torch: {path!r} in the state_dict has a bias without a weight of as many outputs.")
    if not groups:
        raise ValueError("from_torch: the state_dict is empty.")
    chosen = _activations(len(groups), activation, output_activation)
    sizes = [group["weight"].shape for group in groups.values()]
    for (before, (outputs, _)), (after, (_, inputs)) in pairwise(zip(groups, sizes, strict=True)):
        if outputs != inputs:
            raise ValueError(
                "from_torch: layers in a state_dict must follow one another. "
                f"Received: {before!r} with {outputs} outputs before {after!r} with {inputs} inputs."
            )
    model = Sequential([Input(sizes[0][1] if input_shape is None else input_shape)])
    for group, function in zip(groups.values(), chosen, strict=True):
        bias = group.get("bias")
        layer = Dense(len(group["weight"]), function, use_bias=bias is not None)
        _add(model, [layer], [group["weight"].T, bias])
    return model


def _activations(count: int, activation: Any, output_activation: Any) -> list[Any]:
    """One activation for each of so many layers."""
    if isinstance(activation, list | tuple):
        if len(activation) != count or output_activation is not None:
            raise ValueError(
                f"from_torch: a list of activations must have one for each of the {count} layers, the last included, "
                f"and no output_activation. Received: activation={activation!r}, "
                f"output_activation={output_activation!r}."
            )
        return list(activation)
    if activation is None and count > 1:
        raise ValueError(
            "from_torch: a state_dict does not say which activation is behind its layers: give activation, such as "
            "activation='relu', or 'linear' where there is none."
        )
    return [activation] * (count - 1) + [output_activation]


# What each layer of torch.nn is here: ``row(module, input shape)`` gives a layer, several, or those with weights.


def _named(name: str) -> Callable[[Any, Shape], Layer]:
    return lambda m, shape: Activation(name)


def _with(function: Any, **attributes: str) -> Callable[[Any, Shape], Layer]:
    """A function of ``nncore.activations`` with arguments, which are attributes of the module."""
    return lambda m, shape: Lambda(function, arguments={k: float(getattr(m, a)) for k, a in attributes.items()})


def _linear(m: Any, shape: Shape) -> Made:
    return [Dense(m.out_features, use_bias=m.bias is not None)], [m.weight.T, m.bias]


def _batch_norm(m: Any, shape: Shape) -> Made:
    if m.running_mean is None:
        raise ValueError("it normalizes by the batch also in eval(): track_running_stats is False.")
    momentum = {} if m.momentum is None else {"momentum": 1 - m.momentum}
    layer = BatchNormalization(axis=1, epsilon=m.eps, center=m.affine, scale=m.affine, **momentum)
    return [layer], [m.weight, m.bias, m.running_mean, m.running_var]


def _instance_norm(m: Any, shape: Shape) -> Made:
    if m.running_mean is not None:
        return _batch_norm(m, shape)
    if len(shape) < 3:
        raise ValueError(f"it needs inputs of shape (batch, channels, …). Received: {shape}.")
    layer = GroupNormalization(-1, axis=1, epsilon=m.eps, center=m.affine, scale=m.affine)
    return [layer], [m.weight, m.bias]


def _layer_norm(m: Any, shape: Shape) -> Made:
    axis = list(range(-len(m.normalized_shape), 0))
    layer = LayerNormalization(axis, m.eps, center=m.bias is not None, scale=m.weight is not None)
    return [layer], [m.weight, m.bias]


def _rms_norm(m: Any, shape: Shape) -> Made:
    epsilon = float(np.finfo(np.float32).eps) if m.eps is None else m.eps
    layer = RMSNormalization(list(range(-len(m.normalized_shape), 0)), epsilon)
    return [layer], [np.ones(m.normalized_shape) if m.weight is None else m.weight]


def _group_norm(m: Any, shape: Shape) -> Made:
    layer = GroupNormalization(m.num_groups, axis=1, epsilon=m.eps, center=m.affine, scale=m.affine)
    return [layer], [m.weight, m.bias]


def _embedding(m: Any, shape: Shape) -> Made:
    if m.max_norm is not None:
        raise ValueError(f"it changes its weights when they are used: max_norm={m.max_norm}.")
    return [Embedding(m.num_embeddings, m.embedding_dim)], [m.weight]


def _of_channels(shape: Shape) -> tuple[int | None, ...]:
    """Noise that is the same for all values of a channel, axis 1; without further axes, of a sample."""
    return (None, 1) if len(shape) == 2 else (None, None, *[1] * (len(shape) - 2))


def _prelu(m: Any, shape: Shape) -> Made:
    first = 1 if m.num_parameters == 1 else 2
    return [PReLU(shared_axes=list(range(first, len(shape))) or None)], [m.weight]


def _softplus(m: Any, shape: Shape) -> list[Layer]:
    if m.threshold < 15:
        raise ValueError(f"below its threshold, {m.threshold}, softplus is not yet a straight line.")
    curve = Activation("softplus")
    return [curve] if m.beta == 1 else [Rescaling(float(m.beta)), curve, Rescaling(1 / m.beta)]


def _hard_tanh(m: Any, shape: Shape) -> list[Layer]:
    low, high = float(m.min_val), float(m.max_val)
    if (low, high) == (-1, 1):
        return [Activation("hard_tanh")]
    cut = ReLU(max_value=high - low)
    return [cut] if low == 0 else [Rescaling(1.0, -low), cut, Rescaling(1.0, low)]


def _gelu(m: Any, shape: Shape) -> Layer:
    exact = m.approximate == "none"
    return Activation("gelu") if exact else Lambda(activations.gelu, arguments={"approximate": True})


def _celu(m: Any, shape: Shape) -> Layer:
    if m.alpha <= 0:
        raise ValueError(f"alpha must be above 0. Received: alpha={m.alpha}.")
    return Lambda(activations.celu, arguments={"alpha": float(m.alpha)})


def _axis(m: Any) -> int:
    if m.dim is None:
        raise ValueError("say which dim it is along.")
    return int(m.dim)


def _flatten(m: Any, shape: Shape) -> Layer:
    first, last = (d % len(shape) for d in (m.start_dim, m.end_dim))
    if first == 0:
        raise ValueError("it flattens the batch: start_dim must be 1 or more.")
    if (first, last) == (1, len(shape) - 1):
        return Flatten()
    return Reshape([*shape[1:first], prod(n or 0 for n in shape[first : last + 1]), *shape[last + 1 :]])


def _unflatten(m: Any, shape: Shape) -> Layer:
    at = m.dim % len(shape)
    if at == 0:
        raise ValueError("it unflattens the batch: dim must be 1 or more.")
    return Reshape([*shape[1:at], *m.unflattened_size, *shape[at + 1 :]])


FROM: dict[str, Callable[[Any, Shape], Any]] = {
    "Linear": _linear,
    "Embedding": _embedding,
    **dict.fromkeys(("BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "SyncBatchNorm"), _batch_norm),
    **dict.fromkeys(("InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d"), _instance_norm),
    "LayerNorm": _layer_norm,
    "RMSNorm": _rms_norm,
    "GroupNorm": _group_norm,
    # Of training only, and of shape alone.
    "Dropout": lambda m, shape: Dropout(m.p),
    **dict.fromkeys(
        ("Dropout1d", "Dropout2d", "Dropout3d"), lambda m, shape: Dropout(m.p, noise_shape=_of_channels(shape))
    ),
    "AlphaDropout": lambda m, shape: AlphaDropout(m.p),
    "FeatureAlphaDropout": lambda m, shape: AlphaDropout(m.p, noise_shape=_of_channels(shape)),
    "Identity": lambda m, shape: Identity(),
    "Flatten": _flatten,
    "Unflatten": _unflatten,
    # Activations.
    "ReLU": _named("relu"),
    "ReLU6": _named("relu6"),
    "LeakyReLU": lambda m, shape: LeakyReLU(m.negative_slope),
    "PReLU": _prelu,
    "ELU": lambda m, shape: ELU(m.alpha),
    "CELU": _celu,
    "SELU": _named("selu"),
    "GELU": _gelu,
    "SiLU": _named("silu"),
    "Mish": _named("mish"),
    "Softplus": _softplus,
    "Softsign": _named("softsign"),
    "Sigmoid": _named("sigmoid"),
    "LogSigmoid": _named("log_sigmoid"),
    "Tanh": _named("tanh"),
    "Tanhshrink": _named("tanh_shrink"),
    "Hardsigmoid": _named("hard_sigmoid"),
    "Hardswish": _named("hard_silu"),
    "Hardtanh": _hard_tanh,
    "Hardshrink": _with(activations.hard_shrink, threshold="lambd"),
    "Softshrink": _with(activations.soft_shrink, threshold="lambd"),
    "Threshold": _with(activations.threshold, threshold="threshold", default_value="value"),
    "Softmax": lambda m, shape: Softmax(_axis(m)),
    "Softmax2d": lambda m, shape: Softmax(-3),
    "Softmin": lambda m, shape: [Rescaling(-1.0), Softmax(_axis(m))],
    "LogSoftmax": lambda m, shape: Lambda(activations.log_softmax, arguments={"axis": _axis(m)}),
    "GLU": lambda m, shape: Lambda(activations.glu, arguments={"axis": _axis(m)}),
}


SIZES: dict[str | None, Callable[[Any], Sequence[int]]] = {
    "Linear": lambda m: (m.in_features,),
    "BatchNorm1d": lambda m: (m.num_features,),
    "LayerNorm": lambda m: m.normalized_shape,
    "RMSNorm": lambda m: m.normalized_shape,
}
"""Layers that tell the shape of a sample: the least one that they take."""

OF_ANY_SHAPE = {
    "Dropout", "AlphaDropout", "Identity", "ReLU", "ReLU6", "LeakyReLU", "ELU", "CELU", "SELU", "GELU", "SiLU", "Mish",
    "Softplus", "Softsign", "Sigmoid", "LogSigmoid", "Tanh", "Tanhshrink", "Hardsigmoid", "Hardswish", "Hardtanh",
    "Hardshrink", "Softshrink", "Threshold",
}  # fmt: skip
"""Layers that leave the shape as it is, whatever it is."""
