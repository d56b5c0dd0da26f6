"""Calls that are repeated: the bits of the ordinary way, whatever is called, and whatever happens in between."""

import copy
import gc
import math
import pickle
import threading
import weakref

import numpy as np
import pytest
from matrix import same_bits

import rnnkit as rk
from rnnkit.layers.dot import Dot
from rnnkit.layers.support import runner, watching
from rnnkit.layers.support.layer_tree import all_layers
from rnnkit.layers.support.runner import SURE, Runner
from rnnkit.models.subclassed_layer import SubclassedLayer

RNG = np.random.default_rng(0)
ENOUGH = Runner._met + SURE + 1  # calls until the next one is repeated


def numbers(*shape):
    return RNG.normal(size=shape)


def ordinary(layer, *arguments, **keywords):
    """A call as it is without recordings."""
    return type(layer).__call__.__wrapped__(layer, *arguments, **keywords)


def warm(layer, *shape):
    """Call it until calls of this shape are repeated."""
    for _ in range(ENOUGH):
        layer(numbers(*shape))
    return layer


def is_repeated(layer):
    return [kind.refusal or kind.agreed == SURE for kind in layer._call_runner._kinds.values()]


def check(layer, *shape):
    for _ in range(3):
        x = numbers(*shape)
        same_bits([layer(x)], [ordinary(layer, x)])


def two_ways():
    x = rk.Input((5, 3))
    steps = rk.Bidirectional(rk.GRU(4, return_sequences=True))(x)
    _, state = rk.GRU(4, return_state=True)(steps)
    return rk.Model(x, [rk.Dense(1)(state + rk.GRU(4)(steps, initial_state=[state])), steps])


def operations():
    """Operators and functions of NumPy, views among what it gives."""
    x = rk.Input((5, 3))
    h = np.concatenate([x[:, ::2], np.maximum(x, 0.1)[:, 1:3], np.where(x > 0, x, 0.3 * x)[:, :1]], axis=1)
    scores = np.matmul(h, np.transpose(x, (0, 2, 1)))
    shares = np.exp(scores - np.max(scores, axis=-1, keepdims=True))
    shares = shares / np.sum(shares, axis=-1, keepdims=True)
    same = np.equal(x, x[:, :1]).astype("float32")
    return rk.Model(
        x, [np.matmul(shares, x), np.mean(np.stack([x, same], axis=1), axis=1) - same, x[:, 0], np.reshape(x, (-1, 15))]
    )


def merged():
    x = rk.Input((5, 3))
    y, turned = rk.Dense(3)(x), rk.Permute((2, 1))(x)
    kinds = rk.Add, rk.Subtract, rk.Multiply, rk.Average, rk.Maximum, rk.Minimum, rk.Concatenate
    found = [kind()([x, y]) for kind in kinds] + [rk.Add()([x, y, y, rk.Dense(1)(x)]), rk.Maximum()([x])]
    found += [Dot((2, 1), normalize)([x, turned]) for normalize in (False, True)]
    return rk.Model(x, [*found, Dot(2)([y, x]), rk.Flatten()(turned)])


