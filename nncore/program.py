"""A program: a flat list of instructions over named buffers, as plain data that checks and prints itself.

A model is lowered to a program once. The NumPy backend runs it by the definitions in ``nncore.ops``,
the native backend by compiled kernels; neither knows anything that is not written here.

Shapes are tuples of ints whose first entry is ``None`` where it is the batch. Inside an op's signature
(``"mk, kn, n? -> mn"``) each letter is one axis, except ``m``, which stands for *all the leading axes*
of an operand, the batch first: a ``(None, 5, 3)`` operand read as ``mk`` has ``m = 5 * batch`` and ``k = 3``.
A ``?`` marks an operand that may be absent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from types import MappingProxyType
from typing import Any, NamedTuple

Shape = tuple[int | None, ...]
"""A shape whose first entry is ``None`` where it is the batch."""

KINDS = ("source", "pool", "input", "output", "parameter", "frozen", "gradient", "state", "workspace", "total")
"""Where a buffer's memory comes from: a data set of the caller (``source``: any dtype, rows picked by index;
``pool``: what the rows of a source point into, of any length), a batch-sized slice of a caller's array (``input``,
``output``), the flat vectors of a model (``parameter``, ``frozen``, ``gradient``, ``state``), the workspace of one
call, or the sums that outlive a batch (``total``, float64)."""

CALLERS = ("source", "pool", "input", "output")
"""The kinds that are arrays of the caller."""

DTYPES = ("real", "int32", "float64", "any")
"""``real`` is the float type of the compiled kernels; ``any`` is a source's own dtype."""


@dataclass(frozen=True)
class Buffer:
    """A named array of a program.

    ``base`` names the buffer whose memory it shares, from its element ``start`` on. ``initial`` is what a ``total``
    holds before the first batch; ``None``: zeros.
    """

    name: str
    kind: str
    shape: Shape
    dtype: str = "real"
    base: str | None = None
    start: int = 0
    initial: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS or self.dtype not in DTYPES:
            raise ValueError(f"Buffer {self.name!r}: unknown kind {self.kind!r} or dtype {self.dtype!r}.")

    @property
    def batched(self) -> bool:
        """Whether its first axis is the batch."""
        return bool(self.shape) and self.shape[0] is None

    @property
    def per_row(self) -> int:
        """Elements per row of the batch, or all elements where there is no batch axis."""
        return prod(n for n in self.shape if n is not None)

    def size(self, batch: int) -> int:
        """Elements at a batch size."""
        return self.per_row * (batch if self.batched else 1)


class Dim(NamedTuple):
    """One letter's extent: ``size``, times the batch where ``batched``."""

    size: int
    batched: bool = False

    def at(self, batch: int) -> int:
        """The extent at a batch size."""
        return self.size * batch if self.batched else self.size

    def __str__(self) -> str:
        if not self.batched:
            return str(self.size)
        return "batch" if self.size == 1 else f"{self.size}*batch"


PYTHON = "python"
"""The op of an instruction that calls a function of the user's; executors find the function in the instruction."""


@dataclass(frozen=True, eq=False)
class Function:
    """What an instruction of the op ``PYTHON`` calls: ``body(outputs, inputs)``, arrays in the shapes of their buffers.

    Inputs are read-only; the body writes every element of the outputs. ``gradient`` is a gradient rule as ops have.
    """

    name: str
    body: Callable[[Sequence[Any], Sequence[Any]], None]
    gradient: Callable[..., Any] | None = None


@dataclass(frozen=True)
class Instruction:
    """One op applied to buffers; ``dims`` binds the letters of the op's signature.

    ``when`` is the index of the step's rate that must not be 0 for it to run; ``None``: it runs at every step.
    """

    op: str
    outputs: tuple[str | None, ...]
    inputs: tuple[str | None, ...]
    dims: Mapping[str, Dim]
    attributes: Mapping[str, float] = field(default_factory=dict)
    function: Function | None = None
    when: int | None = None

    @property
    def operands(self) -> tuple[str | None, ...]:
        """Outputs, then inputs: the order in which bodies and kernels take them."""
        return self.outputs + self.inputs


@dataclass(frozen=True)
class Program:
    """Buffers and the instructions over them, in the order they run."""

    name: str
    buffers: Mapping[str, Buffer]
    instructions: tuple[Instruction, ...]

    @staticmethod
    def of(name: str, buffers: Iterable[Buffer], instructions: Iterable[Instruction]) -> Program:
        """A validated program over the buffers that its instructions use, and the bases of those."""
        program = tuple(instructions)
        known = {b.name: b for b in buffers}
        used: set[str] = set()
        for instruction in program:
            for operand in instruction.operands:
                while operand is not None and operand not in used:
                    if operand not in known:
                        raise ValueError(f"Program {name!r}: {instruction.op} names an unknown buffer {operand!r}.")
                    used.add(operand)
                    operand = known[operand].base
        return Program(name, MappingProxyType({n: b for n, b in known.items() if n in used}), program)

    def root(self, name: str) -> Buffer:
        """The buffer that owns the memory of ``name``."""
        buffer = self.buffers[name]
        while buffer.base is not None:
            buffer = self.buffers[buffer.base]
        return buffer

    @property
    def draws(self) -> bool:
        """Whether it has random ops: they, and only they, have a ``stream``."""
        return any("stream" in instruction.attributes for instruction in self.instructions)

    def start(self, name: str) -> int:
        """The element of that memory at which ``name`` starts."""
        buffer = self.buffers[name]
        return buffer.start + (0 if buffer.base is None else self.start(buffer.base))

    def validate(self) -> None:
        """Raise ``ValueError`` where an instruction reads what nothing wrote, or writes what it must not."""
        given = ("source", "pool", "input", "parameter", "frozen", "state", "total", "gradient")
        written = {name for name, b in self.buffers.items() if b.base is None and b.kind in given}
        for i, instruction in enumerate(self.instructions):
            for operand in instruction.inputs:
                if operand is not None and self.root(operand).name not in written:
                    raise ValueError(
                        f"Program {self.name!r}, instruction {i} ({instruction.op}) reads {operand!r} "
                        "before any instruction has written it."
                    )
            for operand in instruction.outputs:
                if operand is None:
                    continue
                root = self.root(operand)
                if root.kind in ("source", "pool", "input"):
                    raise ValueError(f"Program {self.name!r}, instruction {i} writes the read-only {operand!r}.")
                written.add(root.name)

    def __str__(self) -> str:
        lines = [f"program {self.name}"]
        for i, ins in enumerate(self.instructions):
            outs = ", ".join(self._show(o) for o in ins.outputs if o is not None)
            args = [o if o is not None else "-" for o in ins.inputs]
            args += [f"{k}={v:g}" for k, v in ins.attributes.items()]
            dims = " ".join(f"{letter}={dim}" for letter, dim in ins.dims.items())
            name = ins.function.name if ins.function is not None else ins.op
            when = "" if ins.when is None else f" if rates[{ins.when}]"
            lines.append(f"{i:3}  {outs} = {name}({', '.join(args)}){when}" + (f"   # {dims}" if dims else ""))
        return "\n".join(lines)

    def _show(self, name: str) -> str:
        shape = self.buffers[name].shape
        return f"{name}[{', '.join('batch' if n is None else str(n) for n in shape)}]"
