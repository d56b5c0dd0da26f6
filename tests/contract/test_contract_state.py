"""Direction, state and composition: rows D1 to D7 of docs/contract.md."""

import numpy as np
import pytest
import reference
from cells_under_test import CELLS, NAMED, leaky, lstm, simple, spread, two_speeds
from matrix import close, flat, fresh, inputs, layer_of, like, make_mask, random_states, same_bits

import rnnkit as rk

every_cell = pytest.mark.parametrize("name", [c.name for c in CELLS])
MASK = np.array([[1, 0, 1, 1, 0, 0], [0, 0, 1, 0, 1, 1], [0, 0, 0, 0, 0, 0]], bool)


# D1, D2


@every_cell
@pytest.mark.parametrize("mask", [None, MASK], ids=["used", "masked"])
def test_D1_backwards_is_forwards_on_the_reversed_input(name, mask):
    x, constants = inputs(name, 3, 6)
    turned = None if mask is None else mask[:, ::-1]
    backward = layer_of(name, go_backwards=True)(x, mask=mask, constants=constants)
    forward = layer_of(name)(x[:, ::-1], mask=turned, constants=constants)
    same_bits(list(backward), list(forward))
    with rk.eager():
        eager = layer_of(name, go_backwards=True)(x, mask=mask, constants=constants)
    if NAMED[name].steady:
        close(list(eager), list(forward))


def test_D1_the_first_output_belongs_to_the_last_input(rng):
    x = rng.normal(size=(2, 5, 3))
    layer = rk.RNN(simple(units=4), return_sequences=True, go_backwards=True)
    w = (layer(x), layer.weights)[1]
    close(layer(x)[:, 0], np.tanh(x[:, 4] @ w["kernel"] + w["bias"]))


@every_cell
@pytest.mark.parametrize("backwards", [False, True])
def test_D2_unroll_changes_nothing(name, backwards):
    x, constants = inputs(name, 3, 6)
    for mask in (None, MASK):
        plain = layer_of(name, go_backwards=backwards)(x, mask=mask, constants=constants)
        unrolled = layer_of(name, go_backwards=backwards, unroll=True)(x, mask=mask, constants=constants)
        same_bits(list(unrolled), list(plain))


# D3


@every_cell
def test_D3_initial_state(name):
    layer, (x, constants) = layer_of(name), inputs(name, 3, 6)
    start = random_states(layer, 3)
    got = layer(x, initial_state=start, mask=MASK, constants=constants)
    if NAMED[name].steady:
        step = NAMED[name].step(layer.cell, layer, constants or ())
        ran = reference.run(step, x, flat(start), MASK)
        close(got[0], ran.outputs)
        close(list(got[1:]), ran.states)
    for form in (tuple(start), [s.tolist() if isinstance(s, np.ndarray) else s for s in start], *bare(start)):
        same_bits(list(layer(x, initial_state=form, mask=MASK, constants=constants)), list(got))


def bare(start):
    return [start[0]] if len(start) == 1 and isinstance(start[0], np.ndarray) else []


@pytest.mark.parametrize(
    "make, wrong",
    [
        (lambda: rk.LSTM(4), lambda s: [s]),
        (lambda: rk.LSTM(4), lambda s: s),
        (lambda: rk.LSTM(4), lambda s: [s, s, s]),
        (lambda: rk.LSTM(4), lambda s: [[s, s]]),
        (lambda: rk.LSTM(4), lambda s: []),
        (lambda: rk.LSTM(4), lambda s: [s, s[:1]]),
        (lambda: rk.LSTM(4), lambda s: [s, s[:, :3]]),
        (lambda: rk.GRU(4), lambda s: s[0]),
        (lambda: rk.GRU(4), lambda s: [s, s]),
        (lambda: rk.GRU(4), lambda s: s[:, :, None]),
        (lambda: rk.RNN([rk.LSTMCell(4), rk.GRUCell(4)]), lambda s: [s, s, s]),
        (lambda: rk.RNN([rk.LSTMCell(4), rk.GRUCell(4)]), lambda s: [s, [s, s]]),
        (lambda: rk.RNN([rk.LSTMCell(4), rk.GRUCell(4)]), lambda s: [[s, s]]),
        (lambda: rk.RNN([leaky(units=4), rk.GRUCell(4)]), lambda s: s),
        (lambda: rk.RNN(two_speeds(units=4)), lambda s: [s, s[:, :3]]),
        (lambda: rk.Bidirectional(rk.LSTM(4)), lambda s: [s, s]),
        (lambda: rk.Bidirectional(rk.GRU(4)), lambda s: [s]),
        (lambda: rk.Bidirectional(rk.GRU(4)), lambda s: [s, s, s]),
    ],
)
def test_D3_wrong_states_say_what_was_expected_and_received(make, wrong, rng):
    layer, x = make(), rng.normal(size=(2, 3, 5))
    layer.build(x.shape)
    before = layer(x)
    with pytest.raises(ValueError, match="state") as raised:
        layer(x, initial_state=wrong(np.zeros((2, 4))))
    assert "expected" in str(raised.value) and "got" in str(raised.value)
    same_bits(layer(x), before)


