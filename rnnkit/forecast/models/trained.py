"""Forecasts by a small trained recurrent network: quantiles for each lead, beside a linear shortcut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY
from typing import Any, ClassVar, Self

import numpy as np
from scipy.special import ndtri

from rnnkit.arguments import is_integer, real_number, whole
from rnnkit.callbacks import LambdaCallback
from rnnkit.forecast.data.history import History, check_features
from rnnkit.forecast.fitting.readout import ENOUGH, learnable
from rnnkit.forecast.fitting.scale import Scale
from rnnkit.forecast.fitting.season import refined_period
from rnnkit.forecast.fitting.shortcut import Shortcut, hold, targets
from rnnkit.forecast.models.direct import DirectForecaster, ForecastState, check_horizon, last_steps, measured
from rnnkit.forecast.models.forecaster import Ahead, Fitted, with_arguments
from rnnkit.hints import Array, Progress
from rnnkit.layers.dense import Dense
from rnnkit.layers.masking import Masking
from rnnkit.layers.recurrent import GRU, LSTM, SimpleRNN
from rnnkit.layers.support.layer_tree import arrays_by_name, put_arrays
from rnnkit.models.sequential import Sequential
from rnnkit.optimizers import Adam
from rnnkit.optimizers.schedules import CosineDecay

LAYERS = {"gru": GRU, "lstm": LSTM, "rnn": SimpleRNN, "linear": None}
SEASONS = 1.5  # lags of the shortcut, in seasons
LAGS = 18  # lags of the shortcut without a season
LATER = 3  # epochs at the origins of a back-test after the first
UNKNOWN = -1e6  # marks steps without a value
WARM = 12  # first steps of a window without a loss, while the state settles
BATCHES = 64  # at most in an epoch, which bounds the time for long series
_OF_SHORTCUT = ("lags", "harmonics", "period", "strength", "seasonal")


@with_arguments
class TrainedForecaster(DirectForecaster):
    """Quantile forecasts from a recurrent network trained on a series, with a linear shortcut beside it.

    Series are split into a straight line, a spread and the rest ``z``. Ridge regressions predict the changes of the
    series (`Shortcut`: recent values, season terms); a small network, which reads ``z``, the season terms and
    the shortcut's predictions, learns the quantiles of the shortcut's residuals, for all leads at every step::

        s_t[h]       = shortcut at t for lead h
        state_t      = layer([z_t, season terms at t, s_t], state_{t-1})
        q_t[level,h] = Dense(state_t)
        z_{t+h}      ≈ z_t + s_t[h] + spread of the residuals of s * q_t[level, h]

    The loss is the mean pinball loss ``max(level e, (level - 1) e)`` of e = value - quantile over the values that are
    known (Koenker and Bassett 1978, "Regression quantiles"). In gaps the states hold. The network starts from the
    quantiles of the shortcut's residuals, and training goes on from there. Windows of the series are the
    rows of a batch; the mean over several networks that start from other weights is the forecast. Its quantiles are
    sorted, so that they never cross (Chernozhukov, Fernández-Val and Galichon 2010, "Quantile and probability curves
    without crossing").

    A fit is closer to the past than to the future. So a second model is first fitted to the first three quarters of the
    series. If its bands cover too little of the last quarter, the forecaster's bands are widened (after Romano,
    Patterson and Candès 2019, "Conformalized quantile regression") by the factor that would have been right there. The
    widening shrinks in proportion to one over the number of steps to learn from.

    Parameters
    ----------
    horizon : int
        Number of leads; fewer are fitted if the series are too short.
    layer : {"gru", "lstm", "rnn", "linear"}
        The recurrent layer; "linear" has none, and Dense reads the inputs.
    units : int
        Of the layer.
    season : int, optional
        Period in steps. All series have the same phase at their first step.
    epochs : int
        Of `fit`.
    networks : int
        Number of networks to average.
    window : int
        Steps that a network reads, in training and for a forecast.
    batch_size : int
        Windows of a batch.
    learning_rate : float
        Adam's, at first; it follows half a cosine down to 0.
    level : float
        Of the band between the outer quantiles, in percent; other bands are derived as for a normal
        distribution. A share such as 0.8 is read as 80.
    calibrate : bool
        Whether to calibrate the width of the bands, which takes about as long as the fit itself.
    past_covariates : sequence of str
        Columns of a table that the networks read beside the values.
    seed : int, optional
        Of first weights and the windows' order: the same seed gives the same bits.

    Attributes
    ----------
    shortcut : Shortcut
    models : list of Sequential
        The networks.
    band_scale : float
        The factor by which the bands are widened, 1 or more.
    note : str or None
        The simplifications that `fit` made for short series.

    Examples
    --------
    >>> import numpy as np
    >>> wave = np.sin(np.arange(300) * 0.3) + 0.1 * np.random.default_rng(0).standard_normal(300)
    >>> forecaster = TrainedForecaster(horizon=2, layer="gru", units=4, epochs=5, networks=1, seed=0).fit(wave)
    >>> lower, median, upper = forecaster.predict_quantiles()
    >>> bool((lower < median).all() and (median < upper).all())
    True
    """

    horizon: int = 1
    layer: str = "gru"
    units: int = 8
    _: KW_ONLY
    season: int | None = None
    epochs: int = 100
    networks: int = 3
    window: int = 64
    batch_size: int = 8
    learning_rate: float = 0.005
    level: float = 80
    calibrate: bool = True
    past_covariates: Sequence[str] = ()
    seed: int | None = None
    _bands_are = "between the quantiles that the model has learned"
    _layers = LAYERS
    _names: ClassVar = {"gru": "GRU", "lstm": "LSTM", "rnn": "SimpleRNN", "linear": "Linear"}

    def __post_init__(self):
        share = real_number(self.level, "level")
        self._share = share / 100 if share >= 1 else share
        if not 0 < self._share < 1 or self.level == 1:
            raise ValueError(f"expected level to be a percentage between 0 and 100, such as 80; got {self.level!r}")
        self.level = round(100 * self._share, 10)
        super().__post_init__()
        if self.seed is not None and (not is_integer(self.seed) or self.seed < 0):
            raise ValueError(f"expected seed to be a whole number of at least 0, or None; got {self.seed!r}")
        self.seed = int(np.random.SeedSequence(self.seed).entropy)  # type: ignore[arg-type]
        self.models: list[Sequential] = []

    def _settings(self):
        return super()._settings() | {"level": self._share}

    @property
    def shortcut(self) -> Shortcut:
        """The linear part."""
        found = {name: self._panel[name].item() for name in _OF_SHORTCUT}
        return Shortcut(self._leads, **found, weights=self._panel["weights"])

    @property
    def band_scale(self) -> float:
        """The factor by which the bands are widened, 1 or more."""
        return float(self._panel["band_scale"])

    def _stages(self, history: History) -> int:
        return self.networks * self.epochs * (1 + self.calibrate)

    def _fit(self, history, progress=None):
        strict, steps = history.beside.shape[2] > 0, history.values.shape[1]
        if strict:
            check_horizon(self.horizon, steps)
        excess = self._calibrated(history, progress) if self.calibrate else 0.0
        units, scale = measured(history), Scale.of(history.values)
        z, beside = _standard(history, scale, units)
        season = self.season or 0
        period = refined_period(z, season) if season else 0.0
        lags = min(int(np.ceil(SEASONS * season)) or LAGS, max(1, steps // 3))
        shortcut = Shortcut(self.horizon, lags, min(2, season // 2), period)
        rows = ~np.isnan(z) & (np.arange(steps) >= shortcut.warm(steps))
        taught = (~np.isnan(targets(z, self.horizon)) & rows[..., None]).sum(axis=(0, 1))
        shortcut.horizon = leads = self.horizon if strict else learnable(taught)  # later leads are forecast recursively
        shortcut.fit(z, history.times, beside, strict=strict)
        said, inputs = _read(shortcut, z, history.times, beside)
        residual = shortcut.errors(z, said)
        if not strict and taught[0] < ENOUGH:
            residual[:] = np.nan
        spread = float(np.nanstd(residual)) if (~np.isnan(residual)).any() else 0.0
        # The residuals of an exact line are rounding errors.
        spread = spread if spread > 1e-10 else 0.0
        first, learns = _quantiles(residual.reshape(-1, leads) / (spread or np.inf), self._usual_quantiles), spread > 0
        if taught[0] < ENOUGH:  # default to the series' spread
            spread, first = 1.0, np.repeat(ndtri(self._usual_quantiles)[:, None], leads, axis=1)
        models = [self._new_model(number, first, inputs.shape[2]) for number in range(self.networks)]
        if learns:
            self._train(models, self._windows(inputs, residual, spread), self.epochs, self.learning_rate, progress)
        self.models, self._ends = models, (history, self._state_of(history, z, beside, lags))
        found = {"spread": spread, "excess": excess, "band_scale": 1 + excess / steps, "taught": taught[0]}
        return Fitted(scale.arrays(), units | _arrays(shortcut) | {name: np.array(one) for name, one in found.items()})

    def carry_on(
        self,
        y: Array,
        x: Array = None,
        *,
        epochs: int = 3,
        learning_rate: float | None = None,
        progress: Progress = None,
        **names: Any,
    ) -> Self:
        """Train further from the weights of `fit`, with series that have grown since.

        The shortcut is solved anew, with the strength and the use of season terms that `fit` chose.

        Parameters
        ----------
        y, x, **names
            As in `fit`, from the same first step.
        epochs : int
            A few.
        learning_rate : float, optional
            By default a fifth of that of `fit`.
        progress : callable, optional
            Called with a text after each epoch.

        Returns
        -------
        TrainedForecaster
            Itself; unchanged if anything went wrong.

        Raises
        ------
        RuntimeError
            Before `fit`.
        ValueError
            As in `fit`, or for another number of features.
        """
        self._fitted_history()
        history = self._read(y, x, **names)
        check_features(history.beside.shape[2], self._features)
        return self._carried_on(history, whole(epochs, "epochs", 0), learning_rate or self.learning_rate / 5, progress)

    def _carried_on(self, history: History, epochs: int, learning_rate: float, progress: Progress) -> Self:
        scale, shortcut, spread = Scale.of(history.values), self.shortcut, float(self._panel["spread"])
        z, beside = _standard(history, scale, self._panel)
        shortcut.fit(z, history.times, beside, choose=False, strict=beside.shape[2] > 0)
        said, inputs = _read(shortcut, z, history.times, beside)
        residual = shortcut.errors(z, said)
        if spread and epochs and not np.isnan(residual).all():
            windows = self._windows(inputs, residual, spread)
            kept = [arrays_by_name(model) for model in self.models]
            try:
                self._train(self.models, windows, epochs, learning_rate, progress)
            except BaseException:
                for model, arrays in zip(self.models, kept, strict=True):
                    put_arrays(model, arrays)
                raise
        wider = {"band_scale": np.array(1 + float(self._panel["excess"]) / z.shape[1])}
        self._model, self._panel = scale.arrays(), self._panel | _arrays(shortcut) | wider
        self._history, self._ends = history, (history, self._state_of(history, z, beside, shortcut.lags))
        return self

    def _at_origin(self, history, progress=None, last=False):
        if self._history is None:
            return self._refit(history, progress)
        return self._carried_on(history, min(LATER, self.epochs), self.learning_rate / 5, progress)

    def _prepare_parts(self, arrays):
        shortcut, last = self.shortcut, f"network {self.networks - 1}"
        if not any(name.startswith(f"{last}/") for name in arrays):  # check before making the networks
            raise KeyError(last)
        first, seasonal = np.zeros((3, shortcut.horizon)), 2 * shortcut.harmonics * shortcut.seasonal
        width = 1 + seasonal + shortcut.horizon + self._features  # see `_read`
        self.models = [self._new_model(number, first, width) for number in range(self.networks)]

    def _facts(self):
        if self._history is None:
            return super()._facts()
        band = lambda: f"{100 * self._share:g} %, {self.band_scale:.3g} times as wide as learned"
        return super()._facts() | {"band": band}

    def _shown_parts(self):
        return {f"network {i}": model for i, model in enumerate(self.models)}

    # Training

    def _calibrated(self, history: History, progress) -> float:
        """Return the relative widening that bands need in the last quarter, times the steps fitted before it."""
        cut = 3 * history.values.shape[1] // 4
        rows = np.flatnonzero(history.known[:, :cut].any(axis=1))
        trial = type(self)(**self._settings() | {"calibrate": False})
        tell = None if progress is None else lambda text: progress(f"calibration, {text}")
        try:
            if not len(rows):
                return 0.0
            trial._refit(history.until(rows, np.full(len(rows), cut)), tell)
        except ValueError:  # too little to learn from
            return 0.0
        history = history.until(rows, np.full(len(rows), history.values.shape[1]))
        z, beside = _standard(history, trial._scale, trial._panel)
        shortcut, spread = trial.shortcut, float(trial._panel["spread"])
        said, inputs = _read(shortcut, z, history.times, beside)
        lower, median, upper = np.moveaxis(trial._network_quantiles(inputs)[:, cut - 1 :], 2, 0)
        off = (shortcut.errors(z, said)[:, cut - 1 :] - spread * median) / (spread or np.inf)
        known = ~np.isnan(off)
        edge = np.where(off > 0, upper - median, median - lower)[known]
        share = np.abs(off[known]) / np.maximum(edge, np.finfo(float).tiny)
        rank = min(int(np.ceil(self._share * (len(share) + 1))), len(share))
        return cut * max(0.0, float(np.sort(share)[rank - 1]) - 1) if len(share) else 0.0

    @property
    def _usual_quantiles(self) -> np.ndarray:
        return np.array([(1 - self._share) / 2, 0.5, (1 + self._share) / 2])

    def _new_model(self, number, first, features) -> Sequential:
        """Make a network that returns the quantiles `first` ``(3, horizon)`` until it is trained."""
        layer = LAYERS[self.layer]
        model = Sequential(
            [
                Masking(UNKNOWN),
                *([] if layer is None else [layer(self.units, return_sequences=True)]),
                Dense(first.size, kernel_initializer="zeros"),
            ],
            dtype="float32",
            seed=np.random.SeedSequence([self.seed, number]).generate_state(1)[0].item(),
        )
        model.build((None, None, features))
        *rest, bias = model.get_weights()
        model.set_weights([*rest, first.ravel()])
        return model

    def _train(self, models, windows, epochs, learning_rate, progress):
        for number, model in enumerate(models):
            windows.restart([self.seed, number])
            schedule = CosineDecay(learning_rate, epochs * len(windows))
            model.compile(optimizer=Adam(schedule), loss=_pinball(self._usual_quantiles, windows.residual.shape[2]))
            text = f"network {number + 1} of {len(models)}, epoch {{}} of {epochs}"
            tell = lambda epoch, _, text=text: progress and progress(text.format(epoch + 1))
            if model.fit(windows, epochs=epochs, callbacks=[LambdaCallback(on_epoch_end=tell)], verbose=0).interrupted:
                raise KeyboardInterrupt

    def _windows(self, inputs, residual, spread) -> Windows:
        weights = ~np.isnan(residual)
        residual = np.where(weights, residual / spread, 0.0)
        return Windows(inputs, residual.astype(np.float32), weights, self.window, self.batch_size)

    # Forecasting

    def _ended(self, history: History) -> ForecastState:
        z, beside = _standard(history, self._scale, self._panel)
        return self._state_of(history, z, beside, int(self._panel["lags"]))

    def _state_of(self, history: History, z, beside, lags) -> ForecastState:
        last = last_steps(history)
        steps = last[:, None] + np.arange(1 - self.window - lags + 1, 1)
        before = steps < 0
        steps = np.maximum(steps, 0)
        beside = np.where(before[..., None], np.nan, beside[np.arange(len(z))[:, None], steps])
        read = np.where(before, np.nan, np.take_along_axis(z, steps, axis=1)), beside
        return ForecastState(last, read)

    def _going_on(self, state: ForecastState) -> Iterator[np.ndarray]:
        times, (z, beside), shortcut = state.times, state.read, self.shortcut
        while True:
            ahead = self._next(shortcut, z, times, beside)
            yield ahead
            z, times = np.concatenate([z, ahead[1]], axis=1)[:, -z.shape[1] :], times + self._leads

    def _next(self, shortcut: Shortcut, z, last, beside) -> np.ndarray:
        """Return the quantiles ``(3, B, horizon)`` of the values after a state, in units of z."""
        times = last[:, None] + np.arange(1 - z.shape[1], 1)
        said, inputs = _read(shortcut, z, times, beside)
        quantiles = self._network_quantiles(inputs[:, -self.window :])[:, -1].transpose(1, 0, 2)
        quantiles = quantiles[1] + self.band_scale * (quantiles - quantiles[1])
        return hold(z)[:, -1:] + said[:, -1] + float(self._panel["spread"]) * quantiles

    def _network_quantiles(self, inputs) -> np.ndarray:
        """Return the networks' sorted quantiles ``(B, T, 3, horizon)`` of the shortcut's scaled residuals."""
        said = np.mean([model(inputs).astype(np.float64) for model in self.models], axis=0)
        return np.sort(said.reshape(*said.shape[:2], 3, -1), axis=2)

    def _ahead_of(self, history, h):
        (lower, median, upper), _ = self._path(history, h)
        return Ahead(median, np.stack([lower, upper]), np.zeros(len(median), bool))

    def _quantiles(self, ahead, probabilities):
        found = np.empty((len(probabilities), *ahead.forecast.shape))
        for place, factor in enumerate(ndtri(probabilities) / ndtri(self._usual_quantiles[2])):
            edge = ahead.spread[int(factor > 0)]
            learned = np.isclose(abs(factor), 1.0, rtol=1e-9)
            found[place] = edge if learned else ahead.forecast + abs(factor) * (edge - ahead.forecast)
        return found


class Windows:
    """Batches of windows of inputs ``(B, T, F)`` and residuals ``(B, T, horizon)``, reordered each epoch."""

    def __init__(self, inputs, residual, weights, window: int, batch_size: int):
        self.inputs, self.residual, self.weights, self.batch_size = inputs, residual, weights, batch_size
        length = inputs.shape[1]
        self.window = min(window, length)
        starts = np.unique(np.r_[np.arange(0, length - self.window, max(1, self.window // 3)), length - self.window])
        places = np.stack(np.meshgrid(np.arange(len(inputs)), starts, indexing="ij"), axis=2).reshape(-1, 2)
        self.places = places[self._chosen(places)[1].any(axis=(1, 2))]

    def restart(self, seed) -> None:
        """Seed the generator of the orders."""
        self._rng = np.random.default_rng(seed)
        self.on_epoch_end()

    def on_epoch_end(self) -> None:
        """Reorder the windows."""
        self._order = self._rng.permutation(len(self.places))

    def __len__(self):
        return min(BATCHES, -(-len(self.places) // self.batch_size))

    def __getitem__(self, number):
        chosen, weights = self._chosen(
            self.places[self._order[number * self.batch_size : (number + 1) * self.batch_size]]
        )
        return self.inputs[chosen], np.concatenate([self.residual[chosen], weights.astype(np.float32)], axis=2)

    def _chosen(self, places) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
        """Return the indices of the steps of windows, and their weights ``(N, window, horizon)``."""
        rows, starts = places.T[..., None]
        steps = np.arange(self.window)
        counts = (starts == 0) | (steps >= min(WARM, self.window // 2))
        return (rows, starts + steps), self.weights[rows, starts + steps] & counts[..., None]


def _quantiles(residual, levels) -> np.ndarray:
    """Return quantiles ``(3, leads)`` of rows of residuals; zeros for a lead without any."""
    found = np.zeros((len(levels), residual.shape[1]))
    known = (~np.isnan(residual)).any(axis=0)
    found[:, known] = np.nanquantile(residual[:, known], levels, axis=0)
    return found


def _pinball(levels, horizon):
    """Make a mean pinball loss over the leads; y_true holds values, followed by their weights."""
    levels = np.repeat(levels, horizon).astype(np.float32)

    def pinball(y_true, y_pred):
        values, weights = y_true[..., :horizon], y_true[..., horizon:]
        values = np.concatenate([values, values, values], axis=-1)
        weights = np.concatenate([weights, weights, weights], axis=-1)
        error = values - y_pred
        return np.sum(weights * np.maximum(levels * error, (levels - 1) * error), axis=-1) / horizon

    return pinball


def _standard(history: History, scale: Scale, units) -> tuple[np.ndarray, np.ndarray]:
    """Return standardized values, NaN at steps with a missing value or feature, and standardized features."""
    z = np.where(history.known, scale.standardise(history.values, history.times), np.nan)
    return z, (history.beside - units["centre"]) / units["width"]


def _arrays(shortcut: Shortcut) -> dict[str, np.ndarray]:
    return {"weights": shortcut.weights} | {name: np.array(getattr(shortcut, name)) for name in _OF_SHORTCUT}


def _read(shortcut, z, times, beside) -> tuple[np.ndarray, np.ndarray]:
    """Return the shortcut's predicted changes ``(B, T, horizon)``, and a network's inputs ``(B, T, F)``."""
    said = shortcut.changes(z, times, beside)
    inputs = np.concatenate([z[..., None], shortcut.waves(times), said, beside], axis=2)
    return said, np.where(np.isnan(z)[..., None], UNKNOWN, inputs).astype(np.float32)
