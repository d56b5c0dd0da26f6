"""Forecasts from a small recurrent network that is trained: quantiles for each lead, beside a linear shortcut."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from rnnkit.arguments import is_integer, number_from_zero, real_number, whole
from rnnkit.callbacks import Callback
from rnnkit.callbacks.stages import progress_bar
from rnnkit.docstrings import described_as
from rnnkit.forecast import saving
from rnnkit.forecast.data.panel import Panel, check_horizon
from rnnkit.forecast.fitting.readout import ENOUGH, learnable, short_note
from rnnkit.forecast.fitting.scale import Scale
from rnnkit.forecast.fitting.season import refined_period
from rnnkit.forecast.fitting.shortcut import Shortcut, hold, targets
from rnnkit.forecast.fitting.windows import Windows
from rnnkit.forecast.models.direct import DirectForecaster, ForecastState, last_steps, measured
from rnnkit.hints import Array
from rnnkit.layers.dense import Dense
from rnnkit.layers.masking import Masking
from rnnkit.layers.recurrent import GRU, LSTM, SimpleRNN
from rnnkit.models.sequential import Sequential
from rnnkit.optimizers import Adam
from rnnkit.optimizers.schedules import CosineDecay

LAYERS = {"gru": GRU, "lstm": LSTM, "rnn": SimpleRNN, "linear": None}
SEASONS = 1.5  # that the shortcut looks back over
LAGS = 18  # that it looks back over where there is no season
SETTINGS = (
    *("horizon", "layer", "units", "season", "epochs", "networks", "window", "batch_size", "learning_rate", "level"),
    *("calibrate", "seed"),
)
UNKNOWN = -1e6  # what a step without a value holds, and nothing else does

Progress = Callable[[str], None]


class TrainedForecaster(DirectForecaster):
    """Quantile forecasts from a recurrent network trained on a series, with a linear shortcut beside it.

    Series are taken apart into a straight line, a spread and the rest ``z``. Ridge regressions say how far the series
    will have moved (`Shortcut`: recent values, season terms); a small network, which reads ``z``, the season terms and
    what the shortcut says, learns the quantiles of what the shortcut leaves over, for all leads at every step::

        s_t[h]       = shortcut at t for lead h
        state_t      = layer([z_t, season terms at t, s_t], state_{t-1})
        q_t[level,h] = Dense(state_t)
        z_{t+h}      ≈ z_t + s_t[h] + spread of what s leaves over * q_t[level, h]

    The loss is the mean pinball loss ``max(level e, (level - 1) e)`` of e = value - quantile over the values that are
    known (Koenker and Bassett 1978, "Regression quantiles"). In gaps the states hold. The network starts from the
    quantiles of what the shortcut leaves over, and training goes on from there. Windows of the series are the
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
        Leads that are learned; fewer where the series are too short to teach so many.
    layer : {"gru", "lstm", "rnn", "linear"}
        The recurrent layer; "linear" has none, and Dense reads what the layer would.
    units : int
        Of the layer.
    season : int, optional
        Period in steps. All series have the same phase at their first step.
    epochs : int
        Of `fit`.
    networks : int
        How many are averaged.
    window : int
        Steps that a network reads, in training and for a forecast.
    batch_size : int
        Windows of a batch.
    learning_rate : float
        Adam's, at first; it follows half a cosine down to 0.
    level : float in (0, 1)
        Of the band between the outer quantiles.
    calibrate : bool
        Whether to find out how wide the bands should be; it takes about as long as the fit itself.
    seed : int, optional
        Of first weights and the windows' order: the same seed gives the same bits.

    Attributes
    ----------
    shortcut : Shortcut
    models : list of Sequential
        The networks.
    band_scale : float
        The factor that the bands are wider by, 1 or more.
    note : str or None
        What `fit` made simpler, as the series are short.

    Examples
    --------
    >>> import numpy as np
    >>> wave = np.sin(np.arange(300) * 0.3) + 0.1 * np.random.default_rng(0).standard_normal(300)
    >>> forecaster = TrainedForecaster(horizon=2, layer="gru", units=4, epochs=5, networks=1, seed=0).fit(wave)
    >>> lower, median, upper = forecaster.predict_quantiles()
    >>> bool((lower < median).all() and (median < upper).all())
    True
    """

    band_scale: Any
    learning_rate: Any
    level: Any
    models: list[Sequential]
    shortcut: Shortcut

    def __init__(
        self,
        horizon: int = 1,
        layer: str = "gru",
        units: int = 8,
        *,
        season: int | None = None,
        epochs: int = 100,
        networks: int = 3,
        window: int = 64,
        batch_size: int = 8,
        learning_rate: float = 0.005,
        level: float = 0.8,
        calibrate: bool = True,
        seed: int | None = None,
    ):
        if layer not in LAYERS:
            raise ValueError(f"expected layer to be one of {', '.join(LAYERS)}; got {layer!r}")
        if not 0 < real_number(level, "level") < 1:
            raise ValueError(f"expected level between 0 and 1; got {level!r}")
        if not number_from_zero(learning_rate, "learning_rate"):
            raise ValueError(f"expected learning_rate above 0; got {learning_rate!r}")
        self.horizon: Any = whole(horizon, "horizon", 1)
        self.layer = layer
        self.units: Any = whole(units, "units", 1)
        self.season: Any = None if season is None else whole(season, "season", 2)
        self.epochs: Any = whole(epochs, "epochs", 1)
        self.networks: Any = whole(networks, "networks", 1)
        self.window: Any = whole(window, "window", 1)
        self.batch_size: Any = whole(batch_size, "batch_size", 1)
        self.learning_rate, self.level = float(learning_rate), float(level)
        if seed is not None and (not is_integer(seed) or seed < 0):
            raise ValueError(f"expected seed to be a whole number of at least 0, or None; got {seed!r}")
        self.seed: Any = np.random.SeedSequence().entropy if seed is None else int(seed)
        self.calibrate: bool = bool(calibrate)

    def fit(
        self, y: Array, x: Array = None, *, progress: Progress | None = None, verbose: Any = "auto"
    ) -> TrainedForecaster:
        """Fit to one series, or to several at once, from new weights.

        Parameters
        ----------
        y : array_like (T,) or (B, T), or list of array_like
            A series in equal steps, NaN or masked in its gaps; or several, of any lengths, that share the networks and
            keep a trend and a spread each.
        x : array_like (T,) or (T, F), or a list of them, optional
            What else is known at each step. What is known ahead, a calendar for instance, goes in shifted by the lead.
        progress : callable, optional
            Called with a text after each epoch, in the place of a bar.
        verbose : {"auto", 0, 1, 2}
            0 shows nothing, "auto" a bar in a terminal or notebook.

        Returns
        -------
        TrainedForecaster
            Itself; unchanged if anything went wrong.

        Raises
        ------
        ValueError
            If y or x is not as described, infinite or without any value; with an x, if there is too little to learn
            from.
        FloatingPointError
            If the loss isn't finite, see `Sequential.fit`.
        KeyboardInterrupt
            After Ctrl-C.
        """
        panel = Panel(y, x)
        if x is not None:
            check_horizon(self.horizon, panel.values.shape[1])
        total = self.networks * self.epochs * (1 + self.calibrate)
        with progress_bar(total, type(self).__name__, 0 if progress else verbose) as bar:
            return self._fitted(panel, x is not None, progress or bar.step)

    def _fitted(self, panel: Panel, strict: bool, progress: Progress) -> TrainedForecaster:
        excess = self._calibrated(panel, progress) if self.calibrate else 0.0
        scale, (centre, width) = Scale(panel.values), measured(panel)
        z, covariates = _standard(panel, scale, centre, width)
        season = self.season or 0
        period = refined_period(z, season) if season else 0.0
        lags = min(int(np.ceil(SEASONS * season)) or LAGS, max(1, z.shape[1] // 3))
        shortcut = Shortcut(self.horizon, lags, min(2, season // 2), period)
        rows = ~np.isnan(z) & (np.arange(z.shape[1]) >= shortcut.warm(z.shape[1]))
        taught = (~np.isnan(targets(z, self.horizon)) & rows[..., None]).sum(axis=(0, 1))
        shortcut.horizon = leads = self.horizon if strict else learnable(taught)  # the others follow step by step
        shortcut.fit(z, panel.times, covariates, strict=strict)
        said = shortcut.changes(z, panel.times, covariates)
        residual = _residuals(z, said)
        residual[:, : shortcut.warm(z.shape[1])] = np.nan
        if not strict and taught[0] < ENOUGH:
            residual[:] = np.nan
        spread = float(np.nanstd(residual)) if (~np.isnan(residual)).any() else 0.0
        # What a straight line leaves are rounding errors, of which there is nothing to learn.
        spread = spread if spread > 1e-10 else 0.0
        first = _quantiles(residual.reshape(-1, leads) / (spread or np.inf), self._levels)
        models = [self._new_model(number, first, _width(shortcut, panel.features)) for number in range(self.networks)]
        windows = self._windows(shortcut, z, panel.times, covariates, said, residual, spread)
        if spread:
            self._train(models, windows, self.epochs, self.learning_rate, progress)
        self.shortcut, self.models, self._spread = shortcut, models, spread
        self._excess, self.band_scale = excess, 1 + excess / z.shape[1]
        self._features, self._centre, self._width = panel.features, centre, width
        self.note = short_note(int(taught[0]), leads, self.horizon)
        self._single, self._state = panel.single, self._state_of(panel, z, covariates, scale, lags)
        return self

    def update(
        self,
        y: Array,
        x: Array = None,
        *,
        epochs: int = 3,
        learning_rate: float | None = None,
        progress: Progress | None = None,
    ) -> TrainedForecaster:
        """Carry on from the weights that `fit` found, with series that have gone on since.

        The shortcut is solved anew, with the strength and the season terms that `fit` chose.

        Parameters
        ----------
        y, x
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
        ValueError
            As in `fit`, before `fit`, or for another number of features.
        """
        self._check_fitted()
        epochs = whole(epochs, "epochs", 0)
        panel = self._panel(y, x)
        scale, old = Scale(panel.values), self.shortcut
        z, covariates = _standard(panel, scale, self._centre, self._width)
        shortcut = Shortcut(old.horizon, old.lags, old.harmonics, old.period)
        shortcut.strength, shortcut.seasonal = old.strength, old.seasonal
        shortcut.fit(z, panel.times, covariates, choose=False, strict=x is not None)
        said = shortcut.changes(z, panel.times, covariates)
        residual = _residuals(z, said)
        residual[:, : shortcut.warm(z.shape[1])] = np.nan
        if self._spread and epochs:
            windows = self._windows(shortcut, z, panel.times, covariates, said, residual, self._spread)
            kept = [model._arrays() for model in self.models]
            try:
                self._train(self.models, windows, epochs, learning_rate or self.learning_rate / 5, progress)
            except BaseException:
                for model, arrays in zip(self.models, kept, strict=True):
                    model._put_arrays(arrays)
                raise
        self.shortcut, self.band_scale = shortcut, 1 + self._excess / z.shape[1]
        self._single, self._state = panel.single, self._state_of(panel, z, covariates, scale, shortcut.lags)
        return self

    @described_as(DirectForecaster.predict)
    def predict_quantiles(self, horizon: int | None = None) -> np.ndarray:
        """Return lower edge of the band, median and upper edge of what follows the series given last.

        Beyond the leads that were learned, the medians so far are read as if they had been observed; bands are too
        narrow there.

        Returns
        -------
        ndarray (3, horizon) or (3, B, horizon) of float64
            From the step after each series' last one, be it a gap or not.
        """
        return self._forecast(self._check_fitted(), self._single, horizon)

    @described_as(DirectForecaster.forecast)
    def forecast_quantiles(
        self, y: Array, x: Array = None, horizon: int | None = None, *, rescale: bool = False
    ) -> np.ndarray:
        """Return lower edge of the band, median and upper edge of what follows the history `y`.

        Returns
        -------
        ndarray (3, horizon) or (3, B, horizon) of float64
        """
        return self._following(y, x, horizon, rescale)

    def _to_save(self):
        state, shortcut = self._check_fitted(), self.shortcut
        z, covariates = state.read
        arrays = {
            "shortcut": shortcut.weights,
            "centre": self._centre,
            "width": self._width,
            "z": z,
            "covariates": covariates,
            "times": state.times,
            "missing": state.missing,
            **state.scale.arrays(),
        }
        for number, model in enumerate(self.models):
            arrays |= {f"networks/{number}/{name}": array for name, array in model._arrays().items()}
        config = {name: getattr(self, name) for name in SETTINGS}
        fitted = {name: getattr(shortcut, name) for name in ("lags", "harmonics", "period", "strength", "seasonal")}
        return arrays, {
            "config": config,
            "shortcut": fitted,
            "spread": self._spread,
            "excess": self._excess,
            "band_scale": self.band_scale,
            "features": self._features,
            "single": self._single,
            "note": self.note,
        }

    @classmethod
    def _of_saved(cls, saved: saving.Saved) -> TrainedForecaster:
        arrays, about = saved.arrays, saved.about
        forecaster = cls(**about["config"])
        horizon, fitted = arrays["shortcut"].shape[1], about["shortcut"]
        forecaster.shortcut = shortcut = Shortcut(horizon, fitted["lags"], fitted["harmonics"], fitted["period"])
        shortcut.strength, shortcut.seasonal = fitted["strength"], fitted["seasonal"]
        shortcut.weights = arrays["shortcut"]
        forecaster._spread, forecaster._features = about["spread"], about["features"]
        forecaster._excess, forecaster.band_scale = about["excess"], about["band_scale"]
        forecaster._single, forecaster.note = about["single"], about.get("note")
        forecaster._centre, forecaster._width = arrays.get("centre"), arrays.get("width")
        read = arrays["z"], arrays.get("covariates")
        forecaster._state = ForecastState(arrays["times"], arrays["missing"], Scale.of_arrays(arrays), read)
        forecaster.models = []
        for number in range(forecaster.networks):
            width = _width(shortcut, forecaster._features)
            model = forecaster._new_model(number, np.zeros((3, horizon)), width)
            model.set_weights([arrays[f"networks/{number}/{name}"] for name in model._arrays()])
            forecaster.models.append(model)
        return forecaster

    def __repr__(self) -> str:
        return (
            f"TrainedForecaster(horizon={self.horizon}, layer={self.layer!r}, units={self.units}, season={self.season})"
        )

    def _facts(self):
        if self._state is None:
            return super()._facts()
        return super()._facts() | {
            "band": lambda: f"{self.level:g} %, {self.band_scale:.3g} times as wide as learned",
            "note": lambda: self.note or "",
        }

    def _shown_parts(self):
        return {f"network {i}": model for i, model in enumerate(self.models)} if self._state is not None else {}

    # Training

    def _calibrated(self, panel, progress) -> float:
        """How much wider bands should have been in the last quarter, times the steps before it that were fitted to."""
        cut = 3 * panel.values.shape[1] // 4
        rows = panel.known[:, :cut].any(axis=1)
        values, covariates = panel.values[rows], None if panel.covariates is None else list(panel.covariates[rows])
        trial = TrainedForecaster(**{name: getattr(self, name) for name in SETTINGS} | {"calibrate": False})
        before, told = covariates and [one[:cut] for one in covariates], lambda text: progress(f"calibration, {text}")
        try:
            trial.fit(values[:, :cut], before, progress=told)
        except ValueError:  # too little to learn from
            return 0.0
        whole = trial._panel(values, covariates)
        z, standard = _standard(whole, trial._check_fitted().scale, trial._centre, trial._width)
        said = trial.shortcut.changes(z, whole.times, standard)
        inputs = _inputs(trial.shortcut, z, whole.times, standard, said)
        lower, median, upper = np.moveaxis(trial._said(inputs)[:, cut - 1 :], 2, 0)
        off = (_residuals(z, said)[:, cut - 1 :] - trial._spread * median) / (trial._spread or np.inf)
        known = ~np.isnan(off)
        edge = np.where(off > 0, upper - median, median - lower)[known]
        share = np.abs(off[known]) / np.maximum(edge, np.finfo(float).tiny)
        rank = min(int(np.ceil(self.level * (len(share) + 1))), len(share))
        return cut * max(0.0, float(np.sort(share)[rank - 1]) - 1) if len(share) else 0.0

    @property
    def _levels(self) -> np.ndarray:
        return np.array([(1 - self.level) / 2, 0.5, (1 + self.level) / 2])

    def _new_model(self, number, first, features) -> Sequential:
        """A network that says the quantiles `first` ``(3, horizon)`` whatever it reads, until it is trained."""
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
            model.compile(optimizer=Adam(schedule), loss=_pinball(self._levels, windows.residual.shape[2]))
            told = Epochs(f"network {number + 1} of {len(models)}, epoch {{}} of {epochs}", progress)
            if model.fit(windows, epochs=epochs, callbacks=[told], verbose=0).interrupted:
                raise KeyboardInterrupt

    def _windows(self, shortcut, z, times, covariates, said, residual, spread) -> Windows:
        weights = ~np.isnan(residual)
        residual = np.where(weights, residual / (spread or 1.0), 0.0)
        inputs = _inputs(shortcut, z, times, covariates, said)
        return Windows(inputs, residual.astype(np.float32), weights, self.window, self.batch_size)

    # Forecasting

    @property
    def _leads(self) -> int:
        return self.shortcut.horizon

    @staticmethod
    def _middle(found):
        return found[1]

    def _ended(self, panel: Panel, scale: Scale) -> ForecastState:
        z, covariates = _standard(panel, scale, self._centre, self._width)
        return self._state_of(panel, z, covariates, scale, self.shortcut.lags)

    def _state_of(self, panel, z, covariates, scale, lags) -> ForecastState:
        last = last_steps(panel)
        steps = last[:, None] + np.arange(1 - self.window - lags + 1, 1)
        before = steps < 0
        steps = np.maximum(steps, 0)
        if covariates is not None:
            covariates = np.where(before[..., None], np.nan, covariates[np.arange(len(z))[:, None], steps])
        read = np.where(before, np.nan, np.take_along_axis(z, steps, axis=1)), covariates
        return ForecastState(last, panel.lengths - 1 - last, scale, read)

    def _going_on(self, state: ForecastState) -> Iterator[np.ndarray]:
        times, (z, covariates) = state.times, state.read
        while True:
            ahead = self._ahead(z, times, covariates)
            yield ahead
            z, times = np.concatenate([z, ahead[1]], axis=1)[:, -z.shape[1] :], times + self._leads

    def _ahead(self, z, last, covariates) -> np.ndarray:
        """The quantiles ``(3, B, horizon)`` of the values after a state, in units of z."""
        times = last[:, None] + np.arange(1 - z.shape[1], 1)
        said = self.shortcut.changes(z, times, covariates)
        inputs = _inputs(self.shortcut, z, times, covariates, said)[:, -self.window :]
        quantiles = self._said(inputs)[:, -1].transpose(1, 0, 2)
        quantiles = quantiles[1] + self.band_scale * (quantiles - quantiles[1])
        return hold(z)[:, -1:] + said[:, -1] + self._spread * quantiles

    def _said(self, inputs) -> np.ndarray:
        """The networks' quantiles ``(B, T, 3, horizon)``, in order, of what the shortcut leaves over in its spread."""
        said = np.mean([model(inputs).astype(np.float64) for model in self.models], axis=0)
        return np.sort(said.reshape(*said.shape[:2], 3, -1), axis=2)