LAYERS = {
    "LSTM": lambda: rk.LSTM(4),
    "all that it returns": lambda: rk.GRU(4, return_sequences=True, return_state=True, go_backwards=True),
    "a stack": lambda: rk.RNN([rk.GRUCell(4), rk.GRUCell(4)], return_state=True),
    "dropout": lambda: rk.GRU(4, dropout=0.5, recurrent_dropout=0.5),
    "Bidirectional": lambda: rk.Bidirectional(rk.GRU(4, return_sequences=True), merge_mode="ave"),
    "Dense": lambda: rk.Dense(4, activation="tanh"),
    "Lambda": lambda: rk.Lambda(lambda x: np.exp(-x)),
    "Masking": lambda: rk.Masking(),
    "TimeDistributed": lambda: rk.TimeDistributed(rk.Dense(2)),
    "Sequential": lambda: rk.Sequential([rk.Masking(), rk.GRU(4), rk.Dropout(0.5), rk.Dense(1)]),
    "Model": two_ways,
    "a reservoir": lambda: rk.RNN(rk.ESNCell(20, seed=0)),
    "operations": operations,
    "merged": merged,
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", LAYERS)
def test_T13_the_bits_are_those_of_the_ordinary_way(name, dtype):
    layer = LAYERS[name]()
    for rows in (2, 1):
        for _ in range(ENOUGH + 3):
            x = numbers(rows, 5, 3).astype(dtype)
            x[:, 3:] *= RNG.random() < 0.5
            same_bits(flat(layer(x)), flat(ordinary(layer, x)))
    assert is_repeated(layer) == [True, True]


def flat(found):
    if isinstance(found, (list, tuple)):
        return [array for one in found for array in flat(one)]
    return [] if found is None else [found]


@rk.cell(states={"h": 3})
def reading(x, states, weights, constants):
    h = 0.5 * states[0] + x * constants[0]
    return h, h


ARGUMENTS = {
    "a mask": (lambda: rk.LSTM(4, return_sequences=True), lambda: [[numbers(2, 5, 3)], {"mask": numbers(2, 5) > 0}]),
    "a mask by place": (lambda: rk.GRU(4), lambda: [[numbers(2, 5, 3), None, numbers(2, 5) > 0], {}]),
    "a state": (
        lambda: rk.GRU(4, return_state=True),
        lambda: [[numbers(2, 1, 3)], {"initial_state": [numbers(2, 4).astype("f")]}],
    ),
    "states of a stack": (
        lambda: rk.RNN([rk.LSTMCell(4), rk.GRUCell(4)], return_state=True),
        lambda: [[numbers(2, 1, 3), [[numbers(2, 4), numbers(2, 4)], numbers(2, 4)]], {}],
    ),
    "constants": (lambda: rk.RNN(reading()), lambda: [[numbers(2, 5, 3)], {"constants": [numbers(2, 3)]}]),
    "several arrays": (
        lambda: rk.Concatenate(), lambda: [[[numbers(2, 5, 3), numbers(2, 5, 1)]], {"training": False}],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ARGUMENTS)
def test_with_other_arguments(name):
    make, given = ARGUMENTS[name]
    layer = make()
    for _ in range(ENOUGH + 3):
        arguments, keywords = given()
        same_bits(flat(layer(*arguments, **keywords)), flat(ordinary(layer, *arguments, **keywords)))
    assert is_repeated(layer) == [True]


def test_masks_that_leave_out_all_steps_and_none():
    layer = rk.Bidirectional(rk.GRU(4, return_sequences=True))
    for share in (0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 1, 0, 0.3, 0.9):
        x, mask = numbers(3, 6, 3), RNG.random((3, 6)) < share
        same_bits([layer(x, mask=mask)], [ordinary(layer, x, mask=mask)])
    assert is_repeated(layer) == [True]


def test_a_long_row_of_few_units_is_done_by_one_thread_and_repeated(threads):
    threads(2)
    layer = warm(rk.LSTM(32, return_sequences=True), 1, 1000, 1)
    check(layer, 1, 1000, 1)
    assert is_repeated(layer) == [True]


def test_masks_of_dropout_are_drawn_at_each_call():
    layers = [rk.GRU(4, dropout=0.5, seed=0), rk.GRU(4, dropout=0.5, seed=0)]
    x = numbers(2, 5, 3)
    for _ in range(ENOUGH + 3):
        found = [layers[0](x, training=True), ordinary(layers[1], x, training=True)]
        same_bits(found[:1], found[1:])
        x = numbers(2, 5, 3)
    assert is_repeated(layers[0]) == [True]


def test_ids():
    layer = rk.Sequential([rk.Embedding(9, 4, mask_zero=True), rk.GRU(4)])
    for _ in range(ENOUGH + 2):
        ids = RNG.integers(0, 9, (2, 5))
        same_bits([layer(ids)], [ordinary(layer, ids)])
    assert is_repeated(layer) == [True]
    with pytest.raises(ValueError, match="expected ids from 0 to 8, got 12"):
        layer(np.where(ids == ids[0, 0], 12, ids))
    same_bits([layer(ids)], [ordinary(layer, ids)])


def test_T13_results_and_arguments_are_the_callers():
    layer = warm(rk.GRU(4, return_sequences=True, return_state=True), 2, 5, 3)
    x = numbers(2, 5, 3)
    first = layer(x)
    kept = [array.copy() for array in first]
    x[:] = 0
    second = layer(numbers(2, 5, 3)[:, ::-1])
    second[0][:] = 7
    same_bits(list(first), kept)
    assert all(array.flags.owndata and array.flags.writeable for array in first)
    check(layer, 2, 5, 3)


def views(array):
    """The same numbers in other memory: in another order, backwards, of each second entry, that can't be written."""
    fixed, wide = array.copy(), np.repeat(array, 2, axis=-1)
    fixed.flags.writeable = False
    return [array, np.asfortranarray(array), array[::-1, ::-1].copy()[::-1, ::-1], wide[..., ::2], fixed]


WHERE_THEY_ARE = {
    "outputs": (lambda: rk.LSTM(4, return_sequences=True), {0, 1}),
    "the last": (lambda: rk.GRU(4), {0, 1}),
    "backwards": (lambda: rk.GRU(4, go_backwards=True), {1}),
    "states": (lambda: rk.LSTM(4, return_sequences=True, return_state=True), {0, 1, 2, 3}),
    "a stack of layers": (lambda: rk.Sequential([rk.GRU(4, return_sequences=True), rk.LSTM(3)]), {0, 1}),
    "an argument": (lambda: rk.Dropout(0.5), set()),
}  # fmt: skip


@pytest.mark.parametrize("name", WHERE_THEY_ARE)
def test_T13_arrays_are_used_where_they_are(name, monkeypatch):
    monkeypatch.setattr(runner, "_SMALL", 0)
    make, redirected = WHERE_THEY_ARE[name]
    layer = warm(make(), 2, 5, 3)
    (kind,) = layer._call_runner._kinds.values()
    assert kind.redirected == redirected and kind.refusal is None
    for x in views(numbers(2, 5, 3)):
        before, found = x.copy(), flat(layer(x))
        same_bits(found, flat(ordinary(layer, x)))
        assert not any(
            np.shares_memory(a, b) for a in found for b in (x, *kind.stages[0].places, *flat(kind.stages[0].result))
        )
        assert all(array.flags.owndata and array.flags.writeable for array in found)
        np.testing.assert_array_equal(x, before)


def test_T13_constants_are_used_where_they_are():
    layer = rk.RNN(reading(), return_sequences=True)
    for _ in range(ENOUGH):
        layer(numbers(2, 5, 3), constants=[numbers(2, 3)])
    (kind,) = layer._call_runner._kinds.values()
    assert kind.redirected == {0, 1, 2} and kind.call is not None
    for x, constant in zip(views(numbers(2, 5, 3)), views(numbers(2, 3))[::-1], strict=True):
        same_bits([layer(x, constants=[constant])], [ordinary(layer, x, constants=[constant])])
    for wrong in ([], [numbers(2, 4)], [numbers(3, 3)], [None]):
        with pytest.raises((ValueError, TypeError), match="constants"):
            layer(x, constants=wrong)
    same_bits([layer(x, constants=[3 * constant])], [ordinary(layer, x, constants=[3 * constant])])


@rk.cell(states={"h": (), "n": ()}, initial={"n": 1.0}, weights={"w": rk.Weight(("features",))}, per_row=True)
def by_row(x, states, weights):
    h = 0.5 * states.h + (x @ weights.w if x[0] > 0 else 1.0)
    return h * states.n, (h, states.n + 1)


@rk.cell(states={"h": ()}, per_row=True)
def by_row_and_constants(x, states, constants):
    h = 0.5 * states.h + x[0] * constants[0][1]
    return np.array([h, constants[0][0]]), h


LENGTHS = {
    "outputs": (lambda: rk.RNN(by_row(), return_sequences=True), {}, True),
    "the last": (lambda: rk.RNN(by_row()), {}, True),
    "constants": (
        lambda: rk.RNN(by_row_and_constants(), return_sequences=True),
        {"constants": [np.array([[1.0, 2.0]] * 2)]},
        True,
    ),
    "a start": (lambda: rk.RNN(by_row()), {"initial_state": [np.array([1.0, 2.0])] * 2}, True),
    "backwards": (lambda: rk.RNN(by_row(), return_sequences=True, go_backwards=True), {}, False),
    "states": (lambda: rk.RNN(by_row(), return_state=True), {}, False),
    "by the batch": (lambda: rk.LSTM(4, return_sequences=True), {}, False),
    "an own axis": (lambda: rk.TimeDistributed(rk.RNN(by_row())), {}, False),
}


@pytest.mark.parametrize("name", LENGTHS)
@pytest.mark.parametrize("rows", [2, 1])
def test_T13_calls_of_any_number_of_steps(name, rows):
    make, keywords, is_any = LENGTHS[name]
    layer, more = make(), (2,) if name == "an own axis" else ()
    keywords = {name: [array[:rows] for array in arrays] for name, arrays in keywords.items()}

    def call(steps):
        x = numbers(rows, steps, *more, 3)
        same_bits(flat(layer(x, **keywords)), flat(ordinary(layer, x, **keywords)))

    for steps in (*range(20, 40), 41, 1, 70, 5, 5, 5, 5, 5, 5, 5, 6, 5):
        call(steps)
    (kind,) = layer._call_runner._longer.values()
    assert (kind.agreed, kind.steps > 0) == ((runner.SURE, True) if is_any else (0, False))
    assert (kind.refusal is None) == is_any
    call(50)
    if layer.get_weights():
        layer.set_weights([2 * one for one in layer.get_weights()])
        call(51), call(52)
    layer.trainable = False
    call(53), call(54)
    layer(numbers(rows, 0, *more, 3), **keywords)
    call(7)


def test_an_array_that_is_given_twice(monkeypatch):
    monkeypatch.setattr(runner, "_SMALL", 0)
    layer = rk.RNN(reading(), return_state=True)
    for _ in range(ENOUGH + 3):
        x = numbers(3, 3, 3)
        given = {"initial_state": [x[0]], "constants": [x[0]]}
        same_bits(flat(layer(x, **given)), flat(ordinary(layer, x, **given)))
    assert is_repeated(layer) == [True]


@rk.cell(states={"h": 4})
def scaled(x, states, weights, constants):
    h = 0.5 * states[0] + x * constants[0][:, :4]
    return h, h


def test_T13_an_input_that_a_program_reads_in_two_roles():
    """Numbers that stay the same at first show nothing: what is read elsewhere has to be known."""
    x = rk.Input((3, 4))
    model = rk.Model(x, rk.RNN(scaled(), return_sequences=True)(x, constants=[rk.Reshape((12,))(x)]))
    for _ in range(ENOUGH + 3):
        model(np.ones((2, 3, 4), np.float32))
    x = numbers(2, 3, 4).astype("float32")
    same_bits([model(x)], [ordinary(model, x)])
    assert is_repeated(model) == [True]


@rk.cell(states={"h": 3}, per_row=True)
def looked_up(x, states):
    h = states.h.copy()
    h[int(x[0])] += 1.0
    return h, (h,)


def test_a_row_that_fails_in_a_repeated_call():
    layer = rk.RNN(looked_up(), return_sequences=True)
    for k in range(ENOUGH + 3):
        x = np.full((1, 4, 1), k % 3, np.float32)
        same_bits([layer(x)], [ordinary(layer, x)])
    assert is_repeated(layer) == [True]
    for place in (5, -4, np.nan):
        x[0, 2] = place
        with pytest.raises(IndexError, match="row 0 fails at step 2"):
            layer(x)
        x[0, 2] = 1
        same_bits([layer(x)], [ordinary(layer, x)])


CHANGES = {
    "all weights": lambda layer: layer.set_weights([0.5 * w for w in layer.get_weights()]),
    "one weight": lambda layer: layer.weights.__setitem__("bias", np.ones_like(layer.weights["bias"])),
    "what it returns": lambda layer: setattr(layer, "return_sequences", True),
    "its direction": lambda layer: setattr(layer, "go_backwards", True),
    "whether it keeps states": lambda layer: setattr(layer, "stateful", True),
    "the number of threads": lambda layer: rk.set_num_threads(1),
    "a gradient": lambda layer: layer.vjp(numbers(2, 5, 3)),
    "sparse": lambda layer: layer.set_weights([0.0 * w for w in layer.get_weights()]),
}


@pytest.mark.parametrize("what", CHANGES)
def test_T13_what_changes_in_between_counts(what):
    layer, threads = warm(rk.GRU(4, dtype="float64"), 2, 5, 3), rk.get_num_threads()
    try:
        CHANGES[what](layer)
        for _ in range(ENOUGH + 2):
            x = numbers(2, 5, 3)
            kept = None if layer._kept is None else layer._kept[0].copy()
            found = layer(x)
            after, layer._kept = layer._kept, None if kept is None else (kept,)
            same_bits([found], [ordinary(layer, x)])
            layer._kept = after
    finally:
        rk.set_num_threads(threads)


def test_weights_that_another_layer_changes():
    """A cell in two layers."""
    cell = rk.GRUCell(4)
    layer, other = warm(rk.RNN(cell), 2, 5, 3), rk.RNN(cell)
    other(numbers(2, 5, 3))
    other.set_weights([0.5 * w for w in other.get_weights()])
    check(layer, 2, 5, 3)


def test_inside_a_model_that_is_trained():
    model = rk.Sequential([rk.GRU(4), rk.Dense(1)], seed=0, dtype="float64")
    model.compile("adam", "mse")
    x = numbers(4, 5, 3)
    for _ in range(3):
        warm(model, 2, 5, 3)
        check(model, 2, 5, 3)
        model.fit(x, x[:, 0, :1], epochs=6, verbose=0)
        check(model, 2, 5, 3)


def test_states_from_a_call_to_the_next():
    layer = rk.GRU(4, stateful=True, dtype="float64")
    other = copy.deepcopy(layer)
    x = numbers(2, 60, 3)
    layer.build(x.shape)
    other.build(x.shape)
    other.set_weights(layer.get_weights())
    for t in range(0, 60, 5):
        found = layer(x[:, t : t + 5])
    same_bits([found], [other(x)])
    assert is_repeated(layer) == ["an array (2, 4) that no recorded operation wrote is read"]


def test_code_of_the_users_runs_at_each_call():
    class Counting(rk.Sequential):
        calls = 0

        def __call__(self, inputs, mask=None, training=False):
            Counting.calls += 1
            return super().__call__(inputs, mask, training)

    model = Counting([rk.GRU(4)])
    for _ in range(ENOUGH + 3):
        model(numbers(2, 5, 3))
    assert Counting.calls == ENOUGH + 3

    started = []

    class Starting(rk.GRUCell):
        def get_initial_state(self, batch_size=None, dtype=None):
            started.append(1)
            return np.full((batch_size, 4), 0.01 * len(started))

    layer = rk.RNN(Starting(4))
    layer(np.zeros((2, 5, 3)))
    del started[:]
    found = [layer(np.zeros((2, 5, 3))) for _ in range(ENOUGH + 3)]
    assert len({array.tobytes() for array in found}) == len(found) == len(started)


@pytest.mark.parametrize("start", [1.5, lambda batch_size: np.full((batch_size, 3), 1.5)])
def test_a_start_of_numbers_is_not_asked_for_at_each_call(start, monkeypatch):
    @rk.cell(states={"h": 3}, initial={"h": start})
    def started(x, states, weights):
        h = 0.5 * states[0] + x
        return h, h

    layer, asked = warm(rk.RNN(started()), 2, 5, 3), []
    assert is_repeated(layer) == [True]
    own = type(layer.cell).get_initial_state
    monkeypatch.setattr(type(layer.cell), "get_initial_state", lambda *given: asked.append(1) or own(*given))
    layer(numbers(2, 5, 3))
    assert len(asked) == (start != 1.5)
    monkeypatch.undo()
    check(layer, 2, 5, 3)


def test_eager_calls_run_the_step():
    layer = warm(rk.RNN(rk.GRUCell(4)), 2, 5, 3)
    seen = []
    step = layer.cell.call
    layer.cell.call = lambda *arguments, **keywords: seen.append(1) or step(*arguments, **keywords)
    with rk.eager():
        layer(numbers(2, 5, 3))
    assert seen


def test_an_own_vjp_in_python_runs_at_each_call():
    seen = []

    def back(x, states, weights, d_output, d_states):
        if type(x) is not np.ndarray:
            raise TypeError("can't be traced")
        seen.append(1)
        return d_output + d_states[0], (d_states[0] + d_output,), {}

    @rk.cell(states={"h": "features"}, vjp=back)
    def adds(x, states, weights):
        return states[0] + x, states[0] + x

    layer, x = rk.RNN(adds()), numbers(2, 5, 3)
    for _ in range(2 * ENOUGH):
        y, pullback = layer.vjp(x)
        pullback(y)
    assert len(seen) == 2 * ENOUGH * 5


def test_large_calls_and_many_kinds_are_not_kept(monkeypatch):
    monkeypatch.setattr(rk.Dense, "_recorded_bytes", 1 << 10)
    monkeypatch.setattr(runner, "LARGEST", 1 << 14)
    monkeypatch.setattr(Runner, "_long", math.inf)  # whatever else the machine does
    layer = warm(warm(rk.Dense(3, dtype="float32"), 2, 5, 3), 4, 1 << 12, 3)
    assert is_repeated(layer) == [True, "it holds more than 16,384 bytes"]
    for steps in range(80, 90):  # each may be kept, and not all of them
        warm(layer, 2, steps, 3)
    assert is_repeated(layer)[2:] in ([True], [True] * 2)
    monkeypatch.setattr(Runner, "_long", 0.0)
    layer = warm(warm(rk.Dense(3, dtype="float32"), 2, 5, 3), 2, 100, 3)
    assert is_repeated(layer) == [True, "it takes long beside Python"]
    for steps in range(1, 40):
        layer(numbers(1, steps, 3))
    assert len(is_repeated(layer)) == Runner._most


@pytest.mark.parametrize("make", [lambda: rk.Dropout(0.5), rk.Maximum, lambda: rk.Permute((2, 1))])
def test_calls_that_copy_more_than_they_save_are_not_kept(make):
    """A function of NumPy takes less time by itself than with copies of its arrays; programs take them as they are."""
    layer = make()
    for size in (16, 512):
        x = numbers(16, size, 32).astype("float32")
        for _ in range(ENOUGH):
            layer([x, x] if isinstance(layer, rk.Maximum) else x)
    assert is_repeated(layer) == [True, "it copies arrays for longer than Python takes"]
    dense = rk.Dense(3)
    for _ in range(ENOUGH):
        dense(x)
    assert is_repeated(dense) == [True]


def in_threads(expect, find, count):
    """Several threads, each with an array of its own, find again and again what is expected of it."""
    wrong = []

    def call(seed):
        x = np.random.default_rng(seed).normal(size=(2, 5, 3))
        expected = expect(x)
        for _ in range(count):
            if any(a.tobytes() != b.tobytes() for a, b in zip(find(x), expected, strict=True)):
                wrong.append(seed)

    threads = [threading.Thread(target=call, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_from_several_threads():
    layer = warm(rk.GRU(4, return_sequences=True), 2, 5, 3)
    in_threads(lambda x: [ordinary(layer, x)], lambda x: [layer(x)], 200)


def test_copies_repeat_calls_of_their_own():
    layer = warm(rk.GRU(4), 2, 5, 3)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        other.set_weights([0.5 * w for w in other.get_weights()])
        warm(other, 2, 5, 3)
        check(other, 2, 5, 3)
        check(layer, 2, 5, 3)


@pytest.mark.parametrize("make", [lambda: rk.GRU(4), lambda: rk.Sequential([rk.GRU(4), rk.Dense(1)])])
def test_a_layer_goes_when_nobody_has_it(make):
    """At once, without the garbage collector: weights may be large."""
    layer = warm_vjp(warm(make(), 2, 5, 3), 2, 5, 3)
    gone = weakref.ref(layer)
    gc.disable()
    try:
        del layer
        assert gone() is None
    finally:
        gc.enable()


def test_shallow_copies_are_layers_of_their_own():
    layer = warm(rk.GRU(4), 2, 5, 3)
    other = copy.copy(layer)
    other.return_sequences = True
    for _ in range(2 * ENOUGH):
        x = numbers(2, 5, 3)
        same_bits([other(x)[:, -1]], [layer(x)])


def test_a_call_that_fails_is_the_ordinary_error():
    layer = warm(rk.GRU(4), 2, 5, 3)
    for _ in range(ENOUGH):
        with pytest.raises(ValueError, match=r"expected x of shape \(batch, time, 3\), got \(2, 5, 4\)"):
            layer(numbers(2, 5, 4))
    check(layer, 2, 5, 3)


# Calls with their gradient


def ordinary_vjp(layer, *arguments, **keywords):
    return type(layer).vjp.__wrapped__(layer, *arguments, **keywords)


def gradient(pullback, outputs, seed=0):
    """All that a pullback gives for cotangents drawn from a seed, flat."""
    rng = np.random.default_rng(seed)
    d = [rng.normal(size=array.shape).astype(array.dtype) for array in flat(outputs)]
    g = pullback.pull(d)
    return [np.asarray(array) for array in g.weights.values()] + flat([g.x, g.initial_state, g.constants])


def warm_vjp(layer, *shape):
    for _ in range(ENOUGH):
        layer.vjp(numbers(*shape))
    return layer


def repeats_vjps(layer):
    return [kind.refusal or kind.agreed == SURE for kind in layer._vjp_runner._kinds.values()]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", LAYERS)
def test_T13_a_gradient_has_the_bits_of_the_ordinary_way(name, dtype):
    """Of the last call and of earlier ones, after the weights were replaced, and asked for again."""
    layer = LAYERS[name]()
    found, expected = [], []
    for i in range(ENOUGH + 4):
        x = numbers(2, 5, 3).astype(dtype)
        outputs, pullback = layer.vjp(x)
        own, wanted = ordinary_vjp(layer, x)
        same_bits(flat(outputs), flat(own))
        x[:] = 7
        expected.append(gradient(wanted, own, i))
        if i % 2:
            same_bits(gradient(pullback, outputs, i), expected[-1])
        found.append((pullback, outputs))
        layer.set_weights([0.9 * array for array in layer.get_weights()])
    assert repeats_vjps(layer) == [True]
    for i in (len(found) - 1, 0, len(found) - 3, len(found) - 3, len(found) - 1):
        same_bits(gradient(*found[i], i), expected[i])


def test_the_gradient_of_a_table():
    layer, found, expected = rk.Sequential([rk.Embedding(9, 4, mask_zero=True), rk.GRU(4)]), [], []
    for i in range(ENOUGH + 3):
        ids = RNG.integers(0, 9, (2, 5))
        outputs, pullback = layer.vjp(ids)
        found.append((pullback, outputs))
        expected.append(gradient(*reversed(ordinary_vjp(layer, ids)), i))
        layer.set_weights([0.9 * array for array in layer.get_weights()])
    assert repeats_vjps(layer) == [True]
    for i in reversed(range(len(found))):
        same_bits(gradient(*found[i], i), expected[i])


def test_cotangents_of_zeros_and_of_wrong_shapes():
    layer = warm_vjp(rk.GRU(4, return_sequences=True, return_state=True), 2, 5, 3)
    x = numbers(2, 5, 3)
    (outputs, state), pullback = layer.vjp(x)
    for d in ((outputs, None), (None, state), None):
        found, expected = pullback(d), ordinary_vjp(layer, x)[1](d)
        same_bits(list(found.weights.values()), list(expected.weights.values()))
        same_bits([found.x, *found.initial_state], [expected.x, *expected.initial_state])
    with pytest.raises(ValueError, match="expected d_outputs of shape"):
        pullback((outputs[:, 1:], None))


CHANGING = {
    "dropout": lambda: rk.GRU(4, dropout=0.5, seed=0, return_sequences=True),
    "averages": lambda: rk.BatchNormalization(),
    "both": lambda: rk.Sequential([rk.GRU(4), rk.BatchNormalization(), rk.Dropout(0.5), rk.Dense(1)], seed=0),
}


@pytest.mark.parametrize("name", CHANGING)
def test_a_gradient_is_that_of_what_its_call_drew_and_leaves_what_calls_change(name):
    layer, other = CHANGING[name](), CHANGING[name]()
    other.build((None, 5, 3))
    layer.build((None, 5, 3))
    other.set_weights(layer.get_weights())
    found, expected = [], []
    for i in range(ENOUGH + 4):
        x = numbers(2, 5, 3)
        outputs, pullback = layer.vjp(x, training=True)
        own, wanted = ordinary_vjp(other, x, training=True)
        same_bits([outputs], [own])
        expected.append(gradient(wanted, own, i))
        found.append((pullback, outputs))
        if i % 2:
            same_bits(gradient(pullback, outputs, i), expected[-1])
        same_bits(layer.get_weights(), other.get_weights())
    assert repeats_vjps(layer) == [True]
    for i in (0, len(found) - 1, len(found) - 3, len(found) - 3):
        same_bits(gradient(*found[i], i), expected[i])
        same_bits(layer.get_weights(), other.get_weights())
    x = numbers(2, 5, 3)
    same_bits([layer(x, training=True)], [other(x, training=True)])


def test_a_loop_of_ones_own():
    """vjp, an update and other weights at each step: as without recordings."""
    layers = [rk.Sequential([rk.GRU(4), rk.Dense(1)], seed=0, dtype="float64") for _ in range(2)]
    x, y = numbers(4, 5, 3), numbers(4, 1)
    for layer, vjp in zip(layers, (rk.Sequential.vjp, ordinary_vjp), strict=True):
        optimizer = rk.optimizers.Adam(0.01)
        for _ in range(20):
            found, pullback = vjp(layer, x)
            slopes = pullback(2 * (found - y) / len(y)).weights
            new = optimizer.apply(dict(layer.weights), slopes)
            layer.set_weights([new[name] for name in layer.weights])
    assert repeats_vjps(layers[0]) == [True]
    same_bits(layers[0].get_weights(), layers[1].get_weights())


def test_gradients_from_several_threads():
    layer = warm_vjp(rk.GRU(4, return_sequences=True), 2, 5, 3)
    expect = lambda x: gradient(*reversed(ordinary_vjp(layer, x)))
    in_threads(expect, lambda x: gradient(*reversed(layer.vjp(x))), 60)


def test_a_pullback_after_a_call_that_failed():
    x, ids = rk.Input((5, 3)), rk.Input((5,))
    steps = rk.GRU(4, return_sequences=True)(x)
    model = rk.Model([x, ids], rk.GRU(4)(steps + rk.Embedding(9, 4)(ids)))  # which runs a GRU before it reads the ids
    for _ in range(ENOUGH):
        model.vjp([numbers(2, 5, 3), RNG.integers(0, 9, (2, 5))])
    given = [numbers(2, 5, 3), RNG.integers(0, 9, (2, 5))]
    outputs, pullback = model.vjp(given)
    expected = gradient(*reversed(ordinary_vjp(model, given)))
    with pytest.raises(ValueError, match="expected ids from 0 to 8"):
        model.vjp([numbers(2, 5, 3), given[1] + 9])
    same_bits(gradient(pullback, outputs), expected)
    assert repeats_vjps(model) == [True]


def test_while_another_thread_is_inside():
    """Or was, when this process was forked: nobody waits."""
    layer = warm_vjp(warm(rk.GRU(4, return_sequences=True), 2, 5, 3), 2, 5, 3)
    x = numbers(2, 5, 3)
    outputs, pullback = layer.vjp(x)
    expected = gradient(*reversed(ordinary_vjp(layer, x)))
    before = layer.get_weights()
    layer.set_weights([0.5 * array for array in before])
    runners = layer._call_runner, layer._vjp_runner
    assert all(runner._idle.pop("idle") for runner in runners)
    try:
        check(layer, 2, 5, 3)
        same_bits(gradient(pullback, outputs), expected)  # of the weights from then
        layer.vjp(x)
    finally:
        for runner in runners:
            runner._idle["idle"] = True
    same_bits(gradient(pullback, outputs), expected)


def test_arrays_of_other_arguments_are_told_apart():
    """A call of one program is known by its arrays alone only where these are x and constants."""
    layer, x, h = rk.GRU(4, return_sequences=True), numbers(2, 5, 3), numbers(2, 4)
    for _ in range(ENOUGH):
        layer(x, initial_state=[h])
    for _ in range(2):
        same_bits([layer(x, initial_state=[2 * h])], [ordinary(layer, x, initial_state=[2 * h])])
        with pytest.raises(ValueError, match="expected no constants"):
            layer(x, constants=[h])
    check(warm(layer, 2, 5, 3), 2, 5, 3)
    with pytest.raises(ValueError, match="expected no constants"):
        layer(x, constants=[])


@pytest.mark.parametrize("shape", [(1, 5, 3), (2, 5, 3)])
def test_the_latest_call_is_repeated_as_any(shape):
    """Other shapes, dtypes, weights and settings between calls of one kind are seen."""
    layer = warm(rk.GRU(4, return_sequences=True), *shape)
    x = numbers(*shape)
    for other in (x[:, :4], x.astype(float), x[..., ::-1], x.astype(">f4"), x.tolist()):
        same_bits([layer(x)], [ordinary(layer, x)])
        same_bits([layer(other)], [ordinary(layer, other)])
    layer.set_weights([0.5 * array for array in layer.get_weights()])
    same_bits([layer(x)], [ordinary(layer, x)])
    copied = copy.copy(layer)
    copied.return_sequences = False
    same_bits([layer(x), copied(x)], [ordinary(layer, x), ordinary(layer, x)[:, -1]])


def test_nobody_sees_the_memory_of_a_recording(monkeypatch):
    """Who looks at the weights while a call is recorded, or sets others, does it with the layer's own."""
    layer, seen, record = rk.GRU(4), [], Runner._record

    def watched(self, kind, layer, *arguments):
        seen.append({name: layer.weights[name] for name in layer.weights})
        record(self, kind, layer, *arguments)
        layer.set_weights([0.5 * array for array in layer.get_weights()])

    layer.build((None, None, 3))
    own = dict(layer.weights)
    monkeypatch.setattr(Runner, "_record", watched)
    warm(layer, 2, 5, 3)
    assert len(seen) == 1 and all(seen[0][name] is array for name, array in own.items())
    assert all(np.array_equal(layer.weights[name], np.float32(0.5) * array) for name, array in own.items())
    check(layer, 2, 5, 3)


def test_layers_of_a_model_that_are_exchanged():
    model = warm(rk.Sequential([rk.GRU(4, return_sequences=True), rk.GRU(4), rk.Dense(2)]), 2, 5, 3)
    model.layers.pop()
    check(model, 2, 5, 3)
    other = rk.GRU(4)
    other.build((None, None, 4))
    model.layers[1] = other
    check(model, 2, 5, 3)


def test_T13_layers_of_an_inner_model_that_are_exchanged():
    inner = rk.Sequential([rk.GRU(4, return_sequences=True), rk.Dense(4), rk.Dense(2)])
    model = warm(rk.Sequential([inner, rk.Dense(2)]), 2, 5, 3)
    other = rk.Dense(2)
    other.build((None, None, 4))
    inner.layers[-1] = other
    check(model, 2, 5, 3)
    inner.layers.pop(1)
    check(model, 2, 5, 3)


def test_T13_a_weight_that_is_assigned():
    class Scaled(SubclassedLayer):
        def build(self, shape):
            self.scale = self.add_weight(shape=shape[-1:], initializer="ones")

        def call(self, x):
            return x * self.scale

    layer = warm(Scaled(), 2, 5, 3)
    assert is_repeated(layer) == [True]
    layer.scale.assign([2.0, 3.0, 4.0])
    check(layer, 2, 5, 3)


def test_another_layers_change_is_no_reason_to_look_closer(monkeypatch):
    model, other = warm(rk.Sequential([rk.GRU(4), rk.Dense(1)]), 2, 5, 3), rk.Dense(2)
    looked, facts_of = [], watching.facts_of
    monkeypatch.setattr(watching, "facts_of", lambda layers: looked.append(layers) or facts_of(layers))
    other.name = "another"
    other(numbers(2, 3))
    check(model, 2, 5, 3)
    assert not looked
    model.layers[1].name = "its own"
    check(model, 2, 5, 3)
    assert looked[0] == all_layers(model)


def test_a_variable_turns_repetition_off(monkeypatch):
    monkeypatch.setenv("RNNKIT_REPEAT", "0")
    layer = warm_vjp(warm(rk.GRU(4), 2, 5, 3), 2, 5, 3)
    assert is_repeated(layer) == repeats_vjps(layer) == ["RNNKIT_REPEAT=0 turns repetition off"]
    check(layer, 2, 5, 3)
