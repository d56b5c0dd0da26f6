"""The base of forecasters with a model for each lead."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from rnnkit.forecast import saving
from rnnkit.forecast.data.history import History, check_features
from rnnkit.forecast.fitting.readout import short_note
from rnnkit.forecast.fitting.scale import Scale
from rnnkit.forecast.models.forecaster import Forecaster
from rnnkit.hints import Array
from rnnkit.layers.support.layer_tree import arrays_by_name
from rnnkit.serialization.array_files import below


class ForecastState(NamedTuple):
    """The state of a model at the ends of histories, from which a forecast starts."""

    times: np.ndarray  # (B,), of the last step read
    read: tuple[np.ndarray, ...]  # arrays of B rows: the model's state at that step


class DirectForecaster(Forecaster):
    """Base of forecasters with a model for each of `horizon` leads, which series share.

    Each series has a trend and a spread of its own, see `Scale`. A subclass defines ``_fit``, which also sets `_ends`;
    ``_ended`` and ``_going_on``; ``weights`` ``(…, leads)`` among the fitted arrays; and layers in ``_shown_parts``.
    """

    horizon: Any
    _reads_arrays, _stays_positive = True, False
    _partitioned: str | None = None
    _ended: Callable[[History], ForecastState]
    _going_on: Callable[[ForecastState], Iterator[np.ndarray]]  # endless forecasts (…, B, leads) of the next steps
    _prepare_parts: Callable[[Mapping[str, np.ndarray]], None]  # makes the layers whose weights a file has
    _ends: tuple[History, ForecastState] | None = None  # a history and the state at its end

    @property
    def note(self) -> str | None:
        """A note on the simplifications that `fit` made for short series, or None."""
        return short_note(int(self._panel["taught"]), self._leads, self.horizon) if self._panel else None

    def forecast_quantiles(
        self, y: Array, h: int | None = None, quantiles: Sequence[float] | None = None, **given: Any
    ) -> Any:
        """Forecast quantiles of the steps after the history `y`, without fitting again; see `forecast`."""
        return self._of(y, **given).predict_quantiles(h, quantiles)

    # Common

    @property
    def _usual_h(self) -> int:
        return self.horizon

    @property
    def _leads(self) -> int:
        """The number of fitted leads."""
        return self._panel["weights"].shape[1]

    @property
    def _features(self) -> int:
        """The number of features beside each value."""
        return len(self._panel["centre"])

    @property
    def _reach(self) -> float:
        return self._leads if self._features else np.inf

    @property
    def _scale(self) -> Scale:
        return Scale.of_arrays(self._model)

    def _of(self, y, x=None, rescale=False, **names):
        fitted, other = self._fitted_history(), copy.copy(self)
        other._history = history = self._read(y, x, **names)
        check_features(history.beside.shape[2], self._features)
        if rescale:
            other._model = Scale.of(history.values).arrays()
        elif len(history.lengths) != len(fitted.lengths):
            raise ValueError(
                f"expected as many series as were fitted, {len(fitted.lengths)}; got {len(history.lengths)}: series "
                "with a trend and spread of their own need rescale=True"
            )
        return other

    def _beside(self, history, static=None, names=None):
        history = super()._beside(history, static, names)
        if not history.known.any(axis=1).all():
            raise ValueError("expected a step with a value and all its features in every series; got one without any")
        return history

    def _state(self, history: History) -> ForecastState:
        if self._ends is not None and self._ends[0] is history:
            return self._ends[1]
        state = self._ended(history)
        if history is self._history:
            self._ends = history, state
        return state

    def _path(self, history: History, h: int) -> tuple[np.ndarray, np.ndarray]:
        """Return forecasts ``(…, B, h)``, and the distance of each from the last value read."""
        state = self._state(history)
        missing = history.lengths - 1 - state.times  # gaps at the end
        needed = h + int(missing.max())
        if needed > self._reach:
            raise ValueError(
                f"expected at most {self._leads} steps from the last value known, the horizon given to "
                f"{type(self).__name__}, as x is not known beyond it; got {needed}"
            )
        path = [ahead for _, ahead in zip(range(0, needed, self._leads), self._going_on(state), strict=False)]
        steps = missing[:, None] + np.arange(h)
        standardized = np.concatenate(path, axis=-1)[..., np.arange(len(steps))[:, None], steps]
        return self._scale.restore(standardized, state.times[:, None] + 1 + steps), steps

    def _facts(self):
        return super()._facts() | ({} if self._history is None else {"note": lambda: self.note or ""})

    # Files

    def _to_save(self):
        arrays, about = super()._to_save()
        state = self._state(self._fitted_history())
        arrays |= {"state/times": state.times} | {f"state/{place}": array for place, array in enumerate(state.read)}
        for part, layer in self._shown_parts().items():
            arrays |= {f"{part}/{name}": array for name, array in arrays_by_name(layer).items()}
        return arrays, about

    @classmethod
    def _of_saved(cls, saved: saving.Saved) -> Self:
        arrays, forecaster = saved.arrays, super()._of_saved(saved)
        forecaster._prepare_parts(arrays)
        for part, layer in forecaster._shown_parts().items():
            layer.set_weights([arrays[f"{part}/{name}"] for name in arrays_by_name(layer)])
        state = below("state/", arrays)
        read = tuple(state[place] for place in sorted(filter(str.isdigit, state)))
        forecaster._ends = forecaster._fitted_history(), ForecastState(state["times"], read)
        return forecaster


def measured(history: History) -> dict[str, np.ndarray]:
    """Return the mean and the spread of the features beside the values."""
    beside = history.beside[history.known]
    width = beside.std(axis=0)
    return {"centre": beside.mean(axis=0), "width": np.where(width == 0, 1.0, width)}


def last_steps(history: History) -> np.ndarray:
    """Return the last step of each series ``(B,)`` with a value and all features."""
    return history.known.shape[1] - 1 - np.argmax(history.known[:, ::-1], axis=1)


def check_horizon(horizon: int, steps: int) -> None:
    """Raise a ValueError for a horizon not shorter than the longest series, of `steps` steps."""
    if horizon >= steps:
        raise ValueError(
            f"expected values to learn from for each of {horizon} leads; got {steps} steps: give a longer series or a "
            "shorter horizon"
        )
