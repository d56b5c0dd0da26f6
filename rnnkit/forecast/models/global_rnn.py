"""A recurrent network for all series of a panel, with covariates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY
from operator import attrgetter
from typing import ClassVar

import numpy as np

from rnnkit.arguments import whole
from rnnkit.callbacks.stages import progress_bar
from rnnkit.forecast.data.history import History
from rnnkit.forecast.fitting.held_out import Ends, by_lead, leads_of
from rnnkit.forecast.models.forecaster import LEVEL, Ahead, Fitted, with_arguments
from rnnkit.forecast.models.normalization import completed
from rnnkit.forecast.models.smoothed_network import FEWEST, LAYERS, SmoothedNetwork
from rnnkit.forecast.models.together import Blocks, Together
from rnnkit.hints import Progress

_NETWORK = ("layer", "units", "window", "networks", "epochs", "batch_size", "learning_rate", "seed")


@with_arguments
class GlobalRNN(Together):
    """One recurrent network for all series of a panel, beside exponential smoothing of each: ES-RNN.

    Positive series are taken as logarithms, unless these change by more than 1 from step to step. Exponential smoothing
    gives their levels and seasons, with some parameters shared by all series and others of each one. A network, shared
    by all, reads windows of the smoothing's residuals, and gives quantiles of the next steps in units of the level.
    Both are trained together by the pinball loss (Smyl 2020, "A hybrid method of exponential smoothing and recurrent
    neural networks for time series forecasting"; windows, units and ensembles also after Hewamalage, Bergmeir and
    Bandara 2021, "Recurrent neural networks for time series forecasting: Current status and future directions"). The
    mean of several networks is the forecast. Series may be of any lengths, shorter than the window too, and have gaps.

    Networks are trained a first time without the ends of the series; their errors there give the bands (split
    conformal prediction by lead, see `Auto`). With the ends, training goes on from these weights. An update reads a
    random stretch of its series, of 96 steps or four seasons.

    Parameters
    ----------
    season : int, optional
        Steps of a season, 1 for none; by default as `Auto` finds it.
    leads : int, optional
        L, leads of the networks; by default one and a half seasons, from 8 to 24. Further steps are forecast
        recursively, with earlier forecasts in place of values.
    past_covariates, future_covariates : sequence of str
        Columns of the table that are known up to now, and known ahead; a missing value counts as the mean.
    layer : {"lstm", "gru", "rnn"}
        The recurrent layer.
    units : int
        Of the layer.
    window : int, optional
        w, steps of an input; by default one and a quarter seasons, or 5.
    networks : int
        Number of networks whose mean is the forecast.
    epochs : int, optional
        Of the first training, by default enough for 160 updates, from 12 to 60; with the ends, a third of them follow.
    batch_size : int
        Series of a batch.
    learning_rate : float
        Adam's, at first.
    seed : int
        Of first weights and batches: the same seed gives the same bits.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> month = np.arange(60)
    >>> shops = [level * (1 + 0.2 * np.sin(month * np.pi / 6)) + rng.normal(size=60) for level in range(50, 90)]
    >>> model = GlobalRNN(season=12, units=4, networks=1, epochs=10).fit(shops)
    >>> model.predict(3).shape
    (40, 3)
    """

    season: int | None = None
    _: KW_ONLY
    leads: int | None = None
    past_covariates: Sequence[str] = ()
    future_covariates: Sequence[str] = ()
    layer: str = "lstm"
    units: int = 24
    window: int | None = None
    networks: int = 2
    epochs: int | None = None
    batch_size: int = 64
    learning_rate: float = 0.005
    level: Sequence[float] | float = LEVEL
    seed: int = 0
    reads_covariates = True
    _layers = LAYERS
    _names: ClassVar = {"lstm": "GlobalLSTM", "gru": "GlobalGRU", "rnn": "GlobalRNN"}

    def __post_init__(self):
        super().__post_init__()
        self.seed = whole(self.seed, "seed", 0)

    def _of(self, y, static=None, progress=None, verbose="auto", **names):
        covariates, other = self._fitted_history().covariates, self.copy()
        history = History.of(y, **names, covariates=self._covariate_columns)
        history = self._beside(history, static, covariates.names if covariates is not None else ())
        other._panel, other._history = self._panel, history
        network = self._network()
        with progress_bar(network.networks * FEWEST, self.name, 0 if progress else verbose) as bar:
            other._model = network.adapted(history, self._panel, progress or bar.step)
        return other

    def _learned(self, series: Blocks, progress: Progress = None):
        season = self._seasons_of(series)[0]
        sizes = {"season": np.array(season), "leads": np.array(self.leads or leads_of(season))}
        network = self._network(sizes)
        ends, off, begun = series.made(Ends.of, network.leads, True), np.zeros((0, network.leads)), None
        if any(map(len, ends.map(attrgetter("series")))):
            seen, begun = ahead_of_ends(network, ends, progress)
            off = np.concatenate([errors_in_spreads(ahead, came) for ahead, came in seen])
        found, panel = network.learned(series, progress, begun)
        return found, panel | sizes | {"errors": by_lead(off)}

    def _stages(self, history: History) -> int:
        sizes = {"season": np.array(1), "leads": np.array(1)}
        return self._network(sizes).epochs_for(len(history.lengths))

    def _completed(self, history: History, found, panel):
        return completed(history, found)

    def _network(self, sizes: dict[str, np.ndarray] | None = None) -> SmoothedNetwork:
        """Return the networks' settings; by default with the season and the leads that `fit` found."""
        sizes = self._panel if sizes is None else sizes
        settings = {name: getattr(self, name) for name in _NETWORK}
        return SmoothedNetwork(int(sizes["season"]), int(sizes["leads"]), **settings)

    def _ahead_of(self, history: History, h: int | None = None) -> Ahead:
        return self._network().ahead(history, Fitted(self._model, self._panel), h)


def ahead_of_ends(network: SmoothedNetwork, ends: Blocks, progress: Progress = None):
    """Train a network without the ends; return its forecasts of them and the actual values by block, and its arrays."""
    tell = None if progress is None else lambda text: progress(f"calibration, {text}")
    found, panel = network.learned(ends.made(attrgetter("history")), tell)
    seen, own = zip(*ends.some(_ahead_of_ends, (network, panel), list(enumerate(found))), strict=True)
    return seen, (own, panel)


def _ahead_of_ends(ends: Ends, shared, found):
    network, panel = shared
    fitted = Fitted(rows := completed(ends.history, found), panel)
    own = {name: rows[name] for name in found}
    return (network.ahead(ends.history, fitted, network.leads), ends.came), (ends.series, own)


def errors_in_spreads(ahead: Ahead, came) -> np.ndarray:
    """Return the deviations of actual values from forecasts ``(N, L)``, in units of the spread; NaN if unknown."""
    logarithms = ahead.of_logarithms[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        off = np.where(logarithms, np.log(np.where(logarithms, came / ahead.forecast, 1.0)), came - ahead.forecast)
        return off / ahead.spread
