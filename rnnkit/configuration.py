"""Cells and their arguments as JSON values, and back."""

from __future__ import annotations

import numbers

import numpy as np

from rnnkit.importing import from_path, path_of


def to_json(value, what: str):
    """A constructor argument as JSON values; ``what`` names it in the error."""
    if value is None or isinstance(value, (bool, str, numbers.Integral)):
        return value if not isinstance(value, np.generic) else value.item()
    if isinstance(value, numbers.Real):
        return float(value)
    if isinstance(value, np.ndarray):
        return {"array": value.tolist(), "dtype": value.dtype.name}
    if isinstance(value, (list, tuple)):
        return [to_json(v, what) for v in value]
    if callable(value):
        return {"function": path_of(value)}
    raise TypeError(
        f"{what} can't stand in a configuration: expected numbers, strings, arrays or a named function, got {value!r}"
    )


def from_json(value):
    """The argument that `to_json` wrote."""
    if isinstance(value, dict) and "array" in value:
        return np.array(value["array"], value["dtype"])
    if isinstance(value, dict) and "function" in value:
        return from_path(value["function"])
    return value


def serialize(cell) -> dict:
    """A cell as JSON values: its class by module and name, and its own configuration."""
    inner = getattr(cell, "foreign", cell)
    if not hasattr(inner, "get_config"):
        raise TypeError(f"{type(inner).__name__} has no get_config, which a configuration needs")
    return {"module": type(inner).__module__, "class_name": type(inner).__qualname__, "config": inner.get_config()}


def deserialize(config: dict):
    """The cell that `serialize` described."""
    found = from_path(f"{config['module']}:{config['class_name']}")
    return found.from_config(config["config"]) if hasattr(found, "from_config") else found(**config["config"])
