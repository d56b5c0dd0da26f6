"""LSTM, GRU and RNN with random attributes give what onnxruntime gives."""

import json
import pickle

import numpy as np
import onnx_recurrent
import pytest
from matrix import label, pairwise

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx_graphs import check as witnessed
from onnx_graphs import info, loaded, model_of, node, outputs_of, run_onnxruntime

import rnnkit as rk

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
NAMES = "Relu Tanh Sigmoid LeakyRelu ThresholdedRelu HardSigmoid Elu Softsign Softplus Affine ScaledTanh".split()
SMOOTH = ["Tanh", "Sigmoid", "Softsign", "Softplus", "Affine", "ScaledTanh"]
ALPHA = {"Affine", "LeakyRelu", "ThresholdedRelu", "ScaledTanh", "HardSigmoid", "Elu"}
BETA = {"Affine", "ScaledTanh", "HardSigmoid"}
FACTORS = {
    "op": ("LSTM", "GRU", "RNN"),
    "direction": ("forward", "reverse", "bidirectional"),
    "layout": (0, 1),
    "activations": ("default", "named", "other"),
    "clip": (None, 0.7),
    "special": (False, True),  # linear_before_reset, or input_forget
    "peepholes": (False, True),
    "bias": (True, False),
    "lengths": (False, True),
    "states": (False, True),
    "outputs": ("all", "last", "sequence"),
    "units": (4, 1),
    "features": (3, 1),
    "dtype": ("float32", "float64"),
}
ROWS = pairwise(FACTORS)


def made(row, rng, time=5, batch=3):
    """A node's model, in the layout of the row and in layout 0, and numbers for its inputs in layout 0."""
    op, count, units = row["op"], 2 if row["direction"] == "bidirectional" else 1, row["units"]
    draw = lambda *shape: (0.4 * rng.normal(size=shape)).astype("float32")
    weights = {"W": draw(count, GATES[op] * units, row["features"]), "R": draw(count, GATES[op] * units, units)}
    feeds = {"X": draw(time, batch, row["features"])}
    shapes = {"X": ["time", "batch", row["features"]]}
    names = ["X", "W", "R", "", "", "", "", ""]
    if row["bias"]:
        weights["B"], names[3] = draw(count, 2 * GATES[op] * units), "B"
    if row["lengths"]:
        feeds["L"], names[4], shapes["L"] = np.array([5, 2, 3], "int32"), "L", ["batch"]
    for i, name in enumerate(["H", "C"] if op == "LSTM" else ["H"]):
        if row["states"]:
            feeds[name], names[5 + i], shapes[name] = draw(count, batch, units), name, [count, "batch", units]
    if op == "LSTM" and row["peepholes"]:
        weights["P"], names[7] = draw(count, 3 * units), "P"
    attributes = {"hidden_size": units, "direction": row["direction"]}
    if op != "RNN" and row["special"]:
        attributes["linear_before_reset" if op == "GRU" else "input_forget"] = 1
    if row["clip"]:
        attributes["clip"] = row["clip"]
    if row["activations"] != "default":
        pool = {"named": NAMES[:3], "smooth": SMOOTH}.get(row["activations"], NAMES)
        chosen = [pool[k] for k in rng.integers(len(pool), size={"LSTM": 3, "GRU": 2, "RNN": 1}[op] * count)]
        attributes["activations"] = chosen
        for name, takers in {"activation_alpha": ALPHA, "activation_beta": BETA}.items():
            if count_of := sum(one in takers for one in chosen):
                attributes[name] = rng.uniform(0.1, 0.9, count_of).tolist()
    every = ["Y", "Yh", "Yc"] if op == "LSTM" else ["Y", "Yh"]
    chosen = {"all": every, "last": every[1:], "sequence": every[:1]}[row["outputs"]]
    results = [name if name in chosen else "" for name in every]
    while names and not names[-1]:
        names.pop()

    def model(layout, dtype):
        def info(name):
            shape = list(shapes[name])
            if layout and len(shape) > 1:
                shape[0], shape[1] = shape[1], shape[0]
            return name, "int32" if name == "L" else dtype, shape

        own = {"layout": 1} if layout else {}
        nodes = [node(op, names, [*results], **attributes, **own)]
        arrays = {name: array.astype(dtype) for name, array in weights.items()}
        return model_of(nodes, [info(name) for name in feeds], chosen, arrays)

    with np.errstate(over="ignore"):  # of the exponentials that a condition leaves out
        y = onnx_recurrent.run(op, attributes, **feeds, **weights)
    return model, feeds, chosen, [y[every.index(name)] for name in chosen]


def turned(array, name):
    """From layout 0 to layout 1."""
    return array.transpose(2, 0, 1, 3) if name == "Y" else array.swapaxes(0, 1) if array.ndim > 1 else array


