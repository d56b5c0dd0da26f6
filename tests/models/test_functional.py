"""Models made by symbolic calls: what they compute, their gradients, copies, names, drawings and errors."""

import copy
import json
import pickle
import xml.etree.ElementTree

import numpy as np
import pytest
from matrix import same_bits

import rnnkit as rk

DOUBLE = "float64"
RNG = np.random.default_rng(3)
X, Z = RNG.normal(size=(2, 5, 3)), RNG.normal(size=(2, 6, 3))
IDS = np.array([[3, 1, 4, 0, 0], [2, 2, 0, 0, 0]])


def sequences(name=None):
    return rk.Input((None, 3), dtype=DOUBLE, name=name)


def gru(**more):
    return rk.GRU(4, **{"seed": 1, "return_sequences": True} | more)


def lstm(**more):
    return rk.LSTM(4, **{"seed": 2} | more)


def encoder_decoder():
    source, target = sequences("source"), sequences("target")
    _, h, c = lstm(return_state=True, name="encoder")(source)
    y = lstm(return_sequences=True, name="decoder", seed=3)(target, initial_state=[h, c])
    return rk.Model([source, target], rk.Dense(2, seed=4)(y))


def siamese():
    first, second = sequences(), sequences()
    shared, pooled = gru(), rk.GlobalAveragePooling1D()
    a, b = pooled(shared(first)), pooled(shared(second))
    return rk.Model([first, second], [rk.Dense(2, seed=5)(a - b), a * b])


def from_both_ends():
    source, target = sequences(), sequences()
    _, forward, backward = rk.Bidirectional(rk.GRU(4, return_state=True), seed=8)(source)
    start = rk.Average()([forward, backward])
    return rk.Model([source, target], gru()(target, initial_state=start))


def masked():
    ids = rk.Input((None,), dtype="int32")
    x = rk.Embedding(6, 3, mask_zero=True, dtype=DOUBLE, seed=6)(ids)
    return rk.Model(ids, rk.Dense(2, seed=7)(gru(return_sequences=False)(x)))


@rk.cell(states={"h": 4})
def drawn_to(x, states, weights, constants):
    (h,), (goal,) = states, constants
    h = np.tanh(0.5 * h + goal + x[:, :1])
    return h, (h,)


def with_constants():
    x, other = sequences(), rk.Input((4,), dtype=DOUBLE)
    return rk.Model([x, other], rk.RNN(drawn_to(), return_sequences=True)(x, constants=[other * other]))


MODELS = {
    "encoder_decoder": (encoder_decoder, [X, Z]),
    "siamese": (siamese, [X, Z]),
    "from_both_ends": (from_both_ends, [X, Z]),
    "masked": (masked, IDS),
    "with_constants": (with_constants, [X, X[:, 0, [0, 1, 2, 0]]]),
}


def same(first, second):
    assert type(first) is type(second)
    np.testing.assert_equal(first, second)


def ones(outputs):
    return [ones(one) for one in outputs] if isinstance(outputs, (list, tuple)) else np.ones_like(outputs)


def same_gradient(first, second):
    assert list(first.weights) == list(second.weights)
    for name, array in first.weights.items():
        same(np.asarray(array), np.asarray(second.weights[name]))
    np.testing.assert_equal(first.x, second.x)


# What a model computes


@rk.cell(states={"h": 2}, weights={"kernel": rk.Weight(("features", 2))})
def beside_memory(x, states, weights, *, constants):
    h, (memory,) = np.tanh(states[0] + x @ weights.kernel), constants
    return np.concatenate([h, memory.sum(axis=-1)], axis=-1), h


@pytest.mark.parametrize("both", [False, True], ids=["RNN", "Bidirectional"])
def test_X12_constants_decide_how_large_an_output_is(both):
    layer = rk.RNN(beside_memory(), return_sequences=True, seed=1)
    layer = rk.Bidirectional(layer, seed=1) if both else layer
    x, memory = sequences(), rk.Input((6, 3), dtype=DOUBLE)
    y = layer(x, constants=[memory])
    size = 16 if both else 8
    assert y.shape == (None, None, size)
    model = rk.Model([x, memory], rk.Dense(1)(y), seed=0)
    assert model([X, Z]).shape == (2, 5, 1)
    model.compile("sgd", "mse")
    model.fit([X, Z], np.zeros((2, 5, 1)))
    assert copy.deepcopy(model)([X, Z]).shape == (2, 5, 1)
    assert tuple(layer.compute_output_shape(X.shape)) == layer(X, constants=[Z]).shape == (2, 5, size)
    twin = rk.Model.from_config(model.get_config())
    twin.set_weights(model.get_weights())
    same(twin([X, Z]), model([X, Z]))


