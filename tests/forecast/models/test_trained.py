"""Forecasts from trained networks: the linear shortcut, windows and quantiles, and the laws that hold of all layers."""

import numpy as np
import pytest

import rnnkit as rk
from rnnkit.callbacks.stages import Progress
from rnnkit.forecast import saving
from rnnkit.forecast.command import report as reports
from rnnkit.forecast.command.report import first_origin
from rnnkit.forecast.command.run import read_kept
from rnnkit.forecast.data.csv_files import InputError
from rnnkit.forecast.data.files import Series
from rnnkit.forecast.data.history import History
from rnnkit.forecast.data.timeline import Timeline
from rnnkit.forecast.fitting.season import find_season
from rnnkit.forecast.fitting.shortcut import Shortcut, hold
from rnnkit.forecast.models.trained import LAYERS, TrainedForecaster, Windows, _pinball
from rnnkit.serialization.array_files import save_arrays

SUNSPOTS, CO2 = rk.datasets.load_sunspots()[1], rk.datasets.load_co2()[1]
HORIZON = 2


def small(layer="rnn", **options):
    """A forecaster that is trained in no time."""
    options = {
        "calibrate": False,
        "horizon": HORIZON,
        "units": 3,
        "epochs": 2,
        "networks": 2,
        "window": 30,
        "season": 11,
        "seed": 0,
    } | options
    return TrainedForecaster(layer=layer, **options)


@pytest.fixture(scope="module")
def wave():
    noise = np.random.default_rng(5).standard_normal(160)
    wave = 20 + 5 * np.sin(2 * np.pi * np.arange(160) / 11) + noise
    wave[[40, 41, 90]] = np.nan
    wave.flags.writeable = False
    return wave


@pytest.fixture(scope="module")
def fitted(wave):
    return small().fit(wave)


# the shortcut


def test_shortcut_is_a_ridge_regression_for_each_lead(rng):
    z, times = rng.standard_normal((2, 60)), np.broadcast_to(np.arange(60), (2, 60))
    z[0, [10, 30, 31]] = np.nan
    others = rng.standard_normal((2, 60, 1))
    shortcut = Shortcut(HORIZON, lags=4, harmonics=1, period=7.0)
    shortcut.strength, shortcut.seasonal = 0.5, True
    shortcut.fit(z, times, others, choose=False)
    said = shortcut.changes(z, times, others)
    for lead in range(1, HORIZON + 1):
        rows, changes = [], []
        for b in range(2):
            for t in range(60):
                held = [z[b, : max(t - k + 1, 0)] for k in range(4)]
                recent = [one[~np.isnan(one)][-1] if len(one) else z[b, 0] for one in held]
                angle = 2 * np.pi * t / 7
                rows.append([1, *recent, np.sin(angle), np.cos(angle), others[b, t, 0]])
                used = 4 <= t < 60 - lead and not np.isnan(z[b, t])
                changes.append(z[b, t + lead] - z[b, t] if used else np.nan)
        rows, changes = np.array(rows), np.array(changes)
        known = ~np.isnan(changes)
        penalty = np.diag([0, *[0.5] * (rows.shape[1] - 1)])
        weights = np.linalg.solve(rows[known].T @ rows[known] + penalty, rows[known].T @ changes[known])
        np.testing.assert_allclose(shortcut.weights[:, lead - 1], weights, atol=1e-9)
        np.testing.assert_allclose(said[..., lead - 1].ravel(), rows @ weights, atol=1e-9)


def test_season_terms_join_where_they_help(rng):
    month = np.arange(300)
    times, noise = month[None], rng.standard_normal(300)
    season = Shortcut(3, lags=2, harmonics=2, period=12.0).fit(
        (3 * np.sin(2 * np.pi * month / 12) + noise)[None], times
    )
    assert season.seasonal
    assert season.waves(times).shape == (1, 300, 4)
    sunspots = (SUNSPOTS - SUNSPOTS.mean())[None] / SUNSPOTS.std()
    cycle = Shortcut(3, lags=17, harmonics=2, period=11.0).fit(sunspots, np.arange(309)[None])
    assert not cycle.seasonal  # its phase wanders
    assert cycle.waves(times).shape == (1, 300, 0)
    assert np.abs(cycle.weights[18:]).max() < 1e-9


