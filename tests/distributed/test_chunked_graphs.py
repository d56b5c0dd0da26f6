"""What a lazy call puts into a graph, what it leaves alone, and what it refuses."""

import pickle

import numpy as np
import pytest
from chunked_runs import chunked, da
from matrix import same_bits

import rnnkit as rk
from rnnkit.distributed.shipping import ShippedLayer


def untouchable(shape=(6, 20, 3), chunks=(2, 5, 3)):
    """An array that says so if a chunk is computed."""

    def fail(block):
        raise AssertionError("computed")

    return da.ones(shape, chunks=chunks).map_blocks(fail, meta=np.empty((0, 0, 0)))


def test_nothing_is_computed_before_it_is_wanted():
    model = rk.Sequential(
        [rk.Masking(), rk.Bidirectional(rk.LSTM(4, return_sequences=True)), rk.Flatten(), rk.Dense(2)], seed=0
    )
    y = model(untouchable())
    assert isinstance(y, da.Array) and y.shape == (6, 2) and y.dtype == "float64"
    assert type(y._meta) is np.ndarray and y._meta.dtype == y.dtype and y._meta.ndim == 2
    with pytest.raises(AssertionError, match="computed"):
        y.compute(scheduler="sync")


def test_names_are_the_same_for_the_same_call():
    x = da.ones((4, 10, 3), chunks=(2, 5, 3))
    layer = rk.GRU(4, seed=0, return_sequences=True)
    first = layer(x)
    assert layer(x).name == first.name
    layer(np.ones((4, 10, 3)))
    assert layer(x).name == first.name
    assert rk.GRU(4, seed=0, return_sequences=True)(x).name == first.name
    assert rk.GRU(4, seed=1, return_sequences=True)(x).name != first.name
    assert layer(x + 1).name != first.name
    assert layer(x, mask=np.ones((4, 10))).name != first.name


def test_weights_that_change_later_change_no_graph():
    x = np.random.default_rng(0).normal(size=(4, 10, 3))
    layer = rk.GRU(4, seed=0)
    y, expected = layer(da.from_array(x, chunks=(2, 5, 3))), layer(x)
    layer.set_weights([w + 1 for w in layer.get_weights()])
    same_bits(y.compute(scheduler="sync"), expected)
    assert not np.array_equal(layer(x), expected)


def test_a_layer_is_in_a_graph_once():
    """However many chunks there are, its bytes are there under one key."""
    layer = rk.LSTM(64, seed=0, return_sequences=True)
    sizes = {}
    for count in (2, 20):
        y = layer(da.ones((count, 100, 8), chunks=(1, 10, 8), dtype="float32"))
        graph = dict(y.__dask_graph__())
        held = [value for value in graph.values() if isinstance(getattr(value, "value", value), ShippedLayer)]
        assert len(held) == 1
        own = [value for key, value in graph.items() if str(key).lstrip("('").startswith("lstm")]
        sizes[count] = sum(len(pickle.dumps(value)) for value in own), len(own)
    weights = sum(w.nbytes for w in layer.get_weights())
    chunks = 180  # more in the second graph
    assert sizes[2][0] < weights + 25_000
    assert (sizes[20][0] - sizes[2][0]) / chunks < 1_000
    assert sizes[20][1] - sizes[2][1] <= 3 * chunks


def test_a_chunk_of_the_result_takes_what_it_depends_on_and_no_more():
    layer, seen = rk.GRU(3, seed=0, return_sequences=True, dtype="float64"), []

    def note(block, block_info=None):
        seen.append(block_info[0]["chunk-location"][:2])
        return block

    x = da.ones((4, 20, 2), chunks=(2, 5, 2)).map_blocks(note, meta=np.empty((0, 0, 0)))
    layer(x)[2:, :10].compute(scheduler="sync")
    assert sorted(seen) == [(1, 0), (1, 1)]


