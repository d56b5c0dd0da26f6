"""Streams: one step at a time gives the bits of the whole sequence (law L1), and states are the stream's own."""

import copy
import os
import pickle
import threading
import tracemalloc

import numpy as np
import pytest
from gradient_runs import PAPER_CELLS
from matrix import every, flat, same_bits

import rnnkit as rk
from rnnkit.layers.support.layer_tree import all_layers
from rnnkit.layers.support.runner import SURE

RNG = np.random.default_rng(0)
STEPS = 9


def numbers(*shape):
    return RNG.normal(size=shape).astype("float32")


def by_steps(stream, x):
    """The outputs of all steps, one after the other."""
    found = [stream.step(x[:, t]) for t in range(x.shape[1])]
    several = isinstance(found[0], list)
    return [np.stack(one, axis=1) for one in zip(*found, strict=True)] if several else np.stack(found, axis=1)


def is_repeated(stream):
    return [kind.agreed == SURE for kind in stream._runner._kinds.values()] == [True]


@rk.cell(states={"h": 3})
def reading(x, states, weights, constants):
    h = 0.5 * states[0] + x * constants[0]
    return h, h


class Starting(rk.GRUCell):
    def get_initial_state(self, batch_size=None, dtype=None):
        return np.full((batch_size, 4), 0.25)


LAYERS = {
    "SimpleRNN": lambda: rk.SimpleRNN(4, return_sequences=True),
    "LSTM": lambda: rk.LSTM(4, return_sequences=True),
    "the last output": lambda: rk.GRU(4),
    "a start of its own": lambda: rk.RNN(Starting(4), return_sequences=True),
    "a stack": lambda: rk.RNN([rk.LSTMCell(4), rk.GRUCell(3)], return_sequences=True),
    "a reservoir": lambda: rk.RNN(rk.ESNCell(20, seed=0), return_sequences=True),
    "dropout": lambda: rk.GRU(4, dropout=0.5, return_sequences=True),
    "stateful": lambda: rk.GRU(4, stateful=True, return_sequences=True),
}


def functional():
    x = rk.Input((None, 3))
    steps = rk.GRU(4, return_sequences=True)(x)
    shared = rk.LSTM(4, return_sequences=True)
    return rk.Model(x, [rk.Dense(1)(shared(steps) + shared(rk.Concatenate()([steps]))), rk.Dropout(0.5)(steps)])


def operations():
    x = rk.Input((None, 3))
    h = rk.GRU(4, return_sequences=True)(x)
    both = np.concatenate([np.tanh(h) * 2.0, x[..., :2] - 1.0], axis=-1)
    return rk.Model(x, [both / (1.0 + np.max(both**2, axis=-1, keepdims=True)), rk.GRU(3, return_sequences=True)(both)])


MODELS = {
    "operators and functions": operations,
    "layers": lambda: rk.Sequential([rk.LSTM(4, return_sequences=True), rk.Dropout(0.5), rk.Dense(2)]),
    "with a last output": lambda: rk.Sequential([rk.LSTM(4, return_sequences=True), rk.GRU(3), rk.Dense(2)]),
    "each step": lambda: rk.Sequential([rk.GRU(4, return_sequences=True), rk.TimeDistributed(rk.Dense(2))]),
    "several outputs, a shared layer": functional,
    "without memory": lambda: rk.Sequential([rk.Dense(4, activation="tanh"), rk.Lambda(np.exp)]),
}


def whole(layer, x):
    """What a call gives for the steps up to each."""
    for one in all_layers(layer):
        if getattr(one, "stateful", False):
            one._kept = None
    found = [layer(x[:, : t + 1]) for t in range(x.shape[1])]
    if isinstance(found[0], list):
        return [np.stack([last(one[i]) for one in found], axis=1) for i in range(len(found[0]))]
    return np.stack([last(one) for one in found], axis=1)


def last(outputs):
    return outputs[:, -1] if outputs.ndim == 3 else outputs


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", [*LAYERS, *MODELS])
def test_L1_steps_give_the_bits_of_the_whole(name, batch):
    layer = (LAYERS | MODELS)[name]()
    x = numbers(batch, STEPS, 3)
    layer(x[:, :2])
    if name == "stateful":
        kept = layer.states
        layer.stream(batch + 1)  # whatever batch the kept states are of
    stream = layer.stream(batch)
    found = by_steps(stream, x)
    assert is_repeated(stream)
    if name == "stateful":
        same_bits(layer.states, kept)  # which are for calls
        layer.stateful = False
    same_bits(flat([found]), flat([whole(layer, x)]))
    stream.reset()
    same_bits(flat([by_steps(stream, x)]), flat([found]))


