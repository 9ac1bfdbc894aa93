"""Networks drawn at random: every layer, activation, loss and optimizer, with their options, as plain specifications.

A specification names classes and their arguments in Keras's words, so that any library with Keras's API can build it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Made = tuple[str, dict[str, Any]]
"""A class and its arguments."""

ELEMENTWISE = (
    "relu", "relu6", "leaky_relu", "elu", "celu", "selu", "softplus", "softsign", "silu", "gelu", "mish", "linear",
    "exponential", "sigmoid", "log_sigmoid", "tanh", "hard_sigmoid", "hard_silu", "hard_tanh", "tanh_shrink",
    "hard_shrink", "soft_shrink", "squareplus", "sparse_plus", "sparse_sigmoid", "swish", "hard_swish",
)  # fmt: skip
ROWWISE = ("softmax", "log_softmax", "sparsemax", "glu")
OF_ITS_OWN = ("sparsemax", "glu")
"""Activations that Keras 3.15 has otherwise: its sparsemax adds up more than the support's last sum, and its layers do
not know that glu halves an axis."""


@dataclass
class Network:
    """A model, its data, and how it is trained. Values of arguments that are ``Made`` stand for objects."""

    number: int
    input_shape: tuple[int, ...]
    layers: list[Made]
    loss: Made
    optimizer: Made
    x: Array
    y: Array
    metrics: list[Made] = field(default_factory=list)
    fit: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"network {self.number}: x {self.x.shape} {self.x.dtype}, y {self.y.shape} {self.y.dtype}"]
        lines += [f"  {name}({', '.join(f'{k}={v!r}' for k, v in kw.items())})" for name, kw in self.layers]
        lines += [f"  loss {self.loss}", f"  optimizer {self.optimizer}"]
        shown = {k: "…" if isinstance(v, np.ndarray) else v for k, v in self.fit.items()}
        return "\n".join([*lines, f"  metrics {self.metrics}", f"  fit {shown}"])

    def model(self, library: Any) -> Any:
        """The compiled model, made with ``library.layers``, ``.losses``, ``.optimizers`` …"""
        model = library.models.Sequential(
            [library.Input(self.input_shape), *(make(library, "layers", m) for m in self.layers)]
        )
        model.compile(
            make(library, "optimizers", self.optimizer), make(library, "losses", self.loss),
            metrics=[make(library, "metrics", m) for m in self.metrics],
        )  # fmt: skip
        return model


PLACES = {
    "regularizer": "regularizers", "constraint": "constraints", "initializer": "initializers",
    "learning_rate": "optimizers.schedules",
}  # fmt: skip


def make(library: Any, home: str, made: Made) -> Any:
    """The object that a class's name and arguments describe."""
    name, arguments = made
    built = {}
    for key, value in arguments.items():
        if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], dict):
            place = next(place for suffix, place in PLACES.items() if key.endswith(suffix))
            value = make(library, place, value)
        built[key] = value
    where = library
    for part in home.split("."):
        where = getattr(where, part)
    return getattr(where, name)(**built)


