"""The compiled kernels as functions on NumPy arrays: exactly what a model runs, one op at a time.

Arrays are C-contiguous float32 (labels int32); nothing is converted or copied on the way in. In a shape such as
``[m, k]``, ``m`` may stand for several leading axes. Every function that returns new arrays takes ``out=``: an array of
the result's shape to write into, or a tuple of them. ``out`` may be the first input itself, except in the matrix
products and ``gather``.

The definition of each op, in NumPy, is in ``nncore.ops``; :func:`call` runs any of them by name. Results do not depend
on the instruction set among those with fused multiply-add, nor on the batch that a row stands in.

Raises, all of them before anything is written: ``ValueError`` for shapes that do not fit, ``TypeError`` for dtypes,
``MissingExtensionError`` where the extension is not built.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any, cast

import numpy as np

from nncore import ops
from nncore.backends import load_native
from nncore.errors import unknown_name
from nncore.program import Buffer, Dim, Shape

Array = np.ndarray[Any, Any]
Out = Array | Sequence[Array | None] | None

_DTYPES = {"real": np.float32, "int32": np.int32, "float64": np.float64, "int64": np.int64}


def call(
    op: str,
    *inputs: Array | None,
    attributes: Mapping[str, float] = MappingProxyType({}),
    step: ops.Step | None = None,
    out: Out = None,
    isa: str | None = None,
    parts: int = 1,
) -> Any:
    """Run the kernel of an op of ``nncore.ops``.

    Args:
        op: The op's name, such as ``"dense_relu"``.
        inputs: In the order of its signature, ``None`` where an optional one is absent.
        attributes: All of the op's attributes, by name.
        step: What gather (its rows, int64), random ops and optimizers read.
        out: The array, or the tuple of arrays, to write the results into; allocated where ``None``. The optimizer ops
            and ``add_rows`` change theirs in place and need it.
        isa: The instruction set to run on, by name; by default the one chosen at import.
        parts: Into how many shares to cut the work. They run one after the other; the result does not depend on it.

    Returns:
        The output, or the tuple of outputs where there are several.
    """
    native, definition = load_native(), ops.get(op)
    names = _operand_names(op)
    _check_attributes(definition, attributes)
    buffers: list[Buffer | None] = []
    for i, x in enumerate(inputs):
        name = names[min(len(definition.outputs) + i, len(names) - 1)]
        if x is not None:
            _check_array(op, name, x, definition.dtypes.get(f"in{i}", "real"))
        buffers.append(None if x is None else Buffer(name, "workspace", x.shape))
    dims, axes = ops.bind(definition, buffers, attributes)
    step = ops.Step(None, 0, 0, None) if step is None else step
    if "any" in definition.dtypes.values():
        _check_rows(op, step.rows, cast(Array, inputs[0]))
        axes["m"], dims["m"] = (len(step.rows),), Dim(len(step.rows))
    _check_labels(definition, names, inputs)
    outputs = _outputs(definition, names, axes, out)
    _check_overlap(definition, names, outputs, inputs)
    kinds = [definition.dtypes.get(f"out{i}", "real") for i in range(len(outputs))]
    kinds += [definition.dtypes.get(f"in{i}", "real") for i in range(len(inputs))]
    sizes = [None if array is None else array.size for array in (*outputs, *inputs)]
    native.call(
        op, outputs, inputs, kinds, sizes, [dims[letter].size for letter in definition.letters],
        [attributes[name] for name in definition.attributes],
        rows=step.rows, number=step.number, seed=step.seed, rates=step.rates, isa=isa, parts=parts,
    )  # fmt: skip
    return outputs[0] if len(outputs) == 1 else tuple(outputs)


@cache
def _operand_names(op: str) -> tuple[str, ...]:
    """What the op's definition calls its operands, outputs first."""
    definition = ops.get(op)
    return tuple(inspect.signature(definition.body).parameters)[: len(definition.outputs) + len(definition.inputs)]


def _check_attributes(op: ops.Op, attributes: Mapping[str, float]) -> None:
    for name in attributes:
        if name not in op.attributes:
            raise unknown_name(f"attribute of {op.name}", name, op.attributes)
    missing = [name for name in op.attributes if name not in attributes]
    if missing:
        raise TypeError(f"{op.name} needs the attributes {', '.join(op.attributes)}. Missing: {', '.join(missing)}.")


