"""Models so small that what is done around the arithmetic counts: updates, predictions, an optimizer alone."""

import os
from collections.abc import Callable

import numpy as np
import peers
import training
from section import Section
from timing import THREADS, Figures, Settings, in_turns
from writing import beside_others

import rnnkit as rk

ROWS, BATCH, STEPS, UNITS = 10_000, 32, 10, 8
ARRAYS, SHAPE = 20, (4, 8)


def data() -> tuple[np.ndarray, np.ndarray]:
    """Short sequences and their sums."""
    x = np.random.default_rng(0).standard_normal((ROWS, STEPS, 1), dtype=np.float32)
    return x, x.sum(axis=1)


def ours(x, y) -> tuple[dict[str, Callable], list[np.ndarray]]:
    """An epoch, predictions for all rows, and the weights at the start."""
    model = rk.Sequential([rk.GRU(UNITS), rk.Dense(1)], seed=0)
    model.compile(rk.optimizers.Adam(0.001), "mse")
    model.build(x.shape)
    weights = model.get_weights()
    return {
        "update": lambda: model.fit(x, y, batch_size=BATCH, verbose=0),
        "predict": lambda: model.predict(x, batch_size=BATCH, verbose=0),
    }, weights


def keras(x, y, weights) -> dict[str, dict[str, Callable]]:
    """Its own `fit` and `predict` on jax, and a loop over one jitted step of the same model."""
    os.environ["KERAS_BACKEND"] = "jax"
    import jax
    import keras

    def made():
        model = keras.Sequential([keras.layers.Input(x.shape[1:]), keras.layers.GRU(UNITS), keras.layers.Dense(1)])
        model.set_weights(weights)
        model.compile(keras.optimizers.Adam(0.001), "mse")
        model.optimizer.build(model.trainable_variables)
        return model

    model, other = made(), made()

    def loss(trained, others, x, y):
        found, others = other.stateless_call(trained, others, x)
        return ((found - y) ** 2).mean(), others

    gradient = jax.value_and_grad(loss, has_aux=True)

    @jax.jit
    def step(trained, others, kept, x, y):
        (found, others), slopes = gradient(trained, others, x, y)
        trained, kept = other.optimizer.stateless_apply(kept, slopes, trained)
        return found, trained, others, kept

    forward = jax.jit(lambda trained, others, x: other.stateless_call(trained, others, x)[0])
    kinds = other.trainable_variables, other.non_trainable_variables, other.optimizer.variables
    states = [[variable.value for variable in kind] for kind in kinds]

    rng = np.random.default_rng(0)

    def epoch():
        order, total = rng.permutation(len(x)), 0.0
        for start in range(0, len(x), BATCH):
            rows = order[start : start + BATCH]
            found, *states[:] = step(*states, x[rows], y[rows])
            total += found * len(rows)
        return float(total) / len(x)

    def predictions():
        return np.concatenate([forward(*states[:2], x[i : i + BATCH]) for i in range(0, len(x), BATCH)])

    return {
        "Keras on jax": {
            "update": lambda: model.fit(x, y, batch_size=BATCH, verbose=0),
            "predict": lambda: model.predict(x, batch_size=BATCH, verbose=0),
        },
        "Keras on jax, jitted": {"update": epoch, "predict": predictions},
    }


def torch(x, y, weights) -> dict[str, dict[str, Callable]]:
    """The loop that its tutorials show, as in the training section."""
    import torch

    model, epoch = training.torch_epoch(x, y, weights, 1, UNITS, BATCH)
    batches = torch.from_numpy(x)

    def predictions():
        with torch.inference_mode():
            return torch.cat([model(part) for part in batches.split(BATCH)]).numpy()

    return {"torch": {"update": epoch, "predict": predictions}}


def optimizers(settings: Settings) -> dict[str, Callable]:
    """One step of Adam."""
    rng = np.random.default_rng(0)
    weights, gradients = (
        {str(i): rng.standard_normal(SHAPE, dtype=np.float32) for i in range(ARRAYS)} for _ in range(2)
    )
    optimizer = rk.optimizers.Adam(0.001)

    def update():
        nonlocal weights
        weights = optimizer.apply(weights, gradients)

    def of_torch() -> dict[str, Callable]:
        import torch

        torch.set_num_threads(THREADS)
        parameters = [torch.nn.Parameter(torch.from_numpy(array.copy())) for array in weights.values()]
        for parameter, array in zip(parameters, gradients.values(), strict=True):
            parameter.grad = torch.from_numpy(array)
        return {"torch": torch.optim.Adam(parameters, lr=0.001, eps=1e-7, fused=True).step}

    return {"rnnkit": update} | peers.available([of_torch], settings)


def measure(settings: Settings) -> Figures:
    """All in turns; at first, all models predict the same."""
    x, y = data()
    if settings.quick:
        x, y = x[: 20 * BATCH], y[: 20 * BATCH]
    own, weights = ours(x, y)
    found = {"rnnkit": own} | peers.available([torch, keras], settings, x, y, weights)
    predicted = {label: runs["predict"]() for label, runs in found.items()}
    for label, array in predicted.items():
        assert np.allclose(array, predicted["rnnkit"], rtol=1e-3, atol=1e-4), label
    figures = {}
    for what, row in (
        ("update", f"an update of fit, {BATCH} rows of {STEPS} steps"),
        ("predict", f"predict, {BATCH} rows of {STEPS} steps"),
    ):
        times = in_turns({label: runs[what] for label, runs in found.items()}, settings.rounds)
        batches = -(-len(x) // BATCH)
        figures[row] = {label: [one / batches for one in several] for label, several in times.items()}
    figures[f"an update of {ARRAYS} arrays {SHAPE}"] = in_turns(optimizers(settings), settings.rounds)
    return figures


SECTIONS = {
    "small": Section(
        "Small batches",
        f"The time of a batch in microseconds. The model is GRU({UNITS}) and Dense(1), with mean squared error and "
        f"Adam. `fit` and `predict` go through {ROWS:,} sequences of one feature in batches of {BATCH}. *Keras on jax* "
        "is its own `fit` and `predict`; *jitted* is a loop over one jitted step, or one jitted call, of the same "
        "model. The last row is an update by Adam alone.",
        measure,
        beside_others("work", 1e6),
    )
}