@pytest.mark.parametrize(
    "case", every(2, [case for case in PAPER_CELLS if not case.constants]), ids=lambda case: case.name
)
def test_L1_cells_of_papers(case):
    layer = rk.RNN(case.make(), return_sequences=True, dtype="float64", seed=1)
    x = RNG.normal(size=(2, STEPS, *case.features))
    y = layer(x)
    stream = layer.stream(2)
    same_bits([by_steps(stream, x)], [y])
    assert is_repeated(stream) == (case.how == "traced")


def test_constants():
    layer, x, constants = rk.RNN(reading(), return_sequences=True), numbers(2, STEPS, 3), [numbers(2, 3)]
    y = layer(x, constants=constants)
    stream = layer.stream(2, constants)
    constants[0][:] = 7
    same_bits([by_steps(stream, x)], [y])
    assert is_repeated(stream)


def test_ids():
    model = rk.Sequential([rk.Embedding(9, 3), rk.GRU(4, return_sequences=True)])
    ids = RNG.integers(0, 9, (2, STEPS))
    y = model(ids)
    stream = model.stream(2)
    same_bits([by_steps(stream, ids)], [y])
    kept = stream.states
    with pytest.raises(ValueError, match="expected ids from 0 to 8, got 12"):
        stream.step([12, 1])
    with pytest.raises(ValueError, match="expected integer ids"):
        stream.step([0.5, 1])
    same_bits(flat(kept), flat(stream.states))


def test_D8_states_are_those_of_a_call():
    layer = rk.RNN([rk.LSTMCell(4), rk.GRUCell(3)], return_state=True, return_sequences=True, seed=0)
    x = numbers(2, STEPS, 3)
    outputs, *states = layer(x)
    stream = layer.stream(2)
    for t in range(STEPS):
        output, *new = stream.step(x[:, t])
        same_bits([output], [outputs[:, t]])
        same_bits(flat(new), flat(stream.states))
    assert [len(entry) for entry in new if isinstance(entry, list)] == [2]
    same_bits(flat(stream.states), flat(states))
    stream.states[0][0][:] = 7  # a copy
    same_bits(flat(stream.states), flat(states))
    model = functional()
    model(x)
    stream = model.stream(2)
    stream.step(x[:, 0])
    assert [len(entry) for entry in stream.states] == [1, 2, 2]  # the shared layer's twice


def test_D8_rows_that_are_skipped_and_reset():
    layer = rk.GRU(4, return_sequences=True, seed=0)
    x = numbers(3, STEPS, 2)
    used = RNG.random((3, STEPS)) < 0.6
    used[1, :2] = False
    y = layer(x, mask=used)
    stream, found = layer.stream(3), []
    for t in range(STEPS):
        stream.skip(np.flatnonzero(~used[:, t]))
        found.append(stream.step(x[:, t]))
    same_bits([np.stack(found, axis=1)], [y])
    stream.reset(rows=[1])
    stream.skip([1])
    assert not stream.step(x[:, 0])[1].any()  # before its first step
    other = layer.stream(1)
    same_bits([stream.step(x[:, 0])[1:2]], [other.step(x[1:2, 0])])
    for call in (stream.skip, stream.reset):
        with pytest.raises(ValueError, match="expected rows below 3, got 3"):
            call([3])


def two_branches():
    x = rk.Input((None, 2))
    both = [rk.GRU(3, return_sequences=True, zero_output_for_mask=True)(x), rk.LSTM(2, return_sequences=True)(x)]
    return rk.Model(x, [rk.Dense(2, bias_initializer="ones")(one) for one in both], seed=0)


