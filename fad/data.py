"""Batches of rows for training: shuffled by a key, prepared in the background, resumable at any batch.

Rows may lie in files: with ``numpy.memmap`` only the rows of a batch are read, so a dataset can be larger than memory.
"""

from __future__ import annotations

import queue
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import fad
import fad.random as random
import fad.tree as tree
from fad import errors

__all__ = ["Batches", "batches", "split"]

_LAST = ("keep", "drop", "pad")
Position = tuple[int, int]


def _rows(arrays: Any, function: str) -> tuple[list[np.ndarray], Any, int]:
    """The leaves as NumPy arrays (views where that is possible), the structure, and the common number of rows."""
    names: list[str] = []
    tree.map_with_path(lambda path, _: names.append("/".join(map(str, path)) or "the array"), arrays)
    leaves, structure = tree.flatten(arrays)
    found = [leaf if isinstance(leaf, np.ndarray) else np.asarray(leaf) for leaf in leaves]
    if not found:
        raise errors.ArgumentError(f"fad.data.{function}: there are no arrays")
    for name, array in zip(names, found):
        if array.ndim == 0:
            raise errors.ShapeError(f"fad.data.{function}: {name} has no rows: its shape is ()")
        if len(array) != len(found[0]):
            raise errors.ShapeError(
                f"fad.data.{function}: arrays go together row by row, but {names[0]} has {len(found[0])} rows and {name} has {len(array)}"
            )
    return found, structure, len(found[0])


def _frozen(rows: np.ndarray) -> Any:
    """An Array over rows that nobody else has."""
    rows.flags.writeable = False
    return fad.Array(rows)


def split(key: Any, arrays: Any, fraction: float) -> tuple[Any, Any]:
    """Two disjoint random parts of a dataset, such as one to train on and one held out.

    Parameters
    ----------
    key : Array
        A key of :mod:`fad.random`.
    arrays : pytree
        Arrays with the same number of rows.
    fraction : float
        The first part's share, above 0 and below 1.

    Returns
    -------
    first, second : pytree
        NumPy arrays in the structure of ``arrays``.

    Raises
    ------
    ShapeError
        If the arrays differ in their number of rows.
    ArgumentError
        If a part would be empty.

    Examples
    --------
    >>> import fad, fad.data
    >>> import numpy as np
    >>> train, held_out = fad.data.split(fad.random.key(0), {"x": np.zeros((10, 3)), "y": np.arange(10)}, 0.8)
    >>> train["x"].shape, held_out["y"].shape
    ((8, 3), (2,))
    """
    leaves, structure, count = _rows(arrays, "split")
    cut = round(count * fraction)
    if not 0 < cut < count:
        raise errors.ArgumentError(f"fad.data.split: {fraction} of {count} rows leaves a part empty")
    order = np.asarray(random.permutation(key, count))
    parts = [[leaf[np.sort(part)] for leaf in leaves] for part in (order[:cut], order[cut:])]
    return tree.unflatten(structure, parts[0]), tree.unflatten(structure, parts[1])


class _Source:
    """Makes the batch at a position; what it gives depends on the position only."""

    def __init__(
        self,
        key: Any,
        arrays: Any,
        batch_size: int,
        shuffle: bool,
        last: str,
        transform: Callable[[Any, Any], Any] | None,
    ):
        self.leaves, self.structure, self.count = _rows(arrays, "batches")
        self.key, self.batch_size, self.shuffle, self.last, self.transform = key, batch_size, shuffle, last, transform
        whole, rest = divmod(self.count, batch_size)
        self.per_epoch = whole if last == "drop" or not rest else whole + 1
        self._order: tuple[int, np.ndarray] | None = None

    def order_of(self, epoch: int) -> np.ndarray:
        """The rows' order in an epoch."""
        if self._order is None or self._order[0] != epoch:
            own_key = random.fold_in(self.key, epoch)
            order = np.asarray(random.permutation(own_key, self.count)) if self.shuffle else np.arange(self.count)
            self._order = (epoch, order)
        return self._order[1]

    def make(self, position: Position) -> Any:
        """The batch at (epoch, number)."""
        epoch, number = position
        rows = self.order_of(epoch)[number * self.batch_size : (number + 1) * self.batch_size]
        real = len(rows)
        if self.last == "pad" and real < self.batch_size:
            rows = np.concatenate([rows, np.full(self.batch_size - real, rows[0])])
        batch = tree.unflatten(self.structure, [_frozen(np.asarray(leaf[rows])) for leaf in self.leaves])
        if self.transform is not None:
            own_key = random.fold_in(random.fold_in(self.key, epoch), number + 1)
            batch = self.transform(own_key, batch)
        if self.last == "pad":
            return batch, _frozen(np.arange(self.batch_size) < real)
        return batch

    def positions(self, start: Position, epochs: int | None) -> Iterator[Position]:
        """All positions from one on, epoch after epoch."""
        epoch, number = start
        while epochs is None or epoch < epochs:
            yield epoch, number
            epoch, number = self.following((epoch, number))

    def following(self, position: Position) -> Position:
        """The position after one."""
        epoch, number = position
        return (epoch, number + 1) if number + 1 < self.per_epoch else (epoch + 1, 0)


