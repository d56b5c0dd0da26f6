"""State dicts of PyTorch: their modules, from keys and shapes, and their arrays in rnnkit's layout and back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnnkit.cells import GRUCell, LSTMCell, SimpleRNNCell

CELLS = {"rnn": SimpleRNNCell, "gru": GRUCell, "lstm": LSTMCell}
# Keras's gates by their index in PyTorch: z, r, h of r, z, n; i, f, g, o have the same order.
_GATES = {"rnn": [0], "gru": [1, 0, 2], "lstm": [0, 1, 2, 3]}


def from_torch_arrays(kind: str, arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Return kernel, recurrent kernel and bias of a cell, if it has one.

    The arrays are ``weight_ih`` (k*H, F), ``weight_hh`` (k*H, H), and with a bias ``bias_ih`` and ``bias_hh`` (k*H,).

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


_KINDS = {1: "rnn", 3: "gru", 4: "lstm"}  # by the number of gates in the kernels' rows
_RECURRENT = re.compile(r"(weight|bias)_(ih|hh)(?:_l(\d+)(_reverse)?)?")
NAMES = ("rnn", "gru", "lstm", "linear", "embedding")


@dataclass
class Found:
    """The detected module and its arrays."""

    kind: str  # one of `NAMES`
    layers: list[list[dict[str, np.ndarray]]] = field(default_factory=list)  # by layer and direction, if recurrent
    arrays: dict[str, np.ndarray] = field(default_factory=dict)  # of the others, weight and perhaps bias


def read_state(state: Mapping[str, Any], kind: str | None, prefix: str) -> Found:
    """Detect a state dict's module under a prefix; a ValueError for unknown keys or shapes, or another `kind`."""
    if kind is not None and kind not in NAMES:
        raise ValueError(f"expected kind to be one of {', '.join(NAMES)}, got {kind!r}")
    if not all(isinstance(key, str) for key in state):
        raise ValueError("expected a state dict, from names to arrays")
    inside = {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}
    if not inside or any("." in key for key in inside):
        prefixes = sorted({key.rpartition(".")[0] + "." for key in state if "." in key})
        raise ValueError(f"expected the arrays of one module under the prefix {prefix!r}; prefixes are {prefixes}")
    arrays = {key: as_array(value, prefix + key) for key, value in inside.items()}
    if len({array.dtype for array in arrays.values()}) > 1:
        raise ValueError("expected arrays of one dtype in the state dict")
    if any("weight_hr" in key for key in arrays):
        raise ValueError("expected an LSTM without projections; proj_size is an option that rnnkit hasn't")
    if set(arrays) <= {"weight", "bias"} and "weight" in arrays:
        return _simple(arrays, kind)
    return _recurrent(arrays, kind)


def as_array(value, name: str) -> np.ndarray:
    """Return a tensor or an array as an array; a ValueError for a dtype other than float32 and float64."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        if str(value.dtype) not in ("torch.float32", "torch.float64"):
            raise _precision(name, value.dtype)
        value = value.numpy()
    array = np.asarray(value)
    if array.dtype not in (np.float32, np.float64):
        raise _precision(name, array.dtype)
    return array


def _precision(name, dtype) -> ValueError:
    return ValueError(f"expected {name!r} of float32 or float64, got {dtype}; convert the module first, module.float()")


def _simple(arrays, kind) -> Found:
    weight, bias = arrays["weight"], arrays.get("bias")
    if kind is None and bias is None:
        raise ValueError("expected kind='linear' or kind='embedding' for a state dict with a weight alone")
    kind = kind or "linear"
    if kind not in ("linear", "embedding") or (kind == "embedding" and bias is not None):
        raise ValueError(f"expected the arrays of a module {kind!r}, got {', '.join(arrays)}")
    if weight.ndim != 2 or (bias is not None and bias.shape != weight.shape[:1]):
        raise ValueError(f"expected weight (out, in) and bias (out,), got {[a.shape for a in arrays.values()]}")
    return Found(kind, arrays=arrays)


def _recurrent(arrays, kind) -> Found:
    parts: dict[tuple[int, int], dict[str, np.ndarray]] = {}
    for key, array in arrays.items():
        match = _RECURRENT.fullmatch(key)
        if match is None:
            raise ValueError(f"expected arrays of an RNN, LSTM, GRU, Linear or Embedding module, got {key!r} too")
        what, side, number, reverse = match.groups()
        parts.setdefault((int(number or 0), int(reverse is not None)), {})[f"{what}_{side}"] = array
    count, directions = (1 + max(place[axis] for place in parts) for axis in (0, 1))
    if len(parts) < count * directions:
        missing = next((i, j) for i in range(count) for j in range(directions) if (i, j) not in parts)
        raise ValueError(f"expected arrays of layer {missing[0]}{' in reverse' * missing[1]} too, got {list(arrays)}")
    layers = [[parts[i, j] for j in range(directions)] for i in range(count)]
    found = _kind(layers[0][0], kind)
    _check(layers, found)
    return Found(found, layers)


def _kind(first, wanted) -> str:
    """Return the module of a layer's kernels, by the number of gates."""
    recurrent = first.get("weight_hh", np.zeros(0))
    rows, units = recurrent.shape if recurrent.ndim == 2 else (0, 0)
    found = _KINDS.get(rows // units) if units else None
    if found is None or (wanted is not None and wanted != found):
        told = wanted or "rnn, gru or lstm"
        raise ValueError(f"expected arrays of a module {told}; weight_hh is of shape {recurrent.shape}")
    return found


def _check(layers, kind) -> None:
    first = layers[0][0]
    rows, units = first["weight_hh"].shape
    names = ["weight_ih", "weight_hh", *(["bias_ih", "bias_hh"] if {"bias_ih", "bias_hh"} & set(first) else [])]
    features = first.get("weight_ih", np.zeros((1, 1))).shape[-1]
    for i, layer in enumerate(layers):
        shapes = {"weight_ih": (rows, features), "weight_hh": (rows, units), "bias_ih": (rows,), "bias_hh": (rows,)}
        for part in layer:
            got = {name: array.shape for name, array in part.items()}
            if got != (wanted := {name: shapes[name] for name in names}):
                raise ValueError(f"expected arrays of layer {i} of a module {kind} of shapes {wanted}, got {got}")
        features = units * len(layer)
