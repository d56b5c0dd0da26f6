"""Arrays in a GPU's memory: what they are, how they pass a layer's edge, and what is refused."""

import copy
import gc
import os
import pickle
import sys
import weakref

import foreign_arrays
import numpy as np
import processes
import pytest
from foreign_arrays import OnCard, OnlyDlpack, values

import rnnkit as rk
from rnnkit.backends.cuda.memory import array, availability, dlpack
from rnnkit.backends.cuda.simulator import driver
from rnnkit.layers.support.layer_tree import all_layers

pytestmark = pytest.mark.skipif(
    not (availability.simulated() and availability.missing() is None),
    reason="memory of NumPy stands in for a GPU's: NUMBA_ENABLE_CUDASIM=1, with numba-cuda",
)

DTYPES = [np.float32, np.float64, np.bool_]


def close(a, b):
    np.testing.assert_array_equal(values(a), values(b))


@pytest.fixture
def records(monkeypatch):
    return foreign_arrays.executors(monkeypatch)


@pytest.fixture
def x(rng):
    return rng.normal(size=(3, 4, 5)).astype(np.float32)


# The array itself


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (7,), (2, 0, 3), (2, 3, 4)])
def test_up_and_down(rng, dtype, shape):
    a = rng.normal(size=shape).astype(dtype)
    there = array.upload(a)
    assert (there.shape, there.dtype, there.ndim) == (a.shape, a.dtype, a.ndim)
    assert there.strides == a.strides or not a.size
    assert (there.size, there.nbytes, there.contiguous) == (a.size, a.nbytes, True)
    close(array.download(there), a)
    close(array.zeros(shape, dtype), np.zeros(shape, dtype))


KEYS = [0, -1, np.s_[1:], np.s_[:, ::-1], np.s_[..., ::2], np.s_[1, :, 3:0:-2], np.s_[:, 1:1], np.s_[-1, ..., 0], ...]


