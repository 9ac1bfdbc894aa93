"""Fusion: a table of rewrites of two instructions into one that does both in a single pass over memory.

A rewrite changes no bit of any result: fused kernels apply the second op to each value of the first as it is stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from nncore.program import PYTHON, Instruction, Program

REWRITES: Mapping[tuple[str, str], str] = {
    ("dense", "relu"): "dense_relu",
    ("dense", "tanh"): "dense_tanh",
    ("dense", "sigmoid"): "dense_sigmoid",
    ("dense_grad_x", "relu_grad"): "dense_grad_x_relu",
    ("dense_grad_x", "tanh_grad"): "dense_grad_x_tanh",
    ("dense_grad_x", "sigmoid_grad"): "dense_grad_x_sigmoid",
}
"""``(first, second): fused``, where second reads first's output as its first input and nothing else does. The fused op
takes first's inputs, then second's other inputs."""


HEADS: Mapping[str, tuple[str, str, str]] = {
    "softmax_cross_entropy": (
        "softmax_cross_entropy_grad", "categorical_matches", "softmax_cross_entropy_train",
    ),
    "sparse_softmax_cross_entropy": (
        "sparse_softmax_cross_entropy_grad", "sparse_matches", "sparse_softmax_cross_entropy_train",
    ),
}  # fmt: skip
"""``loss with its predictions: (its gradient, a metric of the same predictions and targets, all of them at once)``. The
metric may be missing; where anything else reads the predictions they stay what they are."""


UPDATES: Mapping[str, Mapping[str, str]] = {
    "sgd": {"dense_grad_w": "dense_grad_w_sgd", "bias_grad": "bias_grad_sgd"},
}
"""``optimizer's op: {gradient's op: op that computes the gradient and updates the weight}``. The gradient is never
stored; the fused op takes the gradient's inputs, then the weight."""


UPDATE_ROWS = 256
"""The largest batch whose weight gradients are summed in one go, as an update needs them."""


def fuse(program: Program, updates: bool = True) -> Program:
    """The program with every rewrite applied; those of ``UPDATES`` only where ``updates``."""
    fused = _fuse_heads(_fuse_pairs(program))
    return _fuse_updates(fused) if updates else fused


def _fuse_updates(program: Program) -> Program:
    """Let weights be updated where their gradients are computed, if that goes for all of them.

    A gradient comes after the last use of its weight: nothing reads a weight that is updated already. Where a user's
    function may raise in the middle of it all, the updates stay together at the end; so they do where anything else has
    to happen to the weights before them.
    """
    if not program.instructions or program.instructions[-1].op not in UPDATES:
        return program
    if any(instruction.op == PYTHON or _changes_weights(program, instruction)
           for instruction in program.instructions[:-1]):  # fmt: skip
        return program
    fused = UPDATES[program.instructions[-1].op]
    result = []
    for instruction in program.instructions[:-1]:
        gradients = [n for n in instruction.outputs if n is not None and program.buffers[n].kind == "gradient"]
        if not gradients:
            result.append(instruction)
            continue
        if instruction.op not in fused:
            return program
        weight = gradients[0].removeprefix("d_")
        inputs = (*instruction.inputs, weight)
        result.append(replace(instruction, op=fused[instruction.op], outputs=(weight,), inputs=inputs))
    return Program.of(program.name, program.buffers.values(), result)


def _changes_weights(program: Program, instruction: Instruction) -> bool:
    return any(name is not None and program.root(name).kind == "parameter" for name in instruction.outputs)


def _fuse_pairs(program: Program) -> Program:
    readers: dict[str, int] = {}
    for instruction in program.instructions:
        for name in instruction.inputs:
            if name is not None:
                root = program.root(name).name
                readers[root] = readers.get(root, 0) + 1
    result: list[Instruction] = []
    names: dict[str, str] = {}
    for second in program.instructions:
        at = _fusable(program, result, second, readers)
        if at is None:
            result.append(second)
            continue
        first = result[at]
        inputs = first.inputs + second.inputs[1:]
        attributes = {**first.attributes, **second.attributes}
        fused = REWRITES[first.op, second.op]
        result[at] = replace(first, op=fused, outputs=second.outputs, inputs=inputs, attributes=attributes)
        names |= _shorter_name(program, first, second)
    return Program.of(program.name, program.buffers.values(), [_rename(i, names) for i in result])


