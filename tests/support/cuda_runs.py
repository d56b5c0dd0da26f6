"""Programs of a GPU beside the CPU's, run over the same record, with the config and the variant that a test wants."""

import numpy as np
from gradient_runs import PRECISION
from matrix import close, inputs, layer_of, make_mask, same_bits

from rnnkit.backends.cuda.runtime.cost_model import LaunchConfig
from rnnkit.backends.shared.call import Record
from rnnkit.compiler.ir.plan import Loop
from rnnkit.execution import pipeline

PLACINGS = ("shared weights", "shared", "staged weights", "staged", "global")
CUTS = {  # rows that a thread sums at once, rows of a block, blocks of a group, threads
    "one": LaunchConfig(1, 1, 1, 1, 1),
    "units": LaunchConfig(1, 1, 1, 3, 1),
    "rows": LaunchConfig(1, 2, 1, 2, 2),
    "sums": LaunchConfig(4, 8, 1, 2, 2),
    "tall": LaunchConfig(2, 4, 1, 2, 1),
    "parts": LaunchConfig(1, 1, 2, 2, 1),
    "parts of rows": LaunchConfig(2, 4, 3, 1, 2),
}
USUAL = {"units": 5, "features": 3, "batch": 3, "time": 5, "mask": "random", "backwards": False, "zero": False}


def on_cpu(layer, constants=(), training=False):
    return layer._execution.executor(constants, training)


def on_gpu(layer, constants=(), training=False, **settings):
    """A program of its own, with a config and a placing that a test wants."""
    shapes = tuple(constant.shape[1:] for constant in constants)
    step = layer._execution.step
    return set_up(pipeline.choose_cuda(step, layer.dtype, layer.cell._all_weights(), shapes, training), **settings)


def set_up(program, **settings):
    for name, value in settings.items():
        assert hasattr(program, name), name
        setattr(program, name, value)
    return program


def gradient_on_gpu(program):
    """What gives a program's gradient, config and placed as the program is."""
    found = program.differentiate()
    for part in (found.plain, found.forward, found.adjoint):
        set_up(part, config=program.config, placing=program.placing, gpu=program.gpu)
    return found


def record_of(layer, x, constants=None, mask=None, training=False, seed=3, **options):
    step, constants = layer._execution.step, tuple(constants or ())
    rng = np.random.default_rng(seed)
    draws = {}
    if step.draws:
        draws = {n: step.draw(n, len(x), rng, layer.dtype) for n in step.used_draws(constants, training)}
    start = step.initial_states(len(x), layer.dtype)
    states = tuple(s + rng.normal(0, 0.3, s.shape).astype(s.dtype) for s in start)
    return Record(
        x, states, layer.cell._all_weights(), mask, constants, draws, trajectory=True, training=training, **options
    )


def setup(name, row=(), **more):
    """A layer on the CPU and the record of a call."""
    row = {
        "units": 5,
        "features": 3,
        "batch": 3,
        "time": 5,
        "mask": "random",
        "backwards": False,
        "zero": False,
    } | dict(row)
    row |= more
    layer = layer_of(name, row["units"], row["features"], PRECISION[name])
    x, constants = inputs(name, row["batch"], row["time"], row["features"], PRECISION[name])
    mask = make_mask(row["mask"], row["batch"], row["time"], np.random.default_rng(5))
    options = {"reverse": row["backwards"], "zero_masked": row["zero"]}
    return layer, record_of(layer, x, constants, mask, **options)


def results(result):
    return [result.outputs, result.last, *result.states, *(result.trajectory or ())]


def gradient(result, seed=4):
    rng = np.random.default_rng(seed)
    outputs, last, *states = (rng.normal(size=a.shape).astype(a.dtype) for a in results(result))
    return arrays(result.pull(outputs, last, states))


def arrays(found):
    return [found.x, *found.states, *found.constants, *found.weights.values()]


def in_order(program):
    """Whether every sum has the CPU's order: none goes along a row, which a GPU's threads share."""
    return not any(isinstance(part, Loop) and part.reduction for part in program.plan.parts())


def as_on_cpu(program, got, expected, dtype):
    (same_bits if in_order(program) else lambda *both: close(*both, dtype))(got, expected)


def near(got, expected, dtype):
    """To a part of each array's norm."""
    for a, b in zip(got, expected, strict=True):
        bound = {"float64": 1e-12, "float32": 1e-5}[str(dtype)] * max(np.linalg.norm(b), 1e-3)
        assert a.shape == b.shape and a.dtype == b.dtype
        assert np.abs(a - b).max(initial=0.0) <= bound
