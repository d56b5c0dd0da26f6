"""Training: an epoch of a model, what a batch of a small one takes, an optimizer's update alone, and estimators."""

# smoke: training.Update.track_seconds\('adam', '14 k'\)

import numpy as np

import rnnkit as rk

from .cells import cell
from .measure import Timed
from .tasks import adding_data


class Epoch(Timed):
    """One epoch of `fit`: a cell of 64 units and Dense(1) on the adding problem, 256 sequences in batches of 64."""

    params = ["GRUCell", "LSTMCell", "leaky"]
    param_names = ("cell",)

    def make(self, name):
        data = adding_data(np.random.default_rng(0), 256, 100)
        model = rk.Sequential([rk.RNN(cell(name, 64)), rk.Dense(1)], seed=0)
        model.compile("adam", "mse")
        return lambda: model.fit(*data, batch_size=64, verbose=0)


class SmallBatches(Timed):
    """An epoch of 50 batches of a model so small that only what is done around them counts."""

    params = ["fit", "evaluate", "predict"]
    param_names = ("method",)

    def make(self, method):
        x = np.random.default_rng(0).standard_normal((1600, 10, 1), dtype=np.float32)
        y = x.sum(axis=1)
        model = rk.Sequential([rk.GRU(8), rk.Dense(1)], seed=0)
        model.compile("adam", "mse")
        return {
            "fit": lambda: model.fit(x, y, batch_size=32, verbose=0),
            "evaluate": lambda: model.evaluate(x, y, batch_size=32, verbose=0),
            "predict": lambda: model.predict(x, batch_size=32, verbose=0),
        }[method]


class Update(Timed):
    """One update of all weights by an optimizer."""

    params = (["sgd", "adam"], ["20 arrays", "14 k", "1 M"])
    param_names = ("optimizer", "weights")

    def make(self, optimizer, weights):
        shapes = {
            "20 arrays": {str(i): (4, 8) for i in range(20)},
            "14 k": {"kernel": (8, 192), "recurrent": (64, 192), "bias": (2, 192), "head": (64, 1)},
            "1 M": {"kernel": (64, 2048), "recurrent": (512, 2048), "bias": (2, 2048)},
        }[weights]
        rng, made = np.random.default_rng(0), rk.optimizers.get(optimizer)
        given, gradients = (
            {name: rng.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()} for _ in range(2)
        )

        def call():
            nonlocal given
            given = made.apply(given, gradients)

        return call


class Estimator(Timed):
    """A classifier of scikit-learn's kind, fitted to 200 sequences of unequal lengths and asked for their classes."""

    def make(self):
        from rnnkit.sklearn import ESNClassifier

        rng = np.random.default_rng(0)
        x = [rng.standard_normal((10 + k % 20, 3)) + (k % 2) for k in range(200)]
        y = np.arange(200) % 2
        return lambda: ESNClassifier(units=50, random_state=0).fit(x, y).predict(x)
