"""Layers that normalize: what batch normalization keeps, when it acts on what, and what ``adapt`` finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from oracles import error, relative, same_bits, uniform

from nncore import backends
from nncore.backends.native import _first_update
from nncore.constraints import NonNeg
from nncore.errors import DataError
from nncore.initializers import Constant
from nncore.layers import (
    BatchNormalization,
    Dense,
    GroupNormalization,
    Input,
    Layer,
    LayerNormalization,
    Normalization,
    ReLU,
    Rescaling,
    RMSNormalization,
    UnitNormalization,
)
from nncore.models import Sequential
from nncore.optimizers import SGD, Adam
from nncore.regularizers import L2

Array = np.ndarray[Any, Any]

X = uniform(70, 5, low=-2, high=3)
Y = uniform(70, 2)


def network(*hidden: Layer, optimizer: Any = "sgd") -> Sequential:
    model = Sequential([Input((5,)), *hidden])
    model.compile(optimizer, "mse")
    return model


# Batch normalization.


@pytest.mark.parametrize("batch", [1, 16, 70, 200])
def test_moving_statistics_follow_every_batch(batch: int, backend: str) -> None:
    """Two epochs in order, tails included; the layer comes first, so that its inputs are known."""
    norm = BatchNormalization(momentum=0.9)
    model = network(norm, Dense(2))
    model.fit(X, Y, batch_size=batch, epochs=2, shuffle=False, verbose=0)
    mean, variance = np.zeros(5), np.ones(5)
    for start in [*range(0, 70, batch)] * 2:
        rows = X[start : start + batch].astype(np.float64)
        mean = 0.9 * mean + 0.1 * rows.mean(0)
        variance = 0.9 * variance + 0.1 * rows.var(0)
    assert error(norm.moving_mean, mean) < 1e-6
    assert error(norm.moving_variance, variance) < 1e-6


def test_predictions_are_by_the_moving_statistics(backend: str) -> None:
    norm = BatchNormalization(momentum=0.5, epsilon=0.01)
    model = network(Dense(4), norm, optimizer=Adam(0.1))
    target = uniform(70, 4)
    model.fit(X, target, epochs=2, verbose=0)
    kernel, bias, gamma, beta, mean, variance = (w.astype(np.float64) for w in model.get_weights())
    assert np.abs(mean).max() > 0.01
    want = (X.astype(np.float64) @ kernel + bias - mean) / np.sqrt(variance + 0.01) * gamma + beta
    assert relative(model.predict(X, batch_size=7, verbose=0), want) < 1e-5
    assert relative(model.predict(X[:1], verbose=0), want[:1]) < 1e-5
    assert relative(model.evaluate(X, target, batch_size=9, verbose=0), np.mean((want - target) ** 2)) < 1e-5
    before = model.get_weights()
    model.evaluate(X, target, verbose=0)
    model.test_on_batch(X, target)
    assert all(map(same_bits, model.get_weights(), before))


def test_frozen_layers_keep_their_statistics_and_use_them(backend: str) -> None:
    norm = BatchNormalization()
    model = network(Dense(4), norm, Dense(2), optimizer=SGD(0.0))
    norm.set_weights([uniform(4), uniform(4, seed=1), uniform(4, seed=2), uniform(4, low=0.5, high=2)])
    in_training = model.train_on_batch(X, Y)
    norm.trainable = False
    model.compile(SGD(0.0), "mse")
    before = model.get_weights()
    frozen = model.train_on_batch(X, Y)
    assert all(map(same_bits, model.get_weights(), before))
    assert error(frozen, model.evaluate(X, Y, verbose=0)) < 1e-6
    assert abs(frozen - in_training) > 1e-3
    model.compile(SGD(0.1), "mse")
    model.train_on_batch(X, Y)
    assert all(map(same_bits, norm.get_weights(), before[2:6]))
    assert not same_bits(model.get_weights()[0], before[0])
    norm.trainable = True
    model.compile(SGD(0.1), "mse")
    model.train_on_batch(X, Y)
    assert not any(map(same_bits, norm.get_weights(), before[2:6]))


def test_a_model_without_trainable_weights_still_counts(backend: str) -> None:
    norm = BatchNormalization(center=False, scale=False, momentum=0.0)
    model = network(norm)
    model.fit(X, X, batch_size=70, verbose=0)
    assert [v.name for v in norm.weights] == ["moving_mean", "moving_variance"]
    assert relative(norm.moving_mean, X.mean(0)) < 1e-5
    assert relative(norm.moving_variance, X.var(0)) < 1e-5


@pytest.mark.parametrize("axis, order", [(1, (0, 3, 1, 2)), (2, (0, 1, 3, 2)), (-1, (0, 1, 2, 3)), (-3, (0, 3, 1, 2))])
def test_any_axis_may_hold_the_channels(axis: int, order: tuple[int, ...], backend: str) -> None:
    """As the last axis of the transposed data, bit for bit, in training too."""
    x = uniform(6, 4, 3, 5, seed=2)
    results = []
    for at, data in ((-1, x), (axis, x.transpose(order))):
        model = Sequential([Input(data.shape[1:]), BatchNormalization(axis=at)])
        model.compile(SGD(0.5), "mse")
        model.fit(data, data * data, batch_size=4, epochs=2, shuffle=False, verbose=0)
        results.append((model.get_weights(), model.predict(data, verbose=0)))
    (want, y), (got, y_there) = results
    assert all(map(same_bits, got, want))
    assert same_bits(y_there, y.transpose(order))


def test_weights_are_trainable_first(backend: str) -> None:
    norm = BatchNormalization()
    model = network(Dense(3), norm)
    names = ["gamma", "beta", "moving_mean", "moving_variance"]
    assert [v.name for v in norm.weights] == names
    assert [v.name for v in norm.trainable_weights] == names[:2]
    assert [v.name for v in norm.non_trainable_weights] == names[2:]
    assert norm.count_params() == 12
    text: list[str] = []
    model.summary(print_fn=text.append)
    assert "Trainable params: 24" in text[0]
    assert "Non-trainable params: 6 (24.00 B)" in text[0]
    values = [uniform(3, seed=i) for i in range(4)]
    norm.set_weights(values)
    assert all(map(same_bits, model.get_weights()[2:], values))


def test_nothing_is_averaged_before_a_batch_must_be_finished() -> None:
    """Ctrl-C may break a batch off before its first update; the moving statistics are among the updates."""
    for optimizer in ("sgd", SGD(0.1, momentum=0.9), "adam"):
        model = network(BatchNormalization(), Dense(3, "relu"), BatchNormalization(), Dense(2), optimizer=optimizer)
        model.train_on_batch(X, Y)
        machine = model._ready()
        (program,) = [p for p in machine.programs.values() if p.name == "train"]
        averages = [i for i, instruction in enumerate(program.instructions) if instruction.op == "moving_average"]
        kinds = [{program.root(o).kind for o in i.outputs if o is not None} for i in program.instructions]
        assert len(averages) == 4
        assert _first_update(program) == averages[0] > max(i for i, kind in enumerate(kinds) if "gradient" in kind)


def test_a_rehearsal_leaves_the_statistics_alone() -> None:
    """A training program is run on zeros when it is loaded; one that was loaded only must not show."""
    backends.set_backend("native")
    norm = BatchNormalization()
    model = network(norm, Dense(2))
    before = model.get_weights()
    with pytest.raises(DataError):
        model.fit(X, Y, validation_data=(X[:, :3], Y), verbose=0)
    model.fit(X, Y, epochs=0, verbose=0)
    assert all(map(same_bits, model.get_weights(), before))


def test_calling_a_layer_on_arrays() -> None:
    norm = BatchNormalization(momentum=0.75)
    y = norm(X)
    assert relative(y, X / np.sqrt(1.001)) < 1e-6
    y = norm(X, training=True)
    assert relative(y, (X - X.mean(0)) / np.sqrt(X.var(0) + 0.001)) < 1e-5
    assert relative(norm.moving_mean, X.mean(0) / 4) < 1e-5


class Halves(Layer):
    """One batch normalization of its own, in a formula."""

    def __init__(self, training: bool | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.norm = BatchNormalization(momentum=0.5)
        self.force = training

    def call(self, inputs: Any) -> Any:
        return self.norm(inputs, training=self.force) * 0.5


def test_inside_a_layer_of_one_s_own(backend: str) -> None:
    outer, twin = Halves(), BatchNormalization(momentum=0.5)
    pair = []
    for hidden in ([outer], [twin, Rescaling(0.5)]):
        model = network(*hidden, Dense(2, kernel_initializer="ones"))
        model.fit(X, Y, batch_size=32, shuffle=False, epochs=2, verbose=0)
        pair.append((model.get_weights(), model.predict(X, verbose=0)))
    assert all(error(a, b) < 1e-6 for a, b in zip(pair[0][0], pair[1][0], strict=True))
    assert error(pair[0][1], pair[1][1]) < 1e-6


def test_inference_in_training_still_trains_gamma(backend: str) -> None:
    """A trainable layer that is told to act as in inference: its statistics stay, its other weights learn."""
    outer = Halves(training=False)
    model = network(outer, Dense(2))
    model.train_on_batch(X, Y)
    gamma, beta, mean, variance = outer.get_weights()
    assert (gamma != 1).all()
    assert (beta != 0).all()
    assert (mean == 0).all()
    assert (variance == 1).all()


@pytest.mark.parametrize("make", [BatchNormalization, LayerNormalization, RMSNormalization, UnitNormalization])
def test_values_that_are_all_the_same(make: Callable[[], Layer], backend: str) -> None:
    """A variance of 0, a row of zeros and a batch of one give finite outputs, and finite steps."""
    model = network(Dense(3, kernel_initializer="zeros", bias_initializer="zeros"), make(), Dense(2))
    for rows in (1, 5):
        model.train_on_batch(np.ones((rows, 5)), Y[:rows])
    assert all(np.isfinite(w).all() for w in model.get_weights())
    assert np.isfinite(model.predict(np.zeros((3, 5)), verbose=0)).all()


def test_penalties_and_constraints_of_gamma_and_beta(backend: str) -> None:
    """A step of SGD from gamma 2 and beta -3, where the gradient of the loss in them is 0."""
    how = {"gamma_initializer": Constant(2.0), "beta_initializer": Constant(-3.0)}
    for make in (BatchNormalization, LayerNormalization, lambda **kwargs: GroupNormalization(1, **kwargs)):
        norm = make(gamma_regularizer=L2(0.1), beta_regularizer="l1", beta_constraint=NonNeg(), **how)
        model = network(norm, Rescaling(0.0))
        loss = model.train_on_batch(X, 0 * X)
        assert error(loss, 5 * (0.1 * 4 + 0.01 * 3)) < 1e-6
        assert error(norm.gamma, np.full(5, 2 - 0.01 * 2 * 0.1 * 2)) < 1e-6
        assert (norm.beta.numpy() == 0).all()
        config = norm.get_config()
        assert type(norm).from_config(config).get_config() == config
    assert abs(network(BatchNormalization(activity_regularizer="l2")).test_on_batch(X, X)) > 0.1


# Configs and mistakes.

CONFIGS: dict[str, Layer] = {
    "BatchNormalization": BatchNormalization(
        1, 0.9, 0.01, center=False, scale=False, moving_mean_initializer="ones", moving_variance_initializer="zeros",
        name="a",
    ),
    "LayerNormalization": LayerNormalization([1, 2], 0.1, center=False, gamma_initializer="zeros", trainable=False),
    "GroupNormalization": GroupNormalization(2, 1, 0.1, scale=False, beta_initializer="ones"),
    "RMSNormalization": RMSNormalization([-1], 0.5),
    "UnitNormalization": UnitNormalization((1, 2)),
    "Normalization": Normalization((1, -1), mean=[[1.0, 2.0]], variance=3.0, invert=True),
    "Normalization of all": Normalization(None),
}  # fmt: skip


@pytest.mark.parametrize("name", CONFIGS)
def test_configs(name: str) -> None:
    layer = CONFIGS[name]
    config = layer.get_config()
    again = type(layer).from_config(config)
    assert again.get_config() == config
    for key, value in config.items():
        if isinstance(value, int | float | bool) and "renorm" not in key and key != "synchronized":
            assert getattr(again, key) == getattr(layer, key), key


def test_given_mean_and_variance_have_one_shape_in_configs() -> None:
    """Keras takes no others."""
    config = Normalization(mean=[1.0, 2.0], variance=4.0).get_config()
    assert (config["mean"], config["variance"]) == ([1.0, 2.0], [4.0, 4.0])


MISTAKES: dict[str, tuple[Callable[[], Any], tuple[str, ...]]] = {
    "axis that is not there": (
        lambda: BatchNormalization(axis=7).build_for((None, 3)), ("BatchNormalization: axis must name", "axis=7"),
    ),
    "the batch axis": (lambda: LayerNormalization(axis=0).build_for((None, 3)), ("without the batch axis", "axis=0")),
    "the batch axis from behind": (
        lambda: RMSNormalization(axis=-2).build_for((None, 3)), ("from -1 to -1", "axis=-2"),
    ),
    "the batch axis of vectors": (lambda: UnitNormalization([0, 1]).build_for((None, 3)), ("axis=[0, 1]",)),
    "an axis twice": (lambda: LayerNormalization([1, -1]).build_for((None, 3)), ("different axes", "axis=[1, -1]")),
    "two axes": (lambda: BatchNormalization(axis=[1, 2]), ("axis must be an integer", "[1, 2]")),
    "two axes of channels": (lambda: GroupNormalization(axis=[1]), ("axis must be an integer", "[1]")),
    "no axes": (lambda: LayerNormalization(axis=[]), ("a list of integers", "axis=[]")),
    "axis of text": (lambda: UnitNormalization(axis="last"), ("a list of integers", "axis='last'")),
    "axis in halves": (lambda: RMSNormalization(axis=[0.5]), ("a list of integers", "axis=[0.5]")),
    "momentum": (lambda: BatchNormalization(momentum=1.5), ("momentum must be a number in [0, 1]", "momentum=1.5")),
    "negative momentum": (lambda: BatchNormalization(momentum=-0.1), ("momentum=-0.1",)),
    "epsilon": (lambda: BatchNormalization(epsilon=-1e-3), ("BatchNormalization: epsilon", "epsilon=-0.001")),
    "epsilon of rows": (lambda: LayerNormalization(epsilon=np.nan), ("LayerNormalization: epsilon", "nan")),
    "epsilon of squares": (lambda: RMSNormalization(epsilon="small"), ("RMSNormalization: epsilon", "'small'")),
    "renorm": (lambda: BatchNormalization(renorm=True), ("batch renormalization is not there", "renorm=True")),
    "renorm_clipping": (lambda: BatchNormalization(renorm_clipping={}), ("renorm_clipping={}",)),
    "renorm_momentum": (lambda: BatchNormalization(renorm_momentum=0.5), ("renorm_momentum=0.5",)),
    "synchronized": (lambda: BatchNormalization(synchronized=True), ("synchronized must be False", "True")),
    "groups": (lambda: GroupNormalization(0), ("a positive integer, or -1", "groups=0")),
    "groups in halves": (lambda: GroupNormalization(1.5), ("groups=1.5",)),
    "groups that do not divide": (
        lambda: GroupNormalization(3).build_for((None, 4)), ("must divide the number of channels, 4", "groups=3"),
    ),
    "more groups than channels": (lambda: GroupNormalization().build_for((None, 4)), ("4 on axis -1", "groups=32")),
    "an unknown argument": (lambda: BatchNormalization(epsilom=1), ("Did you mean 'epsilon'?",)),
    "mean alone": (lambda: Normalization(mean=1.0), ("both mean and variance", "variance=None")),
    "variance": (lambda: Normalization(mean=0.0, variance=-1.0), ("variance must be at least 0", "-1.0")),
    "mean of text": (lambda: Normalization(mean="a", variance=1.0), ("mean must be a finite number", "'a'")),
    "mean of NaN": (lambda: Normalization(mean=[np.nan], variance=1.0), ("mean must be a finite number",)),
    "mean of another shape": (
        lambda: Normalization(mean=[1.0, 2.0], variance=1.0).build_for((None, 3)), ("broadcast to (3,)", "(2,)"),
    ),
    "mean and variance of other shapes": (
        lambda: Normalization(mean=[1.0, 2.0], variance=[1.0, 2.0, 3.0]), ("broadcast to one another", "(2,) and (3,)"),
    ),
    "adapt what is given": (lambda: Normalization(mean=1.0, variance=1.0).adapt(X), ("were given to the layer",)),
    "adapt to nothing": (lambda: Normalization().adapt(iter([])), ("at least one batch",)),
    "adapt to no rows": (lambda: Normalization().adapt([]), ("data must not be empty",)),
    "adapt to NaN": (lambda: Normalization().adapt([[1.0], [np.nan]]), ("data must be finite",)),
    "adapt to text": (lambda: Normalization().adapt("abc"), ("an iterable of arrays", "'abc'")),
    "adapt to a number": (lambda: Normalization().adapt(3), ("an iterable of arrays", "3")),
    "adapt to other features": (lambda: adapted(X).adapt(X[:, :4]), ("(None, 5)", "(70, 4)")),
    "adapt to another rank": (lambda: adapted(X).adapt(X[:, :, None]), ("(70, 5, 1)",)),
    "adapt without features": (lambda: Normalization().adapt(np.ones(3)), ("axis must name",)),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name: str) -> None:
    use, parts = MISTAKES[name]
    with pytest.raises(ValueError) as caught:
        use()
    assert all(part in str(caught.value) for part in parts), str(caught.value)
    assert "Received" in str(caught.value) or name == "adapt what is given"


def test_a_refused_adapt_changes_nothing() -> None:
    norm = adapted(X)
    before = norm.get_weights()
    for data in ([X, X[:, :3]], iter([X, X * np.inf]), []):
        with np.errstate(invalid="ignore"), pytest.raises(DataError):
            norm.adapt(data)
    assert all(map(same_bits, norm.get_weights(), before))


# adapt.


def adapted(data: Any, **kwargs: Any) -> Normalization:
    norm = Normalization(**kwargs)
    norm.adapt(data)
    return norm


class Batches:
    """Batches that can be counted and indexed, without an end for who iterates."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, i: int) -> tuple[Array, Array]:
        return X[i % 3 * 25 :][:25], Y


