"""ONNX: a model's prediction program as a graph that other runtimes run.

The program is translated instruction by instruction, so that formulas and layers of the user's own are in it wherever
programs have ops for them. What depends on weights alone is computed here, by the ops' definitions, and stored as a
constant. Every op has an entry in ``TRANSLATIONS``, or a reason for having none.

The batch is the axis ``batch`` of the input ``x`` and of the output ``predictions``; any size is taken. Samples are
float32; ids, where the first layer is an ``Embedding``, are int64, and are not checked as ``predict`` does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf, prod, sqrt
from typing import Any, NamedTuple

import numpy as np

from nncore import ops
from nncore.builder import Builder
from nncore.compiler import forward
from nncore.export.reasons import reason
from nncore.layers.base import Layer
from nncore.ops.activations import GELU_CUBIC, GELU_LINEAR, LARGE
from nncore.ops.normalization import UNIT_LIMIT
from nncore.program import Buffer, Instruction, Shape
from nncore.saving.files import replace_file
from nncore.version import __version__

Array = np.ndarray[Any, Any]

OPSET = 17
"""The version of ONNX's operators that files ask for: ONNX Runtime 1.12 and later have them."""

IR_VERSION = 8
"""The version of the file format that goes with them."""

LARGEST = 2**31 - 2**20
"""Bytes of weights in a file: a protocol buffer ends at 2 GiB."""


def write(model: Any, path: str) -> None:
    """Write what ``model.predict`` computes into an ONNX file, whose graph passes the full check of ``onnx``.

    Args:
        model: A built model.
        path: The file; one that is there is replaced once the new one is whole.

    Raises:
        ValueError: where the model is too large, or a layer has no form in ONNX; nothing is written then.
        ImportError: where onnx is missing.
        OSError: where the file cannot be written; what was there before is there still.
    """
    onnx = _onnx()
    made = proto(model)
    onnx.checker.check_model(made, full_check=True)
    data = made.SerializeToString()

    def fill(beside: str) -> None:
        with open(beside, "xb") as file:
            file.write(data)

    replace_file(path, fill)


def proto(model: Any) -> Any:
    """The ``onnx.ModelProto`` of a built model; raises what ``write`` does."""
    onnx = _onnx()
    layers = model._steps()
    size = sum(variable.value.nbytes for layer in layers for variable in layer.stored)
    if size > LARGEST:
        raise ValueError(
            f"export: an ONNX file holds less than 2 GiB. Received: {model.name!r} with {size:,} bytes of weights. "
            "Save it as .npz or .keras instead."
        )
    graph = _translated(layers, model.input_shape)
    helper, types = onnx.helper, onnx.TensorProto
    x = types.INT64 if layers[0].takes_integers else types.FLOAT
    made = helper.make_graph(
        [helper.make_node(n.kind, n.inputs, n.outputs, n.outputs[0], **n.attributes) for n in graph.nodes],
        model.name,
        [_outline(helper, "x", x, model.input_shape)],
        [_outline(helper, "predictions", types.FLOAT, model.output_shape)],
        [onnx.numpy_helper.from_array(array, name) for name, array in graph.constants.items()],
    )
    return helper.make_model(
        made, producer_name="nncore", producer_version=__version__, ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
    )  # fmt: skip


def _onnx() -> Any:
    try:
        import onnx
    except ImportError:
        raise ImportError("ONNX files need onnx: pip install 'nncore[onnx]'.") from None
    return onnx


def _outline(helper: Any, name: str, kind: int, shape: Shape) -> Any:
    return helper.make_tensor_value_info(name, kind, ["batch" if n is None else n for n in shape])


# From a program to a graph.


class Untranslatable(Exception):
    """Why an instruction has no form in ONNX."""


class Node(NamedTuple):
    """One operator of ONNX applied to tensors, which have names; an input that is absent is ``""``."""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


class Tensor(NamedTuple):
    """A value of the graph: its name, and its shape with ``None`` for the batch."""

    name: str
    shape: Shape


