"""Operations whose own rule of derivatives is wrong, in a step or a traced function: each is tested by itself."""

from __future__ import annotations

import numpy as np

from rnnkit.compiler.autodiff.reverse import Reverse, reverse_step
from rnnkit.compiler.ir.evaluate import Evaluation, evaluate
from rnnkit.compiler.ir.graph import BY_ROW, loops_of
from rnnkit.compiler.ir.kinds import FLOATS
from rnnkit.compiler.tracing.batch_axis import Untraceable
from rnnkit.compiler.tracing.trace import example
from rnnkit.execution import passes

_TOLERANCE = 1e-6
_STEPS = (1e-5, 1e-6, 1e-7)  # of finite differences: smaller ones where the first may have crossed a corner


def wrong_of_step(step, constant_shapes, training: bool, rng) -> list[str]:
    """Return the operations of a traced step, with their lines; [] if it can't be traced."""
    weights = step.cell._all_weights()
    shapes = constant_shapes if step.takes_constants else ()
    try:
        graph = passes.read(step, np.dtype(float), weights, shapes, training, rules=True)
    except Untraceable:
        return []
    return _wrong(graph, example(step, weights, shapes, initial=False), rng)


def wrong_of_function(traced, rng) -> list[str]:
    """Return the operations of a `TracedFunction`, with their lines."""
    arrays = [rng.standard_normal((2, *traced._given[i])) for i in traced._places]
    weights = {str(i): rng.standard_normal(traced._given[i]) for i in traced._shared}
    return _wrong(traced._graph, (arrays[0], (), weights, arrays[1:], {}), rng) if arrays else []


def _wrong(graph, given, rng) -> list[str]:
    x, states, weights, constants, draws = given
    inputs: dict = {("x", None): x} | {("weight", name): array for name, array in weights.items()}
    for what, arrays in (("state", enumerate(states)), ("constant", enumerate(constants)), ("draw", draws.items())):
        inputs |= {(what, key): array for key, array in arrays}
    reverse, tested = reverse_step(graph, np.float64), []
    reached, found = reverse.reached(), []
    for node in graph.live():
        if node.op == "ruled":  # what stands for the cotangent in a rule
            inputs[node.attr] = rng.standard_normal((*x.shape[: node.attr[0] == "sequence"], *node.shape))
        of_rnnkit = node.op in BY_ROW or (node.op == "ruled" and node.attr[0] and node.attr[1][0] != "cotangent")
        if node.id in reached and node.args and node.batched and not loops_of(node) and not of_rnnkit:
            tested.append(node)
    values = evaluate([a for node in tested for a in (node, *node.args)], inputs, np.float64)
    for node in tested:
        if not _is_right(reverse.graph, node, values, inputs, rng):
            name = f"the function {node.attr[1][-1]!r}" if node.op == "ruled" else node.op
            found.append(f"{name}, in the line {node.line!r}," if node.line else name)
    return found


def _operands(node) -> tuple:
    """Return the operands that a node's rule is about."""
    return node.args[1 : 1 + len(node.args) // 2] if node.op == "ruled" else node.args


def _is_right(graph, node, values, inputs, rng) -> bool:
    """Return whether a node's rule gives the slope of its value at these values, in a random direction."""
    reverse, operands = Reverse(graph, np.float64), _operands(node)
    reverse.add(node, d := graph.add("sequence", (), node.shape, ("cotangent", node.id)))
    reverse.run([node])
    ways = {a.id: rng.standard_normal(values[a.id].shape) for a in operands if a.op != "literal" and a.kind in FLOATS}
    parts = [(a, g) for a in operands if a.id in ways and (g := reverse.total(a)) is not None]
    parts += [(a, reverse.outer_product(*pair)) for a in operands for pair in reverse.outer.get(a.id, ())]
    top = node.args[0] if node.op == "ruled" else node
    result = Evaluation([top], np.float64, known=frozenset(a.id for a in operands))
    gradient = Evaluation([g for _, g in parts], np.float64, known=frozenset(values))

    inputs[d.op, d.attr] = cotangent = rng.standard_normal(values[node.id].shape)
    of = lambda one, moved: one(inputs, [moved.get(a.id, values[a.id]) for a in one.outside])
    with np.errstate(all="ignore"):
        gradients = of(gradient, {})
        slope = sum(float((gradients[g.id] * ways[a.id]).sum()) for a, g in parts)
        for step in _STEPS:
            ends = [{k: values[k] + s * step * way for k, way in ways.items()} for s in (1, -1)]
            above, below = (of(result, end)[top.id] for end in ends)
            other = float(((above - below) * cotangent).sum()) / (2 * step)
            if not np.isfinite(other) or abs(slope - other) <= _TOLERANCE * max(abs(slope), abs(other), 1.0):
                return True
    return False
