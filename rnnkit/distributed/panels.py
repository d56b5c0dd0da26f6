"""Forecasters of panels in partitions: models that fit each series by itself, and those that learn from all."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from rnnkit.arguments import whole
from rnnkit.distributed.partition_blocks import PartitionBlocks
from rnnkit.distributed.tables import Table, gathered, read
from rnnkit.distributed.threads import share
from rnnkit.forecast.data.frames import Columns, SeriesFrame
from rnnkit.forecast.data.history import History
from rnnkit.forecast.models.forecaster import Forecaster, checked_levels
from rnnkit.forecast.models.together import Together
from rnnkit.forecast.scoring.validation import Origins, check_long_enough, validated


class Partitions(NamedTuple):
    """What a forecaster that fits each series by itself forecasts from, once it was given partitions."""

    table: Table

    def predict(self, model: Forecaster, h: int, future, level):
        """The dask DataFrame that `Forecaster.predict` returns."""
        h, levels = _horizon(model, h, future), checked_levels(level)
        columns = model._band_names(levels)
        return self.table.mapped(_predicted, columns, model.copy(), self.table.names, self.table.freq, h, levels)

    def predict_quantiles(self, model: Forecaster, h: int, future, probabilities):
        """The dask DataFrame that `Forecaster.predict_quantiles` returns."""
        h, columns = _horizon(model, h, future), model._quantile_names(probabilities)
        asked = probabilities.tolist()
        return self.table.mapped(_quantiles, columns, model.copy(), self.table.names, self.table.freq, h, asked)


class Learned(NamedTuple):
    """What a forecaster that has learned from all partitions forecasts from."""

    table: Table
    found: list  # of the series of each partition with rows
    panel: dict[str, np.ndarray]  # of all series

    def predict(self, model: Together, h: int, future, level):
        """The dask DataFrame that `Forecaster.predict` returns."""
        h, levels = _horizon(model, h, future), checked_levels(level)
        return self._asked(model, model._band_names(levels), _said, h, levels)

    def predict_quantiles(self, model: Together, h: int, future, probabilities):
        """The dask DataFrame that `Forecaster.predict_quantiles` returns."""
        h, columns = _horizon(model, h, future), model._quantile_names(probabilities)
        return self._asked(model, columns, _said_quantiles, h, probabilities.tolist())

    def _asked(self, model, columns, function, *arguments):
        table = self.table
        return table.beside(
            function, columns, self.found, model.copy(), self.panel, table.names, table.freq, *arguments
        )


def fitted(model: Forecaster, y, static, names: Columns, freq, progress=None) -> Partitions | Learned:
    """Series in partitions, checked: every fault of times and values is found before any work.

    Raises
    ------
    ValueError
        For covariates, and as `gathered`.
    """
    _check_no_covariates([model])
    if static is not None:
        raise ValueError(f"expected no static= with series in partitions, where {model.name} reads no covariates")
    table = gathered(y, names, freq)
    if not isinstance(model, Together):
        return Partitions(table)
    with contextlib.closing(PartitionBlocks.of(table)) as blocks:
        return Learned(table, *model._learned(blocks, progress))


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
):
    """The dask DataFrame that `rnnkit.forecast.cross_validation` returns for series in partitions."""
    _check_no_covariates(models)
    sizes = h, n_windows, step_size
    table = gathered(y, Columns(id, time, target), freq, _Windows(*sizes))
    some, changed, longest = (np.array(found) for found in zip(*table.measured, strict=True))
    last = _last(*sizes)
    check_long_enough(some.any(axis=0), int(longest.max()), last)
    refits = changed.any(axis=0) | refit
    levels = None if level is None else checked_levels(level)
    columns = [name for one in models for name in one._band_names(checked_levels(level or one.level))]
    times = {"cutoff": table.head[time], target: np.zeros(0)}
    table = table._replace(head=table.head.assign(**times))
    copies = [model.copy() for model in models]
    if together := [one for one in copies if isinstance(one, Together)]:
        places = [(model, window) for model in together for window in np.flatnonzero(refits).tolist()]
        with contextlib.closing(PartitionBlocks.of(table)) as blocks:
            learned = {
                (model.name, window): model._learned(blocks.made(_known_at, sizes, window)) for model, window in places
            }
        own = [{place: found[part] for place, (found, _) in learned.items()} for part in range(len(table.filled))]
        panels = {place: panel for place, (_, panel) in learned.items()}
    else:
        own, panels = [{}] * len(table.filled), {}
    fixed = copies, panels, table.names, table.freq, sizes, refits.tolist(), levels
    return table.beside(_validated, columns, own, *fixed)


@dataclass(frozen=True)
class _Windows:
    """Finds which windows the series of a partition have, in which there are others, and the longest series."""

    h: int
    n_windows: int
    step_size: int | None

    def __call__(self, frame: SeriesFrame) -> tuple[Any, np.ndarray, int]:
        origins = Origins.of(History.of_frame(frame), self.h, self.n_windows, self.step_size)
        return origins.able.any(axis=1), origins.changed, origins.longest


def _last(h, n_windows, step_size) -> np.ndarray:
    return h + (h if step_size is None else step_size) * np.arange(n_windows - 1, -1, -1)


def _predicted(table, head, model, names: Columns, freq, h, levels):
    with share():
        return _fitted(table, model, names, freq).predict(h, level=levels)


def _quantiles(table, head, model, names: Columns, freq, h, probabilities):
    with share():
        return _fitted(table, model, names, freq).predict_quantiles(h, probabilities)


def _fitted(table, model, names: Columns, freq) -> Forecaster:
    return model.copy().fit(table, id=names.id, time=names.time, target=names.target, freq=freq)


def _said(table, head, found, model, panel, names: Columns, freq, h, levels):
    with share():
        return _recalled(table, found, model, panel, names, freq).predict(h, level=levels)


def _said_quantiles(table, head, found, model, panel, names: Columns, freq, h, probabilities):
    with share():
        return _recalled(table, found, model, panel, names, freq).predict_quantiles(h, probabilities)


def _recalled(table, found, model: Together, panel, names: Columns, freq) -> Together:
    return model.copy()._recalled(History.of_frame(read(table, names, freq)), found, panel)


def _known_at(history: History, sizes, window: int) -> History:
    """What is known at a window of the series that have one."""
    origins = Origins.of(history, *sizes)
    rows = np.flatnonzero(origins.able[window])
    return history.until(rows, origins.ends[window, rows])


def _validated(table, head, found, models, panels, names: Columns, freq, sizes, refits, levels):
    history = History.of_frame(read(table, names, freq))
    origins = Origins.of(history, *sizes)
    if not origins.able.any():
        return head

    def fit(model, known, window):
        learned = found.get((model.name, window))
        if learned is None:
            return model.copy()._refit(known)
        return model.copy()._recalled(known, learned, panels[model.name, window])

    with share():
        return validated(models, history, origins, np.array(refits), levels, fit)


def _horizon(model: Forecaster, h, future) -> int:
    if future is not None:
        raise ValueError(f"expected no future=, as {model.name} has no future_covariates")
    return whole(h, "h", 1)


def _check_no_covariates(models: Sequence[Any]) -> None:
    for model in models:
        if named := [*model.past_covariates, *model.future_covariates]:
            raise ValueError(
                f"expected no covariates with series in partitions; {model.name} reads {', '.join(named)}: give it the "
                "table in memory, y.compute()"
            )
