"""Graphs of tasks for Dask: keys, tasks, and arrays whose chunks are results of tasks."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from rnnkit.distributed.shipping import ShippedLayer


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