def test_D3_bidirectional_takes_forward_then_backward_states(rng):
    x, s = rng.normal(size=(2, 6, 3)), [rng.normal(size=(2, 4)) for _ in range(4)]
    layer = rk.Bidirectional(rk.LSTM(4, return_state=True, return_sequences=True))
    output, *states = layer(x, initial_state=s)
    weights = layer.get_weights()
    forward, backward = reference.lstm(*weights[:3]), reference.lstm(*weights[3:])
    sequences, _, after = reference.bidirectional(forward, backward, x, s[:2], s[2:])
    close(output, sequences)
    close(states, after)


def test_D3_bidirectional_of_a_stack(rng):
    x = rng.normal(size=(2, 6, 3))
    layer = rk.Bidirectional(rk.RNN([rk.LSTMCell(4), rk.GRUCell(3)], return_state=True))
    output, *states = layer(x)
    assert [[s.shape[1] for s in e] if isinstance(e, list) else e.shape[1] for e in states] == [[4, 4], 3, [4, 4], 3]
    layer(x, initial_state=states)


# D4, D5


@every_cell
@pytest.mark.parametrize("backwards", [False, True])
def test_D4_states_go_on(name, backwards):
    x, constants = inputs(name, 3, 9)
    layer, plain = fresh(name, stateful=True, go_backwards=backwards), layer_of(name, go_backwards=backwards)
    states = None
    for piece in (x[:, :4], x[:, 4:5], x[:, 5:]):
        mask = make_mask("random", 3, piece.shape[1], np.random.default_rng(piece.shape[1]))
        expected, *states = plain(piece, initial_state=states, mask=mask, constants=constants)
        got, *after = layer(piece, mask=mask, constants=constants)
        same_bits([got, *after, *flat(layer.states)], [expected, *states, *flat(states)])


def test_D4_given_states_count_for_the_call_and_its_end_is_kept(rng):
    layer, plain = fresh("lstm", stateful=True), layer_of("lstm")
    x, _ = inputs("lstm", 3, 6)
    layer(x)
    start = random_states(layer, 3)
    expected, *middle = plain(x, initial_state=start)
    same_bits(layer(x, initial_state=start)[0], expected)
    same_bits(layer(x)[0], plain(x, initial_state=middle)[0])


def test_D4_masked_rows_keep_their_state():
    layer, (x, _) = fresh("lstm", stateful=True), inputs("lstm", 3, 6)
    before = [s.copy() for s in flat(layer(x)[1:])]
    after = flat(layer(x, mask=np.array([[1] * 6, [0] * 6, [0] * 5 + [1]]))[1:])
    for a, b in zip(after, before, strict=True):
        same_bits(a[1], b[1])
        assert (a[0] != b[0]).any() and (a[2] != b[2]).any()


def test_D4_another_batch_size_is_refused():
    layer, (x, _) = fresh("lstm", stateful=True), inputs("lstm", 3, 6)
    layer(x)
    kept = [s.copy() for s in flat(layer.states)]
    with pytest.raises(ValueError, match=r"3.*2|2.*3"):
        layer(x[:2])
    same_bits(flat(layer.states), kept)
    layer(x[:, :2])


def test_D4_kept_states_are_not_the_callers_arrays():
    layer, (x, _) = fresh("lstm", stateful=True), inputs("lstm", 3, 6)
    output, *states = layer(x)
    kept = [s.copy() for s in states]
    for s in states:
        s[...] = np.nan
    same_bits(flat(layer.states), kept)
    start = random_states(layer, 3)
    layer.reset_states(states=start)
    kept = [s.copy() for s in start]
    for s in start:
        s[...] = np.nan
    same_bits(flat(layer.states), kept)