def test_S6_computed_shape_with_constants_is_that_of_a_call():
    layer = rk.RNN(beside_memory())
    assert layer.compute_output_shape(X.shape) == (2, 2)  # what the cell declares
    for memory in (Z, Z[:, :4]):
        assert layer(X, constants=[memory]).shape == layer.compute_output_shape(X.shape) == (2, 2 + memory.shape[1])


def test_X12_an_encoder_and_decoder_are_the_calls_of_their_layers():
    model = encoder_decoder()
    encoder, decoder, dense = model.layers
    (_, h, c), encoded = encoder.vjp(X)
    steps, decoded = decoder.vjp(Z, initial_state=[h, c])
    expected, last = dense.vjp(steps)
    outputs, pullback = model.vjp([X, Z])
    same(outputs, expected)
    same(model([X, Z]), expected)
    d = RNG.normal(size=outputs.shape)
    found, of_dense = pullback(d), last(d)
    of_decoder = decoded(of_dense.x)
    of_encoder = encoded([None, *of_decoder.initial_state])
    same(found.x[0], of_encoder.x)
    same(found.x[1], of_decoder.x)
    for path, one in (("encoder", of_encoder), ("decoder", of_decoder), ("dense", of_dense)):
        for name, array in one.weights.items():
            same(found.weights[f"{path}/{name}"], array)
    assert list(found.weights) == list(model.weights)


def test_a_shared_layer_has_one_set_of_weights_whose_gradients_add_up():
    model = siamese()
    assert list(model.weights) == ["gru/kernel", "gru/recurrent_kernel", "gru/bias", "dense/kernel", "dense/bias"]
    outputs, pullback = model.vjp([X, Z])
    found = pullback([None, np.ones_like(outputs[1])])
    shared, pooled = model.layers[:2]
    (first, back_1), (second, back_2) = shared.vjp(X), shared.vjp(Z)
    (a, pool_1), (b, pool_2) = pooled.vjp(first), pooled.vjp(second)
    same(outputs[1], a * b)
    one, two = back_1(pool_1(b).x), back_2(pool_2(a).x)
    np.testing.assert_allclose(found.x[0], one.x, rtol=1e-12)
    for name in shared.weights:
        np.testing.assert_allclose(found.weights[f"gru/{name}"], one.weights[name] + two.weights[name], rtol=1e-12)
    assert not found.weights["dense/kernel"].any()


def test_a_shared_table_has_the_gradient_of_all_rows_that_were_read():
    first, second = (rk.Input((None,), dtype="int32") for _ in range(2))
    table = rk.Embedding(6, 2, dtype=DOUBLE, seed=6)
    model = rk.Model([first, second], [table(first), rk.Concatenate(axis=1)([table(first), table(second)])])
    given = [IDS, IDS[:, :3]]
    outputs, pullback = model.vjp(given)
    d = [RNG.normal(size=one.shape) for one in outputs]
    found = pullback(d).weights["embedding/embeddings"]
    assert isinstance(found, rk.RowGradient) and found.ids.tolist() == [0, 1, 2, 3, 4]
    expected = np.zeros((6, 2))
    np.add.at(expected, IDS, d[0] + d[1][:, :5])
    np.add.at(expected, IDS[:, :3], d[1][:, 5:])
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)
    assert pullback(d).x == [None, None]


@pytest.mark.parametrize("which", MODELS)
def test_gradients_are_slopes(which):
    make, x = MODELS[which]
    check = rk.gradcheck(make(), x)
    assert check, check
    inputs = [a.name for a in check.arrays if a.name.startswith("x")]
    assert inputs == (["x[0]", "x[1]"] if isinstance(x, list) else [])


