"""What only looks like an array, and sizes that no memory holds: rows E16 to E19 of docs/contract.md."""

import datetime
from decimal import Decimal

import numpy as np
import pytest
from cells_under_test import leaky
from matrix import flat, same_bits

import rnnkit as rk
from rnnkit import allocation, arrays

X = np.random.default_rng(0).normal(size=(3, 5, 8))
ROWS = X[:, 0]
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


def refused(call, *words, kinds=(ValueError, TypeError)):
    """The call is refused in one sentence of rnnkit's own that holds the words."""
    with pytest.raises(kinds) as raised:
        call()
    text = str(raised.value)
    assert "expected" in text and "\n" not in text, text
    assert type(raised.value).__module__ == "builtins"
    assert "rnnkit" in raised.traceback[-1].path.parts
    for word in words:
        assert word in text, f"{word!r} is not in: {text}"
    return text


def model():
    x = rk.Input((None, 8), dtype="float64", name="series")
    return rk.Model(x, rk.Dense(1)(x))


LAYERS = {
    "LSTM": (lambda: rk.LSTM(4, stateful=True), X),
    "stack": (lambda: rk.RNN([rk.GRUCell(2), rk.GRUCell(2)]), X),
    "Bidirectional": (lambda: rk.Bidirectional(rk.SimpleRNN(2)), X),
    "TimeDistributed": (lambda: rk.TimeDistributed(rk.Dense(1)), X),
    "Dense": (lambda: rk.Dense(1), ROWS),
    "Dropout": (lambda: rk.Dropout(0.5), ROWS),
    "Masking": (lambda: rk.Masking(), X),
    "Embedding": (lambda: rk.Embedding(9, 3), np.array([[1, 2], [3, 4]])),
    "Concatenate": (lambda: rk.Concatenate(), [X, X]),
    "Multiply": (lambda: rk.Multiply(), [X, X]),
    "RepeatVector": (lambda: rk.RepeatVector(3), ROWS),
    "Reshape": (lambda: rk.Reshape((-1, 2)), X),
    "Flatten": (lambda: rk.Flatten(), X),
    "GlobalAveragePooling1D": (lambda: rk.GlobalAveragePooling1D(), X),
    "Activation": (lambda: rk.Activation("relu"), X),
    "Lambda": (lambda: rk.Lambda(lambda x: 2 * x), X),
    "Sequential": (lambda: rk.Sequential([rk.Masking(), rk.Dense(1)]), X),
    "Model": (model, X),
}
_made: dict = {}


def built(name):
    """A layer that has run, the same for all tests that change nothing, and what it ran on."""
    if name not in _made:
        make, x = LAYERS[name]
        layer = make()
        layer(x)
        _made[name] = layer
    return _made[name], LAYERS[name][1]


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


def trained():
    found = rk.Sequential([rk.Masking(), rk.Dense(1)], seed=0)
    found.compile("sgd", "mse")
    found.build((None, None, 8))
    return found


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


# Sizes


HUGE = {
    "LSTM": (lambda: rk.LSTM(10**9)(X), "kernel", "GB"),
    "GRU": (lambda: rk.GRU(10**15)(X), "kernel", "PB"),
    "stack": (lambda: rk.RNN([rk.GRUCell(2), rk.GRUCell(10**9)])(X), "kernel"),
    "Bidirectional": (lambda: rk.Bidirectional(rk.SimpleRNN(10**12))(X), "kernel", "TB"),
    "TimeDistributed": (lambda: rk.TimeDistributed(rk.Dense(10**12))(X), "kernel"),
    "Dense": (lambda: rk.Dense(10**15)(ROWS), "kernel", "64 PB"),
    "Embedding": (lambda: rk.Embedding(10**12, 10**6)([[1]]), "embeddings", "8 EB"),
    "Activation": (lambda: rk.Activation("relu").build((None, 10**15)), "features", "8 PB"),
    "RepeatVector": (lambda: rk.RepeatVector(10**15)(ROWS), "(3, 1000000000000000, 8)"),
    "ESNCell": (lambda: rk.RNN(rk.ESNCell(10**9))(X), "kernel"),
    "declared": (lambda: rk.RNN(leaky(units=10**12))(X), "kernel"),
    "symbolic": (lambda: rk.Dense(10**15)(rk.Input((3,))), "kernel"),
    "Sequential": (lambda: rk.Sequential([rk.Masking(), rk.Dense(10**15)])(X), "kernel"),
    "states": (lambda: rk.LSTM(8).get_initial_state(10**15), "states", "(1000000000000000, 8)"),
    "a cell's states": (lambda: rk.LSTMCell(8).get_initial_state(10**15), "states"),
    "initializer": (lambda: rk.initializers.Orthogonal()((10**9, 10**9), np.random.default_rng(0)), "8 EB"),
    "gradcheck": (lambda: rk.gradcheck(leaky(units=2), (10**15, 5, 4)), "160 PB"),
    "horizon": (lambda: rk.forecast.ESN(10**15, units=5).fit(np.sin(np.arange(90))), "horizon"),
}


