"""Correspondence of Keras's classes, options and their values with rnnkit's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rnnkit import constraints, initializers, regularizers
from rnnkit.activations import ACTIVATIONS
from rnnkit.cells import GRUCell, LSTMCell, SimpleRNNCell
from rnnkit.configured import parameters
from rnnkit.layers.activation_layers import ELU, LeakyReLU, ReLU, Softmax
from rnnkit.layers.attention import AdditiveAttention, Attention
from rnnkit.layers.batch_normalization import BatchNormalization
from rnnkit.layers.bidirectional import Bidirectional
from rnnkit.layers.conv_lstm import ConvLSTM1D, ConvLSTM2D, ConvLSTM3D
from rnnkit.layers.convolution import Conv1D
from rnnkit.layers.dense import Dense, Dropout
from rnnkit.layers.dot import Dot
from rnnkit.layers.embedding import Embedding
from rnnkit.layers.masking import Masking
from rnnkit.layers.memoryless import Activation
from rnnkit.layers.merging import Add, Average, Concatenate, Maximum, Minimum, Multiply, Subtract
from rnnkit.layers.moving_steps import Cropping1D, Permute, UpSampling1D, ZeroPadding1D
from rnnkit.layers.multi_head_attention import MultiHeadAttention
from rnnkit.layers.noise import AlphaDropout, GaussianDropout, GaussianNoise, SpatialDropout1D
from rnnkit.layers.normalization import LayerNormalization, UnitNormalization
from rnnkit.layers.parametric_relu import PReLU
from rnnkit.layers.pooling import AveragePooling1D, GlobalAveragePooling1D, GlobalMaxPooling1D, MaxPooling1D
from rnnkit.layers.recurrent import GRU, LSTM, SimpleRNN
from rnnkit.layers.rnn import RNN
from rnnkit.layers.shaping import Flatten, RepeatVector, Reshape
from rnnkit.layers.time_distributed import TimeDistributed

# Keras's initializers without settings of their own, and those with some: their class, and the settings' names.
NAMED = {
    "Zeros": "zeros", "Ones": "ones", "GlorotUniform": "glorot_uniform", "GlorotNormal": "glorot_normal",
    "HeUniform": "he_uniform", "HeNormal": "he_normal", "LecunUniform": "lecun_uniform", "LecunNormal": "lecun_normal",
}  # fmt: skip
SET: dict[str, tuple[type, tuple[str, ...]]] = {
    "Constant": (initializers.Constant, ("value",)),
    "RandomUniform": (initializers.Uniform, ("minval", "maxval")),
    "RandomNormal": (initializers.Normal, ("mean", "stddev")),
    "TruncatedNormal": (initializers.TruncatedNormal, ("mean", "stddev")),
    "VarianceScaling": (
        initializers.VarianceScaling,
        ("scale", "mode", "distribution", "input_axes", "output_axes"),
    ),
    "Orthogonal": (initializers.Orthogonal, ("gain",)),
    "OrthogonalInitializer": (initializers.Orthogonal, ("gain",)),
    "Identity": (initializers.Identity, ("gain",)),
    "IdentityInitializer": (initializers.Identity, ("gain",)),
}
# Makers of objects of Keras's classes, and their settings.
_INITIALIZERS = {name: (lambda alias=alias: alias, ()) for name, alias in NAMED.items()} | SET
_REGULARIZERS = {
    "L1": (regularizers.L1, ("l1",)),
    "L2": (regularizers.L2, ("l2",)),
    "L1L2": (regularizers.L1L2, ("l1", "l2")),
}
_CONSTRAINTS = {
    "MaxNorm": (constraints.MaxNorm, ("max_value", "axis")),
    "MinMaxNorm": (constraints.MinMaxNorm, ("min_value", "max_value", "rate", "axis")),
    "UnitNorm": (constraints.UnitNorm, ("axis",)),
    "NonNeg": (constraints.NonNeg, ()),
}


def text(value, what: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected {what} to be text, got {value!r}")
    return value


def mapping(value, what: str) -> Mapping[str, Any]:
    """Check that a value is a configuration, a dict by name."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ValueError(f"expected {what} to be a configuration by name, got {value!r}")
    return value


