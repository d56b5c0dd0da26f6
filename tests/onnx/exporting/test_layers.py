"""Layers and models in ONNX Runtime: each alone, one behind the other, inside each other, with their masks."""

import numpy as np
import pytest
from onnx_runs import Exported, near

import rnnkit as rk
from rnnkit.activations import ACTIVATIONS
from rnnkit.layers.base import Layer
from rnnkit.onnx.exporting.call import written

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

both_dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


def drawn(*shape, dtype="float32", seed=3):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def compared(layer, *arrays, mask=None, **options):
    """The layer's result, as plain Python, and ONNX Runtime's, which has to be the same."""
    x = arrays[0] if len(arrays) == 1 else list(arrays)
    with rk.eager():
        layer.build(np.shape(x) if len(arrays) == 1 else [np.shape(one) for one in x])
        result = layer(x) if mask is None else layer(x, mask=mask)
    exported = Exported(layer, mask=mask is not None, **options)
    near(exported(*arrays, *([] if mask is None else [mask])), result)
    return exported


ALONE = {
    "Dense of rows": (lambda: rk.Dense(3, "softmax", seed=1), (4, 5)),
    "Dense of four axes": (lambda: rk.Dense(3, seed=1), (4, 7, 2, 5)),
    "Masking": (lambda: rk.Masking(0.5), (4, 7, 5)),
    "Reshape to what is left": (lambda: rk.Reshape((5, -1)), (4, 2, 5)),
    "GlobalAveragePooling1D kept": (lambda: rk.GlobalAveragePooling1D(keepdims=True), (4, 7, 5)),
    "TimeDistributed RNN": (lambda: rk.TimeDistributed(rk.GRU(3, return_state=True, seed=1)), (4, 3, 6, 5)),
    "Sequential": (lambda: rk.Sequential([rk.GRU(3, return_sequences=True), rk.Sequential([rk.Dense(2)])]), (4, 7, 5)),
}


@both_dtypes
@pytest.mark.parametrize("name", ALONE)
def test_a_layer_alone(name, dtype):
    make, shape = ALONE[name]
    x = drawn(*shape, dtype=dtype)
    x[1, 0] = 0.5  # what Masking masks
    compared(rk.Sequential([make()], dtype=dtype), x)


@both_dtypes
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation(name, dtype):
    x = np.concatenate([drawn(8, 6), 20 * drawn(8, 6), [[-200, -1, 0, 1, 80, 200]]]).astype(dtype)
    compared(rk.Activation(name, dtype=dtype), x)


@pytest.mark.parametrize(
    "kind", [rk.Add, rk.Average, rk.Multiply, rk.Maximum, rk.Minimum], ids=lambda kind: kind.__name__
)
def test_sizes_of_one_are_repeated(kind):
    shapes = [(4, 7, 5), (4, 7, 5), (4, 7, 1)]
    arrays = [drawn(*shape, seed=i) for i, shape in enumerate(shapes)]
    assert compared(kind(), *arrays).inputs == ["x_0", "x_1", "x_2"]


@pytest.mark.parametrize(
    "make",
    [
        lambda: rk.GlobalAveragePooling1D(),
        lambda: rk.Sequential(
            [rk.Masking(0.5), rk.LSTM(3, return_sequences=True), rk.GlobalAveragePooling1D()], seed=1
        ),
        lambda: rk.Sequential([rk.Dense(3), rk.Dropout(0.5), rk.GRU(3), rk.Dense(1)], seed=1),
        lambda: rk.Sequential([rk.GRU(3, return_sequences=True, go_backwards=True), rk.GRU(2)], seed=1),
        lambda: rk.Sequential([rk.TimeDistributed(rk.Dense(3)), rk.GRU(3)], seed=1),
        lambda: rk.Sequential([rk.Bidirectional(rk.GRU(3, return_sequences=True)), rk.SimpleRNN(3)], seed=1),
        lambda: rk.Sequential(
            [rk.Bidirectional(rk.GRU(3, return_sequences=True, go_backwards=True)), rk.SimpleRNN(3)], seed=1
        ),
        lambda: rk.Sequential([rk.GRU(3), rk.RepeatVector(4), rk.GRU(2)], seed=1),
    ],
)
def test_masks_go_from_layer_to_layer(make):
    x, mask = drawn(4, 7, 5), drawn(4, 7) > 0
    mask[2] = False
    x[1, 2] = 0.5
    compared(make(), x, mask=mask)


