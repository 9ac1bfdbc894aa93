"""Objects as configs, dicts of JSON-able values in Keras's form, and back.

A config says where Keras has the class, what it is called, and the arguments that make an equal object::

    {"module": "keras.layers", "class_name": "Dense", "config": {"units": 3, …}, "registered_name": None}

So Keras reads what nncore writes, and the other way round. A class is known by being public: what ``nncore.layers``
holds is found under ``keras.layers``. Classes and functions of your own are found, in this order, in the
``custom_objects`` given, in a ``custom_object_scope``, among those registered with ``register_keras_serializable``, and
in the module that defines them if it is imported already. No module is ever imported because a config names it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from types import FunctionType, MappingProxyType
from typing import Any, TypeVar

import numpy as np

from nncore.errors import unknown_name

__all__ = [
    "CustomObjectScope", "custom_object_scope", "deserialize_keras_object", "get_custom_objects", "get_registered_name",
    "get_registered_object", "register_keras_serializable", "serialize_keras_object",
]  # fmt: skip

T = TypeVar("T")

FAMILIES = {
    "layers": "layer class",
    "losses": "loss",
    "metrics": "metric",
    "optimizers.schedules": "learning rate schedule",
    "optimizers": "optimizer",
    "initializers": "initializer",
    "regularizers": "regularizer",
    "constraints": "constraint",
    "activations": "activation",
    "models": "model class",
}
"""The modules whose public names configs can speak of, and what error messages call one of them."""

_registered: dict[str, Any] = {}
_registered_names: dict[Any, str] = {}
_scope: ContextVar[Mapping[str, Any]] = ContextVar("custom objects", default=MappingProxyType({}))


# What users say about their own classes and functions.


def register_keras_serializable(package: str = "Custom", name: str | None = None) -> Callable[[T], T]:
    """Let configs find the decorated class or function, under ``"package>name"``.

    Args:
        package: Whose it is.
        name: By default the name of the class or function.

    Raises:
        ValueError: for a class without ``get_config``.
    """

    def register(thing: T) -> T:
        if isinstance(thing, type) and not hasattr(thing, "get_config"):
            raise ValueError(f"register_keras_serializable: {thing.__name__} needs a get_config method.")
        whole = f"{package}>{getattr(thing, '__name__', thing) if name is None else name}"
        _registered[whole] = thing
        _registered_names[thing] = whole
        return thing

    return register


def get_custom_objects() -> dict[str, Any]:
    """The dict of registered classes and functions by name; what you add to it is found everywhere."""
    return _registered


@contextmanager
def custom_object_scope(custom_objects: Mapping[str, Any] | None) -> Iterator[None]:
    """Inside ``with custom_object_scope({"Mine": Mine}):`` configs and names find these; scopes add up.

    It holds for the thread that opens it.
    """
    token = _scope.set({**_scope.get(), **(custom_objects or {})})
    try:
        yield
    finally:
        _scope.reset(token)


CustomObjectScope = custom_object_scope


def get_registered_name(obj: Any) -> str:
    """``"package>name"`` of a registered class or function, else its own name."""
    try:
        return _registered_names[obj]
    except (KeyError, TypeError):
        return str(getattr(obj, "__name__", type(obj).__name__))


def get_registered_object(
    name: str, custom_objects: Mapping[str, Any] | None = None, module_objects: Mapping[str, Any] | None = None
) -> Any:
    """The class or function of a name, or ``None``: from the scope, those registered, and the two dicts, in turn."""
    for place in (_scope.get(), _registered, custom_objects or {}, module_objects or {}):
        if name in place:
            return place[name]
    return None


# Objects to configs.


def serialize_keras_object(obj: Any) -> Any:
    """``obj`` as JSON-able values: numbers and strings as they are, objects with ``get_config`` as configs.

    Raises:
        ValueError: for an object without ``get_config``, and for a lambda, which nothing could find again.
    """
    obj = getattr(obj, "stands_for", obj)
    if obj is None or isinstance(obj, str | int | float | bool):
        return obj
    if isinstance(obj, list | tuple):
        return [serialize_keras_object(item) for item in obj]
    if isinstance(obj, Mapping):
        return {key: serialize_keras_object(value) for key, value in obj.items()}
    if isinstance(obj, np.generic) or (isinstance(obj, np.ndarray) and obj.ndim == 0):
        return obj.item()
    if isinstance(obj, np.ndarray):
        return {"class_name": "__numpy__", "config": {"value": obj.tolist(), "dtype": obj.dtype.name}}
    if isinstance(obj, bytes):
        return {"class_name": "__bytes__", "config": {"value": obj.decode()}}
    if isinstance(obj, FunctionType):
        if obj.__name__ == "<lambda>":
            raise ValueError(f"A lambda has no name to be found by: define a function with def. Received: {obj!r}.")
        name = get_registered_name(obj)
        return {"module": "builtins", "class_name": "function", "config": name, "registered_name": "function"}
    if isinstance(obj, type) or not hasattr(obj, "get_config"):
        raise ValueError(f"{obj!r} cannot be written into a config: its class needs a get_config method.")
    return _config_of(obj)


def _config_of(obj: Any) -> dict[str, Any]:
    cls = type(obj)
    module = public_module(cls)
    result: dict[str, Any] = {
        "module": module or (None if cls.__module__ == "__main__" else cls.__module__),
        "class_name": cls.__name__,
        "config": serialize_keras_object(obj.get_config()),
        "registered_name": None if module else get_registered_name(cls),
    }
    for key in ("build_config", "compile_config"):
        inner = getattr(obj, f"get_{key}", lambda: None)()
        if inner is not None:
            result[key] = serialize_keras_object(inner)
    return result


def public_module(cls: type) -> str | None:
    """Where Keras has a class of nncore, such as ``"keras.layers"``; ``None`` for a class of the user's."""
    for family in FAMILIES:
        if vars(sys.modules.get(f"nncore.{family}", sys)).get(cls.__name__) is cls:
            return "keras" if family == "models" else f"keras.{family}"
    return None


