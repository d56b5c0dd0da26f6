"""Sources of batches: arrays that are cut and shuffled, or an iterable of batches."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnkit import allocation
from rnnkit.arguments import positive_integer
from rnnkit.arrays import REAL, has_shape, is_stored, refuse
from rnnkit.layers.support import validation
from rnnkit.sequences.ragged import Ragged, batch_length
from rnnkit.training.order import first_blocks, shuffled

# Advice for masked entries of x, where there is no argument for a mask.
_MASKED = "pass x.filled(0) to a model that begins with rk.Masking(0), which leaves out steps of zeros"
_CHUNK_BYTES = 1 << 26  # of inputs, where the size of a batch affects memory alone


@dataclass(slots=True)
class Batch:
    """The data of one step of training."""

    x: list  # arrays (B, …), one per input
    y: list | None = None  # arrays (B, …) or None, one per output
    weights: list | None = None  # arrays (B,) or (B, T), or None, one per output
    mask: np.ndarray | None = None  # bools (B, T): the steps of x that aren't padding, if it was a list of sequences

    def parts(self) -> tuple:
        """Return all of it, in the order of the constructor."""
        return self.x, self.y, self.weights, self.mask

    @property
    def rows(self) -> int:
        """The number of rows, B."""
        return _row_count(self.x)


def places(batches: int, steps: int | None, epoch: int) -> range:
    """Return the batches of an epoch by their places: epochs of so many steps go on, up to the end of a pass."""
    steps = steps or max(1, batches)
    first = epoch % max(1, -(-batches // steps)) * steps
    return range(first, min(first + steps, batches))


class Names:
    """Names of several arrays, given in order or by name; a single one as it is, or for the place `alone`.

    They may also be given nested as `nesting`; a flat list of all is taken, too. Those in `optional` may be None.
    """

    def __init__(self, names: Sequence[str], what: str, alone: int | None = None, nesting: Any = 0, optional=()):
        self.names, self.what, self.alone, self.optional = list(names), what, alone, optional
        self.nesting = None if is_flat(nesting) else nesting

    def split(self, given) -> list:
        """Return a list with an entry per name, which may be None; a ValueError for another number, or other names."""
        count = len(self.names)
        if self.nesting is not None and type(given) is type(self.nesting) and _is_nested(given):
            return _flat_like(self.nesting, given, self.what)
        if isinstance(given, Mapping):
            if unknown := [name for name in given if name not in self.names]:
                raise ValueError(f"expected {self.what} by the names {', '.join(self.names)}; got {unknown[0]!r}")
            return [given.get(name) for name in self.names]
        if count == 1:
            alone = isinstance(given, (list, tuple)) and len(given) == 1 and has_shape(given[0])
            return [given[0] if alone else given]
        if given is None:
            return [None] * count
        if self.alone is not None and has_shape(given):
            return [given if i == self.alone else None for i in range(count)]
        if not isinstance(given, (list, tuple)) or len(given) != count:
            got = f"{len(given)}" if isinstance(given, (list, tuple)) else f"one {type(given).__name__}"
            hint = "; sequences of several inputs are padded, see rk.pad_sequences" if self.what == "x" else ""
            raise ValueError(f"expected {self.what} as a list of {count} ({', '.join(self.names)}), got {got}{hint}")
        return list(given)

    def all(self, given) -> list:
        """Return the list of `split`; a ValueError for the first entry that is missing."""
        found = self.split(given)
        for name, one in zip(self.names, found, strict=True):
            if one is None and name not in self.optional:
                which = f" for {name!r} too" if len(self.names) > 1 else ""
                raise ValueError(f"expected {self.what}{which}, got None")
        return found

    def each(self, given) -> list:
        """Return the list of `split`, where one array is for every name."""
        return [given] * len(self.names) if has_shape(given) else self.split(given)


def is_flat(nesting) -> bool:
    """Return whether this is a number, or a list or dict of numbers."""
    inside = nesting.values() if isinstance(nesting, dict) else nesting
    return isinstance(nesting, int) or all(isinstance(one, int) for one in inside)


def _is_nested(given) -> bool:
    """Return whether this is a dict, or a list with lists, tuples or dicts in it."""
    return isinstance(given, dict) or any(isinstance(one, (list, tuple, dict)) for one in given)


def _flat_like(nesting, given, what) -> list:
    """Return the leaves of what is nested as something else."""
    if not isinstance(nesting, (dict, list, tuple)):
        return [given]
    keys = list(nesting) if isinstance(nesting, dict) else range(len(nesting))
    fits = isinstance(given, type(nesting) if isinstance(nesting, dict) else (list, tuple))
    if not fits or set(given if isinstance(nesting, dict) else range(len(given))) != set(keys):
        raise ValueError(f"expected {what} nested as {nesting}, got {type(given).__name__} of another kind")
    return [leaf for key in keys for leaf in _flat_like(nesting[key], given[key], what)]


class Arrays:
    """Batches of rows of arrays that exist as a whole, in memory or on disk.

    x, y and weights are as `Names` gives them; y and weights may be None altogether, or hold None. A `batch_size` of
    None takes as many rows as a certain amount of memory holds; `steps` are so many batches only. Where x is a list of
    sequences, which batches pad, `turned` says of each output whether it has its steps in the other order.
    """

    def __init__(
        self,
        x: list,
        y: list | None,
        weights: list | None,
        batch_size: int | None,
        steps: int | None = None,
        turned: list[bool] | None = None,
    ):
        self.x = [None if one is None and len(x) > 1 else _indexable(one, "x") for one in x]
        self.y = None if y is None else [None if one is None else _indexable(one, "y") for one in y]
        self.weights = None
        if weights is not None and any(one is not None for one in weights):
            self.weights = [None if one is None else _indexable(one, "sample_weight") for one in weights]
        self.rows = _row_count(self.x)
        named = [("x", self.x), ("y", self.y or []), ("sample_weight", self.weights or [])]
        for what, arrays in named:
            for one in arrays:
                if one is not None and len(one) != self.rows:
                    like = "the first has" if what == "x" else "x has"
                    raise ValueError(f"expected {what} with {self.rows} rows, as {like}; got {len(one)}")
        self.batch_size, self.steps, self.turned = batch_size or rows_at_once(self.x), steps, turned
        self.blocks: tuple[int, ...] | None = None  # sizes of the blocks that rows are shuffled in
        self.nesting: Any = None  # of x, y and the weights, for a step of a program's own

    @property
    def runs_code(self) -> bool:
        """Return whether a batch comes from code of the user's, which may look at the model."""
        arrays = (*self.x, *(self.y or ()), *(self.weights or ()))
        return not all(one is None or isinstance(one, (np.ndarray, Ragged)) for one in arrays)

    def __len__(self) -> int:
        return len(self._places(0))

    def _places(self, epoch: int) -> range:
        return places(-(-self.rows // self.batch_size), self.steps, epoch)

    def begun(self, epoch: int) -> int:
        """Return the number of batches of the pass over the data that were in earlier epochs."""
        return self._places(epoch).start

    def run(self, rng: np.random.Generator | None = None, epoch: int = 0) -> Iterator[Batch]:
        """Yield the batches of one epoch, the rows shuffled by `rng`, or in their order."""
        if rng is not None:
            allocation.check("the order of the rows", (self.rows,), np.int64)
        order = None if rng is None else shuffled(self.rows, rng, self.blocks)
        for place in self._places(epoch):
            start, stop = place * self.batch_size, min((place + 1) * self.batch_size, self.rows)
            rows = slice(start, stop) if order is None else order[start:stop]
            named = (("x", self.x), ("y", self.y), ("sample_weight", self.weights))
            batch = Batch(*(_taken(arrays, rows, what) for what, arrays in named))
            yield batch if self.turned is None else _padded(batch, self.turned)

    def ended(self) -> None:
        """Do nothing between epochs."""

    def parted(self, share: float) -> tuple[Arrays, Arrays]:
        """Return the first rows, and the last `share` of them for validation; a ValueError if one of them is empty."""
        first = math.floor(self.rows * (1 - share))
        if not 0 < first < self.rows:
            raise ValueError(f"expected validation_split to leave rows on both sides; got {share} of {self.rows} rows")
        train = self._rows(slice(0, first))
        train.blocks = None if self.blocks is None else first_blocks(self.blocks, first)
        return train, self._rows(slice(first, self.rows))

    def _rows(self, rows: slice) -> Arrays:
        parts = [None if arrays is None else _parts(arrays, rows) for arrays in (self.x, self.y, self.weights)]
        found = Arrays(parts[0] or [], parts[1], parts[2], self.batch_size, self.steps, self.turned)
        found.nesting = self.nesting
        return found


def _row_count(arrays: list) -> int:
    """Return the number of rows of several arrays, of which some are None."""
    if all(one is None for one in arrays):
        raise ValueError("expected x, got None")
    return next(len(one) for one in arrays if one is not None)


def rows_at_once(arrays: list) -> int:
    """Return the rows of a batch whose size affects memory alone."""
    row_bytes = sum(math.prod(one.shape[1:]) * one.dtype.itemsize for one in arrays if one is not None)
    return max(32, min(1024, _CHUNK_BYTES // max(1, row_bytes)))


class Stretch:
    """Consecutive rows of an array that is too large to be read at once."""

    def __init__(self, of, rows: slice):
        self.of, self.start = of, rows.start
        self.shape = (rows.stop - rows.start, *of.shape[1:])
        self.dtype = of.dtype

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, rows):
        if isinstance(rows, slice):
            return self.of[rows.start + self.start : rows.stop + self.start]
        return self.of[rows + self.start]


class Iterable:
    """Batches of an iterable, ``(x, y)`` or ``(x, y, sample_weight)``; x alone where none has a target.

    One with ``len`` and indices is asked in any order, and told by ``on_epoch_end``, if it has that, when an epoch is
    over; an iterator goes on where it stopped.
    """

    runs_code = True

    def __init__(self, batches, inputs: Names, outputs: Names, steps: int | None, with_targets: bool = True):
        self.inputs, self.outputs, self.with_targets = inputs, outputs, with_targets
        self.indexed = hasattr(batches, "__getitem__") and hasattr(batches, "__len__")
        self.batches = batches
        self.once = iter(batches) if not self.indexed and iter(batches) is batches else None
        self.running: Iterator | None = None  # a pass that goes on
        self.steps = steps

    def __len__(self) -> int:
        if self.steps is not None:
            return self.steps
        return len(self.batches) if hasattr(self.batches, "__len__") else 0

    def begun(self, epoch: int) -> int:
        """Return the number as `Arrays.begun` does."""
        return places(len(self.batches), self.steps, epoch).start if self.indexed else 0

    def run(self, rng: np.random.Generator | None = None, epoch: int = 0) -> Iterator[Batch]:
        """Yield the batches of one epoch, in the order that `rng` shuffles them to if they have indices."""
        for item in itertools.islice(self._items(rng, epoch), self.steps):
            yield self._batch(item)

    def ended(self) -> None:
        """Call a dataset's ``on_epoch_end``, if it has one."""
        if callable(hook := getattr(self.batches, "on_epoch_end", None)):
            hook()

    def _items(self, rng, epoch) -> Iterator[Any]:
        if self.once is not None:
            return self.once
        if not self.indexed:
            return self._going_on(epoch) if self.steps else iter(self.batches)
        order = range(len(self.batches)) if rng is None else rng.permutation(len(self.batches)).tolist()
        return (self.batches[order[i]] for i in places(len(order), self.steps, epoch))

    def _going_on(self, epoch) -> Iterator[Any]:
        """Yield the rest of a pass over the batches, or another pass if none is left."""
        left = self.running if epoch else None
        first = () if left is None else tuple(itertools.islice(left, 1))
        if left is None or not first:
            left = iter(self.batches)
        self.running = left
        yield from first
        while (item := next(left, self)) is not self:  # `yield from` would close it together with this generator
            yield item

    def _has_parts(self, item) -> bool:
        """Return whether an item is (x, y, …), also a list that can be nothing else: PyTorch gives lists."""
        if isinstance(item, list) and not self.with_targets:
            return len(self.inputs.names) == 1 < len(item) < 4 and all(has_shape(one) for one in item)
        return isinstance(item, (tuple, list))

    def _batch(self, item) -> Batch:
        parts = tuple(item) if self._has_parts(item) else (item,)
        if not 1 <= len(parts) <= 3 or (self.with_targets and len(parts) < 2):
            got = f"{len(item)} parts" if isinstance(item, (tuple, list)) else type(item).__name__
            raise ValueError(f"expected batches (x, y) or (x, y, sample_weight), got {got}")
        given = self.inputs.all(parts[0])
        x = [None if one is None else validation.array(one, "x", _MASKED, True) for one in given]
        y = weights = None
        if len(parts) > 1:
            y = [None if one is None else validation.array(one, "y") for one in self.outputs.split(parts[1])]
        if len(parts) > 2 and parts[2] is not None:
            given = Names(self.outputs.names, "sample_weight").each(parts[2])
            weights = [None if one is None else validation.array(one, "sample_weight") for one in given]
        for what, arrays in (("x", x), ("y", y or []), ("sample_weight", weights or [])):
            for one in arrays:
                if one is not None and not one.ndim:
                    raise ValueError(f"expected {what} of a batch to have rows, got a single number")
                if one is not None and len(one) != (rows := _row_count(x)):
                    raise ValueError(
                        f"expected {what} of a batch with {rows} rows, as x has; got {one.shape}; an item is a "
                        "batch of rows, not one row"
                    )
        return Batch(x, y, weights)


def brings_batches(x, y) -> bool:
    """Return whether x is an iterable of batches rather than an array of rows, or several."""
    if y is not None or x is None or has_shape(x) or isinstance(x, (Mapping, str)):
        return False
    if type(x).__name__.endswith("GroupBy"):  # of a frame
        return False
    if isinstance(x, (list, tuple)):
        return bool(x) and all(isinstance(one, tuple) and len(one) in (2, 3) for one in x)
    return hasattr(x, "__iter__") or (hasattr(x, "__getitem__") and hasattr(x, "__len__"))


def positive(value, what: str) -> int | None:
    """Return a positive integer, or None."""
    return None if value is None else positive_integer(value, what)


def _indexable(value, what: str):
    """Return something with rows: an array, sequences, or a stored array that is read row by row."""
    if isinstance(value, Ragged):
        return value
    if value is None:
        raise ValueError(f"expected {what}, got None")
    masked = _MASKED if what == "x" else None
    if is_stored(value):
        refuse(value, what)  # a sparse array, which looks like a stored one
        if np.dtype(value.dtype).kind not in REAL:
            validation.array(np.empty(0, value.dtype), what)  # which raises the error
        return value
    found = validation.array(value, what, masked, what == "x")  # which a layer may take as complex numbers
    if not found.ndim:
        raise ValueError(f"expected {what} to have rows, got a single number")
    return found


def _taken(arrays, rows, what):
    return None if arrays is None else [None if one is None else _rows_of(one, rows, what) for one in arrays]


def _parts(arrays, rows):
    there = (np.ndarray, Ragged)
    return [None if one is None else one[rows] if isinstance(one, there) else Stretch(one, rows) for one in arrays]


def _padded(batch: Batch, turned: list[bool]) -> Batch:
    """Return a batch of sequences as arrays of one length, with the mask of x."""
    (x,) = batch.x
    length = batch_length(int(x.lengths.max()))

    def like_outputs(arrays):
        if arrays is None:
            return None
        sides = ["pre" if one else "post" for one in turned]
        return [
            one.padded(length, side) if isinstance(one, Ragged) else one
            for one, side in zip(arrays, sides, strict=True)
        ]

    return Batch([x.padded(length)], like_outputs(batch.y), like_outputs(batch.weights), x.mask(length))


def _rows_of(array, rows, what) -> Any:
    if isinstance(array, (np.ndarray, Ragged)):
        return array[rows]
    masked = _MASKED if what == "x" else None  # netCDF4's variables give masked arrays where values are missing
    if isinstance(rows, slice):
        return validation.array(array[rows], what, masked)
    order = np.argsort(rows)  # files are read from the front to the back
    found = validation.array(array[rows[order]], what, masked)
    return found[np.argsort(order)]
