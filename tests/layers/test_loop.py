"""Loops as functions: what they give is what the step gives in a loop of Python, in the form that the input had."""

import copy
import math
import pickle
import sys

import numpy as np
import pytest

import rnnkit as rk
from rnnkit.backends.cpu import tuning
from rnnkit.execution import pipeline

T = 40
GIVEN = {"omega": 0.05, "alpha": 0.03, "gamma": 0.1}


@rk.loop
def gjr(x, h=0.05, e=0.0, *, omega, alpha, gamma, beta=0.88):
    """A variance that rises more after losses, and its likelihood."""
    if e < 0:
        slope = alpha + gamma
    else:
        slope = alpha
    h = omega + slope * e * e + beta * h
    return -0.5 * (np.log(h) + x * x / h), (h, x)


@rk.loop
def moving(x, mean=np.zeros(2), n=0, *, keep=np.array([0.5, 0.8]), gain):
    """Vectors, an array that has a default, and several outputs."""
    mean = keep * mean + gain * x
    return {"norm": (mean * mean).sum(), "mean": mean}, (mean, n + 1)


@rk.loop
def bare(x, level=0.0):
    level = level + math.sin(x)
    return (level, 2 * level), level


def returns(*shape):
    return np.random.default_rng(1).normal(size=shape)


def plain(loop, x, mask=None, reverse=False, **given):
    """The outputs and last states of one sequence, flat, by the step alone."""
    names = loop._names[: len(loop._states)]
    states = [given.pop(name, loop._defaults[name]) for name in names]
    given = {name: one for name, one in loop._defaults.items() if name not in names} | given
    rows, held = [None] * len(x), None
    for t in range(len(x))[:: -1 if reverse else 1]:
        output, new = loop.function(x[t], *states, **given)
        output = [np.asarray(one) for one in flat(output)]
        if mask is None or mask[t]:
            states, held = new if isinstance(new, tuple) else (new,), output
        rows[t] = [np.zeros_like(one) for one in output] if held is None else held
    return [np.stack(one) for one in zip(*rows, strict=True)] + [np.asarray(state) for state in states]


def flat(nested):
    if isinstance(nested, dict):
        nested = list(nested.values())
    return [leaf for one in nested for leaf in flat(one)] if isinstance(nested, (list, tuple)) else [nested]


def agree(found, wanted, rtol=1e-12):
    for got, expected in zip(flat(found), wanted, strict=True):
        np.testing.assert_allclose(got, expected, rtol=rtol, atol=rtol)


