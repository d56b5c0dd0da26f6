"""Bad input: rows E1 to E15 of docs/contract.md, each refused at the edge,
with what was expected and what came.
"""

import numpy as np
import pytest
from cells_under_test import leaky, lstm, simple
from matrix import flat, same_bits

import rnnkit as rk

REFUSED = (ValueError, TypeError)


def stateful():
    """A layer that has run, so that a failed call could leave traces."""
    layer = rk.LSTM(4, stateful=True, return_sequences=True, dtype="float64", seed=1)
    layer(np.random.default_rng(0).normal(size=(3, 5, 8)))
    return layer


def refused(call, *words, layer=None):
    """``call`` is refused in one sentence that holds the words, and changes nothing."""
    before = None if layer is None else [[s.copy() for s in flat(layer.states)], layer.get_weights()]
    with pytest.raises(REFUSED) as raised:
        call()
    text = str(raised.value)
    for word in words:
        assert word in text, f"{word!r} is not in: {text}"
    assert "\n" not in text
    if layer is not None:
        same_bits([flat(layer.states), layer.get_weights()], before)
    return text


@pytest.mark.parametrize("shape", [(4, 8), (8,), (), (2, 3, 4, 8)])
def test_E1_wrong_rank(shape):
    layer = stateful()
    refused(lambda: layer(np.zeros(shape)), "(batch, time, 8)", str(shape), layer=layer)


def test_E1_wrong_rank_before_the_build():
    for make in (lambda: rk.LSTM(4), lambda: rk.RNN(leaky(units=3)), lambda: rk.Bidirectional(rk.GRU(2))):
        refused(lambda make=make: make()(np.zeros((4, 8))), "(4, 8)")
        refused(lambda make=make: make()(np.zeros(8)), "(8,)")


def test_E2_features_that_changed():
    layer = stateful()
    refused(lambda: layer(np.zeros((3, 5, 7))), "8", "(3, 5, 7)", layer=layer)
    refused(lambda: layer(np.zeros((3, 5, 0))), "8", "(3, 5, 0)", layer=layer)
    assert layer(np.zeros((3, 5, 8))).shape == (3, 5, 4)


@pytest.mark.parametrize(
    "x, word",
    [
        (np.zeros((3, 5, 8), complex), "complex"),
        (np.full((3, 5, 8), "1"), "U1"),
        (np.full((3, 5, 8), None), "object"),
        (np.zeros((3, 5, 8), "datetime64[s]"), "datetime64"),
        (np.zeros((3, 5, 8), [("a", float)]), "a"),
        (None, "None"),
        ("text", ""),
    ],
    ids=["complex", "text", "object", "dates", "records", "nothing", "string"],
)
def test_E3_not_numeric(x, word):
    layer = stateful()
    refused(lambda: layer(x), word, layer=layer)
    refused(lambda: rk.GRU(2)(x))


@pytest.mark.parametrize("dtype", ["float16", "longdouble"])
def test_E3_other_floats_name_what_to_use(dtype):
    if np.dtype(dtype) == np.float64:
        pytest.skip("longdouble is float64 here")
    x = np.zeros((3, 5, 8), dtype)
    text = refused(lambda: rk.LSTM(4)(x), "float32")
    assert "float64" in text
    refused(lambda: rk.LSTM(4, dtype=dtype).build((None, None, 3)), "float32")


@pytest.mark.parametrize("shape", [(3, 4), (3, 6), (1, 5), (3, 5, 8), (5,)])
def test_E4_mask_of_another_shape(shape):
    layer = stateful()
    refused(lambda: layer(np.zeros((3, 5, 8)), mask=np.ones(shape)), "mask", "(3, 5)", str(shape), layer=layer)


@pytest.mark.parametrize("mask", [np.ones((3, 5), complex), np.full((3, 5), "x"), "mask", [[1], [1, 1], [1]]])
def test_E4_mask_that_is_none(mask):
    layer = stateful()
    refused(lambda: layer(np.zeros((3, 5, 8)), mask=mask), "mask", layer=layer)


