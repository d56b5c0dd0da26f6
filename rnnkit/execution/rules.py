"""Operations whose own rule of derivatives is wrong, in a step or a traced function: each is tested by itself."""

from __future__ import annotations

import numpy as np

from rnnkit.compiler.autodiff.numpy_vjp import Pull
from rnnkit.compiler.ir.evaluate import Evaluation, evaluate
from rnnkit.compiler.ir.graph import BY_ROW, Graph, loops_of
from rnnkit.compiler.ir.kinds import FLOATS
from rnnkit.compiler.tracing.batch_axis import Untraceable
from rnnkit.compiler.tracing.trace import example
from rnnkit.execution import passes
from rnnkit.stored_weights import all_expanded

_TOLERANCE = 1e-6
_STEPS = (1e-5, 1e-6, 1e-7)  # of finite differences: smaller ones where the first may have crossed a corner


def wrong_of_step(step, constant_shapes, training: bool, rng) -> list[str]:
    """Return the operations of a traced step, with their lines; [] if it can't be traced."""
    weights = all_expanded(step.cell._all_weights())
    shapes = constant_shapes if step.takes_constants else ()
    try:
        graph = passes.read(step, np.dtype(float), weights, shapes, training)
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
    nodes = [node for node in graph.live() if not loops_of(node) and node.op not in (*BY_ROW, "function")]
    values = evaluate([a for node in nodes for a in (node, *node.args)], inputs, np.float64)
    ruled = [node for node in nodes if node.args and node.batched and node.kind in FLOATS]
    found = [node for node in ruled if not _is_right(node, [values[a.id] for a in node.args], rng)]
    return [f"{node.op}, in the line {node.line!r}," if node.line else node.op for node in found]


def _is_right(node, values, rng) -> bool:
    """Return whether a node's rule gives the slope of the node's function at these values, in a random direction."""
    alone, batched, free = Graph(whole=True), [a.batched for a in node.args], [a.op != "literal" for a in node.args]
    keys = [("constant", sum(batched[:i])) if own else ("weight", str(i)) for i, own in enumerate(batched)]
    leaves = [
        alone.add(key[0], (), a.shape, key[1], a.kind) if own else alone.literal(a.attr)
        for key, a, own in zip(keys, node.args, free, strict=True)
    ]
    alone.output = alone.again(node, leaves)
    evaluation = Evaluation([alone.output], np.float64)
    result = lambda arrays: evaluation(dict(zip(keys, arrays, strict=True)))[alone.output.id]
    with np.errstate(all="ignore"):
        d = rng.standard_normal(result(values).shape)
        weights = {key: v for (op, key), v in zip(keys, values, strict=True) if op == "weight"}
        constants = [v for v, own in zip(values, batched, strict=True) if own]
        pull = Pull(alone, np.float64, [one.shape[1:] for one in constants])
        _, _, d_weights, d_constants = pull(np.zeros((len(d), 0)), (), weights, constants, {}, d, [])
        slope, ways = 0.0, []
        for (op, key), v, a, own in zip(keys, values, node.args, free, strict=True):
            gradient = d_constants[key] if op == "constant" else d_weights.get(key)
            ways.append(rng.standard_normal(v.shape) if own and a.kind in FLOATS else None)
            slope += 0.0 if gradient is None or ways[-1] is None else float((gradient * ways[-1]).sum())
        for step in _STEPS:
            ends = [[v if w is None else v + s * step * w for v, w in zip(values, ways, strict=True)] for s in (1, -1)]
            other = float(((result(ends[0]) - result(ends[1])) * d).sum()) / (2 * step)
            if not np.isfinite(other) or abs(slope - other) <= _TOLERANCE * max(abs(slope), abs(other), 1.0):
                return True
    return False