@pytest.mark.parametrize("copied", [False, True])
@pytest.mark.parametrize(
    "make",
    [
        lambda: rk.GRU(4, return_sequences=True, zero_output_for_mask=True, seed=0),
        lambda: rk.Sequential([rk.GRU(4, return_sequences=True), rk.Dense(2, bias_initializer="ones")], seed=0),
        lambda: rk.Sequential(
            [
                rk.LSTM(4, return_sequences=True, zero_output_for_mask=True),
                rk.SimpleRNN(3, return_sequences=True),
                rk.Dense(2, bias_initializer="ones"),
            ],
            seed=0,
        ),
        lambda: rk.Sequential(
            [
                rk.LSTM(4, return_sequences=True),
                rk.SimpleRNN(3, return_sequences=True, zero_output_for_mask=True),
                rk.Dense(2, bias_initializer="ones"),
            ],
            seed=0,
        ),
        two_branches,
    ],
)
def test_D8_a_step_that_is_skipped_is_a_masked_one(make, copied):
    """Also before a row's first step, and in layers whose output at masked steps is zeros."""
    model, x, used = make(), numbers(3, STEPS, 2), RNG.random((3, STEPS)) < 0.6
    used[:, 0] = [True, False, True]
    expected = model(x, mask=used)
    stream, found = model.stream(3), []
    for t in range(STEPS):
        if copied and t == STEPS // 2:
            stream = pickle.loads(pickle.dumps(stream))
        stream.skip(np.flatnonzero(~used[:, t]))
        found.append(stream.step(x[:, t]))
    if isinstance(expected, list):
        same_bits([np.stack(several, axis=1) for several in zip(*found, strict=True)], expected)
    else:
        same_bits([np.stack(found, axis=1)], [expected])


def masked_branches():
    x = rk.Input((None, 3))
    steps = rk.LSTM(4, return_sequences=True)(rk.Masking()(x))
    return rk.Model(x, [rk.Dense(2)(rk.Add()([steps, rk.Dense(4)(x)])), rk.GRU(3)(steps)])


@pytest.mark.parametrize(
    "make",
    [
        lambda: rk.Sequential([rk.Masking(), rk.GRU(4, return_sequences=True), rk.Dense(2)]),
        lambda: rk.Sequential(
            [rk.Dense(3, use_bias=False), rk.Masking(), rk.LSTM(4, return_sequences=True), rk.GRU(3)]
        ),
        lambda: rk.Sequential([rk.Masking(), rk.GRU(4, return_sequences=True, zero_output_for_mask=True), rk.GRU(4)]),
        masked_branches,
    ],
)
def test_D8_steps_that_a_layer_masks(make):
    """Before a row's first used step, too, and together with rows that are skipped."""
    model, x = make(), numbers(3, STEPS, 3)
    x[RNG.random((3, STEPS)) < 0.5] = 0
    x[0, :3] = 0
    expected, stream = whole(model, x), model.stream(3)
    same_bits(flat([by_steps(stream, x)]), flat([expected]))
    assert is_repeated(stream)
    stream.reset()
    used = RNG.random((3, STEPS)) < 0.7
    for t in range(STEPS):
        stream.skip(np.flatnonzero(~used[:, t]))
        found = stream.step(x[:, t])
    same_bits(flat([found]), [last(one) for one in flat([model(x, mask=used)])])


def test_D8_layers_that_are_built_make_a_model_that_is_streamed():
    model, x = rk.Sequential([rk.Masking(), rk.GRU(4, return_sequences=True), rk.Dense(2)]), numbers(2, STEPS, 3)
    expected = model(x)
    same_bits([by_steps(rk.Sequential(model.layers[1:]).stream(2), x)], [expected])
    with pytest.raises(ValueError, match="to be built before it is streamed"):
        rk.Sequential([model.layers[1], rk.Dense(2)]).stream()
    words = rk.Sequential([rk.Embedding(9, 3, mask_zero=True), rk.GRU(4)])
    words(np.ones((2, 3), int))
    with pytest.raises(ValueError, match=r"'embedding' \(Embedding\) makes a mask"):
        words.stream()


@pytest.mark.parametrize("inside", [False, True])
def test_D8_a_layer_that_needs_whole_sequences_is_named(inside):
    for layer in (rk.Bidirectional(rk.GRU(2)), rk.GRU(2, go_backwards=True), rk.Flatten(), rk.Conv1D(2, 3)):
        model = rk.Sequential([layer]) if inside else layer
        model(numbers(2, STEPS, 3))
        with pytest.raises(ValueError, match=f"take one step at a time; {layer.name!r}"):
            model.stream(2)


