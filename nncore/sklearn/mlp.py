"""``MLPClassifier`` and ``MLPRegressor``: scikit-learn's multi-layer perceptrons, trained by nncore."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.metaestimators import available_if

from nncore import losses
from nncore.losses import Loss
from nncore.sklearn.classes import Classes
from nncore.sklearn.objective import Objective, PoissonDeviance
from nncore.sklearn.perceptron import Array, Perceptron, is_stochastic
from nncore.sklearn.rows import weights_of
from nncore.sklearn.scores import accuracy, r2


class MLPClassifier(ClassifierMixin, Perceptron):  # type: ignore[misc]
    """scikit-learn's ``MLPClassifier``, trained by nncore.

    The arguments up to ``max_fun`` are scikit-learn's, with its defaults. It starts from the weights that scikit-learn
    draws for the same ``random_state``, minimises the same loss and stops by the same rules; it computes in float32,
    and draws the order of rows its own way. For one batch an epoch, neither the order of rows nor whether a row is
    repeated or weighs more changes a bit of the result.

    Args:
        hidden_layer_sizes: Units of each hidden layer.
        activation: ``"identity"``, ``"logistic"``, ``"tanh"``, ``"relu"`` or any other name of ``nncore.activations``,
            for all hidden layers or, in a list, for each.
        solver: ``"adam"``, ``"sgd"`` or, over all rows at once, ``"lbfgs"``.
        alpha: alpha / 2 · Σ w² of all weights but the biases is added to the sum of a batch's losses.
        batch_size: Rows in a step; ``"auto"``: 200, or all where there are fewer.
        learning_rate: For ``"sgd"``: ``"constant"``; ``"invscaling"``: learning_rate_init / t^power_t after t rows;
            ``"adaptive"``: a fifth each time training has stopped improving.
        learning_rate_init, power_t, momentum, nesterovs_momentum: The rates of ``"sgd"``; the first is Adam's too.
        max_iter: Epochs, at most.
        shuffle: Whether each epoch has a new order of rows.
        random_state: What weights, splits and orders of rows are a function of.
        tol, n_iter_no_change: Training ends when for more than ``n_iter_no_change`` epochs the loss, or the score that
            ``early_stopping`` watches, was not better than the best by ``tol``.
        verbose: Print each epoch.
        warm_start: Let ``fit`` go on from where the last one ended.
        early_stopping: Hold out ``validation_fraction`` of the rows, end training by their score, and keep the weights
            of the best one.
        beta_1, beta_2, epsilon: Adam's.
        max_fun: Evaluations of the loss by ``"lbfgs"``, at most.
        dropout: The share of each hidden layer's outputs that training drops, for all or, in a list, for each.
        loss: ``"log_loss"``, or a name or object of ``nncore.losses``.
        class_weight: A dict of class to weight, or ``"balanced"``: a row's weight is multiplied by its class's.
        validation_data: ``(X, y)`` or ``(X, y, sample_weight)`` to score after each epoch, in place of rows held out.
        callbacks: ``nncore.callbacks`` for ``fit``.
        n_threads: Threads to use, at most; by default what nncore uses. No bit depends on it.

    Attributes:
        classes_, coefs_, intercepts_, n_layers_, n_outputs_, out_activation_: As in scikit-learn.
        loss_, loss_curve_, best_loss_, validation_scores_, best_validation_score_, n_iter_, t_: The same, of training.
        n_features_in_, feature_names_in_: The same, of the samples.
        model_: The ``Sequential``.
    """

    own_losses = ("log_loss",)

    def __init__(
        self, hidden_layer_sizes: Any = (100,), activation: Any = "relu", *, solver: str = "adam",
        alpha: float = 0.0001, batch_size: Any = "auto", learning_rate: str = "constant",
        learning_rate_init: float = 0.001, power_t: float = 0.5, max_iter: int = 200, shuffle: bool = True,
        random_state: Any = None, tol: float = 1e-4, verbose: Any = False, warm_start: bool = False,
        momentum: float = 0.9, nesterovs_momentum: bool = True, early_stopping: bool = False,
        validation_fraction: float = 0.1, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8,
        n_iter_no_change: Any = 10, max_fun: int = 15000, dropout: Any = 0.0, loss: Any = "log_loss",
        class_weight: Any = None, validation_data: Any = None, callbacks: Any = None, n_threads: Any = None,
    ) -> None:  # fmt: skip
        self._take(locals())

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Train on ``X`` of shape ``(rows, features)``, dense or sparse.

        ``y`` has shape ``(rows,)`` and holds classes, or ``(rows, labels)`` and holds 0 and 1.
        """
        return self._fit(X, y, sample_weight, once=False)

    @available_if(is_stochastic)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Any:
        """Train for one epoch; the first call needs all ``classes``."""
        if isinstance(self.class_weight, str):
            raise ValueError(
                "MLPClassifier: class_weight='balanced' needs all rows, and partial_fit has some: give a dict."
            )
        self._set_classes(Classes.named("MLPClassifier", getattr(self, "_classes", None), y, classes))
        return self._fit(X, y, sample_weight, once=True)

    def _weights(self, y: Array, sample_weight: Any) -> Array | None:
        by_class = None if self.class_weight is None else self._classes.weights("MLPClassifier", y, self.class_weight)
        return weights_of("MLPClassifier", len(y), sample_weight, by_class)

    def _set_classes(self, classes: Classes) -> None:
        self._classes, self.classes_ = classes, classes.labels
        one_of_many = len(classes.labels) > 2 and not classes.several
        self.n_outputs_ = len(classes.labels) if one_of_many or classes.several else 1
        self.out_activation_ = "softmax" if one_of_many else "logistic"

    def _targets(self, y: Array, first: bool) -> Array:
        found = Classes.of("MLPClassifier", y)
        if first:
            self._set_classes(found)
        codes = self._classes.codes("MLPClassifier", y)
        if self.out_activation_ == "logistic":
            return codes.reshape(len(codes), -1).astype(np.float32)
        if self._row_loss().target == "labels":
            return codes.astype(np.int32)
        return np.eye(self.n_outputs_, dtype=np.float32)[codes]

    def _row_loss(self) -> Loss:
        if self.loss != "log_loss":
            return losses.get(self.loss)
        softmax = self.out_activation_ == "softmax"
        return losses.SparseCategoricalCrossentropy() if softmax else losses.BinaryCrossentropy()

    def _objective(self) -> Objective:
        # scikit-learn sums the losses of several labels, Keras takes their mean.
        summed = self.loss == "log_loss" and self.out_activation_ == "logistic"
        return Objective(self._row_loss(), self.n_outputs_ if summed else 1)

    def _strata(self, y: Array) -> Array | None:
        return y if self.n_outputs_ == 1 else None

    def _score(self, x: Any, y: Array, weight: Array | None) -> float:
        outputs = self.model_.predict(x, verbose=0)
        if not np.isfinite(outputs).all():
            return float("nan")
        true = y if y.ndim == 1 else self._classes.decide(y)
        return accuracy(true, self._classes.decide(outputs), weight)

    def predict(self, X: Any) -> Array:
        """The class of each row, or 0 and 1 for each label."""
        outputs = self._outputs(X)
        return self._classes.decode(self._classes.decide(outputs))

    def predict_proba(self, X: Any) -> Array:
        """The probability of each class, in the order of ``classes_``, float32 ``(rows, classes)``."""
        outputs = self._outputs(X)
        return self._classes.probabilities(outputs)

    def predict_log_proba(self, X: Any) -> Array:
        """The logarithm of ``predict_proba``."""
        p = self.predict_proba(X)
        with np.errstate(divide="ignore"):
            return np.log(p, out=p)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class MLPRegressor(RegressorMixin, Perceptron):  # type: ignore[misc]
    """scikit-learn's ``MLPRegressor``, trained by nncore; see :class:`MLPClassifier` for the arguments.

    Args:
        loss: ``"squared_error"``, half of it; ``"poisson"``, half of its deviance, with an exponential output; or a
            name or object of ``nncore.losses``.
    """

    own_losses = ("squared_error", "poisson")

    def __init__(
        self, loss: Any = "squared_error", hidden_layer_sizes: Any = (100,), activation: Any = "relu", *,
        solver: str = "adam", alpha: float = 0.0001, batch_size: Any = "auto", learning_rate: str = "constant",
        learning_rate_init: float = 0.001, power_t: float = 0.5, max_iter: int = 200, shuffle: bool = True,
        random_state: Any = None, tol: float = 1e-4, verbose: Any = False, warm_start: bool = False,
        momentum: float = 0.9, nesterovs_momentum: bool = True, early_stopping: bool = False,
        validation_fraction: float = 0.1, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8,
        n_iter_no_change: Any = 10, max_fun: int = 15000, dropout: Any = 0.0, validation_data: Any = None,
        callbacks: Any = None, n_threads: Any = None,
    ) -> None:  # fmt: skip
        self._take(locals())

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Train on ``X`` of shape ``(rows, features)``, dense or sparse, and ``y`` of ``(rows,)`` or
        ``(rows, outputs)``."""
        return self._fit(X, y, sample_weight, once=False)

    @available_if(is_stochastic)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Train for one epoch."""
        return self._fit(X, y, sample_weight, once=True)

    def _targets(self, y: Array, first: bool) -> Array:
        with np.errstate(over="ignore"):  # what is too large for float32 is then refused
            targets = y.reshape(len(y), -1).astype(np.float32)
        if first or not hasattr(self, "model_"):
            self.n_outputs_ = targets.shape[1]
            self.out_activation_ = "exp" if self.loss == "poisson" else "identity"
            self._real = np.float32 if y.dtype == np.float32 else np.float64
        if self.loss == "poisson" and targets.min() < 0:
            raise ValueError(f"MLPRegressor: y must be at least 0 for loss='poisson'. Received: {targets.min()}.")
        if targets.shape[1] != self.n_outputs_:
            raise ValueError(f"MLPRegressor: y must have {self.n_outputs_} outputs. Received: {targets.shape[1]}.")
        return targets

    def _objective(self) -> Objective:
        if self.loss == "squared_error":
            return Objective(losses.MeanSquaredError(), self.n_outputs_ / 2)
        return Objective(PoissonDeviance() if self.loss == "poisson" else losses.get(self.loss))

    def _reported(self, loss: float, data: float) -> float:
        # scikit-learn minimises the sum over the outputs, and reports their mean.
        return loss - (1 - 1 / self.n_outputs_) * data if self.loss == "squared_error" else loss

    def _score(self, x: Any, y: Array, weight: Array | None) -> float:
        outputs = self.model_.predict(x, verbose=0)
        return r2(y, outputs, weight) if np.isfinite(outputs).all() else float("nan")

    def predict(self, X: Any) -> Array:
        """The value of each row, ``(rows,)`` or ``(rows, outputs)``: float32 where the targets were, else float64."""
        outputs = self._outputs(X).astype(self._real, copy=False)
        return outputs[:, 0] if self.n_outputs_ == 1 else outputs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
