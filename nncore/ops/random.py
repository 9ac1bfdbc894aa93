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
    _draw_mask(mask, rate, stream, seed, step)
    np.multiply(x, mask, out=y)


def _draw_mask(mask: Array, rate: float, stream: float, seed: float, step: Step) -> None:
    """1 / (1 - rate) or 0 for each element of the mask."""
    threshold = np.uint64(int(rate * 2**32))
    words = random_words(mask.size, step.number, int(stream), step.seed ^ int(seed)).reshape(mask.shape)
    scale = mask.dtype.type(1 / (1 - rate) if rate < 1 else 0)
    mask[...] = np.where(words.astype(np.uint64) >= threshold, scale, 0)


@gradient("dropout")
def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
    return emit("multiply", d_outputs[0], call.outputs[1])


@op("mnk -> mnk, mk", "rate", "stream", "seed", step=True)
def spatial_dropout(y: Array, mask: Array, x: Array, *, rate: float, stream: float, seed: float, step: Step) -> None:
    """y[m,n,k] = x[m,n,k] mask[m,k], with the mask of ``dropout``: n values are dropped together; y may be x"""
    _draw_mask(mask, rate, stream, seed, step)
    np.multiply(x, mask[:, None], out=y)


@gradient("spatial_dropout")
def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
    n = call.outputs[0].shape[-2]
    assert n is not None
    return emit("multiply", d_outputs[0], emit("repeat", call.outputs[1], n=n)[0])


@op("mk -> mk, k", "rate", "stream", "seed", step=True)
def batch_dropout(y: Array, mask: Array, x: Array, *, rate: float, stream: float, seed: float, step: Step) -> None:
    """y[m,k] = x[m,k] mask[k], with the mask of ``dropout``: the same for every m; y may be x"""
    _draw_mask(mask, rate, stream, seed, step)
    np.multiply(x, mask, out=y)


@gradient("batch_dropout")
def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
    return emit("row_multiply", d_outputs[0], call.outputs[1])


# Normal deviates: the inverse of the normal distribution function, by the rational functions of Wichura, "Algorithm AS
# 241: the percentage points of the normal distribution", Applied Statistics 37 (1988), PPND7: relative error 1e-7. The
# operations are those of the kernels one by one, each rounded, so that both give the same bits.

_CENTER = (3.3871327179, 50.434271938, 159.29113202, 59.109374720), (1.0, 17.895169469, 78.757757664, 67.187563600)
_TAIL = (1.4234372777, 2.7568153900, 1.3067284816, 0.17023821103), (1.0, 0.73700164250, 0.12021132975)
_LOG = tuple(
    float.fromhex(term)
    for term in (
        "0x1.5555a4p-2", "-0x1.00004ap-2", "0x1.99699ep-3", "-0x1.54ed96p-3",
        "0x1.28807ap-3", "-0x1.0d98f0p-3", "0x1.acf4aap-4", "-0x1.71e334p-5",
    )
)  # fmt: skip
_LN2_HI, _LN2_LO = float.fromhex("0x1.62e4p-1"), float.fromhex("0x1.7f7d1cp-20")


def normal_deviates(words: Array) -> Array:
    """A standard normal deviate in float32 of each word: bit 0 is the sign, the others the probability beyond it."""
    real = np.float32
    p = ((words >> np.uint32(1)).astype(real) + real(0.5)) * real(2.0**-32)
    q = real(0.5) - p
    center = q * _quotient(_CENTER, real(0.180625) - q * q)
    root = np.sqrt(-_log(p))
    tail = _quotient(_TAIL, root - real(1.6))
    z = np.where(q <= real(0.425), center, tail)
    return np.where(words & np.uint32(1), -z, z)


def _quotient(terms: tuple[tuple[float, ...], tuple[float, ...]], x: Array) -> Array:
    above, below = (_polynomial(part, x) for part in terms)
    return above / below


def _polynomial(terms: tuple[float, ...], x: Array) -> Array:
    """terms[0] + terms[1] x + …, each product and sum rounded"""
    y = np.full_like(x, terms[-1])
    for term in reversed(terms[:-1]):
        y = y * x + x.dtype.type(term)
    return y


def _log(x: Array) -> Array:
    """The logarithm of normal float32 values below 1: 2 ulp"""
    real = np.float32
    fraction, exponent = np.frexp(x)
    low = fraction < real(0.75)
    f = np.where(low, fraction + fraction, fraction) - real(1)
    n = np.where(low, exponent - 1, exponent).astype(real)
    f2 = f * f
    y = f * f2 * _polynomial(_LOG, f) + n * real(_LN2_LO)
    found: Array = n * real(_LN2_HI) + (f + (y - real(0.5) * f2))
    return found


@op("m -> m", "stddev", "stream", "seed", step=True)
def gaussian_noise(y: Array, x: Array, *, stddev: float, stream: float, seed: float, step: Step) -> None:
    """y = x + stddev z with standard normal deviates z, keyed as in ``dropout``; y may be x"""
    z = normal_deviates(random_words(x.size, step.number, int(stream), step.seed ^ int(seed)))
    y[...] = x + np.float32(stddev) * z


@gradient("gaussian_noise")
def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
    return [d_outputs[0]]


@op("m -> m, m", "stddev", "stream", "seed", step=True)
def gaussian_dropout(y: Array, mask: Array, x: Array, *, stddev: float, stream: float, seed: float, step: Step) -> None:
    """y = x mask; mask = 1 + stddev z with standard normal deviates z, keyed as in ``dropout``; y may be x"""
    z = normal_deviates(random_words(x.size, step.number, int(stream), step.seed ^ int(seed)))
    mask[...] = np.float32(1) + np.float32(stddev) * z
    np.multiply(x, mask, out=y)


@gradient("gaussian_dropout")
def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
    return emit("multiply", d_outputs[0], call.outputs[1])


DRAWS = ("dropout", "spatial_dropout", "batch_dropout", "gaussian_noise", "gaussian_dropout")
"""The ops that draw; each in a program has a stream of its own."""
