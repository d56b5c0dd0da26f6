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
    name: f"rnnkit.{module}"
    for module, names in {
        "analysis.curvature": "hessian hvp",
        "c_code.export": "export_c",
        "cells.echo_state": "ESNCell",
        "custom_gradients": "custom_gradient stop_gradient",
        "forecast.models.echo_state": "ESN",
        "layers.activation_layers": "ELU LeakyReLU ReLU Softmax",
        "layers.attention": "AdditiveAttention Attention",
        "layers.batch_normalization": "BatchNormalization",
        "layers.conv_lstm": "ConvLSTM1D ConvLSTM2D ConvLSTM3D",
        "layers.convolution": "Conv1D",
        "layers.dot": "Dot",
        "layers.loop": "loop",
        "layers.moving_steps": "Cropping1D Permute UpSampling1D ZeroPadding1D",
        "layers.multi_head_attention": "MultiHeadAttention",
        "layers.noise": "AlphaDropout GaussianDropout GaussianNoise SpatialDropout1D",
        "layers.normalization": "LayerNormalization UnitNormalization",
        "layers.parametric_relu": "PReLU",
        "layers.pooling": "AveragePooling1D GlobalMaxPooling1D MaxPooling1D",
        "loading": "load_model",
        "sequences.frames": "sequences_from_frame",
        "sequences.padding": "pad_sequences sequence_mask",
        "sequences.windows": "windows",
    }.items()
    for name in names.split()
}
_SUBPACKAGES = (
    "callbacks", "constraints", "cuda", "datasets", "distributed", "forecast", "interop", "keras", "losses", "metrics",
    "onnx", "optimizers", "regularizers", "sklearn",
)  # fmt: skip

__all__ = [
    "ELU", "ESN", "GRU", "LSTM", "RNN", "Activation", "Add", "AdditiveAttention", "AlphaDropout", "ArrayFunction",
    "Attention", "Average", "AveragePooling1D", "BatchNormalization", "Bidirectional", "Cell", "Concatenate", "Conv1D",
    "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D", "Cropping1D", "Dense", "Dot", "Draw", "Dropout", "ESNCell", "Embedding",
    "Ensemble", "Flatten", "GRUCell", "GaussianDropout", "GaussianNoise", "GlobalAveragePooling1D",
    "GlobalMaxPooling1D", "Input", "LSTMCell", "Lambda", "LayerNormalization", "LeakyReLU", "Masking", "MaxPooling1D",
    "Maximum", "Minimum", "Model", "MultiHeadAttention", "Multiply", "Operation", "PReLU", "Permute", "ReLU",
    "RepeatVector", "Reshape", "RowGradient", "Sequential", "SimpleRNN", "SimpleRNNCell", "Softmax", "SpatialDropout1D",
    "StackedRNNCells", "State", "Stream", "Subtract", "TimeDistributed", "UnitNormalization", "UpSampling1D", "Weight",
    "ZeroPadding1D", "__version__", "cache_info", "callbacks", "cell", "clear_cache", "constraints", "cuda",
    "custom_gradient", "datasets", "distributed", "eager", "elu", "erf", "erfc", "exponential", "export_c", "gelu",
    "get_memory_limit", "get_num_threads", "gradcheck", "hard_sigmoid", "hard_silu", "hessian", "hvp", "initializers",
    "interop", "jacobian", "jvp", "leaky_relu", "linear", "load_model", "log_sigmoid", "log_softmax", "loop", "losses",
    "metrics", "mish", "onnx", "optimizers", "pad_sequences", "register", "regularizers", "relu", "relu6", "selu",
    "sequence_mask", "sequences_from_frame", "set_memory_limit", "set_num_threads", "sigmoid", "silu", "softmax",
    "softplus", "softsign", "stop_gradient", "tanh", "windows",
]  # fmt: skip


def __getattr__(name: str):
    """Import a name of `_LATER` or `_SUBPACKAGES` when it is first asked for."""
    if name in _SUBPACKAGES:
        return importlib.import_module(f"rnnkit.{name}")
    if name in _LATER:
        return getattr(importlib.import_module(_LATER[name]), name)
    raise AttributeError(f"module 'rnnkit' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
