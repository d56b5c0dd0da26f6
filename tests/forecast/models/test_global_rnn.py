"""One network for all series: its loss and gradients by a slow reference, series of any kind, covariates."""

import numpy as np
import pytest

import rnnkit as rk
from rnnkit.forecast.data.history import History
from rnnkit.forecast.models import smoothed_network
from rnnkit.forecast.models.auto import Auto
from rnnkit.forecast.models.forecaster import Fitted
from rnnkit.forecast.models.global_rnn import GlobalRNN
from rnnkit.forecast.models.normalization import completed, in_training_order, normalized
from rnnkit.forecast.models.smoothed_network import (
    QUANTILES,
    SmoothedNetwork,
    _Network,
    _Piece,
    _pulled,
    _Training,
    _Weights,
)
from rnnkit.forecast.models.together import Blocks
from rnnkit.serialization.array_files import below

SMALL = {"units": 4, "networks": 1, "epochs": 3, "batch_size": 8}


def waves(count, lengths=(30, 47), seed=0, period=4):
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        time = np.arange(rng.integers(*lengths))
        shape = 1 + 0.3 * np.sin(2 * np.pi * time / period) + 0.02 * rng.normal(size=len(time)).cumsum()
        found.append(rng.uniform(20, 2000) * shape)
    return found


@pytest.fixture(scope="module")
def panel():
    return waves(20)


@pytest.fixture(scope="module")
def model(panel):
    return GlobalRNN(4, units=8, networks=1, epochs=80).fit(panel)


# The loss and its gradients


def slow_smoothing(z, alpha, gamma, level, period):
    levels, seasons = [], [0.0] * period
    for t, value in enumerate(z):
        error = 0.0 if np.isnan(value) else value - level - seasons[t]
        level, renewed = level + alpha * error, seasons[t] + gamma * error
        levels.append(level)
        seasons.append(renewed)
    return levels, seasons


def slow_loss(network, series, own_of_all, warm, rows):
    """The pinball loss of a batch, value by value."""
    settings = network.settings
    total = weights = 0.0
    for row in rows:
        z, own = series.z[row, : series.lengths[row]], {name: array[row] for name, array in own_of_all.items()}
        unit, first, change = (series.rows[name][row] for name in ("unit", "first", "change"))
        logits = smoothed_network._START + 20 * network.smoothing + [own["alpha"], own["gamma"]]
        alpha, gamma = 1 / (1 + np.exp(-logits))
        levels, seasons = slow_smoothing(z, alpha, gamma, first + change * own["level"], settings.season)
        x = np.zeros((1, len(z), settings.window))
        for t in range(len(z)):
            for place in range(settings.window):
                at = t - settings.window + 1 + place
                if at >= 0 and not np.isnan(z[at]):
                    x[0, t, place] = z[at] - seasons[at] - levels[t]
        said = network.model(x).reshape(len(z), settings.leads, len(QUANTILES))
        for t in range(warm, len(z)):
            for lead in range(settings.leads):
                at = t + 1 + lead
                if at < len(z) and not np.isnan(z[at]):
                    wanted = z[at] - levels[t] - seasons[t + 1 + lead % settings.season]
                    off = wanted - said[t, lead]
                    total += unit * np.maximum(QUANTILES * off, (QUANTILES - 1) * off).sum()
                    weights += unit
    return total / weights


