"""Exponential smoothing of many series at once: forms chosen by AICc, all parameters by exact gradients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY
from typing import Any, NamedTuple

import numpy as np

from rnnkit.cells.smoothing import additive_smoothing, multiplicative_smoothing
from rnnkit.forecast.data.history import UnfitSeries
from rnnkit.forecast.fitting.decomposition import known_means, known_sums, seasonal_factors
from rnnkit.forecast.fitting.profiles import periods_of
from rnnkit.forecast.fitting.side_by_side import SideBySide, outputs, steps_of
from rnnkit.forecast.models.forecaster import Ahead, SmoothingForecaster, with_arguments
from rnnkit.optimizers.rowwise import minimize_rows

_LOW, _HIGH = 1e-4, 0.9999  # of α, of β / α and of γ / (1 - α)
_DAMPED = 0.8, 0.98  # of φ
_LEAST = 1e-12  # added to sums of squared errors, in units of the scale, as a perfect fit would have log(0)
_LEVEL, _SLOPE, _SEASON = 0.3, 0.03, 0.3  # change of a starting state per unit of its unknown, in the same units
_CLOSE = 20.0  # most AICc above the least of forms that are fitted to the end, and anew with a series' end
FLOOR = 1e-3  # of the level in `multiplicative_smoothing`
_STARTS, _FLATTENING = (0.3, 0.1, 0.05, 0.95), (0.01, 0.9, 0.05, 0.9)  # α, β / α, γ / (1 - α), φ

ERRORS, TRENDS = "AM", ("N", "A", "Ad")
FORMS = tuple(f"{error}{trend}{season}" for error in ERRORS for trend in TRENDS for season in ("N", error))


class _Group(NamedTuple):
    """A group of forms that one program runs."""

    multiplicative: bool
    period: int  # 1 without a season

    def form(self, trend: int) -> int:
        """Return the index in `FORMS` of the group's form with the trend of this index in `TRENDS`."""
        season = ("AM"[self.multiplicative]) if self.period > 1 else "N"
        return FORMS.index(f"{'AM'[self.multiplicative]}{TRENDS[trend]}{season}")

    @property
    def make(self):
        return multiplicative_smoothing if self.multiplicative else additive_smoothing


