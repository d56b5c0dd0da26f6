"""Intermittent demand: the methods of the literature, and what `Auto` makes of such series."""

import numpy as np
import pytest

import rnnkit as rk
from rnnkit.forecast.data.history import History
from rnnkit.forecast.models.auto import Auto
from rnnkit.forecast.models.demand import split
from rnnkit.forecast.models.intermittent import Demands, is_intermittent
from rnnkit.forecast.models.together import Blocks

METHODS = [getattr(rk.forecast, name) for name in ("Croston", "SBA", "TSB", "ADIDA", "IMAPA")]


def smoothed(values, alpha, start):
    for value in values:
        start += alpha * (value - start)
    return start


def slow(name, y, alpha, beta=0.1):
    """One series without gaps, as the papers say it, from the means."""
    sizes, places = y[y > 0], np.flatnonzero(y)
    intervals = np.diff(places + 1, prepend=0)
    if name in ("Croston", "SBA"):
        rate = smoothed(sizes, alpha, sizes.mean()) / smoothed(intervals, alpha, len(y) / len(sizes))
        return rate if name == "Croston" else (1 - alpha / 2) * rate
    if name == "TSB":
        return smoothed(y > 0, beta, (y > 0).mean()) * smoothed(sizes, alpha, sizes.mean())
    longest = round(intervals.mean())
    found = []
    for size in range(1 if name == "IMAPA" else longest, longest + 1):
        sums = y[len(y) % size :].reshape(-1, size).sum(axis=1)
        found.append(smoothed(sums, alpha, sums[0]) / size)
    return np.mean(found)


@pytest.fixture(scope="module")
def demand():
    """Negative binomial demands of many rates, most of them seldom; a part goes out of use."""
    rng = np.random.default_rng(1)
    rate = np.exp(rng.uniform(np.log(0.1), np.log(1.2), (240, 1))) * np.ones(72)
    rate[:40, 40:] *= np.linspace(1, 0.1, 32)
    rate[-20:] = 9
    return rng.negative_binomial(1.5, 1.5 / (1.5 + rate)).astype(float)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.__name__)
def test_the_methods_are_those_of_the_papers(method, demand):
    some = [y[: 20 + k] for k, y in enumerate(demand[:30]) if y[:20].any()]
    found = method(0.15).fit(some).predict(2)
    expected = [slow(method.__name__, y, 0.15) for y in some]
    np.testing.assert_allclose(found, np.repeat(np.array(expected)[:, None], 2, axis=1), rtol=1e-12)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.__name__)
def test_F13_demand_stays_at_0_or_above(method, demand, tmp_path):
    """Also of series without a demand, of one value, with gaps; and an error names a series with a negative value."""
    series = [*demand[:8], np.zeros(5), [3.0], [0.0], [np.nan, 0, np.nan, 2, np.nan, np.nan], np.r_[0, 0, 0, 5.0]]
    model = method().fit(series)
    ends, said = ("-lo-95", "-lo-80", "", "-hi-80", "-hi-95"), model.predict(3, level=[80, 95])
    edges = np.array([said[f"{model.name}{end}"] for end in ends])
    assert (edges >= 0).all() and np.isfinite(edges).all() and (np.diff(edges, axis=0) >= 0).all()
    quantiles = model.predict_quantiles(3, np.linspace(0.01, 0.99, 25))
    assert (quantiles >= 0).all() and (np.diff(quantiles, axis=0) >= 0).all()
    assert (edges[:, 8] == 0).all() and (edges[2, 11:] > 0).all()
    with pytest.raises(ValueError, match="series 1: expected demands of 0 or more; got -2"):
        method().fit([[1.0, 0.0], [0.0, -2.0]])
    for wrong in (0, 1.5, "a", None):
        with pytest.raises(ValueError, match="expected alpha above 0 and up to 1"):
            method(wrong)


def test_bands_have_the_least_level_that_contains_a_value(rng):
    values, mean = rng.poisson(0.6, (50, 30)) * rng.integers(1, 4, (50, 30)) + 0.0, rng.uniform(0.05, 4, (50, 3))
    demands = Demands(values, mean)
    came = rng.poisson(0.8, (50, 3)) * rng.integers(1, 4, (50, 3)) + 0.0
    least = demands.levels(came)
    for level in np.linspace(0.013, 0.993, 31):
        lower, upper = demands.band(level)
        inside = (lower <= came) & (came <= upper)
        assert inside[least <= level].all() and not inside[least > level + 1e-6].any()
    levels = (np.arange(4000) + 0.5) / 4000
    drawn = np.mean([demands.quantiles(level) for level in levels], axis=0)
    np.testing.assert_allclose(drawn, mean, rtol=0.01)  # the mean of the distribution is the one that it was given


