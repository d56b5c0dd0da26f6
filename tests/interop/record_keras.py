"""Write the files of Keras that the tests read, and what Keras computes with them.

``python tests/interop/record_keras.py`` takes keras with a backend, and h5py; the tests take h5py alone.
"""

import os
import pathlib

import numpy as np

DATA = pathlib.Path(__file__).parent / "data"


def sequence(keras):
    """Most options of layers, one after the other."""
    layers, penalty = keras.layers, keras.regularizers.L1L2(0.5, 0.25)
    return keras.Sequential(
        [
            keras.Input((None,), dtype="int32", name="ids"),
            layers.Embedding(7, 3, mask_zero=True, embeddings_constraint="max_norm"),
            layers.Bidirectional(
                layers.GRU(2, return_sequences=True, dropout=0.25, kernel_regularizer=penalty),
                merge_mode="ave",
            ),
            layers.TimeDistributed(layers.Dense(3, activation="gelu", name="each")),
            layers.SimpleRNN(2, return_sequences=True, activation="relu", zero_output_for_mask=True),
            layers.RNN([layers.GRUCell(2, reset_after=False), layers.LSTMCell(3, use_bias=False)], go_backwards=True),
            layers.Dropout(0.5, seed=3),
            layers.Dense(2, activation="softmax", kernel_initializer=keras.initializers.VarianceScaling(2.0)),
        ],
        name="sequence",
    )


def graph(keras):
    """Two inputs, a shared layer, states, a mask, a model inside, an operation, two outputs."""
    layers = keras.layers
    a, b = keras.Input((None, 3), name="a"), keras.Input((None, 3), name="b")
    encoder = layers.LSTM(2, return_sequences=True, return_state=True, name="encoder")
    y, h, c = encoder(layers.Masking(name="masking")(a))
    z, _, _ = encoder(b, initial_state=[h, c])
    joined = layers.Concatenate(name="joined")([y, z])
    inner = keras.Sequential([keras.Input((None, 4)), layers.Dense(2, activation="tanh", name="in")], name="inner")
    last = layers.GRU(2, name="last")(inner(joined))
    return keras.Model([a, b], [last + layers.Dense(2, name="readout")(h), z], name="graph")


MODELS = (sequence, graph)


def inputs(name, rng):
    """What a model is called on: sequences of several lengths."""
    used = np.arange(6) < np.array([6, 4, 1, 3])[:, None]
    if name == "sequence":
        return [rng.integers(1, 7, (4, 6)) * used]
    return [
        rng.normal(size=(4, 6, 3)).astype("float32") * used[:, :, None],
        rng.normal(size=(4, 6, 3)).astype("float32"),
    ]


def record(keras):
    """Write all files."""
    for make in MODELS:
        keras.utils.set_random_seed(1)
        model, name = make(keras), make.__name__
        rng = np.random.default_rng(2)
        model.set_weights([rng.normal(0, 0.7, w.shape).astype("float32") for w in model.get_weights()])
        x = inputs(name, rng)
        outputs = keras.tree.flatten(model([keras.ops.convert_to_tensor(one) for one in x] if len(x) > 1 else x[0]))
        model.save(DATA / f"{name}.keras")
        arrays = {f"x{i}": one for i, one in enumerate(x)}
        arrays |= {f"y{i}": keras.ops.convert_to_numpy(one) for i, one in enumerate(outputs)}
        arrays |= {f"w{i:02}": one for i, one in enumerate(model.get_weights())}
        np.savez(DATA / f"{name}.npz", **arrays)


if __name__ == "__main__":
    os.environ.setdefault("KERAS_BACKEND", "jax")
    import keras

    record(keras)
