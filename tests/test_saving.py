"""Whole models in files: what is saved is there again, to the bit, and what cannot be changes nothing."""

from __future__ import annotations

import builtins
import io
import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
import zipfile
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import nncore
from nncore import random as seeds
from nncore.layers import (
    BatchNormalization,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Input,
    Lambda,
    Layer,
    Normalization,
    RepeatVector,
)
from nncore.models import Sequential, load_model
from nncore.optimizers import SGD, Adafactor, Adam, AdamW, Lion, Muon, schedules
from nncore.saving import files, read_metadata, save_model, whole
from nncore.saving.files import Contents
from nncore.utils import set_random_seed

FORMATS = ("m.npz", "m.keras", "m.h5", "m.safetensors")
BY_LAYER = ("m.h5",)
"""The formats that have no arrays but those of layers and optimizers."""

X = np.random.default_rng(0).random((50, 4))
Y = np.arange(50) % 3


def example(optimizer: Any = "adam", loss: str = "sparse_categorical_crossentropy", **how: Any) -> Sequential:
    layers = [Input((4,)), Dense(8, "relu"), BatchNormalization(), Dropout(0.3), Dense(3, "softmax")]
    model = Sequential(layers)
    model.compile(optimizer, loss, metrics=["accuracy"], **how)
    return model


def trained(*args: Any, **kwargs: Any) -> Sequential:
    model = example(*args, **kwargs)
    model.fit(X, Y, epochs=2, batch_size=16, verbose=0)
    return model


def same(one: Any, two: Any) -> bool:
    a, b = one.get_weights(), two.get_weights()
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


# There and back.


@pytest.mark.parametrize("name", FORMATS)
def test_there_and_back(name: str, tmp_path: Path, backend: str) -> None:
    """The same predictions, and the same batch trained on changes them in the same way."""
    one = trained()
    one.save(tmp_path / name)
    two = load_model(tmp_path / name)
    assert np.array_equal(one.predict(X, verbose=0), two.predict(X, verbose=0))
    assert two.optimizer.steps == one.optimizer.steps == 8
    for model in (one, two):
        set_random_seed(0)
        model.fit(X, Y, verbose=0)
    assert same(one, two)
    assert os.listdir(tmp_path) == [name]


def named_rate() -> float:
    return 0.01


OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "adam": lambda: Adam(0.1 / 3),  # which float32 rounds
    "momentum": lambda: SGD(0.01, momentum=0.9, nesterov=True),
    "schedule": lambda: Adam(schedules.CosineDecay(0.02, 20, warmup_target=0.03, warmup_steps=3)),
    "function": lambda: Lion(named_rate),
    "accumulation": lambda: Adam(0.01, gradient_accumulation_steps=3),
    "mean of weights": lambda: SGD(0.01, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=5),
    "limits": lambda: AdamW(0.01, weight_decay=0.1, global_clipnorm=0.5),
    "muon": lambda: Muon(0.01, exclude_layers=["dense_1"]),
    "adafactor": lambda: Adafactor(0.01),
}


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("name", FORMATS)
def test_training_goes_on(name: str, kind: str, tmp_path: Path) -> None:
    """After batches, in the middle of whatever the optimizer counts: fit and train_on_batch, bit for bit."""
    one = trained(OPTIMIZERS[kind]())
    for _ in range(2):
        one.train_on_batch(X, Y)
    one.save(tmp_path / name)
    two = load_model(tmp_path / name, custom_objects={"named_rate": named_rate})
    for _ in range(2):
        assert one.train_on_batch(X, Y) == two.train_on_batch(X, Y)
    assert same(one, two)
    for model in (one, two):
        set_random_seed(3)
        model.fit(X, Y, epochs=2, batch_size=7, verbose=0)
    assert same(one, two)
    assert np.array_equal(one.optimizer.state, two.optimizer.state)
    assert one.optimizer.steps == two.optimizer.steps


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("frozen", [(0,), (0, 1, 3)], ids=["one layer", "all"])
def test_slots_of_frozen_layers(name: str, frozen: tuple[int, ...], tmp_path: Path) -> None:
    """They rest while a layer is frozen, and are there when it is trained again."""
    one = trained()
    for i in frozen:
        one.layers[i].trainable = False
    if len(frozen) == 1:
        one.fit(X, Y, verbose=0, shuffle=False)
    one.save(tmp_path / name)
    two = load_model(tmp_path / name)
    assert two.layers[frozen[0]].trainable is False
    for model in (one, two):
        for layer in model.layers:
            layer.trainable = True
        set_random_seed(0)
        model.fit(X, Y, verbose=0)
    assert same(one, two)
    assert np.array_equal(one.optimizer.state, two.optimizer.state)


@pytest.mark.parametrize("name", FORMATS)
def test_what_compile_chose(name: str, tmp_path: Path) -> None:
    one = example("sgd", "crossentropy", check_finite=False, on_nan="stop")
    one.save(tmp_path / name)
    assert load_model(tmp_path / name).loss is None
    one.fit(X, np.eye(3)[Y], verbose=0)
    one.save(tmp_path / name)
    two = load_model(tmp_path / name)
    assert two.loss.get_config() == one.loss.get_config()
    assert two.loss.name == "categorical_crossentropy"
    with pytest.raises(ValueError, match="for categorical_crossentropy"):
        two.fit(X, Y, verbose=0)
    trainer = two.trainer("test")
    assert (trainer.finite, trainer.on_nan) == (False, "stop")
    assert not load_model(tmp_path / name, compile=False).compiled


