"""Time of training: an epoch of a model, one batch of a small one, and an optimizer's update alone."""

# smoke: training.Update.time_update\('adam', '14 k'\)

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


class Update:
    """One update of all weights by an optimizer."""

    params = (["sgd", "adam", "lion"], ["14 k", "1 M"])
    param_names = ("optimizer", "weights")

    def setup(self, optimizer, weights):
        shapes = {
            "14 k": {"kernel": (8, 192), "recurrent": (64, 192), "bias": (2, 192), "head": (64, 1)},
            "1 M": {"kernel": (64, 2048), "recurrent": (512, 2048), "bias": (2, 2048)},
        }[weights]
        rng = np.random.default_rng(0)
        self.weights, self.gradients = (
            {name: rng.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()} for _ in range(2)
        )
        self.optimizer = rk.optimizers.get(optimizer)
        self.time_update(optimizer, weights)

    def time_update(self, optimizer, weights):
        self.weights = self.optimizer.apply(self.weights, self.gradients)
