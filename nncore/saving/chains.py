"""Models of Keras's functional API that are chains of layers, as configs of a ``Sequential``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def as_sequential(config: Any) -> Any:
    """The config of a chain as that of a ``Sequential``; that of another class as it is.

    Raises:
        ValueError: for a functional model that is no chain.
    """
    if not isinstance(config, Mapping) or config.get("class_name") not in ("Functional", "Model"):
        return config
    inner = config["config"]
    return {
        **config, "module": "keras", "class_name": "Sequential", "registered_name": None, "build_config": None,
        "config": {
            "name": inner.get("name"), "trainable": inner.get("trainable", True), "layers": _in_order(inner),
        },
    }  # fmt: skip


def _in_order(model: Mapping[str, Any]) -> list[Any]:
    """The layers from the input to the output."""
    entries = {entry["name"]: entry for entry in model["layers"]}
    outputs = list(_tensors(model["output_layers"]))
    order: list[Any] = []
    following = outputs
    while following:
        entry = entries[following[0]]
        if len(following) > 1 or len(entry["inbound_nodes"]) > 1 or entry in order:
            raise ValueError(_no_chain(model))
        order.append(entry)
        following = list(_tensors(entry["inbound_nodes"]))
    if len(order) != len(entries):
        raise ValueError(_no_chain(model))
    return [{**entry, "inbound_nodes": []} for entry in reversed(order)]


def _no_chain(model: Mapping[str, Any]) -> str:
    return (
        f"the functional model {model.get('name')!r} is no chain: nncore has models in which each layer takes the "
        "output of the one before, and nothing else"
    )


def _tensors(value: Any) -> Iterator[str]:
    """The layers whose outputs a value speaks of: ``["dense", 0, 0]``, or a tensor with that as its history."""
    if isinstance(value, Mapping):
        if value.get("class_name") == "__keras_tensor__":
            value = {"history": value["config"]["keras_history"]}
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, list):
        if len(value) >= 3 and isinstance(value[0], str) and isinstance(value[1], int):
            yield value[0]
            return
        for item in value:
            yield from _tensors(item)