@pytest.mark.parametrize(
    "states",
    [
        [np.zeros((3, 4))],
        [np.zeros((3, 4))] * 3,
        [np.zeros((3, 4)), np.zeros((3, 5))],
        [np.zeros((3, 4)), np.zeros((2, 4))],
        [np.zeros((3, 4)), np.zeros(4)],
        [[np.zeros((3, 4))] * 2],
        [np.zeros((3, 4)), [np.zeros((3, 4))] * 2],
        np.zeros((3, 4)),
    ],
    ids="few many width batch rank nested half_nested bare".split(),
)
def test_E5_states(states):
    layer = stateful()
    text = refused(lambda: layer(np.zeros((3, 5, 8)), initial_state=states), "state", layer=layer)
    assert "expected" in text and "got" in text


@pytest.mark.parametrize("kind", [complex, "U1", object])
def test_E5_states_that_are_not_numeric(kind):
    layer = stateful()
    states = [np.zeros((3, 4)), np.zeros((3, 4)).astype(kind)]
    refused(lambda: layer(np.zeros((3, 5, 8)), initial_state=states), layer=layer)


def test_E6_another_batch_size():
    layer = stateful()
    refused(lambda: layer(np.zeros((4, 5, 8))), "3", "4", layer=layer)
    refused(lambda: layer(np.zeros((0, 5, 8))), "3", "0", layer=layer)


@pytest.mark.parametrize("make", [rk.LSTM, rk.GRU, rk.SimpleRNN, rk.LSTMCell, rk.Dense, leaky])
def test_E7_unknown_keyword(make):
    refused(lambda: make(units=4, unitz=3), "unitz")
    for gone in ("use_cudnn", "implementation"):
        refused(lambda gone=gone: make(units=4, **{gone: 2}), gone)


def test_E7_unknown_keyword_of_a_layer_and_of_a_call():
    layer = stateful()
    refused(lambda: rk.RNN(leaky(units=3), return_sequence=True), "return_sequence")
    refused(lambda: layer(np.zeros((3, 5, 8)), masks=None), "masks", layer=layer)
    refused(lambda: rk.Bidirectional(rk.GRU(2), merge="sum"), "merge")


@pytest.mark.parametrize("units", [0, -1, 2.5, 4.0, "4", None, True, (4,), np.nan])
def test_E8_units(units):
    for make in (rk.LSTM, rk.GRU, rk.SimpleRNN, rk.LSTMCell, rk.GRUCell, rk.SimpleRNNCell, rk.Dense):
        refused(lambda make=make: make(units), "units", repr(units))
    refused(lambda: simple(units=units), "units", repr(units))


def test_E8_units_missing():
    for make in (rk.LSTM, rk.GRUCell, simple):
        refused(make, "units")


def test_E8_numpy_integers_are_integers():
    assert rk.LSTM(np.int32(4))(np.zeros((1, 1, 1))).shape == (1, 4)


def test_E9_unknown_names():
    for name in ("activation", "recurrent_activation"):
        text = refused(lambda name=name: rk.LSTM(4, **{name: "tahn"}), "tahn", "tanh", "sigmoid")
        assert "relu" in text
    for name in ("kernel_initializer", "recurrent_initializer", "bias_initializer"):
        refused(lambda name=name: rk.LSTM(4, **{name: "glorot"}), "glorot", "glorot_uniform", "orthogonal")
    refused(lambda: rk.Dense(4, activation="tahn"), "tahn", "tanh")
    for bad in (3, object()):
        refused(lambda bad=bad: rk.SimpleRNN(4, activation=bad))
    refused(lambda: weighted("glorot").build((None, None, 3)), "glorot_uniform")


def weighted(initializer):
    spec = {"kernel": rk.Weight(("features", "units"), initializer)}
    return rk.RNN(rk.cell(states={"h": "units"}, weights=spec)(lambda x, states, weights: (states[0], states))(units=2))


