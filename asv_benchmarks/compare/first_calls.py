"""The first call of a step in a new process with nothing on disk: what it costs to compile it, and its gradient.

    python asv_benchmarks/compare/first_calls.py LSTM rnnkit gradient

prints the seconds of one first call by the clock and of the CPUs, and the norms of its results.
"""

import collections
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
from explored import EXPLORED, FEATURES, ROWS, STEPS
from process import present
from section import Section
from timing import Figures, Settings
from writing import Pair, both, columns, mean, ratios, table

KINDS = ("forward", "gradient")


def arrays(name):
    """Input, weights, initial states and constants of a problem, float32."""
    problem, rng = EXPLORED[name], np.random.default_rng(0)

    def draw(*shape):
        return (0.3 * rng.standard_normal(shape)).astype("float32")

    x = draw(ROWS, STEPS, FEATURES)
    weights = {key: draw(*shape) for key, shape in problem.weights.items()}
    states = [0.1 + np.abs(draw(ROWS, *shape)) for shape in problem.states.values()]
    return x, weights, states, [draw(ROWS, *shape) for shape in problem.constants]


def rnnkit(name, kind):
    """The layer of a declared cell: a function without arguments."""
    import rnnkit as rk
    import rnnkit.backends.cpu.language.translate
    import rnnkit.execution.pipeline  # imported at a first call else; no library's imports count

    problem, (x, weights, states, constants) = EXPLORED[name], arrays(name)
    made = problem.step(np, rk)
    if constants:

        def step(x, states, weights, constants):
            return made(x, states, weights, *constants)
    else:
        step = made
    cell = rk.cell(
        states=problem.states, weights={key: rk.Weight(shape, "zeros") for key, shape in problem.weights.items()}
    )(step)
    layer = rk.RNN(cell(), return_sequences=True, dtype="float32")
    more = {"initial_state": states} | ({"constants": constants} if constants else {})

    def build():
        layer.build(x.shape)
        layer.set_weights([weights[key] for key in problem.weights])

    def forward():
        build()
        return [layer(x, **more)]

    def gradient():
        build()
        y, pullback = layer.vjp(x, **more)
        found = pullback(np.ones_like(y))
        return [y, found.x, *(found.weights[key] for key in problem.weights)]

    return {"forward": forward, "gradient": gradient}[kind]


def jax(name, kind):
    """jit of a scan."""
    import jax
    import jax.numpy as jnp

    jnp.zeros(1).block_until_ready()  # the client of the CPU's compiler
    problem, (x, weights, states, constants) = EXPLORED[name], arrays(name)
    step = problem.step(jnp, jax.nn)
    Weights = collections.namedtuple("Weights", weights)

    def run(weights, x, states, constants):
        def one(states, x):
            y, states = step(x, states, weights, *constants)
            return states, y

        return jax.lax.scan(one, states, x.swapaxes(0, 1))[1].swapaxes(0, 1)

    def loss(weights, x, states, constants):
        y = run(weights, x, states, constants)
        return y.sum(), y

    compiled = jax.jit(run if kind == "forward" else jax.value_and_grad(loss, (0, 1), has_aux=True))

    def call():
        found = compiled(Weights(**weights), x, states, constants)
        if kind == "forward":
            return [np.asarray(found)]
        (_, y), (by_weights, by_x) = found
        return [np.asarray(a) for a in (y, by_x, *by_weights)]

    return call


def first_call(name, library, kind):
    """Seconds by the clock and of the CPUs, and norms of the results."""
    call = {"rnnkit": rnnkit, "jax": jax}[library](name, kind)
    start, cpu = time.perf_counter(), time.process_time()
    found = call()
    passed, cpu = time.perf_counter() - start, time.process_time() - cpu
    return {"seconds": passed, "cpu": cpu, "norms": [float(np.linalg.norm(a)) for a in found]}


def measure(settings: Settings) -> Figures:
    """New processes in turns; libraries have to agree."""
    libraries = present({"rnnkit": ([], ""), "jax": (["jax"], "")}, settings)
    figures = {}
    for name in EXPLORED:
        for kind in KINDS:
            row = figures[f"{name}, {kind}"] = {}
            for _ in range(1 if settings.quick else min(3, settings.rounds)):
                norms = []
                for library in libraries:
                    with tempfile.TemporaryDirectory() as folder:
                        found = in_a_process(name, library, kind, folder)
                    row.setdefault(library, []).append(found["seconds"])
                    row.setdefault(f"{library}, CPU", []).append(found["cpu"])
                    norms.append(found["norms"])
                for other in norms[1:]:
                    np.testing.assert_allclose(other, norms[0], rtol=2e-4, atol=1e-5, err_msg=f"{name}, {kind}")
    return figures


def in_a_process(name, library, kind, folder):
    """`first_call` in a process that has nothing in memory, and nothing on disk."""
    code = [sys.executable, str(pathlib.Path(__file__)), name, library, kind]
    places = os.pathsep.join(str(pathlib.Path(__file__).parents[n]) for n in (1, 2))  # the cells, and the package here
    environment = os.environ | {"RNNKIT_CACHE_DIR": folder, "PYTHONPATH": places}
    done = subprocess.run(code, check=True, env=environment, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def write(figures: Figures) -> list[str]:
    """A table for each kind, with the ratio of jax's time to ours, and its geometric mean."""
    lines = []
    for kind in KINDS:
        rows = {row: times for row, times in figures.items() if row.endswith(kind)}
        found = [ratios([times["jax"]] if "jax" in times else [], times["rnnkit"]) for times in rows.values()]
        lines += [
            "",
            *table(
                [kind, *columns(rows), "ratio"],
                (
                    [
                        row.removesuffix(f", {kind}"),
                        *(both(numbers, 1) for numbers in times.values()),
                        Pair(pair, ".2f"),
                    ]
                    for (row, times), pair in zip(rows.items(), found, strict=True)
                ),
            ),
        ]
        if mean(found):
            lines += ["", f"Geometric mean of the ratios: {mean(found)}."]
    return lines[1:]


SECTIONS = {
    "first": Section(
        "First calls of a step",
        "Seconds of the first call in a new process, by the clock and of the CPUs, with nothing compiled on disk: the "
        "outputs, and the outputs with all gradients. jax compiles a scan over the same step.",
        measure,
        write,
    )
}

if __name__ == "__main__":
    print(json.dumps(first_call(*sys.argv[1:])))
