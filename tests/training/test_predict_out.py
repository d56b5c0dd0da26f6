"""Predictions written to arrays that are there: memory maps, and whatever takes rows."""

import numpy as np
import pytest
from matrix import same_bits

import rnnkit as rk


class Rows:
    """As an array of zarr or HDF5: a shape, a dtype, and rows that can be set."""

    def __init__(self, shape, dtype):
        self.held, self.shape, self.dtype, self.written = np.zeros(shape, dtype), shape, np.dtype(dtype), []

    def __setitem__(self, rows, values):
        self.written.append((rows.start, rows.stop))
        self.held[rows] = values


def network():
    return rk.Sequential([rk.GRU(4, return_sequences=True), rk.Dense(2)], seed=0)


def two_outputs():
    x = rk.Input((None, 3))
    y, h = rk.GRU(4, return_sequences=True, return_state=True, seed=0)(x)
    return rk.Model(x, [rk.Dense(2, seed=1)(y), h])


@pytest.fixture
def x(rng):
    return rng.normal(size=(50, 6, 3)).astype("float32")


def test_T7_from_a_memory_map_to_a_memory_map(x, tmp_path):
    model, files = network(), (tmp_path / "x.npy", tmp_path / "y.npy")
    np.save(files[0], x)
    y = np.lib.format.open_memmap(files[1], "w+", "float32", (50, 6, 2))
    assert model.predict(np.load(files[0], mmap_mode="r"), batch_size=8, out=y) is y
    y.flush()
    same_bits(np.load(files[1]), model(x))


def test_T7_a_batch_at_a_time(x):
    model, y = network(), Rows((50, 6, 2), "float64")
    model.predict(x, batch_size=20, out=y)
    assert y.written == [(0, 20), (20, 40), (40, 50)]
    assert np.array_equal(y.held, model(x))


@pytest.mark.parametrize("given", ["array", "batches"])
def test_T7_several_outputs(x, given):
    model, out = two_outputs(), [np.empty((50, 6, 2), "float32"), np.empty((50, 4), "float32")]
    source = x if given == "array" else iter([x[:30], x[30:]])
    assert model.predict(source, out=out) is out
    same_bits(out, model(x))


def test_T7_steps_and_no_rows(x):
    model, y = network(), np.empty((16, 6, 2), "float32")
    same_bits(model.predict(x, batch_size=8, steps=2, out=y), model(x[:16]))
    same_bits(model.predict(x[:0], out=y[:0]), model(x[:0]))


OUT = {
    "rows": (lambda: np.empty((49, 6, 2), "float32"), ValueError, "50 rows, got the shape"),
    "features": (lambda: np.empty((50, 6, 3), "float32"), ValueError, r"shape \(rows, 6, 2\)"),
    "dtype": (lambda: np.empty((50, 6, 2), "int32"), TypeError, "float32, got int32"),
    "kind": (lambda: "y.npy", TypeError, "array to write to, got str"),
    "count": (lambda: [np.empty((50, 6, 2), "float32")] * 2, ValueError, "1 arrays, as a call returns, got 2"),
    "read only": (lambda: np.broadcast_to(np.float32(0), (50, 6, 2)), ValueError, "read-only"),
}


@pytest.mark.parametrize("name", OUT)
def test_what_the_outputs_do_not_fit_is_refused(x, name):
    make, error, told = OUT[name]
    with pytest.raises(error, match=told):
        network().predict(x, out=make())


def test_batches_that_do_not_fill_it_are_refused(x):
    for batches in ([x[:30]], [x, x[:1]]):
        with pytest.raises(ValueError, match="expected out"):
            network().predict(iter(batches), out=np.empty((50, 6, 2), "float32"))
