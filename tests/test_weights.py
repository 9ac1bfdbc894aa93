"""Weights in files, and ``ModelCheckpoint``: Keras's layout, and files that are whole whatever happens."""

from __future__ import annotations

import builtins
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import nncore
from nncore import saving
from nncore.callbacks import LambdaCallback, ModelCheckpoint
from nncore.layers import Dense, Dropout, Input, Layer
from nncore.models import Sequential, load_model
from nncore.saving import files
from nncore.utils import set_random_seed

GOLDEN = Path(__file__).parent / "golden" / "keras.weights.h5"
"""Written by Keras 3.15.1, for the model below, with an optimizer's state."""

X = np.arange(8).reshape(2, 4) / 8
KERAS_PREDICTS = [[3.11160945892334, -0.9338010549545288], [3.2414867877960205, -1.2349116802215576]]

FORMATS = ("w.weights.h5", "w.npz", "w.hdf5", "w.safetensors")


def example() -> Sequential:
    inner = Sequential([Dense(3), Dense(2, name="x")], name="inner")
    return Sequential([Input((4,)), Dense(3, "relu", name="mine"), Dropout(0.5), inner, Dense(2, name="y")])


def same(a: list[Any], b: list[Any]) -> bool:
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_a_file_of_keras_s() -> None:
    model = example()
    model.load_weights(GOLDEN)
    assert np.allclose(model.predict(X, verbose=0), KERAS_PREDICTS, rtol=1e-6)


def test_the_layout_is_keras_s(tmp_path: Path) -> None:
    """The same names and shapes but for the optimizer's, and the same values once they were read."""
    model = example()
    model.load_weights(GOLDEN)
    model.save_weights(tmp_path / "own.weights.h5")

    def arrays(path: Path) -> dict[str, Any]:
        found = {}
        with h5py.File(path) as file:
            file.visititems(lambda name, item: found.update({name: item[()]} if isinstance(item, h5py.Dataset) else {}))
        return {name: value for name, value in found.items() if not name.startswith("optimizer")}

    own, keras = arrays(tmp_path / "own.weights.h5"), arrays(GOLDEN)
    assert list(own) == list(keras)
    assert same(list(own.values()), list(keras.values()))
    assert all(value.dtype == np.float32 for value in own.values())


@pytest.mark.parametrize("name", FORMATS)
def test_there_and_back(name: str, tmp_path: Path, backend: str) -> None:
    set_random_seed(1)  # some relus of both are on
    one, two = example(), example()
    one.save_weights(tmp_path / name)
    before = two.predict(X, verbose=0)
    two.load_weights(str(tmp_path / name))
    assert same(two.get_weights(), one.get_weights())
    assert np.array_equal(two.predict(X, verbose=0), one.predict(X, verbose=0))
    assert not np.array_equal(two.predict(X, verbose=0), before)
    assert os.listdir(tmp_path) == [name]
    saving.save_weights(two, tmp_path / name)
    saving.load_weights(one, tmp_path / name)


class Pair(Layer):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.first = Dense(3)
        self.rest = [Dense(3), Dense(2)]

    def build(self, input_shape: Any) -> None:
        self.factor = self.add_weight((1,), "ones", name="factor", trainable=False)

    def call(self, inputs: Any) -> Any:
        x = self.first(inputs)
        for layer in self.rest:
            x = layer(x)
        return x


def test_layers_of_layers(tmp_path: Path) -> None:
    one, two = (Sequential([Input((4,)), Pair(), Dense(1)]) for _ in range(2))
    one.save_weights(tmp_path / "w.npz")
    with np.load(tmp_path / "w.npz") as file:
        assert set(file) == {
            "layers/pair/vars/0", "layers/pair/first/vars/0", "layers/pair/first/vars/1",
            "layers/pair/rest/dense/vars/0", "layers/pair/rest/dense/vars/1", "layers/pair/rest/dense_1/vars/0",
            "layers/pair/rest/dense_1/vars/1", "layers/dense/vars/0", "layers/dense/vars/1",
        }  # fmt: skip
    two.load_weights(tmp_path / "w.npz")
    assert same(one.get_weights(), two.get_weights())


