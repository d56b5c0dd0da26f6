"""Forecasters of panels in partitions: models of individual series, and models that learn from all series."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from rnnkit.arguments import whole
from rnnkit.arrays import of_dask
from rnnkit.distributed import updates
from rnnkit.distributed.graphs import Ref
from rnnkit.distributed.schedulers import Graph, Held, Tasks, tasks_for
from rnnkit.distributed.shipping import share
from rnnkit.distributed.tables import Reading, Table, gathered
from rnnkit.forecast.data.frames import Columns, SeriesFrame
from rnnkit.forecast.data.history import History
from rnnkit.forecast.models.forecaster import Forecaster, checked_levels
from rnnkit.forecast.models.together import Blocks, Together
from rnnkit.forecast.scoring.validation import Origins, as_table, check_long_enough, forecasts


class Partitions(NamedTuple):
    """Checked partitions from which a forecaster forecasts."""

    table: Table
    found: list | None = None  # learned for each partition with rows; None where each series is fitted by itself
    panel: dict[str, np.ndarray] | None = None  # learned from all series

    def predict(self, model: Forecaster, h: int, future, level):
        """Return the dask DataFrame of `Forecaster.predict`."""
        levels = checked_levels(level)
        return self._asked(_predicted, model._band_names(levels), model, h, future, levels)

    def predict_quantiles(self, model: Forecaster, h: int, future, probabilities):
        """Return the dask DataFrame of `Forecaster.predict_quantiles`."""
        return self._asked(_quantiles, model._quantile_names(probabilities), model, h, future, probabilities.tolist())

    def _asked(self, function, columns, model, h, future, asked):
        given = model.copy(), self.panel, self.table.reading, _horizon(model, h, future), future, asked
        if self.found is None:
            return self.table.mapped(function, columns, None, *given)
        return self.table.beside(function, columns, self.found, *given)


def fitted(model: Forecaster, y, static, names: Columns, freq, progress=None) -> Partitions:
    """Check series in partitions, and fit a model that learns from all; invalid times or values are found first.

    A static table is refused; other errors are those of `gathered`.
    """
    _check_no_static(static)
    table = gathered(y, Reading(names, freq, tuple(model._covariate_columns)))
    if not isinstance(model, Together):
        return Partitions(table)
    with contextlib.closing(PartitionBlocks.of(table, model)) as blocks:
        return Partitions(table, *model._learned(blocks, progress))


def cross_validation(
    models: Sequence[Forecaster],
    y,
    h: int,
    n_windows: int,
    step_size: int | None,
    refit: bool,
    level,
    id="unique_id",
    time="ds",
    target="y",
    freq=None,
    static=None,
):
    """Return the dask DataFrame of `rnnkit.forecast.cross_validation` for series in partitions."""
    _check_no_static(static)
    sizes = h, n_windows, step_size
    last = h + (h if step_size is None else step_size) * np.arange(n_windows - 1, -1, -1)
    beside = tuple(dict.fromkeys(name for model in models for name in model._covariate_columns))
    table = gathered(y, Reading(Columns(id, time, target), freq, beside), _Windows(*sizes))
    some, changed, longest = (np.array(found) for found in zip(*table.measured, strict=True))
    check_long_enough(some.any(axis=0), int(longest.max()), last)
    refits = changed.any(axis=0) | refit
    levels = None if level is None else checked_levels(level)
    columns = [name for one in models for name in one._band_names(checked_levels(level or one.level))]
    times = {"cutoff": table.head[time], target: np.zeros(0)}
    table = table._replace(head=table.head.assign(**times))
    copies = [model.copy() for model in models]
    own: list[dict] = [{} for _ in table.filled]
    panels = {}
    for model in copies:
        if isinstance(model, Together):
            with contextlib.closing(PartitionBlocks.of(table, model)) as blocks:
                for window in np.flatnonzero(refits).tolist():
                    found, panels[model.name, window] = model._learned(blocks.made(_known_at, sizes, window))
                    for part, one in zip(own, found, strict=True):
                        part[model.name, window] = one
    return table.beside(_validated, columns, own, copies, panels, table.reading, sizes, refits.tolist(), levels)


@dataclass(frozen=True)
class _Windows:
    """A function of a partition: masks of the windows with series and with changed series, and the longest series."""

    h: int
    n_windows: int
    step_size: int | None

    def __call__(self, frame: SeriesFrame) -> tuple[Any, np.ndarray, int]:
        origins = Origins.of(History.of_frame(frame), self.h, self.n_windows, self.step_size)
        return origins.able.any(axis=1), origins.changed, origins.longest


def _predicted(table, head, found, model, panel, reading: Reading, h, future, levels):
    with share():
        return _fitted(table, found, model, panel, reading).predict(h, future=future, level=levels)


def _quantiles(table, head, found, model, panel, reading: Reading, h, future, probabilities):
    with share():
        return _fitted(table, found, model, panel, reading).predict_quantiles(h, probabilities, future=future)


def _fitted(table, found, model, panel, reading: Reading) -> Forecaster:
    if found is None:
        return model.copy().fit(table, **reading.names._asdict(), freq=reading.freq)
    history = model._beside(History.of_frame(reading.read(table)))
    return model.copy()._recalled(history, found, panel)


def _known_at(history: History, sizes, window: int) -> History:
    """Return the known steps of the series that have a window."""
    origins = Origins.of(history, *sizes)
    rows = np.flatnonzero(origins.able[window])
    return history.until(rows, origins.ends[window, rows])


def _validated(table, head, found, models, panels, reading: Reading, sizes, refits, levels):
    history = History.of_frame(reading.read(table))
    origins = Origins.of(history, *sizes)
    if not origins.able.any():
        return head

    def fit(model, known, window):
        learned = found.get((model.name, window))
        if learned is None:
            return model.copy()._refit(known)
        return model.copy()._recalled(known, learned, panels[model.name, window])

    with share():
        return as_table(history, origins, forecasts(models, history, origins, np.array(refits), fit, None, levels))


def _horizon(model: Forecaster, h, future) -> int:
    if future is not None and not model.future_covariates:
        raise ValueError(f"expected no future=, as {model.name} has no future_covariates")
    if of_dask(future):
        raise TypeError(
            f"expected future= as a table in memory; got a {type(future).__name__} of Dask: compute() it first"
        )
    return whole(h, "h", 1)


def _check_no_static(static) -> None:
    if static is not None:
        raise ValueError("expected no static= with series in partitions: give the table in memory, y.compute()")


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
        name = getattr(function, "__name__", "attribute")  # of attrgetter there is none
        return {self.tasks.key(name): (_called, (function, block, *arguments)) for block in self.held}


def _history(table, reading: Reading, model: Together) -> History:
    return model._beside(History.of_frame(reading.read(table)))._replace(frame=None)


def _called(function: Callable, *arguments: Any):
    with share():
        return function(*arguments)
