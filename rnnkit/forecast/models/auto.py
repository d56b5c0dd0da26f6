"""The default for panels of series: a combination of models, with bands from their errors at the series' ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import KW_ONLY
from functools import partial
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from rnnkit.arguments import whole
from rnnkit.forecast.data import frames
from rnnkit.forecast.data.history import History
from rnnkit.forecast.fitting.held_out import Ends, by_lead, evenly, leads_of
from rnnkit.forecast.fitting.profiles import Profiles, are_apart, periods_of
from rnnkit.forecast.models import demand
from rnnkit.forecast.models.autoregression import Autoregression, able
from rnnkit.forecast.models.baselines import LastCycle
from rnnkit.forecast.models.exponential_smoothing import FORMS, ExponentialSmoothing
from rnnkit.forecast.models.forecaster import (
    LEVEL,
    Ahead,
    Fitted,
    Forecaster,
    absolute,
    forecast_in_blocks,
    in_blocks,
    parts_with_effects,
    with_arguments,
    with_effects,
    without_effects,
)
from rnnkit.forecast.models.global_rnn import GlobalRNN, ahead_of_ends
from rnnkit.forecast.models.intermittent import Demands
from rnnkit.forecast.models.normalization import completed
from rnnkit.forecast.models.theta import Theta
from rnnkit.forecast.models.together import Blocks, Together
from rnnkit.forecast.scoring.evaluation import naive_scales
from rnnkit.hints import Progress
from rnnkit.serialization.array_files import below

_RECENT, _CYCLES = 4096, 12  # steps, or cycles of the longest season, before which models read nothing
_SHORT = 4  # values, below which a series holds its last value
_SHARED = 40.0  # weight of the panel's errors, in held-out values of a series
_EQUAL = 10.0  # weight of equal errors, in series
_POWER = 4.0  # of the inverse errors
_SQUARES = 400.0  # held-out values at which least squares have half a say in the autoregression's share
_BY_LEAD = 30.0  # held-out values of a lead and its neighbours at which they have half a say in its share
_APART = 3.0  # most deviations of the autoregression, which may explode, from the median of the other forecasts
_FAR, _NEAR = 4.0, 2.0  # deviations of a last value from its forecast, if drawn in, and after
_KNOWN = 24  # steps of a season up to which the last cycle needs a panel that tells its worth
_WORST = 5.0  # most error, relative to the median of the models
_PANEL = 100  # least series for training a network
_USUAL, _NETWORK_POWER = 0.4, 2.0  # the network's share at equal errors, and the power of their inverse ratio
_WIDER = 1.03  # later errors over those at a series' only end, which its weights were chosen by
_GRID = np.linspace(0.0, 1.0, 41)  # candidate shares
_EXACT = 1e-6  # of the values' range: a series with errors, or spreads, so small is known before, as a constant one is
_MODELS: Any = ("theta", "smoothing", "last cycle", "autoregression", "network")
_POINTS = (None, "mean", "median")
_EVENLY = evenly(20)  # probabilities of quantiles whose mean is that of the distribution


@with_arguments
class Auto(Together):
    """A combination of exponential smoothing, Theta models, an autoregression and a network, with calibrated bands.

    Two models are fitted to every series: the dynamic optimized Theta model, and exponential smoothing with its form
    chosen by AICc. The last cycle comes once more as a third, except with seasons of 2 to 24 steps in panels of fewer
    than 100 series. A series of 48 values or more, and three cycles of its season, has an `Autoregression` besides; one
    of fewer than 4 values holds its last value. A panel of 100 series or more, and one with covariates, has a
    `GlobalRNN` besides. Several seasons, or one of more than 60 steps, are taken out before, as far as a series has
    them (`rnnkit.forecast.fitting.profiles.Profiles`). The last value of a series with a season is drawn towards what
    was to be expected, if it is far off.

    All models are fitted a first time without the ends of the series, which they then forecast. Their errors there give
    their weights (Bates and Granger 1969, "The combination of forecasts"): those of each series are inverse to the
    fourth power of the models' mean absolute errors, which are drawn towards their means over the panel, the more the
    fewer values there are. The autoregression's share is the mean of that weight and the share of least squares at the
    ends, beside the weighted others: half of each at 400 held-out values, which only few series or long ones have, and
    the more of the latter the more there are; each lead has a share of its own, likewise, of the values at it and its
    neighbours, half of it at 30. Its forecasts stay within three standard deviations of the others' median, as an
    autoregression of a growing series may explode. The network has one share for all series: 0.4 where its errors are
    those of the others, with odds inverse to the square of their ratio, at most 0.4 without a season, and with
    covariates the share of the least absolute error. The errors also give the bands: split conformal prediction by lead
    (Romano, Patterson and Candès 2019, "Conformalized quantile regression"), over all series, in units of the
    spread that the models expect and of how far they are apart, and without three quarters of their median at each
    lead. Where a lead has few errors, its quantiles are drawn to those of all leads.

    Intermittent series, with 1.32 steps or more from demand to demand (Syntetos, Boylan and Croston 2005), are forecast
    apart, unless a season explains most of their variance or there are covariates, and so are those that have ended, by
    0: by means of `TSB` with two smoothing parameters, of all values and of the season, with weights by least squares
    at the held-out ends, whose total corrects the panel's. Their bands come from the sizes of past demands, and begin
    at 0 where no demand is likely.

    Parameters
    ----------
    season : int or sequence of int, optional
        Steps of a season, 1 for none, or of several seasons. By default inferred from a table's times (12 for months, 4
        for quarters, 52 for weeks, 7 and 365 for days, 24 and 168 for hours), or else found in the series (see
        `find_season`).
    seed : int
        Of the network: the same seed gives the same bits.
    past_covariates, future_covariates : sequence of str
        Columns of the table that the network reads, known up to now, and known ahead. The other models take the latter
        as `ExponentialSmoothing` does.
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

    season: int | Sequence[int] | None = None
    level: Sequence[float] | float = LEVEL
    seed: int = 0
    _: KW_ONLY
    past_covariates: Sequence[str] = ()
    future_covariates: Sequence[str] = ()
    point: str | None = None
    reads_covariates = True
    _several_seasons = True
    models = _MODELS

    def __post_init__(self):
        super().__post_init__()
        if self.point not in _POINTS:
            raise ValueError(f"expected point to be 'mean', 'median' or None; got {self.point!r}")
        self.seed = whole(self.seed, "seed", 0)

    @property
    def weights(self) -> np.ndarray:
        """The weights of the models for each series and lead, ``(M, B, L)``."""
        self._fitted_history()
        share, leads = self._network_shares[:, None], int(self._panel["leads"])
        found = (1 - share) * _of_all(self._model["weights"], self._model["shares"])
        return np.concatenate([found, np.repeat(share, leads, axis=1)[None]]) * self._regular[:, None]

    def _shares(self):
        from rnnkit.cards import table_of

        if self._history is None:
            return None
        names, *columns = self._board(*self._scaled()).values()
        forms = (".3f", ".0%", ".0%")
        texts = [
            ["" if np.isnan(one) else format(one, form) for one in column]
            for form, column in zip(forms, columns, strict=True)
        ]
        heads = ("model", "held-out MASE", "best of series", "mean weight")
        return table_of(heads, list(zip(names, *texts, strict=True)), heads[1:])

    def leaderboard(self, by_series: bool = False) -> Any:
        """Return the models that were tried, with their scores at the held-out ends of the series and their weights.

        Parameters
        ----------
        by_series : bool
            Whether to list the models of each series, rather than of all series together.

        Returns
        -------
        table, or dict of columns for arrays
            A row for each model, the best first: ``model``; ``mase``, the mean absolute error over that of the
            (seasonal) naive forecast within the series, averaged over the series; ``best``, the share of the series in
            which it had the least error; and ``weight``, the mean weight in the combination. Or by series:
            ``unique_id`` (``series`` of arrays), ``model``, ``mae``, ``mase`` and ``weight``. ``Auto`` is the
            combination itself. NaN where a model was not tried, or the series is too short to hold out its end.
        """
        history, (errors, scaled, weights) = self._fitted_history(), self._scaled()
        if not by_series:
            board = self._board(errors, scaled, weights)
            return board if history.frame is None else frames.handed_out(history.frame.kind.table(board))
        order = np.argsort(errors, axis=1)  # NaN last
        sorted_by = lambda array: np.take_along_axis(array, order, axis=1).ravel()
        columns: dict[str, Any] = {"model": [self._tried[one] for one in order.ravel()]}
        columns |= {"mae": sorted_by(errors), "mase": sorted_by(scaled), "weight": sorted_by(weights)}
        if history.frame is not None:
            return frames.handed_out(history.frame.by_series(columns, len(self._tried)))
        return {"series": np.repeat(np.arange(len(errors)), len(self._tried))} | columns

    @property
    def _tried(self) -> list[str]:
        return [*self.models, self.name]

    def _scaled(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return mean absolute errors, scaled ones and weights of models and combination ``(N, M + 1)``."""
        history, errors = self._fitted_history(), self._model["held out"]
        series = [row[:length] for row, length in zip(history.values, history.lengths, strict=True)]
        scale = naive_scales(series, self._periods[0])[0]
        weights = self.weights.mean(axis=2).T
        return errors, errors / scale[:, None], np.concatenate([weights, np.ones((len(errors), 1))], axis=1)

    def _board(self, errors, scaled, weights) -> dict[str, Any]:
        """Return the columns of `leaderboard` over all series, the best first."""
        known = np.maximum((~np.isnan(scaled)).sum(axis=0), 1)
        mase = np.where(np.isnan(scaled).all(axis=0), np.nan, np.nansum(scaled, axis=0) / known)
        alone = errors[:, :-1]
        least = np.min(np.where(np.isnan(alone), np.inf, alone), axis=1)
        best = np.append((alone == least[:, None]).mean(axis=0), np.nan)
        order = np.argsort(mase)
        order = order[~np.isnan(mase[order]) | (weights.mean(axis=0)[order] > 0)]  # of those that were tried
        columns = {"mase": mase[order], "best": best[order], "weight": weights.mean(axis=0)[order]}
        found: dict[str, Any] = {"model": [self._tried[one] for one in order]}
        return found | columns

    def _candidates(self, season: Any, apart: bool = False) -> dict[str, Any]:
        """Return the models but the network; all but `_WHOLE` take values whose seasons are `apart`, if they are."""
        periods = periods_of(season)
        period = None if apart or periods == (1,) else periods[0]
        made = {
            "theta": Theta(period),
            "standard theta": Theta(period, theta=2.0),
            "smoothing": ExponentialSmoothing(period),
            "damped": ExponentialSmoothing(period, form=[form for form in FORMS if "d" in form]),
            "last cycle": LastCycle(periods[-1]),
            "autoregression": Autoregression(periods),
        }
        return {name: made[name] for name in self.models[:-1]}

    def _network(self, season: int, leads: int):
        network = GlobalRNN(season, leads=leads, seed=self.seed)
        return network._network({"season": np.array(season), "leads": np.array(leads)})

    def _stages(self, history: History) -> int:
        count = len(history.lengths)
        networked = count >= _PANEL or history.covariates is not None
        return 2 + (self._network(1, 1).epochs_for(count) if networked else 0)  # one stage for the other models

    def _learned(self, series: Blocks, progress: Progress = None):
        self.models = _MODELS  # not those of a file
        seasons = self._seasons_of(series)
        leads = leads_of(seasons[0], are_apart(seasons))
        series, demands = demand.split(series, seasons[0])
        counts, steps, beside = zip(*series.map(_size), strict=True)
        count = sum(counts)
        panel = {"season": np.array(seasons), "leads": np.array(leads), "network share": np.zeros(1)} | demands
        if not count:
            none = {"weights": np.zeros((0, len(_FITTED) - 1)), "shares": np.zeros((0, leads))}
            none["held out"] = np.zeros((0, len(self._tried)))
            return [none for _ in counts], panel
        networked = count >= _PANEL or beside[0]
        held_out = series.made(_held_out, self.copy(), seasons, leads, networked, count, sum(steps))
        usual = _usual_errors(held_out.map(_relative))
        if 1 < seasons[-1] <= _KNOWN and count < _PANEL:
            usual[_FITTED.index("last cycle")] = np.inf
        errors, spreads, found = zip(*held_out.map(_combined, usual), strict=True)
        if progress is not None:
            progress("models without the ends of the series")
        off, spread = np.concatenate(errors), np.concatenate(spreads)
        other = np.full(off.shape, np.nan)
        if networked and len(off):
            network = self._network(seasons[0], leads)
            seen, begun = ahead_of_ends(network, held_out.made(attrgetter("ends")), progress)
            other = np.concatenate([ahead.forecast - came for ahead, came in seen])
            share = (_share if beside[0] else _usual_share)(*_in_units(off, other))
            if seasons[0] == 1 and not beside[0]:
                share = min(share, _USUAL)  # as all trends may break after the ends
            panel["network share"] = np.array([share])
            own_spread = np.concatenate([absolute(ahead) for ahead, _ in seen])
            off, spread = _mixed([1 - share, share], [off, other], [spread, own_spread])
            if share:
                own, shared = network.learned(series, progress, begun)
                for rows, more in zip(found, own, strict=True):
                    rows |= {f"network/{name}": array for name, array in more.items()}
                panel |= {f"network/{name}": array for name, array in shared.items()}
        panel["errors"] = by_lead(-off * (_WIDER if networked else 1.0) / _positive(spread), alone=True)
        ends = np.cumsum([len(one) for one in errors])[:-1]
        places = held_out.map(attrgetter("ends.series"))
        for rows, part, *last in zip(found, places, np.split(other, ends), np.split(off, ends), strict=True):
            score = rows["held out"]
            rows["held out"] = np.stack([*score.T, *(_mean_size(one, part, len(score)) for one in last)], axis=1)
        return found, panel

    def _completed(self, history: History, found, panel):
        periods = periods_of(panel["season"])
        regular = ~demand.intermittent(history, periods[0])
        known = history if regular.all() else demand.some(history, regular)
        rows = {name: found[name] for name in ("weights", "shares", "held out")}
        rows["short"] = np.zeros(regular.sum(), bool)
        if regular.any():
            rest, effects = without_effects(known, periods[0])
            rows |= effects | in_blocks(partial(self._fitted_by_all, periods), rest.values, rest.lengths, found["near"])
        if network := below("network/", found):
            rows |= {f"network/{name}": array for name, array in completed(known, network).items()}
        rows = {name: _spread_out(array, regular) for name, array in rows.items()} | {"regular": regular}
        rows["held out"][~regular] = np.nan
        if shared := below("demand/", panel):
            rows["demand"] = demand.weights(history, periods[0], shared)
        return rows

    def _fitted_by_all(self, periods, values, lengths, near=-1) -> dict[str, np.ndarray]:
        """Return the arrays fitted by every model, with names ``model/array``."""
        models = self._candidates(periods, are_apart(periods))
        first = np.maximum(lengths - max(_RECENT, _CYCLES * periods[-1]), 0)
        rows = {"short": _is_short(values), "first": first}
        values, lengths = _since(values, lengths, first)
        if periods[0] > 1 and not are_apart(periods):
            rows |= _drawn_in(values, lengths, periods[0])
        rest = values = _with_drawn_in(values, rows)
        found = {name: models[name]._fitted(values, lengths) for name in _WHOLE}
        if are_apart(periods):
            apart = Profiles.of(values, lengths, periods)
            rest, rows["seasons"] = apart.rest, apart.found
        found["theta"] = models["theta"]._fitted(rest, lengths)
        found["smoothing"] = models["smoothing"]._fitted(rest, lengths, near)
        return rows | {f"{name}/{part}": array for name, parts in found.items() for part, array in parts.items()}

    @property
    def _regular(self) -> np.ndarray:
        """A mask ``(N,)`` of the series that aren't intermittent."""
        return self._model["regular"]

    def _kinds(self, history: History) -> Iterator[tuple[np.ndarray, Auto, History]]:
        """Yield a mask, a forecaster and a history of the series that aren't intermittent, and of the others."""
        for mask in (self._regular, ~self._regular):
            if mask.all():
                yield mask, self, history
            elif mask.any():
                alone = copy(self)
                alone._model = {name: array[mask] for name, array in self._model.items()}
                yield mask, alone, demand.some(history, mask)

    def _ahead_of(self, history: History, h: int | None = None) -> Ahead:
        forecast, spread = np.full((2, len(history.lengths), h or history.values.shape[1]), np.nan)
        for mask, alone, part in self._kinds(history):
            ahead = alone._of_kind(part, h)
            width = ahead.forecast.shape[1]
            forecast[mask, :width], spread[mask, :width] = ahead.forecast, ahead.spread
        return Ahead(forecast, spread, np.zeros(len(forecast), bool))

    def _of_kind(self, history: History, h: int | None) -> Ahead:
        """Return forecasts of series of one kind, of all steps without `h`."""
        if self._regular.all():
            forecast = lambda rest: forecast_in_blocks(self._mean, rest, self._model, h)
            return self._with_network(with_effects(history, self._model, forecast, h), history, h)
        if h is None:
            return Forecaster._inside(self, history)
        means = demand.means(history, self._periods[0], self._model["demand"], below("demand/", self._panel), h)
        return Ahead(means, np.zeros(means.shape), np.zeros(len(means), bool))

    def _bands(self, history: History, ahead: Ahead, probabilities):
        found, others = np.zeros((len(probabilities), *ahead.forecast.shape)), ~self._regular
        if not others.all():
            found = super()._bands(history, ahead, probabilities)
        if others.any():
            demands = Demands(history.values[others], ahead.forecast[others])
            found[:, others] = [demands.quantiles(one) for one in probabilities]
        return found

    def _edges(self, history: History, ahead: Ahead, levels):
        found, others = super()._edges(history, ahead, levels), ~self._regular
        if others.any():
            demands = Demands(history.values[others], ahead.forecast[others])
            for level, (lower, upper) in zip(levels, found, strict=True):
                lower[others], upper[others] = demand.band(demands, below("demand/", self._panel), level / 100)
        return found

    def _point(self, history: History, ahead: Ahead):
        if self.point is None:
            return ahead.forecast
        found = self._bands(history, ahead, [0.5] if self.point == "median" else _EVENLY).mean(axis=0)
        means = ~self._regular[:, None] & (self.point == "mean")
        return np.where(means, ahead.forecast, found)

    def _with_network(self, ahead: Ahead, history: History, h: int | None = None) -> Ahead:
        """Return forecasts of the other models with those of the network added, see `SmoothedNetwork.ahead`."""
        share = self._network_shares[:, None]
        if not share.any():
            return ahead
        network = self._network(self._periods[0], int(self._panel["leads"]))
        fitted = Fitted(below("network/", self._model), below("network/", self._panel))
        other = network.ahead(history, fitted, h)
        both = [ahead.forecast, other.forecast], [ahead.spread, absolute(other)]
        return Ahead(*_mixed([1 - share, share], *both), ahead.of_logarithms)

    def _components(self, history):
        parts = lambda values: self._smoothing_parts(values, history.lengths)
        found = parts_with_effects(history, self._model, parts)
        if not self._regular.all():  # the forecasts of intermittent series are their level
            rows, level = ~self._regular, self._inside(history).forecast
            for name, column in found.items():
                column[rows] = {"level": level, "remainder": history.values - level}.get(name, 0.0 * level)[rows]
        return found

    def _smoothing_parts(self, values, lengths) -> dict[str, np.ndarray]:
        """Return the columns of `components` by the exponential smoothing; NaN before the steps that it reads."""
        smoothing: Any = self._candidates(self._periods, "seasons" in self._model)["smoothing"]
        smoothing._panel, fitted = self._panel, below("smoothing/", self._model)
        if "seasons" in self._model:
            fitted["seasons"] = self._model["seasons"]
        parts = smoothing._parts_apart(*_since(values, lengths, first := self._model["first"]), fitted)
        return {name: _shifted(one, first, values.shape[1]) for name, one in parts.items()}

    @property
    def _network_shares(self) -> np.ndarray:
        """The network's share for each series ``(N,)``; 0 for series that hold their last value."""
        return np.where(self._model["short"], 0.0, self._panel["network share"])

    def _mean(self, values, lengths, fitted, h: int | None) -> Ahead:
        """Return the weighted mean of the models' forecasts."""
        shares = fitted["shares"]
        leads = np.zeros(values.shape[1], int) if h is None else np.minimum(np.arange(h), shares.shape[1] - 1)
        weights = _of_all(fitted["weights"], shares[:, leads])
        found = self._by_all(self._periods, History(values, lengths), fitted, h)
        weights = np.where(np.isnan(found[0]), 0.0, weights)  # within, a model may have no forecast of the first steps
        total = weights.sum(axis=0)
        weights = weights / np.where(total > 0, total, np.nan)
        return Ahead(*_mixed(weights, *np.where(weights > 0, found, 0.0)), np.zeros(len(values), bool))

    def _by_all(self, periods, history: History, fitted, h: int | None) -> np.ndarray:
        """Return the forecasts of the models but the network, and their spreads ``(2, M, N, H)``."""
        first, whole = fitted["first"], history.values.shape[1]
        values, lengths = _since(history.values, history.lengths, first)
        history = rest = History(_with_drawn_in(values, fitted), lengths)
        found = []
        if "seasons" in fitted:
            apart = Profiles.of(history.values, lengths, periods, fitted["seasons"])
            rest = history._replace(values=apart.rest)
        for name, model in self._candidates(periods, "seasons" in fitted).items():
            own = "seasons" in fitted and name not in _WHOLE
            ahead = forecast_in_blocks(model._ahead, rest if own else history, below(f"{name}/", fitted), h)
            both = ahead.forecast, absolute(ahead)
            found.append(apart.restored(*both, h) if own else both)
        every = np.array(found).swapaxes(0, 1)
        every[0] = np.where(history.nonnegative[:, None], np.maximum(every[0], 0.0), every[0])
        (*others, _, alone), spreads = every
        middle, most = np.median(others, axis=0), _APART * np.median(spreads[:-2], axis=0)
        alone[:] = np.where(np.isnan(middle), alone, np.clip(alone, middle - most, middle + most))
        return _shifted(every, first, whole) if h is None else every

    @classmethod
    def _of_saved(cls, saved):
        names = {len(names) - 2: names for names in (cls.models, _EARLIER)}
        count = saved.arrays.get("fitted/weights", np.zeros((0, 0))).shape[1]
        if count not in names:
            raise ValueError("expected weights of the models; the file is of an earlier version: fit the series again")
        found = super()._of_saved(saved)
        found.models = names[count]
        return found


_EARLIER = ("theta", "standard theta", "smoothing", "damped", "last cycle", "autoregression", "network")  # of files
_FITTED = _MODELS[:-1]  # the models but the network
_WHOLE = _MODELS[-3:-1]  # those that take values with their seasons


def _spread_out(array, mask) -> np.ndarray:
    """Return rows at the places of a mask, zeros elsewhere."""
    found = np.zeros((len(mask), *array.shape[1:]), array.dtype)
    found[mask] = array
    return found


def _size(history: History) -> tuple[int, int, bool]:
    """Return the numbers of series and of steps, and whether there are covariates."""
    return len(history.lengths), int(history.lengths.sum()), history.covariates is not None


class _HeldOut(NamedTuple):
    """Forecasts of the ends of N series by all models but the network, fitted without these ends."""

    ends: Ends
    errors: np.ndarray  # (M, R, L); NaN without an actual value
    spread: np.ndarray  # (M, R, L)
    regressed: np.ndarray  # (R,), whether the autoregression was fitted
    able: np.ndarray  # (N,), whether a series has the autoregression
    short: np.ndarray  # (N,), whether a series holds its last value
    near: np.ndarray  # (N,), which forms of exponential smoothing were near the best at an end


def _held_out(history: History, model: Auto, periods, leads: int, once: bool, count: int, steps: int) -> _HeldOut:
    """Forecast the held-out ends of a block's series, out of `count` series and `steps` steps in all."""
    ends = Ends.of(history, leads, once, count, steps, apart=are_apart(periods))
    said, spread = np.zeros((2, len(_FITTED), *ends.came.shape))
    regressed, near = np.zeros(len(ends.series), bool), np.zeros(len(history.lengths), int)
    if len(ends.series):
        rest, effects = without_effects(ends.history, periods[0])
        fitted = in_blocks(partial(model._fitted_by_all, periods), rest.values, rest.lengths)
        regressed = fitted["autoregression/able"]
        np.bitwise_or.at(near, ends.series, fitted["smoothing/near"])

        def forecast(rest):
            said, spread = model._by_all(periods, rest, fitted, leads)
            return Ahead(said, spread, np.zeros(len(rest.lengths), bool))

        said, spread, *_ = with_effects(ends.history, effects, forecast, leads)
    has = able(history.values, periods[0])
    near[near == 0] = -1  # all forms of a series without an end
    return _HeldOut(ends, said - ends.came, spread, regressed, has, _is_short(history.values), near)


def _relative(held_out: _HeldOut) -> tuple[np.ndarray, np.ndarray]:
    """Return the models' errors relative to their median at the ends of each series, and their counts ``(N, M)``."""
    known = ~np.isnan(held_out.errors)
    sizes, counts = np.where(known, np.abs(held_out.errors), 0.0).sum(axis=2), known.sum(axis=2)
    usual = np.broadcast_to(np.median(sizes[:-1], axis=0), sizes.shape)
    counted = np.ones(sizes.shape, bool)
    counted[-1] = held_out.regressed
    errors, others, values = np.zeros((3, len(held_out.able), len(_FITTED)))
    for total, part in ((errors, sizes), (others, usual), (values, counts)):
        np.add.at(total, held_out.ends.series, np.where(counted, part, 0).T)
    found = np.where(others > 0, errors / np.where(others > 0, others, 1.0), np.where(errors > 0, _WORST, 1.0))
    return np.minimum(found, _WORST), values


def _mean_size(errors, series, count: int) -> np.ndarray:
    """Return the mean absolute error of each of `count` series ``(N,)``, from ends ``(R, L)`` of `series` ``(R,)``."""
    known = ~np.isnan(errors)
    sums = np.bincount(series, np.where(known, np.abs(errors), 0.0).sum(axis=1), count)
    counts = np.bincount(series, known.sum(axis=1), count)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _usual_errors(blocks) -> np.ndarray:
    """Return the means of `_relative` over all blocks by model ``(M,)``, drawn towards equal errors."""
    found = [np.where(values > 0, errors, np.nan) for errors, values in blocks]
    every = np.sort(np.concatenate(found), axis=0)  # so that the series' order and blocks change no bit
    return (np.nansum(every, axis=0) + _EQUAL) / ((~np.isnan(every)).sum(axis=0) + _EQUAL)


def _combined(held_out: _HeldOut, usual) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Return errors and spreads of the combination ``(R, L)``, and the series' weights, from the panel's errors.

    The weights are those of all models but the autoregression, ``(N, M - 1)``, beside its shares ``(N, L)``.
    """
    found, values = _relative(held_out)
    drawn = (values * found + _SHARED * usual) / (values + _SHARED)
    weights = drawn**-_POWER
    weights[~held_out.able, -1] = 0.0
    weights /= weights.sum(axis=1, keepdims=True)
    others, places = weights[:, :-1] / weights[:, :-1].sum(axis=1, keepdims=True), held_out.ends.series
    share, without = _shares(held_out, others, weights[:, -1])
    able, short = held_out.able[:, None], held_out.short[:, None]
    fitted = held_out.regressed[:, None]  # at most ends of a series that has just enough values it wasn't
    share, without = np.where(able, share, short), np.where(able[places] & fitted, without, short[places])
    each = _of_all(others[places], without)
    errors, spread = _mixed(each, held_out.errors, held_out.spread)
    largest = lambda array: np.fmax.reduce(np.abs(array), axis=1, initial=0.0)
    past = held_out.ends.history.values
    width = np.fmax.reduce(past, axis=1) - np.fmin.reduce(past, axis=1)
    known = (width == 0) | (np.minimum(largest(errors), largest(spread)) <= _EXACT * width)
    spread[known] = np.nan  # its errors say nothing of the others'
    scores = np.stack([_mean_size(one, places, len(able)) for one in held_out.errors], axis=1)
    scores[~(able | short)[:, 0], -1] = np.nan  # without the autoregression
    return errors, spread, {"weights": others, "shares": share, "near": held_out.near, "held out": scores}


def _of_all(others, shares) -> np.ndarray:
    """Return the weights ``(M, N, L)`` of all models, from the others' and the autoregression's shares by lead."""
    return np.concatenate([others.T[..., None] * (1 - shares), shares[None]])


def _mixed(weights, forecasts, spreads) -> tuple[np.ndarray, np.ndarray]:
    """Return the weighted mean of forecasts, or of their errors, and its spread.

    That has the two parts of a mixture's: the models' own ones in the mean, and how far the models are apart.
    """
    weighted = lambda parts: sum(weight * part for weight, part in zip(weights, parts, strict=True))
    mean = weighted(forecasts)
    return mean, np.hypot(weighted(spreads), weighted(abs(one - mean) for one in forecasts))


def _shares(held_out: _HeldOut, others, usual) -> tuple[np.ndarray, np.ndarray]:
    """Return the autoregression's share by lead of each series ``(N, L)``, and without each end ``(R, L)``.

    They are means of its weight `usual` ``(N,)`` and of the shares of least squares beside the weighted others; the
    more held-out values, the nearer to the latter. Those without an end are for its honest error.
    """
    places, (*errors, own) = held_out.ends.series, held_out.errors
    known = held_out.regressed[:, None] & ~np.isnan(own)
    other = np.where(known, (others[places].T[..., None] * errors).sum(axis=0), 0.0)
    apart = other - np.where(known, own, 0.0)
    each = np.stack([other * apart, apart**2, known])
    total = np.zeros((3, len(others), own.shape[1]))
    for sums, part in zip(total, each, strict=True):
        np.add.at(sums, places, part)
    least = 1e-12 * total[1]  # rounding

    def share(sums, least, usual):
        of_all = _drawn_share(sums.sum(axis=2), least.sum(axis=1), usual, _SQUARES)
        return _drawn_share(_beside(sums), _beside(least), of_all[:, None], _BY_LEAD)

    return share(total, least, usual), share(total[:, places] - each, least[places], usual[places])


def _drawn_share(sums, least, usual, half: float) -> np.ndarray:
    """Return the share of least squares, drawn towards a usual one: by half at `half` values."""
    products, squares, values = sums
    best = np.where(squares > least, products / np.where(squares > least, squares, 1.0), usual)
    return (values * np.clip(best, 0.0, 1.0) + half * usual) / (values + half)


def _beside(sums) -> np.ndarray:
    """Return sums by lead ``(..., L)`` with those of the neighbouring leads added."""
    wide = np.pad(sums, [(0, 0)] * (sums.ndim - 1) + [(1, 1)])
    return wide[..., :-2] + sums + wide[..., 2:]


def _drawn_in(values, lengths, period: int) -> dict[str, np.ndarray]:
    """Return the index of the last value of each series ``(N,)``, and what stands for it, NaN where it is itself.

    A value of a series with a season over 4 deviations off the forecast by the Theta method is rather a single event
    than a new level: one 2 deviations off stands for it.
    """
    found = {"last": lengths - 1, "drawn in": np.full(len(values), np.nan)}
    rows = np.flatnonzero(lengths > 3 * period)
    if len(rows):
        theta, last = Theta(period, theta=2.0), lengths[rows] - 1
        before = np.where(np.arange(values.shape[1]) < last[:, None], values[rows], np.nan)[:, : last.max()]
        fitted = theta._fitted(before, last)
        ahead = theta._ahead(before, last, fitted, 1)
        forecast, size = ahead.forecast[:, 0], ahead.spread[:, 0]
        off = values[rows, last] - forecast
        far = fitted["seasonal"] & (np.abs(off) > _FAR * size)
        found["drawn in"][rows] = np.where(far, forecast + np.sign(off) * _NEAR * size, np.nan)
    return found


def _since(values, lengths, first) -> tuple[np.ndarray, np.ndarray]:
    """Return series from the steps `first` ``(N,)`` on, and their lengths."""
    if not first.any():
        return values, lengths
    lengths = lengths - first
    steps = np.arange(lengths.max())
    places = np.minimum(first[:, None] + steps, values.shape[1] - 1)
    return np.where(steps < lengths[:, None], np.take_along_axis(values, places, axis=1), np.nan), lengths


def _shifted(array, first, whole: int) -> np.ndarray:
    """Return an array ``(..., N, T)`` of the steps from `first` on with `whole` steps, NaN before."""
    if not first.any():
        return array
    places = np.arange(whole) - first[:, None]
    at = np.broadcast_to(np.clip(places, 0, array.shape[-1] - 1), (*array.shape[:-1], whole))
    return np.where(places < 0, np.nan, np.take_along_axis(array, at, axis=-1))


def _with_drawn_in(values, fitted) -> np.ndarray:
    """Return values with the last ones that `_drawn_in` found replaced."""
    if "drawn in" not in fitted or np.isnan(fitted["drawn in"]).all():
        return values
    values, rows = values.copy(), np.flatnonzero(~np.isnan(fitted["drawn in"]))
    values[rows, fitted["last"][rows]] = fitted["drawn in"][rows]
    return values


def _is_short(values) -> np.ndarray:
    return (~np.isnan(values)).sum(axis=1) < _SHORT


def _positive(spread) -> np.ndarray:
    return np.where(spread <= 0, 1.0, spread)


def _in_units(errors, other) -> tuple[np.ndarray, np.ndarray]:
    """Return errors at held-out ends ``(R, L)``, 0 without an actual value, in units of the mean size of each row."""
    known = ~np.isnan(errors) & ~np.isnan(other)
    errors, other = np.where(known, errors, 0.0), np.where(known, other, 0.0)
    counts = np.maximum(known.sum(axis=1, keepdims=True), 1)
    unit = _positive((np.abs(errors) + np.abs(other)).sum(axis=1, keepdims=True) / counts)
    return errors / unit, other / unit


def _share(errors, other) -> float:
    """Return the share of another model beside a first one of least absolute error, from their errors ``(R, L)``."""
    sizes = [np.abs((1 - share) * errors + share * other).sum() for share in _GRID]
    return float(_GRID[np.argmin(sizes)])


def _usual_share(errors, other) -> float:
    """Return the share of another model from the ratio of its mean absolute error to that of the first one."""
    errors, other = np.abs(errors).sum(), np.abs(other).sum()
    odds = _USUAL / (1 - _USUAL) * (errors / other if other else 1.0) ** _NETWORK_POWER
    return float(odds / (1 + odds))
