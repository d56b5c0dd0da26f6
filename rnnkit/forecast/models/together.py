"""Forecasters that learn from all series together, in memory or in blocks elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Self

import numpy as np

from rnnkit.forecast.data.history import History
from rnnkit.forecast.fitting.blocks import Blocks
from rnnkit.forecast.fitting.held_out import Calibration
from rnnkit.forecast.fitting.profiles import periods_of
from rnnkit.forecast.fitting.season import elected, season_votes
from rnnkit.forecast.models.forecaster import Ahead, Fitted, Forecaster
from rnnkit.hints import Progress

_FURTHEST = 20.0  # the largest logarithm of a bound over its forecast

Rows = dict[str, np.ndarray]


class Together(Forecaster):
    """A forecaster that learns from all series together; subclasses define ``_learned`` and ``_completed``."""

    _learned: Callable[..., tuple[list[Rows], Rows]]  # of `Blocks`: the arrays of each block, and those of all series
    _completed: Callable[[History, Rows, Rows], Rows]  # all arrays of a block's series, from the learned ones
    _bands_are = "drawn from the errors at held-out ends of the series"
    _no_season = 1  # without one, `fit` would search for it

    def _fit(self, history: History, progress: Progress = None) -> Fitted:
        (found,), panel = self._learned(Blocks([history]), progress)
        return Fitted(self._completed(history, found, panel), panel)

    def _deviations(self, ahead: Ahead, probabilities) -> np.ndarray:
        calibration = Calibration(self._panel["errors"], self._panel["counts"])
        leads = 1 if ahead.inside else ahead.spread.shape[1]
        off = calibration.quantiles(probabilities, leads)[:, None] * ahead.spread
        return np.where(ahead.of_logarithms[:, None], np.clip(off, -_FURTHEST, _FURTHEST), off)

    def _recalled(self, history: History, found: Rows, panel: Rows) -> Self:
        """Set the arrays learned for a block's series and for all."""
        with history.naming():
            self._model = self._completed(history, found, panel)
        self._panel, self._history = panel, history
        return self

    def _seasons_of(self, series: Blocks) -> tuple[int, ...]:
        """Return the seasons given, or those of the times, or of most series; (1,) without any."""
        return periods_of(self.season or series.map(attrgetter("seasons"))[0] or elected(series.map(_votes)))


def _votes(history: History) -> tuple[np.ndarray, list, np.ndarray]:
    return season_votes(history.values, history.lengths)