def handed_in(names, custom: Mapping[str, Any]):
    """Return the first of the caller's objects with one of these names, or None."""
    return next((custom[name] for name in names if isinstance(name, str) and name in custom), None)


def activation(value, what: str, custom: Mapping[str, Any]):
    """Return an activation's name in rnnkit, or the caller's function; a ValueError names an unknown one of `what`."""
    if value is None:
        return None
    described = isinstance(value, Mapping)
    name = value.get("config") if described and value.get("class_name") == "function" else value
    name = value.get("class_name") if described and not isinstance(name, str) else name
    registered = value.get("registered_name") if described else None
    if (own := handed_in((registered, name), custom)) is not None:
        return own
    if not described and name in ACTIVATIONS:
        return name
    raise ValueError(
        f"expected {what} to be an activation that rnnkit has, {', '.join(ACTIVATIONS)}; got {name!r}: hand in a "
        f"function of NumPy arrays as custom_objects={{{name!r}: function}}"
    )


# By the last word of an option's name: rnnkit's names, Keras's classes, a description for errors.
_OBJECTS: dict[str, tuple[Any, Mapping[str, tuple], str]] = {
    "initializer": (initializers.INITIALIZERS, _INITIALIZERS, "an initializer"),  # whose seed has no counterpart
    "regularizer": ((None, *regularizers.REGULARIZERS), _REGULARIZERS, "a regularizer"),
    "constraint": ((None, *constraints.CONSTRAINTS), _CONSTRAINTS, "a constraint"),
}


def converted(name: str, value, what: str, custom: Mapping[str, Any]):
    """Return an option of Keras as rnnkit has it."""
    kind = name.rpartition("_")[2]
    if kind == "activation":
        return activation(value, what, custom)
    if kind not in _OBJECTS:
        return value
    names, classes, described = _OBJECTS[kind]
    known = (value is None or isinstance(value, str)) and value in names
    return value if known else _described(value, classes, what, described, custom)


def precision(value, what: str) -> str | None:
    """Return a precision's name, float32 or float64, from Keras's dtype, which is a name or a policy."""
    name = mapping(value.get("config"), f"{what}'s dtype").get("name") if isinstance(value, Mapping) else value
    if name not in (None, "float32", "float64"):
        raise ValueError(f"expected {what} of dtype float32 or float64, which rnnkit computes in; got {name!r}")
    return name


def _described(value, known: Mapping[Any, tuple], what, kind, custom):
    """Return the object of a description ``{"class_name", "config"}``."""
    if isinstance(value, str):
        value = {"class_name": value, "config": {}}
    found = mapping(value, what)
    name, config = found.get("class_name"), found.get("config")
    own = handed_in((found.get("registered_name"), config if name == "function" else name), custom)
    if own is not None:
        return own(**mapping(config, what)) if isinstance(own, type) else own
    if name not in known:
        raise ValueError(
            f"expected {what} to be {kind} that rnnkit has; got {name!r}: hand one in by name as custom_objects={{…}}"
        )
    make, takes = known[name]
    given = mapping(config or {}, what)
    for name, value in given.items():
        if name not in (*takes, "seed") and value is not None:  # random numbers differ from Keras's for any seed
            raise ValueError(f"expected {what} without {name}={value!r}, which rnnkit hasn't")
    return make(**{name: _plain(given[name], what) for name in takes if name in given})


def _plain(value, what):
    """Return a setting; Keras writes some numbers as tensors, and arrays as dicts."""
    if isinstance(value, Mapping):
        inside = value.get("config")
        if value.get("class_name") not in ("__tensor__", "__numpy__") or not isinstance(inside, Mapping):
            raise ValueError(f"expected numbers in {what}, got {value!r}")
        return inside.get("value")
    return value


