"""Keras's models and rnnkit's: graphs, masks through them, files."""

import keras_witness as witness
import numpy as np
import pytest
from matrix import close, flat, same_bits

import rnnkit as rk

pytestmark = pytest.mark.filterwarnings("ignore")  # what Keras and its backends warn about is theirs


@pytest.fixture(scope="module")
def keras():
    keras = witness.imported()
    witness.use(keras, "float32")
    return keras


def random_model(keras, rng):
    """Branches, masks, shared states, models inside, operations; None where an input leads to nothing."""
    layers, inputs, pool, states = keras.layers, [], [], []
    for _ in range(rng.integers(1, 3)):
        ids = rng.random() < 0.5
        inputs.append(keras.Input((6,), dtype="int32") if ids else keras.Input((6, 3)))
        first = layers.Embedding(5, 3, mask_zero=bool(rng.random() < 0.7)) if ids else layers.Dense(3)
        pool.append((first if ids or rng.random() < 0.3 else layers.Masking())(inputs[-1]))
    for _ in range(rng.integers(3, 8)):
        x, other, kind = pool[rng.integers(len(pool))], pool[rng.integers(len(pool))], rng.integers(10)
        if kind == 0:
            x = layers.Dropout(0.3)(layers.Dense(3, activation="tanh")(x))
        elif kind == 1:
            x, *state = layers.LSTM(3, return_sequences=True, return_state=True)(x)
            states.append(state)
        elif kind == 2 and states:
            x = layers.LSTM(3, return_sequences=True)(x, initial_state=states[rng.integers(len(states))])
        elif kind == 3:
            x = layers.Bidirectional(layers.GRU(3, return_sequences=True), merge_mode="sum")(x)
        elif kind == 4:
            x = [layers.Add(), layers.Average(), layers.Subtract()][rng.integers(3)]([x, other])
        elif kind == 5:
            x = layers.Dense(3)(layers.Concatenate()([x, other]))
        elif kind == 6:
            x = layers.TimeDistributed(layers.Dense(3))(x)
        elif kind == 7:
            i = keras.Input((6, 3))
            x = keras.Model(i, layers.Dense(3)(layers.SimpleRNN(3, return_sequences=True)(i)))(x)
        elif kind == 8:
            x = keras.Sequential([keras.Input((6, 3)), layers.Dense(3)])(x)
        elif kind == 9:
            x = x + other
        pool.append(x)
    kind, outputs = rng.integers(4), [pool[-1]]
    if kind == 0:
        outputs = [layers.GRU(2)(pool[-1])]
    elif kind == 1:
        outputs = [layers.GlobalAveragePooling1D()(pool[-1])]
    elif kind == 2:
        stack = layers.RNN([layers.GRUCell(2), layers.LSTMCell(2)])
        outputs = [layers.Dense(2)(layers.Flatten()(pool[-1])), stack(pool[-2])]
    model = keras.Model(inputs, outputs)
    read = {key[0] for one in model.get_config()["layers"] for key in histories(one["inbound_nodes"])}
    return model if {one._keras_history.operation.name for one in inputs} <= read else None


def histories(nested):
    if isinstance(nested, dict) and "keras_history" in nested:
        return [nested["keras_history"]]
    inside = list(nested.values()) if isinstance(nested, dict) else nested if isinstance(nested, (list, tuple)) else []
    return [key for one in inside for key in histories(one)]


def data(model, rng):
    """Inputs of four rows, padded with zeros."""
    x = [
        rng.integers(1, 5, (4, 6)) if "int" in one.dtype else rng.normal(size=(4, 6, 3)).astype("float32")
        for one in model.inputs
    ]
    for one in x:
        for row, length in enumerate([6, 3, 4, 1]):
            one[row, length:] = 0
    return x if len(x) > 1 else x[0]


def check(keras, seed, folder=None):
    """Whether there is a model of this seed that rnnkit has too; it gives the same then, in all forms."""
    rng = np.random.default_rng(seed)
    theirs = random_model(keras, rng)
    if theirs is None:
        return False
    try:
        model = rk.interop.from_keras(theirs)
    except ValueError as error:
        if "expected a mask that rnnkit's layers pass on" not in str(error):
            raise
        return False
    x = data(theirs, rng)
    expected = witness.arrays(keras, theirs(x))
    close(flat(model(x)), expected, "float32")
    close(witness.arrays(keras, rk.interop.to_keras(model)(x)), expected, "float32")
    if folder is not None:
        theirs.save(folder / "model.keras")
        theirs.save_weights(folder / "model.weights.h5")
        again = rk.interop.from_keras(folder / "model.keras")
        same_bits(flat(again(x)), flat(model(x)))
        other = rk.Model.from_config(model.get_config())
        rk.interop.load_keras_weights(other, folder / "model.weights.h5")
        same_bits(flat(other(x)), flat(model(x)))
    return True


