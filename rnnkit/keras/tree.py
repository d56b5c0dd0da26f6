"""Nested lists, tuples and dicts."""

from __future__ import annotations

from typing import Any

from rnnkit.keras.left_out import others


def is_nested(structure) -> bool:
    """Return whether this is a list, a tuple or a dict."""
    return isinstance(structure, (list, tuple, dict))


def flatten(structure) -> list:
    """Return the leaves of a nested structure in order; a dict's by its sorted keys."""
    if isinstance(structure, dict):
        return [leaf for key in sorted(structure) for leaf in flatten(structure[key])]
    return [leaf for one in structure for leaf in flatten(one)] if is_nested(structure) else [structure]


def map_structure(function, *structures) -> Any:
    """Return the values of a function for the leaves, nested as they are."""
    first = structures[0]
    if isinstance(first, dict):
        return {key: map_structure(function, *(one[key] for one in structures)) for key in first}
    if not is_nested(first):
        return function(*structures)
    found = [map_structure(function, *parts) for parts in zip(*structures, strict=True)]
    return type(first)(*found) if hasattr(first, "_fields") else type(first)(found)


def pack_sequence_as(structure, flat_sequence) -> Any:
    """Return leaves in order, nested as another structure."""
    leaves = iter(flat_sequence)
    if isinstance(structure, dict):
        order = dict.fromkeys(sorted(structure))
        found = {
            key: pack_sequence_as(structure[key], [next(leaves) for _ in flatten(structure[key])]) for key in order
        }
        return {key: found[key] for key in structure}
    return map_structure(lambda _: next(leaves), structure)


def assert_same_structure(a, b) -> None:
    """Refuse two structures that aren't nested alike."""
    if map_structure(lambda _: None, a) != map_structure(lambda _: None, b):
        raise ValueError(f"expected the same structure twice, got {a!r} and {b!r}")


__getattr__ = others("tree")
