"""Files that are damaged, hostile or beyond what rnnkit reads: one error that names the file and the cause."""

import itertools
import os
import pathlib
import resource
import sys
import time

import numpy as np
import pytest

pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper
from onnx_graphs import info, model_of, node

import rnnkit as rk
from rnnkit.compiler.ir import verify
from rnnkit.execution import passes

FOLDER = pathlib.Path(__file__).parents[1] / "data"
X = ("x", "float32", ["batch", "time", 4])


def lstm(**attributes):
    arrays = {"W": np.zeros((1, 12, 4), "f4"), "R": np.zeros((1, 12, 3), "f4")}
    nodes = [node("LSTM", ["x", "W", "R"], ["y"], hidden_size=3, **attributes)]
    return model_of(nodes, [("x", "float32", ["time", "batch", 4])], ["y"], arrays)


def refused(tmp_path, model, *words):
    """Loading it is an error that names the file and says these words."""
    path = tmp_path / "bad.onnx"
    path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    with pytest.raises(ValueError) as caught:
        rk.onnx.load(path)
    for word in ("bad.onnx", *words):
        assert word in str(caught.value), (word, str(caught.value))
    assert "\n" not in str(caught.value).strip()


def test_no_such_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        rk.onnx.load(tmp_path / "none.onnx")


@pytest.mark.skipif(sys.platform == "win32", reason="devices have no paths there")
def test_a_device_or_a_pipe_is_no_file(tmp_path):
    """One may have no end, the other waits for one who writes."""
    os.mkfifo(tmp_path / "pipe.onnx")
    for path in (os.devnull, tmp_path / "pipe.onnx"):
        with pytest.raises(ValueError, match=f"^{path}: expected a file on disk, got a device or a pipe"):
            rk.onnx.load(path)


def test_without_onnx(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"rk.onnx needs onnx; install it with: pip install 'rnnkit\[onnx\]'"):
        rk.onnx.load("model.onnx")


@pytest.mark.parametrize("content", [b"", b"no model at all", bytes(1000), b"\xff" * 64])
def test_no_model(tmp_path, content):
    refused(tmp_path, content, "expected an ONNX model")


def test_operators_and_attributes_that_are_not_read(tmp_path):
    refused(
        tmp_path,
        model_of([node("TopK", ["x", "k"], ["y", "i"])], [X], ["y"], {"k": np.array([1])}),
        "topk_y (TopK)",
        "LSTM",
    )
    own = helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")
    refused(tmp_path, model_of([own], [X], ["y"]), "com.microsoft", "y (Gelu)")
    refused(tmp_path, model_of([node("Tanh", ["x"], "y", gamma=1.0)], [X], ["y"]), "tanh_y (Tanh)", "'gamma'")
    refused(tmp_path, lstm(activations=["Sigmoid", "Tanh", "Cosine"]), "lstm_y (LSTM)", "'Cosine'", "HardSigmoid")
    refused(tmp_path, lstm(direction="sideways"), "'sideways'")
    refused(tmp_path, lstm(clip=1.0, output_sequence=1), "'output_sequence'")


def test_rows_that_depend_on_each_other(tmp_path):
    mean = [node("ReduceMean", ["x"], "y", axes=[0])]
    refused(tmp_path, model_of(mean, [X], ["y"]), "reducemean_y", "batch")
    refused(tmp_path, model_of([node("Softmax", ["x"], "y", axis=0)], [X], ["y"]), "softmax_y", "along the batch")
    nodes = [node("Reshape", ["x", "s"], "y")]
    refused(tmp_path, model_of(nodes, [X], ["y"], {"s": np.array([-1])}), "batch")