CASES = {
    "numbers": (gjr, returns(T), GIVEN),
    "starts": (gjr, returns(T), GIVEN | {"h": 0.3, "beta": 0.5}),
    "vectors": (moving, returns(T, 2), {"gain": 0.1}),
    "arrays": (moving, returns(T, 2), {"gain": 0.1, "keep": [0.1, 0.2], "mean": np.ones(2), "n": 3}),
    "no parameters": (bare, returns(T), {}),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("how", ["", "mask", "reverse", "mask reverse"])
def test_X23_a_loop_equals_the_step_in_python(case, how):
    loop, x, given = CASES[case]
    mask = np.random.default_rng(0).random(T) < 0.7 if "mask" in how else None
    more = {"mask": mask, "reverse": "reverse" in how}
    found = loop(x, **given, **more, return_state=True)
    agree(found, plain(loop, x, **given, **more))
    output = loop(x, **given, **more)
    assert type(output) is type(found[0])
    for a, b in zip(flat(output), flat(found[0]), strict=True):
        assert a.tobytes() == b.tobytes() and a.flags.c_contiguous


def test_P1_a_call_computes_in_the_precision_of_its_own_input():
    x = returns(T)
    for dtype, computed in (("float64", "float64"), ("float32", "float32"), ("int64", "float32"), (">f8", "float64")):
        found = gjr((10 * x).astype(dtype), **GIVEN)
        assert found.dtype == computed
        agree(
            [found],
            plain(gjr, (10 * x).astype(dtype).astype(computed), **GIVEN)[:1],
            1e-12 if computed[-2:] == "64" else 1e-5,
        )
    assert gjr(x.tolist(), **GIVEN).tobytes() == gjr(x, **GIVEN).tobytes()


def test_X23_rows_of_inputs_of_parameters_and_of_starts():
    x, omega, h = returns(3, T), np.array([0.01, 0.05, 0.2]), [0.1, 0.2, 0.3]
    given = GIVEN | {"omega": omega}
    together = gjr(x[:, :, None], **given, h=h, return_state=True)
    assert [one.shape for one in together] == [(3, T), (3,), (3,)]
    shared = gjr(x[0], **given, h=h)
    for row in range(3):
        own = GIVEN | {"omega": float(omega[row]), "h": h[row]}
        alone = gjr(x[row], **own, return_state=True)
        assert all(np.array_equal(one[row], two) for one, two in zip(together, alone, strict=True))
        assert np.array_equal(shared[row], gjr(x[0], **own))
    keep = np.array([[0.1, 0.2], [0.3, 0.4]])
    found = moving(returns(T, 2), gain=0.1, keep=keep)
    assert found["mean"].shape == (2, T, 2)
    assert np.array_equal(found["norm"][1], moving(returns(T, 2), gain=0.1, keep=keep[1])["norm"])
    assert gjr(x[:1, :, None], **given).shape == (3, T)
    numbers = GIVEN | {"omega": 0.02, "h": 0.3}  # of all rows
    arrays = {name: np.full(3, one) for name, one in numbers.items()}
    for given_by_name in (numbers, {name: one for name, one in numbers.items() if name != "h"}):
        by_row = {name: arrays[name] for name in given_by_name}
        assert np.array_equal(gjr(x[:, :, None], **given_by_name), gjr(x[:, :, None], **by_row))
    assert gjr(x[0][:, None], **GIVEN).shape == (T,) and gjr(np.zeros((0, T, 1)), **GIVEN).shape == (0, T)
    assert gjr(x[:0, 0], **GIVEN).shape == (0,)
    masks = np.random.default_rng(0).random((3, T)) < 0.5
    masked = gjr(x[0], **given, mask=masks)
    assert np.array_equal(masked[2], gjr(x[0], **GIVEN | {"omega": 0.2}, mask=masks[2]))
    assert np.array_equal(gjr(x[0], **given, mask=masks[1]), gjr(x[0], **given, mask=masks[[1, 1, 1]]))


@pytest.mark.parametrize("reverse", [False, True])
def test_X19_sequences_of_unequal_lengths_have_the_bits_of_each_alone(reverse):
    x = [returns(length) for length in (7, T, 1)]
    given = GIVEN | {"omega": [0.1, 0.2, 0.3]}
    found, h, e = gjr(x, **given, reverse=reverse, return_state=True)
    for i, one in enumerate(x):
        own = gjr(one, **GIVEN | {"omega": given["omega"][i]}, reverse=reverse, return_state=True)
        assert np.array_equal(found[i], own[0]) and (h[i], e[i]) == own[1:]
    vectors = [returns(length, 2) for length in (3, 5)]
    assert [one.shape for one in moving(vectors, gain=1.0)["mean"]] == [(3, 2), (5, 2)]
    y, pull = gjr.vjp(x, **given, reverse=reverse)
    gradients = pull([np.ones_like(one) for one in y])
    for i, one in enumerate(x):
        own = gjr.vjp(one, **GIVEN | {"omega": given["omega"][i]}, reverse=reverse)[1](np.ones_like(one))
        assert np.array_equal(gradients.x[i], own.x)
        assert gradients.parameters["omega"][i] == own.parameters["omega"]


def test_X23_series_of_pandas_keep_their_index():
    pandas = pytest.importorskip("pandas")
    x, dates = returns(T, 2), pandas.date_range("2000", periods=T)
    series, frame = pandas.Series(x[:, 0], dates, name="a"), pandas.DataFrame(x, dates, ["a", "b"])
    expected = gjr(x[:, 0], **GIVEN)
    found = gjr(series, **GIVEN)
    pandas.testing.assert_series_equal(found, pandas.Series(expected, dates, name="a"))
    found[:] = 0.0
    assert series.iloc[0] == x[0, 0] and np.array_equal(gjr(series, **GIVEN), expected)
    pandas.testing.assert_series_equal(gjr(frame[["a"]], **GIVEN), pandas.Series(expected, dates))
    several = moving(frame, gain=0.1)
    plainly = moving(x, gain=0.1)
    pandas.testing.assert_series_equal(several["norm"], pandas.Series(plainly["norm"], dates))
    pandas.testing.assert_frame_equal(several["mean"], pandas.DataFrame(plainly["mean"], dates, ["a", "b"]))
    y, pull = gjr.vjp(series, **GIVEN, mask=series > -1, reverse=True)
    pandas.testing.assert_index_equal(pull(y).x.index, series.index)
    assert type(gjr(series, **GIVEN | {"omega": [0.1, 0.2]})) is np.ndarray
    parts = gjr([series[:5], series[5:]], **GIVEN)
    pandas.testing.assert_index_equal(parts[1].index, series.index[5:])
    whole = pandas.Series(x[:, 0], dates, dtype="Float64", name="a")
    pandas.testing.assert_series_equal(gjr(whole, **GIVEN), gjr(series, **GIVEN))
    with pytest.raises(TypeError, match="expected x to hold real numbers, got a column 'b'"):
        moving(frame.assign(b="text"), gain=0.1)


def test_X23_a_series_is_the_same_by_pandas_own_constructor(monkeypatch):
    pandas = pytest.importorskip("pandas")
    series = pandas.Series(returns(T), name="a")
    found = gjr(series, **GIVEN)
    monkeypatch.delattr(pandas.Series, "_constructor_from_mgr")
    pandas.testing.assert_series_equal(gjr(series, **GIVEN), found)


def test_X23_series_of_polars():
    polars = pytest.importorskip("polars")
    x = returns(T, 2)
    found = gjr(polars.Series("a", x[:, 0]), **GIVEN)
    assert found.equals(polars.Series("a", gjr(x[:, 0], **GIVEN))) and found.name == "a"
    frame = polars.DataFrame(x, schema=["a", "b"])
    several = moving(frame, gain=0.1)
    assert several["mean"].columns == ["a", "b"] and several["norm"].name == ""
    assert np.array_equal(several["mean"].to_numpy(), moving(x, gain=0.1)["mean"])
    y, pull = moving.vjp(frame, gain=0.1)
    assert pull({"norm": None, "mean": y["mean"]}).x.columns == ["a", "b"]


@pytest.mark.parametrize("dims", [("time",), ("asset", "time"), ("time", "asset")])
def test_X20_arrays_of_xarray_are_read_by_their_names(dims):
    xarray = pytest.importorskip("xarray")
    x = returns(2, T)
    coords = {"asset": ["a", "b"], "time": np.arange(T)}
    array = xarray.DataArray(x, dims=("asset", "time"), coords=coords)
    array = array.transpose(*dims) if len(dims) > 1 else array[1].drop_vars("asset")
    expected = gjr(x[:, :, None], **GIVEN) if len(dims) > 1 else gjr(x[1], **GIVEN)
    y, pull = gjr.vjp(array, **GIVEN, mask=array > -1)
    found = gjr(array, **GIVEN)
    assert found.dims == tuple(dim for dim in ("asset", "time") if dim in dims)
    assert np.array_equal(found, expected) and set(found.coords) == set(dims)
    assert pull(y.transpose(*dims)).x.dims == dims
    assert np.array_equal(pull(y.transpose(*dims)).x, pull(y).x)


def test_X20_features_of_xarray_and_rows_of_parameters():
    xarray = pytest.importorskip("xarray")
    x = returns(T, 2)
    array = xarray.DataArray(x, dims=("time", "feature"), coords={"time": np.arange(T)})
    found = moving(array.T, gain=[0.1, 0.2, 0.3])
    assert found["mean"].dims == ("row", "time", "unit") and found["norm"].dims == ("row", "time")
    assert np.array_equal(found["mean"], moving(x, gain=[0.1, 0.2, 0.3])["mean"])
    with pytest.raises(ValueError, match="dimension 'time'"):
        moving(array.rename(time="date"), gain=0.1)


GRADIENTS = {
    "four parameters": (gjr, returns(T), GIVEN | {"beta": 0.8}, {}),
    "by row": (gjr, returns(T), GIVEN | {"omega": np.array([0.1, 0.2]), "h": 0.2}, {}),
    "one row": (gjr, returns(2, T, 1), GIVEN | {"omega": np.array([0.1])}, {"reverse": True}),
    "masked": (gjr, returns(T), GIVEN, {"mask": returns(T) > -0.5}),
    "reverse": (gjr, returns(T), GIVEN | {"e": -0.3}, {"reverse": True, "mask": returns(T) > -0.5}),
    "checkpoints": (gjr, returns(T), GIVEN, {"checkpoint": 7}),
    "arrays": (moving, returns(T, 2), {"gain": 0.3, "mean": np.array([0.1, -0.2])}, {}),
    "arrays by row": (moving, returns(T, 2), {"gain": 0.3, "keep": np.array([[0.1, 0.2], [0.3, 0.4]])}, {}),
}


@pytest.mark.parametrize("return_state", [False, True])
@pytest.mark.parametrize("case", GRADIENTS)
def test_L7_gradients_equal_central_differences(case, return_state):
    loop, x, given, more = GRADIENTS[case]
    outputs, pull = loop.vjp(x, **given, **more, return_state=return_state)
    rng = np.random.default_rng(2)
    d = nested_alike(outputs, lambda one: rng.normal(size=np.shape(one)))
    gradients = pull(d)
    again = loop(
        x, **given, **{name: one for name, one in more.items() if name != "checkpoint"}, return_state=return_state
    )
    assert all(np.array_equal(a, b) for a, b in zip(flat(outputs), flat(again), strict=True))

    def total(x, given):
        weights = {name: one for name, one in more.items() if name != "checkpoint"}
        found = loop(x, **given, **weights, return_state=return_state)
        return sum((a * b).sum() for a, b in zip(flat(found), flat(d), strict=True))

    found = gradients.parameters | gradients.states
    assert list(found) == [*loop._parameters, *loop._states]
    for name, gradient in found.items():
        value = given.get(name, loop._defaults.get(name))
        assert np.shape(gradient) == np.shape(value)
        slopes = central(lambda one, name=name: total(x, given | {name: one}), np.asarray(value, float))
        np.testing.assert_allclose(gradient, slopes, rtol=1e-6, atol=1e-5 * max(1.0, np.abs(slopes).max()))
    along = rng.normal(size=x.shape)
    slope = (total(x + 1e-6 * along, given) - total(x - 1e-6 * along, given)) / 2e-6
    assert gradients.x.shape == x.shape
    np.testing.assert_allclose((gradients.x * along).sum(), slope, rtol=1e-6)


def nested_alike(nested, function):
    if isinstance(nested, dict):
        return {name: nested_alike(one, function) for name, one in nested.items()}
    return tuple(nested_alike(one, function) for one in nested) if isinstance(nested, tuple) else function(nested)


def central(function, value, step=1e-6):
    found = np.empty(value.shape)
    for place in np.ndindex(value.shape):
        ends = []
        for sign in (1, -1):
            moved = value.copy()
            moved[place] += sign * step
            ends.append(function(moved))
        found[place] = (ends[0] - ends[1]) / (2 * step)
    return found


def test_X24_cotangents_that_are_none_are_zeros():
    x = returns(T, 2)
    (y, mean, n), pull = moving.vjp(x, gain=0.3, return_state=True)
    zeros = {"norm": np.zeros(T), "mean": np.zeros((T, 2))}
    some, all_of_them = pull((None, np.ones(2), None)), pull((zeros, np.ones(2), 0.0))
    assert np.array_equal(some.x, all_of_them.x) and some.x.any()
    assert some.parameters["gain"] == all_of_them.parameters["gain"]


def test_X23_another_value_compiles_nothing(monkeypatch):
    @rk.loop
    def smoothed(x, level=0.0, *, alpha, beta=np.ones(2)):
        level = level + alpha * (x - level)
        return level * beta.sum(), level

    x = returns(T)
    for return_state in (False, True):
        y, pull = smoothed.vjp(x, alpha=0.5, return_state=return_state)
        pull(y), smoothed(x, alpha=0.5, return_state=return_state)
    executors = {id(one) for layer in smoothed._layers.values() for one in layer._execution.executors.values()}
    assert len(executors) == 1  # with states or without

    def refuse(*_, **__):
        raise AssertionError("it was compiled once more")

    for module in ("rnnkit.execution.pipeline", "rnnkit.backends.cpu.language.programs"):
        for name in ("choose", "object_codes", "compile_step"):
            if hasattr(sys.modules[module], name):
                monkeypatch.setattr(sys.modules[module], name, refuse)
    assert pipeline.choose is refuse
    for alpha in (0.1, 1, np.float32(0.3)):
        found = smoothed(x, alpha=alpha, level=2.0, beta=[1.0, 2.0])
        agree([found], plain(smoothed, x, alpha=float(alpha), level=2.0, beta=np.array([1.0, 2.0]))[:1])
        smoothed.vjp(x, alpha=alpha, return_state=True)[1]((found, 1.0))


@pytest.mark.parametrize("case", CASES)
def test_D8_a_stream_has_the_bits_of_a_call(case):
    loop, x, given = CASES[case]
    stream = loop.stream(features=2 if x.ndim > 1 else None, **given)
    rows = [stream.step(one) for one in x[:20]]
    found = loop(x[:20], **given, return_state=True)
    for got, expected in zip(zip(*map(flat, rows), strict=True), flat(found[0]), strict=True):
        assert np.array_equal(np.stack(got), expected)
    assert list(stream.states) == list(loop._states)
    assert all(np.array_equal(a, b) for a, b in zip(stream.states.values(), found[1:], strict=True))
    later = pickle.loads(pickle.dumps(stream))
    assert all(np.array_equal(a, b) for a, b in zip(flat(later.step(x[20])), flat(stream.step(x[20])), strict=True))
    stream.reset()
    assert all(np.array_equal(a, b) for a, b in zip(flat(stream.step(x[0])), flat(rows[0]), strict=True))


def test_D8_a_stream_says_that_a_step_of_features_needs_their_number():
    @rk.loop
    def product(x, h=0.0, *, weights):
        return (h, {"x": x}), h + x @ weights

    with pytest.raises(ValueError, match="can't be read.*matmul of a number") as caught:
        product.stream(weights=np.ones(3))
    assert "stream(features=F) takes (F,)" in caught.value.__notes__[0]
    stream = product.stream(features=3, weights=np.ones(3))
    output = stream.step(np.arange(3.0))
    assert type(output) is tuple and output[1]["x"].tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match=r"expected x of shape \(3,\); got \(\)"):
        stream.step(1.0)
    with pytest.raises(ValueError, match=r"expected x as one number, or \(2,\) for 2 rows; got \(3,\); stream\(feat"):
        gjr.stream(2, **GIVEN).step(np.ones(3))
    with pytest.raises(ValueError, match="features"):
        product.stream(features=0, weights=np.ones(3))


