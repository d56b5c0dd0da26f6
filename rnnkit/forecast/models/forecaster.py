"""The base of forecasters of panels: series in, forecasts and bands out, as arrays or as tables."""

from __future__ import annotations

import inspect
import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, NamedTuple, Self, TypeVar, dataclass_transform

import numpy as np
from scipy.special import ndtri

from rnnkit import allocation
from rnnkit.arguments import number_from_zero, whole
from rnnkit.arrays import real
from rnnkit.backends.shared.thread_pool import at_most, get_num_threads, run_blocks
from rnnkit.callbacks.stages import progress_bar
from rnnkit.docstrings import describe_by_bases, described_as
from rnnkit.forecast import registry, saving
from rnnkit.forecast.data import frames
from rnnkit.forecast.data.covariates import Covariates
from rnnkit.forecast.data.frames import SeriesFrame
from rnnkit.forecast.data.history import History, UnfitSeries, handler_of
from rnnkit.forecast.fitting import regression
from rnnkit.forecast.fitting.hierarchy import agreed, means_over
from rnnkit.forecast.fitting.profiles import Profiles, are_apart, checked_season, periods_of
from rnnkit.forecast.fitting.side_by_side import steps_of
from rnnkit.forecast.models import inspection
from rnnkit.forecast.models.inspection import between, counted_series, spanned
from rnnkit.forecast.plots import Drawn, residual_pictures, small_multiples, stacked_pictures
from rnnkit.forecast.scoring.metrics import autocorrelation
from rnnkit.forecast.scoring.validation import Origins, check_long_enough, cross_validation, refitting, windows
from rnnkit.hints import Array, Levels, Progress
from rnnkit.layers.support.model_files import making
from rnnkit.serialization.array_files import below
from rnnkit.shown import Shown

BLOCK = 4096  # series per fit, which bounds the memory
LEVEL = (80,)
_FEWEST = 4  # means over parts of a season, below which they have no forecast of their own
_OTHER_WORDS = {
    **dict.fromkeys(("season_length", "seasonal_periods", "sp"), "season=, the steps of a season"),
    "freq": "freq= in fit, for a table whose times leave their step open",
}


class Ahead(NamedTuple):
    """Forecasts of several series."""

    forecast: np.ndarray  # (N, H)
    spread: np.ndarray  # (N, H), standard deviations of the errors
    of_logarithms: np.ndarray  # (N,), whether a series' deviations are of logarithms
    inside: bool = False  # whether each step is one step ahead of the values before it


class Fitted(NamedTuple):
    """Results of a fit."""

    rows: dict[str, np.ndarray]  # with a row for each series
    panel: dict[str, np.ndarray]  # common to all series


class _Signature:
    """The signature of a forecaster's class, that of ``__init__``."""

    def __get__(self, forecaster: Any, kind: type) -> inspect.Signature:
        signature = inspect.signature(kind.__init__)  # type: ignore[misc]
        return signature.replace(parameters=list(signature.parameters.values())[1:])


