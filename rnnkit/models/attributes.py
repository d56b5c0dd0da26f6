"""Layers in the attributes of a user's class of layers."""

from __future__ import annotations

from rnnkit.layers.base import Layer


def add_parts(path, value, found, seen) -> None:
    """Add the layers in an attribute, also in lists and dicts."""
    if isinstance(value, Layer):
        if id(value) not in seen:
            seen.add(id(value))
            found[path] = value
    elif isinstance(value, (list, tuple)):
        for i, one in enumerate(value):
            add_parts(f"{path}.{i}", one, found, seen)
    elif isinstance(value, dict):
        for key, one in value.items():
            add_parts(f"{path}.{str(key).replace('/', '_')}", one, found, seen)