def _check_array(op: str, name: str, x: Array, kind: str) -> None:
    """That the kernel can read ``x`` where it lies; ``kind`` is one of ``nncore.program.DTYPES``."""
    if not isinstance(x, np.ndarray):
        raise TypeError(f"{op}: {name} must be a NumPy array. Received: {type(x).__name__}.")
    if kind == "any":
        return
    wanted = np.dtype(_DTYPES[kind])
    if x.dtype != wanted:
        raise TypeError(f"{op}: {name} must have the dtype {wanted}. Received: {x.dtype}; use astype(np.{wanted}).")
    if not x.flags.c_contiguous:
        raise ValueError(f"{op}: {name} must be C-contiguous. Received: a strided view; use np.ascontiguousarray.")


def _check_rows(op: str, rows: Array, source: Array) -> None:
    """Rows are where the kernel reads; it does not look whether they exist."""
    _check_array(op, "rows", rows, "int64")
    if rows.ndim != 1:
        raise ValueError(f"{op}: rows must have 1 axis. Received: shape {rows.shape}.")
    if rows.size and not 0 <= rows.min() <= rows.max() < len(source):
        raise ValueError(f"{op}: rows must lie in [0, {len(source)}). Received: {rows.min()} to {rows.max()}.")


def _check_labels(op: ops.Op, names: Sequence[str], inputs: Sequence[Array | None]) -> None:
    """Integer inputs are labels of the classes of input 0; the kernels index by them."""
    for i, x in enumerate(inputs):
        if op.dtypes.get(f"in{i}") == "int32" and x is not None and x.size:
            classes = cast(Array, inputs[0]).shape[-1]
            if not 0 <= x.min() <= x.max() < classes:
                name = names[len(op.outputs) + i]
                raise ValueError(f"{op.name}: {name} must lie in [0, {classes}). Received: {x.min()} to {x.max()}.")


def _outputs(op: ops.Op, names: Sequence[str], axes: dict[str, Shape], out: Out) -> list[Array | None]:
    """The arrays to write: those given, their shapes checked, or new ones."""
    given = (None,) * len(op.outputs) if out is None else (out,) if isinstance(out, np.ndarray) else tuple(out)
    if len(given) != len(op.outputs):
        raise ValueError(f"{op.name} has {len(op.outputs)} outputs. Received: out with {len(given)}.")
    outputs: list[Array | None] = []
    for i, (term, array) in enumerate(zip(op.outputs, given, strict=True)):
        shape = cast(tuple[int, ...], sum((axes[letter] for letter in ops.letters_of(term)), ()))
        kind = op.dtypes.get(f"out{i}", "real")
        if array is None:
            array = np.empty(shape, _DTYPES[kind])
        _check_array(op.name, f"out for {names[i]}", array, kind)
        if array.shape != shape:
            raise ValueError(f"{op.name}: out for {names[i]} must have the shape {shape}. Received: {array.shape}.")
        outputs.append(array)
    return outputs


def _check_overlap(
    op: ops.Op, names: Sequence[str], outputs: Sequence[Array | None], inputs: Sequence[Array | None]
) -> None:
    """An output may be an input itself where the kernel reads each element before it writes it."""
    module = op.body.__module__
    for name, y in zip(names, outputs, strict=False):
        for i, x in enumerate(inputs):
            if y is None or x is None or not np.may_share_memory(x, y):
                continue
            same = x.ctypes.data == y.ctypes.data and x.shape == y.shape
            elementwise = module in (ops.activations.__name__, ops.arithmetic.__name__, ops.optim.__name__)
            in_place = elementwise or (i == 0 and module not in (ops.linear.__name__, ops.data.__name__))
            if not (same and in_place):
                raise ValueError(
                    f"{op.name}: the memory of {name} overlaps that of {names[len(outputs) + i]}. "
                    "Give an out of its own, or none."
                )


# ------------------------------------------------------------------------------------------------- matrix products


def dense(
    x: Array, kernel: Array, bias: Array | None = None, activation: str | None = None, out: Array | None = None
) -> Array:
    """``activation(x @ kernel + bias)`` for x ``[m, k]``, kernel ``[k, n]``, bias ``[n]``: ``[m, n]``.

    ``activation`` is ``None``, ``"relu"``, ``"tanh"`` or ``"sigmoid"``; the result has the bits of ``dense`` followed
    by that function. Every element is summed in the order bias, k = 0, 1, ….
    """
    return cast(Array, call(_fused("dense", activation), x, kernel, bias, out=out))


