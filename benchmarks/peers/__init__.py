"""The same workloads on other libraries, each in the form that suits it best; one module a library.

A module has ``Fit(work, x, y)``, a :class:`Network` with the workload's weights, and ``predictor(work)``, a function
without arguments that returns predictions for the workload's samples, or ``None`` for what its library does not do. It
leaves out ``Fit`` where its library does not train. Nothing else here imports the library.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from benchmarks import workloads
from benchmarks.workloads import Array, Task, Work

PEERS = {
    "numpy": ("numpy",),
    "torch": ("torch",),
    "torch-default": ("torch",),
    "jax": ("jax", "jaxlib"),
    "sklearn": ("scikit-learn",),
    "onnxruntime": ("onnxruntime", "onnx"),
    "keras": ("keras", "jax"),
    "thinc": ("thinc",),
}
"""Peers by name, and the distributions that each one needs. ``numpy`` is NumPy by hand, not nncore's backend."""

IMPORTED = {"scikit-learn": "sklearn"}
"""How a distribution is imported, where that is not its name."""

MODULES = {"torch-default": "torch"}
"""The module here that serves a peer, where that is not its name."""


class Network(Protocol):
    """What ``Fit`` of a peer's module makes."""

    def train(self, epochs: int, shuffle: bool) -> None:
        """So many epochs over all rows, in a new order each where ``shuffle``."""

    def weights(self) -> list[Array]:
        """Kernel (in, out) and bias of each layer, in order."""


def choose(names: str | None) -> tuple[list[str], dict[str, str]]:
    """The peers of a comma-separated list that can run here, and why the others cannot; ``None``: all there are.

    ``torch`` in the list stands for ``torch-default`` too.

    Raises:
        ValueError: a name that is no peer's.
    """
    wanted = list(PEERS) if names is None else [name.strip() for name in names.split(",") if name.strip()]
    for name in wanted:
        if name not in PEERS:
            raise ValueError(f"--peers: {name!r} is not known. Known peers: {', '.join(PEERS)}.")
    wanted = [name for name in PEERS if name in wanted or MODULES.get(name) in wanted]
    missing = {name: [d for d in PEERS[name] if find_spec(IMPORTED.get(d, d)) is None] for name in wanted}
    return (
        [name for name in wanted if not missing[name]],
        {name: f"{' and '.join(absent)} not installed" for name, absent in missing.items() if absent},
    )


def module(peer: str) -> ModuleType:
    """The module of a peer; imports its library."""
    return import_module(f"{__name__}.{MODULES.get(peer, peer)}")


def configuration(peer: str) -> str:
    """The versions of a peer."""
    return ", ".join(f"{name} {version(name)}" for name in PEERS[peer])


def network(peer: str, work: workloads.Fit, x: Array, y: Array) -> Network | None:
    """A peer's network for training, or ``None`` where it does not train."""
    make: Any = getattr(module(peer), "Fit", None)
    if make is None:
        return None
    made: Network = make(work, x, y, fused=False) if peer == "torch-default" else make(work, x, y)
    return made


def prepare(peer: str, work: Work) -> Task | None:
    """The workload on a peer, or ``None`` where the peer does not do it."""
    if isinstance(work, workloads.Fit):
        return _prepare_fit(peer, work)
    if isinstance(work, workloads.Predict) and peer != "torch-default":
        predictor = getattr(module(peer), "predictor", None)
        once = None if predictor is None else predictor(work)
        return None if once is None else workloads.repeated(once, work)
    return None


def _prepare_fit(peer: str, work: workloads.Fit) -> Task | None:
    x, y = work.data()
    timed = network(peer, work, x, y)
    if timed is None:
        return None

    def result() -> tuple[list[Array], list[Array]]:
        rows = work.batch * work.checked
        fresh = network(peer, work, x[:rows], y[:rows])
        assert fresh is not None
        fresh.train(1, shuffle=False)
        return workloads.initial_weights(work.sizes), [np.asarray(w) for w in fresh.weights()]

    return Task(lambda: timed.train(work.epochs, shuffle=True), result)
