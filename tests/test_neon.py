"""NEON's kernels, and those in generic C, as aarch64 runs them: the tests of every kernel, by an emulator.

``pytest -m emulated`` runs them; they need a cross-compiler and qemu-user (Debian: gcc-aarch64-linux-gnu,
libc6-dev-arm64-cross, qemu-user).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import neon
import numpy as np
import pytest
import test_kernels
import test_math
from cases import CASES
from oracles import FUSED_ISAS
from test_kernels import DTYPES, ROW_BY_ROW, runs, same

from nncore import _native

pytestmark = pytest.mark.emulated

IN_PLACE = [op for op, case in CASES.items() if case.aliases]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[neon.Machine]:
    """The program, running."""
    running = neon.Machine(neon.build(tmp_path_factory.mktemp("neon")))
    yield running
    running.close()


@pytest.fixture(autouse=True)
def _stand_in(machine: neon.Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels of ``isa="neon"`` and ``isa="generic"`` are the program's."""
    monkeypatch.setattr(_native, "call", machine.call)
    monkeypatch.setattr(test_math, "FUSED_ISAS", (*FUSED_ISAS, "neon"))


@pytest.mark.parametrize("isa", neon.TABLES)
@pytest.mark.parametrize("op", CASES)
def test_definition(op: str, isa: str) -> None:
    test_kernels.test_definition(op, isa)


@pytest.mark.parametrize("op", CASES)
def test_any_number_of_parts(op: str) -> None:
    test_kernels.test_any_number_of_parts(op, "neon")


@pytest.mark.parametrize("op", IN_PLACE)
def test_in_place(op: str) -> None:
    test_kernels.test_in_place(op, "neon")


@pytest.mark.parametrize("op", CASES)
def test_the_bits_of_the_other_instruction_sets(op: str) -> None:
    """Those that have a fused multiply-add, like NEON; generic C gives the bits of the baseline."""
    pairs = [("generic", "baseline"), *(("neon", isa) for isa in FUSED_ISAS[:1])]
    for run in runs(CASES[op]):
        for emulated, here in pairs:
            assert all(map(same, run.kernel(emulated), run.kernel(here))), f"{run} differs: {emulated}, {here}"


@pytest.mark.parametrize("op", ROW_BY_ROW)
def test_a_row_alone(op: str) -> None:
    test_kernels.test_a_row_alone(op, "neon")


@pytest.mark.parametrize("layout", ["C", "F", "every third", "reversed", "padded", "unaligned"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", ["gather", "gather_int"])
def test_gather_reads_any_array(op: str, dtype: str, layout: str) -> None:
    test_kernels.test_gather_reads_any_array(op, dtype, layout, "neon")


def test_single_values() -> None:
    test_kernels.test_signs_of_zero("neon")
    test_kernels.test_dropout_keeps_the_element_whose_word_is_the_threshold("neon")
    test_kernels.test_argmax("neon")


@pytest.mark.parametrize("name", test_math.FUNCTIONS)
def test_error(name: str) -> None:
    test_math.check(name, "neon", 200_000)


def test_what_is_written_outside_is_seen(machine: neon.Machine) -> None:
    """The memory around an operand travels along: a kernel that is told of one element too many writes there."""
    memory = np.full(9, np.nan, np.float32)
    x, y = np.ones(8, np.float32), memory[:4]
    arguments: dict[str, Any] = {"dtypes": ["real"] * 2, "sizes": [4, 4], "isa": "neon"}
    _native.call("relu", [y], [x], dims=[4], **arguments)
    assert np.isnan(memory).tolist() == [False] * 4 + [True] * 5
    _native.call("relu", [y], [x], dims=[5], **arguments)
    assert np.isnan(memory).tolist() == [False] * 5 + [True] * 4
