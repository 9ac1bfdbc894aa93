"""An autoencoder: digits squeezed through 8 numbers and drawn again from those, as a picture.

The network is trained to give back what it was given; the 8 values in its middle are all that the second half sees.
Run it with ``python autoencoder.py``; it takes a few seconds and needs matplotlib: ``pip install "nncore[plot]"``.
"""

import numpy as np

from nncore import plot
from nncore.datasets import digits
from nncore.layers import Dense, Flatten, GaussianNoise, Input, Rescaling, Reshape
from nncore.models import Sequential
from nncore.utils import set_random_seed

(x_train, y_train), (x_test, y_test) = digits.load_data()

set_random_seed(0)
encoder = [Rescaling(1 / 16), Flatten(), GaussianNoise(0.1), Dense(48, "selu"), Dense(8, "tanh", name="code")]
decoder = [Dense(48, "selu"), Dense(64, "sigmoid"), Reshape((8, 8))]
model = Sequential([Input((8, 8)), *encoder, *decoder])
model.compile(optimizer="nadam", loss="binary_crossentropy", metrics=["mae"])
history = model.fit(x_train, x_train / 16, epochs=100, batch_size=32, validation_data=(x_test, x_test / 16), verbose=0)
print(f"mean error of a pixel: {history.history['val_mae'][0]:.3f} after one epoch, "
      f"{history.history['val_mae'][-1]:.3f} at the end")  # fmt: skip

codes = Sequential([Input((8, 8)), *model.layers[: len(encoder)]]).predict(x_test, verbose=0)
print(f"64 pixels of the first test digit, a {y_test[0]}, as 8 numbers:", np.round(codes[0], 2))

drawn = model.predict(x_test, verbose=0)
plot.images({"given": x_test / 16, "drawn again": drawn}, path="autoencoder.png")
print("Wrote autoencoder.png")
