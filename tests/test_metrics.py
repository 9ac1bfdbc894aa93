"""Metrics: counts against their definition, programs against arrays, state, names, configs, and what is refused."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from oracles import error

from nncore import callbacks, metrics
from nncore.errors import DataError
from nncore.layers import Activation, Dense, Input
from nncore.metrics import Metric
from nncore.metrics.means import LossMean
from nncore.models import Sequential, model_from_json

Array = np.ndarray[Any, Any]

RNG = np.random.default_rng(7)
ROWS = 41
PROBABILITIES = RNG.random((ROWS, 3)).astype(np.float32)
BINARY = (RNG.random((ROWS, 3)) < 0.4).astype(np.float32)
LABELS = RNG.integers(0, 4, ROWS)
ONE_HOT = np.eye(4, dtype=np.float32)[LABELS]
DISTRIBUTIONS = RNG.dirichlet(np.ones(4), ROWS).astype(np.float32)
NUMBERS, OTHERS = (RNG.normal(size=(ROWS, 3)).astype(np.float32) for _ in range(2))
CLASSES = RNG.integers(0, 4, (ROWS, 1)).astype(np.float32)
WEIGHT = RNG.uniform(0, 2, ROWS).astype(np.float32)

KINDS = {
    "binary": (BINARY, PROBABILITIES), "labels": (LABELS, DISTRIBUTIONS), "one_hot": (ONE_HOT, DISTRIBUTIONS),
    "numbers": (NUMBERS, OTHERS), "classes": (LABELS[:, None], CLASSES), "one": (BINARY[:, :1], PROBABILITIES[:, :1]),
}  # fmt: skip
"""Targets and predictions."""

CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("AUC", "binary", {}),
    ("AUC", "binary", {"num_thresholds": 2, "curve": "PR", "summation_method": "majoring"}),
    ("AUC", "binary", {"curve": "PRGAIN", "summation_method": "minoring"}),
    ("AUC", "binary", {"thresholds": [0.9, 0.1, 0.35]}),
    ("AUC", "binary", {"multi_label": True, "label_weights": [1.0, 0.0, 2.0]}),
    ("AUC", "binary", {"multi_label": True, "num_labels": 3, "curve": "PR"}),
    ("AUC", "binary", {"label_weights": [1.0, 0.5, 2.0]}),
    ("AUC", "one", {"multi_label": True}),
    ("AUC", "numbers", {"from_logits": True}),
    ("Precision", "binary", {}),
    ("Precision", "binary", {"thresholds": [0.9, 0.2, 0.5, 0.2]}),
    ("Precision", "one_hot", {"top_k": 2, "class_id": 1}),
    ("Recall", "binary", {"thresholds": [0, 0.5, 1.0]}),
    ("Recall", "one_hot", {"class_id": 2, "thresholds": 0.1}),
    ("TruePositives", "binary", {"thresholds": (0.3, 0.8)}),
    ("FalsePositives", "binary", {}),
    ("TrueNegatives", "binary", {}),
    ("FalseNegatives", "one", {}),
    ("PrecisionAtRecall", "binary", {"recall": 0.4, "num_thresholds": 50}),
    ("RecallAtPrecision", "binary", {"precision": 0.3, "class_id": 1}),
    ("SensitivityAtSpecificity", "binary", {"specificity": 0.4}),
    ("SpecificityAtSensitivity", "binary", {"sensitivity": 0.4, "num_thresholds": 1}),
    ("F1Score", "binary", {"threshold": 0.4}),
    ("F1Score", "one_hot", {"average": "weighted"}),
    ("FBetaScore", "one_hot", {"average": "micro", "beta": 0.5}),
    ("R2Score", "numbers", {"class_aggregation": None}),
    ("R2Score", "numbers", {"class_aggregation": "variance_weighted_average", "num_regressors": 3}),
    ("PearsonCorrelation", "numbers", {}),
    ("ConcordanceCorrelation", "numbers", {}),
    ("Accuracy", "classes", {}),
    ("BinaryAccuracy", "binary", {"threshold": 0.3}),
    ("TopKCategoricalAccuracy", "one_hot", {"k": 2}),
    ("SparseTopKCategoricalAccuracy", "labels", {"k": 2}),
    ("SparseTopKCategoricalAccuracy", "labels", {"k": 2, "from_sorted_ids": True}),
    ("MeanIoU", "classes", {"num_classes": 4, "dtype": "float32"}),
    ("IoU", "classes", {"num_classes": 3, "target_class_ids": [0, 2], "ignore_class": 1}),
    ("IoU", "labels", {"num_classes": 4, "target_class_ids": [3], "sparse_y_pred": False}),
    ("BinaryIoU", "one", {"threshold": 0.4, "target_class_ids": [1]}),
    ("OneHotIoU", "one_hot", {"num_classes": 4, "target_class_ids": [0, 1]}),
    ("OneHotMeanIoU", "one_hot", {"num_classes": 4}),
    ("RootMeanSquaredError", "numbers", {}),
]  # fmt: skip


def made(name: str, arguments: dict[str, Any]) -> Metric:
    return getattr(metrics, name)(**arguments)  # type: ignore[no-any-return]


def identity(width: int, labels: bool, **compiled: Any) -> Sequential:
    """A model whose predictions are its inputs."""
    model = Sequential([Input((width,)), Activation("linear")])
    model.compile("sgd", "sparse_categorical_crossentropy" if labels else "mse", **compiled)
    return model


@pytest.mark.parametrize("name, kind, arguments", CASES)
def test_programs_and_arrays_agree(name: str, kind: str, arguments: dict[str, Any], backend: str) -> None:
    """Whatever the batches, and with weights or without, to the rounding of a row's value in float32."""
    t, p = KINDS[kind]
    plain, weighted, alone, alone_weighted = (made(name, arguments) for _ in range(4))
    model = identity(p.shape[1], t.ndim < p.ndim, metrics=[plain], weighted_metrics=[weighted])
    found = model.evaluate(p, t, sample_weight=WEIGHT, batch_size=7, verbose=0, return_dict=True)
    for start in (0, 30):
        at = slice(start, start + 30)
        alone.update_state(t[at], p[at])
        alone_weighted.update_state(t[at], p[at], WEIGHT[at])
    assert list(found) == sorted(["loss", plain.name, f"weighted_{plain.name}"])
    for key, here, there in ((plain.name, plain, alone), (f"weighted_{plain.name}", weighted, alone_weighted)):
        assert error(found[key], there.result()) <= 1e-7
        assert error(here.result(), there.result()) <= 1e-7
    alone.reset_state()
    assert all(not np.any(v) for v in alone.variables)
    assert error(alone(t, p), plain.result()) <= 1e-7


