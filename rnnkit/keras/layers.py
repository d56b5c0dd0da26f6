"""Keras's layers and cells: names for rnnkit's, and the merging layers as functions."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

from rnnkit.keras import settings
from rnnkit.keras.arguments import dropped, layer_arguments
from rnnkit.keras.naming import Name, named, namespace
from rnnkit.layers.support import symbolic

_INPUT_ORDER = "shape batch_size dtype sparse batch_shape name tensor"
_PLAIN = (
    "Activation Add Average Bidirectional Concatenate Dense Flatten GRU GRUCell GlobalAveragePooling1D LSTM "
    "LSTMCell Masking Maximum Multiply RNN RepeatVector Reshape SimpleRNN SimpleRNNCell StackedRNNCells Subtract "
    "TimeDistributed ActivityRegularization AveragePooling1D BatchNormalization Conv1D Cropping1D Dot ELU "
    "EinsumDense GaussianDropout GaussianNoise GlobalMaxPooling1D Identity LayerNormalization LeakyReLU "
    "MaxPooling1D Minimum Normalization Permute ReLU Rescaling Softmax SpatialDropout1D UnitNormalization "
    "UpSampling1D ZeroPadding1D AdditiveAttention Attention MultiHeadAttention ConvLSTM1D ConvLSTM2D Wrapper"
)
NAMES = {name: Name(f"rnnkit:{name}") for name in _PLAIN.split()} | {
    "Dropout": Name("rnnkit:Dropout", "rate noise_shape seed"),
    "Embedding": Name(
        "rnnkit:Embedding",
        "input_dim output_dim embeddings_initializer embeddings_regularizer embeddings_constraint mask_zero weights",
    ),
    "Lambda": Name("rnnkit.layers.array_function:ArrayFunction"),
    "Layer": Name("rnnkit.models.subclassed:SubclassedLayer"),
}
ALIASES = {
    "AvgPool1D": "AveragePooling1D",
    "Convolution1D": "Conv1D",
    "GlobalAvgPool1D": "GlobalAveragePooling1D",
    "GlobalMaxPool1D": "GlobalMaxPooling1D",
    "MaxPool1D": "MaxPooling1D",
}
FUNCTIONS = {
    "add": "Add",
    "average": "Average",
    "concatenate": "Concatenate",
    "dot": "Dot",
    "maximum": "Maximum",
    "minimum": "Minimum",
    "multiply": "Multiply",
    "subtract": "Subtract",
}
KerasTensor = symbolic.SymbolicTensor


def Input(shape=None, batch_size=None, dtype=None, **keywords):
    """Where a model's data comes in: a symbolic tensor, as `rnnkit.Input` gives.

    Raises
    ------
    ValueError
        For a sparse or ragged input.
    """
    keywords = dropped("Input", keywords, inspect.signature(symbolic.Input).parameters)
    dtype = settings.floatx() if dtype is None else dtype
    shape = (shape,) if isinstance(shape, int) else shape
    return symbolic.Input(shape, batch_size, getattr(dtype, "name", dtype), **keywords)


def InputLayer(shape=None, batch_size=None, dtype=None, *, input_shape=None, batch_input_shape=None, **keywords):
    """`Input`, by the name of a layer: the first of a `Sequential`."""
    if batch_input_shape is not None:
        keywords["batch_shape"] = batch_input_shape
    return Input(input_shape if shape is None else shape, batch_size, dtype, **keywords)


class InputSpec:
    """What a layer of one's own says of its input; nothing is checked by it."""

    def __init__(self, dtype=None, shape=None, ndim=None, max_ndim=None, min_ndim=None, axes=None, **keywords):
        self.dtype, self.shape, self.ndim = dtype, shape, ndim
        self.max_ndim, self.min_ndim, self.axes = max_ndim, min_ndim, axes or {}


def serialize(layer) -> dict:
    """A layer as JSON values."""
    from rnnkit.serialization import configuration

    return configuration.serialize(layer)


def deserialize(config, custom_objects=None):
    """The layer that `serialize` described."""
    from rnnkit.keras.saving import deserialize_keras_object

    return deserialize_keras_object(config, custom_objects)


def _merged(name: str, inputs, **keywords) -> Any:
    return __getattr__(FUNCTIONS[name])(**keywords)(inputs)


def _make(name: str):
    name = ALIASES.get(name, name)
    if name in FUNCTIONS:
        function = partial(_merged, name)
        function.__doc__ = f"`{FUNCTIONS[name]}` of a list of arrays or symbolic tensors."
        return function
    return named(name, __name__, NAMES[name].found(), partial(layer_arguments, NAMES[name]))


__getattr__, __dir__ = namespace("layers", _make, [*NAMES, *ALIASES, *FUNCTIONS])
