"""Elementwise recurrences: an element of the new states depends on the same elements of the states alone.

All steps of a block can then run for some elements before the next ones, whose states stay in registers meanwhile.
Other values that depend on states, such as a product for the output, are computed after each block.
"""

from __future__ import annotations

from rnnkit.compiler.ir.elementwise import is_of_elements
from rnnkit.compiler.ir.graph import BATCHED, Graph
from rnnkit.compiler.ir.plan import BLOCK, STEP, Loop, Plan, Pointwise, section_of


def behind_blocks(graph: Graph) -> tuple[set[int], set[int]] | None:
    """Return the nodes of an elementwise step that are computed after a block, and those that are kept until then.

    None if such a node reads the states before a step.
    """
    needed, live = graph.under(graph.states), graph.live()
    behind: set[int] = set()
    for node in live:
        mixes = not is_of_elements(node, graph.states[0].shape) or any(a.id in behind for a in node.args)
        if section_of(node) == STEP and node.id not in needed and node.op not in BATCHED and mixes:
            behind.add(node.id)
    # Nodes that only these need are computed with them.
    wanted = needed | {node.id for node in graph.results()} - behind
    for node in reversed(live):
        if node.id not in behind and (node.id in wanted or section_of(node) not in (BLOCK, STEP)):
            wanted |= {arg.id for arg in node.args}
        elif node.op not in BATCHED:
            behind.add(node.id)
    read = [a for node in live if node.id in behind for a in node.args if a.id not in behind and section_of(a) == STEP]
    return None if any(a.op == "state" for a in read) else (behind, {a.id for a in read})


def mark_scans(plan: Plan) -> bool:
    """Mark a plan's loops to run all steps of a block each, in turn, if they can; return whether they do."""
    stages = [stage for stage in plan.stages if stage.section == STEP]
    written = {buffer for stage in stages if isinstance(stage, Loop) for _, buffer, _ in stage.writes}
    for stage in stages:
        if not isinstance(stage, Loop) or stage.reduction is not None:
            return False
        states = {buffer.attr for _, buffer, _ in stage.writes if buffer.kind == "next"}
        reads = {load.buffer for load in stage.loads}
        if reads & written or not {buffer.attr for buffer in reads if buffer.kind == "state"} <= states:
            return False
    plan.scans = plan.unshared = any(buffer.kind == "next" for buffer in written)
    return plan.scans


def products_of_states(loop: Loop) -> int:
    """Return the number of products with states in a loop that otherwise only adds them; else 0."""
    depends, count = {value.name for value in loop.loads if value.buffer.kind == "state"}, 0
    for value in loop.values:
        if isinstance(value, Pointwise) and (found := [arg in depends for arg in value.args]) and any(found):
            scales = value.op == "multiply" and sum(found) == 1
            if not (scales or value.op in ("add", "subtract", "negative")):
                return 0
            count += scales
            depends.add(value.name)
    return count
