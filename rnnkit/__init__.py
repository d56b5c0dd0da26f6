"""rnnkit: write the step in NumPy, get the layer.

The names here are the public ones; importing them compiles nothing and imports no optional package.
"""

from __future__ import annotations

import importlib

from rnnkit import initializers
from rnnkit.analysis.gradcheck import gradcheck
from rnnkit.analysis.jacobian import jacobian, jvp
from rnnkit.backends.shared.memory_limit import get_memory_limit, set_memory_limit
from rnnkit.backends.shared.program_cache import cache_info, clear_cache
from rnnkit.backends.shared.thread_pool import get_num_threads, set_num_threads
from rnnkit.cells import GRUCell, LSTMCell, SimpleRNNCell
from rnnkit.cells.stacked import StackedRNNCells
from rnnkit.execution.execution import eager
from rnnkit.layers import PUBLIC as _LAYERS
from rnnkit.layers.operation import Operation
from rnnkit.layers.stream import Stream
from rnnkit.layers.support.row_gradient import RowGradient
from rnnkit.layers.support.symbolic import Input
from rnnkit.models.ensemble import Ensemble
from rnnkit.models.functional import Model
from rnnkit.models.sequential import Sequential
from rnnkit.serialization.registry import register
from rnnkit.steps.cell import Cell
from rnnkit.steps.declared import Draw, Weight, cell
from rnnkit.steps.states import State
from rnnkit.version import __version__

_LATER = _LAYERS | {
    name: f"rnnkit.{module}"
    for module, names in {
        "activations": "elu erf erfc exponential gelu hard_sigmoid hard_silu leaky_relu linear log_sigmoid log_softmax "
        "mish relu relu6 selu sigmoid silu softmax softplus softsign tanh",
        "analysis.curvature": "hessian hvp",
        "c_code.export": "export_c",
        "cells.echo_state": "ESNCell",
        "custom_gradients": "custom_gradient stop_gradient",
        "forecast.models.echo_state": "ESN",
        "layers.loop": "loop",
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
    "Cell", "Draw", "Ensemble", "GRUCell", "Input", "LSTMCell", "Model", "Operation", "RowGradient", "Sequential",
    "SimpleRNNCell", "StackedRNNCells", "State", "Stream", "Weight", "__version__", "cache_info", "callbacks", "cell",
    "clear_cache", "constraints", "cuda", "datasets", "distributed", "eager", "get_memory_limit", "get_num_threads",
    "gradcheck", "initializers", "interop", "jacobian", "jvp", "losses", "metrics", "onnx", "optimizers", "register",
    "regularizers", "set_memory_limit", "set_num_threads",
]  # fmt: skip
__all__ += _LATER


def __getattr__(name: str):
    """Import a name of `_LATER` or `_SUBPACKAGES` when it is first asked for."""
    if name in _SUBPACKAGES:
        return importlib.import_module(f"rnnkit.{name}")
    if name in _LATER:
        return globals().setdefault(name, getattr(importlib.import_module(_LATER[name]), name))
    raise AttributeError(f"module 'rnnkit' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
