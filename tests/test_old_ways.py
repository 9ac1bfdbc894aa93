"""Whole small programs as people write them for Keras 1, 2 and 3: each runs without a warning and does what it should.

Every program starts with the lines of ``START`` and ends in assertions of its own.
"""

from __future__ import annotations

import linecache
from pathlib import Path
from typing import Any

import pytest

START = """
import numpy as np
from nncore import callbacks, initializers, layers, losses, metrics, models, optimizers, utils
from nncore import backend as K
from nncore.layers import *
from nncore.models import Sequential

utils.set_random_seed(7)
rng = np.random.default_rng(0)
x = rng.normal(size=(96, 4)).astype("float32")
y = (x[:, 0] > 0).astype("int64") + (x[:, 1] > 0)
hot = utils.to_categorical(y, 3)
yes = (x[:, 0] > 0).astype("int64")
value = x @ np.array([1.0, -2.0, 0.5, 0.0], "float32")


def learns(model, x=x, y=hot, epochs=4, **kwargs):
    history = model.fit(x, y, epochs=epochs, verbose=0, **kwargs).history
    assert history["loss"][-1] < history["loss"][0]
    return history
"""

PROGRAMS = {
    # The first layer.
    "input_dim": """
model = Sequential()
model.add(Dense(8, input_dim=4, activation='relu'))
model.add(Dense(3, activation='softmax'))
model.compile(loss='categorical_crossentropy', optimizer='adam', metrics=['accuracy'])
model.fit(x, hot, epochs=5, verbose=2, shuffle=True)
assert model.input_shape == (None, 4) and 0 <= model.evaluate(x, hot, verbose=0)[1] <= 1
""",
    "input_shape": """
model = Sequential([Dense(8, input_shape=(4,)), Activation('relu'), Dense(3), Activation('softmax')])
model.compile('sgd', 'categorical_crossentropy')
learns(model)
""",
    "batch_input_shape": """
model = Sequential([Dense(8, batch_input_shape=(None, 4)), Dense(1)])
model.compile('sgd', 'mse')
learns(model, y=value)
model = Sequential([Dense(8, batch_input_shape=(32, 4)), Dense(1)])
assert model.input_shape == (None, 4)
""",
    "input_length": """
model = Sequential()
model.add(Embedding(10, 4, input_length=6))
model.add(Flatten())
model.add(Dense(1, activation='sigmoid'))
model.compile(optimizer='rmsprop', loss='binary_crossentropy', metrics=['acc'])
ids = rng.integers(0, 10, size=(50, 6))
assert model.output_shape == (None, 1) and model.layers[0].output_shape == (None, 6, 4)
model.summary()
learns(model, ids, (ids[:, 0] > 4).astype(int))
""",
    "Input": """
model = Sequential([Input(shape=(4,)), Dense(3)])
assert Sequential([InputLayer(input_shape=(4,)), Dense(3)]).count_params() == model.count_params() == 15
""",
    "unbuilt": """
model = Sequential()
model.add(layers.Dense(5, activation='tanh'))
model.add(layers.Dense(1))
model.compile('rmsprop', 'mse', ['mae'])
assert list(learns(model, y=value)) == ['mae', 'loss'] or set(model.history.history) == {'loss', 'mae'}
model.summary()
""",
    # compile.
    "lr": """
for kind in (optimizers.SGD, optimizers.Adam, optimizers.RMSprop, optimizers.Adagrad):
    assert kind(lr=0.5).learning_rate == 0.5
assert optimizers.SGD(0.25, momentum=0.9, nesterov=True).lr == 0.25
""",
    "acc": """
model = Sequential([Dense(3, 'softmax', input_dim=4)])
model.compile(optimizer=optimizers.Adam(lr=0.01), loss='sparse_categorical_crossentropy', metrics=['acc'])
history = model.fit(x, y, validation_split=0.25, epochs=2, verbose=0)
assert set(history.history) == {'loss', 'acc', 'val_loss', 'val_acc'} and history.epoch == [0, 1]
""",
    "metrics in a string": """
model = Sequential([Dense(3, 'softmax', input_dim=4)])
model.compile('adam', 'sparse_categorical_crossentropy', metrics='accuracy')
assert 'accuracy' in learns(model, y=y)
""",
    "names in any case": """
model = Sequential([Dense(8, 'ReLU', kernel_initializer='Glorot_Uniform', input_dim=4),
                    Dense(8, 'Tanh', kernel_initializer='He_Normal', bias_initializer='Zeros'),
                    Dense(8, 'SELU', kernel_initializer='LecunNormal', kernel_regularizer='L2'),
                    Dense(8, 'elu', kernel_initializer='Uniform', kernel_constraint='NonNeg'),
                    Dense(8, 'elu', kernel_initializer='normal', bias_initializer='one'), Dense(3, 'Softmax')])
for optimizer in ('Adam', 'RMSProp', 'SGD', 'AdaGrad', 'Nadam'):
    model.compile(optimizer, 'Categorical_Crossentropy', ['Accuracy', 'MSE'])
    assert set(model.fit(x, hot, verbose=0).history) == {'loss', 'Accuracy', 'MSE'}
model.compile('adam', 'MSE')
model.compile('adam', 'KLD')
""",
    "no optimizer": """
model = Sequential([Dense(1, input_dim=4)])
model.compile(loss='mse')
assert type(model.optimizer).__name__ == 'RMSprop'
learns(model, y=value)
""",
    "positional": """
model = Sequential([Dense(3, 'softmax', input_dim=4)])
model.compile('adam', 'mse', None, ['accuracy', 'mae'])
assert set(model.fit(x, hot, 16, 2, 0).history) == {'loss', 'accuracy', 'mae'}
""",
    "losses as functions": """
model = Sequential([Dense(1, input_dim=4)])
model.compile(optimizers.SGD(), losses.mean_squared_error, [metrics.mae, losses.mse])
assert set(learns(model, y=value)) == {'loss', 'mean_absolute_error', 'mean_squared_error'}
""",
    # fit.
    "one callback": """
model = Sequential([Dense(1, input_dim=4)])
model.compile('sgd', 'mse')
model.fit(x, value, epochs=9, callbacks=callbacks.EarlyStopping('loss', min_delta=1e9), verbose=0)
assert model.history.epoch == [0, 1]
""",
    "validation_data": """
model = Sequential([Dense(3, 'softmax', input_dim=4)])
model.compile('sgd', 'categorical_crossentropy')
found = [learns(model, validation_data=given, epochs=2)['val_loss'][-1] for given in (
    [x, hot], (x, hot), (x, hot, np.full(96, 0.5)))]
assert found[2] < found[0]
""",
    "class weights": """
model = Sequential([Dense(3, 'softmax', input_dim=4)])
model.compile('sgd', 'categorical_crossentropy')
learns(model, class_weight={0: 1., 1: 2., 2: 1.})
refused(ValueError, 'class_weight must be a dict', model.fit, x, hot, class_weight='auto', verbose=0)
refused(TypeError, 'nb_epoch', model.fit, x, hot, nb_epoch=3)
""",
    "generators": """
def batches():
    while True:
        i = rng.integers(0, 96, 16)
        yield x[i], hot[i]

model = Sequential([Dense(3, 'softmax', input_dim=4)])
model.compile('sgd', 'categorical_crossentropy')
model.fit(batches(), steps_per_epoch=6, epochs=2, validation_data=batches(), validation_steps=2, verbose=0)
assert len(model.history.history['val_loss']) == 2
refused(AttributeError, 'fit', lambda: model.fit_generator)
""",
    # Data.
    "a vector": """
model = Sequential([Dense(1, input_shape=(1,))])
model.compile('sgd', 'mse')
t = np.linspace(-1, 1, 50)
learns(model, t, 3 * t + 1)
assert model.predict(t, verbose=0).shape == (50, 1) and model.predict(np.array([10.0]), verbose=0).shape == (1, 1)
model = Sequential([Dense(1)])
model.compile('sgd', 'mse')
learns(model, [1.0, 2.0, 3.0], [2.0, 4.0, 6.0])
""",
    "pandas": """
import pandas as pd
frame = pd.DataFrame(x, columns=list('abcd')).assign(flag=x[:, 0] > 0, target=yes)
features, target = frame.drop(columns='target'), frame['target']
model = Sequential([Dense(6, 'relu', input_dim=features.shape[1]), Dense(1, 'sigmoid')])
model.compile('adam', 'binary_crossentropy', ['accuracy'])
learns(model, features, target, validation_data=(features[:20], target[:20]))
assert model.predict(features.iloc[:3], verbose=0).shape == (3, 1)
model.evaluate(features.values, target.values, verbose=0)
model.fit(features, frame[['target']], verbose=0)
model.fit(features, target.astype(bool), verbose=0)
""",
    "lists and bools": """
model = Sequential([Dense(8, 'relu', input_dim=2), Dense(1, 'sigmoid')])
model.compile('adam', 'binary_crossentropy', ['accuracy'])
pairs, xor = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
model.fit(pairs, xor, epochs=2, verbose=0)
model.fit(np.array(pairs, bool), np.array(xor, bool), epochs=2, verbose=0)
assert (model.predict(pairs, verbose=0) > 0.5).astype(int).shape == (4, 1)
""",
    # Models of models.
    "softmax put on top": """
model = Sequential([Flatten(input_shape=(2, 2)), Dense(8, 'relu'), Dropout(0.2), Dense(3)])
model.compile('adam', losses.SparseCategoricalCrossentropy(from_logits=True), ['accuracy'])
pictures = x.reshape(-1, 2, 2)
learns(model, pictures, y)
probability_model = Sequential([model, Softmax()])
assert np.allclose(probability_model.predict(pictures, verbose=0).sum(1), 1, atol=1e-6)
assert np.allclose(probability_model(pictures[:5]).numpy().sum(1), 1, atol=1e-6)
assert model(pictures[:1]).numpy().shape == (1, 3)
probability_model.summary()
""",
    "without the last layer": """
other = Sequential([Dense(8, 'relu', input_dim=4), Dense(3, 'softmax')])
features = Sequential(other.layers[:-1])
assert features.predict(x, verbose=0).shape == (96, 8)
model = Sequential()
model.add(features)
features.trainable = False
model.add(Dense(3, 'softmax'))
model.compile('sgd', 'categorical_crossentropy')
before = other.get_weights()
learns(model)
assert all((a == b).all() for a, b in zip(before, other.get_weights()))
model.summary(expand_nested=True)
""",
    "inside a model": """
model = Sequential([Dense(8, input_dim=4, name='hidden'), Dense(3)])
weights, biases = model.layers[0].get_weights()
assert weights.shape == (4, 8) and biases.shape == (8,)
assert [layer.output_shape for layer in model.layers] == [(None, 8), (None, 3)]
assert [layer.input_shape for layer in model.layers] == [(None, 4), (None, 8)]
assert model.layers[0].output.shape == (None, 8) and model.layers[1].input.shape == (None, 8)
assert model.input.shape == (None, 4) and model.output.shape == (None, 3)
assert model.inputs[0].shape == (None, 4) and model.outputs[0].shape == (None, 3)
assert model.get_layer('hidden').kernel.numpy().shape == (4, 8)
refused(AttributeError, "isn't built", lambda: Dense(3).output)
model.layers[0].set_weights([np.ones((4, 8)), np.zeros(8)])
assert np.allclose(model.layers[0](x).numpy(), x.sum(1, keepdims=True), atol=1e-5)
""",
    # Layers of one's own.
    "Monte Carlo dropout": """
class MCDropout(Dropout):
    def call(self, inputs):
        return super().call(inputs, training=True)

model = Sequential([Dense(32, 'relu', input_dim=4), MCDropout(rate=0.5), Dense(3, 'softmax')])
model.compile(loss='sparse_categorical_crossentropy', optimizer='nadam')
learns(model, y=y)
draws = np.stack([model(x, training=True).numpy() for _ in range(3)])
assert draws.std(axis=0).max() > 0
assert (model.predict(x, verbose=0) != model.predict(x, verbose=0)).any()
model.summary()
""",
    "a layer of Keras 2": """
class MyLayer(Layer):
    def __init__(self, output_dim, **kwargs):
        self.output_dim = output_dim
        super(MyLayer, self).__init__(**kwargs)

    def build(self, input_shape):
        self.kernel = self.add_weight(name='kernel', shape=(input_shape[1], self.output_dim),
                                      initializer='uniform', trainable=True)
        super(MyLayer, self).build(input_shape)

    def call(self, x):
        return K.dot(x, self.kernel)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.output_dim)

model = Sequential([MyLayer(8, input_shape=(4,)), Activation('relu'), MyLayer(1)])
model.compile('adam', 'mse')
learns(model, y=value)
model.summary()
assert model.count_params() == 40
""",
    "a layer of Keras 3": """
class Linear(Layer):
    def __init__(self, units=32, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        self.w = self.add_weight(shape=(input_shape[-1], self.units), initializer="random_normal", trainable=True)
        self.b = self.add_weight(shape=(self.units,), initializer="zeros", trainable=True)
        self.built = True

    def call(self, inputs):
        return inputs @ self.w + self.b

    def get_config(self):
        return {**super().get_config(), "units": self.units}

model = Sequential([Input((4,)), Linear(6), ReLU(), Linear(1)])
model.compile('adam', 'mse')
learns(model, y=value)
assert Linear.from_config(model.layers[0].get_config()).units == 6
layer = Linear(2)
assert layer(np.ones((2, 2))).numpy().shape == (2, 2) and len(layer.weights) == 2
""",
    "weights made at once": """
class Linear(Layer):
    def __init__(self, units=32, input_dim=32):
        super().__init__()
        self.w = self.add_weight(shape=(input_dim, units), initializer="random_normal", trainable=True)
        self.b = self.add_weight(shape=(units,), initializer="zeros", trainable=True)

    def call(self, inputs):
        return np.dot(inputs, self.w) + self.b

model = Sequential([Linear(6, 4), Linear(1, 6)])
model.compile('adam', 'mse')
learns(model, y=value)
assert model.count_params() == 37
""",
    "add_weight in every order": """
class Scales(Layer):
    def build(self, input_shape):
        n = input_shape[-1]
        ways = [
            self.add_weight("a", shape=(n,), initializer="ones", trainable=True),
            self.add_weight("b", (n,), initializer="ones"),
            self.add_weight((n,), "ones", name="c"),
            self.add_weight(shape=[n], initializer=initializers.Ones(), dtype="float32", name="d", regularizer="l2"),
            self.add_weight(name="e", shape=(n,), dtype=np.float32, initializer="one", trainable=False),
            self.add_weight((n,), initializer=lambda shape, dtype=None: np.ones(shape), name="f"),
        ]
        self.ways = ways

    def call(self, x):
        for weight in self.ways:
            x = x * weight
        return x

model = Sequential([Scales(input_dim=4), Dense(1)])
assert [v.name for v in model.layers[0].weights] == list("abcdfe")
assert all((v.numpy() == 1).all() for v in model.layers[0].weights)
model.compile('sgd', 'mse')
learns(model, y=value)
""",
    "Lambda's work": """
class Half(Layer):
    def call(self, inputs, training=None):
        return inputs / 2 if training else inputs * 0.5

model = Sequential([Half(input_shape=(4,)), Dense(1, activation=lambda t: np.tanh(t) * 3)])
model.compile('sgd', 'mse')
learns(model, y=value)
""",
    # Learning rates.
    "set_value": """
class Halve(callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        assert hasattr(self.model.optimizer, 'lr')
        lr = float(K.get_value(self.model.optimizer.lr))
        seen.append(lr)
        K.set_value(self.model.optimizer.lr, lr * 0.5)
        assert self.model.optimizer.learning_rate.numpy() == lr * 0.5

seen = []
model = Sequential([Dense(1, input_dim=4)])
model.compile(optimizers.SGD(lr=0.5), 'mse')
model.fit(x, value, epochs=3, verbose=0, callbacks=[Halve()])
assert seen == [0.5, 0.25, 0.125] and model.optimizer.lr == 0.0625
kernel = model.layers[0].kernel
K.set_value(kernel, np.ones((4, 1)))
assert K.get_value(kernel).tolist() == [[1.0]] * 4
""",
    "rates by assignment": """
class Rates(callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.model.optimizer.lr = 0.1
        self.model.optimizer.learning_rate = 0.1 / (epoch + 1)

    def on_epoch_end(self, epoch, logs={}):
        seen.append((float(self.model.optimizer.lr), logs.get('loss')))

seen = []
model = Sequential([Dense(1, input_dim=4)])
model.compile('sgd', 'mse')
learns(model, y=value, epochs=2, callbacks=[Rates(), callbacks.LearningRateScheduler(lambda epoch, lr: lr / 2)])
assert [rate for rate, _ in seen] == [0.05, 0.025] and seen[1][1] < seen[0][1]
model.optimizer.learning_rate.assign(0.25)
assert model.optimizer.lr == 0.25 and f'{model.optimizer.lr:.3f}' == '0.250'
""",
    # Losses and metrics of one's own.
    "a loss of K": """
def custom_mse(y_true, y_pred):
    return K.mean(K.square(y_pred - y_true), axis=-1)

def rmse(y_true, y_pred):
    return K.sqrt(K.mean(K.square(y_pred - y_true), axis=-1))

model = Sequential([Dense(6, 'tanh', input_dim=4), Dense(1)])
model.compile('sgd', loss=custom_mse, metrics=[rmse, 'mse'])
history = learns(model, y=value)
assert 'rmse' in history and np.allclose(history['loss'], history['mse'], rtol=1e-4)
assert not any(i.function for i in model.program.instructions)
""",
    "everything of K in a loss": """
def loss(y_true, y_pred):
    p = K.clip(K.sigmoid(y_pred), K.epsilon(), 1 - K.epsilon())
    y_true = K.cast(y_true, K.floatx())
    entropy = -(y_true * K.log(p) + (1 - y_true) * K.log(1 - p))
    rest = K.abs(y_pred) + K.tanh(y_pred) + K.softplus(y_pred) + K.pow(y_pred, 2) + K.exp(-K.square(y_pred))
    return K.mean(entropy, axis=-1) + 0.001 * K.sum(K.maximum(rest, 0.0) - K.minimum(y_pred, y_true), axis=-1)

model = Sequential([Dense(6, 'tanh', input_dim=4), Dense(1)])
model.compile('sgd', loss=loss)
learns(model, y=yes)
assert not any(i.function for i in model.program.instructions)
whole = loss(yes[:, None].astype('float32'), model.predict(x, verbose=0))
assert whole.shape == (96,) and np.allclose(whole.mean(), model.evaluate(x, yes, verbose=0), atol=1e-5)
""",
    "a loss with arguments": """
def weighted(alpha):
    def loss(y_true, y_pred):
        error = y_true - y_pred
        return K.mean(K.maximum(alpha * error, (alpha - 1) * error), axis=-1)
    return loss

model = Sequential([Dense(1, input_dim=4)])
model.compile(loss=weighted(0.9), optimizer='adam')
learns(model, y=value)
model.compile(loss=lambda y_true, y_pred: K.mean(K.abs(y_true - y_pred)), optimizer='adam')
learns(model, y=value)
""",
    "metrics of K": """
def recall(y_true, y_pred):
    true_positives = K.sum(K.round(K.clip(y_true * y_pred, 0, 1)))
    possible_positives = K.sum(K.round(K.clip(y_true, 0, 1)))
    return true_positives / (possible_positives + K.epsilon())

def agreement(y_true, y_pred):
    return K.mean(K.equal(K.argmax(y_true, axis=-1), K.argmax(y_pred, axis=-1)))

def overlap(y_true, y_pred):
    a, b = K.flatten(y_true), K.flatten(K.cast(K.greater(y_pred, 0.5), K.floatx()))
    return (2. * K.sum(a * b) + 1) / (K.sum(a) + K.sum(b) + 1)

model = Sequential([Dense(3, 'softmax', input_dim=4)])
own = [recall, agreement, overlap, metrics.categorical_accuracy, 'accuracy']
model.compile('adam', 'categorical_crossentropy', metrics=own)
history = learns(model)
assert np.allclose(history['agreement'], history['accuracy'])
found = model.evaluate(x, hot, batch_size=96, verbose=0, return_dict=True)
p = model.predict(x, verbose=0)
assert np.isclose(found['recall'], ((p > 0.5) * hot).sum() / 96, atol=1e-5)
""",
    "K on arrays": """
assert K.epsilon() == 1e-7 and K.floatx() == 'float32'
a = np.array([[1.0, -2.0], [3.0, 0.5]], 'float32')
assert K.mean(a).item() == 0.625 and K.sum(a, axis=1, keepdims=True).shape == (2, 1)
assert K.max(a) == 3 and K.min(a, axis=-1).tolist() == [-2, 0.5]
assert K.cast([1, 2], 'float32').dtype == 'float32' and K.cast(a, 'int32').tolist() == [[1, -2], [3, 0]]
assert K.round(np.array([0.5, 1.5, 2.4])).tolist() == [0, 2, 2]
assert np.allclose(K.sigmoid(a), 1 / (1 + np.exp(-a))) and K.pow(a, 2)[0, 1] == 4
assert K.flatten(a).tolist() == [1, -2, 3, 0.5] and K.dot(a, a).shape == (2, 2)
v = K.variable([1.0, 2.0], name='v')
K.set_value(v, [3.0, 4.0])
assert K.eval(v).tolist() == [3, 4] and K.shape(a) == (2, 2) and K.ndim(a) == 2 and K.int_shape(a) == (2, 2)
K.clear_session()
assert Dense(3).name == 'dense' and Dense(3).name == 'dense_1'
K.clear_session()
assert Dense(3).name == 'dense'
""",
    # Around models.
    "texts": """
from nncore.preprocessing.sequence import pad_sequences
from nncore.preprocessing.text import Tokenizer
from nncore.utils import np_utils
texts, labels = ['a good film', 'a bad film', 'good good', 'so bad', 'very good', 'very bad'], [1, 0, 1, 0, 1, 0]
tokenizer = Tokenizer(num_words=20)
tokenizer.fit_on_texts(texts)
bags = tokenizer.texts_to_matrix(texts, mode='binary')
model = Sequential()
model.add(Dense(8, input_shape=(20,)))
model.add(Activation('relu'))
model.add(Dropout(0.5))
model.add(Dense(2))
model.add(Activation('softmax'))
model.compile(loss='categorical_crossentropy', optimizer=optimizers.Adam(lr=0.05), metrics=['accuracy'])
model.fit(bags, np_utils.to_categorical(labels, 2), batch_size=2, epochs=40, verbose=0)
assert model.evaluate(bags, utils.to_categorical(labels), verbose=0)[1] == 1.0
assert model.predict(bags, verbose=0).argmax(axis=-1).tolist() == labels
padded = pad_sequences(tokenizer.texts_to_sequences(texts), maxlen=4, padding='post')
assert padded.shape == (6, 4)
""",
    "checkpoints": """
import os
model = Sequential([Dense(3, 'softmax', input_dim=4)])
model.compile('adam', 'categorical_crossentropy')
for name in ('best.hdf5', 'best.h5', 'weights.{epoch:02d}-{val_loss:.2f}.hdf5', 'best.weights.h5'):
    keep = callbacks.ModelCheckpoint(filepath=os.path.join(folder, name), monitor='val_loss', verbose=0,
                                     save_best_only=True, save_weights_only=True, mode='min')
    model.fit(x, hot, validation_data=(x, hot), epochs=2, verbose=0, callbacks=[keep])
before = model.predict(x, verbose=0)
for name in ('best.hdf5', 'best.h5', 'best.weights.h5'):
    assert os.path.exists(os.path.join(folder, name))
    model.load_weights(os.path.join(folder, name))
assert (model.predict(x, verbose=0) == before).all()
""",
    "old homes": """
import nncore
from nncore.layers.core import Dense, Dropout, Activation, Flatten
from nncore.layers.advanced_activations import LeakyReLU, PReLU
from nncore.layers.normalization import BatchNormalization
from nncore.layers.noise import GaussianNoise
from nncore.layers.embeddings import Embedding
from nncore.utils.np_utils import to_categorical
from nncore.utils import np_utils
from nncore.optimizers.legacy import Adam
from nncore.losses import mse, mae
from nncore.metrics import mse as metric
from nncore.callbacks.callbacks import EarlyStopping
model = nncore.Sequential()
model.add(Dense(8, input_dim=4))
model.add(BatchNormalization())
model.add(LeakyReLU(alpha=0.1))
model.add(GaussianNoise(0.1))
model.add(PReLU())
model.add(Dense(1))
model.compile(Adam(lr=0.01), losses.mse, [metrics.mse])
learns(model, y=value)
""",
    "what is gone": """
model = Sequential([Dense(3, 'softmax', input_dim=4)])
refused(AttributeError, r'predict\\(x\\)\\.argmax', lambda: model.predict_classes)
refused(AttributeError, 'predict', lambda: model.predict_proba)
refused(AttributeError, 'no attribute', lambda: model.nothing)
assert not hasattr(model, 'predict_classes')
def functional():
    from nncore.models import Model
refused(ImportError, 'Sequential', functional)
def functional():
    from nncore import Model
refused(ImportError, 'Sequential', functional)
""",
    "stars": """
kept = sum
from nncore import *
assert sum is kept and Sequential([layers.Dense(1, input_dim=4)]).count_params() == 5
""",
    "one batch at a time": """
model = Sequential([Dense(3, 'softmax', input_dim=4)])
model.compile('adam', 'categorical_crossentropy', ['accuracy'])
losses_seen = [model.train_on_batch(x, hot)[0] for _ in range(5)]
assert losses_seen[-1] < losses_seen[0] and len(model.test_on_batch(x, hot)) == 2
assert model.predict_on_batch(x).shape == (96, 3) and model.metrics_names[0] == 'loss'
again = models.clone_model(model)
again.set_weights(model.get_weights())
assert (again.predict(x, verbose=0) == model.predict(x, verbose=0)).all()
again = models.model_from_json(model.to_json())
assert again.count_params() == 15
""",
    # More of each.
    "bags of embeddings": """
class Average(Layer):
    def call(self, inputs):
        return K.mean(inputs, axis=1)

model = Sequential([Embedding(10, 4, input_length=6), Average(), Dense(1, activation='sigmoid')])
model.compile('adam', 'binary_crossentropy', ['accuracy'])
ids = rng.integers(0, 10, size=(50, 6))
learns(model, ids, ids[:, 0] > 4)
assert not any(i.function for i in model.program.instructions)
embedded = model.layers[0](ids).numpy()
assert np.allclose(model.layers[1](embedded), embedded.mean(1), atol=1e-6)
refused(ValueError, r'in \\[0, 10\\)', model.layers[0], [[0, 10, 1, 1, 1, 1]])
""",
    "optimizers in configs": """
optimizer = optimizers.get({'class_name': 'adam', 'config': {'lr': 0.5}})
assert type(optimizer) is optimizers.Adam and optimizer.lr == 0.5
assert optimizers.deserialize(optimizers.serialize(optimizer)).lr == 0.5
""",
    "an activation of one's own": """
def swish(t):
    return K.sigmoid(t) * t

utils.get_custom_objects().update({'my_swish': swish})
model = Sequential([Dense(5, activation=swish, input_dim=4), Dense(5, 'my_swish'), Activation(swish), Dense(1)])
del utils.get_custom_objects()['my_swish']
model.compile('adam', 'mse')
learns(model, y=value)
""",
    "nncore as keras": """
import nncore as keras
model = keras.Sequential([keras.Input(shape=(4,)), keras.layers.Dense(5, activation='relu', trainable=False)])
model.add(keras.layers.Dense(1))
model.compile(optimizer=keras.optimizers.RMSprop(0.01), loss=keras.losses.MeanSquaredError(),
              metrics=[keras.metrics.MeanAbsoluteError(), keras.metrics.RootMeanSquaredError()])
frozen = model.layers[0].get_weights()[0]
assert 'root_mean_squared_error' in learns(model, y=value)
assert (frozen == model.layers[0].get_weights()[0]).all()
assert keras.preprocessing.sequence.pad_sequences([[1]]).shape == (1, 1) and keras.callbacks.EarlyStopping()
""",
    "losses inside a loss": """
def loss(y_true, y_pred):
    return losses.binary_crossentropy(y_true, y_pred) + 0.5 * losses.mse(y_true, y_pred) + K.mean(K.abs(y_pred), -1)

model = Sequential([Dense(1, 'sigmoid', input_dim=4)])
model.compile('sgd', loss)
learns(model, y=yes)
assert not any(i.function for i in model.program.instructions)
column = yes[:, None].astype('float32')
assert np.isclose(loss(column, model.predict(x, verbose=0)).mean(), model.evaluate(x, yes, verbose=0), rtol=1e-5)
""",
    "a loss object inside a loss": """
mse, labels = losses.MeanSquaredError(), losses.SparseCategoricalCrossentropy()

def twice(y_true, y_pred):
    return 2 * mse(y_true, y_pred)

model = Sequential([Dense(1, input_dim=4)])
model.compile('sgd', twice, ['mse'])
history = learns(model, y=value)
assert np.allclose(history['loss'], 2 * np.array(history['mse']), rtol=1e-4)
weights = K.variable(np.array([1.0, 2.0, 0.5]))
model = Sequential([Dense(3, 'softmax', input_dim=4)])
model.compile('sgd', lambda t, p: labels(t, p), [lambda t, p: K.sum(p * weights, axis=-1)])
refused(ValueError, 'has no backward', model.fit, x, y, verbose=0)
found = model.evaluate(x, y, verbose=0)
assert np.isclose(found[1], (model.predict(x, verbose=0) * weights).sum(1).mean(), rtol=1e-5)
""",
    "binary cross-entropy of K": """
def loss(y_true, y_pred):
    return K.mean(K.binary_crossentropy(y_true, y_pred), axis=-1)
model = Sequential([Dense(1, 'sigmoid', input_dim=4)])
model.compile('sgd', loss, ['accuracy'])
learns(model, y=yes)
""",
    "dice": """
def dice(y_true, y_pred, smooth=1):
    i = K.sum(y_true * y_pred, axis=-1)
    return 1 - (2. * i + smooth) / (K.sum(y_true, axis=-1) + K.sum(y_pred, axis=-1) + smooth)
model = Sequential([Dense(3, 'softmax', input_dim=4)])
model.compile('sgd', dice)
learns(model)
""",
    "focal": """
def focal(gamma=2., alpha=0.25):
    def loss(y_true, y_pred):
        p = K.clip(y_pred, K.epsilon(), 1. - K.epsilon())
        return K.mean(-alpha * y_true * K.pow(1. - p, gamma) * K.log(p), axis=1)
    return loss
model = Sequential([Dense(3, 'softmax', input_dim=4)])
model.compile('sgd', focal())
learns(model)
""",
    "r2": """
def r2(y_true, y_pred):
    res = K.sum(K.square(y_true - y_pred))
    tot = K.sum(K.square(y_true - K.mean(y_true)))
    return 1 - res / (tot + K.epsilon())
model = Sequential([Dense(1, input_dim=4)])
model.compile('sgd', 'mse', [r2])
learns(model, y=value)
""",
    "a model inside a layer": """
class Block(Layer):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.net = Sequential([Dense(units, 'relu'), Dropout(0.1), Dense(4)])
    def call(self, inputs, training=None, mask=None):
        return inputs + self.net(inputs, training=training)
model = Sequential([Input((4,)), Block(8), Dense(1)])
model.compile('adam', 'mse')
learns(model, y=value)
assert model.count_params() == 40 + 36 + 5
""",
    "a layer with an activation": """
from nncore import activations
class MyDense(Layer):
    def __init__(self, units, activation=None, **kwargs):
        super(MyDense, self).__init__(**kwargs)
        self.units = units
        self.activation = activations.get(activation)
        self.supports_masking = True
    def build(self, input_shape):
        assert len(input_shape) >= 2
        self.kernel = self.add_weight(shape=(int(input_shape[-1]), self.units), name='kernel', regularizer=None,
                                      initializer=initializers.get('glorot_uniform'), constraint=None)
        self.bias = self.add_weight(shape=(self.units,), initializer='zeros', name='bias')
        self.built = True
    def call(self, inputs, **kwargs):
        output = K.dot(inputs, self.kernel)
        output = output + self.bias
        if self.activation is not None:
            output = self.activation(output)
        return output
model = Sequential([MyDense(8, 'relu', input_shape=(4,)), MyDense(1)])
model.compile('adam', 'mse')
learns(model, y=value)
""",
    "the usual callbacks": """
from nncore.callbacks import EarlyStopping, ReduceLROnPlateau, TerminateOnNaN, CSVLogger
model = Sequential([Dense(8, 'relu', input_dim=4), BatchNormalization(), LeakyReLU(alpha=0.1), Dense(1)])
model.compile(optimizers.SGD(lr=0.01, momentum=0.9, nesterov=True), 'mse', ['mae'])
stop = EarlyStopping(monitor='val_loss', patience=3, mode='min', restore_best_weights=True, verbose=0)
slow = ReduceLROnPlateau(monitor='val_loss', factor=0.2, patience=2, min_lr=1e-5)
learns(model, y=value, validation_split=0.2, callbacks=[stop, slow])
""",
    "folds": """
def create():
    model = Sequential()
    model.add(Dense(12, input_dim=4, kernel_initializer='uniform', activation='relu', name='first'))
    model.add(Dense(1, kernel_initializer='normal', activation='sigmoid'))
    model.compile(loss='binary_crossentropy', optimizer='adam', metrics=['accuracy'])
    return model
scores = []
for fold in range(3):
    test = np.arange(96) % 3 == fold
    model = create()
    model.fit(x[~test], yes[~test], epochs=3, batch_size=10, verbose=False)
    scores.append(model.evaluate(x[test], yes[test], verbose=0)[1] * 100)
    rounded = [round(r[0]) for r in model.predict(x[test], verbose=0)]
""",
    "labels of pandas": """
import pandas as pd
s = pd.Series(['a','b','c']*32)
codes = s.astype('category').cat.codes
model = Sequential([Dense(3, 'softmax', input_dim=4)])
model.compile('sgd', 'sparse_categorical_crossentropy')
learns(model, y=codes)
model.compile('sgd', 'categorical_crossentropy')
learns(model, y=pd.get_dummies(s))
learns(model, y=pd.get_dummies(s).values)
""",
    "regularizers and constraints": """
from nncore import regularizers
from nncore.regularizers import l2, l1, l1_l2
from nncore.constraints import maxnorm, max_norm, unit_norm
model = Sequential()
model.add(Dense(8, kernel_regularizer=l2(0.01), kernel_constraint=maxnorm(3), input_dim=4))
model.add(Dense(1, kernel_regularizer=l1_l2(l1=0.1, l2=0.1), bias_regularizer=regularizers.l1(0.1)))
model.compile('sgd', 'mse')
learns(model, y=value)
""",
    "callbacks of one's own": """
class LossHistory(callbacks.Callback):
    def on_train_begin(self, logs={}):
        self.losses = []
    def on_batch_end(self, batch, logs={}):
        self.losses.append(logs.get('loss'))
class Stop(callbacks.Callback):
    def on_epoch_end(self, epoch, logs={}):
        if logs.get('acc') > 0: self.model.stop_training = True
model = Sequential([Dense(3, 'softmax', input_dim=4)])
model.compile('sgd', 'categorical_crossentropy', ['acc'])
h = LossHistory()
model.fit(x, hot, epochs=3, verbose=0, callbacks=[h, Stop()])
assert len(h.losses) == 3
assert h.params['epochs'] == 3 and h.model is model
""",
    "Lambda": """
model = Sequential([Lambda(lambda t: t / 2.0, input_shape=(4,)), Dense(1), Lambda(K.tanh, output_shape=(1,))])
model.compile('sgd', 'mse')
learns(model, y=value)
model.summary()
assert not any(i.function for i in model.program.instructions)

def power(t, k):
    return K.pow(t, k)

layer = Lambda(power, arguments={'k': 3})
assert layer(np.full((1, 2), 2.0)).numpy().tolist() == [[8.0, 8.0]]
with utils.custom_object_scope({'power': power}):
    again = Lambda.from_config(layer.get_config())
assert again.function is power and again.arguments == {'k': 3}

def cube(t):
    return np.float_power(t, 3)

cube.backward = lambda dy, t, out: 3 * t * t * dy
model = Sequential([Dense(3, 'tanh', input_dim=4), Lambda(cube), Dense(1)])
model.compile('sgd', 'mse')
learns(model, y=value)
refused(ValueError, 'function must be a function', Lambda, 3)
refused(ValueError, 'arguments must be a dict', Lambda, power, arguments=[3])
refused(ValueError, 'mask must be None', Lambda, power, mask=power)
""",
    "inputs": """
for first in (Input(shape=(4,), name='in', dtype='float32'), Input(4), Input(batch_shape=(None, 4)), Input((4,), 32)):
    assert Sequential([first, Dense(1)]).input_shape == (None, 4)
assert utils.to_categorical(y, 3, dtype='int32').dtype == 'int32'
""",
}


def refused(kind: type[Exception], match: str, function: Any, *args: Any, **kwargs: Any) -> None:
    """What programs may ask: that a call raises."""
    with pytest.raises(kind, match=match):
        function(*args, **kwargs)


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name: str, backend: str, tmp_path: Path) -> None:
    source = START + PROGRAMS[name]
    linecache.cache[f"<{name}>"] = (len(source), None, source.splitlines(keepends=True), f"<{name}>")
    exec(compile(source, f"<{name}>", "exec"), {"__name__": "program", "refused": refused, "folder": str(tmp_path)})
