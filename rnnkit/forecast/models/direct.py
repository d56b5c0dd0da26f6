"""What forecasters with a model for each lead have in common: what they read, and how a forecast goes on from there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from rnnkit import allocation
from rnnkit.arguments import whole
from rnnkit.forecast import saving
from rnnkit.forecast.data.panel import Panel
from rnnkit.forecast.fitting.scale import Scale
from rnnkit.hints import Array


class ForecastState(NamedTuple):
    """Where histories stop: what a forecast starts from."""

    times: np.ndarray  # (B,), of the last step that was read
    missing: np.ndarray  # (B,), steps of the history after it, all of them gaps
    scale: Scale
    read: tuple[Any, ...]  # arrays of B rows: what the model has of the steps up to there


class DirectForecaster(saving.Savable):
    """Base of forecasters of one series, or of several at once, with a model for each lead.

    A subclass has `_leads`, `_ended` and `_going_on`.
    """

    horizon: Any
    note: str | None = None
    _features = 0  # of x
    _single = False
    _state: ForecastState | None = None

    def predict(self, horizon: int | None = None) -> np.ndarray:
        """Forecast what follows the series that were given last; where there are quantiles, their medians.

        Beyond the leads that were learned, the forecasts so far are read as if they had been observed.

        Parameters
        ----------
        horizon : int, optional
            Steps to forecast; by default as many as there are leads.

        Returns
        -------
        ndarray (horizon,) or (B, horizon) of float64
            From the step after each series' last one, be it a gap or not.

        Raises
        ------
        ValueError
            Before `fit`, or if steps beyond the leads would need an x that is not known.
        """
        return self._middle(self._forecast(self._check_fitted(), self._single, horizon))

    def forecast(self, y: Array, x: Array = None, horizon: int | None = None, *, rescale: bool = False) -> np.ndarray:
        """Forecast from any point, without fitting again: what follows the history `y`.

        Parameters
        ----------
        y, x
            Histories as `fit` takes them, up to the point to forecast from, and from the same first step as the
            series fitted, whose trend and spread go on to hold.
        horizon : int, optional
            As in `predict`.
        rescale : bool
            Measure trend and spread on `y` itself: for series that `fit` never saw.

        Returns
        -------
        ndarray (horizon,) or (B, horizon) of float64

        Raises
        ------
        ValueError
            As in `fit` and `predict`, or if `y` has another number of series and `rescale` is not set.
        """
        return self._middle(self._following(y, x, horizon, rescale))

    # What a subclass has

    @property
    def _leads(self) -> int:
        """How many steps were learned."""
        raise NotImplementedError

    def _ended(self, panel: Panel, scale: Scale) -> ForecastState:
        """Where histories stop."""
        raise NotImplementedError

    def _going_on(self, state: ForecastState) -> Iterator[np.ndarray]:
        """Forecasts ``(…, B, leads)`` of the next steps, as many as were learned, and so on without end."""
        raise NotImplementedError

    @staticmethod
    def _middle(found: np.ndarray) -> np.ndarray:
        """The forecast, of what `_going_on` gives."""
        return found

    # Common

    def _check_fitted(self) -> ForecastState:
        if self._state is None:
            raise ValueError("expected a forecaster that was fitted; call fit first")
        return self._state

    def _panel(self, y, x) -> Panel:
        """Series with as many features as those fitted."""
        panel = Panel(y, x)
        if panel.features != self._features:
            raise ValueError(f"expected x with {self._features} features per step, as in fit; got {panel.features}")
        return panel

    def _following(self, y, x, horizon, rescale) -> np.ndarray:
        fitted = self._check_fitted()
        panel = self._panel(y, x)
        scale = Scale(panel.values) if rescale else fitted.scale
        if len(scale.level) != len(panel.values):
            raise ValueError(
                f"expected as many series as were fitted, {len(scale.level)}; got {len(panel.values)}: series with a "
                f"trend and spread of their own need rescale=True"
            )
        return self._forecast(self._ended(panel, scale), panel.single, horizon)

    def _forecast(self, state: ForecastState, single: bool, horizon: int | None) -> np.ndarray:
        horizon = self.horizon if horizon is None else whole(horizon, "horizon", 1)
        allocation.check("the forecasts", (3, len(state.times), horizon))
        needed = horizon + int(state.missing.max())
        if needed > self._leads and self._features:
            raise ValueError(
                f"expected at most {self._leads} steps from the last value known, the horizon given to "
                f"{type(self).__name__}, as x is not known beyond it; got {needed}"
            )
        path = [ahead for _, ahead in zip(range(0, needed, self._leads), self._going_on(state), strict=False)]
        steps = state.missing[:, None] + np.arange(horizon)
        standardized = np.concatenate(path, axis=-1)[..., np.arange(len(steps))[:, None], steps]
        found = state.scale.restore(standardized, state.times[:, None] + 1 + steps)
        return found[..., 0, :] if single else found

    def _facts(self):
        if self._state is None:
            return {"fitted to": lambda: "nothing yet"}
        return {"fitted to": lambda: f"{len(self._state.times):,} series"}


def measured(panel: Panel) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The mean and the spread of each feature; None without any."""
    if panel.covariates is None:
        return None, None
    covariates = panel.covariates[panel.known]
    width = covariates.std(axis=0)
    return covariates.mean(axis=0), np.where(width == 0, 1.0, width)


def last_steps(panel: Panel) -> np.ndarray:
    """The last step of each series that can be read ``(B,)``."""
    return panel.known.shape[1] - 1 - np.argmax(panel.known[:, ::-1], axis=1)
