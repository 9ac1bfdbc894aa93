"""The NumPy definitions of the ops: gradients against finite differences in float64, known answers, values by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import cosh, exp, log, tanh
from typing import Any

import numpy as np
import pytest
from activation_table import ACTIVATIONS
from cases import SETS

from nncore.ops import GRADIENTS, OPS, Call, Step, bind, get, letters_of
from nncore.ops.losses import EPSILON
from nncore.ops.random import philox, random_words
from nncore.program import Buffer

Array = np.ndarray[Any, Any]

STEP = Step(rows=np.array([2, 0, 2]), number=7, seed=99, rates=np.array([0.1, 0.75, 0.5]))


def run(name: str, *inputs: Array | None, **attributes: float) -> list[Array]:
    """The outputs of an op's definition, in float64 where they are real."""
    op = get(name)
    _, axes = bind(op, [None if x is None else Buffer("x", "input", x.shape) for x in inputs], attributes)
    outputs = []
    for i, term in enumerate(op.outputs):
        shape = [n or 0 for letter in letters_of(term) for n in axes[letter]]
        outputs.append(np.zeros(shape, np.int32 if op.dtypes.get(f"out{i}") == "int32" else np.float64))
    extra: dict[str, Any] = {"step": STEP} if op.step else {}
    op.body(*outputs, *inputs, **attributes, **extra)
    return outputs


def differentiate(
    name: str, inputs: Sequence[Array | None], wanted: Sequence[bool], d_outputs: Sequence[Array | None],
    attributes: dict[str, float],
) -> list[Array | None]:  # fmt: skip
    """The gradients of the inputs by the op's rule, each op that it emits executed on the spot."""
    memory: dict[str, Array] = {}

    def place(array: Array | None) -> Buffer | None:
        if array is None:
            return None
        memory[f"b{len(memory)}"] = array
        return Buffer(f"b{len(memory) - 1}", "workspace", array.shape)

    def emit(op: str, *operands: Buffer | None, **attributes: float) -> tuple[Any, ...]:
        arrays = [None if b is None else memory[b.name] for b in operands]
        return tuple(place(y) for y in run(op, *arrays, **attributes))

    outputs: tuple[Any, ...] = tuple(place(y) for y in run(name, *inputs, **attributes))
    call = Call(outputs, tuple(place(x) for x in inputs), attributes, tuple(wanted))
    found = GRADIENTS[name](emit, call, [place(d) for d in d_outputs])
    assert len(found) == len(inputs)
    return [None if b is None else memory[b.name] for b in found]


def finite_differences(
    name: str, inputs: Sequence[Array | None], i: int, d_outputs: Sequence[Array | None], attributes: dict[str, float]
) -> Array:
    """The gradient of sum_outputs d_output output in input i, by central differences."""

    def objective() -> float:
        outputs = run(name, *inputs, **attributes)
        return sum(float(np.sum(d * y)) for d, y in zip(d_outputs, outputs, strict=True) if d is not None)

    x = inputs[i]
    assert x is not None
    gradient = np.zeros_like(x)
    step = 1e-5
    for at in np.ndindex(*x.shape):
        middle = x[at]
        x[at] = middle + step
        above = objective()
        x[at] = middle - step
        gradient[at] = (above - objective()) / (2 * step)
        x[at] = middle
    return gradient


@dataclass
class Differentiable:
    """Inputs at which an op is smooth; those of ``constant`` have no gradient, the outputs of ``silent`` pass none."""

    inputs: list[Array | None]
    attributes: dict[str, float] = field(default_factory=dict)
    constant: tuple[int, ...] = ()
    silent: tuple[int, ...] = ()


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng([seed, *shape]).normal(0, 1.5, shape)


def away(*shape: int, kinks: Sequence[float], seed: int = 0) -> Array:
    """Normal values that keep 0.01 away from the kinks of a function."""
    x = normal(*shape, seed=seed)
    for kink in kinks:
        x = np.where(np.abs(x - kink) < 0.01, kink + 0.01, x)
    return x


def inner(*shape: int, seed: int = 0) -> Array:
    """Probabilities that no loss clips."""
    return np.random.default_rng([seed, *shape]).uniform(0.05, 0.95, shape)


def plus(*shape: int, seed: int = 0) -> Array:
    """Values of at least 0.1."""
    return np.abs(normal(*shape, seed=seed)) + 0.1


LABELS = np.array([2, 0, 3, 3, 1], np.int32)
SIGNS = np.array([[-1, 1, 1, -1], [1, 1, 0.5, -1], [-1, -1, -1, -1], [1, 1, 1, 1], [0.5, -1, 1, -1]])
SOFT = np.array([[0, 0, 1, 0], [0.25, 0.5, 0, 0.25], [0, 0, 0, 2], [0, 0, 0, 0], [0.1, 0.2, 0.3, 0.4]])
BINARY = np.array([[0, 1, 1, 0], [1, 1, 0, 0.25], [0, 0, 0, 0], [1, 1, 1, 1], [0.5, 0, 1, 0]], float)

