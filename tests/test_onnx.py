"""ONNX files: what ONNX Runtime makes of them, for every layer, op and activation, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from activation_table import ACTIVATIONS
from layers_of_batches import Always, Centered, Counting
from networks import network
from oracles import error, uniform
from test_gradients import HIDDEN, NORMS
from test_models import LAYERS

import nncore
from nncore import layers, ops, random
from nncore.builder import Builder
from nncore.compiler import forward
from nncore.export import onnx as exporting
from nncore.export.reasons import reason
from nncore.interpreter import execute
from nncore.layers import Activation, Dense, Dropout, Embedding, Flatten, Input, Lambda, Layer, Masking, Reshape
from nncore.models import Sequential
from nncore.program import Buffer

Array = np.ndarray[Any, Any]

pytestmark = pytest.mark.skipif(
    tuple(map(int, onnxruntime.__version__.split(".")[:2])) < (1, 24),
    reason="ONNX Runtime 1.23, the last for Python 3.10: its variances are inexact, and no rows end the process",
)

TOLERANCE = 1e-6
"""Of |difference| / (1 + |value|), for each layer: some 10 roundings of float32."""


def session(model: Sequential, folder: Path) -> Any:
    """The exported model in ONNX Runtime."""
    path = folder / "model.onnx"
    model.export(path)
    onnx.checker.check_model(onnx.load(path), full_check=True)
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def check(model: Sequential, x: Array, folder: Path) -> None:
    """The same predictions for all rows, for the first alone, and for none."""
    runtime, expected = session(model, folder), model.predict(x, verbose=0)
    (given,), (result,) = runtime.get_inputs(), runtime.get_outputs()
    assert (given.name, given.shape) == ("x", ["batch", *x.shape[1:]])
    assert (result.name, result.shape) == ("predictions", ["batch", *expected.shape[1:]])
    for rows in (len(x), 1, 0):
        (received,) = runtime.run(None, {"x": x[:rows]})
        assert received.dtype == np.float32
        assert error(received, expected[:rows]) <= TOLERANCE * len(model._steps())


def with_trained_weights(model: Sequential) -> Sequential:
    """The model with weights that are nowhere 0 or 1, variances above 0."""
    rng = np.random.default_rng(0)
    model.set_weights([w + rng.uniform(0.1, 0.3, w.shape) for w in model.get_weights()])
    return model


# Every layer.


def anew(given: list[Layer]) -> list[Layer]:
    """Layers like those given."""
    return [type(layer).from_config(layer.get_config()) for layer in given]


STACKS: dict[str, tuple[Any, tuple[int, ...]]] = {
    **{f"{name} of three axes": (lambda name=name: anew(LAYERS[name][0]), (3, 4)) for name in LAYERS},
    **{name: (stack, (3,)) for name, stack in {**HIDDEN, **NORMS}.items() if name != "nothing"},
    "Dense of two axes": (lambda: [Dense(5, "tanh"), Dense(2, use_bias=False), Dense(3, "softmax")], (4, 3)),
    "models inside": (lambda: [Sequential([Dense(4, "relu"), Sequential([Dense(3)])]), Dense(2)], (3,)),
    "one number a sample": (lambda: [Flatten(), Dense(2)], ()),
}  # fmt: skip


@pytest.mark.parametrize("name", STACKS)
def test_layers(name: str, tmp_path: Path) -> None:
    random.set_seed(7)
    stack, shape = STACKS[name]
    model = with_trained_weights(Sequential([Input(shape), *stack()]))
    check(model, uniform(9, *shape, low=-3, high=3), tmp_path)


def test_no_layer_is_left_out() -> None:
    """Every layer is in a row above, or in a test below."""
    tried = {type(part).__name__ for stack, _ in STACKS.values() for layer in stack() for part in inside(layer)}
    elsewhere = {"Embedding", "Input", "InputLayer", "Layer"}
    assert tried | elsewhere >= set(layers.__all__)


def inside(layer: Layer) -> list[Layer]:
    return [layer, *layer._inner_layers()]


@pytest.mark.parametrize("mask_zero", [False, True])
@pytest.mark.parametrize("shape", [(), (1,), (5,), (2, 3)])
def test_embedding(shape: tuple[int, ...], mask_zero: bool, tmp_path: Path) -> None:
    model = Sequential([Input(shape, dtype="int32"), Embedding(7, 4, mask_zero=mask_zero), Dense(3, "tanh")])
    check(model, np.random.default_rng(0).integers(0, 7, (9, *shape)), tmp_path)


@pytest.mark.parametrize("op", ACTIVATIONS)
def test_activations_with_all_attributes(op: str, tmp_path: Path) -> None:
    """Also where a difference of large values would be left: from -30 to 30."""
    for attributes in ACTIVATIONS[op].attributes:

        class Own(Layer):
            """The op alone."""

            def lower(self, b: Builder, x: Buffer, attributes: Any = attributes) -> Buffer:
                return b.emit(op, x, **attributes)[0]

        check(Sequential([Input((3,)), Own()]), uniform(40, 3, low=-30, high=30), tmp_path)


@pytest.mark.parametrize("center", [100.0, -1e4])
@pytest.mark.parametrize("name", ["LayerNormalization", "GroupNormalization", "RMSNormalization", "BatchNormalization"])
def test_normalization_far_from_zero(name: str, center: float, tmp_path: Path) -> None:
    """The mean is rounded where it is; a variance from the mean of squares would lose twice as many digits."""
    random.set_seed(7)
    options = {"groups": 4} if name == "GroupNormalization" else {}
    model = with_trained_weights(Sequential([Input((64,)), getattr(layers, name)(**options)]))
    x = uniform(50, 64) + np.float32(center)
    (received,) = session(model, tmp_path).run(None, {"x": x})
    assert error(received, exact(model, x)) <= TOLERANCE * abs(center)


@pytest.mark.parametrize("number", range(200))
def test_random_networks(number: int, tmp_path: Path) -> None:
    """Against float64: as near as nncore's own kernels, where a network magnifies what is rounded."""
    random.set_seed(number)
    drawn = network(number)
    model = with_trained_weights(drawn.model(nncore))
    x = drawn.x.astype(np.int64) if drawn.x.dtype.kind == "i" else drawn.x
    (received,) = session(model, tmp_path).run(None, {"x": x})
    wanted = exact(model, x)
    own = error(model.predict(x, verbose=0), wanted)
    assert error(received, wanted) <= max(TOLERANCE * len(model.layers), 3 * own), drawn