# Configs to objects.


def deserialize_keras_object(
    config: Any, custom_objects: Mapping[str, Any] | None = None, safe_mode: bool = True, *, family: str | None = None
) -> Any:
    """What ``serialize_keras_object``, nncore's or Keras's, made a config of.

    Args:
        config: A config; lists and dicts of configs are opened, other values returned as they are.
        custom_objects: Classes and functions of your own by name.
        safe_mode: Without effect: code, such as a lambda's, is never read from a config.
        family: Where a class without a module is looked for first, such as ``"layers"``.

    Raises:
        ValueError: for a class or function that is not known (the known names are listed).
    """
    if isinstance(config, list | tuple):
        return type(config)(deserialize_keras_object(c, custom_objects, family=family) for c in config)
    if not isinstance(config, Mapping):
        return config
    if "class_name" not in config or "config" not in config:
        return {k: deserialize_keras_object(v, custom_objects, family=family) for k, v in config.items()}
    name, inner = config["class_name"], config["config"]
    if name == "__numpy__":
        return _numbers(inner["value"], inner["dtype"])
    if name == "__bytes__":
        return inner["value"].encode()
    if name == "__lambda__":
        raise ValueError("A lambda is not read from a config: define it with def, and pass it in custom_objects.")
    with custom_object_scope(custom_objects):
        found = _find(config, family)
        if name == "function" or not hasattr(found, "from_config"):
            return found
        made = found.from_config(dict(inner or {}))
        if config.get("build_config") and hasattr(made, "build_from_config"):
            made.build_from_config(config["build_config"])
        if config.get("compile_config") and hasattr(made, "compile_from_config"):
            made.compile_from_config(config["compile_config"])
        return made


def _numbers(value: Any, dtype: str) -> np.ndarray[Any, Any]:
    """The array of a config; no other types than numbers, whose size is known before they are made."""
    if np.dtype(dtype).kind not in "biufc":
        raise ValueError(f"An array in a config must be one of numbers. Received: dtype={dtype!r}.")
    return np.array(value, dtype)


