"""What every layer's ``vjp`` promises: the call's bits, its exact gradient, and nothing that comes later changes it."""

import copy
import os
import re
import sys
from dataclasses import replace

import numpy as np
import processes
import pytest
from layer_calls import (
    CASES,
    PADDING,
    RECURRENT,
    SINGLE,
    arrays_of,
    call_of,
    close_gradient,
    cotangents,
    each_case,
    gru,
    layer_of,
    same_gradient,
)
from matrix import close, flat, like, same_bits

import rnnkit as rk
from rnnkit.backends.cpu import tuning
from rnnkit.execution.execution import Execution

# Outputs


@pytest.mark.parametrize("name, dtype", [*((n, "float64") for n in CASES), *((n, "float32") for n in SINGLE)])
def test_X10_outputs_are_the_bits_of_a_call(name, dtype):
    layer = layer_of(name, dtype)
    call = call_of(name, layer, dtype=dtype)
    twin = copy.deepcopy(layer)
    for _ in range(2):  # draws go on as after a call
        outputs, pullback = call.vjp(layer)
        expected = call.of(twin)
        assert type(outputs) is type(expected)
        same_bits(outputs, expected)
    assert {a.dtype for a in arrays_of(pullback(cotangents(outputs))).values()} == {np.dtype(dtype)}


@each_case
def test_gradients_have_names_and_shapes(name):
    layer = layer_of(name)
    call = call_of(name, layer)
    outputs, pullback = call.vjp(layer)
    gradient = pullback(cotangents(outputs))
    assert list(gradient.weights) == list(layer.weights)
    assert {n: g.shape for n, g in gradient.weights.items()} == {n: w.shape for n, w in layer.weights.items()}
    for what, array in call.inputs().items():
        assert arrays_of(gradient)[what].shape == array.shape, what
    assert all(array.flags.c_contiguous for array in arrays_of(gradient).values())
    assert (gradient.x is None) == (call.x.dtype.kind == "i")
    assert (gradient.constants is None) == ("constants" not in call.options)
    if "initial_state" in call.options:
        same_nesting(gradient.initial_state, call.options["initial_state"])


def same_nesting(got, expected):
    if isinstance(expected, np.ndarray):
        assert got.shape == expected.shape
    else:
        assert len(got) == len(expected)
        for a, b in zip(got, expected, strict=True):
            same_nesting(a, b)


def test_a_vjp_builds_a_layer_as_a_call_does():
    layers = [rk.Bidirectional(gru(), seed=1) for _ in range(2)]
    layers[0].vjp(np.ones((2, 4, 2)))
    layers[1](np.ones((2, 4, 2)))
    same_bits(layers[0].get_weights(), layers[1].get_weights())


@pytest.mark.parametrize("name", [n for n in CASES if n != "model"])  # which is built from the start
def test_a_vjp_that_fails_leaves_a_layer_as_it_was(name, monkeypatch):
    layer = CASES[name].make()
    x = np.random.default_rng(0).integers(0, 6, (3, *(CASES[name].x or (5,))))
    for wrong in ({"checkpoint": 0}, {"truncate": -1}, {"checkpoint": "often"}, {"truncate": 1.5}):
        with pytest.raises(ValueError, match="expected (checkpoint|truncate) to be"):
            layer.vjp(x, **wrong)
    with pytest.raises(TypeError, match="real numbers"):
        layer.vjp([["a"]])
    more = {"constants": [np.ones((3, 2, 3))]} if CASES[name].constants else {}
    if CASES[name].masks:
        with pytest.raises(ValueError, match="expected mask of shape"):
            layer.vjp(x, mask=np.ones((3, 4)), **more)
    assert not layer.built and not layer.weights

    def fail(*_, **__):
        raise ValueError("no gradient")

    if name.split("_")[0] not in ("embedding", "masking", "dropout", "reshape", "pooling"):
        monkeypatch.setattr(Execution, "vjp", fail)
        with pytest.raises(ValueError, match="no gradient"):
            layer.vjp(x, **more)
        assert not layer.built and not layer.weights


# Gradients


