"""Builds ``nncore._native``: one Cython module over kernels that are compiled once per instruction set.

Everything generated goes to ``build/``, but for the extension itself where it is built in place. NNCORE_WERROR=1 in the
environment makes every warning of the C compiler an error.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist


def machine() -> str:
    """The architecture to build for, in lower case: on macOS the one that ARCHFLAGS names, else this machine's."""
    named = set(re.findall(r"-arch\s+(\S+)", os.environ.get("ARCHFLAGS", ""))) if sys.platform == "darwin" else set()
    if len(named) > 1:
        sys.exit(
            "nncore is built for one architecture at a time, each with instruction sets of its own. "
            f"Received: ARCHFLAGS={os.environ['ARCHFLAGS']!r}. Build one wheel each, and join them with delocate-merge."
        )
    found = (*named, platform.machine())[0]
    if sys.platform == "darwin":  # a Python that is built for both would have the compiler build for both
        os.environ["ARCHFLAGS"] = f"-arch {found}"
    return found.lower()


MACHINE = machine()
# One row an instruction set: its file in src/isa and the flags it is compiled with.
ISAS = {"baseline": []}
if MACHINE in ("x86_64", "amd64"):
    ISAS["avx2"] = ["-mavx2", "-mfma"]
    ISAS["avx512"] = ["-mavx512f", "-mavx512vl", "-mavx512dq", "-mavx512bw", "-mavx2", "-mfma"]
if MACHINE in ("aarch64", "arm64"):
    ISAS["neon"] = []

# -ffp-contract=off: only the fused multiply-adds that are written are fused, so that every ISA gives the same bits.
# -g0: the debugging information that some Pythons ask for is ten times the size of the code.
CFLAGS = ["-std=c11", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fvisibility=hidden", "-pthread", "-g0"]
WERROR = ["-Wall", "-Wextra", "-Werror"] if os.environ.get("NNCORE_WERROR") else []
# Cython's output leaves unused what a module might need, and fills some fields of Python's records only.
CYTHON_CFLAGS = ["-Wno-unused-function", "-Wno-unused-parameter", "-Wno-missing-field-initializers"]
POSIX_ONLY = {"-fvisibility=hidden", "-pthread", "-g0"}

SOURCES = sorted(str(path) for path in Path("src").rglob("*") if path.suffix in (".c", ".h", ".def", ".pyx", ".pxi"))

ARCHIVED = ("src", "nncore", "tests", "benchmarks", "examples", "docs", ".ci/run", ".github", ".gitignore", "setup.py",
            "pyproject.toml", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE")  # fmt: skip
"""What the source archive holds, folders whole."""
GENERATED = (".so", ".pyd", ".pyc")


EXPORTED = ("src/kernels/math.h", "src/kernels/activations.def")
"""What exported C files are made of that is written for the kernels: a wheel has copies beside nncore.export.c."""


class BuildPy(build_py):
    """Starts from an empty folder, so that a module that is gone from the tree is gone from the wheel."""

    def run(self) -> None:
        if not self.editable_mode:
            shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()
        if not self.editable_mode:
            for name in EXPORTED:
                self.copy_file(name, f"{self.build_lib}/nncore/export/c/{Path(name).name}")

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        copies = [] if self.editable_mode else [f"{self.build_lib}/nncore/export/c/{Path(n).name}" for n in EXPORTED]
        return [*super().get_outputs(include_bytecode), *copies]


class BuildExt(build_ext):
    """Compiles src/isa/*.c, each with the flags of its instruction set, and links them into the extension."""

    def build_extension(self, ext: Extension) -> None:
        self._choose_compiler()
        if self.compiler.compiler_type == "unix":  # no folder of this machine in what is for others
            self.compiler.linker_so = [f for f in self.compiler.linker_so if not f.startswith("-Wl,-rpath")]
        ext.extra_compile_args = self._flags(CYTHON_CFLAGS)

        def compile_isa(isa: str) -> list[str]:
            return self.compiler.compile(
                [f"src/isa/{isa}.c"], output_dir=self.build_temp, include_dirs=["src"],
                extra_postargs=self._flags(ISAS[isa]), depends=SOURCES,
            )  # fmt: skip

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for objects in pool.map(compile_isa, ISAS):
                ext.extra_objects += objects
        super().build_extension(ext)

    def _choose_compiler(self) -> None:
        """On Windows clang-cl: the kernels are written in GNU C, which Microsoft's own compiler does not read."""
        if self.compiler.compiler_type == "unix":
            return
        found = shutil.which("clang-cl")
        if self.compiler.compiler_type != "msvc" or found is None:
            sys.exit(
                "On Windows nncore is compiled by clang-cl, with Microsoft's linker and headers: cl has no GNU vector "
                "types, and gcc there misplaces AVX registers on the stack. Install LLVM, or Visual Studio's component "
                f"'C++ Clang tools', and put clang-cl on PATH. Received: compiler {self.compiler.compiler_type!r}, "
                f"clang-cl {'not found' if found is None else 'found'}."
            )
        self.compiler.initialize()
        self.compiler.cc = found

    def _flags(self, more: list[str]) -> list[str]:
        """The flags of every file and ``more``, in the words of this compiler."""
        flags = [*CFLAGS, *WERROR, *more]
        if self.compiler.compiler_type == "unix":
            return flags
        return [f"/clang:{flag}" for flag in flags if flag not in POSIX_ONLY]


class SDist(sdist):
    """Puts every source into the archive and nothing generated: it builds, and passes its tests, on its own."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        found = [path for name in ARCHIVED for path in (Path(name), *sorted(Path(name).rglob("*")))]
        sources = [path for path in found if path.is_file() and path.suffix not in GENERATED]
        super().make_release_tree(base_dir, [str(path) for path in sources])


native = Extension(
    "nncore._native",
    ["src/_native.pyx"],
    include_dirs=["src"],
    extra_link_args=[] if sys.platform == "win32" else ["-pthread"],
    define_macros=[(f"NN_HAVE_{isa.upper()}", "1") for isa in ISAS],
)
(native,) = cythonize([native], build_dir="build", language_level=3)
native.depends = SOURCES  # only now: cythonize copies what it finds here into its build_dir

os.makedirs("build", exist_ok=True)
setup(
    ext_modules=[native],
    cmdclass={"build_py": BuildPy, "build_ext": BuildExt, "sdist": SDist},
    options={"egg_info": {"egg_base": "build"}},
)
