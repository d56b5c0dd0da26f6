"""A readout that is fitted chunk by chunk."""

import doctest

import numpy as np
import pytest
from chunked_runs import chunked, da, dask, same_as_whole
from matrix import same_bits

import rnnkit as rk
from rnnkit.distributed import fit_readout


def problem(rng, batch=5, time=40, features=7, outputs=2):
    f = rng.normal(size=(batch, time, features))
    y = f @ rng.normal(size=(features, outputs)) + 0.3 + 0.1 * rng.normal(size=(batch, time, outputs))
    return f, y


def solved(f, y, used, ridge):
    """The normal equations, written out."""
    rows = np.column_stack([np.ones(used.sum()), f[used]])
    penalty = ridge * np.eye(rows.shape[1])
    penalty[0, 0] = 0
    w = np.linalg.solve(rows.T @ rows + penalty, rows.T @ y[used])
    return w[1:], w[0]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("washout", [0, 9])
def test_it_solves_the_normal_equations(seed, washout):
    rng = np.random.default_rng(seed)
    f, y = problem(rng)
    mask = rng.random(f.shape[:2]) < 0.7 if seed % 2 else None
    y[1, 20], y[3, 2:5, 0] = np.nan, np.nan
    used = ~np.isnan(y).any(axis=2)
    used[:, :washout] = False
    used &= True if mask is None else mask
    targets = chunked(y, rng) if seed < 2 else y
    layer = fit_readout(chunked(f, rng), targets, ridge=0.1 * seed, washout=washout, mask=mask)
    for got, expected in zip(layer.get_weights(), solved(f, y, used, 0.1 * seed), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)


def test_the_bits_depend_on_the_chunks_alone(threads):
    rng = np.random.default_rng(0)
    f, y = problem(rng, 6, 300, 33)
    lazy = da.from_array(f, chunks=(2, 25, 33)), da.from_array(y, chunks=(3, 100, 2))
    found = []
    for scheduler, workers, count in (("sync", 1, 1), ("threads", 2, 3), ("threads", 7, 2)):
        threads(count)
        with dask.config.set(scheduler=scheduler, num_workers=workers):
            found.append(fit_readout(*lazy).get_weights())
    same_bits(found[1], found[0])
    same_bits(found[2], found[0])


def test_it_passes_over_the_data_once():
    seen = []

    def note(block, block_info=None):
        seen.append(block_info[0]["chunk-location"][:2])
        return block

    f, y = problem(np.random.default_rng(0))
    lazy = da.from_array(f, chunks=(1, 10, 7)).map_blocks(note, meta=np.empty((0, 0, 0)))
    fit_readout(lazy, y)
    assert sorted(seen) == [(i, j) for i in range(5) for j in range(4)]


def test_the_layer_is_one_for_models_and_chunks():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 60, 2)).astype("float32")
    reservoir = rk.RNN(rk.ESNCell(20, seed=0), return_sequences=True)
    layer = fit_readout(reservoir(chunked(x, rng)), x[:, :, :1], washout=5, name="readout")
    assert layer.name == "readout" and layer.dtype == "float32"
    model = rk.Sequential([reservoir, layer])
    same_as_whole(model.predict(chunked(x, rng)), model.predict(x))


def test_what_does_not_fit_together_is_refused():
    f, y = problem(np.random.default_rng(0))
    lazy = da.from_array(f, chunks=(2, 10, 7))
    for call, error, told in (
        (lambda: fit_readout(f, y), TypeError, "from_array"),
        (lambda: fit_readout(lazy, y[:, :3]), ValueError, "targets of shape"),
        (lambda: fit_readout(lazy, y[:, :, 0]), ValueError, "batch, time"),
        (lambda: fit_readout(lazy, y, ridge=-1), ValueError, "ridge"),
        (lambda: fit_readout(lazy, y, washout=40), ValueError, "washout of 40 steps, got none"),
        (lambda: fit_readout(lazy, y, mask=np.ones((5, 3))), ValueError, "mask of shape"),
    ):
        with pytest.raises(error, match=told):
            call()


def test_its_example():
    from rnnkit.distributed import readout

    assert doctest.testmod(readout).failed == 0
