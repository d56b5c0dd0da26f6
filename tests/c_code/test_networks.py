"""Models in C: every layer that takes one step at a time, in stacks and in graphs, with masks."""

import copy

import numpy as np
import pytest
from c_code_runs import Library, needs_compiler
from layers_under_test import LAYERS, public_layers

import rnnkit as rk

DTYPES = ("float32", "float64")
STEPS = 10_000
NEAR = {"float32": 1e-6, "float64": 1e-12}


def scaled(x):
    return np.concatenate([x, np.sqrt(x**2 + 1.0)], axis=-1)


def sequential(*layers, features=(3,)):
    def make(dtype):
        model = rk.Sequential(copy.deepcopy(list(layers)), dtype=dtype, seed=0)
        model.build((None, None, *features))
        return model

    return make


def made(function):
    """A functional model: `function` takes the dtype for its inputs, and gives inputs and outputs."""
    return lambda dtype: rk.Model(*function(dtype))


def branches(dtype):
    x = rk.Input((None, 3), dtype=dtype)
    a = rk.GRU(4, return_sequences=True, seed=1)(x)
    b = rk.Dense(4, activation="tanh", seed=2)(x)
    c = rk.Concatenate()([rk.Add()([a, b]), rk.Subtract()([a, b]), rk.Multiply()([a, b, b])])
    return x, rk.Dense(2, seed=3)(rk.Concatenate()([c, rk.Average()([a, b, a]), rk.Maximum()([a, b])]))


def last_merged(dtype):
    """Of two whole sequences, and of integers at each step."""
    x, z = rk.Input((None, 3), dtype=dtype), rk.Input((None, 1), dtype="int32")
    a, b = (rk.GRU(4, seed=i)(rk.Concatenate()([x, rk.Minimum()([z, x])])) for i in range(2))
    return [x, z], [rk.Dot(axes=1, normalize=True)([a, b]), rk.Minimum()([a, b, a]), rk.Concatenate(axis=1)([b, a])]


def several(dtype):
    x, z = rk.Input((None, 3), dtype=dtype, name="x"), rk.Input((None, 2), dtype=dtype, name="z")
    h = rk.LSTM(4, return_sequences=True, seed=1)(rk.Concatenate()([x, z]))
    return [x, z], [rk.Dense(1, seed=2)(h), h, rk.GRU(3, seed=3)(z)]


def shared(dtype):
    x = rk.Input((None, 3), dtype=dtype)
    layer, dense = rk.GRU(3, return_sequences=True, seed=1), rk.Dense(3, seed=2)
    return x, dense(layer(dense(layer(x))))


def repeated(dtype):
    """Sizes of 1 are repeated; one array stands in several places."""
    x = rk.Input((None, 3), dtype=dtype)
    h = rk.SimpleRNN(1, return_sequences=True, seed=1)(x)
    y = rk.Multiply()([h, x])
    return x, [y, y, rk.Dropout(0.5)(y)]


def matrices(dtype):
    """A Dense takes each row of a step's matrix."""
    x = rk.Input((None, 2, 3), dtype=dtype)
    rows = rk.Concatenate(axis=2)([rk.Dense(4, activation="tanh", seed=1)(x), rk.Dense(4, seed=2)(x)])
    both = rk.Concatenate(axis=-1)([rows, rows])
    return x, rk.GRU(3, seed=3)(rk.TimeDistributed(rk.Flatten())(both))


def ids(dtype):
    x = rk.Input((None,), dtype="int32")
    return x, rk.Dense(2, seed=2)(
        rk.LSTM(4, return_sequences=True, seed=1, dtype=dtype)(rk.Embedding(11, 3, dtype=dtype)(x))
    )


def computed(dtype):
    """NumPy's functions and operators of symbolic tensors."""
    x = rk.Input((None, 3), dtype=dtype)
    h = rk.GRU(4, return_sequences=True, seed=1)(x)
    both = np.concatenate([np.tanh(h) * 2.0, x[..., :2] - 1.0], axis=-1)
    return x, [both / (1.0 + np.max(both**2, axis=-1, keepdims=True)), rk.GRU(2, seed=2)(both), h[:, -1]]


