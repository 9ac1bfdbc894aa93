"""Where every seed comes from: one stream, a function of ``set_seed`` or, before that, the system's entropy."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from nncore.arguments import count

_MASK = 2**64 - 1
_STRIDE = 0x9E3779B97F4A7C15  # 2⁶⁴ / golden ratio, odd: the counter visits all 2⁶⁴ states

_lock = threading.Lock()
_state: int | None = None  # None until set_seed: then seeds are the system's entropy
_own = threading.local()  # .state: of the stream that seeds_from opened in this thread


def set_seed(seed: int) -> None:
    """Make all seeds that are drawn from now on a function of ``seed``, a non-negative integer.

    Raises:
        ValueError: for anything else.
    """
    global _state
    state = _state_of(count("set_seed", "seed", seed))
    with _lock:
        _state = state


@contextmanager
def seeds_from(seed: int) -> Iterator[None]:
    """Inside, the seeds that this thread draws are a function of ``seed``; the stream of all others stays as it is."""
    outer: int | None = getattr(_own, "state", None)
    _own.state = _state_of(seed)
    try:
        yield
    finally:
        _own.state = outer


def _state_of(seed: int) -> int:
    """The state of the stream that a seed begins; one of more than 64 bits counts in full."""
    mixed = 0
    for shift in range(0, max(seed.bit_length(), 1), 64):
        mixed = _mix(mixed ^ (seed >> shift & _MASK))
    return mixed


def draw_seed() -> int:
    """The next seed: an integer in [0, 2⁶³). Safe to call from many threads.

    After ``set_seed`` it comes from SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators",
    OOPSLA 2014), which depends on no library's version; before, from the system's entropy.
    """
    global _state
    own: int | None = getattr(_own, "state", None)
    if own is not None:
        _own.state = own + _STRIDE & _MASK
        return _mix(_own.state) >> 1
    with _lock:
        if _state is None:
            return int.from_bytes(os.urandom(8), "little") >> 1
        _state = _state + _STRIDE & _MASK
        return _mix(_state) >> 1


def position() -> int | None:
    """The seed with which ``set_seed`` puts the stream where it is now; ``None`` before any seed was set."""
    return None if _state is None else _unmix(_state)


def _mix(z: int) -> int:
    """The finalizer of SplitMix64, a bijection of 64-bit integers."""
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & _MASK
    return z ^ z >> 31


def _unmix(z: int) -> int:
    """What ``_mix`` makes ``z`` of."""
    z = (z ^ z >> 31 ^ z >> 62) * pow(0x94D049BB133111EB, -1, 2**64) & _MASK
    z = (z ^ z >> 27 ^ z >> 54) * pow(0xBF58476D1CE4E5B9, -1, 2**64) & _MASK
    return z ^ z >> 30 ^ z >> 60
