"""Programs, the builder, lowering, differentiation, fusion and the memory plan, each by itself."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from oracles import Run, build, random_problem, relative, same_bits, tight_plan, uniform

from nncore import backends, losses, metrics, ops
from nncore.backends import Epoch
from nncore.builder import Builder
from nncore.compiler import FlatVectors, empty, fuse, lower_evaluate, lower_predict, lower_train, plan
from nncore.compiler.autodiff import differentiate
from nncore.compiler.fuse import HEADS, REWRITES
from nncore.layers import Activation, Dense, Dropout, Flatten, Layer, ReLU, Reshape, Softmax
from nncore.optimizers import SGD, Adam
from nncore.program import Buffer, Dim, Instruction, Program
from nncore.variables import Variable


def op_names(program: Program) -> list[str]:
    return [instruction.op for instruction in program.instructions]


def train(
    layers: list[Layer], shape: tuple[int, ...], loss: Any, weighted: bool = False, chosen: Any = (),
    optimizer: Any = None,
) -> Program:  # fmt: skip
    """The training program of layers that are not built yet."""
    build(layers, shape)
    return lower_train(layers, (None, *shape), loss, list(chosen), weighted, optimizer or SGD())


# Programs.


def test_sizes() -> None:
    batched, fixed = Buffer("a", "workspace", (None, 3, 4)), Buffer("b", "parameter", (3, 4))
    assert (batched.batched, batched.per_row, batched.size(5)) == (True, 12, 60)
    assert (fixed.batched, fixed.per_row, fixed.size(5)) == (False, 12, 12)
    assert Buffer("total", "total", ()).size(9) == 1
    assert [Dim(3, True).at(4), Dim(3).at(4)] == [12, 3]
    assert [str(Dim(3, True)), str(Dim(1, True)), str(Dim(3))] == ["3*batch", "batch", "3"]
    for wrong in ({"kind": "heap"}, {"dtype": "int8"}):
        with pytest.raises(ValueError, match="unknown kind"):
            Buffer(**{"name": "a", "kind": "workspace", "shape": (), **wrong})


def small() -> tuple[dict[str, Buffer], Instruction]:
    x, y = Buffer("x", "input", (None, 3)), Buffer("y", "output", (None, 3))
    view = Buffer("v", "input", (None, 3, 1), base="x")
    return {"x": x, "y": y, "v": view}, Instruction("relu", ("y",), ("v",), {"m": Dim(3, True)})


def test_a_program_holds_the_buffers_it_uses_and_their_bases() -> None:
    buffers, relu = small()
    program = Program.of("p", [*buffers.values(), Buffer("unused", "workspace", (None,))], [relu])
    assert set(program.buffers) == {"x", "y", "v"}
    assert program.root("v").name == "x"
    assert str(program) == "program p\n  0  y[batch, 3] = relu(v)   # m=3*batch"
    program.validate()
    with pytest.raises(TypeError):
        program.buffers["z"] = buffers["x"]


def test_a_program_checks_itself() -> None:
    buffers, relu = small()
    with pytest.raises(ValueError, match="relu names an unknown buffer 'v'"):
        Program.of("p", [buffers["y"]], [relu])
    backwards = Instruction("relu", ("x",), ("y",), relu.dims)
    with pytest.raises(ValueError, match=r"instruction 0 \(relu\) reads 'y' before any instruction has written it"):
        Program.of("p", buffers.values(), [backwards]).validate()
    with pytest.raises(ValueError, match="instruction 1 writes the read-only 'x'"):
        Program.of("p", buffers.values(), [relu, backwards]).validate()


# The builder.


def test_names_and_scopes() -> None:
    b = Builder("p", training=False)
    x = b.declare("input", "x", (None, 4))
    assert b.declare("workspace", "x", (None, 4)).name == "x.1"
    with b.scope("layer"):
        (y,) = b.emit("relu", x)
        (z,) = b.emit("relu", y)
    (w,) = b.emit("add", y, z)
    assert [y.name, z.name, w.name] == ["layer/y", "layer/y.1", "y"]
    assert w.shape == (None, 4)
    assert b.producer(z).inputs == ("layer/y",)
    assert b.producer(x) is None


def test_views() -> None:
    b = Builder("p", training=False)
    x = b.declare("input", "x", (None, 2, 6))
    view = b.view(b.view(x, (None, 12)), (None, 3, 4))
    assert b.root(view) == x
    assert b.view(x, x.shape) is x
    for shape in ((None, 11), (24,), (12,)):
        with pytest.raises(ValueError, match="cannot be viewed as"):
            b.view(x, shape)


def test_leading_axes_are_rows() -> None:
    b = Builder("p", training=False)
    x, w = b.declare("input", "x", (None, 5, 3)), b.declare("frozen", "w", (3, 7))
    (y,) = b.emit("dense", x, w, None)
    assert y.shape == (None, 5, 7)
    assert b.instructions[0].dims == {"m": Dim(5, True), "k": Dim(3), "n": Dim(7)}


@pytest.mark.parametrize(
    "shapes, message",
    [
        ([(None, 3), (4, 7), None], r"dense: 'k' is \(3,\) in one operand and \(4,\) in 'b1'"),
        ([(None, 3), (3, 7), (6,)], r"dense: 'n' is \(7,\) in one operand and \(6,\)"),
        ([(None, 3), (3, 7)], r"dense takes 3 inputs \(mk, kn, n\?\). Received: 2"),
        ([(None, 3), None, None], "the operand 'kn' is required"),
        ([(None, 3), (7,), None], r"an operand of shape \(7,\) does not fit 'kn'"),
        ([(), (3, 7), None], "does not fit 'mk'"),
    ],
)
def test_operands_that_do_not_fit(shapes: list[Any], message: str) -> None:
    b = Builder("p", training=False)
    buffers = [None if s is None else b.declare("frozen", f"b{i}", s) for i, s in enumerate(shapes)]
    with pytest.raises(ValueError, match=message):
        b.emit("dense", *buffers)


def test_attributes_must_be_those_of_the_op() -> None:
    b = Builder("p", training=False)
    x = b.declare("input", "x", (None,))
    with pytest.raises(
        ValueError, match=r"scale_shift takes the attributes \('scale', 'offset'\). Received: \['scale'\]"
    ):
        b.emit("scale_shift", x, scale=1.0)
    with pytest.raises(ValueError, match=r"Unknown op: 'rleu'\. Did you mean 'relu'"):
        b.emit("rleu", x)
    b.emit("scale_shift", x, offset=2.0, scale=1.0)
    assert list(b.instructions[0].attributes.items()) == [("scale", 1.0), ("offset", 2.0)]


def test_two_variables_of_one_name() -> None:
    b = Builder("p", training=False)
    b.parameter(Variable(np.zeros(2), "w"))
    with pytest.raises(ValueError, match="Two different variables are called 'w'"):
        b.parameter(Variable(np.zeros(2), "w"))


# Lowering.


def test_layers_that_cost_nothing() -> None:
    layers = [Reshape((3, 4)), Flatten(), Activation("linear"), Dropout(0.5), Dense(2, activation="linear")]
    build(layers, (12,))
    assert op_names(lower_predict(layers, (None, 12), direct=True)) == ["dense"]
    assert op_names(lower_predict(layers, (None, 12), direct=False)) == ["gather", "dense"]


def test_predictions_go_where_the_caller_wants_them() -> None:
    for layers in ([Dense(2)], [Dense(2), Softmax()], [Dense(4), Reshape((2, 2))], [Flatten()], [Dropout(0.3)]):
        build(layers, (3,))
        program = lower_predict(layers, (None, 3), direct=True)
        assert [program.buffers[o].kind for o in program.instructions[-1].outputs] == ["output"]


def test_dropout_is_in_training_programs_only() -> None:
    layers = [Dense(4), Dropout(0.5), Dropout(0.0), Dropout(0.5, seed=3)]
    program = train(layers, (3,), losses.MeanSquaredError())
    drops = [i for i in program.instructions if i.op == "dropout"]
    assert [i.attributes for i in drops] == [
        {"rate": 0.5, "stream": 0, "seed": 0}, {"rate": 0.5, "stream": 1, "seed": 3},
    ]  # fmt: skip
    assert "dropout" not in op_names(lower_evaluate(layers, (None, 3), losses.MeanSquaredError(), [], False))


@pytest.mark.parametrize(
    "head, loss, exact",
    [
        (lambda: [Dense(3, "softmax")], losses.CategoricalCrossentropy(), "softmax_cross_entropy"),
        (lambda: [Dense(3), Softmax()], losses.CategoricalCrossentropy(), "softmax_cross_entropy"),
        (
            lambda: [Dense(3), Activation("softmax")],
            losses.SparseCategoricalCrossentropy(),
            "sparse_softmax_cross_entropy",
        ),
        (lambda: [Dense(3)], losses.SparseCategoricalCrossentropy(from_logits=True), "sparse_softmax_cross_entropy"),
        (lambda: [Dense(3)], losses.CategoricalCrossentropy(from_logits=True), "softmax_cross_entropy"),
        (lambda: [Dense(1, "sigmoid")], losses.BinaryCrossentropy(), "sigmoid_binary_cross_entropy"),
        (lambda: [Dense(2)], losses.BinaryCrossentropy(from_logits=True), "sigmoid_binary_cross_entropy"),
    ],
)
def test_cross_entropy_from_the_logits(head: Any, loss: Any, exact: str) -> None:
    program = train(head(), (4,), loss)
    names = op_names(program)
    assert exact in names
    assert f"{exact}_grad" in names
    assert not {"softmax", "softmax_grad", "sigmoid", "sigmoid_grad"} & set(names)


@pytest.mark.parametrize(
    "head, loss, plain",
    [
        (lambda: [Dense(3, "softmax"), ReLU()], losses.CategoricalCrossentropy(), "cross_entropy"),
        (lambda: [Dense(3, "sigmoid")], losses.CategoricalCrossentropy(), "cross_entropy"),
        (lambda: [Dense(3, "softmax")], losses.BinaryCrossentropy(), "binary_cross_entropy"),
        (lambda: [Dense(3, "sigmoid")], losses.SparseCategoricalCrossentropy(), "sparse_cross_entropy"),
    ],
)
def test_cross_entropy_of_probabilities(head: Any, loss: Any, plain: str) -> None:
    assert plain in op_names(train(head(), (4,), loss))


def test_metrics_see_probabilities() -> None:
    """Also where the softmax has become part of the loss."""
    layers = [Dense(3, "softmax")]
    program = train(layers, (4,), losses.CategoricalCrossentropy(), chosen=[metrics.CategoricalAccuracy()])
    by_op = {i.op: i for i in program.instructions}
    assert by_op["categorical_matches"].inputs[0] == by_op["softmax_cross_entropy"].outputs[0]


def test_weights_of_samples_with_several_rows() -> None:
    program = train([Dense(2)], (5, 3), losses.MeanSquaredError(), weighted=True)
    names = op_names(program)
    assert names.count("spread") == 1
    scale = next(i for i in program.instructions if i.op == "loss_scale")
    assert scale.dims == {"m": Dim(5, True)}
    assert "spread" not in op_names(train([Dense(2)], (3,), losses.MeanSquaredError(), weighted=True))


def test_nothing_is_computed_for_nobody() -> None:
    """No gradient of the samples, of frozen weights, or before the first weight that trains."""
    mse = losses.MeanSquaredError()
    assert "dense_grad_x" not in op_names(train([Dense(2)], (3,), mse))
    frozen_first = train([Dense(4, "tanh", trainable=False), Dense(2)], (3,), mse)
    assert Counter(op_names(frozen_first))["dense_grad_w"] == 1
    assert not {"dense_grad_x", "tanh_grad"} & set(op_names(frozen_first))
    frozen_last = train([Dense(4), Dense(2, trainable=False)], (3,), mse)
    assert Counter(op_names(frozen_last))["dense_grad_w"] == 1
    assert Counter(op_names(frozen_last))["dense_grad_x"] == 1
    assert Counter(op_names(frozen_last))["bias_grad"] == 1
    assert "sgd" not in op_names(train([Dense(2, trainable=False)], (3,), mse))
    assert op_names(train([Flatten()], (3,), mse)) == ["gather", "gather", "mean_squared_error", "add_rows"]


def test_evaluation_has_no_backward_pass() -> None:
    layers = [Dense(4, "relu"), Dense(2, "softmax")]
    build(layers, (3,))
    program = lower_evaluate(layers, (None, 3), losses.CategoricalCrossentropy(), [metrics.CategoricalAccuracy()], True)
    assert not [name for name in op_names(program) if "grad" in name]
    assert {b.kind for b in program.buffers.values()} == {"source", "workspace", "parameter", "total"}


# Differentiation.


def gradients(b: Builder, value: Buffer, variables: list[Variable], backend: str) -> dict[str, np.ndarray]:
    """The gradient of the sum of ``value`` in each variable, computed on a backend."""
    ones = Variable(np.ones(value.shape), "ones", trainable=False)
    differentiate(b, value, b.parameter(ones))
    program = b.finish()
    flat = FlatVectors(list(b.variables.values()))
    at = tight_plan(program, flat, 1)
    backends.set_backend(backend)
    run = Run.start(program, at, flat, np.zeros(0, np.float32), {}).run(backends.current(), Epoch(1))
    return {v.path: run.buffer(f"d_{v.path}", 1).reshape(v.shape).copy() for v in variables}


def test_a_value_used_twice(backend: str) -> None:
    """(x w) ∘ tanh(x w): both uses add to the gradient."""
    x, w = Variable(uniform(5, 3), "x", trainable=False), Variable(uniform(3, 4), "w")
    b = Builder("p", training=True)
    (h,) = b.emit("dense", b.parameter(x), b.parameter(w), None)
    (t,) = b.emit("tanh", h)
    (y,) = b.emit("multiply", h, t)
    found = gradients(b, y, [w], backend)["w"]
    hv = x.value.astype(np.float64) @ w.value
    want = x.value.T @ (np.tanh(hv) + hv * (1 - np.tanh(hv) ** 2))
    assert relative(found, want) < 1e-5


def test_a_weight_used_twice(backend: str) -> None:
    """x w w, through the same square matrix."""
    x, w = Variable(uniform(5, 3), "x", trainable=False), Variable(uniform(3, 3), "w")
    b = Builder("p", training=True)
    (h,) = b.emit("dense", b.parameter(x), b.parameter(w), None)
    (y,) = b.emit("dense", h, b.parameter(w), None)
    found = gradients(b, y, [w], backend)["w"]
    xv, wv, ones = x.value.astype(np.float64), w.value.astype(np.float64), np.ones((5, 3))
    assert relative(found, xv.T @ (ones @ wv.T) + (xv @ wv).T @ ones) < 1e-5


def test_one_gradient_for_two_weights(backend: str) -> None:
    """a + b: the same gradient goes to both, each into its own place; and a - a through one weight twice."""
    a, c = Variable(uniform(4, seed=1), "a"), Variable(uniform(4, seed=2), "c")
    b = Builder("p", training=True)
    (s,) = b.emit("add", b.parameter(a), b.parameter(c))
    (y,) = b.emit("multiply", s, s)
    found = gradients(b, y, [a, c], backend)
    assert np.allclose(found["a"], 2 * (a.value + c.value))
    assert same_bits(found["a"], found["c"])
    b = Builder("q", training=True)
    (twice,) = b.emit("add", b.parameter(a), b.parameter(a))
    assert np.allclose(gradients(b, twice, [a], backend)["a"], 2)


def test_the_gradient_handed_in_is_the_weight_s(backend: str) -> None:
    """Where the value is the weight itself, under another shape, the gradient is a copy of what was handed in."""
    a = Variable(uniform(6), "a")
    b = Builder("p", training=True)
    found = gradients(b, b.view(b.parameter(a), (2, 3)), [a], backend)
    assert np.array_equal(found["a"], np.ones(6))


def test_an_op_without_a_rule() -> None:
    b = Builder("p", training=True)
    p = b.parameter(Variable(uniform(4, 2), "p"))
    (match,) = b.emit("categorical_matches", p, p)
    ones = b.parameter(Variable(np.ones(4), "ones", trainable=False))
    with pytest.raises(
        ValueError, match="'categorical_matches' has no gradient rule, but a gradient has to pass through it"
    ):
        differentiate(b, match, ones)


def test_every_op_that_layers_and_losses_use_has_a_rule() -> None:
    """All but the gradients themselves, the fused forms, metrics, optimizers and what moves the caller's data."""
    without = {name for name in ops.OPS if name not in ops.GRADIENTS}
    silent = {"optim", "upkeep", "layerwise", "metrics", "counts"}
    expected = {name for name in ops.OPS if "_grad" in name}
    expected |= {n for n, op in ops.OPS.items() if op.body.__module__.rpartition(".")[2] in silent}
    expected |= {
        "dense_relu", "dense_tanh", "dense_sigmoid", "loss_scale", "spread", "where_larger", "row_order", "gather",
        "gather_csr", "gather_int", "constant", "add_penalty", "limit_norm", "softmax_cross_entropy_train",
        "sparse_softmax_cross_entropy_train", "moving_average", "hinge_targets", "known_labels", "weigh_rows",
    }  # fmt: skip
    assert without == expected


