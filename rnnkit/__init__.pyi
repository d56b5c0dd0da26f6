"""Written by tests/support/stubs.py: for type checkers alone."""

from rnnkit import callbacks as callbacks
from rnnkit import constraints as constraints
from rnnkit import cuda as cuda
from rnnkit import datasets as datasets
from rnnkit import distributed as distributed
from rnnkit import forecast as forecast
from rnnkit import initializers as initializers
from rnnkit import interop as interop
from rnnkit import keras as keras
from rnnkit import losses as losses
from rnnkit import metrics as metrics
from rnnkit import onnx as onnx
from rnnkit import optimizers as optimizers
from rnnkit import regularizers as regularizers
from rnnkit import sklearn as sklearn
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
from rnnkit.analysis.curvature import (
    hessian,
    hvp,
)
from rnnkit.analysis.gradcheck import (
    gradcheck,
)
from rnnkit.analysis.jacobian import (
    jacobian,
    jvp,
)
from rnnkit.backends.shared.memory_limit import (
    get_memory_limit,
    set_memory_limit,
)
from rnnkit.backends.shared.program_cache import (
    cache_info,
    clear_cache,
)
from rnnkit.backends.shared.thread_pool import (
    get_num_threads,
    set_num_threads,
)
from rnnkit.c_code.export import (
    export_c,
)
from rnnkit.cells import (
    GRUCell,
    LSTMCell,
    SimpleRNNCell,
)
from rnnkit.cells.echo_state import (
    ESNCell,
)
from rnnkit.cells.stacked import (
    StackedRNNCells,
)
from rnnkit.custom_gradients import (
    custom_gradient,
    stop_gradient,
)
from rnnkit.execution.execution import (
    eager,
)
from rnnkit.forecast.models.echo_state import (
    ESN,
)
from rnnkit.layers.activation_layers import (
    ELU,
    LeakyReLU,
    ReLU,
    Softmax,
)
from rnnkit.layers.array_function import (
    ArrayFunction,
)
from rnnkit.layers.attention import (
    AdditiveAttention,
    Attention,
)
from rnnkit.layers.batch_normalization import (
    BatchNormalization,
)
from rnnkit.layers.bidirectional import (
    Bidirectional,
)
from rnnkit.layers.conv_lstm import (
    ConvLSTM1D,
    ConvLSTM2D,
    ConvLSTM3D,
)
from rnnkit.layers.convolution import (
    Conv1D,
)
from rnnkit.layers.dense import (
    Dense,
    Dropout,
)
from rnnkit.layers.dot import (
    Dot,
)
from rnnkit.layers.embedding import (
    Embedding,
)
from rnnkit.layers.loop import (
    loop,
)
from rnnkit.layers.masking import (
    Masking,
)
from rnnkit.layers.memoryless import (
    Activation,
    Lambda,
)
from rnnkit.layers.merging import (
    Add,
    Average,
    Concatenate,
    Maximum,
    Minimum,
    Multiply,
    Subtract,
)
from rnnkit.layers.moving_steps import (
    Cropping1D,
    Permute,
    UpSampling1D,
    ZeroPadding1D,
)
from rnnkit.layers.multi_head_attention import (
    MultiHeadAttention,
)
from rnnkit.layers.noise import (
    AlphaDropout,
    GaussianDropout,
    GaussianNoise,
    SpatialDropout1D,
)
from rnnkit.layers.normalization import (
    GroupNormalization,
    LayerNormalization,
    UnitNormalization,
)
from rnnkit.layers.operation import (
    Operation,
)
from rnnkit.layers.parametric_relu import (
    PReLU,
)
from rnnkit.layers.pooling import (
    AveragePooling1D,
    GlobalAveragePooling1D,
    GlobalMaxPooling1D,
    MaxPooling1D,
)
from rnnkit.layers.recurrent import (
    GRU,
    LSTM,
    SimpleRNN,
)
from rnnkit.layers.rnn import (
    RNN,
)
from rnnkit.layers.shaping import (
    Flatten,
    RepeatVector,
    Reshape,
)
from rnnkit.layers.stream import (
    Stream,
)
from rnnkit.layers.support.row_gradient import (
    RowGradient,
)
from rnnkit.layers.support.symbolic import (
    Input,
)
from rnnkit.layers.time_distributed import (
    TimeDistributed,
)
from rnnkit.loading import (
    load_model,
)
from rnnkit.models.ensemble import (
    Ensemble,
)
from rnnkit.models.functional import (
    Model,
)
from rnnkit.models.sequential import (
    Sequential,
)
from rnnkit.sequences.frames import (
    sequences_from_frame,
)
from rnnkit.sequences.padding import (
    pad_sequences,
    sequence_mask,
)
from rnnkit.sequences.windows import (
    windows,
)
from rnnkit.serialization.registry import (
    register,
)
from rnnkit.steps.cell import (
    Cell,
)
from rnnkit.steps.declared import (
    Draw,
    Weight,
    cell,
)
from rnnkit.steps.states import (
    State,
)
from rnnkit.version import (
    __version__,
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
    "GroupNormalization",
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