def _find(config: Mapping[str, Any], family: str | None) -> Any:
    """The class or function of a config."""
    name, module = config["class_name"], str(config.get("module") or "__main__")
    if name == "function":
        name = config["config"]
    for known in (config.get("registered_name"), name):
        found = None if known in (None, "function") else get_registered_object(known)
        if found is not None:
            return found
    own = module.partition(".")[0] in ("keras", "nncore", "builtins") or "module" not in config
    families = _families(module, family)
    if own:
        for place in _of_functions(families) if config["class_name"] == "function" else families:
            found = _public(place).get(name)
            if found is not None:
                return found
    found = getattr(sys.modules.get(module), name, None)
    bases = found.__mro__ if isinstance(found, type) and hasattr(found, "from_config") else ()
    if any(base.__module__.startswith("nncore.") for base in bases):
        return found
    kind = FAMILIES[families[0]] if families else "class"
    known_names = [*(n for place in families for n in _public(place)), *_scope.get(), *_registered]
    raise unknown_name(kind, name, known_names)


def _families(module: str, family: str | None) -> list[str]:
    """Where to look for a name: the families that ``module`` speaks of, else ``family``, else all."""
    named = [f for f in FAMILIES if f".{f}." in f"{module}."] or (["models"] if module == "keras" else [])
    given = {None: list(FAMILIES), "layers": ["layers", "models"], "metrics": ["metrics", "losses"]}
    return named[:1] or given.get(family, [str(family)])


def _of_functions(families: list[str]) -> list[str]:
    """Where functions are looked for: not among those that make models and layers, or load files."""
    return [family for family in (*families, "losses") if family not in ("models", "layers")]


def _public(family: str) -> dict[str, Any]:
    """The classes and functions of a family's module by name."""
    home = f"nncore.{family}"
    module = vars(import_module(home))
    listed = module.get("__all__")
    found = {n: module[n] for n in listed or module if n in module}
    if family == "models":  # its functions, such as clone_model, are nothing that a model is made of
        return {n: thing for n, thing in found.items() if isinstance(thing, type)}
    return {n: thing for n, thing in found.items() if _speakable(n, thing, None if listed else home)}


def _speakable(name: str, thing: Any, home: str | None) -> bool:
    """Whether configs can name a thing: a function of ``home`` (``None``: of anywhere), or a class with a config."""
    if name.startswith("_") or name in ("get", "serialize", "deserialize"):
        return False
    if isinstance(thing, FunctionType):
        return home is None or thing.__module__ == home
    return isinstance(thing, type) and hasattr(thing, "get_config")


def construct(cls: type[T], config: Mapping[str, Any]) -> T:
    """``cls(**config)``, where the config may be Keras's; ``ValueError`` where it does not fit the arguments."""
    try:
        return cls(**fitting(cls, config))
    except TypeError as error:
        raise ValueError(
            f"{cls.__name__}: the config does not fit its arguments ({error}). Received: {config!r}."
        ) from error


_WITHOUT_EFFECT = ("autocast", "ema_momentum", "renorm_momentum", "build_input_shape")
"""Arguments that Keras writes, which change nothing where another one is not set."""


def fitting(cls: type, config: Mapping[str, Any]) -> dict[str, Any]:
    """``config`` as arguments of ``cls``: without settings of Keras's that nncore lacks and that are not in use."""
    result = {}
    known = arguments_of(cls)
    for key, value in config.items():
        if key not in known and (value is None or value is False or key in _WITHOUT_EFFECT):
            continue
        if isinstance(value, Mapping) and key in ("dtype", "seed"):  # a policy, a generator
            value = value.get("config", {}).get("name" if key == "dtype" else "seed", value)
        result[key] = value
    return result


def arguments_of(cls: type) -> set[str]:
    """The names of the arguments that ``cls`` takes, also of those that it hands on to its bases."""
    names: set[str] = set()
    for base in cls.__mro__:
        init = vars(base).get("__init__")
        if not isinstance(init, FunctionType):
            continue
        code = init.__code__
        names |= set(code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount])
        if not code.co_flags & 0x08:  # it takes no **kwargs to hand on
            break
    return names