def test_gaps_hold_the_value_before_them():
    z = np.array([[np.nan, 1, np.nan, 2, np.nan], [np.nan] * 5])
    assert hold(z).tolist() == [[1, 1, 1, 2, 2], [0] * 5]


# windows and loss


@pytest.mark.parametrize(("length", "window"), [(200, 30), (40, 64), (31, 30), (60, 1), (64, 64)])
def test_windows_teach_every_known_value(length, window, rng):
    inputs = np.arange(2.0 * length).reshape(2, length, 1).astype(np.float32)
    weights = rng.random((2, length, 1)) < 0.7
    windows = Windows(inputs, np.zeros((2, length, 1), np.float32), weights, window, batch_size=3)
    windows.restart(0)
    taught = np.zeros(2 * length, dtype=bool)
    rows = 0
    for number in range(len(windows)):
        x, y = windows[number]
        rows += len(x)
        assert x.shape[1] == min(window, length)
        assert (np.diff(x, axis=1) == 1).all()
        taught[x[y[..., 1:] > 0].astype(int)] = True
    assert rows == len(windows.places)
    assert (taught == weights.ravel()).all()


def test_the_order_of_windows_follows_the_seed_and_changes_each_epoch():
    def orders(seed):
        windows = Windows(*(np.ones((1, 300, 1), np.float32),) * 2, np.ones((1, 300, 1), bool), 30, 4)
        windows.restart(seed)
        first = windows._order.tolist()
        windows.on_epoch_end()
        return first, windows._order.tolist()

    assert orders(1) == orders(1)
    assert orders(1)[0] != orders(1)[1]
    assert orders(1) != orders(2)


def test_loss_is_the_pinball_loss_of_what_is_known(rng):
    levels = np.array([0.1, 0.5, 0.9])
    values, said = rng.standard_normal((5, 2)), rng.standard_normal((5, 6))
    loss = _pinball(levels, 2)
    whole = loss(np.concatenate([values, np.ones((5, 2))], axis=1), said)
    expected = sum(
        rk.losses.Quantile(q)(values, part) for q, part in zip(levels, np.split(said, 3, axis=1), strict=True)
    )
    np.testing.assert_allclose(whole, expected, rtol=1e-6)
    first = loss(np.concatenate([values, [[1, 0]] * 5], axis=1), said)
    other = loss(np.concatenate([values + np.array([0, 9]), [[1, 0]] * 5], axis=1), said)
    assert (first == other).all()
    assert (first < whole).all()


# laws of the forecasts


@pytest.mark.parametrize("layer", LAYERS)
def test_layers_forecast(layer, wave):
    forecaster = small(layer).fit(wave)
    lower, median, upper = forecaster.predict_quantiles()
    assert (lower < median).all() and (median < upper).all() and (forecaster.predict() == median).all()
    assert np.abs(median - 20).max() < 10


def test_training_lowers_the_loss(wave):
    from rnnkit.callbacks import History

    forecaster = small(epochs=20, networks=1).fit(wave)
    history = forecaster.models[0].history
    assert isinstance(history, History)
    assert history.history["loss"][-1] < history.history["loss"][0]


def test_far_history_reaches_nothing_but_the_window(fitted, wave):
    other = np.array(wave)
    reach = fitted.window + fitted.shortcut.lags - 1
    other[: len(wave) - reach] += 7
    assert (fitted.forecast(other) == fitted.forecast(wave)).all()
    other[len(wave) - reach] += 7
    assert (fitted.forecast(other) != fitted.forecast(wave)).any()


def test_a_constant_series_stays_constant():
    forecaster = small().fit(np.full(80, 2.5))
    assert (forecaster.predict_quantiles() == 2.5).all()
    assert (forecaster.carry_on(np.full(90, 2.5)).predict() == 2.5).all()


