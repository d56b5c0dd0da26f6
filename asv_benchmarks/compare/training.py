"""Epochs of `fit`, small batches and one update beside other libraries, and what networks learn."""

import functools
import os
import statistics
import time
from collections.abc import Callable

import numpy as np
import peers
from benchmarks import tasks
from measuring import EPOCH, Figures, Settings, available, in_turns, seconds, section
from writing import beside_others, rows_of

import rnnkit as rk

SMALL = {"rows": 10_000, "units": 8, "batch": 32}
ROWS, STEPS = 4096, 10  # sequences of an epoch, and steps of small batches
ARRAYS, SHAPE = 20, (4, 8)  # of an optimizer alone
SEEDS, SHOWN = (0, 1, 2), "0, 1, 2"

Ways = dict[str, dict[str, Callable]]  # library → what it does


def rnnkit(x, y, units: int, batch: int) -> tuple[Ways, list[np.ndarray]]:
    """Return an epoch and predictions for all rows, and the weights at the start."""
    model = rk.Sequential([rk.GRU(units), rk.Dense(1)], seed=0)
    model.compile(rk.optimizers.Adam(0.001), "mse")
    model.build(x.shape)
    return {"rnnkit": _own(model, x, y, batch)}, model.get_weights()


def _own(model, x, y, batch) -> dict[str, Callable]:
    def epoch(shuffle=True) -> float:
        return model.fit(x, y, batch_size=batch, verbose=0, shuffle=shuffle).history["loss"][-1]

    return {"update": epoch, "predict": lambda: model.predict(x, batch_size=batch, verbose=0)}


def torch(x, y, units: int, batch: int, weights) -> Ways:
    """Return the loop that its tutorials show, data and a shuffled order as tensors."""
    import torch

    *recurrent, weight, bias = weights
    gru, head = peers.torch_layer("GRU", (x.shape[2], units), [recurrent], batch_first=True), torch.nn.Linear(units, 1)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(weight.T))
        head.bias.copy_(torch.from_numpy(bias))
    model = lambda x: head(gru(x)[0][:, -1])
    optimizer = torch.optim.Adam([*gru.parameters(), *head.parameters()], lr=0.001, eps=1e-7, fused=True)
    inputs, targets = torch.from_numpy(x), torch.from_numpy(y)

    def epoch(shuffle=True) -> float:
        total = 0.0
        for rows in (torch.randperm if shuffle else torch.arange)(len(x)).split(batch):
            loss = torch.nn.functional.mse_loss(model(inputs[rows]), targets[rows])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(rows)
        return float(total / len(x))

    def predictions():
        with torch.inference_mode():
            return torch.cat([model(part) for part in inputs.split(batch)]).numpy()

    return {"torch": {"update": epoch, "predict": predictions}}


def _keras(x, units, weights):
    os.environ["KERAS_BACKEND"] = "jax"
    import keras

    model = keras.Sequential([keras.layers.Input(x.shape[1:]), keras.layers.GRU(units), keras.layers.Dense(1)])
    model.set_weights(weights)
    model.compile(keras.optimizers.Adam(0.001), "mse")
    return model


def keras(x, y, units: int, batch: int, weights) -> Ways:
    return {"Keras on jax": _own(_keras(x, units, weights), x, y, batch)}


def keras_jitted(x, y, units: int, batch: int, weights) -> Ways:
    """Return a loop over one jitted step of the same model, and one over jitted calls."""
    model = _keras(x, units, weights)
    import jax

    model.optimizer.build(model.trainable_variables)

    def loss(trained, others, x, y):
        found, others = model.stateless_call(trained, others, x)
        return ((found - y) ** 2).mean(), others

    gradient = jax.value_and_grad(loss, has_aux=True)

    @jax.jit
    def step(trained, others, kept, x, y):
        (found, others), slopes = gradient(trained, others, x, y)
        trained, kept = model.optimizer.stateless_apply(kept, slopes, trained)
        return found, trained, others, kept

    forward = jax.jit(lambda trained, others, x: model.stateless_call(trained, others, x)[0])
    kinds = model.trainable_variables, model.non_trainable_variables, model.optimizer.variables
    states = [[variable.value for variable in kind] for kind in kinds]
    rng = np.random.default_rng(0)

    def epoch():
        order, total = rng.permutation(len(x)), 0.0
        for start in range(0, len(x), batch):
            rows = order[start : start + batch]
            found, *states[:] = step(*states, x[rows], y[rows])
            total += found * len(rows)
        return float(total) / len(x)

    def predictions():
        return np.concatenate([forward(*states[:2], x[i : i + batch]) for i in range(0, len(x), batch)])

    return {"Keras on jax, jitted": {"update": epoch, "predict": predictions}}


