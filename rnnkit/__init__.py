"""rnnkit: write the step in NumPy, get the layer.

The names here are the public ones; importing them compiles nothing and imports no optional package.
"""

from __future__ import annotations

import importlib

from rnnkit import initializers
from rnnkit.activations import (
    elu,
    erf,
    erfc,
    exponential,
    gelu,
    hard_sigmoid,
    hard_silu,
    leaky_relu,
    linear,
    log_sigmoid,
    log_softmax,
    mish,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    softmax,
    softplus,
    softsign,
    tanh,
)
from rnnkit.analysis.gradcheck import gradcheck
from rnnkit.analysis.jacobian import jacobian, jvp
from rnnkit.backends.shared.memory_limit import get_memory_limit, set_memory_limit
from rnnkit.backends.shared.program_cache import cache_info, clear_cache
from rnnkit.backends.shared.thread_pool import get_num_threads, set_num_threads
from rnnkit.cells import GRUCell, LSTMCell, SimpleRNNCell
from rnnkit.cells.stacked import StackedRNNCells
from rnnkit.execution.execution import eager
from rnnkit.layers.array_function import ArrayFunction
from rnnkit.layers.bidirectional import Bidirectional
from rnnkit.layers.dense import Dense, Dropout
from rnnkit.layers.embedding import Embedding
from rnnkit.layers.masking import Masking
from rnnkit.layers.memoryless import Activation, Lambda
from rnnkit.layers.merging import Add, Average, Concatenate, Maximum, Minimum, Multiply, Subtract
from rnnkit.layers.operation import Operation
from rnnkit.layers.pooling import GlobalAveragePooling1D
from rnnkit.layers.recurrent import GRU, LSTM, SimpleRNN
from rnnkit.layers.rnn import RNN
from rnnkit.layers.shaping import Flatten, RepeatVector, Reshape
from rnnkit.layers.stream import Stream
from rnnkit.layers.support.row_gradient import RowGradient
from rnnkit.layers.support.symbolic import Input
from rnnkit.layers.time_distributed import TimeDistributed
from rnnkit.models.ensemble import Ensemble
from rnnkit.models.functional import Model
from rnnkit.models.sequential import Sequential
from rnnkit.serialization.registry import register
from rnnkit.steps.cell import Cell
from rnnkit.steps.declared import Draw, Weight, cell
from rnnkit.steps.states import State
from rnnkit.version import __version__

_LATER = {
    "AdditiveAttention": "rnnkit.layers.attention",
    "AlphaDropout": "rnnkit.layers.noise",
    "Attention": "rnnkit.layers.attention",
    "AveragePooling1D": "rnnkit.layers.pooling",
    "BatchNormalization": "rnnkit.layers.batch_normalization",
    "Conv1D": "rnnkit.layers.convolution",
    "ConvLSTM1D": "rnnkit.layers.conv_lstm",
    "ConvLSTM2D": "rnnkit.layers.conv_lstm",
    "ConvLSTM3D": "rnnkit.layers.conv_lstm",
    "Cropping1D": "rnnkit.layers.moving_steps",
    "Dot": "rnnkit.layers.dot",
    "ELU": "rnnkit.layers.activation_layers",
    "ESN": "rnnkit.forecast.models.echo_state",
    "ESNCell": "rnnkit.cells.echo_state",
    "GaussianDropout": "rnnkit.layers.noise",
    "GaussianNoise": "rnnkit.layers.noise",
    "GlobalMaxPooling1D": "rnnkit.layers.pooling",
    "LayerNormalization": "rnnkit.layers.normalization",
    "LeakyReLU": "rnnkit.layers.activation_layers",
    "MaxPooling1D": "rnnkit.layers.pooling",
    "MultiHeadAttention": "rnnkit.layers.multi_head_attention",
    "PReLU": "rnnkit.layers.parametric_relu",
    "Permute": "rnnkit.layers.moving_steps",
    "ReLU": "rnnkit.layers.activation_layers",
    "Softmax": "rnnkit.layers.activation_layers",
    "SpatialDropout1D": "rnnkit.layers.noise",
    "UnitNormalization": "rnnkit.layers.normalization",
    "UpSampling1D": "rnnkit.layers.moving_steps",
    "ZeroPadding1D": "rnnkit.layers.moving_steps",
    "custom_gradient": "rnnkit.custom_gradients",
    "export_c": "rnnkit.c_code.export",
    "hessian": "rnnkit.analysis.curvature",
    "hvp": "rnnkit.analysis.curvature",
    "load_model": "rnnkit.loading",
    "loop": "rnnkit.layers.loop",
    "pad_sequences": "rnnkit.sequences.padding",
    "sequence_mask": "rnnkit.sequences.padding",
    "sequences_from_frame": "rnnkit.forecast.data.sequences",
    "stop_gradient": "rnnkit.custom_gradients",
    "windows": "rnnkit.sequences.windows",
}
_SUBPACKAGES = (
    "callbacks",
    "constraints",
    "cuda",
    "datasets",
    "distributed",
    "forecast",
    "interop",
    "keras",
    "losses",
    "metrics",
    "onnx",
    "optimizers",
    "regularizers",
    "sklearn",
)