def test_open_sizes_beside_numbers(tmp_path):
    """A size that only a call knows is no number to compute with, but for that of time as a floating-point number."""
    nodes = [node("Shape", ["ids"], "s"), node("Gather", ["s", "place"], "n")]
    ids = [("ids", "int64", ["batch", "time"])]
    for place in (0, 1):
        model = model_of([*nodes, node("Sub", ["n", "ids"], "y")], ids, ["y"], {"place": np.array(place)})
        refused(tmp_path, model, "sub_y (Sub)", "expected open sizes in shapes alone")
    to_float = [*nodes, node("Cast", ["ids"], "x", to=1), node("Cast", ["n"], "m", to=1)]
    model = model_of([*to_float, node("Div", ["x", "m"], "y")], ids, ["y"], {"place": np.array(0)})
    refused(tmp_path, model, "cast_m (Cast)", "expected the size of a time axis as a number, got that of the batch")
    twice = [*nodes, node("Add", ["n", "n"], "m"), node("Cast", ["m"], "f", to=1), node("Cast", ["ids"], "x", to=1)]
    model = model_of([*twice, node("Div", ["x", "f"], "y")], ids, ["y"], {"place": np.array(1)})
    refused(tmp_path, model, "cast_f (Cast)", "expected one open size to be cast")


def test_inputs_that_are_weights(tmp_path):
    model = lstm()
    del model.graph.initializer[:]
    model.graph.input.extend([info("W", "float32", [1, 12, 4]), info("R", "float32", [1, 12, 3])])
    refused(tmp_path, model, "lstm_y (LSTM)", "as an initializer")
    path = tmp_path / "bad.onnx"
    weights = {"W": np.zeros((1, 12, 4)), "R": np.zeros((1, 12, 3))}
    y = rk.onnx.load(path, initializers=weights)(np.zeros((2, 5, 4)))
    assert (y.shape, y.dtype) == ((2, 5, 1, 3), np.float32)
    with pytest.raises(ValueError, match="bad.onnx: expected initializers for inputs of the graph, got 'V'"):
        rk.onnx.load(path, initializers={"V": 1})


def test_initializers_that_do_not_fit(tmp_path):
    model = model_of([node("Add", ["x", "w"], "y")], [("x", "float32", ["batch", 4]), ("w", "float32", [4])], ["y"])
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(TypeError, match="expected initializers as a dict of names and arrays, got 3"):
        rk.onnx.load(path, initializers=3)
    with pytest.raises(ValueError, match=r"expected an array of shape \(4,\) for 'w', got \(3,\)"):
        rk.onnx.load(path, initializers={"w": np.ones(3)})
    assert "w" in str(list(rk.onnx.load(path, initializers={"w": np.ones(4)}).weights))


def test_weights_of_other_shapes(tmp_path):
    model = lstm()
    model.graph.initializer[1].CopyFrom(numpy_helper.from_array(np.zeros((1, 12, 2), "f4"), "R"))
    refused(tmp_path, model, "lstm_y (LSTM)")
    model = lstm()
    del model.graph.initializer[0]
    refused(tmp_path, model, "'W'")


def test_constants_that_do_not_go_together(tmp_path):
    nodes = [node("Mul", ["w", "n"], "a"), node("Add", ["x", "a"], "y")]
    refused(tmp_path, model_of(nodes, [X], ["y"], {"w": np.ones(4, "f4"), "n": np.array(2)}), "mul_a (Mul)")


def test_shapes_that_claim_more_than_the_file_holds(tmp_path):
    model = lstm()
    model.graph.initializer[0].dims[:] = [1 << 40, 1 << 20]
    refused(tmp_path, model)
    refused(tmp_path, model_of([node("Tanh", ["x"], "y")], [("x", "float32", ["b", "t", 1 << 40])], ["y"]), "1,000,000")
    wide = [("x", "float32", ["b", "t", 900_000, 900_000])]
    refused(tmp_path, model_of([node("Sin", ["x"], "y")], wide, ["y"]), "rows of at most")
    huge = {"s": np.array([1 << 20, 1 << 20]), "one": np.array([0]), "w": np.zeros((1, 4), "f4")}
    nodes = [node("ConstantOfShape", ["s"], "a"), node("ReduceSum", ["a", "one"], "b"), node("Add", ["x", "b"], "y")]
    refused(tmp_path, model_of(nodes, [X], ["y"], huge), "as large as the file")
    nodes = [node("Range", ["zero", "n", "one"], "a"), node("Add", ["x", "a"], "y")]
    numbers = {"zero": np.array(0), "n": np.array(1 << 50), "one": np.array(1)}
    refused(tmp_path, model_of(nodes, [X], ["y"], numbers), "range_a (Range)", "as large as the file")
    nodes = [node("Add", ["w", "v"], "a"), node("Add", ["x", "a"], "y")]
    arrays = {"w": np.zeros((1 << 14, 1), "f4"), "v": np.zeros((1, 1 << 14), "f4")}
    refused(tmp_path, model_of(nodes, [X], ["y"], arrays), "add_a (Add)", "as large as the file")


