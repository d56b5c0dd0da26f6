"""Arrays of xarray by the names of their dimensions, tables as sequences, and tensors of other libraries."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
from matrix import same_bits

import rnnkit as rk
from rnnkit.models.subclassed_layer import SubclassedLayer

A = np.random.default_rng(0).normal(size=(4, 6, 3)).astype("float32")


@pytest.fixture
def xr():
    return pytest.importorskip("xarray")


def data_array(xr, order=("station", "time", "feature")):
    coords = {"station": list("abcd"), "time": np.arange(6) * 10, "lat": ("station", [1.0, 2.0, 3.0, 4.0])}
    whole = xr.DataArray(A, dims=("station", "time", "feature"), coords=coords | {"feature": list("xyz")})
    return whole.transpose(*order)


@pytest.mark.parametrize("order", list(itertools.permutations(("station", "time", "feature"))))
@pytest.mark.parametrize("backwards", [False, True])
def test_X20_dimensions_are_found_by_name(xr, order, backwards):
    layer = rk.LSTM(4, return_sequences=True, return_state=True, go_backwards=backwards, seed=0)
    found = layer(data_array(xr, order))
    for one, expected in zip(found, layer(A), strict=True):
        same_bits(one.values, expected)
    y, h, _ = found
    assert y.dims == ("station", "time", "unit") and h.dims == ("station", "unit")
    assert y.time.values.tolist() == (np.arange(6) * 10).tolist()[:: -1 if backwards else 1]
    assert y.station.values.tolist() == list("abcd") and y.lat.values.tolist() == h.lat.values.tolist() == [1, 2, 3, 4]
    assert "feature" not in y.coords and "time" not in h.coords


class Own(SubclassedLayer):
    def __init__(self):
        super().__init__(seed=0)
        self.inside = rk.GRU(4, return_sequences=True)

    def call(self, x, mask=None):
        return self.inside(x, mask=mask)


LAYERS = {
    "a class": Own,
    "LSTM": lambda: rk.LSTM(4, return_sequences=True, return_state=True, go_backwards=True, seed=0),
    "the last output": lambda: rk.GRU(4, seed=0),
    "Bidirectional": lambda: rk.Bidirectional(rk.GRU(4, return_sequences=True), merge_mode=None, seed=0),
    "Dense": lambda: rk.Dense(2, seed=0),
    "Permute": lambda: rk.Permute((2, 1)),
    "Flatten": lambda: rk.Flatten(),
    "Sequential": lambda: rk.Sequential([rk.GRU(4, return_sequences=True), rk.Dense(2)], seed=0),
    "Model": lambda: rk.Model(x := rk.Input((6, 3)), [rk.Dense(2, seed=0)(x), rk.GRU(2, seed=0)(x)]),
}


def flat(found):
    return [leaf for one in found for leaf in flat(one)] if isinstance(found, (list, tuple)) else [found]


def like(outputs, arrays):
    """Cotangents in another order of dimensions than the outputs."""
    if isinstance(outputs, (list, tuple)):
        return [like(one, arrays) for one in outputs]
    return outputs.copy(data=next(arrays)).transpose(*outputs.dims[::-1])


@pytest.mark.parametrize("order", list(itertools.permutations(("station", "time", "feature"))))
@pytest.mark.parametrize("name", LAYERS)
def test_X20_a_gradient_reads_and_gives_dimensions_by_name(xr, name, order):
    layer, x = LAYERS[name](), data_array(xr, order)
    mask = np.arange(6) < np.array([[6], [2], [3], [4]])
    named = xr.DataArray(mask.T, dims=("time", "station"))
    more = ({"mask": named}, {"mask": mask}) if name != "Flatten" else ({}, {})
    expected, pullback = layer.vjp(A, **more[1])
    outputs, named_pullback = layer.vjp(x, **more[0])
    same_bits([one.values for one in flat(outputs)], flat(expected))
    for one, of_call in zip(flat(outputs), flat(layer(x, **more[0])), strict=True):
        assert one.identical(of_call)
    d = [np.random.default_rng(1).normal(size=one.shape).astype("float32") for one in flat(expected)]
    wanted = pullback(like_arrays(expected, iter(d)))
    for cotangents in (like(outputs, iter(d)), like_arrays(expected, iter(d))):
        g = named_pullback(cotangents)
        same_bits([g.x.transpose("station", "time", "feature").values], [wanted.x])
        assert g.x.dims == order and g.x.coords.equals(x.coords)
        same_bits(list(g.weights.values()), list(wanted.weights.values()))
    if isinstance(outputs, xr.DataArray):
        with pytest.raises(ValueError, match="expected d_outputs with the dimensions"):
            named_pullback(outputs.rename(station="town"))
        with pytest.raises(ValueError, match="expected d_outputs with the coordinates"):
            named_pullback(outputs.isel(station=slice(None, None, -1)))


def like_arrays(outputs, arrays):
    return [like_arrays(one, arrays) for one in outputs] if isinstance(outputs, (list, tuple)) else next(arrays)


@pytest.mark.parametrize("order", list(itertools.permutations(("station", "time", "feature"))))
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("both", [False, True])
def test_X20_a_trajectory_reads_and_gives_dimensions_by_name(xr, order, backwards, both):
    layer = rk.LSTM(4, go_backwards=backwards, seed=0)
    layer = rk.Bidirectional(layer) if both else layer
    found, expected = flat(layer.trajectory(data_array(xr, order))), flat(layer.trajectory(A))
    same_bits([one.values for one in found], expected)
    turned = [backwards] * 3 + [not backwards] * 2 * both
    for one, own in zip(found, turned, strict=True):
        assert one.dims == ("station", "time", "unit")
        assert one.time.values.tolist() == (np.arange(6) * 10).tolist()[:: -1 if own else 1]


def test_layers_models_and_masks(xr):
    x = data_array(xr, ("time", "feature", "station"))
    mask = np.arange(6) < np.array([[6], [2], [0], [4]])
    labelled_mask = xr.DataArray(mask.T, dims=("time", "station"), coords={"station": list("abcd")})
    model = rk.Sequential([rk.Bidirectional(rk.GRU(4, return_sequences=True)), rk.Dense(2)], seed=0)
    same_bits(model(x, mask=labelled_mask).values, model(A, mask=mask))
    pair = rk.Bidirectional(rk.GRU(2, return_sequences=True), merge_mode=None, seed=0)
    for one, expected in zip(pair(x), pair(A), strict=True):
        same_bits(one.transpose("station", "time", "unit").values, expected)
    assert rk.Dense(2, seed=0)(x).dims == ("station", "time", "unit")
    assert rk.Flatten()(x).dims == ("station", "unit")
    assert rk.GlobalAveragePooling1D()(x.rename(feature="variable")).dims == ("station", "unit")
    ids = xr.DataArray(np.arange(24).reshape(6, 4) % 7, dims=("time", "batch"))
    tagger = rk.Sequential([rk.Embedding(7, 3), rk.GRU(2, return_sequences=True)], seed=0)
    same_bits(tagger(ids).values, tagger(ids.values.T))
    table = xr.DataArray(A[:, 0], dims=("station", "feature"))  # rows of a table, without time
    same_bits(np.asarray(rk.Dense(2, seed=0)(table)), rk.Dense(2, seed=0)(A[:, 0]))
    lists = [x.isel(station=0), x.isel(station=1, time=slice(3)).T]
    for one, expected in zip(model(lists), model([A[0], A[1, :3]]), strict=True):
        same_bits(one, expected)


@pytest.mark.parametrize("backwards", [False, True])
def test_fit(xr, backwards):
    x = data_array(xr, ("feature", "time", "station"))
    y = x.isel(feature=[0]).cumsum("time").assign_coords(time=x.time)
    target = y.transpose("station", "time", "feature").values[:, :: -1 if backwards else 1]
    weight = xr.DataArray(np.arange(24.0).reshape(6, 4), dims=("time", "station"))
    weights = weight.values.T[:, :: -1 if backwards else 1]
    found = []
    for data in ((x, y, weight), (A, target, weights)):
        model = rk.Sequential([rk.GRU(3, return_sequences=True, go_backwards=backwards), rk.Dense(1)], seed=0)
        model.compile("adam", "mse")
        history = model.fit(data[0], data[1], sample_weight=data[2], epochs=3, batch_size=2, validation_data=data[:2])
        found.append((history.history, model.evaluate(*data[:2]), np.asarray(model.predict(data[0]))))
    assert found[0][:2] == found[1][:2]
    same_bits(found[0][2], found[1][2])
    assert model.predict(x, batch_size=3).dims == ("station", "time", "unit")


def test_rows_that_are_not_in_memory_are_read_by_batch(xr, tmp_path):
    pytest.importorskip("scipy")
    data_array(xr).rename("x").to_netcdf(tmp_path / "x.nc", engine="scipy")
    model = rk.Sequential([rk.GRU(3), rk.Dense(1)], seed=0)
    model.compile("adam", "mse")
    with xr.open_dataset(tmp_path / "x.nc", engine="scipy") as opened:
        x = opened.x
        model.fit(x, A[:, 0, :1], batch_size=2)
        same_bits(model.predict(x).values, model(A))
        assert not x.variable._in_memory


def test_a_graph_with_several_inputs(xr):
    a, b = rk.Input((None, 3), name="a"), rk.Input((None, 3), name="b")
    model = rk.Model([a, b], rk.Dense(1, seed=2)(rk.Concatenate()([rk.GRU(2, seed=0)(a), rk.GRU(2, seed=1)(b)])))
    model.compile("sgd", "mse")
    x = data_array(xr, ("time", "station", "feature"))
    y = np.ones((4, 1))
    assert model.evaluate([x, x], y) == model.evaluate({"a": x, "b": A}, y) == model.evaluate([A, A], y)


@pytest.mark.parametrize(
    "given, words",
    [
        (lambda x: x.rename(time="t"), "a dimension 'time' in x, got"),
        (lambda x: x.isel(station=0), r"expand_dims\('batch'\)"),
        (lambda x: x.isel(feature=0), "dimensions batch, time, feature"),
        (lambda x: x.rename(station="channel"), "a dimension of the batch"),
    ],
)
def test_what_is_wrong_with_dimensions(xr, given, words):
    with pytest.raises(ValueError, match=words):
        rk.GRU(2)(given(data_array(xr)))


def test_other_coordinates_are_refused(xr):
    x = data_array(xr)
    model = rk.Sequential([rk.GRU(3), rk.Dense(1)], seed=0)
    model.compile("adam", "mse")
    y = xr.DataArray(np.ones(4), dims="station", coords={"station": list("badc")})
    with pytest.raises(ValueError, match=r"coordinates of x in 'station'; xarray.align"):
        model.fit(x, y)
    with pytest.raises(ValueError, match="the dimension 'station' in y"):
        model.fit(x, y.rename(station="place"))


# Tables


def frames():
    pd, pl = pytest.importorskip("pandas"), pytest.importorskip("polars")
    columns = {"who": ["b", "a", "b", "b", "a"], "day": [3, 1, 1, 2, 0], "v": [1.0, 2.0, 3.0, None, 5.0], "n": range(5)}
    return pd.DataFrame(columns), pl.DataFrame({name: list(values) for name, values in columns.items()})


def test_sequences_of_frames():
    for frame in frames():
        found = rk.sequences_from_frame(frame, "who", time="day")
        assert list(found) == ["b", "a"]
        np.testing.assert_array_equal(found["b"], [[3, 2], [np.nan, 3], [1, 0]])
        np.testing.assert_array_equal(found["a"], [[5, 4], [2, 1]])
        assert found["a"].dtype == np.float64 and found["a"].flags.owndata
        unordered = rk.sequences_from_frame(frame, "who", columns="n")
        assert {name: one.tolist() for name, one in unordered.items()} == {"b": [0, 2, 3], "a": [1, 4]}
        assert unordered["a"].dtype == np.int64
        assert rk.sequences_from_frame(frame, "who", columns=["n"])["a"].shape == (2, 1)
        same_bits(rk.GRU(2, seed=0)(list(found.values())), rk.GRU(2, seed=0)([found["b"], found["a"]]))


@pytest.mark.parametrize(
    "call, kind, words",
    [
        (lambda f: rk.sequences_from_frame(f, "id"), ValueError, "the frame with the columns id"),
        (lambda f: rk.sequences_from_frame(f, "who", time="v"), ValueError, "'v'"),
        (lambda f: rk.sequences_from_frame(f, "day"), ValueError, "expected numbers in column 'who'; got 'b' in row 0"),
        (lambda f: rk.sequences_from_frame(f[["who"]], "who"), ValueError, "at least one column besides 'who'"),
        (lambda f: rk.sequences_from_frame(f[["who", "n"]], "who", time="n", columns=["x"]), ValueError, "x"),
        (lambda f: rk.sequences_from_frame(A, "who"), TypeError, "a DataFrame; got ndarray"),
    ],
)
def test_what_is_wrong_with_frames(call, kind, words):
    for frame in frames():
        with pytest.raises(kind, match=words):
            call(frame)


def test_a_time_that_comes_twice():
    frame = frames()[0].assign(day=1)
    with pytest.raises(ValueError, match="one row for each time of 'b' in 'day'; got 1 twice"):
        rk.sequences_from_frame(frame, "who", time="day")


def test_lists_of_frames():
    pd, pl = pytest.importorskip("pandas"), pytest.importorskip("polars")
    x = [A[0], A[1, :4], A[2, :1]]
    layer = rk.GRU(3, return_sequences=True, seed=0)
    model = rk.Sequential([rk.GRU(3, return_sequences=True), rk.Dense(1)], seed=0)
    model.compile("adam", "mse")
    for kind in (pd.DataFrame, lambda one: pl.DataFrame(one, schema=["a", "b", "c"])):
        framed = [kind(one) for one in x]
        for one, expected in zip(layer(framed), layer(x), strict=True):
            same_bits(one, expected)
        y = [one[:, :1] for one in x]
        assert model.evaluate(framed, [kind(one).iloc[:, :1] if kind is pd.DataFrame else one[:, :1] for one in x]) == (
            model.evaluate(x, y)
        )


# Tensors


@pytest.fixture(params=["torch", "jax"])
def tensor(request):
    if request.param == "torch":
        torch = pytest.importorskip("torch")
        return torch.from_numpy
    return pytest.importorskip("jax").numpy.asarray


def test_X20_tensors_on_the_cpu(tensor):
    layer = rk.GRU(3, return_sequences=True, seed=0)
    expected = layer(A)
    found = layer(tensor(A))
    assert type(found) is np.ndarray
    same_bits(found, expected)
    same_bits(layer(tensor(A), mask=tensor(np.ones((4, 6), bool))), expected)
    for one, alone in zip(layer([tensor(A[0]), tensor(A[1, :2])]), layer([A[0], A[1, :2]]), strict=True):
        same_bits(one, alone)
    losses = []
    for convert in (tensor, np.asarray):
        model = rk.Sequential([rk.GRU(3), rk.Dense(1)], seed=0)
        model.compile("adam", "mse")
        y, weight = convert(A[:, 0, :1].copy()), convert(np.ones(4, "float32"))
        history = model.fit(convert(A), y, sample_weight=weight, epochs=2, validation_data=(convert(A), y))
        losses.append((history.history, model.evaluate(convert(A), y), model.predict(convert(A)).tolist()))
    assert losses[0] == losses[1]
    windows = rk.windows(tensor(A[0]), 2)
    same_bits(windows.x[:], rk.windows(A[0], 2).x[:])


def test_a_tensor_with_a_gradient_is_refused():
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(A).requires_grad_()
    model = rk.Sequential([rk.GRU(3)], seed=0)
    model.compile("adam", "mse")
    for call in (rk.GRU(3), model.predict, lambda x: model.fit(x, A[:, 0]), lambda x: rk.GRU(3)([x[0], x[1]])):
        with pytest.raises(TypeError, match=r"detach\(\)"):
            call(x)


def test_no_library_is_imported_for_this():
    code = (
        "import sys, numpy as np, rnnkit as rk; rk.GRU(2)([np.ones((2, 1)), np.ones((1, 1))]); rk.windows, "
        "rk.sequence_mask; print([name for name in ('xarray', 'pandas', 'polars', 'torch', 'jax', 'narwhals') "
        "if name in sys.modules], 'rnnkit.forecast' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[] False"
