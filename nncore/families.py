"""``Family``: classes of one kind under their names, what a module's ``get``, ``serialize`` and ``deserialize`` ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

from nncore.errors import unknown_name
from nncore.names import snake_case
from nncore.serialization import deserialize_keras_object, get_registered_object, serialize_keras_object

T = TypeVar("T")


class Family(Generic[T]):
    """The classes of one kind.

    Args:
        kind: What error messages call one of them.
        base: Their base class.
        classes: The classes, known by their names and these in snake case, in any case.
        aliases: Further names.
    """

    def __init__(self, kind: str, base: type[T], classes: Sequence[type[T]], aliases: Mapping[str, type[T]]) -> None:
        self.kind = kind
        self._base = base
        self._names = {
            **{cls.__name__: cls for cls in classes},
            **{snake_case(cls.__name__): cls for cls in classes},
            **aliases,
        }
        self._by_lower = {name.lower(): cls for name, cls in self._names.items()}

    def get(self, identifier: Any) -> T | None:
        """The one of a name in any case, class, config or instance; ``None`` stays ``None``."""
        if identifier is None or isinstance(identifier, self._base):
            return identifier
        if isinstance(identifier, type) and issubclass(identifier, self._base):
            return identifier()
        if isinstance(identifier, str):
            own = get_registered_object(identifier)
            if own is not None:
                return self.get(own)
            if identifier.lower() in self._by_lower:
                return self._by_lower[identifier.lower()]()
        if isinstance(identifier, Mapping):
            return self.deserialize(identifier)
        raise unknown_name(self.kind, identifier, self._names)

    def serialize(self, member: Any) -> dict[str, Any] | None:
        """One of them (anything ``get`` takes) as a JSON-able config in Keras's form; ``None`` stays ``None``."""
        config: dict[str, Any] | None = serialize_keras_object(self.get(member))
        return config

    def deserialize(self, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> T:
        """The one that a config describes, as made by ``serialize`` or by Keras.

        Raises:
            ValueError: for a config without a class name, one that is not known, or arguments that do not fit.
        """
        if not isinstance(config, Mapping) or not isinstance(config.get("class_name"), str):
            raise ValueError(f"The config of a {self.kind} must hold 'class_name' and 'config'. Received: {config!r}.")
        found: T = deserialize_keras_object({"config": {}, **config}, custom_objects, family=f"{self.kind}s")
        return found