def external(location, **more):
    model = lstm()
    tensor = model.graph.initializer[0]
    raw = tensor.raw_data
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **more}.items():
        tensor.external_data.add(key=key, value=str(value))
    return model, raw


def test_external_data(tmp_path):
    model, raw = external("weights.bin", offset=8)
    (tmp_path / "weights.bin").write_bytes(bytes(8) + np.ones(48, "f4").tobytes())
    (tmp_path / "good.onnx").write_bytes(model.SerializeToString())
    assert rk.onnx.load(tmp_path / "good.onnx").layers[0].weights["kernel"].min() == 1
    (tmp_path / "weights.bin").write_bytes(raw[:-1])
    refused(tmp_path, model, "external data")


@pytest.mark.parametrize("location", ["/etc/passwd", "../../../../../../etc/passwd", "a/../../x", "", ".", "link"])
def test_X16_external_data_from_elsewhere(tmp_path, location):
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "x").write_bytes(bytes(192))
    (folder / "link").symlink_to(tmp_path / "x")
    refused(folder, external(location)[0], "external data")


def test_X16_external_data_that_is_read_many_times(tmp_path):
    arrays = {f"k{i}": np.zeros(1000, "f4") for i in range(9)}
    nodes = [node("Add", [f"k{i}" if i else "x", "k0"], f"v{i}") for i in range(9)]
    model = model_of(nodes, [("x", "float32", ["batch", 1000])], ["v0"], arrays)
    for tensor in model.graph.initializer:
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="weights.bin")
    (tmp_path / "weights.bin").write_bytes(bytes(4000))
    refused(tmp_path, model, "expected external data that is read once")


def test_X16_a_small_file_makes_no_large_model(tmp_path, monkeypatch):
    """What each node may ask for is little, and all together it is not."""
    monkeypatch.setattr(verify, "CHECKED", False)  # which takes long for wide rows
    size, names = 512, ["x", *(f"v{i}" for i in range(150))]
    rows = [("x", "float32", ["batch", size])]
    chain = [node("MatMul", [before, "w"], after) for before, after in itertools.pairwise(names)]
    weight = {"w": np.ones((size, size), "f4")}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(tmp_path, model_of(chain, rows, names[-1:], weight), "what is left of the 67.1 MB that a file of 1.05 MB")
    filled = [node("ConstantOfShape", ["s"], "k", value=numpy_helper.from_array(np.ones(1, "f4")))]
    chain = [node("Add", [before, "k"], after) for before, after in itertools.pairwise(names)]
    wide, shape = [("x", "float32", ["batch", 150_000])], {"s": np.array([150_000])}
    refused(tmp_path, model_of(filled + chain, wide, names[-1:], shape), "what is left of the 67.1 MB that a file of")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # kB


def test_X16_so_many_nodes_that_nobody_would_wait(tmp_path):
    names = ["x", *(f"v{i}" for i in range(100_000))]
    chain = [node("Neg", [before], after) for before, after in itertools.pairwise(names)]
    refused(tmp_path, model_of(chain, [X], names[-1:]), "expected at most 100,000 nodes and inputs, got more")
    names = ["s", *(f"v{i}" for i in range(10_000)), "y"]
    steps = [node("Identity", ["x"], "z"), *(node("Neg", [a], b) for a, b in itertools.pairwise(names))]
    body = model_of(steps, [("s", "float32", [4]), ("x", "float32", [4])], ["y", "z"]).graph
    scan = node("Scan", ["start", "x"], ["last", "out"], body=body, num_scan_inputs=1)
    model = model_of([scan], [("x", "float32", ["time", 4])], ["out"], {"start": np.zeros(4, "f4")})
    refused(tmp_path, model, "expected a body of at most 10,000 nodes, got 10,002")


