"""States that start as integers, in steps that need integers: for an index, a range or bits."""

import numpy as np
import pytest
from matrix import same_bits

import rnnkit as rk

T = 60


@rk.loop
def seasonal(x, k=0, level=0, *, weights=np.ones(5)):
    """A place in a cycle; a level that starts as an integer, and becomes a float."""
    level = 0.9 * level + weights[k % 5] * x
    return level + weights[k % 3], (k + 1, level)


@rk.loop
def queue(x, entries=np.zeros(6, int), head=0, count=0):
    """A ring buffer of numbers of steps."""
    entries = entries.copy()
    y = 0.0
    if x > 0 and count < 6:
        entries[(head + count) % 6] = 10 + head
        count += 1
    elif count:
        y = x * entries[head]
        head, count = (head + 1) % 6, count - 1
    return y + entries[count - 1], (entries, head, count)


@rk.loop
def automaton(x, mode=2, seen=0, *, rates):
    """A range and bits of a state, and a choice between integers."""
    total = 0.0
    for i in range(mode):
        total += rates[i] * (x + i)
    seen = (5 * seen + 3) & 15
    mode = (mode + 1 if x > 0 else max(mode - 1, 0)) if seen >> 3 else 2
    return total + seen, (min(mode, 3), seen)


CASES = {
    "seasonal": (seasonal, {"weights": np.linspace(0.5, 1.5, 5)}),
    "queue": (queue, {}),
    "automaton": (automaton, {"rates": np.array([0.3, -0.2, 0.7])}),
}


def series(*shape):
    return np.random.default_rng(3).normal(size=shape)


def in_python(loop, x, **given):
    """The outputs and the last states of one sequence, by the step on integers as they start."""
    states = [loop.function.__defaults__[i] for i in range(len(loop._states))]
    outputs = []
    for one in x:
        y, states = loop.function(one, *states, **given)
        outputs.append(y)
    return [np.array(outputs), *(np.asarray(state, float) for state in states)]


@pytest.mark.parametrize("case", CASES)
def test_C23_a_state_that_starts_as_an_integer_is_one(case):
    loop, given = CASES[case]
    x = series(3, T, 1)
    alone = [loop(row[:, 0], **given, return_state=True) for row in x]
    for row, found in zip(x, alone, strict=True):
        for got, wanted in zip(found, in_python(loop, row[:, 0], **given), strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-12)
        with rk.eager():
            for got, wanted in zip(loop(row[:, 0], **given, return_state=True), found, strict=True):
                np.testing.assert_allclose(got, wanted, rtol=1e-12)
    together = loop(x, **given, return_state=True)
    for got, rows in zip(together, zip(*alone, strict=True), strict=True):
        same_bits([got], [np.stack(rows)])


@pytest.mark.parametrize("case", CASES)
def test_C23_it_is_masked_split_and_streamed_as_any_state(case):
    loop, given = CASES[case]
    x = series(T)
    whole = loop(x, **given)
    first, *states = loop(x[:17], **given, return_state=True)
    rest = loop(x[17:], **given, **dict(zip(loop._states, states, strict=True)))
    same_bits([np.concatenate([first, rest])], [whole])
    stream = loop.stream(**given)
    same_bits([np.array([stream.step(one) for one in x])], [whole])
    used = series(T) > -0.5
    same_bits([loop(x, **given, mask=used)[used]], [loop(x[used], **given)])
    same_bits([loop(x.astype("f"), **given)], [loop(x.astype("f")[None, :, None].repeat(9, 0), **given)[4]])


def test_C23_gradients_go_through_what_it_chooses():
    for name in ("seasonal", "automaton"):
        loop, given = CASES[name]
        x, ((what, values),) = series(T), given.items()
        _, pull = loop.vjp(x, **given)
        found = pull(np.ones(T))
        for i, d in enumerate(found.parameters[what]):
            step = 1e-6 * (np.arange(len(values)) == i)
            slope = (loop(x, **{what: values + step}).sum() - loop(x, **{what: values - step}).sum()) / 2e-6
            np.testing.assert_allclose(d, slope, rtol=1e-6, atol=1e-6)
        assert not any(np.any(d) for state, d in found.states.items() if state != "level")


@pytest.mark.parametrize("start", [2.5, np.nan, np.inf, 1e30])
@pytest.mark.parametrize("rows", [1, 4])
def test_C23_another_start_is_an_error(start, rows):
    loop, given = CASES["seasonal"]
    with pytest.raises(IndexError, match="row 0 fails at step 0: expected an integer as the state 'k'"):
        loop(series(rows, T, 1), **given, k=start)
    same_bits([loop(series(rows, T, 1), **given, k=np.full(rows, 2.0))], [loop(series(rows, T, 1), **given, k=2)])


def test_C23_one_row_carries_it_as_an_integer():
    seasonal(series(T))
    executor = next(iter(next(iter(seasonal._layers.values()))._execution.executors.values()))
    assert list(executor.of(1).plan.whole) == [0]


@rk.cell(states={"k": (), "h": ()}, initial={"k": 1}, per_row=True)
def declared(x, states):
    return x[states.k % 3] + states.h, (states.k + 2, 0.5 * states.h + x[states.k % 2])


def test_C23_a_cell_declares_it_by_its_initial_value():
    x = series(2, T, 3)
    found = rk.RNN(declared(), return_sequences=True, dtype="float64")(x)
    h = 0.0
    for t in range(T):
        k = 1 + 2 * t
        assert found[0, t] == x[0, t, k % 3] + h
        h = 0.5 * h + x[0, t, k % 2]


@rk.loop
def drifting(x, k=0, *, weights=np.ones(3)):
    return weights[k % 3] * x, k + 0.5


@rk.loop
def started_as_a_float(x, k=0.0, *, weights=np.ones(3)):
    return weights[k % 3] * x, k + 1


@pytest.mark.parametrize("loop", [drifting, started_as_a_float])
def test_C23_a_state_that_does_not_stay_one_is_a_float(loop):
    with pytest.raises(ValueError, match="an index is a float64; write int") as caught:
        loop(series(T), weights=np.ones(3))
    assert "return weights[k % 3] * x" in str(caught.value)
    with rk.eager(), pytest.raises((IndexError, ValueError)):
        loop(series(T), weights=np.ones(3))
