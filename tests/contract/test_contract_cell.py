"""Cells: rows C1 to C12 of docs/contract.md."""

import json
import types
from contextlib import nullcontext

import numpy as np
import pytest
import reference
from cells_under_test import CELLS, KERNEL, RECURRENT, MinimalRNNCell, OldStyle, leaky, lstm, simple, spread
from matrix import close, flat, fresh, inputs, layer_of, random_states, same_bits
from scipy import special

import rnnkit as rk

TRACED = [c.name for c in CELLS if c.how == "traced"]


def step_cell(step, states="units", weights=None, **more):
    """A cell with one state around a step: what most tests here need."""
    return rk.cell(states={"h": states}, weights=weights or {}, **more)(step)


def how(layer):
    return layer.explain()[:6]


# C1


def test_C1_declared_class_object_and_list(rng):
    x = rng.normal(size=(2, 4, 3))
    assert rk.RNN(leaky(units=5))(x).shape == (2, 5)
    assert rk.RNN(MinimalRNNCell(5))(x).shape == (2, 5)
    assert rk.RNN(OldStyle(5))(x).shape == (2, 5)
    for several in ([leaky(units=5), rk.LSTMCell(6)], (leaky(units=5), rk.LSTMCell(6))):
        layer = rk.RNN(several, seed=1)
        assert layer(x).shape == (2, 6)
        assert isinstance(layer.cell, rk.StackedRNNCells)
        stacked = rk.RNN(rk.StackedRNNCells([leaky(units=5), rk.LSTMCell(6)]), seed=1)
        same_bits(layer(x), stacked(x))


def test_C1_documented_example(rng):
    x = rng.normal(size=(2, 6, 5)).astype("float32")
    layer = rk.RNN(MinimalRNNCell(32), seed=0)
    y = layer(x)
    assert y.shape == (2, 32) and y.dtype == np.float32
    kernel, recurrent = layer.get_weights()
    assert kernel.shape == (5, 32) and np.abs(kernel).max() <= 0.05
    h = np.zeros((2, 32), "float32")
    for t in range(6):
        h = x[:, t] @ kernel + h @ recurrent
    close(y, h, "float32")
    stacked = rk.RNN([MinimalRNNCell(32), MinimalRNNCell(64)])
    assert stacked(x).shape == (2, 64)


def test_C1_first_example_of_the_contract(rng):
    x = rng.normal(size=(2, 6, 5))
    layer = rk.RNN(leaky(units=32, leak=0.5), return_sequences=True)
    y = layer(x)
    assert y.shape == (2, 6, 32)
    w, h = layer.weights, np.zeros((2, 32))
    for t in range(6):
        h = 0.5 * h + 0.5 * np.tanh(x[:, t] @ w["kernel"] + h @ w["recurrent_kernel"] + w["bias"])
        close(y[:, t], h)


# C2, C3, C4, C5


class Sized(rk.Cell):
    """Adds one to every state at each step."""

    def __init__(self, state_size, kind=list):
        super().__init__()
        self.state_size, self.kind = state_size, kind

    def call(self, inputs, states):
        return states[0], self.kind(s + 1 for s in states)


@pytest.mark.parametrize(
    "state_size, shapes",
    [
        (4, [(4,)]),
        ([4], [(4,)]),
        ((3, 4), [(3,), (4,)]),
        ([3, 4], [(3,), (4,)]),
        ([(2, 3)], [(2, 3)]),
        ([5, (2, 3)], [(5,), (2, 3)]),
        (np.int64(4), [(4,)]),
    ],
)
def test_C2_state_size(state_size, shapes, rng):
    output, *states = rk.RNN(Sized(state_size), return_state=True)(rng.normal(size=(6, 3, 2)))
    assert [s.shape for s in states] == [(6, *shape) for shape in shapes]
    assert all((s == 3).all() for s in states)


def test_C2_declared_sizes(rng):
    @rk.cell(states={"a": 2, "b": "features", "c": "units", "d": "2*units", "e": (3, "units")})
    def sizes(x, states, weights):
        a, b, c, d, e = states
        return c, (a + 1, b + x, c + 1, d + 1, e + 1)

    x = rng.normal(size=(7, 3, 4))
    output, *states = rk.RNN(sizes(units=5), return_state=True)(x)
    assert [s.shape for s in states] == [(7, 2), (7, 4), (7, 5), (7, 10), (7, 3, 5)]
    close(states[1], x.sum(1))