@each_case
def test_L7_gradients_are_central_differences(name):
    """In a random direction."""
    h, case, layer = 2e-5, CASES[name], layer_of(name)
    rng = np.random.default_rng(4)
    for weight in layer.weights:
        values = layer.weights[weight]
        fresh = rng.normal(0, 0.5, values.shape)
        layer.weights[weight] = np.where(values != 0, fresh, 0) if weight in case.on_pattern else fresh
    call = call_of(name, layer)
    outputs, pullback = call.vjp(copy.deepcopy(layer))
    d = cotangents(outputs)
    gradient = pullback(d)
    found = arrays_of(gradient)
    told = {name for name in ("x", "initial_state", "constants", *gradient.more) if gradient.of(name) is not None}
    assert set(re.findall(r"(\w+): ", repr(gradient))) == {"weights"} | told
    assert all(str(array.shape) in repr(gradient) for array in found.values())

    def loss(what, array):
        moved, given = copy.deepcopy(layer), call
        if what in layer.weights:
            moved.weights[what] = array
        else:
            given = call.moved(what, array)
        return sum((a * b).sum() for a, b in zip(flat(given.of(moved)), flat(d), strict=True))

    for what, array in {**call.inputs(), **layer.weights}.items():
        gradient = found.pop(what)
        v = rng.normal(size=array.shape)
        if what == "x":  # Masking's steps stay what they are
            v[(array == PADDING).all(axis=-1)] = 0
        if what in case.on_pattern:
            v[array == 0] = 0
            assert not gradient[array == 0].any()
        v /= np.linalg.norm(v)
        expected = (loss(what, array + h * v) - loss(what, array - h * v)) / (2 * h)
        assert abs((gradient * v).sum() - expected) <= 1e-7 * np.linalg.norm(gradient), what
    # What is left are the initial states of layers that were given none.
    assert not [what for what in found if not what.startswith("initial_state")]


@each_case
def test_pullbacks_are_linear(name):
    layer = layer_of(name)
    outputs, pullback = call_of(name, layer).vjp(layer)
    first, second = cotangents(outputs, 1), cotangents(outputs, 2)
    together = like(outputs, [2 * a - 3 * b for a, b in zip(flat(first), flat(second), strict=True)])
    first, second, together = (arrays_of(pullback(d)) for d in (first, second, together))
    for what, array in together.items():
        expected = 2 * first[what] - 3 * second[what]
        assert np.linalg.norm(array - expected) <= 1e-12 * (1 + np.linalg.norm(expected)), what


@each_case
def test_X10_a_pullback_gives_the_same_bits_again_whatever_happened_since(name):
    layer = layer_of(name)
    call = call_of(name, layer)
    outputs, pullback = call.vjp(layer)
    d = cotangents(outputs)
    before = copy.deepcopy(d)
    first = pullback(d)
    same_bits(d, before)  # cotangents aren't written to
    kept = copy.deepcopy(arrays_of(first))
    pullback(cotangents(outputs, 8))
    again = pullback(d)
    same_gradient(again, first)
    same_bits(list(arrays_of(first).values()), list(kept.values()))

    layer.set_weights([np.full(w.shape, 0.25) * (w != 0) for w in layer.get_weights()])
    call.vjp(layer)[1](d)
    for array in (*flat(outputs), *call.inputs().values(), *(call.options[k] for k in {"mask"} & call.options.keys())):
        array[...] = 0
    call.x[...] = 0
    for array in arrays_of(again).values():
        if array.flags.writeable:
            array[...] = 3
    after = pullback(d)
    same_bits(list(arrays_of(after).values()), list(kept.values()))
    if CASES[name].states or "sequential" in name or name == "model":
        layer(call.x, **call.options)
        after = pullback(d)
        same_bits(list(arrays_of(after).values()), list(kept.values()))


@each_case
def test_none_stands_for_zeros(name):
    layer = layer_of(name)
    outputs, pullback = call_of(name, layer).vjp(layer)
    zeros = like(outputs, [np.zeros_like(a) for a in flat(outputs)])
    nothing = arrays_of(pullback(None))
    assert not any(array.any() for array in nothing.values())
    for what, array in arrays_of(pullback(zeros)).items():
        assert (array == nothing[what]).all() and array.shape == nothing[what].shape
    if isinstance(outputs, tuple):
        d = cotangents(outputs)
        for i, one in enumerate(d):
            alone = [None if j != i else one for j in range(len(d))]
            padded = [zeros[j] if j != i else one for j in range(len(d))]
            close_gradient(pullback(alone), pullback(padded))


