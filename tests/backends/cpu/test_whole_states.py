"""States of whole numbers in programs of one row: the integers that are carried are the floats that a batch has."""

import numpy as np
import pytest

import rnnkit as rk
from rnnkit.backends.cpu.codegen.row_source import RowSourceWriter

TABLE = np.array([[1, 2, 0], [2, 0, 1], [0, 1, 2]])


def around(x, states):
    """A place among nine, and a number that only grows."""
    place, t = int(states.place), int(states.t)
    return x[0] * place + t, ((place + 1) % 9, t + 1)


def scanned(x, states):
    """A mode by a table, and a walk between walls that ends anew."""
    place, t = int(states.place), int(states.t)
    place = TABLE[place, int(abs(x[0]) * 3) % 3]
    t += 1 if x[0] > 0 else -1
    if t < 0:
        t = 0
    return x[0] + place, (float(place), 0.0 if t == 5 else float(t))


def turned(x, states):
    """Places behind and before one in a ring, by sums and differences around its ends."""
    place, t = int(states.place), int(states.t)
    near = (place - 4) % 9 + 10 * ((place + 5) % 9) + 100 * ((2 * place - 8) % 9) + 1000 * ((place - 9) % 9)
    return near + x[0] * ((t - 3) % 7) + (place - 11) % 9 + (place + 3) % 8, ((place + 4) % 9, (t + 6) % 7)


def queued(x, states):
    """A length that grows by a float's one, up to eight, and falls; a number that falls without an end."""
    size, t = int(states.place), int(states.t)
    while size > 0 and x[0] < 0.1 * size - 0.5:
        size -= 1
    if size == 8:
        return -1.0, (float(size), t - 1)
    return size + t * 0.5, (size + 1.0, t - 1)


def thrown(x, states):
    """A float that is no integer on one of two ways, which stays one."""
    place = int(states.place)
    return x[0] + place, (x[0] if x[0] > 1 else float(place + 1), states.t + 1.0)


def waited(x, states):
    """A mode and a time to wait, which are compared with numbers and kept, and never read by int."""
    if states.t > 0.5:
        return x[0], (states.place, states.t - 1)
    if states.place == 1:
        return 2 * x[0], (0.0 if x[0] < 0 else states.place, 3.0 if x[0] > 1 else 0.0)
    return -x[0], (1.0 if x[0] > 0 else states.place, 0.0)


def near(x, states):
    """A place that is also asked how large it is."""
    place = int(states.place)
    return x[0] if abs(states.place) < 3 else -x[0], ((place + 1) % 7, states.t)


STEPS = (around, scanned, turned, queued, thrown, waited, near)


def layer_of(step, **options):
    cell = rk.cell(states={"place": (), "t": ()}, per_row=True)(step)
    return rk.RNN(cell(), return_sequences=True, return_state=True, **options)


def data(rows, steps, dtype="float32", seed=0):
    return np.random.default_rng(seed).normal(size=(rows, steps, 1)).astype(dtype)


def same(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b, strict=True)
        np.testing.assert_array_equal(np.signbit(a), np.signbit(b))


@pytest.fixture
def texts(monkeypatch):
    found, run = [], RowSourceWriter.run

    def kept(self):
        source = run(self)
        found.append(source.text)
        return source

    monkeypatch.setattr(RowSourceWriter, "run", kept)
    return found


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_they_are_the_floats_of_the_step(step, dtype, texts):
    """Rows alone and together, from zeros, places and fractions, and where a state grows beyond whole floats."""
    layer, top = layer_of(step), 2.0**24 if dtype == "float32" else 2.0**53
    x = data(4, 40, dtype)
    starts = np.array([[0, 0], [2, 4], [1.75, 0.25], [-0.0, 3]] if step is scanned else
                      [[0, 0], [1, 4], [-0.0, -7], [np.nan, 2.5]] if step is waited else
                      [[0, 0], [8, top - 20], [-2.75, -top - 7], [100, 3]], dtype)  # fmt: skip
    with rk.eager():
        whole = layer(x, initial_state=[starts[:, 0], starts[:, 1]])
    for rows in (4, 3, 1):
        for _ in range(2):
            same(layer(x[:rows], initial_state=list(starts[:rows].T)), [part[:rows] for part in whole])
    for row, start in enumerate(starts):
        for _ in range(7):  # the last ones are repeated
            one = layer(x[row : row + 1], initial_state=[start[:1], start[1:]])
            same(one, [part[row : row + 1] for part in whole])
    carried = any("= to_int64(select(within_" in text for text in texts)
    assert carried == (step not in (thrown, near))


