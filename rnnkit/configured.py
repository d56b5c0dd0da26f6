"""Configurations of objects: the arguments of their constructors as JSON values."""

from __future__ import annotations

import inspect
import numbers
from collections.abc import Callable
from typing import Any

import numpy as np

from rnnkit import constraints, regularizers
from rnnkit.activations import activation_name, linear
from rnnkit.initializers import initializer_config
from rnnkit.serialization.configuration import serialize
from rnnkit.serialization.registry import Configurable

_KINDS: dict[str, Callable] = {  # by the end of an argument's name
    "initializer": initializer_config,
    "regularizer": regularizers.config_of,
    "constraint": constraints.config_of,
}


def config_of(thing: Any) -> dict[str, Any]:
    """Return the arguments of a constructor that an object keeps under their names.

    Numbers, texts and lists of them stay as they are; activations, initializers, regularizers and constraints become
    names or configurations, as do cells and layers. Others, such as functions, are left out. If a constructor passes
    keywords on, the arguments of its base are included.
    """
    config: dict[str, Any] = {}
    for parameter in parameters(type(thing)):
        name = parameter.name
        if name in config or not hasattr(thing, name):
            continue
        value, kind = getattr(thing, name), name.rpartition("_")[2]
        if kind == "activation":
            config[name] = None if value is linear and parameter.default is None else activation_name(value)
        elif kind in _KINDS:
            config[name] = _KINDS[kind](value)
        elif isinstance(value, Configurable):
            config[name] = serialize(value)
        elif isinstance(value, np.random.SeedSequence):
            config[name] = {"entropy": value.entropy, "spawn_key": list(value.spawn_key)}
        elif _is_plain(value):
            config[name] = list(value) if isinstance(value, tuple) else value
    return config


def seed_of(given: Any) -> Any:
    """Return a seed of a constructor, also one that `config_of` described."""
    return np.random.SeedSequence(**given) if isinstance(given, dict) else given


def parameters(kind: type) -> list[inspect.Parameter]:
    """Return the parameters of a constructor, and those of its base where it hands keywords on."""
    found: list[inspect.Parameter] = []
    for base in kind.__mro__:
        if base is not kind and not vars(base).keys() & {"__init__", "__signature__"}:
            continue
        own = list(inspect.signature(base).parameters.values())
        found += [one for one in own if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
        if all(one.kind is not one.VAR_KEYWORD for one in own):
            break
    return found


def _is_plain(value) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (str, numbers.Number))
