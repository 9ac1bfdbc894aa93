"""PyTorch: the plain loop, eager; fused optimizers, or with ``fused=False`` those one gets by default."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn

from benchmarks import workloads
from benchmarks.workloads import EPSILON, RATES, Array, Predict, initial_weights

torch.set_num_threads(1)
torch.set_num_interop_threads(1)


def _layers(sizes: Sequence[int]) -> nn.Sequential:
    """The layers up to the logits, with the weights that all sides start from."""
    weights = initial_weights(sizes)
    modules: list[nn.Module] = []
    for w, b in zip(weights[::2], weights[1::2], strict=True):
        linear = nn.Linear(*w.shape)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(w.T))
            linear.bias.copy_(torch.from_numpy(b))
        modules += [linear, nn.ReLU()]
    return nn.Sequential(*modules[:-1])


class Fit:
    """A network and its training loop."""

    def __init__(self, work: workloads.Fit, x: Array, y: Array, fused: bool = True) -> None:
        self._batch = work.batch
        self._x = torch.from_numpy(x)
        self._labels = torch.from_numpy(y.argmax(axis=1))
        self._model = _layers(work.sizes)
        rate, chosen = RATES[work.optimizer], True if fused else None
        parameters = self._model.parameters()
        self._adam = work.optimizer == "adam"
        self._optimizer: torch.optim.Optimizer = (
            torch.optim.Adam(parameters, rate, eps=EPSILON, fused=chosen)
            if self._adam
            else torch.optim.SGD(parameters, rate, fused=chosen)
        )
        self.loss = torch.zeros(())

    def train(self, epochs: int, shuffle: bool) -> None:
        optimizer, criterion, steps = self._optimizer, nn.functional.cross_entropy, 0
        for _ in range(epochs):
            order = torch.randperm(len(self._x)) if shuffle else torch.arange(len(self._x))
            self.loss = torch.zeros(())
            for rows in order.split(self._batch):
                optimizer.zero_grad()
                loss = criterion(self._model(self._x.index_select(0, rows)), self._labels.index_select(0, rows))
                loss.backward()  # type: ignore[no-untyped-call]
                if self._adam and not shuffle:
                    steps += 1
                    self._add_epsilon_before_correction(steps)
                optimizer.step()
                self.loss += loss.detach()

    def _add_epsilon_before_correction(self, step: int) -> None:
        """For the comparison: PyTorch adds epsilon after the bias correction of √v, the other sides before it."""
        self._optimizer.param_groups[0]["eps"] = EPSILON / (1 - 0.999**step) ** 0.5

    def weights(self) -> list[Array]:
        arrays = [parameter.detach().numpy() for parameter in self._model.parameters()]
        return [array.T if array.ndim == 2 else array for array in arrays]


def predictor(work: Predict) -> Callable[[], Array] | None:
    """The model in inference mode, from array to array."""
    if work.out:
        return None
    x = work.data()
    model = nn.Sequential(*_layers(work.sizes), nn.Softmax(dim=1)).eval()

    @torch.inference_mode()
    def once() -> Array:
        predictions: Array = model(torch.from_numpy(x)).numpy()
        return predictions

    return once
