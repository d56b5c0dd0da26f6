"""Covariates of series: static, known up to now, and known ahead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rnnkit.forecast.data.frames import SeriesFrame


class Moments(NamedTuple):
    """Moments of the values of each of C columns ``(C,)``; zeros for a column without values."""

    known: np.ndarray  # number of values
    mean: np.ndarray
    variance: np.ndarray
    least: np.ndarray
    most: np.ndarray

    @classmethod
    def together(cls, parts: Sequence[Moments]) -> Moments:
        """Combine moments of parts in order (Chan, Golub, LeVeque 1983, "Algorithms for computing the variance")."""
        total = parts[0]
        for part in parts[1:]:
            known = total.known + part.known
            share = part.known / np.maximum(known, 1)
            off = part.mean - total.mean
            variance = total.variance + share * (part.variance - total.variance + (1 - share) * off**2)
            least = np.where(part.known * total.known, np.minimum(total.least, part.least), total.least + part.least)
            most = np.where(part.known * total.known, np.maximum(total.most, part.most), total.most + part.most)
            total = cls(known, total.mean + share * off, variance, least, most)
        return total

    def scale(self) -> tuple[np.ndarray, np.ndarray]:
        """Return means and standard deviations; 1 for a constant column."""
        return self.mean, np.where(self.most > self.least, np.sqrt(self.variance), 1.0)


class Covariates(NamedTuple):
    """Covariates of N series."""

    past: np.ndarray  # (N, T, P), known up to each step; NaN where missing
    future: np.ndarray  # (N, T', K), known ahead
    static: np.ndarray  # (N, S)
    names: tuple[str, ...] = ()  # of the static covariates

    @classmethod
    def none(cls, count: int) -> Covariates:
        """Make the covariates of `count` series without any."""
        return cls(np.zeros((count, 0, 0)), np.zeros((count, 0, 0)), np.zeros((count, 0)))

    @classmethod
    def of_frame(cls, frame: SeriesFrame, past: Sequence[str], future: Sequence[str], static, names=()) -> Covariates:
        """Read covariates from these columns of a table; `static` is ``(N, S)``, named `names`."""
        return cls(_together(frame, past), _together(frame, future), static, tuple(names))

    def of_rows(self, rows) -> Covariates:
        """Return the covariates of some series."""
        return self._replace(past=self.past[rows], future=self.future[rows], static=self.static[rows])

    def until(self, rows, ends) -> Covariates:
        """Return the covariates of some series, each up to a step; those known ahead stay."""
        found = self.of_rows(rows)
        return found._replace(past=cut(found.past, ends))

    def so_far(self, lengths) -> Covariates:
        """Return the covariates without those of the steps after each series' end."""
        return self._replace(future=cut(self.future, lengths))

    def with_future(self, lengths, ahead) -> Covariates:
        """Return the covariates with columns ``(N, H, K)`` appended after each series' end."""
        return self._replace(future=continued(cut(self.future, lengths), lengths, ahead))

    def lacks(self, lengths, h: int) -> int | None:
        """Return the first series that lacks a column at one of the `h` steps after its end, or None."""
        if not self.future.shape[2]:
            return None
        longer = np.pad(self.future, ((0, 0), (0, h), (0, 0)), constant_values=np.nan)
        ahead = np.take_along_axis(longer, (lengths[:, None] + np.arange(h))[..., None], axis=1)
        lacking = np.isnan(ahead).any(axis=(1, 2))
        return int(np.argmax(lacking)) if lacking.any() else None

    def moments(self) -> Moments:
        """Return the moments of each covariate over all series ``(P + K + S,)``."""
        columns = [*np.moveaxis(self.past, 2, 0), *np.moveaxis(self.future, 2, 0), *self.static.T]
        known = [column[~np.isnan(column)] for column in columns]
        some = [one if len(one) else np.zeros(1) for one in known]
        found = ([len(one) for one in known], *([of(one) for one in some] for of in (np.mean, np.var, np.min, np.max)))
        return Moments(*(np.array(one, np.float64) for one in found))

    def standardised(self, centre, width) -> Covariates:
        """Return the covariates in units of `width` around `centre`, 0 where unknown."""
        p, k = self.past.shape[2], self.future.shape[2]
        units = zip(self[:3], np.split(centre, [p, p + k]), np.split(width, [p, p + k]), strict=True)
        return Covariates(*(np.nan_to_num((one - c) / w) for one, c, w in units))

    def width(self, leads: int) -> int:
        """Return the number of features F that `at_steps` gives for a step."""
        return self.past.shape[2] + leads * self.future.shape[2] + self.static.shape[1]

    def at_steps(self, start: int, stop: int, leads: int) -> np.ndarray:
        """Return the covariates of steps, those known ahead for each lead ``(N, stop - start, F)``."""
        longer = lambda array, steps: np.pad(array, ((0, 0), (0, max(steps - array.shape[1], 0)), (0, 0)))
        future = longer(self.future, stop + leads)
        ahead = [future[:, start + 1 + lead : stop + 1 + lead] for lead in range(leads)]
        static = np.repeat(self.static[:, None], stop - start, axis=1)
        return np.concatenate([longer(self.past, stop)[:, start:stop], *ahead, static], axis=2)


def cut(array: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return series ``(N, T, …)`` up to their steps `ends` ``(N,)``, NaN after these."""
    found = array[:, : ends.max(initial=1)].copy()
    found[np.arange(found.shape[1]) >= ends[:, None]] = np.nan
    return found


def continued(array: np.ndarray, lengths: np.ndarray, ahead: np.ndarray) -> np.ndarray:
    """Return series ``(N, T, …)`` with the values ``(N, H, …)`` after their ends."""
    longer = np.full((len(array), array.shape[1] + ahead.shape[1], *array.shape[2:]), np.nan)
    longer[:, : array.shape[1]] = array
    longer[np.arange(len(array))[:, None], lengths[:, None] + np.arange(ahead.shape[1])] = ahead
    return longer


def _together(frame: SeriesFrame, names: Sequence[str]) -> np.ndarray:
    """Stack columns of a table as ``(N, T, K)``, NaN after a series' end; a column of text is one for each text."""
    found = [frame.expanded(name, frame.columns[name]) for name in names]
    return np.concatenate([np.zeros((len(frame), int(frame.timelines.lengths.max()), 0)), *found], axis=2)
