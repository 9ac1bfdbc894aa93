"""How nncore words its errors: the invariant, what was received, and the fix."""

from __future__ import annotations

from collections.abc import Iterable


class MissingExtensionError(ImportError):
    """The compiled extension ``nncore._native`` is not there, or was built for another Python."""


class DataError(ValueError):
    """The data handed to a model does not fit it."""


class GradientError(ArithmeticError):
    """A gradient is not that of the loss."""


class NonFiniteError(FloatingPointError):
    """The loss or the weights of a training became NaN or infinite; the last finite weights were restored.

    Attributes:
        epoch, batch: Where it showed, both counted from 0, as callbacks count them.
        layer: The first layer whose output, gradient or weights were not finite; ``None`` where it was no layer's.
    """

    def __init__(self, message: str, epoch: int, batch: int, layer: str | None) -> None:
        super().__init__(message)
        self.epoch, self.batch, self.layer = epoch, batch, layer


def unknown_name(kind: str, received: object, known: Iterable[str]) -> ValueError:
    """A ``ValueError`` for a name nncore does not know: lists the known ones and suggests the closest."""
    import difflib

    names = sorted(set(known))
    close = difflib.get_close_matches(str(received)[:100].lower(), [n.lower() for n in names], n=1, cutoff=0.6)
    by_lower = {n.lower(): n for n in names}
    hint = f" Did you mean {by_lower[close[0]]!r}?" if close else ""
    return ValueError(f"Unknown {kind}: {received!r}.{hint} Known names: {', '.join(names)}.")


def did_you_mean(received: str, known: Iterable[str]) -> str:
    """``" Did you mean 'x'?"`` for the known word closest to ``received``, or nothing."""
    import difflib

    close = difflib.get_close_matches(received[:100], list(known), n=1, cutoff=0.6)
    return f" Did you mean {close[0]!r}?" if close else ""