@pytest.mark.parametrize("name, kind, arguments", CASES)
def test_config_makes_an_equal_metric(name: str, kind: str, arguments: dict[str, Any]) -> None:
    one = made(name, {**arguments, "name": "mine"})
    described = json.loads(json.dumps(metrics.serialize(one)))
    other = metrics.deserialize(described)
    assert type(other) is type(one)
    assert other.get_config() == one.get_config()
    assert other.name == "mine"
    t, p = KINDS[kind]
    np.testing.assert_array_equal(one(t, p), other(t, p))


@pytest.mark.parametrize("thresholds", [[0.5], [0.9, 0.2, 0.5, 0.2], [0.25, 0.5, 0.75]])
@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_counts_are_their_definition(thresholds: list[float], weight: Array | None) -> None:
    p = np.round(PROBABILITIES * 20) / 20  # many are thresholds
    w = np.ones((ROWS, 1)) if weight is None else weight[:, None].astype(np.float64)
    for name, positive, true in [
        ("TruePositives", True, True), ("FalsePositives", True, False), ("TrueNegatives", False, True),
        ("FalseNegatives", False, False),
    ]:  # fmt: skip
        found = np.atleast_1d(made(name, {"thresholds": thresholds})(BINARY, p, weight))
        want = [
            np.sum(w * (((p > np.float32(t)) == positive) & ((BINARY != 0) == (true == positive)))) for t in thresholds
        ]
        assert error(found, want) <= (0 if weight is None else 1e-14), name


