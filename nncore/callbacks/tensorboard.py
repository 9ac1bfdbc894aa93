"""``TensorBoard``: the logs and weights of a training in files that TensorBoard shows."""

from __future__ import annotations

import itertools
import os
import struct
import warnings
import zlib
from collections.abc import Iterator, Mapping
from time import perf_counter, time
from typing import Any

import numpy as np

from nncore.arguments import count, is_integer
from nncore.callbacks.base import Callback, Logs

Array = np.ndarray[Any, Any]

BUCKETS = 30
"""Of a histogram."""


class TensorBoard(Callback):
    """Writes what TensorBoard shows: ``tensorboard --logdir logs``. Needs the extra ``tensorboard``.

    At the end of each epoch, in the folder ``train``: ``epoch_loss``, ``epoch_<metric>`` and ``epoch_learning_rate``;
    in ``validation`` those of the validation under the same names, and after each evaluation
    ``evaluation_<metric>_vs_iterations``. Each value of a metric that has several is written by itself,
    ``epoch_<metric>_0``; logs that are no numbers are left out. The files are up to date after every epoch, which costs
    some milliseconds, and closed whatever ends the training.

    Args:
        log_dir: The folder, made where it is missing.
        histogram_freq: Every so many epochs, from the first on, a histogram of each weight: of its finite values, in 30
            buckets of equal width. 0: never.
        write_graph: Write the model's layers, for the tab "Graphs".
        write_images: Draw each weight of up to two axes along with its histogram: 0 is black, 1 white, and what is
            outside is cut off.
        write_steps_per_second: Write ``epoch_steps_per_second``, and with ``update_freq`` the batch's.
        update_freq: ``"epoch"``, or every so many batches of training ``batch_loss`` and ``batch_<metric>``, the means
            over the epoch so far, which makes training return to Python after each one; ``"batch"`` is 1.
        profile_batch, embeddings_freq, embeddings_metadata: Keras's, for what nncore does not have: only the defaults.

    Raises:
        ImportError: where tensorboardX is missing.
        ValueError: for arguments outside of these.
    """

    def __init__(
        self, log_dir: Any = "logs", histogram_freq: int = 0, write_graph: bool = True, write_images: bool = False,
        write_steps_per_second: bool = False, update_freq: Any = "epoch", profile_batch: Any = 0,
        embeddings_freq: int = 0, embeddings_metadata: Any = None,
    ) -> None:  # fmt: skip
        self.log_dir = str(log_dir)
        self.histogram_freq = count("TensorBoard", "histogram_freq", histogram_freq)
        self.write_graph = bool(write_graph)
        self.write_images = bool(write_images)
        self.write_steps_per_second = bool(write_steps_per_second)
        if update_freq not in ("epoch", "batch") and (not is_integer(update_freq) or update_freq < 1):
            raise ValueError(
                "TensorBoard: update_freq must be 'epoch', 'batch' or a positive number of batches. "
                f"Received: update_freq={update_freq!r}."
            )
        self.update_freq = 1 if update_freq == "batch" else update_freq
        _refuse(profile_batch=profile_batch, embeddings_freq=embeddings_freq, embeddings_metadata=embeddings_metadata)
        _tensorboardx()
        self._files: dict[str, EventFile] = {}
        self._training = False
        self._batches = 0
        self._began = self._batch_began = 0.0
        self._iterations = 0
        if self.update_freq != "epoch":
            # Only then are they hooks of batches: others cost no time.
            self.on_train_batch_end = self._after_batch  # type: ignore[method-assign]
            if self.write_steps_per_second:
                self.on_train_batch_begin = self._before_batch  # type: ignore[method-assign]

    def get_state(self) -> dict[str, Any]:
        return {"batches": self._batches}

    def set_state(self, state: dict[str, Any]) -> None:
        self._batches = state["batches"]

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._training = True
        self._batches = 0
        if self.write_graph:
            self._write_graph()

    def on_train_end(self, logs: Logs | None = None) -> None:
        self.break_off()

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._iterations, self._began = self.model.optimizer.iterations, perf_counter()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        logs = logs or {}
        trained = {name: value for name, value in logs.items() if not name.startswith("val_")}
        optimizer = self.model.optimizer
        trained["learning_rate"] = float(optimizer.learning_rate)
        if self.write_steps_per_second:
            steps = optimizer.iterations - self._iterations
            trained["steps_per_second"] = steps / (perf_counter() - self._began)
        self._write("train", "epoch_{}", trained, epoch)
        validated = {name.removeprefix("val_"): value for name, value in logs.items() if name.startswith("val_")}
        self._write("validation", "epoch_{}", validated, epoch)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            self._write_weights(epoch)
        for file in self._files.values():
            file.flush()

    def on_test_end(self, logs: Logs | None = None) -> None:
        optimizer = self.model.optimizer
        self._write("validation", "evaluation_{}_vs_iterations", logs or {}, optimizer.iterations)
        if not self._training:
            self.break_off()

    def _before_batch(self, batch: int, logs: Logs | None = None) -> None:
        self._batch_began = perf_counter()

    def _after_batch(self, batch: int, logs: Logs | None = None) -> None:
        self._batches += 1
        if self._batches % self.update_freq:
            return
        values = dict(logs or {})
        if self.write_steps_per_second:
            values["steps_per_second"] = 1 / (perf_counter() - self._batch_began)
        self._write("train", "batch_{}", values, self._batches)

    def break_off(self) -> None:
        """Close the files."""
        self._training = False
        for file in self._files.values():
            file.close()
        self._files = {}

    def _file(self, part: str) -> EventFile:
        if part not in self._files:
            self._files[part] = EventFile(os.path.join(self.log_dir, part))
        return self._files[part]

    def _write(self, part: str, form: str, logs: Mapping[str, Any], step: int) -> None:
        for name, value in logs.items():
            for own, number in _numbers(name, value):
                self._file(part).scalar(form.format(own), number, step)

    def _write_graph(self) -> None:
        try:
            config = self.model.to_json()
        except Exception as error:
            warnings.warn(f"TensorBoard: the model's layers are not written: {error}", stacklevel=2)
            return
        self._file("train").graph(config)

    def _write_weights(self, epoch: int) -> None:
        for layer in self.model.layers:
            for weight in layer.weights:
                name, file = weight.path.replace(":", "_"), self._file("train")
                file.histogram(f"{name}/histogram", weight.value, epoch)
                if self.write_images:
                    file.image(f"{name}/image", weight.value, epoch)


