"""An echo state network that forecasts: a fixed random recurrent layer, and a ridge regression for each lead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from rnnkit.arguments import whole
from rnnkit.cells.echo_state import ESNCell
from rnnkit.forecast import saving
from rnnkit.forecast.data import partitions
from rnnkit.forecast.data.panel import Panel, check_horizon
from rnnkit.forecast.fitting.readout import ENOUGH, NormalEquations, chosen, learnable, quarters, short_note
from rnnkit.forecast.fitting.scale import Scale
from rnnkit.forecast.fitting.season import harmonics, refined_period
from rnnkit.forecast.models.direct import DirectForecaster, ForecastState, last_steps, measured
from rnnkit.hints import Array
from rnnkit.layers.rnn import RNN

STRENGTHS = tuple(10.0**power for power in (-8, -6, -4, -2, -1, 0, 1, 2))
_WASHOUT = 20
ROWS = 8192  # states held at a time: memory doesn't grow with the length of a series


class Task(NamedTuple):
    """What a readout is fitted to."""

    length: int  # steps of the longest series
    washout: int
    leads: int
    strict: bool  # whether to refuse too few values, rather than make it simpler


class Reader(NamedTuple):
    """A reservoir, and what a readout sees of it."""

    layer: RNN
    period: float
    harmonics: int

    def blocks(self, inputs, known, states=None, first: int = 0) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """The readout's features, a block of steps at a time, and the states after the block.

        Parameters
        ----------
        inputs : ndarray (B, T, 1 + F)
        known : ndarray (B, T) of bool
            Which steps are read.
        states : ndarray (B, units), optional
            Before the first step.
        first : int
            The time of the first step.
        """
        steps = max(1, ROWS // len(inputs))
        for start in range(0, inputs.shape[1], steps):
            block = slice(start, start + steps)
            path, states = self.layer(inputs[:, block], initial_state=states, mask=known[:, block])
            times = np.broadcast_to(first + np.arange(inputs.shape[1])[block], path.shape[:2])
            yield block, self.readable(inputs[:, block], times, path), states

    def readable(self, inputs, times, states) -> np.ndarray:
        """What a readout sees of steps: 1, the inputs, the first two harmonics of the season, and the states."""
        waves = harmonics(times, self.period, self.harmonics)
        return np.concatenate([np.ones_like(inputs[..., :1]), inputs, waves, states], axis=-1)

    def add(self, parts: Mapping[int, NormalEquations], inputs, known, use, after, states=None, first: int = 0):
        """Add steps to the sums of their parts, and return the states after them.

        Parameters
        ----------
        parts : mapping of int to NormalEquations
        inputs, known, states, first
            As `blocks` takes them.
        use : ndarray (B, T) of int
            The part that each step belongs to; -1 for none.
        after : ndarray (B, T - 1 + leads)
            The values after each step, NaN where there is none.
        """
        z, leads = inputs[:, :, 0], after.shape[1] + 1 - inputs.shape[1]
        targets = sliding_window_view(after, leads, axis=1)  # targets[:, t, h - 1] is z at t + h
        for block, features, reached in self.blocks(inputs, known, states, first):
            states = reached
            for number, equations in parts.items():
                rows = use[:, block] == number
                flat = features.reshape(rows.size, -1) if rows.all() else features[rows]  # copies take longer than sums
                equations.add(flat, targets[:, block][rows] - z[:, block][rows][:, None])
        return states


class ESN(DirectForecaster):
    """An echo state network that forecasts, with a direct readout for each lead time.

    Series are taken apart into a straight line, a spread and the rest ``z``; a reservoir (`ESNCell`, never trained)
    reads ``z`` step by step, holding its state over gaps, and one ridge regression per lead h tells from there how far
    the series will have moved::

        state_t = ESNCell(z_t, state_{t-1})
        f_t     = [1, z_t, season terms at t, state_t]
        z_{t+h} ≈ z_t + f_t · w_h                       h = 1 … horizon

    Jaeger (2001), "The echo state approach to analysing and training recurrent neural networks", equation 1 and
    section 3; Lukoševičius (2012), "A practical guide to applying echo state networks", sections 3.2 and 4. The ridge
    strength, and whether season terms join, is what does best on the third and the fourth quarter of the training part
    after a fit to what comes before them; the readouts are then solved on all of it, in float64, from sums that are
    filled block by block (`NormalEquations`).

    Parameters
    ----------
    horizon : int
        Leads that have a readout of their own; fewer where the series are too short to teach so many.
    units : int
        Size of the reservoir.
    season : int, optional
        Period in steps: two harmonics of it may join the readout's features. All series have the same phase at their
        first step.
    spectral_radius, leak, input_scaling, bias_scaling, density
        The reservoir's, see `ESNCell`.
    washout : int, optional
        First steps of each series that teach the readout nothing, while the reservoir forgets that it started at zero;
        by default 20, or a quarter of a short series.
    ridge : float or sequence of float
        The strength, or the strengths to choose from.
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
        What `fit` made simpler, as the series are short.

    Examples
    --------
    >>> import numpy as np
    >>> wave = np.sin(np.arange(400) * 0.3)
    >>> network = ESN(horizon=5, units=50, seed=1).fit(wave)
    >>> bool(np.abs(network.predict() - np.sin(np.arange(400, 405) * 0.3)).max() < 0.01)
    True
    """

    seasonal: Any
    strength: Any

    def __init__(
        self,
        horizon: int = 1,
        units: int = 300,
        *,
        season: int | None = None,
        spectral_radius: float = 0.8,
        leak: float = 1.0,
        input_scaling: float = 0.5,
        bias_scaling: float = 0.5,
        density: float = 0.1,
        washout: int | None = None,
        ridge: float | Sequence[float] = STRENGTHS,
        seed: int | None = None,
    ):
        self.horizon: Any = whole(horizon, "horizon", 1)
        self.season: Any = None if season is None else whole(season, "season", 2)
        self._harmonics = min(2, (self.season or 1) // 2)
        self.washout: Any = None if washout is None else whole(washout, "washout", 0)
        strengths = np.atleast_1d(np.asarray(ridge, dtype=np.float64))
        if strengths.ndim != 1 or not strengths.size or not (strengths >= 0).all():
            raise ValueError(f"expected ridge to be a strength of 0 or more, or a list of them; got {ridge!r}")
        self.strengths: Any = sorted(strengths.tolist(), reverse=True)  # where nothing tells them apart, the strongest
        self._reservoir: dict[str, Any] = {
            "units": units,
            "spectral_radius": spectral_radius,
            "leak": leak,
            "input_scaling": input_scaling,
            "bias_scaling": bias_scaling,
            "density": density,
            "seed": seed,
        }
        self._centre: np.ndarray | None = None
        self._width: np.ndarray | None = None
        self.layer: Any = self._new_layer()

    def _new_layer(self) -> RNN:
        return RNN(ESNCell(**self._reservoir), return_sequences=True, return_state=True, dtype="float64")

    def fit(self, y: Array, x: Array = None) -> ESN:
        """Fit the readouts to one series, or to several at once.

        Parameters
        ----------
        y : array_like (T,) or (B, T), or list of array_like
            A series in equal steps, NaN or masked in its gaps; or several, of any lengths, that share the readouts and
            keep a trend and a spread each. Or a dask array, in chunks of series, of steps or of both, without an `x`:
            the reservoir runs once over it, a chunk at a time, and the bits depend on the chunks alone.
        x : array_like (T,) or (T, F), or a list of them, optional
            What else is known at each step. What is known ahead, a calendar for instance, goes in shifted by the lead.

        Returns
        -------
        ESN
            Itself.

        Raises
        ------
        ValueError
            If y or x is not as described, infinite or without any value; with an x, or a `washout` of one's own, if no
            step after the washout has a value to learn from at one of the leads.
        """
        if (reservoirs := partitions.handler_of(y, "reservoirs")) is not None:
            return reservoirs.fit(self, y, x)
        panel = Panel(y, x)
        strict = x is not None or self.washout is not None
        task = self._task(panel.values.shape[1], strict)
        scale = Scale(panel.values)
        self._centre, self._width = measured(panel)
        self._read_features(panel.features)
        inputs, known = self._inputs(panel, scale), panel.known
        self._period = refined_period(inputs[:, :, 0], self.season) if self.season else 0.0

        z = inputs[:, :, 0]
        after = np.concatenate([z[:, 1:], np.full((len(z), task.leads), np.nan)], axis=1)
        use = quarters(known & (np.arange(task.length) >= task.washout), ~np.isnan(after), task.leads)
        parts = [NormalEquations(self._width_of_readout, task.leads) for _ in range(5)]
        states = self._reader.add(dict(enumerate(parts)), inputs, known, use, after)
        self._solve(parts, task)
        self._single, self._state = panel.single, _state(panel, scale, inputs, states)
        return self

    def _task(self, length: int, strict: bool) -> Task:
        """What series of this length can teach; `strict` refuses too few values, rather than make it simpler."""
        if strict:
            check_horizon(self.horizon, length)
        washout = min(_WASHOUT, length // 4) if self.washout is None else self.washout
        leads = self.horizon if strict else min(self.horizon, max(length - 1 - washout, 1))
        return Task(length, washout, leads, strict)

    def _read_features(self, features: int) -> None:
        """Have a reservoir that reads so many features besides the values."""
        if features != self._features:
            self._features, self.layer = features, self._new_layer()

    def _solve(self, parts: list[NormalEquations], task: Task) -> None:
        """Choose what the quarters favour, and solve for the readouts: `parts` are the quarters and the rest."""
        total = sum(parts[1:], parts[0])
        if task.strict and not total.count.all():
            raise ValueError(
                f"expected values to learn from, after the washout of {task.washout} steps, for each of {task.leads} "
                f"leads; got none for lead {np.argmin(total.count) + 1} in {task.length} steps: give a longer series, "
                f"fewer gaps, a shorter horizon or a shorter washout"
            )
        learned = task.leads if task.strict else learnable(total.count)
        choices = (True, False) if self.season else (False,)
        candidates = [(strength, seasonal) for strength in self.strengths for seasonal in choices]
        self.strength, self.seasonal = chosen(candidates, self._penalty, parts[:4])
        self.readout: Any = total.solve(self._penalty(self.strength, self.seasonal))[:, :learned]
        if not task.strict and total.count[0] < ENOUGH:
            self.readout[:] = 0.0  # it goes on as it ended
        self.note = short_note(int(total.count[0]), learned, self.horizon)

    def _ended(self, panel: Panel, scale: Scale) -> ForecastState:
        inputs = self._inputs(panel, scale)
        for _, _, reached in self._reader.blocks(inputs, panel.known):
            states = reached
        return _state(panel, scale, inputs, states)

    def _to_save(self):
        state = self._check_fitted()
        inputs, states = state.read
        arrays = {
            "readout": self.readout,
            "centre": self._centre,
            "width": self._width,
            "times": state.times,
            "inputs": inputs,
            "states": states,
            "missing": state.missing,
            **state.scale.arrays(),
            **{f"reservoir/{name}": array for name, array in self.layer._arrays().items()},
        }
        seed = self._reservoir["seed"]
        config = {
            **self._reservoir,
            "seed": int(seed) if isinstance(seed, Integral) else None,  # the weights are there anyway
            "horizon": self.horizon,
            "season": self.season,
            "washout": self.washout,
            "ridge": self.strengths,
        }
        fitted = {
            "strength": self.strength,
            "seasonal": self.seasonal,
            "period": self._period,
            "features": self._features,
            "single": self._single,
            "note": self.note,
        }
        return arrays, {"config": config, "fitted": fitted}

    @classmethod
    def _of_saved(cls, saved: saving.Saved) -> ESN:
        arrays, fitted = saved.arrays, saved.about["fitted"]
        network = cls(**saved.about["config"])
        network.layer.build((None, None, 1 + fitted["features"]))
        network.layer.set_weights([arrays[f"reservoir/{name}"] for name in network.layer._arrays()])
        network.readout, network.strength, network.seasonal = arrays["readout"], fitted["strength"], fitted["seasonal"]
        network.note = fitted.get("note")
        network._period, network._features, network._single = fitted["period"], fitted["features"], fitted["single"]
        network._centre, network._width = arrays.get("centre"), arrays.get("width")
        times, inputs, states, missing = (arrays[name] for name in ("times", "inputs", "states", "missing"))
        network._state = ForecastState(times, missing, Scale.of_arrays(arrays), (inputs, states))
        return network

    def __repr__(self) -> str:
        return f"ESN(horizon={self.horizon}, units={self._reservoir['units']}, season={self.season})"

    def _facts(self):
        if self._state is None:
            return super()._facts()
        return super()._facts() | {
            "leads": lambda: str(self.readout.shape[1]),
            "ridge": lambda: f"{self.strength:g}",
            "season": lambda: f"{self._period:g} steps" if self.seasonal else "",
            "note": lambda: self.note or "",
        }

    def _shown_parts(self):
        return {"reservoir": self.layer}

    def _inputs(self, panel, scale) -> np.ndarray:
        z = scale.standardise(panel.values, panel.times)[:, :, None]
        if panel.covariates is None:
            return z
        return np.concatenate([z, (panel.covariates - self._centre) / self._width], axis=2)

    @property
    def _reader(self) -> Reader:
        return Reader(self.layer, self._period, self._harmonics)

    @property
    def _width_of_readout(self) -> int:
        return 2 + self._features + 2 * self._harmonics + self._reservoir["units"]

    def _penalty(self, strength, seasonal) -> np.ndarray:
        """The ridge strength of each feature ``(features,)``."""
        before, waves = 2 + self._features, 2 * self._harmonics
        penalty = np.full(self._width_of_readout, strength)
        penalty[before : before + waves] = strength if seasonal else np.inf
        return penalty

    @property
    def _leads(self) -> int:
        return self.readout.shape[1]

    def _going_on(self, state: ForecastState) -> Iterator[np.ndarray]:
        times, (inputs, states) = state.times, state.read
        while True:
            ahead = inputs[:, :1] + self._reader.readable(inputs, times, states) @ self.readout
            yield ahead
            _, states = self.layer(ahead[:, :, None], initial_state=states)
            times, inputs = times + self._leads, ahead[:, -1:]


def _state(panel, scale, inputs, states) -> ForecastState:
    last = last_steps(panel)
    return ForecastState(last, panel.lengths - 1 - last, scale, (inputs[np.arange(len(last)), last], states))
