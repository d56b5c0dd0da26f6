"""The memory of a graph's values in NumPy: which operands may be written over, and how much there is at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from rnnkit.compiler.ir.graph import Node
from rnnkit.compiler.ir.kinds import FLOATS
from rnnkit.compiler.ir.operations import OPERATIONS, REDUCTIONS

Step = tuple[Node, Sequence[int]]  # a node that is computed, and the numbers of those that it is computed of


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

    made = {node.id: node for node, _ in steps}
    for node, arguments in steps:
        joined([node.id] if _is_new(node) else [node.id, *arguments])
    kept = {memory.get(node.id) for node in wanted}
    kept |= {memory.get(number) for _, arguments in steps for number in arguments if number not in made}
    found: list[int | None] = []
    for node, arguments in reversed(steps):
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


def peak(steps: Sequence[Step], wanted: Iterable[Node]) -> int:
    """Return how many numbers the values have at most at a time, without views; of a row if there are rows."""
    steps = [(node, arguments) for node, arguments in steps if node.batched] or steps
    last = {number: i for i, (_, arguments) in enumerate(steps) for number in arguments}
    last.update((node.id, len(steps)) for node in wanted)
    sizes = {node.id: node.size for node, _ in steps if node.op not in ("view", "ruled")}
    now = most = 0
    for i, (node, arguments) in enumerate(steps):
        now += sizes.get(node.id, 0)
        most = max(most, now)
        now -= sum(sizes.get(number, 0) for number in {*arguments} if last[number] == i)
    return most