@pytest.mark.parametrize("seeds", [range(4), range(4, 8), range(8, 12)], ids=str)
def test_random_models_give_what_keras_gives(seeds, keras, tmp_path):
    pytest.importorskip("h5py")
    assert sum(check(keras, seed, tmp_path) for seed in seeds)


@pytest.mark.sweep
@pytest.mark.parametrize("start", range(0, 200, 20))
def test_many_random_models_give_what_keras_gives(start, keras):
    assert sum(check(keras, seed) for seed in range(start, start + 20)) >= 6


def test_a_decoder_that_is_given_states_reads_no_mask_as_in_keras(keras, rng):
    """Keras passes a mask on to a layer only where x is all that it is called on."""
    layers = keras.layers
    ids, target = keras.Input((None,), dtype="int32"), keras.Input((None,), dtype="int32")
    _, *states = layers.LSTM(3, return_state=True)(layers.Embedding(5, 2, mask_zero=True)(ids))
    decoded = layers.LSTM(3, return_sequences=True)(
        layers.Embedding(5, 2, mask_zero=True)(target), initial_state=states
    )
    theirs = keras.Model([ids, target], layers.Dense(5, activation="softmax")(decoded))
    model = rk.interop.from_keras(theirs)
    x = [np.array([[1, 2, 0, 0], [3, 4, 1, 0]]), np.array([[1, 0, 2], [4, 0, 0]])]
    close([model(x)], witness.arrays(keras, theirs(x)), "float32")
    there = rk.interop.to_keras(model)
    close([model(x)], witness.arrays(keras, there(x)), "float32")
    assert [name for name, *_ in model._rows() if name.endswith("_without_mask")]
    # jax gives the same array for an unchanged shape, with its mask, but for a copy of it.
    assert [one for one in there.get_config()["layers"] if one["class_name"] == "Copy"]
    assert len(rk.interop.from_keras(there).layers) == len(model.layers)


@pytest.mark.parametrize("again", [False, True])
def test_masks_through_a_model_inside(again, keras, rng):
    """Keras's graph doesn't say what it does with a mask; a layer that is given states reads none there either."""
    layers, x, h = keras.layers, keras.Input((5, 3)), keras.Input((4,))
    inner = keras.Sequential([keras.Input((5, 3)), layers.Dense(2)])
    y = layers.GRU(4, return_sequences=True)(inner(layers.Masking()(x)), initial_state=h)
    theirs = keras.Model([x, h], layers.GRU(3, name="later")(y) if again else y)
    if again:
        with pytest.raises(ValueError, match="'later'"):
            rk.interop.from_keras(theirs)
        return
    values = [rng.normal(size=(2, 5, 3)).astype("float32"), np.ones((2, 4), "float32")]
    values[0][0, :2] = 0
    close([rk.interop.from_keras(theirs)(values)], witness.arrays(keras, theirs(values)), "float32")


def test_masks_of_an_own_model_are_handed_over(keras, rng):
    """Where rnnkit has a mask beside states, Keras is given it."""
    x = rk.Input((None, 3), name="x")
    h = rk.Input((4,), name="h")
    masked = rk.Masking()(x)
    y = rk.GRU(4, return_sequences=True, seed=0)(masked, initial_state=h)
    model = rk.Model([x, h], rk.Dense(2, seed=1)(rk.LSTM(3, seed=2)(y)))
    x, h = rng.normal(size=(2, 5, 3)).astype("float32"), np.ones((2, 4), "float32")
    x[0, :2] = 0
    theirs = rk.interop.to_keras(model)
    close([model([x, h])], witness.arrays(keras, theirs([x, h])), "float32")


def test_sums_by_operators_pass_no_mask_on(keras, rng):
    layers, x = keras.layers, keras.Input((6, 3))
    masked = layers.Masking()(x)
    once = masked + layers.Dense(3)(masked)
    theirs = keras.Model(x, layers.GRU(2)(once + (once + masked)))
    model, values = rk.interop.from_keras(theirs), rng.normal(size=(4, 6, 3)).astype("float32")
    values[1:, 3:] = 0
    close([model(values)], witness.arrays(keras, theirs(values)), "float32")
    close([model(values)], witness.arrays(keras, rk.interop.to_keras(model)(values)), "float32")