DIFFERENTIABLE = {
    "dense": [
        Differentiable([normal(5, 3), normal(3, 4), normal(4)]),
        Differentiable([normal(5, 3), normal(3, 4), None]),
        Differentiable([normal(1, 1), normal(1, 1), normal(1)]),
    ],
    **{
        name: [Differentiable([away(40, kinks=row.kinks(**kw))], kw) for kw in row.attributes]
        for name, row in ACTIVATIONS.items()
    },
    "scale_shift": [Differentiable([normal(20)], {"scale": -0.7, "offset": 3.0})],
    "add": [Differentiable([normal(20), normal(20, seed=1)])],
    "multiply": [Differentiable([normal(20), normal(20, seed=1)])],
    "embedding": [Differentiable([LABELS, normal(4, 3)], constant=(0,))],
    "mask_steps": [Differentiable([away(20, kinks=[0]).reshape(5, 4)], {"value": 0.0}, silent=(1,))],
    "swap": [Differentiable([normal(2, 3, 4, 5)]), Differentiable([normal(1, 4, 2, 1)])],
    "repeat": [Differentiable([normal(3, 4)], {"n": 5.0})],
    "sum_steps": [Differentiable([normal(3, 5, 4)])],
    "subtract": [Differentiable([normal(20), normal(20, seed=1)])],
    "divide": [Differentiable([normal(20), away(20, kinks=[0], seed=1) + 3])],
    "quotient_of": [Differentiable([inner(20)], {"numerator": -1.5})],
    "clip": [Differentiable([away(20, kinks=[-0.5, 1.0])], {"low": -0.5, "high": 1.0})],
    "maximum": [Differentiable([normal(20), normal(20, seed=1)])],
    "minimum": [Differentiable([normal(20), normal(20, seed=1)])],
    "sqrt": [Differentiable([inner(20)])],
    "log": [Differentiable([inner(20)])],
    "absolute": [Differentiable([away(20, kinks=[0])])],
    "row_add": [Differentiable([normal(5, 4), normal(4)])],
    "row_multiply": [Differentiable([normal(5, 4), normal(4)])],
    "row_sum": [Differentiable([normal(5, 4)]), Differentiable([normal(3, 1)])],
    "penalty": [
        Differentiable([away(20, kinks=[0])], {"l1": l1, "l2": l2}) for l1, l2 in [(0.3, 0.0), (0.0, 0.2), (0.3, 0.2)]
    ],
    "per_sample": [Differentiable([normal(), normal(4, 3)], constant=(1,))],
    "off_diagonal": [Differentiable([normal(3, 3)]), Differentiable([normal(3, 5)])],
    "dropout": [Differentiable([normal(200)], {"rate": 0.4, "stream": 2.0, "seed": 5.0}, silent=(1,))],
    "batch_norm": [
        Differentiable([normal(6, 3), normal(3), normal(3, seed=1)], {"epsilon": 1e-3}, silent=(1, 2)),
        Differentiable([normal(7, 2), None, None], {"epsilon": 0.5}, silent=(1, 2)),
        Differentiable([normal(1, 2), normal(2), None], {"epsilon": 0.5}, silent=(1, 2)),
    ],
    "inverse_deviation": [
        Differentiable([inner(20), normal(20)], {"epsilon": 0.1, "least": 0.6}, constant=(0,)),
    ],
    "affine": [
        Differentiable([normal(6, 3), normal(3), normal(3, seed=1), normal(3, seed=2)], constant=(1,)),
        Differentiable([normal(6, 3), None, normal(3), None]),
        Differentiable([normal(6, 3), normal(3), None, normal(3)], constant=(1,)),
    ],
    "layer_norm": [
        Differentiable([normal(4, 5), normal(5), normal(5, seed=1)], {"epsilon": 1e-3}, silent=(1, 2)),
        Differentiable([normal(4, 5), None, None], {"epsilon": 0.5}, silent=(1, 2)),
        Differentiable([normal(4, 1), normal(1), None], {"epsilon": 0.5}, silent=(1, 2)),
    ],
    "rms_norm": [
        Differentiable([normal(4, 5), normal(5)], {"epsilon": 1e-6}, silent=(1,)),
        Differentiable([normal(4, 1), normal(1)], {"epsilon": 0.5}, silent=(1,)),
    ],
    "unit_norm": [Differentiable([normal(4, 5)], silent=(1,))],
    "spatial_dropout": [Differentiable([normal(6, 3, 7)], {"rate": 0.4, "stream": 2.0, "seed": 5.0}, silent=(1,))],
    "batch_dropout": [Differentiable([normal(6, 21)], {"rate": 0.4, "stream": 2.0, "seed": 5.0}, silent=(1,))],
    "gaussian_noise": [Differentiable([normal(70)], {"stddev": 0.4, "stream": 2.0, "seed": 5.0})],
    "gaussian_dropout": [Differentiable([normal(70)], {"stddev": 0.4, "stream": 2.0, "seed": 5.0}, silent=(1,))],
    "softmax": [Differentiable([normal(5, 4)]), Differentiable([normal(3, 1)])],
    "log_softmax": [Differentiable([normal(5, 4)]), Differentiable([normal(3, 1)])],
    "sparsemax": [Differentiable([normal(5, 4)]), Differentiable([0.3 * normal(5, 4)]), Differentiable([normal(3, 1)])],
    "glu": [Differentiable([normal(5, 2, 4)]), Differentiable([normal(3, 2, 1)])],
    "prelu": [
        Differentiable([away(5, 4, kinks=[0]), normal(4)]),
        Differentiable([away(5, 1, kinks=[0]), normal(1)]),
    ],
    "softmax_cross_entropy": [Differentiable([normal(5, 4), SOFT], constant=(1,), silent=(0,))],
    "sparse_softmax_cross_entropy": [Differentiable([normal(5, 4), LABELS], constant=(1,), silent=(0,))],
    "sigmoid_binary_cross_entropy": [Differentiable([away(5, 4, kinks=[0]), BINARY], constant=(1,), silent=(0,))],
    "mean_squared_error": [Differentiable([normal(5, 4), normal(5, 4, seed=1)], constant=(1,))],
    "mean_absolute_error": [Differentiable([away(5, 4, kinks=[0, 1, 0.5, 0.25]), BINARY], constant=(1,))],
    "mean_absolute_percentage_error": [Differentiable([away(5, 4, kinks=[0, 1, 0.5, 0.25]), BINARY], constant=(1,))],
    "mean_squared_logarithmic_error": [Differentiable([away(5, 4, kinks=[0]), plus(5, 4)], constant=(1,))],
    "huber": [
        Differentiable([normal(5, 4), normal(5, 4, seed=1)], {"delta": delta}, constant=(1,)) for delta in (1.0, 0.3)
    ],
    "log_cosh": [Differentiable([normal(5, 4), normal(5, 4, seed=1)], constant=(1,))],
    "poisson": [Differentiable([plus(5, 4), plus(5, 4, seed=1)], constant=(1,))],
    "cosine_similarity": [
        Differentiable([normal(5, 4), normal(5, 4, seed=1)], constant=(1,)),
        Differentiable([normal(5, 4), SOFT], constant=(1,)),
    ],
    "binary_focal_cross_entropy": [
        Differentiable([inner(5, 4), BINARY], {"gamma": g, "one": a, "zero": b}, constant=(1,))
        for g, a, b in [(2.0, 1.0, 1.0), (0.0, 0.25, 0.75), (1.5, 0.4, 0.6)]
    ],
    "focal_cross_entropy": [
        Differentiable([inner(5, 4), SOFT], {"gamma": g, "alpha": a}, constant=(1,))
        for g, a in [(2.0, 0.25), (0.0, 1.0), (1.5, 0.5)]
    ],
    "generalized_cross_entropy": [Differentiable([inner(5, 4), LABELS], {"q": q}, constant=(1,)) for q in (0.5, 0.9)],
    "kl_divergence": [Differentiable([inner(5, 4), SOFT], constant=(1,))],
    "hinge": [Differentiable([away(5, 4, kinks=[-1, 1, 2]), SIGNS], constant=(1,))],
    "squared_hinge": [Differentiable([normal(5, 4), SIGNS], constant=(1,))],
    "categorical_hinge": [Differentiable([normal(5, 4), SOFT], constant=(1,))],
    "overlap": [Differentiable([inner(5, 4), BINARY], attributes, constant=(1,)) for attributes in SETS],
    "batch_overlap": [Differentiable([inner(5, 4), BINARY], attributes, constant=(1,)) for attributes in SETS],
    "binary_cross_entropy": [Differentiable([inner(5, 4), BINARY], constant=(1,))],
    "cross_entropy": [Differentiable([inner(5, 4), SOFT], constant=(1,))],
    "sparse_cross_entropy": [Differentiable([inner(5, 4), LABELS], constant=(1,))],
}


