"""What is timed, and how nncore does it.

A workload is plain data: its shapes, its inputs, the floating-point operations of its matrix products and the bytes
that it cannot but move. A side makes it ready as a :class:`Task`: ``prepare(side, workload)``. The sides here are
nncore's two backends, ``"native"`` and, as ``"reference"``, the NumPy definitions; other libraries are in ``peers``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import numpy as np

Array = np.ndarray[Any, Any]

BACKENDS = {"native": "native", "reference": "numpy"}
"""nncore's sides, and the backend of each."""

RATES = {"sgd": 0.01, "adam": 0.001}
"""The learning rate of each optimizer. Adam's decays are 0.9 and 0.999 and its epsilon is ``EPSILON``, on all sides."""
EPSILON = 1e-7


@dataclass(frozen=True)
class Task:
    """A workload made ready by one side."""

    run: Callable[[], object]
    """Does the work once, which is ``units`` units of it; the only part that is timed."""
    result: Callable[[], tuple[Sequence[Array], Sequence[Array]]]
    """Arrays before and after the work, from a start that is the same for all sides."""
    once: Callable[[], object] | None = None
    """One unit, where units are so short that single ones matter too."""


NARROW = 16
"""Columns of a weight gradient up to which nncore computes its transpose, as in ``src/kernels/gemm.h``."""


