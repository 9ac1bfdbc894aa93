"""Fashion-MNIST, with batch normalization, a learning rate that falls along a cosine, and pictures: the curves of the
training, and what the network makes of the first test images.

Run it with ``python fashion_mnist.py``; it takes about a minute, and the first time downloads 31 MB. The pictures need
matplotlib: ``pip install "nncore[plot]"``.
"""

from nncore import plot
from nncore.datasets import fashion_mnist
from nncore.layers import Activation, BatchNormalization, Dense, Dropout, Flatten, Input, Rescaling
from nncore.models import Sequential
from nncore.optimizers import Adam
from nncore.optimizers.schedules import CosineDecay
from nncore.utils import set_random_seed

(x_train, y_train), (x_test, y_test) = fashion_mnist.load_data()

set_random_seed(0)
model = Sequential(
    [
        Input(shape=(28, 28)),
        Flatten(),
        Rescaling(1 / 255),
        Dense(256, use_bias=False),  # the normalization has an offset of its own
        BatchNormalization(),
        Activation("relu"),
        Dropout(0.3),
        Dense(128, use_bias=False),
        BatchNormalization(),
        Activation("relu"),
        Dropout(0.3),
        Dense(10, activation="softmax"),
    ]
)
model.summary()
EPOCHS, BATCH = 15, 128
steps = EPOCHS * -(-len(x_train) * 9 // 10 // BATCH)
optimizer = Adam(CosineDecay(0.003, steps))
model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
# The last tenth of the training images is not trained on: its curves show when the network begins to learn by heart.
history = model.fit(x_train, y_train, epochs=EPOCHS, batch_size=BATCH, validation_split=0.1)

loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
print(f"Test accuracy: {accuracy:.1%}")

plot.history(history, "fashion_mnist_curves.png")
plot.predictions(model, x_test, y_test, class_names=fashion_mnist.CLASS_NAMES, path="fashion_mnist_predictions.png")
print("Wrote fashion_mnist_curves.png and fashion_mnist_predictions.png")
