"""Held-out ends of series, for testing forecasts during a fit, and bands from the errors there."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import ndtri

from rnnkit.forecast.data.history import History

_SEVERAL, _WEEK = 3, 7  # held-out ends per series, and where several seasons are apart
_ENOUGH, _MANY = 40, 10_000  # held-out ends in all, for few series and for many
_STEPS = 20_000  # in all held-out ends of few series
_LEADS, _MOST = 8, 24  # of a held-out end: one and a half seasons, within these
_BELIEVED = 12  # weight of the normal distribution, in errors
_OF_THAT_TIME = 0.75  # share of the errors that all series have in common


class Ends(NamedTuple):
    """Held-out ends of series: a row for each series and origin."""

    series: np.ndarray  # (R,), indices
    history: History  # values before the ends
    came: np.ndarray  # (R, L), actual values; NaN after the end

    @classmethod
    def of(
        cls,
        history: History,
        leads: int,
        once: bool = False,
        count: int | None = None,
        steps: int | None = None,
        apart: bool = False,
    ) -> Ends:
        """Hold out at most the last third of each series, with further origins before it unless `once`.

        Their number depends on the series and steps of the panel, by default those of the history. Where seasons are
        taken `apart`, the ends follow each other, and those of few series fill a week.
        """
        lengths = history.lengths
        count, steps = count or len(lengths), steps or int(lengths.sum())
        held = np.minimum(leads, lengths // 3)
        few = min(-(-_ENOUGH // count), _STEPS // steps)
        several = 1 if once else max(few, min(_SEVERAL, -(-_MANY // count)))
        if apart and not once:
            several = max(min(several, _WEEK), min(_WEEK, -(-_ENOUGH * _WEEK // count)))
        step = np.maximum(held if several <= _SEVERAL or apart else held // 4, 1)
        origins = lengths - held - step * np.arange(several)[:, None]  # (K, N)
        known = np.pad(np.cumsum(~np.isnan(history.values), axis=1), ((0, 0), (1, 0)))
        able = (held > 0) & (origins >= np.maximum(3, lengths // 2))
        able &= np.take_along_axis(known, np.maximum(origins, 0).T, axis=1).T > 2
        _, series = np.nonzero(able)
        ends = origins[able]
        padded = np.pad(history.values, ((0, 0), (0, leads)), constant_values=np.nan)
        came = np.take_along_axis(padded[series], ends[:, None] + np.arange(leads), axis=1)
        came[np.arange(leads) >= held[series, None]] = np.nan
        return cls(series, history.until(series, ends), came)


def centred(errors) -> np.ndarray:
    """Return errors at held-out ends ``(R, L)``, NaN where unknown, without most of the median of each lead.

    What all series have in common at their ends may be of that time alone.
    """
    if not len(errors):
        return errors
    middle = np.maximum((~np.isnan(errors)).sum(axis=0) - 1, 0) // 2
    return errors - _OF_THAT_TIME * np.take_along_axis(np.sort(errors, axis=0), middle[None], axis=0)


def leads_of(season: int) -> int:
    """Return the number of leads to test: one and a half seasons, from 8 to 24."""
    return min(max(_LEADS, season + season // 2), _MOST)


class Calibration(NamedTuple):
    """Errors of forecasts at held-out ends for each lead, in units of the models' spreads."""

    errors: np.ndarray  # (L, N), in order, NaN at the end of a row
    counts: np.ndarray  # (L,)

    @classmethod
    def of(cls, errors) -> Calibration:
        """Make a calibration of errors ``(N, L)``, NaN where unknown."""
        errors = np.sort(np.where(np.isfinite(errors), errors, np.nan).T, axis=1)
        counts = (~np.isnan(errors)).sum(axis=1)
        return cls(errors[:, : max(int(counts.max(initial=0)), 1)], counts)

    def quantiles(self, probabilities, h: int) -> np.ndarray:
        """Return quantiles of the errors ``(Q, H)``, in the same units.

        Of n errors, that of rank ``p (n + 1)`` is the quantile: the next error lies below it with probability p if
        errors are exchangeable (Lei et al. 2018, "Distribution-free predictive inference for regression", section 2; by
        lead and on both sides as Romano, Patterson and Candès 2019, "Conformalized quantile regression", section 4).
        With few errors, the quantiles are blended with those of a normal distribution of the size of all leads' errors.
        Leads after the last one with an error have its quantiles.
        """
        power = (np.nansum(self.errors**2) + _BELIEVED) / (self.counts.sum() + _BELIEVED)
        believed = np.sqrt(power) * ndtri((np.arange(_BELIEVED) + 0.5) / _BELIEVED)
        found = np.empty((len(probabilities), len(self.counts)))
        for lead, (row, count) in enumerate(zip(self.errors, self.counts, strict=True)):
            found[:, lead] = _quantiles(np.sort(np.concatenate([row[:count], believed])), probabilities)
        return found[:, np.minimum(np.arange(h), len(self.counts) - 1)]


def _quantiles(ordered, probabilities) -> np.ndarray:
    """Return the quantiles of rank ``p (n + 1)``, interpolated; beyond the extremes, those of a normal distribution."""
    count = len(ordered)
    ranks = np.asarray(probabilities) * (count + 1)
    inner = np.interp(ranks, np.arange(1, count + 1), ordered)
    edge = ndtri(np.clip(ranks, 1, count) / (count + 1))
    beyond = np.where((ranks < 1) | (ranks > count), ndtri(probabilities) / np.where(edge == 0, 1.0, edge), 1.0)
    return inner * np.maximum(beyond, 1.0)
