"""Every traced cell under test taken through the passes as far as its plans, without numba."""

from functools import cache
from types import SimpleNamespace

import numpy as np
from cells_under_test import CELLS
from paper_cells import PAPER_CELLS

import rnnkit as rk
from rnnkit.backends.cpu.compile import CPU
from rnnkit.compiler.ir.simplify import without_rules
from rnnkit.execution import passes
from rnnkit.steps.cell import prepare
from rnnkit.steps.step import Step

UNITS, FEATURES, DTYPE = 17, 5, np.dtype("float32")
MADE = {c.name: (lambda c=c: c.make(UNITS), (FEATURES,), c.constants) for c in CELLS if c.how == "traced"}
MADE |= {f"paper {c.name}": (c.make, c.features, c.constants) for c in PAPER_CELLS if c.how == "traced"}
NAMES = tuple(MADE)


@cache
def step_of(name):
    """A step with its own weights, and the shapes of its constants."""
    make, features, constants = MADE[name]
    return built(make(), features), constants


def built(cell, features=(FEATURES,)):
    """The step of a cell, built with weights that are always the same."""
    cell = rk.RNN(cell).cell  # which may be anybody's object
    prepare(cell, (None, *features), DTYPE, np.random.default_rng(0))
    return Step(cell, features)


def read(step, constants=()):
    """What the passes make of a step: ``traced``, ``graph``, ``adjoint``, and ``graphs`` by their role."""
    traced = passes.run("trace", step, DTYPE, step.cell._all_weights(), constants)
    graph = passes.run("simplify", traced)
    adjoint = passes.run("differentiate", graph, DTYPE, constants, step.feature_shape)
    graphs = {"forward": graph, "forward with residuals": adjoint.forward, "adjoint": adjoint.backward}
    graphs = {role: without_rules(one) for role, one in graphs.items()}  # as programs are made of them
    return SimpleNamespace(traced=traced, graph=graph, adjoint=adjoint, graphs=graphs)


@cache
def read_of(name):
    """The same of a cell under test, for all tests: none of it may be changed."""
    return read(*step_of(name))


def planned(graph, target=CPU):
    """A graph's finished plan, anew."""
    return passes.run("fuse", passes.run("plan", graph, target, DTYPE), graph, target, DTYPE)


@rk.cell(states={"h": (), "v": 12, "small": 3}, weights={"table": rk.Weight((20,))}, per_row=True)
def by_row(x, states, weights):
    """A loop, arrays in memory and in registers, an integer, a condition, and a weight that is looked up."""
    h, v = states.h, states.v.copy()
    for i in range(int(x[0]) % 40):
        if h < x[1] and v[i % 12] > 0.5:
            h = h + v[i % 12]
        v[int(x[1]) % 12] = h * weights.table[i % 20]
    return h + v[0], (h, v, states.small * 0.5)
