"""Exported C: the bits of the kernels and of ``predict``, by every compiler there is; the file, and what is refused."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import CASES
from layers_of_batches import Always, Centered, Counting
from networks import network
from oracles import FUSED_ISAS, uniform
from test_gradients import HIDDEN, NORMS
from test_kernels import Run, runs, same
from test_models import LAYERS

import nncore
from nncore import backends, layers, ops, random
from nncore.backends.native import NativeBackend
from nncore.builder import Builder
from nncore.errors import DataError
from nncore.export import c as exporting
from nncore.export.c.functions import functions, plain, translated
from nncore.export.reasons import reason
from nncore.layers import BatchNormalization, Dense, Dropout, Embedding, Flatten, Input, Lambda, Layer, Normalization
from nncore.models import Sequential
from nncore.program import Buffer

Array = np.ndarray[Any, Any]

COMPILERS = [name for name in ("gcc", "clang") if shutil.which(name)]
STRICT = [
    "-std=c99", "-pedantic", "-Werror", "-Wall", "-Wextra", "-Wconversion", "-Wsign-conversion", "-Wshadow",
    "-Wcast-qual", "-Wstrict-prototypes", "-Wmissing-prototypes", "-Wundef", "-Wdouble-promotion",
]  # fmt: skip
FAST = ["-O3", "-fno-math-errno", "-fno-trapping-math"]
X86 = "avx2" in FUSED_ISAS
MULTIPLY_ADDS: dict[str, list[str]] = {"baseline": []}
"""The flags with which a compiler's products and sums are those of an instruction set."""
if FUSED_ISAS:
    MULTIPLY_ADDS[FUSED_ISAS[-1]] = ["-mavx2", "-mfma"] if X86 else []
BEST = list(MULTIPLY_ADDS)[-1]
FLUSH = ["-DNNCORE_FLUSH"] if X86 else []

if not X86 and FUSED_ISAS:  # where every machine has multiply-adds, as every AArch64 has
    MULTIPLY_ADDS["baseline"] = ["-DNNCORE_FMA=0"]


