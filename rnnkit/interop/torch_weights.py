"""Correspondence of PyTorch's arrays with rnnkit's: orders of gates, two biases or one, transposed kernels."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from rnnkit.cells import GRUCell, LSTMCell, SimpleRNNCell

CELLS = {"rnn": SimpleRNNCell, "gru": GRUCell, "lstm": LSTMCell}
# Keras's gates by their index in PyTorch: z, r, h of r, z, n; i, f, g, o have the same order.
_GATES = {"rnn": [0], "gru": [1, 0, 2], "lstm": [0, 1, 2, 3]}


def from_torch_arrays(kind: str, arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Return kernel, recurrent kernel and bias of a cell, if it has one.

    Parameters
    ----------
    kind : {"rnn", "gru", "lstm"}
    arrays : dict of str to ndarray
        ``weight_ih`` (k*H, F), ``weight_hh`` (k*H, H), and with a bias ``bias_ih`` and ``bias_hh`` (k*H,).

    Examples
    --------
    >>> arrays = {"weight_ih": [[1.0], [2.0], [3.0]], "weight_hh": [[4.0], [5.0], [6.0]]}
    >>> [array.tolist() for array in from_torch_arrays("gru", arrays)]
    [[[2.0, 1.0, 3.0]], [[5.0, 4.0, 6.0]]]
    """
    found = [_ordered(arrays[name], kind).T for name in ("weight_ih", "weight_hh")]
    if "bias_ih" in arrays:
        biases = [_ordered(arrays[name], kind) for name in ("bias_ih", "bias_hh")]
        found.append(np.stack(biases) if kind == "gru" else biases[0] + biases[1])
    return found


def to_torch_arrays(kind: str, weights: Iterable[np.ndarray]) -> dict[str, np.ndarray]:
    """Invert `from_torch_arrays`; for a single bias, PyTorch's second one is 0.

    Examples
    --------
    >>> import numpy as np
    >>> arrays = to_torch_arrays("rnn", [np.ones((3, 2)), np.ones((2, 2)), np.ones(2)])
    >>> arrays["weight_ih"].shape, arrays["bias_hh"].tolist()
    ((2, 3), [0.0, 0.0])
    """
    kernel, recurrent, *biases = weights
    found = {"weight_ih": _ordered(kernel.T, kind), "weight_hh": _ordered(recurrent.T, kind)}
    for bias in biases:
        first, second = bias if kind == "gru" else (bias, np.zeros_like(bias))
        found |= {"bias_ih": _ordered(first, kind), "bias_hh": _ordered(second, kind)}
    return found


def _ordered(array, kind) -> np.ndarray:
    """Exchange the order of gates along the first axis, an operation that is its own inverse."""
    parts = np.split(np.asarray(array), len(_GATES[kind]))
    return np.concatenate([parts[place] for place in _GATES[kind]])
