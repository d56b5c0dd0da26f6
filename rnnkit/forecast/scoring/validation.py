"""Cross-validation: forecasts from several past origins, beside the actual values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from rnnkit.arguments import whole
from rnnkit.callbacks.stages import progress_bar
from rnnkit.forecast.data.frames import handed_out
from rnnkit.forecast.data.history import History, handler_of
from rnnkit.hints import Array, Levels, Progress


def cross_validation(
    models: Sequence[Any],
    y: Array,
    h: int,
    n_windows: int = 1,
    step_size: int | None = None,
    refit: bool = False,
    *,
    level: Levels = None,
    progress: Progress = None,
    verbose: Any = "auto",
    **names: Any,
) -> Any:
    """Forecast the ends of series from the values before, and put the forecasts beside the actual values.

    The last window ends where the series ends. The given models stay unchanged.

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
        Whether to fit anew at each origin. Otherwise a model is fitted at the first one, and keeps its parameters at
        later ones.
    level : sequence of float in [1, 100), optional
        As `Forecaster.predict` takes it.
    progress : callable, optional
        Called with a text after each window of each model, instead of a bar.
    verbose : {"auto", 0, 1, 2}
        0 shows nothing, "auto" a bar in a terminal or notebook.

    Returns
    -------
    table
        For a table `y`, one of its library: a row for each series, origin and step, with the columns ``unique_id``,
        ``ds``, ``cutoff`` (the time of the last value known), ``y`` and those of each model. A series that is too
        short for an origin has no rows for it. For partitions a dask DataFrame.
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
    if len({model.name for model in models}) < len(models):
        raise ValueError(f"expected models of different names; got {', '.join(model.name for model in models)}")
    if names.get("static") is not None and not any(model.reads_covariates for model in models):
        raise ValueError("expected no static=, as none of the models reads covariates")
    if (panels := handler_of(y, "panels")) is not None:
        return panels.cross_validation(models, y, h, n_windows, step_size, refit, level, **names)
    static = names.pop("static", None)
    beside = list(dict.fromkeys(name for model in models for name in model._covariate_columns))
    history = History.of(y, **names, covariates=beside)
    origins = Origins.of(history, h, n_windows, step_size)
    check_long_enough(origins.able.any(axis=1), origins.longest, origins.last)
    refits = origins.changed | refit
    with progress_bar(len(models) * len(refits), "cross-validation", 0 if progress else verbose) as bar:
        fit = refitting(bar.tell, len(refits))
        found = forecasts(models, history, origins, refits, fit, static, level, progress or bar.step)
    if history.frame is not None:
        return as_table(history, origins, found)
    return {name: array[:, 0] for name, array in found.items()} if history.single else found


class Origins(NamedTuple):
    """The starts of the windows of a cross-validation."""

    ends: np.ndarray  # (W, B), known steps of each series
    able: np.ndarray  # (W, B), whether these include a value
    last: np.ndarray  # (W,), steps from an origin to the end of the series
    longest: int  # steps from the first value of a series to its end
    h: int

    @classmethod
    def of(cls, history: History, h: int, n_windows: int, step_size: int | None) -> Origins:
        """Return the origins of these series."""
        h, n_windows = whole(h, "h", 1), whole(n_windows, "n_windows", 1)
        step_size = h if step_size is None else whole(step_size, "step_size", 1)
        last = h + step_size * np.arange(n_windows - 1, -1, -1)
        first = np.argmax(~np.isnan(history.values), axis=1)
        ends = history.lengths[None] - last[:, None]
        return cls(ends, ends > first, last, int((history.lengths - first).max()), h)

    @property
    def changed(self) -> np.ndarray:
        """Return a mask ``(W,)`` of the windows with other series than the window before."""
        return np.append(True, (self.able[1:] != self.able[:-1]).any(axis=1))

    @property
    def steps(self) -> np.ndarray:
        """The steps of each window ``(W, B, H)``."""
        return np.where(self.able, self.ends, 0)[:, :, None] + np.arange(self.h)


def check_long_enough(some, longest: int, last) -> None:
    """Check that every window has a series, by the mask `some` ``(W,)``; `last` are the steps from origins to ends."""
    if not some.all():
        raise ValueError(
            f"expected a series of more than {int(last[0])} steps, for {len(last)} windows of {last[-1]} steps; the "
            f"longest has {longest}"
        )


def telling(tell: Callable[[str], None], what: str) -> Callable[[str], None]:
    """Tell of the work, and return a function that tells of its stages."""
    tell(what)
    return lambda text: tell(f"{what}: {text}")


def refitting(tell: Callable[[str], None], count: int) -> Callable:
    """Return a function that fits a copy of a model to the series of one of `count` windows, and tells of it."""
    what = lambda model, window: f"{model.name}, window {window + 1} of {count}"
    return lambda model, known, window: model.copy()._refit(known, telling(tell, what(model, window)))


def windows(
    models, history: History, origins: Origins, refits, fit, static=None, level=None, done=None
) -> Iterator[tuple[int, np.ndarray, dict[str, np.ndarray]]]:
    """Yield each window that has series: its number, its series' indices, and the columns of all models.

    Models are made by ``fit(model, known, window)`` in the windows `refits` ``(W,)``, and read further in the others.
    """
    known = [model._beside(history, static if model.reads_covariates else None) for model in models]
    fitted: list[Any] = [None] * len(models)
    for window, (ends, able) in enumerate(zip(origins.ends, origins.able, strict=True)):
        rows = np.flatnonzero(able)
        columns: dict[str, np.ndarray] = {}
        if not len(rows):
            continue
        for place, model in enumerate(models):
            here = known[place].until(rows, ends[rows])
            if refits[window] or fitted[place] is None:
                with history.naming(rows):
                    fitted[place] = fit(model, here, window)
            columns |= fitted[place]._columns(here, origins.h, model._levels(history, level))
            if done is not None:
                done(f"{model.name}, window {window + 1} of {len(refits)}")
        yield window, rows, columns


def forecasts(models, history: History, origins: Origins, *given) -> dict[str, np.ndarray]:
    """Return the actual values, and each model's forecasts, ``(W, B, H)``."""
    came = np.take_along_axis(history.values[None], origins.steps, axis=2)
    found = {"y": np.where(origins.able[:, :, None], came, np.nan)}
    for window, rows, columns in windows(models, history, origins, *given):
        for name, array in columns.items():
            found.setdefault(name, np.full(came.shape, np.nan))[window, rows] = array
    return found


def as_table(history: History, origins: Origins, found: dict[str, np.ndarray]):
    """Return the results of `forecasts` as a table of the series' kind."""
    assert history.frame is not None
    series, windows = (np.repeat(places, origins.h) for places in np.nonzero(origins.able.T))
    lead = np.tile(np.arange(origins.h), len(series) // origins.h)
    columns = {name: array[windows, series, lead] for name, array in found.items() if name != "y"}
    ends = origins.ends[windows, series]
    return handed_out(history.frame.rows(series, ends + lead, columns, cutoffs=ends - 1))
