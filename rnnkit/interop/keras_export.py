"""Conversion of rnnkit's layers and models to Keras."""

from __future__ import annotations

from typing import Any

from rnnkit.activations import ACTIVATIONS
from rnnkit.arguments import positive_integer
from rnnkit.cells.stacked import StackedRNNCells
from rnnkit.interop.keras_graphs import attention_masked
from rnnkit.interop.keras_kinds import CELLS, LAYERS, WRAPPERS, taken
from rnnkit.interop.keras_masks import masked_values, reads_values
from rnnkit.layers.attention import Attending
from rnnkit.layers.base import Layer
from rnnkit.layers.bidirectional import Bidirectional
from rnnkit.layers.convolution import Conv1D
from rnnkit.layers.multi_head_attention import MultiHeadAttention
from rnnkit.layers.pooling import GlobalAveragePooling1D, OverTime
from rnnkit.layers.rnn import RNN
from rnnkit.layers.shaping import Shaping
from rnnkit.layers.support.facts import built_shape, keeps_states, parts_by_path, reads_ids
from rnnkit.layers.support.symbolic import leaves, mapped
from rnnkit.layers.time_distributed import TimeDistributed
from rnnkit.models.functional import Model
from rnnkit.models.sequential import Sequential
from rnnkit.steps.nesting import mapped as like_nested

_NAMES = {kind: name for name, kind in (CELLS | LAYERS | WRAPPERS).items()}
_STEP_MASKS = ("mask", "query_mask", "value_mask", "key_mask")
_INITIALIZERS = {"Uniform": "RandomUniform", "Normal": "RandomNormal"}


def to_keras(layer: Layer, batch_size: int | None = None) -> Any:
    """Convert a layer or a model to Keras 3, with its options and weights.

    Parameters
    ----------
    layer : Layer
        A layer or a model of a kind that Keras has. An unbuilt one stays unbuilt in Keras.
    batch_size : int, optional
        Required by Keras for stateful layers; other layers take any.

    Returns
    -------
    keras.Layer or keras.Model
        A new object. Layers of a `Sequential` with equal names are numbered.

    Raises
    ------
    ValueError
        For custom cells and functions, and other features that Keras lacks.
    ImportError
        Where Keras isn't installed.

    Examples
    --------
    ::

        model = rk.Sequential([rk.Input((None, 3)), rk.GRU(8), rk.Dense(1)], seed=0)
        keras_model = rk.interop.to_keras(model)
    """
    if not isinstance(layer, Layer):
        raise TypeError(f"expected a layer or a model of rnnkit, got {layer!r}")
    if batch_size is not None:
        batch_size = positive_integer(batch_size, "batch_size")
    try:
        import keras
    except ImportError:
        raise ImportError(
            "to_keras needs keras and one of its backends; install them with: pip install keras jax"
        ) from None
    return _Writer(keras, batch_size).layer(layer, layer.name)


