"""Running what a builder holds on arrays, op by op, by NumPy definitions: layers and optimizers outside a model."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from nncore import ops
from nncore.builder import Builder
from nncore.program import Buffer

Array = np.ndarray[Any, Any]

_DTYPES = {"real": np.float32, "int32": np.int32, "float64": np.float64}


def interpret(b: Builder, values: dict[str, Array], result: Buffer, seed: int = 0) -> Array:
    """The values of ``result``, given those of the buffers that no instruction writes, by name; weights have their own.

    ``seed`` is the key of random ops.
    """
    batch = next((len(values[n]) for n, buffer in b.buffers.items() if n in values and buffer.batched), 1)
    step = ops.Step(rows=slice(0, batch), number=0, seed=seed, rates=np.zeros(1))
    return execute(b, values, step, batch)(result.name)


def execute(b: Builder, values: dict[str, Array], step: ops.Step, batch: int = 1) -> Callable[[str], Array]:
    """Run all instructions on the arrays of ``values``, in place; returns what gives each buffer's values by name."""
    places = dict(values)

    def place(name: str | None) -> Array | None:
        if name is None:
            return None
        buffer = b.buffers[name]
        root = b.root(buffer)
        if root.name not in places:
            found = b.variables.get(root.name)
            shape = tuple(batch if n is None else n for n in root.shape)
            places[root.name] = np.zeros(shape, _DTYPES[root.dtype]) if found is None else found.value
        start, flat = b.start(buffer), places[root.name].reshape(-1)
        shape = tuple(batch if n is None else n for n in buffer.shape)
        return flat[start : start + prod(shape)].reshape(shape)

    for instruction in b.instructions:
        if instruction.when is not None and not step.rates[instruction.when]:
            continue
        outputs, inputs = ([place(name) for name in names] for names in (instruction.outputs, instruction.inputs))
        with np.errstate(all="ignore"):
            if instruction.function is not None:
                instruction.function.body(outputs, inputs)
                continue
            op = ops.get(instruction.op)
            terms = zip(op.outputs + op.inputs, [*outputs, *inputs], strict=True)
            operands = [None if array is None else ops.collapse(term, array) for term, array in terms]
            op.body(*operands, **instruction.attributes, **({"step": step} if op.step else {}))

    def found(name: str) -> Array:
        array = place(name)
        assert array is not None
        return array

    return found
