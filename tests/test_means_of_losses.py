"""Metrics that are means of losses, and the functions that metrics are means of, against values Keras 3.15.1 gave."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from oracles import error

from nncore import losses, metrics
from nncore.layers import Activation, Dense, Input
from nncore.metrics.means import LossMean
from nncore.models import Sequential, model_from_json

RNG = np.random.default_rng(3)
P = np.round(RNG.dirichlet(np.ones(4), 5), 3).astype(np.float32)
LOGITS = np.round(RNG.normal(0, 2, (5, 4)), 2).astype(np.float32)
NUMBERS = np.round(RNG.uniform(0.1, 3, (5, 4)), 2).astype(np.float32)
LABELS = np.array([2, 0, 3, 1, 1])
ONE_HOT = np.eye(4, dtype=np.float32)[LABELS]
BITS = (RNG.random((5, 4)) < 0.5).astype(np.float32)
WEIGHT = np.array([0.5, 2, 0, 1, 1.5], np.float32)

KINDS = {
    "numbers": (NUMBERS, LOGITS), "positive": (NUMBERS, NUMBERS[::-1] + np.float32(0.5)),
    "signs": (2 * BITS - 1, LOGITS), "one_hot": (ONE_HOT, P), "one_hot logits": (ONE_HOT, LOGITS),
    "shares": (P[::-1], P),
    "bits": (BITS, P), "bits logits": (BITS, LOGITS), "labels": (LABELS, P), "labels logits": (LABELS, LOGITS),
}  # fmt: skip
"""Targets and predictions."""

SMOOTH = {"label_smoothing": 0.2}
LOGIT = {"from_logits": True}

CASES: list[tuple[str, str, dict[str, Any], float, float]] = [
    ("MeanSquaredError", "numbers", {}, 6.6603851318359375, 8.880195617675781),
    ("MeanAbsoluteError", "numbers", {}, 2.0894999504089355, 2.440999984741211),
    ("MeanAbsolutePercentageError", "numbers", {}, 205.52615356445312, 256.79205322265625),
    ("MeanSquaredLogarithmicError", "positive", {}, 0.13804638385772705, 0.17593654990196228),
    ("MeanSquaredLogarithmicError", "numbers", {}, 0.5524784326553345, 0.6645408868789673),
    ("LogCoshError", "numbers", {}, 1.4957401752471924, 1.8405338525772095),
    ("Poisson", "positive", {}, 0.9311938285827637, 0.9312480688095093),
    ("KLDivergence", "shares", {}, 0.8241993188858032, 0.9600870013237),
    ("Hinge", "signs", {}, 1.4830000400543213, 1.5762499570846558),
    ("Hinge", "bits logits", {}, 1.4830000400543213, 1.5762499570846558),
    ("SquaredHinge", "signs", {}, 5.479330062866211, 6.353062629699707),
    ("SquaredHinge", "bits logits", {}, 5.479330062866211, 6.353062629699707),
    ("CategoricalHinge", "one_hot", {}, 0.9550000429153442, 1.0276000499725342),
    ("CategoricalHinge", "one_hot logits", {}, 2.685999870300293, 2.7179999351501465),
    ("CosineSimilarity", "numbers", {}, 0.23576638102531433, 0.15990903973579407),
    ("BinaryCrossentropy", "bits", {}, 0.7012377977371216, 0.8358275294303894),
    ("BinaryCrossentropy", "bits", SMOOTH, 0.7730916738510132, 0.8644296526908875),
    ("BinaryCrossentropy", "bits logits", LOGIT, 1.191725492477417, 1.2626065015792847),
    ("BinaryCrossentropy", "bits logits", LOGIT | SMOOTH, 1.1739753484725952, 1.2509065866470337),
    ("CategoricalCrossentropy", "one_hot", {}, 0.8929139971733093, 1.0152842998504639),
    ("CategoricalCrossentropy", "one_hot", SMOOTH, 1.0729461908340454, 1.1414263248443604),
    ("CategoricalCrossentropy", "one_hot logits", LOGIT, 2.152360200881958, 2.2520015239715576),
    ("CategoricalCrossentropy", "one_hot logits", LOGIT | SMOOTH, 2.2660603523254395, 2.404801607131958),
    ("CategoricalCrossentropy", "shares", {"axis": 1}, 1.9093745946884155, 2.09362530708313),
    ("SparseCategoricalCrossentropy", "labels", {}, 0.8929139971733093, 1.0152842998504639),
    ("SparseCategoricalCrossentropy", "labels logits", LOGIT, 2.152360200881958, 2.2520015239715576),
    ("SparseCategoricalCrossentropy", "labels", {"ignore_class": 1}, 0.5296334028244019, 1.1730372905731201),
    (
        "SparseCategoricalCrossentropy", "labels logits", {**LOGIT, "ignore_class": 0}, 1.2874948978424072,
        0.8704517483711243,
    ),
]  # fmt: skip
"""Metric, data, arguments, and Keras's value without and with weights, over batches of 3 and 2 rows."""

FLOAT32 = 5e-7
"""A few roundings of float32 on either side."""


@pytest.mark.parametrize("name, kind, arguments, plain, weighted", CASES)
def test_on_arrays(name: str, kind: str, arguments: dict[str, Any], plain: float, weighted: float) -> None:
    t, p = KINDS[kind]
    for weight, wanted in ((None, plain), (WEIGHT, weighted)):
        metric = getattr(metrics, name)(**arguments)
        for rows in (slice(0, 3), slice(3, 5)):
            metric.update_state(t[rows], p[rows], None if weight is None else weight[rows])
        assert error(metric.result(), wanted) <= FLOAT32


