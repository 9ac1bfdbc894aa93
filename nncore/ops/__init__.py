"""The operations of the program machine. One op: a signature, a NumPy body (its definition), a gradient rule."""

from nncore.ops import activations, data, linear, losses, metrics, optim, random, softmax
from nncore.ops.base import GRADIENTS, OPS, Call, Emit, Gradients, Op, Step, as_real, bind, collapse, evaluate, get, letters_of

__all__ = [
    "GRADIENTS", "OPS", "Call", "Emit", "Gradients", "Op", "Step", "as_real", "bind", "collapse",
    "evaluate", "get", "letters_of",
    "activations", "data", "linear", "losses", "metrics", "optim", "random", "softmax",
]  # fmt: skip