def check(row, seed):
    model, feeds, chosen, reference = made(row, np.random.default_rng(seed))
    expected = run_onnxruntime(model(0, "float32"), feeds)  # onnxruntime has neither layout 1 nor doubles
    for one, other in zip(expected, reference, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
    found = loaded(model(row["layout"], row["dtype"]))
    if row["layout"]:
        feeds = {name: turned(array, name) for name, array in feeds.items()}
        expected = [turned(array, name) for name, array in zip(chosen, expected, strict=True)]
    got = outputs_of(found, {k: v if k == "L" else v.astype(row["dtype"]) for k, v in feeds.items()})
    assert found.model.dtype == row["dtype"]
    for one, other in zip(got, expected, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("row", ROWS, ids=label)
def test_X16_the_loaded_operator_gives_what_onnxruntime_gives(row):
    check(row, ROWS.index(row))


@pytest.mark.parametrize("row", [row for row in ROWS if not row["lengths"]], ids=label)
def test_gradients_and_configuration(row):
    """Of the whole model, with all weights; a copy by its configuration, or a pickle, gives the same bits."""
    chosen = {"activations": "default" if row["activations"] == "default" else "smooth", "clip": row["clip"] and 50.0}
    model, feeds, *_ = made(row | chosen, np.random.default_rng(0), time=4, batch=2)
    found = loaded(model(row["layout"], "float64"))
    given = [np.float64(feeds[name] if not row["layout"] else turned(feeds[name], name)) for name in found.inputs]
    given = [array.transpose(order) for array, order in zip(given, found.inputs.values(), strict=True)]
    given = given if len(given) > 1 else given[0]
    assert rk.gradcheck(found.model, given, directions=1)
    expected = leaves(found.model(given))
    copy = rk.Model.from_config(json.loads(json.dumps(found.model.get_config())))
    copy.set_weights(found.model.get_weights())
    for other in (copy, pickle.loads(pickle.dumps(found.model))):
        assert all(np.array_equal(one, two) for one, two in zip(leaves(other(given)), expected, strict=True))


def leaves(outputs):
    return outputs if isinstance(outputs, list) else [outputs]


@pytest.mark.sweep
@pytest.mark.parametrize("seed", range(300))
def test_random_attributes(seed):
    rng = np.random.default_rng(seed)
    check({name: values[rng.integers(len(values))] for name, values in FACTORS.items()}, seed)


def lstm_of(nodes, outputs, arrays, batch="batch", opset=17, time="time"):
    draw = lambda *shape: np.random.default_rng(len(shape)).normal(size=shape).astype("float32")
    weights = {"W": draw(1, 12, 3), "R": draw(1, 12, 3), "B": draw(1, 24)}
    return model_of(nodes, [("x", "float32", [time, batch, 3])], outputs, weights | arrays, opset)


def test_a_learned_start():
    """Initial states that are weights; an exporter repeats them for a fixed batch, or expands one row."""
    nodes = [node("LSTM", ["x", "W", "R", "B", "", "h0"], ["y", "h"], hidden_size=3)]
    row, x = np.array([[[0.5, -0.2, 0.1]]], "float32"), np.ones((4, 2, 3), "float32")
    found = witnessed(lstm_of(nodes, ["y", "h"], {"h0": np.repeat(row, 2, axis=1)}, batch=2), {"x": x})
    assert [a.ravel().tolist() for n, a in found.model.weights.items() if n.endswith("/rows")] == [
        row.ravel().tolist(),
        [0.0] * 3,
    ]
    assert found.model(np.ones((5, 7, 3), "float32"))[0].shape == (5, 7, 1, 3)
    with pytest.raises(ValueError, match="the same for every row"):
        loaded(lstm_of(nodes, ["y"], {"h0": np.arange(6, dtype="float32").reshape(1, 2, 3)}, batch=2))


def test_features_that_the_graph_leaves_open():
    nodes = [node("LSTM", ["x", "W", "R", "B"], ["y", "h"], hidden_size=3)]
    model = lstm_of(nodes, ["y", "h"], {})
    for one in model.graph.input[0].type.tensor_type.shape.dim:
        one.Clear()
    found = witnessed(model, {"x": np.ones((4, 2, 3), "float32")})
    assert found.model.inputs[0].shape == (None, None, 3)


def test_lengths_of_one_operator_are_not_those_of_the_next():
    nodes = [
        node("LSTM", ["x", "W", "R", "B", "lengths"], ["y0"], hidden_size=3),
        node("Squeeze", ["y0", "axes"], "x1"),
        node("LSTM", ["x1", "W", "R", "B"], ["y", "h"], hidden_size=3),
    ]
    model = lstm_of(nodes, ["y", "h"], {"axes": np.array([1])})
    model.graph.input.append(info("lengths", "int32", ["batch"]))
    witnessed(model, {"x": np.ones((4, 3, 3), "float32"), "lengths": np.array([1, 4, 2], "int32")})


def test_lengths_that_are_known():
    nodes = [node("LSTM", ["x", "W", "R", "B", "lengths"], ["y"], hidden_size=3)]
    model = lstm_of(nodes, ["y"], {"lengths": np.array([4, 4], "int32")}, batch=2, time=4)
    witnessed(model, {"x": np.ones((4, 2, 3), "float32")})
    with pytest.raises(ValueError, match="expected sequence_lens as an input, or the whole length"):
        loaded(lstm_of(nodes, ["y"], {"lengths": np.array([4, 3], "int32")}, batch=2, time=4))


@pytest.mark.parametrize("order", [[1, 0, 2], [1, 2, 0]])
def test_all_steps_as_features(order):
    """Flattened, in either order of time and features, where the length is fixed."""
    nodes = [
        node("LSTM", ["x", "W", "R", "B"], ["y0"], hidden_size=3),
        node("Squeeze", ["y0", "axes"], "y1"),
        node("Transpose", ["y1"], "y2", perm=order),
        node("Flatten", ["y2"], "y3"),
        node("MatMul", ["y3", "V"], "y"),
    ]
    arrays = {"axes": np.array([1]), "V": np.random.default_rng(0).normal(size=(12, 2)).astype("float32")}
    x = np.random.default_rng(1).normal(size=(4, 2, 3)).astype("float32")
    for time in (4, "time"):  # the product's weight says how many steps there are
        witnessed(lstm_of(nodes, ["y"], arrays, time=time), {"x": x})
    with pytest.raises(ValueError, match=r"flatten_y3 \(Flatten\): expected known sizes .* an open one"):
        loaded(lstm_of(nodes[:-1], ["y3"], arrays))
