"""The linear part of a trained forecast: recent values and season terms, by ridge regression for each lead."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from rnnkit.forecast.fitting.readout import ENOUGH, NormalEquations, Penalty, quarters, ridge
from rnnkit.forecast.fitting.season import harmonics

STRENGTHS = tuple(10.0**power for power in (3, 2.5, 2, 1.5, 1, 0.5, 0, -1, -2, -4))
ROWS = 8192  # steps per block of features


@dataclass
class Shortcut:
    """A linear model of a series' changes by lead, from its last values, seasonal phase and covariates.

    The model is::

        f_t = [1, z_t, …, z_{t-lags+1}, season terms at t, x_t]
        z_{t+h} ≈ z_t + f_t · w_h

    Gaps hold the previous value, and steps before the first value hold that one. `harmonics` is their number for the
    season, `period` its length in steps, for all series or each; the fit may leave the season terms out.
    """

    horizon: int
    lags: int
    harmonics: int = 0
    period: Any = 0.0
    strength: float = 0.0  # of the ridge, the best of several on the later quarters
    seasonal: bool = False  # whether season terms are included, chosen likewise
    weights: Any = None  # (features, horizon)

    def fit(self, z, times, covariates=None, *, choose: bool = True, strict: bool = True) -> Shortcut:
        """Fit to series z ``(B, T)``, NaN in gaps, at times ``(B, T)``; covariates ``(B, T, F)`` are known where z is.

        `choose` says whether the strength and the season terms are chosen anew. A lead with fewer than 3 values
        predicts no change; without any, it is a ValueError if the fit is `strict`.
        """
        after = targets(z, self.horizon)
        rows = ~np.isnan(z) & (np.arange(z.shape[1]) >= self.warm(z.shape[1]))
        use = quarters(rows, ~np.isnan(following(z, self.horizon)), self.horizon)
        parts: list[NormalEquations] = []
        for block, features in self._features(z, times, covariates):
            parts = parts or [NormalEquations(features.shape[2], self.horizon) for _ in range(5)]
            for number, equations in enumerate(parts):
                rows = use[:, block] == number
                equations.add(features[rows], after[:, block][rows] - z[:, block][rows][:, None])
        total = sum(parts[1:], parts[0])
        if strict and not total.count.all():
            raise ValueError(
                f"expected values to learn from for each of {self.horizon} leads; got none for lead "
                f"{np.argmin(total.count) + 1} in {z.shape[1]} steps: give a longer series, fewer gaps or a shorter "
                f"horizon"
            )
        penalty = Penalty(len(total.moment), slice(1 + self.lags, 1 + self.lags + 2 * self.harmonics))
        if choose:
            self.strength, self.seasonal = penalty.chosen(STRENGTHS, parts[:4])
        self.weights = total.solve(penalty.of(self.strength, self.seasonal))
        if not strict:
            self.weights[:, total.count < ENOUGH] = 0.0
        return self

    def fit_each(self, z, times) -> Shortcut:
        """Fit a model of its own to each series z ``(B, T)``, as `fit` does, if they have no gaps."""
        features = np.concatenate([part for _, part in self._features(z, times, None)], axis=1)
        moves, (count, length), size = targets(z, self.horizon) - z[..., None], z.shape, features.shape[2]
        first, last = self.warm(length), length - self.horizon
        ends = [first - (-k * (last - first) // 4) for k in range(5)]  # of quarters
        used = [slice(size)] + [slice(1 + self.lags)] * (self.harmonics > 0)
        gram, moment = np.zeros((count, size, size)), np.zeros((count, size, self.horizon))
        errors = np.zeros((len(used), len(STRENGTHS), count))
        for number in range(4):
            known, came = (one[:, ends[number] : ends[number + 1]] for one in (features, moves))
            if number > 1:
                tried = np.empty((*errors.shape, self.horizon))
                for (place, few), (other, strength) in product(enumerate(used), enumerate(STRENGTHS)):
                    weights = ridge(gram[:, few, few], moment[:, few], np.full(few.stop, strength))
                    tried[place, other] = ((came - known[..., few] @ weights) ** 2).sum(axis=1)
                errors += (tried / np.maximum(tried.min(axis=(0, 1)), np.finfo(float).tiny)).sum(axis=3)
            gram += known.swapaxes(1, 2) @ known
            moment += known.swapaxes(1, 2) @ came
        best = np.argmin(errors.swapaxes(0, 1).reshape(-1, count), axis=0)
        strengths = np.repeat(np.array(STRENGTHS)[best // len(used), None], size, axis=1)
        strengths[best % len(used) > 0, 1 + self.lags :] = np.inf
        moment += features[:, last:].swapaxes(1, 2) @ np.nan_to_num(moves[:, last:])
        self.weights = np.empty(moment.shape)
        for lead in range(self.horizon - 1, -1, -1):
            self.weights[..., lead, None] = ridge(gram, moment[..., lead, None], strengths)
            row = features[:, length - 1 - lead, :, None]
            gram += row * row.swapaxes(1, 2)
        return self

    def warm(self, length: int) -> int:
        """Return the number of first steps left out of the fit, as they lack earlier values."""
        return min(self.lags, length // 4)

    def changes(self, z, times, covariates=None) -> np.ndarray:
        """Return the predicted changes from the last known value, for each step and lead ``(B, T, horizon)``."""
        return np.concatenate([features @ self.weights for _, features in self._features(z, times, covariates)], axis=1)

    def errors(self, z, said) -> np.ndarray:
        """Return the changes after each step less the predicted ones ``(B, T, horizon)``; NaN before `warm`."""
        found = targets(z, said.shape[2]) - z[..., None] - said
        found[:, : self.warm(z.shape[1])] = np.nan
        return found

    def waves(self, times) -> np.ndarray:
        """Return the season terms ``(B, T, 2 * harmonics)``; none if the fit left them out."""
        return harmonics(times, self.period, self.harmonics if self.seasonal else 0)

    def _features(self, z, times, covariates) -> Iterator[tuple[slice, np.ndarray]]:
        held = hold(z)
        before = np.concatenate([np.repeat(held[:, :1], self.lags - 1, axis=1), held], axis=1)
        recent = sliding_window_view(before, self.lags, axis=1)[:, :, ::-1]
        steps = max(1, ROWS // len(z))
        for start in range(0, z.shape[1], steps):
            block = slice(start, start + steps)
            waves = harmonics(times[:, block], np.reshape(self.period, (-1, 1, 1)), self.harmonics)
            also = [] if covariates is None else [np.nan_to_num(covariates[:, block])]
            one = np.ones((*waves.shape[:2], 1))
            yield block, np.concatenate([one, recent[:, block], waves, *also], axis=2)


def hold(z) -> np.ndarray:
    """Return series ``(B, T)`` with gaps filled by the previous value, or the first one; zeros without any value."""
    known = ~np.isnan(z)
    last = np.maximum.accumulate(np.where(known, np.arange(z.shape[1]), np.argmax(known, axis=1)[:, None]), axis=1)
    return np.nan_to_num(np.take_along_axis(z, last, axis=1))


def following(z, horizon: int) -> np.ndarray:
    """Return the values after the first step ``(B, T - 1 + horizon)``, NaN beyond the end."""
    return np.concatenate([z[:, 1:], np.full((len(z), horizon), np.nan)], axis=1)


def targets(z, horizon: int) -> np.ndarray:
    """Return the values after each step ``(B, T, horizon)``, NaN if unknown: ``targets[:, t, h - 1]`` is z at t + h."""
    return sliding_window_view(following(z, horizon), horizon, axis=1)