def dense_grad_x(
    dy: Array, kernel: Array, y: Array | None = None, activation: str | None = None, out: Array | None = None
) -> Array:
    """``dy @ kernel.T`` for dy ``[m, n]``, kernel ``[k, n]``: ``[m, k]``.

    With ``activation``, times the derivative of the activation that fed the layer, whose output was ``y`` ``[m, k]``.
    """
    if (y is None) != (activation is None):
        raise ValueError("dense_grad_x: y and activation must be given together.")
    inputs = (dy, kernel) if y is None else (dy, kernel, y)
    return cast(Array, call(_fused("dense_grad_x", activation), *inputs, out=out))


def dense_grad_w(x: Array, dy: Array, out: Array | None = None) -> Array:
    """``x.T @ dy`` for x ``[m, k]``, dy ``[m, n]``: ``[k, n]``; zeros where m is 0."""
    return cast(Array, call("dense_grad_w", x, dy, out=out))


def bias_grad(dy: Array, out: Array | None = None) -> Array:
    """``sum(dy, axis=0)`` for dy ``[m, n]``: ``[n]``, summed in the order of the rows."""
    return cast(Array, call("bias_grad", dy, out=out))


def _fused(op: str, activation: str | None) -> str:
    known = ("relu", "tanh", "sigmoid")
    if activation is not None and activation not in known:
        raise unknown_name(f"activation of {op}", activation, known)
    return op if activation is None else f"{op}_{activation}"


# ---------------------------------------------------------------------------------------------------- elementwise


def relu(
    x: Array,
    negative_slope: float = 0.0,
    max_value: float | None = None,
    threshold: float = 0.0,
    out: Array | None = None,
) -> Array:
    """``min(x, max_value)`` where ``x > threshold``, else ``negative_slope (x - threshold)``: ``max(x, 0)``."""
    if negative_slope == 0 and max_value is None and threshold == 0:
        return cast(Array, call("relu", x, out=out))
    return cast(
        Array, call("general_relu", x, out=out, attributes=_relu_attributes(negative_slope, max_value, threshold))
    )


def relu_grad(
    dy: Array,
    y: Array,
    negative_slope: float = 0.0,
    max_value: float | None = None,
    threshold: float = 0.0,
    out: Array | None = None,
) -> Array:
    """``dy`` where ``y > 0``, else 0, for y the output of the plain relu.

    With any other slope, ceiling or threshold, ``y`` must be the *input* of the relu instead.
    """
    if negative_slope == 0 and max_value is None and threshold == 0:
        return cast(Array, call("relu_grad", dy, y, out=out))
    attributes = _relu_attributes(negative_slope, max_value, threshold)
    return cast(Array, call("general_relu_grad", dy, y, out=out, attributes=attributes))


def _relu_attributes(negative_slope: float, max_value: float | None, threshold: float) -> dict[str, float]:
    ceiling = float("inf") if max_value is None else max_value
    return {"negative_slope": negative_slope, "max_value": ceiling, "threshold": threshold}


def tanh(x: Array, out: Array | None = None) -> Array:
    """The hyperbolic tangent."""
    return cast(Array, call("tanh", x, out=out))


def tanh_grad(dy: Array, y: Array, out: Array | None = None) -> Array:
    """``dy (1 - y²)`` for y the output of :func:`tanh`."""
    return cast(Array, call("tanh_grad", dy, y, out=out))


def sigmoid(x: Array, out: Array | None = None) -> Array:
    """``1 / (1 + exp(-x))``, exact for any x."""
    return cast(Array, call("sigmoid", x, out=out))


def sigmoid_grad(dy: Array, y: Array, out: Array | None = None) -> Array:
    """``dy (y (1 - y))`` for y the output of :func:`sigmoid`."""
    return cast(Array, call("sigmoid_grad", dy, y, out=out))


def scale_shift(x: Array, scale: float, offset: float = 0.0, out: Array | None = None) -> Array:
    """``x scale + offset``."""
    return cast(Array, call("scale_shift", x, out=out, attributes={"scale": scale, "offset": offset}))


def add(a: Array, b: Array, out: Array | None = None) -> Array:
    """``a + b``, of one shape."""
    return cast(Array, call("add", a, b, out=out))


def multiply(a: Array, b: Array, out: Array | None = None) -> Array:
    """``a b``, of one shape: with the mask of :func:`dropout`, the gradient of it."""
    return cast(Array, call("multiply", a, b, out=out))


