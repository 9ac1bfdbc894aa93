"""Initializers: distributions, fans, seeds, names and configs are Keras's."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from nncore import initializers, random
from nncore.initializers import (
    Constant,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Identity,
    Initializer,
    LecunNormal,
    LecunUniform,
    Ones,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
    Zeros,
)

TRUNCATED = 0.87962566103423978  # standard deviation of N(0, 1) cut off at ±2


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    random.set_seed(2024)
    yield
    random._state = None


def normal_cdf(z: np.ndarray) -> np.ndarray:
    return np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in z])


def uniform(low: float, high: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: np.clip((x - low) / (high - low), 0, 1)


def normal(mean: float, sigma: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: normal_cdf((x - mean) / sigma)


def truncated(mean: float, sigma: float) -> Callable[[np.ndarray], np.ndarray]:
    low, high = normal_cdf(np.array([-2.0, 2.0]))
    return lambda x: np.clip((normal_cdf((x - mean) / sigma) - low) / (high - low), 0, 1)


def distance(values: np.ndarray, cdf: Callable[[np.ndarray], np.ndarray]) -> float:
    """Kolmogorov's √n sup |F_n - F|: above 1.95 with probability 0.001 where the distribution is right."""
    x = np.sort(values.ravel().astype(np.float64))
    f, n = cdf(x), x.size
    steps = np.arange(n + 1) / n
    return math.sqrt(n) * max(np.max(steps[1:] - f), np.max(f - steps[:-1]))


# Fans by hand: (300, 100) has 300 in, 100 out; (3, 5, 20, 100) has 15·20 = 300 in, 15·100 = 1500 out; (30000,) both.
MATRIX, KERNEL, VECTOR = (300, 100), (3, 5, 20, 100), (30000,)

DISTRIBUTIONS = [
    (RandomUniform(seed=1), MATRIX, uniform(-0.05, 0.05)),
    (RandomUniform(1.0, 3.0, seed=1), KERNEL, uniform(1.0, 3.0)),
    (RandomNormal(seed=1), MATRIX, normal(0.0, 0.05)),
    (RandomNormal(2.0, 0.5, seed=1), KERNEL, normal(2.0, 0.5)),
    (TruncatedNormal(seed=1), MATRIX, truncated(0.0, 0.05)),
    (TruncatedNormal(-1.0, 2.0, seed=1), KERNEL, truncated(-1.0, 2.0)),
    (GlorotUniform(seed=1), MATRIX, uniform(-math.sqrt(6 / 400), math.sqrt(6 / 400))),
    (GlorotUniform(seed=1), KERNEL, uniform(-math.sqrt(6 / 1800), math.sqrt(6 / 1800))),
    (GlorotUniform(seed=1), VECTOR, uniform(-math.sqrt(6 / 60000), math.sqrt(6 / 60000))),
    (GlorotNormal(seed=1), MATRIX, truncated(0.0, math.sqrt(2 / 400) / TRUNCATED)),
    (GlorotNormal(seed=1), KERNEL, truncated(0.0, math.sqrt(2 / 1800) / TRUNCATED)),
    (HeUniform(seed=1), MATRIX, uniform(-math.sqrt(6 / 300), math.sqrt(6 / 300))),
    (HeUniform(seed=1), KERNEL, uniform(-math.sqrt(6 / 300), math.sqrt(6 / 300))),
    (HeNormal(seed=1), MATRIX, truncated(0.0, math.sqrt(2 / 300) / TRUNCATED)),
    (HeNormal(seed=1), KERNEL, truncated(0.0, math.sqrt(2 / 300) / TRUNCATED)),
    (LecunUniform(seed=1), MATRIX, uniform(-math.sqrt(3 / 300), math.sqrt(3 / 300))),
    (LecunNormal(seed=1), KERNEL, truncated(0.0, math.sqrt(1 / 300) / TRUNCATED)),
    (VarianceScaling(seed=1), MATRIX, truncated(0.0, math.sqrt(1 / 300) / TRUNCATED)),
    (VarianceScaling(3.0, "fan_out", "uniform", seed=1), MATRIX, uniform(-0.3, 0.3)),
    (VarianceScaling(4.0, "fan_avg", "untruncated_normal", seed=1), MATRIX, normal(0.0, math.sqrt(4 / 200))),
    (VarianceScaling(1.0, "fan_out", "normal", seed=1), KERNEL, truncated(0.0, math.sqrt(1 / 1500) / TRUNCATED)),
    # Axes replace the rule: fan in is 5·20, fan out 3·100.
    (
        VarianceScaling(1.0, "fan_avg", "uniform", seed=1, input_axes=[1, 2], output_axes=[0, -1]),
        KERNEL,
        uniform(-math.sqrt(3 / 200), math.sqrt(3 / 200)),
    ),
    (HeUniform(seed=1, input_axes=(1,), output_axes=(0,)), MATRIX, uniform(-math.sqrt(6 / 100), math.sqrt(6 / 100))),
]