def test_weights_that_do_not_decay(tmp_path: Path) -> None:
    optimizer = AdamW(0.01, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma"])
    one = example(optimizer)
    one.fit(X, Y, verbose=0)
    one.save(tmp_path / "m.npz")
    two = load_model(tmp_path / "m.npz")
    for model in (one, two):
        set_random_seed(0)
        model.fit(X, Y, verbose=0)
    assert same(one, two)


def test_seeds(tmp_path: Path) -> None:
    """A file says where the stream of seeds was; loading does not touch it."""
    set_random_seed(5)
    one = trained()
    one.save(tmp_path / "m.npz")
    one.fit(X, Y, verbose=0)
    after = seeds.draw_seed()

    set_random_seed(9)
    load_model(tmp_path / "m.npz")
    there = seeds.position()
    set_random_seed(9)
    assert there == seeds.position()

    two = load_model(tmp_path / "m.npz")
    seeds.set_seed(read_metadata(tmp_path / "m.npz")["nncore"]["random"]["stream"])
    two.fit(X, Y, verbose=0)
    assert same(one, two)
    assert seeds.draw_seed() == after


def test_a_model_that_is_not_built_has_seeds_of_its_own(tmp_path: Path) -> None:
    """Its weights are made later, and are a function of the seed that was set before it was loaded."""
    Sequential([Dense(3), Dense(3)]).save(tmp_path / "m.npz")
    found = []
    for _ in range(2):
        set_random_seed(1)
        model = load_model(tmp_path / "m.npz")
        new = Sequential([Dense(3)])
        for each in (model, new):
            each.build((None, 3))
        found.append(model.get_weights())
        assert not np.array_equal(model.get_weights()[0], new.get_weights()[0])
        assert not np.array_equal(model.get_weights()[0], model.get_weights()[2])
    assert all(np.array_equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("name", FORMATS)
def test_metadata(name: str, tmp_path: Path) -> None:
    model = trained()
    model.save(tmp_path / name, metadata={"columns": ["a", "b"]})
    found = read_metadata(tmp_path / name)
    assert found["columns"] == ["a", "b"]
    own = found["nncore"]
    assert own["steps"] == 8
    assert set(own["metrics"]) == {"loss", "accuracy"}
    assert (own["input_shape"], own["output_shape"]) == ([None, 4], [None, 3])
    assert (own["version"], own["numpy"]) == (nncore.__version__, np.__version__)
    assert own["backend"] in ("numpy", "native (avx512)", "native (avx2)", "native (neon)", "native (baseline)")


@pytest.mark.parametrize("name", FORMATS)
def test_equal_models_make_equal_files(name: str, tmp_path: Path) -> None:
    model = trained()
    written = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        model.save(tmp_path / folder / name)
        written.append((tmp_path / folder / name).read_bytes())
    assert written[0] == written[1]


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in BY_LAYER])
def test_arrays_of_all_kinds(name: str, tmp_path: Path) -> None:
    """Empty ones, single values, integers, columns before rows, and views."""
    rng = np.random.default_rng(0)
    arrays = {
        "empty": np.zeros((0, 3), np.float32), "one": np.array(7, np.int64), "half": np.ones(3, np.float16),
        "columns": np.asfortranarray(rng.random((3, 5))), "view": rng.random((6, 4))[::2, 1:], "true": np.ones(2, bool),
        "a/b/ü": np.arange(3, dtype=np.uint8),
    }  # fmt: skip
    files.write("test", str(tmp_path / name), Contents(arrays), files.MODELS)
    found = files.read("test", str(tmp_path / name), files.MODELS).arrays
    assert set(found) == set(arrays)
    for key, array in arrays.items():
        assert found[key].dtype == array.dtype
        assert found[key].shape == array.shape
        assert np.array_equal(found[key], array)


def test_archives_of_numpy(tmp_path: Path) -> None:
    """What savez and savez_compressed write is read, and numpy.load reads what is written here."""
    model = trained()
    model.save_weights(tmp_path / "w.npz")
    with np.load(tmp_path / "w.npz", allow_pickle=False) as file:
        arrays = dict(file)
    assert [tuple(a.shape) for a in arrays.values()] == [w.shape for w in model.weights]
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "n.npz", **{n: np.asfortranarray(a) for n, a in arrays.items()})
        other = example()
        other.load_weights(tmp_path / "n.npz")
        assert same(model, other)


def test_archives_of_more_than_4_gb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their sizes and places take 64 bits; here, all that are above 1000 do."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)
    arrays = {name: np.arange(2000, dtype=np.float32) for name in "abc"}
    files.write("test", str(tmp_path / "w.npz"), Contents(arrays), files.WEIGHTS)
    monkeypatch.undo()
    assert (tmp_path / "w.npz").read_bytes().count(b"PK\x06\x06") == 1  # the record of archives that are so large
    for found in (files.read("test", str(tmp_path / "w.npz"), files.WEIGHTS).arrays, np.load(tmp_path / "w.npz")):
        assert all(np.array_equal(found[name], array) for name, array in arrays.items())
        if isinstance(found, np.lib.npyio.NpzFile):
            found.close()