def test_D8_a_stream_of_rows():
    x, given = returns(2, T), GIVEN | {"omega": [0.1, 0.2], "h": [0.3, 0.4]}
    found = gjr(x[:, :, None], **given)
    stream = gjr.stream(**given)
    assert np.array_equal(np.stack([stream.step(x[:, t]) for t in range(T)], 1), found)
    assert np.array_equal(gjr.stream(**given).step(0.5), gjr([0.5], **given)[:, 0])
    assert gjr.stream(2, **GIVEN, dtype="float32").step(0.5).dtype == np.float32
    with pytest.raises(ValueError, match=r"expected x as one number, or \(2,\) for 2 rows"):
        stream.step(x[0, :3])


def test_D8_a_stream_of_a_layer_starts_where_it_is_told():
    layer = rk.GRU(3, return_sequences=True, seed=0)
    x, start = returns(2, T, 1), returns(2, 3)
    y = layer(x, initial_state=start)
    stream = layer.stream(2, initial_state=start)
    for _ in range(2):
        assert np.array_equal(np.stack([stream.step(x[:, t]) for t in range(5)], 1), y[:, :5])
        stream.reset()
    with pytest.raises(ValueError, match="initial_state of shape"):
        layer.stream(3, initial_state=start)


def test_X23_its_cell_is_one_for_layers():
    x = returns(2, T, 1)
    expected = gjr(x, **GIVEN)
    fixed = rk.RNN(gjr.cell(**GIVEN), return_sequences=True)
    assert np.array_equal(fixed(x), expected)
    config = fixed.get_config()
    assert np.array_equal(rk.RNN.from_config(config)(x), expected)
    given = rk.RNN(gjr.cell(alpha=GIVEN["alpha"]), return_sequences=True)
    constants = [np.full(2, GIVEN[name]) for name in ("omega", "gamma")]
    assert np.array_equal(given(x, constants=constants), expected)
    with pytest.raises(ValueError, match="constants for omega, gamma of 'gjr'; got 1"):
        rk.RNN(gjr.cell(alpha=0.1))(x, constants=constants[:1])