def test_out_is_written_and_results_are_the_callers():
    layer = rk.GRU(4, return_sequences=True)
    x = numbers(1, STEPS, 2)
    y = layer(x)
    stream, out, kept = layer.stream(), np.empty((1, 4), "float32"), []
    for t in range(STEPS):
        kept.append(stream.step(x[:, t]) if t % 2 else stream.step(x[:, t], out=out).copy())
    same_bits([np.stack(kept, axis=1)], [y])
    states, read_only = stream.states, np.empty((1, 4), "float32")
    read_only.flags.writeable = False
    for wrong in (np.empty((1, 4)), np.empty((2, 4), "float32"), [0.0], read_only):
        with pytest.raises(ValueError, match="expected out as"):
            stream.step(x[:, 0], out=wrong)
    same_bits(stream.states, states)
    model = functional()
    model(numbers(1, 2, 3))
    stream, several = model.stream(), [np.empty((1, 1), "float32"), np.empty((1, 4), "float32")]
    assert stream.step(numbers(1, 3), out=several) is several
    with pytest.raises(ValueError, match="expected out as a list of 2 arrays"):
        stream.step(numbers(1, 3), out=several[0])


def test_D8_wrong_steps_change_nothing():
    layer = rk.GRU(4, return_sequences=True)
    x = numbers(2, 2, 3)
    y = layer(x)
    stream = layer.stream(2)
    stream.step(x[:, 0])
    for wrong in (x, x[:1, 0], x[:, 0, :2], np.zeros(3)):
        with pytest.raises(ValueError, match=r"expected x of shape \(2, 3\), one step of each row"):
            stream.step(wrong)
    with pytest.raises(TypeError):
        stream.step(None)
    same_bits([stream.step(x[:, 1].tolist())], [y[:, 1]])


def test_weights_and_attributes_that_change_count():
    layer = rk.GRU(4, return_sequences=True, seed=0)
    x = numbers(1, STEPS, 2)
    layer(x)
    stream = layer.stream()
    by_steps(stream, x)
    layer.set_weights([0.5 * array for array in layer.get_weights()])
    stream.reset()
    same_bits([by_steps(stream, x)], [layer(x)])
    model = rk.Sequential([layer, rk.Dense(4), rk.Dense(4, "tanh")])
    model(x)
    stream = model.stream()
    by_steps(stream, x)
    kinds = dict(stream._runner._kinds)
    rk.Dense(2).name = "another"
    by_steps(stream, x)
    assert is_repeated(stream) and stream._runner._kinds == kinds
    model.layers[1:] = model.layers[:0:-1]
    stream.reset()
    same_bits([by_steps(stream, x)], [model(x)])


def test_D8_streams_are_independent_and_calls_are_too():
    layer = rk.GRU(4, return_sequences=True)
    x = numbers(2, STEPS, 2)
    y = layer(x)
    streams = [layer.stream(), layer.stream()]
    for t in range(STEPS):
        layer(x)
        for row, stream in enumerate(streams):
            same_bits([stream.step(x[row : row + 1, t])], [y[row : row + 1, t]])


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda stream: pickle.loads(pickle.dumps(stream))])
def test_copies_go_on_from_where_it_was(copied):
    layer = rk.Sequential([rk.LSTM(4, return_sequences=True), rk.Dense(1)], seed=0)
    x = numbers(2, STEPS, 3)
    y = layer(x)
    stream = layer.stream(2)
    by_steps(stream, x[:, :4])
    stream.skip([0])
    other = copied(stream)
    same_bits([other.step(x[:, 4])[1:]], [y[1:, 4]])
    same_bits([other.step(x[:, 4])[:1], stream.step(x[:, 4])[:1]], [y[:1, 4], y[:1, 3]])


def test_steps_that_cannot_be_traced_or_repeated():
    @rk.cell(states={"h": 2})
    def jumping(x, states, weights):
        h = states[0] + x[:, :2]
        if h[0, 0] > 1:
            h = h - 1
        return h, h

    layer = rk.RNN(jumping(), return_sequences=True)
    x = np.abs(numbers(2, STEPS, 2))
    y = layer(x)
    stream = layer.stream(2)
    same_bits([by_steps(stream, x)], [y])
    assert not is_repeated(stream)

    class Own(rk.RNN):
        pass

    layer = Own(rk.GRUCell(4), return_sequences=True)
    y = layer(x)
    same_bits([by_steps(layer.stream(2), x)], [y])


