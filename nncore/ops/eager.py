"""Running an op's NumPy definition on arrays, outside any program."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from nncore.ops.base import Op, bind, get, letters_of
from nncore.program import Buffer, Shape

Array = np.ndarray[Any, Any]

_DTYPES = {"real": np.float32, "int32": np.int32, "float64": np.float64}


def as_real(x: Any) -> Array:
    """``x`` as a float32 array."""
    return np.asarray(x, np.float32)


def collapse(term: str, array: Array) -> Array:
    """``array`` in the shape of a signature's term: the leading axes that ``m`` stands for become one."""
    letters = letters_of(term)
    if not letters.startswith("m"):
        return array
    lead = array.ndim - len(letters) + 1
    return array.reshape(prod(array.shape[:lead]), *array.shape[lead:])


def evaluate(name: str, *inputs: Any, **attributes: float) -> tuple[Array, ...]:
    """The outputs of an op, freshly allocated, by its NumPy definition in float32.

    Raises:
        ValueError: where the inputs do not fit the op's signature.
    """
    op = get(name)
    arrays = [None if x is None else np.asarray(x, _dtype(op, f"in{i}")) for i, x in enumerate(inputs)]
    buffers = [None if a is None else Buffer(f"input {i}", "input", a.shape) for i, a in enumerate(arrays)]
    _, axes = bind(op, buffers, attributes)
    outputs: list[Array] = []
    for i, term in enumerate(op.outputs):
        shape: Shape = sum((axes[letter] for letter in letters_of(term)), ())
        outputs.append(np.zeros([n or 0 for n in shape], _dtype(op, f"out{i}")))
    given = zip(op.outputs + op.inputs, [*outputs, *arrays], strict=True)
    with np.errstate(all="ignore"):
        op.body(*(None if array is None else collapse(term, array) for term, array in given), **attributes)
    return tuple(outputs)


def _dtype(op: Op, operand: str) -> Any:
    return _DTYPES[op.dtypes.get(operand, "real")]
