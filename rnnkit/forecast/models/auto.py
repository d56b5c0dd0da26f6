"""The default for panels of series: a combination of models, with bands from their errors at the series' ends."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from rnnkit.arguments import whole
from rnnkit.forecast.data.history import History
from rnnkit.forecast.fitting.blocks import Blocks
from rnnkit.forecast.fitting.conformal import Calibration
from rnnkit.forecast.fitting.demands import Demands
from rnnkit.forecast.fitting.held_out import Ends, leads_of
from rnnkit.forecast.models import demand
from rnnkit.forecast.models.autoregression import Autoregression, able
from rnnkit.forecast.models.exponential_smoothing import FORMS, ExponentialSmoothing
from rnnkit.forecast.models.forecaster import (
    LEVEL,
    Ahead,
    Fitted,
    Forecaster,
    checked_columns,
    checked_levels,
    forecast_in_blocks,
    in_blocks,
)
from rnnkit.forecast.models.global_rnn import GlobalRNN, ahead_of_ends
from rnnkit.forecast.models.prepared import completed
from rnnkit.forecast.models.theta import Theta
from rnnkit.forecast.models.together import Progress, Together
from rnnkit.serialization.array_files import below

_DAMPED = [form for form in FORMS if "d" in form]
_SHORT = 4  # values, below which a series holds its last value
_SHARED = 30.0  # weight of the panel's mean, in held-out values of a series
_PANEL = 100  # least series for training a network
_USUAL = 0.4  # prior of the network's share
_GRID = np.linspace(0.0, 1.0, 41)  # candidate shares
_POINTS = (None, "mean", "median")
_EVENLY = (np.arange(20) + 0.5) / 20  # probabilities of quantiles whose mean is that of the distribution


class Auto(Together):
    """A combination of exponential smoothing, Theta models, an autoregression and a network, with calibrated bands.

    Four models are fitted to every series: the dynamic optimized Theta model, the Theta method with θ = 2, exponential
    smoothing with its form chosen by AICc, and exponential smoothing with a damped trend. Their mean is the forecast:
    equal weights are hard to improve on (Clemen 1989, "Combining forecasts: a review and annotated bibliography"). A
    series of 120 values or more has an `Autoregression` besides; one of fewer than 4 values holds its last value. A
    panel of 100 series or more, and one with covariates, has a `GlobalRNN` besides.

    All models are fitted a first time without the ends of the series, which they then forecast. Their errors
    there gives the shares of the autoregression and of the network (Bates and Granger 1969, "The combination of
    forecasts"): the former's for each series and lead by least squares, the latter's for the panel as a whole by
    absolute errors, and without covariates as the geometric mean with 0.4. It also gives the bands: split conformal
    prediction by lead (Romano, Patterson and Candès 2019, "Conformalized quantile regression"), over all series, in
    units of the models' spreads.

    Intermittent series, with 1.32 steps or more from demand to demand (Syntetos, Boylan and Croston 2005), are forecast
    apart, unless a season explains most of their variance or there are covariates: by means of `TSB` with two smoothing
    parameters, of all values and of the season, with weights by least squares at the held-out ends, whose total
    corrects the panel's. Their bands come from the sizes of past demands, and begin at 0 where no demand is likely.

    Parameters
    ----------
    season : int, optional
        Steps of a season, 1 for none. By default inferred from a table's times (12 for months, 4 for quarters, 7 for
        days, 24 for hours), or else from the autocorrelation of most series.
    level : sequence of float in [1, 100)
        Percentages of the bands that `predict` gives by default.
    seed : int
        Of the network: the same seed gives the same bits.
    past_covariates, future_covariates : sequence of str
        Columns of the table that the network reads, known up to now, and known ahead.
    point : {None, "mean", "median"}
        The forecasts beside the bands: means or medians of what is expected. By default means of intermittent series,
        and of others the combination itself.

    Attributes
    ----------
    weights : ndarray (M, B, L)
        Of the models, whose names are ``models``, for each series and lead; 0 for intermittent series.

    Examples
    --------
    >>> import numpy as np
    >>> wave = 50 + 10 * np.sin(np.arange(96) * np.pi / 6)
    >>> Auto(season=12).fit(wave).predict(3).round(1)
    array([50. , 55. , 58.7])
    """

    future_covariates: Any
    past_covariates: Any
    reads_covariates = True
    models: Any = ("theta", "standard theta", "smoothing", "damped", "autoregression", "network")

    def __init__(
        self,
        season: int | None = None,
        level: Sequence[float] | float = LEVEL,
        seed: int = 0,
        *,
        past_covariates: Sequence[str] = (),
        future_covariates: Sequence[str] = (),
        point: str | None = None,
    ):
        super().__init__()
        if point not in _POINTS:
            raise ValueError(f"expected point to be 'mean', 'median' or None; got {point!r}")
        self.point: Any = point
        self.season: Any = None if season is None else whole(season, "season", 1)
        self.level: Any = checked_levels(level)
        self.seed: int = whole(seed, "seed", 0)
        self.past_covariates, self.future_covariates = checked_columns(past_covariates, future_covariates)

    @property
    def weights(self) -> np.ndarray:
        """The weights of the models for each series and lead, ``(M, B, L)``; later leads have those of the last."""
        self._fitted_history()
        leads = self._model["share"].shape[1]
        share = self._network_shares(self._model)[:, None]
        found = np.concatenate([(1 - share) * _weights(self._model["share"], leads), share + np.zeros((1, 1, leads))])
        return found * self._model["regular"][:, None]

    def _shares(self):
        from rnnkit.cards import table_of

        if self._history is None:
            return None
        shares = self.weights.mean(axis=(1, 2))
        rows = [(name, f"{share:.0%}") for name, share in zip(self.models, shares, strict=True)]
        return table_of(("model", "mean weight"), rows, {"mean weight"})

    def _candidates(self, season: int) -> dict[str, Forecaster]:
        period = season if season > 1 else None
        made = (
            Theta(period),
            Theta(period, theta=2.0),
            ExponentialSmoothing(period),
            ExponentialSmoothing(period, form=_DAMPED),
            Autoregression(period),
        )
        return dict(zip(self.models, made, strict=False))

    def _network(self, season: int, leads: int):
        network = GlobalRNN(season, leads=leads, seed=self.seed)
        return network._network({"season": np.array(season), "leads": np.array(leads)})

    def _stages(self, history: History) -> int:
        size = _size(history)
        epochs = self._network(1, 1).epochs_for(size.series) if size.networked else 0
        return 2 + 2 * epochs  # one stage for the other models

    def _learned(self, series: Blocks, progress: Progress = None):
        season = self._season_of(series)
        leads = leads_of(season)
        series, demands = demand.split(series, season)
        sizes = series.map(_size)
        count = sum(size.series for size in sizes)
        panel = {"season": np.array(season), "leads": np.array(leads), "network share": np.zeros(1)} | demands
        if not count:
            return [{"share": np.zeros((0, leads))} for _ in sizes], panel
        networked = sizes[0]._replace(series=count).networked
        whole = (leads, networked, count, sum(size.steps for size in sizes))
        held_out = series.made(_held_out, self.copy(), season, *whole)
        sums, steps = zip(*held_out.map(_gains), strict=True)
        mean = np.concatenate(sums, axis=1).sum(axis=1) / max(np.concatenate(steps).sum(), 1)
        errors, spreads, shares = zip(*held_out.map(_combined, mean), strict=True)
        if progress is not None:
            progress("models without the ends of the series")
        off, spread = np.concatenate(errors), np.concatenate(spreads)
        found = [{"share": share} for share in shares]
        if networked and len(off):
            network = self._network(season, leads)
            seen = ahead_of_ends(network, held_out.made(_ends), progress)
            other = np.concatenate([ahead.forecast - came for ahead, came in seen])
            share = _share(off, other)
            if not sizes[0].covariates:
                share = np.sqrt(share * _USUAL)
            panel["network share"] = np.array([share])
            off = (1 - share) * off + share * other
            spread = (1 - share) * spread + share * np.concatenate([_absolute(ahead) for ahead, _ in seen])
            if share:
                own, shared = network.learned(series, progress)
                for rows, more in zip(found, own, strict=True):
                    rows |= {f"network/{name}": array for name, array in more.items()}
                panel |= {f"network/{name}": array for name, array in shared.items()}
        calibration = Calibration.of(-off / _positive(spread))
        return found, panel | {"errors": calibration.errors, "counts": calibration.counts}

    def _completed(self, history: History, found, panel):
        season = int(panel["season"])
        regular = ~demand.intermittent(history, season)
        known, rows = demand.some(history, regular), {"share": found["share"], "short": np.zeros(regular.sum(), bool)}
        if regular.any():
            rows |= in_blocks(partial(self._fitted_by_all, season), known.values, known.lengths)
        if network := below("network/", found):
            rows |= {f"network/{name}": array for name, array in completed(known, network).items()}
        rows = {name: _spread_out(array, regular) for name, array in rows.items()} | {"regular": regular}
        if shared := below("demand/", panel):
            rows["demand"] = demand.weights(history, season, shared)
        return rows

    def _fitted_by_all(self, season, values, lengths) -> dict[str, np.ndarray]:
        """Return the arrays fitted by every model, with names ``model/array``."""
        models = self._candidates(season)
        found = {name: models[name]._fitted(values, lengths) for name in ("theta", "standard theta", "autoregression")}
        smoothing = ExponentialSmoothing(season if season > 1 else None).chosen(values, lengths, [FORMS, _DAMPED])
        found |= dict(zip(("smoothing", "damped"), smoothing, strict=True))
        rows = {f"{name}/{part}": array for name, parts in found.items() for part, array in parts.items()}
        return rows | {"short": _is_short(values)}

    def _ahead_of(self, history: History, h: int) -> Ahead:
        regular, season = self._model["regular"], int(self._panel["season"])
        if regular.all():
            return self._combination(history, self._model, h)
        forecast, spread = np.zeros((2, len(regular), h))
        if regular.any():
            rows = {name: array[regular] for name, array in self._model.items()}
            part = self._combination(demand.some(history, regular), rows, h)
            forecast[regular], spread[regular] = part.forecast, part.spread
        others, shared = demand.some(history, ~regular), below("demand/", self._panel)
        forecast[~regular] = demand.means(others, season, self._model["demand"][~regular], shared, h)
        return Ahead(forecast, spread, np.zeros(len(regular), bool))

    def _bands(self, history: History, ahead: Ahead, probabilities):
        found, others = np.zeros((len(probabilities), *ahead.forecast.shape)), ~self._model["regular"]
        if not others.all():
            found = super()._bands(history, ahead, probabilities)
        if others.any():
            demands = Demands(history.values[others], ahead.forecast[others])
            found[:, others] = [demands.quantiles(one) for one in probabilities]
        return found

    def _edges(self, history: History, ahead: Ahead, levels):
        found, others = super()._edges(history, ahead, levels), ~self._model["regular"]
        if others.any():
            demands = Demands(history.values[others], ahead.forecast[others])
            for level, (lower, upper) in zip(levels, found, strict=True):
                lower[others], upper[others] = demand.band(demands, below("demand/", self._panel), level / 100)
        return found

    def _point(self, history: History, ahead: Ahead):
        if self.point is None:
            return ahead.forecast
        found = self._bands(history, ahead, [0.5] if self.point == "median" else _EVENLY).mean(axis=0)
        means = ~self._model["regular"][:, None] & (self.point == "mean")
        return np.where(means, ahead.forecast, found)

    def _combination(self, history: History, rows, h: int) -> Ahead:
        """Return the forecasts of the models for the series that aren't intermittent, with their rows."""
        ahead = forecast_in_blocks(self._ahead, history, rows, h)
        share = self._network_shares(rows)[:, None]
        if not share.any():
            return ahead
        network = self._network(int(self._panel["season"]), int(self._panel["leads"]))
        fitted = Fitted(below("network/", rows), below("network/", self._panel))
        other = network.ahead(history, fitted, h)
        forecast = (1 - share) * ahead.forecast + share * other.forecast
        return Ahead(forecast, (1 - share) * ahead.spread + share * _absolute(other), ahead.of_logarithms)

    def _network_shares(self, rows) -> np.ndarray:
        """Return the network's share for each series ``(N,)``; 0 for series that hold their last value."""
        return np.where(rows["short"], 0.0, self._panel["network share"])

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