def _fuse_heads(program: Program) -> Program:
    """Let the end of a model compute loss, matches and gradient of its logits where all it needs is at hand."""
    result = list(program.instructions)
    for loss in program.instructions:
        parts = _head(program, loss) if loss.op in HEADS else None
        if parts is None:
            continue
        scale, gradient, metric = parts
        outputs = (gradient.outputs[0], loss.outputs[1], metric.outputs[0] if metric else None)
        inputs = (*loss.inputs, scale.inputs[0])
        result[result.index(loss)] = Instruction(HEADS[loss.op][2], outputs, inputs, loss.dims)
        result = [i for i in result if not any(i is part for part in parts)]
    return Program.of(program.name, program.buffers.values(), result)


def _head(program: Program, loss: Instruction) -> tuple[Instruction, Instruction, Instruction | None] | None:
    """The scale, gradient and metric that can be computed with ``loss``; ``None`` where they cannot."""
    gradient_op, metric_op, _ = HEADS[loss.op]
    prediction, at = loss.outputs[0], program.instructions.index(loss)
    readers = _readers(program, prediction)
    gradients = [i for i in readers if i.op == gradient_op and i.inputs[0] == prediction]
    metrics = [i for i in readers if i.op == metric_op and i.inputs == (prediction, loss.inputs[1])]
    if len(gradients) != 1 or len(metrics) > 1 or len(readers) != 1 + len(metrics):
        return None
    (gradient,) = gradients
    scales = [i for i in program.instructions if i.op == "loss_scale" and i.outputs[0] == gradient.inputs[2]]
    if len(scales) != 1 or len(_readers(program, scales[0].outputs[0])) != 1:
        return None
    weight = scales[0].inputs[0]
    written = {program.root(n).name for i in program.instructions[:at] for n in i.outputs if n is not None}
    if weight is not None and program.root(weight).name not in written:
        return None
    return scales[0], gradient, metrics[0] if metrics else None


def _readers(program: Program, name: str | None) -> list[Instruction]:
    """The instructions that read a buffer, under whatever name."""
    root = None if name is None else program.root(name).name
    return [i for i in program.instructions if root in [program.root(n).name for n in i.inputs if n is not None]]


def _shorter_name(program: Program, first: Instruction, second: Instruction) -> dict[str, str]:
    """The output of the two takes the name of first's, which is free now, where their shapes agree: y, not y.1."""
    old, new = second.outputs[0], first.outputs[0]
    assert old is not None
    assert new is not None
    viewed = any(buffer.base in (old, new) for buffer in program.buffers.values())
    same = program.buffers[old] == replace(program.buffers[new], name=old)
    return {old: new} if same and not viewed else {}


def _rename(instruction: Instruction, names: Mapping[str, str]) -> Instruction:
    outputs, inputs = (
        tuple(None if name is None else names.get(name, name) for name in operands)
        for operands in (instruction.outputs, instruction.inputs)
    )
    return replace(instruction, outputs=outputs, inputs=inputs)


def _fusable(
    program: Program, before: list[Instruction], second: Instruction, readers: Mapping[str, int]
) -> int | None:
    """The place in ``before`` of the instruction that ``second`` can be fused into, if there is one."""
    if not second.inputs or second.inputs[0] is None:
        return None
    root = program.root(second.inputs[0])
    if root.kind != "workspace" or readers[root.name] != 1:
        return None
    needed = {program.root(name).name for name in second.inputs[1:] if name is not None}
    for at in reversed(range(len(before))):
        written = {program.root(name).name for name in before[at].outputs if name is not None}
        if root.name in written:
            return at if (before[at].op, second.op) in REWRITES else None
        if needed & written:
            return None
    return None
