"""Scores and back-tests; and the bar that the network has to clear on real series."""

import numpy as np
import pytest

import rnnkit as rk
from rnnkit.callbacks.stages import Progress
from rnnkit.forecast.command.report import (
    SEASONAL,
    back_test,
    begun,
    check,
    first_origin,
    forecast,
    needed_length,
    rolling_origins,
)
from rnnkit.forecast.data.csv_files import InputError
from rnnkit.forecast.data.files import Series
from rnnkit.forecast.data.timeline import Timeline
from rnnkit.forecast.models.baselines import naive, seasonal_naive
from rnnkit.forecast.scoring.metrics import mean_absolute_error, naive_error, root_mean_squared_error

SUNSPOTS, CO2 = rk.datasets.load_sunspots()[1], rk.datasets.load_co2()[1]
NETWORK = "echo state network"


def series_of(values, name="y"):
    return Series(name, np.asarray(values, dtype=np.float64), Timeline("step", np.arange(len(values))))


def in_report(values, horizon, origins=40, models=("esn",), **settings):
    report = begun(series_of(values), models, horizon, origins, **{"seed": 0, **settings})
    back_test(report, Progress())
    return report


def test_scores_by_hand():
    assert mean_absolute_error([1.0, np.nan], [3.0, 0.0]) == 2
    assert root_mean_squared_error([1.0, 0.0], [3.0, 0.0]) == np.sqrt(2)
    training = np.array([0.0, 1.0, 4.0, np.nan, 2.0, 0.0])
    assert naive_error(training) == np.mean([1, 3, 2])
    assert naive_error(training, 2) == np.mean([4, 2])


def test_origins_are_spread_over_the_last_thirty_percent():
    origins = rolling_origins(309, 3, 40)
    assert origins[0] == first_origin(309) == 217
    assert origins[-1] == 306
    assert len(origins) == 40
    assert len(rolling_origins(60, 3, 40)) == 60 - 3 - 42 + 1


@pytest.mark.parametrize("horizon", [1, 3, 12, 40])
@pytest.mark.parametrize("origins", [1, 20, 33])
def test_needed_length_is_the_least_that_holds_the_origins(horizon, origins):
    needed = needed_length(horizon, origins)
    assert len(rolling_origins(needed, horizon, origins)) == origins
    assert all(len(rolling_origins(n, horizon, origins)) < origins for n in range(horizon, needed))


def test_models_see_what_came_before_the_origin_and_nothing_else():
    values = np.cumsum(np.random.default_rng(0).normal(size=120))
    report = in_report(values, 4, 10, ("theta",), season=6)
    other = values.copy()
    for number, (origin,) in [*enumerate(report.origins.ends)][::-1]:
        tested = {name: array[number, 0] for name, array in report.tested.items()}
        assert (tested["naive"] == naive(values[:origin], 4)).all()
        assert (tested[SEASONAL] == seasonal_naive(values[:origin], 4, 6)).all()
        other[origin:] = 1e6
        again = in_report(other, 4, 10, ("theta",), season=6).tested["Theta"][number]
        assert (again == tested["Theta"]).all()
    errors = values[report.origins.steps] - report.tested["Theta"]
    assert report.scores("Theta")["mae"] == pytest.approx([np.abs(errors).mean()], rel=1e-12)


# reports


@pytest.mark.parametrize(("values", "horizon", "season"), [(SUNSPOTS, 3, 11), (CO2, 12, 52)])
def test_network_clears_the_bar_on_real_series(values, horizon, season):
    report = in_report(values, horizon)
    forecast(report, Progress())
    assert report.season == season
    assert report.finished.sum() >= 20
    assert report.origins.ends[0, 0] >= 0.7 * len(values)
    scores = report.mean_scores()
    assert set(scores) == {NETWORK, "naive", SEASONAL}
    assert scores[NETWORK]["naive"] <= 0.75
    assert 60 < scores[NETWORK]["coverage-80"] < 95
    lower, middle, upper = (report.columns[name] for name in ("ESN-lo-80", "ESN", "ESN-hi-80"))
    assert np.isfinite(middle).all() and (lower < middle).all() and (middle < upper).all()


def test_scaled_error_takes_the_season():
    report = in_report(SUNSPOTS, 3, 20)
    scores = report.mean_scores()[SEASONAL]
    scale = naive_error(SUNSPOTS[: report.origins.ends[0, 0]], 11)
    assert scores["mase"] == pytest.approx(scores["mae"] / scale, rel=1e-12)


def test_without_a_season_there_is_no_seasonal_forecast(rng):
    values = rng.standard_normal(150)
    report = in_report(values, 2, 20)
    assert report.season == 1
    assert set(report.mean_scores()) == {NETWORK, "naive"}
    report = in_report(values, 2, 20, season=6)
    assert report.season == 6
    assert SEASONAL in report.mean_scores()


def test_forecast_is_a_fit_to_the_whole_series():
    report = in_report(SUNSPOTS, 3, 20, seed=4)
    forecast(report, Progress())
    assert (report.columns["ESN"] == rk.ESN(3, season=11, seed=4).fit(SUNSPOTS).predict()).all()


@pytest.mark.parametrize(
    ("values", "arguments", "said"),
    [
        (np.arange(70.0), {"horizon": 3}, "y has 70 values; a horizon of 3 with 20 origins needs 7"),
        (np.arange(100.0), {"horizon": 3, "origins": 60}, "with 60 origins needs 2"),
        (np.arange(100.0), {"horizon": 3, "season": 50}, "a season of 50 needs 14"),
        (np.r_[np.full(60, np.nan), np.arange(40.0)], {"horizon": 3}, "gaps otherwise"),
        (np.r_[np.arange(70.0), np.full(30, np.nan)], {"horizon": 3}, "gaps otherwise"),
    ],
)
def test_series_that_cannot_be_looked_at(values, arguments, said):
    with pytest.raises(InputError, match=said):
        check(series_of(values), **arguments)


def test_constant_series_have_no_scaled_error():
    scores = in_report(np.full(120, 2.5), 2, 20).mean_scores()[NETWORK]
    assert scores["mae"] == 0
    assert np.isnan([scores["mase"], scores["naive"]]).all()
