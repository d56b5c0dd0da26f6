"""Lists of sequences: each has the bits of a call on it alone, and a fit that of padded arrays with their mask."""

import numpy as np
import pytest
from cells_under_test import CELLS
from matrix import flat, inputs, label, layer_of, pairwise, random_states, same_bits

import rnnkit as rk
from rnnkit.sequences.ragged import batch_length

LENGTHS = (5, 1, 9, 0, 3, 9, 14, 8)
ROWS = pairwise(
    {
        "cell": tuple(c.name for c in CELLS if c.how != "jitted"),  # numba compiles those for seconds
        "backwards": (False, True),
        "sequences": (False, True),
        "dtype": ("float32", "float64"),
        "given": (False, True),
        "zero": (False, True),
    }
)


def lists(lengths=LENGTHS, features=3, dtype="float32", seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(n, features)).astype(dtype) for n in lengths]


def agree(layer, x, **keywords):
    """A call on a list has the results of calls on each of its sequences, to the bit."""
    found = layer(x, **keywords)
    singles = [layer(one[None], **keywords) for one in x]
    if not isinstance(found, (tuple, list)) or (isinstance(found[0], np.ndarray) and isinstance(found, list)):
        found, singles = [found], [[one] for one in singles]
    for part, alone in zip(flat_parts(found), zip(*map(flat_parts, singles), strict=True), strict=True):
        for i, one in enumerate(alone):
            assert part[i].dtype == one.dtype and part[i].shape == one[0].shape
            same_bits(part[i], one[0])
    return found


def flat_parts(nested):
    """Arrays, and lists with an array by sequence, of nested results."""
    if isinstance(nested, np.ndarray) or (isinstance(nested, list) and len(nested) == len(LENGTHS)):
        return [nested]
    return [leaf for one in nested for leaf in flat_parts(one)]


@pytest.mark.parametrize("row", ROWS, ids=label)
def test_X19_every_cell(row):
    layer = layer_of(
        row["cell"],
        units=5,
        features=3,
        dtype=row["dtype"],
        go_backwards=row["backwards"],
        return_sequences=row["sequences"],
        zero_output_for_mask=row["zero"],
    )
    x, count = lists(dtype=row["dtype"]), len(LENGTHS)
    start = random_states(layer, count) if row["given"] else None
    constants = inputs(row["cell"], count, 1)[1]
    output, *states = layer(x, initial_state=start, constants=constants)
    assert isinstance(output, list) is row["sequences"]
    for i, one in enumerate(x):
        own = None if start is None else rows_of(start, i)
        held = None if constants is None else [c[i : i + 1] for c in constants]
        alone, *after = layer(one[None], initial_state=own, constants=held)
        same_bits(output[i], alone[0])
        for a, b in zip(flat(states), flat(after), strict=True):
            same_bits(a[i], b[0])


def rows_of(nested, i):
    if isinstance(nested, (list, tuple)):
        return type(nested)(rows_of(one, i) for one in nested)
    return nested[i : i + 1]