def test_C2_one_declared_state_of_two_axes_is_bare(rng):
    cell = step_cell(lambda x, states, weights: (states[0][:, 0], (states[0] + 1,)), (3, 4))()
    layer = rk.RNN(cell, return_state=True)
    x, start = np.zeros((2, 2, 1)), rng.normal(size=(2, 3, 4))
    output, state = layer(x, initial_state=start)
    same_bits(state, start + 1 + 1)
    same_bits(layer(x, initial_state=[start])[1], state)


def test_C3_output_size_is_optional(rng):
    x = rng.normal(size=(2, 3, 4))
    assert rk.RNN(Sized([3, 4]))(x).shape == (2, 3)
    assert rk.RNN([Sized([3, 4]), Sized(6)])(x).shape == (2, 6)


def test_C3_output_unlike_any_state(rng):
    class Wide(rk.Cell):
        state_size = 2
        output_size = 7

        def call(self, inputs, states):
            return np.concatenate([inputs, inputs + 1, states[0][:, :1]], axis=-1), [states[0] + 1]

    x = rng.normal(size=(2, 3, 3))
    layer = rk.RNN(Wide(), return_sequences=True)
    y = layer(x)
    same_bits(y[..., :6], np.concatenate([x, x + 1], -1))
    same_bits(y[..., 6], np.broadcast_to(np.arange(3.0), (2, 3)).copy())
    assert layer.compute_output_shape((None, 3, 3)) == (None, 3, 7)


@pytest.mark.parametrize("form", ["bare", "list", "tuple"])
def test_C4_initial_state_of_a_class(form, rng):
    class Start(Sized):
        def get_initial_state(self, batch_size):
            state = np.full((batch_size, 3), 4.0)
            return {"bare": state, "list": [state], "tuple": (state,)}[form]

    output, state = rk.RNN(Start(3), return_state=True)(np.zeros((5, 2, 1)))
    assert (output == 5).all() and (state == 6).all()


def test_C4_keras_two_signature_of_initial_state():
    class Start(Sized):
        def get_initial_state(self, inputs=None, batch_size=None, dtype=None):
            return [np.full((batch_size, 3), 2.0)]

    assert (rk.RNN(Start(3))(np.zeros((5, 1, 1))) == 2).all()


def test_C4_declared_initial_state():
    def start(batch_size):
        return np.full((batch_size, 2), 7.0)

    @rk.cell(states={"a": 3, "b": 2}, initial={"a": 1.5, "b": start})
    def started(x, states, weights):
        return np.concatenate(states, axis=-1), states

    layer = rk.RNN(started())
    same_bits(layer(np.zeros((4, 2, 1)))[1], np.array([1.5, 1.5, 1.5, 7, 7]))
    assert [s.shape for s in layer.get_initial_state(4)] == [(4, 3), (4, 2)]
    assert all((s == v).all() for s, v in zip(layer.get_initial_state(4), (1.5, 7), strict=True))


def test_C4_declared_initial_array():
    """It is copied, is of the state's shape, and what begins so is repeated as other calls are."""
    first = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    decorate = rk.cell(states={"p": (2, "n")}, initial={"p": first})

    @decorate
    def started(x, states, weights):
        p = states[0] + x[:, :, None]
        return p[:, 0], p

    first, given = first.copy(), first
    given[...] = 0
    layer, x = rk.RNN(started(n=3), return_state=True), np.ones((4, 2, 1))
    for _ in range(8):
        output, state = layer(x)
        same_bits(output, np.broadcast_to(first[0] + 2, (4, 3)))
        same_bits(state, np.broadcast_to(first + 2, (4, 2, 3)))
    with pytest.raises(ValueError, match=r"initial state 'p' as a number or in shape \(2, 4\), got \(2, 3\)"):
        rk.RNN(started(n=4))(x)
    for wrong in ("one", [["a"]], None):
        with pytest.raises((ValueError, TypeError), match="initial state 'p'"):
            rk.cell(states={"p": 2}, initial={"p": wrong})


def test_C4_zeros_otherwise():
    for name in ("simple", "SignatureCell", "OldStyle"):
        start = layer_of(name).get_initial_state(3)
        assert all(s.shape[0] == 3 and not s.any() for s in flat(start))


