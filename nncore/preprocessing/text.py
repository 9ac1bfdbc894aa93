"""Texts as words, and words as numbers, under Keras 2's names."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import md5
from typing import Any

import numpy as np

from nncore.arguments import is_integer, positive_int
from nncore.errors import unknown_name

__all__ = ["Tokenizer", "hashing_trick", "one_hot", "text_to_word_sequence", "tokenizer_from_json"]

Array = np.ndarray[Any, Any]
Text = str | Sequence[str]

FILTERS = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'
"""Characters that separate words; the apostrophe is none."""

MODES = ("binary", "count", "freq", "tfidf")


def text_to_word_sequence(text: str, filters: str = FILTERS, lower: bool = True, split: str = " ") -> list[str]:
    """The words of a text.

    Args:
        text: The text.
        filters: Characters that separate words like ``split`` does.
        lower: Whether to make it lower case first.
        split: What separates words.
    """
    if lower:
        text = text.lower()
    return [word for word in text.translate({ord(c): split for c in filters}).split(split) if word]


def hashing_trick(
    text: str, n: int, hash_function: Any = None, filters: str = FILTERS, lower: bool = True, split: str = " ",
    analyzer: Callable[[str], Sequence[str]] | None = None,
) -> list[int]:  # fmt: skip
    """The words of a text as numbers in [1, n), by a hash: different words may share a number.

    Args:
        text: The text.
        n: One more than the largest number, at least 2.
        hash_function: A function of a word to an integer; ``None`` or ``"md5"``: MD5, the same in every process.
        filters, lower, split: As for ``text_to_word_sequence``.
        analyzer: A function of the text to its words, in their place.
    """
    if positive_int("hashing_trick", "n", n) < 2:
        raise ValueError(f"hashing_trick: n must be at least 2, since 0 is no word's number. Received: n={n!r}.")
    words = text_to_word_sequence(text, filters, lower, split) if analyzer is None else analyzer(text)
    function = _md5 if hash_function in (None, "md5") else hash_function
    return [function(word) % (n - 1) + 1 for word in words]


def one_hot(
    text: str, n: int, filters: str = FILTERS, lower: bool = True, split: str = " ",
    analyzer: Callable[[str], Sequence[str]] | None = None,
) -> list[int]:  # fmt: skip
    """The words of a text as numbers in [1, n): ``hashing_trick`` with MD5."""
    return hashing_trick(text, n, None, filters, lower, split, analyzer)


def _md5(word: str) -> int:
    return int(md5(word.encode(), usedforsecurity=False).hexdigest(), 16)


class Tokenizer:
    """Numbers words by how often they occur: 1 is the most frequent one; 0 is no word's number.

    Args:
        num_words: Keep the ``num_words - 1`` most frequent words only; ``None`` for all.
        filters: Characters that separate words like ``split`` does.
        lower: Whether to make texts lower case first.
        split: What separates words.
        char_level: Whether every character is a word.
        oov_token: If given, it is word 1 and stands for words that are not known; else these are left out.
        analyzer: A function of a text to its words, in place of ``filters``, ``lower`` and ``split``.
        **kwargs: ``document_count``: texts seen before.

    Attributes:
        word_counts: How often each word occurred, in the order of their first occurrence.
        word_docs: In how many texts each word occurred; ``index_docs`` by number.
        word_index: The number of each word; ``index_word`` the other way round.
        document_count: How many texts it was fitted on.
    """

    def __init__(
        self, num_words: int | None = None, filters: str = FILTERS, lower: bool = True, split: str = " ",
        char_level: bool = False, oov_token: str | None = None,
        analyzer: Callable[[str], Sequence[str]] | None = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        self.document_count = kwargs.pop("document_count", 0)
        if kwargs:
            raise TypeError(f"Tokenizer: unknown argument {next(iter(kwargs))!r}. Received: {kwargs!r}.")
        self.num_words = None if num_words is None else positive_int("Tokenizer", "num_words", num_words)
        self.filters = filters
        self.lower = lower
        self.split = split
        self.char_level = char_level
        self.oov_token = oov_token
        self.analyzer = analyzer
        self.word_counts: dict[str, int] = {}
        self.word_docs: dict[str, int] = {}
        self.index_docs: dict[int, int] = {}
        self.word_index: dict[str, int] = {}
        self.index_word: dict[int, str] = {}

    def fit_on_texts(self, texts: Iterable[Text]) -> None:
        """Count the words of texts, and number them anew. A text may be a list of words."""
        counts, documents = Counter(self.word_counts), Counter(self.word_docs)
        for text in texts:
            words = self._words(text)
            self.document_count += 1
            counts.update(words)
            documents.update(set(words))
        self.word_counts, self.word_docs = dict(counts), dict(documents)
        often = sorted(counts, key=lambda word: -counts[word])
        words = often if self.oov_token is None else [self.oov_token, *often]
        self.word_index = {word: number for number, word in enumerate(words, 1)}
        self.index_word = {number: word for word, number in self.word_index.items()}
        self.index_docs = {self.word_index[word]: count for word, count in documents.items()}

    def fit_on_sequences(self, sequences: Iterable[Sequence[int]]) -> None:
        """Count in how many sequences each number occurs, for ``sequences_to_matrix`` without texts."""
        for sequence in sequences:
            self.document_count += 1
            for number in set(sequence):
                self.index_docs[number] = self.index_docs.get(number, 0) + 1

    def texts_to_sequences(self, texts: Iterable[Text]) -> list[list[int]]:
        """The numbers of the words of each text."""
        return list(self.texts_to_sequences_generator(texts))

    def texts_to_sequences_generator(self, texts: Iterable[Text]) -> Iterator[list[int]]:
        """``texts_to_sequences``, text by text."""
        unknown = self._unknown()
        for text in texts:
            numbers = (self._kept(self.word_index.get(word), unknown) for word in self._words(text))
            yield [number for number in numbers if number is not None]

    def sequences_to_texts(self, sequences: Iterable[Sequence[int]]) -> list[str]:
        """The words of the numbers of each sequence, with blanks between them."""
        return list(self.sequences_to_texts_generator(sequences))

    def sequences_to_texts_generator(self, sequences: Iterable[Sequence[int]]) -> Iterator[str]:
        """``sequences_to_texts``, sequence by sequence."""
        unknown = self._unknown()
        for sequence in sequences:
            numbers = (self._kept(n if n in self.index_word else None, unknown) for n in sequence)
            yield " ".join(self.index_word[number] for number in numbers if number is not None)

    def texts_to_matrix(self, texts: Iterable[Text], mode: str = "binary") -> Array:
        """``sequences_to_matrix`` of the texts' numbers."""
        return self.sequences_to_matrix(self.texts_to_sequences(texts), mode)

    def sequences_to_matrix(self, sequences: Sequence[Sequence[int]], mode: str = "binary") -> Array:
        """One row a sequence and one column a number, float64.

        Args:
            sequences: Sequences of numbers.
            mode: What a cell says of a number in a sequence that has it c times: ``"binary"``: 1; ``"count"``: c;
                ``"freq"``: c / length; ``"tfidf"``: (1 + log c) log(1 + texts / (1 + texts with the number)).

        Raises:
            ValueError: for another mode, and before it is fitted.
        """
        if mode not in MODES:
            raise unknown_name("mode of Tokenizer", mode, MODES)
        if self.num_words is None and not self.word_index:
            raise ValueError("Tokenizer: give num_words, or call fit_on_texts first: the number of words is not known.")
        if mode == "tfidf" and not self.document_count:
            raise ValueError("Tokenizer: call fit_on_texts or fit_on_sequences before mode='tfidf'.")
        columns = self.num_words or len(self.word_index) + 1
        matrix = np.zeros((len(sequences), columns))
        for row, sequence in zip(matrix, sequences, strict=True):
            for number, count in Counter(n for n in sequence if n < columns).items():
                row[number] = {
                    "binary": 1.0, "count": count, "freq": count / len(sequence),
                    "tfidf": (1 + np.log(count))
                    * np.log(1 + self.document_count / (1 + self.index_docs.get(number, 0))),
                }[mode]  # fmt: skip
        return matrix

    def get_config(self) -> dict[str, Any]:
        """The arguments, and what was counted as JSON texts."""
        arguments = ("num_words", "filters", "lower", "split", "char_level", "oov_token", "document_count")
        counted = ("word_counts", "word_docs", "index_docs", "index_word", "word_index")
        config = {name: getattr(self, name) for name in arguments}
        return {**config, **{name: json.dumps(getattr(self, name)) for name in counted}}

    def to_json(self, **kwargs: Any) -> str:
        """Everything as JSON, for ``tokenizer_from_json``; ``kwargs`` go to ``json.dumps``."""
        return json.dumps({"class_name": type(self).__name__, "config": self.get_config()}, **kwargs)

    def _words(self, text: Text) -> Sequence[str]:
        if not isinstance(text, str):
            return [word.lower() for word in text] if self.lower else text
        if self.char_level:
            return text.lower() if self.lower else text
        if self.analyzer is not None:
            return self.analyzer(text)
        return text_to_word_sequence(text, self.filters, self.lower, self.split)

    def _unknown(self) -> int | None:
        return None if self.oov_token is None else self.word_index.get(self.oov_token)

    def _kept(self, number: int | None, unknown: int | None) -> int | None:
        """A word's number, or what stands for it: a word that is not known or too rare."""
        if number is None or (self.num_words is not None and number >= self.num_words):
            return unknown
        return number


def tokenizer_from_json(json_string: str) -> Tokenizer:
    """The ``Tokenizer`` that its ``to_json``, nncore's or Keras 2's, described."""
    config = json.loads(json_string).get("config")
    if not isinstance(config, dict) or not is_integer(config.get("document_count", 0)):
        raise ValueError("tokenizer_from_json takes what Tokenizer.to_json gave. Received other JSON.")
    counted = {name: json.loads(config.pop(name)) for name in list(config) if name.startswith(("word_", "index_"))}
    tokenizer = Tokenizer(**config)
    for name, values in counted.items():
        by_number = name.startswith("index_")
        setattr(tokenizer, name, {int(k): v for k, v in values.items()} if by_number else values)
    return tokenizer
