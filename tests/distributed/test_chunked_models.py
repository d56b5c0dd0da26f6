"""Models and layers without states on dask arrays, with the masks that layers make on the way."""

import warnings

import numpy as np
import pytest
from chunked_runs import SCHEDULERS, chunked, da, same_as_whole

import rnnkit as rk

F = {"dtype": "float64", "seed": 3}


@rk.cell(states={"h": "units"}, weights={"w": rk.Weight(("features", "units"), "glorot_uniform")})
def attending(x, states, weights, *, units=4, constants=()):
    h = np.tanh(x @ weights.w + states[0]) * constants[0]
    return h, (h,)


def ids(rng):
    return rng.integers(0, 6, (5, 12))


def floats(rng):
    x = rng.normal(size=(5, 12, 3))
    x[rng.random((5, 12)) < 0.3] = 0
    return x


SEQUENTIAL = {
    "masking": (floats, lambda: [rk.Masking(), rk.LSTM(4, **F), rk.Dense(2, **F)]),
    "ids": (ids, lambda: [rk.Embedding(6, 3, mask_zero=True, seed=0), rk.GRU(4, seed=1), rk.Dense(2, seed=2)]),
    "both directions": (
        floats,
        lambda: [
            rk.Masking(),
            rk.Bidirectional(rk.GRU(3, return_sequences=True, **F)),
            rk.Dropout(0.5),
            rk.LSTM(4, return_sequences=True, go_backwards=True, **F),
            rk.Dense(3, activation="softmax", **F),
        ],
    ),
    "a mean over time": (
        floats,
        lambda: [rk.Masking(), rk.GRU(3, return_sequences=True, **F), rk.GlobalAveragePooling1D(), rk.Dense(1, **F)],
    ),
    "flattened": (floats, lambda: [rk.GRU(3, return_sequences=True, **F), rk.Flatten(), rk.Dense(2, **F)]),
    "repeated": (floats, lambda: [rk.GRU(3, **F), rk.RepeatVector(4), rk.GRU(2, return_sequences=True, **F)]),
    "each step": (
        floats,
        lambda: [rk.TimeDistributed(rk.Dense(4, **F)), rk.Activation("tanh"), rk.Lambda(lambda x: x[..., :2] * 3)],
    ),
    "a stack": (floats, lambda: [rk.RNN([rk.LSTMCell(3), rk.GRUCell(2)], return_sequences=True, **F)]),
    "a model inside": (
        floats,
        lambda: [rk.Sequential([rk.Masking(), rk.GRU(3, return_sequences=True, **F)]), rk.LSTM(2, **F)],
    ),
}


@pytest.mark.parametrize("name", SEQUENTIAL)
@pytest.mark.parametrize("seed", range(3))
def test_X6_a_sequential_model_has_the_bits_of_the_whole(name, seed):
    rng = np.random.default_rng(seed)
    make, layers = SEQUENTIAL[name]
    x, model = make(rng), rk.Sequential(layers())
    got = model.predict(chunked(x, rng))  # which builds it
    same_as_whole(got, model(x), SCHEDULERS[seed % 2])
    mask = model.compute_mask(x)
    assert (mask is None) == (model.compute_mask(chunked(x, rng)) is None)
    if mask is not None:
        same_as_whole(model.compute_mask(chunked(x, rng)), mask)


def encoder_and_decoder():
    source, target = rk.Input((None, 3), name="source"), rk.Input((None, 3), name="target")
    masked = rk.Masking()(source)
    _, h, c = rk.LSTM(4, return_state=True, seed=0)(masked)
    y = rk.LSTM(4, return_sequences=True, seed=1)(target, initial_state=[h, c])
    together = rk.Concatenate()([y, target])
    return rk.Model([source, target], [rk.Dense(2, seed=2)(together), rk.Add()([y, y]), h])


def branches():
    x = rk.Input((None, 3))
    masked = rk.Masking()(x)
    a = rk.GRU(4, return_sequences=True, seed=0)(masked)
    b = rk.Bidirectional(rk.GRU(2, return_sequences=True, seed=1))(masked)
    both = rk.Multiply()([a, b])
    long = rk.Concatenate(axis=1)([both, a])
    return rk.Model(x, [rk.GRU(3, seed=4)(both), rk.LSTM(2, return_sequences=True, seed=5)(long)])


@pytest.mark.parametrize("seed", range(4))
def test_X12_a_model_with_several_inputs_and_outputs(seed):
    rng = np.random.default_rng(seed)
    model = encoder_and_decoder()
    given = {"source": floats(rng).astype("float32"), "target": rng.normal(size=(5, 7, 3)).astype("float32")}
    lazy = {"source": chunked(given["source"], rng), "target": chunked(given["target"], rng)}
    same_as_whole(model(lazy), model(given), SCHEDULERS[seed % 2])
    lazy["target"] = given["target"]  # of the whole
    same_as_whole(model([lazy["source"], lazy["target"]]), model(given))


@pytest.mark.parametrize("seed", range(4))
def test_X13_branches_and_merged_masks(seed):
    rng = np.random.default_rng(seed)
    model, x = branches(), floats(rng).astype("float32")
    same_as_whole(model(chunked(x, rng)), model(x), SCHEDULERS[seed % 2])
    same_as_whole(model.compute_mask(chunked(x, rng)), model.compute_mask(x))


def test_C6_constants_go_with_the_rows():
    rng = np.random.default_rng(0)
    layer, x = rk.RNN(attending(units=4), return_sequences=True, **F), rng.normal(size=(5, 9, 3))
    constant = rng.normal(size=(5, 4))
    expected = layer(x, constants=[constant])
    same_as_whole(layer(chunked(x, rng), constants=[constant]), expected)
    same_as_whole(layer(chunked(x, rng), constants=[chunked(constant, rng, 1)]), expected)


def test_P1_precision_and_casting():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 6, 2))
    for dtype in ("float32", ">f8", "int16", "bool"):
        given = (x * 3).astype(dtype)
        lazy, whole = rk.GRU(3, seed=0), rk.GRU(3, seed=0)
        same_as_whole(lazy(chunked(given, rng)), whole(given))
        assert lazy.dtype == whole.dtype


def test_features_in_chunks_are_merged_with_a_warning():
    rng = np.random.default_rng(0)
    layer, x = rk.GRU(3, seed=0, dtype="float64"), rng.normal(size=(4, 6, 4))
    with pytest.warns(da.PerformanceWarning, match=r"2 chunks along its features.*768 bytes.*x.rechunk\(\{2: -1\}\)"):
        got = layer(da.from_array(x, chunks=(2, 3, 2)))
    same_as_whole(got, layer(x))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layer(da.from_array(x, chunks=(2, 3, 4)))


@pytest.mark.parametrize("steps", [(0, 0, 1), (1, 0, 0), (2, 0, 3)])
def test_a_mask_turns_round_beside_empty_chunks(steps):
    x, mask = np.ones((2, sum(steps), 3)), np.arange(2 * sum(steps)).reshape(2, -1) % 3 > 0
    layer = rk.GRU(2, return_sequences=True, go_backwards=True, **F)
    layer(x)
    lazy = da.from_array(x, chunks=((2,), steps, (3,)))
    same_as_whole(layer.compute_mask(lazy, mask), layer.compute_mask(x, mask))