# Fusion.


def test_the_table_names_ops() -> None:
    for (first, second), fused in REWRITES.items():
        one, two, both = ops.get(first), ops.get(second), ops.get(fused)
        assert both.inputs == one.inputs + tuple(
            t if t != "m" else "".join(ops.letters_of(one.outputs[0])) for t in two.inputs[1:]
        )
        assert both.outputs == one.outputs
        assert both.attributes == one.attributes + two.attributes


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
def test_every_rewrite_happens(activation: str) -> None:
    program = train([Dense(4, activation), Dense(3, activation), Dense(2)], (5,), losses.MeanSquaredError())
    names = op_names(fuse(program, updates=False))
    assert names.count(f"dense_{activation}") == 2
    assert names.count(f"dense_grad_x_{activation}") == 2
    assert activation not in names
    assert f"{activation}_grad" not in names
    assert len(names) == len(op_names(program)) - 4
    fuse(program).validate()


HEAD_LOSSES = [
    (losses.CategoricalCrossentropy, metrics.CategoricalAccuracy),
    (losses.SparseCategoricalCrossentropy, metrics.SparseCategoricalAccuracy),
]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss, accuracy", HEAD_LOSSES)
def test_the_end_of_a_classifier_is_one_instruction(loss: Any, accuracy: Any, weighted: bool) -> None:
    for chosen in ([], [accuracy()]):
        plain = train([Dense(4), Dense(3, "softmax")], (5,), loss(), weighted, chosen)
        program = fuse(plain)
        (head,) = [i for i in program.instructions if i.op in [fused for _, _, fused in HEADS.values()]]
        assert (head.outputs[2] is not None) == bool(chosen)
        assert (head.inputs[2] is not None) == weighted
        gone = {"loss_scale", "categorical_matches", "sparse_matches", *HEADS, *(g for g, _, _ in HEADS.values())}
        assert not gone & set(op_names(program))
        program.validate()


