"""Keras's utilities: the same arrays, and errors where Keras wraps around or says little."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from nncore import random as seeds
from nncore import serialization, utils
from nncore.progress import Progbar
from nncore.utils import normalize, pad_sequences, set_random_seed, to_categorical


def test_progbar_is_there() -> None:
    assert utils.Progbar is Progbar


# to_categorical


@pytest.mark.parametrize(
    "labels, num_classes, expected",
    [
        ([0, 1, 2], None, [[1, 0, 0], [0, 1, 0], [0, 0, 1]]),
        ([2, 0], 4, [[0, 0, 1, 0], [1, 0, 0, 0]]),
        ([[0], [2]], None, [[1, 0, 0], [0, 0, 1]]),
        ([[1, 2], [0, 1]], None, [[[0, 1, 0], [0, 0, 1]], [[1, 0, 0], [0, 1, 0]]]),
        ([[[1]], [[0]]], None, [[[0, 1]], [[1, 0]]]),
        ([[1]], None, [[0, 1]]),
        ([1], None, [[0, 1]]),
        (3, None, [0, 0, 0, 1]),
        ([1.0, 0.0], None, [[0, 1], [1, 0]]),
        ([True, False], None, [[0, 1], [1, 0]]),
        (np.array([1, 0], np.uint64), None, [[0, 1], [1, 0]]),
        (np.array([1, 0], np.int8), np.int64(2), [[0, 1], [1, 0]]),
        (np.zeros(0, np.int64), 3, np.zeros((0, 3))),
        ([], 2, np.zeros((0, 2))),
    ],
)
def test_to_categorical(labels: Any, num_classes: int | None, expected: Any) -> None:
    np.testing.assert_array_equal(to_categorical(labels, num_classes), np.array(expected, np.float64), strict=True)


@pytest.mark.parametrize(
    "labels, num_classes, message",
    [
        ([0, -1, -2], None, r"labels must be integers from 0 on\. Received: -1 at index 1\."),
        ([0, 1, -1], 3, r"labels must be in \[0, 3\) for num_classes=3\. Received: -1 at index 2\."),
        ([0, 3], 3, r"labels must be in \[0, 3\) for num_classes=3\. Received: 3 at index 1\."),
        ([[0, 1], [2, 1]], 2, r"Received: 2 at index \(1, 0\)\."),
        (5, 2, r"labels must be in \[0, 2\) for num_classes=2\. Received: 5\."),
        ([0.0, 1.5], None, r"labels must be integers\. Received: 1\.5 at index 1\."),
        ([0.0, np.nan], None, r"labels must be integers\. Received: nan at index 1\."),
        ([np.inf], None, r"labels must be integers from 0 on\. Received: inf at index 0\."),
        ([np.inf], 3, r"labels must be in \[0, 3\)"),
        (np.array([2**63], np.uint64), 3, r"Received: 9223372036854775808 at index 0\."),
        (["a"], None, r"labels must be integers\. Received: dtype <U1\."),
        ([None], None, r"labels must be integers\. Received: dtype object\."),
        ([], None, r"Give num_classes\."),
        ([0], 0, r"num_classes must be a positive integer\. Received: num_classes=0\."),
        ([0], 2.0, "num_classes must be a positive integer"),
    ],
)
def test_to_categorical_refuses(labels: Any, num_classes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"to_categorical: .*{message}"):
        to_categorical(labels, num_classes)


# normalize

C = 91 ** (1 / 3)  # the cube root of 27 + 64


@pytest.mark.parametrize(
    "x, arguments, expected",
    [
        ([[3.0, 4.0], [0.0, 0.0]], {}, [[0.6, 0.8], [0, 0]]),
        ([[3.0, 4.0], [0.0, 0.0]], {"axis": 0}, [[1, 1], [0, 0]]),
        ([3, 4], {}, [0.6, 0.8]),
        ([3.0, -4.0], {"order": 1}, [3 / 7, -4 / 7]),
        ([3.0, -4.0], {"order": np.inf}, [0.75, -1]),
        ([[1.0, 2.0], [3.0, 4.0]], {"axis": 1, "order": 3}, [[9 ** (-1 / 3), 2 / 9 ** (1 / 3)], [3 / C, 4 / C]]),
    ],
)
def test_normalize(x: Any, arguments: dict[str, Any], expected: Any) -> None:
    got = normalize(x, **arguments)
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, expected, rtol=1e-15)
    assert got.shape == np.shape(expected)


def test_normalize_keeps_float_types_and_its_input() -> None:
    x = np.array([[3, 4]], np.float32)
    got = normalize(x)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(x, [[3, 4]])
    assert normalize(np.array([3, 4], np.float16)).dtype == np.float16
    assert normalize(np.zeros((0, 3))).shape == (0, 3)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"x": ["a"]}, r"x must hold real numbers\. Received: dtype <U1\."),
        ({"x": [1j]}, "x must hold real numbers"),
        ({"x": [1.0], "axis": 1}, r"axis must be an axis of x, which has 1\. Received: axis=1\."),
        ({"x": 5.0}, "axis must be an axis of x, which has 0"),
        ({"x": [1.0], "axis": (0,)}, "axis must be an axis of x"),
        ({"x": [1.0], "order": 0}, r"order must be a positive number\. Received: order=0\."),
        ({"x": [1.0], "order": "fro"}, "order must be a positive number"),
        ({"x": [1.0], "order": np.nan}, "order must be a positive number"),
    ],
)
def test_normalize_refuses(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"normalize: {message}"):
        normalize(**arguments)


# pad_sequences

SEQUENCES = [[1], [2, 3], [4, 5, 6]]


@pytest.mark.parametrize(
    "sequences, arguments, expected",
    [
        (SEQUENCES, {}, [[0, 0, 1], [0, 2, 3], [4, 5, 6]]),
        (SEQUENCES, {"padding": "post"}, [[1, 0, 0], [2, 3, 0], [4, 5, 6]]),
        (SEQUENCES, {"maxlen": 2}, [[0, 1], [2, 3], [5, 6]]),
        (SEQUENCES, {"maxlen": 2, "truncating": "post"}, [[0, 1], [2, 3], [4, 5]]),
        (SEQUENCES, {"maxlen": 2, "truncating": "post", "padding": "post", "value": -1}, [[1, -1], [2, 3], [4, 5]]),
        (SEQUENCES, {"maxlen": 4}, [[0, 0, 0, 1], [0, 0, 2, 3], [0, 4, 5, 6]]),
        (SEQUENCES, {"maxlen": 0}, np.zeros((3, 0))),
        ([[1], []], {}, [[1], [0]]),
        ([[], []], {}, np.zeros((2, 0))),
        ([], {}, np.zeros((0, 0))),
        ([], {"maxlen": 3}, np.zeros((0, 3))),
        ([[[1, 2]], [[3, 4], [5, 6]]], {}, [[[0, 0], [1, 2]], [[3, 4], [5, 6]]]),
        ([[], [[3, 4], [5, 6]]], {}, [[[0, 0], [0, 0]], [[3, 4], [5, 6]]]),
        (np.ones((2, 3)), {"maxlen": 2}, [[1, 1], [1, 1]]),
        (((1,), (2, 3)), {}, [[0, 1], [2, 3]]),
        ((s for s in SEQUENCES), {"maxlen": 1}, [[1], [3], [6]]),
    ],
)
def test_pad_sequences(sequences: Any, arguments: dict[str, Any], expected: Any) -> None:
    np.testing.assert_array_equal(pad_sequences(sequences, **arguments), np.array(expected, np.int32), strict=True)


def test_pad_sequences_of_other_types() -> None:
    got = pad_sequences([[1.5], [2.5, 3.5]], dtype="float32", value=0.25)
    np.testing.assert_array_equal(got, np.array([[0.25, 1.5], [2.5, 3.5]], np.float32), strict=True)
    assert pad_sequences([["a", "bc"], ["q"]], dtype=object, value="xyz").tolist() == [["a", "bc"], ["xyz", "q"]]
    assert pad_sequences([["a", "bc"], ["q"]], dtype="<U3", value="xyz").tolist() == [["a", "bc"], ["xyz", "q"]]


@pytest.mark.parametrize(
    "sequences, arguments, message",
    [
        (3, {}, r"sequences must be a list of sequences\. Received: 3\."),
        ([[1], 2], {}, r"sequences must be a list of sequences\. Received: 2 at index 1\."),
        ([[[1, 2]], [[3, 4, 5]]], {}, r"one shape, here \(2,\)\. Received: items of shape \(3,\) in sequence 1\."),
        ([[1]], {"padding": "left"}, "Unknown padding of pad_sequences: 'left'"),
        ([[1]], {"truncating": "prev"}, r"Unknown truncating of pad_sequences: 'prev'\. Did you mean 'pre'\?"),
        ([[1]], {"maxlen": -1}, r"maxlen must be an integer of at least 0\. Received: maxlen=-1\."),
        ([[1]], {"maxlen": 2.0}, "maxlen must be an integer of at least 0"),
        ([["a"]], {"value": "x"}, r"value='x' does not fit dtype='int32'\. Give dtype=object\."),
    ],
)
def test_pad_sequences_refuses(sequences: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pad_sequences(sequences, **arguments)


# set_random_seed


@pytest.fixture
def _random_again() -> Iterator[None]:
    state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    yield
    random.setstate(state)
    np.random.set_state(numpy_state)  # noqa: NPY002
    seeds._state = None


def draws() -> tuple[Any, ...]:
    return random.random(), float(np.random.rand()), seeds.draw_seed()  # noqa: NPY002


@pytest.mark.usefixtures("_random_again")
def test_set_random_seed_seeds_python_numpy_and_nncore() -> None:
    set_random_seed(3)
    first = draws()
    set_random_seed(np.int64(3))
    assert draws() == first
    set_random_seed(4)
    assert all(a != b for a, b in zip(draws(), first, strict=True))


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, "1", None])
@pytest.mark.usefixtures("_random_again")
def test_set_random_seed_refuses_and_seeds_nothing(seed: Any) -> None:
    set_random_seed(5)
    expected = draws()
    set_random_seed(5)
    with pytest.raises(ValueError, match=r"set_random_seed: seed must be .* Received: seed="):
        set_random_seed(seed)
    assert draws() == expected


def test_public_names() -> None:
    own = "Progbar PyDataset Sequence clear_session normalize pad_sequences set_random_seed to_categorical"
    assert sorted(utils.__all__) == sorted([*own.split(), *serialization.__all__])
    assert all(hasattr(utils, name) for name in utils.__all__)
