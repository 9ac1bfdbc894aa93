"""Layers that move axes and repeat: against NumPy; and the arguments that layers refuse."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from oracles import same_bits, uniform

from nncore import axes
from nncore.builder import Builder
from nncore.layers import Flatten, Identity, Input, Layer, Permute, RepeatVector, Reshape
from nncore.models import Sequential

pytestmark = pytest.mark.usefixtures("seed")

SHAPES = [(2, 3), (17, 16), (2, 3, 4), (3, 1, 2), (2, 3, 4, 5), (1, 2, 1, 3)]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_order_of_axes(shape: tuple[int, ...], backend: str) -> None:
    x = uniform(7, *shape)
    for dims in permutations(range(1, len(shape) + 1)):
        model = Sequential([Input(shape), Permute(dims)])
        assert same_bits(model.predict(x, batch_size=3, verbose=0), x.transpose(0, *dims))
        swaps = sum(i.op == "swap" for i in model.program.instructions)
        assert swaps < len([n for n in shape if n > 1])


def test_exchanged_blocks_move_together() -> None:
    """(H, W, C) to (C, H, W) and back is one exchange each; axes of length 1 take none."""
    for shape, order, swaps in [
        ((4, 5, 3), (0, 3, 1, 2), 1),
        ((3, 4, 5), (0, 2, 3, 1), 1),
        ((4, 5, 3), (0, 3, 2, 1), 2),
        ((4, 1, 5), (0, 2, 1, 3), 0),
        ((4, 5, 3), (0, 1, 2, 3), 0),
    ]:
        b = Builder("test", training=False)
        y = axes.permute(b, b.declare("input", "x", (None, *shape)), order)
        assert y.shape == (None, *(shape[axis - 1] for axis in order[1:]))
        assert len(b.instructions) == swaps


@pytest.mark.parametrize("moved", [1, -1, 2, (1, 3), (3, 1), (-1, -2), (2, 1, 3)])
def test_axes_to_the_end_and_back(moved: Any, backend: str) -> None:
    class There(Layer):
        """Moves axes behind the others."""

        def compute_output_shape(self, input_shape: Any) -> Any:
            return np.moveaxis(np.zeros((2, *input_shape[1:])), moved, _ends(moved)).shape

        def lower(self, b: Builder, x: Any) -> Any:
            return axes.to_end(b, x, moved)

    class Back(Layer):
        """And puts them where they were."""

        def compute_output_shape(self, input_shape: Any) -> Any:
            return (None, 2, 3, 4)

        def lower(self, b: Builder, x: Any) -> Any:
            return axes.from_end(b, x, moved)

    x = uniform(5, 2, 3, 4)
    there = Sequential([Input((2, 3, 4)), There()]).predict(x, verbose=0)
    assert same_bits(there, np.moveaxis(x, moved, _ends(moved)))
    assert same_bits(Sequential([Input((2, 3, 4)), There(), Back()]).predict(x, verbose=0), x)


def _ends(moved: Any) -> Any:
    return -1 if isinstance(moved, int) else tuple(range(-len(moved), 0))


@pytest.mark.parametrize("n", [1, 2, 5])
def test_repeat_vector(n: int, backend: str) -> None:
    x = uniform(9, 6)
    model = Sequential([Input((6,)), RepeatVector(n)])
    assert same_bits(model.predict(x, batch_size=4, verbose=0), np.repeat(x[:, None], n, axis=1))


def test_layers_that_compute_nothing_add_nothing() -> None:
    model = Sequential([Input((6,)), Identity(), Reshape((2, 3)), Permute((1, 2)), Flatten("channels_last")])
    assert [i.op for i in model.program.instructions] == ["scale_shift"]  # the copy to the caller's array


CONFIGS = [
    Identity(),
    Permute([2, 1]),
    Permute(np.array([1]).tolist()),
    RepeatVector(np.int64(3)),
    Flatten("channels_first"),
]


@pytest.mark.parametrize("layer", CONFIGS, ids=lambda layer: type(layer).__name__)
def test_configs(layer: Layer) -> None:
    config = layer.get_config()
    assert type(layer).from_config(config).get_config() == config


MISTAKES: dict[str, tuple[Callable[[], Any], tuple[str, ...]]] = {
    **{
        f"Permute({dims!r})": (lambda dims=dims: Permute(dims), ("Permute: dims must hold the axes", f"dims={dims!r}"))
        for dims in [(0, 1), (1, 1), (1, 3), (1.0, 2), (True, 2), "ab", 2, None]
    },
    "Permute of other samples": (
        lambda: Sequential([Input((2, 3)), Permute((1, 3, 2))]),
        ("needs samples of 3 axes", "(None, 2, 3)"),
    ),
    **{
        f"RepeatVector({n!r})": (
            lambda n=n: RepeatVector(n),
            ("RepeatVector: n must be a positive integer", f"n={n!r}"),
        )
        for n in [0, -1, 2.0, "2", None, True]
    },
    "RepeatVector of matrices": (
        lambda: Sequential([Input((2, 3)), RepeatVector(2)]),
        ("needs inputs of shape (batch, features)", "(None, 2, 3)"),
    ),
    "Flatten": (
        lambda: Flatten("channel_first"),
        ("Flatten: data_format must be 'channels_last', 'channels_first' or None", "'channel_first'"),
    ),
    "Identity": (lambda: Identity(units=3), ("Identity: unknown argument 'units'",)),
}


@pytest.mark.parametrize("title", MISTAKES)
def test_mistakes(title: str) -> None:
    make, parts = MISTAKES[title]
    with pytest.raises(ValueError) as caught:
        make()
    for part in parts:
        assert part in str(caught.value)