@pytest.mark.parametrize("initializer, shape, cdf", DISTRIBUTIONS, ids=[f"{d[0]!r} {d[1]}" for d in DISTRIBUTIONS])
def test_distribution(
    initializer: Initializer, shape: tuple[int, ...], cdf: Callable[[np.ndarray], np.ndarray]
) -> None:
    values = initializer(shape)
    assert values.shape == shape
    assert values.dtype == np.float32
    assert distance(values, cdf) < 1.95


def test_distance_catches_wrong_fans_and_missing_truncation() -> None:
    rng = np.random.default_rng(0)
    z = rng.standard_normal(30000)
    assert distance(z, normal(0, 1)) < 1.95
    assert distance(z, truncated(0, 1)) > 3  # not cut off
    assert distance(z[np.abs(z) < 2] * TRUNCATED, truncated(0, 1)) > 3  # not corrected
    assert distance(1.1 * z, normal(0, 1)) > 3
    u = rng.uniform(-1, 1, 30000)
    assert distance(u, uniform(-1, 1)) < 1.95
    assert distance(u * math.sqrt(400 / 300), uniform(-1, 1)) > 3  # another fan


@pytest.mark.parametrize(
    "initializer, bound, stddev",
    [
        (GlorotUniform(seed=3), math.sqrt(6 / 1000), math.sqrt(2 / 1000)),
        (HeNormal(seed=3), 2 * math.sqrt(2 / 400) / TRUNCATED, math.sqrt(2 / 400)),
        (LecunNormal(seed=3), 2 * math.sqrt(1 / 400) / TRUNCATED, math.sqrt(1 / 400)),
        (GlorotNormal(seed=3), 2 * math.sqrt(2 / 1000) / TRUNCATED, math.sqrt(2 / 1000)),
        (TruncatedNormal(seed=3), 0.1, 0.05 * TRUNCATED),
        (RandomUniform(seed=3), 0.05, 0.05 / math.sqrt(3)),
    ],
    ids=repr,
)
def test_values_stay_within_bounds_and_reach_them(initializer: Initializer, bound: float, stddev: float) -> None:
    values = initializer((400, 600)).astype(np.float64)
    assert np.abs(values).max() <= np.nextafter(np.float32(bound), np.float32(1))
    assert np.abs(values).max() > 0.999 * bound
    assert values.std() == pytest.approx(stddev, rel=0.01)  # six standard errors of the slowest of these
    assert abs(values.mean()) < 5 * stddev / math.sqrt(values.size)


@pytest.mark.parametrize(
    "shape, expected",
    [((), (1, 1)), ((7,), (7, 7)), ((3, 4), (3, 4)), ((5, 3, 4), (15, 20)), ((2, 5, 3, 4), (30, 40)), ((0, 4), (0, 4))],
)
def test_fans(shape: tuple[int, ...], expected: tuple[int, int]) -> None:
    assert initializers.fans(shape) == expected


@pytest.mark.parametrize("shape", [(4, 3), (3, 4), (5, 5), (2, 3, 4), (2, 2, 20), (1, 6), (6, 1)])
@pytest.mark.parametrize("gain", [1.0, 0.5])
def test_orthogonal(shape: tuple[int, ...], gain: float) -> None:
    values = Orthogonal(gain, seed=1)(shape)
    assert values.shape == shape
    assert values.dtype == np.float32
    matrix = values.reshape(-1, shape[-1]).astype(np.float64)
    gram = matrix @ matrix.T if matrix.shape[0] < matrix.shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(gram, gain**2 * np.eye(len(gram)), atol=1e-6)


def test_orthogonal_draws_both_determinants_and_no_preferred_sign() -> None:
    matrices = np.array([Orthogonal(seed=s)((3, 3)) for s in range(400)])
    assert 150 < (np.linalg.det(matrices) > 0).sum() < 250  # five standard deviations
    assert np.abs(matrices.mean(axis=0)).max() < 5 / math.sqrt(3 * 400)


