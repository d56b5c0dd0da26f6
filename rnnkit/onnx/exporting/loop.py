"""Steps along time as ONNX's Scan, with a body written from the step's graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rnnkit.compiler.ir.graph import Graph
from rnnkit.compiler.ir.kinds import dtype_of
from rnnkit.onnx.exporting.block import Block, Value, of_rows
from rnnkit.onnx.exporting.step_graph import StepGraph
from rnnkit.onnx.exporting.step_nodes import StepNodes


@dataclass
class Loop:
    """The arguments of a loop."""

    x: Value  # (batch, time, *features)
    states: list[Value]  # the initial ones, (batch, *state)
    mask: Value | None = None  # conditions (batch, time)
    constants: tuple[Value, ...] = ()  # (batch, …)
    reverse: bool = False  # from the last step to the first
    flipped: bool = False  # outputs against the order of processing
    zero_masked: bool = False  # zeros at masked steps rather than the held output
    sequences: bool = True  # outputs of all steps rather than the last


def scan(block: Block, step: StepGraph, loop: Loop) -> tuple[Value, list[Value]]:
    """Write the loop; return its output, all steps or the last, and the states after it."""
    return _Writer(block, step, loop).written()


class _Writer:
    def __init__(self, block: Block, step: StepGraph, loop: Loop):
        self.block, self.step, self.loop, self.graph = block, step, loop, step.graph
        self.body = Block(block)
        self.rows = block.sizes(loop.x.name, 0, 1)
        self.entering: list[tuple[str, str]] = []  # a sequence (time, batch, …) and its name in the body
        self.declared: list = []  # the body's inputs

    def written(self):
        loop, output, states = self.loop, self.graph.output, self.graph.states
        carried = [*loop.states, *([self._zeros(output.shape)] if self.holds else [])]
        inside = [self._declared(f"{value.name}_t", value.shape[1:], value.dtype) for value in carried]
        used = None
        if loop.mask is not None:
            used = self._enters(self.block.swapped(loop.mask.name, 2), "used", (), "bool")
        nodes = self._step_nodes(inside, used)
        new = [nodes.result(node, "new_state") for node in states]
        y = nodes.result(output, "output_t")
        held, shown = y, y
        if used is not None:
            new = [
                self.body.chosen(used, a, b, len(node.shape)) for a, b, node in zip(new, inside, states, strict=False)
            ]
            if self.holds:
                held = shown = self.body.chosen(used, y, inside[-1], len(output.shape))
            if loop.zero_masked and loop.sequences:
                shown = self.body.chosen(used, y, self.body.number(0, self.step.dtype), len(output.shape))
        results = [*new, *([held] if self.holds else [])]
        if loop.sequences:
            results.append(self.body.add("Identity", shown, name="shown"))
        return self._results(self._scan_node(carried, results))

    @property
    def holds(self) -> bool:
        """Whether the last output passes from step to step."""
        return not self.loop.sequences or (self.loop.mask is not None and not self.loop.zero_masked)

    def _zeros(self, shape) -> Value:
        zeros = self.block.repeated(self.block.number(0, self.step.dtype), self.rows, shape, "held")
        return Value(zeros, (None, *shape), self.step.dtype)

    def _step_nodes(self, states, used) -> StepNodes:
        """Return the writer of the body's nodes, with the values that are computed outside."""
        given = {("state", i): name for i, name in enumerate(states)}
        given |= {("constant", i): value.name for i, value in enumerate(self.loop.constants)}
        nodes = StepNodes(self.body, self.step, given, self.rows, used=used)
        x, rank = self.loop.x, len(self.loop.x.shape)
        swapped = self.block.swapped(x.name, rank)
        outside = StepNodes(self.block, self.step, {("x", None): swapped}, self.block.sizes(swapped, 0, 2), axes=2)
        entering = _computed_from_x(self.graph)
        outside.write(entering)
        for node in entering:
            nodes.names[node.id] = self._enters(outside.names[node.id], self.step.label(node), node.shape, node.kind)
        if not entering and self.loop.mask is None:
            self._enters(swapped, "x", x.shape[2:])  # for its length alone
        once = StepNodes(self.block, self.step, given, self.rows)
        once.write([node for node in self.step.live if node.depends == {"constant"}])
        nodes.names |= once.names
        return nodes

    def _enters(self, sequence: str, name: str, shape, kind="float") -> str:
        inside = self._declared(f"{name}_t", shape, dtype_of(kind, self.step.dtype))
        self.entering.append((sequence, inside))
        return inside

    def _declared(self, name: str, shape, dtype) -> str:
        name = self.body.named(name)
        self.declared.append(of_rows(name, shape, dtype))
        return name

    def _scan_node(self, carried, results) -> list[str]:
        from onnx import helper

        shapes = [*(value.shape[1:] for value in carried), self.graph.output.shape]
        outputs = [of_rows(name, shape, self.step.dtype) for name, shape in zip(results, shapes, strict=False)]
        body = helper.make_graph(self.body.nodes, self.step.name, self.declared, outputs)
        operands = [*(value.name for value in carried), *(sequence for sequence, _ in self.entering)]
        names = [*["state"] * len(self.graph.states), *["last"] * self.holds, *["sequence"] * self.loop.sequences]
        count = len(self.entering)
        directions: dict[str, Any] = {"scan_input_directions": [int(self.loop.reverse)] * count}
        if self.loop.sequences:
            directions["scan_output_directions"] = [int(self.loop.flipped)]
        return self.block.several("Scan", operands, names, body=body, num_scan_inputs=count, **directions)

    def _results(self, names) -> tuple[Value, list[Value]]:
        dtype, (batch, time), shape = self.step.dtype, self.loop.x.shape[:2], self.graph.output.shape
        finals = [Value(name, (batch, *s.shape), dtype) for name, s in zip(names, self.graph.states, strict=False)]
        if self.loop.sequences:
            return Value(self.block.swapped(names[-1], 2 + len(shape)), (batch, time, *shape), dtype), finals
        return Value(names[-1], (batch, *shape), dtype), finals


def _computed_from_x(graph: Graph) -> list:
    """Return the values that enter the body at each step: products with x alone, computed at once, and x if it is read.

    Other values of x alone stay inside: they are cheap, and may be larger than x.
    """
    live = graph.live()
    outside = graph.under([node for node in live if node.op == "product" and node.depends == {"x"}])
    outside |= {node.id for node in live if node.op == "x"}
    read = {a.id for node in live if node.id not in outside for a in node.args}
    read |= {node.id for node in (graph.output, *graph.states)}
    return [node for node in live if node.batched and node.id in outside and node.id in read]
