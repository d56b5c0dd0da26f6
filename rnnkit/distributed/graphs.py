"""Graphs of tasks for Dask: keys, tasks, arrays whose chunks are results of tasks, and arguments in aligned chunks."""

from __future__ import annotations

import importlib
import itertools
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from rnnkit.arrays import REAL
from rnnkit.distributed.shipping import ShippedLayer
from rnnkit.layers.support import validation


def dask(module: str = "array"):
    """Import a module of dask; an ImportError explains the installation."""
    try:
        return importlib.import_module(f"dask.{module}")
    except ImportError:
        raise ImportError("rk.distributed needs dask; install it with: pip install 'rnnkit[dask]'") from None


Chunks = tuple[tuple[int, ...], ...]


class Ref(NamedTuple):
    """A reference to another task's result, as an argument of a task."""

    key: Any


def task(key, function: Callable, *arguments):
    """Make a task of a graph: a call of a function, whose arguments may be `Ref`."""
    from dask._task_spec import Task, TaskRef

    return Task(key, function, *(TaskRef(one.key) if isinstance(one, Ref) else one for one in arguments))


def shipped_in_graph(layer) -> tuple[ShippedLayer, Any]:
    """Return a layer as bytes, and the collection that holds it under one key."""
    shipped = ShippedLayer(layer)
    return shipped, dask("delayed").delayed(shipped, name=f"{layer.name}-layer-{shipped.token}", traverse=False)


class Made(NamedTuple):
    """Description of a dask array: its name, the tasks of its chunks by index, the chunks' sizes, and the dtype."""

    name: str
    tasks: dict
    chunks: Chunks
    dtype: Any


def arrays(name: str, tasks: dict, dependencies: Sequence, made: Sequence[Made]) -> list:
    """Make dask arrays from the results of `tasks`, a graph's layer `name`, which reads the `dependencies`."""
    from dask.highlevelgraph import HighLevelGraph

    base = HighLevelGraph.from_collections(name, tasks, dependencies=dependencies)
    found = []
    for one in made:
        own: dict[Any, Any] = {(one.name, *index): made_by for index, made_by in one.tasks.items()}
        layers: dict[str, Any] = {**base.layers, one.name: own}
        graph = HighLevelGraph(layers, {**base.dependencies, one.name: {name}})
        found.append(dask().Array(graph, one.name, one.chunks, meta=np.empty((0,) * len(one.chunks), one.dtype)))
    return found


def mapped(name: str, function: Callable, chunks: Chunks, dtype, dependencies: Sequence):
    """Make an array whose chunk at an index is the task ``function(key, index)``."""
    from dask.highlevelgraph import HighLevelGraph

    tasks: dict[Any, Any] = {(name, *index): function((name, *index), index) for index in indices(chunks)}
    graph = HighLevelGraph.from_collections(name, tasks, dependencies=dependencies)
    return dask().Array(graph, name, chunks, meta=np.empty((0,) * len(chunks), dtype))


def tree(keys: Sequence, add: Callable, arity: int = 8) -> tuple[dict, Any]:
    """Return tasks that add the results of `keys`, up to `arity` at a time in a fixed order, and the total's key."""
    tasks: dict[Any, Any] = {}
    level, depth = list(keys), 0
    while len(level) > 1:
        parts, depth = [level[i : i + arity] for i in range(0, len(level), arity)], depth + 1
        level = [f"{part[0]}-sum{depth}" for part in parts]
        tasks |= {key: task(key, add, *map(Ref, part)) for key, part in zip(level, parts, strict=True)}
    return tasks, level[0]


def computed(name: str, tasks: dict, dependencies: Sequence, keys: Sequence) -> list:
    """Compute some of the tasks at once, and return their results."""
    from dask.delayed import Delayed
    from dask.highlevelgraph import HighLevelGraph

    graph = HighLevelGraph.from_collections(name, tasks, dependencies=dependencies)
    return list(dask("base").compute(*[Delayed(key, graph, layer=name) for key in keys]))


def indices(chunks: Chunks) -> Iterator[tuple[int, ...]]:
    return itertools.product(*(range(len(sizes)) for sizes in chunks))


def spans(sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Return the begin and the end of each chunk along an axis."""
    ends = list(itertools.accumulate(sizes))
    return list(zip([0, *ends[:-1]], ends, strict=True))


def token(*parts) -> str:
    """Return a deterministic name for these parts."""
    return dask("base").tokenize(*parts)


def is_chunked(value) -> bool:
    return isinstance(value, dask().Array)


def checked(value, what: str):
    """Check that a dask array has real numbers and a known size; return other values unchanged."""
    if not is_chunked(value):
        return value
    if any(math.isnan(size) for sizes in value.chunks for size in sizes):
        raise ValueError(
            f"expected {what} with chunks of known size, got the shape {value.shape}; {what}.compute_chunk_sizes() "
            "finds the sizes, which computes the array once"
        )
    if value.dtype.kind not in REAL:
        validation.array(np.empty(0, value.dtype), what)  # raises the usual error
    return value


def chunked(value, what: str, rows, steps=None):
    """Return an argument in chunks of these rows, and of these steps if it has an axis of time; other axes whole.

    `rows` and `steps` are tuples of sizes, of steps None for one chunk; `what` names the argument in errors.
    """
    value = checked(value, what) if is_chunked(value) else validation.array(value, what)
    wanted = {0: rows} | ({} if steps is None else {1: steps})
    sizes = tuple(wanted.get(axis, (size,)) for axis, size in enumerate(value.shape))
    if not is_chunked(value):
        return dask().from_array(value, chunks=sizes)
    if sizes == value.chunks:
        return value
    if (apart := [axis for axis in range(2, value.ndim) if len(value.chunks[axis]) > 1]) and what == "x":
        count = math.prod(len(value.chunks[axis]) for axis in apart)
        warnings.warn(
            f"x has {count} chunks along its features, which are merged: every chunk of {value.nbytes:,} bytes in all "
            f"is copied, and moved between workers; x.rechunk({dict.fromkeys(apart, -1)}) where x is made avoids it",
            dask().PerformanceWarning,
            stacklevel=2,
        )
    return value.rechunk(sizes)


def mask_in_chunks(mask, x):
    """Return a mask (B, T) in the chunks of x, from one (B, T) or (B, T, 1); a ValueError for any other shape."""
    if mask is None:
        return None
    mask = checked(mask, "mask") if is_chunked(mask) else validation.array(mask, "mask")
    if mask.shape == (*x.shape[:2], 1):
        mask = mask[:, :, 0]
    if mask.shape != x.shape[:2]:
        raise ValueError(f"expected mask of shape {x.shape[:2]}, one value per step; got {mask.shape}")
    return chunked(mask, "mask", *x.chunks[:2])


def turned(mask):
    """Reverse a mask along time; `mask[:, ::-1]` loses the only step beside several empty chunks."""
    return mask.blocks[:, ::-1].map_blocks(lambda chunk: chunk[:, ::-1], dtype=mask.dtype, meta=mask._meta)