@rk.loop
def kalman(y, m=np.zeros(2), P=np.eye(2), *, F, Q, H, r=0.5):
    m, P = F @ m, F @ P @ F.T + Q
    S = H @ P @ H + r
    K = P @ H / S
    m = m + K * (y - H @ m)
    return m, (m, P - np.outer(K, H @ P))


def test_X23_arrays_without_a_default_are_shared_or_by_row():
    x = returns(2, T)
    given = {"F": np.array([[1.0, 0.1], [0.0, 0.9]]), "Q": np.eye(2) / 10, "H": np.array([1.0, 0.5])}
    agree([kalman(x[0], **given)], plain(kalman, x[0], **given)[:1])
    both = kalman(x[:, :, None], **given)  # of two rows, as many as the arrays have
    assert np.array_equal(both[1], kalman(x[1], **given))
    several = {name: np.stack([one, 2 * one, one]) for name, one in given.items()}
    found = kalman(x[0], **several)
    assert np.array_equal(found[0], both[0]) and found.shape == (3, T, 2)
    y, pull = kalman.vjp(x[0], **given)
    assert pull(y).parameters["F"].shape == (2, 2) and pull(y).parameters["H"].shape == (2,)
    assert np.array_equal(kalman.stream(**given).step(x[0, 0]), both[0, 0])
    decays, start = np.array([0.1, 0.5, 0.9]), np.zeros(3)

    @rk.loop
    def averages(x, means=start, *, decay):
        means = decay * means + (1 - decay) * x
        return means, means

    agree([averages(x[0], decay=decays)], plain(averages, x[0], decay=decays)[:1])
    assert averages(x[0], decay=0.5).shape == (T, 3)
    assert np.array_equal(averages(x[:, :, None], decay=[0.1, 0.5])[1], averages(x[1], decay=0.5))
    rows = averages(np.concatenate([x, x[:1]])[:, :, None], decay=decays)  # an entry for each of three rows
    assert np.array_equal(rows[1], averages(x[1], decay=0.5))
    assert averages(np.concatenate([x, x[:1]])[:, :, None], decay=decays[None]).shape == (3, T, 3)


