"""The gradient of a recurrent layer: the slopes of its call (law 7), and the adjoint in plain NumPy."""

import numpy as np
import pytest
from gradient_runs import BOUNDS, PAPER_CELLS, PRECISION, TRACED, TYPED, Run, near
from matrix import FACTORS, label, pairwise, same_bits

import rnnkit as rk

ALL = {case.name: case for case in (*TRACED, *PAPER_CELLS) if case.how == "traced"}
GRADIENT_FACTORS = {
    **FACTORS,
    "cell": tuple(case.name for case in TRACED),
    "sequences": (True, False),
    "units": (17, 33),
    "features": (5, 17),
    "time": (6, 1),
}
del GRADIENT_FACTORS["dtype"]
EVERY_SIZE = {**GRADIENT_FACTORS, "dtype": ("float64", "float32"), "units": (17, 1, 33), "features": (1, 17, 33)}


def run_of(row):
    return Run.of(
        ALL[row["cell"]], row["batch"], row["time"], row["mask"], row["units"], row["features"], row.get("dtype"),
        go_backwards=row["backwards"], zero_output_for_mask=row["zero"], return_sequences=row["sequences"],
    )  # fmt: skip


def check(run):
    """Outputs are the call's; the gradient is the reference's, and in float64 every slope's; all of it repeats."""
    outputs, pull = run.vjp()
    same_bits(outputs, run.call())
    gradient = pull(run.d)
    near(gradient, run.expected(), BOUNDS[str(run.dtype)])
    run.check_repeated()
    if run.dtype == np.float64:
        run.check_slopes(gradient, run.loss, run.loss_with_weight, np.random.default_rng(1), count=1)


OWN = len(TRACED)  # all of ours, and every fourth of the papers'


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.sweep if i >= OWN and i % 4 else ()) for i, name in enumerate(ALL)],
)
def test_the_adjoint_in_numpy_is_the_slope(name):
    with rk.eager():  # nothing is compiled
        run = Run.of(ALL[name], batch=2, time=4, mask="random", dtype="float64", seed=3)
    reference = run.reference
    gradient = run.expected(reference=reference)
    loss = lambda **moved: run.plain_loss(reference, **moved)
    run.check_slopes(gradient, loss, run.plain_loss_with_weight(reference), np.random.default_rng(1))


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, marks=pytest.mark.sweep if row["cell"] in TYPED else (), id=label(row))
        for row in pairwise(GRADIENT_FACTORS)
    ],
)
def test_L7_gradient(row):
    check(run_of(row))


# Of different kinds, and compiled in a few seconds each.
QUICK = ("indrnn", "householder", "garch")


def paper_rows():
    """Some cells in one precision; the others, and the other precision, in the sweep."""
    for i, case in enumerate(PAPER_CELLS):
        for dtype in ("float64", "float32"):
            marks = () if case.name in QUICK and dtype == PRECISION[case.name] else pytest.mark.sweep
            if case.how == "traced":
                yield pytest.param(case.name, dtype, i % 2 == 0, marks=marks, id=f"{case.name}-{dtype}")


@pytest.mark.parametrize("name, dtype, backwards", list(paper_rows()))
def test_L7_gradient_of_paper_cells(name, dtype, backwards):
    check(Run.of(ALL[name], 5, 6, "random", dtype=dtype, go_backwards=backwards))


@pytest.mark.sweep
@pytest.mark.parametrize("row", pairwise(EVERY_SIZE), ids=label)
def test_L7_gradient_over_all_sizes(row):
    check(run_of(row))


@pytest.mark.parametrize("kind", [rk.LSTM, pytest.param(rk.GRU, marks=pytest.mark.sweep)])
def test_gradient_with_dropout(kind, monkeypatch):
    """Of the masks that the call drew; a fresh generator for every call makes all calls draw the same."""
    options = {"dropout": 0.4, "recurrent_dropout": 0.3, "return_sequences": True, "return_state": True}
    layer = kind(9, dtype="float64", seed=2, **options)
    layer.build((None, None, 4))
    monkeypatch.setattr("rnnkit.layers.support.seeds.draw_generator", lambda layer: np.random.default_rng(8))
    run = Run(layer, (4,), 3, 5, "random", training=True)
    outputs, pull = run.vjp()
    same_bits(outputs, run.call())
    gradient = pull(run.d)
    run.check_slopes(gradient, run.loss, run.loss_with_weight, np.random.default_rng(1))
    dropped = ~gradient["x"].any(axis=1)
    assert dropped.any() and not dropped.all()
    step, rng = layer._execution.step, np.random.default_rng(8)
    draws = {name: step.draw(name, 3, rng, layer.dtype) for name in step.used_draws((), True)}
    near(gradient, run.expected(draws), BOUNDS["float64"])
    monkeypatch.setattr("rnnkit.layers.support.seeds.draw_generator", lambda layer: np.random.default_rng(9))
    near(pull(run.d), gradient, 0.0)  # of that call, whatever is drawn since


MEMORYLESS = {
    "Dense": lambda dtype: rk.Dense(12, activation="relu", seed=0, dtype=dtype),
    "Conv1D": lambda dtype: rk.Conv1D(4, 3, activation="tanh", seed=0, dtype=dtype),
    "LayerNormalization": lambda dtype: rk.LayerNormalization(dtype=dtype),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", MEMORYLESS)
def test_a_layer_without_memory_leaves_out_what_only_the_cotangent_of_x_needs(name, dtype, rng):
    layer = MEMORYLESS[name](dtype)
    y, pullback = layer.vjp(rng.normal(size=(6, 9, 33)).astype(dtype))  # which isn't planned by rows
    d = [rng.normal(size=y.shape).astype(dtype)]
    whole, weights = pullback.pull(d), pullback.pull_weights(d)
    assert whole.x is not None and weights.x is None
    same_bits(list(weights.weights.values()), list(whole.weights.values()))
    assert "after each block of steps" in layer.explain().partition("the adjoint")[2]
