"""An encoder and a decoder, made by symbolic calls, learn to write a sequence of symbols backwards."""

import numpy as np
import pytest

import rnnkit as rk


def sequences(count, length, symbols, rng):
    """Symbols, what the decoder reads (the symbol before, at first one of its own), and what it has to write."""
    source = rng.integers(0, symbols, (count, length))
    target = source[:, ::-1]
    return source, np.concatenate([np.full((count, 1), symbols), target[:, :-1]], axis=1), target


def encoder_decoder(symbols, units, seed):
    source, before = (rk.Input((None,), dtype="int32", name=name) for name in ("source", "before"))
    embedding = rk.Embedding(symbols + 1, 16, seed=seed)
    _, h, c = rk.LSTM(units, return_state=True, name="encoder", seed=seed + 10)(embedding(source))
    steps = rk.LSTM(units, return_sequences=True, name="decoder", seed=seed + 20)(
        embedding(before), initial_state=[h, c]
    )
    return rk.Model([source, before], rk.Dense(symbols, seed=seed + 30)(steps), seed=seed)


def written(model, source, symbols):
    """What the model writes when it reads what it wrote."""
    found = np.full((len(source), 1), symbols)
    for _ in range(source.shape[1]):
        following = model.predict([source, found], verbose=0)[:, -1].argmax(axis=-1)
        found = np.concatenate([found, following[:, None]], axis=1)
    return found[:, 1:]


def accuracy_after(count, length, symbols, units, epochs, seed):
    rng = np.random.default_rng(seed)
    source, before, target = sequences(count, length, symbols, rng)
    model = encoder_decoder(symbols, units, seed)
    rate = rk.optimizers.schedules.CosineDecay(0.01, epochs * count // 64)
    loss = rk.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(rk.optimizers.Adam(rate, global_clipnorm=1.0), loss)
    model.fit([source, before], target, batch_size=64, epochs=epochs, verbose=0)
    unseen, _, expected = sequences(500, length, symbols, rng)
    return (written(model, unseen, symbols) == expected).mean()


def test_short_sequences():
    assert accuracy_after(count=1000, length=4, symbols=4, units=32, epochs=8, seed=0) > 0.95


@pytest.mark.sweep
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_ten_symbols_out_of_eight(seed):
    assert accuracy_after(count=10_000, length=10, symbols=8, units=64, epochs=15, seed=seed) >= 0.98
