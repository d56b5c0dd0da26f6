"""Bands from what forecasts were off by where it is known: split conformal prediction by lead."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import ndtri

_BELIEVED = 12  # errors that a normal distribution counts for, where few are known


class Calibration(NamedTuple):
    """Errors of forecasts at held-out ends, in units of what the models expected, for each lead."""

    errors: np.ndarray  # (L, N), in order, NaN at the end of a row
    counts: np.ndarray  # (L,)

    @classmethod
    def of(cls, errors) -> Calibration:
        """Of errors ``(N, L)``, NaN where nothing is known."""
        errors = np.sort(np.where(np.isfinite(errors), errors, np.nan).T, axis=1)
        counts = (~np.isnan(errors)).sum(axis=1)
        return cls(errors[:, : max(int(counts.max(initial=0)), 1)], counts)

    def quantiles(self, probabilities, h: int) -> np.ndarray:
        """Quantiles of the errors ``(Q, H)``, in the same units.

        Of n errors, the one of rank ``p (n + 1)`` is the quantile, so that the next one lies below it with probability
        p if errors are exchangeable (Lei et al. 2018, "Distribution-free predictive inference for regression",
        section 2; by lead and on both sides as Romano, Patterson and Candès 2019, "Conformalized quantile regression",
        section 4). A few errors of a normal distribution join, as large as those of all leads, and count where few are
        known. Leads after the last one that is known have its quantiles.
        """
        power = (np.nansum(self.errors**2) + _BELIEVED) / (self.counts.sum() + _BELIEVED)
        believed = np.sqrt(power) * ndtri((np.arange(_BELIEVED) + 0.5) / _BELIEVED)
        found = np.empty((len(probabilities), len(self.counts)))
        for lead, (row, count) in enumerate(zip(self.errors, self.counts, strict=True)):
            found[:, lead] = _quantiles(np.sort(np.concatenate([row[:count], believed])), probabilities)
        return found[:, np.minimum(np.arange(h), len(self.counts) - 1)]


def _quantiles(ordered, probabilities) -> np.ndarray:
    """By rank ``p (n + 1)``, between neighbours in proportion; beyond the last one as a normal distribution goes on."""
    count = len(ordered)
    ranks = np.asarray(probabilities) * (count + 1)
    inner = np.interp(ranks, np.arange(1, count + 1), ordered)
    edge = ndtri(np.clip(ranks, 1, count) / (count + 1))
    beyond = np.where((ranks < 1) | (ranks > count), ndtri(probabilities) / np.where(edge == 0, 1.0, edge), 1.0)
    return inner * np.maximum(beyond, 1.0)
