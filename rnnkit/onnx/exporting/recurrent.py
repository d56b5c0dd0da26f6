"""Export of recurrent layers: as a loop along time, or as ONNX's operators LSTM, GRU and RNN."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rnnkit import activations
from rnnkit.cells import GRUCell, LSTMCell, SimpleRNNCell
from rnnkit.compiler.ir.graph import Graph
from rnnkit.compiler.ir.kinds import dtype_of
from rnnkit.layers.bidirectional import MERGES, Bidirectional
from rnnkit.layers.rnn import RNN
from rnnkit.onnx.exporting.block import Block, Value, of_rows
from rnnkit.onnx.exporting.call import Call, Writing, array_of, written
from rnnkit.onnx.exporting.package import ACTIVATIONS, GATES, reordered
from rnnkit.onnx.exporting.step_nodes import StepGraph, StepNodes
from rnnkit.onnx.exporting.whole_arrays import by_function
from rnnkit.steps.step import leaves


@written.register
def _rnn(layer: RNN, writing: Writing, call: Call):
    outputs = layer._execution.step.outputs
    if outputs is not None and not outputs.alone:  # of one array of complex numbers the pairs
        raise ValueError(f"expected layers of one output; {layer.name!r} gives several arrays at each step")
    starts = writing.starts(layer, call, layer._spec.shapes)
    output, states = _run(layer, writing, call, starts, zero_masked=layer.zero_output_for_mask)
    writing.ends(layer, call, states)
    mask = _mask_behind(layer, writing, call)
    return ([output, *states], [mask, *[None] * len(states)]) if layer.return_state else ([output], [mask])


@written.register
def _bidirectional(layer: Bidirectional, writing: Writing, call: Call):
    forward, backward = layer.forward_layer, layer.backward_layer
    first = len(forward._spec.shapes)
    starts = writing.starts(layer, call, forward._spec.shapes + backward._spec.shapes)
    parts = (None, None) if starts is None else (starts[:first], starts[first:])
    a, states = _run(forward, writing, call, parts[0], zero_masked=True)
    b, others = _run(backward, writing, call, parts[1], zero_masked=True, flipped=True)
    states = states + others
    writing.ends(layer, call, states)
    outputs = by_function(writing, layer, lambda a, b, weights: MERGES[layer.merge_mode](a, b)[0], [a, b])
    masks: list[Value | None] = [_mask_behind(forward, writing, call)] * len(outputs)
    return (outputs + states, masks + [None] * len(states)) if layer.return_state else (outputs, masks)


def _mask_behind(layer: RNN, writing: Writing, call: Call) -> Value | None:
    """Return the mask of the output, in the order of processing."""
    if not isinstance(call.mask, Value) or not layer.return_sequences:
        return None
    return replace(call.mask, name=writing.block.reversed(call.mask.name, 1)) if layer.go_backwards else call.mask


def _run(layer: RNN, writing: Writing, call: Call, starts, zero_masked: bool, flipped=False):
    """Write one direction; return its output, and the states after it."""
    block, step = writing.block, layer._execution.step
    x = array_of(writing, layer, call, 3)
    mask = None if call.mask is None else writing.step_mask(call.mask, x)
    constants = tuple(block.cast(constant, layer.dtype) for constant in call.constants)
    flags = layer.go_backwards, flipped, zero_masked, layer.return_sequences
    loop = Loop(x, starts or [], mask, constants, *flags)
    cells = [cell for _, cell in leaves(layer.cell)]
    plain = loop.mask is None and all(has_operator(cell, layer.dtype) for cell in cells)
    if plain and not (call.training and step.used_draws((), True)):
        return _through(block, cells, loop)
    shapes = tuple(value.shape[1:] for value in loop.constants)
    if any(not isinstance(size, int) for shape in shapes for size in shape):
        raise ValueError(
            f"the layer {layer.name!r} can't be exported to ONNX: its constants have axes of open size, {shapes}; give "
            "the Input that they come from its length"
        )
    graph = StepGraph(step, layer.dtype, shapes, call.training)
    return _Scan(block, graph, loop if starts else replace(loop, states=_own_states(block, step, loop.x))).written()


def _through(block: Block, cells, loop: Loop) -> tuple[Value, list[Value]]:
    """Write a stack's cells as operators, each over all steps of the one below."""
    ended: list[Value] = []
    for cell in cells:
        last = cell is cells[-1]
        own = loop.states[len(ended) : len(ended) + len(cell._states().shapes)]
        here = replace(loop, states=own, sequences=loop.sequences or not last)
        if not last:
            here = replace(here, flipped=loop.reverse)  # in the order of x, as the next cell reverses it, too
        output, states = operator(block, cell, here)
        loop, ended = replace(loop, x=output), ended + states
    return output, ended


