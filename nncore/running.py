"""What the methods of a model do that compute: its arguments looked at, its data made ready, and the loops run.

``models.Sequential`` has the methods and says what they take; it imports this module where the first of them is called,
since a program that only loads the package needs no training loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nncore import loops, losses, optimizers, random
from nncore.arguments import count, fraction, is_integer, is_number, positive_int
from nncore.callbacks import CallbackList, History
from nncore.data import Data, Samples, as_array, as_samples, check_lengths, fit_samples
from nncore.errors import DataError, unknown_name
from nncore.guard import MODES
from nncore.metrics import check as check_metric
from nncore.program import Shape
from nncore.sources import Batch, Source, hands_over_batches
from nncore.training import PREDICT_BATCH, Machine, Trainer

if TYPE_CHECKING:
    from nncore.models import Sequential

Array = np.ndarray[Any, Any]


def compile(
    model: Sequential, optimizer: Any, loss: Any, loss_weights: Any, metrics: Any,
    weighted_metrics: Any, run_eagerly: bool, steps_per_execution: int,
    jit_compile: Any, check_finite: bool, on_nan: str,
) -> tuple[Trainer, dict[str, Any]]:  # fmt: skip
    """What ``compile`` chose, and what it was called with."""
    if metrics is None and isinstance(loss_weights, list | tuple) and not any(map(is_number, loss_weights)):
        loss_weights, metrics = None, loss_weights
    if loss_weights is not None:
        raise ValueError(f"compile: loss_weights must be None. Received: loss_weights={loss_weights!r}.")
    if on_nan not in MODES:
        raise unknown_name("compile on_nan", on_nan, MODES)
    if loss is None:
        raise ValueError(f"compile needs a loss, such as loss='mse'. Known names: {', '.join(losses.CLASSES)}.")
    loss = _single("loss", loss)
    if isinstance(loss, list | tuple):
        if len(loss) != 1:
            raise ValueError(f"compile: a Sequential has one output and takes one loss. Received: loss={loss!r}.")
        loss = loss[0]
    chosen, weighted = _listed("metrics", metrics), _listed("weighted_metrics", weighted_metrics)
    for metric in chosen + weighted:
        check_metric(metric)
    by_shape = isinstance(loss, str) and loss.lower() in losses.BY_SHAPE
    loss_object = None if by_shape else losses.get(loss)
    if loss_object is not None and loss_object.reduction in ("none", None):
        raise ValueError(
            f"compile: {loss_object.name} must reduce a batch to one number: give it a reduction such as "
            f"'sum_over_batch_size' or 'sum'. Received: reduction={loss_object.reduction!r}."
        )
    _check_softmax(model, loss_object)
    trainer = Trainer(loss_object, chosen, optimizers.get(optimizer), bool(check_finite), weighted, on_nan)
    return trainer, {
        "optimizer": trainer.optimizer, "loss": loss, "loss_weights": loss_weights, "metrics": metrics,
        "weighted_metrics": weighted_metrics, "run_eagerly": run_eagerly,
        "steps_per_execution": steps_per_execution, "jit_compile": jit_compile,
    }  # fmt: skip


def _check_softmax(model: Sequential, loss: losses.Loss | None) -> None:
    """A softmax over one output is 1 whatever the weights: refuse to train it."""
    if (
        model.built
        and model.output_shape[-1] == 1
        and isinstance(loss, losses.CategoricalCrossentropy | losses.SparseCategoricalCrossentropy)
    ):
        raise ValueError(
            f"{loss.name} needs at least 2 outputs: a softmax over one is always 1. The last layer, "
            f"{model._layers[-1].name!r}, has 1. Use activation='sigmoid' with loss='binary_crossentropy', or 2 "
            "units."
        )


def prepare(
    model: Sequential,
    trainer: Trainer,
    x: Any,
    y: Any,
    sample_weight: Any = None,
    class_weight: Any = None,
    prefix: str = "",
) -> tuple[Machine, Data]:
    """The machine, built if it was not, and the caller's data as arrays that fit it."""
    machine = model._ready(as_samples(f"{prefix}x", x))
    _check_softmax(model, trainer.chosen)
    return machine, trainer.prepare(machine, x, y, sample_weight, class_weight, prefix)


