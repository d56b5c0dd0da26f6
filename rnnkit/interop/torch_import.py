"""Conversion of modules and state dicts of PyTorch to rnnkit's layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from rnnkit.interop.keras_weights import holders
from rnnkit.interop.torch_states import CELLS, Found, from_torch_arrays, read_state
from rnnkit.layers.base import Layer
from rnnkit.layers.bidirectional import Bidirectional
from rnnkit.layers.dense import Dense, Dropout
from rnnkit.layers.embedding import Embedding
from rnnkit.layers.memoryless import Activation
from rnnkit.layers.recurrent import GRU, LSTM, SimpleRNN
from rnnkit.layers.rnn import RNN
from rnnkit.layers.shaping import Flatten
from rnnkit.layers.support.symbolic import Input
from rnnkit.models.functional import Model
from rnnkit.models.sequential import Sequential

_LAYERS = {"rnn": SimpleRNN, "gru": GRU, "lstm": LSTM}
_RECURRENT = {"RNN": "rnn", "GRU": "gru", "LSTM": "lstm", "RNNCell": "rnn", "GRUCell": "gru", "LSTMCell": "lstm"}
# Modules of activations, and the options that rnnkit supports.
ACTIVATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "Identity": ("linear", {}), "Tanh": ("tanh", {}), "Sigmoid": ("sigmoid", {}), "ReLU": ("relu", {}),
    "ReLU6": ("relu6", {}), "LeakyReLU": ("leaky_relu", {"negative_slope": 0.2}), "ELU": ("elu", {"alpha": 1.0}),
    "SELU": ("selu", {}), "GELU": ("gelu", {"approximate": "none"}), "SiLU": ("silu", {}), "Mish": ("mish", {}),
    "Hardsigmoid": ("hard_sigmoid", {}), "Hardswish": ("hard_silu", {}), "Softplus": ("softplus", {"beta": 1.0}),
    "Softsign": ("softsign", {}), "LogSigmoid": ("log_sigmoid", {}), "Softmax": ("softmax", {"dim": -1}),
    "LogSoftmax": ("log_softmax", {"dim": -1}),
}  # fmt: skip


@dataclass(frozen=True)
class _Options:
    """Options of a module, or of the caller for a state dict."""

    return_sequences: bool
    return_state: bool
    initial_state: bool
    nonlinearity: str
    dropout: float
    mask_zero: bool | None
    name: str | None


def from_torch(
    source: Any,
    *,
    kind: str | None = None,
    prefix: str = "",
    return_sequences: bool = True,
    return_state: bool = False,
    initial_state: bool = False,
    nonlinearity: str = "tanh",
    dropout: float = 0.0,
    mask_zero: bool | None = None,
    name: str | None = None,
) -> Layer:
    """Convert a module or a state dict of PyTorch to a layer, with its weights.

    Parameters
    ----------
    source : torch.nn.Module or mapping of str to tensor or ndarray
        An ``nn.RNN``, ``nn.GRU`` or ``nn.LSTM``, one of their cells, ``nn.Linear``, ``nn.Embedding``, ``nn.Dropout``,
        ``nn.Flatten``, an activation, or an ``nn.Sequential`` of them; or the state dict of one recurrent, linear or
        embedding module. A state dict of NumPy arrays takes no PyTorch.
    kind : {"rnn", "gru", "lstm", "linear", "embedding"}, optional
        The module of a state dict, if its shapes are ambiguous.
    prefix : str
        A prefix of the keys of a state dict, as ``"encoder."``; other keys are left out.
    return_sequences : bool
        Return the outputs of all steps, as PyTorch does, or the last one.
    return_state : bool
        Return the final states too: ``(outputs, *states)``.
    initial_state : bool
        Of several layers that aren't a stack: make a `Model` whose inputs are x and the states of each, in the order
        in which they are returned. Other layers take ``initial_state`` in each call.
    nonlinearity : {"tanh", "relu"}
        Of an RNN, for its state dict.
    dropout : float
        Between the layers, for their state dict.
    mask_zero : bool, optional
        Whether id 0 of an embedding is masked for the layers after it. For a module with ``padding_idx``, which rnnkit
        hasn't, it has to be said.
    name : str, optional

    Returns
    -------
    Layer
        ``SimpleRNN``, ``GRU`` or ``LSTM``, in a `Bidirectional` where there are two directions. Several layers are a
        stack, an `RNN` of `StackedRNNCells`; with dropout between them or two directions a `Sequential`, and a `Model`
        if the states of each are to be returned, an output each.

    Raises
    ------
    ValueError
        For a module or an option that rnnkit hasn't (``proj_size``), or arrays that don't go together.

    Notes
    -----
    Arrays are always batch first here, regardless of ``batch_first``. A mask replaces a packed sequence:
    masked steps put out zeros, as ``pad_packed_sequence`` has them, and the final states are those after the last used
    step. Of the two biases of an RNN or LSTM rnnkit has the sum. A cell becomes a layer, which `Layer.stream` runs one
    step at a time. The layer's dtype is that of the arrays.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rng = np.random.default_rng(0)
    >>> state = {"weight_ih_l0": rng.normal(size=(12, 2)), "weight_hh_l0": rng.normal(size=(12, 3))}
    >>> layer = rk.interop.from_torch(state)
    >>> layer, layer(np.zeros((4, 5, 2))).shape
    (LSTM(3, use_bias=False, return_sequences=True, zero_output_for_mask=True), (4, 5, 3))
    """
    options = _Options(
        bool(return_sequences), bool(return_state), bool(initial_state), nonlinearity, dropout, mask_zero, name
    )
    if isinstance(source, Mapping):
        return _made(read_state(source, kind, prefix), options)
    if not hasattr(source, "state_dict") or not hasattr(source, "named_children"):
        raise TypeError(f"expected a module or a state dict of PyTorch, got {type(source).__name__}")
    if kind is not None or prefix:
        raise ValueError("expected kind and prefix for a state dict only, which says less than a module")
    return _of_module(source, options)


def _of_module(module, options: _Options) -> Layer:
    layer = _read_module(module, options)
    wanted = {bool(parameter.requires_grad) for parameter in module.parameters()}
    if len(wanted) > 1 and type(module).__name__ != "Sequential":
        raise ValueError(f"expected all parameters of {module!r} to require gradients, or none")
    layer.trainable = wanted != {False}
    return layer


def _read_module(module, options: _Options) -> Layer:
    kind = type(module).__name__
    if not type(module).__module__.startswith("torch.nn."):
        kind = f"{type(module).__module__}.{kind}"
    if kind == "Sequential":
        return _sequence(list(module), options)
    if kind in _RECURRENT:
        return _recurrent_module(module, kind, options)
    if kind == "Linear":
        return _made(read_state(module.state_dict(), "linear", ""), options)
    if kind == "Embedding":
        return _embedding_module(module, options)
    if kind == "Dropout":
        return Dropout(module.p, name=options.name)
    if kind == "Flatten" and (module.start_dim, module.end_dim) == (1, -1):
        return Flatten(name=options.name)
    if kind in ACTIVATIONS:
        activation, wanted = ACTIVATIONS[kind]
        if all(getattr(module, option) == value for option, value in wanted.items()):
            return Activation(activation, name=options.name)
        raise ValueError(f"expected {module!r} with {wanted}, which rnnkit has")
    raise ValueError(
        f"expected modules that rnnkit has (nn.{', nn.'.join([*_RECURRENT, 'Linear', 'Embedding', 'Dropout'])}, "
        f"nn.Flatten from axis 1 on, activations, and nn.Sequential of them), got {module!r}: convert its parts, and "
        "write the rest as a cell or an rk.Lambda"
    )


def _sequence(modules, options) -> Sequential:
    kinds = [type(module).__name__ for module in modules]
    if early := [kind for kind in kinds[:-1] if kind in _RECURRENT]:
        raise ValueError(f"expected an nn.{early[0]}, which returns its states too, at the end of nn.Sequential only")
    inside = _Options(options.return_sequences, False, False, "tanh", 0.0, options.mask_zero, None)
    return Sequential([_of_module(module, inside) for module in modules], name=options.name)


def _recurrent_module(module, kind, options) -> Layer:
    if getattr(module, "proj_size", 0):
        raise ValueError(f"expected an LSTM without projections; proj_size={module.proj_size} is what rnnkit hasn't")
    said = replace(
        options,
        nonlinearity=getattr(module, "nonlinearity", "tanh"),
        dropout=float(getattr(module, "dropout", 0.0)),
        mask_zero=None,
    )
    return _made(read_state(module.state_dict(), _RECURRENT[kind], ""), said)


def _embedding_module(module, options) -> Layer:
    for option in ("max_norm", "scale_grad_by_freq"):
        if getattr(module, option):
            raise ValueError(f"expected {module!r} without {option}, an option that rnnkit hasn't")
    if module.padding_idx is not None and options.mask_zero is None:
        raise ValueError(
            f"expected mask_zero for {module!r}: True masks id 0 for the layers after it, False doesn't; rnnkit has no "
            "padding_idx, whose row isn't trained"
        )
    if options.mask_zero and module.padding_idx not in (None, 0):
        raise ValueError(f"expected padding_idx=0 where id 0 is masked, got {module!r}")
    return _made(read_state(module.state_dict(), "embedding", ""), options)


def _made(found: Found, options: _Options) -> Layer:
    """Return the layer of the arrays, built and filled."""
    if found.kind == "linear":
        weight, bias = found.arrays["weight"], found.arrays.get("bias")
        dense = Dense(len(weight), use_bias=bias is not None, dtype=weight.dtype, name=options.name)
        dense.build((None, weight.shape[1]))
        dense.set_weights([weight.T, *([] if bias is None else [bias])])
        return dense
    if found.kind == "embedding":
        weight = found.arrays["weight"]
        masked = bool(options.mask_zero)
        table = Embedding(weight.shape[0], weight.shape[1], masked, dtype=weight.dtype, name=options.name)
        table.build((None, None))
        table.set_weights([weight])
        return table
    layer = _recurrent(found, options)
    if not isinstance(layer, Model):
        features = found.layers[0][0]["weight_ih"].shape[1]
        layer.build((None, None, features))
    layer.set_weights(
        [array for sides in found.layers for one in sides for array in from_torch_arrays(found.kind, one)]
    )
    return layer


def _recurrent(found: Found, options: _Options) -> Layer:
    first = found.layers[0][0]
    units, dtype, count = first["weight_hh"].shape[1], first["weight_hh"].dtype, len(found.layers)
    of_cell: dict[str, Any] = {"use_bias": "bias_ih" in first}
    if found.kind == "rnn":
        if options.nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"expected nonlinearity tanh or relu, got {options.nonlinearity!r}")
        of_cell["activation"] = options.nonlinearity
    of_layer: dict[str, Any] = {"return_state": options.return_state, "zero_output_for_mask": True, "dtype": dtype}

    def layer(sequences, name=None):
        named = {} if both else {"name": name}
        one = _LAYERS[found.kind](units, **of_cell, **of_layer, **named, return_sequences=sequences)
        return Bidirectional(one, name=name) if both else one

    both = len(found.layers[0]) == 2
    if count == 1:
        return layer(options.return_sequences, options.name)
    if not both and not options.dropout:
        cells = [CELLS[found.kind](units, **of_cell) for _ in range(count)]
        return RNN(cells, return_sequences=options.return_sequences, name=options.name, **of_layer)
    layers = [layer(i < count - 1 or options.return_sequences) for i in range(count)]
    between = [Dropout(options.dropout, dtype=dtype) for _ in layers[1:]] if options.dropout else []
    if options.return_state or options.initial_state:
        return _model(layers, between, Input((None, first["weight_ih"].shape[1]), dtype=dtype), options)
    chain: list[Layer] = [layers[0]]
    for i, one in enumerate(layers[1:]):
        chain += [*between[i : i + 1], one]
    return Sequential(chain, name=options.name)


def _model(layers, between, x, options: _Options) -> Model:
    """Return a model of consecutive layers with their states as outputs, or as inputs, or both."""
    inputs: list = [x]
    states: list[Any] = []
    for i, layer in enumerate(layers):
        if i and between:
            x = between[i - 1](x)
        given: dict[str, Any] = {}
        if options.initial_state:
            cells = [holder.own for holder in holders(layer)]
            own = [Input((cell.units,), dtype=layer.dtype) for cell in cells for _ in cell._states().shapes]
            given, inputs = {"initial_state": own}, inputs + own
        result = layer(x, **given)
        x, *after = result if options.return_state else (result,)
        states += after
    return Model(inputs if len(inputs) > 1 else inputs[0], [x, *states] if states else x, name=options.name)