@each_case
def test_X10_other_cotangents_are_refused(name):
    layer = layer_of(name)
    call = call_of(name, layer)
    outputs, pullback = call.vjp(layer)
    d = cotangents(outputs)
    expected = pullback(d)
    with pytest.raises(ValueError, match="d_outputs"):
        pullback([d, d, d, d, d, d])
    with pytest.raises((ValueError, TypeError), match="d_outputs"):
        pullback("all")
    if isinstance(outputs, (tuple, list)):
        with pytest.raises(ValueError, match=f"nested as the call's result, with {len(outputs)} entries"):
            pullback(d[:-1])
        with pytest.raises(ValueError, match="nested as the call's result"):
            pullback(d[0])
        with pytest.raises(ValueError, match="d_outputs"):
            pullback([*d[:-1], [d[-1]] * 7])
    else:
        with pytest.raises(ValueError, match="expected d_outputs of shape"):
            pullback(d[:, :1] if d.ndim > 1 and d.shape[1] > 1 else d[:1])
        with pytest.raises(TypeError, match="expected d_outputs to hold real numbers, got dtype complex128"):
            pullback(d + 1j)
    same_gradient(pullback(d), expected)


@pytest.mark.parametrize("name", SINGLE)
def test_float32_layers_take_any_cotangents_of_numbers(name):
    layer = layer_of(name, "float32")
    outputs, pullback = call_of(name, layer, dtype="float32").vjp(layer)
    double = cotangents(outputs, dtype="float64")
    single = like(outputs, [a.astype("float32") for a in flat(double)])
    same_gradient(pullback(double), pullback(single))
    ones = like(outputs, [np.ones(a.shape, int) for a in flat(outputs)])
    spread = like(outputs, [np.broadcast_to(np.float32(1), a.shape) for a in flat(outputs)])
    same_gradient(pullback(ones), pullback(spread))
    turned = like(outputs, [np.asfortranarray(a) for a in flat(single)])
    same_gradient(pullback(turned), pullback(single))


# Sizes


@pytest.mark.parametrize("name", [n for n in CASES if n not in ("dense", "dense_wide")])
@pytest.mark.parametrize("batch, length", [(3, 0), (0, 5), (0, 0)])
def test_empty_batches_and_sequences(name, batch, length):
    layer = layer_of(name)
    call = call_of(name, layer, batch=batch, length=length)
    outputs, pullback = call.vjp(layer)
    same_bits(outputs, call.of(layer)) if not CASES[name].training else None
    d = cotangents(outputs)
    gradient = pullback(d)
    for what, array in call.inputs().items():
        assert arrays_of(gradient)[what].shape == array.shape
    if "sequential" in name or name in ("time_distributed_rnn", "model"):
        return  # a bias may reach the output without any step
    assert not any(np.asarray(array).any() for array in gradient.weights.values())
    if length == 0 and batch and CASES[name].states and isinstance(outputs, tuple):
        count = len(call.options["initial_state"])
        same_bits(gradient.initial_state, d[-count:])  # the states are passed on


def test_no_features():
    layer = gru(return_sequences=True, dtype="float64")
    outputs, pullback = layer.vjp(np.ones((2, 4, 0)))
    gradient = pullback(np.ones_like(outputs))
    assert gradient.x.shape == (2, 4, 0) and gradient.weights["kernel"].shape == (0, 9)
    assert gradient.weights["bias"].any()
    dense = rk.Dense(2, dtype="float64")
    outputs, pullback = dense.vjp(np.ones((2, 0)))
    gradient = pullback(np.ones_like(outputs))
    assert gradient.x.shape == (2, 0) and gradient.weights["bias"].tolist() == [2, 2]


@pytest.mark.parametrize("name", [n for n in RECURRENT if CASES[n].masks])
def test_a_fully_masked_batch_passes_states_on(name):
    layer = layer_of(name)
    call = call_of(name, layer)
    call.options["mask"] = np.zeros(call.x.shape[:2])
    call.x[...] = np.nan
    outputs, pullback = call.vjp(layer)
    d = cotangents(outputs)
    gradient = pullback(d)
    assert not gradient.x.any()
    assert not any(np.asarray(array).any() for array in gradient.weights.values())
    assert not any(array.any() for array in gradient.constants or [])
    if isinstance(outputs, tuple):
        same_bits(gradient.initial_state, d[-len(call.options["initial_state"]) :])
    else:
        assert not any(array.any() for array in flat(gradient.initial_state))