def normalized(dtype):
    x = rk.Input((None, 3), dtype=dtype)
    normal = rk.BatchNormalization(
        moving_mean_initializer="normal", gamma_initializer="normal", beta_initializer="normal", seed=1
    )
    h = rk.PReLU("normal", shared_axes=[1], seed=2)(normal(x))
    last = rk.PReLU("normal", seed=3)(rk.Permute((2, 1))(rk.Reshape((2, 2))(rk.GRU(4, seed=4)(h))))
    return x, [h, last, rk.RepeatVector(2)(rk.Flatten()(last))]


def pooled(dtype):
    x = rk.Input((None, 4), dtype=dtype)
    wide = rk.Conv1D(4, 3, padding="causal", dilation_rate=2, groups=2, activation="tanh", seed=1)(x)
    h = rk.Conv1D(3, 2, padding="causal", use_bias=False, seed=2)(wide)
    pooled = [rk.GlobalMaxPooling1D()(h), rk.GlobalAveragePooling1D(keepdims=True)(h)]
    return x, [h, *pooled, rk.Dense(2, seed=3)(pooled[0])]


MODELS = {
    "dense_around": sequential(
        rk.Dense(6, activation="gelu"),
        rk.LSTM(5, return_sequences=True),
        rk.GRU(4),
        rk.Dense(2),
        rk.Activation("softmax"),
    ),
    "last_shaped": sequential(rk.GRU(6), rk.Reshape((2, 3)), rk.Activation("softmax"), rk.Flatten(), rk.Dense(2)),
    "each_step_shaped": sequential(
        rk.TimeDistributed(rk.Sequential([rk.Reshape((3, 2)), rk.Dense(4, activation="selu"), rk.Flatten()])),
        rk.SimpleRNN(3, return_sequences=True),
        features=(6,),
    ),
    "of_functions": sequential(
        rk.Lambda(scaled), rk.Dropout(0.3), rk.LSTM(4, return_sequences=True), rk.Lambda(scaled)
    ),
    "stacked_cells": sequential(rk.RNN([rk.LSTMCell(5), rk.GRUCell(4), rk.SimpleRNNCell(3)], return_sequences=True)),
    "nested": sequential(rk.Sequential([rk.Sequential([rk.GRU(4, return_sequences=True)]), rk.Dense(3)]), rk.LSTM(2)),
    "esn": sequential(rk.RNN(rk.ESNCell(20), return_sequences=True), rk.Dense(2)),
    "matrices": made(matrices),
    "computed": made(computed),
    "normalized": made(normalized),
    "pooled": made(pooled),
    "branches": made(branches),
    "last_merged": made(last_merged),
    "several": made(several),
    "shared": made(shared),
    "repeated": made(repeated),
    "ids": made(ids),
    "words": lambda dtype: _words(dtype, False),
    "dense_alone": sequential(rk.Dense(2)),
    "nothing_but_dropout": sequential(rk.Dropout(0.5)),
}
MASKING = {
    "masking": sequential(rk.Masking(0.5), rk.LSTM(4, return_sequences=True), rk.Dense(2), rk.GRU(3)),
    "zeros": sequential(rk.Masking(), rk.LSTM(4, return_sequences=True, zero_output_for_mask=True), rk.Dense(2)),
    "means": sequential(rk.Masking(0.5), rk.GRU(4, return_sequences=True), rk.GlobalAveragePooling1D(), rk.Dense(2)),
    "padding": lambda dtype: _words(dtype, True),
    "merged_masks": made(lambda dtype: merged_masks(dtype, rk.Add())),
    "joined_masks": made(lambda dtype: merged_masks(dtype, rk.Concatenate())),
}


def merged_masks(dtype, merge):
    x = rk.Input((None, 3), dtype=dtype)
    a, b = rk.Masking(0.5)(x), rk.Masking(0.0)(x)
    return x, rk.GRU(4, return_sequences=True, zero_output_for_mask=True, seed=1)(merge([a, b]))


def _words(dtype, mask_zero):
    model = rk.Sequential([rk.Embedding(11, 4, mask_zero=mask_zero), rk.GRU(3), rk.Dense(2)], dtype=dtype, seed=0)
    model.build((None, None))
    return model


@pytest.fixture(scope="module", params=DTYPES)
def models(request, tmp_path_factory):
    made = {name: make(request.param) for name, make in (MODELS | MASKING).items()}
    return request.param, made, Library(made, tmp_path_factory.mktemp("models"))