def exact(model: Sequential, x: Array) -> Array:
    """The predictions in float64, by the ops' definitions."""
    b = Builder("exact", training=False)
    given = b.declare("input", "x", model.input_shape, "int32" if x.dtype.kind == "i" else "real")
    result = forward(b, model._steps(), given)
    values = {name: variable.value.astype(np.float64) for name, variable in b.variables.items()}
    for name, buffer in b.buffers.items():
        if name not in values and buffer.base is None:
            shape = [len(x) if n is None else n for n in buffer.shape]
            values[name] = np.zeros(shape, np.int32 if buffer.dtype == "int32" else np.float64)
    values["x"][...] = x
    step = ops.Step(rows=slice(0, len(x)), number=0, seed=0, rates=np.zeros(1))
    return execute(b, values, step, len(x))(result.name)


# Every op, and formulas and layers of the user's own.


def test_every_op_has_a_translation_or_a_reason() -> None:
    translated = set(exporting.TRANSLATIONS)
    assert translated <= set(ops.OPS)
    assert not [name for name in set(ops.OPS) - translated if reason(ops.OPS[name]) is None]


class Formula(Layer):
    """All operators and functions that formulas have."""

    def build(self, input_shape: Any) -> None:
        self.scale = self.add_weight((4,), "uniform", name="scale")
        self.matrix = self.add_weight((4, 3), name="matrix")
        self.single = self.add_weight((1,), "ones", name="single")

    def call(self, x: Any) -> Any:
        y = np.abs(x) + 0.5
        y = np.sqrt(y) * 2 - np.log(y) / 3 + 1 / y + (x - y) * x / y - (-y) ** 2
        y = np.maximum(y, x) + np.minimum(y, 0.3 * x) + np.maximum(x, 0.1) + np.clip(x, -0.5, 0.5) + np.exp(-y)
        y = y * self.scale + self.scale - np.square(x) / self.scale + np.tanh(x) * self.single
        y = y + nncore.activations.gelu(x)
        return y @ self.matrix

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[:-1], 3)