@pytest.mark.parametrize("name", [n for n in RECURRENT if CASES[n].masks])
def test_M3_what_stands_under_a_mask_reaches_no_gradient(name):
    layer = layer_of(name)
    call = call_of(name, layer)
    outputs, pullback = call.vjp(layer)
    d = cotangents(outputs)
    expected = pullback(d)
    call.x[~call.options["mask"]] = np.nan
    outputs, pullback = call.vjp(layer)
    same_gradient(pullback(d), expected)
    assert not expected.x[~call.options["mask"]].any()


# Directions, states, stacks


@pytest.mark.parametrize("name", ["rnn", "no_weights", "bidirectional_concat_sequences"])
def test_P3_broadcast_inputs_are_inputs(name, rng):
    """Strides of 0, along time, rows, or both."""
    layer = layer_of(name)
    for kept in ((3, 1), (1, 4), (1, 1)):
        x = np.broadcast_to(rng.normal(size=(*kept, 2)), (3, 4, 2))
        found, copied = layer.vjp(x), layer.vjp(x.copy())
        same_bits(found[0], copied[0])
        d = cotangents(found[0])
        same_gradient(found[1](d), copied[1](d))
        ones = like(found[0], [np.broadcast_to(1.0, a.shape) for a in flat(found[0])])
        same_gradient(found[1](ones), copied[1](like(ones, [a.copy() for a in flat(ones)])))


def test_D4_stateful_layers_keep_what_a_call_keeps():
    layer, twin = (layer_of("rnn", stateful=True) for _ in range(2))
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 3, 4, 2))
    layer.vjp(first)
    twin(first)
    same_bits(layer.states, twin.states)
    carried = layer.states
    outputs, pullback = layer.vjp(second)
    same_bits(outputs, twin(second))
    same_bits(layer.states, twin.states)
    d = cotangents(outputs)
    gradient = pullback(d)
    plain = layer_of("rnn")
    same_gradient(gradient, plain.vjp(second, initial_state=carried)[1](d))  # of the carried state
    assert flat(gradient.initial_state)[0].any()
    layer(first)
    layer.reset_states()
    assert layer.states is None
    same_gradient(pullback(d), gradient)
    with pytest.raises(ValueError, match="expected x of shape"):
        layer.vjp(np.ones((3, 4, 7)))
    assert layer.states is None
    layer.vjp(first[:2])
    with pytest.raises(ValueError, match="expected a batch of 2 rows"):
        layer.vjp(first)
    with pytest.raises(ValueError, match="checkpoint"):
        layer.vjp(first[:2], checkpoint=0)
    same_bits(layer.states, plain_states(twin, first[:2]))


def plain_states(layer, x):
    layer.reset_states()
    layer(x)
    return layer.states


def test_two_stateful_calls_are_one(rng):
    """The carried state's cotangent takes the second part's gradient through the first."""
    whole = layer_of("rnn_zeros", stateful=True)
    whole.go_backwards = False
    halves = copy.deepcopy(whole)
    x = rng.normal(size=(3, 6, 2))
    outputs, pullback = whole.vjp(x)
    d = cotangents(outputs)
    expected = pullback(d)
    first, pull_first = halves.vjp(x[:, :2])
    second, pull_second = halves.vjp(x[:, 2:])
    late = pull_second((d[0][:, 2:], d[1]))
    early = pull_first((d[0][:, :2], *late.initial_state))
    close(np.concatenate([early.x, late.x], axis=1), expected.x)
    for weight, array in expected.weights.items():
        close(early.weights[weight] + late.weights[weight], array)


