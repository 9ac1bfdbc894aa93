"""Tabular classification: 30 measurements of cell nuclei, malignant or benign, from scikit-learn's data sets.

Normalization learnt from the training rows, batch normalization, class weights for the rarer class, early stopping on
rows held out, and metrics that say more than accuracy. Run it with ``python breast_cancer.py``; it takes a second and
needs ``pip install scikit-learn``.
"""

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

from nncore.callbacks import EarlyStopping, ReduceLROnPlateau
from nncore.layers import Activation, BatchNormalization, Dense, Dropout, Input, Normalization
from nncore.models import Sequential
from nncore.optimizers import Adam
from nncore.utils import set_random_seed

x, benign = load_breast_cancer(return_X_y=True)
y = 1 - benign  # 1: malignant, the class that must not be missed
x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.25, random_state=0, stratify=y)

set_random_seed(0)
normalization = Normalization()
normalization.adapt(x_train)
model = Sequential(
    [
        Input((30,)),
        normalization,
        Dense(32, use_bias=False),
        BatchNormalization(),
        Activation("relu"),
        Dropout(0.3),
        Dense(1, activation="sigmoid"),
    ]
)
model.summary()
model.compile(optimizer=Adam(0.01), loss="binary_crossentropy", metrics=["accuracy", "AUC", "Recall"])

share = y_train.mean()
history = model.fit(
    x_train,
    y_train,
    epochs=200,
    batch_size=32,
    validation_split=0.2,
    class_weight={0: 0.5 / (1 - share), 1: 0.5 / share},  # both classes weigh the same in all
    callbacks=[EarlyStopping(patience=20, restore_best_weights=True), ReduceLROnPlateau(patience=8, factor=0.3)],
    verbose=0,
)
best = int(np.argmin(history.history["val_loss"])) + 1
print(f"Stopped after {len(history.epoch)} epochs; the best was epoch {best}")

scores = model.evaluate(x_test, y_test, verbose=0, return_dict=True)
print(f"Test accuracy: {scores['accuracy']:.1%}, area under the curve: {scores['AUC']:.3f}")
missed = np.flatnonzero((model.predict(x_test, verbose=0)[:, 0] <= 0.5) & (y_test == 1))
print(f"Malignant samples found: {scores['Recall']:.1%} ({len(missed)} of {y_test.sum()} missed)")
