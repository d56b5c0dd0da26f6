"""Every operator that can be read, alone in a model, gives what onnxruntime gives."""

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import defs, helper
from onnx_graphs import check, info, loaded, model_of, node, outputs_of

from rnnkit.onnx.loading.graph import OPERATORS
from rnnkit.onnx.loading.layers import ArrayOperation
from rnnkit.onnx.loading.operations import ELEMENTWISE, REDUCTIONS

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 5, 4)).astype("float32")
ROW = ("x", "float32", ["batch", "time", 4])
FLAT, WIDE = [("x", "float32", ["batch", 4])], [("x", "float32", ["batch", "time", 4, 2])]
UNARY = {
    "Abs": {}, "Acos": {}, "Acosh": {}, "Asin": {}, "Asinh": {}, "Atan": {}, "Atanh": {}, "Ceil": {}, "Cos": {},
    "Celu": {"alpha": 0.7}, "Cosh": {}, "Elu": {"alpha": 0.5}, "Erf": {}, "Exp": {}, "Floor": {},
    "HardSigmoid": {"alpha": 0.3, "beta": 0.4}, "HardSwish": {}, "LeakyRelu": {"alpha": 0.2}, "Log": {}, "Mish": {},
    "Neg": {}, "Reciprocal": {}, "Relu": {}, "Round": {}, "Selu": {"alpha": 1.5, "gamma": 1.1}, "Sigmoid": {},
    "Shrink": {"lambd": 0.4, "bias": 0.1}, "Sign": {}, "Sin": {}, "Sinh": {}, "Softplus": {}, "Softsign": {},
    "Sqrt": {}, "Tan": {}, "Tanh": {}, "ThresholdedRelu": {"alpha": 0.3}, "Identity": {}, "Dropout": {},
}  # fmt: skip
BINARY = ("Add", "Div", "Max", "Mean", "Min", "Mod", "Mul", "PRelu", "Pow", "Sub", "Sum")
CONDITIONS = ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
LOGICAL = ("And", "Or", "Xor")
OTHERS = {"Cast", "CastLike", "Clip", "Constant", "ConstantOfShape", "Concat", "CumSum", "Einsum", "Expand", "Flatten"}
OTHERS |= {"Gather", "Gelu", "Gemm", "GlobalAveragePool", "GlobalMaxPool", "IsNaN", "LayerNormalization", "LogSoftmax"}
OTHERS |= {
    "ArgMax",
    "ArgMin",
    "BatchNormalization",
    "MatMul",
    "Not",
    "Range",
    "Reshape",
    "Shape",
    "Size",
    "Slice",
    "Softmax",
    "Split",
}
OTHERS |= {"Squeeze", "Swish", "Tile", "Transpose", "Unsqueeze", "Where"}
ELSEWHERE = {"LSTM", "GRU", "RNN", "Scan"}


def test_every_operator_has_a_test():
    assert set(OPERATORS) == {*UNARY, *BINARY, *CONDITIONS, *LOGICAL, *REDUCTIONS, *OTHERS, *ELSEWHERE}
    assert set(ELEMENTWISE) < set(OPERATORS)


@pytest.mark.parametrize("op", UNARY)
def test_unary(op):
    low, high = {"Acosh": (1, 3), "Log": (0.1, 3), "Sqrt": (0.1, 3), "Reciprocal": (0.5, 2)}.get(op, (-0.95, 0.95))
    x = RNG.uniform(low, high, (3, 5, 4)).astype("float32")
    opset = 22 if op in ("HardSwish", "Mish") else 17
    check(model_of([node(op, ["x"], "y", **UNARY[op])], [ROW], ["y"], opset=opset), {"x": x})


