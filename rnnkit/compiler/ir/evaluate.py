"""What a graph means: its values in NumPy, for arrays that are given."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from rnnkit.compiler.ir import kinds
from rnnkit.compiler.ir.graph import INPUTS
from rnnkit.compiler.ir.operations import INTEGER_OPERATIONS, REDUCTIONS
from rnnkit.recording import computed, constant, copied, repeated, unwatched, viewed


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
    with unwatched():
        return Evaluation(nodes, dtype)(inputs)


class Evaluation:
    """What `evaluate` does, for inputs that change: what depends on the graph alone is done once.

    A recording notes every operation, and so repeats them in the same memory: views cost nothing then.

    Parameters
    ----------
    nodes, dtype
        As of `evaluate`.
    """

    def __init__(self, nodes, dtype):
        self._literals: dict[int, np.ndarray] = {}
        self._given: list[tuple[int, tuple]] = []
        self._steps: list[tuple[int, Callable[..., np.ndarray], list[int]]] = []
        seen: set[int] = set()
        stack = list(nodes)
        while stack:
            node = stack[-1]
            if missing := [a for a in node.args if a.id not in seen]:
                stack.extend(missing)
                continue
            stack.pop()
            if node.id not in seen:
                seen.add(node.id)
                if node.op in INPUTS:
                    self._given.append((node.id, (node.op, node.attr)))
                elif node.op == "literal":
                    self._literals[node.id] = np.asarray(node.attr, kinds.dtype_of(node.kind, dtype))
                else:
                    self._steps.append((node.id, _function(node, dtype), [a.id for a in node.args]))

    def __call__(self, inputs) -> dict[int, np.ndarray]:
        """The values of all nodes, by id."""
        values = {number: constant(literal) for number, literal in self._literals.items()}
        for number, key in self._given:
            values[number] = inputs[key]
        for number, function, arguments in self._steps:
            values[number] = function(*[values[a] for a in arguments])
        return values


def only_moves(nodes) -> bool:
    """Whether the values of nodes hold numbers of the inputs in other places, and zeros."""
    stack, seen = list(nodes), set()
    while stack:
        node = stack.pop()
        if node.id in seen:
            continue
        seen.add(node.id)
        zeros = node.op == "literal" and node.kind == "float" and not np.any(node.attr)
        if not zeros and node.op not in (*INPUTS, "view", "concatenate"):
            return False
        stack += node.args
    return True


def _function(node, dtype) -> Callable[..., np.ndarray]:
    """What gives a node's value for the values of its arguments."""
    lead, attr = int(node.batched), node.attr
    if node.pointwise:
        return _pointwise(node, dtype)
    if node.op == "view":
        return lambda a: viewed(lambda whole: attr.apply(whole, lead), a)
    if node.op == "concatenate":
        axis = lead + attr
        return lambda *args: computed(np.concatenate, _with_rows(args, node) if lead else args, axis=axis)
    if node.op == "product":
        return lambda a, b: computed(np.matmul, a, b)
    if node.op in REDUCTIONS:
        reduction, axes = REDUCTIONS[node.op].evaluate, tuple(lead + i for i in attr)
        if node.is_integer and node.op in ("sum", "prod"):  # of small ones, NumPy would give int64
            return lambda a: repeated(lambda: reduction(a, axis=axes, dtype=node.kind), a)
        return lambda a: computed(reduction, a, axis=axes)
    function = _of_arrays(node, lead, dtype)
    return lambda *args: repeated(lambda: function(*args), *args)


def _of_arrays(node, lead, dtype) -> Callable[..., np.ndarray]:
    """As `_function`, for operations that a recording has to copy the result of."""
    attr = node.attr
    if node.op == "einsum" and lead:
        batched = [a.batched for a in node.args]
        return lambda *args: _batched_einsum(attr, args, batched)
    if node.op == "einsum":
        # Without `optimize`, nested loops: 60 ms for three matrices of 128.
        return lambda *args: np.einsum(attr, *args, optimize=True)
    if node.op == "inverse":
        return np.linalg.inv
    return lambda *args: np.asarray(attr(*args), dtype)


def _pointwise(node, dtype):
    rank, wanted = len(node.shape), kinds.dtype_of(node.kind, dtype)
    of_integers = node.op in INTEGER_OPERATIONS and node.args[-1].is_integer
    operation = (INTEGER_OPERATIONS[node.op] if of_integers else node.operation).evaluate
    short = [i for i, a in enumerate(node.args) if a.batched and len(a.shape) < rank]

    def function(*args):
        if isinstance(operation, np.ufunc):
            found = computed(operation, *args)
        else:
            found = repeated(lambda: np.asarray(operation(*args)), *args)
        return found if found.dtype == wanted else copied(found, wanted)

    if node.op == "to_float":
        return lambda a: copied(a, dtype)
    if node.op == "cast":
        return lambda a: repeated(lambda: kinds.cast(a, node.kind, dtype), a)
    if not short:
        return function

    def aligned(*args):
        given = list(args)
        for i in short:
            array = given[i]
            given[i] = array.reshape(array.shape[0], *(1,) * (rank + 1 - array.ndim), *array.shape[1:])
        return function(*given)

    return aligned


def _with_rows(args, node) -> list:
    """Arrays of a concatenation, those without a batch axis repeated along it."""
    rows = next(a.shape[0] for a, one in zip(args, node.args, strict=True) if one.batched)
    return [a if one.batched else np.broadcast_to(a, (rows, *a.shape)) for a, one in zip(args, node.args, strict=True)]


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
