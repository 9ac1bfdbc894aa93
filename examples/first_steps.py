"""The smallest example: a network for 100 features and 10 classes, on data made up on the spot.

Run it with ``python first_steps.py``; it takes a second.
"""

import numpy as np

from nncore.layers import Dense
from nncore.models import Sequential
from nncore.utils import set_random_seed, to_categorical

# Ten points of 100 coordinates, and samples strewn around them: the class of a sample is the point it belongs to.
rng = np.random.default_rng(1)
points = rng.normal(size=(10, 100))
labels = rng.integers(0, 10, 5000)
x = points[labels] + rng.normal(scale=2.0, size=(5000, 100))
y = to_categorical(labels, 10)
x_train, y_train, x_test, y_test = x[:4000], y[:4000], x[4000:], y[4000:]

set_random_seed(1)
model = Sequential()
model.add(Dense(units=64, activation="relu", input_dim=100))
model.add(Dense(units=10, activation="softmax"))
model.compile(loss="categorical_crossentropy", optimizer="sgd", metrics=["accuracy"])
model.fit(x_train, y_train, epochs=5, batch_size=32)

loss, accuracy = model.evaluate(x_test, y_test, batch_size=128, verbose=0)
print(f"On data it has not seen: loss {loss:.3f}, accuracy {accuracy:.1%}")

classes = model.predict(x_test, batch_size=128, verbose=0)
print("The first ten: predicted", classes[:10].argmax(axis=1), "true", y_test[:10].argmax(axis=1))
