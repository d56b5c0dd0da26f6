"""Export of recurrent layers: as a loop along time, or as ONNX's operators LSTM, GRU and RNN."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rnnkit import activations
from rnnkit.cells import GRUCell, LSTMCell, SimpleRNNCell
from rnnkit.layers.bidirectional import MERGES, Bidirectional
from rnnkit.layers.rnn import RNN
from rnnkit.onnx.exporting.block import Block, Value
from rnnkit.onnx.exporting.call import Call, Writing, array_of, written
from rnnkit.onnx.exporting.loop import Loop, scan
from rnnkit.onnx.exporting.step_graph import StepGraph
from rnnkit.onnx.exporting.whole_arrays import by_function
from rnnkit.onnx.format.recurrent import ACTIVATIONS, GATES, reordered
from rnnkit.steps.step import leaves
from rnnkit.stored_weights import expanded


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


# By function; softplus is left out, as it overflows in ONNX Runtime.
_KNOWN = {activations.ACTIVATIONS[name]: known for name, known in ACTIVATIONS.items() if name != "softplus"}


@dataclass(frozen=True)
class _Kind:
    """An operator, and its cell's activations: of the gates, of the values."""

    name: str
    activations: tuple[str, ...]


_KINDS = {
    SimpleRNNCell: _Kind("RNN", ("activation",)),
    GRUCell: _Kind("GRU", ("recurrent_activation", "activation")),
    LSTMCell: _Kind("LSTM", ("recurrent_activation", "activation", "activation")),
}


def has_operator(cell, dtype) -> bool:
    """Return whether a cell is one of ONNX's; ONNX Runtime computes these in float32 only."""
    kind = _KINDS.get(type(cell))
    return (
        kind is not None
        and np.dtype(dtype) == np.float32
        and all(getattr(cell, name) in _KNOWN for name in kind.activations)
    )


def operator(block: Block, cell, loop: Loop) -> tuple[Value, list[Value]]:
    """Write a cell's loop without a mask as one operator, as `loop.scan`; by default it starts from zeros."""
    kind, units, x = _KINDS[type(cell)], cell.units, loop.x
    functions = [_KNOWN[getattr(cell, name)] for name in kind.activations]
    attributes: dict[str, Any] = {
        "hidden_size": units,
        "direction": "reverse" if loop.reverse else "forward",
        "activations": [name for name, _ in functions],
    }
    for option in ("alpha", "beta"):  # of activations with options, in order
        if values := [options[option] for _, options in functions if option in options]:
            attributes[f"activation_{option}"] = values
    if kind.name == "GRU":
        attributes["linear_before_reset"] = int(cell.reset_after)
    first = block.integers(0)
    given = ["", *(block.add("Unsqueeze", state.name, first) for state in loop.states)] if loop.states else []
    operands = [block.swapped(x.name, 3), *_weights(block, cell, kind), *given]
    names = ["sequence", *["state"] * len(cell._states().shapes)]
    sequence, *finals = block.several(kind.name, operands, names, **attributes)
    states = [Value(block.add("Squeeze", final, first), (x.shape[0], units), x.dtype) for final in finals]
    if not loop.sequences:
        return states[0], states
    sequence = block.swapped(block.add("Squeeze", sequence, block.integers(1)), 3)
    if loop.reverse != loop.flipped:  # the operator's sequence is in the order of x
        sequence = block.reversed(sequence, 1)
    return Value(sequence, (*x.shape[:2], units), x.dtype), states


def _weights(block: Block, cell, kind: _Kind) -> list[str]:
    """Return the kernels ``(1, gates * units, …)`` and both biases ``(1, 2 * gates * units)``."""
    ordered = lambda array: reordered(array, GATES[kind.name], cell.units)
    kernels = [
        block.weight(ordered(expanded(getattr(cell, name))).T[None], name) for name in ("kernel", "recurrent_kernel")
    ]
    if not cell.use_bias:
        return [*kernels, ""]
    bias = np.asarray(cell.bias)
    both = bias if bias.ndim == 2 else np.stack([bias, np.zeros_like(bias)])
    return [*kernels, block.weight(ordered(both).reshape(1, -1), "bias")]