@pytest.mark.parametrize("name, kind, arguments, plain, weighted", CASES)
def test_in_programs(
    name: str, kind: str, arguments: dict[str, Any], plain: float, weighted: float, backend: str
) -> None:
    t, p = KINDS[kind]
    one, other = (getattr(metrics, name)(**arguments) for _ in range(2))
    model = Sequential([Input((4,)), Activation("linear")])
    loss = "mse" if t.ndim == 2 else "sparse_categorical_crossentropy"
    model.compile("sgd", loss, metrics=[one], weighted_metrics=[other])
    model.evaluate(p, t, sample_weight=WEIGHT, batch_size=3, verbose=0)
    assert error(one.result(), plain) <= FLOAT32
    assert error(other.result(), weighted) <= FLOAT32


def test_every_mean_of_a_loss_has_a_case() -> None:
    public = (getattr(metrics, name) for name in metrics.__all__)
    found = {cls.__name__ for cls in public if isinstance(cls, type) and issubclass(cls, LossMean)}
    assert found - {name for name, *_ in CASES} == {"RootMeanSquaredError"}  # among the recorded metrics


# Functions.

FUNCTIONS: list[tuple[str, str, dict[str, Any], Any]] = [
    (
        "binary_accuracy", "bits", {},
        [[1, 1, 1, 0], [0, 1, 0, 1], [1, 1, 1, 0], [1, 0, 0, 0], [0, 1, 1, 0]],
    ),
    (
        "binary_accuracy", "bits", {"threshold": 0.2},
        [[1, 1, 0, 0], [1, 0, 1, 1], [0, 1, 1, 0], [1, 1, 0, 1], [1, 1, 1, 0]],
    ),
    ("categorical_accuracy", "one_hot", {}, [0, 0, 1, 0, 1]),
    ("sparse_categorical_accuracy", "labels", {}, [0, 0, 1, 0, 1]),
    ("top_k_categorical_accuracy", "one_hot", {"k": 2}, [1, 1, 1, 1, 1]),
    ("top_k_categorical_accuracy", "one_hot", {"k": 1}, [0, 0, 1, 0, 1]),
    ("sparse_top_k_categorical_accuracy", "labels", {"k": 2}, [1, 1, 1, 1, 1]),
    (
        "pearson_correlation", "numbers", {},
        [0.6090664863586426, -0.8939998149871826, 0.4255434572696686, 0.18540126085281372, 0.5548949241638184],
    ),
    (
        "concordance_correlation", "numbers", {},
        [0.19691309332847595, -0.5925166606903076, 0.14528974890708923, 0.14781531691551208, 0.08298583328723907],
    ),
]  # fmt: skip


@pytest.mark.parametrize("name, kind, arguments, wanted", FUNCTIONS)
def test_functions(name: str, kind: str, arguments: dict[str, Any], wanted: Any) -> None:
    """For rows, rows of rows, one row, and labels in a column of their own."""
    t, p = KINDS[kind]
    function = getattr(metrics, name)
    found = function(t, p, **arguments)
    assert error(found, wanted) <= FLOAT32
    assert found.dtype == np.float32
    np.testing.assert_array_equal(function(t[None], p[None], **arguments), found[None])
    np.testing.assert_array_equal(function(t[1], p[1], **arguments), found[1])
    np.testing.assert_array_equal(function(t.tolist(), p.tolist(), **arguments), found)
    if t.ndim == 1:
        np.testing.assert_array_equal(function(t[:, None], p, **arguments), found)


def test_listed_classes() -> None:
    found = metrics.sparse_top_k_categorical_accuracy([1, 0], [[0, 1, 2], [2, 1, 0]], k=2, from_sorted_ids=True)
    assert found.tolist() == [1, 0]


@pytest.mark.parametrize("name", sorted({name for name, *_ in FUNCTIONS}))
def test_functions_as_metrics(name: str, backend: str) -> None:
    """Under their own names, their values are the means; in JSON too."""
    sparse = name.startswith("sparse")
    model = Sequential([Input((6,)), Dense(6, "softmax")])
    loss = "sparse_categorical_crossentropy" if sparse else "categorical_crossentropy"
    model.compile("sgd", loss, metrics=[getattr(metrics, name)])
    x = RNG.normal(size=(20, 6)).astype(np.float32)
    y = RNG.integers(0, 6, 20)
    t = y if sparse else np.eye(6, dtype=np.float32)[y]
    found = model.evaluate(x, t, verbose=0, return_dict=True)
    assert list(found) == sorted(["loss", name])
    assert error(found[name], np.mean(getattr(metrics, name)(t, model.predict(x, verbose=0)))) <= FLOAT32
    other = model_from_json(model.to_json())
    other.set_weights(model.get_weights())
    assert other.evaluate(x, t, verbose=0, return_dict=True) == found


def test_losses_are_among_the_functions() -> None:
    for name in losses.FUNCTIONS:
        if name not in ("cosine_similarity", "categorical_generalized_cross_entropy", "dice", "tversky"):
            assert getattr(metrics, name) is getattr(losses, name)


@pytest.mark.parametrize("name", sorted(losses.FUNCTIONS))
def test_losses_of_one_row(name: str) -> None:
    function = getattr(losses, name)
    t, p = (LABELS, P) if losses.CLASSES[name].target == "labels" else (BITS, P)
    more = {"q": 0.5} if "generalized" in name else {}
    np.testing.assert_array_equal(function(t[1], p[1], **more), function(t[1:2], p[1:2], **more).reshape(()))
    loss = losses.CLASSES[name]()
    assert loss(t[1], p[1]) == loss(t[1:2], p[1:2])
    assert loss(t[1], p[1], sample_weight=2) == 2 * loss(t[1], p[1])
