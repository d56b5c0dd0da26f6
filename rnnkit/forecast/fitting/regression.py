"""Effects of covariates on series, by regression of their changes."""

from __future__ import annotations

import numpy as np

_RIDGE = 1.0  # added to the sums of squares of standardized covariates, in steps


def effects(values: np.ndarray, covariates: np.ndarray, season: int) -> dict[str, np.ndarray]:
    """Return each series' ``effect`` ``(N, K)`` per unit of each covariate, and the covariates' ``centre`` ``(N, K)``.

    The changes of the values ``(N, T)`` from step to step are regressed on those of the covariates ``(N, T, K)``, both
    without their means at each step of a season: a regression with errors that are no stationary series (Hyndman and
    Athanasopoulos 2021, "Forecasting: principles and practice", section 10.1). NaN where unknown.
    """
    covariates = covariates[:, : values.shape[1]]
    known = ~np.isnan(values)
    counts = np.maximum((known[..., None] & ~np.isnan(covariates)).sum(axis=1), 1)
    centre = np.nansum(np.where(known[..., None], covariates, np.nan), axis=1) / counts
    moves = np.diff(np.concatenate([values[..., None], covariates], axis=2), axis=1)
    used = ~np.isnan(moves).any(axis=2)
    seasonal = used.sum(axis=1) >= 3 * season
    whole = _centred(moves, used, 1)
    moves = np.where(seasonal[:, None, None], _centred(moves, used, season), whole) if season > 1 else whole
    y, x = moves[..., 0], moves[..., 1:]
    count = np.maximum(used.sum(axis=1), 1)[:, None]
    width = np.sqrt((x**2).sum(axis=1) / count)
    width = np.where(width > 1e-9 * np.sqrt((whole[..., 1:] ** 2).sum(axis=1) / count), width, np.inf)
    x = x / width[:, None]
    power = x.swapaxes(1, 2) @ x + _RIDGE * np.eye(x.shape[2])
    found = np.linalg.solve(power, (x * y[..., None]).sum(axis=1)[..., None])[..., 0] / width
    return {"effect": found, "centre of covariates": centre}


def _centred(moves, used, period: int) -> np.ndarray:
    """Return moves ``(N, T, K)`` without their means at each step of a season, 0 where they aren't used."""
    found = np.where(used[..., None], moves, 0.0)
    for phase in range(period):
        part = found[:, phase::period]
        count = np.maximum(used[:, phase::period].sum(axis=1), 1)
        part -= part.sum(axis=1, keepdims=True) / count[:, None, None]
    return np.where(used[..., None], found, 0.0)


def added(fitted: dict[str, np.ndarray], covariates: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return what covariates ``(N, T, K)`` add to the values at steps ``(N, S)``; 0 where they are unknown."""
    longer = np.pad(covariates, ((0, 0), (0, max(int(steps.max()) + 1 - covariates.shape[1], 0)), (0, 0)))
    off = np.take_along_axis(longer, steps[..., None], axis=1) - fitted["centre of covariates"][:, None]
    return (np.nan_to_num(off) * fitted["effect"][:, None]).sum(axis=2)