def inputs_of(model, steps, dtype, seed=0):
    """Sequences with steps that all layers for masks mask."""
    rng, shape = np.random.default_rng(seed), model._input_shape
    shapes = shape if isinstance(shape[0], tuple) else [shape]
    found = []
    for i, one in enumerate(shapes):
        if len(one) == 2 or (len(shapes) > 1 and model._input_configs[i]["dtype"] == "int32"):
            found.append(rng.integers(0, 11, (1, steps, *one[2:])))
            continue
        x = rng.standard_normal((1, steps, *one[2:])).astype(dtype)
        kind = rng.integers(0, 4, steps)
        x[:, kind == 0], x[:, kind == 1] = 0.0, 0.5
        found.append(x)
    return found


def call(model, inputs, mask=None):
    found = model(inputs if len(inputs) > 1 else inputs[0], mask=mask)
    return list(found) if isinstance(found, list) else [found]


def shapes_of(model, outputs):
    """The shape of each output of a step, and whether there is one for each."""
    one, two = (model.compute_output_shape(_shapes(model, steps)) for steps in (1, 2))
    one, two = ([found] if isinstance(found, tuple) else found for found in (one, two))
    return [(y.shape[2:] if a != b else y.shape[1:], a != b) for y, a, b in zip(outputs, one, two, strict=True)]


def _shapes(model, steps):
    shape = model._input_shape
    several = isinstance(shape[0], tuple)
    found = [(1, steps, *one[2:]) for one in (shape if several else [shape])]
    return found if several else found[0]


def as_list(found):
    return found if isinstance(found, list) else [found]


def near(got, want, dtype):
    for a, b in zip(as_list(got), want, strict=True):
        assert a.shape == b.shape
        assert np.abs(a - b).max(initial=0) <= NEAR[dtype] * max(np.abs(b).max(initial=0), 1e-30)


@needs_compiler
@pytest.mark.parametrize("name", [*MODELS, *MASKING])
def test_ten_thousand_steps_of_a_model_are_those_of_rnnkit(models, name):
    dtype, layers, library = models
    inputs = inputs_of(layers[name], STEPS, dtype)
    want = call(layers[name], inputs)
    sequence = library.sequence(name, dtype, shapes_of(layers[name], want))
    near(sequence.run(*(x[0] for x in inputs)), [y[0] for y in want], dtype)


@needs_compiler
@pytest.mark.parametrize("name", [*MODELS, *MASKING])
def test_every_step_puts_out_what_a_call_up_to_it_does(models, name):
    dtype, layers, library = models
    inputs = inputs_of(layers[name], 9, dtype)
    sequence = library.sequence(name, dtype, shapes_of(layers[name], call(layers[name], inputs)))
    for t in range(9):
        got = sequence.step(*(x[0, t : t + 1] for x in inputs))
        want = call(layers[name], [x[:, : t + 1] for x in inputs])
        near(
            got, [y[0, -1] if in_time else y[0] for y, (_, in_time) in zip(want, sequence.outputs, strict=True)], dtype
        )


@needs_compiler
@pytest.mark.parametrize("name", [*MODELS, *MASKING])
def test_skipped_steps_are_those_that_a_mask_takes_out_of_a_call(models, name):
    dtype, layers, library = models
    mask = np.random.default_rng(2).random(30) < 0.6
    inputs = inputs_of(layers[name], 30, dtype)
    for x in inputs:
        x[:, ~mask] = 0
    given = [mask[None]] * len(inputs) if len(inputs) > 1 else mask[None]
    want = call(layers[name], inputs, given)
    sequence = library.sequence(name, dtype, shapes_of(layers[name], want))
    steps = [
        as_list(sequence.step(*(x[0, t : t + 1] for x in inputs)) if mask[t] else sequence.skip()) for t in range(30)
    ]
    for i, (y, (_, in_time)) in enumerate(zip(want, sequence.outputs, strict=True)):
        near(np.array([one[i] for one in steps]) if in_time else steps[-1][i], [y[0]], dtype)


@needs_compiler
@pytest.mark.parametrize("name", ["dense_around", "shared", "words", "stacked_cells"])
def test_steps_and_skipped_steps_are_those_of_a_stream(models, name):
    dtype, layers, library = models
    (x,) = inputs_of(layers[name], 20, dtype)
    stream = layers[name].stream()
    sequence = library.sequence(name, dtype, shapes_of(layers[name], call(layers[name], [x])))
    for t in range(20):
        if t and t % 3 == 0:  # before the first step a stream puts out zeros
            stream.skip([0])
            near(sequence.skip(), [stream.step(x[:, t])[0]], dtype)
        else:
            near(sequence.step(x[0, t : t + 1]), [stream.step(x[:, t])[0]], dtype)


