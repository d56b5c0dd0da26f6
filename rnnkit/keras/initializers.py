"""Keras's initializers: names for rnnkit's, with seeds of their own."""

from __future__ import annotations

from functools import partial

from rnnkit import initializers as plain
from rnnkit.keras.naming import by_order, named, namespace

_SCALING = {
    name: dict(zip(("scale", "mode", "distribution"), settings, strict=True))
    for name, settings in {
        "GlorotNormal": (1.0, "fan_avg", "truncated_normal"),
        "GlorotUniform": (1.0, "fan_avg", "uniform"),
        "HeNormal": (2.0, "fan_in", "truncated_normal"),
        "HeUniform": (2.0, "fan_in", "uniform"),
        "LecunNormal": (1.0, "fan_in", "truncated_normal"),
        "LecunUniform": (1.0, "fan_in", "uniform"),
    }.items()
}
_CLASSES = {
    "Constant": "Constant",
    "Identity": "Identity",
    "IdentityInitializer": "Identity",
    "Orthogonal": "Orthogonal",
    "OrthogonalInitializer": "Orthogonal",
    "RandomNormal": "Normal",
    "RandomUniform": "Uniform",
    "TruncatedNormal": "TruncatedNormal",
    "VarianceScaling": "VarianceScaling",
}
_VALUES = {"Zeros": 0.0, "Ones": 1.0}
_CLASS_NAMES = [*_SCALING, *_CLASSES, *_VALUES]
ALIASES = {
    "constant": "Constant",
    "glorot_normal": "GlorotNormal",
    "glorot_uniform": "GlorotUniform",
    "he_normal": "HeNormal",
    "he_uniform": "HeUniform",
    "identity": "Identity",
    "lecun_normal": "LecunNormal",
    "lecun_uniform": "LecunUniform",
    "ones": "Ones",
    "orthogonal": "Orthogonal",
    "random_normal": "RandomNormal",
    "random_uniform": "RandomUniform",
    "truncated_normal": "TruncatedNormal",
    "variance_scaling": "VarianceScaling",
    "zeros": "Zeros",
}


def get(identifier):
    """The initializer that an argument stands for."""
    if isinstance(identifier, str) and identifier in _CLASS_NAMES:
        return __getattr__(identifier)()
    return plain.initializer(identifier)


serialize = plain.initializer_config
deserialize = get


def _arguments(name, kind, arguments, keywords):
    if name in _SCALING:
        keywords = by_order("seed", kind, arguments, keywords) | _SCALING[name]
        arguments = ()
    elif name == "Initializer":
        pass
    elif name in _VALUES:
        keywords = {"value": _VALUES[name]}
    else:
        order = " ".join([*(one for one in kind.__dataclass_fields__ if one != "seed"), "seed"])
        keywords, arguments = by_order(order, kind, arguments, keywords), ()
    for axes in ("input_axes", "output_axes"):
        if keywords.pop(axes, None) is not None:
            raise ValueError(f"expected no {axes} of {name}; rnnkit counts inputs and outputs as kernels have them")
    return arguments, keywords, lambda made: None


def _make(name: str):
    name = ALIASES.get(name, name)
    kind = (
        plain.Initializer
        if name == "Initializer"
        else getattr(plain, _CLASSES.get(name, "Constant" if name in _VALUES else "VarianceScaling"))
    )
    return named(name, __name__, kind, partial(_arguments, name))


__getattr__, __dir__ = namespace("initializers", _make, ["Initializer", *_CLASS_NAMES, *ALIASES])