def test_gradients_are_those_of_the_slow_loss(monkeypatch, rng):
    """By central differences; the horizon is longer than a season, and there are gaps."""
    monkeypatch.setattr(smoothed_network, "DTYPE", "float64")
    panel = waves(3, lengths=(9, 14))
    panel[1][4] = np.nan
    history = History.of(panel)
    settings = SmoothedNetwork(4, 6, "gru", 3, None, 1, 1, 8, 0.01, 0)
    series = normalized(history, np.zeros(0), np.zeros(0))
    first = _Network(settings, settings.window)
    values = {name: rng.normal(size=array.shape) * 0.1 for name, array in first.shared.items()}
    own = {name: 0.3 * rng.normal(size=3) for name in ("alpha", "gamma", "level")}
    rows, warm = np.arange(3), 4
    found = _pulled(series, _Weights(settings, values, True), _Piece(rows, own, 0, warm))
    network = _Network.of(settings, values)
    step = 1e-6

    def slope(array, place, put=lambda: None):
        sides = []
        for sign in (1, -1):
            array[place] += sign * step
            put()
            sides.append(slow_loss(network, series, own, warm, rows))
            array[place] -= sign * step
        put()
        return (sides[0] - sides[1]) / (2 * step)

    for name, array in own.items():
        for row in rows:
            np.testing.assert_allclose(found.own[name][row], slope(array, row), rtol=1e-5, atol=1e-8)
    for name, array in values.items():
        place = np.unravel_index(int(rng.integers(array.size)), array.shape)
        expected = slope(array, place, lambda: setattr(network, "shared", values))
        np.testing.assert_allclose(found.shared[name][place], expected, rtol=1e-5, atol=1e-8)


def test_batches_of_parts_of_several_blocks_train_as_those_of_one(monkeypatch):
    monkeypatch.setattr(smoothed_network, "_ROWS", 1)
    panel = waves(5, lengths=(20, 21))
    panel[0] = 100 * panel[0][:9]
    settings = SmoothedNetwork(4, 6, "gru", 3, None, 1, 4, 8, 0.01, 0)

    moved = {}

    def noted(training, block, rows, gradients, count, rate, follow=_Training._follow):
        places = sum(map(len, training.lengths[:block])) + rows
        for name, array in gradients.items():
            moved.setdefault((len(training.lengths), name), np.zeros(5))[places] += count * array
        follow(training, block, rows, gradients, count, rate)

    monkeypatch.setattr(_Training, "_follow", noted)

    def trained(*parts):
        made = [normalized(History.of(one), np.zeros(0), np.zeros(0)) for one in parts]
        training = _Training(settings, Blocks(made), 0)
        training.run()
        own = {name: np.concatenate([one[name] for one in training.own]) for name in training.own[0]}
        return training.batches, training.shared | own | {"furthest": training.furthest}

    (batches, one), (also, several) = trained(panel), trained(panel[:1], panel[1:])
    assert batches == also == 1
    for name, array in one.items():
        np.testing.assert_allclose(several[name], array, rtol=1e-3, atol=1e-5, err_msg=name)
        if (1, name) in moved:
            np.testing.assert_allclose(moved[2, name], moved[1, name], rtol=1e-3, atol=1e-7, err_msg=name)


# Series


def test_it_learns_what_series_have_in_common(panel, model):
    """Better than the seasonal naive forecast on series that it never saw, of other sizes."""
    others = [one * 50 for one in waves(20, seed=5)]
    known, came = [one[:-4] for one in others], np.array([one[-4:] for one in others])
    naive = np.array([one[-4:] for one in known])
    said = model.forecast(known, 4)
    size = np.array([one.mean() for one in known])[:, None]
    assert np.mean(np.abs(said - came) / size) < 0.9 * np.mean(np.abs(naive - came) / size)
    assert model.predict(4).shape == (20, 4)