@pytest.mark.parametrize(
    "initializer, shape, expected",
    [
        (Zeros(), (2, 2), [[0, 0], [0, 0]]),
        (Ones(), (3,), [1, 1, 1]),
        (Constant(), (2,), [0, 0]),
        (Constant(2.5), (1, 2), [[2.5, 2.5]]),
        (Constant(-3), (), -3),
        (Constant([1, 2]), (2, 2), [[1, 2], [1, 2]]),
        (Identity(), (2, 3), [[1, 0, 0], [0, 1, 0]]),
        (Identity(gain=2), (2, 2), [[2, 0], [0, 2]]),
    ],
    ids=repr,
)
def test_constants(initializer: Initializer, shape: tuple[int, ...], expected: Any) -> None:
    values = initializer(shape)
    np.testing.assert_array_equal(values, np.array(expected, np.float32), strict=True)


EVERY: list[Initializer] = [
    Zeros(),
    Ones(),
    Constant(0.5),
    Identity(0.5),
    RandomNormal(1, 0.5, seed=4),
    RandomUniform(0, 2, seed=4),
    TruncatedNormal(seed=4),
    VarianceScaling(2.0, "fan_out", "uniform", 4),
    GlorotUniform(4),
    GlorotNormal(4),
    HeUniform(4),
    HeNormal(4),
    LecunUniform(4),
    LecunNormal(4),
    Orthogonal(2.0, 4),
]


@pytest.mark.parametrize("initializer", EVERY, ids=repr)
def test_every_result_is_a_new_writable_array(initializer: Initializer) -> None:
    first, second = initializer((4, 3)), initializer((4, 3))
    assert first.flags.c_contiguous
    assert first.flags.writeable
    assert not np.shares_memory(first, second)
    first[...] = 99
    np.testing.assert_array_equal(second, initializer((4, 3)))


@pytest.mark.parametrize("initializer", EVERY, ids=repr)
def test_dtypes_round_the_same_numbers(initializer: Initializer) -> None:
    double = initializer((4, 3), dtype="float64")
    assert double.dtype == np.float64
    np.testing.assert_array_equal(initializer((4, 3)), double.astype(np.float32))
    np.testing.assert_array_equal(initializer((4, 3), np.float16), double.astype(np.float16))


@pytest.mark.parametrize("initializer", EVERY, ids=repr)
@pytest.mark.parametrize("shape", [(0, 3), (3, 0)])
def test_empty_shapes(initializer: Initializer, shape: tuple[int, ...]) -> None:
    assert initializer(shape).shape == shape


@pytest.mark.parametrize("initializer", EVERY, ids=repr)
def test_config_round_trip(initializer: Initializer) -> None:
    config = json.loads(json.dumps(initializers.serialize(initializer)))
    again = initializers.deserialize(config)
    assert type(again) is type(initializer)
    assert again.get_config() == initializer.get_config()
    np.testing.assert_array_equal(again((5, 4)), initializer((5, 4)))
    np.testing.assert_array_equal(initializers.get(config)((5, 4)), initializer((5, 4)))
    np.testing.assert_array_equal(initializer.clone()((5, 4)), initializer((5, 4)))


@pytest.mark.parametrize(
    "initializer, config",
    [
        (Zeros(), {}),
        (Constant(2), {"value": 2}),
        (Constant(np.float32(0.5)), {"value": 0.5}),
        (Constant([[1, 2]]), {"value": [[1, 2]]}),
        (Identity(), {"gain": 1.0}),
        (RandomNormal(seed=1), {"seed": 1, "mean": 0.0, "stddev": 0.05}),
        (RandomUniform(), {"seed": None, "minval": -0.05, "maxval": 0.05}),
        (TruncatedNormal(), {"seed": None, "mean": 0.0, "stddev": 0.05}),
        (Orthogonal(), {"seed": None, "gain": 1.0}),
        (GlorotUniform(), {"seed": None, "input_axes": None, "output_axes": None}),
        (HeNormal(2, [0], [1]), {"seed": 2, "input_axes": [0], "output_axes": [1]}),
        (
            VarianceScaling(distribution="normal", seed=3),
            {
                "seed": 3,
                "scale": 1.0,
                "mode": "fan_in",
                "distribution": "truncated_normal",
                "input_axes": None,
                "output_axes": None,
            },
        ),
    ],
    ids=repr,
)
def test_configs_have_the_keys_of_keras(initializer: Initializer, config: dict[str, Any]) -> None:
    assert initializer.get_config() == config
    assert initializers.serialize(initializer) == {
        "module": "keras.initializers",
        "class_name": type(initializer).__name__,
        "config": config,
        "registered_name": None,
    }