@pytest.mark.parametrize("step", STEPS[:4], ids=lambda step: step.__name__)
def test_masks_parts_and_all_states_are_those_of_a_batch(step):
    layer, x = layer_of(step), data(3, 30)
    mask = np.random.default_rng(1).random((3, 30)) < 0.7
    both = layer(x, mask=mask)
    reached = layer.trajectory(x)
    stream = layer.stream(1)
    first = layer(x[:1, :11])
    same(layer(x[:1, 11:], initial_state=list(first[1:]))[1:], [part[:1] for part in layer(x)][1:])
    same(layer(x[:1], mask=mask[:1]), [part[:1] for part in both])
    same(layer.trajectory(x[:1])[1], [part[:1] for part in reached[1]])
    shown = np.concatenate([stream.step(x[:1, t])[0] for t in range(30)])
    np.testing.assert_array_equal(shown, layer(x[:1])[0][0])


def test_the_gradient_of_one_row_is_that_of_a_batch():
    layer, x = layer_of(around), data(2, 20)
    d = [np.ones_like(part) for part in layer(x)]
    whole = layer.vjp(x)[1](d)
    one = layer.vjp(x[:1])[1]([part[:1] for part in d])
    np.testing.assert_array_equal(one.x, whole.x[:1])
    np.testing.assert_array_equal(one.initial_state[0], whole.initial_state[0][:1])


@pytest.mark.parametrize("start", [np.nan, np.inf, 7.0, -4.0])
def test_a_number_that_is_no_place_names_row_and_step(start):
    layer, x = layer_of(scanned), data(1, 10)
    layer(x)
    for _ in range(2):
        with pytest.raises(IndexError, match="row 0 fails at step 0"):
            layer(x, initial_state=[np.full(1, start, "float32"), np.zeros(1, "float32")])


def test_a_call_that_is_repeated_may_begin_elsewhere():
    """A recording meets a number that its program doesn't compute with."""
    layer, x = layer_of(around), data(1, 10)
    starts = [np.full(1, 3, "float32"), np.zeros(1, "float32")]
    for _ in range(8):
        first = layer(x, initial_state=starts)
    far = [np.full(1, 30, "float32"), np.full(1, 2**24 - 3, "float32")]
    expected = [part[:1] for part in layer(np.repeat(x, 2, 0), initial_state=[np.repeat(one, 2) for one in far])]
    same(layer(x, initial_state=far), expected)
    same(layer(x, initial_state=starts), first)


def traced(x, states):
    """Pointers back, by which a place is found that was good some steps ago."""
    back, t = states.back.copy(), int(states.t)
    for j in range(3):
        back[t % 4, j] = 0 if x[0] > j - 1 else 2 if x[0] < -1 else j
    place = 0 if x[0] > 0 else 2
    for k in range(min(t, 3)):
        place = int(back[(t - k) % 4, place])
    return place + x[0], (back, t + 1)


def shifted(x, states):
    """Modes of some steps, one behind the other, and what one was before and is behind a change."""
    back, t = states.back.copy(), int(states.t)
    was = int(states.back[3, t % 3])
    for i in range(3, 0, -1):
        back[i] = back[i - 1]
    back[0, (t + was) % 3] = was + 1 if was < 5 else 0
    return x[0] * int(back[t % 4, 1]) + was, (back, (t + 1) % 12)


def rounded(x, states):
    """An integer beyond whole floats, which an array of floats holds for a moment alone."""
    back, held, t = states.back.copy(), states.back.copy(), int(states.t)
    n = int(x[0] * 1e8) if t > 1 else 16777217
    held[t % 4, 0] = n
    back[t % 4, 0] = 1 if x[0] > 0 else 0
    return float(int(held[t % 4, t % 2]) - n + int(back[3, t % 3])), (back, (t + 1) % 5)