def test_X16_the_time_to_load_grows_with_the_nodes(tmp_path, monkeypatch):
    """Equal layers without weights are read once, and nothing looks at all layers for each."""
    read, reads = passes.read, []
    monkeypatch.setattr(passes, "read", lambda *given, **more: reads.append(1) or read(*given, **more))
    path, count = tmp_path / "long.onnx", 2000
    names = ["x", *(f"v{i}" for i in range(count))]
    chain = [node(("Tanh", "Neg")[i % 2], [a], b, name="same") for i, (a, b) in enumerate(itertools.pairwise(names))]
    path.write_bytes(model_of(chain, [X], names[-1:]).SerializeToString())
    start = time.process_time()
    model = rk.onnx.load(path)
    loaded = time.process_time()
    assert len(model.layers) == count and len(reads) <= 4
    model.save(tmp_path / "long.npz")
    rk.load_model(tmp_path / "long.npz")
    assert loaded - start < 5 and time.process_time() - loaded < 5  # half a second each, once 10 and 20


def test_deep_graphs(tmp_path):
    names = ["x", *(f"v{i}" for i in range(400))]
    pairs = enumerate(itertools.pairwise(names))
    nodes = [node("Identity" if i % 2 else "Neg", [before], after) for i, (before, after) in pairs]
    assert refused_or_loaded(tmp_path, model_of(nodes, [X], names[-1:]).SerializeToString()) is not None


def refused_or_loaded(folder, content):
    path = folder / "mutant.onnx"
    path.write_bytes(content)
    try:
        return rk.onnx.load(path)
    except ValueError as error:
        if "mutant.onnx" not in str(error):
            raise
        return None


def mutations(content, rng, count):
    """The content cut off, with other bytes, with a part twice or gone."""
    for i in range(count):
        data, place = bytearray(content), int(rng.integers(len(content)))
        kind = i % 4
        if kind == 0:
            data = data[:place]
        elif kind == 1:
            for _ in range(int(rng.integers(1, 8))):
                data[int(rng.integers(len(data)))] = int(rng.integers(256))
        elif kind == 2:
            data[place:place] = data[place : place + 32]
        else:
            del data[place : place + int(rng.integers(1, 32))]
        yield bytes(data)


@pytest.mark.parametrize("name", ["forecaster", "pooled", "stateful"])
def test_X16_mutations_of_a_good_file(tmp_path, name):
    """No mutation does anything but load or fail with a ValueError, in little memory."""
    content = (FOLDER / f"{name}.onnx").read_bytes()
    before, loaded = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0
    for mutant in mutations(content, np.random.default_rng(0), 100):
        loaded += refused_or_loaded(tmp_path, mutant) is not None
    assert loaded < 100
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 19  # kB


def test_random_bytes(tmp_path):
    rng = np.random.default_rng(0)
    for size in (1, 10, 100, 1000, 10_000):
        for _ in range(10):
            refused(tmp_path, rng.bytes(size))


def test_a_saved_model_with_the_layers_of_an_earlier_version(tmp_path):
    """Layers that were classes of their own, saved by such a version with their outputs, are programs now."""
    model = rk.load_model(FOLDER / "earlier.npz")
    with np.load(FOLDER / "earlier_outputs.npz") as found:
        x, v, *outputs = (found[name] for name in found.files)
    model.save(tmp_path / "again.npz")
    for one in (model, rk.load_model(tmp_path / "again.npz")):
        for got, expected in zip(one([x, v]), outputs, strict=True):
            np.testing.assert_array_equal(got, expected)
    assert list(model.trainable_weights) == ["constant_rows/rows"]
