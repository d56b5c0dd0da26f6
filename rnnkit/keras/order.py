"""Keras's order of the layers of a functional model, and so of its weights."""

from __future__ import annotations

from rnnkit.layers.support.symbolic import leaves
from rnnkit.models.calls import Call


def keras_order(calls: list[Call], outputs: list[int]) -> list[int]:
    """Return the places of layers: the farthest from the outputs first, equally far ones in the order of a walk.

    The calls are those of a functional model, in an order in which they can run; outputs are numbers of arrays.
    """
    makers = {number: call for call in calls for number in call.outputs}
    found: dict[int, int] = {}  # by layer, when a walk from the outputs meets it
    behind: list[Call] = []  # each after those that it reads from
    for number in outputs:
        _walk(number, makers, found, behind)
    depths: dict[int, int] = {}  # by the first array that a call gives
    farthest: dict[int, int] = {}  # by layer
    for call in reversed(behind):
        depth = max(depths.setdefault(call.outputs[0], 0), farthest.get(call.layer, 0))
        farthest[call.layer] = depths[call.outputs[0]] = depth
        for parent in _parents(call, makers):
            depths[parent.outputs[0]] = max(depth + 1, depths.get(parent.outputs[0], 0))
    return sorted(farthest, key=lambda layer: (-farthest[layer], found[layer]))


def _parents(call, makers):
    nested = [call.x, *(call.more[name] for name in sorted(call.more))]
    return [makers[number] for one in nested for number in leaves(one) if number in makers]


def _walk(number, makers, found, behind):
    """Visit the call that makes an array, and those before it; without recursion, since models may be deep."""
    if number not in makers:
        return
    todo = [(makers[number], False)]
    while todo:
        call, done = todo.pop()
        if any(call is one for one in behind):
            continue
        if done:
            behind.append(call)
            continue
        found.setdefault(call.layer, len(found))
        todo.append((call, True))
        todo += [(parent, False) for parent in reversed(_parents(call, makers))]
