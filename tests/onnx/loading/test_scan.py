"""Scan bodies as cells: what they give, in all directions and along all axes, is what onnxruntime gives."""

import json
import sys

import numpy as np
import processes
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import helper
from onnx_graphs import check, info, loaded, model_of, node, outputs_of

import rnnkit as rk

RNG = np.random.default_rng(0)
draw = lambda *shape: (0.5 * RNG.normal(size=shape)).astype("float32")
FEEDS = {"x": draw(6, 3, 4), "h0": draw(3, 5)}
INPUTS = [("x", "float32", ["time", "batch", 4]), ("h0", "float32", ["batch", 5])]
WEIGHTS = {"W": draw(4, 5), "R": draw(5, 5), "b": draw(5), "half": np.float32(0.5)}


def body_of(nodes, inputs, outputs, initializers=None):
    """A body; `inputs` and `outputs` are (name, dtype, shape)."""
    from onnx import numpy_helper

    arrays = [numpy_helper.from_array(a, name) for name, a in (initializers or {}).items()]
    return helper.make_graph(nodes, "body", [info(*i) for i in inputs], [info(*o) for o in outputs], arrays)


def step(*more, x=("x_t", "float32", ["batch", 4]), outputs=("h_1", "out")):
    """A simple recurrent step with weights from outside."""
    nodes = [
        node("MatMul", ["x_t", "W"], "a"),
        node("MatMul", ["h", "R"], "r"),
        node("Add", ["a", "r"], "s"),
        node("Add", ["s", "b"], "z"),
        node("Tanh", ["z"], "n"),
        node("Sub", ["n", "h"], "d"),
        node("Mul", ["d", "half"], "e"),
        node("Add", ["h", "e"], "h_1"),
        node("Identity", ["h_1"], "out"),
        *more,
    ]
    given = [("h", "float32", ["batch", 5]), x]
    return body_of(nodes, given, [(name, "float32", None) for name in outputs])


def scan(body, inputs=("h0", "x"), outputs=("h_T", "y"), count=1, **attributes):
    return node("Scan", list(inputs), list(outputs), body=body, num_scan_inputs=count, **attributes)


def test_a_step_with_weights_from_outside():
    found = check(model_of([scan(step())], INPUTS, ["h_T", "y"], WEIGHTS), FEEDS)
    (layer,) = found.model.layers
    assert isinstance(layer, rk.RNN)
    assert list(layer.weights) == ["W", "R", "b"]
    assert "traced" in layer.explain()
    assert rk.gradcheck(layer, (2, 3, 4))


@pytest.mark.parametrize("backwards", [0, 1])
@pytest.mark.parametrize("turned", [0, 1])
def test_directions(backwards, turned):
    directions = {"scan_input_directions": [backwards], "scan_output_directions": [turned]}
    check(model_of([scan(step(), **directions)], INPUTS, ["h_T", "y"], WEIGHTS), FEEDS)


@pytest.mark.parametrize("axis_out", [0, 1, 2, -1])
@pytest.mark.parametrize("axis_in", [0, 1, 2])
def test_axes(axis_in, axis_out):
    shape, x = ["batch", 4], np.moveaxis(FEEDS["x"], 0, axis_in)
    shape.insert(axis_in, "time")
    node_ = scan(step(), scan_input_axes=[axis_in], scan_output_axes=[axis_out])
    check(model_of([node_], [("x", "float32", shape), INPUTS[1]], ["h_T", "y"], WEIGHTS), FEEDS | {"x": x})


def test_zeros_to_start_from_and_states_that_nobody_reads():
    nodes = [
        node("Shape", ["x"], "sizes"),
        node("Slice", ["sizes", "one", "two"], "rows"),
        node("Concat", ["rows", "five"], "shape", axis=0),
        node("ConstantOfShape", ["shape"], "h0"),
        scan(step()),
    ]
    arrays = WEIGHTS | {"one": np.array([1]), "two": np.array([2]), "five": np.array([5])}
    found = check(model_of(nodes, INPUTS[:1], ["y"], arrays), {"x": FEEDS["x"]})
    assert [type(layer).__name__ for layer in found.model.layers] == ["RNN"]
    y = found.model(FEEDS["x"].swapaxes(0, 1))
    stream = found.model.stream(batch=3)
    for t in range(6):
        assert np.array_equal(stream.step(FEEDS["x"][t]), y[:, t])