def test_masks_of_a_deep_model_are_followed(keras, rng):
    """Each sum has the mask of two, so the expression as a tree would have 2^40 leaves."""
    layers, x = keras.layers, keras.Input((4, 3))
    y = layers.Masking()(x)
    for _ in range(40):
        y = layers.Add()([y, layers.Activation("tanh")(y)])
    theirs = keras.Model(x, layers.GRU(2)(y))
    values = rng.normal(size=(2, 4, 3)).astype("float32")
    values[0, 2:] = 0
    close([rk.interop.from_keras(theirs)(values)], witness.arrays(keras, theirs(values)), "float32")


def test_explicit_masks_are_inputs(keras, rng):
    layers = keras.layers
    x, mask = keras.Input((None, 3)), keras.Input((None,), dtype="bool")
    theirs = keras.Model([x, mask], layers.GRU(2)(layers.LSTM(3, return_sequences=True)(x, mask=mask)))
    model = rk.interop.from_keras(theirs)
    values = [rng.normal(size=(2, 4, 3)).astype("float32"), np.array([[1, 1, 0, 0], [1, 0, 1, 1]], bool)]
    close([model(values)], witness.arrays(keras, theirs(values)), "float32")
    close([model(values)], witness.arrays(keras, rk.interop.to_keras(model)(values)), "float32")


def test_masks_that_operations_compute_are_refused(keras):
    layers, ops = keras.layers, keras.ops
    x = keras.Input((4, 3))
    late = ops.any(ops.greater(x, 0.5), axis=-1)
    theirs = keras.Model(x, layers.LSTM(3, name="reader")(x, mask=late))
    with pytest.raises(ValueError, match="'reader'"):
        rk.interop.from_keras(theirs)


def test_operations_that_rnnkit_has_not_are_named(keras):
    x = keras.Input((4, 3))
    for theirs, words in ((keras.Model(x, keras.ops.exp(x)), "Exp"), (keras.Model(x, x * 2.0), "Multiply")):
        with pytest.raises(ValueError, match=words):
            rk.interop.from_keras(theirs)


@pytest.mark.parametrize("name", ["Maximum", "Multiply"])
def test_values_that_depend_on_masks_in_keras_are_refused(name, keras):
    x = keras.Input((4, 3))
    masked = keras.layers.Masking()(x)
    with pytest.raises(ValueError, match=f"{name} 'm'"):
        rk.interop.from_keras(keras.Model(x, getattr(keras.layers, name)(name="m")([masked, x])))
    own = rk.Input((4, 3))
    model = rk.Model(own, getattr(rk, name)(name="m")([rk.Masking()(own), own]))
    with pytest.raises(ValueError, match=f"{name} 'm'"):
        rk.interop.to_keras(model)


def test_models_of_one_s_own_class_are_handed_in(keras):
    class Whole(keras.Model):
        def __init__(self):
            super().__init__()
            self.layer = keras.layers.Dense(2)

        def call(self, x):
            return self.layer(x)

    with pytest.raises(ValueError, match="Whole"):
        rk.interop.from_keras(Whole())


def test_a_sequential_goes_there_and_back(keras, rng):
    ids = rk.Input((None,), dtype="int32")
    inner = rk.Sequential([rk.Dense(4, activation="relu"), rk.Dropout(0.5, seed=1)], name="inner")
    model = rk.Sequential(
        [
            rk.Input((None,), dtype="int32"),
            rk.Embedding(9, 3, mask_zero=True),
            inner,
            rk.Bidirectional(rk.LSTM(2, seed=5)),
        ],
        name="whole",
    )
    model.layers[1].trainable = False
    theirs = rk.interop.to_keras(model)
    ids = np.array([[1, 2, 0], [3, 0, 0]])
    close([model(ids)], witness.arrays(keras, theirs(ids)), "float32")
    back = rk.interop.from_keras(theirs)
    same_bits(back(ids), model(ids))
    assert not back.layers[1].trainable and back.layers[0].trainable
    assert [repr(layer) for layer in back.layers[::2]] == [repr(layer) for layer in model.layers[::2]]
    assert back.layers[1].layers[1].get_config() == model.layers[1].layers[1].get_config()