@pytest.mark.parametrize("name", FORMATS)
def test_what_does_not_fit_changes_nothing(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    Sequential([Input((4,)), Dense(3), Dense(2)]).save_weights(path)
    wider = Sequential([Input((4,)), Dense(3), Dense(5)])
    longer = Sequential([Input((4,)), Dense(3), Dense(2), Dense(1)])
    shorter = Sequential([Input((4,)), Dense(3)])
    by_layer = name.endswith("hdf5")
    for model, message in (
        (wider, r"'.*(/0|kernel)' has shape \(3, 2\), and '.*/kernel' has \(3, 5\) \(and 1 more\)"),
        (longer, "there are 2 layers .* has 3" if by_layer else "there is no 'layers/dense_2/vars/0'"),
        (shorter, "there are 2 layers .* has 1" if by_layer else "'layers/dense_1/vars/0' is no weight of the model"),
    ):
        before = model.get_weights()
        with pytest.raises(ValueError, match=rf"does not fit .*: {message}.*Nothing has changed"):
            model.load_weights(path)
        assert same(model.get_weights(), before)
        with pytest.warns(UserWarning, match="does not fit"):
            model.load_weights(path, skip_mismatch=True)
        assert not np.array_equal(model.get_weights()[0], before[0])


@pytest.mark.parametrize("name", FORMATS)
def test_damage_is_found(name: str, tmp_path: Path) -> None:
    """A file cut anywhere, and one that is no file of weights; for ``.npz`` also every flipped bit of the values."""
    model, path = example(), tmp_path / name
    model.save_weights(path)
    whole, before = path.read_bytes(), model.get_weights()
    for cut in (0, 10, len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match="is damaged, or is no file of weights"):
            model.load_weights(path)
    if name.endswith("npz"):
        at = whole.index(model.weights[0].value.tobytes())
        for place in (at, at + 7, at + 40):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            with pytest.raises(ValueError, match="is damaged"):
                model.load_weights(path)
    assert same(model.get_weights(), before)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda m, p: m.save_weights(p / "w"), ValueError, r"must end in \.weights\.h5, .*\.npz"),
        (lambda m, p: m.save_weights(p / "w.keras"), ValueError, r"must end in \.weights\.h5, .*\.npz"),
        (lambda m, p: m.load_weights(p / "none.npz"), FileNotFoundError, "there is no file"),
        (lambda m, p: m.save_weights(p / "w.npz", max_shard_size=1), ValueError, "max_shard_size must be None"),
        (lambda m, p: Sequential([Dense(1)]).save_weights(p / "w.npz"), ValueError, "isn't built"),
        (lambda m, p: Sequential([Dense(1)]).load_weights(p / "w.npz"), ValueError, "isn't built"),
        (lambda m, p: m.save_weights(p / "no" / "w.npz"), OSError, "no"),
    ],
)
def test_bad_calls(call: Callable[..., Any], error: type[Exception], message: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=message):
        call(example(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_there(tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    path.write_bytes(b"old")
    with pytest.raises(FileExistsError, match="overwrite=False"):
        example().save_weights(path, overwrite=False)
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("name", FORMATS)
def test_a_failure_leaves_the_old_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever fails on the way, a full disk say, the old file stays and nothing is left beside it."""
    model, path = example(), tmp_path / name
    model.save_weights(path)
    old = path.read_bytes()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    for step in ("fsync", "replace"):
        with monkeypatch.context() as patched:
            patched.setattr(os, step, full)
            with pytest.raises(OSError, match="No space left"):
                model.save_weights(path)
        assert path.read_bytes() == old
        assert os.listdir(tmp_path) == [name]


def test_a_process_that_is_killed_leaves_a_whole_file(tmp_path: Path) -> None:
    script = """
        import sys
        from nncore.layers import Dense, Input
        from nncore.models import Sequential
from nncore.utils import set_random_seed
        model = Sequential([Input((400,)), Dense(400)])
        print("go", flush=True)
        while True:
            model.set_weights([w + 1 for w in model.get_weights()])
            model.save_weights(sys.argv[1])
    """
    path = tmp_path / "w.npz"
    model = Sequential([Input((400,)), Dense(400)])
    model.save_weights(path)
    for _ in range(3):
        command = [sys.executable, "-c", textwrap.dedent(script), str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            try:
                process.wait(0.1)
            except subprocess.TimeoutExpired:
                os.kill(process.pid, signal.SIGKILL)
        model.load_weights(path)
        assert len(set(model.layers[0].bias.value.tolist())) == 1


def test_h5py_is_asked_for_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "h5py":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    model = example()
    model.save_weights(tmp_path / "w.npz")
    for call in (lambda: model.save_weights(tmp_path / "w.weights.h5"), lambda: model.load_weights(GOLDEN)):
        with pytest.raises(ImportError, match=r"pip install 'nncore\[keras\]'"):
            call()


# Checkpoints.


def trained(checkpoint: ModelCheckpoint, epochs: int = 3, rate: float = 0.01) -> Sequential:
    set_random_seed(0)
    model = Sequential([Input((4,)), Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"])
    model.optimizer.learning_rate = rate
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 4))
    model.fit(x, x.sum(1), batch_size=10, epochs=epochs, validation_split=0.25, callbacks=checkpoint, verbose=0)
    return model


def test_every_epoch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = trained(
        ModelCheckpoint(tmp_path / "in" / "{epoch:02d}-{val_loss:.2f}.npz", save_weights_only=True, verbose=1)
    )
    losses = model.history.history["val_loss"]
    names = [f"{i + 1:02d}-{loss:.2f}.npz" for i, loss in enumerate(losses)]
    assert sorted(os.listdir(tmp_path / "in")) == names
    path = tmp_path / "in" / names[0]
    lines = f"\nEpoch 1: saving model to {path}\n\nEpoch 1: finished saving model to {path}\n"
    assert capsys.readouterr().out.startswith(lines)
    twin = Sequential([Input((4,)), Dense(1)])
    twin.load_weights(tmp_path / "in" / names[-1])
    assert same(twin.get_weights(), model.get_weights())


def test_the_best_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "best.weights.h5"
    checkpoint = ModelCheckpoint(path, save_best_only=True, save_weights_only=True, verbose=1)
    model = trained(checkpoint, rate=0.8)  # it diverges
    losses = model.history.history["val_loss"]
    assert losses[0] < losses[1] < losses[2]
    assert checkpoint.best == losses[0]
    assert capsys.readouterr().out == (
        f"\nEpoch 1: val_loss improved from None to {losses[0]:.5f}, saving model to {path}\n"
        f"\nEpoch 1: finished saving model to {path}\n"
        f"\nEpoch 2: val_loss did not improve from {losses[0]:.5f}\n"
        f"\nEpoch 3: val_loss did not improve from {losses[0]:.5f}\n"
    )
    threshold = ModelCheckpoint(
        tmp_path / "none.npz", save_best_only=True, save_weights_only=True, initial_value_threshold=0
    )
    trained(threshold)
    assert not (tmp_path / "none.npz").exists()
    upwards = ModelCheckpoint(
        tmp_path / "up{epoch}.npz", "mae", save_best_only=True, save_weights_only=True, mode="max"
    )
    trained(upwards, rate=0.8)
    assert {f"up{i}.npz" for i in (1, 2, 3)} <= set(os.listdir(tmp_path))


def test_every_so_many_batches(tmp_path: Path) -> None:
    """An epoch has 3 batches, so after batches 2, 4 and 6: the second, the first and the third of an epoch."""
    trained(ModelCheckpoint(tmp_path / "{epoch}-{batch}.npz", save_weights_only=True, save_freq=2), epochs=2)
    assert sorted(os.listdir(tmp_path)) == ["1-2.npz", "2-1.npz", "2-3.npz"]


@pytest.mark.parametrize("suffix", files.MODELS)
def test_whole_models(suffix: str, tmp_path: Path) -> None:
    """As Keras does by default: a file goes on where training was, with the optimizer's state."""
    model = trained(ModelCheckpoint(tmp_path / f"{{epoch}}{suffix}"))
    assert sorted(os.listdir(tmp_path)) == [f"{i}{suffix}" for i in (1, 2, 3)]
    twin = load_model(tmp_path / f"3{suffix}")
    assert same(twin.get_weights(), model.get_weights())
    assert twin.optimizer.steps == model.optimizer.steps == 9
    assert load_model(tmp_path / f"2{suffix}").optimizer.steps == 6


def test_a_model_that_cannot_be_saved(tmp_path: Path) -> None:
    """It is said before the first epoch, not after it."""
    model = Sequential([Input((4,)), Dense(1, activation=lambda x: x)])
    model.compile("sgd", "mse")
    before = model.get_weights()
    with pytest.raises(ValueError, match="A lambda has no name"):
        model.fit(np.ones((4, 4)), np.ones(4), callbacks=ModelCheckpoint(tmp_path / "m.npz"), verbose=0)
    assert same(model.get_weights(), before)
    model.fit(
        np.ones((4, 4)), np.ones(4), callbacks=ModelCheckpoint(tmp_path / "w.npz", save_weights_only=True), verbose=0
    )
    assert os.listdir(tmp_path) == ["w.npz"]


def test_a_folder_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "m.npz").mkdir()
    with pytest.raises(IsADirectoryError, match=r"m\.npz' cannot be written, and is as it was: it is a folder"):
        trained(ModelCheckpoint(tmp_path / "m.npz"))


def test_values_that_are_no_scalars(tmp_path: Path) -> None:
    """A metric of several values cannot be monitored: every epoch is saved."""
    checkpoint = ModelCheckpoint(tmp_path / "{epoch}.npz", "each", save_best_only=True, mode="max")
    vectors = LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(each=np.array([1.0, 2.0])))
    model = Sequential([Input((4,)), Dense(1)])
    model.compile("sgd", "mse")
    with pytest.warns(UserWarning, match="Can save best model only when `monitor` is a scalar value"):
        model.fit(np.ones((4, 4)), np.ones(4), epochs=2, callbacks=[vectors, checkpoint], verbose=0)
    assert sorted(os.listdir(tmp_path)) == ["1.npz", "2.npz"]


VALUES = [0.5, 0.25, 0.25, float("nan"), 0.3, 0.125]
"""Of what is monitored, epoch by epoch."""


@pytest.mark.peers
@pytest.mark.parametrize("mode", ["auto", "max"])
@pytest.mark.parametrize("threshold", [None, 0.3])
@pytest.mark.parametrize("save_best_only, save_freq", [(True, "epoch"), (False, "epoch"), (False, 1), (False, 3)])
@pytest.mark.parametrize("weights_only", [False, True])
def test_checkpoints_as_keras(
    mode: str, threshold: float | None, save_best_only: bool, save_freq: Any, weights_only: bool, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """The same hooks: the same files at the same moments, and the same messages.

    (The best of batches is more than Keras 3.15.1 can do: it fails, since it chooses the mode at the end of an epoch.)
    """
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras

    name = "{epoch:02d}-{val_loss:.2f}.weights.h5" if weights_only else "{epoch}.keras"
    told = []
    for library, whole in ((keras, keras.Sequential), (nncore, Sequential)):
        checkpoint = library.callbacks.ModelCheckpoint(
            tmp_path / "in" / name, verbose=1, save_best_only=save_best_only, save_weights_only=weights_only,
            mode=mode, save_freq=save_freq, initial_value_threshold=threshold,
        )  # fmt: skip
        model, saved = whole([]), []
        for way in ("save", "save_weights"):
            setattr(model, way, lambda path, overwrite, way=way, saved=saved: saved.append((way, path, overwrite)))
        checkpoint.set_model(model)
        checkpoint.on_train_begin()
        for epoch, value in enumerate(VALUES):
            logs = {"val_loss": value, "loss": 1.0}
            checkpoint.on_epoch_begin(epoch)
            for batch in range(4):
                checkpoint.on_train_batch_end(batch, logs)
            checkpoint.on_epoch_end(epoch, logs)
        told.append((saved, capsys.readouterr().out))
    assert told[0] == told[1]
    assert told[0][0]


def test_a_missing_value(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Can save best model only with nothing available"):
        trained(ModelCheckpoint(tmp_path / "w.npz", "nothing", save_best_only=True, save_weights_only=True, mode="min"))
    assert (tmp_path / "w.npz").exists()
    with pytest.raises(KeyError, match=r"asks for 'val_acc', and there are epoch, .*val_loss"):
        trained(ModelCheckpoint(tmp_path / "{val_acc}.npz", save_weights_only=True))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"filepath": "w.txt"}, r"ModelCheckpoint: the file's name must end in .*\.npz.*Received: 'w.txt'"),
        ({"filepath": "w.txt", "save_weights_only": True}, r"the file's name must end in \.weights\.h5, .*\.npz"),
        ({"filepath": "w.npz", "save_weights_only": True, "save_freq": 0}, "save_freq must be 'epoch' or a positive"),
        ({"filepath": "w.npz", "save_weights_only": True, "save_freq": "batch"}, "save_freq must be 'epoch'"),
        ({"filepath": "w.npz", "save_weights_only": True, "mode": "up"}, "Unknown ModelCheckpoint mode"),
        (
            {"filepath": "w.npz", "save_weights_only": True, "initial_value_threshold": "x"},
            "initial_value_threshold must be a finite number",
        ),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ModelCheckpoint(**arguments)