def halved(x, states):
    """A float that is no integer, on one of two ways."""
    back, t = states.back.copy(), int(states.t)
    back[t % 4, 1] = 0.5 if x[0] > 1 else 2.0
    return x[0] + int(back[(t + 1) % 4, 1]), (back, (t + 1) % 5)


def dated(x, states):
    """Times, which have no bounds."""
    back, t = states.back.copy(), int(states.t)
    if x[0] > 0:
        back[t % 4, 0] = t
    return float(t - int(back[(t + 2) % 4, 0])), (back, t + 1)


def weighed(x, states):
    """Places that are also read as numbers."""
    back, t = states.back.copy(), int(states.t)
    back[t % 4, 2] = 1 if x[0] > 0 else 2
    return x[0] * back[(t + 1) % 4, 2] + int(back[t % 4, 2]), (back, (t + 1) % 5)


def swapped(x, states):
    """Places that only change places: what a row begins with are their bounds."""
    back, t = states.back.copy(), int(states.t)
    if x[0] > 0:
        back[t % 4, 0], back[(t + 1) % 4, 0] = back[(t + 1) % 4, 0], back[t % 4, 0]
    return x[0] * int(back[t % 4, 0]), (back, (t + 1) % 5)


ARRAYS = (traced, shifted, rounded, halved, dated, weighed, swapped)


@pytest.mark.parametrize("step", ARRAYS, ids=lambda step: step.__name__)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_arrays_of_them_are_the_floats_of_the_step(step, dtype, texts):
    """From zeros, places, and numbers with which integers don't go on: beyond bounds, fractions, a zero below 0."""
    cell = rk.cell(states={"back": (4, 3), "t": ()}, per_row=True)(step)
    layer, x = rk.RNN(cell(), return_sequences=True, return_state=True), data(6, 40, dtype)
    starts = np.zeros((6, 4, 3), dtype)
    starts[1:5] = np.array([1, 2, 1.75, -0.0])[:, None, None]
    starts[5] = 2.0**25 + 4 if step not in (traced, shifted) else -1
    times = np.array([0, 4, 2, 1, 3, 4], dtype)
    with rk.eager():
        whole = layer(x, initial_state=[starts, times])
    for row in range(6):
        for _ in range(7):  # the last ones are repeated
            one = layer(x[row : row + 1], initial_state=[starts[row : row + 1], times[row : row + 1]])
            same(one, [part[row : row + 1] for part in whole])
    mask = np.random.default_rng(1).random((6, 40)) < 0.7
    same(layer(x[:1], mask=mask[:1]), [part[:1] for part in layer(x, mask=mask)])
    same(layer.trajectory(x[:1])[1], [part[:1] for part in layer.trajectory(x)[1]])
    assert any("whole_0 = to_int64(" in text for text in texts) == (step in (traced, shifted))


@pytest.mark.parametrize("start", [np.nan, np.inf, 7.0, -4.0])
def test_a_number_of_an_array_that_is_no_place_names_row_and_step(start):
    cell = rk.cell(states={"back": (4, 3), "t": ()}, per_row=True)(traced)
    layer, x = rk.RNN(cell()), data(1, 10)
    layer(x)
    for _ in range(2):
        with pytest.raises(IndexError, match="row 0 fails at step 0"):
            layer(x, initial_state=[np.full((1, 4, 3), start, "float32"), np.full(1, 3, "float32")])


@pytest.mark.parametrize("step, start", [(traced, -1.0), (traced, 1.75), (around, -0.0)])
def test_after_a_call_that_begins_with_other_numbers_floats_are_carried(step, start, texts):
    """Such a call takes long, as it begins twice; the next ones don't."""
    shape = (4, 3) if step is traced else ()
    cell = rk.cell(states={"back" if shape else "place": shape, "t": ()}, per_row=True)(step)
    layer, x = rk.RNN(cell(), return_sequences=True, return_state=True), data(1, 20)
    starts = [np.full((1, *shape), start, "float32"), np.zeros(1, "float32")]
    first = layer(x, initial_state=starts)
    assert "whole_0" in texts[0] or "within_0" in texts[0]
    same(layer(x, initial_state=starts), first)
    made = len(texts)
    same(layer(x, initial_state=starts), first)
    assert "within_" not in texts[-1] and len(texts) == made == 3
