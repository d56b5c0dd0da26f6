"""Held-out ends of series, for testing forecasts during a fit, and bands from the errors there."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import ndtri

from rnnkit.forecast.data.history import History

_SEVERAL, _WEEK = 3, 7  # held-out ends per series, and where several seasons are apart
_ENOUGH, _MANY = 40, 10_000  # held-out ends in all, for few series and for many
_STEPS = 20_000  # in all held-out ends of few series
_LEADS, _MOST, _LONGEST = 8, 24, 200  # of a held-out end: one and a half seasons, within the first two, or a whole one
_BELIEVED = 12  # weight of the normal distribution, in errors
_OF_ALL = 100  # weight of the errors of all leads at each, in errors
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
            most = min(_WEEK, max(_SEVERAL, 2 * _WEEK * _MOST // leads))  # a week of half hours
            several = max(min(several, most), min(most, -(-_ENOUGH * most // count)))
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


def leads_of(season: int, apart: bool = False) -> int:
    """Return the number of leads to test: one and a half seasons, from 8 to 24, or a longer season that is `apart`.

    Where ends follow each other by whole seasons, each lead has its own place in the season.
    """
    return max(min(max(_LEADS, season + season // 2), _MOST), min(season, _LONGEST) if apart else 0)


def by_lead(errors, alone: bool = False) -> np.ndarray:
    """Return errors ``(N, L)`` as rows of each lead ``(L, N)``, in order; NaN where unknown or infinite, at the end.

    What all series have in common at their ends may be of that time `alone`: most of the median of each lead is left
    out then.
    """
    rows = np.sort(np.where(np.isfinite(errors), errors, np.nan).T, axis=1)
    if not alone or not rows.size:
        return rows
    middle = np.maximum((~np.isnan(rows)).sum(axis=1) - 1, 0) // 2
    return rows - _OF_THAT_TIME * np.take_along_axis(rows, middle[:, None], axis=1)


def quantiles(errors, probabilities, h: int) -> np.ndarray:
    """Return quantiles of errors by lead ``(L, N)`` at the steps ahead ``(Q, H)``, in the same units.

    Of n errors, that of rank ``p (n + 1)`` is the quantile: the next error lies below it with probability p if errors
    are exchangeable (Lei et al. 2018, "Distribution-free predictive inference for regression", section 2; by lead and
    on both sides as Romano, Patterson and Candès 2019, "Conformalized quantile regression", section 4). The errors of
    each lead are blended with those of all leads and with a normal distribution of their size, which goes on beyond
    the extremes. Leads after the last one have its quantiles.
    """
    every, probabilities = errors[~np.isnan(errors)], np.asarray(probabilities)
    power = (np.sum(every**2) + _BELIEVED) / (len(every) + _BELIEVED)
    normal = np.sqrt(power) * ndtri(evenly(_BELIEVED))
    of_all = np.quantile(np.concatenate([every, normal]), evenly(_OF_ALL), method="hazen")
    found = np.empty((len(probabilities), len(errors)))
    for lead, row in enumerate(errors):
        known = row[~np.isnan(row)]
        count = len(known) + _BELIEVED
        inner = np.clip(ranks := probabilities * (count + 1), 1, count)
        edge = ndtri(inner / (count + 1))
        beyond = np.where(ranks == inner, 1.0, ndtri(probabilities) / np.where(edge == 0, 1.0, edge))
        blend = np.concatenate([known, of_all, normal])
        found[:, lead] = np.quantile(blend, (inner - 0.5) / count, method="hazen") * np.maximum(beyond, 1.0)
    return found[:, np.minimum(np.arange(h), len(errors) - 1)]


def evenly(count: int) -> np.ndarray:
    """Return evenly spaced probabilities, whose quantiles stand for a distribution."""
    return (np.arange(count) + 0.5) / count