def test_series_of_every_kind_have_forecasts(panel, model):
    odd = {
        "short": [3.0, 4.0, 5.0],
        "one value": [7.0],
        "constant": np.full(20, 5.0),
        "constant and negative": np.full(20, -2.5),
        "negative": np.arange(30.0) - 40,
        "zeros": np.tile([0.0, 0.0, 3.0], 8),
        "gaps": np.where(np.arange(40) % 3 == 0, np.nan, panel[0][:1]) + np.arange(40),
        "ends in gaps": np.append(panel[1], [np.nan] * 3),
        "huge": panel[2] * 1e200,
        "tiny": panel[2] * 1e-200,
        "steep": np.exp(np.arange(40.0) * 2),
    }
    found = GlobalRNN(4, **SMALL).fit([*panel, *odd.values()]).predict(9, level=[80, 95])
    for name, array in found.items():
        assert np.isfinite(array).all(), name
    said = dict(zip(odd, found["GlobalLSTM"][len(panel) :], strict=True))
    np.testing.assert_allclose(said["constant"], 5.0, rtol=1e-12)
    np.testing.assert_allclose(said["constant and negative"], -2.5, rtol=1e-12)
    np.testing.assert_allclose(said["one value"], 7.0, rtol=1e-12)
    assert (found["GlobalLSTM-lo-95"] <= found["GlobalLSTM-lo-80"]).all()
    unseen = model.forecast(list(odd.values()), 3)
    assert np.isfinite(unseen).all()


def test_units_change_nothing_else(panel, model):
    again = GlobalRNN(4, units=8, networks=1, epochs=80).fit([1000 * one for one in panel])
    np.testing.assert_allclose(again.predict(6), 1000 * model.predict(6), rtol=1e-3)


def test_a_series_has_the_same_bits_among_other_series(model):
    """Given its parameters, its forecast doesn't depend on what is forecast beside it."""
    history, network = model._history, model._network()
    together = network.ahead(history, Fitted(model._model, model._panel), 9).forecast
    for row in (0, 7):
        part = {name: array[row : row + 1] for name, array in model._model.items()}
        alone = network.ahead(history.until(np.array([row]), history.lengths[[row]]), Fitted(part, model._panel), 9)
        np.testing.assert_array_equal(alone.forecast[0], together[row])


def test_long_series_are_read_from_their_own_ends(monkeypatch):
    monkeypatch.setattr(smoothed_network, "LONGEST", 12)
    panel = waves(6, lengths=(8, 40))
    model = GlobalRNN(4, **SMALL).fit(panel)
    together = model.predict(5)
    for row, one in enumerate(panel):
        history = History.of([one])
        part = {name: array[row : row + 1] for name, array in model._model.items()}
        alone = model._network().ahead(history, Fitted(part, model._panel), 5).forecast[0]
        np.testing.assert_array_equal(alone, together[row])


def test_seeds_and_settings(panel):
    first = GlobalRNN(4, layer="gru", seed=3, **SMALL).fit(panel)
    np.testing.assert_array_equal(first.predict(2), first.copy().fit(panel).predict(2))
    assert (GlobalRNN(4, layer="gru", seed=4, **SMALL).fit(panel).predict(2) != first.predict(2)).all()
    assert list(first.predict(1, level=80)) == ["GlobalGRU", "GlobalGRU-lo-80", "GlobalGRU-hi-80"]
    for settings, said in (
        ({"layer": "attention"}, "expected layer to be one of lstm, gru, rnn; got 'attention'"),
        ({"units": 0}, "units"),
        ({"seed": -1}, "expected seed to be a whole number of at least 0; got -1"),
        ({"learning_rate": 0}, "expected learning_rate above 0; got 0"),
        ({"past_covariates": ["a"], "future_covariates": ["a"]}, "expected each covariate once; got 'a' twice"),
    ):
        with pytest.raises(ValueError, match=said):
            GlobalRNN(**settings)
    with pytest.raises(TypeError, match="expected future_covariates to be a list of names of columns; got 'price'"):
        GlobalRNN(future_covariates="price")


def test_training_goes_on_from_the_ends(panel):
    """The weights of the network and each series' own parameters are those that the training without the ends found."""
    network = GlobalRNN(4, **SMALL)._network({"season": np.array(4), "leads": np.array(4)})
    series = Blocks([History.of(panel)])
    (rows,), weights = network.learned(series)
    own = {name: array for name, array in completed(series.blocks[0], rows).items() if name in rows}
    some = np.arange(3, len(panel))  # the others had no end to hold out
    begun = [(some, {name: array[some] for name, array in own.items()})], weights
    ordered = in_training_order(series.blocks[0], None, begun[0][0])
    back = completed(series.blocks[0], ordered)
    for name, array in own.items():
        np.testing.assert_array_equal(back[name], np.where(np.arange(len(panel)) < 3, 0.0, array))
    network.learning_rate = 1e-12
    _, after = network.learned(series, begun=begun)
    for name in below("0/", weights):
        np.testing.assert_allclose(after[f"0/{name}"], weights[f"0/{name}"], atol=1e-7)


