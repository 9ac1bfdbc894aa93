"""``Builder``: what layers, losses, metrics and optimizers append instructions to while a model is lowered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from math import prod
from types import FunctionType
from typing import cast

from nncore import ops
from nncore.program import PYTHON, Buffer, Function, Instruction, Program, Shape
from nncore.variables import Variable


@cache
def _operand_names(op: str) -> tuple[str, ...]:
    """The names of an op's operands, as its NumPy body calls them."""
    code = cast(FunctionType, ops.get(op).body).__code__
    return code.co_varnames[: code.co_argcount]


class Builder:
    """A program under construction.

    Args:
        name: The program's name.
        training: Whether layers lower to what they do in training (dropout drops) or in inference.
        scored: Whether it computes a loss, to which ``penalties`` are added.

    Attributes:
        penalties: Buffers of shape ``()`` that are added to the mean of the rows' losses.
        mask: Which steps of the values that layers have come to count, 1, and which do not, 0; ``None``: all do.
    """

    def __init__(self, name: str, training: bool, scored: bool = False) -> None:
        self.name = name
        self.training = training
        self.scored = scored
        self.penalties: list[Buffer] = []
        self.mask: Buffer | None = None
        self.buffers: dict[str, Buffer] = {}
        self.instructions: list[Instruction] = []
        self.variables: dict[str, Variable] = {}
        self._scope = ""
        self._when: int | None = None

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Buffers made inside are called ``name/…``."""
        outer, self._scope = self._scope, f"{name}/"
        try:
            yield
        finally:
            self._scope = outer

    @contextmanager
    def mode(self, training: bool | None) -> Iterator[None]:
        """Layers lowered inside act as in training or inference; ``None``: as outside."""
        outer = self.training
        if training is not None:
            self.training = training
        try:
            yield
        finally:
            self.training = outer

    @contextmanager
    def unmasked(self) -> Iterator[None]:
        """Layers lowered inside see no mask, and leave none."""
        outer, self.mask = self.mask, None
        try:
            yield
        finally:
            self.mask = outer

    @contextmanager
    def when(self, rate: int | None) -> Iterator[None]:
        """Instructions appended inside run only at steps whose rate of this index is not 0; ``None``: at every step."""
        outer, self._when = self._when, rate
        try:
            yield
        finally:
            self._when = outer

    def declare(
        self, kind: str, name: str, shape: Shape, dtype: str = "real", base: str | None = None,
        start: int = 0, initial: tuple[float, ...] | None = None,
    ) -> Buffer:  # fmt: skip
        """A new buffer; its name is made unique."""
        unique, count = name, 1
        while unique in self.buffers:
            unique, count = f"{name}.{count}", count + 1
        buffer = Buffer(unique, kind, shape, dtype, base, start, initial)
        self.buffers[unique] = buffer
        return buffer

    def parameter(self, variable: Variable) -> Buffer:
        """The buffer of a variable: ``parameter`` where training changes it, else ``frozen``."""
        if variable.key not in self.buffers:
            kind = "parameter" if variable.trainable else "frozen"
            self.buffers[variable.key] = Buffer(variable.key, kind, variable.shape)
            self.variables[variable.key] = variable
        elif self.variables[variable.key] is not variable:
            raise ValueError(f"Two different variables are called {variable.key!r}. Give the layers unique names.")
        return self.buffers[variable.key]

    def total(self, variable: Variable) -> Buffer:
        """The buffer that adds up what becomes part of a metric's variable."""
        name = f"total/{self._scope}{variable.name}"
        return self.buffers.get(name) or self.declare("total", name, variable.shape, "float64")

    def constant(self, name: str, values: Sequence[float]) -> Buffer:
        """A buffer of float64 values that stay as they are."""
        initial = tuple(float(v) for v in values)
        return self.declare("total", f"total/{self._scope}{name}", (len(initial),), "float64", initial=initial)

    def emit(self, op: str, *inputs: Buffer | None, **attributes: float) -> tuple[Buffer, ...]:
        """Append ``op`` with fresh outputs in the workspace, and return them."""
        definition = ops.get(op)
        _, axes = ops.bind(definition, inputs, attributes)
        outputs = []
        for i, term in enumerate(definition.outputs):
            shape: Shape = sum((axes[letter] for letter in ops.letters_of(term)), ())
            name = f"{self._scope}{_operand_names(op)[i]}"
            outputs.append(self.declare("workspace", name, shape, definition.dtypes.get(f"out{i}", "real")))
        return self.emit_to(op, tuple(outputs), *inputs, **attributes)

    def emit_to(
        self, op: str, outputs: tuple[Buffer, ...], *inputs: Buffer | None, **attributes: float
    ) -> tuple[Buffer, ...]:
        """Append ``op`` writing to the given buffers, which may be among its inputs where the op works in place."""
        definition = ops.get(op)
        dims, _ = ops.bind(definition, inputs, attributes)
        if set(attributes) != set(definition.attributes):
            raise ValueError(f"{op} takes the attributes {definition.attributes}. Received: {sorted(attributes)}.")
        ordered = {name: float(attributes[name]) for name in definition.attributes}
        names = tuple(b.name for b in outputs)
        given = tuple(None if b is None else b.name for b in inputs)
        self.instructions.append(Instruction(op, names, given, dims, ordered, when=self._when))
        return outputs

    def call(self, function: Function, shapes: Sequence[Shape], *inputs: Buffer | None) -> tuple[Buffer, ...]:
        """Append a call of a user's function with fresh outputs of ``shapes``, and return them."""
        outputs = tuple(self.declare("workspace", f"{self._scope}{function.name}", shape) for shape in shapes)
        names, given = tuple(b.name for b in outputs), tuple(None if b is None else b.name for b in inputs)
        self.instructions.append(Instruction(PYTHON, names, given, {}, {}, function))
        return outputs

    def view(self, buffer: Buffer, shape: Shape) -> Buffer:
        """The same memory under another shape of as many elements."""
        if shape == buffer.shape:
            return buffer
        if (None in shape) != buffer.batched or prod(n for n in shape if n is not None) != buffer.per_row:
            raise ValueError(f"{buffer.name!r}: shape {buffer.shape} cannot be viewed as {shape}.")
        return self.declare(buffer.kind, buffer.name, shape, buffer.dtype, base=buffer.name)

    def part(self, buffer: Buffer, name: str, start: int, shape: Shape) -> Buffer:
        """So many of the elements of a buffer without a batch axis, from ``start`` on, under a name of their own."""
        if start + prod(n or 0 for n in shape) > buffer.per_row:
            raise ValueError(f"{buffer.name!r}: {shape} from {start} on does not lie within {buffer.shape}.")
        made = replace(self.declare(buffer.kind, name, shape, buffer.dtype, base=buffer.name), start=start)
        self.buffers[made.name] = made
        return made

    def root(self, buffer: Buffer) -> Buffer:
        """The buffer that owns the memory."""
        while buffer.base is not None:
            buffer = self.buffers[buffer.base]
        return buffer

    def start(self, buffer: Buffer) -> int:
        """The element of that memory at which ``buffer`` starts."""
        return buffer.start + (0 if buffer.base is None else self.start(self.buffers[buffer.base]))

    def is_read(self, buffer: Buffer) -> bool:
        """Whether an instruction reads ``buffer``, under whatever name."""
        root = self.root(buffer)
        names = (name for i in self.instructions for name in i.inputs if name is not None)
        return any(self.root(self.buffers[name]) is root for name in names)

    def producer(self, buffer: Buffer) -> Instruction | None:
        """The instruction that wrote ``buffer`` last, or ``None`` for what comes from outside."""
        for instruction in reversed(self.instructions):
            if buffer.name in instruction.outputs:
                return instruction
        return None

    def rename(self, old: Buffer, new: Buffer) -> None:
        """Let every instruction use ``new`` in place of ``old``."""

        def swap(names: tuple[str | None, ...]) -> tuple[str | None, ...]:
            return tuple(new.name if n == old.name else n for n in names)

        self.instructions = [replace(i, outputs=swap(i.outputs), inputs=swap(i.inputs)) for i in self.instructions]

    def finish(self) -> Program:
        """The validated program."""
        program = Program.of(self.name, self.buffers.values(), self.instructions)
        program.validate()
        return program