def test_the_same_bits_every_time():
    model = siamese()
    outputs, pullback = model.vjp([X, Z])
    same_gradient(pullback(ones(outputs)), pullback(ones(outputs)))
    same_gradient(pullback(ones(outputs)), model.vjp([X, Z])[1](ones(outputs)))


def test_masks_pass_on_as_in_a_sequential():
    model = masked()
    sequential = rk.Sequential(model.layers)
    same(model(IDS), sequential(IDS))
    (outputs, pullback), (_, other) = model.vjp(IDS), sequential.vjp(IDS)
    found, expected = pullback(ones(outputs)), other(ones(outputs))
    assert found.x is None
    for name, array in zip(found.weights, expected.weights.values(), strict=True):
        same(np.asarray(found.weights[name]), np.asarray(array))
    embedding, recurrent, _ = model.layers
    same(model(IDS), model.layers[2](recurrent(embedding(IDS), mask=IDS != 0)))


def test_a_mask_may_be_an_input_and_reaches_what_follows():
    x, mask = sequences(), rk.Input((None,), dtype="bool", name="used")
    model = rk.Model([x, mask], gru()(x, mask=mask))
    used = np.array([[1, 1, 0, 1, 0], [1, 0, 0, 1, 1]], bool)
    holes = np.where(used[:, :, None], X, np.nan)
    same(model([holes, used]), model.layers[0](X, mask=used))
    same(model.compute_mask([X, used]), used)
    gradient = model.vjp([holes, used])[1](np.ones((2, 5, 4)))
    assert gradient.x[1] is None and np.isfinite(gradient.x[0]).all()


def test_a_mask_given_to_the_call_enters_with_its_input():
    x = sequences()
    model = rk.Model(x, gru()(rk.Dropout(0.5)(x)))
    mask = [[1, 1, 0, 0, 0], [1, 1, 1, 1, 0]]
    same(model(X, mask=mask), model.layers[1](X, mask=mask))


def test_training_is_the_models_unless_a_call_said_otherwise():
    x = rk.Input((3,), dtype=DOUBLE)
    always, never, as_said = rk.Dropout(0.5, seed=0), rk.Dropout(0.5, seed=0), rk.Dropout(0.5, seed=0)
    model = rk.Model(x, [always(x, training=True), never(x, training=False), as_said(x)])
    rows = np.ones((50, 3))
    first, second, third = model(rows)
    assert (first == 0).any() and (second == 1).all() and (third == 1).all()
    first, second, third = rk.Model.from_config(model.get_config())(rows, training=True)
    assert (second == 1).all()
    same(first, third)


def test_what_comes_by_name():
    model = encoder_decoder()
    same(model({"target": Z, "source": X}), model([X, Z]))
    gradient = model.vjp({"target": Z, "source": X})[1](np.ones((2, 6, 2)))
    assert {name: array.shape for name, array in gradient.x.items()} == {"target": Z.shape, "source": X.shape}
    assert model.input_names == ["source", "target"] and model.output_names == ["dense"]


def test_weights_alone_of_trained_layers():
    model = encoder_decoder()
    outputs, pullback = model.vjp([X, Z])
    d = ones([outputs])
    whole = pullback(d[0])
    same_weights = pullback.pull_weights(d)
    assert same_weights.x == [None, None]
    for name, array in whole.weights.items():
        same(same_weights.weights[name], array)
    model.get_layer("encoder").trainable = model.get_layer("decoder").trainable = False
    assert list(pullback.pull_weights(d).weights) == ["dense/kernel", "dense/bias"]


# Keras's example, and models in models


class MinimalRNNCell(rk.Cell):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.state_size = units

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], self.units), initializer="uniform", name="kernel")
        self.recurrent_kernel = self.add_weight(
            shape=(self.units, self.units), initializer="uniform", name="recurrent_kernel"
        )
        self.built = True

    def call(self, inputs, states):
        prev_output = states[0]
        h = np.matmul(inputs, self.kernel)
        output = h + np.matmul(prev_output, self.recurrent_kernel)
        return output, [output]