@pytest.mark.parametrize("key", KEYS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_views_are_numpys(rng, dtype, key):
    a = rng.normal(size=(3, 4, 5)).astype(dtype)
    there, part = array.upload(a)[key], a[key]
    assert there.shape == part.shape
    assert part.flags.c_contiguous == there.contiguous or part.size <= 1
    close(there, part)
    close(there.copy(), part)
    target = array.zeros(a.shape, dtype)
    array.assign(target[key], there)
    expected = np.zeros_like(a)
    expected[key] = part
    close(target, expected)


def test_views_that_do_not_exist(x):
    there = array.upload(x)
    with pytest.raises(IndexError, match="below 3, got 3"):
        there[3]
    with pytest.raises(IndexError, match="at most 3"):
        there[0, 0, 0, 0]
    with pytest.raises(TypeError, match="integers and slices"):
        there[np.array([0, 1])]
    with pytest.raises(ValueError, match=r"expected a device array to give the shape \(7,\)"):
        there.reshape(7)
    with pytest.raises(ValueError, match="expected a contiguous device array"):
        there[:, ::-1].reshape(60)


def test_shapes_and_axes_are_numpys(x):
    there = array.upload(x)
    close(there.reshape(6, -1), x.reshape(6, -1))
    close(there.reshape((12, 5)), x.reshape(12, 5))
    close(there.swapaxes(0, 1), x.swapaxes(0, 1))
    close(there.swapaxes(0, -1)[1:], x.swapaxes(0, -1)[1:])


def test_sums_and_products_are_numpys(x):
    there = array.upload(x)
    close(there[:, ::-1] + there, x[:, ::-1] + x)
    close(there * there[::-1], x * x[::-1])
    close(there * 0.5, x / 2)
    close(array.concatenate([there, there[..., :2]]), np.concatenate([x, x[..., :2]], axis=-1))


def test_it_is_no_array_of_the_host(x):
    there = array.upload(x)
    for mistaken in (lambda: np.asarray(there), lambda: x + there, lambda: np.tanh(there)):
        with pytest.raises(TypeError):
            mistaken()
    with pytest.raises(BufferError, match="without a copy"):
        there.__dlpack__(copy=True)


def test_upload_fills_what_is_there(x):
    there = array.zeros(x.shape, x.dtype)
    assert array.upload(x[:, ::-1], out=there) is there
    close(there, x[:, ::-1])
    with pytest.raises(ValueError, match="to fill"):
        array.upload(x[1:], out=there)


def test_out_of_memory_says_how_much(monkeypatch):
    monkeypatch.setattr(driver, "free_bytes", lambda: 4000)
    with pytest.raises(MemoryError, match=r"expected 4,096 bytes of device memory .* got 4,000 free"):
        array.empty((32, 32), np.float32)


def test_by_its_interface(x):
    there = array.upload(x, stream=5)[:, ::2]
    found = there.__cuda_array_interface__
    assert found["version"] == 3 and found["stream"] == 5 and found["strides"] == x[:, ::2].strides
    seen = driver.array_at(found["data"][0], found["shape"], found["typestr"], found["strides"])
    close(seen, x[:, ::2])
    assert array.upload(x).__cuda_array_interface__["stream"] == 1  # 0 may not stand there
    assert array.empty((0, 3), np.float32).__cuda_array_interface__["data"] == (0, False)


@pytest.mark.parametrize("dtype", [*DTYPES, np.int32, np.uint8])
def test_dlpack_there_and_back(rng, dtype):
    a = (10 * rng.random((3, 4, 5))).astype(dtype)
    there = array.upload(a)[:, ::-1]
    held = dlpack.take(there.__dlpack__(), 0)
    assert (held.address, held.shape, held.strides, held.dtype) == (there.address, (3, 4, 5), there.strides, a.dtype)
    kept = len(dlpack._given)
    del held
    assert len(dlpack._given) == kept - 1  # its maker heard of it
    there.__dlpack__()
    assert len(dlpack._given) == kept - 1  # so it does of a capsule that nobody took


def test_a_capsules_maker_keeps_its_memory_until_the_card_has_read_it(monkeypatch, rng):
    marks = []

    class Mark:
        def __init__(self, stream):
            self.stream, self.done = stream, False
            marks.append(self)

        def passed(self):
            return self.done

    monkeypatch.setattr(driver, "Mark", Mark)
    kept = len(dlpack._given)
    for stream in (3, 4):
        dlpack.take(array.upload(rng.normal(size=3)).__dlpack__(), stream)
    assert [mark.stream for mark in marks] == [3, 4] and len(dlpack._given) == kept + 2
    marks[0].done = True
    dlpack.take(array.upload(rng.normal(size=3)).__dlpack__(), 5)
    assert len(dlpack._given) == kept + 2  # the first one is gone, the third is read
    marks[1].done = marks[2].done = True
    dlpack._tell()
    assert len(dlpack._given) == kept and not dlpack._leaving


def test_a_capsule_is_taken_once(x):
    capsule = array.upload(x).__dlpack__()
    held = dlpack.take(capsule, 0)
    with pytest.raises(TypeError, match="nobody has taken"):
        dlpack.take(capsule, 0)
    assert held.shape == x.shape


# Layers: the kind of x is the kind of the results

KINDS = ["rnnkit", "cupy", "torch", "jax", "interface"]


@pytest.fixture(params=KINDS)
def kind(request, monkeypatch):
    """A function that makes arrays of a library, and whether an array is of those that come back."""
    if request.param == "rnnkit":
        return array.upload, array.DeviceArray
    if request.param == "interface":
        return OnCard, array.DeviceArray
    made = foreign_arrays.library(monkeypatch, request.param, 9)
    return made, made


LAYERS = {
    "last": lambda: rk.LSTM(3, seed=1),
    "sequences": lambda: rk.GRU(3, return_sequences=True, return_state=True, seed=1),
    "backwards": lambda: rk.SimpleRNN(3, return_sequences=True, go_backwards=True, seed=1),
    "stack": lambda: rk.RNN([rk.LSTMCell(3), rk.GRUCell(2)], return_state=True, seed=1),
    "dropout": lambda: rk.GRU(3, dropout=0.5, seed=1),
    **{
        f"both ways, {mode}": lambda mode=mode: rk.Bidirectional(
            rk.GRU(3, return_sequences=True, return_state=True), mode, seed=1
        )
        for mode in ("concat", "sum", "mul", "ave", None)
    },
    "both ways, last": lambda: rk.Bidirectional(rk.GRU(3), seed=1),
    "each step": lambda: rk.TimeDistributed(rk.Dense(2), seed=1),
    "dense": lambda: rk.Dense(2, seed=1),
    "host alone": lambda: rk.Dropout(0.5, seed=1),
    "model": lambda: rk.Sequential(
        [rk.Masking(), rk.GRU(3, return_sequences=True), rk.Dropout(0.5), rk.Bidirectional(rk.LSTM(2)), rk.Dense(1)],
        seed=1,
    ),
    "functional": lambda: functional(),
}


def functional():
    given = rk.Input((None, 5))
    y, h = rk.GRU(3, return_sequences=True, return_state=True, seed=1)(given)
    z = rk.LSTM(3, return_sequences=True, seed=2)(y, initial_state=[h, h])
    return rk.Model(given, [rk.Dense(2, seed=3)(rk.Add()([y, z])), h])


def same(found, expected, made):
    """The same values in the same nesting, every array of a kind; None and rows of gradients aside."""
    if isinstance(expected, (list, tuple)):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            same(one, other, made)
    elif expected is None:
        assert found is None
    else:
        assert type(found) is made, type(found)
        close(found, expected)


def mapped(nested, function):
    return [mapped(one, function) for one in nested] if isinstance(nested, (list, tuple)) else function(nested)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("training", [False, True])
def test_calls_and_gradients_are_the_hosts(records, kind, x, name, training):
    make, made = kind
    expected, layer = LAYERS[name](), LAYERS[name]().to("cuda")
    y, pullback = expected.vjp(x, training=training)
    cotangents = mapped(y, lambda one: np.cos(one))
    gradient = pullback(cotangents)
    before = x.copy()
    found, back = layer.vjp(make(x), training=training)
    same(found, y, made)
    for given in (mapped(cotangents, make), cotangents):  # of either kind
        found = back(given)
        same(found.x, gradient.x, made)
        same(found.initial_state, gradient.initial_state, made)
        assert list(found.weights) == list(gradient.weights)
        for one, other in zip(found.weights.values(), gradient.weights.values(), strict=True):
            close(one, other)
    expected, layer = LAYERS[name](), LAYERS[name]().to("cuda")
    same(layer(make(x), training=training), expected(x, training=training), made)
    close(x, before)


@pytest.mark.parametrize("name", LAYERS)
def test_arrays_of_the_host_stay_on_the_host(records, x, name):
    expected, layer = LAYERS[name](), LAYERS[name]().to("cuda")
    same(layer(x), expected(x), np.ndarray)
    same(layer(x), expected(x), np.ndarray)


@pytest.mark.parametrize("name", ["last", "stack", "both ways, concat"])
def test_every_state_of_every_step(records, kind, x, name):
    make, made = kind
    expected, layer = LAYERS[name](), LAYERS[name]().to("cuda")
    same(layer.trajectory(make(x)), expected.trajectory(x), made)


@pytest.mark.parametrize("where", ["host", "GPU", "mixed"])
def test_other_arguments_may_be_of_either_kind(records, rng, x, where):
    @rk.cell(states={"h": "units"}, weights={"kernel": rk.Weight(("features", "units"), "glorot_uniform")})
    def drawn(x, states, weights, constants):
        h = np.tanh(x @ weights.kernel + states[0] * constants[0])
        return h, (h,)

    make = {"host": np.asarray, "GPU": OnCard, "mixed": OnCard}[where]
    x_make = OnCard if where != "mixed" else np.asarray
    state, constant = rng.normal(size=(2, 3, 4)).astype(np.float32)
    mask = rng.random((3, 4)) < 0.6
    cell = drawn(units=4)
    expected = rk.RNN(cell, seed=1)(x, initial_state=[state], mask=mask, constants=[constant])
    layer = rk.RNN(drawn(units=4), seed=1, device="cuda")
    found = layer(x_make(x), [make(state)], make(mask), False, [make(constant)])
    close(found, expected)
    assert isinstance(found, np.ndarray) == (where == "mixed")
    named = {"sequences": x_make(x), "initial_state": make(state), "mask": make(mask), "constants": [make(constant)]}
    close(layer(**named), expected)
    apart = np.repeat(constant, 2, axis=1)[:, ::2]
    close(layer(x_make(x), make(state), make(mask[..., None]), constants=[make(apart)]), expected)


def test_several_inputs(records, x):
    a, b = rk.Input((None, 5)), rk.Input((None, 5))
    model = rk.Model([a, b], rk.Concatenate()([rk.GRU(2, seed=1)(a), rk.GRU(2, seed=2)(b)]))
    expected = model([x, x[::-1]])
    model.to("cuda")
    close(model([OnCard(x), OnCard(x[::-1])]), expected)


def test_strided_arrays_are_taken_as_they_stand(records, x):
    layer, expected = rk.GRU(3, seed=1, device="cuda"), rk.GRU(3, seed=1)
    for key in (np.s_[:, ::-1], np.s_[::2], np.s_[:, 1:3], np.s_[1:1]):
        close(layer(OnCard(x[key])), expected(x[key]))
        record = records[-1]
        if x[key].size:
            assert record.x.address == x[key].ctypes.data  # no copy
    close(rk.Dense(2, seed=1).to("cuda")(OnCard(x[::2, ::-1])), rk.Dense(2, seed=1)(x[::2, ::-1]))


def test_nothing_is_written_to_what_was_handed_in(records, x):
    layer = rk.GRU(3, seed=1, device="cuda", stateful=True)
    h = np.ones((3, 3), np.float32)
    layer(OnCard(x), initial_state=OnCard(h))
    layer(OnCard(x))
    assert (h == 1).all()


# Streams


def test_work_stands_in_the_stream_that_was_asked_for(records, monkeypatch, x):
    cupy, torch = foreign_arrays.library(monkeypatch, "cupy", 9), foreign_arrays.library(monkeypatch, "torch", 11)
    layer = rk.GRU(3, seed=1, device="cuda")

    class Protocol:
        def __cuda_stream__(self):
            return (0, 21)

    asked = {
        0: lambda: layer(OnCard(x)),
        3: lambda: layer(OnCard(x, stream=3)),
        4: lambda: layer(OnCard(x), stream=4),
        9: lambda: layer(cupy(x)),
        11: lambda: layer(torch(x)),
        13: lambda: layer(torch(x), stream=13),
        15: lambda: layer(array.upload(x, stream=15)),
        17: lambda: layer(x, stream=17),
        21: lambda: layer(OnCard(x), stream=Protocol()),
        22: lambda: layer.vjp(OnCard(x), stream=22),
        23: lambda: layer.trajectory(OnCard(x), stream=23),
        24: lambda: rk.Bidirectional(layer)(OnCard(x), stream=24),
        25: lambda: rk.Dense(2).to("cuda")(array.upload(x, stream=25)),
    }
    for stream, call in asked.items():
        call()
        assert records[-1].stream == stream
    layer(OnCard(x), stream=sys.modules["cupy"].cuda.get_current_stream())
    assert records[-1].stream == 9
    layer(OnCard(x, stream=1))  # the default one, by another name
    assert records[-1].stream == 0


def test_memory_keeps_the_stream_that_it_is_freed_in(records, x):
    class Stream:
        def __cuda_stream__(self):
            return (0, 21)

    stream = Stream()
    there = weakref.ref(stream)
    found = rk.GRU(3, device="cuda")(array.upload(x), stream=stream)
    del stream
    records.clear()
    assert there() is not None and found.stream == 21
    del found
    gc.collect()
    assert there() is None


def test_a_stream_waits_for_what_wrote_its_arrays(records, monkeypatch, x):
    waits = []
    monkeypatch.setattr(driver, "follow", lambda stream, before: waits.append((stream, before)))
    monkeypatch.setattr(driver, "wait", lambda stream: waits.append("here"))
    monkeypatch.setattr(foreign_arrays.Executor, "run", lambda self, record: 1 / 0)  # before the stand-in copies
    layer = rk.GRU(3, seed=1, device="cuda")
    layer.build((None, None, 5))
    h = np.zeros((3, 3), np.float32)
    with pytest.raises(ZeroDivisionError):
        layer(OnCard(x, stream=3), initial_state=OnCard(h, stream=5), stream=4)
    assert waits == [(4, 3), (4, 5)]  # and nobody waits here
    waits.clear()
    with pytest.raises(ZeroDivisionError):
        layer(OnCard(x, stream=4), initial_state=OnCard(h), stream=4)
    assert waits == []


def test_results_are_ordered_by_their_stream(records, monkeypatch, x):
    waits = []
    cupy = foreign_arrays.library(monkeypatch, "cupy", 9)
    layer = rk.GRU(3, seed=1, device="cuda")
    monkeypatch.setattr(driver, "follow", lambda stream, before: waits.append((stream, before)))
    assert layer(cupy(x)).stream is None  # in CuPy's own order: nothing to wait for
    assert waits == []
    assert layer(cupy(x), stream=4).stream is None
    assert waits == [(4, 9), (9, 4)]  # and CuPy has nothing to wait for here
    jax = foreign_arrays.library(monkeypatch, "jax", None)
    given = jax(x)
    layer(given, stream=4)
    assert given.streams == [4]


@pytest.mark.parametrize("stream", ["one", True, -1, 1 << 64, object()])
def test_what_is_no_stream(records, x, stream):
    with pytest.raises(TypeError, match="expected stream to be a handle, a stream of numba, CuPy or torch"):
        rk.GRU(3, device="cuda")(OnCard(x), stream=stream)
    with pytest.raises(ValueError, match="expected no stream, since the layer 'gru' is on the CPU"):
        rk.GRU(3)(x, stream=4)


# States between calls


def test_states_stay_where_they_are(records, x):
    layer, expected = (rk.LSTM(3, stateful=True, seed=1, device=device) for device in ("cuda", "cpu"))
    for _ in range(2):
        close(layer(OnCard(x)), expected(x))
    assert all(isinstance(state, array.DeviceArray) for state in layer._kept)
    same(layer.states, expected.states, np.ndarray)
    for one in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert one.device == "cuda"
        same(one.states, expected.states, np.ndarray)
        assert not any(isinstance(state, array.DeviceArray) for state in one._kept)
    layer.reset_states(rows=[1])
    expected.reset_states(rows=[1])
    close(layer(OnCard(x)), expected(x))
    layer.to("cpu")
    assert all(isinstance(state, np.ndarray) for state in layer._kept)
    close(layer(x), expected(x))
    layer.to("cuda")
    close(layer(OnCard(x)), expected(x))
    layer.reset_states(states=[OnCard(np.ones((3, 3), np.float32))] * 2)
    expected.reset_states(states=[np.ones((3, 3))] * 2)
    close(layer(x), expected(x))


def test_a_call_that_fails_leaves_states_as_they_were(records, monkeypatch, x):
    layer = rk.GRU(3, stateful=True, seed=1, device="cuda")
    layer(OnCard(x))
    before = layer.states

    def without_memory(self, record):
        raise MemoryError

    monkeypatch.setattr(foreign_arrays.Executor, "run", without_memory)
    with pytest.raises(MemoryError):
        layer(OnCard(x))
    same(layer.states, before, np.ndarray)


# Moving


def test_to_moves_all_that_is_inside(records, x):
    inner = rk.Bidirectional(rk.LSTM(3, return_sequences=True))
    model = rk.Sequential([rk.TimeDistributed(rk.Dense(4)), inner, rk.GRU(2)], seed=1)
    expected = model(x)
    assert model.to("cuda") is model
    assert {layer.device for layer in all_layers(model)} == {"cuda"}
    close(model(OnCard(x)), expected)
    assert len(records) == 4
    assert model.to("cpu").device == "cpu"
    close(model(x), expected)
    assert len(records) == 4


def test_a_configuration_has_the_device(records, x):
    layer = rk.Bidirectional(rk.LSTM(3, device="cuda", seed=1))
    assert layer.device == layer.forward_layer.device == layer.backward_layer.device == "cuda"
    for one in (layer, rk.GRU(3, device="cuda"), rk.RNN([rk.GRUCell(2)], device="cuda")):
        again = type(one).from_config(one.get_config())
        assert again.device == "cuda"
        assert "device='cuda'" in repr(again)
    assert rk.Bidirectional(rk.RNN(Nameless(), device="cuda")).device == "cuda"


class Nameless:
    """A cell without a configuration."""

    state_size = 2

    def call(self, inputs, states):
        return states[0], states


# What is refused

SPOILED = {
    "another device": (
        lambda x: foreign_arrays.Elsewhere(x),
        ValueError,
        "expected x on device 0, .* got it on device 1",
    ),
    "big-endian": (lambda x: OnCard(x.astype(">f4")), TypeError, "byte order of this machine, got dtype >f4"),
    "other float": (lambda x: OnCard(x.astype("f8")), TypeError, r"float32, .* got float64; .*astype\('float32'\)"),
    "half": (lambda x: OnCard(x.astype("f2")), TypeError, r"float32 or float64, got float16; .*astype\(np.float32\)"),
    "integers": (lambda x: OnCard(x.astype("i4")), TypeError, "float32, the layer's precision, got int32"),
    "complex": (lambda x: OnCard(x.astype("c8")), TypeError, "real numbers, got dtype complex64"),
    "features apart": (lambda x: OnCard(x.swapaxes(1, 2).copy().swapaxes(1, 2)), ValueError, "contiguous features"),
    "features turned": (lambda x: OnCard(x[..., ::-1]), ValueError, "contiguous features"),
    "freed": (lambda x: OnCard(x, data=(0, False)), ValueError, "got address 0x0, which is freed"),
    "masked": (lambda x: OnCard(x, mask=OnCard(x)), TypeError, "without a mask inside"),
    "not aligned": (lambda x: OnCard(x, strides=(81, 20, 4)), ValueError, "aligned elements"),
    "rank": (lambda x: OnCard(x[0]), ValueError, r"expected x of shape \(batch, time, 5\), got \(4, 5\)"),
    "features": (lambda x: OnCard(x[..., :4].copy()), ValueError, r"\(batch, time, 5\), got \(3, 4, 4\)"),
}


@pytest.mark.parametrize("case", SPOILED)
def test_wrong_arrays(records, x, case):
    spoil, error, told = SPOILED[case]
    layer = rk.GRU(3, stateful=True, seed=1, device="cuda")
    layer(OnCard(x))
    before, count = layer.states, len(records)
    with pytest.raises(error, match=told):
        layer(spoil(x))
    same(layer.states, before, np.ndarray)
    assert len(records) == count


def test_wrong_other_arguments(records, x):
    layer = rk.GRU(3, seed=1, device="cuda")
    here = OnCard(x)
    with pytest.raises(ValueError, match=r"expected mask of shape \(3, 4\)"):
        layer(here, mask=OnCard(np.ones((4, 3), bool)))
    with pytest.raises(TypeError, match="a mask of booleans in a GPU's memory, got int32"):
        layer(here, mask=OnCard(np.ones((3, 4), np.int32)))
    with pytest.raises(ValueError, match="initial_state of shape"):
        layer(here, initial_state=OnCard(np.zeros((3, 4), np.float32)))
    with pytest.raises(TypeError, match="initial_state of float32 in a GPU's memory, got float64"):
        layer(here, initial_state=OnCard(np.zeros((3, 3))))
    _, pullback = layer.vjp(here)
    with pytest.raises(ValueError, match="expected d_outputs of shape"):
        pullback(OnCard(np.zeros((3, 4), np.float32)))
    with pytest.raises(TypeError, match="float32, the layer's precision, got float64"):
        pullback(OnCard(np.zeros((3, 3))))


def test_a_tensor_that_does_not_show_its_memory(records, x):
    class Wanting:
        @property
        def __cuda_array_interface__(self):
            raise RuntimeError("it requires grad, use detach()")

    with pytest.raises(TypeError, match=r"shows its memory; .*Wanting says: .*detach"):
        rk.GRU(3, device="cuda")(Wanting())


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_on_the_cpu_says_where_to_go(x, name):
    layer = LAYERS[name]()
    for call in (layer, layer.vjp):
        with pytest.raises(
            TypeError, match=r"expected x on the host, since the layer '.*' is on the CPU; layer.to\('cuda'\) moves it"
        ):
            call(OnCard(x))
    with pytest.raises(TypeError, match="is on the CPU"):
        layer(x, mask=OnCard(np.ones((3, 4), bool)))


def test_eager_steps_see_arrays_of_the_host(records, x):
    layer = rk.GRU(3, seed=1, device="cuda")
    with rk.eager():
        found = layer(OnCard(x))
    assert isinstance(found, array.DeviceArray)
    np.testing.assert_allclose(values(found), rk.GRU(3, seed=1)(x), atol=1e-6)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_of_fork_is_told():
    code = """
import os, sys
import numpy as np, rnnkit as rk
from rnnkit.backends.cuda.memory import array as cuda_memory
there = cuda_memory.upload(np.zeros(3))
child = os.fork()
if not child:
    try:
        there.copy_to_host()
    except RuntimeError as error:
        os._exit(0 if "forked from process" in str(error) and not rk.cuda.is_available() else 2)
    os._exit(1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert processes.run([sys.executable, "-W", "ignore", "-c", code]).returncode == 0


def test_the_simulator_is_a_device():
    assert rk.cuda.is_available()
    (device,) = rk.cuda.devices()
    assert device.name == "numba's simulator" and len(device.compute_capability) == 2


def test_arrays_of_numbas_simulator(records, x):
    from numba import cuda

    found = rk.GRU(3, seed=1, device="cuda")(cuda.to_device(x))
    assert type(found) is type(cuda.to_device(x))
    np.testing.assert_array_equal(found.copy_to_host(), rk.GRU(3, seed=1)(x))


def test_a_fit_is_the_hosts(records, x):
    expected, model = (
        rk.Sequential(
            [rk.LSTM(3, dropout=0.3, return_sequences=True), rk.Bidirectional(rk.GRU(2)), rk.Dense(1)], seed=1
        )
        for _ in range(2)
    )
    for one in (expected, model.to("cuda")):
        one.compile("adam", "mse")
        one.fit(x, x[:, :1, 0], epochs=2, batch_size=2, verbose=0)
    same(model.get_weights(), expected.get_weights(), np.ndarray)
    close(model(OnCard(x)), expected(x))


def test_only_dlpack(records, x):
    close(rk.GRU(3, seed=1, device="cuda")(OnlyDlpack(x)), rk.GRU(3, seed=1)(x))
