"""What several tests share: data, models, and executing programs over memory that shows every slip."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from activation_table import NAMES

from nncore import backends, losses, metrics, random
from nncore.backends import Backend, Epoch, Memory
from nncore.backends.native import NativeBackend
from nncore.compiler import FlatVectors, Plan, empty, lower_train, plan
from nncore.constraints import MaxNorm
from nncore.data import flat_rows
from nncore.layers import (
    ELU,
    Activation,
    ActivityRegularization,
    AlphaDropout,
    BatchNormalization,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GaussianDropout,
    GaussianNoise,
    GroupNormalization,
    Identity,
    Layer,
    LayerNormalization,
    LeakyReLU,
    Normalization,
    Permute,
    PReLU,
    ReLU,
    RepeatVector,
    Rescaling,
    Reshape,
    RMSNormalization,
    Softmax,
)
from nncore.losses import Loss
from nncore.metrics import Metric
from nncore.ops import Shuffle
from nncore.optimizers import (
    SGD,
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Ftrl,
    Lamb,
    Muon,
    Nadam,
    Optimizer,
    RMSprop,
)
from nncore.program import Program
from nncore.regularizers import L1L2, L2

Array = np.ndarray[Any, Any]

ISAS: tuple[str, ...] = tuple(backends.load_native().config()["supported"])
"""The instruction sets that can run here, best first."""

FUSED_ISAS = tuple(isa for isa in ISAS if isa in ("avx2", "avx512", "neon"))
"""Those with a fused multiply-add of their own."""


SRC = Path(__file__).parent.parent / "src"


def listed_kernels() -> list[str]:
    """The kernels that src/ops.def names, in their order, those of the file it includes in their place."""
    lines = (SRC / "ops.def").read_text().splitlines()
    found: list[str] = []
    for line in lines:
        if match := re.match(r'#include "(.*)"', line):
            found += re.findall(r"^(?:ACTIVATION|GRADIENT)\(op_(\w+),", (SRC / match[1]).read_text(), re.MULTILINE)
        elif match := re.match(r"OP\(op_(\w+)\)$", line):
            found.append(match[1])
    return found


def uniform(*shape: int, seed: int = 0, low: float = -1.0, high: float = 1.0) -> Array:
    """float32 values in [low, high), a function of shape and seed."""
    return np.random.default_rng([seed, *shape]).uniform(low, high, shape).astype(np.float32)


def labels(rows: int, classes: int, seed: int = 0) -> Array:
    """int64 labels in [0, classes)."""
    return np.random.default_rng([seed, rows, classes]).integers(0, classes, rows)


def one_hot(rows: int, classes: int, seed: int = 0) -> Array:
    """The labels as float32 rows."""
    return np.eye(classes, dtype=np.float32)[labels(rows, classes, seed)]


def error(actual: Any, expected: Any) -> float:
    """The largest |actual - expected| / (1 + |expected|); NaN agrees with NaN, inf with the same inf."""
    a, e = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    if a.shape != e.shape:
        raise AssertionError(f"shape {a.shape}, expected {e.shape}")
    same = (a == e) | (np.isnan(a) & np.isnan(e))
    with np.errstate(invalid="ignore"):
        apart = np.where(same, 0, np.abs(a - e) / (1 + np.abs(e)))
    return float(np.max(np.where(np.isnan(apart), np.inf, apart), initial=0))


def relative(actual: Any, expected: Any, least: float = 1e-30) -> float:
    """The largest |actual - expected| over the largest |expected|, or over ``least`` where that is larger."""
    a, e = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    if a.shape != e.shape:
        raise AssertionError(f"shape {a.shape}, expected {e.shape}")
    return float(np.max(np.abs(a - e), initial=0) / max(np.max(np.abs(e), initial=0), least))


def same_bits(a: Any, b: Any) -> bool:
    """Whether two arrays hold the same bytes."""
    left, right = np.ascontiguousarray(a), np.ascontiguousarray(b)
    return left.shape == right.shape and left.dtype == right.dtype and left.tobytes() == right.tobytes()


def build(layers: Sequence[Layer], shape: Sequence[int]) -> tuple[int | None, ...]:
    """Build layers one after the other for samples of ``shape``; returns the shape of their outputs."""
    out: tuple[int | None, ...] = (None, *shape)
    for layer in layers:
        out = layer.build_for(out)
    return out


FENCE = 64
"""Elements left between two buffers, and before the first: more than the widest vector."""

POISON = np.float32(np.nan)


def spread(program: Program, tight: Plan) -> Plan:
    """The plan with a place of its own for every buffer of the workspace, and a fence before and after each."""
    offsets = dict(tight.offsets)
    end = FENCE
    for name, buffer in program.buffers.items():
        if buffer.kind == "workspace" and buffer.base is None:
            offsets[name] = end
            end += -(-buffer.size(tight.batch) // 16) * 16 + FENCE
    for name, buffer in program.buffers.items():
        if buffer.kind == "workspace":
            offsets[name] = offsets[program.root(name).name]
    return tight._replace(offsets=offsets, workspace=end)


def fences(program: Program, at: Plan) -> Array:
    """Which elements of the workspace of a spread plan belong to no buffer."""
    free = np.ones(at.workspace, bool)
    for name, buffer in program.buffers.items():
        if buffer.kind == "workspace":
            free[at.offsets[name] : at.offsets[name] + buffer.size(at.batch)] = False
    return free


@dataclass
class Vectors:
    """As much of ``FlatVectors`` as executors need, in any float type."""

    parameter: Array
    frozen: Array
    gradient: Array

    @staticmethod
    def copy(flat: Any, real: Any = np.float32) -> Vectors:
        """A copy of flat vectors."""
        vectors = []
        for source in (flat.parameter, flat.frozen, flat.gradient):
            target = empty(source.size, real)
            target[...] = source
            vectors.append(target)
        return Vectors(*vectors)


@dataclass
class Run:
    """A program over memory of its own: build one for each backend from the same start, run both, compare."""

    program: Program
    at: Plan
    flat: Any
    state: Array
    arrays: Mapping[str, Array]
    workspace: Array
    totals: Array

    @staticmethod
    def start(
        program: Program, at: Plan, flat: FlatVectors, state: Array, arrays: Mapping[str, Array], real: Any = np.float32
    ) -> Run:
        """Copies of weights and state, totals as they begin, NaN everywhere else but between the weights' gradients."""
        own = Vectors.copy(flat, real)
        for name, buffer in program.buffers.items():
            if buffer.kind == "gradient" and name.startswith("d_"):
                own.gradient[at.offsets[name] : at.offsets[name] + buffer.per_row] = np.nan
        workspace = empty(at.workspace, real)
        workspace[...] = np.nan
        kept = empty(state.size, real)
        kept[...] = state
        return Run(program, at, own, kept, arrays, workspace, at.initial.copy())

    def run(self, backend: Backend, epoch: Epoch, first: int = 0, last: int | None = None) -> Run:
        """Run the batches from ``first`` to ``last``, by default all of the epoch."""
        end = -(-epoch.count // self.at.batch) if last is None else last
        memory = Memory(self.flat, self.state, self.totals, self.arrays, workspace=self.workspace)
        backend.load(self.program, self.at).run(memory, epoch, first, end)
        assert memory.done[0] == end
        return self

    def buffer(self, name: str, rows: int) -> Array:
        """The values of a buffer after a batch of ``rows``, flat."""
        buffer, root = self.program.buffers[name], self.program.root(name)
        vector = {
            "parameter": self.flat.parameter,
            "frozen": self.flat.frozen,
            "gradient": self.flat.gradient,
            "state": self.state,
            "total": self.totals,
            "workspace": self.workspace,
        }[root.kind]
        start = self.at.offsets[name]
        values = vector[start : start + buffer.size(rows)]
        return values.view(np.int32)[: buffer.size(rows)] if root.dtype == "int32" else values

    def buffers(self) -> list[str]:
        """The names of all buffers that have memory here and are no view of another."""
        kinds = ("parameter", "frozen", "gradient", "state", "total", "workspace")
        return [n for n, b in self.program.buffers.items() if b.kind in kinds and b.base is None]


def tight_plan(program: Program, flat: FlatVectors, batch: int) -> Plan:
    """The plan that models use."""
    return plan(program, flat.offsets, batch)


def on_isa(isa: str | None) -> NativeBackend:
    """The native backend on one instruction set."""
    return NativeBackend(isa)


@dataclass
class Problem:
    """A model with its loss, metrics, optimizer and data, and what compiles it to a training program."""

    layers: list[Layer]
    x: Array
    y: Array
    loss: Loss
    metrics: list[Metric]
    optimizer: Optimizer
    weight: Array | None
    batch: int
    weighted_metrics: list[Metric] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.output_shape = build(self.layers, self.x.shape[1:])
        self.flat = FlatVectors([v for layer in self.layers for v in layer.stored])

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        return -(-len(self.x) // self.batch)

    def program(self) -> Program:
        """The training program, before fusion."""
        x_shape = (None, *self.x.shape[1:])
        weighted = self.weight is not None
        weights = (None, *self.weight.shape[1:]) if self.weight is not None else (None,)
        scored = (self.layers, x_shape, self.loss, self.metrics, weighted)
        return lower_train(*scored, self.optimizer, self.weighted_metrics, weights=weights)

    def start(self, program: Program, at: Plan, real: Any = np.float32) -> Run:
        """Memory for a run from the initial weights."""
        arrays = {"x_rows": flat_rows(self.x), "y_rows": flat_rows(self.y)}
        if self.weight is not None:
            arrays["sample_weight_rows"] = flat_rows(self.weight)
        return Run.start(program, at, self.flat, self.optimizer.ensure_state(self.flat.trained), arrays, real)

    def epoch(self, shuffle: Shuffle | None = None, first_step: int = 0) -> Epoch:
        """An epoch over all samples, in the order of ``shuffle``."""
        return Epoch(len(self.x), shuffle, first_step, seed=77, rates=self.optimizer.rates(first_step, self.steps))


def pick(rng: np.random.Generator, *choices: Any) -> Any:
    """One of the choices."""
    return choices[rng.integers(len(choices))]


def random_activation(rng: np.random.Generator) -> Layer:
    """An activation as a layer, or one that halves what a layer makes.

    Not ``exponential``: it drives what follows into saturation, where gradients have few digits on either side.
    """
    names = ["log_softmax", "sparsemax", *(name for name in NAMES if name != "exponential")]
    return pick(
        rng, LeakyReLU(), ELU(0.7), PReLU("glorot_uniform"), Dense(14, "glu"),
        PReLU(shared_axes=1, alpha_regularizer="l2", alpha_constraint="non_neg"),
        *(Activation(pick(rng, *names)) for _ in range(4)),
    )  # fmt: skip


def random_hidden(rng: np.random.Generator) -> list[Layer]:
    """Zero to four layers that keep the rank of their input."""
    layers: list[Layer] = []
    own = np.random.default_rng(rng.bit_generator.seed_seq.spawn(1)[0])  # what comes from it leaves rng's draws alone
    for _ in range(rng.integers(0, 4)):
        units = int(pick(rng, 1, 2, 3, 7, 8, 9, 15, 16, 17, 24, 33, 50))
        activation = pick(rng, None, "relu", "relu", "tanh", "sigmoid", "softmax")
        bias = pick(rng, "zeros", "glorot_normal")
        held = pick(
            rng, {}, {}, {}, {}, {"kernel_regularizer": L1L2(0.01, 0.02)}, {"kernel_constraint": MaxNorm(1.0)},
            {"activity_regularizer": L2(0.01), "bias_regularizer": "l2"},
            {"kernel_regularizer": "l1", "bias_constraint": "non_neg"},
        )  # fmt: skip
        norm = random_norm(rng) if rng.random() < 0.3 else None
        biased = bool(rng.random() < 0.8) and not isinstance(norm, BatchNormalization)  # which takes biases out again
        layers.append(Dense(units, activation, use_bias=biased, bias_initializer=bias, **held))
        if own.random() < 0.4:
            layers.append(random_activation(own))
        if rng.random() < 0.15:
            layers.append(Dropout(float(pick(rng, 0.1, 0.5, 0.9)), seed=int(rng.integers(5))))
        if own.random() < 0.15:
            layers.append(pick(own, GaussianNoise(0.2), GaussianDropout(0.2, seed=3), AlphaDropout(0.3)))
        if rng.random() < 0.4:
            layers.append(
                pick(
                    rng,
                    Activation(pick(rng, "relu", "tanh", "sigmoid", "softmax", "linear")),
                    ReLU(max_value=1.5, negative_slope=0.25, threshold=0.1),
                    ReLU(),
                    Softmax(),
                    Rescaling(0.5, -0.25),
                    Identity(),
                    ActivityRegularization(0.01, 0.02),
                )
            )
        if norm is not None:
            layers.append(norm)
    return layers


def random_norm(rng: np.random.Generator) -> Layer:
    """A layer that normalizes. Epsilons are large: what varies by an ulp must not be made to vary by more."""
    return pick(
        rng,
        BatchNormalization(momentum=0.8, epsilon=1.0),
        BatchNormalization(scale=False, epsilon=2.0, beta_initializer="glorot_normal"),
        BatchNormalization(trainable=False),
        LayerNormalization(epsilon=1.0),
        LayerNormalization(center=False, epsilon=2.0),
        GroupNormalization(1, epsilon=1.0),
        RMSNormalization(epsilon=1.0),
        Normalization(mean=0.1, variance=0.5),
    )


def random_head(rng: np.random.Generator) -> tuple[list[Layer], Loss, int, str]:
    """Last layers, a loss that suits them, the number of outputs, and the kind of targets."""
    units = int(pick(rng, 2, 3, 5, 10, 16, 19))
    kind = pick(rng, "one_hot", "labels", "binary", "values", "counts")
    if kind == "counts":
        chosen = pick(rng, losses.MeanAbsolutePercentageError, losses.MeanSquaredLogarithmicError, losses.Poisson)
        return [Dense(units, "sigmoid")], chosen(random_reduction(rng)), units, kind
    if kind == "values":
        units = int(pick(rng, 1, units))
        return [Dense(units, pick(rng, None, "tanh"))], random_regression(rng), units, kind
    if kind == "binary":
        units = int(pick(rng, 1, 1, units))
        head, logits = pick(
            rng,
            ([Dense(units, "sigmoid")], False),
            ([Dense(units), Activation("sigmoid")], False),
            ([Dense(units)], True),
            ([Dense(units, "sigmoid"), Rescaling(0.9, 0.05)], False),
        )
        return head, random_binary(rng, logits), units, kind
    head, logits = pick(
        rng,
        ([Dense(units, "softmax")], False),
        ([Dense(units), Softmax()], False),
        ([Dense(units)], True),
        ([Dense(units, "softmax"), Rescaling(0.5, 0.01)], False),
        ([Dense(units, "sigmoid")], False),
    )
    return head, (random_one_hot if kind == "one_hot" else random_sparse)(rng, logits), units, kind


def random_reduction(rng: np.random.Generator) -> str:
    """Mostly the one that models are trained with if nothing is said."""
    return str(pick(rng, *["sum_over_batch_size"] * 5, "sum", "mean_with_sample_weight", "mean"))


def random_regression(rng: np.random.Generator) -> Loss:
    """A loss of values."""
    by = random_reduction(rng)
    return pick(  # type: ignore[no-any-return]
        rng, *[losses.MeanSquaredError(by), losses.MeanAbsoluteError(by)] * 2, losses.Huber(0.7, by),
        losses.LogCosh(by), losses.CosineSimilarity(-1, by), losses.Hinge(by), losses.SquaredHinge(by),
    )  # fmt: skip


def random_binary(rng: np.random.Generator, logits: bool) -> Loss:
    """A loss of one class or several that do not exclude one another."""
    smoothing, by = float(pick(rng, 0.0, 0.1)), random_reduction(rng)
    focal = losses.BinaryFocalCrossentropy(bool(rng.random() < 0.5), 0.3, 1.5, logits, smoothing, -1, by)
    others = [losses.Hinge(by), losses.SquaredHinge(by)]
    if not logits:
        others += [losses.Dice(by), losses.Dice(by, axis=-1), losses.Tversky(0.3, 0.7, by)]
    return pick(rng, *[losses.BinaryCrossentropy(logits, smoothing, -1, by)] * 4, focal, focal, *others)  # type: ignore[no-any-return]


def random_one_hot(rng: np.random.Generator, logits: bool) -> Loss:
    """A loss of a class a row, given as a distribution."""
    smoothing, by = float(pick(rng, 0.0, 0.1)), random_reduction(rng)
    focal = losses.CategoricalFocalCrossentropy(0.5, 2.0, logits, smoothing, -1, by)
    others = [] if logits else [losses.CategoricalHinge(by), losses.KLDivergence(by)]
    return pick(rng, *[losses.CategoricalCrossentropy(logits, smoothing, -1, by)] * 4, focal, *others)  # type: ignore[no-any-return]


def random_sparse(rng: np.random.Generator, logits: bool) -> Loss:
    """A loss of a class a row, given as a label."""
    by = random_reduction(rng)
    others = [] if logits else [losses.CategoricalGeneralizedCrossEntropy(0.6, by)]
    plain, ignoring = (losses.SparseCategoricalCrossentropy(logits, ignored, by) for ignored in (None, 1))
    return pick(rng, *[plain] * 4, ignoring, *others)  # type: ignore[no-any-return]


def random_optimizer(rng: np.random.Generator) -> Optimizer:
    """One of the optimizers with one of its settings, two times in three with some of what they all share.

    Epsilons and accumulators are large: a difference of an ulp in a gradient that is nearly 0 must not become a step.
    That is all that Lion makes of any gradient: its kernel is held to the definition bit for bit elsewhere.
    """
    kind, settings = pick(
        rng,
        (SGD, {}),
        (SGD, {}),
        (SGD, {"momentum": 0.9}),
        (SGD, {"momentum": 0.8, "nesterov": True}),
        (Adam, {"epsilon": 1e-3}),
        (Adam, {"epsilon": 1e-3, "amsgrad": True}),
        (AdamW, {"epsilon": 1e-3}),
        (Adamax, {"epsilon": 1e-2}),
        (Nadam, {"epsilon": 1e-2}),
        (RMSprop, {"epsilon": 1e-2}),
        (RMSprop, {"epsilon": 1e-2, "momentum": 0.5}),
        (RMSprop, {"epsilon": 1e-1, "centered": True}),
        (RMSprop, {"epsilon": 1e-1, "momentum": 0.5, "centered": True}),
        (Adagrad, {}),
        (Adadelta, {"epsilon": 1e-2}),
        (Adafactor, {"epsilon_1": 1e-2}),
        (Ftrl, {}),
        (Ftrl, {"l1_regularization_strength": 0.01, "l2_regularization_strength": 0.1, "beta": 0.1}),
        (Lamb, {"epsilon": 1e-2}),
        (Muon, {"epsilon": 1e-2, "ns_steps": 1, "rms_rate": None}),  # each iteration may multiply errors by 3.4
        (Muon, {"epsilon": 1e-2, "ns_steps": 2, "nesterov": False}),
    )
    shared: dict[str, Any] = {}
    if rng.random() < 0.67:
        shared |= pick(rng, {}, {"clipnorm": 0.2}, {"clipvalue": 0.05}, {"global_clipnorm": 0.3})
        shared |= pick(rng, {}, {"weight_decay": 0.1})
        shared |= pick(rng, {}, {"use_ema": True}, {"use_ema": True, "ema_overwrite_frequency": 2})
        shared |= pick(rng, {}, {}, {"gradient_accumulation_steps": int(pick(rng, 2, 3))})
        shared |= pick(rng, {}, {}, {"loss_scale_factor": 8.0})
    optimizer = kind(0.05 if kind is SGD else 0.01, **settings, **shared)
    if rng.random() < 0.3:
        optimizer.exclude_from_weight_decay(var_names=["bias"])
    return optimizer


METRICS_OF = {
    "one_hot": [metrics.CategoricalAccuracy, metrics.CategoricalCrossentropy],
    "labels": [metrics.SparseCategoricalAccuracy, metrics.SparseCategoricalCrossentropy],
    "binary": [metrics.BinaryAccuracy, metrics.BinaryCrossentropy],
    "values": [metrics.MeanAbsoluteError, metrics.RootMeanSquaredError],
    "counts": [metrics.MeanAbsoluteError, metrics.RootMeanSquaredError],
}


COUNTING: dict[str, list[Callable[[], Metric]]] = {
    "one_hot": [lambda: metrics.Precision(top_k=2), lambda: metrics.TopKCategoricalAccuracy(2), metrics.Recall],
    "labels": [lambda: metrics.SparseTopKCategoricalAccuracy(2), lambda: metrics.MeanIoU(3, sparse_y_pred=False)],
    "binary": [lambda: metrics.AUC(5), lambda: metrics.Recall([0.3, 0.6]), lambda: metrics.BinaryIoU(threshold=0.4)],
    "values": [metrics.ConcordanceCorrelation, metrics.FalsePositives],
}
"""Metrics with states of other shapes, which little differences of predictions seldom change."""


def random_problem(number: int) -> Problem:
    """A model, its data and all else, a function of ``number``."""
    random.set_seed(number)
    rng = np.random.default_rng(number)
    layers = random_hidden(rng)
    own = np.random.default_rng(rng.bit_generator.seed_seq.spawn(1)[0])  # as in random_hidden
    steps = bool(rng.random() < 0.3)  # samples of several rows of features
    sample = (int(pick(rng, 1, 3, 5)), int(pick(rng, 1, 4, 6))) if steps else (int(pick(rng, 1, 2, 7, 16, 31, 64)),)
    whole = steps and bool(rng.random() < 0.5)  # … that are taken together
    if whole:
        layers += pick(
            rng, [Flatten()], [Reshape((-1,))], [Flatten("channels_first")], [Permute((2, 1)), Flatten()],
            [Flatten(), RepeatVector(2), Flatten()],
        )  # fmt: skip
    head, loss, units, kind = random_head(rng)
    batch = int(pick(rng, 1, 2, 5, 8, 16, 17, 32))
    rows = batch * int(rng.integers(1, 4)) + int(rng.integers(0, batch))
    leading = (rows, sample[0]) if steps and not whole else (rows,)
    x = rng.normal(size=(rows, *sample)).astype(pick(rng, np.float32, np.float64))
    y = {
        "one_hot": lambda: np.eye(units)[rng.integers(0, units, leading)],
        "labels": lambda: rng.integers(0, units, leading),
        "binary": lambda: rng.integers(0, 2, (*leading, units)).astype(np.uint8),
        "values": lambda: rng.normal(size=(*leading, units)),
        "counts": lambda: rng.integers(1, 6, (*leading, units)),
    }[kind]()
    most = 1 if getattr(loss, "from_logits", False) else 2  # the second takes probabilities
    chosen = [metric() for metric in METRICS_OF[kind][: rng.integers(0, most + 1)]]
    weight = rng.uniform(0, 2, rows) if rng.random() < 0.4 else None
    optimizer = random_optimizer(rng)
    if isinstance(optimizer, Muon) and any(isinstance(layer, BatchNormalization) for layer in layers):
        optimizer = SGD(0.1)  # the gradient before a norm has directions of 0 but for rounding, which Muon enlarges
    if own.random() < 0.2:
        ids = Embedding(int(own.integers(2, 9)), int(own.integers(1, 18)), "glorot_uniform")
        x = own.integers(0, ids.input_dim, x.shape[: 2 if steps else None])
        layers = [ids, *([] if steps else [Flatten()]), *layers]
    problem = Problem([*layers, *head], x, y, loss, chosen, optimizer, weight, batch)
    for some in (problem.metrics, problem.weighted_metrics):
        if kind in COUNTING and rng.random() < 0.4:
            some.append(pick(rng, *COUNTING[kind])())
    return problem
