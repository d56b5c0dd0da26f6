"""Series as a network reads them: normalized and ordered, and the results in the original order."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rnnkit.forecast.data.covariates import Covariates, Moments
from rnnkit.forecast.data.history import History
from rnnkit.forecast.fitting.decomposition import known_means

_USUAL = 0.1  # mean change per step of normalized series


class Normalized(NamedTuple):
    """Normalized series: logarithms, or values in units of their own, shrunk where they vary widely."""

    z: np.ndarray  # (N, T), NaN in gaps and after the end
    lengths: np.ndarray  # (N,)
    covariates: Covariates  # standardized, 0 where unknown
    rows: dict[str, np.ndarray]  # results of `units`

    @classmethod
    def of(cls, history: History, rows: dict[str, np.ndarray], panel: dict[str, np.ndarray]) -> Normalized:
        """Normalize series by the results of `units`, with covariates in the units of a panel."""
        covariates = history.known_besides.standardised(panel["centre"], panel["width"])
        return cls(_standard(history.values, rows), history.lengths, covariates, rows)


def completed(history: History, found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the fitted arrays of series: their `units`, and the results of training."""
    order = order_by_values(history)
    ordered, places = units(_known_so_far(history, order).values) | found, np.argsort(order)
    return {name: array[places] for name, array in ordered.items()}


def in_training_order(history: History, _, found: tuple[np.ndarray, dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return arrays that an earlier training found for some series, in the order of training; 0 for the others."""
    series, rows = found
    arrays = {name: np.zeros(len(history.lengths)) for name in rows}
    for name, array in arrays.items():
        array[series] = rows[name]
    order = order_by_values(history)
    return {name: array[order] for name, array in arrays.items()}


def normalized(history: History, centre, width) -> Normalized:
    """Return series in the order of training, with covariates in these units."""
    history = _known_so_far(history, order_by_values(history))
    return Normalized.of(history, units(history.values), {"centre": centre, "width": width})


def sizes(series: Normalized, leads: int) -> tuple[np.ndarray, int]:
    """Return the lengths of series, and the number of covariates of a step."""
    return series.lengths, series.covariates.width(leads)


def moments(history: History) -> Moments:
    """Return the moments of the covariates."""
    return _known_so_far(history, order_by_values(history)).known_besides.moments()


def order_by_values(history: History) -> np.ndarray:
    """Return an order of series by their values, independent of their given order."""
    values, lengths = history.values, history.lengths
    held = lambda row: (lengths[row], values[row, : lengths[row]].tobytes())
    return np.array(sorted(range(len(lengths)), key=held), int)


def _known_so_far(history: History, order) -> History:
    """Return series in this order, without covariates after their ends."""
    history = history.until(order, history.lengths[order])
    return history._replace(covariates=history.known_besides.so_far(history.lengths))


def part(series: Normalized, rows, steps: int) -> Normalized:
    """Return some series, up to a step."""
    found = {name: array[rows] for name, array in series.rows.items()}
    return Normalized(series.z[rows, :steps], series.lengths[rows], series.covariates.of_rows(rows), found)


def futures(z, start: int, stop: int, leads: int) -> np.ndarray:
    """Return the values after each step from `start` to `stop`, ``(B, stop - start, L)``; NaN if unknown."""
    padded = np.pad(z, ((0, 0), (0, leads)), constant_values=np.nan)[:, start + 1 : stop + leads]
    return np.lib.stride_tricks.sliding_window_view(padded, leads, axis=1)


def units(values) -> dict[str, np.ndarray]:
    """Return the units in which series are normalized.

    Positive values are taken as logarithms unless these change by more than 1 from value to value; others are divided
    by ten times their mean change, so that they change by 0.1. Both are then divided by the square root of their mean
    change over 0.1, so that calm series aren't lost beside restless ones.

    Of each series ``(N,)``: ``logarithms``; ``unit`` and ``centre``: z is (value - centre) / unit; ``first`` and
    ``change`` of z: its mean over the first values and its mean change, 0 for constant series.
    """
    positive = np.nanmin(values, axis=1) > 0
    logs = np.log(np.where(positive[:, None], values, 1.0))
    logarithms = positive & (_changes(np.where(positive[:, None], logs, np.nan)) <= 1)
    z = np.where(logarithms[:, None], logs, values)
    z = np.where(np.isnan(values), np.nan, z)
    change = _changes(z)
    size = np.abs(known_means(np.abs(z)))
    change = np.where(change > 1e-12 * size, change, 0.0)  # rounding
    usual = np.where(change > 0, change, _USUAL)
    unit = np.where(logarithms, np.sqrt(usual / _USUAL), usual / _USUAL)
    centre = np.where(logarithms, 0.0, _first_mean(z))
    z = (z - centre[:, None]) / unit[:, None]
    return {"logarithms": logarithms, "unit": unit, "centre": centre, "first": _first_mean(z), "change": change / unit}


def _changes(values) -> np.ndarray:
    """Return the mean absolute change between consecutive values ``(N,)``, over gaps too; 0 for a single value."""
    found = np.zeros(len(values))
    for row, one in enumerate(values):
        known = one[~np.isnan(one)]
        if len(known) > 1:
            found[row] = np.abs(np.diff(known)).mean()
    return found


def _first_mean(z) -> np.ndarray:
    known = ~np.isnan(z)
    return known_means(np.where(np.cumsum(known, axis=1) <= 6, z, np.nan))


def _standard(values, rows) -> np.ndarray:
    logs = rows["logarithms"][:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        z = np.where(logs, np.log(np.where(logs, values, 1.0)), values)
    z = (z - rows["centre"][:, None]) / rows["unit"][:, None]
    return np.where(np.isfinite(z), z, np.nan)


def restored(z, rows) -> np.ndarray:
    """Convert z back to values, by the results of `units`."""
    logs = rows["logarithms"][:, None]
    values = z * rows["unit"][:, None] + rows["centre"][:, None]
    return np.where(logs, np.exp(np.where(logs, values, 0.0)), values)
