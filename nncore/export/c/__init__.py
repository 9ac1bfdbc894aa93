"""A model as one C file: C99 that needs ``math.h``, for machines where there is no Python.

The prediction program is translated for one sample, instruction by instruction: each is a call of its op's function,
over constant arrays, the weights, and a workspace that is planned here. Only functions that the model uses are in the
file; :mod:`nncore.export.c.functions` says where they come from. Each gives the bits of its kernel where a multiply-add
rounds once.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from nncore import backends, ops
from nncore.compiler import lower_predict, plan
from nncore.data import as_array, fit_samples
from nncore.export.c.functions import ASCII, functions, translated
from nncore.export.c.memory import folded, in_place
from nncore.export.reasons import reason
from nncore.layers.base import Layer
from nncore.program import Instruction, Program, Shape
from nncore.saving.files import replace_file
from nncore.version import __version__

Array = np.ndarray[Any, Any]

FMA = {"numpy": -1, "native (baseline)": 0}
"""Whether multiply-adds of a backend round once; of NumPy it is not known. Those of all others do."""

OWN = ("predict", "predict_with", "test", "test_x", "test_y")
"""What the names in a file are, beside those of weights, behind the prefix."""

TESTS = 4
"""Samples in a file's own test,"""
TEST_NUMBERS = 4096
"""or as few as have so many numbers."""


def write(model: Any, path: str, prefix: str | None = None, test: Any = None) -> None:
    """Write what ``model.predict`` computes for one sample as C.

    Args:
        model: A built model.
        path: The file; one that is there is replaced once the new one is whole.
        prefix: What its functions' names start with, ``prefix_predict``; by default the name of the file.
        test: Samples for the file's own test; by default a few random ones. Their predictions are put beside them.

    Raises:
        ValueError: for a prefix that is no name in C, and where a layer has no form in C; nothing is written then.
        DataError: for test samples that do not fit the model.
        OSError: where the file cannot be written; what was there before is there still.
    """
    with np.printoptions(legacy=False):  # older forms of numbers have fewer digits
        text = source(model, Path(path).name, prefix, test)

    def fill(beside: str) -> None:
        with open(beside, "x", encoding="ascii") as file:
            file.write(text)

    replace_file(path, fill)


def source(model: Any, file: str, prefix: str | None = None, test: Any = None) -> str:
    """The text of a file of that name; takes and raises what ``write`` does."""
    p = _prefix(file, prefix)
    machine = model._ready()
    layers, shape = machine.layers, machine.x_shape
    values = {v.key: v.value for layer in layers for v in layer.stored}
    lowered = lower_predict(layers, shape, direct=not layers[0].takes_integers)
    program = folded(lowered, values)
    for instruction in program.instructions:
        _check(instruction, lowered, layers, shape)
    program = in_place(program)
    memory = plan(program, dict.fromkeys((name for name, b in program.buffers.items() if b.base is None), 0), 1)
    weights = _weights(program, p)
    places = {name: _place(program, name, memory.offsets, weights) for name in program.buffers}
    x = _samples(layers[0], shape) if test is None else fit_samples("test", as_array("test", test), shape)
    y, backend = model.predict(x, verbose=0), backends.config_summary()
    inputs, outputs = (prod(n for n in s if n is not None) for s in (shape, machine.output_shape))
    used = [instruction.op for instruction in program.instructions]
    uses_workspace = any(place.startswith("workspace") for place in places.values())
    return Template((Path(__file__).parent / "template.c").read_text(encoding="ascii")).substitute(
        p=p,
        P=p.upper(),
        file=_comment(file),
        title=_title(model, inputs, outputs),
        layers=_layers(layers),
        usage=_paragraph(USAGE.format(p=p, P=p.upper(), x=_shape(shape), y=_shape(machine.output_shape))),
        inputs=inputs,
        outputs=outputs,
        workspace=max(memory.workspace, 1),
        parameters=sum(values[name].size for name in weights),
        tests=len(x),
        functions=functions(used),
        weights="\n\n".join(_array(weights[name], values[name], name) for name in weights) or "/* none */",
        calls="\n".join([*_calls(program, places), *([] if uses_workspace else ["    (void)workspace;"])]),
        test_x=_array(f"{p}_test_x", np.asarray(x, np.float32), "samples"),
        test_y=_array(f"{p}_test_y", y, "model.predict(samples)"),
        backend=backend,
        fma=FMA.get(backend, 1),
    )


# What is asked for.


def _prefix(file: str, prefix: str | None) -> str:
    if prefix is None:
        prefix = re.sub(r"\W", "_", file.partition(".")[0], flags=re.ASCII)
        prefix = prefix if prefix[:1].isalpha() else f"model_{prefix}"
    if not isinstance(prefix, str) or not re.fullmatch(r"[A-Za-z_]\w*", prefix, re.ASCII):
        raise ValueError(f"export: prefix must be a name in C, such as 'digits'. Received: prefix={prefix!r}.")
    return prefix


def _check(instruction: Instruction, program: Program, layers: Sequence[Layer], x_shape: Shape) -> None:
    """Raise ``ValueError`` where an instruction of the prediction program has no form in C."""
    why = _refusal(program, instruction)
    if why is None:
        return
    at = next(i for i, other in enumerate(program.instructions) if other is instruction)
    direct, index = not layers[0].takes_integers, 0
    while len(lower_predict(layers[: index + 1], x_shape, direct).instructions) <= at:
        index += 1
    name, kind = layers[index].name, type(layers[index]).__name__
    raise ValueError(f"export: layer {index}, {name!r} ({kind}), has no form in C: {why}.")


