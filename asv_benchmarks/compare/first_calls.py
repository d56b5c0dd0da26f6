"""The first call of a step in a new process with nothing on disk: what it costs to compile it, and its gradient.

    python asv_benchmarks/compare/first_calls.py LSTM rnnkit gradient

prints the seconds of one first call by the clock and of the CPUs, and the norms of its results.
"""

import json
import pathlib
import runpy
import sys
import time

import numpy as np

sys.path.append(str(pathlib.Path(__file__).parents[1] / "corpus"))
import explored

load = lambda name, np, nn: runpy.run_path(explored.__file__, {"np": np, "nn": nn})["EXPLORED"][name]


def arrays(problem):
    """Return input, weights, initial states and constants of a problem, float32."""
    rng = np.random.default_rng(0)

    def draw(*shape):
        return (0.3 * rng.standard_normal(shape)).astype("float32")

    x = draw(explored.ROWS, explored.STEPS, explored.FEATURES)
    weights = {key: draw(*shape) for key, shape in problem.weights.items()}
    states = [0.1 + np.abs(draw(explored.ROWS, *shape)) for shape in problem.states.values()]
    return x, weights, states, [draw(explored.ROWS, *shape) for shape in problem.constants]


def rnnkit(name, kind):
    import rnnkit as rk
    import rnnkit.backends.cpu.language.translate
    import rnnkit.execution.pipeline  # imported at a first call else; no library's imports count

    problem = load(name, np, rk)
    made, step, (x, weights, states, constants) = problem.step, problem.step, arrays(problem)
    if constants:

        def step(x, states, weights, constants):
            return made(x, states, weights, *constants)

    zeros = {key: rk.Weight(shape, "zeros") for key, shape in problem.weights.items()}
    layer = rk.RNN(rk.cell(states=problem.states, weights=zeros)(step)(), return_sequences=True, dtype="float32")
    more = {"initial_state": states} | ({"constants": constants} if constants else {})

    def call():
        layer.build(x.shape)
        layer.set_weights(list(weights.values()))
        if kind == "forward":
            return [layer(x, **more)]
        y, pullback = layer.vjp(x, **more)
        found = pullback(np.ones_like(y))
        return [y, found.x, *(found.weights[key] for key in weights)]

    return call


def jax(name, kind):
    import collections

    import jax
    import jax.numpy as jnp

    jnp.zeros(1).block_until_ready()  # the client of the CPU's compiler
    problem = load(name, jnp, jax.nn)
    step, (x, weights, states, constants) = problem.step, arrays(problem)
    weights = collections.namedtuple("Weights", weights)(**weights)

    def run(x, weights, states, constants):
        def one(states, x):
            y, states = step(x, states, weights, *constants)
            return states, y

        return jax.lax.scan(one, states, x.swapaxes(0, 1))[1].swapaxes(0, 1)

    def gradient(x, weights, *more):
        y, pull = jax.vjp(lambda x, weights: run(x, weights, *more), x, weights)
        return y, pull(jnp.ones_like(y))

    compiled = jax.jit(run if kind == "forward" else gradient)
    return lambda: [np.asarray(a) for a in jax.tree.leaves(compiled(x, weights, states, constants))]


if __name__ == "__main__":
    name, library, kind = sys.argv[1:]
    call = {"rnnkit": rnnkit, "jax": jax}[library](name, kind)
    start, cpu = time.perf_counter(), time.process_time()
    found = call()
    passed, cpu = time.perf_counter() - start, time.process_time() - cpu
    print(json.dumps({"seconds": passed, "cpu": cpu, "norms": [float(np.linalg.norm(a)) for a in found]}))
