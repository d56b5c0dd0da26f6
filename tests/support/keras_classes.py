"""Layers and models as classes in Keras's words, to be made over Keras's bases and over rnnkit's: ``CASES`` lists them.

A case is a function of a library (``Layer``, ``Model``, ``layers``, ``ops``) that returns a model by subclass, and the
inputs that it is called on.
"""

from types import SimpleNamespace

import numpy as np

import rnnkit as rk
from rnnkit.models.subclassed import SubclassedLayer, SubclassedModel

RNG = np.random.default_rng(0)
ROWS, STEPS = 6, 5
X, Z = RNG.normal(size=(ROWS, STEPS, 3)), RNG.normal(size=(ROWS, STEPS, 3))
IDS = RNG.integers(1, 9, (ROWS, STEPS)) * (np.arange(STEPS) < RNG.integers(2, STEPS + 1, (ROWS, 1)))


def _softmax(x, axis=-1):
    e = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return e / np.sum(e, axis=axis, keepdims=True)


NUMPY = SimpleNamespace(
    **{
        name: getattr(np, name)
        for name in (
            "matmul transpose swapaxes reshape mean sum max sqrt square tanh exp where arange expand_dims concatenate "
            "stack zeros_like not_equal maximum split einsum"
        ).split()
    },
    softmax=_softmax,
    sigmoid=rk.sigmoid,
    shape=np.shape,
    cast=lambda x, dtype: x.astype(dtype),
)
RNNKIT = SimpleNamespace(Layer=SubclassedLayer, Model=SubclassedModel, layers=rk, ops=NUMPY)


def of_keras(keras):
    return SimpleNamespace(Layer=keras.layers.Layer, Model=keras.Model, layers=keras.layers, ops=keras.ops)


def normalization(lib):
    class Normalization(lib.Layer):
        def __init__(self, epsilon=1e-3, **keywords):
            super().__init__(**keywords)
            self.epsilon = epsilon

        def build(self, input_shape):
            self.gamma = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="gamma")
            self.beta = self.add_weight(shape=(input_shape[-1],), initializer="zeros", name="beta")
            super().build(input_shape)

        def call(self, x):
            mean = lib.ops.mean(x, axis=-1, keepdims=True)
            spread = lib.ops.sqrt(lib.ops.mean(lib.ops.square(x - mean), axis=-1, keepdims=True) + self.epsilon)
            return (x - mean) / spread * self.gamma + self.beta

    return Normalization


def self_attention(lib):
    class SelfAttention(lib.Layer):
        def __init__(self, heads, size, **keywords):
            super().__init__(**keywords)
            self.heads, self.size = heads, size
            self.query, self.key, self.value = (lib.layers.Dense(heads * size) for _ in range(3))
            self.joined = lib.layers.Dense(heads * size)

        def parted(self, x):
            parts = lib.ops.reshape(x, (-1, x.shape[1], self.heads, self.size))
            return lib.ops.transpose(parts, (0, 2, 1, 3))

        def call(self, x):
            query, key, value = self.parted(self.query(x)), self.parted(self.key(x)), self.parted(self.value(x))
            scores = lib.ops.matmul(query, lib.ops.transpose(key, (0, 1, 3, 2))) / self.size**0.5
            seen = lib.ops.matmul(lib.ops.softmax(scores, axis=-1), value)
            seen = lib.ops.reshape(lib.ops.transpose(seen, (0, 2, 1, 3)), (-1, x.shape[1], self.heads * self.size))
            return self.joined(seen)

    return SelfAttention


