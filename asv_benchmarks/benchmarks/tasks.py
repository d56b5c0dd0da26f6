"""Tasks that show whether a recurrent network learns: each takes a seed and gives how well it did on unseen data."""

import numpy as np

import rnnkit as rk

from .cells import gated

SYMBOLS, ALPHABET = 10, 8


def adding_data(rng, rows: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers from 0 to 1 and marks at two of them, one in each half, (B, T, 2); their sum, (B, 1).

    Hochreiter and Schmidhuber (1997), "Long short-term memory", section 5.4, in the form of Le, Jaitly and Hinton
    (2015).
    """
    x = np.zeros((rows, steps, 2), np.float32)
    x[:, :, 0] = rng.random((rows, steps))
    one, two, every = rng.integers(0, steps // 2, rows), rng.integers(steps // 2, steps, rows), np.arange(rows)
    x[every, one, 1] = x[every, two, 1] = 1
    return x, (x[every, one, 0] + x[every, two, 0])[:, None]


def decaying(rate: float, rows: int, batch: int, epochs: int):
    """Adam with a learning rate that falls to 0 along a cosine."""
    updates = -(-rows // batch) * epochs
    return rk.optimizers.Adam(rk.optimizers.schedules.CosineDecay(rate, updates))


def adding(seed: int, steps=100, rows=20_000, epochs=4, units=64) -> float:
    """The mean squared error of a gated cell of one's own on unseen data; 0.167 is that of the constant 1."""
    rng = np.random.default_rng(seed)
    model = rk.Sequential([rk.RNN(gated(units=units)), rk.Dense(1)], seed=seed)
    model.compile(decaying(0.01, rows, 100, epochs), "mse")
    model.fit(*adding_data(rng, rows, steps), batch_size=100, epochs=epochs, verbose=0)
    return model.evaluate(*adding_data(rng, 2000, steps))


def rotations(shape, rng) -> np.ndarray:
    """What makes blocks of rotations by random angles of an orthogonal matrix (Helfrich, Willmott and Ye 2018)."""
    found, first = np.zeros(shape), np.arange(0, shape[0] - 1, 2)
    found[first, first + 1] = np.tan(rng.uniform(-np.pi, np.pi, len(first)) / 2)
    return found


@rk.cell(
    states={"h": "units"},
    weights={
        "kernel": rk.Weight(("features", "units"), "glorot_uniform"),
        "skew": rk.Weight(("units", "units"), rotations),
        "bias": rk.Weight(("units",), "zeros"),
    },
)
def orthogonal(x, states, weights):
    """The scaled Cayley cell without its signs, with modReLU (Helfrich, Willmott and Ye 2018, equations 7 and 8)."""
    (h,) = states
    skew, one = weights.skew - weights.skew.T, np.eye(weights.skew.shape[0])
    z = x @ weights.kernel + h @ (np.linalg.inv(one + skew) @ (one - skew))
    h = np.sign(z) * rk.relu(np.abs(z) + weights.bias)
    return h, (h,)


def copying_data(rng, rows: int, delay: int) -> tuple[np.ndarray, np.ndarray]:
    """Symbols, then blanks, then a sign to recall them, one-hot (B, 2 * 10 + delay, 10); the symbols, (B, 10).

    Hochreiter and Schmidhuber (1997), in the form of Arjovsky, Shah and Bengio (2016), section 5.1.
    """
    symbols = rng.integers(0, ALPHABET, (rows, SYMBOLS))
    ids = np.full((rows, 2 * SYMBOLS + delay), ALPHABET)
    ids[:, :SYMBOLS], ids[:, SYMBOLS + delay - 1] = symbols, ALPHABET + 1
    return np.eye(ALPHABET + 2, dtype=np.float32)[ids], symbols


def copying(seed: int, delay=20, rows=20_000, epochs=4, units=128) -> float:
    """The share of symbols that an orthogonal cell recalls after the delay."""
    rng = np.random.default_rng(seed)
    model = rk.Sequential([rk.RNN(orthogonal(units=units), return_sequences=True), rk.Dense(ALPHABET)], seed=seed)
    model.compile(decaying(0.001, rows, 100, epochs), rk.losses.SparseCategoricalCrossentropy(from_logits=True))
    x, symbols = copying_data(rng, rows, delay)
    blanks = np.zeros((rows, SYMBOLS + delay), int)
    counts = np.zeros(x.shape[:2], np.float32)
    counts[:, -SYMBOLS:] = x.shape[1] / SYMBOLS
    targets = np.concatenate([blanks, symbols], axis=1)
    model.fit(x, targets, sample_weight=counts, batch_size=100, epochs=epochs, verbose=0)
    x, symbols = copying_data(rng, 2000, delay)
    return float(np.mean(model.predict(x)[:, -SYMBOLS:].argmax(axis=-1) == symbols))


def digits(seed: int, epochs=60, units=128) -> float:
    """The accuracy of a GRU, in both directions, that reads scikit-learn's digits row by row, on a third held out."""
    from sklearn.datasets import load_digits

    data = load_digits()
    order = np.random.default_rng(seed).permutation(len(data.target))
    held, rest = order[: len(order) // 3], order[len(order) // 3 :]
    x, y = (data.images / 16).astype(np.float32), data.target
    layers = [rk.Bidirectional(rk.GRU(units, dropout=0.3)), rk.Dropout(0.3), rk.Dense(10)]
    model = rk.Sequential(layers, seed=seed)
    loss = rk.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(decaying(0.01, len(rest), 32, epochs), loss, metrics=["accuracy"])
    model.fit(x[rest], y[rest], batch_size=32, epochs=epochs, verbose=0)
    return model.evaluate(x[held], y[held])[1]


class Reverser:
    """An encoder whose state starts a decoder, which puts out the encoder's symbols in reverse."""

    def __init__(self, seed: int, symbols: int, units: int):
        seeds = [int(number) for number in np.random.SeedSequence(seed).generate_state(4)]
        self.symbols = symbols
        self.embed = rk.Embedding(ALPHABET + 1, 16, seed=seeds[0])  # the last one begins an answer
        self.encoder = rk.GRU(units, return_state=True, seed=seeds[1], name="encoder")
        self.decoder = rk.GRU(units, return_sequences=True, return_state=True, seed=seeds[2], name="decoder")
        self.head = rk.Dense(ALPHABET, seed=seeds[3], name="head")
        source, before = rk.Input((symbols,)), rk.Input((symbols,))
        _, state = self.encoder(self.embed(source))
        outputs, _ = self.decoder(self.embed(before), initial_state=[state])
        self.model = rk.Model([source, before], self.head(outputs), seed=seed)

    def data(self, rng, rows: int):
        """Symbols, what the decoder said before each of its own, and those."""
        source = rng.integers(0, ALPHABET, (rows, self.symbols))
        answer = source[:, ::-1]
        before = np.concatenate([np.full((rows, 1), ALPHABET), answer[:, :-1]], axis=1)
        return [source, before], answer

    def answer(self, source) -> np.ndarray:
        """What the decoder says by itself: each symbol is the one that it reads next."""
        _, state = self.encoder(self.embed(source))
        symbol, said = np.full((len(source), 1), ALPHABET), []
        for _ in range(self.symbols):
            outputs, state = self.decoder(self.embed(symbol), initial_state=[state])
            symbol = self.head(outputs).argmax(axis=-1)
            said.append(symbol)
        return np.concatenate(said, axis=1)


def reversing(seed: int, symbols=SYMBOLS, rows=20_000, epochs=12, units=128) -> float:
    """The share of symbols that the decoder, on its own, puts out in reverse."""
    rng = np.random.default_rng(seed)
    net = Reverser(seed, symbols, units)
    loss = rk.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.model.compile(decaying(0.003, rows, 100, epochs), loss)
    net.model.fit(*net.data(rng, rows), batch_size=100, epochs=epochs, verbose=0)
    (source, _), answer = net.data(rng, 2000)
    return float(np.mean(net.answer(source) == answer))
