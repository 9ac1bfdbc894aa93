"""Ten thousand damaged and hostile files: each is refused with one clear error or read, in little time and memory.

``NNCORE_FUZZ=100000 python -m pytest tests/test_fuzz_files.py -s`` tries so many of each kind; ``tests/fuzz.py`` says
what they are. A crash leaves the file that caused it in the folder that the failure names.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nncore.saving import files

KINDS = sorted({*files.MODELS, *files.WEIGHTS} - {".hdf5"})  # which is another name for .h5

COUNT = int(os.environ.get("NNCORE_FUZZ", -(-10_000 // len(KINDS))))

ROUND = 25_000
"""Mutants of one process."""


@pytest.mark.parametrize("suffix", KINDS)
def test_mutants(suffix: str, tmp_path: Path) -> None:
    tried = refused = 0
    for first in range(0, COUNT, ROUND):
        numbers = [str(n) for n in (first, min(ROUND, COUNT - first))]
        command = [sys.executable, str(Path(__file__).parent / "fuzz.py"), str(tmp_path), suffix, *numbers]
        alone = {**os.environ, "NNCORE_NUM_THREADS": "1"}  # threads take address space, which is limited
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=alone)
        assert done.returncode == 0, f"exit {done.returncode}; the file is in {tmp_path}\n{done.stderr}"
        found = json.loads(done.stdout)
        tried, refused = tried + found["tried"], refused + found["refused"]
        assert found["peak"] < 2**28, "bytes of memory in use at once"
    print(f"{suffix}: tried {tried:,} mutants; {refused:,} were refused, {tried - refused:,} read")
    assert tried == COUNT
    assert 0 < refused < tried