def test_series_are_intermittent_by_the_interval_between_demands():
    often, seldom = np.tile([1.0, 1, 1, 1, 0], 5), np.tile([0.0, 2, 1], 5)
    rows = [often, seldom, -seldom, 0 * often, np.r_[np.zeros(10), np.ones(10)], [0, 0, 5], np.r_[seldom, np.nan]]
    padded = np.full((len(rows), 25), np.nan)
    for row, values in zip(padded, rows, strict=True):
        row[: len(values)] = values
    assert is_intermittent(padded).tolist() == [False, True, False, True, False, False, True]


def test_auto_gives_means_and_bands_that_hold(demand):
    train, came = demand[:, :60], demand[:, 60:]
    model = Auto(1).fit(train)
    said, sparse = model.predict(12, level=[80, 95]), is_intermittent(train)
    assert sparse.mean() > 0.7 and (model.weights[:, sparse] == 0).all()
    np.testing.assert_allclose(model.weights[:, ~sparse].sum(axis=0), 1)
    assert 0.85 < said["Auto"].sum() / came.sum() < 1.15
    for level, off in ((80, 3), (95, 2)):
        inside = (said[f"Auto-lo-{level}"] <= came) & (came <= said[f"Auto-hi-{level}"])
        assert abs(100 * inside[sparse].mean() - level) < off
    scale = np.sqrt((np.diff(train, axis=1) ** 2).mean(axis=1))

    def rmsse(forecast):
        return (np.sqrt(((forecast - came) ** 2).mean(axis=1)) / scale)[sparse].mean()

    assert rmsse(said["Auto"]) < min(rmsse(method().fit(train).predict(12)) for method in METHODS)
    alone = Auto(1).fit(train[~sparse])
    np.testing.assert_array_equal(alone.predict(12), said["Auto"][~sparse])  # the others are forecast as before


def test_demand_that_has_ended_is_forecast_as_none(rng):
    """After many more steps without demand than ever before; a summer's product waits for the next one."""
    sold = rng.poisson(6, size=(4, 90)) + 1.0
    sold[0, 70:] = 0
    sold[1, 82:] = 0
    sold[2, 20:35] = sold[2, 70:] = 0
    sold[3] = np.where(np.arange(90) % 30 < 10, sold[3], 0)
    found = Auto(1).fit(sold).predict(6, level=[80])
    assert (found["Auto"] == 0).all(axis=1).tolist() == [True, False, False, False]
    assert (found["Auto-hi-80"][0] == 0).all()
    gaps = sold[:1].copy()
    gaps[0, 72:89] = np.nan
    assert (Auto(1).fit(gaps).predict(6) > 0).all()  # three zeros are known


def test_what_the_season_explains_is_not_intermittent(rng):
    """Sales of summers alone."""
    wave = np.maximum(np.sin(2 * np.pi * np.arange(72) / 12), 0)
    summers = rng.poisson(rng.uniform(10, 50, (8, 1)) * wave) + 0.0
    model = Auto(12).fit(summers[:, :60])
    assert is_intermittent(summers).all() and model.weights.any(axis=(0, 2)).all()
    assert np.abs(model.predict(12) - summers[:, 60:]).mean() < 0.4 * summers.mean()


def test_blocks_teach_the_bits_of_one(demand):
    def history(rows):
        lengths = np.arange(len(demand))[rows] % 30 + 40
        values = np.where(np.arange(72) < lengths[:, None], demand[rows], np.nan)
        return History(values[:, : lengths.max()], lengths)

    (_, one), (rest, other) = (
        split(Blocks([history(rows) for rows in parts]), 12)
        for parts in ([slice(None)], [slice(0, 3), slice(3, 17), slice(17, None)])
    )
    assert one.keys() == other.keys() and all((one[name] == other[name]).all() for name in one)
    assert sum(len(block.lengths) for block in rest.blocks) == 20


def test_means_and_medians_are_asked_for(demand, tmp_path):
    train = demand[:60, :60]
    mean, median = (Auto(1, point=point).fit(train) for point in ("mean", "median"))
    np.testing.assert_array_equal(median.predict(4), median.predict_quantiles(4, [0.5])[0])
    sparse = is_intermittent(train)
    np.testing.assert_array_equal(mean.predict(4)[sparse], Auto(1).fit(train).predict(4)[sparse])
    assert median.predict(4)[sparse].sum() < 0.6 * mean.predict(4)[sparse].sum()
    median.save(tmp_path / "model.npz")
    again = Auto.load(tmp_path / "model.npz")
    assert again.point == "median" and "point='median'" in repr(again) and "point='median'" in str(again)
    np.testing.assert_array_equal(again.predict(4, level=80)["Auto-hi-80"], median.predict(4, level=80)["Auto-hi-80"])
    with pytest.raises(ValueError, match="expected point to be 'mean', 'median' or None; got 'mode'"):
        Auto(point="mode")