IDS = np.array([[3, 0, 2, 0], [0, 0, 0, 0], [1, 4, 4, 2]])


@both_dtypes
@pytest.mark.parametrize("zero", [False, True])
def test_ids(zero, dtype):
    embedding = rk.Embedding(5, 3, mask_zero=zero, dtype=dtype)
    layers = [embedding, rk.LSTM(4, return_sequences=True, dtype=dtype), rk.GlobalAveragePooling1D()]
    exported = compared(rk.Sequential(layers, seed=1), IDS)
    assert exported.session.get_inputs()[0].type == "tensor(int64)"
    assert ("LSTM" in exported.operators()) == (not zero and dtype == "float32")


@pytest.mark.parametrize("dtype", ["int64", "int8", "float32"])
def test_ids_are_int64_whatever_the_input_says(dtype):
    with rk.eager():
        ids = rk.Input((None,), dtype=dtype)
        model = rk.Model(ids, rk.GRU(2, seed=2)(rk.Embedding(5, 3, seed=1)(ids)))
        result = model(IDS)
    exported = Exported(model)
    assert exported.session.get_inputs()[0].type == "tensor(int64)"
    near(exported(IDS), result)


def test_integers_that_are_no_ids():
    with rk.eager():
        counts = rk.Input((None, 3), dtype="int32")
        model = rk.Model(counts, rk.GRU(2, seed=2)(counts))
        x = np.arange(24).reshape(2, 4, 3)
        result = model(x)
    exported = Exported(model)
    assert exported.session.get_inputs()[0].type == "tensor(int64)"
    near(exported(x), result)


def test_ids_in_time():
    model = rk.Sequential(
        [rk.TimeDistributed(rk.Sequential([rk.Embedding(5, 3, mask_zero=True), rk.GRU(2)])), rk.GRU(2)]
    )
    compared(model, np.stack([IDS, IDS[::-1]], axis=1))


def test_layers_of_both_dtypes():
    layers = [
        rk.GRU(3, return_sequences=True, dtype="float32"),
        rk.GRU(3, dtype="float64"),
        rk.Dense(1, dtype="float32"),
    ]
    compared(rk.Sequential(layers, seed=1), drawn(4, 7, 5))


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
        arrays = [drawn(3, 6, 3), drawn(3, 4, 2), IDS, (drawn(3, 6) > 0).astype("float32")]
        result = model(arrays)
    exported = Exported(model)
    assert exported.inputs == ["source", "target", "words", "used"]
    assert exported.outputs == model.output_names
    near(exported(*arrays), result)
    assert set(exported.operators()) >= {"LSTM", "Scan"}


def test_masks_of_chosen_inputs():
    with rk.eager():
        a, b = rk.Input((None, 3), name="a"), rk.Input((None, 3), name="b")
        merged = rk.Add()([rk.GRU(4, seed=1)(a), rk.GRU(4, seed=2)(b)])
        model = rk.Model([a, b], merged)
        x, mask = [drawn(3, 6, 3), drawn(3, 4, 3)], drawn(3, 4) > 0
        result = model(x, mask={"a": None, "b": mask})
    exported = Exported(model, mask=["b"])
    assert exported.inputs == ["a", "b", "b_mask"]
    near(exported(*x, mask), result)
    assert {"GRU", "Scan"} <= set(exported.operators())


def test_states_of_all_layers_of_a_model():
    """Of the shared layer for each of its calls, of the decoder's first ones none: they come from the encoder."""
    with rk.eager():
        model = functional()
    exported = Exported(model, states=True)
    named = [name for name in exported.inputs if "initial_state" in name]
    assert named == [
        "encoder/initial_state_0",
        "encoder/initial_state_1",
        "gru/initial_state_0",
        "gru/initial_state_0_1",
    ]
    arrays = [drawn(3, 6, 3), drawn(3, 4, 2), IDS, np.ones((3, 6), "float32")]
    got = exported(*arrays, *[np.zeros((3, 4), "float32")] * 4)
    with rk.eager():
        near(got[:3], model(arrays))
    assert {"encoder/state_0", "decoder/state_1", "gru/state_0_1"} <= set(exported.outputs)


