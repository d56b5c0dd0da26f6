"""Held-out ends of series, for testing forecasts during a fit."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rnnkit.forecast.data.history import History

_SEVERAL, _WEEK = 3, 7  # held-out ends per series, and where several seasons are apart
_ENOUGH, _MANY = 40, 10_000  # held-out ends in all, for few series and for many
_STEPS = 20_000  # in all held-out ends of few series
_LEADS, _MOST = 8, 24  # of a held-out end: one and a half seasons, within these


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


def leads_of(season: int) -> int:
    """Return the number of leads to test: one and a half seasons, from 8 to 24."""
    return min(max(_LEADS, season + season // 2), _MOST)
