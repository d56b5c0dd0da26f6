"""What objects were made with: the arguments of their constructors as JSON values."""

from __future__ import annotations

import inspect
import numbers
from collections.abc import Callable
from typing import Any

from rnnkit import constraints, regularizers
from rnnkit.activations import activation_name, linear
from rnnkit.initializers import initializer_config

_KINDS: dict[str, Callable] = {  # what an argument is, by how its name ends
    "initializer": initializer_config,
    "regularizer": regularizers.config_of,
    "constraint": constraints.config_of,
}


def config_of(thing: Any) -> dict[str, Any]:
    """Return the arguments of a constructor that an object keeps under their names.

    Numbers, texts and lists of them are as they are; functions and objects that a name tells of are their names and
    settings. What else there is, such as another layer, is left out.
    """
    config: dict[str, Any] = {}
    for name, parameter in inspect.signature(type(thing)).parameters.items():
        if not hasattr(thing, name):
            continue
        value = getattr(thing, name)
        kind = name.rpartition("_")[2]
        if kind == "activation":
            config[name] = None if value is linear and parameter.default is None else activation_name(value)
        elif kind in _KINDS:
            config[name] = _KINDS[kind](value)
        elif _is_plain(value):
            config[name] = list(value) if isinstance(value, tuple) else value
    return config


def _is_plain(value) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (str, numbers.Number))
