"""Forecasters of panels in partitions, for models that fit each series by itself: a partition at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from rnnkit.arguments import whole
from rnnkit.distributed.tables import Table, gathered, read
from rnnkit.distributed.threads import share
from rnnkit.forecast.data.frames import Columns, SeriesFrame
from rnnkit.forecast.data.history import History
from rnnkit.forecast.models.forecaster import Forecaster, checked_levels
from rnnkit.forecast.scoring.validation import Origins, check_long_enough, validated


class Partitions(NamedTuple):
    """What a forecaster that was fitted to partitions forecasts from."""

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


def fitted(model: Forecaster, y, static, names: Columns, freq) -> Partitions:
    """Series in partitions, checked: every fault of times and values is found before any work.

    Raises
    ------
    ValueError
        For a model that learns from all series together, and as `gathered`.
    """
    _check_each_by_itself([model])
    if static is not None:
        raise ValueError(f"expected no static=, as {model.name} reads no covariates; Auto and GlobalRNN do")
    return Partitions(gathered(y, names, freq))


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
    _check_each_by_itself(models)
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
    return table.mapped(_validated, columns, copies, table.names, table.freq, sizes, refits.tolist(), levels)


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


def _validated(table, head, models, names: Columns, freq, sizes, refits, levels):
    history = History.of_frame(read(table, names, freq))
    origins = Origins.of(history, *sizes)
    if not origins.able.any():
        return head
    with share():
        return validated(models, history, origins, np.array(refits), levels)


def _horizon(model: Forecaster, h, future) -> int:
    if future is not None:
        raise ValueError(f"expected no future=, as {model.name} has no future_covariates")
    return whole(h, "h", 1)


def _check_each_by_itself(models: Sequence[Any]) -> None:
    for model in models:
        if type(model)._fit is not Forecaster._fit:
            raise ValueError(
                f"expected a model that fits each series by itself for series in partitions, such as Theta or "
                f"ExponentialSmoothing; {model.name} learns from all series together: give it the table in memory, "
                "y.compute()"
            )
