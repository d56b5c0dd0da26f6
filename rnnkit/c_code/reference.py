"""The computation of a network's C text in NumPy, for the rounded weights of int8 without a C compiler."""

from __future__ import annotations

import numpy as np

from rnnkit.c_code.network import Mask, Network, Operation, Signal
from rnnkit.c_code.unit import Unit
from rnnkit.compiler.ir.evaluate import evaluate
from rnnkit.compiler.ir.graph import Graph
from rnnkit.compiler.ir.simplify import rebuilt
from rnnkit.stored_weights import all_expanded, to_int8


def run(network: Network, inputs: list[np.ndarray], constants=(), int8: bool = False) -> list[np.ndarray]:
    """Return outputs for sequences: ``(B, T, *O)`` for outputs in time, ``(B, *O)`` for those after the last step.

    Inputs are ``(B, T, …)``, constants ``(B, …)``; `int8` rounds the weights of products.
    """
    rows, steps = inputs[0].shape[:2]
    runner = _Runner(network, rows, constants, int8)
    found = [runner.step([x[:, t] for x in inputs]) for t in range(steps)]
    return [
        np.stack([step[i] for step in found], axis=1) if signal.in_time else found[-1][i]
        for i, signal in enumerate(network.outputs)
    ]


class _Runner:
    def __init__(self, network: Network, rows: int, constants, int8: bool):
        self.network, self.rows = network, rows
        self.fixed = {("constant", i): np.asarray(c, network.dtype) for i, c in enumerate(constants)}
        self.units = {unit: _UnitInNumPy(unit, int8) for unit in network.units}
        self.states: dict[Operation, list[np.ndarray]] = {}
        self.held: dict[Operation, np.ndarray] = {}
        for one in network.operations:
            if one.unit is not None:
                self.states[one] = self.units[one.unit].initial(rows)
                self.held[one] = np.zeros((rows, *one.output.shape), network.dtype)

    def step(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        self.values: dict[Signal, np.ndarray] = dict(zip(self.network.inputs, inputs, strict=True))
        for one in self.network.operations:
            self.values[one.output] = getattr(self, f"_{one.kind}")(one)
        return [np.array(self.value(signal)) for signal in self.network.outputs]

    def value(self, signal: Signal) -> np.ndarray:
        value = self.values[signal.root()]
        value = value if signal.root().ids else value.astype(self.network.dtype)
        return value.reshape(self.rows, *signal.shape)

    def used(self, mask: Mask | None) -> np.ndarray:
        if mask is None or mask.kind == "input":
            return np.ones(self.rows, bool)
        if mask.kind in ("and", "or"):
            combine = np.logical_and if mask.kind == "and" else np.logical_or
            return combine.reduce([self.used(part) for part in mask.masks])
        flat = self.value(mask.signals[0]).reshape(self.rows, -1)
        return (flat != (0 if mask.kind == "ids" else flat.dtype.type(mask.value))).any(axis=1)

    def _recurrent(self, one: Operation) -> np.ndarray:
        assert one.unit is not None
        output, states = self.units[one.unit].step(self.value(one.inputs[0]), self.states[one], self.fixed)
        used = self.used(one.used)
        for place, new in zip([self.held[one], *self.states[one]], [output, *states], strict=True):
            place[used] = new[used]
        return np.where(_spread(used, output), output, 0) if one.zeros else self.held[one].copy()

    def _masking(self, one: Operation) -> np.ndarray:
        x = self.value(one.inputs[0])
        return np.where(_spread(self.used(one.used), x), x, 0)

    def _lookup(self, one: Operation) -> np.ndarray:
        return self.network.tables[one.table][self.value(one.inputs[0]).astype(np.intp)]

    def _function(self, one: Operation) -> np.ndarray:
        assert one.unit is not None
        shapes = [(self.rows, *(1,) * signal.in_time, *signal.shape) for signal in one.inputs]
        if one.kind == "memoryless":
            shapes = [(-1, shapes[0][-1])]
        x, *others = (self.value(signal).reshape(shape) for signal, shape in zip(one.inputs, shapes, strict=True))
        given = {("constant", i): array for i, array in enumerate(others)}
        made = self.units[one.unit]
        return made.step(x, made.initial(len(x)), given)[0].reshape(self.rows, *one.output.shape)

    _memoryless = _function


def _spread(used: np.ndarray, array: np.ndarray) -> np.ndarray:
    return used.reshape(-1, *(1,) * (array.ndim - 1))


class _UnitInNumPy:
    """The graph of a unit, with weights rounded if asked for."""

    def __init__(self, unit: Unit, int8: bool):
        self.unit = unit
        weights = all_expanded(unit.step.cell._all_weights())
        self.inputs: dict[tuple, np.ndarray] = {
            ("weight", name): np.asarray(array, unit.dtype) for name, array in weights.items()
        }
        graph = rebuilt(unit.graph, [self._rounded]) if int8 else unit.graph
        self.nodes = [graph.output, *graph.states]

    def _rounded(self, graph: Graph, node, args):
        if node.op != "product":
            return None
        values = evaluate([node.args[1]], self.inputs, self.unit.dtype)
        integers, scale = to_int8(np.asarray(values[node.args[1].id], self.unit.dtype))
        return graph.again(node, (args[0], graph.literal(integers * scale)))

    def initial(self, rows: int) -> list[np.ndarray]:
        shapes = self.unit.step.state_shapes
        return [
            np.broadcast_to(start.reshape(shape), (rows, *shape)).copy()
            for start, shape in zip(self.unit.initial, shapes, strict=True)
        ]

    def step(self, x, states, constants) -> tuple[np.ndarray, list[np.ndarray]]:
        inputs = {**self.inputs, ("x", None): x, **constants}
        inputs |= {("state", i): state for i, state in enumerate(states)}
        with np.errstate(all="ignore"):
            values = evaluate(self.nodes, inputs, self.unit.dtype)
        output, *new = (
            np.broadcast_to(values[node.id], (len(x), *node.shape)).astype(self.unit.dtype) for node in self.nodes
        )
        return output, new
