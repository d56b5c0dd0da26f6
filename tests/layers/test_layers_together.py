"""Layers inside layers: seeds, failures halfway, states, configurations, shared cells."""

import copy
import json
import pickle

import numpy as np
import pytest
from cells_under_test import attention

import rnnkit as rk

X = np.random.default_rng(0).normal(size=(2, 5, 3))


class Broken(rk.Cell):
    """A cell whose step can't run on inputs of more than three features."""

    state_size = 2

    def build(self, input_shape):
        self.kernel = self.add_weight((input_shape[-1], 2), name="kernel")
        self.mixer = self.add_weight((3, 2), name="mixer")

    def call(self, inputs, states):
        h = inputs @ self.kernel + inputs @ self.mixer
        return h, h


def models():
    return {
        "bidirectional": rk.Bidirectional(rk.LSTM(4, return_sequences=True), seed=1),
        "own_backward": rk.Bidirectional(rk.GRU(4), backward_layer=rk.LSTM(4, go_backwards=True), seed=1),
        "stack": rk.RNN([rk.LSTMCell(4), rk.GRUCell(3, dropout=0.5)], seed=1),
        "time_distributed": rk.TimeDistributed(rk.Dense(4), seed=1),
        "model": rk.Sequential(
            [
                rk.Masking(),
                rk.Bidirectional(rk.GRU(3, return_sequences=True)),
                rk.Dropout(0.5),
                rk.LSTM(2),
                rk.Dense(1),
            ],
            seed=1,
        ),
    }


@pytest.fixture(autouse=True)
def without_compiling():
    with rk.eager():
        yield


def same(first, second):
    np.testing.assert_equal(first, second)


@pytest.mark.parametrize("which", models())
def test_the_seed_of_the_whole_decides_all_draws(which):
    first, second = models()[which], models()[which]
    same(first(X, training=True), second(X, training=True))
    same(first.get_weights(), second.get_weights())


@pytest.mark.parametrize("which", models())
def test_the_configuration_draws_the_same_weights(which):
    layer = models()[which]
    layer.build(X.shape)
    again = type(layer).from_config(json.loads(json.dumps(layer.get_config())))
    assert repr(again) == repr(layer)
    again.build(X.shape)
    same(again.get_weights(), layer.get_weights())
    assert again.get_config() == layer.get_config()


@pytest.mark.parametrize("which", models())
@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))], ids=["copy", "pickle"]
)
def test_copies_keep_weights_read_only_and_go_on_with_the_same_masks(which, copied):
    layer = models()[which]
    layer(X, training=True)
    other = copied(layer)
    assert not any(array.flags.writeable for array in other.weights.values())
    same(other(X, training=True), layer(X, training=True))
    name = next(iter(other.weights))
    other.weights[name] = np.zeros(other.weights[name].shape)
    assert (layer.weights[name] != 0).any()


def test_parts_without_a_seed_differ_and_own_seeds_stay():
    model = rk.Sequential(
        [rk.LSTM(3, return_sequences=True, seed=7), rk.LSTM(3, return_sequences=True), rk.LSTM(3)], seed=0
    )
    model.build((None, None, 3))
    alone = rk.LSTM(3, seed=7)
    alone.build((None, None, 3))
    same(model.layers[0].get_weights(), alone.get_weights())
    assert (model.weights["1/kernel"] != model.weights["2/kernel"]).any()


def test_a_cell_brings_its_seed():
    first, second = rk.RNN(rk.LSTMCell(3, seed=5)), rk.LSTM(3, seed=5)
    same(first(X), second(X))
    layers = [rk.RNN([rk.LSTMCell(3, seed=5), rk.GRUCell(2)]) for _ in range(2)]
    weights = []
    for layer in layers:
        layer.build(X.shape)
        weights.append(layer.weights)
    same(weights[0]["0/kernel"], weights[1]["0/kernel"])
    assert (weights[0]["1/kernel"] != weights[1]["1/kernel"]).any()


@pytest.mark.parametrize("seed", [-1, 1.5, "1", True])
def test_what_is_no_seed(seed):
    with pytest.raises(ValueError, match="seed"):
        rk.LSTM(2, seed=seed)


