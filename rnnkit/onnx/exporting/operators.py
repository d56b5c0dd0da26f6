"""Built-in cells as ONNX's operators LSTM, GRU and RNN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnkit import activations
from rnnkit.cells import GRUCell, LSTMCell, SimpleRNNCell
from rnnkit.onnx.exporting.block import Block, Value
from rnnkit.onnx.exporting.loop import Loop
from rnnkit.onnx.format.recurrent import ACTIVATIONS, GATES, reordered
from rnnkit.stored_weights import expanded

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
