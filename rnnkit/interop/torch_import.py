"""Conversion of modules and state dicts of PyTorch to rnnkit's layers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from rnnkit.cells import GRUCell, LSTMCell, SimpleRNNCell
from rnnkit.interop.keras_weights import holders
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
_KEY = re.compile(r"(weight|bias)_(ih|hh)(?:_l(\d+)(_reverse)?)?")
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
    return _recurrent_state(arrays, kind)


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


def _recurrent_state(arrays, kind) -> Found:
    parts: dict[tuple[int, int], dict[str, np.ndarray]] = {}
    for key, array in arrays.items():
        match = _KEY.fullmatch(key)
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