def _produce(source: _Source, positions: Iterator[Position], made: queue.Queue[Any], stop: threading.Event) -> None:
    """The background thread: make batches until told to stop; an exception travels to the reader in a batch's place."""
    end = object()
    while not stop.is_set():
        position = next(positions, None)
        item: tuple[BaseException | None, Position | None, Any]
        try:
            item = (None, position, source.make(position)) if position is not None else (None, None, end)
        except BaseException as error:
            item = (error, position, None)
        while not stop.is_set():
            try:
                made.put(item, timeout=0.05)
                break
            except queue.Full:
                continue
        if item[0] is not None or item[2] is end:
            return


class Batches:
    """Iterator over batches; made by :func:`batches`.

    Attributes
    ----------
    per_epoch : int
        Batches in an epoch.
    epoch : int
        The epoch of the next batch.
    state : dict
        Where the iterator stands, as arrays: save it with the parameters, and pass it to :func:`batches` to go on there.

    Examples
    --------
    >>> import fad, fad.data
    >>> import numpy as np
    >>> iterator = fad.data.batches(fad.random.key(0), np.arange(10), 4, shuffle=False)
    >>> [batch.tolist() for batch in iterator]
    [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    >>> iterator.per_epoch
    3
    """

    def __init__(self, source: _Source, epochs: int | None, prefetch: int, start: Position):
        self._source, self._epochs, self._prefetch, self._next = source, epochs, prefetch, start
        self._made: queue.Queue[Any] | None = None
        self._stop = threading.Event()
        self._finished = False
        # The thread knows the source and not this iterator, so a forgotten iterator is collected and ends it.
        weakref.finalize(self, self._stop.set)

    @property
    def per_epoch(self) -> int:
        """Batches in an epoch."""
        return self._source.per_epoch

    @property
    def epoch(self) -> int:
        """The epoch of the next batch."""
        return self._next[0]

    @property
    def state(self) -> dict[str, Any]:
        """Where the iterator stands, as arrays."""
        numbers = {"epoch": self._next[0], "batch": self._next[1], "rows": self._source.count}
        numbers["batch_size"] = self._source.batch_size
        return {"key": self._source.key, **{name: fad.Array(np.asarray(value)) for name, value in numbers.items()}}

    def resumed(self, state: Any) -> Batches:
        """An iterator over the same data that goes on where a saved ``state`` stands."""
        return Batches(self._source, self._epochs, self._prefetch, _start_from(state, self._source.key, self._source))

    def __len__(self) -> int:
        if self._epochs is None:
            raise errors.ArgumentError("fad.data: batches(..., epochs=None) go on forever, so they have no length")
        return max((self._epochs - self._next[0]) * self.per_epoch - self._next[1], 0)

    def __iter__(self) -> Batches:
        return self

    def __next__(self) -> Any:
        if self._finished:
            raise StopIteration
        try:
            error, position, batch = self._made_now() if self._prefetch == 0 else self._received()
            following = self._next if position is None else self._source.following(position)
        except BaseException:
            self._begin_anew()
            raise
        if error is None and position is not None:
            self._next = following
            return batch
        self.close()
        raise StopIteration if error is None else error

    def _made_now(self) -> Any:
        position = next(self._source.positions(self._next, self._epochs), None)
        return None, position, None if position is None else self._source.make(position)

    def _begin_anew(self) -> None:
        """Have batches made again from the next one on: an interruption may have come after one was taken, and before it was given."""
        self._stop.set()
        self._made = None
        self._stop = threading.Event()
        weakref.finalize(self, self._stop.set)

    def _received(self) -> Any:
        if self._made is None:
            self._made = queue.Queue(maxsize=self._prefetch)
            positions = self._source.positions(self._next, self._epochs)
            threading.Thread(
                target=_produce,
                args=(self._source, positions, self._made, self._stop),
                name="fad.data.batches",
                daemon=True,
            ).start()
        return self._made.get()

    def close(self) -> None:
        """End the iterator and its thread; called by itself at the end, on an error, and when nothing refers to it."""
        self._finished = True
        self._stop.set()

    def __enter__(self) -> Batches:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()


