"""Correspondence of Keras's classes, options and their values with rnnkit's."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rnnkit import constraints, initializers, regularizers
from rnnkit.activations import ACTIVATIONS
from rnnkit.cells import GRUCell, LSTMCell, SimpleRNNCell
from rnnkit.configured import parameters
from rnnkit.layers import PUBLIC

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
    takes: list[str]  # options with the same name in both


# Options of every layer, and those that Keras hasn't.
_NOT_TAKEN = {"dtype", "name", "activity_regularizer", "device", "flash_attention", "seed"}
_DRAWING = {"rate", "stddev", "dropout"}  # Keras gives a seed to layers with one of these
_FIXED: dict[str, tuple] = {  # options that rnnkit lacks: values without an effect
    "activity_regularizer": (None,),
    "autocast": (True,),
    "data_format": ("channels_last", None),
    "input_length": (None,),
    "lora_alpha": (None,),
    "lora_rank": (None,),
    "noise_shape": (None,),
    "quantization_config": (None,),
    "renorm": (False,),
    "renorm_clipping": (None,),
    "renorm_momentum": (0.99,),
    "synchronized": (False,),
    "unroll": (False, True),
}
_OWN = {"ArrayFunction", "Lambda"}  # layers that Keras hasn't, or has as others
WRAPPING = ("RNN", "Bidirectional", "TimeDistributed")


def _kind(make: type) -> Kind:
    """Return the conversion of a class whose options are those of rnnkit's constructor."""
    options = dict.fromkeys(one.name for one in parameters(make))
    taken = [name for name in options if name not in _NOT_TAKEN or (name == "seed" and options.keys() & _DRAWING)]
    return Kind(make, taken)


def _kinds(names: Iterable[str]) -> dict[str, Kind]:
    return {name: _kind(getattr(importlib.import_module(PUBLIC[name]), name)) for name in names}


IN_KERAS = [name for name in PUBLIC if name not in _OWN]
CELLS = {one.__name__: _kind(one) for one in (SimpleRNNCell, GRUCell, LSTMCell)}
WRAPPERS = _kinds(WRAPPING)
LAYERS = _kinds(name for name in IN_KERAS if name not in WRAPPING)
MODELS = ("Sequential", "Functional", "Model")
# Functions of keras.ops in a model's graph that a layer of rnnkit computes.
OPERATIONS = {name: LAYERS[name].make for name in "Add Subtract Multiply Maximum Minimum Concatenate".split()}

_COMMON = ("name", "trainable", "dtype")


def known() -> list[str]:
    """Return the classes that can be read."""
    return ["Sequential", "Functional", *WRAPPERS, *LAYERS, "Identity"]


def arguments(kind: Kind, config: Mapping[str, Any], what: str, custom: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of rnnkit's class for a configuration of Keras; a ValueError for an unsupported option."""
    found = {}
    for name, value in config.items():
        if name in kind.takes:
            found[name] = converted(name, value, f"{name} of {what}", custom)
        elif name in _FIXED and value in _FIXED[name]:
            continue
        elif name not in _COMMON:
            raise ValueError(f"expected {what} without {name}={value!r}, an option that rnnkit hasn't")
    return found
