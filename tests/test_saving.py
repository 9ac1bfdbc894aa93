"""Whole models in files: what is saved is there again, to the bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nncore.layers import BatchNormalization, Dense, Dropout, Input
from nncore.models import Sequential, load_model
from nncore.saving import read_metadata
from nncore.utils import set_random_seed

FORMATS = ("m.npz", "m.safetensors")

X = np.random.default_rng(0).random((50, 4))
Y = np.arange(50) % 3


def trained() -> Sequential:
    model = Sequential([Input((4,)), Dense(8, "relu"), BatchNormalization(), Dropout(0.3), Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(X, Y, epochs=2, batch_size=16, verbose=0)
    return model


@pytest.mark.parametrize("name", FORMATS)
def test_there_and_back(name: str, tmp_path: Path, backend: str) -> None:
    """The same predictions, and the same batch trained on changes them in the same way."""
    one = trained()
    one.save(tmp_path / name)
    two = load_model(tmp_path / name)
    assert np.array_equal(one.predict(X, verbose=0), two.predict(X, verbose=0))
    assert two.optimizer.steps == one.optimizer.steps == 8
    for model in (one, two):
        set_random_seed(0)
        model.fit(X, Y, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(one.get_weights(), two.get_weights(), strict=True))


@pytest.mark.parametrize("name", FORMATS)
def test_metadata(name: str, tmp_path: Path) -> None:
    model = trained()
    model.save(tmp_path / name, metadata={"columns": ["a", "b"]})
    found = read_metadata(tmp_path / name)
    assert found["columns"] == ["a", "b"]
    assert found["nncore"]["steps"] == 8
    assert set(found["nncore"]["metrics"]) == {"loss", "accuracy"}
