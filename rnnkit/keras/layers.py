"""Keras's layers and cells: names for rnnkit's, and the merging layers as functions."""

from __future__ import annotations

from functools import partial
from typing import Any

from rnnkit.interop.keras_kinds import CELLS, IN_KERAS
from rnnkit.keras.arguments import layer_arguments
from rnnkit.keras.inputs import Input, InputLayer, InputSpec, KerasTensor
from rnnkit.keras.naming import Name, named, namespace
from rnnkit.keras.saving import deserialize_keras_object as deserialize
from rnnkit.keras.saving import serialize_keras_object as serialize

__all__ = ["Input", "InputLayer", "InputSpec", "KerasTensor", "deserialize", "serialize"]

_STARTS = "kernel_initializer recurrent_initializer bias_initializer"
_PENALTIES = "kernel_regularizer recurrent_regularizer bias_regularizer"
_LIMITS = "kernel_constraint recurrent_constraint bias_constraint dropout recurrent_dropout"
_GATED = f"units activation recurrent_activation use_bias {_STARTS}"
_SEQUENCES = "return_sequences return_state go_backwards stateful unroll"
_ORDERS = {  # Keras's, where rnnkit's order of arguments is another one
    "AlphaDropout": "rate noise_shape seed",
    "Attention": "use_scale score_mode dropout seed",
    "AveragePooling1D": "pool_size strides padding data_format name",
    "Bidirectional": "layer merge_mode weights backward_layer",
    "Dropout": "rate noise_shape seed",
    "Embedding": "input_dim output_dim embeddings_initializer embeddings_regularizer embeddings_constraint mask_zero "
    "weights",
    "Flatten": "data_format",
    "GRU": f"{_GATED} {_PENALTIES} activity_regularizer {_LIMITS} seed {_SEQUENCES} reset_after use_cudnn",
    "GRUCell": f"{_GATED} {_PENALTIES} {_LIMITS} reset_after seed",
    "GaussianDropout": "rate seed",
    "GaussianNoise": "stddev seed",
    "GlobalAveragePooling1D": "data_format keepdims",
    "LSTM": f"{_GATED} unit_forget_bias {_PENALTIES} activity_regularizer {_LIMITS} seed {_SEQUENCES} use_cudnn",
    "MaxPooling1D": "pool_size strides padding data_format name",
    "SimpleRNN": f"units activation use_bias {_STARTS} {_PENALTIES} activity_regularizer {_LIMITS} {_SEQUENCES} seed",
    "SpatialDropout1D": "rate seed name dtype",
}
NAMES = {name: Name(f"rnnkit:{name}", _ORDERS.get(name, "")) for name in (*IN_KERAS, *CELLS, "StackedRNNCells")} | {
    "Identity": Name("rnnkit:Activation", defaults={"activation": "linear"}),
    "Lambda": Name("rnnkit.layers.array_function:ArrayFunction"),
    "LeakyReLU": Name("rnnkit:LeakyReLU", renamed={"alpha": "negative_slope"}),
    "Layer": Name("rnnkit.models.subclassed:SubclassedLayer", instances="rnnkit.layers.base:Layer"),
}
ALIASES = {
    "AvgPool1D": "AveragePooling1D",
    "Convolution1D": "Conv1D",
    "GlobalAvgPool1D": "GlobalAveragePooling1D",
    "GlobalMaxPool1D": "GlobalMaxPooling1D",
    "MaxPool1D": "MaxPooling1D",
}
FUNCTIONS = {name.lower(): name for name in "Add Average Concatenate Dot Maximum Minimum Multiply Subtract".split()}


def _merged(name: str, inputs, *arguments, **keywords) -> Any:
    return __getattr__(FUNCTIONS[name])(*arguments, **keywords)(inputs)


def _make(name: str):
    name = ALIASES.get(name, name)
    if name in FUNCTIONS:
        function = partial(_merged, name)
        function.__doc__ = f"`{FUNCTIONS[name]}` of a list of arrays or symbolic tensors."
        return function
    own = NAMES[name]
    return named(name, __name__, own.found(), partial(layer_arguments, own), own.of_instances())


__getattr__, __dir__ = namespace("layers", _make, [*NAMES, *ALIASES, *FUNCTIONS])