def test_updates_read_stretches_up_to_the_ends():
    network = GlobalRNN(4, **SMALL)._network({"season": np.array(4), "leads": np.array(4)})
    blocks = Blocks([normalized(History.of(waves(8, (400, 401))), np.zeros(0), np.ones(0))])
    training = _Training(network, blocks, 0)
    starts = [piece.start for _ in range(200) for given in training._drawn() for _, piece in given]
    assert min(starts) == 0 and max(starts) == 400 - network.stretch
    assert 0.05 < np.mean(np.array(starts) == max(starts)) < 0.25  # a half stretch in 400 - 96 and a stretch: 0.12
    assert [GlobalRNN(one)._network({"season": np.array(one), "leads": np.array(8)}).stretch for one in (1, 52)] == [
        96,
        208,
    ]


def test_progress_and_an_interrupted_fit(panel, model):
    """Each epoch is told, without the held-out ends and with them; what was fitted stays after Ctrl-C."""
    told = []
    GlobalRNN(4, **SMALL).fit(panel, progress=told.append)
    epochs = [f"network 1, epoch {epoch} of 3" for epoch in (1, 2, 3)]
    assert told == [*(f"calibration, {one}" for one in epochs), "network 1, epoch 1 of 1"]

    def interrupt(_):
        raise KeyboardInterrupt

    before = model.predict(3)
    with pytest.raises(KeyboardInterrupt):
        model.fit(panel[:5], progress=interrupt)
    np.testing.assert_array_equal(model.predict(3), before)


def test_F4_no_forecast_of_a_positive_series_is_negative():
    """Of series that change by factors, too, which aren't taken as logarithms."""
    rng = np.random.default_rng(0)
    panel = [np.where(np.arange(30) % 2, 1000.0, 1.0) * rng.uniform(0.5, 2, 30) for _ in range(8)]
    found = GlobalRNN(1, units=4, networks=1, epochs=60).fit(panel).predict(20, level=[80, 95])
    assert not GlobalRNN(1, **SMALL).fit(panel)._model["logarithms"].any()
    for name, array in found.items():
        assert (array >= 0).all(), name


def test_F3_the_order_of_the_series_changes_no_bit(panel):
    order = np.random.default_rng(0).permutation(len(panel))
    there = GlobalRNN(4, **SMALL).fit(panel).predict(3)
    np.testing.assert_array_equal(GlobalRNN(4, **SMALL).fit([panel[k] for k in order]).predict(3), there[order])


# Covariates


@pytest.fixture(scope="module")
def shops():
    """Sales that follow prices, which are known ahead, and a region."""
    pd = pytest.importorskip("pandas")
    pytest.importorskip("narwhals")
    rng, parts = np.random.default_rng(1), []
    for shop in range(24):
        price = rng.choice([0.0, 1.0], 40)
        sold = rng.uniform(50, 500) * np.exp(-0.5 * price + 0.02 * rng.normal(size=40))
        visitors = 100 + rng.normal(size=40)
        days = pd.date_range("2024-01-01", periods=40)
        parts.append(
            pd.DataFrame({"unique_id": f"s{shop}", "ds": days, "y": sold, "price": price, "visitors": visitors})
        )
    table = pd.concat(parts, ignore_index=True)
    static = pd.DataFrame({"unique_id": [f"s{k}" for k in range(24)], "size": np.arange(24.0)})
    static["region"] = np.where(np.arange(24) % 2, "north", "south")
    first = table["ds"] <= days[33]
    return table[first], table[~first], static


