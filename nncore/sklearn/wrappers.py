"""``SKLearnClassifier`` and ``SKLearnRegressor``: any ``Sequential`` as an estimator of scikit-learn."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from nncore import activations
from nncore.copies import clone_model
from nncore.models import Sequential
from nncore.random import seeds_from
from nncore.sklearn.classes import Classes
from nncore.sklearn.rows import plain_targets, weights_of

Array = np.ndarray[Any, Any]


class Wrapper(BaseEstimator):  # type: ignore[misc]
    """What both have in common; subclasses say what targets are and what an uncompiled model is compiled with."""

    default_loss = ""

    def __init__(
        self, model: Any, warm_start: bool = False, model_kwargs: Any = None, fit_kwargs: Any = None, *,
        random_state: Any = None,
    ) -> None:  # fmt: skip
        self.model = model
        self.warm_start = warm_start
        self.model_kwargs = model_kwargs
        self.fit_kwargs = fit_kwargs
        self.random_state = random_state

    # What subclasses define.

    def _learn(self, y: Array, once: bool) -> None:
        """Take in what targets are, if ``partial_fit``, where it is ``once``, has not."""
        raise NotImplementedError

    def _wide(self, y: Array) -> Array:
        """Targets with one column an output, which functions that make models see."""
        raise NotImplementedError

    def _targets(self, y: Array) -> Array:
        """Targets as ``model_`` takes them."""
        raise NotImplementedError

    def _outputs_wanted(self) -> tuple[int, ...]:
        """How many outputs the model may have."""
        raise NotImplementedError

    # Training.

    def _fit(self, X: Any, y: Any, given: dict[str, Any], once: bool) -> Any:
        known = hasattr(self, "model_")
        first = not known or not (self.warm_start or once)
        x, y = self._validate(X, y, reset=first)
        if first:
            self._learn(y, once)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        with seeds_from(seed):
            if first:
                self.model_ = self._made(x, y)
            arguments = self._fit_arguments(y, {**(self.fit_kwargs or {}), **given})
            if once:
                arguments |= {"epochs": 1, "initial_epoch": 0}
            self.history_ = self.model_.fit(x, self._targets(y), **arguments).history
        return self

    def _validate(self, X: Any, y: Any, reset: bool) -> tuple[Any, Array]:
        x, y = validate_data(
            self, X, y, accept_sparse="csr", multi_output=True, allow_nd=True,
            y_numeric=isinstance(self, RegressorMixin), reset=reset,
        )  # fmt: skip
        return x, plain_targets(y)

    def _made(self, x: Any, y: Array) -> Sequential:
        """A model to train, compiled and built for ``x``."""
        owner, given = type(self).__name__, self.model
        if isinstance(given, Sequential):
            made = copy.deepcopy(given) if self.warm_start else _fresh(given)
        elif callable(given):
            made = given(x, self._wide(y), **(self.model_kwargs or {}))
            if not isinstance(made, Sequential):
                raise ValueError(
                    f"{owner}: model must return a Sequential, compiled or not. Received: {made!r} from {given!r}."
                )
        else:
            raise ValueError(
                f"{owner}: model must be a Sequential, or a function of X and y that returns one. Received: {given!r}."
            )
        if not made.compiled:
            made.compile(optimizer="adam", loss=self.default_loss)
        if not made.built:
            made.build((None, *x.shape[1:]))
        wanted, shape = self._outputs_wanted(), made.output_shape
        if len(shape) != 2 or shape[1] not in wanted:
            raise ValueError(
                f"{owner}: the last layer must give {' or '.join(map(str, wanted))} outputs a row for these targets. "
                f"Received: a model whose output has shape {shape}."
            )
        return made

    def _fit_arguments(self, y: Array, given: dict[str, Any]) -> dict[str, Any]:
        """What ``Sequential.fit`` is called with: targets and classes as the model knows them."""
        validation = given.get("validation_data")
        if isinstance(validation, list | tuple):
            x, targets = self._validate(validation[0], validation[1], reset=False)
            given = {**given, "validation_data": (x, self._targets(targets), *validation[2:])}
        return {"verbose": 0, **given}

    # Prediction.

    def _outputs(self, X: Any) -> Array:
        """The model's predictions."""
        check_is_fitted(self, "model_")
        return self.model_.predict(validate_data(self, X, accept_sparse="csr", allow_nd=True, reset=False), verbose=0)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _fresh(model: Sequential) -> Sequential:
    """An equal model with fresh weights and an optimizer that has done nothing, compiled if ``model`` is."""
    made: Sequential = clone_model(model)
    if model.compiled:
        trainer = model.trainer("fit")
        optimizer = trainer.optimizer
        made.compile(
            type(optimizer).from_config(optimizer.get_config()), copy.deepcopy(trainer.chosen) or "crossentropy",
            metrics=copy.deepcopy(trainer.metrics), weighted_metrics=copy.deepcopy(trainer.weighted_metrics),
            check_finite=trainer.finite, on_nan=trainer.on_nan,
        )  # fmt: skip
    return made


