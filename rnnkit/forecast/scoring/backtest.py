"""Back-tests: forecasts from many past origins, compared with the actual values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnnkit.arrays import with_gaps
from rnnkit.forecast.scoring.metrics import mean_absolute_error, naive_error, root_mean_squared_error

SHARE = 0.3  # of the series, at its end, that the origins are spread over
LEAST_ORIGINS = 20

Model = Callable[[np.ndarray, int], np.ndarray]


def first_origin(length: int) -> int:
    """Return the number of steps before the last 30 %, where season and scale of the errors are found."""
    return int(np.ceil((1 - SHARE) * length))


def rolling_origins(length: int, horizon: int, count: int) -> np.ndarray:
    """Return up to `count` origins, evenly spread over the last 30 % of a series, as numbers of known steps.

    >>> rolling_origins(length=100, horizon=3, count=4).tolist()
    [70, 79, 88, 97]
    """
    first, last = first_origin(length), length - horizon
    return np.unique(np.linspace(first, last, min(count, max(last - first + 1, 0))).round().astype(int))


def needed_length(horizon: int, origins: int = LEAST_ORIGINS) -> int:
    """Return the shortest length of a series with `origins` origins in its last 30 %.

    >>> needed_length(horizon=12, origins=20)
    104
    """
    length = horizon + origins
    while length - horizon - first_origin(length) + 1 < origins:
        length += 1
    return length


@dataclass(frozen=True)
class BackTest:
    """The forecasts of models at each origin, and the actual values."""

    origins: np.ndarray  # (N,), known steps at each origin
    actual: np.ndarray  # (N, H), NaN in gaps
    forecasts: Mapping[str, np.ndarray]  # (N, H), by model
    scale: float  # the in-sample error of the naive forecast, for the mean absolute scaled error
    bands: Mapping[str, np.ndarray] = field(default_factory=dict)  # (2, N, H), edges, of models that give bands

    def scores(self, model: str) -> dict[str, float]:
        """Return MAE, RMSE and MASE of a model over all origins and leads (Hyndman and Koehler 2006)."""
        error = mean_absolute_error(self.actual, self.forecasts[model])
        return {
            "MAE": error,
            "RMSE": root_mean_squared_error(self.actual, self.forecasts[model]),
            "MASE": error / self.scale if self.scale > 0 else np.nan,
        }


def back_test(
    values: Any,
    models: Mapping[str, Model],
    horizon: int,
    origins: int,
    *,
    season: int | None = None,
    progress: Callable[[], None] = lambda: None,
) -> BackTest:
    """Let each model forecast from origins in the last 30 % of a series, from the values before the origin only.

    Equals this loop::

        for origin in rolling_origins(len(values), horizon, origins):
            forecast = model(values[:origin], horizon)       # against values[origin : origin + horizon]

    ``model(history, horizon)`` is the forecast ``(horizon,)``, or the lower edge of a band, the forecast and the upper
    edge ``(3, horizon)``; it fits itself to the history. Values ``(T,)`` are NaN in gaps; `origins` is the largest
    number of origins, `season` for the seasonal form of the scaled error; `progress` is called after each origin. A
    ValueError for a series too short for a single origin.

    >>> from rnnkit.forecast.models.baselines import naive
    >>> test = back_test(np.arange(100.0), {"naive": naive}, horizon=2, origins=10)
    >>> test.scores("naive")
    {'MAE': 1.5, 'RMSE': 1.5811388300841898, 'MASE': 1.5}
    """
    values = np.array(with_gaps(values, "values"))
    if values.ndim != 1:
        raise ValueError(f"expected values of shape (time,), got {values.shape}")
    places = rolling_origins(len(values), horizon, origins)
    if not len(places):
        raise ValueError(
            f"expected at least {needed_length(horizon, 1)} values for a back-test with a horizon of {horizon}; "
            f"got {len(values)}"
        )
    values.flags.writeable = False  # protect the actual values from changes by models
    said: dict[str, list[np.ndarray]] = {name: [] for name in models}
    for origin in places:
        for name, model in models.items():
            said[name].append(model(values[:origin], horizon))
        progress()
    forecasts = {name: np.array(rows) for name, rows in said.items()}
    own = {name: rows.transpose(1, 0, 2) for name, rows in forecasts.items() if rows.ndim == 3}
    return BackTest(
        origins=places,
        actual=np.array([values[origin : origin + horizon] for origin in places]),
        forecasts=forecasts | {name: middle for name, (_, middle, _) in own.items()},
        scale=naive_error(values[: places[0]], season),
        bands={name: np.array([lower, upper]) for name, (lower, _, upper) in own.items()},
    )