@pytest.mark.parametrize("op", BINARY)
@pytest.mark.parametrize("other", ["weight", "number", "input", "short input", "matrix"])
def test_binary(op, other):
    x, shape = np.abs(X) + 0.5, {"weight": (4,), "number": (), "matrix": (1, 1, 4)}
    feeds, inputs, initializers = {"x": x}, [ROW], {}
    if other in shape:
        initializers["w"] = RNG.uniform(0.5, 1.5, shape[other]).astype("float32")
    elif other == "input":
        feeds["w"], inputs = RNG.uniform(0.5, 1.5, x.shape).astype("float32"), [ROW, ("w", "float32", ROW[2])]
    else:
        feeds["w"] = RNG.uniform(0.5, 1.5, (3, 1, 4)).astype("float32")
        inputs = [ROW, ("w", "float32", ["batch", 1, 4])]
    options = {"fmod": 1} if op == "Mod" else {}
    check(model_of([node(op, ["x", "w"], "y", **options)], inputs, ["y"], initializers), feeds)


@pytest.mark.parametrize("op", [*CONDITIONS, *LOGICAL, "Not", "IsNaN"])
def test_conditions(op):
    x, w = np.round(X), np.round(RNG.normal(size=(3, 5, 4))).astype("float32")
    nodes = {
        **{one: [node(one, ["x", "w"], "c")] for one in CONDITIONS},
        **{
            one: [node("Less", ["x", "w"], "a"), node("Greater", ["w", "one"], "b"), node(one, ["a", "b"], "c")]
            for one in LOGICAL
        },
        "Not": [node("Less", ["x", "w"], "a"), node("Not", ["a"], "c")],
        "IsNaN": [node("Div", ["x", "w"], "a"), node("IsNaN", ["a"], "c")],
    }[op]
    nodes += [node("Where", ["c", "x", "one"], "y"), node("Cast", ["c"], "z", to=1)]
    inputs = [ROW, ("w", "float32", ROW[2])]
    with np.errstate(invalid="ignore", divide="ignore"):
        check(model_of(nodes, inputs, ["y", "z"], {"one": np.float32(1)}), {"x": x, "w": w})


@pytest.mark.parametrize("op", REDUCTIONS)
@pytest.mark.parametrize("keepdims", [0, 1])
def test_reductions(op, keepdims):
    x = RNG.uniform(0.5, 1.5, (3, 5, 4, 2)).astype("float32")
    inputs = WIDE
    for axes in ([-1], [2, 3]):
        given = {"axes": axes} if op != "ReduceSum" else {}
        more = {"axes": np.array(axes)} if op == "ReduceSum" else {}
        nodes = [node(op, ["x", *more], "y", keepdims=keepdims, **given)]
        check(model_of(nodes, inputs, ["y"], more), {"x": x})


@pytest.mark.parametrize("op", REDUCTIONS)
@pytest.mark.parametrize("axes", [[1], [1, 2]])
def test_reductions_over_time(op, axes):
    for keepdims in (0, 1):
        nodes = [node(op, ["x", "axes"], "y", keepdims=keepdims)]
        check(model_of(nodes, [ROW], ["y"], {"axes": np.array(axes)}, opset=18), {"x": np.abs(X) + 0.5})


@pytest.mark.parametrize("places", [(0, 1, 2), (1, 0, 2), (2, 0, 1)])
def test_operators_along_time(places):
    """Wherever the axes are: softmax, sums so far, and the place of the largest, beside the ends of a recurrence."""
    sizes, order = ["batch", "time", 4], [places.index(i) for i in (1, 0, 2)]
    arrays = {"time": np.array(order[0]), "W": np.ones((1, 2, 4), "f4"), "R": np.ones((1, 2, 2), "f4")}
    start = np.array([[[0.5, 1.0, 2.0, 3.0]]], "f4").transpose(places)
    nodes = [
        node("Transpose", ["x"], "by_time", perm=order),
        node("RNN", ["by_time", "W", "R"], ["", "h"], hidden_size=2),
        node("Softmax", ["x"], "shares", axis=order[0]),
        node("CumSum", ["x", "time"], "sums"),
        node("ArgMax", ["x"], "place", axis=order[0], keepdims=0),
        node("ReduceMax", ["x"], "most", axes=[order[0]], keepdims=1),
        node("Expand", ["start", "rows"], "first"),
        node("Concat", ["first", "x", "most"], "joined", axis=order[0]),
        node("Sub", ["joined", "most"], "y"),
    ]
    rows = np.array([3 if i == places.index(0) else 1 for i in range(3)])
    inputs = [("x", "float32", [3 if sizes[i] == "batch" else sizes[i] for i in places])]
    arrays |= {"start": start, "rows": rows}
    check(model_of(nodes, inputs, ["shares", "sums", "place", "y", "h"], arrays), {"x": X.transpose(places)})