class SKLearnClassifier(ClassifierMixin, Wrapper):  # type: ignore[misc]
    """A ``Sequential`` as a classifier of scikit-learn: Keras's wrapper of the same name.

    Targets are encoded as the model takes them: as integers for the losses that take labels, 0 and 1 for two classes
    and one output, else one-hot. Fitting is a function of ``random_state`` and the data alone.

    Args:
        model: A ``Sequential``, or a function ``model(X, y, **model_kwargs)`` that returns one; ``y`` is one-hot there,
            one column a class. A model that is not compiled is, with ``"adam"`` and ``"crossentropy"``. Fitting trains
            a copy with fresh weights.
        warm_start: Let ``fit`` go on from the weights of the last one, the first from those that ``model`` has.
        model_kwargs: Further arguments of the function.
        fit_kwargs: Arguments of ``Sequential.fit``, which the estimator's ``fit`` takes too. ``verbose`` is 0 where
            nothing else is said. ``class_weight`` goes by the names of the classes, or is ``"balanced"``.
        random_state: What weights, orders of rows and dropout are a function of.

    Attributes:
        model_: The trained model.
        history_: Dict of loss and metrics, epoch by epoch.
        classes_: The classes, in the order of their numbers.
        n_features_in_, feature_names_in_: As in scikit-learn.
    """

    default_loss = "crossentropy"

    def fit(self, X: Any, y: Any, **kwargs: Any) -> Any:
        """Train on classes ``(rows,)``, or 0 and 1 in ``(rows, labels)``; ``kwargs``, such as ``sample_weight``, go to
        ``Sequential.fit``."""
        return self._fit(X, y, kwargs, once=False)

    def partial_fit(self, X: Any, y: Any, classes: Any = None, **kwargs: Any) -> Any:
        """Train for one epoch; the first call needs all ``classes``."""
        self._set(Classes.named("SKLearnClassifier", getattr(self, "_classes", None), y, classes))
        return self._fit(X, y, kwargs, once=True)

    def _learn(self, y: Array, once: bool) -> None:
        if not once:
            self._set(Classes.of("SKLearnClassifier", y))

    def _set(self, classes: Classes) -> None:
        if len(classes.labels) < 2 and not classes.several:
            raise ValueError(f"SKLearnClassifier: y must hold at least 2 classes. Received: 1 class, {classes.labels}.")
        self._classes, self.classes_ = classes, classes.labels

    def _wide(self, y: Array) -> Array:
        codes = self._classes.codes("SKLearnClassifier", y)
        return np.eye(len(self.classes_), dtype=np.float32)[codes] if codes.ndim == 1 else codes.astype(np.float32)

    def _outputs_wanted(self) -> tuple[int, ...]:
        count = len(self.classes_)
        return (1, 2) if count == 2 and not self._classes.several else (count,)

    def _targets(self, y: Array) -> Array:
        codes = self._classes.codes("SKLearnClassifier", y)
        if self._classes.several:
            return codes.astype(np.float32)
        if self.model_.output_shape[1] == 1:
            return codes.astype(np.float32)[:, None]
        loss = self.model_.loss
        return codes if loss is None or loss.target == "labels" else self._wide(y)

    def _fit_arguments(self, y: Array, given: dict[str, Any]) -> dict[str, Any]:
        arguments, owner = super()._fit_arguments(y, given), "SKLearnClassifier"
        class_weight = arguments.pop("class_weight", None)
        if class_weight is not None:
            by_class = self._classes.weights(owner, y, class_weight)
            arguments["sample_weight"] = weights_of(owner, len(y), arguments.get("sample_weight"), by_class)
        return arguments

    def predict(self, X: Any) -> Array:
        """The class of each row, or 0 and 1 for each label."""
        p = self._probabilities(X)
        return self._classes.decode(self._classes.decide(p))

    def predict_proba(self, X: Any) -> Array:
        """The probability of each class, in the order of ``classes_``, float32 ``(rows, classes)``."""
        p = self._probabilities(X)
        return self._classes.probabilities(p)

    def predict_log_proba(self, X: Any) -> Array:
        """The logarithm of ``predict_proba``."""
        p = self.predict_proba(X)
        with np.errstate(divide="ignore"):
            return np.log(p)

    def _probabilities(self, X: Any) -> Array:
        """The model's outputs, which a loss of logits asks to be made probabilities."""
        outputs = self._outputs(X)
        if not getattr(self.model_.loss, "from_logits", False):
            return outputs
        one_of_many = outputs.shape[1] > 1 and not self._classes.several
        return np.asarray(activations.softmax(outputs) if one_of_many else activations.sigmoid(outputs))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class SKLearnRegressor(RegressorMixin, Wrapper):  # type: ignore[misc]
    """A ``Sequential`` as a regressor of scikit-learn: Keras's wrapper of the same name.

    Args:
        model: A ``Sequential``, or a function ``model(X, y, **model_kwargs)`` that returns one; ``y`` has one column an
            output there. A model that is not compiled is, with ``"adam"`` and ``"mse"``. Fitting trains a copy with
            fresh weights.
        warm_start, model_kwargs, fit_kwargs, random_state: As in :class:`SKLearnClassifier`.

    Attributes:
        model_: The trained model.
        history_: Dict of loss and metrics, epoch by epoch.
        n_features_in_, feature_names_in_: As in scikit-learn.
    """

    default_loss = "mse"

    def fit(self, X: Any, y: Any, **kwargs: Any) -> Any:
        """Train on values ``(rows,)`` or ``(rows, outputs)``; ``kwargs``, such as ``sample_weight``, go to
        ``Sequential.fit``."""
        return self._fit(X, y, kwargs, once=False)

    def partial_fit(self, X: Any, y: Any, **kwargs: Any) -> Any:
        """Train for one epoch."""
        return self._fit(X, y, kwargs, once=True)

    def _learn(self, y: Array, once: bool) -> None:
        self._shape = y.shape[1:]
        self._real = np.float32 if y.dtype == np.float32 else np.float64

    def _wide(self, y: Array) -> Array:
        return y.reshape(len(y), -1)

    def _outputs_wanted(self) -> tuple[int, ...]:
        return (self._shape or (1,))[:1]

    def _targets(self, y: Array) -> Array:
        if y.shape[1:] != self._shape:
            raise ValueError(
                f"SKLearnRegressor: y must have shape {('rows', *self._shape)}, as before. Received: {y.shape}."
            )
        return self._wide(y)

    def predict(self, X: Any) -> Array:
        """The value of each row, in the shape of the targets: float32 where they were, else float64."""
        outputs = self._outputs(X).astype(self._real, copy=False)
        return outputs.reshape(len(outputs), *self._shape)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
