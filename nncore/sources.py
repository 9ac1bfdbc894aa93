"""Data that Python hands over batch by batch: a ``PyDataset``, an iterator, or an iterable that starts anew."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from nncore.errors import DataError

__all__ = ["PyDataset", "Sequence", "Source", "hands_over_batches", "unpack"]

Batch = tuple[Any, Any, Any]
"""x, y and sample_weight of a batch; ``None`` where there is none."""


class PyDataset:
    """Base of data sets that make each batch when it is asked for; ``Sequence`` is another name of it.

    A subclass defines ``__getitem__(index)``, the batch ``(x,)``, ``(x, y)`` or ``(x, y, sample_weight)`` at an index,
    and ``__len__``, the number of batches (or the property ``num_batches``, ``None`` where there is no end of them).
    ``fit(shuffle=True)`` takes the batches in a new order each time.

    Args:
        workers: Batches that are made at once, in threads; with 0 or 1 each is made when it is its turn.
        use_multiprocessing: Taken for Keras's sake: the workers are threads either way.
        max_queue_size: Batches that may wait to be used, where there are several workers.
    """

    workers = 1
    use_multiprocessing = False
    max_queue_size = 10

    def __init__(self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10) -> None:
        self.workers = workers
        self.use_multiprocessing = use_multiprocessing
        self.max_queue_size = max_queue_size

    def __getitem__(self, index: int) -> Any:
        """The batch at ``index``."""
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__(index), the batch at an index.")

    @property
    def num_batches(self) -> int | None:
        """The number of batches; ``None`` where there is no end of them."""
        if not hasattr(self, "__len__"):
            raise NotImplementedError(f"{type(self).__name__} must define __len__(), or the property num_batches.")
        return len(self)

    def get_state(self) -> dict[str, Any]:
        """What decides which batches come, if that changes in the course of training, for training that is resumed
        (``BackupAndRestore``): numbers, strings, ``None``, arrays, and lists and dicts of them by name."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take back what ``get_state`` gave. Inside an epoch it is called after ``on_epoch_begin``."""

    def on_epoch_begin(self) -> None:
        """Called before the batches of each epoch."""

    def on_epoch_end(self) -> None:
        """Called after the batches of each epoch."""


Sequence = PyDataset


def hands_over_batches(x: Any) -> bool:
    """Whether ``x`` is no array but makes batches: a data set, an iterator or an iterable of them."""
    if x is None or isinstance(x, list | tuple | dict | str | range) or hasattr(x, "__array__") or _is_buffer(x):
        return False
    return _by_index(x) or (hasattr(x, "__iter__") and not hasattr(x, "tocsr") and not hasattr(x, "iloc"))


def _is_buffer(x: Any) -> bool:
    """Whether it is an ``array.array``, a ``memoryview`` or the like."""
    try:
        memoryview(x)
    except TypeError:
        return False
    return True


def _by_index(x: Any) -> bool:
    return isinstance(x, PyDataset) or (hasattr(x, "num_batches") and hasattr(x, "__getitem__"))


def unpack(batch: Any) -> Batch:
    """x, y and sample_weight of a batch as it was handed over.

    Raises:
        DataError: where it is neither an array nor a tuple of one to three.
    """
    if isinstance(batch, list) and 1 <= len(batch) <= 3 and all(p is None or hasattr(p, "shape") for p in batch):
        batch = tuple(batch)
    if not isinstance(batch, tuple):
        batch = (batch,)
    if not 1 <= len(batch) <= 3 or isinstance(batch[0], dict):
        what = f"a tuple of {len(batch)}" if len(batch) != 1 else "a dict"
        raise DataError(f"A batch must be (x,), (x, y) or (x, y, sample_weight). Received: {what}.")
    x, y, weight = (*batch, None, None)[:3]
    return x, y, weight


