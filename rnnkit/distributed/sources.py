"""Batches of chunked data, which the client never holds: rows of dask arrays, and delayed batches."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from rnnkit.distributed import updates
from rnnkit.distributed.chunks import checked, chunked, is_chunked
from rnnkit.distributed.graphs import dask, spans
from rnnkit.distributed.schedulers import Graph, Held, Tasks, tasks_for
from rnnkit.distributed.training import ClusterStepper
from rnnkit.distributed.updates import Form, Layout
from rnnkit.training.batches import Arrays, Batch, Iterable, Names, places, rows_at_once
from rnnkit.training.order import first_blocks, in_blocks
from rnnkit.training.pieces import spans as parts_of

_ROWS = 64  # rows of a part, by default
_PARTS = 8  # parts of a batch of unknown size
_AHEAD = 2  # batches to load in advance


class LazyBatch(NamedTuple):
    """A batch being loaded: for each part its `Form`, or None, and the other arguments of `updates.gradient`."""

    where: str
    parts: list[tuple[Form | None, list[Held]]]


class Source:
    """Base of sources of batches that tasks load: at most `steps` batches, each cut into `parts`."""

    runs_code = False
    example: Callable[[], Batch]  # zeros like the inputs of one row
    _places: Callable[[int], range]  # the indices of an epoch's batches, see `rnnkit.training.batches.places`
    _loaded: Callable[..., Any]  # (rng, places), yields the batches in order, beginning to load each
    _usual_parts: Callable[[], int]

    def __init__(self, tasks: Tasks, steps: int | None):
        self.tasks, self.steps, self.parts = tasks, steps, 1
        self.shipped: tuple[Held, dict] | None = None  # the shipped model and its weights
        self._to_come: Iterator[LazyBatch] = iter(())
        self._ahead: deque[LazyBatch] = deque()

    def __len__(self) -> int:
        return len(self._places(0))

    def begun(self, epoch: int) -> int:
        """Return the number of batches of the current pass that were used in earlier epochs."""
        return self._places(epoch).start

    def run(self, rng: np.random.Generator | None = None, epoch: int = 0) -> Iterator[LazyBatch]:
        """Yield the batches of one epoch; `load` begins to load the following ones."""
        with contextlib.closing(self._loaded(rng, self._places(epoch))) as self._to_come:
            self._ahead = deque()
            while True:
                self.load(1)
                if not self._ahead:
                    return
                yield self._ahead.popleft()

    def load(self, batches: int = _AHEAD) -> None:
        """Begin to load the next batches, up to `batches` of them.

        It is called once the tasks of the previous batch are sent, so that workers load while they would wait for each
        other or for new weights.
        """
        self._ahead.extend(itertools.islice(self._to_come, max(0, batches - len(self._ahead))))

    def ended(self) -> None:
        """Do nothing between epochs."""

    def stepper(self, model, class_weight, parts: int | None) -> ClusterStepper:
        self.parts = parts or self._usual_parts()
        return ClusterStepper(model, class_weight, self)

    def tester(self, model) -> ClusterStepper:
        return ClusterStepper(model, None, self)


class ChunkedRows(Source):
    """Batches of rows of dask arrays (inputs, targets and weights) with aligned chunks of rows.

    With a `batch_size` of None, a batch has as many rows as fit in a fixed amount of memory.
    """

    def __init__(self, tasks, arrays: list, layout: Layout, batch_size: int | None, steps: int | None):
        super().__init__(tasks, steps)
        self.arrays, self.layout = arrays, layout
        self.sizes, self.rows = arrays[0].chunks[0], arrays[0].shape[0]
        self._starts = [first for first, _ in spans(self.sizes)]
        self.batch_size = batch_size or rows_at_once(arrays[: layout.x])

    def _places(self, epoch):
        return places(-(-self.rows // self.batch_size), self.steps, epoch)

    def parted(self, share: float) -> tuple[ChunkedRows, ChunkedRows]:
        """Return the first rows, and the last `share` of them, see `rnnkit.training.batches.Arrays`."""
        first = math.floor(self.rows * (1 - share))
        if not 0 < first < self.rows:
            raise ValueError(f"expected validation_split to leave rows on both sides; got {share} of {self.rows} rows")
        sizes = first_blocks(self.sizes, first)
        both = []
        for rows, own in ((slice(0, first), sizes), (slice(first, self.rows), None)):
            arrays = [one[rows] for one in self.arrays]
            arrays = arrays if own is None else [one.rechunk({0: own}) for one in arrays]
            both.append(ChunkedRows(self.tasks, arrays, self.layout, self.batch_size, self.steps))
        return both[0], both[1]

    def gathered(self) -> Arrays:
        """Return the rows in memory, for a single batch."""
        batch = self.layout.batch(dask("base").compute(*self.arrays))
        return Arrays(batch.x, batch.y, batch.weights, self.batch_size, self.steps)

    def example(self) -> Batch:
        return Batch([np.zeros((1, *one.shape[1:]), one.dtype) for one in self.arrays[: self.layout.x]])

    def _usual_parts(self) -> int:
        return -(-self.batch_size // _ROWS)

    def _loaded(self, rng, places):
        order = _Order(self.sizes, rng)
        order.take(places.start * self.batch_size)
        chunks: dict[int, list[Held]] = {}
        for place in places:
            rows = min(self.batch_size, self.rows - place * self.batch_size)
            parts = [order.take(stop - first) for first, stop in parts_of(rows, self.parts)]
            new = sorted({one.block for part in parts for one in part} - chunks.keys())
            begun = self.tasks.compute_groups([[one.blocks[block] for one in self.arrays] for block in new])
            chunks |= zip(new, begun, strict=True)
            graph: Graph = {}
            keys = []
            for part in parts:
                keys.append([self.tasks.key("take") for _ in part])
                graph |= {
                    key: (updates.taken, (one.rows, *chunks[one.block]))
                    for key, one in zip(keys[-1], part, strict=True)
                }
            held = iter(self.tasks.begin(graph, list(graph)))
            forms = [Form(self.layout, rows, self._where(part)) for part in parts]
            found = [[next(held) for _ in own] for own in keys]
            yield LazyBatch(self._where([one for part in parts for one in part]), list(zip(forms, found, strict=True)))
            chunks = {block: one for block, one in chunks.items() if block == order.block}

    def _where(self, part: Sequence[_Some]) -> str:
        starts = self._starts
        least = min(starts[one.block] + int(one.rows.min()) for one in part)
        most = max(starts[one.block] + int(one.rows.max()) for one in part)
        count = sum(len(one.rows) for one in part)
        return (
            f"rows {least} to {most} of x" if count == most - least + 1 else f"{count} of rows {least} to {most} of x"
        )


class _Some(NamedTuple):
    """Rows of one chunk, counted from its first."""

    block: int
    rows: np.ndarray


class _Order:
    """The order of an epoch's rows; the rows of a chunk are consecutive."""

    def __init__(self, sizes: Sequence[int], rng: np.random.Generator | None):
        self._blocks = ((i, np.arange(size)) for i, size in enumerate(sizes)) if rng is None else in_blocks(sizes, rng)
        self.block: int | None = None  # the chunk in use, if partly taken
        self._left = np.arange(0)

    def take(self, count: int) -> list[_Some]:
        found = []
        while count:
            if not len(self._left):
                self.block, self._left = next(self._blocks)
                continue
            found.append(_Some(self.block or 0, self._left[:count]))
            count -= len(found[-1].rows)
            self._left = self._left[len(found[-1].rows) :]
        if not len(self._left):
            self.block = None
        return found