def test_a_failed_build_leaves_layer_and_cell_unbuilt():
    layer = rk.RNN(Broken())
    with pytest.raises(ValueError):
        layer(np.zeros((1, 2, 4)))
    assert not layer.built
    assert layer.dtype is None
    assert not layer.cell.built
    assert len(layer.weights) == 0
    assert layer(np.zeros((1, 2, 3))).shape == (1, 2)


def test_a_model_that_fails_halfway_is_as_it_was():
    model = rk.Sequential([rk.GRU(4, return_sequences=True, stateful=True), rk.RNN(Broken())])
    with pytest.raises(ValueError):
        model(X)
    assert not any(layer.built for layer in (model, *model.layers))
    assert model.layers[0].states is None


def test_states_of_a_model_survive_a_call_that_fails_later():
    model = rk.Sequential([rk.GRU(3, return_sequences=True, stateful=True), rk.Embedding(4, 2)])
    model.layers[0].build(X.shape)
    model.layers[0].reset_states(states=[np.ones((2, 3))])
    with pytest.raises(ValueError, match="integers"):
        model(X)
    same(model.layers[0].states, [np.ones((2, 3))])


def test_bidirectional_that_fails_in_one_direction_keeps_both_states():
    layer = rk.Bidirectional(rk.LSTM(3, stateful=True))
    layer(X)
    before = layer.states
    bad = [np.zeros((2, 3)), np.zeros((2, 3)), np.zeros((2, 3)), np.zeros((2, 4))]
    with pytest.raises(ValueError, match="initial_state"):
        layer(X, initial_state=bad)
    same(layer.states, before)


def test_one_array_between_layers():
    with pytest.raises(ValueError, match=r"layer 0 \(lstm\), got 3"):
        rk.Sequential([rk.LSTM(2, return_sequences=True, return_state=True), rk.LSTM(2)])(X)


def test_a_built_model_takes_no_more_layers():
    model = rk.Sequential([rk.LSTM(2)])
    model(X)
    with pytest.raises(ValueError, match="before the model is built"):
        model.add(rk.Dense(1))
    given = rk.Input(X.shape[1:])
    for empty in (rk.Sequential(), rk.Sequential([rk.Sequential()]), rk.Model(given, rk.Sequential()(given))):
        with pytest.raises(ValueError, match="at least one layer"):
            empty(X)
    with pytest.raises(TypeError, match="expected a layer"):
        rk.Sequential([3])


def test_the_mask_behind_a_model_leaves_no_trace_in_states():
    model = rk.Sequential([rk.Masking(), rk.GRU(3, return_sequences=True, stateful=True, go_backwards=True)])
    x = X.copy()
    x[0, 1] = 0
    model(x)
    before = model.layers[1].states
    same(model.compute_mask(x), (x != 0).any(axis=-1)[:, ::-1])
    same(model.layers[1].states, before)


def test_masking_keeps_what_an_earlier_mask_left_out():
    x = X.copy()
    x[0, 1] = 0
    mask = np.ones((2, 5), bool)
    mask[1, 4] = False
    expected = mask.copy()
    expected[0, 1] = False
    same(rk.Masking().compute_mask(x, mask), expected)


def test_time_distributed_over_a_recurrent_layer():
    x = np.random.default_rng(1).normal(size=(2, 3, 4, 5))
    layer = rk.TimeDistributed(rk.LSTM(3, return_state=True))
    outputs = layer(x)
    assert layer.compute_output_shape((None, None, 4, 5)) == ((None, None, 3),) * 3
    for output, parts in zip(outputs, zip(*(layer.layer(x[:, t]) for t in range(3)), strict=True), strict=True):
        same(output, np.stack(parts, axis=1))
    assert layer(np.zeros((2, 0, 4, 5)))[0].shape == (2, 0, 3)
    with pytest.raises(ValueError, match=r"\(batch, time, None, 5\), got \(2, 3, 4, 6\)"):
        layer(np.zeros((2, 3, 4, 6)))


def test_two_layers_over_one_cell_share_its_weights():
    cell = rk.GRUCell(3)
    first, second = rk.RNN(cell), rk.RNN(cell, return_sequences=True)
    first(X), second(X)
    first.weights["bias"] = np.ones((2, 9))
    same(second.weights["bias"], np.ones((2, 9)))
    same(first(X), second(X)[:, -1])


