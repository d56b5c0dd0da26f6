"""Weights in fewer bits, in NumPy."""

import copy
import pickle

import numpy as np
import pytest

from rnnkit.stored_weights import (
    KINDS,
    Stored,
    StoredWeight,
    all_expanded,
    bfloat16_bits,
    expanded,
    from_bfloat16,
    to_int8,
)


def test_bfloat16_is_the_nearest_ties_to_even():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2**32, 200_000, dtype=np.uint32).view(np.float32)
    x = x[np.isfinite(x)]
    rounded = from_bfloat16(bfloat16_bits(x)).astype(np.float64)
    low = (x.view(np.uint32) & 0xFFFF0000).view(np.float32)
    high = ((x.view(np.uint32) & 0xFFFF0000) + np.uint32(0x10000)).view(np.float32)
    inside = np.isfinite(high)
    error = np.abs(rounded - x)[inside]
    least = np.minimum(np.abs(low.astype(np.float64) - x), np.abs(high.astype(np.float64) - x))[inside]
    np.testing.assert_array_equal(error, least)
    ties = np.float32([1.00390625, 1.01171875, -1.00390625])  # half way between two
    assert from_bfloat16(bfloat16_bits(ties)).tolist() == [1.0, 1.015625, -1.0]
    special = np.float32([0.0, -0.0, np.inf, -np.inf, np.nan, 3.4028235e38])
    found = from_bfloat16(bfloat16_bits(special))
    np.testing.assert_array_equal(found, np.float32([0.0, -0.0, np.inf, -np.inf, np.nan, np.inf]))
    assert np.signbit(found[1]) and np.isnan(from_bfloat16(bfloat16_bits(np.uint32([0x7F800001]).view("f4")))).all()


@pytest.mark.parametrize("spread", [1e-25, 1.0, 1e30])
def test_int8_is_within_half_a_scale(spread):
    rng = np.random.default_rng(1)
    array = (rng.standard_normal((40, 30)) * rng.exponential(1, 30) * spread).astype(np.float32)
    array[:, 3] = 0
    numbers, scale = to_int8(array)
    assert numbers.dtype == np.int8 and np.abs(numbers).max(axis=0).tolist() == [127] * 3 + [0] + [127] * 26
    assert (np.abs(numbers * scale.astype(np.float64) - array) <= 0.501 * scale).all()
    # The largest number of a column is 127 scales, to the 8 bits of a scale.
    assert (np.abs(scale * 127 - np.abs(array).max(axis=0)) <= np.abs(array).max(axis=0) * 2.0**-8).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("starts", [(0,), (0, 3), (0, 1, 5)])
def test_what_was_rounded_rounds_to_itself(kind, starts):
    rng = np.random.default_rng(2)
    array = (rng.standard_normal((9, 33)) * np.exp(3 * rng.standard_normal(33))).astype(np.float32)
    once = Stored.of(array, kind, starts)
    again = Stored.of(once.expanded(), kind, starts)
    assert once.numbers.tobytes() == again.numbers.tobytes()
    assert once.expanded().tobytes() == again.expanded().tobytes()
    assert once.nbytes == array.nbytes // 2 if kind == "bfloat16" else array.nbytes // 4 + 4 * 33 * len(starts)
    assert np.abs(once.expanded() - array).max() < np.abs(array).max() / 100


def test_parts_of_rows_have_scales_of_their_own():
    array = np.ones((4, 2), np.float32)
    array[2:] = 1000
    np.testing.assert_allclose(Stored.of(array, "int8", (0, 2)).expanded(), array, rtol=0.01)
    assert np.abs(Stored.of(array, "int8").expanded() - array).max() > 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_what_stands_for_a_weight(kind):
    array = np.random.default_rng(3).standard_normal((5, 7)).astype(np.float32)
    stored = Stored.of(array, kind)
    weight = StoredWeight.of(stored)
    assert weight.shape == (5, 7) and weight.dtype == np.float32 and weight.strides == (0, 0)
    assert np.isnan(weight).all()  # whoever computes with it sees it
    assert expanded(weight).tobytes() == stored.expanded().tobytes()
    assert not expanded(weight).flags.writeable
    assert all_expanded({"a": weight, "b": array})["b"] is array
    assert copy.deepcopy(weight) is weight
    assert expanded(pickle.loads(pickle.dumps(weight))).tobytes() == stored.expanded().tobytes()
    assert expanded(weight.rounded(2 * array)).tobytes() == Stored.of(2 * array, kind).expanded().tobytes()


def test_what_is_no_stored_weight_is_refused():
    good = Stored.of(np.ones((4, 3), np.float32), "int8", (0, 2))
    assert Stored.checked("int8", good.numbers, good.scales, [0, 2]).expanded().tolist() == good.expanded().tolist()
    for kind, numbers, scales, starts in (
        ("int4", good.numbers, good.scales, [0, 2]),
        ("bfloat16", good.numbers, None, [0]),
        ("int8", good.numbers, None, [0, 2]),
        ("int8", good.numbers, good.scales, [0]),
        ("int8", good.numbers, good.scales.astype(np.float64), [0, 2]),
        ("int8", good.numbers, good.scales, [1, 2]),
        ("int8", good.numbers, good.scales, [0, 9]),
        ("int8", good.numbers[0], good.scales, [0, 2]),
    ):
        with pytest.raises(ValueError, match="expected the numbers of a weight stored"):
            Stored.checked(kind, numbers, scales, starts)
    with pytest.raises(ValueError, match="finite weights"):
        Stored.of(np.float32([[np.inf]]), "int8")