def test_X23_parameters_of_which_the_step_decides_are_by_row_for_one_sequence():
    @rk.loop
    def above(x, count=0.0, *, level):
        if x > 10.0 and x > level:  # which zeros never look at
            count += 1.0
        return count, count

    x, levels = 5 * returns(T), np.array([10.0, 12.0, 14.0])
    x[::7] += 12.0
    found = above(x, level=levels)
    assert all(np.array_equal(one, above(x, level=level)) for one, level in zip(found, levels, strict=True))
    listed, pull = above.vjp([x[:30]], level=levels)  # also of one sequence in a list
    assert all(np.array_equal(one, row[:30]) for one, row in zip(listed, found, strict=True))
    assert [one.shape for one in pull(listed).x] == [(30,)]


def test_X23_outputs_are_nested_by_the_shapes_of_each_calls_parameters():
    @rk.loop
    def scaled(x, h=0.0, *, gain):
        return {"gained": gain * x, "x": x}, h

    x = returns(T)
    for gain in (2.0, np.arange(3.0), 2.0, np.ones((2, 2)), np.arange(3.0)):
        y, pull = scaled.vjp(x, gain=gain)
        for one in (y, scaled(x, gain=gain)):
            assert np.array_equal(one["x"], x) and np.array_equal(one["gained"], np.multiply.outer(x, gain))
        assert pull(y).parameters["gain"].shape == np.shape(gain)


