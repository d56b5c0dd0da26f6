"""The memory of a graph's values in NumPy: which operands may be written over."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from rnnkit.compiler.ir.graph import Node
from rnnkit.compiler.ir.kinds import FLOATS
from rnnkit.compiler.ir.operations import OPERATIONS, REDUCTIONS

Step = tuple[Node, Callable, Sequence[int]]  # a node, what computes it, and the numbers of those that it is computed of


def overwritten(steps: Sequence[Step], wanted: Iterable[Node]) -> list[int | None]:
    """Return the number of the operand that each step may write its result to, None where there is none.

    It is one that a step has made, of the result's shape and kind, and that no later step, no view and no caller reads.
    """
    made = {node.id: node for node, *_ in steps if _is_new(node)}
    read = {node.id for node in wanted}
    read.update(number for node, _, arguments in steps if not _is_new(node) for number in arguments)
    found: list[int | None] = []
    for node, _, arguments in reversed(steps):
        free = [made[number] for number in arguments if number in made and number not in read]
        alike = (one.id for one in free if (one.shape, one.kind, one.batched) == (node.shape, node.kind, node.batched))
        found.append(next(alike, None) if _is_ufunc(node) else None)
        read.update(arguments)
    return found[::-1]


def _is_ufunc(node: Node) -> bool:
    """Tell whether NumPy computes a node by a function that writes its result where one says."""
    operation = OPERATIONS.get(node.op)
    return operation is not None and node.kind in FLOATS and isinstance(operation.evaluate, np.ufunc)


def _is_new(node: Node) -> bool:
    """Tell whether a value surely has memory of its own."""
    return _is_ufunc(node) or node.op in ("where", "product", *REDUCTIONS)
