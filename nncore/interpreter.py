"""Running what a builder holds on arrays, op by op, by their NumPy definitions: layers outside a model."""

from __future__ import annotations

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
    places = dict(values)
    step = ops.Step(rows=slice(0, batch), number=0, seed=seed, rates=np.zeros(1))

    def place(name: str | None) -> Array | None:
        if name is None:
            return None
        buffer = b.buffers[name]
        root = b.root(buffer)
        if root.name not in places:
            found = b.variables.get(root.name)
            shape = tuple(batch if n is None else n for n in root.shape)
            places[root.name] = np.zeros(shape, _DTYPES[root.dtype]) if found is None else found.value
        return places[root.name].reshape(tuple(batch if n is None else n for n in buffer.shape))

    for instruction in b.instructions:
        outputs, inputs = ([place(name) for name in names] for names in (instruction.outputs, instruction.inputs))
        with np.errstate(all="ignore"):
            if instruction.function is not None:
                instruction.function.body(outputs, inputs)
                continue
            op = ops.get(instruction.op)
            terms = zip(op.outputs + op.inputs, [*outputs, *inputs], strict=True)
            operands = [None if array is None else ops.collapse(term, array) for term, array in terms]
            op.body(*operands, **instruction.attributes, **({"step": step} if op.step else {}))
    found = place(result.name)
    assert found is not None
    return found