Operand = Tensor | str | float | Array
"""What an operator takes: a value, the name of one, or a constant; a number is one of float32."""


class Graph:
    """An ONNX graph under construction. Call it to append an operator; that gives the name of its output."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.constants: dict[str, Array] = {}
        self.scope = ""
        self._taken: set[str] = set()
        self._known: dict[tuple[Any, ...], str] = {}

    def __call__(self, kind: str, *inputs: Operand | None, **attributes: Any) -> str:
        return self.several(1, kind, *inputs, **attributes)[0]

    def several(self, count: int, kind: str, *inputs: Operand | None, **attributes: Any) -> tuple[str, ...]:
        """Append an operator of so many outputs, and return their names."""
        outputs = tuple(self.name(f"{self.scope}{kind}") for _ in range(count))
        self.nodes.append(Node(kind, tuple(map(self._operand, inputs)), outputs, attributes))
        return outputs

    def _operand(self, operand: Operand | None) -> str:
        if operand is None:
            return ""
        if isinstance(operand, Tensor):
            return operand.name
        return operand if isinstance(operand, str) else self._constant(operand)

    def _constant(self, value: float | Array) -> str:
        """The name of a number, of float32, or of an array; the same one is held once."""
        array = np.asarray(value, np.float32 if isinstance(value, float | int) else None)
        key = (array.shape, array.dtype, array.tobytes())
        if key not in self._known:
            self._known[key] = self.hold(array, "constant")
        return self._known[key]

    def hold(self, array: Array, wanted: str) -> str:
        """Hold an array, if possible under the name ``wanted``; gives the name."""
        name = self.name(wanted)
        self.constants[name] = array
        return name

    def name(self, wanted: str) -> str:
        """``wanted``, with a counter where it is taken."""
        name, count = wanted, 1
        while name in self._taken:
            name, count = f"{wanted}_{count}", count + 1
        self._taken.add(name)
        return name

    def finish(self, result: str) -> None:
        """Call ``result`` "predictions", and drop what it does not depend on."""
        needed, kept = {result}, []
        for node in reversed(self.nodes):
            if needed.intersection(node.outputs):
                needed.update(node.inputs)
                kept.append(node)

        def called(names: tuple[str, ...]) -> tuple[str, ...]:
            return tuple("predictions" if name == result else name for name in names)

        self.nodes = [n._replace(inputs=called(n.inputs), outputs=called(n.outputs)) for n in reversed(kept)]
        self.constants = {name: array for name, array in self.constants.items() if name in needed}


def _translated(layers: Sequence[Layer], x_shape: Shape) -> Graph:
    """The graph of the predictions of layers, one after the other."""
    b = Builder("predict", training=False)
    x = b.declare("input", "x", x_shape, "int32" if layers[0].takes_integers else "real")
    program = _Translation(b, x)
    for index, layer in enumerate(layers):
        done = len(b.instructions)
        x = forward(b, [layer], x)
        program.graph.scope = f"{layer.name}/"
        try:
            program.append(b.instructions[done:])
        except Untranslatable as why:
            raise ValueError(
                f"export: layer {index}, {layer.name!r} ({type(layer).__name__}), has no form in ONNX: {why}."
            ) from None
    result = program.value(x.name).name
    if result in ("x", *program.graph.constants):
        result = program.graph("Identity", result)
    program.graph.finish(result)
    return program.graph


class _Translation:
    """A graph, and what of it each buffer of a program holds.

    A buffer's value is a tensor of the graph or, where it depends on no sample, an array. Instructions that write over
    their inputs, and views of a buffer in another shape, are what this is for.
    """

    def __init__(self, b: Builder, x: Buffer) -> None:
        self.graph = Graph()
        self.graph.name("x")
        self.graph.name("predictions")
        self._b = b
        self._values: dict[str, Tensor | Array] = {x.name: Tensor("x", x.shape)}
        self._held: dict[str, Tensor] = {}

    def append(self, instructions: Sequence[Instruction]) -> None:
        """Append what instructions do; ``Untranslatable`` where that cannot be."""
        for instruction in instructions:
            self._append(instruction)

    def _append(self, instruction: Instruction) -> None:
        if instruction.function is not None:
            raise Untranslatable(
                f"it calls the Python function {instruction.function.name!r} with arrays. Made of operators, NumPy "
                "functions and nncore's layers and activations alone, see Layer.call, it can be exported"
            )
        for name in instruction.outputs:
            if name is not None and self._root(name) in self._b.variables:
                raise Untranslatable(f"it changes the weight {name!r} ({instruction.op})")
        op, inputs = ops.get(instruction.op), instruction.inputs
        arrays = [None if name is None else self._array(name) for name in inputs]
        if not op.step and all(a is not None or n is None for a, n in zip(arrays, inputs, strict=True)):
            self._keep(instruction, ops.evaluate(op.name, *arrays, **instruction.attributes))
            return
        translate = TRANSLATIONS.get(op.name)
        if translate is None:
            raise Untranslatable(f"{reason(op) or 'there is no operator for it'} ({op.name})")
        operands = [None if name is None else self.value(name) for name in inputs]
        found = translate(self.graph, *operands, **instruction.attributes)
        self._keep(instruction, found if type(found) is tuple else (found,))

    def _keep(self, instruction: Instruction, results: Sequence[Any]) -> None:
        for name, result in zip(instruction.outputs, results, strict=True):
            assert name is not None
            buffer = self._b.buffers[name]
            root = self._b.root(buffer).name
            self._values[root] = Tensor(result, buffer.shape) if isinstance(result, str) else result
            self._held = {n: tensor for n, tensor in self._held.items() if self._root(n) != root}

    def _root(self, name: str) -> str:
        return self._b.root(self._b.buffers[name]).name

    def _array(self, name: str) -> Array | None:
        """What a buffer holds that depends on no sample: a weight, or what was computed from weights."""
        buffer, root = self._b.buffers[name], self._root(name)
        known = self._b.variables[root].value if root in self._b.variables else self._values.get(root)
        if not isinstance(known, np.ndarray):
            return None
        first, shape = self._b.start(buffer), [n or 0 for n in buffer.shape]
        return known.reshape(-1)[first : first + prod(shape)].reshape(shape)

    def value(self, name: str) -> Tensor:
        """What a buffer holds, in its shape."""
        buffer = self._b.buffers[name]
        array = self._array(name)
        if array is not None:
            if name not in self._held:
                self._held[name] = Tensor(self.graph.hold(array, name), buffer.shape)
            return self._held[name]
        held = self._values[self._root(name)]
        assert isinstance(held, Tensor)
        if held.shape == buffer.shape:
            return held
        shape = np.array([0 if n is None else n for n in buffer.shape], np.int64)  # 0: as many as there are
        return Tensor(self.graph("Reshape", held, shape), buffer.shape)


# What each op is in ONNX. ``translate(graph, *inputs, **attributes)`` gives the name of its output, or those of all.

TRANSLATIONS: dict[str, Callable[..., Any]] = {}


def translation(function: Callable[..., Any]) -> Callable[..., Any]:
    """Enter the decorated function as the translation of the op of its name, without a trailing underscore."""
    TRANSLATIONS[function.__name__.rstrip("_")] = function
    return function


def _operators(**kinds: str) -> None:
    """Enter ops that are one operator each."""
    for op, kind in kinds.items():
        TRANSLATIONS[op] = lambda g, *inputs, kind=kind: g(kind, *inputs)


_operators(
    relu="Relu", tanh="Tanh", sigmoid="Sigmoid", exponential="Exp", softplus="Softplus", softsign="Softsign",
    hard_silu="HardSwish", add="Add", subtract="Sub", multiply="Mul", divide="Div", maximum="Max", minimum="Min",
    sqrt="Sqrt", log="Log", absolute="Abs", row_add="Add", row_multiply="Mul", prelu="PRelu",
)  # fmt: skip


def _clipped(g: Graph, x: Operand, low: float, high: float) -> str:
    return g("Clip", x, None if low == -inf else low, None if high == inf else high)


# Activations of every element.


@translation
def general_relu(g: Graph, x: Tensor, *, negative_slope: float, max_value: float, threshold: float) -> str:
    """LeakyRelu where nothing else is asked for"""
    if threshold == 0 and max_value == inf:
        return g("LeakyRelu", x, alpha=negative_slope)
    above = x if max_value == inf else _clipped(g, x, 0.0, max_value)
    below = g("Mul", g("Sub", x, threshold), negative_slope) if negative_slope else 0.0
    return g("Where", g("Greater", x, threshold), above, below)


@translation
def hard_tanh(g: Graph, x: Tensor) -> str:
    """Clip"""
    return _clipped(g, x, -1.0, 1.0)


@translation
def hard_sigmoid(g: Graph, x: Tensor) -> str:
    """HardSigmoid, of slope 1/6"""
    return g("HardSigmoid", x, alpha=1 / 6, beta=0.5)


@translation
def sparse_sigmoid(g: Graph, x: Tensor) -> str:
    """HardSigmoid, of slope 1/2"""
    return g("HardSigmoid", x, alpha=0.5, beta=0.5)


@translation
def sparse_plus(g: Graph, x: Tensor) -> str:
    """x where x >= 1, else the square of the clipped"""
    half = g("HardSigmoid", x, alpha=0.5, beta=0.5)
    return g("Where", g("GreaterOrEqual", x, 1.0), x, g("Mul", half, half))


@translation
def hard_shrink(g: Graph, x: Tensor, *, threshold: float) -> str:
    """Shrink"""
    return g("Shrink", x, lambd=threshold)


@translation
def soft_shrink(g: Graph, x: Tensor, *, threshold: float) -> str:
    """Shrink"""
    return g("Shrink", x, lambd=threshold, bias=threshold)


@translation
def threshold(g: Graph, x: Tensor, *, threshold: float, default_value: float) -> str:
    """Where"""
    return g("Where", g("Greater", x, threshold), x, default_value)


@translation
def tanh_shrink(g: Graph, x: Tensor) -> str:
    """x - tanh(x)"""
    return g("Sub", x, g("Tanh", x))


@translation
def silu(g: Graph, x: Tensor) -> str:
    """x / (1 + exp(-x)): Sigmoid is exact to 1e-7 of 1, which x would multiply"""
    return _swish(g, x, g("Neg", x))


def _swish(g: Graph, x: Tensor, exponent: str) -> str:
    return g("Div", x, g("Add", g("Exp", exponent), 1.0))


@translation
def gelu(g: Graph, x: Tensor) -> str:
    """x (1 + erf(x / √2)) / 2"""
    return g("Mul", g("Mul", x, 0.5), g("Add", g("Erf", g("Mul", x, sqrt(0.5))), 1.0))


@translation
def gelu_tanh(g: Graph, x: Tensor) -> str:
    """x / (1 + exp(-2 √(2/π) (x + 0.044715 x³)))"""
    inner = g("Sub", -GELU_LINEAR, g("Mul", g("Mul", x, x), GELU_CUBIC))
    return _swish(g, x, g("Mul", x, inner))


@translation
def mish(g: Graph, x: Tensor) -> str:
    """x tanh(softplus(x))"""
    return g("Mul", x, g("Tanh", g("Softplus", x)))


@translation
def elu(g: Graph, x: Tensor, *, alpha: float, scale: float, rate: float) -> str:
    """Elu, Celu or Selu where it is one of them"""
    if scale == 1 and rate == 1:
        return g("Elu", x, alpha=alpha)
    if scale == 1 and rate == 1 / alpha:
        return g("Celu", x, alpha=alpha)
    if rate == 1:
        return g("Selu", x, alpha=alpha / scale, gamma=scale)
    curve = g("Mul", g("Sub", g("Exp", g("Mul", g("Min", x, 0.0), rate)), 1.0), alpha)
    return g("Where", g("Greater", x, 0.0), g("Mul", x, scale), curve)


@translation
def log_sigmoid(g: Graph, x: Tensor) -> str:
    """-softplus(-x)"""
    return g("Neg", g("Softplus", g("Neg", x)))


@translation
def squareplus(g: Graph, x: Tensor, *, b: float) -> str:
    """(|x| + √(x² + b)) / 2, and b / 4 over that where x < 0, where nothing then cancels"""
    size = g("Abs", x)
    z = _clipped(g, size, -inf, LARGE)
    half = g("Mul", g("Add", g("Max", size, g("Sqrt", g("Add", g("Mul", z, z), b))), size), 0.5)
    return g("Where", g("Less", x, 0.0), g("Div", b / 4, half), half)


# Activations of rows.


@translation
def softmax(g: Graph, z: Tensor) -> str:
    """Softmax"""
    return g("Softmax", z, axis=-1)


@translation
def log_softmax(g: Graph, z: Tensor) -> str:
    """LogSoftmax"""
    return g("LogSoftmax", z, axis=-1)


_LAST = np.array([-1], np.int64)


@translation
def sparsemax(g: Graph, z: Tensor) -> str:
    """By sorting, as the definition: those of the k largest with 1 + k z_k > z_1 + … + z_k make t"""
    n = z.shape[-1] or 0
    shifted = g("Sub", z, g("ReduceMax", z, axes=[-1]))
    largest, _ = g.several(2, "TopK", shifted, np.array([n], np.int64), axis=-1)
    sums = g("CumSum", largest, np.array(-1, np.int64))
    reach = g("Add", g("Mul", largest, np.arange(1, n + 1, dtype=np.float32)), 1.0)
    support = g("Cast", g("Greater", reach, sums), to=1)  # to float32
    total = g("ReduceSum", g("Mul", largest, support), _LAST)
    t = g("Div", g("Sub", total, 1.0), g("ReduceSum", support, _LAST))
    return g("Relu", g("Sub", shifted, t))


@translation
def glu(g: Graph, x: Tensor) -> str:
    """The first half by the sigmoid of the second"""
    axis = len(x.shape) - 2
    first, second = (g("Gather", x, np.array(i, np.int64), axis=axis) for i in (0, 1))
    return g("Mul", first, g("Sigmoid", second))


# Products, tables, arithmetic, axes.


@translation
def dense(g: Graph, x: Tensor, w: Tensor, b: Tensor | None) -> str:
    """Gemm where x is a matrix, else MatMul and Add"""
    if len(x.shape) == 2:
        return g("Gemm", x, w, *([] if b is None else [b]))
    y = g("MatMul", x, w)
    return y if b is None else g("Add", y, b)


def _dense_and(activation: str) -> None:
    def translate(g: Graph, x: Tensor, w: Tensor, b: Tensor | None) -> str:
        return g(activation, dense(g, x, w, b))

    TRANSLATIONS[f"dense_{activation.lower()}"] = translate


for _activation in ("Relu", "Tanh", "Sigmoid"):
    _dense_and(_activation)


@translation
def embedding(g: Graph, ids: Tensor, table: Tensor) -> str:
    """Gather"""
    return g("Gather", table, ids, axis=0)


@translation
def known_labels(g: Graph, label: Tensor, *, ignored: float) -> tuple[str, str]:
    """Not(Equal) as a mask"""
    other = g("Not", g("Equal", label, np.array(int(ignored), np.int64)))
    return g("Mul", label, g("Cast", other, to=7)), g("Cast", other, to=1)  # to int64 and float32


@translation
def mask_steps(g: Graph, x: Tensor, *, value: float) -> tuple[str, str]:
    """1 where any value of a row is another one, else 0"""
    other = g("Cast", g("Not", g("Equal", x, value)), to=1)
    mask = g("ReduceMax", other, axes=[-1])
    return g("Where", g("Greater", mask, 0.0), x, 0.0), g("Squeeze", mask, _LAST)


@translation
def scale_shift(g: Graph, x: Tensor, *, scale: float, offset: float) -> Tensor | str:
    """Mul and Add, what changes nothing left out"""
    y = x if scale == 1 else g("Mul", x, scale)
    return g("Add", y, offset) if offset else y


@translation
def quotient_of(g: Graph, x: Tensor, *, numerator: float) -> str:
    """Div"""
    return g("Div", numerator, x)


@translation
def clip(g: Graph, x: Tensor, *, low: float, high: float) -> str:
    """Clip"""
    return _clipped(g, x, low, high)


@translation
def where_larger(g: Graph, d: Tensor, a: Tensor, b: Tensor, *, or_equal: float) -> str:
    """Where"""
    return g("Where", g("GreaterOrEqual" if or_equal else "Greater", a, b), d, 0.0)


@translation
def row_sum(g: Graph, x: Tensor) -> str:
    """ReduceSum"""
    return g("ReduceSum", x, _LAST, keepdims=0)


@translation
def sum_steps(g: Graph, x: Tensor) -> str:
    """ReduceSum"""
    return g("ReduceSum", x, np.array([-2], np.int64), keepdims=0)


@translation
def swap(g: Graph, x: Tensor) -> str:
    """Transpose"""
    lead = len(x.shape) - 3
    return g("Transpose", x, perm=[*range(lead), lead + 1, lead, lead + 2])


@translation
def repeat(g: Graph, x: Tensor, *, n: float) -> str:
    """Unsqueeze and Expand"""
    lead = len(x.shape) - 1
    return g("Expand", g("Unsqueeze", x, np.array([lead], np.int64)), np.array([*[1] * lead, int(n), 1], np.int64))


@translation
def spread(g: Graph, weight: Tensor, like: Tensor) -> str:
    """Unsqueeze and Expand"""
    shape = np.array([*[1] * len(weight.shape), like.shape[-1]], np.int64)
    return g("Expand", g("Unsqueeze", weight, _LAST), shape)


# Normalization.


def _affine(g: Graph, y: Tensor | str, scale: Tensor | None, offset: Tensor | None) -> Tensor | str:
    y = y if scale is None else g("Mul", y, scale)
    return y if offset is None else g("Add", y, offset)


@translation
def affine(g: Graph, x: Tensor, shift: Tensor | None, scale: Tensor | None, offset: Tensor | None) -> Tensor | str:
    """Sub, Mul and Add, what is absent left out"""
    return _affine(g, x if shift is None else g("Sub", x, shift), scale, offset)


@translation
def layer_norm(
    g: Graph, x: Tensor, gamma: Tensor | None, beta: Tensor | None, *, epsilon: float
) -> tuple[str, str, str]:
    """LayerNormalization, which wants a scale"""
    scale = np.ones(x.shape[-1] or 0, np.float32) if gamma is None else gamma
    given = [x, scale] if beta is None else [x, scale, beta]
    y, mean, factor = g.several(3, "LayerNormalization", *given, axis=-1, epsilon=epsilon)
    return y, g("Squeeze", mean, _LAST), g("Squeeze", factor, _LAST)


@translation
def rms_norm(g: Graph, x: Tensor, gamma: Tensor, *, epsilon: float) -> tuple[str, str]:
    """x by the root of its mean square"""
    mean = g("ReduceMean", g("Mul", x, x), axes=[-1])
    factor = g("Div", 1.0, g("Sqrt", g("Add", mean, epsilon)))
    return g("Mul", g("Mul", x, factor), gamma), g("Squeeze", factor, _LAST)


@translation
def unit_norm(g: Graph, x: Tensor) -> tuple[str, str]:
    """x by its length"""
    factor = g("Min", g("Div", 1.0, g("ReduceL2", x, axes=[-1])), UNIT_LIMIT)
    return g("Mul", x, factor), g("Squeeze", factor, _LAST)
