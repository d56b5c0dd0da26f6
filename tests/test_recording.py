"""Recordings by themselves: what they note, what they leave out, and what they refuse."""

import numpy as np
import pytest

from rnnkit.recording import (
    LARGEST,
    Recording,
    Unrepeatable,
    computed,
    constant,
    contiguous,
    copied,
    current,
    put,
    repeated,
    unrepeatable,
    unwatched,
    viewed,
)


def recorded(*arrays):
    recording = Recording()
    recording.give(*arrays)
    return recording


def test_without_a_recording_the_functions_are_numpys():
    x = np.arange(6.0).reshape(2, 3)
    assert current() is None
    assert copied(x) is not x
    assert copied(x.T, np.float32).flags.c_contiguous
    assert contiguous(x, x.dtype) is x
    assert repeated(lambda: x) is x
    assert constant(x) is x
    put(x[0], np.ones(3))
    assert x[0].tolist() == [1, 1, 1]
    unrepeatable("nothing comes of it")


def test_a_repetition_does_it_all_again():
    x, place = np.ones(3), np.zeros((2, 3))
    recording = recorded(x)
    with recording:
        doubled = repeated(lambda: 2 * x, x)
        turned = copied(doubled[::-1])
        put(place[1], turned)
        a, b = repeated(lambda: (turned.sum(), {"all": [turned + 1, None]}), turned)
    x[:] = 1, 2, 3
    recording.spoil()
    assert np.isnan(place[1]).all()
    recording.repeat()
    assert place.tolist() == [[0, 0, 0], [6, 4, 2]]
    assert a == 12 and b["all"][0].tolist() == [7, 5, 3]


def test_what_depends_on_constants_alone_is_not_repeated():
    x, calls = np.ones(2), []
    recording = recorded(x)

    def noted(array):
        calls.append(array)
        return array + 1

    with recording:
        zeros = constant(np.zeros(2))
        ones = repeated(lambda: noted(zeros), zeros)
        twos = repeated(lambda: noted(ones), ones)
        repeated(lambda: noted(x + twos), x, twos)
        repeated(lambda: noted(zeros), zeros, draws=True)
    assert len(calls) == 4
    recording.repeat()
    assert len(calls) == 6
    assert recording.changes(x) and not recording.changes(zeros, ones, twos)


def test_an_array_of_unknown_origin_is_refused():
    x = np.ones(2)
    with pytest.raises(Unrepeatable, match=r"an array \(2,\) that no recorded operation wrote"), recorded(x):
        repeated(lambda: x + 1, x + 1)
    assert current() is None
    recording = recorded(x)
    assert recording.knows(x[:1]) and not recording.knows(x + 1)


def test_views_belong_to_their_owner():
    x = np.ones((4, 4))
    recording = recorded(x)
    with recording:
        part = repeated(lambda: x[1:, ::2], x)  # a view stays one
        assert np.shares_memory(part, x)
        assert copied(x) is x
        assert contiguous(part, x.dtype) is not part
    assert len(recording.operations) == 2


def test_what_is_done_inside_of_an_operation_is_not_noted_again():
    x = np.ones(2)
    recording = recorded(x)
    with recording:
        repeated(lambda: repeated(lambda: np.sqrt(x), np.ones(3)), x)
    assert len(recording.operations) == 1


def test_another_shape_cannot_be_repeated():
    x, sizes = np.ones(2), iter([2, 3])
    recording = recorded(x)
    with recording:
        repeated(lambda: np.zeros(next(sizes)), x)
    with pytest.raises(Unrepeatable, match="another shape"):
        recording.repeat()


def test_a_recording_is_not_large():
    x = np.ones(2)
    with pytest.raises(Unrepeatable, match="bytes"), recorded(x):
        repeated(lambda: np.zeros(LARGEST // 8 + 1), x)


def test_numbers_beyond_the_memorys_precision_are_cast_without_a_word():
    x, place = np.ones(1), np.zeros(1, np.float32)
    recording = recorded(x)
    with recording:
        put(place, x)
    x[:] = 1e300
    recording.repeat()
    assert np.isinf(place).all()


def test_computed_writes_into_the_same_array():
    x, y = np.arange(6.0).reshape(2, 3), np.ones(3)
    assert computed(np.sum, x, axis=1).tolist() == [3, 12]
    recording = recorded(x, y)
    with recording:
        added = computed(np.add, x, y)
        total = computed(np.sum, added)
        joined = computed(np.concatenate, [added, x], axis=0)
    x[:] = 2
    recording.spoil()
    recording.repeat()
    assert (added == 3).all() and total == 18 and joined.tolist() == [[3] * 3] * 2 + [[2] * 3] * 2
    with pytest.raises(Unrepeatable, match="that no recorded operation wrote"), recorded(x):
        computed(np.add, x, y)


def test_computed_draws_at_each_repetition():
    rng = np.random.default_rng(0)
    recording = recorded()
    with recording:
        once = computed(rng.random, 3)
        each = computed(rng.random, 3, draws=True)
    before, last = once.copy(), each.copy()
    recording.repeat()
    assert (once == before).all() and (each != last).all()


def test_a_view_is_repeated_only_if_it_is_a_copy():
    x = np.arange(6.0).reshape(2, 3)
    assert np.shares_memory(viewed(np.transpose, x), x)
    recording = recorded(x)
    with recording:
        turned = viewed(np.transpose, x)
        flat = viewed(np.ravel, turned)
    assert len(recording.operations) == 1
    x[:] = 7
    recording.repeat()
    assert (turned == 7).all() and (flat == 7).all()


def test_nothing_is_recorded_while_nobody_watches():
    x = np.ones(2)
    recording = recorded(x)
    with recording:
        with unwatched():
            computed(np.add, x, np.ones(2))
        assert current() is recording
    assert not recording.operations
