"""The compiled extension as a file: what it needs of a system, and that AVX is where it is asked for only."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from bisect import bisect_right
from collections import defaultdict

import pytest

from nncore import _native

pytestmark = [
    pytest.mark.tree,
    pytest.mark.skipif(sys.platform != "linux", reason="reads ELF files with GNU binutils"),
]

EXTENSION = _native.__file__

OLDEST_GLIBC = (2, 17)
"""That of manylinux2014: a wheel that needs no newer one is tagged for it."""

LATER_X86 = re.compile(
    r"v[a-z]\w+|k(?:add|and|andn|mov|not|or|ortest|shift[lr]|test|unpck|xn?or)[bwdq]\w*"  # AVX, AVX-512
    r"|andn|bextr|bls(?:i|msk|r)|bzhi|mulx|pdep|pext|rorx|s[ah][lr]x|popcnt|lzcnt|movbe|crc32\w*"  # BMI and others
    r"|(?:add|h)(?:sub|add)p[sd]|hsubp[sd]|mov(?:ddup|s[hl]dup)|lddqu"  # SSE3
    r"|p(?:abs|sign)[bwd]|ph(?:add|sub)(?:w|d|sw)|phminposuw|pmaddubsw|pmulhrsw|pshufb|palignr"  # SSSE3
    r"|blendv?p[sd]|pblend(?:vb|w)|dpp[sd]|extractps|insertps|mpsadbw|packusdw|pcmpeqq|pcmpgtq|pcmp[ei]str[im]"
    r"|p(?:extr|insr)[bdq]|p(?:max|min)(?:sb|sd|ud|uw)|pmov[sz]x\w+|pmuldq|pmulld|ptest|rounds?[sp][sd]"  # SSE4
)
"""Mnemonics of instructions that x86-64 alone does not promise. (No compiler emits its verr and verw.)"""


def printed(*command: str) -> str:
    return subprocess.run([*command, EXTENSION], capture_output=True, text=True, check=True).stdout


def files_of_functions() -> tuple[list[int], list[str]]:
    """Where functions begin, in order, and the source file each was compiled from."""
    starts, file = {}, ""
    for line in printed("readelf", "--symbols", "--wide").split("Symbol table '.symtab'")[1].splitlines():
        fields = line.split()
        if len(fields) < 8 or not fields[0].rstrip(":").isdigit():
            continue
        if fields[3] == "FILE":
            file = fields[7]
        elif fields[3] == "FUNC" and fields[6] != "UND":
            starts[int(fields[1], 16)] = file if fields[4] == "LOCAL" else "_native.c"
    addresses = sorted(starts)
    return addresses, [starts[address] for address in addresses]


def mnemonics() -> dict[str, set[str]]:
    """The instructions of each source file."""
    addresses, files = files_of_functions()
    found = defaultdict(set)
    for line in printed("objdump", "-d", "--no-show-raw-insn", "--section=.text").splitlines():
        if match := re.match(r"\s*([0-9a-f]+):\s+(?:(?:lock|rep\w*|bnd|notrack|data16|cs|ds) )*(\w+)", line):
            found[files[bisect_right(addresses, int(match[1], 16)) - 1]].add(match[2])
    return dict(found)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the other tables are there on x86-64 only")
def test_what_x86_64_does_not_promise_is_in_the_tables_for_it_only() -> None:
    found = mnemonics()
    assert {"_native.c", "baseline.c", "avx2.c", "avx512.c"} <= set(found)
    assert {"mulps", "addps", "movups"} <= found["baseline.c"]
    later = {file: {m for m in used if LATER_X86.fullmatch(m)} for file, used in found.items()}
    assert {"vfmadd231ps", "vmulps"} <= later.pop("avx2.c")
    assert {"vfmadd231ps", "vscalefps"} <= later.pop("avx512.c")
    assert not any(later.values()), later


def test_libraries_it_needs() -> None:
    needed = set(re.findall(r"NEEDED\s+(\S+)", printed("objdump", "-p")))
    assert {name.split(".so")[0] for name in needed} <= {"libc", "libm", "libpthread", "ld-linux-x86-64"}


def test_it_looks_for_them_where_the_system_has_them() -> None:
    assert not re.search(r"\bR(?:UN)?PATH\b", printed("objdump", "-p"))


def test_symbols_of_the_c_library_are_old() -> None:
    """The newest one decides on which systems a wheel can be installed."""
    versions = {tuple(map(int, v.split("."))) for v in re.findall(r"GLIBC_([\d.]+)", printed("objdump", "-T"))}
    assert versions
    assert max(versions) <= OLDEST_GLIBC


def test_memory_is_written_or_executed_and_never_both() -> None:
    """No text relocation, no executable stack, and pages that are either writable or executable."""
    segments = printed("readelf", "--segments", "--wide")
    (stack,) = re.findall(r"GNU_STACK(?:\s+0x\w+){5}\s+([RWE ]+?)\s+0x", segments)
    assert "E" not in stack
    for flags in re.findall(r"LOAD(?:\s+0x\w+){5}\s+([RWE ]+?)\s+0x", segments):
        assert not {"W", "E"} <= set(flags)
    assert "TEXTREL" not in printed("readelf", "--dynamic")


def test_what_it_exports() -> None:
    """The module's start, and the function by which threadpoolctl's controller knows it."""
    lines = printed("objdump", "-T").splitlines()
    exported = {line.split()[-1] for line in lines if " .text\t" in line or " .data" in line or " .bss" in line}
    assert exported == {"PyInit__native", "nncore_threads"}


CYTHONS = {"completed", "contiguous", "generic", "indirect", "indirect_contiguous", "main_interpreter_id", "strided"}
"""What Cython and the compiler's start-up code keep beside names that begin with an underscore."""


def test_state_that_threads_share() -> None:
    """What else is written to belongs to a call or an object; a new one must be safe without a GIL, and named here."""
    writable = re.findall(r"^\w+ .{7} \.(?:data|bss|tdata|tbss)\t\w+ +(\S+)$", printed("objdump", "-t"), re.MULTILINE)
    # gcc calls a function's own `variable.number`, clang `function.variable`
    names = {[part for part in name.split(".") if not part.isdigit()][-1] for name in writable if name.strip(".")}
    names = {name.removeprefix("__pyx_v_6nncore_7_native_") for name in names}
    ours = {name for name in names if not name.startswith("_")} - CYTHONS
    constants = {"BREATH", "SHORT", "LIGHT", "HEAVY", "SLICE", "TEAM_WORK", "SHARED_WORK", "FLOAT32", "FORMATS"}
    chosen_at_import = {"chosen_table"}
    atomic, of_one_caller, of_a_thread = {"nn_limit"}, {"nn_team", "prepared"}, {"nn_own_limit"}
    assert ours == constants | chosen_at_import | atomic | of_one_caller | of_a_thread
