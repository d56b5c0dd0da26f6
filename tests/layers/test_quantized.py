"""Weights in fewer bits: the laws hold bit for bit, and results are those of the rounded weights."""

import copy
import pickle
import tracemalloc

import numpy as np
import pytest
from cells_under_test import CELLS, NAMED
from matrix import MASKS, close, flat, fresh, inputs, make_mask, part, random_states, same_bits
from paper_cells import PAPER_CELLS

import rnnkit as rk
from rnnkit.layers.support import device_transfer
from rnnkit.layers.support.layer_tree import held_arrays
from rnnkit.layers.support.quantizing import KINDS
from rnnkit.stored_weights import StoredWeight

TRACED = [case.name for case in CELLS if case.how == "traced"]
each_kind = pytest.mark.parametrize("kind", KINDS)
SIZES = {"units": 17, "features": 5, "dtype": "float32"}


def quantized(name, kind, **options):
    layer = fresh(name, **SIZES, **options)
    return layer.quantize(kind) if kind else layer


class Setup:
    """A layer in fewer bits, arguments of a call and its results."""

    def __init__(self, number, name, kind):
        self.options = {"go_backwards": number % 2 == 1, "zero_output_for_mask": number % 3 == 0}
        self.name, self.kind = name, kind
        self.layer = quantized(name, kind, **self.options)
        self.x, self.constants = inputs(name, 6, 9, 5, "float32", seed=number)
        self.mask = make_mask(MASKS[number % len(MASKS)], 6, 9, np.random.default_rng(number))
        self.start = random_states(self.layer, 6, "float32")

    def call(self, layer=None, rows=slice(None), x=None):
        return (layer or self.layer)(
            (self.x if x is None else x)[rows],
            mask=self.mask if self.mask is None else self.mask[rows],
            initial_state=part(self.start, rows),
            constants=self.constants and [one[rows] for one in self.constants],
        )


setups = pytest.mark.parametrize("number, name", list(enumerate(TRACED)), ids=TRACED)


@each_kind
@setups
def test_P4_a_row_alone_and_a_sequence_in_parts_have_the_same_bits(number, name, kind):
    """L1, L2 and L4, of every cell that can be traced, with masks of every pattern."""
    setup = Setup(number, name, kind)
    whole = flat(setup.call())
    for rows in ([0], [5, 2, 3]):
        same_bits(flat(setup.call(rows=rows)), part(whole, rows))
    if setup.mask is None:
        layer = quantized(name, kind, **setup.options, stateful=True)
        layer.reset_states(setup.start)
        order = (slice(4, None), slice(None, 4)) if setup.options["go_backwards"] else (slice(None, 4), slice(4, None))
        outputs = [layer(setup.x[:, time], constants=setup.constants)[0] for time in order]
        same_bits(np.concatenate(outputs, axis=1), whole[0])
    else:
        x = np.where(setup.mask[:, :, None] != 0, setup.x, np.float32(1e9))
        same_bits(flat(setup.call(x=x)), whole)


@each_kind
@setups
def test_P4_results_are_those_of_the_rounded_weights(number, name, kind):
    """A layer of floats with the weights that are shown, to rounding; of bfloat16 with the same bits."""
    setup = Setup(number, name, kind)
    floats = fresh(name, **SIZES, **setup.options)
    before = flat(setup.call(floats))
    floats.set_weights(setup.layer.get_weights())
    found, expected = flat(setup.call()), flat(setup.call(floats))
    held = held_arrays(setup.layer)
    read_as_they_are = bool(held) and all(isinstance(array, StoredWeight) or array.ndim == 1 for array in held.values())
    if kind == "bfloat16" and read_as_they_are:
        same_bits(found, expected)
    else:  # int8 is scaled after the sum; what a product reads of a scaled weight is rounded there
        close(found, expected, "float32", scale=30.0 if read_as_they_are else 3000.0)
    with rk.eager():
        close(found, flat(setup.call()), "float32", scale=30.0 if read_as_they_are else 3000.0)
    if NAMED[name].steady:  # near what it was before
        close(found, before, "float32", scale=1e5)


@each_kind
@pytest.mark.parametrize("threads", [1, 2])
def test_P4_threads(kind, threads):
    """L3, where threads share rows, and where they share the units of a step."""
    for layer, shape in ((rk.LSTM(96, seed=0), (12, 30, 8)), (rk.GRU(300, seed=0), (2, 20, 8))):
        x = np.random.default_rng(0).normal(size=shape).astype("float32")
        layer.build(x.shape)
        layer.quantize(kind)
        expected = [layer(x[row : row + 1]) for row in range(len(x))]
        before = rk.get_num_threads()
        try:
            rk.set_num_threads(threads)
            same_bits(layer(x), np.concatenate(expected))
        finally:
            rk.set_num_threads(before)


def model(seed=0):
    return rk.Sequential(
        [
            rk.Input((None, 5)),
            rk.LSTM(17, return_sequences=True),
            rk.Bidirectional(rk.GRU(8, return_sequences=True)),
            rk.TimeDistributed(rk.Dense(4, activation="tanh")),
            rk.RNN([rk.SimpleRNNCell(5), rk.LSTMCell(3)]),
            rk.Dense(2),
        ],
        seed=seed,
    )


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(1).normal(size=(3, 9, 5)).astype("float32")


