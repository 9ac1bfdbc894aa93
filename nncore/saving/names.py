"""The names that files have for weights: Keras's.

``layers/dense_1/vars/0`` is the first weight of the model's second ``Dense``, whatever the layer's own name; layers of
models inside stand under ``layers/sequential/layers/…``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nncore.layers.base import Layer
from nncore.names import snake_case
from nncore.variables import Variable


def named_variables(layer: Any) -> Iterator[tuple[str, Variable]]:
    """The variables of a model or layer with the names that files have for them."""
    for place, part in named_layers(layer):
        for i, variable in enumerate([*part._trained, *part._kept]):
            yield f"{place}vars/{i}", variable


def named_layers(layer: Any, place: str = "", seen: set[int] | None = None) -> Iterator[tuple[str, Any]]:
    """A model or layer and all that are inside it, each once, with the places that files have for them."""
    seen = set() if seen is None else seen
    if id(layer) in seen:
        return
    seen.add(id(layer))
    yield place, layer
    inside: dict[str, Any] = {"layers": layer.layers} if hasattr(layer, "layers") else _parts(layer)
    for attribute, value in inside.items():
        if isinstance(value, Layer):
            yield from named_layers(value, f"{place}{attribute}/", seen)
            continue
        counts: dict[str, int] = {}
        for part in value:
            stem = snake_case(type(part).__name__)
            count = counts[stem] = counts.get(stem, -1) + 1
            yield from named_layers(part, f"{place}{attribute}/{stem}{f'_{count}' if count else ''}/", seen)


def _parts(layer: Any) -> dict[str, Any]:
    """The layers that a layer of the user's keeps in attributes, and its lists of them."""
    inner = set(map(id, layer._inner_layers()))
    parts = {}
    for name, value in vars(layer).items():
        if id(value) in inner:
            parts[name] = value
        elif isinstance(value, list | tuple) and any(id(item) in inner for item in value):
            parts[name] = [item for item in value if id(item) in inner]
    return parts
