"""The gradient of one traced step in NumPy, for functions of arrays and for cells beside one with its own gradient."""

from __future__ import annotations

import math

import numpy as np

from rnnkit.compiler.autodiff.reverse import reverse_step
from rnnkit.compiler.ir.evaluate import Evaluation, new_array
from rnnkit.compiler.ir.graph import Graph, Node


class Pull:
    """Gradient of a step: from the cotangents of its results to those of its inputs.

    Equals, for ``gradient`` the transposed derivative of the step::

        d_x, d_states, d_weights, d_constants = gradient(d_output, d_states)

    The values of the graph's nodes whose numbers are `known` are given, rather than computed again.
    """

    def __init__(self, graph: Graph, dtype, constant_shapes=(), x_shape=(), known=frozenset()):
        self.dtype = np.dtype(dtype)
        reverse = reverse_step(graph, dtype)
        self.count = len(graph.states)
        before = _before_sum if graph.whole else lambda g: (g, 1)
        self.summed = [(node.shape, a, *((g, 1) if a is not None else before(g))) for node, a, g in reverse.summed()]
        self.leaves = [reverse.to_input("x", x_shape)]
        self.leaves += [reverse.to_input("state", node.shape, i) for i, node in enumerate(graph.states)]
        self.leaves += [reverse.to_input("constant", shape, i) for i, shape in enumerate(constant_shapes)]
        self.weights = reverse.to_weights()
        wanted = [node for _, a, g, _ in self.summed for node in (a, g) if node is not None]
        self._values = Evaluation([*self.leaves, *wanted], self.dtype, known=known, lean=True)
        self._of_weights = Evaluation(self.weights.values(), self.dtype)
        self.reads = self._values.outside

    def __call__(self, x, states, weights, constants, draws, d_output, d_states, read=()):
        """Return ``(d_x, d_states, d_weights, d_constants)``; `read` are the values of the nodes `reads`."""
        rows = len(x)
        inputs: dict[tuple, np.ndarray] = {("x", None): x, ("sequence", "output"): d_output}
        for what, arrays in (("state", states), ("constant", constants)):
            inputs |= {(what, i): array for i, array in enumerate(arrays)}
        inputs |= {("state", ("cotangent", i)): array for i, array in enumerate(d_states)}
        given: dict[tuple, np.ndarray] = {("weight", name): array for name, array in weights.items()}
        inputs |= {("draw", name): array for name, array in draws.items()}
        values = self._values(inputs | given, read)

        def whole(node):
            value, shape = values[node.id], (rows, *node.shape)
            return value if value.shape == shape else np.broadcast_to(value, shape)

        def flat(node):
            return whole(node).astype(self.dtype, order="C", copy=False).reshape(-1, node.shape[-1])

        sums = [
            np.matmul(flat(a).T, flat(g)) if a is not None else _summed(whole(g), count).reshape(shape)
            for shape, a, g, count in self.summed
        ]
        if self.weights:
            given |= {("weight", ("sum", i)): array for i, array in enumerate(sums)}
            values |= self._of_weights(given)
        d_weights = {name: np.broadcast_to(values[node.id], weights[name].shape) for name, node in self.weights.items()}
        found: list[np.ndarray] = []
        for node in self.leaves:
            found.append(new_array(whole(node), node, (*inputs.values(), *found), self.dtype))
        d_x, *others = found
        return d_x, tuple(others[: self.count]), d_weights, tuple(others[self.count :])


def _before_sum(g: Node) -> tuple[Node, int]:
    """Return a cotangent before its sum over leading axes, as rows are summed, too, and how many axes these are."""
    inner = g
    while inner.op == "view" and inner.attr.key[0] == "reshape":
        (inner,) = inner.args
    if inner.op == "sum" and inner.batched and inner.attr == tuple(range(len(inner.attr))):
        return inner.args[0], 1 + len(inner.attr)
    return g, 1


def _summed(array: np.ndarray, count: int) -> np.ndarray:
    """Return the sum over leading axes; over several as a product, which takes a third of NumPy's sum."""
    shape = array.shape[count:]
    if count == 1 or not shape:
        return np.sum(array, axis=tuple(range(count)))
    rows = array.reshape(-1, math.prod(shape))
    return (np.ones_like(array, shape=len(rows)) @ rows).reshape(shape)
