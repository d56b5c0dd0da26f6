"""Seasons taken out of many series: profiles that change from cycle to cycle, of one season after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from rnnkit.arguments import whole

LONGEST = 60  # steps of a season that models take in themselves, if it is the only one
_KEPT = 0.8  # weight of a cycle, relative to the one after it
_PASSES = 3
_GAIN = 1.02  # most mean absolute error by a profile of earlier cycles, relative to that without one
LEAST_GAIN = 0.97  # the same, where nothing else says that there is a season
BETTER = 0.95  # most mean absolute error by ratios or roots, relative to that by differences, for these to be taken
_LOWEST = 0.4  # least ratio of a season; where it is lower, the noise of small values would count as much as others'
_RATIOS, _ROOTS = 1, 2  # kinds of seasons: added to logarithms and to square roots; those of kind 0 to the values


def checked_season(season: Any) -> int | list[int] | None:
    """Return the steps of a season, or of several in rising order; a ValueError for what is no whole number."""
    if season is None or np.ndim(season) == 0:
        return None if season is None else whole(season, "season", 1)
    found = sorted({whole(one, "season", 2 if len(season) > 1 else 1) for one in season})
    if not found:
        raise ValueError("expected season to be a number of steps, several of them, or None; got none")
    return found if len(found) > 1 else found[0]


def periods_of(season: Any) -> tuple[int, ...]:
    """Return the steps of each season; (1,) for None."""
    return tuple(int(one) for one in np.atleast_1d(season)) if season is not None and np.size(season) else (1,)


def are_apart(periods: Sequence[int]) -> bool:
    """Return whether seasons are taken out of series before models are fitted to them."""
    return len(periods) > 1 or periods[0] > LONGEST


class Profiles(NamedTuple):
    """Series of which seasons are taken out."""

    rest: np.ndarray  # (N, T), values without the seasons
    inside: np.ndarray  # (N, T), the sum of the seasons, of logarithms or roots by their kind
    ahead: tuple[np.ndarray, ...]  # for each season the profile (N, m) of the m steps after the end
    found: np.ndarray  # (N, K + 1), which seasons a series has, and their kind

    @classmethod
    def of(cls, values, lengths, periods: Sequence[int], found=None, kinds: bool = True) -> Profiles:
        """Take seasons of these periods ``(K,)`` out of values ``(N, T)``, NaN in gaps and after the ends ``(N,)``.

        The profile of a season is the mean deviation from a moving average over one period, for each of its steps, with
        a weight that falls by 0.8 from cycle to cycle. The seasons are taken out in turn, three times, each from the
        values without the others (as MSTL does: Bandara, Hyndman and Bergmeir 2021). A series has a season, unless
        `found` says it, if it has two cycles of it and the profile of the cycles before predicts the next ones. With
        `kinds`, the seasons of a positive series are ratios, and those of one whose least value is 0 differences of
        roots, where that predicts the next cycles of the first one still better.
        """
        newest, count, given = _from_the_end(values, lengths), np.asarray(lengths), found
        found = np.ones((len(values), len(periods) + 1), np.int8)
        found[:, -1] = _kinds(newest, count, periods[0]) if kinds and given is None else 0
        if given is not None:
            found[:, : given.shape[1]] = given
        ratios, roots = (found[:, -1:] == kind for kind in (_RATIOS, _ROOTS))
        logarithms = np.log(np.where(newest > 0, newest, np.nan))
        newest = np.where(ratios, logarithms, np.where(roots, _root(newest), newest))
        found[:, :-1] &= count[:, None] >= 2 * np.array(periods)
        parts = np.zeros((len(periods), *newest.shape))
        for turn in range(_PASSES):
            for k, period in enumerate(periods):
                rows = np.flatnonzero(found[:, k])
                others = parts[:, rows].sum(axis=0) - parts[k, rows]
                deviations = _deviations(newest[rows] - others, count[rows], period)
                if turn == 0 and given is None:
                    found[rows, k] = able = _predicted(deviations) < _GAIN
                    rows, deviations = rows[able], deviations[able]
                parts[k, rows] = _smoothed(deviations)[:, : newest.shape[1]]
        inside = _from_the_end(parts.sum(axis=0), lengths)
        ahead = tuple(part[:, :period][:, ::-1] for part, period in zip(parts, periods, strict=True))
        rest = np.where(ratios, values / np.exp(np.where(ratios, inside, 0.0)), values - inside)
        return cls(np.where(roots, _square(_root(values) - inside), rest), inside, ahead, found)

    def seasons(self, h: int) -> np.ndarray:
        """Return the sum of the seasons of the h steps after the end ``(N, h)``."""
        total = np.zeros((len(self.rest), h))
        for profile in self.ahead:
            total += profile[:, np.arange(h) % profile.shape[1]]
        return total

    def restored(self, rest, spread: Any = 0.0, h: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return forecasts of the h steps after the end, or of all steps ``(N, T)``, and spreads, with the seasons."""
        seasons, kinds = self.inside if h is None else self.seasons(h), self.found[:, -1:]
        factors = np.exp(np.where(kinds == _RATIOS, seasons, 0.0))
        said, wide = rest * factors + np.where(kinds == 0, seasons, 0.0), spread * factors
        roots = _square(np.maximum(_root(np.stack(np.broadcast_arrays(rest, rest + spread))) + seasons, 0.0))
        return np.where(kinds == _ROOTS, roots[0], said), np.where(kinds == _ROOTS, roots[1] - roots[0], wide)


