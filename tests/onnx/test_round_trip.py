"""``rk.onnx.load`` reads what ``rk.onnx.export`` writes: the model that comes back gives what the first one gives."""

import numpy as np
import pytest
from cells_under_test import CELLS
from layers_under_test import LAYERS, public_layers
from matrix import flat, label, like, make_mask, pairwise
from paper_cells import PAPER_CELLS, PaperCell

import rnnkit as rk
from rnnkit.activations import ACTIVATIONS
from rnnkit.onnx.loading import layers

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx_round_trip import again, agrees, built, given, same
from onnx_runs import Exported

TRACED = {case.name: case for case in (*CELLS, *PAPER_CELLS) if case.how == "traced"}
EVERY = {
    "cell": tuple(TRACED),
    "mask": ("none", "random"),  # an input, or none: what stands in it is no matter of the file
    "dtype": ("float64", "float32"),
    "sequences": (True, False),
    "backwards": (False, True),
    "zero": (False, True),
    "states": (False, True),
}
both_dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


def drawn(*shape, dtype="float32", seed=3):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


@pytest.mark.parametrize("row", pairwise(EVERY), ids=label)
def test_every_cell(row):
    case, dtype = TRACED[row["cell"]], row["dtype"]
    is_of_paper = isinstance(case, PaperCell)
    cell, features = (case.make(), case.features) if is_of_paper else (case.make(6), (5,))
    options = {"return_sequences": row["sequences"], "go_backwards": row["backwards"]}
    layer = rk.RNN(cell, return_state=True, zero_output_for_mask=row["zero"], dtype=dtype, seed=7, **options)
    built(layer, None, None, *features)
    own = list(layer.get_initial_state(3))
    start = like(own, [0.9 * one.astype(dtype) + 0.05 for one in flat(own)]) if row["states"] else None
    constants = [drawn(3, *shape, dtype=dtype) for shape in case.constants] or None
    mask = make_mask(row["mask"], 3, 5, np.random.default_rng(5))
    x = drawn(3, 5, *features, dtype=dtype)
    agrees(layer, x, mask=mask, initial_state=start, constants=constants)


# Layers


BUILT_IN = pairwise(
    {
        "layer": ("LSTM", "GRU", "SimpleRNN"),
        "mask": (False, True),
        "dtype": ("float32", "float64"),
        "backwards": (False, True),
        "sequences": (True, False),
        "states": (False, True),
        "bias": (True, False),
        "activation": ("tanh", "relu", "gelu", "leaky_relu", "linear"),
    }
)


@pytest.mark.parametrize("row", BUILT_IN, ids=label)
def test_built_in_layers(row):
    dtype, options = row["dtype"], {"return_sequences": row["sequences"], "go_backwards": row["backwards"]}
    options |= {"use_bias": row["bias"], "activation": row["activation"]}
    layer = built(getattr(rk, row["layer"])(4, return_state=True, dtype=dtype, seed=1, **options), None, None, 5)
    mask = drawn(3, 7) > 0 if row["mask"] else None
    count = len(flat(list(layer.get_initial_state(3))))
    start = [drawn(3, 4, dtype=dtype, seed=i) for i in range(count)] if row["states"] else None
    agrees(layer, drawn(3, 7, 5, dtype=dtype), mask=mask, initial_state=start)


MERGES = pairwise(
    {
        "mode": ("concat", "sum", "mul", "ave", None),
        "mask": (False, True),
        "sequences": (True, False),
        "states": (False, True),
        "backwards": (False, True),
        "dtype": ("float32", "float64"),
    }
)


@pytest.mark.parametrize("row", MERGES, ids=label)
def test_bidirectional(row):
    dtype, options = row["dtype"], {"return_sequences": row["sequences"], "return_state": True}
    inside = rk.GRU(4, go_backwards=row["backwards"], dtype=dtype, seed=2, **options)
    layer = built(rk.Bidirectional(inside, merge_mode=row["mode"]), None, None, 5)
    start = [drawn(3, 4, dtype=dtype, seed=i) for i in (1, 2)] if row["states"] else None
    agrees(layer, drawn(3, 9, 5, dtype=dtype), mask=drawn(3, 9) > 0 if row["mask"] else None, initial_state=start)


