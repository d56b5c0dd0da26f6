"""What only looks like an array: rows E16 and E17 of docs/contract.md."""

import datetime
from decimal import Decimal

import numpy as np
import pytest
from cells_under_test import leaky
from matrix import flat, same_bits
from refusals import LAYERS, ROWS, X, built, refused, trained

import rnnkit as rk
from rnnkit import arrays

MATRIX = pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")


@pytest.fixture(autouse=True)
def nothing_is_compiled():
    """What is refused never gets to a program, and what isn't runs as plain Python."""
    with rk.eager():
        yield


def hidden(array):
    """A masked array with NaN under its one masked entry."""
    found = np.ma.array(np.array(array, float), mask=np.zeros(np.shape(array), bool))
    found[(0,) * found.ndim] = np.nan
    found[(0,) * found.ndim] = np.ma.masked
    return found


def put(x, odd):
    """What a layer takes, the first array as an odd one."""
    return [odd(x[0]), *x[1:]] if isinstance(x, list) else odd(x)


def kept(layer):
    return [*layer.get_weights(), *flat(getattr(layer, "states", None) or [])]


# Masked arrays


@pytest.mark.parametrize("name", LAYERS)
def test_E16_masked_entries_of_x(name):
    layer, x = built(name)
    before = kept(layer)
    for run in (layer, layer.vjp):
        text = refused(lambda run=run: run(put(x, hidden)), "without masked entries", "with 1", ".filled(0)")
        refused(lambda run=run: run(put(x, lambda a: list(hidden(a)))), "without masked entries")
    if isinstance(x, np.ndarray) and x.ndim == 3:
        assert "mask=~x.mask.any(axis=-1)" in text
    same_bits(kept(layer), before)
    fresh = LAYERS[name][0]()
    refused(lambda: fresh(put(x, hidden)), "masked")
    assert fresh.built == (name == "Model")


@pytest.mark.parametrize("name", ["LSTM", "Dense", "Concatenate", "Flatten"])
def test_E16_an_array_that_masks_nothing_is_its_data(name):
    layer, x = built(name)
    for some in (np.ma.array, lambda a: np.ma.array(a, mask=np.zeros(a.shape, bool))):
        results = [(layer.reset_states() if name == "LSTM" else None, layer(one))[1] for one in (x, put(x, some))]
        same_bits(results[1:], results[:1])


def test_E16_what_the_error_says_leaves_the_steps_out():
    layer = rk.LSTM(4, seed=0)
    x = hidden(X)
    y = layer(x.filled(0), mask=~x.mask.any(axis=-1))
    assert np.allclose(y[0], layer(X[:1, 1:])[0], 1e-12)


def test_E16_masked_entries_of_every_other_argument():
    layer, _ = built("LSTM")
    before, states = kept(layer), layer.get_initial_state(3)
    names, weights = list(layer.weights), layer.get_weights()
    _, pullback = rk.Flatten().vjp(X)
    layer.reset_states(states=states)
    before = kept(layer)
    refused(lambda: layer(X, mask=hidden(np.ones((3, 5)))), "mask without", "mask.filled(False)")
    refused(lambda: layer(X, initial_state=[hidden(states[0]), states[1]]), "initial_state without")
    refused(lambda: layer.trajectory(hidden(X)), "x without")
    refused(lambda: layer.reset_states(states=[states[0], hidden(states[1])]), "states without")
    refused(lambda: layer.set_weights([hidden(weights[0]), *weights[1:]]), "weight 'kernel' without")
    refused(lambda: layer.set_weights(None), "list of weights")
    refused(lambda: layer.weights.__setitem__(names[2], hidden(weights[2])), "weight 'bias' without")
    refused(lambda: layer.reset_states(rows=np.ma.array([0, 1], mask=[True, False])), "rows without")
    refused(lambda: layer.compute_mask(X, hidden(np.ones((3, 5)))), "mask without")
    refused(lambda: rk.Dense(1).compute_mask(X, hidden(np.ones((3, 5)))), "mask without")
    refused(lambda: rk.Concatenate().compute_mask([X, X], [hidden(np.ones((3, 5))), None]), "mask without")
    refused(lambda: pullback(hidden(np.ones((3, 40)))), "d_outputs without")
    same_bits(kept(layer), before)


