"""Each step of the corpus becomes a graph, which gives what the step gives, row by row."""

import numpy as np
from corpus_runs import drawn, each, helpers_in_python, plain

import rnnkit as rk
from rnnkit.compiler.ir import verify
from rnnkit.compiler.ir.evaluate import Evaluation
from rnnkit.compiler.ir.simplify import simplify
from rnnkit.compiler.tracing.trace import trace
from rnnkit.execution import execution  # noqa: F401  by which shapes are read
from rnnkit.steps.cell import prepare
from rnnkit.steps.step import Step

ROWS, STEPS = 4, 12


@each()
def test_a_graph_is_the_step_in_python(recurrence, monkeypatch):
    x, constants = drawn(recurrence, ROWS, STEPS)
    cell = rk.cell(states=dict(recurrence.states), per_row=True)(recurrence.step)()
    prepare(cell, (None, recurrence.features), np.float64, np.random.default_rng(0))
    step = Step(cell, (recurrence.features,))
    graph = simplify(trace(step, np.float64, {}, tuple(recurrence.constants.values())))
    verify.check_graph(graph, "simplify", verify.leaves_of(graph), step.state_shapes)
    assert step.output_shape(constants) == recurrence.output
    helpers_in_python(recurrence, monkeypatch)
    results = [graph.output, *graph.states, *graph.residuals.values()]
    evaluation = Evaluation(results, np.float64)
    states = [np.stack([state] * ROWS) for state in recurrence.start()]
    given = {("constant", i): constant for i, constant in enumerate(constants)}
    outputs = np.empty((ROWS, STEPS, *recurrence.output))
    for t in range(STEPS):
        inputs = {("x", None): x[:, t]} | {("state", i): state for i, state in enumerate(states)}
        with np.errstate(all="ignore"):
            values = evaluation(given | inputs)
        output, *states = [np.broadcast_to(values[node.id], (ROWS, *node.shape)) for node in results]
        outputs[:, t], states = output, states[: len(step.state_shapes)]
        assert not any(np.any(values[node.id]) for node in graph.residuals.values())
    np.testing.assert_allclose(outputs, plain(recurrence, x, constants), rtol=1e-9, atol=1e-12)