@with_arguments
class ExponentialSmoothing(SmoothingForecaster):
    """Exponential smoothing in state space form, with the form of each series chosen by AICc.

    A form has three letters, of the error, the trend and the season (Hyndman et al. 2008, "Forecasting with exponential
    smoothing", chapter 2): additive (A) or multiplicative (M) errors, no trend (N), an additive (A) or a damped one
    (Ad), and no season (N) or one of the errors' kind. ``ANN`` is simple exponential smoothing, ``AAN`` Holt's method,
    ``AAdN`` its damped variant, ``AAA`` and ``MAM`` are Holt and Winters'. The recurrences are the cells
    `rnnkit.cells.additive_smoothing` and `rnnkit.cells.multiplicative_smoothing`. Smoothing parameters and starting
    states maximise the likelihood, for all series and forms in the same calls, with exact gradients and BFGS
    (`rnnkit.optimizers.rowwise`); forms whose AICc is far above the least are left early.

    Parameters
    ----------
    form : str or sequence of str
        "auto", or one of ``FORMS`` for every series, or several to choose from. Where all of them have a season, it is
        the first one, of any length.
    iterations : int
        Evaluations of the likelihood at most.

    Attributes
    ----------
    forms : list of str
        The form of each series.
    parameters : ndarray (B, 4)
        α, β, γ and φ of each series, as `rnnkit.cells.additive_smoothing` has them.

    Examples
    --------
    >>> import numpy as np
    >>> line = 10 + 2 * np.arange(40.0)
    >>> model = ExponentialSmoothing(form="AAN").fit(line)
    >>> model.predict(3).round(3)
    array([90., 92., 94.])
    """

    season: int | Sequence[int] | None = None
    form: str | Sequence[str] = "auto"
    iterations: int = 60
    _: KW_ONLY
    future_covariates: Sequence[str] = ()
    temporal: bool = False

    def __post_init__(self):
        super().__post_init__()
        form = self.form = self.form if isinstance(self.form, str) else list(self.form)
        self._forms = FORMS if form == "auto" else np.atleast_1d(form).tolist()
        if not self._forms or not set(self._forms) <= set(FORMS):
            raise ValueError(f"expected form to be 'auto', or one or several of {', '.join(FORMS)}; got {form!r}")
        self._takes_seasons = all(known[-1] != "N" for known in self._forms)
        if self._takes_seasons and (self.season == 1 or isinstance(self.season, list)):
            raise ValueError(f"expected a season for the form {form!r}, a single one; got {self.season!r}")
        if self.temporal and self._takes_seasons:
            raise ValueError(f"expected a form without a season for temporal=True; got {form!r}")

    @property
    def forms(self) -> list[str]:
        """The form of each series."""
        self._fitted_history()
        return [FORMS[i] for i in self._model["form"]]

    @property
    def parameters(self) -> np.ndarray:
        """α, β, γ and φ of each series, ``(B, 4)``."""
        self._fitted_history()
        return self._model["parameters"]

    def _with(self, season):
        return super()._with(periods_of(season)[0] if self._takes_seasons else season)

    # Fit

    def _groups(self) -> list[tuple[_Group, list[int]]]:
        """Return the groups of forms, and the trends to try in each."""
        groups = []
        for period in sorted({1, *periods_of(self.season)}):
            for multiplicative in (False, True):
                group = _Group(multiplicative, period)
                trends = [i for i in range(len(TRENDS)) if FORMS[group.form(i)] in self._forms]
                if trends:
                    groups.append((group, trends))
        return groups

    def _fitted(self, values, lengths, near: Any = -1) -> dict[str, np.ndarray]:
        """Return the arrays of the best forms, among those of which `near` ``(N,)`` of an earlier fit has a bit."""
        near, scores = near * np.ones(len(values), int), np.full((len(FORMS), len(values)), -np.inf)
        best = self._nothing(len(values))
        for group, trends in self._groups():
            able, own = self._able(group, values, lengths), np.array([group.form(trend) for trend in trends])
            if len(able):
                least = np.where(near[able] >> own[:, None] & 1, best["aicc"][able], -np.inf)
                found = _Fit(group, trends, values[able], lengths[able], self.iterations, least.ravel()).run()
                scores[np.ix_(own, able)] = found["aic"].reshape(len(trends), -1)
                _keep_better(best, found, able, group, trends)
        # By AIC, as more values, or the first of a form, change what AICc adds for few.
        least = np.min(scores, axis=0, where=np.isfinite(scores), initial=np.inf)
        best["near"] = ((scores <= least + _CLOSE) * 2 ** np.arange(len(FORMS))[:, None]).sum(axis=0)
        return best

    def _nothing(self, count: int) -> dict[str, np.ndarray]:
        return {
            "form": np.full(count, -1),
            "parameters": np.zeros((count, 4)),
            "level": np.zeros(count),
            "trend": np.zeros(count),
            "season": np.zeros((count, periods_of(self.season)[0])),
            "centre": np.zeros(count),
            "width": np.ones(count),
            "variance": np.zeros(count),
            "aicc": np.full(count, np.inf),
        }

    def _able(self, group: _Group, values, lengths) -> np.ndarray:
        """Return the series that the forms of a group can be fitted to."""
        able = np.ones(len(values), bool)
        if group.multiplicative:
            able &= np.nanmin(values, axis=1) > 0
            if not able.all() and all(form[0] == "M" for form in self._forms):
                raise UnfitSeries(
                    int(np.argmin(able)), "expected positive values for multiplicative errors; got others"
                )
        if group.period > 1 and any(form[-1] == "N" for form in self._forms):
            able &= lengths >= 2 * group.period
        return np.flatnonzero(able)

    # Forecasts

    def _ahead(self, values, lengths, fitted, h) -> Ahead:
        steps = steps_of(values, lengths, h)
        forecast, spread = np.empty(steps.shape), np.empty(steps.shape)
        of_logarithms = np.array([FORMS[i][0] == "M" for i in fitted["form"]], bool)
        lead = np.maximum(steps - lengths[:, None], 0)
        for group, rows in self._rows_of_groups(fitted):
            scale = _Scale(fitted["centre"][rows], fitted["width"][rows])
            states = [fitted["level"][rows], fitted["trend"][rows], fitted["season"][rows, : group.period]]
            scaled, parameters = scale.scaled(values[rows]), fitted["parameters"][rows]
            run = outputs(group.make, scaled, lengths[rows], h, parameters, states, period=group.period)
            forecast[rows] = scale.restored(run)
            weights = _coefficients(parameters, group.period, int(lead.max()) + 1)
            growth = 1 + np.cumsum(np.pad(weights**2, ((0, 0), (1, 0))), axis=1)  # from one step ahead on
            variance = fitted["variance"][rows, None] * np.take_along_axis(growth, lead[rows], axis=1)
            if group.multiplicative:
                spread[rows] = np.sqrt(np.log1p(variance))
            else:
                spread[rows] = scale.width[:, None] * np.sqrt(variance)
        return Ahead(forecast, spread, of_logarithms)

    def _parts(self, values: Any, lengths: Any, fitted: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the columns ``(N, T)`` of `components`; states follow from the forecasts and their errors."""
        said = self._ahead(values, lengths, fitted, None).forecast
        level, trend = np.zeros((2, *values.shape))
        for group, rows in self._rows_of_groups(fitted):
            scale = _Scale(fitted["centre"][rows], fitted["width"][rows])
            alpha, beta, _, phi = fitted["parameters"][rows].T
            off = np.nan_to_num(scale.scaled(values[rows]) - scale.scaled(said[rows]))
            base, slope = fitted["level"][rows], fitted["trend"][rows]
            for step in range(values.shape[1]):
                slope = phi * slope
                base = base + slope
                error = off[:, step]
                if group.multiplicative:
                    base = np.maximum(base, FLOOR)
                    error = error * base / scale.scaled(said[rows, step, None])[:, 0]
                level[rows, step] = base * scale.width + scale.centre
                trend[rows, step] = slope * scale.width
                base, slope = base + alpha * error, slope + beta * error
        return {"level": level, "trend": trend, "season": said - level, "remainder": values - said}

    def _memory(self, ahead):
        memory = np.ones(ahead.forecast.shape)
        rest = self._with(1) if "seasons" in self._model else self._with(self._periods)
        for group, rows in rest._rows_of_groups(self._model):
            memory[rows, 1:] = _coefficients(self._model["parameters"][rows], group.period, memory.shape[1])
        return memory

    def _rows_of_groups(self, fitted) -> Iterator[tuple[_Group, np.ndarray]]:
        """Yield the groups of forms with the series that have one of them."""
        for group, _ in self._groups():
            rows = np.flatnonzero(np.isin(fitted["form"], [group.form(i) for i in range(len(TRENDS))]))
            if len(rows):
                yield group, rows


class _Scale(NamedTuple):
    """Units in which levels are about 1."""

    centre: np.ndarray
    width: np.ndarray

    @classmethod
    def of(cls, values, multiplicative: bool) -> _Scale:
        mean = known_means(values)
        if multiplicative:
            return cls(np.zeros_like(mean), mean)
        moves = np.abs(np.diff(values, axis=1))
        width = known_means(moves)
        return cls(mean, np.where(width > 0, width, np.maximum(np.abs(mean), 1.0)))

    def scaled(self, values) -> np.ndarray:
        return (values - self.centre[:, None]) / self.width[:, None]

    def restored(self, values) -> np.ndarray:
        return values * self.width[:, None] + self.centre[:, None]


def _keep_better(best, found, able, group: _Group, trends) -> None:
    """Store the fit of the series `able` where it is the best so far."""
    count = len(able)
    aicc = found["aicc"].reshape(len(trends), -1)
    first = np.argmin(aicc, axis=0)
    least = aicc[first, np.arange(count)]
    # If no form has a finite AICc, take the first that could be fitted.
    better = (least < best["aicc"][able]) | (best["form"][able] < 0)
    rows, places = able[better], (first * count + np.arange(count))[better]
    best["form"][rows] = [group.form(trends[place // count]) for place in places]
    best["season"][rows, : group.period] = found["season"][places]
    for name in ("parameters", "level", "trend", "centre", "width", "variance", "aicc"):
        best[name][rows] = found[name][places]


def _coefficients(parameters, period: int, horizon: int) -> np.ndarray:
    """Return the weights of innovations of the age 1, 2, … in the errors of a forecast, ``(N, H - 1)``.

    ``c_j = α + β (φ + … + φ^j) + γ [j mod m = 0]`` (Hyndman et al. 2008, table 6.1).
    """
    alpha, beta, gamma, phi = (parameters[:, i, None] for i in range(4))
    leads = np.arange(1, horizon)
    damped = np.cumsum(np.broadcast_to(phi, (len(phi), horizon - 1)) ** leads, axis=1)
    return alpha + beta * damped + gamma * ((leads % period == 0) & (period > 1))


class _Fit:
    """The forms of a group fitted to series: a row for each trend and series, trends first.

    Unknowns of a row: α, β / α, γ / (1 - α) and φ through logistic curves, then changes of the starting level, slope
    and season. Unknowns that a form lacks keep their starts.
    """

    def __init__(self, group: _Group, trends: list[int], values, lengths, iterations: int, least: np.ndarray):
        self.group, self.iterations, self.least = group, iterations, least
        self.scale = _Scale.of(values, group.multiplicative)
        scaled, each = self.scale.scaled(values), len(trends)
        self.counts = np.tile((~np.isnan(values)).sum(axis=1), each)
        self.series = SideBySide(group.make, np.tile(scaled, (each, 1)), np.tile(lengths, each), period=group.period)
        self.trends = np.repeat(trends, len(values))
        start = starting_states(scaled, group.period, group.multiplicative)
        none = self.trends == 0
        self.level = np.where(none, np.tile(start.mean, each), np.tile(start.level, each))
        self.slope = np.where(none, 0.0, np.tile(start.slope, each))
        self.season = np.tile(start.season, (each, 1))
        m, size = group.period, len(self.trends)
        self.free = np.ones((size, 6 + m - 1), bool)
        self.free[:, [1, 5]] = ~none[:, None]
        self.free[:, 2] = m > 1
        self.free[:, 3] = self.trends == 2
        self.unknowns = 1 + self.free.sum(axis=1) + (m > 1)
        self.centre, self.width = np.tile(self.scale, each)

    def run(self) -> dict[str, np.ndarray]:
        again = np.flatnonzero((self.trends == 2) & (self.group.period == 1))
        rows, count = np.append(np.arange(len(self.trends)), again), len(self.trends)
        # A curve that flattens out is a minimum of its own.
        x, value, _ = minimize_rows(
            lambda part, x: self._loss(rows[part], x),
            np.concatenate([self._start(_STARTS), self._start(_FLATTENING)[again]]),
            iterations=self.iterations,
            hopeless=lambda part, value: self._criteria(value, rows[part])[1] > self.least[rows[part]] + _CLOSE,
        )
        better = np.flatnonzero(value[count:] < value[again])
        x[again[better]], value[again[better]] = x[count + better], value[count + better]
        x, value = x[:count], value[:count]
        parameters, (level, trend, season), _ = self._model(np.arange(len(x)), x)
        variance = self._variance(parameters, (level, trend, season), self.unknowns - 1)
        variance = np.where(self.counts == 1, 1.0, variance)  # a single value has no residuals
        found_arrays = {"parameters": parameters, "level": level, "trend": trend, "season": season}
        found_arrays |= {"centre": self.centre, "width": self.width, "variance": variance}
        return found_arrays | dict(zip(("aic", "aicc"), self._criteria(value, np.arange(count)), strict=True))

    def _criteria(self, value, rows) -> tuple[np.ndarray, np.ndarray]:
        """Return AIC and AICc, infinite where they are unknown."""
        counts, unknowns = self.counts[rows], self.unknowns[rows]
        # The likelihood: twice its negative logarithm, in the series' own units.
        deviance = counts * (2 * value + 2 * np.log(self.width[rows]) + np.log(counts))
        spare = counts - unknowns - 1
        correction = np.where(spare > 0, 2 * unknowns * (unknowns + 1) / np.maximum(spare, 1), np.inf)
        found = np.where(np.isnan(deviance), np.inf, deviance + 2 * unknowns)
        return found, found + correction

    def _start(self, parameters) -> np.ndarray:
        start = np.zeros(self.free.shape)
        for i, (value, (low, high)) in enumerate(zip(parameters, _BOUNDS, strict=True)):
            start[:, i] = np.log((value - low) / (high - value))
        start[np.isneginf(self.least)] = np.nan  # a value that isn't finite ends the search of a row
        return start

    def _model(self, rows, x):
        """Return parameters and starting states for the unknowns, and the factors of their gradients."""
        curve = 1 / (1 + np.exp(-x[:, :4]))
        low, high = np.array(_BOUNDS).T
        alpha, share, left, phi = (low + (high - low) * curve).T
        steep = ((high - low) * curve * (1 - curve)) * self.free[rows, :4]
        trends = self.trends[rows]
        share = np.where(trends > 0, share, 0.0)
        left = left * (self.group.period > 1)
        phi = np.choose(trends, [0.0, 1.0, phi])
        parameters = np.stack([alpha, alpha * share, (1 - alpha) * left, phi], axis=1)
        moves = x[:, 6:] * _SEASON
        season = self.season[rows]
        if self.group.period > 1:
            season = season + np.concatenate([moves, -moves.sum(axis=1, keepdims=True)], axis=1)
        states = [self.level[rows] + _LEVEL * x[:, 4], self.slope[rows] + _SLOPE * x[:, 5], season]
        return parameters, states, (alpha, share, left, steep)

    def _loss(self, rows, x):
        parameters, states, (alpha, share, left, steep) = self._model(rows, x)
        with np.errstate(all="ignore"):
            value, d_parameters, d_states = self.series.differentiate(rows, parameters, states, self._errors)
        a, b, c, p = d_parameters.T
        d = np.zeros(x.shape)
        d[:, :4] = np.stack([a + b * share - c * left, b * alpha, c * (1 - alpha), p], axis=1) * steep
        d[:, 4], d[:, 5] = _LEVEL * d_states[0], _SLOPE * d_states[1]
        if self.group.period > 1:
            d[:, 6:] = _SEASON * (d_states[2][:, :-1] - d_states[2][:, -1:])
        return value, np.where(self.free[rows] & np.isfinite(d), d, 0.0)

    def _errors(self, y, forecast):
        """Return half of each series' deviance over its count, and its gradient by the forecasts."""
        known = ~np.isnan(y)
        count = np.maximum(known.sum(axis=1), 1)
        error = np.where(known, y - forecast, 0.0)
        if not self.group.multiplicative:
            squares = (error * error).sum(axis=1) + _LEAST
            return 0.5 * np.log(squares / count), -error / squares[:, None]
        error = np.where(known, error / forecast, 0.0)
        squares = (error * error).sum(axis=1) + _LEAST
        value = 0.5 * np.log(squares / count) + np.where(known, np.log(np.abs(forecast)), 0.0).sum(axis=1) / count
        d = -error / squares[:, None] * np.where(known, y, 1.0) / forecast**2 + 1 / (forecast * count[:, None])
        return value, np.where(known, d, 0.0)

    def _variance(self, parameters, states, unknowns) -> np.ndarray:
        """Return the variance of the errors, in units of the scale."""
        run = self.series.run(np.arange(len(parameters)), parameters, states)
        error = self.series.values - run
        error = error / run if self.group.multiplicative else error
        return known_sums(error**2) / np.maximum(self.counts - unknowns, 1)


_BOUNDS = ((_LOW, _HIGH), (_LOW, _HIGH), (_LOW, _HIGH), _DAMPED)


class _Start(NamedTuple):
    """Starting states; a form without a trend starts from the mean."""

    mean: np.ndarray
    level: np.ndarray
    slope: np.ndarray
    season: np.ndarray


def starting_states(scaled, period: int, multiplicative: bool) -> _Start:
    """Return starting states ``(N,)``: classical decomposition, then a line through the first values.

    Hyndman et al. (2008), section 2.6.1. The period m is 1 for no season; the season ``(N, m)`` is that of the first
    steps.
    """
    if period > 1:
        season = seasonal_factors(scaled, period, multiplicative, seasons=4)
    else:
        season = np.full((len(scaled), 1), float(multiplicative))
    first = scaled[:, : max(10, 2 * period if period > 1 else 0)]
    each = season[:, np.arange(first.shape[1]) % season.shape[1]]
    first = first / each if multiplicative else first - each
    known = ~np.isnan(first)
    times = np.arange(1.0, first.shape[1] + 1)
    count = np.maximum(known.sum(axis=1), 1)
    mean_time = known_sums(known * times) / count
    mean = np.where(known.any(axis=1), known_means(first), known_means(scaled))
    off = np.where(known, times - mean_time[:, None], 0.0)
    power = known_sums(off**2)
    slope = known_sums(off * first) / np.where(power > 0, power, 1.0)
    level = mean - slope * mean_time
    return _Start(mean, np.maximum(level, 0.1 * mean) if multiplicative else level, slope, season)