@pytest.mark.parametrize("shape", [(4,), (2, 4)])
def test_formulas(shape: tuple[int, ...], tmp_path: Path) -> None:
    model = with_trained_weights(
        Sequential([Input(shape), Formula(), Lambda(lambda x: x - x.mean(-1) if len(x.shape) < 2 else x * x)])
    )
    check(model, uniform(9, *shape), tmp_path)


def test_sums_over_an_axis(tmp_path: Path) -> None:
    model = Sequential([Input((2, 5)), Lambda(lambda x: np.sum(x * x, axis=1)), Lambda(lambda x: np.mean(x, axis=-1))])
    check(model, uniform(9, 2, 5), tmp_path)


class Rest(Layer):
    """The ops that no layer of nncore's lowers to in prediction, and both results of those with two."""

    def lower(self, b: Builder, x: Buffer) -> Buffer:
        assert x.shape == (None, 2, 3)
        (weight,) = b.emit("row_sum", x)
        (spread,) = b.emit("spread", weight, x)
        (larger,) = b.emit("where_larger", x, spread, x, or_equal=1.0)
        (smaller,) = b.emit("where_larger", x, spread, x, or_equal=0.0)
        (steps,) = b.emit("sum_steps", x)
        (steps,) = b.emit("repeat", steps, n=2)
        kernel = b.parameter(self.kernel)
        fused = (b.emit(op, x, kernel, None)[0] for op in ("dense_relu", "dense_tanh", "dense_sigmoid"))
        found = [spread, larger, smaller, steps, *fused]
        for op, given, attributes in [
            ("layer_norm", (None, None), {"epsilon": 0.1}), ("rms_norm", (b.parameter(self.gamma),), {"epsilon": 0.1}),
            ("unit_norm", (), {}), ("mask_steps", (), {"value": 2.0}),
        ]:  # fmt: skip
            found += [b.emit("spread", y, x)[0] for y in b.emit(op, x, *given, **attributes)[1:]]
        y = b.declare("workspace", "sum", x.shape)
        b.emit_to("scale_shift", (y,), x, scale=1.0, offset=0.0)
        for other in found:
            b.emit_to("add", (y,), y, other)  # over itself
        return y

    def build(self, input_shape: Any) -> None:
        self.kernel = self.add_weight((3, 3), name="kernel")
        self.gamma = self.add_weight((3,), "ones", name="gamma")


def test_the_other_ops(tmp_path: Path) -> None:
    x = uniform(9, 2, 3)
    x[3, 1] = 2.0
    check(with_trained_weights(Sequential([Input((2, 3)), Rest()])), x, tmp_path)


class Factors(Layer):
    """Factors that come from weights alone, one written over."""

    def build(self, input_shape: Any) -> None:
        self.kernel = self.add_weight((2, 3), name="kernel")

    def lower(self, b: Builder, x: Buffer) -> Buffer:
        kernel = b.parameter(self.kernel)
        first = b.part(kernel, "kernel/first", 0, (3,))
        second = b.part(kernel, "kernel/second", 3, (3,))
        (factor,) = b.emit("multiply", first, second)
        (y,) = b.emit("row_multiply", x, factor)
        b.emit_to("scale_shift", (factor,), factor, scale=2.0, offset=1.0)
        return b.emit("row_multiply", y, factor)[0]


def test_what_depends_on_weights_alone_is_a_constant(tmp_path: Path) -> None:
    model = with_trained_weights(Sequential([Input((3,)), Factors()]))
    check(model, uniform(9, 3), tmp_path)
    assert [node.op_type for node in exporting.proto(model).graph.node] == ["Mul", "Mul"]


def test_masks_leave_no_trace(tmp_path: Path) -> None:
    model = Sequential([Input((4, 3)), Masking(), Dense(2, "tanh"), Dropout(0.5)])
    x = uniform(9, 4, 3)
    x[2:5, 1:] = 0
    check(model, x, tmp_path)
    ids = Sequential([Input((4,), dtype="int32"), Embedding(5, 3, mask_zero=True)])
    assert [node.op_type for node in exporting.proto(ids).graph.node] == ["Gather"]


# The file.


