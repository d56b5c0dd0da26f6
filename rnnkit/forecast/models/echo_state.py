"""An echo state network that forecasts: a fixed random recurrent layer, and a ridge regression for each lead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from rnnkit.arguments import is_integer
from rnnkit.cells.echo_state import ESNCell
from rnnkit.forecast.data.history import History
from rnnkit.forecast.fitting.readout import ENOUGH, NormalEquations, Penalty, learnable, quarters
from rnnkit.forecast.fitting.scale import Scale
from rnnkit.forecast.fitting.season import harmonics, refined_period
from rnnkit.forecast.fitting.shortcut import following
from rnnkit.forecast.models.direct import DirectForecaster, ForecastState, check_horizon, last_steps, measured
from rnnkit.forecast.models.forecaster import LEVEL, Ahead, Fitted, with_arguments
from rnnkit.layers.rnn import RNN
from rnnkit.layers.support.facts import built_shape

STRENGTHS = tuple(10.0**power for power in (-8, -6, -4, -2, -1, 0, 1, 2))
_WASHOUT = 20
_RESERVOIR = ("units", "spectral_radius", "leak", "input_scaling", "bias_scaling", "density", "seed")
ROWS = 8192  # states per block, which bounds the memory for long series


class Task(NamedTuple):
    """Sizes of a readout's fit."""

    length: int  # steps of the longest series
    washout: int
    leads: int
    strict: bool  # whether too few values are an error, rather than a reason for fewer leads


