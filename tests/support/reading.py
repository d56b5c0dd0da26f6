"""Steps read by the tracer without a layer or a compiler around them, for the tests of what is behind it."""

from types import SimpleNamespace

import numpy as np
from plan_in_numpy import LANES, run_plan

import rnnkit as rk
from rnnkit.backends.cpu.codegen.program_source import SourceWriter
from rnnkit.compiler.planning.fusion import fuse
from rnnkit.compiler.planning.planner import plan
from rnnkit.execution import passes
from rnnkit.steps.cell import prepare
from rnnkit.steps.step import Step


def packed_width(columns):
    """As the CPU's, for vectors of `LANES`."""
    return -(-columns // LANES) * LANES


class Read:
    """A step ``function(x, states, weights[, constants])``, or a cell, as graph, plan and text."""

    def __init__(self, function, features=(4,), states=((4,),), weights=None, constants=()):
        spread = lambda shape, rng: rng.normal(size=shape)

        class Made(rk.Cell):
            def __init__(self):
                super().__init__()
                self.state_size = list(states)

            def build(self, input_shape):
                shapes = weights or {}
                self.kept = {name: self.add_weight(shape, spread, name=name) for name, shape in shapes.items()}

            def call(self, inputs, states, constants=()):
                given = (constants,) if self.takes else ()
                return function(inputs, list(states), SimpleNamespace(**self.kept), *given)

            takes = bool(constants)

        self.cell = function if isinstance(function, rk.Cell) else Made()
        prepare(self.cell, (None, *features), np.float64, np.random.default_rng(0))
        self.weights = self.cell._all_weights()
        self.step = Step(self.cell, features)
        self.constants = constants
        self.graph = passes.read(self.step, np.float64, self.weights, constants)
        self.plan = fuse(plan(self.graph, packed_width), packed_width)

    @property
    def operations(self):
        return [node.op for node in self.graph.live()]

    @property
    def text(self):
        return SourceWriter(self.plan, "step", np.dtype("float64"), LANES, 4).run().text

    def stages(self, section, kind):
        return [s for s in self.plan.parts() if s.section == section and isinstance(s, kind)]

    def run(self, batch=3, seed=1):
        """``(got, expected)``: the output and states by the plan, and by the step."""
        rng = np.random.default_rng(seed)
        inputs = {("x", None): rng.normal(size=(batch, *self.step.feature_shape))}
        inputs |= {("state", i): rng.normal(size=(batch, *s)) for i, s in enumerate(self.step.state_shapes)}
        inputs |= {("constant", i): rng.normal(size=(batch, *s)) for i, s in enumerate(self.constants)}
        inputs |= {("weight", name): w for name, w in self.weights.items()}
        with np.errstate(all="ignore"):  # a state may be one that no sequence leads to
            output, states = run_plan(self.plan, inputs, batch)
        given = [inputs["state", i].copy() for i in range(len(self.step.state_shapes))]
        constants = tuple(inputs["constant", i] for i in range(len(self.constants)))
        with np.errstate(all="ignore"):
            y, new = self.step(inputs["x", None].copy(), tuple(given), self.weights, constants)
        return [output, *states], [y, *new]

    def agrees(self):
        for got, expected in zip(*self.run(), strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)
        return True
