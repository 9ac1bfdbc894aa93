"""``TensorBoard``: the records of its files, byte by byte, and what is in them."""

from __future__ import annotations

import builtins
import json
import os
import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nncore.callbacks import Callback, CallbackList, LambdaCallback, TensorBoard
from nncore.callbacks.tensorboard import EventFile
from nncore.layers import BatchNormalization, Dense, Input
from nncore.models import Sequential
from nncore.optimizers import SGD, schedules

X, Y = np.eye(8, 4, dtype=np.float32), np.ones((8, 3), np.float32)


def crc32c(data: bytes) -> int:
    """Castagnoli's checksum, bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data: bytes) -> int:
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def records(path: Path) -> Iterator[bytes]:
    """The records of a file: length, its checksum, data, its checksum."""
    data = path.read_bytes()
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        assert struct.unpack("<I", data[8:12]) == (masked(data[:8]),)
        record, data = data[12 : 12 + length], data[12 + length :]
        assert len(record) == length
        assert struct.unpack("<I", data[:4]) == (masked(record),)
        yield record
        data = data[4:]


def events(folder: Path) -> list[tuple[str, int, Any]]:
    """What the files of a folder hold: tag, step and value, file by file."""
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for path in sorted(folder.iterdir(), key=lambda p: int(p.name.split(".")[-2])):
        assert path.name.startswith("events.out.tfevents.")
        first, *rest = (Event.FromString(record) for record in records(path))
        assert first.file_version == "brain.Event:2"
        assert all(event.wall_time > 1.7e9 for event in rest)
        found += [(value.tag, event.step, value) for event in rest for value in event.summary.value]
    return found


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    curves: dict[str, list[tuple[int, float]]] = {}
    for tag, step, value in events(folder):
        if value.WhichOneof("value") == "simple_value":
            curves.setdefault(tag, []).append((step, value.simple_value))
    return curves


def example(optimizer: Any = "sgd", metrics: Any = ("mae",)) -> Sequential:
    model = Sequential([Input((4,)), Dense(8), Dense(3)], name="m")
    model.compile(optimizer, "mse", metrics=list(metrics))
    return model


def fitted(*callbacks: Callback, model: Any = None, **how: Any) -> dict[str, list[float]]:
    model = model or example()
    how = {"epochs": 2, "batch_size": 3, "verbose": 0, **how}
    history: dict[str, list[float]] = model.fit(X, Y, callbacks=list(callbacks), **how).history
    return history


def curve(values: list[float], steps: Any = None) -> list[tuple[int, float]]:
    """A curve as the file holds it, in float32."""
    return list(zip(steps or range(len(values)), np.float32(values).tolist(), strict=True))


def test_the_checksum_is_castagnoli_s() -> None:
    assert crc32c(b"123456789") == 0xE3069283


def test_curves_have_keras_s_names_and_steps(tmp_path: Path) -> None:
    history = fitted(TensorBoard(tmp_path), validation_data=(X, Y))
    assert {path.name for path in tmp_path.iterdir()} == {"train", "validation"}
    assert scalars(tmp_path / "train") == {
        "epoch_loss": curve(history["loss"]),
        "epoch_mae": curve(history["mae"]),
        "epoch_learning_rate": curve([0.01, 0.01]),
    }
    assert scalars(tmp_path / "validation") == {
        "epoch_loss": curve(history["val_loss"]),
        "epoch_mae": curve(history["val_mae"]),
        "evaluation_loss_vs_iterations": curve(history["val_loss"], [3, 6]),
        "evaluation_mae_vs_iterations": curve(history["val_mae"], [3, 6]),
    }


def test_without_validation_there_is_one_file(tmp_path: Path) -> None:
    fitted(TensorBoard(str(tmp_path / "new" / "logs")))
    assert [path.name for path in (tmp_path / "new" / "logs").iterdir()] == ["train"]


def test_the_rate_is_that_of_the_epoch_s_end(tmp_path: Path) -> None:
    model = example(SGD(schedules.PiecewiseConstantDecay([2, 5], [0.5, 0.25, 0.125])))
    fitted(TensorBoard(tmp_path), model=model)
    assert scalars(tmp_path / "train")["epoch_learning_rate"] == [(0, 0.25), (1, 0.125)]


@pytest.mark.parametrize("update_freq, steps", [("batch", [1, 2, 3, 4, 5, 6]), (1, [1, 2, 3, 4, 5, 6]), (2, [2, 4, 6])])
def test_batches(update_freq: Any, steps: list[int], tmp_path: Path) -> None:
    """Counted from 1 over all epochs; those of epochs are always written too."""
    losses: list[float] = []
    spy = LambdaCallback(on_train_batch_end=lambda batch, logs: losses.append(logs["loss"]))
    history = fitted(TensorBoard(tmp_path, update_freq=update_freq), spy)
    found = scalars(tmp_path / "train")
    assert found["batch_loss"] == curve([losses[step - 1] for step in steps], steps)
    assert [step for step, _ in found["batch_mae"]] == steps
    assert found["epoch_loss"] == curve(history["loss"])
    assert set(found) == {"batch_loss", "batch_mae", "epoch_loss", "epoch_mae", "epoch_learning_rate"}


def test_steps_per_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that goes on by a quarter of a second each time that it is read."""
    ticks = iter(range(1000))
    monkeypatch.setattr("nncore.callbacks.tensorboard.perf_counter", lambda: next(ticks) / 4)
    fitted(TensorBoard(tmp_path / "epochs", write_steps_per_second=True))
    assert scalars(tmp_path / "epochs" / "train")["epoch_steps_per_second"] == [(0, 12.0), (1, 12.0)]
    fitted(TensorBoard(tmp_path / "batches", write_steps_per_second=True, update_freq=3))
    found = scalars(tmp_path / "batches" / "train")
    assert found["batch_steps_per_second"] == [(3, 4.0), (6, 4.0)]
    # Between those of an epoch's begin and end: one as each of three batches begins, one as the third ends.
    assert found["epoch_steps_per_second"] == curve([3 / 1.25] * 2)