def test_a_learned_start():
    nodes = [node("Shape", ["x"], "sizes"), node("Slice", ["sizes", "one", "two"], "rows")]
    nodes += [node("Concat", ["rows", "five"], "shape", axis=0), node("Expand", ["start", "shape"], "h0"), scan(step())]
    arrays = {"one": np.array([1]), "two": np.array([2]), "five": np.array([5]), "start": draw(1, 5)}
    found = check(model_of(nodes, INPUTS[:1], ["y"], WEIGHTS | arrays), {"x": FEEDS["x"]})
    assert any(name.endswith("/rows") for name in found.model.trainable_weights)
    assert rk.gradcheck(found.model, (2, 3, 4))


def test_a_mask_with_where():
    more = [
        node("Unsqueeze", ["m_t", "last"], "m"),
        node("Where", ["m", "h_1", "h"], "h_2"),
        node("Where", ["m", "out", "zero"], "out_2"),
    ]
    body = step(*more, outputs=("h_2", "out_2"))
    body.input.append(info("m_t", "bool", ["batch"]))
    inputs = [*INPUTS, ("mask", "bool", ["time", "batch"])]
    arrays = WEIGHTS | {"last": np.array([-1]), "zero": np.float32(0)}
    feeds = FEEDS | {"mask": RNG.random((6, 3)) < 0.6, "x": FEEDS["x"].copy()}
    feeds["x"][~feeds["mask"]] = np.nan
    check(model_of([scan(body, ("h0", "x", "mask"), count=2)], inputs, ["h_T", "y"], arrays), feeds)


def test_several_states_inputs_and_outputs():
    nodes = [
        node("MatMul", ["x_t", "W"], "a"),
        node("Add", ["a", "h"], "s"),
        node("Sigmoid", ["s"], "gate"),
        node("ReduceMean", ["z_t"], "level", axes=[1, 2], keepdims=0),
        node("Add", ["c", "level"], "c_1"),
        node("Unsqueeze", ["c_1", "at"], "column"),
        node("Mul", ["gate", "column"], "h_1"),
        node("Concat", ["h_1", "x_t"], "wide", axis=1),
        node("Greater", ["h_1", "zero"], "positive"),
        node("Identity", ["c_1"], "c_2"),
    ]
    body = body_of(
        nodes,
        [
            ("h", "float32", ["batch", 5]),
            ("c", "float32", ["batch"]),
            ("x_t", "float32", ["batch", 4]),
            ("z_t", "float32", ["batch", 2, 3]),
        ],
        [*((name, "float32", None) for name in ("h_1", "c_1", "wide", "c_2")), ("positive", "bool", None)],
    )
    inputs = [*INPUTS, ("c0", "float32", ["batch"]), ("z", "float32", ["time", "batch", 2, 3])]
    feeds = FEEDS | {"c0": draw(3), "z": draw(6, 3, 2, 3)}
    arrays = WEIGHTS | {"at": np.array([1]), "zero": np.float32(0)}
    outputs = ["h_T", "c_T", "wide_y", "c_y", "p_y"]
    node_ = scan(body, ("h0", "c0", "x", "z"), outputs, 2, scan_input_directions=[0, 1])
    check(model_of([node_], inputs, outputs, arrays), feeds)


def test_captured_values_are_constants():
    more = [node("MatMul", ["context", "V"], "v"), node("Add", ["h_1", "v"], "h_2"), node("Neg", ["h_2"], "out_2")]
    body = step(*more, outputs=("h_2", "out_2"))
    nodes = [node("Tanh", ["c"], "context"), scan(body)]
    arrays = WEIGHTS | {"V": draw(2, 5)}
    feeds = FEEDS | {"c": draw(3, 2)}
    found = check(model_of(nodes, [*INPUTS, ("c", "float32", ["batch", 2])], ["h_T", "y"], arrays), feeds)
    assert any(isinstance(layer, rk.RNN) and layer.cell.constants == 1 for layer in found.model.layers)


