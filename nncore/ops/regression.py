"""Losses of values p[m,n] against targets t[m,n], one a row, and their gradients in p. See ops/losses.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore.ops.base import op
from nncore.ops.losses import EPSILON, through_losses

Array = np.ndarray[Any, Any]


@op("mn, mn -> m")
def mean_squared_error(loss: Array, p: Array, t: Array) -> None:
    """loss[m] = mean_n (p - t)²"""
    np.mean((p - t) ** 2, axis=1, out=loss)


@op("mn, mn, m -> mn")
def mean_squared_error_grad(dp: Array, p: Array, t: Array, dloss: Array) -> None:
    """dp = (p - t) (2 dloss / n); dp may be p"""
    np.multiply(p - t, (2 * dloss / p.shape[1])[:, None], out=dp)


@op("mn, mn -> m")
def mean_absolute_error(loss: Array, p: Array, t: Array) -> None:
    """loss[m] = mean_n |p - t|"""
    np.mean(np.abs(p - t), axis=1, out=loss)


@op("mn, mn, m -> mn")
def mean_absolute_error_grad(dp: Array, p: Array, t: Array, dloss: Array) -> None:
    """dp = sign(p - t) (dloss / n), with sign(0) = 0; dp may be p"""
    np.multiply(np.sign(p - t), (dloss / p.shape[1])[:, None], out=dp)


@op("mn, mn -> m")
def mean_absolute_percentage_error(loss: Array, p: Array, t: Array) -> None:
    """loss[m] = mean_n 100 |p - t| / max(|t|, EPSILON)"""
    np.mean(100 * (np.abs(p - t) / np.maximum(np.abs(t), EPSILON)), axis=1, out=loss)


@op("mn, mn, m -> mn")
def mean_absolute_percentage_error_grad(dp: Array, p: Array, t: Array, dloss: Array) -> None:
    """dp = sign(p - t) / max(|t|, EPSILON) (100 dloss / n); dp may be p"""
    np.multiply(np.sign(p - t) / np.maximum(np.abs(t), EPSILON), (100 * dloss / p.shape[1])[:, None], out=dp)


def _logarithmic_error(p: Array, t: Array) -> tuple[Array, Array]:
    """log(1 + p) - log(1 + t) and 1 + p, both first raised to at least EPSILON."""
    p1, t1 = np.maximum(p, EPSILON) + 1, np.maximum(t, EPSILON) + 1
    return np.log(p1) - np.log(t1), p1


@op("mn, mn -> m")
def mean_squared_logarithmic_error(loss: Array, p: Array, t: Array) -> None:
    """loss[m] = mean_n (log(1 + p) - log(1 + t))², both first raised to at least EPSILON"""
    np.mean(_logarithmic_error(p, t)[0] ** 2, axis=1, out=loss)


@op("mn, mn, m -> mn")
def mean_squared_logarithmic_error_grad(dp: Array, p: Array, t: Array, dloss: Array) -> None:
    """dp = (log(1 + p) - log(1 + t)) / (1 + p) (2 dloss / n) where p was not raised, else 0; dp may be p"""
    error, p1 = _logarithmic_error(p, t)
    slope = np.where(p < p.dtype.type(EPSILON), 0, error / p1)
    np.multiply(slope, (2 * dloss / p.shape[1])[:, None], out=dp)


@op("mn, mn -> m", "delta")
def huber(loss: Array, p: Array, t: Array, *, delta: float) -> None:
    """loss[m] = mean_n (e² / 2 where |e| <= delta, else delta |e| - delta² / 2), e = p - t"""
    size = np.abs(p - t)
    np.mean(np.where(size <= delta, 0.5 * (size * size), delta * size - 0.5 * delta * delta), axis=1, out=loss)


@op("mn, mn, m -> mn", "delta")
def huber_grad(dp: Array, p: Array, t: Array, dloss: Array, *, delta: float) -> None:
    """dp = (p - t) kept in [-delta, delta] (dloss / n); dp may be p"""
    np.multiply(np.clip(p - t, -delta, delta), (dloss / p.shape[1])[:, None], out=dp)


@op("mn, mn -> m")
def log_cosh(loss: Array, p: Array, t: Array) -> None:
    """loss[m] = mean_n (|e| + log(1 + exp(-2 |e|)) - log 2), e = p - t"""
    size = np.abs(p - t)
    np.mean(size + np.log1p(np.exp(-2 * size)) - np.log(2), axis=1, out=loss)


@op("mn, mn, m -> mn")
def log_cosh_grad(dp: Array, p: Array, t: Array, dloss: Array) -> None:
    """dp = tanh(p - t) (dloss / n); dp may be p"""
    np.multiply(np.tanh(p - t), (dloss / p.shape[1])[:, None], out=dp)


@op("mn, mn -> m")
def poisson(loss: Array, p: Array, t: Array) -> None:
    """loss[m] = mean_n (p - t log(p + EPSILON))"""
    np.mean(p - t * np.log(p + EPSILON), axis=1, out=loss)


@op("mn, mn, m -> mn")
def poisson_grad(dp: Array, p: Array, t: Array, dloss: Array) -> None:
    """dp = (1 - t / (p + EPSILON)) (dloss / n); dp may be p"""
    np.multiply(1 - t / (p + EPSILON), (dloss / p.shape[1])[:, None], out=dp)


def _inverse_length(x: Array) -> tuple[Array, Array]:
    """1 / max(|x|, EPSILON) of each row, and whether |x| was raised."""
    length = np.sqrt(np.sum(x * x, axis=1, keepdims=True))
    return 1 / np.maximum(length, EPSILON), length < x.dtype.type(EPSILON)


@op("mn, mn -> m")
def cosine_similarity(loss: Array, p: Array, t: Array) -> None:
    """loss[m] = -sum_n (t / |t|) (p / |p|), where |x| is at least EPSILON"""
    np.negative(np.sum((t * _inverse_length(t)[0]) * (p * _inverse_length(p)[0]), axis=1), out=loss)


@op("mn, mn, m -> mn")
def cosine_similarity_grad(dp: Array, p: Array, t: Array, dloss: Array) -> None:
    """dp = (u c - v) / |p| dloss, u = p / |p|, v = t / |t|, c = sum_n u v, or 0 where |p| was raised; dp may be p"""
    inverse, raised = _inverse_length(p)
    u, v = p * inverse, t * _inverse_length(t)[0]
    c = np.where(raised, 0, np.sum(v * u, axis=1, keepdims=True))
    np.multiply(u * c - v, inverse * dloss[:, None], out=dp)


through_losses(
    "mean_squared_error", "mean_absolute_error", "mean_absolute_percentage_error", "mean_squared_logarithmic_error",
    "huber", "log_cosh", "poisson", "cosine_similarity",
)  # fmt: skip