@pytest.mark.parametrize("loss, accuracy", HEAD_LOSSES)
def test_predictions_that_are_read_elsewhere_are_kept(loss: Any, accuracy: Any) -> None:
    """A second accuracy, or another metric of the predictions, needs them."""
    for other in (accuracy(), loss.metric() if hasattr(loss, "metric") else metrics.get(loss().name)):
        names = op_names(fuse(train([Dense(3, "softmax")], (5,), loss(), chosen=[accuracy(), other])))
        assert "loss_scale" in names
        assert not {fused for _, _, fused in HEADS.values()} & set(names)


def test_weights_of_each_value_wait_for_the_loss() -> None:
    """Weights that are spread over the values of a row take its loss for their shape: they are not there before it."""
    program = train([Reshape((2, 3)), Softmax()], (6,), losses.CategoricalCrossentropy(), weighted=True)
    assert "softmax_cross_entropy_train" not in op_names(fuse(program))


def test_weights_are_updated_where_their_gradients_are_computed() -> None:
    program = train([Dense(4, "relu"), Dense(3, use_bias=False), Dense(2)], (5,), losses.MeanSquaredError())
    names = op_names(fuse(program))
    assert names.count("dense_grad_w_sgd") == 3
    assert names.count("bias_grad_sgd") == 2
    assert not {"sgd", "dense_grad_w", "bias_grad"} & set(names)
    assert not any(b.kind == "gradient" for b in fuse(program).buffers.values())
    fuse(program).validate()
    for instruction, later in pairwise(fuse(program).instructions):
        if instruction.op.endswith("_sgd"):
            assert instruction.outputs[0] not in later.inputs


