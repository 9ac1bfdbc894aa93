"""Layers around other layers."""

from __future__ import annotations

import re

import numpy as np
import pytest
from oracles import error, same_bits, uniform

from nncore import random
from nncore.layers import BatchNormalization, Dense, Flatten, Input, LayerNormalization, Softmax, TimeDistributed
from nncore.models import Sequential


def test_every_step_is_treated_as_the_layer_treats_a_sample(backend: str) -> None:
    random.set_seed(1)
    inner = Dense(3, "tanh")
    model = Sequential([Input((5, 4)), TimeDistributed(inner)])
    x = uniform(7, 5, 4)
    steps = Sequential([Input((4,)), inner]).predict(x.reshape(35, 4), verbose=0)
    assert error(model.predict(x, verbose=0), steps.reshape(7, 5, 3)) <= 1e-6
    assert model.output_shape == (None, 5, 3)
    assert model.count_params() == 15


def test_a_config_of_keras() -> None:
    policy = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}, "registered_name": None}
    config = TimeDistributed(Dense(2)).get_config()
    made = TimeDistributed.from_config({**config, "dtype": policy})
    assert made.get_config() == config


def test_the_layer_inside_is_trained_and_frozen_with_it(backend: str) -> None:
    wrapped = TimeDistributed(Dense(2))
    model = Sequential([Input((5, 4)), wrapped, Flatten(), Dense(1)])
    model.compile("sgd", "mse")
    x, y = uniform(9, 5, 4), uniform(9, 1)
    before = wrapped.get_weights()
    model.fit(x, y, verbose=0)
    assert not any(same_bits(a, b) for a, b in zip(before, wrapped.get_weights(), strict=True))
    wrapped.trainable = False
    model.compile("sgd", "mse")
    before = wrapped.get_weights()
    model.fit(x, y, verbose=0)
    assert all(same_bits(a, b) for a, b in zip(before, wrapped.get_weights(), strict=True))


@pytest.mark.parametrize(
    "layer", [BatchNormalization(), Flatten(), LayerNormalization(axis=1), Softmax(axis=[1, 2]), 3]
)
def test_layers_that_look_at_more_than_a_vector_are_refused(layer: object) -> None:
    with pytest.raises(ValueError, match=r"TimeDistributed: layer must act on the last axis alone: one of .*Dense, "):
        TimeDistributed(layer)


def test_inputs_without_steps_are_refused() -> None:
    with pytest.raises(ValueError, match=re.escape("needs inputs of shape (batch, steps, k). Received: (None, 4)")):
        Sequential([Input((4,)), TimeDistributed(Dense(2))])


def test_a_config_keeps_the_layer() -> None:
    made = TimeDistributed(Dense(2, "relu"), name="steps")
    again = TimeDistributed.from_config(made.get_config())
    assert (again.name, again.layer.units, again.layer.get_config()) == ("steps", 2, made.layer.get_config())
    assert np.shape(again(uniform(3, 5, 4))) == (3, 5, 2)