CASES = {
    "matmul": ([node("MatMul", ["x", "w"], "y")], {"w": (4, 6)}, [ROW]),
    "matmul_bias": ([node("MatMul", ["x", "w"], "a"), node("Add", ["b", "a"], "y")], {"w": (4, 6), "b": (6,)}, [ROW]),
    "matmul_one_unit": (
        [node("MatMul", ["x", "w"], "a"), node("Add", ["a", "b"], "y")],
        {"w": (4, 1), "b": (1,)},
        [ROW],
    ),
    "matmul_scale": ([node("MatMul", ["x", "w"], "a"), node("Mul", ["a", "b"], "y")], {"w": (4, 6), "b": (6,)}, [ROW]),
    "matmul_twice": (
        [node("MatMul", ["x", "w"], "a"), node("Add", ["a", "b"], "c"), node("Mul", ["a", "c"], "y")],
        {"w": (4, 6), "b": (6,)},
        [ROW],
    ),
    "dense_relu": (
        [node("MatMul", ["x", "w"], "a"), node("Add", ["a", "b"], "c"), node("Relu", ["c"], "y")],
        {"w": (4, 6), "b": (6,)},
        [ROW],
    ),
    "matmul_left": (
        [node("MatMul", ["w", "x"], "y")],
        {"w": (6, 4)},
        WIDE,
    ),
    "matmul_both": (
        [node("Transpose", ["x"], "a", perm=[0, 1, 3, 2]), node("MatMul", ["x", "a"], "y")],
        {},
        WIDE,
    ),
    "vector": ([node("MatMul", ["x", "w"], "y")], {"w": (4,)}, [ROW]),
    "gemm": ([node("Gemm", ["x", "w", "b"], "y", alpha=0.5, beta=2.0, transB=1)], {"w": (6, 4), "b": (6,)}, FLAT),
    "gemm_plain": ([node("Gemm", ["x", "w"], "y")], {"w": (4, 6)}, FLAT),
    "einsum": ([node("Einsum", ["x", "w"], "y", equation="btf,fg->btg")], {"w": (4, 3)}, [ROW]),
    "softmax": ([node("Softmax", ["x"], "y", axis=2)], {}, [ROW]),
    "log_softmax": ([node("LogSoftmax", ["x"], "y")], {}, [ROW]),
    "layer_norm": ([node("LayerNormalization", ["x", "s", "b"], "y")], {"s": (4,), "b": (4,)}, [ROW]),
    "layer_norm_plain": ([node("LayerNormalization", ["x", "s"], "y", epsilon=1e-3)], {"s": (4,)}, [ROW]),
    "transpose": ([node("Transpose", ["x"], "y", perm=[1, 0, 2])], {}, [ROW]),
    "transpose_features": ([node("Transpose", ["x"], "a", perm=[3, 1, 0, 2]), node("Tanh", ["a"], "y")], {}, WIDE),
    "flatten": ([node("Flatten", ["x"], "y")], {}, [("x", "float32", ["batch", 4, 2])]),
    "identity": ([node("Identity", ["x"], "y")], {}, [ROW]),
    "global_average": ([node("GlobalAveragePool", ["x"], "y")], {}, [("x", "float32", ["batch", 4, 5])]),
    "global_max": ([node("GlobalMaxPool", ["x"], "y")], {}, [("x", "float32", ["batch", 4, 5])]),
    "batch_norm": (
        [node("BatchNormalization", ["x", "s", "b", "m", "v"], "y")],
        {"s": (4,), "b": (4,), "m": (4,), "v": (4,)},
        FLAT,
    ),
    "concat": ([node("Tanh", ["x"], "a"), node("Concat", ["x", "a"], "y", axis=-1)], {}, [ROW]),
    "concat_ones": ([node("Concat", ["x", "z"], "y", axis=-1)], {}, [ROW, ("z", "float32", ["batch", "time", 1])]),
    "concat_constants": (
        [node("Expand", ["c", "sizes"], "e"), node("Concat", ["e", "x", "e"], "y", axis=2)],
        {"c": (1, 1, 2), "sizes": np.array([3, 5, 2])},
        [("x", "float32", [3, 5, 4])],
    ),
    "gather_one": (
        [node("ReduceMax", ["x"], "m", axes=[2]), node("Gather", ["m", "places"], "y", axis=2)],
        {"places": np.array([0, 0, -1])},
        [ROW],
    ),
    "outer_product": (
        [
            node("Unsqueeze", ["x", "two"], "a"),
            node("Unsqueeze", ["x", "three"], "b"),
            node("Mul", ["a", "b"], "o"),
            node("Mul", ["o", "w"], "m"),
            node("Softmax", ["m"], "s", axis=2),
            node("Transpose", ["m"], "t", perm=[0, 1, 3, 2]),
            node("Sub", ["s", "t"], "y"),
        ],
        {"two": np.array([2]), "three": np.array([3]), "w": (4, 4)},
        [ROW],
    ),
    "steps_as_a_number": (
        [
            node("Shape", ["x"], "s"),
            node("Slice", ["s", "one", "two"], "n"),
            node("Cast", ["n"], "length", to=1),
            node("Div", ["x", "length"], "y"),
        ],
        {"one": np.array([1]), "two": np.array([2])},
        [ROW],
    ),
    "concat_time": ([node("Tanh", ["x"], "a"), node("Concat", ["x", "a"], "y", axis=1)], {}, [ROW]),
    "split": ([node("Split", ["x"], ["a", "b"], axis=2), node("Mul", ["a", "b"], "y")], {}, [ROW]),
    "argmax": ([node("ArgMax", ["x"], "i", axis=-1, keepdims=0), node("Cast", ["i"], "y", to=1)], {}, [ROW]),
    "argmin": ([node("ArgMin", ["x"], "y", axis=2)], {}, [ROW]),
    "two_outputs": ([node("Tanh", ["x"], "y"), node("Relu", ["x"], "z")], {}, [ROW]),
    "clip": ([node("Clip", ["x", "", "w"], "y")], {"w": ()}, [ROW]),
    "gelu": ([node("Gelu", ["x"], "a"), node("Gelu", ["a"], "y", approximate="tanh")], {}, [ROW]),
    "swish": ([node("Swish", ["x"], "y", alpha=0.5)], {}, [ROW]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_case(name):
    nodes, weights, inputs = CASES[name]
    sizes = {"batch": 3, "time": 5}
    feeds = {n: RNG.normal(size=[sizes.get(s, s) for s in shape]).astype("float32") for n, _, shape in inputs}
    arrays = {
        n: one if isinstance(one, np.ndarray) else RNG.uniform(0.1, 1, one).astype("float32")
        for n, one in weights.items()
    }
    outputs = ["y", "z"] if name == "two_outputs" else ["y"]
    opset = {"gelu": 20, "swish": 24, "split": 17}.get(name, 17)
    if opset > defs.onnx_opset_version():
        pytest.skip("this version of onnx has no such operators")
    model = model_of(nodes, inputs, outputs, arrays, opset)
    if name == "swish":
        found = outputs_of(loaded(model), feeds)[0]
        np.testing.assert_allclose(found, feeds["x"] / (1 + np.exp(-0.5 * feeds["x"])), atol=1e-6)
        return
    found = check(model, feeds)
    if name == "matmul_twice":  # one weight stays one
        assert len([n for n in found.model.weights if n.endswith("kernel")]) == 1


INDICES = {
    "slice_features": ([("Slice", ["x", [1], [3], [2]])], 0),
    "slice_step": ([("Slice", ["x", [3], [-9], [-1], [-2]])], 0),
    "slice_time": ([("Slice", ["x", [1], [2**62], [1]])], 0),
    "slice_last": ([("Slice", ["x", [-1], [2**62], [1]])], 0),
    "reversed_time": ([("Slice", ["x", [-1], [-(2**62)], [1], [-1]])], 0),
    "last_step": ([("Gather", ["x", -1], {"axis": 1})], 0),
    "first_step": ([("Gather", ["x", 0], {"axis": 1})], 0),
    "some_features": ([("Gather", ["x", [2, 0, -1]], {"axis": 2})], 0),
    "one_feature": ([("Gather", ["x", 1], {"axis": 2})], 0),
    "unsqueeze": ([("Unsqueeze", ["x", [0, 3]])], 0),
    "unsqueeze_squeeze": ([("Unsqueeze", ["x", [1]]), ("Squeeze", ["v0", [1]])], 0),
    "reshape": ([("Reshape", ["x", [0, 0, 2, 2]])], 0),
    "reshape_and_back": ([("Reshape", ["x", [-1, 4]]), ("Tanh", ["v0"])], 0),
    "expand": ([("Unsqueeze", ["x", [2]]), ("Expand", ["v0", [1, 1, 3, 4]])], 0),
    "cumsum": ([("CumSum", ["x", 2])], 0),
}


@pytest.mark.parametrize("name", [n for n in INDICES if n != "reshape_and_back"])
def test_operators_with_known_indices(name):
    nodes, initializers = [], {}
    for i, (op, inputs, *attributes) in enumerate(INDICES[name][0]):
        names = []
        for k, one in enumerate(inputs):
            if not isinstance(one, str):
                initializers[f"c{i}_{k}"] = np.array(one, np.int64)
                one = f"c{i}_{k}"
            names.append(one)
        nodes.append(node(op, names, f"v{i}", **(attributes[0] if attributes else {})))
    check(model_of(nodes, [ROW], [f"v{len(nodes) - 1}"], initializers), {"x": X})


BOUNDS = [(0, 3, 1), (1, -1, 1), (-3, 1 << 40, 1), (-(1 << 40), -1, 2), (3, 0, -1), (-1, -3, -1), (-2, -(1 << 40), -2)]


def test_a_mean_of_sequences_is_that_of_their_own_steps():
    sequences = [np.ones((3, 2)), np.ones((5, 2))]
    mean = {"inputs": [[None, 2]], "instructions": [["ReduceMean", [0], {"axes": [0]}]], "outputs": [1]}
    np.testing.assert_array_equal(ArrayOperation(mean)(sequences), np.ones((2, 2)))


@pytest.mark.parametrize("declared", ["time", 5])
@pytest.mark.parametrize("bounds", [*BOUNDS, (1, 1 << 62, 2), (-1, 1 << 40, 1), (4, 5, 1), (0, 1 << 40, 2)])
def test_slices_of_time(bounds, declared):
    """Also of another length than the file declares, where bounds count from the end that the file counts from."""
    arrays = dict(zip("bead", ([bounds[0]], [bounds[1]], [1], [bounds[2]]), strict=True))
    arrays = {name: np.array(one, np.int64) for name, one in arrays.items()}
    arrays |= {"W": np.ones((1, 2, 4), "f4"), "R": np.ones((1, 2, 2), "f4")}
    nodes = [node("Slice", ["x", "b", "e", "a", "d"], "y"), node("Transpose", ["x"], "xt", perm=[1, 0, 2])]
    nodes += [node("RNN", ["xt", "W", "R"], ["", "h"], hidden_size=2)]  # says which axis is time
    found = check(model_of(nodes, [("x", "float32", ["batch", declared, 4])], ["y", "h"], arrays), {"x": X})
    longer = RNG.normal(size=(2, 9, 4)).astype("float32")
    if bounds != (4, 5, 1):
        assert np.array_equal(found.model(longer)[0], longer[:, bounds[0] : bounds[1] : bounds[2]])


def test_the_step_before_a_computed_length():
    """As `x[:, x.shape[1] - 2]` is exported."""
    nodes = [
        node("Shape", ["x"], "s"),
        node("Gather", ["s", "one"], "t"),
        node("Sub", ["t", "two"], "place"),
        node("Gather", ["x", "place"], "y", axis=1),
    ]
    check(model_of(nodes, [ROW], ["y"], {"one": np.array(1), "two": np.array(2)}), {"x": X})


def test_the_last_steps_by_a_computed_length():
    nodes = [
        node("Shape", ["x"], "s"),
        node("Gather", ["s", "one"], "t"),
        node("Sub", ["t", "two"], "start"),
        node("Slice", ["x", "start", "t", "one"], "y"),
    ]
    check(model_of(nodes, [ROW], ["y"], {"one": np.array([1]), "two": np.array([2])}), {"x": X})


def test_a_product_over_merged_batch_and_time():
    """As Keras's exporters write a dense layer at every step."""
    nodes = [
        node("Reshape", ["x", "to_rows"], "a"),
        node("Gemm", ["a", "w", "b"], "c"),
        node("Shape", ["x"], "s"),
        node("Slice", ["s", "zero", "two"], "bt"),
        node("Concat", ["bt", "six"], "full", axis=0),
        node("Reshape", ["c", "full"], "y"),
    ]
    arrays = {"to_rows": np.array([-1, 4]), "zero": np.array([0]), "two": np.array([2]), "six": np.array([6])}
    arrays |= {"w": RNG.normal(size=(4, 6)).astype("float32"), "b": RNG.normal(size=6).astype("float32")}
    found = check(model_of(nodes, [ROW], ["y"], arrays), {"x": X})
    assert [type(layer).__name__ for layer in found.model.layers] == ["Dense"]


def test_a_reshape_that_names_the_length():
    """As PyTorch's newer exporter writes it for a length that its tracing fixed, in a graph that leaves it open."""
    arrays = {"W": np.ones((1, 2, 4), "f4"), "R": np.ones((1, 2, 2), "f4"), "shape": np.array([5, -1, 2])}
    nodes = [node("Transpose", ["x"], "xt", perm=[1, 0, 2]), node("RNN", ["xt", "W", "R"], ["h"], hidden_size=2)]
    nodes += [node("Reshape", ["h", "shape"], "y")]
    check(model_of(nodes, [ROW], ["y"], arrays), {"x": X})


def test_an_embedding_of_computed_ids():
    nodes = [node("Gather", ["table", "ids"], "e"), node("ReduceSum", ["e", "axes"], "y", keepdims=0)]
    arrays = {"table": RNG.normal(size=(7, 4)).astype("float32"), "axes": np.array([1])}
    model = model_of(nodes, [("ids", "int64", ["batch", "time"])], ["y"], arrays)
    found = check(model, {"ids": RNG.integers(0, 7, (3, 5))})
    assert type(found.model.layers[0]).__name__ == "Embedding"


def test_a_mask_from_lengths():
    """As exporters write it: the numbers of the steps beside the lengths."""
    nodes = [
        node("Shape", ["x"], "s"),
        node("Gather", ["s", "one"], "n"),
        node("Range", ["zero", "n", "one"], "steps"),
        node("Unsqueeze", ["lengths", "at"], "ends"),
        node("Less", ["steps", "ends"], "used"),
        node("Unsqueeze", ["used", "behind"], "mask"),
        node("Where", ["mask", "x", "nothing"], "y"),
    ]
    arrays = {"zero": np.array(0), "one": np.array(1), "at": np.array([1]), "behind": np.array([2])}
    inputs = [ROW, ("lengths", "int64", ["batch"])]
    feeds = {"x": X, "lengths": np.array([0, 5, 3])}
    check(model_of(nodes, inputs, ["y"], arrays | {"nothing": np.float32(0)}), feeds)


def test_sizes_that_are_computed():
    """Zeros of the batch's size, a range, a constant: all folded when the file is read."""
    shape = helper.make_tensor("v", 1, [1], [0.25])
    nodes = [
        node("Shape", ["x"], "s"),
        node("Gather", ["s", "zero"], "n"),
        node("Unsqueeze", ["n", "at"], "n1"),
        node("Constant", [], "c", value_ints=[1, 4]),
        node("Concat", ["n1", "c"], "full", axis=0),
        node("ConstantOfShape", ["full"], "filled", value=shape),
        node("Size", ["w"], "count"),
        node("Range", ["zero", "count", "one"], "r"),
        node("Cast", ["r"], "r_float", to=1),
        node("Cast", ["r_float"], "r_int", to=7),
        node("Cast", ["r_int"], "rf", to=1),
        node("Add", ["x", "filled"], "a"),
        node("Mul", ["a", "rf"], "y"),
    ]
    arrays = {"zero": np.array(0), "one": np.array(1), "at": np.array([0]), "w": np.zeros(4, "float32")}
    check(model_of(nodes, [ROW], ["y"], arrays), {"x": X})


def test_an_lstm_as_the_exporters_of_tensorflow_write_it():
    """Zeros of the batch's size are tiled, the direction's axis is squeezed, the dense layer works on merged rows."""
    nodes = [
        node("Transpose", ["x"], "by_time", perm=[1, 0, 2]),
        node("Shape", ["by_time"], "s"),
        node("Cast", ["s"], "s32", to=6),
        node("Slice", ["s32", "one", "two"], "n32"),
        node("Cast", ["n32"], "n", to=7),
        node("Concat", ["one", "n", "one"], "repeats", axis=0),
        node("Tile", ["zeros", "repeats"], "start"),
        node("LSTM", ["by_time", "W", "R", "B", "", "start", "start"], ["Y", "", ""], hidden_size=3),
        node("Squeeze", ["Y", "one"], "squeezed"),
        node("Transpose", ["squeezed"], "by_row", perm=[1, 0, 2]),
        node("Reshape", ["by_row", "rows"], "merged"),
        node("MatMul", ["merged", "V"], "product"),
        node("Shape", ["by_row"], "full"),
        node("Gather", ["full", "places"], "lengths"),
        node("Concat", ["lengths", "five"], "shape", axis=0),
        node("Reshape", ["product", "shape"], "scores"),
        node("Add", ["scores", "b"], "biased"),
        node("Softmax", ["biased"], "y", axis=-1),
    ]
    draw = lambda *shape: RNG.normal(size=shape).astype("float32")
    arrays = {"W": draw(1, 12, 4), "R": draw(1, 12, 3), "B": draw(1, 24), "V": draw(3, 5), "b": draw(5)}
    arrays |= {"zeros": np.zeros((1, 1, 3), "f4"), "rows": np.array([-1, 3]), "places": np.array([0, 1])}
    arrays |= {"one": np.array([1]), "two": np.array([2]), "five": np.array([5])}
    found = check(model_of(nodes, [ROW], ["y"], arrays), {"x": X})
    assert [type(layer).__name__ for layer in found.model.layers] == ["LSTM", "Dense", "Operation", "Activation"]


def test_a_cast_like():
    nodes = [node("Less", ["x", "w"], "c"), node("CastLike", ["c", "x"], "y")]
    check(model_of(nodes, [ROW], ["y"], {"w": np.float32(0.2)}), {"x": X})
    assert info("x", "float32", [1]).name == "x"