def test_D4_a_layer_that_is_not_stateful_starts_anew():
    layer, (x, _) = layer_of("two_speeds"), inputs("two_speeds", 3, 6)
    same_bits(list(layer(x)), list(layer(x)))


def models():
    return {
        "lstm": rk.LSTM(4, stateful=True, return_state=True, seed=1),
        "start": rk.RNN(two_speeds(units=4), stateful=True, return_state=True, seed=1),
        "stack": rk.RNN([rk.LSTMCell(4), leaky(units=3)], stateful=True, return_state=True, seed=1),
        "both": rk.Bidirectional(rk.GRU(4, stateful=True, return_state=True), seed=1),
    }


@pytest.mark.parametrize("which", list(models()))
def test_D5_reset_states(which, rng):
    layer, x = models()[which], rng.normal(size=(3, 5, 2))
    first = [a.copy() for a in flat(list(layer(x)))]
    second = flat(list(layer(x)))
    assert not all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    for reset in (layer.reset_states, layer.reset_state):
        reset()
        same_bits(flat(list(layer(x))), first)
    layer.reset_states()
    assert flat(list(layer(x[:2])))[0].shape[0] == 2  # another batch size may follow


@pytest.mark.parametrize("which", list(models()))
def test_D5_setting_states(which, rng):
    layer, x = models()[which], rng.normal(size=(3, 5, 2))
    output, *states = layer(x)
    states = like(list(states), [s.copy() for s in flat(states)])
    expected = flat(list(layer(x)))
    layer.reset_states(states=states)
    same_bits(flat(list(layer(x))), expected)
    two = like(states, [s[:2].copy() for s in flat(states)])
    layer.reset_states(states=two)  # sets the batch size too
    same_bits(flat(list(layer(x[:2]))), [a[:2].copy() for a in expected])
    kept = [s.copy() for s in flat(layer.states)]
    for wrong in (states[:-1], [*states, states[0]], like(states, [s[:, :1, None] for s in flat(states)])):
        with pytest.raises(ValueError, match="state"):
            layer.reset_states(states=wrong)
    same_bits(flat(layer.states), kept)


@pytest.mark.parametrize("which", list(models()))
def test_D5_resetting_rows(which, rng):
    layer, x = models()[which], rng.normal(size=(4, 5, 2))
    first = [a.copy() for a in flat(list(layer(x)))]
    second = [a.copy() for a in flat(list(layer(x)))]
    layer.reset_states()
    layer(x)
    layer.reset_states(rows=[2, 0])
    got = flat(list(layer(x)))
    same_bits([a[[0, 2]] for a in got], [a[[0, 2]] for a in first])
    same_bits([a[[1, 3]] for a in got], [a[[1, 3]] for a in second])
    kept = [s.copy() for s in flat(layer.states)]
    for rows in ([4], [0, 7], [-5]):
        with pytest.raises(ValueError, match="row"):
            layer.reset_states(rows=rows)
    same_bits(flat(layer.states), kept)


def test_D5_states_of_a_layer_that_is_not_stateful():
    for layer in (rk.LSTM(4), rk.RNN([leaky(units=2)]), rk.Bidirectional(rk.GRU(3))):
        layer.build((None, None, 3))
        for options in ({}, {"states": [np.zeros((2, 4))] * 2}, {"rows": [0]}):
            with pytest.raises(ValueError, match="stateful"):
                layer.reset_states(**options)


def test_D5_a_whole_model(rng):
    x = rng.normal(size=(3, 5, 2))
    model = rk.Sequential(
        [
            rk.LSTM(4, stateful=True, return_sequences=True),
            rk.Bidirectional(rk.GRU(3, stateful=True)),
            rk.Dense(2),
        ],
        seed=1,
    )
    first, second = model(x), model(x)
    assert not np.array_equal(first, second)
    model.reset_states()
    same_bits(model(x), first)


# D6


@pytest.mark.parametrize("merge_mode", ["concat", "sum", "mul", "ave", None])
@pytest.mark.parametrize("mask", [None, MASK], ids=["used", "masked"])
def test_D6_bidirectional(merge_mode, mask, rng):
    x, zero = rng.normal(size=(3, 6, 2)), (np.zeros((3, 4)),)
    layer = rk.Bidirectional(
        rk.SimpleRNN(4, return_sequences=True, return_state=True, bias_initializer=spread), merge_mode=merge_mode
    )
    got = flat(list(layer(x, mask=mask)))
    weights = layer.get_weights()
    steps = reference.simple_rnn(*weights[:3]), reference.simple_rnn(*weights[3:])
    sequences, last, states = reference.bidirectional(*steps, x, zero, zero, merge_mode, mask)
    close(got, [*flat([sequences] if merge_mode else list(sequences)), *states])
    if merge_mode in ("sum", None) and mask is not None:
        assert not got[0][~mask].any()
    short = rk.Bidirectional(rk.SimpleRNN(4, bias_initializer=spread), merge_mode=merge_mode)
    short(x, mask=mask)
    short.set_weights(weights)
    y = short(x, mask=mask)
    close(flat([y] if merge_mode else list(y)), flat([last] if merge_mode else list(last)))


