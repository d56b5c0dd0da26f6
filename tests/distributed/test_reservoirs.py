"""Echo state networks fitted to series in chunks."""

import itertools

import numpy as np
import pytest
from chunked_runs import cuts, da, dask

from rnnkit.distributed.stretches import ExactEquations, Stretch, scale_of
from rnnkit.forecast import ESN
from rnnkit.forecast.fitting.readout import NormalEquations, quarters
from rnnkit.forecast.fitting.scale import Scale
from rnnkit.forecast.fitting.season import refined_period, turnings


def walks(rng, rows, steps, gaps=0.0):
    y = np.sin(np.arange(steps) * 2 * np.pi / 12.1) + 0.01 * np.arange(steps) + 0.1 * rng.normal(size=(rows, steps))
    y[rng.random(y.shape) < gaps] = np.nan
    return y


def network(**options):
    return ESN(**{"horizon": 5, "units": 30, "seed": 1} | options)


def in_chunks(y, rng):
    return da.from_array(y, chunks=tuple(cuts(size, rng) for size in y.shape))


def alike(chunked, whole):
    """Two fits that differ by rounding alone."""
    assert (chunked.strength, chunked.seasonal, chunked.note) == (whole.strength, whole.seasonal, whole.note)
    assert chunked._panel["period"] == whole._panel["period"]
    np.testing.assert_allclose(chunked.predict(9), whole.predict(9), rtol=1e-8, atol=1e-8)


@pytest.fixture(autouse=True)
def scheduler():
    with dask.config.set(scheduler="sync"):
        yield


@pytest.mark.parametrize("options", [{}, {"season": 12}, {"washout": 30}])
def test_a_fit_in_chunks_is_the_fit_of_the_whole_but_for_rounding(options):
    rng = np.random.default_rng(len(options))
    for rows, gaps in ((3, 0.0), (4, 0.2)):
        y = walks(rng, rows, 260, gaps)
        y[1, -7:] = np.nan
        y[2, :60] = np.nan
        alike(network(**options).fit(in_chunks(y, rng)), network(**options).fit(y))


def test_a_single_series():
    y = walks(np.random.default_rng(0), 1, 300)[0]
    found = network().fit(da.from_array(y, chunks=70))
    assert found.predict().shape == (5,)
    alike(found, network().fit(y))


def test_chunks_without_a_value_hold_the_state():
    y = walks(np.random.default_rng(0), 3, 240)
    y[0, 130:], y[1, 60:160] = np.nan, np.nan
    found, whole = network().fit(da.from_array(y, chunks=(3, 40))), network().fit(y)
    assert (found._history.lengths - 1 - found._ends[1].times).tolist() == [110, 0, 0]
    assert found._ends[1].times.tolist() == whole._ends[1].times.tolist()
    alike(found, whole)


def test_a_period_between_whole_steps_is_found_across_chunks():
    t = np.arange(600)
    y = np.sin(2 * np.pi * t / 12.43) + 0.05 * np.random.default_rng(0).normal(size=(2, 600))
    found, whole = network(season=12).fit(da.from_array(y, chunks=(1, 37))), network(season=12).fit(y)
    assert found._panel["period"] == whole._panel["period"] and 12.4 < found._panel["period"] < 12.46


@pytest.mark.sweep
@pytest.mark.parametrize("seed", range(40))
def test_a_fit_in_chunks_is_the_fit_of_the_whole_however_cut(seed):
    rng = np.random.default_rng(seed)
    y = walks(rng, int(rng.integers(1, 9)), int(rng.integers(60, 600)), float(rng.choice([0, 0.1, 0.5])))
    options = {"season": [None, 12][seed % 2], "horizon": int(rng.integers(1, 20))}
    alike(network(**options).fit(in_chunks(y, rng)), network(**options).fit(y))


def test_L8_the_bits_depend_on_the_chunks_alone(threads):
    lazy = da.from_array(walks(np.random.default_rng(0), 5, 200, 0.1), chunks=(2, 30))
    found = []
    for scheduler, workers, count in (("sync", 1, 1), ("threads", 2, 3), ("threads", 5, 2)):
        threads(count)
        with dask.config.set(scheduler=scheduler, num_workers=workers):
            found.append(network(season=12).fit(lazy))
    for other in found[1:]:
        assert np.array_equal(other.readout, found[0].readout)
        assert np.array_equal(other.predict(8), found[0].predict(8))