class Draw:
    """A random generator with the choices that specifications need."""

    def __init__(self, number: int) -> None:
        self.rng = np.random.default_rng(number)

    def pick(self, *choices: Any) -> Any:
        return choices[int(self.rng.integers(len(choices)))]

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def between(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def regularizer(self) -> Made:
        return self.pick(
            ("L1", {"l1": 0.01}), ("L2", {"l2": 0.02}), ("L1L2", {"l1": 0.01, "l2": 0.01}),
            ("OrthogonalRegularizer", {"factor": 0.01}),
        )  # fmt: skip

    def constraint(self) -> Made:
        return self.pick(
            ("MaxNorm", {"max_value": 1.0}), ("NonNeg", {}), ("UnitNorm", {}),
            ("MinMaxNorm", {"min_value": 0.3, "max_value": 1.2, "rate": 0.7}),
        )  # fmt: skip

    def dense(self, activation: str | None = None, units: int | None = None) -> Made:
        kw: dict[str, Any] = {"units": units or int(self.pick(1, 2, 4, 6, 9, 16, 17, 33)), "activation": activation}
        if self.chance(0.2):
            kw["use_bias"] = False
        if self.chance(0.25):
            kw["kernel_regularizer"] = self.regularizer()
        if self.chance(0.15) and kw.get("use_bias", True):
            kw["bias_regularizer"] = ("L2", {"l2": 0.05})
        if self.chance(0.15):
            kw["activity_regularizer"] = self.pick(("L1", {"l1": 0.02}), ("L2", {"l2": 0.02}))
        if self.chance(0.2):
            kw["kernel_constraint"] = self.constraint()
        if self.chance(0.1) and kw.get("use_bias", True):
            kw["bias_constraint"] = ("NonNeg", {})
        if self.chance(0.1):
            kw["trainable"] = False
        return "Dense", kw


def normalizing(draw: Draw, shape: tuple[int, ...]) -> Made:
    """A normalization that takes samples of this shape."""
    last, name = shape[-1], draw.pick("Batch", "Batch", "Layer", "Group", "RMS", "Unit")
    options = {"center": draw.chance(0.8), "scale": draw.chance(0.8), "epsilon": draw.pick(1e-3, 1e-2)}
    if name == "Batch":
        axis = draw.pick(-1, -1, *range(1, len(shape) + 1))
        return "BatchNormalization", {"axis": axis, "momentum": draw.pick(0.99, 0.6), **options}
    if name == "Layer":
        axis = draw.pick(-1, -1, list(range(1, len(shape) + 1)))
        return "LayerNormalization", {"axis": axis, **options}
    if name == "Group":
        return "GroupNormalization", {"groups": draw.pick(*(g for g in range(1, last + 1) if last % g == 0)), **options}
    if name == "RMS":
        return "RMSNormalization", {"epsilon": 1e-2}
    return "UnitNormalization", {}


def activating(draw: Draw, shape: tuple[int, ...], own: bool) -> tuple[Made, tuple[int, ...]]:
    """An activation as a layer, and the shape it leaves; ``own``: also those that Keras has otherwise."""
    kind = draw.pick("name", "name", "name", "row", "LeakyReLU", "PReLU", "ELU", "ReLU", "Softmax")
    if kind == "name":
        return ("Activation", {"activation": draw.pick(*ELEMENTWISE)}), shape
    if kind == "row":
        name = draw.pick(*(n for n in ROWWISE if (n != "glu" or shape[-1] % 2 == 0) and (own or n not in OF_ITS_OWN)))
        left = (*shape[:-1], shape[-1] // 2) if name == "glu" else shape
        return ("Activation", {"activation": name}), left
    options: dict[str, Any] = {
        "LeakyReLU": {"negative_slope": 0.15},
        "PReLU": {"alpha_initializer": ("Constant", {"value": 0.2})},
        "ELU": {"alpha": 0.7},
        "ReLU": {"max_value": 1.5, "negative_slope": 0.1, "threshold": 0.2},
        "Softmax": {"axis": draw.pick(-1, *range(1, len(shape) + 1))},
    }[kind]
    if kind == "PReLU" and len(shape) > 1 and draw.chance(0.5):
        options["shared_axes"] = [1]
    return (kind, options), shape


def noisy(draw: Draw, shape: tuple[int, ...]) -> Made:
    """A layer that is random in training."""
    choices = [
        ("Dropout", {"rate": 0.3}), ("GaussianNoise", {"stddev": 0.2}), ("GaussianDropout", {"rate": 0.2}),
        ("AlphaDropout", {"rate": 0.2}),
    ]  # fmt: skip
    if len(shape) in (2, 3):
        choices.append((f"SpatialDropout{len(shape) - 1}D", {"rate": 0.3}))
    return draw.pick(*choices)


def reshaping(draw: Draw, shape: tuple[int, ...]) -> tuple[Made, tuple[int, ...]]:
    """A layer that moves values, and the shape it leaves."""
    if len(shape) == 1:
        if draw.chance(0.5):
            return ("RepeatVector", {"n": 3}), (3, *shape)
        return ("Reshape", {"target_shape": (shape[0], 1)}), (shape[0], 1)
    if draw.chance(0.5):
        return ("Flatten", {}), (prod(shape),)
    dims = tuple(int(n) for n in draw.rng.permutation(len(shape)) + 1)
    return ("Permute", {"dims": dims}), tuple(shape[d - 1] for d in dims)


def hidden(draw: Draw, shape: tuple[int, ...], noise: bool, normalized: bool) -> tuple[list[Made], tuple[int, ...]]:
    """One to five layers for samples of this shape, and the shape they leave."""
    layers: list[Made] = []
    for _ in range(draw.between(1, 5)):
        kind = draw.pick("dense", "dense", "dense", "norm", "norm", "activation", "activation", "noise", "move", "rest")
        if kind == "dense":
            made = draw.dense(draw.pick(None, *ELEMENTWISE, "softmax"))
            layers.append(made)
            shape = (*shape[:-1], made[1]["units"])
        elif kind == "norm" and normalized:
            layers.append(normalizing(draw, shape))
        elif kind == "activation":
            made, shape = activating(draw, shape, own=noise)
            layers.append(made)
        elif kind == "noise" and noise:
            layers.append(noisy(draw, shape))
        elif kind == "move":
            made, shape = reshaping(draw, shape)
            layers.append(made)
        else:
            layers.append(
                draw.pick(
                    ("Rescaling", {"scale": 0.7, "offset": -0.2}),
                    ("Identity", {}),
                    ("ActivityRegularization", {"l1": 0.01, "l2": 0.02}),
                )
            )
    return layers, shape


HEADS: dict[str, tuple[tuple[str | None, ...], str, tuple[dict[str, Any], ...]]] = {
    "MeanSquaredError": ((None, "tanh"), "values", ({},)),
    "MeanAbsoluteError": ((None, "tanh"), "values", ({},)),
    "MeanAbsolutePercentageError": ((None,), "large", ({},)),
    "MeanSquaredLogarithmicError": (("softplus",), "positive", ({},)),
    "CosineSimilarity": ((None,), "directions", ({},)),
    "Huber": ((None,), "values", ({}, {"delta": 0.4})),
    "LogCosh": ((None,), "values", ({},)),
    "Hinge": ((None, "tanh"), "signs", ({},)),
    "SquaredHinge": ((None, "tanh"), "binary", ({},)),
    "CategoricalHinge": (("softmax", None), "one_hot", ({},)),
    "KLDivergence": (("softmax",), "shares", ({},)),
    "Poisson": (("softplus",), "counts", ({},)),
    "BinaryCrossentropy": (("sigmoid",), "binary", ({}, {"label_smoothing": 0.1})),
    "BinaryFocalCrossentropy": (("sigmoid",), "binary", ({}, {"apply_class_balancing": True, "gamma": 1.5})),
    "CategoricalCrossentropy": (("softmax",), "one_hot", ({}, {"label_smoothing": 0.1})),
    "CategoricalFocalCrossentropy": (("softmax",), "one_hot", ({}, {"gamma": 1.5})),
    "SparseCategoricalCrossentropy": (("softmax",), "labels", ({}, {"ignore_class": 1})),
    "Dice": (("sigmoid",), "binary", ({},)),
    "Tversky": (("sigmoid",), "binary", ({"alpha": 0.3, "beta": 0.6},)),
}
"""Losses: activations of the last layer, kind of targets, arguments."""

LOGITS = ("BinaryCrossentropy", "BinaryFocalCrossentropy", "CategoricalCrossentropy", "SparseCategoricalCrossentropy")
"""Losses that also take logits."""

METRICS = {
    "values": ["MeanAbsoluteError", "RootMeanSquaredError", "CosineSimilarity", "R2Score"],
    "binary": ["BinaryAccuracy", "AUC", "Precision", "Recall"],
    "one_hot": ["CategoricalAccuracy", "F1Score"],
    "labels": ["SparseCategoricalAccuracy"],
}


def targets(draw: Draw, kind: str, rows: int, units: int) -> Array:
    """``y`` of a kind."""
    rng, shape = draw.rng, (rows, units)
    if kind == "labels":
        return rng.integers(0, units, rows)
    made = {
        "values": lambda: rng.normal(size=shape),
        "directions": lambda: rng.normal(size=shape),
        "large": lambda: rng.uniform(1, 3, shape) * rng.choice([-1, 1], shape),
        "positive": lambda: rng.uniform(0, 3, shape),
        "counts": lambda: rng.poisson(2, shape),
        "signs": lambda: rng.choice([-1, 1], shape),
        "binary": lambda: rng.integers(0, 2, shape),
        "one_hot": lambda: np.eye(units)[rng.integers(0, units, rows)],
        "shares": lambda: rng.dirichlet(np.ones(units), rows),
    }[kind]()
    return made.astype(np.float32)


OPTIMIZERS: dict[str, tuple[float, tuple[dict[str, Any], ...]]] = {
    "SGD": (0.02, ({}, {}, {"momentum": 0.9}, {"momentum": 0.8, "nesterov": True})),
    "Adam": (0.002, ({"epsilon": 1e-3}, {"epsilon": 1e-2}, {"amsgrad": True, "epsilon": 1e-3})),
    "AdamW": (0.002, ({"epsilon": 1e-3},)),
    "Adamax": (0.002, ({"epsilon": 1e-3},)),
    "Nadam": (0.002, ({"epsilon": 1e-3},)),
    "RMSprop": (0.002, ({"epsilon": 1e-3}, {"momentum": 0.5, "epsilon": 1e-3}, {"centered": True, "epsilon": 1e-2})),
    "Adagrad": (0.01, ({}, {"epsilon": 0.1})),
    "Adadelta": (0.1, ({"epsilon": 1e-3},)),
    "Adafactor": (0.002, ({},)),
    "Ftrl": (0.01, ({}, {"l1_regularization_strength": 0.001, "l2_regularization_strength": 0.01})),
    "Lion": (2e-5, ({},)),
    "Lamb": (0.001, ({"epsilon": 1e-3},)),
    "Muon": (0.001, ({},)),
}
"""Optimizers: a rate, small where a sign or a quotient of tiny numbers could go either way, and arguments."""

OF_ANY_SIZE = ("Adafactor", "Lamb", "Lion")
"""Optimizers whose steps do not get smaller with the gradient. What stands before a normalization has weights whose
gradient is 0 but for rounding, of which they would make whole steps: with them there is none."""

EXTRAS: tuple[dict[str, Any], ...] = (
    {}, {}, {}, {"weight_decay": 0.01}, {"clipnorm": 0.5}, {"global_clipnorm": 0.5}, {"clipvalue": 0.05},
    {"use_ema": True, "ema_momentum": 0.9}, {"use_ema": True, "ema_momentum": 0.8, "ema_overwrite_frequency": 3},
    {"gradient_accumulation_steps": 2}, {"weight_decay": 0.01, "clipnorm": 1.0},
)  # fmt: skip


def optimizing(draw: Draw) -> Made:
    """An optimizer with its own and with common arguments."""
    name = draw.pick(*OPTIMIZERS)
    rate, own = OPTIMIZERS[name]
    chosen: Any = rate
    if draw.chance(0.2):
        chosen = ("ExponentialDecay", {"initial_learning_rate": rate, "decay_steps": 5, "decay_rate": 0.7})
    return name, {"learning_rate": chosen, **draw.pick(*own), **draw.pick(*EXTRAS)}


def network(number: int, noise: bool = True) -> Network:
    """A network, a function of ``number``; without ``noise`` nothing in it is random."""
    draw = Draw(number)
    rows, integers = draw.between(9, 40), draw.chance(0.12)
    first: list[Made] = []
    if integers:
        steps, vocabulary = draw.between(1, 5), draw.between(3, 9)
        shape: tuple[int, ...] = (steps,)
        x = draw.rng.integers(0, vocabulary, (rows, steps)).astype(np.int32)
        width = draw.between(1, 6)
        first = [("Embedding", {"input_dim": vocabulary, "output_dim": width})]
        inside: tuple[int, ...] = (steps, width)
    else:
        shape = draw.pick(
            (draw.between(1, 9),), (draw.between(1, 9),), (draw.between(2, 4), draw.between(1, 6)), (3, 2, 4)
        )
        x = draw.rng.normal(size=(rows, *shape)).astype(np.float32)
        inside = shape
    optimizer = optimizing(draw)
    layers, left = hidden(draw, inside, noise, normalized=optimizer[0] not in OF_ANY_SIZE)
    if len(left) > 1:
        layers.append(("Flatten", {}))
    name = draw.pick(*HEADS)
    activations, kind, arguments = HEADS[name]
    several = kind in ("labels", "one_hot", "shares", "directions")  # of one number, a direction is its sign
    units = draw.between(2, 6) if several else draw.pick(1, 2, 5)
    loss = dict(draw.pick(*arguments))
    activation = draw.pick(*activations)
    if name in LOGITS and draw.chance(0.3):
        activation, loss["from_logits"] = None, True
    weighted = draw.chance(0.3)
    loss["reduction"] = draw.pick("sum_over_batch_size", "sum_over_batch_size", "sum", "mean_with_sample_weight")
    head = draw.dense(activation, units)
    head[1].pop("trainable", None)
    fit: dict[str, Any] = {"batch_size": draw.pick(4, 8, 16, 50), "epochs": draw.between(2, 3)}
    if weighted:
        fit["sample_weight"] = draw.rng.uniform(0.2, 2, rows).astype(np.float32)
    elif kind == "labels" and draw.chance(0.3):
        fit["class_weight"] = {0: 0.5, 1: 2.0}
    if draw.chance(0.4):
        fit["validation_split"] = 0.25
    metrics = [(m, {}) for m in METRICS.get(kind, []) if draw.chance(0.3) and not loss.get("from_logits")]
    if units == 1:
        metrics = [m for m in metrics if m[0] != "CosineSimilarity"]
    y = targets(draw, kind, rows, units)
    return Network(
        number, shape, [*first, *layers, head], (name, loss), optimizer, x, y, metrics, fit
    )  # fmt: skip