def _spread_out(array, mask) -> np.ndarray:
    """Return rows at the places of a mask, zeros elsewhere."""
    found = np.zeros((len(mask), *array.shape[1:]), array.dtype)
    found[mask] = array
    return found


class _Size(NamedTuple):
    series: int
    steps: int
    covariates: bool

    @property
    def networked(self) -> bool:
        """Whether there are enough series, or covariates, to train a network."""
        return self.covariates or self.series >= _PANEL


def _size(history: History) -> _Size:
    return _Size(len(history.lengths), int(history.lengths.sum()), history.covariates is not None)


class _HeldOut(NamedTuple):
    """Forecasts of the ends of N series by all models but the network, fitted without these ends."""

    ends: Ends
    errors: np.ndarray  # (M, R, L); NaN without an actual value
    spread: np.ndarray  # (M, R, L)
    able: np.ndarray  # (N,), whether a series has the autoregression
    short: np.ndarray  # (N,), whether a series holds its last value


def _held_out(history: History, model: Auto, season: int, leads: int, once: bool, count: int, steps: int) -> _HeldOut:
    """Forecast the held-out ends of a block's series, out of `count` series and `steps` steps in all."""
    ends, candidates = Ends.of(history, leads, once, count, steps), model._candidates(season)
    said, spread = np.zeros((2, len(candidates), *ends.came.shape))
    if len(ends.series):
        fitted = in_blocks(partial(model._fitted_by_all, season), ends.history.values, ends.history.lengths)
        for place, (name, one) in enumerate(candidates.items()):
            ahead = forecast_in_blocks(one._ahead, ends.history, below(f"{name}/", fitted), ends.came.shape[1])
            said[place], spread[place] = ahead.forecast, _absolute(ahead)
    return _HeldOut(ends, said - ends.came, spread, able(history.values), _is_short(history.values))