LAYERS = {
    "stack": lambda: rk.RNN([rk.LSTMCell(3), rk.GRUCell(2)], return_sequences=True, return_state=True, seed=0),
    "concat": lambda: rk.Bidirectional(rk.GRU(3, return_sequences=True), seed=0),
    "pair": lambda: rk.Bidirectional(rk.LSTM(3, return_sequences=True), merge_mode=None, seed=0),
    "last": lambda: rk.Bidirectional(rk.LSTM(3, return_state=True), merge_mode="ave", seed=0),
    "turned": lambda: rk.Bidirectional(rk.GRU(3, return_sequences=True, go_backwards=True), seed=0),
    "dense": lambda: rk.Dense(4, "tanh", seed=0),
    "dropout": lambda: rk.Dropout(0.5),
    "activation": lambda: rk.Activation("softmax"),
    "lambda": lambda: rk.Lambda(lambda x: 2 * x),
    "masking": lambda: rk.Masking(),
    "distributed": lambda: rk.TimeDistributed(rk.Dense(2, seed=0)),
    "mean": lambda: rk.GlobalAveragePooling1D(),
    "normalized": lambda: rk.LayerNormalization(),
    "softmax": lambda: rk.Softmax(),
    "batches": lambda: rk.BatchNormalization(),
    "noise": lambda: rk.GaussianNoise(0.5),
    "prelu": lambda: rk.PReLU(shared_axes=[1]),
    "windows": lambda: rk.Conv1D(4, 3, padding="same", seed=0),
    "behind": lambda: rk.Sequential([rk.Dense(3, "sigmoid"), rk.Conv1D(4, 3, padding="same")], seed=0),
    "causal": lambda: rk.Sequential([rk.Conv1D(4, 3, padding="causal"), rk.GRU(3, return_sequences=True)], seed=0),
    "pooled": lambda: rk.Sequential([rk.GRU(3, return_sequences=True), rk.ZeroPadding1D(2), rk.MaxPooling1D()], seed=0),
    "largest": lambda: rk.Sequential([rk.Masking(), rk.ZeroPadding1D(1), rk.GlobalMaxPooling1D()]),
    "model": lambda: rk.Sequential(
        [rk.Masking(), rk.GRU(4, return_sequences=True, go_backwards=True), rk.Bidirectional(rk.LSTM(3)), rk.Dense(2)],
        seed=0,
    ),
    "steps": lambda: rk.Sequential([rk.GRU(4, return_sequences=True, go_backwards=True), rk.Dense(2)], seed=0),
    "flattened": lambda: rk.Sequential([rk.GRU(4), rk.Flatten(), rk.Dense(2)], seed=0),
    "shaped": lambda: rk.Sequential([rk.GRU(4, return_sequences=True), rk.Flatten()], seed=0),
    "repeated": lambda: rk.Sequential([rk.GRU(4), rk.RepeatVector(3), rk.GRU(2, return_sequences=True)], seed=0),
    "inside": lambda: rk.Sequential([rk.Sequential([rk.GRU(4, return_sequences=True)]), rk.GRU(2)], seed=0),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", LAYERS)
def test_X19_every_layer(name, dtype):
    x = lists(dtype=dtype, lengths=[n or 2 for n in LENGTHS] if name in ("windows", "behind", "causal") else LENGTHS)
    layer = LAYERS[name]()
    layer.build((None, None, 3)) if name != "shaped" else layer.layers[0].build((None, None, 3))
    agree(layer, x)


def graph(outputs="both"):
    x = rk.Input((None, 3), name="x")
    y = rk.GRU(4, return_sequences=True, seed=0, name="gru")(x)
    steps = rk.Add()([y, rk.Dense(4, seed=1)(x)])
    back = rk.GRU(3, return_sequences=True, go_backwards=True, seed=2)(rk.Concatenate()([steps, x]))
    last = rk.Dense(1, seed=4)(rk.LSTM(2, seed=3)(steps))
    return rk.Model(x, {"both": [back, last], "back": back, "last": last}[outputs], seed=0)


@pytest.mark.parametrize("outputs", ["both", "back", "last"])
def test_a_graph(outputs):
    agree(graph(outputs), lists())


def test_a_graph_that_puts_sequences_one_behind_the_other():
    x = rk.Input((None, 3))
    model = rk.Model(x, rk.GRU(3, return_sequences=True, seed=0)(rk.Concatenate(axis=1)([x, rk.Dense(3, seed=1)(x)])))
    agree(model, lists())
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="leave out masked steps"):
        model.evaluate(lists((2, 3)), lists((4, 6)))


@pytest.mark.parametrize("mask_zero", [False, True])
def test_ids(mask_zero):
    ids = [[1, 2, 0, 3], [4], [], [0, 5], [6, 7, 8, 9, 1, 2, 3]]
    model = rk.Sequential([rk.Embedding(10, 3, mask_zero=mask_zero), rk.GRU(4, return_sequences=True)], seed=0)
    found = model(ids)
    for given in (tuple(ids), [np.array(one, int) for one in ids], [tuple(one) for one in ids]):
        for a, b in zip(model(given), found, strict=True):
            same_bits(a, b)
    for one, ids_alone in zip(found, ids, strict=True):
        same_bits(one, model(np.array([ids_alone], int))[0])
    assert isinstance(model([[1, 2], [3, 4]]), np.ndarray)  # lists in lists of equal lengths are one array
    assert isinstance(model([np.array([1, 2]), np.array([3, 4])]), list)


def test_what_is_a_list_of_sequences():
    layer = rk.GRU(4, return_sequences=True, seed=0)
    x = lists((3, 3))
    for given in (x, tuple(x), [x[0].tolist(), x[1]]):
        found = layer(given)
        assert isinstance(found, list)
        same_bits(np.array(found), layer(np.array(x)))
    assert len(layer([x[0]])) == 1  # one sequence, too
    assert isinstance(layer(np.array(x).tolist()), np.ndarray)
    assert [one.shape for one in layer([x[0].tolist(), x[1][:2].tolist()])] == [(3, 4), (2, 4)]
    assert layer(sequences=x)[1].shape == (3, 4)
    start = [np.ones((2, 4)), np.ones((1, 4))]
    with pytest.raises(ValueError, match="initial_state"):
        layer(initial_state=start, sequences=np.array(x))
    last = rk.GRU(4, seed=0)(x)
    assert isinstance(last, np.ndarray) and last.shape == (2, 4)
    added = rk.Add()([np.ones((2, 3)), np.ones((2, 3))])  # layers of several inputs take a list as they did
    assert added.shape == (2, 3)
    assert rk.Dense(2)([np.ones(3), np.ones(3)]).shape == (2, 2)


