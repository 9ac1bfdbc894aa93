"""Builds ``nncore._native``: one Cython module over kernels that are compiled once per instruction set."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.sdist import sdist

os.makedirs("build", exist_ok=True)

X86 = platform.machine().lower() in ("x86_64", "amd64")
ARM = platform.machine().lower() in ("aarch64", "arm64")
# One row an instruction set: its file in src/isa and the flags it is compiled with.
ISAS = {"baseline": []}
if X86:
    ISAS["avx2"] = ["-mavx2", "-mfma"]
    ISAS["avx512"] = ["-mavx512f", "-mavx512vl", "-mavx512dq", "-mavx512bw", "-mavx2", "-mfma"]
if ARM:
    ISAS["neon"] = []

# -ffp-contract=off: only the fused multiply-adds that are written are fused, so that every ISA gives the same bits.
CFLAGS = ["-std=c11", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fvisibility=hidden"]
if os.environ.get("NNCORE_WERROR"):
    CFLAGS += ["-Wall", "-Wextra", "-Werror"]

HEADERS = [str(p) for pattern in ("src/*.h", "src/*.def", "src/*.pxi", "src/*.pxd", "src/kernels/*.h")
           for p in sorted(Path().glob(pattern))]  # fmt: skip
KERNELS = [str(p) for p in sorted(Path("src/isa").glob("*.c"))]


class BuildExt(build_ext):
    """Compiles src/isa/*.c, each with the flags of its instruction set, and links them into the extension."""

    def build_extension(self, ext: Extension) -> None:
        for isa, flags in ISAS.items():
            ext.extra_objects += self.compiler.compile(
                [f"src/isa/{isa}.c"], output_dir=self.build_temp, include_dirs=["src"],
                extra_postargs=CFLAGS + flags, depends=HEADERS,
            )  # fmt: skip
        super().build_extension(ext)


class SDist(sdist):
    """Puts every source into the archive, so that it builds and passes its tests on its own."""

    def add_defaults(self) -> None:
        super().add_defaults()
        for folder in ("src", "nncore", "tests", "benchmarks", "examples"):
            for path in sorted(Path(folder).rglob("*")):
                if path.is_file() and "__pycache__" not in path.parts and path.suffix not in (".so", ".pyc"):
                    self.filelist.append(str(path))
        for name in ("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md", "setup.py", "pyproject.toml"):
            self.filelist.append(name)


native = Extension(
    "nncore._native",
    ["src/_native.pyx"],
    include_dirs=["src"],
    # Cython's own output is not ours to warn about beyond -Wall.
    extra_compile_args=[f for f in CFLAGS if f != "-Wextra"],
    define_macros=[(f"NN_HAVE_{isa.upper()}", "1") for isa in ISAS],
    depends=HEADERS + KERNELS,
)

setup(
    packages=["nncore", "nncore.ops", "nncore.layers", "nncore.optimizers", "nncore.compiler", "nncore.backends",
              "nncore.datasets"],
    package_data={"nncore": ["py.typed", "*.pyi"], "nncore.datasets": ["*.npz"]},
    ext_modules=cythonize([native], build_dir="build", language_level=3),
    cmdclass={"build_ext": BuildExt, "sdist": SDist},
    options={"egg_info": {"egg_base": "build"}},
)  # fmt: skip