def _ends(held_out: _HeldOut) -> Ends:
    return held_out.ends


def _gains(held_out: _HeldOut) -> tuple[np.ndarray, np.ndarray]:
    """Return the autoregression's gains beside the mean of the others, see `_sums`."""
    errors, ends = held_out.errors, held_out.ends
    other = np.where(able(ends.history.values)[:, None], errors[-1], np.nan)
    return _sums(errors[:-1].mean(axis=0), other, ends.series, len(held_out.able))


def _combined(held_out: _HeldOut, mean) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return errors and spreads of the combination ``(R, L)``, and the autoregression's share ``(N, L)``."""
    share = _shares(_gains(held_out)[0], mean, held_out.able)
    share[held_out.short] = 1.0  # where the autoregression holds the last value
    weights = _weights(share[held_out.ends.series], held_out.ends.came.shape[1])
    return (weights * held_out.errors).sum(axis=0), (weights * held_out.spread).sum(axis=0), share


def _is_short(values) -> np.ndarray:
    return (~np.isnan(values)).sum(axis=1) < _SHORT


def _absolute(ahead: Ahead) -> np.ndarray:
    """Return standard deviations in the values' own units."""
    return np.where(ahead.of_logarithms[:, None], np.abs(ahead.forecast) * ahead.spread, ahead.spread)


