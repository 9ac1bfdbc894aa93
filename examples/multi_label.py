"""Several answers at once: which of five shapes of a curve a noisy signal is made of; none, one or all of them.

Every output is a yes or no of its own, so the last layer is sigmoid and the loss binary cross-entropy. Run it with
``python multi_label.py``; it takes a second.
"""

import numpy as np

from nncore.layers import Dense, Input, LayerNormalization
from nncore.metrics import F1Score
from nncore.models import Sequential
from nncore.optimizers import Adam
from nncore.optimizers.schedules import CosineDecay
from nncore.utils import set_random_seed

NAMES = ["trend", "slow wave", "fast wave", "step", "spike"]
t = np.linspace(0, 1, 64)
SHAPES = np.stack(
    [t, np.sin(2 * np.pi * t), np.sin(16 * np.pi * t), np.where(t > 0.5, 1, -1), np.exp(-(((t - 0.3) / 0.03) ** 2))]
)

rng = np.random.default_rng(0)
present = rng.random((6000, 5)) < 0.4
strength = rng.uniform(0.5, 1.5, (6000, 5)) * rng.choice([-1, 1], (6000, 5))
signals = (present * strength) @ SHAPES + rng.normal(scale=0.5, size=(6000, 64))
x_train, x_test, y_train, y_test = signals[:5000], signals[5000:], present[:5000], present[5000:]

set_random_seed(0)
model = Sequential(
    [
        Input((64,)),
        Dense(64, activation="silu"),
        LayerNormalization(),
        Dense(32, activation="silu"),
        Dense(5, activation="sigmoid"),
    ]
)
batches = 5000 // 50 * 15
model.compile(
    optimizer=Adam(CosineDecay(0.003, batches)),
    loss="binary_crossentropy",
    metrics=["binary_accuracy", F1Score(average="macro", threshold=0.5)],
)
model.fit(x_train, y_train, epochs=15, batch_size=50, verbose=2)

probabilities = model.predict(x_test, verbose=0)
for name, p, true in zip(NAMES, probabilities.T, y_test.T, strict=True):
    print(f"{name:9} right in {((p > 0.5) == true).mean():.1%} of signals")
print(f"all five right: {((probabilities > 0.5) == y_test).all(axis=1).mean():.1%}")
for p, true in zip(probabilities[:3], y_test[:3], strict=True):
    said = ", ".join(f"{name} {share:.0%}" for name, share in zip(NAMES, p, strict=True) if share > 0.5) or "nothing"
    print(f"A signal of {', '.join(np.array(NAMES)[true]) or 'noise alone'}: found {said}")
