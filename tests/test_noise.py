"""Layers that draw: their statistics, what is drawn together, and that a draw depends on nothing else."""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from oracles import relative, same_bits, uniform

from nncore import ops, random
from nncore.layers import (
    AlphaDropout,
    Dense,
    Dropout,
    GaussianDropout,
    GaussianNoise,
    Input,
    Layer,
    SpatialDropout1D,
    SpatialDropout2D,
    SpatialDropout3D,
)
from nncore.models import Sequential
from nncore.ops.random import normal_deviates, random_words
from nncore.optimizers import SGD

pytestmark = pytest.mark.usefixtures("seed")

ROWS = 1000
MAKE: dict[str, Callable[[], Layer]] = {
    "Dropout": lambda: Dropout(0.3, seed=5),
    "SpatialDropout1D": lambda: SpatialDropout1D(0.3, seed=5),
    "AlphaDropout": lambda: AlphaDropout(0.3, seed=5),
    "GaussianNoise": lambda: GaussianNoise(0.3, seed=5),
    "GaussianDropout": lambda: GaussianDropout(0.3, seed=5),
}


def drawn(layer: Layer, x: np.ndarray) -> np.ndarray:
    """The layer's outputs in training."""
    random.set_seed(1000)
    return layer(x, training=True)


@pytest.mark.parametrize("name", MAKE)
def test_inference_changes_nothing(name: str, backend: str) -> None:
    x = uniform(5, 4, 3)
    model = Sequential([Input((4, 3)), MAKE[name]()])
    assert same_bits(model.predict(x, verbose=0), x)
    model.compile("sgd", "mse")
    assert model.evaluate(x, x, verbose=0) == 0
    assert model.test_on_batch(x, x) == 0
    assert model.train_on_batch(x, x) > 0


@pytest.mark.parametrize("name", MAKE)
def test_mean_is_kept(name: str) -> None:
    """The mean of the outputs, over many draws, is the input; AlphaDropout keeps that of standard normal values."""
    x = np.random.default_rng(3).normal(0, 1, (ROWS, 4, 50)).astype(np.float32) if name == "AlphaDropout" else None
    x = np.full((ROWS, 4, 50), 2.0, np.float32) if x is None else x
    y = drawn(MAKE[name](), x)
    assert abs(y.mean() - x.mean()) < 5 * y.std() / ROWS**0.5 / (7 if name.startswith("Spatial") else 14)
    if name == "AlphaDropout":
        assert y.std() == pytest.approx(x.std(), rel=0.01)
        kept = np.isclose(y, y[0, 0, 0])
        assert kept.mean() == pytest.approx(0.3, abs=0.01) or kept.mean() < 0.01
    if name == "GaussianNoise":
        assert (y - x).std() == pytest.approx(0.3, rel=0.01)
    if name == "GaussianDropout":
        assert (y / x).std() == pytest.approx((0.3 / 0.7) ** 0.5, rel=0.01)


def test_alpha_dropout_by_formula() -> None:
    x = uniform(200, 30)
    y = drawn(AlphaDropout(0.4), x)
    limit = -1.6732632423543772 * 1.0507009873554805
    a = (0.6 * (1 + 0.4 * limit**2)) ** -0.5
    b = -a * limit * 0.4
    dropped = np.abs(y - (a * limit + b)) < 1e-5
    assert dropped.mean() == pytest.approx(0.4, abs=0.03)
    assert relative(y[~dropped], (a * x + b)[~dropped]) < 1e-5


def test_deviates_are_normal() -> None:
    """Mean, deviation, skewness, kurtosis and the shares beyond limits, each within 5 standard errors."""
    n = 1 << 21
    z = normal_deviates(random_words(n, step=3, stream=1, seed=77)).astype(np.float64)
    assert abs(z.mean()) < 5 / n**0.5
    assert abs(z.var() - 1) < 5 * (2 / n) ** 0.5
    assert abs((z**3).mean()) < 5 * (15 / n) ** 0.5
    assert abs((z**4).mean() - 3) < 5 * (96 / n) ** 0.5
    for limit in (-3.5, -2.0, -1.0, -0.1, 0.1, 1.0, 1.44, 2.0, 3.0, 4.0):
        p = NormalDist().cdf(limit)
        assert abs((z < limit).mean() - p) < 5 * (p * (1 - p) / n) ** 0.5, limit
    assert np.isfinite(z).all()


@pytest.mark.parametrize("word", [0, 1, 2, 3, 2**31, 2**32 - 2, 2**32 - 1, 123456789, 4 * 10**9 + 1, 1 << 20])
def test_a_deviate_of_a_word(word: int) -> None:
    """The quantile of the word's probability, to single precision, with the sign of its last bit."""
    z = float(normal_deviates(np.array([word], np.uint32))[0])
    p = ((word >> 1) + 0.5) / 2**32
    want = -NormalDist().inv_cdf(p) * (-1 if word & 1 else 1)
    assert z == pytest.approx(want, rel=1e-6, abs=1e-7)
    assert abs(z) < 6.4


