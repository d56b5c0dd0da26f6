"""The Theta method for many series at once: all parameters by exact gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY

import numpy as np

from rnnkit.cells.smoothing import dynamic_theta
from rnnkit.forecast.fitting.decomposition import is_seasonal, known_means, known_sums, seasonal_factors
from rnnkit.forecast.fitting.profiles import LEAST_GAIN, periods_of, predicted
from rnnkit.forecast.fitting.side_by_side import SideBySide, outputs, steps_of
from rnnkit.forecast.models.forecaster import Ahead, SmoothingForecaster, known_once, with_arguments
from rnnkit.optimizers.rowwise import minimize_rows

_LOW, _HIGH = 0.05, 0.999  # of α
_LEAST = 1e-12  # added to a sum of squared errors, in units of the series' mean
_LEVEL = 0.3  # change of the starting level per unit of its unknown, in the same units
_LINE = 3  # values, below which a series holds its last value
_START = 0.5  # of α, of w, and of the starting level in units of the first value


@with_arguments
class Theta(SmoothingForecaster):
    """The dynamic optimized Theta model, or the standard one with θ = 2.

    A series with a season is divided by its seasonal factors first, and the forecasts are multiplied by
    them; where values aren't all positive, differences take the place of ratios. α, θ and the starting level minimise
    the squared errors one step ahead, for all series in the same calls. The recurrence is the cell
    `rnnkit.cells.dynamic_theta`. Fiorucci, Pellegrini, Louzada, Petropoulos and Koehler (2016), "Models for optimising
    the theta method and their relationship to state space models".

    Parameters
    ----------
    theta : float, optional
        1 or more; by default the best for each series.
    iterations : int
        Evaluations of the errors at most.

    Attributes
    ----------
    parameters : ndarray (B, 2)
        α and θ of each series.
    seasonal : ndarray (B,) of bool
        Which series were found to have a season.

    Examples
    --------
    >>> import numpy as np
    >>> line = 10 + 2 * np.arange(40.0)
    >>> bool(np.abs(Theta().fit(line).predict(3) - [90, 92, 94]).max() < 0.5)
    True
    """

    season: int | Sequence[int] | None = None
    theta: float | None = None
    iterations: int = 60
    _: KW_ONLY
    future_covariates: Sequence[str] = ()
    temporal: bool = False

    def __post_init__(self):
        super().__post_init__()
        if (theta := self.theta) is not None and not (isinstance(theta, (int, float)) and 1 <= theta < np.inf):
            raise ValueError(f"expected theta to be a number of 1 or more, or None for the best; got {theta!r}")

    @property
    def parameters(self) -> np.ndarray:
        """α and θ of each series, ``(B, 2)``; θ is infinite where the line has its whole weight."""
        self._fitted_history()
        alpha, weight = self._model["parameters"].T
        with np.errstate(divide="ignore"):
            return np.stack([alpha, 1 / (1 - weight)], axis=1)

    @property
    def seasonal(self) -> np.ndarray:
        """A mask ``(B,)`` of the series with a significant season."""
        self._fitted_history()
        return self._model["seasonal"]

    def _fitted(self, values, lengths) -> dict[str, np.ndarray]:
        count, period = len(values), periods_of(self.season)[0]
        ratios = np.nanmin(values, axis=1) > 0
        seasonal = np.zeros(count, bool)
        if period > 1:
            seasonal = is_seasonal(values, period) | (predicted(values, period) < LEAST_GAIN)
        season = np.where(ratios[:, None], 1.0, np.zeros((count, period)))
        for kind in (True, False):
            rows = np.flatnonzero(seasonal & (ratios == kind))
            if len(rows):
                season[rows] = seasonal_factors(values[rows], period, kind)
        rest = _adjusted(values, season, ratios)
        scale = known_means(np.abs(rest))
        scale = np.where(scale > 0, scale, 1.0)
        scaled = rest / scale[:, None]
        first = scaled[np.arange(count), np.argmax(~np.isnan(scaled), axis=1)]
        fit = _Fit(SideBySide(dynamic_theta, scaled, lengths), first, self.theta)
        found = minimize_rows(fit.loss, fit.start(count), iterations=self.iterations)
        parameters, states = fit.model(np.arange(count), found.x)
        short = (~np.isnan(values)).sum(axis=1) < _LINE  # too few values for a line
        parameters[short], states[0][short] = (_HIGH, 0.0), first[short]
        run = fit.series.run(np.arange(count), parameters, states)
        spare = np.maximum((~np.isnan(values)).sum(axis=1) - 3, 1)
        variance = np.where(known_once(values), 1.0, known_sums((scaled - run) ** 2) / spare)
        return {
            "parameters": parameters,
            "level": states[0],
            "scale": scale,
            "season": season,
            "ratios": ratios,
            "seasonal": seasonal,
            "variance": variance,
        }

    def _ahead(self, values, lengths, fitted, h) -> Ahead:
        count, steps = len(values), steps_of(values, lengths, h)
        rest = _adjusted(values, fitted["season"], fitted["ratios"]) / fitted["scale"][:, None]
        run = outputs(dynamic_theta, rest, lengths, h, fitted["parameters"], _states(fitted["level"]))
        forecast = run * fitted["scale"][:, None]
        season = np.take_along_axis(fitted["season"], steps % fitted["season"].shape[1], axis=1)
        ratios = fitted["ratios"][:, None]
        # The variance of simple exponential smoothing: the model is one around its line.
        growth = 1 + np.maximum(steps - lengths[:, None], 0) * fitted["parameters"][:, :1] ** 2
        spread = np.sqrt(fitted["variance"][:, None] * growth) * fitted["scale"][:, None]
        spread = np.where(ratios, spread * season, spread)
        forecast = np.where(ratios, forecast * season, forecast + season)
        return Ahead(forecast, spread, np.zeros(count, bool))

    def _parts(self, values, lengths, fitted) -> dict[str, np.ndarray]:
        said, season = self._ahead(values, lengths, fitted, None).forecast, fitted["season"]
        each = season[:, np.arange(said.shape[1]) % season.shape[1]]
        level = np.where(fitted["ratios"][:, None], said / each, said - each)
        return {"level": level, "season": said - level, "remainder": values - said}


def _adjusted(values, season, ratios) -> np.ndarray:
    each = season[:, np.arange(values.shape[1]) % season.shape[1]]
    return np.where(ratios[:, None], values / np.where(ratios[:, None], each, 1.0), values - each)


def _states(level) -> list[np.ndarray]:
    zeros = np.zeros_like(level)
    return [level, zeros, zeros, zeros, zeros, np.ones_like(level)]


class _Fit:
    """A fit of α, w = 1 - 1 / θ (both through logistic curves) and the change of the starting level, per series."""

    def __init__(self, series: SideBySide, first: np.ndarray, theta: float | None):
        self.series, self.first = series, first
        self.weight = None if theta is None else 1 - 1 / theta

    def start(self, count: int) -> np.ndarray:
        unknowns = np.zeros((count, 3))
        unknowns[:, 0] = np.log((_START - _LOW) / (_HIGH - _START))
        return unknowns

    def model(self, rows, x):
        """Return constants and states for the unknowns."""
        curve = 1 / (1 + np.exp(-x[:, :2]))
        weight = curve[:, 1] if self.weight is None else np.full(len(x), self.weight)
        parameters = np.stack([_LOW + (_HIGH - _LOW) * curve[:, 0], weight], axis=1)
        return parameters, _states(_START * self.first[rows] + _LEVEL * x[:, 2])

    def loss(self, rows, x):
        parameters, states = self.model(rows, x)
        value, d_parameters, d_states = self.series.differentiate(rows, parameters, states, _errors)
        curve = 1 / (1 + np.exp(-x[:, :2]))
        d = np.empty(x.shape)
        d[:, :2] = d_parameters * curve * (1 - curve) * [_HIGH - _LOW, float(self.weight is None)]
        d[:, 2] = _LEVEL * d_states[0]
        return value, d


def _errors(y, forecast):
    """Return half the logarithm of the sum of squares, and its gradient by the forecasts."""
    error = np.where(np.isnan(y), 0.0, y - forecast)
    squares = (error * error).sum(axis=1) + _LEAST
    return 0.5 * np.log(squares), -error / squares[:, None]
