"""``Variable``: a named weight. Its values may live anywhere; a model moves them into its flat vectors."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

Array = np.ndarray[Any, Any]

ALIGNMENT = 16
"""In flat vectors every weight starts at a multiple of so many elements: 64 bytes of float32, a cache line."""


def aligned(size: int) -> int:
    """``size`` rounded up to the alignment."""
    return -(-size // ALIGNMENT) * ALIGNMENT


DTYPES = ("float32", "float64", "int32", "int64")
"""What variables may hold. The weights of models are float32; the state of metrics may be the others."""


_counting = Lock()


class Tensor(np.ndarray[Any, Any]):
    """What a layer or model returns when it is called: a NumPy array that has Keras's ``numpy()`` as well."""

    def numpy(self) -> Array:
        """The same values as a plain array, without a copy."""
        return self.view(np.ndarray)


class Variable(NDArrayOperatorsMixin):
    """An array with a name: a weight, which models train in place, or part of the state of a metric.

    Args:
        value: Initial values: anything ``np.asarray`` takes.
        name: Its name inside its layer, such as ``"kernel"``.
        trainable: Whether optimizers change it.
        dtype: By default float32.
        regularizer: A regularizer, whose penalty of the values is added to the loss while they are trainable.
        constraint: A constraint, which holds the values after each update.

    Attributes:
        value: The values, as a NumPy array that is written in place. Read it anew each time: a model that adopts the
            variable moves it into a vector of its own.
        scope: ``"inner/"`` where a model inside another one has a layer of a name that is taken, else empty.
        path: ``"model/layer/name"`` inside a model, ``"layer/name"`` inside a layer, else the name.
    """

    moves = 0
    """Counts every move of any variable: flat vectors look for theirs only when it has changed."""

    def __init__(
        self, value: Any, name: str = "variable", trainable: bool = True, dtype: Any = None, *,
        regularizer: Any = None, constraint: Any = None,
    ) -> None:  # fmt: skip
        chosen = "float32" if dtype is None else getattr(dtype, "__name__", str(dtype))  # np.float32 is a class
        if chosen not in DTYPES:
            raise ValueError(f"Variable: dtype must be one of {', '.join(DTYPES)}, or None. Received: dtype={dtype!r}.")
        self.value: Array = np.array(value, chosen)
        self.name = name
        self.path = name
        self.scope = ""
        self.trainable = trainable
        self.regularizer = regularizer
        self.constraint = constraint

    @property
    def key(self) -> str:
        """``"layer/name"``: what programs call it, unique inside a model."""
        return self.scope + "/".join(self.path.split("/")[-2:])

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the values."""
        return tuple(self.value.shape)

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return int(self.value.ndim)

    @property
    def size(self) -> int:
        """The number of values."""
        return int(self.value.size)

    @property
    def dtype(self) -> str:
        """The name of the values' type."""
        return str(self.value.dtype)

    def numpy(self) -> Array:
        """A copy of the values."""
        return self.value.copy()

    def assign(self, value: Any) -> Variable:
        """Overwrite the values; raises ``ValueError`` where the shape differs."""
        array = np.asarray(value, self.value.dtype)
        if array.shape != self.shape:
            raise ValueError(f"{self.path}: the shape must stay {self.shape}. Received a value of shape {array.shape}.")
        self.value[...] = array
        return self

    def assign_add(self, value: Any) -> Variable:
        """Add to the values."""
        return self.assign(self.value + np.asarray(value))

    def assign_sub(self, value: Any) -> Variable:
        """Subtract from the values."""
        return self.assign(self.value - np.asarray(value))

    def move_to(self, home: Array) -> None:
        """Live in ``home``, an array of the same shape, from now on, keeping the values."""
        home[...] = self.value
        self.value = home
        with _counting:  # after the move: whoever has seen this count has seen where it went
            Variable.moves += 1

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if dtype is None or np.dtype(dtype) == self.value.dtype:
            return self.value.copy() if copy else self.value
        if copy is False:
            raise ValueError(f"{self.path} is {self.dtype}: a conversion to {np.dtype(dtype)} needs a copy.")
        return self.value.astype(dtype)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        arrays = []
        for operand in inputs:
            if isinstance(operand, Variable):
                operand = operand.value
            elif not isinstance(operand, np.ndarray | np.generic) and hasattr(type(operand), "__array_ufunc__"):
                return NotImplemented  # it decides itself what comes of a formula with variables
            arrays.append(operand)
        if kwargs:
            if any(isinstance(out, Variable) for out in kwargs.get("out", ())):
                raise TypeError(f"{self.path}: NumPy functions must not write into a variable. Use assign().")
            return getattr(ufunc, method)(*arrays, **kwargs)
        return ufunc(*arrays) if method == "__call__" else getattr(ufunc, method)(*arrays)

    def __getitem__(self, index: Any) -> Any:
        return self.value[index]

    def __len__(self) -> int:
        return len(self.value)

    def __repr__(self) -> str:
        return f"<Variable path={self.path}, shape={self.shape}, dtype={self.dtype}, value={self.value}>"


class Weights:
    """What layers and models share: their weights as a list, and as arrays.

    Attributes:
        name: What error messages call the owner.
    """

    name: str

    @property
    def built(self) -> bool:
        """Whether the weights exist."""
        raise NotImplementedError(f"{type(self).__name__} must define built.")

    @property
    def weights(self) -> list[Variable]:
        """The variables, in the order of ``get_weights``."""
        raise NotImplementedError(f"{type(self).__name__} must define weights.")

    @property
    def variables(self) -> list[Variable]:
        """The same as ``weights``."""
        return self.weights

    @property
    def trainable_weights(self) -> list[Variable]:
        """The variables that training changes."""
        return [v for v in self.weights if v.trainable]

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """The variables that training leaves alone."""
        return [v for v in self.weights if not v.trainable]

    @property
    def losses(self) -> list[Any]:
        """The penalties of the trainable weights that have a regularizer, for their values as they are."""
        return [v.regularizer(v.value) for v in self.trainable_weights if v.regularizer is not None]

    trainable_variables = trainable_weights
    non_trainable_variables = non_trainable_weights

    def get_weights(self) -> list[Array]:
        """Copies of the values of all weights."""
        return [v.numpy() for v in self.weights]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Overwrite all weights; nothing changes where the count or a shape differs (``ValueError``)."""
        arrays = [np.asarray(v) for v in weights]
        if len(arrays) != len(self.weights):
            raise ValueError(
                f"set_weights: {self.name!r} has {len(self.weights)} weights. Received a list of {len(arrays)}."
            )
        for variable, array in zip(self.weights, arrays, strict=True):
            if array.shape != variable.shape:
                raise ValueError(
                    f"set_weights: the weight {variable.path!r} has shape {variable.shape}. "
                    f"Received a value of shape {array.shape}."
                )
            if array.dtype.kind not in "fiub":
                raise ValueError(
                    f"set_weights: the weight {variable.path!r} takes numbers. Received a value of dtype {array.dtype}."
                )
        for variable, array in zip(self.weights, arrays, strict=True):
            variable.assign(array)

    def count_params(self) -> int:
        """The number of weight values; ``ValueError`` before the weights exist."""
        if not self.built:
            raise ValueError(
                f"{self.name!r} isn't built: its number of parameters is not known. Give the model an Input, or call "
                "build(input_shape)."
            )
        return sum(v.size for v in self.weights)