def test_updates_wait_where_a_gradient_has_another_source() -> None:
    program = fuse(train([Dense(4), Dense(2)], (5,), losses.MeanSquaredError(), optimizer=Adam()))
    assert op_names(program)[-1] == "adam"
    assert "dense_grad_w" in op_names(program)


def test_fusion_again_changes_nothing() -> None:
    for number in range(20):
        once = fuse(random_problem(number).program())
        assert str(fuse(once)) == str(once)


def test_what_somebody_else_reads_is_not_fused_away() -> None:
    b = Builder("p", training=False)
    x, w = b.declare("input", "x", (None, 3)), b.declare("frozen", "w", (3, 3))
    (h,) = b.emit("dense", x, w, None)
    (y,) = b.emit("relu", h)
    b.emit_to("add", (b.declare("output", "out", (None, 3)),), y, h)
    assert op_names(fuse(b.finish())) == ["dense", "relu", "add"]


def test_what_the_caller_gets_is_not_fused_away() -> None:
    b = Builder("p", training=False)
    x, w = b.declare("input", "x", (None, 3)), b.declare("frozen", "w", (3, 3))
    (out,) = b.emit_to("dense", (b.declare("output", "out", (None, 3)),), x, w, None)
    b.emit_to("relu", (b.declare("output", "other", (None, 3)),), out)
    assert op_names(fuse(b.finish())) == ["dense", "relu"]