class Reader(NamedTuple):
    """A reservoir with the features of its readout."""

    layer: RNN
    period: float
    harmonics: int

    def blocks(self, inputs, known, states=None, first: int = 0) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """Yield a block of steps, the readout's features in it, and the states after it.

        Inputs are ``(B, T, 1 + F)``, `known` ``(B, T)``; `states` ``(B, units)`` are those before the step `first`.
        """
        steps = max(1, ROWS // len(inputs))
        for start in range(0, inputs.shape[1], steps):
            block = slice(start, start + steps)
            path, states = self.layer(inputs[:, block], initial_state=states, mask=known[:, block])
            times = np.broadcast_to(first + np.arange(inputs.shape[1])[block], path.shape[:2])
            yield block, self.readable(inputs[:, block], times, path), states

    def readable(self, inputs, times, states) -> np.ndarray:
        """Return a readout's features: 1, the inputs, the first two harmonics of the season, and the states."""
        waves = harmonics(times, self.period, self.harmonics)
        return np.concatenate([np.ones_like(inputs[..., :1]), inputs, waves, states], axis=-1)

    def add(self, parts: Mapping[int, NormalEquations], inputs, known, use, after, states=None, first: int = 0):
        """Add steps to the sums of their parts `use` ``(B, T)``, -1 for none, and return the states; see `blocks`."""
        z, leads = inputs[:, :, 0], after.shape[1] + 1 - inputs.shape[1]
        targets = sliding_window_view(after, leads, axis=1)  # targets[:, t, h - 1] is z at t + h
        for block, features, reached in self.blocks(inputs, known, states, first):
            states = reached
            for number, equations in parts.items():
                rows = use[:, block] == number
                flat = features.reshape(rows.size, -1) if rows.all() else features[rows]  # no copy where possible
                equations.add(flat, targets[:, block][rows] - z[:, block][rows][:, None])
        return states


@with_arguments
class ESN(DirectForecaster):
    """An echo state network that forecasts, with a direct readout for each lead time.

    All series that `fit` is given, of any lengths, share the readouts. It takes a dask array too, ``(T,)`` or
    ``(B, T)``, in chunks of series, of steps or of both, without an `x`: the reservoir runs once over it, a chunk at a
    time, and the bits depend on the chunks alone. With an `x`, or a given `washout`, a lead without a training value
    is an error.

    Series are taken apart into a straight line, a spread and the rest ``z``; a reservoir (`ESNCell`, never trained)
    reads ``z`` step by step, holding its state over gaps, and one ridge regression per lead h predicts from it the
    change of the series::

        state_t = ESNCell(z_t, state_{t-1})
        f_t     = [1, z_t, season terms at t, state_t]
        z_{t+h} ≈ z_t + f_t · w_h                       h = 1 … horizon

    Jaeger (2001), "The echo state approach to analysing and training recurrent neural networks", equation 1 and
    section 3; Lukoševičius (2012), "A practical guide to applying echo state networks", sections 3.2 and 4. The ridge
    strength and the use of season terms are those with the least error on the third and the fourth quarter, each
    after a fit to the quarters before it; the readouts are then solved on all values, in float64, from sums
    over blocks (`NormalEquations`).

    Parameters
    ----------
    horizon : int
        Number of leads with a readout; fewer are fitted if the series are too short.
    units : int
        Size of the reservoir.
    season : int, optional
        Period in steps: two harmonics of it may join the readout's features. All series have the same phase at their
        first step.
    spectral_radius, leak, input_scaling, bias_scaling, density
        The reservoir's, see `ESNCell`.
    washout : int, optional
        First steps of each series left out of the readout's fit, while the reservoir forgets its starting state;
        by default 20, or a quarter of a short series.
    ridge : float or sequence of float
        The strength, or the strengths to choose from.
    past_covariates : sequence of str
        Columns of a table that the reservoir reads beside the values.
    level : sequence of float in [1, 100)
        Percentages of `predict`'s bands by default. The bands are normal, with the spread of the errors in the last
        quarter after a fit without it.
    seed : int, optional
        Of the reservoir's weights: the same seed gives the same bits.

    Attributes
    ----------
    layer : RNN
        The reservoir.
    strength : float
        The ridge strength chosen by `fit`.
    seasonal : bool
        Whether `fit` chose to use season terms.
    readout : ndarray (features, leads) of float64
        The weights ``w``.
    note : str or None
        The simplifications that `fit` made for short series.

    Examples
    --------
    >>> import numpy as np
    >>> wave = np.sin(np.arange(400) * 0.3)
    >>> network = ESN(horizon=5, units=50, seed=1).fit(wave)
    >>> bool(np.abs(network.predict() - np.sin(np.arange(400, 405) * 0.3)).max() < 0.01)
    True
    """

    horizon: int = 1
    units: int = 300
    _: KW_ONLY
    season: int | None = None
    spectral_radius: float = 0.8
    leak: float = 1.0
    input_scaling: float = 0.5
    bias_scaling: float = 0.5
    density: float = 0.1
    washout: int | None = None
    ridge: Any = STRENGTHS
    past_covariates: Sequence[str] = ()
    level: Sequence[float] | float = LEVEL
    seed: int | None = None
    _partitioned = "reservoirs"
    _bands_are = "drawn from the errors in the last quarter of the series"

    def __post_init__(self):
        super().__post_init__()
        self._harmonics = min(2, (self.season or 1) // 2)
        strengths = np.atleast_1d(np.asarray(self.ridge, dtype=np.float64))
        if strengths.ndim != 1 or not strengths.size or not (strengths >= 0).all():
            raise ValueError(f"expected ridge to be a strength of 0 or more, or a list of them; got {self.ridge!r}")
        self.ridge = sorted(strengths.tolist(), reverse=True)  # ties go to the strongest
        self.layer: Any = self._new_layer()

    def _settings(self):
        seed = int(self.seed) if is_integer(self.seed) else None  # type: ignore[arg-type]  # a file holds the weights
        return super()._settings() | {"seed": seed}

    @property
    def strength(self) -> float:
        """The ridge strength that `fit` chose."""
        return float(self._panel["strength"])

    @property
    def seasonal(self) -> bool:
        """Whether `fit` chose to use season terms."""
        return bool(self._panel["seasonal"])

    @property
    def readout(self) -> np.ndarray:
        """The weights of the readouts, ``(features, leads)``."""
        return self._panel["weights"]

    def _new_layer(self) -> RNN:
        cell = ESNCell(**{name: getattr(self, name) for name in _RESERVOIR})
        return RNN(cell, return_sequences=True, return_state=True, dtype="float64")

    def _fit(self, history, progress=None):
        task = self._task(history.values.shape[1], history.beside.shape[2] > 0 or self.washout is not None)
        units, scale, layer = measured(history), Scale.of(history.values), self._layer_reading(history.beside.shape[2])
        inputs, known = _inputs(history, scale, units), history.known
        z = inputs[:, :, 0]
        reader = self._reader(layer, refined_period(z, self.season) if self.season else 0.0)
        after = following(z, task.leads)
        use = quarters(known & (np.arange(task.length) >= task.washout), ~np.isnan(after), task.leads)
        parts = [NormalEquations(self._width_of_readout(inputs.shape[2]), task.leads) for _ in range(5)]
        states = reader.add(dict(enumerate(parts)), inputs, known, use, after)
        panel = units | {"period": np.array(reader.period)} | self._solved(parts, task, inputs.shape[2])
        self.layer, self._ends = layer, (history, _state(history, inputs, states))
        return Fitted(scale.arrays(), panel)

    def _at_origin(self, history, progress=None, last=False):
        return self._refit(history)

    def _task(self, length: int, strict: bool) -> Task:
        """Return the task of fitting series of this length; `strict` raises an error for too few values."""
        if strict:
            check_horizon(self.horizon, length)
        washout = min(_WASHOUT, length // 4) if self.washout is None else self.washout
        leads = self.horizon if strict else min(self.horizon, max(length - 1 - washout, 1))
        return Task(length, washout, leads, strict)

    def _layer_reading(self, features: int) -> RNN:
        """Make a reservoir that reads `features` numbers besides the values."""
        fits = not self.layer.built or built_shape(self.layer)[-1] == 1 + features
        return self.layer if fits else self._new_layer()

    def _solved(self, parts: list[NormalEquations], task: Task, inputs: int) -> dict[str, np.ndarray]:
        """Choose strength and season terms on the quarters, and solve; `parts` are the quarters and the rest."""
        total = sum(parts[1:], parts[0])
        if task.strict and not total.count.all():
            raise ValueError(
                f"expected values to learn from, after the washout of {task.washout} steps, for each of {task.leads} "
                f"leads; got none for lead {np.argmin(total.count) + 1} in {task.length} steps: give a longer series, "
                f"fewer gaps, a shorter horizon or a shorter washout"
            )
        learned = task.leads if task.strict else learnable(total.count)
        penalty = Penalty(len(total.moment), slice(1 + inputs, 1 + inputs + 2 * self._harmonics))
        best = penalty.chosen(self.ridge, parts[:4])
        strengths = penalty.of(*best)
        readout = total.solve(strengths)[:, :learned]
        if not task.strict and total.count[0] < ENOUGH:
            readout[:] = 0.0  # hold the last value
        judge = parts[3] if parts[3].count.all() else total
        judged = parts[0] + parts[1] + parts[2] if judge is parts[3] else total
        spread = np.sqrt(judge.error(judged.solve(strengths)))[:learned]
        spread[total.count[:learned] < ENOUGH] = 1.0  # default to the series' spread
        found = {"strength": best[0], "seasonal": best[1], "taught": total.count[0], "spread": spread}
        return {"weights": readout} | {name: np.asarray(one) for name, one in found.items()}

    def _ended(self, history: History) -> ForecastState:
        inputs = _inputs(history, self._scale, self._panel)
        for _, _, reached in self._reader().blocks(inputs, history.known):
            states = reached
        return _state(history, inputs, states)

    def _prepare_parts(self, arrays):
        self.layer.build((None, None, 1 + self._features))

    def _facts(self):
        if self._history is None:
            return super()._facts()
        return super()._facts() | {
            "leads": lambda: str(self._leads),
            "ridge": lambda: f"{self.strength:g}",
            "season": lambda: f"{self._panel['period']:g} steps" if self.seasonal else "",
        }

    def _shown_parts(self):
        return {"reservoir": self.layer}

    def _reader(self, layer: RNN | None = None, period: float | None = None) -> Reader:
        period = float(self._panel["period"]) if period is None else period
        return Reader(layer or self.layer, period, self._harmonics)

    def _width_of_readout(self, inputs: int) -> int:
        return 1 + inputs + 2 * self._harmonics + self.units

    def _going_on(self, state: ForecastState) -> Iterator[np.ndarray]:
        times, (inputs, states) = state.times, state.read
        reader = self._reader()
        while True:
            ahead = inputs[:, :1] + reader.readable(inputs, times, states) @ self.readout
            yield ahead
            _, states = self.layer(ahead[:, :, None], initial_state=states)
            times, inputs = times + self._leads, ahead[:, -1:]

    def _ahead_of(self, history, h):
        forecast, steps = self._path(history, h)
        spread = self._panel["spread"]
        # Errors of successive forecasts accumulate.
        width = np.hypot(spread[steps % self._leads], spread[-1] * np.sqrt(steps // self._leads))
        return Ahead(forecast, width * self._scale.spread[:, None], np.zeros(len(forecast), bool))

    def _inside(self, history):
        inputs, known = _inputs(history, self._scale, self._panel), history.known
        found = [
            inputs[:, block, :1] + features @ self.readout
            for block, features, _ in self._reader().blocks(inputs, known)
        ]
        last = np.maximum.accumulate(np.where(known, np.arange(known.shape[1]), -1), axis=1)[:, :-1]
        lead = np.arange(last.shape[1]) - last
        reached = (last >= 0) & (lead < self._leads)
        lead = np.where(reached, lead, 0)
        z = np.concatenate(found, axis=1)[np.arange(len(last))[:, None], last, lead]
        forecast = self._scale.restore(np.where(reached, z, np.nan), history.times[:, 1:])
        width = np.where(reached, self._panel["spread"][lead], np.nan) * self._scale.spread[:, None]
        forecast, width = (np.pad(one, ((0, 0), (1, 0)), constant_values=np.nan) for one in (forecast, width))
        return Ahead(forecast, width, np.zeros(len(forecast), bool))


def _inputs(history: History, scale: Scale, units: Mapping[str, np.ndarray]) -> np.ndarray:
    z = scale.standardise(history.values, history.times)[:, :, None]
    return np.concatenate([z, (history.beside - units["centre"]) / units["width"]], axis=2)


def _state(history: History, inputs, states) -> ForecastState:
    last = last_steps(history)
    return ForecastState(last, (inputs[np.arange(len(last)), last], states))