def _start_from(state: Any, key: Any, source: _Source) -> Position:
    """The position that a saved state names, if it is one of this dataset and key."""
    try:
        numbers = {name: int(np.asarray(state[name])) for name in ("epoch", "batch", "rows", "batch_size")}
        saved_key = np.asarray(state["key"])
    except (KeyError, TypeError, IndexError):
        raise errors.ArgumentError("fad.data.batches: state must be the state of an iterator of batches") from None
    for name, now in (("rows", source.count), ("batch_size", source.batch_size)):
        if numbers[name] != now:
            raise errors.ArgumentError(
                f"fad.data.batches: the state was saved with {name} = {numbers[name]}, and now it is {now}; go on with the same data and batches"
            )
    if not np.array_equal(saved_key, np.asarray(key)):
        raise errors.ArgumentError(
            "fad.data.batches: the state was saved with another key; pass key=state['key'] to go on with it"
        )
    return numbers["epoch"], numbers["batch"]


def batches(
    key: Any,
    arrays: Any,
    batch_size: int,
    *,
    epochs: int | None = 1,
    shuffle: bool = True,
    last: str = "keep",
    transform: Callable[[Any, Any], Any] | None = None,
    prefetch: int = 2,
    state: Any = None,
) -> Batches:
    """Go through a dataset in batches of rows.

    Parameters
    ----------
    key : Array
        A key of :mod:`fad.random`; it decides the order of every epoch.
    arrays : pytree
        Arrays with the same number of rows: NumPy arrays, ``numpy.memmap`` or anything that NumPy takes for an array.
    batch_size : int
        Rows in a batch.
    epochs : int, optional
        How often to go through the data; ``None`` for ever.
    shuffle : bool
        Whether each epoch has a random order of its own.
    last : {"keep", "drop", "pad"}
        What to do with a last batch of fewer rows. With ``"pad"`` every batch is a pair ``(batch, mask)``, where the mask, bool of shape ``(batch_size,)``, is False in rows that only fill up.
    transform : callable, optional
        ``transform(key, batch) -> batch``, such as an augmentation; runs in the background with a key of its own.
    prefetch : int
        How many batches to prepare in the background; 0 for none, without a thread.
    state : dict, optional
        Where to go on: the ``state`` of an earlier iterator.

    Returns
    -------
    Batches
        Gives pytrees of Arrays in the structure of ``arrays``.

    Raises
    ------
    ShapeError
        If the arrays differ in their number of rows.
    ArgumentError
        If there is no batch to give, or the state belongs to other data.

    Notes
    -----
    The same key gives the same batches, whatever ``prefetch`` is. The order of all rows, 8 bytes each, is held in memory.

    Examples
    --------
    >>> import fad, fad.data
    >>> import numpy as np
    >>> data = {"x": np.arange(6.0).reshape(3, 2), "y": np.array([0, 1, 2])}
    >>> for batch in fad.data.batches(fad.random.key(0), data, 2, last="drop"):
    ...     print(batch["x"].shape, batch["y"].shape)
    (2, 2) (2,)
    """
    if last not in _LAST:
        raise errors.ArgumentError(f"fad.data.batches: last must be one of {', '.join(_LAST)}, got {last!r}")
    if batch_size < 1 or prefetch < 0 or (epochs is not None and epochs < 0):
        raise errors.ArgumentError(
            f"fad.data.batches: batch_size must be at least 1, prefetch and epochs at least 0; got {batch_size}, {prefetch} and {epochs}"
        )
    source = _Source(key, arrays, int(batch_size), shuffle, last, transform)
    if source.per_epoch == 0:
        raise errors.ArgumentError(
            f"fad.data.batches: {source.count} rows make no batch of {batch_size}"
            + ("; last='keep' or 'pad' would give one" if source.count else "")
        )
    start = (0, 0) if state is None else _start_from(state, key, source)
    return Batches(source, epochs, prefetch, start)
