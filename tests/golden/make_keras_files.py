"""Makes the files ``keras-*`` here, with Keras 3.15.1 on torch: ``KERAS_BACKEND=torch python make_keras_files.py``.

``keras-files.json`` has what the models in them predict for ``x``, and what their weights are after one more epoch on
``x`` and ``y``, in batches of 4, rows in order. Weights are drawn anew each time, so all files belong together.
"""

import json
from pathlib import Path

import keras
import numpy as np
from keras import layers, optimizers, regularizers

HERE = Path(__file__).parent
x = np.linspace(-1, 1, 48).reshape(12, 4).astype("float32") ** 3
y = np.eye(3, dtype="float32")[np.arange(12) % 3]
how = {"batch_size": 4, "shuffle": False, "verbose": 0}


def classifier():
    """Layers of several kinds, one model inside; an optimizer in the middle of an accumulation."""
    scaler = layers.Normalization()
    scaler.adapt(x)
    inner = keras.Sequential([layers.Dense(4), layers.BatchNormalization()], name="inner")
    model = keras.Sequential([
        layers.Input((4,)), scaler, layers.Dense(5, "gelu", kernel_regularizer=regularizers.L2(0.01), name="mine"),
        layers.PReLU(), inner, layers.Dropout(0.0), layers.Dense(3, "softmax", kernel_constraint="max_norm"),
    ])  # fmt: skip
    optimizer = optimizers.RMSprop(
        0.01, momentum=0.5, centered=True, epsilon=1e-3, use_ema=True, gradient_accumulation_steps=2
    )
    model.compile(optimizer, keras.losses.CategoricalCrossentropy(label_smoothing=0.1), metrics=["accuracy", "auc"])
    model.fit(x, y, **how)
    return model


def chain():
    """The functional API, Nadam, a schedule."""
    inputs = keras.Input((4,), name="in")
    hidden = layers.LayerNormalization()(layers.Dense(5, "tanh")(inputs))
    model = keras.Model(inputs, layers.Dense(3, name="out")(hidden), name="chain")
    model.compile(optimizers.Nadam(optimizers.schedules.ExponentialDecay(0.02, 5, 0.5), epsilon=1e-3), "mse")
    model.fit(x, y, **how)
    return model


results = {"x": x.tolist(), "y": y.tolist()}
for name, model in (("classifier", classifier()), ("chain", chain())):
    model.save(HERE / f"keras-{name}.keras")
    model.save(HERE / f"keras-{name}.h5")
    predictions, evaluated = model.predict(x, verbose=0), model.evaluate(x, y, verbose=0)
    model.fit(x, y, **how)
    results[name] = {
        "predictions": predictions.tolist(), "evaluated": evaluated,
        "weights": [w.tolist() for w in model.get_weights()],
    }  # fmt: skip
(HERE / "keras-files.json").write_text(json.dumps(results))