def test_E16_masked_constants():
    class Adds(rk.Cell):
        state_size = 8

        def call(self, inputs, states, constants):
            return inputs + constants[0], states

    refused(lambda: rk.RNN(Adds())(X, constants=[hidden(np.ones((3, 8)))]), "constants without")


class OnDisk:
    """Rows by index, masked where some are missing, as netCDF4's variables give them."""

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype

    def __len__(self):
        return len(self.array)

    def __getitem__(self, rows):
        return self.array[rows]


def test_E16_masked_entries_in_training():
    net, y = trained(), np.ones((3, 5, 1))
    before = net.get_weights()
    said = ("x without", "rk.Masking(0)")
    refused(lambda: net.fit(hidden(X), y, verbose=0), *said)
    refused(lambda: net.fit(OnDisk(hidden(X)), y, verbose=0), *said)
    refused(lambda: net.fit([(hidden(X), y)], verbose=0), *said)
    refused(lambda: net.fit(X, hidden(y), verbose=0), "y without", "sample_weight of 0")
    refused(lambda: net.fit(X, OnDisk(hidden(y)), verbose=0), "y without")
    refused(lambda: net.fit(X, y, sample_weight=hidden(np.ones(3)), verbose=0), "sample_weight without")
    refused(lambda: net.fit(X, y, validation_data=(hidden(X), y), verbose=0), *said)
    refused(lambda: net.evaluate(X, hidden(y), verbose=0), "y without")
    refused(lambda: net.predict(hidden(X)), *said)
    refused(lambda: net.train_on_batch(hidden(X), y), *said)
    same_bits(net.get_weights(), before)
    same_bits([net.predict(np.ma.array(X))], [net.predict(X)])


def test_E16_masked_entries_of_losses_metrics_and_what_else_takes_arrays():
    one = np.full((3, 2), 0.5)
    for loss in rk.losses.LOSSES.values():
        refused(lambda loss=loss: loss(hidden(one), one), "y_true without")
        refused(lambda loss=loss: loss(one, hidden(one)), "y_pred without")
    for function in rk.metrics.FUNCTIONS.values():
        refused(lambda function=function: function(one, hidden(one)), "y_pred without")
    metric = rk.metrics.get("rmse")
    refused(lambda: metric.update(hidden(one), one), "y_true without")
    refused(lambda: metric.update(one, one, sample_weight=hidden(np.ones(3))), "sample_weight without")
    refused(lambda: rk.constraints.MaxNorm()(hidden(one)), "weight without")
    refused(lambda: rk.regularizers.L2()(hidden(one)), "weight without")
    refused(lambda: rk.sigmoid(hidden(one)), "x without")
    refused(lambda: rk.optimizers.SGD().apply({"w": one}, {"w": hidden(one)}), "the gradient of 'w' without")
    cell = leaky(units=2)
    refused(lambda: rk.gradcheck(cell, hidden(X)), "x without")
    refused(lambda: rk.gradcheck(cell, X, initial_state=[hidden(np.ones((3, 2)))]), "initial_state without")
    dense = rk.Dense(2, kernel_initializer=lambda shape, rng: hidden(np.ones(shape)))
    refused(lambda: dense(ROWS), "the initializer's array for 'kernel' without")


