"""Shapes, order and weights: rows S1 to S7 of docs/contract.md."""

import numpy as np
import pytest
import reference
from cells_under_test import CELLS, NAMED, leaky, lstm, simple, spread
from matrix import close, flat, fresh, inputs, layer_of, make_mask, random_states, same_bits

import rnnkit as rk

every_cell = pytest.mark.parametrize("name", [c.name for c in CELLS])


@every_cell
@pytest.mark.parametrize("backwards", [False, True])
def test_S1_last_output_or_all(name, backwards):
    x, constants = inputs(name, 3, 6)
    mask = np.array([[1, 1, 0, 1, 0, 0], [0, 1, 1, 1, 1, 1], [0] * 6])
    every = layer_of(name, go_backwards=backwards, return_state=False)
    last = layer_of(name, go_backwards=backwards, return_state=False, return_sequences=False)
    for options in ({}, {"mask": mask}):
        sequences = every(x, constants=constants, **options)
        assert sequences.shape[:2] == (3, 6) and isinstance(sequences, np.ndarray)
        same_bits(last(x, constants=constants, **options), sequences[:, -1].copy())


@every_cell
def test_S2_states_after_the_output(name):
    x, constants = inputs(name, 3, 6)
    for sequences in (False, True):
        output, *states = layer_of(name, return_sequences=sequences)(x, constants=constants)
        assert [s.shape[1:] for s in flat(states)] == list(NAMED[name].states(17, 5))
    if name != "StackedRNNCells":
        assert all(isinstance(s, np.ndarray) for s in states)


def test_S2_lstm_gives_h_and_c(rng):
    x = rng.normal(size=(2, 5, 3))
    layer = rk.LSTM(4, return_state=True, bias_initializer=spread)
    output, h, c = layer(x)
    ran = reference.run(reference.lstm(*layer.get_weights()), x, (np.zeros((2, 4)),) * 2)
    close([output, h, c], [ran.last, *ran.states])
    same_bits(output, h)


def stack():
    return [rk.LSTMCell(4), rk.GRUCell(3), lstm(units=2), leaky(units=5), rk.SimpleRNNCell(2)]


def test_S3_stack_nests_states_as_its_cells_do(rng):
    x = rng.normal(size=(2, 5, 3))
    layer = rk.RNN(stack(), return_state=True)
    output, *states = layer(x)
    assert [[s.shape[1] for s in e] if isinstance(e, list) else e.shape[1] for e in states] == [[4, 4], 3, [2, 2], 5, 2]
    again, *after = layer(x, initial_state=states)
    assert not np.array_equal(again, output)
    entered = layer(x, initial_state=[list(states[0]), *states[1:]])
    same_bits(list(entered), [again, *after])


def test_S3_a_single_state_in_a_list_keeps_its_list(rng):
    class Listed(rk.Cell):
        def __init__(self):
            super().__init__()
            self.state_size = [3]

        def call(self, inputs, states):
            return states[0], [states[0] + 1]

    output, *states = rk.RNN([Listed(), leaky(units=2)], return_state=True)(rng.normal(size=(2, 4, 3)))
    assert isinstance(states[0], list) and states[0][0].shape == (2, 3) and states[1].shape == (2, 2)


def test_S3_a_stack_of_one_is_a_stack(rng):
    x = rng.normal(size=(2, 5, 3))
    layer = rk.RNN([rk.LSTMCell(4)], return_state=True)
    output, *states = layer(x)
    assert len(states) == 1 and isinstance(states[0], list) and len(states[0]) == 2
    layer(x, initial_state=states)
    with pytest.raises(ValueError):
        layer(x, initial_state=states[0])
    bare = rk.RNN([rk.GRUCell(4)], return_state=True)
    output, state = bare(x)
    same_bits(list(bare(x, initial_state=state)), list(bare(x, initial_state=[state])))


def test_S3_built_in_bare_states_may_come_in_a_list(rng):
    x, s = rng.normal(size=(2, 5, 3)), rng.normal(size=(2, 4))
    layer = rk.RNN([rk.GRUCell(4), rk.SimpleRNNCell(4)], return_state=True)
    expected = layer(x, initial_state=[s, s])
    for nesting in ([[s], s], [s, [s]], [[s], [s]], ([s], (s,))):
        same_bits(list(layer(x, initial_state=nesting)), list(expected))


