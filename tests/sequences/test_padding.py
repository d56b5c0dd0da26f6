"""Padding and masks by lengths: Keras's function, and a plain loop."""

import numpy as np
import pytest

import rnnkit as rk

LENGTHS = [3, 0, 5, 1]
SIDES = [(a, b) for a in ("pre", "post") for b in ("pre", "post")]


def sequences(rest=(), dtype="float32"):
    rng = np.random.default_rng(0)
    return [(rng.normal(size=(n, *rest)) * 9).astype(dtype) for n in LENGTHS]


def padded(given, length, padding, truncating, value, dtype):
    rest = given[0].shape[1:]
    found = np.full((len(given), length, *rest), value, dtype)
    mask = np.zeros((len(given), length), bool)
    for i, one in enumerate(given):
        steps = list(range(len(one)))
        while len(steps) > length:
            steps.pop(0 if truncating == "pre" else -1)
        places = range(length - len(steps), length) if padding == "pre" else range(len(steps))
        for place, step in zip(places, steps, strict=True):
            found[i, place], mask[i, place] = one[step], True
    return found, mask


@pytest.mark.parametrize("padding, truncating", SIDES)
@pytest.mark.parametrize("maxlen", [None, 0, 2, 5, 7])
@pytest.mark.parametrize("rest, dtype", [((), "int64"), ((2,), "float32"), ((2, 3), "float64")])
def test_padding_is_the_plain_loop(padding, truncating, maxlen, rest, dtype):
    given = sequences(rest, dtype)
    expected, used = padded(given, 5 if maxlen is None else maxlen, padding, truncating, -1, dtype)
    found, mask = rk.pad_sequences(given, maxlen, None, padding, truncating, -1, return_mask=True)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(mask, used)
    assert found.dtype == dtype and mask.dtype == bool


@pytest.mark.parametrize("padding, truncating", SIDES)
@pytest.mark.parametrize("maxlen", [None, 2, 7])
def test_keras_pads_so(padding, truncating, maxlen):
    keras = pytest.importorskip("keras")
    for given in (sequences(), sequences((2,)), [[1, 2], [3]], [[], [4, 5, 6]], ((1.5, 2.5), (3.5,))):
        options = {"maxlen": maxlen, "padding": padding, "truncating": truncating, "value": 7}
        for dtype in ("int32", "float32"):
            ours = rk.pad_sequences(given, dtype=dtype, **options)
            theirs = keras.utils.pad_sequences(given, dtype=dtype, **options)
            np.testing.assert_array_equal(ours, theirs)
            assert ours.dtype == theirs.dtype


def test_what_sequences_may_be():
    expected = [[0, 1], [2, 3]]
    for given in ([[1], [2, 3]], ((1,), (2, 3)), [np.array([1]), [2, 3]], np.array([[1], [2, 3]], object)):
        assert rk.pad_sequences(given).tolist() == expected
    assert rk.pad_sequences([]).shape == (0, 0)
    assert rk.pad_sequences([[], []]).shape == (2, 0)
    assert rk.pad_sequences(np.ones((2, 3))).shape == (2, 3)
    words = rk.pad_sequences([["a"], ["b", "c"]], dtype=object, value="", padding="post")
    assert words.tolist() == [["a", ""], ["b", "c"]]
    assert rk.pad_sequences([np.ones(1, "float32")], 2, value=0.1)[0, 0] == np.float32(0.1)
    assert rk.pad_sequences([[1], [2, 3]], dtype="float32", value=np.nan).dtype == np.float32
    assert rk.pad_sequences([np.array([1], "int8"), np.array([2.5], "float32")]).dtype == np.float32


def test_a_mask_by_lengths():
    lengths = [2, 0, 3]
    expected = [[1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 0]]
    assert rk.sequence_mask(lengths, 4).astype(int).tolist() == expected
    assert rk.sequence_mask(lengths, 4, "pre").astype(int).tolist() == [row[::-1] for row in expected]
    assert rk.sequence_mask(np.array(lengths, "uint8")).shape == (3, 3)
    assert rk.sequence_mask([]).shape == (0, 0)


@pytest.mark.parametrize(
    "call, kind, words",
    [
        (lambda: rk.pad_sequences([[1], [2, 3]], padding="left"), ValueError, "padding 'pre' or 'post'"),
        (lambda: rk.pad_sequences([[1], [2, 3]], truncating=None), ValueError, "truncating 'pre' or 'post'"),
        (lambda: rk.pad_sequences([1, 2]), TypeError, "lists or arrays each; got 1 at 0"),
        (lambda: rk.pad_sequences([[1], None]), TypeError, "got None at 1"),
        (lambda: rk.pad_sequences(["ab", "c"]), TypeError, "got 'ab' at 0"),
        (lambda: rk.pad_sequences("ab"), TypeError, "a list of sequences, got 'ab'"),
        (lambda: rk.pad_sequences({1, 2}), TypeError, "a list of sequences, got set"),
        (lambda: rk.pad_sequences([["a"], ["b"]]), TypeError, "dtype=object"),
        (lambda: rk.pad_sequences([[1, [2, 3]]]), ValueError, "one shape within a sequence; those at 0"),
        (
            lambda: rk.pad_sequences([np.ones((2, 3)), np.ones((1, 2))]),
            ValueError,
            r"\(T, 3\), as the first is; got \(1, 2\) at 1",
        ),
        (lambda: rk.pad_sequences([[1], [2]], value=np.nan), ValueError, "value that int64 holds"),
        (lambda: rk.pad_sequences([[1], [2]], value=0.5), ValueError, "value that int64 holds"),
        (lambda: rk.pad_sequences([[1], [2]], maxlen=-1), ValueError, "maxlen"),
        (lambda: rk.pad_sequences([[1], [2]], maxlen=1 << 60), ValueError, "padded sequences"),
        (lambda: rk.sequence_mask([1, 5], 4), ValueError, "lengths from 0 to 4, the number of steps; got 5"),
        (lambda: rk.sequence_mask([1, -1], 4), ValueError, "got -1"),
        (lambda: rk.sequence_mask([1.0, 2.0]), TypeError, "dtype float64"),
        (lambda: rk.sequence_mask(3), TypeError, r"shape \(\)"),
        (lambda: rk.sequence_mask([1], padding="left"), ValueError, "'pre' or 'post'"),
    ],
)
def test_one_sentence_says_what_is_wrong(call, kind, words):
    with pytest.raises(kind, match=words):
        call()
