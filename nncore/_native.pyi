from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias, TypedDict, final

import numpy as np

_Array: TypeAlias = np.ndarray[Any, Any]
_Memory: TypeAlias = _Array | bytearray | memoryview
_Isa: TypeAlias = Literal["avx512", "avx2", "neon", "baseline"]
_DType: TypeAlias = Literal["real", "float64", "int32", "int64", "byte", "any"]
_Operand: TypeAlias = tuple[int, int] | None
_Instruction: TypeAlias = tuple[str, Sequence[_Operand], Sequence[tuple[int, bool]], Sequence[float], float, int]

OP_INDEX: dict[str, int]
SCRATCH_BYTES: int

class _Config(TypedDict):
    compiled: list[_Isa]
    supported: list[_Isa]
    chosen: _Isa
    lanes: dict[_Isa, int]

def config() -> _Config: ...
def check_isa(name: str | None) -> None: ...
def set_num_threads(threads: int) -> None: ...
def get_num_threads() -> int: ...
def set_own_threads(threads: int) -> int: ...
def call(
    op: str,
    outputs: Sequence[_Memory | None],
    inputs: Sequence[_Memory | None],
    dtypes: Sequence[_DType],
    sizes: Sequence[int | None],
    dims: Sequence[int],
    attributes: Sequence[float] = (),
    *,
    rows: _Array | None = None,
    first: int = 0,
    number: int = 0,
    seed: int = 0,
    rates: _Array | None = None,
    isa: str | None = None,
    parts: int = 1,
    scratch: _Memory | None = None,
) -> None: ...
def peak_gflops(seconds: float = 0.05, isa: str | None = None) -> float: ...
def read_gbytes(buffer: _Array, seconds: float = 0.05, isa: str | None = None) -> float: ...

@final
class Code:
    def __new__(
        cls,
        instructions: list[_Instruction],
        arrays: list[Literal["source", "pool", "input", "output"]],
        batch: int,
        sizes: list[int],
        updates_from: int,
        table: str | None = None,
    ) -> Code: ...
    def cost_of(self, rows: int) -> float: ...
    def run(
        self,
        memories: list[_Memory | None],
        arrays: list[_Array],
        count: int,
        shuffle: tuple[int, int] | None,
        step: int,
        seed: int,
        rates: _Array | None,
        first: int,
        last: int,
        done: _Array,
        poll: Callable[[int], object] | None = None,
        call: Callable[[int, int], object] | None = None,
        watched: int = -1,
    ) -> None: ...
    def predictor(
        self, memories: list[_Memory | None], sample_shape: tuple[int, ...], output_shape: tuple[int, ...]
    ) -> Callable[..., _Array | None]: ...

@final
class Predictor:
    def predict(self, x: object, out: _Array | None = None) -> _Array | None: ...

@final
class View:
    def __new__(cls, array: object, writable: bool) -> View: ...

@final
class Air: ...