def test_every_gradient_is_checked() -> None:
    assert sorted(DIFFERENTIABLE) == sorted(GRADIENTS)


@pytest.mark.parametrize(
    "name, case",
    [pytest.param(n, c, id=f"{n}-{i}") for n, cases in DIFFERENTIABLE.items() for i, c in enumerate(cases)],
)
def test_gradient(name: str, case: Differentiable) -> None:
    """The rule agrees with finite differences to 1e-6, and gives only the gradients that are wanted."""
    outputs = run(name, *case.inputs, **case.attributes)
    d_outputs = [None if i in case.silent else normal(*y.shape, seed=8) for i, y in enumerate(outputs)]
    can = [x is not None and i not in case.constant for i, x in enumerate(case.inputs)]
    found = differentiate(name, case.inputs, can, d_outputs, case.attributes)
    for i, gradient in enumerate(found):
        if not can[i]:
            assert gradient is None
            continue
        want = finite_differences(name, case.inputs, i, d_outputs, case.attributes)
        assert gradient is not None
        assert np.abs(gradient - want).max() <= 1e-6 * max(np.abs(want).max(), 1e-3), f"input {i}"
        alone = differentiate(name, case.inputs, [j == i for j in range(len(can))], d_outputs, case.attributes)
        np.testing.assert_array_equal(alone[i], gradient)


@pytest.mark.parametrize(
    "name", [n for n in GRADIENTS if n.endswith("softmax_cross_entropy") or n.startswith("sigmoid_")]
)
def test_no_gradient_through_the_probabilities_of_a_fused_loss(name: str) -> None:
    targets = LABELS if name.startswith("sparse") else SOFT
    with pytest.raises(ValueError, match="through the loss only"):
        differentiate(name, [normal(5, 4), targets], [True, False], [normal(5, 4), normal(5)], {})


@pytest.mark.parametrize("name", ["batch_norm", "layer_norm", "rms_norm", "unit_norm"])
def test_no_gradient_through_the_statistics_of_a_norm(name: str) -> None:
    inputs = [normal(4, 3), normal(3), normal(3)][: len(get(name).inputs)]
    attributes = {} if name == "unit_norm" else {"epsilon": 1e-3}
    d_outputs = [normal(*y.shape) for y in run(name, *inputs, **attributes)]
    with pytest.raises(ValueError, match="through y only"):
        differentiate(name, inputs, [True] * len(inputs), d_outputs, attributes)


def test_nobody_trains_given_statistics() -> None:
    with pytest.raises(ValueError, match="no gradient in shift"):
        differentiate("affine", [normal(4, 3), normal(3), None, None], [True, True, False, False], [normal(4, 3)], {})
    with pytest.raises(ValueError, match="no gradient in variance"):
        differentiate(
            "inverse_deviation", [inner(3), normal(3)], [True, True], [normal(3)], {"epsilon": 0.1, "least": 0.0}
        )


def test_fused_ops_are_their_parts() -> None:
    x, w, b, dy, y = normal(5, 3), normal(3, 4), normal(4), normal(5, 4), normal(5, 3, seed=1)
    for name in ("relu", "tanh", "sigmoid"):
        for bias in (b, None):
            (apart,) = run(name, *run("dense", x, w, bias))
            np.testing.assert_array_equal(run(f"dense_{name}", x, w, bias)[0], apart)
        (apart,) = run(f"{name}_grad", *run("dense_grad_x", dy, w), y)
        np.testing.assert_array_equal(run(f"dense_grad_x_{name}", dy, w, y)[0], apart)
    for name, weights, inputs in [("dense_grad_w", w, (x, dy)), ("bias_grad", b, (dy,))]:
        apart, together = weights.copy(), weights.copy()
        get("sgd").body(apart, apart, *run(name, *inputs), step=STEP)
        get(f"{name}_sgd").body(together, *inputs, together, step=STEP)
        assert not np.array_equal(together, weights)
        np.testing.assert_array_equal(together, apart)


