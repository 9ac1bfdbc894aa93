"""What is timed, and how nncore does it.

A workload is plain data: its shapes, its inputs, and the floating-point operations of its matrix products. A side makes
it ready as a :class:`Task`: ``prepare(workload)``. The sides here are nncore's two backends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

Array = np.ndarray[Any, Any]

CHECKED_STEPS = 10
"""Training steps after which the weights of two sides are compared."""


@dataclass(frozen=True)
class Task:
    """A workload made ready by one side."""

    run: Callable[[], object]
    """Does the work once, which is ``units`` units of it; the only part that is timed."""
    result: Callable[[], tuple[list[Array], list[Array]]]
    """Arrays before and after the work, from a start that is the same for all sides."""


class Workload(Protocol):
    """What every workload says of itself."""

    name: str
    unit: str
    """What one time is the time of: a step, a call."""
    units: int
    """Units in one run."""
    flops: int
    """Floating-point operations of the matrix products in one unit."""
    tolerance: float
    """The largest error of :func:`benchmarks.harness.disagreement` that passes."""


@dataclass(frozen=True)
class Fit:
    """Training of dense layers, ReLU between them and softmax at the end, by categorical cross-entropy.

    The timed call is the public ``model.fit(x, y, batch_size, epochs, metrics=["accuracy"], shuffle=True, verbose=0)``.
    """

    sizes: tuple[int, ...]
    batch: int
    optimizer: str
    steps: int
    """Steps in an epoch."""
    epochs: int
    tolerance: float = 1e-4
    unit: str = "step"

    @property
    def name(self) -> str:
        return f"fit {'-'.join(map(str, self.sizes))} batch {self.batch} {self.optimizer}"

    @property
    def units(self) -> int:
        return self.steps * self.epochs

    @property
    def flops(self) -> int:
        """A layer multiplies three times: forwards, for the weights, and, but for the first one, for its inputs."""
        products = sum(k * n * (3 if i else 2) for i, (k, n) in enumerate(pairwise(self.sizes)))
        return 2 * self.batch * products

    def data(self) -> tuple[Array, Array]:
        """Normal samples and one-hot targets, float32."""
        rng = np.random.default_rng(0)
        rows = self.batch * self.steps
        x = rng.standard_normal((rows, self.sizes[0]), np.float32)
        y = np.eye(self.sizes[-1], dtype=np.float32)[rng.integers(0, self.sizes[-1], rows)]
        return x, y

    def weights(self) -> list[Array]:
        """The weights that all sides start from: kernel and bias of each layer, in order."""
        rng = np.random.default_rng(1)
        return [
            array
            for k, n in pairwise(self.sizes)
            for array in (rng.standard_normal((k, n), np.float32) / np.float32(k**0.5), np.zeros(n, np.float32))
        ]


@dataclass(frozen=True)
class Product:
    """One matrix product of a dense layer on arrays: ``nncore.kernels`` against the op's definition in NumPy."""

    op: str
    m: int
    k: int
    n: int
    units: int = 10
    tolerance: float = 1e-5
    unit: str = "call"

    @property
    def name(self) -> str:
        return f"kernel {self.op} {self.m}x{self.k}x{self.n}"

    @property
    def flops(self) -> int:
        return 2 * self.m * self.k * self.n

    def operands(self) -> tuple[Array, list[Array]]:
        """The output, and the inputs in the order of the op's signature."""
        rng = np.random.default_rng(0)
        extent = {"m": self.m, "k": self.k, "n": self.n}
        output, *inputs = {
            "dense": ("mn", "mk", "kn", "n"),
            "dense_grad_x": ("mk", "mn", "kn"),
            "dense_grad_w": ("kn", "mk", "mn"),
        }[self.op]
        shapes = [tuple(extent[letter] for letter in term) for term in inputs]
        return (
            np.zeros([extent[letter] for letter in output], np.float32),
            [rng.standard_normal(shape, np.float32) for shape in shapes],
        )


WORKLOADS: tuple[Fit | Product, ...] = (
    Fit((100, 64, 10), batch=32, optimizer="sgd", steps=200, epochs=5),
    Fit((30, 128, 64, 10), batch=256, optimizer="adam", steps=40, epochs=5),
    Fit((784, 512, 512, 10), batch=128, optimizer="adam", steps=20, epochs=2),
    Fit((784, 512, 512, 10), batch=128, optimizer="sgd", steps=20, epochs=2),
    Product("dense", 512, 512, 512),
    Product("dense_grad_x", 512, 512, 512),
    Product("dense_grad_w", 512, 512, 512),
)


def select(words: str | None) -> tuple[Fit | Product, ...]:
    """The workloads whose name contains one of the comma-separated words; all of them for ``None``."""
    if words is None:
        return WORKLOADS
    wanted = [word.strip() for word in words.split(",") if word.strip()]
    for word in wanted:
        if not any(word in work.name for work in WORKLOADS):
            known = "\n  ".join(work.name for work in WORKLOADS)
            raise ValueError(f"--only: no workload has {word!r} in its name. There are:\n  {known}")
    return tuple(work for work in WORKLOADS if any(word in work.name for word in wanted))


# nncore's own sides


def prepare(side: str, work: Fit | Product) -> Task:
    """The workload on nncore's backend of that name, ``"native"`` or ``"numpy"``."""
    import nncore

    nncore.set_backend(side)
    return _prepare_fit(work) if isinstance(work, Fit) else _prepare_product(side, work)


def _prepare_fit(work: Fit) -> Task:
    import nncore
    from nncore.layers import Dense, Input
    from nncore.models import Sequential

    def build() -> Sequential:
        hidden = [Dense(units, activation="relu") for units in work.sizes[1:-1]]
        model = Sequential([Input(work.sizes[:1]), *hidden, Dense(work.sizes[-1], activation="softmax")])
        model.compile(loss="categorical_crossentropy", optimizer=work.optimizer, metrics=["accuracy"])
        model.set_weights(work.weights())
        return model

    nncore.utils.set_random_seed(0)
    x, y = work.data()
    model = build()

    def run() -> None:
        model.fit(x, y, batch_size=work.batch, epochs=work.epochs, shuffle=True, verbose=0)

    def result() -> tuple[list[Array], list[Array]]:
        rows = work.batch * CHECKED_STEPS
        fresh = build()
        before = fresh.get_weights()
        fresh.fit(x[:rows], y[:rows], batch_size=work.batch, shuffle=False, verbose=0)
        return before, fresh.get_weights()

    return Task(run, result)


def _prepare_product(side: str, work: Product) -> Task:
    from nncore import kernels, ops

    output, inputs = work.operands()

    def once() -> None:
        if side == "native":
            kernels.call(work.op, *inputs, out=output)
        else:
            ops.get(work.op).body(output, *inputs)

    def run() -> None:
        for _ in range(work.units):
            once()

    def result() -> tuple[list[Array], list[Array]]:
        once()
        return [np.zeros_like(output)], [output]

    return Task(run, result)
