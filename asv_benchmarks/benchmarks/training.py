"""Time of training: an epoch of a model, one batch of a small one, and an optimizer's update alone."""

# smoke: training.Update.time_update\('adam', '14 k'\)

import timeit

import numpy as np

import rnnkit as rk

from .cells import MAKERS
from .tasks import adding_data


class Epoch:
    """One epoch of `fit`: a cell of 64 units and Dense(1) on the adding problem, batches of 64; default threads."""

    params = ["GRUCell", "LSTMCell", "leaky"]
    param_names = ("cell",)

    def setup(self, cell):
        self.data = adding_data(np.random.default_rng(0), 1024, 100)
        self.model = rk.Sequential([rk.RNN(MAKERS[cell](64)), rk.Dense(1)], seed=0)
        self.model.compile("adam", "mse")
        self.time_epoch(cell)

    def time_epoch(self, cell):
        self.model.fit(*self.data, batch_size=64, verbose=0)


class Batch:
    """One batch of a model so small that only what is done around it counts."""

    def setup(self):
        self.data = adding_data(np.random.default_rng(0), 8, 5)
        self.model = rk.Sequential([rk.GRU(4), rk.Dense(1)], seed=0)
        self.model.compile("adam", "mse")
        self.time_batch()

    def time_batch(self):
        self.model.train_on_batch(*self.data)


class SmallBatches:
    """What a batch of 32 short sequences takes of a small model, in microseconds: the least of several epochs."""

    params = ["fit", "evaluate", "predict"]
    param_names = ("method",)
    unit = "µs"

    def setup(self, method):
        x = np.random.default_rng(0).standard_normal((6400, 10, 1), dtype=np.float32)
        y = x.sum(axis=1)
        model = rk.Sequential([rk.GRU(8), rk.Dense(1)], seed=0)
        model.compile("adam", "mse")
        self.epoch = {
            "fit": lambda: model.fit(x, y, batch_size=32, verbose=0),
            "evaluate": lambda: model.evaluate(x, y, batch_size=32, verbose=0),
            "predict": lambda: model.predict(x, batch_size=32, verbose=0),
        }[method]
        self.epoch()

    def track_batch(self, method):
        return 1e6 * min(timeit.repeat(self.epoch, number=1, repeat=9)) / 200


class Update:
    """One update of all weights by an optimizer."""

    params = (["sgd", "adam", "lion"], ["20 arrays", "14 k", "1 M"])
    param_names = ("optimizer", "weights")

    def setup(self, optimizer, weights):
        shapes = {
            "20 arrays": {str(i): (4, 8) for i in range(20)},
            "14 k": {"kernel": (8, 192), "recurrent": (64, 192), "bias": (2, 192), "head": (64, 1)},
            "1 M": {"kernel": (64, 2048), "recurrent": (512, 2048), "bias": (2, 2048)},
        }[weights]
        rng = np.random.default_rng(0)
        self.weights, self.gradients = (
            {name: rng.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()} for _ in range(2)
        )
        self.optimizer = rk.optimizers.get(optimizer)
        for _ in range(5):  # from the fourth on it is repeated
            self.time_update(optimizer, weights)

    def time_update(self, optimizer, weights):
        self.weights = self.optimizer.apply(self.weights, self.gradients)