__all__ = [
    "ELU",
    "ESN",
    "GRU",
    "LSTM",
    "RNN",
    "Activation",
    "Add",
    "AdditiveAttention",
    "AlphaDropout",
    "ArrayFunction",
    "Attention",
    "Average",
    "AveragePooling1D",
    "BatchNormalization",
    "Bidirectional",
    "Cell",
    "Concatenate",
    "Conv1D",
    "ConvLSTM1D",
    "ConvLSTM2D",
    "ConvLSTM3D",
    "Cropping1D",
    "Dense",
    "Dot",
    "Draw",
    "Dropout",
    "ESNCell",
    "Embedding",
    "Ensemble",
    "Flatten",
    "GRUCell",
    "GaussianDropout",
    "GaussianNoise",
    "GlobalAveragePooling1D",
    "GlobalMaxPooling1D",
    "Input",
    "LSTMCell",
    "Lambda",
    "LayerNormalization",
    "LeakyReLU",
    "Masking",
    "MaxPooling1D",
    "Maximum",
    "Minimum",
    "Model",
    "MultiHeadAttention",
    "Multiply",
    "Operation",
    "PReLU",
    "Permute",
    "ReLU",
    "RepeatVector",
    "Reshape",
    "RowGradient",
    "Sequential",
    "SimpleRNN",
    "SimpleRNNCell",
    "Softmax",
    "SpatialDropout1D",
    "StackedRNNCells",
    "State",
    "Stream",
    "Subtract",
    "TimeDistributed",
    "UnitNormalization",
    "UpSampling1D",
    "Weight",
    "ZeroPadding1D",
    "__version__",
    "cache_info",
    "callbacks",
    "cell",
    "clear_cache",
    "constraints",
    "cuda",
    "custom_gradient",
    "datasets",
    "distributed",
    "eager",
    "elu",
    "erf",
    "erfc",
    "exponential",
    "export_c",
    "gelu",
    "get_memory_limit",
    "get_num_threads",
    "gradcheck",
    "hard_sigmoid",
    "hard_silu",
    "hessian",
    "hvp",
    "initializers",
    "interop",
    "jacobian",
    "jvp",
    "leaky_relu",
    "linear",
    "load_model",
    "log_sigmoid",
    "log_softmax",
    "loop",
    "losses",
    "metrics",
    "mish",
    "onnx",
    "optimizers",
    "pad_sequences",
    "register",
    "regularizers",
    "relu",
    "relu6",
    "selu",
    "sequence_mask",
    "sequences_from_frame",
    "set_memory_limit",
    "set_num_threads",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "softsign",
    "stop_gradient",
    "tanh",
    "windows",
]


def __getattr__(name: str):
    """Import a name of `_LATER` or `_SUBPACKAGES` when it is first asked for."""
    if name in _SUBPACKAGES:
        return importlib.import_module(f"rnnkit.{name}")
    if name in _LATER:
        return getattr(importlib.import_module(_LATER[name]), name)
    raise AttributeError(f"module 'rnnkit' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
