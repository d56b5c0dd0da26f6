"""The partitions of a table as blocks of series, which stay on the workers while a model learns from all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rnnkit.distributed import updates
from rnnkit.distributed.graphs import Ref
from rnnkit.distributed.schedulers import Graph, Held, Tasks, tasks_for
from rnnkit.distributed.tables import Reading, Table
from rnnkit.distributed.threads import share
from rnnkit.forecast.data.history import History
from rnnkit.forecast.fitting.blocks import Blocks
from rnnkit.forecast.models.together import Together


class PartitionBlocks(Blocks):
    """Blocks that are results of tasks; functions of blocks run as tasks."""

    def __init__(self, tasks: Tasks, held: list[Held]):
        self.tasks, self.held = tasks, held

    @classmethod
    def of(cls, table: Table, model: Together) -> PartitionBlocks:
        """Make a `History` of each partition with rows, with a model's covariates."""
        parts = table.frame.to_delayed()
        filled = [parts[place] for place in table.filled]
        tasks = tasks_for(filled)
        return cls(tasks, tasks.compute(filled)).made(_history, table.reading, model.copy())

    def map(self, function, *arguments):
        """Return the results, in this process."""
        graph = self._graph(function, arguments)
        return self.tasks.now(graph, list(graph))

    def made(self, function, *arguments):
        """Return blocks of the results, on the workers."""
        graph = self._graph(function, arguments)
        return PartitionBlocks(self.tasks, self.tasks.begin(graph, list(graph)))

    def some(self, function, shared, given):
        """Return the results, in this process; `shared` reaches each worker once."""
        key, graph = self.tasks.key("shared"), {}
        for number, argument in given:
            graph[self.tasks.key(function.__name__)] = (_called, (function, self.held[number], Ref(key), argument))
        return self.tasks.now({key: (updates.given, (shared,)), **graph}, list(graph))

    def close(self) -> None:
        """Cancel the tasks begun."""
        self.tasks.close()

    def _graph(self, function: Callable, arguments: tuple) -> Graph:
        name = function.__name__
        return {self.tasks.key(name): (_called, (function, block, *arguments)) for block in self.held}


def _history(table, reading: Reading, model: Together) -> History:
    return model._beside(History.of_frame(reading.read(table)))._replace(frame=None)


def _called(function: Callable, *arguments: Any):
    with share():
        return function(*arguments)
