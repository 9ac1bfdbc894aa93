"""Whole training steps, native against NumPy, fused against unfused, one instruction set against another.

The random models of oracles.py run from the same start over memory of their own, which is NaN wherever nothing was
written: a kernel that reads what no instruction wrote shows, and one that writes beside its output breaks a fence.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from oracles import (
    FUSED_ISAS,
    ISAS,
    Problem,
    Run,
    fences,
    on_isa,
    random_problem,
    relative,
    same_bits,
    spread,
    tight_plan,
)

from nncore.backends.numpy import NumpyBackend
from nncore.compiler import fuse
from nncore.ops import Shuffle
from nncore.program import Program

PROBLEMS = range(60)
NATIVE_PROBLEMS = range(0, 60, 2)


def spread_run(problem: Problem, program: Program) -> Run:
    """A run in which no two buffers share memory, with fences between."""
    return problem.start(program, spread(program, tight_plan(program, problem.flat, problem.batch)))


def tight_run(problem: Problem, program: Program) -> Run:
    """A run over the memory that models use."""
    return problem.start(program, tight_plan(program, problem.flat, problem.batch))


def outlive(run: Run) -> dict[str, np.ndarray]:
    """What a run leaves behind; no gradients where weights are updated as their gradients are computed."""
    kept = {"weights": run.flat.parameter, "averages": run.flat.frozen, "state": run.state, "totals": run.totals}
    if any(buffer.kind == "gradient" for buffer in run.program.buffers.values()):
        kept["gradients"] = run.flat.gradient
    return kept


@pytest.mark.parametrize("number", PROBLEMS)
def test_every_buffer_of_a_step(number: int) -> None:
    problem = random_problem(number)
    program = fuse(problem.program())
    epoch = problem.epoch(first_step=(problem.optimizer.gradient_accumulation_steps or 1) - 1)
    reference = spread_run(problem, program).run(NumpyBackend(), epoch, 0, 1)
    rows = min(problem.batch, len(problem.x))
    for isa in ISAS:
        run = spread_run(problem, program).run(on_isa(isa), epoch, 0, 1)
        for name in run.buffers():
            got, want = run.buffer(name, rows), reference.buffer(name, rows)
            if program.buffers[name].dtype == "int32" or name.endswith("mask"):
                assert np.array_equal(got, want), name
            else:
                assert relative(got, want, least=3e-2) <= 1e-5, (isa, name)  # 3e-7 of sums of values of about 1
        outside = fences(program, run.at)
        assert np.isnan(run.workspace[outside]).all(), isa


@pytest.mark.parametrize("number", PROBLEMS)
def test_weights_after_epochs(number: int) -> None:
    """Three epochs in another order each, tails included, over the memory that models use."""
    problem = random_problem(number)
    program = fuse(problem.program())
    whole, batch = len(problem.x), problem.batch
    orders = [Shuffle(number, whole), Shuffle(number, batch), Shuffle(number + 1, whole)]
    reference, *others = [
        run_epochs(problem, program, backend, orders) for backend in (NumpyBackend(), *(on_isa(isa) for isa in ISAS))
    ]
    for isa, run in zip(ISAS, others, strict=True):
        assert relative(run.flat.parameter, reference.flat.parameter) <= 1e-5, isa
        assert relative(run.flat.frozen, reference.flat.frozen) <= 1e-5, isa
        assert relative(run.totals, reference.totals) <= 1e-5, isa
    fused = [run for isa, run in zip(ISAS, others, strict=True) if isa in FUSED_ISAS]
    for run in fused[1:]:
        for name, values in outlive(run).items():
            assert same_bits(values, outlive(fused[0])[name]), name


def run_epochs(problem: Problem, program: Program, backend, orders: list[Shuffle]) -> Run:
    run = tight_run(problem, program)
    for number, order in enumerate(orders):
        run.run(backend, problem.epoch(order, number * problem.steps))
    return run


@pytest.mark.parametrize("isa", ISAS)
def test_fused_is_unfused_bit_for_bit(isa: str) -> None:
    """Also on memory with nothing shared: the planner lets no two living buffers overlap."""
    rewritten: Counter[str] = Counter()
    for number in NATIVE_PROBLEMS:
        problem = random_problem(number)
        plain = problem.program()
        fused = fuse(plain)
        ops = Counter(i.op for i in fused.instructions)
        ops.subtract(Counter(i.op for i in plain.instructions))
        rewritten += Counter({op: n for op, n in ops.items() if n > 0})
        runs = [
            run(problem, program).run(on_isa(isa), problem.epoch())
            for program, run in ((plain, tight_run), (plain, spread_run), (fused, tight_run), (fused, spread_run))
        ]
        for other in runs[1:]:
            for name, values in outlive(other).items():
                assert same_bits(values, outlive(runs[0])[name]), (number, name)
    assert {"dense_relu", "dense_tanh", "dense_sigmoid"} <= set(rewritten)
    assert {f"dense_grad_x_{f}" for f in ("relu", "tanh", "sigmoid")} <= set(rewritten)


@pytest.mark.parametrize("number", NATIVE_PROBLEMS)
def test_numpy_on_shared_memory(number: int) -> None:
    """The reference gives the same bits whether buffers share memory or not, fused or not."""
    problem = random_problem(number)
    plain = problem.program()
    runs = [
        run(problem, program).run(NumpyBackend(), problem.epoch())
        for program, run in ((plain, spread_run), (plain, tight_run), (fuse(plain), tight_run))
    ]
    for other in runs[1:]:
        for name, values in outlive(other).items():
            assert same_bits(values, outlive(runs[0])[name]), name


@pytest.mark.parametrize("number", PROBLEMS)
def test_padding_between_weights_stays_zero(number: int) -> None:
    problem = random_problem(number)
    program = fuse(problem.program())
    inside = np.zeros(problem.flat.parameter.size, bool)
    for layer in problem.layers:
        for v in layer.weights:
            start = problem.flat.offsets[v.path]
            inside[start : start + v.size] = True
    run = tight_run(problem, program)
    before = run.state.copy()
    run.run(on_isa(None), problem.epoch())
    assert np.all(run.flat.parameter[~inside] == 0)
    between = np.tile(~inside, run.state.size // max(1, inside.size))
    assert np.all(run.flat.gradient[~inside] == 0)
    assert np.all((run.state == before)[between] | (before[between] > 0))  # Ftrl's accumulators begin above 0
    assert not np.isnan(run.flat.parameter).any()


@pytest.mark.parametrize("isa", ISAS)
def test_dropout_masks_are_the_reference_s(isa: str) -> None:
    """At every step of an epoch, also of the tail."""
    found = 0
    for number in PROBLEMS:
        problem = random_problem(number)
        program = fuse(problem.program())
        masks = [name for name in program.buffers if name.endswith("mask")]
        if not masks:
            continue
        at = spread(program, tight_plan(program, problem.flat, problem.batch))
        for step in range(problem.steps):
            rows = min(problem.batch, len(problem.x) - step * problem.batch)
            pair = []
            for backend in (NumpyBackend(), on_isa(isa)):
                run = problem.start(program, at)
                run.run(backend, problem.epoch(), step, step + 1)
                pair.append(run)
            for name in masks:
                found += 1
                assert same_bits(pair[0].buffer(name, rows), pair[1].buffer(name, rows))
    assert found > 10
