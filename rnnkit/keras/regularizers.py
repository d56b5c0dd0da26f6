"""Keras's regularizers: names for rnnkit's."""

from __future__ import annotations

from rnnkit import regularizers as plain
from rnnkit.keras.naming import named, namespace, unchanged

ALIASES = {"l1": "L1", "l2": "L2", "l1_l2": "L1L2"}


def get(identifier):
    """The regularizer that an argument stands for."""
    return plain.get(identifier)


serialize = plain.config_of
deserialize = get


def _make(name: str):
    name = ALIASES.get(name, name)
    return named(name, __name__, getattr(plain, name), unchanged)


__getattr__, __dir__ = namespace("regularizers", _make, ["Regularizer", *plain.CLASSES, *ALIASES])
