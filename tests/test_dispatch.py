"""Which kernel table runs, and what the compiled extension refuses to run."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from oracles import ISAS

from nncore import _native, kernels
from nncore.ops import OPS

CONFIG = _native.config()


def chosen(**environment: str) -> subprocess.CompletedProcess[str]:
    """A fresh process that prints the table it chose."""
    keep = {name: value for name, value in os.environ.items() if name != "NNCORE_ISA"}
    return subprocess.run(
        [sys.executable, "-c", "from nncore import _native; print(_native.config()['chosen'])"],
        env=keep | environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_config() -> None:
    assert set(CONFIG) == {"compiled", "supported", "chosen", "lanes"}
    assert CONFIG["compiled"][-1] == CONFIG["supported"][-1] == "baseline"
    assert [isa for isa in CONFIG["compiled"] if isa in CONFIG["supported"]] == CONFIG["supported"]
    assert CONFIG["chosen"] == (os.environ.get("NNCORE_ISA") or CONFIG["supported"][0])
    assert CONFIG["lanes"] == {i: {"avx512": 16, "avx2": 8}.get(i, 4) for i in CONFIG["compiled"]}


def test_compiled_for_this_machine() -> None:
    expected = {"x86_64": ["avx512", "avx2", "baseline"], "aarch64": ["neon", "baseline"]}
    assert CONFIG["compiled"] == expected.get(platform.machine(), ["baseline"])


def test_supported_is_what_the_kernel_says() -> None:
    """Linux lists an instruction set where the CPU has it and the system saves its registers."""
    needs = {
        "avx512": {"avx512f", "avx512vl", "avx512dq", "avx512bw"},
        "avx2": {"avx2", "fma"},
        "neon": {"asimd"},
        "baseline": set(),
    }
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    flags = {f for line in lines if line.lower().startswith(("flags", "features")) for f in line.split(":")[1].split()}
    assert CONFIG["supported"] == [isa for isa in CONFIG["compiled"] if needs[isa] <= flags]


def test_the_best_is_chosen() -> None:
    for environment in ({}, {"NNCORE_ISA": ""}):
        assert chosen(**environment).stdout.strip() == ISAS[0]


@pytest.mark.parametrize("isa", ISAS)
def test_environment_forces(isa: str) -> None:
    assert chosen(NNCORE_ISA=isa).stdout.strip() == isa


def test_environment_asks_for_the_impossible() -> None:
    process = chosen(NNCORE_ISA="avx-512")
    assert process.returncode != 0
    message = process.stderr.strip().splitlines()[-1]
    assert message.startswith("ImportError: The instruction set 'avx-512' is not among the compiled ones.")
    assert f"Compiled: {', '.join(CONFIG['compiled'])}. Supported by this machine: {', '.join(ISAS)}." in message


def test_check_isa() -> None:
    for isa in ISAS:
        _native.check_isa(isa)
    with pytest.raises(ImportError, match=r"Did you mean 'baseline'\?"):
        _native.check_isa("basline")


def test_tables_are_different() -> None:
    """Every table is reachable in one process: unfused and fused give other bits."""
    x, w = np.full((1, 2), 1 + 2**-12, np.float32), np.float32([[1 + 2**-12], [-1]])
    exact = {isa: kernels.call("dense", x, w, None, isa=isa)[0, 0] for isa in ISAS}
    unfused = np.float32(np.float32(x[0, 0] * w[0, 0]) - x[0, 1])
    fused = np.float32(np.float64(np.float32(np.float64(x[0, 0]) * w[0, 0])) - np.float64(x[0, 1]))
    assert exact == {isa: unfused if isa == "baseline" else fused for isa in ISAS}


def test_one_kernel_an_op() -> None:
    assert set(_native.OP_INDEX) == set(OPS)
    assert sorted(_native.OP_INDEX.values()) == list(range(len(OPS)))


def relu(out: Any, x: Any, **changes: Any) -> None:
    """The kernel of relu on 8 elements, with arguments that may be wrong."""
    arguments = {"dtypes": ["real", "real"], "sizes": [8, 8], "dims": [8]} | changes
    _native.call(
        "relu", [out], [x], arguments.pop("dtypes"), arguments.pop("sizes"), arguments.pop("dims"), **arguments
    )


X = np.arange(-4, 4, dtype=np.float32)
FROZEN = np.zeros(8, np.float32)
FROZEN.flags.writeable = False

REFUSED: list[tuple[str, type[Exception], dict[str, Any]]] = [
    (r"input 0 must have the dtype real\. Received: the buffer format 'd'", TypeError, {"x": X.astype(np.float64)}),
    (r"input 0 must have the dtype real\. Received: the buffer format '>f'", TypeError, {"x": X.astype(">f4")}),
    (r"input 0 must have 8 elements\. Received: 7", ValueError, {"x": X[:7]}),
    (r"input 0 must be C-contiguous", ValueError, {"x": np.zeros(16, np.float32)[::2]}),
    (r"input 0 must be an array", TypeError, {"x": [1.0] * 8}),
    (r"output 0 must be an array, writable", TypeError, {"out": FROZEN}),
    (r"output 0 must have 8 elements\. Received: 9", ValueError, {"out": np.zeros(9, np.float32)}),
    (r"parts < 1", ValueError, {"parts": 0}),
    (r"differ in number", ValueError, {"sizes": [8]}),
    (r"scratch must have \d+ bytes a part", ValueError, {"scratch": bytearray(1000)}),
    (r"scratch must have \d+ bytes a part", ValueError, {"scratch": bytearray(_native.SCRATCH_BYTES + 63), "parts": 2}),
    (r"rates must have the dtype float64", TypeError, {"rates": X}),
    (r"rows must have the dtype int64", TypeError, {"rows": X}),
    (r"not among the compiled ones", ImportError, {"isa": "sse9"}),
]


@pytest.mark.parametrize("message, error, change", REFUSED, ids=[r[0][:40] for r in REFUSED])
def test_refused_before_anything_is_written(message: str, error: type[Exception], change: dict[str, Any]) -> None:
    out = np.full(8, np.nan, np.float32)
    with pytest.raises(error, match=message):
        relu(**({"out": out, "x": X} | change))
    assert np.isnan(out).all()
    relu(out, X)
    np.testing.assert_array_equal(out, np.maximum(X, 0))


def test_unknown_kernel() -> None:
    with pytest.raises(ValueError, match=r"Unknown kernel: 'reul'\. Did you mean 'relu'\?"):
        _native.call("reul", [], [], [], [], [])


@pytest.mark.parametrize("isa", ISAS)
def test_probes(isa: str) -> None:
    """A core does at most 4 multiply-adds of vectors a cycle, at 8 GHz at most."""
    lanes = CONFIG["lanes"][isa]
    assert 0.1 * lanes < _native.peak_gflops(0.01, isa) < 4 * 8 * 2 * lanes
    assert 0.1 < _native.read_gbytes(np.zeros(1 << 16, np.float32), 0.01, isa) < 4096
    assert _native.read_gbytes(np.zeros(0, np.float32), 0.001, isa) == 0