def test_draws_are_independent() -> None:
    """Steps, streams and seeds give deviates that know nothing of one another."""
    base = normal_deviates(random_words(200_000, 5, 6, 7)).astype(np.float64)
    for other in [(6, 6, 7), (5, 7, 7), (5, 6, 8), (5, 6, 7 + 2**40)]:
        z = normal_deviates(random_words(200_000, *other)).astype(np.float64)
        assert abs((base * z).mean()) < 5 / 200_000**0.5
        assert abs((base**2 * z**2).mean() - 1) < 5 * (8 / 200_000) ** 0.5
    assert abs((base[1:] * base[:-1]).mean()) < 5 / 200_000**0.5


@pytest.mark.parametrize("name", MAKE)
def test_a_draw_is_the_seed_s_and_the_step_s(name: str, backend: str) -> None:
    """Two layers of a model draw apart, and again at every step; the same seed draws the same."""
    x, y = uniform(64, 6, 4), np.zeros((64, 6, 4), np.float32)

    def losses(*layers: Layer) -> list[float]:
        random.set_seed(9)
        model = Sequential([Input((6, 4)), *layers])
        model.compile(SGD(0.0), "mse")
        return [model.train_on_batch(x, y) for _ in range(3)]

    once = losses(MAKE[name]())
    assert once == losses(MAKE[name]())
    assert len(set(once)) == 3
    assert losses(MAKE[name](), MAKE[name]()) != losses(MAKE[name]())


@pytest.mark.parametrize("rows", [1, 5, 64, 100])
@pytest.mark.parametrize("name", MAKE)
def test_both_backends_draw_the_same(name: str, rows: int) -> None:
    """Through a layer of weights, whose gradient has the noise in it."""
    from nncore import backends

    found = []
    for which in backends.NAMES:
        backends.set_backend(which)
        random.set_seed(4)
        model = Sequential([Input((3, 4)), MAKE[name](), Dense(1, kernel_initializer="ones")])
        model.compile(SGD(0.1), "mse")
        x = uniform(rows, 3, 4)
        found.append([model.train_on_batch(x, np.zeros((rows, 3, 1))), *model.get_weights()])
    for a, b in zip(*found, strict=True):
        assert relative(a, b, 1e-2) < 1e-5  # sums of up to 300 products, in other orders


SHARED: list[tuple[Callable[[], Layer], tuple[int, ...], tuple[int, ...]]] = [
    (lambda: SpatialDropout1D(0.5), (6, 5), (1,)),
    (lambda: SpatialDropout2D(0.5), (4, 3, 5), (1, 2)),
    (lambda: SpatialDropout2D(0.5, "channels_first"), (5, 4, 3), (2, 3)),
    (lambda: SpatialDropout3D(0.5), (2, 4, 3, 5), (1, 2, 3)),
    (lambda: SpatialDropout3D(0.5, data_format="channels_first"), (5, 2, 4, 3), (2, 3, 4)),
    (lambda: Dropout(0.5, noise_shape=(None, 1, 5)), (6, 5), (1,)),
    (lambda: Dropout(0.5, noise_shape=(None, 6, 1)), (6, 5), (2,)),
    (lambda: Dropout(0.5, noise_shape=[None, 1, None, 1]), (4, 3, 5), (1, 3)),
    (lambda: Dropout(0.5, noise_shape=(1, None, None)), (6, 5), (0,)),
    (lambda: Dropout(0.5, noise_shape=(1, None, 1, None)), (4, 3, 5), (0, 2)),
    (lambda: Dropout(0.5, noise_shape=(1, 1)), (7,), (0, 1)),
    (lambda: AlphaDropout(0.5, noise_shape=(None, 1, None)), (6, 5), (1,)),
    (lambda: AlphaDropout(0.5, noise_shape=(None, 1, None, 1)), (4, 3, 5), (1, 3)),
    (lambda: AlphaDropout(0.5, noise_shape=(1, None, None)), (6, 5), (0,)),
    (lambda: Dropout(0.5), (6, 5), ()),
]


@pytest.mark.parametrize("make, sample, together", SHARED, ids=range(len(SHARED)))
def test_what_is_dropped_together(make: Any, sample: tuple[int, ...], together: tuple[int, ...]) -> None:
    """Along the shared axes all or nothing; along the others draws differ, and about half are dropped."""
    x = np.ones((40, *sample), np.float32)
    y = drawn(make(), x)
    assert len(np.unique(y)) <= 2
    kept = y == y.max()
    if together:
        assert np.all(kept.all(axis=together) | ~kept.any(axis=together))
    draws = kept if not together else kept.all(axis=together)
    if draws.size > 20:
        assert abs(draws.mean() - 0.5) < 5 * 0.5 / draws.size**0.5
        for axis in range(draws.ndim):
            if draws.shape[axis] > 1:
                assert not np.all(draws == np.take(draws, [0], axis))