class Epochs(Callback):
    """Tells which epoch a fit has come to."""

    def __init__(self, text: str, progress: Progress | None):
        super().__init__()
        self.text, self.progress = text, progress

    def on_epoch_end(self, epoch, logs=None):
        """Tell it."""
        if self.progress:
            self.progress(self.text.format(epoch + 1))


def _quantiles(residual, levels) -> np.ndarray:
    """Quantiles ``(3, leads)`` of rows of residuals; zeros for a lead without any."""
    found = np.zeros((len(levels), residual.shape[1]))
    known = (~np.isnan(residual)).any(axis=0)
    found[:, known] = np.nanquantile(residual[:, known], levels, axis=0)
    return found


def _pinball(levels, horizon):
    """The mean pinball loss over the leads, of y_true that holds values and, after them, their weights."""
    levels = np.repeat(levels, horizon).astype(np.float32)

    def pinball(y_true, y_pred):
        values, weights = y_true[..., :horizon], y_true[..., horizon:]
        values = np.concatenate([values, values, values], axis=-1)
        weights = np.concatenate([weights, weights, weights], axis=-1)
        error = values - y_pred
        return np.sum(weights * np.maximum(levels * error, (levels - 1) * error), axis=-1) / horizon

    return pinball


def _standard(panel, scale, centre, width):
    """The values in units of their spread, NaN where a step can't be read, and the other features in theirs."""
    z = np.where(panel.known, scale.standardise(panel.values, panel.times), np.nan)
    return z, None if panel.covariates is None else (panel.covariates - centre) / width


def _residuals(z, said) -> np.ndarray:
    """The residuals ``(B, T, horizon)`` of the changes after each step; NaN where a value is unknown."""
    return targets(z, said.shape[2]) - z[..., None] - said


def _inputs(shortcut, z, times, covariates, said) -> np.ndarray:
    """What a network reads ``(B, T, F)``."""
    parts = [z[..., None], shortcut.waves(times), said, *([] if covariates is None else [covariates])]
    inputs = np.concatenate(parts, axis=2)
    return np.where(np.isnan(z)[..., None], UNKNOWN, inputs).astype(np.float32)


def _width(shortcut, features) -> int:
    """How many numbers a network reads at each step."""
    return 1 + (2 * shortcut.harmonics if shortcut.seasonal else 0) + shortcut.horizon + features