class DelayedBatches(Source):
    """A list of delayed batches, ``(x, y)`` or ``(x, y, sample_weight)``."""

    def __init__(self, tasks, batches: Sequence, inputs: Names, outputs: Names, steps: int | None):
        super().__init__(tasks, steps)
        self.batches, self.reader = list(batches), Iterable((), inputs, outputs, None)

    def _places(self, epoch):
        return places(len(self.batches), self.steps, epoch)

    def example(self) -> Batch:
        (item,) = self.tasks.compute(self.batches[:1])
        key = self.tasks.key("shapes")
        (shapes,) = self.tasks.now({key: (updates.shapes_of, (self.reader, item))}, [key])
        return Batch([np.zeros((1, *shape[1:]), dtype) for shape, dtype in shapes])

    def _usual_parts(self) -> int:
        return _PARTS

    def _loaded(self, rng, places):
        order = range(len(self.batches)) if rng is None else rng.permutation(len(self.batches)).tolist()
        for i in order[places.start : places.stop]:
            (item,) = self.tasks.compute([self.batches[i]])
            graph: Graph = {
                self.tasks.key("cut"): (updates.cut_out, (self.reader, number, self.parts, item))
                for number in range(self.parts)
            }
            held = self.tasks.begin(graph, list(graph))
            yield LazyBatch(f"the delayed batch {i}", [(None, [one]) for one in held])


def source(model, x, y, sample_weight, batch_size, steps) -> Source:
    """Return the batches of a fit or an evaluation on dask arrays or a list of delayed batches, after checks."""
    inputs, outputs = model._interface._inputs("x"), model._targets()
    if are_delayed(x):
        if y is not None or sample_weight is not None:
            raise ValueError("expected y and sample_weight within the delayed batches, (x, y, sample_weight)")
        return DelayedBatches(tasks_for(x), x, inputs, outputs, steps)
    given = {"x": inputs.all(x), "y": None if y is None else outputs.split(y)}
    weights = Names(outputs.names, "sample_weight")
    given["sample_weight"] = None if sample_weight is None else weights.each(sample_weight)
    arrays = [(what, one) for what, several in given.items() for one in several or () if one is not None]
    if not any(is_chunked(one) for _, one in arrays):
        raise TypeError("expected x as a dask array or a list of delayed batches, got other delayed values")
    first = next(checked(one, what) for what, one in arrays if is_chunked(one))
    for what, one in arrays:
        if not np.shape(one) or len(one) != len(first):
            raise ValueError(f"expected {what} with {len(first)} rows, got the shape {np.shape(one)}")
    if not len(first):
        raise ValueError("expected at least one row, got none")
    layout = Layout(len(given["x"] or ()), _flags(given["y"]), _flags(given["sample_weight"]))
    found = [chunked(one, what, first.chunks[0]) for what, one in arrays]
    return ChunkedRows(tasks_for(found), found, layout, batch_size, steps)


def are_delayed(x) -> bool:
    delayed = dask("delayed").Delayed
    return isinstance(x, (list, tuple)) and bool(x) and all(isinstance(one, delayed) for one in x)


def _flags(arrays) -> tuple[bool, ...] | None:
    return None if arrays is None else tuple(one is not None for one in arrays)