def test_X23_a_step_that_takes_entries_sees_an_array_of_one_feature_too():
    @rk.loop
    def entries(x, h=0.0):
        return h + x[0], x[0]

    @rk.loop
    def numbers(x, h=0.0):
        return h + x, x

    @rk.loop
    def written(x, h=0.0):
        pair = x
        x = np.stack([pair, h])
        return x[0] + x[1], pair

    def first_of(values):
        return values[0]

    @rk.loop
    def aliased(x, h=0.0):
        both = x
        return h + both[0], first_of(both)

    @rk.loop
    def unpacked(x, h=0.0):
        (y,) = x
        for one in x:
            y = h + one
        return y, x.sum() / len(x)

    @rk.loop
    def renamed(x, h=0.0, v=np.zeros(2), *, weights=np.ones(1)):
        v[0] = h + x @ weights  # read twice
        x = x[0]
        return v[0], (x, v.copy())

    x = returns(2, T, 1)

    @rk.loop
    def printing(x, h=0.0):
        print(x[0])
        return h + x[0], x[0]

    with rk.eager():
        assert np.array_equal(printing(x), numbers(x))
    for loop in (entries, written, aliased, unpacked, renamed):
        assert np.array_equal(loop(x), numbers(x)) and np.array_equal(loop(x[0, :, 0]), numbers(x)[0])
        assert loop.stream().step(0.5) == 0.5


