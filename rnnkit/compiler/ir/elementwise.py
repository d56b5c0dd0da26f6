"""Detection of elementwise steps: an element of the new states depends on the same elements of the states alone."""

from __future__ import annotations

from rnnkit.compiler.ir.graph import BATCHED, Graph, Node
from rnnkit.compiler.ir.plan import STEP, section_of


def is_elementwise(graph: Graph, states: tuple[Node, ...] | None = None) -> bool:
    """Tell whether the new states of a graph, or `states`, have one shape and are computed element by element."""
    states = graph.states if states is None else states
    if not states or not states[0].shape or graph.checks or graph.messages:
        return False
    if all(node.op in BATCHED for node in states):
        return False
    needed, shape = graph.under(states), states[0].shape
    computed = (node for node in graph.nodes if node.id in needed and section_of(node) == STEP)
    return all(node.shape == shape for node in states) and all(is_of_elements(node, shape) for node in computed)


def is_of_elements(node: Node, shape: tuple[int, ...]) -> bool:
    """Tell whether a node has this shape and is an input or a pointwise operation."""
    return node.shape == shape and (node.pointwise or node.op in BATCHED)
