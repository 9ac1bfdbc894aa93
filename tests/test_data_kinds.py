"""What fit, evaluate and predict take as arrays: frames, series, tensors, lists, sparse matrices; what they refuse."""

from __future__ import annotations

import array
import tracemalloc
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from oracles import ISAS, error, labels, on_isa, one_hot, same_bits, uniform

from nncore import backends, random
from nncore.callbacks import LambdaCallback
from nncore.errors import DataError
from nncore.layers import Dense, Input
from nncore.models import Sequential
from nncore.ops import Step, get
from nncore.optimizers import Adam
from nncore.sparse import from_scipy

ROWS, COLUMNS = 42, 6
Y = one_hot(ROWS, 3)
QUIET: dict[str, Any] = {"verbose": 0}


class Seeded(Sequential):
    """Every ``fit`` draws from one seed."""

    def fit(self, *args: Any, **how: Any) -> Any:
        random.set_seed(6)
        return super().fit(*args, **how)


def network(columns: int = COLUMNS, **how: Any) -> Sequential:
    random.set_seed(5)
    model = Seeded([Input((columns,)), Dense(5, activation="relu"), Dense(3, activation="softmax")])
    model.compile(Adam(0.01), "categorical_crossentropy", metrics=["accuracy"], **how)
    return model


def all_of(model: Sequential, x: Any, y: Any, weight: Any = None) -> list[Any]:
    """What comes out of training on the data, scoring and predicting it."""
    history = model.fit(
        x, y, 8, 2, sample_weight=weight, validation_data=(x, y) if weight is None else (x, y, weight), **QUIET
    ).history
    scores = model.evaluate(x, y, sample_weight=weight, **QUIET)
    alone = [model.train_on_batch(x, y), model.test_on_batch(x, y), model.predict_on_batch(x).tobytes()]
    return [history, scores, alone, model.predict(x, **QUIET).tobytes(), [w.tobytes() for w in model.get_weights()]]


# Frames, series, tensors.


class Tensor:
    """What PyTorch's tensors look like: those with a gradient must be detached first."""

    def __init__(self, values: Any, bare: bool = False) -> None:
        self.values, self._bare = np.asarray(values), bare

    def detach(self) -> Tensor:
        return Tensor(self.values, bare=True)

    def cpu(self) -> Tensor:
        return self

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        if not self._bare:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad.")
        return self.values


class Arrayish:
    """Anything with ``__array__``."""

    def __init__(self, values: Any) -> None:
        self._values = np.asarray(values)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self._values


