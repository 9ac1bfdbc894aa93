"""Adam and its relatives: running means of the gradients and of their size, free of the bias of their start."""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore.arguments import at_least_zero, fraction
from nncore.builder import Builder
from nncore.optimizers.base import Array, Operands, Optimizer
from nncore.variables import Variable


class _Moments(Optimizer):
    """What the optimizers of this module have in common: two decays and an epsilon."""

    def __init__(
        self, learning_rate: Any = 0.001, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7,
        **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(learning_rate, **kwargs)
        kind = type(self).__name__
        self.beta_1 = fraction(kind, "beta_1", beta_1, below_one=True)
        self.beta_2 = fraction(kind, "beta_2", beta_2, below_one=True)
        self.epsilon = at_least_zero(kind, "epsilon", epsilon)

    def _emit(self, b: Builder, op: str, at: Operands, *slots: str) -> None:
        """Append an op over the weights and these slots."""
        state = (at.w, *(at.slots[slot] for slot in slots))
        b.emit_to(op, state, *state, at.g, beta_1=self.beta_1, beta_2=self.beta_2, epsilon=self.epsilon)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}


class Adam(_Moments):
    """m += (g - m)(1 - beta_1); v += (g² - v)(1 - beta_2); w -= α m / (√v + epsilon).

    α = learning_rate √(1 - beta_2ᵗ) / (1 - beta_1ᵗ) at step t.

    Args:
        learning_rate: A number, by default 0.001, a schedule or a function.
        beta_1: Decay of the mean of gradients, in [0, 1).
        beta_2: Decay of the mean of their squares, in [0, 1).
        epsilon: At least 0, by default 1e-7; added to √v before bias correction (the paper's "epsilon hat").
        amsgrad: Whether the largest v so far takes v's place in the quotient.
        **kwargs: See ``Optimizer``.

    Source: Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015; for ``amsgrad`` Reddi et al.,
    "On the convergence of Adam and beyond", ICLR 2018.
    """

    def __init__(
        self, learning_rate: Any = 0.001, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7,
        amsgrad: bool = False, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(learning_rate, beta_1, beta_2, epsilon, **kwargs)
        self.amsgrad = bool(amsgrad)
        self.groups = (("momentum", "velocity"), ("velocity_hat",)) if amsgrad else (("momentum", "velocity"),)

    def update_rates(self, rate: Array, t: Array) -> tuple[Array, ...]:
        return (rate * (np.sqrt(1 - self.beta_2**t) / (1 - self.beta_1**t)),)

    def update(self, b: Builder, at: Operands) -> None:
        if self.amsgrad:
            self._emit(b, "adam_amsgrad", at, "momentum", "velocity", "velocity_hat")
        else:
            self._emit(b, "adam", at, "momentum", "velocity")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "amsgrad": self.amsgrad}


class AdamW(Adam):
    """Adam with weight decay: w -= learning_rate · weight_decay · w before each update.

    Args:
        learning_rate: A number, by default 0.001, a schedule or a function.
        weight_decay: At least 0, by default 0.004.
        beta_1, beta_2, epsilon, amsgrad: See ``Adam``.
        **kwargs: See ``Optimizer``.

    Source: Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019.
    """

    def __init__(
        self, learning_rate: Any = 0.001, weight_decay: float = 0.004, beta_1: float = 0.9, beta_2: float = 0.999,
        epsilon: float = 1e-7, amsgrad: bool = False, **kwargs: Any,
    ) -> None:  # fmt: skip
        weight_decay = at_least_zero("AdamW", "weight_decay", weight_decay)
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay=weight_decay, **kwargs)


class Adamax(_Moments):
    """m += (g - m)(1 - beta_1); u = max(beta_2 u, |g|); w -= learning_rate m / ((1 - beta_1ᵗ)(u + epsilon)) at step t.

    Args:
        learning_rate: A number, by default 0.001, a schedule or a function.
        beta_1: Decay of the mean of gradients, in [0, 1).
        beta_2: Decay of their largest size, in [0, 1).
        epsilon: At least 0, by default 1e-7.
        **kwargs: See ``Optimizer``.

    Source: Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015, section 7.
    """

    groups = (("momentum", "norm"),)

    def update_rates(self, rate: Array, t: Array) -> tuple[Array, ...]:
        return (rate / (1 - self.beta_1**t),)

    def update(self, b: Builder, at: Operands) -> None:
        self._emit(b, "adamax", at, "momentum", "norm")


class Nadam(_Moments):
    """Adam that looks ahead: w -= learning_rate m̂ / (√v̂ + epsilon), m and v as in ``Adam``, at step t with

    v̂ = v / (1 - beta_2ᵗ), m̂ = u(t+1) m / (1 - Π(t+1)) + (1 - u(t)) g / (1 - Π(t)), u(t) = beta_1 (1 - 0.96ᵗ / 2) and
    Π(t) = u(1) ··· u(t).

    Args:
        learning_rate: A number, by default 0.001, a schedule or a function.
        beta_1: Decay of the mean of gradients, in [0, 1).
        beta_2: Decay of the mean of their squares, in [0, 1).
        epsilon: At least 0, by default 1e-7.
        **kwargs: See ``Optimizer``.

    Source: Dozat, "Incorporating Nesterov momentum into Adam", ICLR 2016 workshop.
    """

    groups = (("momentum", "velocity"),)

    def update_rates(self, rate: Array, t: Array) -> tuple[Array, ...]:
        now, then = (self.beta_1 * _warmth(n) for n in (t, t + 1))
        product = self._product(t)
        of_m, of_g = then / (1 - product * then), (1 - now) / (1 - product)
        return rate * of_m, rate * of_g, 1 / (1 - self.beta_2**t)

    def _product(self, t: Array) -> Array:
        """Π(t)"""
        product: Array = self.beta_1**t * _WARMTHS[np.minimum(t, len(_WARMTHS) - 1).astype(np.int64)]
        return product

    def update(self, b: Builder, at: Operands) -> None:
        self._emit(b, "nadam", at, "momentum", "velocity")

    @property
    def variables(self) -> list[Variable]:
        """Those of all optimizers, and last Π of the steps so far, which follows from their number."""
        product = Variable(self._product(np.array(float(self.iterations))), "variable", trainable=False)
        return [*super().variables, product]


def _warmth(t: Array) -> Array:
    return 1 - 0.5 * 0.96**t


_WARMTHS = np.concatenate([[1.0], np.cumprod(_warmth(np.arange(1.0, 1001.0)))])
"""The product of the first n warmths; from 900 on they are 1 in float64."""