@every_cell
def test_S4_results_are_the_callers_own(name):
    for stateful in (False, True):
        layer = fresh(name, stateful=stateful)
        x, constants = inputs(name, 3, 4)
        first = flat(list(layer(x, constants=constants)))
        kept = [a.copy() for a in first]
        second = flat(list(layer(2 * x, constants=constants)))
        same_bits(first, kept)
        kept = [a.copy() for a in flat(list(layer(x, constants=constants, initial_state=random_states(layer, 3))))]
        for array in first + second:
            array[...] = np.nan  # writeable, and nobody else's
        got = flat(list(layer(x, constants=constants, initial_state=random_states(layer, 3))))
        same_bits(got, kept)
        for n, a in enumerate(got):
            assert not any(np.shares_memory(a, b) for b in got[n + 1 :])


@every_cell
def test_S4_inputs_are_never_modified(name):
    layer = layer_of(name)
    x, constants = inputs(name, 3, 4)
    mask, start = make_mask("random", 3, 4, np.random.default_rng(1)), random_states(layer, 3)
    given = [x, mask, *(constants or []), *flat(start)]
    kept = [a.copy() for a in given]
    output, *states = layer(x, mask=mask, constants=constants, initial_state=start)
    for a in flat([output, *states]):
        assert not any(np.shares_memory(a, b) for b in given)
        a[...] = 5
    same_bits(given, kept)


@every_cell
def test_S4_a_step_of_nothing_hands_out_no_input(name):
    layer, (x, constants) = layer_of(name), inputs(name, 2, 3)
    start = random_states(layer, 2)
    _, *states = layer(x, mask=np.zeros((2, 3)), constants=constants, initial_state=start)
    assert not any(np.shares_memory(a, b) for a in flat(states) for b in flat(start))


@every_cell
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_S5_empty_batch_and_empty_time(name, dtype):
    for backwards in (False, True):
        layer = layer_of(name, dtype=dtype, go_backwards=backwards)
        width = layer(*[inputs(name, 2, 1, dtype=dtype)[0]], constants=inputs(name, 2, 1, dtype=dtype)[1])[0].shape[2:]
        for batch, time in ((0, 3), (2, 0), (0, 0)):
            x, constants = inputs(name, batch, time, dtype=dtype)
            start = random_states(layer, batch, dtype)
            for mask in (None, np.ones((batch, time))):
                output, *states = layer(x, constants=constants, initial_state=start, mask=mask)
                assert output.shape == (batch, time, *width) and output.dtype == dtype
                if time == 0:
                    same_bits(states, start)
                last = layer_of(name, dtype=dtype, return_sequences=False, return_state=False)
                y = last(x, constants=constants, initial_state=start, mask=mask)
                same_bits(y, np.zeros((batch, *width), dtype))
            with rk.eager():
                assert layer(x, constants=constants)[0].shape == (batch, time, *width)


FEATURELESS = [n for n in NAMED if n not in ("OldStyle",)]  # that one reads x[:, :1]


@pytest.mark.parametrize("name", FEATURELESS)
def test_S5_no_features(name):
    layer = layer_of(name, features=0)
    x, constants = inputs(name, 3, 4, features=0)
    output, *states = layer(x, constants=constants)
    assert output.shape[:2] == (3, 4) and [s.shape[1:] for s in flat(states)] == list(NAMED[name].states(17, 0))
    step = NAMED[name].step(layer.cell, layer, constants or ())
    ran = reference.run(step, x, flat(list(layer.get_initial_state(3))))
    close(output, ran.outputs)


@every_cell
def test_S6_computed_shape_is_the_returned_one(name):
    for sequences in (False, True):
        for state in (False, True):
            layer = layer_of(name, return_sequences=sequences, return_state=state)
            for batch, time in ((3, 4), (2, 0)):
                x, constants = inputs(name, batch, time)
                returned = layer(x, constants=constants)
                computed = layer.compute_output_shape(x.shape)
                assert shapes(returned) == tupled(computed)
            unknown = layer.compute_output_shape((None, None, 5))
            output = unknown[0] if state else unknown
            assert output[0] is None and output[1:2] == ((None,) if sequences else returned_width(returned, state))


def returned_width(returned, state):
    return (returned[0] if state else returned).shape[1:2]


def shapes(tree):
    return tree.shape if isinstance(tree, np.ndarray) else tuple(shapes(entry) for entry in tree)


def tupled(tree):
    return tuple(tupled(e) if isinstance(e, list | tuple) else e for e in tree)


