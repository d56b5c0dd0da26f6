"""Series as forecasters take them, from arrays or from a table."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from rnnkit.arrays import of_dask, refuse, with_gaps
from rnnkit.forecast.data import frames, frequencies
from rnnkit.forecast.data.covariates import Covariates, cut
from rnnkit.forecast.data.frames import SeriesFrame


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
    seasons: tuple[int, ...] = ()  # inferred from the times
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
        values, lengths = frame.columns[frame.names.target], frame.timelines.lengths
        return cls(values, lengths, False, frame, frequencies.seasons(frame.timelines.frequency))

    def more(self, y) -> list[np.ndarray]:
        """Read further values of each series, from arrays."""
        if frames.is_frame(y):
            raise ValueError("expected arrays, as in fit; got a table")
        more = [column(np.atleast_1d(with_gaps(part, "y")), "y", 1) for part in ([y] if self.single else y)]
        if len(more) != len(self.lengths):
            raise ValueError(f"expected values for {len(self.lengths)} series, as in fit; got {len(more)}")
        return more

    def appended(self, y, x=None) -> History:
        """Return series that are arrays with further values and features."""
        values, given = self.more(y), [] if x is None else [x] if self.single else x
        features = [column(one, "x", 2) for one in given]
        check_features(max((one.shape[1] for one in features), default=0), self.beside.shape[2])

        def longer(old, new):
            known = zip(old, self.lengths, new, strict=True)
            return [np.concatenate([row[:length], one]) for row, length, one in known]

        longer_x = longer(self.beside, features) if features else None
        return History.of(longer(self.values, values), longer_x)._replace(single=self.single)

    def until(self, rows, ends) -> History:
        """Return some series, each up to a step; of the table, only the seasons are kept."""
        values = cut(self.values[rows], ends)
        covariates = None if self.covariates is None else self.covariates.until(rows, ends)
        return History(values, ends, seasons=self.seasons, covariates=covariates)

    @contextlib.contextmanager
    def naming(self, rows=None) -> Iterator[None]:
        """Convert an UnfitSeries to a ValueError that names the series; `rows` are the indices of the fitted series."""
        try:
            yield
        except UnfitSeries as error:
            place = error.series if rows is None else int(rows[error.series])
            raise ValueError(f"{self.label(place)}: {error}") from None

    def label(self, series: int) -> str:
        """Return the name of a series for errors."""
        return f"series {series}" if self.frame is None else self.frame.label(series)

    def at(self, series: int, steps) -> np.ndarray:
        """Return the times of a series' steps; their numbers, where there is no table."""
        return steps if self.frame is None else self.frame.timelines.at(series, steps)

    def title(self, series: int) -> str:
        """Return the name of a series for pictures; empty for a single one without an id."""
        if self.frame is None:
            return "" if self.single else f"series {series}"
        one = self.frame.ids[series]
        return ", ".join(map(str, one)) if isinstance(one, tuple) else "" if one is None else str(one)

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
    def nonnegative(self) -> np.ndarray:
        """A mask ``(N,)`` of the series of positive values and zeros; their forecasts don't go below 0."""
        return (np.nanmin(self.values, axis=1, initial=np.inf) >= 0) & (self.values > 0).any(axis=1)


def padded(y: Any, x: Any = None) -> tuple[np.ndarray, np.ndarray, bool, np.ndarray | None]:
    """Read arrays: one series ``(T,)`` or several, and features for each step, ``(T,)`` or ``(T, F)`` each.

    Return the values ``(B, T)``, NaN in gaps and after a series' end; the lengths ``(B,)``; whether `y` is a series by
    itself; and the features ``(B, T, F)``.
    """
    for value, what in ((y, "y"), (x, "x")):
        if not isinstance(value, (list, tuple, np.ndarray)):
            refuse(value, what)  # first, as refused objects may lack rows
    single = len(y) > 0 and np.ndim(y[0]) == 0 if isinstance(y, (list, tuple)) else np.ndim(y) != 2
    series = [column(one, "y", 1) for one in ([y] if single else y)]
    if not series:
        raise ValueError("expected at least one series; got an empty list")
    lengths, values = np.array([len(one) for one in series]), frames.padded(series)
    if np.isnan(values).all(axis=1).any():
        raise ValueError("expected a step with a value in every series; got one without any")
    if x is None:
        return values, lengths, single, None
    features = [column(one, "x", 2) for one in ([x] if single else x)]
    if [len(one) for one in features] != lengths.tolist() or len({one.shape[1] for one in features}) > 1:
        shapes = ", ".join(str(one.shape) for one in features[:3])
        raise ValueError(
            f"expected x with one row per step of y ({lengths[:3].tolist()}) and the same features for each "
            f"series; got {shapes}"
        )
    return values, lengths, single, frames.padded(features)


def column(series: Any, name: str, rank: int) -> np.ndarray:
    """Check one series ``(T,)``, or its features ``(T, F)``."""
    array = with_gaps(series, name)
    if rank == 2 and array.ndim == 1:
        array = array[:, None]
    if array.ndim != rank:
        shape = "(time,)" if rank == 1 else "(time, features)"
        raise ValueError(f"expected each series of {name} of shape {shape}; got {array.shape}")
    if np.isinf(array).any():
        raise ValueError(f"expected {name} to be finite, NaN where a value is missing; got an infinite value")
    return array


def check_features(found: int, fitted: int) -> None:
    """Raise a ValueError unless each value has as many features as in `fit`."""
    if found != fitted:
        raise ValueError(f"expected x with {fitted} features per step, as in fit; got {found}")


def handler_of(y, module: str):
    """Return the module of `rnnkit.distributed` for partitions of Dask, or a list of tables; None in memory."""
    first = y[0] if isinstance(y, (list, tuple)) and len(y) else y
    if of_dask(first) or (first is not y and frames.is_frame(first)):
        return importlib.import_module(f"rnnkit.distributed.{module}")
    return None
