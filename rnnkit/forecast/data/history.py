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
    """A series that a model can't be fitted to.

    Attributes
    ----------
    series : int
        Its place.
    """

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
    def of(cls, y, id="unique_id", time="ds", target="y", freq=None, covariates: Sequence[str] = ()) -> History:
        """Of what a user gives: arrays or a table, of which only these other columns are read."""
        if isinstance(y, SeriesFrame):
            return cls.of_frame(y)
        if of_dask(y):
            raise TypeError(f"expected series in memory; got a {type(y).__name__} of Dask: compute() it first")
        if frames.is_frame(y):
            return cls.of_frame(frames.read(y, frames.Columns(id, time, target), freq, covariates))
        panel = Panel(y)
        return cls(panel.values, panel.lengths, panel.single)

    @classmethod
    def of_frame(cls, frame: SeriesFrame) -> History:
        """Of a table that was read."""
        panel = Panel(frame.series)
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
    def positive(self) -> np.ndarray:
        """Of which series all values are positive ``(N,)``: their forecasts don't go below 0."""
        return np.nanmin(self.values, axis=1) > 0
