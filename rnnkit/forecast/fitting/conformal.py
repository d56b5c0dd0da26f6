"""Bands from errors of past forecasts: split conformal prediction by lead."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import ndtri

_BELIEVED = 12  # weight of the normal distribution, in errors


class Calibration(NamedTuple):
    """Errors of forecasts at held-out ends for each lead, in units of the models' spreads."""

    errors: np.ndarray  # (L, N), in order, NaN at the end of a row
    counts: np.ndarray  # (L,)

    @classmethod
    def of(cls, errors) -> Calibration:
        """Make a calibration of errors ``(N, L)``, NaN where unknown."""
        errors = np.sort(np.where(np.isfinite(errors), errors, np.nan).T, axis=1)
        counts = (~np.isnan(errors)).sum(axis=1)
        return cls(errors[:, : max(int(counts.max(initial=0)), 1)], counts)

    def quantiles(self, probabilities, h: int) -> np.ndarray:
        """Return quantiles of the errors ``(Q, H)``, in the same units.

        Of n errors, that of rank ``p (n + 1)`` is the quantile: the next error lies below it with probability p if
        errors are exchangeable (Lei et al. 2018, "Distribution-free predictive inference for regression", section 2; by
        lead and on both sides as Romano, Patterson and Candès 2019, "Conformalized quantile regression", section 4).
        With few errors, the quantiles are blended with those of a normal distribution of the size of all leads' errors.
        Leads after the last one with an error have its quantiles.
        """
        power = (np.nansum(self.errors**2) + _BELIEVED) / (self.counts.sum() + _BELIEVED)
        believed = np.sqrt(power) * ndtri((np.arange(_BELIEVED) + 0.5) / _BELIEVED)
        found = np.empty((len(probabilities), len(self.counts)))
        for lead, (row, count) in enumerate(zip(self.errors, self.counts, strict=True)):
            found[:, lead] = _quantiles(np.sort(np.concatenate([row[:count], believed])), probabilities)
        return found[:, np.minimum(np.arange(h), len(self.counts) - 1)]


def _quantiles(ordered, probabilities) -> np.ndarray:
    """Return the quantiles of rank ``p (n + 1)``, interpolated; beyond the extremes, those of a normal distribution."""
    count = len(ordered)
    ranks = np.asarray(probabilities) * (count + 1)
    inner = np.interp(ranks, np.arange(1, count + 1), ordered)
    edge = ndtri(np.clip(ranks, 1, count) / (count + 1))
    beyond = np.where((ranks < 1) | (ranks > count), ndtri(probabilities) / np.where(edge == 0, 1.0, edge), 1.0)
    return inner * np.maximum(beyond, 1.0)
