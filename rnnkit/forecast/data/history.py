"""The series that a forecaster is given, whatever they came in: arrays or a table."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from rnnkit.arrays import of_dask
from rnnkit.forecast.data import frames, frequencies
from rnnkit.forecast.data.covariates import Covariates
from rnnkit.forecast.data.frames import SeriesFrame
from rnnkit.forecast.data.panel import Panel


class UnfitSeries(ValueError):
    """A series, by its place, that a model can't be fitted to."""

    def __init__(self, series: int, text: str):
        super().__init__(text)
        self.series = series


class History(NamedTuple):
    """The series that a forecaster was given."""

    values: np.ndarray  # (N, T), NaN in gaps and after a series' end
    lengths: np.ndarray  # (N,)
    single: bool = False  # one series, not a list of one
    frame: SeriesFrame | None = None  # where they came in a table
    season: int | None = None  # that their times suggest
    covariates: Covariates | None = None

    @classmethod
    def of(cls, y, x=None, id="unique_id", time="ds", target="y", freq=None, covariates: Sequence[str] = ()) -> History:
        """Of what a user gives: arrays, or a table of which only these other columns are read."""
        if x is not None and (isinstance(y, SeriesFrame) or frames.is_frame(y)):
            raise ValueError("expected no x= with a table; past_covariates names the columns of it that are read")
        if isinstance(y, SeriesFrame):
            return cls.of_frame(y)
        if of_dask(y):
            raise TypeError(f"expected series in memory; got a {type(y).__name__} of Dask: compute() it first")
        if frames.is_frame(y):
            return cls.of_frame(frames.read(y, frames.Columns(id, time, target), freq, covariates))
        values, lengths, single, beside = Panel.of(y, x)
        known = None if beside is None else Covariates.none(len(values))._replace(past=beside)
        return cls(values, lengths, single, covariates=known)

    @classmethod
    def of_frame(cls, frame: SeriesFrame) -> History:
        """Of a table that was read."""
        panel = Panel.of(frame.series)
        return cls(panel.values, panel.lengths, False, frame, frequencies.season(frame.timelines.frequency))

    def until(self, rows, ends) -> History:
        """Some series, each up to a step; of the table they came in the season is left."""
        values = self.values[rows, : ends.max(initial=1)].copy()
        values[np.arange(values.shape[1]) >= ends[:, None]] = np.nan
        covariates = None if self.covariates is None else self.covariates.until(rows, ends)
        return History(values, ends, season=self.season, covariates=covariates)

    @contextlib.contextmanager
    def naming(self, rows=None) -> Iterator[None]:
        """Name the series that a model can't be fitted to; `rows` are the places of those that it is fitted to."""
        try:
            yield
        except UnfitSeries as error:
            place = error.series if rows is None else int(rows[error.series])
            label = f"series {place}" if self.frame is None else self.frame.label(place)
            raise ValueError(f"{label}: {error}") from None

    @property
    def known_besides(self) -> Covariates:
        """The covariates, none of them where there are none."""
        return Covariates.none(len(self.lengths)) if self.covariates is None else self.covariates

    @property
    def beside(self) -> np.ndarray:
        """What else is known up to each step ``(N, T, P)``."""
        past, (count, steps) = self.known_besides.past, self.values.shape
        return past[:, :steps] if past.shape[2] else np.zeros((count, steps, 0))

    @property
    def known(self) -> np.ndarray:
        """Where a step can be read ``(N, T)``: its value is there, and all that is `beside` it."""
        return ~np.isnan(self.values) & ~np.isnan(self.beside).any(axis=2)

    @property
    def times(self) -> np.ndarray:
        """The number of each step ``(N, T)``."""
        return np.broadcast_to(np.arange(self.values.shape[1]), self.values.shape)

    @property
    def positive(self) -> np.ndarray:
        """Of which series all values are positive ``(N,)``: their forecasts don't go below 0."""
        return np.nanmin(self.values, axis=1) > 0