def test_keras_documentation_example():
    with rk.eager():
        cell = MinimalRNNCell(32)
        x = rk.Input((None, 5))
        layer = rk.RNN(cell)
        y = layer(x)
        assert y.shape == (None, 32) and y.dtype == np.float32

        cells = [MinimalRNNCell(32), MinimalRNNCell(64)]
        x = rk.Input((None, 5))
        layer = rk.RNN(cells)
        y = layer(x)
        assert y.shape == (None, 64)
        assert rk.Model(x, y)(np.zeros((2, 4, 5))).shape == (2, 64)


def test_models_inside_models():
    with rk.eager():
        x = sequences()
        inner = rk.Model(x, [gru()(x), rk.Reshape((-1,))(rk.Dropout(0.1)(x))], name="inner")
        outside = rk.Input((5, 3), dtype=DOUBLE)
        steps, row = inner(outside)
        outer = rk.Model(outside, [rk.Sequential([rk.GlobalAveragePooling1D()])(steps), row])
        assert steps.shape == (None, 5, 4) and row.shape == (None, 15)
        same(outer(X)[0], inner(X)[0].mean(axis=1))
        same(outer(X)[1], X.reshape(2, 15))
        assert list(outer.weights) == [f"inner/gru/{name}" for name in ("kernel", "recurrent_kernel", "bias")]
        pair = rk.Input((5, 3), dtype=DOUBLE), rk.Input((5, 3), dtype=DOUBLE)
        both = rk.Model(pair, pair[0] - pair[1])
        whole = rk.Model(outside, both([outside, rk.Masking()(outside)]))
        same(whole(X), X - X)
        wrapped = rk.Sequential([rk.Dropout(0.1), rk.Model(outside, rk.Flatten()(outside)), rk.Reshape((3, 5))])
        same(wrapped(X), X.reshape(2, 3, 5))
        row = rk.Input((3,), dtype=DOUBLE)
        each = rk.TimeDistributed(rk.Model(row, rk.RepeatVector(2)(row)))
        same(each(X), np.repeat(X[:, :, None], 2, axis=2))
        assert each(outside).shape == (None, 5, 2, 3)


def test_a_sequential_that_begins_with_an_input_is_built():
    model = rk.Sequential([rk.Input((5, 3), dtype=DOUBLE), rk.Dropout(0.1)], seed=1)
    model.add(rk.Flatten())
    assert model.built and model.layers[1].built
    again = rk.Sequential.from_config(json.loads(json.dumps(model.get_config())))
    for one in (model, again, pickle.loads(pickle.dumps(model))):
        assert one.compute_output_shape((None, 5, 3)) == (None, 15)
        same(one(X), X.reshape(2, 15))
    with pytest.raises(ValueError, match="batch, time"):
        model.add(rk.GlobalAveragePooling1D())
    assert len(model.layers) == 2
    same(model(X), X.reshape(2, 15))
    with pytest.raises(ValueError, match="before all layers"):
        model.add(rk.Input((3,)))
    with rk.eager():
        later, now = (rk.Sequential([*first, gru(seed=None)], seed=1) for first in ([], [sequences()]))
        same(later(X), now(X))


def test_gradients_pass_through_models_in_models():
    row = rk.Input((3,), dtype=DOUBLE)
    inner = rk.Model(row, [row * row, row + row])
    a, b = inner(row)
    model = rk.Model(row, rk.Sequential([rk.Flatten()])(a - b))
    gradient = model.vjp(X[:, 0])[1](np.ones((2, 3)))
    np.testing.assert_allclose(gradient.x, 2 * X[:, 0] - 2, rtol=1e-12)
    assert rk.gradcheck(model)


def test_a_model_goes_on_from_another():
    model = pickle.loads(pickle.dumps(encoder_decoder()))
    longer = rk.Model(model.inputs, rk.Flatten()(rk.Reshape((6, 2))(model.outputs[0])))
    same(longer([X, Z]), model([X, Z]).reshape(2, 12))
    chain = rk.Sequential([rk.GRU(3, return_sequences=True), rk.GRU(2, return_state=True)], seed=0)
    with pytest.raises(AttributeError, match="to be built"):
        chain.inputs
    expected = chain(X)
    for one in (chain, copy.deepcopy(chain)):
        same(rk.Model(one.inputs, rk.Reshape((1, 2))(one.outputs[1]))(X), expected[1][:, None])
    inside = rk.Sequential([rk.Masking(), rk.Dropout(0.5)])
    x = sequences()
    assert inside(x).shape == (None, None, 3)


