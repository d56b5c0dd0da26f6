"""Export of recurrent layers: the loop along time, initial states, and both directions."""

from __future__ import annotations

from dataclasses import replace

from rnnkit.layers.bidirectional import MERGES, Bidirectional
from rnnkit.layers.rnn import RNN
from rnnkit.onnx.exporting.block import Block, Value
from rnnkit.onnx.exporting.call import Call, Writing, array_of, written
from rnnkit.onnx.exporting.loop import Loop, scan
from rnnkit.onnx.exporting.operators import has_operator, operator
from rnnkit.onnx.exporting.step_graph import StepGraph
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
    loop = Loop(
        x,
        starts or [],
        None if call.mask is None else writing.step_mask(call.mask, x),
        tuple(block.cast(constant, layer.dtype) for constant in call.constants),
        layer.go_backwards,
        flipped,
        zero_masked,
        layer.return_sequences,
    )
    cells = [cell for _, cell in leaves(layer.cell)]
    if loop.mask is None and all(has_operator(cell, layer.dtype) for cell in cells) and not _draws(step, call):
        return _through(block, cells, loop)
    shapes = tuple(value.shape[1:] for value in loop.constants)
    if any(not isinstance(size, int) for shape in shapes for size in shape):
        raise ValueError(
            f"the layer {layer.name!r} can't be exported to ONNX: its constants have axes of open size, {shapes}; give "
            "the Input that they come from its length"
        )
    graph = StepGraph(step, layer.dtype, shapes, call.training)
    return scan(block, graph, loop if starts else replace(loop, states=_own_states(block, step, loop.x)))


def _draws(step, call: Call) -> bool:
    return call.training and bool(step.used_draws((), True))


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
