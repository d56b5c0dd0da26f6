"""Random steps of one row, compiled: Python's numbers in every bit, in any batch, and with masks.

``python tests/support/random_rows.py 12`` prints step 12.
"""

import numpy as np
import pytest
from matrix import flat, same_bits
from random_rows import plain, random_row_step

import rnnkit as rk

ROWS = (1, 3, 17, 20)
STEPS = 5


def check(number):
    one, dtype, rows = random_row_step(number), ("float64", "float32")[number % 2], ROWS[number % 4]
    x, start, constants = one.drawn(rows, STEPS, number, dtype)
    options = {"return_sequences": True, "return_state": True, "zero_output_for_mask": number % 3 == 0}
    layer = rk.RNN(one.cell(), dtype=dtype, **options)

    def call(rows=slice(None), **options):
        return layer(x[rows], initial_state=[s[rows] for s in start], constants=[c[rows] for c in constants], **options)

    whole = call()
    assert "traced" in layer.explain().splitlines()[0]
    for got, wanted in zip(whole, plain(one.step, x, start, constants), strict=True):
        np.testing.assert_array_equal(got, wanted.reshape(got.shape))
    for picked in (slice(1), [rows - 1, 0]):
        for got, wanted in zip(call(picked), whole, strict=True):
            np.testing.assert_array_equal(got, wanted[picked])
    mask = np.random.default_rng(number).random((rows, STEPS)) < 0.6
    mask[0] = rows == 1
    wanted = plain(one.step, x, start, constants, mask, options["zero_output_for_mask"])
    for got, one in zip(call(mask=mask), wanted, strict=True):
        np.testing.assert_array_equal(got, one.reshape(got.shape))


@pytest.mark.parametrize("number", range(0, 200, 17))
def test_a_random_row(number):
    check(number)


@pytest.mark.sweep
@pytest.mark.parametrize("number", range(400))
def test_many_random_rows(number):
    check(number)


def check_gradient(number):
    """Central differences of the step in Python along random directions, and the batch law."""
    one, rng, rows = random_row_step(number, smooth=True), np.random.default_rng(number), 3
    x, start, constants = one.drawn(rows, STEPS, number)
    arrays = [array + 0.01 * rng.standard_normal(array.shape) for array in (x, *start, *constants)]  # no ties
    layer = rk.RNN(one.cell(), return_sequences=True, return_state=True, dtype="float64")

    def pulled(rows=slice(None), d=None):
        x, *others = (array[rows] for array in arrays)
        outputs, pull = layer.vjp(x, initial_state=others[:4], constants=others[4:])
        outputs = flat(list(outputs))
        d = [rng.standard_normal(one.shape) for one in outputs] if d is None else [one[rows] for one in d]
        found = pull(tuple(d))
        return [found.x, *flat(list(found.initial_state)), *found.constants], d, outputs

    gradient, d, outputs = pulled()
    same_bits(outputs, flat(list(layer(arrays[0], initial_state=arrays[1:5], constants=arrays[5:]))))
    same_bits(pulled([2], d)[0], [one[[2]] for one in gradient])
    errors = []
    for row in [slice(r, r + 1) for r in (0, 1, 2, 0, 1, 2)]:
        along = [rng.standard_normal(array[row].shape) for array in arrays]
        ends = []
        for sign in (1e-6, -1e-6):
            moved = [array[row] + sign * step for array, step in zip(arrays, along, strict=True)]
            results = plain(one.step, moved[0], moved[1:5], moved[5:])
            ends.append(sum(np.vdot(cotangent[row], result) for cotangent, result in zip(d, results, strict=True)))
        slope = (ends[0] - ends[1]) / 2e-6
        ours = sum(np.vdot(g[row], step) for g, step in zip(gradient, along, strict=True))
        errors.append(abs(slope - ours) / (abs(slope) + 0.01))
    assert np.median(errors) < 1e-5, errors  # few directions meet a jump


@pytest.mark.parametrize("number", [1, 3, 24, 34, 107])
def test_the_gradient_of_a_random_row(number):
    check_gradient(number)


@pytest.mark.sweep
@pytest.mark.parametrize("number", range(200))
def test_gradients_of_many_random_rows(number):
    check_gradient(number)