# Copies


@pytest.mark.parametrize("which", MODELS)
def test_configurations_and_copies(which, tmp_path):
    make, x = MODELS[which]
    model = make()
    again = rk.Model.from_config(json.loads(json.dumps(model.get_config())))
    assert list(again.weights) == list(model.weights) and again.get_config() == model.get_config()
    model.save_weights(tmp_path / "weights.npz")
    again.load_weights(tmp_path / "weights.npz")
    with rk.eager():
        expected = model(x)
        for one in (again, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            same(one(x), expected)
            assert len(one.layers) == len(model.layers)


def test_a_long_chain_can_be_copied():
    x = y = rk.Input((3,), dtype=DOUBLE)
    for _ in range(400):
        y = rk.Reshape((3,))(y)
    model = pickle.loads(pickle.dumps(rk.Model(x, y)))
    same(copy.deepcopy(model)(X[:, 0]), X[:, 0])
    assert model.outputs[0].name == "reshape"
    assert list(model._parts())[:3] == ["reshape", "reshape_1", "reshape_2"]


# States and failures


def test_states_stay_between_calls():
    with rk.eager():
        x = sequences()
        model = rk.Model(x, gru(stateful=True)(x))
        whole = model.layers[0](X)
        model.reset_states()
        assert model.stateful
        same(np.concatenate([model(X[:, :2]), model(X[:, 2:])], axis=1), whole)
        assert model.compute_mask(X) is None
        before = model.layers[0].states
        with pytest.raises(ValueError, match="2 rows"):
            model(X[:1])
        same(model.layers[0].states, before)
        model.reset_states(rows=[0])
        assert not model.layers[0].states[0][0].any() and model.layers[0].states[0][1].any()


def test_a_call_that_fails_changes_no_state():
    class Failing(rk.Sequential):
        def _with_mask(self, *arguments):
            raise RuntimeError("no")

    with rk.eager():
        x = sequences()
        model = rk.Model(x, Failing([rk.Flatten()])(gru(stateful=True)(rk.Reshape((5, 3))(x))))
        with pytest.raises(RuntimeError):
            model(X)
        assert model.layers[1].states is None


def test_the_gradient_of_kept_states():
    x = sequences()
    layer = gru(stateful=True)
    model = rk.Model(x, layer(x))
    model(X)
    expected = layer.states
    outputs, pullback = model.vjp(X)
    found = pullback(ones(outputs)).initial_state
    layer.reset_states(expected)
    _, other = layer.vjp(X)
    np.testing.assert_equal(found, [other(ones(outputs)).initial_state])


# Names, shapes, faces


def test_an_input_may_have_its_batch_in_its_shape():
    x = rk.Input(batch_shape=(4, None, 3), dtype=DOUBLE)
    assert x.shape == rk.Input((None, 3), batch_size=4, dtype=DOUBLE).shape == (4, None, 3)
    model = rk.Model(x, rk.Flatten()(rk.GlobalAveragePooling1D()(x)))
    assert rk.Model.from_config(model.get_config()).get_config() == model.get_config()


def test_names():
    x = rk.Input((3,))
    a, b = rk.Flatten(), rk.Flatten()
    model = rk.Model([x, other := rk.Input((3,))], [b(a(x)), rk.Flatten(name="flatten_1")(other), a(other)])
    assert list(model._parts()) == ["flatten", "flatten_2", "flatten_1"]
    assert model.input_names == ["input", "input_1"]
    assert model.output_names == ["flatten_2", "flatten_1", "flatten"]
    assert model.get_layer("flatten_2") is b and model.get_layer(index=0) is a
    with pytest.raises(ValueError, match="flatten, flatten_2, flatten_1"):
        model.get_layer("dense")
    with pytest.raises(ValueError, match="'same' twice"):
        rk.Model(x, rk.Flatten(name="same")(rk.Flatten(name="same")(x)))
    with pytest.raises(ValueError, match="without '/'"):
        rk.Model(x, rk.Flatten(name="a/b")(x))


@pytest.mark.parametrize("which", MODELS)
def test_symbolic_shapes_are_those_of_calls(which):
    make, x = MODELS[which]
    model = make()
    with rk.eager():
        outputs = model(x)
    several = outputs if isinstance(outputs, list) else [outputs]
    for tensor, array in zip(model.outputs, several, strict=True):
        assert [n or m for n, m in zip(tensor.shape, array.shape, strict=True)] == list(array.shape)
        assert tensor.dtype == array.dtype
    shapes = [one.shape for one in x] if isinstance(x, list) else x.shape
    assert model.compute_output_shape(shapes) == (
        [one.shape for one in several] if isinstance(outputs, list) else outputs.shape
    )


def test_nested_states_come_as_nested_tensors():
    with rk.eager():
        y, (h, c), s = rk.RNN([rk.LSTMCell(2), rk.GRUCell(4)], return_state=True)(sequences())
        assert (y.shape, h.shape, c.shape, s.shape) == ((None, 4), (None, 2), (None, 2), (None, 4))


def test_the_drawing_shows_every_layer_and_arrow():
    model = encoder_decoder()
    root = xml.etree.ElementTree.fromstring(model._drawing())
    texts = ["".join(one.itertext()) for one in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"source", "target", "encoder", "decoder", "dense", "initial_state"} <= set(texts)
    boxes = [
        tuple(float(one.get(k)) for k in ("x", "y", "width", "height"))
        for one in root.iter("{http://www.w3.org/2000/svg}rect")
    ]
    assert len(boxes) == 5
    for i, (x, y, width, height) in enumerate(boxes):
        for x2, y2, width2, height2 in boxes[:i]:
            assert x + width < x2 or x2 + width2 < x or y + height < y2 or y2 + height2 < y
    lines = [one for one in root.iter("{http://www.w3.org/2000/svg}path") if one.get("marker-end")]
    assert len(lines) == 4 and sum(one.get("stroke-dasharray") is not None for one in lines) == 1
    summary = model.summary()
    assert "<svg" in summary._repr_html_() and "<svg" in model._repr_html_()
    assert "initial_state=encoder:1, encoder:2" in summary and f"{model.count_params():,}" in summary
    assert "<svg" in rk.Sequential([rk.Flatten()])._repr_html_()


# Errors


def branches():
    return sequences(), rk.Input((4,), dtype=DOUBLE)


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        (lambda x, r: rk.GRU(4)(r), ValueError, "batch, time"),
        (lambda x, r: gru()(x, initial_state=rk.Input((5,))), ValueError, "initial_state of shape"),
        (lambda x, r: gru()(x, initial_state=[r, r]), ValueError, "1 entry"),
        (lambda x, r: gru()(x, constants=[r]), ValueError, "no constants"),
        (lambda x, r: gru()(x, mask=r), ValueError, None),
        (lambda x, r: gru()(x, mask=rk.Input((None, 2))), ValueError, "mask of shape"),
        (lambda x, r: gru()(x, initial_state=np.zeros((2, 4))), TypeError, "rk.Input"),
        (lambda x, r: gru()(x, nonsense=r), TypeError, "nonsense"),
        (lambda x, r: rk.Concatenate()([x, r]), ValueError, "same rank"),
        (lambda x, r: rk.Add()([r, rk.Input((5,))]), ValueError, "same shape"),
        (lambda x, r: rk.Add()(r), TypeError, "list of arrays"),
        (lambda x, r: rk.Subtract()([r, r, r]), ValueError, "two arrays"),
        (lambda x, r: rk.Reshape((3, 3))(r), ValueError, "as many numbers"),
        (lambda x, r: np.concatenate([r, r]), ValueError, "batch axis"),
        (lambda x, r: r + object(), TypeError, "object"),
        (lambda x, r: np.asarray(r), TypeError, "call a Model"),
        (lambda x, r: list(gru()(x)), TypeError, "return_state"),
        (lambda x, r: rk.Model(x, x), ValueError, "layers give"),
        (lambda x, r: rk.Model(x, rk.Flatten()(r)), ValueError, "'input' of shape"),
        (lambda x, r: rk.Model([x, r], rk.Flatten()(r)), UserWarning, "'input' leads to none"),
        (lambda x, r: rk.Model([r, r], rk.Flatten()(r)), ValueError, "twice"),
        (lambda x, r: rk.Model(r, []), ValueError, "at least one"),
        (lambda x, r: rk.Model(r, np.ones(3)), TypeError, "ndarray"),
        (lambda x, r: rk.Input(3), ValueError, "shape"),
        (lambda x, r: rk.Input(batch_shape=()), ValueError, "with the batch axis"),
        (lambda x, r: rk.Input((3,), batch_shape=(2, 3)), ValueError, "got both"),
        (lambda x, r: rk.Input((3,), dtype="float16"), TypeError, "float16"),
    ],
)
def test_errors_at_the_symbolic_call(wrong, error, words):
    if words is None:
        with rk.eager():  # a mask (B, 4) of steps that may be 4 is none
            assert wrong(*branches()).shape == (None, None, 4)
        return
    with rk.eager(), pytest.raises(error, match=words):
        wrong(*branches())


