"""What forecasters that fit each series by itself have in common: the history, horizons, levels and bands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from scipy.special import ndtri

from rnnkit import allocation
from rnnkit.arguments import whole
from rnnkit.arrays import real, with_gaps
from rnnkit.forecast.panel import Panel

_BLOCK = 4096  # series that are fitted at a time, which bounds the memory that a panel takes


class LocalForecaster:
    """Series that are fitted each by itself, many at a time.

    A subclass has ``_fitted(values, lengths)``, which gives arrays of a row for each series, by name, and
    ``_ahead(values, lengths, fitted, horizon)``: forecasts ``(N, H)`` and standard deviations ``(N, H)`` of what they
    are off by, and whether those are of logarithms ``(N,)``.
    """

    def __init__(self) -> None:
        self._values: np.ndarray | None = None
        self._lengths = np.zeros(0, int)
        self._single = False
        self._model: dict[str, np.ndarray] = {}

    def fit(self, y) -> Self:
        """Fit every series.

        Parameters
        ----------
        y : array_like (T,) or (B, T), or list of array_like
            One series in equal steps, or several of any lengths; NaN or masked in gaps.

        Returns
        -------
        The forecaster itself.

        Raises
        ------
        ValueError
            For another rank, no series, an infinite value, or a series without any value.
        """
        panel = Panel(y)
        model = self._fit(panel.values, panel.lengths)
        self._values, self._lengths, self._single, self._model = panel.values, panel.lengths, panel.single, model
        return self

    def predict(self, horizon: int = 1) -> np.ndarray:
        """Forecasts of the steps after the series' ends.

        Parameters
        ----------
        horizon : int
            H

        Returns
        -------
        ndarray (H,), or (B, H) for several series

        Raises
        ------
        RuntimeError
            Before `fit`.
        """
        return self._only(self._forecast(horizon)[0])

    def predict_quantiles(self, horizon: int = 1, quantiles: Sequence[float] = (0.1, 0.5, 0.9)) -> np.ndarray:
        """Quantiles of the steps after the series' ends.

        Parameters
        ----------
        horizon : int
            H
        quantiles : sequence of float in (0, 1)
            Q of them.

        Returns
        -------
        ndarray (Q, H), or (Q, B, H) for several series
            Sorted along Q as `quantiles` are.
        """
        asked = np.atleast_1d(real(quantiles, "quantiles").astype(np.float64))
        if asked.ndim != 1 or not asked.size or not ((asked > 0) & (asked < 1)).all():
            raise ValueError(f"expected quantiles between 0 and 1, got {quantiles!r}")
        forecast, spread, of_logarithms = self._forecast(horizon)
        off = ndtri(asked)[:, None, None] * spread
        off = np.where(of_logarithms[:, None], forecast * np.expm1(np.where(of_logarithms[:, None], off, 0.0)), off)
        found = forecast + off
        found = np.where(self._positive()[:, None], np.maximum(found, 0.0), found)
        return found[:, 0] if self._single else found

    def update(self, y) -> Self:
        """Append values to every series; what was fitted stays.

        Parameters
        ----------
        y : array_like (T,) or (B, T), or list of array_like
            As many series as were fitted, in the same order. NaN is a gap.
        """
        self._check_fitted()
        more = [np.atleast_1d(with_gaps(one, "y")) for one in ([y] if self._single else y)]
        if len(more) != len(self._lengths):
            raise ValueError(f"expected values for {len(self._lengths)} series, as in fit; got {len(more)}")
        assert self._values is not None
        old = [row[:length] for row, length in zip(self._values, self._lengths, strict=True)]
        panel = Panel([np.concatenate([a, b]) for a, b in zip(old, more, strict=True)])
        self._values, self._lengths = panel.values, panel.lengths
        return self

    def forecast(self, y, horizon: int = 1) -> np.ndarray:
        """Fit other series and forecast them; this forecaster stays as it is.

        Parameters
        ----------
        y
            As `fit` takes it.
        horizon : int
            H

        Returns
        -------
        ndarray (H,), or (B, H) for several series
        """
        return type(self)(**self._settings()).fit(y).predict(horizon)

    # What a subclass has

    def _settings(self) -> dict[str, Any]:
        raise NotImplementedError

    def _fitted(self, values, lengths) -> dict[str, np.ndarray]:
        raise NotImplementedError

    def _ahead(self, values, lengths, fitted, horizon) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        raise NotImplementedError

    # Blocks of series

    def _fit(self, values, lengths) -> dict[str, np.ndarray]:
        parts = [self._fitted(values[rows, : lengths[rows].max()], lengths[rows]) for rows in _blocks(len(values))]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _forecast(self, horizon) -> tuple[np.ndarray, ...]:
        self._check_fitted()
        horizon = whole(horizon, "horizon", 1)
        allocation.check("the forecasts", (2, len(self._lengths), horizon))
        assert self._values is not None
        parts = []
        for rows in _blocks(len(self._lengths)):
            fitted = {name: array[rows] for name, array in self._model.items()}
            parts.append(self._ahead(self._values[rows], self._lengths[rows], fitted, horizon))
        forecast, spread, of_logarithms = (np.concatenate(found) for found in zip(*parts, strict=True))
        return np.where(self._positive()[:, None], np.maximum(forecast, 0.0), forecast), spread, of_logarithms

    def _positive(self) -> np.ndarray:
        """Of which series all values are positive: their forecasts don't go below 0."""
        assert self._values is not None
        return np.nanmin(self._values, axis=1) > 0

    def _check_fitted(self) -> None:
        if self._values is None:
            raise RuntimeError(f"expected fit to be called before this {type(self).__name__} forecasts")

    def _only(self, forecast):
        return forecast[0] if self._single else forecast


def _blocks(count: int) -> list[slice]:
    return [slice(start, start + _BLOCK) for start in range(0, count, _BLOCK)]
