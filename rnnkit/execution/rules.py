"""Which operations of a step or of a traced function have a wrong rule of derivatives."""

from __future__ import annotations

import numpy as np

from rnnkit.compiler.autodiff.rule_check import wrong_rules
from rnnkit.compiler.tracing.batch_axis import Untraceable
from rnnkit.compiler.tracing.trace import example
from rnnkit.execution import passes
from rnnkit.stored_weights import all_expanded

_TOLERANCE = 1e-6


def wrong_of_step(step, constant_shapes, training: bool, rng) -> list[str]:
    """The operations of a step that is traced, with their lines; none of another."""
    weights = all_expanded(step.cell._all_weights())
    shapes = constant_shapes if step.takes_constants else ()
    try:
        graph = passes.read(step, np.dtype(float), weights, shapes, training)
    except Untraceable:
        return []
    return _told(graph, example(step, weights, shapes, initial=False), rng)


def wrong_of_function(traced, rng) -> list[str]:
    """The operations of a `TracedFunction`, with their lines."""
    arrays = [rng.standard_normal((2, *traced._given[i])) for i in traced._places]
    weights = {str(i): rng.standard_normal(traced._given[i]) for i in traced._shared}
    return _told(traced._graph, (arrays[0], (), weights, arrays[1:], {}), rng) if arrays else []


def _told(graph, given, rng) -> list[str]:
    x, states, weights, constants, draws = given
    inputs: dict = {("x", None): x} | {("weight", name): array for name, array in weights.items()}
    for what, arrays in (("state", enumerate(states)), ("constant", enumerate(constants)), ("draw", draws.items())):
        inputs |= {(what, key): array for key, array in arrays}
    found = wrong_rules(graph, inputs, _TOLERANCE, rng)
    return [f"{node.op}, in the line {node.line!r}," if node.line else node.op for node in found]
