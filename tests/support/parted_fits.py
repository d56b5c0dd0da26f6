"""Models, data and options for fits in parts, drawn at random."""

import numpy as np

import rnnkit as rk


def sequences(rng, rows=None, steps=6, features=3):
    """x, targets of a row, and targets of its steps."""
    rows = int(rng.integers(20, 45)) if rows is None else rows
    x = rng.normal(size=(rows, steps, features)).astype("float32")
    return x, x[:, :, :1].sum(axis=1), np.cumsum(x[:, :, :1], axis=1)


def dropped(seed):
    layers = [rk.GRU(5, dropout=0.3, recurrent_dropout=0.2, return_sequences=True), rk.Dropout(0.3), rk.LSTM(4)]
    return rk.Sequential([*layers, rk.Dense(1, kernel_regularizer="l2")], seed=seed)


def masked(seed):
    layers = [rk.Masking(), rk.LSTM(5, return_sequences=True), rk.Dense(1)]
    return rk.Sequential(layers, seed=seed)


def normalized(seed):
    layers = [rk.SimpleRNN(5, return_sequences=True), rk.BatchNormalization(), rk.GaussianNoise(0.1)]
    return rk.Sequential([*layers, rk.GRU(4), rk.Dense(1)], seed=seed)


def two_outputs(seed):
    x = rk.Input((None, 3))
    h = rk.LSTM(5, return_sequences=True, seed=seed)(rk.Masking()(x))
    last = rk.GRU(3, seed=seed)(h)
    outputs = [rk.Dense(1, name="steps", seed=seed)(h), rk.Dense(1, name="rows", seed=seed)(last)]
    return rk.Model(x, outputs, seed=seed)


# By name a model, and which of the targets it has.
MODELS = {
    "dropped": (dropped, "rows"),
    "masked": (masked, "steps"),
    "normalized": (normalized, "rows"),
    "two outputs": (two_outputs, "both"),
}


class Case:
    """A model with data, how it is compiled and how it is fitted."""

    def __init__(self, name, seed):
        rng = np.random.default_rng([seed, *name.encode()])
        self.make, kind = MODELS[name]
        self.seed, self.kind = seed, kind
        self.x, rows, steps = sequences(rng)
        if kind != "rows":
            self.x[rng.random(self.x.shape[:2]) < 0.3] = 0
        self.y = {"rows": rows, "steps": steps, "both": [steps, rows]}[kind]
        weight = rng.uniform(0.5, 2, len(self.x)).astype("float32")
        self.weight = weight if rng.random() < 0.5 else None
        self.optimizer = rng.choice(["adam", "sgd", "rmsprop"])
        self.clip = {"global_clipnorm": 1.0} if rng.random() < 0.5 else {}
        self.loss = str(rng.choice(["mse", "mae", "huber"]))
        self.metrics = ["mae"] if rng.random() < 0.7 else None
        self.options = {"epochs": 2, "batch_size": int(rng.integers(5, 20)), "parts": int(rng.integers(1, 7))}
        self.options |= {"verbose": 0, "validation_split": 0.25 * bool(rng.random() < 0.5)}
        self.rng = rng

    def model(self):
        model = self.make(self.seed)
        several = {"loss_weights": [0.7, 2.0]} if self.kind == "both" else {}
        optimizer = rk.optimizers.get(str(self.optimizer))
        optimizer = type(optimizer)(**self.clip)
        model.compile(optimizer, self.loss, metrics=self.metrics, **several)
        return model

    def fitted(self, x, y, weight, **more):
        model = self.model()
        history = model.fit(x, y, sample_weight=weight, **(self.options | more))
        return model, history


def state_of(model, history):
    """All that a fit leaves behind: losses, weights and the optimizer's state."""
    return [history.history, model.get_weights(), list(model.optimizer.get_state().values())]


def same_fit(found, expected):
    """Two fits have the same bits."""
    (losses, *arrays), (other, *others) = state_of(*found), state_of(*expected)
    assert losses == other
    for some, those in zip(arrays, others, strict=True):
        for a, b in zip(some, those, strict=True):
            assert a.dtype == b.dtype and np.array_equal(a, b)