@pytest.mark.parametrize("merge_mode", ["concat", "sum", "mul", "ave", None])
def test_S6_computed_shape_of_bidirectional(merge_mode, rng):
    x = rng.normal(size=(3, 4, 5))
    for sequences in (False, True):
        for state in (False, True):
            inner = rk.LSTM(2, return_sequences=sequences, return_state=state)
            layer = rk.Bidirectional(inner, merge_mode=merge_mode)
            returned = layer(x)
            assert shapes(returned) == tupled(layer.compute_output_shape(x.shape))


def test_S6_computed_shape_of_the_other_layers(rng):
    x = rng.normal(size=(3, 4, 5))
    for layer in (
        *(rk.Dense(2), rk.Dropout(0.5), rk.Masking(), rk.TimeDistributed(rk.Dense(2)), rk.SimpleRNN(2)),
        rk.Sequential([rk.Masking(), rk.GRU(3, return_sequences=True), rk.TimeDistributed(rk.Dense(2))]),
    ):
        assert layer(x).shape == tuple(layer.compute_output_shape(x.shape))
        assert tuple(layer.compute_output_shape((None, *x.shape[1:])))[:1] == (None,)
    embedding = rk.Embedding(7, 3)
    assert embedding(np.zeros((3, 4), int)).shape == tuple(embedding.compute_output_shape((3, 4)))


def test_S6_shape_before_anything_is_built():
    assert tuple(rk.LSTM(6, return_sequences=True).compute_output_shape((None, None, 3))) == (None, None, 6)
    assert tuple(rk.RNN(leaky(units=6)).compute_output_shape((2, 7, 3))) == (2, 6)


# S7


def test_S7_weights_are_named_read_only_and_ordered():
    layer = layer_of("simple")
    assert list(layer.weights) == ["kernel", "recurrent_kernel", "bias"]
    for got, named in zip(layer.get_weights(), layer.weights.values(), strict=True):
        same_bits(got, named)
    for array in layer.weights.values():
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    assert layer.count_params() == 5 * 17 + 17 * 17 + 17


def test_S7_get_weights_gives_copies():
    layer = fresh("simple")
    taken = layer.get_weights()
    for array in taken:
        if array.flags.writeable:
            array[...] = 0
    assert all(a.any() for a in layer.get_weights())


@pytest.mark.parametrize("name", [n for n, c in NAMED.items() if n not in ("moving_average", "OldStyle")])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_S7_the_next_call_sees_new_weights(name, dtype, rng):
    layer, other = fresh(name, units=9, dtype=dtype), fresh(name, units=9, dtype=dtype, seed=8)
    x, constants = inputs(name, 3, 6, dtype=dtype)
    layer(x, constants=constants)
    new = other.get_weights()
    layer.set_weights(new)
    for array in new:
        if array.flags.writeable:
            array[...] = np.nan  # set_weights has copied
    same_bits(list(layer(x, constants=constants)), list(other(x, constants=constants)))
    with rk.eager():
        output = layer(x, constants=constants)[0]
    if NAMED[name].steady:
        close(output, other(x, constants=constants)[0], dtype)
    first = next(iter(layer.weights))
    value = rng.normal(size=layer.weights[first].shape)
    kept = value.astype(dtype)
    layer.weights[first] = value
    value[...] = np.nan
    same_bits(layer.weights[first], kept)
    other.set_weights([kept, *other.get_weights()[1:]])
    same_bits(list(layer(x, constants=constants)), list(other(x, constants=constants)))


def test_S7_assignment_checks_the_shape_and_casts(rng):
    layer = fresh("simple", dtype="float32")
    layer.weights["bias"] = list(range(17))
    assert layer.weights["bias"].dtype == np.float32 and layer.get_weights()[2][16] == 16
    layer.weights["bias"] = np.zeros(17, "int8")
    with pytest.raises(ValueError, match=r"\(17,\).*\(16,\)"):
        layer.weights["bias"] = np.zeros(16)
    assert not layer.get_weights()[2].any()


def test_S7_weights_of_a_composite_have_paths():
    layer = rk.RNN([simple(units=3), rk.LSTMCell(2)])
    layer.build((None, None, 4))
    assert list(layer.weights) == [f"0/{n}" for n in ("kernel", "recurrent_kernel", "bias")] + [
        f"1/{n}" for n in ("kernel", "recurrent_kernel", "bias")
    ]
    both = rk.Bidirectional(rk.GRU(3))
    both.build((None, None, 4))
    assert list(both.weights)[::3] == ["forward/kernel", "backward/kernel"]
    both.weights["backward/kernel"] = np.ones((4, 9))
    assert (both.get_weights()[3] == 1).all() and not (both.get_weights()[0] == 1).any()