def test_counts_at_evenly_spaced_thresholds() -> None:
    """Where no prediction lies within a rounding of a threshold, they are what comparing gives; 2 counts as 1."""
    metric = metrics.AUC(num_thresholds=11)
    p = np.array([[-1.0], [0.0], [0.05], [0.35], [0.95], [1.0], [2.0], [np.nan]], np.float32)
    metric.update_state(np.ones((8, 1)), p)
    inside = np.clip(p, 0, 1)
    np.testing.assert_array_equal(metric.true_positives, [np.sum(inside > t) for t in metric.thresholds])
    np.testing.assert_array_equal(metric.true_positives + metric.false_negatives, 8)
    np.testing.assert_array_equal(metric.false_positives + metric.true_negatives, 0)


def test_auc_of_many_thresholds_is_the_share_of_ordered_pairs() -> None:
    positive, negative = (PROBABILITIES[:, 0][BINARY[:, 0] == side] for side in (1, 0))
    pairs = np.mean(positive[:, None] > negative)
    assert abs(metrics.AUC(num_thresholds=100_001)(BINARY[:, 0], PROBABILITIES[:, 0]) - pairs) < 1e-9


def test_areas_of_labels() -> None:
    areas = [float(metrics.AUC()(BINARY[:, j], PROBABILITIES[:, j])) for j in range(3)]
    both = (BINARY, PROBABILITIES)
    assert abs(metrics.AUC(multi_label=True)(*both) - np.mean(areas)) < 1e-12
    weighted = metrics.AUC(multi_label=True, label_weights=[1, 0, 3])(*both)
    assert abs(weighted - (areas[0] + 3 * areas[2]) / 4) < 1e-12
    logits = np.log(PROBABILITIES / (1 - PROBABILITIES))
    assert abs(metrics.AUC(from_logits=True)(BINARY, logits) - metrics.AUC()(*both)) < 1e-3


def test_a_weight_for_every_prediction() -> None:
    """Metrics of single predictions take them; a column may so be left out."""
    weight = np.ones_like(PROBABILITIES)
    weight[:, 1] = 0
    for metric in (metrics.Precision, metrics.AUC, metrics.BinaryAccuracy, metrics.RootMeanSquaredError):
        found = metric()(BINARY, PROBABILITIES, weight)
        assert error(found, metric()(BINARY[:, ::2], PROBABILITIES[:, ::2])) <= 1e-7  # float32


def test_vectors_are_rows_of_one_prediction_each() -> None:
    for metric in (metrics.BinaryAccuracy, metrics.Recall, metrics.Accuracy, metrics.RootMeanSquaredError):
        t, p = BINARY[:, 0], PROBABILITIES[:, 0]
        found = metric()(t, p, WEIGHT)
        assert error(found, metric()(t[:, None], p[:, None], WEIGHT)) == 0


def test_logs_of_batches_are_of_all_batches_so_far(backend: str) -> None:
    seen: list[dict[str, float]] = []
    hook = callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(dict(logs)))
    model = identity(3, False, metrics=["AUC", "Recall"], weighted_metrics=["Recall"])
    model.fit(PROBABILITIES, BINARY, sample_weight=WEIGHT, batch_size=10, shuffle=False, verbose=0, callbacks=[hook])
    for i, logs in enumerate(seen):
        some = (BINARY[: 10 * (i + 1)], PROBABILITIES[: 10 * (i + 1)])
        assert error(logs["AUC"], metrics.AUC()(*some)) <= 1e-12
        assert error(logs["Recall"], metrics.Recall()(*some)) <= 1e-12
        assert error(logs["weighted_Recall"], metrics.Recall()(*some, WEIGHT[: 10 * (i + 1)])) <= 1e-12
    assert len(seen) == 5
    assert model.metrics_names == ["loss", "AUC", "Recall", "weighted_Recall"]