WITH = {"past_covariates": ["visitors"], "future_covariates": ["price"]}


@pytest.fixture(scope="module")
def informed(shops):
    known, _, static = shops
    return GlobalRNN(1, **WITH, units=8, networks=1, epochs=80).fit(known, static=static)


def test_F9_covariates_that_are_known_ahead_are_used(shops, informed):
    known, rest, _ = shops
    came = rest["y"].to_numpy()
    said = informed.predict(6, future=rest.drop(columns="y"))
    assert said["unique_id"].tolist() == rest["unique_id"].tolist() and said["ds"].tolist() == rest["ds"].tolist()
    blind = GlobalRNN(1, units=8, networks=1, epochs=80).fit(known).predict(6)
    assert np.abs(np.log(said["GlobalLSTM"] / came)).mean() < 0.3 * np.abs(np.log(blind["GlobalLSTM"] / came)).mean()


def test_F9_cross_validation_reads_what_was_known_ahead(shops, informed):
    known, rest, static = shops
    pd = pytest.importorskip("pandas")
    table = pd.concat([known, rest])
    found = informed.cross_validation(table, 6, static=static)
    expected = informed.predict(6, future=rest)
    np.testing.assert_array_equal(found["GlobalLSTM"].to_numpy(), expected["GlobalLSTM"].to_numpy())


def test_F9_updates_files_and_other_series(shops, informed, tmp_path):
    known, rest, static = shops
    informed.save(tmp_path / "m")
    loaded = GlobalRNN.load(tmp_path / "m")
    for one in (informed, loaded):
        expected = informed.predict(4, future=rest, level=[80])
        assert one.predict(4, future=rest, level=[80]).equals(expected)
    days = rest["ds"].unique()
    first, later = rest[rest["ds"] <= days[1]], rest[rest["ds"] > days[1]]
    updated = informed.copy()
    updated._history, updated._model, updated._panel = informed._history, informed._model, informed._panel
    for one in (updated, loaded):
        one.update(first)
    assert loaded.predict(4, future=later).equals(updated.predict(4, future=later))
    other = known.assign(unique_id="new " + known["unique_id"])
    said = informed.forecast(
        other,
        6,
        future=rest.assign(unique_id="new " + rest["unique_id"]),
        static=static.assign(unique_id="new " + static["unique_id"], region="west"),
    )
    assert said["unique_id"].iloc[0] == "new s0"
    assert np.abs(np.log(said["GlobalLSTM"].to_numpy() / rest["y"].to_numpy())).mean() < 0.15


def test_F9_the_combination_reads_covariates(shops):
    known, rest, static = shops
    model = Auto(1, **WITH).fit(known, static=static)
    np.testing.assert_allclose(model.weights.sum(axis=0), 1)  # the network's are those of the least error, or 0
    error = lambda said: np.abs(np.log(said["Auto"].to_numpy() / rest["y"].to_numpy())).mean()
    said = model.predict(6, future=rest)
    assert said.shape == (24 * 6, 5) and error(said) < 0.3 * error(Auto(1).fit(known).predict(6))


def test_F9_what_is_lacking_is_named(shops, informed):
    known, rest, static = shops
    day = rest["ds"].unique()[2]
    model = GlobalRNN(1, **WITH, **SMALL)
    for call, said in (
        (lambda: informed.predict(6), r"expected future=, a table with price at each of 6 steps ahead; got none of"),
        (lambda: informed.predict(7, future=rest), "expected a row for each of 7 steps ahead"),
        (lambda: informed.predict(6, future=rest[rest["unique_id"] != "s3"]), "of series 's3' not at all"),
        (lambda: informed.predict(6, future=rest[rest["ds"] != day]), f"got {day:%Y-%m-%d} of series 's0' not at all"),
        (lambda: informed.predict(6, future=rest.drop(columns="price")), "price"),
        (lambda: model.fit(known.drop(columns="price")), "price"),
        (lambda: model.fit(np.ones((2, 20))), "expected a table with the covariates in its columns; got arrays"),
        (lambda: model.fit(known, static=static.iloc[1:]), "got none for series 's0'"),
        (lambda: informed.forecast(known, 6, future=rest), "expected static=, with size, region=north"),
        (lambda: rk.forecast.Theta().fit(known, static=static), "as Theta reads no static covariates"),
        (lambda: rk.forecast.Theta().fit(known).predict(2, future=rest), "as Theta has no future_covariates"),
    ):
        with pytest.raises(ValueError, match=said):
            call()
    with pytest.raises(RuntimeError, match="expected fit to be called"):
        model.forecast(known)


