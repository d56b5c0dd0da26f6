"""The arguments that a layer was made with, for configurations of classes that have no `get_config`."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from rnnkit.serialization.configuration import serialize
from rnnkit.serialization.registry import Configurable, name_of


def serialized_arguments(instance) -> dict[str, Any]:
    """Return the arguments of the constructor by name, as JSON values; a TypeError for one that has no such form."""
    arguments, keywords = instance._made_with
    bound = inspect.signature(type(instance).__init__).bind(instance, *arguments, **keywords)
    found: dict[str, Any] = {}
    for name, value in list(bound.arguments.items())[1:]:
        kind = bound.signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_POSITIONAL:
            raise TypeError(f"expected {type(instance).__name__} to define get_config, as it takes *{name}")
        found |= value if kind is inspect.Parameter.VAR_KEYWORD else {name: value}
    return {name: _as_json(value, name, instance) for name, value in found.items()}


def _as_json(value, name, instance) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (list, tuple)):
        return [_as_json(one, name, instance) for one in value]
    if isinstance(value, dict):
        return {key: _as_json(one, name, instance) for key, one in value.items()}
    if isinstance(value, np.dtype):
        return value.name
    if isinstance(value, Configurable) and hasattr(value, "get_config"):
        return serialize(value)
    if callable(value):
        return name_of(value)
    raise TypeError(
        f"expected {type(instance).__name__} to define get_config: its argument {name} is a {type(value).__name__}, "
        "which a configuration can't hold as it is"
    )
