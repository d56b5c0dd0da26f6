"""Conversion of values in Keras's configurations: activations, initializers, penalties, precisions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rnnkit import constraints, regularizers
from rnnkit.activations import ACTIVATIONS
from rnnkit.constraints import MaxNorm, MinMaxNorm, NonNeg, UnitNorm
from rnnkit.initializers import (
    INITIALIZERS,
    Constant,
    Identity,
    Normal,
    Orthogonal,
    TruncatedNormal,
    Uniform,
    VarianceScaling,
)
from rnnkit.regularizers import L1, L1L2, L2

# Keras's initializers without settings of their own, and those with some: their class, and the settings' names.
NAMED = {
    "Zeros": "zeros", "Ones": "ones", "GlorotUniform": "glorot_uniform", "GlorotNormal": "glorot_normal",
    "HeUniform": "he_uniform", "HeNormal": "he_normal", "LecunUniform": "lecun_uniform", "LecunNormal": "lecun_normal",
}  # fmt: skip
SET: dict[str, tuple[type, tuple[str, ...]]] = {
    "Constant": (Constant, ("value",)),
    "RandomUniform": (Uniform, ("minval", "maxval")),
    "RandomNormal": (Normal, ("mean", "stddev")),
    "TruncatedNormal": (TruncatedNormal, ("mean", "stddev")),
    "VarianceScaling": (VarianceScaling, ("scale", "mode", "distribution")),
    "Orthogonal": (Orthogonal, ("gain",)),
    "OrthogonalInitializer": (Orthogonal, ("gain",)),
    "Identity": (Identity, ("gain",)),
    "IdentityInitializer": (Identity, ("gain",)),
}
_WITHOUT_EFFECT = ("seed",)  # random numbers differ from Keras's for any seed
# Makers of objects of Keras's classes, and their settings.
_INITIALIZERS = {name: (lambda alias=alias: alias, ()) for name, alias in NAMED.items()} | SET
_REGULARIZERS = {"L1": (L1, ("l1",)), "L2": (L2, ("l2",)), "L1L2": (L1L2, ("l1", "l2"))}
_CONSTRAINTS = {
    "MaxNorm": (MaxNorm, ("max_value", "axis")),
    "MinMaxNorm": (MinMaxNorm, ("min_value", "max_value", "rate", "axis")),
    "UnitNorm": (UnitNorm, ("axis",)),
    "NonNeg": (NonNeg, ()),
}


def text(value, what: str) -> str:
    """Check that a value is a string."""
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
    "initializer": (INITIALIZERS, _INITIALIZERS, "an initializer"),  # whose seed has no counterpart
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
    return make(**_only(config, takes, what))


def _only(config, takes, what) -> dict[str, Any]:
    """Return the settings that rnnkit has; others must be None."""
    given = mapping(config or {}, what)
    for name, value in given.items():
        if name not in (*takes, *_WITHOUT_EFFECT) and value is not None:
            raise ValueError(f"expected {what} without {name}={value!r}, which rnnkit hasn't")
    return {name: _plain(given[name], what) for name in takes if name in given}


def _plain(value, what):
    """Return a setting; Keras writes some numbers as tensors, and arrays as dicts."""
    if isinstance(value, Mapping):
        inside = value.get("config")
        if value.get("class_name") not in ("__tensor__", "__numpy__") or not isinstance(inside, Mapping):
            raise ValueError(f"expected numbers in {what}, got {value!r}")
        return inside.get("value")
    return value