@pytest.mark.parametrize("turned", [False, True])
def test_attention_over_a_captured_sequence(turned):
    """Of any length, which need not be that of the scanned one."""
    more = [
        node("Unsqueeze", ["h_1", "at"], "query"),
        node("MatMul", ["query", "keys" if turned else "memory_T"], "scores"),
        node("Softmax", ["scores"], "weights", axis=2),
        node("MatMul", ["weights", "memory"], "found"),
        node("Squeeze", ["found", "at"], "context"),
        node("Add", ["h_1", "context"], "h_2"),
        node("Identity", ["h_2"], "out_2"),
    ]
    if not turned:
        more.insert(0, node("Transpose", ["memory"], "memory_T", perm=[0, 2, 1]))
    nodes = [node("Tanh", ["m"], "memory"), scan(step(*more, outputs=("h_2", "out_2")))]
    if turned:
        nodes.insert(1, node("Transpose", ["memory"], "keys", perm=[0, 2, 1]))
    feeds = FEEDS | {"m": draw(3, 7, 5)}
    inputs = [*INPUTS, ("m", "float32", ["batch", "steps", 5])]
    check(model_of(nodes, inputs, ["h_T", "y"], WEIGHTS | {"at": np.array([1])}), feeds)


def test_no_states():
    body = body_of(
        [node("MatMul", ["x_t", "W"], "a"), node("Tanh", ["a"], "out")],
        [("x_t", "float32", ["batch", 4])],
        [("out", "float32", None)],
    )
    check(model_of([scan(body, ("x",), ("y",))], INPUTS[:1], ["y"], WEIGHTS), {"x": FEEDS["x"]})


def test_an_initializer_inside_the_body():
    body = step()
    from onnx import numpy_helper

    body.initializer.append(numpy_helper.from_array(WEIGHTS["W"] * 2, "W"))
    body.node.insert(0, node("Constant", [], "half", value_float=0.25))
    arrays = {name: WEIGHTS[name] for name in ("R", "b")}
    check(model_of([scan(body)], INPUTS, ["h_T", "y"], arrays), FEEDS)


def test_configuration_and_pickle():
    import pickle

    found = loaded(model_of([scan(step())], INPUTS, ["h_T", "y"], WEIGHTS))
    expected = outputs_of(found, FEEDS)
    copy = rk.Model.from_config(found.model.get_config())
    copy.set_weights(found.model.get_weights())
    for model in (copy, pickle.loads(pickle.dumps(found.model))):
        found.model = model
        for got, other in zip(outputs_of(found, FEEDS), expected, strict=True):
            assert np.array_equal(got, other)


def test_a_configuration_in_another_process(tmp_path):
    """It names rnnkit's own classes, which a program finds that has not loaded a file."""
    found = loaded(model_of([scan(step()), node("Sin", ["y"], "z")], INPUTS, ["h_T", "z"], WEIGHTS))
    expected = outputs_of(found, FEEDS)
    arrays = {f"w{i}": array for i, array in enumerate(found.model.get_weights())}
    np.savez(tmp_path / "arrays.npz", x=FEEDS["x"].swapaxes(0, 1), h0=FEEDS["h0"], **arrays)
    (tmp_path / "config.json").write_text(json.dumps(found.model.get_config()))
    code = """
import json, numpy as np, rnnkit as rk
arrays = dict(np.load("arrays.npz"))
x, h0 = arrays.pop("x"), arrays.pop("h0")
model = rk.Model.from_config(json.load(open("config.json")))
model.set_weights(list(arrays.values()))
h, z = model([x, h0])
np.savez("results.npz", h=h, z=z)
"""
    processes.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
    results = np.load(tmp_path / "results.npz")
    assert np.array_equal(results["h"], expected[0])
    assert np.array_equal(results["z"].swapaxes(0, 1), expected[1])
