"""Models of Keras's functional API that are chains of layers, as configs of a ``Sequential``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nncore.names import snake_case

Config = Mapping[str, Any]

FUNCTIONAL = ("Functional", "Model")
"""What configs call functional models."""


def as_sequential(config: Any) -> Any:
    """The config of a chain as that of a ``Sequential``, also inside other models; that of another class as it is.

    Raises:
        ValueError: for a functional model that is no chain.
    """
    if not _is_model(config):
        return config
    inner = config["config"]
    if config["class_name"] == "Sequential":
        if not isinstance(inner, Mapping) or "layers" not in inner:
            return config
        layers = [as_sequential(entry) for entry in inner["layers"]]
        return {"module": "keras", **config, "config": {**inner, "layers": layers}}  # Keras 2 names no modules
    layers = [as_sequential({**entry, "inbound_nodes": []}) for entry in _in_order(inner)]
    return {
        **config, "module": "keras", "class_name": "Sequential", "registered_name": None, "build_config": None,
        "config": {"name": inner.get("name"), "trainable": inner.get("trainable", True), "layers": layers},
    }  # fmt: skip


def _is_model(config: Any) -> bool:
    return isinstance(config, Mapping) and config.get("class_name") in ("Sequential", *FUNCTIONAL)


def moved(config: Config, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """A file's arrays under the names that they have where every chain in it is a ``Sequential``.

    Places in files speak of classes, ``layers/functional/layers/dense``, and count them in the order of the file.
    """
    places = {} if as_sequential(config) == config else dict(_places(config, "", ""))

    def name(old: str) -> str:
        parts = old.split("/")
        for end in range(len(parts) - 1, 0, -1):
            place = "/".join(parts[:end])
            if place in places:
                return "/".join([places[place], *parts[end:]])
        return old

    return {name(old): array for old, array in arrays.items()}


def _places(model: Config, theirs: str, ours: str) -> Iterator[tuple[str, str]]:
    """For every layer, also of models inside: its place as the file has it, and as a ``Sequential`` has it."""
    before, after = model["config"]["layers"], as_sequential(model)["config"]["layers"]
    new = dict(_named_places(after, ours))
    for entry, (name, old) in zip(before, _named_places(before, theirs), strict=True):
        if _is_model(entry):
            yield from _places(entry, old, new[name])
        else:
            yield old, new[name]


def _named_places(entries: Sequence[Config], place: str) -> Iterator[tuple[str, str]]:
    """The name of each layer and its place, ``layers/dense_1``."""
    counts: dict[str, int] = {}
    for entry in entries:
        stem = snake_case(entry["class_name"])
        count = counts[stem] = counts.get(stem, -1) + 1
        yield entry["config"]["name"], f"{place}{'/' if place else ''}layers/{stem}{f'_{count}' if count else ''}"


def _in_order(model: Config) -> list[Config]:
    """The layers from the input to the output."""
    entries = {entry["name"]: entry for entry in model["layers"]}
    ends = list(_tensors(model["output_layers"]))
    if len(ends) != 1 or len(list(_tensors(model["input_layers"]))) != 1:
        raise _no_chain(model, "it must have one input and one output")
    order: list[Config] = []
    name: str | None = ends[0]
    while name is not None:
        entry = entries[name]
        if entry in order:
            raise _no_chain(model, f"{name!r} is called again with what comes of it")
        order.append(entry)
        name = _source(model, entry)
    for name in entries:
        if entries[name] not in order:
            raise _no_chain(model, f"{name!r} leads aside")
    return order[::-1]


def _source(model: Config, entry: Config) -> str | None:
    """The layer whose output a layer takes; ``None`` for an input."""
    calls, name = entry["inbound_nodes"], entry["name"]
    if not calls:
        return None
    if len(calls) > 1:
        raise _no_chain(model, f"{name!r} is called {len(calls)} times")
    sources, settings = list(_tensors(calls[0])), sorted(_settings(calls[0]))
    if len(sources) != 1:
        raise _no_chain(model, f"{name!r} is called with the outputs of {len(sources)} layers")
    if settings:
        raise _no_chain(model, f"{name!r} is called with {', '.join(settings)} of its own")
    return sources[0]


def _no_chain(model: Config, why: str) -> ValueError:
    return ValueError(
        f"the functional model {model.get('name')!r} is no chain: {why}. In models of nncore each layer takes the "
        "output of the one before, and nothing else"
    )


def _tensors(value: Any) -> Iterator[str]:
    """The layers whose outputs a value speaks of: ``["dense", 0, 0]``, or a tensor with that as its history."""
    if isinstance(value, Mapping):
        if value.get("class_name") == "__keras_tensor__":
            value = {"history": value["config"]["keras_history"]}
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, list | tuple):
        if len(value) >= 3 and isinstance(value[0], str) and isinstance(value[1], int):
            yield value[0]
            return
        for item in value:
            yield from _tensors(item)


def _settings(call: Any) -> Iterator[str]:
    """The arguments by name that a layer is called with: ``kwargs``, or what stands last in a call of Keras 2."""
    given = call["kwargs"] if isinstance(call, Mapping) else call[0][3] if len(call[0]) > 3 else {}
    yield from (name for name, value in given.items() if value is not None)
