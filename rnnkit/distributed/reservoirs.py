"""Echo state networks fitted to chunked series in one pass of the reservoir, with sums added in a tree."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnkit.distributed import stretches
from rnnkit.distributed.blocks import part
from rnnkit.distributed.chunks import checked, is_chunked
from rnnkit.distributed.graphs import Ref, computed, shipped_in_graph, spans, task, token, tree
from rnnkit.distributed.stretches import Carried, Measured, Place, Reading, Steps
from rnnkit.forecast.data.history import History
from rnnkit.forecast.fitting.readout import mostly_whole
from rnnkit.forecast.fitting.scale import Scale
from rnnkit.forecast.fitting.season import period_of
from rnnkit.forecast.models.direct import ForecastState
from rnnkit.forecast.models.echo_state import ESN, Task
from rnnkit.layers.rnn import RNN


def fitted(network: ESN, y, x, names, freq, progress) -> None:
    """Fit a network to a dask array ``(T,)`` or ``(B, T)``; a TypeError for others, or `x`; a ValueError as of `fit`.

    The values are read once for trends and spreads, a second time for the period if there is a season, and a last time
    by the reservoir, whose states pass from a chunk of steps to the next. Each chunk gives its normal equations in
    float64, which are added in an order that the numbers of chunks alone decide, and solved in this process. No values
    are kept, only the states for forecasts.
    """
    series = _series(y, x)
    work = network._task(series.shape[1], network.washout is not None)
    grid = _Grid(series, work)
    measured = grid.measured()
    scales = [stretches.scale_of([one.stretch for one in row]) for row in measured]
    layer, period = network._layer_reading(0), grid.period(scales, network.season) if network.season else 0.0
    if not layer.built:
        layer.build((None, None, 1))
    parts, carried = grid.run(network, layer, period, scales, measured)
    found = network._solved(parts, work, 1) | {"centre": np.zeros(0), "width": np.zeros(0), "period": np.array(period)}
    times = np.concatenate([one.last for one in carried])
    read = tuple(np.concatenate([getattr(one, part) for one in carried]) for part in ("inputs", "states"))
    history = History(np.zeros((len(times), 0)), np.full(len(times), work.length), y.ndim == 1)
    network.layer, network._ends = layer, (history, ForecastState(times, read))
    arrays = [scale.arrays() for scale in scales]
    network._model = {name: np.concatenate([one[name] for one in arrays]) for name in arrays[0]}
    network._panel, network._history = found, history


def _series(y, x):
    """Return series in rows, in chunks with at least one step."""
    if not is_chunked(y):
        raise TypeError(
            f"expected series in chunks as a dask array, got {type(y).__name__}; dask.array.concatenate makes one of "
            "several parts, NaN behind the ends of shorter series"
        )
    if x is not None:
        raise TypeError("expected no x with series in chunks; compute() both where an x is needed")
    y = checked(y, "y")
    if y.ndim not in (1, 2) or not y.size:
        raise ValueError(f"expected y of shape (time,) or (series, time), got {y.shape}")
    rows = y[None] if y.ndim == 1 else y
    return rows.rechunk(tuple(tuple(size for size in sizes if size) for sizes in rows.chunks))


class _Grid:
    """The chunks of series, by blocks of rows and stretches of steps, and their tasks."""

    def __init__(self, series, work: Task):
        self.series, self.work = series, work
        self.rows, self.stretches = spans(series.chunks[0]), spans(series.chunks[1])
        self.name = f"reservoir-{token(series.name, *work)}"
        self.tasks: dict[Any, Any] = {}
        self.steps = [[self._steps(i, j) for j in range(len(self.stretches))] for i in range(len(self.rows))]

    def _steps(self, i: int, j: int) -> str:
        """Return the key of a chunk with the target values after it."""
        key, after, found = f"{self.name}-steps-{i}-{j}", j + 1, []
        while after < len(self.stretches) and self.stretches[after][0] - self.stretches[j][1] < self.work.leads:
            head = f"{self.name}-head-{i}-{after}"
            self.tasks[head] = task(head, stretches.head, Ref((self.series.name, i, after)), self.work.leads)
            found.append(Ref(head))
            after += 1
        place = Place(self.rows[i][0], self.stretches[j][0], self.work.leads, self.work.washout)
        self.tasks[key] = task(key, Steps.of, Ref((self.series.name, i, j)), place, *found)
        return key

    def _computed(self, name: str, tasks: dict, keys: list, *dependencies) -> list:
        return computed(f"{self.name}-{name}", self.tasks | tasks, [self.series, *dependencies], keys)

    def measured(self) -> list[list[Measured]]:
        """Compute the scale sums and the counts of training steps of each chunk."""
        tasks: dict[str, Any] = {}
        for row in self.steps:
            tasks |= {f"{key}-measured": task(f"{key}-measured", stretches.measured, Ref(key)) for key in row}
        found = iter(self._computed("measured", tasks, list(tasks)))
        by_row: list[list[Measured]] = [[next(found) for _ in row] for row in self.steps]
        for (first, _), measured in zip(self.rows, by_row, strict=True):
            empty = np.sum([one.stretch.values for one in measured], axis=0) == 0
            if empty.any():
                raise ValueError(
                    "expected a step with a value in every series; got one without any, in row "
                    f"{first + int(np.argmax(empty))}"
                )
        return by_row

    def period(self, scales: list[Scale], season: int) -> float:
        """Compute the season's period; see `rnnkit.forecast.fitting.season.refined_period`."""
        seasons = self.work.length // season
        if seasons < 3:
            return float(season)
        tasks, level = {}, []
        for row, scale in zip(self.steps, scales, strict=True):
            keys = [f"{key}-folded-{season}" for key in row]
            for new, key in zip(keys, row, strict=True):
                tasks[new] = task(new, stretches.folded, Ref(key), scale, season)
            level.append(f"{row[0]}-power-{season}")
            tasks[level[-1]] = task(level[-1], stretches.power, season, seasons, *map(Ref, keys))
        adding, total = tree(level, stretches.added)
        return float(period_of(self._computed("period", tasks | adding, [total])[0], season, seasons))

    def run(
        self, network: ESN, layer: RNN, period: float, scales: list[Scale], measured: list[list[Measured]]
    ) -> tuple[list, list[Carried]]:
        """Compute the sums of all quarters and of the rest, and the state of the reservoir at each row's end."""
        shipped, collection = shipped_in_graph(layer)
        whole = sum(int(one.whole.sum()) for row in measured for one in row)
        by_whole = mostly_whole(sum(int(one.rows.sum()) for row in measured for one in row), whole)
        reading = Reading(period, network._harmonics, network._width_of_readout(1))
        mark = token(shipped, *reading, by_whole)
        tasks: dict[Any, Any] = {}
        level, ends = [], []
        for keys, scale, row in zip(self.steps, scales, measured, strict=True):
            counts = np.array([one.whole if by_whole else one.rows for one in row])
            before, carried = np.cumsum(counts, axis=0) - counts, None
            for key, done in zip(keys, before, strict=True):
                run, end, own = (f"{key}-{what}-{mark}" for what in ("run", "carried", "sums"))
                share = stretches.Share(by_whole, done, counts.sum(axis=0))
                tasks[run] = task(run, stretches.run, Ref(key), Ref(collection.key), reading, scale, share, carried)
                tasks[end], tasks[own] = task(end, part, Ref(run), 0), task(own, part, Ref(run), 1)
                carried = Ref(end)
                level.append(own)
            ends.append(end)
        adding, total = tree(level, stretches.added_parts)
        parts, *found = self._computed("run", tasks | adding, [total, *ends], collection)
        return stretches.all_parts(parts, reading.features, self.work.leads), found
