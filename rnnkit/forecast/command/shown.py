"""What the command shows: forecasts of one series or of several, and the tests of the models on their past."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rnnkit.forecast.scoring.evaluation import naive_scales, scored

if TYPE_CHECKING:
    from rnnkit.forecast.data.files import Series
    from rnnkit.forecast.data.frames import SeriesFrame
    from rnnkit.forecast.models.forecaster import Forecaster


def counted(number: int, what: str) -> str:
    """Format a count with its noun; "no" stands for 0."""
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"


class Window(NamedTuple):
    """A window of a test: actual values after origins in series, and their forecasts."""

    series: np.ndarray  # (R,), indices
    origins: np.ndarray  # (R,), steps known
    actual: np.ndarray  # (R, H), NaN in gaps
    columns: dict[str, np.ndarray]  # (R, H), forecasts and edges by the names of a table's columns


class Shown:
    """Base of reports; a single series is a panel of one."""

    frame: SeriesFrame | None  # the table of the series, if they are of one
    values: list[np.ndarray]  # (T,) each
    season: int  # 1 for none
    horizon: int
    levels: list[float]  # of the bands, in percent
    models: dict[str, Forecaster]  # by title, in the order asked for
    baselines: dict[str, str]  # columns of naive forecasts, by title
    windows: list[Window]  # the earliest first
    columns: dict[str, np.ndarray]  # (B, H), forecasts and edges beyond the end; empty before there are any
    done: str  # a summary of the test

    @property
    def model(self) -> Forecaster:
        """The first of the models asked for."""
        return next(iter(self.models.values()))

    def named(self, place: int) -> Series:
        """Return a series with its name and times."""
        raise NotImplementedError

    def bands_are(self, title: str) -> str:
        """Return a description of a model's bands."""
        return self.models[title]._bands_are

    def scores(self, column: str) -> dict[str, np.ndarray]:
        """Return each metric of `evaluate` per series ``(B,)``, over all windows; NaN for a series without a window."""
        found = {
            name: np.concatenate([w.columns[name].ravel() for w in self.windows]) for name in self.windows[0].columns
        }
        actual = np.concatenate([one.actual.ravel() for one in self.windows])
        codes = np.concatenate([np.repeat(one.series, self.horizon) for one in self.windows])
        first = np.array([len(one) for one in self.values])
        for window in self.windows:
            np.minimum.at(first, window.series, window.origins)
        scales = naive_scales([values[:end] for values, end in zip(self.values, first, strict=True)], self.season)
        return scored(codes, len(self.values), actual, found, column, [f"{one:g}" for one in self.levels], scales)

    def mean_scores(self) -> dict[str, dict[str, float]]:
        """Return the means of all metrics over the series by title, and ``naive``, the MAE over a naive forecast's."""
        columns = {title: model.name for title, model in self.models.items()} | self.baselines
        found = {}
        for title, column in columns.items():
            each = self.scores(column).items()
            found[title] = {name: float(np.nanmean(one)) if not np.isnan(one).all() else math.nan for name, one in each}
        better = min(found[title]["mae"] for title in self.baselines)
        for one in found.values():
            one["naive"] = one["mae"] / better if better > 0 else math.nan
        return found

    def from_best_to_worst(self) -> np.ndarray:
        """Return the indices of the tested series, by the first model's MASE, or by MAE if no series has a MASE."""
        scores = self.scores(self.model.name)
        by = scores["mase"] if np.isfinite(scores["mase"]).any() else scores["mae"]
        order = np.argsort(by, kind="stable")
        return order[np.isfinite(by[order])]