def test_a_trained_model(tmp_path: Path) -> None:
    """What the file says of itself, and the weights under their names, in Keras's shapes."""
    x, y = uniform(64, 6), uniform(64, 2)
    model = Sequential([Input((6,)), Dense(8, "relu", name="hidden"), Dense(2, name="head")], name="regression")
    model.compile("adam", "mse")
    model.fit(x, y, epochs=2, verbose=0)
    check(model, x, tmp_path)
    saved = onnx.load(tmp_path / "model.onnx")
    assert (saved.producer_name, saved.producer_version) == ("nncore", nncore.__version__)
    assert [(entry.domain, entry.version) for entry in saved.opset_import] == [("", 17)]
    assert (saved.ir_version, saved.graph.name) == (8, "regression")
    assert [node.op_type for node in saved.graph.node] == ["Gemm", "Relu", "Gemm"]
    held = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in saved.graph.initializer}
    assert sorted(held) == ["head/bias", "head/kernel", "hidden/bias", "hidden/kernel"]
    for variable in model.weights:
        assert np.array_equal(held[variable.key], variable.value)


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    model = Sequential([Input((6,)), Dense(8, "gelu"), Dense(2, "softmax")])
    for name in ("a.onnx", "b"):
        model.export(tmp_path / name, format="onnx")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_layer_used_twice_has_its_weights_once(tmp_path: Path) -> None:
    shared = Dense(3, name="shared")

    class Twice(Layer):
        """The same layer, twice."""

        def __init__(self) -> None:
            super().__init__()
            self.part = shared

        def call(self, x: Any) -> Any:
            return self.part(nncore.activations.relu(self.part(x)))

    model = Sequential([Input((3,)), Twice()])
    check(model, uniform(5, 3), tmp_path)
    assert len(exporting.proto(model).graph.initializer) == 2


# What is refused, before anything is written.


def value_dependent(x: Any) -> Any:
    return np.sort(np.asarray(x), axis=-1)


REFUSED: dict[str, tuple[Layer, tuple[str, ...]]] = {
    "Python": (
        Lambda(value_dependent, name="sorted"),
        ("layer 1, 'sorted' (Lambda)", "calls the Python function 'Lambda'", "Made of operators, NumPy functions"),
    ),
    "an activation in Python": (
        Activation(value_dependent, name="by_value"),
        ("layer 1, 'by_value' (Activation)", "calls the Python function 'value_dependent'"),
    ),
    "draws": (Always(name="always"), ("layer 1, 'always' (Always)", "it draws random numbers (dropout)")),
    "the batch": (Centered(name="centered"), ("'centered' (Centered)", "it mixes the rows of a batch (batch_norm)")),
    "weights": (Counting(name="counting"), ("'counting' (Counting)", "it changes the weight 'counting/seen'")),
}  # fmt: skip


@pytest.mark.parametrize("title", REFUSED)
def test_refused(title: str, tmp_path: Path) -> None:
    layer, parts = REFUSED[title]
    model = Sequential([Input((3,)), Dense(3), layer])
    path = tmp_path / "model.onnx"
    path.write_text("old")
    with pytest.raises(ValueError) as caught:
        model.export(path)
    assert str(caught.value).startswith("export: layer 1, ")
    for part in parts:
        assert part in str(caught.value)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("model.onnx", "old")]


def test_more_weights_than_a_file_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Sequential([Input((3,)), Dense(4)], name="big")
    monkeypatch.setattr(exporting, "LARGEST", 63)
    with pytest.raises(ValueError, match=r"holds less than 2 GiB\. Received: 'big' with 64 bytes of weights"):
        model.export(tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_without_onnx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"pip install 'nncore\[onnx\]'"):
        Sequential([Input((3,)), Dense(4)]).export(tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Sequential([Input((3,)), Dense(4)]).export(tmp_path / "nowhere" / "model.onnx")


def test_a_model_that_is_not_built(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="isn't built"):
        Sequential([Dense(4)]).export(tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_unknown_format(tmp_path: Path) -> None:
    model = Sequential([Input((3,)), Reshape((3, 1))])
    with pytest.raises(ValueError, match="onnx"):
        model.export(tmp_path / "model", format="onx")
    with pytest.raises(ValueError, match="onnx"):
        model.export(tmp_path / "model.tflite")
    with pytest.raises(ValueError, match="Unknown option of export format 'onnx': 'opset'"):
        model.export(tmp_path / "model.onnx", opset=9)
    with pytest.raises(ValueError, match=r"'prefx'. Did you mean 'prefix'\?"):
        model.export(tmp_path / "model.c", prefx="net")
    assert not list(tmp_path.iterdir())
