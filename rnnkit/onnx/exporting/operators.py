"""The built-in cells as ONNX's own operators LSTM, GRU and RNN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnkit import activations
from rnnkit.cells import GRUCell, LSTMCell, SimpleRNNCell
from rnnkit.onnx.exporting.block import Block, Value
from rnnkit.onnx.exporting.loop import Loop
from rnnkit.stored_weights import expanded

# Activation functions that the operators know, with their alpha and beta; Softplus is left out, which overflows there.
_KNOWN: dict[Any, tuple[str, float, float]] = {
    activations.tanh: ("Tanh", 0.0, 0.0),
    activations.sigmoid: ("Sigmoid", 0.0, 0.0),
    activations.relu: ("Relu", 0.0, 0.0),
    activations.linear: ("Affine", 1.0, 0.0),
    activations.leaky_relu: ("LeakyRelu", 0.2, 0.0),
    activations.hard_sigmoid: ("HardSigmoid", 1 / 6, 0.5),
    activations.elu: ("Elu", 1.0, 0.0),
    activations.softsign: ("Softsign", 0.0, 0.0),
}


@dataclass(frozen=True)
class _Kind:
    """An operator, the order of its gates among the cell's, and its cell's activations: of the gates, of the values."""

    name: str
    gates: tuple[int, ...]
    activations: tuple[str, ...]


_KINDS = {
    SimpleRNNCell: _Kind("RNN", (0,), ("activation",)),
    GRUCell: _Kind("GRU", (0, 1, 2), ("recurrent_activation", "activation")),
    LSTMCell: _Kind("LSTM", (0, 3, 1, 2), ("recurrent_activation", "activation", "activation")),
}


def has_operator(cell, dtype) -> bool:
    """Whether a cell is one of ONNX's; ONNX Runtime computes these in float32 alone."""
    kind = _KINDS.get(type(cell))
    return (
        kind is not None
        and np.dtype(dtype) == np.float32
        and all(getattr(cell, name) in _KNOWN for name in kind.activations)
    )


def operator(block: Block, cell, loop: Loop) -> tuple[Value, list[Value]]:
    """Write a cell's loop without a mask as one operator; as `rnnkit.onnx.exporting.loop.scan`.

    Without states it starts from zeros.
    """
    kind, units, x = _KINDS[type(cell)], cell.units, loop.x
    functions = [_KNOWN[getattr(cell, name)] for name in kind.activations]
    attributes: dict[str, Any] = {
        "hidden_size": units,
        "direction": "reverse" if loop.reverse else "forward",
        "activations": [name for name, _, _ in functions],
        "activation_alpha": [alpha for _, alpha, _ in functions],
        "activation_beta": [beta for _, _, beta in functions],
    }
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
    """The kernels ``(1, gates * units, …)`` and both biases ``(1, 2 * gates * units)``."""
    order = [np.arange(gate * cell.units, (gate + 1) * cell.units) for gate in kind.gates]
    columns = np.concatenate(order)
    kernels = [
        block.weight(expanded(getattr(cell, name))[:, columns].T[None], name) for name in ("kernel", "recurrent_kernel")
    ]
    if not cell.use_bias:
        return [*kernels, ""]
    bias = np.asarray(cell.bias)
    both = bias if bias.ndim == 2 else np.stack([bias, np.zeros_like(bias)])
    return [*kernels, block.weight(both[:, columns].reshape(1, -1), "bias")]