def compiled(compiler: str, *arguments: Any, cwd: Path | None = None) -> None:
    """Run a compiler, which must have nothing to say."""
    done = subprocess.run([compiler, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def pointer(array: Array | None) -> Any:
    return None if array is None else array.ctypes.data_as(ctypes.c_void_p)


@pytest.mark.tree
def test_there_is_a_compiler() -> None:
    assert COMPILERS


# Every op against its kernel.

CALLER = """
typedef void caller(void **operands, const int *dims, const float *attributes);
void flushed(caller *call, void **operands, const int *dims, const float *attributes);

#ifdef __SSE__
#include <xmmintrin.h>
#endif

void flushed(caller *call, void **operands, const int *dims, const float *attributes)
{
#ifdef __SSE__
    const unsigned mode = _mm_getcsr();
    _mm_setcsr(0x9FC0u);
    call(operands, dims, attributes);
    _mm_setcsr(mode);
#else
    call(operands, dims, attributes);
#endif
}
"""


def caller_of(name: str) -> str:
    """A function for Python to call an op by."""
    op = ops.get(name)
    operands = [f"operands[{i}]" for i in range(len(op.outputs) + len(op.inputs))]
    dims = [f"dims[{i}]" for i in range(len(op.letters))]
    attributes = [f"attributes[{i}]" for i, attribute in enumerate(op.attributes) if attribute not in op.letters]
    unused = "" if attributes else "    (void)attributes;\n"
    head = f"void call_{name}(void **operands, const int *dims, const float *attributes)"
    return f"{head};\n{head}\n{{\n{unused}    op_{name}({', '.join(operands + dims + attributes)});\n}}\n"


@cache
def library_of_ops(compiler: str, isa: str, folder: Path) -> ctypes.CDLL:
    """All ops, compiled as a model's file is."""
    template = (Path(exporting.__file__).parent / "template.c").read_text()
    head = template[template.index("#include") : template.index("enum {")]
    text = "\n".join([head, functions(sorted(translated())), CALLER, *map(caller_of, sorted(translated()))])
    file, made = folder / f"{compiler}-{isa}.c", folder / f"{compiler}-{isa}.so"
    file.write_text(text)
    compiled(compiler, *STRICT, *FAST, *MULTIPLY_ADDS[isa], "-shared", "-fPIC", file, "-o", made, "-lm")
    return ctypes.CDLL(str(made))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("c")


def by_c(library: ctypes.CDLL, run: Run, like: list[Array]) -> list[Array]:
    """The outputs of an op, in the shapes of ``like``; integers are floats in C."""
    outputs = [np.full(array.shape, np.nan, np.float32) for array in like]
    inputs = [None if x is None else np.array(x, np.float32) for x in run.originals]
    operands = (ctypes.c_void_p * 10)(*[pointer(array) for array in (*outputs, *inputs)])
    dims = (ctypes.c_int * 4)(*[run.dims[letter] for letter in run.op.letters])
    attributes = (ctypes.c_float * 6)(*[run.attributes[name] for name in run.op.attributes])
    library.flushed(getattr(library, f"call_{run.op.name}"), operands, dims, attributes)
    return outputs


def runs_of_any_values(op: str) -> list[Run]:
    """Runs where every rounding shows, with tiny and huge numbers among the others."""
    made, rng = [], np.random.default_rng(0)
    for run in runs(CASES[op]):
        sizes = [rng.choice([1, 1, 1, 1e-3, 1e-40, 1e-25, 1e25], np.shape(x)) for x in run.originals]
        values = [
            x if x is None or x.dtype.kind == "i" else (rng.normal(size=x.shape) * size).astype(np.float32)
            for x, size in zip(run.originals, sizes, strict=True)
        ]
        made.append(Run(run.case, run.dims, values, {k: v for k, v in run.attributes.items() if k not in run.dims}))
    return made


def without_denormals(array: Array) -> Array:
    """As floats, those below 2^-126 as 0."""
    array = array.astype(np.float32)
    return np.where(np.abs(array) < np.finfo(np.float32).tiny, np.copysign(np.float32(0), array), array)


@pytest.mark.tree
@pytest.mark.parametrize("isa", MULTIPLY_ADDS)
@pytest.mark.parametrize("op", sorted(translated() - {"gather_int"}))
def test_ops_give_the_bits_of_their_kernels(op: str, isa: str, folder: Path) -> None:
    libraries = [library_of_ops(compiler, isa, folder) for compiler in COMPILERS]
    for run in [*runs(CASES[op]), *runs_of_any_values(op)]:
        wanted = run.kernel(isa)
        for library in libraries:
            for got, want in zip(by_c(library, run, wanted), wanted, strict=True):
                assert same(without_denormals(got), without_denormals(want)), run


def test_every_op_has_a_function_or_a_reason() -> None:
    """The fused forms are made after the program that is translated."""
    fused = {name for name in ops.OPS if name.startswith("dense_") and "grad" not in name}
    assert not [name for name in set(ops.OPS) - translated() - fused if reason(ops.OPS[name]) is None]
    assert not [name for name in translated() - {"gather_int", "known_labels"} if reason(ops.OPS[name]) is not None]


# Every layer.


def anew(given: list[Layer]) -> list[Layer]:
    """Layers like those given."""
    return [type(layer).from_config(layer.get_config()) for layer in given]


class Formula(Layer):
    """What users write: weights, operators, NumPy functions, another layer."""

    def build(self, input_shape: Any) -> None:
        self.scale = self.add_weight((input_shape[-1],), "glorot_normal", name="scale")
        self.part = Dense(3, "tanh")

    def call(self, x: Any) -> Any:
        y = self.part(np.exp(-np.square(x - self.scale) / 2) + np.maximum(x, 0.25) / (1 + abs(x)))
        return np.sqrt(np.clip(y, 0, 4)) * y - np.log(1 + y * y)


class Rewritten(Layer):
    """Parts of a weight, and a value that is written over."""

    def build(self, input_shape: Any) -> None:
        self.kernel = self.add_weight((2, 3), name="kernel")

    def lower(self, b: Builder, x: Buffer) -> Buffer:
        kernel = b.parameter(self.kernel)
        first = b.part(kernel, "kernel/first", 0, (3,))
        second = b.part(kernel, "kernel/second", 3, (3,))
        (factor,) = b.emit("multiply", first, second)
        (y,) = b.emit("row_multiply", x, factor)
        b.emit_to("scale_shift", (factor,), factor, scale=2.0, offset=1.0)
        (z,) = b.emit("row_multiply", y, factor)
        return b.emit("subtract", z, y)[0]


STACKS: dict[str, tuple[Any, tuple[int, ...]]] = {
    **{f"{name} of three axes": (lambda name=name: anew(LAYERS[name][0]), (3, 4)) for name in LAYERS},
    **{name: (stack, (3,)) for name, stack in {**HIDDEN, **NORMS}.items() if name != "nothing"},
    "Dense of two axes": (lambda: [Dense(5, "tanh"), Dense(2, use_bias=False), Dense(3, "softmax")], (4, 3)),
    "models inside": (lambda: [Sequential([Dense(4, "relu"), Sequential([Dense(3)])]), Dense(2)], (3,)),
    "one number a sample": (lambda: [Flatten(), Dense(2)], ()),
    "nothing but a copy": (lambda: [Dropout(0.5)], (5,)),
    "wide": (lambda: [Dense(40, "relu"), Dense(33, "gelu"), Dense(100), Dense(70, "softmax")], (37,)),
    "Formula": (lambda: [Formula(), Formula()], (3,)),
    "Rewritten": (lambda: [Rewritten(), Rewritten()], (3,)),
}  # fmt: skip
NETWORKS = range(24)


def with_trained_weights(model: Sequential) -> Sequential:
    """The model with weights that are nowhere 0 or 1, variances above 0."""
    rng = np.random.default_rng(0)
    model.set_weights([w + rng.uniform(0.1, 0.3, w.shape) for w in model.get_weights()])
    return model


def models() -> dict[str, tuple[Sequential, Array]]:
    """Models and samples, some of which hold what is no number, or too large."""
    random.set_seed(7)
    made = {}
    for name, (stack, shape) in STACKS.items():
        x = uniform(12, *shape, low=-3, high=3)
        for row, special in enumerate([np.nan, np.inf, -np.inf, -0.0, 3e38, 1e-40]):
            x[row].flat[0] = special
        x[6] *= 1e4
        made[name] = with_trained_weights(Sequential([Input(shape), *stack()])), x
    for mask_zero in (False, True):
        stack = [Embedding(7, 4, mask_zero=mask_zero), Dense(3, "tanh")]
        x = np.random.default_rng(0).integers(0, 7, (9, 2, 3)).astype(np.int32)
        made[f"Embedding, mask_zero={mask_zero}"] = Sequential([Input((2, 3), dtype="int32"), *stack]), x
    for number in NETWORKS:
        drawn = network(number)
        made[f"network {number}"] = with_trained_weights(drawn.model(nncore)), drawn.x
    return made


MODELS = [*STACKS, "Embedding, mask_zero=False", "Embedding, mask_zero=True", *(f"network {n}" for n in NETWORKS)]


@pytest.fixture(scope="module")
def exported(folder: Path) -> tuple[ctypes.CDLL, dict[str, tuple[Sequential, Array]]]:
    """All models in one library, model_0_predict and so on."""
    backend, backends.in_force = backends.in_force, NativeBackend(BEST)
    made = models()
    for i, (model, _) in enumerate(made.values()):
        (folder / f"model_{i}.c").write_text(exporting.source(model, f"model_{i}.c"))
    backends.in_force = backend

    def compile_share(share: int) -> list[Path]:
        place = folder / f"share_{share}"
        place.mkdir()
        files = [folder / f"model_{i}.c" for i in range(share, len(made), 2)]
        flags = [*STRICT, "-O1", *MULTIPLY_ADDS[BEST], *FLUSH, "-DNNCORE_TEST", "-fPIC"]
        compiled(COMPILERS[0], *flags, "-c", *files, cwd=place)
        return [place / file.with_suffix(".o").name for file in files]

    with ThreadPoolExecutor(2) as pool:
        objects = [file for share in pool.map(compile_share, range(2)) for file in share]
    compiled(COMPILERS[0], "-shared", *objects, "-o", folder / "models.so", "-lm")
    return ctypes.CDLL(str(folder / "models.so")), made


def predicted(library: ctypes.CDLL, prefix: str, x: Array, shape: tuple[int | None, ...]) -> Array:
    """The predictions of all samples, one by one."""
    y = np.empty((len(x), *(n or 0 for n in shape[1:])), np.float32)
    for sample, row in zip(np.array(x, np.float32).reshape(len(x), -1), y, strict=True):
        getattr(library, f"{prefix}_predict")(pointer(sample), pointer(row))
    return y


@pytest.mark.tree
@pytest.mark.parametrize("name", MODELS)
def test_models_give_the_bits_of_predict(name: str, exported: Any) -> None:
    library, made = exported
    model, x = made[name]
    backends.in_force = NativeBackend(BEST)
    prefix = f"model_{MODELS.index(name)}"
    got, want = predicted(library, prefix, x, model.output_shape), model.predict(x, verbose=0)
    assert same(without_denormals(got), without_denormals(want))
    assert getattr(library, f"{prefix}_test")() == 0


@pytest.mark.emulated
@pytest.mark.parametrize("name", MODELS[::4])
def test_files_test_themselves_on_aarch64(name: str, exported: Any, folder: Path) -> None:
    """With the bits of this machine, by aarch64-linux-gnu-gcc and qemu-aarch64."""
    file = folder / f"model_{MODELS.index(name)}.c"
    compiled(
        "aarch64-linux-gnu-gcc", *STRICT, *FAST, "-static", "-DNNCORE_MAIN", file, "-o", file.with_suffix(""), "-lm"
    )
    done = subprocess.run(["qemu-aarch64", file.with_suffix(""), "--test"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_no_layer_is_left_out() -> None:
    """Every layer is in a row above."""
    tried = {
        type(part).__name__
        for stack, _ in STACKS.values()
        for layer in stack()
        for part in [layer, *layer._inner_layers()]
    }
    assert tried | {"Embedding", "Input", "InputLayer", "Layer"} >= set(layers.__all__)


# The file.


@pytest.fixture(scope="module")
def digits() -> Sequential:
    random.set_seed(3)
    return with_trained_weights(
        Sequential([Input((6,)), Dense(9, "gelu", name="hidden"), Dense(4, "softmax", name="digit")], name="digits")
    )


def main_of(file: Path, compiler: str, *flags: str) -> Path:
    """The program that a file is with NNCORE_MAIN."""
    program = file.with_suffix("")
    compiled(compiler, *STRICT, *flags, "-DNNCORE_MAIN", file, "-o", program, "-lm")
    return program


def said(program: Path, *arguments: str, given: str = "") -> tuple[int, str, str]:
    """Exit code, output and errors of a program."""
    done = subprocess.run([program, *arguments], input=given, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.tree
@pytest.mark.parametrize("optimization", ["-O0", "-O3", "-Os", "-O3 -std=gnu99"])
@pytest.mark.parametrize("isa", MULTIPLY_ADDS)
@pytest.mark.parametrize("compiler", COMPILERS)
def test_a_file_tests_itself(compiler: str, isa: str, optimization: str, digits: Sequential, tmp_path: Path) -> None:
    """Whether a compiler may contract or not, what it makes is not contracted."""
    digits.export(tmp_path / "net.c")
    program = main_of(tmp_path / "net.c", compiler, *MULTIPLY_ADDS[isa], *optimization.split())
    assert said(program, "--test") == (0, "net: 0 of 16 outputs differ\n", "")


@pytest.mark.tree
def test_slow_multiply_adds_have_the_same_bits(digits: Sequential, tmp_path: Path) -> None:
    digits.export(tmp_path / "net.c")
    program = main_of(tmp_path / "net.c", COMPILERS[0], "-DNNCORE_FMA=1")
    assert said(program, "--test") == (0, "net: 0 of 16 outputs differ\n", "")


@pytest.mark.tree
def test_a_file_that_another_backend_has_made_tests_itself(digits: Sequential, backend: str, tmp_path: Path) -> None:
    """Whose predictions may differ in the last bits."""
    digits.export(tmp_path / "net.c")
    for flags in MULTIPLY_ADDS.values():
        program = main_of(tmp_path / "net.c", COMPILERS[0], *flags)
        assert said(program, "--test") == (0, "net: 0 of 16 outputs differ\n", "")


@pytest.mark.tree
@pytest.mark.parametrize("isa", MULTIPLY_ADDS)
def test_a_file_notices_a_weight_that_is_another(isa: str, digits: Sequential, tmp_path: Path) -> None:
    digits.export(tmp_path / "net.c")
    text = (tmp_path / "net.c").read_text()
    bias = digits.get_layer("digit").bias.value
    first = f"{bias[0]!s}f,"
    assert text.count(first) == 1
    (tmp_path / "net.c").write_text(text.replace(first, f"{np.float32(bias[0] + 0.001)!s}f,"))
    code, out, _ = said(main_of(tmp_path / "net.c", COMPILERS[0], *MULTIPLY_ADDS[isa]), "--test")
    assert code == 1
    assert out != "net: 0 of 16 outputs differ\n"


@pytest.mark.tree
def test_a_program_predicts_arguments_and_input(digits: Sequential, tmp_path: Path) -> None:
    digits.export(tmp_path / "net.c")
    program = main_of(tmp_path / "net.c", COMPILERS[0], *MULTIPLY_ADDS[BEST])
    backends.in_force = NativeBackend(BEST)
    x = uniform(3, 6)
    want = [" ".join(f"{v:.9g}" for v in row) + "\n" for row in digits.predict(x, verbose=0).tolist()]
    samples = [[f"{v:.9g}" for v in row] for row in x.tolist()]
    assert said(program, *samples[1]) == (0, want[1], "")
    assert said(program, given="\n".join(map(" ".join, samples))) == (0, "".join(want), "")
    assert said(program) == (0, "", "")
    assert said(program, "1", "2") == (2, "", "A sample has 6 numbers. Received: 2.\n")
    assert said(program, *"12345", "6x") == (2, "", "A sample is made of numbers. Received: 6x.\n")
    ended = "The input ends, or has no number, within a sample of 6 numbers.\n"
    assert said(program, given=" ".join(samples[0] + ["1"])) == (2, want[0], ended)
    assert said(program, given="x") == (2, "", ended)


@pytest.mark.tree
def test_several_files_in_one_program_and_several_threads(digits: Sequential, tmp_path: Path) -> None:
    """The prefixes keep them apart; workspaces of their own, the threads."""
    backends.in_force = NativeBackend(BEST)
    other = Sequential([Input((5,)), Dense(300, "tanh"), Dense(300, "tanh"), Dense(2)])
    digits.export(tmp_path / "digits.c")
    other.export(tmp_path / "net.c", prefix="other")
    files = [tmp_path / "digits.c", tmp_path / "net.c", "-o", tmp_path / "both.so", "-lm"]
    compiled(COMPILERS[0], *STRICT, *MULTIPLY_ADDS[BEST], "-O2", "-shared", "-fPIC", *files)
    library = ctypes.CDLL(str(tmp_path / "both.so"))
    x = uniform(6, 6)
    assert same(predicted(library, "digits", x, digits.output_shape), digits.predict(x, verbose=0))
    (workspace,) = re.findall(r"OTHER_WORKSPACE = (\d+)", (tmp_path / "net.c").read_text())
    x = uniform(200, 5)
    y = np.empty((200, 2), np.float32)

    def share(first: int) -> None:
        memory = np.empty(int(workspace), np.float32)
        for i in range(first, 200, 4):
            library.other_predict_with(pointer(x[i]), pointer(y[i]), pointer(memory))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(share, range(4)))
    assert same(y, other.predict(x, verbose=0))


def test_a_file_holds_what_its_model_needs(digits: Sequential, tmp_path: Path) -> None:
    digits.export(tmp_path / "net.c")
    text = (tmp_path / "net.c").read_text(encoding="ascii")
    assert "op_gelu(" in text
    assert not re.search(r"op_(tanh|relu|affine)|malloc|nn_log", text)
    assert re.findall(r"NET_(\w+) = (\d+)", text) == [
        ("INPUTS", "6"), ("OUTPUTS", "4"), ("WORKSPACE", "32"), ("PARAMETERS", "103"), ("TESTS", "4"),
    ]  # fmt: skip
    for line in ("The model 'digits' in C99, 6 numbers in and 4 out", "hidden (Dense) (9)", "net.c -lm -o net"):
        assert line in text


def test_what_depends_on_weights_alone_is_computed_before(tmp_path: Path) -> None:
    """The factors of a BatchNormalization, of Normalization, and of a formula."""
    stack = [Normalization(mean=[1.0, 2.0, 3.0], variance=2.0), Dense(3), BatchNormalization(), Formula()]
    with_trained_weights(Sequential([Input((3,)), *stack])).export(tmp_path / "net.c")
    text = (tmp_path / "net.c").read_text()
    assert re.findall(r"^    op_(\w+)\(", text, re.MULTILINE)[:4] == ["affine", "dense", "affine", "row_add"]
    assert "moving_variance" not in text


@pytest.mark.tree
def test_fast_math_is_refused(digits: Sequential, tmp_path: Path) -> None:
    digits.export(tmp_path / "net.c")
    for flag in ("-ffast-math", "-Ofast", "-ffinite-math-only"):
        command = [COMPILERS[0], flag, "-c", str(tmp_path / "net.c"), "-o", str(tmp_path / "net.o")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode != 0
        assert "Compile without -ffast-math" in done.stderr


def test_the_same_model_gives_the_same_text(digits: Sequential, tmp_path: Path) -> None:
    """And no random number of the user's is drawn."""
    state = random._state
    texts = []
    for _ in range(2):
        digits.export(tmp_path / "net", format="c")
        texts.append((tmp_path / "net").read_bytes())
    assert texts[0] == texts[1]
    assert random._state == state


@pytest.mark.tree
def test_samples_for_the_test(digits: Sequential, tmp_path: Path) -> None:
    x = uniform(7, 6)
    digits.export(tmp_path / "net.c", test=x)
    assert "NET_TESTS = 7" in (tmp_path / "net.c").read_text()
    assert said(main_of(tmp_path / "net.c", COMPILERS[0]), "--test") == (0, "net: 0 of 28 outputs differ\n", "")
    with pytest.raises(DataError, match=r"^test has 5 features, the model expects 6\."):
        digits.export(tmp_path / "other.c", test=x[:, :5])
    with pytest.raises(DataError, match=r"^test must not be empty\."):
        digits.export(tmp_path / "other.c", test=x[:0])
    assert not (tmp_path / "other.c").exists()


@pytest.mark.tree
def test_names_that_are_none_in_c(tmp_path: Path) -> None:
    """Of files, models, layers and weights."""
    named = Sequential(
        [Input((3,)), Dense(2, name="*"), Dense(2, name="?"), Dense(2, name="naïve Schicht ??"), Dense(2, name="_")],
        name="netz, größer",
    )
    named.export(tmp_path / "2 nets-é.v1.c")
    text = (tmp_path / "2 nets-é.v1.c").read_text(encoding="ascii")
    assert "void model_2_nets___predict(" in text
    assert said(main_of(tmp_path / "2 nets-é.v1.c", COMPILERS[0]), "--test")[0] == 0


@pytest.mark.tree
@pytest.mark.tree
def test_weights_of_all_kinds_keep_their_bits(tmp_path: Path) -> None:
    """However the user has numbers printed."""
    values = [1e-45, 1e-39, 1.17549435e-38, 0.1, 1 / 3, -0.0, 16777217, 3.4028235e38, -1e-7, np.nan, np.inf, -np.inf]
    model = Sequential([Input((), dtype="int32"), Embedding(1, len(values), weights=np.array([values], np.float32))])
    with np.printoptions(legacy="1.13", precision=2):
        model.export(tmp_path / "net.c")
    compiled(COMPILERS[0], *STRICT, "-shared", "-fPIC", tmp_path / "net.c", "-o", tmp_path / "net.so", "-lm")
    got = predicted(ctypes.CDLL(str(tmp_path / "net.so")), "net", np.zeros(1), model.output_shape)
    assert same(got[0], np.array(values, np.float32))


def test_the_numbers_of_arrays_are_their_bits() -> None:
    values = np.array([0.1, -0.0, 1, 1e-45, 3.4028235e38, 65536.5, 1e-5, np.nan, np.inf, -np.inf], np.float32)
    text = exporting._array("some", values, "any")
    assert text == (
        "/* any: 10 */\nstatic const float some[10] = {\n"
        "    0.1f, -0.0f, 1.0f, 1e-45f, 3.4028235e+38f, 65536.5f, 1e-05f, NAN,\n    INFINITY, -INFINITY\n};"
    )


@pytest.mark.parametrize(
    "vectors, floats",
    [
        ("const vec y = vec_mul(a, vec_add(b, vec_set1(2)))", "const float y = a * (b + 2.0f)"),
        ("vec_sub(a, vec_sub(b, vec_mul(c, d)))", "a - (b - c * d)"),
        ("vec_sub(vec_sub(a, b), vec_neg(vec_neg(c)))", "a - b - -(-c)"),
        ("vec_div(vec_mul(a, b), vec_div(c, vec_set1(0.5)))", "a * b / (c / 0.5f)"),
        ("vec_select(vec_not(vec_lt(x, y)), f(vec_abs(x)), vec_zero())", "!(x < y) ? f(fabsf(x)) : 0.0f"),
        ("vec_fnma(*n, NUMBER(0x1p3), vec_exp(p[i]))", "FMA(-(*n), 0x1p3f, nn_exp(p[i]))"),
    ],
)
def test_vectors_of_one_lane_are_floats(vectors: str, floats: str) -> None:
    assert plain(vectors) == floats


# What is refused, before anything is written.


@pytest.mark.parametrize(
    "layer, why",
    [
        (lambda: Lambda(lambda x: np.sort(x), name="own"), r"\(Lambda\).*it calls the Python function 'Lambda' with"),
        (lambda: Always(name="own"), r"\(Always\).*it draws random numbers \(dropout\)"),
        (lambda: Centered(name="own"), r"\(Centered\).*it mixes the rows of a batch \(batch_norm\)"),
        (lambda: Counting(name="own"), r"\(Counting\).*it changes the weight 'own/seen' \(moving_average\)"),
    ],
)
@pytest.mark.parametrize("behind", [[], [Dropout(0.5)], [Flatten(), Dense(2, name="last")]])
def test_what_has_no_form_in_c(layer: Any, why: str, behind: list[Layer], tmp_path: Path) -> None:
    model = Sequential([Input((3,)), Dense(3), layer(), *anew(behind)])
    with pytest.raises(ValueError, match=f"^export: layer 1, 'own' {why}"):
        model.export(tmp_path / "net.c")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("prefix", ["", "1a", "a b", "ü", "a-b", 3])
def test_prefixes_that_are_no_names(prefix: Any, digits: Sequential, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^export: prefix must be a name in C, such as 'digits'\. Received: prefix="):
        digits.export(tmp_path / "net.c", prefix=prefix)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_leaves_the_old_one(digits: Sequential, tmp_path: Path) -> None:
    (tmp_path / "net.c").mkdir()
    with pytest.raises(OSError):
        digits.export(tmp_path / "net.c")
    assert [path.name for path in tmp_path.iterdir()] == ["net.c"]
