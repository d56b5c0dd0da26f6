"""Written by tests/support/stubs.py: for type checkers alone."""

from rnnkit.forecast.data.files import (
    Series,
    read_series,
    read_table,
    write_table,
)
from rnnkit.forecast.fitting.hierarchy import (
    reconcile,
)
from rnnkit.forecast.fitting.season import (
    find_season,
)
from rnnkit.forecast.models.auto import (
    Auto,
)
from rnnkit.forecast.models.autoregression import (
    Autoregression,
)
from rnnkit.forecast.models.baselines import (
    naive,
    seasonal_naive,
)
from rnnkit.forecast.models.echo_state import (
    ESN,
)
from rnnkit.forecast.models.exponential_smoothing import (
    ExponentialSmoothing,
)
from rnnkit.forecast.models.global_rnn import (
    GlobalRNN,
)
from rnnkit.forecast.models.intermittent import (
    ADIDA,
    IMAPA,
    SBA,
    TSB,
    Croston,
)
from rnnkit.forecast.models.theta import (
    Theta,
)
from rnnkit.forecast.models.trained import (
    TrainedForecaster,
)
from rnnkit.forecast.scoring.evaluation import (
    evaluate,
)
from rnnkit.forecast.scoring.metrics import (
    autocorrelation,
    coverage,
    ljung_box,
    mean_absolute_error,
    mean_absolute_scaled_error,
    pinball_loss,
    root_mean_squared_error,
    root_mean_squared_scaled_error,
    symmetric_percentage_error,
)
from rnnkit.forecast.scoring.validation import (
    cross_validation,
)

__all__ = [
    "ADIDA",
    "ESN",
    "IMAPA",
    "SBA",
    "TSB",
    "Auto",
    "Autoregression",
    "Croston",
    "ExponentialSmoothing",
    "GlobalRNN",
    "Series",
    "Theta",
    "TrainedForecaster",
    "autocorrelation",
    "coverage",
    "cross_validation",
    "evaluate",
    "find_season",
    "ljung_box",
    "mean_absolute_error",
    "mean_absolute_scaled_error",
    "naive",
    "pinball_loss",
    "read_series",
    "read_table",
    "reconcile",
    "root_mean_squared_error",
    "root_mean_squared_scaled_error",
    "seasonal_naive",
    "symmetric_percentage_error",
    "write_table",
]
