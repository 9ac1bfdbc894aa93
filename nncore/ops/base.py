"""What an op is: a signature, a NumPy body that defines it, and a rule for its gradient."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from nncore.errors import unknown_name
from nncore.program import Buffer, Dim, Shape


class Emit(Protocol):
    """Appends an instruction and returns its outputs, in order."""

    def __call__(self, op: str, *inputs: Buffer | None, **attributes: float) -> tuple[Buffer, ...]: ...


class Call(NamedTuple):
    """One applied op, as its gradient rule sees it: ``wanted[i]`` says whether input ``i`` needs a gradient."""

    outputs: tuple[Buffer, ...]
    inputs: tuple[Buffer | None, ...]
    attributes: Mapping[str, float]
    wanted: tuple[bool, ...]


Gradients = Sequence[Buffer | None]
GradientRule = Callable[[Emit, Call, Gradients], Gradients]
"""``rule(emit, call, d_outputs) -> d_inputs``: one entry an input, ``None`` where it has or needs no gradient."""


class Op(NamedTuple):
    """An operation of the program machine.

    ``body(*outputs, *inputs, **attributes)`` writes its outputs in place. Arrays arrive in the shapes of the signature,
    with ``m`` collapsed to one axis; absent optional operands are ``None``. With ``step=True`` the body also gets
    ``step``, the :class:`Step` of this batch. Kernels take the same operands in the same order.
    """

    name: str
    outputs: tuple[str, ...]
    inputs: tuple[str, ...]
    body: Callable[..., None]
    attributes: tuple[str, ...]
    step: bool
    dtypes: Mapping[str, str]
    """The dtype of outputs and inputs that are not ``real``, by operand name: out0, out1, …, in0, in1, …"""

    @property
    def letters(self) -> tuple[str, ...]:
        """The letters in the order in which kernels receive their extents: of first appearance, inputs first."""
        seen: dict[str, None] = {}
        for term in self.inputs + self.outputs:
            seen.update(dict.fromkeys(letters_of(term)))
        return tuple(seen)


class Step(NamedTuple):
    """What changes from batch to batch."""

    rows: Any
    """int64 indices of the source rows of this batch, or a slice of consecutive ones."""
    number: int
    """The training step, counted over the life of the optimizer: the counter of random ops."""
    seed: int
    """The 64-bit key of random ops."""
    rates: Any
    """float64 vector of this step's learning rates; what each entry means is the optimizer's business."""


OPS: dict[str, Op] = {}
GRADIENTS: dict[str, GradientRule] = {}


def letters_of(term: str) -> str:
    """The letters of one term of a signature: ``"n?"`` has ``"n"``, ``"()"`` none."""
    return "" if term == "()" else term.rstrip("?")


def op(
    signature: str, *attributes: str, step: bool = False, **dtypes: str
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register the decorated NumPy body as the op of its name (without a trailing underscore)."""
    left, right = signature.split("->")
    inputs = tuple(t.strip() for t in left.split(",") if t.strip())
    outputs = tuple(t.strip() for t in right.split(",") if t.strip())

    def register(body: Callable[..., None]) -> Callable[..., None]:
        name = body.__name__.rstrip("_")
        if name in OPS:
            raise ValueError(f"The op {name!r} is defined twice.")
        OPS[name] = Op(name, outputs, inputs, body, attributes, step, dtypes)
        return body

    return register


def gradient(name: str) -> Callable[[GradientRule], GradientRule]:
    """Register the decorated rule as the gradient of the op ``name``."""

    def register(rule: GradientRule) -> GradientRule:
        if name in GRADIENTS:
            raise ValueError(f"The op {name!r} has two gradient rules.")
        GRADIENTS[name] = rule
        return rule

    return register


def get(name: str) -> Op:
    """The op called ``name``."""
    if name not in OPS:
        raise unknown_name("op", name, OPS)
    return OPS[name]


def bind(
    op: Op, inputs: Sequence[Buffer | None], attributes: Mapping[str, float] | None = None
) -> tuple[dict[str, Dim], dict[str, Shape]]:
    """The extent of every letter, and the axes it stands for, given the inputs.

    A letter that no input has is the extent of a new axis: the attribute of its name.

    Raises ``ValueError`` where the inputs do not fit the signature or one another.
    """
    if len(inputs) != len(op.inputs):
        raise ValueError(f"{op.name} takes {len(op.inputs)} inputs ({', '.join(op.inputs)}). Received: {len(inputs)}.")
    axes: dict[str, Shape] = {}
    for term, buffer in zip(op.inputs, inputs, strict=True):
        if buffer is None:
            if not term.endswith("?"):
                raise ValueError(f"{op.name}: the operand {term!r} is required.")
            continue
        for letter, part in zip(letters_of(term), _split(op, term, buffer.shape), strict=True):
            if axes.setdefault(letter, part) != part:
                raise ValueError(
                    f"{op.name}: {letter!r} is {axes[letter]} in one operand and {part} in {buffer.name!r}, "
                    f"of shape {buffer.shape} read as {term!r}."
                )
    dims = {}
    for letter in op.letters:
        if letter not in axes and letter in (attributes or {}):
            axes[letter] = (int((attributes or {})[letter]),)
        if letter not in axes:
            raise ValueError(f"{op.name}: no operand present gives {letter!r}.")
        size = 1
        for n in axes[letter]:
            size *= 1 if n is None else n
        dims[letter] = Dim(size, None in axes[letter])
    return dims, axes


def _split(op: Op, term: str, shape: Shape) -> list[Shape]:
    """The axes of ``shape`` each letter of ``term`` stands for; ``m`` takes all the leading ones."""
    letters = letters_of(term)
    lead = len(shape) - len(letters)
    if lead < 0 or (lead > 0 and not letters.startswith("m")):
        raise ValueError(f"{op.name}: an operand of shape {shape} does not fit {term!r}.")
    if not letters.startswith("m"):
        return [(n,) for n in shape]
    return [shape[: lead + 1], *((n,) for n in shape[lead + 1 :])]