def test_F9_gaps_in_covariates_are_bridged(shops):
    known, rest, _ = shops
    holey = known.copy()
    holey.loc[holey.index[::5], ["price", "visitors"]] = np.nan
    said = GlobalRNN(1, **WITH, **SMALL).fit(holey).predict(3, future=rest)
    assert np.isfinite(said["GlobalLSTM"]).all()


def test_F9_a_gap_in_what_was_known_ahead_counts_as_the_mean(shops, informed):
    known, rest, static = shops
    pd = pytest.importorskip("pandas")
    table = pd.concat([known, rest])
    gone = (table["unique_id"] == "s3") & (table["ds"] == rest["ds"].iloc[2])
    found = informed.cross_validation(table[~gone], 6, static=static)
    assert np.isfinite(found["GlobalLSTM"]).all() and len(found) == 24 * 6


def test_F9_a_covariate_that_never_changed_moves_little(shops):
    known, rest, _ = shops
    model = GlobalRNN(1, future_covariates=["fee"], **SMALL).fit(known.assign(fee=1.1))
    same, other = (model.predict(3, future=rest.assign(fee=fee))["GlobalLSTM"] for fee in (1.1, 1.2))
    np.testing.assert_allclose(other, same, rtol=0.1)


def test_F9_static_covariates_are_those_of_the_fit(shops, informed):
    known, rest, static = shops
    alone = GlobalRNN(1, **SMALL).fit(known, static=static)
    plain = GlobalRNN(1, **SMALL).fit(known)
    for call, said in (
        (lambda: alone.forecast(known, 2), "expected static=, with size, region=north, region=south, as in fit"),
        (lambda: plain.forecast(known, 2, static=static), "expected no static=, as fit was given none"),
        (
            lambda: alone.forecast(known, 2, static=static.assign(size=static["size"].astype(str))),
            "expected numbers in column 'size' of the static table, as in fit",
        ),
        (
            lambda: alone.forecast(known, 2, static=static.assign(region=1.0)),
            "expected text in column 'region' of the static table, as in fit",
        ),
        (lambda: rk.forecast.Theta().cross_validation(known, 2, static=static), "none of the models reads covariates"),
    ):
        with pytest.raises(ValueError, match=said):
            call()
    told = []
    alone.forecast(known, 2, static=static, progress=told.append)
    assert told[0] == "network 1, epoch 1 of 12"


def test_F9_tables_of_files_have_covariates_too(shops, tmp_path):
    known, rest, _ = shops
    for name, table in (("known", known), ("rest", rest)):
        rk.forecast.write_table(tmp_path / f"{name}.csv", table)
    read, ahead = (rk.forecast.read_table(tmp_path / f"{name}.csv") for name in ("known", "rest"))
    found = GlobalRNN(1, **WITH, **SMALL).fit(read).predict(6, future=ahead)
    expected = GlobalRNN(1, **WITH, **SMALL).fit(known).predict(6, future=rest)
    np.testing.assert_array_equal(found["GlobalLSTM"], expected["GlobalLSTM"])
    with pytest.raises(ValueError, match="expected a table of series with the column 'rain' besides its values; got"):
        GlobalRNN(future_covariates=["rain"]).fit(read)