def generated() -> Iterator[Array]:
    yield from np.array_split(X, 4)


SOURCES: dict[str, Callable[[], Any]] = {
    "an array": lambda: X,
    "float64": lambda: X.astype(np.float64),
    "nested lists": lambda: X.tolist(),
    "a list of batches": lambda: [X[:1], X[1:50], X[50:]],
    "a generator": generated,
    "pairs": lambda: [(X[:30], Y[:30]), (X[30:], Y[30:])],
    "counted batches": Batches,
}


@pytest.mark.parametrize("source", SOURCES)
def test_adapt_takes(source: str) -> None:
    norm = adapted(SOURCES[source]())
    x = X.astype(np.float64)
    assert relative(norm.mean, x.mean(0)) < 1e-7
    assert relative(norm.variance, x.var(0)) < 1e-7
    assert [(v.name, v.shape, v.dtype) for v in norm.weights] == [
        ("mean", (5,), "float32"), ("variance", (5,), "float32"), ("count", (), "int64"),
    ]  # fmt: skip
    assert not norm.trainable_weights
    assert norm.weights[2].numpy() == 0


@pytest.mark.parametrize("axis", [None, (), -1, 1, 2, (1, 2), [3, 1], (-1, -2, -3)])
def test_adapt_along_axes(axis: Any, backend: str) -> None:
    x = np.random.default_rng(4).integers(0, 255, (40, 3, 4, 2)).astype(np.uint8)
    norm = adapted(x, axis=axis)
    kept = {a % 4 for a in ((axis,) if isinstance(axis, int) else axis or ())}
    others = tuple(a for a in range(4) if a not in kept)
    mean, variance = (f(x, axis=others, keepdims=True, dtype=np.float64) for f in (np.mean, np.var))
    assert error(norm.mean, mean.squeeze(others)) < 1e-7
    model = Sequential([Input((3, 4, 2)), norm])
    assert error(model.predict(x, batch_size=7, verbose=0), (x - mean) / np.sqrt(variance)) < 1e-6
    back = Sequential([Input((3, 4, 2)), Normalization(axis=axis, invert=True)])
    back.set_weights(model.get_weights())
    assert error(back.predict(model.predict(x, verbose=0), verbose=0) / 255, x / 255) < 1e-6


