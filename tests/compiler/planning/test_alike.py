"""Places that are the same in all rows as long as states begin so: which are found; only speed depends on it."""

import numpy as np
import pytest
from graphs_under_test import built, by_row, planned, read

import rnnkit as rk
from rnnkit.backends.cpu.compile import BY_ROWS
from rnnkit.compiler.ir.plan import Look, Put, all_lines
from rnnkit.compiler.planning.alike import alike_in_rows
from rnnkit.compiler.planning.rows import FEW

SIZE = FEW + 3


@rk.cell(states={"kept": SIZE, "place": ()}, per_row=True)
def ring(x, states):
    """Read, write and search a ring buffer; the search ends by a row's own numbers."""
    kept, place = states.kept.copy(), int(states.place)
    old = kept[place]
    kept[place] = x[0]
    i = 0
    while i < SIZE - 1 and kept[i] < x[1]:
        i += 1
    kept[i] -= 0.5 * x[1]
    total, k = 0.0, SIZE - 1
    while k > 0:
        if x[1] * k > 2:
            break
        total += kept[(place + k) % SIZE]
        kept[k] *= 0.9
        k -= 1
    return old + total + i, (kept, float((place + 1) % SIZE))


@rk.cell(states={"kept": SIZE, "place": ()}, per_row=True)
def sorted_in(x, states):
    """Places by numbers of a row alone, and one that goes on only in some rows."""
    kept, place = states.kept.copy(), int(states.place)
    kept[int(abs(x[0])) % SIZE] = x[1]
    if x[1] > 0:
        place = (place + 1) % SIZE
    return kept[place], (kept, float(place))


def places(cell):
    """How many elements are read and written at computed places, and at how many of these places rows are alike."""
    plan = planned(read(built(cell(), (2,))).graph, BY_ROWS)
    alike = alike_in_rows(plan)
    found = [line.index for line in all_lines(plan.lines) if isinstance(line, (Look, Put)) and line.index]
    return len(found), sum(index in alike for index in found)


def test_places_that_depend_on_no_input_are_alike_in_the_rows_that_go_on():
    count, alike = places(ring)
    assert alike >= 4 and count > alike  # where the search ended is a row's own place
    assert places(sorted_in)[1] == 0
    plan = planned(read(built(by_row(), (2,))).graph, BY_ROWS)
    assert plan.uniform and plan.uniform.isdisjoint(alike_in_rows(plan))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("cell", [ring, sorted_in])
def test_rows_together_have_the_bits_of_each_alone(cell, apart, masked, dtype):
    """Rows begin at one place or at several, and masks move them apart, all of them at some steps."""
    rng, rows, steps = np.random.default_rng(7), 75, 40
    layer = rk.RNN(cell(), return_sequences=True, return_state=True, dtype=dtype)
    x = rng.standard_normal((rows, steps, 2)).astype(dtype)
    start = rng.integers(0, SIZE, rows).astype(dtype) if apart else np.full(rows, 3, dtype)
    initial = [rng.standard_normal((rows, SIZE)).astype(dtype), start]
    mask = rng.random((rows, steps)) < np.where(np.arange(steps) % 7 == 3, 0.0, 0.8) if masked else None
    found = layer(x, initial_state=initial, mask=mask)
    for i in (0, 1, 33, 63, 64, 74):
        one = slice(i, i + 1)
        alone = layer(x[one], initial_state=[a[one] for a in initial], mask=None if mask is None else mask[one])
        with rk.eager():
            plain = layer(x[one], initial_state=[a[one] for a in initial], mask=None if mask is None else mask[one])
        for all_rows, single, expected in zip(found, alone, plain, strict=True):
            np.testing.assert_array_equal(all_rows[one], single)
            np.testing.assert_allclose(single, expected, rtol=1e-4 if dtype == "float32" else 1e-12)
