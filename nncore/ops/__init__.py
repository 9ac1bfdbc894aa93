"""The operations of the program machine. One op: a signature, a NumPy body (its definition), a gradient rule."""

from nncore.ops import (
    activations,
    axes,
    data,
    expressions,
    linear,
    losses,
    metrics,
    optim,
    order,
    random,
    softmax,
)
from nncore.ops.base import (
    GRADIENTS,
    OPS,
    Call,
    Emit,
    Gradients,
    Op,
    Step,
    bind,
    get,
    letters_of,
)
from nncore.ops.eager import as_real, collapse, evaluate
from nncore.ops.order import Shuffle

__all__ = [
    "GRADIENTS",
    "OPS",
    "Call",
    "Emit",
    "Gradients",
    "Op",
    "Shuffle",
    "Step",
    "activations",
    "as_real",
    "axes",
    "bind",
    "collapse",
    "data",
    "evaluate",
    "expressions",
    "get",
    "letters_of",
    "linear",
    "losses",
    "metrics",
    "optim",
    "order",
    "random",
    "softmax",
]  # fmt: skip
