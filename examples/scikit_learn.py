"""nncore inside scikit-learn: one of its pipelines, a search over networks, and files of what was found.

The data are 178 Italian wines of three growers, told apart by 13 measurements. Run it with ``python scikit_learn.py``;
it takes seconds and needs ``pip install 'nncore[sklearn]'``.
"""

import joblib
import numpy as np
from sklearn.datasets import load_wine
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from nncore.layers import BatchNormalization, Dense, Dropout
from nncore.models import Sequential
from nncore.sklearn import MLPClassifier, SKLearnClassifier

wines = load_wine(as_frame=True)
names = wines.target_names[wines.target]
x_train, x_test, y_train, y_test = train_test_split(wines.data, names, random_state=0, stratify=names)

# scikit-learn's own perceptron: only the import differs.
perceptron = make_pipeline(
    StandardScaler(), MLPClassifier((32,), solver="lbfgs", alpha=1.0, max_iter=500, random_state=0)
)
print(f"Perceptron, cross-validated: {cross_val_score(perceptron, x_train, y_train, cv=5).mean():.1%}")


# Any Sequential, from a function that makes it for the data.
def network(X, y, units=16, rate=0.0):
    layers = [Dense(units), BatchNormalization(), Dropout(rate), Dense(y.shape[1], activation="softmax")]
    model = Sequential(layers)
    model.compile(optimizer="adamw", loss="categorical_crossentropy")
    return model


classifier = SKLearnClassifier(network, fit_kwargs={"epochs": 60, "batch_size": 16}, random_state=0)
search = GridSearchCV(
    make_pipeline(StandardScaler(), classifier),
    {"sklearnclassifier__model_kwargs": [{"units": u, "rate": r} for u in (4, 32) for r in (0.0, 0.3)]},
    cv=5,
)
search.fit(x_train, y_train)
print(f"Best network: {search.best_params_['sklearnclassifier__model_kwargs']}, {search.best_score_:.1%}")

joblib.dump(search.best_estimator_, "wines.joblib")
found = joblib.load("wines.joblib")
right = int(np.sum(found.predict(x_test) == y_test))
print(f"Test accuracy: {right / len(y_test):.1%} ({right} of {len(y_test)} right)")