def dropout(
    x: Array, rate: float, seed: int = 0, step: int = 0, stream: int = 0, out: Out = None
) -> tuple[Array, Array]:
    """``(x mask, mask)``: mask is 0 with probability ``rate``, else ``1 / (1 - rate)``.

    The mask is a function of seed, step, stream and the element's index alone (Philox4x32-10).
    """
    attributes = {"rate": rate, "stream": stream, "seed": 0}
    result = call("dropout", x, attributes=attributes, step=ops.Step(None, step, seed, None), out=out)
    return cast(tuple[Array, Array], result)


# ------------------------------------------------------------------------------------------- softmax and its losses


def softmax(logits: Array, out: Array | None = None) -> Array:
    """``exp(z - max z) / sum exp(z - max z)`` over the last axis of ``[m, n]``."""
    return cast(Array, call("softmax", logits, out=out))


def softmax_grad(dp: Array, p: Array, out: Array | None = None) -> Array:
    """``p (dp - sum dp p)`` for p the output of :func:`softmax`, ``[m, n]``."""
    return cast(Array, call("softmax_grad", dp, p, out=out))


def softmax_cross_entropy(logits: Array, target: Array, out: Out = None) -> tuple[Array, Array]:
    """``(softmax(logits), loss[m])`` from logits ``[m, n]`` and targets: one-hot ``[m, n]``, or int32 labels ``[m]``.

    The loss is computed from the logits, so it is exact however sure they are.
    """
    return cast(tuple[Array, Array], call(_sparse("softmax_cross_entropy", target), logits, target, out=out))


def softmax_cross_entropy_grad(p: Array, target: Array, dloss: Array, out: Array | None = None) -> Array:
    """``(p - target) dloss`` in the logits, for p and targets as in :func:`softmax_cross_entropy`, dloss ``[m]``."""
    return cast(Array, call(_sparse("softmax_cross_entropy_grad", target), p, target, dloss, out=out))


def sigmoid_binary_cross_entropy(logits: Array, target: Array, out: Out = None) -> tuple[Array, Array]:
    """``(sigmoid(logits), loss[m])`` from logits and targets ``[m, n]``; exact for any logits.

    The loss is the mean over n of ``max(z, 0) - z t + log(1 + exp(-|z|))``.
    """
    return cast(tuple[Array, Array], call("sigmoid_binary_cross_entropy", logits, target, out=out))


def sigmoid_binary_cross_entropy_grad(p: Array, target: Array, dloss: Array, out: Array | None = None) -> Array:
    """``(p - target) dloss / n`` in the logits, for p of :func:`sigmoid_binary_cross_entropy` and dloss ``[m]``."""
    return cast(Array, call("sigmoid_binary_cross_entropy_grad", p, target, dloss, out=out))


# ---------------------------------------------------------------------------------------- losses of predictions


def mean_squared_error(p: Array, target: Array, out: Array | None = None) -> Array:
    """``mean((p - target)²)`` over the last axis of ``[m, n]``: ``[m]``."""
    return cast(Array, call("mean_squared_error", p, target, out=out))


def mean_squared_error_grad(p: Array, target: Array, dloss: Array, out: Array | None = None) -> Array:
    """``(p - target) 2 dloss / n`` for dloss ``[m]``."""
    return cast(Array, call("mean_squared_error_grad", p, target, dloss, out=out))


def mean_absolute_error(p: Array, target: Array, out: Array | None = None) -> Array:
    """``mean(|p - target|)`` over the last axis of ``[m, n]``: ``[m]``."""
    return cast(Array, call("mean_absolute_error", p, target, out=out))


def mean_absolute_error_grad(p: Array, target: Array, dloss: Array, out: Array | None = None) -> Array:
    """``sign(p - target) dloss / n`` for dloss ``[m]``, 0 where they are equal."""
    return cast(Array, call("mean_absolute_error_grad", p, target, dloss, out=out))


def binary_cross_entropy(p: Array, target: Array, out: Array | None = None) -> Array:
    """``-mean(t log q + (1 - t) log(1 - q))``: ``[m]``, q being p ``[m, n]`` clipped to [1e-7, 1 - 1e-7]."""
    return cast(Array, call("binary_cross_entropy", p, target, out=out))


def binary_cross_entropy_grad(p: Array, target: Array, dloss: Array, out: Array | None = None) -> Array:
    """``(q - t) / (q (1 - q)) dloss / n`` where p was not clipped, else 0, for dloss ``[m]``."""
    return cast(Array, call("binary_cross_entropy_grad", p, target, dloss, out=out))


