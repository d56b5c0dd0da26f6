"""Operations whose own rule of derivatives is wrong, in a step or a traced function: each is tested by itself."""

from __future__ import annotations

import numpy as np

from rnnkit.compiler.autodiff.numpy_vjp import Pull
from rnnkit.compiler.autodiff.reverse import has_kernels
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
    nodes = [node for node in _passed(graph) if not loops_of(node) and node.op not in (*BY_ROW, "function")]
    for node in nodes:
        if node.op == "ruled":  # what stands for the cotangent in a rule
            inputs[node.attr] = rng.standard_normal((*x.shape[: node.attr[0] == "sequence"], *node.shape))
    values = evaluate([a for node in nodes for a in (node, *node.args)], inputs, np.float64)
    found = []
    for node in nodes:
        if node.args and node.batched and node.kind in FLOATS:
            by_rule = node.op == "ruled" and not has_kernels(node)
            if not _is_slope(*(_by_rule if by_rule else _by_operation)(node, values, inputs, rng)):
                name = f"the function {node.attr[1][2]!r}" if by_rule else node.op
                found.append(f"{name}, in the line {node.line!r}," if node.line else name)
    return found


def _passed(graph) -> list:
    """Return the nodes that a cotangent of a result passes; it goes round what a rule stands for."""
    passed, stack = {}, [graph.output, *graph.states]
    while stack:
        node = stack.pop()
        if node.id not in passed:
            passed[node.id] = node
            stack += _arguments(node) if node.op == "ruled" else node.args
    tested = lambda node: node.op != "ruled" or node.attr[1][0] == "cotangent" or has_kernels(node)
    return [node for _, node in sorted(passed.items()) if tested(node)]


def _arguments(node) -> tuple:
    """Return the operands of a ``ruled`` node that have a cotangent by its rule, or of its kernel."""
    return node.args[1:] if has_kernels(node) else node.args[1 : 1 + len(node.args) // 2]


def _by_rule(node, values, inputs, rng):
    """Return what `_is_slope` takes of a function with a rule of the user's."""
    value, arguments = node.args[0], _arguments(node)
    cotangents = node.args[1 + len(arguments) :]
    evaluation = Evaluation([value], np.float64, known=frozenset(a.id for a in arguments))

    def result(arrays):
        given = {a.id: array for a, array in zip(arguments, arrays, strict=True)}
        return evaluation(inputs, [given[one.id] for one in evaluation.outside])[value.id]

    ways, slope = [rng.standard_normal(values[a.id].shape) for a in arguments], 0.0
    for a, way, c in zip(arguments, ways, cotangents, strict=True):
        rank = max(len(a.shape), len(c.shape))
        slope += float((_aligned(a, way, rank) * _aligned(c, values[c.id], rank)).sum())
    return result, [values[a.id] for a in arguments], ways, inputs[node.attr], slope


def _aligned(node, value, rank):
    """Return a node's value with the batch axis, if it has one, before `rank` axes."""
    return value.reshape(*value.shape[: node.batched], *(1,) * (rank - len(node.shape)), *node.shape)


def _by_operation(node, known, inputs, rng):
    """Return what `_is_slope` takes of an operation of the compiler's."""
    values = [known[a.id] for a in node.args]
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
    return result, values, ways, d, slope


def _is_slope(result, values, ways, d, slope) -> bool:
    """Return whether ``sum(result(values) * d)`` has a slope along the ways of values."""
    with np.errstate(all="ignore"):
        for step in _STEPS:
            ends = [[v if w is None else v + s * step * w for v, w in zip(values, ways, strict=True)] for s in (1, -1)]
            other = float(((result(ends[0]) - result(ends[1])) * d).sum()) / (2 * step)
            if not np.isfinite(other) or abs(slope - other) <= _TOLERANCE * max(abs(slope), abs(other), 1.0):
                return True
    return False