@both_dtypes
@pytest.mark.parametrize("masked", [False, True])
def test_stacks(masked, dtype):
    cells = [rk.LSTMCell(4), rk.GRUCell(3), rk.SimpleRNNCell(5)]
    layer = built(rk.RNN(cells, return_sequences=True, return_state=True, dtype=dtype, seed=2), None, None, 5)
    start = [[drawn(3, 4, dtype=dtype), drawn(3, 4, dtype=dtype)], drawn(3, 3, dtype=dtype), drawn(3, 5, dtype=dtype)]
    mask = drawn(3, 9) > 0 if masked else None
    agrees(layer, drawn(3, 9, 5, dtype=dtype), mask=mask, initial_state=start)


@both_dtypes
@pytest.mark.parametrize("name", public_layers())
def test_every_public_layer(name, dtype):
    case = LAYERS[name]
    with rk.eager():
        layer = case.make()
        dtype = "float32" if isinstance(layer, rk.Model) else dtype  # as its Input says
        x = case.inputs(dtype=dtype)
        y = layer(*case.given(x))
    if case.one_way:
        with pytest.raises(ValueError, match=case.one_way):
            again(layer)
    else:
        same(given(again(layer), *(x if isinstance(x, list) else [x])), y)


ALONE = {
    "Dense of rows": (lambda: rk.Dense(3, "softmax", seed=1), (4, 5)),
    "Lambda": (lambda: rk.Lambda(lambda x: np.sqrt((x**2).sum(axis=-1, keepdims=True))), (4, 7, 5)),
    "Reshape": (lambda: rk.Reshape((5, 2, 1)), (4, 2, 5)),
    "GlobalAveragePooling1D kept": (lambda: rk.GlobalAveragePooling1D(keepdims=True), (4, None, 5)),
    "Repeated for a loop": (lambda: rk.Sequential([rk.GRU(3), rk.RepeatVector(4), rk.GRU(2)], seed=1), (4, None, 5)),
} | {name: (lambda name=name: rk.Activation(name), (4, 7, 5)) for name in ACTIVATIONS}


@both_dtypes
@pytest.mark.parametrize("name", ALONE)
def test_a_layer(name, dtype):
    make, shape = ALONE[name]
    with rk.eager():
        layer = rk.Sequential([make()], dtype=dtype)
        layer.build(shape)
    agrees(layer, drawn(*(size or 7 for size in shape), dtype=dtype))


MASKED = {
    "pooling": lambda: rk.GlobalAveragePooling1D(),
    "masks of two layers": lambda: rk.Sequential(
        [rk.Masking(0.5), rk.LSTM(3, return_sequences=True), rk.GlobalAveragePooling1D()], seed=1
    ),
    "backwards": lambda: rk.Sequential([rk.GRU(3, return_sequences=True, go_backwards=True), rk.GRU(2)], seed=1),
    "at each step": lambda: rk.Sequential([rk.TimeDistributed(rk.Dense(3)), rk.GRU(3)], seed=1),
    "both": lambda: rk.Sequential([rk.Bidirectional(rk.GRU(3, return_sequences=True)), rk.SimpleRNN(3)], seed=1),
}


@both_dtypes
@pytest.mark.parametrize("name", MASKED)
def test_masks_go_from_layer_to_layer(name, dtype):
    x, mask = drawn(4, 7, 5, dtype=dtype), drawn(4, 7) > 0
    mask[2], x[1, 2] = False, 0.5
    with rk.eager():
        layer = rk.Sequential([rk.Activation("linear"), MASKED[name]()], dtype=dtype, seed=1)
        layer.build((None, None, 5))
    agrees(layer, x, mask=mask)