def _refusal(program: Program, instruction: Instruction) -> str | None:
    if instruction.function is not None:
        return (
            f"it calls the Python function {instruction.function.name!r} with arrays. Made of operators, NumPy "
            "functions and nncore's layers and activations alone, see Layer.call, it can be exported"
        )
    for name in instruction.outputs:
        if name is not None and program.root(name).kind in ("parameter", "frozen"):
            return f"it changes the weight {name!r} ({instruction.op})"
    if instruction.op not in translated():
        return f"{reason(ops.get(instruction.op)) or 'there is no function for it'} ({instruction.op})"
    return None


def _samples(first: Layer, shape: Sequence[int | None]) -> Array:
    """Samples for the test, the same each time."""
    rng = np.random.default_rng(0)
    sample = [n for n in shape if n is not None]
    rows = max(1, min(TESTS, TEST_NUMBERS // max(1, prod(sample))))
    if first.takes_integers:
        return rng.integers(0, getattr(first, "input_dim", 1), (rows, *sample)).astype(np.int32)
    return rng.normal(size=(rows, *sample)).astype(np.float32)


# The program as calls.


def _weights(program: Program, p: str) -> dict[str, str]:
    """The names in C of the weights that the program reads."""
    names: dict[str, str] = {}
    for name, buffer in program.buffers.items():
        if buffer.kind in ("parameter", "frozen") and buffer.base is None:
            wanted = f"{p}_" + re.sub(r"\W", "_", name, flags=re.ASCII)
            taken = {*names.values(), *(f"{p}_{own}" for own in OWN)}
            names[name] = next(n for i in range(len(taken) + 1) if (n := wanted + f"_{i}" * (i > 0)) not in taken)
    return names


def _place(program: Program, name: str, offsets: Mapping[str, int], weights: Mapping[str, str]) -> str:
    """A buffer as an operand in C."""
    root = program.root(name)
    start = offsets[name] if root.name in offsets else program.start(name)
    base = {"workspace": "workspace", "input": "x", "source": "x", "output": "y"}.get(root.kind) or weights[root.name]
    return f"{base} + {start}" if start else base


def _calls(program: Program, places: Mapping[str, str]) -> list[str]:
    """The body of the function: a call for each instruction, under the names of the layers."""
    lines, scope = [], None
    for instruction in program.instructions:
        op = ops.get(instruction.op)
        letters = {letter: instruction.dims[letter].at(1) for letter in op.letters}
        operands = ["0" if name is None else places[name] for name in instruction.operands]
        numbers = [_number(np.float32(v)) for name, v in instruction.attributes.items() if name not in letters]
        layer = next(name for name in instruction.outputs if name is not None).partition("/")
        if layer[1] and layer[0] != scope:
            scope = layer[0]
            lines.append(f"    /* {_comment(scope)} */")
        call = f"op_{op.name}({', '.join([*operands, *map(str, letters.values()), *numbers])});"
        lines.append(textwrap.fill(call, 120, initial_indent="    ", subsequent_indent=" " * 8))
    return lines


# Texts.

USAGE = """\
x is one sample, {P}_INPUTS floats of the shape {x}, and y gets {P}_OUTPUTS, of the shape {y}; they must not overlap.
{p}_predict keeps what it computes on the way in static memory: one thread at a time may be in it. {p}_predict_with
keeps it in {P}_WORKSPACE floats of the caller's: any number of threads may be in it, each with memory of its own."""


def _paragraph(text: str) -> str:
    """A text as a paragraph of the file's first comment."""
    return textwrap.fill(" ".join(text.split()), 120, initial_indent="   ", subsequent_indent="   ")


def _comment(text: str) -> str:
    """A text as part of a comment."""
    plain = text.translate(ASCII).encode("ascii", "replace").decode()
    return re.sub(r"\*/|/\*|\?\?", "??", plain).replace("??", "?")


def _title(model: Any, inputs: int, outputs: int) -> str:
    return _comment(
        f"The model {model.name!r} in C99, {inputs:,} numbers in and {outputs:,} out; by nncore {__version__}."
    )


def _shape(shape: Sequence[int | None]) -> str:
    """The shape of one sample."""
    return f"({', '.join(str(n) for n in shape if n is not None)})"


def _layers(layers: Sequence[Layer]) -> str:
    lines = [f"{layer.name} ({type(layer).__name__}) {_shape(layer.output_shape or ())}" for layer in layers]
    return "\n".join(_comment(f"     {line}") for line in lines)


def _array(name: str, values: Array, meaning: str) -> str:
    """A constant array: its elements as the shortest decimals that have their bits."""
    flat = np.ascontiguousarray(values).reshape(-1)
    rows = [", ".join(map(_number, flat[i : i + 8])) for i in range(0, flat.size, 8)]
    shape = " x ".join(map(str, values.shape))
    body = ",\n    ".join(rows)
    return f"/* {_comment(meaning)}: {shape} */\nstatic const float {name}[{flat.size}] = {{\n    {body}\n}};"


NUMBERS = {"nan": "NAN", "inf": "INFINITY", "-inf": "-INFINITY"}


def _number(value: Any) -> str:
    """A float32 as a constant in C."""
    digits = str(value)
    return NUMBERS.get(digits) or f"{digits}f"