def test_the_count_has_eight_bytes() -> None:
    text: list[str] = []
    Sequential([Input((4,)), Normalization()]).summary(print_fn=text.append)
    assert "Non-trainable params: 9 (40.00 B)" in text[0]


def test_adapt_in_many_parts_and_again() -> None:
    """More rows than are looked at together, far from 0: the exact statistics. A second time forgets the first."""
    x = np.random.default_rng(0).normal(1000, 0.5, (150_000, 2))
    norm = adapted(x)
    assert relative(norm.mean, x.mean(0)) < 1e-7
    assert relative(norm.variance, x.var(0)) < 1e-7
    norm.adapt(x[:10])
    assert relative(norm.variance, x[:10].var(0)) < 1e-7


def test_adapt_before_and_after_the_model_is_compiled(backend: str) -> None:
    norm = Normalization()
    model = network(norm, Dense(2))
    model.layers[1].set_weights([np.eye(5, 2), np.zeros(2)])
    assert error(model.predict(X, verbose=0), X[:, :2]) < 1e-6
    norm.adapt(X)
    want = (X - X.mean(0)) / X.std(0)
    assert error(model.predict(X, verbose=0), want[:, :2]) < 1e-6
    model.fit(X, Y, epochs=2, verbose=0)
    assert error(norm.mean, X.mean(0)) < 1e-6
    early = adapted(X)
    assert error(Sequential([Input((5,)), early]).predict(X, verbose=0), want) < 1e-6
    again = Sequential.from_config(model.get_config())
    again.set_weights(model.get_weights())
    assert same_bits(again.predict(X, verbose=0), model.predict(X, verbose=0))


def test_given_statistics_are_no_weights(backend: str) -> None:
    norm = Normalization(mean=X.mean(0), variance=X.var(0))
    model = network(norm, Dense(2), ReLU())
    assert norm.weights == []
    assert [v.name for v in model.weights] == ["kernel", "bias"]
    assert error(norm(X), (X - X.mean(0)) / X.std(0)) < 1e-6
    model.fit(X, Y, verbose=0)
    model.set_weights([np.eye(5, 2), np.zeros(2)])
    want = np.maximum((X - X.mean(0)) / X.std(0), 0)
    assert error(model.predict(X, verbose=0), want[:, :2]) < 1e-6
    shared = Sequential([Input((5,)), norm])  # takes the constants along
    assert error(np.maximum(shared.predict(X, verbose=0), 0), want) < 1e-6
    assert error(model.predict(X, verbose=0), want[:, :2]) < 1e-6


def test_a_feature_without_variance(backend: str) -> None:
    x = X.copy()
    x[:, 2] = 7
    y = Sequential([Input((5,)), adapted(x)]).predict(x, verbose=0)
    assert (y[:, 2] == 0).all()
    assert np.isfinite(y).all()