def test_nothing_moves_before_what_it_needs() -> None:
    """relu_grad needs y, which is written between the product and it: the pair stays apart."""
    b = Builder("p", training=False)
    dy, w = b.declare("input", "dy", (None, 3)), b.declare("frozen", "w", (3, 3))
    (dx,) = b.emit("dense_grad_x", dy, w)
    (y,) = b.emit("tanh", dy)
    b.emit_to("relu_grad", (b.declare("output", "out", (None, 3)),), dx, y)
    assert op_names(fuse(b.finish())) == ["dense_grad_x", "tanh", "relu_grad"]


def test_the_value_must_be_the_first_input() -> None:
    b = Builder("p", training=False)
    dy, w = b.declare("input", "dy", (None, 3)), b.declare("frozen", "w", (3, 3))
    (dx,) = b.emit("dense_grad_x", dy, w)
    b.emit_to("relu_grad", (b.declare("output", "out", (None, 3)),), dy, dx)
    assert op_names(fuse(b.finish())) == ["dense_grad_x", "relu_grad"]


def test_across_a_view() -> None:
    program = train(
        [Dense(6), Reshape((2, 3)), Activation("relu"), Flatten(), Dense(2)], (4,), losses.MeanSquaredError()
    )
    names = op_names(fuse(program))
    assert "dense_relu" in names
    assert "dense_grad_x_relu" in names