def test_stateful_models_and_directions(rng):
    x = rng.normal(size=(3, 4, 2))
    layer = rk.Bidirectional(gru(stateful=True), dtype="float64")
    layer.vjp(x)
    carried = layer.states
    outputs, pullback = layer.vjp(x)
    stateless = rk.Bidirectional(gru(), dtype="float64")
    stateless.build((None, None, 2))
    stateless.set_weights(layer.get_weights())
    same_gradient(pullback(cotangents(outputs)), stateless.vjp(x, carried)[1](cotangents(outputs)))

    model = rk.Sequential([rk.Dropout(0.5), gru(stateful=True), rk.Dense(2, "tanh")], dtype="float64", seed=1)
    twin = copy.deepcopy(model)
    for _ in range(2):
        outputs, pullback = model.vjp(x)
        same_bits(outputs, twin(x))
    same_bits(model.layers[1].states, twin.layers[1].states)
    (of_states,) = pullback(cotangents(outputs)).initial_state
    assert of_states[0].shape == (3, 3) and of_states[0].any()
    states = model.layers[1].states
    with pytest.raises(ValueError):
        model.vjp(rng.normal(size=(3, 4, 5)))
    with pytest.raises(ValueError):
        model.vjp(rng.normal(size=(2, 4, 2)))
    same_bits(model.layers[1].states, states)
    model.reset_states([of_states])
    same_bits(model.layers[1].states, of_states)


def test_a_stack_is_its_cells_one_after_the_other():
    stack = layer_of("stack")
    call = call_of("stack", stack)
    call.options.pop("initial_state")
    outputs, pullback = call.vjp(stack)
    d = cotangents(outputs)
    gradient = pullback(d)
    lstm = rk.LSTM(3, return_sequences=True, return_state=True, dtype="float64")
    top = rk.GRU(2, return_sequences=True, return_state=True, dtype="float64")
    lstm.build((None, None, 2))
    top.build((None, None, 3))
    lstm.set_weights(stack.get_weights()[:3])
    top.set_weights(stack.get_weights()[3:])
    (below, *_), pull_lstm = call.vjp(lstm)
    (above, *_), pull_top = replace(call, x=below).vjp(top)
    same_bits(above, outputs[0])
    of_top = pull_top((d[0], d[2]))
    of_lstm = pull_lstm((of_top.x, *d[1]))
    close(gradient.x, of_lstm.x)
    for i, one in enumerate((of_lstm, of_top)):
        for weight, array in one.weights.items():
            close(gradient.weights[f"{i}/{weight}"], array, scale=10)


def test_bidirectional_passes_checkpoint_and_truncate_on(rng):
    layer = rk.Bidirectional(gru(return_sequences=True), None, dtype="float64")
    x, mask = rng.normal(size=(3, 6, 2)), rng.random((3, 6)) < 0.7
    outputs, pullback = layer.vjp(x, mask=mask)
    d = cotangents(outputs)
    whole = pullback(d)
    kept, pulled = layer.vjp(x, mask=mask, checkpoint=2)
    same_bits(kept, outputs)
    close_gradient(pulled(d), whole)
    short = layer.vjp(x, mask=mask, truncate=2)[1](d)
    assert np.abs(short.x - whole.x).max() > 1e-6
    parts = []
    for one, d_one, turn in ((layer.forward_layer, d[0], 1), (layer.backward_layer, d[1], -1)):
        alone = copy.deepcopy(one)
        alone.zero_output_for_mask = True
        parts.append(alone.vjp(x, mask=mask, truncate=2)[1](d_one[:, ::turn]))
    close(short.x, parts[0].x + parts[1].x)
    close(short.weights["backward/kernel"], parts[1].weights["kernel"])


def test_models_pass_checkpoint_and_truncate_on(rng):
    model = rk.Sequential([rk.Dropout(0.5), gru(return_sequences=True), rk.Dense(2, "tanh")], dtype="float64")
    x = rng.normal(size=(3, 6, 2))
    outputs, pullback = model.vjp(x)
    d = cotangents(outputs)
    kept, pulled = model.vjp(x, checkpoint=2)
    same_bits(kept, outputs)
    close_gradient(pulled(d), pullback(d))
    short = model.vjp(x, truncate=2)[1](d)
    of_dense = model.layers[2].vjp(model.layers[1](x))[1](d)
    close(short.x, model.layers[1].vjp(x, truncate=2)[1](of_dense.x).x)
    assert np.abs(short.x - pullback(d).x).max() > 1e-6


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", ["rnn", "bidirectional_concat_sequences"])
def test_L3_gradients_do_not_depend_on_threads(name, masked, threads, monkeypatch):
    monkeypatch.setattr(tuning, "SMALL", 0)
    layer = layer_of(name)
    call = call_of(name, layer, batch=70, length=20, masked=masked)
    if masked:  # long and short rows, which a program puts in another order
        call.options["mask"] = np.arange(20) < np.random.default_rng(1).integers(0, 21, (70, 1))
    found = []
    for count in (1, 2):
        threads(count)
        outputs, pullback = call.vjp(layer)
        found.append((outputs, pullback(cotangents(outputs))))
    same_bits(found[0][0], found[1][0])
    same_gradient(found[0][1], found[1][1])


