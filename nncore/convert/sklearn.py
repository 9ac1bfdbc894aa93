"""From scikit-learn: fitted perceptrons, also behind scalers. It needs no scikit-learn itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore.convert.place import place
from nncore.copies import clone_model
from nncore.layers import Dense, Input, Layer, Normalization
from nncore.models import Sequential

Array = np.ndarray[Any, Any]

ACTIVATIONS = {"identity": "linear", "logistic": "sigmoid", "relu": "relu", "softmax": "softmax", "tanh": "tanh"}
"""What scikit-learn calls an activation, and what it is called here."""

ESTIMATORS = ("MLPClassifier", "MLPRegressor")


def from_sklearn(estimator: Any) -> Sequential:
    """The model that predicts what a fitted ``MLPClassifier`` or ``MLPRegressor`` does, with its weights, in float32.

    Column i of its predictions is, for a classifier, the probability of ``classes_[i]``, as ``predict_proba`` gives it;
    of two classes there is one column, the probability of ``classes_[1]``. For several labels it is the probability of
    label i; for a regressor it is output i.

    Args:
        estimator: The fitted estimator, scikit-learn's or any of ``nncore.sklearn``, or a fitted ``Pipeline`` of
            scalers (``StandardScaler``, ``MinMaxScaler``, ``MaxAbsScaler``, ``RobustScaler``) that ends with one.

    Raises:
        ValueError: for another estimator, or one that is not fitted.
    """
    steps: list[tuple[str, Any]] = [("estimator", estimator)]
    if _kind(estimator) == "Pipeline":
        found = [(name, step) for name, step in estimator.steps if step is not None and step != "passthrough"]
        steps = found or steps
    made: list[Layer] = []
    shape: tuple[Any, ...] = ()
    weights: list[Array] = []
    for index, (name, step) in enumerate(steps):
        with place("from_sklearn", index, name, type(step).__name__):
            if index < len(steps) - 1:
                made.append(_scaling(step))
            else:
                shape, added, weights = _perceptron(step)
                made += added
    model = Sequential([Input(shape), *made])
    model.set_weights(weights)
    return model


def _kind(step: Any) -> str | None:
    """The class of scikit-learn that an estimator is of, or derived from."""
    return next((cls.__name__ for cls in type(step).__mro__ if cls.__module__.startswith("sklearn.")), None)


def _perceptron(step: Any) -> tuple[tuple[Any, ...], list[Layer], list[Array]]:
    """The shape of one sample, layers, and weights."""
    ours = type(step).__module__.startswith("nncore.sklearn.")
    if not ours and _kind(step) not in ESTIMATORS:
        raise ValueError("it must be an MLPClassifier or MLPRegressor, or a Pipeline that ends with one.")
    if not hasattr(step, "model_" if ours else "coefs_"):
        raise ValueError("it isn't fitted. Call fit first.")
    if ours:
        return step.model_.input_shape[1:], clone_model(step.model_).layers, step.model_.get_weights()
    names = [step.activation] * (len(step.coefs_) - 1) + [step.out_activation_]
    made: list[Layer] = [
        Dense(weight.shape[1], ACTIVATIONS[name]) for weight, name in zip(step.coefs_, names, strict=True)
    ]
    features = len(step.coefs_[0])
    return (features,), made, [array for pair in zip(step.coefs_, step.intercepts_, strict=True) for array in pair]


def _scaling(step: Any) -> Layer:
    """(x - center) / scale, one of each a feature."""
    kind = _kind(step)
    if kind not in ("StandardScaler", "MinMaxScaler", "MaxAbsScaler", "RobustScaler"):
        raise ValueError("nncore has no such step. Apply it to the data, and convert what comes behind it.")
    if not hasattr(step, "n_features_in_"):
        raise ValueError("it isn't fitted. Call fit first.")
    if getattr(step, "clip", False):
        raise ValueError("it cuts values off: clip=True.")
    scale = np.ones(step.n_features_in_) if step.scale_ is None else np.asarray(step.scale_)
    center = None
    if kind == "MinMaxScaler":  # it gives x scale_ + min_
        scale = 1 / scale
        center = -step.min_ * scale
    elif kind == "RobustScaler":
        center = step.center_
    elif kind == "StandardScaler" and step.with_mean:
        center = step.mean_
    return Normalization(mean=np.zeros(len(scale)) if center is None else center, variance=np.square(scale))
