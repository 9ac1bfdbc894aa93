"""``Layer``: weights, and how they lower to ops."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import prod
from typing import Any, NamedTuple, TypeVar

import numpy as np

from nncore import allowance, constraints, initializers, random, regularizers
from nncore.arguments import float32_name, is_integer, positive_int
from nncore.builder import Builder
from nncore.errors import did_you_mean
from nncore.interpreter import interpret
from nncore.names import auto_name
from nncore.program import Buffer, Shape
from nncore.serialization import construct
from nncore.tracing import Symbol, call, trace, trial
from nncore.variables import Tensor, Variable, Weights

Array = np.ndarray[Any, Any]
L = TypeVar("L", bound="Layer")

_BASE_ARGUMENTS = (
    "name", "trainable", "dtype", "activity_regularizer", "input_shape", "input_dim", "batch_input_shape",
)  # fmt: skip


def _of_any_arguments(method: Callable[..., Any]) -> Callable[..., Any]:
    """The method, of which type checkers then let subclasses leave arguments out."""
    return method


class Outline(NamedTuple):
    """What is known of a layer's inputs or outputs without any data."""

    shape: Shape
    name: str
    dtype: str = "float32"


class Layer(Weights):
    """Base of all layers.

    A subclass creates weights in ``build`` and appends ops to a program in ``lower``; it contains no backward code,
    since every op brings its gradient.

    Args:
        name: Unique inside a model; by default the class in snake case with a counter.
        trainable: Whether training changes the weights.
        dtype: ``None`` or ``"float32"``.
        activity_regularizer: A regularizer; its penalty of the outputs, divided by the rows of the batch, is added to
            the loss.
        input_shape: Shape of one sample, for the first layer of a model.
        input_dim: The same for one-dimensional samples.
        batch_input_shape: The same with the batch axis first.

    Raises:
        ValueError: for an argument nncore does not know.
    """

    built: bool = False
    takes_integers = False
    """Whether its inputs are integers, which programs then load as they are. Such a layer comes first in a model."""
    supports_masking = False
    """Whether the outputs have the mask of the inputs, where these have one: see :class:`~nncore.layers.Masking`."""
    declared_input_shape: Shape | None = None
    input_shape: Shape | None = None
    output_shape: Shape | None = None

    def __init__(
        self,
        *,
        name: str | None = None,
        trainable: bool = True,
        dtype: str | None = None,
        activity_regularizer: Any = None,
        input_shape: Sequence[int | None] | None = None,
        input_dim: int | None = None,
        batch_input_shape: Sequence[int | None] | None = None,
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
        elif batch_input_shape is not None:
            if not isinstance(batch_input_shape, list | tuple) or not batch_input_shape:
                raise ValueError(
                    f"{kind}: batch_input_shape must be a tuple with the batch axis first, such as (None, 100). "
                    f"Received: batch_input_shape={batch_input_shape!r}."
                )
            input_shape = batch_input_shape[1:]
        self.name = auto_name(kind) if name is None else name
        if input_shape is not None:
            self.declared_input_shape = sample_shape(kind, input_shape)
        self.activity_regularizer = regularizers.get(activity_regularizer)
        self._trainable = bool(trainable)
        self._trained: list[Variable] = []  # weights that training changes while the layer is trainable
        self._kept: list[Variable] = []  # weights that no optimizer ever changes
        self._constants: list[Variable] = []  # what programs read beside the weights

    @classmethod
    def _own_arguments(cls) -> list[str]:
        code = cls.__init__.__code__
        return list(code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount])

    # What subclasses define.

    def build(self, input_shape: Shape) -> None:
        """Create the weights for inputs of ``input_shape``, batch axis first."""

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The shape of the outputs, batch axis first. Layers with a ``call`` of their own need not define it."""
        return self._shape_of_call(input_shape) if self._calls() else input_shape

    def lower(self, b: Builder, x: Buffer) -> Buffer:
        """Append this layer's ops to a program and return its output."""
        raise NotImplementedError(f"{type(self).__name__} must define call() or lower().")

    @_of_any_arguments
    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """What the layer computes. A subclass may define it, with or without ``training``, in place of ``lower``.

        Made of operators, NumPy functions, layers and activations that programs have ops for (see
        :class:`nncore.tracing.Symbol`), it becomes these ops and their gradients come by themselves. Else, and always
        where the class defines ``backward``, it is called with arrays in training and prediction, batch by batch:
        ``inputs`` is read-only and has its batch axis first; return an array of ``compute_output_shape``.

        ``backward(self, dy, x, y)`` then gets the gradient of the loss in the outputs ``y`` and returns that in the
        inputs ``x``, or a tuple of that and the gradients in ``trainable_weights``, in their order.
        """
        if not isinstance(inputs, Symbol):
            return self._eager(inputs, training)
        b = inputs.b
        with b.mode(training):
            return Symbol(b, self.lower(b, inputs.buffer))

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal layer, as JSON-able values."""
        config = {"name": self.name, "trainable": self.trainable, "dtype": "float32"}
        if self.activity_regularizer is not None:
            config["activity_regularizer"] = regularizers.serialize(self.activity_regularizer)
        return config

    @classmethod
    def from_config(cls: type[L], config: dict[str, Any]) -> L:
        """The layer that ``config``, nncore's or Keras's, describes."""
        return construct(cls, config)

    def get_build_config(self) -> dict[str, Any] | None:
        """The input shape for which the weights exist; ``None`` where there are none."""
        return {"input_shape": self.input_shape} if self.built and self.weights else None

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Create the weights for the input shape that ``get_build_config`` gave."""
        if config.get("input_shape"):
            self.build_for((None, *config["input_shape"][1:]))  # Keras may have the rows that it saw first

    # What they inherit.

    def __call__(self, inputs: Any, training: bool | None = None) -> Any:
        """The layer's outputs: for a symbol inside another layer's ``call``, or for an array, batch axis first."""
        if not isinstance(inputs, Symbol):
            return self._eager(inputs, training)
        self.build_for(inputs.shape)
        with inputs.b.scope(self.name), inputs.b.mode(training), inputs.b.unmasked():
            return Symbol(inputs.b, self.append(inputs.b, inputs.buffer))

    def append(self, b: Builder, x: Buffer) -> Buffer:
        """Append the layer to a program, and to what is scored also the penalty of its outputs."""
        y = self._append(b, x)
        if b.scored and self.activity_regularizer is not None:
            penalty = self.activity_regularizer.lower(b, y)
            b.penalties += b.emit("per_sample", penalty, b.view(y, (None, elements(y.shape))))
        return y

    def _append(self, b: Builder, x: Buffer) -> Buffer:
        """By ``lower``, or by ``call`` where a subclass defines that."""
        if not self._calls():
            return self.lower(b, x)
        if not hasattr(self, "backward"):
            found = trace(b, lambda inputs: self._call(inputs, b.training), x)
            if found is not None:
                return found.buffer
        training, shape = b.training, self.compute_output_shape(x.shape)
        backward = getattr(self, "backward", None)
        return call(
            b, type(self).__name__, lambda inputs: self._call(inputs, training), shape, [x], self.stored, backward
        )

    def _calls(self) -> bool:
        """Whether ``call`` was defined by a class further down than ``lower``."""
        for cls in type(self).__mro__:
            if "call" in vars(cls) or "lower" in vars(cls):
                return cls is not Layer and "lower" not in vars(cls)
        return False

    def _call(self, inputs: Any, training: bool) -> Any:
        """``call``, with ``training`` where it takes that."""
        code = type(self).call.__code__
        takes = "training" in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        return self.call(inputs, training=training) if takes else self.call(inputs)

    def _shape_of_call(self, input_shape: Shape) -> Shape:
        """The shape of what ``call`` returns, found by a trial."""
        b = Builder("trial", training=False)
        x = b.declare("input", "x", input_shape)
        if not hasattr(self, "backward"):
            found = trace(b, lambda inputs: self._call(inputs, False), x)
            if found is not None:
                return found.shape
        return trial(f"{type(self).__name__}.call", lambda inputs: self._call(inputs, False), input_shape)

    def _eager(self, inputs: Any, training: bool | None) -> Tensor:
        """The outputs for an array, by the ops' NumPy definitions."""
        x = np.asarray(inputs, np.int32 if self.takes_integers else np.float32)
        if x.ndim < 1:
            raise ValueError(f"{self.name}: a layer takes an array with one row a sample. Received: {inputs!r:.60}.")
        self.build_for((None, *x.shape[1:]))
        b = Builder(self.name, bool(training))
        source = b.declare("input", "x", (None, *x.shape[1:]), "int32" if self.takes_integers else "real")
        seed = random.draw_seed() if training else 0
        return np.array(interpret(b, {"x": x}, self.append(b, source), seed)).view(Tensor)

    def build_for(self, input_shape: Shape) -> Shape:
        """Build once for an input shape, check it against later ones, and return the output shape."""
        if not self.built:
            self.build(input_shape)
            if self._calls():
                self._shape_of_call(input_shape)  # builds the layers that it uses
            self.built = True
            self.input_shape = input_shape
        elif self.input_shape != input_shape and self.weights:
            raise ValueError(
                f"Layer {self.name!r} was built for inputs of shape {self.input_shape}. Received: {input_shape}."
            )
        self.input_shape = input_shape
        self.output_shape = self.compute_output_shape(input_shape)
        return self.output_shape

    def add_weight(self, *args: Any, **kwargs: Any) -> Variable:
        """Create a weight.

        Args:
            shape: Its shape; by default a single value.
            initializer: By default glorot-uniform.
            dtype: By default float32. Programs do not see a weight of int64.
            trainable: Whether training changes it.
            regularizer: While the weight is trainable, its penalty is added to the loss.
            constraint: After each update it holds the weight.
            name: By default ``"weight"`` with a counter.
            autocast, aggregation, layout: Without effect.

        They come in this order, or where the first is a string in Keras 2's: name, shape, dtype, initializer.
        """
        if args and isinstance(args[0], str):
            kwargs |= dict(zip(("name", "shape", "dtype", "initializer"), args, strict=False))
            args = args[4:]
        return self._add_weight(*args, **kwargs)

    def _add_weight(
        self, shape: Iterable[int] | None = None, initializer: Any = None, dtype: Any = None, trainable: bool = True,
        autocast: Any = True, regularizer: Any = None, constraint: Any = None, aggregation: Any = None,
        layout: Any = None, name: str | None = None,
    ) -> Variable:  # fmt: skip
        if name is None:
            unnamed = sum(v.name.partition("_")[0] == "weight" for v in self._trained + self._kept)
            name = f"weight_{unnamed}" if unnamed else "weight"
        initial = initializers.get("glorot_uniform" if initializer is None else initializer)
        if initial is None:
            raise ValueError(f"{self.name}: the weight {name!r} needs an initializer.")
        dims = tuple(int(n) for n in (shape or ()))
        stored = allowance.zeros(dims, f"{self.name}/{name}")
        variable = Variable(
            initial(dims) if stored is None else stored, name, trainable and self._trainable, dtype,
            regularizer=regularizers.get(regularizer), constraint=constraints.get(constraint),
        )  # fmt: skip
        variable.path = f"{self.name}/{name}"
        (self._trained if trainable else self._kept).append(variable)
        return variable

    def add_constant(self, value: Any, name: str) -> Variable:
        """Keep an array for programs to read that is no weight: what the layer was made with.

        It is not copied, and may be a view that repeats its values, until a model moves it into its flat vectors.
        """
        variable = Variable(0.0, name=name, trainable=False)
        variable.value = np.asarray(value, np.float32)
        variable.path = f"{self.name}/{name}"
        self._constants.append(variable)
        return variable

    @property
    def input(self) -> Outline:
        """Shape and name of the inputs; ``AttributeError`` while unbuilt."""
        return self._outline("input", self.input_shape)

    @property
    def output(self) -> Outline:
        """Shape and name of the outputs; ``AttributeError`` while unbuilt."""
        return self._outline("output", self.output_shape)

    def _outline(self, what: str, shape: Shape | None) -> Outline:
        if shape is None:
            raise AttributeError(f"Layer {self.name!r} isn't built: its {what} is not known.")
        return Outline(shape, f"{self.name}/{what}")

    @property
    def trainable(self) -> bool:
        """Whether training changes the weights. Compile the model again after setting it."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        for variable in self._trained:
            variable.trainable = self._trainable
        for layer in self._inner_layers():
            layer.trainable = value

    @property
    def weights(self) -> list[Variable]:
        """The variables: those made trainable first, then the others, each in the order of creation."""
        parts = [self, *self._inner_layers()]
        return [v for part in parts for v in part._trained] + [v for part in parts for v in part._kept]

    @property
    def stored(self) -> list[Variable]:
        """What programs may name, and models keep in their flat vectors: the float32 weights, and constants."""
        constants = [v for part in [self, *self._inner_layers()] for v in part._constants]
        return [v for v in self.weights if v.dtype == "float32"] + constants

    def _inner_layers(self) -> list[Layer]:
        """The layers that a layer with a ``call`` of its own keeps in attributes or lists, and theirs."""
        if not self._calls():
            return []
        found: list[Layer] = []
        for value in vars(self).values():
            for layer in value if isinstance(value, list | tuple) else [value]:
                if isinstance(layer, Layer):
                    found += [layer, *layer._inner_layers()]
        return found

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