@pytest.mark.parametrize("masked", [False, True])
def test_what_a_stopped_thread_still_writes_is_in_no_gradient(masked, rng, monkeypatch):
    """Nor does it come too late in memory that is used again. With a mask it may undo what was held."""
    """As if in every run one was stopped, and went on in the next: it may write where the first had its results."""
    monkeypatch.setattr(tuning, "LEAST_ENTRIES", 6)  # two steps between sums
    monkeypatch.setattr(tuning, "CHUNK_BYTES", 0)
    layer, x = layer_of("rnn"), rng.normal(size=(3, 8, 2))
    mask = rng.random((3, 8)) < 0.7 if masked else None
    outputs, pullback = layer.vjp(x, mask=mask, checkpoint=4)
    d = cotangents(outputs)
    expected = pullback(d)
    (one,) = layer._execution.gradients.values()
    memory = []

    def stopped(run):
        def again(record, alone=False):
            late()
            result = run(record)
            late()
            if alone:
                return result
            kept = [array for key, array in record.placed.items() if key[0] == "write"]
            memory.extend((array, np.nan if masked else array.copy()) for array in kept)
            outputs = None if result.outputs is None else result.outputs.copy()
            if record.place is not None:
                memory.append((record.place, np.nan))
                record.place[...] = np.nan
            record.place, record.abandoned = None, True
            return replace(result, outputs=outputs)

        return again

    def late():
        for array, values in memory:
            array[...] = values

    for runs in (one.plain, one.forward, one.adjoint):
        monkeypatch.setattr(runs, "run", stopped(runs.run))
    for checkpoint in (None, 4):
        again, pullback = layer.vjp(x, mask=mask, checkpoint=checkpoint)
        gradient = pullback(d)
        late()
        same_bits(again, outputs)
        same_gradient(gradient, expected)


# Dropout, Masking, Dense, Embedding


def test_dropout_uses_the_mask_that_the_call_drew(rng):
    layer = rk.Dropout(0.5, seed=0, dtype="float64")
    x = rng.normal(size=(4, 5))
    y, pullback = layer.vjp(x, training=True)
    assert pullback(np.ones_like(y)).x.tolist() == np.where(y == 0, 0, 2.0).tolist()
    assert layer(x, training=True).tolist() != y.tolist()  # the next call draws another
    y, pullback = layer.vjp(x)
    d = np.ones_like(y)
    found = pullback(d).x
    same_bits(found, d)
    found[...] = 0
    assert d.all()
    assert not rk.Dropout(1, dtype="float64").vjp(x, training=True)[1](d).x.any()


def test_masking_passes_used_steps_only():
    layer = rk.Masking(-1.0)
    y, pullback = layer.vjp(np.array([[[1.0, 2.0], [-1.0, -1.0], [-1.0, 0.0]]]))
    d = np.array([[[1.0, 2.0], [np.nan, 4.0], [5.0, 6.0]]])
    assert pullback(d).x.tolist() == [[[1, 2], [0, 0], [5, 6]]]


def test_integers_and_lists_have_gradients_of_the_layers_precision():
    for layer in (rk.Dense(2), rk.Dropout(0.5), rk.Masking()):
        y, pullback = layer.vjp([[[1, 2], [3, 4]]])
        assert pullback(y).x.dtype == "float32"


def test_an_embeddings_gradient_is_the_rows_that_were_read(rng):
    layer = rk.Embedding(50, 4, mask_zero=True, seed=0, dtype="float64")
    ids = rng.integers(0, 9, (6, 7))
    y, pullback = layer.vjp(ids)
    d = cotangents(y)
    gradient = pullback(d).weights["embeddings"]
    assert isinstance(gradient, rk.RowGradient)
    assert gradient.ids.tolist() == sorted(set(ids.ravel().tolist())) and gradient.rows.shape == (len(gradient.ids), 4)
    expected = np.zeros((50, 4))
    for i, row in zip(ids.ravel(), d.reshape(-1, 4), strict=True):
        expected[i] += row
    close(gradient.to_dense(), expected)
    close(np.asarray(gradient), expected)
    assert np.asarray(gradient, "float32").dtype == "float32"


