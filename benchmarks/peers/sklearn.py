"""scikit-learn: ``MLPClassifier.partial_fit``, which is one epoch, and ``predict_proba``."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import sklearn
from sklearn.neural_network import MLPClassifier

from benchmarks import workloads
from benchmarks.workloads import EPSILON, RATES, Array, Predict, initial_weights

sklearn.set_config(assume_finite=True)


def _classifier(sizes: Sequence[int], batch: int, optimizer: str = "sgd") -> MLPClassifier:
    """A classifier that has seen all classes and has the weights that all sides start from."""
    classifier = MLPClassifier(
        hidden_layer_sizes=sizes[1:-1], activation="relu", solver=optimizer, alpha=0.0, batch_size=batch,
        learning_rate="constant", learning_rate_init=RATES[optimizer], momentum=0.0, nesterovs_momentum=False,
        epsilon=EPSILON, random_state=0,
    )  # fmt: skip
    classes = np.arange(sizes[-1])
    classifier.set_params(batch_size="auto")
    classifier.partial_fit(np.zeros((len(classes), sizes[0]), np.float32), classes, classes=classes)
    classifier.set_params(batch_size=batch)
    weights = initial_weights(sizes)
    classifier.coefs_, classifier.intercepts_ = weights[::2], weights[1::2]
    del classifier._optimizer  # the next partial_fit starts a new one, on these weights
    return classifier


class Fit:
    """A network and its training loop."""

    def __init__(self, work: workloads.Fit, x: Array, y: Array) -> None:
        self._x, self._labels = x, y.argmax(axis=1)
        self._classifier = _classifier(work.sizes, work.batch, work.optimizer)

    def train(self, epochs: int, shuffle: bool) -> None:
        self._classifier.set_params(shuffle=shuffle)
        for _ in range(epochs):
            self._classifier.partial_fit(self._x, self._labels)

    def weights(self) -> list[Array]:
        classifier = self._classifier
        return [array for layer in zip(classifier.coefs_, classifier.intercepts_, strict=True) for array in layer]


def predictor(work: Predict) -> Callable[[], Array] | None:
    """Probabilities, from array to array."""
    if work.out:
        return None
    x, classifier = work.data(), _classifier(work.sizes, work.batch)
    return lambda: np.asarray(classifier.predict_proba(x))
