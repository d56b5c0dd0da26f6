"""Networks that PyTorch exported, from the files in tests/onnx/data."""

import pathlib

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx
from onnx_graphs import check, loaded
from onnx_round_trip import agrees

import rnnkit as rk

FOLDER = pathlib.Path(__file__).parents[1] / "data"
NAMES = sorted(path.stem for path in FOLDER.glob("*.onnx"))
LAYERS = {
    "tagger": ["Embedding", "Bidirectional", "Bidirectional", "Dense"],
    "forecaster": ["GRU", "ArrayOperation", "ArrayOperation", "Dense", "Dense"],
    "pooled": ["Operation", "SimpleRNN", "ArrayOperation", "ArrayOperation"],
    "stateful": ["LSTM"],
    "translator": ["GRU", "GRU", "Concatenate", "Dense"],
}


def feeds_of(model, rng, sizes):
    """Numbers for all inputs; the newer exporter has names of its own for open axes."""
    feeds, free, sizes = {}, iter((sizes["batch"], sizes["time"])), dict(sizes)
    for one in model.graph.input:
        dims = one.type.tensor_type.shape.dim
        shape = [
            (sizes.get(d.dim_param) or sizes.setdefault(d.dim_param, next(free))) if d.dim_param else d.dim_value
            for d in dims
        ]
        is_float = one.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
        feeds[one.name] = rng.normal(size=shape).astype("float32") if is_float else rng.integers(0, 11, shape)
    return feeds


@pytest.mark.parametrize("name", NAMES)
def test_what_pytorch_exported(name):
    model, rng = onnx.load(FOLDER / f"{name}.onnx"), np.random.default_rng(0)
    for sizes in ({"batch": 3, "time": 5, "steps": 4}, {"batch": 1, "time": 7, "steps": 2}):
        found = check(model, feeds_of(model, rng, sizes))
    kinds = [type(layer).__name__ for layer in found.model.layers]
    assert [kind for kind in kinds if kind in LAYERS.get(name, kinds)] == LAYERS.get(name, kinds), kinds


@pytest.mark.parametrize("name", NAMES)
def test_what_was_loaded_is_exported_and_loaded_again(name):
    graph = onnx.load(FOLDER / f"{name}.onnx")
    feeds = feeds_of(graph, np.random.default_rng(0), {"batch": 3, "time": 5, "steps": 4})
    found = loaded(graph)
    agrees(found.model, *(np.ascontiguousarray(feeds[one].transpose(order)) for one, order in found.inputs.items()))


def test_other_lengths_than_the_exporter_saw():
    """A model that was exported with fixed sizes takes any batch and time where its layers do."""
    model = rk.onnx.load(FOLDER / "forecaster_fixed.onnx")
    other = rk.onnx.load(FOLDER / "forecaster.onnx")
    x = np.random.default_rng(0).normal(size=(4, 9, 3)).astype("float32")
    np.testing.assert_allclose(model(x), other(x), atol=1e-6)


def test_a_loaded_model_learns():
    model = rk.onnx.load(FOLDER / "forecaster.onnx")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 6, 3)).astype("float32")
    y = x[:, -1:, 0]
    model.compile("adam", "mse")
    history = model.fit(x, y, epochs=5, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert rk.gradcheck(model, (2, 3, 3))


def test_a_loaded_model_streams():
    model = rk.onnx.load(FOLDER / "forecaster.onnx")
    x = np.random.default_rng(0).normal(size=(2, 6, 3)).astype("float32")
    stream = model.stream(batch=2)
    for t in range(6):
        y = stream.step(x[:, t])
    assert np.array_equal(y, model(x))


def test_an_error_of_c_is_about_the_layer_that_c_lacks(tmp_path):
    """Reshapes of states have sizes that are known, whatever stands for their axes."""
    model = rk.onnx.load(FOLDER / "stateful.onnx")
    with pytest.raises(ValueError, match="'lstm.LSTM' .* is given initial_state"):
        rk.export_c(model, tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_configuration(name):
    model = onnx.load(FOLDER / f"{name}.onnx")
    found = check(model, feeds_of(model, np.random.default_rng(1), {"batch": 2, "time": 5, "steps": 3}))
    copy = rk.Model.from_config(found.model.get_config())
    copy.set_weights(found.model.get_weights())
    assert list(copy.weights) == list(found.model.weights)


@pytest.mark.parametrize("name", [name for name in NAMES if not name.endswith("_newer")])
def test_what_this_pytorch_exports(name):
    torch = pytest.importorskip("torch")
    import importlib.util

    place = importlib.util.spec_from_file_location("make", FOLDER / "make.py")
    make = importlib.util.module_from_spec(place)
    place.loader.exec_module(make)
    model = onnx.load_from_string(make.exported(name, seed=1))
    check(model, feeds_of(model, np.random.default_rng(1), {"batch": 2, "time": 5, "steps": 3}))
    assert torch.__version__