def test_one_instance_gives_the_same_values_each_time_two_give_others() -> None:
    one, two = GlorotUniform(), GlorotUniform()
    np.testing.assert_array_equal(one((8, 8)), one((8, 8)))
    assert not np.array_equal(one((8, 8)), two((8, 8)))
    assert not np.array_equal(one((8, 8)), one.clone()((8, 8)))
    assert one.seed != two.seed


def test_set_seed_determines_unseeded_initializers() -> None:
    random.set_seed(5)
    first = [initializers.get(n)((3, 3)) for n in ("he_normal", "glorot_uniform", "orthogonal")]
    random.set_seed(5)
    again = [initializers.get(n)((3, 3)) for n in ("he_normal", "glorot_uniform", "orthogonal")]
    np.testing.assert_array_equal(first, again)


def test_numpy_state_is_left_alone() -> None:
    np.random.seed(1)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    HeNormal()((30, 30))
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


CLASSES = {
    "Zeros": Zeros, "zeros": Zeros, "zero": Zeros, "Ones": Ones, "ones": Ones, "one": Ones,
    "Constant": Constant, "constant": Constant, "Identity": Identity, "identity": Identity,
    "IdentityInitializer": Identity, "RandomNormal": RandomNormal, "random_normal": RandomNormal,
    "normal": RandomNormal, "RandomUniform": RandomUniform, "random_uniform": RandomUniform, "uniform": RandomUniform,
    "TruncatedNormal": TruncatedNormal, "truncated_normal": TruncatedNormal, "VarianceScaling": VarianceScaling,
    "variance_scaling": VarianceScaling, "GlorotUniform": GlorotUniform, "glorot_uniform": GlorotUniform,
    "GlorotNormal": GlorotNormal, "glorot_normal": GlorotNormal, "HeUniform": HeUniform, "he_uniform": HeUniform,
    "HeNormal": HeNormal, "he_normal": HeNormal, "LecunUniform": LecunUniform, "lecun_uniform": LecunUniform,
    "LecunNormal": LecunNormal, "lecun_normal": LecunNormal, "Orthogonal": Orthogonal, "orthogonal": Orthogonal,
    "OrthogonalInitializer": Orthogonal,
}  # fmt: skip


@pytest.mark.parametrize("name, cls", CLASSES.items(), ids=str)
def test_names(name: str, cls: type[Initializer]) -> None:
    assert type(initializers.get(name)) is cls


@pytest.mark.parametrize("name", [n for n in CLASSES if n not in ("zero", "one", "normal", "uniform")])
def test_names_are_attributes_too(name: str) -> None:
    assert getattr(initializers, name) is CLASSES[name]


def test_get_passes_instances_and_makes_classes() -> None:
    one = GlorotUniform(seed=1)
    assert initializers.get(one) is one
    assert initializers.get(None) is None
    assert initializers.serialize(None) is None
    assert type(initializers.get(HeNormal)) is HeNormal


def test_get_takes_configs_without_module() -> None:
    got = initializers.get({"class_name": "RandomUniform", "config": {"minval": 1.0, "maxval": 1.0}})
    np.testing.assert_array_equal(got((2,)), [1, 1])


def test_arrays_stand_for_themselves() -> None:
    array = np.arange(6.0).reshape(2, 3)
    got = initializers.get(array)
    array[...] = -1
    np.testing.assert_array_equal(got((2, 3)), np.arange(6, dtype=np.float32).reshape(2, 3), strict=True)
    with pytest.raises(ValueError, match=r"must have the weight's shape, \(3, 3\)\. Received: \(2, 3\)\."):
        got((3, 3))
    config = json.loads(json.dumps(initializers.serialize(got)))
    assert config["class_name"] == "Constant"
    np.testing.assert_array_equal(initializers.deserialize(config)((2, 3)), got((2, 3)))