class Forecaster(Shown):
    """Series in, forecasts and bands out.

    A subclass defines ``_fitted(values, lengths)``, which returns arrays with a row for each series, by name, and
    ``_ahead(values, lengths, fitted, h)``, which returns an `Ahead`. It keeps the arguments of ``__init__`` as
    attributes; those of rnnkit are `with_arguments`, which `_CHECKED` says how to check.

    Parameters
    ----------
    level : sequence of float in [1, 100)
        Percentages of the bands that `predict` gives by default.
    """

    __signature__ = _Signature()
    season: Any = None
    level: Any = LEVEL
    past_covariates: Sequence[str] = ()  # columns of a table, known up to now
    future_covariates: Sequence[str] = ()  # columns known ahead
    reads_covariates = False
    _reads_arrays = False  # whether `x`, features of arrays, is accepted
    _stays_positive = True  # whether forecasts of series without negative values are clipped at 0
    _partitioned: str | None = "panels"  # the module of rnnkit.distributed that fits to partitions of Dask
    _bands_are = "drawn from the errors that the model expects"
    _several_seasons = False  # whether `season` may be several
    _no_season: int | None = None  # the `season` of series that have none
    _usual_h: Any = 1
    _reach: Any = np.inf  # most steps from the last value known to a forecast
    _usual_quantiles: Any = (0.1, 0.5, 0.9)
    layer: Any = None
    _layers: ClassVar[Mapping[str, Any]] = {}  # those that `layer` may name
    _names: ClassVar[Mapping[str, str]] = {}  # of the model's columns, by the layer

    def __new__(cls, *given: Any, **named: Any) -> Self:
        """Make a forecaster; a TypeError for what other libraries call an argument."""
        for other, word in _OTHER_WORDS.items():
            if other in named:
                raise TypeError(f"expected {word}; got {other}={named[other]!r}")
        return super().__new__(cls)

    def __init__(self) -> None:
        self._history: History | None = None
        self._model: dict[str, np.ndarray] = {}
        self._panel: dict[str, np.ndarray] = {}
        self._partitions: Any = None  # series in partitions of Dask, instead of a history

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name in _CHECKED and not (value is None and getattr(type(self), name) is None):
                setattr(self, name, _CHECKED[name](value, name))
        if self.season is not None:
            least = self._no_season or 2
            self.season = checked_season(self.season) if self._several_seasons else whole(self.season, "season", least)
        if self._layers and self.layer not in self._layers:
            raise ValueError(f"expected layer to be one of {', '.join(self._layers)}; got {self.layer!r}")
        self.past_covariates, self.future_covariates = checked_columns(self.past_covariates, self.future_covariates)
        Forecaster.__init__(self)

    @property
    def name(self) -> str:
        """The name of the model's columns in a table: the class, or that of its layer."""
        return self._names.get(self.layer, type(self).__name__)

    def fit(
        self,
        y: Array,
        x: Array = None,
        *,
        static: Any = None,
        id: Any = "unique_id",
        time: Any = "ds",
        target: Any = "y",
        freq: Any = None,
        progress: Progress = None,
        verbose: Any = "auto",
    ) -> Self:
        """Fit every series.

        Parameters
        ----------
        y : array_like (T,) or (B, T), list of array_like, or table
            One series in equal steps, or several of any lengths; NaN or masked in gaps. Or a table of pandas or polars
            with a row for each series and step, and a Series of either. Or a dask DataFrame, or a list of tables of
            pandas or of delayed ones: models that fit each series by itself do so in `predict`, a partition at a time;
            others learn from all partitions now, on the workers.
        x : array_like (T,) or (T, F), or list of array_like, optional
            Features of each step of arrays, for a model with a horizon; features known ahead, such as a calendar,
            are given shifted by the lead. Columns of a table are named by `past_covariates`.
        static : table, optional
            Static covariates, for a model that reads covariates: a row for each series, with the
            table's column of ids; numbers, or texts, each of which becomes a column of zeros and ones.
        id, time, target : str
            The table's columns of series, times and values.
        freq : str or int, optional
            The step between two times of the table; by default inferred.
        progress : callable, optional
            Called with a text after each stage, such as an epoch of a network, instead of a bar.
        verbose : {"auto", 0, 1, 2}
            0 shows nothing, "auto" a bar in a terminal or notebook for models of several stages.

        Returns
        -------
        The forecaster itself, unchanged if anything went wrong.

        Raises
        ------
        ValueError
            For another rank, no series, an infinite value, or a series without any value; for a table without these
            columns, with times that repeat or have no common step; for `static` if no covariates are read.
        ImportError
            For a table where narwhals is missing (extra "tables").
        """
        handler = None if self._partitioned is None else handler_of(y, self._partitioned)
        if handler is not None:
            names = frames.Columns(id, time, target)
            self._partitions = handler.fitted(self, y, x if static is None else static, names, freq, progress)
            return self
        history = self._read(y, x, static, id=id, time=time, target=target, freq=freq)
        with history.naming(), progress_bar(self._stages(history), self.name, 0 if progress else verbose) as bar:
            return self._refit(history, progress or bar.step)

    def predict(self, h: int | None = None, *, future: Any = None, level: Levels = None) -> Any:
        """Forecast the steps after the series' ends.

        Parameters
        ----------
        h : int, optional
            H, the number of steps; by default 1, or the model's horizon.
        future : table, or SeriesFrame of `read_table`, optional
            The columns of `future_covariates` at these steps: a row for each series and step, with the table's columns
            of ids and times.
        level : sequence of float in [1, 100), optional
            Percentages of the bands around the forecasts; by default 80 for a table, and no band for arrays.

        Returns
        -------
        table
            For a table, one of the same library: a row for each series and step, with the columns
            ``unique_id``, ``ds``, ``Model``, ``Model-lo-80``, ``Model-hi-80``. For CSV read by `read_table`, a
            DataFrame of pandas, or a dict of columns where pandas and narwhals aren't both installed; for partitions a
            dask DataFrame.
        ndarray (H,), or (B, H) for several series
            Without `level`.
        dict of str to ndarray
            With `level`, by the names of a table's columns.

        Raises
        ------
        RuntimeError
            Before `fit`.
        ValueError
            For an `h` below 1, a level outside [1, 100), or a `future` that lacks a column, a series or a step.
        """
        h = self._usual_h if h is None else h
        if self._partitions is not None:
            return self._partitions.predict(self, h, future, self.level if level is None else level)
        history = self._looking_ahead(h, future)
        levels = self._levels(history, level)
        return self._out(self._columns(history, h, levels), alone=not levels)

    @described_as(predict)
    def predict_quantiles(
        self, h: int | None = None, quantiles: Sequence[float] | None = None, *, future: Any = None
    ) -> Any:
        """Forecast quantiles of the steps after the series' ends.

        Parameters
        ----------
        quantiles : sequence of float in (0, 1), optional
            Q probabilities; by default 0.1, 0.5 and 0.9, or those that a network has learned.

        Returns
        -------
        ndarray (Q, H), or (Q, B, H) for several series
            In the order of `quantiles`; they never cross. For a table, a table with the columns ``Model-q0.1`` and so
            on.
        """
        h = self._usual_h if h is None else h
        quantiles = self._usual_quantiles if quantiles is None else quantiles
        asked = np.atleast_1d(real(quantiles, "quantiles").astype(np.float64))
        if asked.ndim != 1 or not asked.size or not ((asked > 0) & (asked < 1)).all():
            raise ValueError(f"expected quantiles between 0 and 1, got {quantiles!r}")
        if self._partitions is not None:
            return self._partitions.predict_quantiles(self, h, future, asked)
        history = self._looking_ahead(h, future)
        found = self._bands(history, self._forecast(history, h), asked)
        if history.frame is not None:
            return self._out(dict(zip(self._quantile_names(asked), found, strict=True)))
        return found[:, 0] if history.single else found

    def update(self, y: Array, x: Array = None) -> Self:
        """Append values to every series; the fitted parameters stay.

        Parameters
        ----------
        y, x
            As `fit` took them: the same number of series, arrays in the same order, NaN for a gap.

        Raises
        ------
        ValueError
            For another number of series, or as `fit` raises it.
        """
        history = self._fitted_history()
        if history.frame is not None:
            renewed = History.of_frame(history.frame.appended(y))
            if (covariates := history.covariates) is not None:
                renewed = self._with_covariates(renewed, covariates.static, covariates.names)
            self._history = renewed
            return self
        self._history = history.appended(y, x)
        return self

    @described_as(predict)
    def forecast(
        self, y: Array, h: int | None = None, *, future: Any = None, level: Levels = None, **given: Any
    ) -> Any:
        """Forecast other series; this forecaster stays unchanged.

        `GlobalRNN` fits smoothing parameters only, `ESN` and `TrainedForecaster` nothing; other models are fitted anew.

        Parameters
        ----------
        y, **given
            As `fit` takes them. For a model with a horizon, the series that were fitted, from the same first step up
            to the point to forecast from, with their fitted trends and spreads. With ``rescale=True`` any series, whose
            trends and spreads are measured.

        Raises
        ------
        RuntimeError
            Before `fit`, for a model that is not fitted anew.
        ValueError
            As `fit` and `predict` raise it.
        """
        return self._of(y, **given).predict(h, future=future, level=level)

    def cross_validation(
        self,
        y: Array,
        h: int,
        n_windows: int = 1,
        step_size: int | None = None,
        refit: bool = False,
        *,
        level: Levels = None,
        progress: Progress = None,
        verbose: Any = "auto",
        **names: Any,
    ) -> Any:
        """Forecast from several past origins, beside the actual values; see `rnnkit.forecast.cross_validation`."""
        names |= {"level": level, "progress": progress, "verbose": verbose}
        return cross_validation([self], y, h, n_windows, step_size, refit, **names)

    def plot(
        self,
        h: int = 12,
        *,
        future: Any = None,
        level: Levels = None,
        series: Sequence[Any] | None = None,
        actual: Array = None,
        n_windows: int = 0,
    ) -> Any:
        """Draw the ends of series, their forecasts and bands, as a figure of small pictures.

        Parameters
        ----------
        h, future, level
            As `predict` takes them; `level` is 80 by default.
        series : sequence, optional
            Ids of a table, or indices in the list of arrays. By default the first nine series.
        actual : table, or array_like (T,), or list of array_like, optional
            The actual values after the series' ends, as `update` takes them; drawn as far as the forecasts. Of a table,
            rows up to the series' ends and other columns are left aside.
        n_windows : int
            Windows of a back-test, as `cross_validation` has them, whose forecasts and bands are drawn too.

        Returns
        -------
        matplotlib.figure.Figure
            A notebook shows it; ``figure.savefig(path)`` writes it.

        Raises
        ------
        ImportError
            Without matplotlib (extra "plots").
        ValueError
            For a series that is not there, or for windows before the first value of all series.
        """
        history, h = self._looking_ahead(h, future), whole(h, "h", 1)
        places = self._places(history, series)
        levels = checked_levels(self.level if level is None else level)
        columns = self._columns(history, h, levels)
        came = None if actual is None else self._came(history, actual, h)
        tests = self._tests(history, h, n_windows, levels) if whole(n_windows, "n_windows", 0) else {}
        drawn = []
        for place in places:
            length = int(history.lengths[place])
            shown = np.arange(max(length - max(4 * h, 36) - n_windows * h, 0), length)
            said = {name: array[place] for name, array in columns.items()}
            known = None if came is None else came[place]
            past = [(history.at(place, steps), *found) for steps, *found in tests.get(place, [])]
            times, ahead = history.at(place, shown), history.at(place, length + np.arange(h))
            drawn.append(Drawn(history.title(place), times, history.values[place, shown], ahead, said, known, past))
        return small_multiples(drawn, self.name, levels)

    # The fitted series

    def fitted(self, level: Levels = None) -> Any:
        """Return the fitted values: the forecast of each step from the values before it, with the fitted parameters.

        Parameters
        ----------
        level
            As `predict` takes it; bands are those of one step ahead.

        Returns
        -------
        table
            For a table: a row for each series and step, with the columns ``unique_id``, ``ds``, ``y`` and those of
            `predict`.
        ndarray (T,), or (B, T) for several series; or with `level` a dict of them
            NaN after a series' end, and where there is no forecast: before the first value, and after a gap longer
            than the horizon for `ESN` and for `TrainedForecaster` with features.
        """
        history = self._fitted_history()
        levels = self._levels(history, level)
        found = inspection.out_inside(history, inspection.fitted(self, history, levels))
        return found if levels else found[self.name]

    def residuals(self) -> Any:
        """Return the values less the fitted ones, as `fitted` without bands returns these."""
        history = self._fitted_history()
        said = inspection.fitted(self, history, [])[self.name]
        found = inspection.out_inside(history, {self.name: history.values - said})
        return found if history.frame is not None else found[self.name]

    def check_residuals(self, lags: int | None = None) -> Any:
        """Compute mean and deviation of each series' residuals, and test them for autocorrelation (`ljung_box`).

        Parameters
        ----------
        lags : int, optional
            Of the test; by default 10, or two seasons, and a fifth of the residuals at most (Hyndman and Athanasopoulos
            2021, "Forecasting: principles and practice", section 5.4).

        Returns
        -------
        table, or dict of ndarray (B,) for arrays
            With the columns ``count``, ``mean``, ``sd``, ``lags``, ``ljung_box`` and ``p_value``. The test is of
            residuals in units of the spread that the model expects. A small p-value, below 0.05 or so, says that the
            residuals hold a pattern that the model has missed.
        """
        history = self._fitted_history()
        found = inspection.tested(self, history, lags)
        return found if history.frame is None else frames.handed_out(history.frame.by_series(found))

    def components(self) -> Any:
        """Return level, trend, season and remainder of each step, which add up to the values.

        Returns
        -------
        table, or dict of ndarray (T,) or (B, T) for arrays
            ``level`` is the forecast of the step without its season, ``season`` what the season adds to it, and
            ``remainder`` the residual. ``covariates`` is what these add, where there are some. ``trend``, the change of
            the level per step, is no summand; the Theta model has none. Those of `Auto` are of its exponential
            smoothing.

        Raises
        ------
        ValueError
            For a model without components.
        """
        history = self._fitted_history()
        return inspection.out_inside(history, self._components(history))

    def detect(self, y: Array = None, x: Array = None, *, level: float = 99) -> Any:
        """Find anomalies: values outside the band of their forecast from the values before.

        Parameters
        ----------
        y, x : optional
            New values, as `update` takes them, which are judged; the forecaster stays unchanged. By default all values
            that the forecaster has are.
        level : float in [1, 100)
            Percentage of the band: of values without anomalies, ``100 - level`` percent lie outside of it.

        Returns
        -------
        table, or dict of ndarray (T,) or (B, T) for arrays
            The columns of `fitted`, with the values ``y``, and ``anomaly``, a bool. The forecasts after an anomaly read
            it as any other value.
        """
        history = self._fitted_history()
        other, first, levels = copy(self), np.zeros_like(history.lengths), checked_levels(level)
        if y is not None:
            other._history, first = history, history.lengths
            history = other.update(y, x)._fitted_history()
        columns = inspection.fitted(other, history, levels)
        _, lower, upper = columns.values()
        values = {} if history.frame is not None else {"y": history.values}
        outside = (history.values < lower) | (history.values > upper)
        return inspection.out_inside(history, values | columns | {"anomaly": outside}, first)

    @described_as(predict)
    def simulate(self, h: int | None = None, n: int = 100, seed: Any = None, *, future: Any = None) -> Any:
        """Draw sample paths of the steps after the series' ends.

        At each step they are distributed as the bands and quantiles say. Along a path, errors go on as those of
        exponential smoothing, where innovations stay in the level (Hyndman et al. 2008, table 6.1): by the parameters
        of `ExponentialSmoothing`, and for other models as much as their bands widen. The paths of different series are
        independent.

        Parameters
        ----------
        n : int
            Paths of each series.
        seed : int, optional
            The same seed gives the same paths.

        Returns
        -------
        ndarray (n, H), or (n, B, H) for several series
            For a table, a table with a row for each series, path and step, with the columns ``unique_id``, ``ds``,
            ``path`` (from 0) and ``Model``.
        """
        h, n = whole(self._usual_h if h is None else h, "h", 1), whole(n, "n", 1)
        history = self._looking_ahead(h, future)
        found = inspection.paths(self, history, h, n, seed)
        if history.frame is not None:
            return frames.handed_out(history.frame.paths(self.name, found))
        return found[:, 0] if history.single else found

    def plot_residuals(self, series: Sequence[Any] | None = None) -> Any:
        """Draw the residuals of series, their autocorrelations and their histogram; arguments and errors of `plot`."""
        history = self._fitted_history()
        off, drawn = inspection.standardized(self, history), []
        for place in self._places(history, series):
            lags = min(max(int((~np.isnan(off[place])).sum()) // 2, 1), 24)
            one = self._drawn(history, place, {"residuals": off})
            drawn.append(one._replace(columns={**one.columns, "correlations": autocorrelation(off[place], lags)}))
        return residual_pictures(drawn)

    def plot_components(self, series: Sequence[Any] | None = None) -> Any:
        """Draw the values of series above their `components`; arguments and errors of `plot`."""
        history = self._fitted_history()
        places = self._places(history, series)
        parts = {"values": history.values, **self._components(history)}
        parts = {name: array for name, array in parts.items() if name == "values" or np.any(array[places])}
        return stacked_pictures([self._drawn(history, place, parts) for place in places])

    def copy(self) -> Self:
        """Return a forecaster with the same settings, not fitted."""
        return type(self)(**self._settings())

    def __repr__(self) -> str:
        usual = type(self)()._settings()
        given = (f"{name}={value!r}" for name, value in self._settings().items() if value != usual[name])
        return f"{type(self).__name__}({', '.join(given)})"

    def save(self, path: Any) -> None:
        """Write the fitted forecaster to a file, whole or not at all.

        Parameters
        ----------
        path : str or os.PathLike
            Written exactly there. A suffix ``.rnnkit`` asks for the format of safetensors, any other for that of
            ``numpy.savez``.

        Raises
        ------
        ValueError, RuntimeError
            Before `fit`.
        """
        saving.write(path, self)

    @classmethod
    def load(cls, path: Any) -> Self:
        """Load a forecaster that `save` wrote; its forecasts are the same bits, and it can be updated.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is damaged, another's, or holds another kind of model.
        """
        return cls._restored(path, saving.read(path))

    @classmethod
    def _restored(cls, path, saved: saving.Saved) -> Self:
        """Make the forecaster of a file's contents."""
        if saved.kind != cls.__name__:
            raise ValueError(
                f"expected a file of a fitted {cls.__name__}; {os.fspath(path)!r} holds one of {saved.kind}"
            )
        with making(path):
            return cls._of_saved(saved)

    def _card(self):
        from rnnkit.cards import Card, parts_of, text_or_empty

        parts, facts = self._shown_parts(), {name: text_or_empty(tell) for name, tell in self._facts().items()}
        inside = parts_of(parts, lambda path, depth: parts[path]._card(depth), 0)
        return Card(type(self).__name__, "", text_or_empty(lambda: repr(self)), facts, self._shares(), inside)

    def _shown_parts(self) -> dict[str, Any]:
        """Return the layers of a fitted forecaster, by name."""
        return {}

    def _shares(self):
        """Return a table of the parts of a fitted forecaster, or None without parts."""
        return None

    def _facts(self) -> dict[str, Callable[[], str]]:
        """Return functions that give the facts shown besides the settings, by name."""
        if (history := self._history) is None:
            return {"fitted to": lambda: "nothing yet" if self._partitions is None else "partitions of Dask"}
        return {
            "fitted to": lambda: counted_series(history),
            "steps": lambda: between(history.lengths),
            "times": lambda: "" if history.frame is None else spanned(history.frame.timelines),
            "season": lambda: (
                f"{' and '.join(map(str, history.seasons))} steps, by the times" if history.seasons else ""
            ),
            "covariates": lambda: ", ".join([*self.past_covariates, *self.future_covariates]),
        }

    def _settings(self) -> dict[str, Any]:
        """Return the arguments of ``__init__``, which are attributes of their names."""
        return {name: getattr(self, name) for name in self.__signature__.parameters}

    @property
    def _periods(self) -> tuple[int, ...]:
        """The seasons of the fit."""
        return periods_of(self._panel.get("season", self.season))

    # Methods of subclasses

    _fitted: Callable[..., dict[str, np.ndarray]]
    _ahead: Callable[..., Ahead]

    def _fit(self, history: History, progress: Progress = None) -> Fitted:
        return Fitted(in_blocks(self._fitted, history.values, history.lengths), {})

    def _stages(self, history: History) -> int:
        """Return the number of progress reports of `_fit`."""
        return 1

    def _deviations(self, ahead: Ahead, probabilities) -> np.ndarray:
        """Return the quantiles of the deviations from forecasts ``(Q, N, H)``, or from their logarithms."""
        return ndtri(probabilities)[:, None, None] * ahead.spread

    def _quantiles(self, ahead: Ahead, probabilities) -> np.ndarray:
        """Return quantiles ``(Q, N, H)``."""
        off, logarithms = self._deviations(ahead, probabilities), ahead.of_logarithms[:, None]
        return ahead.forecast + np.where(logarithms, ahead.forecast * np.expm1(np.where(logarithms, off, 0.0)), off)

    def _ahead_of(self, history: History, h: int) -> Ahead:
        return forecast_in_blocks(self._ahead, history, self._model, h)

    def _inside(self, history: History) -> Ahead:
        """Return the forecast of every step from the values before it ``(N, T)``, or NaN, origin by origin."""
        count, steps = history.values.shape
        forecast, spread = np.full((count, steps), np.nan), None
        of_logarithms = np.zeros(count, bool)
        last = np.maximum.accumulate(np.where(history.known, np.arange(steps), -1), axis=1)
        for step in range(1, steps):
            before = last[:, step - 1]
            reached = (before >= 0) & (step - before <= self._reach) & (step < history.lengths)
            rows, other = np.flatnonzero(reached), copy(self)
            if not len(rows):
                continue
            other._model = {name: array[rows] for name, array in self._model.items()}
            ahead = other._ahead_of(history.until(rows, np.full(len(rows), step)), 1)
            if spread is None:
                spread = np.full((*ahead.spread.shape[:-2], count, steps), np.nan)
            forecast[rows, step], spread[..., rows, step] = ahead.forecast[:, 0], ahead.spread[..., 0]
            of_logarithms[rows] = ahead.of_logarithms
        return Ahead(forecast, forecast + np.nan if spread is None else spread, of_logarithms)

    def _components(self, history: History) -> dict[str, np.ndarray]:
        """Return the columns of `components` ``(N, T)``."""
        raise ValueError(f"expected a model with components: ExponentialSmoothing, Theta, Auto; got {self.name}")

    def _memory(self, ahead: Ahead) -> np.ndarray:
        """Return weights of innovations in the errors of forecasts, see `inspection.memory_of_growth`."""
        return inspection.memory_of_growth(ahead.spread)

    def _at_origin(self, history: History, progress: Progress = None, last: bool = False) -> Self:
        """Move to an origin of a back-test, or to the `last` one, at the end of the series: read on, or fit."""
        if self._history is None or last:
            return self._refit(history, progress)
        self._history = history
        return self

    def _of(self, y, **given) -> Self:
        """Return a forecaster for other series."""
        return self.copy().fit(y, **given)

    # Common

    def _read(self, y, x=None, static=None, **names) -> History:
        """Read a user's series, with the covariates of this model."""
        if x is not None and not self._reads_arrays:
            raise ValueError(f"expected no x, as {self.name} reads no covariates in arrays; ESN does")
        return self._beside(History.of(y, x, **names, covariates=self._covariate_columns), static)

    @property
    def _covariate_columns(self) -> list[str]:
        return [*self.past_covariates, *self.future_covariates]

    def _beside(self, history: History, static=None, names: Sequence[str] | None = None) -> History:
        """Return a history with covariates; `names` are those of the known static ones."""
        if static is None and (history.covariates is not None or not (names or self._covariate_columns)):
            return history
        if static is not None and not self.reads_covariates:
            others = " and ".join(registry.STATIC_READERS)
            raise ValueError(f"expected no static=, as {self.name} reads no static covariates; {others} do")
        if static is not None and names is not None and not names:
            raise ValueError("expected no static=, as fit was given none")
        if history.frame is None:
            raise ValueError("expected a table with the covariates in its columns; got arrays")
        values = np.zeros((len(history.lengths), 0))
        if static is not None:
            names, values = frames.read_static(static, history.frame, names)
        elif names:
            raise ValueError(f"expected static=, with {', '.join(names)}, as in fit; got none")
        return self._with_covariates(history, values, names or ())

    def _with_covariates(self, history: History, static, names) -> History:
        assert history.frame is not None
        there = history.frame.covariates
        if lacking := [name for name in self._covariate_columns if name not in there]:
            raise ValueError(
                f"expected a table of series with the column {lacking[0]!r} besides its values; got "
                f"{', '.join(map(str, there)) or 'none'}"
            )
        found = Covariates.of_frame(history.frame, self.past_covariates, self.future_covariates, static, names)
        return history._replace(covariates=found)

    def _looking_ahead(self, h, future) -> History:
        """Return the history with the covariates of the steps after it."""
        history, names, h = self._fitted_history(), list(self.future_covariates), whole(h, "h", 1)
        if future is None:
            if (lacking := history.known_besides.lacks(history.lengths, h)) is not None:
                raise ValueError(
                    f"expected future=, a table with {', '.join(names)} at each of {h} steps ahead; got none of "
                    f"{history.label(lacking)}"
                )
            return history
        if not names:
            raise ValueError(f"expected no future=, as {self.name} has no future_covariates")
        assert history.frame is not None and history.covariates is not None
        found = future if isinstance(future, dict) else history.frame.future(future, h, names)
        ahead = np.concatenate([history.frame.expanded(name, found[name]) for name in names], axis=2)
        return history._replace(covariates=history.covariates.with_future(history.lengths, ahead))

    @staticmethod
    def _drawn(history: History, place: int, columns: Mapping[str, np.ndarray]) -> Drawn:
        """Return the steps of one series, with columns ``(B, T)``."""
        steps = np.arange(history.lengths[place])
        times = history.at(place, steps)
        found = {name: array[place, : len(steps)] for name, array in columns.items()}
        return Drawn(history.title(place), times, history.values[place, : len(steps)], times[:0], found)

    def _tests(self, history: History, h: int, n_windows: int, levels) -> dict[int, list]:
        """Return steps, forecasts and edges of bands of a back-test, by series."""
        origins, found = Origins.of(history, h, n_windows, None), defaultdict(list)
        check_long_enough(origins.able.any(axis=1), origins.longest, origins.last)
        fit = refitting(lambda text: None, n_windows)
        for window, rows, columns in windows([self], history, origins, origins.changed, fit, level=levels[:1]):
            for place, *said in zip(rows.tolist(), *columns.values(), strict=True):
                found[place].append((origins.steps[window, place], *said))
        return found

    @staticmethod
    def _came(history: History, y, h: int) -> np.ndarray:
        """Return the actual values after the series' ends ``(B, H)``, NaN where there are none."""
        if history.frame is not None:
            return history.frame.came(y, h)
        found = np.full((len(history.lengths), h), np.nan)
        for row, values in zip(found, history.more(y), strict=True):
            row[: len(values)] = values[:h]
        return found

    @staticmethod
    def _places(history: History, series) -> list[int]:
        known = list(range(len(history.lengths))) if history.frame is None else history.frame.ids
        if series is None:
            return list(range(min(len(known), 9)))
        asked = [series] if isinstance(series, (str, int)) else list(series)
        if unknown := [one for one in asked if one not in known]:
            raise ValueError(f"expected series that were fitted, such as {known[0]!r}; got {unknown[0]!r}")
        if not asked:
            raise ValueError("expected at least one series to draw; got an empty list")
        return [known.index(one) for one in asked]

    def _refit(self, history: History, progress: Progress = None) -> Self:
        (self._model, self._panel), self._history = self._fit(history, progress), history
        self._partitions = None
        return self

    def _band_names(self, levels: Sequence[float]) -> list[str]:
        return [self.name, *(f"{self.name}-{edge}-{one:g}" for one in levels for edge in ("lo", "hi"))]

    def _quantile_names(self, probabilities) -> list[str]:
        return [f"{self.name}-q{one:g}" for one in probabilities]

    def _levels(self, history: History, level: Levels) -> list[float]:
        """Return the percentages of bands asked for, by default those of the forecaster for a table, or none."""
        level = self.level if level is None and history.frame is not None else level
        return [] if level is None else checked_levels(level)

    def _columns(self, history: History, h, levels: Sequence[float]) -> dict[str, np.ndarray]:
        """Return forecasts after a history's ends and edges of bands ``(B, H)``, by the names of a table's columns."""
        return self._columns_of(history, self._forecast(history, h), levels)

    def _columns_of(self, history: History, ahead: Ahead, levels: Sequence[float]) -> dict[str, np.ndarray]:
        """Return forecasts and the edges of their bands, see `_columns`."""
        columns = [point := self._point(history, ahead)]
        if levels:
            for lower, upper in self._edges(history, ahead, levels):
                columns += [np.minimum(lower, point), np.maximum(upper, point)]
        return dict(zip(self._band_names(levels), columns, strict=True))

    def _forecast(self, history: History, h) -> Ahead:
        h = whole(h, "h", 1)
        allocation.check("the forecasts", (2, len(history.lengths), h))
        return self._ahead_of(history, h)

    def _bands(self, history: History, ahead: Ahead, probabilities) -> np.ndarray:
        found = self._quantiles(ahead, probabilities)
        if not self._stays_positive:
            return found
        return np.where(history.nonnegative[:, None], np.maximum(found, 0.0), found)

    def _edges(self, history: History, ahead: Ahead, levels) -> list:
        """Return the lower and upper edges ``(N, H)`` of a band for each level."""
        edges = self._bands(history, ahead, np.array([0.5 + sign * one / 200 for one in levels for sign in (-1, 1)]))
        return list(zip(edges[::2], edges[1::2], strict=True))

    def _point(self, history: History, ahead: Ahead) -> np.ndarray:
        """Return the forecasts that users see ``(N, H)``."""
        return ahead.forecast

    def _out(self, columns: dict[str, np.ndarray], alone: bool = False):
        """Return columns ``(B, H)`` as the user's kind of table, or as arrays."""
        history = self._fitted_history()
        if history.frame is not None:
            return frames.handed_out(history.frame.ahead(next(iter(columns.values())).shape[1], columns))
        if history.single:
            columns = {name: array[0] for name, array in columns.items()}
        return columns[self.name] if alone else columns

    def _fitted_history(self) -> History:
        if self._partitions is not None:
            raise RuntimeError(
                f"expected series in memory for this; got partitions, for which {type(self).__name__} has predict, "
                "predict_quantiles and cross_validation"
            )
        if self._history is None:
            raise RuntimeError(f"expected fit to be called before this {type(self).__name__} forecasts")
        return self._history

    def _to_save(self):
        history = self._fitted_history()
        arrays = {f"fitted/{name}": array for name, array in self._model.items()}
        arrays |= {f"panel/{name}": array for name, array in self._panel.items()}
        arrays |= {"values": history.values, "lengths": history.lengths}
        about = {"settings": self._settings(), "single": history.single}
        if history.frame is not None:
            of_frame, about["frame"] = history.frame.to_save()
            arrays |= {f"frame/{name}": array for name, array in of_frame.items()}
        if (covariates := history.covariates) is not None:
            about["static"] = list(covariates.names)
            arrays |= {"static": covariates.static} if history.frame is not None else {"past": covariates.past}
        return arrays, about

    @classmethod
    def _of_saved(cls, saved: saving.Saved) -> Self:
        arrays, about = saved.arrays, saved.about
        values, lengths = arrays["values"], arrays["lengths"]
        forecaster = cls(**about["settings"])
        history = History(values, lengths, about["single"])
        if "frame" in about:
            frame = SeriesFrame.of_saved(below("frame/", arrays), about["frame"], values, lengths)
            history = History.of_frame(frame)
        if "past" in arrays:
            history = history._replace(covariates=Covariates.none(len(lengths))._replace(past=arrays["past"]))
        elif "static" in about:
            history = forecaster._with_covariates(history, arrays["static"], tuple(about["static"]))
        forecaster._history = history
        forecaster._model, forecaster._panel = below("fitted/", arrays), below("panel/", arrays)
        return forecaster


Made = TypeVar("Made", bound=type[Forecaster])


@dataclass_transform(eq_default=False)
def with_arguments(kind: Made) -> Made:
    """Make the annotated attributes of a forecaster's class the arguments of its ``__init__``, as in a dataclass.

    Descriptions of arguments in a base are those of its subclasses too.
    """
    dataclass(eq=False, repr=False)(kind)
    describe_by_bases(kind)
    return kind


def _positive(value: Any, name: str) -> float:
    if not number_from_zero(value, name):
        raise ValueError(f"expected {name} above 0; got {value!r}")
    return float(value)


def _share(value: Any, name: str) -> float:
    if not (isinstance(value, (int, float)) and 0 < value <= 1):
        raise ValueError(f"expected {name} above 0 and up to 1; got {value!r}")
    return float(value)


def checked_levels(level, name: str = "level") -> list[float]:
    """Return percentages as a sorted list without duplicates; a ValueError for one outside [1, 100), or none."""
    levels = np.atleast_1d(real(level, "level").astype(np.float64))
    if levels.ndim != 1 or not levels.size or not ((levels >= 1) & (levels < 100)).all():
        raise ValueError(f"expected level to be percentages from 1 to below 100, such as [80, 95]; got {level!r}")
    return np.unique(levels).tolist()


_COUNTS = "horizon", "leads", "units", "networks", "window", "epochs", "batch_size", "iterations"
_CHECKED: dict[str, Callable[[Any, str], Any]] = {  # what arguments are converted to, by their names
    **dict.fromkeys(_COUNTS, partial(whole, least=1)),
    "washout": partial(whole, least=0),
    **dict.fromkeys(("alpha", "beta"), _share),
    "learning_rate": _positive,
    "level": checked_levels,
    **dict.fromkeys(("calibrate", "temporal"), lambda value, _: bool(value)),
}


def checked_columns(past: Sequence[str], future: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return names of covariates as lists; a TypeError for other types, a ValueError for a duplicate."""
    found = []
    for names, what in ((past, "past_covariates"), (future, "future_covariates")):
        if isinstance(names, (str, Mapping)) or not all(isinstance(name, str) for name in names):
            raise TypeError(f"expected {what} to be a list of names of columns; got {names!r}")
        found.append(list(names))
    both = [*found[0], *found[1]]
    if twice := [name for name in both if both.count(name) > 1]:
        raise ValueError(f"expected each covariate once; got {twice[0]!r} twice")
    return found[0], found[1]


def in_blocks(fit: Callable, values, lengths, *more) -> dict[str, np.ndarray]:
    """Call `fit` for blocks of series, with what there is `more` of each, and return its arrays for all series."""

    def part(rows: slice) -> dict[str, np.ndarray]:
        try:
            return fit(values[rows, : lengths[rows].max()], lengths[rows], *(one[rows] for one in more))
        except UnfitSeries as error:
            raise UnfitSeries(rows.start + error.series, str(error)) from None

    parts = _of_blocks(part, len(values))
    return {name: np.concatenate([one[name] for one in parts]) for name in parts[0]}


def forecast_in_blocks(ahead: Callable, history: History, fitted: dict[str, np.ndarray], h: int | None) -> Ahead:
    """Forecast a block of series at a time with `ahead`, with NaN for lacking steps; see `History.nonnegative`."""
    forecast, spread = np.full((2, len(history.lengths), h or history.values.shape[1]), np.nan)
    of_logarithms = np.zeros(len(forecast), bool)

    def compute(rows: slice) -> None:
        lengths = history.lengths[rows]
        part = {name: array[rows] for name, array in fitted.items()}
        found = ahead(history.values[rows, : lengths.max()], lengths, part, h)
        steps = found.forecast.shape[1]
        forecast[rows, :steps], spread[rows, :steps], of_logarithms[rows], _ = found

    _of_blocks(compute, len(forecast))
    return Ahead(np.where(history.nonnegative[:, None], np.maximum(forecast, 0.0), forecast), spread, of_logarithms)


def _of_blocks(compute: Callable[[slice], Any], count: int) -> list:
    """Return the results for all blocks of `count` series; threads take blocks, rather than parts of each call."""
    blocks = [slice(start, start + BLOCK) for start in range(0, count, BLOCK)]
    found: list[Any] = [None] * len(blocks)

    def some(first: int, last: int) -> None:
        with at_most(1 if len(blocks) > 1 else get_num_threads()):
            found[first:last] = map(compute, blocks[first:last])

    run_blocks(some, len(blocks))
    return found


def without_effects(history: History, season: int) -> tuple[History, dict[str, np.ndarray]]:
    """Return what covariates that are known ahead leave of the series, and their effects; no arrays without any."""
    future = history.known_besides.future
    if not future.shape[2]:
        return history, {}
    found = regression.effects(history.values, future, season)
    return history._replace(values=history.values - regression.added(found, future, history.times)), found


def with_effects(history: History, fitted: dict[str, np.ndarray], forecast: Callable, h: int | None) -> Ahead:
    """Return ``forecast(rest)`` of what covariates leave, with what they add at `steps_of` the series."""
    if "effect" not in fitted:
        return forecast(history)
    future = history.known_besides.future
    ahead = forecast(history._replace(values=history.values - regression.added(fitted, future, history.times)))
    said = ahead.forecast + regression.added(fitted, future, steps_of(history.values, history.lengths, h))
    said = np.where(history.nonnegative[:, None], np.maximum(said, 0.0), said)
    return Ahead(said, absolute(ahead), np.zeros(len(said), bool))


def parts_with_effects(history: History, fitted: dict[str, np.ndarray], parts: Callable) -> dict[str, np.ndarray]:
    """Return the columns of `components`, by ``parts(values)`` of what the covariates leave of the values."""
    if "effect" not in fitted:
        return parts(history.values)
    more = regression.added(fitted, history.known_besides.future, history.times)
    return {"covariates": more, **parts(history.values - more)}


class SeasonalForecaster(Forecaster):
    """A forecaster of each series by itself, with seasons that are given, or that the times of a table have.

    The effects of columns that are known ahead are taken out first (`rnnkit.forecast.fitting.regression`), then several
    seasons, or one of more than 60 steps, as far as a series has them (`rnnkit.forecast.fitting.profiles.Profiles`).
    A subclass's ``_ahead`` forecasts each step ``(N, T)`` from the values before it where `h` is None.

    Parameters
    ----------
    season : int or sequence of int, optional
        Steps of a season, 1 for none, or of several seasons; by default inferred from a table's times, and none for
        arrays. Several seasons, or one of more than 60 steps, are taken out of the series before.
    future_covariates : sequence of str
        Columns of the table that are known ahead, whose effects are subtracted first, by a regression of each series'
        changes (`rnnkit.forecast.fitting.regression`).
    """

    _several_seasons = True
    _takes_seasons: bool = False  # whether the model itself takes such seasons

    def _with(self, season) -> Self:
        return type(self)(**self._settings() | {"season": season})

    def _fit(self, history, progress=None):
        periods = periods_of(self.season or history.seasons)
        rest, effects = without_effects(history, periods[0])
        rows = in_blocks(partial(self._fitted_apart, periods), rest.values, rest.lengths)
        return Fitted(rows | effects, {"season": np.array(periods)})

    def _fitted_apart(self, periods, values, lengths):
        if self._takes_seasons or not are_apart(periods):
            return self._with(periods)._fitted(values, lengths)
        apart = Profiles.of(values, lengths, periods)
        return self._with(1)._fitted(apart.rest, lengths) | {"seasons": apart.found}

    def _ahead_of(self, history, h=None):
        forecast = lambda rest: forecast_in_blocks(self._apart, rest, self._model, h)
        return with_effects(history, self._model, forecast, h)

    def _inside(self, history):
        return self._ahead_of(history)

    def _apart(self, values, lengths, fitted, h: int | None) -> Ahead:
        """Return forecasts, with the seasons that are apart."""
        if "seasons" not in fitted:
            return self._with(self._periods)._ahead(values, lengths, fitted, h)
        apart = Profiles.of(values, lengths, self._periods, fitted["seasons"])
        ahead = self._with(1)._ahead(apart.rest, lengths, fitted, h)
        return Ahead(*apart.restored(ahead.forecast, absolute(ahead), h), np.zeros(len(values), bool))


def absolute(ahead: Ahead) -> np.ndarray:
    """Return standard deviations in the values' own units."""
    return np.where(ahead.of_logarithms[:, None], np.abs(ahead.forecast) * ahead.spread, ahead.spread)


class SmoothingForecaster(SeasonalForecaster):
    """A seasonal forecaster whose recurrence also has components, by a subclass's ``_parts``.

    Parameters
    ----------
    temporal : bool
        Whether forecasts agree with those of means over 2 steps and more up to a season, to which the model is fitted
        anew for each forecast (Athanasopoulos et al. 2017, "Forecasting with temporal hierarchies", structural
        scaling). Several seasons, or one of more than 60 steps, are without.
    """

    temporal: bool = False  # whether forecasts agree with those of means over parts of a season
    _parts: Callable[..., dict[str, np.ndarray]]  # the columns of `components` (N, T)

    def _apart(self, values, lengths, fitted, h) -> Ahead:
        season = self._periods[0]
        if h is None or not self.temporal or season == 1 or are_apart(self._periods):
            return super()._apart(values, lengths, fitted, h)
        whole = -(-h // season) * season
        ahead = super()._apart(values, lengths, fitted, whole)
        found = {1: ahead.forecast}
        for size in [one for one in range(2, season + 1) if season % one == 0]:
            (means, count), model = means_over(values, lengths, size), self._with(season // size)
            said = model._ahead(means, count, model._fitted(means, count), whole // size).forecast
            own = ahead.forecast.reshape(len(values), -1, size).mean(axis=2)
            found[size] = np.where((count < _FEWEST)[:, None], own, said)
        return Ahead(agreed(found, season)[:, :h], ahead.spread[:, :h], ahead.of_logarithms)

    def _components(self, history):
        parts = lambda values: self._parts_apart(values, history.lengths, self._model)
        return parts_with_effects(history, self._model, parts)

    def _parts_apart(self, values, lengths, fitted) -> dict[str, np.ndarray]:
        """Return the columns of `components`; what is apart counts as season."""
        if "seasons" not in fitted:
            return self._with(self._periods)._parts(values, lengths, fitted)
        apart = Profiles.of(values, lengths, self._periods, fitted["seasons"])
        parts = self._with(1)._parts(apart.rest, lengths, fitted)
        said, _ = apart.restored(parts["level"] + parts["season"])
        return parts | {"season": said - parts["level"], "remainder": values - said}


def known_once(values) -> np.ndarray:
    """Return a mask ``(N,)`` of the series with a single value, whose size determines their spread."""
    return (~np.isnan(values)).sum(axis=1) == 1