@pytest.mark.parametrize("kind", [list, tuple, next])
def test_C5_form_of_returned_states(kind):
    output, state = rk.RNN(Sized(3, kind), return_state=True)(np.zeros((2, 4, 1)))
    assert (state == 4).all() and (output == 3).all()


def test_C5_training_reaches_a_cell_that_takes_it(rng):
    class Shy(rk.Cell):
        state_size = 3

        def call(self, inputs, states, training=False):
            h = states[0] + (10 if training else 1)
            return h, [h]

    @rk.cell(states={"h": 3})
    def shy(x, states, weights, training):
        h = states[0] + (10 if training else 1)
        return h, h

    x = np.zeros((2, 4, 1))
    for layer in (rk.RNN(Shy()), rk.RNN(shy()), rk.RNN([Shy()])):
        assert (layer(x) == 4).all() and (layer(x, training=True) == 40).all() and (layer(x) == 4).all()
    same_bits(rk.RNN(simple(units=3), seed=1)(x, training=True), rk.RNN(simple(units=3), seed=1)(x))


# C6


@rk.cell(states={"h": "units"})
def adds_constants(x, states, weights, constants):
    (h,) = states
    first, second = constants
    h = 0.5 * h + first * x[:, :1] + second.sum(axis=(1, 2))[:, None]
    return h, h


def test_C6_constants_reach_every_step_whole(rng):
    x = rng.normal(size=(4, 3, 2))
    first, second = rng.normal(size=(4, 5)), rng.normal(size=(4, 3, 3))
    mask = np.array([[1, 1, 1], [0, 1, 0], [0, 0, 1], [1, 0, 0]])
    layer = rk.RNN(adds_constants(units=5), return_sequences=True)

    def step(x, states):
        h = 0.5 * states[0] + first * x[:, :1] + second.sum((1, 2))[:, None]
        return h, (h,)

    for options in ({}, {"mask": mask}):
        expected = reference.run(step, x, (np.zeros((4, 5)),), **options)
        close(layer(x, constants=[first, second], **options), expected.outputs)
        with rk.eager():
            close(layer(x, constants=[first, second], **options), expected.outputs)


def test_C6_constants_in_a_class_cell(rng):
    class Conditioned(rk.Cell):
        state_size = 5

        def call(self, inputs, states, constants):
            h = states[0] + constants[0]
            return h, [h]

    constant = rng.normal(size=(4, 5))
    close(rk.RNN(Conditioned())(np.zeros((4, 3, 2)), constants=[constant]), 3 * constant)


def test_C6_products_per_row(rng):
    @rk.cell(states={"h": 3})
    def products(x, states, weights, constants):
        (h,) = states
        (m,) = constants
        by_sum = (m * x[:, None, :]).sum(axis=-1)
        by_product = (m @ x[:, :, None])[:, :, 0]
        by_einsum = np.einsum("bsd,bd->bs", m, x)
        return np.concatenate([by_sum, by_product, by_einsum], axis=-1), h + by_sum

    x, m = rng.normal(size=(5, 2, 4)), rng.normal(size=(5, 3, 4))
    layer = rk.RNN(products(), return_state=True)
    output, state = layer(x, constants=[m])
    expected = np.einsum("bsd,btd->bts", m, x)
    close(output, np.concatenate([expected[:, 1]] * 3, -1))
    close(state, expected.sum(1))
    assert how(layer) == "traced"


def test_C6_stack_and_bidirectional_hand_constants_on(rng):
    x, a, b = rng.normal(size=(4, 3, 2)), rng.normal(size=(4, 5)), rng.normal(size=(4, 1, 2))
    stacked = rk.RNN([simple(units=4), adds_constants(units=5)], seed=0, return_sequences=True)
    below = rk.RNN(simple(units=4), return_sequences=True, dtype="float64")
    below.build((None, None, 2))
    alone = rk.RNN(adds_constants(units=5), return_sequences=True)
    y = stacked(x, constants=[a, b])
    below.set_weights(stacked.get_weights())
    close(y, alone(below(x), constants=[a, b]))
    alone = rk.RNN(adds_constants(units=5), return_sequences=True)
    both = rk.Bidirectional(alone)(x, constants=[a, b])
    close(both[..., :5], alone(x, constants=[a, b]))
    close(both[..., 5:], alone(x[:, ::-1], constants=[a, b])[:, ::-1])