def test_quantiles_hold_what_they_should(rng):
    spread = np.where(np.arange(900) % 20 < 10, 0.2, 2.0)  # a band of one width would be wrong everywhere
    y = spread * rng.standard_normal(900)
    forecaster = small(horizon=1, season=20, epochs=15, networks=1).fit(y[:600])
    bands = np.array([forecaster.forecast_quantiles(y[:t]) for t in range(600, 900, 3)])[..., 0]
    came, wide = y[600:900:3], spread[600:900:3] > 1
    width = bands[:, 2] - bands[:, 0]
    assert width[wide].mean() > 2 * width[~wide].mean()
    inside = (bands[:, 0] <= came) & (came <= bands[:, 2])
    assert 0.65 < inside.mean() < 0.95


def test_a_rehearsal_widens_the_bands_and_nothing_else(wave, tmp_path):
    rehearsed, plain = small(calibrate=True).fit(wave), small().fit(wave)
    lower, median, upper = plain.predict_quantiles()
    assert rehearsed.band_scale > 1  # two epochs and 40 steps to judge them
    assert plain.band_scale == 1
    wider = rehearsed.band_scale * (np.array([lower, median, upper]) - median)
    np.testing.assert_allclose(rehearsed.predict_quantiles() - median, wider, rtol=1e-9, atol=1e-9)
    rehearsed.save(tmp_path / "model")
    assert TrainedForecaster.load(tmp_path / "model").band_scale == rehearsed.band_scale


def test_bands_hold_on_a_series_that_outgrows_its_past(rng):
    step = np.arange(240)
    y = np.exp(0.005 * step + 0.3 * np.sin(2 * np.pi * step / 12) + 0.05 * rng.standard_normal(240))
    narrow, wide = (backtest_at(y, small("linear", season=12, epochs=5, calibrate=on)) for on in (False, True))
    assert narrow < 0.6
    assert wide > narrow + 0.1


def backtest_at(y, forecaster):
    """The share of the last 60 values that bands hold."""
    forecaster.fit(y[:180])
    bands = np.array([forecaster.forecast_quantiles(y[:t]) for t in range(180, 238)])
    came = np.array([y[t : t + HORIZON] for t in range(180, 238)])
    return np.mean((bands[:, 0] <= came) & (came <= bands[:, 2]))


def test_what_is_too_short_to_rehearse_is_fitted_all_the_same():
    y = np.r_[np.full(90, np.nan), np.sin(np.arange(30.0))]
    assert small(calibrate=True, season=None).fit(y).band_scale == 1


# carrying on


def test_training_goes_on_from_the_weights(wave):
    forecaster = small().fit(wave[:140])
    before = [model.get_weights() for model in forecaster.models]
    strength = forecaster.shortcut.strength
    forecaster.carry_on(wave, epochs=1)
    assert forecaster.shortcut.strength == strength
    for model, old in zip(forecaster.models, before, strict=True):
        steps = [np.abs(new - was).max() for new, was in zip(model.get_weights(), old, strict=True)]
        assert 0 < max(steps) < 0.02
    kept = [model.get_weights() for model in forecaster.models]
    forecaster.carry_on(wave, epochs=0)
    assert all(
        (a == b).all()
        for model, old in zip(forecaster.models, kept, strict=True)
        for a, b in zip(model.get_weights(), old, strict=True)
    )


