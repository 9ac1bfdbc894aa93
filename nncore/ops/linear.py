"""The dense layer's matrix products. ``m`` rows, ``k`` features in, ``n`` features out.

Each element of a product is one chain of fused multiply-adds over the summed axis, in order, whatever the batch, the
tile, the vector width or the number of threads: the compiled kernels give a row the same bits wherever it stands.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore.ops.activations import relu, relu_grad, sigmoid, sigmoid_grad, tanh, tanh_grad
from nncore.ops.base import Call, Emit, Gradients, Step, gradient, op
from nncore.ops.optim import sgd

Array = np.ndarray[Any, Any]


@op("mk, kn, n? -> mn")
def dense(y: Array, x: Array, w: Array, b: Array | None) -> None:
    """y[m,n] = b[n] + sum_k x[m,k] w[k,n], summed in the order b, k=0, 1, …"""
    np.matmul(x, w, out=y)
    if b is not None:
        y += b


@gradient("dense")
def _(emit: Emit, call: Call, d_outputs: Gradients) -> Gradients:
    x, w, _ = call.inputs
    (dy,) = d_outputs
    dx = emit("dense_grad_x", dy, w)[0] if call.wanted[0] else None
    dw = emit("dense_grad_w", x, dy)[0] if call.wanted[1] else None
    db = emit("bias_grad", dy)[0] if call.wanted[2] else None
    return dx, dw, db


@op("mn, kn -> mk")
def dense_grad_x(dx: Array, dy: Array, w: Array) -> None:
    """dx[m,k] = sum_n dy[m,n] w[k,n]"""
    np.matmul(dy, w.T, out=dx)


@op("mk, mn -> kn")
def dense_grad_w(dw: Array, x: Array, dy: Array) -> None:
    """dw[k,n] = sum_m x[m,k] dy[m,n]; zeros for an empty batch"""
    np.matmul(x.T, dy, out=dw)


@op("mn -> n")
def bias_grad(db: Array, dy: Array) -> None:
    """db[n] = sum_m dy[m,n], in the order of m"""
    np.add.reduce(dy, axis=0, out=db)


# Fused forms, written by the compiler's table of rewrites (nncore/compiler/fuse.py); they have no gradient rule because
# fusion comes after differentiation. Each is bit for bit its two parts.


@op("mk, kn, n? -> mn")
def dense_relu(y: Array, x: Array, w: Array, b: Array | None) -> None:
    """y = relu(x w + b)"""
    dense(y, x, w, b)
    relu(y, y)


@op("mk, kn, n? -> mn")
def dense_tanh(y: Array, x: Array, w: Array, b: Array | None) -> None:
    """y = tanh(x w + b)"""
    dense(y, x, w, b)
    tanh(y, y)


@op("mk, kn, n? -> mn")
def dense_sigmoid(y: Array, x: Array, w: Array, b: Array | None) -> None:
    """y = sigmoid(x w + b)"""
    dense(y, x, w, b)
    sigmoid(y, y)


@op("mn, kn, mk -> mk")
def dense_grad_x_relu(dx: Array, dy: Array, w: Array, y: Array) -> None:
    """dx = (dy wᵀ) where y > 0, else 0; y[m,k] is the output of the relu that fed this layer"""
    dense_grad_x(dx, dy, w)
    relu_grad(dx, dx, y)


@op("mn, kn, mk -> mk")
def dense_grad_x_tanh(dx: Array, dy: Array, w: Array, y: Array) -> None:
    """dx = (dy wᵀ) (1 - y²); y[m,k] is the output of the tanh that fed this layer"""
    dense_grad_x(dx, dy, w)
    tanh_grad(dx, dx, y)


@op("mn, kn, mk -> mk")
def dense_grad_x_sigmoid(dx: Array, dy: Array, w: Array, y: Array) -> None:
    """dx = (dy wᵀ) y (1 - y); y[m,k] is the output of the sigmoid that fed this layer"""
    dense_grad_x(dx, dy, w)
    sigmoid_grad(dx, dx, y)


@op("mk, mn, kn -> kn", step=True)
def dense_grad_w_sgd(w: Array, x: Array, dy: Array, w_in: Array, *, step: Step) -> None:
    """w -= rate (xᵀ dy); w_in is w"""
    dw = np.empty_like(w)
    dense_grad_w(dw, x, dy)
    sgd(w, w_in, dw, step=step)


@op("mn, n -> n", step=True)
def bias_grad_sgd(b: Array, dy: Array, b_in: Array, *, step: Step) -> None:
    """b -= rate sum_m dy[m]; b_in is b"""
    db = np.empty_like(b)
    bias_grad(db, dy)
    sgd(b, b_in, db, step=step)
