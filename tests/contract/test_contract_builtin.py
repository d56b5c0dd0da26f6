"""Built-in cells: rows B1 to B7 of docs/contract.md."""

import numpy as np
import pytest
import reference
from cells_under_test import spread
from matrix import close, same_bits

import rnnkit as rk

every_layer = pytest.mark.parametrize("layer_class", [rk.SimpleRNN, rk.GRU, rk.LSTM])
every_dtype = pytest.mark.parametrize("dtype", ["float64", "float32"])


def check(layer, equations, counts, rng, dtype, **equation_options):
    """A layer against its equations: sequences, states and the last output, with and without a mask."""
    x = rng.normal(size=(3, 7, 5)).astype(dtype)
    output, *states = layer(x)
    step = equations(*layer.get_weights(), **equation_options)
    start = tuple(np.zeros((3, 6), dtype) for _ in range(counts))
    for mask in (None, rng.random((3, 7)) < 0.6):
        output, *states = layer(x, mask=mask)
        ran = reference.run(step, x, start, mask)
        close(output, ran.outputs, dtype)
        close(states, ran.states, dtype)


OPTIONS = {"return_sequences": True, "return_state": True, "bias_initializer": spread, "seed": 4}


@every_dtype
def test_B1_simple_rnn(dtype, rng):
    layer = rk.SimpleRNN(6, **OPTIONS)
    check(layer, reference.simple_rnn, 1, rng, dtype)
    assert [w.shape for w in layer.get_weights()] == [(5, 6), (6, 6), (6,)]


@every_dtype
def test_B2_gru(dtype, rng):
    layer = rk.GRU(6, **OPTIONS)
    check(layer, reference.gru_reset_after, 1, rng, dtype)
    assert [w.shape for w in layer.get_weights()] == [(5, 18), (6, 18), (2, 18)]


@every_dtype
def test_B3_gru_with_the_reset_before(dtype, rng):
    layer = rk.GRU(6, reset_after=False, **OPTIONS)
    check(layer, reference.gru_reset_before, 1, rng, dtype)
    assert [w.shape for w in layer.get_weights()] == [(5, 18), (6, 18), (18,)]


@every_dtype
def test_B4_lstm(dtype, rng):
    layer = rk.LSTM(6, **OPTIONS)
    check(layer, reference.lstm, 2, rng, dtype)
    assert [w.shape for w in layer.get_weights()] == [(5, 24), (6, 24), (24,)]


def test_B5_defaults():
    for layer, gates, bias_shape in ((rk.SimpleRNN(6), 1, (6,)), (rk.GRU(6), 3, (2, 18)), (rk.LSTM(6), 4, (24,))):
        layer.build((None, None, 5))
        kernel, recurrent, bias = layer.get_weights()
        assert list(layer.weights) == ["kernel", "recurrent_kernel", "bias"]
        assert kernel.dtype == np.float32 and bias.shape == bias_shape
        limit = np.sqrt(6 / (5 + 6 * gates))
        assert 0.7 * limit < np.abs(kernel).max() <= limit
        close(recurrent @ recurrent.T, np.eye(6), "float32")
        if gates != 4:
            assert not bias.any()
        config = layer.get_config()
        assert config["use_bias"] is True and config["activation"] == "tanh"
        assert config["kernel_initializer"] == "glorot_uniform" and config["recurrent_initializer"] == "orthogonal"
        assert config["bias_initializer"] == "zeros" and config["dropout"] == 0 and config["recurrent_dropout"] == 0
        if gates > 1:
            assert config["recurrent_activation"] == "sigmoid"
        for name in ("return_sequences", "return_state", "go_backwards", "stateful", "unroll"):
            assert config[name] is False
    assert rk.GRU(6).get_config()["reset_after"] is True and rk.LSTM(6).get_config()["unit_forget_bias"] is True


def test_B5_unit_forget_bias_sets_the_forget_quarter_only():
    for options, expected in (
        ({}, [0, 1, 0, 0]),
        ({"unit_forget_bias": False}, [0, 0, 0, 0]),
        ({"bias_initializer": "ones"}, [1, 1, 1, 1]),
    ):
        layer = rk.LSTM(3, **options)
        layer.build((None, None, 2))
        same_bits(layer.get_weights()[2], np.repeat(np.float32(expected), 3))
    layer = rk.LSTM(3, bias_initializer=spread)
    layer.build((None, None, 2))
    bias = layer.get_weights()[2]
    assert (bias[3:6] == 1).all() and not (bias[:3] == 1).any() and not (bias[6:] == 1).any() and bias[6:].all()


@pytest.mark.parametrize(
    "make, equations, counts",
    [
        (rk.SimpleRNN, reference.simple_rnn, 1),
        (rk.GRU, reference.gru_reset_after, 1),
        (lambda *a, **k: rk.GRU(*a, reset_after=False, **k), reference.gru_reset_before, 1),
        (rk.LSTM, reference.lstm, 2),
    ],
)
def test_B5_without_bias(make, equations, counts, rng):
    layer = make(6, use_bias=False, return_sequences=True, return_state=True)
    check(layer, equations, counts, rng, "float64")
    assert list(layer.weights) == ["kernel", "recurrent_kernel"]


def test_B5_initializers_by_name_and_function():
    layer = rk.GRU(4, kernel_initializer="ones", recurrent_initializer=lambda shape, rng: np.full(shape, 2.0))
    layer.build((None, None, 3))
    assert (layer.get_weights()[0] == 1).all() and (layer.get_weights()[1] == 2).all()


