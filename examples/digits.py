"""Handwritten digits: 1,442 images to learn from, 355 to be tested on.

Run it with ``python digits.py``; it takes a second. The data set comes with nncore.
"""

from nncore.datasets import digits
from nncore.layers import Dense, Flatten, Input, Rescaling
from nncore.models import Sequential
from nncore.utils import set_random_seed

(x_train, y_train), (x_test, y_test) = digits.load_data()

set_random_seed(0)
model = Sequential(
    [
        Input(shape=(8, 8)),
        Flatten(),
        Rescaling(1 / 16),  # pixels are 0 to 16
        Dense(64, activation="relu"),
        Dense(10, activation="softmax"),
    ]
)
model.summary()
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x_train, y_train, epochs=30, batch_size=32)

loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
print(f"Test accuracy: {accuracy:.1%}")

probabilities = model.predict(x_test, verbose=0)
wrong = [i for i, p in enumerate(probabilities) if p.argmax() != y_test[i]]
for i in wrong:
    guess = probabilities[i].argmax()
    print(f"Image {i}: {y_test[i]} taken for {guess} ({probabilities[i][guess]:.0%} sure)")