def test_C6_bidirectional_with_an_output_unlike_its_state(rng):
    @rk.cell(states={"h": 1})
    def wide(x, states, weights, constants):
        h = states[0] + x[:, :1]
        return np.concatenate([h * constants[0], x], axis=-1), h

    x, c = rng.normal(size=(4, 3, 2)), rng.normal(size=(4, 60))
    layer = rk.Bidirectional(rk.RNN(wide(), return_sequences=True))
    alone = rk.RNN(wide(), return_sequences=True)
    expected = np.concatenate([alone(x, constants=[c]), alone(x[:, ::-1], constants=[c])[:, ::-1]], axis=-1)
    for _ in range(3):  # from the second call on, the layer is built, and both halves might be written in place
        assert (layer(x, constants=[c]) == expected).all()


@pytest.mark.parametrize("length", [1, 3, 5])
def test_C6_a_constant_has_one_entry_per_row(length, rng):
    layer, x = rk.RNN(adds_constants(units=5)), np.zeros((4, 3, 2))
    with pytest.raises(ValueError, match="4") as raised:
        layer(x, constants=[np.zeros((4, 5)), np.zeros((length, 3, 3))])
    assert str(length) in str(raised.value)


def test_C6_constants_to_a_cell_that_takes_none():
    for layer in (rk.RNN(simple(units=3)), rk.LSTM(3), rk.RNN([simple(units=3)])):
        with pytest.raises(ValueError, match="constants"):
            layer(np.zeros((2, 3, 1)), constants=[np.zeros((2, 1))])


# C7


def test_C7_inputs_of_higher_rank(rng):
    class Picture(rk.Cell):
        state_size = 4

        def build(self, input_shape):
            self.seen = tuple(input_shape)
            self.kernel = self.add_weight((input_shape[-1], 4), name="kernel")

        def call(self, inputs, states):
            h = np.tanh(inputs.sum(axis=1) @ self.kernel + states[0])
            return h, [h]

    x = rng.normal(size=(2, 5, 3, 6))
    cell = Picture()
    layer = rk.RNN(cell)
    y = layer(x)
    assert cell.seen[1:] == (3, 6)
    h = 0
    for t in range(5):
        h = np.tanh(x[:, t].sum(1) @ layer.weights["kernel"] + h)
    close(y, h)


def test_C7_weights_are_built_once(rng):
    layer = layer_of("simple")
    before = layer.get_weights()
    layer(rng.normal(size=(2, 3, 5)))
    layer(rng.normal(size=(3, 1, 5)))
    same_bits(layer.get_weights(), before)


# C8


@pytest.mark.parametrize("case", CELLS, ids=str)
def test_C8_explain_says_how(case):
    layer, (x, constants) = layer_of(case.name), inputs(case.name, 1, 1)
    layer(x, constants=constants)
    assert how(layer) == case.how
    assert len(layer.explain().splitlines()[0]) > len("traced")


def test_C8_listed_cells_are_traced():
    assert {c.name for c in CELLS if c.listed and c.how == "traced"} >= {
        *("simple", "leaky", "lstm", "PeepholeLSTMCell", "layer_norm_lstm", "gru_before", "gru_after"),
        *("minimal_gated", "outer_memory", "attention", "clockwork", "moving_average", "two_speeds"),
    }
    assert all(c.how == "traced" for c in CELLS if c.listed)


def test_C8_explain_shows_the_text():
    short, long = layer_of("simple").explain(), layer_of("simple").explain(source=True)
    assert len(long) > len(short) and "def " in long


def counts_digits(x, states, weights):
    (h,) = states
    for row in range(h.shape[0]):
        h = h * len(f"{h[row, 0]:.3f}")  # the line that neither the tracer nor numba takes
    return h, (h,)


def test_C8_neither_traced_nor_jitted_is_one_error_with_the_line():
    layer = rk.RNN(step_cell(counts_digits, 3)())
    with pytest.raises((TypeError, ValueError)) as raised:
        layer(np.zeros((2, 3, 1)))
    line = counts_digits.__code__.co_firstlineno + 3
    for words in (str(line), "counts_digits", ".3f", "test_contract_cell.py"):
        assert words in str(raised.value)