IDS = np.array([[3, 0, 2, 0], [0, 0, 0, 0], [1, 4, 4, 2]])


@both_dtypes
@pytest.mark.parametrize("zero", [False, True])
def test_ids(zero, dtype):
    layers = [rk.Embedding(5, 3, mask_zero=zero), rk.LSTM(4, return_sequences=True), rk.GlobalAveragePooling1D()]
    with rk.eager():
        model = rk.Sequential(layers, dtype=dtype, seed=1)
        model.build((None, None))
    agrees(model, IDS)


def functional():
    """Several inputs and outputs, branches, states from layer to layer, a shared layer, a symbolic mask, a model."""
    source, target = rk.Input((None, 3), name="source"), rk.Input((None, 2), name="target")
    words, used = rk.Input((None,), dtype="int64", name="words"), rk.Input((None,), name="used")
    encoded, h, c = rk.LSTM(4, return_sequences=True, return_state=True, name="encoder", seed=0)(source)
    y = rk.LSTM(4, return_sequences=True, name="decoder", seed=1)(target, initial_state=[h, c])
    embedded = rk.Embedding(5, 2, mask_zero=True, seed=2)(words)
    shared = rk.GRU(4, seed=3)
    first, second = shared(rk.Concatenate()([target, embedded])), shared(encoded, mask=used)
    inner_in = rk.Input((4,))
    inner = rk.Model(inner_in, [rk.Dense(2, seed=4)(inner_in), rk.Activation("tanh")(inner_in)], name="inner")
    small, wide = inner(first + second)
    return rk.Model([source, target, words, used], [rk.Dense(1, name="head", seed=5)(y), small, wide - h])


def test_a_functional_model():
    with rk.eager():
        model = functional()
    agrees(model, drawn(3, 6, 3), drawn(3, 4, 2), IDS, (drawn(3, 6) > 0).astype("float32"))


@pytest.mark.parametrize("second", [False, True])
def test_arrays_joined_in_time_with_their_masks(second):
    with rk.eager():
        a, b = rk.Input((None, 3)), rk.Input((None, 3))
        other = rk.Masking()(b) if second else b
        model = rk.Model([a, b], rk.GRU(4, seed=1)(rk.Concatenate(axis=1)([rk.Masking()(a), other])))
    x = [drawn(3, 6, 3), drawn(3, 4, 3)]
    x[0][1, 2], x[1][0, 1] = 0, 0
    agrees(model, *x)


def test_states_of_a_sequential_model_are_inputs_and_outputs():
    with rk.eager():
        model = rk.Sequential([rk.GRU(3, return_sequences=True), rk.LSTM(2), rk.Dense(1)], seed=1)
        model.build((None, None, 5))
        x = drawn(2, 8, 5)
        expected = model(x)
    loaded = again(model, states=True)
    zeros = [np.zeros((2, units), "float32") for units in (3, 2, 2)]
    _, *between = given(loaded, x[:, :3], *zeros)
    y, *_ = given(loaded, x[:, 3:], *between)
    same([y], expected)
    assert list(loaded.inputs) == ["x", "0/initial_state_0", "1/initial_state_0", "1/initial_state_1"]


def test_states_and_pairs_as_outputs():
    with rk.eager():
        last = rk.Bidirectional(rk.LSTM(3, return_state=True), merge_mode=None)
        model = rk.Sequential([rk.Dense(4), last], seed=1)
        model.build((None, None, 5))
    agrees(model, drawn(2, 6, 5))


# What comes back


@rk.cell(
    states={"h": "units"},
    weights={
        "kernel": rk.Weight(("features", "units")),
        "recurrent_kernel": rk.Weight(("units", "units"), "orthogonal"),
        "rate": rk.Weight((), rk.initializers.Constant(0.3)),
        "scale": rk.Weight(("units",), "ones", trainable=False),
    },
)
def rated(x, states, weights):
    (h,) = states
    ramp = np.arange(h.shape[1]) + 1.0
    x = x @ np.tri(x.shape[1])
    h = h + weights.rate * (np.tanh(x @ weights.kernel + h @ weights.recurrent_kernel) / ramp - h * weights.scale)
    return h, h