def test_X23_a_step_that_can_be_read_in_no_way_names_the_line_where_it_ends():
    @rk.loop
    def wrong(x, h=0.0):
        y = x[0]
        return y + nothing, h  # noqa: F821

    with pytest.raises(ValueError, match=r"name 'nothing' is not defined \(.*return y \+ nothing"):
        wrong(returns(T))


def test_X3_a_loop_is_copied_and_pickled_by_its_name():
    assert pickle.loads(pickle.dumps(gjr)) is copy.deepcopy(gjr) is gjr
    assert gjr.__name__ == "gjr" and gjr.__doc__.startswith("A variance")
    assert repr(gjr) == "gjr(x, h=0.05, e=0.0, *, omega, alpha, gamma, beta=0.88)"


def test_X23_it_says_how_it_is_compiled_and_runs_in_python():
    @rk.loop
    def fresh(x, h=0.0):
        return x + h, x

    assert "at the first call" in fresh.explain()
    x = returns(T)
    found = fresh(x)
    assert fresh.explain().startswith("traced") and "x + h" in fresh.explain(source=True)
    with rk.eager():
        assert np.array_equal(fresh(x), found)


def test_X23_a_loop_inside_a_step_has_as_many_rounds_as_the_decorator_says():
    @rk.loop(loop_limit=10)
    def halved(x, n=0.0):
        while x > 1.0:
            x = x / 2
            n = n + 1
        return n, n

    assert halved([4.0, 8.0]).tolist() == [2.0, 5.0]
    with pytest.raises(Exception, match="more than 10 rounds"):
        halved([2.0**12])


