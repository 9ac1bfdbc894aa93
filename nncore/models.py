"""``Sequential``: Keras's model of one layer after the other, and what people do with it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np

from nncore.builder import Builder
from nncore.copies import clone_model, model_from_json
from nncore.errors import unknown_name
from nncore.layers.base import Layer, Outline, sample_shape
from nncore.layers.core import InputLayer
from nncore.old_homes import say_what_is_gone as _say_what_is_gone
from nncore.program import Buffer, Program, Shape
from nncore.serialization import deserialize_keras_object, serialize_keras_object
from nncore.tracing import Symbol
from nncore.variables import Tensor, Variable

if TYPE_CHECKING:
    from nncore import losses, metrics, optimizers
    from nncore.callbacks import History
    from nncore.data import Data, Samples
    from nncore.saving import load_model, save_model
    from nncore.summary import LayerRow
    from nncore.training import Machine, Trainer

Array = np.ndarray[Any, Any]

__all__ = ["Sequential", "clone_model", "load_model", "model_from_json", "save_model"]


def __getattr__(name: str) -> Any:
    if name in ("load_model", "save_model"):
        from nncore import saving

        return getattr(saving, name)
    if name == "Model":  # an ImportError, since only its message reaches those who import it
        raise ImportError(
            "nncore has no Model: there is no functional API. Build a Sequential of layers, models inside among them, "
            "or a Layer of your own with other layers in its call()."
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


_MAKING = RLock()
"""Held while a model is built or gets its machine: many threads may call one that has not been used before."""


class Sequential(Layer):
    """Layers, one after the other. A model is a layer itself: it may stand in another one.

    Args:
        layers: The layers; the first may be an ``Input``, or carry ``input_shape`` or ``input_dim``. Without either,
            the model is built when it first sees data.
        trainable: Whether training changes the weights.
        name: By default ``"sequential"`` with a counter.

    Attributes:
        history: The ``History`` of the last ``fit``, also of one that was interrupted.
        stop_training: Set it to ``True`` in a callback to end ``fit``.
        stop_evaluating, stop_predicting: Set one to ``True`` in a hook of single batches to end ``evaluate`` or
            ``predict`` with the batches done so far.
    """

    def __init__(self, layers: Sequence[Layer] | None = None, trainable: bool = True, name: str | None = None) -> None:
        super().__init__(name=name, trainable=trainable)
        self.history: History | None = None
        self.stop_training = self.stop_evaluating = self.stop_predicting = False
        self._layers: list[Layer] = []
        self._input: InputLayer | None = None
        self._machine: Machine | None = None
        self._trainer: Trainer | None = None
        self._compiled_with: dict[str, Any] = {}
        for layer in layers or ():
            self.add(layer, rebuild=False)
        self._build_if_known()

    # Layers and weights.

    @property
    def layers(self) -> list[Layer]:
        """The layers, without the ``Input``."""
        return list(self._layers)

    @property
    def input_layer(self) -> InputLayer | None:
        """The ``Input``, given or found out from data; ``None`` before."""
        return self._input

    def add(self, layer: Layer, rebuild: bool = True) -> None:
        """Append a layer.

        Raises:
            ValueError: for what is no layer, a second Input, or a name that is taken.
        """
        if not isinstance(layer, Layer):
            hint = f" Make one: {layer.__name__}(…)." if isinstance(layer, type) else ""
            raise ValueError(
                f"Sequential.add takes a layer.{hint} Received: {layer!r} (of type {type(layer).__name__})."
            )
        if isinstance(layer, InputLayer):
            if self._layers or self._input is not None:
                raise ValueError(f"Sequential: an Input must come first, and only once. Received: {layer!r}.")
            self._input = layer
            return
        if layer.name in [other.name for other in self._layers]:
            raise ValueError(
                f"All layers of a Sequential need names of their own. Received a second layer called {layer.name!r}."
            )
        if not self._layers and self._input is None:
            known = layer.declared_input_shape
            if known is None and layer.built and layer.weights and layer.input_shape is not None:
                known = layer.input_shape[1:]
            self._input = None if known is None else InputLayer(known)
        self._layers.append(layer)
        self._changed()
        if rebuild:
            try:
                self._build_if_known()
            except Exception:
                self._layers.pop()
                raise

    def pop(self, rebuild: bool = True) -> Layer:
        """Remove the last layer and return it; ``ValueError`` where there is none."""
        if not self._layers:
            raise ValueError(f"{self.name}.pop: there are no layers to remove.")
        layer = self._layers.pop()
        self._changed()
        if rebuild:
            self._build_if_known()
        return layer

    def _changed(self) -> None:
        """Forget the programs; a model around this one looks at its layers again where weights have moved."""
        self._machine = None
        Variable.moves += 1

    def build(self, input_shape: Any = None) -> None:
        """Create the weights, for inputs of ``input_shape``, batch axis first: ``(None, 100)``."""
        if not self._layers:
            raise ValueError(f"Sequential model {self.name!r} has no layers. Call model.add(layer) first.")
        if input_shape is not None:
            declared = sample_shape(self.name, tuple(input_shape)[1:])
            if self._input is None:
                self._input = InputLayer(declared)
            elif self._input.declared_input_shape != declared:
                raise ValueError(
                    f"{self.name}: the Input has shape {self._input.declared_input_shape} for one sample. "
                    f"Received: build(input_shape={input_shape!r})."
                )
        if self._input is None:
            raise ValueError(f"{self.name}.build: give input_shape, such as (None, 100), since the model has no Input.")
        self._build_if_known()

    def _build_if_known(self) -> None:
        if self._input is None or not self._layers:
            return
        shape: Shape = (None, *(self._input.declared_input_shape or ()))
        for layer in self._layers:
            shape = layer.build_for(shape)
            for variable in layer.weights:
                if variable.path == variable.key:
                    variable.path = f"{self.name}/{variable.key}"
        if not self._trainable:
            self.trainable = False
        _tell_apart(self, "", {})

    def _ready(self, x: Samples | None = None) -> Machine:
        """The machine of the layers as they are now, built for the samples ``x`` if they were not."""
        if not self.built and x is not None:
            with _MAKING:
                if not self.built:  # nor has another thread built it meanwhile
                    self.build((None, *(x.shape[1:] if x.ndim > 1 else (1,))))
        if not self.built:
            raise ValueError(
                f"Sequential model {self.name!r} isn't built: it has "
                + ("no layers. Call model.add(layer)." if not self._layers else "seen no Input and no data.")
            )
        steps, machine = self._steps(), self._machine
        if machine is None or not machine.holds(steps):
            from nncore.training import Machine

            with _MAKING:
                machine = self._machine
                if machine is None or not machine.holds(steps):
                    machine = self._machine = Machine(steps, self.input_shape)
        return machine

    @property
    def built(self) -> bool:  # type: ignore[override]
        """Whether the weights exist."""
        return bool(self._layers) and self._input is not None and all(layer.built for layer in self._layers)

    @property
    def declared_input_shape(self) -> Shape | None:  # type: ignore[override]
        """Shape of one sample, once the Input is known."""
        return None if self._input is None else self._input.declared_input_shape

    @property
    def input_shape(self) -> Shape:  # type: ignore[override]
        """Shape of the inputs, batch axis first; ``AttributeError`` while unbuilt."""
        if self._input is None:
            raise AttributeError(f"Sequential model {self.name!r} isn't built: its input_shape is not known.")
        return (None, *(self._input.declared_input_shape or ()))

    @property
    def output_shape(self) -> Shape:  # type: ignore[override]
        """Shape of the outputs, batch axis first; ``AttributeError`` while unbuilt."""
        shape = self._layers[-1].output_shape if self.built else None
        if shape is None:
            raise AttributeError(f"Sequential model {self.name!r} isn't built: its output_shape is not known.")
        return shape

    @property
    def inputs(self) -> list[Outline]:
        """The ``input`` in a list."""
        return [self.input]

    @property
    def outputs(self) -> list[Outline]:
        """The ``output`` in a list."""
        return [self.output]

    @property
    def weights(self) -> list[Variable]:
        """All variables, layer by layer, each once."""
        return list({id(v): v for layer in self._layers for v in layer.weights}.values())

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """The layer of a name or at an index; ``ValueError`` where there is none."""
        if (name is None) == (index is None):
            raise ValueError(f"get_layer takes a name or an index. Received: name={name!r}, index={index!r}.")
        if index is not None:
            if not -len(self._layers) <= index < len(self._layers):
                raise ValueError(f"get_layer: the model has {len(self._layers)} layers. Received: index={index}.")
            return self._layers[index]
        for layer in self._layers:
            if layer.name == name:
                return layer
        raise unknown_name("layer", name, [layer.name for layer in self._layers])

    def summary(
        self, line_length: int | None = None, positions: Sequence[float] | None = None, print_fn: Any = None,
        expand_nested: bool = False, show_trainable: bool = False, layer_range: Sequence[str] | None = None,
    ) -> None:  # fmt: skip
        """Print a table of layers, output shapes and parameters.

        Args:
            line_length: Width in characters; by default up to 88, as the terminal allows.
            positions: Where the columns end, as fractions of the width.
            print_fn: Called once with the whole text instead of printing it.
            expand_nested: Show the layers of models inside as well.
            show_trainable: Add a column that says whether training changes the layer.
            layer_range: Names of the first and last layer to show.
        """
        from nncore.summary import summary

        rows = [_layer_row(layer, bool(expand_nested)) for layer in self._layers]
        optimizer, state = self.optimizer, None
        if optimizer is not None and optimizer.steps:
            state = sum(v.size for v in optimizer.variables)
        summary(
            rows, self.name, line_length=line_length, positions=positions, print_fn=print_fn,
            show_trainable=show_trainable, layer_range=layer_range, optimizer_params=state,
        )  # fmt: skip

    # As a layer of another model.

    def build_for(self, input_shape: Shape) -> Shape:
        """Build for an input shape, or check that it is the one it was built for; returns the output shape."""
        self.build(input_shape)
        return self.output_shape

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The shape of the outputs, batch axis first."""
        for layer in self._layers:
            input_shape = layer.compute_output_shape(input_shape)
        return input_shape

    def lower(self, b: Builder, x: Buffer) -> Buffer:
        """Append the layers, one after the other."""
        from nncore.compiler import forward

        return forward(b, self._steps(), x)

    def _steps(self) -> list[Layer]:
        """The layers as they run: those of models inside in their place."""
        steps: list[Layer] = []
        for layer in self._layers:
            steps += layer._steps() if isinstance(layer, Sequential) and not layer._calls() else [layer]
        return steps

    def _inner_layers(self) -> list[Layer]:
        return [inner for layer in self._layers for inner in (layer, *layer._inner_layers())]

    # Programs.

    @property
    def program(self) -> Program:
        """What the model runs: the training program once compiled, else the prediction program. ``print`` it."""
        machine = self._ready()
        if self._trainer is None:
            from nncore.compiler import lower_predict

            return machine.program(
                ("predict", True),
                lambda: lower_predict(machine.layers, machine.x_shape, not machine.layers[0].takes_integers),
            )
        return self._trainer.program(machine, "train")

    # Training.

    def compile(
        self, optimizer: Any = "rmsprop", loss: Any = None, loss_weights: Any = None, metrics: Any = None,
        weighted_metrics: Any = None, run_eagerly: bool = False, steps_per_execution: int = 1,
        jit_compile: Any = "auto", auto_scale_loss: bool = True, *, check_finite: bool = True,
        on_nan: str = "raise",
    ) -> None:  # fmt: skip
        """Choose how the model is trained and scored.

        Args:
            optimizer: A name or an ``nncore.optimizers`` object.
            loss: A name, function or ``nncore.losses`` object, also in a list of one. ``"crossentropy"`` (or ``"ce"``)
                is the binary one for one prediction a row, the sparse categorical one for one target a row, else the
                categorical one: the first y chooses.
            loss_weights: For models of several outputs; must be ``None``. Metrics are taken here too: before Keras 3
                they came third.
            metrics: A list of names, ``nncore.metrics`` objects or loss functions; one alone is taken too.
            weighted_metrics: The same, for metrics for which sample weights (and class weights) count.
            run_eagerly, steps_per_execution, jit_compile, auto_scale_loss: Taken for Keras's sake; without effect.
            check_finite: Whether ``fit`` and ``evaluate`` refuse NaN and infinities in x and y.
            on_nan: What ``fit`` does where the loss, of whatever cause, or a weight becomes NaN or infinite. With
                ``"raise"`` it ends, the last finite weights are restored, with the optimizer's state and step count,
                and a ``NonFiniteError`` says where it began. With ``"stop"`` a warning says it, and ``fit`` returns
                what was logged before that epoch. With ``"ignore"``, or with a ``TerminateOnNaN`` callback, training
                goes on, as in Keras. Hooks of batches still see the batch that shows it. ``evaluate`` and the methods
                for single batches report such a loss as it is.

        Raises:
            ValueError: for names nncore does not know (known ones are listed), a loss that does not fit the last layer.
        """
        from nncore import running

        self._trainer, self._compiled_with = running.compile(
            self, optimizer, loss, loss_weights, metrics, weighted_metrics, run_eagerly, steps_per_execution,
            jit_compile, check_finite, on_nan,
        )  # fmt: skip

    @property
    def compiled(self) -> bool:
        """Whether ``compile`` was called."""
        return self._trainer is not None

    @property
    def optimizer(self) -> optimizers.Optimizer | None:
        """The optimizer, once compiled."""
        return None if self._trainer is None else self._trainer.optimizer

    @property
    def loss(self) -> losses.Loss | None:
        """The loss, once compiled; that of ``"crossentropy"`` once the first data chose it."""
        return None if self._trainer is None else self._trainer.chosen

    @property
    def metrics(self) -> list[metrics.Metric]:
        """The metrics, once the first data showed what ``"accuracy"`` means; the loss is not among them."""
        return [] if self._trainer is None else [score.metric for score in self._trainer.scores]

    @property
    def metrics_names(self) -> list[str]:
        """The names under which loss and metrics are reported, in the order of ``compile``."""
        return [] if self._trainer is None else ["loss", *(score.name for score in self._trainer.scores)]

    def trainer(self, method: str) -> Trainer:
        """What ``compile`` chose; ``ValueError``, naming the ``method`` that needs it, before that."""
        if self._trainer is None:
            raise ValueError(f"{method} needs a compiled model: call model.compile(optimizer, loss) first.")
        return self._trainer

    def prepare(
        self, trainer: Trainer, x: Any, y: Any, sample_weight: Any = None, class_weight: Any = None, prefix: str = ""
    ) -> tuple[Machine, Data]:
        """The machine, built if it was not, and the caller's data as arrays that fit it."""
        from nncore import running

        return running.prepare(self, trainer, x, y, sample_weight, class_weight, prefix)

    def fit(
        self, x: Any = None, y: Any = None, batch_size: int | None = None, epochs: int = 1, verbose: Any = "auto",
        callbacks: Any = None, validation_split: float = 0.0, validation_data: Any = None, shuffle: Any = True,
        class_weight: dict[int, float] | None = None, sample_weight: Any = None, initial_epoch: int = 0,
        steps_per_epoch: int | None = None, validation_steps: int | None = None,
        validation_batch_size: int | None = None, validation_freq: Any = 1,
    ) -> History:  # fmt: skip
        """Train for ``epochs - initial_epoch`` epochs.

        Args:
            x: Samples, one a row: any array of numbers (of NumPy, pandas, PyTorch, …), nested lists, or a sparse
                matrix of SciPy, of which one batch at a time is made dense. Or what hands over batches ``(x, y)`` or
                ``(x, y, sample_weight)``: a ``utils.PyDataset``, a generator or another iterator, or an iterable, which
                is gone through anew each epoch. Such batches may differ in size.
            y: Targets, one a row; ``None`` where ``x`` hands over batches.
            batch_size: Rows in a step of arrays, by default 32, or with ``steps_per_epoch`` as many as make so many
                steps. The last batch may be smaller.
            epochs: Number of the last epoch.
            verbose: 0 silent, 1 (or ``"auto"``) a progress bar, 2 a line an epoch.
            callbacks: A callback or a list of them.
            validation_split: Share in [0, 1) of the rows, the last ones, that are kept for validation; for arrays only.
            validation_data: ``(x, y)`` or ``(x, y, sample_weight)``, or what hands over batches; takes the place of
                ``validation_split``.
            shuffle: ``True``: a new order of all rows each epoch (of the batches of a ``PyDataset``); ``"batch"``:
                within each batch; ``False``. Iterators and iterables come as they are.
            class_weight: Dict of class to weight of its rows; other classes weigh 1.
            sample_weight: One weight a row; the loss is the sum of weighted losses divided by the number of rows.
            initial_epoch: Number of the first epoch, from 0.
            steps_per_epoch: Batches in an epoch; by default all there are. With fewer, the next epoch goes on where
                this one ended. Where there is less data, a warning says so, and an iterator ends training.
            validation_steps: Batches of a validation, by default all there are; each begins anew, but for iterators.
            validation_batch_size: By default ``batch_size``.
            validation_freq: Validate every so many epochs, or after those a list names (from 1).

        Returns:
            The ``History``; also ``model.history``, which an interrupted ``fit`` leaves behind.

        Raises:
            DataError: (a ``ValueError``) where data does not fit; nothing has changed then, unless a later batch of
                what hands over batches does not.
            ValueError: for other arguments that do not hold.
        """
        from nncore import running

        return running.fit(
            self, x, y, batch_size, epochs, verbose, callbacks, validation_split, validation_data, shuffle,
            class_weight, sample_weight, initial_epoch, steps_per_epoch, validation_steps, validation_batch_size,
            validation_freq,
        )  # fmt: skip

    def evaluate(
        self, x: Any = None, y: Any = None, batch_size: int | None = None, verbose: Any = "auto",
        sample_weight: Any = None, steps: int | None = None, callbacks: Any = None, return_dict: bool = False,
    ) -> Any:  # fmt: skip
        """Loss and metrics of data: a float where there is the loss alone, else a list in the order of ``compile``.

        Args:
            x, y, sample_weight: As in ``fit``.
            batch_size: Rows at a time of arrays, by default 32, or with ``steps`` as many as make so many steps.
            verbose: 0 silent, 1 (or ``"auto"``) a progress bar, 2 a line.
            steps: Batches to take, by default all there are.
            callbacks: A callback or a list of them.
            return_dict: Return a dict of name to value instead.
        """
        from nncore import running

        return running.evaluate(self, x, y, batch_size, verbose, sample_weight, steps, callbacks, return_dict)

    def predict(
        self, x: Any, batch_size: int | None = None, verbose: Any = "auto", steps: int | None = None,
        callbacks: Any = None, out: Array | None = None,
    ) -> Array:  # fmt: skip
        """Predictions, one row a sample. Many threads may call it on one model at once.

        Args:
            x: Samples, as in ``fit``; float32 arrays in C order are read where they lie. Of batches ``(x, y)`` only
                ``x`` is used.
            batch_size: Rows at a time, by default 32. It does not change a bit of the result.
            verbose: 0 silent, 1 (or ``"auto"``) a progress bar, 2 a line.
            steps: Batches to take, by default all there are.
            callbacks: A callback or a list of them.
            out: A float32 array in C order for the result, where all rows of an array are predicted; by default a new
                one.
        """
        machine = self._machine
        if (
            verbose == 0 and machine is not None and batch_size is None and callbacks is None and steps is None
            and machine.short_on is machine.backends.in_force
        ):  # fmt: skip
            # Asked here, not by calls: for one sample, a function of Python takes as long as a layer.
            if machine.flat.moves != Variable.moves:
                machine = self._ready()
                machine.flat.adopt()
            result: Array | None = machine.short(x, out)
            if result is not None:
                return result
        from nncore import running

        return running.predict(self, x, batch_size, verbose, steps, callbacks, out)

    def predict_on_batch(self, x: Any) -> Array:
        """Predictions for all of ``x`` at once, silently."""
        from nncore import running

        return running.predict_on_batch(self, x)

    def __call__(self, x: Any, training: bool | None = None) -> Any:
        """The same as ``predict_on_batch``; with ``training=True`` layers act as in training."""
        if isinstance(x, Symbol) or training:
            return super().__call__(x, training)
        return self.predict_on_batch(x).view(Tensor)

    def train_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, class_weight: dict[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:  # fmt: skip
        """One step on ``x`` and ``y`` as one batch; returns the loss (and metrics) before it, like ``evaluate``."""
        from nncore import running

        return running.train_on_batch(self, x, y, sample_weight, class_weight, return_dict)

    def test_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False) -> Any:
        """Loss (and metrics) of ``x`` and ``y`` as one batch, like ``evaluate``."""
        from nncore import running

        return running.test_on_batch(self, x, y, sample_weight, return_dict)

    def input_gradient(self, x: Any, y: Any, sample_weight: Any = None) -> Array:
        """The gradient of each sample's loss in that sample, float32 in the shape of ``x``: how the loss would change.

        Layers act as in inference. Row i is ∂loss(y[i], model(x)[i]) / ∂x[i], times its ``sample_weight``; it does not
        depend on the other rows. (Divide by ``len(x)`` for the gradient of the batch's mean loss.)

        Raises:
            ValueError: where the model is not compiled, or something in it has no gradient.
            DataError: where data does not fit.
        """
        from nncore import running

        return running.input_gradient(self, x, y, sample_weight)

    def vjp(self, x: Any, dy: Any) -> Array:
        """The vector-Jacobian product: ``dy`` in the shape of the predictions to ∂(Σ dy · model(x)) / ∂x, float32.

        Layers act as in inference; rows do not depend on one another. ``dy`` of ones in one column gives the gradient
        of that output.

        Raises:
            DataError: where x or dy does not fit.
            ValueError: where something in the model has no gradient.
        """
        from nncore import running

        return running.vjp(self, x, dy)

    # Files and configs.

    def save(
        self, filepath: Any, overwrite: bool = True, zipped: Any = None, *, metadata: Mapping[str, Any] | None = None
    ) -> None:
        """Write the whole model into a file, for ``load_model``. See :func:`nncore.saving.save_model`."""
        from nncore import saving

        saving.save_model(self, filepath, overwrite, zipped, metadata=metadata)

    def save_weights(self, filepath: Any, overwrite: bool = True, max_shard_size: Any = None) -> None:
        """Write all weights into a ``.weights.h5``, Keras's, or a ``.npz``. See :func:`nncore.saving.save_weights`."""
        from nncore import saving

        saving.save_weights(self, filepath, overwrite, max_shard_size)

    def load_weights(self, filepath: Any, skip_mismatch: bool = False) -> None:
        """Read all weights from a file that nncore or Keras wrote. See :func:`nncore.saving.load_weights`."""
        from nncore import saving

        saving.load_weights(self, filepath, skip_mismatch)

    def export(self, filepath: Any, format: str | None = None, **options: Any) -> None:
        """Write the model for another program to run; nncore cannot read it back.

        Args:
            filepath: Where to.
            format: ``"onnx"``, or ``"c"`` for C99; by default what the suffix of ``filepath`` says.
            options: Of the format. C takes ``prefix``, which the names of its functions start with, by default the name
                of the file, and ``test``, samples for the file's own test.

        Raises:
            ValueError: where the model is not built, for an unknown format, and for a layer that the format has no
                words for; nothing is written then.
            ImportError: where the format needs a package that is missing.
            OSError: where the file cannot be written; what was there before is there still.
        """
        from nncore.export import export

        export(self, filepath, format, **options)

    def get_config(self) -> dict[str, Any]:
        """Name and layers, as JSON-able values."""
        entries = [*([self._input] if self._input is not None else []), *self._layers]
        config = {**super().get_config(), "layers": [serialize_keras_object(layer) for layer in entries]}
        return {**config, "build_input_shape": list(self.input_shape)} if self.built else config

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Sequential:
        """The model that ``config``, nncore's or Keras's, describes, with fresh weights.

        Raises:
            ValueError: for a layer nncore does not know.
        """
        entries = config["layers"]
        first = -1 if entries and entries[0].get("class_name") == "InputLayer" else 0  # which is not among the layers
        layers = [_layer_of(entry, i, custom_objects) for i, entry in enumerate(entries, first)]
        model = cls(layers, trainable=config.get("trainable", True), name=config.get("name"))
        if layers and config.get("build_input_shape"):
            model.build(config["build_input_shape"])
        return model

    def get_build_config(self) -> dict[str, Any] | None:
        """The input shape for which the weights exist; ``None`` where there are none."""
        return {"input_shape": self.input_shape} if self.built else None

    def get_compile_config(self) -> dict[str, Any]:
        """What ``compile`` was called with, as JSON-able values; empty before."""
        config: dict[str, Any] = serialize_keras_object(self._compiled_with)
        return config

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile with what ``get_compile_config``, nncore's or Keras's, gave.

        What Keras has compiled without a loss is not compiled, with a warning.
        """
        if not config:
            return
        from nncore import optimizers
        from nncore.saving.compiled import of_keras

        config = of_keras(config)
        if config["loss"] is None:
            warnings.warn(f"{self.name!r} was compiled without a loss, and is not compiled here.", stacklevel=2)
            return
        chosen: dict[str, Any] = {"optimizer": optimizers.get(config["optimizer"])}
        chosen |= {k: deserialize_keras_object(config.get(k), family="losses") for k in ("loss", "loss_weights")}
        for key in ("metrics", "weighted_metrics"):
            chosen[key] = deserialize_keras_object(config.get(key), family="metrics")
        self.compile(**chosen)

    def to_json(self, **json_kwargs: Any) -> str:
        """The config as JSON, with what was compiled; ``json_kwargs`` go to ``json.dumps``."""
        import json

        return json.dumps(serialize_keras_object(self), **json_kwargs)

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the programs, which are lowered again where they are needed."""
        return {**vars(self), "_machine": None}

    def __repr__(self) -> str:
        return f"<Sequential name={self.name}, built={self.built}>"