def test_B5_units_come_first_and_the_rest_by_name(rng):
    x = rng.normal(size=(2, 3, 4))
    assert rk.LSTM(6)(x).shape == rk.LSTM(units=6)(x).shape == (2, 6)
    assert rk.RNN(rk.LSTMCell(6))(x).shape == rk.RNN(rk.LSTMCell(units=6))(x).shape == (2, 6)


def test_B5_layer_and_cell_are_the_same_bits(rng):
    x = rng.normal(size=(2, 5, 4))
    for layer, cell in ((rk.LSTM, rk.LSTMCell), (rk.GRU, rk.GRUCell), (rk.SimpleRNN, rk.SimpleRNNCell)):
        one = layer(6, return_state=True, seed=2)
        expected = one(x)
        other = rk.RNN(cell(6), return_state=True, dtype="float64")
        other.build(x.shape)
        other.set_weights(one.get_weights())
        same_bits(list(other(x)), list(expected))


ACTIVATIONS = {
    None: lambda z: z,
    "linear": lambda z: z,
    "relu": lambda z: np.maximum(z, 0),
    "sigmoid": reference.sigmoid,
    "hard_sigmoid": reference.hard_sigmoid,
    "softplus": lambda z: np.logaddexp(z, 0),
    "exponential": np.exp,
    "softsign": lambda z: z / (1 + np.abs(z)),
    "silu": lambda z: z * reference.sigmoid(z),
    "softmax": lambda z: np.exp(z) / np.exp(z).sum(-1, keepdims=True),
}


@pytest.mark.parametrize("activation", list(ACTIVATIONS), ids=str)
def test_B6_activations(activation, rng):
    small = {"kernel_initializer": "uniform", "recurrent_initializer": "uniform"}
    layer = rk.SimpleRNN(6, activation=activation, **OPTIONS, **small)
    check(layer, reference.simple_rnn, 1, rng, "float64", activation=ACTIVATIONS[activation])


def test_B6_gates_and_functions(rng):
    def crooked(z):
        return np.where(z > 0, np.tanh(z), 0.1 * z)

    layer = rk.LSTM(6, activation=crooked, recurrent_activation="hard_sigmoid", **OPTIONS)
    check(layer, reference.lstm, 2, rng, "float64", activation=crooked, gate=reference.hard_sigmoid)
    layer = rk.GRU(6, activation=None, recurrent_activation=crooked, **OPTIONS)
    check(layer, reference.gru_reset_after, 1, rng, "float64", activation=lambda z: z, gate=crooked)


@every_layer
def test_B7_dropout_acts_only_in_training(layer_class, rng):
    x = rng.normal(size=(4, 6, 5))
    plain = layer_class(3, seed=1, return_sequences=True)
    for options in ({"dropout": 0.5}, {"recurrent_dropout": 0.5}, {"dropout": 0.3, "recurrent_dropout": 0.3}):
        layer = layer_class(3, seed=1, return_sequences=True, **options)
        same_bits(layer(x), plain(x))
        first, second = layer(x, training=True), layer(x, training=True)
        assert not np.array_equal(first, plain(x)) and not np.array_equal(first, second)
        again = layer_class(3, seed=1, return_sequences=True, **options)
        same_bits(again(x, training=True), first)
        same_bits(layer(x), plain(x))


def test_B7_one_mask_for_all_steps_inverted(rng):
    """With an identity for a kernel and nothing recurrent the mask itself comes out."""
    layer = rk.SimpleRNN(
        400,
        activation=None,
        kernel_initializer="identity",
        recurrent_initializer="zeros",
        dropout=0.25,
        return_sequences=True,
    )
    y = layer(np.ones((3, 5, 400)), training=True)
    assert (y == y[:, :1]).all()
    assert set(np.unique(y)) == {0.0, 1 / 0.75}
    assert 0.6 < (y[:, 0] != 0).mean() < 0.9
    assert not np.array_equal(y[0], y[1])


def test_B7_recurrent_mask_acts_on_h_inside_the_product_only(rng):
    """A GRU whose update gate is wide open keeps h undropped whatever the recurrent mask."""
    layer = rk.GRU(3, recurrent_dropout=1.0, return_sequences=True, return_state=True, bias_initializer=spread)
    x, start = rng.normal(size=(2, 4, 5)), rng.normal(size=(2, 3))
    layer.build(x.shape)
    y, _ = layer(x, initial_state=start, training=True)
    kernel, recurrent, bias = layer.get_weights()
    ran = reference.run(reference.gru_reset_after(kernel, 0 * recurrent, bias), x, (start,))
    close(y, ran.outputs, "float32")


@every_layer
def test_B7_rate_1_drops_everything(layer_class, rng):
    layer = layer_class(3, dropout=1.0, recurrent_dropout=1.0, return_sequences=True)
    x = rng.normal(size=(2, 4, 5))
    y = layer(x, training=True)
    assert np.isfinite(y).all()
    same_bits(layer(x * 100, training=True), y)


@pytest.mark.parametrize("rate", [-0.1, 1.1, np.nan, "half"])
@every_layer
def test_B7_rates_outside_are_refused(layer_class, rate):
    for name in ("dropout", "recurrent_dropout"):
        with pytest.raises((ValueError, TypeError), match=name):
            layer_class(3, **{name: rate})
    with pytest.raises((ValueError, TypeError)):
        rk.Dropout(rate)


def test_B7_cells_drop_too(rng):
    x = rng.normal(size=(4, 6, 5))
    layer = rk.RNN([rk.LSTMCell(3, dropout=0.5), rk.GRUCell(3, recurrent_dropout=0.5)], seed=1)
    plain, first = layer(x), layer(x, training=True)
    assert not np.array_equal(plain, first) and not np.array_equal(first, layer(x, training=True))
    same_bits(layer(x), plain)