def test_weights_of_a_whole_model(tmp_path: Path) -> None:
    for name in FORMATS:
        one, two = trained(), example()
        one.save(tmp_path / name)
        two.load_weights(tmp_path / name)
        assert same(one, two)


class Mine(Layer):
    def __init__(self, units: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inner = Dense(units)

    def call(self, inputs: Any) -> Any:
        return self.inner(inputs) * 2

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.inner.units}


def test_layers_of_one_s_own_and_models_inside(tmp_path: Path) -> None:
    inner = Sequential([Dense(3), Mine(4)], name="inner")
    one = Sequential([Input((4,)), inner, Mine(2), Dense(1)])
    one.save(tmp_path / "m.npz")
    two = load_model(tmp_path / "m.npz", custom_objects={"Mine": Mine})
    assert same(one, two)
    assert np.array_equal(one.predict(X, verbose=0), two.predict(X, verbose=0))


def test_statistics_that_are_given_or_found(tmp_path: Path) -> None:
    """Those given for all places at once are repeated only when a program runs."""
    adapted = Normalization()
    adapted.adapt(X)
    one = Sequential([Input((4,)), adapted, Normalization(mean=0.5, variance=[1, 2, 3, 4])])
    one.save(tmp_path / "m.npz")
    two = load_model(tmp_path / "m.npz")
    assert np.array_equal(one.predict(X, verbose=0), two.predict(X, verbose=0))


GOLDEN = Path(__file__).parent / "golden"


def recorded() -> Sequential:
    """The model in the golden files ``model.*``, which ``save_golden`` wrote with version 0.1.0."""
    set_random_seed(0)
    inner = Sequential([Dense(3, "tanh"), Dropout(0.1)], name="inner")
    model = Sequential(
        [Input((4,)), Normalization(mean=0.5, variance=0.1), Dense(4, "relu"), inner, Dense(3, "softmax")]
    )
    rate = schedules.PiecewiseConstantDecay([5, 10], [0.02, 0.01, 0.005])
    model.compile(Adam(rate, gradient_accumulation_steps=3, use_ema=True), "crossentropy", metrics=["accuracy"])
    model.fit(X, Y, epochs=2, batch_size=16, verbose=0)
    model.layers[1].trainable = False
    model.fit(X, Y, batch_size=16, verbose=0)
    return model


def save_golden() -> None:
    """To be called once for a version of files; a new version keeps the old files, and tests both."""
    for suffix in (".npz", ".safetensors", ".keras", ".h5"):
        recorded().save(GOLDEN / f"model{suffix}", metadata={"version": 1})


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".keras", ".h5"])
def test_files_of_the_first_version(suffix: str) -> None:
    """They mean what they meant; the weights have gone through other kernels, and so may differ in the last digits."""
    path, expected = GOLDEN / f"model{suffix}", recorded()
    found = load_model(path)
    assert np.allclose(found.predict(X, verbose=0), expected.predict(X, verbose=0), rtol=1e-4)
    for model in (found, expected):
        model.layers[1].trainable = True
        for _ in range(4):
            model.train_on_batch(X, Y)
    assert found.optimizer.steps == expected.optimizer.steps == 16
    for one, two in zip(found.get_weights(), expected.get_weights(), strict=True):
        assert np.allclose(one, two, rtol=1e-3, atol=1e-5)
    assert np.allclose(found.optimizer.state, expected.optimizer.state, rtol=1e-3, atol=1e-5)
    assert read_metadata(path)["version"] == 1


# Writing.


