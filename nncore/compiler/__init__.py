"""The compiler: lower a model to programs, differentiate them, fuse them, plan their memory."""

from nncore.compiler.fuse import UPDATE_ROWS, fuse
from nncore.compiler.lower import (
    LOSS_TOTAL,
    forward,
    lower_evaluate,
    lower_input_gradient,
    lower_predict,
    lower_train,
    lower_vjp,
)
from nncore.compiler.plan import FlatVectors, Plan, empty, plan

__all__ = [
    "LOSS_TOTAL", "UPDATE_ROWS", "FlatVectors", "Plan", "empty", "forward", "fuse", "lower_evaluate",
    "lower_input_gradient", "lower_predict", "lower_train", "lower_vjp", "plan",
]  # fmt: skip
