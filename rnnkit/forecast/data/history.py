"""Series as forecasters take them, from arrays or from a table."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from rnnkit.arrays import of_dask
from rnnkit.forecast.data import frames, frequencies
from rnnkit.forecast.data.covariates import Covariates
from rnnkit.forecast.data.frames import SeriesFrame
from rnnkit.forecast.data.panel import padded


class UnfitSeries(ValueError):
    """An error that names a series, by its index, that a model can't be fitted to."""

    def __init__(self, series: int, text: str):
        super().__init__(text)
        self.series = series


class History(NamedTuple):
    """The series that a forecaster was given."""

    values: np.ndarray  # (N, T), NaN in gaps and after a series' end
    lengths: np.ndarray  # (N,)
    single: bool = False  # a series by itself, not a list
    frame: SeriesFrame | None = None  # the table, if there is one
    season: int | None = None  # inferred from the times
    covariates: Covariates | None = None

    @classmethod
    def of(cls, y, x=None, id="unique_id", time="ds", target="y", freq=None, covariates: Sequence[str] = ()) -> History:
        """Read a user's series: arrays, or a table with these covariate columns."""
        if x is not None and (isinstance(y, SeriesFrame) or frames.is_frame(y)):
            raise ValueError("expected no x= with a table; past_covariates names the columns of it that are read")
        if isinstance(y, SeriesFrame):
            return cls.of_frame(y)
        if of_dask(y):
            raise TypeError(f"expected series in memory; got a {type(y).__name__} of Dask: compute() it first")
        if frames.is_frame(y):
            return cls.of_frame(frames.read(y, frames.Columns(id, time, target), freq, covariates))
        values, lengths, single, beside = padded(y, x)
        known = None if beside is None else Covariates.none(len(values))._replace(past=beside)
        return cls(values, lengths, single, covariates=known)

    @classmethod
    def of_frame(cls, frame: SeriesFrame) -> History:
        """Make a history of a table of series."""
        values, lengths, _, _ = padded(frame.series)
        return cls(values, lengths, False, frame, frequencies.season(frame.timelines.frequency))

    def until(self, rows, ends) -> History:
        """Return some series, each up to a step; of the table, only the season is kept."""
        values = self.values[rows, : ends.max(initial=1)].copy()
        values[np.arange(values.shape[1]) >= ends[:, None]] = np.nan
        covariates = None if self.covariates is None else self.covariates.until(rows, ends)
        return History(values, ends, season=self.season, covariates=covariates)

    @contextlib.contextmanager
    def naming(self, rows=None) -> Iterator[None]:
        """Convert an UnfitSeries to a ValueError that names the series; `rows` are the indices of the fitted series."""
        try:
            yield
        except UnfitSeries as error:
            place = error.series if rows is None else int(rows[error.series])
            label = f"series {place}" if self.frame is None else self.frame.label(place)
            raise ValueError(f"{label}: {error}") from None

    @property
    def known_besides(self) -> Covariates:
        """The covariates; empty ones if there are none."""
        return Covariates.none(len(self.lengths)) if self.covariates is None else self.covariates

    @property
    def beside(self) -> np.ndarray:
        """The past covariates of each step ``(N, T, P)``."""
        past, (count, steps) = self.known_besides.past, self.values.shape
        return past[:, :steps] if past.shape[2] else np.zeros((count, steps, 0))

    @property
    def known(self) -> np.ndarray:
        """A mask ``(N, T)`` of the steps that have a value and all past covariates."""
        return ~np.isnan(self.values) & ~np.isnan(self.beside).any(axis=2)

    @property
    def times(self) -> np.ndarray:
        """The number of each step ``(N, T)``."""
        return np.broadcast_to(np.arange(self.values.shape[1]), self.values.shape)

    @property
    def positive(self) -> np.ndarray:
        """A mask ``(N,)`` of the series whose values are all positive; their forecasts don't go below 0."""
        return np.nanmin(self.values, axis=1) > 0