def test_C8_a_jitted_step_sees_one_row_at_a_time(rng):
    """A loop that ends where all rows together say would let rows meet; run row by row it can't."""

    @rk.cell(states={"h": 3})
    def shrink(x, states, weights):
        (h,) = states
        h = h + x
        while np.abs(h).max() > 1.0:
            h = h * 0.5
        return h, (h,)

    x = rng.normal(size=(5, 4, 3)) * np.array([0.1, 1, 5, 50, 0.01])[:, None, None]
    layer = rk.RNN(shrink(), return_sequences=True)
    y = layer(x)
    assert how(layer) == "jitted"
    same_bits(y, np.concatenate([layer(x[i : i + 1]) for i in range(5)]))
    with rk.eager():
        close(layer(x), y)


# C9


def both_ways(step, x, states=3, width=None, weights=None, ways=("traced",), tolerance=1.0, **sizes):
    """The compiled result of a step against the same step in a loop, and how it was compiled."""
    layer = rk.RNN(step_cell(step, states, weights)(**sizes), return_sequences=True, return_state=True, seed=3)
    output, state = layer(x)
    values = types.SimpleNamespace(**layer.weights)
    start = np.zeros_like(state)
    expected = reference.run(lambda x, s: (lambda y, n: (y, tuple(n)))(*step(x, s, values)), x, (start,))
    close(output, expected.outputs, x.dtype, tolerance)
    close(state, expected.states, x.dtype, tolerance)
    assert how(layer) in ways, layer.explain()
    return output


FUNCTIONS = "sigmoid relu softplus softmax gelu elu silu hard_sigmoid".split()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_C9_functions_in_a_step_and_on_arrays(dtype, rng):
    def step(x, states, weights):
        (h,) = states
        return np.concatenate([getattr(rk, name)(3 * x + h) for name in FUNCTIONS], axis=-1), (0.5 * h + x,)

    both_ways(step, rng.normal(size=(4, 5, 3)).astype(dtype))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_C9_common_ufuncs(dtype, rng):
    names = (
        "negative absolute sign square sqrt cbrt exp exp2 expm1 log log2 log10 log1p sin cos tan arcsin arccos "
        "arctan sinh cosh tanh arcsinh arctanh floor ceil rint trunc reciprocal"
    ).split()

    def step(x, states, weights):
        (h,) = states
        inside = 0.1 + 0.8 * np.abs(np.tanh(x))  # in (0, 1), the common domain
        return np.concatenate([getattr(np, n)(inside) for n in names], axis=-1), (h + 0.1 * x,)

    both_ways(step, rng.normal(size=(4, 5, 3)).astype(dtype))


def test_C9_ufuncs_of_two_arguments_and_logic(rng):
    def step(x, states, weights):
        (h,) = states
        a, b = x + 0.5 * h, 1.5 + np.abs(x)
        parts = [
            np.maximum(a, 0.2), np.minimum(a, b), np.fmax(a, -a), np.fmin(a, 0.1), np.power(b, 1.5), b**2, b**a,
            np.arctan2(a, b), np.hypot(a, b), np.mod(a, b), np.fmod(a, b), a // b, np.copysign(b, a),
            np.logaddexp(a, b),
            np.where((a > 0) & ~(b > 2) | (a < -1), a, b), np.where(np.logical_or(a > 1, b >= 2), 1.0, a),
            np.clip(a, -0.5, 0.5), np.where(np.isfinite(a), a, 0), np.heaviside(a, 0.5), -abs(a),
        ]  # fmt: skip
        return np.concatenate(parts, axis=-1), (0.5 * h + x,)

    both_ways(step, rng.normal(size=(4, 5, 3)))


@pytest.mark.parametrize("name", ["expit", "erf", "erfc", "log1p", "expm1", "log_expit", "xlogy", "entr"])
def test_C9_scipy_special(name, rng):
    function = getattr(special, name)

    def step(x, states, weights):
        (h,) = states
        inside = np.abs(x + 0.1 * h) + 0.3
        y = function(inside, inside) if name == "xlogy" else function(inside)
        return y, (0.5 * h + x,)

    both_ways(step, rng.normal(size=(4, 5, 3)), ways=("traced", "jitted"))