def _positive(spread) -> np.ndarray:
    return np.where(spread > 0, spread, 1.0)


def _weights(share, h: int) -> np.ndarray:
    """Return the models' weights ``(M, N, H)`` from the last model's share ``(N, L)``; later leads repeat lead L."""
    share = share[:, np.minimum(np.arange(h), share.shape[1] - 1)]
    others = Auto.models.index("autoregression")
    return np.stack([*[(1 - share) / others] * others, share])


def _share(errors, other) -> float:
    """Return the share of another model beside a first one with the least mean absolute error over all series.

    Errors ``(R, L)`` are those at held-out ends; NaN without an actual value. The result is independent of each series'
    units.
    """
    known = ~np.isnan(errors) & ~np.isnan(other)
    errors, other = np.where(known, errors, 0.0), np.where(known, other, 0.0)
    counts = np.maximum(known.sum(axis=1), 1)
    unit = _positive((np.abs(errors) + np.abs(other)).sum(axis=1) / counts)
    sizes = [(np.abs((1 - share) * errors + share * other).sum(axis=1) / unit).sum() for share in _GRID]
    return float(_GRID[np.argmin(sizes)])


def _sums(errors, other, series, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return sums ``Σ e (e - d)`` and ``Σ (e - d)²`` of `count` series ``(2, N, L)``, and their step counts ``(N,)``.

    e and d are the errors ``(R, L)`` of the mean of the first models and of another one at the held-out ends of
    `series` ``(R,)``, summed over all leads up to each; NaN without an actual value or the other model.
    """
    known = ~np.isnan(errors) & ~np.isnan(other)
    errors, other = np.where(known, errors, 0.0), np.where(known, other, 0.0)
    size, steps = np.zeros((2, count))
    np.add.at(size, series, (np.abs(errors) + np.abs(other)).sum(axis=1))
    np.add.at(steps, series, known.sum(axis=1))
    unit = (size / np.maximum(2 * steps, 1))[series, None]  # independent of each series' units
    errors, other = errors / _positive(unit), other / _positive(unit)
    sums = np.zeros((2, count, errors.shape[1]))
    np.add.at(sums[0], series, errors * (errors - other))
    np.add.at(sums[1], series, (errors - other) ** 2)
    return np.cumsum(sums, axis=2), steps


def _shares(sums, mean, has) -> np.ndarray:
    """Return the share of another model beside the mean of the first ones, per series and lead ``(N, L)``.

    The share minimises the squared errors at the held-out ends: ``Σ e (e - d) / Σ (e - d)²``, then sharpened towards 0
    and 1. `mean` ``(2, L)`` are the sums of all series, per step; `has` ``(N,)`` says which series have the other
    model.
    """
    gain, power = sums + _SHARED * mean[:, None]
    share = gain / np.where(power > 0, power, 1.0)
    share = np.clip(3 * share - 1, 0.0, 1.0)  # below a third none, above two thirds all
    return np.where(has[:, None] & (power > 0), share, 0.0)
