"""The passes of the compiler, by name and in their order, and the verifier and the dumps after each pass.

A step becomes a graph (*trace*, *simplify*), a graph its adjoint (*differentiate*) or its dual (*dual*), and each graph
a program (*plan*, *fuse*, *write*, *compile*; a `Target` says how the last three work). *differentiate_loss* turns the
graph of a loss into one that gives the cotangent, too. No other code rewrites a step, with two exceptions that
construct normal forms:

- A `Graph` is in normal form while it is built (`Graph.add`, `Graph.view`, `Graph.pointwise`). Equal nodes are one
  node, a view that moves nothing is its operand, a reshape of a reshape is one reshape, operands are converted to the
  kind that an operation takes, and ``where`` of conditions is logical operations. So passes may compare nodes by
  identity, and no pass has to restore the form.
- The tracer writes NumPy's functions as operations (`rnnkit.compiler.tracing`): ``x**2`` as a square, a variance as
  means. It has no other way to say them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from rnnkit.backends.shared.target import Target
from rnnkit.compiler.autodiff.adjoint import differentiate
from rnnkit.compiler.autodiff.forward import dual, tangent_name
from rnnkit.compiler.autodiff.reverse import to_x
from rnnkit.compiler.ir import verify
from rnnkit.compiler.ir.graph import Graph
from rnnkit.compiler.ir.plan import SECTIONS, Plan
from rnnkit.compiler.ir.printer import print_graph, print_plan
from rnnkit.compiler.ir.simplify import reduced, simplify, without_rules
from rnnkit.compiler.tracing.trace import trace
from rnnkit.execution import dump


class Pass(NamedTuple):
    """One pass; ``check(name, made, *arguments)`` checks that the result of `run` breaks no rule."""

    name: str
    run: Callable[..., Any]
    check: Callable[..., None] | None = None


def _columns(target, dtype):
    return lambda columns: target.columns(columns, dtype)


def _check_traced(name, graph, step, dtype, weights, constant_shapes=(), training=False, *kinds):
    leaves: dict[tuple, tuple[int, ...]] = {("x", None): step.feature_shape}
    leaves |= {("state", i): shape for i, shape in enumerate(step.state_shapes)}
    leaves |= {("constant", i): shape for i, shape in enumerate(constant_shapes)}
    leaves |= {("weight", weight): array.shape for weight, array in weights.items()}
    leaves |= {("draw", draw): shape for draw, shape in step.draws.items()}
    verify.check_graph(graph, name, leaves, step.state_shapes)


def _check_simplified(name, graph, before):
    states = [node.shape for node in before.states]
    verify.check_graph(graph, name, verify.leaves_of(before), states, before.output.shape)


def _check_adjoint(name, adjoint, graph, dtype, constant_shapes=(), x_shape=(), sums_by_row=""):
    verify.check_adjoint(adjoint, name, graph, x_shape, constant_shapes)


def _check_loss(name, graph, before, dtype, x_shape):
    states = [node.shape for node in before.states]
    verify.check_graph(graph, name, verify.leaves_of(before) | {("x", None): x_shape}, states, x_shape)


def _check_dual(name, graph, before, dtype, x, constants, weights, rows):
    leaves = dict(verify.leaves_of(before))
    counts = {"state": len(before.states), "constant": constants}
    for (op, attr), shape in list(leaves.items()):
        if op == "x" and x:
            leaves[op, attr] = (2, *shape)
        elif op in counts:
            leaves[op, counts[op] + attr] = shape
        elif op == "weight" and attr in weights:
            leaves[op, tangent_name(attr)] = shape
        elif op == "weight" and attr in rows:
            leaves["constant", rows[attr]] = shape
    states = [node.shape for node in before.states] * 2
    verify.check_graph(graph, name, leaves, states, (2, *before.output.shape))


def _check_plan(name, made, *arguments):
    graph, target, dtype = arguments[-3:]
    verify.check_plan(made, name, graph, _columns(target, dtype))


PASSES = (
    Pass("trace", trace, _check_traced),
    Pass("simplify", simplify, _check_simplified),
    Pass("differentiate", differentiate, _check_adjoint),
    Pass("differentiate_loss", to_x, _check_loss),
    Pass("dual", dual, _check_dual),
    Pass("plan", lambda graph, target, dtype: target.plan(graph, _columns(target, dtype)), _check_plan),
    Pass("fuse", lambda made, graph, target, dtype: target.fuse(made, _columns(target, dtype)), _check_plan),
    Pass("write", lambda made, target, name, dtype: target.write(made, name, dtype)),
    Pass("compile", lambda made, source, target, *rest: target.compile(made, source, *rest)),
)
_NAMED = {one.name: one for one in PASSES}


def run(name: str, *arguments) -> Any:
    """Return the result of a pass, checked if ``RNNKIT_CHECK=1``."""
    one = _NAMED[name]
    made = one.run(*arguments)
    if verify.CHECKED and one.check is not None:
        one.check(name, made, *arguments)
    return made


def read(step, dtype, weights, constant_shapes=(), training=False, rules=False, by_vjp=False) -> Graph:
    """Return the graph of a step, with the user's rules for its gradient if they are wanted; vjps of cells are others.

    Errors are those of `rnnkit.compiler.tracing.trace.trace`.
    """
    graph = run("simplify", run("trace", step, dtype, weights, constant_shapes, training, False, by_vjp))
    return graph if rules else without_rules(graph)


def program(graph: Graph, target: Target, name: str, dtype, role: str = "forward", gradient: Callable | None = None):
    """Return the program of a graph of the step of a name.

    Its role in the step is "forward", "forward with residuals", "adjoint", or "gradient" of a loss; `gradient` takes a
    step's own program and gives its gradient executor.
    """
    dtype, graph = np.dtype(dtype), reduced(without_rules(graph))
    title = ", ".join([name, dtype.name, role, *([] if target.name == "cpu" else [target.name])])
    made = run("fuse", run("plan", graph, target, dtype), graph, target, dtype)
    if "graph" in dump.wanted():
        dump.dump("graph", title, print_graph(graph, f"graph of {title}"))
    if "plan" in dump.wanted():
        dump.dump("plan", title, print_plan(made, graph, f"plan of {title}"))
    source = run("write", made, target, f"{name}, adjoint" if role == "adjoint" else name, dtype)
    return run("compile", made, _dumped(source, title), target, dtype, partial(_show, graph, made, title), gradient)


def _dumped(source, title: str):
    """Return a source whose text is dumped: now, or kernel by kernel when each is written."""
    if not callable(source):
        dump.dump("source", title, source.text)
        return source
    source.listener = lambda section, variant, text: dump.dump(
        "source", f"{title}, {SECTIONS[section]}, {variant}", text
    )
    return source


def _show(graph: Graph, made: Plan, title: str) -> str:
    return f"{print_graph(graph, f'graph of {title}')}\n\n{print_plan(made, graph, f'plan of {title}')}"
