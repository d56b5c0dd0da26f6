"""Functional models of Keras: the graph of calls, replayed with rnnkit's layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rnnkit.interop import keras_masks
from rnnkit.interop.keras_kinds import OPERATIONS, mapping, text
from rnnkit.interop.keras_weights import Source
from rnnkit.layers.attention import Attending
from rnnkit.layers.base import Layer
from rnnkit.layers.bidirectional import Bidirectional
from rnnkit.layers.multi_head_attention import MultiHeadAttention
from rnnkit.layers.rnn import RNN
from rnnkit.layers.shaping import Reshape
from rnnkit.layers.support.bound_calls import call_on
from rnnkit.layers.support.symbolic import Input, SymbolicTensor, leaves, mapped
from rnnkit.layers.time_distributed import TimeDistributed
from rnnkit.models.functional import Model

_RECURRENT = ("x", "initial_state", "mask", "training")
_MODEL = ("x", "training", "mask")
_NAMES = {"sequences": "x", "inputs": "x"}


@dataclass(frozen=True)
class Key:
    """The key of a tensor in Keras's graph: the layer's name, and the indices of the call and of the output."""

    layer: str
    call: int
    output: int


@dataclass
class Value:
    """The value of a key in the graph."""

    tensor: SymbolicTensor | None = None  # None for an operation that is not needed as an array
    mask: Any = None  # the expression of rnnkit's mask of the tensor
    keras: Any = None  # the expression of Keras's mask
    operation: keras_masks.Operation | None = None


def read_graph(read_layer: Callable[..., Layer], config: Mapping[str, Any], source: Source) -> Model:
    """Return the model of a functional configuration, with a source's weights; a ValueError if rnnkit lacks a part."""
    described = [mapping(one, "a layer") for one in config.get("layers", ())]
    are_layers = [one for one in described if not _is_operation(one)]
    graph = _Graph()
    for one, part in zip(are_layers, source.layers(are_layers), strict=True):
        name = text(one.get("name"), "a layer's name")
        if one.get("class_name") == "InputLayer":
            graph.values[Key(name, 0, 0)] = Value(read_input(one))
        else:
            graph.layers[name] = read_layer(one, part, built=True)
    graph.run(described)
    models = {name for name, layer in graph.layers.items() if isinstance(layer, Model)}
    ends = [_ends(config.get(key), models) for key in ("input_layers", "output_layers")]
    inputs, outputs = (mapped(end, graph.array) for end in ends)
    if isinstance(outputs, list) and len(outputs) == 1:
        (outputs,) = outputs  # as a call of Keras's model returns it
    return Model(inputs, outputs, name=config.get("name"))


def read_input(described) -> SymbolicTensor:
    """Return the `Input` of an InputLayer's description; a ValueError for options that rnnkit lacks."""
    config = mapping(described.get("config"), "an InputLayer")
    for option in ("sparse", "ragged", "optional"):
        if config.get(option):
            raise ValueError(f"expected an InputLayer without {option}=True, an option that rnnkit hasn't")
    shape = config.get("batch_shape", config.get("batch_input_shape"))
    dtype = config.get("dtype")
    return Input(batch_shape=shape, dtype=None if dtype is None else text(dtype, "a dtype"), name=config.get("name"))


