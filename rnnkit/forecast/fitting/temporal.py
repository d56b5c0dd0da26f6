"""Temporal hierarchies: the steps of a season and their sums, whose forecasts agree."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rnnkit.forecast.fitting.decomposition import known_means
from rnnkit.forecast.fitting.hierarchy import Projection


def means_over(values: np.ndarray, lengths: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the means over `size` steps of series, counted from their ends, and their numbers ``(N,)``."""
    count = np.maximum(lengths // size, 1)
    steps = (lengths - count * size)[:, None] + np.arange(count.max() * size)
    padded = np.concatenate([values, np.full((len(values), 1), np.nan)], axis=1)
    parts = np.take_along_axis(padded, np.clip(steps, 0, values.shape[1]), axis=1).reshape(-1, size)
    means = np.where(np.isnan(parts).all(axis=1), np.nan, known_means(parts))
    return means.reshape(len(values), -1), count


def agreed(means: Mapping[int, np.ndarray], season: int) -> np.ndarray:
    """Return forecasts of whole seasons ``(N, H)`` that agree with those of means over more steps, by their numbers.

    Weighted by the numbers of steps (Athanasopoulos, Hyndman, Kourentzes and Petropoulos 2017, "Forecasting with
    temporal hierarchies", structural scaling).
    """
    parts = [size * one.reshape(-1, season // size) for size, one in means.items()]
    matrix = np.concatenate([np.repeat(np.eye(season // size), size, axis=1) for size in means])
    weights = Projection(matrix, "wls", None).bottom(np.eye(len(matrix)))
    columns = np.concatenate(parts, axis=1).T
    found = sum(one[:, None] * weight for one, weight in zip(columns, weights.T, strict=True))  # in order, for F3
    return np.reshape(found, means[1].shape)
