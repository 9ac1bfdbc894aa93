"""The table of ``model.summary()`` is Keras's, byte for byte: the texts below were recorded from Keras 3.15.1."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest

from nncore.summary import LayerRow, readable_size, summary

DENSE = [
    LayerRow("dense", "Dense", (None, 64), 6464, 6464, True),
    LayerRow("dense_1", "Dense", (None, 10), 650, 650, True),
]

MIXED = [
    LayerRow("flatten", "Flatten", (None, 64), 0, 0, True),
    LayerRow("a_very_long_layer_name_that_does_not_fit_anywhere", "Dense", (None, 64), 4160, 4160, True),
    LayerRow("dropout", "Dropout", (None, 64), 0, 0, True),
    LayerRow("two words in the name of it", "BatchNormalization", (None, 64), 256, 128, True),
    LayerRow("dense_2", "Dense", (None, 10), 650, 0, False),
]


@pytest.fixture(autouse=True)
def _eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def drawn(rows: list[LayerRow], name: str = "sequential", **arguments: Any) -> str:
    texts: list[str] = []
    summary(rows, name, print_fn=texts.append, **arguments)
    assert len(texts) == 1
    return texts[0]


DENSE_TABLE = """\
Model: "sequential"
┏━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━┓
┃ Layer (type)                    ┃ Output Shape           ┃       Param # ┃
┡━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━┩
│ dense (Dense)                   │ (None, 64)             │         6,464 │
├─────────────────────────────────┼────────────────────────┼───────────────┤
│ dense_1 (Dense)                 │ (None, 10)             │           650 │
└─────────────────────────────────┴────────────────────────┴───────────────┘
"""


def test_the_example() -> None:
    footer = " Total params: 7,114 (27.79 KB)\n Trainable params: 7,114 (27.79 KB)\n Non-trainable params: 0 (0.00 B)\n"
    assert drawn(DENSE) == DENSE_TABLE + footer


@pytest.mark.parametrize(
    "optimizer_params, total, optimizer",
    [
        (2, "7,116 (27.80 KB)", "2 (12.00 B)"),
        (14230, "21,344 (83.38 KB)", "14,230 (55.59 KB)"),
        (0, "7,114 (27.79 KB)", "0 (0.00 B)"),
    ],
)
def test_the_optimizer_counts_once_it_has_state(optimizer_params: int, total: str, optimizer: str) -> None:
    assert drawn(DENSE, optimizer_params=optimizer_params) == DENSE_TABLE + (
        f" Total params: {total}\n Trainable params: 7,114 (27.79 KB)\n Non-trainable params: 0 (0.00 B)\n"
        f" Optimizer params: {optimizer}\n"
    )


MIXED_FOOTER = """\
 Total params: 5,066 (19.79 KB)
 Trainable params: 4,288 (16.75 KB)
 Non-trainable params: 778 (3.04 KB)
"""

MIXED_TABLES: dict[tuple[int, bool], str] = {
    (200, False): """\
┏━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━┓
┃ Layer (type)                         ┃ Output Shape                ┃         Param # ┃
┡━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━┩
│ flatten (Flatten)                    │ (None, 64)                  │               0 │
├──────────────────────────────────────┼─────────────────────────────┼─────────────────┤
│ a_very_long_layer_name_that_does_no… │ (None, 64)                  │           4,160 │
│ (Dense)                              │                             │                 │
├──────────────────────────────────────┼─────────────────────────────┼─────────────────┤
│ dropout (Dropout)                    │ (None, 64)                  │               0 │
├──────────────────────────────────────┼─────────────────────────────┼─────────────────┤
│ two words in the name of it          │ (None, 64)                  │             256 │
│ (BatchNormalization)                 │                             │                 │
├──────────────────────────────────────┼─────────────────────────────┼─────────────────┤
│ dense_2 (Dense)                      │ (None, 10)                  │             650 │
└──────────────────────────────────────┴─────────────────────────────┴─────────────────┘
""",
    (80, True): """\
┏━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━┳━━━━━━━┓
┃ Layer (type)                ┃ Output Shape          ┃    Param # ┃ Trai… ┃
┡━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━╇━━━━━━━┩
│ flatten (Flatten)           │ (None, 64)            │          0 │   -   │
├─────────────────────────────┼───────────────────────┼────────────┼───────┤
│ a_very_long_layer_name_tha… │ (None, 64)            │      4,160 │   Y   │
│ (Dense)                     │                       │            │       │
├─────────────────────────────┼───────────────────────┼────────────┼───────┤
│ dropout (Dropout)           │ (None, 64)            │          0 │   -   │
├─────────────────────────────┼───────────────────────┼────────────┼───────┤
│ two words in the name of it │ (None, 64)            │        256 │   Y   │
│ (BatchNormalization)        │                       │            │       │
├─────────────────────────────┼───────────────────────┼────────────┼───────┤
│ dense_2 (Dense)             │ (None, 10)            │        650 │   N   │
└─────────────────────────────┴───────────────────────┴────────────┴───────┘
""",
    (60, True): """\