def _layer_of(config: Any, i: int, custom_objects: dict[str, Any] | None) -> Any:
    """The layer that a config describes, the ``i``-th of a model; ``ValueError``, saying which, where it cannot be."""
    try:
        return deserialize_keras_object({"config": {}, **config}, custom_objects, family="layers")
    except ValueError as error:
        inner = config.get("config")
        name = inner.get("name") if isinstance(inner, Mapping) else None
        which = "Input" if i < 0 else f"Layer {i}"
        raise ValueError(f"{which}, {name!r} of class {config.get('class_name')!r}: {error}") from error


def _tell_apart(model: Sequential, scope: str, taken: dict[str, Variable]) -> None:
    """Give weights of models inside that are called like others a ``scope``, so that every key is one weight's."""
    for layer in model.layers:
        if isinstance(layer, Sequential):
            _tell_apart(layer, f"{scope}{layer.name}/", taken)
            continue
        for variable in layer.weights:
            if taken.setdefault(variable.key, variable) is not variable:
                variable.scope = scope
                taken[variable.key] = variable


def _layer_row(layer: Layer, expand: bool) -> LayerRow:
    """What ``summary`` says of a layer, and of those inside it."""
    from nncore.summary import LayerRow

    inside = layer.layers if expand and isinstance(layer, Sequential) else []
    return LayerRow(
        layer.name, type(layer).__name__, layer.output_shape if layer.built else None,
        layer.count_params() if layer.built else None, sum(v.size for v in layer.trainable_weights), layer.trainable,
        sum(v.value.nbytes - 4 * v.size for v in layer.weights), tuple(_layer_row(inner, expand) for inner in inside),
    )  # fmt: skip


_say_what_is_gone(Sequential)