@pytest.mark.parametrize(("season", "passes"), [(None, 2), (12, 3)])
def test_values_are_read_for_scales_for_a_season_and_by_the_reservoir(season, passes):
    seen = []

    def note(block, block_info=None):
        seen.append(block_info[0]["chunk-location"])
        return block

    lazy = da.from_array(walks(np.random.default_rng(0), 2, 120), chunks=(1, 30)).map_blocks(
        note, meta=np.empty((0, 0))
    )
    network(season=season).fit(lazy)
    assert sorted(seen) == sorted([(i, j) for i in range(2) for j in range(4)] * passes)


def test_it_is_saved_and_goes_on_like_another(tmp_path):
    y = walks(np.random.default_rng(0), 2, 200)
    fitted = network().fit(da.from_array(y, chunks=(1, 50)))
    fitted.save(tmp_path / "network.npz")
    assert np.array_equal(ESN.load(tmp_path / "network.npz").predict(), fitted.predict())
    assert np.array_equal(fitted.forecast(y), fitted.predict())


def test_what_is_no_series_in_chunks_is_refused():
    y = walks(np.random.default_rng(0), 3, 90)
    lazy = da.from_array(y, chunks=(2, 40))
    infinite, empty = y.copy(), y.copy()
    infinite[2, 50], empty[1] = np.inf, np.nan
    for call, error, told in (
        (lambda: network().fit(lazy, y), TypeError, "no x with series in chunks"),
        (lambda: network().fit(lazy[None]), ValueError, "shape"),
        (lambda: network().fit(da.from_array(infinite, chunks=(2, 40))), ValueError, "infinite value in row 2"),
        (lambda: network().fit(da.from_array(empty, chunks=(2, 40))), ValueError, "without any, in row 1"),
        (lambda: network(washout=88).fit(lazy), ValueError, "washout of 88 steps"),
        (lambda: network(washout=0, horizon=90).fit(lazy), ValueError, "90 leads; got 90 steps"),
        (lambda: network().fit(lazy[:, lazy[0] > 0]), ValueError, "chunks of known size"),
    ):
        with pytest.raises(error, match=told):
            call()


def test_scales_of_stretches_are_those_of_the_whole():
    rng = np.random.default_rng(0)
    values = 1e6 + 3 * np.arange(90) + rng.normal(size=(6, 90))
    values[1], values[2, :40], values[3, 3:] = 5 - 2 * np.arange(90), np.nan, np.nan
    values[4, rng.random(90) < 0.5] = np.nan
    values[5] = 7
    ends = (0, 13, 50, 51, 90)
    parts = [Stretch.of(values[:, a:b], a) for a, b in itertools.pairwise(ends)]
    found, whole = scale_of(parts), Scale.of(values)
    assert found.spread[[1, 5]].tolist() == whole.spread[[1, 5]].tolist() == [1.0, 1.0]
    for name, one in found.arrays().items():
        np.testing.assert_allclose(one, whole.arrays()[name], rtol=1e-9, atol=1e-9)


def test_seasons_of_stretches_add_up():
    values = walks(np.random.default_rng(0), 2, 77, 0.1)
    whole, parts = turnings(values, 12), np.zeros((2, 2, 7), complex)
    for start, stop in ((0, 5), (5, 6), (6, 40), (40, 77)):
        one = turnings(values[:, start:stop], 12, start)
        parts[:, :, start // 12 : start // 12 + one.shape[2]] += one
    np.testing.assert_allclose(parts, whole, atol=1e-12)
    assert refined_period(values, 40) == 40.0


def test_exact_equations_are_the_usual_ones_but_for_rounding():
    rng = np.random.default_rng(0)
    f, y = np.column_stack([np.ones(50), rng.normal(size=(50, 6))]), rng.normal(size=(50, 3))
    y[3, 1], y[7] = np.nan, np.nan
    for rows in (slice(0, 50), slice(10, 50), slice(7, 8)):
        exact, usual = ExactEquations(7, 3), NormalEquations(7, 3)
        for one in (exact, usual):
            one.add(f[rows][:20], y[rows][:20])
            one.add(f[rows][20:], y[rows][20:])
        np.testing.assert_allclose((exact + exact).solve(0.1), (usual + usual).solve(0.1), rtol=1e-9)
        np.testing.assert_allclose(exact.error(np.ones((7, 3))), usual.error(np.ones((7, 3))), rtol=1e-9)


def test_quarters_are_of_like_sizes():
    rows, known = np.ones((1, 41), bool), np.ones((1, 42), bool)
    assert np.bincount(quarters(rows, known, 2)[0]).tolist() == [11, 10, 10, 10]