class _Writer:
    def __init__(self, keras, batch_size):
        self._keras, self._batch_size = keras, batch_size

    def layer(self, layer: Layer, name: str) -> Any:
        if isinstance(layer, Model):
            made = self._model(layer, name)
        elif isinstance(layer, Sequential):
            made = self._sequential(layer, name)
        else:
            made = self._leaf(layer, name)
            if layer.built and not isinstance(layer, TimeDistributed):
                self._fill(made, layer)
        return _frozen(made, layer)

    def _fill(self, made, layer) -> None:
        """Build Keras's layer like rnnkit's, and set the same weights."""
        weights = layer.get_weights()
        if not weights:
            return
        shape = built_shape(layer)
        if keeps_states(layer):
            if self._batch_size is None:
                raise ValueError(f"expected batch_size, which Keras needs of the stateful layer {layer.name!r}")
            shape = (self._batch_size, *shape[1:])
        made.build(*shape) if isinstance(layer, MultiHeadAttention) else made.build(shape)
        made.set_weights(weights)

    def _leaf(self, layer, name, seed=None) -> Any:
        kind = _NAMES.get(type(layer))
        if kind is None:
            raise _own("layers that Keras has", repr(layer))
        options = {"name": name, "dtype": None if layer.dtype is None else layer.dtype.name}
        make = getattr(self._keras.layers, kind)
        if isinstance(layer, Bidirectional):
            forward, backward = (  # without weights; the seed of the whole replaces their own
                _frozen(self._leaf(one, one.name, layer.seed), one)
                for one in (layer.forward_layer, layer.backward_layer)
            )
            own = backward if layer._has_own_backward else None
            return make(forward, merge_mode=layer.merge_mode, backward_layer=own, **options)
        if isinstance(layer, TimeDistributed):
            return make(self.layer(layer.layer, layer.layer.name), **options)
        given = self._arguments(layer, layer._flags() if type(layer) is RNN else layer.get_config())
        if "seed" in given and seed is not None:
            given["seed"] = self._value("seed", seed, layer)
        if type(layer) is RNN:
            given["cell"] = self._cell(layer.cell, options["dtype"])
        return make(**given, **options)

    def _cell(self, cell, dtype) -> Any:
        layers = self._keras.layers
        if type(cell) is StackedRNNCells:
            return layers.StackedRNNCells([self._cell(one, dtype) for one in cell.cells], name=cell.name, dtype=dtype)
        kind = _NAMES.get(type(cell))
        if kind not in CELLS:
            raise _own("SimpleRNN, GRU or LSTM cells", repr(cell))
        given = self._arguments(cell, cell.get_config())
        return getattr(layers, kind)(**given, name=cell.name, dtype=dtype)

    def _arguments(self, own, config) -> dict[str, Any]:
        """Return Keras's arguments for the configuration of a layer or a cell."""
        return {name: self._value(name, config[name], own) for name in taken(type(own)) if name in config}

    def _value(self, name, value, what) -> Any:
        ending = name.rpartition("_")[2]
        if name == "seed":
            return value if isinstance(value, int) else None  # a part's seed derives from the whole's
        if ending == "activation" and value is not None and value not in ACTIVATIONS:
            raise _own(f"{name} of {what!r} to be a function that Keras has", repr(value))
        if ending in ("initializer", "regularizer", "constraint") and value is not None:
            return self._object(ending, value, f"{name} of {what!r} to be an object that Keras has")
        return value

    def _object(self, ending, value, expected) -> Any:
        """Return an initializer, a regularizer or a constraint."""
        if isinstance(value, str):
            if {":", ">"} & set(value):
                raise _own(expected, repr(value))
            return value
        kind = _INITIALIZERS.get(value["class_name"], value["class_name"])
        make = getattr(getattr(self._keras, f"{ending}s"), kind, None)
        if make is None:
            raise _own(expected, repr(value["class_name"]))
        return make(**value["config"])

    def _input(self, shape, dtype, name) -> Any:
        first = shape[0] if self._batch_size is None else self._batch_size
        return self._keras.Input(batch_shape=(first, *shape[1:]), dtype=dtype, name=name)

    def _sequential(self, model, name) -> Any:
        shape, layers = built_shape(model), []
        if model._input is not None:
            layers.append(self._input(model._input.shape, model._input.dtype.name, model._input.name))
        elif model.built and isinstance(shape, tuple):
            layers.append(self._input(shape, None if reads_ids(model.layers[0]) else model.dtype.name, None))
        taken: dict[str, int] = {}
        for layer in model.layers:
            count = taken[layer.name] = taken.get(layer.name, -1) + 1
            layers.append(self.layer(layer, f"{layer.name}_{count}" if count else layer.name))
        return self._keras.Sequential(layers, name=name)

    def _call(self, layer, made, call, tensors, masks) -> tuple[list, list]:
        """Return the results of a call, and the masks that rnnkit passes on with them."""
        # Where rnnkit drops a mask, an operation is inserted that passes none on. Keras may take an array of unchanged
        # shape for the same array with the same mask, including a mask known only when a model inside has run.
        drops = isinstance(layer, (Shaping, OverTime, Conv1D)) and not isinstance(layer, GlobalAveragePooling1D)

        def given(number):
            tensor = tensors[number]
            unmasked = _mask_of(tensor) is not None and (drops or masks[number] is None)
            unchanged = drops and layer.compute_output_shape(tensor.shape) == tensor.shape
            return self._keras.ops.copy(tensor) if unmasked or unchanged else tensor

        x = mapped(call.x, given)
        passed = [masks[number] for number in leaves(call.x)]
        if reads_values(layer) and any(mask is not None for mask in passed):
            raise masked_values(layer)
        more = {key: mapped(numbers, tensors.__getitem__) for key, numbers in call.more.items()}
        if "initial_state" in more and "mask" not in more:
            more["mask"] = passed[0]  # Keras passes it on only for a single input
        if call.training is not None:
            more["training"] = call.training
        if isinstance(layer, Attending):
            if any(mask is not None for mask in passed) or any(name in more for name in _STEP_MASKS):
                raise attention_masked(layer)
            more |= call.options
        arguments = x if isinstance(layer, MultiHeadAttention) else [x]
        results = self._keras.tree.flatten(made(*arguments, **more))
        behind = [None if isinstance(layer, (Shaping, OverTime, Conv1D)) else _mask_of(one) for one in results]
        return results, behind

    def _model(self, model, name) -> Any:
        tensors = [
            self._input((one["batch_size"], *one["shape"]), one["dtype"], one["name"]) for one in model._input_configs
        ]
        made = [self.layer(layer, path) for path, layer in parts_by_path(model).items()]
        masks: list = [None] * len(tensors)
        for call in model._graph.calls:
            results, behind = self._call(model._graph.layers[call.layer], made[call.layer], call, tensors, masks)
            tensors += results
            masks += behind
        given = like_nested(model._input_nesting, tensors.__getitem__)
        return self._keras.Model(given, like_nested(model._graph.nesting, tensors.__getitem__), name=name)


def _frozen(made, layer) -> Any:
    """Freeze Keras's layer if rnnkit's is frozen; setting the flag otherwise would unfreeze all layers inside."""
    if not layer.trainable:
        made.trainable = False
    return made


def _mask_of(tensor) -> Any:
    """Return the mask that Keras passes on with a tensor."""
    return getattr(tensor, "_keras_mask", None)


def _own(expected, got) -> ValueError:
    return ValueError(
        f"expected {expected}, got {got}: what is one's own doesn't go into Keras; export it with rk.onnx.export or "
        "rk.export_c"
    )
