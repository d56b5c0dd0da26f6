"""From the finished sums of a call to the gradients of the weights, in NumPy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rnnkit.compiler.ir.evaluate import ByMember, evaluate, only_moves
from rnnkit.compiler.ir.graph import Node


@dataclass(eq=False)
class WeightGradients:
    """Function of the weights by name and the finished sums in order, which returns each weight's gradient by name."""

    nodes: dict[str, Node]  # the gradients in terms of weights and sums, see `Adjoint`; what has none is missing
    sparse: frozenset[str]  # the weights whose gradient is 0 wherever they are
    dtype: np.dtype

    def __post_init__(self):
        # Whether the gradients hold numbers of the sums in other places, and zeros.
        self.only_moves = not self.sparse and only_moves(self.nodes.values())
        self._by_member: ByMember | None = None

    def __call__(self, weights: dict[str, np.ndarray], sums: list[np.ndarray]) -> dict[str, np.ndarray]:
        values = evaluate(self.nodes.values(), _given(weights, sums), self.dtype)
        found = {}
        for name, array in weights.items():
            value = values[self.nodes[name].id] if name in self.nodes else np.zeros((), self.dtype)
            same = value.shape == array.shape
            found[name] = np.array(value if same else np.broadcast_to(value, array.shape), self.dtype)
        on_pattern = {name: np.where(weights[name] != 0, found[name], self.dtype.type(0)) for name in self.sparse}
        return found | on_pattern

    def of_members(self, weights: dict[str, np.ndarray], sums: list[np.ndarray], members: int) -> dict[str, np.ndarray]:
        """Return the gradients of several sets of weights ``(n, *shape)``, from sums ``(n, …)``."""
        self._by_member = self._by_member or ByMember(self.nodes.values(), self.dtype)
        values = dict(zip(self.nodes, self._by_member(_given(weights, sums), members), strict=True))
        found = {}
        for name, array in weights.items():
            value = values.get(name, np.zeros(members, self.dtype))
            value = value.reshape(members, *(1,) * (array.ndim - value.ndim), *value.shape[1:])
            found[name] = np.array(np.broadcast_to(value, array.shape), self.dtype)
        return found


def _given(weights, sums) -> dict[tuple, np.ndarray]:
    given: dict[tuple, np.ndarray] = {("weight", name): array for name, array in weights.items()}
    return given | {("weight", ("sum", i)): array for i, array in enumerate(sums)}