@pytest.mark.parametrize("arguments", [{}, {"write_steps_per_second": True}, {"histogram_freq": 1}])
def test_epochs_need_no_hooks_of_batches(arguments: dict[str, Any], tmp_path: Path) -> None:
    calls = CallbackList(TensorBoard(tmp_path, **arguments))
    assert [calls.has_train_batch_hooks, calls.has_test_batch_hooks, calls.has_predict_batch_hooks] == [False] * 3
    assert CallbackList(TensorBoard(tmp_path, update_freq=9)).has_train_batch_hooks
    assert not list(tmp_path.iterdir())  # files only when training begins


def test_values_of_several_numbers_and_of_none(tmp_path: Path) -> None:
    told = LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(f1=np.array([0.5, 1]), note="text", n=True))
    fitted(told, TensorBoard(tmp_path), epochs=1)
    found = scalars(tmp_path / "train")
    assert (found["epoch_f1_0"], found["epoch_f1_1"], found["epoch_n"]) == ([(0, 0.5)], [(0, 1.0)], [(0, 1.0)])
    assert not [name for name in found if "note" in name]


def test_an_evaluation_of_its_own(tmp_path: Path) -> None:
    model, board = example(), TensorBoard(tmp_path)
    fitted(model=model)
    losses = [model.evaluate(X, Y, verbose=0, callbacks=[board])[0] for _ in range(2)]
    assert [path.name for path in tmp_path.iterdir()] == ["validation"]
    assert len(list((tmp_path / "validation").iterdir())) == 2
    assert scalars(tmp_path / "validation")["evaluation_loss_vs_iterations"] == curve(losses, [6, 6])


def test_the_graph_is_the_model_s_config(tmp_path: Path) -> None:
    model = example()
    fitted(TensorBoard(tmp_path / "with"), model=model)
    (graph,) = [value for tag, _, value in events(tmp_path / "with" / "train") if tag == "keras"]
    assert graph.metadata.plugin_data.plugin_name == "graph_keras_model"
    assert json.loads(graph.tensor.string_val[0]) == json.loads(model.to_json())
    fitted(TensorBoard(tmp_path / "without", write_graph=False), model=model)
    assert "keras" not in [tag for tag, _, _ in events(tmp_path / "without" / "train")]