class Extents(NamedTuple):
    """A matrix product: rows and columns of the output, and how many multiply-adds make one element."""

    rows: int
    depth: int
    columns: int
    flips: bool = False
    """Whether the output may as well be computed transposed: a weight gradient, where it is narrow."""

    @property
    def multiply_adds(self) -> int:
        return self.rows * self.depth * self.columns

    def issued(self, lanes: int) -> int:
        """Multiply-adds of vectors of so many lanes: those of the lanes beyond the last column too."""
        width, height = self.columns, self.rows
        if self.flips and width <= NARROW and height > width:
            width, height = height, width
        return height * self.depth * -(-width // lanes) * lanes


class Counted:
    """What follows from the matrix products of a workload, its ``products``."""

    @property
    def products(self) -> list[Extents]:
        raise NotImplementedError

    @property
    def flops(self) -> int:
        """Floating-point operations of the matrix products in one unit."""
        return 2 * sum(product.multiply_adds for product in self.products)

    def issued_flops(self, lanes: int) -> int:
        """The same of the vector units: lanes that narrow outputs leave empty count too."""
        return 2 * sum(product.issued(lanes) for product in self.products)


class Workload(Protocol):
    """What every workload says of itself."""

    @property
    def name(self) -> str: ...

    @property
    def unit(self) -> str:
        """What one time is the time of: a step, a call."""

    @property
    def units(self) -> int:
        """Units in one run."""

    @property
    def products(self) -> list[Extents]:
        """The matrix products in one unit."""

    @property
    def bytes(self) -> int:
        """Bytes that one unit must read and write at the least: each array once, where it is read or written."""

    @property
    def tolerance(self) -> float:
        """The largest error of :func:`benchmarks.harness.disagreement` that passes."""


def parameters(sizes: Sequence[int]) -> int:
    """Weights of dense layers of these widths."""
    return sum((k + 1) * n for k, n in pairwise(sizes))


def initial_weights(sizes: Sequence[int]) -> list[Array]:
    """The weights that all sides start from: kernel (in, out) and bias of each layer, in order."""
    rng = np.random.default_rng(1)
    return [
        array
        for k, n in pairwise(sizes)
        for array in (rng.standard_normal((k, n), np.float32) / np.float32(k**0.5), np.zeros(n, np.float32))
    ]


def _spell(sizes: Sequence[int]) -> str:
    return "-".join(map(str, sizes))


@dataclass(frozen=True)
class Fit(Counted):
    """Training of dense layers, ReLU between them and softmax at the end, by categorical cross-entropy.

    nncore's timed call is ``model.fit(x, y, batch_size, epochs, shuffle=True, verbose=0)``, compiled with
    ``metrics=["accuracy"]``.
    """

    sizes: tuple[int, ...]
    batch: int
    optimizer: str
    steps: int
    """Steps in an epoch."""
    epochs: int
    checked: int = 10
    """Training steps after which the weights of two sides are compared: few where the network is wide, since the
    rounding of one of many activations soon takes it to the other side of ReLU's corner."""
    tolerance: float = 1e-4
    """Wider where millions of activations are likely to have one that rounds to the other side of the corner: among n,
    one changes the gradients by about 1 / √n."""
    unit: str = "step"

    @property
    def name(self) -> str:
        return f"fit {_spell(self.sizes)} batch {self.batch} {self.optimizer}"

    @property
    def units(self) -> int:
        return self.steps * self.epochs

    @property
    def products(self) -> list[Extents]:
        """A layer multiplies three times: forwards, for the weights, and, but for the first one, for its inputs."""
        found = []
        for i, (k, n) in enumerate(pairwise(self.sizes)):
            found += [Extents(self.batch, k, n), Extents(k, self.batch, n, flips=True)]
            found += [Extents(self.batch, n, k)] if i else []
        return found

    @property
    def bytes(self) -> int:
        """The rows of the batch; the weights, and Adam's two moments of each, read and written."""
        vectors = {"sgd": 2, "adam": 6}[self.optimizer]
        return 4 * (vectors * parameters(self.sizes) + self.batch * (self.sizes[0] + self.sizes[-1]))

    def data(self) -> tuple[Array, Array]:
        """Normal samples and one-hot targets, float32."""
        rng = np.random.default_rng(0)
        rows = self.batch * self.steps
        x = rng.standard_normal((rows, self.sizes[0]), np.float32)
        y = np.eye(self.sizes[-1], dtype=np.float32)[rng.integers(0, self.sizes[-1], rows)]
        return x, y


@dataclass(frozen=True)
class Predict(Counted):
    """Predictions of the same layers for a batch that is there as a float32 array.

    nncore's timed call is ``model.predict(x, verbose=0)``, or, with ``out``, ``model.predict(x, verbose=0, out=y)``.
    """

    sizes: tuple[int, ...]
    batch: int
    units: int
    out: bool = False
    """Whether the predictions go to an array that exists."""
    tolerance: float = 1e-5
    unit: str = "call"

    @property
    def name(self) -> str:
        return f"predict {_spell(self.sizes)} batch {self.batch}" + (" out=" if self.out else "")

    @property
    def products(self) -> list[Extents]:
        return [Extents(self.batch, k, n) for k, n in pairwise(self.sizes)]

    @property
    def bytes(self) -> int:
        """The weights and the samples read, the predictions written."""
        return 4 * (parameters(self.sizes) + self.batch * (self.sizes[0] + self.sizes[-1]))

    def data(self) -> Array:
        """Normal samples, float32."""
        return np.random.default_rng(0).standard_normal((self.batch, self.sizes[0]), np.float32)


@dataclass(frozen=True)
class Product(Counted):
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
    def products(self) -> list[Extents]:
        return {
            "dense": [Extents(self.m, self.k, self.n)],
            "dense_grad_x": [Extents(self.m, self.n, self.k)],
            "dense_grad_w": [Extents(self.k, self.m, self.n, flips=True)],
        }[self.op]

    @property
    def bytes(self) -> int:
        return 4 * (self.m * self.k + self.k * self.n + self.m * self.n)

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


GATED: tuple[Fit | Product, ...] = (
    Fit((100, 64, 10), batch=32, optimizer="sgd", steps=200, epochs=5),
    Fit((30, 128, 64, 10), batch=256, optimizer="adam", steps=40, epochs=5),
    Fit((784, 512, 512, 10), batch=128, optimizer="adam", steps=20, epochs=2, checked=2),
    Fit((784, 512, 512, 10), batch=128, optimizer="sgd", steps=20, epochs=2, checked=2),
    Product("dense", 512, 512, 512),
    Product("dense_grad_x", 512, 512, 512),
    Product("dense_grad_w", 512, 512, 512),
)
"""What ``--check`` times and ``floors.json`` has floors for."""

WORKLOADS: tuple[Fit | Predict | Product, ...] = (
    *GATED[:4],
    Fit((1024, 4096, 4096, 10), batch=256, optimizer="sgd", steps=2, epochs=1, checked=1, tolerance=2e-3),
    Predict((8, 64, 64, 4), batch=1, units=2000),
    Predict((8, 64, 64, 4), batch=1, units=2000, out=True),
    Predict((784, 512, 512, 10), batch=1, units=500),
    Predict((100, 64, 10), batch=1024, units=200),
    Predict((784, 512, 512, 10), batch=256, units=20),
    *GATED[4:],
)

SECTIONS = ("import", "growth", "threads", "estimators", "accuracy")
"""What is measured in ways of its own, each by the module of its name, and ``import`` by ``start.py``."""
ON_DEMAND = ("accuracy",)
"""Sections that run only where ``--only`` names them."""

Work = Fit | Predict | Product


def select(words: str | None, gated: bool = False) -> tuple[tuple[Work, ...], tuple[str, ...]]:
    """The workloads and sections whose name contains one of the comma-separated words; ``None``: all by default.

    Args:
        words: What the command line says.
        gated: Choose among what has floors only.

    Raises:
        ValueError: a word that no name contains.
    """
    works: tuple[Work, ...] = GATED if gated else WORKLOADS
    sections = () if gated else SECTIONS
    if words is None:
        return works, tuple(section for section in sections if section not in ON_DEMAND)
    wanted = [word.strip() for word in words.split(",") if word.strip()]
    names = [*(work.name for work in works), *sections]
    for word in wanted:
        if not any(word in name for name in names):
            known = "\n  ".join(names)
            raise ValueError(f"--only: no workload has {word!r} in its name. There are:\n  {known}")
    return (
        tuple(work for work in works if any(word in work.name for word in wanted)),
        tuple(section for section in sections if any(word in section for word in wanted)),
    )


# nncore's own sides


def prepare(side: str, work: Work) -> Task:
    """The workload on nncore's side of that name."""
    import nncore

    nncore.set_backend(BACKENDS[side])
    if isinstance(work, Fit):
        return _prepare_fit(work)
    return _prepare_predict(work) if isinstance(work, Predict) else _prepare_product(side, work)


def build(sizes: Sequence[int]) -> Any:
    """nncore's model of a workload, with the weights that all sides start from."""
    from nncore.layers import Dense, Input
    from nncore.models import Sequential

    hidden = [Dense(units, activation="relu") for units in sizes[1:-1]]
    model = Sequential([Input(tuple(sizes[:1])), *hidden, Dense(sizes[-1], activation="softmax")])
    model.set_weights(initial_weights(sizes))
    return model


def build_compiled(work: Fit) -> Any:
    """The same, ready for training."""
    model = build(work.sizes)
    model.compile(loss="categorical_crossentropy", optimizer=work.optimizer, metrics=["accuracy"])
    return model


def _prepare_fit(work: Fit) -> Task:
    import nncore

    nncore.utils.set_random_seed(0)
    x, y = work.data()
    model = build_compiled(work)

    def run() -> None:
        model.fit(x, y, batch_size=work.batch, epochs=work.epochs, shuffle=True, verbose=0)

    def result() -> tuple[list[Array], list[Array]]:
        rows = work.batch * work.checked
        fresh = build_compiled(work)
        before = fresh.get_weights()
        fresh.fit(x[:rows], y[:rows], batch_size=work.batch, shuffle=False, verbose=0)
        return before, fresh.get_weights()

    return Task(run, result)


def _prepare_predict(work: Predict) -> Task:
    x, model = work.data(), build(work.sizes)
    y = np.zeros((work.batch, work.sizes[-1]), np.float32)

    def once() -> Any:
        return model.predict(x, verbose=0)

    def once_out() -> Any:
        return model.predict(x, verbose=0, out=y)

    return repeated(once_out if work.out else once, work)


def repeated(once: Callable[[], Array], work: Predict) -> Task:
    """The task of a call that returns the predictions."""

    def run() -> None:
        for _ in range(work.units):
            once()

    def result() -> tuple[list[Array], list[Array]]:
        y = once()
        return [np.zeros(y.shape)], [y.copy()]

    return Task(run, result, once)


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
