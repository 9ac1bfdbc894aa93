"""L-BFGS-B, SciPy's, over the loss of a compiled model and its gradients."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning

from nncore.builder import Builder
from nncore.callbacks.base import Logs
from nncore.models import Sequential
from nncore.optimizers.base import Operands, Optimizer

Array = np.ndarray[Any, Any]


class Gradients(Optimizer):
    """Leaves the weights as they are, and keeps their gradients."""

    groups = (("gradient",),)

    def update(self, b: Builder, at: Operands) -> None:
        b.emit_to("scale_shift", (at.slots["gradient"],), at.g, scale=1.0, offset=0.0)

    def gradients(self) -> list[Array]:
        """Those of the last batch, one array a weight."""
        return [self.state[span.start : span.start + span.size] for span in self._spans]


def minimise(
    model: Sequential, x: Array, y: Array, weight: Array | None, *, max_iter: int, max_fun: int, tol: float,
    report: Callable[[Logs], None] | None,
) -> tuple[Any, Logs]:  # fmt: skip
    """Move the weights of a model compiled with ``Gradients`` to where its loss of all rows is least.

    SciPy computes in float64, the loss and its gradients are float32's: it also ends where no step makes the loss
    smaller by more than that rounds.

    Returns:
        What SciPy found, and the loss and metrics at the end.
    """
    trainer = model.trainer("fit")
    machine, data = model.prepare(trainer, x, y, weight)
    optimizer = trainer.optimizer
    assert isinstance(optimizer, Gradients)
    variables = model.trainable_weights
    logs: Logs = {}

    def loss(flat: Array) -> tuple[float, Array]:
        start = 0
        for variable in variables:
            variable.value[...] = flat[start : start + variable.size].reshape(variable.shape)
            start += variable.size
        logs.update(trainer.train_on_batch(machine, data))
        return logs["loss"], np.concatenate(optimizer.gradients()).astype(np.float64)

    def after(_: Array) -> None:
        assert report is not None
        report(logs)

    found = minimize(
        loss, np.concatenate([v.value.reshape(-1) for v in variables]).astype(np.float64), jac=True, method="L-BFGS-B",
        options={"maxiter": max_iter, "maxfun": max_fun, "gtol": tol}, callback=after if report else None,
    )  # fmt: skip
    loss(found.x)
    if found.status == 1:
        warnings.warn(
            f"lbfgs failed to converge after {found.nit} iterations: {found.message}. Increase max_iter or max_fun, or "
            "scale the data.",
            ConvergenceWarning,
            stacklevel=5,
        )
    return found, logs
