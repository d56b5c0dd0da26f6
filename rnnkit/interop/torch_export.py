"""Conversion of rnnkit's layers and models to modules of PyTorch."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from rnnkit.activations import activation_name
from rnnkit.cells.stacked import StackedRNNCells
from rnnkit.interop import torch_modules
from rnnkit.interop.torch_import import ACTIVATIONS, CELLS, to_torch_arrays
from rnnkit.layers.base import Layer
from rnnkit.layers.bidirectional import Bidirectional
from rnnkit.layers.dense import Dense, Dropout
from rnnkit.layers.embedding import Embedding
from rnnkit.layers.memoryless import Activation
from rnnkit.layers.rnn import RNN
from rnnkit.layers.shaping import Flatten
from rnnkit.layers.support.facts import keeps_states
from rnnkit.layers.time_distributed import TimeDistributed
from rnnkit.models.sequential import Sequential

_KINDS = {cell: kind for kind, cell in CELLS.items()}
_BY_ACTIVATION = {activation: (module, options) for module, (activation, options) in ACTIVATIONS.items()}
_ELSEWHERE = "export the model with rk.onnx.export or rk.export_c"
_EVERYWHERE = {"Softplus": {"threshold": 40.0}}  # returns x beyond the threshold, which is exact from 37 on


def to_torch(layer: Layer) -> Any:
    """Convert a layer or a `Sequential` to a module of PyTorch, with its weights.

    Parameters
    ----------
    layer : Layer
        Built; of SimpleRNN, GRU and LSTM cells, `Dense`, `Embedding`, `Dropout`, `Activation`, `Flatten`.

    Returns
    -------
    torch.nn.Module
        An ``nn.RNN``, ``nn.GRU`` or ``nn.LSTM`` with ``batch_first=True`` for a recurrent layer, a `Bidirectional` that
        concatenates, a stack of equal cells, and a `Sequential` of equal recurrent layers alone and the dropout
        between them; it returns outputs of all steps and states, as in PyTorch. Any other `Sequential` is an
        ``nn.Sequential``, in which recurrent modules give their outputs alone, of all steps or the last one.

    Raises
    ------
    ValueError
        For features that PyTorch lacks: ``GRU(reset_after=False)``, other activations in a cell, dropout inside of it,
        ``go_backwards``, ``stateful``, masks that layers make, custom cells.
    ImportError
        If PyTorch isn't installed.

    Notes
    -----
    PyTorch has no masks. For sequences of several lengths, pack them: ``pack_padded_sequence(x, lengths,
    batch_first=True, enforce_sorted=False)``. Regularizers, constraints and initializers are dropped, as PyTorch has
    no such options; a layer with ``trainable=False`` has parameters that require no gradient.

    Examples
    --------
    ::

        module = rk.interop.to_torch(layer)
        outputs, (h, c) = module(torch.from_numpy(x))
    """
    if not isinstance(layer, Layer):
        raise TypeError(f"expected a layer or a model of rnnkit, got {layer!r}")
    if not layer.built and not (isinstance(layer, Sequential) and all(one.built for one in layer.layers)):
        raise ValueError(f"expected the layer {layer.name!r} to be built; call build(input_shape) or the layer first")
    try:
        import torch
    except ImportError:
        raise ImportError("to_torch needs PyTorch; install it with: pip install torch") from None
    writer = _Writer(torch)
    stack = _stack(layer)
    return writer.recurrent(stack) if stack is not None else writer.module(layer)


class _Stack:
    """Consecutive equal recurrent layers, and the dropout between them."""

    def __init__(self, layers, dropout=0.0):
        self.layers, self.dropout = layers, dropout
        self.cells = [cell for layer in layers for cell in _cells(layer)]
        self.both = isinstance(layers[0], Bidirectional)

    def equal(self) -> bool:
        """Return whether one module of PyTorch can represent all of them."""
        settings = {(type(cell), cell.units, cell.use_bias, _nonlinearity(cell)) for cell in self.cells}
        modes = {layer.merge_mode for layer in self.layers if isinstance(layer, Bidirectional)}
        kinds = {isinstance(layer, Bidirectional) for layer in self.layers}
        return len(settings) == 1 and len(kinds) == 1 and modes <= {"concat"}


def _stack(layer) -> _Stack | None:
    """Return the stack of a layer or a model, or None for others."""
    if isinstance(layer, (RNN, Bidirectional)):
        stack = _Stack([layer])
        return stack if stack.equal() else None
    layers = layer.layers if isinstance(layer, Sequential) else []
    recurrent = [one for one in layers if isinstance(one, (RNN, Bidirectional))]
    between = [one for one in layers if isinstance(one, Dropout)]
    if not recurrent or len(recurrent) + len(between) != len(layers):
        return None
    steps = [type(one) is Dropout for one in layers]
    alternating = all(a != b for a, b in pairwise(steps)) and not steps[0] and not steps[-1]
    if (between and not alternating) or len({one.rate for one in between}) > 1:
        return None
    if any(isinstance(one, Bidirectional) or type(one.cell) is not StackedRNNCells for one in recurrent):
        stack = _Stack(recurrent, between[0].rate if between else 0.0)
        singles = len(stack.cells) == len(recurrent) * (1 + stack.both)
        return stack if singles and stack.equal() and all(one.return_sequences for one in recurrent[:-1]) else None
    return None


def _cells(layer) -> list:
    """Return the cells of a recurrent layer; a ValueError for those that PyTorch lacks."""
    if isinstance(layer, Bidirectional):
        cells = [cell for side in (layer.forward_layer, layer.backward_layer) for cell in _cells(side)]
        if len(cells) > 2:
            raise _missing(layer, "a stack of cells", "put a Bidirectional layer on another one")
        return cells
    if keeps_states(layer):
        raise _missing(layer, "stateful=True", "hand the states that it returns to the next call")
    own: list = layer.cell.cells if type(layer.cell) is StackedRNNCells else [layer.cell]
    for cell in own:
        if type(cell) not in _KINDS:
            raise _missing(cell, "a cell of one's own", _ELSEWHERE)
        if cell.dropout or cell.recurrent_dropout:
            raise _missing(cell, "dropout inside a cell", "put a Dropout between layers")
        if not getattr(cell, "reset_after", True):
            raise _missing(cell, "reset_after=False", "its GRU applies the reset gate after the product")
        names = {"activation": "tanh", "recurrent_activation": "sigmoid"}
        for name in names if _KINDS[type(cell)] != "rnn" else ():
            if (found := activation_name(getattr(cell, name))) != names[name]:
                raise _missing(cell, f"{name}={found!r}", f"its cells have {names[name]}")
        if _KINDS[type(cell)] == "rnn" and _nonlinearity(cell) not in ("tanh", "relu"):
            raise _missing(cell, f"activation={_nonlinearity(cell)!r}", "its RNN has tanh and relu")
    return list(own)


def _nonlinearity(cell) -> str:
    return activation_name(cell.activation)


def _missing(one, option, instead) -> ValueError:
    return ValueError(f"expected what PyTorch has, got {one!r} with {option}: {instead}")


class _Writer:
    def __init__(self, torch):
        self._torch, self._nn = torch, torch.nn

    def module(self, layer: Layer) -> Any:
        """Return the module of a layer; a recurrent one returns its outputs alone."""
        if isinstance(layer, Sequential):
            return self._trainable(self._nn.Sequential(*[self.module(one) for one in layer.layers]), layer)
        if isinstance(layer, (RNN, Bidirectional)):
            return self._one_output(layer)
        return self._trainable(self._memoryless(layer), layer)

    def recurrent(self, stack: _Stack) -> Any:
        """Return one module for equal layers."""
        for layer in stack.layers:
            if (layer.forward_layer if stack.both else layer).go_backwards:
                raise _missing(layer, "go_backwards=True", "reverse the sequences, x.flip(1), or use a Bidirectional")
        cell, count = stack.cells[0], len(stack.cells) // (1 + stack.both)
        kind = _KINDS[type(cell)]
        options: dict[str, Any] = {"nonlinearity": _nonlinearity(cell)} if kind == "rnn" else {}
        kernel = cell.weights["kernel"]
        options |= {"bias": cell.use_bias, "batch_first": True, "bidirectional": stack.both}
        options |= {"dropout": stack.dropout if count > 1 else 0.0, "dtype": self._dtype(kernel)}
        module = getattr(self._nn, kind.upper())(kernel.shape[0], cell.units, count, **options)
        arrays: dict[str, np.ndarray] = {}
        for i, own in enumerate(stack.cells):
            suffix = f"_l{i // 2}{'_reverse' * (i % 2)}" if stack.both else f"_l{i}"
            arrays |= {f"{n}{suffix}": a for n, a in to_torch_arrays(kind, own.weights.values()).items()}
        self._load(module, arrays)
        frozen = [not layer.trainable for layer in stack.layers for _ in _cells(layer)]
        for name, parameter in module.named_parameters():
            i = int(name.removesuffix("_reverse").rpartition("_l")[2])
            parameter.requires_grad_(not frozen[i * (1 + stack.both)])
        return module

    def _one_output(self, layer) -> Any:
        if layer.return_state:
            raise _missing(layer, "return_state=True in a Sequential", "nn.Sequential hands one tensor on")
        merge = layer.merge_mode if isinstance(layer, Bidirectional) else "concat"
        if merge is None:
            raise _missing(layer, "merge_mode=None", "nn.Sequential hands one tensor on")
        stack = _Stack([layer])
        if not stack.equal() and merge == "concat":
            raise _missing(layer, "cells that differ", "give each a layer of its own")
        return torch_modules.OneOutput(self.recurrent(stack), layer.return_sequences, merge)

    def _memoryless(self, layer) -> Any:
        if isinstance(layer, TimeDistributed) and isinstance(layer.layer, (Dense, Activation, Dropout)):
            return self.module(layer.layer)
        if type(layer) is Dense:
            return self._dense(layer)
        if type(layer) is Embedding:
            if layer.mask_zero:
                instead = "make the layer without it, and pack sequences by their lengths"
                raise _missing(layer, "mask_zero=True", instead)
            (table,) = layer.get_weights()
            module = self._nn.Embedding(*table.shape, dtype=self._dtype(table))
            return self._load(module, {"weight": table})
        if type(layer) is Dropout:
            return self._nn.Dropout(layer.rate)
        if type(layer) is Flatten:
            return self._nn.Flatten()
        if type(layer) is Activation:
            return self._activation(layer.activation, layer)
        raise _missing(layer, f"the class {type(layer).__name__}", _ELSEWHERE)

    def _dense(self, layer) -> Any:
        kernel, *bias = layer.get_weights()
        module = self._nn.Linear(*kernel.shape, bias=layer.use_bias, dtype=self._dtype(kernel))
        self._load(module, {"weight": kernel.T, **dict(zip(("bias",), bias, strict=False))})
        if activation_name(layer.activation) == "linear":
            return module
        return self._nn.Sequential(module, self._activation(layer.activation, layer))

    def _activation(self, function, layer) -> Any:
        name = activation_name(function)
        if name not in _BY_ACTIVATION:
            raise _missing(layer, f"activation={name!r}", _ELSEWHERE)
        module, options = _BY_ACTIVATION[name]
        return getattr(self._nn, module)(**options, **_EVERYWHERE.get(module, {}))

    def _load(self, module, arrays) -> Any:
        state = {name: self._torch.from_numpy(np.array(array, order="C")) for name, array in arrays.items()}
        module.load_state_dict(state)
        return module

    def _dtype(self, array) -> Any:
        return getattr(self._torch, array.dtype.name)

    @staticmethod
    def _trainable(module, layer) -> Any:
        return module if layer.trainable else module.requires_grad_(False)