def test_C9_shapes_in_a_step(rng):
    def step(x, states, weights):
        (h,) = states
        cube = h.reshape(h.shape[0], 2, 3)
        turned = np.transpose(cube, (0, 2, 1)).reshape(-1, 6)
        first, rest = np.split(turned, [2], axis=1)
        parts = [
            turned, np.stack([first[:, 0], rest[:, -1]], axis=1), cube.sum(axis=(1, 2))[:, None], cube.mean(axis=2),
            cube.var(axis=1), cube.std(axis=-1), cube.max(axis=1), cube.min(axis=(1, 2), keepdims=True)[:, 0],
            h[:, ::-1], h[:, 1::2], h[..., -1:], np.swapaxes(cube, 1, 2)[:, 0], cube[:, None, :, 1][:, 0],
            np.hstack([first, first]), np.squeeze(h[:, None, :2], axis=1), np.expand_dims(h[:, 0], 1),
            np.tile(h[:, :1], (1, 2)), np.roll(h, 1, axis=1), np.cumsum(h, axis=1), np.prod(cube, axis=2),
        ]  # fmt: skip
        return np.concatenate(parts, axis=-1), (0.5 * h + np.concatenate([x, np.ones_like(x)], axis=1),)

    both_ways(step, rng.normal(size=(4, 5, 3)), 6)


def test_C9_products_in_a_step(rng):
    fixed = rng.normal(size=(3, 3))

    def step(x, states, weights):
        (h,) = states
        parts = [
            x @ weights.kernel, np.matmul(h, weights.kernel.T), np.dot(x, fixed), np.einsum("bi,ij->bj", h, fixed),
            np.einsum("bi,bi->b", x, h)[:, None], (x * weights.scale).sum(axis=1, keepdims=True),
            x @ weights.scale[:, None],
            np.tensordot(x, fixed, axes=([1], [0])), np.einsum("bi,ij,bj->b", h, fixed, x)[:, None],
        ]  # fmt: skip
        return np.concatenate(parts, axis=-1), (np.tanh(h @ fixed.T + x),)

    weights = {"kernel": rk.Weight(("features", 3), "normal"), "scale": rk.Weight((3,), spread)}
    both_ways(step, rng.normal(size=(4, 5, 3)), weights=weights)


def test_C9_python_in_a_step(rng):
    def helper(h, k):
        return h / (1 + k)

    table = {"gain": 2.0}

    def step(x, states, weights, *, depth=3, switch=True, kinds=("a", "b")):
        (h,) = states
        for k in range(depth):
            h = helper(np.tanh(h + x * table["gain"]), k)
        if switch and "b" in kinds:
            h = h + 1
        return h, (h,)

    both_ways(step, rng.normal(size=(4, 5, 3)))


def test_C9_stable_at_both_ends():
    big = np.array([-1e4, -800.0, -80.0, -1.0, 0.0, 1.0, 80.0, 800.0, 1e4])
    for name in FUNCTIONS:
        with np.errstate(all="raise", under="ignore"):
            y = getattr(rk, name)(big)
        assert np.isfinite(y).all(), name
    close(rk.sigmoid(big), special.expit(big))
    np.testing.assert_allclose(rk.sigmoid(np.array([-80.0])), np.exp(-80.0), rtol=1e-14)
    np.testing.assert_allclose(rk.sigmoid(np.float32([-80])), np.float32(np.exp(-80.0)), rtol=1e-5)
    close(rk.gelu(np.array([-3.0, 0.5, 2.0])), np.array([-3.0, 0.5, 2.0]) * special.ndtr([-3.0, 0.5, 2.0]))
    close(rk.hard_sigmoid(big), np.clip(big / 6 + 0.5, 0, 1))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_C9_compiled_sigmoid_keeps_its_tail(dtype):
    def stable(x, states, weights):
        return rk.sigmoid(x), states

    def naive(x, states, weights):
        return 1 / (1 + np.exp(-x)), states

    x = np.linspace(-87, 100, 997).reshape(1, -1, 1).astype(dtype)
    expected = special.expit(x.astype("float64"))
    for step in (stable, naive):
        layer = rk.RNN(step_cell(step, 1)(), return_sequences=True)
        y = layer(x)
        np.testing.assert_allclose(y, expected, rtol=1e-12 if dtype == "float64" else 2e-6)
        assert layer(np.full((1, 1, 1), -1e4, dtype)) == 0 and layer(np.full((1, 1, 1), 1e4, dtype)) == 1
        with rk.eager(), np.errstate(all="raise", under="ignore"):
            layer(np.full((1, 1, 1), 700, dtype))


def test_C9_naive_sigmoid_gives_no_warning_in_eager_mode():
    layer = rk.RNN(step_cell(lambda x, states, weights: (1 / (1 + np.exp(-x)), states), 1)())
    with rk.eager():
        assert layer(np.full((1, 1, 1), -1e4)) == 0