def test_permissions(tmp_path: Path) -> None:
    """A new file has those that the umask leaves, one that is replaced keeps its own."""
    for name in FORMATS:
        path, model = tmp_path / name, example()
        before = os.umask(0o027)
        try:
            model.save(path)
        finally:
            os.umask(before)
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        path.chmod(0o604)
        model.save(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o604


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    link, target = tmp_path / "m.npz", tmp_path / "far" / "target"
    link.symlink_to(target)
    for _ in range(2):
        example().save(link)
        assert link.is_symlink()
        assert target.is_file()
        load_model(link)
    assert os.listdir(tmp_path / "far") == ["target"]


@pytest.mark.parametrize("stem", ["a" * 251, "ü" * 125, "with blanks, 'quotes' and\nlines", ".hidden", "a.b.c"])
def test_names_of_all_kinds(stem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest that a system takes, too; here by a path from where the process is."""
    monkeypatch.chdir(tmp_path)
    model = example()
    for _ in range(2):
        model.save(f"{stem}.npz")
    assert os.listdir() == [f"{stem}.npz"]
    assert same(load_model(f"{stem}.npz"), model)


@pytest.mark.parametrize("name", FORMATS)
def test_threads_that_write_the_same_file(name: str, tmp_path: Path) -> None:
    """Each file is of one of them, as a whole, whenever it is read."""
    path, models = tmp_path / name, [example() for _ in range(3)]
    models[0].save(path)

    def write(model: Sequential) -> None:
        for _ in range(4):
            model.save(path)

    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(write, model) for model in models]
        while not all(done.done() for done in waiting):
            found = load_model(path)
            assert any(same(found, model) for model in models)
        for done in waiting:
            done.result()
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("name", FORMATS)
def test_a_full_disk(name: str, tmp_path: Path) -> None:
    """The limit of the size of files stands in for it: the system refuses to write more, in the middle of a file."""
    script = """
        import os, resource, sys
        from nncore.layers import Dense, Input
        from nncore.models import Sequential
        path, limit = sys.argv[1], int(sys.argv[2])
        model = Sequential([Input((300,)), Dense(300)])
        before = model.get_weights()
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        for save, path in ((model.save, path), (model.save_weights, path.replace(".keras", ".weights.h5"))):
            try:
                save(path)
            except OSError as error:
                assert "cannot be written, and is as it was: File too large" in str(error), error
                assert error.errno == 27
            else:
                raise SystemExit("it was written")
        assert all((a == b).all() for a, b in zip(before, model.get_weights()))
        print("ok")
    """
    path = tmp_path / name
    example().save(path)
    old = path.read_bytes()
    for limit in (0, 100, 100_000, 360_000):
        command = [sys.executable, "-c", textwrap.dedent(script), str(path), str(limit)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.stdout == "ok\n", done.stderr
        assert path.read_bytes() == old
        assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    "place, error, message",
    [
        (lambda p: p / "none" / "deep", FileNotFoundError, "there is no folder"),
        (lambda p: p / "folder", IsADirectoryError, "it is a folder"),
        (lambda p: p / "file" / "inside", OSError, "there is no folder"),
    ],
)
def test_places_that_cannot_be_written(
    name: str, place: Callable[[Path], Path], error: type[Exception], message: str, tmp_path: Path
) -> None:
    (tmp_path / f"folder.{name}").mkdir()
    (tmp_path / "file").touch()
    path = Path(f"{place(tmp_path)}.{name}")
    with pytest.raises(error, match=message) as caught:
        example().save(path)
    assert str(path) in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == ["file", f"folder.{name}"]


def test_files_that_may_not_be_written_or_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.npz"
    example().save(path)
    old = path.read_bytes()

    def refuse(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(os, "access", lambda *_: False)  # root may write what is read-only
        with pytest.raises(PermissionError, match="it is read-only"):
            example().save(path)
    with monkeypatch.context() as patched:
        patched.setattr(builtins, "open", refuse)  # a folder that may not be written, a file that may not be read
        for call in (lambda: example().save(path), lambda: load_model(path), lambda: read_metadata(path)):
            with pytest.raises(PermissionError, match="Permission denied"):
                call()
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == ["m.npz"]


@pytest.mark.parametrize("name", FORMATS)
def test_a_process_that_is_killed_leaves_the_old_file_or_the_new(name: str, tmp_path: Path) -> None:
    """Processes are killed in the middle of saves; what they leave beside the file, the next save removes."""
    script = """
        import sys
        import h5py, safetensors.numpy  # which take a while
        from nncore.layers import Dense, Input
        from nncore.models import Sequential
        model = Sequential([Input((200,)), Dense(200)])
        model.compile("adam", "mse")
        print("go", flush=True)
        for i in range(int(sys.argv[2]), 10**6):
            model.set_weights([w * 0 + i for w in model.get_weights()])
            model.save(sys.argv[1], metadata={"i": i})
    """
    path, rng = tmp_path / name, np.random.default_rng(0)
    writer = Sequential([Input((200,)), Dense(200)])
    writer.set_weights([w * 0 for w in writer.get_weights()])
    writer.save(path, metadata={"i": 0})
    numbers = [0]
    for i in range(1, 6):
        command = [sys.executable, "-c", textwrap.dedent(script), str(path), str(1000 * i)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            try:
                process.wait(rng.random() * 0.15)
            except subprocess.TimeoutExpired:
                os.kill(process.pid, signal.SIGKILL)
        number = read_metadata(path)["i"]
        assert number == numbers[-1] or 1000 * i <= number < 1000 * i + 1000
        numbers.append(number)
        assert all((w == number).all() for w in load_model(path).get_weights())
        assert len(set(os.listdir(tmp_path)) - {name}) <= 1
    assert len(set(numbers)) > 2
    writer.save(path)
    assert os.listdir(tmp_path) == [name]


def test_a_folder_that_cannot_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(os, "listdir", refuse)
        example().save(tmp_path / "m.npz")
    load_model(tmp_path / "m.npz")


def test_leftovers(tmp_path: Path) -> None:
    """Those of dead processes of this machine are removed, those of others are not."""
    example().save(tmp_path / "m.npz")
    stem = f".m.npz.{files._machine()}."
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    gone = [f"{stem}{child.pid}.aaaa.bbbb", f"{stem}{os.getpid()}.aaaa.bbbb", f"{stem}{2**70}.aaaa.bbbb"]
    kept = [
        f"{stem}{os.getppid()}.aaaa.bbbb", f"{stem}{os.getpid()}.{files._PROCESS}.bbbb", f"{stem}x.aaaa.bbbb",
        f".m.npz.elsewhere.{child.pid}.aaaa.bbbb", f".n.npz.{files._machine()}.{child.pid}.aaaa.bbbb",
    ]  # fmt: skip
    for name in gone + kept:
        (tmp_path / name).touch()
    example().save(tmp_path / "m.npz")
    assert sorted(os.listdir(tmp_path)) == sorted([*kept, "m.npz"])


# Bad calls.


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda m, p: m.save(p / "m"), ValueError, r"save_model: the file's name must end in \.npz"),
        (lambda m, p: m.save(p / "m.pt"), ValueError, r"must end in \.npz.*\.safetensors"),
        (lambda m, p: m.save(b"m.npz"), ValueError, "must end in"),
        (lambda m, p: m.save(p / "m.npz", zipped=False), ValueError, "zipped must be None or True"),
        (lambda m, p: m.save(p / "m.npz", metadata={"a": object()}), ValueError, "metadata must be what JSON can"),
        (lambda m, p: m.save(p / "m.npz", metadata={"nncore": 1}), ValueError, "'nncore' in metadata is nncore's own"),
        (lambda m, p: load_model(p / "none.npz"), FileNotFoundError, "load_model: there is no file"),
        (lambda m, p: load_model(p / "m.pkl"), ValueError, "load_model: the file's name must end in"),
        (lambda m, p: read_metadata(p / "none.npz"), FileNotFoundError, "read_metadata: there is no file"),
        (
            lambda m, p: save_model(Sequential([Lambda(lambda x: x, name="l"), Dense(1)]), p / "m.npz"),
            ValueError,
            "A lambda has no name to be found by",
        ),
    ],
)
def test_bad_calls(call: Callable[..., Any], error: type[Exception], message: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=message):
        call(example(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_there(tmp_path: Path) -> None:
    path = tmp_path / "m.npz"
    path.write_bytes(b"old")
    with pytest.raises(FileExistsError, match="overwrite=False"):
        example().save(path, overwrite=False)
    assert path.read_bytes() == b"old"


def test_safetensors_is_asked_for_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example().save(tmp_path / "m.safetensors")
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "safetensors":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    example().save(tmp_path / "m.npz")
    for call in (lambda: example().save(tmp_path / "n.safetensors"), lambda: load_model(tmp_path / "m.safetensors")):
        with pytest.raises(ImportError, match=r"pip install 'nncore\[safetensors\]'"):
            call()
    assert sorted(os.listdir(tmp_path)) == ["m.npz", "m.safetensors"]


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "m.keras"])  # never of weights alone
def test_files_of_other_kinds(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    example().save_weights(path)
    with pytest.raises(ValueError, match="holds weights alone: make the model, and call its load_weights"):
        load_model(path)
    os.remove(path)
    path.mkdir()
    with pytest.raises(IsADirectoryError, match="is a folder"):
        load_model(path)


@pytest.mark.parametrize("name", FORMATS)
def test_newer_files(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, model = tmp_path / name, example()
    with monkeypatch.context() as patched:
        patched.setattr(whole, "FILE_VERSION", 7)
        patched.setattr(whole, "__version__", "3.1.4")
        model.save(path)
    before = model.get_weights()
    for call in (load_model, model.load_weights, read_metadata):
        with pytest.raises(ValueError, match=r"of version 7, written by nncore 3\.1\.4\. .*reads up to version 1: up"):
            call(path)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


# Files that were made to do harm.


def changed(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Write a file anew with another config; the config is of a model."""
    contents = files.read("test", str(path), files.MODELS)
    config = json.loads(json.dumps(contents.config))
    change(config)
    files.write("test", str(path), Contents(contents.arrays, config, contents.metadata), files.MODELS)


def peak_of(call: Callable[[], Any]) -> int:
    """The most memory that Python and NumPy took during a call."""
    import tracemalloc

    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def layer(class_name: str, **config: Any) -> dict[str, Any]:
    return {"module": "keras.layers", "class_name": class_name, "config": config, "registered_name": None}


def metric(class_name: str, **config: Any) -> dict[str, Any]:
    return {"module": "keras.metrics", "class_name": class_name, "config": config, "registered_name": None}


BOMBS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "units": (lambda c: c["config"]["layers"][1]["config"].update(units=10**12), "hold only"),
    "units of a few MB": (lambda c: c["config"]["layers"][1]["config"].update(units=10**6), "hold only"),
    "inputs": (
        lambda c: (
            c["config"]["layers"][0]["config"].update(batch_shape=[None, 10**12]),
            c["config"].update(build_input_shape=[None, 10**12]),
            [entry.pop("build_config", None) for entry in c["config"]["layers"]],
            c.pop("build_config"),
        ),
        "hold only",
    ),
    "embedding": (
        lambda c: c["config"]["layers"].insert(1, layer("Embedding", input_dim=10**9, output_dim=10**9)),
        "hold only",
    ),
    "many layers": (
        lambda c: c["config"]["layers"].extend(layer("Dense", units=3, name=f"n{i}") for i in range(1000)),
        "hold only",
    ),
    "confusion": (
        lambda c: c["compile_config"].update(metrics=[metric("MeanIoU", num_classes=10**12)]),
        "for which the file gives no reason",
    ),
    "thresholds": (
        lambda c: c["compile_config"].update(metrics=[metric("AUC", num_thresholds=10**12)]),
        "for which the file gives no reason",
    ),
    "thresholds of others": (
        lambda c: c["compile_config"].update(
            metrics=[metric("SensitivityAtSpecificity", specificity=0.5, num_thresholds=10**12)]
        ),
        "for which the file gives no reason",
    ),
    "strings": (
        lambda c: c["config"]["layers"][1]["config"].update(
            kernel_initializer={
                "class_name": "Constant",
                "config": {"value": {"class_name": "__numpy__", "config": {"value": ["a"], "dtype": "S2000000000"}}},
            }
        ),
        "",
    ),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_configs_that_ask_for_memory(kind: str, tmp_path: Path) -> None:
    change, message = BOMBS[kind]
    path = tmp_path / "m.npz"
    trained().save(path)
    changed(path, change)

    def load() -> None:
        with pytest.raises(ValueError, match=rf"load_model: .*m\.npz' cannot be loaded: .*{message}"):
            load_model(path)

    load()
    assert peak_of(load) < 2**20 + 64 * path.stat().st_size


def test_shapes_without_weights_take_no_memory(tmp_path: Path) -> None:
    """A model may say of its data what it likes, as long as nothing is made for it."""
    path = tmp_path / "m.npz"
    one = Sequential([Input((10**6,)), Normalization(mean=0.5, variance=2.0), RepeatVector(10**6), Flatten()])
    one.save(path)
    found: list[Any] = []
    assert peak_of(lambda: found.append(load_model(path))) < 2**20
    assert found[0].output_shape == (None, 10**12)


@pytest.mark.parametrize("text", ["[" * 10**5, '{"config": 3}', "3", '{"config": {}, "metadata": 1}', "{", "\x00", ""])
def test_texts_that_are_none(text: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "m.npz", **{"model.json": np.frombuffer(text.encode(), np.uint8)})
    with pytest.raises(ValueError, match="is damaged, or is no file of models"):
        load_model(tmp_path / "m.npz")


CONFIGS: dict[str, tuple[Any, str]] = {
    "no class": ({"a": 1}, "it describes no model"),
    "a layer": (layer("Dense", units=3), "it describes no model, but <Dense"),
    "a function": ({"module": "keras", "class_name": "load_model", "config": {}}, "Unknown model class"),
    "a function by name": ({"module": "keras", "class_name": "function", "config": "save_model"}, "Unknown"),
    "an unknown class": ({"module": "os", "class_name": "system", "config": {}}, "'system'"),
    "a class of another kind": ({"module": "subprocess", "class_name": "Popen", "config": {"args": "id"}}, "'Popen'"),
    "a lambda": (
        {"module": "keras", "class_name": "Sequential", "config": {"layers": [layer("Lambda", function={
            "class_name": "__lambda__", "config": {"code": "4wEAAAAAAAAA"}})]}},
        "A lambda is not read from a config",
    ),
    "no layers": ({"module": "keras", "class_name": "Sequential", "config": {}}, "KeyError: 'layers'"),
}  # fmt: skip


@pytest.mark.parametrize("kind", CONFIGS)
def test_configs_of_no_model(kind: str, tmp_path: Path) -> None:
    config, message = CONFIGS[kind]
    files.write("test", str(tmp_path / "m.npz"), Contents({}, config), files.MODELS)
    with pytest.raises(ValueError, match=f"cannot be loaded: .*{message}"):
        load_model(tmp_path / "m.npz")


@pytest.mark.parametrize(
    "change",
    [
        {"steps": -1}, {"steps": "x"}, {"steps": 2**70}, {"learning_rate": "x"}, {"random": {"train_on_batch": -1}},
        {"compile": {"on_nan": "explode"}}, {"compile": 3}, {"undecayed": ["no"]},
    ],
)  # fmt: skip
def test_metadata_of_nncore_s_own_that_is_wrong(change: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "m.npz"
    trained().save(path)
    contents = files.read("test", str(path), files.MODELS)
    own = {**contents.metadata["nncore"], **change}
    files.write("test", str(path), Contents(contents.arrays, contents.config, {"nncore": own}), files.MODELS)
    with pytest.raises(ValueError, match="cannot be loaded"):
        load_model(path)


def entries_of(path: Path, **changes: bytes) -> None:
    """Write a zip file of these entries."""
    with zipfile.ZipFile(path, "w") as file:
        for name, data in changes.items():
            file.writestr(f"{name}.npy", data)


def npy(descr: str = "'<f4'", order: str = "False", shape: str = "(2,)", data: bytes = bytes(8)) -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


ENTRIES: dict[str, tuple[bytes, str]] = {
    "objects": (npy("'|O'"), "no array of real numbers"),
    "records": (npy("[('a', '<f4')]"), "no array of real numbers"),
    "text": (npy("'<U1000000'"), "no array of real numbers"),
    "complex": (npy("'<c8'"), "no array of real numbers"),
    "huge": (npy(shape="(1000000000000,)"), "takes 4,000,000,000,000 bytes, and there are 8"),
    "huge in two": (npy(shape="(4294967296, 4294967296)"), "and there are 8"),
    "huge and empty": (npy(shape="(9999999999999999999, 0)", data=b""), ""),
    "negative": (npy(shape="(-2, -1)"), "no array of real numbers"),
    "short": (npy(data=bytes(7)), "takes 8 bytes, and there are 7"),
    "too long": (npy(data=bytes(9)), "takes 8 bytes, and there are 9"),
    "long": (npy(shape=f"({'1' * 9000},)"), "no array of real numbers"),
    "many sizes": (npy(shape=f"({'1, ' * 3000}x,)"), "no array of real numbers"),
    "a call": (npy(shape="(__import__('os').system('id'),)"), "no array of real numbers"),
    "nothing": (b"", "is no array"),
    "another format": (b"\x93NUMPY\x09\x00" + bytes(20), "is no array"),
}


@pytest.mark.parametrize("kind", ENTRIES)
def test_arrays_that_are_not_what_they_say(kind: str, tmp_path: Path) -> None:
    data, message = ENTRIES[kind]
    entries_of(tmp_path / "w.npz", a=data)
    with pytest.raises(ValueError, match=f"is damaged, or is no file of weights .*{message}"):
        example().load_weights(tmp_path / "w.npz")


def test_zip_bombs(tmp_path: Path) -> None:
    """Zeros that were pressed into a few bytes, one entry under many names, and two of one name."""
    path = tmp_path / "w.npz"
    np.savez_compressed(path, a=np.zeros(10**7, np.float32))

    def refused(message: str) -> None:
        with pytest.raises(ValueError, match=message):
            example().load_weights(path)

    refused("more than 16 times its own size")
    assert peak_of(lambda: refused("more than 16")) < 2**20

    entries_of(path, a=npy(shape="(50000,)", data=bytes(200_000)))
    data = path.read_bytes()
    at = data.rindex(b"PK\x01\x02")
    entry, end = data[at : data.rindex(b"PK\x05\x06")], data[data.rindex(b"PK\x05\x06") :]
    many = b"".join(entry.replace(b"a.npy", f"{chr(97 + i % 26)}.npy".encode()) for i in range(26))
    end = end[:8] + (26).to_bytes(2, "little") * 2 + len(many).to_bytes(4, "little") + end[16:]
    path.write_bytes(data[:at] + many + end)
    refused("take more bytes than the file has")

    entries_of(path, a=npy(), b=npy())
    path.write_bytes(path.read_bytes().replace(b"b.npy", b"a.npy"))
    refused("two entries of one name")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as file:
        file.writestr("a.npy", npy())
    refused("compressed in a way that is not usual")
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("../../a.txt", b"text")
    refused("is no array")


def pressed(file: Any, name: str, values: int, piece: int) -> None:
    """An array of so many zeros, kept in compressed pieces, of which the first is written."""
    array = file.create_dataset(name, (values,), "f4", chunks=(piece,), maxshape=(None,), compression="gzip")
    press = zlib.compressobj()
    parts = [press.compress(bytes(2**22)) for _ in range(4 * piece // 2**22)]
    array.id.write_direct_chunk((0,), b"".join([*parts, press.flush()]))


@pytest.mark.parametrize("suffix", [".weights.h5", ".h5", ".keras"])
def test_bombs_of_hdf5(suffix: str, tmp_path: Path) -> None:
    """Many zeros in few bytes; few values in a piece that is large; and archives of either, which are small twice."""
    path = tmp_path / f"m{suffix}"
    model = example()
    for values, piece in ((2**26, 2**26), (10, 2**26)):
        inner = io.BytesIO()
        with h5py.File(inner, "w") as file:
            pressed(file, "layers/dense/vars/0", values, piece)
        if suffix == ".keras":
            model.save(path)
            with zipfile.ZipFile(path) as archive:
                config = archive.read("config.json")
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("config.json", config)
                archive.writestr("model.weights.h5", inner.getvalue())
        else:
            path.write_bytes(inner.getvalue())
        assert path.stat().st_size < 2**20

        def refused() -> None:
            with pytest.raises(ValueError, match="16 times "):
                model.load_weights(path)

        assert peak_of(refused) < 2**21


@pytest.mark.parametrize("attribute", ["model_config", "training_config", "metadata", "keras_version"])
def test_texts_of_hdf5_that_lie(attribute: str, tmp_path: Path) -> None:
    """The library makes room for a text of 4 GB, and fills it, before it finds that there is none."""
    path, name = tmp_path / "m.h5", attribute.encode() + bytes(1)
    example().save(path)
    data = bytearray(path.read_bytes())
    at = data.index(b"\x01\0" + len(name).to_bytes(2, "little") + b"\x14\0\x08\0" + name)
    at += 8 + len(name) + -len(name) % 8 + 24 + 8  # its head, name, type and shape
    assert int.from_bytes(data[at : at + 4], "little") < len(data)
    data[at : at + 4] = b"\xf0\xff\xff\xff"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"its texts would take 4,29.,...,... bytes, more than 16 times"):
        load_model(path)


@pytest.mark.parametrize("name", ["m.npz", "m.keras"])
def test_entries_that_lie(name: str, tmp_path: Path) -> None:
    """A size that is another in the list of entries than it is: for zlib, 20 MB where it says 1000 bytes; for what lies
    as it is, 4 GB, of which the library would make room for all before it reads."""
    path, model = tmp_path / name, example()
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        entries = {info.filename: archive.read(info) for info in archive.infolist()}
    victim = next(entry for entry in entries if "json" in entry)

    def refused() -> None:
        with pytest.raises(ValueError, match="is damaged, or is no file of models"):
            load_model(path)

    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, data in entries.items():
            archive.writestr(entry, bytes(20 * 10**6) if entry == victim else data)
    data = path.read_bytes()
    path.write_bytes(data.replace((20 * 10**6).to_bytes(4, "little"), (1000).to_bytes(4, "little")))
    assert peak_of(refused) < 2**21

    model.save(path)
    data = path.read_bytes()
    at = data.index(victim.encode(), data.index(b"PK\x01\x02")) - 46 + 20  # its sizes in the list
    path.write_bytes(data[:at] + b"\xf0\xff\xff\xff" + data[at + 4 :])
    assert peak_of(refused) < 2**21


def test_texts_of_hdf5_without_end(tmp_path: Path) -> None:
    """The library would go round and round where one of the texts in a collection takes no room, or wraps around."""
    path = tmp_path / "m.h5"
    example().save(path)
    whole = path.read_bytes()
    start = whole.index(b"GCOL")
    first = start + 16
    for at, what in ((0, bytes(2)), (8, (2**64 - 8).to_bytes(8, "little")), (8, (2**64 - 16).to_bytes(8, "little"))):
        data = bytearray(whole)
        data[first + at : first + at + len(what)] = what
        if what == bytes(2):
            data[first + 8 : first + 16] = bytes(8)
        path.write_bytes(data)
        with pytest.raises(ValueError, match="has an impossible size"):
            load_model(path)
    path.write_bytes(whole)
    load_model(path)


@pytest.mark.parametrize("name", FORMATS)
def test_flipped_bits_of_values(name: str, tmp_path: Path) -> None:
    """Archives have checksums, and the others do not: what is read is then another number, and nothing else."""
    one, path = example(), tmp_path / name
    one.save(path)
    data, values = path.read_bytes(), one.layers[0].kernel.value
    at = data.index(values.tobytes())
    for place in (0, 7, values.nbytes - 1):
        path.write_bytes(data[: at + place] + bytes([data[at + place] ^ 1]) + data[at + place + 1 :])
        assert read_metadata(path)["nncore"]["steps"] == 0  # for which no array is read
        if name in ("m.npz", "m.keras"):
            with pytest.raises(ValueError, match="is damaged, or is no file of models"):
                load_model(path)
        else:
            found = load_model(path).layers[0].kernel.value
            assert np.count_nonzero(found != values) == 1


@pytest.mark.parametrize("name", ["m.npz", "m.keras"])
def test_texts_that_are_compressed(name: str, tmp_path: Path) -> None:
    """Short ones are read, and long ones are not: what they say takes many times their size."""
    path, model = tmp_path / name, example()
    for length, fits in ((10_000, True), (2**21, False)):
        model.save(path, metadata={"text": np.random.default_rng(0).bytes(length // 2).hex()})
        with zipfile.ZipFile(path) as archive:
            entries = {entry: archive.read(entry) for entry in archive.namelist()}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for entry, data in entries.items():
                archive.writestr(entry, data, zipfile.ZIP_DEFLATED if "json" in entry else zipfile.ZIP_STORED)
        if fits:
            assert same(load_model(path), model)
        else:
            with pytest.raises(ValueError, match=r"in it is compressed from 2,...,... bytes: write the file without"):
                load_model(path)


def test_weights_of_other_kinds(tmp_path: Path) -> None:
    """Numbers are converted, but not to integers where they are none."""
    model = Sequential([Input((2,)), Normalization()])
    model.save_weights(tmp_path / "w.npz")
    with np.load(tmp_path / "w.npz") as file:
        arrays = dict(file)
    for dtype in (np.float64, np.float16, np.int32):
        np.savez(tmp_path / "w.npz", **{n: a.astype(dtype) if a.ndim else a for n, a in arrays.items()})
        model.load_weights(tmp_path / "w.npz")
    np.savez(tmp_path / "w.npz", **{n: a.astype(np.float32) for n, a in arrays.items()})
    with pytest.raises(ValueError, match=r"holds float32, and '.*/count' holds int64"):
        model.load_weights(tmp_path / "w.npz")


def test_numbers_that_are_too_large(tmp_path: Path) -> None:
    """A warning, which here is an error, comes before any weight has changed."""
    model = Sequential([Input((2,)), Dense(2), Dense(2)])
    model.save_weights(tmp_path / "w.npz")
    before = model.get_weights()
    with np.load(tmp_path / "w.npz") as file:
        arrays = {name: array.astype(np.float64) + 1 for name, array in file.items()}
    arrays["layers/dense_1/vars/1"][0] = 1e300
    np.savez(tmp_path / "w.npz", **arrays)
    with pytest.raises(RuntimeWarning, match="overflow"):
        model.load_weights(tmp_path / "w.npz")
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_an_embedding(tmp_path: Path) -> None:
    one = Sequential([Input((3,), dtype="int32"), Embedding(10, 2), Flatten(), Dense(1)])
    one.save(tmp_path / "m.npz")
    two = load_model(tmp_path / "m.npz")
    ids = np.array([[1, 2, 3], [9, 0, 5]])
    assert np.array_equal(one.predict(ids, verbose=0), two.predict(ids, verbose=0))
