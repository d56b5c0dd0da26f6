"""The promises about a GPU, on numba's simulator: small sizes, memory of NumPy, threads of Python."""

import copy
import os
import pickle

import foreign_arrays
import numpy as np
import processes
import pytest
from cells_under_test import layer_norm_lstm, leaky
from foreign_arrays import OnCard, values

import rnnkit as rk
from rnnkit.backends.cuda.memory import array as cuda_memory
from rnnkit.backends.cuda.memory import availability
from rnnkit.backends.cuda.memory.array import DeviceArray
from rnnkit.backends.cuda.runtime.cost_model import GPU

simulated = pytest.mark.skipif(
    not (availability.simulated() and availability.missing() is None),
    reason="takes numba's simulator in the place of a GPU: NUMBA_ENABLE_CUDASIM=1, with numba-cuda",
)
CELLS = {
    "SimpleRNN": rk.SimpleRNNCell,
    "GRU": rk.GRUCell,
    "LSTM": rk.LSTMCell,
    "leaky": lambda units: leaky(units=units),
    "layer_norm_lstm": lambda units: layer_norm_lstm(units=units),
}
DTYPES = ("float32", "float64")
each_cell = pytest.mark.parametrize("cell, dtype", [(cell, DTYPES[i % 2]) for i, cell in enumerate(CELLS)])
BOUNDS = {"float32": 1e-5, "float64": 1e-12}


def both(cell, dtype="float32", **options):
    """The same layer on the CPU and on the GPU, with all sequences and states."""
    here, there = (
        rk.RNN(CELLS[cell](5), True, True, dtype=dtype, seed=3, device=device, **options) for device in ("cpu", "cuda")
    )
    return here, there