def test_a_model_without_a_config_is_trained_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Any) -> str:
        raise ValueError("no config")

    monkeypatch.setattr(Sequential, "to_json", fail)
    with pytest.warns(UserWarning, match="layers are not written: no config"):
        fitted(TensorBoard(tmp_path))
    assert "epoch_loss" in scalars(tmp_path / "train")


# Weights.


def test_histograms_of_all_weights(tmp_path: Path) -> None:
    model = Sequential([Input((4,)), Dense(8), BatchNormalization()], name="m")
    model.compile("sgd", "mse")
    kernels: list[np.ndarray] = []
    spy = LambdaCallback(on_epoch_end=lambda epoch, logs: kernels.append(model.layers[0].kernel.value.copy()))
    model.fit(X, np.ones((8, 8)), epochs=3, verbose=0, callbacks=[TensorBoard(tmp_path, histogram_freq=2), spy])
    found = [event for event in events(tmp_path / "train") if event[0].endswith("histogram")]
    names = [f"{weight.path}/histogram" for weight in model.weights]
    assert [(tag, step) for tag, step, _ in found] == [(name, step) for step in (0, 2) for name in names]
    assert names[0] == "m/dense/kernel/histogram"
    h, kernel = found[len(names)][2].histo, kernels[2].astype(np.float64)
    assert (h.min, h.max, h.num) == (kernel.min(), kernel.max(), kernel.size)
    assert (h.sum, h.sum_squares) == pytest.approx((kernel.sum(), (kernel**2).sum()), rel=1e-12)  # float64
    counts, edges = np.histogram(kernel, 30)
    assert list(h.bucket) == counts.tolist()
    np.testing.assert_allclose(h.bucket_limit, edges[1:], rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    "values, total, bounds",
    [
        ([2.0, 2.0, 2.0], 3, (2.0, 2.0)),
        ([np.nan, 1.0, np.inf, -np.inf, 3.0], 2, (1.0, 3.0)),
        ([0, 7], 2, (0.0, 7.0)),
        ([0.0, 1e-45], 2, (0.0, float(np.float32(1e-45)))),
        ([-3e38, 3e38], 2, (float(np.float32(-3e38)), float(np.float32(3e38)))),
        ([np.nan], 0, None),
        ([], 0, None),
    ],
)
def test_histograms_of_odd_values(values: list[float], total: int, bounds: Any, tmp_path: Path) -> None:
    file = EventFile(str(tmp_path))
    file.histogram("h", np.array(values, np.int32 if values == [0, 7] else np.float32), 5)
    file.close()
    found = [(step, value.histo) for _, step, value in events(tmp_path)]
    if bounds is None:
        assert found == []
        return
    ((step, h),) = found
    assert (step, h.num, sum(h.bucket), (h.min, h.max)) == (5, total, total, bounds)
    assert len(h.bucket) == len(h.bucket_limit) == 30
    assert list(h.bucket_limit) == sorted(h.bucket_limit)
    assert h.bucket_limit[-1] == h.max


def shades(png: bytes) -> np.ndarray:
    """The pixels of a grey PNG file whose rows are not filtered."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, rest = {}, png[8:]
    while rest:
        (length,) = struct.unpack(">I", rest[:4])
        kind, data = rest[4:8], rest[8 : 8 + length]
        assert struct.unpack(">I", rest[8 + length : 12 + length]) == (zlib.crc32(kind + data),)
        chunks[kind], rest = data, rest[12 + length :]
    width, height, *form = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert form == [8, 0, 0, 0, 0]
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)
    assert not rows[:, 0].any()
    return rows[:, 1:]


@pytest.mark.parametrize(
    "values, pixels",
    [
        ([[0.0, 0.5], [1.0, -3.0], [9.0, 0.25]], [[0, 255, 255], [127, 0, 63]]),  # the longer axis across
        ([[0.0, 0.5, 1.0]], [[0, 127, 255]]),
        ([0.1, np.nan, np.inf, -np.inf], [[25, 0, 255, 0]]),
        ([[[0.5], [1.0]]], [[127, 255]]),
        (0.5, None),
        (np.zeros((2, 2, 2)), None),
        (np.zeros((0, 2)), None),
    ],
)
def test_pictures(values: Any, pixels: Any, tmp_path: Path) -> None:
    """The shades are those of TensorFlow's conversion to uint8: floor(255.5 v)."""
    file = EventFile(str(tmp_path))
    file.image("w", np.array(values, np.float32), 1)
    file.close()
    found = [value.image for _, _, value in events(tmp_path)]
    if pixels is None:
        assert found == []
        return
    assert shades(found[0].encoded_image_string).tolist() == pixels
    assert (found[0].height, found[0].width, found[0].colorspace) == (*np.shape(pixels), 1)