def test_C9_activation_names_are_the_functions(rng):
    x = rng.normal(size=(3, 4, 5))
    for name in ("tanh", "sigmoid", "relu", "softplus", "gelu", "elu", "silu", "hard_sigmoid", "softmax"):
        function = np.tanh if name == "tanh" else getattr(rk, name)
        same_bits(rk.SimpleRNN(4, activation=name, seed=1)(x), rk.SimpleRNN(4, activation=function, seed=1)(x))


def test_C9_assignment_into_arrays(rng):
    def assigns(x, states, weights):
        (h,) = states
        new = np.zeros((x.shape[0], 4))
        new[:, 1:] = np.tanh(x + h[:, 1:])
        new[:, 0] = h[:, 1]
        return new, (new,)

    layer = rk.RNN(step_cell(assigns, 4)())
    x = rng.normal(size=(3, 5, 3))
    expected = reference.run(lambda x, s: assigns(x, s, None), x, (np.zeros((3, 4)),)).last
    close(layer(x), expected)
    with rk.eager():
        close(layer(x), expected)
    if how(layer) == "jitted":
        assert any(word in layer.explain() for word in ("np.where", "np.concatenate", "np.zeros_like"))


def test_C9_in_place_addition_never_changes_the_callers_array(rng):
    def in_place(x, states, weights):
        (h,) = states
        h += x
        x *= 2
        return x, (h,)

    x, start = rng.normal(size=(3, 5, 4)), rng.normal(size=(3, 4))
    kept_x, kept_start = x.copy(), start.copy()
    layer = rk.RNN(step_cell(in_place, 4)(), return_state=True)
    for context in (nullcontext(), rk.eager()):
        with context:
            output, state = layer(x, initial_state=start)
        close(output, 2 * x[:, -1])
        close(state, start + x.sum(1))
        same_bits([x, start], [kept_x, kept_start])
    assert how(layer) == "traced"


# C10, C11


def test_C10_attributes_and_captured_arrays_are_read_at_build(rng):
    class Scaled(rk.Cell):
        state_size = 2
        scale = 3.0

        def call(self, inputs, states):
            h = states[0] + self.scale
            return h, [h]

    x, cell = np.zeros((1, 2, 1)), Scaled()
    layer = rk.RNN(cell)
    assert (layer(x) == 6).all()
    cell.scale = 5.0
    assert (layer(x) == 6).all()
    assert (rk.RNN(cell)(x) == 10).all()

    captured = np.array([1.0, 2.0])

    def step(x, states, weights):
        h = states[0] + captured
        return h, (h,)

    layer = rk.RNN(step_cell(step, 2)())
    same_bits(layer(x), np.array([[2.0, 4.0]]))
    captured[:] = 10
    same_bits(layer(x), np.array([[2.0, 4.0]]))
    same_bits(rk.RNN(step_cell(step, 2)())(x), np.array([[20.0, 20.0]]))


def test_C10_a_layer_made_after_an_edit_sees_it():
    x = np.zeros((1, 3, 1))
    for number in (1, 2, 3):
        space = {"np": np}
        exec(f"def edited(x, states, weights):\n    h = states[0] + {number}\n    return h, (h,)", space)
        assert (rk.RNN(step_cell(space["edited"], 1)())(x) == 3 * number).all()


@pytest.mark.parametrize(
    "mixing",
    [
        lambda x, states, weights: (states[0], (states[0] - states[0].mean(axis=0),)),
        lambda x, states, weights: (states[0] / x.shape[0], states),
        lambda x, states, weights: (states[0] - states[0].mean(), states),
        lambda x, states, weights: (states[0][::-1], states),
        lambda x, states, weights: (states[0] + x[0], states),
        lambda x, states, weights: (np.cumsum(states[0], axis=0), states),
        lambda x, states, weights: (np.concatenate([x, states[0]], axis=0)[:2], states),
        lambda x, states, weights: (x.T @ states[0], states),
    ],
    ids="mean_of_rows batch_size mean_of_all reversed_rows first_row cumsum joined transposed".split(),
)
def test_C11_mixing_rows_is_an_error(mixing, rng):
    layer = rk.RNN(step_cell(mixing, 3)())
    with pytest.raises((ValueError, TypeError), match="row|batch"):
        layer(rng.normal(size=(4, 2, 3)))


# C12