def test_a_layer_that_refused_a_symbolic_call_is_not_built():
    with rk.eager():
        layer = gru()
        with pytest.raises(ValueError):
            layer(sequences(), initial_state=rk.Input((5,)))
        assert not layer.built


@pytest.mark.parametrize(
    ("inputs", "error", "words"),
    [
        ([X, Z[:1]], ValueError, "one batch size, got 'source' 2, 'target' 1"),
        ([X], ValueError, "list of 2"),
        (X[0, 0, 0], ValueError, "list of 2"),
        ([X, Z[..., :2]], ValueError, "'target' of shape"),
        ([X, Z[0]], ValueError, "'target' of shape"),
        ({"source": X}, TypeError, "'target'"),
        ({"source": X, "targets": Z}, ValueError, "source, target"),
    ],
)
def test_errors_of_a_call(inputs, error, words):
    with rk.eager(), pytest.raises(error, match=words):
        encoder_decoder()(inputs)


def test_keras_agrees(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras")
    model = encoder_decoder()
    source, target = keras.Input((None, 3)), keras.Input((None, 3))
    _, h, c = keras.layers.LSTM(4, return_state=True)(source)
    y = keras.layers.LSTM(4, return_sequences=True)(target, initial_state=[h, c])
    peer = keras.Model([source, target], keras.layers.Dense(2)(y))
    peer.set_weights(model.get_weights())
    np.testing.assert_allclose(model([X, Z]), np.asarray(peer([X, Z])), atol=1e-6)


# Training


def test_several_outputs_are_trained_each_by_its_loss():
    first, second = rk.Input((3,), dtype=DOUBLE, name="first"), rk.Input((3,), dtype=DOUBLE, name="second")
    shared = rk.Dense(2, seed=5)
    sums = rk.Add(name="sums")([shared(first), shared(second)])
    model = rk.Model([first, second], [sums, rk.Subtract(name="less")([shared(first), shared(second)])])
    rows = RNG.normal(size=(2, 30, 3))
    kernel = RNG.normal(size=(3, 2))
    a, b = rows @ kernel
    model.compile(rk.optimizers.Adam(0.05), {"sums": "mse", "less": "mae"}, loss_weights={"sums": 1.0, "less": 0.5})
    given = {"second": rows[1], "first": rows[0]}
    history = model.fit(given, {"sums": a + b, "less": a - b}, epochs=60, batch_size=10, verbose=0).history
    assert {"loss", "sums_loss", "less_loss"} <= set(history)
    assert history["loss"][-1] < 0.1 * history["loss"][0]
    np.testing.assert_allclose(shared.weights["kernel"], kernel, atol=0.1)
    found = model.evaluate(list(rows), [a + b, a - b], verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(found["sums_loss"] + 0.5 * found["less_loss"])
    for one, array in zip(model.predict(given, batch_size=7), model(list(rows)), strict=True):
        same(one, array)


def test_what_is_not_finite_is_named():
    x = rk.Input((3,), dtype=DOUBLE, name="row")
    model = rk.Model(x, rk.Dense(2, seed=5)(rk.Lambda(np.log, name="logarithm")(x)))
    model.compile("sgd", "mse")
    before = model.get_weights()
    with pytest.raises(FloatingPointError, match="logarithm"), np.errstate(all="ignore"):
        model.fit(np.zeros((4, 3)), np.zeros((4, 2)), verbose=0)
    for one, other in zip(before, model.get_weights(), strict=True):
        same(one, other)


def unseeded():
    """Each public layer of one input that has weights, called on one of another, without seeds."""
    x = rk.Input((5, 3))
    steps = [
        rk.Dense(3), rk.GRU(3, return_sequences=True), rk.Bidirectional(rk.LSTM(2, return_sequences=True)),
        rk.TimeDistributed(rk.Dense(3)), rk.RNN([rk.GRUCell(2), rk.LSTMCell(3)], return_sequences=True),
        rk.Conv1D(3, 2),
        rk.LayerNormalization(gamma_initializer="random_normal"), rk.Sequential([rk.Dense(3), rk.Dropout(0.5)]),
        rk.PReLU("random_normal"), rk.Dropout(0.5),
    ]  # fmt: skip
    y = x
    for one in steps:
        y = one(y)
    return x, y, steps


def test_P2_the_seed_of_a_model_draws_layers_without_their_own():
    models = [rk.Model(*unseeded()[:2], seed=seed) for seed in (0, 0, 1)]
    same_bits(models[0].get_weights(), models[1].get_weights())
    data = np.random.default_rng(0).normal(size=(2, 5, 3))
    same_bits([models[0](data, training=True)], [models[1](data, training=True)])
    for name, array in models[0].weights.items():
        zeros = not array.any() or np.all(array == 1) or name.endswith("bias")
        assert zeros or not np.array_equal(array, models[2].weights[name]), name
    x, steps = rk.Input((None, 3)), [rk.GRU(4, return_sequences=True), rk.Dense(2)]
    chain = rk.Model(x, steps[1](steps[0](x)), seed=3)
    other = rk.Sequential([rk.GRU(4, return_sequences=True), rk.Dense(2)], seed=3)
    other.build((None, None, 3))
    same_bits(chain.get_weights(), other.get_weights())


def test_P2_a_model_leaves_weights_that_were_set_or_are_another_models():
    x = rk.Input((None, 3))
    layer, trained, own = rk.GRU(4, return_sequences=True), rk.Dense(2), rk.Dense(2, seed=5)
    steps = layer(x)
    first = rk.Model(x, steps)
    y = trained(steps)
    trained.set_weights([0.5 * one for one in trained.get_weights()])
    z = own(y)
    before = [one.get_weights() for one in (layer, trained, own)]
    rk.Model(first.inputs, first.outputs, seed=0)
    rk.Model(x, z, seed=0)
    for one, weights in zip((layer, trained, own), before, strict=True):
        same_bits(one.get_weights(), weights)


def test_inputs_in_lists_and_outputs_in_dicts_nest_in_fits_models_and_ensembles(rng):
    i, j, k = rk.Input((1,)), rk.Input((2,)), rk.Input((3,))
    outputs = {"b": (rk.Dense(2)(j), rk.Dense(3)(k)), "a": [rk.Dense(1)(i)]}
    model = rk.Model([[i, j], k], outputs, seed=0)
    flat = [rng.standard_normal((8, size)).astype("float32") for size in (1, 2, 3)]
    x, y = [flat[:2], flat[2]], {"b": (flat[1], flat[2]), "a": flat[:1]}
    result, pullback = model.vjp(x)
    d_x = pullback(result).x
    assert type(result["b"]) is tuple and [len(d_x), len(d_x[0])] == [2, 2]
    assert np.array_equal(model(flat)["b"][1], result["b"][1])
    assert model.compute_output_shape([[(4, 1), (4, 2)], (4, 3)]) == {"b": ((4, 2), (4, 3)), "a": [(4, 1)]}
    outer = [rk.Input((1,)), rk.Input((2,)), rk.Input((3,))]
    around = rk.Model(outer, model([outer[:2], outer[2]])["b"])
    assert np.array_equal(around(flat)[0], result["b"][0])
    for one in (model, model.ensemble(2)):
        one.compile("sgd", "mse")
        one.fit(x, y, batch_size=4, epochs=1, verbose=0)
        assert one.predict(x, verbose=0)["b"][1].shape[-2:] == (8, 3)
    with pytest.raises(ValueError, match="nested as"):
        model([flat[0], flat[1:]])
