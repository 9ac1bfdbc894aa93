"""Keras 2's ``preprocessing``, and the modules where older versions of Keras had things."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys

import numpy as np
import pytest

import nncore
from nncore.old_homes import HOMES
from nncore.preprocessing.sequence import pad_sequences
from nncore.preprocessing.text import (
    Tokenizer,
    hashing_trick,
    one_hot,
    text_to_word_sequence,
    tokenizer_from_json,
)

TEXTS = ["The cat sat on the mat.", "The dog sat on the log.", "Dogs and cats living together!"]


def test_words() -> None:
    assert text_to_word_sequence("It's  a (small)\tWorld, isn't it?") == ["it's", "a", "small", "world", "isn't", "it"]
    assert text_to_word_sequence("A,b;C", filters=";", lower=False, split=",") == ["A", "b", "C"]
    assert text_to_word_sequence("") == []


def test_hashes() -> None:
    numbers = one_hot("the cat and the dog", 50)
    assert numbers == hashing_trick("the cat and the dog", 50, "md5")
    assert numbers[0] == numbers[3]
    assert all(1 <= n < 50 for n in numbers)
    # MD5 of "hello" is 0x5d41402abc4b2a76b9719d911017c592.
    assert one_hot("Hello", 10) == [0x5D41402ABC4B2A76B9719D911017C592 % 9 + 1]
    assert hashing_trick("a bb", 10, len, analyzer=lambda text: text.split()) == [2, 3]
    for n in (0, 1, 2.5):
        with pytest.raises(ValueError, match=r"hashing_trick: n must be"):
            one_hot("a", n)


def test_a_tokenizer_numbers_words_by_frequency() -> None:
    tokenizer = Tokenizer()
    tokenizer.fit_on_texts(TEXTS)
    assert tokenizer.document_count == 3
    assert list(tokenizer.word_counts.items())[:5] == [("the", 4), ("cat", 1), ("sat", 2), ("on", 2), ("mat", 1)]
    assert list(tokenizer.word_index) == [
        "the", "sat", "on", "cat", "mat", "dog", "log", "dogs", "and", "cats", "living", "together",
    ]  # fmt: skip
    assert tokenizer.word_docs["the"] == 2
    assert tokenizer.index_docs[1] == 2
    assert tokenizer.texts_to_sequences(["the cat sat", "no such words", "Dog!"]) == [[1, 4, 2], [], [6]]
    assert tokenizer.sequences_to_texts([[1, 4, 2, 99], []]) == ["the cat sat", ""]
    tokenizer.fit_on_texts(["cat cat cat cat"])
    assert tokenizer.word_index["cat"] == 1


def test_rare_and_unknown_words() -> None:
    rare = Tokenizer(num_words=3)
    rare.fit_on_texts(TEXTS)
    assert rare.texts_to_sequences(["the cat sat on"]) == [[1, 2]]
    assert len(rare.word_index) == 12
    named = Tokenizer(num_words=4, oov_token="<oov>")
    named.fit_on_texts(TEXTS)
    assert named.word_index["<oov>"] == 1
    assert named.texts_to_sequences(["the zebra sat on"]) == [[2, 1, 3, 1]]
    assert named.sequences_to_texts([[2, 1, 3, 9, 50]]) == ["the <oov> sat <oov> <oov>"]


def test_other_words() -> None:
    characters = Tokenizer(char_level=True)
    characters.fit_on_texts(["AbA"])
    assert characters.texts_to_sequences(["ab"]) == [[1, 2]]
    lists = Tokenizer()
    lists.fit_on_texts([["One", "two"], ["one"]])
    assert lists.texts_to_sequences([["one", "TWO"]]) == [[1, 2]]
    own = Tokenizer(analyzer=lambda text: text.split("-"))
    own.fit_on_texts(["a-b-a"])
    assert own.texts_to_sequences(["b-a"]) == [[2, 1]]


def test_matrices() -> None:
    tokenizer = Tokenizer(num_words=4)
    tokenizer.fit_on_texts(TEXTS)
    texts = ["the the cat sat", ""]
    assert tokenizer.texts_to_matrix(texts).tolist() == [[0, 1, 1, 0], [0, 0, 0, 0]]
    assert tokenizer.texts_to_matrix(texts, "count").tolist() == [[0, 2, 1, 0], [0, 0, 0, 0]]
    assert np.allclose(tokenizer.texts_to_matrix(texts, "freq")[0], [0, 2 / 3, 1 / 3, 0])
    tfidf = tokenizer.texts_to_matrix(texts, "tfidf")[0]
    assert np.allclose(tfidf, [0, (1 + np.log(2)) * np.log(1 + 3 / 3), np.log(1 + 3 / 3), 0])
    numbers = Tokenizer(num_words=5)
    numbers.fit_on_sequences([[1, 2], [1]])
    assert np.allclose(numbers.sequences_to_matrix([[1, 9]], "tfidf"), [[0, np.log(1 + 2 / 3), 0, 0, 0]])
    with pytest.raises(ValueError, match=r"Unknown mode of Tokenizer: 'counts'\. Did you mean 'count'"):
        tokenizer.texts_to_matrix(texts, "counts")
    with pytest.raises(ValueError, match="give num_words, or call fit_on_texts first"):
        Tokenizer().sequences_to_matrix([[1]])
    with pytest.raises(ValueError, match="before mode='tfidf'"):
        Tokenizer(3).sequences_to_matrix([[1]], "tfidf")


def test_a_tokenizer_as_json() -> None:
    tokenizer = Tokenizer(num_words=6, oov_token="?")
    tokenizer.fit_on_texts(TEXTS)
    again = tokenizer_from_json(tokenizer.to_json())
    assert again.get_config() == tokenizer.get_config()
    assert again.texts_to_sequences(TEXTS) == tokenizer.texts_to_sequences(TEXTS)
    assert isinstance(json.loads(tokenizer.to_json())["config"]["word_index"], str)
    with pytest.raises(ValueError, match=r"takes what Tokenizer\.to_json gave"):
        tokenizer_from_json("{}")
    with pytest.raises(ValueError, match=r"num_words must be a positive integer"):
        Tokenizer(num_words=0)
    with pytest.raises(TypeError, match="unknown argument 'words'"):
        Tokenizer(words=3)


def test_sequences() -> None:
    assert pad_sequences([[1, 2], [3]]).tolist() == [[1, 2], [0, 3]]
    assert pad_sequences is nncore.utils.pad_sequences


@pytest.mark.parametrize("old", HOMES)
def test_old_homes(old: str) -> None:
    """The names of today are found there."""
    module = importlib.import_module(f"nncore.{old}")
    assert module is sys.modules[f"nncore.{old}"]
    parent, _, name = old.rpartition(".")
    holder = importlib.import_module(f"nncore.{parent}") if parent else nncore
    assert getattr(holder, name) is not None


def test_old_imports_work_in_a_fresh_process() -> None:
    script = """
import nncore.preprocessing.text
from nncore.layers.core import Dense, InputLayer
from nncore.layers.advanced_activations import LeakyReLU, PReLU
from nncore.layers.normalization import BatchNormalization
from nncore.utils.np_utils import to_categorical
from nncore.utils import np_utils
from nncore.optimizers.legacy import SGD
from nncore.objectives import mean_squared_error
from nncore.layers import *
from nncore.optimizers import *
from nncore.losses import *
from nncore.callbacks import *
Dense, Dropout, Activation, Adam, EarlyStopping, ModelCheckpoint, Sequential
""".replace(", Sequential", "")
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