def same(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(values(a), values(b))


def close(found, expected, dtype):
    for a, b in zip(found, expected, strict=True):
        far = np.abs(values(a) - values(b)).max() / max(1.0, np.abs(values(b)).max())
        assert far <= BOUNDS[dtype]


@pytest.fixture
def x(rng):
    return rng.normal(size=(3, 6, 4)).astype(np.float32)


def test_G1_what_is_missing_is_said_where_the_device_is_named():
    assert rk.cuda.is_available() in (True, False)
    layer = rk.GRU(3, device="cpu")
    assert layer.to("cpu") is layer and layer.device == "cpu"
    with pytest.raises(ValueError, match="expected device 'cpu' or 'cuda', got 'tpu'"):
        layer.to("tpu")
    if rk.cuda.is_available():
        return
    for use in (lambda: rk.GRU(3, device="cuda"), lambda: layer.to("cuda"), rk.cuda.devices):
        with pytest.raises(RuntimeError, match="^expected .*(numba-cuda|driver|GPU)"):
            use()
    assert layer.device == "cpu"


@simulated
def test_G1_a_layer_moves_with_all_that_is_inside(x):
    assert all(isinstance(device, rk.cuda.Device) for device in rk.cuda.devices())
    model = rk.Sequential(
        [rk.Bidirectional(rk.LSTM(3, return_sequences=True, device="cpu")), rk.GRU(2, device="cpu"), rk.Dense(1)],
        seed=0,
    )
    before = model(x)
    assert model.to("cuda") is model and model.device == "cuda"
    close([model(x)], [before], "float32")
    assert model.to("cpu").device == "cpu"
    same([model(x)], [before])


@simulated
def test_G2_results_are_where_the_input_is(x):
    _, layer = both("LSTM")
    expected = layer(x)
    assert all(type(array) is np.ndarray for array in expected)
    given = OnCard(x.copy())
    found = layer(
        given, mask=OnCard(np.ones((3, 6), bool)), initial_state=[np.zeros((3, 5)), OnCard(np.zeros((3, 5), "f"))]
    )
    assert all(isinstance(array, DeviceArray) for array in found)
    same(found, expected)
    kept = [values(array) for array in found]
    layer(OnCard(2 * x))
    same(found, kept)
    same([given], [x])


@simulated
def test_G3_work_stands_in_the_stream_that_was_asked_for_and_nobody_waits(monkeypatch, x):
    _, layer = both("GRU")
    layer(OnCard(x))
    waited, streams = [], []
    calls = cuda_memory.driver()
    up, down = calls.upload, calls.download
    monkeypatch.setattr(calls, "wait", waited.append)
    monkeypatch.setattr(calls, "upload", lambda *given: streams.append(given[-1]) or up(*given))
    monkeypatch.setattr(calls, "download", lambda *given: waited.append(given[-1]) or down(*given))
    outputs, state = layer(OnCard(x), stream=77)
    assert waited == [] and set(streams) == {77} and {outputs.stream, state.stream} == {77}
    layer(x)
    assert set(waited) == {0}


@simulated
@each_cell
def test_G4_the_laws_hold_bit_for_bit_on_the_gpu(cell, dtype, x):
    _, layer = both(cell, dtype)
    _, back = both(cell, dtype, go_backwards=True)
    x = x.astype(dtype)
    whole, *states = layer(x)
    early, *between = layer(x[:, :2])
    late, *ends = layer(x[:, 2:], initial_state=between)
    same([np.concatenate([early, late], axis=1), *ends], [whole, *states])
    same([one[:1] for one in layer(x[1:])], [one[1:2] for one in (whole, *states)])
    same(back(x), layer(x[:, ::-1]))
    mask = np.array([[1, 1, 0, 1, 0, 0], [0, 1, 1, 1, 1, 1], [0] * 6], bool)
    same(layer(np.where(mask[..., None], x, np.nan), mask=mask), layer(x, mask=mask))
    same([layer(x[:, :3])[0]], [whole[:, :3]])


@simulated
@each_cell
def test_G5_results_are_the_cpus(cell, dtype, x):
    here, there = both(cell, dtype)
    mask = np.array([[1, 1, 0, 1, 0, 0], [0, 1, 1, 1, 1, 1], [0] * 6], bool)
    for given in (None, mask):
        close(there(x, mask=given), here(x, mask=given), dtype)


@simulated
@each_cell
def test_G6_gradients_are_the_cpus_and_the_same_each_time(cell, dtype, x, rng):
    here, there = both(cell, dtype)
    d_outputs = [rng.normal(size=array.shape).astype(dtype) for array in here(x)]
    found = [layer.vjp(x)[1](d_outputs) for layer in (here, there, there)]
    arrays = [[g.x, *g.weights.values(), *np.atleast_3d(g.initial_state)] for g in found]
    close(arrays[1], arrays[0], dtype)
    same(arrays[2], arrays[1])
    segments = there.vjp(x, checkpoint=2)[1](d_outputs)
    close(segments.weights.values(), found[0].weights.values(), dtype)
    gradient = there.vjp(OnCard(x.astype(dtype)))[1](d_outputs)
    assert isinstance(gradient.x, DeviceArray)
    assert all(type(array) is np.ndarray for array in gradient.weights.values())
    same([gradient.x], [found[1].x])


@rk.cell(states={"h": "units"}, weights={"kernel": rk.Weight(("features", "units"))})
def until_large(x, states, weights):
    (h,) = states
    while h.max() < 1:
        h = h + np.abs(x @ weights.kernel) + 0.1
    return h, h


@simulated
def test_G7_what_can_only_be_jitted_is_refused_and_the_rest_goes_by_the_host(x):
    with pytest.raises(ValueError, match="can't run on a GPU.*while h.max"):
        rk.RNN(until_large(3), device="cuda")(x)
    expected = rk.RNN(leaky(units=3), seed=0, device="cpu")(x)
    layer = rk.RNN(leaky(units=3), seed=0, device="cuda")
    with rk.eager():
        found = layer(OnCard(x))
    assert isinstance(found, DeviceArray)
    close([found], [expected], "float32")
    assert isinstance(rk.Flatten().to("cuda")(OnCard(x)), DeviceArray)


@simulated
def test_G8_wrong_arrays_change_nothing(monkeypatch, x):
    layer = rk.GRU(3, stateful=True, device="cuda")
    layer(x)
    before = layer.states
    wrong = [foreign_arrays.Elsewhere(x), OnCard(x.astype(">f4")), OnCard(x.astype("f8")), OnCard(x, data=(0, False))]
    for array in (*wrong, OnCard(x[..., ::-1])):
        with pytest.raises((TypeError, ValueError), match="^expected"):
            layer(array)
    with pytest.raises(TypeError, match=r"layer.to\('cuda'\) moves it"):
        rk.GRU(3, device="cpu")(OnCard(x))
    with pytest.raises(TypeError, match="^expected stream"):
        layer(x, stream="fast")
    monkeypatch.setattr(cuda_memory.driver(), "free_bytes", lambda: 1000)
    with pytest.raises(MemoryError, match=r"expected [\d,]+ bytes of device memory .*got 1,000 free"):
        layer(np.ones((3, 600, 4), np.float32))
    same(layer.states, before)


@simulated
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_G8_a_child_is_told(x, capfd):
    layer = rk.GRU(3, device="cuda")
    layer(x)

    def work():
        try:
            layer(x)
        except RuntimeError as error:
            os.write(1, str(error).encode())

    assert processes.fork(work)
    assert capfd.readouterr().out.startswith("expected CUDA to be used by one process")


@simulated
def test_G9_explain_says_how_a_call_was_shared(x):
    layer = rk.LSTM(5, device="cuda")
    layer.build(x.shape)
    assert "is chosen at the first call" in layer.explain()
    layer(x)
    told = layer.explain()
    assert "on the GPU, for 3 rows: " in told and "recurrent weights: shared memory" in told
    expected = layer(x)
    (executor,) = layer._execution.executors.values()
    executor.gpu = GPU(2, 100, 3, 6)
    same([layer(x)], [expected])
    assert "recurrent weights: read from the cache at every step" in layer.explain()


@simulated
def test_G10_states_stay_and_come_to_the_host_when_they_are_looked_at(x):
    here, there = (rk.LSTM(3, stateful=True, seed=1, device=device) for device in ("cpu", "cuda"))
    for given in (x, x + 1):
        here(given), there(OnCard(given))
    close(there.states, here.states, "float32")
    assert all(type(state) is np.ndarray for state in there.states)
    for twin in (copy.deepcopy(there), pickle.loads(pickle.dumps(there))):
        assert twin.device == "cuda" and there.get_config()["device"] == "cuda"
        same(twin.states, there.states)
    kept = there.states
    same(there.to("cpu").states, kept)