def transformer(lib):
    Attention, Normalization = self_attention(lib), normalization(lib)

    class Block(lib.Layer):
        def __init__(self, size, rate=0.0, **keywords):
            super().__init__(**keywords)
            self.attention = Attention(2, size // 2)
            self.norms = [Normalization(), Normalization()]
            self.wide, self.narrow = lib.layers.Dense(8, activation="relu"), lib.layers.Dense(size)
            self.drop = lib.layers.Dropout(rate)

        def call(self, x, training=None):
            x = self.norms[0](x + self.drop(self.attention(x), training=training))
            return self.norms[1](x + self.narrow(self.wide(x)))

    class Transformer(lib.Model):
        def __init__(self):
            super().__init__()
            self.entry = lib.layers.Dense(4)
            self.blocks = [Block(4), Block(4)]
            self.head = lib.layers.Dense(1)

        def call(self, x, training=None):
            x = self.entry(x)
            for block in self.blocks:
                x = block(x, training=training)
            return self.head(lib.ops.mean(x, axis=1))

    return Transformer(), X


def positions(lib):
    class Positions(lib.Layer):
        def __init__(self, length, count, size, **keywords):
            super().__init__(**keywords)
            self.tokens = lib.layers.Embedding(count, size, mask_zero=True)
            self.places = lib.layers.Embedding(length, size)

        def call(self, ids):
            return self.tokens(ids) + self.places(lib.ops.arange(lib.ops.shape(ids)[-1]))

        def compute_mask(self, inputs, mask=None):
            return self.tokens.compute_mask(inputs)

    class Reader(lib.Model):
        def __init__(self):
            super().__init__()
            self.positions, self.recurrent = Positions(7, 9, 4), lib.layers.GRU(4)
            self.head = lib.layers.Dense(1)

        def call(self, ids):
            return self.head(self.recurrent(self.positions(ids)))

    return Reader(), IDS


def recurrent(lib):
    class Net(lib.Model):
        def __init__(self):
            super().__init__()
            self.first = lib.layers.Bidirectional(lib.layers.GRU(3, return_sequences=True))
            self.second = lib.layers.LSTM(4, return_sequences=True, return_state=True)
            self.heads = {"a": lib.layers.Dense(2, activation="tanh"), "b": lib.layers.Dense(2)}

        def build(self, input_shape):
            self.scale = self.add_weight(shape=(2,), initializer="ones", name="scale", regularizer="l2")
            self.shift = self.add_weight(shape=(), initializer="zeros", name="shift", trainable=False)
            super().build(input_shape)

        def call(self, x, training=False):
            steps, h, c = self.second(self.first(x, training=training))
            last = lib.ops.concatenate([steps[:, -1], h, c], axis=-1)
            y = self.heads["a"](last) * self.scale + self.heads["b"](last) + self.shift
            y = lib.ops.sum(y, axis=-1, keepdims=True)
            return 2.0 * y if training else y

    return Net(), X


def own_loop(lib):
    class Loop(lib.Layer):
        def __init__(self, units, **keywords):
            super().__init__(**keywords)
            self.units = units

        def build(self, input_shape):
            self.kernel = self.add_weight(shape=(input_shape[-1], self.units), name="kernel")
            self.recurrent = self.add_weight(shape=(self.units, self.units), name="recurrent")
            self.bias = self.add_weight(shape=(self.units,), initializer="zeros", name="bias")

        def call(self, x):
            h = lib.ops.zeros_like(lib.ops.matmul(x[:, 0], self.kernel))
            found = []
            for t in range(x.shape[1]):
                h = lib.ops.tanh(lib.ops.matmul(x[:, t], self.kernel) + lib.ops.matmul(h, self.recurrent) + self.bias)
                found.append(h)
            return lib.ops.stack(found, axis=1)

    class Net(lib.Model):
        def __init__(self):
            super().__init__()
            self.loop, self.head = Loop(4), lib.layers.Dense(1)

        def call(self, x):
            return self.head(self.loop(x)[:, -1])

    return Net(), X


def masked_pooling(lib):
    class Pooling(lib.Layer):
        supports_masking = True

        def call(self, x, mask=None):
            if mask is None:
                return lib.ops.mean(x, axis=1)
            used = lib.ops.expand_dims(lib.ops.cast(mask, x.dtype), -1)
            return lib.ops.sum(x * used, axis=1) / lib.ops.sum(used, axis=1)

        def compute_mask(self, inputs, mask=None):
            return None

    class Net(lib.Model):
        def __init__(self):
            super().__init__()
            self.embedding = lib.layers.Embedding(9, 3, mask_zero=True)
            self.pooling, self.head = Pooling(), lib.layers.Dense(1)

        def call(self, ids):
            return self.head(self.pooling(self.embedding(ids)))

    return Net(), IDS


def cells(lib):
    class Leaky(lib.Layer):
        def __init__(self, units, **keywords):
            super().__init__(**keywords)
            self.units, self.state_size, self.output_size = units, units, units

        def build(self, input_shape):
            self.kernel = self.add_weight(shape=(input_shape[-1], self.units), name="kernel")
            self.recurrent = self.add_weight(shape=(self.units, self.units), name="recurrent_kernel")
            self.gate = self.add_weight(shape=(self.units,), initializer="zeros", name="gate")
            self.built = True

        def call(self, inputs, states):
            before = states[0]
            new = lib.ops.tanh(lib.ops.matmul(inputs, self.kernel) + lib.ops.matmul(before, self.recurrent))
            rate = lib.ops.sigmoid(self.gate)
            new = rate * before + (1.0 - rate) * new
            return new, [new]

    class Net(lib.Model):
        def __init__(self):
            super().__init__()
            self.steps = lib.layers.RNN(Leaky(4), return_sequences=True)
            self.last, self.head = lib.layers.RNN(Leaky(3)), lib.layers.Dense(1)

        def call(self, x):
            return self.head(self.last(self.steps(x)))

    return Net(), X


def two_inputs(lib):
    class Joined(lib.Layer):
        def __init__(self, units, **keywords):
            super().__init__(**keywords)
            self.one, self.other = lib.layers.Dense(units), lib.layers.Dense(units)

        def call(self, first, second, scale=1.0):
            return self.one(first) + scale * self.other(second)

    class Net(lib.Model):
        def __init__(self):
            super().__init__()
            self.joined, self.recurrent, self.head = Joined(3), lib.layers.GRU(3), lib.layers.Dense(1)

        def call(self, inputs):
            first, second = inputs
            return self.head(self.recurrent(self.joined(first, second, scale=0.5)))

    return Net(), [X, Z]


def translation(lib):
    class Encoder(lib.Layer):
        def __init__(self, units, **keywords):
            super().__init__(**keywords)
            self.recurrent = lib.layers.GRU(units, return_sequences=True, return_state=True)

        def call(self, x):
            return self.recurrent(x)

    class Decoder(lib.Layer):
        def __init__(self, units, **keywords):
            super().__init__(**keywords)
            self.recurrent = lib.layers.GRU(units, return_sequences=True)
            self.score = lib.layers.Dense(units)

        def call(self, target, steps, state):
            found = self.recurrent(target, initial_state=state)
            scores = lib.ops.matmul(self.score(found), lib.ops.transpose(steps, (0, 2, 1)))
            return lib.ops.concatenate([found, lib.ops.matmul(lib.ops.softmax(scores, axis=-1), steps)], axis=-1)

    class Net(lib.Model):
        def __init__(self):
            super().__init__()
            self.encoder, self.decoder, self.head = Encoder(3), Decoder(3), lib.layers.Dense(1)

        def call(self, inputs):
            source, target = inputs
            steps, state = self.encoder(source)
            return self.head(self.decoder(target, steps, state)[:, -1])

    return Net(), [X, Z]


def shared(lib):
    class Net(lib.Model):
        def __init__(self):
            super().__init__()
            self.dense = lib.layers.Dense(3, activation="tanh")
            self.inner = lib.layers.GRU(3)
            self.head = lib.layers.Dense(1)

        def call(self, x):
            x = self.dense(self.dense(x))
            return self.head(self.inner(x) * self.inner(x[:, ::-1]))

    return Net(), X


CASES = {
    case.__name__: case
    for case in (
        transformer, positions, recurrent, own_loop, masked_pooling, cells, two_inputs, translation, shared,
    )
}  # fmt: skip


TARGET = np.sin(np.arange(ROWS))[:, None]


def numbers_for(shapes):
    """Weights of these shapes, the same whoever asks."""
    random = np.random.default_rng(1)
    return [0.5 * random.normal(size=shape) for shape in shapes]


def told(weights):
    """One number for each weight, in which every element counts."""
    random = np.random.default_rng(2)
    return [float((np.asarray(one) * random.normal(size=np.shape(one))).sum()) for one in weights]


def ours(name):
    """rnnkit's model of a case in float64, built, with those weights, and what it is called on."""
    model, x = CASES[name](RNNKIT)
    model.dtype = model._given_dtype = np.dtype("float64")
    model(x)
    model.set_weights(numbers_for([one.shape for one in model.get_weights()]))
    return model, x
