"""One step that was traced, taken backwards in NumPy: what a cell by hand needs of its neighbours in a stack."""

from __future__ import annotations

import numpy as np

from rnnkit.compiler.gradient import _Reverse
from rnnkit.compiler.graph import Graph, evaluate


class Pull:
    """Takes cotangents of a step's results to those of all that it read.

    Equals, for ``gradient`` the transposed derivative of the step::

        d_x, d_states, d_weights, d_constants = gradient(d_output, d_states)
    """

    def __init__(self, graph: Graph, dtype, constant_shapes=(), x_shape=()):
        self.dtype = np.dtype(dtype)
        both = graph.copy()
        reverse = _Reverse(both, self.dtype)
        for i, node in enumerate(graph.states):
            reverse.add(node, both.add("state", (), node.shape, ("cotangent", i)))
        reverse.add(graph.output, both.add("sequence", (), graph.output.shape, "output"))
        reverse.run([node for node in graph.live() if node.batched])
        shared = [node for node in graph.live() if not node.batched and node.op != "literal"]
        leaves = [both.add("x", (), x_shape)]
        leaves += [both.add("state", (), node.shape, i) for i, node in enumerate(graph.states)]
        leaves += [both.add("constant", (), shape, i) for i, shape in enumerate(constant_shapes)]
        self.leaves = [reverse.total(leaf) or both.literal(np.zeros(leaf.shape)) for leaf in leaves]
        self.count = len(graph.states)
        self.outer = [(a, g) for node in shared for a, g in reverse.outer.get(node.id, ())]
        reached = [node for node in shared for _ in reverse.outer.get(node.id, ())]
        rows = [(node, total) for node in shared if (total := reverse.total(node)) is not None]
        self.rows = [total for _, total in rows]
        reached += [node for node, _ in rows]
        again = _Reverse(both, self.dtype)
        for i, node in enumerate(reached):
            again.add(node, both.add("weight", (), node.shape, ("sum", i)))
        again.run(shared)
        found = {node.attr: again.total(node) for node in shared if node.op == "weight"}
        self.weights = {name: node for name, node in found.items() if node is not None}

    def __call__(self, x, states, weights, constants, draws, d_output, d_states):
        """``(d_x, d_states, d_weights, d_constants)``."""
        dtype, rows = self.dtype, len(x)
        inputs = {("x", None): x, ("sequence", "output"): d_output}
        for what, arrays in (("state", states), ("constant", constants)):
            inputs |= {(what, i): array for i, array in enumerate(arrays)}
        inputs |= {("state", ("cotangent", i)): array for i, array in enumerate(d_states)}
        given = {("weight", name): array for name, array in weights.items()}
        inputs |= {("draw", name): array for name, array in draws.items()}
        values = evaluate([*self.leaves, *self.rows, *(n for pair in self.outer for n in pair)], inputs | given, dtype)

        def whole(node):
            return np.broadcast_to(values[node.id], (rows, *node.shape))

        sums = [whole(a).reshape(-1, a.shape[-1]).T @ whole(g).reshape(-1, g.shape[-1]) for a, g in self.outer] + [
            whole(node).sum(axis=0) for node in self.rows
        ]
        given |= {("weight", ("sum", i)): array for i, array in enumerate(sums)}
        values |= evaluate(self.weights.values(), given, dtype)
        d_weights = {name: np.broadcast_to(values[node.id], weights[name].shape) for name, node in self.weights.items()}
        d_x, *others = (np.array(whole(node)) for node in self.leaves)
        return d_x, tuple(others[: self.count]), d_weights, tuple(others[self.count :])
