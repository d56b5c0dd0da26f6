"""Recurrent layers on dask arrays: the bits of one call on the whole array, whatever the chunks and the scheduler."""

import numpy as np
import pytest
from cells_under_test import CELLS
from chunked_runs import SCHEDULERS, chunked, leaves, same_as_whole
from matrix import MASKS, inputs, label, layer_of, like, make_mask, pairwise, random_states

import rnnkit as rk

FACTORS = {
    "cell": tuple(c.name for c in CELLS),
    "mask": MASKS,
    "backwards": (False, True),
    "zero": (False, True),
    "dtype": ("float32", "float64"),
    "sequences": (True, False),
    "states": ("own", "array", "dask"),
    "method": ("call", "trajectory"),
    "mask_kind": ("array", "dask"),
    "scheduler": SCHEDULERS,
}
ROWS = pairwise(FACTORS)


def check(row, number):
    rng = np.random.default_rng(number)
    batch, time = int(rng.integers(1, 8)), int(rng.integers(1, 14))
    options = {"go_backwards": row["backwards"], "zero_output_for_mask": row["zero"]}
    layer = layer_of(row["cell"], dtype=row["dtype"], return_sequences=row["sequences"], **options)
    x, constants = inputs(row["cell"], batch, time, dtype=row["dtype"], seed=number)
    mask = make_mask(row["mask"], batch, time, rng)
    states = None if row["states"] == "own" else random_states(layer, batch, row["dtype"])
    call = layer if row["method"] == "call" else layer.trajectory
    expected = call(x, initial_state=states, mask=mask, constants=constants)
    if states is not None and row["states"] == "dask":
        states = like(states, [chunked(one, rng, 1) for one in leaves(states)])
    if mask is not None and row["mask_kind"] == "dask":
        mask = chunked(mask, rng)
    if constants is not None:
        constants = [chunked(one, rng, 1) for one in constants]
    got = call(chunked(x, rng), initial_state=states, mask=mask, constants=constants)
    same_as_whole(got, expected, row["scheduler"])


@pytest.mark.parametrize("number", range(0, len(ROWS), 8), ids=lambda n: label(ROWS[n]))
def test_L8_chunks_give_the_bits_of_the_whole(number):
    check(ROWS[number], number)


@pytest.mark.sweep
@pytest.mark.parametrize("number", range(len(ROWS)), ids=lambda n: label(ROWS[n]))
def test_L8_chunks_give_the_bits_of_the_whole_in_every_combination(number):
    check(ROWS[number], number)


@pytest.mark.sweep
@pytest.mark.parametrize("seed", range(200))
def test_L8_random_calls_give_the_bits_of_the_whole(seed):
    rng = np.random.default_rng(seed)
    check({name: values[rng.integers(len(values))] for name, values in FACTORS.items()}, 1000 + seed)


BIDIRECTIONAL = pairwise(
    {
        "merge": ("concat", "sum", "mul", "ave", None),
        "mask": MASKS,
        "backwards": (False, True),
        "sequences": (True, False),
        "method": ("call", "trajectory"),
        "states": (False, True),
        "return_state": (False, True),
        "scheduler": SCHEDULERS,
    }
)


@pytest.mark.parametrize("number", range(len(BIDIRECTIONAL)))
def test_D6_both_directions_are_merged_as_on_the_whole(number):
    row, rng = BIDIRECTIONAL[number], np.random.default_rng(number)
    options = {"return_sequences": row["sequences"], "return_state": row["return_state"]}
    inner = rk.LSTM(4, go_backwards=row["backwards"], dtype="float64", seed=2, **options)
    layer = rk.Bidirectional(inner, merge_mode=row["merge"])
    x = rng.normal(size=(5, 11, 3))
    layer.build((None, None, 3))
    mask = make_mask(row["mask"], 5, 11, rng)
    states = [rng.normal(size=(5, 4)) for _ in range(4)] if row["states"] else None
    call = layer if row["method"] == "call" else layer.trajectory
    expected = call(x, initial_state=states, mask=mask)
    same_as_whole(call(chunked(x, rng), initial_state=states, mask=mask), expected, row["scheduler"])


@pytest.mark.parametrize("shape", [(0, 5, 3), (4, 0, 3), (0, 0, 3), (4, 1, 3)])
@pytest.mark.parametrize("masked", [False, True])
def test_S5_empty_arrays(shape, masked):
    layer = rk.LSTM(2, return_sequences=True, return_state=True, seed=0, dtype="float32")
    x, mask = np.ones(shape, "float32"), np.zeros(shape[:2], bool) if masked else None
    same_as_whole(layer(chunked(x, np.random.default_rng(0)), mask=mask), layer(x, mask=mask))


def test_C4_initial_states_of_a_cell_are_those_of_the_whole_batch():
    @rk.cell(states={"h": "units"}, initial={"h": lambda batch_size: np.arange(2.0 * batch_size).reshape(-1, 2)})
    def counting(x, states, weights, *, units=2):
        h = states[0] + x[:, :1]
        return h, (h,)

    layer, rng = rk.RNN(counting(units=2), return_sequences=True, dtype="float64"), np.random.default_rng(1)
    x = rng.normal(size=(6, 4, 3))
    same_as_whole(layer(chunked(x, rng)), layer(x))


def test_a_mask_or_a_state_in_chunks_makes_a_lazy_call_of_a_whole_array():
    rng = np.random.default_rng(0)
    layer, x, mask = rk.GRU(3, seed=0), rng.normal(size=(6, 9, 2)), rng.random((6, 9)) < 0.5
    same_as_whole(layer(x, mask=chunked(mask, rng)), layer(x, mask=mask))
    h = rng.normal(size=(6, 3))
    same_as_whole(layer(x, initial_state=chunked(h, rng, 1)), layer(x, initial_state=h))
