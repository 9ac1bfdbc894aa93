"""scikit-learn's estimators over nncore: its own multi-layer perceptrons by the same names, and any ``Sequential``.

They need ``pip install 'nncore[sklearn]'``; nothing else in nncore imports this package.
"""

try:
    import sklearn as _sklearn  # noqa: F401
except ImportError as error:
    raise ImportError("nncore.sklearn needs scikit-learn: pip install 'nncore[sklearn]'") from error

from nncore.sklearn.mlp import MLPClassifier, MLPRegressor
from nncore.sklearn.wrappers import SKLearnClassifier, SKLearnRegressor

__all__ = ["MLPClassifier", "MLPRegressor", "SKLearnClassifier", "SKLearnRegressor"]