def test_from_several_threads_steps_come_one_after_the_other():
    layer = rk.SimpleRNN(3, return_sequences=True, seed=0)
    x = np.ones((1, 80, 2), "float32")
    last = layer(x)[:, -1]
    stream = layer.stream()

    def steps():
        for _ in range(20):
            stream.step(x[:, 0])

    threads = [threading.Thread(target=steps) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    same_bits([stream._y[0]], [last])


def test_eager_steps_run_the_step():
    layer = rk.RNN(rk.GRUCell(4), return_sequences=True)
    x = numbers(2, STEPS, 3)
    y = layer(x)
    stream, seen = layer.stream(2), []
    by_steps(stream, x[:, :4])
    step = layer.cell.call
    layer.cell.call = lambda *arguments, **keywords: seen.append(1) or step(*arguments, **keywords)
    with rk.eager():
        np.testing.assert_allclose(stream.step(x[:, 4]), y[:, 4], rtol=1e-5, atol=1e-6)
    assert seen


def test_eager_steps_see_plain_arrays_and_run_once_each():
    layer = rk.RNN(rk.GRUCell(4), return_sequences=True)
    layer(numbers(2, STEPS, 3))
    stream, seen = layer.stream(2), []
    step = layer.cell.call
    layer.cell.call = lambda x, *more, **keywords: seen.append(type(x)) or step(x, *more, **keywords)
    with rk.eager():
        for _ in range(5):
            stream.step(numbers(2, 3))
    assert seen == [np.ndarray] * 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # which has threads
def test_a_child_of_fork_does_not_wait_for_a_thread_that_it_lacks():
    layer = rk.GRU(4, return_sequences=True)
    x = numbers(1, 2, 3)
    y = layer(x)
    stream, held, done = layer.stream(), threading.Event(), threading.Event()
    stream.step(x[:, 0])

    def hold():
        with stream._lock:
            held.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    if (child := os.fork()) == 0:
        os._exit(0 if np.array_equal(stream.step(x[:, 1]), y[:, 1]) else 1)
    found = os.waitpid(child, 0)[1]
    done.set()
    thread.join()
    assert found == 0


def test_a_long_stream_takes_no_more_memory():
    layer = rk.GRU(8, return_sequences=True)
    layer.build((1, None, 2))
    stream, x, out = layer.stream(), numbers(1, 2), np.empty((1, 8), "float32")
    for _ in range(20):
        stream.step(x, out)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(5000):
            stream.step(x, out)
        assert tracemalloc.get_traced_memory()[0] - before < 2000
    finally:
        tracemalloc.stop()


REFUSED = {
    "goes backwards": lambda: rk.GRU(4, go_backwards=True),
    r"'bidirectional' \(Bidirectional\) needs whole sequences": lambda: rk.Sequential(
        [rk.Bidirectional(rk.GRU(4, return_sequences=True)), rk.Dense(1)]
    ),
    r"'flatten' \(Flatten\) needs whole sequences": lambda: rk.Sequential([rk.GRU(4), rk.Flatten()]),
}

REFUSED |= {
    rf"\(ArrayFunction\) {told}": lambda function=function: rk.Sequential([rk.ArrayFunction(function)])
    for told, function in {
        "reads several": lambda x: x - x.mean(axis=1, keepdims=True),
        "reads": lambda x: x * np.arange(x.shape[1])[:, None],
        "reads several steps": lambda x: np.where(x > 9, x[:, ::-1], x),
        "has products": lambda x: x @ np.ones((3, 2)),
    }.items()
}


@pytest.mark.parametrize("words", REFUSED)
def test_D8_layers_that_need_the_whole_are_named(words):
    layer = REFUSED[words]()
    with pytest.raises(ValueError, match="expected the layer .* to be built"):
        layer.stream()
    layer(numbers(1, 5, 3))
    with pytest.raises(ValueError, match=words):
        layer.stream()


def test_other_things_that_are_refused():
    layer = rk.GRU(4)
    layer.build((None, None, 3))
    for batch in (0, -1, 1.5):
        with pytest.raises((ValueError, TypeError), match="batch"):
            layer.stream(batch)
    x = rk.Input((None, 3))
    _, state = rk.GRU(4, return_state=True)(x)
    model = rk.Model(x, rk.GRU(4)(x, initial_state=[state]))
    model.build((None, None, 3))
    with pytest.raises(ValueError, match="expected layers that start from states of their own"):
        model.stream()
    start = rk.Input((4,))
    model = rk.Model([x, start], rk.GRU(4)(x, initial_state=[start]))
    with pytest.raises(ValueError, match="expected a model with one input"):
        model.stream()