@section("training", beside_others("data"), **EPOCH)
def training(settings: Settings) -> Figures:
    """Time epochs in turn; the losses of the first two, in the rows' own order, have to agree."""
    shape = ROWS // 16 if settings.quick else ROWS, EPOCH["steps"], EPOCH["features"]
    x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    given = x, x[:, :, :1].mean(axis=1), EPOCH["units"], EPOCH["batch"]
    found, weights = rnnkit(*given)
    found |= available([torch, keras], settings, *given, weights)
    runners = {label: ways["update"] for label, ways in found.items()}
    losses = {label: [run(shuffle=False) for _ in range(2)] for label, run in runners.items()}
    assert all(np.allclose(several, losses["rnnkit"], rtol=1e-3) for several in losses.values()), losses
    return {f"{len(x):,} sequences": in_turns(runners, settings.rounds)}


@section("small", beside_others("work", 1e6), **SMALL)
def small(settings: Settings) -> Figures:
    """Time updates, predictions and an optimizer alone in turns; at first, all models predict the same."""
    batch = SMALL["batch"]
    shape = 20 * batch if settings.quick else SMALL["rows"], STEPS, 1
    x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    given = x, x.sum(axis=1), SMALL["units"], batch
    found, weights = rnnkit(*given)
    found |= available([torch, keras, keras_jitted], settings, *given, weights)
    predicted = {label: ways["predict"]() for label, ways in found.items()}
    for label, array in predicted.items():
        assert np.allclose(array, predicted["rnnkit"], rtol=1e-3, atol=1e-4), label
    figures = {}
    for what, told in {"update": "an update of fit", "predict": "predict"}.items():
        runners = {label: ways[what] for label, ways in found.items()}
        each = lambda run: seconds(run) / -(-len(x) // batch)
        figures[f"{told}, {batch} rows of {STEPS} steps"] = in_turns(runners, settings.rounds, each)
    arrays = [np.random.default_rng(k).standard_normal((ARRAYS, *SHAPE), dtype=np.float32) for k in range(2)]
    runners = available([rnnkit_adam, torch_adam], settings, *arrays)
    figures[f"an update of {ARRAYS} arrays {SHAPE}"] = in_turns(runners, settings.rounds)
    return figures


def rnnkit_adam(weights, gradients) -> dict[str, Callable]:
    optimizer, gradients = rk.optimizers.Adam(0.001), {str(k): array for k, array in enumerate(gradients)}
    held = [{str(k): array for k, array in enumerate(weights)}]

    def update():
        held[0] = optimizer.apply(held[0], gradients)

    return {"rnnkit": update}


def torch_adam(weights, gradients) -> dict[str, Callable]:
    import torch

    parameters = [torch.nn.Parameter(torch.from_numpy(array.copy())) for array in weights]
    for parameter, array in zip(parameters, gradients, strict=True):
        parameter.grad = torch.from_numpy(array)
    return {"torch": torch.optim.Adam(parameters, lr=0.001, eps=1e-7, fused=True).step}


def clocked(task: Callable) -> Callable:
    """Return a task that gives a network's result, and the seconds from its making to its test."""

    def run(seed):
        start = time.perf_counter()
        return task(seed), time.perf_counter() - start

    return run


LEARNING = {  # the measure, and a task of a seed that gives a number for each column
    "adding problem, T = 100": ("mean squared error", clocked(tasks.adding)),
    "adding problem, T = 400": ("mean squared error", clocked(functools.partial(tasks.adding, steps=400))),
    "copy memory, delay 20": ("share recalled", clocked(tasks.copying)),
    "copy memory, delay 100": ("share recalled", clocked(functools.partial(tasks.copying, delay=100))),
    "digits, row by row": ("accuracy on a third held out", clocked(tasks.digits)),
    "reversing ten symbols": ("share right, on its own", clocked(tasks.reversing)),
}


def trained(wanted: dict[str, tuple[str, Callable]], columns: tuple[str, ...], settings: Settings) -> Figures:
    figures: Figures = {}
    for name, (_, task) in wanted.items():
        try:
            found = [task(seed) for seed in (SEEDS[:1] if settings.quick else SEEDS)]
            figures[name] = dict(zip(columns, map(list, zip(*found, strict=True)), strict=True))
        except ImportError as missing:
            settings.note(f"{name} was left out: {missing}.")
    return figures


LEARNED = {
    "measure": lambda name, found: LEARNING[name][0],
    f"seeds {SHOWN}": lambda name, found: ", ".join(f"{result:.4g}" for result in found["results"]),
    "seconds": lambda name, found: f"{statistics.median(found['seconds']):.0f}",
}
section("learning", rows_of("task", LEARNED))(functools.partial(trained, LEARNING, ("results", "seconds")))
