"""Steps of one row, and states and outputs that are numbers: what they are to the layer around them."""

import sys

import numpy as np
import processes
import pytest

import rnnkit as rk
from rnnkit.steps.cell import prepare
from rnnkit.steps.step import Step

B, T = 3, 6
LSTM = {
    "kernel": rk.Weight(("features", "4*units")),
    "recurrent_kernel": rk.Weight(("units", "4*units"), "orthogonal"),
    "bias": rk.Weight(("4*units",), "normal"),
}


def lstm(x, states, weights, *, units):
    z = x @ weights.kernel + states.h @ weights.recurrent_kernel + weights.bias
    i, f, g, o = np.split(z, 4, axis=-1)
    c = rk.sigmoid(f) * states.c + rk.sigmoid(i) * np.tanh(g)
    h = rk.sigmoid(o) * np.tanh(c)
    return h, (h, c)


def garch(x, states, constants):
    omega, alpha, beta = constants
    h = omega + alpha * states.e * states.e + beta * states.h
    return -0.5 * (np.log(h) + x[0] * x[0] / h), (h, x[0])


def leaky(x, states, weights, draws, training):
    """Vectors and numbers, a draw and a weight; the last state is a number made of none of them."""
    h = np.concatenate([states.h[1:], x[:1]]) * (draws.kept if training else 1.0)
    return {"sum": h.sum(), "h": h @ weights.kernel}, (h, states.n + 1.0, 0.5)


class Oscillator(rk.Cell):
    state_size = ((), ())
    per_row = True

    def call(self, inputs, states):
        position, speed = states
        speed = speed - 0.1 * position + inputs[0]
        return position, [position + 0.1 * speed, speed]


CELLS = {
    "lstm": rk.cell(states={"h": "units", "c": "units"}, weights=LSTM, per_row=True)(lstm)(4),
    "garch": rk.cell(states={"h": (), "e": ()}, initial={"h": 1.0}, per_row=True)(garch)(),
    "leaky": rk.cell(
        states={"h": 3, "n": (), "half": ()},
        weights={"kernel": rk.Weight((3, 2))},
        draws={"kept": rk.Draw((3,), lambda rng, shape: rng.integers(0, 2, shape))},
        per_row=True,
    )(leaky)(),
    "oscillator": Oscillator(),
}


def arrays_of(name, rng, dtype):
    constants = [rng.uniform(*ends, B).astype(dtype) for ends in ((0.1, 0.2), (0.1, 0.2), (0.6, 0.7))]
    return rng.normal(size=(B, T, 2)).astype(dtype), {"constants": constants} if name == "garch" else {}


def listed(value):
    if isinstance(value, dict):
        value = list(value.values())
    return [leaf for one in value for leaf in listed(one)] if isinstance(value, (list, tuple)) else [value]


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("sequences", [True, False])
def test_C16_a_layer_of_one_rows_steps_is_what_eager_says(name, sequences):
    x, given = arrays_of(name, np.random.default_rng(0), np.float64)
    layer = rk.RNN(CELLS[name], return_sequences=sequences, return_state=True, seed=0, dtype="float64")
    mask = np.random.default_rng(1).random((B, T)) < 0.7
    for call in ({}, {"mask": mask}):
        got = layer(x, **given, **call)
        with rk.eager():
            expected = layer(x, **given, **call)
        for a, b in zip(listed(got), listed(expected), strict=True):
            assert a.shape == b.shape
            np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-13)


def test_an_lstm_for_one_row_is_the_graph_of_one_for_a_batch():
    x = np.random.default_rng(0).normal(size=(B, T, 2)).astype(np.float32)
    layers = [
        rk.RNN(rk.cell(states={"h": "units", "c": "units"}, weights=LSTM, per_row=one)(lstm)(4), seed=1)
        for one in (False, True)
    ]
    batch, row = (layer(x) for layer in layers)
    assert batch.tobytes() == row.tobytes()
    assert layers[0].explain(graph=True) == layers[1].explain(graph=True)


def test_steps_of_one_row_and_of_a_batch_stand_in_one_stack():
    x = np.random.default_rng(0).normal(size=(B, T, 2)).astype(np.float32)
    results = []
    for kinds in ((True, False), (False, True), (False, False)):
        cells = [
            rk.cell(states={"h": "units", "c": "units"}, weights=LSTM, per_row=one)(lstm)(units)
            for one, units in zip(kinds, (4, 3), strict=True)
        ]
        layer = rk.Bidirectional(rk.RNN(cells, seed=1, return_sequences=True))
        results.append(layer(x).tobytes())
    assert results[0] == results[1] == results[2]


FIRST = """
import rnnkit as rk

@rk.cell(states={"h": 1}, per_row=True)
def grown(x, states):
    (h,) = states
    while h[0] < 1.0:
        h = h + x * x  # of zeros for ever
    return h, h

layer = rk.RNN([grown(), rk.SimpleRNNCell(3)])
layer.build((None, None, 1))
print(layer.compute_output_shape((None, None, 1)))
"""


