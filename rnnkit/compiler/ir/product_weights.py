"""The weights of a graph that only products read, which may be stored in fewer bits."""

from __future__ import annotations

from collections import defaultdict

from rnnkit.compiler.ir.graph import Graph, Node


def product_weights(graph: Graph) -> dict[str, tuple[tuple[int, int], ...]]:
    """Return the weights ``(K, N)`` that only products read, with the rows that products read together, in order.

    A weight counts that is the right operand of products, whole or in rows and columns that lie side by side.
    """
    readers: dict[int, list[Node]] = defaultdict(list)
    live = graph.live()
    for node in live:
        for operand in node.args:
            readers[operand.id].append(node)
    kept = {node.id for node in (graph.output, *graph.states, *graph.residuals.values())}
    found = {}
    for node in live:
        if node.op == "weight" and len(node.shape) == 2 and node.id not in kept:
            rows = _rows_read(node, (0, node.shape[0]), readers, kept)
            if rows:
                found[node.attr] = tuple(sorted(rows))
    return found


def _rows_read(node: Node, rows: tuple[int, int], readers, kept) -> set[tuple[int, int]]:
    """Return the ranges of rows in which products read a part of a weight; none if anything else reads it."""
    found = set()
    for reader in readers[node.id]:
        if reader.op == "product" and reader.args[1] is node and reader.args[0] is not node:
            found.add(rows)
            continue
        part = _part_of(node, reader) if reader.op == "view" else None
        if reader.op == "concatenate" and reader.attr == 1:
            part = (0, node.shape[0])
        inside = part and _rows_read(reader, (rows[0] + part[0], rows[0] + part[1]), readers, kept)
        if not inside or reader.id in kept:
            return set()
        found |= inside
    return found


def _part_of(node: Node, view: Node) -> tuple[int, int] | None:
    """Return the rows that a view takes of a matrix, with columns side by side; None for another view."""
    key = view.attr.part
    if key is None or len(view.shape) != 2 or not all(isinstance(k, slice) and k.step in (None, 1) for k in key):
        return None
    start, stop, _ = key[0].indices(node.shape[0]) if key else (0, node.shape[0], 1)
    return start, max(start, stop)
