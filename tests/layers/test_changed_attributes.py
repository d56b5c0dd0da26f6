"""Attributes that change after calls were repeated: as of a layer of which no call was repeated."""

import copy

import numpy as np
import pytest
from layers_under_test import LAYERS, public_layers
from matrix import flat, same_bits

import rnnkit as rk
from rnnkit.circumstances import standing_in
from rnnkit.layers.base import Layer
from rnnkit.layers.support.layer_tree import all_layers, arrays_by_name
from rnnkit.layers.support.runner import SURE, Runner
from rnnkit.layers.traced import Traced

OFTEN = Runner._met + SURE + 1  # calls until the next one is repeated
WORDS = {"valid": "same", "same": "valid", "concat": "sum", "dot": "concat", "numpy:multiply": "numpy:add"}
APART = ("built", "dtype", "stateful", "_initializer", "_regularizer", "_constraint")  # states, and what a build reads

each_layer = pytest.mark.parametrize("name", LAYERS)


def test_every_public_layer_is_here():
    assert set(LAYERS) == set(public_layers())


def halved(x):
    return 0.5 * x


def others(value):
    """Values for an attribute in place of its own; not all of them need be valid."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1]
    if isinstance(value, float):
        return [0.5 * value + 0.1]
    if isinstance(value, str):
        return [WORDS[value]] if value in WORDS else []
    if isinstance(value, (list, tuple)) and value and all(type(one) is int for one in value):
        return [value[::-1], type(value)(one % 2 + 1 for one in value)]
    if isinstance(value, list) and len(value) > 1 and not isinstance(value[0], Layer):
        return [[*value[:-1], 3.0]]
    return [1] if value is None else [halved] if callable(value) and hasattr(value, "__code__") else []


def changes(layer):
    """What may be changed of a layer and of those inside: the place, the name, the value, and whether in place."""
    for i, one in enumerate(all_layers(layer)):
        for name, value in vars(one).items():
            if name[0] != "_" and not name.endswith(APART):
                for other in others(value):
                    yield from [(i, name, other, in_place) for in_place in (False, True)[: 1 + (type(value) is list)]]


def change(layer, place, name, value, in_place):
    """Change it; gives what takes it back."""
    one = all_layers(layer)[place]
    before = getattr(one, name)
    if not in_place:
        setattr(one, name, value)
        return place, name, before, False
    kept, before[:] = [*before], value
    return place, name, kept, True


def outcome(call, layer):
    """The arrays that a call gives, or what it says is wrong."""
    try:
        return call(layer)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def check_changes(subject, warm, call):
    """After each change, a warm layer gives what a copy of it gives, which knows nothing of its recordings."""
    for what in list(changes(subject)):
        warm(subject)
        fresh = copy.deepcopy(subject)
        call(subject), call(fresh)  # which reads its steps
        back, _ = change(subject, *what), change(fresh, *what)
        got, expected = outcome(call, subject), outcome(call, fresh)
        assert type(got) is type(expected), what
        if isinstance(got, str):
            assert got == expected, what
        else:
            same_bits(got, expected)
        change(subject, *back)


@each_layer
def test_T13_a_call_sees_what_changed_after_calls_were_repeated(name):
    case = LAYERS[name]

    def call(layer):
        return flat(layer(*case.given(case.inputs(seed=1)), training=True))

    def warm(layer):
        for seed in range(OFTEN):
            layer(*case.given(case.inputs(seed=seed)), training=True)

    check_changes(case.make(), warm, call)


@each_layer
def test_T13_a_gradient_sees_what_changed_after_calls_were_repeated(name):
    case = LAYERS[name]

    def call(layer):
        outputs, pullback = layer.vjp(*case.given(case.inputs(seed=1)))
        g = pullback.pull([np.ones_like(one) for one in flat(outputs)])
        return [*flat(outputs), *map(np.asarray, g.weights.values()), *(flat(g.x) if g.x is not None else [])]

    def warm(layer):
        for seed in range(OFTEN):
            layer.vjp(*case.given(case.inputs(seed=seed)))

    check_changes(case.make(), warm, call)


@each_layer
def test_T13_an_update_sees_what_changed_after_updates_were_repeated(name):
    case = LAYERS[name]
    arrays = case.inputs(8)
    several = isinstance(arrays, list)
    symbols = [rk.Input(one.shape[1:], dtype=one.dtype) for one in (arrays if several else [arrays])]
    model = rk.Model(symbols, case.make()(*case.given(symbols if several else symbols[0])))
    model.compile("adam", "mse")
    targets = [np.zeros_like(one) for one in flat(model(arrays))]

    def fitted(model):
        history = model.fit(arrays, targets, batch_size=2, shuffle=False, verbose=0)
        return [*model.get_weights(), np.array(history.history["loss"])]

    def warm(model):
        for _ in range(2):
            fitted(model)

    check_changes(model, warm, fitted)


@pytest.mark.parametrize("name", [name for name, case in LAYERS.items() if isinstance(case.make(), Traced)])
def test_T13_a_formula_is_read_anew_after_a_change(name):
    """As a copy that was never called reads it."""
    case = LAYERS[name]

    def called(layer):
        return flat(layer(*case.given(case.inputs(seed=1)), training=True))

    layer = case.make()
    called(layer)
    for what in list(changes(layer)):
        back = change(layer, *what)
        fresh = copy.deepcopy(layer)
        got, expected = outcome(called, layer), outcome(called, fresh)
        assert (got == expected) if isinstance(got, str) else not isinstance(expected, str), what
        if not isinstance(got, str):
            same_bits(got, expected)
        change(layer, *back)


@each_layer
def test_T13_a_call_that_was_planned_sees_what_changed(name, monkeypatch):
    """As a copy does that was called on arrays of another shape, and so has read its steps, but planned other calls."""
    monkeypatch.setenv("RNNKIT_REPEAT", "0")
    case = LAYERS[name]

    def called(layer, rows=None):
        return flat(layer(*case.given(case.inputs(rows, seed=1))))

    layer = case.make()
    called(layer)
    for what in list(changes(layer)):
        fresh = copy.deepcopy(layer)
        called(layer), called(layer), called(fresh, 1)
        back, _ = change(layer, *what), change(fresh, *what)
        got, expected = outcome(called, layer), outcome(called, fresh)
        assert type(got) is type(expected), what
        if isinstance(got, str):
            assert got == expected, what
        else:
            same_bits(got, expected)
        change(layer, *back)


@pytest.mark.parametrize("name", "Dense LSTM MaxPooling1D LayerNormalization Bidirectional PReLU Maximum".split())
def test_a_call_that_is_planned_checks_all_that_its_plan_takes_for_granted(name, monkeypatch):
    """Whatever an array is like that comes after calls on arrays alone, results and errors are those of a new layer."""
    monkeypatch.setenv("RNNKIT_REPEAT", "0")
    case = LAYERS[name]
    layer, new = case.make(), case.make()
    x = case.inputs(dtype="float32")
    several = isinstance(x, list)
    layer(x), new(x)
    new.set_weights(layer.get_weights())
    frozen = lambda one: np.lib.stride_tricks.as_strided(one, writeable=False)
    for kind in (
        lambda one: one,
        lambda one: np.asfortranarray(one),
        lambda one: one[:, ::-1],
        lambda one: one.astype("float64"),
        lambda one: one.astype(">f4"),
        lambda one: (8 * one).astype(int),
        lambda one: one.tolist(),
        frozen,
        lambda one: one[..., None],
        lambda one: one[..., :1],
        lambda one: one[:0],
        lambda one: one[:, :0],
        lambda one: one * 1j,
        lambda one: np.ma.array(one, mask=one > 0),
    ):
        for training in (False, True):
            layer(x), layer(x)
            other = [kind(one) for one in x] if several else kind(x)
            call = lambda one, other=other, training=training: flat(one(other, training=training))
            got, expected = outcome(call, layer), outcome(call, copy.deepcopy(new))
            assert got == expected if isinstance(got, str) else not isinstance(expected, str)
            if not isinstance(got, str):
                same_bits(got, expected)


def test_a_call_that_is_planned_is_of_its_layer():
    """Not of a shallow copy, which has other attributes."""
    x, layer = np.arange(12.0).reshape(1, 4, 3), rk.MaxPooling1D(2)
    layer(x)
    other = copy.copy(layer)
    other._windows = rk.MaxPooling1D(4)._windows
    assert layer(x).shape == layer(x).shape == (1, 2, 3) and other(x).shape == (1, 1, 3)


def test_a_call_that_is_planned_is_of_its_training_and_its_circumstances(monkeypatch):
    monkeypatch.setenv("RNNKIT_REPEAT", "0")
    x, layer, other = np.ones((2, 3, 4)), rk.LSTM(3, dropout=0.5, seed=0), rk.LSTM(3, seed=0)
    y, again = layer(x), layer(x)
    assert np.array_equal(y, again) and not np.array_equal(y, layer(x, training=True))
    other(x)
    other.set_weights([2 * one for one in layer.get_weights()])
    layer(x), layer(x)
    with standing_in([(array, 2 * array) for array in arrays_by_name(layer).values()]):
        same_bits([layer(x)], [other(x)])
    same_bits([layer(x)], [y])
    seen = []

    @rk.cell(states={"h": 1})
    def counting(x, states, weights):
        seen.append(x)
        return states.h, states.h + x

    counts = rk.RNN(counting())
    counts(x[..., :1]), counts(x[..., :1])
    seen.clear()
    with rk.eager():
        assert counts(x[..., :1]).tolist() == [[2.0], [2.0]]
    assert len(seen) == 3


def of_other_arrays(case):
    """Arguments for calls that were repeated in training, with two rows and float64: other kinds of these."""
    shorter = case.inputs(1, seed=9)
    single = case.inputs(seed=9) if case.ids else case.inputs(seed=9, dtype="float32")
    return [(case.inputs(seed=9), False), (shorter, True), (single, True), (case.inputs(seed=9), True)]


@pytest.mark.parametrize("repeats", ["1", "0"])
@each_layer
def test_T13_calls_and_gradients_see_other_weights_shapes_precisions_and_options(name, repeats, monkeypatch):
    """As a copy does, which knows nothing of the recordings, nor of what was planned."""
    monkeypatch.setenv("RNNKIT_REPEAT", repeats)
    case = LAYERS[name]
    layer = case.make()

    def results(layer, x, training):
        given = case.given(x)
        called, (outputs, pullback) = layer(*given, training=training), layer.vjp(*given, training=training)
        g = pullback.pull([np.ones_like(one) for one in flat(outputs)])
        arrays = [*flat(called), *flat(outputs), *map(np.asarray, g.weights.values()), *layer.get_weights()]
        return [*arrays, *(flat(g.x) if g.x is not None else [])]

    for seed in range(OFTEN):
        results(layer, case.inputs(seed=seed), True)
    for x, training in of_other_arrays(case):
        for halves in (False, True):
            fresh = copy.deepcopy(layer)
            for one in (layer, fresh):
                if halves:
                    one.set_weights([0.5 * array for array in one.get_weights()])
            same_bits(results(layer, x, training), results(fresh, x, training))


class Streamed:
    """A stream whose layers are changed."""

    def __init__(self, layer, x):
        layer(x)
        self.stream = layer.stream(len(x))

    def _parts(self):
        return {"layer": self.stream.layer}


@pytest.mark.parametrize("name", [name for name, case in LAYERS.items() if len(case.shapes) == 1])
def test_T13_a_step_of_a_stream_sees_what_changed(name):
    case = LAYERS[name]
    x = case.inputs()
    try:
        streamed = Streamed(case.make(), x)
    except (AttributeError, ValueError):  # of a layer that can't take one step at a time
        return
    step = lambda one: flat(one.stream.step(x[:, 0]))
    check_changes(streamed, lambda one: [step(one) for _ in range(SURE + 2)], step)
    weights = [0.5 * array for array in streamed.stream.layer.get_weights()]
    fresh = copy.deepcopy(streamed)
    for one in (streamed, fresh):
        one.stream.layer.set_weights(weights)
    same_bits(step(streamed), step(fresh))