# The plan.


def living(program: Program) -> list[set[str]]:
    """For each instruction the buffers of the workspace that hold something then, worked out from first to last use."""
    uses: dict[str, list[int]] = {}
    for i, instruction in enumerate(program.instructions):
        for name in instruction.operands:
            if name is not None and program.root(name).kind == "workspace":
                uses.setdefault(program.root(name).name, []).append(i)
    return [{n for n, at in uses.items() if min(at) <= i <= max(at)} for i in range(len(program.instructions))]


@pytest.mark.parametrize("number", range(40))
def test_no_two_living_buffers_share_memory(number: int) -> None:
    problem = random_problem(number)
    for program in (problem.program(), fuse(problem.program())):
        at = tight_plan(program, problem.flat, problem.batch)
        for alive in living(program):
            spans = sorted((at.offsets[n], at.offsets[n] + program.buffers[n].size(at.batch)) for n in alive)
            for (_, end), (start, _) in pairwise(spans):
                assert end <= start
            assert not spans or spans[-1][1] <= at.workspace
        assert all(at.offsets[n] % 16 == 0 for n, b in program.buffers.items() if b.kind == "workspace")
        sizes = [program.buffers[n].size(at.batch) for n in set().union(*living(program))]
        assert at.workspace <= sum(-(-size // 16) * 16 for size in sizes)


def test_memory_is_shared_where_it_can_be() -> None:
    layers: list[Layer] = [Dense(64, "tanh", name=f"d{i}") for i in range(20)]
    build(layers, (64,))
    program = lower_predict(layers, (None, 64), direct=True)
    assert plan(program, dict.fromkeys(program.buffers, 0), 32).workspace <= 3 * 32 * 64


def test_views_lie_where_their_base_lies() -> None:
    program = train([Dense(6, "tanh"), Reshape((2, 3)), Dense(2)], (4,), losses.MeanSquaredError())
    at = plan(program, dict.fromkeys(program.buffers, 0), 5)
    for name in program.buffers:
        if program.root(name).kind == "workspace":
            assert at.offsets[name] == at.offsets[program.root(name).name]


def test_gradients_lie_as_their_weights_do() -> None:
    layers = [Dense(3, name="a"), Dense(2, name="b", trainable=False), Dense(1, name="c")]
    build(layers, (5,))
    flat = FlatVectors([v for layer in layers for v in layer.weights])
    program = lower_train(layers, (None, 5), losses.MeanSquaredError(), [metrics.MeanAbsoluteError()], False, Adam())
    at = plan(program, flat.offsets, 4)
    assert flat.offsets == {"a/kernel": 0, "a/bias": 16, "b/kernel": 0, "b/bias": 16, "c/kernel": 32, "c/bias": 48}
    assert (flat.parameter.size, flat.frozen.size, flat.gradient.size) == (64, 32, 64)
    for name in ("a/kernel", "a/bias", "c/kernel", "c/bias"):
        assert at.offsets[f"d_{name}"] == at.offsets[name] == flat.offsets[name]
    assert [at.offsets[n] for n in ("parameters", "gradients", "momentum", "velocity")] == [0, 0, 0, 64]
    assert list(at.totals) == ["total/loss", "total/mean_absolute_error/total"]
    assert [at.offsets[n] for n in at.totals] == [0, 1]


def test_flat_vectors_take_in_and_give_back() -> None:
    variables = [
        Variable(uniform(3, 5, seed=1), "a"),
        Variable(uniform(2, seed=2), "b"),
        Variable(uniform(7), "c", False),
    ]
    values = [v.numpy() for v in variables]
    flat = FlatVectors(variables)
    assert all(same_bits(v.numpy(), value) for v, value in zip(variables, values, strict=True))
    assert all(v.value.base is not None and np.shares_memory(v.value, vector) for v, vector in
               zip(variables, (flat.parameter, flat.parameter, flat.frozen), strict=True))  # fmt: skip
    assert np.all(flat.parameter[15:16] == 0)
    assert np.all(flat.parameter[18:] == 0)
    variables[0].assign(np.ones((3, 5)))
    assert np.all(flat.parameter[:15] == 1)
    assert flat.holds(variables)
    assert not flat.holds(variables[:2])
    assert not flat.holds(variables[::-1])
    other = FlatVectors(variables[:1])
    variables[0].assign(np.full((3, 5), 2.0))
    assert np.all(flat.parameter[:15] == 1)
    flat.adopt()
    assert np.all(flat.parameter[:15] == 2)
    assert np.shares_memory(variables[0].value, flat.parameter)
    assert not np.shares_memory(variables[0].value, other.parameter)
    variables[2].trainable = True
    assert not flat.holds(variables)


def test_memory_starts_at_cache_lines() -> None:
    for size in (1, 16, 1000):
        for dtype in (np.float32, np.float64):
            memory = empty(size, dtype)
            assert memory.ctypes.data % 64 == 0
            assert (memory.size, memory.dtype) == (size, dtype)