def test_results_and_inputs_are_the_callers():
    layer, x = rk.GRU(4, return_sequences=True, return_state=True, seed=0), lists()
    before = [one.copy() for one in x]
    found, state = layer(x)
    kept = [one.copy() for one in found]
    for one in (*found, state):
        one[...] = 7
    again, _ = layer(x)
    for a, b in zip(again, kept, strict=True):
        same_bits(a, b)
    for a, b in zip(x, before, strict=True):
        same_bits(a, b)


def test_repeated_calls_have_the_same_bits():
    layer, x = rk.GRU(4, return_sequences=True, seed=0), lists()
    first = layer(x)
    for _ in range(8):
        for a, b in zip(layer(x), first, strict=True):
            same_bits(a, b)


@pytest.mark.parametrize("call", [lambda model, x: model(x), lambda model, x: model.predict(x)])
def test_losses_are_those_of_all_sequences(call):
    """Where none is padded, the mean over the sequences of those of a call on each alone."""
    rng, lengths = np.random.default_rng(0), (3, 8, 3, 40, 8)
    layers = [rk.Conv1D(4, 2, activity_regularizer="l2"), rk.Dense(2, activity_regularizer="l1")]
    model, x = rk.Sequential(layers, seed=0), [rng.normal(size=(n, 2)) for n in lengths]
    apart = []
    for one in x:
        model(one[None])
        apart.append([sum(layer.losses) for layer in layers])
    for _ in range(6):
        call(model, x)
        np.testing.assert_allclose([sum(layer.losses) for layer in layers], np.mean(apart, axis=0), rtol=1e-12)
        np.testing.assert_allclose(sum(model.losses), np.mean(apart, axis=0).sum(), rtol=1e-12)
    model(x[0][None])
    np.testing.assert_allclose([sum(layer.losses) for layer in layers], apart[0], rtol=1e-12)


def test_a_failed_call_changes_nothing():
    layer = rk.GRU(4, seed=0)
    with pytest.raises(ValueError, match="at 1"):
        layer([np.ones((3, 2)), np.ones((3, 4))])
    assert not layer.built
    stateful = rk.GRU(4, stateful=True, seed=0)
    stateful(lists((3, 2)))
    whole = [one[0] for one in map(rk.GRU(4, seed=0), [one[None] for one in lists((3, 2))])]
    same_bits(stateful.states[0], np.array(whole))


def test_rows_with_gaps_and_infinities_keep_to_themselves():
    x = lists()
    x[2][4] = np.inf
    x[5][0] = np.nan
    layer = rk.GRU(4, return_sequences=True, seed=0)
    found = layer(x)
    assert all(np.isfinite(found[i]).all() for i in range(len(x)) if i not in (2, 5))


# Training


def targets(x, by_step):
    return [np.cumsum(one[:, :1], axis=0) for one in x] if by_step else np.array([one.sum() for one in x], "float32")