X = returns(T)
REFUSED = {
    "missing": (lambda: gjr(X, omega=0.1, gamma=1.0), TypeError, r"expected alpha, for which gjr\(x, h=0.05"),
    "unknown": (lambda: gjr(X, **GIVEN, omgea=0.1), TypeError, r"expected names of gjr\(x.*; got omgea"),
    "unknown for missing": (lambda: gjr(X, omgea=0.1, alpha=1.0, gamma=1.0), TypeError, "got omgea"),
    "in a stream": (lambda: gjr.stream(omega=0.1), TypeError, "expected alpha, gamma"),
    "text": (lambda: gjr(X, **GIVEN | {"omega": "a"}), TypeError, "expected omega to hold real numbers"),
    "None": (lambda: gjr(X, **GIVEN | {"omega": None}), TypeError, "expected omega to hold real numbers"),
    "a number": (lambda: gjr(1.0, **GIVEN), ValueError, r"expected x of shape \(T,\), \(T, F\) or \(B, T, F\)"),
    "E1 no numbers": (lambda: gjr(["a"], **GIVEN), TypeError, "expected x to hold real numbers"),
    "E3 half": (lambda: gjr(X.astype("float16"), **GIVEN), TypeError, "float16"),
    "E4 mask": (lambda: gjr(X, **GIVEN, mask=np.ones(T - 1)), ValueError, r"mask of shape \(40,\), .*got \(39,\)"),
    "mask of a list": (lambda: gjr([X], **GIVEN, mask=[X]), ValueError, "no mask beside a list"),
    "rows": (lambda: gjr(np.zeros((3, T, 1)), **GIVEN, h=[1, 2]), ValueError, "h with 3 rows, as x has; got 2"),
    "two rows": (
        lambda: gjr(X, omega=[1, 2], alpha=[1, 2, 3], gamma=1.0),
        ValueError,
        "alpha with 2 rows, as omega has; got 3; an array that rows share may have a default of its shape",
    ),
    "shape": (lambda: moving(returns(T, 2), gain=1.0, keep=[1.0]), ValueError, r"keep of shape \(2,\), or with rows"),
    "number": (lambda: moving(returns(T, 2), gain=1.0, keep=1.0), ValueError, r"keep of shape \(2,\), or with rows"),
    "of a start": (lambda: gjr(X, **GIVEN, h=np.ones((2, 2))), ValueError, r"h of shape \(\), or with rows"),
    "vectors": (
        lambda: gjr(returns(T, 2), **GIVEN),
        ValueError,
        r"expected h of 'gjr' of shape \(\), as it starts; got \(2,\); x is \(2,\) at each step|e of 'gjr'.*\(2,\)",
    ),
    "cotangent": (lambda: gjr.vjp(X, **GIVEN)[1](np.ones(T - 1)), ValueError, r"d_outputs of shape \(40,\)"),
    "of states": (lambda: gjr.vjp(X, **GIVEN, return_state=True)[1](X), ValueError, r"d_outputs as \(output, h, e\)"),
    "nesting": (lambda: moving.vjp(returns(T, 2), gain=1.0)[1]({"norm": None}), ValueError, "a dict of 'norm', 'mean'"),
    "of a list": (lambda: gjr.vjp([X, X[:3]], **GIVEN)[1]([X, X]), ValueError, r"of the shapes \[\(40,\), \(3,\)\]"),
    "no states": (lambda: rk.loop(lambda x: (x, ())), ValueError, r"expected <lambda>\(x, state=start"),
    "no start": (lambda: rk.loop(lambda x, h: (x, h)), ValueError, "at least one state and where each starts"),
    "many": (lambda: rk.loop(lambda x, *h: (x, h)), ValueError, r"got <lambda>\(x, \*h\)"),
    "taken": (lambda: rk.loop(lambda x, h=0, *, mask: (x, h)), ValueError, "other names than .*; got mask"),
    "no function": (lambda: rk.loop(3), TypeError, "expected a function of one step under rk.loop, got int"),
    "None at first": (
        lambda: rk.loop(lambda x, h=0, *, w=None: (x, h)),
        TypeError,
        "default of w, got None: leave",
    ),
    "limit": (lambda: rk.loop(loop_limit=0)(lambda x, h=0: (x, h)), ValueError, "loop_limit"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_E21_what_a_loop_refuses(what):
    call, kind, told = REFUSED[what]
    with pytest.raises(kind, match=told):
        call()
    assert gjr(X, **GIVEN).shape == (T,)


@rk.loop
def collatz(x, longest=0.0):
    n, rounds = int(x), 0.0
    while n != 1:  # which 0 never is
        n = n // 2 if n % 2 == 0 else 3 * n + 1
        rounds += 1
    return rounds, max(longest, rounds)


def test_a_loop_that_fails_for_zeros_is_streamed():
    x = np.arange(1.0, 12)
    stream = collatz.stream()
    np.testing.assert_array_equal([stream.step(one) for one in x], collatz(x))
    with pytest.raises(IndexError, match="more than"):
        stream.step(0.0)
    assert stream.step(27.0) == collatz(np.array([27.0]))[0]


@rk.loop
def repeated_sum(x, h=0.0, *, gain=1.0):
    total, k = 0.0, 0.0
    while k < x:
        total = total * 0.5 + gain
        k += 1
    assert x < 1e5, "too many"
    return total, h + total


@pytest.mark.parametrize("chunks", [False, True])
@pytest.mark.parametrize("more", [{}, {"reverse": True}, {"checkpoint": 7}, {"mask": True}], ids=str)
@pytest.mark.parametrize("rows", [1, 5])
def test_E20_an_error_on_the_way_back_names_the_row_and_the_step(rows, more, chunks, monkeypatch):
    if chunks:
        monkeypatch.setattr(tuning, "CHUNK_BYTES", 0)
        monkeypatch.setattr(tuning, "LEAST_ENTRIES", 6)
    x = np.full((rows, 50, 1), 2.0)
    if "mask" in more:
        mask = np.random.default_rng(0).random((rows, 50)) < 0.5
        mask[-1, 17] = True
        more = {"mask": mask}
    for _ in range(3):  # as it is repeated, too
        y, pull = repeated_sum.vjp(x, **more)
        pull(y)
    x[-1, 17] = 2000.0
    y, pull = repeated_sum.vjp(x, **more)
    with pytest.raises(
        IndexError, match=f"row {rows - 1} fails at step 17: more than 1,024 rounds of a loop, which is"
    ):
        pull(y)
    x[-1, 17] = 1e5
    with pytest.raises(IndexError, match=f"row {rows - 1} fails at step 17: an assertion doesn't hold: too many"):
        repeated_sum.vjp(x, **more)
