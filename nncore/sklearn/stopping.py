"""The rules by which scikit-learn's perceptrons end their training, as a callback of one ``fit``."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from sklearn.exceptions import ConvergenceWarning

from nncore import console
from nncore.callbacks import Callback
from nncore.callbacks.base import Logs

SMALLEST_RATE = 1e-6
"""The learning rate below which ``"adaptive"`` ends the training."""


class Stopping(Callback):
    """Records each epoch in an estimator, and ends training when it has stopped improving.

    Args:
        estimator: Has the arguments, and gets the fitted attributes, of scikit-learn's perceptrons.
        rows: Rows of the training data.
        loss: The value reported, from the logs.
        score: The score of the validation data by the weights as they are; ``None``: there is none.
        once: For ``partial_fit``: one epoch, which need not converge.
    """

    def __init__(
        self, estimator: Any, rows: int, loss: Callable[[Logs], float], score: Callable[[], float] | None, once: bool
    ) -> None:
        self.estimator, self.rows, self.loss, self.score, self.once = estimator, rows, loss, score, once

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        e = self.estimator
        e.n_iter_ += 1
        e.t_ += self.rows
        e.loss_ = self.loss(logs or {})
        e.loss_curve_.append(e.loss_)
        self._say(f"Iteration {e.n_iter_}, loss = {e.loss_:.8f}")
        improved = self._by_loss()
        if self.score is not None:
            improved = self._by_score(self.score(), improved)
        e._no_improvement_count = 0 if improved else e._no_improvement_count + 1
        if e.solver == "sgd" and e.learning_rate == "invscaling":
            self.model.optimizer.learning_rate = e.learning_rate_init / (e.t_ + 1) ** e.power_t
        if e._no_improvement_count > e.n_iter_no_change:
            self._stop()
        if e.n_iter_ == e.max_iter and not self.once and not self.model.stop_training:
            warnings.warn(
                f"Stochastic Optimizer: Maximum iterations ({e.max_iter}) reached and the optimization hasn't "
                "converged yet.",
                ConvergenceWarning,
                stacklevel=2,
            )

    def _by_loss(self) -> bool:
        """Whether the loss is lower than the best so far by ``tol``."""
        e = self.estimator
        if e.best_loss_ is None:
            return True
        improved = not e.loss_ > e.best_loss_ - e.tol
        e.best_loss_ = min(e.best_loss_, e.loss_)
        return improved

    def _by_score(self, score: float, improved: bool) -> bool:
        """The same of a validation score, where that is what counts; the weights of the best one are kept."""
        e = self.estimator
        e.validation_scores_.append(score)
        self._say(f"Validation score: {score:f}")
        best = e.best_validation_score_
        if score > best:
            e.best_validation_score_ = score
            if e.early_stopping:
                e._best_weights = [w.copy() for w in self.model.get_weights()]
        return not score < best + e.tol if e.early_stopping else improved

    def _stop(self) -> None:
        """End the training, or lower an adaptive learning rate."""
        e = self.estimator
        what = "Validation score" if e.early_stopping else "Training loss"
        found = f"{what} did not improve more than tol={e.tol:f} for {e.n_iter_no_change} consecutive epochs."
        rate = float(self.model.optimizer.learning_rate)
        if e.solver != "sgd" or e.learning_rate != "adaptive":
            self._say(f"{found} Stopping.")
        elif rate <= SMALLEST_RATE:
            self._say(f"{found} Learning rate too small. Stopping.")
        else:
            self.model.optimizer.learning_rate = rate / 5
            e._no_improvement_count = 0
            self._say(f"{found} Setting learning rate to {rate / 5:f}")
            return
        self.model.stop_training = True

    def _say(self, text: str) -> None:
        if self.estimator.verbose:
            console.write(f"{text}\n")