def network(backwards, by_step, loss="mse"):
    layers = [rk.Masking(-9.0), rk.GRU(4, return_sequences=by_step, go_backwards=backwards), rk.Dense(1)]
    model = rk.Sequential(layers, seed=0)
    model.compile(rk.optimizers.Adam(0.01), loss, metrics=["mae"])
    return model


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("by_step", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_X19_a_fit_is_that_of_padded_arrays(backwards, by_step, weighted):
    lengths = np.random.default_rng(1).integers(1, 40, 70)
    x = lists(lengths)
    y = targets(x, by_step)
    weight = None
    if weighted:
        weight = [np.linspace(0, 1, n) for n in lengths] if by_step else np.linspace(0, 1, 70)
    side = "pre" if backwards else "post"
    padded = rk.pad_sequences(x, padding="post", value=-9.0)
    padded_y = rk.pad_sequences(y, padding=side) if by_step else y
    padded_weight = rk.pad_sequences(weight, padding=side) if by_step and weighted else weight
    ours, theirs = network(backwards, by_step), network(backwards, by_step)
    valid = (x[:20], y[:20])
    first = ours.fit(x, y, sample_weight=weight, epochs=4, batch_size=16, validation_data=valid).history
    second = theirs.fit(
        padded,
        padded_y,
        sample_weight=padded_weight,
        epochs=4,
        batch_size=16,
        validation_data=(padded[:20], padded_y[:20]),
    ).history
    for name, values in first.items():
        np.testing.assert_allclose(values, second[name], rtol=1e-5, err_msg=name)
    assert np.isclose(
        ours.evaluate(x, y, sample_weight=weight)[0], ours.evaluate(padded, padded_y, sample_weight=padded_weight)[0]
    )
    assert np.isclose(ours.evaluate(x, y, batch_size=3)[0], ours.evaluate(x, y)[0])
    found = ours.predict(x, batch_size=9)
    for i, one in enumerate(x):
        same_bits(found[i], ours(one[None])[0])
    ours.fit(x, y, validation_split=0.3)
    assert ours.train_on_batch(x, y) and ours.test_on_batch(x, y)


@pytest.mark.parametrize("kind", ["windows", "stateful"])
def test_sequences_of_equal_lengths_are_an_array_where_padding_is_not_left_out(kind):
    x, y = lists((6,) * 8), np.ones((8, 1))
    found = []
    for given in (x, np.array(x)):
        layers = {"windows": [rk.Conv1D(3, 2), rk.GRU(2)], "stateful": [rk.GRU(2, stateful=True)]}[kind]
        model = rk.Sequential([*layers, rk.Dense(1)], seed=0)
        model.compile("adam", "mse")
        history = model.fit(given, y, batch_size=4, epochs=2, shuffle=False)
        found.append(
            [*history.history["loss"], model.evaluate(given, y, batch_size=4), *model.predict(given, 4).ravel()]
        )
    assert found[0] == found[1]


def test_the_loss_is_the_mean_over_the_steps_that_there_are():
    x = lists()
    y = targets(x, True)
    model = network(False, True)
    found = model.evaluate(x, y)[0]
    errors = np.concatenate([(model(one[None])[0] - own).ravel() ** 2 for one, own in zip(x, y, strict=True)])
    assert np.isclose(found, errors.astype("float64").mean())


def test_fits_of_graphs_ids_and_whole_batches():
    x = lists((4, 2, 7, 3))
    model = graph()
    model.compile("adam", ["mse", "mse"])
    y = [[one[::-1] for one in x], np.ones((4, 1))]
    assert len(model.fit(x, y, epochs=2).history["loss"]) == 2
    back, last = model.predict(x)
    errors = np.concatenate([(a - b).ravel() ** 2 for a, b in zip(back, y[0], strict=True)])
    assert np.isclose(model.evaluate(x, y)[0], errors.mean() + ((last - 1) ** 2).mean())

    tagger = rk.Sequential([rk.Embedding(9, 4), rk.LSTM(5, return_sequences=True), rk.Dense(3, "softmax")], seed=0)
    tagger.compile("lbfgs", "sparse_categorical_crossentropy", metrics=["accuracy"])
    ids, tags = [[1, 2, 3], [4, 5], [6]], [[0, 1, 2], [1, 1], [2]]
    history = tagger.fit(ids, tags, epochs=15).history
    assert history["loss"][-1] < history["loss"][0]
    assert [one.argmax(axis=-1).tolist() for one in tagger.predict(ids)] == tags
    one = rk.Sequential([rk.GRU(2, return_sequences=True), rk.Dense(1)], seed=0)
    one.compile("sgd", "mse")
    one.fit(x[:1], [x[0][:, :1]], sample_weight=[np.ones(4)])


def test_batches_are_padded_to_few_lengths():
    lengths = {n: batch_length(n) for n in range(2000)}
    assert all(n <= padded <= n + n // 8 for n, padded in lengths.items())
    assert all(lengths[n] == n for n in range(16)) and len(set(lengths.values())) < 80


def test_batches_of_a_fit_are_repeated():
    """Lengths that batches are padded to are few, and recordings of updates leave the bits as they are."""
    lengths = np.random.default_rng(1).integers(30, 40, 64)
    x = lists(lengths)
    y = targets(x, False)
    fast, slow = network(False, False), network(False, False)
    fast.fit(x, y, epochs=6, batch_size=8)
    slow.fit(x, y, epochs=6, batch_size=8, callbacks=[Watching()])
    for a, b in zip(fast.get_weights(), slow.get_weights(), strict=True):
        same_bits(a, b)
    assert any(kind.recording is not None for kind in fast._update_runner._kinds.values())


class Watching(rk.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        self.model._update_runner._kinds.clear()