def test_E10_a_cell_without_step_or_spec():
    class NoSpec:
        def call(self, inputs, states):
            return inputs, states

    class NoStep:
        state_size = 3

    class SubclassWithoutSpec(rk.Cell):
        call = NoSpec.call

    class SubclassWithoutStep(rk.Cell):
        state_size = 3

    for cell, word in ((NoSpec(), "state_size"), (NoStep(), "call"), (object(), "call"), (3, "int"), (None, "None")):
        refused(lambda cell=cell: rk.RNN(cell), word)
    for cell, word in ((SubclassWithoutSpec(), "state_size"), (SubclassWithoutStep(), "call")):
        refused(lambda cell=cell: rk.RNN(cell)(np.zeros((1, 1, 1))), word)
    refused(lambda: rk.RNN(simple), "simple")  # the class of cells, not a cell
    refused(lambda: rk.RNN([]), "cell")
    refused(lambda: rk.RNN([leaky(units=2), 3]), "int")
    refused(lambda: rk.cell(states={"h": 3})(7))


@pytest.mark.parametrize("size", [0, -2, 1.5, "two", [], [3, 0], [(2, 0)], None])
def test_E10_a_state_size_that_is_none(size):
    class Bad(rk.Cell):
        state_size = size

        def call(self, inputs, states):
            return inputs, states

    refused(lambda: rk.RNN(Bad())(np.zeros((1, 1, 1))), "state")


@pytest.mark.parametrize("size", [0, -2, 1.5, "three*x*", "unknown", None, (3, 0)])
def test_E10_a_declared_size_that_is_none(size):
    def make():
        return rk.RNN(rk.cell(states={"h": size})(lambda x, states, weights: (x, states))())(np.zeros((1, 1, 1)))

    refused(make)


STEPS = {
    "too few": lambda x, states, weights: (x, (states[0],)),
    "too many": lambda x, states, weights: (x, (*states, x)),
    "a bare array for two": lambda x, states, weights: (x, states[0]),
    "another width": lambda x, states, weights: (x, (states[0][:, :2], states[1])),
    "another rank": lambda x, states, weights: (x, (states[0][:, :, None], states[1])),
    "swapped": lambda x, states, weights: (x, (states[1], states[0])),
    "a number": lambda x, states, weights: (x, (0.0, states[1])),
    "no states": lambda x, states, weights: x,
    "nothing": lambda x, states, weights: None,
}


@pytest.mark.parametrize("what", list(STEPS))
def test_E11_a_step_that_departs_from_its_spec(what):
    odd = rk.cell(states={"a": 3, "b": 4})
    text = refused(lambda: rk.RNN(odd(STEPS[what])())(np.zeros((2, 3, 5))))
    assert "expected" in text or "state" in text


def test_E11_in_a_class_cell():
    class Odd(rk.Cell):
        state_size = (3, 4)

        def call(self, inputs, states):
            return inputs, [states[0], states[0]]

    refused(lambda: rk.RNN(Odd())(np.zeros((2, 3, 5))), "Odd", "3", "4")


def test_E12_set_weights():
    layer = stateful()
    w = layer.get_weights()
    refused(lambda: layer.set_weights(w[:2]), "3", "2", layer=layer)
    refused(lambda: layer.set_weights([*w, w[0]]), "3", "4", layer=layer)
    refused(lambda: layer.set_weights([w[0], w[1], w[2][:-1]]), "(16,)", "(15,)", layer=layer)
    refused(lambda: layer.set_weights([2 * w[0], w[1].T, w[2]]), "(4, 16)", "(16, 4)", layer=layer)
    refused(lambda: layer.set_weights([w[0] * 1j, w[1], w[2]]), layer=layer)
    refused(lambda: layer.weights.__setitem__("kernel", np.zeros((8, 15))), "(8, 16)", "(8, 15)", layer=layer)
    refused(lambda: layer.weights.__setitem__("kernel", np.full((8, 16), "x")), layer=layer)


def test_E12_weights_of_a_composite():
    layer = rk.Bidirectional(rk.GRU(2))
    layer.build((None, None, 3))
    w = layer.get_weights()
    refused(lambda: layer.set_weights(w[:3]), "6", "3", layer=None)
    refused(lambda: layer.set_weights([2 * w[0], *w[1:5], w[5][0]]))
    same_bits(layer.get_weights(), w)


