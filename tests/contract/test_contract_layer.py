"""Precision, randomness, and what a layer can do: rows P1 to P3 and X1 to X6 of docs/contract.md."""

import copy
import json
import pickle

import numpy as np
import pytest
import reference
from cells_under_test import CELLS, NAMED, leaky, lstm, simple, spread
from matrix import close, flat, fresh, inputs, layer_of, random_states, same_bits

import rnnkit as rk

every_cell = pytest.mark.parametrize("name", [c.name for c in CELLS])
MASK = np.array([[1, 0, 1, 1, 0, 0], [0, 0, 1, 0, 1, 1], [0, 0, 0, 0, 0, 0]], bool)


# P1, P2, P3


@pytest.mark.parametrize(
    "given, kept",
    [("float32", "float32"), ("float64", "float64"), ("int64", "float32"), ("bool", "float32"), ("uint8", "float32")],
)
def test_P1_dtype_of_the_first_input(given, kept, rng):
    x = (3 * rng.normal(size=(2, 4, 3))).astype(given)
    for layer in (rk.LSTM(4, return_state=True), rk.RNN(leaky(units=4), return_state=True)):
        output, *states = layer(x)
        assert {a.dtype.name for a in [output, *states, *layer.get_weights()]} == {kept}
        for other in ("float64", "float32", "int16"):
            assert layer(np.ones((2, 4, 3), other))[0].dtype == kept


def test_P1_build_alone_means_float32(rng):
    layer = rk.GRU(4)
    layer.build((None, None, 3))
    assert layer(rng.normal(size=(2, 4, 3))).dtype == np.float32
    wide = rk.GRU(4, dtype="float64")
    assert wide(np.ones((2, 4, 3), "float32")).dtype == np.float64
    assert rk.GRU(4, dtype=np.float64)(np.ones((2, 4, 3), "float32")).dtype == np.float64


def test_P1_inputs_are_cast_to_the_layer(rng):
    layer, x = rk.GRU(4, dtype="float32", seed=1), rng.normal(size=(2, 4, 3))
    same_bits(layer(x), rk.GRU(4, dtype="float32", seed=1)(x.astype("float32")))
    start = rng.normal(size=(2, 4))
    same_bits(layer(x, initial_state=start), layer(x, initial_state=start.astype("float32")))


def test_P1_lists_are_arrays():
    layer = rk.GRU(4, seed=1)
    assert layer([[[1, 2], [3, 4]]]).dtype == np.float32
    same_bits(layer([[[1, 2], [3, 4]]]), layer(np.array([[[1, 2], [3, 4]]], "float32")))


