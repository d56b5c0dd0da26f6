"""One recurrent network for many series, beside each series' own exponential smoothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit, logit, ndtri

from rnnkit.backends.shared.thread_pool import at_most
from rnnkit.cells.smoothing import level_and_season
from rnnkit.forecast.data.covariates import Moments, continued
from rnnkit.forecast.data.history import History
from rnnkit.forecast.models.forecaster import Ahead, Fitted, known_once
from rnnkit.forecast.models.normalization import (
    Normalized,
    completed,
    futures,
    in_training_order,
    moments,
    normalized,
    part,
    restored,
    sizes,
)
from rnnkit.forecast.models.together import Blocks
from rnnkit.hints import Progress
from rnnkit.layers.dense import Dense
from rnnkit.layers.merging import Concatenate
from rnnkit.layers.recurrent import GRU, LSTM, SimpleRNN
from rnnkit.layers.rnn import RNN
from rnnkit.layers.support.symbolic import Input
from rnnkit.models.functional import Model
from rnnkit.optimizers import Adam
from rnnkit.optimizers.schedules import CosineDecay
from rnnkit.serialization.array_files import below

LAYERS: dict[str, Callable] = {"lstm": LSTM, "gru": GRU, "rnn": SimpleRNN}
QUANTILES = np.array([0.1, 0.5, 0.9])
DTYPE = "float32"  # of the layers
LONGEST = 512  # steps that a network reads before a forecast
_STRETCH, _CYCLES = 96, 4  # steps that it reads in an update, at least so many seasons
_DEVIATIONS = float(ndtri(QUANTILES[-1]) - ndtri(QUANTILES[0]))  # between the outer quantiles of a normal distribution
_START = logit(np.array([0.5, 0.1]))  # α and γ of all series, before training
_FASTER = 20.0  # their learning rate, relative to the network's
_OWN = 0.05  # the learning rate of series' own parameters
_JITTER = 6.0  # random steps added to lengths before sorting, for varied batches of similar lengths
_UPDATES = 160  # by default
_CONTINUED = 3  # times fewer of them, where a training begins with the weights of another one
FEWEST, _MOST = 12, 60  # epochs, also for the parameters of new series; more would overfit small panels
_READ_AT_ONCE = 2**16  # steps of all series per forecast
_ROWS = 32  # series of a block in a batch of several blocks
_FOR_A_THREAD = 4096  # states of the units in a batch from which on one more thread saves time
_WARM = 12  # most first steps of a series without a loss


class _Smoothed(NamedTuple):
    """Level and season of a batch of series by exponential smoothing."""

    level: np.ndarray  # (B, T), after each step
    season: np.ndarray  # (B, T + m): of each step as it was forecast, and of the m after the last one
    pull: Callable  # from gradients by both to those by the logits of α and γ and by the starting levels


class SmoothedNetwork:
    """A recurrent network on smoothed series, after Smyl (2020), with the settings that `GlobalRNN` describes.

    A hybrid method of exponential smoothing and recurrent neural networks for time series forecasting, International
    Journal of Forecasting 36(1), 75-85. With z the series or its logarithm::

        l_t, s_{t+m} = level_and_season(z_t)                           α, γ: of all series, and of each
        window_t     = (z_{t-w+1} - s_{t-w+1} - l_t, …, z_t - s_t - l_t)
        x_t          = (window_t, covariates at t)
        o_t          = Dense(layer(x_t), x_t)
        z_{t+h}      ≈ l_t + s_{t+h} + o_t[h, quantile]

    Smoothing parameters, starting levels and the network's weights are trained together, by the pinball loss over all
    steps, leads and quantiles. Seasons start at 0, as nothing is known of them before the first values.
    """

    def __init__(self, season, leads, layer, units, window, networks, epochs, batch_size, learning_rate, seed):
        self.season, self.leads, self.layer, self.units = season, leads, layer, units
        self.window = window or (max(season + season // 4, 4) if season > 1 else 5)
        self.networks, self.epochs, self.batch_size = networks, epochs, batch_size
        self.learning_rate, self.seed = learning_rate, seed

    def learned(self, series: Blocks, tell: Progress = None, begun: Any = None):
        """Train on blocks of series; return each block's arrays, and those of all. Their order changes no bit.

        Training goes on from what an earlier one found, if it is `begun`: `ahead_of_ends` returns that.
        """
        centre, width = Moments.together(series.map(moments)).scale()
        panel, bounds = {"centre": centre, "width": width}, []
        blocks = series.made(normalized, centre, width)
        found: list[dict[str, np.ndarray]] = [{} for _ in blocks.map(sizes, 0)]
        before, weights = begun or ([], {})
        before = series.some(in_training_order, None, list(enumerate(before)))
        for number in range(self.networks):
            training = _Training(self, blocks, number, tell)
            if begun:
                training.own = [below(f"{number}/", one) for one in before]
                training.shared = below(f"{number}/", weights)
                training.epochs = self.epochs_of(training.batches, continued=True)
            training.run()
            panel |= {f"{number}/{name}": array.copy() for name, array in training.shared.items()}
            for rows, own in zip(found, training.own, strict=True):
                rows |= {f"{number}/{name}": array for name, array in own.items()}
            bounds.append(training.furthest)
        return found, panel | {"furthest": np.max(bounds, axis=0)}

    def adapted(self, history: History, panel: dict[str, np.ndarray], tell: Progress = None) -> dict[str, np.ndarray]:
        """Fit the parameters of new series; the networks stay unchanged."""
        blocks = Blocks([history]).made(normalized, panel["centre"], panel["width"])
        rows: dict[str, np.ndarray] = {}
        for number in range(self.networks):
            training = _Training(self, blocks, number, tell, below(f"{number}/", panel))
            training.run()
            rows |= {f"{number}/{name}": array for name, array in training.own[0].items()}
        return completed(history, rows)

    def ahead(self, history: History, fitted: Fitted, h: int | None = None) -> Ahead:
        """Forecast `h` steps after each series' end, later ones from medians; without `h`, each step of it."""
        found = np.empty((len(history.values), h or history.values.shape[1], len(QUANTILES)))
        each = max(_READ_AT_ONCE // history.values.shape[1], 1)
        for start in range(0, len(found), each):
            places = np.arange(start, min(start + each, len(found)))
            rows = {name: array[places] for name, array in fitted.rows.items()}
            part = history.until(places, history.lengths[places])
            found[places] = self._quantiles(Normalized.of(part, rows, fitted.panel), fitted.panel, h)
        logs, unit = fitted.rows["logarithms"], fitted.rows["unit"][:, None]
        median = restored(found[..., 1], fitted.rows)
        median = np.where(history.nonnegative[:, None], np.maximum(median, 0.0), median)
        spread = (found[..., 2] - found[..., 0]) * unit / _DEVIATIONS
        size = np.where(logs[:, None], 1.0, np.where(median == 0, 1.0, np.abs(median)))
        return Ahead(median, np.where(known_once(history.values)[:, None], size, spread), logs)

    def epochs_for(self, series: int) -> int:
        """Return the number of epochs of both trainings, over all networks, for a number of series in memory."""
        batches = -(-series // self.batch_size)
        return self.networks * (self.epochs_of(batches) + self.epochs_of(batches, True))

    def epochs_of(self, batches: int, continued: bool = False) -> int:
        """Return the number of epochs, from the number of batches of an epoch; fewer for a `continued` training."""
        epochs = self.epochs or min(max(FEWEST, -(-_UPDATES // batches)), _MOST)
        return -(-epochs // _CONTINUED) if continued else epochs

    @property
    def stretch(self) -> int:
        """The number of steps that an update reads."""
        return min(max(_STRETCH, _CYCLES * self.season), LONGEST)

    def _quantiles(self, series: Normalized, panel, h: int | None) -> np.ndarray:
        """Return quantiles of z ``(N, H, Q)`` after each series' end, or of each of its steps without `h`."""
        own = [below(f"{number}/", series.rows) for number in range(self.networks)]
        networks = [_Network.of(self, below(f"{number}/", panel)) for number in range(self.networks)]

        def said_of(series: Normalized, of: Callable) -> np.ndarray:
            each = [of(network, series, one, panel["furthest"]) for network, one in zip(networks, own, strict=True)]
            return np.sort(np.mean(each, axis=0), axis=2)

        if h is None:
            return said_of(series, _Network.of_each)
        z, lengths, widened = series.z, series.lengths, 0.0
        parts: list[np.ndarray] = []
        while len(parts) * self.leads < h:
            said = said_of(series._replace(z=z, lengths=lengths), _Network.ahead)
            median = said[..., 1:2]
            # Errors of successive forecasts accumulate.
            parts.append(median + np.sign(said - median) * np.hypot(said - median, widened))
            widened = np.abs(parts[-1][:, -1:] - median[:, -1:])
            z, lengths = continued(z, lengths, median[..., 0]), lengths + self.leads
        return np.concatenate(parts, axis=1)[:, :h]


class _Network:
    """One network: smoothing, then layers."""

    def __init__(self, settings: SmoothedNetwork, features: int, number: int = 0):
        self.settings = settings
        seed = int(np.random.SeedSequence([settings.seed, number]).generate_state(1)[0])
        outputs = settings.leads * len(QUANTILES)
        x = Input((None, features))
        layer = LAYERS[settings.layer](settings.units, return_sequences=True, dtype=DTYPE, seed=seed, name="layer")
        readout = Dense(outputs, kernel_initializer="zeros", dtype=DTYPE, name="readout")
        self.model = Model(x, readout(Concatenate(dtype=DTYPE)([layer(x), x])))
        self.smoothing = np.zeros(2, DTYPE)  # of all series; see `_START`, `_FASTER`

    @classmethod
    def of(cls, settings: SmoothedNetwork, arrays: dict[str, np.ndarray]) -> _Network:
        network = cls(settings, len(arrays["layer/kernel"]))
        network.shared = arrays
        return network

    @property
    def shared(self) -> dict[str, np.ndarray]:
        """The weights that all series share."""
        return {**self.model.weights, "smoothing": self.smoothing}

    @shared.setter
    def shared(self, arrays):
        self.model.set_weights([arrays[name] for name in self.model.weights])
        self.smoothing = arrays["smoothing"]

    def smoothed(self, z, own: dict[str, np.ndarray], rows: dict[str, np.ndarray]) -> _Smoothed:
        """Smooth a batch of series with its own parameters and the results of `units`."""
        m = self.settings.season
        parameters = expit(_START + _FASTER * self.smoothing + np.stack([own["alpha"], own["gamma"]], axis=1))
        parameters[:, 1] *= m > 1
        start = rows["first"] + rows["change"] * own["level"]
        states = [start[:, None], np.zeros((len(z), m, 1))]
        found, pullback = _smoothing(m).vjp(
            z[..., None], constants=[parameters[..., None]], initial_state=states, checkpoint="auto"
        )

        def pull(d_level, d_season):
            gradient = pullback(np.stack([d_level, d_season[:, m:]], axis=2))
            logits = gradient.constants[0][..., 0] * parameters * (1 - parameters)
            return {
                "alpha": logits[:, 0],
                "gamma": logits[:, 1],
                "level": gradient.initial_state[0][:, 0] * rows["change"],
            }

        return _Smoothed(found[..., 0], np.pad(found[..., 1], ((0, 0), (m, 0))), pull)

    def inputs(self, series: Normalized, smoothed: _Smoothed, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the layer's inputs ``(B, stop - start, F)``, and a mask of the known entries of their windows."""
        w = self.settings.window
        left = np.pad(series.z[:, :stop] - smoothed.season[:, :stop], ((0, 0), (w - 1, 0)), constant_values=np.nan)
        window = np.lib.stride_tricks.sliding_window_view(left, w, axis=1)[:, start:]
        window = window - smoothed.level[:, start:stop, None]
        known = ~np.isnan(window)
        besides = series.covariates.at_steps(start, stop, self.settings.leads)
        return np.concatenate([np.where(known, window, 0.0), besides], axis=2).astype(DTYPE), known

    def ahead(self, series: Normalized, own: dict[str, np.ndarray], furthest) -> np.ndarray:
        """Return quantiles of z ``(B, L, Q)`` after each series' end."""
        count, steps = series.z.shape
        rows, last = np.arange(count), series.lengths - 1
        smoothed = self.smoothed(series.z, own, series.rows)
        x, _ = self.inputs(series, smoothed, 0, steps)
        start = np.maximum(series.lengths - LONGEST, 0)
        if start.any():
            read = np.minimum(start[:, None] + np.arange(LONGEST), steps - 1)
            x = np.take_along_axis(x, read[..., None], axis=1)
        said = self.model(x)[rows, last - start].reshape(count, self.settings.leads, -1).astype(np.float64)
        said = np.clip(said, -furthest[:, None], furthest[:, None]) * (series.rows["change"] > 0)[:, None, None]
        leads = np.arange(self.settings.leads)
        season = smoothed.season[rows[:, None], last[:, None] + 1 + leads % self.settings.season]
        return said + (smoothed.level[rows, last, None] + season)[..., None]

    def of_each(self, series: Normalized, own: dict[str, np.ndarray], furthest) -> np.ndarray:
        """Return quantiles of z of each step, from the steps before it ``(B, T, Q)``; NaN for the first one."""
        count, steps = series.z.shape
        smoothed = self.smoothed(series.z, own, series.rows)
        x, _ = self.inputs(series, smoothed, 0, steps)
        said = self.model(x).reshape(count, steps, self.settings.leads, -1)[:, :-1, 0].astype(np.float64)
        said = np.clip(said, -furthest[0], furthest[0]) * (series.rows["change"] > 0)[:, None, None]
        said += (smoothed.level[:, : steps - 1] + smoothed.season[:, 1:steps])[..., None]
        return np.pad(said, ((0, 0), (1, 0), (0, 0)), constant_values=np.nan)


class _Piece(NamedTuple):
    """The series of a batch from one block."""

    rows: np.ndarray
    own: dict[str, np.ndarray]  # each series' own parameters
    start: int  # the first step read
    warm: int  # first steps without a loss


class _Pulled(NamedTuple):
    """Gradients of a piece's loss, normalized by the weight of its series."""

    weight: float
    shared: dict[str, np.ndarray]
    own: dict[str, np.ndarray]
    furthest: np.ndarray


class _Weights(NamedTuple):
    """The weights of a network at an update."""

    settings: SmoothedNetwork
    arrays: dict[str, np.ndarray]
    trained: bool  # whether these are trained, besides the series' own parameters


class _Training:
    """The training of one network on batches of series; weights that are given stay fixed."""

    def __init__(self, settings: SmoothedNetwork, blocks: Blocks, number: int, tell=None, weights=None):
        self.settings, self.blocks, self.number, self.tell = settings, blocks, number, tell
        self.lengths, widths = zip(*blocks.map(sizes, settings.leads), strict=True)
        self.fixed = weights is not None
        self.shared = weights or _Network(settings, settings.window + widths[0], number).shared
        names = ("alpha", "gamma", "level")
        self.own = [{name: np.zeros(len(one)) for name in names} for one in self.lengths]
        self._moments = [{name: np.zeros((2, len(one))) for name in names} for one in self.lengths]
        self._seen = [np.zeros(len(one)) for one in self.lengths]  # number of updates per series
        self._random = np.random.default_rng([settings.seed, number])
        first = settings.season if settings.season > 1 else 3
        self.warm = min(first, _WARM, int(np.concatenate(self.lengths).max()) // 3)
        self.furthest = np.zeros(settings.leads)
        batch = settings.batch_size
        self._parts = min(sum(len(one) > 0 for one in self.lengths), -(-batch // _ROWS))
        self._each = -(-batch // self._parts)
        self.batches = -(-sum(-(-len(one) // self._each) for one in self.lengths) // self._parts)
        self.epochs = FEWEST if self.fixed else settings.epochs_of(self.batches)

    def run(self) -> None:
        epochs, updates = self.epochs, self.epochs * self.batches
        decay = CosineDecay(1.0, updates)
        optimizer = Adam(CosineDecay(self.settings.learning_rate, updates), global_clipnorm=1.0)
        update = 0
        for epoch in range(epochs):
            for given in self._drawn():
                shared = _Weights(self.settings, self.shared, not self.fixed)
                with at_most(max(1, self.settings.batch_size * self.settings.units // _FOR_A_THREAD)):
                    found = self.blocks.some(_pulled, shared, given)
                total = max(sum(one.weight for one in found), np.finfo(np.float64).tiny)
                shares = [one.weight / total for one in found]
                if not self.fixed:
                    gradients = [times(one.shared, share) for one, share in zip(found, shares, strict=True)]
                    self.shared = optimizer.apply(self.shared, summed(gradients))
                count = sum(len(piece.rows) for _, piece in given)
                for (block, piece), one, share in zip(given, found, shares, strict=True):
                    self.furthest = np.maximum(self.furthest, one.furthest)
                    self._follow(block, piece.rows, times(one.own, share), count, _OWN * decay(update))
                update += 1
            if self.tell is not None:
                self.tell(f"network {self.number + 1}, epoch {epoch + 1} of {epochs}")

    def _drawn(self) -> Iterator[list[tuple[int, _Piece]]]:
        """Yield batches of pieces: series of similar lengths of a block, in a random order."""
        pieces = []
        for block, lengths in enumerate(self.lengths):
            order = np.argsort(lengths + self._random.uniform(0, _JITTER, len(lengths)), kind="stable")
            pieces += [(block, order[start : start + self._each]) for start in range(0, len(order), self._each)]
        places = self._random.permutation(np.arange(len(pieces))).tolist()
        for first in range(0, len(places), self._parts):
            yield [self._piece(*pieces[place]) for place in places[first : first + self._parts]]

    def _piece(self, block: int, rows) -> tuple[int, _Piece]:
        steps = int(self.lengths[block][rows].max())
        most = self.settings.stretch  # half of the stretches that would begin or end outside are at the ends
        start = int(np.clip(self._random.integers(-(most // 2), steps - most // 2 + 1), 0, max(steps - most, 0)))
        return block, _Piece(rows, {name: array[rows] for name, array in self.own[block].items()}, start, self.warm)

    def _follow(self, block: int, rows, gradients, count: int, rate: float) -> None:
        """Update the own parameters of a batch's series with Adam."""
        self._seen[block][rows] += 1
        seen = self._seen[block][rows]
        for name, gradient in gradients.items():
            mean, square = self._moments[block][name]
            gradient = gradient * count
            mean[rows] = 0.9 * mean[rows] + 0.1 * gradient
            square[rows] = 0.99 * square[rows] + 0.01 * gradient**2
            moved = mean[rows] / (1 - 0.9**seen) / (np.sqrt(square[rows] / (1 - 0.99**seen)) + 1e-8)
            self.own[block][name][rows] -= rate * moved


def times(gradients: dict[str, np.ndarray], share: float) -> dict[str, np.ndarray]:
    """Return gradients times a number, with unchanged dtypes."""
    return {name: array * array.dtype.type(share) for name, array in gradients.items()}


def summed(gradients: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return the sum of gradients."""
    return {name: np.sum([one[name] for one in gradients], axis=0) for name in gradients[0]}


_own = threading.local()  # the last network used by a thread, what it was made for, and its weights


def _network_with(weights: _Weights) -> _Network:
    """Return the thread's network, with these weights."""
    made_for = {**vars(weights.settings), "inputs": len(weights.arrays["layer/kernel"])}
    if getattr(_own, "made_for", None) != made_for:
        _own.network, _own.made_for = _Network.of(weights.settings, weights.arrays), made_for
    elif _own.arrays is not weights.arrays:
        _own.network.shared = weights.arrays
    _own.arrays = weights.arrays
    return _own.network


def _pulled(every: Normalized, weights: _Weights, piece: _Piece) -> _Pulled:
    """Return gradients of a piece's loss by the shared weights and by each series' own parameters."""
    network, leads = _network_with(weights), weights.settings.leads
    settings, start, rows = weights.settings, piece.start, piece.rows
    series = part(every, rows, int(every.lengths[rows].max()))
    count, steps = series.z.shape
    smoothed = network.smoothed(series.z, piece.own, series.rows)
    stop = min(start + settings.stretch, steps)
    x, known = network.inputs(series, smoothed, start, stop)
    said, pullback = network.model.vjp(x)
    said = said.reshape(count, stop - start, leads, len(QUANTILES))
    wanted = futures(series.z, start, stop, leads) - smoothed.level[:, start:stop, None]
    if settings.season > 1:
        wanted -= smoothed.season[:, np.arange(start, stop)[:, None] + 1 + np.arange(leads) % settings.season]
    taught = ~np.isnan(wanted)
    taught[:, : max(piece.warm - start, 0)] = False
    wanted = np.where(taught, wanted, 0.0).astype(DTYPE)
    furthest = np.abs(wanted).max(axis=(0, 1))
    # Series are weighted by their units, so that the loss is on the scale of logarithms.
    weight = series.rows["unit"].astype(DTYPE)[:, None, None] * taught
    total = float(weight.sum())
    weight /= max(total, np.finfo(DTYPE).tiny)
    d_said, d_wanted = np.empty_like(said), np.zeros_like(weight)
    for place, quantile in enumerate(QUANTILES.astype(DTYPE)):
        slope = np.where(wanted > said[..., place], quantile, quantile - 1) * weight
        d_wanted += slope
        np.negative(slope, out=d_said[..., place])
    pulled = pullback(d_said.reshape(count, stop - start, -1))
    d_window = np.where(known, pulled.x[..., : settings.window], 0)
    d_level, d_season = np.zeros(smoothed.level.shape), np.zeros(smoothed.season.shape)
    d_level[:, start:stop] = -(d_wanted @ np.ones(leads, DTYPE) + d_window @ np.ones(settings.window, DTYPE))
    for lead in range(leads if settings.season > 1 else 0):
        first = start + 1 + lead % settings.season
        d_season[:, first : first + stop - start] -= d_wanted[:, :, lead]
    for place in range(settings.window if settings.season > 1 else 0):
        lag = settings.window - 1 - place
        first = max(start - lag, 0)
        d_season[:, first : max(stop - lag, 0)] -= d_window[:, first + lag - start :, place]
    own_gradients = smoothed.pull(d_level, d_season)
    gradients = {}
    if weights.trained:
        both = np.array([own_gradients[name].sum() for name in ("alpha", "gamma")])
        gradients = {**pulled.weights, "smoothing": (_FASTER * both).astype(DTYPE)}
    return _Pulled(total, gradients, own_gradients, furthest)


@lru_cache(maxsize=16)
def _smoothing(season: int) -> RNN:
    return RNN(level_and_season(period=season), return_sequences=True, dtype="float64")