X = uniform(ROWS, COLUMNS)
MIXED = pd.DataFrame(
    {
        "age": np.arange(ROWS) % 7, "height": uniform(ROWS), "left": np.arange(ROWS) % 2 == 0,
        "small": np.arange(ROWS, dtype=np.uint8), "maybe": pd.array(np.arange(ROWS) % 3, dtype="Int64"),
        "sure": pd.array(np.arange(ROWS) % 5 == 0, dtype="boolean"),
    }
)  # fmt: skip
NUMPY = MIXED.drop(columns=["maybe", "sure"])
WHOLE = NUMPY[["age", "left", "small"]]
KINDS: dict[str, tuple[Any, Any]] = {
    "a frame": (pd.DataFrame(X), X),
    "a frame of float64": (pd.DataFrame(X.astype(np.float64)), X),
    "a frame of many kinds": (MIXED, MIXED.to_numpy(np.float64)),
    "a frame of NumPy's kinds": (NUMPY, NUMPY.to_numpy(np.float64)),
    "a frame of integers and truths": (WHOLE, WHOLE.to_numpy(np.float64)),
    "a frame of objects": (NUMPY.astype(object), NUMPY.to_numpy(np.float64)),
    "a part of a frame": (pd.DataFrame(np.hstack([X, X])).iloc[:, 2:8], np.hstack([X, X])[:, 2:8]),
    "a tensor": (Tensor(X), X),
    "anything with __array__": (Arrayish(X.astype(np.float16)), X.astype(np.float16).astype(np.float32)),
    "lists": (X.tolist(), X),
    "a tuple of arrays": (tuple(X), X),
    "truths": (X > 0, (X > 0).astype(np.float32)),
    "a range": (range(ROWS), np.arange(ROWS)[:, None]),
    "an array of Python's": (array.array("d", np.linspace(-1, 1, ROWS)), np.linspace(-1, 1, ROWS)[:, None]),
    "unsigned integers": ((X * 100).astype(np.uint16), (X * 100).astype(np.uint16).astype(np.float32)),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_samples(kind: str, backend: str) -> None:
    """The same bits as the array of the same values."""
    x, dense = KINDS[kind]
    columns = dense.shape[1]
    assert all_of(network(columns), x, Y) == all_of(network(columns), dense.astype(np.float32), Y)


TARGETS: dict[str, Callable[[Any], Any]] = {
    "a frame": pd.DataFrame, "a tensor": Tensor, "lists": lambda y: y.tolist(), "truths": lambda y: y > 0,
}  # fmt: skip


@pytest.mark.parametrize("kind", TARGETS)
def test_kinds_of_targets_and_weights(kind: str, backend: str) -> None:
    weight = np.linspace(0, 2, ROWS, dtype=np.float32)
    want = all_of(network(), X, Y, weight)
    assert all_of(network(), pd.DataFrame(X), TARGETS[kind](Y), pd.Series(weight)) == want
    assert all_of(network(), X, TARGETS[kind](Y), weight.tolist()) == want


@pytest.mark.parametrize("kind", [pd.Series, pd.Categorical, list, Tensor])
def test_kinds_of_labels(kind: Any, backend: str) -> None:
    y = labels(ROWS, 3)
    models = [network(), network()]
    for model, given in zip(models, (y, kind(y)), strict=True):
        model.compile(Adam(0.01), "sparse_categorical_crossentropy")
        model.fit(X, given, class_weight={1: 2.0}, **QUIET)
    assert all(same_bits(a, b) for a, b in zip(*(m.get_weights() for m in models), strict=True))


def test_a_series_for_one_feature(backend: str) -> None:
    x = pd.Series(np.linspace(-1, 1, 20), index=range(100, 120))
    model = Sequential([Dense(1)])
    model.compile("sgd", "mse")
    model.fit(x, 2 * x, **QUIET)
    assert model.predict(x, **QUIET).shape == (20, 1)


REFUSED: dict[str, tuple[Any, tuple[str, ...]]] = {
    "text": (MIXED.assign(town="Ulm"), ("x must hold numbers in all columns", "'Ulm' in row 0 of the column 'town'")),
    "text in one place": (
        NUMPY.assign(town=[1.0] * 9 + ["?"] + [2] * 32), ("'?' in row 9 of the column 'town'", "Encode it as numbers"),
    ),
    "text that looks like numbers": (NUMPY.assign(n="12"), ("'12' in row 0 of the column 'n'",)),
    "names": (NUMPY.assign(c=pd.Categorical(["a", "b"] * 21)), ("'a' in row 0 of the column 'c'",)),
    "dates": (NUMPY.assign(when=pd.Timestamp("2024-02-03")), ("dtype datetime64", "of the column 'when'")),
    "lists": (NUMPY.assign(many=[[1, 2]] * ROWS), ("of the column 'many'",)),
    "what is missing": (MIXED.assign(maybe=pd.array([None, *[1] * 41], dtype="Int64")), ("row 0, column 4", "nan")),
    "no columns": (MIXED[[]], ("x must not be empty",)),
    "a series of text": (pd.Series(["a", "b"] * 21), ("x must hold real numbers", "'a' at row 0")),
    "a tensor of numbers that NumPy does not know": (Arrayish, ("x must be an array",)),
    "a sparse matrix of complex numbers": (scipy.sparse.eye_array(ROWS, dtype=complex).tocsr(), ("dtype complex128",)),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    x, parts = REFUSED[case]
    model = network(getattr(x, "shape", (0, COLUMNS))[-1] or 1)
    for use in (lambda: model.fit(x, Y, **QUIET), lambda: model.evaluate(x, Y, **QUIET)):
        with pytest.raises(DataError) as caught:
            use()
        for part in parts:
            assert part in str(caught.value), str(caught.value)
    assert model.optimizer.iterations == 0


# Sparse samples.

DENSE = np.where(uniform(ROWS, 60, seed=2) > 0.7, uniform(ROWS, 60, seed=3), 0).astype(np.float32)
DENSE[[0, 7, -1]] = 0
SPARSE: dict[str, Callable[[Any], Any]] = {
    **{f"{name}_{kind}": getattr(scipy.sparse, f"{name}_{kind}")
       for name in ("csr", "csc", "coo", "bsr", "lil", "dok", "dia") for kind in ("matrix", "array")},
    "float64": lambda a: scipy.sparse.csr_array(a.astype(np.float64)),
    "64-bit indices": lambda a: with_indices(scipy.sparse.csr_array(a), np.int64),
    "16-bit indices": lambda a: with_indices(scipy.sparse.csr_array(a), np.int16),
    "unsorted": lambda a: unsorted(scipy.sparse.csr_array(a)),
    "a part": lambda a: scipy.sparse.csr_array(np.vstack([a, a]))[ROWS:],
    "read-only": lambda a: read_only(scipy.sparse.csr_array(a)),
}  # fmt: skip


def with_indices(a: Any, dtype: Any) -> Any:
    a.indices, a.indptr = a.indices.astype(dtype), a.indptr.astype(dtype)
    return a


def unsorted(a: Any) -> Any:
    for start, stop in zip(a.indptr[:-1], a.indptr[1:], strict=True):
        for part in (a.indices, a.data):
            part[start:stop] = part[start:stop][::-1].copy()
    a.has_sorted_indices = False
    return a


def read_only(a: Any) -> Any:
    for part in (a.data, a.indices, a.indptr):
        part.flags.writeable = False
    return a


@pytest.mark.parametrize("kind", SPARSE)
def test_kinds_of_sparse_samples(kind: str, backend: str) -> None:
    """Shuffled, validated, scored: the bits of the dense array."""
    x = SPARSE[kind](DENSE)
    assert all_of(network(60), x, Y) == all_of(network(60), DENSE, Y)
    if hasattr(x, "toarray"):
        assert (x.toarray() == DENSE).all()


@pytest.mark.parametrize("how", [{"validation_split": 0.3}, {"shuffle": "batch"}, {"steps_per_epoch": 2},
                                 {"callbacks": LambdaCallback(on_train_batch_end=lambda batch, logs: None)},
                                 {"sample_weight": np.linspace(0, 1, ROWS)}])  # fmt: skip
def test_ways_to_train_on_sparse_samples(how: dict[str, Any], backend: str) -> None:
    models = [network(60), network(60)]
    for model, x in zip(models, (DENSE, scipy.sparse.csr_array(DENSE)), strict=True):
        model.fit(x, Y, 8, 3, **how, **QUIET)
    assert all(same_bits(a, b) for a, b in zip(*(m.get_weights() for m in models), strict=True))
    assert models[0].history.history == models[1].history.history


def test_sparse_batches(backend: str) -> None:
    sparse = scipy.sparse.csr_array(DENSE)
    models = [network(60), network(60)]
    models[0].fit(DENSE, Y, 10, shuffle=False, **QUIET)
    parts = (sparse[i : i + 10] if i != 20 else DENSE[20:30] for i in range(0, ROWS, 10))  # one of them dense
    models[1].fit(((part, Y[10 * i : 10 * i + 10]) for i, part in enumerate(parts)), **QUIET)
    assert all(same_bits(a, b) for a, b in zip(*(m.get_weights() for m in models), strict=True))
    assert same_bits(models[0].predict(DENSE, **QUIET), models[1].predict(iter([sparse[:9], sparse[9:]]), **QUIET))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"])
def test_values_of_every_dtype(dtype: str, isa: str) -> None:
    counts = (np.abs(DENSE) * 100).astype(dtype)
    backends.in_force = on_isa(isa)
    model = network(60)
    assert same_bits(model.predict(scipy.sparse.csr_array(counts), **QUIET), model.predict(counts, **QUIET))


def test_values_stored_twice_add_up(backend: str) -> None:
    twice = scipy.sparse.csr_array((np.array([1.0, 2.0, 4.0]), np.array([1, 1, 0]), np.array([0, 2, 3, 3])), (3, 2))
    model = network(2)
    want = model.predict(np.array([[0.0, 3.0], [4.0, 0.0], [0.0, 0.0]]), **QUIET)
    assert same_bits(model.predict(twice, **QUIET), want)


def test_a_matrix_of_zeros(backend: str) -> None:
    model = network(4)
    want = model.predict(np.zeros((5, 4)), **QUIET)
    assert same_bits(model.predict(scipy.sparse.csr_array((5, 4)), **QUIET), want)
    model.fit(scipy.sparse.csr_array((5, 4)), Y[:5], **QUIET)


def test_an_unbuilt_model_and_sparse_samples(backend: str) -> None:
    model = Sequential([Dense(2)])
    assert model.predict(scipy.sparse.csr_matrix(DENSE), **QUIET).shape == (ROWS, 2)
    assert model.input_shape == (None, 60)


@pytest.mark.parametrize("indices", [np.int32, np.int64])
@pytest.mark.parametrize("real", [np.float32, np.float64])
def test_the_definition(real: Any, indices: Any) -> None:
    sparse = scipy.sparse.csr_array(DENSE.astype(np.float64))
    part = from_scipy("x", sparse)[3:30]
    starts, columns = part.starts.astype(indices)[:, None], part.columns.astype(indices)[:, None]
    for rows in (slice(2, 9), np.array([26, 0, 0, 13]), slice(4, 4)):
        x = np.full((len(np.arange(27)[rows]), 60), np.nan, real)
        get("gather_csr").body(x, starts, part.values[:, None], columns, step=Step(rows, 0, 0, None))
        assert error(x, DENSE[3:30][rows]) == 0
        assert x.dtype == real


def test_memory_is_a_batch_s(backend: str) -> None:
    """Of a matrix that takes four gigabytes dense, a few batches take some megabytes."""
    rows, columns = 20_000, 50_000
    sparse = scipy.sparse.random_array((rows, columns), density=1e-5, dtype=np.float32, rng=3, format="csr")
    model, y = network(columns), one_hot(rows, 3)
    tracemalloc.start()
    try:
        model.fit(sparse, y, 16, steps_per_epoch=2, **QUIET)
        assert tracemalloc.get_traced_memory()[1] < 64 * 2**20
    finally:
        tracemalloc.stop()
    assert model.optimizer.iterations == 2


SPARSE_REFUSED: dict[str, tuple[Callable[[], Any], tuple[str, ...]]] = {
    "features": (lambda: scipy.sparse.csr_array(DENSE[:, :3]), ("x has 3 features, the model expects 60",)),
    "NaN": (lambda: spoilt(np.nan), ("x must be finite in float32", "nan in row 5, column")),
    "infinity": (lambda: spoilt(np.inf), ("x must be finite in float32", "inf in row 5, column")),
    "columns": (lambda: broken("indices", 60), ("a whole sparse matrix", "columns outside [0, 60)")),
    "a negative column": (lambda: broken("indices", -1), ("columns outside [0, 60)",)),
    "row starts": (lambda: broken("indptr", 10**6), ("a whole sparse matrix", "row starts")),
    "no rows": (lambda: scipy.sparse.csr_array((0, 60)), ("x must not be empty. Received: shape (0, 60)",)),
    "one axis": (lambda: scipy.sparse.coo_array(DENSE[3]), ("x must have two axes where it is sparse", "(60,)")),
}  # fmt: skip


def spoilt(value: float) -> Any:
    a = scipy.sparse.csr_array(DENSE)
    a.data[a.indptr[5] + 1] = value
    return a


def broken(part: str, value: int) -> Any:
    a = scipy.sparse.csr_array(DENSE)
    getattr(a, part)[4] = value
    return a


@pytest.mark.parametrize("case", SPARSE_REFUSED)
def test_sparse_samples_that_are_refused(case: str) -> None:
    make, parts = SPARSE_REFUSED[case]
    x, model = make(), network(60)
    y = Y[: x.shape[0]] if len(x.shape) == 2 and x.shape[0] else Y
    with pytest.raises(DataError) as caught:
        model.fit(x, y, **QUIET)
    for part in parts:
        assert part in str(caught.value), str(caught.value)
    assert model.optimizer.iterations == 0


def test_where_sparse_is_no_use() -> None:
    sparse, model = scipy.sparse.csr_array(DENSE), network(60)
    with pytest.raises(DataError, match=r"y must be a dense array\. Received: a sparse csr_array; use its toarray"):
        model.fit(DENSE, scipy.sparse.csr_array(Y), **QUIET)
    with pytest.raises(DataError, match="must have as many rows"):
        model.fit(sparse, Y[:5], **QUIET)
    model = network(60, check_finite=False, on_nan="ignore")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(spoilt(np.nan), Y, **QUIET)
    assert np.isnan(model.get_weights()[0]).any()
