"""Where every seed comes from: one stream, a function of ``set_seed`` or, before that, the system's entropy."""

from __future__ import annotations

import os
import threading

from nncore.arguments import count

_MASK = 2**64 - 1
_STRIDE = 0x9E3779B97F4A7C15  # 2⁶⁴ / golden ratio, odd: the counter visits all 2⁶⁴ states

_lock = threading.Lock()
_state: int | None = None  # None until set_seed: then seeds are the system's entropy


def set_seed(seed: int) -> None:
    """Make all seeds that are drawn from now on a function of ``seed``, a non-negative integer.

    Raises:
        ValueError: for anything else.
    """
    global _state
    state = count("set_seed", "seed", seed)
    words = [state >> shift & _MASK for shift in range(0, max(state.bit_length(), 1), 64)]
    mixed = 0
    for word in words:  # a seed of more than 64 bits counts in full
        mixed = _mix(mixed ^ word)
    with _lock:
        _state = mixed


def draw_seed() -> int:
    """The next seed: an integer in [0, 2⁶³). Safe to call from many threads.

    After ``set_seed`` it comes from SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators",
    OOPSLA 2014), which depends on no library's version; before, from the system's entropy.
    """
    global _state
    with _lock:
        if _state is None:
            return int.from_bytes(os.urandom(8), "little") >> 1
        _state = _state + _STRIDE & _MASK
        return _mix(_state) >> 1


def _mix(z: int) -> int:
    """The finalizer of SplitMix64, a bijection of 64-bit integers."""
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & _MASK
    return z ^ z >> 31