@pytest.mark.parametrize("name", HUGE)
def test_E18_sizes_that_no_memory_holds(name):
    call, *words = HUGE[name]
    kinds = (ValueError,) if name == "horizon" else (MemoryError,)
    refused(call, *words, kinds=kinds)


def test_E18_sizes_that_no_address_reaches():
    for call in (
        lambda: rk.LSTM(2**62)(X),
        lambda: rk.Dense(2**62)(ROWS),
        lambda: rk.Embedding(2**62, 2**62)([[1]]),
        lambda: rk.RepeatVector(2**62)(ROWS),
        lambda: rk.LSTM(8).get_initial_state(2**62),
    ):
        refused(call, "addressed", kinds=ValueError)


def test_E18_the_layer_stays_as_it_was():
    layer = rk.LSTM(4, seed=0)
    refused(lambda: layer.build((None, None, 10**15)), "kernel", kinds=MemoryError)
    assert not layer.built and not layer.weights and layer.dtype is None
    same_bits([layer(X)], [rk.LSTM(4, seed=0)(X)])
    pool = rk.RepeatVector(10**15)
    refused(lambda: pool(ROWS), kinds=MemoryError)
    assert not pool.built and pool.compute_output_shape((None, 8)) == (None, 10**15, 8)


def test_E18_nothing_is_drawn(monkeypatch):
    """All weights are looked at before the first is drawn, each in float64 and all together."""
    drawn = []

    def initializer(shape, rng):
        drawn.append(shape)
        return np.zeros(shape)

    monkeypatch.setattr(allocation, "physical_memory", lambda: 8 * 100)
    makers = {"kernel_initializer": initializer, "recurrent_initializer": initializer, "bias_initializer": initializer}
    layer = rk.GRU(6, dtype="float64", **makers)
    refused(lambda: layer(X[..., :2]), "recurrent_kernel", "800 bytes", "864 bytes", kinds=MemoryError)
    layer = rk.GRU(5, dtype="float64", **makers)
    refused(lambda: layer(X[..., :5]), "the weights of 'GRUCell'", kinds=MemoryError)
    spec = {name: rk.Weight(("features", "units"), initializer) for name in ("a", "b")}
    cell = rk.cell(states={"h": "units"}, weights=spec)(lambda x, states, weights: (states[0], states))
    refused(lambda: rk.RNN(cell(units=8), dtype="float64")(X), "the weights of", kinds=MemoryError)
    assert not drawn


def test_E18_what_numpy_says_is_said_in_words():
    def initializer(shape, rng):
        return np.empty(2**59)  # more than any address space

    text = refused(lambda: rk.Dense(1, kernel_initializer=initializer)(ROWS), "'kernel'", "4.61 EB", kinds=MemoryError)
    assert "Unable" not in text
    wide = np.broadcast_to(np.float32(0), (2**55, 8))
    refused(lambda: rk.Flatten()(wide), "a call of 'flatten'", "EB", kinds=MemoryError)
    refused(lambda: rk.Flatten().vjp(wide), "vjp of 'flatten'", kinds=MemoryError)