def test_masked_ids_get_what_comes_back_to_them():
    model = rk.Sequential([rk.Embedding(6, 2, mask_zero=True, dtype="float64"), gru(return_sequences=True)], seed=0)
    y, pullback = model.vjp([[3, 0, 4]])
    gradient = pullback(np.ones_like(y)).weights["0/embeddings"]
    assert gradient.ids.tolist() == [0, 3, 4]
    assert not gradient.rows[0].any() and gradient.rows[1:].all()
    same_bits(np.asarray(pullback(np.ones_like(y)).weights["0/embeddings"]), gradient.to_dense())


def test_a_row_gradient_counts_as_its_dense_form():
    gradient = rk.RowGradient(np.array([1, 3]), np.array([[1.0, 2.0], [3.0, 4.0]], "float32"), (5, 2))
    dense = np.array([[0, 0], [1, 2], [0, 0], [3, 4], [0, 0]], "float32")
    table = np.ones((5, 2), "float32")
    assert (gradient.shape, gradient.ndim, gradient.dtype, len(gradient)) == ((5, 2), 2, np.float32, 5)
    for got, expected in (
        (np.asarray(gradient), dense),
        (table - 0.5 * gradient, table - 0.5 * dense),
        (gradient / 2, dense / 2),
        (gradient + gradient, dense + dense),
        (-gradient, -dense),
        (gradient**2, dense**2),
        (np.square(gradient), dense**2),
        (np.sqrt(gradient), np.sqrt(dense)),
    ):
        assert isinstance(got, np.ndarray) and got.dtype == "float32"
        assert got.tolist() == expected.tolist()
    assert np.sum(gradient) == 10
    table -= gradient
    assert table.tolist() == (1 - dense).tolist()
    assert np.array(gradient, copy=True).tolist() == dense.tolist()
    with pytest.raises(ValueError, match="copy"):
        gradient.__array__(copy=False)
    assert repr(gradient) == "RowGradient(2 of 5 rows, float32 (5, 2))"


def test_frequent_ids_are_summed_exactly_enough(rng):
    layer = rk.Embedding(3, 1)
    ids = np.ones(100_000, int)
    y, pullback = layer.vjp(ids)
    d = rng.random(y.shape, "float32")
    np.testing.assert_allclose(pullback(d).weights["embeddings"].rows[0, 0], d.sum(dtype="float64"), rtol=3e-6)


# Public names


def test_the_memory_limit_is_set_without_numba():
    code = """
import sys, rnnkit as rk
assert rk.get_memory_limit() == 123
rk.set_memory_limit(1 << 20)
assert rk.get_memory_limit() == 1 << 20
for wrong in (-1, 1.5, True, "1"):
    try:
        rk.set_memory_limit(wrong)
    except ValueError as error:
        assert "expected a number of bytes" in str(error)
    else:
        raise AssertionError(wrong)
assert "numba" not in sys.modules
"""
    processes.run([sys.executable, "-c", code], check=True, env=os.environ | {"RNNKIT_MEMORY_LIMIT": "123"})


@pytest.mark.parametrize("features", [1, 3, 8, 17, 40])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_of_one_id_are_added_up_in_order_128_at_a_time(features, dtype, rng):
    for ids, table in (
        (rng.integers(0, 9, 700), 9),
        (rng.integers(0, 100_000, 50), 100_000),
        (np.where(rng.random(600) < 0.7, 0, rng.integers(0, 40, 600)), 1 << 16),
        (np.array([], int), 4),
        (np.array([3]), 4),
    ):
        rows = rng.normal(size=(len(ids), features)).astype(dtype)
        gradient = rk.RowGradient.sums(ids, rows, (table, features))
        assert gradient.ids.tolist() == sorted(set(ids.tolist()))
        for i, row in zip(gradient.ids, gradient.rows, strict=True):
            own, total = rows[ids == i], np.zeros(features, dtype)
            for start in range(0, len(own), 128):
                part = np.zeros(features, dtype)
                for one in own[start : start + 128]:
                    part += one
                total += part
            same_bits(row, total)