def test_pictures_come_with_the_histograms(tmp_path: Path) -> None:
    fitted(TensorBoard(tmp_path, histogram_freq=2, write_images=True))
    found = [(tag, step) for tag, step, value in events(tmp_path / "train") if value.WhichOneof("value") == "image"]
    names = ["m/dense/kernel", "m/dense/bias", "m/dense_1/kernel", "m/dense_1/bias"]
    assert found == [(f"{name}/image", 0) for name in names]
    fitted(TensorBoard(tmp_path / "none", write_images=True))
    assert not [tag for tag, _, _ in events(tmp_path / "none" / "train") if tag.endswith("image")]


# Files.


def test_files_are_up_to_date_after_every_epoch_and_closed_at_the_end(tmp_path: Path) -> None:
    seen: list[int] = []
    board = TensorBoard(tmp_path)
    look = LambdaCallback(on_epoch_end=lambda *_: seen.append(len(scalars(tmp_path / "train")["epoch_loss"])))
    fitted(board, look)
    assert seen == [1, 2]
    assert len(list((tmp_path / "train").iterdir())) == 1
    fitted(board)  # at once: a new file, not the same one again
    assert len(list((tmp_path / "train").iterdir())) == 2
    assert [step for step, _ in scalars(tmp_path / "train")["epoch_loss"]] == [0, 1, 0, 1]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_files_survive_errors(error: type[BaseException], tmp_path: Path) -> None:
    """An open file would be reported when it is collected, as a ``ResourceWarning``."""

    def fail(batch: int, logs: Any) -> None:
        if batch == 1:
            raise error

    board = TensorBoard(tmp_path, update_freq="batch")
    with pytest.raises(error):
        fitted(board, LambdaCallback(on_train_batch_end=fail))
    assert [step for step, _ in scalars(tmp_path / "train")["batch_loss"]] == [1, 2]
    with pytest.raises(error):
        example().evaluate(X, Y, 1, verbose=0, callbacks=[board, LambdaCallback(on_test_batch_end=fail)])
    fitted(board)
    assert [step for step, _ in scalars(tmp_path / "train")["batch_loss"]] == [1, 2, *range(1, 7)]


# Arguments.


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"histogram_freq": -1}, r"histogram_freq must be an integer of at least 0.* Received: histogram_freq=-1\."),
        ({"histogram_freq": 0.5}, "histogram_freq must be an integer"),
        ({"update_freq": 0}, r"update_freq must be 'epoch', 'batch' or a positive number.* Received: update_freq=0\."),
        ({"update_freq": "step"}, "Received: update_freq='step'"),
        ({"update_freq": 1.5}, "Received: update_freq=1.5"),
        ({"profile_batch": 2}, r"profile_batch must be 0: nncore has no profiler.* Received: profile_batch=2\."),
        ({"profile_batch": (1, 5)}, r"Received: profile_batch=\(1, 5\)"),
        ({"embeddings_freq": 1}, r"embeddings_freq must be 0: .* Received: embeddings_freq=1\."),
        ({"embeddings_metadata": "words.tsv"}, "embeddings_metadata must be None: .* Received: .*'words.tsv'"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"TensorBoard: .*{message}|{message}"):
        TensorBoard(tmp_path, **arguments)


def test_a_missing_package_is_asked_for_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "tensorboardX":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=re.escape("pip install 'nncore[tensorboard]'")):
        TensorBoard(tmp_path)


def test_the_package_is_imported_only_where_it_is_used_and_warns_of_nothing(tmp_path: Path) -> None:
    script = f"""
import sys
from nncore.callbacks import TensorBoard
print("tensorboardX" in sys.modules)
TensorBoard({str(tmp_path)!r})
print("tensorboardX" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("False\nTrue\n", "")
