"""Optimizers that look at a weight as a whole: at its norm, its rows and columns, its singular values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from nncore.arguments import above_zero, at_least_zero, count, finite, fraction
from nncore.builder import Builder
from nncore.optimizers.adam import _Moments
from nncore.optimizers.base import Array, Operands, Optimizer, Span
from nncore.program import Buffer


class Lamb(_Moments):
    """w -= learning_rate ‖w‖ / ‖u‖ · u for each weight, u = m̂ / (√v̂ + epsilon); without the quotient where a norm is 0.

    m and v are as in ``Adam``, m̂ = m / (1 - beta_1ᵗ) and v̂ = v / (1 - beta_2ᵗ) at step t.

    Args:
        learning_rate: A number, by default 0.001, a schedule or a function.
        beta_1: Decay of the mean of gradients, in [0, 1).
        beta_2: Decay of the mean of their squares, in [0, 1).
        epsilon: At least 0, by default 1e-7.
        **kwargs: See ``Optimizer``.

    Source: You et al., "Large batch optimization for deep learning: training BERT in 76 minutes", ICLR 2020.
    """

    groups = (("momentum", "velocity"),)
    layerwise = True

    def update_rates(self, rate: Array, t: Array) -> tuple[Array, ...]:
        return rate, 1 / (1 - self.beta_1**t), 1 / (1 - self.beta_2**t)

    def update(self, b: Builder, at: Operands) -> None:
        m, v = at.slots["momentum"], at.slots["velocity"]
        u = b.declare("workspace", f"{at.w.name}/update", at.w.shape)
        b.emit_to("lamb", (m, v, u), m, v, at.g, beta_1=self.beta_1, beta_2=self.beta_2, epsilon=self.epsilon)
        b.emit_to("lamb_step", (at.w,), at.w, u, *_norms(b, at.w, u))


class Adafactor(Optimizer):
    """Squares of gradients kept by row and column: v = r c / mean(r) for weights of two axes or more, the last two.

    r and c are means of g² + epsilon_1 over the columns and the rows, v of weights with fewer axes is one of g² +
    epsilon_1, each with the decay 1 - t^beta_2_decay at step t. Then u = g / √v and
    w -= min(learning_rate, 1 / √t) max(epsilon_2, rms(w)) u / max(1, rms(u) / clip_threshold).

    Args:
        learning_rate: A number, by default 0.001, a schedule or a function.
        beta_2_decay: At most 0, by default -0.8.
        epsilon_1: At least 0, by default 1e-30.
        epsilon_2: At least 0, by default 0.001: the least size that a weight counts as.
        clip_threshold: Above 0, by default 1.
        relative_step: Has no effect, as in Keras: the rate is at most 1 / √t either way.
        **kwargs: See ``Optimizer``.

    Source: Shazeer and Stern, "Adafactor: adaptive learning rates with sublinear memory cost", ICML 2018.
    """

    groups = (("r", "c", "velocity"),)
    layerwise = True

    def __init__(
        self, learning_rate: Any = 0.001, beta_2_decay: float = -0.8, epsilon_1: float = 1e-30,
        epsilon_2: float = 1e-3, clip_threshold: float = 1.0, relative_step: bool = True, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(learning_rate, **kwargs)
        self.beta_2_decay = finite("Adafactor", "beta_2_decay", beta_2_decay)
        if beta_2_decay > 0:
            raise ValueError(f"Adafactor: beta_2_decay must be at most 0. Received: beta_2_decay={beta_2_decay!r}.")
        self.epsilon_1 = at_least_zero("Adafactor", "epsilon_1", epsilon_1)
        self.epsilon_2 = at_least_zero("Adafactor", "epsilon_2", epsilon_2)
        self.clip_threshold = above_zero("Adafactor", "clip_threshold", clip_threshold)
        self.relative_step = bool(relative_step)

    def slot_shape(self, slot: str, span: Span) -> tuple[int, ...] | None:
        if slot not in ("r", "c"):
            return span.shape
        if len(span.shape) < 2:
            return ()  # a placeholder, as in Keras's files
        return span.shape[:-1] if slot == "r" else (*span.shape[:-2], span.shape[-1])

    def update_rates(self, rate: Array, t: Array) -> tuple[Array, ...]:
        return np.minimum(rate, 1 / np.sqrt(t)), 1 - t**self.beta_2_decay

    def update(self, b: Builder, at: Operands) -> None:
        v = at.slots["velocity"]
        u = b.declare("workspace", f"{at.w.name}/update", at.w.shape)
        shape = at.w.shape
        if len(shape) > 1:
            leading, rows, columns = prod(n or 0 for n in shape[:-2]), shape[-2], shape[-1]
            r, c = b.view(at.slots["r"], (leading, rows)), b.view(at.slots["c"], (leading, columns))
            g, v, flat = (b.view(x, (leading, rows, columns)) for x in (at.g, v, u))
            b.emit_to("row_squares", (r,), g, r, epsilon=self.epsilon_1)
            b.emit_to("column_squares", (c,), g, c, epsilon=self.epsilon_1)
            b.emit_to("factored", (v, flat), g, r, c)
        else:
            b.emit_to("unfactored", (v, u), v, at.g, epsilon=self.epsilon_1)
        attributes = {"epsilon": self.epsilon_2, "threshold": self.clip_threshold}
        b.emit_to("adafactor_step", (at.w,), at.w, u, *_norms(b, at.w, u), **attributes)

    def get_config(self) -> dict[str, Any]:
        own = ("beta_2_decay", "epsilon_1", "epsilon_2", "clip_threshold", "relative_step")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


class Muon(Optimizer):
    """Momentum made orthogonal, for weights that are matrices; ``AdamW`` for all others.

    m = momentum m + g; u = momentum m + g with ``nesterov``, else m. X = u / ‖u‖, then ns_steps times A = X Xᵀ and
    X = muon_a X + (muon_b A + muon_c A²) X, which drives the singular values of X to about 1; for tall matrices with
    Xᵀ in place of X. w -= learning_rate rms_rate √(the larger side of w) X.

    Args:
        learning_rate: A number, by default 0.001, a schedule or a function.
        adam_beta_1, adam_beta_2, epsilon: Those of Adam.
        adam_weight_decay: The weight decay where Adam is used, at least 0 or ``None``; by default 0.004.
        weight_decay: That of the matrices, likewise.
        exclude_layers: Patterns; a weight in whose path one of them is found is left to Adam.
        exclude_embeddings: Whether a weight whose path has "embedding" in it is left to Adam.
        muon_a, muon_b, muon_c: The polynomial of the iteration.
        adam_lr_ratio: What the learning rate is multiplied by for Adam, at least 0.
        momentum: In [0, 1], by default 0.95.
        ns_steps: Iterations, at least 0, by default 5.
        nesterov: Whether to look ahead.
        rms_rate: At least 0, by default 0.2; ``None`` for a step of learning_rate X.
        **kwargs: See ``Optimizer``.

    Source: Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024; Liu et al., "Muon is
    scalable for LLM training", 2025.
    """

    groups = (("momentum", "velocity"),)
    layerwise = True

    def __init__(
        self, learning_rate: Any = 0.001, adam_beta_1: float = 0.9, adam_beta_2: float = 0.999,
        adam_weight_decay: float | None = 0.004, epsilon: float = 1e-7, weight_decay: float | None = 0.004, *,
        exclude_layers: Sequence[str] | None = None, exclude_embeddings: bool = True, muon_a: float = 3.4445,
        muon_b: float = -4.775, muon_c: float = 2.0315, adam_lr_ratio: float = 1, momentum: float = 0.95,
        ns_steps: int = 5, nesterov: bool = True, rms_rate: float | None = 0.2, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(learning_rate, weight_decay=weight_decay, **kwargs)
        self.adam_beta_1 = fraction("Muon", "adam_beta_1", adam_beta_1, below_one=True)
        self.adam_beta_2 = fraction("Muon", "adam_beta_2", adam_beta_2, below_one=True)
        self.epsilon = at_least_zero("Muon", "epsilon", epsilon)
        self.adam_weight_decay = (
            None if adam_weight_decay is None else at_least_zero("Muon", "adam_weight_decay", adam_weight_decay)
        )
        if isinstance(exclude_layers, str) or not all(isinstance(p, str) for p in exclude_layers or ()):
            raise ValueError(
                f"Muon: exclude_layers must be a list of patterns. Received: exclude_layers={exclude_layers!r}."
            )
        self.exclude_layers = list(exclude_layers or ())
        self.exclude_embeddings = bool(exclude_embeddings)
        self.muon_a, self.muon_b, self.muon_c = (
            finite("Muon", name, value) for name, value in (("muon_a", muon_a), ("muon_b", muon_b), ("muon_c", muon_c))
        )
        self.adam_lr_ratio = at_least_zero("Muon", "adam_lr_ratio", adam_lr_ratio)
        self.momentum = fraction("Muon", "momentum", momentum)
        self.ns_steps = count("Muon", "ns_steps", ns_steps)
        self.nesterov = bool(nesterov)
        self.rms_rate = None if rms_rate is None else at_least_zero("Muon", "rms_rate", rms_rate)

    def _is_matrix(self, span: Span) -> bool:
        """Whether a weight is one that is made orthogonal."""
        excluded = self.exclude_embeddings and "embedding" in span.path.lower()
        return len(span.shape) == 2 and not excluded and not any(re.search(p, span.path) for p in self.exclude_layers)

    def slot_shape(self, slot: str, span: Span) -> tuple[int, ...] | None:
        return None if slot == "velocity" and self._is_matrix(span) else span.shape

    def decay_of(self, span: Span) -> float | None:
        return self.weight_decay if self._is_matrix(span) else self.adam_weight_decay

    def _may_decay(self) -> bool:
        return bool(self.weight_decay or self.adam_weight_decay)

    def update_rates(self, rate: Array, t: Array) -> tuple[Array, ...]:
        adam = np.sqrt(1 - self.adam_beta_2**t) / (1 - self.adam_beta_1**t)
        return rate * self.adam_lr_ratio * adam, rate

    def update(self, b: Builder, at: Operands) -> None:
        m, shape = at.slots["momentum"], at.w.shape
        if "velocity" in at.slots:
            size = (at.w.per_row,)
            state = tuple(b.view(x, size) for x in (at.w, m, at.slots["velocity"]))
            attributes = {"beta_1": self.adam_beta_1, "beta_2": self.adam_beta_2, "epsilon": self.epsilon}
            b.emit_to("adam", state, *state, b.view(at.g, size), **attributes)
            return
        x = b.declare("workspace", f"{at.w.name}/update", shape)
        b.emit_to("muon_momentum", (m, x), m, at.g, momentum=self.momentum, nesterov=float(self.nesterov))
        (norm,) = b.emit("norm", x)
        (x,) = b.emit("normalized", x, norm, epsilon=1e-7)
        for _ in range(self.ns_steps):
            x = self._iterate(b, x)
        scale = 1.0 if self.rms_rate is None else self.rms_rate * float(np.sqrt(max(n or 0 for n in shape)))
        b.emit_to("muon_step", (at.w,), at.w, x, scale=scale)

    def _iterate(self, b: Builder, x: Buffer) -> Buffer:
        """One step of the Newton-Schulz iteration. A is symmetric to the last bit, so it needs no transposition."""
        rows, columns = x.shape
        tall = (rows or 0) > (columns or 0)
        (a,) = b.emit("dense_grad_w" if tall else "dense_grad_x", x, x)  # xᵀ x, or x xᵀ
        (square,) = b.emit("dense", a, a, None)
        (polynomial,) = b.emit("weighted_sum", a, square, alpha=self.muon_b, beta=self.muon_c)
        (product,) = b.emit("dense", x, polynomial, None) if tall else b.emit("dense", polynomial, x, None)
        return b.emit("weighted_sum", x, product, alpha=self.muon_a, beta=1.0)[0]

    def get_config(self) -> dict[str, Any]:
        own = (
            "adam_beta_1", "adam_beta_2", "epsilon", "exclude_layers", "muon_a", "muon_b", "muon_c", "adam_lr_ratio",
            "momentum", "ns_steps", "nesterov", "exclude_embeddings", "adam_weight_decay", "rms_rate",
        )  # fmt: skip
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


def _norms(b: Builder, w: Buffer, u: Buffer) -> tuple[Buffer, Buffer]:
    """The norms of a weight and its update."""
    return b.emit("norm", w)[0], b.emit("norm", u)[0]