class _Graph:
    """Layers by name, and the values of the keys reached so far."""

    def __init__(self):
        self.layers: dict[str, Layer] = {}
        self.values: dict[Key, Value] = {}
        self._masks = keras_masks.Masks()
        self._places: dict[keras_masks.Operation, Key] = {}

    def run(self, described) -> None:
        """Make all calls, each once its inputs are known."""
        waiting = [
            (one, i, mapping(node, "a call"))
            for one in described
            for i, node in enumerate(one.get("inbound_nodes") or ())
        ]
        while waiting:
            left = []
            for one, i, node in waiting:
                args, kwargs = (_keyed(node.get(key)) for key in ("args", "kwargs"))
                if any(key not in self.values for key in _keys((args, kwargs))):
                    left.append((one, i, node))
                elif _is_operation(one):
                    self._operate(one, i, args, kwargs)
                else:
                    self._call(text(one.get("name"), "a layer's name"), i, args, kwargs)
            if len(left) == len(waiting):
                names = ", ".join(dict.fromkeys(str(one.get("name")) for one, _, _ in left))
                raise ValueError(f"expected a graph of calls that begins at its inputs; {names} read what isn't there")
            waiting = left

    def array(self, key: Key) -> SymbolicTensor:
        if key not in self.values:
            raise ValueError(f"expected an output of a layer, got {key!r}, which isn't there")
        value = self.values[key]
        if value.tensor is None:
            value.tensor = self._merged(key, value)
        return value.tensor

    def _merged(self, key, value) -> SymbolicTensor:
        """Make a layer of an operation on arrays."""
        operation = value.operation
        if operation.name == "Copy" and isinstance(operation.inputs[0], (Key, keras_masks.Operation)):
            operand: Any = operation.inputs[0]
            source = self._places.get(operand, operand)
            tensor, value.mask = self.array(source), self.values[source].mask
            return tensor  # the same array; Keras drops its mask, in rnnkit the layer that reads it does
        inputs = operation.inputs[0] if operation.name == "Concatenate" else operation.inputs
        kind = OPERATIONS.get(operation.name)
        if kind is None or len(inputs) < 2 or not all(isinstance(one, (Key, keras_masks.Operation)) for one in inputs):
            raise ValueError(
                f"expected operations on arrays that rnnkit has ({', '.join(OPERATIONS)} of two arrays), got "
                f"{operation.name} at {key.layer!r}: write it as a layer, with a rk.Lambda in its place"
            )
        options = {"axis": operation.axis} if operation.name == "Concatenate" else {}
        keys = [self._places.get(one, one) for one in inputs]
        layer, tensors = kind(name=key.layer, **options), [self.array(one) for one in keys]
        value.mask = self._masks.behind(layer, keys, [self.values[one].mask for one in keys])
        return layer(tensors)

    def _operate(self, one, i, args, kwargs) -> None:
        name, config = text(one.get("class_name"), "an operation"), mapping(one.get("config") or {}, "an operation")
        inputs = tuple(self._expression(arg) for arg in (*args, *kwargs.values()))
        axis = self._expression(config.get("axis")) if name in keras_masks.AXIS else None
        operation = self._masks.operation(name, *inputs, axis=axis)
        key = Key(one["name"], i, 0)
        self.values[key] = Value(operation=operation)
        self._places.setdefault(operation, key)

    def _expression(self, argument):
        if isinstance(argument, Key):
            return self.values[argument].operation or argument
        if isinstance(argument, Mapping):
            argument = [*argument.items()]
        return tuple(map(self._expression, argument)) if isinstance(argument, (list, tuple)) else argument

    def _call(self, name, i, args, kwargs) -> None:
        layer = self.layers[name]
        if isinstance(layer, Attending):
            self._attend(layer, name, i, args, kwargs)
            return
        given = _arguments(layer, name, args, kwargs)
        x, mask = given.pop("x"), given.pop("mask", None)
        tensors = mapped(x, self.array)
        own, theirs = (mapped(x, lambda key, side=side: getattr(self.values[key], side)) for side in ("mask", "keras"))
        more = {key: mapped(nested, self.array) for key, nested in given.items() if key == "initial_state"}
        if given.get("training"):
            more["training"] = True
        if isinstance(layer, keras_masks.READERS) and not isinstance(x, list):
            wanted = self._wanted(mask, theirs, "initial_state" in more)
            if wanted is None and own is not None:
                tensors = _without_mask(tensors, name, i)
            elif wanted != own:
                more["mask"] = self.array(self._carrier(wanted, name))
            own, theirs = wanted, theirs if wanted is None else wanted
        elif mask is not None and not isinstance(layer, TimeDistributed):
            raise ValueError(f"expected no mask for {name!r}, a {type(layer).__name__}, which reads none in rnnkit")
        if keras_masks.reads_values(layer) and any(one is not None for one in theirs):
            raise keras_masks.masked_values(layer)
        own, theirs = self._masks.behind(layer, x, own), self._masks.behind(layer, x, theirs)
        count = 2 if isinstance(layer, Bidirectional) and layer.merge_mode is None else 1
        for j, tensor in enumerate(leaves(layer(tensors, **more))):
            masks = (own, theirs) if j < count else (None, None)
            self.values[Key(name, i, j)] = Value(tensor, *masks)

    def _attend(self, layer, name, i, args, kwargs) -> None:
        keys, more = attention_arguments(layer, args, kwargs)
        if any(self.values[key].mask is not None or self.values[key].keras is not None for key in keys):
            raise attention_masked(layer)
        tensors, more = mapped((keys, more), lambda one: self.array(one) if isinstance(one, Key) else one)
        for j, tensor in enumerate(leaves(call_on(layer, tensors, **more))):
            self.values[Key(name, i, j)] = Value(tensor)

    def _wanted(self, mask, passed, with_states):
        """Return the mask that Keras's layer reads, or None.

        Keras passes a mask to a layer by itself only if x is its single argument; the mask from a model inside is known
        only when that runs.
        """
        if mask is not None:
            return self._expression(mask)
        return passed if not with_states and keras_masks.holds_inside(passed) else None

    def _carrier(self, wanted, name) -> Key:
        """Return the key of an array that is non-zero where a mask is."""
        found = keras_masks.padding_ids(wanted)
        found = wanted if found is None else found
        if isinstance(found, Key) and self.array(found).ndim in (2, 3):
            return found
        raise ValueError(
            f"expected a mask that rnnkit's layers pass on, or an input of the model, for {name!r}; the model computes "
            "it by operations that rnnkit hasn't: make the mask an input"
        )