def test_weights_are_a_mapping():
    layer = rk.Dense(2)
    layer.build((None, 3))
    assert list(layer.weights) == ["kernel", "bias"]
    assert "nothing" not in layer.weights
    assert layer.weights.get("nothing") is None
    for error in (KeyError, ValueError):
        with pytest.raises(error, match="kernel, bias; got 'nothing'"):
            layer.weights["nothing"]
    with pytest.raises(ValueError, match="kernel, bias; got 'nothing'"):
        layer.weights["nothing"] = 1
    with pytest.raises(ValueError, match=r"\(3, 2\), got \(2, 3\)"):
        layer.weights["kernel"] = np.zeros((2, 3))
    with pytest.raises(TypeError, match="complex"):
        layer.weights["kernel"] = np.zeros((3, 2), complex)
    with pytest.raises(ValueError, match="read-only"):
        layer.weights["kernel"][0, 0] = 1


def test_dense_on_any_rank():
    layer = rk.Dense(2, "tanh", dtype="float64")
    x = np.random.default_rng(2).normal(size=(2, 3, 4, 5))
    y = layer(x)
    np.testing.assert_allclose(y, np.tanh(x @ layer.weights["kernel"] + layer.weights["bias"]), rtol=1e-12)
    assert layer(x[0, 0]).shape == (4, 2)
    assert layer(np.zeros((0, 5))).shape == (0, 2)
    assert layer.compute_output_shape((None, None, 5)) == (None, None, 2)
    with pytest.raises(ValueError, match=r"\(batch, …, 5\), got \(2, 4\)"):
        layer(np.zeros((2, 4)))
    with pytest.raises(ValueError, match=r"got \(5,\)"):
        layer(np.zeros(5))


def test_embedding_takes_whole_numbers_only():
    layer = rk.Embedding(4, 2)
    same(layer(np.array([[1.0, 3.0]])), layer([[1, 3]]))
    for ids, got in (([4], "got 4"), ([-1], "got -1"), ([0.5], "fractions")):
        with pytest.raises(ValueError, match=got):
            layer(ids)


def test_dropout_keeps_the_mean_and_its_input():
    layer, x = rk.Dropout(0.25, seed=0), np.ones((100, 100))
    first, second = layer(x, training=True), layer(x, training=True)
    assert set(np.unique(first)) == {0, 1 / 0.75}
    assert abs(first.mean() - 1) < 0.02
    assert (first != second).any()
    kept = layer(x)
    kept[:] = 0
    assert (x == 1).all()
    assert not rk.Dropout(1)(x, training=True).any()


def test_no_rows_reset_nothing():
    layer = rk.LSTM(3, stateful=True)
    layer.reset_states(rows=[])
    assert layer.states is None
    layer(X)
    before = layer.states
    layer.reset_states(rows=[])
    same(layer.states, before)


def test_a_ragged_list_is_told_in_the_layers_own_words():
    layer = rk.Bidirectional(rk.LSTM(3, return_sequences=True))
    with pytest.raises(ValueError, match="of x of shape"):
        layer([[[1.0, 2.0]], [[1.0], [3.0]]])


def test_a_stack_at_every_step_returns_nested_states():
    layer = rk.TimeDistributed(rk.RNN([rk.LSTMCell(3), rk.GRUCell(2)], return_state=True), seed=0)
    y, (h, c), s = layer(np.ones((2, 4, 5, 3)))
    assert layer.compute_output_shape((2, 4, 5, 3)) == (y.shape, [h.shape, c.shape], s.shape)
    assert y.shape == s.shape == (2, 4, 2) and h.shape == c.shape == (2, 4, 3)


def test_constants_get_what_comes_back_through_both_directions():
    layer = rk.Bidirectional(
        rk.RNN(attention(units=3), return_sequences=True), merge_mode="sum", dtype="float64", seed=0
    )
    rng = np.random.default_rng(0)
    x, c, d, along = (rng.normal(size=shape) for shape in ((2, 4, 5), (2, 6, 5), (2, 4, 3), (2, 6, 5)))
    _, pullback = layer.vjp(x, constants=[c])
    (found,) = pullback(d).constants
    ahead, behind = (np.sum(d * layer(x, constants=[c + step * along])) for step in (1e-6, -1e-6))
    assert abs(np.sum(found * along) - (ahead - behind) / 2e-6) < 1e-7