@pytest.mark.parametrize("method", ["fit", "carry_on"])
def test_a_failure_half_way_changes_nothing(method, wave):
    forecaster = small().fit(wave[:140])
    before = forecaster.predict_quantiles()
    told = []

    def stop(text):
        told.append(text)
        if "network 2" in text:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        getattr(forecaster, method)(wave, progress=stop)
    assert told[-1].startswith("network 2 of 2, epoch 1 of ")
    assert (forecaster.predict_quantiles() == before).all()
    assert (forecaster.forecast_quantiles(wave[:140]) == before).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"layer": "transformer"}, "expected layer to be one of gru, lstm, rnn, linear; got 'transformer'"),
        ({"horizon": 0}, "expected horizon to be a whole number of at least 1; got 0"),
        ({"units": 2.5}, "expected units"),
        ({"season": 1}, "expected season"),
        ({"epochs": True}, "expected epochs"),
        ({"networks": 0}, "expected networks"),
        ({"window": 0}, "expected window"),
        ({"batch_size": 0}, "expected batch_size"),
        ({"learning_rate": 0}, "expected learning_rate above 0"),
        ({"level": 1.0}, "expected level to be a percentage between 0 and 100, such as 80; got 1.0"),
        ({"level": 100}, "expected level to be a percentage"),
        ({"seed": -1}, "expected seed"),
    ],
)
def test_settings_are_checked(options, said):
    with pytest.raises(ValueError, match=said):
        TrainedForecaster(**options)


def test_what_cannot_be_fitted_is_said():
    for call in (small().predict, lambda: small().carry_on(SUNSPOTS), lambda: small().save("nowhere")):
        with pytest.raises(RuntimeError, match="expected fit to be called before"):
            call()
    with pytest.raises(ValueError, match="got none for lead 1"):
        small().fit(np.tile([1.0, np.nan], 60), np.ones(120))
    assert "as the series ended" in small().fit(np.tile([1.0, np.nan], 60)).note
    with pytest.raises(ValueError, match="infinite"):
        small().fit([1.0, np.inf])


# files


def test_fitted_values_end_at_the_horizon_in_a_gap_of_features(wave):
    values, x = wave[:120].copy(), np.cos(np.arange(120.0))
    values[60:68] = np.nan
    model = small(horizon=3, networks=1, epochs=1).fit(values, x)
    lacking = np.isnan(model.fitted())
    np.testing.assert_array_equal(np.flatnonzero(lacking), [0, 63, 64, 65, 66, 67, 68])
    assert not np.isnan(small(horizon=3, networks=1, epochs=1).fit(values).fitted()[1:]).any()


def test_a_file_is_read_without_pickle_and_written_again(tmp_path, fitted):
    path, again = tmp_path / "model.npz", tmp_path / "again.npz"
    fitted.save(path)
    TrainedForecaster.load(path).save(again)
    assert again.read_bytes() == path.read_bytes()
    with np.load(path, allow_pickle=False) as arrays:
        assert "model/panel/weights" in arrays


def test_a_loaded_forecaster_carries_on(tmp_path, wave):
    path = tmp_path / "model.npz"
    x = np.cos(np.arange(160.0))
    forecaster = small(networks=1).fit([wave[:140], wave[:120]], [x[:140], x[:120]])
    forecaster.save(path)
    more = [wave, wave[:150]], [x, x[:150]]
    assert (TrainedForecaster.load(path).carry_on(*more).predict() == forecaster.carry_on(*more).predict()).all()


def test_other_files_are_refused(tmp_path, fitted):
    path = tmp_path / "model.npz"
    fitted.save(path)
    with pytest.raises(ValueError, match="expected a file of a fitted ESN; .* holds one of TrainedForecaster"):
        rk.ESN.load(path)
    damaged = bytearray(path.read_bytes())
    damaged[damaged.index(fitted.shortcut.weights.tobytes("A")[:16])] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match="damaged"):
        TrainedForecaster.load(path)
    path.write_bytes(damaged[:500])
    with pytest.raises(ValueError, match="damaged"):
        TrainedForecaster.load(path)
    layer = rk.Dense(1)
    layer.build((None, 2))
    layer.save_weights(path)
    with pytest.raises(ValueError, match="expected a file of a fitted forecaster"):
        TrainedForecaster.load(path)
    with pytest.raises(FileNotFoundError):
        TrainedForecaster.load(tmp_path / "missing.npz")


# back-tests and reports


def series_of(values, name="y", first=0):
    return Series(name, np.asarray(values, dtype=np.float64), Timeline("step", first + np.arange(len(values))))


