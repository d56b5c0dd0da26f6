"""Recordings by themselves: what they note, what they leave out, and what they refuse."""

import operator

import numpy as np
import pytest

from rnnkit.layers.support.recording import (
    LARGEST,
    Noted,
    Recording,
    Unrepeatable,
    noted,
    plain,
    unrepeatable,
)
from rnnkit.opaque import opaque


def recorded(*arrays):
    recording = Recording()
    recording.give(*arrays)
    return recording


def test_without_a_recording_nothing_is_noted():
    x = np.arange(6.0).reshape(2, 3)
    assert opaque(lambda a: a, x) is x and noted(x) is x
    with recorded(x):
        assert type(noted(x)) is Noted and plain(noted(x)) is x and np.shares_memory(plain(noted(x)[0]), x)
    unrepeatable("nothing comes of it")
    left = x.view(Noted)  # as one that outlives its recording
    assert type(left + 1) is type(left[0]) is type(left.sum(axis=0)) is np.ndarray
    left[0] = 7
    assert float(left.max()) == 7 and x[0, 0] == 7


def in_place(a):
    y = a + 1
    y += a
    y[0] *= 3
    return y


def put(a):
    y = np.full_like(a, -1.0, shape=(3, 4))
    y[:2, 1:] = a
    y[np.zeros_like(a, int, shape=2), np.ones_like(a, int, shape=2)] = a[0, 0]
    return y


def under(a):
    with np.errstate(all="ignore"):
        return np.log(a - 2) / 0


