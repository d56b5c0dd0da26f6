"""Functions of a step with a gradient of their own: see `rnnkit.custom_gradient`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from rnnkit.compiler.ir.graph import Node
from rnnkit.compiler.ir.matrix_functions import Kernel
from rnnkit.compiler.tracing.batch_axis import Untraceable
from rnnkit.compiler.tracing.broadcasting import find_symbol, lift
from rnnkit.compiler.tracing.complex_numbers import has_complex
from rnnkit.compiler.tracing.symbol import RULES, Symbol
from rnnkit.custom_gradients import stop_gradient


def with_rule(call: Callable, function: Callable, arguments: tuple, keywords: dict, of: Any = "cotangent") -> Any:
    """Return the value of such a function on symbols; ``call(function, arguments, keywords)`` reads a function.

    A rule `of` a "formula" gives the value's own derivative, so that tangents go through its operations; so does that
    of a `Kernel`, which evaluations call in place of these. An `Untraceable` says which results aren't as required.
    """
    name = function.__name__
    if has_complex(arguments):
        if function is not stop_gradient:
            raise Untraceable(f"{name!r} of complex numbers; give it their .real and .imag")
        return arguments[0].mapped(lambda part: with_rule(call, function, (part,), keywords, of))
    made = call(function.with_rule, arguments, keywords)  # type: ignore[attr-defined]
    if not isinstance(made, tuple) or len(made) != 2:
        raise Untraceable(f"{name!r}, which returns no pair (value, rule), as rk.custom_gradient has it")
    like = find_symbol(*arguments)
    assert like is not None, "it is called on symbols"
    several = isinstance(made[0], (tuple, list))
    values = [lift(like, one) for one in (made[0] if several else made[:1])]
    if wrong := [one.dtype for one in values if not one.is_float]:
        raise Untraceable(f"{name!r}, which has a rule for its gradient and gives {wrong[0]}; write astype(float)")
    axis = next((one.axis for one in values if one.axis is not None), None)
    if any(one.axis != axis for one in values):
        raise Untraceable(f"{name!r}, of whose results only some have the batch axis")
    found, given = _rule(like, values, lambda d: call(made[1], tuple(d), {}), of, name)
    pairs = list(_pairs(name, arguments, found, like))
    parted = _ruled(like, values, pairs, given)
    return tuple(parted) if several else parted[0]


def by_kernels(function: Callable, arguments: tuple, options: dict) -> Any:
    """Return the value of a function with kernels on symbols, by its formula; see `rnnkit.custom_gradients.by_kernels`.

    Where NumPy alone evaluates the graph, it calls the kernels.
    """
    value = function.__wrapped__(*arguments, **options)  # type: ignore[attr-defined]
    arrays = [lift(value, one) for one in arguments if one is not None]
    if not value.graph.whole or any(one.axis not in (0, None) for one in (value, *arrays)):
        return value
    forward, backward, reads = function.kernels  # type: ignore[attr-defined]
    kernel = Kernel(partial(forward, **options), partial(backward, **options), len(arrays), reads)
    nodes = (value.node, *(one.node for one in arrays))
    return value.made(value.graph.add("ruled", nodes, value.node.shape, (None, (kernel,))), value.axis)


def by_vjp(x: Symbol, cell, states, constants, training, draws, result) -> tuple[Any, tuple]:
    """Return the output and the states of a step, whose gradient is the cell's own vjp, read for one row."""
    output, new = result
    values = [lift(x, one) for one in (output, *new)]

    def row(array):
        return array.made(array.graph.reshape(array.node, (1, *array.node.shape))) if array.axis == 0 else array

    def pulled(d):
        own = row(x), tuple(map(row, states)), tuple(map(row, constants))
        d_output, *d_states = map(row, d)
        return cell._pull(*own, training, {name: row(one) for name, one in draws.items()}, d_output, tuple(d_states))

    (d_x, d_states, d_weights, d_constants), given = _rule(x, values, pulled)
    weights = cell._all_weights()
    cotangents = [(x, d_x), *zip((*states, *constants), (*d_states, *d_constants), strict=True)]
    pairs = [(arg.node, x.graph.reshape(lift(x, c).node, arg.node.shape)) for arg, c in cotangents]
    pairs += [(lift(x, weights[name]).node, lift(x, c).node) for name, c in d_weights.items()]
    output, *new = _ruled(x, values, pairs, given)
    return output, tuple(new)


def _rule(like, values: list[Symbol], rule: Callable, of: str | Kernel = "cotangent", name="vjp") -> tuple[Any, tuple]:
    """Return a rule's results for the cotangents of values, and the input that stands for these cotangents."""
    graph, joined = like.graph, _joined(values)
    number = sum(node.op == "ruled" for node in graph.nodes)
    given = "sequence" if joined.batched else "weight", (of, number, name)
    d = graph.add(given[0], (), joined.shape, given[1])
    checks = len(graph.checks)
    found = rule(_parted(like, d, values))
    del graph.checks[checks:]  # a step doesn't fail by checks of its gradient
    return found, given


def _ruled(like: Symbol, values: list[Symbol], pairs: list[tuple[Node, Node]], given: tuple) -> list[Symbol]:
    """Return the values with a rule that makes the cotangents of nodes from theirs."""
    graph, joined = like.graph, _joined(values)
    cotangents = [graph.as_float(c) for _, c in pairs]
    made = graph.add("ruled", (joined, *(node for node, _ in pairs), *cotangents), joined.shape, given)
    return _parted(like, made, values)


def _joined(values: list[Symbol]) -> Node:
    nodes = [one.graph.as_float(one.node) for one in values]
    if len(nodes) == 1:
        return nodes[0]
    graph = values[0].graph
    return graph.concatenate([graph.reshape(node, (node.size,)) for node in nodes], 0)


def _parted(like: Symbol, node: Node, values: list[Symbol]) -> list[Symbol]:
    """Return the parts of a node that `_joined` made of values."""
    if len(values) == 1:
        return [like.made(node, values[0].axis)]
    found, low, graph = [], 0, like.graph
    for one in values:
        high = low + one.node.size
        part = graph.along(node, 0, low, high)
        found.append(like.made(graph.reshape(part, one.node.shape), one.axis))
        low = high
    return found


def _pairs(name, arguments, found, like):
    """Yield the arguments that have a cotangent, with it."""
    given = [None] * len(arguments) if found is None else found if isinstance(found, (tuple, list)) else [found]
    if len(given) != len(arguments):
        raise Untraceable(f"the rule of {name!r}, which gives {len(given)} cotangents for {len(arguments)} arguments")
    for argument, c in zip(arguments, given, strict=True):
        if isinstance(argument, Symbol) and argument.is_float and c is not None:
            c = lift(like, c)
            shapes = argument.node.shape, c.node.shape
            try:
                whole = np.broadcast_shapes(*shapes)
            except ValueError:
                whole = ()
            if whole not in shapes:
                raise Untraceable(
                    f"the rule of {name!r}, which gives a cotangent of shape {shapes[1]} for an argument of shape "
                    f"{shapes[0]}, without the batch axis"
                )
            yield argument.node, c.node


RULES["vjp"] = by_vjp


def _custom_gradient(function, arguments, keywords):
    if hasattr(function, "kernels"):
        return by_kernels(function, arguments, keywords)
    return with_rule(lambda one, args, named: one(*args, **named), function, arguments, keywords)


RULES["custom_gradient"] = _custom_gradient
