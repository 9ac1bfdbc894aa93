"""Random ops. Their bits are a function of (seed, step, stream, element) alone, the same on every backend.

The generator is Philox4x32-10: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore.ops.base import Call, Emit, Gradients, Step, gradient, op

Array = np.ndarray[Any, Any]

_GROUP = 64
"""Elements drawn together: 16 Philox blocks of 4 words, word j of the 16 blocks giving 16 neighbouring elements."""


def philox(blocks: Array, step: int, stream: int, seed: int) -> Array:
    """Words [4, len(blocks)] of Philox4x32-10 at counter (block low, block high, step mod 2³², stream), key = seed."""
    low = np.uint64(0xFFFFFFFF)
    shift = np.uint64(32)
    blocks = blocks.astype(np.uint64)
    c0, c1 = blocks & low, blocks >> shift
    c2 = np.full_like(c0, step & 0xFFFFFFFF)
    c3 = np.full_like(c0, stream & 0xFFFFFFFF)
    k0, k1 = seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF
    for _ in range(10):
        a, b = c0 * np.uint64(0xD2511F53), c2 * np.uint64(0xCD9E8D57)
        c0, c1, c2, c3 = (b >> shift) ^ c1 ^ np.uint64(k0), b & low, (a >> shift) ^ c3 ^ np.uint64(k1), a & low
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3]).astype(np.uint32)


def random_words(size: int, step: int, stream: int, seed: int) -> Array:
    """One 32-bit word an element: element e is word (e mod 64) // 16 of block 16 (e // 64) + e mod 16."""
    groups = -(-size // _GROUP)
    words = philox(np.arange(16 * groups), step, stream, seed)
    return words.reshape(4, groups, 16).transpose(1, 0, 2).reshape(-1)[:size]


@op("m -> m, m", "rate", "stream", "seed", step=True)
def dropout(y: Array, mask: Array, x: Array, *, rate: float, stream: float, seed: float, step: Step) -> None:
    """y = x mask; mask = 1 / (1 - rate) where word >= rate 2³², else 0; all 0 at rate 1; y may be x.

    The key is the run's seed, exclusive-or the attribute ``seed`` (an integer below 2³²). A dropped NaN or ±inf is NaN.
    """
    threshold = np.uint64(int(rate * 2**32))
    words = random_words(x.size, step.number, int(stream), step.seed ^ int(seed))
    scale = x.dtype.type(1 / (1 - rate) if rate < 1 else 0)
    mask[...] = np.where(words.astype(np.uint64) >= threshold, scale, 0)
    np.multiply(x, mask, out=y)


@gradient("dropout")
def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
    return emit("multiply", d_outputs[0], call.outputs[1])
