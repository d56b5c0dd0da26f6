"""Each node's rule of a graph, held by itself against differences of what the node computes."""

from __future__ import annotations

import numpy as np

from rnnkit.compiler.autodiff.numpy_vjp import Pull
from rnnkit.compiler.ir.evaluate import Evaluation, evaluate
from rnnkit.compiler.ir.graph import BY_ROW, Graph, Node, loops_of
from rnnkit.compiler.ir.kinds import FLOATS

_STEPS = (1e-5, 1e-6, 1e-7)  # a smaller one where the first may have crossed a corner


def wrong_rules(graph: Graph, inputs, tolerance: float, rng) -> list[Node]:
    """Nodes outside of loops whose rule differs from central differences, in float64.

    Parameters
    ----------
    graph : Graph
    inputs : dict of (op, attr) to ndarray
        As `evaluate` takes them.
    tolerance : float
        What two slopes may differ by, in units of the larger.
    rng : numpy.random.Generator
    """
    nodes = [node for node in graph.live() if not loops_of(node) and node.op not in (*BY_ROW, "function")]
    values = evaluate([a for node in nodes for a in (node, *node.args)], inputs, np.float64)
    ruled = [node for node in nodes if node.args and node.batched and node.kind in FLOATS]
    return [node for node in ruled if not _is_right(node, [values[a.id] for a in node.args], tolerance, rng)]


def _is_right(node: Node, values, tolerance: float, rng) -> bool:
    """Whether a node's rule gives the slope of what it computes, of its operands' values."""
    alone, batched = Graph(whole=True), [a.batched for a in node.args]
    ops = ["constant" if own else "weight" for own in batched]
    names: list = [sum(batched[:i]) if own else str(i) for i, own in enumerate(batched)]
    free = [a.op != "literal" for a in node.args]
    leaves = [
        alone.add(op, (), a.shape, name, a.kind) if own else alone.literal(a.attr)
        for op, name, a, own in zip(ops, names, node.args, free, strict=True)
    ]
    alone.output = alone.again(node, leaves)
    compute = Evaluation([alone.output], np.float64)

    def result(arrays):
        given = dict(zip(zip(ops, names, strict=True), arrays, strict=True))
        return compute(given)[alone.output.id]

    with np.errstate(all="ignore"):
        d = rng.standard_normal(result(values).shape)
        weights = {name: v for name, v, own in zip(names, values, batched, strict=True) if not own}
        constants = [v for v, own in zip(values, batched, strict=True) if own]
        pull = Pull(alone, np.float64, [one.shape[1:] for one in constants])
        _, _, d_weights, d_constants = pull(np.zeros((len(d), 0)), (), weights, constants, {}, d, [])
        found = [d_constants[n] if own else d_weights.get(n) for n, own in zip(names, batched, strict=True)]
        moved = [own and a.kind in FLOATS for own, a in zip(free, node.args, strict=True)]
        ways = [rng.standard_normal(v.shape) if own else None for v, own in zip(values, moved, strict=True)]
        pairs = [(g, way) for g, way in zip(found, ways, strict=True) if g is not None and way is not None]
        slope = sum(float((g * way).sum()) for g, way in pairs)
        for step in _STEPS:
            ends = [[v if w is None else v + s * step * w for v, w in zip(values, ways, strict=True)] for s in (1, -1)]
            other = float(((result(ends[0]) - result(ends[1])) * d).sum()) / (2 * step)
            if not np.isfinite(other) or abs(slope - other) <= tolerance * max(abs(slope), abs(other), 1.0):
                return True
    return False
