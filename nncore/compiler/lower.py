"""From a model's layers, loss, metrics and optimizer to the three programs it runs: train, evaluate, predict."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from nncore.builder import Builder
from nncore.compiler.autodiff import differentiate, differentiate_in
from nncore.layers.base import Layer, elements
from nncore.losses import Loss
from nncore.metrics import Metric, Score, scores
from nncore.optimizers.base import Optimizer
from nncore.program import Buffer, Instruction, Program, Shape

LOSS_TOTAL = "total/loss"


def forward(b: Builder, layers: Sequence[Layer], x: Buffer) -> Buffer:
    """Append the layers, one after the other; ``b.mask`` is then the mask of what comes out."""
    for layer in layers:
        with b.scope(layer.name):
            if b.scored:
                # Before the weight is used: its penalty's gradient is then added as soon as that of its use is there.
                regularized = [v for v in layer.trainable_weights if v.regularizer is not None]
                b.penalties += [v.regularizer.lower(b, b.parameter(v)) for v in regularized]
            x = layer.append(b, x)
        if b.mask is not None and not layer.supports_masking:
            if b.scored:
                warnings.warn(
                    f"Layer {layer.name!r} drops the mask of its inputs: behind it, masked steps count as all others.",
                    stacklevel=2,
                )
            b.mask = None
    return x


def load(b: Builder, name: str, shape: Shape, dtype: str = "real", sparse: bool = False) -> Buffer:
    """Append the gathering of a batch from the caller's array ``name``, whose rows have ``shape``, or sparse matrix."""
    flat = (None, elements(shape))
    source = b.buffers.get(f"{name}_rows") or b.declare("source", f"{name}_rows", flat, "any")
    batch = b.declare("workspace", name, flat, dtype)
    if sparse:
        pools = (b.declare("pool", f"{name}_{part}", (None,), "any") for part in ("values", "columns"))
        b.emit_to("gather_csr", (batch,), source, *pools)
        return b.view(batch, shape)
    b.emit_to("gather" if dtype == "real" else "gather_int", (batch,), source)
    return b.view(batch, shape)


def _samples(b: Builder, layers: Sequence[Layer], x_shape: Shape, sparse: bool = False) -> Buffer:
    """The samples, in the type that the first layer takes."""
    return load(b, "x", x_shape, "int32" if layers[0].takes_integers else "real", sparse)


def lower_predict(layers: Sequence[Layer], x_shape: Shape, direct: bool, sparse: bool = False) -> Program:
    """x to predictions, into the caller's array. ``direct``: x is float32 and contiguous, and read where it lies."""
    b = Builder("predict", training=False)
    x = b.declare("input", "x", x_shape) if direct else _samples(b, layers, x_shape, sparse)
    prediction = forward(b, layers, x)
    output = b.declare("output", "predictions", prediction.shape)
    shared = any(buffer.base == prediction.name for buffer in b.buffers.values())
    if prediction.kind == "workspace" and prediction.base is None and not shared:
        b.rename(prediction, output)
    else:
        b.emit_to("scale_shift", (output,), prediction, scale=1.0, offset=0.0)
    return b.finish()


class _Targets:
    """y in the form that a loss or metric takes, gathered once each.

    Args:
        b: The program.
        prediction: The shape of the predictions.
        y: That of y, for what takes it as it is; by default that of the predictions.
    """

    def __init__(self, b: Builder, prediction: Shape, y: Shape | None = None) -> None:
        self._b = b
        self._prediction = prediction
        self._y = prediction if y is None else y
        self._loaded: dict[tuple[str, Shape], Buffer] = {}

    def get(self, target: str, shape: Shape | None = None) -> Buffer:
        """``shape``: where it is not that of the predictions, less their last axis for labels."""
        labels = target == "labels"
        if target == "any":
            target, shape = "same", self._y
        if shape is None:
            shape = self._prediction[:-1] if labels else self._prediction
        if (target, shape) not in self._loaded:
            self._loaded[target, shape] = load(self._b, "y", shape, "int32" if labels else "real")
        return self._loaded[target, shape]

    def of(self, loss: Loss) -> Buffer:
        """The targets of a loss."""
        if loss.target == "any":
            return self.get("any")
        return self.get(loss.target, loss.target_shape(self._prediction))


def _score(
    b: Builder, layers: Sequence[Layer], x_shape: Shape, loss: Loss, metrics: Sequence[Score], weighted: bool,
    weights: Shape, y: Shape | None, sparse: bool,
) -> tuple[Buffer, Buffer | None]:  # fmt: skip
    """Append forward pass, loss and metrics with their running totals; returns the loss of each row and its weight.

    The loss of the batch is the mean of the rows' losses times their weights, whatever its reduction.
    """
    prediction = forward(b, layers, _samples(b, layers, x_shape, sparse))
    targets = _Targets(b, prediction.shape, y)
    with b.scope("loss"):
        weight = load(b, "sample_weight", weights) if weighted else None
        rows = loss.lower(b, targets.of(loss), prediction)
        if weight is not None and weight.shape != rows.shape:
            weight = _spread(b, weight, rows)
        mask = _mask_of_rows(b, prediction, rows)
        given, weight = weight, loss.weigh(b, targets.of(loss), rows, weight, mask)
    total = b.declare("total", LOSS_TOTAL, (), "float64")
    b.emit_to("add_rows", (total,), rows, weight)
    for penalty in b.penalties:
        b.emit_to("add_penalty", (total,), rows, penalty)
    for name, metric, counts in metrics:
        with b.scope(name):
            metric.build(prediction.shape)
            counted = _weight_of_rows(b, given, prediction) if counts else None
            if mask is not None and metric.takes_mask:
                counted = mask if counted is None else b.emit("multiply", counted, mask)[0]
            metric.append(b, targets.get(metric.target), prediction, counted)
    return rows, weight


