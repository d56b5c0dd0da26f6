"""The memory of a graph's values in NumPy: which operands may be written over."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from rnnkit.compiler.ir.graph import Node
from rnnkit.compiler.ir.kinds import FLOATS
from rnnkit.compiler.ir.operations import OPERATIONS, REDUCTIONS

Step = tuple[Node, Callable, Sequence[int]]  # a node, what computes it, and the numbers of those that it is computed of


def is_ufunc(node: Node) -> bool:
    """Tell whether NumPy computes a node by a function that writes its result where one says."""
    operation = OPERATIONS.get(node.op)
    return operation is not None and node.kind in FLOATS and isinstance(operation.evaluate, np.ufunc)


def _is_new(node: Node) -> bool:
    """Tell whether a value surely has memory of its own."""
    return is_ufunc(node) or node.op in ("where", "product", *REDUCTIONS)


def overwritten(steps: Sequence[Step], wanted: Iterable[Node]) -> list[int | None]:
    """Return the number of the operand that each step may write its result to, None where there is none.

    It is one that a step has made, of the result's shape and kind, and no later step, and nobody else, reads its
    memory, by itself or by a view of it.
    """
    memory: dict[int, int] = {}  # of each value, the number of a value that may share it
    members: dict[int, set[int]] = {}

    def joined(numbers: Iterable[int]) -> None:
        found = {memory.setdefault(number, number) for number in numbers}
        target = min(found)
        for one in found:
            group = members.pop(one, {one})
            members.setdefault(target, set()).update(group)
            memory.update(dict.fromkeys(group, target))

    made = {node.id: node for node, *_ in steps}
    for node, _, arguments in steps:
        joined([node.id] if _is_new(node) else [node.id, *arguments])
    kept = {memory.get(node.id) for node in wanted}
    kept |= {memory.get(number) for *_, arguments in steps for number in arguments if number not in made}
    found: list[int | None] = []
    for node, _, arguments in reversed(steps):
        over = [
            number
            for number in arguments
            if number in made
            and memory[number] not in kept
            and _is_new(made[number])
            and (made[number].shape, made[number].kind) == (node.shape, node.kind)
            and made[number].batched == node.batched
        ]
        found.append(over[0] if over and is_ufunc(node) else None)
        kept |= {memory[number] for number in arguments if number in made}
    return found[::-1]