def test_rates_at_the_ends(backend: str) -> None:
    x = uniform(6, 3, 4)
    for layer in (Dropout(0), SpatialDropout1D(0.0), AlphaDropout(0), GaussianDropout(0), GaussianNoise(0)):
        model = Sequential([Input((3, 4)), layer])
        model.compile("sgd", "mse")
        assert model.train_on_batch(x, x) == 0
    model = Sequential([Input((3, 4)), SpatialDropout1D(1.0)])
    model.compile("sgd", "mse")
    assert model.train_on_batch(x, x) == pytest.approx(np.square(x).mean(), rel=1e-6)


def test_the_stream_of_a_draw_is_its_number() -> None:
    layers = [Dropout(0.5), GaussianNoise(0.5), SpatialDropout1D(0.5), GaussianDropout(0.5)]
    model = Sequential([Input((3, 4)), *layers, Dropout(0.5, (1, None, None))])
    model.compile("sgd", "mse")
    draws = [i for i in model.program.instructions if i.op in ops.random.DRAWS]
    assert [i.attributes["stream"] for i in draws] == [0, 1, 2, 3, 4]


CONFIGS = [
    AlphaDropout(0.1, (None, 1), 3), Dropout(0.1, [None, 1], 3), GaussianNoise(0.1), GaussianDropout(0.1, 4),
    SpatialDropout1D(0.1), SpatialDropout2D(0.1, "channels_first"), SpatialDropout3D(0.1, seed=2),
]  # fmt: skip


@pytest.mark.parametrize("layer", CONFIGS, ids=lambda layer: type(layer).__name__)
def test_configs(layer: Layer) -> None:
    config = layer.get_config()
    assert type(layer).from_config(config).get_config() == config


MISTAKES: dict[str, tuple[Callable[[], Any], tuple[str, ...]]] = {
    **{
        f"{cls.__name__}({value!r})": (
            lambda cls=cls, value=value: cls(value),
            (f"{cls.__name__}: {argument} must be a number in [0, 1", f"{argument}={value!r}"),
        )
        for cls, argument, values in [
            (AlphaDropout, "rate", (1.5, -0.1, 1.0, "0.5")),
            (GaussianDropout, "rate", (1.5, 1, None)),
            (GaussianNoise, "stddev", (-0.1, 1.5, np.nan)),
            (SpatialDropout1D, "rate", (1.5, True)),
            (SpatialDropout2D, "rate", (-1,)),
        ]
        for value in values
    },
    **{
        f"{cls.__name__} seed": (lambda cls=cls: cls(0.5, seed=-1), (f"{cls.__name__}: seed must be", "seed=-1"))
        for cls in (AlphaDropout, GaussianDropout, GaussianNoise, SpatialDropout3D)
    },
    **{
        f"noise_shape={value!r}": (
            lambda value=value: Dropout(0.5, noise_shape=value),
            ("Dropout: noise_shape must be None, or hold", f"noise_shape={value!r}"),
        )
        for value in [3, "12", (None, 0), (None, 1.5), (None, -1), (None, True)]
    },
    "a noise_shape of other inputs": (
        lambda: Sequential([Input((3, 4)), Dropout(0.5, (None, 2, 4))]),
        ("must have None, 1 or the input's size", "(None, 3, 4)", "(None, 2, 4)"),
    ),
    "a noise_shape that is short": (
        lambda: Sequential([Input((3, 4)), AlphaDropout(0.5, (None, 1))]),
        ("AlphaDropout", "must have None, 1 or the input's size", "(None, 1)"),
    ),
    "SpatialDropout1D of vectors": (
        lambda: Sequential([Input((3,)), SpatialDropout1D(0.5)]),
        ("needs inputs of 3 axes", "(None, 3)"),
    ),
    "SpatialDropout2D of steps": (
        lambda: Sequential([Input((3, 4)), SpatialDropout2D(0.5)]),
        ("needs inputs of 4 axes", "(None, 3, 4)"),
    ),
    "data_format": (lambda: SpatialDropout2D(0.5, "first"), ("SpatialDropout2D: data_format must be", "'first'")),
}


@pytest.mark.parametrize("title", MISTAKES)
def test_mistakes(title: str) -> None:
    make, parts = MISTAKES[title]
    with pytest.raises(ValueError) as caught:
        make()
    for part in parts:
        assert part in str(caught.value)
