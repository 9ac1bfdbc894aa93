"""Automatic names are Keras's."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from nncore.names import auto_name, reset_names, snake_case


@pytest.fixture(autouse=True)
def _fresh_names() -> Iterator[None]:
    reset_names()
    yield
    reset_names()


@pytest.mark.parametrize(
    "class_name, expected",
    [
        ("Dense", "dense"),
        ("ReLU", "re_lu"),
        ("LeakyReLU", "leaky_re_lu"),
        ("PReLU", "p_re_lu"),
        ("ELU", "elu"),
        ("Conv2D", "conv2d"),
        ("Conv2DTranspose", "conv2d_transpose"),
        ("MaxPooling2D", "max_pooling2d"),
        ("GlobalAveragePooling1D", "global_average_pooling1d"),
        ("BatchNormalization", "batch_normalization"),
        ("SimpleRNN", "simple_rnn"),
        ("LSTM", "lstm"),
        ("TimeDistributed", "time_distributed"),
        ("InputLayer", "input_layer"),
        ("Sequential", "sequential"),
        ("F1Score", "f1_score"),
        ("RMSprop", "rm_sprop"),
        ("HTTPServer", "http_server"),
        ("ABcDEf", "a_bc_d_ef"),
        ("My_Layer", "my__layer"),
        ("_Private", "__private"),
        ("X2Y", "x2y"),
        ("A", "a"),
    ],
)
def test_snake_case(class_name: str, expected: str) -> None:
    assert snake_case(class_name) == expected


def test_counters_run_per_class() -> None:
    got = [auto_name(n) for n in ("Dense", "Dense", "ReLU", "Dense", "ReLU")]
    assert got == ["dense", "dense_1", "re_lu", "dense_2", "re_lu_1"]


def test_reset_starts_anew() -> None:
    auto_name("Dense")
    auto_name("Conv2D")
    reset_names()
    assert (auto_name("Dense"), auto_name("Conv2D")) == ("dense", "conv2d")


def test_threads_never_share_a_name() -> None:
    names: list[list[str]] = []
    threads = [
        threading.Thread(target=lambda: names.append([auto_name("Dense") for _ in range(500)])) for _ in range(4)
    ]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(n for part in names for n in part) == sorted(["dense", *(f"dense_{i}" for i in range(1, 2000))])
