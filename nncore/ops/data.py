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


@op("mn -> mn", step=True, in0="any", out0="int32")
def gather_int(x: Array, source: Array, *, step: Step) -> None:
    """x[i,:] = source[rows[i],:], truncated to int32; any integer, boolean or float source, any strides.

    What does not fit into an int32 gives some int32.
    """
    np.copyto(x, source[step.rows], casting="unsafe")
