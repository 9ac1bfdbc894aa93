"""``model.summary()``: Keras's table of layers, output shapes and parameters, drawn with box characters."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from nncore import console
from nncore.program import Shape

_VALUE_BYTES = 4
"""A weight is a float32, but for a few counts."""

_Columns = list[list[str]]
"""The lines of the cells of one row, column by column."""


class LayerRow(NamedTuple):
    """What the table says of a layer."""

    name: str
    class_name: str
    output_shape: Shape | None
    """``None`` where not known yet."""
    params: int | None
    """Values in its weights; ``None`` before it is built."""
    trainable_params: int
    """Those that training changes."""
    trainable: bool
    extra_bytes: int = 0
    """Bytes beyond four a value, of integers."""
    inside: tuple[LayerRow, ...] = ()
    """The layers of a model, to be shown below it."""


def summary(
    rows: Sequence[LayerRow],
    name: str,
    *,
    line_length: int | None = None,
    positions: Sequence[float] | None = None,
    print_fn: Callable[[str], object] | None = None,
    show_trainable: bool = False,
    layer_range: Sequence[str] | None = None,
    optimizer_params: int | None = None,
) -> None:
    """Print the table of a model.

    Args:
        rows: Its layers.
        name: Its name.
        line_length: Width of the table; by default 88 (100 with ``show_trainable``), or what the terminal has, less 4.
        positions: Where the columns for layer, shape and parameters end, as growing fractions of the width.
        print_fn: Called once with the whole text, instead of writing to ``sys.stdout``.
        show_trainable: Add a column: ``Y`` or ``N``, or ``-`` for a layer without weights.
        layer_range: Patterns that the names of the first and the last layer to show start with; the totals stay whole.
        optimizer_params: Values in the optimizer's state, one of them its 64-bit count of steps.

    Raises:
        ValueError: for columns too narrow to hold anything, and a ``layer_range`` that names no layer.
    """
    text = "".join(
        f"{line}\n"
        for line in [
            f'Model: "{name}"',
            *_table(_expanded(_in_range(rows, layer_range)), _column_widths(line_length, positions, show_trainable)),
            *_footer(rows, optimizer_params),
        ]
    )
    if print_fn is None:
        console.write(text)
    else:
        print_fn(console.encodable(text))


def readable_size(size: float) -> str:
    """Bytes with a unit: ``27.79 KB``, where a KB is 1024 bytes."""
    units = ["B", "KB", "MB", "GB", "TB", "PB"]
    while size >= 1024 and len(units) > 1:
        size /= 1024
        del units[0]
    return f"{size:.2f} {units[0]}"


def _footer(rows: Sequence[LayerRow], optimizer_params: int | None) -> list[str]:
    params = sum(row.params or 0 for row in rows)
    trainable = sum(row.trainable_params for row in rows)
    extra = sum(row.extra_bytes for row in rows)
    state = 0 if optimizer_params is None else optimizer_params
    state_bytes = state * _VALUE_BYTES + (8 - _VALUE_BYTES if state else 0)
    counts = [
        ("Total", params + state, params * _VALUE_BYTES + extra + state_bytes),
        ("Trainable", trainable, trainable * _VALUE_BYTES),
        ("Non-trainable", params - trainable, (params - trainable) * _VALUE_BYTES + extra),
    ]
    if optimizer_params is not None:
        counts.append(("Optimizer", state, state_bytes))
    return [f" {what} params: {count:,} ({readable_size(size)})" for what, count, size in counts]


def _in_range(rows: Sequence[LayerRow], layer_range: Sequence[str] | None) -> Sequence[LayerRow]:
    if layer_range is None:
        return rows
    if isinstance(layer_range, str) or len(layer_range) != 2 or not all(isinstance(n, str) for n in layer_range):
        raise ValueError(f"summary: layer_range must be two names of layers. Received: layer_range={layer_range!r}.")
    first, last = ([i for i, row in enumerate(rows) if re.match(pattern, row.name)] for pattern in layer_range)
    if not first or not last:
        known = ", ".join(row.name for row in rows)
        raise ValueError(
            f"summary: layer_range must name layers of the model ({known}). Received: layer_range={layer_range!r}."
        )
    if min(first) > max(last):
        first, last = last, first
    return rows[min(first) : max(last) + 1]


def _expanded(rows: Sequence[LayerRow], level: int = 0) -> list[LayerRow]:
    """The rows and those inside them, whose names are set in."""
    result = []
    for row in rows:
        result.append(row._replace(name=f"{'   ' * level}└ {row.name}") if level else row)
        result += _expanded(row.inside, level + 1)
    return result


# Widths.


def _column_widths(line_length: int | None, positions: Sequence[float] | None, show_trainable: bool) -> list[int]:
    """Characters inside each column, without the blank on either side of it."""
    ends = [0.45, 0.8, 1.0] if positions is None else list(positions)
    if len(ends) != 3:
        raise ValueError(f"summary: positions must be three fractions of the width. Received: positions={positions!r}.")
    if line_length is None:
        widest, narrowest = (100, 40) if show_trainable else (88, 20)
        line_length = max(narrowest, min(widest, console.columns() - 4))
    if show_trainable:
        ends = [0.9 * end for end in ends] + [1.0]
    edges = [0, *(int(end * line_length) for end in ends)]
    widths = [right - left for left, right in itertools.pairwise(edges)]
    if min(widths) < 4:
        raise ValueError(
            "summary: each column must be at least 4 characters wide. "
            f"Received: line_length={line_length!r}, positions={positions!r}."
        )
    return [width - 2 for width in _fit([w + 2 for w in widths], line_length - len(widths) - 1)]


def _fit(widths: list[int], total: int) -> list[int]:
    """``widths`` narrowed by equal amounts, or widened in proportion, until they sum to ``total``."""
    widths = [min(width, total) for width in widths]
    spare = total - sum(widths)
    result = []
    for i, width in enumerate(widths):
        share = math.ceil(width * spare / sum(widths[i:])) if spare > 0 else round(spare / (len(widths) - i))
        result.append(width + share)
        spare -= share
    return result


# Drawing.


def _table(rows: Sequence[LayerRow], widths: list[int]) -> list[str]:
    header = ["Layer (type)", "Output Shape", "Param #", "Trainable"][: len(widths)]
    cells = [_wrapped(header, widths), *(_wrapped(_cells(row), widths) for row in rows)]
    lines = [_rule("┏━┳┓", widths), *_row("┃", cells[0], widths, pad_top=True), _rule("┡━╇┩", widths)]
    for i, row in enumerate(cells[1:]):
        lines += [_rule("├─┼┤", widths)] if i else []
        lines += _row("│", row, widths)
    return [*lines, _rule("└─┴┘", widths)]


def _cells(row: LayerRow) -> list[str]:
    shape = "?" if row.output_shape is None else f"({', '.join(str(n) for n in row.output_shape)})"
    params = "0 (unbuilt)" if row.params is None else f"{row.params:,}"
    trainable = "-" if not row.params else "Y" if row.trainable else "N"
    return [f"{row.name} ({row.class_name})", shape, params, trainable]


def _rule(characters: str, widths: list[int]) -> str:
    left, line, middle, right = tuple(characters)
    return left + middle.join(line * (width + 2) for width in widths) + right


def _row(edge: str, cells: _Columns, widths: list[int], pad_top: bool = False) -> list[str]:
    height = max(len(lines) for lines in cells)
    columns = []
    for i, (lines, width) in enumerate(zip(cells, widths, strict=True)):
        blank = [""] * (height - len(lines))
        columns.append([_aligned(text, width, i) for text in (blank + lines if pad_top else lines + blank)])
    return [f"{edge} {f' {edge} '.join(line)} {edge}" for line in zip(*columns, strict=True)]


def _aligned(text: str, width: int, column: int) -> str:
    """Layer and shape to the left, parameters to the right, the answer to "trainable?" in the middle."""
    spare = width - console.width(text)
    left = (0, 0, spare, spare // 2)[column]
    return " " * left + text + " " * (spare - left)


def _wrapped(cells: list[str], widths: list[int]) -> _Columns:
    return [_wrap(text, width) for text, width in zip(cells, widths, strict=False)]


def _wrap(text: str, width: int) -> list[str]:
    """``text`` broken at blanks; a word that is wider than the column ends in an ellipsis."""
    lines: list[str] = []
    for word in text.split(" "):
        if lines and console.width(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return [_shorten(line, width) for line in lines]


def _shorten(text: str, width: int) -> str:
    if console.width(text) <= width:
        return text
    while console.width(text) > width - 1:
        text = text[:-1]
    return text + "…"