def _feed(
    model: Sequential, trainer: Trainer, mode: str, x: Any, y: Any, sample_weight: Any, batch_size: int | None,
    steps: int | None, class_weight: Any = None, prefix: str = "",
) -> loops.Feed:  # fmt: skip
    """Data of any kind under the training or evaluation program."""
    if hands_over_batches(x):
        return _batch_feed(model, trainer, mode, x, y, sample_weight, steps, class_weight, prefix)
    machine, data = prepare(model, trainer, x, y, sample_weight, class_weight, prefix)
    return loops.ArrayFeed(trainer, machine, mode, data, _rows(batch_size, len(data), steps), steps)


def _batch_feed(
    model: Sequential, trainer: Trainer, mode: str, x: Any, y: Any, sample_weight: Any, steps: int | None,
    class_weight: Any, prefix: str,
) -> loops.BatchFeed:  # fmt: skip
    for name, value in (("y", y), ("sample_weight", sample_weight)):
        if value is not None:
            raise DataError(
                f"{prefix}{name} must be None where x hands over batches: they are (x, y) or "
                f"(x, y, sample_weight). Received: {prefix}{name} of type {type(value).__name__}."
            )
    source = _source(x, steps)
    first = source.peek()
    machine = model._ready(None if first is None else as_samples(f"{prefix}x", first[0]))
    _check_softmax(model, trainer.chosen)

    def prepare(batch: Batch, i: int) -> Data:
        return trainer.prepare(machine, *batch, class_weight, f"{prefix}batch {i} ")

    return loops.BatchFeed(trainer, machine, mode, source, prepare, steps)


def fit(
    model: Sequential, x: Any, y: Any, batch_size: int | None, epochs: int, verbose: Any,
    callbacks: Any, validation_split: float, validation_data: Any, shuffle: Any,
    class_weight: dict[int, float] | None, sample_weight: Any, initial_epoch: int,
    steps_per_epoch: int | None, validation_steps: int | None,
    validation_batch_size: int | None, validation_freq: Any,
) -> History:  # fmt: skip
    """See ``Sequential.fit``."""
    trainer = model.trainer("fit")
    size = _optional("fit", "batch_size", batch_size)
    validation_size = _optional("fit", "validation_batch_size", validation_batch_size) or size
    first, last = count("fit", "initial_epoch", initial_epoch), count("fit", "epochs", epochs)
    _check_verbose("fit", verbose)
    steps = _optional("fit", "steps_per_epoch", steps_per_epoch)
    validation_steps = _optional("fit", "validation_steps", validation_steps)
    if not isinstance(shuffle, bool | np.bool_) and not (isinstance(shuffle, str) and shuffle == "batch"):
        raise ValueError(f"fit: shuffle must be True, False or 'batch'. Received: shuffle={shuffle!r}.")
    _check_frequency(validation_freq)
    share = fraction("fit", "validation_split", validation_split, below_one=True)
    held_back = None
    feed: loops.Feed
    if hands_over_batches(x):
        if share and validation_data is None:
            raise ValueError(
                "fit: validation_split must be 0 where x hands over batches: give validation_data. "
                f"Received: validation_split={validation_split!r}."
            )
        feed = _batch_feed(model, trainer, "train", x, y, sample_weight, steps, class_weight, "")
    else:
        machine, data = prepare(model, trainer, x, y, sample_weight, class_weight)
        if validation_data is None and share:
            data, held_back = _split(data, share)
        feed = loops.ArrayFeed(trainer, machine, "train", data, _rows(size, len(data), steps), steps)
    validation: loops.Feed | None = None
    if held_back is not None:
        rows = _rows(validation_size, len(held_back), validation_steps)
        validation = loops.ArrayFeed(trainer, machine, "evaluate", held_back, rows, validation_steps)
    elif validation_data is not None:
        given = _validation(validation_data)
        validation = _feed(model, trainer, "evaluate", *given, validation_size, validation_steps, prefix="validation ")
    hooks = CallbackList(
        callbacks,
        add_history=True,
        add_progbar=bool(verbose),
        model=model,
        verbose=verbose,
        epochs=last,
        steps=feed.steps,
    )
    model.stop_training = model.stop_evaluating = False
    feed.seed(random.draw_seed(), shuffle)
    loops.fit(
        trainer, feed, validation, hooks, epochs=last, initial_epoch=first, validation_freq=validation_freq,
        stopped=lambda: model.stop_training, stopped_evaluating=lambda: model.stop_evaluating,
    )  # fmt: skip
    assert model.history is not None
    return model.history