@dataclass(frozen=True)
class Kind:
    """The conversion of a class of Keras."""

    make: Callable[..., Any]  # the class of rnnkit
    takes: list[str] = field(default_factory=list)  # options with the same name in both
    fixed: dict[str, tuple] = field(default_factory=dict)  # options that rnnkit lacks: values without an effect


# Options of every layer, those that Keras hasn't, and the seed, which Keras gives to layers that draw alone.
_NOT_TAKEN = {"dtype", "name", "activity_regularizer", "device", "flash_attention", "seed"}


def _kind(make, fixed=None, draws: bool = False) -> Kind:
    """Return the conversion of a class whose options are those of rnnkit's constructor, besides fixed ones."""
    own = [one.name for one in parameters(make)]
    taken = [name for name in own if name not in _NOT_TAKEN | set(fixed or ()) or (draws and name == "seed")]
    return Kind(make, taken, fixed or {})


_LAST = {"data_format": ("channels_last", None)}
_WEIGHTS = {"lora_rank": (None,), "lora_alpha": (None,), "quantization_config": (None,)}
_RENORM = {"renorm": (False,), "renorm_clipping": (None,), "renorm_momentum": (0.99,)}
_PLAIN = (
    Masking, Activation, Reshape, RepeatVector, LayerNormalization, UnitNormalization, Permute, Cropping1D,
    UpSampling1D, Softmax, ReLU, LeakyReLU, ELU, PReLU, Concatenate, Add, Subtract, Multiply, Average, Maximum, Minimum,
    Dot,
)  # fmt: skip
_DRAWING = (
    SimpleRNN, GRU, LSTM, SpatialDropout1D, GaussianNoise, GaussianDropout, AlphaDropout, Attention, AdditiveAttention,
    MultiHeadAttention,
)  # fmt: skip
_FIXED: dict[type, dict[str, tuple]] = {
    Dense: _WEIGHTS,
    Embedding: {**_WEIGHTS, "input_length": (None,)},
    BatchNormalization: {"synchronized": (False,), **_RENORM},
    Conv1D: {**_WEIGHTS, **_LAST},
    **dict.fromkeys((Flatten, GlobalAveragePooling1D, GlobalMaxPooling1D, ZeroPadding1D), _LAST),
    **dict.fromkeys((MaxPooling1D, AveragePooling1D), _LAST),
}
CELLS = {one.__name__: _kind(one, draws=True) for one in (SimpleRNNCell, GRUCell, LSTMCell)}
LAYERS = {
    **{one.__name__: _kind(one) for one in _PLAIN},
    **{one.__name__: _kind(one, draws=True) for one in _DRAWING},
    **{one.__name__: _kind(one, fixed) for one, fixed in _FIXED.items()},
    **{one.__name__: _kind(one, {"unroll": (False, True)}, True) for one in (ConvLSTM1D, ConvLSTM2D, ConvLSTM3D)},
    "Dropout": _kind(Dropout, {"noise_shape": (None,)}, draws=True),
}
WRAPPERS = {one.__name__: _kind(one) for one in (RNN, Bidirectional, TimeDistributed)}
MODELS = ("Sequential", "Functional", "Model")
# Functions of keras.ops in a model's graph that a layer of rnnkit computes.
OPERATIONS = {kind.__name__: kind for kind in (Add, Subtract, Multiply, Maximum, Minimum, Concatenate)}

_COMMON = ("name", "trainable", "dtype")


def known() -> list[str]:
    """Return the classes that can be read."""
    return ["Sequential", "Functional", *WRAPPERS, *LAYERS, "Identity"]


def arguments(kind: Kind, config: Mapping[str, Any], what: str, custom: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of rnnkit's class for a configuration of Keras; a ValueError for an unsupported option."""
    fixed = {"activity_regularizer": (None,), "autocast": (True,), **kind.fixed}
    found = {}
    for name, value in config.items():
        if name in kind.takes:
            found[name] = converted(name, value, f"{name} of {what}", custom)
        elif name in fixed and value in fixed[name]:
            continue
        elif name not in _COMMON:
            raise ValueError(f"expected {what} without {name}={value!r}, an option that rnnkit hasn't")
    return found