@needs_compiler
@pytest.mark.parametrize("name", [*MODELS, *MASKING])
def test_the_struct_of_states_is_as_large_as_it_says(models, name):
    dtype, layers, library = models
    sequence = library.sequence(name, dtype, [])
    assert library.exported[name].state_bytes == sequence.size


@needs_compiler
def test_every_public_layer_is_written_or_refused_by_name(tmp_path):
    """A step at a time is no form for those that are refused."""
    layers, x, y = {}, {}, {}
    with rk.eager():
        for name in public_layers():
            case, layer = LAYERS[name], LAYERS[name].make()
            given = case.inputs(dtype="float32")
            want = layer(*case.given(given))
            if case.without_c:
                with pytest.raises(ValueError, match=case.without_c):
                    rk.export_c(layer, tmp_path / "refused")
            else:
                layers[name], y[name] = layer, want[0]
                x[name] = [one[0] for one in given] if isinstance(given, list) else [given[0]]
    assert len(layers) > 35 and not (tmp_path / "refused").exists()
    library = Library(layers, tmp_path)
    for name in layers:
        times = [layers[name].compute_output_shape(_shapes_at(LAYERS[name], n)) for n in (4, 5)]
        in_time = times[0] != times[1]
        sequence = library.sequence(name, "float32", [(y[name].shape[in_time:], in_time)])
        near(sequence.run(*x[name]), [y[name]], "float32")


def _shapes_at(case, length):
    shapes = [(2, length, *shape[2:]) for shape in case.shapes]
    return shapes if len(shapes) > 1 else shapes[0]


def test_what_is_computed_last_stands_in_the_output(tmp_path):
    x = rk.Input((None, 3))
    merged = rk.Model(x, rk.Concatenate()([x, rk.Dense(6, activation="tanh")(x)]))
    dense = rk.Dense(6, activation="tanh")
    dense.build((None, None, 3))
    assert rk.export_c(dense, tmp_path / "dense").state_bytes == 6 * 4  # of the product
    assert rk.export_c(merged, tmp_path / "merged").state_bytes == 2 * 6 * 4


def test_layers_that_need_whole_sequences_are_refused_by_name(tmp_path):
    x = rk.Input((None, 3))
    h, state = rk.GRU(4, return_state=True)(x)
    refused = {
        "'bidirectional' (Bidirectional) needs whole sequences": [rk.Bidirectional(rk.GRU(4)), rk.Dense(1)],
        "'gru' (GRU) goes backwards": [rk.GRU(4, go_backwards=True)],
        "'batch_normalization' (BatchNormalization) has a mean for each step": [rk.BatchNormalization(axis=1)],
        "'layer_normalization' (LayerNormalization) computes along the axes": [rk.LayerNormalization(axis=1)],
        "'array_function' (ArrayFunction) reads several steps": [rk.ArrayFunction(lambda x: x[:, ::-1])],
        "'flatten' (Flatten) needs whole sequences; put it into a TimeDistributed": [
            rk.GRU(4, return_sequences=True), rk.TimeDistributed(rk.Dense(2)), rk.Flatten(),
        ],
        "'gru' (GRU) needs whole sequences": [rk.GRU(4), rk.RepeatVector(3), rk.GRU(2)],
    }  # fmt: skip
    for reason, layers in refused.items():
        model = rk.Sequential(layers, seed=0)
        model.build((None, 5 if "norm" in reason or "flatten" in reason else None, 3))
        with pytest.raises(ValueError, match="expected layers that take one step at a time") as error:
            rk.export_c(model, tmp_path / "new")
        assert reason in str(error.value)
    with_states = rk.Model(x, [h, state])
    with pytest.raises(ValueError, match=r"'gru.*' \(GRU\) returns its states, which are in the struct of states"):
        rk.export_c(with_states, tmp_path / "new")
    given = rk.Model(x, rk.LSTM(4)(x, initial_state=rk.LSTM(4, return_state=True)(x)[1:]))
    with pytest.raises(ValueError, match=r"returns its states|is given initial_state by another layer"):
        rk.export_c(given, tmp_path / "new")
    assert not (tmp_path / "new").exists()
