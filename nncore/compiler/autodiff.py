"""Reverse-mode differentiation: walk the program backwards and append each op's gradient rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nncore import ops
from nncore.builder import Builder
from nncore.program import Buffer, Instruction


def differentiate(b: Builder, value: Buffer, d_value: Buffer, *more: tuple[Buffer, Buffer]) -> None:
    """Append the gradient of ``value`` in every trainable parameter, given ``d_value``.

    ``more`` are further values whose gradients are added, each with its own.

    The gradients go into buffers of kind ``gradient``, called ``d_`` and the parameter's name.

    Raises:
        ValueError: where an op on the way has no gradient rule.
    """
    sources = {name for name, buffer in b.buffers.items() if buffer.kind == "parameter"}
    _backward(b, [(value, d_value), *more], sources).settle()


def differentiate_in(b: Builder, x: Buffer, value: Buffer, d_value: Buffer) -> Buffer | None:
    """Append the gradient of ``value`` in the buffer ``x`` alone and return it; ``None`` where it does not depend on x.

    Raises:
        ValueError: where an op on the way has no gradient rule.
    """
    return _backward(b, [(value, d_value)], {b.root(x).name}).get(x)


def _backward(b: Builder, ends: Sequence[tuple[Buffer, Buffer]], sources: set[str]) -> _Gradients:
    """Append the gradients of everything between ``sources`` and the values of ``ends``, given with their own."""
    forward = list(b.instructions)
    active = _active(b, forward, sources)
    gradients = _Gradients(b)
    for end, d_end in ends:
        gradients.add(end, d_end)
    for instruction in reversed(forward):
        d_outputs = [gradients.get(b.buffers[o]) if o else None for o in instruction.outputs]
        wanted = tuple(i is not None and b.root(b.buffers[i]).name in active for i in instruction.inputs)
        if not any(wanted) or all(d is None for d in d_outputs):
            continue
        rule = _rule(instruction)
        inputs = tuple(None if i is None else b.buffers[i] for i in instruction.inputs)
        outputs = tuple(b.buffers[o] for o in instruction.outputs if o is not None)
        call = ops.Call(outputs, inputs, instruction.attributes, wanted)
        with b.scope(_scope(instruction)):
            d_inputs = rule(b.emit, call, d_outputs)
            for want, buffer, d_buffer in zip(wanted, inputs, d_inputs, strict=True):
                if want and buffer is not None and d_buffer is not None:
                    gradients.add(buffer, d_buffer)
    return gradients


def _rule(instruction: Instruction) -> Callable[..., ops.Gradients]:
    """The gradient rule of an instruction's op or function."""
    if instruction.function is not None:
        if instruction.function.gradient is None:
            raise ValueError(
                f"{instruction.function.name} runs in Python and has no backward, but a gradient has to pass through "
                "it. Define backward, or write it with operators, layers and activations alone."
            )
        return instruction.function.gradient
    if instruction.op not in ops.GRADIENTS:
        raise ValueError(f"The op {instruction.op!r} has no gradient rule, but a gradient has to pass through it.")
    return ops.GRADIENTS[instruction.op]


def _scope(instruction: Instruction) -> str:
    """The layer that an instruction came from, for the names of its gradient's buffers."""
    return (instruction.outputs[0] or "").rpartition("/")[0]


def _active(b: Builder, instructions: list[Instruction], sources: set[str]) -> set[str]:
    """Roots of all buffers that depend on one of ``sources``."""
    active = set(sources)
    for instruction in instructions:
        if any(i is not None and b.root(b.buffers[i]).name in active for i in instruction.inputs):
            active |= {b.root(b.buffers[o]).name for o in instruction.outputs if o is not None}
    return active


class _Gradients:
    """The gradient of every buffer met so far, kept under the buffer that owns the memory."""

    def __init__(self, b: Builder) -> None:
        self._b = b
        self._of: dict[str, Buffer] = {}

    def get(self, buffer: Buffer) -> Buffer | None:
        found = self._of.get(self._b.root(buffer).name)
        return None if found is None else self._b.view(found, buffer.shape)

    def add(self, buffer: Buffer, gradient: Buffer) -> None:
        root = self._b.root(buffer)
        gradient = self._b.view(gradient, root.shape or (1,))  # ops take no shape ()
        if root.name in self._of:
            (gradient,) = self._b.emit("add", self._of[root.name], gradient)
        self._of[root.name] = gradient

    def settle(self) -> None:
        """Let the parameters' gradients be written straight into the flat gradient vector."""
        for name in [n for n in self._of if self._b.buffers[n].kind == "parameter"]:
            found = self._of[name]
            home = self._b.declare("gradient", f"d_{name}", found.shape)
            shared = found.base is not None or found.kind != "workspace" or list(self._of.values()).count(found) > 1
            if shared:
                self._b.emit_to("scale_shift", (home,), found, scale=1.0, offset=0.0)
            else:
                self._b.rename(found, home)
