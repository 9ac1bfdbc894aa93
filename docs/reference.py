"""Writes ``docs/reference/``: a page for each public module, made from its docstrings. ``python docs/reference.py``."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path
from types import GenericAlias, ModuleType
from typing import Any

FOLDER = Path(__file__).parent / "reference"

MODULES = (
    "models", "layers", "activations", "losses", "metrics", "optimizers", "optimizers.schedules", "initializers",
    "callbacks", "utils", "backend", "regularizers", "constraints", "saving", "convert", "preprocessing.sequence",
    "preprocessing.text", "gradients", "kernels", "datasets", "plot", "sklearn", "errors",
)  # fmt: skip

SECTIONS = ("Args", "Attributes", "Returns", "Raises", "Source", "Shapes")


def page(name: str) -> str:
    """A module's page: what it is, then its classes and functions in the order of its list."""
    module = import_module(f"nncore.{name}")
    parts = [f"# nncore.{name}", markdown(module.__doc__ or "")]
    for public in members(module):
        thing = getattr(module, public)
        if is_class(thing):
            parts += class_page(public, thing)
        elif inspect.isfunction(thing):
            parts += [f"## {public}", signature(public, thing), markdown(inspect.getdoc(thing) or "")]
    return "\n\n".join(part for part in parts if part).rstrip() + "\n"


def is_class(thing: Any) -> bool:
    """Whether it is a class, and no name for a type such as ``dict[str, float]``, which Python 3.10 takes for one."""
    return inspect.isclass(thing) and not isinstance(thing, GenericAlias)


def members(module: ModuleType) -> list[str]:
    """The public classes and functions of a module: those of its list, or those that it defines."""
    listed = getattr(module, "__all__", None)
    if listed is None:
        own = {n: v for n, v in vars(module).items() if getattr(v, "__module__", None) == module.__name__}
        listed = [n for n, v in own.items() if not n.startswith("_") and (is_class(v) or inspect.isfunction(v))]
    return sorted(listed, key=lambda n: (n[0].islower(), n))


def class_page(name: str, cls: type) -> list[str]:
    """A class with the methods that it defines itself."""
    parts = [f"## {name}", signature(name, cls.__init__), markdown(inspect.getdoc(cls) or "")]
    for method, thing in vars(cls).items():
        function = thing.__func__ if isinstance(thing, staticmethod | classmethod) else thing
        if method.startswith("_") or not inspect.isfunction(function) or not function.__doc__:
            continue
        parts += [signature(f"{name}.{method}", function), markdown(inspect.getdoc(function) or "")]
    return parts


def signature(name: str, function: Any) -> str:
    """How it is called, without annotations."""
    try:
        found = inspect.signature(function)
    except (TypeError, ValueError):
        return f"```\n{name}(…)\n```"
    shown = [
        p.replace(annotation=inspect.Parameter.empty)
        for p in found.parameters.values()
        if p.name not in ("self", "cls")
    ]
    text = str(found.replace(parameters=shown, return_annotation=inspect.Signature.empty))
    text = re.sub(r"<(?:function|class) '?([\w.]+)'?[^>]*>", r"\1", text)
    return f"```\n{name}{text}\n```"


def markdown(doc: str) -> str:
    """A docstring as Markdown: literals, and its sections as lists."""
    text = re.sub(r":\w+:`[~!]?([\w.]+)`", r"`\1`", inspect.cleandoc(doc))
    text = re.sub(r"``(.+?)``", r"`\1`", text, flags=re.DOTALL)
    lines: list[str] = []
    inside = False
    for line in text.split("\n"):
        heading = re.fullmatch(r"(\w+):", line)
        if heading and heading[1] in SECTIONS:
            inside = True
            lines += [f"**{heading[1]}**", ""]
        elif inside and (item := re.match(r"    ([\w*, ./]+):\s(.*)", line)):
            lines.append(f"- `{item[1]}`: {item[2]}")
        elif inside and line.startswith("    "):
            lines.append(("  " if line.startswith("     ") else "") + line.strip())
        else:
            inside = inside and not line.strip()
            lines.append(line)
    return "\n".join(lines)


def pages() -> dict[str, str]:
    """Every file of the folder with its text."""
    found = {f"{name}.md": page(name) for name in MODULES}
    index = "\n".join(f"- [nncore.{name}]({name}.md): {summary(name)}" for name in MODULES)
    return {"README.md": f"# Reference\n\nMade from docstrings by `python docs/reference.py`.\n\n{index}\n", **found}


def summary(name: str) -> str:
    """The first sentence of a module's docstring."""
    doc = markdown(import_module(f"nncore.{name}").__doc__ or "")
    return " ".join(doc.split("\n\n")[0].split())


def main() -> None:
    """Write the folder anew."""
    made = pages()
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.glob("*.md"):
        path.unlink()
    for name, text in made.items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
