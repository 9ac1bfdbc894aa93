"""Keras's home of its wrappers for scikit-learn, which are in ``nncore.sklearn``."""

from nncore.sklearn.wrappers import SKLearnClassifier, SKLearnRegressor

__all__ = ["SKLearnClassifier", "SKLearnRegressor"]
