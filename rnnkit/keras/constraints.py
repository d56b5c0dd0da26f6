"""Keras's constraints: names for rnnkit's."""

from __future__ import annotations

from rnnkit import constraints as plain
from rnnkit.keras.naming import named, namespace, unchanged

ALIASES = {"max_norm": "MaxNorm", "min_max_norm": "MinMaxNorm", "non_neg": "NonNeg", "unit_norm": "UnitNorm"}


def get(identifier):
    """The constraint that an argument stands for."""
    return plain.get(identifier)


serialize = plain.config_of
deserialize = get


def _make(name: str):
    name = ALIASES.get(name, name)
    return named(name, __name__, getattr(plain, name), unchanged)


__getattr__, __dir__ = namespace("constraints", _make, ["Constraint", *plain.CLASSES, *ALIASES])