def test_states_between_calls_of_a_sequential():
    with rk.eager():
        model = rk.Sequential([rk.GRU(3, return_sequences=True, stateful=True), rk.GRU(2, stateful=True)], seed=1)
        x = drawn(2, 8, 5)
        model(x[:, :3])
        result = model(x[:, 3:])
    exported = Exported(model)
    assert exported.inputs == ["x", "0/initial_state_0", "1/initial_state_0"]
    assert exported.outputs == ["y", "0/state_0", "1/state_0"]
    _, *states = exported(x[:, :3], np.zeros((2, 3), "float32"), np.zeros((2, 2), "float32"))
    near(exported(x[:, 3:], *states)[:1], result)


def test_states_and_pairs_as_outputs():
    last = rk.Bidirectional(rk.LSTM(3, return_state=True), merge_mode=None)
    model = rk.Sequential([rk.Dense(4), last], seed=1)
    exported = compared(model, drawn(2, 6, 5))
    assert exported.outputs == ["y_forward", "y_backward", "state_0", "state_1", "state_2", "state_3"]


def test_layers_at_each_step_have_no_states_outside():
    model = rk.TimeDistributed(rk.GRU(3, stateful=False, seed=1))
    exported = compared(model, drawn(4, 3, 6, 5), states=True)
    assert exported.inputs == ["x"] and exported.outputs == ["y"]


@pytest.mark.parametrize("kind", [rk.Add, rk.Concatenate])
@pytest.mark.parametrize("both", [False, True])
def test_masks_of_branches(kind, both):
    """A sum without one mask has none; arrays side by side use what any of them uses, one without a mask all."""
    with rk.eager():
        a, b = rk.Input((None, 3)), rk.Input((None, 3))
        second = rk.Masking()(b) if both else b
        model = rk.Model([a, b], rk.GRU(4, seed=1)(kind()([rk.Masking()(a), second])))
        x = [drawn(3, 6, 3, seed=1), drawn(3, 6, 3, seed=2)]
        for one, step in ((x[0], 2), (x[1], 2), (x[1], 5), (x[0], 3)):
            one[1, step] = 0
        result = model(x)
    near(Exported(model)(*x), result)


def test_the_weights_of_a_layer_that_is_called_twice_stand_once():
    with rk.eager():
        a, b = rk.Input((None, 30)), rk.Input((None, 30))
        shared = rk.GRU(20, seed=1)
        model = rk.Model([a, b], rk.Add()([shared(a), shared(b)]))
    graph = Exported(model).model.graph
    assert sum(np.prod(one.dims) for one in graph.initializer) < 1.05 * model.count_params()


def test_an_input_of_fixed_size():
    with rk.eager():
        x = rk.Input((6, 3), batch_size=2)
        model = rk.Model(x, rk.Dense(2, seed=2)(rk.Flatten()(rk.GRU(4, return_sequences=True, seed=1)(x))))
        result = model(drawn(2, 6, 3))
    near(Exported(model)(drawn(2, 6, 3)), result)


def test_joined_in_time():
    with rk.eager():
        a, b = rk.Input((None, 3)), rk.Input((None, 3))
        model = rk.Model([a, b], rk.GRU(4, seed=1)(rk.Concatenate(axis=1)([rk.Masking()(a), b])))
        x = [drawn(3, 6, 3), drawn(3, 4, 3)]
        x[0][1, 2] = 0
        result = model(x)
    near(Exported(model)(*x), result)


def test_layers_of_rnnkit_are_all_exported():
    """A layer that is new needs a form in ONNX, or a place among those that have none."""
    kinds = [kind for kind in vars(rk).values() if isinstance(kind, type) and issubclass(kind, Layer)]
    unwritten = [kind for kind in kinds if written.dispatch(kind) is written.dispatch(object)]
    assert len(kinds) > 20 and not unwritten


def test_an_ensemble_has_its_members_side_by_side():
    x = drawn(2, 5, 3)
    for layer in (rk.GRU(4, return_sequences=True, seed=0), rk.Sequential([rk.LSTM(3), rk.Dense(2)], seed=1)):
        many = layer.ensemble(3)
        result = many(x)
        near(Exported(many)(x), result)