@each_kind
def test_P4_models_and_what_goes_with_them(kind, x, tmp_path):
    one = model()
    assert one.quantization is None
    expected = one(x)
    y = one.quantize(kind)(x)
    assert one.quantization == kind and 0 < np.abs(y - expected).max() < (0.002 if kind == "bfloat16" else 0.02)
    for _ in range(8):  # also from a recording
        same_bits(one(x), y)
    for other in (copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert other.quantization == kind
        same_bits(other(x), y)
    for path in (tmp_path / "a.npz", tmp_path / "a.rnnkit"):
        one.save(path)
        other = rk.load_model(path)
        assert other.quantization == kind
        same_bits(other(x), y)
    same_bits(one.predict(x, verbose=0), y)
    one.compile(loss="mse")
    assert one.evaluate(x, y, verbose=0) == 0
    assert f"weights of products: {kind}, widened as they are read" in one.explain()
    assert one.count_params() == model().count_params() and list(one.weights) == list(model().weights)
    stream, y_lstm = one.layers[0].stream(3), one.layers[0](x)
    for t in range(9):
        same_bits(stream.step(x[:, t]), y_lstm[:, t])
    same_bits(list(one.trainable_weights.values()), one.get_weights())


@each_kind
def test_P4_weights_that_are_set_are_rounded(kind, x):
    one, other = model(0).quantize(kind), model(1)
    for _ in range(6):
        one(x)
    one.set_weights(other.get_weights())
    other.quantize(kind)
    same_bits(one(x), other(x))
    assert one.quantization == kind
    same_bits(one.get_weights(), other.get_weights())
    kernel = one.layers[0].weights["kernel"]
    one.layers[0].weights["kernel"] = kernel
    same_bits(one.layers[0].weights["kernel"], kernel)
    y = one(x)
    one.layers[0].weights["kernel"] = 2 * kernel
    assert np.abs(one(x) - y).max() > 0.001


@each_kind
def test_P4_gradients_want_floats_which_come_back(kind, x):
    one = model().quantize(kind)
    y, weights = one(x), one.get_weights()
    with pytest.raises(ValueError, match=rf"stored as {kind}, and quantize\(None\)"):
        one.vjp(x)
    one.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"quantize\(None\)"):
        one.fit(x, y, verbose=0)
    assert one.quantize(None).quantization is None
    same_bits(one.get_weights(), weights)
    close([one(x)], [y], "float32", scale=30)
    one.fit(x, y, verbose=0)


def test_P4_memory_is_a_half_or_a_quarter():
    """What the weights take, as they are held and as products read them, beside those of a small layer."""

    def held(kind, units):
        layer = rk.GRU(units, recurrent_initializer="glorot_uniform", seed=0)
        layer.build((1, 1, units))
        if kind:
            layer.quantize(kind)
        layer(np.zeros((1, 1, units), np.float32))
        text = pickle.dumps(layer)
        tracemalloc.start()
        copied = pickle.loads(text)
        copied(np.zeros((1, 1, units), np.float32))
        taken = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        return taken

    floats, half, quarter = (held(kind, 512) - held(kind, 8) for kind in (None, *KINDS))
    assert floats > 1.95 * 4 * 2 * 512 * 3 * 512
    assert half < 0.53 * floats and quarter < 0.29 * floats


@each_kind
def test_P4_cells_of_papers(kind):
    """All that can be traced, of which some scale, invert or transpose their weights before a product."""
    rng = np.random.default_rng(0)
    for case in PAPER_CELLS[::4]:
        if case.how != "traced":
            continue
        layer = rk.RNN(case.make(), seed=0, dtype="float32", return_sequences=True)
        x = rng.normal(size=(3, 5, *case.features)).astype("float32")
        constants = [rng.normal(size=(3, *shape)).astype("float32") for shape in case.constants] or None
        layer(x, constants=constants)
        whole = layer.quantize(kind)(x, constants=constants)
        alone = layer(x[:1], constants=constants and [one[:1] for one in constants])
        same_bits(alone, whole[:1])


def test_P4_what_is_refused(x, monkeypatch):
    one = model()
    for bad in ("float16", 8, "", True):
        with pytest.raises(ValueError, match="expected dtype as 'bfloat16', 'int8' or None"):
            one.quantize(bad)
    with pytest.raises(ValueError, match="to be built before its weights are quantized"):
        rk.GRU(3).quantize("int8")
    double = rk.Sequential([rk.Input((None, 2)), rk.LSTM(3)], dtype="float64")
    with pytest.raises(ValueError, match=r"expected a float32 layer to quantize; 'lstm' is of float64"):
        double.quantize("int8")
    with rk.eager():
        layer = fresh("folded", **SIZES)
    with pytest.raises(ValueError, match="can't be quantized, since the tracer can't read its step"):
        layer.quantize("bfloat16")
    assert layer.quantization is None
    one.layers[0].weights["kernel"] = np.full_like(one.layers[0].weights["kernel"], np.inf)
    with pytest.raises(ValueError, match="finite weights .*, got infinity or NaN in 'kernel' of 'lstm'"):
        one.quantize("int8")
    assert one.quantization is None and not any(isinstance(a, StoredWeight) for a in held_arrays(one).values())
    one.quantize("bfloat16")
    monkeypatch.setattr(device_transfer, "usable", lambda device: device)
    with pytest.raises(ValueError, match="expected float weights on a GPU; .* are stored as bfloat16"):
        one.to("cuda")
    masking = rk.Masking()
    masking(x)
    assert masking.quantize("int8").quantization is None


@pytest.mark.parametrize("filters", ["^gru", ["no", "gru_a"], lambda layer: layer.name == "gru_a"])
def test_layers_that_filters_name_are_quantized_alone(filters, x):
    model = rk.Sequential([rk.GRU(4, return_sequences=True, name="gru_a"), rk.LSTM(3, name="lstm_a")], seed=0)
    before = model(x)
    model.quantize("int8", filters=filters)
    assert [one.quantization for one in model.layers] == ["int8", None]
    assert not np.array_equal(model(x), before) and np.allclose(model(x), before, atol=0.1)
