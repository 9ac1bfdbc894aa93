"""What conversions share: where one has come to, and a layer more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nncore.layers import Layer
from nncore.models import Sequential


@contextmanager
def place(method: str, index: int, name: str, kind: str) -> Iterator[None]:
    """Inside, a ``ValueError`` is why this layer cannot be converted; what comes out says so."""
    try:
        yield
    except ValueError as why:
        raise ValueError(f"{method}: layer {index}, {name!r} ({kind}), cannot be converted: {why}") from None


def append(model: Sequential, layer: Layer) -> None:
    """Add a layer; ``ValueError`` where it does not fit behind what is there."""
    if layer.takes_integers and model.layers:
        raise ValueError("it takes integers, and must be the first layer.")
    model.add(layer)