def _mask_of_rows(b: Builder, prediction: Buffer, rows: Buffer) -> Buffer | None:
    """The mask of the predictions, one a value of the loss."""
    if b.mask is not None and not b.mask.shape == prediction.shape[:-1] == rows.shape:
        raise ValueError(
            f"Predictions of shape {prediction.shape} with a mask of shape {b.mask.shape} need a loss of one value for "
            f"each of the mask. Received: a loss of shape {rows.shape}. A Reshape or Flatten drops masks."
        )
    return b.mask


def _spread(b: Builder, weight: Buffer, rows: Buffer) -> Buffer:
    """The sample weights, one a value of ``rows``."""
    flat = b.view(rows, (*weight.shape, elements(rows.shape) // elements(weight.shape)))
    return b.view(b.emit("spread", weight, flat)[0], rows.shape)


def _weight_of_rows(b: Builder, weight: Buffer | None, prediction: Buffer) -> Buffer | None:
    """Weights of a loss's values as one a row of predictions, for metrics."""
    shape = prediction.shape[:-1]
    if weight is None or weight.shape == shape:
        return weight
    if len(weight.shape) > 1:
        raise ValueError(
            f"Weighted metrics need one weight a sample or a row of predictions, shape {shape}. "
            f"Received: weights of shape {weight.shape}."
        )
    (repeated,) = b.emit("repeat", b.view(weight, (None, 1)), n=elements(shape))
    return b.view(repeated, shape)


def lower_evaluate(
    layers: Sequence[Layer], x_shape: Shape, loss: Loss, metrics: Sequence[Metric], weighted: bool,
    weighted_metrics: Sequence[Metric] = (), *, weights: Shape = (None,), y: Shape | None = None,
    sparse: bool = False,
) -> Program:  # fmt: skip
    """x and y to the totals of loss and metrics; ``weights`` is the shape of the sample weights, batch axis first."""
    b = Builder("evaluate", training=False, scored=True)
    _score(b, layers, x_shape, loss, scores(metrics, weighted_metrics), weighted, weights, y, sparse)
    return b.finish()


def lower_vjp(layers: Sequence[Layer], x_shape: Shape) -> Program:
    """x and the gradient of something in the predictions to that in x, as layers act in inference."""
    b = Builder("vjp", training=False)
    x = _samples(b, layers, x_shape)
    prediction = forward(b, layers, x)
    return _gradient_in(b, x, prediction, load(b, "dy", prediction.shape))


def lower_input_gradient(
    layers: Sequence[Layer], x_shape: Shape, loss: Loss, weights: Shape = (None,), y: Shape | None = None
) -> Program:
    """x and y to the gradient of each sample's loss in x, times its ``weight``, as layers act in inference."""
    b = Builder("input_gradient", training=False)
    x = _samples(b, layers, x_shape)
    prediction = forward(b, layers, x)
    with b.scope("loss"):
        weight = load(b, "weight", weights)
        rows = loss.lower(b, _Targets(b, prediction.shape, y).of(loss), prediction)
        if weight.shape != rows.shape:
            weight = _spread(b, weight, rows)
        mask = _mask_of_rows(b, prediction, rows)
        if mask is not None:
            (weight,) = b.emit("multiply", weight, mask)
    b.emit_to("add_rows", (b.declare("total", LOSS_TOTAL, (), "float64"),), rows, weight)
    return _gradient_in(b, x, rows, weight)


def _gradient_in(b: Builder, x: Buffer, value: Buffer, d_value: Buffer) -> Program:
    """The program, ended by the gradient in x, into the caller's array ``dx``."""
    found = differentiate_in(b, x, value, d_value)
    output = b.declare("output", "dx", x.shape)
    scale = 1.0
    if found is None:  # nothing depends on x
        found, scale = x, 0.0
    b.emit_to("scale_shift", (output,), found, scale=scale, offset=0.0)
    return b.finish()


def lower_train(
    layers: Sequence[Layer], x_shape: Shape, loss: Loss, metrics: Sequence[Metric], weighted: bool,
    optimizer: Optimizer, weighted_metrics: Sequence[Metric] = (), *, weights: Shape = (None,), y: Shape | None = None,
    sparse: bool = False,
) -> Program:  # fmt: skip
    """x and y to totals and updated weights."""
    b = Builder("train", training=True, scored=True)
    rows, weight = _score(b, layers, x_shape, loss, scores(metrics, weighted_metrics), weighted, weights, y, sparse)
    averages = _take_averages(b)
    trained = [v for layer in layers for v in layer.weights if v.trainable]
    if trained:
        with b.scope("loss"):
            (d_rows,) = b.emit("loss_scale", weight, rows)
            scale = optimizer.loss_scale_factor or 1.0
            d_penalties = b.emit("constant", value=scale) * len(b.penalties) if b.penalties else ()
        if optimizer.loss_scale_factor is not None:
            (d_rows,) = b.emit("scale_shift", d_rows, scale=scale, offset=0.0)
        differentiate(b, rows, d_rows, *zip(b.penalties, d_penalties, strict=True))
    b.instructions += averages
    if trained:
        optimizer.lower(b, trained)
    return b.finish()


def _take_averages(b: Builder) -> list[Instruction]:
    """Take out what writes into weights that no optimizer changes; it belongs with the optimizer's updates, behind all
    that a run may break off."""

    def averages(instruction: Instruction) -> bool:
        return any(o is not None and b.root(b.buffers[o]).kind == "frozen" for o in instruction.outputs)

    taken = [i for i in b.instructions if averages(i)]
    b.instructions = [i for i in b.instructions if not averages(i)]
    return taken
