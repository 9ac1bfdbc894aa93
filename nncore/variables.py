"""``Variable``: a named weight. Its values may live anywhere; a model moves them into its flat vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

Array = np.ndarray[Any, Any]


class Variable(NDArrayOperatorsMixin):
    """A float32 array with a name, which models train in place.

    Args:
        value: Initial values: anything ``np.asarray`` takes.
        name: Its name inside its layer, such as ``"kernel"``.
        trainable: Whether optimizers change it.

    Attributes:
        value: The values, as a NumPy array that is written in place. Read it anew each time: a model that adopts the
            variable moves it into a vector of its own.
        path: ``"model/layer/name"`` inside a model, ``"layer/name"`` inside a layer, else the name.
    """

    moves = 0
    """Counts every move of any variable: flat vectors look for theirs only when it has changed."""

    def __init__(self, value: Any, name: str = "variable", trainable: bool = True, dtype: Any = None) -> None:
        if dtype is not None and np.dtype(dtype) != np.float32:
            raise ValueError(f"Variable: dtype must be 'float32' or None. Received: dtype={dtype!r}.")
        self.value: Array = np.array(value, np.float32)
        self.name = name
        self.path = name
        self.trainable = trainable

    @property
    def key(self) -> str:
        """``"layer/name"``: what programs call it, unique inside a model."""
        return "/".join(self.path.split("/")[-2:])

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
        """The name of the values' type, ``"float32"``."""
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
        Variable.moves += 1
        home[...] = self.value
        self.value = home

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if dtype is None or np.dtype(dtype) == self.value.dtype:
            return self.value.copy() if copy else self.value
        if copy is False:
            raise ValueError(f"{self.path} is {self.dtype}: a conversion to {np.dtype(dtype)} needs a copy.")
        return self.value.astype(dtype)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        arrays = tuple(i.value if isinstance(i, Variable) else i for i in inputs)
        if any(isinstance(out, Variable) for out in kwargs.get("out", ())):
            raise TypeError(f"{self.path}: NumPy functions must not write into a variable. Use assign().")
        return getattr(ufunc, method)(*arrays, **kwargs)

    def __getitem__(self, index: Any) -> Any:
        return self.value[index]

    def __len__(self) -> int:
        return len(self.value)

    def __repr__(self) -> str:
        return f"<Variable path={self.path}, shape={self.shape}, dtype={self.dtype}, value={self.value}>"
