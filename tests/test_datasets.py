"""The data sets: what is bundled, how files are found and read, and that a download is whole or not there at all."""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.server
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nncore.datasets import digits, download, fashion_mnist, idx, mnist
from nncore.datasets.download import Remote
from nncore.datasets.image_set import ARRAYS, ImageSet

NAMES = tuple(remote.name for remote in mnist.MNIST.files)
SETS = [mnist.MNIST, fashion_mnist.FASHION_MNIST]


def idx_bytes(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def small_arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    return {
        "x_train": rng.integers(0, 256, (20, 28, 28), np.uint8),
        "y_train": rng.integers(0, 10, 20, np.uint8),
        "x_test": rng.integers(0, 256, (10, 28, 28), np.uint8),
        "y_test": rng.integers(0, 10, 10, np.uint8),
    }


def write_files(folder: Path, packed: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in zip(NAMES, small_arrays().values(), strict=True):
        content = idx_bytes(array)
        (folder / (name if packed else name.removesuffix(".gz"))).write_bytes(
            gzip.compress(content) if packed else content
        )
    return folder


def assert_small(data: tuple) -> None:
    (x_train, y_train), (x_test, y_test) = data
    for received, expected in zip((x_train, y_train, x_test, y_test), small_arrays().values(), strict=True):
        assert received.dtype == expected.dtype
        np.testing.assert_array_equal(received, expected)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty NNCORE_HOME, on a machine without the Debian package."""
    folder = tmp_path / "home"
    monkeypatch.setenv("NNCORE_HOME", str(folder))
    monkeypatch.setattr(
        fashion_mnist,
        "FASHION_MNIST",
        replace(fashion_mnist.FASHION_MNIST, package=("a-package", tmp_path / "package")),
    )
    return folder / "datasets"


# The bundled digits


def test_digits_have_keras_shape_and_the_published_class_counts() -> None:
    (x_train, y_train), (x_test, y_test) = digits.load_data()
    assert (x_train.shape, y_train.shape, x_test.shape, y_test.shape) == ((1442, 8, 8), (1442,), (355, 8, 8), (355,))
    assert {a.dtype for a in (x_train, y_train, x_test, y_test)} == {np.dtype(np.uint8)}
    assert (x_train.min(), x_train.max(), x_test.min(), x_test.max()) == (0, 16, 0, 16)
    # "optdigits.names" of the source: examples a class in the test set.
    counts = np.bincount(y_train) + np.bincount(y_test)
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert np.bincount(y_test).tolist() == (counts // 5).tolist()


def test_digits_are_the_images_of_the_source() -> None:
    """The split of digits.md undone gives the source, byte for byte."""
    (x_train, y_train), (x_test, y_test) = digits.load_data()
    images, labels = [], []
    for digit in range(10):
        train, test = x_train[y_train == digit], x_test[y_test == digit]
        row = np.arange(len(train) + len(test))
        whole = np.empty((len(row), 8, 8), np.uint8)
        whole[row % 5 != 4], whole[row % 5 == 4] = train, test
        images.append(whole)
        labels += [digit] * len(row)
    # The first image of scikit-learn's load_digits(), a zero.
    assert images[0][0, :2].tolist() == [[0, 0, 5, 13, 9, 1, 0, 0], [0, 0, 13, 15, 10, 15, 5, 0]]
    content = np.concatenate(images).tobytes() + bytes(labels)
    assert hashlib.sha256(content).hexdigest() == "1feaaea69d53f8e63265ae0c993305413f9db2842a3a54b66d60ca011b52e2e0"


def test_no_image_of_the_digits_is_in_both_parts() -> None:
    (x_train, _), (x_test, _) = digits.load_data()
    assert not {x.tobytes() for x in x_train} & {x.tobytes() for x in x_test}


def test_digits_file_is_small_and_explained() -> None:
    folder = Path(digits.__file__).parent
    assert (folder / "digits.npz").stat().st_size <= 60_000
    page = (folder / "digits.md").read_text(encoding="utf-8")
    for fact in ("Alpaydin", "Kaynak", "10.24432/C50P49", "CC BY 4.0", "scikit-learn"):
        assert fact in page


def test_the_recipe_in_digits_md_is_the_split_that_is_bundled() -> None:
    (_, y_train), (_, y_test) = digits.load_data()
    for digit in range(10):
        n_test = int((y_test == digit).sum())
        n = n_test + int((y_train == digit).sum())
        assert n_test == len(range(4, n, 5))


def test_every_call_gives_arrays_of_its_own() -> None:
    digits.load_data()[0][0][:] = 99
    assert digits.load_data()[0][0].max() == 16


# Finding and reading the files


@pytest.mark.parametrize("packed", [True, False], ids=["gz", "unpacked"])
@pytest.mark.parametrize("module", [mnist, fashion_mnist])
def test_load_data_reads_a_folder(module, packed: bool, tmp_path: Path, home: Path) -> None:
    folder = write_files(tmp_path / "data", packed)
    assert_small(module.load_data(folder))
    assert_small(module.load_data(path=str(folder)))
    assert not home.exists()


def test_load_data_reads_keras_npz(tmp_path: Path) -> None:
    np.savez(tmp_path / "mnist.npz", **small_arrays())
    assert_small(mnist.load_data(tmp_path / "mnist.npz"))


def test_loaded_arrays_are_writable(tmp_path: Path) -> None:
    (x_train, y_train), (x_test, y_test) = mnist.load_data(write_files(tmp_path))
    assert all(a.flags.writeable and a.flags.c_contiguous for a in (x_train, y_train, x_test, y_test))


@pytest.mark.parametrize("module, name", [(mnist, "mnist"), (fashion_mnist, "fashion-mnist")])
def test_load_data_finds_the_cache_folder(module, name: str, home: Path) -> None:
    write_files(home / name)
    assert_small(module.load_data())


def test_the_cache_folder_without_nncore_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NNCORE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert download.cache_folder("mnist") == tmp_path / ".cache" / "nncore" / "datasets" / "mnist"
    monkeypatch.setenv("NNCORE_HOME", "~/here")
    assert download.cache_folder("mnist") == tmp_path / "here" / "datasets" / "mnist"


def test_fashion_mnist_finds_the_debian_package(tmp_path: Path, home: Path) -> None:
    write_files(tmp_path / "package")
    assert_small(fashion_mnist.load_data())
    assert not home.exists()


def test_the_cache_folder_comes_before_the_package(tmp_path: Path, home: Path) -> None:
    write_files(home / "fashion-mnist")
    folder = write_files(tmp_path / "package")
    (folder / NAMES[0]).write_bytes(b"not read")
    assert_small(fashion_mnist.load_data())


def test_the_package_is_where_debian_installs_it() -> None:
    assert fashion_mnist.FASHION_MNIST.package == ("dataset-fashion-mnist", Path("/usr/share/datasets/fashion-mnist"))


def test_a_missing_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"mnist: there is no file or folder .*nowhere\. Leave path out"):
        mnist.load_data(tmp_path / "nowhere")


def test_an_incomplete_folder_names_what_it_lacks(tmp_path: Path) -> None:
    write_files(tmp_path)
    (tmp_path / NAMES[1]).unlink()
    (tmp_path / NAMES[3]).unlink()
    with pytest.raises(FileNotFoundError, match=f"lacks {NAMES[1]}, {NAMES[3]} .*uncompressed"):
        mnist.load_data(tmp_path)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"x_train": np.zeros((20, 28, 27), np.uint8)}, r"training images must be uint8 of shape \(n, 28, 28\).*27"),
        ({"x_test": np.zeros((10, 784), np.uint8)}, r"test images must be .* Received: uint8 of shape \(10, 784\)"),
        ({"x_test": np.zeros((10, 28, 28))}, "test images must be uint8 .* Received: float64"),
        ({"x_test": np.zeros((0, 28, 28), np.uint8)}, r"test images .*\(0, 28, 28\)"),
        ({"y_train": np.zeros(19, np.uint8)}, r"each of the 20 training images needs one integer label.*\(19,\)"),
        ({"y_test": np.zeros(10)}, "each of the 10 test images needs one integer label.*float64"),
        ({"y_test": np.full(10, 10)}, "test labels must be 0 to 9. Received: 10 at row 0"),
        ({"y_train": np.full(20, -1)}, "training labels must be 0 to 9. Received: -1 at row 0"),
        ({"y_train": np.array(["a"] * 20)}, "integer label"),
    ],
)
def test_wrong_arrays_are_refused(change: dict, message: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", **{**small_arrays(), **change})
    with pytest.raises(ValueError, match=message):
        mnist.load_data(tmp_path / "x.npz")


def npz_without_y_test(path: Path) -> None:
    arrays = small_arrays()
    del arrays["y_test"]
    np.savez(path, **arrays)


def npz_of_objects(path: Path) -> None:
    np.savez(path, **{name: np.array([{}]) for name in ARRAYS})


def npz_damaged(path: Path) -> None:
    np.savez_compressed(path, **small_arrays())
    content = bytearray(path.read_bytes())
    content[5000:5100] = bytes(100)
    path.write_bytes(content)


def npz_cut_short(path: Path) -> None:
    np.savez_compressed(path, **small_arrays())
    path.write_bytes(path.read_bytes()[:5000])


def single_array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


@pytest.mark.parametrize(
    "make",
    [
        npz_without_y_test, npz_of_objects, npz_damaged, npz_cut_short, single_array,
        lambda path: path.write_bytes(b""), lambda path: path.write_bytes(b"plain text"),
    ],
    ids=["lacks y_test", "objects", "damaged", "cut short", "npy", "empty", "text"],
)  # fmt: skip
def test_a_file_that_is_not_keras_npz_is_refused(make: Callable[[Path], object], tmp_path: Path) -> None:
    make(tmp_path / "mnist.npz")
    with pytest.raises(
        ValueError, match=r"mnist\.npz must be a folder of IDX files, or an \.npz file with the arrays x_train"
    ):
        mnist.load_data(tmp_path / "mnist.npz")


# The IDX format

GOOD = idx_bytes(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))


@pytest.mark.parametrize("content", [GOOD, gzip.compress(GOOD)], ids=["plain", "gz"])
def test_idx_reads_a_good_file(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(content)
    np.testing.assert_array_equal(idx.read(tmp_path / "f", 3), np.arange(24).reshape(2, 3, 4))


def test_idx_reads_an_empty_array(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(idx_bytes(np.empty((0, 28, 28), np.uint8)))
    assert idx.read(tmp_path / "f", 3).shape == (0, 28, 28)


HUGE = bytes([0, 0, 8, 3]) + struct.pack(">3I", 2**32 - 1, 2**32 - 1, 2**32 - 1)
BAD_IDX = {
    "empty": (b"", "must begin with the bytes 00 00 08 03. Received: nothing"),
    "text": (b"hello, world", "Received: 68 65 6c 6c"),
    "labels for images": (idx_bytes(np.zeros(30, np.uint8)), "Received: 00 00 08 01"),
    "float32": (b"\0\0\x0d\x03" + GOOD[4:], "Received: 00 00 0d 03"),
    "header cut short": (GOOD[:9], "ends within its header"),
    "data cut short": (GOOD[:-1], "header promises 2 × 3 × 4 = 24 bytes, it holds 23"),
    "no data": (GOOD[:16], "header promises 2 × 3 × 4 = 24 bytes, more than it can hold"),
    "too long": (GOOD + b"x", "header promises 2 × 3 × 4 = 24 bytes, it holds more"),
    "huge": (HUGE + bytes(100), "more than it can hold"),
}


@pytest.mark.parametrize("content, message", BAD_IDX.values(), ids=BAD_IDX)
def test_idx_refuses_a_bad_file(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(
        ValueError, match=rf"f is not a whole IDX file: .*{message}.* Put an intact copy in its place\."
    ):
        idx.read(tmp_path / "f", 3)


@pytest.mark.parametrize(
    "content, message",
    [
        (gzip.compress(b""), "Received: nothing"),
        (gzip.compress(GOOD[:9]), "ends within its header"),
        (gzip.compress(GOOD[:-1]), "it holds 23"),
        (gzip.compress(GOOD + b"x"), "it holds more"),
        (gzip.compress(HUGE), "more than it can hold"),
        (gzip.compress(GOOD)[:-9], "end-of-stream"),
        (gzip.compress(GOOD)[:-4], "end-of-stream"),
        (gzip.compress(GOOD)[:15], "end-of-stream"),
        (gzip.compress(GOOD)[:-8] + bytes(8), "CRC check failed"),
        (gzip.compress(GOOD) + b"garbage", "Not a gzipped file"),
        (gzip.compress(GOOD)[:10] + b"\xff" * 40, "invalid"),
    ],
)
def test_idx_refuses_a_bad_gzip_file(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "f.gz").write_bytes(content)
    with pytest.raises(ValueError, match=rf"f\.gz is not a whole IDX file: .*{message}"):
        idx.read(tmp_path / "f.gz", 3)


@pytest.mark.parametrize("packed", [True, False], ids=["gz", "plain"])
def test_a_header_that_lies_allocates_nothing(packed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    header = bytes([0, 0, 8, 3]) + struct.pack(">3I", 60_000, 28, 28)
    (tmp_path / "f").write_bytes(gzip.compress(header) if packed else header)
    monkeypatch.setattr(np, "empty", lambda *_: pytest.fail("allocated"))
    with pytest.raises(ValueError, match="more than it can hold"):
        idx.read(tmp_path / "f", 3)


# Downloading


class Server(http.server.ThreadingHTTPServer):
    """Serves a folder on the loopback interface; ``cut`` names files whose transfer breaks off half-way."""

    def __init__(self, folder: Path) -> None:
        self.cut: set[str] = set()
        self.requests: list[str] = []
        super().__init__(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class Handler(http.server.SimpleHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        name = self.path.lstrip("/")
        self.server.requests.append(name)
        if name not in self.server.cut:
            return super().do_GET()
        content = Path(self.translate_path(self.path)).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2])
        return None

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server(write_files(tmp_path / "served")) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def remote_of(file: Path) -> Remote:
    content = file.read_bytes()
    return Remote(file.name, len(content), hashlib.sha256(content).hexdigest())


def small_set(tmp_path: Path, *mirrors: str) -> ImageSet:
    """The set in the served folder, with mirrors of the test's own."""
    first, second, third, fourth = (remote_of(tmp_path / "served" / name) for name in NAMES)
    return ImageSet("small", (first, second, third, fourth), mirrors, package=("a-package", tmp_path / "package"))


def test_load_downloads_once(server: Server, tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = small_set(tmp_path, server.url)
    assert_small(images.load())
    assert server.requests == list(NAMES)
    assert sorted(p.name for p in (home / "small").iterdir()) == sorted(NAMES)
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.split(" (")[0] for line in err.splitlines()] == [f"Downloading {name}" for name in NAMES]
    assert_small(images.load())
    assert len(server.requests) == 4


def test_load_downloads_only_what_is_missing(server: Server, tmp_path: Path, home: Path) -> None:
    write_files(home / "small")
    (home / "small" / NAMES[2]).unlink()
    assert_small(small_set(tmp_path, server.url).load())
    assert server.requests == [NAMES[2]]


def test_a_file_url_is_a_mirror_too(tmp_path: Path, home: Path) -> None:
    served = write_files(tmp_path / "served")
    assert_small(small_set(tmp_path, served.as_uri() + "/").load())


def test_the_second_mirror_serves_when_the_first_fails(server: Server, tmp_path: Path, home: Path) -> None:
    assert_small(small_set(tmp_path, server.url + "not-here/", server.url).load())
    assert server.requests == [name for file in NAMES for name in (f"not-here/{file}", file)]


def test_progress_on_a_terminal_is_drawn_in_place(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "served" / "big").write_bytes(np.random.default_rng(0).bytes(3_000_000))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    download.download(remote_of(tmp_path / "served" / "big"), [server.url], tmp_path / "cache")
    shown = capsys.readouterr().err
    assert shown.startswith("\rDownloading big: 0.1 of 3.0 MB\r")
    assert shown.endswith("\rDownloading big: 3.0 of 3.0 MB\n")
    assert shown.count("\n") == 1


BROKEN = {
    "another content": (lambda b: bytes(len(b)), r"its SHA-256 must be [0-9a-f]{64}\. Received: [0-9a-f]{64}"),
    "too short": (lambda b: b[:-1], "it must have [0-9,]+ bytes. Received: [0-9,]+"),
    "too long": (lambda b: b + bytes(200_000), "it must have [0-9,]+ bytes. Received: more"),
    "empty": (lambda b: b"", "it must have [0-9,]+ bytes. Received: 0"),
}


@pytest.mark.parametrize("change, message", BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_refused_and_leaves_nothing(
    change: Callable[[bytes], bytes], message: str, server: Server, tmp_path: Path, home: Path
) -> None:
    images = small_set(tmp_path, server.url)
    served = tmp_path / "served" / NAMES[0]
    served.write_bytes(change(served.read_bytes()))
    with pytest.raises(OSError, match=message):
        images.load()
    assert list((home / "small").iterdir()) == []


def test_a_transfer_that_breaks_off_leaves_nothing(server: Server, tmp_path: Path, home: Path) -> None:
    images = small_set(tmp_path, server.url)
    server.cut.add(NAMES[1])
    with pytest.raises(OSError, match=f"{NAMES[1]}: "):
        images.load()
    assert [p.name for p in (home / "small").iterdir()] == [NAMES[0]]
    server.cut.clear()
    assert_small(images.load())


def test_ctrl_c_during_a_download_leaves_nothing(
    server: Server, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(self: object, count: int) -> None:
        assert [p.suffix for p in (home / "small").iterdir()] == [".part"]
        raise KeyboardInterrupt

    monkeypatch.setattr(download._Progress, "advance", interrupt)
    with pytest.raises(KeyboardInterrupt):
        small_set(tmp_path, server.url).load()
    assert list((home / "small").iterdir()) == []


def test_offline_says_what_to_put_where(tmp_path: Path, home: Path) -> None:
    write_files(tmp_path / "served")
    images = small_set(tmp_path, (tmp_path / "no-such-mirror").as_uri() + "/")
    with pytest.raises(OSError) as caught:
        images.load()
    message = str(caught.value)
    assert message.startswith("small is not on this machine and could not be downloaded.\nfile:")
    assert f"Put {', '.join(NAMES)} into {home / 'small'}, or into a folder of your own" in message
    assert message.endswith("load_data(path=...), or install the Debian package a-package.")
    assert list((home / "small").iterdir()) == []


def test_a_cache_folder_that_cannot_be_made_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("a file, not a folder")
    monkeypatch.setenv("NNCORE_HOME", str(tmp_path / "file"))
    with pytest.raises(OSError, match="mnist is not on this machine and could not be downloaded"):
        mnist.load_data()


@pytest.mark.parametrize("images", SETS, ids=lambda images: images.name)
def test_the_tables_of_files_are_well_formed(images: ImageSet) -> None:
    assert tuple(remote.name for remote in images.files) == NAMES
    for remote in images.files:
        assert len(bytes.fromhex(remote.sha256)) == 32
        assert remote.size > 0
    assert all(mirror.startswith("http") and mirror.endswith("/") for mirror in images.mirrors)


def test_fashion_mnist_names_ten_classes() -> None:
    assert len(set(fashion_mnist.CLASS_NAMES)) == 10
    assert (fashion_mnist.CLASS_NAMES[0], fashion_mnist.CLASS_NAMES[9]) == ("T-shirt/top", "Ankle boot")


def test_importing_the_data_sets_reads_and_prints_nothing(tmp_path: Path) -> None:
    code = "import sys; import nncore.datasets; print(sorted(set(sys.modules) & {'matplotlib', 'urllib.request'}))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (run.stdout, run.stderr) == ("[]\n", "")
