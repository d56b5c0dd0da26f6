"""Scores and back-tests; and the bar that the network has to clear on real series."""

from functools import partial

import numpy as np
import pytest

import rnnkit as rk
from rnnkit.forecast.command.report import SEASONAL, SeriesReport, backtest_and_forecast
from rnnkit.forecast.data.csv_files import InputError
from rnnkit.forecast.data.files import Series
from rnnkit.forecast.data.timeline import Timeline
from rnnkit.forecast.models.baselines import naive, seasonal_naive
from rnnkit.forecast.scoring.backtest import BackTest, back_test, first_origin, needed_length, rolling_origins
from rnnkit.forecast.scoring.metrics import mean_absolute_error, naive_error, root_mean_squared_error

SUNSPOTS, CO2 = rk.datasets.load_sunspots()[1], rk.datasets.load_co2()[1]


def series_of(values, name="y"):
    return Series(name, np.asarray(values, dtype=np.float64), Timeline("step", np.arange(len(values))))


# scores


def test_scores_by_hand():
    test = BackTest(
        origins=np.array([10, 12]),
        actual=np.array([[1.0, 2.0], [np.nan, 4.0]]),
        forecasts={"model": np.array([[2.0, 2.0], [9.0, 0.0]])},
        scale=2.0,
    )
    assert test.scores("model") == {"MAE": 5 / 3, "RMSE": np.sqrt(17 / 3), "MASE": 5 / 6}
    assert mean_absolute_error([1.0, np.nan], [3.0, 0.0]) == 2
    assert root_mean_squared_error([1.0, 0.0], [3.0, 0.0]) == np.sqrt(2)


def test_scale_is_the_naive_error_within_the_training_part():
    training = np.array([0.0, 1.0, 4.0, np.nan, 2.0, 0.0])
    assert naive_error(training) == np.mean([1, 3, 2])
    assert naive_error(training, 2) == np.mean([4, 2])


# back-tests


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
    values = np.arange(100.0)
    seen = []

    def model(history, horizon):
        seen.append(history.copy())
        return np.zeros(horizon)

    test = back_test(values, {"spy": model}, 4, 10)
    assert [len(history) for history in seen] == test.origins.tolist()
    assert all((history == values[: len(history)]).all() for history in seen)
    assert (test.actual[:, 0] == test.origins).all()


def test_a_model_cannot_write_into_the_series():
    values = np.arange(100.0)

    def vandal(history, horizon):
        history[:] = 0
        return np.zeros(horizon)

    with pytest.raises(ValueError, match="read-only"):
        back_test(values, {"vandal": vandal}, 4, 10)
    assert (values == np.arange(100.0)).all()


def test_a_series_without_an_origin_is_refused():
    with pytest.raises(ValueError, match="expected at least"):
        back_test(np.arange(5.0), {"naive": naive}, 4, 10)


# reports


@pytest.mark.parametrize(("values", "horizon", "season"), [(SUNSPOTS, 3, 11), (CO2, 12, 52)])
def test_network_clears_the_bar_on_real_series(values, horizon, season):
    report = backtest_and_forecast(series_of(values), horizon, seed=0)
    assert report.season == season
    assert len(report.test.origins) >= 20
    assert report.test.origins[0] >= 0.7 * len(values)
    assert set(report.test.forecasts) == {"echo state network", "naive", SEASONAL}
    assert SeriesReport(report).mean_scores()["echo state network"]["naive"] <= 0.75
    assert 60 < SeriesReport(report).mean_scores()["echo state network"]["coverage-80"] < 95
    assert np.isfinite(report.forecast).all()
    assert (report.forecasts[report.model].lower < report.forecast).all()
    assert (report.forecast < report.forecasts[report.model].upper).all()


def test_scaled_error_takes_the_season():
    report = backtest_and_forecast(series_of(SUNSPOTS), 3, origins=20, seed=0)
    scale = naive_error(SUNSPOTS[: report.test.origins[0]], 11)
    scores = report.test.scores(SEASONAL)
    assert scores["MASE"] == scores["MAE"] / scale
    again = back_test(SUNSPOTS, {SEASONAL: partial(seasonal_naive, season=11)}, 3, 20, season=11)
    assert again.scores(SEASONAL) == scores


def test_without_a_season_there_is_no_seasonal_forecast(rng):
    report = backtest_and_forecast(series_of(rng.standard_normal(150)), 2, origins=20, seed=0)
    assert report.season is None
    assert set(report.test.forecasts) == {"echo state network", "naive"}


def test_a_season_can_be_given(rng):
    report = backtest_and_forecast(series_of(rng.standard_normal(150)), 2, season=6, origins=20, seed=0)
    assert report.season == 6
    assert SEASONAL in report.test.forecasts


def test_forecast_is_a_fit_to_the_whole_series():
    report = backtest_and_forecast(series_of(SUNSPOTS), 3, origins=20, seed=4)
    assert (report.forecast == rk.ESN(3, season=11, seed=4).fit(SUNSPOTS).predict()).all()


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
        backtest_and_forecast(series_of(values), **arguments)


def test_constant_series_have_no_scaled_error():
    report = backtest_and_forecast(series_of(np.full(120, 2.5)), 2, origins=20, seed=0)
    assert report.test.scores("echo state network")["MAE"] == 0
    assert np.isnan(report.test.scores("echo state network")["MASE"])
    assert np.isnan(SeriesReport(report).mean_scores()["echo state network"]["naive"])
