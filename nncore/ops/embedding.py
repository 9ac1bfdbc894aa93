"""Rows of a table picked by integers."""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore.ops.base import Call, Emit, Gradients, gradient, op

Array = np.ndarray[Any, Any]


@op("m, kn -> mn", in0="int32")
def embedding(y: Array, ids: Array, table: Array) -> None:
    """y[m,n] = table[ids[m],n]; NaN where the id is no row of the table"""
    known = (ids >= 0) & (ids < len(table))
    y[...] = np.where(known[:, None], table[np.where(known, ids, 0)], np.nan)


@gradient("embedding")
def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
    return None, emit("embedding_grad", d_outputs[0], *call.inputs)[0]


@op("mn, m, kn -> kn", in1="int32")
def embedding_grad(dtable: Array, dy: Array, ids: Array, table: Array) -> None:
    """dtable[k,n] = the sum of dy[m,n] where ids[m] = k, in the order of m; only the shape of the table is used"""
    dtable[...] = 0
    known = (ids >= 0) & (ids < len(table))
    np.add.at(dtable, ids[known], dy[known])