def test_functions_are_called_with_shape_and_dtype_and_checked() -> None:
    calls = []

    def ramp(shape: tuple[int, ...], dtype: Any = None) -> Any:
        calls.append((shape, dtype))
        return np.arange(math.prod(shape), dtype=np.float64).reshape(shape)

    got = initializers.get(ramp)
    np.testing.assert_array_equal(got((2, 2)), np.array([[0, 1], [2, 3]], np.float32), strict=True)
    assert calls == [((2, 2), "float32")]
    config = initializers.serialize(got)
    again = initializers.deserialize(config, custom_objects={"ramp": ramp})
    np.testing.assert_array_equal(again((3,)), [0, 1, 2])
    with pytest.raises(ValueError, match="Unknown initializer: 'ramp'"):
        initializers.deserialize(config)
    with pytest.raises(ValueError, match=r"'<lambda>' must return an array of the shape it is called with, \(3,\)"):
        initializers.get(lambda shape, dtype=None: np.zeros(2))((3,))


def test_own_classes_through_custom_objects() -> None:
    class Seven(Initializer):
        def __call__(self, shape: Any, dtype: Any = None) -> np.ndarray:
            return np.full(shape, 7, dtype or "float32")

    config = initializers.serialize(Seven())
    assert config["class_name"] == config["registered_name"] == "Seven"
    assert config["module"] == __name__
    got = initializers.deserialize(config, {"Seven": Seven})
    np.testing.assert_array_equal(got((2,)), [7, 7])


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: initializers.get("glorot"), r"Unknown initializer: 'glorot'\. Did you mean '[gG]lorot_?[uUnN]"),
        (lambda: initializers.get("Glorot_Unifrm"), r"Did you mean 'glorot_uniform'\?"),
        (lambda: initializers.get(5), r"must be a name, an Initializer, .* Received: 5\."),
        (lambda: initializers.get({"config": {}}), "must hold 'class_name' and 'config'"),
        (lambda: initializers.get({"class_name": "Nope", "config": {}}), "Unknown initializer: 'Nope'"),
        (lambda: initializers.get({"class_name": "Zeros", "config": {"x": 1}}), "Zeros: the config does not fit"),
        (lambda: VarianceScaling(scale=0), r"VarianceScaling: scale must be positive\. Received: scale=0\."),
        (lambda: VarianceScaling(scale=-1.0), "scale must be positive"),
        (lambda: VarianceScaling(scale=math.nan), "scale must be a finite number"),
        (lambda: VarianceScaling(scale="2"), r"scale must be a finite number\. Received: scale='2'\."),
        (lambda: VarianceScaling(mode="fanin"), r"Unknown VarianceScaling mode: 'fanin'\. Did you mean 'fan_in'\?"),
        (lambda: VarianceScaling(distribution="gauss"), "Unknown VarianceScaling distribution: 'gauss'"),
        (lambda: HeNormal(input_axes=[0]), "HeNormal: input_axes and output_axes are given together"),
        (lambda: HeNormal(input_axes=[0.5], output_axes=[1]), "input_axes must be a list of axes"),
        (lambda: HeNormal(input_axes=[0], output_axes=[2])((3, 4)), "must be axes of the weight"),
        (lambda: RandomNormal(stddev=-0.1), r"stddev must be a number of at least 0\. Received: stddev=-0\.1\."),
        (lambda: RandomNormal(mean=math.inf), "mean must be a finite number"),
        (lambda: RandomUniform(1, 0), r"minval must not exceed maxval\. Received: minval=1, maxval=0\."),
        (lambda: RandomNormal(seed="a"), "RandomNormal: seed must be an integer of at least 0"),
        (lambda: GlorotUniform(seed=-1), "GlorotUniform: seed must be an integer of at least 0"),
        (lambda: GlorotUniform(seed=1.0), "GlorotUniform: seed must be an integer of at least 0"),
        (lambda: Orthogonal()((3,)), r"Orthogonal: the shape must have two dimensions or more\. .*=\(3,\)"),
        (lambda: Identity()((2, 2, 2)), r"Identity: the shape must have two dimensions"),
        (lambda: Identity(gain=None), "Identity: gain must be a finite number"),
        (lambda: Constant("a"), "Constant: value must be a number"),
        (lambda: Constant([1, 2, 3])((2, 2)), r"Constant: a value of shape \(3,\) does not fit .* \(2, 2\)"),
        (lambda: Zeros()((2, -1)), r"the shape must be a tuple of non-negative integers\. Received: shape=\(2, -1\)"),
        (lambda: Zeros()((2, 1.5)), "the shape must be a tuple of non-negative integers"),
        (lambda: HeNormal()((2, 2), dtype="int32"), r"HeNormal: dtype must be a float type\. Received: dtype='int32'"),
    ],
)  # fmt: skip
def test_bad_calls(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