@every_cell
def test_P2_same_seed_same_bits(name):
    one, two, other = (fresh(name, seed=seed) for seed in (5, 5, 6))
    same_bits(one.get_weights(), two.get_weights())
    if one.get_weights():
        assert not all(np.array_equal(a, b) for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


def test_P2_seed_of_a_composite_is_spawned():
    layer = rk.RNN([rk.LSTMCell(4), rk.LSTMCell(4)], seed=3)
    layer.build((None, None, 4))
    assert not np.array_equal(layer.weights["0/kernel"], layer.weights["1/kernel"])
    again = rk.RNN([rk.LSTMCell(4), rk.LSTMCell(4)], seed=3)
    again.build((None, None, 4))
    same_bits(layer.get_weights(), again.get_weights())
    model, twin = (rk.Sequential([rk.GRU(3, return_sequences=True), rk.Dense(2)], seed=4) for _ in range(2))
    x = np.ones((2, 3, 4))
    same_bits(model(x), twin(x))


def test_P2_global_random_state_has_no_part(rng):
    x = rng.normal(size=(2, 3, 4))
    np.random.seed(1)  # noqa: NPY002
    first = rk.LSTM(3, seed=2, dropout=0.5)(x, training=True)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    same_bits(rk.LSTM(3, seed=2, dropout=0.5)(x, training=True), first)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


def layouts(x, tmp_path):
    b, t, f = x.shape
    room = np.zeros((2 * b, t + 3, f * 3), x.dtype)
    room[::2, 3:, ::3] = x
    yield "strided", room[::2, 3:, ::3]
    yield "negative", x[::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1]
    yield "fortran", np.asfortranarray(x)
    yield "time first", np.ascontiguousarray(x.swapaxes(0, 1)).swapaxes(0, 1)
    yield "big-endian", x.astype(x.dtype.newbyteorder(">"))
    locked = x.copy()
    locked.flags.writeable = False
    yield "read-only", locked
    np.save(tmp_path / "x.npy", x)
    yield "memory-mapped", np.load(tmp_path / "x.npy", mmap_mode="r")
    raw = np.zeros(x.nbytes + 1, "uint8")
    unaligned = raw[1:].view("uint8")[: x.nbytes].view(x.dtype).reshape(x.shape)
    unaligned[...] = x
    yield "unaligned", unaligned
    yield "repeated", np.broadcast_to(x[:1], x.shape)


@pytest.mark.parametrize("name", ["lstm", "attention", "moving_average", "folded", "StackedRNNCells"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_P3_layouts(name, dtype, tmp_path):
    x, constants = inputs(name, 3, 6, dtype=dtype)
    for backwards in (False, True):
        layer = layer_of(name, dtype=dtype, go_backwards=backwards)
        start = random_states(layer, 3, dtype)
        for what, laid_out in layouts(x, tmp_path):
            plain = np.array(laid_out, dtype, order="C")
            expected = list(layer(plain, initial_state=start, constants=constants, mask=MASK))
            got = list(layer(laid_out, initial_state=start, constants=constants, mask=MASK))
            try:
                same_bits(got, expected)
            except AssertionError as error:
                raise AssertionError(f"{what}: {error}") from None


def test_P3_layouts_of_states_masks_and_constants(tmp_path):
    layer, (x, constants) = layer_of("attention"), inputs("attention", 3, 6)
    start = random_states(layer, 3)[0]
    expected = list(layer(x, initial_state=start, mask=MASK, constants=constants))
    for make in (np.asfortranarray, lambda a: a.astype(a.dtype.newbyteorder(">")), lambda a: np.repeat(a, 2, 0)[::2]):
        got = layer(x, initial_state=make(start), mask=make(MASK), constants=[make(c) for c in constants])
        same_bits(list(got), expected)
    short = start.astype("float32")
    same_bits(
        list(layer(x, initial_state=short, constants=constants)),
        list(layer(x, initial_state=short.astype("float64"), constants=constants)),
    )


# X1, X2


@every_cell
@pytest.mark.parametrize("backwards", [False, True])
def test_X1_trajectory(name, backwards):
    x, constants = inputs(name, 3, 6)
    start = random_states(layer_of(name), 3)
    for options in ({}, {"return_sequences": False, "return_state": False}):
        layer = layer_of(name, go_backwards=backwards, **options)
        outputs, states = layer.trajectory(x, mask=MASK, initial_state=start, constants=constants)
        sequences, *final = layer_of(name, go_backwards=backwards)(
            x, mask=MASK, initial_state=start, constants=constants
        )
        same_bits([outputs, *[s[:, -1].copy() for s in flat(states)]], [sequences, *flat(final)])
        if NAMED[name].steady:
            step = NAMED[name].step(layer.cell, layer, constants or ())
            ran = reference.run(step, x, flat(start), MASK, backwards)
            close([outputs, *flat(states)], [ran.outputs, *ran.trajectory])
        with rk.eager():
            eager_outputs, eager_states = layer.trajectory(x, mask=MASK, initial_state=start, constants=constants)
        if NAMED[name].steady:
            close([eager_outputs, *flat(eager_states)], [outputs, *flat(states)])


def test_X2_eager_runs_the_step_in_python(rng, capsys):
    seen = []

    class Talkative(rk.Cell):
        state_size = 3

        def call(self, inputs, states):
            seen.append((type(inputs), type(states[0]), inputs.shape))
            return states[0] + 1, [states[0] + 1]

    layer, x = rk.RNN(Talkative()), rng.normal(size=(2, 5, 4))
    expected = layer(x)
    seen.clear()
    layer(x)
    assert not seen  # compiled: the step isn't called
    with rk.eager():
        same_bits(layer(x), expected)
        with rk.eager():
            layer(x)
        assert len(seen) >= 10
    assert set(seen) == {(np.ndarray, np.ndarray, (2, 4))}
    seen.clear()
    layer(x)
    assert not seen


def test_X2_eager_shows_the_warnings_of_numpy():
    @rk.cell(states={"h": 3})
    def logarithm(x, states, weights):
        h = np.log(x) + 1 / states[0] + np.exp(1e4 * np.abs(x))
        return h, states[0] + 1

    layer = rk.RNN(logarithm(), seed=0)
    x, mask = np.full((2, 4, 3), -1.0), np.ones((2, 4), bool)
    layer(x)  # compiled: no warning
    mask[0] = False
    with rk.eager():
        with pytest.warns(RuntimeWarning) as found:
            layer(x)
        told = {str(one.message).partition(" encountered")[0] for one in found}
        assert told == {"invalid value", "divide by zero"} and {one.filename for one in found} == {__file__}
        layer(x, mask=mask)  # rows are computed whose results don't count
        with np.errstate(all="ignore"):
            layer(x)


def test_X2_eager_ends_with_an_error_too():
    layer = layer_of("simple")
    with pytest.raises(RuntimeError), rk.eager():
        raise RuntimeError
    assert layer.explain().startswith("traced")
    same_bits(list(layer(np.ones((1, 2, 5)))), list(layer(np.ones((1, 2, 5)))))


@pytest.mark.parametrize("make", [lambda: rk.LSTM(4, stateful=True), lambda: rk.Bidirectional(rk.GRU(3))])
def test_X2_eager_follows_the_same_contract(make, rng):
    x, layer = rng.normal(size=(3, 6, 2)), make()
    layer.build(x.shape)
    twin = copy.deepcopy(layer)
    for mask in (None, MASK):
        with rk.eager():
            eager = layer(x, mask=mask)
        close(eager, twin(x, mask=mask), "float32")
    with pytest.raises(ValueError, match="mask"), rk.eager():
        layer(x, mask=np.ones((3, 5)))


# X3


def copies(layer):
    yield copy.deepcopy(layer)
    yield pickle.loads(pickle.dumps(layer))
    yield copy.deepcopy(pickle.loads(pickle.dumps(layer)))


@every_cell
def test_X3_copies_carry_weights_and_states(name):
    layer, (x, constants) = fresh(name, stateful=True), inputs(name, 3, 4)
    layer(x, constants=constants)
    twins = list(copies(layer))
    expected = list(layer(x, constants=constants))
    for twin in twins:
        same_bits(list(twin(x, constants=constants)), expected)
        if twin.get_weights():
            twin.set_weights([0 * w for w in twin.get_weights()])
    same_bits(flat(layer.states), flat(expected[1:]))
    if layer.get_weights():
        assert any(w.any() for w in layer.get_weights())


def test_X3_a_layer_that_is_not_built_copies_too(rng):
    x = rng.normal(size=(2, 3, 4))
    for layer in (rk.LSTM(4, seed=1), rk.Bidirectional(rk.GRU(2), seed=1), rk.Sequential([rk.Dense(3)], seed=1)):
        twins = list(copies(layer))
        expected = layer(x)
        for twin in twins:
            same_bits(twin(x), expected)


def models():
    return {
        "gru": rk.GRU(4, reset_after=False, activation="relu", use_bias=False, go_backwards=True, seed=3),
        "stack": rk.RNN([lstm(units=3), rk.SimpleRNNCell(2)], return_state=True, seed=3),
        "both": rk.Bidirectional(rk.LSTM(3, return_sequences=True), merge_mode="sum", seed=3),
        "model": rk.Sequential(
            [rk.Masking(9.0), rk.LSTM(4, return_sequences=True), rk.Dropout(0.1), rk.TimeDistributed(rk.Dense(2))],
            seed=3,
        ),
    }


@pytest.mark.parametrize("which", list(models()))
def test_X3_config_round_trip(which, rng):
    layer, x = models()[which], rng.normal(size=(2, 5, 3))
    config = layer.get_config()
    text = json.dumps(config)
    twin = type(layer).from_config(json.loads(text))
    assert json.loads(json.dumps(twin.get_config())) == json.loads(text)
    same_bits(flat([twin(x)] if isinstance(twin(x), np.ndarray) else list(twin(x))),
              flat([layer(x)] if isinstance(layer(x), np.ndarray) else list(layer(x))))  # fmt: skip


def test_X3_config_of_a_built_layer_has_no_weights(rng):
    layer = rk.LSTM(4, seed=1)
    layer(rng.normal(size=(2, 3, 4)))
    twin = rk.LSTM.from_config(layer.get_config())
    assert twin.get_config() == layer.get_config()
    assert len(json.dumps(layer.get_config())) < 2000


# X6


def test_X6_sequential_passes_masks_on(rng):
    x = rng.normal(size=(3, 6, 2))
    x[~MASK] = 0.0
    model = rk.Sequential(
        [rk.Masking(0.0), rk.LSTM(4, return_sequences=True), rk.Dropout(0.5), rk.GRU(3, return_sequences=True)], seed=1
    )
    y = model(x)
    dirty = rk.Sequential([rk.LSTM(4, return_sequences=True), rk.GRU(3, return_sequences=True)], seed=1)
    dirty(x)
    dirty.set_weights(model.get_weights())
    same_bits(dirty(np.where(MASK[..., None], x, 7.0), mask=MASK), y)
    assert not y[2].any()
    assert not np.array_equal(dirty(x), y)


def test_X6_sequential_turns_the_mask_with_go_backwards(rng):
    x = rng.normal(size=(3, 6, 2))
    model = rk.Sequential([rk.GRU(4, return_sequences=True, go_backwards=True), rk.GRU(3)], seed=1)
    y = model(x, mask=MASK)
    below, above = rk.GRU(4, return_sequences=True, go_backwards=True), rk.GRU(3)
    below(x)
    above(np.zeros((3, 6, 4)))
    below.set_weights(model.get_weights()[:3])
    above.set_weights(model.get_weights()[3:])
    same_bits(above(below(x, mask=MASK), mask=MASK[:, ::-1]), y)


def test_X6_dense(rng):
    layer, x = rk.Dense(4, activation="tanh", bias_initializer=spread), rng.normal(size=(3, 6, 2))
    y = layer(x)
    kernel, bias = layer.get_weights()
    close(y, np.tanh(x @ kernel + bias))
    close(layer(x[:, 0]), y[:, 0])
    same_bits(layer(x[:1]), y[:1])
    assert rk.Dense(4, use_bias=False)(x).shape == (3, 6, 4)


def test_X6_time_distributed(rng):
    x = rng.normal(size=(3, 6, 2))
    layer = rk.TimeDistributed(rk.Dense(4, bias_initializer=spread))
    y = layer(x)
    kernel, bias = layer.get_weights()
    close(y, x @ kernel + bias)
    deep = rk.TimeDistributed(rk.GRU(3))(rng.normal(size=(2, 4, 5, 6)))
    assert deep.shape == (2, 4, 3)


def test_X6_embedding_refuses_what_is_no_index():
    layer = rk.Embedding(5, 4)
    for bad in (np.array([[5]]), np.array([[-1]]), np.array([[0.5]]), np.array([["a"]])):
        with pytest.raises((ValueError, TypeError)):
            layer(bad)


def test_X6_dropout(rng):
    layer, x = rk.Dropout(0.5, seed=1), np.ones((3, 6, 200))
    same_bits(layer(x), x)
    y = layer(x, training=True)
    assert set(np.unique(y)) == {0.0, 2.0} and 0.4 < (y > 0).mean() < 0.6
    assert not np.array_equal(y, layer(x, training=True))


def test_X6_summary_and_reprs(rng):
    model = rk.Sequential([rk.LSTM(4, return_sequences=True), rk.TimeDistributed(rk.Dense(2))])
    model(rng.normal(size=(2, 3, 5)))
    text = str(model.summary())
    assert str(model.count_params()) in text.replace(",", "")
    layer = rk.RNN(simple(units=4), name="first")
    assert "first" in repr(layer) or "simple" in repr(layer)
    layer(rng.normal(size=(2, 3, 5)))
    html = layer._repr_html_()
    assert "kernel" in html and "traced" in html and "(5, 4)" in html.replace("&nbsp;", " ")