class EventFile:
    """A new file of events in a folder, a summary in each; ``tensorboardX`` writes its records.

    Args:
        folder: Made where it is missing.
    """

    made = itertools.count()
    """Numbers the files of this process, whose names tell only the second."""

    def __init__(self, folder: str) -> None:
        self._events, self._summaries, self._tensors, writers = _tensorboardx()
        os.makedirs(folder, exist_ok=True)
        self._writer = writers.EventsWriter(os.path.join(folder, "events"), f".{os.getpid()}.{next(self.made)}.v2")

    def scalar(self, name: str, value: float, step: int) -> None:
        """Add a point of a curve."""
        self._add(name, step, simple_value=value)

    def histogram(self, name: str, values: Array, step: int) -> None:
        """Add a histogram of the finite ones of these values, if there are any."""
        v = values[np.isfinite(values)].astype(np.float64)
        if not v.size:
            return
        low, high = float(v.min()), float(v.max())
        places = np.minimum((v - low) / ((high - low) or 1.0) * BUCKETS, BUCKETS - 1).astype(np.intp)
        histogram = self._summaries.HistogramProto(
            min=low, max=high, num=v.size, sum=v.sum(), sum_squares=v @ v,
            bucket_limit=np.linspace(low, high, BUCKETS + 1)[1:], bucket=np.bincount(places, minlength=BUCKETS),
        )  # fmt: skip
        self._add(name, step, histo=histogram)

    def image(self, name: str, values: Array, step: int) -> None:
        """Add a picture of values of one or two axes, besides those of length 1, the longer one across."""
        values = np.squeeze(values)
        if not 1 <= values.ndim <= 2 or not values.size:
            return
        values = np.atleast_2d(values)
        if values.shape[0] > values.shape[1]:
            values = values.T
        shades = (np.clip(np.nan_to_num(values), 0, 1) * 255.5).astype(np.uint8)
        height, width = shades.shape
        picture = self._summaries.Summary.Image(
            height=height, width=width, colorspace=1, encoded_image_string=_png(shades)
        )
        self._add(name, step, image=picture)

    def graph(self, config: str) -> None:
        """Add the layers of a model, given its config."""
        plugin = self._summaries.SummaryMetadata.PluginData(plugin_name="graph_keras_model", content=b"1")
        tensor = self._tensors.TensorProto(dtype="DT_STRING", string_val=[config.encode()])
        self._add("keras", 0, metadata=self._summaries.SummaryMetadata(plugin_data=plugin), tensor=tensor)

    def _add(self, name: str, step: int, **value: Any) -> None:
        summary = self._summaries.Summary(value=[self._summaries.Summary.Value(tag=name, **value)])
        self._writer.write_event(self._events.Event(wall_time=time(), step=step, summary=summary))

    def flush(self) -> None:
        """Bring all that was added to the disk."""
        self._writer.flush()

    def close(self) -> None:
        """The same, and nothing more can be added."""
        self._writer.close()


def _tensorboardx() -> tuple[Any, Any, Any, Any]:
    """Its modules of events, summaries and tensors, and the one that writes files."""
    try:
        from tensorboardX import event_file_writer
        from tensorboardX.proto import event_pb2, summary_pb2, tensor_pb2
    except ImportError:
        raise ImportError(
            "TensorBoard needs tensorboardX, which writes its files: pip install 'nncore[tensorboard]'."
        ) from None
    return event_pb2, summary_pb2, tensor_pb2, event_file_writer


def _refuse(**arguments: Any) -> None:
    """Raise ``ValueError`` where an argument is not its default, 0 or ``None``."""
    for argument, value in arguments.items():
        if value:
            default = None if argument == "embeddings_metadata" else 0
            raise ValueError(
                f"TensorBoard: {argument} must be {default}: nncore has no profiler and no embedding projector. "
                f"Received: {argument}={value!r}."
            )


def _numbers(name: str, value: Any) -> Iterator[tuple[str, float]]:
    """The numbers in a value of the logs, by name; several are numbered."""
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        return
    if array.size == 1:
        yield name, float(array.reshape(()))
        return
    for i, number in enumerate(array.reshape(-1)):
        yield f"{name}_{i}", float(number)


def _png(shades: Array) -> bytes:
    """A picture of uint8 shades of grey as a PNG file."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = shades.shape
    rows = np.zeros((height, width + 1), np.uint8)  # each begins with its filter, 0: none
    rows[:, 1:] = shades
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            chunk(b"IDAT", zlib.compress(rows.tobytes())),
            chunk(b"IEND", b""),
        )
    )
