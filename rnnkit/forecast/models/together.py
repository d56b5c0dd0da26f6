"""Forecasters that learn from all series together, in memory or in blocks elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, Self

import numpy as np

from rnnkit.forecast.data.history import History
from rnnkit.forecast.fitting.held_out import quantiles
from rnnkit.forecast.fitting.profiles import periods_of
from rnnkit.forecast.fitting.season import elected, season_votes
from rnnkit.forecast.models.forecaster import Ahead, Fitted, Forecaster
from rnnkit.hints import Progress

_FURTHEST = 20.0  # the largest logarithm of a bound over its forecast

Rows = dict[str, np.ndarray]


class Blocks:
    """Blocks of series, or results per block, in memory; a subclass has them elsewhere, for picklable functions."""

    def __init__(self, blocks: Sequence[Any]):
        self.blocks = list(blocks)

    def map(self, function: Callable, *arguments: Any) -> list:
        """Return ``function(block, *arguments)`` of every block."""
        return [function(block, *arguments) for block in self.blocks]

    def made(self, function: Callable, *arguments: Any) -> Blocks:
        """Return blocks of ``function(block, *arguments)``, kept where the blocks are."""
        return Blocks(self.map(function, *arguments))

    def some(self, function: Callable, shared: Any, given: Sequence[tuple[int, Any]]) -> list:
        """Return ``function(block, shared, argument)`` for pairs of a block's number and an argument."""
        return [function(self.blocks[number], shared, argument) for number, argument in given]


class Together(Forecaster):
    """A forecaster that learns from all series together; subclasses define ``_learned`` and ``_completed``."""

    _learned: Callable[..., tuple[list[Rows], Rows]]  # of `Blocks`: the arrays of each block, and those of all series
    _ahead_of: Callable[..., Ahead]  # without `h` of each step of the series
    _completed: Callable[[History, Rows, Rows], Rows]  # all arrays of a block's series, from the learned ones
    _bands_are = "drawn from the errors at held-out ends of the series"
    _no_season = 1  # without one, `fit` would search for it

    def _fit(self, history: History, progress: Progress = None) -> Fitted:
        (found,), panel = self._learned(Blocks([history]), progress)
        return Fitted(self._completed(history, found, panel), panel)

    def _inside(self, history: History) -> Ahead:
        return self._ahead_of(history)

    def _deviations(self, ahead: Ahead, probabilities) -> np.ndarray:
        leads = 1 if ahead.inside else ahead.spread.shape[1]
        off = quantiles(self._panel["errors"], probabilities, leads)[:, None] * ahead.spread
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


def _votes(history: History) -> tuple[np.ndarray, list]:
    return season_votes(history.values, history.lengths)
