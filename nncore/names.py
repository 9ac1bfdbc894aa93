"""Automatic names: ``Dense`` becomes ``dense``, then ``dense_1``, ``dense_2``, …"""

from __future__ import annotations

import re
import threading

_WORD_START = r"(?<=.)(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])"

_lock = threading.Lock()
_counts: dict[str, int] = {}


def snake_case(name: str) -> str:
    """Keras's snake case of a class name: ``LeakyReLU`` → ``leaky_re_lu``, ``MaxPooling2D`` → ``max_pooling2d``."""
    return re.sub(_WORD_START, "_", re.sub(r"\W+", "", name)).lower()


def auto_name(class_name: str) -> str:
    """The next name of a class in this process: ``dense``, ``dense_1``, … Safe to call from many threads."""
    stem = snake_case(class_name)
    with _lock:
        count = _counts.get(stem, 0)
        _counts[stem] = count + 1
    return f"{stem}_{count}" if count else stem


def reset_names() -> None:
    """Start every counter anew: the next ``Dense`` is ``dense`` again."""
    with _lock:
        _counts.clear()
