"""``Layer``: weights, and how they lower to ops."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import Any, TypeVar

import numpy as np

from nncore import initializers
from nncore.arguments import float32_name, is_integer, positive_int
from nncore.builder import Builder
from nncore.errors import did_you_mean
from nncore.names import auto_name
from nncore.program import Buffer, Shape
from nncore.variables import Variable, Weights

Array = np.ndarray[Any, Any]
L = TypeVar("L", bound="Layer")

REGISTRY: dict[str, type[Layer]] = {}
"""Layer classes by name: what ``Sequential.from_config`` builds from."""

_BASE_ARGUMENTS = ("name", "trainable", "dtype", "input_shape", "input_dim", "batch_input_shape")


class Layer(Weights):
    """Base of all layers.

    A subclass creates weights in ``build`` and appends ops to a program in ``lower``; it contains no backward code,
    since every op brings its gradient.

    Args:
        name: Unique inside a model; by default the class in snake case with a counter.
        trainable: Whether training changes the weights.
        dtype: ``None`` or ``"float32"``.
        input_shape: Shape of one sample, for the first layer of a model.
        input_dim: The same for one-dimensional samples.

    Raises:
        ValueError: for an argument nncore does not know.
    """

    built: bool = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        REGISTRY[cls.__name__] = cls

    def __init__(
        self,
        *,
        name: str | None = None,
        trainable: bool = True,
        dtype: str | None = None,
        input_shape: Sequence[int | None] | None = None,
        input_dim: int | None = None,
        **unknown: Any,
    ) -> None:
        kind = type(self).__name__
        if unknown:
            first = next(iter(unknown))
            hint = did_you_mean(first, [*self._own_arguments(), *_BASE_ARGUMENTS])
            raise ValueError(f"{kind}: unknown argument {first!r}.{hint} Received: {unknown!r}.")
        float32_name(kind, dtype)
        if name is not None and (not isinstance(name, str) or not name or "/" in name):
            raise ValueError(f"{kind}: name must be a non-empty string without '/'. Received: name={name!r}.")
        if input_dim is not None:
            input_shape = (positive_int(kind, "input_dim", input_dim),)
        self.name = auto_name(kind) if name is None else name
        self.declared_input_shape: Shape | None = None if input_shape is None else sample_shape(kind, input_shape)
        self.input_shape: Shape | None = None
        self.output_shape: Shape | None = None
        self._trainable = bool(trainable)
        self._trained: list[Variable] = []  # weights that training changes while the layer is trainable
        self._kept: list[Variable] = []  # weights that no optimizer ever changes

    @classmethod
    def _own_arguments(cls) -> list[str]:
        code = cls.__init__.__code__
        return list(code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount])

    # What subclasses define.

    def build(self, input_shape: Shape) -> None:
        """Create the weights for inputs of ``input_shape``, batch axis first."""

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The shape of the outputs, batch axis first."""
        return input_shape

    def lower(self, b: Builder, x: Buffer) -> Buffer:
        """Append this layer's ops to a program and return its output."""
        raise NotImplementedError(f"{type(self).__name__} must define lower().")

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal layer, as JSON-able values."""
        return {"name": self.name, "trainable": self.trainable, "dtype": "float32"}

    @classmethod
    def from_config(cls: type[L], config: dict[str, Any]) -> L:
        """The layer that ``config`` describes."""
        return cls(**config)

    # What they inherit.

    def build_for(self, input_shape: Shape) -> Shape:
        """Build once for an input shape, check it against later ones, and return the output shape."""
        if not self.built:
            self.build(input_shape)
            self.built = True
            self.input_shape = input_shape
        elif self.input_shape != input_shape and self.weights:
            raise ValueError(
                f"Layer {self.name!r} was built for inputs of shape {self.input_shape}. Received: {input_shape}."
            )
        self.input_shape = input_shape
        self.output_shape = self.compute_output_shape(input_shape)
        return self.output_shape

    def add_weight(
        self, shape: Iterable[int] | None = None, initializer: Any = None, *, name: str = "weight",
        trainable: bool = True,
    ) -> Variable:  # fmt: skip
        """Create a weight; by default glorot-uniform."""
        initial = initializers.get("glorot_uniform" if initializer is None else initializer)
        if initial is None:
            raise ValueError(f"{self.name}: the weight {name!r} needs an initializer.")
        dims = tuple(int(n) for n in (shape or ()))
        variable = Variable(initial(dims), name=name, trainable=trainable and self._trainable)
        variable.path = f"{self.name}/{name}"
        (self._trained if trainable else self._kept).append(variable)
        return variable

    @property
    def trainable(self) -> bool:
        """Whether training changes the weights. Compile the model again after setting it."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        for variable in self._trained:
            variable.trainable = self._trainable

    @property
    def weights(self) -> list[Variable]:
        """The variables: those made trainable first, then the others, each in the order of creation."""
        return self._trained + self._kept

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"


def sample_shape(owner: str, shape: Any) -> Shape:
    """``shape`` of one sample as a tuple of positive ints, without the batch axis."""
    if is_integer(shape):
        shape = (shape,)
    try:
        dims = tuple(shape)
    except TypeError:
        raise ValueError(f"{owner}: shape must be a tuple of positive integers. Received: shape={shape!r}.") from None
    for n in dims:
        if not is_integer(n) or n <= 0:
            raise ValueError(
                f"{owner}: shape must hold the positive sizes of one sample, without the batch axis. "
                f"Received: shape={shape!r}."
            )
    return tuple(int(n) for n in dims)


def elements(shape: Shape) -> int:
    """Values in one sample of ``shape``, batch axis first."""
    return prod(n for n in shape[1:] if n is not None)
