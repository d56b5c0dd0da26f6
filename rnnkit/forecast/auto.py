"""The default for panels of series: a combination of models, with bands from their errors at the series' ends."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from rnnkit.arguments import is_integer, whole
from rnnkit.forecast.autoregression import Autoregression, able
from rnnkit.forecast.conformal import Calibration
from rnnkit.forecast.exponential_smoothing import FORMS, ExponentialSmoothing
from rnnkit.forecast.forecaster import (
    LEVEL,
    Ahead,
    Fitted,
    Forecaster,
    below,
    checked_levels,
    forecast_in_blocks,
    in_blocks,
)
from rnnkit.forecast.history import History
from rnnkit.forecast.season import common_season
from rnnkit.forecast.theta import Theta

_DAMPED = [form for form in FORMS if "d" in form]
_SEVERAL = 3  # held-out ends of a series
_ENOUGH, _MANY = 40, 10_000  # of few series together, and of many
_STEPS = 20_000  # that few series have in all their held-out ends
_SHORT = 4  # values, below which a series goes on as it ended
_LEADS, _MOST = 8, 24  # of a held-out end: one and a half seasons, within these
_SHARED = 30.0  # held-out values that the panel's mean counts for beside a series' own


class Ends(NamedTuple):
    """The ends of series, held out: a row for each series and origin."""

    series: np.ndarray  # (R,), which one
    history: History  # what comes before
    came: np.ndarray  # (R, L), what came; NaN after the end

    @classmethod
    def of(cls, history: History, leads: int) -> Ends:
        """The last third of each series at most, and further origins before it."""
        lengths = history.lengths
        held = np.minimum(leads, lengths // 3)
        few = min(-(-_ENOUGH // len(lengths)), _STEPS // int(lengths.sum()))
        several = max(few, min(_SEVERAL, -(-_MANY // len(lengths))))
        step = np.maximum(held if several <= _SEVERAL else held // 4, 1)
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


class Auto(Forecaster):
    """A combination of exponential smoothing, Theta models and an autoregression, with calibrated bands.

    Four models are fitted to every series: the dynamic optimised Theta model, the Theta method with θ = 2, exponential
    smoothing with its form chosen by AICc, and exponential smoothing with a damped trend. Their mean is the forecast:
    equal weights are hard to improve on (Clemen 1989, "Combining forecasts: a review and annotated bibliography"). A
    series of 120 values or more has an `Autoregression` besides; one of fewer than 4 values goes on as it ended. All
    models are fitted a first time without the ends of the series, which they then forecast. What they are off by there
    gives the autoregression's share for each lead, by least squares (Bates and Granger 1969, "The combination of
    forecasts"), and the bands: split conformal prediction by lead (Romano, Patterson and Candès 2019, "Conformalized
    quantile regression"), over all series, in units of what the models expected.

    Parameters
    ----------
    season : int, optional
        Steps of a season, 1 for none. By default what the times of a table say (12 for months, 4 for quarters, 7 for
        days, 24 for hours), and what most of the series show in their autocorrelation otherwise.
    level : sequence of float in (0, 100)
        Percentages of the bands that `predict` gives by default.
    seed : int
        Of what is random; nothing is so far.

    Attributes
    ----------
    weights : ndarray (M, B, L)
        Of the models, whose names are ``models``, for each series and lead.

    Examples
    --------
    >>> import numpy as np
    >>> wave = 50 + 10 * np.sin(np.arange(96) * np.pi / 6)
    >>> Auto(season=12).fit(wave).predict(3).round(1)
    array([50. , 55. , 58.7])
    """

    models = ("theta", "standard theta", "smoothing", "damped", "autoregression")

    def __init__(self, season: int | None = None, level: Sequence[float] | float = LEVEL, seed: int = 0):
        super().__init__()
        self.season = None if season is None else whole(season, "season", 1)
        self.level = checked_levels(level)
        if not is_integer(seed) or seed < 0:
            raise ValueError(f"expected seed to be a whole number of at least 0; got {seed!r}")
        self.seed = int(seed)

    def _settings(self) -> dict[str, Any]:
        return {"season": self.season, "level": self.level, "seed": self.seed}

    @property
    def weights(self) -> np.ndarray:
        """The weights of the models for each series and lead, ``(M, B, L)``; the last lead's go on after it."""
        self._fitted_history()
        return _weights(self._model["share"], self._model["share"].shape[1])

    def _candidates(self, season: int) -> dict[str, Forecaster]:
        period = season if season > 1 else None
        made = (
            Theta(period),
            Theta(period, theta=2.0),
            ExponentialSmoothing(period),
            ExponentialSmoothing(period, form=_DAMPED),
            Autoregression(period),
        )
        return dict(zip(self.models, made, strict=True))

    def _fit(self, history: History) -> Fitted:
        season = self.season or history.season or common_season(history.values, history.lengths) or 1
        ends = Ends.of(history, min(max(_LEADS, season + season // 2), _MOST))
        said, spread = np.zeros((2, len(self.models), *ends.came.shape))
        if len(ends.series):
            held_out = in_blocks(partial(self._fitted_by_all, season), ends.history.values, ends.history.lengths)
            for place, (name, model) in enumerate(self._candidates(season).items()):
                part = below(f"{name}/", held_out)
                ahead = forecast_in_blocks(model._ahead, ends.history, part, ends.came.shape[1])
                said[place], spread[place] = ahead.forecast, _absolute(ahead)
        rows = in_blocks(partial(self._fitted_by_all, season), history.values, history.lengths)
        errors = said - ends.came
        has = able(ends.history.values)[:, None]
        other = np.where(has, errors[-1], np.nan)
        rows["share"] = _shares(errors[:-1].mean(axis=0), other, ends.series, rows["autoregression/able"])
        rows["share"][(~np.isnan(history.values)).sum(axis=1) < _SHORT] = 1.0  # the autoregression goes on as they end
        weights = _weights(rows["share"][ends.series], ends.came.shape[1])
        off = -(weights * errors).sum(axis=0) / _positive((weights * spread).sum(axis=0))
        calibration = Calibration.of(off)
        return Fitted(rows, {"season": np.array(season), "errors": calibration.errors, "counts": calibration.counts})

    def _fitted_by_all(self, season, values, lengths) -> dict[str, np.ndarray]:
        """What every model finds, under its name."""
        models = self._candidates(season)
        found = {name: models[name]._fitted(values, lengths) for name in ("theta", "standard theta", "autoregression")}
        smoothing = ExponentialSmoothing(season if season > 1 else None).chosen(values, lengths, [FORMS, _DAMPED])
        found |= dict(zip(("smoothing", "damped"), smoothing, strict=True))
        return {f"{name}/{part}": array for name, parts in found.items() for part, array in parts.items()}

    def _ahead(self, values, lengths, fitted, h) -> Ahead:
        history, season = History(values, lengths), int(self._panel["season"])
        forecast, spread = np.zeros((2, len(values), h))
        weights = _weights(fitted["share"], h)
        for weight, (name, model) in zip(weights, self._candidates(season).items(), strict=True):
            ahead = forecast_in_blocks(model._ahead, history, below(f"{name}/", fitted), h)
            forecast += weight * ahead.forecast
            spread += weight * _absolute(ahead)
        return Ahead(forecast, spread, np.zeros(len(values), bool))

    def _quantiles(self, ahead: Ahead, probabilities) -> np.ndarray:
        off = Calibration(self._panel["errors"], self._panel["counts"]).quantiles(probabilities, ahead.spread.shape[1])
        return ahead.forecast + off[:, None] * ahead.spread


def _absolute(ahead: Ahead) -> np.ndarray:
    """Standard deviations in the values' own units."""
    return np.where(ahead.of_logarithms[:, None], np.abs(ahead.forecast) * ahead.spread, ahead.spread)


def _positive(spread) -> np.ndarray:
    return np.where(spread > 0, spread, 1.0)


def _weights(share, h: int) -> np.ndarray:
    """The weights of the models ``(M, N, H)`` by the share of the last one ``(N, L)``, which goes on after lead L."""
    share = share[:, np.minimum(np.arange(h), share.shape[1] - 1)]
    return np.stack([*[(1 - share) / (len(Auto.models) - 1)] * (len(Auto.models) - 1), share])


def _shares(errors, other, series, has) -> np.ndarray:
    """The share of another model beside the mean of the first ones for each series and lead ``(N, L)``.

    It is the one of least squares at the held-out ends, over all leads up to this one: ``Σ e (e - d) / Σ (e - d)²`` of
    the errors e and d, between 0 and 1.

    Parameters
    ----------
    errors, other : ndarray (R, L)
        NaN where nothing came, or there is no other model.
    series : ndarray (R,) of int
    has : ndarray (N,) of bool
        Which series have the other model.
    """
    known = ~np.isnan(errors) & ~np.isnan(other)
    errors, other = np.where(known, errors, 0.0), np.where(known, other, 0.0)
    size, steps = np.zeros((2, len(has)))
    np.add.at(size, series, (np.abs(errors) + np.abs(other)).sum(axis=1))
    np.add.at(steps, series, known.sum(axis=1))
    unit = (size / np.maximum(2 * steps, 1))[series, None]  # a series counts whatever its units
    errors, other = errors / _positive(unit), other / _positive(unit)
    sums = np.zeros((2, len(has), errors.shape[1]))
    np.add.at(sums[0], series, errors * (errors - other))
    np.add.at(sums[1], series, (errors - other) ** 2)
    sums = np.cumsum(sums, axis=2)
    mean = sums.sum(axis=1) / max(steps.sum(), 1)
    gain, power = sums + _SHARED * mean[:, None]
    share = gain / np.where(power > 0, power, 1.0)
    share = np.clip(3 * share - 1, 0.0, 1.0)  # a share of less than a third is none, one of more than two thirds is all
    return np.where(has[:, None] & (power > 0), share, 0.0)