┏━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━┳━━━━━━━━┳━━━━━┓
┃                     ┃                 ┃  Param ┃     ┃
┃ Layer (type)        ┃ Output Shape    ┃      # ┃ Tr… ┃
┡━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━╇━━━━━━━━╇━━━━━┩
│ flatten (Flatten)   │ (None, 64)      │      0 │  -  │
├─────────────────────┼─────────────────┼────────┼─────┤
│ a_very_long_layer_… │ (None, 64)      │  4,160 │  Y  │
│ (Dense)             │                 │        │     │
├─────────────────────┼─────────────────┼────────┼─────┤
│ dropout (Dropout)   │ (None, 64)      │      0 │  -  │
├─────────────────────┼─────────────────┼────────┼─────┤
│ two words in the    │ (None, 64)      │    256 │  Y  │
│ name of it          │                 │        │     │
│ (BatchNormalizatio… │                 │        │     │
├─────────────────────┼─────────────────┼────────┼─────┤
│ dense_2 (Dense)     │ (None, 10)      │    650 │  N  │
└─────────────────────┴─────────────────┴────────┴─────┘
""",
    (40, False): """\
┏━━━━━━━━━━━━━━━┳━━━━━━━━━━┳━━━━━━━┓
┃               ┃ Output   ┃ Param ┃
┃ Layer (type)  ┃ Shape    ┃     # ┃
┡━━━━━━━━━━━━━━━╇━━━━━━━━━━╇━━━━━━━┩
│ flatten       │ (None,   │     0 │
│ (Flatten)     │ 64)      │       │
├───────────────┼──────────┼───────┤
│ a_very_long_… │ (None,   │ 4,160 │
│ (Dense)       │ 64)      │       │
├───────────────┼──────────┼───────┤
│ dropout       │ (None,   │     0 │
│ (Dropout)     │ 64)      │       │
├───────────────┼──────────┼───────┤
│ two words in  │ (None,   │   256 │
│ the name of   │ 64)      │       │
│ it            │          │       │
│ (BatchNormal… │          │       │
├───────────────┼──────────┼───────┤
│ dense_2       │ (None,   │   650 │
│ (Dense)       │ 10)      │       │
└───────────────┴──────────┴───────┘
""",
}


@pytest.mark.parametrize("columns, show_trainable", MIXED_TABLES)
def test_terminals_of_any_width(columns: int, show_trainable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    expected = f'Model: "my_model"\n{MIXED_TABLES[columns, show_trainable]}{MIXED_FOOTER}'
    assert drawn(MIXED, "my_model", show_trainable=show_trainable) == expected


@pytest.mark.parametrize("columns", [1, 10, 23, 24, 30, 43, 44])
@pytest.mark.parametrize("show_trainable", [False, True])
def test_tiny_terminals_are_no_error(columns: int, show_trainable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = drawn(MIXED, show_trainable=show_trainable).splitlines()[1:-3]
    assert {len(line) for line in lines} == {max(40 if show_trainable else 20, columns - 4)}


def test_a_model_that_is_not_built() -> None:
    rows = [LayerRow("dense_3", "Dense", None, None, 0, True), LayerRow("re_lu", "ReLU", None, 0, 0, True)]
    assert drawn(rows, "sequential_1", show_trainable=True) == """\
Model: "sequential_1"
┏━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━┳━━━━━━━┓
┃ Layer (type)                ┃ Output Shape          ┃    Param # ┃ Trai… ┃
┡━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━╇━━━━━━━┩
│ dense_3 (Dense)             │ ?                     │          0 │   -   │
│                             │                       │  (unbuilt) │       │
├─────────────────────────────┼───────────────────────┼────────────┼───────┤
│ re_lu (ReLU)                │ ?                     │          0 │   -   │
└─────────────────────────────┴───────────────────────┴────────────┴───────┘
 Total params: 0 (0.00 B)
 Trainable params: 0 (0.00 B)
 Non-trainable params: 0 (0.00 B)
"""  # fmt: skip


def test_a_model_without_layers() -> None:
    assert drawn([], "sequential_2") == """\
Model: "sequential_2"
┏━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━┓
┃ Layer (type)                    ┃ Output Shape           ┃       Param # ┃
┡━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━┩
└─────────────────────────────────┴────────────────────────┴───────────────┘
 Total params: 0 (0.00 B)
 Trainable params: 0 (0.00 B)
 Non-trainable params: 0 (0.00 B)
"""  # fmt: skip


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (
            {"line_length": 60, "positions": [0.3, 0.6, 1.0]},
            [
                "┏━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━┓",
                "┃ Layer (type)    ┃ Output Shape   ┃               Param # ┃",
            ],
        ),
        (
            {"line_length": 61, "positions": [0.2, 0.5, 0.7]},
            [
                "┏━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━┓",
                "┃ Layer (type)    ┃ Output Shape           ┃        Param # ┃",
            ],
        ),
        (
            {"line_length": 60, "positions": [0.45, 1.0, 2.0]},
            [
                "┏━━━━━━━━┳━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┓",
                "┃ Layer  ┃ Output      ┃                                   ┃",
                "┃ (type) ┃ Shape       ┃                           Param # ┃",
            ],
        ),
        (
            {"line_length": 50, "positions": [3, 3.2, 3.4]},
            [
                "┏━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━┳━━━━┓",
                "┃                                      ┃ O… ┃ P… ┃",
                "┃ Layer (type)                         ┃ S… ┃  # ┃",
            ],
        ),
        (
            {"line_length": 66, "show_trainable": True},
            [
                "┏━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━┳━━━━━━┓",
                "┃ Layer (type)            ┃ Output Shape       ┃  Param # ┃ Tra… ┃",
                "┡━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━╇━━━━━━┩",
                "│ dense (Dense)           │ (None, 64)         │    6,464 │  Y   │",
            ],
        ),
    ],
)
def test_columns_of_any_width(arguments: dict[str, Any], expected: list[str]) -> None:
    assert drawn(DENSE, **arguments).splitlines()[1 : 1 + len(expected)] == expected


def test_a_line_length_beyond_the_terminal_is_kept_whole() -> None:
    assert {len(line) for line in drawn(DENSE, line_length=120).splitlines()[1:-3]} == {120}


@pytest.mark.parametrize(
    "layer_range, names",
    [
        (["flatten", "dropout"], ["flatten", "a_very_lo", "dropout"]),
        (["dropout", "flatten"], ["flatten", "a_very_lo", "dropout"]),
        (("d", "d"), ["dropout", "two words", "dense_2"]),
        (["dense", "dense_2"], ["dense_2"]),
        ([".*words", "dense"], ["two words", "dense_2"]),
    ],
)
def test_layer_range_shows_some_layers_and_the_totals_of_all(layer_range: Any, names: list[str]) -> None:
    text = drawn(MIXED, "my_model", layer_range=layer_range)
    assert text.endswith(MIXED_FOOTER)
    shown = [
        line[2:11].split(" (")[0].strip() for line in text.splitlines() if line.startswith("│ ") and "(None" in line
    ]
    assert shown == names


@pytest.mark.parametrize(
    "size, expected",
    [
        (0, "0.00 B"),
        (12, "12.00 B"),
        (1023, "1023.00 B"),
        (1024, "1.00 KB"),
        (28456, "27.79 KB"),
        (5 * 2**20, "5.00 MB"),
        (2417208000, "2.25 GB"),
        (2**43, "8.00 TB"),
        (3 * 2**50, "3.00 PB"),
        (2**61, "2048.00 PB"),
    ],
)
def test_readable_size(size: int, expected: str) -> None:
    assert readable_size(size) == expected


def test_names_in_wide_characters_stay_aligned() -> None:
    rows = [LayerRow("入力" * 12, "Dense", (None, 1), 2, 2, True), LayerRow("層", "Dense", (None, 1), 2, 2, True)]
    body = [line for line in drawn(rows).splitlines() if line.startswith("│")]
    assert body == [
        "│ 入力入力入力入力入力入力入力入… │ (None, 1)              │             2 │",
        "│ (Dense)                         │                        │               │",
        "│ 層 (Dense)                      │ (None, 1)              │             2 │",
    ]


def test_printing_goes_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    summary(DENSE, "sequential")
    assert capsys.readouterr().out == drawn(DENSE)


@pytest.mark.parametrize("through_print_fn", [False, True])
def test_narrow_encodings_get_ascii(through_print_fn: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    summary(MIXED[:2], "m", line_length=40, print_fn=print if through_print_fn else None)
    out.flush()
    text = out.buffer.getvalue().decode("ascii")  # type: ignore[attr-defined]
    assert text.splitlines()[:10] == [
        'Model: "m"',
        "+=================+============+=======+",
        "|                 | Output     | Param |",
        "| Layer (type)    | Shape      |     # |",
        "+=================+============+=======+",
        "| flatten         | (None, 64) |     0 |",
        "| (Flatten)       |            |       |",
        "+-----------------+------------+-------+",
        "| a_very_long_la. | (None, 64) | 4,160 |",
        "| (Dense)         |            |       |",
    ]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"line_length": 10}, r"at least 4 characters wide\. Received: line_length=10, positions=None\."),
        ({"positions": [0.1, 0.2]}, r"positions must be three fractions of the width\. Received: .*\[0\.1, 0\.2\]\."),
        ({"positions": [0.5, 0.4, 1.0]}, "at least 4 characters wide"),
        ({"layer_range": ["x", "y"]}, r"must name layers of the model \(dense, dense_1\)\. .*=\['x', 'y'\]\."),
        ({"layer_range": ["dense"]}, "layer_range must be two names of layers"),
        ({"layer_range": "dense"}, "layer_range must be two names of layers"),
        ({"layer_range": [0, 1]}, "layer_range must be two names of layers"),
    ],
)  # fmt: skip
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        drawn(DENSE, **arguments)