def test_E13_weight_names():
    layer = stateful()
    for call in (lambda: layer.weights["kernle"], lambda: layer.weights.__setitem__("kernle", np.zeros(3))):
        with pytest.raises((KeyError, ValueError)) as raised:
            call()
        for word in ("kernle", "kernel", "recurrent_kernel", "bias"):
            assert word in str(raised.value)


def test_E13_is_also_a_value_error():
    layer = stateful()
    with pytest.raises(ValueError, match="kernel"):
        layer.weights["kernle"] = np.zeros(3)


def test_E14_a_failed_call_leaves_states_as_they_were():
    layer = stateful()
    x = np.random.default_rng(1).normal(size=(3, 5, 8))
    start = [np.zeros((3, 4))] * 2
    kept = [s.copy() for s in flat(layer.states)]
    for call in (
        lambda: layer(x, mask=np.ones((3, 4))),
        lambda: layer(x, mask=np.ones((3, 4)), initial_state=start),
        lambda: layer(x[:, :, :7], initial_state=start),
        lambda: layer(x, initial_state=start[:1]),
        lambda: layer(x[:2], initial_state=[s[:2] for s in start], mask=np.ones((3, 5))),
        lambda: layer(x, constants=[np.zeros((3, 1))]),
        lambda: layer.reset_states(states=start[:1]),
        lambda: layer.reset_states(rows=[3]),
    ):
        with pytest.raises(REFUSED):
            call()
        same_bits(flat(layer.states), kept)
    twin = stateful()
    same_bits(layer(x), twin(x))


def test_E14_in_composites():
    x = np.random.default_rng(1).normal(size=(3, 5, 8))
    for make in (
        lambda: rk.Bidirectional(rk.GRU(2, stateful=True), seed=1),
        lambda: rk.RNN([lstm(units=2), leaky(units=3)], stateful=True, seed=1),
        lambda: rk.Sequential([rk.GRU(2, stateful=True, return_sequences=True), rk.LSTM(3, stateful=True)], seed=1),
    ):
        layer, twin = make(), make()
        layer(x), twin(x)
        for wrong in ({"mask": np.ones((3, 4))}, {"x": x[:, :, :7]}, {"x": x[:2]}):
            with pytest.raises(REFUSED):
                layer(wrong.pop("x", x), **wrong)
        same_bits(layer(x), twin(x))


def test_E14_an_error_inside_a_first_call_leaves_no_half_built_layer():
    layer = rk.LSTM(4, seed=1)
    with pytest.raises(REFUSED):
        layer(np.zeros((3, 5, 8)), mask=np.ones((3, 4)))
    x = np.random.default_rng(1).normal(size=(3, 5, 8)).astype("float32")
    same_bits(layer(x), rk.LSTM(4, seed=1)(x))


def test_E15_nan_and_infinity_are_passed_on():
    for value, dtype in ((np.nan, "float64"), (np.inf, "float32")):
        x = np.zeros((2, 4, 3), dtype)
        x[0, 2, 1] = value
        for layer in (rk.LSTM(4, return_sequences=True), rk.RNN(simple(units=4), return_sequences=True)):
            for eager in (False, True):
                if eager:
                    with rk.eager(), np.errstate(invalid="ignore"):  # inf - inf in a product
                        y = layer(x)
                else:
                    y = layer(x)
                assert np.isfinite(y[0, :2]).all() and np.isfinite(y[1]).all()
                if np.isnan(value):
                    assert np.isnan(y[0, 2:]).any(axis=-1).all()


def test_E15_infinity_saturates():
    step = rk.cell(states={"h": 1})(lambda x, states, weights: (np.tanh(x), states))
    same_bits(rk.RNN(step())(np.full((1, 1, 1), np.inf)), np.ones((1, 1)))
    same_bits(rk.RNN(step())(np.full((1, 1, 1), -np.inf)), -np.ones((1, 1)))
