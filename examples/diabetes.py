"""Regression: how far diabetes has progressed a year on, from ten measurements, from scikit-learn's data sets.

A small network with weight decay against ridge regression, on the same rows. Run it with ``python diabetes.py``; it
takes a second and needs ``pip install scikit-learn``.
"""

from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge
from sklearn.model_selection import train_test_split

from nncore.callbacks import EarlyStopping
from nncore.layers import Dense, Dropout, Input, Normalization
from nncore.models import Sequential
from nncore.optimizers import AdamW
from nncore.utils import set_random_seed

x, y = load_diabetes(return_X_y=True)
x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.2, random_state=0)
mean, scale = y_train.mean(), y_train.std()

set_random_seed(0)
normalization = Normalization()
normalization.adapt(x_train)
model = Sequential([Input((10,)), normalization, Dense(64, activation="gelu"), Dropout(0.2), Dense(1)])
model.compile(optimizer=AdamW(0.001, weight_decay=0.01), loss="mse", metrics=["mae", "R2Score"])
history = model.fit(
    x_train,
    ((y_train - mean) / scale)[:, None],
    epochs=300,
    batch_size=32,
    validation_split=0.15,
    callbacks=EarlyStopping(patience=60, restore_best_weights=True),
    verbose=0,
)
print(f"Trained for {len(history.epoch)} epochs")

loss, error, r2 = model.evaluate(x_test, ((y_test - mean) / scale)[:, None], verbose=0)
ridge = Ridge(0.1).fit(x_train, y_train)
print(f"On rows it has not seen: off by {error * scale:.1f} on average, R² {r2:.3f}")
print(f"Ridge regression:        off by {abs(ridge.predict(x_test) - y_test).mean():.1f} on average, "
      f"R² {ridge.score(x_test, y_test):.3f}")  # fmt: skip
