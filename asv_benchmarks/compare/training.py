"""One epoch of `fit` beside the same epoch in other libraries, and how long it is until the first step is done."""

import functools
import os
from collections.abc import Callable

import numpy as np
import peers
import process
from section import Section
from timing import THREADS, Figures, Settings, in_turns
from writing import beside_others

import rnnkit as rk

ROWS, STEPS, FEATURES, UNITS, BATCH = 4096, 100, 8, 64, 64


def data(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Sequences and a sum to be found in them."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, STEPS, FEATURES), dtype=np.float32)
    return x, x[:, :, :1].mean(axis=1)


def ours(x, y) -> tuple[Callable, list[np.ndarray]]:
    """An epoch, and the weights that it starts from."""
    model = rk.Sequential([rk.GRU(UNITS), rk.Dense(1)], seed=0)
    model.compile(rk.optimizers.Adam(0.001), "mse")
    model.build(x.shape)

    def epoch(shuffle=True) -> float:
        return model.fit(x, y, batch_size=BATCH, verbose=0, shuffle=shuffle).history["loss"][-1]

    return epoch, model.get_weights()


def torch(x, y, weights) -> dict[str, Callable]:
    """See `torch_epoch`."""
    return {"torch": torch_epoch(x, y, weights, FEATURES, UNITS, BATCH)[1]}


def torch_epoch(x, y, weights, features, units, batch):
    """The model, and an epoch of it: the loop that its tutorials show, data and a shuffled order as tensors."""
    import torch

    torch.set_num_threads(THREADS)
    kernel, recurrent, bias, head, head_bias = weights

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.gru = torch.nn.GRU(features, units, batch_first=True)
            self.head = torch.nn.Linear(units, 1)

        def forward(self, x):
            return self.head(self.gru(x)[0][:, -1])

    model = Model()
    own = [
        *(np.ascontiguousarray(peers.gates(array, "zrh", "rzh").T) for array in (kernel, recurrent)),
        *peers.gates(bias, "zrh", "rzh"),
        np.ascontiguousarray(head.T),
        head_bias,
    ]
    with torch.no_grad():
        for parameter, array in zip(model.parameters(), own, strict=True):
            parameter.copy_(torch.from_numpy(array))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001, eps=1e-7, fused=True)
    x, y = torch.from_numpy(x), torch.from_numpy(y)

    def epoch(shuffle=True) -> float:
        total = 0.0
        for rows in (torch.randperm if shuffle else torch.arange)(len(x)).split(batch):
            loss = torch.nn.functional.mse_loss(model(x[rows]), y[rows])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(rows)
        return float(total / len(x))

    return model, epoch


def keras(x, y, weights) -> dict[str, Callable]:
    """Its own `fit`, on jax, compiled as it likes best."""
    os.environ["KERAS_BACKEND"] = "jax"
    import keras

    model = keras.Sequential([keras.layers.Input(x.shape[1:]), keras.layers.GRU(UNITS), keras.layers.Dense(1)])
    model.set_weights(weights)
    model.compile(keras.optimizers.Adam(0.001), "mse")

    def epoch(shuffle=True) -> float:
        return model.fit(x, y, batch_size=BATCH, verbose=0, shuffle=shuffle).history["loss"][-1]

    return {"Keras on jax": epoch}


def measure(settings: Settings) -> Figures:
    """Each library's epochs in turn; the losses of the first two, in the rows' own order, have to agree."""
    x, y = data(ROWS // 16 if settings.quick else ROWS)
    epoch, weights = ours(x, y)
    runners = {"rnnkit": epoch} | peers.available([torch, keras], settings, x, y, weights)
    losses = {label: [run(shuffle=False) for _ in range(2)] for label, run in runners.items()}
    for label, found in losses.items():
        assert np.allclose(found, losses["rnnkit"], rtol=1e-3), f"{label}: {losses}"
    row = f"{len(x):,} sequences"
    return {row: in_turns(runners, settings.rounds)}


STARTS = {
    "rnnkit": (
        [],
        f"""
import numpy as np
import rnnkit as rk
x = np.zeros(({BATCH}, {STEPS}, {FEATURES}), np.float32)
model = rk.Sequential([rk.GRU({UNITS}), rk.Dense(1)])
model.compile("adam", "mse")
model.train_on_batch(x, np.zeros(({BATCH}, 1), np.float32))
""",
    ),
    "torch": (
        ["torch"],
        f"""
import torch
x = torch.zeros({BATCH}, {STEPS}, {FEATURES})
gru, head = torch.nn.GRU({FEATURES}, {UNITS}, batch_first=True), torch.nn.Linear({UNITS}, 1)
optimizer = torch.optim.Adam([*gru.parameters(), *head.parameters()])
torch.nn.functional.mse_loss(head(gru(x)[0][:, -1]), torch.zeros({BATCH}, 1)).backward()
optimizer.step()
""",
    ),
    "Keras on jax": (
        ["keras", "jax"],
        f"""
import keras
import numpy as np
x = np.zeros(({BATCH}, {STEPS}, {FEATURES}), np.float32)
model = keras.Sequential([keras.layers.GRU({UNITS}), keras.layers.Dense(1)])
model.compile("adam", "mse")
model.train_on_batch(x, np.zeros(({BATCH}, 1), np.float32))
""",
    ),
}

SECTIONS = {
    "training": Section(
        "An epoch of training",
        f"The time of one epoch of `fit`, in milliseconds. The model is GRU({UNITS}) and Dense(1), on sequences of "
        f"{STEPS} steps of {FEATURES} features, in batches of {BATCH} in a shuffled order, with mean squared error and "
        "Adam.",
        measure,
        beside_others("data"),
    ),
    "training-start": Section(
        "Time to the first training step",
        "The time of a whole process in seconds, from the start of the interpreter to the weights after the first "
        "batch of this model. rnnkit loads its programs from disk, where an earlier run has stored them.",
        functools.partial(process.first_results, row="first step", codes=STARTS),
        beside_others("process", 1),
    ),
}