def evaluate(
    model: Sequential, x: Any, y: Any, batch_size: int | None, verbose: Any,
    sample_weight: Any, steps: int | None, callbacks: Any, return_dict: bool,
) -> Any:  # fmt: skip
    """See ``Sequential.evaluate``."""
    trainer = model.trainer("evaluate")
    size = _optional("evaluate", "batch_size", batch_size)
    _check_verbose("evaluate", verbose)
    steps = _optional("evaluate", "steps", steps)
    feed = _feed(model, trainer, "evaluate", x, y, sample_weight, size, steps)
    hooks = CallbackList(callbacks, add_progbar=bool(verbose), model=model, verbose=verbose, epochs=1, steps=feed.steps)
    model.stop_evaluating = False
    return _scores(loops.evaluate(feed, hooks, lambda: model.stop_evaluating), return_dict)


def predict(
    model: Sequential, x: Any, batch_size: int | None, verbose: Any, steps: int | None,
    callbacks: Any, out: Array | None,
) -> Array:  # fmt: skip
    """See ``Sequential.predict``, which has dealt with single samples already."""
    size = _optional("predict", "batch_size", batch_size)
    _check_verbose("predict", verbose)
    steps = _optional("predict", "steps", steps)
    if hands_over_batches(x):
        return _predict_batches(model, x, steps, verbose, callbacks, out)
    samples = as_samples("x", x)
    machine = model._ready(samples)
    samples = fit_samples("x", samples, machine.x_shape)
    _check_out(out, (len(samples), *machine.output_shape[1:]))
    if not verbose and callbacks is None and steps is None:
        return machine.predict(samples, size or PREDICT_BATCH, out=out)
    size = _rows(size, len(samples), steps)
    there = -(-len(samples) // size)
    if steps is not None and steps > there:
        loops.warn_of_too_little("the array has", there, steps)
    if steps is not None and steps < there and out is not None:
        raise ValueError(f"predict: out must be None where steps leaves rows out. Received: steps={steps}.")
    there = min(there, steps or there)
    hooks = CallbackList(callbacks, add_progbar=bool(verbose), model=model, verbose=verbose, epochs=1, steps=there)
    model.stop_predicting = False
    return loops.predict(machine, samples, size, there, hooks, out, lambda: model.stop_predicting)


def _predict_batches(model: Sequential, x: Any, steps: int | None, verbose: Any, callbacks: Any, out: Any) -> Array:
    if out is not None:
        raise ValueError("predict: out must be None where x hands over batches: their rows are not known.")
    source = _source(x, steps)
    first = source.peek()
    machine = model._ready(None if first is None else as_samples("x", first[0]))

    def prepare(batch: Batch, i: int) -> Samples:
        name = f"batch {i} x"
        return fit_samples(name, as_samples(name, batch[0]), machine.x_shape)

    length = steps or source.length
    hooks = CallbackList(callbacks, add_progbar=bool(verbose), model=model, verbose=verbose, epochs=1, steps=length)
    model.stop_predicting = False
    return loops.predict_batches(machine, source, prepare, steps, hooks, lambda: model.stop_predicting)


def predict_on_batch(model: Sequential, x: Any) -> Array:
    """See ``Sequential.predict_on_batch``."""
    samples = as_samples("x", x)
    machine = model._ready(samples)
    return machine.predict(fit_samples("x", samples, machine.x_shape), len(samples))


def train_on_batch(
    model: Sequential, x: Any, y: Any, sample_weight: Any, class_weight: dict[int, float] | None,
    return_dict: bool,
) -> Any:  # fmt: skip
    """See ``Sequential.train_on_batch``."""
    trainer = model.trainer("train_on_batch")
    machine, data = prepare(model, trainer, x, y, sample_weight, class_weight)
    return _scores(trainer.train_on_batch(machine, data), return_dict)


def test_on_batch(model: Sequential, x: Any, y: Any, sample_weight: Any, return_dict: bool) -> Any:
    """See ``Sequential.test_on_batch``."""
    trainer = model.trainer("test_on_batch")
    machine, data = prepare(model, trainer, x, y, sample_weight)
    return _scores(trainer.test_on_batch(machine, data), return_dict)


def input_gradient(model: Sequential, x: Any, y: Any, sample_weight: Any) -> Array:
    """See ``Sequential.input_gradient``."""
    trainer = model.trainer("input_gradient")
    machine, data = prepare(model, trainer, x, y, sample_weight)
    return trainer.input_gradient(machine, data)


def vjp(model: Sequential, x: Any, dy: Any) -> Array:
    """See ``Sequential.vjp``."""
    samples = as_samples("x", x)
    machine = model._ready(samples)
    samples = fit_samples("x", samples, machine.x_shape)
    d_predictions = fit_samples("dy", as_array("dy", dy), machine.output_shape)
    check_lengths(x=samples, dy=d_predictions)
    return machine.vjp(samples, d_predictions)


def _single(argument: str, value: Any) -> Any:
    """``value``, which may be a config; ``ValueError`` for a dict of outputs."""
    if isinstance(value, dict) and "class_name" not in value:
        raise ValueError(
            f"compile: {argument} must not be a dict of outputs, since a Sequential has one: give what it holds. "
            f"Received: {argument}={value!r}."
        )
    return value


def _listed(argument: str, metrics: Any) -> list[Any]:
    """Metrics as ``compile`` takes them, as a list."""
    metrics = _single(argument, metrics)
    return [] if metrics is None else list(metrics) if isinstance(metrics, list | tuple) else [metrics]


def _scores(logs: dict[str, float], return_dict: bool) -> Any:
    if return_dict:
        return dict(sorted(logs.items()))
    values = list(logs.values())
    return values[0] if len(values) == 1 else values


def _optional(method: str, argument: str, value: Any) -> int | None:
    """A positive integer, or ``None`` where none was given."""
    return None if value is None else positive_int(method, argument, value)


def _rows(batch_size: int | None, rows: int, steps: int | None) -> int:
    """Rows in a batch of arrays: as given, or what makes so many steps, or 32."""
    return batch_size or (-(-rows // steps) if steps else 32)


def _source(x: Any, steps: int | None) -> Source:
    source = Source(x)
    if source.length is None and source.renews and hasattr(x, "__getitem__") and steps is None:
        raise ValueError(f"Say how many steps: {type(x).__name__} has no end of batches (num_batches is None).")
    return source


def _validation(given: Any) -> tuple[Any, Any, Any]:
    """x, y and sample_weight of validation data."""
    if hands_over_batches(given):
        return given, None, None
    if not isinstance(given, list | tuple) or len(given) not in (2, 3):
        raise ValueError(
            "fit: validation_data must be (x, y) or (x, y, sample_weight), or hand over batches of them. "
            f"Received: {type(given).__name__}."
        )
    x, y, weight = (*given, None)[:3]
    return x, y, weight


def _check_verbose(method: str, verbose: Any) -> None:
    if verbose not in ("auto", 0, 1, 2):
        raise ValueError(f"{method}: verbose must be 0, 1, 2 or 'auto'. Received: verbose={verbose!r}.")


def _check_frequency(value: Any) -> None:
    single = is_integer(value) and value > 0
    listed = isinstance(value, list | tuple | set) and all(is_integer(n) for n in value)
    if not single and not listed:
        raise ValueError(
            f"fit: validation_freq must be a positive integer or a list of epochs. Received: validation_freq={value!r}."
        )


def _check_out(out: Any, shape: Shape) -> None:
    if out is None:
        return
    if not isinstance(out, np.ndarray) or out.shape != shape or out.dtype != np.float32 or not out.flags.c_contiguous:
        raise ValueError(
            f"predict: out must be a float32 array of shape {shape} in C order. Received: "
            f"{type(out).__name__} {getattr(out, 'dtype', '')} {getattr(out, 'shape', '')}."
        )


def _split(data: Data, share: float) -> tuple[Data, Data]:
    """The last ``share`` of the rows is kept for validation; both parts must have rows."""
    at = int(len(data) * (1 - share))
    if at in (0, len(data)):
        raise DataError(
            f"fit: validation_split={share} of {len(data)} rows leaves {at} for training and {len(data) - at} for "
            "validation; both need one. Use another share, or validation_data."
        )
    return data.rows(0, at), data.rows(at, len(data))