def _root(values) -> np.ndarray:
    """Return square roots of sizes, with the values' signs."""
    return np.sign(values) * np.sqrt(np.abs(values))


def _square(values) -> np.ndarray:
    """Return squares with the values' signs."""
    return values * np.abs(values)


def _kinds(newest, lengths, period: int) -> np.ndarray:
    """Return the kind of season ``(N,)`` that predicts a series better than differences, if one does."""
    kinds, long = np.zeros(len(newest), int), lengths >= 3 * period
    least = np.nanmin(newest, axis=1, initial=np.inf)
    scales: tuple[Any, ...] = ((_RATIOS, least > 0, np.log, np.exp), (_ROOTS, least == 0, _root, _square))
    for kind, asked, scale, back in scales:
        values, errors = newest[rows := np.flatnonzero(long & asked)], []
        for scaled, restored in ((values, np.asarray), (scale(values), back)):
            apart = _deviations(scaled, lengths[rows], period)
            said = (_in_cycles(scaled, period) - apart)[:, :-1] + _before(apart)
            errors.append(np.nansum(np.abs(_in_cycles(values, period)[:, :-1] - restored(said)), axis=(1, 2)))
        lowest = np.exp(np.nanmin(_before(apart)[:, :1], axis=(1, 2), initial=0.0)) if kind == _RATIOS else 1.0
        kinds[rows] = np.where((errors[1] < BETTER * errors[0]) & (lowest > _LOWEST), kind, 0)
    return kinds


def _from_the_end(values, lengths) -> np.ndarray:
    """Return series in the reverse order of time, from their ends on, NaN after their starts; twice is once."""
    places = np.asarray(lengths)[:, None] - 1 - np.arange(values.shape[1])
    return np.where(places < 0, np.nan, np.take_along_axis(values, np.maximum(places, 0), axis=1))


def _deviations(newest, lengths, period: int) -> np.ndarray:
    """Return deviations from the mean of one period around each step ``(N, cycles, period)``, the newest first."""
    steps, size = newest.shape[1], lengths[:, None]
    known = ~np.isnan(newest)
    sums, counts = (
        np.cumsum(np.pad(one, ((0, 0), (1, 0))), axis=1) for one in (np.where(known, newest, 0.0), known.astype(float))
    )
    first = np.clip(np.arange(steps) - period // 2, 0, size - period)
    total, count = (
        np.take_along_axis(one, first + period, axis=1) - np.take_along_axis(one, first, axis=1)
        for one in (sums, counts)
    )
    return _in_cycles(newest - total / np.maximum(count, 1), period)


def _in_cycles(newest, period: int) -> np.ndarray:
    """Return series from their ends on by cycles ``(N, cycles, period)``, the newest first."""
    padded = np.pad(newest, ((0, 0), (0, -newest.shape[1] % period)), constant_values=np.nan)
    return padded.reshape(len(newest), padded.shape[1] // period, period)


def _weighted(deviations) -> tuple[np.ndarray, np.ndarray]:
    """Return the weighted sums of values over each cycle and those before, and of the weights, ``(N, cycles, m)``."""
    known = ~np.isnan(deviations)
    sums, weights = np.where(known, deviations, 0.0), known.astype(np.float64)
    for cycle in range(deviations.shape[1] - 2, -1, -1):  # the newest is the first
        sums[:, cycle] += _KEPT * sums[:, cycle + 1]
        weights[:, cycle] += _KEPT * weights[:, cycle + 1]
    return sums, weights


def _smoothed(deviations) -> np.ndarray:
    """Return the profile of each cycle, of mean 0, with the cycles in a row ``(N, cycles * period)``."""
    before, weights = _weighted(deviations)
    after, more = (one[:, ::-1] for one in _weighted(deviations[:, ::-1]))
    known = ~np.isnan(deviations)
    total = before + after - np.where(known, deviations, 0.0)
    found = total / np.maximum(weights + more - known, 1e-12)
    found -= found.mean(axis=2, keepdims=True)
    return found.reshape(len(found), found.shape[1] * found.shape[2])


def _before(deviations) -> np.ndarray:
    """Return for each cycle but the first the profile of those before ``(N, cycles - 1, m)``, NaN where unknown."""
    sums, weights = _weighted(deviations)
    return np.where(weights > 1e-6, sums / np.maximum(weights, 1e-6), np.nan)[:, 1:]


def _predicted(deviations) -> np.ndarray:
    """Return the mean absolute error by the profile of the cycles before, relative to that without one ``(N,)``."""
    said, came = _before(deviations), deviations[:, :-1]
    both = ~np.isnan(said) & ~np.isnan(came)
    off = np.where(both, np.abs(came - said), 0.0).sum(axis=(1, 2))
    size = np.where(both, np.abs(came), 0.0).sum(axis=(1, 2))
    return np.where(size > 0, off / np.where(size > 0, size, 1.0), np.inf)


def predicted(values, period: int) -> np.ndarray:
    """Return the mean absolute error of each cycle by the profile of those before, relative to that without one.

    Values ``(N, T)`` are NaN in gaps and after the ends; infinite for a series of less than three cycles.
    """
    lengths = np.max(np.arange(1, values.shape[1] + 1) * ~np.isnan(values), axis=1, initial=0)
    rows = np.flatnonzero(lengths >= 3 * period)
    errors = np.full(len(values), np.inf)
    errors[rows] = _predicted(_deviations(_from_the_end(values[rows], lengths[rows]), lengths[rows], period))
    return errors