def test_D6_the_given_layer_is_a_pattern(rng):
    x = rng.normal(size=(3, 6, 2))
    pattern = rk.GRU(4)
    pattern(x)
    kept = pattern.get_weights()
    layer = rk.Bidirectional(pattern)
    layer(x)
    assert len(layer.get_weights()) == 6
    assert not np.array_equal(layer.weights["forward/kernel"], kept[0])
    layer.set_weights([np.zeros_like(w) for w in layer.get_weights()])
    same_bits(pattern.get_weights(), kept)


def test_D6_two_directions_start_different():
    layer = rk.Bidirectional(rk.GRU(4), seed=3)
    layer.build((None, None, 2))
    assert not np.array_equal(layer.weights["forward/kernel"], layer.weights["backward/kernel"])


def test_D6_a_backward_layer_of_its_own(rng):
    x = rng.normal(size=(3, 6, 2))
    layer = rk.Bidirectional(
        rk.GRU(4, return_sequences=True), backward_layer=rk.LSTM(5, return_sequences=True, go_backwards=True)
    )
    assert layer(x).shape == (3, 6, 9)
    w = layer.get_weights()
    steps = reference.gru_reset_after(*w[:3]), reference.lstm(*w[3:])
    expected = reference.bidirectional(*steps, x, (np.zeros((3, 4)),), (np.zeros((3, 5)),) * 2)[0]
    close(layer(x), expected)


def test_D6_bad_merges_and_layers():
    with pytest.raises(ValueError, match="merge_mode"):
        rk.Bidirectional(rk.GRU(4), merge_mode="minus")
    with pytest.raises((ValueError, TypeError)):
        rk.Bidirectional(rk.Dense(4))
    with pytest.raises(ValueError, match="backward"):
        rk.Bidirectional(rk.GRU(4), backward_layer=rk.GRU(4))  # does not go backwards
    with pytest.raises(ValueError):
        rk.Bidirectional(rk.GRU(4), backward_layer=rk.GRU(4, go_backwards=True, return_sequences=True))


# D7


def test_D7_a_stack_is_its_cells_one_step_at_a_time(rng):
    x = rng.normal(size=(3, 6, 2))
    layer = rk.RNN([lstm(units=4), rk.GRUCell(3), simple(units=5)], return_sequences=True, return_state=True)
    output, *states = layer(x, mask=MASK)
    w = layer.get_weights()
    steps = [reference.lstm(*w[:3]), reference.gru_reset_after(*w[3:6]), reference.simple_rnn(*w[6:])]
    start = tuple(np.zeros((3, n)) for n in (4, 4, 3, 5))
    ran = reference.run(reference.stack(steps, [2, 1, 1]), x, start, MASK)
    close(output, ran.outputs)
    close(states, ran.states)


def test_D7_a_stack_equals_layers_on_top_of_each_other(rng):
    x = rng.normal(size=(3, 6, 2))
    stack = rk.RNN([leaky(units=4), rk.LSTMCell(3)], return_sequences=True)
    y = stack(x)
    wide = {"return_sequences": True, "dtype": "float64"}
    below, above = rk.RNN(leaky(units=4), **wide), rk.LSTM(3, **wide)
    below.build(x.shape), above.build((None, None, 4))
    for layer, weights in ((below, stack.get_weights()[:3]), (above, stack.get_weights()[3:])):
        layer.set_weights(weights)
    close(y, above(below(x)))


def test_D7_nested_stacks(rng):
    x = rng.normal(size=(2, 4, 3))
    inner = rk.StackedRNNCells([rk.LSTMCell(4), leaky(units=3)])
    layer = rk.RNN([simple(units=2), inner], return_state=True)
    output, *states = layer(x)
    assert output.shape == (2, 3) and len(states) == 2 and len(flat(states)) == 4
    layer(x, initial_state=states)