@pytest.mark.parametrize("make", [lambda: leaky(units=4, leak=0.5), lambda: rk.GRUCell(3, reset_after=False)])
def test_C12_config_of_declared_and_built_in_cells(make, rng):
    layer = rk.RNN(make(), return_sequences=True, go_backwards=True, seed=3, name="mine")
    config = json.loads(json.dumps(layer.get_config()))
    twin = rk.RNN.from_config(config)
    assert twin.name == "mine" and json.loads(json.dumps(twin.get_config())) == config
    x = rng.normal(size=(2, 4, 3))
    same_bits(twin(x), layer(x))


class Configured(rk.Cell):
    def __init__(self, width):
        super().__init__()
        self.width = self.state_size = width

    def call(self, inputs, states):
        return states[0], [states[0] + 1]

    def get_config(self):
        return {"width": self.width}


def test_C12_a_class_cells_own_config_is_used():
    layer = rk.RNN.from_config(json.loads(json.dumps(rk.RNN(Configured(6)).get_config())))
    assert isinstance(layer.cell, Configured) and layer(np.zeros((1, 1, 1))).shape == (1, 6)


def test_C12_without_a_config_the_error_comes_when_asked():
    layer = rk.RNN(OldStyle(3))
    layer(np.zeros((1, 2, 1)))
    with pytest.raises((TypeError, NotImplementedError, ValueError), match="OldStyle"):
        layer.get_config()


def test_C12_stack_config(rng):
    layer = rk.RNN([lstm(units=3), leaky(units=2)], seed=1)
    twin = rk.RNN.from_config(json.loads(json.dumps(layer.get_config())))
    x = rng.normal(size=(2, 4, 3))
    same_bits(twin(x), layer(x))


# Declarations


def test_declared_cell_without_states_is_refused():
    with pytest.raises(ValueError, match="state"):
        rk.cell(states={})(lambda x, states, weights: (x, ()))


def test_draws_are_one_array_per_call_shared_by_all_steps(rng):
    def uniform(rng, shape):
        return rng.random(shape)

    @rk.cell(states={"h": "features"}, draws={"m": rk.Draw(("features",), uniform)})
    def drawing(x, states, weights, training, draws):
        return (draws.m, states) if training else (x, states)

    layer, x = rk.RNN(drawing(), return_sequences=True, seed=5), rng.normal(size=(3, 4, 2))
    same_bits(layer(x), x)
    first, second = layer(x, training=True), layer(x, training=True)
    assert first.shape == (3, 4, 2) and (first == first[:, :1]).all()
    assert len(np.unique(first)) == 6 and not (first == second).any()
    again = rk.RNN(drawing(), return_sequences=True, seed=5)
    again(x)  # draws nothing, as this step uses none without training
    same_bits([again(x, training=True), again(x, training=True)], [first, second])


def test_random_states_of_the_matrix_are_nested_as_the_layer_returns_them():
    for name in ("lstm", "StackedRNNCells", "simple"):
        layer, (x, constants) = fresh(name), inputs(name, 2, 3)
        start = random_states(layer, 2)
        output, *states = layer(x, initial_state=start, constants=constants)
        assert [s.shape for s in flat(states)] == [s.shape for s in flat(start)]


def test_weights_of_a_declared_cell_follow_their_spec():
    layer = rk.RNN(step_cell(lambda x, s, w: (s[0], (s[0] + x @ w.kernel,)), weights={"kernel": KERNEL})(units=4))
    layer.build((None, None, 3))
    assert layer.weights["kernel"].shape == (3, 4) and RECURRENT.initializer == "orthogonal"


@pytest.mark.parametrize("made", ["a transpose", "a broadcast"])
def test_draws_of_any_layout(made):
    """One dropout mask for the whole batch is a broadcast array."""

    def function(rng, shape):
        if made == "a broadcast":
            return np.broadcast_to(rng.random(shape[1:]), shape)
        return rng.random(shape[::-1]).T

    @rk.cell(states={"h": 3}, draws={"noise": rk.Draw(("3",), function)})
    def noisy(x, states, weights, draws):
        h = np.tanh(x + states[0]) * draws.noise
        return h, (h,)

    x = np.random.default_rng(0).normal(size=(4, 5, 3))
    fast = rk.RNN(noisy(), return_sequences=True, seed=3)(x)
    with rk.eager():
        slow = rk.RNN(noisy(), return_sequences=True, seed=3)(x)
    close(fast, slow)