@pytest.mark.parametrize(
    "counter, key, words",
    [
        ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_philox_known_answers(counter: str, key: str, words: str) -> None:
    """The known answers that the Random123 distribution gives for philox4x32-10."""
    c, k = ([int(word, 16) for word in text.split()] for text in (counter, key))
    block = np.array([c[1] << 32 | c[0]], np.uint64)
    found = philox(block, step=c[2], stream=c[3], seed=k[1] << 32 | k[0])
    assert [f"{word:08x}" for word in found[:, 0]] == words.split()


def test_random_words_are_words_of_blocks() -> None:
    """Element e is word (e mod 64) // 16 of block 16 (e // 64) + e mod 16, and does not depend on the size."""
    words = random_words(200, 5, 6, 7)
    for e in (0, 1, 15, 16, 63, 64, 130, 199):
        block = philox(np.array([16 * (e // 64) + e % 16]), 5, 6, 7)
        assert words[e] == block[e % 64 // 16, 0]
    np.testing.assert_array_equal(random_words(77, 5, 6, 7), words[:77])
    others = [random_words(200, *key) for key in [(6, 6, 7), (5, 7, 7), (5, 6, 8), (5, 6, 7 + 2**40)]]
    assert all((words == other).mean() < 0.05 for other in others)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_dropout_drops_at_its_rate(rate: float) -> None:
    x = np.ones(100_000)
    y, mask = run("dropout", x, rate=rate, stream=1.0, seed=2.0)
    np.testing.assert_array_equal(y, mask)
    dropped = (y == 0).mean()
    assert abs(dropped - rate) <= 5 * (rate * (1 - rate) / x.size) ** 0.5
    np.testing.assert_array_equal(y[y != 0], 1 / (1 - rate) if rate < 1 else [])


P = np.array([[0.2, 0.3, 0.5], [0.1, 0.6, 0.1]])
T = np.array([[0.0, 1.0, 0.0], [0.5, 0.5, 0.0]])
Z = np.array([[0.0, 1.0, -1.0]])
E1, E0, E2 = exp(0.0), exp(-1.0), exp(-2.0)
LOW, HIGH = -log(EPSILON), -log(1 - EPSILON)


@pytest.mark.parametrize(
    "name, inputs, attributes, outputs",
    [
        ("mean_squared_error", [P, T], {}, [[(0.04 + 0.49 + 0.25) / 3, (0.16 + 0.01 + 0.01) / 3]]),
        ("mean_absolute_error", [P, T], {}, [[(0.2 + 0.7 + 0.5) / 3, (0.4 + 0.1 + 0.1) / 3]]),
        (
            "binary_cross_entropy", [P, T], {},
            [[-(log(0.8) + log(0.3) + log(0.5)) / 3,
              -(0.5 * log(0.1) + 0.5 * log(0.9) + 0.5 * log(0.6) + 0.5 * log(0.4) + log(0.9)) / 3]],
        ),
        ("binary_cross_entropy", [np.array([[0.0], [1.0]]), np.array([[1.0], [1.0]])], {}, [[LOW, HIGH]]),
        ("cross_entropy", [P, T], {}, [[-log(0.3), -0.5 * log(0.1 / 0.8) - 0.5 * log(0.6 / 0.8)]]),
        ("cross_entropy", [np.array([[0.0, 2.0]] * 2), np.eye(2)], {}, [[LOW, HIGH]]),
        ("sparse_cross_entropy", [P, np.array([2, 1], np.int32)], {}, [[-log(0.5), -log(0.75)]]),
        ("sparse_cross_entropy", [np.array([[0.0, 2.0]] * 2), np.array([0, 1], np.int32)], {}, [[LOW, HIGH]]),
        ("softmax", [Z], {}, [[[E0 / (E0 + E1 + E2), E1 / (E0 + E1 + E2), E2 / (E0 + E1 + E2)]]]),
        ("log_softmax", [Z], {}, [[[-log(E0 + E1 + E2) - 1, -log(E0 + E1 + E2), -log(E0 + E1 + E2) - 2]]]),
        ("log_softmax", [np.array([[1000.0, 0.0, -np.inf]])], {}, [[[0.0, -1000.0, -np.inf]]]),
        ("sparsemax", [np.array([[0.5, 0.25, -1.0, -np.inf]])], {}, [[[0.625, 0.375, 0.0, 0.0]]]),
        ("sparsemax", [np.array([[1000.0, 0.0, 999.5], [2.0, 2.0, 2.0]])], {}, [[[0.75, 0.0, 0.25], [1 / 3] * 3]]),
        ("glu", [np.array([[[3.0, -2.0], [0.0, 1000.0]]])], {}, [[[1.5, -2.0]]]),
        ("prelu", [np.array([[-2.0, -2.0, 3.0], [-np.inf, 0.0, 1.0]]), np.array([0.0, 0.5, 9.0])], {},
         [[[0.0, -1.0, 3.0], [0.0, 0.0, 1.0]]]),
        ("softmax", [np.array([[1000.0, 0.0, -1000.0, -np.inf]])], {}, [[[1.0, 0.0, 0.0, 0.0]]]),
        (
            "softmax_cross_entropy", [Z, np.array([[1.0, 0.0, 0.0]])], {},
            [[[E0 / (E0 + E1 + E2), E1 / (E0 + E1 + E2), E2 / (E0 + E1 + E2)]], [log(E0 + E1 + E2) + 1]],
        ),
        ("softmax_cross_entropy", [np.array([[0.0, 1000.0]]), np.array([[1.0, 0.0]])], {}, [[[0.0, 1.0]], [1000.0]]),
        (
            "softmax_cross_entropy", [np.array([[0.0, 0.0, -np.inf]]), np.array([[0.25, 0.75, 0.0]])], {},
            [[[0.5, 0.5, 0.0]], [log(2)]],
        ),
        ("sparse_softmax_cross_entropy", [np.zeros((2, 4)), np.array([3, 0], np.int32)], {},
         [np.full((2, 4), 0.25), [log(4)] * 2]),
        (
            "sigmoid_binary_cross_entropy", [np.array([[0.0, 2.0], [1000.0, -1000.0]]), np.array([[1.0, 0.0]] * 2)], {},
            [[[0.5, 1 / (1 + exp(-2))], [1.0, 0.0]], [(log(2) + 2 + log(1 + exp(-2))) / 2, 0.0]],
        ),
        (
            "mean_absolute_percentage_error", [P, T], {},
            [[100 * (0.2e7 + 0.7 + 0.5e7) / 3, 100 * (0.4 / 0.5 + 0.1 / 0.5 + 0.1e7) / 3]],
        ),
        (
            "mean_squared_logarithmic_error", [np.array([[1.0, -5.0]]), np.array([[0.0, 3.0]])], {},
            [[((log(2) - log(1 + 1e-7)) ** 2 + (log(1 + 1e-7) - log(4)) ** 2) / 2]],
        ),
        ("huber", [np.array([[0.5, -3.0]]), np.zeros((1, 2))], {"delta": 1.0}, [[(0.125 + 2.5) / 2]]),
        ("huber", [np.array([[0.5, -3.0]]), np.zeros((1, 2))], {"delta": 0.25}, [[(0.125 + 0.75 - 1 / 16) / 2]]),
        ("log_cosh", [np.array([[0.5, -800.0]]), np.zeros((1, 2))], {}, [[(log(cosh(0.5)) + 800 - log(2)) / 2]]),
        ("poisson", [np.array([[2.0, 0.0]]), np.array([[3.0, 1.0]])], {}, [[(2 - 3 * log(2 + 1e-7) - log(1e-7)) / 2]]),
        (
            "cosine_similarity",
            [np.array([[3.0, 4.0], [0.0, 0.0], [-2.0, 0.0]]), np.array([[0.0, 2.0], [0.0, 2.0], [1.0, 0.0]])],
            {}, [[-0.8, 0.0, 1.0]],
        ),
        (
            "binary_focal_cross_entropy", [np.array([[0.25, 0.75]]), np.array([[1.0, 1.0]])],
            {"gamma": 2.0, "one": 1.0, "zero": 1.0}, [[-(0.5625 * log(0.25) + 0.0625 * log(0.75)) / 2]],
        ),
        (
            "binary_focal_cross_entropy", [np.array([[0.25, 0.75]]), np.array([[0.0, 1.0]])],
            {"gamma": 0.0, "one": 0.25, "zero": 0.75}, [[-(0.75 * log(0.75) + 0.25 * log(0.75)) / 2]],
        ),
        (
            "focal_cross_entropy", [P, T], {"gamma": 2.0, "alpha": 0.25},
            [[-0.25 * 0.49 * log(0.3), -0.125 * (0.875**2 * log(0.125) + 0.0625 * log(0.75))]],
        ),
        ("generalized_cross_entropy", [P, np.array([2, 1], np.int32)], {"q": 0.5},
         [[2 * (1 - 0.5**0.5), 2 * (1 - 0.6**0.5)]]),
        ("kl_divergence", [np.array([[0.5, 0.0]]), np.array([[1.0, 0.0]])], {}, [[log(2)]]),
        ("hinge", [np.array([[0.5, -3.0, 2.0]]), np.array([[1.0, 1.0, 1.0]])], {}, [[4.5 / 3]]),
        ("squared_hinge", [np.array([[0.5, -3.0, 2.0]]), np.array([[1.0, 1.0, 1.0]])], {}, [[16.25 / 3]]),
        ("categorical_hinge", [np.array([[0.25, 0.5], [4.0, 0.5]]), np.array([[1.0, 0.0]] * 2)], {}, [[1.25, 0.0]]),
        (
            "categorical_hinge_grad", [np.array([[0.25, 0.5, 0.5]]), np.array([[1.0, 0.0, 0.0]]), np.ones(1)], {},
            [[[-1.0, 0.5, 0.5]]],
        ),
        (
            "overlap", [P, T], {"scale": 2.0, "truth": 1.0, "guess": 1.0, "both": 0.0},
            [[1 - 0.6 / (2 + 1e-7), 1 - 0.7 / (1.8 + 1e-7)]],
        ),
        (
            "batch_overlap", [P, T], {"scale": 1.0, "truth": 0.5, "guess": 0.25, "both": 0.25},
            [[1 - 0.65 / (1 + 0.45 + 0.1625 + 1e-7)] * 2],
        ),
        ("hinge_targets", [np.array([0.0, 1.0, 0.0])], {}, [[-1.0, 1.0, -1.0]]),
        ("hinge_targets", [np.array([0.0, 1.0, -1.0])], {}, [[0.0, 1.0, -1.0]]),
        ("known_labels", [np.array([3, -1, 0], np.int32)], {"ignored": -1.0}, [[3, 0, 0], [1.0, 0.0, 1.0]]),
        ("weigh_rows", [None, np.array([1.0, 0.0, 1.0, 1.0]), np.zeros(4)], {"reduction": 0.0},
         [[4 / 3, 0.0, 4 / 3, 4 / 3]]),
        ("weigh_rows", [np.array([1.0, 2.0, 0.5, 0.0]), np.array([1.0, 0.0, 1.0, 1.0]), np.zeros(4)],
         {"reduction": 0.0}, [[4 / 3, 0.0, 2 / 3, 0.0]]),
        ("weigh_rows", [np.array([1.0, 2.0, 0.5, 0.0]), None, np.zeros(4)], {"reduction": 1.0}, [[4.0, 8.0, 2.0, 0.0]]),
        ("weigh_rows", [np.array([1.0, 2.0, 0.5, 0.5]), None, np.zeros(4)], {"reduction": 2.0}, [[1.0, 2.0, 0.5, 0.5]]),
        ("weigh_rows", [np.zeros(2), None, np.zeros(2)], {"reduction": 2.0}, [[0.0, 0.0]]),
        ("weigh_rows", [np.ones(2), np.zeros(2), np.zeros(2)], {"reduction": 0.0}, [[0.0, 0.0]]),
        ("loss_scale", [None, np.zeros(4)], {}, [[0.25] * 4]),
        ("loss_scale", [np.array([0.0, 1.0, 2.0, 3.0]), np.zeros(4)], {}, [[0.0, 0.25, 0.5, 0.75]]),
        ("spread", [np.array([1.0, 2.0]), np.zeros((2, 3))], {}, [[[1.0] * 3, [2.0] * 3]]),
        ("add_rows", [np.array([1.0, 2.0, 3.0]), np.array([1.0, 0.0, 0.5])], {}, [2.5]),
        ("add_rows", [np.array([1.0, 2.0, 3.0]), None], {}, [6.0]),
        ("add_rows", [np.zeros(0), None], {}, [0.0]),
        ("binary_matches", [P, np.round(P)], {"threshold": 0.5}, [[1.0, 1.0]]),
        ("binary_matches", [P, np.ones((2, 3))], {"threshold": 0.5}, [[0.0, 1 / 3]]),
        ("categorical_matches", [P, T], {}, [[0.0, 0.0]]),
        ("categorical_matches", [P, P[:, ::-1]], {}, [[0.0, 1.0]]),
        ("equal_matches", [T, np.array([[0.0, 1.0, 1.0], [0.5, 0.5, 0.0]])], {}, [[2 / 3, 1.0]]),
        ("top_k_matches", [P, np.array([0, 2], np.int32)], {"k": 2.0}, [[0.0, 1.0]]),  # 0.1 equals the second largest
        ("top_k_matches", [np.array([[np.nan, 1.0]] * 2), np.array([0, 1], np.int32)], {"k": 1.0}, [[0.0, 0.0]]),
        ("top_k_matches", [np.array([[np.nan, 1.0]]), np.array([1], np.int32)], {"k": 2.0}, [[1.0]]),
        ("listed_matches", [np.array([[2.0, 0.0], [1.0, 2.0]]), np.array([2, 2], np.int32)], {"k": 1.0}, [[1.0, 0.0]]),
        (
            "add_confusion",
            [np.array([[0.2, 0.5], [0.6, np.nan]]), np.array([[1.0, 0.0], [2.0, 0.0]]),
             np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1.0, 10.0]), np.array([0.1, 0.5, 0.5, np.inf])],
            {"c": 1.0, "even": 0.0, "least": 0.0}, [[[0.0, 1.0, 0.0, 3.0]], [[40.0, 20.0, 0.0, 0.0]]],
        ),
        (
            "add_confusion",
            [np.array([[0.0, -1.0], [0.5, 2.0]]), np.ones((2, 2)), None, None, np.array([0.0, 0.5, 1.0, np.inf])],
            {"c": 2.0, "even": 1.0, "least": 1.0}, [[[0.0, 2.0, 0.0, 0.0], [0.0, 1.0, 1.0, 0.0]], np.zeros((2, 4))],
        ),
        ("add_pairs", [np.array([0, 1, 1, 2, -1], np.int32), np.array([0, 0, 2, 0, 0], np.int32),
                       np.array([1.5, 2.0, 1.0, 1.0, 1.0])],
         {"c": 2.0, "ignore": -1.0, "whole": 0.0}, [[[1.5, 0.0], [2.0, 0.0]]]),
        ("add_pairs", [np.array([0, 1, 1], np.int32), np.array([0, 0, 1], np.int32), np.array([1.5, 2.0, -0.5])],
         {"c": 2.0, "ignore": 1.0, "whole": 1.0}, [[[1.0, 0.0], [0.0, 0.0]]]),
        ("add_products", [P, T, np.array([1.0, 2.0])], {}, [[0.1, 0.9, 0.0]]),
        ("add_products", [P, None, None], {}, [[0.3, 0.9, 0.6]]),
        ("argmax", [P], {}, [[2, 1]]),
        ("argmax", [np.array([[1.0, np.nan, 2.0], [1.0, 1.0, 0.0]])], {}, [[1, 0]]),
        ("as_labels", [np.array([1.9, -0.9, -2.0, np.nan, 3e9, -np.inf])], {}, [[1, 0, -2, -1, -1, -1]]),
        ("column", [P], {"index": 1.0}, [[0.3, 0.6]]),
        ("exceeds", [np.array([0.5, 0.6, np.nan])], {"threshold": 0.5}, [[0.0, 1.0, 0.0]]),
        ("row_maxima", [np.array([[1.0, 1.0, 0.5], [0.0, -1.0, 0.0], [np.nan, 1.0, 0.0]])], {},
         [[[1.0, 1.0, 0.0], [0.0] * 3, [0.0] * 3]]),
        ("keep_top_k", [np.array([[1.0, 3.0, 1.0], [np.nan, 0.0, 1.0]])], {"k": 2.0},
         [[[1.0, 3.0, -1e10], [-1e10, 0.0, 1.0]]]),
        ("pearson", [np.array([[1.0, 2.0, 3.0], [1.0, 0.0, -1.0]]), np.array([[2.0, 4.0, 6.0], [0.0, 1.0, 2.0]])], {},
         [[1.0, -1.0]]),
        ("concordance", [np.array([[1.0, 3.0]]), np.array([[2.0, 6.0]])], {}, [[4 / (1 + 4 + 4 + 1e-7)]]),
        ("sparse_matches", [np.array([[1.0, 1.0], [0.0, np.nan]]), np.array([0, 1], np.int32)], {}, [[1.0, 1.0]]),
        ("relu", [np.array([-1.0, 2.0, -np.inf, np.inf])], {}, [[0.0, 2.0, 0.0, np.inf]]),
        ("general_relu", [np.array([-np.inf, -1.0, 0.5, 1.0, 9.0])],
         {"negative_slope": 0.0, "max_value": 6.0, "threshold": 0.5}, [[0.0, 0.0, 0.0, 1.0, 6.0]]),
        ("general_relu", [np.array([-1.0, 0.5, 1.0])],
         {"negative_slope": 0.5, "max_value": np.inf, "threshold": 0.5}, [[-0.75, 0.0, 1.0]]),
        ("tanh", [np.array([0.5, -np.inf])], {}, [[tanh(0.5), -1.0]]),
        ("sigmoid", [np.array([0.0, 1.0, -1000.0, np.inf])], {}, [[0.5, 1 / (1 + exp(-1)), 0.0, 1.0]]),
        ("scale_shift", [np.array([0.0, 255.0])], {"scale": 1 / 255, "offset": -0.5}, [[-0.5, 0.5]]),
        ("embedding", [np.array([2, 0, -1, 3], np.int32), np.arange(6.0).reshape(3, 2)], {},
         [[[4.0, 5.0], [0.0, 1.0], [np.nan] * 2, [np.nan] * 2]]),
        ("embedding_grad", [np.ones((3, 2)), np.array([1, 5, 1], np.int32), np.zeros((3, 2))], {},
         [[[0.0, 0.0], [2.0, 2.0], [0.0, 0.0]]]),
        ("mask_steps", [np.array([[2.0, 2.0], [2.0, 0.0], [np.nan, 2.0], [0.0, 0.0]])], {"value": 2.0},
         [[[0.0, 0.0], [2.0, 0.0], [np.nan, 2.0], [0.0, 0.0]], [0.0, 1.0, 1.0, 1.0]]),
        ("swap", [np.arange(8.0).reshape(1, 2, 2, 2)], {}, [[[[[0, 1], [4, 5]], [[2, 3], [6, 7]]]]]),
        ("swap", [np.arange(6.0).reshape(1, 2, 3, 1)], {}, [np.arange(6.0).reshape(2, 3).T[None, :, :, None]]),
        ("repeat", [P], {"n": 2.0}, [[[P[0], P[0]], [P[1], P[1]]]]),
        ("sum_steps", [np.arange(6.0).reshape(1, 3, 2)], {}, [[[6.0, 9.0]]]),
        ("subtract", [P, T], {}, [[[0.2, -0.7, 0.5], [-0.4, 0.1, 0.1]]]),
        ("divide", [np.array([1.0, -1.0, 0.0]), np.array([4.0, 8.0, 2.0])], {}, [[0.25, -0.125, 0.0]]),
        ("quotient_of", [np.array([4.0, -0.5, np.inf])], {"numerator": 2.0}, [[0.5, -4.0, 0.0]]),
        ("clip", [np.array([-9.0, 0.5, np.inf, np.nan])], {"low": -1.0, "high": 2.0}, [[-1.0, 0.5, 2.0, np.nan]]),
        ("clip_grad", [np.ones(4), np.array([-1.0, 0.5, 2.5, np.nan])], {"low": -1.0, "high": 2.0},
         [[1.0, 1.0, 0.0, 0.0]]),
        ("maximum", [np.array([1.0, np.nan, 2.0]), np.array([3.0, 1.0, np.nan])], {}, [[3.0, np.nan, np.nan]]),
        ("minimum", [np.array([1.0, np.nan, 2.0]), np.array([3.0, 1.0, np.nan])], {}, [[1.0, np.nan, np.nan]]),
        ("where_larger", [np.array([5.0] * 3), np.array([1.0, 2, 3]), np.array([2.0] * 3)], {"or_equal": 1.0},
         [[0.0, 5.0, 5.0]]),
        ("where_larger", [np.array([5.0] * 3), np.array([1.0, 2, 3]), np.array([2.0] * 3)], {"or_equal": 0.0},
         [[0.0, 0.0, 5.0]]),
        ("sqrt", [np.array([4.0, 0.0, np.inf])], {}, [[2.0, 0.0, np.inf]]),
        ("log", [np.array([1.0, 2.0, np.inf])], {}, [[0.0, log(2), np.inf]]),
        ("absolute", [np.array([-1.5, 2.0, -np.inf])], {}, [[1.5, 2.0, np.inf]]),
        ("absolute_grad", [np.array([2.0, 2.0, 2.0]), np.array([-3.0, 0.0, 1.0])], {}, [[-2.0, 0.0, 2.0]]),
        ("row_add", [P, np.array([1.0, 2.0, 3.0])], {}, [[[1.2, 2.3, 3.5], [1.1, 2.6, 3.1]]]),
        ("row_multiply", [P, np.array([1.0, 2.0, 3.0])], {}, [[[0.2, 0.6, 1.5], [0.1, 1.2, 0.3]]]),
        ("row_sum", [P], {}, [[1.0, 0.8]]),
        ("penalty", [np.array([[1.0, -2.0], [0.0, 4.0]])], {"l1": 0.1, "l2": 0.01}, [0.7 + 0.21]),
        ("penalty", [np.array([np.inf, 1.0])], {"l1": 0.0, "l2": 0.0}, [0.0]),
        ("penalty_grad", [np.array(2.0), np.array([3.0, 0.0, -5.0])], {"l1": 0.1, "l2": 0.01},
         [[0.2 + 0.12, 0.0, -0.2 - 0.2]]),
        ("per_sample", [np.array(6.0), np.zeros((4, 2))], {}, [1.5]),
        ("per_sample", [np.array(6.0), np.zeros((0, 2))], {}, [0.0]),
        ("constant", [], {"value": 2.5}, [2.5]),
        ("add_penalty", [np.zeros(4), np.array(0.5)], {}, [2.0]),
        ("off_diagonal", [np.arange(6.0).reshape(3, 2)], {}, [[[0, 1], [2, 0], [4, 5]]]),
        (
            "batch_norm", [np.array([[1.0, 0.0], [3.0, 4.0]]), np.array([2.0, 1.0]), np.array([0.5, 0.0])],
            {"epsilon": 3.0}, [[[-0.5, -2 / 7**0.5], [1.5, 2 / 7**0.5]], [2.0, 2.0], [1.0, 4.0]],
        ),
        ("batch_norm", [np.array([[3.0, -4.0]]), None, None], {"epsilon": 1e-3}, [[[0.0] * 2], [3.0, -4.0], [0.0] * 2]),
        ("moving_average", [np.zeros(2), np.array([4.0, -1.0])], {"momentum": 0.75}, [[1.0, -0.25]]),
        ("inverse_deviation", [np.array([3.0, 0.0]), np.array([4.0, 2.0])], {"epsilon": 1.0, "least": 0.0}, [[2, 2]]),
        ("inverse_deviation", [np.array([4.0, 0.0]), None], {"epsilon": 0.0, "least": 1e-7}, [[0.5, 1e7]]),
        (
            "affine", [np.ones((1, 2)), np.array([3.0, 1.0]), np.array([0.5, 9.0]), np.array([1.0, 2.0])], {},
            [[[0.0, 2.0]]],
        ),
        ("affine", [P, None, None, None], {}, [P]),
        (
            "layer_norm", [np.array([[1.0, 3.0], [5.0, 5.0]]), np.array([2.0, 1.0]), np.array([0.0, 0.5])],
            {"epsilon": 3.0}, [[[-1.0, 1.0], [0.0, 0.5]], [2.0, 5.0], [0.5, 3**-0.5]],
        ),
        ("rms_norm", [np.array([[1.0, 7.0]]), np.array([2.0, 1.0])], {"epsilon": 11.0}, [[[2 / 6, 7 / 6]], [1 / 6]]),
        ("unit_norm", [np.array([[3.0, -4.0], [0.0, 0.0]])], {}, [[[0.6, -0.8], [0.0, 0.0]], [0.2, 1e12]]),
        (
            "unit_norm_grad", [np.ones((2, 2)), np.array([[0.6, 0.8], [0.6, 0.8]]), np.array([0.5, 1e12])], {},
            [[[0.08, -0.06], [1e12, 1e12]]],
        ),
        ("bias_grad", [P], {}, [[0.3, 0.9, 0.6]]),
        ("gather", [np.array([[1, 2], [3, 4], [5, 6]], np.uint8)], {}, [[[5.0, 6.0], [1.0, 2.0], [5.0, 6.0]]]),
        ("gather_int", [np.array([[1.9], [3.0], [-5.9]])], {}, [[[-5], [1], [-5]]]),
    ],
)  # fmt: skip
def test_values_by_hand(name: str, inputs: list[Array], attributes: dict[str, float], outputs: list[Any]) -> None:
    found = run(name, *inputs, **attributes)
    assert len(found) == len(outputs)
    for got, want in zip(found, outputs, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-12)


def test_limits_of_norms_by_hand() -> None:
    """Columns of norm 5 and 0.5 in place; the constant added to the norm shows at the eighth digit."""
    w = np.array([[[3.0, 0.3], [4.0, 0.4]]])
    for attributes, factors in [
        ({"least": 0.0, "most": 2.0, "rate": 1.0}, (2 / 5, 1.0)),
        ({"least": 1.0, "most": 1.0, "rate": 1.0}, (1 / 5, 2.0)),
        ({"least": 1.0, "most": 3.0, "rate": 0.25}, ((0.25 * 3 + 0.75 * 5) / 5, (0.25 * 1 + 0.75 * 0.5) / 0.5)),
    ]:
        held = w.copy()
        get("limit_norm").body(held, held, **attributes)
        np.testing.assert_allclose(held, w * np.array(factors), rtol=3e-7)
        assert np.all(held < w * np.array(factors))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_by_its_formula(name: str) -> None:
    x = np.concatenate([np.linspace(-8, 8, 161), normal(100)])
    for attributes in ACTIVATIONS[name].attributes:
        (y,) = run(name, x, **attributes)
        np.testing.assert_allclose(y, ACTIVATIONS[name].value(x, **attributes), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_far_away(name: str) -> None:
    """At NaN it is NaN; at ±inf it has its limit, to which large arguments are close, and its gradient has its own."""
    x = np.array([np.nan, -np.inf, -3e38, np.inf, 3e38])
    for attributes in ACTIVATIONS[name].attributes:
        with np.errstate(all="ignore"):
            (y,) = run(name, x, **attributes)
            slopes = [
                differentiate(name, [x[i : i + 1].copy()], [True], [np.ones(1)], attributes)[0] for i in range(1, 5)
            ]
        assert np.isnan(y[0])
        for at_limit, near in ((y[1], y[2]), (y[3], y[4])):
            assert near == pytest.approx(at_limit, abs=1e-30) or (np.isinf(at_limit) and np.abs(near) > 1e37)
        assert not np.isnan(slopes).any() or name == "exponential"
        if name != "exponential":
            assert slopes[0] == pytest.approx(slopes[1], abs=1e-30)
            assert slopes[2] == pytest.approx(slopes[3])


def test_optimizers_by_hand() -> None:
    """Each op's formula, on numbers; the rates are 0.1, 0.75 and 0.5."""

    def after(name: str, *state: float, g: float, **attributes: float) -> list[float]:
        arrays = [np.array([s]) for s in state]
        get(name).body(*arrays, *arrays, np.array([g]), step=STEP, **attributes)
        return [float(a[0]) for a in arrays]

    assert after("sgd", 1.0, g=2.0) == pytest.approx([0.8])
    assert after("sgd_momentum", 1.0, 0.5, g=2.0, momentum=0.9, nesterov=0.0) == pytest.approx([1.25, 0.25])
    assert after("sgd_momentum", 1.0, 0.5, g=2.0, momentum=0.9, nesterov=1.0) == pytest.approx([1.025, 0.25])
    m, v = 0.1 * 2.0 + 0.9 * 0.5, 0.001 * 4.0 + 0.999 * 0.25
    want = [1 - 0.1 * m / (v**0.5 + 1e-7), m, v]
    betas = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}
    assert after("adam", 1.0, 0.5, 0.25, g=2.0, **betas) == pytest.approx(want)
    assert after("adam_amsgrad", 1.0, 0.5, 0.25, 9.0, g=2.0, **betas) == pytest.approx([1 - 0.1 * m / 3, m, v, 9])
    assert after("adamax", 1.0, 0.5, 3.0, g=-2.0, **betas) == pytest.approx([1 - 0.1 * 0.25 / 2.997, 0.25, 2.997])
    ahead = 0.1 * m + 0.75 * 2
    assert after("nadam", 1.0, 0.5, 0.25, g=2.0, **betas) == pytest.approx([1 - ahead / (0.5 * v) ** 0.5, m, v])
    v = 0.9 * 0.25 + 0.1 * 4
    step = 0.1 * 2 / (v + 0.5) ** 0.5
    rms = {"rho": 0.9, "epsilon": 0.5}
    assert after("rmsprop", 1.0, 0.25, g=2.0, **rms) == pytest.approx([1 - step, v])
    assert after("rmsprop_momentum", 1.0, 0.25, 1.0, g=2.0, momentum=0.5, **rms) == pytest.approx(
        [1 - 0.5 - step, v, 0.5 + step]
    )
    step = 0.1 * 2 / (v - 0.65**2 + 0.5) ** 0.5
    assert after("rmsprop_centered", 1.0, 0.25, 0.5, g=2.0, **rms) == pytest.approx([1 - step, v, 0.65])
    assert after("rmsprop_centered_momentum", 1.0, 0.25, 1.0, 0.5, g=2.0, momentum=0.5, **rms) == pytest.approx(
        [1 - 0.5 - step, v, 0.5 + step, 0.65]
    )
    assert after("adagrad", 1.0, 4.5, g=2.0, epsilon=0.5) == pytest.approx([1 - 0.2 / 3, 8.5])
    x = (0.25 + 0.5) ** 0.5 * 2 / (v + 0.5) ** 0.5
    assert after("adadelta", 1.0, 0.25, 0.25, g=2.0, **rms) == pytest.approx([1 - 0.1 * x, v, 0.225 + 0.1 * x * x])
    assert after("lion", 1.0, -1.0, g=2.0, beta_1=0.9, beta_2=0.5) == pytest.approx([1.1, 0.5])
    penalties = {"l1": 0.5, "l2": 0.25, "shrinkage": 0.125, "beta": 1.0}
    for power in (0.5, 1.0, 0.7):
        z = 1 + 2 + 0.25 * 3 - (5**power - 1) / 0.1 * 3
        w = (-0.5 - z) / ((5**power + 1) / 0.1 + 0.5)
        assert after("ftrl", 3.0, 1.0, 1.0, g=2.0, power=power, **penalties) == pytest.approx([w, 5, z])


def test_what_is_done_around_an_update_by_hand() -> None:
    """The rates are 0.1, 0.75 and 0.5."""
    g, total = np.array([1.0, 2.0]), np.array([3.0, -6.0])
    get("accumulated").body(g, total, g, total, count=3.0)
    assert (g.tolist(), total.tolist()) == ([1, -2], [0, 0])
    (norm,) = run("norm", np.array([3.0, -4.0]))
    assert norm == 5
    for limit, strict, length, want in [(1.0, 0.0, 5.0, 0.2), (6.0, 1.0, 5.0, 1.0), (1.0, 0.0, np.inf, 0.0)]:
        (clipped,) = run("clip_norm", np.array([1.0]), np.array(length), limit=limit, strict=strict)
        assert clipped == pytest.approx([want])
    with np.errstate(invalid="ignore"):
        assert np.isnan(run("clip_norm", np.array([0.0]), np.array(np.inf), limit=1.0, strict=1.0)[0]).all()
    w, mean = np.array([2.0]), np.array([4.0])
    get("average").body(mean, mean, w, rate=2.0, step=STEP)
    assert mean == pytest.approx([3.0])
    get("decay").body(w, w, decay=0.5, rate=1.0, step=STEP)
    assert w == pytest.approx([2 - 0.75])


def test_steps_of_a_whole_weight_by_hand() -> None:
    m, v, u = np.array([0.5]), np.array([0.25]), np.empty(1)
    get("lamb").body(m, v, u, m, v, np.array([2.0]), beta_1=0.9, beta_2=0.5, epsilon=1.0, step=STEP)
    assert [*m, *v, *u] == pytest.approx([0.65, 2.125, 0.75 * 0.65 / ((2.125 / 2) ** 0.5 + 1)])
    for w_norm, u_norm, ratio in [(4.0, 2.0, 2.0), (0.0, 2.0, 1.0), (4.0, 0.0, 1.0)]:
        w = np.array([1.0])
        get("lamb_step").body(w, w, np.array([3.0]), np.array(w_norm), np.array(u_norm), step=STEP)
        assert w == pytest.approx([1 - 0.1 * ratio * 3])
    g = np.array([[[1.0, 3.0], [2.0, 0.0]]])
    r, c = np.array([[4.0, 8.0]]), np.array([[4.0, 8.0]])
    get("row_squares").body(r, g, r, epsilon=0.0, step=STEP)
    get("column_squares").body(c, g, c, epsilon=1.0, step=STEP)
    assert r == pytest.approx(np.array([[3 + 5 / 4, 6 + 2 / 4]]))
    assert c == pytest.approx(np.array([[3 + 3.5 / 4, 6 + 5.5 / 4]]))
    found, u = run("factored", g, np.array([[1.0, 3.0]]), np.array([[2.0, 8.0]]))
    assert found == pytest.approx(np.array([[[1.0, 4.0], [3.0, 12.0]]]))
    assert u == pytest.approx(g / np.sqrt(found))
    get("unfactored").body(v, m, v, np.array([2.0]), epsilon=1.0, step=STEP)
    assert [*v, *m] == pytest.approx([0.75 * 2.125 + 1.25, 2 / (0.75 * 2.125 + 1.25) ** 0.5])
    for w_norm, u_norm, scale in [(4.0, 4.0, 2 / 2), (0.2, 1.0, 0.5)]:
        w = np.ones(4)
        norms = np.array(w_norm), np.array(u_norm)
        get("adafactor_step").body(w, w, np.ones(4), *norms, epsilon=0.5, threshold=1.0, step=STEP)
        assert w == pytest.approx(np.full(4, 1 - 0.1 * scale))
    m, u = np.array([2.0]), np.empty(1)
    get("muon_momentum").body(m, u, m, np.array([1.0]), momentum=0.5, nesterov=1.0)
    assert [*m, *u] == [2, 2]
    assert run("normalized", np.array([6.0]), np.array(2.0), epsilon=1.0)[0] == [2]
    assert run("weighted_sum", np.array([1.0]), np.array([2.0]), alpha=3.0, beta=-1.0)[0] == [1]
    get("muon_step").body(m, m, np.array([1.0]), scale=2.0, step=STEP)
    assert m == pytest.approx([2 - 1.5])


def test_clipped_probabilities_have_no_gradient() -> None:
    """Where a loss clips, it is flat; a NaN is not hidden by that."""
    p, ones = np.array([[0.0, 1.0, np.nan, 0.5]]), np.ones((1, 4))
    (dp,) = run("binary_cross_entropy_grad", p, ones, np.array([1.0]))
    np.testing.assert_array_equal(dp, [[0.0, 0.0, np.nan, -0.5]])
    for name, target in [("cross_entropy", np.array([[1.0, 0.0]])), ("sparse_cross_entropy", np.array([0], np.int32))]:
        (dp,) = run(f"{name}_grad", np.array([[0.0, 2.0]]), target, np.array([1.0]))
        np.testing.assert_array_equal(dp, [[0.0, 0.0]])


def test_every_op_has_a_definition_that_says_what_it_does() -> None:
    for op in OPS.values():
        assert op.body.__doc__, op.name