def _without_mask(tensor, name, i) -> SymbolicTensor:
    """Return the same array for a layer that gets no mask in Keras, by a reshape that drops the mask."""
    number = f"_{i}" if i else ""
    sizes = (-1, *tensor.shape[2:]) if tensor.shape[1] is None else tensor.shape[1:]
    return Reshape(sizes, dtype=tensor.dtype, name=f"{name}_without_mask{number}")(tensor)


def _arguments(layer, name, args, kwargs) -> dict[str, Any]:
    """Return the arguments of a call, by rnnkit's names."""
    positions = _RECURRENT if isinstance(layer, (RNN, Bidirectional)) else _MODEL
    if len(args) > len(positions):
        raise ValueError(f"expected a call of {name!r} with at most {len(positions)} arguments, got {len(args)}")
    given = dict(zip(positions, args, strict=False))
    for key, value in kwargs.items():
        key = _NAMES.get(key, key)
        if key not in positions or key in given:
            raise ValueError(f"expected a call of {name!r} with the arguments {', '.join(positions)}; got {key!r}")
        given[key] = value
    if "x" not in given:
        raise ValueError(f"expected a call of {name!r} on an array, got none")
    return {key: value for key, value in given.items() if value is not None}


def _ends(given, models):
    """Return the keys of a model's inputs or outputs; there Keras counts the calls of a model from 1."""
    if isinstance(given, Mapping):
        return [_ends(one, models) for one in given.values()]
    if not isinstance(given, (list, tuple)):
        raise ValueError(f"expected inputs and outputs as [layer, call, output], got {given!r}")
    if len(given) == 3 and isinstance(given[0], str):
        name, call, output = given
        return Key(name, call - (name in models), output)
    return [_ends(one, models) for one in given]


def _keyed(nested):
    """Return arguments with a `Key` for each of Keras's tensors."""
    if isinstance(nested, Mapping):
        kind, config = nested.get("class_name"), nested.get("config")
        if kind == "__keras_tensor__":
            return Key(*mapping(config, "a tensor")["keras_history"])
        if kind is not None:
            raise ValueError(f"expected arrays and numbers as the arguments of a call, got {kind!r}")
        return {name: _keyed(value) for name, value in nested.items()}
    return [_keyed(one) for one in nested] if isinstance(nested, (list, tuple)) else nested


def _keys(nested) -> list[Key]:
    if isinstance(nested, Key):
        return [nested]
    if isinstance(nested, Mapping):
        nested = list(nested.values())
    return [key for one in nested for key in _keys(one)] if isinstance(nested, (list, tuple)) else []


def _is_operation(described) -> bool:
    module = described.get("module")
    return isinstance(module, str) and module.startswith(("keras.src.ops", "keras.ops"))


OPTIONS = ("return_attention_scores", "use_causal_mask", "training")
_HEADS = ("query", "value", "key", "query_mask", "value_mask", "key_mask", "attention_mask", *OPTIONS)
_LISTED = ("inputs", "mask", *OPTIONS)


def attention_arguments(layer: Attending, args, kwargs: Mapping[str, Any]) -> tuple[list, dict[str, Any]]:
    """Return a call's arrays as a list, and its other arguments under the names of rnnkit's call.

    A ValueError refuses masks of steps, as Keras takes them from the arrays that the layer reads.
    """
    names = _HEADS if isinstance(layer, MultiHeadAttention) else _LISTED
    given = dict(zip(names, args, strict=False)) | dict(kwargs)
    if unknown := [name for name in given if name not in names]:
        raise ValueError(f"expected a call of {layer.name!r} with the arguments {', '.join(names)}; got {unknown[0]!r}")
    given = {name: value for name, value in given.items() if value is not None and value is not False}
    arrays = given.pop("inputs", None) or [given.pop(name) for name in ("query", "value", "key") if name in given]
    if any(name in given for name in ("mask", "query_mask", "value_mask", "key_mask")):
        raise attention_masked(layer)
    return list(arrays), given


def attention_masked(layer) -> ValueError:
    """Return the error for arrays with masks before an attention layer of a model."""
    return ValueError(
        f"expected no masks before {layer.name!r}: Keras's attention takes masks off the arrays that it reads, and "
        "later layers miss them; give the model an attention_mask as an input"
    )