def built():
    layer = rk.GRU(2)
    layer.build((None, None, 3))
    return layer


REFUSED = {
    "stateful": (lambda x: rk.GRU(2, stateful=True)(x), ValueError, "return_state=True"),
    "training": (lambda x: rk.GRU(2)(x, training=True), ValueError, "training=False"),
    "vjp": (lambda x: rk.GRU(2).vjp(x), ValueError, "got a dask array"),
    "unknown chunks": (lambda x: rk.GRU(2)(x[x[:, 0, 0] > 0]), ValueError, r"x\.compute_chunk_sizes\(\)"),
    "complex": (lambda x: rk.GRU(2)(x.astype(complex)), TypeError, "real numbers"),
    "float16": (lambda x: rk.GRU(2)(x.astype("float16")), TypeError, "float16"),
    "float16 of a built layer": (lambda x: built()(x.astype("float16")), TypeError, "float16"),
    "rank": (lambda x: rk.GRU(2)(x[0]), ValueError, r"expected x of shape \(batch, time, features\)"),
    "mask": (lambda x: rk.GRU(2)(x, mask=da.ones((3, 20))), ValueError, r"mask of shape \(6, 20\)"),
    "state": (lambda x: rk.GRU(2)(x, initial_state=[da.zeros((6, 3))]), ValueError, r"\(6, 2\), got \(6, 3\)"),
    "states": (lambda x: rk.LSTM(2)(x, initial_state=[da.zeros((6, 2))]), ValueError, "2 entries"),
    "constants": (lambda x: rk.GRU(2)(x, constants=[x]), ValueError, "no constants"),
    "keyword": (lambda x: rk.GRU(2)(x, masc=1), TypeError, "masc"),
    "out": (lambda x: rk.Sequential([rk.GRU(2)]).predict(x, out=x), ValueError, "to_zarr"),
    "steps": (lambda x: rk.Sequential([rk.GRU(2)]).predict(x, steps=1), ValueError, "slice it"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_E_what_chunks_cannot_have_is_refused_before_anything_is_computed(name):
    call, error, told = REFUSED[name]
    with pytest.raises(error, match=told):
        call(untouchable())


def test_E14_a_refused_call_leaves_the_layer_unbuilt():
    layer = rk.GRU(2)
    with pytest.raises(ValueError):
        layer(untouchable(), mask=da.ones((3, 20)))
    assert not layer.built and layer.dtype is None
    built = rk.GRU(2)
    built.build((None, None, 5))
    with pytest.raises(ValueError, match=r"\(batch, time, 5\), got \(6, 20, 3\)"):
        built(untouchable())


def test_an_error_in_a_task_names_the_layer_and_the_rows():
    layer = rk.Embedding(3, 2, name="words")
    ids = np.zeros((4, 6), int)
    ids[2, 5] = 9
    y = layer(da.from_array(ids, chunks=(2, 3)))
    with pytest.raises(ValueError, match="layer 'words', rows 2 to 3, steps 3 to 5: expected ids from 0 to 2, got 9"):
        y.compute(scheduler="sync")


def test_importing_rnnkit_imports_no_dask():
    import sys

    import processes

    code = "import sys, rnnkit as rk, numpy as np; rk.GRU(2)([np.ones((2, 3, 1))][0]); print('dask' in sys.modules)"
    assert processes.run([sys.executable, "-c", code], check=True).stdout == "False\n"


def test_other_modules_arrays_find_no_handler():
    x = chunked(np.ones((2, 3, 1)), np.random.default_rng(0))
    from rnnkit.layers.support.array_kinds import handler_of

    assert handler_of([np.ones(2), [None, "text", {"a": (1, x)}]]) is None  # a list of numbers ends the search
    assert handler_of([np.ones(2), [None, "text", {"a": (x,)}]]).__name__ == "rnnkit.distributed.calls"
    assert handler_of(np.ma.ones(3)) is None
