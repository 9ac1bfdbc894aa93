"""Steps over the root of the squares of past gradients: RMSprop, Adagrad, Adadelta, FTRL."""

from __future__ import annotations

from typing import Any

from nncore.arguments import at_least_zero, finite, fraction
from nncore.builder import Builder
from nncore.optimizers.base import Operands, Optimizer


class RMSprop(Optimizer):
    """v = rho v + (1 - rho) g²; w -= learning_rate g / √(v + epsilon).

    Args:
        learning_rate: A number, by default 0.001, a schedule or a function.
        rho: Decay of the mean of squares, in [0, 1], by default 0.9.
        momentum: In [0, 1], by default 0; above it, s = momentum s + learning_rate g / √(v + epsilon) and w -= s.
        epsilon: At least 0, by default 1e-7; under the root.
        centered: Whether v - a² takes v's place under the root, a = rho a + (1 - rho) g.
        **kwargs: See ``Optimizer``.

    Source: Tieleman and Hinton, "Lecture 6.5: RMSProp", 2012; for ``centered`` Graves, "Generating sequences with
    recurrent neural networks", 2013.
    """

    def __init__(
        self, learning_rate: Any = 0.001, rho: float = 0.9, momentum: float = 0.0, epsilon: float = 1e-7,
        centered: bool = False, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(learning_rate, **kwargs)
        self.rho = fraction("RMSprop", "rho", rho)
        self.momentum = fraction("RMSprop", "momentum", momentum)
        self.epsilon = at_least_zero("RMSprop", "epsilon", epsilon)
        self.centered = bool(centered)
        momenta = (("momentum",),) if self.momentum else ()
        self.groups = (("velocity",), *momenta, *((("average_gradient",),) if centered else ()))

    def update(self, b: Builder, at: Operands) -> None:
        state = (at.w, *(at.slots[slot] for (slot,) in self.groups))
        attributes = {"rho": self.rho, "epsilon": self.epsilon}
        if self.momentum:
            attributes["momentum"] = self.momentum
        op = "rmsprop" + "_centered" * self.centered + "_momentum" * bool(self.momentum)
        b.emit_to(op, state, *state, at.g, **attributes)

    def get_config(self) -> dict[str, Any]:
        own = {"rho": self.rho, "momentum": self.momentum, "epsilon": self.epsilon, "centered": self.centered}
        return {**super().get_config(), **own}


class Adagrad(Optimizer):
    """a += g²; w -= learning_rate g / √(a + epsilon).

    Args:
        learning_rate: A number, by default 0.001, a schedule or a function.
        initial_accumulator_value: What a starts with, at least 0, by default 0.1.
        epsilon: At least 0, by default 1e-7; under the root.
        **kwargs: See ``Optimizer``.

    Source: Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning and stochastic optimization",
    JMLR 2011.
    """

    groups = (("accumulator",),)

    def __init__(
        self, learning_rate: Any = 0.001, initial_accumulator_value: float = 0.1, epsilon: float = 1e-7, **kwargs: Any
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        self.initial_accumulator_value = at_least_zero(
            "Adagrad", "initial_accumulator_value", initial_accumulator_value
        )
        self.epsilon = at_least_zero("Adagrad", "epsilon", epsilon)

    def initial(self, slot: str) -> float:
        return self.initial_accumulator_value if slot == "accumulator" else 0.0

    def update(self, b: Builder, at: Operands) -> None:
        a = at.slots["accumulator"]
        b.emit_to("adagrad", (at.w, a), at.w, a, at.g, epsilon=self.epsilon)

    def get_config(self) -> dict[str, Any]:
        own = {"initial_accumulator_value": self.initial_accumulator_value, "epsilon": self.epsilon}
        return {**super().get_config(), **own}


class Adadelta(Optimizer):
    """a = rho a + (1 - rho) g²; x = √(d + epsilon) g / √(a + epsilon); d = rho d + (1 - rho) x²; w -= learning_rate x.

    Args:
        learning_rate: A number, by default 0.001, a schedule or a function; the paper's is 1.
        rho: Decay of both means, in [0, 1], by default 0.95.
        epsilon: At least 0, by default 1e-7.
        **kwargs: See ``Optimizer``.

    Source: Zeiler, "ADADELTA: an adaptive learning rate method", 2012.
    """

    groups = (("accumulated_grad", "accumulated_delta_var"),)

    def __init__(self, learning_rate: Any = 0.001, rho: float = 0.95, epsilon: float = 1e-7, **kwargs: Any) -> None:
        super().__init__(learning_rate, **kwargs)
        self.rho = fraction("Adadelta", "rho", rho)
        self.epsilon = at_least_zero("Adadelta", "epsilon", epsilon)

    def update(self, b: Builder, at: Operands) -> None:
        state = (at.w, at.slots["accumulated_grad"], at.slots["accumulated_delta_var"])
        b.emit_to("adadelta", state, *state, at.g, rho=self.rho, epsilon=self.epsilon)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rho": self.rho, "epsilon": self.epsilon}


class Ftrl(Optimizer):
    """Follow the regularized leader: w = (clip(z, ±l1) - z) / ((n'ᵖ + beta) / learning_rate + 2 l2).

    n' = n + g², p = -learning_rate_power, z += g + 2 l2_shrinkage w - (n'ᵖ - nᵖ) / learning_rate · w.

    Args:
        learning_rate: A number, by default 0.001, a schedule or a function.
        learning_rate_power: At most 0, by default -0.5; 0 for a rate that does not fall.
        initial_accumulator_value: What n starts with, at least 0, by default 0.1.
        l1_regularization_strength, l2_regularization_strength: l1 and l2, at least 0, by default 0.
        l2_shrinkage_regularization_strength: l2_shrinkage, at least 0, by default 0: a penalty of the magnitude only.
        beta: At least 0, by default 0.
        **kwargs: See ``Optimizer``.

    Source: McMahan et al., "Ad click prediction: a view from the trenches", KDD 2013.
    """

    groups = (("accumulator", "linear"),)

    def __init__(
        self, learning_rate: Any = 0.001, learning_rate_power: float = -0.5, initial_accumulator_value: float = 0.1,
        l1_regularization_strength: float = 0.0, l2_regularization_strength: float = 0.0,
        l2_shrinkage_regularization_strength: float = 0.0, beta: float = 0.0, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(learning_rate, **kwargs)
        self.learning_rate_power = finite("Ftrl", "learning_rate_power", learning_rate_power)
        if learning_rate_power > 0:
            raise ValueError(
                f"Ftrl: learning_rate_power must be at most 0. Received: learning_rate_power={learning_rate_power!r}."
            )
        for name, value in [
            ("initial_accumulator_value", initial_accumulator_value),
            ("l1_regularization_strength", l1_regularization_strength),
            ("l2_regularization_strength", l2_regularization_strength),
            ("l2_shrinkage_regularization_strength", l2_shrinkage_regularization_strength),
            ("beta", beta),
        ]:
            setattr(self, name, at_least_zero("Ftrl", name, value))

    initial_accumulator_value: float
    l1_regularization_strength: float
    l2_regularization_strength: float
    l2_shrinkage_regularization_strength: float
    beta: float

    def initial(self, slot: str) -> float:
        return self.initial_accumulator_value if slot == "accumulator" else 0.0

    def update(self, b: Builder, at: Operands) -> None:
        state = (at.w, at.slots["accumulator"], at.slots["linear"])
        b.emit_to(
            "ftrl", state, *state, at.g, power=-self.learning_rate_power, l1=self.l1_regularization_strength,
            l2=self.l2_regularization_strength, shrinkage=self.l2_shrinkage_regularization_strength, beta=self.beta,
        )  # fmt: skip

    def get_config(self) -> dict[str, Any]:
        own = (
            "learning_rate_power", "initial_accumulator_value", "l1_regularization_strength",
            "l2_regularization_strength", "l2_shrinkage_regularization_strength", "beta",
        )  # fmt: skip
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}