class Source:
    """The batches of ``x``, pass after pass through its data.

    Args:
        x: What ``hands_over_batches``.

    Attributes:
        length: Batches in a pass; ``None`` where that is not known.
        renews: Whether there is another pass after this one.
        generator: Draws the order of a data set's batches in each pass; ``None``: the order they have.
        taken: Batches taken of the pass; of an iterator all that were.
    """

    def __init__(self, x: Any) -> None:
        self.renews = not hasattr(x, "__next__")
        self.length: int | None = x.num_batches if _by_index(x) else _length(x)
        self.generator: np.random.Generator | None = None
        self.taken = 0
        self._x = x
        self._before: dict[str, Any] | None = None  # the generator's state when the pass began
        self._batches: Iterator[Any] | None = None
        self._first: Batch | None = None
        self._ahead: Batch | None = None

    def peek(self) -> Batch | None:
        """A first batch, to see what they are like; no batch is lost by it. ``None`` where there is none."""
        if self._first is None and _by_index(self._x):
            self._first = None if self.length == 0 else unpack(self._x[0])
        elif self._first is None:
            self.open()
            self._first = self._ahead = self._next()
        return self._first

    def open(self, skip: int = 0) -> None:
        """Start a new pass, or go on with what an iterator has left; leave out so many batches."""
        self._first = None
        self._before = place(self.generator)
        if self.renews:
            self.taken = 0
        if self._ahead is None and (self._batches is None or self.renews):
            self.close()
            if _by_index(self._x):
                self._batches, self.taken = self._by_order(skip), skip
            else:
                self._batches = iter(self._x)
        wanted = skip if self.renews else self.taken + skip
        while self.taken < wanted:
            if self.take() is None:
                raise DataError(
                    f"x must hand over at least the {skip} batches that training had used when it was broken off. "
                    f"Received: {skip - (wanted - self.taken)}."
                )

    def take(self) -> Batch | None:
        """The next batch; ``None`` after the last one of the pass."""
        batch, self._ahead = self._ahead, None
        if batch is None:
            batch = self._next()
        self.taken += batch is not None
        return batch

    def _next(self) -> Batch | None:
        """What comes next out of the pass."""
        assert self._batches is not None
        found = next(self._batches, _END)
        return None if found is _END else unpack(found)

    def get_state(self, inside: bool) -> dict[str, Any]:
        """Where it is, ``inside`` a pass that is to go on or not, for ``set_state`` of a new source of equal data."""
        own = self._x.get_state() if isinstance(self._x, PyDataset) else {}
        if inside or not self.renews:
            return {"taken": self.taken, "generator": self._before, "own": own}
        return {"taken": 0, "generator": place(self.generator), "own": own}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go to where another source was, through the batches that it had handed over."""
        if isinstance(self._x, PyDataset):
            self._x.set_state(state["own"])
        if self.generator is not None:
            self.generator.bit_generator.state = state["generator"]
        if state["taken"]:
            self.open(state["taken"])

    def epoch_begins(self) -> None:
        """Tell the data set."""
        getattr(self._x, "on_epoch_begin", _nothing)()

    def epoch_ends(self) -> None:
        """Tell the data set."""
        getattr(self._x, "on_epoch_end", _nothing)()

    def close(self) -> None:
        """Let go of the threads of a pass that is left before its end."""
        if self._batches is not None and _by_index(self._x):
            self._batches.close()  # type: ignore[attr-defined]
        if self.renews:
            self._batches = self._ahead = None

    def _by_order(self, skip: int) -> Iterator[Any]:
        order: Iterable[int] = itertools.count(skip) if self.length is None else range(skip, self.length)
        if self.generator is not None and self.length is not None:
            order = self.generator.permutation(self.length).tolist()[skip:]
        workers = int(getattr(self._x, "workers", 1) or 1)
        if workers < 2:
            return (self._x[i] for i in order)
        return _ahead(self._x, order, workers, int(getattr(self._x, "max_queue_size", 10)))


_END = object()


def place(generator: np.random.Generator | None) -> dict[str, Any] | None:
    """Where a generator is; the numbers that it draws next follow from that."""
    return None if generator is None else dict(generator.bit_generator.state)


def _nothing() -> None:
    """What happens at the events of data that does not ask for them."""


def _length(x: Any) -> int | None:
    try:
        return len(x)
    except TypeError:
        return None


def _ahead(dataset: Any, order: Iterable[int], workers: int, queue: int) -> Iterator[Any]:
    """The batches in order, made by threads while others are in use."""
    from concurrent.futures import Future, ThreadPoolExecutor

    pool = ThreadPoolExecutor(workers)
    waiting: deque[Future[Any]] = deque()
    try:
        for i in order:
            waiting.append(pool.submit(dataset.__getitem__, i))
            if len(waiting) >= max(queue, workers):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