class Told(Progress):
    """Progress that keeps what it is told."""

    def __init__(self):
        self.texts = []

    def tell(self, text):
        self.texts.append(text)


def report_on(values, models, horizon, origins=40, progress=None, **settings):
    report, progress = reports.begun(series_of(values), models, horizon, origins, **settings), progress or Progress()
    reports.back_test(report, progress)
    reports.forecast(report, progress)
    return report


def kept(path, series, **given):
    return reports.forecast_kept(series, path, *read_kept(path), **given)


def test_a_model_is_trained_once_and_carried_on(wave):
    told = []
    model = small(networks=1, epochs=4)
    model._at_origin(History.of(wave[:140]), told.append)
    assert [text[-11:] for text in told] == [f"epoch {n} of 4"[-11:] for n in (1, 2, 3, 4)]
    told.clear()
    assert model._at_origin(History.of(wave[:150]), told.append).predict().shape == (HORIZON,)
    assert [text[-11:] for text in told] == [f"epoch {n} of 3"[-11:] for n in (1, 2, 3)]


def test_several_models_stand_in_one_report(tmp_path, wave):
    path, progress = tmp_path / "model.npz", Told()
    given = {"season": 11, "seed": 0, "units": 20, "epochs": 1}
    report = report_on(wave, ("linear", "esn"), HORIZON, 3, progress, **given)
    assert list(report.models) == ["linear model", "echo state network"]
    names = [f"{name}{edge}" for name in ("Linear", "ESN") for edge in ("", "-lo-80", "-hi-80")]
    assert list(report.columns) == names
    assert list(report.tested) == [*names, "naive", "seasonal naive"]
    assert report.finished.sum() == 3
    assert progress.texts[1] == "Linear, origin 1 of 3: calibration, network 1 of 3, epoch 1 of 1"
    assert (report.columns["Linear-lo-80"] <= report.columns["Linear"]).all()
    reports.keep(path, report)
    again = kept(path, series_of(wave))
    assert not again.tested
    assert all((again.columns[name] == report.columns[name]).all() for name in names[:3])
    assert kept(path, series_of(wave[:100])).columns["Linear"].shape == (1, HORIZON)
    saving.write(path, report.model, {"identity": ["y", "from 0 on"], "level": 50.0, "horizon": HORIZON})
    assert kept(path, series_of(wave)).levels == [50.0]  # of a file as it was written before
    with pytest.raises(InputError, match="fitted to y from 0 on; got y from 5 on"):
        kept(path, series_of(wave, first=5))
    with pytest.raises(InputError, match="fitted to y from 0 on; got load from 0 on"):
        kept(path, series_of(wave, "load"))


def test_files_that_say_too_little_are_refused(tmp_path, fitted, wave):
    path = tmp_path / "model.npz"
    fitted.save(path)
    with pytest.raises(InputError, match="does not say which series"):
        kept(path, series_of(wave))
    save_arrays(path, {}, {"forecaster": "ESN", "model": {}, "series": {}})
    with pytest.raises(InputError, match="it has no 'values'"):
        kept(path, series_of(wave))
    save_arrays(path, {}, {"forecaster": "Oracle", "model": {}, "series": {}})
    with pytest.raises(InputError, match="got one of Oracle"):
        kept(path, series_of(wave))
    assert saving.read(path).kind == "Oracle"


@pytest.mark.sweep
@pytest.mark.parametrize(("values", "horizon", "bar"), [(SUNSPOTS, 3, 15.7), (CO2, 12, 0.438)])
@pytest.mark.parametrize("layer", LAYERS)
def test_trained_models_clear_the_bar_on_real_series(values, horizon, bar, layer):
    assert find_season(values[: first_origin(len(values))]) is not None
    scores = next(iter(report_on(values, (layer,), horizon, seed=0).mean_scores().values()))
    assert scores["naive"] < 1
    assert scores["mae"] < bar
    assert 70 < scores["coverage-80"] < 90
