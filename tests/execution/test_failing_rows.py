"""Steps that can't go on with a row: the error says which, when and where, and nothing else has happened."""

import numpy as np
import pytest
from matrix import flat, same_bits

import rnnkit as rk

T = 7
GOOD = (2.0, 0.5, 3.0)


@rk.cell(states={"h": (), "v": 12}, per_row=True)
def in_memory(x, states):
    v = states.v.copy()
    v[int(x[0])] = x[1]
    return v[int(x[2])] + states.h, (states.h + 1.0, v)


@rk.cell(states={"h": ()}, per_row=True)
def in_registers(x, states):
    a = np.zeros(4)
    a[int(x[0])] = 1.0
    return a[2], (states.h + a[1] + x[1],)


@rk.cell(states={"h": ()}, per_row=True)
def asserting(x, states):
    assert x[0] < 5, "x is too large"
    return x[0] + states.h, (states.h + x[1],)


@rk.cell(states={"h": ()}, per_row=True, loop_limit=50)
def endless(x, states):
    n = x[0]
    while n > 0:
        n -= x[1]
    return n, (states.h + x[1],)


@rk.cell(states={"h": ()}, per_row=True)
def in_a_branch_of_a_loop(x, states):
    h = states.h
    table = np.arange(10.0)
    for i in range(int(x[2])):
        if x[0] < 3:
            h += table[int(x[0]) + 3 * i]
    return h, (h,)


CASES = {
    "behind the end": (in_memory, (12, 0.5, 3), r"an index is out of range .*\(12,\).*v\[int\(x\[0\]\)\]"),
    "before the beginning": (in_memory, (2, 0.5, -13), r"an index is out of range .*v\[int\(x\[2\]\)\]"),
    "no integer": (in_memory, (np.nan, 0.5, 3), r"int\(\) of what is no number"),
    "a few": (in_registers, (4, 0, 0), r"an index is out of range .*\(4,\)"),
    "an assertion": (asserting, (5, 0, 0), "x is too large"),
    "without end": (endless, (2, -0.5, 3), "a loop of more than 50 rounds.*while n > 0"),
    "in a branch": (in_a_branch_of_a_loop, (1, 0, 4), "an index is out of range"),
}


@pytest.mark.parametrize("rows", [1, 5, 40])
@pytest.mark.parametrize("name", CASES)
def test_C16_a_row_that_fails_is_named_and_nothing_is_half_done(name, rows, threads):
    cell, wrong, words = CASES[name]
    dtype = "float32" if rows == 5 else "float64"
    good = np.tile(np.array(GOOD, dtype), (rows, T, 1))
    bad, row, late = good.copy(), rows - 1, min(1, rows - 1)
    bad[row, 4] = wrong
    bad[late, 5] = wrong
    layer = rk.RNN(cell(), return_sequences=True, return_state=True, stateful=True, dtype=dtype)
    again = rk.RNN(cell(), return_sequences=True, return_state=True, stateful=True, dtype=dtype)
    same_bits(flat(list(layer(good))), flat(list(again(good))))
    error = f"row {row} fails at step 4: .*{words}"
    for number in (1, 3):
        threads(number)
        for call in (layer, layer.vjp, layer.trajectory):
            with pytest.raises(IndexError, match=error):
                call(bad)
    same_bits(flat(list(layer(good))), flat(list(again(good))))  # its states stayed as they were
    mask = np.ones((rows, T), bool)
    mask[row, 4] = mask[late, 5] = False
    same_bits(flat(list(layer(bad, mask=mask))), flat(list(again(good, mask=mask))))  # no step, no failure

    backwards = rk.RNN(cell(), go_backwards=True, dtype=dtype)
    with pytest.raises(IndexError, match=f"row {late} fails at step 5: .*{words}"):
        backwards(bad)


@pytest.mark.parametrize("name", CASES)
def test_D8_a_stream_stays_as_it_was_where_a_row_fails(name):
    cell, wrong, words = CASES[name]
    layer = rk.RNN(cell(), return_sequences=True, return_state=True, dtype="float64")
    good = np.tile(np.array(GOOD), (3, T, 1))
    whole = flat(list(layer(good)))
    stream = layer.stream(3)
    for t in range(T):
        with pytest.raises(IndexError, match=f"row 1 .*{words}"):
            stream.step(np.stack([good[0, t], wrong, good[2, t]]))
        output, *states = flat(list(stream.step(good[:, t])))
        same_bits(output, whole[0][:, t])
    same_bits(states, whole[1:])


def test_C16_a_branch_that_is_not_taken_fails_in_no_row():
    x = np.tile([[[1.0, 0, 2], [3.0, 0, 40], [99.0, 0, 5]]], (6, 1, 1))
    layer = rk.RNN(in_a_branch_of_a_loop(), return_sequences=True, dtype="float64")
    assert layer(x).tolist() == [[5.0, 5.0, 5.0]] * 6
