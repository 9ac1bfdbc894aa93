"""From the caller's arrays into a batch."""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore.ops.base import Step, op

Array = np.ndarray[Any, Any]


@op("mn -> mn", step=True, in0="any")
def gather(x: Array, source: Array, *, step: Step) -> None:
    """x[i,:] = source[rows[i],:], converted to real; any integer, boolean or float source, any strides"""
    np.copyto(x, source[step.rows], casting="unsafe")


@op("mn, m, m -> mn", step=True, in0="any", in1="any", in2="any")
def gather_csr(x: Array, starts: Array, values: Array, columns: Array, *, step: Step) -> None:
    """x[i, columns[k]] = sum of values[k] over k from starts[rows[i]] on and below starts[rows[i] + 1], else 0

    A sparse matrix by three arrays of one column: where each row starts, one more than there are rows, of int32 or
    int64; the values, of any dtype that gather takes, converted to real and added in order; their columns, as starts.
    The shapes that programs give the arrays are those of the matrix, and of the rows.
    """
    rows = np.arange(step.rows.start, step.rows.stop) if isinstance(step.rows, slice) else step.rows
    first, counts = starts[rows, 0], starts[rows + 1, 0] - starts[rows, 0]
    to = np.repeat(np.arange(len(rows)), counts)
    k = np.arange(len(to)) + np.repeat(first - (np.cumsum(counts) - counts), counts)
    x[...] = 0
    np.add.at(x, (to, columns[k, 0]), values[k, 0].astype(x.dtype))


@op("mn -> mn", step=True, in0="any", out0="int32")
def gather_int(x: Array, source: Array, *, step: Step) -> None:
    """x[i,:] = source[rows[i],:], truncated to int32; any integer, boolean or float source, any strides.

    What does not fit into an int32 gives some int32.
    """
    np.copyto(x, source[step.rows], casting="unsafe")
