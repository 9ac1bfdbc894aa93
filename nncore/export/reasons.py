"""Why an op is in no exported file: what it is of, if not of predictions."""

from __future__ import annotations

from nncore.ops import Op

_OF_TRAINING, _OF_A_LOSS = "it belongs to training", "it belongs to a loss"

MODULES = {
    **dict.fromkeys(("optim", "layerwise", "upkeep", "order", "penalties"), _OF_TRAINING),
    **dict.fromkeys(("losses", "classification", "regression", "overlap"), _OF_A_LOSS),
    **dict.fromkeys(("metrics", "counts"), "it belongs to a metric"),
    "random": "it draws random numbers",
    "data": "it reads the caller's data",
}
"""By the module of an op."""

OPS = {
    **dict.fromkeys(("batch_norm", "bias_grad", "dense_grad_w"), "it mixes the rows of a batch"),
    **{f"{name}cross_entropy": _OF_A_LOSS for name in ("softmax_", "sparse_softmax_", "sigmoid_binary_")},
    **{f"{name}softmax_cross_entropy_train": _OF_TRAINING for name in ("", "sparse_")},
    "moving_average": _OF_TRAINING,
    "inverse_deviation": "of weights alone it is computed before, and of samples it makes no sense",
}
"""By its name."""


def reason(op: Op) -> str | None:
    """Why an op does not occur in predictions that are a matter of one sample alone; ``None``: it may occur."""
    if op.name in OPS:
        return OPS[op.name]
    if "_grad" in op.name:
        return "it computes a gradient"
    return MODULES.get(op.body.__module__.rpartition(".")[2])