def test_a_stack_reads_its_steps_of_one_row_before_anything_is_compiled(tmp_path):
    (tmp_path / "first.py").write_text(FIRST)
    done = processes.run([sys.executable, str(tmp_path / "first.py")], check=True)
    assert done.stdout.split("\n")[0] == "(None, 3)"


def test_C2_numbers_as_states_and_outputs_have_no_axis_of_their_own():
    x, given = arrays_of("garch", np.random.default_rng(0), np.float32)
    layer = rk.RNN(CELLS["garch"], return_sequences=True, return_state=True)
    y, h, e = layer(x, **given)
    assert y.shape == (B, T) and h.shape == e.shape == (B,)
    assert layer.compute_output_shape(x.shape)[0] == (B, T)
    assert [a.shape for a in listed(layer.trajectory(x, **given))] == [(B, T)] * 3
    again = layer(x, **given, initial_state=[np.ones(B), np.zeros(B)])
    assert again[0].tobytes() == y.tobytes()
    last = rk.RNN(CELLS["garch"])(x, **given)
    assert last.shape == (B,) and last.tobytes() == np.ascontiguousarray(y[:, -1]).tobytes()
    assert rk.RNN(CELLS["oscillator"])(np.zeros((0, T, 1))).shape == (0,)


def test_numbers_as_states_go_from_call_to_call_and_in_a_stream():
    x, _ = arrays_of("oscillator", np.random.default_rng(0), np.float32)
    whole = rk.RNN(CELLS["oscillator"], return_sequences=True)(x)
    stateful = rk.RNN(CELLS["oscillator"], return_sequences=True, stateful=True)
    parts = np.concatenate([stateful(x[:, :2]), stateful(x[:, 2:])], axis=1)
    assert parts.tobytes() == whole.tobytes()
    stateful.reset_states()
    stream = stateful.stream(B)
    assert np.stack([stream.step(x[:, t]) for t in range(T)], 1).tobytes() == whole.tobytes()


def test_the_gradient_by_numbers_per_row_is_that_of_central_differences():
    x, given = arrays_of("garch", np.random.default_rng(0), np.float64)
    layer = rk.RNN(CELLS["garch"], dtype="float64")
    start = [np.full(B, 0.9), np.full(B, 0.3)]
    y, pull = layer.vjp(x, **given, initial_state=start)
    d = np.array([1.0, -2.0, 0.5])
    found = pull(d)
    assert y.shape == (B,)
    for arrays, gradients in ((given["constants"], found.constants), (start, found.initial_state)):
        for array, gradient in zip(arrays, gradients, strict=True):
            values = []
            for step in (1e-6, -1e-6):
                array += step
                values.append(d * layer(x, **given, initial_state=start))
                array -= step
            np.testing.assert_allclose(gradient, (values[0] - values[1]) / 2e-6, rtol=1e-5, atol=1e-8)


def test_C2_states_have_names_in_every_declared_step_jitted_ones_too():
    @rk.cell(states={"h": "features", "count": 1})
    def resets(x, states):
        h = states.h.copy()
        if states.count[0, 0] > 1:
            h[0, 0] = 0.0
        return h, (h + x, states.count + 1)

    layer = rk.RNN(resets())
    y = layer(np.ones((2, 4, 2)))
    assert "jitted" in layer.explain() and y.tolist() == [[0.0, 3.0]] * 2


def test_the_step_of_one_row_is_called_by_row_with_draws_and_no_rows_at_all():
    cell = CELLS["leaky"]
    prepare(cell, (None, 2), np.float64, np.random.default_rng(0))
    step = Step(cell, (2,))
    assert step.output_shape() == (3,)  # a number and two of a vector, side by side
    assert step.used_draws(training=True) == ("kept",) and step.used_draws(training=False) == ()


def test_a_step_of_one_row_with_a_vjp_is_refused():
    made = rk.cell(states={"h": ()}, per_row=True, vjp=lambda x, states, d_output, d_states: None)

    @made
    def step(x, states):
        return states.h, states.h

    with pytest.raises(ValueError, match=r"expected 'step' without a vjp of its own, since its step is of one row"):
        rk.RNN(step())(np.zeros((1, 2, 1)))


@rk.cell(states={"a": (), "b": ()}, initial={"a": 1.0}, per_row=True)
def climbing(x, states):
    """Of an x of 0, its loop would never end."""
    a, b, rounds = states.a + 1.0 / x[0], states.b, 0
    while a + b < 9:
        b = b + x[0]
        rounds += 1
    return float(rounds), (0.1 * a, 0.1 * b)


def test_rows_that_are_masked_go_no_step_of_their_own_in_plain_python():
    layer = rk.RNN(climbing(), return_sequences=True, return_state=True, dtype="float64")
    rng = np.random.default_rng(0)
    x, mask = rng.random((4, 6, 1)) + 0.5, rng.random((4, 6)) < 0.6
    mask[2], mask[:, 3] = False, False
    x[~mask] = 0
    with rk.eager():
        expected = layer(x, mask=mask)
    for got, wanted in zip(layer(x, mask=mask), expected, strict=True):
        np.testing.assert_array_equal(got, wanted)