def test_what_training_changes_is_what_it_changed_before():
    """A learned number too, while constants of the step stay as they are."""
    layer = built(rk.RNN(rated(4), dtype="float64", seed=1), None, None, 3)
    model = agrees(layer, drawn(2, 5, 3, dtype="float64")).model
    shapes = lambda arrays: sorted((name.rpartition("/")[2], array.shape) for name, array in arrays.items())
    assert shapes(model.trainable_weights) == shapes(layer.trainable_weights)
    fixed = [array for name, array in model.weights.items() if name not in model.trainable_weights]
    assert sorted(np.sum(one) for one in fixed) == [4.0, 6.0, 10.0]


def test_states_that_a_cell_starts_from_are_not_trained():
    @rk.cell(states={"h": 2}, initial={"h": lambda batch: np.tile([1.0, 2.0], (batch, 1))})
    def starting(x, states, weights):
        (h,) = states
        h = 0.5 * h + x
        return h, h

    layer = built(rk.RNN(starting(), seed=1), None, None, 2)
    model = agrees(layer, drawn(2, 5, 2)).model
    assert not model.trainable_weights
    copy = rk.Model.from_config(model.get_config())
    assert not copy.trainable_weights


@pytest.mark.parametrize("make", [lambda: rk.RNN(rated(3)), lambda: rk.GRU(3)], ids=["a cell", "GRU"])
def test_gradients(make):
    with rk.eager():
        model = rk.Sequential([make(), rk.Dense(2)], dtype="float64", seed=1)
        model.build((None, None, 3))
    loaded = again(model).model
    assert rk.gradcheck(loaded, (2, 4, 3))


def test_a_layer_of_rnnkit_comes_back_as_itself():
    with rk.eager():
        model = rk.Sequential([rk.LSTM(3, return_sequences=True), rk.GRU(2), rk.Dense(1, "tanh")], seed=1)
        model.build((None, None, 5))
    back = again(model).model
    kinds = [type(layer).__name__ for layer in back.layers]
    assert [kind for kind in kinds if kind in ("LSTM", "GRU", "Dense", "Activation", "Operation", "RNN")] == kinds


def test_a_model_of_float32_stays_one_where_a_mean_is_computed_in_double():
    with rk.eager():
        model = rk.Sequential([rk.GRU(3, return_sequences=True), rk.GlobalAveragePooling1D()], seed=1)
        model.build((None, None, 5))
    assert {one.dtype for one in again(model).model.weights.values()} == {np.dtype("float32")}


def test_matrices_whose_axes_are_one_are_transposed():
    """Of h hᵀ both axes are the same units; so are those of a state that a matrix multiplies from both sides."""

    @rk.cell(states={"h": 3, "P": (3, 3)})
    def outer(x, states, weights):
        h, P = states
        F = np.array([[1.0, 0.5, 0.0], [0.0, 1.0, 0.5], [0.2, 0.0, 1.0]])
        h = 0.5 * h @ F + x
        P = 0.1 * F @ P @ F.T + h[:, :, None] * h[:, None, :] * F
        soft = rk.softmax(P, axis=1)
        return (P - P.transpose(0, 2, 1))[:, 0] + soft[:, 0] - soft[:, :, 1], [h, P]

    layer = built(rk.RNN(outer(), return_sequences=True, dtype="float64"), None, None, 3)
    agrees(layer, drawn(2, 5, 3, dtype="float64"))


# What was loaded is exported again

