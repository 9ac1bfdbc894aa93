"""``SwapEMAWeights``: running means in the weights' place while a model is evaluated."""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore.callbacks.base import Callback, Logs

Array = np.ndarray[Any, Any]


class SwapEMAWeights(Callback):
    """Evaluates, validates and predicts with the running means of the weights; then the weights come back.

    The optimizer keeps the means where it has ``use_ema=True``. Before its first step there are none, and the weights
    stay. An error or Ctrl-C brings the weights back too. (Polyak and Juditsky, 1992: Acceleration of stochastic
    approximation by averaging.)

    Args:
        swap_on_epoch: Let the means also stand in the weights' place from the end of each epoch to the beginning of the
            next one: callbacks after this one in the list, such as ``ModelCheckpoint``, then save them.

    Raises:
        ValueError: when training, an evaluation or a prediction begins, where the optimizer keeps no running means.
    """

    def __init__(self, swap_on_epoch: bool = False) -> None:
        self.swap_on_epoch = bool(swap_on_epoch)
        self._weights: list[tuple[Any, Array]] = []  # those whose places the means have taken

    def get_state(self) -> dict[str, Any]:
        return {"weights": [values for _, values in self._weights]}

    def set_state(self, state: dict[str, Any]) -> None:
        trained = [variable for variable, _ in self.model.optimizer.running_means()]
        self._weights = list(zip(trained, state["weights"], strict=False))  # all of them, or none

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._weights = []
        self._optimizer()

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._weights = []  # fit has put the means in their place for good

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self.break_off()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.swap_on_epoch:
            self._swap()

    def on_test_begin(self, logs: Logs | None = None) -> None:
        self._swap()

    def on_test_end(self, logs: Logs | None = None) -> None:
        self.break_off()

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        # Predictions do without the optimizer: that of a copied model may not know the weights yet.
        self._optimizer().build([v for v in self.model.weights if v.trainable])
        self._swap()

    def on_predict_end(self, logs: Logs | None = None) -> None:
        self.break_off()

    def break_off(self) -> None:
        """Bring the weights back, where the means are in their place."""
        for variable, values in self._weights:
            variable.assign(values)
        self._weights = []

    def _swap(self) -> None:
        optimizer = self._optimizer()
        if self._weights:
            return
        for variable, mean in optimizer.running_means():
            self._weights.append((variable, variable.value.copy()))
            variable.assign(mean)

    def _optimizer(self) -> Any:
        optimizer = self.model.optimizer
        if not getattr(optimizer, "use_ema", False):
            raise ValueError(
                "SwapEMAWeights: the optimizer must keep running means of the weights: make it with use_ema=True. "
                f"Received: optimizer={optimizer!r}."
            )
        return optimizer
