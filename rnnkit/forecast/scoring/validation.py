"""Forecasts from several past origins, each from what was known there, beside what came."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from rnnkit.arguments import whole
from rnnkit.forecast.data.history import History

if TYPE_CHECKING:
    from rnnkit.forecast.models.forecaster import Forecaster


def cross_validation(
    models: Sequence[Forecaster],
    y,
    h: int,
    n_windows: int = 1,
    step_size: int | None = None,
    refit: bool = False,
    *,
    level: Sequence[float] | float | None = None,
    progress: Callable[[str], None] | None = None,
    **names,
):
    """Forecast the ends of series from what came before, and put the forecasts beside what came.

    The last window ends where the series ends. The models that are given stay as they are.

    Parameters
    ----------
    models : sequence of Forecaster
        Of different names.
    y, **names
        As `Forecaster.fit` takes them; covariates that are known ahead are those of the table's later rows.
    h : int
        H, the steps of a window.
    n_windows : int
        W
    step_size : int, optional
        Steps from one origin to the next; by default `h`, so that windows don't overlap.
    refit : bool
        Fit anew at each origin. Otherwise a model is fitted at the first one, and reads on from there with what it
        has found.
    level : sequence of float in (0, 100), optional
        As `Forecaster.predict` takes it.
    progress : callable, optional
        Called with a text after each window of each model.

    Returns
    -------
    table
        Of the kind of `y`, if it is one: a row for each series, origin and step, with the columns ``unique_id``,
        ``ds``, ``cutoff`` (the time of the last value known), ``y`` and those of each model. A series that is too
        short for an origin has no rows of it.
    dict of str to ndarray (W, B, H)
        For arrays: ``y`` and the columns of each model, NaN where a series is too short.

    Raises
    ------
    ValueError
        If no series is long enough, or two models have the same name.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> y = 5 + np.arange(40.0) % 4
    >>> found = rk.forecast.cross_validation([rk.forecast.Theta(season=4)], y, 4, n_windows=2)
    >>> {name: values.shape for name, values in found.items()}
    {'y': (2, 4), 'Theta': (2, 4)}
    """
    h, n_windows = whole(h, "h", 1), whole(n_windows, "n_windows", 1)
    step_size = h if step_size is None else whole(step_size, "step_size", 1)
    if len({model.name for model in models}) < len(models):
        raise ValueError(f"expected models of different names; got {', '.join(model.name for model in models)}")
    static = names.pop("static", None)
    if static is not None and not any(model.reads_covariates for model in models):
        raise ValueError("expected no static=, as none of the models reads covariates")
    beside = list(dict.fromkeys(name for model in models for name in model._covariate_columns))
    history = History.of(y, **names, covariates=beside)
    last = h + step_size * np.arange(n_windows - 1, -1, -1)  # how many steps before the end an origin lies
    known = ~np.isnan(history.values)
    first = np.argmax(known, axis=1)
    able = history.lengths[None] - last[:, None] > first  # (W, B): a value is known
    if not able.any(axis=1).all():
        longest = int((history.lengths - first).max())
        raise ValueError(
            f"expected a series of more than {int(last[0])} steps, for {n_windows} windows of {h} steps; the longest "
            f"has {longest}"
        )
    origins = history.lengths[None] - last[:, None]
    steps = np.where(able, origins, 0)[:, :, None] + np.arange(h)
    found = {"y": np.where(able[:, :, None], np.take_along_axis(history.values[None], steps, axis=2), np.nan)}
    for model in models:
        known_to_it = model._beside(history, static if model.reads_covariates else None)
        parts = _windows_of(model, known_to_it, origins, able, h, refit, level, progress)
        for name in parts[0]:
            found[name] = np.full((n_windows, len(history.lengths), h), np.nan)
            for window, part in enumerate(parts):
                found[name][window, able[window]] = part[name]
    if history.frame is not None:
        series, windows = (np.repeat(places, h) for places in np.nonzero(able.T))
        lead = np.tile(np.arange(h), len(series) // h)
        columns = {name: array[windows, series, lead] for name, array in found.items() if name != "y"}
        ends = origins[windows, series]
        return history.frame.rows(series, ends + lead, columns, cutoffs=ends - 1)
    return {name: array[:, 0] for name, array in found.items()} if history.single else found


def _windows_of(model, history, origins, able, h, refit, level, progress) -> list[dict[str, np.ndarray]]:
    """The columns of a model in each window, of the series that are long enough."""
    parts, fitted, rows_fitted = [], None, None
    for window, (ends, rows) in enumerate(zip(origins, able, strict=True)):
        known = history.until(np.flatnonzero(rows), ends[rows])
        if refit or fitted is None or (rows != rows_fitted).any():
            fitted, rows_fitted = model.copy()._refit(known), rows
        parts.append(fitted._columns(known, h, level if level is not None or history.frame is None else model.level))
        if progress is not None:
            progress(f"{model.name}, window {window + 1} of {len(origins)}")
    return parts