WHOLE = (4, 7, 5)  # batch, time, features
OF_LOADING = {
    "Reshape": ({"shape": [None, 2, 3]}, [(4, 7, 6)]),
    "Reshape to numbers": ({"shape": [None]}, [(4, 7, 1)]),
    "Transpose": ({"order": [1, 0]}, [(4, 2, 5)]),
    "Squeeze": ({"axes": [1]}, [(4, 7, 1)]),
    "Unsqueeze": ({"axes": [1]}, [WHOLE]),
    "Slice": ({"axis": 0, "start": 1, "stop": -1, "step": 2}, [WHOLE]),
    "Slice backwards": ({"axis": 0, "start": None, "stop": None, "step": -1}, [WHOLE]),
    "Slice of the last": ({"axis": 0, "start": -1, "stop": None, "step": 1}, [WHOLE]),
    "Concat": ({"axis": 0}, [WHOLE, WHOLE]),
    "Expand": ({"shape": [None, 3, 5]}, [(4, 1, 3, 1), WHOLE]),
    "Softmax": ({"axis": 0}, [WHOLE]),
    "Length": ({}, [WHOLE]),
    "Steps": ({}, [WHOLE]),
    "EachStep": ({}, [(4, 3), WHOLE]),
    "Until": ({}, [(4,), WHOLE]),
} | {f"Reduce{name}": ({"axes": [0]}, [WHOLE]) for name in ("Mean", "Sum", "Max", "Min", "L2", "LogSumExp")}


def of_arrays(name, dtype="float32"):
    """A layer of one operation, which is the first word of a name."""
    options, shapes = OF_LOADING[name]
    given = [[None if size == 7 else size for size in shape[1:]] for shape in shapes]
    instructions = [[name.partition(" ")[0], list(range(len(given))), options]]
    program = {"inputs": given, "instructions": instructions, "outputs": [len(given)]}
    return layers.ArrayOperation(program, dtype=dtype), given


@both_dtypes
@pytest.mark.parametrize("name", OF_LOADING)
def test_layers_of_loaded_models(name, dtype):
    """In ONNX Runtime, and once more loaded; each beside another output, so that not all is constant."""
    layer, given = of_arrays(name, dtype)
    arrays = [(drawn(*shape) + 2).astype(dtype) for shape in OF_LOADING[name][1]]
    with rk.eager():
        inputs = [rk.Input(tuple(shape), dtype=dtype) for shape in given]
        result = layer(inputs if len(inputs) > 1 else inputs[0])
        whole = rk.Lambda(lambda x: 2 * x, dtype=dtype)(inputs[-1])
        model = rk.Model(inputs if len(inputs) > 1 else inputs[0], [result, whole])
        expected = model(arrays if len(arrays) > 1 else arrays[0])
    same(Exported(model)(*arrays), expected)
    agrees(model, *arrays)


def test_a_loaded_loop_streams():
    """The last output of a loop is a state of it in the file, and the layer's output once more."""
    with rk.eager():
        model = rk.Sequential([rk.RNN(rated(3), return_sequences=True), rk.LSTM(2)], dtype="float64", seed=1)
        model.build((None, None, 3))
        back, x = again(model).model, drawn(2, 5, 3, dtype="float64")
        stream = back.stream(batch=2)
        last = [stream.step(x[:, t]) for t in range(5)][-1]
        same([last], model(x))


REFUSED = {
    "a third open axis": (lambda: rk.Dense(3), (None, None, None, 5), "open one in input 'x'"),
    "loops at each step": (lambda: rk.TimeDistributed(rk.GRU(2)), (None, None, None, 5), "open one in input 'x'"),
    "loops at each of known steps": (
        lambda: rk.TimeDistributed(rk.GRU(2)),
        (None, 3, 6, 5),
        "two|open one in input 'x'|expected the batch apart from features",
    ),
    "no features": (lambda: rk.RNN(rated(2)), (None, None, 0), "expected axes of 1 to 1,000,000 in 'x', got 0"),
    "an output without inputs": (
        lambda: rk.Lambda(lambda x: np.ones((x.shape[0], 2))),
        (None, 5),
        "depend on the inputs, got the constant 'y'",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name):
    make, shape, told = REFUSED[name]
    layer = built(make(), *shape)
    with pytest.raises(ValueError, match=told):
        again(layer)
