"""Faults planted on purpose: each must turn a test of the suite red, or the suite proves nothing.

A fault is a change of a few characters in the source of one function, or of one header of kernels. The test that must
fail is called as pytest would call it; the same test passes without the fault, as the suite itself shows.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FunctionType
from typing import Any

import numpy as np
import planted
import pytest
import test_bad_input
import test_compile
import test_compiler
import test_convert
import test_data_kinds
import test_determinism
import test_golden
import test_gradients
import test_guard
import test_kernels
import test_layers
import test_lockstep
import test_math
import test_means_of_losses
import test_models
import test_noise
import test_normalization
import test_onnx
import test_ops
import test_optimizers
import test_regularizers
import test_resume
import test_saving
import test_sources
import test_training
from planted import Patch
from test_resume import ARRAYS, nothing, wider

from nncore import (
    _native,
    allowance,
    backends,
    callbacks,
    data,
    guard,
    loops,
    losses,
    metrics,
    ops,
    random,
    resume,
    running,
    sources,
    training,
)
from nncore.backends.native import NativeExecutable
from nncore.backends.numpy import NumpyExecutable
from nncore.compiler import FlatVectors
from nncore.layers import Dropout
from nncore.metrics import confusion
from nncore.optimizers import Muon, Nadam, Optimizer
from nncore.saving import archives, files, state, whole

onnx = import_module("nncore.export.onnx")
convert_sklearn, convert_torch = (import_module(f"nncore.convert.{name}") for name in ("sklearn", "torch"))
numpy_backend = import_module("nncore.backends.numpy")
optimizing = import_module("nncore.optimizers.base")
autodiff, fuse, lower, plan = (
    import_module(f"nncore.compiler.{name}") for name in ("autodiff", "fuse", "lower", "plan")
)

Test = Callable[[], Any]


def body(op: str) -> Any:
    """The NumPy definition of an op."""
    return ops.OPS[op].body


def faulty(function: FunctionType, old: str, new: str) -> FunctionType:
    """The function with ``old`` in its source, which must stand there once, replaced by ``new``."""
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(old) == 1, f"{function.__qualname__}: {old!r} is there {source.count(old)} times"
    tree = ast.parse(source.replace(old, new))
    definition = tree.body[0]
    assert isinstance(definition, ast.FunctionDef)
    definition.decorator_list = []
    found: dict[str, Any] = {}
    exec(compile(tree, f"<planted in {function.__qualname__}>", "exec"), function.__globals__, found)
    return found[definition.name]


def layer_and_loss(hidden: str, head: str = "mse") -> Test:
    return lambda: test_gradients.test_layer_and_loss(hidden, head)


def golden_loss(name: str, i: int) -> Test:
    return lambda: test_golden.test_loss(name, i)


def golden_optimizer(name: str, i: int) -> Test:
    return lambda: test_golden.test_optimizer_on_variables(name, i)


def more_losses(head: str) -> Test:
    return lambda: test_gradients.test_sample_weights(head, False)


def numbered(test: Callable[[int], Any], *numbers: int) -> Test:
    """The test of several random models."""
    return lambda: [test(number) for number in numbers]


def in_folder(test: Callable[[Path], Any]) -> Test:
    """A test that wants a folder."""

    def run() -> None:
        with TemporaryDirectory() as folder:
            test(Path(folder))

    return run


def resumed(save_freq: Any = "epoch") -> Test:
    return in_folder(lambda folder: test_resume.test_arrays(save_freq, folder, "native"))


def in_onnx(stack: str) -> Test:
    return in_folder(partial(test_onnx.test_layers, stack))


FAULTS: dict[str, tuple[Any, str, str, Test]] = {
    # definitions of ops
    "relu passes a gradient at 0": (body("relu_grad"), "= y > 0", "= y >= 0", layer_and_loss("Dense relu")),
    "tanh's gradient has a wrong sign": (body("tanh_grad"), "1 - y * y", "1 + y * y", layer_and_loss("Dense tanh")),
    "sigmoid's gradient has a wrong sign": (
        body("sigmoid_grad"),
        "y * (1 - y)",
        "y * (1 + y)",
        layer_and_loss("Dense sigmoid"),
    ),
    "the slope of a leaking relu is that of its threshold": (
        body("general_relu_grad"),
        "negative_slope)",
        "threshold)",
        layer_and_loss("ReLU with all"),
    ),
    "batch normalization's gradient forgets the mean": (
        body("batch_norm_grad_x"),
        "(dy - dbeta / m)",
        "dy",
        layer_and_loss("BatchNormalization"),
    ),
    "layer normalization's gradient forgets the variance": (
        body("layer_norm_grad_x"),
        " - h * _mean(g * h)",
        "",
        layer_and_loss("LayerNormalization"),
    ),
    "an unbiased variance": (
        body("batch_norm"),
        "np.square(x - mean)) / len(x)",
        "np.square(x - mean)) / (len(x) - 1)",
        lambda: test_normalization.test_moving_statistics_follow_every_batch(16, "numpy"),
    ),
    "averages before the gradients": (
        lower._take_averages,
        "any(o is not None",
        "any(o is None",
        test_normalization.test_nothing_is_averaged_before_a_batch_must_be_finished,
    ),
    "silu's gradient without the slope of its sigmoid": (
        body("silu_grad"),
        "+ weigh",
        "+ 0 * weigh",
        lambda: test_gradients.test_activation("silu"),
    ),
    "gelu's density without its root": (
        body("gelu").__globals__["_normal"],
        "sqrt(2 * pi)",
        "2 * pi",
        lambda: test_gradients.test_activation("gelu"),
    ),
    "elu has another alpha": (
        body("elu"),
        "alpha * np.expm1",
        "np.expm1",
        lambda: test_golden.test_activation("selu", "numpy"),
    ),
    "softmax's gradient forgets its sum": (
        body("softmax_grad"),
        "- np.sum",
        "- 0 * np.sum",
        layer_and_loss("Dense softmax"),
    ),
    "t - p for p - t": (
        body("softmax_cross_entropy_grad"),
        " - t, dloss",
        " + t, dloss",
        layer_and_loss("Dense", "cce fused"),
    ),
    "a sum for a mean": (body("mean_squared_error"), "np.mean(", "np.sum(", golden_loss("MeanSquaredError", 0)),
    "a mean for a sum": (body("cross_entropy"), "np.sum(-", "np.mean(-", golden_loss("CategoricalCrossentropy", 0)),
    "another epsilon": (
        body("binary_cross_entropy").__globals__["clip"],
        "low, top = p.dtype.type(EPSILON)",
        "low, top = p.dtype.type(2 * EPSILON)",
        golden_loss("BinaryCrossentropy", 3),
    ),
    "probabilities are not normalised": (
        body("cross_entropy"),
        "p / np.sum(p, axis=1, keepdims=True)",
        "p",
        golden_loss("CategoricalCrossentropy", 3),
    ),
    "the loss is divided by the sum of the weights": (
        body("loss_scale"),
        "loss.shape[0]",
        "(loss.shape[0] if weight is None else weight.sum())",
        lambda: test_training.test_sample_weight_divides_by_the_number_of_rows("numpy"),
    ),
    "totals without their weights": (
        body("add_rows"),
        "if weight is None",
        "if True",
        lambda: test_golden.test_loss_in_a_program("MeanSquaredError", 0, "numpy"),
    ),
    "SGD goes uphill": (body("sgd"), "w -= w", "w += w", golden_optimizer("SGD", 0)),
    "momentum takes the wrong part": (
        body("sgd_momentum"),
        "v *= momentum",
        "v *= 1 - momentum",
        golden_optimizer("SGD", 1),
    ),
    "Nesterov looks nowhere": (
        body("sgd_momentum"),
        "momentum * v - rate * g if",
        "momentum * v if",
        golden_optimizer("SGD", 2),
    ),
    "Adam's epsilon under the root": (
        body("adam"),
        "np.sqrt(v) + real(epsilon)",
        "np.sqrt(v + real(epsilon))",
        golden_optimizer("Adam", 2),
    ),
    "Adam counts from 1": (
        Optimizer._rates,
        "every) + 1.0",
        "every) + 2.0",
        golden_optimizer("Adam", 0),
    ),
    "accumulated gradients are summed": (
        body("accumulated"),
        "np.divide(total, g.dtype.type(count), out=g)",
        "g[...] = total",
        golden_optimizer("Adam", 6),
    ),
    "what has been accumulated stays": (body("accumulated"), "total[...] = 0", "pass", golden_optimizer("Adam", 6)),
    "gradients are accumulated one step too few": (
        Optimizer._rates,
        "(steps + 1) % every",
        "steps % every",
        golden_optimizer("Adam", 6),
    ),
    "what is not due runs": (
        numpy_backend._when,
        "if step.rates[rate] else None",
        "if True else None",
        lambda: test_golden.test_optimizer_in_a_program("Adam", 6, "numpy"),
    ),
    "the running mean is the other way round": (
        body("average"),
        "p = step.rates[int(rate)]",
        "p = 1 - step.rates[int(rate)]",
        golden_optimizer("Adam", 4),
    ),
    "the running mean starts at 0": (
        Optimizer._rates,
        "np.where(t == 1, 0.0, self.ema_momentum)",
        "np.where(t == 0, 0.0, self.ema_momentum)",
        golden_optimizer("Adam", 4),
    ),
    "each weight is clipped by the norm of all": (
        Optimizer._clip,
        'b.emit("norm", at.g)',
        'b.emit("norm", every.g)',
        golden_optimizer("SGD", 4),
    ),
    "decay without the learning rate": (
        Optimizer._rates,
        'shared["decay"] = rate',
        'shared["decay"] = 1 + 0 * rate',
        golden_optimizer("SGD", 3),
    ),
    "a weight decays as the others do": (
        Optimizer._decays,
        "for p in patterns",
        "for p in ()",
        lambda: test_optimizers.test_some_weights_do_not_decay("numpy"),
    ),
    "decay after a fused update": (
        fuse._changes_weights,
        '== "parameter"',
        '== "frozen"',
        test_optimizers.test_only_plain_sgd_is_fused,
    ),
    "RMSprop's epsilon beside the root": (
        body("rmsprop"),
        "np.sqrt(v + real(epsilon))",
        "(np.sqrt(v) + real(epsilon))",
        lambda: test_golden.test_fit("clf/rmsprop", "numpy"),
    ),
    "a centered variance keeps the mean": (
        body("rmsprop_centered").__globals__["_variance"],
        "v - a * a",
        "v + a * a",
        golden_optimizer("RMSprop", 2),
    ),
    "Nadam looks one step too far": (Nadam.update_rates, "(t, t + 1)", "(t, t + 2)", golden_optimizer("Nadam", 0)),
    "FTRL forgets its first penalty": (
        body("ftrl"),
        "real(-l1), real(l1)",
        "real(0), real(0)",
        golden_optimizer("Ftrl", 1),
    ),
    "Lion moves by its momentum": (body("lion"), "np.sign(", "(", golden_optimizer("Lion", 0)),
    "Lamb trusts the other way": (
        body("lamb_step"),
        "* (w_norm / u_norm)",
        "* (u_norm / w_norm)",
        golden_optimizer("Lamb", 0),
    ),
    "Adafactor takes rows for columns": (
        body("row_squares"),
        "axis=2",
        "axis=1",
        golden_optimizer("Adafactor", 0),
    ),
    "Muon's polynomial lacks a term": (
        Muon._iterate,
        "beta=self.muon_c",
        "beta=0.0",
        golden_optimizer("Muon", 0),
    ),
    "frozen weights lose their state": (
        Optimizer.ensure_state,
        "known = self._resting | {",
        "known = {",
        lambda: test_optimizers.test_weights_keep_their_state_while_others_are_frozen_and_while_they_are("numpy"),
    ),
    "what dropout keeps is not scaled": (
        body("dropout").__globals__["_draw_mask"],
        "1 / (1 - rate) if rate < 1 else 0",
        "1",
        lambda: test_training.test_dropout_acts_in_training_only("numpy"),
    ),
    "dropout draws in another order": (
        body("dropout").__globals__["random_words"],
        "transpose(1, 0, 2)",
        "transpose(1, 2, 0)",
        lambda: test_lockstep.test_dropout_masks_are_the_reference_s("baseline"),
    ),
    "a probability of 0.5 counts as 1": (
        body("binary_matches"),
        "(p > threshold) == t, axis",
        "(p >= threshold) == t, axis",
        lambda: test_training.test_accuracy_by_shape("numpy"),
    ),
    "a batch takes the first rows": (
        body("gather"),
        "source[step.rows]",
        "source[: len(x)]",
        lambda: test_training.test_fit_by_hand(8, "numpy"),
    ),
    "exchanged axes keep their values where they were": (
        body("swap"),
        "x.swapaxes(1, 2)",
        "x.reshape(y.shape)",
        lambda: test_layers.test_every_order_of_axes((2, 3), "numpy"),
    ),
    "a repeated vector has the gradient of its first copy": (
        body("sum_steps"),
        "range(x.shape[1])",
        "range(1)",
        layer_and_loss("RepeatVector"),
    ),
    "the gradient of a square is half": (
        body("penalty_grad"),
        "real(2 * l2)",
        "real(l2)",
        layer_and_loss("penalties of weights"),
    ),
    "a penalty of outputs grows with the batch": (
        body("per_sample"),
        "penalty / len(x)",
        "penalty",
        lambda: test_regularizers.test_training_by_hand(False, "numpy"),
    ),
    "the loss shown forgets its penalties": (
        body("add_penalty"),
        "len(loss) *",
        "0 *",
        lambda: test_golden.test_regularizer("L2()", "numpy"),
    ),
    "frozen weights are penalised": (
        lower.forward,
        "layer.trainable_weights",
        "layer.weights",
        lambda: test_regularizers.test_frozen_weights_have_no_penalty("numpy"),
    ),
    "weights are held on arrays only": (
        optimizing.constrain,
        "constraint is not None",
        "False",
        lambda: test_golden.test_constraint("UnitNorm()", "numpy"),
    ),
    "no epsilon beside a norm": (
        body("limit_norm"),
        "real(NORM_EPSILON) + norm",
        "norm",
        test_ops.test_limits_of_norms_by_hand,
    ),
    "noise is not centred on 1": (
        body("gaussian_dropout"),
        "np.float32(1) +",
        "np.float32(0) +",
        lambda: test_noise.test_mean_is_kept("GaussianDropout"),
    ),
    "the tails of the normal distribution are cut": (
        body("gaussian_noise").__globals__["normal_deviates"],
        "q <= real(0.425)",
        "q <= real(0.5)",
        test_noise.test_deviates_are_normal,
    ),
    "maps are dropped value by value": (
        body("spatial_dropout"),
        "np.multiply(x, mask[:, None], out=y)",
        "_draw_mask(y, rate, stream, seed, step)",
        lambda: test_noise.test_what_is_dropped_together(*test_noise.SHARED[0]),
    ),
    # gradient rules
    "swapped factors": (
        ops.GRADIENTS["multiply"],
        "d_outputs[0], b)[0]",
        "d_outputs[0], a)[0]",
        lambda: test_compiler.test_a_value_used_twice("numpy"),
    ),
    "swapped operands of the weight's gradient": (
        ops.GRADIENTS["dense"],
        '"dense_grad_w", x, dy',
        '"dense_grad_w", dy, x',
        layer_and_loss("Dense"),
    ),
    "the bias is not trained": (ops.GRADIENTS["dense"], "call.wanted[2]", "False", layer_and_loss("Dense")),
    "dropped values pass a gradient": (
        ops.GRADIENTS["dropout"],
        '"multiply", d_outputs[0], call.outputs[1]',
        '"add", d_outputs[0], d_outputs[0]',
        layer_and_loss("Dropout"),
    ),
    "a rescaled gradient is shifted": (
        ops.GRADIENTS["scale_shift"],
        "offset=0.0",
        "offset=1.0",
        layer_and_loss("Rescaling"),
    ),
    # losses, metrics, layers
    "labels are smoothed too much": (
        losses.CategoricalCrossentropy._smoothing,
        "/ classes",
        "",
        golden_loss("CategoricalCrossentropy", 2),
    ),
    "mean_with_sample_weight divides by the rows": (
        losses.Loss._reduce,
        "total / count",
        "total / values.size",
        golden_loss("MeanSquaredError", 0),
    ),
    "huber's lines have the slope 1": (body("huber"), "delta * size", "size", golden_loss("Huber", 1)),
    "huber's slope is not bounded": (
        body("huber_grad"),
        "np.clip(p - t, -delta, delta)",
        "p - t",
        more_losses("huber"),
    ),
    "a cosine loses its sign": (
        body("cosine_similarity"),
        "np.negative(",
        "np.positive(",
        golden_loss("CosineSimilarity", 0),
    ),
    "a cosine's gradient keeps its length": (body("cosine_similarity_grad"), "u * c - v", "-v", more_losses("cosine")),
    "labels 0 of a hinge stay 0": (body("hinge_targets"), "2 * t - 1 if", "t if", golden_loss("Hinge", 0)),
    "a focal loss looks at the miss itself": (
        body("binary_focal_cross_entropy").__globals__["_misses"],
        "1 - (t * p",
        "(t * p",
        golden_loss("BinaryFocalCrossentropy", 0),
    ),
    "a focal gradient forgets its factor": (
        body("focal_cross_entropy_grad"),
        "_power_slope(1 - q, gamma) * np.log(q)",
        "0",
        more_losses("cfc"),
    ),
    "all of a categorical hinge's largest are one": (
        body("categorical_hinge").__globals__["_margin"],
        "largest / np.sum(largest, axis=1, keepdims=True)",
        "largest",
        lambda: test_ops.test_values_by_hand(
            "categorical_hinge_grad",
            [np.array([[0.25, 0.5, 0.5]]), np.array([[1.0, 0.0, 0.0]]), np.ones(1)],
            {},
            [[[-1.0, 0.5, 0.5]]],
        ),
    ),
    "dice counts the overlap once": (
        losses.Dice.attributes,
        '"scale": 2.0',
        '"scale": 1.0',
        golden_loss("Dice", 0),
    ),
    "ignored labels count in the mean": (
        losses.SparseCategoricalCrossentropy.mask,
        "self.ignore_class is None",
        "True",
        lambda: test_golden.test_loss_in_a_program("SparseCategoricalCrossentropy", 3, "numpy"),
    ),
    "a sum is a mean": (
        losses.Loss.weigh,
        "kind == MEAN or",
        "kind != WEIGHTED_MEAN or",
        lambda: test_golden.test_loss_in_a_program("MeanSquaredError", 0, "numpy"),
    ),
    "a weighted mean is divided by the rows": (
        body("weigh_rows"),
        "WEIGHTED_MEAN: w}",
        "WEIGHTED_MEAN: np.ones(m)}",
        lambda: test_golden.test_loss_in_a_program("Poisson", 0, "numpy"),
    ),
    "accuracy looks at the wrong shape": (
        losses.kind_by_shape,
        "len(y_shape) < len(p_shape)",
        "len(y_shape) > len(p_shape)",
        lambda: test_training.test_accuracy_by_shape("numpy"),
    ),
    "data that is refused chooses the loss": (
        training.Trainer.prepare,
        "self.chosen = None",
        "pass",
        test_compile.test_crossentropy_is_chosen_once_and_by_data_that_fits,
    ),
    "binary_accuracy is that of rows": (
        metrics.binary_accuracy,
        "y[..., None], p[..., None]",
        "y, p",
        lambda: test_means_of_losses.test_functions(*test_means_of_losses.FUNCTIONS[0]),
    ),
    "counts are summed up from below": (
        confusion.Confusion._at_thresholds,
        "[..., -2::-1]",
        "[..., :0:-1]",
        lambda: test_golden.test_metric("FalsePositives"),
    ),
    "metrics of all samples are weighted": (
        lower._score,
        " if counts else None",
        "",
        lambda: test_golden.test_metric_in_a_program("BinaryAccuracy", "native"),
    ),
    "dropout in predictions": (
        Dropout.lower,
        "not b.training or",
        "",
        lambda: test_models.test_layers_of_three_axes("Dropout", "numpy"),
    ),
    # the compiler
    "of two gradients the last one counts": (
        autodiff._Gradients.add,
        "if root.name in self._of:",
        "if False:",
        lambda: test_compiler.test_a_weight_used_twice("numpy"),
    ),
    "fusion drops what somebody else reads": (
        fuse._fusable,
        "readers[root.name] != 1",
        "readers[root.name] < 1",
        test_compiler.test_what_somebody_else_reads_is_not_fused_away,
    ),
    "fusion reads what is not written yet": (
        fuse._fusable,
        "if needed & written",
        "if False",
        test_compiler.test_nothing_moves_before_what_it_needs,
    ),
    "a buffer is given away before its last use": (
        plan._lifetimes,
        "(root, first, i)",
        "(root, first, first)",
        numbered(test_compiler.test_no_two_living_buffers_share_memory, 0, 1, 2),
    ),
    "a buffer is given away before its last use, seen from outside": (
        plan._lifetimes,
        "(root, first, i)",
        "(root, first, max(first, i - 1))",
        numbered(test_lockstep.test_numpy_on_shared_memory, *range(60, 90)),
    ),
    "weights stay where another model put them": (
        FlatVectors.adopt,
        "if variable.value is not view",
        "if variable.value.base is None",
        lambda: test_models.test_a_shared_layer_stays_shared("native"),
    ),
    # executors
    "every epoch draws the masks of the first": (
        NumpyExecutable._step,
        "epoch.step + i",
        "i",
        numbered(test_lockstep.test_weights_after_epochs, *range(12)),
    ),
    "the tail is run as a full batch": (
        NumpyExecutable.run,
        "min((i + 1) * batch, epoch.count)",
        "(i + 1) * batch",
        lambda: test_training.test_fit_by_hand(8, "numpy"),
    ),
    "kernels see one row": (
        NativeExecutable._template,
        "instruction.dims[letter].batched",
        "False",
        numbered(test_lockstep.test_every_buffer_of_a_step, 0, 1, 2),
    ),
    # training
    "validation begins a row late": (
        running._split,
        "int(len(data) * (1 - share))",
        "int(len(data) * (1 - share)) + 1",
        lambda: test_training.test_validation_split_sizes(0.5, 21),
    ),
    "no shuffling": (
        loops._order,
        "return Shuffle(",
        "return None and Shuffle(",
        lambda: test_training.test_shuffle("numpy"),
    ),
    "the totals of all epochs": (
        training.Trainer.begin,
        "memory.totals[...] = plan.initial",
        "pass",
        lambda: test_training.test_fit_by_hand(8, "native"),
    ),
    "the guard brings nothing back": (
        guard.Guard.restore,
        "live[...] = kept",
        "kept[...] = live",
        lambda: test_guard.test_huge_targets("native"),
    ),
    "steps of arrays begin anew each epoch": (
        loops.ArrayFeed.begin,
        "self._next >= self._pass",
        "self._next > 0",
        lambda: test_sources.test_steps_of_arrays_go_on(False, False, "native"),
    ),
    "an iterator's first batch is lost": (
        sources.Source.peek,
        "self._first = self._ahead = self._next()",
        "self._first = self._next()",
        lambda: test_sources.test_a_model_is_built_from_the_first_batch("native"),
    ),
    "a sparse matrix's values are a row late": (
        body("gather_csr"),
        "starts[rows, 0], starts[rows + 1, 0] - starts[rows, 0]",
        "starts[rows + 1, 0], starts[rows + 1, 0] - starts[rows, 0]",
        lambda: test_data_kinds.test_values_stored_twice_add_up("numpy"),
    ),
    "steps are not counted": (
        loops._train,
        "first + feed.done",
        "first",
        lambda: test_training.test_fit_by_hand(8, "native"),
    ),
    "classes that are not named weigh nothing": (
        training.Trainer._class_weights,
        "np.ones(classes",
        "np.zeros(classes",
        lambda: test_training.test_class_weight(False, "native"),
    ),
    "logs in another order": (
        callbacks.plain_logs,
        "sorted((logs or {}).items())",
        "reversed((logs or {}).items())",
        lambda: test_golden.test_fit("clf/sgd", "native"),
    ),
    "every seed is the same": (
        random.draw_seed,
        "_state + _STRIDE & _MASK",
        "_state",
        lambda: test_training.test_shuffle("numpy"),
    ),
    # data
    "one label too many": (
        data.check_labels,
        "high < classes",
        "high <= classes",
        lambda: test_bad_input.test_labels("too large", "fit", "numpy"),
    ),
    "NaN is let through": (
        data.check_finite,
        'array.dtype.kind != "f"',
        'array.dtype.kind == "f"',
        lambda: test_bad_input.test_data("NaN in x", "fit"),
    ),
    "the row of a large array is that of its piece": (
        data._refuse,
        "place[0] += start",
        "pass",
        test_bad_input.test_row_of_a_large_array,
    ),
    # training that goes on
    "a backup forgets the order of the rows": (
        loops.ArrayFeed.set_state, 'self._generator.bit_generator.state = state["generator"]', "pass", resumed(),
    ),
    "a backup forgets the sums of the epoch": (
        training.Trainer.set_sums, 'memory.totals[...] = sums["totals"]', "pass", resumed(save_freq=7),
    ),
    "a backup forgets how many batches are done": (
        loops.ArrayFeed.set_state, 'self._start + state["done"]', "self._start", resumed(save_freq=7),
    ),
    "a backup has the learning rate as float32": (
        resume.Backups.enter, 'found["rate"] is not None', "False",
        in_folder(lambda folder: test_resume.test_optimizers("means", "epoch", folder)),
    ),
    "a backup forgets where seeds come from": (
        resume.Backups.enter, 'random.set_seed(found["random"])', "pass",
        in_folder(test_resume.test_validation_that_draws),
    ),
    "a backup forgets what callbacks remember": (
        resume.Backups.enter, "callback.set_state(remembered)", "pass", resumed(),
    ),
    "a backup forgets the weights": (
        resume.Backups.enter, 'variable.assign(found["weights"][name])', "pass", resumed(),
    ),
    "a backup is taken before the step is counted": (
        loops._train, "optimizer.steps = first + i\n        if backups", "if backups", resumed(save_freq=7),
    ),
    "a log has the lines of epochs that come again": (
        callbacks.CSVLogger.set_state, "file.truncate()", "file.seek(0, 2)",
        in_folder(lambda folder: test_resume.test_files("epoch", True, folder)),
    ),
    "used batches come again": (
        sources.Source.set_state, 'state["taken"]:', "False:",
        in_folder(lambda folder: test_resume.test_batches("generator", "epoch", folder)),
    ),
    "any training will do": (
        resume.Backups._suits, "was == now", "True",
        in_folder(lambda folder: test_resume.test_another_training(wider, nothing, ARRAYS, "units", folder)),
    ),
    # models in files
    "a config may ask for any weights": (
        allowance.zeros, "size > allowance.values", "False",
        in_folder(lambda folder: test_saving.test_configs_that_ask_for_memory("units of a few MB", folder)),
    ),
    "loading moves the stream of seeds": (
        whole.model_of, "random.seeds_from(_branch())", "allowance.of_file(10**9)", in_folder(test_saving.test_seeds),
    ),
    "an array may say that it is longer than its entry": (
        files.check_size, "size != there", "size < there",
        in_folder(lambda folder: test_saving.test_arrays_that_are_not_what_they_say("huge", folder)),
    ),
    "compressed files may hold anything": (
        archives._check, "> EXPANSION * size", "> 10**12 * size", in_folder(test_saving.test_zip_bombs),
    ),
    "a new file has other permissions": (
        files.replace_file, "os.chmod(beside, mode)", "pass", in_folder(test_saving.test_permissions),
    ),
    "what a killed process left stays": (
        files._remove_leftovers, "if process.isdigit()", "if not process", in_folder(test_saving.test_leftovers),
    ),
    "the slots of frozen layers are lost": (
        state._restore_optimizer, "optimizer.rest(", "len(",
        in_folder(lambda folder: test_saving.test_slots_of_frozen_layers("m.npz", (0,), folder)),
    ),
    "single batches have another seed": (
        state.restore, "trainer._seed = _count(", "_count(",
        in_folder(lambda folder: test_saving.test_training_goes_on("m.npz", "adam", folder)),
    ),
    "a learning rate is rounded": (
        state._optimizer_state, 'own["learning_rate"] = optimizer._learning_rate', "pass",
        in_folder(lambda folder: test_saving.test_training_goes_on("m.npz", "adam", folder)),
    ),
    # models for other programs, and from them
    "ONNX's softmax is over the batch": (onnx.softmax, "axis=-1", "axis=0", in_onnx("Softmax of three axes")),
    "ONNX's sparsemax supports one value alone": (
        onnx.sparsemax, "), 1.0)", "), 0.0)", in_onnx("sparsemax of three axes"),
    ),
    "ONNX's views are of one sample": (
        onnx._Translation.value, "[0 if n is None", "[1 if n is None", in_onnx("Flatten of three axes"),
    ),
    "ONNX's exchanges of axes leave them": (
        onnx.swap, "lead + 1, lead, lead + 2", "lead, lead + 1, lead + 2", in_onnx("Permute of three axes"),
    ),
    "a part of a weight is its beginning in ONNX": (
        onnx._Translation._array, "[first : first +", "[0 :",
        in_folder(test_onnx.test_what_depends_on_weights_alone_is_a_constant),
    ),
    "what is written over a constant is not seen in ONNX": (
        onnx._Translation._keep, "!= root}", "!= None}",
        in_folder(test_onnx.test_what_depends_on_weights_alone_is_a_constant),
    ),
    "a scaler's minimum has the wrong sign": (
        convert_sklearn._scaling, "-step.min_", "step.min_", lambda: test_convert.test_pipelines("min and max"),
    ),
    "a state_dict's weights are not checked against one another": (
        convert_torch._from_state, "if outputs != inputs", "if outputs > 10 * inputs",
        test_convert.test_state_dicts_that_say_too_little,
    ),
}  # fmt: skip


@pytest.mark.usefixtures("seed")
@pytest.mark.parametrize("title", FAULTS)
def test_a_fault_in_python_turns_the_suite_red(title: str, monkeypatch: pytest.MonkeyPatch) -> None:
    function, old, new, test = FAULTS[title]
    backends.set_backend(backend_of(test))
    changed = faulty(function, old, new)
    assert changed.__code__.co_freevars == function.__code__.co_freevars
    monkeypatch.setattr(function, "__code__", changed.__code__)
    with pytest.raises(BaseException) as caught:
        test()
    assert not isinstance(caught.value, KeyboardInterrupt | NameError | SyntaxError | ImportError), caught.value


def backend_of(test: Test) -> str:
    """The backend that a test is called for, as its last argument names it."""
    return "numpy" if '"numpy"' in inspect.getsource(test) else "native"


# Kernels.


def definition(op: str) -> Test:
    return lambda: test_kernels.test_definition(op, planted.ISA)


def parts(op: str) -> Test:
    return lambda: test_kernels.test_any_number_of_parts(op, planted.ISA)


def in_order() -> None:
    test_determinism.test_products_are_summed_in_order(planted.ISA, 31)


KERNEL_FAULTS: dict[str, tuple[list[Patch], Test]] = {
    "the tail is one short": (
        [Patch("kernels/loops.h", "(int)(range_.end - whole_)", "(int)(range_.end - whole_ - 1)")],
        definition("relu"),
    ),
    "the tail is written whole": (
        [Patch("kernels/loops.h", "vec_store_first((p) + i, mask_, v)", "vec_store((p) + i, v)")],
        definition("relu"),
    ),
    "swapped operands": (
        [Patch("kernels/elementwise.h", "f(LOAD(a), LOAD(b))", "f(LOAD(b), LOAD(a))")],
        definition("subtract"),
    ),
    "a gradient takes the value for what flows back": (
        [Patch("kernels/activations.h", "dy = LOAD(from)", "dy = LOAD(PLANTED(from, with))")],
        definition("tanh_grad"),
    ),
    "the normal distribution from the wrong side": (
        [
            Patch(
                "kernels/math.h",
                "vec_select(vec_lt(x, vec_zero()), tail,",
                "vec_select(PLANTED(vec_lt(x, vec_zero()), vec_lt(vec_zero(), x)), tail,",
            )
        ],
        definition("gelu"),
    ),
    "exp(x) - 1 without the 1": (
        [Patch("kernels/math.h", "vec_sub(one, vec_ldexp(one, vec_neg(n)))", "one")],
        definition("elu"),
    ),
    "softplus forgets what is above 0": (
        [
            Patch(
                "kernels/math.h",
                "vec_add(vec_relu(x), vec_log1p",
                "vec_add(PLANTED(vec_relu(x), vec_zero()), vec_log1p",
            )
        ],
        definition("softplus"),
    ),
    "a wrong sign": (
        [Patch("kernels/math.h", "vec_sub(vec_set1(1), vec_mul(y, y))", "vec_add(vec_set1(1), vec_mul(y, y))")],
        definition("tanh_grad"),
    ),
    "no bias": ([Patch("kernels/gemm.h", "p->bias ? p->bias + j : NULL", "NULL")], definition("dense")),
    "a block of the depth goes on from another row": (
        [Patch("kernels/gemm.h", "s > 0 ? p->c_row : 0", "0")],
        definition("dense"),
    ),
    "products are summed backwards": (
        [
            Patch(
                "kernels/gemm.h",
                ".a = x, .a_row = k, .a_step = 1",
                ".a = PLANTED(x, x + k - 1), .a_row = k, .a_step = PLANTED(1, -1)",
            ),
            Patch(
                "kernels/gemm.h",
                ".b = w, .b_step = n, .b_col = 1",
                ".b = PLANTED(w, w + (k - 1) * n), .b_step = PLANTED(n, -n), .b_col = 1",
            ),
        ],
        in_order,
    ),
    "SGD in the weights' gradient goes uphill": (
        [Patch("kernels/gemm.h", "vec_mul(vec_set1(p->rate), sum[r][v])", "vec_mul(vec_set1(-p->rate), sum[r][v])")],
        definition("dense_grad_w_sgd"),
    ),
    "and in that of few columns": (
        [Patch("kernels/gemm.h", "vec_mul(vec_set1(p->rate), block[r])", "vec_mul(vec_set1(-p->rate), block[r])")],
        definition("dense_grad_w_sgd"),
    ),
    "the gradient of few columns takes the wrong rows": (
        [Patch("kernels/gemm.h", "ct + (j + r) * NARROW_ROWS + first", "ct + (j + r) * NARROW_ROWS")],
        definition("dense_grad_w"),
    ),
    "a bias gradient leaves out the first row": (
        [
            Patch(
                "kernels/gemm.h",
                "for (int64_t i = 0; i < m; i++, dy += n)",
                "for (int64_t i = PLANTED(0, 1); i < m; i++, dy += n)",
            )
        ],
        definition("bias_grad"),
    ),
    "a power takes half of its logarithm": (
        [Patch("kernels/math.h", "vec_fma(exponent, low, rounded_off(exponent, log, product))", "vec_zero()")],
        lambda: test_math.test_power("baseline"),
    ),
    "a percentage of the prediction": (
        [
            Patch(
                "kernels/regression.h",
                "absolute_error(p, t), size_of(t)",
                "absolute_error(p, t), size_of(PLANTED(t, p))",
            )
        ],
        definition("mean_absolute_percentage_error"),
    ),
    "the largest of a categorical hinge in the tail": (
        [Patch("kernels/classification.h", "KEEP(wrong, vec_set1(-INFINITY))", "wrong")],
        definition("categorical_hinge"),
    ),
    "a hinge decides by its share": (
        [
            Patch(
                "kernels/losses.h",
                "i < instr->dim[0] && binary",
                "i < PLANTED(instr->dim[0], (nn_share(instr->dim[0], 16, part, parts).end)) && binary",
            )
        ],
        lambda: test_kernels.test_any_number_of_parts("hinge_targets", planted.ISA),
    ),
    "an ignored label counts": (
        [Patch("kernels/losses.h", "mask[i] = label[i] != ignored", "mask[i] = PLANTED(label[i] != ignored, 1)")],
        definition("known_labels"),
    ),
    "training forgets the samples' weights": (
        [
            Patch(
                "kernels/softmax.h", "task->weights ? vec_load_first", "task->weights && PLANTED(1, 0) ? vec_load_first"
            )
        ],
        definition("softmax_cross_entropy_train"),
    ),
    "a match looks at the columns in the wrong order": (
        [Patch("kernels/softmax.h", "vec_eq(columns[j], top)", "vec_eq(columns[PLANTED(j, n - 1 - j)], top)")],
        definition("sparse_softmax_cross_entropy_train"),
    ),
    "threads leave out the end": (
        [Patch("nncore.h", "grains * (part + 1) / parts * grain", "grains * (part + 1) / (parts + 1) * grain")],
        parts("add"),
    ),
    "softmax does not subtract the maximum": (
        [Patch("kernels/softmax.h", "vec_sub(e[j], top)", "e[j]")],
        definition("softmax"),
    ),
    "a sum for a mean": (
        [Patch("kernels/loops.h", "wide_sum(sum) / (divisor)", "wide_sum(sum)")],
        definition("mean_squared_error"),
    ),
    "rows change places from the wrong column": (
        [Patch("kernels/axes.h", "(i * b + j) * c", "i * b * c")],
        definition("swap"),
    ),
    "the end of a transposition is left out": (
        [Patch("kernels/axes.h", "at_most_lanes(a - i)", "at_most_lanes(a - i - 1)")],
        definition("swap"),
    ),
    "a repeated row is another": (
        [Patch("kernels/axes.h", "x + r / n * k", "x + r / n * (k - 1)")],
        definition("repeat"),
    ),
    "a variance of the values, not of their deviations": (
        [Patch("kernels/normalization.h", "square(vec_sub(AT_ROW(x), center[v]))", "square(AT_ROW(x))")],
        definition("batch_norm"),
    ),
    "only the last block of rows is summed": (
        [Patch("kernels/normalization.h", "vec_add((sum)[v], block_[v])", "block_[v]")],
        definition("batch_norm_grad_w"),
    ),
    "an average goes the other way": (
        [Patch("kernels/normalization.h", "vec_mul(LOAD(average), momentum)", "vec_mul(LOAD(average), rest)")],
        definition("moving_average"),
    ),
    "factors are repeated out of step": (
        [Patch("kernels/normalization.h", "from[i % n]", "from[(i + i / n) % n]")],
        definition("affine"),
    ),
    "a row's variance counts what is beyond its end": (
        [Patch("kernels/normalization.h", "KEEP(vec_sub(LOAD(x), center), vec_zero())", "vec_sub(LOAD(x), center)")],
        definition("layer_norm"),
    ),
    "a block of a penalty is counted twice": (
        [Patch("kernels/penalties.h", "*square += wide_sum(sum2)", "*square += 2 * wide_sum(sum2)")],
        definition("penalty"),
    ),
    "the second block of columns is held by the first": (
        [Patch("kernels/penalties.h", "r % blocks * COLUMNS", "r % blocks * 0")],
        definition("limit_norm"),
    ),
    "Nesterov without momentum": (
        [Patch("kernels/optim.h", "vec_mul(momentum, speed)", "speed")],
        definition("sgd_momentum"),
    ),
    "Adam's epsilon under the root": (
        [Patch("kernels/optim.h", "vec_add(vec_sqrt(v_new), epsilon)", "vec_sqrt(vec_add(v_new, epsilon))")],
        definition("adam"),
    ),
    "RMSprop's epsilon beside the root": (
        [Patch("kernels/optim.h", "vec_sqrt(vec_add(variance, epsilon))", "vec_add(vec_sqrt(variance), epsilon)")],
        definition("rmsprop_centered"),
    ),
    "the largest of the past is the least": (
        [Patch("kernels/optim.h", "vec_max_or_nan(LOAD(top), v_new)", "vec_min(LOAD(top), v_new)")],
        definition("adam_amsgrad"),
    ),
    "a norm leaves out its last block": (
        [Patch("kernels/upkeep.h", "left > 0; left", "left > PLANTED(0, 1000); left")],
        definition("norm"),
    ),
    "gradients are scaled where they need not be": (
        [Patch("kernels/upkeep.h", "norm <= limit ? 1 : limit / norm", "limit / norm")],
        definition("clip_norm"),
    ),
    "columns take the rows' mean": (
        [Patch("kernels/layerwise.h", "vec_set1((real)instr->dim[1])", "vec_set1((real)instr->dim[2])")],
        definition("column_squares"),
    ),
    "a match is below the threshold": (
        [Patch("kernels/metrics.h", "vec_lt(threshold, p)", "vec_lt(p, threshold)")],
        definition("binary_matches"),
    ),
    "weights are left out of the totals": (
        [Patch("kernels/metrics.h", "value[i] * weight[i]", "value[i]")],
        definition("add_rows"),
    ),
    "what equals a threshold exceeds it": (
        [Patch("kernels/counts.h", "(real)thresholds[middle] < p", "(real)thresholds[middle] <= p")],
        definition("add_confusion"),
    ),
    "buckets are rounded down": (
        [Patch("kernels/counts.h", "whole + (x > (real)whole)", "whole")],
        definition("add_confusion"),
    ),
    "a matrix of classes is transposed": (
        [Patch("kernels/counts.h", "label[r] * c + predicted[r]", "predicted[r] * c + label[r]")],
        definition("add_pairs"),
    ),
    "equals of the k-th largest are not among the largest": (
        [Patch("kernels/counts.h", "!(p[j] <= chosen)", "!(p[j] < chosen)")],
        definition("top_k_matches"),
    ),
    "dropout starts one block late": (
        [Patch("kernels/random.h", "BLOCKS * group + (uint64_t)i", "BLOCKS * group + (uint64_t)i + 1")],
        definition("dropout"),
    ),
    "a share draws the mask of the first": (
        [Patch("kernels/random.h", "begin / DRAW * DRAW", "begin")],
        parts("spatial_dropout"),
    ),
    "deviates of the wrong sign": (
        [Patch("kernels/random.h", "word & 1 ? -1.0f : 1.0f", "word & 1 ? 1.0f : -1.0f")],
        definition("gaussian_noise"),
    ),
    "a row order of another hash": (
        [Patch("kernels/order.h", "0xCD9E8D57", "0xCD9E8D55")],
        definition("row_order"),
    ),
    "an embedding is that of the first id": (
        [Patch("kernels/embedding.h", "known ? ids[r] * n : 0", "0")],
        definition("embedding"),
    ),
    "an id's gradient is that of its last place": (
        [Patch("kernels/embedding.h", "vec_add(LOAD(to), LOAD(dy + r * n))", "LOAD(dy + r * n)")],
        definition("embedding_grad"),
    ),
    "a step is masked by its first value": (
        [
            Patch(
                "kernels/masking.h",
                "while (other < (r + 1) * n &&",
                "while (other < PLANTED((r + 1) * n, r * n + 1) &&",
            )
        ],
        definition("mask_steps"),
    ),
    "a batch takes the first rows": (
        [Patch("kernels/data.h", "rows ? rows[r] : b->first + r", "b->first + r")],
        definition("gather"),
    ),
}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """All kernels with all faults, none of them switched on."""
    return planted.build(tmp_path_factory.mktemp("planted"), [patches for patches, _ in KERNEL_FAULTS.values()])


@pytest.mark.tree
@pytest.mark.parametrize("title", KERNEL_FAULTS)
def test_a_fault_in_a_kernel_turns_the_suite_red(title: str, library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same library passes with the fault switched off."""
    test = KERNEL_FAULTS[title][1]
    switch = planted.ctypes.c_int.in_dll(library, "planted_fault")
    monkeypatch.setattr(_native, "call", planted.caller(library))
    switch.value = 0
    test()
    switch.value = 1 + list(KERNEL_FAULTS).index(title)
    with pytest.raises(AssertionError):
        test()
    switch.value = 0
