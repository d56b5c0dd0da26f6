"""Layers that one task computes: the bits of the whole, one task for each chunk, and those that stay apart."""

import collections

import numpy as np
import pytest
from chunked_runs import SCHEDULERS, chunked, da, dask, same_as_whole
from matrix import MASKS, make_mask

import rnnkit as rk
from rnnkit.distributed import recurrent

LAYERS = {
    "LSTM": lambda n, last: rk.LSTM(3, return_sequences=not last, seed=n),
    "GRU": lambda n, last: rk.GRU(3, return_sequences=not last, seed=n),
    "zeros": lambda n, last: rk.GRU(3, return_sequences=not last, zero_output_for_mask=True, seed=n),
    "stack": lambda n, last: rk.RNN([rk.LSTMCell(3), rk.GRUCell(2)], return_sequences=not last, seed=n),
    "backwards": lambda n, last: rk.LSTM(3, return_sequences=not last, go_backwards=True, seed=n),
    "both": lambda n, last: rk.Bidirectional(rk.GRU(2, return_sequences=not last, seed=n)),
    "Masking": lambda n, last: rk.Masking(),
    "Dense": lambda n, last: rk.Dense(3, seed=n),
    "softmax": lambda n, last: rk.Dense(3, activation="softmax", seed=n),
    "Dropout": lambda n, last: rk.Dropout(0.5),
    "each": lambda n, last: rk.TimeDistributed(rk.Dense(2, seed=n)),
}


def check(seed):
    """A model of random layers on random chunks."""
    rng = np.random.default_rng(seed)
    names = rng.choice(list(LAYERS), rng.integers(2, 6))
    ends = bool(rng.integers(2))
    model = rk.Sequential([LAYERS[n](i, ends and i == len(names) - 1) for i, n in enumerate(names)])
    batch, time = int(rng.integers(1, 7)), int(rng.integers(1, 14))
    x = rng.normal(size=(batch, time, 3)).astype(rng.choice(["float32", "float64"]))
    x[rng.random((batch, time)) < 0.3] = 0
    mask = make_mask(rng.choice(MASKS), batch, time, rng)
    expected, lazy = model(x, mask=mask), chunked(x, rng)
    some = mask if mask is None or rng.random() < 0.5 else chunked(mask, rng)
    same_as_whole(model(lazy, mask=some), expected, SCHEDULERS[seed % 2])
    behind = model.compute_mask(x, mask)
    found = model.compute_mask(lazy, some)
    assert (behind is None) == (found is None)
    if behind is not None:
        np.testing.assert_array_equal(np.asarray(dask.compute(found, scheduler="sync")[0]), behind)


@pytest.mark.parametrize("seed", range(12))
def test_L8_models_of_random_layers_have_the_bits_of_the_whole(seed):
    check(seed)


@pytest.mark.sweep
@pytest.mark.parametrize("seed", range(12, 212))
def test_L8_many_models_of_random_layers_have_the_bits_of_the_whole(seed):
    check(seed)


def tasks_of_a_chunk(model) -> float:
    """How many tasks a computation has for each chunk of its input, which is one of them."""
    x = da.ones((8, 40, 3), chunks=(2, 4, 3), dtype="float32")
    (y,) = dask.optimize(model(x))
    runs = [task for task in dict(y.__dask_graph__()).values() if type(task).__name__ == "Task"]
    return len(runs) / x.npartitions


@pytest.mark.parametrize(
    "names", [["LSTM"], ["LSTM", "GRU", "Dense"], ["Masking", "LSTM", "Dropout", "softmax", "GRU"]]
)
def test_a_chunk_is_three_tasks_however_many_layers_there_are(names):
    model = rk.Sequential([rk.Input((None, 3)), *(LAYERS[name](i, False) for i, name in enumerate(names))])
    assert tasks_of_a_chunk(model) <= 3
    assert tasks_of_a_chunk(rk.Model(model.inputs, model.outputs[0])) <= 3
    branches = rk.Model(model.inputs, [model.outputs[0], rk.Dense(2)(model.layers[0].output)])
    same_as_whole(branches(da.ones((4, 8, 3), chunks=(2, 4, 3))), branches(np.ones((4, 8, 3))), SCHEDULERS[0])


def test_a_chunk_is_two_tasks_where_only_the_last_output_is_wanted():
    model = rk.Sequential([rk.LSTM(3, return_sequences=True), rk.GRU(2), rk.Dense(1)])
    assert tasks_of_a_chunk(model) <= 2.3  # and two for each block of rows


def names_of(layers, shape=(None, None, 3)):
    model = rk.Sequential(layers)
    model.build(shape)
    return [type(one).__name__ for one in recurrent.beginning(model.layers, da.ones((2, 4, *shape[2:])))]


def test_which_layers_begin_a_segment():
    lstm = lambda **options: rk.LSTM(3, return_sequences=True, **options)
    assert names_of([rk.Masking(), lstm(), rk.Dense(2)]) == ["Masking", "LSTM", "Dense"]
    assert names_of([rk.Dense(2), lstm()]) == []  # for all chunks of time at once
    assert names_of([rk.Masking(), rk.Dense(2)]) == []
    assert names_of([lstm(), rk.LSTM(2), rk.Dense(2)]) == ["LSTM", "LSTM"]
    assert names_of([lstm(), rk.Bidirectional(lstm())]) == ["LSTM"]
    assert names_of([lstm(), lstm(go_backwards=True)]) == ["LSTM"]
    assert names_of([lstm(), rk.Conv1D(2, 3, padding="same")]) == ["LSTM"]
    assert names_of([lstm(), rk.Flatten()], (None, 4, 3)) == ["LSTM"]


def test_an_error_names_the_layer_inside():
    def refuse(*arguments):
        raise ValueError("no")

    model = rk.Sequential([rk.GRU(2, return_sequences=True), rk.Dense(1)])
    model.build((None, None, 3))
    model.layers[1]._with_mask = refuse
    y = model(da.ones((4, 6, 3), chunks=(4, 3, 3)))
    with pytest.raises(ValueError, match="layer 'dense.*', rows 0 to 3, steps 0 to 2: no"):
        y.compute(scheduler="sync")


def test_the_layers_of_a_segment_are_in_a_graph_once():
    model = rk.Sequential([rk.LSTM(3, return_sequences=True), rk.Dense(1)])
    keys = collections.Counter(str(key) for key in model(da.ones((8, 20, 3), chunks=(2, 5, 3))).__dask_graph__())
    assert sum("-layer-" in key for key in keys) == 1
