"""``Perceptron``: what scikit-learn's two multi-layer perceptrons have in common, trained by nncore."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from nncore import activations, console, losses
from nncore.arguments import above_zero, at_least_zero, fraction, positive_int
from nncore.backends import own_num_threads
from nncore.callbacks.base import Logs
from nncore.errors import NonFiniteError, unknown_name
from nncore.layers import Dense, Dropout, Input
from nncore.models import Sequential
from nncore.optimizers import SGD, Adam, Optimizer
from nncore.random import seeds_from
from nncore.regularizers import L2
from nncore.sklearn.lbfgs import Gradients, minimise
from nncore.sklearn.objective import DataTerm, Objective
from nncore.sklearn.rows import one_batch, plain_targets, weights_of
from nncore.sklearn.stopping import Stopping

Array = np.ndarray[Any, Any]

ACTIVATIONS = {"identity": "linear", "logistic": "sigmoid", "exp": "exponential"}
"""nncore's names of scikit-learn's activations, where they differ."""

STOCHASTIC = ("adam", "sgd")
SOLVERS = (*STOCHASTIC, "lbfgs")
NOT_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and need to be preprocessed."
)
SAMPLES: dict[str, Any] = {"accept_sparse": "csr", "dtype": np.float32, "order": "C"}
"""What is asked of samples."""
RATES = ("constant", "invscaling", "adaptive")
Held = tuple[Any, Array, "Array | None"]
"""Samples, targets as the network takes them, and weights of rows or ``None``."""


class Perceptron(BaseEstimator):  # type: ignore[misc]
    """What both have in common; subclasses say what targets, losses and scores are."""

    own_losses: tuple[str, ...] = ()
    """Names of losses that are scikit-learn's."""

    def _take(self, given: dict[str, Any]) -> None:
        """Keep the arguments of ``__init__`` as they are."""
        for name, value in given.items():
            if name not in ("self", "__class__"):
                setattr(self, name, value)

    # What subclasses define.

    def _targets(self, y: Array, first: bool) -> Array:
        """Targets as the network takes them: one column an output, or one label a row."""
        raise NotImplementedError

    def _weights(self, y: Array, sample_weight: Any) -> Array | None:
        """The weight of each row, ``None`` where all weigh 1."""
        return weights_of(type(self).__name__, len(y), sample_weight)

    def _objective(self) -> Objective:
        raise NotImplementedError

    def _score(self, x: Any, y: Array, weight: Array | None) -> float:
        """The score of samples and targets as the network takes them."""
        raise NotImplementedError

    # Arguments.

    def _check(self) -> None:
        """Raise ``ValueError`` for arguments that do not hold."""
        owner = type(self).__name__
        for name, known in (("solver", SOLVERS), ("learning_rate", RATES)):
            if getattr(self, name) not in known:
                raise unknown_name(f"{owner} {name}", getattr(self, name), known)
        for name in ("max_iter", "max_fun"):
            positive_int(owner, name, getattr(self, name))
        for name in ("alpha", "power_t", "tol"):
            at_least_zero(owner, name, getattr(self, name))
        for name in ("learning_rate_init", "epsilon"):
            above_zero(owner, name, getattr(self, name))
        for name in ("beta_1", "beta_2", "validation_fraction"):
            fraction(owner, name, getattr(self, name), below_one=True)
        fraction(owner, "momentum", self.momentum)
        for name in ("shuffle", "warm_start", "nesterovs_momentum", "early_stopping"):
            if not isinstance(getattr(self, name), bool | np.bool_):
                raise ValueError(f"{owner}: {name} must be True or False. Received: {name}={getattr(self, name)!r}.")
        if self.batch_size != "auto":
            positive_int(owner, "batch_size", self.batch_size)
        if self.n_iter_no_change != np.inf:
            positive_int(owner, "n_iter_no_change", self.n_iter_no_change)
        if self.n_threads is not None:
            positive_int(owner, "n_threads", self.n_threads)
        if not isinstance(self.loss, str) or self.loss not in self.own_losses:
            losses.get(self.loss)
        _, names, rates = self._hidden()
        for name in names:
            activations.get(ACTIVATIONS.get(name, name))
        given = self.validation_data
        if given is not None and (not isinstance(given, list | tuple) or len(given) not in (2, 3)):
            raise ValueError(
                f"{owner}: validation_data must be (X, y) or (X, y, sample_weight). Received: {type(given).__name__}."
            )
        own = {"callbacks": _listed(self.callbacks), "dropout": any(rates), "validation_data": self.validation_data}
        for name, value in own.items():
            if self.solver == "lbfgs" and value:
                raise ValueError(
                    f"{owner}: {name} needs solver='adam' or 'sgd'. Received: solver='lbfgs', "
                    f"{name}={getattr(self, name)!r}."
                )

    def _hidden(self) -> tuple[tuple[int, ...], tuple[Any, ...], tuple[float, ...]]:
        """Units, activations and rates of dropout of the hidden layers."""
        owner = type(self).__name__
        given = self.hidden_layer_sizes
        sizes = list(given) if hasattr(given, "__iter__") else [given]
        rates = [fraction(owner, "dropout", rate or 0, below_one=True) for rate in self._each("dropout", len(sizes))]
        units = [positive_int(owner, "hidden_layer_sizes", size) for size in sizes]
        return tuple(units), tuple(self._each("activation", len(sizes))), tuple(rates)

    def _each(self, name: str, count: int) -> list[Any]:
        """An argument that may be one value for all hidden layers, as one for each."""
        value = getattr(self, name)
        if isinstance(value, str) or not hasattr(value, "__iter__"):
            return [value] * count
        if len(value) != count:
            raise ValueError(
                f"{type(self).__name__}: {name} must be one value or one for each of the {count} hidden layers. "
                f"Received: {name}={value!r}."
            )
        return list(value)

    def _outline(self, features: int) -> tuple[Any, ...]:
        """What the network is made of."""
        return features, *self._hidden(), self.n_outputs_, self.out_activation_

    # The network.

    def _start(self, features: int, rng: Any) -> None:
        """A new network, its weights drawn as scikit-learn draws them (Glorot and Bengio, "Understanding the difficulty
        of training deep feedforward neural networks", AISTATS 2010)."""
        self._built = self._outline(features)
        sizes, names, rates = self._hidden()
        stack: list[Any] = [Input((features,), name="input")]
        for i, (size, name, rate) in enumerate(zip(sizes, names, rates, strict=True), 1):
            stack += [_dense(size, name, f"hidden_{i}"), *([Dropout(rate, name=f"dropout_{i}")] if rate else [])]
        stack.append(_dense(self.n_outputs_, self.out_activation_, "output"))
        self.model_ = Sequential(stack, name="perceptron")
        weights = []
        last = names[-1] if names else self.activation  # bounds the output's weights too, in scikit-learn
        for k, n, name in zip((features, *sizes), (*sizes, self.n_outputs_), (*names, last), strict=True):
            bound = np.sqrt((2.0 if name in ("logistic", "sigmoid") else 6.0) / (k + n))
            weights += [rng.uniform(-bound, bound, shape).astype(np.float32) for shape in ((k, n), n)]
        self.model_.set_weights(weights)
        self.n_layers_ = len(sizes) + 2
        self.n_iter_ = self.t_ = 0
        self.loss_curve_: list[float] = []
        self.best_loss_: float | None = None
        self.validation_scores_: list[float] | None = None
        self.best_validation_score_: float | None = None
        self._no_improvement_count = 0
        self._best_weights: list[Array] | None = None

    def _keep_records(self) -> None:
        """Begin those records of losses and scores that are wanted and not there."""
        if not self.early_stopping and self.best_loss_ is None:
            self.best_loss_ = np.inf
        if (self.early_stopping or self.validation_data is not None) and self.validation_scores_ is None:
            self.validation_scores_, self.best_validation_score_ = [], -np.inf

    def _compile(self) -> None:
        """Choose loss and optimizer by the arguments as they are now."""
        for layer in self._dense_layers():
            layer.kernel_regularizer = layer.kernel.regularizer = L2(self.alpha / 2) if self.alpha else None
        optimizer: Optimizer
        if self.solver == "adam":
            optimizer = Adam(self.learning_rate_init, self.beta_1, self.beta_2, self.epsilon)
        elif self.solver == "sgd":
            optimizer = SGD(self.learning_rate_init, self.momentum, bool(self.nesterovs_momentum))
        else:
            optimizer = Gradients()
        objective = self._objective()
        apart = self._reported(1.0, 1.0) != 1.0
        self.model_.compile(optimizer, objective, weighted_metrics=[DataTerm(objective)] if apart else [])

    def _reported(self, loss: float, data: float) -> float:
        """The loss as scikit-learn reports it, of the objective and the part of it that is no penalty."""
        return loss

    def _dense_layers(self) -> list[Any]:
        return [layer for layer in self.model_.layers if isinstance(layer, Dense)]

    @property
    def coefs_(self) -> list[Array]:
        """The weights of each layer, ``(inputs, units)``: the model's own arrays."""
        check_is_fitted(self, "model_")
        return [layer.kernel.value for layer in self._dense_layers()]

    @property
    def intercepts_(self) -> list[Array]:
        """The bias of each layer: the model's own arrays."""
        check_is_fitted(self, "model_")
        return [layer.bias.value for layer in self._dense_layers()]

    # Training.

    def _fit(self, X: Any, y: Any, sample_weight: Any, once: bool) -> Any:
        """Train: for one epoch where ``once``, else until done."""
        owner = type(self).__name__
        self._check()
        if once and self.early_stopping:
            raise ValueError(f"{owner}: partial_fit does not support early_stopping=True.")
        first = not hasattr(self, "model_") or not (self.warm_start or once)
        x, y = self._validate(X, y, reset=first)
        targets = self._targets(y, first and not once)
        weight = self._weights(y, sample_weight)
        rng = check_random_state(self.random_state)
        if first:
            self._start(x.shape[1], rng)
        elif self._outline(x.shape[1]) != self._built:
            raise ValueError(
                f"{owner}: warm_start and partial_fit go on with a network, which must stay as it was built: "
                f"{self._built}. Received: {self._outline(x.shape[1])}. Fit a clone, or set warm_start=False."
            )
        self._keep_records()
        train, validation = self._split((x, targets, weight), rng)
        with seeds_from(int(rng.randint(2**31 - 1))), self._threads():
            if first or not once:
                self._compile()
            if self.solver == "lbfgs":
                self._minimise(*train)
            else:
                self._run(*train, validation, once)
        return self

    def _split(self, rows: Held, rng: Any) -> tuple[Held, Held | None]:
        """Rows to train on, and those to validate with."""
        if self.solver == "lbfgs":
            return rows, None
        if self.validation_data is not None:
            return rows, self._given_validation()
        if not self.early_stopping:
            return rows, None
        there = [part for part in rows if part is not None]
        share, strata = self.validation_fraction, self._strata(rows[1])
        parts = train_test_split(*there, random_state=rng, test_size=share, stratify=strata)
        train, held = (*parts[::2], None)[:3], (*parts[1::2], None)[:3]
        if held[0].shape[0] < 2:
            raise ValueError(
                f"{type(self).__name__}: the validation set must have at least 2 rows. Increase 'validation_fraction', "
                f"or the number of rows. Received: validation_fraction={share} of {rows[0].shape[0]} rows."
            )
        return train, held

    def _strata(self, y: Array) -> Array | None:
        """What the parts of a split are to have in the same proportions."""
        return None

    def _given_validation(self) -> Held:
        X, y, sample_weight = (*self.validation_data, None)[:3]
        x, y = self._validate(X, y, reset=False)
        return x, self._targets(y, False), self._weights(y, sample_weight)

    def _run(self, x: Any, y: Array, weight: Array | None, validation: Held | None, once: bool) -> None:
        """Train in steps, all epochs in one ``fit`` of the model."""
        rows = x.shape[0]
        size = min(200, rows) if self.batch_size == "auto" else self.batch_size
        if size > rows:
            warnings.warn(
                "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=4
            )
        score = None if validation is None else lambda: self._score(*validation)
        stopping = Stopping(self, rows, self._loss_of, score, once)
        shuffle = bool(self.shuffle)
        if size >= rows and not any(self._hidden()[2]):
            (x, y, weight), shuffle = one_batch(x, y, weight), False
        self.n_iter_ = 0
        try:
            self.model_.fit(
                x, y, batch_size=int(min(size, rows)), epochs=1 if once else self.max_iter, verbose=0,
                callbacks=[stopping, *_listed(self.callbacks)], shuffle=shuffle, sample_weight=weight,
            )  # fmt: skip
        except KeyboardInterrupt:
            warnings.warn("Training interrupted by user.", stacklevel=4)
        except NonFiniteError as error:
            raise ValueError(f"{NOT_FINITE} {error}") from error
        if self.early_stopping and self._best_weights is not None:
            self.model_.set_weights(self._best_weights)

    def _minimise(self, x: Any, y: Array, weight: Array | None) -> None:
        """Train by L-BFGS-B, all rows at once."""
        x, y, weight = one_batch(x, y, weight)
        found, logs = minimise(
            self.model_, x, y, weight, max_iter=self.max_iter, max_fun=self.max_fun, tol=self.tol,
            report=self._report if self.verbose else None,
        )  # fmt: skip
        self.best_loss_ = self.loss_ = self._loss_of(logs)
        self.n_iter_ = min(int(found.nit), self.max_iter)
        if not np.isfinite(self.loss_):
            raise ValueError(NOT_FINITE)

    def _report(self, logs: Logs) -> None:
        console.write(f"loss = {self._loss_of(logs):.8f}\n")

    def _threads(self) -> AbstractContextManager[None]:
        return nullcontext() if self.n_threads is None else own_num_threads(self.n_threads)

    def _loss_of(self, logs: Logs) -> float:
        return self._reported(logs["loss"], logs.get("data_term", 0.0))

    def _validate(self, X: Any, y: Any, reset: bool) -> tuple[Any, Array]:
        """X in float32, rows in C order or sparse, and y as it is, one column as a vector."""
        numeric = isinstance(self, RegressorMixin)
        with np.errstate(over="ignore"):  # what is too large for float32 is then refused
            x, y = validate_data(self, X, y, multi_output=True, y_numeric=numeric, reset=reset, **SAMPLES)
        return x, plain_targets(y)

    # Prediction.

    def _outputs(self, X: Any) -> Array:
        """What the network gives for samples of the caller's, float32 ``(rows, n_outputs_)``."""
        check_is_fitted(self, "model_")
        with np.errstate(over="ignore"):
            x = validate_data(self, X, reset=False, **SAMPLES)
        with self._threads():
            return self.model_.predict(x, verbose=0)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def is_stochastic(estimator: Perceptron) -> bool:
    """Whether the solver goes in steps, of which ``partial_fit`` does some."""
    return estimator.solver in STOCHASTIC


def _dense(units: int, activation: str, name: str) -> Dense:
    """A layer whose weights will be set."""
    return Dense(units, ACTIVATIONS.get(activation, activation), kernel_initializer="zeros", name=name)


def _listed(callbacks: Any) -> Sequence[Any]:
    return [] if callbacks is None else callbacks if isinstance(callbacks, list | tuple) else [callbacks]
