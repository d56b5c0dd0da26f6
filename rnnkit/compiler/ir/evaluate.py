"""What a graph means: its values in NumPy, for arrays that are given."""

from __future__ import annotations

import math

import numpy as np

from rnnkit.compiler.ir.graph import INPUTS
from rnnkit.compiler.ir.operations import OPERATIONS, REDUCTIONS


def evaluate(nodes, inputs, dtype) -> dict[int, np.ndarray]:
    """Values of nodes, and of all under them, in NumPy.

    Parameters
    ----------
    nodes : iterable of Node
    inputs : mapping of (op, attr) to ndarray
        Batched inputs ``(B, *shape)``, weights as they are.
    dtype : dtype
        Of literals and results.

    Returns
    -------
    dict of node id to ndarray
        ``(B, *shape)`` for batched nodes, ``shape`` for the others.
    """
    values: dict[int, np.ndarray] = {}
    stack = list(nodes)
    while stack:
        node = stack[-1]
        if missing := [a for a in node.args if a.id not in values]:
            stack.extend(missing)
            continue
        stack.pop()
        if node.id not in values:
            values[node.id] = _value(node, [values[a.id] for a in node.args], inputs, dtype)
    return values


def only_moves(nodes) -> bool:
    """Whether the values of nodes hold numbers of the inputs in other places, and zeros."""
    stack, seen = list(nodes), set()
    while stack:
        node = stack.pop()
        if node.id in seen:
            continue
        seen.add(node.id)
        zeros = node.op == "literal" and node.kind != "bool" and not np.any(node.attr)
        if not zeros and node.op not in (*INPUTS, "view", "concatenate"):
            return False
        stack += node.args
    return True


def _value(node, args, inputs, dtype):
    if node.op in INPUTS:
        return inputs[node.op, node.attr]
    if node.op == "literal":
        return node.attr if node.kind == "bool" else node.attr.astype(dtype)
    lead = int(node.batched)
    if node.pointwise:
        rank = len(node.shape)
        args = [_padded(a, rank, arg.batched) for a, arg in zip(args, node.args, strict=True)]
        result = OPERATIONS[node.op].evaluate(*args)
        return result if node.kind == "bool" else np.asarray(result, dtype)
    if node.op == "view":
        return node.attr.apply(args[0], lead)
    if node.op == "concatenate":
        args = [
            a if arg.batched or not lead else np.broadcast_to(a, (_rows(args, node.args), *a.shape))
            for a, arg in zip(args, node.args, strict=True)
        ]
        return np.concatenate(args, axis=lead + node.attr)
    if node.op == "product":
        return np.matmul(*args)
    if node.op == "einsum":
        if not lead:
            return np.einsum(node.attr, *args, optimize=True)  # without, nested loops: 60 ms for three matrices of 128
        return _batched_einsum(node.attr, args, [arg.batched for arg in node.args])
    if node.op == "inverse":
        return np.linalg.inv(args[0])
    if node.op == "function":
        return np.asarray(node.attr(*args), dtype)
    return REDUCTIONS[node.op](args[0], axis=tuple(lead + i for i in node.attr))


def _padded(array, rank, batched):
    if not batched or array.ndim == rank + 1:
        return array
    return array.reshape(array.shape[0], *(1,) * (rank + 1 - array.ndim), *array.shape[1:])


def _rows(args, nodes) -> int:
    return next(a.shape[0] for a, node in zip(args, nodes, strict=True) if node.batched)


def _batched_einsum(subscripts, arrays, batched):
    """A contraction of two arrays with a batch axis first in one or both, as a product of matrices."""
    inputs, output = subscripts.split("->")
    first, second = (
        "".join(["0", *letters] if lead else letters) for letters, lead in zip(inputs.split(","), batched, strict=True)
    )
    common = [c for c in first if c in second]
    shared, inner = [c for c in common if c in f"0{output}"], [c for c in common if c not in f"0{output}"]
    rows, columns = [c for c in first if c not in common], [c for c in second if c not in common]
    sizes = dict(zip(first + second, (*arrays[0].shape, *arrays[1].shape), strict=True))

    def matrices(array, letters, left, right):
        turned = array.transpose([letters.index(c) for c in (*shared, *left, *right)])
        lengths = (math.prod(sizes[c] for c in group) for group in (left, right))
        return turned.reshape(*(sizes[c] for c in shared), *lengths)

    product = matrices(arrays[0], first, rows, inner) @ matrices(arrays[1], second, inner, columns)
    order = [*shared, *rows, *columns]
    return product.reshape([sizes[c] for c in order]).transpose([order.index(c) for c in f"0{output}"])