def test_several_values_and_dicts_in_the_logs(backend: str) -> None:
    model = identity(3, False, metrics=["f1_score"])
    history = model.fit(PROBABILITIES, BINARY, epochs=2, verbose=0).history
    assert [np.shape(value) for value in history["f1_score"]] == [(3,)] * 2
    scores = model.evaluate(PROBABILITIES, BINARY, verbose=0)
    np.testing.assert_allclose(scores[1], metrics.F1Score()(BINARY, PROBABILITIES), rtol=1e-12)
    model.fit(PROBABILITIES, BINARY, verbose=2)


def test_validation_has_its_own_values(backend: str) -> None:
    auc = metrics.AUC(name="area")
    model = identity(3, False, metrics=[auc])
    data = (PROBABILITIES[:20], BINARY[:20])
    history = model.fit(PROBABILITIES, BINARY, validation_data=data, verbose=0).history
    assert error(history["area"], [metrics.AUC()(BINARY, PROBABILITIES)]) <= 1e-12
    assert error(history["val_area"], [metrics.AUC()(BINARY[:20], PROBABILITIES[:20])]) <= 1e-12
    assert auc.result() == history["val_area"][0]


# State, names.


class Positives(Metric):
    """A metric as users write them."""

    def __init__(self, name: str = "positives", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.found = self.add_weight(name="found", initializer="zeros")
        self.mean = metrics.Mean()

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.found.assign_add(np.sum(np.asarray(y_pred) > 0.5))
        self.mean.update_state(y_pred)

    def result(self) -> Any:
        return {"found": self.found.value, "mean": self.mean.result()}


def test_metrics_of_users_standalone() -> None:
    metric = Positives()
    metric.update_state(None, [0.2, 0.7])
    assert metric(None, [0.9, 1.0]) == {"found": 3, "mean": pytest.approx(0.7)}
    assert [v.path for v in metric.variables] == ["positives/found", "mean/total", "mean/count"]
    metric.reset_state()
    assert metric.result() == {"found": 0, "mean": 0}
    assert metric.add_variable((2, 3), "ones", dtype="int32").value.tolist() == [[1] * 3] * 2


def test_sum_and_mean_of_values() -> None:
    total = metrics.Sum()
    total.update_state([[1, 2], [3, 4]])
    assert total.result() == 10
    assert total([1, 2], sample_weight=[0.5, 0]) == 10.5
    mean = metrics.Mean()
    assert mean([[1, 3], [5, 7]], sample_weight=[1, 3]) == 5
    mean.reset_state()
    assert mean([[1, 3], [5, 7]], sample_weight=[[1, 1], [0, 2]]) == (1 + 3 + 14) / 4
    wrapped = metrics.MeanMetricWrapper(lambda t, p, scale: scale * np.abs(t - p), name="off", scale=2)
    assert wrapped([1.0, 2.0], [0.0, 4.0]) == 3
    assert wrapped.name == "off"


def test_counts_beyond_what_float32_counts() -> None:
    metric = metrics.TruePositives()
    metric.positives.assign([0, 2.0**24])
    metric.update_state([1.0], [1.0])
    assert metric.result() == 2**24 + 1


@pytest.mark.parametrize(
    "name, kind",
    [
        ("AUC", "AUC"), ("auc", "AUC"), ("Precision", "Precision"), ("f1_score", "F1Score"), ("F1SCORE", "F1Score"),
        ("MSE", "MeanSquaredError"), ("root_mean_squared_error", "RootMeanSquaredError"),
        ("true_positives", "TruePositives"), ("R2Score", "R2Score"), ("accuracy", "Accuracy"),
    ],
)  # fmt: skip
def test_names(name: str, kind: str) -> None:
    metric = metrics.get(name)
    assert type(metric).__name__ == kind
    assert metric.name == name


def test_every_metric_has_a_case() -> None:
    tried = {name for name, _, _ in CASES}
    public = {
        name for name in metrics.__all__
        if isinstance(found := getattr(metrics, name), type) and issubclass(found, Metric)
    }  # fmt: skip
    recorded = {"Mean", "Sum", "MeanMetricWrapper", "Metric", "CategoricalAccuracy", "SparseCategoricalAccuracy"}
    of_losses = {name for name in public if issubclass(getattr(metrics, name), LossMean)}
    assert public - recorded - of_losses - tried == set()


def test_crossentropy_by_shape() -> None:
    model = Sequential([Input((3,)), Dense(4, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["ce", "crossentropy"])
    scores = model.evaluate(NUMBERS, LABELS, verbose=0, return_dict=True)
    assert list(scores) == ["ce", "crossentropy", "loss"]
    assert error(scores["ce"], scores["loss"]) <= 1e-5
    assert [type(m) for m in model.metrics] == [metrics.SparseCategoricalCrossentropy] * 2


def test_weighted_duplicates_are_named_as_in_keras() -> None:
    model = identity(3, False, metrics=["mse", "mse", "mae"], weighted_metrics=["mse", "mse", "Recall"])
    model.evaluate(PROBABILITIES, BINARY, verbose=0)
    assert model.metrics_names == ["loss", "mse", "mse_1", "mae", "weighted_mse", "weighted_mse_1", "Recall"]
    other = model_from_json(model.to_json())
    other.evaluate(PROBABILITIES, BINARY, verbose=0)
    assert other.metrics_names == model.metrics_names


def test_the_direction_of_a_weighted_duplicate() -> None:
    model = identity(3, False, metrics=["Recall"], weighted_metrics=["Recall"])
    stop = callbacks.EarlyStopping("weighted_Recall", patience=1)
    model.fit(PROBABILITIES, BINARY, epochs=3, verbose=0, callbacks=[stop])
    assert stop._sign == 1


# What is refused.

REFUSED: dict[str, tuple[Callable[[], Any], tuple[str, ...]]] = {
    "threshold": (lambda: metrics.Precision(thresholds=1.5), ("Precision: thresholds must be", "[0, 1]", "1.5")),
    "a list": (lambda: metrics.TruePositives([0.5, None]), ("TruePositives: thresholds must be", "None")),
    "no threshold": (lambda: metrics.Recall([]), ("Recall: thresholds must be", "[]")),
    "top_k": (lambda: metrics.Recall(top_k=0), ("Recall: top_k must be a positive integer", "top_k=0")),
    "class_id": (lambda: metrics.Recall(class_id=-1), ("Recall: class_id must be", "class_id=-1")),
    "class_id beyond": (
        lambda: metrics.Recall(class_id=3)(BINARY, PROBABILITIES),
        ("class_id must be at most 2", "=3"),
    ),
    "top_k beyond": (lambda: metrics.Recall(top_k=4)(BINARY, PROBABILITIES), ("top_k must be at most 3", "top_k=4")),
    "num_thresholds": (lambda: metrics.AUC(1), ("AUC: num_thresholds must be", "at least 2", "num_thresholds=1")),
    "both": (lambda: metrics.AUC(10, thresholds=[0.5]), ("num_thresholds or thresholds, not both",)),
    "curve": (lambda: metrics.AUC(curve="RC"), ("Unknown AUC curve: 'RC'", "Did you mean")),
    "summation": (lambda: metrics.AUC(summation_method="up"), ("Unknown AUC summation_method: 'up'", "majoring")),
    "num_labels": (lambda: metrics.AUC(num_labels=2), ("num_labels needs multi_label=True",)),
    "labels": (lambda: metrics.AUC(multi_label=True, num_labels=2)(BINARY, PROBABILITIES), ("num_labels is for 2",)),
    "label_weights": (lambda: metrics.AUC(label_weights=[1, -1]), ("label_weights must be numbers of at least 0",)),
    "weights of labels": (lambda: metrics.AUC(label_weights=[1, 1])(BINARY, PROBABILITIES), ("is for 2 labels",)),
    "recall": (lambda: metrics.PrecisionAtRecall(1.5), ("PrecisionAtRecall: recall must be", "[0, 1]", "1.5")),
    "at": (lambda: metrics.RecallAtPrecision(0.5, 0), ("num_thresholds must be a positive integer", "=0")),
    "average": (lambda: metrics.F1Score("mean"), ("Unknown F1Score average: 'mean'", "macro")),
    "beta": (lambda: metrics.FBetaScore(beta=0), ("FBetaScore: beta must be a number above 0", "beta=0")),
    "F threshold": (lambda: metrics.F1Score(threshold=0), ("F1Score: threshold must be", "(0, 1]", "threshold=0")),
    "F shape": (
        lambda: metrics.F1Score()(np.zeros((2, 3, 4)), np.zeros((2, 3, 4))),
        ("F1Score needs", "(rows, columns)"),
    ),
    "aggregation": (lambda: metrics.R2Score("mean"), ("Unknown R2Score class_aggregation: 'mean'",)),
    "regressors": (lambda: metrics.R2Score(num_regressors=-1), ("R2Score: num_regressors must be", "-1")),
    "R2 shape": (lambda: metrics.R2Score()(np.zeros((2, 3, 4)), np.zeros((2, 3, 4))), ("R2Score needs",)),
    "axis": (lambda: metrics.PearsonCorrelation(axis=0), ("PearsonCorrelation: axis must be -1", "axis=0")),
    "classes": (lambda: metrics.MeanIoU(0), ("MeanIoU: num_classes must be a positive integer", "num_classes=0")),
    "class ids": (lambda: metrics.IoU(3, [3]), ("IoU: target_class_ids must be classes in [0, 3)", "[3]")),
    "IoU axis": (lambda: metrics.IoU(3, [0], axis=1), ("IoU: axis must be -1", "axis=1")),
    "ignore": (lambda: metrics.MeanIoU(3, ignore_class="a"), ("ignore_class must be an integer", "'a'")),
    "IoU dtype": (lambda: metrics.MeanIoU(3, dtype="float16"), ("dtype must be 'float32' or None", "float16")),
    "k": (lambda: metrics.TopKCategoricalAccuracy(0), ("TopKCategoricalAccuracy: k must be a positive integer", "k=0")),
    "dtype": (lambda: metrics.AUC(dtype="float64"), ("AUC: dtype must be 'float32' or None",)),
    "function": (lambda: metrics.MeanMetricWrapper("mse"), ("MeanMetricWrapper: fn must be a function", "'mse'")),
    "needs arguments": (lambda: metrics.get("MeanIoU"), ("'MeanIoU' has arguments to choose", "metrics.MeanIoU(")),
    "weights": (
        lambda: metrics.CategoricalAccuracy()(ONE_HOT, DISTRIBUTIONS, WEIGHT[:5]),
        ("sample_weight must hold one weight a row", f"({ROWS},)", "(5,)"),
    ),
    "shapes": (lambda: metrics.AUC()(BINARY, PROBABILITIES[:, :2]), ("auc: y_true must have shape", "(41, 3)")),
    "other columns": (
        lambda: [m := metrics.F1Score(), m(BINARY, PROBABILITIES), m(ONE_HOT, DISTRIBUTIONS)],
        ("sums of 3 columns", "predictions of 4"),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    make, parts = REFUSED[name]
    with pytest.raises(ValueError, match=re.escape(parts[0])) as caught:
        make()
    for part in parts:
        assert part in str(caught.value)


def test_what_does_not_suit_a_model() -> None:
    with pytest.raises(DataError, match="The metric 'AUC' needs y of shape"):
        identity(4, True, metrics=["AUC"]).evaluate(DISTRIBUTIONS, LABELS, verbose=0)
    with pytest.raises(ValueError, match="class_id must be at most 3"):
        identity(4, False, metrics=[metrics.Recall(class_id=7)]).evaluate(DISTRIBUTIONS, ONE_HOT, verbose=0)


def test_too_many_regressors() -> None:
    metric = metrics.R2Score(num_regressors=9)
    metric.update_state(NUMBERS[:3], OTHERS[:3])
    with pytest.warns(UserWarning, match="9 regressors need more than 10 targets"):
        found = metric.result()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert found == metrics.R2Score()(NUMBERS[:3], OTHERS[:3])