def _own_states(block: Block, step, x: Value) -> list[Value]:
    """Return the initial states of a cell, the same for each row."""
    one, several = (step.initial_states(rows, x.dtype) for rows in (1, 3))
    if any((state != row).any() for row, state in zip(one, several, strict=True)):
        raise ValueError(
            f"{step.name!r} can't be exported to ONNX: its get_initial_state gives other states for other rows or "
            "batch sizes; export with states=True, which makes the first states inputs"
        )
    rows, found = block.sizes(x.name, 0, 1), []
    for state in one:
        shape = state.shape[1:]
        row = block.constant(state[0], "initial_state") if state.any() else block.number(0, x.dtype)
        found.append(Value(block.repeated(row, rows, shape, "start"), (x.shape[0], *shape), x.dtype))
    return found


# By function; softplus is left out, as it overflows in ONNX Runtime.
_KNOWN = {activations.ACTIVATIONS[name]: known for name, known in ACTIVATIONS.items() if name != "softplus"}


# Operators by their cells, with the cell's activations: of the gates, of the values.
_KINDS: dict[type, tuple[str, tuple[str, ...]]] = {
    SimpleRNNCell: ("RNN", ("activation",)),
    GRUCell: ("GRU", ("recurrent_activation", "activation")),
    LSTMCell: ("LSTM", ("recurrent_activation", "activation", "activation")),
}


def has_operator(cell, dtype) -> bool:
    """Return whether a cell is one of ONNX's; ONNX Runtime computes these in float32 only."""
    known = type(cell) in _KINDS and np.dtype(dtype) == np.float32
    return known and all(getattr(cell, name) in _KNOWN for name in _KINDS[type(cell)][1])


def operator(block: Block, cell, loop: Loop) -> tuple[Value, list[Value]]:
    """Write a cell's loop without a mask as one operator, as `_Scan`; by default it starts from zeros."""
    (kind, names), units, x = _KINDS[type(cell)], cell.units, loop.x
    functions = [_KNOWN[getattr(cell, name)] for name in names]
    attributes: dict[str, Any] = {
        "hidden_size": units,
        "direction": "reverse" if loop.reverse else "forward",
        "activations": [name for name, _ in functions],
    }
    for option in ("alpha", "beta"):  # of activations with options, in order
        if values := [options[option] for _, options in functions if option in options]:
            attributes[f"activation_{option}"] = values
    if kind == "GRU":
        attributes["linear_before_reset"] = int(cell.reset_after)
    first = block.integers(0)
    given = ["", *(block.add("Unsqueeze", state.name, first) for state in loop.states)] if loop.states else []
    operands = [block.swapped(x.name, 3), *_weights(block, cell, kind), *given]
    results = ["sequence", *["state"] * len(cell._states().shapes)]
    sequence, *finals = block.several(kind, operands, results, **attributes)
    states = [Value(block.add("Squeeze", final, first), (x.shape[0], units), x.dtype) for final in finals]
    if not loop.sequences:
        return states[0], states
    sequence = block.swapped(block.add("Squeeze", sequence, block.integers(1)), 3)
    if loop.reverse != loop.flipped:  # the operator's sequence is in the order of x
        sequence = block.reversed(sequence, 1)
    return Value(sequence, (*x.shape[:2], units), x.dtype), states


def _weights(block: Block, cell, kind: str) -> list[str]:
    """Return the kernels ``(1, gates * units, …)`` and both biases ``(1, 2 * gates * units)``."""
    ordered = lambda array: reordered(array, GATES[kind], cell.units)
    kernels = [block.weight(ordered(getattr(cell, name)).T[None], name) for name in ("kernel", "recurrent_kernel")]
    if not cell.use_bias:
        return [*kernels, ""]
    bias = np.asarray(cell.bias)
    both = bias if bias.ndim == 2 else np.stack([bias, np.zeros_like(bias)])
    return [*kernels, block.weight(ordered(both).reshape(1, -1), "bias")]


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


class _Scan:
    """A writer of a loop."""

    def __init__(self, block: Block, step: StepGraph, loop: Loop):
        self.block, self.step, self.loop, self.graph = block, step, loop, step.graph
        self.body = Block(block)
        self.rows = block.sizes(loop.x.name, 0, 1)
        self.entering: list[tuple[str, str]] = []  # a sequence (time, batch, …) and its name in the body
        self.declared: list = []  # the body's inputs

    def written(self) -> tuple[Value, list[Value]]:
        """Write the loop; return its output, all steps or the last, and the states after it."""
        loop, output, states = self.loop, self.graph.output, self.graph.states
        carried = list(loop.states)
        if self.holds:
            zeros = self.block.repeated(self.block.number(0, self.step.dtype), self.rows, output.shape, "held")
            carried.append(Value(zeros, (None, *output.shape), self.step.dtype))
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