def test_E16_masked_entries_of_a_series_are_gaps():
    wave = np.sin(np.arange(90) * 0.3)
    gaps = wave.copy()
    gaps[40:43] = np.nan
    said = []
    listed = [None if np.isnan(value) else value for value in gaps.tolist()]
    objects = np.ma.array(wave.astype(object), mask=np.isnan(gaps))
    for series in (gaps, np.ma.masked_invalid(gaps), listed, np.array(listed, object), objects):
        said.append(rk.forecast.ESN(2, units=10, seed=0).fit(series).predict())
    same_bits(said[1:], said[:1] * 4)
    two = [gaps, wave]
    said = [rk.forecast.ESN(2, units=10, seed=0).fit(y).predict() for y in (two, np.ma.masked_invalid(two))]
    said.append(rk.forecast.ESN(2, units=10, seed=0).fit([np.ma.masked_invalid(gaps), wave]).predict())
    same_bits(said[1:], said[:1] * 2)


# What only looks like an array


def tensor(value, dtype="torch.float32", layout="torch.strided", says=None, **attributes):
    """What rnnkit sees of a tensor of torch, which it doesn't import."""
    value = np.asarray(value)

    def read(self, *_, **__):
        raise (RuntimeError if says is None else type(says))("Can't call numpy() on this" if says is None else says)

    names = {"requires_grad": False, "is_quantized": False, "layout": layout, "dtype": dtype} | attributes
    kind = type("Tensor", (), names | {"shape": value.shape, "ndim": value.ndim, "__array__": read})
    kind.__module__ = "torch"
    return kind()


def sparse(array):
    return pytest.importorskip("scipy.sparse").csr_array(np.asarray(array).reshape(len(array), -1))


ODD = {
    "matrix": (lambda a: np.matrix(np.reshape(a, (len(a), -1))), "numpy.matrix", "np.asarray("),
    "structured": (lambda a: np.zeros(np.shape(a), [("p", float), ("q", int)]), "p, q", "structured_to_unstructured("),
    "datetime": (lambda a: np.zeros(np.shape(a), "M8[D]"), "datetime64[D]", "np.timedelta64(1, 'D')"),
    "timedelta": (lambda a: np.zeros(np.shape(a), "m8[h]"), "timedelta64[h]", "np.timedelta64(1, 'D')"),
    "datetimes": (lambda a: np.full(np.shape(a), datetime.datetime(2001, 1, 1)).tolist(), "object"),
    "object": (lambda a: np.asarray(a, object), "object", ", np.float64)"),
    "decimals": (lambda a: np.full(np.shape(a), Decimal(1)).tolist(), "object", ", np.float64)"),
    "text": (lambda a: np.asarray(a).astype(str), "text", ", np.float64)"),
    "bytes": (lambda a: np.asarray(a).astype("S"), "text"),
    "complex": (lambda a: np.asarray(a, complex), "complex128", ".real"),
    "void": (lambda a: np.zeros(np.shape(a), "V3"), "V3"),
    "sparse": (sparse, "scipy's csr_array", ".toarray()"),
    "set": (lambda a: {1, 2}, "set"),
    "requires grad": (lambda a: tensor(a, requires_grad=True), "torch's Tensor", "detach() it first", ".detach()"),
    "sparse tensor": (lambda a: tensor(a, layout="torch.sparse_coo"), "torch.sparse_coo", ".to_dense()"),
    "quantized": (lambda a: tensor(a, "torch.qint8", is_quantized=True), "torch.qint8", ".dequantize()"),
    "bfloat16": (lambda a: tensor(a, "torch.bfloat16"), "torch.bfloat16", ".float()"),
    "float8": (lambda a: tensor(a, "torch.float8_e5m2"), "torch.float8_e5m2", ".float()"),
    "unreadable": (lambda a: tensor(a), "torch's Tensor, which says: Can't call numpy() on this"),
    "paragraphs": (lambda a: tensor(a, says=ValueError("No data.\nSee there.\n")), "which says: No data"),
    "tensors in a list": (lambda a: [tensor(one, requires_grad=True) for one in a], "detach() it first"),
}