def cross_entropy(p: Array, target: Array, out: Array | None = None) -> Array:
    """``-sum(t log q)``: ``[m]``, q being p ``[m, n]`` over its sum and clipped to [1e-7, 1 - 1e-7].

    Targets are one-hot ``[m, n]``, or int32 labels ``[m]``.
    """
    return cast(Array, call(_sparse("cross_entropy", target), p, target, out=out))


def cross_entropy_grad(p: Array, target: Array, dloss: Array, out: Array | None = None) -> Array:
    """The gradient of :func:`cross_entropy` in p, times dloss ``[m]``."""
    return cast(Array, call(_sparse("cross_entropy_grad", target), p, target, dloss, out=out))


def _sparse(op: str, target: Array) -> str:
    """The form of a loss that takes integer labels, where ``target`` is of integers."""
    return f"sparse_{op}" if isinstance(target, np.ndarray) and target.dtype.kind in "iu" else op


# ------------------------------------------------------------------------------------- metrics, data, optimizers


def binary_matches(p: Array, target: Array, threshold: float = 0.5, out: Array | None = None) -> Array:
    """The share of ``(p > threshold) == target`` in each row of ``[m, n]``: ``[m]``."""
    return cast(Array, call("binary_matches", p, target, out=out, attributes={"threshold": threshold}))


def categorical_matches(p: Array, target: Array, out: Array | None = None) -> Array:
    """1 where a row's largest p is at the target, else 0: ``[m]``; targets as in :func:`cross_entropy`."""
    op = "sparse_matches" if _sparse("", target) else "categorical_matches"
    return cast(Array, call(op, p, target, out=out))


def add_rows(total: Array, value: Array, weight: Array | None = None) -> Array:
    """``total += sum(value weight)`` in float64, row by row in order; total is a float64 array of shape ``()``."""
    return cast(Array, call("add_rows", value, weight, out=total))


def gather(source: Array, rows: Array, out: Array | None = None) -> Array:
    """Rows of ``source`` ``[N, n]`` (boolean, integer or float; any strides) as float32 ``[m, n]``; rows: int64."""
    return cast(Array, call("gather", source, step=ops.Step(rows, 0, 0, None), out=out))


def sgd(w: Array, gradient: Array, rate: float) -> Array:
    """``w -= rate gradient``, in place; returns w. Arrays of any one shape."""
    call("sgd", _flat(w), _flat(gradient), out=_flat(w), step=_at(rate))
    return w


def sgd_momentum(
    w: Array, velocity: Array, gradient: Array, rate: float, momentum: float = 0.9, nesterov: bool = False
) -> tuple[Array, Array]:
    """``velocity = momentum velocity - rate gradient; w += velocity``, in place; returns both.

    With ``nesterov``, ``w += momentum velocity - rate gradient`` with the new velocity.
    """
    call(
        "sgd_momentum", _flat(w), _flat(velocity), _flat(gradient), out=(_flat(w), _flat(velocity)),
        step=_at(rate), attributes={"momentum": momentum, "nesterov": nesterov},
    )  # fmt: skip
    return w, velocity


def adam(
    w: Array, m: Array, v: Array, gradient: Array, rate: float, beta_1: float = 0.9, beta_2: float = 0.999,
    epsilon: float = 1e-7,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """One step of Adam in place; returns w and the moments m and v.

    ``m += (g - m)(1 - beta_1); v += (g² - v)(1 - beta_2); w -= m rate / (sqrt(v) + epsilon)``: ``rate`` is the learning
    rate with the bias correction of step t, ``lr sqrt(1 - beta_2^t) / (1 - beta_1^t)`` (Kingma and Ba 2015, section 2).
    """
    call(
        "adam", _flat(w), _flat(m), _flat(v), _flat(gradient), out=(_flat(w), _flat(m), _flat(v)),
        step=_at(rate), attributes={"beta_1": beta_1, "beta_2": beta_2, "epsilon": epsilon},
    )  # fmt: skip
    return w, m, v


def _at(rate: float) -> ops.Step:
    """A step whose learning rate is ``rate``."""
    return ops.Step(None, 0, 0, np.array([rate]))


def _flat(array: Array) -> Array:
    """A contiguous array as a vector on the same memory."""
    if isinstance(array, np.ndarray) and not array.flags.c_contiguous:
        raise ValueError("Optimizer kernels work in place on C-contiguous arrays. Received: a strided view.")
    return np.reshape(array, -1)