def test_E18_a_machine_that_does_not_say_what_it_has(monkeypatch):
    monkeypatch.setattr(allocation, "physical_memory", lambda: None)
    allocation.check("an array", (10**15,))
    refused(lambda: allocation.check("an array", (2**62,)), "addressed", kinds=ValueError)


# Numbers


BAD = [np.inf, -np.inf, np.nan, 2.5, "3", None, True, 10**30, 10**400, 1j, np.array([1, 2]), object()]
COUNTS = {
    "units": lambda n: rk.LSTM(n),
    "n": lambda n: rk.RepeatVector(n),
    "axis": lambda n: rk.Concatenate(axis=n),
    "target_shape": lambda n: rk.Reshape((n, 2)),
    "input_dim": lambda n: rk.Embedding(n, 2),
    "output_dim": lambda n: rk.Embedding(2, n),
    "build": lambda n: rk.LSTM(2).build((None, None, 3 if n is None else n, n)),
    "Input": lambda n: rk.Input((3, 2.5 if n is None else n)),
    "batch_shape": lambda n: rk.Input(batch_shape=(2.5 if n is None else n, 3)),
    "get_initial_state": lambda n: rk.LSTM(2).get_initial_state(n),
    "state size": lambda n: rk.cell(states={"h": (2, n)})(lambda x, states: (x, states)),
    "weight": lambda n: rk.cell(states={"h": 2}, weights={"w": rk.Weight((2, n))})(lambda x, states: (x, states)),
    "constraint": lambda n: rk.constraints.UnitNorm(axis=n),
    "patience": lambda n: rk.callbacks.EarlyStopping(patience=n),
    "cooldown": lambda n: rk.callbacks.ReduceLROnPlateau(cooldown=n),
    "k": lambda n: rk.metrics.TopKCategoricalAccuracy(k=n),
    "history": lambda n: rk.optimizers.LBFGS(history=n),
    "decay_steps": lambda n: rk.optimizers.schedules.CosineDecay(0.1, n),
    "threads": lambda n: rk.set_num_threads(n),
    "memory_limit": lambda n: rk.set_memory_limit(n),
    "horizon": lambda n: rk.forecast.ESN(n),
    "directions": lambda n: rk.gradcheck(leaky(units=2), directions=n),
    "rows": lambda n: built("LSTM")[0].reset_states(rows=[n]),
}


MORE = {"rows": np.ndarray, "state size": str, "weight": str}  # what these take besides integers


@pytest.mark.parametrize("name", COUNTS)
def test_E19_what_is_no_integer(name):
    for bad in BAD:
        if name not in MORE or not isinstance(bad, MORE[name]):
            refused(lambda bad=bad: COUNTS[name](bad))


@pytest.mark.parametrize("name", ["epochs", "initial_epoch", "batch_size", "steps_per_epoch", "validation_freq"])
def test_E19_what_is_no_integer_in_fit(name):
    net = trained()
    before = net.get_weights()
    for bad in BAD:
        if bad is not None or name in ("epochs", "initial_epoch"):  # else None is the default
            refused(lambda bad=bad: net.fit(X, np.ones((3, 5, 1)), verbose=0, **{name: bad}))
    same_bits(net.get_weights(), before)


def test_E19_numbers_beyond_floats():
    for call in (
        lambda: rk.Dropout(10**400),
        lambda: rk.LSTM(2, dropout=-(10**400)),
        lambda: rk.optimizers.Adam(10**400),
        lambda: rk.regularizers.L2(10**400),
        lambda: rk.constraints.MaxNorm(10**400),
        lambda: rk.Weight((2, 2), density=10**400),
        lambda: rk.losses.Huber(10**400),
        lambda: rk.Masking("3"),
        lambda: rk.RepeatVector(10**5000),
        lambda: rk.RepeatVector(np.zeros((9, 9))),
        lambda: rk.initializers.Normal(stddev="3"),
    ):
        refused(call)