# What NumPy does with an array (2, 3): each as a function of it, and how many operations are repeated.
OPERATIONS = {
    "operators": (lambda a: 2 * a - a[0] / (1 + a), 4),
    "a product": (lambda a: a @ a.T, 1),
    "methods": (lambda a: a.sum(axis=0) + a.mean(1, keepdims=True) - a.max(), 5),
    "views": (lambda a: np.swapaxes(a, 0, 1)[::-1].reshape(3, 2)[:, :1], 0),
    "views that are copies": (lambda a: a.T.reshape(-1), 1),
    "indices": (lambda a: a[:, np.argsort(a[0])] + a[a > -9][:3], 5),
    "a number": (lambda a: a[0, 1] * 2, 2),
    "choices": (lambda a: np.where(np.isnan(a), 0, np.clip(a, -1, 1)), 3),
    "several arrays": (lambda a: np.concatenate([a, np.stack([a[0], a[1]])], axis=1), 2),
    "several results": (lambda a: np.divmod(a, 2)[1] + np.split(a, 3, axis=1)[0], 2),
    "a dtype": (lambda a: a.astype("float32").astype(int), 2),
    "in place": (in_place, 3),
    "into a part": (put, 3),
    "sums": (lambda a: np.einsum("ij,kj->ik", a, a) + np.linalg.norm(a), 3),
    "errors that are ignored": (under, 3),
    "a ufunc's methods": (lambda a: np.add.reduce(a, axis=1) + np.maximum.accumulate(a, axis=0)[0, :2], 3),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_what_numpy_does_is_noted(name):
    function, count = OPERATIONS[name]
    x = np.random.default_rng(0).normal(size=(2, 3))
    recording = recorded(x)
    with recording:
        found = function(noted(x))
    assert type(found) is Noted and recording.knows(found)
    assert len(recording.operations) == count
    for seed in range(1, 4):
        x[:] = np.random.default_rng(seed).normal(size=(2, 3))
        recording.spoil()
        with np.errstate(all="raise"):
            recording.repeat()
        expected = np.asarray(function(x))
        assert plain(found).tobytes() == expected.tobytes() and found.dtype == expected.dtype


def test_where_python_decides_a_repetition_has_to_decide_the_same():
    x = np.ones(3)
    recording = recorded(x)
    with recording:
        y = noted(x)
        found = -y if (y > 0).all() else 5 * y
        assert np.count_nonzero(y) == 3
    x[:] = 2, 3, 4
    recording.repeat()
    assert found.tolist() == [-2, -3, -4]
    for other in ([-1, 1, 1], [0, 1, 1]):
        x[:] = other
        with pytest.raises(Unrepeatable, match="Python decides"):
            recording.repeat()


def test_numbers_that_python_reads_have_to_be_the_same():
    x = np.array([1.0, 2.0])
    recording = recorded(x)
    with recording:
        y = noted(x)
        found = y * float(y[0]) + y.tolist()[0]
    recording.repeat()
    assert found.tolist() == [2, 3]
    x[0] = 5
    with pytest.raises(Unrepeatable, match="Python decides"):
        recording.repeat()


def test_what_depends_on_constants_alone_is_not_repeated():
    x, calls = np.ones(2), []
    recording = recorded(x)

    def called(array):
        calls.append(array)
        return array + 1

    with recording:
        zeros = np.zeros_like(noted(x))
        ones = opaque(called, zeros)
        twos = opaque(called, ones) + zeros
        opaque(called, noted(x) + twos)
        opaque(called, zeros, draws=True)
    assert len(calls) == 4 and all(type(one) is np.ndarray for one in calls)
    recording.repeat()
    assert len(calls) == 6
    assert recording.changes(x) and not recording.changes(zeros, ones, twos)


def test_an_array_of_unknown_origin_is_refused():
    x = np.ones(2)
    with pytest.raises(Unrepeatable, match=r"an array \(2,\) that no recorded operation wrote"), recorded(x):
        noted(x) + np.asarray(noted(x)) * 2  # which NumPy does with plain arrays
    recording = recorded(x)
    assert recording.knows(x[:1]) and not recording.knows(x + 1)


def test_sums_that_begin_with_a_constant_are_refused():
    x = np.ones(2)
    with pytest.raises(Unrepeatable, match="changed in place"), recorded(x):
        np.add(noted(x), 1, out=np.zeros_like(noted(x)), where=noted(x) > 1)
    with pytest.raises(Unrepeatable, match="changed in place"), recorded(x):
        operator.iadd(np.zeros_like(noted(x)), x)


def test_a_copy_that_would_be_the_same_is_none():
    x = np.ones((4, 4))
    recording = recorded(x)
    with recording:
        part = noted(x)[1:, ::2]
        assert np.shares_memory(part, x) and np.shares_memory(noted(x).copy(), x)
        assert not np.shares_memory(part.copy(), x)
        assert not np.shares_memory(noted(x).astype("float32"), x)
    assert len(recording.operations) == 2


def test_what_is_done_inside_of_an_operation_is_not_noted_again():
    x = np.ones(2)
    recording = recorded(x)
    with recording:
        opaque(lambda a: np.sqrt(a) + np.ones(2), noted(x))
    assert len(recording.operations) == 1


def test_results_of_an_operation_may_be_nested_and_views():
    x = np.ones(3)
    recording = recorded(x)
    with recording:
        a, b = opaque(lambda x: (x.sum(), {"all": [x + 1, None]}), noted(x))
        assert np.shares_memory(opaque(np.ndarray.reshape, noted(x), (3, 1)), x)
    x[:] = 1, 2, 3
    recording.spoil()
    recording.repeat()
    assert a == 6 and b["all"][0].tolist() == [2, 3, 4] and len(recording.operations) == 1


def test_an_operation_may_write_to_arrays():
    x, place = np.ones(3), np.zeros(3)
    recording = recorded(x)
    with recording:
        opaque(np.copyto, place, noted(x), writes=[place])
    x[:] = 1, 2, 3
    recording.repeat()
    assert place.tolist() == [1, 2, 3]


def test_another_shape_cannot_be_repeated():
    x = np.ones(2)
    recording = recorded(x)
    with recording:
        np.flatnonzero(noted(x))
    x[0] = 0
    with pytest.raises(Unrepeatable, match="another shape"):
        recording.repeat()


def test_a_recording_is_not_large():
    x = np.ones(2)
    with pytest.raises(Unrepeatable, match="bytes"), recorded(x):
        np.repeat(noted(x), LARGEST // 8)


def test_numbers_beyond_the_memorys_precision_are_cast_without_a_word():
    x, place = np.ones(1), np.zeros(1, np.float32)
    recording = recorded(x, place)
    with recording:
        noted(place)[:] = noted(x)
    x[:] = 1e300
    recording.repeat()
    assert np.isinf(place).all()


def test_draws_differ_at_each_repetition():
    rng, x = np.random.default_rng(0), np.ones(2)
    recording = recorded(x)
    with recording:
        once, each = opaque(rng.random, 3, like=noted(x)), opaque(rng.random, 3, draws=True, like=[None, noted(x)])
    before, last = plain(once).copy(), plain(each).copy()
    recording.repeat()
    assert (once == before).all() and (each != last).all()


def test_what_has_nothing_to_do_with_the_call_is_not_noted():
    x = np.ones(2)
    recording = recorded(x)
    with recording:
        y = np.zeros_like(noted(x)) + np.ones(2)
        assert plain(opaque(lambda a: a + 1, np.ones(2))).tolist() == [2, 2]
        assert not recording.operations and not recording.knows(y)
        with pytest.raises(Unrepeatable, match="no recorded operation wrote"):
            noted(x) + y
        with pytest.raises(Unrepeatable, match="no recorded operation wrote"):
            opaque(np.copyto, noted(x), y, writes=[noted(x)])
        with pytest.raises(Unrepeatable, match="no recorded operation wrote"):
            opaque(lambda a: None, y)  # a check
        with pytest.raises(Unrepeatable, match="no recorded operation wrote"):
            bool(y.all())


def test_arrays_that_numpy_makes_like_those_of_the_call_are_constants():
    x, table = np.ones(3), np.arange(3)
    with pytest.raises(Unrepeatable, match="no recorded operation wrote"), recorded(x):
        noted(x)[np.asarray(table, like=noted(x))]  # it could be what escaped
    table.flags.writeable = False
    recording = recorded(x)
    with recording:
        like = noted(x)
        made = [np.zeros(3, like=like), np.tri(3, like=like)[2], np.array([1, 2, 3], like=like)]
        made += [np.asarray(table, like=like), np.full_like(like, 2)]
        assert all(type(one) is Noted for one in made) and not recording.operations
        found, filled = sum(made, like), np.full_like(like, like[0])
    assert len(recording.operations) == len(made) + 2  # like[0] is a number, which is copied
    x[:] = 4, 5, 6
    recording.spoil()
    recording.repeat()
    assert found.tolist() == [8, 11, 14] and filled.tolist() == [4, 4, 4]