@MATRIX
@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("name", ["LSTM", "TimeDistributed", "Dense", "Embedding", "Concatenate", "Flatten", "Model"])
def test_E17_odd_arrays_as_x(name, kind):
    layer, x = built(name)
    make, *words = ODD[kind]
    before = kept(layer)
    refused(lambda: layer(put(x, make)), *words)
    refused(lambda: layer.vjp(put(x, make)), *words)
    same_bits(kept(layer), before)


@MATRIX
@pytest.mark.parametrize("kind", [kind for kind in ODD if kind not in ("set", "tensors in a list")])
def test_E17_odd_arrays_as_other_arguments(kind):
    layer, _ = built("LSTM")
    make, *words = ODD[kind]
    weights, states = layer.get_weights(), layer.get_initial_state(3)
    before, metric, net = kept(layer), rk.metrics.get("rmse"), trained()
    refused(lambda: layer(X, mask=make(np.ones((3, 5)))), *words)
    refused(lambda: layer(X, initial_state=[make(states[0]), states[1]]), *words)
    refused(lambda: layer.reset_states(states=[states[0], make(states[1])]), *words)
    if kind != "sparse":  # C13
        refused(lambda: layer.weights.__setitem__("kernel", make(weights[0])), "weight 'kernel'", *words)
        refused(lambda: layer.set_weights([make(weights[0]), *weights[1:]]), "weight 'kernel'", *words)
    refused(lambda: metric.update(make(ROWS), ROWS), "y_true", *words)
    refused(lambda: net.fit(make(X), np.ones((3, 5, 1)), verbose=0), *words)
    refused(lambda: net.fit(X, np.ones((3, 5, 1)), sample_weight=make(np.ones(3)), verbose=0), *words)
    if kind not in ("object", "decimals"):  # whose numbers a series takes, for None where one is missing
        refused(lambda: rk.forecast.ESN(1, units=5).fit(make(X[0, :, 0])), *words)
    same_bits(kept(layer), before)


def test_E17_the_advice_works():
    recfunctions = pytest.importorskip("numpy.lib.recfunctions")
    fields = np.zeros((2, 3), [("p", float), ("q", int)])
    assert arrays.real(recfunctions.structured_to_unstructured(fields), "x").shape == (2, 3, 2)
    assert np.lib.recfunctions is recfunctions
    days = np.array(["2001-01-01", "2001-01-03"], "M8[D]")
    assert arrays.real((days - days.min()) / np.timedelta64(1, "D"), "x").tolist() == [0, 2]
    assert arrays.real(np.asarray(np.array(["1", "2"]), np.float64), "x").tolist() == [1, 2]
    assert arrays.real(np.asarray([Decimal(1)], np.float64), "x").tolist() == [1]


def test_E17_tensors_of_torch():
    torch = pytest.importorskip("torch")
    layer, _ = built("LSTM")
    x = torch.tensor(X)
    start = layer.get_initial_state(3)
    same_bits([layer(x, initial_state=start)], [layer(X, initial_state=start)])
    for odd, word in (
        (x.clone().requires_grad_(), "detach()"),
        (torch.nn.Parameter(x), "detach()"),
        (x.bfloat16(), "float()"),
        (x.to_sparse(), "to_dense()"),
        (x.to("meta"), "meta"),
        (torch._neg_view(x), "resolve_neg"),
        ([one.clone().requires_grad_() for one in x], "detach()"),
    ):
        refused(lambda odd=odd: layer(odd), word)
        refused(lambda odd=odd: rk.losses.mean_squared_error(odd, X))


def test_E17_dtypes_that_numpy_does_not_have():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    layer, _ = built("LSTM")
    for dtype in (ml_dtypes.bfloat16, ml_dtypes.int4):
        refused(lambda dtype=dtype: layer(X.astype(dtype)), np.dtype(dtype).name, "astype(np.float32)")
